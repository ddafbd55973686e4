"""The agent's link to a coordinator: joining, what it carries, what it refuses, and what it survives."""

import os
import re
import shutil
import signal
import subprocess
import time
import unittest
import uuid

from coordinators import (
    AGENT_STATUS, ALICE, Coordinator, DEADLINE, DELETE, DENIED, FAIL_POINT, FLEET, FLUSH, KILL, OK, PING, RELOAD, RESET,
    RESTART, RESURRECT, ROOT, SAVE, SCALE, SEND, SIGNAL, START, START_OR_RESTART, STOP, UNKNOWN, UPGRADE, Wire,
    order_uplink)
from pmdtest import BUILD, PmdTestCase, kill, require

STAY = "#!/bin/sh\nwhile :; do sleep 0.05; done\n"
CANARY = "canary-5e1f"


class Joined(PmdTestCase):
    def setUp(self):
        super().setUp()
        self.fleet = Coordinator(self)

    def join(self, port=None, **env):
        """Starts the agent with a token, and waits until it is there."""
        mark = self.fleet.mark()
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": self.fleet.token(port), **env})
        self.fleet.wait("up", mark)
        self.wait(lambda: self.uplink().get("connected"), message=lambda: f"connected: {self.uplink()}")

    def again(self):
        """A new process of the link, which does not wait for its turn to dial."""
        mark, uplink = self.fleet.mark(), self.uplink_pid()
        order_uplink(self.home, "start")
        self.fleet.wait("up", mark)
        self.wait(lambda: (lambda u: u.get("connected") and u["pid"] != uplink)(self.uplink()), 20, "connected")

    def uplink(self):
        return self.pmctl("agent", "status", "--json").json().get("uplink") or {}

    def uplink_pid(self):
        return self.uplink().get("pid", 0)

    def start_app(self, name="web", script=STAY, **keys):
        path = self.write(f"{name}.sh", script, 0o755)
        self.pmctl("start", self.write(f"{name}.json", {"apps": [
            dict(name=name, script=path, interpreter="none", **keys)]}))
        self.wait_status(name)

    def audit(self):
        out = []
        for line in self.read(f"{self.home}/state/audit/audit.log").splitlines()[1:]:
            out.append(line.split("\t"))
        return out


