"""While connections are brief, node workers take them from one queue: none waits for a busy worker beside an idle one."""

import collections
import contextlib
import os
import re
import select
import selectors
import shutil
import signal
import socket
import time
import unittest

from clusters import SOAK, ClusterTestCase
from loads import nodes
from pmdtest import APPS, kill

REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CONNECTIONS = 100
BUSY_MS = 800
ROUNDS = 20 if SOAK else 1


class CommonQueue(ClusterTestCase):
    def ask(self, path):
        client = socket.create_connection(self.address)
        client.sendall(REQUEST % path)
        client.setblocking(False)
        return client

    def answered_meanwhile(self):
        """The share of new connections that are answered while one of the two workers is busy. Half of them, if each worker
        has a queue of its own; nearly all, if they go to the common one."""
        busy = self.ask(b"/busy?%d" % BUSY_MS)
        time.sleep(0.1)
        clients = {self.ask(b"/") for _ in range(CONNECTIONS)}
        answered, is_over = 0, False
        with selectors.DefaultSelector() as selector:
            for client in {busy, *clients}:
                selector.register(client, selectors.EVENT_READ)
            while clients:
                ready = selector.select(30)
                self.assertTrue(ready, f"{len(clients)} connections are never answered")
                is_over = is_over or any(key.fileobj is busy for key, _ in ready)
                for client in [key.fileobj for key, _ in ready]:
                    self.assertIn(b" 200 ", client.recv(65536))
                    selector.unregister(client)
                    client.close()
                    answered += client is not busy and not is_over
                    clients.discard(client)
        busy.close()
        return answered / CONNECTIONS

    def wait_common(self):
        """Until new connections go to the common queue. Five standard deviations from either side."""
        self.wait(lambda: self.answered_meanwhile() > 0.75, 30, "a common queue")

    def modern(self):
        """Node from 20 on: what came before takes all that waits, busy or not."""
        return {name: node for name, node in nodes().items() if name not in ("debian", "16", "18")}

    def test_brief_connections_wait_for_whoever_is_free(self):
        for name, node in self.modern().items():
            with self.subTest(node=name):
                self.start(node)
                self.assertLess(self.answered_meanwhile(), 0.75, "before anybody could know")
                with self.load(False, rate=200):
                    self.wait_common()
            self.pmctl("delete", "api", check=False)

    def test_what_must_not_be_preloaded_keeps_its_own_queues(self):
        self.start(drain=False)
        with self.load(False, rate=200) as load:
            load.wait_for(500)
            self.assertLess(self.answered_meanwhile(), 0.75)

    def test_connections_are_dealt_evenly_again_when_brief_ones_come_no_more(self):
        self.start()
        with self.load(False, rate=200):
            self.wait_common()
        time.sleep(5)  # longer than it takes to notice that they come no more
        self.assertLess(self.answered_meanwhile(), 0.75)

    def test_no_request_fails_while_workers_and_supervisors_come_and_go(self):
        self.start(mode="graceful")
        with self.load(False, rate=300) as load:
            for _ in range(ROUNDS):
                self.wait_common()
                self.reload_rounds(load, 1)
                self.wait_common()
                dead = self.supervisor_pid()
                kill(dead)
                self.wait_dead(dead)
                self.pmctl("ping")
                self.wait_common()  # as it was, and after the next change
                self.pmctl("scale", "api", "3", timeout=60)
                self.pmctl("scale", "api", "2", timeout=60)
                self.wait_common()
                self.pmctl("agent", "upgrade", timeout=60)
                self.wait_common()
                self.pmctl("reload", "api", timeout=60)

    def test_a_dead_workers_connections_are_others(self):
        self.start(restart_delay=3000)
        with self.load(False, rate=200):
            self.wait_common()
            before = self.pids()
        stopped = before[0]
        # It is there, but takes nothing; then it is gone. Nobody waits for it but who had come to its own queue.
        os.kill(stopped, signal.SIGSTOP)
        clients = {self.ask(b"/") for _ in range(CONNECTIONS)}
        self.assertGreater(self.count_answered(clients, 3), 0.75 * CONNECTIONS)
        kill(stopped)
        self.assertEqual(self.count_answered(clients, 30, all_of=True), CONNECTIONS)

    def start_full(self, maximum, node):
        """full.js in two workers, whose connections have been brief for a while. Returns the pid of one."""
        shutil.copy(os.path.join(APPS, "cluster", "full.js"), self.path("full.js"))
        self.start_app(script=self.path("full.js"), args=[str(self.port), str(maximum)], interpreter=node, instances=2,
                       exec_mode="cluster")
        self.wait(lambda: self.workers() == set(self.pids()))
        with self.load(False, rate=200) as load:
            load.wait_for(800)
        return self.pids()[0]

    def test_kept_connections_that_come_at_once_are_not_all_kept_by_one(self):
        for name, node in self.modern().items():
            with self.subTest(node=name):
                self.start(node)
                with self.load(False, rate=200):
                    self.wait_common()
                clients = [self.ask(b"/busy?%d" % BUSY_MS)]  # there is but one that is free to take them
                clients += [socket.create_connection(self.address) for _ in range(CONNECTIONS)]
                held = collections.Counter()
                for client in clients[1:]:
                    client.settimeout(30)
                    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    held[re.search(rb"X-Worker: (\d+)", client.recv(65536))[1]] += 1
                for client in clients:
                    client.close()
                self.assertLessEqual(max(held.values()), 0.7 * CONNECTIONS, held)
                with self.load(False, rate=200):
                    self.wait_common()  # as before
            self.pmctl("delete", "api", check=False)

    def hold(self, path, worker, count):
        """So many requests that this worker has begun to answer."""
        held = []
        while len(held) < count:
            client = socket.create_connection(self.address)
            client.settimeout(30)
            client.sendall(REQUEST % path)
            if b"X-Worker: %d\r" % worker in client.recv(65536):
                held.append(client)
            else:
                client.close()
        return held

    def not_all_to_the_full(self):
        """One worker has no room, the other one is busy: half of the connections go to the full one, and not all. Five
        standard deviations."""
        busy, refused = None, True
        while refused:
            busy = self.ask(b"/busy?%d" % BUSY_MS)
            refused = bool(select.select([busy], [], [], 0.3)[0])
        clients = {self.ask(b"/") for _ in range(CONNECTIONS)}
        answered = 0
        for client in clients:
            client.settimeout(30)
            with contextlib.suppress(ConnectionError):
                answered += b" 200 " in client.recv(65536)
            client.close()
        busy.close()
        self.assertGreater(answered, 0.25 * CONNECTIONS)

    def test_one_that_limits_its_connections_does_not_take_all_to_refuse_them(self):
        for name, node in self.modern().items():
            with self.subTest(node=name):
                held = self.hold(b"/hold", self.start_full(10, node), 10)
                self.not_all_to_the_full()
                for client in held:
                    client.close()
            self.pmctl("delete", "api", check=False)

    def test_one_without_descriptors_does_not_take_all_to_drop_them(self):
        for name, node in self.modern().items():
            with self.subTest(node=name):
                limited = self.write("limited/node", f"#!/bin/sh\nulimit -n 100\nexec {node} \"$@\"\n", 0o755)
                full = self.start_full(0, limited)
                held = self.hold(b"/hold", full, 1)
                for client in self.hold(b"/files", full, 1):
                    client.close()
                time.sleep(2)  # it looks once a second, if any come
                self.not_all_to_the_full()
                for client in held:
                    client.close()
            self.pmctl("delete", "api", check=False)

    def test_what_waits_when_the_last_has_no_room_is_answered(self):
        for name, node in self.modern().items():
            with self.subTest(node=name):
                limited = self.write("limited/node", f"#!/bin/sh\nulimit -n 200\nexec {node} \"$@\"\n", 0o755)
                self.start_full(0, limited)
                busy = []
                while len(busy) < 2:  # in each worker one
                    busy.append(self.ask(b"/nearly?%d" % (2 * BUSY_MS)))
                    time.sleep(0.1)
                clients = {self.ask(b"/") for _ in range(CONNECTIONS)}
                self.assertEqual(self.count_answered(clients, 30, all_of=True), CONNECTIONS)
                for client in busy:
                    client.close()
            self.pmctl("delete", "api", check=False)

    def count_answered(self, clients, seconds, all_of=False):
        deadline = time.monotonic() + seconds
        answered = set()
        while len(answered) < len(clients) and time.monotonic() < deadline:
            for client in clients - answered:
                try:
                    data = client.recv(65536, socket.MSG_PEEK)
                except BlockingIOError:
                    continue
                self.assertIn(b" 200 ", data)
                answered.add(client)
            time.sleep(0.02)
        for client in clients if all_of else ():
            client.close()
        return len(answered)

    def test_when_all_die_their_successors_answer(self):
        self.start(restart_delay=100)
        with self.load(False, rate=200):
            self.wait_common()
            pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        clients = {self.ask(b"/") for _ in range(CONNECTIONS)}
        for pid in pids:
            kill(pid)
        self.assertEqual(self.count_answered(clients, 30, all_of=True), CONNECTIONS)


if __name__ == "__main__":
    unittest.main()
