"""A fleet of real agents: joined by token, listed, commanded, tailed; partitions, deaths, stolen keys and coordinators."""

import json
import os
import shutil
import time
import unittest

from fleet import FleetTestCase
from pmdtest import BUILD, PATIENCE


class Day(FleetTestCase):
    """What the README shows, on five hosts."""

    def test_join_list_restart_and_logs(self):
        names = [f"web{i}" for i in range(1, 6)]
        hosts = self.join(*names)
        nodes = self.nodes()
        self.assertEqual(nodes["web1"]["labels"], {"role": "web"})
        self.assertEqual({node["state"] for node in nodes.values()}, {"online"})
        # No secret of the token is in any argument list, then or now (S-05).
        listed = self.fleet("--all", "list")
        for name in names:
            self.assertIn("web", listed.out)
        before = [host.pmctl("pid", "api").out.strip() for host in hosts]
        began = self.now()
        restarted = self.fleet("--label", "role=web", "restart", "api", "--yes")
        self.assertLess(self.now() - began, 60 * PATIENCE)
        self.assertIn("5", restarted.out.splitlines()[-1])
        after = [host.pmctl("pid", "api").out.strip() for host in hosts]
        for old, new in zip(before, after):
            self.assertNotEqual(old, new)
        one = self.fleet("--hosts", "web[2-3]", "stop", "api")
        self.assertIn("2", one.out.splitlines()[-1])
        self.assertEqual([host.pmctl("pid", "api").out.strip() for host in hosts][1:3], ["0", "0"])
        logs = self.fleet("--all", "logs", "api", "--nostream", "--lines", "3").out
        for name in names:
            self.assertIn(f"{name} line", logs)

    def test_f02_nothing_matched_is_an_error_with_the_nearest_name(self):
        self.join("web1")
        out = self.fleet("--hosts", "wbe1", "restart", "api", check=4)
        self.assertIn("web1", out.err)

    def test_s08_s09_the_hosts_own_policy_decides(self):
        host, = self.join("web1")
        pid = host.pmctl("pid", "api").out.strip()
        for verb in (("delete", "api", "--yes"), ("save",), ("flush", "api", "--yes")):
            out = self.fleet("--all", *verb, check=5)
            self.assertIn("policy", (out.out + out.err).lower(), out)
        self.assertEqual(host.pmctl("pid", "api").out.strip(), pid)
        text = host.pmctl("audit", "--here").out
        self.assertIn("alice", text)
        self.assertIn("delete", text)
        self.assertIn("none changed or missing", host.pmctl("audit", "verify", "--here").out)


