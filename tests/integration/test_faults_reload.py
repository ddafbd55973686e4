"""The agent dies in the middle of a reload: at every named point of it, at any moment, in every combination (X-02, P1, P4,
P5). It is finished or rolled back by whoever comes next, no request fails, and what the caller was told is true."""

import contextlib
import random
import signal
import time
import unittest

from loads import SOAK, Load
from pmdtest import alive, kill
from reloads import ReloadCase

# What a reload passes on its way; each point is a moment to die at.
BEGIN = ["order.before_publish", "store.after_publish", "reload.after_hidden", "reload.before_start",
         "instance.after_order_commit", "instance.before_spawn", "instance.after_spawn"]
SWAP = ["reload.before_swap", "reload.between_roles", "reload.after_swap", "reload.before_drain", "reload.after_drain"]
END = ["instance.before_exit_commit", "instance.after_exit_commit", "instance.after_forget"]
FAIL = ["reload.before_fail", "reload.after_fail", "instance.before_exit_commit", "instance.after_exit_commit",
        "instance.after_forget"]
SCALE = ["order.before_publish", "reload.after_retire", "reload.before_drain", *END]


class Killed(ReloadCase):
    @contextlib.contextmanager
    def load(self, failures=0):
        """Load of both kinds; what it lost at the end is an error, but for what may have been in flight in workers that
        were killed."""
        with Load(self.address, keep=True, connections=4, rate=200) as kept, \
                Load(self.address, connections=4, rate=200) as closed:
            kept.wait_for(20)
            closed.wait_for(20)
            yield
            for load in (kept, closed):
                load.wait_for(load.now()["requests"] + 50)
                account = load.finish()
                self.saw(f"{account['requests']} requests, {account['failures']} failed, by {len(account['workers'])} workers")
                if failures is not None:
                    self.assertLessEqual(account["failures"], failures, account)

    def check_answer(self, before, code, said):
        """It was done for each instance or for none of which the caller was told so."""
        after = self.pids()
        replaced = [a != b for a, b in zip(before, after)]
        if code == 0:
            self.assertTrue(all(replaced), f"{before} -> {after}, and the caller was told: {said}")
        self.saw(f"exit {code}, replaced: {replaced}")

    def die_supervisor(self):
        """Waits until it has died at what was armed."""
        self.wait_dead(self.victim)
        self.answer_time(0)

    def die_keeper(self):
        """The supervisor stands at what was armed: there the keeper dies."""
        self.wait_stopped()
        keeper = self.keeper_pid()
        kill(keeper)
        self.wait_dead_keeper(keeper)
        kill(self.victim, signal.SIGCONT)
        self.answer_time(0)

    def die_both(self):
        self.wait_stopped()
        keeper = self.keeper_pid()
        kill(keeper, signal.SIGSTOP)
        for pid in (self.victim, keeper):
            kill(pid)
        for pid in (keeper, self.victim):
            self.wait_dead(pid)
        self.answer_time(0)

    def wait_stopped(self):
        def stopped():
            return self.read(f"/proc/{self.victim}/stat").rpartition(")")[2].split()[:1] == ["T"]
        self.wait(stopped, 30, f"the supervisor at {self.point}")

    def at(self, points, command, die, skips=(0,), action="kill"):
        for point in points:
            for skip in skips:
                with self.subTest(point=point, skip=skip):
                    self.point, self.victim = point, self.supervisor_pid()
                    before = self.pids()
                    self.arm(f"{point}={skip}+{action}" if skip else f"{point}={action}")
                    child = self.begin(*command)
                    die()
                    self.inject(f"{point}={'+'.join(filter(None, [str(skip or ''), action]))} in {' '.join(map(str, command))}")
                    code, said = self.finish(child)
                    yield before, code, said

    def check_reloads(self, points, die, skips=(0,), action="kill"):
        for before, code, said in self.at(points, ("reload", "api"), die, skips, action):
            self.assert_whole()
            self.check_answer(before, code, said)


class SupervisorKilledAtPoint(Killed):
    def test_x02_a_reload_is_finished_or_rolled_back_and_no_request_fails(self):
        self.start_api()
        with self.load():
            self.check_reloads(BEGIN + SWAP + END, self.die_supervisor)

    def test_x02_at_the_second_worker(self):
        self.start_api()
        with self.load():
            self.check_reloads([p for p in BEGIN + SWAP + END if not p.startswith(("order", "store"))],
                               self.die_supervisor, (1,))

    def test_x02_a_release_that_does_not_start_has_changed_nothing(self):
        self.start_api()
        before = self.pids()
        self.how("throw")
        with self.load():
            for _, code, said in self.at(FAIL, ("reload", "api"), self.die_supervisor):
                self.assert_whole()
                self.assertEqual(self.pids(), before)
                self.assertNotEqual(code, 0, said)

    def test_x02_a_scale_down_lets_those_that_go_finish(self):
        self.start_api(4)
        with self.load():
            for _, code, said in self.at(SCALE, ("scale", "api", 2), self.die_supervisor):
                self.wait(lambda: sorted(self.pids()) == self.servers(), 30, "the end of those that went")
                self.assertIn(len(self.pids()), (2, 3, 4))
                self.assert_whole(len(self.pids()))
                self.pmctl("scale", "api", 4)
                self.wait(lambda: self.workers() >= set(self.pids()), message="all that answer")

    def test_x02_one_whose_time_to_finish_is_over_is_ended(self):
        self.start_api(1, drain_timeout=1000)
        for die, action in ((self.die_supervisor, "kill"), (self.die_keeper, "stop"), (self.die_both, "stop")):
            self.retiring_request()
            for _ in self.at(["reload.before_stop"], ("reload", "api"), die, action=action):
                self.assert_whole(1)

    def test_x02_a_connection_in_use_is_served_to_its_end(self):
        self.start_api(1)
        for point in ("reload.after_swap", "reload.after_drain"):
            with self.subTest(point=point):
                old = self.pids()
                self.victim = self.supervisor_pid()
                slow = self.popen(["python3", "-c", "import urllib.request as r\n"
                                   f"print(r.urlopen('http://127.0.0.1:{self.port}/?2000').headers['X-Worker'])"],
                                  stdout=-1, text=True)
                self.wait(self.connections, 20, "the slow request")
                self.arm(f"{point}=kill")
                child = self.begin("reload", "api")
                self.die_supervisor()
                self.assertEqual(int(slow.communicate()[0]), old[0])
                self.finish(child)
                self.assert_whole(1)


