"""Apps in cluster mode under load, for tests of reload, scale, and what survives the death of a part of pmd."""

import contextlib
import os
import shutil

from loads import SOAK, Load, nodes
from pmdtest import APPS, PmdTestCase, helper
from ports import free_port

ROUNDS = 50 if SOAK else 2
REQUESTS = 10000 if SOAK else 400  # at least so many in each account

# What a test puts in the place of a working web.js: none of these may take its place.
BROKEN = {
    "throws at boot": "console.log('starting'); throw new Error('broken release');",
    "exits with a status": "console.error('no database'); process.exit(7);",
    "never listens": "console.log('thinking'); setInterval(() => {}, 1000);",
    "answers 500": """require('http').createServer((q, r) => { r.statusCode = 500; r.end('no'); })
        .listen(PORT, '127.0.0.1');""",
    "listens and dies": """const web = require('http').createServer((q, r) => r.end('bad'));
        web.listen(PORT, '127.0.0.1', () => setTimeout(() => { console.log('dying'); process.exit(9); }, 50));""",
}


class ClusterTestCase(PmdTestCase):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)

    def start(self, node=None, mode="naive", instances=2, where=None, wait=True, check=True, **keys):
        """An app named api on self.port: web.js in cluster mode. wait: until each worker has answered."""
        shutil.copy(os.path.join(APPS, "cluster", "web.js"), self.path("web.js"))
        done = self.start_app(script=self.path("web.js"), args=[mode, where or f"127.0.0.1:{self.port}"],
                              interpreter=node or next(reversed(nodes().values())), instances=instances, exec_mode="cluster", check=check,
                              **keys)
        if wait:
            self.wait(lambda: self.workers() == set(self.pids()), message=lambda: f"answers of {self.pids()}")
        return done

    def workers(self):
        """Who answers."""
        with Load(self.address, count=40) as load:
            return {int(worker) for worker in load.wait_for(40)["workers"]}

    def others(self, body):
        """body() as sub-tests, with a Python and a C server that know nothing of pmd."""
        self.write("index.html", "hello\n")
        programs = {"python": ("/usr/bin/python3", ["-m", "http.server", "--bind", "127.0.0.1", str(self.port)]),
                    "c": (helper("listeners"), ["serve", str(self.port)])}
        for name, (script, args) in programs.items():
            with self.subTest(program=name):
                self.start_app(script=script, args=args, interpreter="none", instances=2, exec_mode="cluster")
                body()
            self.pmctl("delete", "api", check=False)

    def start_app(self, check=True, **keys):
        """Any app named api. It proves itself for a short while only, so that tests are fast."""
        app = {"name": "api", "min_uptime": 100, "drain_timeout": 20000, **keys}
        return self.pmctl("start", self.write("api.json", {"apps": [app]}), check=check, timeout=60)

    def start_broken(self, what):
        """Puts a release that does not work in the place of web.js."""
        self.write("web.js", BROKEN[what].replace("PORT", str(self.port)))

    def pids(self):
        return sorted(a["pid"] for a in self.instances("api"))

    @contextlib.contextmanager
    def load(self, keep, requests=REQUESTS, rate=2000, **options):
        """Load on the app; at the end at least so many requests, of which none may have failed. Rate 0 is all that it
        can take, which is a test of the machine as well."""
        with Load(self.address, keep, rate=rate, **options) as load:
            load.wait_for(20)
            yield load
            load.wait_for(requests)
            account = load.finish()
        self.account = account
        if SOAK:
            print(f"{self.id()}: keep={keep}: {account['failures']} of {account['requests']} requests failed", flush=True)
        self.assertEqual(account["failures"], 0, account)

    def reload_rounds(self, load, rounds=ROUNDS):
        for _ in range(rounds):
            before = self.pids()
            self.pmctl("reload", "api", timeout=60)
            after = self.pids()
            self.assertFalse(set(before) & set(after), f"{before} -> {after}")
            load.wait_for(load.now()["requests"] + 50)

    def each_way(self, body, modes=("naive",), only=None):
        """body(node, mode, keep) as sub-tests: nodes, modes, and connections that are kept or not."""
        for i, (name, node) in enumerate(nodes().items()):
            for j, mode in enumerate(modes):
                for keep in (False, True):
                    # In CI every second one: each two of the three still meet.
                    if (only is None or name in only) and (SOAK or only or (i + j + keep) % 2 == 0):
                        with self.subTest(node=name, mode=mode, keep=keep):
                            body(node, mode, keep)
                        self.pmctl("delete", "api", check=False)


__all__ = ["BROKEN", "ClusterTestCase", "Load", "REQUESTS", "ROUNDS", "SOAK", "helper", "nodes"]
