"""Node workers replaced under load, drained by what is preloaded into them: no request fails.

tests/helpers/cluster_supervisor.c stands where the supervisor stands. No agent runs here.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

from loads import SOAK, Load, nodes
from pmdtest import APPS, BUILD, PATIENCE, Popen
from ports import free_port
from seats import Seats

PRELOAD = os.path.join(BUILD, "pmd-drain.cjs")
WEB = os.path.join(APPS, "cluster", "web.js")
DRAIN = '{"cmd":"NODE_PMD","act":"drain"}'
DISCONNECT = '{"cmd":"NODE_CLUSTER","act":"disconnect"}'
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ROUNDS = 20 if SOAK else 2


class NodeSeats(Seats):
    """Replaces workers as pmd does: successor, steering, empty queue, drain, disconnect, signal."""

    def tell(self, seat, generation, text):
        self.say(f"say {seat} {generation} {text}")

    def serve(self, seat, generation=0):
        self.start(seat, generation)
        self.listening(seat, generation)

    def replace(self, seat, generation, number=signal.SIGINT):
        """The worker of this generation by one of the other."""
        old, new = generation, 1 - generation
        self.serve(seat, new)
        self.one_steer(seat, new, True)
        self.one_steer(seat, old, False)
        empty, deadline = 0, time.monotonic() + 30 * PATIENCE
        while empty < 2:  # a handshake may have been under way at the first look
            empty = 0 if self.waiting(seat, old) else empty + 1
            if time.monotonic() > deadline:
                raise AssertionError("the old worker's queue does not get empty")
            select.select([], [], [], 0.002)
        self.leave(seat, old, number)

    def one_steer(self, seat, generation, ready):
        self.say(f"steer {seat} {generation} {int(ready)}")
        self.expect("steered")

    def status(self, pid):
        """Waits for the end of a worker."""
        return int(self.expect(rf"exited {pid} (-?\d+)")[1])

    def leave(self, seat, generation, number):
        pid = self.pids.pop((seat, generation))
        self.tell(seat, generation, DRAIN)
        self.expect(rf"message {seat} {generation} .*draining.*")
        self.tell(seat, generation, DISCONNECT)
        self.expect(f"closed {seat} {generation}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)  # what does not end by itself
        return self.status(pid)


class UnderLoad(unittest.TestCase):
    def rounds(self, node, mode, keep, path="/", where="127.0.0.1:{port}"):
        port = free_port()
        address = where.format(port=port)
        with NodeSeats(PRELOAD, [node, WEB, mode, address]) as s:
            for seat in (0, 1):
                s.serve(seat)
                s.one_steer(seat, 0, True)
            with Load(("127.0.0.1", port), keep, path=path) as load:
                answered = load.wait_for(100)["requests"]
                for i in range(ROUNDS):
                    for seat in (0, 1):
                        s.replace(seat, i % 2)
                    answered = load.wait_for(answered + 100)["requests"]
                account = load.finish()
        self.assertEqual(account["failures"], 0, account)
        self.assertGreater(len(account["workers"]), 2, account)

    def every(self, mode, **options):
        for name, node in nodes().items():
            for keep in (False, True):
                if SOAK or (keep and (mode == "naive" or name == "newest")):
                    with self.subTest(node=name, mode=mode, keep=keep):
                        self.rounds(node, mode, keep, **options)

    def test_an_app_that_handles_no_signal(self):
        self.every("naive")

    def test_an_app_that_closes_its_server(self):
        self.every("graceful")

    def test_an_app_that_exits_at_once(self):
        self.every("quits")

    def test_an_app_that_insists_on_keep_alive(self):
        self.every("proxy")

    def test_answers_that_are_on_their_way(self):
        self.every("naive", path="/stream?20")

    def test_a_keep_alive_client_that_is_often_idle(self):
        for name, node in nodes().items():
            if not SOAK and name != "newest":
                continue
            with self.subTest(node=name):
                port = free_port()
                with NodeSeats(PRELOAD, [node, WEB, "graceful", str(port)]) as s:
                    s.serve(0)
                    s.one_steer(0, 0, True)
                    # Every connection rests most of the time when its server is closed.
                    with Load(("127.0.0.1", port), keep=True, connections=40, rate=200) as load:
                        answered = load.wait_for(80)["requests"]
                        for i in range(ROUNDS):
                            s.replace(0, i % 2)
                            answered = load.wait_for(answered + 80)["requests"]
                        account = load.finish()
                self.assertEqual(account["failures"], 0, account)

    def test_http2_sessions_are_told_to_go_away(self):
        for name, node in nodes().items():
            with self.subTest(node=name):
                self.http2_rounds(node)

    def http2_rounds(self, node):
        port = free_port()
        with NodeSeats(PRELOAD, [node, WEB, "naive", f"http2:127.0.0.1:{port}"]) as s:
            s.serve(0)
            s.one_steer(0, 0, True)
            client = Popen([node, os.path.join(APPS, "cluster", "h2client.js"), f"http://127.0.0.1:{port}", "8"],
                           stdout=subprocess.PIPE, text=True)
            try:
                self.assertEqual(client.stdout.readline(), "ready\n")
                for i in range(ROUNDS):
                    s.replace(0, i % 2)
                client.send_signal(signal.SIGTERM)
                account = json.loads(client.stdout.readline())
            finally:
                client.kill()
                client.wait()
                client.stdout.close()
        self.assertEqual(account["failures"], 0, account)
        self.assertGreater(account["goaways"], ROUNDS, account)
        self.assertGreater(account["ok"], 0, account)


class Alone(unittest.TestCase):
    """What the preload does, and does not, to a worker."""

    def each(self, body, mode="naive", env=None):
        """body(seats, port) for every node, with one worker that serves."""
        for name, node in nodes().items():
            port = free_port()
            with self.subTest(node=name), NodeSeats(PRELOAD, [node, WEB, mode, f"127.0.0.1:{port}"], env) as s:
                s.serve(0)
                s.one_steer(0, 0, True)
                body(s, port)

    def test_the_app_and_what_it_starts_see_the_options_of_the_user(self):
        def body(_, port):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/env") as response:
                env = json.load(response)
            self.assertEqual(env.get("NODE_OPTIONS", ""), theirs)
            self.assertNotIn("PMD_NODE_OPTIONS", env)

        for theirs in ("--max-old-space-size=300 --no-warnings", ""):
            self.each(body, env={"NODE_OPTIONS": theirs})

    def test_an_idle_connection_is_kept_and_ends_with_its_next_answer(self):
        def body(s, port):
            with socket.create_connection(("127.0.0.1", port), timeout=30 * PATIENCE) as idle:
                idle.sendall(ASK)
                self.assertRegex(idle.recv(4096), rb"(?i)connection: keep-alive")
                s.tell(0, 0, DRAIN)
                s.expect("message 0 0 .*draining.*")
                s.tell(0, 0, DISCONNECT)
                s.expect('message 0 0 .*"close".*')
                os.kill(s.pids[0, 0], signal.SIGINT)  # its own server.close() comes second
                idle.sendall(ASK)
                answer = b""
                while data := idle.recv(4096):
                    answer += data
                self.assertRegex(answer, rb"(?i)\r\nconnection: close\r\n")
                self.assertNotRegex(answer, rb"(?i)keep-alive")
            s.expect("closed 0 0")
            self.assertEqual(s.status(s.pids[0, 0]), 0)

        self.each(body, "graceful")

    def test_without_the_word_nothing_changes(self):
        def body(_, port):
            with socket.create_connection(("127.0.0.1", port), timeout=30 * PATIENCE) as kept:
                for _ in range(3):
                    kept.sendall(ASK)
                    self.assertRegex(kept.recv(4096), rb"(?i)connection: keep-alive")

        self.each(body)

    def test_other_processes_and_threads_are_left_alone(self):
        # A process that is nobody's worker, a thread of it, and a child with a message channel to its own parent.
        program = """
            const { isMainThread, Worker } = require('worker_threads');
            const seen = () => process.listenerCount('internalMessage');
            const what = () => [seen(), require('net').Server.prototype.listen.length, process.env.NODE_OPTIONS || ''];
            if (!isMainThread) require('worker_threads').parentPort.postMessage(what());
            else if (process.argv[2] === 'child') process.send(what());
            else new Worker(__filename).on('message', (thread) =>
                require('child_process').fork(__filename, ['child']).on('message', (child) =>
                    console.log(JSON.stringify([what(), thread, child]))));"""
        with tempfile.NamedTemporaryFile("w", suffix=".js") as file:
            file.write(program)
            file.flush()
            for name, node in nodes().items():
                with self.subTest(node=name):
                    plain, preloaded = (json.loads(subprocess.run(
                        [node, file.name], env={**os.environ, **env}, check=True, stdout=subprocess.PIPE).stdout)
                        for env in ({}, {"NODE_OPTIONS": f'--require "{PRELOAD}"', "PMD_NODE_OPTIONS": ""}))
                    self.assertEqual(preloaded, plain)


if __name__ == "__main__":
    unittest.main()
