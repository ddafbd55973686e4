#include "tests/unit/control_rig.h"

static void unanswered_requests_are_limited(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	f.answer = false;
	greet(&p);
	for (uint64_t id = 2; id < 2 + PM_REQUESTS_MAX + 1; id++)
		peer_command(&p, id, PM__VERB__VERB_STOP);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->re, 2 + PM_REQUESTS_MAX);
	assert_int_equal(env->error->code, PM_LIMIT);
	assert_int_equal(f.n_commands, PM_REQUESTS_MAX);
	reply_text(f.kept, f.kept_id, "late");
	env = expect(&p, PM__ENVELOPE__BODY_RESULT);
	assert_int_equal(env->re, f.kept_id);
	peer_command(&p, 500, PM__VERB__VERB_STOP);
	run_until(&f.n_commands, PM_REQUESTS_MAX + 1);
	peer_finish(&p);
}

/* */
static void who_does_not_read_costs_its_queue_and_no_more(void **state)
{
	struct peer stuck, good;
	Pm__Result result = PM__RESULT__INIT;
	PM_FREE char *text = pm_calloc(1, 50001);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 50000);
	result.text = text;
	result.more = true;
	f.answer = false;
	greet(&stuck);
	peer_command(&stuck, 2, PM__VERB__VERB_STOP);
	run_until(&f.n_commands, 1);
	for (int i = 0; i < 60 && session_is_open(f.kept); i++) {
		Pm__Envelope env = PM__ENVELOPE__INIT;

		env.re = 2;
		env.body_case = PM__ENVELOPE__BODY_RESULT;
		env.result = &result;
		assert_true(session_send(f.kept, &env));
	}
	assert_false(session_is_open(f.kept));
	assert_int_equal(f.n_closed_sessions, 0); /* not from within the call */
	run_until(&f.n_closed_sessions, 1);
	reply_text(f.kept, 2, "nobody hears this");
	f.answer = true;
	greet(&good);
	peer_command(&good, 2, PM__VERB__VERB_PING);
	(void)expect(&good, PM__ENVELOPE__BODY_RESULT);
	peer_finish(&good);
	peer_finish(&stuck);
}

static void an_answer_of_many_outcomes_comes_whole(void **state)
{
	enum {
		N = 8192
	};
	PM_FREE Pm__Outcome *all = pm_calloc(N, sizeof(*all));
	PM_FREE Pm__Outcome **list = pm_calloc(N, sizeof(Pm__Outcome *));
	Pm__Result result = PM__RESULT__INIT;
	char text[201] = { 0 };
	struct peer p;
	uint32_t n = 0;
	bool more = true;

	(void)state;
	assert_true(all != NULL && list != NULL);
	memset(text, 'x', 200);
	for (uint32_t i = 0; i < N; i++) {
		pm__outcome__init(&all[i]);
		all[i].pm_id = i;
		all[i].text = text;
		list[i] = &all[i];
	}
	result.outcomes = list;
	result.n_outcomes = N;
	f.answer = false;
	greet(&p);
	peer_command(&p, 2, PM__VERB__VERB_STOP);
	run_until(&f.n_commands, 1);
	session_reply_result(f.kept, 2, &result);
	while (more) {
		Pm__Envelope *env = expect(&p, PM__ENVELOPE__BODY_RESULT);

		for (size_t i = 0; i < env->result->n_outcomes; i++)
			assert_int_equal(env->result->outcomes[i]->pm_id, n++);
		more = env->result->more;
	}
	assert_int_equal(n, N);
	peer_finish(&p);
}

static void long_answers_come_in_pages(void **state)
{
	struct peer p;
	uint32_t n = 100;
	bool more = true;

	(void)state;
	f.pages_left = n; /* 6 MB, far over the queue's limit */
	greet(&p);
	peer_status(&p, 2);
	run_until(&f.n_status, 1);
	for (int i = 0; i < 50; i++)
		turn();
	assert_true(f.pages_left > 80); /* it waits for us */
	while (more) {
		Pm__Envelope *env = expect(&p, PM__ENVELOPE__BODY_STATUS_LIST);

		assert_int_equal(env->status_list->instances[0]->pm_id, --n);
		more = env->status_list->more;
	}
	assert_int_equal(n, 0);
	assert_int_equal(f.n_done, 1);
	f.pages_left = 100;
	peer_status(&p, 3);
	run_until(&f.n_status, 2);
	peer_finish(&p); /* goes away in the middle */
	run_until(&f.n_closed_sessions, 1);
	assert_int_equal(f.n_done, 2);
}

static size_t count_data(struct peer *p, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		Pm__Envelope *env = expect(p, PM__ENVELOPE__BODY_STREAM_DATA);

		bytes += protobuf_c_message_get_packed_size(&env->stream_data->base);
	}
	return bytes;
}

