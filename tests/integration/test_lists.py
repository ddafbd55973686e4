"""E-04: lists in every form, in an order, and of chosen rows: on one machine, over hosts, and of the coordinator's own."""

import json
import os
import unittest

import pmdtest
from fleet import FleetTestCase

APPS = "apps=api:2:1.4.2:online,web:1:2.0.0:online"


class OneMachine(pmdtest.PmdTestCase):
    def setUp(self):
        super().setUp()
        script = self.write("sleeper.sh", "#!/bin/bash\nexec sleep 1000\n", 0o755)
        self.pmctl("start", script, "-n", "web", "-f")
        self.pmctl("start", script, "-n", "api", "-i", "2")
        self.pmctl("stop", "web")

    def lines(self, *args):
        return self.pmctl("list", *args).out.splitlines()

    def test_e04_forms(self):
        self.assertEqual(self.lines("-o", "name"), ["api", "web"])
        self.assertEqual(self.lines("-o", "custom=id,name,status,note", "--no-header"),
                         ["1  api  online   -", "2  api  online   -", "0  web  stopped  -"])
        self.assertEqual(self.lines("-o", "custom=name,status")[0], "name  status")
        self.assertRegex(self.lines("-o", "wide")[0], r"^id +name +.* instance +unstable +created +note$")
        self.assertRegex(self.lines("--no-header")[0], r"^1  api ")
        document = self.pmctl("list", "-o", "json").json()
        self.assertEqual(document["schema"], 1)
        self.assertEqual([(a["name"], a["pm_id"]) for a in document["apps"]],
                         [(a["name"], a["pm_id"]) for a in self.pmctl("list", "--json").json()["apps"]])
        rows = [json.loads(line) for line in self.lines("-o", "jsonl")]
        self.assertEqual([(r["schema"], r["name"], r["pm_id"]) for r in rows], [(1, "api", 1), (1, "api", 2), (1, "web", 0)])

    def test_e04_order_and_choice(self):
        ids = ["-o", "custom=id", "--no-header"]
        self.assertEqual(self.lines("--sort", "id", *ids), ["0", "1", "2"])
        self.assertEqual(self.lines("--sort", "id:desc", *ids), ["2", "1", "0"])
        self.assertEqual(self.lines("--sort", "status", *ids), ["1", "2", "0"])
        self.assertEqual(self.lines("--filter", "status=online", *ids), ["1", "2"])
        self.assertEqual(self.lines("--filter", "status!=online", *ids), ["0"])
        self.assertEqual(self.lines("--filter", "name=a*", "--filter", "id=2", *ids), ["2"])
        self.assertEqual(self.lines("--filter", "name=nobody", *ids), [])
        document = self.pmctl("list", "--json", "--filter", "name=api", "--sort", "id:desc").json()
        self.assertEqual([a["pm_id"] for a in document["apps"]], [2, 1])

    def test_e04_mistakes(self):
        for args, words in [
                (["list", "-o", "custom=nam"], "'nam' is no key of this list; it has id, name,"),
                (["list", "--filter", "statsu=online"], "did you mean 'status'?"),
                (["list", "--sort", "uptme"], "did you mean 'uptime'?"),
                (["list", "-o", "wid"], "did you mean 'wide'?"),
                (["list", "-o", "wide", "--json"], "two forms"),
                (["list", "-m", "--filter", "name=api"], "--mini-list has no columns"),
                (["context", "list", "--sort", "adress"], "did you mean 'address'?"),
                (["context", "show", "--no-header"], "it goes with 'context list'"),
                (["describe", "api", "--filter", "name=api"], "no such option"),
                (["history", "api", "--filter", "bye=x"], "did you mean 'by'?"),
        ]:
            with self.subTest(args=args):
                done = self.pmctl(*args, check=2)
                self.assertEqual(done.out, "")
                self.assertIn(words, done.err)

    def test_e04_under_the_name_pm2_nothing_is_new(self):
        os.symlink(os.path.join(pmdtest.BUILD, "pmctl"), os.path.join(self.dir, "pm2"))
        for option in (["--filter", "name=api"], ["--no-header"]):
            done = self.run_command([os.path.join(self.dir, "pm2"), "list", *option], check=False)
            self.assertIn("error: unknown option", done.err + done.out)
        shown = self.run_command([os.path.join(self.dir, "pm2"), "list", "--help"]).out
        self.assertNotIn("--filter", shown)
        self.assertIn("--filter", self.pmctl("list", "--help").out)
        self.assertEqual(self.pmctl("list", "--help").out.count("--sort "), 1)

    def test_e04_history(self):
        name = self.pmctl("history", "api", "-o", "name").out.split()
        self.assertEqual(name, [v["spec_hash"] for v in self.pmctl("history", "api", "--json").json()["versions"]])
        self.assertEqual(self.pmctl("history", "api", "-o", "custom=running,what", "--no-header").out, "2  declared\n")


