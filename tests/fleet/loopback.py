"""A fleet on loopback: a real coordinator, an operator called alice, and agents in homes of their own, each end behind
a proxy that does what networks do."""

import os
import socket
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import pmdtest  # noqa: E402
from chaos import Chaos  # noqa: E402
from pmdtest import BUILD  # noqa: E402


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class LoopbackTestCase(pmdtest.PmdTestCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.joined = []
        self.port = free_port()
        coordinator = os.path.join(self.dir, "coordinator")
        os.mkdir(coordinator, 0o700)
        self.log_of_coordinator = os.path.join(self.dir, "coordinator.log")
        self.coordinator_argv = [os.path.join(BUILD, "pmd"), "coordinator", "--home", coordinator,
                                 "--listen", f"tcp://127.0.0.1:{self.port}", "--heartbeat-ms", "1000"]
        if os.geteuid() == 0:
            os.chown(coordinator, 65534, 65534)
            self.coordinator_argv += ["--user", "nobody"]
        self.start_coordinator()
        self.agent_wire, self.alice_wire = self.wire(), self.wire()
        self.alice_home = os.path.join(self.dir, "alice")
        os.mkdir(self.alice_home, 0o700)
        token = self.run_command([os.path.join(BUILD, "pmd"), "coordinator", "token", "--home", coordinator,
                                  "--role", "admin", "--name", "alice",
                                  "--advertise", f"127.0.0.1:{self.alice_wire.port}"]).out
        self.alice("login", "--token-file", self.write("op.token", token))

    def start_coordinator(self, env=None):
        with open(self.log_of_coordinator, "wb") as log:
            self.coordinator = self.popen(self.coordinator_argv, env=env, stderr=log)
        self.wait(lambda: "coordinator.start" in self.read(self.log_of_coordinator), message="the coordinator")

    def stop_coordinator(self):
        self.coordinator.terminate()
        self.coordinator.wait(20 * pmdtest.PATIENCE)

    def tearDown(self):
        for pmctl in self.joined:
            pmctl("kill", check=False)
        super().tearDown()

    def wire(self):
        wire = Chaos(self.port)
        self.addCleanup(wire.close)
        return wire

    def explain(self):
        super().explain()
        print("--- coordinator\n" + self.read(self.log_of_coordinator)[-4000:])

    def of_alice(self, env=None):
        return {"PMD_HOME": self.alice_home, "HOME": self.alice_home, **(env or {})}

    def alice(self, *args, **kwargs):
        return self.pmctl(*args, env=self.of_alice(), **kwargs)

    def token(self, *args):
        text = self.alice("token", "create", "--address", f"127.0.0.1:{self.agent_wire.port}", *args).out
        return self.write(f"{uuid.uuid4().hex}.token", text, 0o600)

    def agent(self, name, app=None, **env):
        """An agent in a home of its own that has joined under that name; returns its pmctl."""
        home = os.path.join(self.dir, "home-" + name)
        os.mkdir(home, 0o700)

        def pmctl(*args, **kwargs):
            return self.pmctl(*args, env={"PMD_HOME": home, **env}, **kwargs)

        self.joined.append(pmctl)
        if app is not None:
            pmctl("start", self.write(f"{name}.json", {"apps": [app]}))
        pmctl("join", "--token-file", self.token(), "--name", name)
        self.wait(lambda: self.nodes().get(name, {}).get("state") == "online", message=f"{name} is online")
        return pmctl

    def nodes(self):
        return {node["name"]: node for node in self.alice("node", "list", "--json").json()["nodes"]}