class Membership(FleetTestCase):
    def test_x49_a_token_is_good_once_and_a_revoked_key_is_cut(self):
        web1, = self.join("web1")
        token = self.token("--label", "role=web")
        web2 = self.host("web2")
        web2.pmctl("ping")
        web2.pmctl("join", "--token-file", token, "--name", "web2")
        web3 = self.host("web3")
        web3.pmctl("ping")
        out = web3.pmctl("join", "--token-file", token, "--name", "web3", check=False)
        self.assertNotEqual(out.code, 0)
        self.assertIn("used", out.err)
        self.wait(lambda: self.online("web1", "web2"))
        self.fleet("node", "revoke", "--hosts", "web1", "--yes")
        # Its live session is cut, and it does not come back.
        self.wait(lambda: self.nodes()["web1"]["state"] == "revoked")
        out = self.fleet("--hosts", "web1", "list", check=False)
        self.assertEqual(out.code, 4, out)
        self.assertIn("no host that is a member", out.err)
        self.assertEqual(web1.pmctl("jlist").json()[0]["pm2_env"]["status"], "online")  # nothing happened to its apps

    def test_an_operator_does_what_his_role_allows(self):
        host, other = self.join("web1", "web2")
        token = self.token("--operator", "--role", "viewer", "--name", "bob")
        bob = self.host("bob")
        bob.pmctl("login", "--token-file", token)
        self.assertIn("web1", bob.pmctl("node", "list").out)
        self.assertIn("api", bob.pmctl("--all", "list").out)
        pid = host.pmctl("pid", "api").out
        self.assertIn(bob.pmctl("--all", "restart", "api", "--yes", check=False).code, (5, 10))
        self.assertEqual(bob.pmctl("token", "create", check=False).code, 5)
        self.assertNotEqual(bob.pmctl("--all", "logs", "api", "--nostream", check=False).code, 0)
        self.assertEqual(host.pmctl("pid", "api").out, pid)
        # A binding is its hosts' only, and each host is told the role that he has there (S-07).
        self.fleet("operator", "grant", "bob", "operator", "--targets", "web1")
        out = bob.pmctl("--all", "restart", "api", "--yes", check=False)
        self.assertNotEqual(out.code, 0)
        self.assertNotEqual(host.pmctl("pid", "api").out, pid)
        self.assertRegex(host.pmctl("audit", "--here").out, r"bob \(operator, .*restart")
        self.assertNotIn("restart", other.pmctl("audit", "--here").out)
        bob.pmctl("--all", "list")

    def test_f01_a_role_for_some_apps_is_worked_out_where_the_apps_are(self):
        """What a namespace, a path or an id means there is other apps, whatever it is called."""
        host, = self.join("web1")
        db = os.path.join(host.dir, "api-db.py")
        shutil.copy(os.path.join(host.dir, "api.py"), db)
        host.pmctl("start", db, "--name", "db", "--namespace", "api-space", "--interpreter", "/usr/bin/python3")
        bob = self.host("bob")
        out = self.fleet("operator", "grant", "bob", "operator", check=False)
        self.assertNotEqual(out.code, 0)  # there is none yet
        bob.pmctl("login", "--token-file", self.token("--operator", "--role", "viewer", "--name", "bob"))
        for bad in (("--targets", "web[3-1]"), ("--targets", "@all"), ("--apps", "api,")):
            self.assertEqual(self.fleet("operator", "grant", "bob", "operator", *bad, check=False).code, 2, bad)
        self.fleet("operator", "grant", "bob", "operator", "--apps", "api*,[0-9]*,/*")
        pid = {name: host.pmctl("pid", name).out for name in ("api", "db")}
        for word in ("api-space", "1", db, "all", "db"):
            out = bob.pmctl("--hosts", "web1", "restart", word, "--yes", check=False)
            self.assertNotEqual(out.code, 0, out)
        self.assertEqual({name: host.pmctl("pid", name).out for name in pid}, pid)
        bob.pmctl("--hosts", "web1", "restart", "api")
        self.assertNotEqual(host.pmctl("pid", "api").out, pid["api"])
        self.assertEqual(host.pmctl("pid", "db").out, pid["db"])

    def test_s07_who_may_see_some_apps_is_shown_those(self):
        host, = self.join("web1")
        db = os.path.join(host.dir, "db.py")
        shutil.copy(os.path.join(host.dir, "api.py"), db)
        host.pmctl("start", db, "--name", "db", "--interpreter", "/usr/bin/python3")
        bob = self.host("bob")
        bob.pmctl("login", "--token-file", self.token("--operator", "--role", "viewer", "--name", "bob"))
        self.fleet("operator", "grant", "bob", "viewer", "--apps", "api*")
        self.fleet("operator", "ungrant", "bob", "viewer")
        for words in (("list",), ("list", "--json"), ("jlist",)):
            shown = bob.pmctl("--all", *words)
            self.assertIn("api", shown.out, words)
            self.assertNotIn('"db"', shown.out, words)
            self.assertNotIn("db ", shown.out, words)
        apps = bob.pmctl("--all", "list", "--json").json()["hosts"][0]["apps"]
        self.assertEqual([app["name"] for app in apps], ["api"])
        # What he names and may not see is refused, and so is what changes something.
        for words in (("list", "db"), ("describe", "db"), ("restart", "api"), ("stop", "db")):
            self.assertNotEqual(bob.pmctl("--all", *words, "--yes", check=False).code, 0, words)
        self.assertEqual(len(self.fleet("--all", "list", "--json").json()["hosts"][0]["apps"]), 2)

    def test_s07_who_may_see_the_logs_of_some_apps_is_shown_those(self):
        host, = self.join("web1")

        def start(name):
            path = os.path.join(host.dir, f"{name}.sh")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/bash\nwhile echo it is {name} $((n++)); do sleep 0.05; done\n")
            os.chmod(path, 0o755)
            host.pmctl("start", path, "--name", name)

        start("db")
        start("api-more")
        bob = self.host("bob")
        bob.pmctl("login", "--token-file", self.token("--operator", "--role", "viewer", "--name", "bob"))
        self.fleet("operator", "grant", "bob", "logs", "--apps", "api*")
        self.fleet("operator", "ungrant", "bob", "viewer")

        def shown(*words, who=bob.pmctl):
            return who("--all", "logs", *words, "--nostream", "-n", "5", "--no-prefix").out

        self.wait(lambda: "it is db" in shown(who=self.fleet) and "it is api-more" in shown(who=self.fleet))
        for words in ((), ("all",)):
            text = shown(*words)
            self.assertIn("it is api-more", text)
            self.assertIn("web1 line", text)
            self.assertNotIn("it is db", text)
        # What he names and may not see is refused, and so is what is of no app.
        for words in (("db",), ("default",), ("api-more", "--agent"), ("--agent",)):
            out = bob.pmctl("--all", "logs", *words, "--nostream", check=False)
            self.assertEqual(out.code, 5, out)
            self.assertEqual(out.out, "", words)
        self.assertIn("it is db", shown("db", who=self.fleet))
        # What is started while he looks is his or not, likewise.
        viewed = os.path.join(self.dir, "viewed")
        with open(viewed, "wb") as file:
            child = bob.popen(os.path.join(BUILD, "pmctl"), "--all", "logs", "-f", "-n", "0", "--no-prefix", stdout=file)
        start("db2")
        start("api2")
        self.wait(lambda: "it is api2 5" in self.read(viewed), timeout=30)
        text = self.read(viewed)
        self.assertIn("it is api-more", text)
        self.assertNotIn("it is db", text)
        child.terminate()
        child.wait(20 * PATIENCE)

    def test_x33_a_cloned_machine_is_seen(self):
        web1, = self.join("web1")
        clone = self.host("clone")
        clone.pmctl("ping")
        clone.pmctl("kill")
        for part in ("keys", "state"):
            shutil.rmtree(os.path.join(clone.home, part), ignore_errors=True)
            shutil.copytree(os.path.join(web1.home, part), os.path.join(clone.home, part))
        # In a namespace it even has the boot id of the other: they show by taking turns.
        clone.pmctl("ping")
        self.wait(lambda: self.nodes()["web1"]["state"] == "denied", timeout=60)
        note = self.nodes()["web1"]["note"]
        self.assertIn(web1.address, note)
        self.assertIn(clone.address, note)
        out = self.fleet("--hosts", "web1", "restart", "api", check=False)
        self.assertNotEqual(out.code, 0)


