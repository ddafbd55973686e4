/* link_rig.h - two links mouth to mouth, with handlers that write down what they saw. */
#ifndef PM_TESTS_LINK_RIG_H
#define PM_TESTS_LINK_RIG_H

#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>

#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/link.h"
#include "proto/secret.h"

/* One end: the owner's host, its one link, and what it saw and is told to do. */
struct end {
	struct pm_link_host *host;
	struct pm_link *link;
	struct pm_key *key;
	/* told */
	enum pm_verdict verdict;
	char **requires;
	size_t n_requires;
	bool is_newer; /* greets as a later version might */
	bool refuse_hello, hello_later, enrol_later, refuse_enrol, serve, close_in_message,
		facts_too_long;
	unsigned to_send; /* records of stream data still to be sent */
	size_t data_bytes;
	/* seen */
	unsigned n_up, n_closed, n_requests, n_answers, n_notices, n_room, n_greeted, n_enrol;
	unsigned n_enrolled, n_suspect, n_trusted, n_poked, n_data, n_ready, n_stream_closed;
	unsigned n_streams, n_credit;
	uint64_t n_data_bytes, enrol_id, last_re;
	uint32_t retry_after_ms;
	enum pm_role role;
	char program[32], name[64];
	struct pm_error why, stream_why;
	struct pm_link_stream *stream;
};

static struct end a, b; /* a dials b */
static uint64_t now_ms = 1000000;

static inline enum pm_verdict rig_peer(void *arg, struct pm_link *l, enum pm_role role,
                                       const uint8_t *key)
{
	struct end *e = arg;

	(void)l;
	e->role = role;
	assert_memory_equal(key, pm_key_public(a.key), PM_KEY_BYTES);
	return e->verdict;
}

static inline int rig_hello(void *arg, struct pm_link *l, const Pm__Hello *hello,
                            Pm__Welcome *welcome, struct pm_error *err)
{
	struct end *e = arg;
	static char home[] = "coordinator";

	(void)l;
	(void)snprintf(e->program, sizeof(e->program), "%s", hello->program);
	welcome->home = home;
	welcome->requires = e->requires;
	welcome->n_requires = e->n_requires;
	if (!e->refuse_hello)
		return e->hello_later;
	(void)pm_fail(err, PM_DENIED, "this agent is drained");
	pm_hint(err, "ask an admin");
	return -1;
}

static inline void rig_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	struct end *e = arg;
	Pm__Enrolled out = PM__ENROLLED__INIT;
	static char agent_id[] = "agent-1";
	struct pm_error err;

	e->n_enrol++;
	e->enrol_id = id;
	(void)snprintf(e->name, sizeof(e->name), "%s", enrol->name);
	out.id = agent_id;
	if (e->refuse_enrol) {
		(void)pm_fail(&err, PM_DENIED, "that token was used before");
		pm_link_refuse(l, id, &err);
	} else if (!e->enrol_later) {
		pm_link_enrolled(l, id, &out);
	}
}

static inline void rig_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	static uint8_t bytes[32];
	static char name[] = "web01";

	(void)arg;
	(void)l;
	enrol->token_id = (ProtobufCBinaryData){ 8, bytes };
	enrol->secret = (ProtobufCBinaryData){ 32, bytes };
	enrol->name = name;
}

/* A field that this version does not know. */
static uint8_t rig_unknown_bytes[] = { 3, 'n', 'e', 'w' };
static ProtobufCMessageUnknownField rig_unknown = { .tag = 900,
	                                            .wire_type =
	                                                    PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
	                                            .len = sizeof(rig_unknown_bytes),
	                                            .data = rig_unknown_bytes };

