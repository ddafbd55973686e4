"""Rollouts over five real hosts whose servers are under load: what fails, what is changed, and what the operator sees."""

import json
import os
import random
import signal
import time
import unittest

from rolling import WEB, RollingTestCase, Seen
from loads import SOAK


class Releases(RollingTestCase):
    def test_a_good_one_is_applied_everywhere_and_reloaded(self):
        """F-14, F-16, S-09: the hosts' own policy lets a coordinator say what an app is."""
        site = self.site
        config = site.release()
        version = site.version_of(config)
        for what in (("apply", config), ("reload", "api")):
            with self.load(), self.each_once():
                done = self.roll(*what, check=0)
            self.assertEqual(set(site.versions().values()), {version})
            lines = done.out.splitlines()
            number = self.newest()
            self.assertIn(f"rollout {number}  {what[0]} api  5 hosts in 4 batches (1,1,2,1)", lines[0])
            self.assertEqual(sorted(line for line in lines if "healthy" in line), [f"{name}  healthy" for name in WEB])
            self.assertIn("succeeded after 5 of 5: 5 new, 0 old, 0 down", lines)
            self.assertEqual(done.err, "")
            self.assert_story(number, "alice: begins on 5 hosts", "batch 1 of 4 begins", "batch 4 of 4 begins", "succeeded")

    def test_versions_of_all_hosts_are_listed_and_an_undo_names_the_rollout(self):
        site = self.site
        self.roll("apply", site.release(), check=0)
        self.roll("apply", site.release(), check=0)
        said = site.fleet("--all", "history", "api").out
        for name in WEB:
            self.assertIn(name, said)
        here = json.loads(site.web["web1"].pmctl("history", "api", "--json").out)["versions"]
        self.assertGreater(len(here), 1)
        self.assertIn(here[0]["spec_hash"], site.fleet("--hosts", "web1", "history", "api", "--json").out)
        self.assertIn("no such app", site.fleet("--hosts", "web2", "history", "nosuch", check=4).err)
        before = site.versions()
        done = site.fleet("--all", "undo", "api", check=2)
        self.assert_said(done.err, "undo", "rollout undo ROLLOUT")
        self.assertEqual(site.versions(), before)

    def test_one_that_never_gets_ready_stops_behind_the_canary(self):
        site = self.site
        before = site.versions()
        with self.load(), self.others_are_left("web1"):
            done = self.roll("apply", site.release(kind="never ready"), healthy_deadline="3s", check=13)
            number = self.newest()
            self.assert_said(done.out, "web1  FAILED  api: the new process failed: not ready in time", "| no database",
                             "paused after 1 of 5: 0 new, 5 old, 0 down", f"resume {number}", f"undo {number}")
            self.assert_story(number, "web1: failed: api: the new process failed", "paused: 1 of 5 hosts failed")
            self.assertEqual(site.versions(), before)
            site.fleet("rollout", "abort", number, "-m", "not this one")
            self.wait_state(number, "aborted")
            self.assert_story(number, "alice: abort: not this one")
        # The step is over on the host, too: nothing of that release is started later, whoever asks.
        site.web["web1"].pmctl("restart", "api")
        self.wait(lambda: site.versions() == before, message=site.versions)

    def test_one_that_crashes_later_is_undone(self):
        """F-18, F-17."""
        site = self.site
        before = site.versions()
        with self.load(spared=["web1"]), self.others_are_left("web1"):
            done = self.roll("apply", site.release(kind="crashes"), min_healthy="8s", check=13)
            number = self.newest()
            self.assert_said(done.out, "did not stay up: exited with code 9", "0 new, 4 old, 1 down")
            self.assert_story(number, "web1: failed: api (id ", "paused: 1 of 5 hosts failed")
            site.fleet("rollout", "undo", number, "--yes", "-m", "not this one")
            done = site.fleet("rollout", "watch", number, check=14)
            self.assert_said(done.out, "undone: by alice: not this one", "undone after 1 of 5: 0 new, 5 old, 0 down")
            self.assert_story(number, "alice: undo: not this one", "undo: batch 1 of 1 begins", "undone")
            self.assertEqual(site.versions(), before)

    def test_one_that_fails_later_on_is_rolled_back(self):
        """F-17: everywhere, and where it came last first."""
        site = self.site
        before = site.versions()
        config = site.release(kind="slow", slow={"web3": 60000})
        with self.load(), self.others_are_left("web1", "web2", "web3"):
            done = self.roll("apply", config, batch="1", healthy_deadline="4s", on_failure="rollback", check=14)
            number = self.newest()
            lines = done.out.splitlines()
            self.assertEqual([line[:4] for line in lines if "  healthy" in line], ["web1", "web2", "web3", "web2", "web1"])
            why = "1 of 5 hosts failed; web3: api: the new process failed: not ready in time"
            self.assert_said(done.out, f"undoing: every host goes back to what it had; {why}", f"undone: {why}",
                             "undone after 3 of 5: 0 new, 5 old, 0 down")
            self.assert_story(number, "web3: failed: api", "rolls back: 1 of 5 hosts failed", "undo: batch 3 of 3", "undone")
            self.assertEqual(site.versions(), before)

    def test_a_slow_host_delays_nobody(self):
        """F-10, F-16, class D: an app that does not listen in time."""
        site = self.site
        before = site.versions()
        config = site.release(kind="slow", slow={"web3": 60000})
        with self.load(), self.others_are_left(*WEB):
            seen = Seen(self, "--all", "apply", config, *self.options(
                healthy_deadline="6s", batch="100%", max_down="100%", on_failure="continue"), "--yes")
            for name in set(WEB) - {"web3"}:
                seen.until(f"{name}  healthy")
            number = self.newest()
            self.assertEqual(self.states(number)["web3"], "sent")
            self.assertEqual(seen.end(), 10)
            self.assert_said(str(seen), "web3  FAILED  api: the new process failed: not ready in time",
                             "failed after 5 of 5: 4 new, 1 old, 0 down")
            after = {**{name: site.version_of(config) for name in WEB}, "web3": before["web3"]}
            self.assertEqual(site.versions(), after)

    def test_an_agent_that_hangs_delays_nobody(self):
        """F-10, class D: it is there, and does not get on."""
        site = self.site
        boots = site.boots()
        supervisor = site.web["web2"].pmctl("agent", "status", "--json").json()["supervisor_pid"]
        with self.load(), self.each_once(("web1", "web3", "web4", "web5")):
            seen = Seen(self, "--all", "reload", "api", *self.options(
                healthy_deadline="4s", batch="1,4", max_down="4", canary_hold="ask", on_failure="continue"), "--yes")
            seen.until("holds: ")
            number = self.newest()
            os.kill(supervisor, signal.SIGSTOP)
            try:
                site.fleet("rollout", "promote", number)
                for name in ("web3", "web4", "web5"):
                    seen.until(f"{name}  healthy")
                self.assertEqual(self.states(number)["web2"], "sent")
                self.assertEqual(seen.end(), 10)
            finally:
                os.kill(supervisor, signal.SIGCONT)
            self.assert_said(str(seen), "web2  FAILED  not healthy after 4 s", "4 new, 1 old, 0 down")
            # It was given up, and an agent that wakes up too late does nothing of it.
            self.wait(lambda: "too late" in site.web["web2"].pmctl("audit", "--here").out, message="web2 says so")
            self.assertEqual(site.boots()["web2"], boots["web2"])

