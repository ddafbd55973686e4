"""Which instances a command means, scaling, and how ids grow."""

import os
import unittest

from pmdtest import PmdTestCase, alive


class Targets(PmdTestCase):
    def start(self, *apps, check=True):
        script = self.write("stay.sh", "#!/bin/sh\nexec sleep 3600\n", 0o755)
        return self.pmctl("start", self.write("apps.json", {"apps": [
            dict(dict(script=script, interpreter="none", exec_mode="fork"), **a) for a in apps]}), check=check)

    def table(self):
        return [(a["name"], a["pm_id"], a["pm2_env"]["status"]) for a in self.apps()]

    def stopped(self):
        return [a["pm_id"] for a in self.apps() if a["pm2_env"]["status"] == "stopped"]

    def three(self):
        other = self.write("other.sh", "#!/bin/sh\nexec sleep 3600\n", 0o755)
        self.start(dict(name="a", namespace="x", instances=2), dict(name="b", namespace="x"),
                   dict(name="c", script=other))

    def test_names_namespaces_ids_paths_and_several_at_once(self):
        self.three()
        for words, want in ((["a"], [0, 1]), (["x"], [0, 1, 2]), (["1"], [1]), (["./other.sh"], [3]),
                            ([self.path("other.sh")], [3]), (["b", "3"], [2, 3]), (["a", "0", "a"], [0, 1]),
                            (["all"], [0, 1, 2, 3])):
            with self.subTest(words):
                self.pmctl("stop", *words)
                self.assertEqual(self.stopped(), want)
                self.pmctl("start", "all", check=False)
                self.assertEqual(self.stopped(), [])

    def test_a_name_comes_before_a_namespace_and_an_id(self):
        self.start(dict(name="1"), dict(name="x"), dict(name="y", namespace="x"))
        self.pmctl("stop", "1")
        self.pmctl("stop", "x")
        self.assertEqual(self.stopped(), [0, 1])

    def test_what_means_nothing_changes_nothing_and_says_what_is_near(self):
        self.start(dict(name="server"))
        out = self.pmctl("stop", "server", "sevrer", check=4)
        self.assertIn("did you mean 'server'", out.err)
        self.assertEqual(self.table(), [("server", 0, "online")])
        self.pmctl("stop", "99", check=4)

    def test_ids_grow_and_start_again_when_nothing_is_left(self):
        self.start(dict(name="a"), dict(name="b"))
        self.pmctl("delete", "a")
        self.start(dict(name="c"))
        self.assertEqual(self.table(), [("b", 1, "online"), ("c", 2, "online")])
        self.pmctl("delete", "all")
        self.start(dict(name="d"))
        self.assertEqual(self.table(), [("d", 0, "online")])

    def test_scale_up_down_and_by(self):
        self.start(dict(name="a", instances=2))
        keep = [a["pid"] for a in self.instances("a")]
        self.pmctl("scale", "a", "4")
        self.wait_status("a")
        self.assertEqual([a["pm2_env"]["NODE_APP_INSTANCE"] for a in self.instances("a")], [0, 1, 2, 3])
        self.pmctl("scale", "a", "+1")
        self.assertEqual(len(self.instances("a")), 5)
        gone = [a["pid"] for a in self.instances("a")[1:]]
        self.pmctl("delete", "1")
        self.pmctl("scale", "a", "-1")
        self.assertEqual(len(self.instances("a")), 3)
        self.pmctl("scale", "a", "4")  # the number that is free is taken again
        self.assertEqual(sorted(a["pm2_env"]["NODE_APP_INSTANCE"] for a in self.instances("a")), [0, 1, 2, 3])
        self.pmctl("scale", "a", "1")
        self.assertEqual([a["pid"] for a in self.instances("a")], keep[:1])
        self.assertFalse([p for p in gone if alive(p)])
        self.pmctl("scale", "a", "0", check=False)
        self.assertEqual(len(self.instances("a")), 1)

    def test_the_same_name_again_is_refused_in_words_unless_forced(self):
        self.start(dict(name="a"))
        pid = self.pid("a")
        out = self.pmctl("start", self.path("stay.sh"), "--name", "a", check=False)
        self.assertNotEqual(out.code, 0)
        self.assertIn("runs already", out.out + out.err)
        self.assertEqual(self.pid("a"), pid)
        self.pmctl("start", self.path("stay.sh"), "--name", "a", "--force")
        self.assertEqual(self.table(), [("a", 0, "online"), ("a", 1, "online")])
        self.pmctl("delete", "0")
        self.pmctl("restart", "a")
        self.assertEqual(self.table(), [("a", 1, "online")])

    def test_a_new_name_is_found_and_the_old_one_is_not(self):
        self.start(dict(name="a"))
        self.pmctl("restart", "a", "--name", "z")
        self.pmctl("restart", "z")
        self.pmctl("restart", "a", check=4)

    def test_a_delete_while_others_wait_their_turn_is_survived(self):
        slow = self.write("slow.sh", "#!/bin/sh\ntrap 'sleep 0.5; exit 0' INT\nwhile :; do sleep 0.05; done\n", 0o755)
        self.start(dict(name="s", script=slow, instances=6))
        child = self.pmctl_popen("restart", "s", "--parallel", "1", text=True)
        self.wait(lambda: any(a["pm2_env"]["status"] != "online" for a in self.instances("s")), message="begun")
        self.pmctl("delete", "5", "4")
        out, err = child.communicate(timeout=60)
        self.assertIn("deleted meanwhile", out + err)
        self.assertEqual([a["pm2_env"]["restart_time"] for a in self.instances("s")], [1, 1, 1, 1])

    def test_a_thousand_apps_are_listed_quickly_and_found(self):
        apps = [dict(name=f"app{n:04}", autostart=False) for n in range(1000)]
        self.start(*apps)
        self.assertEqual(len(self.apps()), 1000)
        self.pmctl("start", "app0999")
        self.assertEqual(self.status("app0999"), "online")
        ticks = cpu(self.supervisor_pid())
        for _ in range(5):
            self.pmctl("list")
        spent = (cpu(self.supervisor_pid()) - ticks) / os.sysconf("SC_CLK_TCK") / 5
        print(f"a list of 1,000 instances costs the supervisor {spent * 1000:.0f} ms")


def cpu(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    unittest.main()