static void a_stream_stops_at_its_credit_and_goes_on_with_more(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT, *got;
	Pm__StreamCredit credit = PM__STREAM_CREDIT__INIT;
	struct peer p;
	size_t sent, bytes;

	(void)state;
	f.stream_left = 400;
	greet(&p);
	peer_open(&p, 1, PM_STREAM_WINDOW_MIN);
	while (f.stream == NULL)
		turn();
	/* The queue's room may end a turn before the credit does. */
	bytes = count_data(&p, PM_STREAM_WINDOW_MIN / 1010);
	sent = 400 - f.stream_left;
	assert_int_equal(f.last_sent, STREAM_BLOCKED);
	assert_true(bytes <= PM_STREAM_WINDOW_MIN);
	assert_true(sent < 400 && sent * 1000 < PM_STREAM_WINDOW_MIN);
	credit.bytes = 300 * 1024;
	env.stream = 1;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CREDIT;
	env.stream_credit = &credit;
	peer_send(&p, &env);
	(void)count_data(&p, 400 - PM_STREAM_WINDOW_MIN / 1010);
	got = expect(&p, PM__ENVELOPE__BODY_STREAM_CLOSE);
	assert_int_equal(got->stream_close->code, PM_OK);
	assert_string_equal(got->stream_close->what, "the end");
	assert_true(f.n_ready >= 1);
	assert_int_equal(f.n_closed_streams, 0); /* we closed it ourselves */
	peer_finish(&p);
}

static void a_stream_ends_with_the_peer_or_with_the_session(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose close_it = PM__STREAM_CLOSE__INIT;
	struct peer p;

	(void)state;
	greet(&p);
	peer_open(&p, 1, PM_STREAM_WINDOW);
	env.stream = 1;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &close_it;
	peer_send(&p, &env);
	run_until(&f.n_closed_streams, 1);
	assert_int_equal(f.n_closed_sessions, 0);
	peer_open(&p, 3, PM_STREAM_WINDOW);
	while (f.stream == NULL)
		turn();
	peer_finish(&p);
	run_until(&f.n_closed_streams, 2);
	run_until(&f.n_closed_sessions, 1);
}

static void a_refused_stream_says_why(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	f.refuse_streams = true;
	greet(&p);
	for (uint32_t id = 1; id < 2 * PM_STREAMS_MAX + 10; id += 2) { /* none of them stays */
		peer_open(&p, id, PM_STREAM_WINDOW);
		env = expect(&p, PM__ENVELOPE__BODY_ERROR);
		assert_int_equal(env->stream, id);
		assert_int_equal(env->re, 100 + id);
		assert_int_equal(env->error->code, PM_NOT_FOUND);
		assert_string_equal(env->error->hint, "look at the list");
	}
	peer_finish(&p);
}

