"""What every integration and fault test stands on: a real pmd in a home of its own, driven by pmctl.

A test waits for events under deadlines (self.wait) and never sleeps. Whatever it started is found again and
ended, and an app that outlives `pmctl kill` fails the test. When a test fails, the logs are printed.
Standard library only. From the build directory: PMD_BUILD=$PWD python3 -m unittest test_x (ctest sets it).
"""

import contextlib
import functools
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

from numbered import check_lines, line, read_log, rotated, written  # noqa: F401 (for tests)
from processes import (  # noqa: F401 (for tests)
    Popen, Process, alive, all_processes, become_subreaper, descendants, kill, process, reap)

HERE = os.path.dirname(os.path.abspath(__file__))
APPS = os.path.join(HERE, "apps")
SOURCE = os.environ.get("PMD_SOURCE", os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get("PMD_BUILD", os.path.join(SOURCE, "build", "dev"))
HELPERS = os.path.join(BUILD, "helpers")
# Sanitizers and slow machines stretch every deadline; no deadline is what a test measures.
PATIENCE = float(os.environ.get("PMD_TEST_PATIENCE", "1"))

GRACE = 5  # seconds from the answer of `pmctl kill` until what is left counts as a survivor

PACKAGES = {
    "node": "nodejs", "php": "php-cli", "cc": "gcc", "clang": "clang", "nft": "nftables", "npm": "npm",
    "unshare": "util-linux", "ip": "iproute2", "ss": "iproute2", "systemd-nspawn": "systemd-container",
}

become_subreaper()


def require(tool):
    """The path of a program the test needs. A missing one is an error that says what to install."""
    path = shutil.which(tool)
    if path is None and os.path.exists(os.path.join(HELPERS, tool)):
        path = os.path.join(HELPERS, tool)
    if path is None:
        package = PACKAGES.get(tool, tool)
        raise RuntimeError(f"{tool} is missing: run tests/setup, or install the Debian package {package}")
    return path


def helper(name):
    """The path of a program built from tests/helpers/."""
    path = os.path.join(HELPERS, name)
    if not os.path.exists(path):
        raise RuntimeError(f"{path} is missing: build first, and set PMD_BUILD to the build directory")
    return path


class Outcome:
    """How a command ended: exit status (negative: by that signal), and what it printed."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def json(self):
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"{' '.join(self.argv)}: not JSON: {error}\n{self}") from None

    def __str__(self):
        return f"$ {' '.join(self.argv)}\nexit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class PmdTestCase(unittest.TestCase):
    """One private home per test: self.home (PMD_HOME), self.work (where commands run), self.dir (above both)."""

    maxDiff = None

    def __init__(self, name="runTest"):
        super().__init__(name)
        setattr(self, name, self._explained(getattr(self, name)))

    def _explained(self, method):
        @functools.wraps(method)
        def run(*args):
            try:
                return method(*args)
            except unittest.SkipTest:
                raise
            except BaseException:
                self.explain()
                raise
        return run

    @contextlib.contextmanager
    def subTest(self, *args, **params):
        """As unittest's; what a failed one leaves is printed while it is there."""
        with super().subTest(*args, **params):
            try:
                yield
            except unittest.SkipTest:
                raise
            except BaseException:
                self.explain()
                raise

    def setUp(self):
        for program in ("pmd", "pmctl"):
            if not os.path.exists(os.path.join(BUILD, program)):
                raise RuntimeError(f"{BUILD}/{program} is missing: build first, and set PMD_BUILD")
        self.marker = str(uuid.uuid4())
        # A short path: a unix socket's may have 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="pmd-")
        self.addCleanup(self._remove)
        self.home = os.path.join(self.dir, "home")
        self.work = os.path.join(self.dir, "work")
        self.bin = os.path.join(self.dir, "bin")
        for path in (self.home, self.work, self.bin):
            os.mkdir(path, 0o700)
        os.symlink(os.path.join(BUILD, "pmctl"), os.path.join(self.bin, "pm2"))
        self._transcript = []
        self._before = set(p.pid for p in descendants([os.getpid()]))

    # --- commands ---------------------------------------------------------------------------------

    def environment(self, env=None):
        """A clean environment for a command: nothing of the caller's but what the tools need; None removes one."""
        out = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.dir, "LANG": "C.UTF-8", "TZ": "UTC",
            "PMD_HOME": self.home, "PM2_HOME": self.home, "PMD_TEST": self.marker,
            # A sanitizer's findings go to files: the agent's stderr is nobody's.
            "ASAN_OPTIONS": f"log_path={self.dir}/sanitizer:abort_on_error=0",
            "UBSAN_OPTIONS": f"log_path={self.dir}/sanitizer:print_stacktrace=1",
            "TSAN_OPTIONS": f"log_path={self.dir}/sanitizer:suppressions={SOURCE}/tests/tsan.supp",
        }
        out.update(env or {})
        return {k: str(v) for k, v in out.items() if v is not None}

    def run_command(self, argv, check=True, env=None, cwd=None, input=None, timeout=30):
        """Runs a program to its end. check: a non-zero exit fails the test; a number: that exit status is wanted."""
        argv = [str(a) for a in argv]
        began = time.monotonic()
        with subprocess.Popen(argv, env=self.environment(env), cwd=cwd or self.work, text=True, errors="replace",
                              stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            try:
                out, err = child.communicate(input, timeout=timeout * PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
                self._note(argv, f"killed after {timeout} s")
                self.fail(f"{' '.join(argv)}: no end after {timeout} s\n--- stdout\n{out}\n--- stderr\n{err}")
        outcome = Outcome(argv, child.returncode, out, err)
        self._note(argv, f"exit {outcome.code} after {time.monotonic() - began:.3f} s")
        if check is not False:
            wanted = 0 if check is True else check
            self.assertEqual(outcome.code, wanted, f"exit {outcome.code}, wanted {wanted}\n{outcome}")
        return outcome

    def pmctl(self, *args, check=True, env=None, as_pm2=False, cwd=None, input=None, timeout=30):
        """Runs pmctl (as_pm2: under that name) on this test's home; see run_command."""
        program = os.path.join(self.bin, "pm2") if as_pm2 else os.path.join(BUILD, "pmctl")
        return self.run_command([program, *args], check, env, cwd, input, timeout)

    def popen(self, argv, env=None, **kwargs):
        """Starts a program beside the test; it is ended with the test."""
        kwargs.setdefault("cwd", self.work)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen([str(a) for a in argv], env=self.environment(env), **kwargs)
        self._note(argv, f"started, pid {child.pid}")
        self.addCleanup(self._end_child, child)
        return child

    def pmctl_popen(self, *args, env=None, **kwargs):
        """Starts a pmctl that goes on, such as `logs`, with pipes for both outputs unless told otherwise."""
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return self.popen([os.path.join(BUILD, "pmctl"), *args], env, **kwargs)

    def _note(self, argv, what):
        self._transcript.append(f"$ {' '.join(str(a) for a in argv)}    # {what}")

    # --- files ------------------------------------------------------------------------------------

    def path(self, name):
        """A path below self.work, or the absolute one given."""
        return os.path.join(self.work, name)

    def write(self, path, text, mode=None):
        """Writes a file whole (text, bytes, or an object as JSON) and returns its path."""
        path = self.path(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not isinstance(text, (str, bytes)):
            text = json.dumps(text, indent=1)
        with open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        if mode is not None:
            os.chmod(path, mode)
        return path

    def read(self, path):
        """A file's text; empty when there is none."""
        try:
            with open(self.path(path), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def node(self, name, source):
        """Writes a node program and returns its path."""
        require("node")
        return self.write(name, source)

    def sample(self, name):
        """Copies one of tests/integration/apps/ into self.work, so that no app runs in the source tree."""
        return shutil.copy(os.path.join(APPS, name), self.path(name))

    def log(self, name, stream="out", id=None):
        """The path of an app's log file by PM2's naming rule."""
        number = "" if id is None else f"-{id}"
        return os.path.join(self.home, "logs", f"{name}-{stream}{number}.log")

    # --- what runs --------------------------------------------------------------------------------

    def wait(self, condition, timeout=20, message="the condition"):
        """Polls until condition() is true and returns its value; the test fails when time is up."""
        deadline = time.monotonic() + timeout * PATIENCE
        pause = 0.002
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                text = message() if callable(message) else message
                self.fail(f"after {timeout} s still no: {text}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def apps(self):
        """Every instance as `pmctl jlist` tells."""
        return self.pmctl("jlist").json()

    def instances(self, name):
        return [a for a in self.apps() if a["name"] == name]

    def app(self, name):
        """The only instance with this name."""
        found = self.instances(name)
        self.assertEqual(len(found), 1, f"instances named {name}: {found}")
        return found[0]

    def status(self, name):
        return self.app(name)["pm2_env"]["status"]

    def restarts(self, name):
        return self.app(name)["pm2_env"]["restart_time"]

    def pid(self, name):
        """The live pid of the only instance with this name; 0 when there is none."""
        return self.app(name)["pid"]

    def wait_status(self, name, status="online", timeout=20):
        """Waits until every instance with this name has the status; returns them."""
        def reached():
            found = self.instances(name)
            return found if found and all(a["pm2_env"]["status"] == status for a in found) else None
        return self.wait(reached, timeout, f"{name} is {status}")

    def wait_dead(self, pid, timeout=20):
        self.wait(lambda: not alive(pid), timeout, lambda: f"end of {process(pid)}")

    def wait_text(self, path, text, timeout=20):
        """Waits until a file holds the text; returns the file's."""
        return self.wait(lambda: (lambda got: got if text in got else None)(self.read(path)), timeout,
                         lambda: f"{text!r} in {path}, which holds {self.read(path)[-2000:]!r}")

    def agents(self):
        """The processes of pmd that serve this home: {pid: Process}. A process about to exec an app may be among them."""
        return {p.pid: p for p in all_processes().values()
                if not p.dead and os.path.basename(p.exe).startswith("pmd") and self._is_ours(p)}

    def _is_ours(self, p):
        env = p.environ
        return env.get("PMD_TEST") == self.marker or self.home in p.argv

    def keeper_pid(self, timeout=20):
        """The pid of the keeper: the pmd of this home whose parent is no pmd of it."""
        def only():
            table = self.agents()
            roots = [p.pid for p in table.values() if p.ppid not in table]
            return roots[0] if len(roots) == 1 else None
        return self.wait(only, timeout, lambda: f"one keeper: {list(self.agents().values())}")

    def supervisor_pid(self, timeout=20):
        """The pid of the supervisor. What has the very arguments of the keeper is one of its, between fork and exec; and
        an app that is executed while it is looked at has a program of pmd's and arguments of its own."""
        def only():
            table = self.agents()
            below = [p.pid for p in table.values() if p.ppid in table and p.argv != table[p.ppid].argv and
                     "--supervisor" in p.argv]
            return below[0] if len(below) == 1 else None
        return self.wait(only, timeout, lambda: f"one supervisor: {list(self.agents().values())}")

    def pids_of_tag(self, tag):
        """Live processes that carry the tag as an argument or as the value of a variable, in order of pid."""
        return sorted(p.pid for p in self.processes() if tag in p.argv or tag in p.environ.values())

    def processes(self):
        """Every live process this test has brought about, also those that hide: see processes.py."""
        table = all_processes()
        found = {p.pid: p for p in descendants([os.getpid()], table) if p.pid not in self._before}
        for p in table.values():
            if p.pid not in found and not p.dead and p.pid != os.getpid() and p.environ.get("PMD_TEST") == self.marker:
                found[p.pid] = p
        return list(found.values())

    # --- the end ----------------------------------------------------------------------------------

    def explain(self):
        """Prints what a failed test leaves: commands, processes, list, logs."""
        out = ["", f"===== {self.id()}: {self.dir}", *self._transcript, "--- processes"]
        out += [repr(p) for p in self.processes()]
        if self.agents():
            with contextlib.suppress(Exception):
                done = subprocess.run([os.path.join(BUILD, "pmctl"), "list"], env=self.environment(), text=True,
                                      timeout=5, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.work)
                out += ["--- pmctl list", done.stdout]
        logs = glob.glob(f"{self.home}/*.log") + glob.glob(f"{self.home}/logs/*") + glob.glob(f"{self.dir}/sanitizer*")
        for path in sorted(logs):
            with contextlib.suppress(Exception):
                text = read_log(path)
                cut = f" (last 4000 of {len(text)} bytes)" if len(text) > 4000 else ""
                out += [f"--- {path}{cut}", text[-4000:].decode(errors="backslashreplace")]
        print("\n".join(out), file=sys.stderr, flush=True)

    def tearDown(self):
        problems = []
        if self.agents():
            problems += self._kill_agent()
        for path in glob.glob(f"{self.dir}/sanitizer*"):
            with open(path, errors="replace") as file:
                report = file.read()
            if report:  # a process that the test killed may have left an empty one
                problems.append(f"a sanitizer found: {report}")
        if problems:
            self.explain()
            self.fail("\n".join(problems))

    def _kill_agent(self):
        own = {p.pid for p in descendants([os.getpid()]) if p.pid in _children()}
        try:
            done = self.pmctl("kill", check=False)
        except AssertionError as error:
            return [str(error)]
        if done.code != 0:
            return [f"pmctl kill failed\n{done}"]
        table = all_processes()
        with_theirs = own | {p.pid for p in descendants(own, table)}
        left = [p for p in self.processes() if p.pid not in with_theirs]
        return [f"outlived pmctl kill: {p}" for p in left if not _gone_soon(p)]

    def _end_child(self, child):
        if child.poll() is None:
            child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()

    def _remove(self):
        """Ends whatever is left, of whatever kind, and removes the directory."""
        for _ in range(100):  # a process may fork while we look; each round leaves fewer
            left = self.processes()
            if not left:
                break
            for p in left:
                kill(p.pid, signal.SIGSTOP)
            for p in left:
                kill(p.pid)
            for p in left:
                _gone_soon(p)
            reap()
        shutil.rmtree(self.dir, ignore_errors=True)


def _children():
    """Our own children that a Popen waits for."""
    import processes
    return set(processes._own)


def _gone_soon(p):
    """Waits a little for a process that has been told to end; whether it did."""
    deadline = time.monotonic() + GRACE * PATIENCE
    while alive(p.pid, p.start):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
