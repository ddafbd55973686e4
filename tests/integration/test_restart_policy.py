"""What follows an exit: restarts, delays, giving up, and orders that come in between."""

import os
import signal
import unittest

from pmdtest import PmdTestCase, alive, kill


class RestartPolicy(PmdTestCase):
    def start(self, name, script, check=True, **keys):
        """Starts one shell app from a file, so that every key can be given."""
        path = self.write(f"{name}.sh", f"#!/bin/sh\n{script}\n", 0o755)
        config = self.write(f"{name}.json", {"apps": [dict(name=name, script=path, interpreter="none", **keys)]})
        return self.pmctl("start", config, check=check)

    def env(self, name):
        return self.app(name)["pm2_env"]

    def runs(self, name="a"):
        """How often the app has begun: each run writes one line."""
        return len(self.read("runs").splitlines())

    COUNT = 'echo x >>runs\n'

    def test_an_exit_is_followed_by_a_restart_and_counted(self):
        self.start("a", "while :; do sleep 3600; done")
        for n, sig in enumerate((signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM), 1):
            pid = self.pid("a")
            kill(pid, sig)
            self.wait(lambda: self.pid("a") not in (0, pid), message="a new pid")
            self.assertEqual(self.restarts("a"), n)
        self.wait_status("a")

    def test_short_runs_in_a_row_make_it_errored_at_max_restarts(self):
        out = self.start("a", self.COUNT + "exit 3", check=10, max_restarts=4, min_uptime=5000)
        self.assertIn("code 3", out.out + out.err)
        self.wait_status("a", "errored")
        self.assertEqual(self.runs(), 4)
        self.assertEqual(self.restarts("a"), 3)
        self.assertEqual(self.env("a")["exit_code"], 3)
        self.assertIn("gave up", self.pmctl("why", "a", check=False).out)
        self.pmctl("restart", "a", check=10)
        self.wait_status("a", "errored")
        self.assertEqual(self.runs(), 8)

    def test_a_long_run_between_short_ones_forgives_them(self):
        # Runs 1, 2 are short, 3 is long, 4, 5, 6 are short: without the long one it would end at the third.
        self.start("a", self.COUNT + 'n=$(wc -l <runs)\n[ $n -ne 3 ] || sleep 0.7\nexit 1', check=10,
                   max_restarts=3, min_uptime=500)
        self.wait_status("a", "errored")
        self.assertEqual(self.runs(), 6)

    def test_max_restarts_holds_with_a_delay_and_with_a_backoff(self):
        for keys in ({"restart_delay": 30}, {"exp_backoff_restart_delay": 10}):
            with self.subTest(keys):
                self.write("runs", "")
                self.start("a", self.COUNT + "exit 1", check=10, max_restarts=3, min_uptime=10000, **keys)
                self.wait_status("a", "errored")
                self.assertEqual(self.runs(), 3)
                self.pmctl("delete", "a")

    def test_restart_delay_is_waited_for_and_shown(self):
        self.start("a", self.COUNT + "sleep 0.6; date +%s%N >>ends; exit 0", restart_delay=700)
        self.wait_status("a", "waiting restart")
        self.wait(lambda: self.runs() == 2, message="a second run")
        ends = self.read("ends").split()
        began = os.stat(self.path("runs")).st_mtime_ns
        self.assertGreaterEqual(began - int(ends[0]), 690_000_000)

    def test_backoff_grows_by_half_each_time(self):
        self.start("a", "date +%s%N >>runs; exit 1", check=10, exp_backoff_restart_delay=100, max_restarts=6,
                   min_uptime=10000)
        self.wait_status("a", "errored")
        times = [int(t) for t in self.read("runs").split()]
        gaps = [(b - a) / 1e6 for a, b in zip(times, times[1:])]
        self.assertEqual(len(gaps), 5)
        for gap, want in zip(gaps, (100, 150, 225, 337, 505)):
            self.assertGreaterEqual(gap, want - 1)
        self.assertLess(gaps[0], gaps[4])  # it is not as long from the beginning

    def test_stop_exit_codes_leave_it_stopped(self):
        out = self.start("a", self.COUNT + "exit 7", check=False, stop_exit_codes=[0, 7], restart_delay=100)
        self.wait_status("a", "stopped")
        self.assertEqual(self.runs(), 1)
        self.assertNotEqual(out.code, 0, out)
        self.start("b", self.COUNT + "kill -7 $$", check=10, stop_exit_codes=[7], max_restarts=2)
        self.wait_status("b", "errored")  # a signal is no exit code

    def test_without_autorestart_it_stays_down_with_and_without_a_delay(self):
        for keys in ({}, {"restart_delay": 50}, {"exp_backoff_restart_delay": 50}):
            with self.subTest(keys):
                self.write("runs", "")
                out = self.start("a", self.COUNT + "exit 0", autorestart=False, **keys)
                self.assertEqual(out.code, 0)
                self.wait_status("a", "stopped")
                self.assertEqual(self.runs(), 1)
                self.pmctl("delete", "a")
        out = self.start("b", "echo why it failed >&2; exit 4", check=10, autorestart=False)
        self.assertIn("code 4", out.out + out.err)
        self.assertIn("why it failed", out.out + out.err)
        self.wait_status("b", "stopped")

    def test_restart_and_start_during_the_delay_run_it_at_once(self):
        for verb in ("restart", "start"):
            with self.subTest(verb):
                self.write("runs", "")
                self.start("a", self.COUNT + '[ "$(wc -l <runs)" -gt 1 ] || { sleep 0.6; exit 1; }; exec sleep 3600',
                           restart_delay=3600_000)
                self.wait_status("a", "waiting restart")
                self.pmctl(verb, "a")
                self.wait_status("a")
                self.assertEqual(self.runs(), 2)
                self.pmctl("delete", "a")

    def test_stop_and_delete_during_the_delay_end_it(self):
        self.start("a", self.COUNT + "sleep 0.6; exit 1", restart_delay=3600_000)
        self.wait_status("a", "waiting restart")
        self.pmctl("stop", "a")
        self.assertEqual(self.status("a"), "stopped")
        self.pmctl("restart", "a")
        self.wait_status("a", "waiting restart")
        self.pmctl("delete", "a")
        self.assertEqual(self.apps(), [])
        self.assertEqual(self.runs(), 2)

    def test_reset_clears_the_counters(self):
        self.start("a", "exec sleep 3600")
        self.pmctl("restart", "a")
        self.pmctl("restart", "a")
        self.assertEqual(self.restarts("a"), 2)
        pid = self.pid("a")
        self.pmctl("reset", "a")
        self.assertEqual((self.restarts("a"), self.env("a")["unstable_restarts"]), (0, 0))
        self.assertEqual(self.pid("a"), pid)

    def test_an_app_that_gave_up_stays_down_over_a_new_agent(self):
        self.start("a", self.COUNT + "exit 1", check=10, max_restarts=2)
        self.wait_status("a", "errored")
        self.start("b", "exec sleep 3600")
        pids = list(self.agents()) + [self.pid("b")]
        self.wait(lambda: os.listdir(os.path.join(self.home, "state")), message="saved state")
        os.kill(self.keeper_pid(), signal.SIGTERM)
        for pid in pids:
            self.wait_dead(pid)
        self.pmctl("ping")
        self.wait_status("b")
        self.assertEqual(self.status("a"), "errored")
        self.assertEqual(self.runs(), 2)

    def test_a_restart_replaces_the_pid_and_never_has_two_at_once(self):
        # The app takes a lock for as long as it runs: a second one beside it would say so.
        self.start("a", 'exec 9>lock\nflock -n 9 || { echo two >>two; }\nexec sleep 3600')
        for _ in range(5):
            before = self.pid("a")
            self.pmctl("restart", "a")
            self.assertFalse(alive(before))
            self.assertNotEqual(self.pid("a"), before)
        self.assertEqual(self.read("two"), "")


if __name__ == "__main__":
    unittest.main()
