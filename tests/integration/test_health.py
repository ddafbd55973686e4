"""Health checks: an app says how it does, or is looked at, and what follows from that."""

import json
import os
import pwd
import signal
import socket
import subprocess
import unittest

from loads import Load
from pmdtest import PmdTestCase, alive, require
from ports import free_port

# Says what the files in its directory order, once each: say.1, say.2, ...
SPEAKER = """
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ["NOTIFY_SOCKET"]
address = "\\0" + address[1:] if address[0] == "@" else address
n = 1
while True:
    try:
        with open(f"say.{n}") as file:
            s.sendto(file.read().encode(), address)
        os.rename(f"say.{n}", f"said.{n}.{os.getpid()}")
        n += 1
    except FileNotFoundError:
        if os.path.exists("alive"):
            s.sendto(b"WATCHDOG=1", address)
        time.sleep(0.02)
"""

# Answers as the file "how" says, and counts the requests in the file "asked".
SERVER = """
import os, socket, sys, threading, time
where = sys.argv[1]
if where.startswith("/"):
    s = socket.socket(socket.AF_UNIX)
    s.bind(where)
else:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(where)))
s.listen(50)
ANSWERS = {
    "200": b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "302": b"HTTP/1.1 302 Found\\r\\nLocation: http://192.0.2.1/\\r\\n\\r\\n",
    "500": b"HTTP/1.1 500 Oops\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "garbage": b"220 smtp ready\\r\\n",
    "cut": b"HTTP/1.1 200 OK\\r\\nContent-",
}
def serve(c):
    request = c.recv(4096)
    with open("asked", "ab") as file:
        file.write(request)
    how = open("how").read()
    while how == "hang":
        time.sleep(0.01)
        how = open("how").read()
    try:
        c.sendall(ANSWERS[how])
    except OSError:
        pass
    c.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

# A worker whose check answers as the file "how.RELEASE" or "how.RELEASE.NUMBER" says.
WORKER = """
const fs = require('fs');
const release = fs.readFileSync('release', 'utf8').trim();
const read = (name) => { try { return fs.readFileSync(name, 'utf8').trim(); } catch { return ''; } };
require('http').createServer((req, res) => {
	const how = read(`how.${release}.${process.env.NODE_APP_INSTANCE}`) || read(`how.${release}`);
	res.setHeader('X-Worker', String(process.pid));
	if (req.url === '/healthz') {
		fs.appendFileSync('checked', `${process.pid}\\n`);
		res.statusCode = Number(how || 200);
	}
	res.end('ok');
}).listen(Number(process.env.PORT), process.env.HOST || '127.0.0.1');
"""


class HealthCase(PmdTestCase):
    def put(self, name, text):
        """The whole file at once."""
        self.write(name + ".new", text)
        os.rename(self.path(name + ".new"), self.path(name))

    def start(self, name, check=True, wait=True, **keys):
        app = {"name": name, "cwd": self.work, "min_uptime": 100, **keys}
        path = self.write(f"{name}.json", json.dumps({"apps": [app]}))
        return self.pmctl("start", path, check=check, timeout=60) if wait else self.pmctl_popen("start", path)

    def why(self, name="a"):
        return self.pmctl("why", name, "--json").json()["apps"][0]

    def wait_note(self, text, name="a"):
        self.wait(lambda: any(text in self.why(name)["note"] for _ in self.instances(name)),
                  message=lambda: f"note {text}: {self.why(name)}")

    def last_cause(self, name="a"):
        exits = self.why(name)["exits"]
        return exits and exits[0]["cause"]


class NotifyTest(HealthCase):
    def start_speaker(self, **keys):
        self.write("speaker.py", SPEAKER)
        return self.start("a", script=self.path("speaker.py"), interpreter="/usr/bin/python3", **keys)

    def test_an_app_is_online_when_it_says_so(self):
        starting = self.start_speaker(wait=False, ready="notify")
        self.put("say.1", "STATUS=warming up\x1b[31m")
        self.wait_note("status: warming up?[31m")
        self.assertEqual(self.status("a"), "launching")
        self.put("say.2", "READY=1\nSTATUS=serving 3")
        self.wait_status("a")
        self.assertEqual(starting.wait(), 0)
        self.assertIn("status: serving 3", self.pmctl("describe", "a").out)
        self.put("say.3", "STOPPING=1")
        self.wait_note("it says that it is stopping")

    def test_wait_ready_is_for_any_program(self):
        self.put("say.1", "READY=1")
        self.start_speaker(wait_ready=True, listen_timeout=60000)
        self.assertEqual(self.status("a"), "online")

    def test_who_does_not_say_so_is_late(self):
        done = self.start_speaker(check=10, ready="notify", listen_timeout=300)
        self.assertIn("not ready in time: it runs, but did not say so", done.out + done.err)

    def test_nobody_else_speaks_for_it(self):
        starting = self.start_speaker(wait=False, ready="notify")
        self.put("say.1", "STATUS=first")
        self.wait_note("first")
        with open(f"/proc/{self.pid('a')}/environ", "rb") as file:
            name = dict(v.split(b"=", 1) for v in file.read().split(b"\0") if v)[b"NOTIFY_SOCKET"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            for text in (b"READY=1", b"x" * 5000, b"", b"STATUS=stranger"):
                s.sendto(text, b"\0" + name[1:])
        self.put("say.2", "STATUS=second")
        self.wait_note("second")
        self.assertEqual(self.status("a"), "launching")
        self.put("say.3", "READY=1")
        self.assertEqual(starting.wait(), 0)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_an_app_of_another_user_is_heard_and_who_poses_as_it_is_not(self):
        os.chmod(self.dir, 0o711)
        os.chmod(self.work, 0o777)
        user = pwd.getpwnam("nobody")
        starting = self.start_speaker(wait=False, ready="notify", startup="exec sh -c 'id -u >ran'", uid="nobody",
                                      cwd=self.work)
        self.put("say.1", "STATUS=first")
        self.wait_note("first")
        self.assertEqual(self.read("ran").strip(), str(user.pw_uid))
        with open(f"/proc/{self.pid('a')}/limits", encoding="ascii") as file:
            tag = next(line.split()[4] for line in file if line.startswith("Max realtime timeout"))
        with open(f"/proc/{self.pid('a')}/environ", "rb") as file:
            name = dict(v.split(b"=", 1) for v in file.read().split(b"\0") if v)[b"NOTIFY_SOCKET"].decode()
        pose = f"""import ctypes, os, resource, socket
