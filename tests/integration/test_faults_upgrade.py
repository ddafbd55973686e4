"""The running agent is replaced by another program: a good one (X-07), and ones that break (X-08)."""

import os
import shutil
import subprocess
import threading
import time
import unittest

from faults import FaultCase, TIMED, without_json, without_time
from pmdtest import BUILD, PATIENCE, helper


class Upgrade(FaultCase):
    def setUp(self):
        super().setUp()
        self.installed = os.path.join(self.dir, "installed")
        os.mkdir(self.installed)
        for program in ("pmd", "pmctl"):
            self.install(os.path.join(BUILD, program), program)

    def install(self, source, name="pmd"):
        """As a package does: a new file in the place of the old one."""
        new = os.path.join(self.installed, name + ".new")
        shutil.copy(source, new)
        os.rename(new, os.path.join(self.installed, name))

    def pmctl(self, *args, **kwargs):
        """The installed one, which starts the installed pmd."""
        check, env = kwargs.pop("check", True), kwargs.pop("env", None)
        return self.run_command([os.path.join(self.installed, "pmctl"), *args], check, env, **kwargs)

    def many(self):
        return [self.writer("raw", rate=20000, log_max_size="1M", log_keep=1000),
                self.writer("timed", rate=3000, log_date_format=TIMED, log_max_size="300K", log_keep=1000),
                self.writer("json", rate=2000, log_type="json"), self.silent("silent", instances=40),
                self.forker("forker"), self.server("node")]

    def check_logs(self):
        self.pmctl("stop", "raw", "timed", "json")
        out = []
        for name, message in (("raw", None), ("timed", without_time), ("json", without_json)):
            lines, files = self.check_log(name, message)
            out.append(f"{name} {lines} lines in {files} files")
        return ", ".join(out) + ", each once"


class Good(Upgrade):
    def test_x07_twenty_upgrades_under_log_load_change_no_pid_and_lose_no_line(self):
        self.start(self.many())
        before, keeper = self.table(), self.keeper_pid()
        gaps = Gaps(self)
        for n in range(20):
            supervisor = self.supervisor_pid()
            with gaps.lock:  # what is forked meanwhile would hold the file open for writing
                self.install(os.path.join(BUILD, "pmd"))
            out = self.pmctl("agent", "upgrade")
            self.assertNotEqual(self.supervisor_pid(), supervisor)
            self.assertEqual(self.keeper_pid(), keeper, "the keeper re-executes itself")
            self.assertEqual(self.table(), before)
        longest = gaps.end()
        self.assert_one_each(before)
        exe = os.readlink(f"/proc/{keeper}/exe")
        self.assertEqual(exe, os.path.join(self.installed, "pmd"))
        self.inject("20 upgrades in a row to a new file of the program, 45 apps, 25,000 lines a second")
        self.saw(f"same pids of keeper and apps; {out.out.strip().splitlines()[-1]!r}; longest time without an answer {longest:.3f} s")
        self.saw(self.check_logs())
        self.assertLess(longest, 1 * PATIENCE)


class Gaps(threading.Thread):
    """Asks the agent again and again, and keeps the longest time between two answers."""

    def __init__(self, case):
        super().__init__(daemon=True)
        self.argv = [os.path.join(case.installed, "pmctl"), "--timeout", "5s", "agent", "status"]
        self.lock = threading.Lock()
        self.env, self.over, self.longest, self.asked = case.environment(), False, 0, 0
        self.start()

    def run(self):
        last = time.monotonic()
        while not self.over:
            with self.lock:
                child = subprocess.Popen(self.argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if child.wait() == 0:
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
                self.asked += 1

    def end(self):
        self.over = True
        self.join()
        return self.longest


class Broken(Upgrade):
    def fails(self, what, inject):
        """An upgrade that cannot work leaves everything as it was and says so."""
        before = self.table()
        outcome = self.pmctl("agent", "upgrade", check=False, timeout=60)
        self.answers()
        after = self.table()
        told = [l for l in self.pmctl("agent", "status").out.splitlines() if l.startswith("upgrade")]
        self.inject(inject)
        self.saw(f"exit {outcome.code}: {(outcome.err or outcome.out).strip()!r}; status: {told}")
        self.assertEqual(after, before)
        self.assert_one_each(before)
        self.assertNotEqual(outcome.code, 0)
        self.assertRegex(told[0], what)

    def answers(self):
        self.wait(lambda: self.pmctl("agent", "status", check=False).code == 0, message="an answer")

    def bad(self, mode):
        with open(os.path.join(self.installed, "mode"), "w") as file:
            file.write(f"{mode} {BUILD}/pmd\n")
        self.install(helper("bad_pmd"))

    def go_on_well(self):
        """After a failed one the next good one works."""
        self.install(os.path.join(BUILD, "pmd"))
        before = self.table()
        self.pmctl("agent", "upgrade")
        self.assertEqual(self.table(), before)
        self.saw("then a good one worked; " + self.check_logs())

    def test_x08_a_program_that_fails_its_self_check_is_refused(self):
        self.start(self.many())
        keeper = self.keeper_pid()
        with open(os.path.join(self.installed, "pmd.new"), "w") as file:
            file.write("#!/bin/sh\nexit 1\n")
        os.chmod(os.path.join(self.installed, "pmd.new"), 0o755)
        os.rename(os.path.join(self.installed, "pmd.new"), os.path.join(self.installed, "pmd"))
        self.fails("self-check", "a script that exits 1 in pmd's place")
        self.bad("crash")
        self.fails("self-check", "a program that crashes at once")
        os.unlink(os.path.join(self.installed, "pmd"))
        self.fails("No such file", "no program at all")
        self.assertEqual(self.keeper_pid(), keeper)
        self.go_on_well()

    def test_x08_a_program_whose_supervisor_dies_is_replaced_by_the_old_one(self):
        self.start(self.many())
        keeper = self.keeper_pid()
        self.bad("supervisor")
        self.fails("died 3 times", "a program whose supervisors exit at once")
        self.assertEqual(self.keeper_pid(), keeper)
        self.go_on_well()

    def test_x08_a_program_whose_supervisor_hangs_is_replaced_by_the_old_one(self):
        self.start(self.many())
        keeper = self.keeper_pid()
        self.bad("hang")
        self.fails("not ready", "a program whose supervisors hang")
        self.assertEqual(self.keeper_pid(), keeper)
        self.go_on_well()

    def test_x08_a_program_whose_keeper_dies_leaves_the_supervisor_to_take_its_place(self):
        self.start(self.many())
        self.bad("keeper")
        keeper = self.keeper_pid()
        self.fails("the new keeper died", "a program that passes its self-check and crashes as the keeper")
        self.assertNotEqual(self.keeper_pid(), keeper)
        self.go_on_well()

    def test_x08_a_program_that_cannot_read_the_state_hands_back(self):
        self.pmctl("ping", env={"PMD_FAIL": "keeper.restore=EIO"})
        self.start(self.many())
        keeper = self.keeper_pid()
        self.install(os.path.join(BUILD, "pmd"))
        self.fails("cannot read our state", "keeper.restore=EIO, as of a program that knows another format")
        self.assertEqual(self.keeper_pid(), keeper)


if __name__ == "__main__":
    unittest.main()
