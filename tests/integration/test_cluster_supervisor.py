"""The supervisor is killed or upgraded while it shares out sockets: workers and clients see nothing."""

import os
import signal
import unittest

from clusters import SOAK, ClusterTestCase
from pmdtest import helper, kill, require

# Programs that listen when they are told to, and only then.
LATE = {
    "node": """
        process.on('SIGUSR2', () => require('http').createServer((q, r) => r.setHeader('X-Worker', String(process.pid)).end('ok'))
            .listen(PORT, '127.0.0.1'));
        setInterval(() => {}, 1000);
        require('fs').writeFileSync(`waits.${process.pid}`, '');""",
    "python3": """
import http.server, os, signal
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.send_header('X-Worker', str(os.getpid()))
        self.end_headers()
    def log_message(self, *a): pass
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
open(f'waits.{os.getpid()}', 'w').close()
signal.sigwait([signal.SIGUSR2])
http.server.ThreadingHTTPServer(('127.0.0.1', PORT), H).serve_forever()
""",
}

KILLS = 20 if SOAK else 2
UPGRADES = 5 if SOAK else 1


class Supervisor(ClusterTestCase):
    def kill_rounds(self, load):
        before = self.pids()
        for _ in range(KILLS):
            dead = self.supervisor_pid()
            kill(dead)
            self.wait_dead(dead)
            self.wait(lambda: self.supervisor_pid() != dead, message="another supervisor")
            self.pmctl("ping")
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)
        self.reload_rounds(load, 2)  # it still knows how

    def upgrade_rounds(self, load):
        before = self.pids()
        for _ in range(UPGRADES):
            self.pmctl("agent", "upgrade", timeout=60)
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)
        self.reload_rounds(load, 2)

    def test_no_request_fails_when_the_supervisor_is_killed(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.kill_rounds(load)

        self.each_way(body, only=["18", "20"] if SOAK else ["newest"])

    def test_no_request_fails_when_pmd_is_upgraded(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.upgrade_rounds(load)

        self.each_way(body, only=["18", "20"] if SOAK else ["newest"])

    def test_other_programs_survive_both(self):
        def body():
            with self.load(False) as load:
                self.kill_rounds(load)
                self.upgrade_rounds(load)

        self.others(body)

    def test_workers_that_listen_only_then_share_a_port(self):
        for name, source in LATE.items():
            with self.subTest(program=name):
                self.start_app(script=self.write("late", source.replace("PORT", str(self.port))), interpreter=require(name),
                               instances=2, exec_mode="cluster", listen_timeout=500)
                self.wait(lambda: all(os.path.exists(self.path(f"waits.{pid}")) for pid in self.pids()))
                before = self.pids()
                dead = self.supervisor_pid()
                kill(dead)
                self.wait_dead(dead)
                self.pmctl("agent", "upgrade", timeout=60)
                self.assertEqual(self.pmctl("agent", "status", "--json").json()["degraded"], [])
                for pid in before:
                    os.kill(pid, signal.SIGUSR2)
                self.wait(lambda: self.workers() == set(before), message="both of them")
                self.assertEqual(self.pids(), before)
            self.pmctl("delete", "api", check=False)

    def test_no_request_fails_when_the_supervisor_is_killed_during_reloads(self):
        self.start()
        with self.load(True) as load:
            for i in range(KILLS):
                command = self.pmctl_popen("reload", "api")
                load.wait_for(load.now()["requests"] + 40 * (i % 5))
                dead = self.supervisor_pid()
                kill(dead)
                self.wait_dead(dead)
                command.wait(60)
                self.pmctl("ping")
                self.wait(lambda: len(self.web_pids()) == 2, 40, lambda: f"two workers, not {self.web_pids()}")
                self.wait_status("api")
                load.wait_for(load.now()["requests"] + 100)

    def test_no_request_fails_when_the_supervisor_dies_at_any_step_of_a_reload(self):
        self.start(mode="stays")  # one that ends by itself has no last step
        with self.load(True) as load:
            for step in ("before_start", "before_swap", "between_roles", "after_swap", "before_drain", "before_stop"):
                with self.subTest(step=step):
                    dead = self.supervisor_pid()
                    self.run_command([helper("arm"), self.home, f"reload.{step}=kill"])
                    self.pmctl("reload", "api", check=False, timeout=60)
                    self.wait_dead(dead)
                    self.wait(lambda: len(self.web_pids()) == 2, 40, lambda: f"two workers, not {self.web_pids()}")
                    self.wait_status("api")
                    self.assertEqual(self.pids(), sorted(self.web_pids()))
                    load.wait_for(load.now()["requests"] + 200)
                    self.assertEqual(load.now()["failures"], 0)
            self.reload_rounds(load, 1)

    def web_pids(self):
        return [p.pid for p in self.processes() if any(a.endswith("web.js") for a in p.argv)]


if __name__ == "__main__":
    unittest.main()
