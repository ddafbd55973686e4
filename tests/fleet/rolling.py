"""Five hosts with a server in cluster mode each, releases of it, and load on all of them while a rollout goes on."""

import contextlib
import json
import os
import shutil
import subprocess
import threading

from fleet import FleetTestCase
from loads import Load, nodes
from pmdtest import BUILD, PATIENCE

PORT = 8080
WEB = [f"web{i}" for i in range(1, 6)]
QUICK = {"--min-healthy": "500ms", "--healthy-deadline": "20s", "--monitor": "500ms"}
OLD = "1.0.0"

# Answers with its version, which is that of the folder it lies in. Behind `listening` stands what a release does wrong.
SERVER = """'use strict';
const fs = require('fs'), http = require('http'), os = require('os'), path = require('path');
const version = require(path.join(__dirname, 'package.json')).version;
const host = os.networkInterfaces().eth0[0].address;
const headers = { 'X-Worker': String(process.pid), 'X-Release': version };

fs.appendFileSync(path.join(__dirname, '..', `boots-${host}`), `${process.pid} ${version}\\n`);
console.log(`release ${version} starts`);
const server = http.createServer((req, res) => res.writeHead(200, headers).end(version + '\\n'));
function listening() { LISTENING }
function begin() { server.listen(PORT, listening); }
BEGIN
"""
GOOD = {"BEGIN": "begin();", "LISTENING": ""}
KINDS = {
    "good": {},
    "never ready": {"BEGIN": "console.log('no database'); setInterval(() => {}, 1000);"},
    "crashes": {"LISTENING": "setTimeout(() => { console.log('out of beans'); process.exit(9); }, 5000);"},
    # `slow` is a file with addresses, and milliseconds.
    "slow": {"BEGIN": "setTimeout(begin, JSON.parse(fs.readFileSync(path.join(__dirname, 'slow')))[host] || 0);"},
}

ETC = 'mount --bind "$0" /etc && exec "$@"'


