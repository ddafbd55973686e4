"""Rollouts over played agents: what is done where, in which order, how often, and what is said about it."""

import json
import os
import signal
import time

from fleet import FleetTestCase

QUICK = ("--min-healthy", "200ms", "--healthy-deadline", "5s", "--progress-deadline", "60s", "--monitor", "200ms")
WEB = [f"web{i}" for i in range(1, 6)]
APPS = "* apps=api:2:1.4.1:online\n"


class RolloutTestCase(FleetTestCase):
    def fleet_of(self, names=WEB, script=APPS, coordinator=()):
        self.coordinator(*coordinator)
        self.login()
        self.agents_of(names, script)

    def release(self, version):
        """A file that declares `api`, of that version."""
        path = os.path.join(self.dir, "release")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "package.json"), "w") as file:
            json.dump({"name": "api", "version": version}, file)
        with open(os.path.join(path, "api.js"), "w") as file:
            file.write("setInterval(() => {}, 1000)\n")
        with open(os.path.join(path, "apps.json"), "w") as file:
            json.dump({"apps": [{"name": "api", "script": os.path.join(path, "api.js"), "instances": 2}]}, file)
        return os.path.join(path, "apps.json")

    def roll(self, *args, check=True, quick=QUICK):
        return self.pmctl("--all", *args, *quick, "--yes", "--json", check=check, timeout=120)

    def show(self, number):
        return self.pmctl("rollout", "show", number, "--json").json()

    def newest(self):
        return self.pmctl("rollout", "list", "--all", "--json").json()["rollouts"][0]

    def hosts_that_did(self):
        return [host for host, *_ in self.did]

    def assert_each_once(self, names=WEB, verb=None):
        done = [d for d in self.did if verb in (None, d[1])]
        self.assertEqual(sorted(d[0] for d in done), sorted(names))
        self.assertEqual(len({d[3] for d in done}), len(done), "a token was carried out twice")

    def states(self, shown):
        return {h["host"]: h["state"] for h in shown["hosts"]}

    def wait_state(self, number, *states, timeout=60):
        def get():
            shown = self.show(number)
            return shown if shown["rollout"]["state"] in states else None
        return self.wait(get, timeout, f"{number} to be {states}")


class Good(RolloutTestCase):
    def test_every_host_once_in_batches(self):
        self.fleet_of()
        done = self.roll("reload", "api", "--batch", "1,2", "--max-down", "2")
        self.assertEqual(done.code, 0)
        shown = done.json()
        self.assertEqual(shown["rollout"]["state"], "succeeded")
        self.assertEqual(shown["rollout"]["batches"], [1, 2, 2])
        self.assertEqual(set(self.states(shown).values()), {"healthy"})
        self.assert_each_once()
        self.assertEqual(self.hosts_that_did()[0], "web1")
        self.assertEqual(set(self.hosts_that_did()[1:3]), {"web2", "web3"})
        self.assertEqual(shown["account"]["total"], 5)
        self.assertEqual(shown["account"]["new"], 5)

    def test_apply_changes_the_spec_and_undo_puts_it_back(self):  # F-17, F-22
        self.fleet_of()
        done = self.roll("apply", self.release("1.4.2"))
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual({d[2] for d in self.did}, {"1.4.2"})
        number = done.json()["rollout"]["id"]
        undone = self.pmctl("rollout", "undo", number, "--yes", "--json", check=False, timeout=60)
        shown = self.wait_state(number, "undone")
        self.assertIn(undone.code, (0, 14))
        self.assertEqual({d[2] for d in self.did if d[1] == "revert"}, {"1.4.1"})
        self.assert_each_once(verb="revert")
        self.assertTrue(any("undo" in e["text"] for e in shown["story"]))

    def test_one_that_is_long_over_is_undone(self):
        self.fleet_of()
        number = self.roll("apply", self.release("1.4.2")).json()["rollout"]["id"]
        self.stop_coordinator()  # it knows of what is over from its store alone
        self.start_coordinator()
        self.wait_up(5)
        listed = self.pmctl("rollout", "list", "--all", "--json").json()["rollouts"]
        self.assertEqual([(r["id"], r["counts"]["healthy"]) for r in listed], [(number, 5)])
        self.assertEqual(self.show(number)["account"]["new"], 5)
        self.pmctl("rollout", "undo", number, "--yes", check=False, timeout=60)
        self.wait_state(number, "undone")
        self.assert_each_once(verb="revert")

    def test_reload_alone_has_nothing_to_undo(self):
        self.fleet_of()
        number = self.roll("reload", "api").json()["rollout"]["id"]
        undone = self.pmctl("rollout", "undo", number, "--yes", check=False)
        self.assertNotEqual(undone.code, 0)
        self.assertIn("no spec", undone.err)

    def test_hosts_that_join_later_are_not_in_it(self):  # F-03
        self.fleet_of()
        done = self.roll("reload", "api", "--canary-hold", "ask", "--no-wait")
        number = done.json()["rollout"]["id"]
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "promote", message="the canary")
        token = self.write("late.token", self.pmctl("token", "create").out, 0o600)
        script = self.write("late.script", APPS)
        from pmdtest import helper
        late = self.popen([helper("fleet_agents"), token, script, "web9"], stdin=-1, stdout=-1)
        self.wait(lambda: len(self.nodes()) == 6, message="web9")
        self.wait(lambda: self.show(number)["rollout"]["late"] == ["web9"], message="the late one is named")
        self.pmctl("rollout", "promote", number)
        shown = self.wait_state(number, "succeeded")
        self.assertEqual(len(shown["hosts"]), 5)
        self.assert_each_once()
        late.stdin.close()
        late.wait(20)

    def test_two_hundred_hosts(self):
        names = [f"n{i:03}" for i in range(200)]
        self.fleet_of(names)
        done = self.roll("reload", "api", "--batch", "1,10%,25%")
        self.assertEqual(done.code, 0, done.err)
        self.assert_each_once(names)
        self.assertEqual(done.json()["rollout"]["batches"], [1, 20, 50, 50, 50, 29])


