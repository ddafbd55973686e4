#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/keeper_client.h"
#include "agent/keeper_io.h"
#include "agent/spawn.h"

/* The test is the keeper: it has the other end of the socket. */
struct fixture {
	uv_loop_t loop;
	struct keeper_client *client;
	int keeper;
	int slots, helds, spawned, exited, quits, losts;
	uint32_t last_slot;
	char name[KEEPER_NAME_MAX], note[KEEPER_NAME_MAX];
};

static void on_slot(void *arg, const struct keeper_record *r, const int fds[KEEPER_FD_COUNT])
{
	struct fixture *f = arg;

	f->slots++;
	f->last_slot = r->slot;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++) {
		int fd = fds[role];

		assert_int_equal(fd >= 0, (r->fd_mask & 1u << role) != 0);
		pm_closep(&fd);
	}
}

static void on_held(void *arg, const char *name, int fd)
{
	struct fixture *f = arg;

	f->helds++;
	(void)strncpy(f->name, name, sizeof(f->name) - 1);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void on_spawned(void *arg, const struct keeper_record *r, int pidfd)
{
	struct fixture *f = arg;

	f->spawned++;
	assert_int_equal(pidfd >= 0, r->error == 0);
	pm_closep(&pidfd);
}

static void on_exited(void *arg, const struct keeper_record *r)
{
	struct fixture *f = arg;

	f->exited++;
	f->last_slot = r->slot;
}

static void on_note(void *arg, const char *text)
{
	struct fixture *f = arg;

	(void)strncpy(f->note, text, sizeof(f->note) - 1);
}

static void on_quit(void *arg)
{
	((struct fixture *)arg)->quits++;
}

static void on_lost(void *arg)
{
	((struct fixture *)arg)->losts++;
}

static const struct keeper_client_events events = {
	on_slot, on_held, on_spawned, on_exited, on_note, on_quit, on_lost,
};

static void init(struct fixture *f)
{
	struct pm_error err;
	int pair[2];

	memset(f, 0, sizeof(*f));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->keeper = pair[0];
	assert_int_equal(keeper_client_create(&f->loop, pair[1], &events, f, &f->client, &err), 0);
}

static void finish(struct fixture *f)
{
	keeper_client_close(f->client);
	assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	pm_closep(&f->keeper);
}

static void say(struct fixture *f, enum keeper_op op, uint32_t slot, const int *fds, size_t n,
                uint32_t mask)
{
	struct keeper_record r = { .op = op, .slot = slot, .fd_mask = mask };

	memcpy(r.name, "words", 6);
	assert_int_equal(keeper_send(f->keeper, &r, fds, n), 0);
}

static void adoption_delivers_slots_and_held_descriptors(void **state)
{
	struct keeper_record welcome;
	struct keeper_msg m;
	struct pm_error err;
	struct fixture f;
	int fds[2] = { STDIN_FILENO, STDERR_FILENO };

	(void)state;
	init(&f);
	say(&f, KEEPER_WELCOME, 0, NULL, 0, 0);
	say(&f, KEEPER_SLOT, 4, fds, 2, 1u << KEEPER_FD_PIDFD | 1u << KEEPER_FD_ERR);
	say(&f, KEEPER_HELD, 0, fds, 1, 0);
	say(&f, KEEPER_EXITED, 3, NULL, 0, 0); /* one told already has died meanwhile */
	say(&f, KEEPER_END, 0, NULL, 0, 0);
	assert_int_equal(keeper_client_adopt(f.client, &welcome, &err), 0);
	assert_int_equal(welcome.op, KEEPER_WELCOME);
	assert_int_equal(f.slots, 1);
	assert_int_equal(f.helds, 1);
	assert_int_equal(f.exited, 1);
	assert_string_equal(f.name, "words");
	assert_int_equal(keeper_recv(f.keeper, &m), 1);
	assert_int_equal(m.r.op, KEEPER_HELLO);
	finish(&f);
}

static void a_keeper_that_hangs_up_during_adoption_is_an_error(void **state)
{
	struct keeper_record welcome;
	struct pm_error err;
	struct fixture f;

	(void)state;
	init(&f);
	say(&f, KEEPER_WELCOME, 0, NULL, 0, 0);
	(void)shutdown(f.keeper, SHUT_WR);
	assert_int_equal(keeper_client_adopt(f.client, &welcome, &err), -1);
	assert_int_equal(f.losts, 0);
	finish(&f);
}

static void answers_come_from_the_loop(void **state)
{
	const int fd = STDIN_FILENO;
	struct fixture f;

	(void)state;
	init(&f);
	say(&f, KEEPER_SPAWNED, 1, &fd, 1, 0);
	say(&f, KEEPER_EXITED, 1, NULL, 0, 0);
	say(&f, KEEPER_NOTE, 0, NULL, 0, 0);
	say(&f, KEEPER_HELLO, 0, NULL, 0, 0); /* no answer: logged and left */
	say(&f, KEEPER_QUIT, 0, NULL, 0, 0);
	assert_int_equal(f.spawned, 0);
	while (f.quits == 0)
		(void)uv_run(&f.loop, UV_RUN_ONCE);
	assert_int_equal(f.spawned, 1);
	assert_int_equal(f.exited, 1);
	assert_string_equal(f.note, "words");
	pm_closep(&f.keeper);
	f.keeper = -1;
	while (f.losts == 0)
		(void)uv_run(&f.loop, UV_RUN_ONCE);
	{
		struct pm_error err;

		assert_int_equal(keeper_client_ready(f.client, &err), -1);
		assert_int_equal(err.code, PM_NOT_RUNNING);
	}
	assert_int_equal(f.losts, 1);
	finish(&f);
}

/* Requests never block and arrive in order, whatever fits into the socket. */
static void requests_wait_for_a_slow_keeper_in_order(void **state)
{
	enum {
		N = 2000
	};
	static const char *const argv[] = { "/bin/true", NULL }, *const envp[] = { NULL };
	const struct spawn_plan plan = { .path = argv[0],
		                         .argv = argv,
		                         .envp = envp,
		                         .uid = (uid_t)-1,
		                         .gid = (gid_t)-1,
		                         .umask = -1,
		                         .child_fds = { 1 },
		                         .n_child_fds = 1 };
	int held[KEEPER_FD_COUNT], out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const uint64_t user[4] = { 9 };
	struct keeper_msg m;
	struct pm_error err;
	struct fixture f;
	uint32_t got = 0;

	(void)state;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		held[role] = -1;
	held[KEEPER_FD_PIDFD] = held[KEEPER_FD_OUT] = out; /* the pidfd is the keeper's */
	init(&f);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(
			keeper_client_spawn(f.client, i, &plan, &out, held, user, false, &err), 0);
	assert_int_equal(keeper_client_ready(f.client, &err), 0);
	while (got < N) {
		struct spawn_mapped mapped;
		int rc = keeper_recv(f.keeper, &m);

		if (rc == -EAGAIN) {
			(void)uv_run(&f.loop, UV_RUN_NOWAIT);
			continue;
		}
		assert_int_equal(rc, 1);
		assert_int_equal(m.r.op, KEEPER_SPAWN);
		assert_int_equal(m.r.slot, got++);
		assert_int_equal(m.r.user[0], 9);
		assert_int_equal(m.r.fd_mask, 1u << KEEPER_FD_OUT);
		assert_int_equal(m.n_fds, 3);
		assert_int_equal(spawn_plan_map(m.fds[0], &mapped), 0);
		assert_string_equal(mapped.plan.path, "/bin/true");
		spawn_plan_unmap(&mapped);
		keeper_msg_close(&m);
	}
	assert_int_equal(keeper_recv_until(f.keeper, &m, pm_now_ms() + 10000), 1);
	assert_int_equal(m.r.op, KEEPER_READY);
	(void)close(out);
	finish(&f);
}

static void what_waits_is_given_up_at_close_and_without_memory(void **state)
{
	struct pm_error err;
	struct fixture f;
	uint32_t i = 0;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), rc = 0;

	(void)state;
	init(&f);
	assert_int_equal(keeper_client_hold(f.client,
	                                    "a name that is longer than what a record can "
	                                    "carry",
	                                    fd, &err),
	                 -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_alloc_fail_at(1); /* nothing is allocated until the socket is full */
	while (rc == 0 && i < 100000)
		rc = keeper_client_slot_hold(f.client, i++, KEEPER_FD_OUT, fd, &err);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, PM_NO_MEMORY);
	pm_alloc_fail_at(0);
	assert_int_equal(keeper_client_slot_hold(f.client, i, KEEPER_FD_OUT, fd, &err), 0);
	(void)close(fd);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adoption_delivers_slots_and_held_descriptors),
		cmocka_unit_test(a_keeper_that_hangs_up_during_adoption_is_an_error),
		cmocka_unit_test(answers_come_from_the_loop),
		cmocka_unit_test(requests_wait_for_a_slow_keeper_in_order),
		cmocka_unit_test(what_waits_is_given_up_at_close_and_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
