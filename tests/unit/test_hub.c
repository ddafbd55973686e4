#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/hub.h"
#include "proto/limits.h"
#include "proto/secret.h"
#include "proto/uplink.h"

#define PATIENCE_MS 30000
#define TICK_MS     10

static struct fixture {
	uv_loop_t loop;
	uv_timer_t guard;
	unsigned n_ticks;
	struct pm_net *net;
	struct pm_hub *hub;
	struct pm_key *coordinator, *agent;
	struct pm_hub_config config;
	uint16_t port;
	enum pm_verdict verdict;
	uint32_t renew_ms;
	/* seen by the hub's owner */
	unsigned n_up, n_closed, n_requests, n_enrol, n_data;
	struct pm_link *last;
	struct pm_error why;
	bool answer;
	/* seen by the uplink's */
	unsigned n_up2, n_closed2, n_answers, n_trouble, n_enrolled, n_bye;
	struct pm_error why2, trouble;
} f;

/* ---- the coordinator's side ---- */

static enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role, const uint8_t *key)
{
	struct sockaddr_storage at;

	(void)arg;
	(void)role;
	(void)key;
	assert_true(pm_hub_peer(l, &at));
	assert_int_equal(at.ss_family, AF_INET);
	return f.verdict;
}

static int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                    struct pm_error *err)
{
	(void)arg;
	(void)l;
	(void)hello;
	(void)welcome;
	(void)err;
	return 0;
}

static void on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	Pm__Enrolled out = PM__ENROLLED__INIT;

	(void)arg;
	(void)enrol;
	f.n_enrol++;
	f.verdict = PM_PEER_KNOWN;
	pm_link_enrolled(l, id, &out);
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	assert_null(welcome);
	f.n_up++;
	f.last = l;
}

static void send_result(struct pm_link *l, uint64_t re, size_t len)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Result result = PM__RESULT__INIT;
	static char text[60001];

	memset(text, 't', len);
	text[len] = '\0';
	result.text = text;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = &result;
	assert_true(pm_link_send(l, &env));
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	(void)arg;
	if (kind != PM_EVENT_REQUEST)
		return;
	f.n_requests++;
	if (f.answer)
		send_result(l, env->id, 5);
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	(void)arg;
	(void)retry_after_ms;
	f.n_closed++;
	f.why = *why;
	if (f.last == l)
		f.last = NULL;
}

static const struct pm_link_handlers hub_handlers = {
	.peer = on_peer,
	.hello = on_hello,
	.enrol = on_enrol,
	.up = on_up,
	.message = on_message,
	.closed = on_closed,
};

/* ---- the agent's side ---- */

static void on_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	static uint8_t bytes[32];

	(void)arg;
	(void)l;
	enrol->token_id = (ProtobufCBinaryData){ 8, bytes };
	enrol->secret = (ProtobufCBinaryData){ 32, bytes };
}

static void on_enrolled(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled)
{
	(void)arg;
	(void)l;
	(void)enrolled;
	f.n_enrolled++;
}

static void on_up2(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)l;
	assert_non_null(welcome);
	f.n_up2++;
}

static void on_message2(void *arg, struct pm_link *l, const Pm__Envelope *env,
                        enum pm_event_kind kind)
{
	(void)arg;
	(void)l;
	(void)env;
	f.n_answers += kind == PM_EVENT_ANSWER;
}

static void on_closed2(void *arg, struct pm_link *l, const struct pm_error *why,
                       uint32_t retry_after_ms)
{
	(void)arg;
	(void)l;
	f.n_closed2++;
	f.why2 = *why;
	f.n_bye += retry_after_ms != 0;
}

static void on_trouble(void *arg, const struct pm_error *why, uint64_t wait_ms)
{
	(void)arg;
	assert_true(wait_ms <= 40000);
	f.n_trouble++;
	f.trouble = *why;
}

static const struct pm_link_handlers uplink_handlers = {
	.ask = on_ask,
	.enrolled = on_enrolled,
	.up = on_up2,
	.message = on_message2,
	.closed = on_closed2,
};