class Bad(RolloutTestCase):
    def test_one_that_never_gets_ready_pauses_behind_the_canary(self):
        self.fleet_of(script=APPS + "* bad=1.5.0\n")
        done = self.roll("apply", self.release("1.5.0"), check=False)
        shown = done.json()
        self.assertEqual(done.code, 13)
        self.assertEqual(shown["rollout"]["state"], "paused")
        self.assertEqual(self.states(shown), {"web1": "failed", **{n: "pending" for n in WEB[1:]}})
        failed = [h for h in shown["hosts"] if h["state"] == "failed"][0]
        self.assertIn("did not get ready", failed["text"])
        self.assertIn("and the last", failed["log_tail"])
        self.assertEqual(self.hosts_that_did(), ["web1"])

    def test_one_that_crashes_after_it_was_ready(self):  # F-18
        self.fleet_of(script=APPS + "* frail=1.5.0:300\n")
        done = self.roll("apply", self.release("1.5.0"), check=False,
                         quick=("--min-healthy", "3s", "--healthy-deadline", "20s", "--progress-deadline", "60s"))
        shown = done.json()
        self.assertEqual(done.code, 13)
        self.assertEqual(self.states(shown)["web1"], "failed")
        self.assertEqual(self.hosts_that_did(), ["web1"])

    def test_the_monitor_sees_the_last_host(self):  # F-18
        self.fleet_of(script=APPS + "web5 frail=1.5.0:1500\n")
        done = self.roll("apply", self.release("1.5.0"), check=False,
                         quick=("--min-healthy", "200ms", "--healthy-deadline", "5s", "--monitor", "8s",
                                "--batch", "100%", "--max-down", "100%"))
        self.assertEqual(done.code, 13)
        self.assertEqual(self.states(done.json())["web5"], "failed")

    def test_rollback_goes_back_newest_first(self):  # F-17
        self.fleet_of(script=APPS + "web4 bad=1.5.0\n")
        done = self.roll("apply", self.release("1.5.0"), "--on-failure", "rollback", "--batch", "1", check=False)
        shown = done.json()
        self.assertEqual(done.code, 14)
        self.assertEqual(shown["rollout"]["state"], "undone")
        back = [d[0] for d in self.did if d[1] == "revert"]
        self.assertEqual([n for n in back if n != "web4"], ["web3", "web2", "web1"])

    def test_continue_ends_failed_and_names_them(self):
        self.fleet_of(script=APPS + "web2 fail=nope\n")
        done = self.roll("reload", "api", "--on-failure", "continue", check=False)
        self.assertEqual(done.code, 10)
        self.assertEqual(self.states(done.json()), {**{n: "healthy" for n in WEB}, "web2": "failed"})
        self.assert_each_once()

    def test_max_fail_lets_so_many_fail(self):
        self.fleet_of(script=APPS + "web1 fail=nope\n")
        done = self.roll("reload", "api", "--max-fail", "1", check=False)
        self.assertEqual(done.code, 10)
        self.assertEqual(done.json()["rollout"]["state"], "succeeded")  # and who did not is named

    def test_resume_goes_on_behind_the_failure(self):
        self.fleet_of(script=APPS + "web1 fail=nope\n")
        done = self.roll("reload", "api", check=False)
        self.assertEqual(done.code, 13)
        number = done.json()["rollout"]["id"]
        self.pmctl("rollout", "resume", number, "-m", "looked at it")
        shown = self.wait_state(number, "failed")
        self.assertEqual(self.states(shown), {**{n: "healthy" for n in WEB}, "web1": "failed"})
        self.assertTrue(any("looked at it" in e["text"] for e in shown["story"]))
        self.assert_each_once()