class Uplink(Joined):
    def test_a_token_lets_the_agent_join(self):
        token = self.fleet.token()
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": token})
        enrol = self.fleet.wait("enrolled")["enrol"]
        self.assertTrue(enrol["facts"]["hostname"])
        hello = self.fleet.wait("hello", where=lambda e: e["hello"]["agent"]["epoch"] == 1)["hello"]
        self.assertEqual(len(hello["agent"]["boot_id"]), 32)
        self.assertEqual(hello["program"], "agent")
        state = self.wait(lambda: (lambda u: u if u.get("connected") else None)(self.uplink()))
        self.assertEqual(state["id"], "a-1")
        self.assertEqual(state["address"], f"127.0.0.1:{self.fleet.port}")
        for name in ("keys/agent.key", "state/fleet"):
            self.assertEqual(os.stat(f"{self.home}/{name}").st_mode & 0o777, 0o600)
        # The secret is nowhere but in its file.
        secret = self.read(token).strip().split(":", 1)[1]
        self.assertNotIn(secret, self.read(f"{self.home}/state/fleet") + self.read(f"{self.home}/pmd.log"))
        if os.geteuid() == 0:
            status = self.read(f"/proc/{state['pid']}/status")
            self.assertIn("Uid:\t65534\t65534\t65534\t65534", status)
            self.assertIn("NoNewPrivs:\t1", status)
            self.assertRegex(status, r"CapEff:\s+0000000000000000")

    def test_join_and_leave_with_pmctl(self):
        self.pmctl("leave", check=4)
        self.pmctl("list")
        said = self.pmctl("join", "--token-file", self.fleet.token(), "--name", "web 7", "--json").json()
        self.assertEqual((said["id"], said["name"], said["connected"]), ("a-1", "web 7", True))
        self.assertIn("connected to 127.0.0.1", self.pmctl("agent", "status").out)
        uplink = self.uplink_pid()
        again = self.pmctl("join", "--token-file", self.fleet.token(), check=False)
        self.assertNotEqual(again.code, 0)
        self.assertIn("in a fleet already, as web 7", again.err)
        self.assertEqual(self.uplink_pid(), uplink)
        mark = self.fleet.mark()
        self.pmctl("leave")
        self.assertIn("leaves the fleet", self.fleet.wait("down", mark)["what"])
        self.wait_dead(uplink)
        self.assertNotIn("fleet", self.pmctl("agent", "status").out)
        self.assertEqual(self.uplink(), {})
        self.assertFalse(os.path.exists(f"{self.home}/keys/agent.key"))
        # From standard input, and with no agent to tell.
        self.pmctl("kill")
        out = self.pmctl("join", "--token-file", "-", input=self.read(self.fleet.token()))
        self.assertIn("when it is started", out.out)
        mark = self.fleet.mark()
        self.pmctl("list")
        self.fleet.wait("up", mark)
        # No token, and one for somebody else.
        self.assertIn("holds no token", self.pmctl("join", "--token-file", "/dev/null", check=False).err)
        self.assertIn("--token-file", self.pmctl("join", check=2).err)

    def test_nobody_answers_a_join_in_words(self):
        token = self.fleet.token()
        self.fleet.kill()
        out = self.pmctl("join", "--token-file", token, check=7)
        self.assertIn("does the coordinator run", out.err)
        self.assertFalse(os.path.exists(f"{self.home}/state/fleet"))

    def test_a_used_token_is_refused_in_words_and_not_tried_again(self):
        token = self.fleet.token()
        self.fleet.order("refuse", on=False)
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": token})
        self.fleet.wait("enrolled")
        self.wait(lambda: self.uplink().get("connected"), message="connected")
        self.pmctl("kill")
        for name in ("keys/agent.key", "state/fleet"):
            os.unlink(f"{self.home}/{name}")
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": token})
        why = self.wait(lambda: (lambda u: u.get("why") if u.get("pid") == 0 else None)(self.uplink()))
        self.assertIn("this token was used", why)
        self.assertIn("pmctl token create", why)
        self.assertNotIn("next_try_ms", self.uplink())
        self.assertFalse(os.path.exists(f"{self.home}/state/fleet"))
        self.pmctl("list")  # and all else works

    def test_it_lists_and_restarts_and_tells_who_did(self):
        self.join()
        self.start_app(env={"SECRET": CANARY})
        before = self.pid("web")
        instances = self.fleet.status(detail=2)
        self.assertEqual([(i["name"], i["pid"]) for i in instances], [("web", before)])
        self.assertNotIn(CANARY, str(self.fleet.seen))
        self.assertIn("SECRET", str(instances))
        result = self.fleet.command(RESTART, "web")["result"]
        self.assertEqual([(o["name"], o["code"]) for o in result["outcomes"]], [("web", OK)])
        after = self.pid("web")
        self.assertNotEqual(after, before)
        entries = self.audit()
        self.assertTrue(any("alice" in str(e) and "restart" in e and "allowed" in e for e in entries), entries)
        self.assertTrue(any("restart.end" in e and "ok" in e for e in entries), entries)
        self.assertIn("alice", self.pmctl("describe", "web").out)
        # Several answers of one command, in order.
        self.start_app("many", instances=3)
        number = self.fleet.send(ALICE, command={"verb": STOP, "targets": [{"text": "many"}]})
        kinds = ["progress" if "progress" in env else "result" for env in self.fleet.answers(number)]
        self.assertEqual(kinds, ["progress"] * 3 + ["result"])

    def test_heartbeats_tell_of_changes(self):
        self.join()
        self.fleet.wait("envelope", where=lambda e: "heartbeat" in e["envelope"])
        self.start_app(instances=2)
        self.fleet.wait("envelope", where=lambda e: e["envelope"].get("heartbeat", {}).get("running") == 2)
        revisions = [e["envelope"]["heartbeat"]["state_revision"]
                     for e in self.fleet.find("envelope", where=lambda e: "heartbeat" in e["envelope"])]
        self.assertEqual(revisions, sorted(revisions))
        beat = self.fleet.find("envelope", where=lambda e: "heartbeat" in e["envelope"])[-1]["envelope"]["heartbeat"]
        self.assertLess(abs(beat["wall_ms"] / 1000 - time.time()), 60)
        # Every second, because this coordinator asks for that.
        mark = self.fleet.mark()
        self.wait(lambda: len(self.fleet.find("envelope", mark, lambda e: "heartbeat" in e["envelope"])) >= 3, 8, "beats")
        self.pmctl("stop", "web")
        self.fleet.wait("envelope", where=lambda e: e["envelope"].get("heartbeat", {}).get("running") == 0 and
                        e["envelope"]["heartbeat"]["state_revision"] > revisions[-1])

    def test_logs_flow_as_far_as_there_is_credit(self):
        self.join()
        n = 30000
        self.start_app("loud", f"#!/bin/sh\nseq -f 'line %.0f of many, some words to make it longer' {n}\nexec sleep 1000\n")
        self.wait_text(self.log("loud"), f"line {n} ")
        stream = self.fleet.open(logs={"targets": [{"text": "loud"}], "lines": n, "follow": True})
        self.wait(lambda: len(self.fleet.lines(stream)) == n, 60, lambda: f"{len(self.fleet.lines(stream))} lines")
        self.assertEqual([int(t.split()[1]) for t in self.fleet.lines(stream)], list(range(1, n + 1)))
        # One that does not read holds nobody up, and gets all of it later.
        slow = self.fleet.open(logs={"targets": [{"text": "loud"}], "lines": n})
        self.fleet.order("hold", stream=slow)
        self.fleet.wait("data", where=lambda e: e["stream"] == slow)
        self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong")
        held = len(self.fleet.lines(slow))
        self.assertLess(held, n)
        while len(self.fleet.lines(slow)) < n:
            have = len(self.fleet.lines(slow))
            self.fleet.order("grant", stream=slow, bytes=256 * 1024)
            self.wait(lambda: len(self.fleet.lines(slow)) > have or
                      self.fleet.find("closed", where=lambda e: e["stream"] == slow), 20, "more lines")
        self.fleet.wait("closed", where=lambda e: e["stream"] == slow and e["code"] == OK)
        self.assertEqual([int(t.split()[1]) for t in self.fleet.lines(slow)], list(range(1, n + 1)))
        self.fleet.order("close", stream=stream)
        self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong")
        refused = self.fleet.open(logs={"targets": [{"text": "nothing"}]})
        self.assertIn("nothing", self.fleet.wait("closed", where=lambda e: e["stream"] == refused)["what"])

    def test_x46_a_repeated_command_is_answered_from_memory(self):
        self.join()
        self.start_app()
        op = uuid.uuid4().hex
        first = self.fleet.command(RESTART, "web", op_id=op)["result"]
        pid = self.pid("web")
        again = self.fleet.command(RESTART, "web", op_id=op)["result"]
        self.assertEqual(again["outcomes"], first["outcomes"])
        self.assertEqual(self.pid("web"), pid)
        # And by another supervisor.
        kill(self.supervisor_pid(), signal.SIGKILL)
        mark = self.fleet.mark()
        self.fleet.wait("up", mark)
        again = self.fleet.command(RESTART, "web", op_id=op)["result"]
        self.assertEqual(again["outcomes"], first["outcomes"])
        self.assertEqual(self.pid("web"), pid)
        self.assertEqual(self.restarts("web"), 1)
        # And by another version.
        mark = self.fleet.mark()
        self.pmctl("agent", "upgrade", timeout=60)
        self.fleet.wait("up", mark, timeout=60)
        again = self.fleet.command(RESTART, "web", op_id=op)["result"]
        self.assertEqual(again["outcomes"], first["outcomes"])
        self.assertEqual((self.pid("web"), self.restarts("web")), (pid, 1))

    def clock(self, plus_ms=0):
        """The agent's, as Command.end_by_ms has it."""
        return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000) + plus_ms

    def test_f20_a_command_that_comes_too_late_is_not_done(self):
        self.join()
        self.start_app()
        hello = self.fleet.find("hello")[-1]["hello"]["agent"]
        self.assertLess(abs(int(hello["monotonic_ms"]) - self.clock()), 600000)  # the same clock
        pid, op = self.pid("web"), uuid.uuid4().hex
        error = self.fleet.command(RESTART, "web", op_id=op, end_by_ms=self.clock(-1))["error"]
        self.assertEqual(error["code"], DEADLINE)
        self.assertIn("too late", error["what"])
        self.assertEqual((self.pid("web"), self.restarts("web")), (pid, 0))
        self.assertTrue(any("too late" in str(e) for e in self.audit()), self.audit())
        # It was not begun, and in time it is done; what was done is known however late it is asked for.
        first = self.fleet.command(RESTART, "web", op_id=op, end_by_ms=self.clock(600000))["result"]
        again = self.fleet.command(RESTART, "web", op_id=op, end_by_ms=self.clock(-1))["result"]
        self.assertEqual(again["outcomes"], first["outcomes"])
        self.assertEqual(self.restarts("web"), 1)

    def test_f20_an_agent_that_hung_past_the_deadline_does_nothing_when_it_wakes(self):
        self.join()
        self.start_app()
        pid, supervisor, end = self.pid("web"), self.supervisor_pid(), self.clock(300)
        kill(supervisor, signal.SIGSTOP)
        try:
            number = self.fleet.send(ALICE, command={
                "verb": RESTART, "targets": [{"text": "web"}], "op_id": uuid.uuid4().hex, "end_by_ms": end})
            self.wait(lambda: self.clock() > end, message="the deadline")
        finally:
            kill(supervisor, signal.SIGCONT)
        self.assertEqual(self.fleet.answers(number)[-1]["error"]["code"], DEADLINE)
        self.assertEqual((self.pid("web"), self.restarts("web")), (pid, 0))

    def kill_agent(self):
        """Kills keeper and supervisor, neither of which sees the other's end, and starts the agent again."""
        pids = self.keeper_pid(), self.supervisor_pid()
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        for pid in pids:
            kill(pid, signal.SIGKILL)
        for pid in pids:
            self.wait_dead(pid)
        mark = self.fleet.mark()
        self.pmctl("list")
        self.fleet.wait("up", mark)

    def test_x46_a_command_is_done_once_though_the_whole_agent_is_killed(self):
        self.join()
        self.start_app()
        until = self.path("until")
        self.start_app("slow", f"#!/bin/sh\ntrap '' INT\nwhile [ ! -e {until} ]; do sleep 0.05; done\n", kill_timeout=60000)
        done, cut = uuid.uuid4().hex, uuid.uuid4().hex
        first = self.fleet.command(RESTART, "web", op_id=done)["result"]
        pid = self.pid("web")
        self.fleet.send(ALICE, command={"verb": RESTART, "targets": [{"text": "slow"}], "op_id": cut})
        self.wait_status("slow", "stopping")
        self.kill_agent()
        for _ in range(2):
            again = self.fleet.command(RESTART, "web", op_id=done)["result"]
            self.assertEqual(again["outcomes"], first["outcomes"])
            # Of the one that was under way nobody knows.
            error = self.fleet.command(RESTART, "slow", op_id=cut)["error"]
            self.assertEqual(error["code"], UNKNOWN)
            self.assertIn("begun before", error["what"])
        self.assertEqual((self.pid("web"), self.restarts("web")), (pid, 1))
        begun = [e for e in self.audit() if "restart" in e and "allowed" in e]
        self.assertEqual(len(begun), 2, begun)
        self.assertEqual(os.stat(f"{self.home}/state/fleet.ops").st_mode & 0o777, 0o600)
        self.fleet.command(RESTART, "web", op_id=uuid.uuid4().hex)
        self.assertEqual(self.restarts("web"), 2)
        self.write("until", "")  # or the end of the agent waits for its kill_timeout

    def test_x46_a_command_is_not_done_before_the_disk_has_it(self):
        # The first flush is that of the new file.
        self.join(PMD_FAIL="ops.sync=1+EIO")
        self.start_app()
        pid, op = self.pid("web"), uuid.uuid4().hex
        error = self.fleet.command(RESTART, "web", op_id=op)["error"]
        self.assertIn("flush the journal", error["what"])
        self.assertEqual(self.pid("web"), pid)
        self.assertIn("commands of the fleet", " ".join(self.pmctl("agent", "status", "--json").json()["degraded"]))
        self.assertTrue(any("not carried out" in str(e) for e in self.audit()), self.audit())
        self.assertIn("result", self.fleet.command(RESTART, "web", op_id=op))  # a new one, therefore
        self.assertEqual(self.restarts("web"), 1)
        self.assertEqual(self.pmctl("agent", "status", "--json").json()["degraded"], [])

    def test_x46_a_command_that_began_and_was_not_done_is_not_done_later(self):
        self.join(PMD_FAIL="ops.sync=1+kill")
        self.start_app()
        pid, op, mark, old = self.pid("web"), uuid.uuid4().hex, self.fleet.mark(), self.supervisor_pid()
        self.fleet.send(ALICE, command={"verb": RESTART, "targets": [{"text": "web"}], "op_id": op})
        self.wait_dead(old)
        self.fleet.wait("up", mark)
        self.assertEqual(self.fleet.command(RESTART, "web", op_id=op)["error"]["code"], UNKNOWN)
        self.assertEqual((self.pid("web"), self.restarts("web")), (pid, 0))

    def test_x46_a_command_is_done_once_whoever_repeats_it_meanwhile(self):
        self.join()
        self.start_app("slow", "#!/bin/sh\ntrap '' INT\nwhile :; do sleep 0.05; done\n", kill_timeout=700)
        op = uuid.uuid4().hex
        command = {"verb": RESTART, "targets": [{"text": "slow"}], "op_id": op}
        numbers = [self.fleet.send(ALICE, command=command) for _ in range(3)]
        results = [self.fleet.answers(n)[-1]["result"] for n in numbers]
        self.assertEqual([r["outcomes"][0]["code"] for r in results], [OK] * 3)
        self.assertEqual(self.restarts("slow"), 1)


