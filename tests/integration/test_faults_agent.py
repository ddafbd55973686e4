"""First starts, full disks, too few descriptors, power cuts and idleness: the agent as a whole."""

import glob
import hashlib
import os
import re
import resource
import signal
import socket
import struct
import time
import unittest

from faults import FaultCase
from pmdtest import BUILD, PATIENCE, alive, kill, process, require


class FirstStart(FaultCase):
    def test_x05_fifty_first_commands_make_one_agent_and_fifty_right_answers(self):
        for n in range(3):
            children = [self.pmctl_popen("start", "/bin/sleep", "--name", f"app{i}", "--interpreter", "none", "--", "1000000")
                        if i % 2 else self.pmctl_popen("ping") for i in range(50)]
            ends = [(c.communicate(timeout=60 * PATIENCE), c.returncode) for c in children]
            wrong = [(e, code) for e, code in ends if code != 0]
            self.assertEqual(wrong, [])
            keepers = [p for p in self.agents().values() if p.ppid not in self.agents()]
            self.assertEqual(len(keepers), 1, keepers)
            self.assertEqual(len(self.agents()), 2)
            table = self.table()
            self.assertEqual(sorted(v[0] for v in table.values()), sorted(f"app{i}" for i in range(1, 50, 2)))
            self.assertEqual({v[2] for v in table.values()}, {"online"})
            self.assert_one_each(table)
            self.inject("50 commands at once, with no agent running")
            self.saw(f"50 answered with exit 0; one agent (pid {keepers[0].pid}), 25 apps, one process each")
            self.pmctl("kill", timeout=60)
            self.wait(lambda: not self.agents(), message="end of the agent")

    def test_x05_a_second_agent_exits_6_and_names_the_first(self):
        self.pmctl("ping")
        outcome = self.run_command([os.path.join(BUILD, "pmd"), "agent", "--home", self.home], check=6)
        self.inject("a second 'pmd agent' for the same home")
        self.saw(f"exit {outcome.code}: {outcome.err.strip()}")
        self.assertIn(str(self.keeper_pid()), outcome.err)

    def test_x06_stale_files_are_replaced_and_no_stranger_is_signalled(self):
        stranger = self.popen(["sleep", "1000000"])
        for pid, what in ((1, "pid 1"), (stranger.pid, "a live stranger's pid"), (4194303, "a dead pid")):
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(os.path.join(self.home, "agent.sock"))
            stale.close()
            self.write(os.path.join(self.home, "pmd.pid"), f"{pid}\n")
            self.write(os.path.join(self.home, "agent.lock"), f"{pid}\n")
            self.pmctl("start", "/bin/sleep", "--name", "app", "--interpreter", "none", "--", "1000000")
            self.assertEqual(self.status("app"), "online")
            self.assertEqual(self.read(os.path.join(self.home, "pmd.pid")).strip(), str(self.keeper_pid()))
            self.inject(f"a socket that nobody listens on, pid file and lock file with {what}")
            self.pmctl("kill")
            self.wait(lambda: not self.agents(), message="end of the agent")
            self.assertIsNone(stranger.poll())
            self.saw("agent started at once; the stranger lives")


