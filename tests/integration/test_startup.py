"""startup and unstartup where they must not touch the machine; what they do to systemd is tests/boot's matter."""

import unittest

from pmdtest import PmdTestCase


class Startup(PmdTestCase):
    def test_other_init_systems_are_answered_in_words(self):
        for verb in ("startup", "unstartup"):
            for platform, word in (("openrc", "OpenRC"), ("upstart", "upstart"), ("launchd", "launchd"),
                                   ("systemv", "System V"), ("freebsd", "rc.d")):
                with self.subTest(verb=verb, platform=platform):
                    out = self.pmctl(verb, platform, check=False)
                    self.assertEqual(out.code, 1, out)
                    self.assertIn(word, out.err)
                    self.assertIn("systemd", out.err)

    def test_an_unknown_init_system_is_a_usage_error(self):
        out = self.pmctl("startup", "windows", check=False)
        self.assertEqual(out.code, 2, out)
        self.assertIn("windows", out.err)

    def test_no_agent_is_started_by_it(self):
        self.pmctl("startup", "openrc", check=1)
        self.assertEqual(self.agents(), {})


if __name__ == "__main__":
    unittest.main()
