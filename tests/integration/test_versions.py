"""Versions of an app's settings: what they are called, what became of them, what can be gone back to."""

import os
import unittest
import uuid

from coordinators import ALICE, DELETE, DENIED, OK, RELOAD, ROOT, SCALE
from loads import Load
from pmdtest import process
from reloads import ReloadCase
from test_uplink import Joined

REVERT, HISTORY = 23, 24  # verbs
NOT_FOUND, LOCKED = 4, 6  # codes


class VersionCase(ReloadCase):
    def release(self, n, instances=2, **keys):
        env = {"RELEASE": n, **keys.pop("env", {})}
        return self.write(f"next-{n}.json", {"apps": [self.api(instances, env=env, **keys)]})

    def names(self):
        """What each instance says that it runs with."""
        return [a["pm2_env"]["spec_hash"] for a in sorted(self.instances("api"), key=lambda a: a["pm_id"])]

    def name(self):
        names = set(self.names())
        self.assertEqual(len(names), 1, names)
        return names.pop()

    def outcomes(self, *args, check=0):
        return self.pmctl(*args, "--json", check=check, timeout=60).json()["outcomes"]


class Names(VersionCase):
    def test_every_outcome_says_from_what_to_what(self):
        """F-22: what a step did is known by its answer."""
        first = self.outcomes("start", self.release(1))
        one = self.name()
        self.assertEqual([(o.get("spec_from"), o["spec_to"]) for o in first], [(None, one)] * 2)
        second = self.outcomes("startOrReload", self.release(2))
        two = self.name()
        self.assertNotEqual(one, two)
        self.assertEqual([(o["spec_from"], o["spec_to"]) for o in second], [(one, two)] * 2)
        for verb in ("reload", "restart"):
            same = self.outcomes(verb, "api")
            self.assertEqual([(o["spec_from"], o["spec_to"]) for o in same], [(two, two)] * 2)
        patched = self.outcomes("reload", "api", "--kill-timeout", "3000")
        three = self.name()
        self.assertEqual([(o["spec_from"], o["spec_to"]) for o in patched], [(two, three)] * 2)
        scaled = self.outcomes("scale", "api", "3")
        four = self.name()  # also of those that were there
        self.assertNotIn(four, (one, two, three))
        self.assertEqual([(o["spec_from"], o["spec_to"]) for o in scaled], [(three, four)])
        gone = self.outcomes("delete", "api")
        self.assertEqual([(o["spec_from"], o.get("spec_to")) for o in gone], [(four, None)] * 3)

    def test_the_same_file_has_the_same_name(self):
        self.pmctl("start", self.release(1), env={"LANG": "C"})
        one = self.name()
        self.pmctl("delete", "api")
        self.pmctl("start", self.release(1), env={"LANG": "C.UTF-8", "EDITOR": "ed"})
        self.assertEqual(self.name(), one)
        self.pmctl("reload", "api", "--update-env", env={"LANG": "POSIX"})
        self.assertEqual(self.name(), one)

    def test_what_could_not_be_replaced_says_what_it_runs_with(self):
        self.start_api(env={"RELEASE": 1})
        one = self.name()
        failed = self.outcomes("startOrReload", self.release(2, env={"HOW": "throw"}), check=10)
        self.assertEqual(self.names(), [one] * 2)
        self.assertEqual({(o.get("spec_from"), o.get("spec_to")) for o in failed if "id" in o}, {(one, one)})
        self.pmctl("startOrReload", self.release(2, env={"THROW_AT": 1}), check=False)
        names = self.names()
        self.assertEqual(names[1], one)
        self.assertNotEqual(names[0], one)

    def test_over_the_death_of_the_supervisor_and_of_all(self):
        self.start_api(env={"RELEASE": 1})
        self.pmctl("startOrReload", self.release(2, env={"THROW_AT": 1}), check=False)
        names = self.names()
        self.kill_supervisor()
        self.wait_servers(2)
        self.assertEqual(self.names(), names)
        self.pmctl("reload", "api", check=False)
        self.pmctl("startOrReload", self.release(3))
        three = self.name()
        self.kill_agent()
        self.pmctl("list")
        self.assert_whole()
        self.assertEqual(self.name(), three)