class LastCommandedState(FaultCase):
    def power_cut(self):
        """Everything dies at once, as with the machine."""
        everything = [p.pid for p in self.processes()]
        for pid in everything:
            kill(pid, signal.SIGSTOP)
        for pid in everything:
            kill(pid)
        for pid in everything:
            self.wait_dead(pid)

    def test_a_power_cut_right_after_the_answer_keeps_what_was_commanded(self):
        self.start([self.silent("a", instances=2), self.silent("b"), self.silent("c")])
        steps = ((["stop", "b"], {"a": "online", "b": "stopped", "c": "online"}, 2),
                 (["delete", "c"], {"a": "online", "b": "stopped"}, 2),
                 (["scale", "a", "3"], {"a": "online", "b": "stopped"}, 3),
                 (["start", "b"], {"a": "online", "b": "online"}, 3),
                 (["stop", "a"], {"a": "stopped", "b": "online"}, 3))
        for command, want, n_a in steps:
            self.pmctl(*command)
            before = self.table()
            self.power_cut()
            self.pmctl("ping")
            for name, status in want.items():
                self.wait_status(name, status)
            after = self.table()
            self.assertEqual({i: (v[0], v[2]) for i, v in after.items()}, {i: (v[0], v[2]) for i, v in before.items()})
            self.assertEqual({v[0] for v in after.values()}, set(want))
            self.assertEqual(len(self.instances("a")), n_a)
            self.assert_one_each(after)
            self.inject(f"a power cut right after '{' '.join(command)}' was answered")
            self.saw(f"same ids and states: {sorted((i, v[0], v[2]) for i, v in after.items())}, one process each")

    def test_a_delete_is_answered_when_it_is_on_disk(self):
        self.write("slow.sh", "#!/bin/sh\ntrap 'sleep 0.3; exit 0' INT\nwhile :; do sleep 0.01; done\n", 0o755)
        self.start([{"name": "slow", "script": self.path("slow.sh"), "interpreter": "none", "kill_timeout": 5000}])
        state = os.path.join(self.home, "state", "apps")
        # The first write says that it is to stop, and is over long before it has; the second that it is gone.
        self.arm("state.rename=1+kill")
        outcome = self.pmctl("delete", "slow", check=False)
        with open(state, "rb") as file:
            self.assertFalse(outcome.code == 0 and b"slow.sh" in file.read(), outcome.out)
        self.wait(lambda: self.apps() == [], 30, "an empty table")
        self.inject("the supervisor killed in the write that says that an app is gone")
        self.saw(f"delete: exit {outcome.code}")

    def test_kill_leaves_an_empty_table_and_resurrect_brings_back_what_was_saved(self):
        self.start([self.silent("a"), self.silent("b")])
        self.pmctl("stop", "b")
        self.pmctl("save")
        self.pmctl("kill")
        self.wait(lambda: not self.processes(), message="nothing left")
        self.pmctl("ping")
        self.assertEqual(self.apps(), [])
        self.pmctl("resurrect")
        self.wait_status("a")
        self.assertEqual(self.status("b"), "stopped")
        self.inject("'pmctl kill', a new agent, 'pmctl resurrect'")
        self.saw("an empty table, then a online and b stopped, as saved")

    def test_sigterm_to_the_keeper_stops_all_in_order_and_the_next_start_brings_them_back(self):
        self.start([self.writer("w", rate=2000), self.forker("f"), self.silent("s"), self.silent("off")])
        self.pmctl("stop", "off")
        before = self.table()
        keeper = self.keeper_pid()
        kill(keeper, signal.SIGTERM)
        self.wait_dead(keeper)
        self.wait(lambda: not self.processes(), message="nothing left")
        lines, _ = self.check_log("w")
        self.pmctl("ping")
        for name in ("w", "f", "s"):
            self.wait_status(name)
        self.assertEqual(self.status("off"), "stopped")
        self.assertEqual(sorted(self.table()), sorted(before))
        self.assert_one_each()
        self.inject("SIGTERM to the keeper under log load, then a command")
        self.saw(f"all apps ended, {lines} lines each once, the agent gone; then w, f, s online and off stopped, same ids")

    def test_a_state_file_of_a_newer_version_is_neither_read_nor_overwritten(self):
        self.start([self.silent("a")])
        self.pmctl("kill")
        self.wait(lambda: not self.agents(), message="end of the agent")
        path = os.path.join(self.home, "state", "apps")
        with open(path, "rb") as file:
            data = bytearray(file.read())
        data[8:12] = struct.pack(">I", 99)
        data[24:56] = hashlib.blake2b(data[:24] + data[56:], digest_size=32).digest()
        for name in ("apps", "apps.prev"):
            self.write(os.path.join(self.home, "state", name), bytes(data))
        self.start([self.silent("b")])
        told = self.pmctl("agent", "status").out
        self.pmctl("kill")
        self.wait(lambda: not self.agents(), message="end of the agent")
        self.inject("a state file whose major version is 99")
        self.saw(f"{[l.strip() for l in told.splitlines() if 'state' in l or 'restore' in l]}")
        self.assertIn("newer", told)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), bytes(data), "the file is untouched")

    def test_apps_outlive_the_loss_of_agent_and_state_and_that_is_said(self):
        self.start([self.silent("a"), self.silent("b")])
        pids = [self.pid("a"), self.pid("b")]
        self.kill_agent()
        for name in ("apps", "apps.prev"):
            self.write(os.path.join(self.home, "state", name), b"rubbish")
        self.pmctl("ping")
        told = self.pmctl("agent", "status").out
        self.assertTrue(all(alive(pid) for pid in pids), "P2")
        self.assertRegex(told, r"2 processes of a former agent")
        self.assertTrue(glob.glob(os.path.join(self.home, "state", "*corrupt*")))
        self.inject("keeper and supervisor killed, both generations of the state file overwritten with rubbish")
        self.saw(f"apps live; {[l.strip() for l in told.splitlines() if ':' in l and ('restore' in l or 'adoption' in l)]}")
        for pid in pids:
            kill(pid)


