"""A fleet over bad wires and between bad clocks: nothing is done twice, nothing is believed of a calendar."""

import time
import unittest

from loopback import LoopbackTestCase
from pmdtest import BUILD, helper

DAY = 86400

# Says when each line was written by the one clock that all have in common.
TICKER = """
import time
while True:
    print(f"{time.monotonic_ns() // 1000} tick", flush=True)
    time.sleep(0.02)
"""


class Clocks(LoopbackTestCase):
    def skewed(self, seconds):
        return {"LD_PRELOAD": helper("libclock_preload.so"), "PMD_TEST_CLOCK_S": str(seconds)}

    @unittest.skipIf("asan" in BUILD or "tsan" in BUILD, "X-52: a sanitizer wants to be the first library")
    def test_x52_a_day_of_skew_changes_nothing_and_is_shown(self):
        app = {"name": "api", "script": self.write("ticker.py", TICKER), "interpreter": "/usr/bin/python3"}
        web1, n = self.agent("web1", app), 0
        for skew in (-DAY, DAY):
            self.stop_coordinator()
            self.start_coordinator(self.skewed(skew))
            # The session is that of before: no calendar is asked who somebody is.
            self.wait(lambda: {node["state"] for node in self.nodes().values()} == {"online"}, timeout=60,
                      message="all are back")
            self.wait(lambda: abs(self.nodes()["web1"]["clock_offset_ms"] + skew * 1000) < 60000,
                      message=lambda: f"the offset: {self.nodes()['web1']['clock_offset_ms']}")
            print("X-52: saw", self.nodes()["web1"]["clock_offset_ms"], "ms")
            self.alice("--all", "restart", "api", "--yes")
            n += 1
            self.assertEqual(web1("jlist").json()[0]["pm2_env"]["restart_time"], n)
            # A token is good for an hour of the coordinator's, whatever the others think.
            self.agent(f"new{n}", app)
            # Lines of hosts are put in the order of their writing.
            child = self.pmctl_popen("--all", "logs", "api", "--raw", "--lines", "0", env=self.of_alice(), text=True)
            stamps = [int(child.stdout.readline().split()[0]) for _ in range(200)]
            child.kill()
            child.communicate()
            late = sum(a - b > 400000 for a, b in zip(stamps, stamps[1:]))
            self.assertEqual(late, 0, "so many lines stand behind one that was written 400 ms later")

    @unittest.skipIf("asan" in BUILD or "tsan" in BUILD, "X-52: a sanitizer wants to be the first library")
    def test_x52_an_operator_whose_clock_is_wrong_is_himself(self):
        self.agent("web1", {"name": "api", "script": self.write("t.py", TICKER), "interpreter": "/usr/bin/python3"})
        for seconds in (-DAY, DAY):
            env = self.of_alice(self.skewed(seconds))
            self.assertIn("api", self.pmctl("--all", "list", env=env).out)
            self.assertEqual(self.pmctl("--all", "restart", "api", "--yes", env=env).code, 0)
            self.assertEqual(self.pmctl("token", "create", env=env).code, 0)


class Wires(LoopbackTestCase):
    APP = {"name": "api", "interpreter": "/usr/bin/python3"}

    def setUp(self):
        super().setUp()
        self.web1 = self.agent("web1", {**self.APP, "script": self.write("ticker.py", TICKER)})

    def restarts(self):
        return self.web1("jlist").json()[0]["pm2_env"]["restart_time"]

    def online(self):
        self.wait(lambda: self.nodes()["web1"]["state"] == "online", timeout=60, message="web1 is back")

    def test_x45_over_a_slow_wire_that_is_cut_anywhere_a_command_is_done_once_or_not_at_all(self):
        self.agent_wire.plan = {"delay": 0.05}
        outcomes = {}
        for after in (None, 0.02, 0.1, 0.2, 0.4, 0.7):
            self.agent_wire.cut_all()  # what comes back has the delay
            self.online()
            before = self.restarts()
            child = self.pmctl_popen("--all", "restart", "api", "--yes", env=self.of_alice(), text=True)
            if after is not None:
                time.sleep(after)
                self.agent_wire.cut_all()
            out, err = child.communicate(timeout=90)
            code = child.returncode
            self.online()
            done = self.restarts() - before
            outcomes[after] = (code, done)
            self.assertIn(done, (0, 1), outcomes)
            if code == 0:
                self.assertEqual(done, 1, outcomes)
            elif code == 11:  # it was not there: nothing was sent
                self.assertEqual(done, 0, outcomes)
            else:
                self.assertEqual(code, 16, out + err)  # sent, and never confirmed: either may be
        print("X-45: (exit status, restarts) by when the wire was cut:", outcomes)
        self.assertEqual(outcomes[None], (0, 1))

    def test_x45_a_rollout_over_a_wire_that_is_cut_while_it_goes_on_reloads_once(self):
        for _ in range(3):
            before = self.restarts()
            child = self.pmctl_popen("--all", "reload", "api", "--min-healthy", "3s", "--yes", env=self.of_alice(), text=True)
            for _ in range(2):
                time.sleep(0.4)
                self.agent_wire.cut_all()
            out, err = child.communicate(timeout=120)
            self.assertEqual(child.returncode, 0, out + err)
            self.online()
            self.assertEqual(self.restarts() - before, 1)


if __name__ == "__main__":
    unittest.main()