assert ctypes.CDLL(None).setrlimit(resource.RLIMIT_RTTIME, (ctypes.c_uint64 * 2)({tag}, {tag})) == 0
os.setgid({pwd.getpwnam('daemon').pw_gid})
os.setuid({pwd.getpwnam('daemon').pw_uid})
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", "\\0{name[1:]}")
print("said", flush=True)
input()
"""
        with subprocess.Popen(["/usr/bin/python3", "-c", pose], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as poser:
            poser.stdout.readline()
            self.put("say.2", "STATUS=second")
            self.wait_note("second")
            self.assertEqual(self.status("a"), "launching")
            poser.communicate(b"\n")
        self.assertEqual(poser.returncode, 0)
        self.put("say.3", "READY=1")
        self.wait_status("a")
        starting.wait()

    def test_a_child_speaks_for_its_app(self):
        self.write("say.py", SPEAKER.split("n = 1")[0] + "s.sendto(b'READY=1', address)\ntime.sleep(1000)\n")
        self.write("parent.sh", "#!/bin/sh\npython3 say.py\nexit 1\n", mode=0o755)
        self.start("a", script=self.path("parent.sh"), ready="notify")
        self.assertEqual(self.status("a"), "online")

    def test_a_watchdog_restarts_who_is_silent(self):
        self.put("alive", "")
        self.start_speaker(watchdog=1000, start_grace=0)
        pid = self.pid("a")
        self.put("say.1", "STATUS=alive")
        self.wait_note("alive")
        os.remove(self.path("alive"))
        self.wait(lambda: self.restarts("a") >= 1, message="a restart")
        self.assertFalse(alive(pid))
        self.put("alive", "")
        self.assertIn("watchdog", [e["cause"] for e in self.why("a")["exits"]])
        self.assertIn("it did not say WATCHDOG=1 in time", self.pmctl("why", "a").out)

    def test_who_asks_for_it_is_restarted(self):
        self.start_speaker(watchdog=60000)
        pid = self.pid("a")
        self.put("say.1", "WATCHDOG=trigger")
        self.wait_dead(pid)
        self.wait_status("a")
        self.assertEqual(self.last_cause(), "watchdog")

    def test_what_is_said_after_an_upgrade_is_heard(self):
        starting = self.start_speaker(wait=False, ready="notify")
        self.put("say.1", "STATUS=first")
        self.wait_note("first")
        self.pmctl("agent", "upgrade")
        self.put("say.2", "READY=1\nSTATUS=second")
        self.wait_status("a")
        self.wait_note("second")
        starting.wait()

    def test_what_is_said_while_the_supervisor_is_away_is_heard(self):
        starting = self.start_speaker(wait=False, ready="notify")
        self.put("say.1", "STATUS=first")
        self.wait_note("first")
        supervisor = self.supervisor_pid()
        os.kill(supervisor, signal.SIGSTOP)
        self.put("say.2", "READY=1\nSTATUS=told in between")
        self.wait(lambda: not os.path.exists(self.path("say.2")), message="what it said")
        os.kill(supervisor, signal.SIGKILL)
        self.wait_status("a")
        self.wait_note("told in between")
        starting.wait()

    def test_a_supervisor_that_becomes_the_keeper_hears_it(self):
        starting = self.start_speaker(wait=False, ready="notify")
        self.put("say.1", "STATUS=first")
        self.wait_note("first")
        keeper = self.keeper_pid()
        os.kill(keeper, signal.SIGKILL)
        self.wait_dead(keeper)
        self.put("say.2", "READY=1")
        self.wait_status("a")
        starting.wait()


class LookTest(HealthCase):
    """One process, looked at from outside."""

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.write("server.py", SERVER)
        self.put("how", "200")

    def start_server(self, where=None, **keys):
        return self.start("a", script=self.path("server.py"), interpreter="/usr/bin/python3",
                          args=[str(where or self.port)], **keys)

    def check(self, **more):
        return {"check": f"http://:{self.port}/healthz", "period": 100, "timeout": 1000, "fail": 2, **more}

    def test_it_is_online_when_the_check_passes(self):
        self.put("how", "500")
        starting = self.start_server(wait=False, ready=self.check())
        self.wait_note("not ready yet: http 500 from /healthz")
        self.assertEqual(self.status("a"), "launching")
        self.put("how", "200")
        self.wait_status("a")
        self.assertEqual(starting.wait(), 0)
        self.assertEqual(self.why("a")["note"], "")
        asked = self.read("asked")
        self.assertIn(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n", asked.replace("\n", "\r\n")
                      if "\r" not in asked else asked)

    def test_what_it_answers_is_told(self):
        for how, words in (("500", "http 500 from /healthz"), ("hang", "http /healthz: no answer within 200 ms"),
                           ("garbage", "the answer is not HTTP"), ("cut", "the answer is not HTTP")):
            with self.subTest(how):
                self.put("how", how)
                done = self.start_server(check=10, ready=self.check(timeout=200), listen_timeout=1500)
                self.assertIn(words, done.out + done.err)
                self.assertEqual(self.status("a"), "online")  # as PM2: it goes on
                self.pmctl("delete", "a")

    def test_a_redirect_passes_and_is_not_followed(self):
        self.put("how", "302")
        self.start_server(ready=self.check())

    def test_the_body_is_looked_at(self):
        self.start_server(ready=self.check(body="fine", headers={"Host": "example.org", "X-Probe": "yes"}))
        self.assertIn("X-Probe: yes", self.read("asked"))
        self.assertNotIn("Host: 127.0.0.1", self.read("asked"))
        self.pmctl("delete", "a")
        done = self.start_server(check=10, ready=self.check(body="bad"), listen_timeout=1000)
        self.assertIn('the answer does not hold "bad"', done.out + done.err)

    def test_nothing_listens(self):
        self.write("idle.py", "import time\ntime.sleep(1000)")
        done = self.start("a", check=10, script=self.path("idle.py"), interpreter="/usr/bin/python3",
                          ready=f"tcp://:{self.port}", listen_timeout=500)
        self.assertIn(f"tcp 127.0.0.1:{self.port}: Connection refused", done.out + done.err)

    def test_connections_and_unix_sockets(self):
        self.start_server(ready=f"tcp://127.0.0.1:{self.port}")
        self.pmctl("delete", "a")
        path = self.path("s.sock")
        self.start_server(path, ready=f"unix://{path}", startup=f"http://unix:{path}:/start")
        self.assertIn("GET /start HTTP/1.1", self.read("asked"))

    def test_a_failing_check_is_shown_and_passes_again(self):
        self.start_server(ready=self.check())
        self.put("how", "500")
        self.wait_note("not ready: http 500 from /healthz")
        self.assertEqual(self.status("a"), "online")
        self.assertIn("http 500 from /healthz", self.app("a")["pm2_env"]["note"])
        self.assertIn("/healthz (fails)", self.pmctl("describe", "a").out)
        self.put("how", "200")
        self.wait(lambda: self.why("a")["note"] == "", message="no note")
        self.assertEqual(self.restarts("a"), 0)

    def test_liveness_restarts(self):
        self.start_server(live=self.check(timeout=200), ready=self.check())
        pid = self.pid("a")
        self.wait(lambda: self.read("asked").count("GET") >= 2, message="looks")
        self.put("how", "hang")
        self.wait_dead(pid)
        self.put("how", "200")
        self.wait_status("a")
        self.assertEqual(self.last_cause(), "liveness check")
        self.assertIn("it failed its live check", self.pmctl("why", "a").out)

    def test_liveness_has_grace(self):
        self.put("how", "500")
        self.start_server(live=self.check())
        self.wait(lambda: self.read("asked").count("GET") >= 6, message="looks")
        self.assertEqual(self.restarts("a"), 0)

    def test_what_is_stopped_is_not_looked_at(self):
        self.start_server(ready=self.check())
        self.pmctl("stop", "a")
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", self.port))
            s.listen(10)
            s.setblocking(False)
            # Long enough for a look at a: another app is looked at as often.
            other, asked = free_port(), self.read("asked").count("GET")
            self.start("b", script=self.path("server.py"), interpreter="/usr/bin/python3", args=[str(other)],
                       ready=self.check(check=f"http://:{other}/b"))
            self.wait(lambda: self.read("asked").count("GET") >= asked + 6, message="looks at b")
            with self.assertRaises(BlockingIOError):
                s.accept()

    def test_a_new_supervisor_goes_on_looking(self):
        self.start_server(ready=self.check())
        self.put("how", "500")
        self.wait_note("not ready: http 500")
        supervisor = self.supervisor_pid()
        os.kill(supervisor, signal.SIGKILL)
        self.wait(lambda: self.supervisor_pid() != supervisor, message="another supervisor")
        self.wait_note("not ready: ")
        self.put("how", "200")
        self.wait(lambda: self.why("a")["note"] == "", message="no note")

    def test_a_start_goes_on_under_a_new_supervisor(self):
        self.put("how", "500")
        starting = self.start_server(wait=False, ready=self.check())
        self.wait_note("not ready yet: http 500")
        os.kill(self.supervisor_pid(), signal.SIGKILL)
        self.wait_note("not ready yet: http 500")
        self.put("how", "200")
        self.wait_status("a")
        starting.wait()


class ExecTest(HealthCase):
    def setUp(self):
        super().setUp()
        self.write("app.sh", "#!/bin/sh\nexec sleep 1000\n", mode=0o755)

    def start_app(self, text, **keys):
        self.write("check.sh", "#!/bin/sh\n" + text, mode=0o755)
        return self.start("a", script=self.path("app.sh"), **keys)

    def test_a_program_decides(self):
        starting = self.start_app('echo "$1 $name" >ran; test -e good', wait=False, ready=["./check.sh", "a b"])
        self.wait_note("not ready yet: exec ./check.sh: exit code 1")
        self.assertEqual(self.read("ran"), "a b a\n")
        self.put("good", "")
        self.wait_status("a")
        self.assertEqual(starting.wait(), 0)

    def test_one_that_hangs_is_killed_with_all_that_it_started(self):
        text = "setsid sleep 1001 &\necho $! >>pids\nsleep 1002 &\necho $! >>pids\nwait\n"
        done = self.start_app(text, check=10, listen_timeout=2000, ready={"check": ["./check.sh"], "timeout": 200,
                                                                         "period": 100})
        self.assertIn("exec ./check.sh: no end within 200 ms", done.out + done.err)
        self.pmctl("stop", "a")
        for pid in map(int, self.read("pids").split()):
            self.wait_dead(pid)

    def test_it_goes_with_the_agent(self):
        self.start_app("setsid sleep 1001 &\necho $! >>pids\nsleep 1002 &\necho $! >>pids\nwait\n",
                       live={"check": ["./check.sh"], "timeout": 60000, "period": 100})
        self.wait(lambda: os.path.exists(self.path("pids")) and len(self.read("pids").split()) == 2, message="a look")
        self.pmctl("kill")
        for pid in map(int, self.read("pids").split()):
            self.wait_dead(pid)

    def test_it_goes_with_the_supervisor(self):
        self.start_app("setsid sleep 1001 &\necho $! >>pids\nsleep 1002 &\necho $! >>pids\nwait\n",
                       live={"check": ["./check.sh"], "timeout": 60000, "period": 100})
        self.wait(lambda: os.path.exists(self.path("pids")) and len(self.read("pids").split()) == 2, message="a look")
        os.kill(self.supervisor_pid(), signal.SIGKILL)
        self.wait(lambda: len(self.read("pids").split()) == 4, message="the next look")
        for pid in list(map(int, self.read("pids").split()))[:2]:
            self.wait_dead(pid)

    def test_what_cannot_be_run_is_told(self):
        done = self.start_app("", check=10, listen_timeout=500, ready="exec ./missing.sh")
        self.assertIn("exec ./missing.sh: No such file or directory", done.out + done.err)
        self.pmctl("delete", "a")
        done = self.start_app("", check=10, listen_timeout=500, ready="exec no-such-program")
        self.assertIn("no-such-program is not in the app's PATH", done.out + done.err)

    def test_four_run_at_a_time(self):
        text = 'echo >"run.$$"; ls run.* | wc -l >>counts; sleep 0.05; rm "run.$$"\n'
        self.write("check.sh", "#!/bin/sh\n" + text, mode=0o755)
        apps = [{"name": f"a{i}", "cwd": self.work, "script": self.path("app.sh"),
                 "ready": {"check": "exec ./check.sh", "period": 100}} for i in range(12)]
        self.pmctl("start", self.write("apps.json", json.dumps({"apps": apps})), timeout=60)
        self.wait(lambda: len(self.read("counts").split()) >= 40, message="looks")
        counts = [int(c) for c in self.read("counts").split()]
        self.assertLessEqual(max(counts), 4)


class WorkerTest(HealthCase):
    """Instances that share a port, each looked at by itself."""

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.node("worker.js", WORKER)
        self.put("release", "one")

    def start_workers(self, instances=2, host="127.0.0.1", url_host="", check=True, **keys):
        ready = {"check": f"http://{url_host}:{self.port}/healthz", "period": 100, "timeout": 1000, "fail": 2}
        return self.start("api", check=check, script=self.path("worker.js"), interpreter=require("node"),
                          exec_mode="cluster", instances=instances, drain_timeout=20000,
                          **{"ready": ready, "env": {"PORT": str(self.port), "HOST": host}, **keys})

    def pids(self):
        return sorted(a["pid"] for a in self.instances("api"))

    def workers(self, count=40):
        with Load(self.address, count=count) as load:
            return {int(w) for w in load.wait_for(count)["workers"]}

    def notes(self):
        return [w["note"] for w in self.pmctl("why", "api", "--json").json()["apps"]]

    def test_each_is_asked_by_itself(self):
        for host, url_host in (("127.0.0.1", ""), ("::", "[::1]"), ("::", "127.0.0.1")):
            with self.subTest(host=host, check=url_host):
                self.start_workers(3, host, url_host)
                checked = {int(p) for p in self.read("checked").split()}
                self.assertTrue(set(self.pids()) <= checked, f"{self.pids()} {checked}")
                self.pmctl("delete", "api")

    def test_a_release_that_fails_its_check_changes_nothing(self):
        self.start_workers(listen_timeout=2000)
        before = self.pids()
        self.put("how.two", "503")
        self.put("release", "two")
        with Load(self.address, rate=500) as load:
            load.wait_for(50)
            done = self.pmctl("reload", "api", check=10, timeout=60)
            self.assertIn("http 503 from /healthz", done.out + done.err)
            self.assertIn("the old one serves on", done.out + done.err)
            self.assertEqual(self.pids(), before)
            self.assertEqual(self.workers(), set(before))
            self.put("how.two", "200")
            self.pmctl("reload", "api", timeout=60)
            self.assertFalse(set(self.pids()) & set(before))
            load.wait_for(400)
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)

    def test_a_reload_goes_on_when_the_supervisor_dies(self):
        self.start_workers(1, listen_timeout=60000)
        before = self.pids()
        self.put("how.two", "503")
        self.put("release", "two")
        with Load(self.address, rate=500) as load:
            load.wait_for(20)
            reloading = self.pmctl_popen("reload", "api")
            self.wait(lambda: {int(p) for p in self.read("checked").split()} - set(before), message="a successor's check")
            os.kill(self.supervisor_pid(), signal.SIGKILL)
            reloading.wait()
            self.assertEqual(self.pids(), before)
            self.put("how.two", "200")
            self.wait(lambda: not set(self.pids()) & set(before), message="the successor")
            load.wait_for(200)
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)

    def test_one_that_fails_gets_no_new_connections(self):
        self.start_workers(2)
        first, second = (a["pid"] for a in sorted(self.instances("api"), key=lambda a: a["pm_id"]))
        with Load(self.address, rate=500) as load:
            load.wait_for(20)
            self.put("how.one.0", "500")
            self.wait(lambda: "new connections go to others" in self.notes()[0], message=lambda: str(self.notes()))
            self.assertEqual(self.notes()[1], "")
            self.assertEqual(self.workers(), {second})
            self.put("how.one.1", "500")  # the last one: now both get them
            self.wait(lambda: all("not ready: http 500" in note for note in self.notes()), message="both fail")
            self.wait(lambda: self.workers() == {first, second}, message="both serve")
            self.put("how.one.0", "200")
            self.wait(lambda: self.workers() == {first}, message="the first alone")
            self.put("how.one.1", "200")
            self.wait(lambda: self.workers() == {first, second}, message="both again")
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)
        self.assertEqual(self.pids(), sorted([first, second]))

    def test_one_that_never_passed_gets_none_either(self):
        self.put("how.one.0", "500")
        self.start_workers(2, check=10, listen_timeout=1000)
        self.wait_status("api")
        second = max(self.instances("api"), key=lambda a: a["pm_id"])["pid"]
        self.assertEqual(self.workers(), {second})

    def test_it_stays_out_when_the_supervisor_dies(self):
        self.start_workers(2)
        second = max(self.instances("api"), key=lambda a: a["pm_id"])["pid"]
        self.put("how.one.0", "500")
        self.wait(lambda: "new connections go to others" in self.notes()[0], message=lambda: str(self.notes()))
        os.kill(self.supervisor_pid(), signal.SIGKILL)
        self.wait(lambda: "not ready" in self.notes()[0], message=lambda: str(self.notes()))
        self.assertEqual(self.workers(), {second})

    def test_liveness_replaces_without_a_gap(self):
        live = {"check": f"http://:{self.port}/healthz", "period": 100, "timeout": 1000, "fail": 3}
        self.start_workers(1, ready="none", live=live)
        before = self.pids()
        self.wait(lambda: os.path.exists(self.path("checked")), message="a look")
        with Load(self.address, rate=500) as load:
            load.wait_for(20)
            self.put("release", "two")
            self.put("how.one", "500")
            self.wait(lambda: not set(self.pids()) & set(before), message="a successor")
            load.wait_for(200)
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)


if __name__ == "__main__":
    unittest.main()
