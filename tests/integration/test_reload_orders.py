"""Other commands while a reload is under way: each is carried out, and each of both is answered once and truly."""

import unittest

from pmdtest import alive, kill
from reloads import SERVER, ReloadCase


class WhileTheSuccessorStarts(ReloadCase):
    def test_a_stop_gives_it_up_and_waits_for_its_end(self):
        self.start_api()
        child = self.starting()
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [], "stop has answered")
        self.assert_port_is_free()
        code, said = self.finish(child)
        self.assertNotEqual(code, 0)
        self.assertIn("a later order replaced this one", said)
        self.assertIn("left as it is", said)
        self.how("good")
        self.pmctl("start", "api")
        self.assert_whole()

    def test_a_stop_also_takes_away_the_reload_that_was_to_follow(self):
        self.start_api(1, kill_timeout=500)
        child = self.starting()
        forced = self.begin("reload", "--force", "api")
        code, said = self.finish(child)
        self.assertIn("a later order replaced this one", said)
        self.wait_servers(2)
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [])
        self.assertNotEqual(self.finish(forced)[0], 0)
        self.assertEqual(self.status("api"), "stopped")

    def test_a_restart_takes_its_place(self):
        self.start_api(1)
        before = self.pids()
        child = self.starting()
        self.how("good")
        self.pmctl("restart", "api")
        self.assertNotEqual(self.finish(child)[0], 0)
        self.assert_whole(1)
        self.assertNotEqual(self.pids(), before)

    def test_a_delete_ends_both_before_it_answers(self):
        self.start_api(1)
        child = self.starting()
        self.pmctl("delete", "api")
        self.assertEqual(self.servers(), [])
        self.assert_port_is_free()
        self.assertNotEqual(self.finish(child)[0], 0)
        self.assertEqual(self.apps(), [])

    def test_a_start_changes_nothing_and_does_not_answer_for_the_reload(self):
        self.start_api(1, listen_timeout=3000)
        before = self.pids()
        child = self.starting()
        self.pmctl("start", "api", check=False)
        code, said = self.finish(child)
        self.assertNotEqual(code, 0, said)
        self.assertIn("did not listen", said)
        self.assert_whole(1)
        self.assertEqual(self.pids(), before)

    def test_when_the_old_one_crashes_the_answer_is_about_the_reload(self):
        self.start_api(1, min_uptime=1500)
        before = self.pids()
        self.how("good")
        child = self.begin("reload", "api")
        self.wait_servers(2)
        kill(before[0])
        code, said = self.finish(child)
        self.assertEqual(code, 0, said)
        self.assert_whole(1)

    def test_the_old_one_listens_only_now_and_the_new_one_has_all_its_time(self):
        self.start([self.api(1, env={"LATE": 3500}, min_uptime=2000)])
        child = self.begin("reload", "api")
        self.wait_open()
        code, said = self.finish(child)
        self.assertEqual(code, 0, said)
        self.assert_whole(1)

    def test_a_scale_down_takes_its_place(self):
        self.start_api(2)
        child = self.starting("reload", "api", "--parallel", 2, n=2)
        self.how("good")
        self.pmctl("scale", "api", 1)
        self.pmctl("stop", "api")
        self.pmctl("start", "api")
        self.assertNotEqual(self.finish(child)[0], 0)
        self.assert_whole(1)

    def test_kill_ends_all_of_them(self):
        self.start_api(2)
        child = self.starting("reload", "api", "--parallel", 2, n=2)
        self.pmctl("kill")
        self.assertEqual(self.servers(), [])
        self.assertNotEqual(self.finish(child)[0], 0)

    def test_a_caller_whose_time_is_up_is_told_and_the_reload_goes_on(self):
        self.start_api(2)
        self.how("mute")
        code, said = self.finish(self.begin("--timeout", "1s", "reload", "api"))
        self.assertNotEqual(code, 0)
        self.assertIn("goes on in the background", said)
        self.assertIn("its turn did not come in time", said)
        self.assertEqual(len(self.servers()), 3)
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [])

    def test_a_caller_that_goes_away_changes_nothing(self):
        self.start_api(1, min_uptime=1000)
        before = self.pids()
        child = self.begin("reload", "api")
        self.wait_servers(2)
        child.kill()
        self.wait(lambda: self.pids() != before, message="the swap")
        self.assert_whole(1)


