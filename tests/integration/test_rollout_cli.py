"""What pmctl shows of rollouts, on a terminal and elsewhere, and how one steps in."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from fleet import FleetTestCase
from pmdtest import BUILD, PATIENCE, PmdTestCase

QUICK = ("--min-healthy", "200ms", "--healthy-deadline", "5s", "--progress-deadline", "60s", "--monitor", "200ms")
WEB = [f"web{i}" for i in range(1, 6)]
APPS = "* apps=api:2:1.4.1:online\n"
HEAD = r"rollout (r-[0-9a-f]+)  reload api  5 hosts in \d batch(es)? \([\d,]+\)  max-fail 0  on-failure pause"


class Terminal:
    """pmctl on a terminal of its own."""

    def __init__(self, test, *args, width=100, term="xterm"):
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self.child = subprocess.Popen([os.path.join(BUILD, "pmctl"), *args], env=test.environment({"TERM": term}),
                                      stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(follower)
        self.text = ""
        test.addCleanup(self.close)

    def read(self, timeout):
        if not select.select([self.leader], [], [], timeout)[0]:
            return True
        try:
            got = os.read(self.leader, 65536)
        except OSError:  # EIO: the last writer has gone
            return False
        self.text += got.decode(errors="replace").replace("\r", "")
        return bool(got)

    def until(self, pattern, timeout=20):
        deadline = time.monotonic() + timeout * PATIENCE
        while not re.search(pattern, self.text):
            if time.monotonic() > deadline or not self.read(0.2):
                raise AssertionError(f"no {pattern!r} on the terminal, but {self.text!r}")
        return re.search(pattern, self.text)

    def type(self, keys):
        os.write(self.leader, keys)

    def end(self, timeout=30):
        """What is left on the screen when it has ended, and its status."""
        deadline = time.monotonic() + timeout * PATIENCE
        while self.read(0.2):
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not end: {self.text!r}")
        return self.child.wait(20), self.screen()

    def screen(self):
        """The lines that stand there: cursor up and erase are all that is used."""
        lines, row, column = [""], 0, 0
        for part in re.split(r"(\x1b\[\d*[A-Za-z]|\n)", self.text):
            if part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif part.startswith("\x1b["):
                kind, number = part[-1], part[2:-1]
                if kind == "A":
                    row -= int(number)
                elif kind == "J":
                    del lines[row + 1:]
                    lines[row] = lines[row][:column]
                elif kind == "K":
                    lines[row] = lines[row][:column]
                elif kind != "m":
                    raise AssertionError(f"{part!r} on the terminal")
            elif part:
                lines[row] = lines[row][:column] + part + lines[row][column + len(part):]
                column += len(part)
        return "\n".join(lines)

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.leader)


class Local(PmdTestCase):
    def test_apply_starts_what_is_new_and_reloads_what_runs(self):
        self.write("sleeper.sh", "#!/bin/bash\nexec sleep 1000\n", 0o755)
        config = self.write("e.config.json", {"apps": [{"name": "a", "script": "sleeper.sh"}]})
        self.assertIn("a (0): started", self.pmctl("apply", config).out)
        config = self.write("e.config.json", {"apps": [{"name": "a", "script": "sleeper.sh", "env": {"X": "1"}},
                                                       {"name": "b", "script": "sleeper.sh"}]})
        done = self.pmctl("apply", config).out
        self.assertIn("a (0): restarted", done)  # in fork mode no socket is shared
        self.assertIn("b (1): started", done)
        self.assertEqual(self.pmctl("apply", "nosuch.txt", check=2).err,
                         "pmctl: nosuch.txt: not a configuration file by its name\n")


class RolloutCli(FleetTestCase):
    def fleet_of(self, names=WEB, script=APPS):
        self.coordinator()
        self.login()
        self.agents_of(names, script)

    def reload(self, *args, check=0):
        return self.pmctl("--all", "reload", "api", *QUICK, *args, check=check, timeout=120)

    def held(self, *args):
        """One that waits behind its first batch."""
        number = self.reload("--batch", "1,4", "--max-down", "4", "--canary-hold", "ask", "--no-wait", *args).out.strip()
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "promote", message="the canary")
        return number

    def show(self, number):
        return self.pmctl("rollout", "show", number, "--json").json()

    # --- what is shown -----------------------------------------------------------------------------------

    def test_into_a_pipe_each_event_is_a_line_and_the_account_sums_up(self):
        """F-12, F-13."""
        self.fleet_of()
        done = self.reload("--batch", "1,4", "--max-down", "4", "-m", "because")
        self.assertEqual(done.err, "")
        self.assertNotIn("\x1b", done.out)
        lines = done.out.splitlines()
        number = re.fullmatch(HEAD, lines[0])[1]
        self.assertEqual(lines[1:3], ["batch 1 of 2: 1 host", "web1  healthy"])
        self.assertEqual(lines[3], "batch 2 of 2: 4 hosts")
        self.assertEqual(sorted(lines[4:8]), [f"web{i}  healthy" for i in range(2, 6)])
        self.assertEqual(lines[-2], "succeeded after 5 of 5: 5 new, 0 old, 0 down")
        self.assertEqual(lines[-1], f"  pmctl rollout show {number}")  # a reload alone has nothing to undo
        shown = self.pmctl("rollout", "show", number).out
        self.assertRegex(shown, r"(?m)^  message +because$")
        self.assertRegex(shown, r"(?m)^web3 +2  healthy  api v1\.4\.1 ")
        self.assertRegex(shown, r"(?m)^  \d\d-\d\d [\d:]+  op-prod +planned: because$")
        listed = self.pmctl("rollout", "list", "--all").out.splitlines()
        self.assertRegex(listed[1], rf"^{number}  reload api  succeeded ")
        self.assertIn("no rollout goes on", self.pmctl("rollout", "list").out)

    def test_the_first_failure_is_told_in_full_and_the_rest_keeps_what_it_has(self):
        self.fleet_of(script=APPS + "web1 fail=http_503\n")
        done = self.reload(check=13)
        lines = done.out.splitlines()
        number = re.fullmatch(HEAD, lines[0])[1]
        self.assertIn("web1  FAILED  api: http_503", lines)
        self.assertIn("  | and the last", lines)
        self.assertEqual(lines[-2], "paused after 1 of 5: 0 new, 5 old, 0 down")
        self.assertEqual(lines[-1], f"  pmctl rollout show {number} · resume {number} · abort {number}")
        again = self.pmctl("rollout", "watch", number, check=13).out.splitlines()
        self.assertEqual(again[-2], lines[-2])
        # By the beginning of its id, too.
        self.assertIn("  | and the last", self.pmctl("rollout", "show", number[:6]).out)
        self.assertIn("no such rollout", self.pmctl("rollout", "watch", "nosuch", check=4).err)

    def test_programs_get_a_document_or_a_line_for_each_change(self):
        """F-12."""
        self.fleet_of()
        document = self.reload("--json").json()
        self.assertEqual((document["schema"], document["exit"]), (1, 0))
        account = document["account"]
        self.assertEqual(sum(n for name, n in account.items() if name != "total"), account["total"])
        done = self.reload("--jsonl")
        events = [json.loads(line) for line in done.out.splitlines()]
        self.assertEqual({e["schema"] for e in events}, {1})
        self.assertEqual(events[-1]["event"], "end")
        self.assertEqual(events[-1]["account"]["new"], 5)
        healthy = [e["host"] for e in events if e["event"] == "host" and e["state"] == "healthy"]
        self.assertEqual(sorted(healthy), WEB)
        self.assertEqual(len(self.pmctl("rollout", "list", "--all", "--json").json()["rollouts"]), 2)

    def test_a_few_hosts_have_lines_that_change_on_a_terminal(self):
        self.fleet_of()
        terminal = Terminal(self, "--all", "reload", "api", *QUICK, "--batch", "1,4", "--max-down", "4")
        terminal.until(r"web1  \S*(up, watched|under way)")
        terminal.until("waits its turn")
        code, screen = terminal.end()
        self.assertEqual(code, 0, screen)
        lines = screen.rstrip("\n").split("\n")
        self.assertRegex(lines[0], HEAD)
        self.assertEqual(lines[1:6], [f"web{i}  healthy" for i in range(1, 6)])
        self.assertEqual(lines[6], "succeeded after 5 of 5: 5 new, 0 old, 0 down")
        self.assertEqual(len(lines), 8, screen)

    def test_many_hosts_have_a_bar_and_lines_for_the_odd_ones(self):
        names = [f"web{i:02}" for i in range(1, 31)]
        self.fleet_of(names, APPS + "web07 fail=no_memory\n")
        terminal = Terminal(self, "--all", "reload", "api", *QUICK, "--max-fail", "1", "--on-failure", "continue")
        terminal.until(r"\[\d/\d\] .*/30 done")
        code, screen = terminal.end()
        self.assertEqual(code, 10, screen)
        lines = screen.rstrip("\n").split("\n")
        self.assertEqual(lines[1], "web07  FAILED  api: no_memory")
        self.assertNotIn("web08", screen)
        self.assertIn("29 new, 1 old, 0 down", lines[-2])

    # --- Ctrl-C, and cuts --------------------------------------------------------------------------------

    def test_ctrl_c_asks_on_a_terminal_and_a_second_one_goes_away(self):
        self.fleet_of()
        number = self.held()
        terminal = Terminal(self, "rollout", "watch", number)
        terminal.until("rollout promote")
        terminal.type(b"\x03")
        terminal.until(r"\[d\]etach, \[p\]ause or \[a\]bort")
        terminal.type(b"\x03")
        code, screen = terminal.end()
        self.assertEqual(code, 130, screen)
        self.assertIn("the rollout goes on", screen)
        terminal = Terminal(self, "rollout", "watch", number)
        terminal.until("rollout promote")
        terminal.child.terminate()  # whoever does that answers no questions
        code, screen = terminal.end()
        self.assertEqual(code, 130, screen)
        self.assertNotIn("[d]etach", screen)
        terminal = Terminal(self, "rollout", "watch", number)
        terminal.until("rollout promote")
        terminal.type(b"\x03")
        terminal.until(r"\[d\]etach")
        terminal.type(b"p\n")
        code, screen = terminal.end()
        self.assertEqual(code, 13, screen)
        self.assertIn("paused after 1 of 5: 1 new, 4 old, 0 down", screen)
        self.assertEqual(self.show(number)["rollout"]["state"], "paused")

    def test_ctrl_c_elsewhere_goes_away_and_the_rollout_goes_on(self):
        self.fleet_of()
        number = self.held()
        child = self.pmctl_popen("rollout", "watch", number, text=True)
        while "holds:" not in (line := child.stdout.readline()):
            self.assertNotEqual(line, "")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
        self.assertEqual(child.returncode, 130)
        self.assertIn("1 new, 4 old, 0 down", out)
        self.assertIn(f"watch {number}", out)
        self.assertIn("the rollout goes on", err)
        self.assertEqual(self.show(number)["rollout"]["state"], "running")
        self.assertEqual(self.pmctl("rollout", "watch", number, "--timeout", "1s", check=15).out.splitlines()[-2],
                         "running after 1 of 5: 1 new, 4 old, 0 down")

    def test_a_watch_survives_the_coordinators_end(self):
        """F-23."""
        self.fleet_of()
        number = self.held()
        child = self.pmctl_popen("rollout", "watch", number, text=True)
        while "holds:" not in child.stdout.readline():
            pass
        self.stop_coordinator()
        self.assertIn("the connection to the coordinator is lost", child.stderr.readline())
        self.start_coordinator()
        self.assertIn("connected again", child.stderr.readline())
        self.wait_up(5)
        self.pmctl("rollout", "promote", number)
        out, err = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, out + err)
        self.assertIn("batch 2 of 2: 4 hosts", out.splitlines())
        self.assertIn("succeeded after 5 of 5: 5 new, 0 old, 0 down", out)

    # --- plans, and stepping in ------------------------------------------------------------------------

    def test_a_plan_says_what_would_be_done(self):
        """F-26."""
        self.fleet_of()
        done = self.pmctl("--all", "reload", "api", "--plan", "--batch", "1,2", "--max-down", "2", check=20)
        lines = done.out.splitlines()
        number = re.match(r"plan (r-[0-9a-f]+)  reload api  5 hosts in ", lines[0])[1]
        self.assertRegex(lines[1], r"^web1  api  v1\.4\.1 \([0-9a-f]{8}\)  2 running")
        self.assertIn("batch 1: 1 host  web1", lines)
        self.assertIn("at most 2 hosts at a time", lines)
        self.assertIn("api: at least 6 of 10 instances serve at any time", lines)
        self.assertEqual(lines[-1], f"plan {number}: pmctl --apply {number} within 1h")
        self.assertIn("it is only planned", self.pmctl("rollout", "watch", number, check=2).err)
        self.assertIn("plan", self.pmctl("--hosts", "web1", "--apply", number, check=2).err)
        done = self.pmctl("reload", "--apply", number, timeout=60)
        self.assertIn("succeeded after 5 of 5", done.out)

    def test_other_verbs_roll_when_they_are_told_to(self):
        self.fleet_of()
        self.assertIn("5 hosts: 5 restarted", self.pmctl("--all", "restart", "api").out)
        self.assertIn("succeeded after 5 of 5", self.pmctl("--all", "restart", "api", *QUICK, timeout=60).out)
        self.assertIn("succeeded after 2 of 2",
                      self.pmctl("--hosts", "web[1-2]", "scale", "api", "3", "--rolling", *QUICK, timeout=60).out)
        self.assertIn("needs --yes", self.pmctl("--all", "stop", "api", "--rolling", check=2).err)
        self.assertIn("goes with --all", self.pmctl("restart", "api", "--batch", "2", check=2).err)
        self.assertIn("did you mean --max-down?", self.pmctl("--all", "reload", "api", "--max-dwon", "2", check=2).err)
        self.assertIn("max_fail", self.pmctl("--all", "reload", "api", "--max-fail", "many", check=2).err.replace("-", "_"))

    def test_an_undo_asks_first(self):
        self.fleet_of()
        number = self.held()
        self.assertIn("needs --yes", self.pmctl("rollout", "undo", number, check=2).err)
        terminal = Terminal(self, "rollout", "undo", number)
        terminal.until(r"goes back on 1 hosts\? \[y/N\] ")
        terminal.type(b"n\n")
        code, screen = terminal.end()
        self.assertEqual(code, 5)
        self.assertIn("nothing was done", screen)
        self.assertEqual(self.show(number)["rollout"]["state"], "running")
        self.assertIn(f"{number}: paused", self.pmctl("rollout", "pause", number, "-m", "why").out)
        self.assertIn("did you mean 'rollout resume'?", self.pmctl("rollout", "resum", number, check=2).err)
        self.pmctl("rollout", "abort", number)
        self.wait(lambda: self.show(number)["rollout"]["state"] == "aborted", message="aborted")
        self.assertEqual(self.pmctl("rollout", "watch", number, check=13).out.splitlines()[-2],
                         "aborted after 1 of 5: 1 new, 0 old, 0 down, 4 skipped")

    def test_ids_are_completed(self):
        """E-10."""
        self.fleet_of()
        number = self.held()
        for words in (["rollout", "show", ""], ["rollout", "pause", number[:5]], ["reload", "--apply", "r-"]):
            self.assertIn(f"{number}\treload api\n", self.pmctl("__complete", "--", *words).out)
        self.assertIn("--max-down", self.pmctl("__complete", "--", "reload", "--max-d").out)
        self.assertNotIn("--max-down", self.pmctl("__complete", "--", "list", "--max-d").out)


if __name__ == "__main__":
    unittest.main()