class Seen:
    """A pmctl of alice's that goes on, and what it has said so far."""

    def __init__(self, test, *args):
        self.child = test.site.alice.popen(os.path.join(BUILD, "pmctl"), *args, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, text=True)
        self.out, self.err = [], []
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.child.stdout, self.out), (self.child.stderr, self.err))]
        for thread in self.threads:
            thread.start()

    def _read(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def until(self, text, timeout=60):
        """Until a line has that."""
        def said():
            return any(text in line for line in self.out + self.err)
        with self.changed:
            if not self.changed.wait_for(said, timeout * PATIENCE):
                raise AssertionError(f"no {text!r} in {self}")

    def end(self, timeout=90):
        """Its exit status."""
        code = self.child.wait(timeout * PATIENCE)
        for thread in self.threads:
            thread.join()
        return code

    def __str__(self):
        return "\n".join([*self.out, "--- stderr", *self.err])


class RollingTestCase(FleetTestCase):
    """The hosts are made once for a class; a test leaves them with all agents there and no rollout under way."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site = Site()
        cls.addClassCleanup(cls.site.doCleanups)
        try:
            cls.site.setUp()
            cls.site.build()
        except BaseException:
            cls.site.explain()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.site.tearDown()
        super().tearDownClass()

    def setUp(self):
        """What there is of a test's own is nothing: see Site."""
        self.hosts = self.site.hosts

    def tearDown(self):
        site = self.site
        for host in [site.coordinator_host, *site.web.values()]:
            host.mend()
        if site.coordinator.poll() is not None:
            site.start_coordinator()
        site.wait_online()
        for rollout in site.fleet("rollout", "list", "--json").json()["rollouts"]:
            if rollout["state"] != "planned":
                site.fleet("rollout", "abort", rollout["id"], check=False)
                self.wait_state(rollout["id"], "aborted", "succeeded", "failed", "undone")

    def explain(self):
        self.site.explain()

    # --- rollouts -------------------------------------------------------------------------------------------

    def roll(self, *args, check=False, timeout=120, **options):
        """A rollout over all hosts; options in place of the quick ones: min_healthy="8s"."""
        return self.site.fleet("--all", *args, *self.options(**options), "--yes", check=check, timeout=timeout)

    def options(self, **options):
        options = {**QUICK, **{f"--{name.replace('_', '-')}": value for name, value in options.items()}}
        return [word for option in options.items() for word in option]

    def begin(self, *args, **options):
        """One that is not watched; its id."""
        return self.roll(*args, "--no-wait", check=True, **options).out.strip()

    def newest(self):
        return self.site.fleet("rollout", "list", "--all", "--json").json()["rollouts"][0]["id"]

    def show(self, number):
        return self.site.fleet("rollout", "show", number, "--json").json()

    def states(self, number):
        return {host["host"]: host["state"] for host in self.show(number)["hosts"]}

    def wait_state(self, number, *states, timeout=90):
        def reached():
            got[0] = self.show(number)
            return got[0] if got[0]["rollout"]["state"] in states else None
        got = [None]
        return self.wait(reached, timeout, lambda: f"{number} to be {states}: {json.dumps(got[0])}")

    def wait_step(self, number, host, *states, timeout=60):
        self.wait(lambda: self.states(number)[host] in states, timeout,
                  lambda: f"{host} to be {states}: {self.states(number)}")

    def story(self, number):
        return "\n".join(f"{e['who']}: {e['text']}" for e in self.show(number)["story"])

    def assert_said(self, text, *parts):
        for part in parts:
            self.assertIn(part, text)

    def assert_story(self, number, *parts):
        """In this order."""
        story, at = self.story(number), 0
        for part in parts:
            self.assertIn(part, story[at:], story)
            at = story.index(part, at) + len(part)

    # --- what the hosts do ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def load(self, names=WEB, spared=()):
        """Load on each host, on connections that are kept and on new ones; none of the requests may fail, but those on
        hosts that are spared."""
        site = self.site
        within = site.alice.argv()
        with contextlib.ExitStack() as stack:
            loads = [(name, stack.enter_context(Load((site.web[name].address, PORT), keep, connections=4, rate=50,
                                                     within=within))) for name in names for keep in (False, True)]
            for _, load in loads:
                load.wait_for(5)
            yield
            for _, load in loads:
                load.wait_for(load.now()["requests"] + 5)
            accounts = [(name, load.finish()) for name, load in loads]
        for name, account in accounts:
            if name not in spared:
                self.assertEqual(account["failures"], 0, f"{name}: {account}")

    @contextlib.contextmanager
    def each_once(self, names=WEB, workers=2):
        """Within, each of these hosts starts its workers once, and nobody else does."""
        before = self.site.boots()
        yield
        after = self.site.boots()
        self.assertEqual({name: after[name] - before[name] for name in WEB},
                         {name: workers if name in names else 0 for name in WEB})

    @contextlib.contextmanager
    def others_are_left(self, *names):
        """Within, only on these hosts workers are started."""
        before = self.site.boots()
        yield
        after = self.site.boots()
        self.assertEqual({name for name in WEB if after[name] != before[name]}, set(names))


class Site(FleetTestCase):
    """What a class of tests has in common."""

    def runTest(self):
        """Not one of the tests."""

    def build(self):
        self.number = 0
        self.releases = os.path.join(self.dir, "releases")
        os.mkdir(self.releases)
        etc = os.path.join(self.dir, "etc")
        shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("ssl", "ssh", "shadow*", "pmd"))
        os.mkdir(os.path.join(etc, "pmd"), 0o755)
        self.write(os.path.join(etc, "pmd", "policy"),
                   "allow viewer status\nallow logs logs\nallow operator run 1000/h\nallow deployer define 1000/h\n", 0o644)
        config = self.release(OLD)
        self.web = {name: self.host(name) for name in WEB}
        for name, host in self.web.items():
            # The agent's /etc has the policy that lets a coordinator define apps (S-09).
            self.run_command(host.argv("sh", "-c", ETC, etc, self.pmctl_path(), "start", config),
                             env=host.environment(), cwd=host.dir)
            host.pmctl("join", "--token-file", self.token("--label", "role=web"), "--name", name)
        self.wait_online()
        self.wait(lambda: set(self.versions().values()) == {OLD}, message=lambda: f"all to answer: {self.versions()}")

    def pmctl_path(self):
        return os.path.join(os.path.dirname(os.path.realpath(os.path.join(self.bin, "pm2"))), "pmctl")

    def _note(self, argv, what):
        """A long wait asks often: that is no news."""
        if argv[-3:] != ["node", "list", "--json"] or "exit 0" not in what:
            super()._note(argv, what)

    def wait_online(self):
        self.wait(lambda: self.online(*WEB), timeout=60, message=lambda: f"online: {self.nodes()}")

    def release(self, version=None, kind="good", slow=None):
        """Puts a release there; the file that declares it."""
        if version is None:
            self.number += 1
            version = f"1.1.{self.number}"
        path = os.path.join(self.releases, version)
        os.mkdir(path)
        text = SERVER
        for word, code in {**GOOD, **KINDS[kind]}.items():
            text = text.replace(word, code)
        self.write(os.path.join(path, "package.json"), {"name": "api", "version": version})
        self.write(os.path.join(path, "api.js"), text.replace("PORT", str(PORT)))
        self.write(os.path.join(path, "slow"), {self.web[name].address: ms for name, ms in (slow or {}).items()})
        return self.write(os.path.join(path, "apps.json"), {"apps": [{
            "name": "api", "script": os.path.join(path, "api.js"), "interpreter": next(reversed(nodes().values())),
            "exec_mode": "cluster", "instances": 2, "min_uptime": 100, "cwd": path}]})

    def versions(self):
        """{host: what it answers}"""
        program = ("import sys, urllib.request\nfor url in sys.argv[1:]:\n try: print(urllib.request.urlopen(url, "
                   "timeout=5).read().decode().strip())\n except OSError as e: print(type(e).__name__)\n")
        urls = [f"http://{host.address}:{PORT}/" for host in self.web.values()]
        out = self.run_command(self.alice.argv("/usr/bin/python3", "-c", program, *urls)).out
        return dict(zip(self.web, out.split()))

    def boots(self):
        """{host: how often one of its workers was started}"""
        return {name: len(self.read(os.path.join(self.releases, f"boots-{host.address}")).splitlines())
                for name, host in self.web.items()}

    def version_of(self, config):
        return os.path.basename(os.path.dirname(config))
