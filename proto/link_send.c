/* What a link says: sealing, the control queue, greetings and farewells. */
#include "proto/link_priv.h"

#include <stdio.h>
#include <string.h>

int link_seal(struct pm_link *l, const uint8_t *plain, size_t len, struct pm_error *err)
{
	size_t sealed = len + PM_NOISE_TAG;
	uint8_t *out = pm_buf_extend(&l->batch, PM_RECORD_HEAD + sealed);

	if (out == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	out[0] = (uint8_t)(sealed >> 8);
	out[1] = (uint8_t)sealed;
	if (pm_cipher_seal(l->seal, plain, len, out + PM_RECORD_HEAD, err) < 0)
		return -1;
	if (pm_cipher_nonce(l->seal) % LINK_REKEY_EVERY == 0)
		pm_cipher_rekey(l->seal);
	return 0;
}

size_t pm_link_queued(const struct pm_link *l)
{
	return l->control.len - l->control_at;
}

void pm_link_want_room(struct pm_link *l)
{
	l->wants_room = true;
	link_poke(l);
}

uint64_t pm_link_next_id(struct pm_link *l)
{
	return pm_session_next_id(&l->core);
}

/* After something was added to the queue. */
static void queued(struct pm_link *l)
{
	struct pm_error err;

	l->n_control++;
	if (l->control.failed) {
		(void)pm_fail(&err, PM_NO_MEMORY, "out of memory");
		link_doom(l, &err);
	} else if (pm_link_queued(l) > PM_SEND_QUEUE_MAX || l->n_control > PM_LINK_MESSAGES_MAX) {
		(void)pm_fail(&err, PM_LIMIT,
		              "the other side does not read: %u messages of %zu bytes wait",
		              l->n_control, pm_link_queued(l));
		link_doom(l, &err);
	} else {
		link_poke(l);
	}
}

bool link_queue(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_error err;

	if (l->doomed || l->state == LINK_OVER || l->state == LINK_LEAVING)
		return true;
	if (pm_encode(env, &l->control, &err) == 0) {
		if (pm_session_is_final(env) && l->n_asked > 0)
			l->n_asked--;
		queued(l);
		return true;
	}
	if (err.code == PM_LIMIT)
		return false;
	link_doom(l, &err); /* a message is lost, so must be the session */
	return true;
}

bool pm_link_send(struct pm_link *l, const Pm__Envelope *env)
{
	return (link_may_send(l) || !pm_link_is_open(l)) && link_queue(l, env);
}

bool pm_link_send_packed(struct pm_link *l, const uint8_t *record, size_t len)
{
	if (!pm_link_is_open(l))
		return true;
	if (!link_may_send(l) || len <= PM_RECORD_HEAD ||
	    len - PM_RECORD_HEAD != ((size_t)record[0] << 8 | record[1]))
		return false;
	pm_buf_add(&l->control, record, len);
	queued(l);
	return true;
}

void link_queue_error(struct pm_link *l, uint64_t re, uint32_t stream, const struct pm_error *why)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Error error = PM__ERROR__INIT;
	struct pm_error copy = *why;

	error.code = (uint32_t)why->code;
	error.what = copy.what;
	error.hint = copy.hint;
	env.re = re;
	env.stream = stream;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	(void)link_queue(l, &env); /* fits a record */
}

void pm_link_reply_error(struct pm_link *l, uint64_t re, const struct pm_error *why)
{
	link_queue_error(l, re, 0, why);
}

/* ---- greetings ---- */

/* The other side takes little from whom it does not know yet. */
static bool queue_first(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_error err;

	if (protobuf_c_message_get_packed_size(&env->base) <= PM_FIRST_RECORD_MAX)
		return link_queue(l, env);
	(void)pm_fail(&err, PM_LIMIT, "the first message of a session has over %d bytes",
	              PM_FIRST_RECORD_MAX);
	link_doom(l, &err);
	return false;
}

static void say_hello(struct pm_link *l)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Hello hello = PM__HELLO__INIT;
	char program[32], version[] = PM_VERSION;

	(void)snprintf(program, sizeof(program), "%s",
	               l->host->config.program != NULL ? l->host->config.program : "");
	hello.protocol_min = PM_PROTOCOL_MIN;
	hello.protocol_max = PM_PROTOCOL_MAX;
	hello.program = program;
	hello.version = version;
	hello.features = l->host->config.features;
	env.id = pm_session_next_id(&l->core);
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	if (l->host->handlers->greet != NULL)
		l->host->handlers->greet(l->host->arg, l, &hello);
	if (!queue_first(l, &env))
		return;
	l->greeted = true;
	if (l->host->handlers->greeted != NULL)
		l->host->handlers->greeted(l->host->arg, l);
}

void link_greet(struct pm_link *l)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Enrol enrol = PM__ENROL__INIT;

	if (l->core.enrol == PM_ENROL_NONE) {
		say_hello(l);
		return;
	}
	if (l->host->handlers->ask != NULL)
		l->host->handlers->ask(l->host->arg, l, &enrol);
	env.id = pm_session_next_id(&l->core);
	env.body_case = PM__ENVELOPE__BODY_ENROL;
	env.enrol = &enrol;
	(void)queue_first(l, &env); /* or the link is over */
}

void pm_link_enrolled(struct pm_link *l, uint64_t re, const Pm__Enrolled *enrolled)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Enrolled copy = *enrolled;

	if (l->core.enrol != PM_ENROL_ASKED || l->state != LINK_GREETING)
		return; /* it took too long, or went away */
	pm_session_enrolled(&l->core);
	l->fresh = false;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_ENROLLED;
	env.enrolled = &copy;
	if (!link_queue(l, &env))
		pm_link_close(l, &(struct pm_error){ PM_LIMIT, "an Enrolled over a record", "" });
}

/* ---- farewells ---- */

/* What is queued goes out, nothing more comes in. */
static void leave(struct pm_link *l, const struct pm_error *why)
{
	if (l->doomed || l->state == LINK_OVER || l->state == LINK_LEAVING)
		return;
	l->state = LINK_LEAVING;
	l->why = *why;
	l->deadline_ms = 0; /* set by pm_link_work(), which knows the time */
	link_poke(l);
}

void pm_link_refuse(struct pm_link *l, uint64_t re, const struct pm_error *why)
{
	link_queue_error(l, re, 0, why);
	leave(l, why);
}

void pm_link_goodbye(struct pm_link *l, const char *reason, uint32_t retry_after_ms)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Goodbye bye = PM__GOODBYE__INIT;
	struct pm_error why;
	char text[128];

	(void)snprintf(text, sizeof(text), "%s", reason); /* cut if longer */
	(void)pm_fail(&why, PM_OK, "%s", text);
	if (!pm_link_is_proved(l)) {
		pm_link_close(l, &why); /* a peer that has proved nothing is owed no word */
		return;
	}
	bye.reason = text;
	bye.retry_after_ms = retry_after_ms;
	env.body_case = PM__ENVELOPE__BODY_GOODBYE;
	env.goodbye = &bye;
	(void)link_queue(l, &env); /* fits a record */
	leave(l, &why);
}

void pm_link_close(struct pm_link *l, const struct pm_error *why)
{
	link_doom(l, why);
}
