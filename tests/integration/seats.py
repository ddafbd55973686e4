"""Workers of one app under a played supervisor: tests/helpers/cluster_supervisor.c. No agent runs here."""

import os
import re
import select
import signal
import subprocess
import tempfile
import time

from pmdtest import PATIENCE, Popen, descendants, helper, kill, process


class Seats:
    """An app of two seats under a played supervisor, whose words are cluster_supervisor.c's."""

    def __init__(self, preload, command, env=None, cwd=None):
        self.log = tempfile.TemporaryFile()
        self.lines, self.rest, self.pids = [], b"", {}
        self.process = Popen([helper("cluster_supervisor"), preload, *command], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=self.log, cwd=cwd, env={**os.environ, **(env or {})})

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        children = descendants([self.process.pid])
        self.process.stdin.close()
        for child in children:
            kill(child.pid)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if kind is not None:
            self.log.seek(0)
            print(self.log.read().decode(errors="replace"), flush=True)
        self.log.close()

    def expect(self, pattern):
        """The first line that matches, now or later; others stay for those who expect them."""
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            for i, line in enumerate(self.lines):
                match = re.fullmatch(pattern, line)
                if match:
                    del self.lines[i]
                    return match
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise AssertionError(f"no line {pattern!r}, but {self.lines}")
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.lines += [line.decode() for line in lines]

    def say(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def start(self, seat, generation=0):
        self.say(f"start {seat} {generation}")
        pid = int(self.expect(rf"started {seat} {generation} (\d+)")[1])
        self.pids[seat, generation] = pid
        return pid

    def listening(self, seat, generation=0):
        return self.expect(rf"listening {seat} {generation} (.*)")[1]

    def steer(self, *workers):
        """New connections go to these workers alone."""
        for ready in (True, False):
            for seat in (0, 1):
                for generation in (0, 1):
                    if ((seat, generation) in workers) == ready:
                        self.say(f"steer {seat} {generation} {int(ready)}")
                        self.expect("steered")

    def waiting(self, seat, generation=0):
        self.say(f"waiting {seat} {generation}")
        return int(self.expect(r"waiting (\d+)")[1])

    def end(self, seat, generation, number=signal.SIGTERM):
        pid = self.pids.pop((seat, generation))
        children = descendants([pid])
        os.kill(pid, number)
        wait_gone(pid)
        for child in children:
            kill(child.pid)


def wait_gone(pid):
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], 30 * PATIENCE)[0]:
            raise AssertionError(f"{pid} does not end")
    finally:
        os.close(fd)


def wait_stopped(pid):
    """Until a SIGSTOP has done its work: what runs just then may do something yet."""
    end = time.monotonic() + 30 * PATIENCE
    while process(pid).state != "T":
        if time.monotonic() > end:
            raise AssertionError(f"{pid} does not stop")
        time.sleep(0.002)
