"""The supervisor dies: at rest, under load, and at every named point of what it does (X-01, X-02)."""

import os
import random
import time
import unittest

from faults import FaultCase, TIMED, without_json, without_time
from pmdtest import PATIENCE, alive, helper, kill, written


class Killed(FaultCase):
    def test_x01_apps_of_every_kind_outlive_it_and_no_line_is_lost_or_doubled(self):
        merged = [self.writers_of_one_file("merged")]
        apps = [self.writer("raw", rate=20000, max_size="1M", log_keep=1000),
                self.writer("timed", rate=3000, log_date_format=TIMED, log_max_size="300K", log_keep=1000),
                self.writer("json", rate=2000, log_type="json"),
                self.silent("silent"), self.forker("forker"), self.server("node")] + merged
        apps[0].pop("max_size")
        apps[0]["log_max_size"] = "1M"
        self.start(apps)
        before = self.table()
        self.assertEqual({s for _, _, s, _ in before.values()}, {"online"})
        tree = {p.pid for p in self.processes() if p.environ.get("name") == "forker"}
        seconds = []
        for n in range(8):  # ten deaths in ten seconds are a storm, and then it waits a second
            time.sleep(random.random() * 0.3)  # a moment of no one's choosing under load
            seconds.append(self.kill_supervisor())
            self.assertEqual(self.table(), before, "pids, states and counters")
            self.assert_one_each(before)
        self.inject("8 times SIGKILL of the supervisor while 6 processes logged")
        self.assertEqual({p.pid for p in self.processes() if p.environ.get("name") == "forker"}, tree)
        self.pmctl("stop", "raw", "timed", "json", "merged")
        self.saw(f"merged: 3 writers, {self.check_merged('merged')} lines, each once")
        for name, message in (("raw", None), ("timed", without_time), ("json", without_json)):
            lines, files = self.check_log(name, message)
            self.saw(f"{name}: {lines} lines, each once, in {files} files")
        self.saw("same pids, no restart counted, answers again after " + ", ".join(f"{s:.3f}" for s in seconds) + " s")
        self.assertLess(min(seconds), 1 * PATIENCE)  # the least: the machine may have other work


STATE_POINTS = ["open", "after_open", "after_write", "close", "after_fsync", "keep", "after_link", "after_keep", "rename",
                "fsync_dir", "after_fsync_dir"]

# What a command passes on its way; each point is a moment to die at.
START = ["order.before_publish", "store.after_publish", "instance.after_order_commit", "instance.before_spawn",
         "instance.after_spawn"] + [f"state.{p}" for p in STATE_POINTS]
STOP = ["order.before_publish", "store.after_publish", "instance.after_order_commit", "instance.before_exit_commit",
        "instance.after_exit_commit"]
RESTART = [*STOP, "instance.before_spawn", "instance.after_spawn"]
DELETE = [*STOP, "instance.after_forget"]
CRASH = ["instance.before_exit_commit", "instance.after_exit_commit", "instance.before_spawn", "instance.after_spawn"]


