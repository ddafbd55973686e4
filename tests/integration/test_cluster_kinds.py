"""Cluster mode at its edges: addresses that are taken, programs that cannot be preloaded, many workers, what triggers do."""

import contextlib
import os
import signal
import socket
import subprocess
import unittest

from loads import Load
from pmdtest import alive, kill, process, require
from reloads import ReloadCase
from ports import free_port

PY = """
import http.server, os, socketserver, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'ok'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('X-Worker', str(os.getpid()))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    request_queue_size = 128
S(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()
"""

PATH_PY = """
import http.server, os, signal, socketserver, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(sys.argv[2]))
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.send_header('X-Worker', str(os.getpid()))
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 128
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
S(sys.argv[1], H).serve_forever()
"""

FORKS = """
os.setsid() if os.fork() == 0 else None
server.serve_forever()
"""

STATIC = """
#include <unistd.h>
int main(void) { for (;;) pause(); }
"""


class Addresses(ReloadCase):
    def test_the_second_app_on_a_port_is_told_and_so_is_the_user(self):
        self.start_api(1)
        self.write("py.py", PY)
        for name, keys in (("node", {}), ("python", {"script": self.path("py.py"), "interpreter": require("python3")})):
            with self.subTest(name=name):
                app = {**self.api(1, autorestart=False, min_uptime=5000, **keys), "name": name}
                outcome = self.pmctl("start", self.write("second.json", {"apps": [app]}), check=False)
                said = outcome.out + outcome.err
                self.assertNotEqual(outcome.code, 0, said)
                self.assertIn(f"it cannot listen on 127.0.0.1 port {self.port}: Address already in use", said)
                self.assertRegex(said, "EADDRINUSE|Address already in use")
                self.pmctl("delete", name)
        self.assert_whole(1)

    def test_one_that_does_without_is_up_and_says_so(self):
        self.start_api(1)
        self.node("tries.js", f"""
            const s = require('net').createServer(() => {{}});
            s.on('error', () => {{}}).listen({self.port}, '127.0.0.1');
            setInterval(() => {{}}, 1000);""")
        app = {**self.api(1, min_uptime=1500), "name": "tries", "script": self.path("tries.js")}
        outcome = self.pmctl("start", self.write("second.json", {"apps": [app]}))
        self.assertIn("it cannot listen on", outcome.out)
        self.assertIn("it cannot listen on", self.pmctl("describe", "tries").out)

    def test_a_stop_frees_the_port_for_others(self):
        self.start_api(2)
        self.pmctl("stop", "api")
        self.assert_port_is_free()
        self.pmctl("start", "api")
        self.assert_whole()
        self.pmctl("delete", "api")
        self.assert_port_is_free()

    def test_the_port_is_free_before_the_keeper_has_let_go(self):
        self.start_api(2)
        for verb in ("stop", "delete"):
            with self.subTest(verb=verb):
                self.pmctl("start", "api")
                self.assert_whole()
                supervisor = self.supervisor_pid()
                self.arm("cluster.after_shut=stop")
                child = self.begin(verb, "api")
                self.wait(lambda: process(supervisor).state == "T", message="sockets that nobody needs")
                self.assert_port_is_free()
                os.kill(supervisor, signal.SIGCONT)
                self.assertEqual(self.finish(child)[0], 0)

    def test_each_worker_and_its_successor_has_its_own_debugger(self):
        base = free_port()

        def debuggers():
            found = []
            for port in range(base, base + 4):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    found.append(port - base)
            return found
        self.start_api(2, node_args=[f"--inspect={base}"])
        self.assertEqual(debuggers(), [0, 2])
        self.pmctl("reload", "api")
        self.assertEqual(debuggers(), [1, 3])
        self.pmctl("restart", "api")
        self.assertEqual(debuggers(), [1, 3])

    def test_a_udp_port_is_free_when_a_stop_is_answered(self):
        """A UDP socket cannot be shut: it is free when the keeper, too, has closed it, whenever it gets round to that."""
        other = free_port()
        self.node("server.js", f"""
            require('http').createServer((q, r) => r.setHeader('X-Worker', String(process.pid)).end('ok'))
                .listen({self.port}, '127.0.0.1');
            require('dgram').createSocket('udp4').bind({other}, '127.0.0.1');""")
        self.start_api(2)
        keeper = self.keeper_pid()

        def bind():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind(("127.0.0.1", other))
        for verb in ("stop", "delete"):
            with self.subTest(verb=verb):
                self.pmctl("start", "api")
                self.assert_whole()
                self.assertRaises(OSError, bind)
                supervisor = self.supervisor_pid()
                self.arm("cluster.after_shut=stop")
                child = self.begin(verb, "api")
                self.wait(lambda: process(supervisor).state == "T", message="sockets that nobody needs")
                os.kill(keeper, signal.SIGSTOP)
                try:
                    os.kill(supervisor, signal.SIGCONT)
                    # It has no reason to answer now, however long one waits.
                    with self.assertRaises(subprocess.TimeoutExpired):
                        child.wait(0.5)
                    self.assertRaises(OSError, bind)
                finally:
                    os.kill(keeper, signal.SIGCONT)
                self.assertEqual(self.finish(child)[0], 0)
                bind()

    def test_two_ports_a_path_with_a_space_and_udp(self):
        other, path = free_port(), self.path("the socket")
        self.node("server.js", f"""
            const answer = (q, r) => r.setHeader('X-Worker', String(process.pid)).end('ok');
            const http = require('http');
            http.createServer(answer).listen({self.port}, '127.0.0.1');
            http.createServer(answer).listen({other}, '127.0.0.1');
            http.createServer(answer).listen({path!r});
            const u = require('dgram').createSocket('udp4');
            u.on('message', (m, from) => u.send(String(process.pid), from.port, from.address)).bind({other}, '127.0.0.1');""")
        self.start_api(2)
        self.wait(lambda: os.path.exists(path), message="the path")
        with Load(self.address, keep=True, rate=100) as a, Load(("127.0.0.1", other), rate=100) as b, Load(path, rate=100) as c:
            for load in (a, b, c):
                load.wait_for(50)
            for _ in range(2):
                before = self.pids()
                self.pmctl("reload", "api", timeout=60)
                self.assertFalse(set(before) & set(self.pids()))
            for load in (a, b, c):
                load.wait_for(load.now()["requests"] + 50)
                account = load.finish()
                self.assertEqual(account["failures"], 0, account)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", other))
            s.settimeout(10)

            def answer():
                s.send(b"who")
                return int(s.recv(100))
            self.assertIn(answer(), self.pids())
        self.pmctl("stop", "api")
        self.assertFalse(os.path.exists(path))

    def test_connections_of_a_path_with_a_space_are_answered_to_the_end(self):
        path = self.path("the socket")
        self.node("server.js", f"""
            require('http').createServer((q, r) => setTimeout(() => r.end(String(process.pid)),
                Number(q.url.split('?')[1] || 0))).listen({path!r});
            process.on('SIGINT', () => process.exit(0));
            process.on('disconnect', () => {{}});""")
        self.start([self.api(1, drain=False, shutdown_with_message=True)])
        self.wait(lambda: os.path.exists(path), message="the path")
        old = self.pids()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /?1500 HTTP/1.0\r\n\r\n")
            self.wait(lambda: self.is_accepted(path), message="a worker that has it")
            self.pmctl("reload", "api")
            s.settimeout(20)
            self.assertTrue(s.makefile().read().endswith(str(old[0])))

    def test_a_shared_path_and_programs_that_do_not_drain(self):
        """Workers that are not Node's accept on a path until they are stopped: only what is being answered then is cut.

        All of them have one queue, so that none of it can be kept from one of them, as is done with a port.
        """
        path, clients = self.path("the socket"), 16
        self.write("py.py", PATH_PY)
        self.start([self.api(3, script=self.path("py.py"), interpreter=require("python3"), args=[path, "0.05"],
                             exec_mode="cluster", min_uptime=500, drain_timeout=2000, env={})])
        self.wait(lambda: os.path.exists(path), message="the path")
        with Load(path, connections=clients) as load:
            load.wait_for(100)
            before = self.pids()
            self.pmctl("reload", "api", timeout=60)
            self.assertFalse(set(before) & set(self.pids()))
            self.pmctl("scale", "api", 1, timeout=60)
            load.wait_for(load.now()["requests"] + 100)
            account = load.finish()
        # Five were stopped, and each had at most one request of each client.
        self.assertLessEqual(account["failures"], 5 * clients, account)
        self.assertEqual(account["failures"], account["failed"]["reset_before"], account)
        print(f"a shared path: {account['failures']} of {account['requests']} failed")

    def is_accepted(self, path):
        return any(line.rstrip().endswith(path) and line.split()[5] == "03" for line in self.read("/proc/net/unix").splitlines())


