#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/control.h"
#include "cli/client.h"
#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/paths.h"
#include "proto/record.h"

/*
 * The client blocks, so the agent's side runs in a thread of its own here.  What handlers count is
 * read by the test only after the answer that follows it, or after the thread has ended.
 */
static struct server {
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t stop;
	struct control *control;
	atomic_int n_commands, n_pushes;
	uint64_t push_id;
	size_t stream_left;
	struct session_stream *stream;
	uint8_t op_id[PM_OP_ID_BYTES];
} srv;

static char dir[64];

static void welcome(void *arg, struct session *s, Pm__Welcome *w)
{
	(void)arg;
	(void)s;
	w->n_cpus = 3;
}

/* STOP: never answered.  KILL: the agent goes away.  RESTART: two outcomes.  START: uses the
 * pushes. */
static void command(void *arg, struct session *s, uint64_t id, const Pm__Command *cmd)
{
	Pm__Result result = PM__RESULT__INIT;
	Pm__Outcome one = PM__OUTCOME__INIT, two = PM__OUTCOME__INIT, *both[] = { &one, &two };
	char text[] = "restarted", name[] = "api";
	struct pm_error err;

	(void)arg;
	srv.n_commands++;
	if (cmd->op_id.len == PM_OP_ID_BYTES)
		memcpy(srv.op_id, cmd->op_id.data, PM_OP_ID_BYTES);
	if (cmd->verb == PM__VERB__VERB_STOP)
		return;
	if (cmd->verb == PM__VERB__VERB_KILL) {
		control_close(srv.control);
		srv.control = NULL;
		return;
	}
	if (cmd->verb == PM__VERB__VERB_START && srv.push_id != 0) {
		(void)pm_fail(&err, PM_CONFIG, "the second spec is bad");
		session_reply_error(s, srv.push_id, &err);
		(void)pm_fail(&err, PM_CONFIG, "specs were refused");
		session_reply_error(s, id, &err);
		return;
	}
	two.pm_id = 1;
	one.name = two.name = name;
	session_reply_progress(s, id, &one);
	session_reply_progress(s, id, &two);
	result.text = text;
	result.outcomes = both;
	result.n_outcomes = 2;
	session_reply_result(s, id, &result);
}

static bool page(void *arg, struct session *s, uint64_t re)
{
	static char note[1000];
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusList list = PM__STATUS_LIST__INIT;
	Pm__InstanceStatus ones[50], *refs[50];
	int *left = arg;

	memset(note, 'n', sizeof(note) - 1);
	for (unsigned i = 0; i < PM_COUNT(ones); i++) {
		pm__instance_status__init(&ones[i]);
		ones[i].pm_id = (uint32_t)(20 - *left) * 50 + i;
		ones[i].note = note;
		refs[i] = &ones[i];
	}
	list.instances = refs;
	list.n_instances = PM_COUNT(ones);
	list.more = --*left > 0;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env.status_list = &list;
	(void)session_send(s, &env);
	return *left > 0;
}

static void status(void *arg, struct session *s, uint64_t id, const Pm__StatusRequest *req)
{
	int *left = pm_calloc(1, sizeof(*left));
	struct pm_error err;

	(void)arg;
	if (req->detail == PM__DETAIL__DETAIL_FULL) {
		(void)pm_fail(&err, PM_NOT_FOUND, "no such app");
		pm_hint(&err, "look at the list");
		session_reply_error(s, id, &err);
		free(left);
		return;
	}
	*left = 20;
	session_reply_pages(s, id, page, free, left);
}

static void spec_push(void *arg, struct session *s, uint64_t id, const Pm__SpecPush *push)
{
	(void)arg;
	(void)s;
	srv.n_pushes++;
	if (strcmp(push->spec->name, "bad") == 0)
		srv.push_id = id;
}

