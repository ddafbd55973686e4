"""The preload library in real servers: two seats on one port, a successor beside the old worker, none the wiser.

tests/helpers/cluster_supervisor.c stands where the supervisor stands. No agent runs here.
"""

import os
import re
import select
import signal
import socket
import tempfile
import time
import unittest

from pmdtest import APPS, BUILD, PATIENCE, Popen, helper, require
from ports import free_port
from seats import Seats, wait_gone, wait_stopped

LIBRARY = os.path.join(BUILD, "libpmd-shim.so")
WEB = os.path.join(APPS, "shim")
PYTHON = "/usr/bin/python3"
# Debian's programs; another python3 first in PATH would not find their modules.
GUNICORN = [PYTHON, "-m", "gunicorn", "--chdir", WEB]
UVICORN = [PYTHON, "-m", "uvicorn", "--app-dir", WEB, "--log-level", "warning"]


def read_response(s):
    s.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise AssertionError(f"answered {data[:200]!r}")
    return body


def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    s = socket.socket(family)
    s.settimeout(30 * PATIENCE)
    try:
        s.connect(address)
    except BaseException:
        s.close()
        raise
    return s


def fetch(address):
    with connect(address) as s:
        return read_response(s)


def fetch_when_up(address):
    deadline = time.monotonic() + 30 * PATIENCE
    while True:
        try:
            return fetch(address)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            select.select([], [], [], 0.01)


def pid_in(body):
    return int(re.search(rb"\d+", body)[0])


class RealServers(unittest.TestCase):
    """Each: two workers on one port, each serves; a successor listens beside the old one, which then ends."""

    def share(self, *command, address=None, env=None, says_so=True):
        port = free_port()
        address = address or ("127.0.0.1", port)
        with Seats(LIBRARY, [part.replace("PORT", str(port)) for part in command], env, cwd=WEB) as s:
            for seat in (0, 1):
                s.start(seat)
            for seat in (0, 1) if says_so else ():
                s.listening(seat)
            for seat in (0, 1):
                s.steer((seat, 0))
                fetch_when_up(address)
                for _ in range(20):
                    fetch(address)
            s.steer((0, 0), (1, 0))
            s.start(0, 1)
            if says_so:
                s.listening(0, 1)
            for _ in range(10):
                fetch(address)
            s.steer((0, 1), (1, 0))
            for _ in range(20):
                fetch(address)
            self.assertEqual(s.waiting(0, 0), 0)
            s.end(0, 0)
            for _ in range(20):
                fetch(address)
            s.steer((0, 1))
            s.end(1, 0)
            for _ in range(20):
                fetch(address)

    def test_python_http_server(self):
        self.share(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "PORT")

    def test_gunicorn_which_binds_before_it_forks(self):
        self.share(*GUNICORN, "-w", "2", "-b", "127.0.0.1:PORT", "web:wsgi")

    def test_gunicorn_with_reuse_port(self):
        self.share(*GUNICORN, "-w", "2", "--reuse-port", "-b", "127.0.0.1:PORT", "web:wsgi")

    def test_gunicorn_on_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "web.sock")
            # One queue for all: whoever is still there serves, steered to or not.
            self.share(*GUNICORN, "-b", f"unix:{path}", "web:wsgi", address=path)

    def test_uvicorn(self):
        self.share(*UVICORN, "--port", "PORT", "web:asgi")

    def test_uvicorn_with_workers_that_it_executes(self):
        # They inherit the socket that their parent has bound, but not the descriptor to tell us that they listen.
        self.share(*UVICORN, "--workers", "2", "--port", "PORT", "web:asgi", says_so=False)

    def test_puma(self):
        self.share(require("puma"), "-q", "-e", "production", "-b", "tcp://127.0.0.1:PORT", os.path.join(WEB, "config.ru"))

    def test_puma_in_cluster_mode(self):
        self.share(require("puma"), "-q", "-e", "production", "-w", "2", "-b", "tcp://127.0.0.1:PORT",
                   os.path.join(WEB, "config.ru"))

    def test_webrick_which_shuts_its_socket_down(self):
        self.share(require("ruby"), os.path.join(WEB, "web.rb"), "PORT")

    def test_php(self):
        self.share(require("php"), "-S", "127.0.0.1:PORT", os.path.join(WEB, "web.php"))

    def test_php_with_workers(self):
        self.share(require("php"), "-S", "127.0.0.1:PORT", os.path.join(WEB, "web.php"),
                   env={"PHP_CLI_SERVER_WORKERS": "2"})

    def test_a_c_program(self):
        self.share(helper("listeners"), "serve", "PORT")

    def test_a_c_program_on_a_unix_socket_that_it_removes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "c.sock")
            self.share(helper("listeners"), "unix", path, address=path)