class OldStore(FleetTestCase):
    """X-50: a backup of the coordinator's store is put back, which knows less than the agents do."""

    def restore(self, backup):
        self.stop_coordinator()
        store = os.path.join(self.coordinator_home, "store")
        for name in os.listdir(store):
            if name.startswith("store.db"):
                os.unlink(os.path.join(store, name))
        shutil.copy(backup, os.path.join(store, "store.db"))
        os.chown(os.path.join(store, "store.db"), 65534, 65534)
        self.start_coordinator()

    def backup(self, name):
        self.run_command(self.coordinator_host.argv(
            os.path.join(BUILD, "pmd"), "coordinator", "backup", "--home", self.coordinator_home, "--name", name))
        return os.path.join(self.coordinator_home, "backups", name)

    def restarts(self, *hosts):
        return [json.loads(host.pmctl("jlist").out)[0]["pm2_env"]["restart_time"] for host in hosts]

    def test_x50_an_old_store_is_noticed_and_commands_nobody_until_an_operator_says_so(self):
        web1, web2 = self.join("web1", "web2")
        backup = self.backup("early.db")
        # No session begins between the two: only the command tells of what the copy does not know.
        self.fleet("--hosts", "web1", "restart", "api")
        self.assertEqual(self.restarts(web1, web2), [1, 0])
        self.restore(backup)
        self.wait(lambda: self.nodes()["web1"]["state"] == "store-old" and self.online("web2"), timeout=60)
        log = self.read(os.path.join(self.dir, "coordinator.log"))
        self.assertIn("fleet.store_old", log)
        listed = self.fleet("node", "show", "web1").out
        self.assertIn("store-old", listed)
        self.assertIn("command 1, the store knows", listed)
        self.assertIn("pmctl node accept web1", listed)
        print("X-50: saw", self.nodes()["web1"]["note"])
        # It is seen, but commanded nothing; the other one, of which nothing is missing, is.
        self.assertEqual(self.fleet("--hosts", "web1", "list").code, 0)
        out = self.fleet("--all", "restart", "api", "--yes", check=False)
        self.assertNotEqual(out.code, 0)
        self.assertIn("old copy of the store", out.out + out.err)
        self.assertEqual(self.restarts(web1, web2), [1, 1])
        self.assertIn("node.store_old", self.fleet("audit").out)
        # It stays so over any number of sessions.
        for _ in range(3):
            self.stop_coordinator()
            self.start_coordinator()
            self.wait(lambda: self.nodes()["web1"]["state"] == "store-old", timeout=60)
        self.fleet("node", "accept", "web1")
        self.wait(lambda: self.online("web1", "web2"), timeout=60)
        self.fleet("--all", "restart", "api", "--yes")
        self.assertEqual(self.restarts(web1, web2), [2, 2])
        # And from here on it counts: another copy of that time is noticed again, by both.
        self.restore(backup)
        self.wait(lambda: {n["state"] for n in self.nodes().values()} == {"store-old"}, timeout=60)
        self.fleet("node", "accept", "--all")
        self.wait(lambda: self.online("web1", "web2"), timeout=60)
        self.assertEqual(self.restarts(web1, web2), [2, 2])

    def test_x50_a_session_that_the_store_does_not_know_tells_as_well(self):
        web1, = self.join("web1")
        backup = self.backup("early.db")
        self.stop_coordinator()
        self.start_coordinator()
        self.wait(lambda: self.online("web1"), timeout=60)
        mark = os.path.join(web1.home, "state", "fleet.session")
        self.wait(lambda: int(self.read(mark).split()[0]) >= 2, message="the session's number on the agent's disk")
        self.restore(backup)
        self.wait(lambda: self.nodes()["web1"]["state"] == "store-old", timeout=60)
        self.assertRegex(self.nodes()["web1"]["note"], r"session (\d+) and command 0, the store knows \d+ and 0")

    def test_x50_another_fleet_counts_anew(self):
        """What an earlier coordinator counted is no sign of an old store at the next one."""
        web1, = self.join("web1")
        for _ in range(3):
            self.fleet("--hosts", "web1", "restart", "api")
        web1.pmctl("leave")
        self.fleet("node", "forget", "web1", "--yes")
        web1.pmctl("join", "--token-file", self.token("--label", "role=web"), "--name", "again")
        self.wait(lambda: self.online("again"), timeout=60)
        self.fleet("--hosts", "again", "restart", "api")
        self.assertEqual(self.restarts(web1), [4])