/* ---- the rig ---- */

/* Ticks, so that what the loop does not see is looked at again. */
static void on_guard(uv_timer_t *timer)
{
	(void)timer;
	f.n_ticks++;
}

/* Run the loop until something has happened. */
#define UNTIL(cond)                                                                           \
	do {                                                                                  \
		f.n_ticks = 0;                                                                \
		(void)uv_timer_start(&f.guard, on_guard, TICK_MS, TICK_MS);                   \
		while (!(cond)) {                                                             \
			if (f.n_ticks > PATIENCE_MS / TICK_MS)                                \
				fail_msg("not within %d ms: %s (%s; %s)", PATIENCE_MS, #cond, \
				         f.why.what, f.trouble.what);                         \
			(void)uv_run(&f.loop, UV_RUN_ONCE);                                   \
		}                                                                             \
		uv_timer_stop(&f.guard);                                                      \
	} while (0)

static const struct sockaddr *loopback(uint16_t port)
{
	static struct sockaddr_in in;

	in.sin_family = AF_INET;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(port);
	return (const struct sockaddr *)&in;
}

static void open_hub(void)
{
	struct pm_error err;

	f.config.link.key = f.coordinator;
	assert_int_equal(
		pm_hub_create(f.net, &f.loop, &f.config, &hub_handlers, NULL, &f.hub, &err), 0);
	assert_int_equal(pm_hub_listen(f.hub, loopback(f.port), &f.port, &err), 0);
	assert_int_not_equal(f.port, 0);
}

static struct pm_uplink *dial_to(const char *first, const char *second)
{
	struct pm_uplink_config c = { .trouble = on_trouble, .renew_ms = f.renew_ms };
	struct pm_uplink *u;
	struct pm_error err;

	c.link = (struct pm_link_config){ .key = f.agent,
		                          .role = PM_ROLE_AGENT,
		                          .program = "agent" };
	c.enrol = f.verdict == PM_PEER_NEW;
	memcpy(c.coordinator, pm_key_public(f.coordinator), PM_KEY_BYTES);
	assert_int_equal(pm_address_parse(first, &c.addresses[c.n_addresses++], &err), 0);
	if (second != NULL)
		assert_int_equal(pm_address_parse(second, &c.addresses[c.n_addresses++], &err), 0);
	for (unsigned i = 0; i < c.n_addresses; i++)
		if (c.addresses[i].port == PM_DEFAULT_PORT)
			c.addresses[i].port = f.port;
	assert_int_equal(pm_uplink_create(f.net, &f.loop, &c, &uplink_handlers, NULL, &u, &err), 0);
	pm_uplink_start(u);
	return u;
}

static int setup(void **state)
{
	struct pm_error err;

	(void)state;
	memset(&f, 0, sizeof(f));
	f.verdict = PM_PEER_KNOWN;
	f.answer = true;
	assert_int_equal(uv_loop_init(&f.loop), 0);
	(void)uv_timer_init(&f.loop, &f.guard);
	assert_int_equal(pm_key_create(&f.coordinator, &err), 0);
	assert_int_equal(pm_key_create(&f.agent, &err), 0);
	assert_int_equal(pm_net_create(&f.loop, &f.net, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pm_hub_close(f.hub);
	pm_net_close(f.net);
	uv_close((uv_handle_t *)&f.guard, NULL);
	assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&f.loop), 0);
	pm_key_destroy(f.coordinator);
	pm_key_destroy(f.agent);
	assert_int_equal(pm_secret_pages(), 0);
	return 0;
}

static int raw_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* Without waiting: the loop that accepts is ours. */
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, loopback(f.port), sizeof(struct sockaddr_in)) < 0 && errno != EINPROGRESS) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* ---- what is expected of both ---- */