class KilledAtPoint(FaultCase):
    """SIGKILL at each named point of what the supervisor does; at the second passing too where several are acted on."""

    def setUp(self):
        super().setUp()
        self.start([self.silent("bystander"), self.forker("forker")])
        self.bystanders = self.table()

    def at(self, points, act, check, skips=(0,)):
        for point in points:
            for skip in skips:
                with self.subTest(point=point, skip=skip):
                    supervisor = self.supervisor_pid()
                    self.arm(f"{point}={skip}+kill" if skip else f"{point}=kill")
                    outcome = act()
                    if skip and alive(supervisor):
                        kill(supervisor)  # passed but once: what is armed must not hit the next one
                    self.wait_dead(supervisor)
                    self.answer_time(0)
                    check(point, outcome)
                    self.assert_one_each()
                    table = self.table()
                    self.assertEqual({i: table.get(i) for i in self.bystanders}, self.bystanders, "the bystanders")

    def settled(self, name, *states):
        """Waits until every instance with this name is in one of the states; returns them, or [] when none is left."""
        def look():
            found = [v for v in self.table().values() if v[0] == name]
            return (found or True) if all(s in states for _, _, s, _ in found) else None
        found = self.wait(look, 10, lambda: f"{name} in {states}: {self.table()}")
        return [] if found is True else found

    def test_x02_a_start_is_finished_or_was_never_made(self):
        def check(point, outcome):
            found = self.settled("new", "online")
            self.inject(f"{point}=kill while an app was started")
            self.saw(f"exit {outcome.code}, {'running' if found else 'not declared'}")
            self.pmctl("delete", "new", check=bool(found) or False)
        self.at(START, lambda: self.pmctl("start", "/bin/sleep", "--name", "new", "--interpreter", "none", "--", "1000000",
                                          check=False), check)

    def test_x02_a_stop_is_finished_or_was_never_made(self):
        def check(point, outcome):
            found = self.settled("app", "online", "stopped")
            self.inject(f"{point}=kill while an app was stopped")
            self.saw(f"exit {outcome.code}, {found[0][2]}")
            self.pmctl("start", "app")
        self.start([self.silent("app")])
        self.at(STOP, lambda: self.pmctl("stop", "app", check=False), check)

    def test_x02_a_restart_is_counted_once_and_leaves_one_process(self):
        self.start([self.forker("app")])
        before = list(self.settled("app", "online"))

        def check(point, outcome):
            found = self.settled("app", "online")
            self.inject(f"{point}=kill while an app was restarted")
            self.saw(f"exit {outcome.code}, pid {before[0][1]} -> {found[0][1]}, restarts {before[0][3]} -> {found[0][3]}")
            self.assertEqual(found[0][3] - before[0][3], int(found[0][1] != before[0][1]))
            before[:] = found
        self.at(RESTART, lambda: self.pmctl("restart", "app", check=False), check)

    def test_x02_a_delete_is_finished_or_was_never_made(self):
        def check(point, outcome):
            found = self.settled("app", "online")
            self.inject(f"{point}=kill while an app was deleted")
            self.saw(f"exit {outcome.code}, {'running' if found else 'gone'}")
            if not found:
                self.start([self.silent("app")])
        self.start([self.silent("app")])
        self.at(DELETE, lambda: self.pmctl("delete", "app", check=False), check)

    def test_x02_a_scale_leaves_no_instance_half_made(self):
        self.start([self.silent("app", instances=2)])

        def up(point, outcome):
            found = self.settled("app", "online")
            self.inject(f"{point}=kill while 2 instances were made 4")
            self.saw(f"exit {outcome.code}, {len(found)} instances online")
            self.assertIn(len(found), (2, 4))
            self.pmctl("scale", "app", 2)
        self.at(START[:5], lambda: self.pmctl("scale", "app", 4, check=False), up, (0, 1))
        self.pmctl("scale", "app", 4)

        def down(point, outcome):
            found = self.settled("app", "online")
            self.inject(f"{point}=kill while 4 instances were made 2")
            self.saw(f"exit {outcome.code}, {len(found)} instances online")
            self.assertIn(len(found), (2, 3, 4))
            self.pmctl("scale", "app", 4)
        self.at(DELETE, lambda: self.pmctl("scale", "app", 2, check=False), down, (0, 1))

    def test_x02_a_crash_is_counted_once_and_its_status_known(self):
        self.start([self.silent("app", min_uptime=100)])
        before = list(self.settled("app", "online"))

        def crash():
            kill(before[0][1])
            self.wait_dead(before[0][1])

        def check(point, _):
            found = self.wait(lambda: (lambda f: f if f and f[0][1] != before[0][1] else None)(
                self.settled("app", "online")), 10, "another process")
            self.inject(f"{point}=kill while the exit of an app was dealt with")
            why = self.pmctl("why", "app").out
            self.saw(f"restarts {before[0][3]} -> {found[0][3]}, and {why.splitlines()[0]!r}")
            self.assertIn("SIGKILL", why)
            self.assertEqual(found[0][3], before[0][3] + 1)
            before[:] = found
        self.at(CRASH, crash, check)

    def test_x02_what_a_crash_left_in_a_session_of_its_own_is_killed_all_the_same(self):
        self.write("parent.sh", "#!/bin/sh\nsetsid sh -c 'echo $$ >child.new; mv child.new child; exec sleep 1000000' &\n"
                   "exec sleep 1000000\n", 0o755)
        self.start([{"name": "app", "script": self.path("parent.sh"), "cwd": self.work, "min_uptime": 100}])

        def child():
            return int(self.wait(lambda: self.read("child"), message="the child"))

        def crash():
            left = child()
            os.unlink(self.path("child"))
            kill(self.settled("app", "online")[0][1])
            return left

        def check(point, left):
            self.inject(f"{point}=kill while the exit of an app that left a session was dealt with")
            self.wait_dead(left)
            self.saw("what it left is dead")
            self.assertTrue(alive(child()), "the next run has its own")
        self.at(CRASH, crash, check)


# The ways of a byte from the pipe to its file.
CAPTURE = ["capture.after_splice", "capture.before_compact", "capture.mid_compact", "capture.after_intent", "capture.mid_write",
           "logfile.write", "capture.after_write", "capture.mid_commit", "capture.after_commit", "logfile.splice", "logfile.open",
           "rotate.after_rename", "rotate.after_open", "rotate.before_unlink"]


