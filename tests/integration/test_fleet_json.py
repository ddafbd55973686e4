"""F-12: every verb of a fleet says what it has to say as JSON: one document, or one a line, and nothing beside it."""

import json
import unittest

from fleet import FleetTestCase

APPS = "apps=api:4:1.4.2:online,web:2:2.0.0:online"
HOSTS = ["web01", "web02", "web03"]

# What is only looked at, of hosts and of the coordinator.
LOOKS = [
    ("--all", "list"), ("--all", "list", "api"), ("--all", "jlist"), ("--all", "describe", "api"),
    ("--all", "env", "api"), ("--all", "why", "api"),
    ("--all", "targets"), ("--all", "logs", "api", "--nostream", "-n", "2"),
    ("node", "list"), ("node", "show", "web01"), ("operator", "list"), ("group", "list"), ("group", "list", "front"),
    ("token", "list"), ("audit",), ("audit", "verify"), ("whoami",), ("rollout", "list"),
]
# What changes something; each is done once with --json and once with --jsonl.
CHANGES = [
    ("--all", "restart", "api"), ("--hosts", "web01", "restart", "api"), ("--all", "reload", "api", "--min-healthy", "0s"),
    ("--all", "stop", "web", "--yes"), ("--all", "start", "web"), ("--all", "scale", "api", "4"), ("--all", "reset", "api"),
    ("--all", "flush", "api", "--yes"), ("--all", "reloadLogs"), ("--all", "sendSignal", "USR1", "api"),
    ("--all", "send", "api", "word"), ("--all", "save"), ("--all", "restart", "api", "--plan"),
    ("--all", "reload", "api", "--plan"), ("node", "label", "web01", "zone=a"), ("node", "drain", "web02"),
    ("node", "undrain", "web02"), ("drain", "web02"), ("undrain", "web02"), ("node", "accept", "web01"),
    ("group", "set", "back", "--hosts", "web02"), ("token", "create", "--label", "role=db"), ("--all", "delete", "web", "--yes"),
]


class Json(FleetTestCase):
    def setUp(self):
        super().setUp()
        self.coordinator()
        self.login()
        self.agents_of(HOSTS, f"* {APPS} lines=5\n", "role=web")
        self.pmctl("group", "set", "front", "--hosts", "web01")

    def documents(self, args, form):
        """What it prints, parsed; each document says which schema it is of."""
        done = self.pmctl(*args, form, check=False)
        with self.subTest(command=" ".join([*args, form])):
            self.assertIn(done.code, (0, 20), done)
            self.assertEqual(done.err, "", "progress goes to a terminal only")
            stream = form == "--jsonl" or "logs" in args
            texts = done.out.splitlines() if stream else [done.out]
            self.assertGreater(len(texts), 0)
            documents = [json.loads(text) for text in texts]
            for document in documents:
                self.assertIsInstance(document, dict)
                self.assertEqual(document.get("schema"), 1, document)
            return documents
        return []

    def test_f12_what_is_looked_at(self):
        for args in LOOKS:
            for form in ("--json", "--jsonl"):
                self.documents(args, form)

    def test_f12_what_changes_something(self):
        for form in ("--json", "--jsonl"):
            for args in CHANGES:
                self.documents(args, form)
            self.pmctl("--all", "start", "web", check=False)

    def test_f12_a_line_a_host_and_an_account_at_the_end(self):
        for args in (("--all", "list"), ("--all", "restart", "api"), ("--all", "why", "api"), ("--all", "stop", "api", "--yes")):
            lines = self.documents(args, "--jsonl")
            self.assertEqual(sorted(line["host"] for line in lines if "host" in line), HOSTS, (args, lines))
            self.assertIn("account", lines[-1], args)

    def test_f12_a_failure_is_in_the_document_too(self):
        done = self.pmctl("--all", "restart", "nothing", "--json", check=False)
        self.assertNotEqual(done.code, 0)
        self.assertEqual(json.loads(done.out)["schema"], 1)


if __name__ == "__main__":
    unittest.main()
