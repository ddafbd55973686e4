#include "tests/unit/keeper_rig.h"

#include <sys/mman.h>

static void a_child_is_spawned_exits_and_is_kept_until_released(void **state)
{
	struct rig r;
	pid_t pid;

	(void)state;
	rig_start(&r, NULL);
	rig_spawn(&r, 5, (const char *[]){ "/bin/sh", "-c", "exit 7", NULL }, -1, false);
	rig_want(&r, KEEPER_SPAWNED, 5);
	assert_int_equal(r.m.r.error, 0);
	assert_true(r.m.r.pid > 0 && r.m.r.start_ticks > 0 && r.m.n_fds == 1);
	pid = r.m.r.pid;
	rig_want(&r, KEEPER_EXITED, 5);
	assert_int_equal(r.m.r.pid, pid);
	assert_int_equal(r.m.r.status_known, 1);
	assert_int_equal(r.m.r.exit_code, 7);
	assert_int_equal(r.m.r.exit_signal, 0);
	assert_int_equal(r.m.r.user[0], 105);

	/* Nobody said RELEASE: the next supervisor hears of it too. */
	rig_kill_supervisor(&r);
	rig_accept(&r);
	rig_say(&r, KEEPER_HELLO, 0);
	rig_want(&r, KEEPER_WELCOME, 0);
	assert_int_equal(r.m.r.restarts, 1);
	assert_int_equal(r.m.r.pid, r.keeper);
	rig_want(&r, KEEPER_SLOT, 5);
	assert_int_equal(r.m.r.state, KEEPER_SLOT_EXITED);
	assert_int_equal(r.m.r.exit_code, 7);
	assert_int_equal(r.m.r.user[0], 105);
	rig_want(&r, KEEPER_END, 0);
	rig_say(&r, KEEPER_RELEASE, 5);
	rig_hello_empty(&r);
	rig_stop(&r);
	rig_finish(&r);
}

static void a_signal_is_kept_apart_from_an_exit_code(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	rig_spawn(&r, 0, (const char *[]){ "/bin/sh", "-c", "kill -TERM $$", NULL }, -1, false);
	rig_want(&r, KEEPER_SPAWNED, 0);
	rig_want(&r, KEEPER_EXITED, 0);
	assert_int_equal(r.m.r.exit_signal, SIGTERM);
	assert_int_equal(r.m.r.exit_code, 0);
	rig_finish(&r);
}

static void a_failed_spawn_is_answered_and_leaves_the_slot_free(void **state)
{
	struct rig r;

	(void)state;
	/* The first two spawns are let through: the supervisor's own, and the one that fails by
	 * itself. */
	rig_start(&r, "keeper.fork=2+EAGAIN");
	rig_spawn(&r, 3, (const char *[]){ "/no/such/file", NULL }, -1, false);
	rig_want(&r, KEEPER_SPAWNED, 3);
	assert_int_equal(r.m.r.error, ENOENT);
	assert_int_equal(r.m.r.stage, SPAWN_STAGE_EXEC);
	assert_int_equal(r.m.n_fds, 0);
	/* */
	rig_spawn(&r, 3, (const char *[]){ "/bin/true", NULL }, -1, false);
	rig_want(&r, KEEPER_SPAWNED, 3);
	assert_int_equal(r.m.r.error, EAGAIN);
	assert_int_equal(r.m.r.stage, SPAWN_STAGE_FORK);
	rig_hello_empty(&r);
	rig_finish(&r);
}

