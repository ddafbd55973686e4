"""Fleet sessions between two processes over loopback, through a proxy that misbehaves and beside peers that do."""

import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time
import unittest

from chaos import Chaos

BUILD = os.environ.get("PMD_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "dev"))
PATIENCE = float(os.environ.get("PMD_TEST_PATIENCE", "1"))
FIRST, SECOND = 114, 49  # bytes of the frames


class End:
    """One of the two programs, and the lines that it has said."""

    def __init__(self, test, name, *args, nofile=None):
        env = dict(os.environ)
        limit = None
        if nofile is not None:
            env["PMD_TEST_NOFILE"] = "1"
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))  # noqa: E731
        self.lines, self.changed, self.name = [], threading.Condition(), name
        self.process = subprocess.Popen([os.path.join(BUILD, "helpers", name), *map(str, args)], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=limit)
        threading.Thread(target=self._read, daemon=True).start()
        test.addCleanup(self.end)

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def wait(self, start, after=0, timeout=20):
        """The first line from `after` on that begins so, and the place behind it."""
        deadline = time.monotonic() + timeout * PATIENCE
        with self.changed:
            at = after
            while True:
                for i in range(at, len(self.lines)):
                    if self.lines[i].startswith(start):
                        return self.lines[i], i + 1
                at = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{self.name} did not say '{start}' (from line {after}):\n" +
                                         "\n".join(self.lines[-30:]))
                self.changed.wait(left)

    def count(self, start):
        with self.changed:
            return sum(line.startswith(start) for line in self.lines)

    def stats(self):
        after = len(self.lines)
        self.say("stats")
        return json.loads(self.wait("stats ", after)[0][6:])

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            try:
                self.say("quit")
                self.process.wait(20 * PATIENCE)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        if self.process.returncode != 0:  # a leak, a race, a crash
            raise AssertionError(f"{self.name} ended with {self.process.returncode}")


