"""A worker that does something every second and says so."""
import os
import signal
import sys
import time


def stop(_signal, _frame):
    print("stopping: work put away", flush=True)
    sys.exit(0)


signal.signal(signal.SIGINT, stop)
print(f"started: process {os.getpid()} works", flush=True)
count = 0
while True:
    time.sleep(1)
    count += 1
    print(f"did {count} things", flush=True)
