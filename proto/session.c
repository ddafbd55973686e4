#include "proto/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

void pm_session_init(struct pm_session *s, bool dialling)
{
	*s = (struct pm_session){ .dialling = dialling, .streams_max = PM_STREAMS_MAX };
}

void pm_session_finish(struct pm_session *s)
{
	free(s->streams);
	s->streams = NULL;
	s->n_slots = s->n_streams = 0;
}

uint64_t pm_session_next_id(struct pm_session *s)
{
	return ++s->last_id;
}

/* What a peer cannot do without, and this side does not know. */
static int check_required(char *const *names, size_t n, const char *who, struct pm_error *err)
{
	static const char *const known[] = { "generations", "rotation" };

	for (size_t i = 0; i < n; i++) {
		bool is_known = false;

		for (size_t k = 0; k < PM_COUNT(known); k++)
			is_known = is_known || strcmp(known[k], names[i]) == 0;
		if (is_known)
			continue;
		(void)pm_fail(err, PM_UNSUPPORTED,
		              "%.64s needs '%.64s', which this side (%s) does not have", who,
		              names[i], PM_VERSION);
		pm_hint(err, "upgrade this side");
		return -1;
	}
	return 0;
}

int pm_session_agree(struct pm_session *s, const Pm__Hello *hello, struct pm_error *err)
{
	uint32_t version = PM_MIN(hello->protocol_max, (uint32_t)PM_PROTOCOL_MAX);
	char who[64];

	if (version < PM_PROTOCOL_MIN || version < hello->protocol_min) {
		pm_fail(err, PM_UNSUPPORTED,
		        "%.32s %.32s speaks protocol %u to %u, this side (%s) %d to %d",
		        hello->program, hello->version, hello->protocol_min, hello->protocol_max,
		        PM_VERSION, PM_PROTOCOL_MIN, PM_PROTOCOL_MAX);
		pm_hint(err, "%s",
		        hello->protocol_min > PM_PROTOCOL_MAX
		                ? "upgrade this side: 'pmctl agent upgrade'"
		                : "upgrade the program that connects");
		return -1;
	}
	(void)snprintf(who, sizeof(who), "%.24s %.32s", hello->program, hello->version);
	if (check_required(hello->requires, hello->n_requires, who, err) < 0)
		return -1;
	s->protocol = version;
	s->greeted = true;
	return 0;
}

void pm_session_enrolled(struct pm_session *s)
{
	s->enrol = PM_ENROL_NONE;
}

bool pm_session_is_final(const Pm__Envelope *env)
{
	if (env->re == 0 || env->stream != 0)
		return false;
	if (env->body_case == PM__ENVELOPE__BODY_RESULT)
		return !env->result->more;
	if (env->body_case == PM__ENVELOPE__BODY_STATUS_LIST)
		return !env->status_list->more;
	return env->body_case == PM__ENVELOPE__BODY_ERROR ||
	       env->body_case == PM__ENVELOPE__BODY_KEY_TAKEN;
}

/* ---- the stream table ---- */

struct pm_stream *pm_session_stream(const struct pm_session *s, uint32_t id)
{
	for (unsigned i = 0; id != 0 && i < s->n_slots; i++)
		if (s->streams[i].id == id)
			return &s->streams[i];
	return NULL;
}

static struct pm_stream *free_slot(const struct pm_session *s)
{
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->streams[i].id == 0)
			return &s->streams[i];
	return NULL;
}

static int add_stream(struct pm_session *s, uint32_t id, struct pm_stream **out,
                      struct pm_error *err)
{
	struct pm_stream *slot = free_slot(s), *streams;
	unsigned n;

	if (s->n_streams >= s->streams_max)
		return pm_fail(err, PM_LIMIT, "%u streams are open in this session",
		               s->streams_max);
	if (slot == NULL) {
		n = s->n_slots == 0 ? 2 : s->n_slots * 2;
		streams = pm_realloc(s->streams, n * sizeof(*streams));
		if (streams == NULL)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		slot = streams + s->n_slots;
		memset(slot, 0, (n - s->n_slots) * sizeof(*streams));
		s->streams = streams;
		s->n_slots = n;
	}
	*slot = (struct pm_stream){ .id = id };
	s->n_streams++;
	*out = slot;
	return 0;
}

/* Credit that may still be given out: what was used and not given back yet counts as out. */
static uint32_t credit_left(const struct pm_session *s)
{
	uint64_t out = 0;

	if (s->credit_max == 0)
		return UINT32_MAX;
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->streams[i].id != 0)
			out += (uint64_t)s->streams[i].granted + s->streams[i].used;
	return out >= s->credit_max ? 0 : s->credit_max - (uint32_t)out;
}

int pm_session_open_stream(struct pm_session *s, uint32_t window, struct pm_stream **out,
                           struct pm_error *err)
{
	uint32_t id = s->last_ours != 0 ? s->last_ours + 2 : s->dialling ? 1 : 2;
	uint32_t left = credit_left(s);

