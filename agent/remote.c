#include "agent/remote.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/op_sync.h"
#include "agent/rate.h"
#include "agent/remote_policy.h"
#include "agent/trail.h"
#include "proto/buf.h"
#include "proto/keys.h"
#include "proto/log.h"
#include "proto/ops.h"

#define WAITERS_MAX 4 /* repeats of a command that is under way; more are refused */
#define ACTOR_TEXT  192
#define TARGET_TEXT 256
#define OPS         "commands of the fleet" /* in the words of 'agent status' */

/* Somebody who asked for the same once more. */
struct waiter {
	struct session *session; /* a reference */
	uint64_t id;
};

/* A change that was let through and has not ended yet. */
struct pending {
	struct pending *next;
	struct session *session; /* a reference: the pair of both is unique while it is held */
	uint64_t id;
	bool has_op;
	uint8_t op[OP_ID_BYTES];
	uint64_t ticket;    /* of the journal; 0: it is being carried out */
	uint64_t end_by_ms; /* Command.end_by_ms */
	Pm__Verb verb;
	char actor[ACTOR_TEXT], target[TARGET_TEXT];
	struct pm_buf result; /* packed, of the first page */
	bool paged;           /* there were more pages: too much to remember */
	size_t n_outcomes;
	enum pm_code code;
	char text[160];
	struct waiter waiters[WAITERS_MAX];
	unsigned n_waiters;
};

struct remote {
	struct super *su;             /* borrowed */
	struct op_sync *ops;          /* owned */
	struct trail *trail;          /* owned */
	struct remote_policy *policy; /* owned */
	struct rate refusals, notes;
	uint64_t n_unsaid; /* refusals that the audit did not take */
	uint64_t base;     /* of the numbers of commands */
	struct pending *pending;
	unsigned n_pending;
};

static const char no_text[] = "";

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c has no const; packing does not write */
}

/* ---- account ---- */

/* A stream's opening has it inside: what relays streams sees no envelopes. */
static const Pm__Actor *actor_of(const Pm__Envelope *env)
{
	return env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN && env->actor == NULL
	               ? env->stream_open->actor
	               : env->actor;
}

static void describe_actor(const Pm__Actor *actor, char out[ACTOR_TEXT])
{
	char key[PM_FINGERPRINT_TEXT] = "none";

	if (actor == NULL) {
		(void)snprintf(out, ACTOR_TEXT, "nobody");
		return;
	}
	if (actor->key.len == PM_KEY_BYTES)
		pm_key_fingerprint(actor->key.data, key);
	(void)snprintf(out, ACTOR_TEXT, "%.64s (%.16s, key %s)", actor->operator_, actor->role,
	               key);
}

static void add(char *out, size_t size, const char *fmt, ...) PM_PRINTF(3, 4);
static void add(char *out, size_t size, const char *fmt, ...)
{
	size_t len = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out + len, size - len, fmt, ap); /* cut if longer */
	va_end(ap);
}

static void describe_targets(Pm__Target *const *targets, size_t n, char out[TARGET_TEXT])
{
	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		add(out, TARGET_TEXT, "%s%.64s", i == 0 ? "" : " ", targets[i]->text);
	if (n == 0)
		add(out, TARGET_TEXT, "all");
}

static void describe_target(const Pm__Envelope *env, char out[TARGET_TEXT])
{
	out[0] = '\0';
	if (env->body_case == PM__ENVELOPE__BODY_COMMAND) {
		describe_targets(env->command->targets, env->command->n_targets, out);
		if (env->command->verb == PM__VERB__VERB_SCALE)
			add(out, TARGET_TEXT, env->command->relative ? " by %d" : " to %d",
			    env->command->count);
		if (env->command->use_staged)
			add(out, TARGET_TEXT, " (specs sent along)");
	} else if (env->body_case == PM__ENVELOPE__BODY_STATUS_REQUEST) {
		describe_targets(env->status_request->targets, env->status_request->n_targets, out);
	} else if (env->body_case == PM__ENVELOPE__BODY_SPEC_PUSH && env->spec_push->spec != NULL) {
		add(out, TARGET_TEXT, "%.128s", env->spec_push->spec->name);
	} else if (env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN &&
	           env->stream_open->what_case == PM__STREAM_OPEN__WHAT_LOGS) {
		describe_targets(env->stream_open->logs->targets, env->stream_open->logs->n_targets,
		                 out);
	}
}

static const char *action_of(const Pm__Envelope *env)
{
	return env->body_case == PM__ENVELOPE__BODY_COMMAND ? pm_verb_name(env->command->verb)
	                                                    : pm_body_name(env);
}

