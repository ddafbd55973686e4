"""Says hello and its pid, then waits; on SIGINT or SIGTERM it says which and ends with 0."""
import os
import signal
import sys


def end(number, _frame):
    print(f"got {signal.Signals(number).name}", flush=True)
    sys.exit(0)


signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
print(f"hello from python {os.getpid()} {' '.join(sys.argv[1:])}", flush=True)
print("an error line", file=sys.stderr, flush=True)
while True:
    signal.pause()
