"""Reload under load of programs that are not Node's: through the preload library, or with the sockets they are given."""

import os
import unittest

from clusters import SOAK, ClusterTestCase, Load
from pmdtest import APPS, helper, require
from ports import free_port

ROUNDS = 50 if SOAK else 1


class OtherApps(ClusterTestCase):
    def reload_under_load(self, keep=False, **keys):
        self.start_app(exec_mode="cluster", instances=2, listen_timeout=8000, **keys)
        with self.load(keep) as load:
            self.reload_rounds(load, ROUNDS)

    def test_python_and_c(self):
        def body():
            with self.load(False) as load:
                self.reload_rounds(load, ROUNDS)

        self.others(body)

    def test_a_c_program_that_takes_the_sockets_it_is_given(self):
        for program in ("listeners", "listeners_static"):
            with self.subTest(program):
                self.reload_under_load(script=helper(program), interpreter="none", args=["given", "0"],
                                       listen=[f"tcp://127.0.0.1:{self.port}"])
            self.pmctl("delete", "api", check=False)

    def test_webrick(self):
        self.reload_under_load(script=require("ruby"), interpreter="none",
                               args=[os.path.join(APPS, "shim", "web.rb"), str(self.port)])

    def test_puma(self):
        self.reload_under_load(script=require("puma"), interpreter="none", kill_signal="SIGTERM",
                               args=["-q", "-e", "production", "-b", f"tcp://127.0.0.1:{self.port}",
                                     os.path.join(APPS, "shim", "config.ru")])

    def test_php(self):
        self.reload_under_load(script=require("php"), interpreter="none",
                               args=["-S", f"127.0.0.1:{self.port}", os.path.join(APPS, "shim", "web.php")])

    def test_what_npm_starts(self):
        """The server is a grandchild: it knows nothing of the channel of node's cluster protocol, and npm of no port."""
        self.write("package.json", {"name": "web", "scripts": {"start": f"node server.js {self.port}"}})
        self.write("server.js", """
            require('http').createServer((q, r) => r.setHeader('X-Worker', String(process.pid)).end('ok'))
                .listen(Number(process.argv[2]), '127.0.0.1');""")
        self.write("bin/tsx", """#!/usr/bin/env node
            const child = require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit' });
            child.on('exit', (code) => process.exit(code));
            process.on('SIGINT', () => child.kill('SIGINT'));""", 0o755)
        for name, keys in (("npm", {"script": require("npm"), "args": ["start"]}),
                           ("tsx", {"script": self.path("server.js"), "args": [str(self.port)],
                                    "interpreter": self.path("bin/tsx")})):
            for keep in (False, True):
                with self.subTest(name, keep=keep):
                    self.reload_under_load(keep, cwd=self.path("."), **keys)
                    self.wait(lambda: len(self.workers()) == 2, message="both of them")
                self.pmctl("delete", "api", check=False)

    def test_a_debugger_that_listens_does_not_pass_for_a_server_that_does(self):
        """It is npm's, or listens before the server has even been read: a release that cannot start takes nobody's place."""
        self.write("package.json", {"name": "web", "scripts": {"start": f"node server.js {self.port}"}})
        self.write("server.js", """
            require('http').createServer((q, r) => r.setHeader('X-Worker', String(process.pid)).end('ok'))
                .listen(Number(process.argv[2]), '127.0.0.1');""")
        self.start_app(script=require("npm"), args=["start"], cwd=self.path("."), exec_mode="cluster", instances=2,
                       listen_timeout=8000, env={"NODE_OPTIONS": f"--inspect={free_port()}"})
        self.wait(lambda: len(self.workers()) == 2, message="both of them")
        before = self.pids()
        self.write("server.js", "setTimeout(() => { throw new Error('broken release'); }, 500);")
        done = self.pmctl("reload", "api", check=False, timeout=60)
        self.assertNotEqual(done.code, 0, done)
        self.assertEqual(self.pids(), before, done)

    def test_what_its_processes_have_between_them_is_not_waited_for(self):
        """As tsx does: it listens on a path for the server that it starts, which is connected to it for good."""
        self.write("server.js", f"""
            require('net').connect(process.argv[2]).once('data', () => require('http')
                .createServer((q, r) => r.setHeader('X-Worker', String(process.pid)).end('ok'))
                .listen({self.port}, '127.0.0.1'));""")
        runner = self.write("runner.js", """
            const path = `${__dirname}/${process.pid}`;
            require('net').createServer((s) => s.on('error', () => {}).write('go')).listen(path, () => {
                const child = require('child_process').spawn(process.execPath, ['server.js', path], { stdio: 'inherit' });
                process.on('SIGINT', () => { child.kill(); process.exit(0); });
            });""")
        # Not by the name of node: else it would not be preloaded.
        os.symlink(require("node"), self.path("runner"))
        self.reload_under_load(script=runner, interpreter=self.path("runner"), cwd=self.path("."))
        self.assertNotIn("reload.cut", self.read(os.path.join(self.home, "pmd.log")))

    def test_a_static_program_is_not_taken_for_one_that_shares(self):
        done = self.start_app(script=helper("listeners_static"), interpreter="none", args=["serve", str(self.port)],
                              exec_mode="cluster", instances=2, check=False)
        self.assertNotEqual(done.code, 0, done)
        self.assertRegex(done.out + done.err, "static|preload", done)

    def test_gunicorn(self):
        self.reload_under_load(script="/usr/bin/python3", interpreter="none", kill_signal="SIGTERM",
                               args=["-m", "gunicorn", "--chdir", os.path.join(APPS, "shim"), "-b",
                                     f"127.0.0.1:{self.port}", "web:wsgi"])

    def test_gunicorn_on_a_unix_socket(self):
        """All workers share its queue: what lets none of it be lost is that gunicorn answers what it has accepted."""
        self.address = self.path("web.sock")
        self.reload_under_load(script="/usr/bin/python3", interpreter="none", kill_signal="SIGTERM",
                               args=["-m", "gunicorn", "--chdir", os.path.join(APPS, "shim"), "-b",
                                     f"unix:{self.address}", "web:wsgi"])

    def uvicorn(self, **keys):
        return dict(script="/usr/bin/python3", interpreter="none", kill_signal="SIGTERM",
                    args=["-m", "uvicorn", "--app-dir", os.path.join(APPS, "shim"), "--log-level", "warning", "--port",
                          str(self.port), "web:asgi"], **keys)

    def test_uvicorn(self):
        self.reload_under_load(**self.uvicorn())

    def test_a_server_that_cannot_say_that_a_kept_connection_ends(self):
        # It goes on answering on kept connections until the drain timeout, and then cuts them: each may lose a request.
        self.start_app(exec_mode="cluster", instances=1, **self.uvicorn(drain_timeout=1000))
        connections = 8
        with Load(self.address, True, connections=connections) as load:
            load.wait_for(200)
            self.pmctl("reload", "api", timeout=60)
            load.wait_for(load.now()["requests"] + 200)
            account = load.finish()
        self.assertLessEqual(account["failures"], connections, account)
        self.assertEqual(account["failures"], account["failed"]["reset_before"], account)


if __name__ == "__main__":
    unittest.main()
