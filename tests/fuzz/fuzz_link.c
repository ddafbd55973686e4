/* fuzz_link.c - any bytes in any state of a session, in either role: no crash, nothing left.
 *
 * The first byte chooses the state that the victim is brought to by a real peer:
 *
 *   0, 1   before the first frame, listening and dialling: the bytes are what comes
 *   2, 3   after the handshake, listening and dialling: bytes where records are due
 *   4 to 9 sealed by the real peer: unproved, enrolling, up, with streams, leaving; both roles
 *
 * In the sealed states the input is cut into records, each after its two bytes of length, so that
 * the fuzzer speaks to what is behind the cipher.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/link_priv.h"
#include "proto/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	BARE_LISTENING,
	BARE_DIALLING,
	OPEN_LISTENING,
	OPEN_DIALLING,
	SEALED_UNPROVED,
	SEALED_ENROLLING,
	SEALED_UP,
	SEALED_UP_DIALLING,
	SEALED_STREAMS,
	SEALED_LEAVING,
	N_STATES
};

static struct pm_link_host *hosts[2];
static struct pm_key *keys[2];
static enum pm_verdict verdict;
static unsigned n_streams;
static uint64_t now_ms;

static enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role, const uint8_t *key)
{
	(void)arg;
	(void)l;
	(void)role;
	(void)key;
	return verdict;
}

static int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                    struct pm_error *err)
{
	(void)arg;
	(void)l;
	(void)welcome;
	return strcmp(hello->program, "no") == 0 ? pm_fail(err, PM_DENIED, "no") : 0;
}

static void on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	Pm__Enrolled out = PM__ENROLLED__INIT;
	struct pm_error err;

	(void)arg;
	if (enrol->name[0] == 'n') {
		(void)pm_fail(&err, PM_DENIED, "no");
		pm_link_refuse(l, id, &err);
	} else if (enrol->name[0] != 'l') {
		pm_link_enrolled(l, id, &out);
	}
}

static void on_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	static uint8_t bytes[32];

	(void)arg;
	(void)l;
	enrol->token_id = (ProtobufCBinaryData){ 8, bytes };
	enrol->secret = (ProtobufCBinaryData){ 32, bytes };
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)l;
	(void)welcome;
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	struct pm_error err;

	(void)arg;
	(void)pm_fail(&err, PM_NOT_FOUND, "nothing");
	if (kind == PM_EVENT_REQUEST)
		pm_link_reply_error(l, env->id, &err);
	if (env->body_case == PM__ENVELOPE__BODY_COMMAND && env->command->force)
		pm_link_goodbye(l, "told to", 1);
}

static void send_some(struct pm_link_stream *st)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__Gap gap = PM__GAP__INIT;
	static char why[3000];

	memset(why, 'w', sizeof(why) - 1);
	gap.why = why;
	data.what_case = PM__STREAM_DATA__WHAT_GAP;
	data.gap = &gap;
	for (int i = 0; i < 64; i++)
		if (pm_link_stream_send(st, &data) != PM_LINK_SENT)
			return;
	n_streams--;
	pm_link_stream_close(st, PM_OK, "enough");
}

static int on_stream_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                          struct pm_error *err)
{
	(void)arg;
	if (open->what_case == PM__STREAM_OPEN__WHAT__NOT_SET)
		return pm_fail(err, PM_UNSUPPORTED, "a stream of nothing");
	n_streams++;
	if (open->what_case == PM__STREAM_OPEN__WHAT_LOGS)
		send_some(st);
	else
		(void)pm_link_stream_grant(st, PM_STREAM_WINDOW);
	return 0;
}

static void on_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	(void)arg;
	if (data->what_case == PM__STREAM_DATA__WHAT_EVENT) {
		n_streams--;
		pm_link_stream_close(st, PM_FAILED, data->event->event);
	}
}

static void on_stream_ready(void *arg, struct pm_link_stream *st)
{
	(void)arg;
	send_some(st);
}

static void on_stream_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	(void)arg;
	(void)st;
	(void)why;
	n_streams--;
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	(void)arg;
	(void)l;
	(void)retry_after_ms;
	if (strlen(why->what) >= sizeof(why->what))
		abort();
}

static const struct pm_link_handlers handlers = {
	.peer = on_peer,
	.hello = on_hello,
	.enrol = on_enrol,
	.ask = on_ask,
	.up = on_up,
	.message = on_message,
	.stream_open = on_stream_open,
	.stream_data = on_stream_data,
	.stream_ready = on_stream_ready,
	.stream_closed = on_stream_closed,
	.closed = on_closed,
};

static void start(void)
{
	struct pm_error err;

	for (unsigned i = 0; i < 2; i++) {
		struct pm_link_config c = { .role = PM_ROLE_AGENT, .program = "fuzz" };

		if (pm_key_create(&keys[i], &err) < 0)
			abort();
		c.key = keys[i];
		if (pm_link_host_create(&c, &handlers, NULL, &hosts[i], &err) < 0)
			abort();
		pm_link_host_set_open(hosts[i]);
	}
}

static bool carry(struct pm_link *from, struct pm_link *to)
{
	const uint8_t *bytes;
	size_t len;

	if (!pm_link_work(from, now_ms) || !pm_link_output(from, &bytes, &len, now_ms))
		return false;
	(void)pm_link_input(to, bytes, len, now_ms);
	(void)pm_link_written(from, now_ms);
	return true;
}

/* Everything that the victim says goes nowhere, as far as it says something. */
static void listen_to(struct pm_link *victim)
{
	const uint8_t *bytes;
	size_t len;

	for (int i = 0; i < 100 && pm_link_output(victim, &bytes, &len, now_ms); i++)
		if (!pm_link_written(victim, now_ms))
			return;
}

