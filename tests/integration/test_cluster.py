"""Cluster mode: one port, several workers, and what they survive."""

import os
import signal
import unittest

from clusters import SOAK, ClusterTestCase, Load
from pmdtest import helper, kill

KILLS = 20 if SOAK else 3
UPGRADES = 5 if SOAK else 2


class Scale(ClusterTestCase):
    def scale_rounds(self, load):
        for n in (4, 1, 3, 2) * (5 if SOAK else 1):
            self.pmctl("scale", "api", str(n), timeout=60)
            self.assertEqual(len(self.pids()), n)
            load.wait_for(load.now()["requests"] + 100)

    def test_no_request_fails_while_an_app_is_scaled(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.scale_rounds(load)

        self.each_way(body)

    def test_other_programs_are_scaled(self):
        def body():
            with self.load(False) as load:
                self.scale_rounds(load)

        self.others(body)


class Supervisor(ClusterTestCase):
    def kill_rounds(self, load):
        before = self.pids()
        for _ in range(KILLS):
            dead = self.supervisor_pid()
            kill(dead)
            self.wait_dead(dead)
            self.wait(lambda: self.supervisor_pid() != dead, message="another supervisor")
            self.pmctl("ping")
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)
        self.reload_rounds(load, 2)  # it still knows how

    def upgrade_rounds(self, load):
        before = self.pids()
        for _ in range(UPGRADES):
            self.pmctl("agent", "upgrade", timeout=60)
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)
        self.reload_rounds(load, 2)

    def test_no_request_fails_when_the_supervisor_is_killed(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.kill_rounds(load)

        self.each_way(body, only=["18", "20"])

    def test_no_request_fails_when_pmd_is_upgraded(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.upgrade_rounds(load)

        self.each_way(body, only=["18", "20"])

    def test_other_programs_survive_both(self):
        def body():
            with self.load(False) as load:
                self.kill_rounds(load)
                self.upgrade_rounds(load)

        self.others(body)

    def test_no_request_fails_when_the_supervisor_is_killed_during_reloads(self):
        self.start()
        with self.load(True) as load:
            for i in range(KILLS):
                command = self.pmctl_popen("reload", "api")
                load.wait_for(load.now()["requests"] + 40 * (i % 5))
                dead = self.supervisor_pid()
                kill(dead)
                self.wait_dead(dead)
                command.wait(60)
                self.pmctl("ping")
                self.wait(lambda: len(self.web_pids()) == 2, 40, lambda: f"two workers, not {self.web_pids()}")
                self.wait_status("api")
                load.wait_for(load.now()["requests"] + 100)

    def test_no_request_fails_when_the_supervisor_dies_at_any_step_of_a_reload(self):
        self.start()
        with self.load(True) as load:
            for step in ("before_start", "before_swap", "between_roles", "after_swap", "before_drain", "before_stop"):
                with self.subTest(step=step):
                    dead = self.supervisor_pid()
                    self.run_command([helper("arm"), self.home, f"reload.{step}=kill"])
                    self.pmctl("reload", "api", check=False, timeout=60)
                    self.wait_dead(dead)
                    self.wait(lambda: len(self.web_pids()) == 2, 40, lambda: f"two workers, not {self.web_pids()}")
                    self.wait_status("api")
                    self.assertEqual(self.pids(), sorted(self.web_pids()))
                    load.wait_for(load.now()["requests"] + 200)
                    self.assertEqual(load.now()["failures"], 0)
            self.reload_rounds(load, 1)

    def web_pids(self):
        return [p.pid for p in self.processes() if any(a.endswith("web.js") for a in p.argv)]


class Workers(ClusterTestCase):
    def test_a_worker_that_is_killed_loses_only_what_it_was_answering(self):
        def body(node, mode, keep):
            self.start(node, mode)
            connections = 8
            with Load(self.address, keep, connections=connections) as load:
                load.wait_for(200)
                for _ in range(3):
                    victim = self.pids()[0]
                    kill(victim)
                    self.wait(lambda: victim not in self.pids() and 0 not in self.pids(), message="a successor")
                    self.wait_status("api")
                    load.wait_for(load.now()["requests"] + 200)
                account = load.finish()
            failed = {kind: n for kind, n in account["failed"].items() if n}
            self.assertLessEqual(set(failed), {"reset_before", "reset_within", "short"}, account)
            self.assertLessEqual(account["failures"], 3 * connections, account)

        self.each_way(body, only=["20"])

    def test_both_workers_get_their_share(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep, requests=2000, connections=64):
                pass
            shares = [w["connections"] for w in self.account["workers"].values()]
            self.assertEqual(len(shares), 2)
            # Even within what chance does to so few (64) kept connections.
            self.assertLess(max(shares) / sum(shares), 0.7 if keep else 0.6, self.account)

        self.each_way(body, only=["20"])

    def test_a_worker_that_is_stopped_does_not_hold_what_waits_for_it_for_ever(self):
        self.start()
        victim = self.pids()[0]
        os.kill(victim, signal.SIGSTOP)
        with Load(self.address, False, count=200) as load:
            load.wait_for(20)
            kill(victim)
            account = load.wait_for(200)
        failed = {kind: n for kind, n in account["failed"].items() if n}
        self.assertLessEqual(account["failures"], 8, failed)


if __name__ == "__main__":
    unittest.main()
