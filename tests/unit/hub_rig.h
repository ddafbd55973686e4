/* hub_rig.h - a hub and an uplink in one loop, over real connections. */
#ifndef PM_TESTS_UNIT_HUB_RIG_H
#define PM_TESTS_UNIT_HUB_RIG_H

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
	const uint8_t *let_in; /* the one key that gets the verdict; NULL: any */
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

static inline enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role,
                                      const uint8_t *key)
{
	struct sockaddr_storage at;

	(void)arg;
	(void)role;
	assert_true(pm_hub_peer(l, &at));
	assert_int_equal(at.ss_family, AF_INET);
	if (f.let_in != NULL && !pm_key_same(key, f.let_in))
		return PM_PEER_REFUSED;
	return f.verdict;
}

static inline int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello,
                           Pm__Welcome *welcome, struct pm_error *err)
{
	(void)arg;
	(void)l;
	(void)hello;
	(void)welcome;
	(void)err;
	return 0;
}

static inline void on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	Pm__Enrolled out = PM__ENROLLED__INIT;

	(void)arg;
	(void)enrol;
	f.n_enrol++;
	f.verdict = PM_PEER_KNOWN;
	pm_link_enrolled(l, id, &out);
}

static inline void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	assert_null(welcome);
	f.n_up++;
	f.last = l;
}

static inline void send_result(struct pm_link *l, uint64_t re, size_t len)
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

static inline void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                              enum pm_event_kind kind)
{
	(void)arg;
	if (kind != PM_EVENT_REQUEST)
		return;
	f.n_requests++;
	if (f.answer)
		send_result(l, env->id, 5);
}

static inline void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
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

static inline void on_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	static uint8_t bytes[32];

	(void)arg;
	(void)l;
	enrol->token_id = (ProtobufCBinaryData){ 8, bytes };
	enrol->secret = (ProtobufCBinaryData){ 32, bytes };
}

static inline void on_enrolled(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled)
{
	(void)arg;
	(void)l;
	(void)enrolled;
	f.n_enrolled++;
}

static inline void on_up2(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)l;
	assert_non_null(welcome);
	f.n_up2++;
}

static inline void on_message2(void *arg, struct pm_link *l, const Pm__Envelope *env,
                               enum pm_event_kind kind)
{
	(void)arg;
	(void)l;
	(void)env;
	f.n_answers += kind == PM_EVENT_ANSWER;
}

static inline void on_closed2(void *arg, struct pm_link *l, const struct pm_error *why,
                              uint32_t retry_after_ms)
{
	(void)arg;
	(void)l;
	f.n_closed2++;
	f.why2 = *why;
	f.n_bye += retry_after_ms != 0;
}

static inline void on_trouble(void *arg, const struct pm_error *why, uint64_t wait_ms)
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

/* Ticks, so that what the loop does not see is looked at again. */
/* ---- the rig ---- */

static inline void on_guard(uv_timer_t *timer)
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

static inline const struct sockaddr *loopback(uint16_t port)
{
	static struct sockaddr_in in;

	in.sin_family = AF_INET;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(port);
	return (const struct sockaddr *)&in;
}

static inline void open_hub(void)
{
	struct pm_error err;

	f.config.link.key = f.coordinator;
	assert_int_equal(
		pm_hub_create(f.net, &f.loop, &f.config, &hub_handlers, NULL, &f.hub, &err), 0);
	assert_int_equal(pm_hub_listen(f.hub, loopback(f.port), &f.port, &err), 0);
	assert_int_not_equal(f.port, 0);
}

static inline struct pm_uplink *dial_to(const char *first, const char *second)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

#endif
