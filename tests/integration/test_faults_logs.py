"""Output that hurts: a full disk, a line of 100 MB, bytes that are no text, viewers that stop or go."""

import contextlib
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import time
import unittest

from faults import FaultCase, TIMED, without_time
from pmdtest import BUILD, kill, process, require, written
from numbered import LINE


class FullDisk(FaultCase):
    def agent_with_small_disk(self, size):
        """An agent in a mount namespace of its own, where self.small is a small disk; returns its path from outside."""
        self.small = os.path.join(self.dir, "small")
        os.mkdir(self.small)
        agent = self.popen([require("unshare"), "-m" if os.geteuid() == 0 else "-Urm", "sh", "-c",
                            f"mount -t tmpfs -o size={size} none {self.small} && exec {BUILD}/pmd agent --home {self.home}"])
        self.wait(lambda: os.path.exists(os.path.join(self.home, "agent.sock")), message="the agent's socket")
        self.pmctl("ping")
        return f"/proc/{agent.pid}/root{self.small}"

    def rss(self):
        with open(f"/proc/{self.supervisor_pid()}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def dropped(self, name):
        found = re.search(r"log lines dropped\W+(\d+)", self.pmctl("describe", name).out)
        return int(found[1]) if found else 0

    def full_disk(self, message=None, **keys):
        outside = self.agent_with_small_disk("1M")
        ballast = os.path.join(outside, "ballast")
        log = os.path.join(outside, "app.log")
        self.start([self.writer("w", rate=5000, out_file=os.path.join(self.small, "app.log"), log_max_size="1G", **keys)])
        self.wait(lambda: os.path.getsize(log) > 10000, message="output")
        fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
        with self.assertRaises(OSError):
            while True:
                os.write(fd, b"x" * 4096)
        os.close(fd)
        self.wait(lambda: self.dropped("w") > 1000, message="1,000 dropped lines")
        memory = self.rss()
        before = written(self.counts)["w"][0]
        self.wait(lambda: written(self.counts)["w"][0] > before + 20000, 30, "20,000 more lines: the app is not blocked")
        grown = self.rss() - memory
        told = self.pmctl("agent", "status").out
        self.assertIn("disk", told)
        os.unlink(ballast)
        self.wait(lambda: "dropped" in self.read(log), message="the marker")
        at = os.path.getsize(log)
        self.wait(lambda: os.path.getsize(log) > at + 10000, message="more output")
        dropped = self.dropped("w")
        self.pmctl("stop", "w")
        with open(log, "rb") as file:
            lines = file.read().split(b"\n")
        self.assertEqual(lines.pop(), b"")
        return lines, dropped, grown, told

    def check(self, lines, dropped, grown, told, message=None):
        count = written(self.counts)["w"][0]
        good, markers, cut = [], [], []
        for line in lines:
            text = message(line) if message and b"-- pmd: " not in line else line
            found = LINE.fullmatch(text or b"")
            if found:
                good.append(int(found[2]))
            elif b"-- pmd: " in line:
                markers.append(line)
            else:
                cut.append(line)
        said = sum(int(re.search(rb"pmd: (\d+) lines", m)[1]) for m in markers)
        self.inject("a log on a disk of 1 MiB that something else fills, then empties")
        self.saw(f"{count} lines written by the app, {len(good)} in the file, {dropped} counted as dropped, {said} in "
                 f"{len(markers)} marker(s) {markers[:2]}, {len(cut)} cut; memory {grown:+d} KiB; {told.splitlines()[-1].strip()!r}")
        self.assertEqual(good, sorted(set(good)), "no line twice or out of order")
        self.assertEqual(said, dropped)
        self.assertLessEqual(len(cut), len(markers), "at most the line that the disk ended in is cut")
        self.assertEqual(count, len(good) + dropped)
        self.assertLess(grown, 512)

    def test_x14_a_full_disk_blocks_no_app_and_what_is_dropped_is_counted(self):
        self.check(*self.full_disk())

    def test_x14_the_same_with_a_time_before_each_line(self):
        self.check(*self.full_disk(log_date_format=TIMED), message=without_time)


class OddOutput(FaultCase):
    def run_app(self, script, **keys):
        self.write("app.py", script)
        self.start([{"name": "app", "script": self.path("app.py"), "interpreter": "python3", "autorestart": False, **keys}])

    def test_x30_a_line_of_100_mb_is_kept_whole_and_costs_no_memory(self):
        self.run_app("import sys, time\nw = sys.stdout.buffer\nsys.stdin.readline()\n"
                     "for i in range(1600): w.write(bytes([97 + i % 26]) * 65536)\n"
                     "w.write(b'\\n'); w.flush(); time.sleep(1000000)\n", log_max_size="1G")
        before = self.rss()
        self.pmctl("send", "app", "go")
        want = 1600 * 65536 + 1
        self.wait(lambda: os.path.getsize(self.log("app")) >= want, 60, "100 MB")
        after = self.rss()
        digest = hashlib.sha256(b"".join(bytes([97 + i % 26]) * 65536 for i in range(1600)) + b"\n").digest()
        with open(self.log("app"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).digest(), digest)
        self.inject("one line of 104,857,600 bytes")
        self.saw(f"the file is byte for byte the same; memory of the supervisor {after - before:+d} KiB")
        self.assertLess(after - before, 1024)

    LONG = b"".join(bytes([97 + i % 26]) * 65536 for i in range(100))

    def long_line(self, **keys):
        self.run_app("import sys, time\nw = sys.stdout.buffer\n"
                     "for i in range(100): w.write(bytes([97 + i % 26]) * 65536)\n"
                     "w.write(b'\\nend\\n'); w.flush(); time.sleep(1000000)\n", log_max_size="1G", **keys)

        def whole():
            with open(self.log("app"), "rb") as file:
                data = file.read()
            return data if b"end" in data[-200:] and data.endswith(b"\n") else None
        return self.wait(whole, 30, "6.5 MB").split(b"\n")[:-1]

    def test_x30_with_a_time_it_stays_one_line_with_one_time(self):
        lines = self.long_line(log_date_format=TIMED)
        self.inject("one line of 6,553,600 bytes with a time before each line")
        self.saw(f"{len(lines)} lines of {[len(l) for l in lines]} bytes")
        self.assertEqual([without_time(l) for l in lines], [self.LONG, b"end"])

    def test_x30_in_json_it_is_split_into_records_that_join_to_the_same_bytes(self):
        records = [json.loads(l) for l in self.long_line(log_type="json")]
        self.inject("one line of 6,553,600 bytes, log_type json")
        self.saw(f"{len(records)} records; the first but for its text: {({k: v for k, v in records[0].items() if k != 'message'})}, "
                 f"the last {records[-1]}")
        self.assertLessEqual(max(len(r["message"]) for r in records), 65536 + 1)
        text = "".join(r["message"] for r in records).replace("\n", "").encode()
        self.assertEqual(hashlib.sha256(text).digest(), hashlib.sha256(self.LONG + b"end").digest())

    def test_x31_bytes_that_are_no_text_are_kept_and_shown_harmlessly(self):
        self.run_app("import sys, time, random\nr = random.Random(1)\nb = bytes(r.randrange(256) for _ in range(1 << 20))\n"
                     "sys.stdout.buffer.write(b + b'\\n'); sys.stdout.flush()\n"
                     "sys.stdout.buffer.write(b'\\x1b[2J\\x1b]0;title\\x07\\rCR only\\r\\x00nul\\xff\\n'); sys.stdout.flush()\n"
                     "time.sleep(1000000)\n")
        import random
        r = random.Random(1)
        want = bytes(r.randrange(256) for _ in range(1 << 20)) + b"\n" + b"\x1b[2J\x1b]0;title\x07\rCR only\r\x00nul\xff\n"
        self.wait(lambda: os.path.getsize(self.log("app")) >= len(want), message="1 MiB")
        with open(self.log("app"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).digest(), hashlib.sha256(want).digest())
        shown = self.on_terminal("logs", "app", "--nostream", "--lines", "50", "--no-color")
        bad = re.findall(rb"[\x00-\x08\x0b-\x1f\x7f]", shown.replace(b"\r\n", b"\n"))
        self.inject("1 MiB of random bytes, then terminal escapes, NUL and CR")
        self.saw(f"the file is byte for byte the same; 'pmctl logs' prints {len(shown)} bytes with {len(bad)} control characters")
        self.assertEqual(bad, [])
        shown.decode()  # valid UTF-8

    def on_terminal(self, *args):
        """What pmctl prints on a terminal."""
        master, slave = pty.openpty()
        child = subprocess.Popen([os.path.join(BUILD, "pmctl"), *args], env=self.environment({"TERM": "xterm"}), cwd=self.work,
                                 stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
        os.close(slave)
        out = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(master, 65536):
                out += piece
        os.close(master)
        self.assertEqual(child.wait(), 0)
        return out

    def rss(self):
        with open(f"/proc/{self.supervisor_pid()}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


class Viewers(FaultCase):
    def test_x34_logs_into_head_ends_quietly_and_the_agent_drops_the_viewer(self):
        self.start([self.writer("w", rate=2000)])
        supervisor = self.supervisor_pid()
        sockets = self.sockets(supervisor)
        done = self.run_command(["bash", "-c", f"{BUILD}/pmctl logs w | head -1; echo ${{PIPESTATUS[0]}}"], timeout=20)
        lines = done.out.splitlines()
        self.inject("'pmctl logs w | head -1'")
        self.saw(f"{lines}, stderr {done.err!r}")
        self.assertEqual(len(lines), 2)
        self.assertEqual(done.err, "")
        self.wait(lambda: self.sockets(supervisor) <= sockets, message="the viewer's end at the agent")
        self.assertEqual(self.supervisor_pid(), supervisor)

    def test_x42_a_stopped_viewer_is_bounded_and_hurts_nobody(self):
        self.start([self.writer("w", rate=20000, batch=200)])
        supervisor = self.supervisor_pid()
        viewer = self.pmctl_popen("logs", "w", stdout=subprocess.DEVNULL)
        self.wait(lambda: written(self.counts)["w"][0] > 20000, message="load")
        memory = self.rss(supervisor)
        kill(viewer.pid, signal.SIGSTOP)
        at = written(self.counts)["w"][0]
        self.wait(lambda: written(self.counts)["w"][0] > at + 100000, 60, "100,000 lines past the stopped viewer")
        grown = self.rss(supervisor) - memory
        self.pmctl("list")
        kill(viewer.pid, signal.SIGCONT)
        self.assertIsNone(viewer.poll())
        kill(viewer.pid, signal.SIGINT)
        viewer.wait()
        self.pmctl("stop", "w")
        lines, files = self.check_log("w")
        self.inject("SIGSTOP of 'pmctl logs' under 20,000 lines a second")
        self.saw(f"memory of the supervisor {grown:+d} KiB, {lines} lines in {files} files, each once")
        self.assertLess(grown, 1024)

    def sockets(self, pid):
        return sum("socket:" in v for v in process(pid).fds().values())

    def rss(self, pid):
        with open(f"/proc/{pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


if __name__ == "__main__":
    unittest.main()
