"""Hosts that a rollout did not reach, and that come back (F-28)."""

import signal

from test_rollouts import RolloutTestCase, WEB


class CatchUp(RolloutTestCase):
    def without(self, name, *options, version="1.4.2"):
        """Rolls a version out while one host is away; the rollout's id."""
        self.fleet_of()
        self.order("stop", name)
        self.wait_up(4)
        done = self.roll("apply", self.release(version), "--max-unreachable", "1", *options, check=False)
        self.assertEqual(done.code, 11, done.err)
        self.assertEqual(self.states(done.json())[name], "skipped")
        return done.json()["rollout"]["id"]

    def step(self, number, name):
        return [h for h in self.show(number)["hosts"] if h["host"] == name][0]

    def rollouts(self):
        return self.pmctl("rollout", "list", "--all", "--json").json()["rollouts"]

    def caught(self, number, name):
        """The rollout by which it catches up, once the first one says so."""
        self.wait(lambda: "catches up by r-" in self.step(number, name)["text"], message=f"{name} catches up")
        child = self.step(number, name)["text"].split("catches up by ")[1]
        return self.wait_state(child, "succeeded", "failed")

    def test_f28_a_host_that_comes_back_does_it_then(self):
        number = self.without("web3", "--catch-up", "1h")
        self.assertTrue(any("may catch up" in e["text"] for e in self.show(number)["story"]))
        self.assertIn("do it when they come back, for ", self.pmctl("rollout", "show", number).out)
        self.order("go", "web3")
        child = self.caught(number, "web3")
        self.assertEqual(child["rollout"]["state"], "succeeded")
        self.assertEqual(self.states(child), {"web3": "healthy"})
        self.assertEqual(child["rollout"]["catches"], number)
        self.assertEqual(self.step(number, "web3")["caught_by"], child["rollout"]["id"])
        self.assert_each_once()
        self.assertEqual({d[2] for d in self.did}, {"1.4.2"})
        self.assertTrue(any(f"catches up for {number}" in e["text"] for e in child["story"]))
        self.assertIn(f"catches up for {number}", self.pmctl("audit", "--json").out)

    def test_f28_only_where_that_was_asked_for_and_only_for_so_long(self):
        number = self.without("web3")
        self.order("go", "web3")
        self.wait_up(5)
        self.assertEqual(len(self.rollouts()), 1)
        self.order("stop", "web3")
        self.wait_up(4)
        done = self.roll("apply", self.release("1.4.3"), "--max-unreachable", "1", "--catch-up", "300ms", check=False)
        late = done.json()["rollout"]["id"]
        self.wait(lambda: "did not come back in time" in self.step(late, "web3")["text"], message="it is given up")
        self.order("go", "web3")
        self.wait_up(5)
        self.assertEqual({r["id"] for r in self.rollouts()}, {number, late})
        self.assertNotIn("web3", self.hosts_that_did())

    def test_f28_a_newer_rollout_takes_its_place(self):
        number = self.without("web3", "--catch-up", "1h")
        newer = self.roll("apply", self.release("1.4.3"), "--max-unreachable", "1", "--catch-up", "1h",
                          check=False).json()["rollout"]["id"]
        self.wait(lambda: f"{newer} is newer" in self.step(number, "web3")["text"], message="the first gives way")
        self.order("go", "web3")
        self.assertEqual(self.caught(newer, "web3")["rollout"]["state"], "succeeded")
        self.assertEqual([d[2] for d in self.did if d[0] == "web3"], ["1.4.3"])

    def test_f28_abort_and_undo_cancel_it(self):
        number = self.without("web3", "--catch-up", "1h")
        self.pmctl("rollout", "abort", number, "-m", "not on web3")
        self.assertEqual(self.show(number)["rollout"]["state"], "succeeded")
        self.assertIn("aborted", self.step(number, "web3")["text"])
        again = self.roll("apply", self.release("1.4.3"), "--max-unreachable", "1", "--catch-up", "1h",
                          check=False).json()["rollout"]["id"]
        self.pmctl("rollout", "undo", again, "--yes", check=False, timeout=60)
        self.wait_state(again, "undone")
        self.order("go", "web3")
        self.wait_up(5)
        self.assertEqual({r["id"] for r in self.rollouts()}, {number, again})
        self.assertNotIn("web3", self.hosts_that_did())

    def test_f28_the_coordinator_dies_meanwhile(self):
        number = self.without("web3", "--catch-up", "1h")
        self.coordinator_process.send_signal(signal.SIGKILL)
        self.coordinator_process.wait(20)
        self.start_coordinator()
        self.wait_up(4)
        self.order("go", "web3")
        self.assertEqual(self.caught(number, "web3")["rollout"]["state"], "succeeded")
        self.assert_each_once()

    def test_f28_it_is_done_once_wherever_the_coordinator_dies(self):
        number = self.without("web3", "--catch-up", "1h")
        n_died = 0
        for skip in range(10):
            self.stop_coordinator()
            self.start_coordinator({"PMD_FAIL": f"rollout.committed={skip}+kill"})
            self.order("go", "web3")
            if not self.wait(lambda: self.end_of_it(number), 60, "an end") == "died":
                break
            n_died += 1
            self.order("stop", "web3")
            self.start_coordinator()
            self.wait_up(4)
        self.stop_coordinator()
        self.start_coordinator()
        self.order("go", "web3")
        self.caught(number, "web3")
        self.assertGreater(n_died, 1)
        self.assert_each_once()

    def end_of_it(self, number):
        """The coordinator has died, or all is done."""
        if self.coordinator_process.poll() is not None:
            return "died"
        shown = self.pmctl("rollout", "list", "--all", "--json", check=False)
        over = shown.code == 0 and all(r["state"] == "succeeded" for r in shown.json()["rollouts"])
        return "done" if over and len(shown.json()["rollouts"]) > 1 else None
