"""Cluster mode: addresses that an app listens on no more, and sockets that another process of it listens on."""

import socket
import unittest

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


class Addresses(ReloadCase):
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


if __name__ == "__main__":
    unittest.main()
