"""Cluster mode: addresses that an app listens on no more, and sockets that another process of it listens on."""

import contextlib
import os
import signal
import socket
import unittest

from loads import Load, nodes
from pmdtest import require
from ports import free_port
from reloads import ReloadCase

TWO = """
const http = require('http');
const second = http.createServer((req, res) => res.end('ok'));
http.createServer((req, res) => {
    res.setHeader('X-Worker', String(process.pid));
    if (req.url === '/close' && second.listening) second.close();
    if (req.url !== '/open' || second.listening) res.end('ok');
    else second.listen(Number(process.env.SECOND), '127.0.0.1', () => res.end('ok'));
}).listen(Number(process.env.PORT), '127.0.0.1');
second.listen(Number(process.env.SECOND), '127.0.0.1');
"""

# Is the port free on one address? Then it listens on another one, as vite and what uses detect-port does.
TRIES = """
const port = Number(process.env.PORT);
const listen = () => require('http').createServer((req, res) => {
    res.setHeader('X-Worker', String(process.pid));
    res.end('ok');
}).on('error', (error) => { throw error; }).listen(port, process.env.AT);
const tried = require('net').createServer().on('error', listen).listen(port, process.env.TRIED, () => tried.close(listen));
"""


class Addresses(ReloadCase):
    def all_answer(self):
        with contextlib.suppress(OSError):  # what is tried first is open for a moment, too
            return self.workers() == set(self.pids())
        return False

    def test_workers_that_try_another_address_first(self):
        self.node("tries.js", TRIES)
        for tried, at in (("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "0.0.0.0"),
                          ("::", "0.0.0.0")):
            with self.subTest(tried=tried, at=at):
                # With but one a second, the port is not free when it tries.
                self.start_api(1, script=self.path("tries.js"), env={"TRIED": tried, "AT": at})
                with Load(self.address, rate=200) as load:
                    self.pmctl("scale", "api", "2")
                    for _ in range(3):
                        self.pmctl("reload", "api", timeout=60)
                    account = load.finish()
                self.assertEqual(account["failures"], 0, account)
                self.wait(self.all_answer, message="both of them")
                self.assertEqual([i["pm2_env"]["unstable_restarts"] for i in self.instances("api")], [0, 0])
                with socket.socket() as s:
                    self.assertEqual(s.connect_ex(("127.0.0.2", self.port)) == 0, at == "0.0.0.0")
                self.pmctl("delete", "api")
                # Several at once: one may meet what another one tries, but not again and again.
                app = self.api(4, script=self.path("tries.js"), env={"TRIED": tried, "AT": at})
                self.pmctl("start", self.write("four.json", {"apps": [app]}), check=False)
                self.wait(lambda: self.states() == ["online"] * 4 and self.all_answer(), message="all four")
            self.pmctl("delete", "api", check=False)

    def is_refused(self, port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) != 0

    def wait_free(self, port):
        self.wait(lambda: self.is_refused(port), 30, f"nobody on port {port}")
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))

    def move(self, **keys):
        """The next release listens elsewhere, for example on what `keys` says with PORT in it."""
        old, self.port = self.port, free_port()
        self.address = ("127.0.0.1", self.port)
        app = {**self.app, "env": {"PORT": str(self.port)}, **{k: v(self.port) for k, v in keys.items()}}
        return old, self.write("next.json", {"apps": [app]})

    def test_the_former_port_is_free_after_a_reload_and_after_a_restart(self):
        python = {"script": require("python3"), "interpreter": "none"}
        def args(port):
            return ["-m", "http.server", "--bind", "127.0.0.1", str(port)]
        for name, app, keys in (("node", {}, {}), ("python", {**python, "args": args(self.port)}, {"args": args})):
            for verb in ("reload", "restart"):
                with self.subTest(name=name, verb=verb):
                    if keys:
                        app["args"] = args(self.port)
                    self.app = self.api(listen_timeout=3000, **app)
                    self.start([self.app])
                    self.wait_open()
                    old, following = self.move(**keys)
                    self.pmctl(verb, following)
                    self.wait_open()
                    self.wait_free(old)
                    self.assertFalse(self.is_refused(self.port))
                    self.pmctl("delete", "api")

    def test_connections_wait_for_one_that_is_slow_to_listen(self):
        self.start_api(1, listen_timeout=300, env={"LATE": 2000})
        os.kill(self.pids()[0], signal.SIGKILL)
        self.wait(lambda: self.states() == ["online"] and self.pids() == self.servers(), message="the next one")
        self.assertEqual(self.ask()[0], self.pids()[0])

    def test_a_declared_address_that_is_not_any_more(self):
        def listen(port):
            return [f"tcp://127.0.0.1:{port}"]
        self.app = self.api(listen_timeout=3000, listen=listen(self.port))
        self.start([self.app])
        self.wait_open()
        old, following = self.move(listen=listen)
        self.pmctl("reload", following)
        self.wait_free(old)
        self.assert_whole()

    def test_a_declared_address_does_not_hang_any_node(self):
        for name, node in nodes().items():
            with self.subTest(node=name):
                self.start([self.api(1, interpreter=node, listen=[f"tcp://127.0.0.1:{self.port}"])])
                self.wait_open()
                self.assertEqual(self.ask()[0], self.pids()[0])  # nobody else comes: it must not wait for that
            self.pmctl("delete", "api")

    def test_what_all_workers_have_closed_refuses_until_one_opens_it_again(self):
        self.node("two.js", TWO)
        second = free_port()
        self.start_api(script=self.path("two.js"), env={"SECOND": second}, listen_timeout=3000)
        self.wait(lambda: not self.is_refused(second), message="the second port")
        def each(path):
            asked = set()
            while asked < set(self.pids()):
                asked.add(self.ask(path)[0])
        each("/close")
        self.wait_free(second)
        each("/open")
        self.assertFalse(self.is_refused(second))

    def test_it_is_free_too_when_the_supervisor_died_meanwhile(self):
        self.app = self.api(listen_timeout=3000)
        self.start([self.app])
        self.wait_open()
        old, following = self.move()
        self.pmctl("reload", following)
        self.kill_supervisor()
        self.wait_free(old)
        self.assertFalse(self.is_refused(self.port))


