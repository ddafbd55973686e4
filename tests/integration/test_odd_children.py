"""Apps that do odd things with processes and descriptors, and numbers that are used again."""

import os
import time
import unittest

from pmdtest import BUILD, PmdTestCase, helper, kill, process, require


class OddChildren(PmdTestCase):
    def start(self, name, script, **keys):
        path = self.write(f"{name}.sh", f"#!/bin/sh\n{script}\n", 0o755)
        config = self.write(f"{name}.json", {"apps": [dict(dict(name=name, script=path, interpreter="none"), **keys)]})
        return self.pmctl("start", config)

    def test_x32_a_closed_stdout_is_not_an_end(self):
        self.start("a", "exec 1>&-\necho still here >&2\nexec sleep 3600")
        self.wait_text(self.log("a", "error"), "still here")
        pid = self.pid("a")
        for _ in range(3):
            self.assertEqual((self.status("a"), self.pid("a"), self.restarts("a")), ("online", pid, 0))
        self.pmctl("stop", "a")

    def test_x32_a_daemon_that_keeps_the_pipe_goes_on_being_read(self):
        self.start("a", "setsid sh -c 'n=0; while :; do n=$((n+1)); echo beat $n; sleep 0.05; done' &\n"
                   "echo main\nexec sleep 3600", treekill=False)
        self.wait_text(self.log("a"), "beat 3")
        kill(self.pid("a"))
        self.wait(lambda: self.restarts("a") == 1, message="a restart")
        text = self.read(self.log("a"))
        last = max(int(line.split()[1]) for line in text.splitlines() if line.startswith("beat"))
        self.wait_text(self.log("a"), f"beat {last + 10}")
        self.pmctl("delete", "a")
        for p in self.processes():  # nobody else ends them: that is what no-treekill means
            if "beat" in " ".join(p.argv):
                kill(p.pid)

    def test_x32_stdin_that_nobody_reads_fills_and_says_so(self):
        self.start("a", "exec sleep 3600")
        text = "x" * 4000
        for _ in range(40):
            out = self.pmctl("send", "a", text, check=False)
            if out.code != 0:
                break
        self.assertIn("does not read its stdin", out.out + out.err)
        self.assertEqual(self.status("a"), "online")

    def test_text_reaches_a_reader_of_stdin(self):
        self.start("a", "while read line; do echo \"got $line\"; done")
        self.pmctl("send", "a", "hello there")
        self.wait_text(self.log("a"), "got hello there")

    def test_x23_ten_thousand_orphans_and_commands_stay_quick(self):
        self.start("quiet", "exec sleep 3600")
        config = self.write("o.json", {"apps": [dict(name="orphans", script=helper("orphans"), interpreter="none",
                                                     args="10000")]})
        child = self.pmctl_popen("start", config)
        worst = 0
        while "done" not in self.read(self.log("orphans")):
            began = time.monotonic()
            self.pmctl("ping")
            worst = max(worst, time.monotonic() - began)
        child.wait(30)
        print(f"x23: the slowest answer beside 10,000 orphans took {worst * 1000:.0f} ms")
        keeper = self.keeper_pid()

        def zombies():
            return [p for p in map(process, map(int, filter(str.isdigit, os.listdir("/proc"))))
                    if p is not None and p.ppid == keeper and p.state == "Z"]
        self.wait(lambda: not zombies(), message="no zombies")
        self.assertEqual(self.status("quiet"), "online")
        self.assertEqual(self.restarts("quiet"), 0)

    def test_x22_a_pid_that_is_a_strangers_now_is_never_signalled(self):
        """In a pid namespace of our own: the app goes, a stranger gets its number, the app is stopped."""
        script = self.write("x22.py", X22)
        out = self.run_command(["unshare", "-Urpf", "--mount-proc", require("python3"), "-B", script, BUILD, self.dir],
                               check=False, timeout=120)
        if "unshare failed" in out.err or "ns_last_pid" in out.err:
            self.skipTest(f"X-22: this kernel cannot inject it: {out.err.strip()}")
        print(out.out.strip())
        self.assertEqual(out.code, 0, out)


X22 = r'''
import json, os, signal, subprocess, sys, time
build, top = sys.argv[1:3]
home = top + "/x22home"
os.mkdir(home, 0o700)
env = dict(os.environ, PMD_HOME=home)
def pmctl(*args, check=True):
    return subprocess.run([build + "/pmctl", *args], env=env, check=check, capture_output=True, text=True, timeout=60)
def app():
    return json.loads(pmctl("jlist").stdout)[0]
script = top + "/work/a.sh"
open(script, "w").write("#!/bin/sh\necho x >>" + top + "/work/runs\nexec sleep 3600\n")
os.chmod(script, 0o755)
pmctl("start", script, "--name", "a", "--restart-delay", "3600000", "--interpreter", "none")
pid = app()["pid"]
keeper = int(open(home + "/pmd.pid").read())
supervisor = [int(p) for p in os.listdir("/proc") if p.isdigit() and
              open(f"/proc/{p}/stat").read().rpartition(") ")[2].split()[1] == str(keeper)
              and "--supervisor" in open(f"/proc/{p}/cmdline").read()][0]
def take(number):
    """A stranger with this pid."""
    for _ in range(200):
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                file.write(str(number - 1))
        except OSError as error:
            sys.exit(f"ns_last_pid: {error}")
        child = subprocess.Popen(["sleep", "3600"])
        if child.pid == number:
            return child
        child.kill(); child.wait()
    sys.exit(f"could not take pid {number}")
# Nobody looks while the app dies: the supervisor is stopped, so that it acts on what it knew.
os.kill(supervisor, signal.SIGSTOP)
os.kill(pid, signal.SIGKILL)
deadline = time.monotonic() + 20
def lives(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(") ")[2][0] != "Z"
    except OSError:  # it may go between any two looks
        return False


while lives(pid):
    assert time.monotonic() < deadline
held = os.path.exists(f"/proc/{pid}")
stranger = None if held else take(pid)
stop = subprocess.Popen([build + "/pmctl", "stop", "a"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
os.kill(supervisor, signal.SIGCONT)
stop.communicate(timeout=60)
if held:  # the number is only free once the exit was dealt with
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline + 20
    stranger = take(pid)
for verb in (["sendSignal", "SIGKILL", "a"], ["stop", "a"], ["restart", "a"], ["delete", "a"]):
    pmctl(*verb, check=False)
assert stranger.poll() is None, f"the stranger with pid {pid} was ended: {stranger.returncode}"
print(f"x22: pid {pid} was {'held until its exit was dealt with, then' if held else ''} a stranger's, and lives")
pmctl("kill")
assert stranger.poll() is None
stranger.kill(); stranger.wait()
'''


if __name__ == "__main__":
    unittest.main()
