"""Completion in bash, zsh and fish: typed into a real shell on a terminal, answered by pmctl from its own tables."""

import contextlib
import os
import pty
import re
import select
import time
import unittest

from pmdtest import BUILD, PATIENCE, SOURCE, PmdTestCase, kill, require

COMPLETIONS = os.path.join(SOURCE, "deploy", "completions")
KEY = "\x07"  # Ctrl-G is bound to print the line as it stands, between << and >>, and to empty it
PROMPT = "% "
BASH = r"""
bind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 0'; bind 'set page-completions off'
bind 'set enable-bracketed-paste off'; bind 'set bell-style none'
bind -x '"\C-g": printf "\n<<%s>>\n" "$READLINE_LINE"; READLINE_LINE=""'
. $COMPLETIONS/pmctl.bash
"""
ZSH = r"""
fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -u -D
LISTMAX=10000; unsetopt beep; unset zle_bracketed_paste
show() { zle -I; print -r -- "<<$BUFFER>>"; BUFFER="" }; zle -N show; bindkey '^G' show
"""


class Shell:
    """A shell on a terminal of its own, which is typed into."""

    def __init__(self, argv, env, cwd):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(127)

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, pattern, timeout=20):
        """Reads until the pattern is there; returns the match and drops everything up to its end."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            match = re.search(pattern, self.seen, flags=re.S)
            if match:
                self.seen = self.seen[match.end():]
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} on the terminal, but {self.seen!r}")
            self.seen += os.read(self.fd, 65536).decode(errors="replace")

    def complete(self, typed):
        """What a tab makes of a line: the line, and what was listed below it."""
        self.type(typed + "\t" + KEY)
        match = self.until(r"(.*)<<(.*?)>>")
        self.until(PROMPT)  # from here on the shell reads keys again, and not the terminal lines
        return match[2], match[1]

    def close(self):
        kill(self.pid)
        with contextlib.suppress(ChildProcessError):  # a search for processes has reaped it
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class Completions(PmdTestCase):
    def setUp(self):
        super().setUp()
        self.open = None
        for name in ("web.js", "ecosystem.config.js", "notes.txt"):
            self.write(name, "")
        os.mkdir(self.path("sub"))

    def tearDown(self):
        if self.open is not None:
            self.open.close()
        super().tearDown()

    def shell_env(self):
        env = self.environment({"COMPLETIONS": COMPLETIONS, "TERM": "dumb", "COLUMNS": "200", "LINES": "100",
                                "XDG_CONFIG_HOME": self.dir, "XDG_DATA_HOME": self.dir})
        env["PATH"] = f"{BUILD}:{env['PATH']}"
        return env

    def shell(self, argv, setup):
        shell = self.open = Shell([require(argv[0]), *argv[1:]], self.shell_env(), self.work)
        # Typed before the shell is ready, it would be echoed twice, and keys be bound too late.
        shell.type("PS1='%% '; echo rea''dy\n")
        shell.until("ready\r")
        path = self.write("setup", setup)
        shell.type(f". {path}; echo do''ne\n")
        shell.until("done\r")
        shell.until(PROMPT)
        return shell

    def start_apps(self):
        script = self.sample("loop.sh")
        for name in ("website", "worker"):
            self.pmctl("start", script, "--name", name, "--namespace", "team")

    def check_shell(self, shell):
        """What all shells do alike: a single candidate is put into the line."""
        for typed, line in (
                ("pmctl rel", "pmctl reload"),
                ("pmctl list --so", "pmctl list --sort"),
                ("pmctl start --max-mem", "pmctl start --max-memory-restart"),
                ("pmctl stop web", "pmctl stop website"),
                ("pmctl stop te", "pmctl stop team"),
                ("pmctl restart website wo", "pmctl restart website worker"),
                ("pmctl start --log-type j", "pmctl start --log-type json"),
                ("pmctl --color=al", "pmctl --color=always"),
                ("pmctl explain max_mem", "pmctl explain max_memory_restart"),
                ("pmctl startOrReload eco", "pmctl startOrReload ecosystem.config.js"),
                ("pmctl start no", "pmctl start notes.txt"),
                ("pmctl start --log-file=no", "pmctl start --log-file=notes.txt"),
                ("pmctl start --cwd s", "pmctl start --cwd sub/"),
                ("pmctl startOrReload no", "pmctl startOrReload no"),
                ("pmctl describe team", "pmctl describe team")):
            got, _ = shell.complete(typed)
            self.assertEqual(got.rstrip(), line, typed)

    def check_list(self, shell):
        self.assertRegex(shell.complete("pmctl env ")[1], r"(?s)\b0\b.*\b1\b")
        listed = shell.complete("pmctl st")[1]
        for word in ("start", "stop", "startOrRestart"):
            self.assertIn(word, listed)
        self.assertNotIn("__complete", shell.complete("pmctl ")[1])

    def test_bash_completes_from_the_tables_and_the_running_apps(self):
        self.start_apps()
        shell = self.shell(["bash", "--norc", "--noprofile", "-i"], BASH)
        self.check_shell(shell)
        self.check_list(shell)

    def test_zsh_completes_from_the_tables_and_the_running_apps(self):
        self.start_apps()
        shell = self.shell(["zsh", "-f", "-i"], ZSH)
        self.check_shell(shell)
        self.check_list(shell)

    def fish(self, line):
        """What fish would offer: it has a command for asking."""
        script = f"source {COMPLETIONS}/pmctl.fish; complete --do-complete '{line}'"
        done = self.run_command([require("fish"), "--no-config", "-c", script], env=self.shell_env())
        return [one.split("\t")[0] for one in done.out.splitlines()]

    def test_fish_completes_from_the_tables_and_the_running_apps(self):
        self.start_apps()
        for typed, offered in (
                ("pmctl rel", ["reload", "reloadLogs"]),
                ("pmctl list --so", ["--sort"]),
                ("pmctl stop w", ["website", "worker"]),
                ("pmctl restart website wo", ["worker"]),
                ("pmctl env ", ["0", "1"]),
                ("pmctl --color=al", ["--color=always"]),
                ("pmctl start no", ["notes.txt"]),
                ("pmctl start --log-file=no", ["--log-file=notes.txt"]),
                ("pmctl start --cwd s", ["sub/"]),
                ("pmctl startOrReload ", ["ecosystem.config.js", "sub/"])):
            self.assertEqual(self.fish(typed), offered, typed)

    def test_completion_starts_no_agent(self):
        done = self.pmctl("__complete", "--", "stop", "")
        self.assertEqual(done.out, "all\tevery app\n")
        self.assertEqual(self.agents(), {})
        self.assertEqual(os.listdir(self.home), [])

    def test_completion_asks_the_agent_of_the_home_that_is_being_typed(self):
        self.start_apps()
        other = os.path.join(self.dir, "other")
        done = self.pmctl("__complete", "--", "--home", self.home, "stop", "web", env={"PMD_HOME": other})
        self.assertEqual(done.out, "website\tapp\n")
        self.assertEqual(self.pmctl("__complete", "--", "--home", other, "stop", "web").out, "")


if __name__ == "__main__":
    unittest.main()