class WhileTheOldOneFinishes(ReloadCase):
    def test_a_stop_ends_both_and_the_reload_was_done(self):
        self.start_api(1)
        child, _ = self.retiring()
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [])
        self.assert_port_is_free()
        code, said = self.finish(child)
        self.assertEqual(code, 0, said)
        self.pmctl("start", "api")
        self.assert_whole(1)

    def test_a_delete_ends_both_and_the_name_is_free(self):
        self.start_api(1, kill_timeout=300)
        self.retiring()
        self.pmctl("delete", "api")
        self.assertEqual(self.servers(), [])
        self.start_api(2)
        self.assert_whole(2)

    def test_a_second_reload_with_force_cuts_it_short(self):
        self.start_api(1)
        child, _ = self.retiring()
        middle = self.pids()
        self.assertNotEqual(self.pmctl("reload", "api", check=False).code, 0)
        self.pmctl("reload", "--force", "api")
        code, said = self.finish(child)
        self.assertEqual(code, 0, said)
        self.assertNotEqual(self.pids(), middle)
        self.assert_whole(1)

    def test_the_new_one_crashes_and_is_started_again(self):
        self.start_api(1)
        child, slow = self.retiring()
        crashed = self.pids()
        kill(crashed[0])
        self.wait(lambda: self.pids() not in (crashed, [0]) and self.status("api") == "online", message="its successor")
        slow.close()
        code, said = self.finish(child)
        self.assertEqual(code, 0, said)
        self.assert_whole(1)

    def test_one_that_was_scaled_away_is_ended_by_a_stop(self):
        self.start_api(2)
        slow = []
        while len(slow) < 8:  # so that the second worker has one, too
            slow += [self.retiring_request()]
        scale = self.begin("scale", "api", 1)
        self.wait(lambda: len(self.pids()) == 1 and len(self.servers()) == 2, message="one that finishes")
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [])
        self.assert_port_is_free()
        self.assertEqual(self.finish(scale)[0], 0)

    def test_one_that_is_scaled_away_may_end_as_it_likes(self):
        """As node does, with status 13, where a module awaits what a worker that leaves is not told any more."""
        self.node("server.js", "process.on('disconnect', () => process.exit(13));" + SERVER)
        self.start_api(2)
        out = self.pmctl("scale", "api", 1).out
        self.assertIn("removed", out)
        self.assertNotIn("failed", out)
        self.assertEqual(len(self.servers()), 1)

    def test_a_scaled_down_one_is_not_started_again_by_a_restart_that_had_yet_to_come_to_it(self):
        self.how("deaf")
        self.start_api(3, kill_timeout=1500)
        for _ in range(15):
            self.retiring_request()
        first, _, last = self.pids()
        restart = self.begin("restart", "api", "--parallel", 1)
        self.wait(lambda: "stopping" in self.states(), message="the first ends")
        scale = self.begin("scale", "api", 2)
        self.wait(lambda: len(self.pids()) == 2, message="two instances")
        code, said = self.finish(restart)
        self.assertIn("it is being deleted", said)
        self.assertNotEqual(code, 0)
        self.assertTrue(alive(last), "it finishes what it has")
        self.pmctl("stop", "api")
        self.assertEqual(self.servers(), [])
        self.finish(scale)

    def test_a_start_of_the_same_name_while_what_was_deleted_ends(self):
        for as_pm2 in (False, True):
            with self.subTest(as_pm2=as_pm2):
                self.how("deaf")
                self.start_api(1, kill_timeout=3000)
                self.how("good")
                self.retiring()
                delete = self.begin("delete", "api")
                self.wait(lambda: not self.apps() and len(self.servers()) == 1, message="only the old one is left")
                self.pmctl("start", self.path("apps.json"), as_pm2=as_pm2)
                self.assertEqual(self.finish(delete)[0], 0)
                self.wait(lambda: self.instances("api"), message="the new one")
                self.assert_whole(1)
                self.pmctl("delete", "api")


