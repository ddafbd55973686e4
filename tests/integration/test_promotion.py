"""The keeper dies after its supervisor did: what the second supervisor only inherited must be handed on, too."""

import unittest

from pmdtest import PmdTestCase, kill


class Promotion(PmdTestCase):
    def test_apps_outlive_a_keeper_whose_supervisor_was_a_successor(self):
        self.pmctl("start", self.sample("loop.sh"), "--name", "loop")
        pid = self.pid("loop")
        for _ in range(2):
            supervisor = self.supervisor_pid()
            kill(supervisor)
            self.wait(lambda old=supervisor: self.supervisor_pid() != old, message="a new supervisor")
            self.assertEqual(self.pid("loop"), pid)
            keeper = self.keeper_pid()
            kill(keeper)
            self.wait(lambda old=keeper: self.keeper_pid() != old, message="a new keeper")
            self.assertEqual(self.pid("loop"), pid)
            self.assertEqual(self.restarts("loop"), 0)


if __name__ == "__main__":
    unittest.main()
