"""pmctl on a fleet: contexts and login, which hosts are meant, commands, what is shown, statuses, logs."""

import contextlib
import glob
import json
import os
import pty
import re
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import time
import unittest

from fleet import FleetTestCase
from pmdtest import BUILD, PATIENCE

APPS = "apps=api:4:1.4.2:online,web:2:2.0.0:online"


class RealAgent(FleetTestCase):
    def test_a_machine_that_joined_is_seen_and_steered_as_its_policy_lets(self):
        script = self.write("ticker.sh", "#!/bin/bash\ntrap exit INT\nwhile echo tick $((n++)); do sleep 0.05; done\n", 0o755)
        self.pmctl("start", script, "-n", "api", "-i", "2", "-f")
        self.coordinator()
        self.login()
        token = self.pmctl("token", "create", "--label", "role=web").out
        self.pmctl("join", "--token-file", "-", "--name", "box1", input=token)
        self.wait(lambda: [n["state"] for n in self.nodes()] == ["online"])
        self.assertIn("online", self.pmctl("--all", "list").out)
        pids = {i["pid"] for i in self.instances("api")}
        listed = self.pmctl("--label", "role=web", "list", "api", "--json").json()
        self.assertEqual({a["pid"] for a in listed["hosts"][0]["apps"]}, pids)
        # The default policy: what is defined here may be run, and nothing else.
        self.assertIn("2 instances: all restarted", self.pmctl("--hosts", "box1", "restart", "api").out)
        self.assertFalse(pids & {i["pid"] for i in self.instances("api")})
        self.assertIn("box1: delete", self.pmctl("--hosts", "box1", "delete", "api", check=5).err)
        self.assertEqual(self.pmctl("--all", "delete", "api", "--yes", "--json", check=5).json()["account"]["denied"], 1)
        self.assertIn("last order", self.pmctl("--hosts", "box1", "why", "api").out)
        child = self.pmctl_popen("--all", "logs", "api", "-n", "1", text=True)
        got = {"0": [], "1": []}
        while min(map(len, got.values())) < 30:
            _, _, rest = child.stdout.readline().split("│")
            got[rest.split()[0]].append(int(rest.split()[-1]))
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
        for id, numbers in got.items():
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))), id)
        self.pmctl("leave")
        self.wait(lambda: [n["state"] for n in self.nodes()] != ["online"])
        self.pmctl("--hosts", "box1", "restart", "api", check=11)