static int account(struct remote *r, const char *actor, const char *action, const char *target,
                   const char *outcome, struct pm_error *err)
{
	const struct audit_entry e = {
		.wall_ms = pm_wall_ms(),
		.field = { [AUDIT_ACTOR] = actor,
		           [AUDIT_ACTION] = action,
		           [AUDIT_TARGET] = target,
		           [AUDIT_OUTCOME] = outcome },
	};

	return trail_add(r->trail, &e, err);
}

/* A flood of what is refused anyway must not fill the audit, and must not go unseen either. */
static void account_refusal(struct remote *r, const Pm__Envelope *env, const char *why)
{
	char actor[ACTOR_TEXT], target[TARGET_TEXT], outcome[320];
	struct pm_error err;

	if (!rate_take(&r->refusals, PM_REMOTE_REFUSALS_HOUR, pm_now_ms())) {
		r->n_unsaid++;
		return;
	}
	describe_actor(actor_of(env), actor);
	describe_target(env, target);
	(void)snprintf(outcome, sizeof(outcome), "refused: %s", why);
	if (r->n_unsaid != 0)
		add(outcome, sizeof(outcome), " (and %llu more before)",
		    (unsigned long long)r->n_unsaid);
	r->n_unsaid = 0;
	pm_log(PM_LOG_WARN, "remote.refuse", "who=\"%s\" what=%s target=\"%s\" %s", actor,
	       action_of(env), target, why);
	(void)account(r, actor, action_of(env), target, outcome, &err); /* shown as degraded */
}

void remote_note(struct remote *r, const char *action, const char *target, const char *outcome)
{
	struct pm_error err;

	/* A link that flaps, or an uplink that says so, does not fill the audit either. */
	if (rate_take(&r->notes, PM_REMOTE_REFUSALS_HOUR, pm_now_ms()))
		(void)account(r, "agent", action, target, outcome, &err); /* shown as degraded */
}

static void on_trail_failed(void *arg, const char *words)
{
	struct remote *r = arg;

	super_degraded(r->su, "audit", words);
}

/* ---- may they ---- */

static int check_actor(const Pm__Actor *actor, pm_ops ops, struct pm_error *err)
{
	enum pm_rank rank;

	if (actor == NULL || *actor->operator_ == '\0')
		return pm_fail(err, PM_DENIED, "a request from the fleet must say who asks");
	rank = pm_rank_by_name(actor->role);
	if (rank == PM_RANK_NONE)
		return pm_fail(err, PM_DENIED, "%.64s has no role that is known here",
		               actor->operator_);
	if (!pm_rank_may(rank, ops))
		return pm_fail(err, PM_DENIED, "the role %s is not enough for that",
		               pm_rank_name(rank));
	return 0;
}

/* What an agent takes from its coordinator at all. */
static int check_kind(const Pm__Envelope *env, pm_ops ops, struct pm_error *err)
{
	if (env->body_case == PM__ENVELOPE__BODY_FORWARD ||
	    env->body_case == PM__ENVELOPE__BODY_FLEET_REQUEST)
		return pm_fail(err, PM_UNSUPPORTED, "this agent is no coordinator");
	if (ops == 0 || (ops & PM_OP_BIT(PM_OP_LOCAL)) != 0)
		return pm_fail(err, PM_DENIED, "this is never done from afar");
	return 0;
}

/* ---- commands that were asked for before ---- */

static struct pending *find_op(const struct remote *r, const uint8_t *op)
{
	struct pending *p = r->pending;

	while (p != NULL && (!p->has_op || memcmp(p->op, op, OP_ID_BYTES) != 0))
		p = p->next;
	return p;
}

static void reply_known(struct session *s, uint64_t id, const struct op_result *known)
{
	Pm__Result *result =
		known->len == 0 ? NULL : pm__result__unpack(NULL, known->len, known->bytes);
	struct pm_error err;

	if (result == NULL) {
		(void)pm_fail(&err, PM_UNKNOWN,
		              "it was done before, and ended with '%s'; more is not known any more",
		              pm_code_name(known->code));
		session_reply_error(s, id, &err);
		return;
	}
	session_reply_result(s, id, result);
	pm__result__free_unpacked(result, NULL);
}

static enum session_permit wait_with(struct pending *p, struct session *s, uint64_t id,
                                     struct pm_error *err)
{
	if (p->n_waiters == WAITERS_MAX) {
		(void)pm_fail(err, PM_LIMIT, "that command is under way");
		return SESSION_REFUSE;
	}
	p->waiters[p->n_waiters++] = (struct waiter){ session_ref(s), id };
	return SESSION_ANSWERED;
}

