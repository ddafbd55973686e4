"""dump.pm2: written and read as PM2 does, also those that PM2 7 wrote itself; a few words of other verbs."""

import json
import os
import stat
import unittest

from pmdtest import PmdTestCase
from ports import free_port

NOT_SAVED = ("instances", "pm_id", "prev_restart_delay")


class DumpCase(PmdTestCase):
    def pm2(self, *args, env=None, **kwargs):
        return self.pmctl(*args, as_pm2=True, env={"NO_COLOR": "1", **(env or {})}, **kwargs)

    def file(self, name="dump.pm2"):
        return os.path.join(self.home, name)

    def dump(self, name="dump.pm2"):
        return json.loads(self.read(self.file(name)))

    def start(self, name, *args, **kwargs):
        script = self.write(f"{name}.sh", "#!/bin/sh\nexec sleep 100000\n", 0o755)
        self.pm2("start", script, "--name", name, *args, **kwargs)

    def environ(self, name):
        with open(f"/proc/{self.pid(name)}/environ", "rb") as file:
            return dict(pair.split("=", 1) for pair in file.read().decode().split("\0") if "=" in pair)

    def aside(self):
        return sorted(f for f in os.listdir(self.home) if ".corrupt-" in f)

    def of_pm2_7(self, name, id, **over):
        """An entry as PM2 7.0.4 wrote it; what is always empty is shortened."""
        logs = f"{self.home}/logs/{name}"
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, "SAVED": f"of {name}", "PM2_USAGE": "CLI", "PWD": "/gone",
               "args": "a variable", name: {}, "unique_id": "fa547945-3f0e-48cd-82f4-3edb0fb4b13c"}
        return {
            "name": name, "filter_env": [], "namespace": "default", "args": ["-a", "b c"], "env": env,
            "merge_logs": True, "vizion": True, "autostart": True, "autorestart": True, "watch": False,
            "instance_var": "NODE_APP_INSTANCE", "pmx": True, "automation": True, "treekill": True,
            "username": "root", "windowsHide": True, "kill_retry_time": 100, "node_args": [],
            "pm_exec_path": self.write("sleep.sh", "#!/bin/sh\nexec sleep 100000\n", 0o755), "pm_cwd": self.work,
            "exec_interpreter": "bash", "exec_mode": "fork_mode", "pm_out_log_path": f"{logs}-out.log",
            "pm_err_log_path": f"{logs}-error.log", "pm_pid_path": f"{self.home}/pids/{name}-{id}.pid",
            "km_link": False, "vizion_running": False, "NODE_APP_INSTANCE": 0, **{k: v for k, v in env.items()
                                                                                 if k not in ("args", name)},
            "status": "online", "pm_uptime": 1795403601525, "axm_dynamic": {}, "created_at": 1795403601525,
            "axm_actions": [{"action_name": "km:heapdump", "action_type": "internal", "arity": 2}],
            "axm_monitor": {"Heap Size": {"historic": True, "unit": "MiB", "value": "6.98"}},
            "axm_options": {"error": True, "metrics": {"v8": True}, "module_conf": {}},
            "restart_time": 7, "unstable_restarts": 0, "version": "N/A", "node_version": "20.20.2", **over}