static void an_agent_comes_and_asks(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	struct pm_uplink *u;
	struct pm_hub_stats stats;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1 && f.n_up2 == 1);
	pm_hub_stats(f.hub, &stats);
	assert_int_equal(stats.n_links, 1);
	assert_int_equal(stats.n_at_door, 0);
	assert_int_equal(stats.n_handshakes, 1);
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &(Pm__StatusRequest)PM__STATUS_REQUEST__INIT;
	for (unsigned i = 0; i < 100; i++) {
		env.id = pm_link_next_id(pm_uplink_link(u));
		assert_true(pm_link_send(pm_uplink_link(u), &env));
	}
	UNTIL(f.n_answers == 100);
	send_result(f.last, 1, 60000); /* more than the first read buffer takes */
	UNTIL(f.n_answers == 101);
	pm_uplink_close(u);
	UNTIL(f.n_closed == 1);
	assert_int_equal(f.why.code, PM_UNREACHABLE);
}

static void a_new_agent_enrols_once(void **state)
{
	struct pm_uplink *u;

	(void)state;
	f.verdict = PM_PEER_NEW;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1 && f.n_up2 == 1);
	assert_int_equal(f.n_enrol, 1);
	assert_int_equal(f.n_enrolled, 1);
	pm_link_close(f.last, &(struct pm_error){ PM_OK, "try again", "" });
	UNTIL(f.n_up2 == 2); /* the same uplink comes back, and does not enrol again */
	assert_int_equal(f.n_enrol, 1);
	pm_uplink_close(u);
}

static void a_revoked_agent_is_cut_off_and_kept_out(void **state)
{
	struct pm_uplink *u;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	f.verdict = PM_PEER_REFUSED;
	pm_link_close(f.last, &(struct pm_error){ PM_DENIED, "revoked", "" });
	UNTIL(f.n_trouble >= 3); /* it comes and is sent away without a word */
	assert_int_equal(f.n_up2, 1);
	assert_int_equal(f.trouble.code, PM_UNREACHABLE);
	f.verdict = PM_PEER_KNOWN;
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
}

/* A second session first, then the first one goes: the agent is never without. */
static void a_session_is_made_anew_without_a_gap(void **state)
{
	struct pm_uplink *u;
	struct pm_link *last = NULL;

	(void)state;
	f.renew_ms = 100;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	for (unsigned i = 1; i <= 5; i++) {
		UNTIL(f.n_up2 > i && f.n_closed2 >= i);
		assert_true(pm_link_is_up(pm_uplink_link(u)));
		assert_ptr_not_equal(pm_uplink_link(u), last);
		last = pm_uplink_link(u);
	}
	assert_int_equal(f.n_trouble, 0);
	assert_int_equal(f.why2.code, PM_OK);
	UNTIL(f.n_closed >= f.n_up - 2); /* the hub sees the old ones leave */
	pm_uplink_close(u);
}

/* Who never answers does not keep a session for ever. */
static void a_session_that_is_never_idle_is_made_anew_all_the_same(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	struct pm_uplink *u;

	(void)state;
	f.renew_ms = 400;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1 && f.n_up2 == 1);
	env.id = 1;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &(Pm__StatusRequest)PM__STATUS_REQUEST__INIT;
	assert_true(pm_link_send(f.last, &env)); /* nobody answers it */
	UNTIL(!pm_link_is_idle(pm_uplink_link(u)));
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
}

/* Whatever part of it is lost in the middle, there is a session again. */
static void a_session_that_is_made_anew_may_be_lost(void **state)
{
	struct pm_uplink *u;

	(void)state;
	f.renew_ms = 40;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 >= 2);
	f.verdict = PM_PEER_REFUSED; /* the fresh one does not come about, the old one stays */
	for (int i = 0; i < 200; i++)
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	f.verdict = PM_PEER_KNOWN;
	for (unsigned i = 0; i < 4; i++) { /* the waits get longer each time */
		unsigned n = f.n_up2;

		if (f.last != NULL)
			pm_link_close(f.last, &(struct pm_error){ PM_OK, "lost", "" });
		UNTIL(f.n_up2 > n);
	}
	assert_non_null(pm_uplink_link(u));
	pm_uplink_close(u);
}

