"""The harness itself: it sees every process, loses none, and its check of numbered lines finds each kind of damage."""

import gzip
import os
import signal
import shutil
import subprocess
import unittest
from unittest import mock

import pmdtest
from pmdtest import (PmdTestCase, alive, check_lines, descendants, helper, kill, line, process, require, rotated, written)


class Numbered(PmdTestCase):
    def check(self, text, counts=None, **kwargs):
        return check_lines([self.write("x.log", text)], counts, **kwargs)

    def test_whole_lines_pass_and_are_counted(self):
        text = "".join(line(w, n, 5) + "\n" for n in range(30) for w in ("a", "b"))
        self.assertEqual(self.check(text, {"a": 30, "b": (29, 31)}), {"a": 30, "b": 30})

    def test_every_kind_of_damage_is_found(self):
        whole = [line("a", n, 5) + "\n" for n in range(5)]
        for text, counts, what in (
                ([*whole[:2], *whole[3:]], None, "2 to 2 missing"),
                ([*whole[:3], *whole[2:]], None, "2 again after 2"),
                ([*whole[:2], whole[3], whole[2], whole[4]], None, "2 again after 3"),
                ([*whole[:2], whole[2][:8], *whole[3:]], None, "damaged"),
                ([whole[0], whole[1].replace("bb", "b")], None, "damaged padding"),
                ([*whole[:4], whole[4][:-1]], None, "ends within a line"),
                (whole[1:], None, "0 to 0 missing"),
                (whole, {"a": 6}, "5 lines arrived of 6"),
                (whole, {"b": 1}, "0 lines arrived of 1")):
            with self.assertRaisesRegex(AssertionError, what):
                self.check("".join(text), counts)

    def test_generations_are_one_log_in_their_order(self):
        lines = [line("a", n) + "\n" for n in range(60)]
        names = ["x.log.10", "x.log.2.gz", "x__2026-01-01_00-00-00.log.gz", "x__2026-01-01_00-00-00-2.log",
                 "x__2026-01-01_00-00-00-10.log", "x.log"]
        for at, name in enumerate(names):
            part = "".join(lines[at * 10:at * 10 + 10]).encode()
            self.write(name, gzip.compress(part) if name.endswith(".gz") else part)
        self.write("x__2026-01-01_00-00-00.log", "the compressor was ended before it removed this\n")
        self.write("x-1.log", "of another instance\n")
        self.write("x-1__2026-01-01_00-00-00.log", "of another instance\n")
        self.assertEqual(rotated(self.path("x.log")), [self.path(name) for name in names])
        self.assertEqual(check_lines(rotated(self.path("x.log"))), {"a": 60})

    def test_a_generation_that_is_compressed_after_it_was_listed_is_read_and_one_that_is_gone_is_missed(self):
        text = line("a", 0) + "\n"
        for pack in ([require("gzip")], [require("zstd"), "-q", "--rm"]):
            path = self.write("x__2026-01-01_00-00-00.log", text)
            listed = rotated(self.path("x.log"))
            self.run_command([*pack, path])
            self.assertEqual(check_lines(listed), {"a": 1})
            os.unlink(rotated(self.path("x.log"))[0])
            with self.assertRaises(FileNotFoundError):
                check_lines(listed)

    def test_a_line_may_go_on_in_the_next_file_only_when_allowed(self):
        text = line("a", 0) + "\n" + line("a", 1) + "\n"
        files = [self.write("x__2026-01-01_00-00-00.log", text[:50]), self.write("x.log", text[50:])]
        self.assertEqual(check_lines(files, split_ok=True), {"a": 2})
        with self.assertRaisesRegex(AssertionError, "ends within a line"):
            check_lines(files)

    def test_the_writers_write_what_the_check_reads(self):
        for command in (["lines", "-n", "1000", "-l", "77", "-b", "9", "-w", "w", "-x", "0"],):
            out = self.run_command([helper(command[0]), *command[1:], "-c", self.work]).out
            self.assertEqual(self.check(out, written(self.work)), {"w": 1000})
        for program in ("chatty.py", "chatty.js"):
            child = self.popen([require("python3" if program.endswith("py") else "node"), self.sample(program)],
                               {"CHATTY_COUNT": "5", "CHATTY_MS": "1", "CHATTY_WRITER": "c"}, stdout=subprocess.PIPE)
            out = b"".join(child.stdout.readline() for _ in range(5))
            self.assertEqual(self.check(out), {"c": 5})

    def test_the_count_of_lines_outlives_sigkill_and_sigterm_ends_after_a_line(self):
        for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
            counts = self.path(f"counts-{number:d}")  # each its own: the first one's would count as the second's
            os.mkdir(counts)
            with open(self.path("x.log"), "wb") as file:
                child = self.popen([helper("lines"), "-w", "k", "-c", counts], stdout=file)
            self.wait(lambda: written(counts).get("k", (0, 0))[0] > 1000, message="1000 lines")
            child.send_signal(number)
            self.assertEqual(child.wait(20), status)
            check_lines([self.path("x.log")], written(counts))


