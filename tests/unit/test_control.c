#include "tests/unit/control_rig.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void requests_behind_a_hello_are_answered_in_order(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	connect_peer(&p);
	f.pages_left = 1;
	peer_hello(&p);
	peer_command(&p, 2, PM__VERB__VERB_PING);
	peer_status(&p, 3);
	env = expect(&p, PM__ENVELOPE__BODY_WELCOME);
	assert_int_equal(env->re, 1);
	assert_int_equal(env->welcome->protocol, 1);
	assert_string_equal(env->welcome->version, PM_VERSION);
	assert_string_equal(env->welcome->home, "/home");
	env = expect(&p, PM__ENVELOPE__BODY_RESULT);
	assert_int_equal(env->re, 2);
	assert_string_equal(env->result->text, "pong");
	env = expect(&p, PM__ENVELOPE__BODY_STATUS_LIST);
	assert_int_equal(env->re, 3);
	assert_false(env->status_list->more);
	assert_int_equal(f.n_done, 1);
	peer_finish(&p);
	run_until(&f.n_closed_sessions, 1); /* at once */
	assert_int_equal(control_n_sessions(f.control), 0);
}

static void who_does_not_greet_is_told_and_dropped(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	connect_peer(&p);
	peer_command(&p, 1, PM__VERB__VERB_KILL);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->error->code, PM_PROTOCOL);
	assert_null(peer_receive(&p));
	assert_int_equal(f.n_commands, 0);
	assert_int_equal(f.n_closed_sessions, 1);
	peer_finish(&p);
}

static void a_version_nobody_speaks_is_refused_in_words(void **state)
{
	struct peer p;
	Pm__Envelope env = PM__ENVELOPE__INIT, *got;
	Pm__Hello hello = PM__HELLO__INIT;

	(void)state;
	connect_peer(&p);
	hello.protocol_min = hello.protocol_max = 7;
	env.id = 1;
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	peer_send(&p, &env);
	peer_command(&p, 2, PM__VERB__VERB_KILL);
	got = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(got->re, 1);
	assert_int_equal(got->error->code, PM_UNSUPPORTED);
	assert_null(peer_receive(&p));
	assert_int_equal(f.n_commands, 0);
	peer_finish(&p);
}

/* */
static void junk_costs_only_the_session_that_sent_it(void **state)
{
	static const char *const junk[] = { "\0\0", "\xff\xff", "\0\x02\xff\xff" };
	static const size_t lengths[] = { 2, 2, 4 };
	struct peer good, bad;
	Pm__Envelope *env;

	(void)state;
	greet(&good);
	for (size_t i = 0; i < PM_COUNT(junk); i++) {
		greet(&bad);
		assert_int_equal(send(bad.fd, junk[i], lengths[i], 0), lengths[i]);
		env = expect(&bad, PM__ENVELOPE__BODY_ERROR);
		assert_int_equal(env->error->code, PM_PROTOCOL);
		assert_null(peer_receive(&bad));
		peer_finish(&bad);
	}
	peer_command(&good, 2, PM__VERB__VERB_PING);
	(void)expect(&good, PM__ENVELOPE__BODY_RESULT);
	peer_finish(&good);
}

static void goodbye_is_said_before_the_end(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	greet(&p);
	control_goodbye(f.control, "upgrade", 250);
	env = expect(&p, PM__ENVELOPE__BODY_GOODBYE);
	assert_string_equal(env->goodbye->reason, "upgrade");
	assert_int_equal(env->goodbye->retry_after_ms, 250);
	assert_null(peer_receive(&p));
	assert_int_equal(f.n_closed_sessions, 1);
	peer_finish(&p);
}

static void a_handler_may_close_everything(void **state)
{
	struct peer p, other;

	(void)state;
	f.close_in_command = true;
	greet(&other);
	greet(&p);
	peer_command(&p, 2, PM__VERB__VERB_KILL);
	peer_command(&p, 3, PM__VERB__VERB_KILL);
	run_until(&f.n_closed_sessions, 2);
	assert_int_equal(f.n_commands, 1);
	assert_null(peer_receive(&p));
	peer_finish(&p);
	peer_finish(&other);
}