class Hosts(RolloutTestCase):
    def test_class_a_more_than_so_many_down_refuse(self):
        self.fleet_of()
        self.order("stop", "web3")
        self.wait_up(4)
        done = self.roll("reload", "api", check=False)
        self.assertEqual(done.code, 7)
        self.assertIn("--max-unreachable", done.err)
        self.assertEqual(self.did, [])
        done = self.roll("reload", "api", "--max-unreachable", "1", check=False)
        self.assertEqual(done.code, 11)
        self.assertEqual(self.states(done.json())["web3"], "skipped")
        self.assert_each_once([n for n in WEB if n != "web3"])

    def test_class_b_gone_before_its_turn_is_skipped(self):
        self.fleet_of()
        number = self.roll("reload", "api", "--canary-hold", "ask", "--no-wait").json()["rollout"]["id"]
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "promote", message="the canary")
        self.order("stop", "web4")
        self.wait_up(4)
        self.pmctl("rollout", "promote", number)
        shown = self.wait_state(number, "succeeded")
        self.assertEqual(self.states(shown)["web4"], "skipped")

    def test_unreachable_wait_waits(self):
        self.fleet_of()
        self.order("stop", "web2")
        self.wait_up(4)
        number = self.roll("reload", "api", "--max-unreachable", "1", "--unreachable", "wait=30s",
                           "--no-wait").json()["rollout"]["id"]
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "reconnect", message="it waits for web2")
        self.order("go", "web2")
        self.wait_state(number, "succeeded")
        self.assert_each_once()

    def test_lost_in_its_step_asks_again_by_the_token(self):  # class C that comes back
        self.fleet_of(script=APPS + "web1 delay=1500\n")
        number = self.roll("reload", "api", "--no-wait").json()["rollout"]["id"]
        self.wait(lambda: self.states(self.show(number))["web1"] == "sent", message="web1 is asked")
        self.order("stop", "web1")
        self.wait_up(4)
        self.order("go", "web1")
        self.wait_state(number, "succeeded")
        self.assert_each_once()

    def test_drained_hosts_are_passed_over_in_silence(self):  # class F
        self.fleet_of()
        self.pmctl("node", "drain", "web2", "-m", "kernel")
        done = self.roll("reload", "api")
        self.assertEqual(done.code, 0)
        self.assertEqual(self.states(done.json())["web2"], "skipped")
        self.assert_each_once([n for n in WEB if n != "web2"])

    def test_hosts_without_the_app_are_not_in_it(self):
        self.fleet_of(script="* apps=api:2:1.4.1:online\nweb5 apps=db:1:9.9.9:online\n")
        done = self.roll("reload", "api")
        self.assertEqual(len(done.json()["hosts"]), 4)
        done = self.roll("reload", "nosuch", check=False)
        self.assertEqual(done.code, 4)

    def test_waves_go_one_after_another(self):  # F-24
        self.fleet_of()
        for name, az in (("web1", "b"), ("web2", "a"), ("web3", "b"), ("web4", "a"), ("web5", "a")):
            self.pmctl("node", "label", name, f"az={az}")
        self.roll("reload", "api", "--wave", "az", "--batch", "1,3", "--max-down", "3")
        self.assertEqual(set(self.hosts_that_did()[:3]), {"web2", "web4", "web5"})


