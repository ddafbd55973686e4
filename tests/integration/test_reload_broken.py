"""Releases that do not work: the old one serves on, and the reload says why. And the manners of reload."""

import socket
import unittest

from clusters import BROKEN, ClusterTestCase


class BrokenReleases(ClusterTestCase):
    def refused(self, what, **keys):
        """The reload fails in words; the old workers have served throughout."""
        self.start(**keys)
        before = self.pids()
        with self.load(False) as load:
            self.start_broken(what)
            done = self.pmctl("reload", "api", check=10, timeout=60)
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)
        self.assertEqual({int(worker) for worker in self.account["workers"]} - set(before), set())
        for app in self.instances("api"):
            self.assertEqual(app["pm2_env"]["status"], "online")
        self.assertIn("old one serves on", done.out + done.err)
        return done.out + done.err

    def test_one_that_throws_at_boot(self):
        said = self.refused("throws at boot")
        self.assertIn("broken release", said)

    def test_one_that_exits_with_a_status(self):
        said = self.refused("exits with a status")
        self.assertIn("no database", said)
        self.assertIn("7", said)

    def test_one_that_never_listens(self):
        said = self.refused("never listens", listen_timeout=1500)
        self.assertIn("thinking", said)

    def test_one_that_listens_and_dies(self):
        said = self.refused("listens and dies", min_uptime=1000)
        self.assertIn("dying", said)
        self.assertIn("9", said)

    def test_one_that_never_says_that_it_is_ready(self):
        self.start(mode="ready", wait_ready=True, listen_timeout=1500)
        before = self.pids()
        source = self.read("web.js").replace("process.send('ready')", "0")
        with self.load(True) as load:
            self.write("web.js", source)
            self.pmctl("reload", "api", check=10, timeout=60)
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)

    def test_one_that_answers_500(self):
        self.start(ready=f"http://127.0.0.1:{self.port}/", listen_timeout=3000)
        before = self.pids()
        with self.load(False) as load:
            self.start_broken("answers 500")
            done = self.pmctl("reload", "api", check=10, timeout=60)
            said = done.out + done.err
            load.wait_for(load.now()["requests"] + 100)
        self.assertEqual(self.pids(), before)
        self.assertIn("500", said)

    def test_the_next_release_that_works_is_taken(self):
        self.start()
        before = self.pids()
        working = self.read("web.js")
        with self.load(True) as load:
            for what in BROKEN:
                if what in ("never listens", "answers 500"):
                    continue  # the first takes its whole time, the other is bad only for who asks
                self.start_broken(what)
                self.pmctl("reload", "api", check=10, timeout=60)
            self.assertEqual(self.pids(), before)
            self.write("web.js", working)
            self.reload_rounds(load, 2)


class Manners(ClusterTestCase):
    def test_a_second_reload_says_that_one_is_under_way(self):
        self.start()
        slow = self.read("web.js") + "\n"
        self.write("web.js", "const until = Date.now() + 1500; while (Date.now() < until);\n" + slow)
        first = self.pmctl_popen("reload", "api", text=True)
        self.wait(lambda: len(self.web_processes()) > 2, message="a successor")
        self.pmctl("reload", "api", check=6)
        self.assertEqual(first.wait(60), 0, first.stderr.read())

    def web_processes(self):
        return [p for p in self.processes() if any(a.endswith("web.js") for a in p.argv)]

    def test_another_app_is_reloaded_meanwhile(self):
        self.start()
        other = self.node("other.js", "require('http').createServer((q, r) => r.end('x')).listen(0);")
        self.pmctl("start", other, "-i", "1", "--name", "other")
        self.write("web.js", "const until = Date.now() + 3000; while (Date.now() < until);\n" + self.read("web.js"))
        first = self.pmctl_popen("reload", "api", text=True)
        self.wait(lambda: len(self.web_processes()) > 2, message="a successor")
        self.pmctl("reload", "other")
        self.assertIsNone(first.poll(), "the other app's reload has waited for the first")
        self.assertEqual(first.wait(60), 0, first.stderr.read())

    def test_a_worker_that_begins_to_listen_while_it_is_reloaded(self):
        # It counts as online after min_uptime, before it listens; its successor has its own time for that.
        late = self.node("late.js", """setTimeout(() => require('http').createServer((q, r) => r.end('x')).listen(%d),
                                                  1500);""" % self.port)
        self.start_app(script=late, exec_mode="cluster", instances=1, min_uptime=1000)
        before = self.pids()
        self.pmctl("reload", "api")
        self.assertNotEqual(self.pids(), before)

    def test_a_request_in_a_worker_that_never_ends_is_cut_at_the_drain_timeout(self):
        self.start(drain_timeout=1000)
        with socket.create_connection(self.address, timeout=30) as s:
            s.sendall(b"GET /slow?600000 HTTP/1.1\r\nHost: x\r\n\r\n")
            self.pmctl("reload", "api", timeout=60)
            self.assertEqual(len(self.web_processes()), 2)


if __name__ == "__main__":
    unittest.main()