static void feed(struct pm_link *victim, const uint8_t *data, size_t size)
{
	(void)pm_link_input(victim, data, size, now_ms);
	listen_to(victim);
}

static void say_nothing(struct pm_link *l)
{
	pm_buf_finish(&l->control);
	l->control_at = 0;
	l->n_control = 0;
}

/* The input as records of the real peer. */
static void feed_sealed(struct pm_link *victim, struct pm_link *peer, const uint8_t *data,
                        size_t size)
{
	static uint8_t sealed[2 + LINK_SEALED_MAX];
	struct pm_error err;

	while (size >= 2) {
		size_t len =
			PM_MIN((size_t)data[0] << 8 | data[1], PM_MIN(size - 2, PM_RECORD_MAX));

		data += 2;
		size -= 2;
		if (len == 0)
			continue;
		pm_buf_reset(&peer->batch);
		if (link_seal(peer, data, len, &err) < 0)
			abort();
		memcpy(sealed, peer->batch.bytes, peer->batch.len);
		if (!pm_link_input(victim, sealed, peer->batch.len, now_ms))
			return;
		listen_to(victim);
		now_ms += 700;
		if (!pm_link_work(victim, now_ms))
			return;
		data += len;
		size -= len;
	}
}

static void open_stream(struct pm_link *l)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__EventQuery events = PM__EVENT_QUERY__INIT;
	struct pm_link_stream *st;
	struct pm_error err;

	open.what_case = PM__STREAM_OPEN__WHAT_EVENTS;
	open.events = &events;
	if (pm_link_stream_open(l, &open, NULL, &st, &err) < 0)
		abort();
	n_streams++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_link *dialler, *listener, *victim, *peer;
	struct pm_error err;
	unsigned state;

	if (size < 1)
		return 0;
	if (hosts[0] == NULL)
		start();
	now_ms = 1000;
	state = data[0] % N_STATES;
	verdict = state == SEALED_ENROLLING ? PM_PEER_NEW : PM_PEER_KNOWN;
	if (pm_link_create(hosts[0], pm_key_public(keys[1]), false, now_ms, &dialler, &err) < 0 ||
	    pm_link_create(hosts[1], NULL, false, now_ms, &listener, &err) < 0)
		abort();
	victim = state == BARE_DIALLING || state == OPEN_DIALLING || state == SEALED_UP_DIALLING
	                 ? dialler
	                 : listener;
	peer = victim == dialler ? listener : dialler;
	if (state > BARE_DIALLING) {
		(void)carry(dialler, listener);
		(void)carry(listener, dialler);
		if (state >= SEALED_UP)
			while (carry(dialler, listener) || carry(listener, dialler))
				;
		else
			say_nothing(dialler); /* but what the input says */
	} else {
		listen_to(victim);
	}
	if (state == SEALED_STREAMS)
		for (unsigned i = 0; i < 3; i++)
			open_stream(victim);
	if (state == SEALED_LEAVING)
		pm_link_goodbye(victim, "bye", 0);
	listen_to(victim);
	if (state <= OPEN_DIALLING)
		feed(victim, data + 1, size - 1);
	else
		feed_sealed(victim, peer, data + 1, size - 1);
	(void)pm_link_work(victim, now_ms + 31000);
	pm_link_destroy(dialler);
	pm_link_destroy(listener);
	if (n_streams != 0)
		abort();
	return 0;
}