class Orders(RolloutTestCase):
    def test_pause_resume_abort(self):
        self.fleet_of()
        number = self.roll("reload", "api", "--batch", "1", "--wait", "1s", "--no-wait").json()["rollout"]["id"]
        self.wait(lambda: len(self.did) >= 1, message="it has begun")
        self.pmctl("rollout", "pause", number, "-m", "lunch")
        shown = self.show(number)
        self.assertEqual(shown["rollout"]["state"], "paused")
        self.assertIn("lunch", shown["rollout"]["why"])
        n = len(self.did)
        time.sleep(2)
        self.assertLessEqual(len(self.did), n + 1)  # what was sent before
        self.pmctl("rollout", "resume", number)
        self.wait(lambda: len(self.did) > n, message="it goes on")
        self.pmctl("rollout", "abort", number, "-m", "enough")
        shown = self.wait_state(number, "aborted")
        self.assertIn("skipped", self.states(shown).values())
        self.assertIn("enough", json.dumps(shown["story"]))
        again = self.pmctl("rollout", "resume", number, check=False)
        self.assertEqual(again.code, 2)

    def test_two_at_once_conflict_in_words(self):  # F-19
        self.fleet_of()
        number = self.roll("reload", "api", "--canary-hold", "ask", "--no-wait").json()["rollout"]["id"]
        other = self.roll("reload", "api", check=False)
        self.assertEqual(other.code, 6)
        self.assertIn("locked by", other.err)
        self.assertIn(number, other.err)
        self.pmctl("rollout", "steal", number, "--yes")
        self.assertEqual(self.show(number)["rollout"]["state"], "paused")
        self.assertEqual(self.roll("reload", "api").code, 0)

    def test_a_direct_command_does_not_come_between(self):  # F-19
        self.fleet_of()
        number = self.roll("reload", "api", "--canary-hold", "ask", "--no-wait").json()["rollout"]["id"]
        other = self.pmctl("--hosts", "web4", "restart", "api", check=False)
        self.assertEqual(other.code, 6, other.out + other.err)
        self.assertIn(number, other.err)
        self.pmctl("rollout", "pause", number)
        self.pmctl("--hosts", "web4", "restart", "api")

    def test_wait_lock_waits(self):
        self.fleet_of()
        first = self.roll("reload", "api", "--canary-hold", "ask", "--no-wait").json()["rollout"]["id"]
        second = self.roll("reload", "api", "--wait-lock", "60s", "--no-wait").json()["rollout"]["id"]
        self.assertEqual(self.show(second)["rollout"]["state"], "waiting-lock")
        self.wait(lambda: self.show(first)["rollout"].get("hold") == "promote", message="the canary")
        self.pmctl("rollout", "promote", first)
        self.wait_state(first, "succeeded")
        self.wait_state(second, "succeeded")

    def test_plan_then_apply_is_compare_and_set(self):  # F-26
        self.fleet_of()
        plan = self.roll("apply", self.release("1.4.2"), "--plan", check=False)
        self.assertEqual(plan.code, 20, plan.err)
        self.assertEqual(self.did, [])
        number = plan.json()["rollout"]["id"]
        changed = self.pmctl("--hosts", "web3", "apply", self.release("1.4.9"), *QUICK, "--yes", timeout=60)
        self.assertEqual(changed.code, 0)
        n = len(self.did)
        done = self.pmctl("--apply", number, "--yes", check=False, timeout=60)
        self.assertEqual(done.code, 6, done.out + done.err)
        self.assertIn("web3", done.err)
        self.assertEqual(len(self.did), n)

    def test_a_plan_that_still_holds_is_applied(self):
        self.fleet_of()
        number = self.roll("apply", self.release("1.4.2"), "--plan", check=False).json()["rollout"]["id"]
        done = self.pmctl("--apply", number, "--yes", timeout=60)
        self.assertEqual(done.code, 0)
        self.assert_each_once()

    def test_contradictions_are_refused(self):  # F-15
        self.fleet_of()
        done = self.pmctl("--all", "reload", "api", "--yes", "--min-healthy", "2m", check=False)
        self.assertEqual(done.code, 2)
        self.assertIn("min_healthy", done.err.replace("-", "_"))
        self.assertEqual(self.did, [])


