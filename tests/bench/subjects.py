"""The managers under measurement, each driven through its own command line, in a private home."""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from processes import all_processes, alive, descendants, kill  # noqa: E402

PM2_VERSION = "7.0.4"
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pmd-bench")


class Failed(Exception):
    """A subject did not do what it was asked; the row says so."""


def poll(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"after {timeout} s still no {what}")
        time.sleep(0.002)


def end_everything():
    """Ends all that descends from this program, and waits for it. Only what we started can be below us."""
    me = os.getpid()
    while True:
        left = descendants([me])
        for p in left:
            kill(p.pid)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG if not left else 0)[0] != 0:
                pass
        if not left:
            return


class Subject:
    """One manager. apps: [(name, argv)]. A subject is booted, given apps, measured and stopped; then thrown away."""

    name = ""
    stamps_lines = True
    command_timeout = 300

    def __init__(self, build, directory):
        self.build, self.dir = build, directory
        self.home = os.path.join(directory, "home")
        os.makedirs(self.home, mode=0o700)
        self.env = {"PATH": os.environ["PATH"], "HOME": directory, "LANG": "C.UTF-8", "TZ": "UTC"}
        self.prepare()

    def prepare(self):
        """Fails when what the subject needs is not there."""

    def bench(self, program):
        return os.path.join(self.build, "bench", program)

    def command(self, *argv):
        done = subprocess.run(argv, env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=self.command_timeout)
        if done.returncode != 0:
            raise Failed(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout.strip()[-300:]}")
        return done.stdout

    def boot(self):
        """Runs the manager with no app."""
        raise NotImplementedError

    def start(self, apps, stamped=False):
        """Starts the apps from one file, by one command where the manager knows one."""
        raise NotImplementedError

    def list_commands(self):
        """{"list": argv, "jlist": argv}, as far as there are such."""
        raise NotImplementedError

    def out_log(self, name):
        raise NotImplementedError

    def is_manager(self, process):
        """Whether a process below us is the manager's (and not an app or a command)."""
        raise NotImplementedError

    def managers(self):
        return [p for p in descendants([os.getpid()]) if self.is_manager(p)]

    def stop(self):
        end_everything()


class Floor(Subject):
    name = "floor"

    def boot(self, apps=(), stamped=False):
        for p in self.managers():
            kill(p.pid, signal.SIGTERM)
            poll(lambda pid=p.pid: not alive(pid), 20, "end of floor")
        self.socket = os.path.join(self.dir, "sock")
        os.makedirs(os.path.join(self.dir, "logs"), exist_ok=True)
        path = os.path.join(self.dir, "apps")
        with open(path, "w") as file:
            file.writelines(f"{name} {' '.join(argv)}\n" for name, argv in apps)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        argv = [self.bench("floor"), *(["-t"] if stamped else []), self.socket, os.path.join(self.dir, "logs"), path]
        subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL)
        if not apps:
            poll(lambda: os.path.exists(self.socket), 20, "socket of floor")

    def start(self, apps, stamped=False):
        self.boot(apps, stamped)

    def list_commands(self):
        return {verb: [self.bench("floorctl"), self.socket, verb] for verb in ("list", "jlist")}

    def out_log(self, name):
        return os.path.join(self.dir, "logs", f"{name}-out.log")

    def is_manager(self, process):
        return process.exe == os.path.realpath(self.bench("floor"))


class Ours(Subject):
    name = "ours"

    def prepare(self):
        self.pmctl = os.path.join(self.build, "pmctl")
        self.env["PMD_HOME"] = self.home

    def boot(self):
        self.command(self.pmctl, "ping")

    def start(self, apps, stamped=False):
        path = os.path.join(self.dir, "apps.json")
        # Rotation is off: none of the others has it, and the rows are about capture.
        extra = {"log_max_size": 0}
        with open(path, "w") as file:
            json.dump({"apps": [pm2_entry(name, argv, stamped, extra) for name, argv in apps]}, file)
        self.command(self.pmctl, "start", path)

    def list_commands(self):
        return {verb: [self.pmctl, verb] for verb in ("list", "jlist")}

    def out_log(self, name):
        return os.path.join(self.home, "logs", f"{name}-out.log")

    def is_manager(self, process):
        return os.path.basename(process.exe) == "pmd"

    def stop(self):
        with contextlib.suppress(Failed, subprocess.TimeoutExpired):
            self.command(self.pmctl, "kill")
        super().stop()


def pm2_entry(name, argv, stamped, extra=None):
    entry = {"name": name, "script": argv[0], "args": argv[1:], "interpreter": "none", "exec_mode": "fork",
             "min_uptime": 100, "max_restarts": 1000000}
    if stamped:
        entry["time"] = True
    return {**entry, **(extra or {})}


