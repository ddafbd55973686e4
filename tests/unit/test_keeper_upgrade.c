#include "tests/unit/keeper_rig.h"

#include <sys/mman.h>

#include "agent/keeper.h"
#include "agent/origin.h"

static int memfd_with(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void hold(struct rig *r, const char *name, const char *text)
{
	struct keeper_record record = { .op = KEEPER_HOLD };
	int fd = memfd_with(text);

	(void)snprintf(record.name, sizeof(record.name), "%s", name);
	rig_send(r, &record, &fd, 1);
	(void)close(fd);
}

static void ask_upgrade(struct rig *r, const char *path)
{
	const struct keeper_record record = { .op = KEEPER_UPGRADE };
	int fd = open(path, O_PATH | O_CLOEXEC);

	assert_true(fd >= 0);
	rig_send(r, &record, &fd, 1);
	(void)close(fd);
}

static void ask_own_upgrade(struct rig *r)
{
	char pmd[300];

	rig_path(r, "pmd", pmd, sizeof(pmd));
	ask_upgrade(r, pmd);
}

/* What every new supervisor must hear of the app in slot 1 and of what is held. */
static void want_all_there(struct rig *r, pid_t keeper, pid_t app, uint32_t foreign)
{
	char text[8] = "";

	rig_say(r, KEEPER_HELLO, 0);
	rig_want(r, KEEPER_WELCOME, 0);
	assert_int_equal(r->m.r.pid, keeper);
	rig_want(r, KEEPER_SLOT, 1);
	assert_int_equal(r->m.r.state, KEEPER_SLOT_ALIVE);
	assert_int_equal(r->m.r.pid, app);
	assert_int_equal(r->m.r.foreign, foreign);
	assert_int_equal(r->m.r.user[0], 101);
	assert_int_equal(r->m.r.fd_mask, 1u << KEEPER_FD_PIDFD | 1u << KEEPER_FD_OUT);
	assert_int_equal(r->m.n_fds, 2);
	assert_int_equal(pread(r->m.fds[1], text, sizeof(text), 0), 3);
	assert_string_equal(text, "out");
	assert_int_equal(rig_next(r), KEEPER_HELD);
	assert_string_equal(r->m.r.name, "state");
	rig_want(r, KEEPER_END, 0);
}

static pid_t start_with_app(struct rig *r, const char *fail)
{
	int out = memfd_with("out");
	pid_t pid;

	rig_start(r, fail);
	pid = rig_spawn_sleeper(r, 1, out);
	hold(r, "state", "x");
	(void)close(out);
	return pid;
}

/* The app is the keeper's child still: its status comes. */
static void want_known_exit(struct rig *r, pid_t app)
{
	assert_int_equal(kill(app, SIGTERM), 0);
	rig_want(r, KEEPER_EXITED, 1);
	assert_int_equal(r->m.r.status_known, 1);
	assert_int_equal(r->m.r.exit_signal, SIGTERM);
	rig_say(r, KEEPER_RELEASE, 1);
}

static void want_unknown_exit(struct rig *r, pid_t app)
{
	assert_int_equal(kill(app, SIGTERM), 0);
	rig_want(r, KEEPER_EXITED, 1);
	assert_int_equal(r->m.r.status_known, 0);
	rig_say(r, KEEPER_RELEASE, 1);
}

static void want_note(struct rig *r, const char *words)
{
	assert_int_equal(rig_next(r), KEEPER_NOTE);
	if (strstr(r->m.r.name, words) == NULL)
		fail_msg("note: %s", r->m.r.name);
}

/* again and again, under the same pid, with the same children. */
static void an_upgrade_keeps_pid_children_and_descriptors(void **state)
{
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, NULL);
	for (int i = 0; i < 5; i++) {
		ask_own_upgrade(&r);
		rig_want(&r, KEEPER_QUIT, 0);
		rig_leave(&r);
		rig_accept(&r);
		want_all_there(&r, r.keeper, app, 0);
		rig_say(&r, KEEPER_READY, 0);
		want_note(&r, "re-executed, version " PM_VERSION);
	}
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

static void an_exit_during_the_upgrade_is_not_lost(void **state)
{
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, NULL);
	ask_own_upgrade(&r);
	rig_want(&r, KEEPER_QUIT, 0);
	assert_int_equal(kill(app, SIGKILL), 0);
	rig_leave(&r);
	rig_accept(&r);
	rig_say(&r, KEEPER_HELLO, 0);
	rig_want(&r, KEEPER_WELCOME, 0);
	rig_want(&r, KEEPER_SLOT, 1);
	if (r.m.r.state == KEEPER_SLOT_ALIVE)
		while (rig_next(&r) != KEEPER_EXITED)
			continue;
	assert_int_equal(r.m.r.exit_signal, SIGKILL);
	assert_int_equal(r.m.r.status_known, 1);
	rig_finish(&r);
}

