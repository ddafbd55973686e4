"""Ending an app: the signal, the time it is given, SIGKILL, and that nothing of its tree is left (P7, R-07)."""

import os
import signal
import time
import unittest

from pmdtest import PmdTestCase, alive, kill, process, require


class Stop(PmdTestCase):
    def start(self, name, script, check=True, **keys):
        path = self.write(f"{name}.sh", f"#!/bin/sh\n{script}\n", 0o755)
        config = self.write(f"{name}.json", {"apps": [dict(name=name, script=path, interpreter="none", **keys)]})
        return self.pmctl("start", config, check=check)

    def forker(self, *args, **keys):
        """The app that leaves descendants of every kind; returns all their pids."""
        pids = self.path("pids")
        config = self.write("forker.json", {"apps": [dict(
            name="forker", script=self.sample("forker.py"), interpreter=require("python3"), args=list(args),
            env={"FORKER_PIDS": pids}, **keys)]})
        self.pmctl("start", config)
        self.wait(lambda: self.read(pids), message="all descendants")
        found = [int(p) for p in self.read(pids).split()]
        self.assertGreaterEqual(len(found), 5)
        for pid in found:
            self.assertTrue(alive(pid))
        return found

    def test_the_default_signal_is_sigint_and_kill_signal_changes_it(self):
        self.pmctl("start", self.sample("app.py"), "--name", "a", "--interpreter", require("python3"))
        self.wait_text(self.log("a"), "hello")
        self.pmctl("stop", "a")
        self.wait_text(self.log("a"), "got SIGINT")
        self.pmctl("delete", "a")
        self.pmctl("start", self.path("app.py"), "--name", "b", "--interpreter", require("python3"),
                   "--kill-signal", "SIGTERM")
        self.wait_text(self.log("b"), "hello")
        self.pmctl("stop", "b")
        self.wait_text(self.log("b"), "got SIGTERM")
        self.assertEqual(self.app("b")["pm2_env"]["exit_code"], 0)

    def test_x26_what_is_deaf_is_killed_after_kill_timeout(self):
        self.pmctl("start", self.sample("deaf.sh"), "--kill-timeout", "400")
        self.wait_text(self.log("deaf"), "deaf")
        pids = [p.pid for p in self.processes() if "deaf.sh" in " ".join(p.argv) or p.comm == "sleep"]
        began = time.monotonic()
        self.pmctl("stop", "deaf")
        self.assertGreaterEqual(time.monotonic() - began, 0.39)
        self.assertEqual([p for p in pids if alive(p)], [])
        self.assertEqual(self.status("deaf"), "stopped")

    def test_r07_a_stop_leaves_no_descendant_of_any_kind(self):
        for pid in self.forker(kill_timeout=300):
            self.assertTrue(alive(pid))
        pids = [int(p) for p in self.read("pids").split()]
        self.pmctl("stop", "forker")
        self.assertEqual([process(p) for p in pids if alive(p)], [])

    def test_r07_delete_and_restart_leave_none_either(self):
        old = self.forker(kill_timeout=200)
        self.write("pids", "")
        self.pmctl("restart", "forker")
        self.assertEqual([process(p) for p in old if alive(p)], [])
        self.wait(lambda: self.read("pids"), message="new descendants")
        new = [int(p) for p in self.read("pids").split()]
        self.pmctl("delete", "forker")
        self.assertEqual([process(p) for p in new if alive(p)], [])

    def test_r07_what_a_crash_leaves_is_killed_before_long(self):
        old = self.forker()
        self.write("pids", "")
        kill(self.pid("forker"))
        for pid in old:
            self.wait_dead(pid)
        self.wait(lambda: self.read("pids"), message="the new run")

    def test_no_treekill_leaves_the_descendants(self):
        self.start("a", "sleep 3600 & echo $! >child\nwait", treekill=False)
        self.wait(lambda: self.read("child"), message="the child")
        main, child = self.pid("a"), int(self.read("child"))
        self.pmctl("stop", "a")
        self.assertFalse(alive(main))
        self.assertTrue(alive(child))
        kill(child)

    def test_x28_a_stopped_process_gets_to_see_the_signal(self):
        self.pmctl("start", self.sample("app.py"), "--name", "a", "--interpreter", require("python3"),
                   "--kill-timeout", "60000")
        self.wait_text(self.log("a"), "hello")
        kill(self.pid("a"), signal.SIGSTOP)
        self.pmctl("stop", "a", timeout=20)
        self.wait_text(self.log("a"), "got SIGINT")

    def test_x27_a_daemon_is_shown_survives_a_new_supervisor_and_is_still_stopped(self):
        self.start("d", 'setsid sh -c \'trap "" INT; echo $$ >daemon; exec sleep 3600\' &\n'
                   'while [ ! -s daemon ]; do sleep 0.01; done; exit 0', kill_timeout=300)
        self.wait(lambda: self.read("daemon"), message="the daemon")
        pid = int(self.read("daemon"))
        self.wait(lambda: "daemonised" in self.pmctl("describe", "d").out, message="the note")
        self.assertEqual((self.status("d"), self.restarts("d")), ("online", 0))
        before = self.supervisor_pid()
        kill(before)
        self.wait(lambda: self.supervisor_pid() != before, message="a new supervisor")
        self.wait_status("d")
        self.assertTrue(alive(pid))
        self.assertEqual(self.restarts("d"), 0)
        self.pmctl("stop", "d")
        self.assertFalse(alive(pid))
        self.pmctl("start", "d")
        self.wait(lambda: int(self.read("daemon") or 0) not in (0, pid), message="another daemon")
        second = int(self.read("daemon"))
        kill(second)  # the last heir goes: that is the exit of the app
        self.wait(lambda: self.restarts("d") >= 1, message="a restart")

    def test_shutdown_with_message_sends_no_signal(self):
        config = self.write("s.json", {"apps": [dict(
            name="s", script=self.node("s.js", """
                process.on('SIGINT', () => console.log('a signal'));
                process.on('message', (m) => { console.log('got', m); setTimeout(() => process.exit(5), 50); });
                console.log('up'); setInterval(() => {}, 1e9);"""),
            shutdown_with_message=True, kill_timeout=60000)]})
        self.pmctl("start", config)
        self.wait_text(self.log("s"), "up")
        self.pmctl("stop", "s")
        self.assertIn("got shutdown", self.read(self.log("s")))
        self.assertNotIn("a signal", self.read(self.log("s")))
        self.assertEqual(self.app("s")["pm2_env"]["exit_code"], 5)

    def test_a_start_during_a_stop_wins_and_the_stop_says_so(self):
        self.start("a", "trap '' INT\necho up\nwhile :; do sleep 0.1; done", kill_timeout=1500)
        self.wait_text(self.log("a"), "up")
        before = self.pid("a")
        stop = self.pmctl_popen("stop", "a", text=True)
        self.wait(lambda: self.status("a") == "stopping", message="stopping")
        self.pmctl("start", "a")
        out, err = stop.communicate(timeout=20)
        self.assertNotEqual(stop.returncode, 0)
        self.assertIn("later order", out + err)
        self.wait_status("a")
        self.assertNotEqual(self.pid("a"), before)

    def test_two_hundred_stop_at_once_and_quickly(self):
        script = self.write("many.sh", "#!/bin/sh\nsleep 3600 &\nwait\n", 0o755)
        config = self.write("many.json", {"apps": [dict(name="m", script=script, interpreter="none", instances=200,
                                                        exec_mode="fork")]})
        self.pmctl("start", config, timeout=60)
        self.wait_status("m")
        self.wait(lambda: sum(p.comm == "sleep" for p in self.processes()) == 200, message="200 children")
        before = cpu_ticks(self.supervisor_pid())
        began = time.monotonic()
        self.pmctl("stop", "m", timeout=60)
        spent, ticks = time.monotonic() - began, cpu_ticks(self.supervisor_pid()) - before
        print(f"200 instances stopped in {spent:.2f} s, {ticks / os.sysconf('SC_CLK_TCK'):.2f} s of CPU")
        self.assertEqual([p for p in self.processes() if p.comm in ("sleep", "many.sh")], [])
        # A walk for each would take as many times as long as there are instances; no clock is asked here.
        self.assertLess(ticks, 3 * os.sysconf("SC_CLK_TCK"))


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    unittest.main()