class Plans(VersionCase):
    """F-26: what a command would do, and nothing of it is done."""

    def plan(self, *args, check=20):
        """{app: words} of a plan that found nothing to refuse."""
        return {o["name"]: o["text"] for o in self.outcomes(*args, "--plan", check=check)}

    def seen(self):
        return self.table(), self.names(), sorted(f for f in os.listdir(f"{self.home}/state") if not f.endswith(".tmp"))

    def test_each_verb_says_what_it_would_do_and_does_nothing(self):
        self.start_api(env={"RELEASE": 1})
        self.start([self.silent("job")])
        self.start([self.silent("idle")])
        self.pmctl("stop", "idle")
        before = self.seen()
        two = self.release(2, 4, args=["--fast"], env={"RELEASE": 2, "DB_PASS": "canary-77"})
        change = "args; instances 2 -> 4; env: +DB_PASS, RELEASE (values not shown)"
        fork = "settings unchanged; restarts 1 instance: it cannot share its socket"
        for args, name, words, status in (
                (("startOrReload", two), "api", f"{change}; reloads 2 instances, starts 2 instances", 20),
                (("startOrRestart", two), "api", f"{change}; restarts 2 instances, starts 2 instances", 20),
                (("start", two), "api", f"{change}; restarts 2 instances, starts 2 instances", 20),
                (("reload", two), "api", f"{change}; reloads 2 instances, starts 2 instances", 20),
                (("startOrReload", self.release(1)), "api", None, 20),
                (("reload", "api"), "api", "reloads 2 instances", 20),
                (("reload", "0"), "api", "reloads 1 instance", 20),
                (("restart", "api"), "api", "restarts 2 instances", 20),
                (("reload", "api", "--kill-timeout", "3000"), "api",
                 "kill_timeout 1600 ms -> 3000 ms; reloads 2 instances", 20),
                (("reload", "job"), "job", "restarts 1 instance: it cannot share its socket", 20),
                (("reload", self.write("job.json", {"apps": [self.silent("job")]})), "job", fork, 20),
                (("reload", "idle"), "idle", "starts 1 instance", 20),
                (("start", "idle"), "idle", "starts 1 instance", 20),
                (("start", "job"), "job", "no change", 0),
                (("stop", "job"), "job", "stops 1 instance", 20),
                (("stop", "idle"), "idle", "no change", 0),
                (("delete", "api"), "api", "deletes 2 instances", 20),
                (("delete", "1"), "api", "removes 1 instance", 20),
                (("scale", "api", "4"), "api", "instances 2 -> 4; starts 2 instances", 20),
                (("scale", "api", "-1"), "api", "instances 2 -> 1; removes 1 instance", 20),
                (("scale", "api", "2"), "api", "no change", 0),
                (("start", self.write("new.json", {"apps": [self.silent("new", instances=3)]})), "new",
                 "new; starts 3 instances", 20),
                (("start", "/bin/sleep", "--name", "held", "--no-autostart"), "held",
                 "new; declares 1 instance as stopped", 20)):
            with self.subTest(args=args):
                plan = self.plan(*args, check=status)
                if words is not None:
                    self.assertEqual(plan, {name: words})
                self.assertNotIn("canary-77", str(plan))
        self.assertEqual(self.seen(), before)
        text = self.pmctl("reload", "api", "--plan", check=20)
        self.assertIn("api: reloads 2 instances", text.out)
        self.assertIn("nothing was done", text.out)
        self.assertEqual(self.names(), before[1])

    def test_it_tells_from_which_version_to_which(self):
        self.start_api(env={"RELEASE": 1})
        plan = self.outcomes("startOrReload", self.release(2), "--plan", check=20)[0]
        self.assertEqual(plan["spec_from"], self.name())
        self.pmctl("startOrReload", self.release(2))
        self.assertEqual(plan["spec_to"], self.name())
        scaled = self.outcomes("scale", "api", "3", "--plan", check=20)[0]
        self.pmctl("scale", "api", "3")
        self.assertEqual(scaled["spec_to"], self.name())

    def test_what_the_command_would_refuse(self):
        self.pmctl("reload", "api", "--plan", check=3)  # no agent runs, and none is started
        self.assertFalse(self.agents())
        self.start_api(env={"RELEASE": 1})
        self.assertIn("no such app", self.pmctl("reload", "nobody", "--plan", check=4).err)
        self.assertIn("from 1 to", self.pmctl("scale", "api", "0", "--plan", check=2).err)
        bad = self.write("bad.json", {"apps": [self.silent("bad", uid="nobody-of-that-name")]})
        plan, real = (self.pmctl("start", bad, *more, check=False) for more in (["--plan"], []))
        self.assertEqual((plan.code, plan.err), (real.code, real.err))
        child = self.starting("startOrReload", self.release(2, env={"HOW": "mute"}), how="good")
        plan = self.outcomes("startOrReload", self.release(3), "--plan", check=6)[0]
        self.assertIn("a reload of api with other settings is under way", plan["text"])
        self.pmctl("stop", "api")
        self.finish(child)

    def test_other_verbs_have_none_and_say_so(self):
        for args in (("list",), ("save",), ("kill",), ("flush",), ("signal", "SIGHUP", "api")):
            self.assertIn("there is no plan of it", self.pmctl(*args, "--plan", check=2).err)
        self.assertFalse(self.agents())


