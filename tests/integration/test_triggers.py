"""What restarts an app without a person: changed files, the clock, memory."""

import os
import unittest

from pmdtest import PmdTestCase, require


class Watch(PmdTestCase):
    def start(self, *args, script="exec sleep 3600", **keys):
        os.makedirs(self.path("app"), exist_ok=True)
        path = self.write("app/a.sh", f"#!/bin/sh\n{script}\n", 0o755)
        config = self.write("a.json", {"apps": [dict(dict(name="a", script=path, interpreter="none", watch=True,
                                                          cwd=self.path("app")), **keys)]})
        self.pmctl("start", config, *args)
        self.assertTrue(self.instances("a")[0]["pm2_env"]["watch"])

    def after(self, change, count):
        """Makes a change and waits for the restart that it brings."""
        change()
        self.wait(lambda: self.restarts("a") == count, message=lambda: f"{count} restarts: {self.restarts('a')}")
        self.wait_status("a")

    def quiet(self, *changes, count):
        """Changes that bring no restart; a last one that does shows that the others were seen and left out."""
        for change in changes:
            change()
        self.after(lambda: self.write("app/really", str(count)), count + 1)

    def test_changes_new_files_removals_and_new_directories_restart_it(self):
        self.start()
        self.after(lambda: self.write("app/x.txt", "1"), 1)
        self.after(lambda: self.write("app/x.txt", "2"), 2)
        self.after(lambda: os.unlink(self.path("app/x.txt")), 3)
        self.after(lambda: os.makedirs(self.path("app/new/deep")), 4)
        self.after(lambda: self.write("app/new/deep/y", "1"), 5)
        self.after(lambda: os.rename(self.path("app/new/deep/y"), self.path("app/new/deep/z")), 6)

    def test_dot_files_and_node_modules_do_not_unless_asked_for(self):
        self.start()
        self.quiet(lambda: self.write("app/.git/HEAD", "x"), lambda: self.write("app/.hidden", "x"),
                   lambda: self.write("app/node_modules/m/index.js", "x"), count=0)

    def test_ignore_watch_takes_names_globs_and_expressions(self):
        for name in ("tmp", "data", "src"):
            os.makedirs(self.path(f"app/{name}"))
        self.start(ignore_watch=["tmp", "data/*.log", "\\.cache$", "./gen"])
        self.quiet(lambda: self.write("app/tmp/x", "1"), lambda: self.write("app/data/y.log", "1"),
                   lambda: self.write("app/src/z.cache", "1"), lambda: self.write("app/gen", "1"), count=0)
        self.after(lambda: self.write("app/data/y.txt", "1"), 2)

    def test_only_the_extensions_that_were_asked_for(self):
        self.start(script="exec sleep 3600", ext="js,json")
        self.write("app/a.txt", "1")
        self.write("app/noext", "1")
        self.after(lambda: self.write("app/a.js", "1"), 1)
        self.after(lambda: self.write("app/a.json", "1"), 2)

    def test_watch_paths_alone_and_a_single_file_that_editors_replace(self):
        os.makedirs(self.path("app/src"))
        self.write("app/one.conf", "1")
        self.start(watch=["src", "one.conf"])
        self.write("app/elsewhere", "1")
        self.after(lambda: self.write("app/src/x", "1"), 1)

        def replace():
            self.write("app/one.conf.new", "2")
            os.rename(self.path("app/one.conf.new"), self.path("app/one.conf"))
        self.after(replace, 2)
        self.after(replace, 3)
        self.after(lambda: self.write("app/one.conf", "4"), 4)

    def test_watch_delay_gathers_changes_into_one_restart(self):
        self.start(watch_delay=700)
        for n in range(10):
            self.write(f"app/f{n}", "1")
        self.after(lambda: None, 1)
        self.after(lambda: self.write("app/f0", "2"), 2)

    def test_its_own_logs_in_its_directory_restart_nothing(self):
        self.start(script="echo line; echo err >&2; while :; do echo more; sleep 0.05; done", instances=2,
                   exec_mode="fork", out_file=self.path("app/out.log"), error_file=self.path("app/err.log"),
                   log_file=self.path("app/all.log"), pid_file=self.path("app/a.pid"))
        self.wait(lambda: sum(self.read(f"app/{n}").count("more") for n in os.listdir(self.path("app"))
                              if n.startswith("out")) > 20, message="some logging")
        self.assertEqual([a["pm2_env"]["restart_time"] for a in self.instances("a")], [0, 0])

    def test_stop_ends_the_watch_and_start_begins_it_again(self):
        self.start()
        self.pmctl("stop", "a")
        self.write("app/x", "1")
        self.pmctl("start", "a")
        self.after(lambda: self.write("app/x", "2"), self.restarts("a") + 1)

    def test_many_directories_that_come_and_go_are_no_leak(self):
        self.start(ignore_watch=["none"])
        for n in range(300):
            os.mkdir(self.path(f"app/d{n}"))
            os.rmdir(self.path(f"app/d{n}"))
        self.wait(lambda: self.restarts("a") >= 1, message="a restart")
        fd = [n for n, t in self.agents()[self.supervisor_pid()].fds().items() if "inotify" in t]

        def watches():
            out = 0
            for number in fd:
                with open(f"/proc/{self.supervisor_pid()}/fdinfo/{number}") as file:
                    out += sum(line.startswith("inotify") for line in file)
            return out
        self.wait(lambda: watches() <= 4, message=lambda: f"{watches()} watches")