static void send_on(struct session_stream *st)
{
	static uint8_t text[5000];
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;
	Pm__LogLine line = PM__LOG_LINE__INIT, *lines[] = { &line };

	line.text.data = text;
	line.text.len = sizeof(text);
	batch.lines = lines;
	batch.n_lines = 1;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	while (srv.stream_left > 0 && stream_send(st, &data) == STREAM_SENT)
		srv.stream_left--;
	if (srv.stream_left == 0)
		stream_close(st, PM_OK, NULL);
}

static int stream_open(void *arg, struct session_stream *st, const Pm__StreamOpen *open,
                       struct pm_error *err)
{
	(void)arg;
	if (open->what_case == PM__STREAM_OPEN__WHAT_EVENTS)
		return pm_fail(err, PM_NOT_FOUND, "no such events");
	if (open->logs->lines == 0)
		return 0; /* silence */
	srv.stream_left = open->logs->lines;
	send_on(st);
	return 0;
}

static void stream_ready(void *arg, struct session_stream *st)
{
	(void)arg;
	send_on(st);
}

static void stream_closed(void *arg, struct session_stream *st)
{
	(void)arg;
	(void)st;
}

static void session_closed(void *arg, struct session *s)
{
	(void)arg;
	(void)s;
}

static const struct control_handlers handlers = {
	.welcome = welcome,
	.command = command,
	.status = status,
	.spec_push = spec_push,
	.stream_open = stream_open,
	.stream_ready = stream_ready,
	.stream_closed = stream_closed,
	.session_closed = session_closed,
};

static void on_stop(uv_async_t *handle)
{
	control_close(srv.control);
	srv.control = NULL;
	uv_close((uv_handle_t *)handle, NULL);
}

static void *serve(void *arg)
{
	(void)arg;
	(void)uv_run(&srv.loop, UV_RUN_DEFAULT);
	return NULL;
}

static void start_server(int fd)
{
	struct pm_error err;

	assert_true(fd >= 0);
	memset(&srv, 0, sizeof(srv));
	assert_int_equal(uv_loop_init(&srv.loop), 0);
	assert_int_equal(uv_async_init(&srv.loop, &srv.stop, on_stop), 0);
	assert_int_equal(control_create(&srv.loop, fd, &handlers, NULL, &srv.control, &err), 0);
	assert_int_equal(pthread_create(&srv.thread, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
	assert_int_equal(uv_async_send(&srv.stop), 0);
	assert_int_equal(pthread_join(srv.thread, NULL), 0);
	assert_int_equal(uv_loop_close(&srv.loop), 0);
}

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/pm-client-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
	char cmd[128];

	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "/bin/rm -rf '%s'", dir);
	return system(cmd);
}

static int set_up(void **state)
{
	struct pm_error err;

	if (make_dir(state) < 0)
		return -1;
	start_server(control_listen(dir, &err));
	return 0;
}

static int tear_down(void **state)
{
	stop_server();
	return remove_dir(state);
}

static struct client *dial(void)
{
	struct client_options options = { .program = "pmctl" };
	struct client *c = NULL;
	struct pm_error err;

	assert_int_equal(client_connect(dir, &options, &c, &err), 0);
	return c;
}

/* ---- tests ---- */

static void a_list_of_many_pages_comes_in_order(void **state)
{
	struct client *c = dial();
	struct client_status *list;
	const Pm__Welcome *w;
	struct pm_error err;

	(void)state;
	for (int again = 0; again < 2; again++) {
		assert_int_equal(client_status(c, NULL, 0, &list, &err), 0);
		assert_int_equal(list->n_instances, 1000);
		for (unsigned i = 0; i < 1000; i++)
			assert_int_equal(list->instances[i]->pm_id, i);
		client_status_destroy(list);
	}
	assert_int_equal(client_welcome(c, &w, &err), 0);
	assert_int_equal(w->n_cpus, 3);
	assert_string_equal(w->version, PM_VERSION);
	client_destroy(c);
}

