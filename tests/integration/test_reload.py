"""Reload: one version replaced by the next under load, and not by one that does not work."""

import os
import socket
import unittest

from clusters import BROKEN, ROUNDS, SOAK, ClusterTestCase, Load
from pmdtest import APPS, helper, require


class NodeApps(ClusterTestCase):
    def test_no_request_fails_while_an_app_is_reloaded(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.reload_rounds(load)

        self.each_way(body, ["naive", "graceful"] + (["quits", "proxy"] if SOAK else []))

    def test_an_app_that_says_when_it_is_ready(self):
        def body(node, mode, keep):
            self.start(node, mode, wait_ready=True)
            with self.load(keep) as load:
                self.reload_rounds(load)

        self.each_way(body, ["ready"])

    def test_answers_that_are_on_their_way(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep, path="/stream?30", requests=200) as load:
                self.reload_rounds(load)

        self.each_way(body, only=["20"])

    def test_clients_that_are_often_idle(self):
        self.start(mode="graceful")
        with self.load(True, connections=40, rate=200, requests=200) as load:
            self.reload_rounds(load)

    def test_a_unix_socket(self):
        path = self.path("web.sock")

        def body(_, mode, keep):
            self.address = path
            self.start(mode=mode, where=path)
            with self.load(keep) as load:
                self.reload_rounds(load)

        self.each_way(body, ["naive", "graceful"], only=["20"])

    def test_more_workers_than_one(self):
        self.start(instances=4)
        with self.load(False) as load:
            self.reload_rounds(load, max(ROUNDS // 2, 2))


class OtherApps(ClusterTestCase):
    """Through the preload library."""

    def reload_under_load(self, keep=False, **keys):
        self.start_app(exec_mode="cluster", instances=2, **keys)
        with self.load(keep) as load:
            self.reload_rounds(load)

    def test_python_and_c(self):
        def body():
            with self.load(False) as load:
                self.reload_rounds(load)

        self.others(body)

    def test_a_c_program_that_takes_the_sockets_it_is_given(self):
        for program in ("listeners", "listeners_static"):
            with self.subTest(program):
                self.reload_under_load(script=helper(program), interpreter="none", args=["given", "0"],
                                       listen=[f"tcp://127.0.0.1:{self.port}"])
            self.pmctl("delete", "api")

    def test_webrick(self):
        self.reload_under_load(script=require("ruby"), interpreter="none",
                               args=[os.path.join(APPS, "shim", "web.rb"), str(self.port)])

    def test_puma(self):
        self.reload_under_load(script=require("puma"), interpreter="none", kill_signal="SIGTERM",
                               args=["-q", "-e", "production", "-b", f"tcp://127.0.0.1:{self.port}",
                                     os.path.join(APPS, "shim", "config.ru")])

    def test_php(self):
        self.reload_under_load(script=require("php"), interpreter="none",
                               args=["-S", f"127.0.0.1:{self.port}", os.path.join(APPS, "shim", "web.php")])

    def test_a_static_program_is_not_taken_for_one_that_shares(self):
        done = self.start_app(script=helper("listeners_static"), interpreter="none", args=["serve", str(self.port)],
                              exec_mode="cluster", instances=2, check=False)
        self.assertNotEqual(done.code, 0, done)
        self.assertRegex(done.out + done.err, "static|preload", done)

    def test_gunicorn(self):
        self.reload_under_load(script="/usr/bin/python3", interpreter="none", kill_signal="SIGTERM",
                               args=["-m", "gunicorn", "--chdir", os.path.join(APPS, "shim"), "-b",
                                     f"127.0.0.1:{self.port}", "web:wsgi"])

    def uvicorn(self, **keys):
        return dict(script="/usr/bin/python3", interpreter="none", kill_signal="SIGTERM",
                    args=["-m", "uvicorn", "--app-dir", os.path.join(APPS, "shim"), "--log-level", "warning", "--port",
                          str(self.port), "web:asgi"], **keys)

    def test_uvicorn(self):
        self.reload_under_load(**self.uvicorn())

    def test_a_server_that_cannot_say_that_a_kept_connection_ends(self):
        # It goes on answering on kept connections until the drain timeout, and then cuts them: each may lose a request.
        self.start_app(exec_mode="cluster", instances=1, **self.uvicorn(drain_timeout=1000))
        connections = 8
        with Load(self.address, True, connections=connections) as load:
            load.wait_for(200)
            self.pmctl("reload", "api", timeout=60)
            load.wait_for(load.now()["requests"] + 200)
            account = load.finish()
        self.assertLessEqual(account["failures"], connections, account)
        self.assertEqual(account["failures"], account["failed"]["reset_before"], account)


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

    def test_the_next_release_that_works_is_taken(self):
        self.start()
        before = self.pids()
        working = self.read("web.js")
        with self.load(True) as load:
            for what in BROKEN:
                if what == "never listens":
                    continue  # it would take its whole time
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

    def test_a_reload_right_behind_the_start(self):
        # The first worker has been up for min_uptime, and counts as online, before it listens.
        late = self.node("late.js", """setTimeout(() => require('http').createServer((q, r) => r.end('x')).listen(%d),
                                                  600);""" % self.port)
        self.start_app(script=late, exec_mode="cluster", instances=1, min_uptime=50)
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
