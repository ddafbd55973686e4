"""What tests of reloads that are disturbed share: an app whose next release does what a test wants, and looks at it."""

import os
import socket
import subprocess
import urllib.request

from faults import FaultCase
from pmdtest import PATIENCE, alive, require
from ports import free_port

SERVER = """
const fs = require('fs');
const how = process.env.HOW || (process.env.LANG === 'throw' && 'throw') || fs.readFileSync(`${__dirname}/how`, 'utf8').trim();
if (how === 'throw' || process.env.THROW_AT === process.env.NODE_APP_INSTANCE) throw new Error('broken release');
if (how === 'deaf') process.on('SIGINT', () => {});
if (how === 'mute') setInterval(() => fs.writeFileSync(`${__dirname}/mute.${process.pid}`, ''), 10);
else setTimeout(() => require('http').createServer((req, res) => {
	const ms = Number(req.url.split('?')[1] || 0);
	res.setHeader('X-Worker', String(process.pid));
	res.setHeader('X-Release', process.env.RELEASE || '');
	setTimeout(() => res.end('ok'), ms);
}).listen(Number(process.env.PORT), '127.0.0.1'), Number(process.env.LATE || 0));
"""


class ReloadCase(FaultCase):
    """self.how(word): what the next process of the app named api does: "good", "throw", "mute" (it never listens),
    "deaf" (good, but nothing except SIGKILL ends it)."""

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.node("server.js", SERVER)
        self.how("good")

    def how(self, word):
        self.write("how.new", word)
        os.rename(self.path("how.new"), self.path("how"))

    def api(self, instances=2, **keys):
        env = {"PORT": self.port, **keys.pop("env", {})}
        return {"name": "api", "script": self.path("server.js"), "interpreter": require("node"), "exec_mode": "cluster",
                "instances": instances, "min_uptime": 100, "drain_timeout": 60000, "listen_timeout": 60000,
                "env": {k: str(v) for k, v in env.items()}, **keys}

    def start_api(self, instances=2, **keys):
        self.start([self.api(instances, **keys)])
        self.wait_open()
        self.wait(lambda: self.workers() >= set(self.pids()), message=lambda: f"answers of {self.pids()}")

    # --- what is seen -----------------------------------------------------------------------------

    def ask(self, path="/"):
        """(worker, release) that answered."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10 * PATIENCE) as answer:
            answer.read()
            return int(answer.headers["X-Worker"]), answer.headers["X-Release"]

    def wait_open(self):
        def is_open():
            with socket.socket() as s:
                return s.connect_ex(self.address) == 0
        self.wait(is_open, message="somebody who listens")

    def workers(self, n=30):
        return {self.ask()[0] for _ in range(n)}

    def releases(self, n=30):
        return {self.ask()[1] for _ in range(n)}

    def pids(self):
        return [a["pid"] for a in sorted(self.instances("api"), key=lambda a: a["pm_id"])]

    def states(self):
        return [a["pm2_env"]["status"] for a in self.instances("api")]

    def servers(self):
        """Every live process of the app, also those that commands do not show."""
        return sorted(p.pid for p in self.processes() if self.path("server.js") in p.argv and not p.dead)

    def wait_servers(self, n):
        return self.wait(lambda: (lambda s: s if len(s) == n else None)(self.servers()), 30,
                         lambda: f"{n} processes: {self.servers()}")

    def assert_port_is_free(self):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(self.address)
            s.listen()

    def assert_whole(self, instances=2):
        """At rest: one process for each instance, all online, all answering, and nobody else."""
        def rest():
            table = [v for v in self.table().values() if v[0] == "api"]
            pids = sorted(v[1] for v in table)
            return len(table) == instances and {v[2] for v in table} == {"online"} and pids == self.servers()
        self.wait(rest, 30, lambda: f"rest: {self.table()} and {self.servers()}")
        self.wait_open()
        self.wait(lambda: self.workers() == set(self.pids()), message=lambda: f"answers of {self.pids()}")
        self.assert_one_each()
        for a in self.instances("api"):
            self.wait(lambda a=a: self.read(a["pm2_env"]["pm_pid_path"]).strip() == str(a["pid"]),
                      message="the pid file")

    # --- moments of a reload ----------------------------------------------------------------------

    def begin(self, *args):
        """A command that goes on; finish() gives (exit status, what it said)."""
        return self.pmctl_popen(*map(str, args), text=True)

    def finish(self, child, timeout=60):
        try:
            out, err = child.communicate(timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.fail(f"{child.args}: no answer")
        return child.returncode, out + err

    def starting(self, *args, n=1, how="mute"):
        """A reload whose first n successors are there and never listen."""
        self.how(how)
        before = set(self.servers())
        child = self.begin(*(args or ("reload", "api")))
        def began():
            return len([p for p in set(self.servers()) - before if os.path.exists(self.path(f"mute.{p}"))]) >= n
        self.wait(began, 30, "a successor")
        return child

    def retiring(self, command=("reload", "api")):
        """A command whose first old worker finishes a request that takes long; the connection of that."""
        old = self.pids()
        slow = self.retiring_request()
        child = self.begin(*command)
        self.wait(lambda: any(p not in self.pids() and alive(p) for p in old), 30, "a retiree")
        return child, slow

    def retiring_request(self):
        """A request whose answer takes an hour: its connection, once a worker has it."""
        n = len(self.connections())
        connection = socket.create_connection(self.address)
        self.addCleanup(connection.close)
        connection.sendall(b"GET /?3600000 HTTP/1.1\r\nHost: api\r\n\r\n")
        self.wait(lambda: len(self.connections()) > n, 20, "the slow request")
        return connection

    def connections(self):
        """Established connections on our port that a worker has accepted."""
        port = f":{self.port:04X}"
        rows = [line.split() for line in self.read("/proc/net/tcp").splitlines()[1:]]
        return [r for r in rows if r[1].endswith(port) and r[3] == "01" and r[9] != "0"]


__all__ = ["ReloadCase"]