static void a_refusal_keeps_its_code_and_hint(void **state)
{
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;
	struct client *c = dial();
	struct client_status *list;
	struct pm_error err;

	(void)state;
	req.detail = PM__DETAIL__DETAIL_FULL;
	assert_int_equal(client_status(c, &req, 0, &list, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_string_equal(err.what, "no such app");
	assert_string_equal(err.hint, "look at the list");
	client_destroy(c);
}

static void count_progress(void *arg, const Pm__Outcome *outcome)
{
	int *n = arg;

	assert_int_equal(outcome->pm_id, (*n)++);
}

static void a_command_brings_progress_and_outcomes(void **state)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	struct client *c = dial();
	struct client_result *r;
	static const uint8_t none[PM_OP_ID_BYTES];
	struct pm_error err;
	int n = 0;

	(void)state;
	cmd.verb = PM__VERB__VERB_RESTART;
	cmd.timeout_ms = 20000;
	assert_int_equal(client_command(c, &cmd, count_progress, &n, &r, &err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(r->code, PM_OK);
	assert_string_equal(r->text, "restarted");
	assert_int_equal(r->n_outcomes, 2);
	assert_string_equal(r->outcomes[1]->name, "api");
	assert_memory_not_equal(srv.op_id, none, sizeof(none)); /* one was made up */
	client_result_destroy(r);
	client_destroy(c);
}

static void pushed_specs_go_before_the_command(void **state)
{
	Pm__AppSpec spec = PM__APP_SPEC__INIT;
	Pm__Command cmd = PM__COMMAND__INIT;
	struct client *c = dial();
	struct client_result *r;
	char good[] = "good", bad[] = "bad";
	struct pm_error err;

	(void)state;
	cmd.verb = PM__VERB__VERB_START;
	spec.name = good;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(client_push_spec(c, &spec, &err), 0);
	assert_int_equal(client_command(c, &cmd, NULL, NULL, &r, &err), 0);
	assert_int_equal(srv.n_pushes, 1000);
	client_result_destroy(r);
	spec.name = bad;
	assert_int_equal(client_push_spec(c, &spec, &err), 0);
	assert_int_equal(client_command(c, &cmd, NULL, NULL, &r, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_string_equal(err.what, "the second spec is bad"); /* not the general one */
	client_destroy(c);
}

static void a_command_without_answer_is_unknown(void **state)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	struct client *c = dial();
	struct client_result *r;
	struct pm_error err;

	(void)state;
	cmd.verb = PM__VERB__VERB_KILL; /* greeted, then cut off */
	assert_int_equal(client_command(c, &cmd, NULL, NULL, &r, &err), -1);
	assert_int_equal(err.code, PM_UNKNOWN);
	assert_int_equal(srv.n_commands, 1);
	assert_int_equal(client_command(c, &cmd, NULL, NULL, &r, &err), -1);
	assert_int_equal(err.code, PM_UNREACHABLE); /* not even sent */
	client_destroy(c);
}

static void a_deadline_that_passes_is_unknown_too(void **state)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	struct client *c = dial();
	struct client_result *r;
	struct client_status *list;
	struct pm_error err;

	(void)state;
	cmd.verb = PM__VERB__VERB_STOP;
	cmd.timeout_ms = 1;
	assert_int_equal(client_command(c, &cmd, NULL, NULL, &r, &err), -1);
	assert_int_equal(err.code, PM_UNKNOWN);
	assert_true(err.hint[0] != '\0');
	assert_int_equal(client_status(c, NULL, 0, &list, &err), 0); /* the connection lives */
	client_status_destroy(list);
	client_destroy(c);
}

static void a_stream_flows_far_over_its_window(void **state)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery logs = PM__LOG_QUERY__INIT;
	struct client *c = dial();
	const Pm__StreamData *data;
	struct client_stream *st;
	enum client_next what = CLIENT_NEXT_DATA;
	struct client_status *list;
	struct pm_error err;
	unsigned n = 0;

	(void)state;
	logs.lines = 1000; /* 5 MB */
	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &logs;
	assert_int_equal(client_stream_open(c, &open, &st, &err), 0);
	while (what == CLIENT_NEXT_DATA) {
		assert_int_equal(client_stream_next(st, -1, 20000, &what, &data, &err), 0);
		n += what == CLIENT_NEXT_DATA;
	}
	assert_int_equal(what, CLIENT_NEXT_END);
	assert_int_equal(n, 1000);
	assert_int_equal(client_status(c, NULL, 0, &list, &err), -1); /* one at a time */
	client_stream_close(st);
	assert_int_equal(client_status(c, NULL, 0, &list, &err), 0);
	client_status_destroy(list);
	client_destroy(c);
}

static void a_quiet_stream_waits_for_time_or_another_descriptor(void **state)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery logs = PM__LOG_QUERY__INIT;
	struct client *c = dial();
	const Pm__StreamData *data;
	struct client_stream *st;
	enum client_next what;
	struct pm_error err;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &logs;
	assert_int_equal(client_stream_open(c, &open, &st, &err), 0);
	assert_int_equal(client_stream_next(st, fds[0], 1, &what, &data, &err), 0);
	assert_int_equal(what, CLIENT_NEXT_TIMEOUT);
	assert_int_equal(write(fds[1], "q", 1), 1);
	assert_int_equal(client_stream_next(st, fds[0], -1, &what, &data, &err), 0);
	assert_int_equal(what, CLIENT_NEXT_FD);
	client_stream_close(st);
	client_destroy(c);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void a_refused_stream_gives_the_reason_first(void **state)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__EventQuery events = PM__EVENT_QUERY__INIT;
	struct client *c = dial();
	const Pm__StreamData *data;
	struct client_stream *st;
	enum client_next what;
	struct pm_error err;

	(void)state;
	open.what_case = PM__STREAM_OPEN__WHAT_EVENTS;
	open.events = &events;
	assert_int_equal(client_stream_open(c, &open, &st, &err), 0);
	assert_int_equal(client_stream_next(st, -1, 20000, &what, &data, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_string_equal(err.what, "no such events");
	client_stream_close(st);
	client_destroy(c);
}

/* Take one connection and close it: an agent that ended before it looked. */
static void *take_and_close(void *arg)
{
	int listen_fd = *(int *)arg, fd = -1;

	while (fd < 0)
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC); /* blocks */
	(void)close(fd);
	return NULL;
}

static void what_was_sent_without_a_welcome_is_sent_again(void **state)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	Pm__AppSpec spec = PM__APP_SPEC__INIT;
	struct client_result *r;
	struct pm_error err;
	struct client *c;
	pthread_t thread;
	char name[] = "good";
	int fd;

	if (make_dir(state) < 0)
		fail();
	fd = control_listen(dir, &err);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, take_and_close, &fd), 0);
	c = dial();
	spec.name = name;
	assert_int_equal(client_push_spec(c, &spec, &err), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	start_server(fd); /* the one that came after it */
	cmd.verb = PM__VERB__VERB_START;
	assert_int_equal(client_command(c, &cmd, NULL, NULL, &r, &err), 0);
	assert_int_equal(srv.n_commands, 1);
	assert_int_equal(srv.n_pushes, 1);
	client_result_destroy(r);
	client_destroy(c);
	(void)tear_down(state);
}

