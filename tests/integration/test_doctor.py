"""pmctl doctor and pmctl report: each finding comes of something that is so, and goes away with it."""

import json
import os
import signal
import subprocess
import unittest

import pmdtest
from coordinators import Coordinator


class Doctor(pmdtest.PmdTestCase):
    def look(self, *args):
        """{check: its findings} and the exit status, which fits them."""
        done = self.pmctl("doctor", "--json", *args, check=False)
        found = done.json()
        bad = [f for f in found["findings"] if f["level"] == "bad"]
        self.assertEqual(done.code, 10 if bad else 0, done)
        account = found["account"]
        self.assertEqual(account["total"], len(found["findings"]))
        self.assertEqual(account["total"], account["ok"] + account["warn"] + account["bad"])
        for f in found["findings"]:
            self.assertEqual("fix" in f, f["level"] != "ok", f)
        out = {}
        for f in found["findings"]:
            out.setdefault(f["check"], []).append(f)
        return out

    def level(self, found, check, level, text):
        self.assertEqual([f["level"] for f in found[check]], [level], found[check])
        self.assertIn(text, found[check][0]["text"])

    def start(self, *more):
        script = self.write("sleeper.sh", "#!/bin/bash\nexec sleep 1000\n", 0o755)
        self.pmctl("start", script, "-n", "api", *more)

    def test_without_an_agent_it_looks_and_starts_none(self):
        self.level(self.look("--home", os.path.join(self.dir, "none")), "home", "ok", "is not there yet")
        found = self.look()
        self.level(found, "home", "ok", "alone")
        self.level(found, "agent", "warn", "no agent answers")
        self.level(found, "limits", "ok", "an agent started here")
        self.assertFalse(os.path.exists(os.path.join(self.home, "agent.sock")))

    def test_a_healthy_home_is_all_right(self):
        self.start()
        found = self.look()
        for check in "home", "files", "agent", "versions", "limits":
            self.assertEqual({f["level"] for f in found[check]}, {"ok"}, found[check])
        self.level(found, "agent", "ok", "it answers: keeper pid")
        self.level(found, "versions", "ok", "pmctl, the agent and pmd on disk are")
        self.assertEqual(len(found["boot"]), 1)
        self.assertEqual(len(found["clock"]), 1)
        self.assertEqual(len(found["cgroup"]), 1)
        self.assertNotIn("coordinator", found)
        self.assertNotIn("degraded", found)

    def test_permissions_are_told_and_gone_once_they_are_right(self):
        self.start()
        key = os.path.join(self.home, "keys", "agent.key")
        os.makedirs(os.path.dirname(key), mode=0o700, exist_ok=True)
        with open(key, "w", encoding="utf-8") as file:
            file.write("x")
        log = os.path.join(self.home, "logs", "api-out.log")
        os.chmod(key, 0o644)
        os.chmod(log, 0o666)
        os.chmod(self.home, 0o755)
        found = self.look()
        self.level(found, "home", "warn", "may be entered by others (0755)")
        texts = [f["text"] for f in found["files"]]
        self.assertIn(f"{key} may be read by others", texts)
        self.assertIn(f"{log} may be written by others", texts)
        os.chmod(self.home, 0o777)
        self.level(self.look(), "home", "bad", "may be written by others (0777)")
        for fix in [f["fix"] for f in self.look()["files"]] + [f"chmod 700 {self.home}"]:
            subprocess.run(fix, shell=True, check=True)
        found = self.look()
        self.level(found, "home", "ok", "alone")
        self.level(found, "files", "ok", "what is in it")

    def test_files_of_another_user_are_told(self):
        if os.geteuid() != 0:
            self.fail("this test needs root: run tests/run")
        self.start()
        os.chown(os.path.join(self.home, "logs", "api-out.log"), 65534, 65534)
        found = self.look()
        self.level(found, "files", "warn", "api-out.log does not belong to the home's owner")
        subprocess.run(found["files"][0]["fix"].removeprefix("as root: "), shell=True, check=True)
        self.level(self.look(), "files", "ok", "what is in it")

    def test_who_may_not_look_is_told_once_and_by_whom_it_may_be_done(self):
        if os.geteuid() != 0:
            self.fail("this test needs root: run tests/run")
        self.start()
        os.chmod(self.dir, 0o755)
        done = self.run_command(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                                 os.path.join(pmdtest.BUILD, "pmctl"), "doctor", "--json"], check=10)
        found = {}
        for f in done.json()["findings"]:
            found.setdefault(f["check"], []).append(f)
        self.level(found, "home", "warn", "belongs to root, and you are nobody")
        self.level(found, "files", "bad", "cannot be looked at: Permission denied")
        self.level(found, "agent", "bad", "Permission denied")
        self.assertIn("as the owner of the home", found["agent"][0]["fix"])

    def test_an_agent_that_hangs_is_bad(self):
        self.start()
        pids = self.pmctl("agent", "status", "--json").json()
        # The keeper first: it would replace a supervisor that hangs.
        for who in "keeper_pid", "supervisor_pid":
            os.kill(pids[who], signal.SIGSTOP)
        try:
            found = self.look("--timeout", "1s")
        finally:
            for who in "supervisor_pid", "keeper_pid":
                os.kill(pids[who], signal.SIGCONT)
        self.level(found, "agent", "bad", "did not answer in time")
        self.wait(lambda: self.look()["agent"][0]["level"] == "ok")

    def test_limits_are_the_agents_own(self):
        done = self.run_command(["bash", "-c", f"ulimit -Sn 600; ulimit -Hn 600; {pmdtest.BUILD}/pmctl ping"])
        self.assertIn("pong", done.out)
        self.level(self.look(), "limits", "warn", "the agent may open 600 files")

    def test_a_program_that_was_replaced_on_disk_is_told(self):
        place = os.path.join(self.dir, "place")
        os.mkdir(place)
        for name in "pmd", "pmctl":
            subprocess.run(["cp", os.path.join(pmdtest.BUILD, name), place], check=True)
        pmctl, pmd = os.path.join(place, "pmctl"), os.path.join(place, "pmd")
        self.run_command([pmctl, "ping"])
        self.level(self.look(), "versions", "ok", "pmctl, the agent")
        os.unlink(pmd)
        found = self.look()
        self.level(found, "versions", "bad", f"the agent runs {pmd}, which is no more on disk")
        subprocess.run(["cp", os.path.join(pmdtest.BUILD, "pmd"), pmd], check=True)
        self.level(self.look(), "versions", "warn", "another one than the agent that runs")
        self.run_command([pmctl, "agent", "upgrade"])
        self.level(self.look(), "versions", "ok", "pmctl, the agent")

    def test_nothing_of_anybody_else_is_run(self):
        """The pmd beside pmctl is asked for its version only if nobody else can have put it there."""
        place = os.path.join(self.dir, "place")
        os.mkdir(place)
        subprocess.run(["cp", os.path.join(pmdtest.BUILD, "pmctl"), place], check=True)
        ran = os.path.join(self.dir, "ran")
        trap = os.path.join(place, "pmd")
        with open(trap, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {ran}\necho 9.9.9\n")
        os.chmod(trap, 0o777)
        done = self.run_command([os.path.join(place, "pmctl"), "doctor"], check=False)
        self.assertIn("pmctl is", done.out)
        self.assertFalse(os.path.exists(ran))
        os.chmod(trap, 0o755)
        done = self.run_command([os.path.join(place, "pmctl"), "doctor"], check=False)
        self.assertIn("the pmd on disk (9.9.9)", done.out)

    def test_the_text_has_each_finding_and_its_fix(self):
        self.start()
        os.chmod(self.home, 0o755)
        done = self.pmctl("doctor", check=False)
        self.assertRegex(done.out, rf"(?m)^warn  home        {self.home} may be entered by others \(0755\)$")
        self.assertRegex(done.out, rf"(?m)^ {{18}}to do: chmod 700 {self.home}$")
        self.assertRegex(done.out, r"\n\d+ checks: \d+ ok, \d+ to look at, 0 bad\n$")
        self.assertEqual(done.err, "")


    def test_the_way_to_the_coordinator_is_looked_at_when_there_is_one(self):
        fleet = Coordinator(self)
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": fleet.token()})
        fleet.wait("up")

        def link(level):
            found = self.look().get("coordinator", [])
            return found[0] if [f["level"] for f in found] == [level] else None

        self.assertIn(f"connected to 127.0.0.1:{fleet.port}", self.wait(lambda: link("ok"))["text"])
        fleet.kill()
        lost = self.wait(lambda: link("bad"))
        self.assertIn("not connected for", lost["text"])
        self.assertIn(f"127.0.0.1:{fleet.port} can be reached", lost["fix"])
        self.pmctl("kill")
        self.assertIn("it is in a fleet, but no agent runs", link("warn")["text"])


class Report(pmdtest.PmdTestCase):
    def test_it_has_versions_findings_and_the_list_and_no_secrets(self):
        config = self.write("e.config.json", [{"name": "api", "script": "sleep", "interpreter": "none",
                                               "args": ["1000"], "env": {"API_TOKEN": "hunter2"}},
                                              {"name": "bad", "script": "./PASSWORD=hunter3", "interpreter": "none"}])
        with open(os.path.join(self.work, "PASSWORD=hunter3"), "w", encoding="utf-8") as file:
            file.write("#!/no/such\n")
        os.chmod(os.path.join(self.work, "PASSWORD=hunter3"), 0o755)
        self.pmctl("start", config, check=False)
        self.assertIn("hunter3", self.pmctl("list").out)  # the note says which file it was
        text = self.pmctl("report", check=False)
        for word in "versions\npmctl ", "checks\nok    home", "apps\n", " api ", " bad ", "bad (1): ":
            self.assertIn(word, text.out)
        made = self.pmctl("report", "--json", check=False).json()
        self.assertEqual([a["name"] for a in made["apps"]], ["api", "bad"])
        self.assertEqual(made["versions"]["pmctl"], made["versions"]["agent"])
        self.assertTrue(made["findings"])
        for secret in "hunter2", "hunter3":
            self.assertNotIn(secret, text.out)
            self.assertNotIn(secret, json.dumps(made))

    def test_without_an_agent_it_says_so(self):
        done = self.pmctl("report", check=False)
        self.assertIn("agent not running", done.out)
        self.assertNotIn("\napps\n", done.out)
        self.assertIsNone(self.pmctl("report", "--json", check=False).json()["versions"]["agent"])

    def test_under_the_name_pm2_it_exits_0(self):
        done = self.pmctl("report", as_pm2=True)
        self.assertIn("versions\npmctl ", done.out)


if __name__ == "__main__":
    unittest.main()