class Kinds(ReloadCase):
    def test_a_static_program_is_told_of(self):
        self.write("static.c", STATIC)
        self.run_command([require("cc"), "-static", "-o", self.path("static"), self.path("static.c")])
        outcome = self.pmctl("start", self.path("static"), "--name", "static", "-i", "2")
        self.assertIn("statically linked", outcome.out)
        self.assertIn("statically linked", self.pmctl("describe", "static").out)
        self.kill_supervisor()
        self.assertIn("statically linked", self.pmctl("describe", "static").out)
        self.pmctl("reload", "static")
        self.assertIn("statically linked", self.pmctl("describe", "static").out)

    def test_one_that_is_not_restarted_by_itself(self):
        self.start_api(2, autorestart=False)
        gone = self.pids()[0]
        kill(gone)
        self.wait(lambda: self.states() == ["stopped", "online"], message="one that stays down")
        self.assertEqual(self.workers(), {self.pids()[1]})
        self.pmctl("reload", "api")
        self.assert_whole()

    def test_what_it_starts_may_stay_where_that_was_asked_for(self):
        self.start_api(1, treekill=False)
        before = self.pids()
        self.pmctl("reload", "api")
        self.assert_whole(1)
        self.assertFalse(alive(before[0]))

    def test_what_it_started_serves_on_where_that_was_asked_for(self):
        self.write("py.py", PY.replace("S((", "server = S((").replace(".serve_forever()", FORKS))
        self.start([self.api(1, script=self.path("py.py"), interpreter=require("python3"), treekill=False)])
        self.wait(lambda: len(self.python_servers()) == 2, 60, "two servers")
        self.wait_open()
        main = self.pids()[0]
        child = next(pid for pid in self.python_servers() if pid != main)
        self.pmctl("delete", "api")
        self.assertFalse(alive(main))
        try:
            self.assertEqual(self.workers(), {child})
        finally:
            kill(child)
        self.wait_dead(child)
        self.assert_port_is_free()

    def test_many_workers(self):
        n = 64
        self.write("py.py", PY)
        self.start([self.api(n, script=self.path("py.py"), interpreter=require("python3"), min_uptime=1000)])
        self.wait(lambda: self.pids() == self.python_servers(), 60, "all of them")
        self.wait_open()
        before = self.pids()
        with Load(self.address, rate=200) as load:
            load.wait_for(50)
            self.pmctl("reload", "api", "--parallel", 16, timeout=240)
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)
        self.assertFalse(set(before) & set(self.pids()))
        self.wait(lambda: sorted(self.pids()) == self.python_servers(), 60, "one of each")
        self.pmctl("stop", "api", timeout=120)
        self.assertEqual(self.python_servers(), [])
        self.assert_port_is_free()

    def python_servers(self):
        return sorted(p.pid for p in self.processes() if self.path("py.py") in p.argv and not p.dead)