static void a_list_survives_a_new_supervisor(void **state)
{
	struct client *c = dial();
	struct client_status *list;
	const Pm__Welcome *w;
	struct pm_error err;

	(void)state;
	assert_int_equal(client_welcome(c, &w, &err), 0);
	stop_server();
	start_server(control_listen(dir, &err));
	assert_int_equal(client_status(c, NULL, 0, &list, &err), 0);
	assert_int_equal(list->n_instances, 1000);
	client_status_destroy(list);
	client_destroy(c);
}

static void without_an_agent_it_says_so(void **state)
{
	struct client_options options = { .timeout_ms = 1000 };
	struct client *c;
	struct pm_error err;

	(void)state;
	assert_int_equal(client_connect(dir, &options, &c, &err), -1);
	assert_int_equal(err.code, PM_NOT_RUNNING);
	assert_int_equal(client_connect("/nonexistent/home", &options, &c, &err), -1);
	assert_int_equal(err.code, PM_NOT_RUNNING);
}

/* ---- starting an agent: a script stands for pmd, which needs processes, but short ones ---- */

static void write_pmd(const char *script)
{
	char path[128], *env;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/bin", dir);
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	assert_int_equal(setenv("PATH", path, 1), 0);
	(void)snprintf(path, sizeof(path), "%s/bin/pmd", dir);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fprintf(file, "#!/bin/sh\n%s\n", script) > 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0700), 0);
	env = getenv("PATH");
	assert_non_null(env);
}

