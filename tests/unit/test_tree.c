#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/tree.h"

#define NONCE 0x1234567u

static void a_tag_gives_back_what_went_in(void **state)
{
	static const struct {
		uint32_t id, serial, want_id;
	} rows[] = {
		{ 0, 0, 0 },
		{ 7, 65535, 7 },
		{ (1u << 20) - 1, 70000, (1u << 20) - 1 },
		{ 1u << 20, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		uint64_t tag = tree_tag(NONCE, rows[i].id, rows[i].serial);

		assert_true(tree_tag_is_ours(tag, NONCE));
		assert_false(tree_tag_is_ours(tag, NONCE + 1));
		assert_int_equal(tree_tag_pm_id(tag), rows[i].want_id);
		assert_true(tag != RLIM_INFINITY && tag >= UINT64_C(1) << 63);
	}
	assert_false(tree_tag_is_ours(RLIM_INFINITY, NONCE));
	assert_false(tree_tag_is_ours(0, 0));
	assert_true(tree_tag(NONCE, 1, 1) != tree_tag(NONCE, 1, 2));
}

static void a_home_has_one_nonce_and_another_home_another(void **state)
{
	uint32_t a, b, again;
	struct pm_error err;

	(void)state;
	assert_int_equal(tree_home_nonce("/tmp", &a, &err), 0);
	assert_int_equal(tree_home_nonce("/tmp", &again, &err), 0);
	assert_int_equal(tree_home_nonce("/", &b, &err), 0);
	assert_int_equal(a, again);
	assert_int_not_equal(a, b);
	assert_int_equal(tree_home_nonce("/no/such/home", &a, &err), -1);
}

/* ---- real processes: a tree that cuts its ties ---- */

#define DEPTH 4

struct nest {
	pid_t main_pid;
	uint64_t tag;
	int done_fd; /* end of file when the last of them is gone */
	int said_fd; /* one byte a process that stands */
};

/* Every level leaves its session and its parent; all but the first are orphans then. */
static void descend(int say)
{
	const char byte = 'x';

	for (int depth = DEPTH; depth > 0; depth--) {
		(void)setsid();
		if (depth == 1 || fork() != 0)
			break;
		if (fork() != 0)
			_exit(0);
	}
	if (write(say, &byte, 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static void start_nest(struct nest *n, uint32_t serial)
{
	int done[2], said[2];
	char byte;

	n->tag = tree_tag(NONCE, (uint32_t)getpid(), serial);
	assert_int_equal(pipe(done), 0);
	assert_int_equal(pipe(said), 0);
	n->main_pid = fork();
	assert_true(n->main_pid >= 0);
	if (n->main_pid == 0) {
		const struct rlimit l = { n->tag, n->tag };

		(void)close(done[0]);
		(void)close(said[0]);
		if (setrlimit(RLIMIT_RTTIME, &l) < 0)
			_exit(1);
		descend(said[1]);
	}
	(void)close(done[1]);
	(void)close(said[1]);
	n->done_fd = done[0];
	n->said_fd = said[0];
	for (int i = 0; i < DEPTH; i++)
		assert_int_equal(read(n->said_fd, &byte, 1), 1);
}

/* Signal until nothing is left, as the caller must: one sweep may miss who forks meanwhile, and who
 * is dying counts until it is dead. */
static void kill_all(uint64_t tag, pid_t main_pid)
{
	uint64_t by = pm_now_ms() + 20000;
	struct pm_error err;
	int alive = 1;

	while (alive > 0) {
		assert_int_equal(tree_signal(tag, main_pid, SIGKILL, &alive, &err), 0);
		assert_true(pm_now_ms() < by);
		if (alive > 0)
			(void)poll(NULL, 0, 1);
	}
}

static void finish_nest(struct nest *n)
{
	int status;
	char byte;

	kill_all(n->tag, n->main_pid);
	assert_int_equal(waitpid(n->main_pid, &status, 0), n->main_pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(read(n->done_fd, &byte, 1), 0);
	(void)close(n->done_fd);
	(void)close(n->said_fd);
}

/* After a failure too. */
static int kill_nests(void **state)
{
	(void)state;
	for (uint32_t serial = 1; serial <= 2; serial++)
		kill_all(tree_tag(NONCE, (uint32_t)getpid(), serial), 0);
	return 0;
}

struct seen {
	uint64_t tag;
	pid_t pids[16];
	size_t n, n_with_memory, n_with_start;
};

static void note(void *arg, const struct tree_process *p)
{
	struct seen *s = arg;

	if (p->tag != s->tag || s->n == PM_COUNT(s->pids))
		return;
	s->pids[s->n++] = p->pid;
	s->n_with_memory += p->rss_bytes > 0;
	s->n_with_start += p->start_ticks > 0 && p->state != '\0';
}

static void processes_that_cut_every_tie_are_found_and_killed(void **state)
{
	struct nest n, other;
	struct seen s = { 0 }, quick = { 0 };
	struct pm_error err;
	int alive = -1;

	(void)state;
	start_nest(&n, 1);
	start_nest(&other, 2);
	s.tag = quick.tag = n.tag;
	assert_true(tree_walk(NONCE, true, note, &s, &err) >= 2 * DEPTH);
	assert_int_equal(s.n, DEPTH);
	/* The kernel counts pages for each processor and adds up later: a small one may have none.
	 */
	assert_true(s.n_with_memory > 0);
	assert_int_equal(s.n_with_start, DEPTH);
	assert_true(tree_walk(NONCE, false, note, &quick, &err) >= 2 * DEPTH);
	assert_true(quick.n >= DEPTH); /* and the zombies between them */
	assert_int_equal(tree_walk(NONCE + 1, false, note, &quick, &err), 0);

	assert_int_equal(tree_signal(n.tag, n.main_pid, 0, &alive, &err), 0);
	assert_int_equal(alive, DEPTH);
	finish_nest(&n);
	assert_int_equal(tree_signal(n.tag, 0, SIGKILL, &alive, &err), 0);
	assert_int_equal(alive, 0);
	/* The neighbour has not noticed. */
	assert_int_equal(tree_signal(other.tag, other.main_pid, 0, &alive, &err), 0);
	assert_int_equal(alive, DEPTH);
	finish_nest(&other);
}

static void a_stranger_with_the_main_pid_is_left_alone(void **state)
{
	struct pm_error err;
	pid_t stranger = fork();
	int alive = -1, status;

	(void)state;
	if (stranger == 0)
		for (;;)
			(void)pause();
	assert_int_equal(tree_signal(tree_tag(NONCE, (uint32_t)getpid(), 3), stranger, SIGKILL,
	                             &alive, &err),
	                 0);
	assert_int_equal(alive, 0);
	assert_int_equal(waitpid(stranger, &status, WNOHANG), 0);
	assert_int_equal(kill(stranger, SIGKILL), 0);
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
}

static void a_zombie_does_not_count(void **state)
{
	const uint64_t tag = tree_tag(NONCE, (uint32_t)getpid(), 4);
	struct pm_error err;
	siginfo_t info;
	pid_t pid = fork();
	int alive = -1;

	(void)state;
	if (pid == 0) {
		const struct rlimit l = { tag, tag };

		_exit(setrlimit(RLIMIT_RTTIME, &l) < 0);
	}
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(tree_signal(tag, pid, SIGKILL, &alive, &err), 0);
	assert_int_equal(alive, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void only_programs_of_that_name_get_the_signal(void **state)
{
	const uint64_t tag = tree_tag(NONCE, (uint32_t)getpid(), 5);
	struct pm_error err;
	pid_t pid = fork();
	int alive = -1, status;

	(void)state;
	if (pid == 0) {
		const struct rlimit l = { tag, tag };

		if (setrlimit(RLIMIT_RTTIME, &l) < 0)
			_exit(1);
		for (;;)
			(void)pause();
	}
	while (alive != 1) /* until it has its tag */
		assert_int_equal(tree_signal(tag, pid, 0, &alive, &err), 0);
	assert_int_equal(tree_signal_programs(tag, "node", SIGKILL, &err), 0);
	assert_int_equal(tree_signal_programs(tag + 1, "test_tree", SIGKILL, &err), 0);
	assert_int_equal(tree_signal_programs(tag, "est_tree", SIGKILL, &err), 0);
	assert_int_equal(tree_signal(tag, pid, 0, &alive, &err), 0);
	assert_int_equal(alive, 1);
	assert_int_equal(tree_signal_programs(tag, "test_tr", SIGKILL, &err), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tag_gives_back_what_went_in),
		cmocka_unit_test(a_home_has_one_nonce_and_another_home_another),
		cmocka_unit_test_teardown(processes_that_cut_every_tie_are_found_and_killed,
		                          kill_nests),
		cmocka_unit_test(a_stranger_with_the_main_pid_is_left_alone),
		cmocka_unit_test(a_zombie_does_not_count),
		cmocka_unit_test(only_programs_of_that_name_get_the_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