class Hostile(Joined):
    def test_s08_a_hostile_coordinator_gets_what_the_policy_allows(self):
        self.join()
        self.start_app(env={"SECRET": CANARY})
        pid = self.pid("web")
        denied = [
            ("signal", dict(command={"verb": SIGNAL, "targets": [{"text": "web"}], "signal": 9})),
            ("stdin", dict(command={"verb": SEND, "targets": [{"text": "web"}], "text": "x"})),
            ("delete", dict(command={"verb": DELETE, "targets": [{"text": "web"}]})),
            ("reset", dict(command={"verb": RESET, "targets": [{"text": "web"}]})),
            ("flush", dict(command={"verb": FLUSH})),
            ("save", dict(command={"verb": SAVE})),
            ("resurrect", dict(command={"verb": RESURRECT})),
            ("cleardump", dict(command={"verb": 14})),
            ("reopen", dict(command={"verb": 11})),
            ("kill", dict(command={"verb": KILL})),
            ("upgrade", dict(command={"verb": UPGRADE, "text": "/bin/false"})),
            ("fail point", dict(command={"verb": FAIL_POINT, "text": "x=abort"})),
            ("fleet", dict(command={"verb": FLEET, "text": "stop"})),
            ("unknown", dict(command={"verb": 4000})),
            ("none", dict(command={})),
            ("staged", dict(command={"verb": START, "use_staged": True})),
            ("patch", dict(command={"verb": RESTART, "targets": [{"text": "web"}],
                                    "patch": {"spec": {"script": "/bin/sh"}, "set": ["script"]}})),
            ("environment", dict(command={"verb": RESTART, "targets": [{"text": "web"}], "update_env": True,
                                          "shell_env": [{"name": "LD_PRELOAD", "value": "/tmp/x.so"}]})),
            ("shell", dict(command={"verb": START_OR_RESTART, "targets": [{"text": "web"}],
                                    "shell_env": [{"name": "A", "value": "b"}]})),
            ("define", dict(spec_push={"spec": {"name": "evil", "script": "/bin/sh"}})),
            ("see the environment", dict(status_request={"detail": 2, "environment": True})),
            ("forward", dict(forward={"agent": "x", "command": {"verb": PING}})),
            ("fleet request", dict(fleet_request={"node_query": {}})),
        ]
        for what, envelope in denied:
            answer = self.fleet.ask(ROOT, **envelope)
            self.assertIn("error", answer, what)
            self.assertIn(answer["error"]["code"], (DENIED, 34), what)
            self.assertTrue(answer["error"]["what"], what)
        # Nobody in particular, somebody without a role, somebody whose role is not enough.
        for actor in (None, {}, {"operator": "", "role": "admin"}, {"operator": "x"},
                      {"operator": "x", "role": "root"}, {"operator": "x", "role": "viewer"}):
            answer = self.fleet.ask(actor, command={"verb": RESTART, "targets": [{"text": "web"}]})
            self.assertEqual(answer["error"]["code"], DENIED, actor)
        for what in (dict(logs={}), dict(events={})):
            stream = self.fleet.open(actor=None, **what)
            self.assertEqual(self.fleet.wait("closed", where=lambda e: e["stream"] == stream)["code"], DENIED)
        stream = self.fleet.open(actor={"operator": "v", "role": "viewer"}, logs={})
        self.assertEqual(self.fleet.wait("closed", where=lambda e: e["stream"] == stream)["code"], DENIED)
        # One of each message there is, also those that nobody asks with.  What ends the session is not among them, nor
        # what begins it anew: for a new key (S-06).
        self.fleet.order("every", actor=ROOT, but={"goodbye": 1, "error": 1, "stream_open": 1, "hello": 1,
                                                   "welcome": 1, "enrol": 1, "enrolled": 1, "stream_data": 1,
                                                   "stream_credit": 1, "stream_close": 1, "key_wanted": 1})
        self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong")
        mark = self.fleet.mark()
        self.fleet.order("send", envelope={"key_wanted": {}})
        self.fleet.wait("up", mark)
        self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong")
        # Nothing came of any of it.
        self.assertEqual(self.pid("web"), pid)
        self.assertEqual(self.status("web"), "online")
        self.assertEqual([a["name"] for a in self.apps()], ["web"])
        self.assertNotIn(CANARY, str(self.fleet.seen))
        text = self.read(f"{self.home}/state/audit/audit.log")
        for word in ("mallory", "refused", "signal", "spec_push", "kill"):
            self.assertIn(word, text)
        self.assertIn("remote.refuse", self.read(f"{self.home}/pmd.log"))
        for verb, count in ((STOP, None), (START, None), (RESTART, None), (RELOAD, None), (SCALE, 2), (SCALE, 1)):
            what = {} if count is None else {"count": count}
            self.assertIn("result", self.fleet.command(verb, "web", **what), verb)
        self.assertIn("status_list", self.fleet.command(AGENT_STATUS))
        self.assertEqual(self.fleet.command(RESTART, "nothing")["error"]["code"], 4)

    def test_s12_a_stop_loop_ends_at_the_rate(self):
        self.join()
        self.start_app()
        done = 0
        for _ in range(300):
            answer = self.fleet.command(RESTART if done % 2 else STOP, "web", no_wait=True)
            if "error" in answer:
                break
            done += 1
        self.assertIn("error", answer)
        self.assertEqual(answer["error"]["code"], DENIED)
        self.assertIn("hour", answer["error"]["what"])
        # Another supervisor counts on.
        kill(self.supervisor_pid(), signal.SIGKILL)
        mark = self.fleet.mark()
        self.fleet.wait("up", mark)
        again = self.fleet.command(RESTART if done % 2 else STOP, "web", no_wait=True)
        self.assertEqual(again["error"]["code"], DENIED)
        self.pmctl("restart", "web")  # its owner may

    def test_what_breaks_the_rules_costs_a_session_only(self):
        self.join()
        self.start_app()
        pid, uplink = self.pid("web"), self.uplink_pid()
        for body in ("hello", "welcome", "enrol", "enrolled", "stream_data", "stream_credit", "stream_close", "error",
                     "goodbye", "stream_open"):
            mark = self.fleet.mark()
            self.fleet.order("send", envelope={body: {}, "stream": 77 if body.startswith("stream") else 0})
            self.fleet.wait("down", mark)
            self.assertEqual(self.uplink_pid(), uplink, body)
            self.again()  # or it waits for its turn to dial, longer each time
            uplink = self.uplink_pid()
        self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong")
        self.assertEqual(self.pid("web"), pid)


