"""Application files in all their forms, through `pmctl check`; the .js ones by the real node."""

import os
import unittest

from pmdtest import PmdTestCase, require


class Config(PmdTestCase):
    def setUp(self):
        super().setUp()
        require("node")
        self.write("app.js", "setInterval(() => {}, 1000);\n")
        self.write("run.sh", "#!/bin/sh\nsleep 1000\n", mode=0o755)

    def check(self, name, text, *options, code=0, **kwargs):
        """Writes the file, checks it, and returns the JSON document."""
        path = self.write(name, text)
        return self.pmctl("check", "--json", os.path.relpath(path, kwargs.get("cwd") or self.work), *options, check=code,
                          **kwargs).json()

    def problems(self, name, text, *options, **kwargs):
        """The errors of a file that has some: (line, column, text, hint) each."""
        found = self.check(name, text, *options, code=8, **kwargs)
        self.assertFalse(found["ok"])
        self.assertEqual(found["apps"], [])
        return [(p["line"], p["column"], p["text"], p["hint"]) for p in found["problems"] if p["severity"] == "error"]

    def names(self, name, text, *options, **kwargs):
        return [app["name"] for app in self.check(name, text, *options, **kwargs)["apps"]]

    # --- forms ------------------------------------------------------------------------------------

    def test_a_time_that_never_comes_is_refused_where_it_is_written(self):
        self.write("sleeper.sh", "#!/bin/bash\nexec sleep 1000\n", 0o755)
        for cron, words in ("61 * * * *", "minute"), ("* * 31 2 *", "no month given has such a day"):
            config = self.write("e.config.json", [{"name": "api", "script": "sleeper.sh", "cron_restart": cron}])
            for verb in "check", "start":
                with self.subTest(cron=cron, verb=verb):
                    done = self.pmctl(verb, config, check=8)
                    self.assertIn(f'cron_restart: "{cron}": ', done.out + done.err)
                    self.assertIn(words, done.out + done.err)
        config = self.write("e.config.json", [{"name": "api", "script": "sleeper.sh", "cron_restart": "0 3 * * *",
                                               "cron_tz": "Europe/Nowhere"}])
        self.assertIn("time zone Europe/Nowhere", self.pmctl("start", config, check=8).err)
        self.assertEqual(self.pmctl("jlist").out, "[]\n")

    def test_every_form_of_a_file_names_the_same_apps(self):
        js = "{ apps: [{ name: 'a', script: './app.js' }, { script: 'run.sh' }] }"
        forms = {
            "commonjs.config.js": f"module.exports = {js};",
            "commonjs.config.cjs": f"module.exports = {js};",
            "default.config.mjs": f"import fs from 'fs';\nexport default {js};",
            "named.config.mjs": f"export const apps = {js}.apps;",
            "promise.config.js": f"module.exports = Promise.resolve({js});",
            "ecosystem.js": f"module.exports = {js};",
            "plain.json": '{"apps": [{"name": "a", "script": "./app.js"}, {"script": "run.sh"}]}',
            "json5.json": f"// a comment\n{js}",
            "pm2.json": "{pm2: [{name: 'a', script: './app.js'}, {script: 'run.sh',},]}",
            "array.json": "[{name: 'a', script: './app.js'}, {script: 'run.sh'}]",
            "expression.json": "{apps: ['a', 'run'].map((n) => ({name: n, script: n === 'a' ? 'app.js' : 'run.sh'}))}",
            "a.yaml": "apps:\n  - name: a\n    script: ./app.js\n  - script: run.sh\n",
            "b.yml": "- &x\n  name: a\n  script: ./app.js\n- {<<: *x, name: run}\n",
        }
        for name, text in forms.items():
            with self.subTest(name):
                self.assertEqual(self.names(name, text), ["a", "run"])
        self.assertEqual(self.names("one.json", "{script: 'app.js'}"), ["app"])
        # In a package of ES modules, .js is one.
        self.write("esm/package.json", {"type": "module"})
        self.assertEqual(self.names("esm/x.config.js", f"import 'fs'; export default {js};"), ["a", "run"])

    def test_stdin_is_json(self):
        out = self.pmctl("check", "--json", "-", input="{apps: [{script: 'app.js'}]}").json()
        self.assertEqual([a["name"] for a in out["apps"]], ["app"])
        self.pmctl("check", "-", input="{apps: [", check=8)

    def test_only_and_env_choose(self):
        text = "{apps: [{name: 'a', script: 'app.js', append_env_to_name: true, env_p: {}}, {name: 'b', script: 'app.js'}]}"
        self.assertEqual(self.names("x.json", text, "--only", "b"), ["b"])
        self.assertEqual(self.names("x.json", text, "--only", "a,b", "--env", "p"), ["a-p", "b"])
        self.pmctl("check", "x.json", "--only", "c", check=4)
        found = self.check("x.json", text, "--env", "p")
        self.assertEqual([p["severity"] for p in found["problems"]], ["warning"])
        self.assertIn("[p] is not defined", found["problems"][0]["text"])

    # --- what node does with a .js file -------------------------------------------------------------

    def test_what_the_file_prints_disturbs_nothing(self):
        text = "console.log('noise'); process.stdout.write('x'.repeat(1 << 20)); console.error('more');\n" \
               "module.exports = { apps: [{ script: 'app.js' }] };"
        outcome = self.pmctl("check", "--json", os.path.basename(self.write("n.config.js", text)))
        self.assertEqual([a["name"] for a in outcome.json()["apps"]], ["app"])
        self.assertIn("noise", outcome.err)
        self.assertIn("more", outcome.err)

    def test_a_file_that_throws_is_told_with_its_line(self):
        cases = {
            "throw.config.js": ("const a = 1;\n\nthrow new Error('boom\\nmore');", 3, "Error: boom"),
            "syntax.config.js": ("module.exports = {\n  apps: [\n    {\n  ,", 4, "SyntaxError"),
            "missing.config.js": ("require('./no-such-file');", 1, "Cannot find module"),
            "esm.config.mjs": ("\nthrow new TypeError('esm');\nexport default {};", 2, "TypeError: esm"),
            "rejected.config.js": ("module.exports = Promise.reject(new Error('no'));", 1, "Error: no"),
            "getter.config.js": ("module.exports = { get apps() { throw new Error('g'); } };", 1, "Error: g"),
            "expr.json": ("{\n  apps: nowhere\n}", 2, "nowhere is not defined"),
        }
        for name, (text, line, what) in cases.items():
            with self.subTest(name):
                found = self.problems(name, text)
                self.assertEqual(len(found), 1)
                self.assertIn(what, found[0][2])
                if line:
                    self.assertEqual(found[0][0], line)

    def test_a_file_without_a_value_is_told(self):
        cases = {
            "exit.config.js": ("process.exit(3);", "status 3"),
            "number.config.js": ("module.exports = 5;", "exports a number"),
            "string.config.js": ("throw 'text';", "text"),
            "cyclic.config.js": ("const a = {}; a.a = a; module.exports = a;", "circular"),
            "killed.config.js": ("process.kill(process.pid, 'SIGKILL');", "signal 9"),
        }
        for name, (text, what) in cases.items():
            with self.subTest(name):
                self.assertIn(what, self.problems(name, text)[0][2])

    def test_a_file_that_never_ends_is_killed_with_all_it_started(self):
        self.write("loop.config.js", f"require('child_process').spawn('sleep', ['1000'], {{ env: process.env }});"
                                     f" for (;;);")
        self.pmctl("check", "loop.config.js", check=15)
        # Handles that keep node alive do not hold up the answer, and what the file started ends too.
        self.assertEqual(self.names("busy.config.js", "require('child_process').spawn('sleep', ['1000'], {stdio: 'inherit'});\n"
                                    "setInterval(() => {}, 1000); module.exports = { script: 'app.js' };"), ["app"])
        self.wait(lambda: not [p for p in self.processes() if "sleep" in p.cmdline], message="the children's end")

    def test_a_huge_answer_is_refused(self):
        self.write("huge.config.js", "module.exports = { apps: [{ script: 'x'.repeat(20 << 20) }] };")
        self.assertIn("16777216 bytes", self.pmctl("check", "huge.config.js", check=1).err)

    def test_without_node_the_error_says_what_to_do(self):
        self.write("x.config.js", "module.exports = {};")
        self.assertIn("install Node.js", self.pmctl("check", "x.config.js", check=4, env={"PATH": "/nowhere"}).err)

    # --- errors ---------------------------------------------------------------------------------------

    def test_all_problems_are_told_with_their_places_and_the_nearest_key(self):
        found = self.problems("x.yaml", "apps:\n"
                              "  - script: app.js\n"
                              "    instaces: 2\n"
                              "    kill_timeout: soon\n"
                              "    vizion: false\n"
                              "  - script: gone.js\n"
                              "  - name: a/b\n"
                              "colour: red\n")
        self.assertEqual([(f[0], f[1]) for f in found], [(3, 5), (4, 19), (6, 13), (7, 11), (8, 1)])
        self.assertIn("did you mean instances?", found[0][3])
        self.assertIn("a duration such as", found[1][2])
        self.assertIn("Script not found", found[2][2])

    def test_no_more_than_twenty_are_told(self):
        text = "{apps: [" + ",".join("{script: 'app.js', x%d: 1}" % i for i in range(30)) + "]}"
        self.assertEqual(len(self.problems("x.json", text)), 20)
        self.assertIn("10 more problems", self.pmctl("check", "x.json", check=8).out)

    def test_a_missing_file_is_not_found(self):
        for name in ("gone.json", "gone.yaml", "gone.config.js"):
            self.assertIn("no such file", self.pmctl("check", name, check=4).err)

    def test_a_static_section_is_refused_in_words(self):
        self.assertIn("static", self.problems("x.json", "{apps: [], static: [{path: '.'}]}")[0][2])

    def test_text_from_the_file_cannot_reach_the_terminal_raw(self):
        self.write("x.json", '{script: "app.js", "\\u001b[31mred": 1}')
        self.assertNotIn("\x1b", self.pmctl("check", "x.json", check=8).out)

    # --- explain, init --------------------------------------------------------------------------------

    def test_explain_tells_one_key_all_keys_and_the_nearest(self):
        out = self.pmctl("explain", "maxMemoryRestart").out
        self.assertIn("max_memory_restart", out)
        self.assertIn("--max-memory-restart VALUE", out)
        every = self.pmctl("explain").out
        document = self.pmctl("explain", "--json").json()
        self.assertEqual(len(document), len(every.splitlines()) - 1)  # env_<name> is no key of its own
        for key in document:
            self.assertIn(key["key"], every)
            self.assertEqual(self.pmctl("explain", key["key"], "--json").json(), key)
        self.assertIn("did you mean instances?", self.pmctl("explain", "instaces", check=4).err)

    def test_init_writes_a_file_that_checks_and_never_overwrites_silently(self):
        self.write("service-worker.js", "")
        for kind, apps in (((), ["app1", "service-worker"]), (("simple",), ["app1"])):
            self.pmctl("init", *kind, "--force")
            self.assertEqual([a["name"] for a in self.pmctl("check", "--json", "ecosystem.config.js").json()["apps"]], apps)
        before = self.read("ecosystem.config.js")
        self.assertIn("--force", self.pmctl("init", check=1).err)
        self.assertEqual(self.read("ecosystem.config.js"), before)
        self.pmctl("ecosystem", as_pm2=True)
        self.assertNotEqual(self.read("ecosystem.config.js"), before)

    def test_init_in_a_package_of_modules_writes_a_module(self):
        self.write("package.json", {"type": "module"})
        self.pmctl("init", "simple")
        self.assertIn("export default", self.read("ecosystem.config.js"))
        self.pmctl("check", "ecosystem.config.js")


if __name__ == "__main__":
    unittest.main()