class Triggers(ReloadCase):
    def swapped(self, before):
        self.wait(lambda: not set(before) & set(self.pids()), 60, "successors of all")
        self.assert_whole(len(before))

    def test_a_changed_file_and_a_memory_limit_replace_without_a_failed_request(self):
        os.mkdir(self.path("seen"))
        self.start_api(2, watch=[self.path("seen")], watch_delay=100)
        before = self.pids()
        with Load(self.address, keep=True, rate=200) as load:
            load.wait_for(20)
            self.write("seen/file", "1")
            self.swapped(before)
            before = self.pids()
            self.pmctl("reload", "api", "--max-memory-restart", "1M")
            self.wait(lambda: not set(before) & set(self.pids()), 60, "successors for want of memory")
            # Not with --force, which would cut what the limit has begun.
            self.wait(lambda: self.pmctl("reload", "api", "--max-memory-restart", "4G", check=False).code == 0, 60,
                      "a reload between those for want of memory")
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)
        self.assert_whole()

    def test_a_stop_is_not_undone_by_a_trigger_that_came_before_it(self):
        os.mkdir(self.path("seen"))
        self.start_api(1, watch=[self.path("seen")], watch_delay=50)
        self.starting()
        self.write("seen/file", "1")
        self.wait_text(os.path.join(self.home, "pmd.log"), "app.trigger")
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [])
        self.assertEqual(self.status("api"), "stopped")


if __name__ == "__main__":
    unittest.main()