/* each way in which a new program may be broken. */
static void a_program_that_cannot_be_executed_changes_nothing(void **state)
{
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, NULL);
	ask_upgrade(&r, "/etc/passwd");
	want_note(&r, "upgrade failed: Permission denied");
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

static void a_program_that_cannot_read_the_state_goes_back(void **state)
{
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, "keeper.restore=EIO");
	ask_own_upgrade(&r);
	rig_want(&r, KEEPER_QUIT, 0);
	rig_leave(&r);
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 0);
	rig_say(&r, KEEPER_READY, 0);
	want_note(&r, "upgrade failed: it cannot read our state");
	/* And it can be tried again. */
	ask_own_upgrade(&r);
	rig_want(&r, KEEPER_QUIT, 0);
	rig_leave(&r);
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 0);
	want_known_exit(&r, app);
	rig_say(&r, KEEPER_READY, 0);
	want_note(&r, "re-executed");
	rig_stop(&r);
	rig_finish(&r);
}

static void a_supervisor_that_dies_three_times_brings_the_old_back(void **state)
{
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, NULL);
	ask_own_upgrade(&r);
	rig_want(&r, KEEPER_QUIT, 0);
	rig_leave(&r);
	for (int i = 0; i < 3; i++) {
		rig_accept(&r);
		rig_kill_supervisor(&r);
	}
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 0);
	rig_say(&r, KEEPER_READY, 0);
	want_note(&r, "upgrade failed: the new supervisor died 3 times");
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

/* Waits for the keeper's own limit of 5 s. */
static void a_supervisor_that_is_never_ready_brings_the_old_back(void **state)
{
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, NULL);
	ask_own_upgrade(&r);
	rig_want(&r, KEEPER_QUIT, 0);
	rig_leave(&r);
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 0);
	assert_int_equal(keeper_recv_until(r.sock, &r.m, rig_deadline()), 0); /* it hangs up */
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 0);
	rig_say(&r, KEEPER_READY, 0);
	want_note(&r, "upgrade failed: the new supervisor is not ready");
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

/* ---- taking over ---- */

static void a_newcomer_takes_over_and_the_apps_stay(void **state)
{
	struct rig r;
	pid_t app, old;

	(void)state;
	app = start_with_app(&r, NULL);
	old = r.keeper;
	r.keeper = rig_agent(&r, "--takeover", NULL);
	rig_want(&r, KEEPER_QUIT, 0);
	/* Between two keepers a third is refused as ever. */
	assert_int_equal(rig_status(rig_agent(&r, NULL, NULL)), 6);
	rig_leave(&r);
	assert_int_equal(rig_status(old), 0);
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 1);
	rig_say(&r, KEEPER_READY, 0);
	assert_int_equal(rig_status(rig_agent(&r, NULL, NULL)), 6);
	want_unknown_exit(&r, app);
	/* What it starts itself it knows. */
	app = rig_spawn_sleeper(&r, 1, -1);
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

static void a_newcomer_that_dies_before_it_has_all_takes_nothing(void **state)
{
	struct rig r;
	pid_t app, newcomer;

	(void)state;
	app = start_with_app(&r, NULL);
	newcomer = rig_agent(&r, "--takeover", NULL);
	rig_want(&r, KEEPER_QUIT, 0);
	assert_int_equal(kill(newcomer, SIGKILL), 0);
	assert_int_equal(rig_status(newcomer), 1000 + SIGKILL);
	rig_leave(&r);
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 0);
	rig_say(&r, KEEPER_READY, 0);
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