class WayBack(VersionCase):
    """F-19, F-22: the versions that an agent keeps, and going back to one of them."""

    def history(self, app="api", check=0):
        return self.pmctl("history", app, "--json", check=check).json()["versions"]

    def deploy(self, n, *args, **keys):
        self.pmctl("startOrReload", self.release(n, *args, **keys), timeout=60)
        # One that has never listened, in all its min_uptime, is not asked more of when it is replaced.
        self.wait_open()
        self.wait(lambda: self.workers() >= set(self.pids()), message=lambda: f"answers of {self.pids()}")
        return self.name()

    def test_history_tells_what_there_was(self):
        one, two, three = self.deploy(1), self.deploy(2, 3), self.deploy(3, 3, args=["--token=canary-3c"])
        told = self.history()
        self.assertEqual([v["spec_hash"] for v in told], [three, two, one])
        self.assertEqual([v["what"] for v in told], [
            "args; env: RELEASE (values not shown)", "instances 2 -> 3; env: RELEASE (values not shown)", "declared"])
        self.assertEqual([(v["present"], v["running"]) for v in told], [(True, 3), (False, 0), (False, 0)])
        self.assertTrue(all("(pmctl)" in v["by"] and v["declared_ms"] > 0 for v in told), told)
        text = self.pmctl("history", "api").out
        self.assertIn(f"{three[:12]} *", text)
        self.assertNotIn("canary-3c", text + str(told))
        # What changes nothing is no version, and neither is what could not be taken.
        self.pmctl("reload", "api")
        self.pmctl("startOrReload", self.release(4, 3, env={"HOW": "throw"}), check=False)
        self.assertEqual(self.history(), told)
        self.pmctl("scale", "api", "2")
        self.assertEqual(self.history()[0]["what"], "instances 3 -> 2")
        self.assertEqual(self.history()[0]["running"], 2)
        directory = f"{self.home}/state/specs"
        self.assertEqual(os.stat(directory).st_mode & 0o777, 0o700)
        self.assertEqual({os.stat(f"{directory}/{f}").st_mode & 0o777 for f in os.listdir(directory)}, {0o600})
        self.pmctl("history", "nobody", check=4)

    def test_the_last_twenty_are_kept(self):
        self.start([self.silent("job", instances=1)])
        names = []
        for n in range(25):
            self.pmctl("restart", "job", "--kill-timeout", str(1000 + n), "--no-wait")
            names.insert(0, self.wait(lambda: next(
                (h for h in [self.instances("job")[0]["pm2_env"]["spec_hash"]] if h not in names), None),
                message="another version"))
        told = [v["spec_hash"] for v in self.history("job")]
        self.assertEqual(told, names[:20])
        self.kill_agent()
        self.pmctl("list")
        self.assertEqual([v["spec_hash"] for v in self.history("job")], names[:20])
        self.assertEqual(len(os.listdir(f"{self.home}/state/specs")), 1)

    def test_undo_and_undo_again(self):
        one, two = self.deploy(1), self.deploy(2, 4)
        done = self.outcomes("undo", "api")
        self.assertEqual(self.name(), one)
        self.assert_whole(2)
        self.assertEqual(self.releases(), {"1"})
        self.assertEqual({(o.get("spec_from"), o.get("spec_to")) for o in done}, {(two, one)})
        self.pmctl("undo", "api")
        self.assertEqual(self.name(), two)
        self.assert_whole(4)
        self.assertEqual(self.releases(), {"2"})
        self.deploy(3)
        pids = self.pids()
        self.assertEqual({o["text"] for o in self.outcomes("undo", "api", "--to", self.name()[:6])}, {"has it already"})
        self.assertEqual(self.pids(), pids)
        self.assertIn("no change", self.pmctl("undo", "api", "--to", self.name()[:6], "--plan").out)
        self.pmctl("undo", "api", "--to", one)
        self.assertEqual((self.name(), self.releases()), (one, {"1"}))
        self.assertIn("no version of that name", self.pmctl("undo", "api", "--to", "abcdef0123", check=4).err)
        self.assertEqual(self.name(), one)

    def test_undo_under_load_fails_no_request(self):
        """P5: it is a gated reload."""
        self.deploy(1)
        self.deploy(2, 3)
        with Load(self.address, True, rate=1000) as load:
            load.wait_for(100)
            for release in ("1", "2"):
                self.pmctl("undo", "api", timeout=60)
                self.assertEqual(self.releases(), {release})
                load.wait_for(load.now()["requests"] + 100)
            account = load.finish()
        self.assertEqual(account["failures"], 0, account)
        self.assertGreater(account["requests"], 300)

    def test_undo_to_what_does_not_work_changes_nothing(self):
        """P4"""
        one, two = self.deploy(1), self.deploy(2)
        pids = self.pids()
        self.write("server.js", self.read(self.path("server.js")).replace(
            "if (how", "if (process.env.RELEASE === '1') throw new Error('rotten');\nif (how"))
        outcome = self.pmctl("undo", "api", check=False)
        self.assertEqual(outcome.code, 10, outcome)
        self.assertIn("rotten", outcome.out + outcome.err)
        self.assertEqual(self.pids(), pids)
        self.assertEqual((self.name(), self.releases()), (two, {"2"}))
        self.assertEqual([v["spec_hash"] for v in self.history()], [two, one])

    def test_only_those_that_have_another_are_replaced(self):
        one = self.deploy(1)
        self.pmctl("startOrReload", self.release(2, env={"THROW_AT": 1}), check=False)
        before = self.pids()
        self.assertEqual(self.names()[1], one)
        done = self.outcomes("undo", "api", "--to", one)
        self.assertEqual([o["text"] for o in sorted(done, key=lambda o: o["id"])][1], "has it already")
        self.assertEqual(self.name(), one)
        self.assertEqual([a == b for a, b in zip(before, self.pids())], [False, True])
        self.assertEqual(self.releases(), {"1"})
        self.pmctl("reload", "api")  # and nothing is left undecided
        self.assertEqual(self.name(), one)

    def test_what_came_from_the_shell_stays_as_it_is(self):
        self.pmctl("startOrReload", self.release(1), env={"LANG": "C"})
        self.pmctl("startOrReload", self.release(2), env={"LANG": "de_DE"})
        self.pmctl("undo", "api", env={"LANG": "fr_FR"})
        self.assertEqual(self.releases(), {"1"})
        self.assertEqual(process(self.pids()[0]).environ["LANG"], "de_DE")

    def test_one_that_was_deleted_comes_back(self):
        self.deploy(1)
        two = self.deploy(2, 3)
        self.pmctl("delete", "api")
        self.assertFalse(any(v["present"] for v in self.history()))
        self.assertEqual(self.plan(), "new; starts 3 instances")
        self.pmctl("undo", "api")
        self.assert_whole(3)
        self.assertEqual((self.name(), self.releases()), (two, {"2"}))

    def plan(self):
        return self.outcomes("undo", "api", "--plan", check=20)[0]["text"]

    def test_what_was_stopped_stays_stopped(self):
        one = self.deploy(1, 3)
        self.deploy(2, 2)
        self.pmctl("stop", "api")
        self.assertIn("env: RELEASE (values not shown); declares 1 instance as stopped", self.plan())
        self.assertIn("stopped; has it from its next start on", self.pmctl("undo", "api").out)
        self.assertEqual(self.states(), ["stopped"] * 3)
        self.pmctl("start", "api")
        self.wait_open()
        self.assertEqual((self.name(), self.releases()), (one, {"1"}))

    def test_the_supervisor_dies_in_the_middle_of_an_undo(self):
        """P4, P6: afterwards the app has one of the two, and both can be had."""
        one, two = self.deploy(1), self.deploy(2)
        for point in ("reload.after_hidden", "reload.before_swap", "reload.after_swap", "store.after_publish"):
            with self.subTest(point=point):
                self.inject(f"death at {point} of an undo from {self.name()[:8]}")
                supervisor = self.supervisor_pid()
                self.arm(f"{point}=kill")
                self.pmctl("undo", "api", check=False, timeout=60)
                self.wait_dead(supervisor)
                self.wait(lambda: self.pmctl("list", check=False).code == 0, message="an answer")
                self.assert_whole(2)
                self.wait(lambda: len(set(self.names())) == 1 or self.pmctl("reload", "api", check=False) is None,
                          message=lambda: f"one version: {self.names()}")
                self.saw(f"{self.name()[:8]}")
                self.assertEqual({v["spec_hash"] for v in self.history()}, {one, two})
                for name, release in ((one, "1"), (two, "2")):
                    self.pmctl("undo", "api", "--to", name, timeout=60)
                    self.assertEqual((self.name(), self.releases()), (name, {release}))

    def test_a_damaged_file_is_said_and_put_aside(self):
        """P6, X-12"""
        one, two = self.deploy(1), self.deploy(2)
        directory = f"{self.home}/state/specs"
        name, = os.listdir(directory)
        with open(f"{directory}/{name}", "r+b") as f:
            f.seek(200)
            f.write(b"\xff\xff\xff")
        self.assertEqual([v["spec_hash"] for v in self.history()], [two])  # what it has is known
        self.assertIn("its checksum is wrong", self.pmctl("list").out)
        self.assertTrue([f for f in os.listdir(directory) if f.startswith(f"{name}.corrupt-")])
        self.pmctl("undo", "api", "--to", one, check=4)
        three = self.deploy(3)
        self.assertEqual([v["spec_hash"] for v in self.history()], [three, two])
        self.pmctl("undo", "api")
        self.assertEqual(self.name(), two)

    def test_a_full_disk_does_not_stop_a_change(self):
        one = self.deploy(1)
        self.wait(lambda: os.path.isdir(f"{self.home}/state/specs") and os.listdir(f"{self.home}/state/specs"),
                  message="the first version is on the disk")
        self.arm("specs.write=ENOSPC")
        two = self.deploy(2)
        self.wait(lambda: "versions of settings" in self.pmctl("list").out, message="it is said")
        self.assertEqual([v["spec_hash"] for v in self.history()], [two, one])  # from memory
        three = self.deploy(3)
        self.assertNotIn("versions of settings", self.pmctl("list").out)
        self.kill_agent()
        self.pmctl("list")
        self.assertEqual([v["spec_hash"] for v in self.history()], [three, two, one])


