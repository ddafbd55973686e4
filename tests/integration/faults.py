"""What the tests of faults share: apps of every kind, ways to hurt the agent, and what must be true afterwards."""

import json
import os
import signal
import time

from pmdtest import PmdTestCase, alive, check_lines, helper, kill, process, rotated, written

LINES = helper("lines")
TIMED = "YYYY-MM-DDTHH:mm:ss.SSS"


def without_time(text):
    """The app's text in a line with the time in front, or None."""
    stamp, _, rest = text.partition(b": ")
    return rest if len(stamp) == 23 and stamp[10:11] == b"T" else None


def without_json(text):
    """The app's text in a JSON record, or None."""
    try:
        return json.loads(text)["message"].rstrip("\n").encode()
    except (ValueError, KeyError, TypeError):
        return None


class FaultCase(PmdTestCase):
    """A fault test prints what it injected and what it saw: inject() and saw()."""

    def setUp(self):
        super().setUp()
        self.counts = self.path("counts")
        os.mkdir(self.counts)

    def inject(self, text):
        print(f"  injected: {text}", flush=True)

    def saw(self, text):
        print(f"  saw: {text}", flush=True)

    # --- apps -------------------------------------------------------------------------------------

    def writer(self, name, rate=2000, **keys):
        """An app that writes numbered lines and counts them outside of every pipe."""
        args = ["-w", name, "-c", self.counts, "-r", rate, "-b", keys.pop("batch", 20), "-l", keys.pop("padding", 60)]
        return {"name": name, "script": LINES, "args": [str(a) for a in args], "kill_timeout": 5000, **keys}

    def writers_of_one_file(self, name, **keys):
        """Three instances that write one log; each writer's name is its pid."""
        # Nothing may be preloaded into the asan build of the writer.
        app = self.writer(name, rate=700, instances=3, exec_mode="fork", merge_logs=True, **keys)
        return {**app, "args": app["args"][2:]}

    def check_merged(self, name):
        """The log of writers_of_one_file(), after they have stopped; returns how many lines it holds."""
        counts = {w: n for w, n in written(self.counts).items() if w.isdigit()}
        self.assertGreaterEqual(len(counts), 3)
        return sum(check_lines(rotated(self.log(name)), counts, split_ok=True).values())

    def forker(self, name):
        """An app whose main process has children, one of them in a session of its own."""
        self.write(f"{name}.sh", "#!/bin/sh\nsetsid sleep 1000000 &\nsleep 1000000 &\nwait\n", 0o755)
        return {"name": name, "script": self.path(f"{name}.sh")}

    def silent(self, name, **keys):
        return {"name": name, "script": "/bin/sleep", "args": ["1000000"], "interpreter": "none", **keys}

    def server(self, name):
        self.node(f"{name}.js", "process.on('message', () => {}); setInterval(() => {}, 1 << 30); console.log('up');\n")
        return {"name": name, "script": self.path(f"{name}.js")}

    def start(self, apps):
        return self.pmctl("start", self.write("apps.json", {"apps": apps}), timeout=60)

    # --- what is seen -----------------------------------------------------------------------------

    def table(self):
        """{pm_id: (name, pid, status, restarts)}."""
        return {a["pm_id"]: (a["name"], a["pid"], a["pm2_env"]["status"], a["pm2_env"]["restart_time"])
                for a in self.apps()}

    def app_processes(self):
        """Live processes that are an app's main one: {pm_id: [pids]}. Their children inherit the variable too."""
        ours = {p.pid: p for p in self.processes()}
        out = {}
        for p in ours.values():
            env = p.environ
            if "pm_id" not in env or os.path.basename(p.exe).startswith("pmd"):
                continue
            parent = ours.get(p.ppid)
            if parent is not None and parent.environ.get("pm_id") == env["pm_id"] and parent.environ.get("name") == env.get("name"):
                continue
            if p.sid != p.pid:  # a descendant whose parent has gone
                continue
            out.setdefault(int(env["pm_id"]), []).append(p.pid)
        return out

    def assert_one_each(self, table=None):
        """Every instance that is online has exactly the process that the table says, and no other has any."""
        table = self.table() if table is None else table
        got = self.app_processes()
        for pm_id, (name, pid, status, _) in table.items():
            if status == "online":
                self.assertTrue(alive(pid), f"{name} {pm_id}: pid {pid} of the table does not live")
                self.assertIn(pid, got.get(pm_id, []), f"{name} {pm_id}")
        doubled = {k: v for k, v in got.items() if len(v) > 1}
        if doubled:
            self.fail("more than one process: " + "; ".join(repr(process(p)) for v in doubled.values() for p in v))

    def answer_time(self, since):
        """Seconds from `since` until the agent answers again; it must have been reachable without starting one."""
        def answers():
            return self.pmctl("jlist", check=False).code == 0
        self.wait(answers, 10, "an answer of the agent")
        return time.monotonic() - since

    # --- ways to hurt -----------------------------------------------------------------------------

    def arm(self, points):
        self.run_command([helper("arm"), self.home, points])

    def kill_supervisor(self, sig=signal.SIGKILL):
        """Kills the supervisor; returns when another one serves, with the seconds that took."""
        old = self.supervisor_pid()
        since = time.monotonic()
        kill(old, sig)
        self.wait_dead(old)
        seconds = self.answer_time(since)
        self.assertNotEqual(self.supervisor_pid(), old)
        return seconds

    def kill_keeper(self):
        """Kills the keeper; returns when its supervisor's place is taken again, with the seconds that took."""
        old = self.keeper_pid()
        since = time.monotonic()
        kill(old)
        self.wait_dead_keeper(old)
        return self.answer_time(since)

    def wait_dead_keeper(self, pid):
        self.wait(lambda: not alive(pid), message=lambda: f"end of the keeper {process(pid)}")

    def kill_agent(self):
        """Kills keeper and supervisor at once; neither sees the other's end."""
        keeper, supervisor = self.keeper_pid(), self.supervisor_pid()
        for pid in (keeper, supervisor):
            kill(pid, signal.SIGSTOP)
        for pid in (supervisor, keeper):
            kill(pid)
        for pid in (keeper, supervisor):
            self.wait_dead(pid)

    def agent_pids(self):
        return self.keeper_pid(), self.supervisor_pid()

    def agent_log(self):
        return self.read(os.path.join(self.home, "pmd.log"))

    def check_log(self, name, message=None, stream="out", id=None, most=20):
        """After the writer has stopped: every line it counted is in the log once, in order, whole."""
        counts = {w: n for w, n in written(self.counts).items() if w == name}
        self.assertTrue(counts, f"{name} has counted nothing")
        files = rotated(self.log(name, stream, id))
        got = check_lines(files, counts, message, split_ok=True, most=most)
        return got[name], len(files)
