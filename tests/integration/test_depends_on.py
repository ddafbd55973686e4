"""depends_on: who waits for whom at a start, at boot and at the end."""

import os
import signal
import unittest

from pmdtest import PmdTestCase

LOG = 'echo "$name up $(date +%s%N)" >>events\ntrap \'echo "$name down" >>events; exit 0\' INT\n'
STAY = "while :; do sleep 0.05; done"


class DependsOn(PmdTestCase):
    def app_of(self, name, script=STAY, **keys):
        path = self.write(f"{name}.sh", f"#!/bin/sh\n{LOG}{script}\n", 0o755)
        return dict(name=name, script=path, interpreter="none", **keys)

    def start(self, *apps, check=True, args=()):
        return self.pmctl("start", self.write("apps.json", {"apps": list(apps)}), *args, check=check)

    def events(self):
        return [line.split()[:2] for line in self.read("events").splitlines()]

    def at(self, name, what="up"):
        return self.events().index([name, what])

    def test_an_app_starts_after_what_it_needs(self):
        # Declared in the wrong order; db is ready only when it says so.
        db = self.app_of("db")
        db.update(script=self.node("db.js", """
            const fs = require('fs'); fs.appendFileSync('events', 'db up\\n');
            setTimeout(() => { fs.appendFileSync('events', 'db ready\\n'); process.send('ready'); }, 700);
            process.on('SIGINT', () => { fs.appendFileSync('events', 'db down\\n'); process.exit(0); });
            setInterval(() => {}, 1e9);"""), interpreter="node", wait_ready=True, listen_timeout=20000)
        self.start(self.app_of("web", depends_on=["api"]), self.app_of("api", depends_on=["db"], instances=2), db)
        for name in ("web", "api", "db"):
            self.wait_status(name)
        self.wait(lambda: ["web", "up"] in self.events(), message="web")
        self.assertLess(self.at("db", "ready"), self.at("api"))
        names = [e for e in self.events() if e[1] == "up"]
        self.assertEqual(names, [["db", "up"], ["api", "up"], ["api", "up"], ["web", "up"]])

    def test_a_dependency_that_fails_fails_what_needs_it_in_words(self):
        out = self.start(self.app_of("c", depends_on=["b"]), self.app_of("b", depends_on=["a"]),
                         self.app_of("a", "exit 9", autorestart=False), self.app_of("alone"), check=10)
        text = out.out + out.err
        self.assertIn("dependency a did not start", text)
        self.assertIn("dependency b did not start", text)
        self.assertEqual([self.status(n) for n in ("a", "b", "c", "alone")],
                         ["stopped", "stopped", "stopped", "online"])
        self.assertNotIn(["b", "up"], self.events())

    def test_start_timeout_bounds_the_wait(self):
        slow = dict(name="slow", script=self.node("slow.js", "setInterval(() => {}, 1e9)"), wait_ready=True,
                    listen_timeout=60000)
        config = self.write("apps.json", {"apps": [slow, self.app_of("b", depends_on=["slow"], start_timeout=300)]})
        child = self.pmctl_popen("start", config, text=True)
        self.wait(lambda: [a["name"] for a in self.apps()] == ["slow", "b"], message="both declared")
        first = self.wait(child.stderr.readline, message="words about b")
        self.assertIn("dependency slow did not start in time", first)
        self.assertEqual(self.status("slow"), "launching")
        self.pmctl("stop", "slow")
        child.communicate(timeout=30)
        self.assertEqual(child.returncode, 10)

    def test_what_had_no_turn_within_the_time_given_is_said_and_not_started_later(self):
        slow = dict(name="slow", script=self.node("slow.js", "setInterval(() => {}, 1e9)"), wait_ready=True,
                    listen_timeout=60000)
        out = self.start(slow, self.app_of("b", depends_on=["slow"]), args=("--timeout", "1s"), check=15)
        self.assertIn("b (1): declared, but not started: its turn did not come in time", out.err)
        self.assertIn("slow (0): not done in time; it goes on in the background", out.err)
        self.assertEqual(self.status("b"), "stopped")
        supervisor = self.supervisor_pid()
        os.kill(supervisor, signal.SIGKILL)
        self.wait_dead(supervisor)
        self.wait_status("slow", "launching")
        self.pmctl("stop", "slow")
        self.assertEqual(self.status("b"), "stopped")
        self.assertNotIn(["b", "up"], self.events())

    def test_cycles_and_unknown_names_are_refused_before_anything_starts(self):
        out = self.start(self.app_of("a", depends_on=["b"]), self.app_of("b", depends_on=["c"]),
                         self.app_of("c", depends_on=["a"]), check=8)
        for part in ("a needs b", "b needs c", "c needs a"):
            self.assertIn(part, out.out + out.err)
        self.assertEqual(self.apps(), [])
        out = self.start(self.app_of("a", depends_on=["nobody"]), check=8)
        self.assertIn("nobody", out.out + out.err)
        # A cycle through what is declared already.
        self.start(self.app_of("a"))
        self.start(self.app_of("b", depends_on=["a"]))
        out = self.start(self.app_of("a", depends_on=["b"]), check=8)
        self.assertIn("a needs b", out.out + out.err)

    def test_what_runs_already_is_not_waited_for(self):
        self.start(self.app_of("a"))
        self.start(self.app_of("b", depends_on=["a"]))
        self.wait_status("b")

    def test_at_the_end_the_order_is_the_reverse_and_at_boot_it_is_kept(self):
        self.start(self.app_of("a"), self.app_of("b", depends_on=["a"]), self.app_of("c", depends_on=["b"]))
        self.wait(lambda: len(self.events()) == 3, message="all up")
        agents = list(self.agents())
        os.kill(self.keeper_pid(), signal.SIGTERM)
        for pid in agents:
            self.wait_dead(pid)
        self.assertEqual(self.events()[3:], [["c", "down"], ["b", "down"], ["a", "down"]])
        self.pmctl("ping")
        for name in "abc":
            self.wait_status(name)
        self.wait(lambda: len(self.events()) == 9, message="all up again")
        self.assertEqual(self.events()[6:], [["a", "up"], ["b", "up"], ["c", "up"]])
        self.pmctl("kill")
        self.assertEqual(self.events()[9:], [["c", "down"], ["b", "down"], ["a", "down"]])


if __name__ == "__main__":
    unittest.main()