/* SESSION_PERMIT: it is new. */
static enum session_permit known_command(struct remote *r, struct session *s,
                                         const Pm__Envelope *env, struct pm_error *err)
{
	const uint8_t *op = env->command->op_id.data;
	struct op_result result;
	struct pending *p;

	switch (op_sync_find(r->ops, op, &result)) {
	case OP_NEW:
		return SESSION_PERMIT;
	case OP_BEGUN:
		p = find_op(r, op);
		if (p != NULL)
			return wait_with(p, s, env->id, err);
		break;
	case OP_INTERRUPTED:
		break;
	case OP_ENDED:
		reply_known(s, env->id, &result);
		return SESSION_ANSWERED;
	}
	(void)pm_fail(err, PM_UNKNOWN,
	              "it was begun before, and the agent's supervisor was restarted meanwhile");
	pm_hint(err, "look at the status; it is not done again");
	return SESSION_REFUSE;
}

/* Whoever gave it has given it up, and holds that it is not done: so says what it is refused with.
 */
static bool is_too_late(uint64_t end_by_ms, struct pm_error *err)
{
	uint64_t now_ms = pm_now_ms();

	if (end_by_ms == 0 || now_ms < end_by_ms)
		return false;
	(void)pm_fail(err, PM_DEADLINE, "too late by %llu ms: it is not done any more",
	              (unsigned long long)(now_ms - end_by_ms));
	pm_hint(err, "the agent, or the link to it, was held up meanwhile");
	return true;
}

/* ---- commands under way ---- */

static void pending_free(struct pending *p)
{
	for (unsigned i = 0; i < p->n_waiters; i++)
		session_unref(p->waiters[i].session);
	session_unref(p->session);
	pm_buf_finish(&p->result);
	free(p);
}

static int begin(struct remote *r, struct session *s, const Pm__Envelope *env, struct pm_error *err)
{
	uint64_t number = env->command->number;
	struct pending *p;

	if (r->n_pending == PM_REMOTE_PENDING_MAX)
		return pm_fail(err, PM_LIMIT, "%d commands from the fleet are under way",
		               PM_REMOTE_PENDING_MAX);
	p = pm_calloc(1, sizeof(*p));
	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "take the command");
	p->id = env->id;
	p->verb = env->command->verb;
	p->end_by_ms = env->command->end_by_ms;
	p->has_op = env->command->op_id.len == OP_ID_BYTES;
	if (p->has_op)
		memcpy(p->op, env->command->op_id.data, OP_ID_BYTES);
	describe_actor(actor_of(env), p->actor);
	describe_target(env, p->target);
	number = number == 0 || number > PM_COUNT_MAX ? 0 : r->base + number;
	if (account(r, p->actor, pm_verb_name(p->verb), p->target, "allowed", err) < 0 ||
	    (p->has_op && op_sync_begin(r->ops, p->op, number, &p->ticket, err) < 0)) {
		free(p);
		return -1;
	}
	pm_log(PM_LOG_INFO, "remote.allow", "who=\"%s\" what=%s target=\"%s\"", p->actor,
	       pm_verb_name(p->verb), p->target);
	p->session = session_ref(s);
	p->next = r->pending;
	r->pending = p;
	r->n_pending++;
	return 0;
}

static struct pending **find_pending(struct remote *r, const struct session *s, uint64_t id)
{
	struct pending **at = &r->pending;

	while (*at != NULL && ((*at)->session != s || (*at)->id != id))
		at = &(*at)->next;
	return *at == NULL ? NULL : at;
}

static void pack_result(struct pm_buf *out, const Pm__Result *result)
{
	size_t len = pm__result__get_packed_size(result);
	uint8_t *bytes;

	pm_buf_reset(out);
	if (len > PM_OP_RESULT_MAX)
		return;
	bytes = pm_buf_extend(out, len);
	if (bytes != NULL)
		(void)pm__result__pack(result, bytes); /* the size was asked for */
}

/* What to say to a repeat: the result without output of the apps, cut if it is long. */
static void remember_result(struct pending *p)
{
	Pm__Result result = PM__RESULT__INIT;
	char words[256];

	if (p->result.len != 0 && !p->paged)
		return;
	(void)snprintf(words, sizeof(words),
	               "%s%s(was done before; the outcomes of %zu instances are not kept)", p->text,
	               *p->text == '\0' ? "" : " ", p->n_outcomes);
	result.code = (uint32_t)p->code;
	result.text = words;
	result.hint = text(no_text);
	pack_result(&p->result, &result);
}

static struct pending *take_out(struct remote *r, struct pending **at)
{
	struct pending *p = *at;

