"""The supervisor dies: at rest, under load, and at every named point of what it does (X-01, X-02)."""

import random
import signal
import time
import unittest

from faults import FaultCase, TIMED, without_json, without_time
from pmdtest import PATIENCE, alive, kill


class Killed(FaultCase):
    def test_x01_apps_of_every_kind_outlive_it_and_no_line_is_lost_or_doubled(self):
        merged = [self.writer("merged", merge_logs=True, rate=1000)]
        apps = [self.writer("raw", rate=20000, max_size="1M", log_keep=1000),
                self.writer("timed", rate=3000, log_date_format=TIMED, log_max_size="300K", log_keep=1000),
                self.writer("json", rate=2000, log_type="json"),
                self.silent("silent"), self.forker("forker"), self.server("node")] + merged
        apps[0].pop("max_size")
        apps[0]["log_max_size"] = "1M"
        self.start(apps)
        before = self.table()
        self.assertEqual({s for _, _, s, _ in before.values()}, {"online"})
        tree = {p.pid for p in self.processes() if p.environ.get("name") == "forker"}
        seconds = []
        for n in range(8):  # ten deaths in ten seconds are a storm, and then it waits a second
            time.sleep(random.random() * 0.3)  # a moment of no one's choosing under load
            seconds.append(self.kill_supervisor())
            self.assertEqual(self.table(), before, "pids, states and counters")
            self.assert_one_each(before)
        self.inject("8 times SIGKILL of the supervisor while 4 apps logged")
        self.assertEqual({p.pid for p in self.processes() if p.environ.get("name") == "forker"}, tree)
        self.pmctl("stop", "raw", "timed", "json", "merged")
        for name, message in (("raw", None), ("timed", without_time), ("json", without_json), ("merged", None)):
            lines, files = self.check_log(name, message, id=None if name == "merged" else None)
            self.saw(f"{name}: {lines} lines, each once, in {files} files")
        self.saw("same pids, no restart counted, answers again after " + ", ".join(f"{s:.3f}" for s in seconds) + " s")
        self.assertLess(min(seconds), 1 * PATIENCE)  # the least: the machine may have other work


if __name__ == "__main__":
    unittest.main()