class Faults(FleetTestCase):
    def test_x43_without_the_coordinator_every_host_is_whole(self):
        web1, web2 = self.join("web1", "web2")
        for kill in (True, False):
            self.stop_coordinator(kill)
            self.assertEqual(web1.pmctl("restart", "api").code, 0)
            out = self.fleet("--all", "list", check=7)
            self.assertIn("coordinator", out.err)
            self.start_coordinator()
            self.wait(lambda: self.online("web1", "web2"), timeout=60)
        self.assertEqual(self.fleet("--all", "restart", "api", "--yes").code, 0)

    def test_x44_a_host_that_is_cut_off_is_told_apart(self):
        web1, web2 = self.join("web1", "web2")
        web1.cut()
        self.wait(lambda: self.nodes()["web1"]["state"] in ("suspect", "down"), timeout=60)
        self.wait(lambda: self.nodes()["web1"]["state"] == "down", timeout=90)
        out = self.fleet("--all", "restart", "api", "--yes", check=11)
        self.assertIn("web1", out.out + out.err)
        self.assertEqual(web1.pmctl("list").code, 0)  # its own commands work on
        web1.mend()
        self.wait(lambda: self.online("web1", "web2"), timeout=90)
        self.assertEqual(self.fleet("--all", "restart", "api", "--yes").code, 0)

    def test_another_coordinator_at_the_same_address_is_nobody(self):
        """A man in the middle with a key of his own: agents do not speak to him, operators neither."""
        host, = self.join("web1")
        pid = host.pmctl("pid", "api").out
        self.stop_coordinator(kill=True)
        own, self.coordinator_home = self.coordinator_home, os.path.join(self.coordinator_host.dir, "mallory")
        os.mkdir(self.coordinator_home, 0o700)
        os.chown(self.coordinator_home, 65534, 65534)
        self.start_coordinator()
        out = self.fleet("--all", "list", check=False, timeout=60)
        self.assertEqual(out.code, 7, out)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:  # long enough for an agent to try
            self.assertNotIn("fleet.up", self.read(os.path.join(self.dir, "coordinator.log")))
            time.sleep(0.1)
        self.assertEqual(host.pmctl("pid", "api").out, pid)
        self.stop_coordinator(kill=True)
        self.coordinator_home = own
        self.start_coordinator()
        self.wait(lambda: self.online("web1"), timeout=60)

    def test_a_supervisor_that_dies_comes_back_to_the_fleet(self):
        host, = self.join("web1")
        status = host.pmctl("agent", "status", "--json").json()
        os.kill(status["supervisor_pid"], 9)
        self.wait(lambda: self.fleet("--all", "list", check=False).code == 0, timeout=60)
        host.pmctl("agent", "upgrade")
        self.wait(lambda: self.fleet("--all", "list", check=False).code == 0, timeout=60)


class StandAlone(FleetTestCase):
    def test_f43_no_network_socket_without_a_coordinator(self):
        host = self.host("alone")
        host.pmctl("ping")
        out = self.run_command(host.argv("ss", "-lntupH")).out
        self.assertEqual(out.strip(), "")
        names = [p for p in os.listdir("/proc") if p.isdigit()]
        self.assertFalse(any(b"uplink" in self._cmdline(p) and host.home.encode() in self._cmdline(p) for p in names))

    def _cmdline(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read()
        except OSError:
            return b""


if __name__ == "__main__":
    unittest.main()