class KeeperKilledAtPoint(Killed):
    def test_x02_a_reload_is_finished_or_rolled_back_and_no_request_fails(self):
        self.start_api()
        with self.load():
            self.check_reloads(BEGIN + SWAP + END, self.die_keeper, action="stop")

    def test_x02_a_release_that_does_not_start_has_changed_nothing(self):
        self.start_api()
        before = self.pids()
        self.how("throw")
        with self.load():
            for _, code, said in self.at(FAIL, ("reload", "api"), self.die_keeper, action="stop"):
                self.assert_whole()
                self.assertEqual(self.pids(), before)
                self.assertNotEqual(code, 0, said)


class BothKilledAtPoint(Killed):
    def test_workers_are_ended_and_started_anew_one_of_each(self):
        self.start_api()
        for before, code, said in self.at(["reload.before_start", "instance.after_spawn", *SWAP, "instance.after_forget"],
                                          ("reload", "api"), self.die_both, action="stop"):
            self.assert_whole()
            self.assertFalse(set(before) & set(self.pids()))
            self.assertNotEqual(code, 0, said)


class KilledAtRandom(Killed):
    def test_x02_supervisor_and_keeper_at_any_moment_under_load(self):
        dice = random.Random(20260202)
        self.start_api(3)
        with self.load():
            for n in range(60 if SOAK else 16):
                before = self.pids()
                child = self.begin("reload", "api")
                time.sleep(dice.random() * 1.2)  # the moment is what is tried
                who = dice.choice(("supervisor", "supervisor", "keeper"))
                pid = self.supervisor_pid() if who == "supervisor" else self.keeper_pid()
                kill(pid)
                self.wait_dead_keeper(pid)
                self.answer_time(0)
                code, said = self.finish(child)
                self.assert_whole(3)
                self.inject(f"SIGKILL of the {who}")
                self.check_answer(before, code, said)

    def test_x02_workers_too(self):
        """A worker that is killed takes along what it has in flight, at most one request of each connection."""
        dice = random.Random(20260203)
        self.start_api(3)
        rounds = 12 if SOAK else 5
        with self.load(rounds * 4):
            for n in range(rounds):
                child = self.begin("reload", "api")
                time.sleep(dice.random() * 0.8)
                kill(dice.choice(self.servers()))
                if n % 2:
                    supervisor = self.supervisor_pid()
                    kill(supervisor)
                    self.wait_dead(supervisor)
                    self.answer_time(0)
                self.finish(child)
                self.assert_whole(3)
            self.inject(f"{rounds} times SIGKILL of a worker, sometimes of the supervisor behind it, in the middle of a reload")


class Other(Killed):
    def test_x08_an_upgrade_in_the_middle_goes_on_with_the_reload(self):
        self.start_api(2, min_uptime=1500)
        with self.load():
            for moment in ("start", "swap"):
                with self.subTest(moment=moment):
                    before, n = self.pids(), len(self.servers())
                    child = self.begin("reload", "api")
                    if moment == "start":
                        self.wait_servers(n + 1)
                    else:
                        self.wait(lambda: self.pids() != before, message="the swap")
                    self.pmctl("agent", "upgrade", timeout=60)
                    code, said = self.finish(child)
                    self.assert_whole()
                    self.check_answer(before, code, said)

    def test_x01_it_gives_the_old_one_no_more_time_than_it_has(self):
        self.start_api(1, drain_timeout=3000)
        self.retiring()
        began = time.monotonic()
        old = [p for p in self.servers() if p not in self.pids()][0]
        deaths = 0
        while alive(old):
            self.kill_supervisor()
            deaths += 1
            time.sleep(0.5)  # below the rate at which deaths are a storm
            self.assertLess(time.monotonic() - began, 60)
        self.inject(f"{deaths} times SIGKILL of the supervisor while the old worker had an endless request")
        self.assert_whole(1)

    def test_a_kill_and_a_sigterm_end_all_and_the_next_start_has_one_of_each(self):
        self.start_api(2)
        for how in ("kill", "SIGTERM"):
            with self.subTest(how=how):
                child = self.starting()
                supervisor = self.supervisor_pid()
                if how == "kill":
                    self.pmctl("save")
                    self.pmctl("kill")
                else:
                    kill(supervisor, signal.SIGTERM)
                    self.wait_dead(supervisor)
                self.wait(lambda: not self.servers(), message="the end of all")
                self.assertNotEqual(self.finish(child)[0], 0)
                self.how("good")
                self.pmctl("resurrect" if how == "kill" else "list")
                self.assert_whole(2)


if __name__ == "__main__":
    unittest.main()