class Processes(PmdTestCase):
    def test_what_hides_is_found_and_ended(self):
        self.popen([require("python3"), self.sample("forker.py"), "exit"], {"FORKER_PIDS": self.path("pids")})
        pids = [int(p) for p in self.wait(lambda: self.read("pids"), message="six processes").split()]
        self.assertEqual(len(pids), 6)
        self.wait(lambda: any(process(pid).argv[:1] == ["kworker/0:7"] for pid in pids), message="the disguise")
        self.assertLessEqual(set(pids), {p.pid for p in self.processes()})
        self.assertLessEqual(set(pids), {p.pid for p in descendants([os.getpid()])})
        self._remove()
        self.assertEqual([pid for pid in pids if alive(pid)], [])

    def test_an_orphan_is_reaped_and_a_child_keeps_its_status(self):
        child = self.popen(["sh", "-c", "(sleep 1000 & echo $!) ; exit 7"], stdout=subprocess.PIPE)
        orphan = int(child.stdout.readline())
        self.wait(lambda: process(child.pid).dead or None, message="the end of the child")
        kill(orphan)
        self.wait(lambda: process(orphan) is None, message="the orphan is reaped")
        self.assertEqual(child.wait(), 7)

    def test_a_process_is_found_by_its_tag(self):
        by_name = self.popen(["sleep", "100000"], {"TAG": "blue"})
        by_argument = self.popen(["sh", "-c", "read x", "blue"], stdin=subprocess.PIPE)
        self.assertEqual(self.pids_of_tag("blue"), sorted([by_name.pid, by_argument.pid]))

    def test_a_missing_tool_is_an_error_that_says_what_to_install(self):
        with self.assertRaisesRegex(RuntimeError, "install the Debian package no-such-tool"):
            require("no-such-tool")

    def test_a_command_that_does_not_end_fails_and_is_ended(self):
        with self.assertRaisesRegex(AssertionError, "no end after 0.05 s"):
            self.run_command(["sleep", "100000"], timeout=0.05)
        self.assertEqual(self.processes(), [])


class Pretended(PmdTestCase):
    """A test with a pmd and an app that we pretend: shells under these names, each waiting for a fifo's writer."""

    def pretend(self):
        os.mkfifo(self.path("fifo"))
        self.popen([os.path.join(pmdtest.BUILD, "pmd"), "-c", '"$0" -c "read x <fifo" --supervisor & wait'])
        supervisor, keeper = self.supervisor_pid(), self.keeper_pid()
        assert process(supervisor).ppid == keeper
        app = os.path.join(pmdtest.BUILD, "app")
        self.popen(["setsid", "-f", "env", "-i", app, "-c", "read x <fifo"]).wait()
        self.wait(lambda: any(p.exe == app for p in self.processes()), message="the app")
        self.inside()

    def inside(self):
        pass


class TheEnd(PmdTestCase):
    # Ends what runs from the pretended build directory, which is this test's own.
    KILL = """[ "$1" = kill ] || exit 0
for p in /proc/[0-9]*; do
    [ "$(readlink $p/exe)" != "${0%%/*}/%s" ] || kill -9 ${p#/proc/}
done
"""

    def run_pretended(self, pmctl, inside=lambda self: None):
        """Runs the pretended test with this text as pmctl; returns what unittest has to say of it."""
        build = self.path("build")
        os.makedirs(build)
        for name in ("pmd", "app"):
            shutil.copy(require("dash"), os.path.join(build, name))
        self.write("build/pmctl", "#!/bin/sh\n" + pmctl, 0o755)
        result = unittest.TestResult()
        with mock.patch.object(pmdtest, "BUILD", build), mock.patch.object(Pretended, "inside", inside), \
                mock.patch("sys.stderr"):
            Pretended("pretend").run(result)
        self.assertEqual(self.processes(), [], "nothing may outlive the test")
        return "".join(text for _, text in result.failures + result.errors)

    def test_a_clean_end_passes(self):
        self.assertEqual(self.run_pretended(self.KILL % "app" + self.KILL % "pmd"), "")

    def test_an_app_that_outlives_kill_fails_the_test(self):
        with mock.patch.object(pmdtest, "GRACE", 0.05):
            self.assertRegex(self.run_pretended(self.KILL % "pmd"), "outlived pmctl kill: .*/app -c")

    def test_a_kill_that_fails_fails_the_test(self):
        self.assertRegex(self.run_pretended("echo no >&2; exit 3\n"), "(?s)pmctl kill failed.*exit 3")

    def test_what_a_sanitizer_found_fails_the_test(self):
        def inside(test):
            with open(os.path.join(test.dir, "sanitizer.1"), "w") as file:
                file.write("heap-use-after-free")
        self.assertIn("heap-use-after-free", self.run_pretended("exit 3\n", inside))


if __name__ == "__main__":
    unittest.main()
