"""A port for a test's server."""

import contextlib
import random
import socket


def free_port():
    """A port that is free now, and that no client on this machine gets by itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low = int(file.read().split()[0])
    while True:
        port = random.randrange(10000, low)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port