class Saved(DumpCase):
    def test_save_writes_what_pm2_would(self):
        self.start("one", "--", "-x", "two words", env={"COLOUR": "grün"})
        self.start("two")
        self.pm2("stop", "two")
        out = self.pm2("save")
        self.assertIn(f"[PM2] Successfully saved in {self.file()}\n", out.out)
        one, two = self.dump()
        self.assertEqual((one["name"], one["args"], one["status"]), ("one", ["-x", "two words"], "online"))
        self.assertEqual((one["env"]["COLOUR"], one["COLOUR"]), ("grün", "grün"))
        self.assertEqual((two["name"], two["status"]), ("two", "stopped"))
        for key in NOT_SAVED:
            self.assertNotIn(key, one)
        self.assertEqual(self.read(self.file()), json.dumps([one, two], indent=2, ensure_ascii=False))
        self.assertEqual(stat.S_IMODE(os.stat(self.file()).st_mode), 0o600)
        self.assertFalse(os.path.exists(self.file("dump.pm2.bak")))
        self.assertEqual(self.read(self.file("module_conf.json")), "{}")

        self.pm2("delete", "two")
        os.chmod(self.file(), 0o644)  # PM2's own
        self.pm2("dump")
        self.assertEqual([e["name"] for e in self.dump()], ["one"])
        self.assertEqual(self.dump("dump.pm2.bak"), [one, two])
        self.assertEqual(stat.S_IMODE(os.stat(self.file("dump.pm2.bak")).st_mode), 0o600)
        self.assertEqual([f for f in os.listdir(self.home) if ".tmp" in f], [])

        self.pm2("delete", "one")
        before = self.read(self.file())
        self.assertIn("skipping save", self.pm2("save").out)
        self.assertEqual(self.read(self.file()), before)
        self.pm2("save", "--force")
        self.assertEqual(self.read(self.file()), "[]")
        self.write(self.file(), before)
        self.assertIn(f"Successfully created {self.file()}", self.pm2("cleardump").out)
        self.assertEqual(self.read(self.file()), "[]")
        self.assertEqual([p["pid"] for p in self.apps()], [])

    def test_the_agents_own_list_is_saved_too_and_the_path_may_be_given(self):
        self.start("one")
        path = self.path("other.pm2")
        out = self.pm2("save", env={"PM2_DUMP_FILE_PATH": path})
        self.assertIn(f"Successfully saved in {path}\n", out.out)
        self.assertEqual([e["name"] for e in json.loads(self.read(path))], ["one"])
        self.assertFalse(os.path.exists(self.file()))
        self.pmctl("delete", "all")
        self.pmctl("resurrect")
        self.wait_status("one")
        self.pmctl("delete", "all")
        self.pm2("resurrect", env={"PM2_DUMP_FILE_PATH": path})
        self.wait_status("one")

    def test_what_cannot_be_written_is_no_success(self):
        self.start("one")
        self.pm2("save")
        before = self.read(self.file())
        out = self.pm2("save", check=False, env={"PM2_DUMP_FILE_PATH": self.path("no/dir/dump.pm2")})
        self.assertEqual(out.code, 1, out)
        self.assertNotIn("Successfully", out.out)
        self.assertEqual(self.read(self.file()), before)


