"""The environment of an app: what it is given, whose value wins, and that secrets stay in env_files (S-15, S-16)."""

import glob
import os
import unittest

from pmdtest import PmdTestCase, Process, require

CANARY = "canary-7f3a9c51-do-not-keep"


class Environment(PmdTestCase):
    def app_of(self, name="a", **keys):
        path = self.write("stay.sh", "#!/bin/sh\nexec sleep 3600\n", 0o755)
        return dict(name=name, script=path, interpreter="none", **keys)

    def start(self, *apps, check=True, args=(), env=None):
        return self.pmctl("start", self.write("apps.json", {"apps": list(apps)}), *args, check=check, env=env)

    def environ(self, name="a"):
        return Process(self.pid(name)).environ

    def test_an_app_is_told_who_it_is(self):
        self.start(self.app_of(namespace="ns"))
        got = self.environ()
        for key, value in {"name": "a", "pm_id": "0", "namespace": "ns", "NODE_APP_INSTANCE": "0",
                           "exec_mode": "fork_mode", "restart_time": "0", "PMD_HOME": self.home,
                           "pm_exec_path": self.path("stay.sh"), "pm_cwd": self.work, "PWD": self.work,
                           "pm_out_log_path": self.log("a"), "pm_err_log_path": self.log("a", "error")}.items():
            self.assertEqual(got.get(key), value, key)
        unique = got["unique_id"]
        self.pmctl("restart", "a")
        got = self.environ()
        self.assertEqual(got["restart_time"], "1")
        self.assertNotEqual(got["unique_id"], unique)

    def test_s16_of_the_callers_shell_only_the_common_variables_are_taken(self):
        self.start(self.app_of(), env={"SECRET_OF_THE_SHELL": CANARY, "LANG": "de_DE.UTF-8"})
        got = self.environ()
        self.assertNotIn("SECRET_OF_THE_SHELL", got)
        self.assertEqual(got["LANG"], "de_DE.UTF-8")
        self.assertNotIn(CANARY, self.pmctl("jlist").out)
        self.pmctl("save")
        stored = [p for p in glob.glob(self.home + "/state/**", recursive=True) if os.path.isfile(p)]
        self.assertTrue([p for p in stored if "/specs/" in p], stored)
        for path in stored:
            self.assertNotIn(CANARY, self.read(path))
        for p in self.agents().values():
            self.assertNotIn(CANARY, str(p.environ), "what pmctl started has no more of the shell than its apps")

    def test_env_is_the_files_and_a_profile_wins(self):
        keys = dict(env={"A": "1", "B": "2", "O": {"x": 1}}, env_production={"B": "prod"})
        self.start(self.app_of(**keys))
        self.assertEqual([self.environ().get(k) for k in ("A", "B", "O")], ["1", "2", '{"x":1}'])
        self.pmctl("delete", "a")
        self.start(self.app_of(**keys), args=("--env", "production"))
        self.assertEqual([self.environ().get(k) for k in "AB"], ["1", "prod"])

    def test_update_env_takes_the_shell_anew_and_a_plain_restart_does_not(self):
        self.start(self.app_of(env={"LANG_OF_FILE": "x"}), env={"LANG": "one"})
        self.assertEqual(self.environ()["LANG"], "one")
        self.pmctl("restart", "a", env={"LANG": "two"})
        self.assertEqual(self.environ()["LANG"], "one")
        self.pmctl("restart", "a", "--update-env", env={"LANG": "two"})
        self.assertEqual((self.environ()["LANG"], self.environ()["LANG_OF_FILE"]), ("two", "x"))

    def test_instances_are_numbered_and_a_variable_may_grow_with_them(self):
        self.start(self.app_of(instances=3, exec_mode="fork", instance_var="WHO", increment_var="PORT",
                               env={"PORT": "3000"}))
        got = [Process(a["pid"]).environ for a in self.instances("a")]
        self.assertEqual([(e["WHO"], e["PORT"]) for e in got], [("0", "3000"), ("1", "3001"), ("2", "3002")])

    def leaks(self):
        """Where the canary can be seen but in the app's own environment and its file."""
        found = []
        for path in glob.glob(self.home + "/**", recursive=True):
            if os.path.isfile(path) and CANARY.encode() in open(path, "rb").read():
                found.append(path)
        for pid, p in self.agents().items():
            for number, target in p.fds().items():
                if "memfd:" in target:
                    with open(f"/proc/{pid}/fd/{number}", "rb") as file:
                        if CANARY.encode() in file.read():
                            found.append(f"{target} of {p}")
            if CANARY in " ".join(p.argv) or CANARY in str(p.environ):
                found.append(f"arguments or environment of {p}")
            found += [f"memory of {p}: {where}" for where in in_memory(pid, CANARY.encode())]
        for verb in (["env", "0"], ["describe", "a"], ["jlist"], ["prettylist"], ["why", "a"]):
            if CANARY in self.pmctl(*verb, check=False).out:
                found.append(f"pmctl {' '.join(verb)}")
        return found

    def test_one_that_nearly_fills_a_record_is_listed_beside_small_ones(self):
        large = {f"V{i}": str(i) * 28000 for i in range(2)}
        self.start(self.app_of("a", env=large), self.app_of("b"), self.app_of("c", env=large))
        self.assertEqual([(a["name"], len(a["pm2_env"]["env"].get("V1", ""))) for a in self.apps()],
                         [("a", 28000), ("b", 0), ("c", 28000)])
        self.assertIn("1" * 28000, self.pmctl("describe", "c").out)
        self.assertEqual(self.pmctl("list").code, 0)

    def test_s15_values_of_an_env_file_are_only_in_the_process(self):
        file = self.write("secret.env", f"# a comment\nTOKEN='{CANARY}'\nexport PLAIN=x # y\n", 0o600)
        self.start(self.app_of(env_file=file, env={"PLAIN": "of the spec"}))
        got = self.environ()
        self.assertEqual((got["TOKEN"], got["PLAIN"]), (CANARY, "x"))
        self.pmctl("save")
        self.assertEqual(self.leaks(), [])
        self.write("secret.env", "TOKEN=another\n")
        self.pmctl("restart", "a")
        self.assertEqual(self.environ()["TOKEN"], "another")
        self.assertNotIn("PLAIN=x", self.pmctl("env", "0").out)

    def test_an_env_file_that_cannot_be_used_fails_the_start_by_its_name(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        for path, word in ((self.path("missing.env"), "No such file"), (fifo, "not a regular file"),
                           (self.work, "not a regular file"),
                           (self.write("big.env", "A=" + "x" * (1 << 20)), "larger than"),
                           (self.write("bad.env", f"\n{CANARY}\n"), "line 2")):
            with self.subTest(path):
                out = self.start(self.app_of(env_file=path), check=False)
                self.assertNotEqual(out.code, 0)
                self.assertIn(os.path.basename(path), out.out + out.err)
                self.assertIn(word, out.out + out.err)
                self.assertNotIn(CANARY, out.out + out.err)
                self.assertEqual(self.status("a"), "errored")
                self.pmctl("delete", "a")

    def test_an_env_file_that_others_may_read_is_used_with_a_warning(self):
        self.start(self.app_of(env_file=self.write("open.env", "A=b\n", 0o644)))
        self.assertEqual(self.environ()["A"], "b")
        self.wait_text(os.path.join(self.home, "pmd.log"), "can be read or written by others")


def in_memory(pid, needle):
    """Writable private memory of a process that holds the bytes."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for entry in maps:
            span, rights, *rest = entry.split(None, 5)
            if not rights.startswith("rw"):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            if end - start > 256 << 20:
                continue  # a sanitizer's own
            try:
                mem.seek(start)
                if needle in mem.read(end - start):
                    found.append(entry.strip())
            except (OSError, ValueError):
                continue
    return found


if __name__ == "__main__":
    unittest.main()
