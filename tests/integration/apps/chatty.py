"""Writes numbered lines (see numbered.py): CHATTY_COUNT of them (0: no end), one every CHATTY_MS ms, to both streams
when CHATTY_BOTH is set. The writer is CHATTY_WRITER or the pid; stderr's is that with -err."""
import os
import signal
import time

writer = os.environ.get("CHATTY_WRITER", str(os.getpid()))
count = int(os.environ.get("CHATTY_COUNT", "0"))
pause = float(os.environ.get("CHATTY_MS", "10")) / 1000


def line(name, number, length=20):
    return f"{name}:{number:010d}:{length:05d}:{chr(97 + number % 26) * length};\n".encode()


def put(fd, data):
    while data:
        data = data[os.write(fd, data):]


number = 0
while count == 0 or number < count:
    put(1, line(writer, number))
    if os.environ.get("CHATTY_BOTH"):
        put(2, line(f"{writer}-err", number))
    number += 1
    time.sleep(pause)
while True:
    signal.pause()
