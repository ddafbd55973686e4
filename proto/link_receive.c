/* What a link hears: records opened, envelopes sorted. */
#include "proto/link_priv.h"

#include <sodium.h>

void link_go_up(struct pm_link *l, uint64_t now_ms, const Pm__Welcome *welcome)
{
	l->state = LINK_UP;
	l->deadline_ms = 0;
	l->beat_ms = now_ms; /* the first heartbeat at once: it says how things stand */
	l->host->handlers->up(l->host->arg, l, welcome);
}

static bool queue_welcome(struct pm_link *l, Pm__Welcome *welcome)
{
	Pm__Envelope out = PM__ENVELOPE__INIT;
	char version[] = PM_VERSION;
	struct pm_error err;

	welcome->version = version;
	welcome->features = l->host->config.features;
	welcome->protocol = l->core.protocol;
	out.re = l->hello;
	out.body_case = PM__ENVELOPE__BODY_WELCOME;
	out.welcome = welcome;
	l->hello = 0;
	if (!link_queue(l, &out)) {
		(void)pm_fail(&err, PM_LIMIT, "a Welcome over a record");
		link_doom(l, &err);
	}
	return !l->doomed;
}

static void take_hello(struct pm_link *l, const Pm__Envelope *env, uint64_t now_ms)
{
	Pm__Welcome welcome = PM__WELCOME__INIT;
	struct pm_error err;
	int rc = pm_session_agree(&l->core, env->hello, &err);

	l->hello = env->id;
	l->features = env->hello->features;
	if (rc == 0)
		rc = l->host->handlers->hello(l->host->arg, l, env->hello, &welcome, &err);
	if (rc < 0)
		pm_link_refuse(l, env->id, &err);
	else if (rc == 0 && !l->doomed && queue_welcome(l, &welcome))
		link_go_up(l, now_ms, NULL);
}

void pm_link_welcome(struct pm_link *l, const Pm__Welcome *welcome, const struct pm_error *why)
{
	Pm__Welcome copy;

	if (l->state != LINK_GREETING || l->doomed || l->hello == 0)
		return; /* it took too long, or went away */
	if (welcome == NULL) {
		pm_link_refuse(l, l->hello, why);
		return;
	}
	copy = *welcome;
	l->welcomed = queue_welcome(l, &copy);
	link_poke(l);
}

static void take_enrol(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_error err;

	if (l->host->handlers->enrol != NULL) {
		l->host->handlers->enrol(l->host->arg, l, env->id, env->enrol);
		return;
	}
	(void)pm_fail(&err, PM_DENIED, "nobody can enrol here");
	pm_link_refuse(l, env->id, &err);
}

static void take_goodbye(struct pm_link *l, const Pm__Goodbye *bye)
{
	struct pm_error err;

	l->retry_after_ms = bye->retry_after_ms;
	(void)pm_fail(&err, PM_UNREACHABLE, "the other side left: %.128s", bye->reason);
	link_doom(l, &err);
}

/* An Error that is no answer is the end of the session, in words. */
static void take_last_words(struct pm_link *l, const Pm__Error *error)
{
	enum pm_code code = pm_code_from_wire(error->code);
	struct pm_error err;

	(void)pm_fail(&err, code == PM_OK ? PM_INTERNAL : code, "%.200s", error->what);
	pm_hint(&err, "%.127s", error->hint);
	link_doom(l, &err);
}

static void take_notice(struct pm_link *l, const Pm__Envelope *env)
{
	if (env->body_case == PM__ENVELOPE__BODY_GOODBYE)
		take_goodbye(l, env->goodbye);
	else if (env->body_case == PM__ENVELOPE__BODY_ERROR)
		take_last_words(l, env->error);
	else
		l->host->handlers->message(l->host->arg, l, env, PM_EVENT_NOTICE);
}

static void take_event(struct pm_link *l, const Pm__Envelope *env, const struct pm_event *ev,
                       uint64_t now_ms)
{
	struct pm_error err;

	switch (ev->kind) {
	case PM_EVENT_IGNORE:
		break;
	case PM_EVENT_HELLO:
		take_hello(l, env, now_ms);
		break;
	case PM_EVENT_WELCOME:
		l->features = env->welcome->features;
		link_go_up(l, now_ms, env->welcome);
		break;
	case PM_EVENT_ENROL:
		take_enrol(l, env);
		break;
	case PM_EVENT_ENROLLED:
		l->fresh = false;
		if (l->host->handlers->enrolled != NULL)
			l->host->handlers->enrolled(l->host->arg, l, env->enrolled);
		link_greet(l);
		break;
	case PM_EVENT_UNKNOWN:
		(void)pm_fail(&err, PM_UNSUPPORTED, "this side (%s) does not know that request",
		              PM_VERSION);
		pm_link_reply_error(l, env->id, &err);
		break;
	case PM_EVENT_NOTICE:
		take_notice(l, env);
		break;
	case PM_EVENT_ANSWER:
		if (!link_stream_refused(l, env))
			l->host->handlers->message(l->host->arg, l, env, PM_EVENT_ANSWER);
		break;
	case PM_EVENT_REQUEST:
		/* A push is answered only when it is refused. */
		l->n_asked += env->id != 0 && env->body_case != PM__ENVELOPE__BODY_SPEC_PUSH;
		l->host->handlers->message(l->host->arg, l, env, PM_EVENT_REQUEST);
		break;
	case PM_EVENT_STREAM_OPEN:
		link_stream_opened(l, env, ev->stream);
		break;
	case PM_EVENT_STREAM_DATA:
		link_stream_data(l, env);
		break;
	case PM_EVENT_STREAM_CREDIT:
		link_stream_credit(l, env);
		break;
	case PM_EVENT_STREAM_CLOSE:
		link_stream_ended(l, env->stream, env->stream_close->code, env->stream_close->what);
		break;
	}
}

/* The peer has shown that it holds its key: it is no replay, and worth more memory. */
static void proved(struct pm_link *l, uint64_t now_ms)
{
	l->state = LINK_GREETING;
	l->reader.max = LINK_SEALED_MAX;
	link_set_deadline(l, now_ms, l->host->config.greeting_ms);
}

void link_take_record(struct pm_link *l, const uint8_t *sealed, size_t n, uint64_t now_ms)
{
	struct pm_link_host *h = l->host;
	size_t max = l->fresh && !l->dialling ? PM_ARENA_ENROL_MAX : PM_ARENA_MAX;
	size_t len = n - PM_NOISE_TAG;
	struct pm_event ev;
	Pm__Envelope *env;
	struct pm_error err;
	int rc = pm_cipher_open(l->open, sealed, n, h->plain, &err);

	if (rc == 0 && pm_cipher_nonce(l->open) % LINK_REKEY_EVERY == 0)
		pm_cipher_rekey(l->open);
	if (rc == 0 && l->state == LINK_UNPROVED)
		proved(l, now_ms);
	if (rc == 0) {
		l->heard_ms = now_ms;
		rc = pm_decode_within(&h->arena, h->plain, len, max, &env, &err);
	}
	if (rc == 0)
		rc = pm_session_receive(&l->core, env, &ev, &err);
	if (rc == 0)
		take_event(l, env, &ev, now_ms);
	if (l->fresh)
		sodium_memzero(h->plain, len); /* a token's secret */
	pm_arena_reset(&h->arena);
	if (rc < 0)
		link_doom(l, &err);
}