class Hosts(RollingTestCase):
    def test_hosts_that_are_lost(self):
        """Class C, and then A: web1 goes in its step; web5 is gone from the beginning, and nobody waits for it."""
        site = self.site
        config = site.release(kind="slow", slow={"web1": 4000})
        site.web["web5"].cut()
        with self.load(WEB[1:4]), self.each_once(WEB[:4]):
            seen = Seen(self, "--hosts", "web[1-4]", "apply", config, *self.options(healthy_deadline="60s"), "--yes")
            seen.until("batch 1 of 4")
            number = self.newest()
            self.wait_step(number, "web1", "sent")
            site.web["web1"].cut()
            self.assertEqual(seen.end(120), 13)
            self.assert_said(str(seen), "web1  unknown  it was lost in the middle of its step",
                             "paused: it is not known whether 1 of 4 hosts did it", "0 new, 3 old, 1 down")
            site.web["web1"].mend()
            site.wait(lambda: site.online("web1"), timeout=60)
            # It did it meanwhile; asked again by the token of the step, it says so, and does it no second time.
            site.fleet("rollout", "resume", number)
            done = site.fleet("rollout", "watch", number, timeout=90)
            self.assert_said(done.out, "succeeded after 4 of 4: 4 new, 0 old, 0 down")
            self.assertEqual(self.states(number)["web1"], "healthy")
            self.assert_story(number, "web1: unknown: it was lost", "paused:", "alice: resumed", "succeeded")
        with self.load(WEB[:4]), self.each_once(WEB[:4]):
            done = self.roll("reload", "api", check=7)
            self.assert_said(done.err, "1 of 5 hosts are not reachable (web5); nothing was begun", "--max-unreachable 1")
            done = self.roll("reload", "api", "--max-unreachable", "1", batch="2", max_down="2", check=11)
            self.assert_said(done.out, "succeeded after 4 of 5: 4 new, 0 old, 0 down, 1 skipped")
        site.web["web5"].mend()
        site.wait_online()
        self.assertNotEqual(site.versions()["web5"], site.version_of(config))
        self.roll("apply", config, check=0)
        self.assertEqual(set(site.versions().values()), {site.version_of(config)})

    def test_a_coordinator_that_is_cut_off_freezes_and_goes_on(self):
        """Class E."""
        site = self.site
        with self.load(), self.each_once():
            seen = Seen(self, "--all", "reload", "api", *self.options(batch="1,2,2", max_down="2", wait="2s"), "--yes")
            seen.until("batch 2 of 3")
            number = self.newest()
            site.coordinator_host.cut()
            site.wait_text(os.path.join(site.dir, "coordinator.log"), "it is us, not them; rollouts are frozen", timeout=90)
            site.coordinator_host.mend()
            self.assertEqual(seen.end(120), 0)
            self.assert_said("\n".join(seen.err), "the connection to the coordinator is lost", "connected again")
            self.assert_said("\n".join(seen.out), "succeeded after 5 of 5: 5 new, 0 old, 0 down")
            self.assert_story(number, "frozen", "more than half of the agents are back", "batch 3 of 3 begins", "succeeded")
            self.assertNotIn("unknown", self.story(number))