class Policy(Joined):
    """The machine's policy file, which is /etc/pmd/policy: the agent gets an /etc of its own."""

    def policy(self, *lines):
        self.write("etc/pmd/policy", "".join(f"{line}\n" for line in lines), 0o644)

    def start_agent(self):
        shutil.copytree("/etc", self.path("etc"), symlinks=True, ignore=shutil.ignore_patterns("ssl", "ssh", "shadow*"))
        script = f'mount --bind "{self.path("etc")}" /etc && exec "$@"'
        mark = self.fleet.mark()
        self.run_command([require("unshare"), "-m" if os.geteuid() == 0 else "-Urm", "sh", "-c", script, "sh",
                          os.path.join(BUILD, "pmctl"), "list"], env={"PMD_JOIN_TOKEN_FILE": self.fleet.token()})
        self.fleet.wait("up", mark)
        self.wait(lambda: self.uplink().get("connected"), message="connected")

    def test_s08_the_file_decides_and_is_read_anew(self):
        deploy = {"operator": "dora", "role": "deployer"}
        os.makedirs(self.path("etc"), exist_ok=True)
        os.rmdir(self.path("etc"))
        self.start_agent()
        self.policy("allow viewer status", "allow operator run @local", "allow deployer run,define,delete", "min_up web 1")
        self.start_app("web", instances=2)
        self.start_app("other")
        # min_up: all of web at once is too much, whoever asks and however it is named.
        for verb, targets in ((STOP, ["web"]), (STOP, ["0", "1"]), (DELETE, ["web"]), (STOP, ["all"])):
            answer = self.fleet.command(verb, *targets, actor=deploy)
            self.assertEqual(answer["error"]["code"], DENIED, targets)
            self.assertIn("keeps 1", answer["error"]["what"])
        self.assertIn("result", self.fleet.command(STOP, "0"))
        self.assertEqual(self.fleet.command(STOP, "1")["error"]["code"], DENIED)
        self.assertIn("result", self.fleet.command(START, "0"))
        # A fleet's own app: declared by one who may, and no operator's to run.
        spec = next(i["spec"] for i in self.fleet.status(detail=2) if i["name"] == "other")
        spec.update(name="theirs", username="root", env=[])
        self.assertEqual(self.fleet.ask(spec_push={"spec": spec})["error"]["code"], DENIED)
        push = self.fleet.send(deploy, spec_push={"spec": spec})
        answer = self.fleet.command(START, actor=deploy, use_staged=True)
        self.assertEqual(self.fleet.find("envelope", where=lambda e: e["envelope"]["re"] == push), [])
        self.assertIn("result", answer)
        self.wait_status("theirs")
        self.assertEqual(self.fleet.command(RESTART, "theirs")["error"]["code"], DENIED)
        self.assertIn("result", self.fleet.command(RESTART, "theirs", actor=deploy))
        self.assertIn("result", self.fleet.command(DELETE, "theirs", actor=deploy))
        # Looking at logs is not in it.
        stream = self.fleet.open(logs={})
        self.assertEqual(self.fleet.wait("closed", where=lambda e: e["stream"] == stream)["code"], DENIED)
        # What is of the machine is allowed as such, and not by the way.
        self.assertEqual(self.fleet.command(SAVE, actor=deploy)["error"]["code"], DENIED)
        self.policy("allow deployer save,flush,reset")
        for verb in (SAVE, FLUSH, RESET):
            self.assertIn("result", self.fleet.command(verb, *([] if verb == SAVE else ["web"]), actor=deploy), verb)
        # One that cannot be read allows nothing, and says so here.
        self.policy("allow everybody everything")
        self.assertIn("cannot be read", self.fleet.command(PING)["error"]["what"])
        self.assertIn("policy", " ".join(self.pmctl("agent", "status", "--json").json()["degraded"]))
        self.policy("allow viewer status")
        self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong")
        self.assertEqual(self.fleet.command(RESTART, "web")["error"]["code"], DENIED)
        self.assertNotIn("policy", " ".join(self.pmctl("agent", "status", "--json").json()["degraded"]))