static int memfd_with(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void assert_fd_says(int fd, const char *text)
{
	char got[32] = "";

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, got, sizeof(got) - 1, 0), (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

static void hold(struct rig *r, const char *name, int fd)
{
	struct keeper_record record = { .op = KEEPER_HOLD };

	(void)snprintf(record.name, sizeof(record.name), "%s", name);
	rig_send(r, &record, &fd, 1);
	(void)close(fd);
}

static void apps_and_descriptors_outlive_the_supervisor(void **state)
{
	struct keeper_record stage = { .op = KEEPER_SLOT_HOLD,
		                       .slot = 2,
		                       .fd_mask = 1u << KEEPER_FD_OUT_STAGE };
	struct keeper_record drop = { .op = KEEPER_DROP, .name = "gone" };
	int out = memfd_with("out"), staged = memfd_with("staged");
	struct rig r;
	pid_t pid;

	(void)state;
	rig_start(&r, NULL);
	pid = rig_spawn_sleeper(&r, 2, out);
	rig_send(&r, &stage, &staged, 1);
	hold(&r, "kept", memfd_with("first"));
	hold(&r, "gone", memfd_with("x"));
	hold(&r, "kept", memfd_with("second"));
	rig_send(&r, &drop, NULL, 0);
	/* What was asked before a death is done: the requests are in the socket. */
	rig_kill_supervisor(&r);
	rig_accept(&r);
	rig_say(&r, KEEPER_HELLO, 0);
	rig_want(&r, KEEPER_WELCOME, 0);
	rig_want(&r, KEEPER_SLOT, 2);
	assert_int_equal(r.m.r.state, KEEPER_SLOT_ALIVE);
	assert_int_equal(r.m.r.pid, pid);
	assert_int_equal(r.m.r.fd_mask,
	                 1u << KEEPER_FD_PIDFD | 1u << KEEPER_FD_OUT | 1u << KEEPER_FD_OUT_STAGE);
	assert_int_equal(r.m.n_fds, 3);
	assert_fd_says(r.m.fds[1], "out");
	assert_fd_says(r.m.fds[2], "staged");
	assert_int_equal(syscall(SYS_pidfd_send_signal, r.m.fds[0], SIGKILL, NULL, 0), 0);
	assert_int_equal(rig_next(&r), KEEPER_HELD);
	assert_string_equal(r.m.r.name, "kept");
	assert_fd_says(r.m.fds[0], "second");
	/* The kill may be told before or after END. */
	for (bool end = false, exited = false; !end || !exited;) {
		uint32_t op = rig_next(&r);

		end |= op == KEEPER_END;
		exited |= op == KEEPER_EXITED;
		assert_true(op == KEEPER_END || op == KEEPER_EXITED);
	}
	(void)close(out);
	(void)close(staged);
	rig_finish(&r);
}

static void jobs_die_with_the_supervisor_and_apps_do_not(void **state)
{
	const char *sleeper[] = { "/bin/sleep", "1000", NULL };
	struct rig r;
	pid_t app;

	(void)state;
	rig_start(&r, NULL);
	app = rig_spawn_sleeper(&r, 0, -1);
	rig_spawn(&r, 1, sleeper, -1, true);
	rig_want(&r, KEEPER_SPAWNED, 1);
	rig_kill_supervisor(&r);
	rig_accept(&r);
	rig_say(&r, KEEPER_HELLO, 0);
	rig_want(&r, KEEPER_WELCOME, 0);
	rig_want(&r, KEEPER_SLOT, 0);
	assert_int_equal(r.m.r.state, KEEPER_SLOT_ALIVE);
	assert_int_equal(r.m.r.pid, app);
	rig_want(&r, KEEPER_SLOT, 1);
	if (r.m.r.state == KEEPER_SLOT_ALIVE) { /* on its way */
		rig_want(&r, KEEPER_END, 0);
		rig_want(&r, KEEPER_EXITED, 1);
	}
	assert_int_equal(r.m.r.exit_signal, SIGKILL);
	assert_int_equal(r.m.r.is_job, 1);
	assert_int_equal(kill(app, SIGKILL), 0);
	rig_finish(&r);
}

static void stop_signals_reach_a_ready_supervisor_once_it_is_ready(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	r.keeper = rig_agent(&r, NULL, NULL);
	rig_accept(&r);
	assert_int_equal(kill(r.keeper, SIGTERM), 0);
	assert_int_equal(kill(r.keeper, SIGUSR2), 0);
	rig_hello_empty(&r);
	rig_say(&r, KEEPER_READY, 0);
	{
		int a = rig_signal(&r), b = rig_signal(&r);

		assert_true((a == SIGTERM && b == SIGUSR2) || (a == SIGUSR2 && b == SIGTERM));
	}
	/* Its death does not make the stop forgotten. */
	rig_kill_supervisor(&r);
	rig_accept(&r);
	rig_hello_empty(&r);
	rig_say(&r, KEEPER_READY, 0);
	assert_int_equal(rig_signal(&r), SIGTERM);
	rig_stop(&r);
	rig_finish(&r);
}

/* Keepers that lose leave with 6; the winner is the one whose supervisor reaches us. X-05 */
static void of_fifty_keepers_at_once_one_wins(void **state)
{
	pid_t pids[50];
	struct rig r;
	int losers = 0;

	(void)state;
	rig_init(&r);
	for (size_t i = 0; i < PM_COUNT(pids); i++)
		pids[i] = rig_agent(&r, NULL, NULL);
	rig_accept(&r);
	rig_say(&r, KEEPER_HELLO, 0);
	rig_want(&r, KEEPER_WELCOME, 0);
	r.keeper = r.m.r.pid;
	rig_want(&r, KEEPER_END, 0);
	for (size_t i = 0; i < PM_COUNT(pids); i++) {
		if (pids[i] == r.keeper)
			continue;
		assert_int_equal(rig_status(pids[i]), 6);
		losers++;
	}
	assert_int_equal(losers, (int)PM_COUNT(pids) - 1);
	rig_say(&r, KEEPER_READY, 0);
	rig_stop(&r);
	rig_finish(&r);
}

/* */
static void stale_files_with_a_foreign_pid_are_harmless(void **state)
{
	static const char *const names[] = { "agent.lock", "pmd.pid", "takeover.sock" };
	char path[128], text[32];
	struct rig r;
	pid_t stranger;
	int fd;

	(void)state;
	rig_init(&r);
	stranger = fork();
	if (stranger == 0)
		for (;;)
			(void)pause();
	assert_int_equal(mkdir(r.home, 0700), 0);
	(void)snprintf(text, sizeof(text), "%d\n", (int)stranger);
	for (size_t i = 0; i < PM_COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", r.home, names[i]);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
		(void)close(fd);
	}
	r.keeper = rig_agent(&r, NULL, NULL);
	rig_accept(&r);
	rig_hello_empty(&r);
	(void)snprintf(path, sizeof(path), "%s/pmd.pid", r.home);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	memset(text, 0, sizeof(text));
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	assert_int_equal(strtol(text, NULL, 10), r.keeper);
	rig_say(&r, KEEPER_READY, 0);
	rig_stop(&r);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
	assert_int_equal(kill(stranger, SIGKILL), 0);
	assert_int_equal(waitpid(stranger, NULL, 0), stranger);
	rig_finish(&r);
}

/* Processes whose parent is pid, zombies or not. */
static int count_children(pid_t pid)
{
	char path[64], text[4096];
	int n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fscanf(f, "%4095s", text) == 1)
		n++;
	(void)fclose(f);
	return n;
}

#ifdef PM_SANITIZED
#define ORPHANS "1000" /* the thread sanitizer takes 10 ms for a fork */
#else
#define ORPHANS "10000"
#endif

/* */
static void ten_thousand_orphans_are_reaped_and_commands_go_on(void **state)
{
	const char *argv[] = { NULL, ORPHANS, NULL };
	char flood[300];
	struct rig r;
	uint64_t by;
	bool flooded = false;

	(void)state;
	rig_start(&r, NULL);
	rig_path(&r, "helpers/zombie_flood", flood, sizeof(flood));
	argv[0] = flood;
	rig_spawn(&r, 0, argv, -1, false);
	rig_want(&r, KEEPER_SPAWNED, 0);
	/* While they fall in, other processes come and go. */
	for (uint32_t i = 1; !flooded || i < 20; i++) {
		bool exited = false;

		rig_spawn(&r, i, (const char *[]){ "/bin/true", NULL }, -1, false);
		while (!exited) {
			uint32_t op = rig_next(&r);

			if (op == KEEPER_SPAWNED)
				assert_int_equal(r.m.r.error, 0);
			else
				assert_int_equal(op, KEEPER_EXITED);
			if (op == KEEPER_EXITED && r.m.r.slot == 0) {
				assert_int_equal(r.m.r.exit_code, 0);
				flooded = true;
			}
			exited = op == KEEPER_EXITED && r.m.r.slot == i;
		}
		rig_say(&r, KEEPER_RELEASE, i);
	}
	by = rig_deadline();
	while (count_children(r.keeper) > 1) { /* the supervisor remains */
		assert_true(pm_now_ms() < by);
		(void)poll(NULL, 0, 5);
	}
	rig_finish(&r);
}

static void a_storm_of_dead_supervisors_is_slowed_down_not_given_up(void **state)
{
	struct rig r;
	uint64_t began = pm_now_ms();

	(void)state;
	rig_start(&r, NULL);
	for (int i = 0; i < 11; i++) {
		rig_kill_supervisor(&r);
		rig_accept(&r);
		rig_hello_empty(&r);
		assert_int_equal(r.m.n_fds, 0);
		rig_say(&r, KEEPER_READY, 0);
	}
	/* Ready each time, so nine restarts came at once; from the tenth on there is a second. */
	assert_true(pm_now_ms() - began >= 1000);
	rig_stop(&r);
	rig_finish(&r);
}

static void what_is_adopted_is_watched_but_its_status_is_unknown(void **state)
{
	struct keeper_record adopt = { .op = KEEPER_ADOPT, .slot = 9 };
	char path[64], text[1024] = "";
	struct rig r;
	pid_t pid;
	FILE *f;
	char *at;

	(void)state;
	rig_start(&r, NULL);
	pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	(void)fclose(f);
	at = strrchr(text, ')');
	for (int field = 2; field < 22; field++)
		at = strchr(at + 1, ' ');
	adopt.pid = pid;
	/* Another start time is another process. */
	adopt.start_ticks = strtoull(at, NULL, 10) + 1;
	rig_send(&r, &adopt, NULL, 0);
	rig_want(&r, KEEPER_SPAWNED, 9);
	assert_int_equal(r.m.r.error, ESRCH);
	adopt.start_ticks--;
	rig_send(&r, &adopt, NULL, 0);
	rig_want(&r, KEEPER_SPAWNED, 9);
	assert_int_equal(r.m.r.error, 0);
	assert_int_equal(r.m.r.foreign, 1);
	assert_int_equal(r.m.n_fds, 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	rig_want(&r, KEEPER_EXITED, 9);
	assert_int_equal(r.m.r.status_known, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_finish(&r);
}

static void strange_records_change_nothing(void **state)
{
	struct keeper_record bad = { .op = KEEPER_SPAWN, .slot = 4000000000u };
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	assert_int_equal(send(r.sock, "short", 5, 0), 5);
	rig_send(&r, &bad, NULL, 0);
	bad.op = 99;
	rig_send(&r, &bad, NULL, 0);
	rig_say(&r, KEEPER_RELEASE, 4000000000u);
	bad.op = KEEPER_SPAWN;
	bad.slot = 1; /* no plan */
	rig_send(&r, &bad, NULL, 0);
	rig_want(&r, KEEPER_SPAWNED, 1);
	assert_int_equal(r.m.r.stage, SPAWN_STAGE_PLAN);
	assert_int_not_equal(r.m.r.error, 0);
	rig_hello_empty(&r);
	rig_stop(&r);
	rig_finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_is_spawned_exits_and_is_kept_until_released),
		cmocka_unit_test(a_signal_is_kept_apart_from_an_exit_code),
		cmocka_unit_test(a_failed_spawn_is_answered_and_leaves_the_slot_free),
		cmocka_unit_test(apps_and_descriptors_outlive_the_supervisor),
		cmocka_unit_test(jobs_die_with_the_supervisor_and_apps_do_not),
		cmocka_unit_test(stop_signals_reach_a_ready_supervisor_once_it_is_ready),
		cmocka_unit_test(of_fifty_keepers_at_once_one_wins),
		cmocka_unit_test(stale_files_with_a_foreign_pid_are_harmless),
		cmocka_unit_test(ten_thousand_orphans_are_reaped_and_commands_go_on),
		cmocka_unit_test(a_storm_of_dead_supervisors_is_slowed_down_not_given_up),
		cmocka_unit_test(what_is_adopted_is_watched_but_its_status_is_unknown),
		cmocka_unit_test(strange_records_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