class Resurrected(DumpCase):
    def test_our_own_dump_comes_back_as_it_was(self):
        self.start("one", "--", "-x", "two words", env={"COLOUR": "grün"})
        self.start("halted", "--no-autorestart")
        self.pm2("start", "sleep 100000", "--name", "line", "--kill-timeout", "700")
        self.start("three", "-i", "3", "--output", self.path("own.log"))
        self.pm2("stop", "halted")
        self.pm2("save")
        first = self.dump()
        self.pm2("delete", "all")
        out = self.pm2("resurrect", env={"COLOUR": "red"})
        self.assertEqual(out.out.count(" restored\n"), 6, out)
        self.wait_status("one")
        self.assertEqual(self.status("halted"), "stopped")
        self.assertEqual(self.environ("one")["COLOUR"], "grün")
        self.assertEqual(len(self.wait_status("three")), 3)
        pids = sorted(a["pid"] for a in self.apps())
        self.assertNotIn("restored", self.pm2("resurrect").out)
        self.assertEqual(sorted(a["pid"] for a in self.apps()), pids)

        self.pm2("save")
        self.assertEqual(len(self.dump()), len(first))
        changes = {"pm_uptime", "created_at", "unique_id", "pm_pid_path", "exit_code", "exit_signal", "env"}
        for was, now in zip(first, self.dump()):
            was, now = ({k: v for k, v in e.items() if k not in changes} for e in (was, now))
            if was["name"] == "three":  # PM2 ends the names of their logs in their ids
                was, now = ({k: v for k, v in e.items() if not k.endswith("log_path")} for e in (was, now))
            self.assertEqual(was, now)
        ids = [a["pm_id"] for a in self.instances("three")]
        self.assertEqual([e["pm_out_log_path"] for e in self.dump() if e["name"] == "three"],
                         [self.path(f"own-{id}.log") for id in ids])

    def test_keys_that_pm2_has_not_come_back_too(self):
        """PM2's names drop no key that is only ours; an app without one has nothing of ours in the dump."""
        script = self.write("own.sh", "#!/bin/sh\nexec sleep 100000\n", 0o755)
        port = free_port()
        own = {"listen": [f"tcp://127.0.0.1:{port}"], "kill_signal": "SIGQUIT", "log_max_size": "5M", "nice": 5,
               "ready": "exec true", "pid_file": self.path("own.pid"), "drain_timeout": "9s", "limits": {"nofile": 512}}
        self.start("plain")
        self.pmctl("start", self.write("own.json", json.dumps({"apps": [{"name": "own", "script": script, **own}]})))
        self.pm2("save")
        saved = {e["name"]: e for e in self.dump()}
        self.assertNotIn("pmd_spec", saved["plain"])
        self.pm2("delete", "all")
        self.pm2("resurrect")
        self.wait_status("own")
        self.pm2("save")
        self.assertEqual({e["name"]: e for e in self.dump()}["own"]["pmd_spec"], saved["own"]["pmd_spec"])
        with open(f"/proc/{self.pid('own')}/limits") as file:
            self.assertRegex(file.read(), r"Max open files +512 ")
        self.assertIn("LISTEN_FDS", self.environ("own"))
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, self.pid("own")), 5)
        self.assertTrue(os.path.exists(self.path("own-1.pid")) or os.path.exists(self.path("own.pid")))
        # What is not ours is told, and the other apps are there.
        broken = [dict(e, pmd_spec="70:%%%") if e["name"] == "own" else e for e in self.dump()]
        self.pm2("delete", "all")
        self.write(self.file(), json.dumps(broken))
        out = self.pm2("resurrect", check=False)
        self.assertIn("pmd_spec", out.out + out.err)
        self.wait_status("plain")

    def test_a_dump_of_pm2_7_is_read(self):
        again = [self.of_pm2_7("again", id, merge_logs=False, pm_out_log_path=f"{self.home}/logs/again-out-{id}.log",
                               pm_err_log_path=f"{self.work}/again.err") for id in (6, 7)]
        again[0]["status"] = "stopped"
        self.write(self.file(), json.dumps([
            self.of_pm2_7("forked", 0),
            self.of_pm2_7("halted", 1, status="stopped", args="-a 'b c'", exit_code=0, _tree_pids=[15774]),
            self.of_pm2_7("clustered", 2, exec_mode="cluster_mode", exec_interpreter="node", _pm2_version="7.0.4",
                          pm_exec_path=self.node("clustered.js", "setInterval(() => {}, 1e6)")),
            self.of_pm2_7("gone", 3, pm_exec_path="/nowhere/app.js"),
            self.of_pm2_7("rich", 4, max_memory_restart=209715200, restart_delay=100, cron_restart="0 3 * * *",
                          force=True, kill_timeout=700),
            self.of_pm2_7("line", 5, pm_exec_path="/bin/bash", args=["-c", "sleep 100000"], exec_interpreter="none"),
            *again, {"name": "hollow"}]))
        out = self.pm2("resurrect", check=1)
        for word in ("gone", "/nowhere/app.js", "hollow", "pm_exec_path"):
            self.assertIn(word, out.err)
        self.assertIn("│ forked", out.out)
        for name in ("forked", "rich", "line", "clustered"):
            self.wait_status(name)
        self.assertEqual({a["name"] for a in self.apps()}, {"forked", "halted", "rich", "line", "again", "clustered"})
        self.assertEqual(self.app("clustered")["pm2_env"]["exec_mode"], "cluster_mode")
        env = self.environ("forked")
        self.assertEqual((env["SAVED"], env["args"], env["HOME"]), ("of forked", "a variable", self.dir))
        self.assertNotEqual(env.get("PWD"), "/gone")
        forked, halted, rich = (self.app(n)["pm2_env"] for n in ("forked", "halted", "rich"))
        self.assertEqual((forked["args"], forked["restart_time"]), (["-a", "b c"], 0))
        self.assertEqual(forked["pm_out_log_path"], self.log("forked"))
        self.assertEqual((halted["status"], halted["args"]), ("stopped", ["-a", "b c"]))
        self.assertEqual((rich["max_memory_restart"], rich["restart_delay"], rich["cron_restart"], rich["kill_timeout"]),
                         (209715200, 100, "0 3 * * *", 700))
        self.wait(lambda: sorted(a["pm2_env"]["status"] for a in self.instances("again")) == ["online", "stopped"])
        for a in self.instances("again"):
            self.assertEqual(a["pm2_env"]["pm_out_log_path"], self.log("again", id=a["pm_id"]))
            self.assertEqual(a["pm2_env"]["pm_err_log_path"], self.path("again.err"))

    def test_a_broken_dump_is_kept_aside_and_the_backup_used(self):
        good = json.dumps([self.of_pm2_7("forked", 0)])
        for broken in ("", "{x", '[{"name": "a\\u0000b"}]', "[" * 100000, "[3]", "{}", "require('x')"):
            with self.subTest(broken=broken[:20]):
                self.write(self.file(), broken)
                self.write(self.file("dump.pm2.bak"), good)
                out = self.pm2("resurrect")
                self.assertIn(f"Failed to parse dump file in {self.file()}", out.err)
                self.assertIn(f"located in {self.file('dump.pm2.bak')}", out.out)
                self.wait_status("forked")
                kept = self.aside()
                self.assertEqual([self.read(self.file(f)) for f in kept], [broken])
                os.unlink(self.file(kept[0]))
                self.pm2("delete", "all")

    def test_without_any_dump_it_says_so_and_that_is_no_failure(self):
        out = self.pm2("resurrect")
        self.assertIn("No processes saved; DUMP file doesn't exist", out.err)
        self.assertIn("│ id ", out.out)
        self.assertEqual(self.aside(), [])


