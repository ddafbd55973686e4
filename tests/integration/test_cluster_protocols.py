"""What Node apps listen on in cluster mode: each protocol, with each node; two workers, and a reload in between."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import unittest

from clusters import ROUNDS, SOAK, ClusterTestCase
from loads import nodes
from pmdtest import APPS, PATIENCE, require

TIMEOUT = 30 * PATIENCE


class Protocols(ClusterTestCase):
    def each(self, body):
        for name, node in nodes().items():
            if SOAK or name != "20":  # most other tests have that one
                with self.subTest(node=name):
                    body(node)
                self.pmctl("delete", "api", check=False)

    def serve(self, node, where, **keys):
        """Both workers listen; who answers is found out by ask() until all have."""
        self.start(node, where=where, wait=False, **keys)

    def seen_by(self, ask):
        """Asks until each worker has answered; then reloads, and again, of the new ones."""
        for again in (True, False):
            wanted, seen = set(self.pids()), set()

            def look():
                with contextlib.suppress(OSError):
                    seen.add(int(ask()))
                return wanted <= seen

            self.wait(look, message=lambda: f"answers of {wanted}, not only {seen}")
            self.assertEqual(seen, wanted)
            if again:
                self.pmctl("reload", "api", timeout=60)

    def http(self, s, host="localhost"):
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while chunk := s.recv(4096):
            data += chunk
        return data.partition(b"\r\n\r\n")[2].split(b"\n")[1 if b"chunked" in data else 0].split()[0]

    def connect(self, address, family=socket.AF_INET):
        s = socket.socket(family)
        s.settimeout(TIMEOUT)
        try:
            s.connect(address)
        except BaseException:
            s.close()
            raise
        return s

    def ask_http(self, address, family=socket.AF_INET):
        with self.connect(address, family) as s:
            return self.http(s)

    def test_http_on_the_address_that_is_all(self):
        def body(node):
            self.serve(node, str(self.port))
            self.seen_by(lambda: self.ask_http(("127.0.0.1", self.port)))
            with contextlib.suppress(OSError):  # a machine without IPv6
                socket.create_connection(("::1", self.port), timeout=TIMEOUT).close()
                self.seen_by(lambda: self.ask_http(("::1", self.port), socket.AF_INET6))

        self.each(body)

    def test_a_unix_socket(self):
        def body(node):
            path = self.path("web.sock")
            self.serve(node, path)
            self.seen_by(lambda: self.ask_http(path, socket.AF_UNIX))

        self.each(body)

    def test_a_port_that_the_machine_chooses(self):
        source = """const server = require('http').createServer((_, r) => r.end(String(process.pid)));
                    server.listen(0, '127.0.0.1', () => require('fs').writeFileSync('port-' + process.pid,
                        String(server.address().port)));"""

        def body(node):
            self.start_app(script=self.node("any.js", source), interpreter=node, instances=2, exec_mode="cluster")
            pids = self.pids()
            self.wait(lambda: all(self.read(f"port-{pid}") for pid in pids), message="ports")
            ports = {self.read(f"port-{pid}") for pid in pids}
            self.assertEqual(len(ports), 1, "workers share the port that was chosen")
            self.seen_by(lambda: self.ask_http(("127.0.0.1", int(next(iter(ports))))))

        self.each(body)

    def test_plain_tcp(self):
        def ask():
            with self.connect(self.address) as s:
                s.sendall(b"hello")
                return s.recv(100).split()[0]

        def body(node):
            self.serve(node, f"net:127.0.0.1:{self.port}")
            self.seen_by(ask)

        self.each(body)

    def test_udp(self):
        def ask():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(0.2 * PATIENCE)
                s.sendto(b"who", self.address)
                return s.recv(64)

        def body(node):
            self.serve(node, f"udp:127.0.0.1:{self.port}")
            self.seen_by(ask)

        self.each(body)

    # --- over TLS -----------------------------------------------------------------------------------

    def certificate(self):
        files = {"KEY": self.path("key.pem"), "CERT": self.path("cert.pem")}
        self.run_command([require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                          "-nodes", "-keyout", files["KEY"], "-out", files["CERT"], "-days", "2", "-subj",
                          "/CN=localhost"])
        return files

    def test_https(self):
        env = self.certificate()
        context = ssl.create_default_context(cafile=env["CERT"])
        context.check_hostname = False

        def ask():
            with context.wrap_socket(self.connect(self.address)) as s:
                return self.http(s)

        def body(node):
            self.serve(node, f"https:127.0.0.1:{self.port}", env=env)
            self.seen_by(ask)

        self.each(body)

    def test_http2_under_load(self):
        self.http2("http2", "http", {})

    def test_http2_over_tls_under_load(self):
        self.http2("http2s", "https", self.certificate())

    def is_open(self):
        with socket.socket() as s:
            return s.connect_ex(self.address) == 0

    def account_of(self, client, number):
        client.send_signal(number)
        return json.loads(client.stdout.readline())

    def http2(self, kind, scheme, env):
        def body(node):
            self.serve(node, f"{kind}:127.0.0.1:{self.port}", env=env)
            self.wait(self.is_open, message="a worker that listens: the start is answered after min_uptime without")
            client = self.popen([node, os.path.join(APPS, "cluster", "h2client.js"),
                                 f"{scheme}://127.0.0.1:{self.port}", "8"], stdout=subprocess.PIPE, text=True)
            self.assertEqual(client.stdout.readline(), "ready\n")
            for _ in range(min(ROUNDS, 10)):
                self.pmctl("reload", "api", timeout=60)
            self.wait(lambda: self.account_of(client, signal.SIGUSR1)["ok"] > 100, 60, "100 answers")
            account = self.account_of(client, signal.SIGTERM)
            self.assertEqual(account["failures"], 0, account)
            self.assertGreater(account["goaways"], 0, account)

        self.each(body)


if __name__ == "__main__":
    unittest.main()