static void an_agent_waits_for_its_coordinator_to_come(void **state)
{
	struct pm_uplink *u;

	(void)state;
	open_hub(); /* to find a port that is free */
	pm_hub_close(f.hub);
	f.hub = NULL;
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_trouble >= 2);
	assert_non_null(strstr(f.trouble.what, "refused"));
	open_hub();
	UNTIL(f.n_up2 == 1);
	pm_uplink_close(u);
}

static void names_and_second_addresses_are_tried(void **state)
{
	struct pm_uplink *u;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1:1", "localhost");
	UNTIL(f.n_up2 == 1);
	assert_int_equal(f.n_trouble, 1); /* the first one */
	pm_uplink_close(u);
	u = dial_to("no-such-name.invalid", "127.0.0.1");
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
	u = dial_to("localhost", NULL); /* closed while the name is looked up */
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	pm_uplink_close(u);
	u = dial_to("127.0.0.1", NULL); /* and while it is dialled */
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	pm_uplink_close(u);
}

static void the_wrong_coordinator_is_not_talked_to(void **state)
{
	struct pm_key *right = f.coordinator, *wrong;
	struct pm_uplink *u;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_key_create(&wrong, &err), 0);
	f.coordinator = wrong; /* a man in the middle listens with a key of his own */
	open_hub();
	f.coordinator = right;
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_trouble >= 2);
	assert_int_equal(f.n_up + f.n_up2, 0);
	pm_uplink_close(u);
	pm_hub_close(f.hub);
	f.hub = NULL;
	pm_key_destroy(wrong);
}

static void a_goodbye_sends_everybody_away(void **state)
{
	struct pm_uplink *u;
	struct pm_error err;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	pm_hub_goodbye(f.hub, "upgrade", 50);
	UNTIL(f.n_closed2 == 1 && f.n_closed == 1);
	assert_int_equal(f.n_bye, 1);
	assert_int_equal(f.why.code, PM_OK);
	assert_int_equal(pm_hub_listen(f.hub, loopback(f.port), NULL, &err), 0);
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
}

static void a_port_in_use_is_an_error_in_words(void **state)
{
	struct pm_error err;

	(void)state;
	open_hub();
	assert_int_equal(pm_hub_listen(f.hub, loopback(f.port), NULL, &err), -1);
	assert_int_equal(err.code, PM_EXISTS);
}

/* ---- strangers ---- */

static void the_silent_make_room_and_then_time_out(void **state)
{
	int fds[40];
	struct pm_hub_stats stats;
	struct pm_uplink *u;

	(void)state;
	f.config.gate.max = 16;
	f.config.gate.per_address = 12;
	f.config.link.handshake_ms = 2000;
	open_hub();
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		assert_true((fds[i] = raw_connect()) >= 0);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_accepted == PM_COUNT(fds)));
	assert_int_equal(stats.n_at_door, 12);
	assert_int_equal(stats.n_evicted, PM_COUNT(fds) - 12);
	UNTIL(is_closed(fds[0]) && is_closed(fds[27]));
	assert_false(is_closed(fds[39]));
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_at_door == 0)); /* the deadline */
	assert_int_equal(stats.n_links, 1);
	assert_int_equal(f.why.code, PM_DEADLINE);
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		(void)close(fds[i]);
	pm_uplink_close(u);
}

static void storms_of_fin_and_rst_leave_the_listener_alive(void **state)
{
	static const struct linger reset = { 1, 0 };
	struct pm_hub_stats stats;
	struct pm_uplink *u;

	(void)state;
	open_hub();
	for (unsigned i = 0; i < 300; i++) {
		int fd = raw_connect();

		assert_true(fd >= 0);
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
		if (i % 3 == 0)
			(void)send(fd, "\1\1junk", 6, MSG_NOSIGNAL);
		if (i % 2 == 0)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		else
			(void)shutdown(fd, SHUT_WR);
		(void)close(fd);
	}
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_links == 1));
	pm_uplink_close(u);
}