class Events(DumpCase):
    def test_json_logs_tell_what_happens_to_apps(self):
        self.start("other")
        self.start("one", "--", "first")
        path = self.path("events")
        with open(path, "wb") as file:
            viewer = self.popen([os.path.join(self.bin, "pm2"), "logs", "one", "--json"], stdout=file)

        def told():
            return [json.loads(t) for t in self.read(path).splitlines() if '"process_event"' in t]

        def statuses():
            return [e["status"] for e in told()]

        def heard():
            self.pm2("restart", "one")
            return "restart" in statuses()

        self.wait(heard, message="the first event")
        self.pm2("restart", "other")
        for verb, last in (("restart", "restart"), ("stop", "stop"), ("delete", "delete")):
            before = len(told())
            self.pm2(verb, "one")
            self.wait(lambda before=before, last=last: last in statuses()[before:], message=lambda: str(told()))
        self.assertEqual(statuses()[-6:], ["exit", "online", "restart", "exit", "stop", "delete"])
        self.assertEqual({e["app_name"] for e in told()}, {"one"})
        self.assertEqual(set(told()[0]), {"timestamp", "type", "status", "app_name"})
        self._end_child(viewer)  # it would start the agent again after the `pmctl kill` of the end


class Words(DumpCase):
    def test_a_silent_list_is_still_a_list(self):
        self.start("one")
        self.assertIn("one", self.pmctl("list", "-s").out)
        self.assertEqual(self.pm2("list", "-s").out, "")
        self.assertEqual(self.pmctl("restart", "one", "-s").out, "")

    def test_what_runs_already_is_not_said_to_be_started(self):
        self.write("sleep.sh", "#!/bin/sh\nexec sleep 100000\n", 0o755)
        one, two = ({"name": name, "script": "./sleep.sh", "min_uptime": 100} for name in ("one", "two"))
        self.write("a.json", [one])
        self.write("b.json", [one, two])
        for verb, word in (("startOrRestart", "restarted"), ("startOrReload", "reloaded"), ("start", "restarted")):
            with self.subTest(verb=verb):
                self.assertIn("): started, pid", self.pmctl(verb, "a.json").out)
                # In fork mode there is nothing to reload over, which is said.
                self.assertIn("): restarted, pid", self.pmctl(verb, "a.json").out)
                out = self.pmctl(verb, "b.json").out
                self.assertIn(f"2 instances: all started or {word}", out)
                self.assertIn(f"2 instances: all {word}", self.pmctl(verb, "b.json").out)
                self.pmctl("delete", "all")

    def test_errors_carry_the_name_of_the_verb(self):
        for verb in ("startup", "unstartup"):
            self.assertTrue(self.pmctl(verb, "nonsense", check=2).err.startswith(f"pmctl: {verb}: no such init"))

    def test_init_writes_nothing_that_we_do_not_have(self):
        self.pmctl("init")
        self.assertNotIn("deploy", self.read("ecosystem.config.js"))


if __name__ == "__main__":
    unittest.main()