class Pm2(Subject):
    """PM2 from npm, as its users run it. It is run and never read."""

    name = "pm2"

    def prepare(self):
        where = os.path.join(CACHE, f"pm2-{PM2_VERSION}")
        self.pm2 = os.path.join(where, "node_modules", ".bin", "pm2")
        if not os.path.exists(self.pm2):
            if shutil.which("npm") is None:
                raise Failed("npm is missing: run tests/setup --bench")
            os.makedirs(where, exist_ok=True)
            done = subprocess.run(["npm", "install", "--prefix", where, "--no-audit", "--no-fund", "--no-save",
                                   f"pm2@{PM2_VERSION}"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                raise Failed(f"npm install pm2: {done.stdout.strip()[-300:]}")
        self.env.update(PM2_HOME=self.home, PM2_DISABLE_VERSION_CHECK="1")

    def boot(self):
        self.command(self.pm2, "ping")

    def start(self, apps, stamped=False):
        path = os.path.join(self.dir, "apps.json")
        with open(path, "w") as file:
            json.dump({"apps": [pm2_entry(name, argv, stamped) for name, argv in apps]}, file)
        self.command(self.pm2, "start", path)

    def list_commands(self):
        return {verb: [self.pm2, verb] for verb in ("list", "jlist")}

    def out_log(self, name):
        # PM2 7 adds the id unless instances were not given; take the one that is there.
        return (glob.glob(os.path.join(self.home, "logs", f"{name}-out*.log")) or [os.path.join(self.home, "none")])[0]

    def is_manager(self, process):
        return os.path.basename(process.exe).startswith("node")


class Supervisor(Subject):
    name = "supervisor"
    stamps_lines = False

    def prepare(self):
        self.daemon, self.ctl = shutil.which("supervisord"), shutil.which("supervisorctl")
        if self.daemon is None or self.ctl is None:
            raise Failed("supervisor is missing: run tests/setup --bench")
        self.conf = os.path.join(self.dir, "supervisord.conf")

    def boot(self, apps=()):
        for p in self.managers():
            kill(p.pid, signal.SIGTERM)
            poll(lambda pid=p.pid: not alive(pid), 60, "end of supervisord")
        sock = os.path.join(self.dir, "sock")
        lines = ["[unix_http_server]", f"file={sock}", "[supervisord]", f"logfile={self.dir}/supervisord.log",
                 f"pidfile={self.dir}/pid", f"childlogdir={self.dir}", "minfds=9000", "loglevel=critical",
                 "[rpcinterface:supervisor]",
                 "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
                 "[supervisorctl]", f"serverurl=unix://{sock}"]
        for name, argv in apps:
            lines += [f"[program:{name}]", f"command={' '.join(argv)}", "autorestart=true", "startsecs=0",
                      f"stdout_logfile={self.out_log(name)}", "stdout_logfile_maxbytes=0",
                      f"stderr_logfile={self.dir}/{name}-error.log", "stderr_logfile_maxbytes=0"]
        with open(self.conf, "w") as file:
            file.write("\n".join(lines) + "\n")
        subprocess.Popen([self.daemon, "-n", "-c", self.conf], env=self.env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        poll(lambda: os.path.exists(sock), 60, "socket of supervisord")

    def start(self, apps, stamped=False):
        self.boot(apps)

    def list_commands(self):
        return {"list": [self.ctl, "-c", self.conf, "status"]}

    def out_log(self, name):
        return os.path.join(self.dir, f"{name}-out.log")

    def is_manager(self, process):
        return self.daemon in process.argv


ALL = {s.name: s for s in (Ours, Floor, Pm2, Supervisor)}


# --- what a manager uses ------------------------------------------------------------------------

def pss_kib(processes):
    """Proportional set size of the processes, summed, in KiB."""
    total = 0
    for p in processes:
        with open(f"/proc/{p.pid}/smaps_rollup") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total


def per_task(processes, name):
    for p in processes:
        for path in glob.glob(f"/proc/{p.pid}/task/*/{name}"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path) as file:
                yield file.read()


def cpu_s(processes):
    """CPU seconds that the live threads of the processes have used."""
    return sum(int(text.split()[0]) for text in per_task(processes, "schedstat")) / 1e9


def switches(processes):
    """Context switches of all threads: every wake-up ends in one."""
    return sum(int(line.split()[1]) for text in per_task(processes, "status")
               for line in text.splitlines() if "ctxt_switches" in line)


__all__ = ["ALL", "Failed", "Floor", "Subject", "all_processes", "cpu_s", "end_everything", "poll", "pss_kib", "switches"]
