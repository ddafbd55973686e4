"""Gates between the batches of a rollout (F-25): nothing goes past one that has not passed."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import tempfile
import threading
import time
import urllib.parse

from test_rollouts import APPS, RolloutTestCase

SOON = ("--gate-retries", "1", "--gate-wait", "100ms", "--batch", "1,4", "--max-down", "4")


class Asked:
    """A server that answers as the test says, and notes what it was asked."""

    def __init__(self, test):
        self.status, self.body, self.seen, self.headers, self.open = 200, b"", [], {}, threading.Event()
        self.open.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append(self.path)
                outer.open.wait(60)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked may have gone
                    self.wfile.write(outer.body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        test.addCleanup(self.server.server_close)
        test.addCleanup(self.server.shutdown)
        test.addCleanup(self.open.set)

    def sample(self, *values):
        self.body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {}, "value": [time.time(), value]} for value in values]}}).encode()


class Gates(RolloutTestCase):
    def setUp(self):
        super().setUp()
        self.lb = Asked(self)

    def gated(self, *gates, script=APPS, check=True, options=SOON, what=("reload", "api")):
        return self.roll(*what, *(word for gate in gates for word in ("--gate", gate)), *options, check=check)

    def story(self, number):
        return [e["text"] for e in self.show(number)["story"]]

    def assert_told(self, number, *parts):
        self.assertTrue(any(all(p in line for p in parts) for line in self.story(number)), self.story(number))


class Http(Gates):
    def test_f25_a_gate_that_passes_lets_the_next_batch_begin(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        number = self.gated(f"http {self.lb.url}/health?x=1").json()["rollout"]["id"]
        shown = self.show(number)
        self.assertEqual(shown["rollout"]["state"], "succeeded")
        self.assert_each_once()
        self.assertEqual(self.lb.seen, ["/health?x=1"])  # between two batches: once
        self.assert_told(number, "gate 'http ", "passed", "it answers 200")
        self.assertIn(f"http {self.lb.url}/health?x=1", self.pmctl("rollout", "show", number).out)

    def test_f25_one_that_fails_pauses_and_is_asked_again_by_who_resumes(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        self.lb.status = 503
        done = self.gated(f"http {self.lb.url}/", check=False)
        self.assertEqual(done.code, 13, done.err)
        shown = done.json()
        number = shown["rollout"]["id"]
        self.assertEqual(shown["rollout"]["state"], "paused")
        self.assertIn("it answers 503", shown["rollout"]["why"])
        self.assertEqual(self.hosts_that_did(), ["web1"])
        self.assertEqual(len(self.lb.seen), 2)  # and once more, as --gate-retries says
        self.pmctl("rollout", "resume", number)
        self.wait(lambda: len(self.lb.seen) == 4, message="it is asked again")
        self.wait_state(number, "paused")
        self.assertEqual(self.hosts_that_did(), ["web1"])
        self.lb.status = 204
        self.pmctl("rollout", "resume", number)
        self.wait_state(number, "succeeded")
        self.assert_each_once()

    def test_f25_one_that_fails_rolls_back_where_that_is_wanted(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        self.lb.status = 500
        done = self.gated(f"http {self.lb.url}/", what=("apply", self.release("1.4.2")),
                          options=(*SOON, "--on-failure", "rollback"), check=False)
        self.assertEqual(done.code, 14)
        self.assertEqual([(d[0], d[1]) for d in self.did if d[1] == "revert"], [("web1", "revert")])
        self.assertIn("it answers 500", done.json()["rollout"]["why"])

    def test_f25_continue_and_promote_do_not_go_past_it(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        self.lb.open.clear()
        number = self.gated(f"http {self.lb.url}/", options=(*SOON, "--on-failure", "continue", "--no-wait"),
                            check=False).json()["rollout"]["id"]
        self.wait(lambda: self.show(number)["rollout"].get("hold") == "gate", message="the gate is asked")
        said = self.pmctl("rollout", "promote", number, check=False)
        self.assertEqual(said.code, 2)
        self.assertIn("gate", said.err)
        self.lb.status = 404
        self.lb.open.set()
        self.wait_state(number, "paused")
        self.assertEqual(self.hosts_that_did(), ["web1"])

    def test_f25_no_answer_in_time_and_a_redirect_are_failures(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        self.lb.status, self.lb.headers = 302, {"Location": "http://127.0.0.1:1/"}
        done = self.gated(f"http {self.lb.url}/", check=False)
        self.assertIn("it answers 302: no redirect is followed", done.json()["rollout"]["why"])
        self.pmctl("rollout", "abort", done.json()["rollout"]["id"])
        self.wait_state(done.json()["rollout"]["id"], "aborted")
        self.lb.open.clear()
        done = self.gated(f"http {self.lb.url}/", options=(*SOON, "--gate-timeout", "200ms"), check=False)
        self.assertEqual(done.code, 13)
        self.assertIn("no answer within 200 ms", done.json()["rollout"]["why"])

    def test_f25_the_coordinator_asks_only_whom_it_may(self):
        self.fleet_of()
        done = self.gated(f"http {self.lb.url}/", check=False)
        self.assertEqual(done.code, 5)
        self.assertIn("--gate-allow", done.err)
        done = self.gated("prom up > 0", check=False)
        self.assertEqual(done.code, 5)
        self.assertIn("--prometheus", done.err)
        for gate, words in (("http https://lb/health", "TLS"), ("exec ./check.sh", "/etc/pmd/gates"),
                            ("smtp x", "exec, http or prom")):
            done = self.gated(gate, check=False)
            self.assertIn(words, done.err)
            self.assertNotEqual(done.code, 0)
        self.assertEqual(self.did, [])
        self.stop_coordinator()
        self._coordinator_args += ["--gate-allow", "10.0.0.0/8"]
        self.start_coordinator()
        self.wait_up(5)
        done = self.gated(f"http {self.lb.url}/", check=False)
        self.assertEqual(done.code, 13)
        self.assertIn("no address of 127.0.0.1 is allowed", done.json()["rollout"]["why"])
        self.assertEqual(self.lb.seen, [])
        self.assertEqual(self.hosts_that_did(), ["web1"])

    def test_f25_a_file_names_gates(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        path = self.release("1.4.2")
        with open(path) as file:
            config = json.load(file)
        config["apps"][0]["rollout"] = {"batch": "1,4", "max_down": "4", "gate_retries": 0,
                                        "gates": [f"http {self.lb.url}/a", f"http {self.lb.url}/b"]}
        with open(path, "w") as file:
            json.dump(config, file)
        self.roll("apply", path)
        self.assertEqual(self.lb.seen, ["/a", "/b"])
        config["apps"][0]["rollout"]["gates"] = ["exec ./check.sh"]
        with open(path, "w") as file:
            json.dump(config, file)
        self.assertIn("/etc/pmd/gates", self.pmctl("check", path, check=8).out)

    def test_f25_a_coordinator_that_dies_while_it_asks_asks_again(self):
        self.fleet_of(coordinator=("--gate-allow", "127.0.0.0/8"))
        self.lb.open.clear()
        number = self.gated(f"http {self.lb.url}/", options=(*SOON, "--gate-timeout", "60s", "--no-wait"),
                            check=False).json()["rollout"]["id"]
        self.wait(lambda: len(self.lb.seen) == 1, message="the gate is asked")
        self.coordinator_process.send_signal(signal.SIGKILL)
        self.coordinator_process.wait(20)
        self.lb.open.set()
        self.start_coordinator()
        self.wait_up(5)
        self.wait_state(number, "succeeded")
        self.assertEqual(len(self.lb.seen), 2)
        self.assert_each_once()


class Prometheus(Gates):
    def test_f25_a_query_decides(self):
        self.fleet_of(coordinator=("--prometheus", f"{self.lb.url}/prom/"))
        self.lb.sample("1", "0.5")
        gate = 'prom up{job="api"} > 0.99'
        done = self.gated(gate, check=False)
        self.assertEqual(done.code, 13)
        self.assertIn("1 of 2 samples do not hold: 0.5", done.json()["rollout"]["why"])
        url = urllib.parse.urlparse(self.lb.seen[0])
        self.assertEqual((url.path, urllib.parse.parse_qs(url.query)),
                         ("/prom/api/v1/query", {"query": ['up{job="api"}']}))
        self.assertEqual(self.hosts_that_did(), ["web1"])
        self.lb.sample("1", "0.995")
        number = done.json()["rollout"]["id"]
        self.pmctl("rollout", "resume", number)
        self.wait_state(number, "succeeded")
        self.assert_told(number, gate, "passed", "2 samples")


class Programs(Gates):
    def setUp(self):
        super().setUp()
        self.gates = tempfile.mkdtemp(prefix="pmd-gates")
        self.addCleanup(shutil.rmtree, self.gates, True)
        os.chmod(self.gates, 0o755)
        self.notes = os.path.join(tempfile.mkdtemp(prefix="pmd-notes"), "notes")
        os.chmod(os.path.dirname(self.notes), 0o777)
        self.addCleanup(shutil.rmtree, os.path.dirname(self.notes), True)

    def gate(self, name, text, mode=0o755):
        path = os.path.join(self.gates, name)
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, mode)

    def test_f25_what_root_has_put_there_is_run(self):
        self.gate("check", f'echo "$PMD_BATCH/$PMD_BATCHES $PMD_APPS $#" >> {self.notes}\necho looks bad\n'
                           f"[ -e {self.notes}.good ]\n")
        self.fleet_of(coordinator=("--gates", self.gates))
        done = self.gated("exec check", check=False)
        if os.geteuid() != 0:  # what is not root's is nobody's gate
            self.assertEqual(done.code, 5)
            self.assertIn("not root's", done.err)
            return
        self.assertEqual(done.code, 13, done.err)
        self.assertIn("exit code 1: looks bad", done.json()["rollout"]["why"])
        self.assertEqual(self.read(self.notes), "2/2 api 0\n" * 2)
        with open(f"{self.notes}.good", "w"):
            pass
        number = done.json()["rollout"]["id"]
        self.pmctl("rollout", "resume", number)
        self.wait_state(number, "succeeded")
        self.assert_each_once()

    def test_f25_one_that_does_not_end_is_killed_with_its_children(self):
        if os.geteuid() != 0:
            return  # as above
        self.gate("hang", f"sleep 1000 & echo $! $$ > {self.notes}\nwait\n")
        self.fleet_of(coordinator=("--gates", self.gates))
        done = self.gated("exec hang", options=("--gate-retries", "0", "--gate-timeout", "500ms", "--batch", "1,4",
                                                "--max-down", "4"), check=False)
        self.assertEqual(done.code, 13, done.err)
        self.assertIn("no end within 500 ms", done.json()["rollout"]["why"])
        for pid in self.read(self.notes).split():
            self.wait_dead(int(pid))

    def test_f25_what_others_may_write_is_no_gate(self):
        self.gate("loose", "exit 0\n", 0o777)
        self.gate("data", "exit 0\n", 0o644)
        os.symlink("/bin/true", os.path.join(self.gates, "link"))
        self.fleet_of(coordinator=("--gates", self.gates))
        for name, code in (("loose", 5), ("link", 5), ("data", 5), ("nothing", 4 if os.geteuid() == 0 else 5)):
            done = self.gated(f"exec {name}", check=False)
            self.assertEqual(done.code, code, f"{name}: {done.err}")
        os.chmod(self.gates, 0o777)
        self.assertEqual(self.gated("exec data", check=False).code, 5)
        self.assertEqual(self.did, [])