class KilledWhileLogging(FaultCase):
    def test_x01_death_at_any_step_of_logging_loses_and_doubles_no_line(self):
        self.start([self.writer("raw", rate=5000, log_max_size="200K", log_keep=1000),
                    self.writer("timed", rate=3000, log_date_format=TIMED, log_max_size="200K", log_keep=1000),
                    self.writer("json", rate=2000, log_type="json", log_max_size="200K", log_keep=1000),
                    self.writers_of_one_file("merged"),
                    self.writer("few", rate=5000, log_max_size="20K", log_keep=3)])
        before = self.table()
        for point in CAPTURE:
            for skip in (0, 5):
                supervisor = self.supervisor_pid()
                self.arm(f"{point}={skip}+kill" if skip else f"{point}=kill")
                self.wait_dead(supervisor, 30)
                self.answer_time(0)
                self.assertEqual(self.table(), before)
                self.inject(f"{point}=kill" + (f" at passing {skip + 1}" if skip else ""))
        self.assert_one_each(before)
        self.pmctl("stop", "raw", "timed", "json", "merged", "few")
        for name, message in (("raw", None), ("timed", without_time), ("json", without_json)):
            lines, files = self.check_log(name, message)
            self.saw(f"{name}: {lines} lines, each once, in {files} files")
        self.saw(f"merged: 3 writers, {self.check_merged('merged')} lines, each once")


class KilledInAMassStart(FaultCase):
    def test_x02_three_hundred_that_log_at_once_are_started_once_and_lose_nothing(self):
        # They write all they have at once, and stay.
        apps = [{"name": f"w{i}", "script": helper("lines"), "log_date_format": TIMED,
                 "args": ["-w", f"w{i}", "-c", self.counts, "-n", "200", "-b", "50"]} for i in range(300)]
        dice = random.Random(3)
        child = self.pmctl_popen("start", self.write("apps.json", {"apps": apps}))
        for n in range(6):
            supervisor = self.supervisor_pid()
            time.sleep(dice.random() * 0.15)  # the moment is what is tried
            kill(supervisor)
            self.wait_dead(supervisor)
        child.wait()
        self.answer_time(0)
        found = self.table()
        self.assertIn(len(found), (0, 300), "all were declared, or none")
        if not found:
            self.start(apps)
        self.wait(lambda: all(v[2] == "online" for v in self.table().values()), 60, lambda: f"online: {self.table()}")
        self.assert_one_each()
        self.assertEqual({v[3] for v in self.table().values()}, {0}, "restarts")

        def all_written():
            return all(done == 200 for done, _ in written(self.counts).values()) and len(written(self.counts)) == 300
        self.wait(all_written, 30, "300 times 200 lines")
        self.pmctl("stop", "all", timeout=60)
        for i in range(300):
            self.check_log(f"w{i}", without_time)
        self.inject("6 times SIGKILL of the supervisor while 300 apps that log at once were started by one command")
        self.saw(f"exit {child.returncode} of the command; 300 apps with one process each, 200 lines of each once")


class KilledAtRandom(FaultCase):
    def test_x02_sixty_random_kills_under_commands_leave_every_instance_whole(self):
        rounds, done = 60, 0
        dice = random.Random(20260101)
        self.start([self.silent("a", instances=3), self.forker("b"), self.silent("bystander")])
        before = [v for v in self.table().values() if v[0] == "bystander"]
        commands = (["stop", "a"], ["restart", "a"], ["start", "a"], ["scale", "a", 4], ["scale", "a", 2], ["restart", "b"],
                    ["stop", "b"], ["start", "b"], ["delete", "extra"],
                    ["start", "/bin/sleep", "--name", "extra", "--interpreter", "none", "--", "1000000"])
        codes = {}
        for n in range(rounds):
            supervisor = self.supervisor_pid()
            self.pmctl_popen(*map(str, dice.choice(commands)))
            second = self.pmctl_popen(*map(str, dice.choice(commands)))
            time.sleep(dice.random() * 0.06)  # the moment is what is tried
            kill(supervisor)
            self.wait_dead(supervisor)
            code = second.wait()
            codes[code] = codes.get(code, 0) + 1
            self.answer_time(0)
            if n % 10 == 9:
                self.assert_one_each_soon()
            done += 1
        for name, want in (("a", 3), ("b", 1)):
            self.pmctl("scale", name, want, check=False)
            self.pmctl("start", name, check=False)
            self.wait_status(name)
        self.assert_one_each_soon()
        self.assertEqual([v for v in self.table().values() if v[0] == "bystander"], before)
        self.inject(f"{done} times SIGKILL of the supervisor at random moments of two commands at once")
        self.saw(f"exit statuses of the commands {codes}; a, b whole afterwards: {self.table()}")

    def assert_one_each_soon(self):
        def settled():
            return all(s in ("online", "stopped") for _, _, s, _ in self.table().values())
        self.wait(settled, 20, lambda: f"rest in {self.table()}")
        self.assert_one_each()


if __name__ == "__main__":
    unittest.main()