static void a_late_answer_to_a_closed_session_goes_nowhere(void **state)
{
	struct peer p;

	(void)state;
	f.answer = false;
	greet(&p);
	peer_command(&p, 2, PM__VERB__VERB_RESTART);
	run_until(&f.n_commands, 1);
	assert_true(session_is_pm2(f.kept));
	assert_int_equal(session_uid(f.kept), geteuid());
	assert_int_equal(session_pid(f.kept), getpid());
	peer_finish(&p);
	run_until(&f.n_closed_sessions, 1);
	assert_false(session_is_open(f.kept));
	reply_text(f.kept, 2, "done");
	session_reply_pages(f.kept, 2, page, pages_done, NULL);
	assert_int_equal(f.n_done, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- a guard that holds commands ---- */

static struct {
	int n_asked, n_answers, n_closed;
	struct session *session; /* a reference, from the first request */
	int n_to_hold;
} g;

static enum session_permit guard_permit(void *arg, struct session *s, const Pm__Envelope *env,
                                        struct pm_error *err)
{
	(void)arg;
	(void)err;
	if (g.session == NULL)
		g.session = session_ref(s);
	g.n_asked++;
	if (env->body_case != PM__ENVELOPE__BODY_COMMAND || g.n_to_hold == 0)
		return SESSION_PERMIT;
	g.n_to_hold--;
	return SESSION_HOLD;
}

static void guard_answer(void *arg, struct session *s, const Pm__Envelope *env)
{
	(void)arg;
	(void)s;
	(void)env;
	g.n_answers++;
}

static void guard_notice(void *arg, struct session *s, const Pm__Envelope *env)
{
	(void)arg;
	(void)s;
	(void)env;
}

static void guard_closed(void *arg, struct session *s)
{
	(void)arg;
	assert_false(session_is_open(s));
	g.n_closed++;
}

static void greet_guarded(struct peer *p, int n_to_hold)
{
	static const struct session_guard guard = { guard_permit, guard_answer, guard_notice,
		                                    guard_closed, NULL };
	struct session *s;
	struct pm_error err;
	int fds[2];

	memset(&g, 0, sizeof(g));
	g.n_to_hold = n_to_hold;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	assert_int_equal(control_adopt_remote(f.control, fds[0], &guard, &s, &err), 0);
	peer_init(p, fds[1]);
	peer_hello(p);
	(void)expect(p, PM__ENVELOPE__BODY_WELCOME);
}

static void turn_a_lot(void)
{
	for (int i = 0; i < 50; i++)
		turn();
}

static void a_held_command_holds_what_comes_behind_it(void **state)
{
	struct pm_error err;
	struct peer p;

	(void)state;
	f.pages_left = 1;
	greet_guarded(&p, 2);
	peer_command(&p, 2, PM__VERB__VERB_PING); /* these are read in one go */
	peer_command(&p, 3, PM__VERB__VERB_STOP);
	peer_status(&p, 4);
	run_until(&g.n_asked, 1);
	peer_command(&p, 5, PM__VERB__VERB_STOP); /* this is not */
	turn_a_lot();
	assert_int_equal(g.n_asked, 1);
	assert_int_equal(f.n_commands, 0);
	assert_int_equal(session_go_on(g.session, &err), 0);
	assert_int_equal(f.n_commands, 1);
	assert_int_equal(g.n_asked, 2); /* the next is held, too */
	assert_string_equal(expect(&p, PM__ENVELOPE__BODY_RESULT)->result->text, "pong");
	turn_a_lot();
	assert_int_equal(f.n_status, 0);
	(void)pm_fail(&err, PM_NO_SPACE, "the disk is full");
	session_go_back(g.session, &err);
	assert_int_equal(f.n_commands, 1); /* that one was not done */
	assert_int_equal(f.n_status, 1);
	{
		Pm__Envelope *env = expect(&p, PM__ENVELOPE__BODY_ERROR);

		assert_int_equal(env->re, 3);
		assert_int_equal(env->error->code, PM_NO_SPACE);
	}
	assert_int_equal(expect(&p, PM__ENVELOPE__BODY_STATUS_LIST)->re, 4);
	assert_int_equal(expect(&p, PM__ENVELOPE__BODY_RESULT)->re, 5);
	session_unref(g.session);
	peer_finish(&p);
}

static void a_held_session_can_end(void **state)
{
	struct pm_error err;
	struct peer p;

	(void)state;
	/* It is told so. */
	greet_guarded(&p, 1);
	peer_command(&p, 2, PM__VERB__VERB_PING);
	run_until(&g.n_asked, 1);
	session_goodbye(g.session, "", 0);
	run_until(&g.n_closed, 1);
	session_unref(g.session);
	peer_finish(&p);
	/* Its peer has gone: that is seen when it goes on. */
	greet_guarded(&p, 1);
	peer_command(&p, 2, PM__VERB__VERB_PING);
	run_until(&g.n_asked, 1);
	peer_finish(&p);
	turn_a_lot();
	assert_int_equal(g.n_closed, 0);
	assert_int_equal(session_go_on(g.session, &err), 0);
	run_until(&g.n_closed, 1);
	assert_int_equal(f.n_commands, 1); /* as any that was asked for */
	session_unref(g.session);
	/* There is no memory to keep the command. */
	greet_guarded(&p, 1);
	peer_command(&p, 2, PM__VERB__VERB_PING);
	pm_alloc_fail_at(1);
	run_until(&g.n_closed, 1);
	pm_alloc_fail_at(0);
	assert_int_equal(g.n_asked, 1);
	assert_int_equal(f.n_commands, 1);
	session_unref(g.session);
	peer_finish(&p);
	/* All are closed. */
	greet_guarded(&p, 1);
	peer_command(&p, 2, PM__VERB__VERB_PING);
	run_until(&g.n_asked, 1);
	control_close(f.control);
	f.control = NULL;
	assert_int_equal(g.n_closed, 1);
	session_unref(g.session);
	peer_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unanswered_requests_are_limited),
		TEST(who_does_not_read_costs_its_queue_and_no_more),
		TEST(an_answer_of_many_outcomes_comes_whole),
		TEST(long_answers_come_in_pages),
		TEST(a_stream_stops_at_its_credit_and_goes_on_with_more),
		TEST(a_stream_ends_with_the_peer_or_with_the_session),
		TEST(a_refused_stream_says_why),
		TEST(a_late_answer_to_a_closed_session_goes_nowhere),
		TEST(a_held_command_holds_what_comes_behind_it),
		TEST(a_held_session_can_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
