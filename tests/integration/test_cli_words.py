"""What pmctl says and how it exits: its own words, and PM2's under that name."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios

import pmdtest


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def without_table(text):
    return [line for line in plain(text).splitlines() if line[:1] not in "┌├└│" or not line]


class OwnWords(pmdtest.PmdTestCase):
    def sleeper(self, name="api", *more):
        script = self.write("sleeper.sh", "#!/bin/bash\nexec sleep 1000\n", 0o755)
        return self.pmctl("start", script, "-n", name, *more)

    def refused(self, code, words, *args):
        done = self.pmctl(*args, check=code)
        self.assertEqual(done.out, "", done)
        self.assertIn(words, done.err)

    def test_mistakes_say_what_why_and_what_to_do(self):
        for code, words, args in [
                (2, "usage: pmctl COMMAND", []),
                (2, "pmctl: lsit: no such command; did you mean 'list'?", ["lsit"]),
                (2, "pmctl: list --srot: no such option; did you mean --sort?", ["list", "--srot"]),
                (2, "--sort: 'size' is no key of this list; it has id, name,", ["list", "--sort", "size"]),
                (2, "pmctl: stop: an argument is missing; usage: pmctl stop APP...", ["stop"]),
                (2, "--lines: expected a number", ["logs", "--lines", "many"]),
                (2, "--since: expected a time", ["logs", "--since", "soon"]),
                (2, "--color: expected auto, always or never", ["list", "--color=blue"]),
                (2, "no such signal", ["sendSignal", "SIGFOO", "api"]),
                (4, "pmctl: stop: nosuch: no such app", ["stop", "nosuch"]),
                (4, "no app's name matches", ["stop", "/xx/"]),
                (2, "\\b cannot be used here", ["stop", "/\\bapi/"]),
                (4, "Script not found", ["start", "nosuch.js"]),
                (4, "there is no ecosystem.config.js here", ["start"]),
                (7, "no coordinator is configured", ["--all", "list"]),
                (7, "no coordinator is configured", ["restart", "--label", "role=web", "api"]),
                (2, "expected a number, +N or -N", ["scale", "api", "many"]),
                (2, "monit: no such command; 'list --watch' shows", ["monit"]),
                (2, "--no-daemon: no such option; 'pmd agent --foreground'", ["start", "x.js", "--no-daemon"]),
                (2, "--port: no such option; what belongs to the app stands behind --", ["start", "x.js", "--port", "3"]),
                (2, "--only: it chooses from a configuration file, and none is given", ["restart", "all", "--only", "api"]),
                (2, "--only: it chooses from a configuration file, and none is given", ["stop", "all", "--only", "api"]),
                (2, "--only: it chooses from a configuration file, and none is given", ["start", "x.js", "--only", "api"]),
                (2, "--env: it names variables of a configuration file", ["start", "x.js", "--env", "production"]),
        ]:
            with self.subTest(args=args):
                self.refused(code, words, *args)

    def test_several_targets_end_in_an_account_that_sums_up(self):
        self.sleeper("a")
        self.sleeper("b", "-f")
        done = self.pmctl("restart", "a", "b")
        self.assertRegex(done.out, r"a \(0\): .*\nb \(1\): .*\n2 instances: all restarted\n$")
        bad = self.write("bad.sh", "#!/bin/bash\necho no luck\nexit 3\n", 0o755)
        done = self.pmctl("start", bad, "--no-autorestart", check=10)
        self.assertIn("exited with code 3", done.err)
        self.assertIn("  | no luck", done.out)
        done = self.pmctl("restart", "all", "--json", check=10).json()
        self.assertEqual(done["schema"], 1)
        self.assertEqual(done["account"], {"total": 3, "ok": 2, "failed": 1})
        self.assertEqual(sum(o["ok"] for o in done["outcomes"]), 2)

    def test_what_runs_is_not_started_twice_unless_forced(self):
        self.sleeper("api")
        done = self.pmctl("start", "sleeper.sh", "-n", "api", check=1)
        self.assertIn("it runs already as api (0)", done.err)
        self.sleeper("api", "-f")
        self.assertEqual(self.pmctl("id", "api").out, "[ 0, 1 ]\n")
        self.pmctl("stop", "api")
        self.pmctl("start", "api")
        self.wait_status("api")

    def test_a_start_of_what_runs_says_so_and_leaves_it_alone(self):
        self.sleeper("api")
        pid = self.pid("api")
        self.assertEqual(self.pmctl("start", "api").out, f"api (0): runs already, pid {pid}\n")
        self.assertEqual(self.pid("api"), pid)
        self.pmctl("stop", "api")
        self.assertIn("api (0): started, pid", self.pmctl("start", "api").out)

    def test_output_that_does_not_get_out_is_an_error_unless_its_reader_left(self):
        config = self.write("many.config.json", [
            {"name": f"s{i}", "script": "/bin/sleep", "interpreter": "none", "args": "1000", "autostart": False}
            for i in range(60)])
        self.pmctl("start", config)
        pmctl = os.path.join(pmdtest.BUILD, "pmctl")
        self.assertGreater(len(self.pmctl("jlist").out), 65536)  # more than one write, and than a pipe holds
        for verb in "ping", "jlist":
            with self.subTest(verb=verb):
                done = self.run_command(["bash", "-c", f"{pmctl} {verb} >/dev/full"], check=1)
                self.assertIn("write to stdout: ", done.err)
                done = self.run_command(["bash", "-c", f"{pmctl} {verb} | true; exit ${{PIPESTATUS[0]}}"])
                self.assertEqual(done.err, "")

    def test_a_state_that_cannot_be_written_or_read_is_told_once(self):
        self.sleeper("api")
        os.mkdir(os.path.join(self.home, "state", "saved.tmp"))
        done = self.pmctl("save", check=1)
        self.assertRegex(done.err, r"^pmctl: save: state file saved: [^:]*saved\.tmp: [A-Z]")
        os.rmdir(os.path.join(self.home, "state", "saved.tmp"))
        with open(os.path.join(self.home, "state", "saved"), "w", encoding="utf-8") as file:
            file.write("torn")
        self.assertRegex(self.pmctl("resurrect", check=1).err, r"^pmctl: resurrect: load saved: ")

    def test_what_nobody_waits_for_is_not_said_to_be_done(self):
        self.sleeper("api", "-i", "1")
        self.assertRegex(self.pmctl("reload", "api", "--no-wait").out, r"^api \(0\): told to reload")
        self.wait_status("api")
        self.assertRegex(self.pmctl("restart", "api", "--no-wait").out, r"^api \(0\): told to restart")

    def test_under_the_name_pm2_what_is_not_here_is_told_too(self):
        done = self.pmctl("monit", as_pm2=True, check=1)
        self.assertIn("monit: no such command; with pmctl: 'list --watch'", done.err)
        done = self.pmctl("start", "x.js", "--no-daemon", as_pm2=True, check=1)
        self.assertIn("error: unknown option `--no-daemon'", done.err)
        self.assertIn("with pmctl: 'pmd agent --foreground'", done.err)

    def test_a_port_in_use_is_named(self):
        script = self.write("web.js", "require('http').createServer().listen(+process.argv[2])\n")
        with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as other:
            port = other.getsockname()[1]
            done = self.pmctl("start", script, "-i", "1", "--no-autorestart", "--", str(port), check=10)
        self.assertIn(f"it cannot listen on port {port}: Address already in use", done.err)

    def test_only_names_what_was_likely_meant(self):
        self.write("sleeper.sh", "#!/bin/bash\nexec sleep 1000\n", 0o755)
        config = self.write("e.config.json", [{"name": "api", "script": "sleeper.sh"}])
        self.refused(4, "--only aip: the file has no such app; did you mean 'api'?", "start", config, "--only", "aip")

    def test_the_no_form_of_an_option_is_told_as_what_it_does(self):
        text = " ".join(self.pmctl("help", "start").out.split())
        self.assertIn("--no-autorestart Turns this off: Start the app again when it ends.", text)
        self.assertIn("--no-new-privs The app and its children", text)

    def test_a_file_starts_what_is_new_and_restarts_what_is_there(self):
        self.sleeper("a")
        config = self.write("e.config.json", {"apps": [{"name": "a", "script": "sleeper.sh"},
                                                       {"name": "b", "script": "sleeper.sh"}]})
        before = self.pid("a")
        self.pmctl("start", config)
        self.wait_status("b")
        self.assertNotEqual(self.pid("a"), before)
        self.pmctl("stop", config)
        self.assertEqual({a["pm2_env"]["status"] for a in self.apps()}, {"stopped"})
        self.pmctl("start", config, "--only", "b")
        self.assertEqual((self.status("a"), self.status("b")), ("stopped", "online"))
        done = self.pmctl("start", "-", input=json.dumps([{"name": "c", "script": "sleeper.sh"}]))
        self.assertIn("c (2)", done.out)

    def test_every_read_command_speaks_json_and_nothing_else(self):
        self.sleeper("api")
        for args in [["list"], ["describe", "api"], ["why", "api"], ["id", "api"], ["pid"], ["env", "0"],
                     ["is-online", "api"], ["ping"], ["agent", "status"]]:
            with self.subTest(args=args):
                done = self.pmctl(*args, "--json")
                self.assertEqual(done.json()["schema"], 1)
                self.assertEqual(done.err, "")

    def test_is_online_exits_0_3_or_4(self):
        self.pmctl("is-online", "api", check=3)  # no agent: not running
        self.sleeper("api")
        self.assertEqual(self.pmctl("is-online", "api").out, "online\n")
        self.pmctl("stop", "api")
        self.assertEqual(self.pmctl("is-online", "api", check=3).out, "stopped\n")
        self.pmctl("is-online", "nosuch", check=4)

    def test_s17_secrets_are_hidden_unless_revealed(self):
        config = self.write("e.config.json", [{"name": "a", "script": "sleep 1000",
                                               "env": {"API_TOKEN": "hunter2", "PORT": "80"}}])
        self.pmctl("start", config)
        for args in [["jlist"], ["prettylist"], ["env", "0"], ["describe", "a"], ["list", "--json"], ["why", "a"]]:
            with self.subTest(args=args):
                self.assertNotIn("hunter2", self.pmctl(*args).out)
        for args in [["jlist"], ["prettylist"], ["env", "0"], ["describe", "a"], ["list", "--json"]]:
            with self.subTest(args=args):
                self.assertIn("hunter2", self.pmctl(*args, "--reveal").out)

    def test_a_piped_list_is_plain_and_a_terminals_fits(self):
        self.sleeper("a-rather-long-name-of-an-app-that-does-not-fit-everywhere")
        piped = self.pmctl("list", env={"COLUMNS": "40"}).out
        self.assertRegex(piped, r"^id  name +namespace +version +mode +pid +uptime +↺ +status +cpu +mem +user +watching\n")
        self.assertIn("does-not-fit-everywhere", piped)
        self.assertNotIn("\x1b", piped)
        self.assertIn("\x1b[", self.pmctl("list", "--color=always").out)
        self.assertIn("\x1b[", self.pmctl("list", env={"CLICOLOR_FORCE": "1"}).out)
        for width in (40, 60, 80, 120, 200):
            shown = self.on_terminal(width, "list")
            lines = plain(shown).splitlines()
            self.assertTrue(lines[0].startswith("┌"), lines)
            self.assertLessEqual(max(map(len, lines)), width, shown)
            self.assertIn("online", shown)
        self.assertNotIn("\x1b", self.on_terminal(80, "list", NO_COLOR="1"))

    def on_terminal(self, width, *args, **env):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        child = self.popen([os.path.join(pmdtest.BUILD, "pmctl"), *args], env={"TERM": "xterm", **env},
                           stdout=theirs, stderr=theirs)
        os.close(theirs)
        got = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # EIO: the last writer has gone
                break
            if not data:
                break
            got += data
        os.close(ours)
        self.assertEqual(child.wait(), 0, got)
        return got.decode().replace("\r", "")

    def test_why_tells_the_last_exit_and_what_to_do(self):
        crash = self.write("crash.sh", "#!/bin/bash\necho 'listen EADDRINUSE: address already in use' >&2\nexit 1\n", 0o755)
        self.pmctl("start", crash, "--max-restarts", "2", check=10)
        self.wait_status("crash", "errored")
        done = self.pmctl("why", "crash")
        self.assertIn("crash (0) is errored: pmd has given up on it; its process exited with code 1", done.out)
        self.assertIn("given up after 2 runs in a row", done.out)
        self.assertIn("    | listen EADDRINUSE", done.out)
        self.assertIn("ss -ltnp", done.out)
        app = self.pmctl("why", "crash", "--json").json()["apps"][0]
        self.assertEqual((app["exits"][0]["code"], app["exits"][0]["cause"]), (1, "exit"))

    def test_prettylist_is_what_node_prints_of_jlist(self):
        self.sleeper("it's \"so\"")
        shape = self.pmctl("jlist", "--reveal").out
        pretty = self.pmctl("prettylist", "--reveal").out

        def steady(text):
            return re.sub(r"(memory|cpu)(\"?: ?)[0-9.]+", r"\g<1>\g<2>0", text)

        wanted = self.run_command([pmdtest.require("node"), "-e",
                                   "console.log(require('util').inspect(JSON.parse("
                                   "require('fs').readFileSync(0, 'utf8')), {depth: null}))"],
                                  input=steady(shape)).out
        self.assertEqual(steady(pretty).split(), wanted.split())

    def test_upgrade_ends_when_the_new_supervisor_answers(self):
        self.sleeper("api")
        pid = self.pid("api")
        for _ in range(3):
            before = self.pmctl("agent", "status", "--json").json()["supervisor_pid"]
            after = self.pmctl("agent", "upgrade", "--json").json()
            self.assertNotEqual(after["supervisor_pid"], before)
            self.pmctl("stop", "nosuch", check=4)  # whoever comes next is served
        self.assertEqual(self.pid("api"), pid)

    def test_kill_leaves_nothing_and_may_be_repeated(self):
        self.sleeper("api")
        self.assertIn("the agent is gone", self.pmctl("kill").out)
        self.assertEqual(self.agents(), {})
        self.assertIn("no agent runs", self.pmctl("kill").out)
        self.assertEqual(self.pmctl("jlist").out, "[]\n")


class Pm2Words(pmdtest.PmdTestCase):
    """Every expectation was seen from PM2 7.0.4."""

    def setUp(self):
        super().setUp()
        self.write("echo.sh", "#!/bin/bash\necho hello\nexec sleep 1000\n", 0o755)

    def pm2(self, *args, check=True, **kwargs):
        return self.pmctl(*args, check=check, as_pm2=True, **kwargs)

    def says(self, code, out, err, *args):
        done = self.pm2(*args, check=code)
        self.assertEqual(without_table(done.out), out, done)
        self.assertEqual(plain(done.err).splitlines(), err, done)

    def test_starting_stopping_and_deleting(self):
        path = self.path("echo.sh")
        self.says(0, [f"[PM2] Starting {path} in fork_mode (1 instance)", "[PM2] Done."], [], "start", "echo.sh")
        self.says(1, [], ["[PM2][ERROR] Script already launched, add -f option to force re-execution"],
                  "start", "echo.sh")
        self.says(1, [], [f"[PM2][ERROR] Script not found: {self.path('nosuch.js')}"], "start", "nosuch.js")
        self.says(0, ["[PM2] Applying action stopProcessId on app [echo](ids: [ 0 ])", "[PM2] [echo](0) ✓"], [],
                  "stop", "echo")
        self.says(0, ["[PM2] Applying action restartProcessId on app [echo](ids: [ 0 ])", "[PM2] [echo](0) ✓",
                      "[PM2] Process successfully started"], [], "start", "echo")
        self.says(0, ["[PM2] Applying action deleteProcessId on app [all](ids: [ 0 ])", "[PM2] [echo](0) ✓"], [],
                  "delete", "all")
        self.says(1, [], ["[PM2][WARN] No process found"], "delete", "all")

    def test_the_first_failure_ends_the_run(self):
        self.pm2("start", "echo.sh")
        hint = "Use --update-env to update environment variables"
        self.says(1, [], ["[PM2][ERROR] Process or Namespace nosuch not found"], "stop", "nosuch", "0")
        self.wait_status("echo")
        self.says(1, [hint, "[PM2] Applying action restartProcessId on app [0](ids: [ '0' ])", "[PM2] [echo](0) ✓",
                      hint], ["[PM2][ERROR] Process or Namespace sleep not found"], "restart", "0", "sleep")
        self.says(1, ["[PM2] Applying action stopProcessId on app [77](ids: [ '77' ])"],
                  ["[PM2][ERROR] 77 : id unknown"], "stop", "77")
        self.says(1, [hint, "[PM2] Applying action restartProcessId on app [77](ids: [ '77' ])"],
                  ["[PM2][ERROR] God db process id unknown"], "restart", "77")
        self.says(1, [hint], ["[PM2][WARN] No process found"], "restart", "/xx/")

    def test_scale_reset_signal_and_send(self):
        self.pm2("start", "echo.sh", "-i", "2", "-x", "--name", "clu")
        self.says(0, ["[PM2] Scaling up application"], [], "scale", "clu", "3")
        self.says(1, [], ["[PM2][ERROR] Nothing to do"], "scale", "clu", "3")
        self.says(0, ["[PM2] Applying action deleteProcessId on app [0](ids: [ 0 ])", "[PM2] [clu](0) ✓"], [],
                  "scale", "clu", "2")
        self.assertEqual([a["pm_id"] for a in self.apps()], [1, 2])
        self.says(1, [], ["[PM2][ERROR] Application nosuch not found"], "scale", "nosuch", "2")
        self.says(0, ["[PM2] Resetting meta for process id 1", "[PM2] Resetting meta for process id 2"], [],
                  "reset", "clu")
        self.says(1, [], ["Unknown process name"], "reset", "nosuch")
        self.says(1, ["[PM2] Sending signal to process id 1"], ["Error when sending signal (signal unknown)"],
                  "sendSignal", "SIGFOO", "1")
        self.says(1, ["[PM2] Sending signal to process id 99"], ["99 id unknown"], "sendSignal", "SIGUSR2", "99")
        self.says(1, ["[PM2] Sending signal to process name x"], ["Unknown process name"], "sendSignal", "SIGUSR2", "x")
        self.says(1, [], ["[PM2][ERROR] Error: Process with ID <99> unknown."], "send", "99", "hello")

    def test_facts_for_scripts(self):
        self.pm2("start", "echo.sh")
        self.says(0, ["[ 0 ]"], [], "id", "echo")
        self.says(0, ["[]"], [], "id", "nosuch")
        self.says(0, [str(self.pid("echo"))], [], "pid", "echo")
        self.says(0, [""], [], "pid", "nosuch")
        self.says(0, ["{ msg: 'pong' }"], [], "ping")
        self.says(1, [], ["[PM2][ERROR] Modules with id 99 not found"], "env", "99")
        self.says(1, [], ["[PM2][WARN] nosuch doesn't exist"], "describe", "nosuch")
        done = self.pm2("jlist")
        self.assertFalse(done.out.endswith("\n"))
        self.assertEqual(done.json()[0]["pm2_env"]["status"], "online")

    def test_saving_and_ending(self):
        dump = os.path.join(self.home, "dump.pm2")
        self.pm2("start", "echo.sh")
        self.says(0, ["[PM2] Saving current process list...", f"[PM2] Successfully saved in {dump}"], [], "save")
        self.pm2("delete", "all")
        self.says(0, ["[PM2] Saving current process list...",
                      "[PM2][WARN] PM2 is not managing any process, skipping save...",
                      "[PM2][WARN] To force saving use: pm2 save --force"], [], "save")
        self.says(0, ["[PM2] Resurrecting", f"[PM2] Restoring processes located in {dump}",
                      f"[PM2] Process {self.path('echo.sh')} restored"], [], "resurrect")
        self.wait_status("echo")
        self.says(0, ["Reloading all logs...", "All logs reloaded"], [], "reloadLogs")
        self.says(0, ["[PM2] Logs flushed"], [], "flush", "nosuch")
        self.says(0, ["[PM2] [v] All Applications Stopped", "[PM2] [v] PM2 Daemon Stopped"], [], "kill")

    def test_mistakes_have_commanders_form(self):
        done = self.pm2(check=1)
        self.assertTrue(done.out.startswith("usage: pm2 [options] <command>\n"))
        done = self.pm2("nosuchverb", check=1)
        self.assertTrue(plain(done.out).startswith("[PM2][ERROR] Command not found\n\nusage: pm2"))
        self.assertEqual(self.pm2("list", "--nosuch", check=1).err, "\n  error: unknown option `--nosuch'\n\n")
        self.assertEqual(self.pm2("stop", check=1).err,
                         "\n  error: missing required argument `id|name|namespace|all|json|stdin'\n\n")
        self.pm2("start", "echo.sh")
        self.says(1, [], ["[PM2][ERROR] Using --env [env] without passing the ecosystem.config.js does not work"],
                  "restart", "echo", "--env", "production")
        self.says(0, [], [], "list", "--sort", "foo")

    def test_silence_leaves_what_is_written_raw(self):
        self.assertEqual(self.pm2("start", "echo.sh", "-s").out, "")
        self.assertEqual(self.pm2("stop", "echo", env={"PM2_SILENT": "true"}).out, "")
        self.assertEqual(self.pm2("jlist", "-s").json()[0]["name"], "echo")

    def test_the_table_is_pm2s_on_a_pipe_too(self):
        self.pm2("start", "echo.sh")
        self.wait_status("echo")
        lines = plain(self.pm2("list").out).splitlines()
        self.assertEqual(lines[0], "┌────┬─────────┬─────────────┬─────────┬─────────┬──────────┬────────┬──────┬"
                                   "───────────┬──────────┬──────────┬──────────┬──────────┐")
        self.assertEqual(lines[1], "│ id │ name    │ namespace   │ version │ mode    │ pid      │ uptime │ ↺    │ "
                                   "status    │ cpu      │ mem      │ user     │ watching │")
        self.assertRegex(lines[3], r"^│ 0  │ echo    │ default     │ N/A     │ fork    │ \d+ +│ \ds     │ 0    │ online ")
        self.assertIn("\x1b[32m\x1b[1monline", self.pm2("list").out)
        self.assertNotIn("\x1b", self.pm2("list", "--no-color").out)


class Logs(pmdtest.PmdTestCase):
    def ticker(self, name="tick"):
        """Writes numbered lines as fast as it is asked to: one for each line on its stdin."""
        script = self.write(f"{name}.sh", "#!/bin/bash\ni=0\nwhile read -r _; do i=$((i+1)); echo \"tick $i\"; "
                                          "[ $((i % 3)) = 0 ] && echo \"oops $i\" >&2; done; exec sleep 1000\n", 0o755)
        self.pmctl("start", script)

    def write_lines(self, name, n, last):
        for _ in range(n):
            self.pmctl("send", name, "go")
        self.wait_text(self.log(name), f"tick {last}\n")

    def test_the_tail_has_prefixes_streams_and_forms(self):
        self.ticker()
        self.write_lines("tick", 3, 3)
        self.wait_text(self.log("tick", "error"), "oops 3\n")
        out = self.pmctl("logs", "tick", "--nostream").out
        self.assertEqual(sorted(out.splitlines()), ["0|tick  | oops 3"] + [f"0|tick  | tick {i}" for i in (1, 2, 3)])
        out = self.pmctl("logs", "tick", "--nostream", "--lines", "1", "--out").out
        self.assertEqual(out, "0|tick  | tick 3\n")
        done = self.pmctl("logs", "tick", "--nostream", "--raw")
        self.assertEqual((done.out, done.err), ("tick 1\ntick 2\ntick 3\n", "oops 3\n"))
        out = self.pmctl("logs", "tick", "--nostream", "--json", "--err").out
        self.assertEqual({k: v for k, v in json.loads(out).items() if k != "timestamp"},
                         {"message": "oops 3", "type": "err", "process_id": 0, "app_name": "tick"})
        out = self.pmctl("logs", "tick", "--nostream", "--grep", "tick [12]", "--raw").out
        self.assertEqual(out, "tick 1\ntick 2\n")
        out = self.pmctl("logs", "tick", "--nostream", "--exclude", "\\d$", "--raw").out
        self.assertEqual(out, "")
        self.pmctl("logs", "nosuch", "--nostream", check=4)

    def test_the_form_under_the_name_pm2(self):
        self.ticker()
        self.write_lines("tick", 1, 1)
        out = plain(self.pmctl("logs", "tick", "--nostream", "--lines", "3", as_pm2=True).out)
        self.assertTrue(out.startswith("[TAILING] Tailing last 3 lines for [tick] process (change the value with "
                                       "--lines option)\n"), out)
        self.assertIn(f"{self.log('tick')} last 3 lines:\n0|tick     | tick 1\n", out)
        self.pmctl("logs", "nosuch", "--nostream", as_pm2=True)

    def test_x34_a_reader_that_goes_ends_it_quietly(self):
        self.ticker()
        self.write_lines("tick", 2, 2)
        child = self.pmctl_popen("logs", "tick", "--raw", "--out")
        self.assertEqual(child.stdout.readline(), b"tick 1\n")
        child.stdout.close()
        self.assertIn(child.wait(20), (0, 1))
        self.assertEqual(child.stderr.read(), b"")

    def test_ctrl_c_ends_it_with_130(self):
        self.ticker()
        self.write_lines("tick", 1, 1)
        child = self.pmctl_popen("logs", "tick", "--raw")
        self.assertEqual(child.stdout.readline(), b"tick 1\n")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(20), 130)

    def test_one_left_open_does_not_start_the_agent_that_somebody_stops(self):
        self.ticker()
        self.write_lines("tick", 1, 1)
        child = self.pmctl_popen("logs", "tick", "--raw")
        self.assertEqual(child.stdout.readline(), b"tick 1\n")
        self.pmctl("kill")
        self.assertEqual(self.agents(), {})
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(20), 130, "while it tries to reach the agent")
        self.assertEqual(self.agents(), {})

    def test_following_goes_on_over_a_new_supervisor_without_a_gap_or_a_repeat(self):
        script = self.write("count.sh", "#!/bin/bash\ni=0\nwhile :; do i=$((i+1)); echo \"line $i\"; sleep 0.005; done\n",
                            0o755)
        self.pmctl("start", script)
        child = self.pmctl_popen("logs", "count", "--raw", "--lines", "0", stderr=subprocess.DEVNULL)
        numbers = [int(child.stdout.readline().split()[1]) for _ in range(50)]
        os.kill(self.supervisor_pid(), signal.SIGKILL)
        numbers += [int(child.stdout.readline().split()[1]) for _ in range(300)]
        child.send_signal(signal.SIGINT)
        child.stdout.close()
        child.wait(20)
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
