"""What runs on this machine, read from /proc; and a subreaper that lets no process of a test get away."""

import contextlib
import ctypes
import os
import signal
import subprocess

PR_SET_CHILD_SUBREAPER = 36


class Process:
    """One process as /proc showed it at one moment; `start` tells it from a later one with the same pid."""

    def __init__(self, pid):
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, tail = file.read().rpartition(b") ")
        fields = tail.split()
        self.pid = pid
        self.comm = head.partition(b"(")[2].decode(errors="replace")
        self.state = fields[0].decode()
        self.ppid, self.pgid, self.sid = (int(f) for f in fields[1:4])
        self.start = int(fields[19])

    def _read(self, name):
        try:
            with open(f"/proc/{self.pid}/{name}", "rb") as file:
                return file.read()
        except OSError:
            return b""

    def _link(self, name):
        try:
            return os.readlink(f"/proc/{self.pid}/{name}")
        except OSError:
            return ""

    @property
    def dead(self):
        return self.state in "ZX"

    @property
    def exe(self):
        return self._link("exe").removesuffix(" (deleted)")

    @property
    def cwd(self):
        return self._link("cwd")

    @property
    def argv(self):
        return [a.decode(errors="replace") for a in self._read("cmdline").split(b"\0")[:-1]]

    @property
    def environ(self):
        """The environment at exec, as the kernel shows it; empty when it may not be read."""
        pairs = (e.partition(b"=") for e in self._read("environ").split(b"\0") if b"=" in e)
        return {k.decode(errors="replace"): v.decode(errors="replace") for k, _, v in pairs}

    def fds(self):
        """What each open descriptor refers to: {number: "socket:[123]" or a path}."""
        out = {}
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{self.pid}/fd"):
                out[int(name)] = self._link(f"fd/{name}")
        return out

    def __repr__(self):
        command = " ".join(self.argv) or f"[{self.comm}]"
        return f"pid={self.pid} ppid={self.ppid} sid={self.sid} {self.state} {command[:160]}"


def process(pid):
    """The process with this number, or None when there is none (a zombie is one)."""
    try:
        return Process(pid)
    except (OSError, IndexError, ValueError):
        return None


def all_processes():
    """Every process: {pid: Process}."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {p.pid: p for p in found if p is not None}


def alive(pid, start=None):
    """Whether pid runs and is no zombie; with `start`, whether it is still the same process."""
    p = process(pid)
    return p is not None and not p.dead and (start is None or p.start == start)


def descendants(roots, table=None):
    """Live processes below any pid of `roots`, without the roots, deepest last."""
    table = table or all_processes()
    children = {}
    for p in table.values():
        children.setdefault(p.ppid, []).append(p)
    out, queue = [], list(roots)
    while queue:
        for child in children.get(queue.pop(0), []):
            queue.append(child.pid)
            if not child.dead:
                out.append(child)
    return out


def kill(pid, sig=signal.SIGKILL):
    """Signals one process; one that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


# --- the subreaper ------------------------------------------------------------------------------
# Whatever a test starts stays below this program, even what forked twice, called setsid() and cleared its
# environment: orphans come to us instead of to init. So we owe them what init does, a wait().

_popen = subprocess.Popen
_own = set()  # children that a Popen will wait for
_spawning = 0


class Popen(_popen):
    """subprocess.Popen, known to the reaper, which leaves its exit status alone."""

    def __init__(self, *args, **kwargs):
        global _spawning
        _spawning += 1
        try:
            super().__init__(*args, **kwargs)
            _own.add(self.pid)
        finally:
            _spawning -= 1
        reap()

    def _handle_exitstatus(self, *args, **kwargs):
        _own.discard(self.pid)
        return super()._handle_exitstatus(*args, **kwargs)


_reaping = _again = False


def reap(*_):
    """Waits for every orphan that came to us and has ended. Also the handler of SIGCHLD, which may come meanwhile."""
    global _reaping, _again
    _again = True
    if _spawning or _reaping:
        return  # a child may exist that is not in _own yet; the end of the spawn calls us again
    _reaping = True
    try:
        while _again:
            _again = False
            _wait_for_orphans()
    finally:
        _reaping = False


def _wait_for_orphans():
    me = os.getpid()
    for p in all_processes().values():
        if p.ppid == me and p.state == "Z" and p.pid not in _own:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(p.pid, os.WNOHANG)


def become_subreaper():
    """Makes this program the reaper of everything below it. Call once, in the main thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    subprocess.Popen = Popen
    signal.signal(signal.SIGCHLD, reap)