class FleetSession(unittest.TestCase):
    def hub(self, *args, **kwargs):
        hub = End(self, "fleet_hub", *args, **kwargs)
        self.port = int(hub.wait("port ")[0].split()[1])
        self.key = hub.wait("key ")[0].split()[1]
        return hub

    def chaos(self):
        chaos = Chaos(self.port)
        self.addCleanup(chaos.close)
        return chaos

    def agent(self, port=None, *args, key=None):
        return End(self, "fleet_swarm", "--port", port or self.port, "--key", key or self.key, *args)

    def until(self, condition, timeout=20):
        deadline = time.monotonic() + timeout * PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it did not come to that")
            time.sleep(0.01)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=20 * PATIENCE)
        self.addCleanup(s.close)
        return s

    def assert_agents_welcome(self):
        """Whatever happened, the next agent gets in and is answered."""
        agent = self.agent()
        agent.wait("up ")
        agent.say("ask")
        agent.wait("answer")

    # ---- the network misbehaves

    def test_a_slow_network_changes_nothing(self):
        """X-45."""
        hub = self.hub()
        chaos = self.chaos()
        chaos.plan = {"delay": 0.05}
        agent = self.agent(chaos.port)
        agent.wait("up ")
        agent.say("ask")
        agent.wait("answer")
        hub.say("all")
        hub.wait("all 1 ")
        self.assertEqual(agent.count("closed"), 0)

    def test_bytes_one_at_a_time_change_nothing(self):
        self.hub()
        chaos = self.chaos()
        chaos.plan = {"trickle": 0.001}
        self.agent(chaos.port).wait("up ")

    def test_a_connection_that_is_cut_anywhere_is_made_again(self):
        hub = self.hub()
        chaos = self.chaos()
        for cut in (1, 50, FIRST - 1, FIRST, FIRST + 1, FIRST + 30, FIRST + SECOND, FIRST + SECOND + 1, 200, 230, 300):
            with self.subTest(cut=cut):
                chaos.plan = {"cut": cut}
                agent = self.agent(chaos.port)
                agent.wait("closed ")
                chaos.plan = {}
                agent.wait("up ", timeout=40)
                agent.end()
        self.until(lambda: hub.stats()["links"] == 0)

    def test_a_changed_bit_ends_the_session_and_the_next_one_is_good(self):
        self.hub("--handshake-ms", 1000)
        chaos = self.chaos()
        chance = random.Random(4)
        places = [("up", n) for n in (0, 1, 2, 40, 97, 98, FIRST - 1, FIRST + 2, FIRST + 20)]
        places += [("down", n) for n in (0, 1, 33, SECOND - 1, SECOND + 2, SECOND + 20)]
        places += [(way, chance.randrange(5, FIRST)) for way in ("up",) for _ in range(8)]
        for way, n in places:
            with self.subTest(way=way, byte=n):
                chaos.plan = {"flip": (way, n)}
                agent = self.agent(chaos.port, "--handshake-ms", 1000)
                agent.wait("closed ")
                self.assertEqual(agent.count("up "), 0 if (way, n) < ("down", SECOND) or way == "up" and n < FIRST + 20
                                 else agent.count("up "))
                chaos.plan = {}
                agent.wait("up ", timeout=40)
                agent.end()

    def test_records_repeated_exchanged_or_lost_end_the_session(self):
        """X-45, X-46."""
        hub = self.hub()
        for what in ("repeat", "swap", "drop"):
            with self.subTest(what=what):
                chaos = self.chaos()
                chaos.plan = {what: ("down", 2)}  # 0 is the frame, 1 the Welcome, 2 the first answer
                agent = self.agent(chaos.port)
                agent.wait("up ")
                for _ in range(3):
                    seen = hub.count("request")
                    agent.say("ask")
                    # So that each answer is a chunk of its own.
                    self.until(lambda: hub.count("request") > seen or agent.count("closed ") > 0)
                line, at = agent.wait("closed ")
                self.assertIn("protocol", line)
                chaos.plan = {}
                agent.wait("up ", at, timeout=40)
                agent.end()

    def test_a_half_open_connection_is_noticed_on_both_sides(self):
        """X-44."""
        times = ("--heartbeat-ms", 200, "--suspect-ms", 600, "--dead-ms", 1200)
        hub = self.hub(*times)
        chaos = self.chaos()
        agent = self.agent(chaos.port, *times)
        _, at = agent.wait("up ")
        chaos.silent.set()
        self.assertIn("nothing was heard", hub.wait("closed unreachable")[0])
        self.assertIn("nothing was heard", agent.wait("closed unreachable", at)[0])
        chaos.cut_all()
        chaos.silent.clear()
        agent.wait("up ", at, timeout=40)

    def test_heartbeats_keep_a_silent_session(self):
        times = ("--heartbeat-ms", 100, "--suspect-ms", 400, "--dead-ms", 800)
        hub = self.hub(*times)
        agent = self.agent(None, *times)
        agent.wait("up ")
        self.until(lambda: hub.stats()["beats"] >= 20)
        self.assertEqual(agent.count("closed") + hub.count("closed"), 0)

    def test_an_agent_that_was_stopped_for_long_comes_back(self):
        times = ("--heartbeat-ms", 200, "--suspect-ms", 600, "--dead-ms", 1200)
        hub = self.hub(*times)
        agent = self.agent(None, *times)
        _, at = agent.wait("up ")
        agent.process.send_signal(signal.SIGSTOP)
        hub.wait("closed unreachable")
        agent.process.send_signal(signal.SIGCONT)
        agent.wait("up ", at, timeout=40)

    def test_a_goodbye_is_not_answered_at_once(self):
        hub = self.hub()
        agent = self.agent()
        _, at = agent.wait("up ")
        hub.say("bye 300")
        _, at = agent.wait("closed unreachable the other side left: told to", at)
        agent.wait("up ", at)

    # ---- peers misbehave

    def test_a_man_in_the_middle_with_his_own_key_fails_at_message_one(self):
        """S-01."""
        self.hub()
        right = self.key
        evil = self.hub()  # another key, on self.port
        agent = self.agent(key=right)
        agent.wait("trouble ")
        evil.wait("closed protocol a peer that does not know our key")
        self.assertEqual(agent.count("up "), 0)
        self.assertEqual(evil.stats()["handshakes"], 0)  # it cost no exchange of keys

    def test_a_replayed_handshake_makes_no_session(self):
        """S-01, S-04."""
        hub = self.hub("--handshake-ms", 1000)
        chaos = self.chaos()
        self.agent(chaos.port).wait("up ")
        self.until(lambda: len(chaos.recorded[0]["up"]) > FIRST + 20)
        said = chaos.recorded[0]["up"]
        for i in range(200):
            s = self.connect()
            s.sendall(said[:FIRST])
            if i % 2 == 1:  # the answer is another one, so that the rest says nothing
                self.assertEqual(len(s.recv(SECOND, socket.MSG_WAITALL)), SECOND)
                s.sendall(said[FIRST:])
                while s.recv(4096):
                    pass
        self.until(lambda: hub.stats()["links"] == 1)  # the others had their deadline
        stats = hub.stats()
        self.assertEqual(stats["ups"], 1)
        self.assertEqual(stats["closed"], 200)

    def test_a_beginning_and_then_silence_ends_with_the_deadline(self):
        """S-02, X-48."""
        hub = self.hub("--handshake-ms", 1000)
        chaos = self.chaos()
        self.agent(chaos.port).wait("up ")
        self.until(lambda: len(chaos.recorded[0]["up"]) > FIRST + 20)
        said = chaos.recorded[0]["up"]
        sockets = []
        for n in (0, 1, 2, 50, FIRST - 1, FIRST, FIRST + 1, FIRST + 2, FIRST + 10):
            sockets.append(self.connect())
            sockets[-1].sendall(said[:min(n, FIRST)])
            if n > FIRST:
                self.assertEqual(len(sockets[-1].recv(SECOND, socket.MSG_WAITALL)), SECOND)
                sockets[-1].sendall(said[FIRST:n])
        for s in sockets:
            while s.recv(4096):
                pass
        self.until(lambda: hub.count("closed deadline") == len(sockets))

    def test_a_byte_now_and_then_does_not_hold_the_door(self):
        hub = self.hub("--handshake-ms", 1000)
        s = self.connect()
        s.settimeout(0.05)
        with self.assertRaises(OSError):
            for _ in range(int(400 * PATIENCE)):
                s.sendall(b"\1")
                try:
                    if s.recv(10) == b"":
                        raise ConnectionResetError
                except TimeoutError:
                    pass
        hub.wait("closed deadline")

    def test_a_peer_that_never_reads_is_left_and_the_others_are_served(self):
        hub = self.hub()
        deaf = self.agent()
        deaf.wait("up ")
        deaf.process.send_signal(signal.SIGSTOP)
        before = hub.stats()["rss_kib"]
        for _ in range(60):  # 60 x 20 x 60 kB: far more than socket buffers and queue take
            hub.say("flood 20")
        hub.wait("closed limit")
        self.assert_agents_welcome()
        self.assertLess(hub.stats()["rss_kib"] - before, 30000 * PATIENCE)

    def test_4000_silent_connections_keep_nobody_out(self):
        """X-48."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 8200:
            self.fail(f"the limit on descriptors is {hard}; this test needs 8200: ulimit -n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (8200, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        hub = self.hub("--handshake-ms", 30000)
        before = hub.stats()["rss_kib"]
        sockets = []
        self.addCleanup(lambda: [s.close() for s in sockets])
        for i in range(4000):  # 127.0.0.x: one address may not have them all
            s = socket.socket()
            s.setblocking(False)
            s.bind((f"127.0.0.{2 + i % 5}", 0))
            s.connect_ex(("127.0.0.1", self.port))
            sockets.append(s)
            if i % 100 == 99:  # the listen backlog is 128
                self.until(lambda: hub.stats()["accepted"] >= len(sockets) - 20, timeout=60)
        self.until(lambda: hub.stats()["accepted"] == 4000, timeout=60)
        stats = hub.stats()
        self.assertEqual(stats["at_door"], 4000)
        if PATIENCE == 1:  # a sanitizer's memory is its own
            self.assertLess(stats["rss_kib"] - before, 4000 * 5)
        for _ in range(3):
            self.assert_agents_welcome()
        self.assertEqual(hub.stats()["at_door"], 4000)

    def test_storms_of_fin_and_rst_leave_the_listener_alive(self):
        hub = self.hub()
        for i in range(2000):
            s = socket.create_connection(("127.0.0.1", self.port), timeout=20 * PATIENCE)
            if i % 3 == 0:
                s.sendall(os.urandom(i % 300))
            if i % 2 == 0:
                s.shutdown(socket.SHUT_WR)
            if i % 5 != 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        self.until(lambda: hub.stats()["links"] == 0, timeout=60)
        self.assert_agents_welcome()

    def test_without_descriptors_it_waits_and_goes_on(self):
        hub = self.hub("--handshake-ms", 60000, nofile=160)
        sockets = [self.connect() for _ in range(150)]
        self.until(lambda: hub.stats()["refused"] > 0)
        stats = hub.stats()
        self.assertLess(stats["links"], 100)  # it keeps some to spare
        self.assertLess(hub.stats()["cpu_ms"] - stats["cpu_ms"], 1000)  # and does not spin
        for s in sockets:
            s.close()
        self.until(lambda: hub.stats()["links"] == 0)
        self.assert_agents_welcome()

    def test_a_fleet_comes_at_once_and_all_are_asked(self):
        hub = self.hub()
        swarm = self.agent(None, "--n", 300)
        swarm.wait("up 300 ", timeout=60)
        hub.say("all")
        hub.wait("all 300 ")
        stats = hub.stats()
        self.assertEqual(stats["up"], 300)
        self.assertEqual(stats["at_door"], 0)
        hub.say("close")
        _, at = swarm.wait("closed ")
        swarm.wait("up 300 ", at, timeout=60)  # with jitter, all come back

    def test_nng_sees_one_cpu(self):
        hub = self.hub()
        with open(f"/proc/{hub.process.pid}/status", encoding="ascii") as status:
            threads = int(status.read().split("Threads:")[1].split()[0])
        self.assertLessEqual(threads, 12)  # 11, and a sanitizer may have one of its own


if __name__ == "__main__":
    unittest.main()
