"""A coordinator played by tests/helpers/coordinator.c, and a wire that can be cut, for tests of the agent's uplink."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import uuid

from pmdtest import helper

ALICE = {"operator": "alice", "role": "operator"}
ROOT = {"operator": "mallory", "role": "admin"}

# Verbs as in proto/pm.proto.
START, STOP, RESTART, RELOAD, DELETE, SCALE, SIGNAL, SEND, RESET, FLUSH = range(1, 11)
REOPEN, SAVE, RESURRECT, CLEARDUMP, KILL, UPGRADE, PING, AGENT_STATUS, FAIL_POINT = range(11, 20)
START_OR_RESTART, START_OR_RELOAD, FLEET = range(20, 23)

# Codes as in proto/error.h.
OK, DENIED, DEADLINE, UNKNOWN = 0, 5, 15, 16


class Coordinator:
    """One that does what the test says. `test` waits for what it sees."""

    def __init__(self, test, port=0):
        self.test, self.port = test, port
        self.dir = os.path.join(test.dir, "coordinator")
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.seen, self._changed = [], threading.Condition()
        self.child, self.last_id = None, 1000
        self.start()
        test.addCleanup(self.kill)

    def start(self):
        self.child = subprocess.Popen([helper("coordinator"), self.dir, str(self.port)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, env=self.test.environment())
        threading.Thread(target=self._read, args=(self.child.stdout,), daemon=True).start()
        self.port = self.wait("listening")["port"]

    def kill(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child.stdin.close()
        self.child = None

    def _read(self, out):
        with out:
            for line in out:
                with self._changed:
                    self.seen.append(json.loads(line))
                    self._changed.notify_all()

    def mark(self):
        """A place in what was seen, for `after`."""
        with self._changed:
            return len(self.seen)

    def find(self, saw, after=0, where=lambda event: True):
        with self._changed:
            return [e for e in self.seen[after:] if e["saw"] == saw and where(e)]

    def wait(self, saw, after=0, where=lambda event: True, timeout=20):
        """The first event of that kind, as soon as there is one."""
        return self.test.wait(lambda: self.find(saw, after, where)[:1], timeout,
                              lambda: f"{saw} after {after}, of {len(self.seen)}: {self._recent()}")[0]

    def _recent(self):
        """What was seen last, without what comes all the time."""
        return [str(e)[:300] for e in self.seen if "heartbeat" not in e.get("envelope", {})][-12:]

    def order(self, do, **what):
        self.child.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self.child.stdin.flush()

    def token(self, port=None):
        """The path of a file with a new token."""
        mark = self.mark()
        self.order("token", port=port or self.port)
        text = self.wait("token", mark)["text"]
        return self.test.write(f"token-{uuid.uuid4().hex[:8]}", text + "\n", 0o600)

    # --- requests -----------------------------------------------------------------------------------

    def send(self, actor=None, **envelope):
        """Sends an envelope and returns its number, which no other session has had."""
        mark, self.last_id = self.mark(), self.last_id + 1
        envelope.setdefault("id", self.last_id)
        if actor is not None:
            envelope["actor"] = actor
        self.order("send", envelope=envelope)
        return self.wait("sent", mark, lambda e: e["id"] == envelope["id"])["id"]

    def answers(self, number, timeout=20):
        """All that is said to a request, the last one last."""
        def last(e):
            env = e["envelope"]
            body = env.get("result") or env.get("status_list")
            return env["re"] == number and ("error" in env or (body is not None and not body["more"]))
        self.wait("envelope", where=last, timeout=timeout)
        return [e["envelope"] for e in self.find("envelope", where=lambda e: e["envelope"]["re"] == number)]

    def ask(self, actor=ALICE, timeout=20, **envelope):
        """The last of the answers."""
        return self.answers(self.send(actor, **envelope), timeout)[-1]

    def command(self, verb, *targets, actor=ALICE, timeout=20, **what):
        return self.ask(actor, timeout, command={"verb": verb, "targets": [{"text": t} for t in targets], **what})

    def status(self, actor=ALICE, **what):
        """Every instance."""
        number = self.send(actor, status_request=what)
        return [i for env in self.answers(number) for i in env.get("status_list", {}).get("instances", [])]

    def open(self, actor=ALICE, **what):
        mark = self.mark()
        if actor is not None:
            what["actor"] = actor
        self.order("open", open=what)
        return self.wait("opened", mark)["stream"]

    def lines(self, stream):
        return [bytes.fromhex(line["text"]).decode() for e in self.find("data", where=lambda e: e["stream"] == stream)
                for line in (e["data"].get("lines") or {"lines": []})["lines"]]


def varint(n):
    out = b""
    while n > 0x7f:
        out, n = out + bytes([n & 0x7f | 0x80]), n >> 7
    return out + bytes([n])


def field(number, value):
    """A field of a message: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def order_uplink(home, word):
    """What `pmctl join` and `leave` say to the agent in the end: "start" or "stop"."""
    def record(envelope):
        return len(envelope).to_bytes(2, "big") + envelope
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(20)
        agent.connect(os.path.join(home, "agent.sock"))
        agent.sendall(record(field(1, 1) + field(10, field(1, 1) + field(2, 1) + field(3, b"test"))) +
                      record(field(1, 2) + field(20, field(2, FLEET) + field(11, word.encode()))))
        with agent.makefile("rb") as answers:
            said = [answers.read(int.from_bytes(answers.read(2), "big")) for _ in range(2)]
    # Welcome, and then a status, which has `re` and field 25.
    assert said[1].startswith(field(2, 2) + varint(25 << 3 | 2)), said


class Wire:
    """Carries bytes to a port and back; ends each connection after so many of both directions."""

    def __init__(self, test, to):
        self.to, self.limit, self.n_cut = to, None, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._open = []
        test.addCleanup(self.close)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self.listener.close()
        self.cut()

    def cut(self):
        """Ends what is open now."""
        for pair in self._open[:]:
            self._end(pair)

    @staticmethod
    def _end(pair):
        for sock in pair:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            self._open.append((near, far))
            threading.Thread(target=self._serve, args=((near, far), [self.limit]), daemon=True).start()

    def _serve(self, pair, left):
        other = threading.Thread(target=self._carry, args=(pair[1], pair[0], pair, left), daemon=True)
        other.start()
        self._carry(pair[0], pair[1], pair, left)
        other.join()
        self._open.remove(pair)
        for sock in pair:
            sock.close()

    def _carry(self, a, b, pair, left):
        with contextlib.suppress(OSError):
            while left[0] != 0:
                some = a.recv(65536)
                if not some:
                    break
                if left[0] is not None:
                    some = some[:left[0]]
                    left[0] -= len(some)
                b.sendall(some)
                self.n_cut += left[0] == 0
        self._end(pair)
