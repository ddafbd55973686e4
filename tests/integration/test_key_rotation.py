"""S-06, X-49: a key takes the place of another, agent's, operator's and coordinator's, and nobody is cut off meanwhile.

A stolen old key gets nothing afterwards, and whoever is killed in between goes on.
"""

import os
import shutil
import subprocess
import unittest

from coordinators import order_uplink
from fleet import FleetTestCase
from pmdtest import BUILD, alive, helper


class KeyRotation(FleetTestCase):
    def operators_key(self, name="prod"):
        return os.path.join(self.dir, "pmctl", "keys", f"{name}.key")

    def agents_key(self):
        return os.path.join(self.home, "keys", "agent.key")

    def join(self):
        """The agent of this machine, as box1."""
        script = self.write("ticker.sh", "#!/bin/bash\ntrap exit INT\nwhile sleep 0.1; do :; done\n", 0o755)
        self.pmctl("start", script, "-n", "api", "-f")
        token = self.pmctl("token", "create").out
        self.pmctl("join", "--token-file", "-", "--name", "box1", input=token)
        self.wait_online()

    def box(self):
        return self.nodes()[0]

    def wait_online(self):
        self.wait(lambda: self.box()["state"] == "online", message=lambda: f"online: {self.nodes()}")

    def wait_key_other_than(self, old):
        self.wait(lambda: self.box()["key"] != old, message=lambda: f"another key: {self.nodes()}")
        self.wait(lambda: not os.path.exists(self.agents_key() + ".next"), message="the new key in its place")
        self.wait_online()

    def audit(self, action):
        return [e for e in self.pmctl("audit", "--json", "--context", "prod").json()["entries"]
                if e["action"] == action]

    def whoami(self, check=True, env=None):
        return self.pmctl("whoami", "--json", "--timeout", "5s", check=check, env=env)

    def rotate_coordinator(self, *args, check=True):
        return self.run_command([os.path.join(BUILD, "pmd"), "coordinator", "rotate", "--home", self.coordinator_home,
                                 *args], check=check)

    # --- agents --------------------------------------------------------------------------------------

    def test_an_agent_replaces_its_key_and_the_old_one_is_worth_nothing(self):
        self.coordinator()
        self.login()
        self.join()
        pid, old = self.pid("api"), self.box()["key"]
        stolen = self.write("stolen.key", self.read(self.agents_key()), 0o600)
        self.assertIn("replace its key", self.pmctl("node", "rotate", "box1").out)
        self.wait_key_other_than(old)
        self.assertTrue(alive(pid))
        self.assertNotEqual(self.read(self.agents_key()), self.read(stolen))
        self.assertIn("api (0): restarted", self.pmctl("--hosts", "box1", "restart", "api").out)
        for action in ("node.rotate", "key.announce", "key.rotate"):
            self.assertEqual(len(self.audit(action)), 1, action)
        # Whoever has the old key comes in no more; the machine itself with its new one does.
        mine = self.read(self.agents_key())
        self.write(self.agents_key(), self.read(stolen), 0o600)
        log = os.path.join(self.home, "pmd.log")
        known = len(self.read(log))
        order_uplink(self.home, "start")
        self.wait(lambda: "fleet.down coordinator" in self.read(log)[known:], message="the old key to be refused")
        self.assertNotIn("fleet.up", self.read(log)[known:])
        self.assertEqual(self.box()["state"], "down")
        self.write(self.agents_key(), mine, 0o600)
        order_uplink(self.home, "start")
        self.wait_online()

    def test_an_agent_killed_at_any_moment_of_it_comes_back(self):
        self.coordinator()
        self.login()
        self.join()
        for point in ("rekey.made", "rekey.promote"):
            with self.subTest(point=point):
                old, supervisor = self.box()["key"], self.supervisor_pid()
                self.run_command([helper("arm"), self.home, f"{point}=kill"])
                self.pmctl("node", "rotate", "box1")
                # It dies there, once, and the next one goes on with what is on the disk.
                self.wait_dead(supervisor)
                if point == "rekey.made":
                    self.assertTrue(os.path.exists(self.agents_key() + ".next"))
                self.wait_key_other_than(old)

    def test_a_coordinator_killed_as_the_next_key_comes_knows_it(self):
        self.coordinator()
        self.login()
        self.join()
        old = self.box()["key"]
        self.stop_coordinator()
        self.start_coordinator({"PMD_FAIL": "rotation.used=kill"})
        self.wait_online()
        self.pmctl("node", "rotate", "box1")
        self.coordinator_process.wait(30)
        self.start_coordinator()
        self.wait_key_other_than(old)

    def test_nodes_that_are_not_there_keep_the_others_from_nothing_half_done(self):
        self.coordinator()
        self.login()
        self.agents_of(["web01", "web02"], "* apps=api:1:1:online lines=1\n")
        self.assertIn("does not know how", self.pmctl("node", "rotate", "web01", check=False).err)
        self.assertEqual(self.audit("node.rotate"), [])

    # --- operators -----------------------------------------------------------------------------------

    def test_an_operator_replaces_his_key_and_the_old_one_is_worth_nothing(self):
        self.coordinator()
        self.login()
        self.agents_of(["web01"], "* apps=api:1:1:online lines=1\n")
        thief = os.path.join(self.dir, "thief")
        shutil.copytree(os.path.join(self.dir, "pmctl"), thief)
        env = {"PMCTL_CONFIG": os.path.join(thief, "contexts")}
        watching = self.pmctl_popen("--all", "logs", "api", env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)
        watching.stdout.readline()
        before = self.whoami(env=env).json()
        self.assertIn("was replaced", self.pmctl("login", "--rotate").out)
        self.assertEqual(os.listdir(os.path.dirname(self.operators_key())), ["prod.key"])
        after = self.whoami().json()
        self.assertEqual((after["operator"], after["bindings"]), (before["operator"], before["bindings"]))
        # The old key opens nothing, and what it had open is closed.
        self.assertEqual(self.whoami(check=False, env=env).code, 7)
        self.assertTrue(any("trying to reach the coordinator again" in line for line in watching.stderr))
        watching.kill()
        watching.communicate()
        self.assertEqual([len(self.audit(a)) for a in ("key.announce", "key.rotate")], [1, 1])
        self.pmctl("login", "--rotate", "--as", "x", check=2)
        self.pmctl("login", "--rotate", "--name", "nobody", check=4)

    def test_an_operator_killed_at_any_moment_of_it_is_not_locked_out(self):
        self.coordinator()
        self.login()
        keys = os.path.dirname(self.operators_key())
        for point in ("login.made", "login.taken", "login.used"):
            with self.subTest(point=point):
                done = self.pmctl("login", "--rotate", env={"PMD_FAIL": f"{point}=kill"}, check=False)
                self.assertEqual(done.code, -9)
                self.assertEqual(sorted(os.listdir(keys)), ["prod.key", "prod.key.next"])
                old = self.read(self.operators_key())
                self.whoami()
                # Once the next key was used any command finds that out; before, both are good.
                self.assertEqual(self.read(self.operators_key()) != old, point == "login.used")
                if point != "login.used":
                    self.pmctl("login", "--rotate")
                self.assertEqual(os.listdir(keys), ["prod.key"])
                self.whoami()

    def test_an_overlap_ends_and_with_it_the_old_key(self):
        self.coordinator("--key-overlap", "1")
        self.login()
        self.pmctl("login", "--rotate", env={"PMD_FAIL": "login.taken=kill"}, check=False)
        old = os.path.join(self.dir, "old")
        shutil.copytree(os.path.join(self.dir, "pmctl"), old)
        os.unlink(os.path.join(old, "keys", "prod.key.next"))
        env = {"PMCTL_CONFIG": os.path.join(old, "contexts")}
        self.wait(lambda: self.whoami(check=False, env=env).code == 7, message="the old key to end")
        self.whoami()  # with the next one, which takes its place
        self.assertEqual(os.listdir(os.path.dirname(self.operators_key())), ["prod.key"])
        self.wait(lambda: len(self.audit("key.expire")) + len(self.audit("key.rotate")) == 1)

    def test_a_revoked_operator_is_not_let_in_by_the_key_that_he_announced(self):
        self.coordinator()
        self.login()
        self.login(role="operator", name="bob")
        self.pmctl("login", "--rotate", "--name", "bob", env={"PMD_FAIL": "login.taken=kill"}, check=False)
        self.pmctl("operator", "revoke", "op-bob", "--context", "prod")
        done = self.pmctl("whoami", "--context", "bob", "--timeout", "5s", check=False)
        self.assertEqual(done.code, 7, done)
        self.assertEqual(self.pmctl("login", "--rotate", "--name", "bob", "--timeout", "5s", check=False).code, 7)

    # --- the coordinator -----------------------------------------------------------------------------

    def test_the_coordinators_key_is_replaced_under_live_sessions(self):
        self.coordinator()
        self.login()
        self.join()
        pid = self.pid("api")
        before = self.whoami().json()["fingerprint"]
        left_out = os.path.join(self.dir, "left-out")
        shutil.copytree(os.path.join(self.dir, "pmctl"), left_out)
        self.assertIn("is not being replaced", self.rotate_coordinator("--finish", check=False).err)
        self.assertIn("next key", self.rotate_coordinator().out)
        fleet = os.path.join(self.home, "state", "fleet")
        self.wait(lambda: "\nnext pmd-key:" in self.read(fleet), message="the agent to keep the next key")
        self.wait(lambda: "1 of 1 nodes" in self.rotate_coordinator().out, message="the agent to use the next key")
        after = self.whoami().json()["fingerprint"]
        self.assertNotEqual(after, before)
        self.assertIn("  next pmd-key:", self.read(self.config))
        # Started anew in the middle it is known by both.
        self.stop_coordinator()
        self.start_coordinator()
        self.wait_online()
        self.assertIn(after, self.rotate_coordinator().out)
        next_key = [line.split()[1] for line in self.read(fleet).splitlines() if line.startswith("next ")]
        self.assertIn("the coordinator's key is " + after, self.rotate_coordinator("--finish").out)
        self.wait(lambda: "\nnext " not in self.read(fleet), message="the agent to forget the old key")
        self.assertIn(f"\ncoordinator {next_key[0]}\n", self.read(fleet))
        self.wait_online()
        self.assertEqual(self.whoami().json()["fingerprint"], after)
        self.assertNotIn("next ", self.read(self.config))
        self.assertIn(f"coordinator {next_key[0]}\n", self.read(self.config))
        self.assertTrue(alive(pid))
        self.assertEqual([len(self.audit(a)) for a in ("coordinator.announce", "coordinator.rotate")], [1, 1])
        # Who has not heard of it in time knows somebody who is no more.
        env = {"PMCTL_CONFIG": os.path.join(left_out, "contexts")}
        self.assertEqual(self.whoami(check=False, env=env).code, 7)
        # New tokens are of the new key.
        self.login(name="again")
        self.whoami()

    def test_the_coordinators_old_key_ends_with_its_overlap(self):
        self.coordinator("--key-overlap", "4")
        self.login()
        self.join()
        self.rotate_coordinator()
        self.whoami()
        key = os.path.join(self.coordinator_home, "keys", "coordinator.key")
        self.wait(lambda: not os.path.exists(key + ".next"), message="the overlap to end")
        self.wait_online()
        self.whoami()

    def test_who_has_not_heard_of_it_is_not_cut_off_unless_that_is_wanted(self):
        self.coordinator()
        self.login()
        self.join()
        order_uplink(self.home, "stop")
        self.wait(lambda: self.box()["state"] == "down")
        self.rotate_coordinator()
        self.assertIn("box1 is not connected with the next key", self.rotate_coordinator("--finish", check=7).err)
        self.stop_coordinator()
        self.assertIn("nobody knows", self.rotate_coordinator("--finish", check=7).err)
        self.start_coordinator()
        order_uplink(self.home, "start")
        self.wait(lambda: "1 of 1 nodes" in self.rotate_coordinator().out)
        order_uplink(self.home, "stop")
        self.wait(lambda: self.box()["state"] == "down")
        self.rotate_coordinator("--finish", check=7)
        self.rotate_coordinator("--finish", "--force")
        # This one had heard of it.
        order_uplink(self.home, "start")
        self.wait_online()
        self.rotate_coordinator("--force", check=2)

    def test_a_coordinator_that_does_not_run_gets_its_key_all_the_same(self):
        self.coordinator()
        self.login()
        self.join()
        self.stop_coordinator()
        self.assertIn("it does not run", self.rotate_coordinator().out)
        self.start_coordinator()
        self.wait(lambda: "1 of 1 nodes" in self.rotate_coordinator().out)
        self.whoami()


if __name__ == "__main__":
    unittest.main()