class Operators(RollingTestCase):
    def test_f20_f21_the_coordinator_dies_at_any_moment(self):
        """Every host is reloaded once in each rollout, and the load sees nothing of it."""
        site = self.site
        chance = random.Random(os.environ.get("PMD_SEED", 1))
        with self.load():
            for i in range(50 if SOAK else 5):
                with self.subTest(i=i), self.each_once():
                    site.wait_online()
                    if i % 3 == 2:  # that of the turn before
                        site.fleet("rollout", "undo", number, "--yes")
                    else:
                        what = ("apply", site.release()) if i % 3 else ("reload", "api")
                        number = self.begin(*what, batch="1,2,2", max_down="2", min_healthy="200ms", monitor="200ms")
                    time.sleep(chance.uniform(0, 4))
                    site.stop_coordinator(kill=True)
                    site.start_coordinator()
                    self.wait_state(number, "undone" if i % 3 == 2 else "succeeded")

    def test_nobody_is_there_is_not_that_nobody_has_it(self):
        site = self.site
        site.stop_coordinator()
        for host in site.web.values():
            host.cut()
        site.start_coordinator()
        done = self.roll("reload", "api", check=7)
        self.assert_said(done.err, "none of 5 hosts is reachable", "nothing was begun")

    def test_f19_two_operators_at_once(self):
        site = self.site
        bob = site.host("bob")
        bob.pmctl("login", "--token-file", site.token("--operator", "--role", "deployer", "--name", "bob"))
        with self.load(), self.each_once():
            number = self.begin("reload", "api", canary_hold="ask")
            other = bob.pmctl("--hosts", "web[3-5]", "reload", "api", *self.options(), "--yes", check=6)
            self.assertRegex(other.err, f"api on web3 is locked by alice since [0-9:]+ UTC: rollout {number}: reload api")
            direct = bob.pmctl("--hosts", "web5", "restart", "api", check=6)
            self.assert_said(direct.err, f"web5 is being changed by rollout {number} (reload api, by alice)")
            self.wait(lambda: self.show(number)["rollout"].get("hold") == "promote")
            bob.pmctl("rollout", "promote", number, "-m", "looks good")  # F-22
            self.wait_state(number, "succeeded")
            self.assert_story(number, "alice: begins", "bob: promoted batch 2: looks good", "succeeded")

    def test_f23_a_pmctl_that_dies_is_no_loss(self):
        site = self.site
        with self.load(), self.each_once():
            seen = Seen(self, "--all", "reload", "api", *self.options(wait="1s"), "--yes")
            seen.until("batch 2 of 4")
            number = self.newest()
            seen.child.kill()
            seen.end()
            self.assertEqual(self.show(number)["rollout"]["state"], "running")
            done = site.fleet("rollout", "watch", number, timeout=60)
            self.assert_said(done.out, f"rollout {number}  reload api", "web5  healthy",
                             "succeeded after 5 of 5: 5 new, 0 old, 0 down")


if __name__ == "__main__":
    unittest.main()