/* With nobody there, it is a start like any other. */
static void taking_over_nothing_is_a_fresh_start(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	r.keeper = rig_agent(&r, "--takeover", NULL);
	rig_accept(&r);
	rig_hello_empty(&r);
	rig_say(&r, KEEPER_READY, 0);
	rig_stop(&r);
	rig_finish(&r);
}

/* ---- promotion ---- */

/* In a child of the test, which is the supervisor that finds its keeper dead: become the keeper. */
static void promote(const struct rig *r, struct keeper_saved_slot *slot,
                    const struct keeper_saved_held *held)
{
	char pmd[300], relay[300], path[120];
	struct origin origin;
	struct pm_error err;
	int origin_fd = -1, lock;

	/* keeper_promote() executes /proc/self/exe, which is this test: it hands on to pmd. */
	rig_path(r, "pmd", pmd, sizeof(pmd));
	rig_path(r, "helpers/relay_supervisor", relay, sizeof(relay));
	(void)setenv("PMD_TEST_PMD", pmd, 1);
	(void)setenv("PMD_SUPERVISOR", relay, 1);
	(void)setenv("PMD_TEST_RELAY", r->relay, 1);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(path, sizeof(path), "%s/agent.lock", r->home);
	lock = open(path, O_RDWR | O_CLOEXEC);
	origin_take(&origin);
	if (lock < 0 || origin_write(&origin, &origin_fd, &err) < 0)
		_exit(1);
	keeper_promote_prepare(origin_fd, false, false);
	(void)keeper_promote(r->home, lock, slot, 1, held, 1, &err);
	_exit(2);
}

static void a_supervisor_takes_the_place_of_its_dead_keeper(void **state)
{
	struct keeper_saved_slot slot;
	struct keeper_saved_held held = { .name = "state" };
	struct rig r;
	pid_t app;

	(void)state;
	app = start_with_app(&r, NULL);
	assert_int_equal(kill(r.keeper, SIGKILL), 0);
	assert_int_equal(rig_status(r.keeper), 1000 + SIGKILL);
	assert_int_equal(kill(app, 0), 0);
	memset(&slot, 0, sizeof(slot));
	slot.record = r.m.r; /* SPAWNED of slot 1 */
	slot.record.op = KEEPER_SLOT;
	slot.record.state = KEEPER_SLOT_ALIVE;
	for (size_t i = 0; i < KEEPER_FD_COUNT; i++)
		slot.fds[i] = -1;
	/* No pidfd: the pid and its start time must do. */
	slot.fds[KEEPER_FD_OUT] = memfd_with("out");
	held.fd = memfd_with("x");
	r.keeper = fork();
	if (r.keeper == 0)
		promote(&r, &slot, &held);
	(void)close(slot.fds[KEEPER_FD_OUT]);
	(void)close(held.fd);
	rig_accept(&r);
	want_all_there(&r, r.keeper, app, 1);
	rig_say(&r, KEEPER_READY, 0);
	want_unknown_exit(&r, app);
	app = rig_spawn_sleeper(&r, 1, -1);
	want_known_exit(&r, app);
	rig_stop(&r);
	rig_finish(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upgrade_keeps_pid_children_and_descriptors),
		cmocka_unit_test(an_exit_during_the_upgrade_is_not_lost),
		cmocka_unit_test(a_program_that_cannot_be_executed_changes_nothing),
		cmocka_unit_test(a_program_that_cannot_read_the_state_goes_back),
		cmocka_unit_test(a_supervisor_that_dies_three_times_brings_the_old_back),
		cmocka_unit_test(a_supervisor_that_is_never_ready_brings_the_old_back),
		cmocka_unit_test(a_newcomer_takes_over_and_the_apps_stay),
		cmocka_unit_test(a_newcomer_that_dies_before_it_has_all_takes_nothing),
		cmocka_unit_test(taking_over_nothing_is_a_fresh_start),
		cmocka_unit_test(a_supervisor_takes_the_place_of_its_dead_keeper),
	};

	if (argc > 1 && getenv("PMD_TEST_PMD") != NULL) {
		(void)execv(getenv("PMD_TEST_PMD"), argv);
		return 126;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
