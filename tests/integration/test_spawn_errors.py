"""What cannot be started: exact words and exit 10 (X-21), and no room to fork (X-20)."""

import os
import shutil
import unittest

from pmdtest import BUILD, PATIENCE, PmdTestCase, require
from ports import free_port


class SpawnErrors(PmdTestCase):
    def start(self, script, check=10, **keys):
        config = self.write("a.json", {"apps": [dict(dict(name="a", script=script, interpreter="none"), **keys)]})
        return self.pmctl("start", config, check=check)

    def check_error(self, out, *words, restarts=0):
        for word in words:
            self.assertIn(word, out.out + out.err)
        app = self.app("a")
        self.assertEqual((app["pm2_env"]["status"], app["pid"], app["pm2_env"]["restart_time"]), ("errored", 0, restarts))
        self.pmctl("delete", "a")

    def test_x21_enoent_of_the_hash_bang_line(self):
        script = self.write("x", "#!/no/such/interpreter\n", 0o755)
        self.check_error(self.start(script), f"exec {script}: No such file or directory",
                         "the program of its #! line is missing")

    def test_x21_enoent_of_a_program_that_went_away(self):
        script = self.write("x", "#!/bin/sh\nexec sleep 3600\n", 0o755)
        self.start(script, check=0)
        os.unlink(script)
        self.check_error(self.pmctl("restart", "a", check=10), f"exec {script}: No such file or directory",
                         restarts=1)

    def test_x21_eacces(self):
        script = self.write("x", "#!/bin/sh\n", 0o644)
        out = self.start(script, check=False)
        self.assertIn(out.code, (8, 10), out)  # pmctl may see it before the agent does
        if out.code == 10:
            self.check_error(out, f"exec {script}: Permission denied", "chmod +x")

    def test_x21_enoexec(self):
        script = self.write("x", "not a program\n", 0o755)
        self.check_error(self.start(script), f"exec {script}: Exec format error", "add a #! line, or set interpreter")

    def test_x21_e2big(self):
        script = self.write("x", "#!/bin/sh\n", 0o755)
        big = self.write("big.env", "BIG=" + "x" * (200 << 10) + "\n", 0o600)
        self.check_error(self.start(script, env_file=big), f"exec {script}: Argument list too long")

    def test_x21_etxtbsy(self):
        program = shutil.copy(require("sleep"), self.path("busy"))
        os.chmod(program, 0o755)
        with open(program, "ab"):
            self.check_error(self.start(program, args="3600"), f"exec {program}: Text file busy", "open for writing")

    def test_a_cwd_that_is_missing_is_named(self):
        script = self.write("x", "#!/bin/sh\nexec sleep 3600\n", 0o755)
        os.mkdir(self.path("gone"))
        self.start(script, check=0, cwd=self.path("gone"))
        os.rmdir(self.path("gone"))
        self.check_error(self.pmctl("restart", "a", check=10), f"cwd {self.path('gone')}: No such file or directory",
                         restarts=1)

    def test_a_failed_start_leaves_nothing_open(self):
        script = self.write("x", "not a program\n", 0o755)
        self.start(script)
        self.pmctl("restart", "a", check=10)

        def counts():
            return sorted(len(p.fds()) for p in self.agents().values())
        before = counts()  # perhaps with what the keeper is about to close; ten times that is a leak
        for _ in range(10):
            self.pmctl("restart", "a", check=10)
        self.wait(lambda: all(now <= was for now, was in zip(counts(), before, strict=True)),
                  message=lambda: f"{before} descriptors: {counts()}")

    def room(self):
        """An agent of another user, and how many processes more that may have: (pmctl as that user, set it)."""
        uid = 61234  # nobody else's: RLIMIT_NPROC counts all processes of a user
        for path in (self.dir, self.home, self.work, self.bin):
            os.chmod(path, 0o700)
            os.chown(path, uid, uid)
        script = self.write("x", "#!/bin/sh\necho up >up\nexec sleep 3600\n", 0o755)
        os.chown(script, uid, uid)
        other = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]

        for name in ("pmd", "pmctl"):  # where that user can reach them
            shutil.copy(os.path.join(BUILD, name), self.bin)

        def pmctl(*args, check=True):
            return self.run_command([*other, os.path.join(self.bin, "pmctl"), *args], check)
        pmctl("ping")
        keeper = self.keeper_pid()

        def limit(more, apps=0):
            threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.agents()) + apps
            self.run_command([*other, "prlimit", f"--pid={keeper}", f"--nproc={threads + more}:"])
        return pmctl, limit

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_x20_no_room_to_fork_is_waited_out(self):
        pmctl, limit = self.room()
        limit(0)
        config = self.write("a.json", {"apps": [dict(name="a", script=self.path("x"), interpreter="none")]})
        out = pmctl("start", config, check=10)
        self.assertIn("waiting: EAGAIN", out.out + out.err)
        app = self.app_as(pmctl)
        self.assertEqual((app["pm2_env"]["status"], app["pm2_env"]["restart_time"],
                          app["pm2_env"]["unstable_restarts"]), ("waiting restart", 0, 0))
        self.assertEqual(self.read("up"), "")
        limit(50)
        self.wait(lambda: self.app_as(pmctl)["pm2_env"]["status"] == "online", message="online once there is room")
        self.wait_text("up", "up")
        self.assertEqual(self.app_as(pmctl)["pm2_env"]["restart_time"], 0)
        pmctl("kill")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_x20_a_reload_without_room_says_so_and_not_that_it_goes_on(self):
        pmctl, limit = self.room()
        app = dict(name="a", script=self.path("x"), interpreter="none", min_uptime=100,
                   listen=[f"tcp://127.0.0.1:{free_port()}"])
        pmctl("start", self.write("a.json", {"apps": [app]}))
        before = self.app_as(pmctl)["pid"]
        limit(0, apps=1)
        child = self.pmctl_popen("reload", "a", text=True)
        self.wait(lambda: "reloading: its successor is waiting: EAGAIN" in self.pmctl("list").out, message="what it waits for")
        said = child.communicate(timeout=60 * PATIENCE)[1]  # it is given up after half a minute
        self.assertEqual(child.returncode, 10, said)
        self.assertIn("the new process failed: waiting: EAGAIN", said)
        self.assertIn("the old one serves on; free what there is not enough of", said)
        self.assertNotIn("tried again", said)
        self.assertEqual(self.app_as(pmctl)["pid"], before)
        limit(50, apps=1)
        pmctl("reload", "a")
        self.assertNotEqual(self.app_as(pmctl)["pid"], before)
        pmctl("kill")

    def app_as(self, pmctl):
        return pmctl("jlist").json()[0]


if __name__ == "__main__":
    unittest.main()