static inline void rig_greet(void *arg, struct pm_link *l, Pm__Hello *hello)
{
	const struct end *e = arg;
	static char text[1200];

	(void)l;
	memset(text, 'x', sizeof(text) - 1);
	if (e->facts_too_long)
		hello->program = text;
	hello->requires = e->requires;
	hello->n_requires = e->n_requires;
	if (!e->is_newer)
		return;
	hello->protocol_max = PM_PROTOCOL_MAX + 1;
	hello->features = ~UINT64_C(0);
	hello->base.n_unknown_fields = 1;
	hello->base.unknown_fields = &rig_unknown;
}

static inline void rig_greeted(void *arg, struct pm_link *l)
{
	struct end *e = arg;

	(void)l;
	e->n_greeted++;
}

static inline void rig_enrolled(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled)
{
	struct end *e = arg;

	(void)l;
	e->n_enrolled++;
	(void)snprintf(e->name, sizeof(e->name), "%s", enrolled->id);
}

static inline void rig_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	struct end *e = arg;

	assert_true(pm_link_is_up(l));
	assert_int_equal(welcome == NULL, e == &b);
	e->n_up++;
}

static inline void rig_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                               enum pm_event_kind kind)
{
	struct end *e = arg;
	struct pm_error why;

	e->last_re = env->re;
	e->n_requests += kind == PM_EVENT_REQUEST;
	e->n_answers += kind == PM_EVENT_ANSWER;
	e->n_notices += kind == PM_EVENT_NOTICE;
	if (e->close_in_message) {
		(void)pm_fail(&why, PM_DENIED, "revoked");
		pm_link_close(l, &why);
	}
}

static inline void rig_suspect(void *arg, struct pm_link *l, bool suspected)
{
	struct end *e = arg;

	(void)l;
	e->n_suspect += suspected;
	e->n_trusted += !suspected;
}

static inline void rig_room(void *arg, struct pm_link *l)
{
	struct end *e = arg;

	(void)l;
	e->n_room++;
}

static inline enum pm_link_sent rig_send_data(struct end *e, struct pm_link_stream *st)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;
	Pm__LogLine line = PM__LOG_LINE__INIT, *lines[] = { &line };
	static uint8_t bytes[70000];
	enum pm_link_sent sent = PM_LINK_SENT;

	line.text = (ProtobufCBinaryData){ e->data_bytes, bytes };
	batch.lines = lines;
	batch.n_lines = 1;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	while (e->to_send > 0 && (sent = pm_link_stream_send(st, &data)) == PM_LINK_SENT)
		e->to_send--;
	return sent;
}

static inline int rig_stream_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                                  struct pm_error *err)
{
	struct end *e = arg;

	assert_true(open->credit != 0);
	if (!e->serve)
		return pm_fail(err, PM_NOT_FOUND, "no such app");
	e->n_streams++;
	e->stream = st;
	pm_link_stream_set_user(st, e);
	(void)rig_send_data(e, st);
	return 0;
}

static inline void rig_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	struct end *e = arg;

	(void)st;
	e->n_data++;
	if (data->what_case == PM__STREAM_DATA__WHAT_LINES)
		e->n_data_bytes += data->lines->lines[0]->text.len;
}

static inline void rig_stream_ready(void *arg, struct pm_link_stream *st)
{
	struct end *e = arg;

	e->n_ready++;
	(void)rig_send_data(e, st);
}

static inline void rig_stream_credit(void *arg, struct pm_link_stream *st, uint32_t bytes)
{
	struct end *e = arg;

	(void)st;
	assert_true(bytes > 0);
	e->n_credit++;
}

static inline void rig_stream_closed(void *arg, struct pm_link_stream *st,
                                     const struct pm_error *why)
{
	struct end *e = arg;

	(void)st;
	e->n_stream_closed++;
	e->stream_why = *why;
	e->stream = NULL;
}

static inline void rig_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                              uint32_t retry_after_ms)
{
	struct end *e = arg;

	assert_ptr_equal(l, e->link);
	e->n_closed++;
	e->why = *why;
	e->retry_after_ms = retry_after_ms;
}