static void bytes_that_are_no_handshake_are_closed_at_once(void **state)
{
	static const char *const junk[] = { "GET / HTTP/1.1\r\n\r\n", "\1\11", "\1\1", "\3" };
	char byte;

	(void)state;
	open_hub();
	for (size_t i = 0; i < PM_COUNT(junk); i++) {
		int fd = raw_connect();

		UNTIL(send(fd, junk[i], strlen(junk[i]), MSG_NOSIGNAL) > 0);
		if (i == 2)
			(void)shutdown(fd, SHUT_WR); /* a good beginning, then the end */
		UNTIL(f.n_closed == i + 1);
		if (junk[i][0] != PM_HANDSHAKE_VERSION) { /* is told our version */
			UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) == 1);
			assert_int_equal(byte, PM_HANDSHAKE_VERSION);
		}
		UNTIL(is_closed(fd));
		(void)close(fd);
	}
}

static void handshakes_wait_their_turn(void **state)
{
	struct pm_uplink *us[8];
	struct pm_hub_stats stats;

	(void)state;
	f.config.gate.per_second = 4; /* four at once, then one in 250 ms */
	open_hub();
	for (size_t i = 0; i < PM_COUNT(us); i++)
		us[i] = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == PM_COUNT(us));
	pm_hub_stats(f.hub, &stats);
	assert_true(stats.n_delayed >= 1);
	assert_int_equal(stats.n_handshakes, PM_COUNT(us));
	for (size_t i = 0; i < PM_COUNT(us); i++)
		pm_uplink_close(us[i]);
}

static void too_many_who_enrol_at_once_are_sent_away(void **state)
{
	struct pm_uplink *u;

	(void)state;
	f.config.gate.enrolling = 1;
	f.verdict = PM_PEER_NEW;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1); /* and gives its place back */
	f.verdict = PM_PEER_NEW;
	pm_uplink_close(u);
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 2);
	pm_uplink_close(u);
}

static void over_the_limit_of_connections_the_next_is_closed(void **state)
{
	struct pm_hub_stats stats;
	int fds[6];

	(void)state;
	open_hub();
	pm_net_set_max(f.net, 4);
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		assert_true((fds[i] = raw_connect()) >= 0);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_refused == 2));
	assert_int_equal(stats.n_links, 4);
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		(void)close(fds[i]);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_links == 0));
}

/* Not even a descriptor to close with: it waits, and goes on when there are some. */
static void running_out_of_descriptors_passes(void **state)
{
	struct rlimit was, low;
	struct pm_uplink *u;
	int fds[200], client;
	size_t n = 0;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	client = raw_connect();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = PM_COUNT(fds);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < PM_COUNT(fds) && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	for (int i = 0; i < 50; i++)
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	pm_link_close(f.last, &(struct pm_error){ PM_OK, "again", "" });
	UNTIL(f.n_trouble >= 3 || f.n_up2 == 2);
	while (n > 0)
		(void)close(fds[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	UNTIL(f.n_up2 >= 2);
	(void)close(client);
	pm_uplink_close(u);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(an_agent_comes_and_asks),
		ONE(a_new_agent_enrols_once),
		ONE(a_revoked_agent_is_cut_off_and_kept_out),
		ONE(a_session_is_made_anew_without_a_gap),
		ONE(a_session_that_is_never_idle_is_made_anew_all_the_same),
		ONE(a_session_that_is_made_anew_may_be_lost),
		ONE(an_agent_waits_for_its_coordinator_to_come),
		ONE(names_and_second_addresses_are_tried),
		ONE(the_wrong_coordinator_is_not_talked_to),
		ONE(a_goodbye_sends_everybody_away),
		ONE(a_port_in_use_is_an_error_in_words),
		ONE(the_silent_make_room_and_then_time_out),
		ONE(storms_of_fin_and_rst_leave_the_listener_alive),
		ONE(bytes_that_are_no_handshake_are_closed_at_once),
		ONE(handshakes_wait_their_turn),
		ONE(too_many_who_enrol_at_once_are_sent_away),
		ONE(over_the_limit_of_connections_the_next_is_closed),
		ONE(running_out_of_descriptors_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