class CronAndMemory(PmdTestCase):
    def start(self, script, **keys):
        path = self.write("a.sh", f"#!/bin/sh\n{script}\n", 0o755)
        config = self.write("a.json", {"apps": [dict(name="a", script=path, interpreter="none", **keys)]})
        self.pmctl("start", config)

    def test_cron_with_seconds_restarts_it_again_and_again(self):
        self.start("exec sleep 3600", cron_restart="* * * * * *")
        self.wait(lambda: self.restarts("a") >= 3, message="three restarts")

    def test_cron_starts_an_app_that_has_ended(self):
        self.start("date +%s >>runs", autorestart=False, cron_restart="*/2 * * * * *")
        self.wait(lambda: len(self.read("runs").split()) >= 3, message="three runs")
        times = [int(t) for t in self.read("runs").split()[1:]]
        self.assertEqual(len(times), len(set(times)))

    def test_cron_ends_with_the_app_and_can_be_switched_off(self):
        self.start("exec sleep 3600", cron_restart="* * * * * *")
        self.wait(lambda: self.restarts("a") >= 1, message="a restart")
        self.pmctl("restart", "a", "--cron-restart", "0")
        before = self.restarts("a")
        supervisor = self.supervisor_pid()
        self.assertFalse([t for t in self.agents()[supervisor].fds().values() if "timerfd" in t])
        self.assertEqual(self.restarts("a"), before)

    def test_the_memory_limit_counts_the_whole_tree(self):
        eat = self.write("eat.py", "import time\nx = bytearray(60 << 20)\ntime.sleep(3600)\n")
        self.start(f"echo run >>runs\n{require('python3')} {eat} &\n{require('python3')} {eat} &\nwait",
                   max_memory_restart="100M", kill_timeout=300)
        self.wait(lambda: self.restarts("a") >= 1, message="a restart by memory")
        self.wait_text(os.path.join(self.home, "pmd.log"), "instance.memory")
        self.assertIn("memory limit", self.pmctl("why", "a", check=False).out)

    def test_below_the_limit_nothing_happens(self):
        self.start("exec sleep 3600", max_memory_restart="100M")
        self.wait(lambda: self.app("a")["monit"]["memory"] > 0, message="a sample")
        self.assertEqual(self.restarts("a"), 0)


if __name__ == "__main__":
    unittest.main()
