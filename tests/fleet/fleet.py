"""A fleet of real agents and a real coordinator, each on a host of its own: network namespaces on one bridge.

Needs root, as what makes namespaces. Every namespace and process is ended with the test.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import pmdtest  # noqa: E402
from pmdtest import BUILD, PATIENCE  # noqa: E402

PORT = 7443


def ip(*args):
    subprocess.run([pmdtest.require("ip"), *args], check=True, capture_output=True, text=True)


class Host:
    """One machine: a namespace with an address, a home, a directory to work in."""

    def __init__(self, test, name, number):
        self.test, self.name = test, name
        self.namespace = f"pmd{test.tag}{number}"
        self.address = f"10.{test.net}.0.{number}"
        self.dir = os.path.join(test.dir, name)
        self.home = os.path.join(self.dir, "home")
        os.mkdir(self.dir, 0o755)
        os.mkdir(self.home, 0o700)
        self.link = f"v{test.tag}{number}"

    def up(self):
        ip("netns", "add", self.namespace)
        self.test.addCleanup(self._down)
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        ip("link", "set", self.link, "netns", self.test.bridge)
        self.inside("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        for dev in ("lo", "eth0"):
            self.inside("ip", "link", "set", dev, "up")
        subprocess.run(["ip", "netns", "exec", self.test.bridge, "ip", "link", "set", self.link, "master", "br0", "up"],
                       check=True)

    def _down(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("netns", "del", self.namespace)

    def argv(self, *args):
        return ["ip", "netns", "exec", self.namespace, *map(str, args)]

    def inside(self, *args):
        subprocess.run(self.argv(*args), check=True, capture_output=True, text=True)

    def environment(self, env=None):
        return {"PMD_HOME": self.home, "HOME": self.dir, **(env or {})}

    def pmctl(self, *args, env=None, **kwargs):
        return self.test.run_command(self.argv(os.path.join(BUILD, "pmctl"), *args), env=self.environment(env),
                                     cwd=self.dir, **kwargs)

    def popen(self, *args, env=None, **kwargs):
        return self.test.popen(self.argv(*args), env=self.environment(env), cwd=self.dir, **kwargs)

    def cut(self):
        """The cable is pulled: nobody hears that, packets are lost in silence."""
        subprocess.run(["ip", "netns", "exec", self.test.bridge, "ip", "link", "set", self.link, "nomaster"], check=True)

    def mend(self):
        subprocess.run(["ip", "netns", "exec", self.test.bridge, "ip", "link", "set", self.link, "master", "br0", "up"],
                       check=True)


class FleetTestCase(pmdtest.PmdTestCase):
    """A coordinator, `alice` with the role admin on a host of hers, and agents that join() makes."""

    HEARTBEAT_MS = 300

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            raise RuntimeError("tests of a fleet make network namespaces: run them as root")
        os.chmod(self.dir, 0o755)
        self.tag = uuid.uuid4().hex[:6]
        self.net = 40 + os.getpid() % 180
        self.bridge = f"pmd{self.tag}br"
        ip("netns", "add", self.bridge)
        self.addCleanup(lambda: subprocess.run(["ip", "netns", "del", self.bridge], capture_output=True))
        for args in (("link", "add", "br0", "type", "bridge"), ("link", "set", "br0", "up"), ("link", "set", "lo", "up")):
            subprocess.run(["ip", "netns", "exec", self.bridge, "ip", *args], check=True)
        self.hosts = {}
        self.coordinator_host = self.host("coordinator")
        self.alice = self.host("alice")
        self.coordinator_home = os.path.join(self.coordinator_host.dir, "coordinator")
        os.mkdir(self.coordinator_home, 0o700)
        os.chown(self.coordinator_home, 65534, 65534)
        self.coordinator = None
        self.start_coordinator()
        token = self.write("op.token", self.run_command(self.coordinator_host.argv(
            os.path.join(BUILD, "pmd"), "coordinator", "token", "--home", self.coordinator_home, "--role", "admin",
            "--name", "alice")).out)
        self.fleet("login", "--token-file", token)

    def host(self, name):
        host = self.hosts[name] = Host(self, name, len(self.hosts) + 1)
        host.up()
        return host

    def tearDown(self):
        # The agents of all hosts are ours to end: what outlives that is told by the class above.
        for host in self.hosts.values():
            if os.listdir(host.home):
                host.pmctl("kill", check=False)
        if self.coordinator is not None and self.coordinator.poll() is None:
            self.stop_coordinator()
        super().tearDown()

    def start_coordinator(self):
        log = open(os.path.join(self.dir, "coordinator.log"), "ab")
        self.addCleanup(log.close)
        self.coordinator = self.coordinator_host.popen(
            os.path.join(BUILD, "pmd"), "coordinator", "--home", self.coordinator_home, "--user", "nobody",
            "--listen", f"tcp://{self.coordinator_host.address}:{PORT}", "--heartbeat-ms", self.HEARTBEAT_MS,
            stderr=log)
        self.wait(lambda: "coordinator.start" in self.read(log.name), message="the coordinator's start")

    def stop_coordinator(self, kill=False):
        (self.coordinator.kill if kill else self.coordinator.terminate)()
        self.coordinator.wait(timeout=20 * PATIENCE)
        open(os.path.join(self.dir, "coordinator.log"), "w").close()

    def explain(self):
        super().explain()
        print("--- coordinator\n" + self.read(os.path.join(self.dir, "coordinator.log"))[-4000:])
        for host in self.hosts.values():
            text = self.read(os.path.join(host.home, "pmd.log"))
            if text:
                print(f"--- {host.name}\n{text[-3000:]}")

    def fleet(self, *args, **kwargs):
        """pmctl as alice types it."""
        return self.alice.pmctl(*args, **kwargs)

    def token(self, *args):
        return self.write(f"{uuid.uuid4().hex}.token", self.fleet("token", "create", *args).out)

    def join(self, *names, labels="role=web"):
        """New hosts with agents that have joined; an app `api` runs on each."""
        made = []
        for name in names:
            host = self.host(name)
            app = os.path.join(host.dir, "api.py")
            with open(app, "w") as file:
                file.write("import time\nn = 0\nwhile True:\n    n += 1\n"
                           f"    print(f'{name} line {{n}}', flush=True)\n    time.sleep(0.1)\n")
            host.pmctl("start", app, "--name", "api", "--interpreter", "/usr/bin/python3")
            host.pmctl("join", "--token-file", self.token("--label", labels), "--name", name)
            made.append(host)
        self.wait(lambda: self.online(*names), message=lambda: f"online: {self.fleet('node', 'list', check=False)}")
        return made

    def nodes(self):
        return {node["name"]: node for node in self.fleet("node", "list", "--json").json()["nodes"]}

    def online(self, *names):
        nodes = self.nodes()
        return all(name in nodes and nodes[name]["state"] == "online" for name in names)

    def json_lines(self, text):
        return [json.loads(line) for line in text.splitlines()]

    def now(self):
        return time.monotonic()
