"""E-12: long output for people goes through a pager on a terminal, and nowhere else."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
import unittest

import pmdtest

PMCTL = os.path.join(pmdtest.BUILD, "pmctl")


class Terminal:
    """A program on a terminal of its own; what it shows is gathered."""

    def __init__(self, case, argv, rows, env):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
        self.child = case.popen(argv, env={"TERM": "xterm", **env}, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._ours, self._got = ours, b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # EIO: the last writer has gone
                return
            if not data:
                return
            self._got += data

    def text(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self._got.decode()).replace("\r", "")

    def end(self):
        code = self.child.wait(30)
        self._reader.join(30)
        os.close(self._ours)
        return code, self.text()


class Pager(pmdtest.PmdTestCase):
    def setUp(self):
        super().setUp()
        self.paged = os.path.join(self.dir, "paged")
        # It notes what it was given, shows its first line alone, and has a status of its own.
        self.pager = self.script("a-pager")
        self.help = self.pmctl("help").out

    def script(self, name):
        return self.write(name, f"#!/bin/bash\necho \"$0 $* LESS=$LESS SECURE=$LESSSECURE\" >{self.paged}.args\n"
                                f"cat >{self.paged}\nhead -n 1 {self.paged}\nexit 3\n", 0o755)

    def terminal(self, *args, rows=24, **env):
        return Terminal(self, [PMCTL, *args], rows, env).end()

    def was_paged(self):
        """What the pager got since it was asked last; None: it did not run."""
        if not os.path.exists(self.paged):
            return None
        with open(self.paged, encoding="utf-8") as file:
            text = file.read()
        os.unlink(self.paged)
        return text

    def args(self):
        with open(self.paged + ".args", encoding="utf-8") as file:
            return file.read().strip()

    def test_e12_what_does_not_fit_goes_through_it_whole_and_the_status_stays_pmctls(self):
        code, shown = self.terminal("help", PMCTL_PAGER=self.pager)
        self.assertEqual(code, 0)
        self.assertEqual(self.was_paged(), self.help)
        self.assertEqual(shown, self.help.splitlines()[0] + "\n")
        self.pmctl("start", "sleep 1000", "-n", "api", "-i", "4")
        for args in (["list"], ["describe", "api"], ["env", "0"], ["why", "api"], ["history", "api"], ["list", "--help"], ["explain"]):
            with self.subTest(args=args):
                self.assertEqual(self.terminal(*args, rows=2, PMCTL_PAGER=self.pager)[0], 0)
                self.assertIsNotNone(self.was_paged())

    def test_e12_what_fits_needs_none(self):
        lines = self.help.count("\n")
        self.assertEqual(self.terminal("help", rows=lines + 1, PMCTL_PAGER=self.pager), (0, self.help))
        self.assertIsNone(self.was_paged())
        self.terminal("help", rows=lines, PMCTL_PAGER=self.pager)
        self.assertIsNotNone(self.was_paged())

    def test_e12_who_wants_none_gets_none(self):
        os.symlink(PMCTL, os.path.join(self.dir, "pm2"))
        for args, env in [(["help", "--no-pager"], {"PMCTL_PAGER": self.pager}),
                          (["--no-pager", "help"], {"PMCTL_PAGER": self.pager}),
                          (["help"], {"PMCTL_PAGER": "", "PAGER": self.pager}),
                          (["help"], {"PMCTL_PAGER": "cat", "PAGER": self.pager}),
                          (["help"], {"PMCTL_PAGER": self.pager, "TERM": "dumb"})]:
            with self.subTest(args=args, env=env):
                self.assertEqual(self.terminal(*args, **env), (0, self.help))
                self.assertIsNone(self.was_paged())
        self.assertEqual(self.pmctl("help", env={"PMCTL_PAGER": self.pager}).out, self.help, "a pipe")
        self.assertIsNone(self.was_paged())
        code, shown = Terminal(self, [os.path.join(self.dir, "pm2"), "--help"], 5, {"PMCTL_PAGER": self.pager}).end()
        self.assertEqual(code, 0)
        self.assertNotIn("--no-pager", shown)
        self.assertIsNone(self.was_paged())
        self.pmctl("start", "sleep 1000", "-n", "api")
        self.assertIn('"schema"', self.terminal("list", "--json", rows=2, PMCTL_PAGER=self.pager)[1])
        self.assertIsNone(self.was_paged())

    def test_e12_one_that_cannot_be_started_is_done_without(self):
        for pager in ("/nonexistent/pager", self.write("no-program", "text\n"), "'quoted words'"):
            with self.subTest(pager=pager):
                self.assertEqual(self.terminal("help", PMCTL_PAGER=pager), (0, self.help))

    def test_e12_which_one(self):
        other = self.script("another")
        self.terminal("help", PMCTL_PAGER=f"{other} -x  two", PAGER=self.pager)
        self.assertEqual(self.args(), f"{other} -x two LESS=FRX SECURE=")
        self.terminal("help", PAGER=self.pager, LESS="-S")
        self.assertEqual(self.args(), f"{self.pager} LESS=-S SECURE=".replace("pager ", "pager  "))
        less = self.script("less")
        path = f"{os.path.dirname(less)}:{os.environ['PATH']}"
        self.terminal("help", PATH=path)
        self.assertEqual(self.args(), f"{less} -FRX LESS=FRX SECURE=")
        if os.geteuid() == 0:  # somebody became root by sudo
            self.terminal("help", PATH=path, PMCTL_PAGER=self.pager, SUDO_UID="1000")
            self.assertEqual(self.args(), f"{less} -FRX LESS=FRX SECURE=1")

    def test_e12_the_real_one(self):
        code, shown = self.terminal("help", "start", rows=500, PMCTL_PAGER=f"{pmdtest.require('less')} -FRX")
        self.assertEqual((code, shown), (0, self.pmctl("help", "start").out))

    def test_e12_a_failure_is_told_after_it_with_its_status(self):
        config = self.write("bad.json", '{"apps": [' + ",".join(f'{{"name": "a{i}", "scrpt": 1}}' for i in range(30)) + "]}")
        piped = self.pmctl("check", config, check=False)
        self.assertEqual(piped.code, 8)
        code, _ = self.terminal("check", config, rows=10, PMCTL_PAGER=self.pager)
        self.assertEqual(code, 8)
        self.pmctl("start", "sleep 1000", "-n", "api")
        code, shown = self.terminal("describe", "nosuch", PMCTL_PAGER=self.pager)
        self.assertEqual(code, 4)
        self.assertIn("no such app", shown)

    def test_e12_a_reader_that_leaves_early_is_no_error(self):
        quits = self.write("quits", "#!/bin/bash\nread -r line\necho \"first: $line\"\n", 0o755)
        # More than a pipe holds.
        self.pmctl("start", "sleep 1000", "-n", "api", env={f"VARIABLE_{n}": "x" * 2000 for n in range(100)})
        code, shown = self.terminal("env", "0", PMCTL_PAGER=quits)
        self.assertEqual(code, 0)
        self.assertEqual(len(shown.splitlines()), 1)
        self.assertTrue(shown.startswith("first: "), shown)

    def test_e12_what_is_live_has_none(self):
        self.pmctl("start", "sleep 1000", "-n", "api", "-i", "4")
        ticker = self.write("ticker.sh", "#!/bin/bash\nfor i in {1..50}; do echo line $i; done\nexec sleep 1000\n", 0o755)
        self.pmctl("start", ticker, "-n", "ticker")
        for args, words in ((["list", "--watch"], "api"), (["logs", "ticker", "-n", "50"], "line 50")):
            with self.subTest(args=args):
                live = Terminal(self, [PMCTL, *args], 3, {"PMCTL_PAGER": self.pager})
                self.wait(lambda live=live, words=words: words in live.text(), message=args)
                live.child.send_signal(signal.SIGINT)
                self.assertEqual(live.end()[0], 130)
                self.assertIsNone(self.was_paged())


if __name__ == "__main__":
    unittest.main()