	if (s->n_streams >= PM_STREAMS_MAX)
		window = PM_MIN(window, PM_STREAM_WINDOW_MIN);
	if (left < window && left < PM_STREAM_WINDOW_MIN)
		return pm_fail(err, PM_LIMIT, "the streams of this session have all its credit");
	if (id < s->last_ours)
		return pm_fail(err, PM_LIMIT, "this session has used up its stream numbers");
	if (add_stream(s, id, out, err) < 0)
		return -1;
	s->last_ours = id;
	(*out)->ours = true;
	(*out)->granted = PM_MIN(window, left);
	return 0;
}

void pm_session_close_stream(struct pm_session *s, uint32_t id)
{
	struct pm_stream *st = pm_session_stream(s, id);

	if (st == NULL)
		return;
	*st = (struct pm_stream){ 0 };
	s->n_streams--;
}

bool pm_stream_spend(struct pm_stream *st, size_t bytes)
{
	if (bytes > st->credit)
		return false;
	st->credit -= bytes;
	return true;
}

uint32_t pm_stream_refill(struct pm_stream *st)
{
	uint32_t bytes = st->used;

	if (st->by_hand || bytes < PM_STREAM_WINDOW_MIN / 2)
		return 0;
	if (bytes < PM_STREAM_WINDOW / 2 && st->granted >= PM_STREAM_WINDOW_MIN)
		return 0; /* of a large window half, of a small one as soon as it is needed */
	st->used = 0;
	st->granted += bytes;
	return bytes;
}

uint32_t pm_stream_grant(const struct pm_session *s, struct pm_stream *st, uint32_t bytes)
{
	uint32_t back = PM_MIN(bytes, st->used);

	st->used -= back;
	bytes = PM_MIN(bytes, credit_left(s));
	st->granted += bytes;
	return bytes;
}

size_t pm_stream_cost(const Pm__StreamData *data)
{
	return protobuf_c_message_get_packed_size(&data->base);
}

/* ---- receiving ---- */

/* Whether the id could be one of theirs (odd from the dialling side). */
static bool is_theirs(const struct pm_session *s, uint32_t id)
{
	return (id & 1) == (s->dialling ? 0 : 1);
}

static int receive_open(struct pm_session *s, const Pm__Envelope *env, struct pm_event *out,
                        struct pm_error *err)
{
	uint32_t credit = env->stream_open->credit;

	if (env->stream == 0 || !is_theirs(s, env->stream) || env->stream <= s->last_theirs)
		return pm_fail(err, PM_PROTOCOL, "stream %u may not be opened now", env->stream);
	if ((credit != 0 && credit < PM_STREAM_WINDOW_MIN) || credit > PM_STREAM_CREDIT_MAX)
		return pm_fail(err, PM_PROTOCOL, "stream %u opened with a credit of %u bytes",
		               env->stream, credit);
	s->last_theirs = env->stream;
	out->kind = PM_EVENT_STREAM_OPEN;
	if (s->n_streams >= s->streams_max)
		return 0; /* refused in words, which costs this stream only */
	if (add_stream(s, env->stream, &out->stream, err) < 0)
		return -1;
	out->stream->credit = credit;
	return 0;
}

static int receive_data(struct pm_stream *st, const Pm__StreamData *data, struct pm_error *err)
{
	size_t cost = pm_stream_cost(data);

	if (cost > st->granted)
		return pm_fail(err, PM_PROTOCOL,
		               "stream %u sent %zu bytes with a credit of %u left", st->id, cost,
		               st->granted);
	st->granted -= (uint32_t)cost;
	st->used += (uint32_t)cost;
	return 0;
}

static int receive_credit(struct pm_stream *st, const Pm__StreamCredit *credit,
                          struct pm_error *err)
{
	if (credit->bytes == 0 || st->credit + credit->bytes > PM_STREAM_CREDIT_MAX)
		return pm_fail(err, PM_PROTOCOL, "stream %u granted %u bytes on top of %llu",
		               st->id, credit->bytes, (unsigned long long)st->credit);
	st->credit += credit->bytes;
	return 0;
}

/* A word on a stream: late ones, after we closed it, are no fault of the peer's. */
static int receive_on_stream(struct pm_session *s, const Pm__Envelope *env, struct pm_event *out,
                             struct pm_error *err)
{
	uint32_t last = is_theirs(s, env->stream) ? s->last_theirs : s->last_ours;

	if (env->stream == 0 || env->stream > last)
		return pm_fail(err, PM_PROTOCOL, "stream %u was never opened", env->stream);
	out->stream = pm_session_stream(s, env->stream);
	if (out->stream == NULL)
		return 0;
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_DATA) {
		out->kind = PM_EVENT_STREAM_DATA;
		return receive_data(out->stream, env->stream_data, err);
	}
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_CREDIT) {
		out->kind = PM_EVENT_STREAM_CREDIT;
		return receive_credit(out->stream, env->stream_credit, err);
	}
	out->kind = PM_EVENT_STREAM_CLOSE;
	return 0;
}