class Disk(FaultCase):
    def settled(self, path):
        """What is in the file once nothing is about to write it: what the point before has left undone is done by then."""
        seen = []

        def look():
            with open(path, "rb") as file:
                seen.append(file.read())
            return len(seen) >= 10 and len(set(seen[-10:])) == 1
        self.wait(look, message="the state file at rest")
        return seen[-1]

    def test_x11_no_space_for_the_state_is_degraded_keeps_the_old_file_and_is_retried(self):
        self.start([self.silent("a")])
        path = os.path.join(self.home, "state", "apps")
        for point in ("state.open=ENOSPC", "state.after_write=ENOSPC", "state.fsync=EIO", "state.close=EIO", "state.rename=EIO",
                      "state.fsync_dir=EIO"):
            before = self.settled(path)
            self.arm(",".join([point] * 3))  # each acts once, and a command saves twice
            self.pmctl("stop", "a")
            told = self.pmctl("agent", "status").out
            self.assertIn("state:", told)
            with open(path, "rb") as file:
                after = file.read()
            if "fsync_dir" not in point:
                self.assertEqual(after, before, "the generation before is whole and in its place")
            self.inject(point)
            self.saw([l.strip() for l in told.splitlines() if "state:" in l])
            self.wait(self.saved_again, message="a save that succeeds")
            self.assertEqual(self.status("a"), "online")

    def saved_again(self):
        self.pmctl("restart", "a")
        return "state:" not in self.pmctl("agent", "status").out

    def test_x11_save_fails_with_the_reason(self):
        self.start([self.silent("a")])
        self.arm("state.after_write=ENOSPC")
        outcome = self.pmctl("save", check=False)
        self.inject("state.after_write=ENOSPC over 'pmctl save'")
        self.saw(f"exit {outcome.code}: {outcome.err.strip()}")
        self.assertNotEqual(outcome.code, 0)
        self.assertIn("No space left", outcome.err)
        self.pmctl("save")


