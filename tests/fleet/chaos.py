"""A TCP proxy on loopback that does to a connection what networks do: delays, cuts, corrupts, repeats, exchanges, goes
silent. It runs in threads of the test and notes what went over."""

import socket
import threading
import time


class Chaos:
    """Forwards to a port. What it does is decided for each connection when it comes, by `plan`:

    delay=S           each chunk waits so long
    cut=N             the connection is reset after N bytes (counted over both ways)
    flip=(way, N)     one bit of the Nth byte of a way ("up" is from the dialler) is inverted
    repeat=(way, N)   the Nth chunk of a way is sent twice
    swap=(way, N)     the Nth chunk of a way is exchanged with the next
    drop=(way, N)     the Nth chunk of a way is left out
    trickle=S         one byte at a time, with a pause
    """

    def __init__(self, port):
        self.target = port
        self.plan = {}
        self.silent = threading.Event()  # both ways of all connections: nothing goes over, nothing is closed
        self.recorded = []               # of each connection: {"up": bytes, "down": bytes}
        self.open = []
        self.closing = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for s in (near, far):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            record = {"up": b"", "down": b""}
            self.recorded.append(record)
            self.open += [near, far]
            plan, state = dict(self.plan), {"n": 0}
            for way, src, dst in (("up", near, far), ("down", far, near)):
                threading.Thread(target=self._pump, args=(way, src, dst, plan, state, record), daemon=True).start()

    def _chunks(self, way, src, plan, record):
        """What came, as it is to be sent on."""
        held, number = None, 0
        while True:
            chunk = src.recv(65536)
            if not chunk:
                if held is not None:
                    yield held
                return
            at = len(record[way])
            record[way] += chunk
            if plan.get("flip", ("", 0))[0] == way and at <= plan["flip"][1] < at + len(chunk):
                bent = bytearray(chunk)
                bent[plan["flip"][1] - at] ^= 1 << plan["flip"][1] % 8
                chunk = bytes(bent)
            here = {what: plan.get(what) == (way, number) for what in ("repeat", "swap", "drop")}
            number += 1
            if here["swap"]:
                held = chunk
                continue
            if not here["drop"]:
                yield chunk
            if here["repeat"]:
                yield chunk
            if held is not None:
                yield held
                held = None

    def _pump(self, way, src, dst, plan, state, record):
        try:
            for chunk in self._chunks(way, src, plan, record):
                if plan.get("delay"):
                    time.sleep(plan["delay"])
                while self.silent.is_set() and not self.closing:
                    time.sleep(0.01)
                if "cut" in plan and state["n"] + len(chunk) >= plan["cut"]:
                    dst.sendall(chunk[:max(plan["cut"] - state["n"], 0)])
                    self._reset(src)
                    self._reset(dst)
                    return
                state["n"] += len(chunk)
                if plan.get("trickle"):
                    for byte in chunk:
                        dst.sendall(bytes([byte]))
                        time.sleep(plan["trickle"])
                else:
                    dst.sendall(chunk)
            dst.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(src)
            self._reset(dst)

    @staticmethod
    def _reset(s):
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut_all(self):
        for s in self.open:
            self._reset(s)
        self.open = []

    def close(self):
        self.closing = True
        self.listener.close()
        self.cut_all()
