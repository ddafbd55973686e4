"""What `save` and autosave leave on the disk, and what becomes of it: X-04, X-12, X-16."""

import os
import signal
import socket
import unittest

from pmdtest import PATIENCE, PmdTestCase

STEPS = ("open", "after_open", "write", "after_write", "fsync", "after_fsync", "close", "keep", "after_link",
         "after_keep", "rename", "after_rename", "fsync_dir", "after_fsync_dir")


class StateCase(PmdTestCase):
    def script(self, name):
        return self.write(f"{name}.sh", "#!/bin/sh\nexec sleep 100000\n", 0o755)

    def start(self, name, **kwargs):
        out = self.pmctl("start", self.script(name), "--name", name, **kwargs)
        self.wait_status(name)
        return out

    def state(self, name):
        return os.path.join(self.home, "state", name)

    def names(self):
        return sorted(a["name"] for a in self.apps())

    def spoil(self, name):
        """Damages what has this name, and only that: within a save, two generations are one file with two names."""
        data = bytearray(self.bytes_of(name))
        data[-1] ^= 1
        self.write(self.state("spoilt"), bytes(data))
        os.rename(self.state("spoilt"), self.state(name))

    def bytes_of(self, name):
        with open(self.state(name), "rb") as file:
            return file.read()

    def aside(self, name):
        return [f for f in os.listdir(os.path.join(self.home, "state")) if f.startswith(f"{name}.corrupt-")]

    def cut_power(self):
        """The agent and its apps at once."""
        for p in self.processes():
            try:
                os.kill(p.pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        for p in self.processes():
            try:
                os.kill(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.wait(lambda: not self.processes(), message="the end of everything")


class Saved(StateCase):
    def test_the_last_commanded_state_comes_back_without_save(self):
        self.start("one")
        self.start("two")
        self.pmctl("stop", "two")
        self.cut_power()
        self.pmctl("ping")
        self.wait_status("one")
        self.assertEqual(self.status("two"), "stopped")

    def test_save_and_resurrect(self):
        self.start("one")
        self.start("two")
        self.pmctl("save")
        self.pmctl("delete", "all")
        self.assertEqual(self.names(), [])
        self.pmctl("resurrect")
        self.wait_status("one")
        self.wait_status("two")
        self.pmctl("resurrect")
        self.assertEqual(self.names(), ["one", "two"])

    def test_x16_resurrect_falls_back_to_the_generation_before(self):
        self.start("one")
        self.pmctl("save")
        self.start("two")
        self.pmctl("save")
        self.pmctl("delete", "all")
        self.spoil("saved")
        self.pmctl("resurrect")
        self.assertEqual(self.names(), ["one"])
        self.assertEqual(len(self.aside("saved")), 1)
        self.assertIn("saved.corrupt-", self.pmctl("list").out)

    def test_x16_resurrect_fails_when_no_generation_is_whole(self):
        self.start("one")
        self.pmctl("save")
        self.pmctl("save")
        self.spoil("saved")
        self.spoil("saved.prev")
        for _ in range(2):
            out = self.pmctl("resurrect", check=False)
            self.assertNotEqual(out.code, 0, out)
            self.assertIn("saved", out.err)
        self.assertEqual(self.names(), ["one"])

    def test_x16_a_damaged_autosave_falls_back_and_is_told(self):
        self.start("one")
        self.pmctl("reset", "one")
        self.wait(lambda: os.path.exists(self.state("apps.prev")), message="a second generation")
        self.cut_power()
        self.spoil("apps")
        self.pmctl("ping")
        out = self.pmctl("list")
        self.assertIn("apps.corrupt-", out.out + out.err)
        self.assertEqual(len(self.aside("apps")), 1)

    def test_x16_no_whole_autosave_is_never_an_empty_list(self):
        self.start("one")
        self.pmctl("reset", "one")
        self.wait(lambda: os.path.exists(self.state("apps.prev")), message="a second generation")
        self.cut_power()
        self.spoil("apps")
        self.spoil("apps.prev")
        before = [self.bytes_of(name) for name in ("apps", "apps.prev")]
        out = self.pmctl("list", check=False)
        told = out.out + out.err + self.read(os.path.join(self.home, "pmd.log"))
        self.assertIn("apps", told)
        kept = [self.bytes_of(name) for name in os.listdir(os.path.join(self.home, "state"))
                if os.path.isfile(self.state(name))]
        for damaged in before:
            self.assertIn(damaged, kept, "a damaged file is lost")


class Descriptors(StateCase):
    def test_crashes_with_a_living_child_lose_no_line_and_no_descriptor(self):
        """A descriptor that is closed twice takes a stranger with it: a log file, a state file."""
        path = self.write("crash.sh", "#!/bin/sh\necho out; echo err >&2\nsleep 100000 &\nwait\n", 0o755)
        self.pmctl("start", path, "--name", "crash")
        for n in range(1, 6):
            self.wait(lambda n=n: all(self.read(self.log("crash", s)).count("\n") == n for s in ("out", "error")),
                      message=lambda n=n: f"line {n} in both logs")
            old = self.pid("crash")
            os.kill(old, signal.SIGKILL)
            self.wait(lambda old=old: self.pid("crash") not in (0, old), message="a restart")
        self.pmctl("save")
        self.assertIn("degraded    nothing", self.pmctl("agent", "status").out)


class KillSweep(StateCase):
    def has_died(self):
        """The point acts once, whenever it is passed; the first save of a start may have nothing to keep."""
        if "signal=9" in self.read(os.path.join(self.home, "pmd.log")):
            return True
        self.pmctl("reset", "all", check=False)
        return False

    def test_x12_death_at_any_step_of_a_save_loses_neither_app_nor_state(self):
        for step in STEPS:
            with self.subTest(step=step):
                name = "at-" + step.replace("_", "-")
                self.pmctl("kill")
                self.pmctl("start", self.script(name), "--name", name, check=False,
                           env={"PMD_FAIL": f"state.{step}=kill"})
                self.wait(self.has_died, message=f"death at {step}")
                if name not in self.names():  # it died before it had taken the order: then nothing is there
                    self.pmctl("start", self.script(name), "--name", name)
                self.wait(lambda: name in self.names(), message=f"{name} after death at {step}")
                pids = self.wait_status(name)
                self.assertEqual(len(pids), len({a["pid"] for a in pids}))
                print(f"killed at state.{step}: {name} has {[a['pid'] for a in pids]}")
                self.pmctl("save")
                self.pmctl("delete", "all")
                self.pmctl("resurrect")
                self.wait_status(name)
                self.pmctl("delete", "all")
                os.truncate(os.path.join(self.home, "pmd.log"), 0)


class Watchdog(StateCase):
    def test_x04_a_supervisor_that_hangs_is_replaced_and_the_apps_go_on(self):
        path = os.path.join(self.dir, "notify")
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(told.close)
        told.bind(path)
        told.settimeout(20 * PATIENCE)
        usec = int(2_000_000 * PATIENCE)
        self.popen([os.path.join(os.environ["PMD_BUILD"], "pmd"), "agent", "--foreground", "--home", self.home],
                   env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": usec})
        while b"READY=1" not in told.recv(4096):
            pass
        self.start("one")
        pid, old = self.pid("one"), self.supervisor_pid()
        while told.recv(4096) != b"WATCHDOG=1":
            pass
        os.kill(old, signal.SIGSTOP)
        self.wait_dead(old)
        self.wait(lambda: self.supervisor_pid() != old, message="a new supervisor")
        self.assertEqual(self.pid("one"), pid)
        print(f"supervisor {old} stopped: replaced by {self.supervisor_pid()}, app {pid} lives")
        while told.recv(4096) != b"WATCHDOG=1":
            pass


if __name__ == "__main__":
    unittest.main()
