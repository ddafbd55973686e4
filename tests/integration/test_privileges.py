"""What an app runs as: user, groups, limits, masks, descriptors (S-21), and how its program is found."""

import os
import pwd
import shutil
import unittest

from pmdtest import PmdTestCase, process, require

ROOT = os.geteuid() == 0


class Privileges(PmdTestCase):
    def status_of(self, **keys):
        """/proc/self/status and more of an app with these keys, as {key: text}."""
        script = self.write("show.sh", "#!/bin/sh\numask >/dev/null\nexec sleep 3600\n", 0o755)
        config = self.write("a.json", {"apps": [dict(dict(name="a", script=script, interpreter="none"), **keys)]})
        self.pmctl("start", config)
        pid = self.pid("a")
        with open(f"/proc/{pid}/status") as file:
            out = dict(line.rstrip("\n").split(":", 1) for line in file)
        with open(f"/proc/{pid}/limits") as file:
            out["limits"] = file.read()
        with open(f"/proc/{pid}/oom_score_adj") as file:
            out["oom"] = file.read().strip()
        with open(f"/proc/{pid}/stat") as file:
            out["nice"] = file.read().rpartition(") ")[2].split()[16]
        p = process(pid)
        out.update(cwd=p.cwd, fds=p.fds(), sid=p.sid, pid=pid, env=p.environ)
        return out

    def clean(self, got):
        """What holds for every app."""
        for mask in ("SigBlk", "SigIgn"):
            self.assertEqual(int(got[mask], 16), 0, mask)
        self.assertEqual(sorted(got["fds"]), [0, 1, 2])
        for number in (0, 1, 2):
            self.assertTrue(got["fds"][number].startswith("pipe:"), got["fds"])
        self.assertEqual(got["sid"], got["pid"])

    def test_s21_golden_of_a_plain_app(self):
        got = self.status_of()
        self.clean(got)
        self.assertEqual(got["Uid"].split(), [str(os.geteuid())] * 4)
        self.assertEqual(got["NoNewPrivs"].strip(), "0")
        self.assertEqual(got["cwd"], self.work)
        with open("/proc/self/status") as file:
            mine = dict(line.rstrip("\n").split(":", 1) for line in file)
        for key in ("CapEff", "CapBnd", "CapInh", "CapAmb", "Groups", "Seccomp"):
            self.assertEqual(got[key], mine[key], key)
        with open("/proc/self/oom_score_adj") as file:
            self.assertEqual(got["oom"], file.read().strip())
        # Our own raised limits are not the apps': they get those that the agent was started with.
        with open("/proc/self/limits") as file:
            for line in file:
                if not line.startswith(("Max realtime timeout", "Limit")):
                    self.assertIn(line.rstrip(), got["limits"].replace(" \n", "\n"), line)

    @unittest.skipUnless(ROOT, "needs root to become another user")
    def test_s21_golden_of_another_user(self):
        user = pwd.getpwnam("www-data")
        os.chmod(self.dir, 0o755)
        os.chmod(self.work, 0o755)
        got = self.status_of(uid="www-data", no_new_privs=True, umask="027", nice=5, oom_score_adj=300,
                             limits={"nofile": "512:1024", "core": 0})
        self.clean(got)
        self.assertEqual(got["Uid"].split(), [str(user.pw_uid)] * 4)
        self.assertEqual(got["Gid"].split(), [str(user.pw_gid)] * 4)
        self.assertEqual(sorted(map(int, got["Groups"].split())),
                         sorted(os.getgrouplist("www-data", user.pw_gid)))
        for key in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            self.assertEqual(int(got[key], 16), 0, key)
        self.assertEqual(got["NoNewPrivs"].strip(), "1")
        self.assertEqual(got["Umask"].strip(), "0027")
        self.assertEqual((got["nice"], got["oom"]), ("5", "300"))
        self.assertRegex(got["limits"], r"Max open files +512 +1024 ")
        self.assertRegex(got["limits"], r"Max core file size +0 +0 ")
        self.assertEqual((got["env"]["HOME"], got["env"]["USER"]), (user.pw_dir, "www-data"))
        self.assertEqual(os.stat(self.log("a")).st_uid, user.pw_uid)

    @unittest.skipUnless(ROOT, "needs root to change the group")
    def test_s21_a_group_of_its_own_and_a_number_without_a_name(self):
        os.chmod(self.dir, 0o755)
        os.chmod(self.work, 0o755)
        got = self.status_of(uid="61235", gid="61236")
        self.assertEqual((got["Uid"].split()[0], got["Gid"].split()[0]), ("61235", "61236"))
        self.assertEqual(got["Groups"].split(), ["61236"])

    @unittest.skipUnless(ROOT, "needs root to change the user")
    def test_s21_a_directory_only_root_may_enter_is_refused(self):
        os.chmod(self.dir, 0o755)
        os.chmod(self.work, 0o755)
        os.mkdir(self.path("closed"), 0o700)
        script = self.write("x.sh", "#!/bin/sh\n", 0o755)
        config = self.write("a.json", {"apps": [dict(name="a", script=script, interpreter="none", uid="www-data",
                                                     cwd=self.path("closed"))]})
        out = self.pmctl("start", config, check=10)
        self.assertIn(f"cwd {self.path('closed')}: Permission denied", out.out + out.err)

    def test_an_unknown_user_is_a_configuration_error(self):
        script = self.write("x.sh", "#!/bin/sh\n", 0o755)
        config = self.write("a.json", {"apps": [dict(name="a", script=script, interpreter="none", uid="nobody-here")]})
        out = self.pmctl("start", config, check=8)
        self.assertIn("no such user: nobody-here", out.out + out.err)
        self.assertEqual(self.apps(), [])

    def test_interpreters_come_from_the_extension(self):
        for name, text, word in (("a.js", "console.log('js', process.argv.length); setInterval(()=>{},1e9)", "js 3"),
                                 ("b.py", "import sys,signal\nprint('py', len(sys.argv), flush=True)\nsignal.pause()",
                                  "py 2"),
                                 ("c.sh", "echo sh $#; exec sleep 3600", "sh 1")):
            self.pmctl("start", self.write(name, text), "--", "arg")
            self.wait_text(self.log(name[0]), word)

    def test_node_args_go_before_the_script(self):
        self.pmctl("start", self.node("a.js", "console.log(process.execArgv.join(), typeof gc);setInterval(()=>{},1e9)"),
                   "--node-args", "--expose-gc --max-old-space-size=64")
        text = self.wait_text(self.log("a"), "function")
        self.assertIn("--expose-gc,--max-old-space-size=64", text)

    def test_a_program_without_an_interpreter_runs_as_it_is(self):
        program = shutil.copy(require("sleep"), self.path("nap"))
        self.pmctl("start", program, "--interpreter", "none", "--", "3600")
        self.assertEqual(process(self.pid("nap")).argv, [program, "3600"])


if __name__ == "__main__":
    unittest.main()
