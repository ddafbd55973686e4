"""The keeper dies, alone or with its supervisor: apps live, none twice, and supervision goes on."""

import os
import random
import signal
import time
import unittest

from faults import FaultCase, TIMED, without_time
from pmdtest import alive, kill


class KeeperKilled(FaultCase):
    def kinds(self):
        return [self.writer("raw", rate=5000), self.writer("timed", rate=2000, log_date_format=TIMED),
                self.silent("silent"), self.forker("forker"), self.server("node")]

    def test_apps_outlive_three_keepers_in_a_row_and_are_supervised_again(self):
        self.start(self.kinds())
        before = self.table()
        for n in range(3):
            old = self.keeper_pid()
            seconds = self.kill_keeper()
            self.assertNotEqual(self.keeper_pid(), old)
            self.assertEqual(self.table(), before)
            self.assert_one_each(before)
            self.inject(f"SIGKILL of keeper {n + 1}")
            self.saw(f"same pids, answers again after {seconds:.3f} s")
        victim = self.pid("silent")
        kill(victim)
        self.wait(lambda: self.restarts("silent") == 1 and self.pid("silent") not in (0, victim), message="a restart of silent")
        why = self.pmctl("why", "silent").out
        self.saw(f"an app of the first keeper ended and was started again: {[l for l in why.splitlines() if 'unknown' in l]}")
        self.assertIn("unknown", why)
        kill(self.pid("silent"))
        self.wait(lambda: self.restarts("silent") == 2, message="a second restart of silent")
        self.assertIn("SIGKILL", self.pmctl("why", "silent").out)
        self.kill_supervisor()
        self.assert_one_each()
        self.pmctl("stop", "raw", "timed")
        for name, message in (("raw", None), ("timed", without_time)):
            self.saw(f"{name}: {self.check_log(name, message)[0]} lines, each once")
        self.pmctl("restart", "all")
        self.wait_status("node")
        self.assert_one_each()

    def test_no_second_copy_when_it_dies_over_a_command(self):
        dice = random.Random(7)
        self.start([self.silent("a", instances=4), self.forker("b")])
        for n in range(24):
            command = dice.choice((["restart", "a"], ["stop", "a"], ["start", "a"], ["restart", "b"], ["scale", "a", "6"],
                                   ["scale", "a", "4"]))
            keeper = self.keeper_pid()
            child = self.pmctl_popen(*command)
            time.sleep(dice.random() * 0.03)  # the moment is what is tried
            kill(keeper)
            self.wait_dead_keeper(keeper)
            child.wait()
            self.answer_time(0)
            self.settle()
            self.assert_one_each()
            self.inject(f"SIGKILL of the keeper over '{' '.join(command)}'")
            self.saw(f"exit {child.returncode}, then {sorted(v[2] for v in self.table().values())}")
            if any(v[2] == "stopped" for v in self.table().values()):
                self.pmctl("start", "a")
        self.pmctl("start", "a", "b", check=False)
        self.wait_status("a")
        self.assert_one_each()

    def settle(self):
        def settled():
            return all(s in ("online", "stopped") for _, _, s, _ in self.table().values())
        self.wait(settled, 20, lambda: f"rest in {self.table()}")

    def test_dying_after_the_fork_it_leaves_no_process_that_nobody_knows(self):
        for point in ("keeper.after_fork", "keeper.before_spawned"):
            with self.subTest(point=point):
                # Its second app.
                self.pmctl("ping", env={"PMD_FAIL": f"{point}=1+kill"})
                keeper = self.keeper_pid()
                self.pmctl("start", "/bin/sleep", "--name", "one", "--interpreter", "none", "--", "1000000")
                outcome = self.pmctl("start", "/bin/sleep", "--name", "two", "--interpreter", "none", "--", "1000000", check=False)
                self.wait_dead_keeper(keeper)
                self.answer_time(0)
                self.wait_status("one")
                self.wait_status("two")
                self.assert_one_each()
                self.inject(f"{point}=kill in the keeper, over the start of an app")
                self.saw(f"exit {outcome.code}; {len(self.app_processes()[self.app('two')['pm_id']])} process of it, adopted")
                self.pmctl("kill")
                self.wait(lambda: not self.agents(), message="end of the agent")


    def test_an_end_of_the_whole_agent_goes_on_whoever_dies_in_it(self):
        self.write("slow.sh", "#!/bin/sh\ntrap 'while [ ! -e go ]; do sleep 0.02; done; exit 0' INT\n"
                   "while :; do sleep 0.02; done\n", 0o755)
        for who in ("keeper", "supervisor"):
            for how in ("kill", "SIGTERM"):
                with self.subTest(who=who, how=how):
                    self.start([{"name": "slow", "script": self.path("slow.sh"), "cwd": self.work, "kill_timeout": 60000},
                                self.silent("other")])
                    pids = {name: pid for name, pid, _, _ in self.table().values()}
                    child = self.pmctl_popen("kill", text=True) if how == "kill" else None
                    if child is None:
                        os.kill(self.keeper_pid(), signal.SIGTERM)
                    self.wait_dead(pids["other"])
                    victim = self.keeper_pid() if who == "keeper" else self.supervisor_pid()
                    kill(victim)
                    self.wait_dead(victim)
                    self.inject(f"SIGKILL of the {who} while {how} waited for one of two apps")
                    self.write("go", "")
                    for pid in pids.values():
                        self.wait_dead(pid)
                    self.wait(lambda: self.agents() == {}, message="the end of the agent")
                    if child is not None:
                        out, _ = child.communicate(timeout=40)
                        self.assertEqual((child.returncode, "the agent is gone" in out), (0, True), out)
                    self.saw("both apps ended, and no agent left")
                    self.pmctl("delete", "all", check=False)  # a stop brings them back, a kill does not
                    self.pmctl("kill")
                    os.unlink(self.path("go"))


