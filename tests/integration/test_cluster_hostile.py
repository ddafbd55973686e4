"""Workers that mean harm: whatever one does, it harms only itself."""

import os
import shutil
import unittest

from clusters import ClusterTestCase
from loads import nodes
from pmdtest import APPS, PATIENCE
from ports import free_port

MEMORY_KIB = 64 * 1024  # of the supervisor, with everything that a hostile worker can make it hold


class Hostile(ClusterTestCase):
    def rss_kib(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def beside(self, how, restarts=False):
        """A well-behaved app serves and is reloaded beside the hostile one; the supervisor is the same throughout."""
        self.start()
        supervisor = self.supervisor_pid()
        grown = self.rss_kib(supervisor)
        shutil.copy(os.path.join(APPS, "cluster", "hostile.js"), self.path("hostile.js"))
        with self.load(True, requests=2000) as load:
            self.pmctl("start", self.write("bad.json", {"apps": [
                {"name": "bad", "script": self.path("hostile.js"), "args": [how, str(free_port())], "instances": 2,
                 "exec_mode": "cluster", "interpreter": next(reversed(nodes().values())), "min_uptime": 100, "restart_delay": 100}]}),
                timeout=60, check=False)
            if restarts:
                self.wait(lambda: all(a["pm2_env"]["restart_time"] > 0 for a in self.instances("bad")), 60, "restarts")
            for _ in range(2):
                load.wait_for(load.now()["requests"] + 500)
                self.pmctl("reload", "api", timeout=60)
            self.assertEqual(self.supervisor_pid(), supervisor)
            self.pmctl("delete", "bad", timeout=60)
            self.assertEqual(self.instances("bad"), [])
        self.assertEqual([p for p in self.processes() if "hostile.js" in str(p.argv)], [])
        if PATIENCE == 1:  # a sanitizer keeps what was freed
            self.assertLess(self.rss_kib(supervisor) - grown, MEMORY_KIB)

    def test_noise_on_every_socket(self):
        self.beside("garbage")

    def test_lies_in_nodes_protocol(self):
        self.beside("lies")

    def test_a_flood_of_messages(self):
        self.beside("flood")

    def test_closed_descriptors(self):
        self.beside("closes")

    def test_a_channel_that_outlives_its_worker(self):
        self.beside("forks", restarts=True)
        self.assertEqual([p for p in self.processes() if p.argv[:2] == ["sleep", "600"]], [])

    def test_messages_that_nobody_reads(self):
        self.beside("deaf")

    def test_more_sockets_than_there_can_be(self):
        self.beside("listens")


if __name__ == "__main__":
    unittest.main()