class Fleet(FleetTestCase):
    def five(self, script="", n=5):
        self.coordinator()
        self.login()
        names = [f"web{i:02}" for i in range(1, n + 1)]
        self.agents_of(names, f"* {APPS} lines=50\n{script}", "role=web")
        return names

    # --- contexts ------------------------------------------------------------------------------------

    def test_login_makes_a_key_and_a_context_for_its_owner_alone(self):
        self.coordinator()
        done = self.login(name="prod")
        self.assertIn("the context is prod", done.out)
        key = os.path.join(self.dir, "pmctl", "keys", "prod.key")
        for path, mode in [(self.config, 0o600), (key, 0o600), (os.path.dirname(key), 0o700)]:
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode, path)
        who = self.pmctl("whoami", "--json").json()
        self.assertEqual(who["bindings"], [{"role": "admin", "targets": "", "apps": ""}])
        self.assertEqual(who["fingerprint"], self.pmctl("context", "show", "--json").json()["contexts"][0]["fingerprint"])
        # A token is good for one, and what did not work leaves nothing behind.
        refused = self.pmctl("login", "--token-file", self.path("op.token"), "--name", "again", check=False)
        self.assertNotEqual(refused.code, 0, refused)
        self.assertEqual(sorted(os.listdir(os.path.dirname(key))), ["prod.key"])
        self.login(name="lab")
        listed = self.pmctl("context", "list", "--json").json()["contexts"]
        self.assertEqual([(c["name"], c["current"]) for c in listed], [("lab", True), ("prod", False)])
        self.pmctl("context", "use", "prod")
        self.assertIn("context      lab", self.pmctl("whoami", "--context", "lab").out)
        self.assertIn("context      prod", self.pmctl("whoami").out)
        self.assertIn("did you mean 'prod'?", self.pmctl("whoami", "--context", "prdo", check=4).err)
        self.pmctl("context", "delete", "lab")
        self.assertEqual(sorted(os.listdir(os.path.dirname(key))), ["prod.key"])

    def test_tokens_are_never_arguments_and_stand_alone_on_standard_output(self):
        """S-05."""
        self.coordinator()
        self.login()
        done = self.pmctl("token", "create", "--label", "role=web", "--uses", "2", "--ttl", "10m")
        self.assertRegex(done.out, r"\Apmd-join:\S+\n\Z")
        self.assertNotIn(done.out.strip(), done.err)
        # From standard input, and of the right kind.
        self.assertIn("lets a machine join", self.pmctl("login", "--token-file", "-", input=done.out, check=8).err)
        made = self.pmctl("token", "create", "--operator", "--role", "viewer", "--name", "eve").out
        env = {"PMCTL_CONFIG": os.path.join(self.dir, "eve", "contexts")}
        self.pmctl("login", "--token-file", "-", "--name", "prod", input=made, env=env)
        self.assertIn("eve", self.pmctl("whoami", env=env).out)
        tokens = self.pmctl("token", "list", "--json").json()["tokens"]
        self.assertEqual([t["labels"] for t in tokens if t["for"] == "agent"], [{"role": "web"}])
        self.pmctl("token", "revoke", tokens[0]["id"])
        # Who may only look changes nothing.
        self.pmctl("token", "create", check=5, env=env)

    def test_tokens_that_are_long_over_go(self):
        self.coordinator()
        self.login()
        for _ in range(2):
            self.pmctl("token", "create")
        ids = sorted(token["id"] for token in self.pmctl("token", "list", "--json").json()["tokens"])
        self.stop_coordinator()
        store, = glob.glob(f"{self.coordinator_home}/store/*.db")
        with contextlib.closing(sqlite3.connect(store)) as db, db:
            db.execute("UPDATE tokens SET created_ms = 1, expires_ms = 2 WHERE hex(id) = upper(?)", (ids[0],))
        self.start_coordinator()

        def spent():
            return [token["id"] for token in self.pmctl("token", "list", "--spent", "--json").json()["tokens"]]
        self.wait(lambda: ids[0] not in spent(), message="the old one to go")
        self.assertIn(ids[1], spent())

    def test_without_a_coordinator_it_says_so(self):
        self.assertIn("no coordinator is configured", self.pmctl("--all", "list", check=7).err)
        self.coordinator()
        self.login()
        self.stop_coordinator()
        done = self.pmctl("--all", "list", check=7)
        self.assertIn(f"127.0.0.1:{self.port}", done.err)
        self.assertEqual(done.out, "")

    def test_addresses_are_tried_in_turn_and_one_that_never_answers_holds_up_no_longer_than_its_time(self):
        self.coordinator()
        self.login()
        good = self.read(self.config)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            dead = closed.getsockname()[1]
        self.write(self.config, good.replace("  address ", f"  address 127.0.0.1:{dead}\n  address ", 1), 0o600)
        self.assertIn("prod", self.pmctl("whoami").out)
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            self.write(self.config, good.replace(f":{self.port}", f":{port}"), 0o600)
            done = self.pmctl("whoami", check=7)
            self.assertIn(f"127.0.0.1:{port}", done.err)
        self.assertIn("the name is not known", self.named(good, "no-such-host.invalid", 7))

    def named(self, contexts, host, code):
        self.write(self.config, contexts.replace("address 127.0.0.1", f"address {host}"), 0o600)
        return self.pmctl("whoami", check=code).err

    # --- which hosts ------------------------------------------------------------------------------------

    def test_hosts_are_chosen_in_every_way_before_or_after_the_verb(self):
        self.five()
        self.pmctl("node", "label", "web01", "zone=a")
        self.pmctl("group", "set", "edge", "--hosts", "web[01-02]")
        for words, want in [
                (["--all"], "web[01-05]"),
                (["--hosts", "web[01-03],!web02"], "web[01,03]"),
                (["--hosts", "web01", "--hosts", "web05"], "web[01,05]"),
                (["--label", "zone=a"], "web01"),
                (["--group", "edge"], "web[01,02]"),
                (["--hosts", "@edge"], "web[01,02]"),
                (["--all", "--exclude", "web*3"], "web[01,02,04,05]"),
                (["--all", "--limit", "40%"], "web[01,02]"),
        ]:
            with self.subTest(words=words):
                for argv in [[*words, "targets"], ["targets", *words]]:
                    self.assertEqual(self.pmctl(*argv).out.splitlines()[0], want)
        named = self.pmctl("targets", "--hosts", "-", input="web02\nweb04 \n").out
        self.assertEqual(named.splitlines(), ["web[02,04]", "2 hosts"])
        picked = self.pmctl("targets", "--all", "--pick", "2", "--seed", "7", "--json").json()
        self.assertEqual(picked["count"], 2)
        self.assertEqual(picked, self.pmctl("targets", "--all", "--pick", "2", "--seed", "7", "--json").json())
        self.assertIn("did you mean web*?", self.pmctl("--hosts", "wbe*", "list", check=4).err)
        self.assertIn("--label, at", self.pmctl("--label", "role=(", "list", check=2).err)
        self.assertIn("takes no hosts", self.pmctl("--all", "check", "x.json", check=2).err)
        for words in [["start", "a.sh", "api"], ["restart", "api", "a.json"], ["start", "api", "--attach"],
                      ["list", "--watch"], ["logs", "/a/"]]:
            self.write("a.sh", "#!/bin/sh\n", 0o755)
            self.assertEqual(self.pmctl("--all", *words, check=False).code, 1 if words[0] == "logs" else 2, words)
        self.assertIn("no hosts are named", self.pmctl("--context", "prod", "list", check=2).err)

    def test_what_is_hard_to_undo_asks_when_it_means_all(self):
        """F-05."""
        self.five()
        self.assertIn("needs --yes", self.pmctl("--all", "delete", "api", check=2).err)
        self.pmctl("--all", "delete", "api", "--yes")
        self.pmctl("--label", "role=web", "delete", "api")  # somebody has said which
        self.pmctl("--all", "restart", "api")
        self.assertEqual(self.on_terminal(["--all", "stop", "api"], b"n\n")[0], 5)
        code, text = self.on_terminal(["--all", "stop", "api"], b"y\n")
        self.assertEqual(code, 0, text)
        self.assertIn("stop api on all 5 hosts (web[01-05])?", text)
        self.assertIn("5 hosts: 5 stopped", text)

    def on_terminal(self, args, keys):
        """Runs pmctl on a terminal of its own, types the keys once it asks; (status, what it showed)."""
        leader, follower = pty.openpty()
        child = subprocess.Popen([os.path.join(BUILD, "pmctl"), *args], env=self.environment({"TERM": "dumb"}),
                                 stdin=follower, stdout=follower, stderr=follower, close_fds=True)
        self.addCleanup(self._end_child, child)
        os.close(follower)
        text, deadline = b"", time.monotonic() + 20 * PATIENCE
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    read = os.read(leader, 4096)
                except OSError:
                    break
                text += read
                if keys and (b"[y/N]" in text or b"to go on:" in text):
                    os.write(leader, keys)
                    keys = b""
        os.close(leader)
        return child.wait(20), text.decode(errors="replace")

    # --- commands ---------------------------------------------------------------------------------------

    def test_one_host_answers_as_an_agent_here_does(self):
        self.five()
        done = self.pmctl("--hosts", "web03", "restart", "api")
        self.assertEqual(done.out.splitlines()[0], "api (0): restarted, pid 2000")
        self.assertEqual(done.out.splitlines()[-1], "4 instances: all restarted")
        self.assertIn("1.4.2", self.pmctl("--hosts", "web03", "list").out)
        self.assertIn("no such app", self.pmctl("--hosts", "web03", "restart", "nosuch", check=4).err)
        self.assertEqual(self.pmctl("--hosts", "web03", "list", "--json").json()["account"]["done"], 1)

    def test_every_host_is_accounted_for(self):
        """F-13."""
        self.five("web02 fail=not_ready_after_60_s\nweb03 silent\n")
        self.order("stop", "web05")
        self.wait(lambda: any(n["name"] == "web05" and n["state"] != "online" for n in self.nodes()))
        self.pmctl("drain", "web04", "-m", "kernel")
        done = self.pmctl("--all", "restart", "api", "--timeout", "2s", check=15)
        self.assertEqual(done.out.splitlines()[-1],
                         "5 hosts: 1 restarted, 1 failed, 1 unreachable, 1 unknown, 1 drained")
        self.assertIn("web02  FAILED  api: not_ready_after_60_s; api 3/4 restarted", done.out)
        self.assertIn("  | and the last", done.out)
        document = self.pmctl("--all", "restart", "api", "--timeout", "2s", "--json", check=15).json()
        self.assertEqual(document["schema"], 1)
        self.assertEqual({h["host"]: h["state"] for h in document["hosts"]},
                         {"web01": "done", "web02": "failed", "web03": "unknown", "web04": "drained",
                          "web05": "unreachable"})
        account = document["account"]
        self.assertEqual(sum(n for state, n in account.items() if state != "total"), account["total"])
        lines = [json.loads(x) for x in
                 self.pmctl("--all", "restart", "api", "--timeout", "2s", "--jsonl", check=15).out.splitlines()]
        self.assertEqual(len(lines), 6)
        self.assertEqual(lines[-1]["account"], account)
        for words, status in [(["web01"], 0), (["web[01-02]"], 10), (["web[01,05]"], 11), (["web[01,02,05]"], 12),
                              (["web05"], 11), (["web[01,04]"], 11)]:
            self.pmctl("--hosts", *words, "restart", "api", check=status)
        self.pmctl("--hosts", "web[01-02]", "restart", "nosuch", check=4)
        self.pmctl("undrain", "web04")
        self.pmctl("--hosts", "web[01,04]", "restart", "api")
        actions = {(e["actor"], e["action"]) for e in self.pmctl("audit", "--json").json()["entries"]}
        self.assertIn("restart", {action for _, action in actions})
        self.pmctl("audit", "verify")

    def test_lists_of_few_have_lines_and_of_many_are_folded(self):
        """F-08."""
        self.coordinator()
        self.login()
        names = [f"web{i:02}" for i in range(1, 31)]
        self.agents_of(names, f"* {APPS}\nweb13 apps=api:4:1.4.1:online,web:2:2.0.0:online\n", "role=web")
        few = self.pmctl("--hosts", "web[01-03]", "list", "api").out.splitlines()
        self.assertRegex(few[1], r"^web01  api +v1\.4\.2 +online 4/4 ")
        self.assertEqual(few[-1], "3 hosts: 3 answered")
        many = self.pmctl("--all", "list", "api").out.splitlines()
        self.assertRegex(many[0], r"^api +29 hosts  v1\.4\.2 +online 4/4 +web\[01-12,14-30\]$")
        self.assertRegex(many[1], r"^ +1 host   v1\.4\.1 +online 4/4 +web13  <- differs: version$")
        self.assertEqual(many[-1], "30 hosts: 29 same, 1 different")
        self.assertEqual(len(self.pmctl("--all", "list", "api", "--diff").out.splitlines()), 2)
        shown = self.pmctl("--hosts", "web[01-02]", "describe", "api").out
        self.assertLess(shown.index("== web01"), shown.index("== web02"))
        listed = self.pmctl("--all", "jlist").json()
        self.assertEqual({len(h["apps"]) for h in listed["hosts"]}, {6})
        acted = self.pmctl("--all", "restart", "api").out.splitlines()
        self.assertEqual(acted, ["restart api on 30 hosts: web[01-30]", "30 hosts: 30 restarted"])

    def test_a_slow_host_holds_up_nobody_and_ctrl_c_tells_who_is_missing(self):
        """F-10, F-11."""
        self.five("web04 silent\n")
        child = self.pmctl_popen("--all", "list", "--timeout", "60s", text=True)
        lines = [child.stdout.readline() for _ in range(9)]  # titles, and two apps of four hosts
        self.assertEqual({line.split()[0] for line in lines[1:]}, {"web01", "web02", "web03", "web05"})
        child.send_signal(signal.SIGINT)
        rest, err = child.communicate(timeout=20)
        self.assertEqual(child.returncode, 130)
        self.assertIn("5 hosts: 4 answered, 1 waiting", rest)
        self.assertIn("not waited for: 1 host: web04", err)

    def test_many_hosts_want_the_name_of_the_app(self):
        self.coordinator()
        self.login()
        self.agents_of([f"web{i:02}" for i in range(1, 22)], f"* {APPS}\n")
        code, text = self.on_terminal(["--all", "stop", "api"], b"y\n")
        self.assertEqual(code, 5, text)
        self.assertIn("Type api to go on:", text)
        code, text = self.on_terminal(["--all", "stop", "api"], b"api\n")
        self.assertEqual(code, 0, text)
        self.assertIn("21 hosts: 21 stopped", text)

    def test_names_of_contexts_and_hosts_are_completed(self):
        self.five()
        for words, want in [(["--hosts", "web01,w"], ["web01,web02"]), (["list", "--hosts=w"], ["--hosts=web05"]),
                            (["node", "show", ""], ["web03"]), (["drain", "web0"], ["web04"])]:
            offered = [line.split("\t")[0] for line in self.pmctl("__complete", "--", *words).out.splitlines()]
            for word in want:
                self.assertIn(word, offered, words)
        for words in [["--context", "p"], ["context", "use", ""]]:
            self.assertIn("prod\tcontext\n", self.pmctl("__complete", "--", *words).out)

    # --- logs -------------------------------------------------------------------------------------------

    def test_logs_of_hosts_are_merged_and_go_on_after_a_cut(self):
        """F-29, F-34."""
        names = self.five("* live=300 every=5\nweb03 cut=120\nweb05 cut=200\n")
        child = self.pmctl_popen("--all", "logs", "api", "-n", "10", "-f", text=True)
        got = {name: [] for name in names}
        while sum(map(len, got.values())) < 310 * len(names):
            line = child.stdout.readline()
            self.assertRegex(line, r"^web0\d│api│0   (~ )?web0\d line \d+\n$")
            got[line.split("│")[0]].append(int(line.split()[-1]))
        child.send_signal(signal.SIGINT)
        rest, err = child.communicate(timeout=20)
        self.assertEqual(rest, "")
        self.assertEqual(child.returncode, 130)
        for name in names:
            self.assertEqual(got[name], list(range(40, 350)), name)
        self.assertIn("web03: ", err)

    def test_a_viewer_that_stops_reading_loses_nothing_and_delays_nobody(self):
        """F-35."""
        names = self.five("* live=3000 every=1 wide=400\n", n=2)
        child = self.pmctl_popen("--all", "logs", "api", "-n", "0", "-f", text=True)
        got = {name: [] for name in names}

        def read(n):
            while sum(map(len, got.values())) < n:
                host, _, rest = child.stdout.readline().split("│")
                got[host].append(int(rest.rstrip(".\n").split()[-1]))
        read(100)
        child.send_signal(signal.SIGSTOP)
        # Meanwhile everything is written, and others get their answers.
        self.wait(lambda: self.pmctl("--all", "logs", "-n", "1", "--nostream").out.count("line 00003049") == 2)
        self.pmctl("--all", "restart", "api")
        child.send_signal(signal.SIGCONT)
        read(6000)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
        for name in names:
            self.assertEqual(got[name], list(range(50, 3050)), name)

    def test_logs_go_on_when_the_coordinator_comes_back(self):
        """F-34, X-43."""
        names = self.five("* live=400 every=10\n", n=2)
        child = self.pmctl_popen("--all", "logs", "api", "-n", "0", "-f", text=True)
        got = {name: [] for name in names}

        def read(n):
            while sum(map(len, got.values())) < n:
                line = child.stdout.readline()
                got[line.split("│")[0]].append(int(line.split()[-1]))
        read(60)
        self.stop_coordinator()
        self.start_coordinator()
        read(800)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
        self.assertIn("trying to reach the coordinator again", err)
        for name in names:
            self.assertEqual(got[name], list(range(50, 450)), name)

    def test_history_ends_and_forms_are_as_asked_for(self):
        self.five("web02 skew=1500\n", n=3)
        document = [json.loads(line) for line in
                    self.pmctl("--all", "logs", "-n", "2", "--nostream", "-o", "json").out.splitlines()]
        self.assertEqual(sorted(d["host"] for d in document), ["web01"] * 2 + ["web02"] * 2 + ["web03"] * 2)
        self.assertEqual({d["app_name"] for d in document}, {"api"})
        plain = self.pmctl("--all", "logs", "-n", "1", "--nostream", "--no-prefix").out
        self.assertEqual(sorted(plain.splitlines()), [f"web0{i} line 00000049" for i in (1, 2, 3)])
        self.assertIn("more than 2", self.pmctl("--all", "logs", "--max-sources", "2", check=2).err)
        self.pmctl("logs", "--order", "arrival", check=2)

    def folded(self, text):
        """[(count, hosts, text)] of what --fold shows; a line that is alone looks as without it."""
        out = []
        for line in text.splitlines():
            many = re.match(r"^×(\d+) (\S+) (?:~ )?(each line \d+)$", line)
            alone = re.match(r"^(web0\d)│api│0   (?:~ )?(each line \d+)$", line)
            self.assertTrue(many or alone, line)
            out.append((int(many[1]), many[2], many[3]) if many else (1, alone[1], alone[2]))
        return out

    def test_f37_the_same_line_of_hosts_is_one_and_the_counts_sum_up(self):
        self.five("* alike live=100 every=20\n")
        past = self.folded(self.pmctl("--all", "logs", "api", "-n", "10", "--nostream", "--fold").out)
        self.assertEqual(sum(count for count, _, _ in past), 50)
        self.assertEqual({text for _, _, text in past}, {f"each line {n:08d}" for n in range(40, 50)})
        self.assertIn((5, "web[01-05]"), {(count, hosts) for count, hosts, _ in past})
        objects = [json.loads(line) for line in
                   self.pmctl("--all", "logs", "api", "-n", "10", "--nostream", "--fold", "--json").out.splitlines()]
        self.assertEqual(sum(o["count"] for o in objects), 50)
        for o in objects:
            self.assertEqual((o["schema"], o["app_name"], o["type"], len(set(o["hosts"]))), (1, "api", "out", len(o["hosts"])))
        # Several apps may come: then each says which.
        self.assertRegex(self.pmctl("--all", "logs", "-n", "1", "--nostream", "--fold").out, r"(?m)^×\d web\S+│api each line 00000049$")
        # Live, too; nothing waits for what does not come.
        child = self.pmctl_popen("--all", "logs", "api", "-n", "0", "-f", "--fold", text=True)
        live = []
        while sum(count for count, _, _ in live) < 500:
            live += self.folded(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=20)
        self.assertEqual((rest, child.returncode), ("", 130))
        self.assertEqual(sum(count for count, _, _ in live), 500)
        self.assertEqual({text for _, _, text in live}, {f"each line {n:08d}" for n in range(50, 150)})
        for args in (["--fold"], ["--all", "--fold", "--raw"], ["--all", "--fold", "--no-prefix"]):
            self.assertIn("--fold", self.pmctl("logs", *args, check=2).err)

    def test_x51_agents_of_an_earlier_version_are_members_like_others(self):
        """Played agents keep no generation of their sessions and say no number of a command: they are of before X-50."""
        names = self.five(n=2)
        for _ in range(3):
            self.pmctl("--all", "restart", "api", "--yes")
            self.stop_coordinator()
            self.start_coordinator()
            self.wait_up(len(names))
            self.assertEqual({node["state"] for node in self.nodes()}, {"online"})
        self.pmctl("--all", "restart", "api", "--yes")

    def test_f04_targets_prints_whom_a_command_would_mean_and_does_nothing(self):
        self.five(n=12)
        golden = [
            (["--all"], "web[01-12]\n12 hosts\n"),
            (["--hosts", "web[02-04,09],!web03"], "web[02,04,09]\n3 hosts\n"),
            (["--hosts", "web07"], "web07\n1 host\n"),
            (["--label", "role=web", "--exclude", "web1*"], "web[01-09]\n9 hosts\n"),
            (["--all", "--limit", "3"], "web[01-03]\n3 hosts\n"),
            (["--hosts", "web1?", "--verbose"], "web10\nweb11\nweb12\n"),
        ]
        for words, want in golden:
            with self.subTest(words=words):
                done = self.pmctl("targets", *words)
                self.assertEqual((done.out, done.err), (want, ""))
        self.assertEqual(self.pmctl("targets", "--hosts", "web1?", "--json").json(),
                         {"schema": 1, "count": 3, "folded": "web[10-12]", "hosts": ["web10", "web11", "web12"]})
        self.pmctl("targets", "--hosts", "db*", check=4)
        self.assertEqual(self.did, [])

    def test_f06_a_group_is_kept_as_what_it_means_and_not_as_whom(self):
        names = self.five("web02 apps=api:4:1.5.0:online\n")
        self.pmctl("group", "set", "front", "--hosts", "web[01-03],!web02")
        self.pmctl("group", "set", "both", "--hosts", "@front,web05")
        self.pmctl("group", "set", "blue", "--label", "zone=blue")
        self.pmctl("group", "set", "here", "--where", "host.name ~ \"web0[45]\" or label.zone = \"blue\"")

        def targets(*which):
            return self.pmctl("targets", *which, "--json").json()["hosts"]

        self.assertEqual(targets("--group", "front"), ["web01", "web03"])
        self.assertEqual(targets("--group", "both"), ["web01", "web03", "web05"])
        self.assertEqual(targets("--hosts", "@both,!web01"), ["web03", "web05"])
        self.assertEqual(targets("--group", "here"), ["web04", "web05"])
        self.pmctl("targets", "--group", "blue", check=4)  # nobody is in it yet
        self.pmctl("node", "label", "web02", "zone=blue")
        self.assertEqual(targets("--group", "blue"), ["web02"])
        self.assertEqual(targets("--group", "here"), ["web02", "web04", "web05"])
        listed = {g["name"]: g["selector"] for g in self.pmctl("group", "list", "--json").json()["groups"]}
        self.assertEqual(listed["front"], "--hosts 'web[01-03],!web02'")
        self.assertIn("--where", listed["here"])
        # It lives in the coordinator: over its restart, for whoever asks.
        self.stop_coordinator()
        self.start_coordinator()
        self.wait_up(len(names))
        self.assertEqual(targets("--group", "here"), ["web02", "web04", "web05"])
        done = self.pmctl("--group", "both", "restart", "api", "--json").json()
        self.assertEqual([h["host"] for h in done["hosts"]], ["web01", "web03", "web05"])
        self.pmctl("group", "set", "wrong", "--where", "host.name ~", check=2)
        self.pmctl("group", "delete", "front")
        self.assertIn("front", self.pmctl("targets", "--group", "both", check=False).err)

    def test_f36_more_than_50_hosts_are_asked_about_or_need_max_sources(self):
        self.five(n=150)
        ask = ["--all", "logs", "-n", "1000", "--nostream"]
        self.assertIn("150 hosts at once are more than 50", self.pmctl(*ask, check=2).err)
        self.assertIn("from 1 to 256", self.pmctl(*ask, "--max-sources", "257", check=2).err)
        self.assertEqual(self.on_terminal(ask, b"n\n")[0], 5)
        code, text = self.on_terminal(ask, b"y\n")
        self.assertEqual(code, 0, text[-2000:])
        self.assertIn("logs of 150 hosts at once? [y/N]", text)
        shown = self.pmctl(*ask, "--max-sources", "150", "--no-prefix")
        # Each has 50 lines, and all of them are there: so many streams are open at once.
        self.assertEqual(len(set(shown.out.splitlines())), 150 * 50)
        # How much of each, and how much in all, is said before (F-36).
        self.assertIn("logs of 150 hosts: web[01-150]; the last 133 lines of each file, some 20000 in all at most",
                      " ".join(shown.err.split()))


if __name__ == "__main__":
    unittest.main()
