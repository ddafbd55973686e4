"""Restarts that nobody ordered take turns over a fleet: never more hosts at once than max_down (F-27)."""

import os
import unittest

from coordinators import Coordinator
from fleet import FleetTestCase
from pmdtest import PmdTestCase, helper, kill, require

HOSTS = [f"web{i}" for i in range(1, 101)]
UNSUPPORTED = 34  # as in proto/error.h

# Ready some time after its start; says in one file when it goes and when it is there.
SLOW = """import os, signal, socket, sys, time
def note(word):
    with open("story", "a") as file:
        file.write(word + "\\n")
def end(*_):
    note("down")
    sys.exit(0)
signal.signal(signal.SIGINT, end)
time.sleep(0.5)
note("up")
name = os.environ["NOTIFY_SOCKET"]
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", "\\0" + name[1:])
while True:
    time.sleep(0.05)
"""


class Herd(FleetTestCase):
    """Played agents and a real coordinator."""

    def fleet_of(self, names, script):
        self.coordinator()
        self.login()
        self.agents_of(names, script)

    def most_at_once(self):
        out, most = set(), 0
        for host, what in self.slots:
            out = out | {host} if what == "begin" else out - {host} if what == "end" else out
            most = max(most, len(out))
        return most

    def test_f27_a_hundred_hit_their_limit_and_never_more_than_a_quarter_is_down(self):
        self.fleet_of(HOSTS, "* apps=api:1:1.4.1:online restart=700\n")
        self.order("hit", "*")
        self.wait(lambda: sum(what == "end" for _, what in self.slots) == len(HOSTS), 60,
                  lambda: f"all to be up again: {self.slots}")
        self.assertEqual(sorted(host for host, what in self.slots if what == "begin"), sorted(HOSTS))
        self.assertLessEqual(self.most_at_once(), len(HOSTS) // 4)
        self.assertGreater(self.most_at_once(), 1)  # who runs the app is known: it is a quarter, and not one

    def test_f27_apps_that_are_stopped_do_not_count(self):
        self.fleet_of(HOSTS[:24], "* apps=api:1:1.4.1:stopped restart=500\n" + "".join(
            f"{name} apps=api:1:1.4.1:online\n" for name in HOSTS[:4]))
        for name in HOSTS[:4]:
            self.order("hit", name)
            self.wait(lambda: (name, "ask") in self.slots, message=f"{name} to ask")
        self.wait(lambda: sum(what == "end" for _, what in self.slots) == 4, message="all to be up again")
        self.assertEqual(self.most_at_once(), 1)  # of the four that run it, and not a quarter of all

    def test_f27_a_slot_ends_with_its_session(self):
        self.fleet_of(HOSTS[:4], "* apps=api:1:1.4.1:online restart=3600000\n")
        self.order("hit", "web1")
        self.wait(lambda: ("web1", "begin") in self.slots, message="the slot of web1")
        self.order("hit", "web2")
        self.wait(lambda: ("web2", "ask") in self.slots, message="web2 to ask")
        self.order("stop", "web1")
        self.wait(lambda: ("web2", "begin") in self.slots, message="the slot of web2")


class Turns(PmdTestCase):
    """A real agent, and a coordinator that does what the test says."""

    def setUp(self):
        super().setUp()
        self.fleet = Coordinator(self)
        mark = self.fleet.mark()
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": self.fleet.token()})
        self.fleet.wait("up", mark)
        self.wait(self.connected, message="connected")
        self.mark = self.fleet.mark()

    def connected(self):
        return (self.pmctl("agent", "status", "--json").json().get("uplink") or {}).get("connected")

    def start(self, script=None, name="a", **keys):
        os.makedirs(self.path("app"), exist_ok=True)
        path = self.write("app/a.sh", script or "#!/bin/sh\nexec sleep 3600\n", 0o755)
        self.pmctl("start", self.write("a.json", {"apps": [dict(dict(
            name=name, script=path, interpreter="none", watch=True, watch_delay=50, cwd=self.path("app"),
            ignore_watch=["story"]), **keys)]}), timeout=60)

    def touch(self):
        self.write("app/changed", "1")

    def asked(self, after=None, **want):
        """The next request for a slot."""
        return self.fleet.wait("envelope", self.mark if after is None else after,
                               lambda e: "slot_request" in e["envelope"] and
                               all(e["envelope"]["slot_request"][k] == v for k, v in want.items()))["envelope"]

    def released(self, after=None):
        return self.fleet.wait("envelope", self.mark if after is None else after,
                               lambda e: "slot_release" in e["envelope"])["envelope"]["slot_release"]

    def grant(self):
        self.fleet.send(slot={"app": "a", "granted": True})

    def note(self):
        return self.pmctl("describe", "a").out

    def wait_restarts(self, n, timeout=20):
        self.wait(lambda: self.restarts("a") == n, timeout, lambda: f"{n} restarts: {self.restarts('a')}")

    def test_f27_it_asks_waits_and_gives_the_slot_back(self):
        self.start(rollout={"max-down": "10%"})
        self.touch()
        asked = self.asked()["slot_request"]
        self.assertEqual((asked["app"], asked["reason"], asked["instances"], asked["max_down"], asked["held"]),
                         ("a", "watch", 1, "10%", False))
        self.fleet.send(slot={"app": "a", "n_before": 12})
        self.wait(lambda: "waits for its turn to restart (watch)" in self.note(), message=self.note)
        self.assertEqual(self.restarts("a"), 0)
        self.fleet.send(slot={"app": "another", "granted": True})  # not what was asked for
        self.fleet.ask(command={"verb": 17})  # a ping: what came before has been seen
        self.assertEqual(self.restarts("a"), 0)
        self.grant()
        self.wait_restarts(1)
        self.assertEqual(self.released()["app"], "a")
        self.wait_status("a")
        self.assertNotIn("its turn", self.note())
        self.wait_text(os.path.join(self.home, "pmd.log"), "with a slot")

    def test_f27_a_memory_limit_waits_and_a_crash_does_not(self):
        self.start("#!/bin/sh\nexec %s 40\n" % helper("eat"), watch=False, max_memory_restart="20M")
        self.assertEqual(self.asked()["slot_request"]["reason"], "memory limit")
        self.wait(lambda: "restart (memory limit)" in self.note(), message=self.note)
        self.assertEqual(self.restarts("a"), 0)
        mark = self.fleet.mark()
        kill(self.pid("a"), 9)
        self.wait_restarts(1)
        self.assertEqual(self.released(mark)["app"], "a")  # what it waited for is over
        self.asked(mark)  # and begins anew

    def test_f27_an_operator_does_not_wait(self):
        self.start()
        self.touch()
        self.asked()
        self.pmctl("restart", "a")
        self.assertEqual(self.restarts("a"), 1)
        self.assertEqual(self.released()["app"], "a")
        self.assertNotIn("its turn", self.note())

    def test_f27_a_coordinator_that_knows_of_no_slots_is_not_waited_for(self):
        self.start()
        self.touch()
        number = self.asked()["id"]
        self.fleet.send(re=number, error={"code": UNSUPPORTED, "what": "a coordinator does not answer that"})
        self.wait_restarts(1)
        mark = self.fleet.mark()
        self.touch()
        self.wait_restarts(2)
        self.assertEqual(self.fleet.find("envelope", mark, lambda e: "slot_request" in e["envelope"]), [])

    def test_f27_without_its_coordinator_an_agent_acts_alone(self):
        self.start()
        self.fleet.kill()
        self.wait(lambda: not self.connected(), message="cut off")
        self.touch()
        self.wait_restarts(1, 60)
        self.wait_text(os.path.join(self.home, "pmd.log"), "without a slot")

    def test_f27_a_new_session_is_asked_again(self):
        self.start()
        self.touch()
        self.asked()
        mark = self.fleet.mark()
        self.fleet.order("cut")
        self.asked(mark, held=False)
        self.grant()
        self.wait_restarts(1)

    def test_f27_no_restart_is_lost_with_the_supervisor(self):
        self.start()
        self.touch()
        self.asked()
        pid, mark = self.pid("a"), self.fleet.mark()
        kill(self.supervisor_pid(), 9)
        self.asked(mark)
        self.assertEqual(self.pid("a"), pid)
        self.grant()
        self.wait_restarts(1)
        self.released(mark)

    def test_f27_the_last_that_is_well_stays_until_another_is_up(self):
        self.start(f"#!{require('python3')}\n{SLOW}", instances=2, exec_mode="fork", ready="notify")
        story = self.path("app/story")
        self.touch()
        self.assertEqual(self.asked()["slot_request"]["instances"], 2)
        self.grant()
        self.wait(lambda: self.read(story).split().count("up") == 4, 60, lambda: self.read(story))
        self.released()
        n = 2
        for word in self.read(story).split()[2:]:
            n += 1 if word == "up" else -1
            self.assertGreaterEqual(n, 1, self.read(story))


if __name__ == "__main__":
    unittest.main()