	*at = p->next;
	r->n_pending--;
	return p;
}

static void account_end(struct remote *r, const struct pending *p)
{
	char outcome[256], action[48];
	struct pm_error err;

	(void)snprintf(action, sizeof(action), "%s.end", pm_verb_name(p->verb));
	(void)snprintf(outcome, sizeof(outcome), "%s%s%s", pm_code_name(p->code),
	               *p->text == '\0' ? "" : ": ", p->text);
	(void)account(r, p->actor, action, p->target, outcome, &err); /* shown as degraded */
	pm_log(PM_LOG_INFO, "remote.done", "who=\"%s\" what=%s target=\"%s\" %s", p->actor,
	       pm_verb_name(p->verb), p->target, outcome);
}

static void end(struct remote *r, struct pending **at)
{
	struct pending *p = take_out(r, at);
	struct op_result result = { .code = p->code, .wall_ms = pm_wall_ms() };
	struct pm_error err;

	remember_result(p);
	result.bytes = (const uint8_t *)p->result.bytes;
	result.len = p->result.len;
	if (p->has_op && op_sync_end(r->ops, p->op, &result, &err) < 0)
		super_degraded(r->su, OPS, err.what);
	account_end(r, p);
	for (unsigned i = 0; i < p->n_waiters; i++)
		reply_known(p->waiters[i].session, p->waiters[i].id, &result);
	pending_free(p);
}

static void take_result(struct pending *p, const Pm__Result *result)
{
	Pm__Result copy = *result;

	if (p->n_outcomes == 0) {
		PM_FREE Pm__Outcome *outcomes =
			pm_calloc(result->n_outcomes + 1, sizeof(*outcomes));
		PM_FREE Pm__Outcome **list = pm_calloc(result->n_outcomes + 1, sizeof(*list));

		for (size_t i = 0; outcomes != NULL && list != NULL && i < result->n_outcomes;
		     i++) {
			outcomes[i] = *result->outcomes[i];
			outcomes[i].log_tail.len = 0;
			list[i] = &outcomes[i];
		}
		copy.outcomes = list;
		copy.more = false;
		if (outcomes != NULL && list != NULL)
			pack_result(&p->result, &copy);
	} else {
		p->paged = true;
	}
	p->n_outcomes += result->n_outcomes;
	p->code = pm_code_from_wire(result->code);
	(void)snprintf(p->text, sizeof(p->text), "%s", result->text); /* cut if longer */
	for (size_t i = 0; *p->text == '\0' && i < result->n_outcomes; i++)
		if (result->outcomes[i]->code != PM_OK)
			(void)snprintf(p->text, sizeof(p->text), "%s: %s",
			               result->outcomes[i]->name, result->outcomes[i]->text);
}

void remote_answer(struct remote *r, struct session *s, const Pm__Envelope *env)
{
	struct pending **at = env->stream != 0 ? NULL : find_pending(r, s, env->re);
	Pm__Result result = PM__RESULT__INIT;

	if (at == NULL)
		return;
	if (env->body_case == PM__ENVELOPE__BODY_RESULT) {
		take_result(*at, env->result);
		if (!env->result->more)
			end(r, at);
	} else if (env->body_case == PM__ENVELOPE__BODY_ERROR) {
		result.code = env->error->code;
		result.text = env->error->what;
		result.hint = env->error->hint;
		take_result(*at, &result);
		end(r, at);
	}
}

/* ---- commands that wait for the disk ---- */

/* It is not carried out; a repeat of it is a new command. */
static void drop(struct remote *r, struct pending **at, const struct pm_error *why)
{
	struct pending *p = take_out(r, at);

	op_sync_withdraw(r->ops, p->op);
	p->code = why->code;
	(void)snprintf(p->text, sizeof(p->text), "not carried out: %.120s", why->what);
	account_end(r, p);
	for (unsigned i = 0; i < p->n_waiters; i++)
		session_reply_error(p->waiters[i].session, p->waiters[i].id, why);
	if (session_is_open(p->session))
		session_go_back(p->session, why);
	pending_free(p);
}

static void drop_of_closed(struct remote *r, struct pending **at)
{
	struct pm_error err;

	(void)pm_fail(&err, PM_UNREACHABLE, "the link was cut before it began");
	drop(r, at, &err);
}

static struct pending **find_called(struct remote *r, uint64_t ticket)
{
	struct pending **at = &r->pending;

	while (*at != NULL && ((*at)->ticket == 0 || (*at)->ticket > ticket))
		at = &(*at)->next;
	return *at == NULL ? NULL : at;
}