static void a_start_that_fails_gives_the_agents_last_line(void **state)
{
	struct client_options options = { .start_agent = true, .timeout_ms = 20000 };
	struct client *c;
	struct pm_error err;
	char home[128];

	(void)state;
	(void)snprintf(home, sizeof(home), "%s/home", dir);
	write_pmd("echo first; echo \"bad \033[1m $1 $2 $3\" >&2; exit 8");
	assert_int_equal(client_connect(home, &options, &c, &err), -1);
	assert_int_equal(err.code, PM_FAILED);
	assert_non_null(strstr(err.what, "status 8: bad ?[1m agent --home "));
	assert_non_null(strstr(err.hint, "pmd.log"));
	options.as_pm2 = true;
	write_pmd("echo \"$4\"; exit 1");
	assert_int_equal(client_connect(home, &options, &c, &err), -1);
	assert_non_null(strstr(err.what, "status 1: --pm2"));
	assert_non_null(strstr(err.hint, "pm2.log"));
}

static void a_start_that_does_not_answer_is_given_up(void **state)
{
	struct client_options options = { .start_agent = true, .timeout_ms = 100 };
	struct client *c;
	struct pm_error err;

	(void)state;
	write_pmd("read nothing </dev/null; exec /bin/sleep 2");
	assert_int_equal(client_connect(dir, &options, &c, &err), -1);
	assert_int_equal(err.code, PM_DEADLINE);
}

static void *listen_soon(void *arg)
{
	struct pm_error err;
	char path[128];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/started", dir);
	while (access(path, F_OK) < 0)
		(void)poll(NULL, 0, 1);
	start_server(control_listen(dir, &err));
	return NULL;
}

/* status 6 means that somebody else is the agent, who is about to listen. */
static void who_gives_way_to_another_agent_gets_its_answer(void **state)
{
	struct client_options options = { .start_agent = true, .timeout_ms = 20000 };
	struct client_status *list;
	struct client *c;
	struct pm_error err;
	pthread_t thread;
	char script[128];

	(void)snprintf(script, sizeof(script), "echo >%s/started; exit 6", dir);
	write_pmd(script);
	assert_int_equal(pthread_create(&thread, NULL, listen_soon, NULL), 0);
	assert_int_equal(client_connect(dir, &options, &c, &err), 0);
	assert_int_equal(client_status(c, NULL, 0, &list, &err), 0);
	client_status_destroy(list);
	client_destroy(c);
	assert_int_equal(pthread_join(thread, NULL), 0);
	stop_server();
	(void)state;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define BARE(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_list_of_many_pages_comes_in_order),
		TEST(a_refusal_keeps_its_code_and_hint),
		TEST(a_command_brings_progress_and_outcomes),
		TEST(pushed_specs_go_before_the_command),
		TEST(a_command_without_answer_is_unknown),
		TEST(a_deadline_that_passes_is_unknown_too),
		TEST(a_stream_flows_far_over_its_window),
		TEST(a_quiet_stream_waits_for_time_or_another_descriptor),
		TEST(a_refused_stream_gives_the_reason_first),
		cmocka_unit_test(what_was_sent_without_a_welcome_is_sent_again),
		TEST(a_list_survives_a_new_supervisor),
		BARE(without_an_agent_it_says_so),
		BARE(a_start_that_fails_gives_the_agents_last_line),
		BARE(a_start_that_does_not_answer_is_given_up),
		BARE(who_gives_way_to_another_agent_gets_its_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
