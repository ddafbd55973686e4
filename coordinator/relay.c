#include "coordinator/relay.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/log.h"

struct relay {
	struct pm_link_stream *operator, * agent; /* NULL: closed */
	/* What the operator's link had no room for at that moment, from held_at on: each with its
	 * length.  The agent's credit is the operator's, so it is no more than a window. */
	struct pm_buf held;
	size_t held_at;
	bool ended; /* the agent's end is closed; the operator's follows when nothing is held */
	struct pm_error why;
};

static struct pm_link_stream *other(const struct relay *r, const struct pm_link_stream *st)
{
	return st == r->operator? r->agent : r->operator;
}

static void relay_free(struct relay *r)
{
	pm_buf_finish(&r->held);
	free(r);
}

int relay_open(struct pm_link_stream *operator, struct pm_link * agent, const Pm__StreamOpen *open,
               Pm__Actor *actor, struct pm_error *err)
{
	struct relay *r = pm_calloc(1, sizeof(*r));
	Pm__StreamOpen out = *open;
	static char none[] = "";

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "relay a stream");
	r->held.max = PM_STREAM_CREDIT_MAX;
	out.agent = none;
	out.actor = actor;
	if (pm_link_stream_open(agent, &out, r, &r->agent, err) < 0) {
		free(r);
		return -1;
	}
	/* From here on the agent may send what the operator lets it, and no more: the window that
	 * comes with the opening is as large as his. */
	pm_link_stream_by_hand(r->agent);
	r->operator= operator;
	pm_link_stream_set_user(operator, r);
	return 0;
}

/* End both, as neither can go on without the other. */
static void give_up(struct relay *r, enum pm_code code, const char *what)
{
	if (r->operator!= NULL)
		pm_link_stream_close(r->operator, code, what);
	if (r->agent != NULL)
		pm_link_stream_close(r->agent, code, what);
	relay_free(r);
}

static bool hold(struct relay *r, const Pm__StreamData *data)
{
	uint32_t len = (uint32_t)pm__stream_data__get_packed_size(data);
	uint8_t *to;

	/* The credit that is out bounds it; a peer that does not keep to that is met here. */
	if (r->held.len - r->held_at + len > PM_STREAM_WINDOW + PM_RECORD_MAX)
		return false;
	pm_buf_drop(&r->held, r->held_at);
	r->held_at = 0;
	pm_buf_add(&r->held, &len, sizeof(len));
	to = pm_buf_extend(&r->held, len);
	if (to == NULL)
		return false;
	(void)pm__stream_data__pack(data, to);
	return true;
}

void relay_data(struct pm_link_stream *st, const Pm__StreamData *data)
{
	struct relay *r = pm_link_stream_user(st);
	struct pm_link_stream *to = other(r, st);

	if (st != r->agent || to == NULL)
		return; /* operators have nothing to say on a stream of logs */
	if (r->held.len == 0 && pm_link_stream_send(to, data) == PM_LINK_SENT)
		return;
	if (hold(r, data))
		return;
	pm_log(PM_LOG_WARN, "relay.overrun", "an agent sent more than the operator takes");
	give_up(r, PM_PROTOCOL, "the agent sent more than it may");
}

/* The next of those held.  false: there was no room, or no memory */
static bool send_held(struct relay *r)
{
	PM_CLEANUP(pm_arena_finish) struct pm_arena arena = { 0 };
	const uint8_t *at = (const uint8_t *)r->held.bytes + r->held_at;
	ProtobufCMessage *message;
	struct pm_error err;
	uint32_t len;

	memcpy(&len, at, sizeof(len));
	if (pm_decode_message(&arena, &pm__stream_data__descriptor, at + sizeof(len), len,
	                      PM_ARENA_MAX, &message, &err) < 0)
		return false; /* again when there is memory */
	if (pm_link_stream_send(r->operator,(const Pm__StreamData *) message) != PM_LINK_SENT)
		return false;
	r->held_at += sizeof(len) + len;
	return true;
}

void relay_ready(struct pm_link_stream *st)
{
	struct relay *r = pm_link_stream_user(st);

	if (r == NULL || st != r->operator)
		return;
	while (r->held_at < r->held.len)
		if (!send_held(r))
			return;
	pm_buf_reset(&r->held);
	r->held_at = 0;
	if (r->ended)
		give_up(r, r->why.code, r->why.what);
}

void relay_credit(struct pm_link_stream *st, uint32_t bytes)
{
	struct relay *r = pm_link_stream_user(st);

	if (st == r->operator&& r->agent != NULL)
		(void)pm_link_stream_grant(r->agent, bytes);
}

void relay_closed(struct pm_link_stream *st, const struct pm_error *why)
{
	struct relay *r = pm_link_stream_user(st);
	bool by_agent;

	if (r == NULL)
		return; /* it never had another end */
	by_agent = st == r->agent;
	if (by_agent)
		r->agent = NULL;
	else
		r->operator= NULL;
	if (by_agent && r->operator!= NULL && r->held.len> 0) {
		r->ended = true; /* its last lines go first */
		r->why = *why;
		return;
	}
	give_up(r, why->code, why->what);
}
