"""What tests of a fleet stand on: a real coordinator, an operator who has logged in, and played agents.

The agents are one process, tests/helpers/fleet_agents.c, which answers by a script.
"""

import os
import pwd
import shutil
import socket
import tempfile
import threading

from pmdtest import BUILD, PmdTestCase, helper
from ports import free_port

ADMIN = "admin"


class FleetTestCase(PmdTestCase):
    def setUp(self):
        super().setUp()
        self.config = os.path.join(self.dir, "pmctl", "contexts")
        self.port = free_port()
        self._agents = None
        self.up, self.did, self.slots = 0, [], []
        self._moved = threading.Condition()

    def environment(self, env=None):
        return super().environment({"PMCTL_CONFIG": self.config, **(env or {})})

    # --- the coordinator ---------------------------------------------------------------------------

    def coordinator(self, *args):
        """Starts one; it does not run as root, and its home must not be in a directory of root's alone."""
        self.coordinator_home = tempfile.mkdtemp(prefix="pmd-c")
        self.addCleanup(shutil.rmtree, self.coordinator_home, ignore_errors=True)
        self._coordinator_args = [
            "--home", self.coordinator_home, "--listen", f"tcp://127.0.0.1:{self.port}",
            "--advertise", f"127.0.0.1:{self.port}", *args]
        if os.geteuid() == 0:
            os.chown(self.coordinator_home, pwd.getpwnam("nobody").pw_uid, -1)
            self._coordinator_args += ["--user", "nobody"]
        self.start_coordinator()

    def start_coordinator(self, env=None):
        self.coordinator_process = self.popen([os.path.join(BUILD, "pmd"), "coordinator", *self._coordinator_args],
                                              env=env)
        self.wait(self._listens, message="the coordinator")

    def _listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop_coordinator(self):
        self.coordinator_process.terminate()
        self.coordinator_process.wait(20)

    def operator_token(self, role=ADMIN):
        """A token of the coordinator's own machine, in a file."""
        done = self.run_command([os.path.join(BUILD, "pmd"), "coordinator", "token", "--home", self.coordinator_home,
                                 "--role", role])
        return self.write("op.token", done.out, 0o600)

    def login(self, role=ADMIN, name="prod", env=None):
        return self.pmctl("login", "--token-file", self.operator_token(role), "--name", name, "--as", f"op-{name}",
                          env=env)

    # --- agents --------------------------------------------------------------------------------------

    def agents_of(self, names, script, *labels):
        """Starts played agents and waits until all are up."""
        options = [word for label in labels for word in ("--label", label)]
        token = self.pmctl("token", "create", "--uses", str(len(names)), *options).out
        path = self.write("web.token", token, 0o600)
        script = self.write("script", script)
        self._agents = self.popen([helper("fleet_agents"), path, script, *names], stdin=-1, stdout=-1, text=True)
        threading.Thread(target=self._read_up, daemon=True).start()
        self.wait_up(len(names))

    def _read_up(self):
        for line in self._agents.stdout:
            words = line.split()
            with self._moved:
                if words[0] == "up":
                    self.up = int(words[1])
                elif words[0] == "slot":  # (host, "ask", "begin" or "end") of a restart in its turn
                    self.slots.append(tuple(words[1:]))
                else:  # (host, verb, version, token), each time that a command was carried out
                    self.did.append(tuple(words[1:]))
                self._moved.notify_all()

    def wait_up(self, n, timeout=60):
        with self._moved:
            if not self._moved.wait_for(lambda: self.up == n, timeout):
                self.fail(f"{self.up} of {n} agents are up")
        # Both ends know of it before anything is asked.
        self.wait(lambda: sum(node["state"] == "online" for node in self.nodes()) == n, message="nodes online")

    def nodes(self):
        return self.pmctl("node", "list", "--json").json()["nodes"]

    def order(self, word, name):
        self._agents.stdin.write(f"{word} {name}\n")
        self._agents.stdin.flush()
