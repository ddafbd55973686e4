"""Constant load beside a test, by tests/helpers/load.c, and what became of its requests."""

import json
import os
import select
import signal
import subprocess
import time

from pmdtest import PATIENCE, Popen, helper

SOAK = os.environ.get("PMD_SOAK") == "1"
SOURCE = os.environ.get("PMD_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NODES = os.environ.get("PMD_NODES") or os.path.join(SOURCE, "build", "nodes")


def nodes():
    """{name: program} of the nodes to test with, which tests/nodes makes: three in CI (one where pmd, but no node, has a
    sanitizer), all with --soak, or those named in PMD_TEST_NODES."""
    names = ["debian", "16", "18", "20", "22", "24", "newest"] if SOAK else ["debian", "20", "newest"]
    names = ["newest"] if PATIENCE > 1 else names
    names = os.environ.get("PMD_TEST_NODES", "").split() or names
    found = {name: os.path.join(NODES, name, "bin", "node") for name in names}
    for name, path in found.items():
        if not os.path.exists(path):
            raise RuntimeError(f"node {name} is missing: run tests/nodes{' --all' if SOAK else ''}")
    return found


class Load:
    """
    Load on an address, (host, port) or a path, from the moment that somebody accepts there until finish(). within: what
    the generator is started by, where it is to run elsewhere.

    with Load(address, keep=True) as load:
        ...
        account = load.finish()
    """

    def __init__(self, address, keep=False, connections=8, rate=0, path="/", count=0, within=()):
        where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        options = ["-c", connections, "-r", rate, "-p", path, "-n", count, "-w", int(30000 * PATIENCE)]
        # Its signals wait until it takes them.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
        self.process = Popen([*within, helper("load"), *(["-k"] if keep else []), *map(str, options), where],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _account(self):
        deadline = time.monotonic() + 60 * PATIENCE
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("the load generator says nothing")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"the load generator has ended: {self.process.wait()}")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def now(self):
        """The account so far."""
        self.process.send_signal(signal.SIGUSR1)
        return self._account()

    def wait_for(self, requests):
        """Until so many requests have been answered or have failed."""
        deadline = time.monotonic() + (60 + requests / 100) * PATIENCE
        while (account := self.now())["requests"] < requests:
            if time.monotonic() > deadline:
                raise AssertionError(f"{account['requests']} of {requests} requests in time: {account}")
            select.select([], [], [], 0.02)
        return account

    def finish(self):
        """Ends it behind the requests that are under way, and returns the whole account."""
        self.process.send_signal(signal.SIGTERM)
        account = self._account()
        self.process.wait()
        return account