/* What is carried out here may end at once, and let others in: the list is searched anew. */
static void on_called(void *arg, uint64_t ticket, const struct pm_error *err)
{
	struct remote *r = arg;
	struct pending **at, *p;
	struct pm_error failed;

	super_degraded(r->su, OPS, err == NULL ? NULL : err->what);
	while ((at = find_called(r, ticket)) != NULL) {
		p = *at;
		if (err != NULL) {
			drop(r, at, err);
		} else if (!session_is_open(p->session)) {
			drop_of_closed(r, at);
		} else if (is_too_late(p->end_by_ms, &failed)) { /* while it waited for the disk */
			drop(r, at, &failed);
		} else {
			p->ticket = 0;
			if (session_go_on(p->session, &failed) < 0)
				drop(r, at, &failed);
		}
	}
}

/* Its place among those that wait is another's: whoever was cut off asks again. */
static void forget_waiter(struct pending *p, struct session *s)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < p->n_waiters; i++) {
		if (p->waiters[i].session == s)
			session_unref(s);
		else
			p->waiters[kept++] = p->waiters[i];
	}
	p->n_waiters = kept;
}

void remote_closed(struct remote *r, struct session *s)
{
	struct pending **at = &r->pending;

	for (struct pending *p = r->pending; p != NULL; p = p->next)
		forget_waiter(p, s);

	while (*at != NULL && ((*at)->session != s || (*at)->ticket == 0))
		at = &(*at)->next;
	if (*at != NULL) /* a session waits with one at a time */
		drop_of_closed(r, at);
}

/* ---- all of it ---- */

static int ask_policy(struct remote *r, struct session *s, const Pm__Envelope *env, pm_ops ops,
                      struct pm_error *err)
{
	return remote_policy_check(r->policy, s, env, actor_of(env), ops, err);
}

static enum session_permit permit_command(struct remote *r, struct session *s,
                                          const Pm__Envelope *env, pm_ops ops, struct pm_error *err)
{
	enum session_permit known = SESSION_PERMIT;

	/* What is only planned must be allowed, and is neither counted nor remembered. */
	if (!pm_ops_change(ops) || env->command->dry_run)
		return ask_policy(r, s, env, ops, err) < 0 ? SESSION_REFUSE : SESSION_PERMIT;
	if (env->id == 0 || find_pending(r, s, env->id) != NULL) {
		(void)pm_fail(err, PM_PROTOCOL, "a command needs a number of its own");
		return SESSION_REFUSE;
	}
	if (env->command->op_id.len == OP_ID_BYTES)
		known = known_command(r, s, env, err);
	if (known != SESSION_PERMIT)
		return known;
	if (ask_policy(r, s, env, ops, err) < 0 || is_too_late(env->command->end_by_ms, err) ||
	    begin(r, s, env, err) < 0)
		return SESSION_REFUSE;
	return env->command->op_id.len == OP_ID_BYTES ? SESSION_HOLD : SESSION_PERMIT;
}

enum session_permit remote_permit(struct remote *r, struct session *s, const Pm__Envelope *env,
                                  struct pm_error *err)
{
	pm_ops ops = pm_ops_of(env);
	enum session_permit say = SESSION_PERMIT;

	if (check_kind(env, ops, err) < 0 || check_actor(actor_of(env), ops, err) < 0)
		say = SESSION_REFUSE;
	else if (env->body_case == PM__ENVELOPE__BODY_COMMAND)
		say = permit_command(r, s, env, ops, err);
	else if (ask_policy(r, s, env, ops, err) < 0)
		say = SESSION_REFUSE;
	if (say == SESSION_REFUSE)
		account_refusal(r, env, err->what);
	return say;
}

uint64_t remote_number(const struct remote *r)
{
	return op_sync_counter(r->ops);
}

void remote_set_base(struct remote *r, uint64_t base)
{
	r->base = base;
}

/* ---- life ---- */

int remote_create(struct super *su, struct remote **out, struct pm_error *err)
{
	struct remote *r = pm_calloc(1, sizeof(*r));

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	r->su = su;
	if (remote_policy_create(su, &r->policy, err) < 0 ||
	    op_sync_create(su->loop, su->home, on_called, r, &r->ops, err) < 0 ||
	    trail_create(su->loop, su->home, on_trail_failed, r, &r->trail, err) < 0) {
		remote_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

void remote_close(struct remote *r)
{
	if (r == NULL)
		return;
	while (r->pending != NULL) {
		struct pending *p = r->pending;

		r->pending = p->next;
		pending_free(p);
	}
	trail_close(r->trail);
	op_sync_close(r->ops);
	remote_policy_destroy(r->policy);
	free(r);
}
