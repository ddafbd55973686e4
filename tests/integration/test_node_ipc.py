"""Node's message channel in fork mode: readiness, messages both ways, and a flood of them."""

import os
import time
import unittest

from pmdtest import PmdTestCase, kill


class NodeIpc(PmdTestCase):
    def start(self, name, source, check=True, **keys):
        config = self.write(f"{name}.json", {"apps": [dict(name=name, script=self.node(f"{name}.js", source), **keys)]})
        return self.pmctl("start", config, check=check)

    def test_wait_ready_waits_for_the_word(self):
        self.start("a", """setTimeout(() => { require('fs').writeFileSync('told', 'x'); process.send('ready'); }, 600);
                           setInterval(() => {}, 1e9);""", wait_ready=True, listen_timeout=20000)
        self.assertEqual(self.read("told"), "x")  # start was answered after it
        self.assertEqual(self.status("a"), "online")

    def test_not_ready_in_time_fails_the_order_in_words_and_leaves_it_running(self):
        out = self.start("a", "setInterval(() => {}, 1e9);", check=10, wait_ready=True, listen_timeout=300)
        self.assertIn("not ready in time", out.out + out.err)
        self.assertIn("listen_timeout", out.out + out.err)
        self.wait_status("a")
        self.assertEqual(self.restarts("a"), 0)

    def test_an_app_that_ends_before_it_is_ready_fails_at_once(self):
        began = time.monotonic()
        out = self.start("a", "console.error('no database'); process.exit(3);", check=10, wait_ready=True,
                         listen_timeout=60000, autorestart=False)
        self.assertLess(time.monotonic() - began, 50)
        self.assertIn("code 3", out.out + out.err)
        self.assertIn("no database", out.out + out.err)

    def test_any_program_may_say_ready(self):
        script = self.write("r.py", """
import os, signal
fd = int(os.environ['NODE_CHANNEL_FD'])
os.write(fd, b'"rea'); os.write(fd, b'dy"\\n')
signal.pause()
""")
        self.pmctl("start", script, "--wait-ready", "--listen-timeout", "20000")
        self.wait_status("r")

    def test_the_channel_outlives_a_supervisor(self):
        self.start("a", """process.on('disconnect', () => console.log('disconnected'));
                           process.on('message', (m) => { console.log('got', m); process.exit(7); });
                           setInterval(() => console.log('connected', process.connected), 50);""",
                   shutdown_with_message=True, kill_timeout=30000)
        self.wait_text(self.log("a"), "connected true")
        pid, before = self.pid("a"), self.supervisor_pid()
        kill(before)
        self.wait(lambda: self.supervisor_pid() != before, message="a new supervisor")
        self.wait_status("a")
        size = len(self.read(self.log("a")))
        self.wait(lambda: "connected true" in self.read(self.log("a"))[size:], message="still connected")
        self.assertEqual(self.pid("a"), pid)
        self.pmctl("stop", "a")
        text = self.read(self.log("a"))
        self.assertNotIn("disconnected", text)
        self.assertIn("got shutdown", text)
        self.assertEqual(self.app("a")["pm2_env"]["exit_code"], 7)

    def test_an_app_that_closes_its_channel_is_stopped_by_a_signal(self):
        self.start("a", "process.disconnect(); console.log('up'); setInterval(() => {}, 1e9);",
                   shutdown_with_message=True, kill_timeout=30000)
        self.wait_text(self.log("a"), "up")
        self.pmctl("stop", "a")
        self.assertEqual(self.status("a"), "stopped")

    def test_a_flood_of_messages_harms_nobody(self):
        self.start("quiet", "setInterval(() => {}, 1e9);")
        self.start("flood", """const big = 'x'.repeat(60000);
            console.log('up');
            (function more() { for (let i = 0; i < 50; i++) process.send({ big }); setImmediate(more); })();""",
                   max_memory_restart="2G")
        self.wait_text(self.log("flood"), "up")
        rss = []
        for _ in range(20):
            self.assertEqual(self.status("quiet"), "online")
            with open(f"/proc/{self.supervisor_pid()}/statm") as file:
                rss.append(int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20)
        print(f"supervisor's memory in a flood of messages: {rss} MiB")
        self.assertLess(max(rss), 64)
        self.pmctl("restart", "quiet")

    def test_a_message_without_an_end_is_dropped(self):
        script = self.write("endless.py", """
import os, signal
fd = int(os.environ['NODE_CHANNEL_FD'])
for _ in range(64): os.write(fd, b'x' * 65536)
os.write(fd, b'\\n"ready"\\n')
signal.pause()
""")
        self.pmctl("start", script, "--wait-ready", "--listen-timeout", "20000")
        self.wait_status("endless")


if __name__ == "__main__":
    unittest.main()