class Faults(Joined):
    def test_x43_the_coordinator_is_killed_and_comes_back(self):
        self.join()
        self.start_app()
        pid = self.pid("web")
        self.fleet.kill()
        state = self.wait(lambda: (lambda u: u if u.get("connected") is False and u.get("why") else None)(self.uplink()))
        self.assertIn("next_try_ms", state)
        self.pmctl("restart", "web")
        self.fleet.start()
        self.fleet.wait("up", self.fleet.mark() - 1, timeout=60)
        self.wait(lambda: self.uplink().get("connected"), message="connected")
        self.assertEqual(len(self.fleet.status()), 1)
        self.assertNotEqual(self.pid("web"), pid)

    def test_the_link_is_cut_at_every_step(self):
        wire = Wire(self, self.fleet.port)
        self.join(wire.port)
        self.start_app()
        pid = self.pid("web")
        # Handshake frames are 114 and 49 bytes; then Hello, Welcome, heartbeats.
        for limit in (1, 113, 114, 115, 162, 163, 164, 200, 260, 320):
            cuts = wire.n_cut
            wire.limit = limit
            order_uplink(self.home, "start")
            self.wait(lambda: wire.n_cut > cuts, 40, lambda: f"a cut after {limit} bytes")
            wire.limit = None
            self.again()
            self.assertEqual(self.fleet.command(PING)["result"]["text"], "pong", limit)
        # In the middle of commands: done once, whether or not the answer came through.
        for _ in range(3):
            op, restarts = uuid.uuid4().hex, self.restarts("web")
            self.fleet.order("send", envelope={"actor": ALICE, "command": {
                "verb": RESTART, "targets": [{"text": "web"}], "op_id": op}})
            wire.cut()
            self.again()
            self.assertIn("result", self.fleet.command(RESTART, "web", op_id=op))
            self.assertEqual(self.restarts("web"), restarts + 1)
        self.assertNotEqual(self.pid("web"), pid)

    def test_the_supervisor_is_killed_while_connected(self):
        self.join()
        self.start_app()
        pid, uplink = self.pid("web"), self.uplink_pid()
        mark = self.fleet.mark()
        kill(self.supervisor_pid(), signal.SIGKILL)
        self.fleet.wait("up", mark)
        self.wait_dead(uplink)
        self.assertEqual(self.pid("web"), pid)
        self.assertEqual(self.fleet.status()[0]["pid"], pid)
        self.assertTrue(self.uplink_pid() not in (0, uplink))

    def test_the_uplink_is_killed_and_hangs(self):
        self.join()
        self.start_app()
        pid = self.pid("web")
        mark, uplink = self.fleet.mark(), self.uplink_pid()
        kill(uplink, signal.SIGKILL)
        self.fleet.wait("up", mark)
        self.wait(lambda: self.uplink().get("connected"), message="connected")
        self.assertEqual(self.fleet.status()[0]["pid"], pid)
        # One that hangs takes nothing from anybody, and is killed when it is to leave.
        uplink = self.uplink_pid()
        kill(uplink, signal.SIGSTOP)
        self.pmctl("restart", "web")
        self.pmctl("kill")
        self.wait_dead(uplink)

    def test_an_upgrade_while_connected(self):
        self.join()
        self.start_app()
        pid, keeper = self.pid("web"), self.keeper_pid()
        mark, uplink = self.fleet.mark(), self.uplink_pid()
        self.pmctl("agent", "upgrade", timeout=60)
        self.fleet.wait("up", mark, timeout=60)
        self.wait_dead(uplink)
        self.assertEqual((self.pid("web"), self.keeper_pid()), (pid, keeper))
        self.assertEqual(self.fleet.status()[0]["pid"], pid)

    def test_a_goodbye_with_a_time_is_obeyed(self):
        self.join()
        mark = self.fleet.mark()
        self.fleet.order("goodbye", retry_ms=1500)
        self.fleet.wait("down", mark)
        state = self.wait(lambda: (lambda u: u if u.get("connected") is False and u.get("why") else None)(self.uplink()))
        self.assertGreater(state["next_try_ms"] - state["since_ms"], 1400)
        self.fleet.wait("up", mark, timeout=40)

    def test_the_end_of_the_agent_is_said(self):
        self.join()
        self.start_app()
        mark = self.fleet.mark()
        self.pmctl("kill")
        self.assertIn("the agent stops", self.fleet.wait("down", mark)["what"])


