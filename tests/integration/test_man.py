"""The man pages: clean mdoc, nothing of the tables missing, nothing in them that is not there."""

import json
import os
import re
import unittest

from pmdtest import BUILD, SOURCE, PmdTestCase, require

PAGES = {name: os.path.join(BUILD, "man", f"man{name[-1]}", name) for name in ("pmctl.1", "pmd-apps.5", "pmd-policy.5", "pmd.8")}


def source(name):
    path = PAGES[name]
    if not os.path.exists(path):
        raise RuntimeError(f"{path} is missing: build the target man")
    with open(path, encoding="utf-8") as file:
        return file.read()


def plain(mdoc):
    """A macro line as words: escapes resolved, quotes and calls gone."""
    return mdoc.replace("\\-", "-").replace('"', "")


def long_options(mdoc):
    return set(re.findall(r"\bFl Fl ([\w-]+)", plain(mdoc)))


def letters(mdoc):
    return set(re.findall(r"(?<!Fl )\bFl (\w)\b", plain(mdoc)))


def section(name, title):
    """What is between a section's heading and the next one."""
    return re.search(rf"^\.S[hs] {re.escape(title)}\n(.*?)(?=^\.Sh |\Z)", source(name), flags=re.S | re.M)[1]


def verbs():
    """{verb: its text} of the commands in pmctl(1): items of a list that is not inside another."""
    out, depth, verb = {}, 0, None
    for line in section("pmctl.1", "COMMANDS").splitlines():
        depth += line.startswith(".Bl")
        if depth == 1 and line.startswith(".It Cm "):
            verb = plain(line).split()[2]
            out[verb] = ""
        if verb is not None and depth >= 1:
            out[verb] += line + "\n"
        depth -= line.startswith(".El")
    return out


class Man(PmdTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        docgen = os.path.join(BUILD, "cli", "docgen")
        if not os.path.exists(docgen):
            raise RuntimeError(f"{docgen} is missing: build first")

    def table(self):
        return json.loads(self.run_command([os.path.join(BUILD, "cli", "docgen"), "--table"]).out)

    def rendered(self, name):
        """A page as it is read, in one line."""
        text = self.run_command([require("mandoc"), "-Tutf8", "-Owidth=100", PAGES[name]]).out
        return re.sub(r"\s+", " ", re.sub(".\b", "", text))

    def test_the_pages_are_clean(self):
        for name, path in PAGES.items():
            done = self.run_command([require("mandoc"), "-Tlint", "-Wstyle", path], check=False)
            # Which other manuals this machine has is not the page's business.
            found = [one for one in done.out.splitlines() if "referenced manual not found" not in one]
            self.assertEqual(found, [], name)

    def test_our_pages_refer_to_each_other_only_by_names_that_exist(self):
        for name in PAGES:
            for page, number in re.findall(r"^\.Xr (pm\S+) (\d)", source(name), flags=re.M):
                self.assertIn(f"{page}.{number}", PAGES, name)

    def test_pmctl_1_has_every_command_with_its_options_and_no_other(self):
        table, page = self.table(), verbs()
        self.assertEqual(sorted(page), sorted(verb["name"] for verb in table["verbs"]))
        everywhere = {option["name"] for option in table["global"] + table["fleet"]}
        for verb in table["verbs"]:
            text = page[verb["name"]]
            own = {option["name"] for option in verb["options"]}
            self.assertEqual(own - long_options(text), set(), f"{verb['name']}: options without a word")
            self.assertEqual(long_options(text) - own - everywhere, set(), f"{verb['name']}: options it has not")
            self.assertEqual({o["letter"] for o in verb["options"]} - {""} - letters(text), set(), verb["name"])
            for alias in verb["aliases"].split():
                self.assertRegex(text, rf"(?m)^\.Cm {alias} [.,]$", f"{verb['name']}: its other name {alias}")

    def test_pmctl_1_has_the_options_of_every_command_and_of_those_that_take_hosts(self):
        table, text = self.table(), section("pmctl.1", "OPTIONS").split(".Ss ")
        self.assertEqual(long_options(text[0]), {option["name"] for option in table["global"]})
        self.assertEqual(letters(text[0]), {option["letter"] for option in table["global"]} - {""})
        self.assertEqual(long_options(text[2]), {option["name"] for option in table["fleet"]})
        self.assertEqual(letters(text[2]), {option["letter"] for option in table["fleet"]} - {""})
        rollout = {option["name"] for option in table["rollout"]}
        self.assertEqual(rollout - long_options(text[3]), set())
        self.assertEqual(long_options(text[3]) - rollout, {"json", "jsonl"})
        lists = {option["name"] for option in table["lists"]}
        self.assertEqual(lists - long_options(text[4]), set())
        self.assertEqual(long_options(text[4]) - lists, {"json", "jsonl"})
        self.assertEqual({option["letter"] for option in table["lists"]} - {""} - letters(text[4]), set())

    def test_pmctl_1_has_every_exit_status(self):
        listed = re.findall(r"^\.It (\d+)$", section("pmctl.1", "EXIT STATUS"), flags=re.M)
        self.assertEqual(sorted({int(one) for one in listed} - {20, 130}), sorted(set(self.table()["statuses"])))

    def test_the_keys_read_as_explain_prints_them(self):
        page = self.rendered("pmd-apps.5")
        options = self.rendered("pmctl.1")
        for key in self.pmctl("explain", "--json").json():
            text = re.sub(r"`([^`]*)`", "‘\\1’", key["help"])
            self.assertIn(text, page, key["key"])
            self.assertIn(f" {key['key']} ", page)
            for option in re.findall(r"--[\w-]+", key["option"] or ""):
                self.assertIn(option, options, key["key"])

    def test_help_of_each_command_names_its_options(self):
        for verb in self.table()["verbs"]:
            shown = self.pmctl("help", verb["name"]).out
            self.assertTrue(shown.startswith(f"usage: pmctl {verb['name']}"), shown)
            self.assertEqual(shown, self.pmctl(verb["name"], "--help").out)
            for option in verb["options"]:
                self.assertIn(f"--{option['name']}", shown)
            for line in shown.splitlines():
                self.assertEqual(line, line.rstrip(), "a blank at the end of a line")

    def test_pmd_policy_5_has_every_operation_and_the_default_rules(self):
        page = source("pmd-policy.5")
        with open(os.path.join(SOURCE, "proto", "ops.c"), encoding="utf-8") as file:
            operations = re.findall(r'\[PM_OP_\w+\] = { "([\w-]+)"', file.read().split("[PM_OP_LOCAL]")[0])
        self.assertGreater(len(operations), 10)
        for operation in operations:
            self.assertRegex(page, rf"(?m)^\.Cm (?:.* )?{operation}\b", operation)
        with open(os.path.join(SOURCE, "agent", "policy.c"), encoding="utf-8") as file:
            body = re.search(r"policy_default_text\(void\)\n{(.*?)\n}", file.read(), flags=re.S)[1]
        for rule in re.findall(r'"(.*?)\\n"', body):
            self.assertIn(f"\n{rule}\n", page)

    def test_pmd_8_has_the_options_of_the_agent_and_of_the_coordinator(self):
        want = set()
        for part in ("agent", "coordinator"):
            usage = self.run_command([os.path.join(BUILD, "pmd"), part, "--help"]).out
            want |= set(re.findall(r"--([\w-]+)", usage)) - {"help"}
        self.assertEqual(long_options(source("pmd.8").split(".Ss ")[0]), want)


if __name__ == "__main__":
    unittest.main()
