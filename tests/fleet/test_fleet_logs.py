"""Logs of a fleet over connections that are cut and viewers that are slow: a real coordinator and agent on loopback,
with a proxy before each of the two ends."""

import json
import os
import signal
import time
import unittest

from loopback import LoopbackTestCase
from pmdtest import PATIENCE

# Writes numbered lines of one length until it is told to end, and how many those were.
TICKER = """
import os, sys, time
n, most, pause = 0, int(sys.argv[1]), float(sys.argv[2])
while n < most and not os.path.exists(sys.argv[3]):
    sys.stdout.write("".join(f"{i:08d} {'x' * 40}\\n" for i in range(n, min(n + 200, most))))
    sys.stdout.flush()
    n = min(n + 200, most)
    time.sleep(pause)
print(f"end {n}", flush=True)
while True:
    time.sleep(1)
"""
LINE = 8 + 1 + 40 + 1


class FleetLogs(LoopbackTestCase):
    def viewer(self, *args):
        """A `logs` of alice's into a file."""
        out = os.path.join(self.dir, "viewed")
        err = os.path.join(self.dir, "viewed.err")
        with open(out, "wb") as to, open(err, "wb") as to_err:
            child = self.pmctl_popen("--all", "logs", *args, env=self.of_alice(), stdout=to, stderr=to_err)
        return child, out, err

    def join(self, most, pause, **app):
        script = self.write("ticker.py", TICKER)
        self.flag = os.path.join(self.dir, "enough")
        self.pmctl("start", self.write("app.json", {"apps": [{
            "name": "api", "script": script, "interpreter": "/usr/bin/python3", "args": [str(most), str(pause), self.flag],
            "autorestart": False, **app}]}))
        self.pmctl("join", "--token-file", self.token(), "--name", "web1")
        self.wait(lambda: self.nodes()["web1"]["state"] == "online", message="web1 is online")

    def enough(self):
        with open(self.flag, "w"):
            pass

    def rotated(self):
        return [f for f in os.listdir(os.path.join(self.home, "logs")) if f.startswith("api-out__")]

    # ---- what is asked for

    def test_f34_20_cuts_while_it_writes_and_rotates_lose_and_repeat_nothing(self):
        self.join(10 ** 9, 0.02, log_max_size="300K", log_keep=1000, log_compress="gzip")
        child, out, err = self.viewer("api", "--raw", "--lines", "100000")
        self.wait(lambda: os.path.getsize(out) > 0, message="the first lines")
        for cut in range(20):
            size = os.path.getsize(out)
            # The agent comes back later each time: most of the cuts are the operator's.
            (self.agent_wire if cut % 6 == 0 else self.alice_wire).cut_all()
            self.wait(lambda: os.path.getsize(out) > size + 20000, timeout=60, message=f"lines after cut {cut}")
        self.enough()
        self.wait(lambda: b"end " in self.tail(out), timeout=60, message="the last line")
        child.send_signal(signal.SIGINT)
        child.wait(20 * PATIENCE)
        text = self.read(out).splitlines()
        numbers = [int(line.split()[0]) for line in text if not line.startswith("end ")]
        print(f"F-34: 20 cuts, {len(numbers)} lines, {len(self.rotated())} rotations")
        # From the beginning, or from as far back as a viewer gets: where all is slow, more was written by then.
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))), self.read(err))
        self.assertEqual(text[-1], f"end {numbers[-1] + 1}")
        self.assertGreater(len(self.rotated()), 3)

    def tail(self, path):
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 4096))
            return file.read()

    def test_f33_f31_what_a_slow_viewer_misses_is_told_and_counted(self):
        n = int(150000 * PATIENCE)
        self.join(n, 0.002, log_max_size="200K", log_keep=1)
        child, out, err = self.viewer("api", "--json", "--lines", "0")
        self.wait(lambda: os.path.getsize(out) > 0, message="the first lines")
        child.send_signal(signal.SIGSTOP)
        log = self.log("api")
        self.wait(lambda: "end " in self.read(log), timeout=120, message="the app's end")
        child.send_signal(signal.SIGCONT)
        self.wait(lambda: f'"end {n}"'.encode() in self.tail(out), timeout=60, message="the last line")
        child.send_signal(signal.SIGINT)
        child.wait(20 * PATIENCE)
        events = [json.loads(line) for line in self.read(out).splitlines()]
        lines = [e for e in events if e["type"] == "out"]
        gaps = [e for e in events if e["type"] == "gap"]
        self.assertGreater(len(gaps), 0)
        self.assertIn("client too slow", gaps[0]["why"])
        first = int(lines[0]["message"].split()[0])
        seen = sum(len(e["message"]) + 1 for e in lines)
        missed = sum(e["bytes"] for e in gaps)
        written = (n - first) * LINE + len(f"end {n}\n")
        print(f"F-33: {len(gaps)} gaps, {seen} bytes shown + {missed} missed of {written}")
        self.assertEqual(seen + missed, written)
        self.assertRegex(self.read(err), rf"0 lines and {missed} bytes were not delivered")
        # F-31: each line is one of its own, wherever it is met.
        self.assertEqual({len(e["boot"]) for e in lines}, {32})
        self.assertEqual(len({(e["boot"], e["stream"], e["sequence"]) for e in lines}), len(lines))
        last = {}
        for e in lines:
            self.assertGreater(e["sequence"], last.get(e["stream"], -1))
            last[e["stream"]] = e["sequence"]
        live = [e["monotonic_ms"] for e in lines if e["monotonic_ms"] is not None]
        self.assertEqual(live, sorted(live))
        self.assertGreater(len(live), 0)

    def test_f30_a_filter_runs_on_the_agent(self):
        self.join(100000, 0, log_max_size="100M")
        self.wait(lambda: "end " in self.read(self.log("api")), timeout=60, message="the app's end")

        def cost(*args):
            before = sum(len(r["up"]) for r in self.agent_wire.recorded)
            shown = self.alice("--all", "logs", "api", "--nostream", "--raw", "--lines", "100000", *args, timeout=120).out
            return sum(len(r["up"]) for r in self.agent_wire.recorded) - before, shown.splitlines()

        filtered, shown = cost("--grep", "00077 ")
        self.assertEqual([line.split()[0] for line in shown], ["00000077"])
        whole, shown = cost()
        print(f"F-30: {filtered} bytes with --grep, {whole} without, {len(shown)} lines")
        self.assertLess(filtered, whole / 100)

    # ---- the past

    # Half of its lines, and when it is told, the rest.
    HALVES = """
import os, sys, time
for half in range(2):
    while not os.path.exists(sys.argv[1 + half]):
        time.sleep(0.01)
    for i in range(2000 * half, 2000 * (half + 1)):
        print(f"{i:08d} {'x' * 40}")
    print(f"half {half} is written", flush=True)
time.sleep(10000)
"""

    def logs_of(self, name):
        directory = os.path.join(self.dir, "home-" + name, "logs")
        return directory, sorted(os.listdir(directory))

    def test_f38_the_past_is_found_in_rotated_and_packed_files_of_all_hosts(self):
        script = self.write("halves.py", self.HALVES)
        flags = [os.path.join(self.dir, f"flag{half}") for half in range(2)]
        suffixes = {"web1": ".log.zst", "web2": ".log.gz", "web3": ".log"}
        for name, packing in zip(suffixes, ("zstd", "gzip", "none")):
            self.agent(name, {"name": "api", "script": script, "interpreter": "/usr/bin/python3", "args": flags,
                              "log_max_size": "20K", "log_keep": 1000, "log_compress": packing})

        def written(half):
            return self.alice("--all", "logs", "api", "--nostream", "-n", "1", "--grep", f"half {half} is written",
                              "--no-prefix").out.count("is written") == len(suffixes)

        def rotated(name):
            return [f for f in self.logs_of(name)[1] if f.startswith("api-out__")]

        for half in range(2):
            with open(flags[half], "w"):
                pass
            self.wait(lambda half=half: written(half), message=f"half {half}")
            if half == 0:  # times are asked for in seconds, and known to a tenth of one
                between = int(time.time()) + 2
                self.wait(lambda: time.time() > between + 1, message="another second")
        for name, suffix in suffixes.items():
            # The newest of them may still be being packed.
            self.wait(lambda n=name, s=suffix: sum(f.endswith(s) for f in rotated(n)) > 5, message=f"files of {name}")

        def ask(*args):
            out = self.alice("--all", "logs", "api", "--nostream", "--json", *args, timeout=60).out
            lines = [json.loads(line) for line in out.splitlines()]
            return {name: [e["message"].split()[0] for e in lines if e["host"] == name] for name in suffixes}

        old = ask("--since", "1h", "--grep", "000001[0-4]3 ")
        self.assertEqual(old, dict.fromkeys(suffixes, [f"000001{n}3" for n in range(5)]))
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(between))
        self.assertEqual(ask("--until", until, "-n", "3"), dict.fromkeys(suffixes, ["00001998", "00001999", "half"]))
        both = ask("--since", until)
        self.assertEqual(both, dict.fromkeys(suffixes, [f"{n:08d}" for n in range(2000, 4000)] + ["half"]))
        # What each agent looks through has a bound, and who meets it is named, and no other.
        directory = self.logs_of("web2")[0]
        for n in range(1001):
            path = os.path.join(directory, f"api-out__2020-01-01_{n // 3600:02d}-{n // 60 % 60:02d}-{n % 60:02d}.log")
            with open(path, "w") as file:
                file.write("needle\n")
            os.utime(path, (10 ** 9 + n, 10 ** 9 + n))
        done = self.alice("--all", "logs", "api", "--out", "--nostream", "--no-prefix", "--grep", "needle", "-n", "5000",
                          timeout=60)
        self.assertEqual(set(done.out.splitlines()), {"needle"})
        own = [f for f in rotated("web2") if "2020-01-01" not in f]
        self.assertEqual(len(done.out.splitlines()), 1000 - len(own))
        self.assertRegex(done.err, "web2/api: there may be older lines, which were not looked for: .* and 1000 rotated "
                                   "files were looked through")
        self.assertNotIn("web1/api", done.err)


if __name__ == "__main__":
    unittest.main()