class Standalone(PmdTestCase):
    """F-43: without a fleet there is no socket, no process, no thread and no memory of one."""

    def memory(self):
        total = 0
        for pid in self.agents():
            total += sum(int(v) for v in re.findall(r"^Pss_(?:Anon|Shmem|Dirty):\s+(\d+)", self.read(
                f"/proc/{pid}/smaps_rollup"), re.M))
        return total

    def test_f43_nothing_of_a_fleet_is_there(self):
        self.pmctl("list")
        pids = sorted(self.agents())
        self.assertEqual(len(pids), 2, self.agents())
        sockets = subprocess.run([require("ss"), "-Htulnp"], stdout=subprocess.PIPE, text=True, check=True).stdout
        for pid in pids:
            self.assertNotIn(f"pid={pid},", sockets)
            self.assertEqual(self.read(f"/proc/{pid}/net/tcp").count(":1D13 "), 0)
        self.assertEqual(len(os.listdir(f"/proc/{self.keeper_pid()}/task")), 1)
        for name in os.listdir(f"{self.home}/state"):
            self.assertFalse(name.startswith(("fleet", "audit")), name)
        self.assertEqual(os.listdir(f"{self.home}/keys"), [])

    def test_f43_leaving_a_fleet_leaves_nothing_running(self):
        fleet = Coordinator(self)
        self.pmctl("list")
        supervisor = self.supervisor_pid()
        before = len(os.listdir(f"/proc/{supervisor}/task"))
        self.pmctl("kill")
        self.pmctl("list", env={"PMD_JOIN_TOKEN_FILE": fleet.token()})
        fleet.wait("up")
        self.wait(lambda: self.read(f"{self.home}/state/fleet"), message="joined")
        # nng and its threads are in the uplink alone.
        supervisor = self.supervisor_pid()
        self.assertLessEqual(len(os.listdir(f"/proc/{supervisor}/task")), before + 4)  # libuv's workers at most


if __name__ == "__main__":
    unittest.main()