static const struct pm_link_handlers rig_handlers = {
	.peer = rig_peer,
	.hello = rig_hello,
	.enrol = rig_enrol,
	.greet = rig_greet,
	.greeted = rig_greeted,
	.ask = rig_ask,
	.enrolled = rig_enrolled,
	.up = rig_up,
	.message = rig_message,
	.suspect = rig_suspect,
	.room = rig_room,
	.stream_open = rig_stream_open,
	.stream_data = rig_stream_data,
	.stream_ready = rig_stream_ready,
	.stream_credit = rig_stream_credit,
	.stream_closed = rig_stream_closed,
	.closed = rig_closed,
};

static inline void rig_poke(void *arg, struct pm_link *l)
{
	struct end *e = arg;

	(void)l;
	e->n_poked++;
}

static inline void rig_host(struct end *e, uint8_t key, enum pm_role role, uint64_t features)
{
	struct pm_link_config c = { .role = role, .program = "agent", .features = features };
	uint8_t secret[PM_KEY_BYTES];
	struct pm_error err;

	memset(e, 0, sizeof(*e));
	memset(secret, key, sizeof(secret));
	e->verdict = PM_PEER_KNOWN;
	assert_int_equal(pm_key_from_secret(secret, &e->key, &err), 0);
	c.key = e->key;
	assert_int_equal(pm_link_host_create(&c, &rig_handlers, e, &e->host, &err), 0);
	pm_link_host_set_open(e->host);
}

static inline void rig_link(bool enrol)
{
	struct pm_error err;

	assert_int_equal(pm_link_create(a.host, pm_key_public(b.key), enrol, now_ms, &a.link, &err),
	                 0);
	assert_int_equal(pm_link_create(b.host, NULL, false, now_ms, &b.link, &err), 0);
	pm_link_set_carrier(a.link, rig_poke, &a);
	pm_link_set_carrier(b.link, rig_poke, &b);
}

static inline int rig_setup(void **state)
{
	(void)state;
	rig_host(&a, 0xa1, PM_ROLE_AGENT, 0xff);
	rig_host(&b, 0xb2, PM_ROLE_NONE, 0x1f0);
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct end *ends[] = { &a, &b };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		pm_link_destroy(ends[i]->link);
		pm_link_host_destroy(ends[i]->host);
		pm_key_destroy(ends[i]->key);
	}
	assert_int_equal(pm_secret_pages(), 0);
	return 0;
}

/* Take what one end has to write, as its carrier does.  0: nothing, or it is over. */
static inline size_t rig_take(struct end *from, uint8_t *out, size_t room)
{
	const uint8_t *bytes;
	size_t len;

	if (!pm_link_work(from->link, now_ms) || !pm_link_output(from->link, &bytes, &len, now_ms))
		return 0;
	assert_in_range(len, 1, room);
	memcpy(out, bytes, len);
	(void)pm_link_written(from->link, now_ms);
	return len;
}

static uint8_t rig_bytes[3 * PM_RECORD_MAX];

/* Move bytes, `step` at a time, until neither has any or one is over. */
static inline void rig_pump(size_t step)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (unsigned side = 0; side < 2; side++) {
			struct end *from = side == 0 ? &a : &b, *to = side == 0 ? &b : &a;
			size_t len = rig_take(from, rig_bytes, sizeof(rig_bytes));

			for (size_t at = 0; at < len; at += step)
				if (!pm_link_input(to->link, rig_bytes + at, PM_MIN(step, len - at),
				                   now_ms))
					break;
			moved |= len > 0;
		}
	}
}

/* Two ends whose session is up. */
static inline void rig_meet(void)
{
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_true(pm_link_is_up(a.link));
	assert_true(pm_link_is_up(b.link));
}

static inline bool send_request(struct end *e)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;

	env.id = pm_link_next_id(e->link);
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	return pm_link_send(e->link, &env);
}

#endif