/* Before Hello and Welcome went over, little else may be said. */
static int receive_first(struct pm_session *s, const Pm__Envelope *env, struct pm_event *out,
                         struct pm_error *err)
{
	if (s->enrol == PM_ENROL_FIRST &&
	    env->body_case ==
	            (s->dialling ? PM__ENVELOPE__BODY_ENROLLED : PM__ENVELOPE__BODY_ENROL)) {
		out->kind = s->dialling ? PM_EVENT_ENROLLED : PM_EVENT_ENROL;
		s->enrol = s->dialling ? PM_ENROL_NONE : PM_ENROL_ASKED;
		return 0;
	}
	if (!s->dialling && s->enrol != PM_ENROL_NONE)
		return pm_fail(err, PM_PROTOCOL, "%s from a key that is not known",
		               s->enrol == PM_ENROL_FIRST ? "no Enrol" : "more than Enrol");
	if (!s->dialling && env->body_case == PM__ENVELOPE__BODY_HELLO) {
		out->kind = PM_EVENT_HELLO;
		return 0;
	}
	if (s->dialling && s->enrol == PM_ENROL_NONE &&
	    env->body_case == PM__ENVELOPE__BODY_WELCOME) {
		if (env->welcome->protocol < PM_PROTOCOL_MIN ||
		    env->welcome->protocol > PM_PROTOCOL_MAX)
			return pm_fail(err, PM_UNSUPPORTED, "the other side chose protocol %u",
			               env->welcome->protocol);
		if (check_required(env->welcome->requires, env->welcome->n_requires,
		                   "the other side", err) < 0)
			return -1;
		s->protocol = env->welcome->protocol;
		s->greeted = true;
		out->kind = PM_EVENT_WELCOME;
		return 0;
	}
	if (s->dialling && (env->body_case == PM__ENVELOPE__BODY_ERROR ||
	                    env->body_case == PM__ENVELOPE__BODY_GOODBYE)) {
		out->kind = PM_EVENT_NOTICE;
		return 0;
	}
	return pm_fail(err, PM_PROTOCOL, "the first message is not %s",
	               s->dialling ? "Welcome" : "Hello");
}

static enum pm_event_kind plain_kind(const Pm__Envelope *env)
{
	switch ((int)env->body_case) { /* an int: the generated enum has a constant that is none */
	case PM__ENVELOPE__BODY__NOT_SET:
		return env->id != 0 ? PM_EVENT_UNKNOWN : PM_EVENT_IGNORE;
	case PM__ENVELOPE__BODY_COMMAND:
	case PM__ENVELOPE__BODY_SPEC_PUSH:
	case PM__ENVELOPE__BODY_STATUS_REQUEST:
	case PM__ENVELOPE__BODY_FORWARD:
	case PM__ENVELOPE__BODY_FLEET_REQUEST:
	case PM__ENVELOPE__BODY_KEY_OFFER:
		return PM_EVENT_REQUEST;
	case PM__ENVELOPE__BODY_RESULT:
	case PM__ENVELOPE__BODY_PROGRESS:
	case PM__ENVELOPE__BODY_STATUS_LIST:
	case PM__ENVELOPE__BODY_FORWARDED:
	case PM__ENVELOPE__BODY_FLEET_REPLY:
	case PM__ENVELOPE__BODY_KEY_TAKEN:
		return PM_EVENT_ANSWER;
	case PM__ENVELOPE__BODY_ERROR:
		return env->re != 0 ? PM_EVENT_ANSWER : PM_EVENT_NOTICE;
	default:
		return PM_EVENT_NOTICE; /* Goodbye, Heartbeat, UplinkState */
	}
}

int pm_session_receive(struct pm_session *s, const Pm__Envelope *env, struct pm_event *out,
                       struct pm_error *err)
{
	*out = (struct pm_event){ PM_EVENT_IGNORE, NULL };
	if (!s->greeted)
		return receive_first(s, env, out, err);
	if (env->body_case == PM__ENVELOPE__BODY_HELLO ||
	    env->body_case == PM__ENVELOPE__BODY_WELCOME)
		return pm_fail(err, PM_PROTOCOL, "a second %s", s->dialling ? "Welcome" : "Hello");
	if (env->body_case == PM__ENVELOPE__BODY_ENROL ||
	    env->body_case == PM__ENVELOPE__BODY_ENROLLED)
		return pm_fail(err, PM_PROTOCOL, "an enrolment in the middle of a session");
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN)
		return receive_open(s, env, out, err);
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_DATA ||
	    env->body_case == PM__ENVELOPE__BODY_STREAM_CREDIT ||
	    env->body_case == PM__ENVELOPE__BODY_STREAM_CLOSE)
		return receive_on_stream(s, env, out, err);
	out->kind = plain_kind(env);
	return 0;
}