class FromAfar(Joined):
    """What a coordinator's steps go by."""

    def setUp(self):
        super().setUp()
        self.join()
        self.start_app(instances=2, exec_mode="fork")
        self.hash = self.status()["spec_hash"]

    def status(self):
        return self.fleet.status(detail=1)[0]

    def step(self, verb=RELOAD, name="web", hash=None, **what):
        return self.fleet.command(verb, "web", expect=[{"name": name, "hash": self.hash if hash is None else hash}], **what)

    def test_a_command_for_another_version_is_refused_as_a_whole(self):
        """F-26: compare and set, right before it is carried out."""
        pids = [i["pid"] for i in self.fleet.status(detail=1)]
        for name, hash, words in (("web", "00" * 16, "its settings were changed meanwhile"),
                                  ("web", "", "it was declared meanwhile"),
                                  ("gone", self.hash, "it is gone meanwhile")):
            answer = self.step(name=name, hash=hash)
            self.assertEqual(answer["error"]["code"], LOCKED, answer)
            self.assertIn(words, answer["error"]["what"])
        self.assertEqual([i["pid"] for i in self.fleet.status(detail=1)], pids)
        answer = self.step()["result"]
        self.assertEqual(answer["code"], OK, answer)
        self.assertEqual({(o["spec_from"], o["spec_to"]) for o in answer["outcomes"]}, {(self.hash, self.hash)})
        self.assertFalse({i["pid"] for i in self.fleet.status(detail=1)} & set(pids))
        self.assertEqual(self.step(name="other", hash="")["result"]["code"], OK)

    def test_the_name_follows_a_change(self):
        answer = self.step(SCALE, count=3)["result"]
        self.assertEqual(answer["code"], OK, answer)
        scaled = {i["spec_hash"] for i in self.fleet.status(detail=1)}
        self.assertEqual(len(scaled), 1)
        self.assertEqual({o["spec_to"] for o in answer["outcomes"]}, scaled)
        self.assertEqual(self.step(SCALE, count=2)["error"]["code"], LOCKED)

    def test_a_plan_is_neither_done_nor_counted_nor_in_the_audit(self):
        pids, audit = [i["pid"] for i in self.fleet.status(detail=1)], self.audit()
        for _ in range(200):  # of 120 that the policy lets through in an hour
            answer = self.fleet.command(RELOAD, "web", dry_run=True)["result"]
            self.assertEqual(answer["code"], OK, answer)
        self.assertEqual(len(answer["outcomes"]), 1)
        plan = answer["outcomes"][0]
        self.assertEqual((plan["spec_from"], plan["spec_to"], plan["n_running"], plan["changes"]), (self.hash, self.hash, 2, True))
        self.assertIn("restarts 2 instances: it cannot share its socket", plan["text"])
        self.assertEqual(self.audit(), audit)
        self.assertEqual([i["pid"] for i in self.fleet.status(detail=1)], pids)
        # What may not be done may not be planned either, and a refusal is in the audit.
        self.assertEqual(self.fleet.command(DELETE, "web", actor=ROOT, dry_run=True)["error"]["code"], DENIED)
        self.assertEqual(len(self.audit()), len(audit) + 1)

    def revert(self, hash, name="web", actor=ALICE, **what):
        return self.fleet.command(REVERT, name, actor=actor, specs=[{"name": name, "hash": hash}], **what)

    def test_a_revert_goes_by_the_versions_that_it_names(self):
        one = self.hash
        self.assertEqual(self.fleet.command(SCALE, "web", count=3)["result"]["code"], OK)
        answer = self.revert(one, op_id=uuid.uuid4().hex)["result"]
        self.assertEqual(answer["code"], OK, answer)
        self.assertEqual({i["spec_hash"] for i in self.fleet.status(detail=1)}, {one})
        self.assertEqual(len(self.fleet.status(detail=1)), 2)
        again = self.revert(one)["result"]
        self.assertEqual((again["code"], {o["text"] for o in again["outcomes"]}), (OK, {"has it already"}))
        self.assertEqual(self.revert("ab" * 16)["error"]["code"], NOT_FOUND)
        self.assertEqual(self.fleet.command(HISTORY, "web")["result"]["versions"][0]["hash"], one)

    def test_a_revert_needs_the_rights_of_what_it_does(self):
        """S-08: what its targets say is nobody's business, and who may not delete may not revert to nothing."""
        self.start_app("job")
        only = {"operator": "eve", "role": "operator", "apps": "job"}
        answer = self.fleet.command(REVERT, "job", actor=only, specs=[{"name": "web", "hash": self.hash}])
        self.assertEqual(answer["error"]["code"], DENIED)
        self.assertEqual(self.revert("", actor=ALICE)["error"]["code"], DENIED)
        self.assertEqual(self.revert("", actor=ROOT)["error"]["code"], DENIED)  # and the owner of the machine did not allow it
        self.assertEqual(len(self.fleet.status(detail=1)), 3)


if __name__ == "__main__":
    unittest.main()