class Programs(unittest.TestCase):
    """What single programs see."""

    def supervise(self, *command, env=None):
        supervisor = Seats(LIBRARY, [helper("listeners"), *map(str, command)], env)
        self.addCleanup(supervisor.__exit__, None)
        return supervisor

    def output(self, supervisor):
        """What the program printed; it has ended."""
        wait_gone(supervisor.start(0))
        supervisor.log.seek(0)
        return supervisor.log.read().decode()

    def test_the_socket_looks_like_the_programs_own(self):
        s = self.supervise("details", free_port())
        self.assertEqual(self.output(s), "ok\n")
        s.listening(0)

    def test_a_client_that_binds_its_port_is_left_alone(self):
        port = free_port()
        with socket.create_server(("127.0.0.1", 0)) as server:
            s = self.supervise("client", port, server.getsockname()[1])
            self.assertEqual(self.output(s), f"from {port}\n")
        s.say(f"key 127.0.0.1:{port}")
        self.assertEqual(s.expect("key (.)")[1], "0")

    def several_processes_of_a_seat(self, mode):
        port = free_port()
        s = self.supervise(mode, port, 3)
        s.start(0)
        self.assertEqual(s.listening(0), f"127.0.0.1:{port}")
        s.steer((0, 0))
        pids, deadline = set(), time.monotonic() + 30 * PATIENCE
        while len(pids) < 3 and time.monotonic() < deadline:
            streams = [connect(("127.0.0.1", port)) for _ in range(8)]
            for stream in streams:
                with stream:
                    pids.add(pid_in(read_response(stream)))
        self.assertEqual(len(pids), 3)

    def test_a_program_that_binds_before_it_forks(self):
        self.several_processes_of_a_seat("prefork")

    def test_processes_that_share_a_port_already(self):
        self.several_processes_of_a_seat("reuseport")

    def test_datagrams(self):
        port = free_port()
        s = self.supervise("udp", port)
        pids = [s.start(0), s.start(1)]
        for seat in (0, 1):
            self.assertEqual(s.listening(seat), f"127.0.0.1:{port}")
        for seat in (0, 1):
            s.steer((seat, 0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(30 * PATIENCE)
                for _ in range(10):
                    client.sendto(b"who", ("127.0.0.1", port))
                    self.assertEqual(int(client.recv(64)), pids[seat])

    def test_what_waits_for_a_worker_that_dies_is_served_by_its_successor(self):
        port = free_port()
        s = self.supervise("serve", port)
        s.start(0)
        s.listening(0)
        s.steer((0, 0))
        fetch(("127.0.0.1", port))
        os.kill(s.pids[0, 0], signal.SIGSTOP)
        wait_stopped(s.pids[0, 0])
        streams = [connect(("127.0.0.1", port)) for _ in range(5)]
        s.end(0, 0, signal.SIGKILL)
        self.assertEqual(s.waiting(0, 0), 5)
        pid = s.start(0)
        for stream in streams:
            with stream:
                self.assertEqual(pid_in(read_response(stream)), pid)

    def test_shutdown_of_the_socket_ends_nobody_elses_listening(self):
        port = free_port()
        s = self.supervise("stop", port)
        first = s.start(0)
        s.start(1)
        s.listening(0)
        s.listening(1)
        s.steer((0, 0))
        self.assertEqual(pid_in(fetch(("127.0.0.1", port))), first)
        waiting = connect(("127.0.0.1", port))  # the first stops; its successor answers
        s.start(0)
        with waiting:
            self.assertEqual(pid_in(read_response(waiting)), s.pids[0, 0])
        s.steer((1, 0))
        self.assertEqual(pid_in(fetch(("127.0.0.1", port))), s.pids[1, 0])

    def test_what_is_excluded_is_the_programs_own(self):
        port = free_port()
        for excluded in (f"80,{port}", f"{port - 1}-{port + 1}", "udp,tcp"):
            with self.subTest(excluded):
                with Seats(LIBRARY, [helper("listeners"), "serve", str(port)], {"PMD_SHIM_EXCLUDE": excluded}) as s:
                    pid = s.start(0)
                    self.fetch_until_up(port, pid)
                    s.say(f"key 127.0.0.1:{port}")
                    self.assertEqual(s.expect("key (.)")[1], "0")

    def fetch_until_up(self, port, pid):
        self.assertEqual(pid_in(fetch_when_up(("127.0.0.1", port))), pid)

    def test_a_port_of_another_program_is_refused_to_the_worker(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            s = self.supervise("serve", other.getsockname()[1])
            self.assertIn("bind: Address already in use", self.output(s))

    def test_without_an_answer_the_program_goes_on_alone(self):
        port = free_port()
        s = self.supervise("serve", port)
        s.say("start 0 0\nmute")
        pid = int(s.expect(r"started 0 0 (\d+)")[1])
        s.expect("muted")
        self.fetch_until_up(port, pid)

    def test_a_program_without_pmd_is_left_alone(self):
        port = free_port()
        for value in ("", "27", "27:1", "x:y", "0:0", "999999:5"):
            env = {**os.environ, "LD_PRELOAD": LIBRARY, "PMD_SHIM_FD": value}
            process = Popen([helper("listeners"), "serve", str(port)], env=env)
            try:
                self.fetch_until_up(port, process.pid)
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    unittest.main()
