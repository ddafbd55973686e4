"""Reload of Node apps: one release replaced by the next under load."""

import unittest

from clusters import ROUNDS, SOAK, ClusterTestCase


class NodeApps(ClusterTestCase):
    def test_no_request_fails_while_an_app_is_reloaded(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep) as load:
                self.reload_rounds(load)

        self.each_way(body, ["naive", "graceful"] + (["quits", "proxy"] if SOAK else []))

    def test_an_app_that_says_when_it_is_ready(self):
        def body(node, mode, keep):
            self.start(node, mode, wait_ready=True)
            with self.load(keep) as load:
                self.reload_rounds(load)

        self.each_way(body, ["ready"])

    def test_answers_that_are_on_their_way(self):
        def body(node, mode, keep):
            self.start(node, mode)
            with self.load(keep, path="/stream?30", requests=200) as load:
                self.reload_rounds(load)

        self.each_way(body, only=["newest"])

    def test_clients_that_are_often_idle(self):
        self.start(mode="graceful")
        with self.load(True, connections=40, rate=200, requests=200) as load:
            self.reload_rounds(load)

    def test_a_unix_socket(self):
        path = self.path("web.sock")

        def body(_, mode, keep):
            self.address = path
            self.start(mode=mode, where=path)
            with self.load(keep) as load:
                self.reload_rounds(load)

        self.each_way(body, ["naive", "graceful"], only=["newest"])

    def test_more_workers_than_one(self):
        self.start(instances=4)
        with self.load(False) as load:
            self.reload_rounds(load, max(ROUNDS // 2, 2))


if __name__ == "__main__":
    unittest.main()