/* S-13 */
static void another_user_is_refused_before_anything_is_parsed(void **state)
{
	struct pm_error err;
	struct peer p;
	Pm__Envelope *env;
	int fds[2];

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root: nobody else can look like another user\n");
		skip();
	}
	/* The system call itself changes this thread only, and a pair takes its maker's identity.
	 */
	assert_int_equal(syscall(SYS_setresuid, -1, 12345, -1), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	assert_int_equal(syscall(SYS_setresuid, -1, 0, -1), 0);
	assert_int_equal(control_adopt(f.control, fds[0], &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	peer_init(&p, fds[1]);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->error->code, PM_DENIED);
	assert_non_null(strstr(env->error->what, "uid 12345"));
	assert_null(peer_receive(&p));
	assert_int_equal(control_n_sessions(f.control), 0);
	peer_finish(&p);
}

static void one_session_too_many_is_refused_in_words(void **state)
{
	static int fds[PM_SESSIONS_MAX + 1][2];
	struct pm_error err;
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	for (int i = 0; i <= PM_SESSIONS_MAX; i++) {
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds[i]),
			0);
		assert_int_equal(control_adopt(f.control, fds[i][0], &err),
		                 i < PM_SESSIONS_MAX ? 0 : -1);
	}
	peer_init(&p, fds[PM_SESSIONS_MAX][1]);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->error->code, PM_LIMIT);
	peer_finish(&p);
	for (int i = 0; i < PM_SESSIONS_MAX; i++)
		(void)close(fds[i][1]);
	run_until(&f.n_closed_sessions, PM_SESSIONS_MAX);
}

static int dial(void)
{
	struct sockaddr_un addr;
	struct pm_error err;
	socklen_t len;
	int via, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(pm_home_address(dir, PM_HOME_SOCKET, &addr, &len, &via, &err), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, len), 0);
	return fd;
}

/* */
static void without_descriptors_it_refuses_politely_and_recovers(void **state)
{
	struct rlimit was, none;
	struct peer p, later;
	Pm__Envelope *env;
	int fd = dial(), probe;

	(void)state;
	turn(); /* the first one is accepted with descriptors to spare */
	peer_init(&p, fd);
	probe = dup(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = (rlim_t)probe; /* the lowest free number is over the limit now */
	assert_int_equal(close(probe), 0);
	peer_init(&later, dial());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	env = expect(&later, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(env->error->code, PM_LIMIT);
	assert_string_equal(env->error->what, "the agent is out of descriptors");
	assert_null(peer_receive(&later));
	peer_finish(&later);
	peer_hello(&p); /* those who were there are served */
	(void)expect(&p, PM__ENVELOPE__BODY_WELCOME);
	peer_finish(&p);
	peer_init(&later, dial());
	peer_hello(&later);
	(void)expect(&later, PM__ENVELOPE__BODY_WELCOME);
	peer_finish(&later);
}

/* */
static void a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
	struct pm_error err;
	struct stat st;
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, PM_HOME_SOCKET);
	fd = control_listen(dir, &err);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(control_listen(dir, &err), -1);
	assert_int_equal(err.code, PM_EXISTS);
}

static void running_out_of_memory_costs_a_session_at_most(void **state)
{
	struct peer p;
	unsigned n;

	(void)state;
	for (n = 1; n < 50; n++) {
		struct pm_error err;
		int fds[2], rc;

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
		peer_init(&p, fds[1]);
		peer_hello(&p);
		peer_command(&p, 2, PM__VERB__VERB_PING);
		pm_alloc_fail_at(n);
		rc = control_adopt(f.control, fds[0], &err);
		for (int i = 0; i < 4; i++)
			turn();
		pm_alloc_fail_at(0);
		peer_finish(&p);
		while (control_n_sessions(f.control) > 0)
			turn();
		if (rc == 0 && f.n_commands == 1)
			break;
	}
	assert_in_range(n, 3, 49);
	greet(&p);
	peer_finish(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_behind_a_hello_are_answered_in_order),
		TEST(who_does_not_greet_is_told_and_dropped),
		TEST(a_version_nobody_speaks_is_refused_in_words),
		TEST(junk_costs_only_the_session_that_sent_it),
		TEST(goodbye_is_said_before_the_end),
		TEST(a_handler_may_close_everything),
		TEST(another_user_is_refused_before_anything_is_parsed),
		TEST(one_session_too_many_is_refused_in_words),
		TEST(without_descriptors_it_refuses_politely_and_recovers),
		TEST(a_stale_socket_is_replaced_and_a_file_is_not),
		TEST(running_out_of_memory_costs_a_session_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