class Descriptors(FaultCase):
    def test_x19_too_few_descriptors_refuse_politely_and_recover(self):
        self.start([self.silent("a")])
        supervisor = self.supervisor_pid()
        pid = self.pid("a")
        cpu = self.cpu(supervisor)
        used = 16
        _, hard = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (used, hard))
        began = time.monotonic()
        refused = self.pmctl("list", "--timeout", "5s", check=False, timeout=20)
        start = self.pmctl("start", "/bin/sleep", "--name", "b", "--interpreter", "none", "--timeout", "5s", "--", "1000000",
                           check=False, timeout=20)
        seconds = time.monotonic() - began
        busy = self.cpu(supervisor) - cpu
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (hard, hard))
        self.inject(f"RLIMIT_NOFILE of the live supervisor lowered to {used}")
        self.saw(f"list: exit {refused.code} {refused.err.strip()!r}; start: exit {start.code} {start.err.strip()!r}; "
                 f"{busy:.2f} s of CPU in {seconds:.1f} s")
        if refused.code != 0:  # a number below the limit may just have been free
            self.assertIn("out of descriptors", refused.err)
        self.assertNotEqual(start.code, 0)
        self.assertRegex(start.err, "out of descriptors|Too many open files")
        self.assertLess(busy, 0.5 * seconds + 0.3, "a busy loop")
        self.assertTrue(alive(pid))
        self.assertEqual(self.pid("a"), pid)
        self.pmctl("start", "/bin/sleep", "--name", "c", "--interpreter", "none", "--", "1000000")
        self.assertEqual(self.supervisor_pid(), supervisor, "it did not die of it")

    def test_x19_the_keeper_too(self):
        self.start([self.silent("a")])
        keeper = self.keeper_pid()
        used = 10  # its fixed ones are below
        _, hard = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, (used, hard))
        start = self.pmctl("start", "/bin/sleep", "--name", "b", "--interpreter", "none", "--timeout", "3s", "--", "1000000",
                           check=False, timeout=20)
        status = [a["pm2_env"]["status"] for a in self.instances("b")]
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, (hard, hard))
        self.inject(f"RLIMIT_NOFILE of the live keeper lowered to {used}")
        self.saw(f"start: exit {start.code} {start.err.strip()!r}, {status}")
        self.assertNotEqual(start.code, 0)
        self.pmctl("restart", "b")
        self.wait_status("b")
        self.assert_one_each()
        self.assertEqual(self.keeper_pid(), keeper)

    def cpu(self, pid):
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_a_thousand_restarts_leave_no_descriptor_and_no_memory_behind(self):
        self.pmctl("start", self.write("loop.json", {"apps": [{"name": "loop", "script": "/bin/true", "interpreter": "none", "max_restarts": 1000000,
                     "min_uptime": 100}]}), check=False)
        self.wait(lambda: self.restarts("loop") > 200, 60, "200 restarts")
        before = self.sizes()
        self.wait(lambda: self.restarts("loop") > 1200, 120, "1,200 restarts")
        after = self.sizes()
        self.inject("1,000 restarts of an app that exits at once")
        self.saw(f"descriptors and memory of keeper and supervisor before {before}, after {after}")
        for name in before:
            # At the moment of a look, one process may be going while its successor comes.
            self.assertLessEqual(abs(after[name][0] - before[name][0]), 12, f"descriptors of the {name}")
            if PATIENCE == 1:  # a sanitizer keeps what was freed
                self.assertLessEqual(after[name][1], before[name][1] + 512, f"KiB of the {name}")

    def sizes(self):
        out = {}
        for name, pid in zip(("keeper", "supervisor"), self.agent_pids()):
            with open(f"/proc/{pid}/status") as file:
                rss = int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])
            out[name] = (len(process(pid).fds()), rss)
        return out


class Idle(FaultCase):
    def test_with_a_hundred_apps_nothing_of_ours_wakes_up_and_no_network_socket_is_open(self):
        self.start([self.silent("a", instances=100)])
        pids = self.agent_pids()
        time.sleep(1)  # what the start has left to do
        before = [self.switches(p) for p in pids]
        time.sleep(10)  # the time over which wake-ups are counted
        after = [self.switches(p) for p in pids]
        self.inject("10 s without a command, 100 apps asleep")
        self.saw(f"context switches of keeper and supervisor: {[b - a for a, b in zip(before, after)]}")
        self.assertLessEqual(sum(after) - sum(before), 2)
        found = [line for line in self.run_command([require("ss"), "-lntup"]).out.splitlines()
                 if any(f"pid={p}," in line for p in pids)]
        self.assertEqual(found, [])
        self.saw("no socket of ours in ss -lntup")

    def switches(self, pid):
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as file:
                text = file.read()
            total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", text))
        return total


if __name__ == "__main__":
    unittest.main()