class Deaths(RolloutTestCase):
    """F-20, F-21: the coordinator dies at any moment; every host does its step once."""

    def setUp(self):
        super().setUp()
        self.known = set()

    def ids(self):
        return [r["id"] for r in self.pmctl("rollout", "list", "--all", "--json").json()["rollouts"]]

    def run_with(self, fail):
        """A rollout whose coordinator dies at that point; the id of it, or None when it had not begun."""
        self.stop_coordinator()
        self.start_coordinator({"PMD_FAIL": fail})
        self.wait_up(5)
        self.did.clear()
        self.pmctl("--all", "reload", "api", *QUICK, "--batch", "2", "--max-down", "2", "--yes", "--no-wait", "--json",
                   check=False, timeout=60)
        died = self.died(20)
        if not died:
            self.known.update(self.ids())
            return None
        self.start_coordinator()
        self.wait_up(5)
        fresh = [i for i in self.ids() if i not in self.known]
        self.known.update(fresh)
        return fresh[0] if fresh else False

    def died(self, timeout):
        """Whether it dies before the rollout is over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.coordinator_process.poll() is not None:
                return True
            listed = self.pmctl("rollout", "list", "--all", "--json", check=False)
            if listed.code == 0:
                newest = listed.json()["rollouts"][:1]
                if newest and newest[0]["state"] in ("succeeded", "failed", "paused"):
                    return self.coordinator_process.poll() is not None
            time.sleep(0.1)
        return self.coordinator_process.poll() is not None

    def test_killed_at_every_write(self):
        self.fleet_of()
        n_died = 0
        for point in ("rollout.commit", "rollout.committed", "rollout.send", "rollout.answered"):
            for skip in range(0, 40, 1 if os.environ.get("PMD_SOAK") else 2):
                number = self.run_with(f"{point}={skip}+kill")
                if number is None:
                    break  # the rollout has no more of these
                n_died += 1
                if number:
                    self.wait_state(number, "succeeded")
                    self.assert_each_once()
                else:  # it died before it was written down: nothing was sent
                    self.assertEqual(self.did, [])
        self.assertGreater(n_died, 8)

    def killed_while_it_monitors(self, script):
        """All are done, the coordinator dies, and web5 is the last to come back to it."""
        self.fleet_of(script=APPS + script)
        quick = ("--min-healthy", "200ms", "--healthy-deadline", "20s", "--progress-deadline", "60s")
        number = self.roll("apply", self.release("1.5.0"), "--batch", "100%", "--max-down", "100%", "--monitor", "3s",
                           "--no-wait", quick=quick).json()["rollout"]["id"]
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "monitor", message="all are done")
        self.coordinator_process.send_signal(signal.SIGKILL)
        self.coordinator_process.wait(20)
        self.order("stop", "web5")
        self.start_coordinator()
        self.wait_up(4)
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "reconnect", message="web5 is waited for")
        return number

    def test_f21_the_monitor_waits_for_hosts_to_come_back(self):
        number = self.killed_while_it_monitors("")
        self.order("go", "web5")
        shown = self.wait_state(number, "succeeded")
        self.assertEqual(set(self.states(shown).values()), {"healthy"})
        self.assert_each_once()

    def test_f21_what_crashed_meanwhile_is_a_failure(self):
        number = self.killed_while_it_monitors("web5 frail=1.5.0:1500\n")
        self.order("go", "web5")
        shown = self.wait_state(number, "paused")
        self.assertEqual(self.states(shown)["web5"], "failed")
        self.assert_each_once()

    def test_away_for_a_while_goes_on_by_itself(self):
        self.fleet_of(script=APPS + "* delay=300\n")
        number = self.roll("reload", "api", "--batch", "1", "--no-wait").json()["rollout"]["id"]
        self.wait(lambda: len(self.did) >= 2, message="two are done")
        self.coordinator_process.send_signal(signal.SIGKILL)
        self.coordinator_process.wait(20)
        time.sleep(2)
        self.start_coordinator()
        self.wait_up(5)
        shown = self.wait_state(number, "succeeded")
        self.assert_each_once()
        self.assertTrue(any("restart" in e["text"] for e in shown["story"]))