class NewSettings(ReloadCase):
    """A reload that comes with other settings and fails leaves the app with those it had (P4)."""

    def release(self, n, instances=2, **env):
        return self.write("next.json", {"apps": [self.api(instances, env={"RELEASE": n, **env}, **self.keys)]})

    def begin_with(self, instances=2, **keys):
        self.keys = keys
        self.start_api(instances, env={"RELEASE": 1}, **keys)

    def assert_former(self, before):
        self.assert_whole(len(before))
        self.assertEqual(self.pids(), before)
        kill(before[0])
        self.wait(lambda: self.pids()[0] not in (0, before[0]), message="a restart")
        self.assert_whole(len(before))
        self.assertEqual(self.releases(), {"1"}, "also after a crash")

    def test_they_stay_when_no_instance_could_be_replaced(self):
        self.begin_with()
        before = self.pids()
        outcome = self.pmctl("startOrReload", self.release(2, HOW="throw"), check=False)
        self.assertNotEqual(outcome.code, 0)
        self.assertIn("its former settings stay", outcome.out + outcome.err)
        self.assert_former(before)
        self.pmctl("startOrReload", self.release(3))
        self.assert_whole()
        self.assertEqual(self.releases(), {"3"})

    def test_variables_of_the_shell(self):
        self.begin_with(1)
        before = self.pids()
        outcome = self.pmctl("reload", "api", "--update-env", env={"LANG": "throw"}, check=False)
        self.assertIn("its former settings stay", outcome.out + outcome.err)
        self.assert_former(before)

    def test_options(self):
        self.begin_with(1)
        before = self.pids()
        outcome = self.pmctl("reload", "api", "--name", "other", "--interpreter", "/bin/false", check=False)
        self.assertNotEqual(outcome.code, 0)
        self.assert_former(before)

    def test_it_says_when_some_were_replaced_and_some_were_not(self):
        self.begin_with()
        before = self.pids()
        outcome = self.pmctl("startOrReload", self.release(2, THROW_AT=1), check=False)
        self.assertNotEqual(outcome.code, 0)
        self.assertIn("1 of 2 instances have the new settings", outcome.out + outcome.err)
        self.assert_whole()
        self.assertEqual([a == b for a, b in zip(before, self.pids())], [False, True])
        self.assertEqual(self.releases(), {"1", "2"})

    def test_neither_more_nor_fewer_instances(self):
        self.begin_with(min_uptime=1500)
        before = self.pids()
        for n in (4, 1):
            with self.subTest(n=n):
                outcome = self.pmctl("startOrReload", self.release(2, n, HOW="throw"), check=False)
                self.assertNotEqual(outcome.code, 0)
                self.assert_whole(2)
                self.assertEqual(self.pids(), before)
        self.pmctl("startOrReload", self.release(2, 1))
        self.assert_whole(1)
        self.pmctl("startOrReload", self.release(3, 3))
        self.assert_whole(3)
        self.assertEqual(self.releases(), {"3"})

    def test_an_old_one_that_crashes_meanwhile_is_started_with_those_it_had(self):
        self.begin_with()
        child = self.starting("startOrReload", self.release(2, HOW="mute"), how="good")
        before = self.pids()
        kill(before[0])
        self.wait(lambda: self.pids()[0] not in (0, before[0]) and set(self.states()) == {"online"}, message="a restart")
        self.wait(lambda: self.workers() == set(self.pids()), message="its answers")
        self.assertEqual(self.releases(), {"1"})
        second = self.pmctl("startOrReload", self.release(3), check=False)
        self.assertIn("a reload of api with other settings is under way", second.out + second.err)
        self.pmctl("reload", "--force", "api", "--kill-timeout", "2000")
        self.assertNotEqual(self.finish(child)[0], 0)
        self.assert_whole()
        self.assertEqual(self.releases(), {"1"})

    def test_a_restart_with_others_takes_its_place(self):
        self.begin_with()
        child = self.starting("startOrReload", self.release(2, HOW="mute"), how="good")
        self.pmctl("startOrRestart", self.release(3))
        self.assertNotEqual(self.finish(child)[0], 0)
        self.assert_whole()
        self.assertEqual(self.releases(), {"3"})

    def test_over_the_death_of_the_supervisor(self):
        self.begin_with(listen_timeout=4000)
        before = self.pids()
        child = self.starting("startOrReload", self.release(2, HOW="mute"), how="good")
        self.kill_supervisor()
        self.assertNotEqual(self.finish(child)[0], 0)
        self.wait_servers(2)
        self.assert_former(before)

    def test_over_the_death_of_all_of_it(self):
        self.begin_with()
        child = self.starting("startOrReload", self.release(2, HOW="mute"), how="good")
        self.kill_agent()
        self.pmctl("list")
        self.finish(child)
        self.assert_whole()
        self.assertEqual(self.releases(), {"1"})

    def test_a_stop_in_the_middle_keeps_them_too(self):
        self.begin_with()
        child = self.starting("startOrReload", self.release(2, HOW="mute"), how="good")
        self.pmctl("stop", "api")
        self.finish(child)
        self.pmctl("start", "api")
        self.assert_whole()
        self.assertEqual(self.releases(), {"1"})


if __name__ == "__main__":
    unittest.main()