class Fleet(FleetTestCase):
    def setUp(self):
        super().setUp()
        self.coordinator()
        self.login()
        self.agents_of(["web01", "web02", "web03"], f"* {APPS}\nweb02 apps=api:2:1.4.2:errored,web:1:2.0.0:online\n", "role=web")

    def rows(self, *args, check=0):
        return self.pmctl(*args, "--no-header", check=check).out.splitlines()

    def test_e04_apps_of_hosts(self):
        self.assertEqual(self.pmctl("--all", "list", "-o", "name").out, "api\nweb\n")
        self.assertEqual(self.rows("--all", "list", "-o", "custom=host,name,status", "--filter", "name=web"),
                         ["web01  web  online", "web02  web  online", "web03  web  online"])
        self.assertEqual(self.rows("--all", "list", "-o", "custom=host", "--filter", "status=errored"), ["web02", "web02"])
        self.assertEqual(self.rows("--all", "list", "-o", "custom=host,id", "--sort", "host:desc", "--filter", "id=0"),
                         ["web03  0", "web02  0", "web01  0"])
        self.assertTrue(self.pmctl("--all", "list", "-o", "wide").out.startswith("host   id  name"))
        # A filter alone leaves the list as it is, without what was not meant.
        few = self.pmctl("--all", "list", "--filter", "status=errored").out.splitlines()
        self.assertRegex(few[1], r"^web02  api +v1\.4\.2 +errored 2/2 ")
        self.assertEqual(few[2:], ["3 hosts: 3 answered"])
        document = self.pmctl("--all", "list", "--json", "--filter", "name=web").json()
        self.assertEqual({h["host"]: [a["name"] for a in h["apps"]] for h in document["hosts"]},
                         {"web01": ["web"], "web02": ["web"], "web03": ["web"]})
        lines = [json.loads(line) for line in self.pmctl("--all", "list", "-o", "jsonl", "--filter", "name=api").out.splitlines()]
        self.assertEqual([len(line["apps"]) for line in lines if "host" in line], [2, 2, 2])
        self.assertIn("account", lines[-1])
        self.assertIn("did you mean 'host'?", self.pmctl("--all", "list", "--sort", "hots", check=2).err)

    def test_e04_a_host_without_an_answer_is_told_beside_the_rows(self):
        self.order("stop", "web03")
        self.wait(lambda: any(n["name"] == "web03" and n["state"] != "online" for n in self.nodes()))
        done = self.pmctl("--all", "list", "-o", "custom=host", "--filter", "name=web", "--no-header", check=11)
        self.assertEqual(done.out, "web01\nweb02\n")
        self.assertIn("web03: unreachable", done.err)

    def test_e04_lists_of_the_coordinator(self):
        self.assertEqual(self.pmctl("node", "list", "-o", "name", "--sort", "name:desc").out, "web03\nweb02\nweb01\n")
        self.assertEqual(self.rows("node", "list", "-o", "custom=name,state,labels", "--filter", "name=*2"),
                         ["web02  online  role=web"])
        self.assertRegex(self.pmctl("node", "list", "-o", "wide").out, r"^name .* note +system +arch +cpus +clock +joined")
        self.assertEqual([json.loads(line)["name"] for line in self.pmctl("node", "list", "-o", "jsonl").out.splitlines()],
                         ["web01", "web02", "web03"])
        self.assertEqual(len(self.pmctl("node", "list", "-o", "json", "--filter", "name=web01").json()["nodes"]), 1)
        self.pmctl("group", "set", "front", "--hosts", "web01")
        self.pmctl("group", "set", "back", "--hosts", "web02")
        self.assertEqual(self.rows("group", "list", "--filter", "name=f*"), ["front  --hosts 'web01'"])
        self.assertEqual(self.pmctl("operator", "list", "-o", "name").out, "op-prod\n")
        self.assertEqual(self.rows("token", "list", "-o", "custom=for", "--filter", "for=nobody"), [])
        self.pmctl("--all", "reload", "api", "--min-healthy", "0s", "--batch", "100%")
        done = self.rows("rollout", "list", "--all", "-o", "custom=state,hosts", "--filter", "what=*api*")
        self.assertEqual(done, ["succeeded  3"])
        self.assertEqual(self.rows("rollout", "list", "--all", "--filter", "state=paused"), [])
        actions = self.rows("audit", "-o", "custom=what,to", "--filter", "what=group*")
        self.assertEqual(len(actions), 2)
        self.assertIn("did you mean 'state'?", self.pmctl("rollout", "list", "--filter", "stat=x", check=2).err)
        self.pmctl("audit", "verify", "--filter", "who=x", check=2)
        self.pmctl("rollout", "watch", "r-1", "--no-header", check=2)


if __name__ == "__main__":
    unittest.main()
