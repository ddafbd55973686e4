"""Leaves descendants of every kind, then waits (or, with the argument `exit`, ends with 0):
a child, a child in a group of its own, one in a session of its own, a double-forked daemon, three nested sessions,
and a daemon whose environment, argv and directory are not ours. All ignore SIGINT and SIGTERM.
Writes all their pids into FORKER_PIDS (a file), one a line, when all of them run."""
import os
import signal
import sys

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
ready_r, ready_w = os.pipe()


def stay():
    os.write(ready_w, f"{os.getpid()}\n".encode())
    while True:
        signal.pause()


def child(body):
    if os.fork() == 0:
        body()
        os._exit(0)


def daemon():
    os.setsid()
    child(stay)


def nested(depth=3):
    os.setsid()
    if depth == 0:
        stay()
    child(lambda: nested(depth - 1))


def disguised():
    os.setsid()
    if os.fork() == 0:
        os.write(ready_w, f"{os.getpid()}\n".encode())
        os.chdir("/")
        os.execve("/bin/sleep", ["kworker/0:7", "100000"], {})


child(stay)
child(lambda: (os.setpgid(0, 0), stay()))
child(lambda: (os.setsid(), stay()))
child(daemon)
child(nested)
child(disguised)

text = b""
while text.count(b"\n") < 6:
    text += os.read(ready_r, 4096)
path = os.environ.get("FORKER_PIDS")
if path:
    with open(path + ".new", "wb") as file:
        file.write(text)
    os.rename(path + ".new", path)
print("forked", text.decode().split(), flush=True)
if sys.argv[1:] == ["exit"]:
    sys.exit(0)
while True:
    signal.pause()