# As uvicorn --workers does: the first process binds, and others, which inherit that socket and nothing else, listen.
HANDS_ON = """
import http.server, os, socket, subprocess, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Worker", os.environ["OF"])
        self.send_header("X-Release", "")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args):
        pass

if len(sys.argv) == 1:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(os.environ["PORT"])))
    s.set_inheritable(True)
    sys.exit(subprocess.Popen([sys.executable, __file__, str(s.fileno())], close_fds=True, pass_fds=[s.fileno()],
                              env={**os.environ, "OF": str(os.getpid())}).wait())
server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.server_activate()
server.serve_forever()
"""


class ChildrenThatListen(ReloadCase):
    def test_connections_go_to_those_that_are_there_after_a_reload_and_a_restart(self):
        self.write("server.py", HANDS_ON)
        self.start_api(script=self.path("server.py"), interpreter=require("python3"), kill_timeout=5000)
        for verb in ("reload", "restart", "reload"):
            with self.subTest(verb=verb):
                before = self.pids()
                self.pmctl(verb, "api", timeout=60)
                self.assertFalse(set(before) & set(self.pids()))
                if verb == "restart":  # whoever is first serves alone until the other one listens
                    self.wait(lambda: self.workers(60) == set(self.pids()), message="both of them")
                self.assertEqual(self.workers(60), set(self.pids()))

    def test_a_release_that_binds_nothing_does_not_take_its_place(self):
        self.write("server.py", HANDS_ON)
        self.start_api(script=self.path("server.py"), interpreter=require("python3"), listen_timeout=1500)
        before = self.pids()
        self.write("server.py", "import time\nwhile True: time.sleep(1)\n")
        outcome = self.pmctl("reload", "api", check=False)
        self.assertEqual(outcome.code, 10, outcome.err)
        self.assertIn("not ready in time: it did not listen within 1500 ms", outcome.err)
        self.assertEqual(self.pids(), before)
        self.assertEqual(self.workers(), set(before))


if __name__ == "__main__":
    unittest.main()