class BothKilled(FaultCase):
    def test_a_new_agent_adopts_what_runs_and_captures_its_output(self):
        self.start([self.writer("raw", rate=500), self.silent("silent"), self.forker("forker"), self.server("node"),
                    self.silent("stopped")])
        self.pmctl("stop", "stopped")
        before = self.table()
        for n in range(3):
            self.kill_agent()
            self.assertTrue(all(alive(pid) for _, pid, s, _ in before.values() if s == "online"))
            out = self.pmctl("list")
            self.assertEqual(self.table(), before)
            self.assert_one_each(before)
            self.inject("SIGKILL of keeper and supervisor together, then 'pmctl list'")
            self.saw(f"every app adopted with its pid: {sorted(v[:3] for v in before.values())}")
        size = os.path.getsize(self.log("raw"))
        self.wait(lambda: os.path.getsize(self.log("raw")) > size, message="more output of raw")
        self.pmctl("stop", "raw")
        files = self.read(self.log("raw")).splitlines()
        numbers = [int(l.split(":")[1]) for l in files]
        self.assertEqual(numbers, sorted(set(numbers)), "a line twice or out of order")
        self.saw(f"raw: {len(numbers)} lines of {numbers[-1] + 1}; what was in flight with both dead may be lost, none is double")
        victim = self.pid("silent")
        kill(victim)
        self.wait(lambda: self.pid("silent") not in (0, victim), message="a restart of silent")
        self.pmctl("restart", "all")
        self.settled_all()
        self.assert_one_each()

    def settled_all(self):
        self.wait(lambda: all(s in ("online", "stopped") for _, _, s, _ in self.table().values()), message="rest")

    def test_an_app_that_was_being_stopped_is_stopped_by_the_next_agent(self):
        self.write("deaf.sh", "#!/bin/sh\ntrap '' INT TERM\nwhile :; do sleep 1000000; done\n", 0o755)
        self.start([{"name": "deaf", "script": self.path("deaf.sh"), "kill_timeout": 3000}])
        pid, state = self.pid("deaf"), os.path.join(self.home, "state", "apps")
        saved_at = os.stat(state).st_mtime_ns
        child = self.pmctl_popen("stop", "deaf")
        self.wait(lambda: self.status("deaf") == "stopping", message="stopping")
        self.wait(lambda: os.stat(state).st_mtime_ns > saved_at, message="the stop on disk")
        self.kill_agent()
        child.wait()
        self.assertTrue(alive(pid))
        self.assertIn(self.status("deaf"), ("stopping", "stopped"))
        self.inject("SIGKILL of both while an app that ignores SIGINT was being stopped")
        self.saw(f"{self.status('deaf')}, not online again")
        self.wait_status("deaf", "stopped")
        self.wait_dead(pid)

    def test_output_that_the_app_sends_elsewhere_is_not_taken_from_there(self):
        self.write("tee.sh", "#!/bin/bash\nexec > >(exec cat >>tee.out)\nn=0\nwhile :; do echo line $n; n=$((n+1)); sleep 0.01; done\n",
                   0o755)
        self.start([{"name": "tee", "script": self.path("tee.sh"), "cwd": self.work}])
        self.wait_text("tee.out", "line 20\n")
        self.kill_agent()
        self.pmctl("list")
        at = len(self.read("tee.out").splitlines())
        self.wait(lambda: len(self.read("tee.out").splitlines()) > at + 50, message="50 more lines")
        self.pmctl("stop", "tee")
        got = self.read("tee.out").splitlines()
        self.inject("both killed; stdout of the app is a pipe of its own to another program")
        self.saw(f"{len(got)} lines there, none missing")
        self.assertEqual(got, [f"line {n}" for n in range(len(got))])


if __name__ == "__main__":
    unittest.main()
