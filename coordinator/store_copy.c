/* store_copy.c - what a request points at becomes the call's own. */
#include <string.h>

#include "coordinator/store_int.h"
#include "proto/limits.h"

/* Sticky, so that a request is copied in one go and checked once. */
struct copier {
	struct store_call *call;
	bool failed, too_many;
};

static void *copy_bytes(struct copier *c, const void *from, size_t len)
{
	void *to = c->failed ? NULL : store_alloc(c->call, len + 1);

	if (to == NULL) {
		c->failed = true;
		return NULL;
	}
	if (len > 0)
		memcpy(to, from, len);
	return to;
}

/* An optional text. */
static void opt(struct copier *c, const char **text)
{
	if (*text != NULL)
		*text = copy_bytes(c, *text, strlen(*text));
}

/* A text that must be there: NULL counts as "". */
static void text(struct copier *c, const char **at)
{
	if (*at == NULL)
		*at = "";
	opt(c, at);
}

static void blob(struct copier *c, const uint8_t **at, size_t len)
{
	*at = copy_bytes(c, *at, len);
}

/* A list of n things; the copy can be written through. */
static void *list(struct copier *c, const void *from, size_t n, size_t size)
{
	if (n > PM_STORE_ROWS_MAX) {
		c->failed = c->too_many = true;
		return NULL;
	}
	return copy_bytes(c, from, n * size);
}

static void copy_token(struct copier *c, struct store_token *t)
{
	text(c, &t->name_pattern);
	text(c, &t->labels);
	text(c, &t->role);
	text(c, &t->created_by);
}

static void copy_enrol(struct copier *c, struct store_enrol *e)
{
	text(c, &e->name);
	text(c, &e->claimed);
	text(c, &e->facts);
}

static void copy_set_agent(struct copier *c, struct store_set_agent *a)
{
	opt(c, &a->name);
	opt(c, &a->labels);
	opt(c, &a->claimed);
	opt(c, &a->facts);
	opt(c, &a->note);
}

static void copy_binding(struct copier *c, struct store_binding *b)
{
	text(c, &b->role);
	text(c, &b->targets);
	text(c, &b->apps);
	text(c, &b->created_by);
}

static void copy_desired(struct copier *c, struct store_desired_list *d)
{
	struct store_desired *rows = list(c, d->list, d->n, sizeof(*rows));

	for (size_t i = 0; rows != NULL && i < d->n; i++) {
		text(c, &rows[i].app);
		text(c, &rows[i].wanted);
	}
	d->list = rows;
}

static void copy_open_command(struct copier *c, struct store_open_command *o)
{
	text(c, &o->command.kind);
	text(c, &o->command.args);
	text(c, &o->command.selector);
	o->command.state = "";
	o->targets = list(c, o->targets, o->n_targets, sizeof(*o->targets));
}

static void copy_outcomes(struct copier *c, struct store_outcome_list *o)
{
	struct store_outcome *rows = list(c, o->list, o->n, sizeof(*rows));

	for (size_t i = 0; rows != NULL && i < o->n; i++) {
		text(c, &rows[i].state);
		text(c, &rows[i].text);
	}
	o->list = rows;
	opt(c, &o->state);
}

static void copy_rollout(struct copier *c, struct store_put_rollout *p)
{
	struct store_step *steps = list(c, p->steps, p->n_steps, sizeof(*steps));

	for (size_t i = 0; steps != NULL && i < p->n_steps; i++) {
		text(c, &steps[i].state);
		blob(c, &steps[i].info, steps[i].info_len);
	}
	p->steps = steps;
	text(c, &p->rollout.app);
	text(c, &p->rollout.state);
	blob(c, &p->rollout.plan, p->rollout.plan_len);
}

static void copy_lock(struct copier *c, struct store_take_lock *l)
{
	const char **names = list(c, l->names, l->n_names, sizeof(*names));

	for (size_t i = 0; names != NULL && i < l->n_names; i++)
		text(c, &names[i]);
	l->names = names;
	text(c, &l->who);
	text(c, &l->what);
}

static void copy_member(struct copier *c, struct store_request *r)
{
	switch (r->op) {
	case STORE_LIST_SPECS:
	case STORE_LIST_DESIRED:
	case STORE_LIST_AUDIT:
	case STORE_BACKUP:
	case STORE_DROP_GROUP:
		text(c, &r->page.name);
		break;
	case STORE_ENROL:
		copy_enrol(c, &r->enrol);
		break;
	case STORE_ADD_AGENT:
		copy_enrol(c, &r->agent_key);
		break;
	case STORE_SET_AGENT:
		copy_set_agent(c, &r->set_agent);
		break;
	case STORE_SEEN:
		r->seen.list = list(c, r->seen.list, r->seen.n, sizeof(*r->seen.list));
		break;
	case STORE_PUT_BINDING:
		copy_binding(c, &r->binding);
		break;
	case STORE_ADD_TOKEN:
		copy_token(c, &r->token);
		break;
	case STORE_PUT_GROUP:
		text(c, &r->group.name);
		text(c, &r->group.form);
		text(c, &r->group.text);
		break;
	case STORE_PUT_SPEC:
		text(c, &r->spec.app);
		text(c, &r->spec.author);
		blob(c, &r->spec.content, r->spec.content_len);
		break;
	case STORE_PUT_DESIRED:
		copy_desired(c, &r->desired);
		break;
	case STORE_OPEN_COMMAND:
		copy_open_command(c, &r->open_command);
		break;
	case STORE_COUNT:
		r->count.agents = list(c, r->count.agents, r->count.n, sizeof(*r->count.agents));
		break;
	case STORE_PUT_OUTCOMES:
		copy_outcomes(c, &r->outcomes);
		break;
	case STORE_PUT_ROLLOUT:
		copy_rollout(c, &r->put_rollout);
		break;
	case STORE_BEGIN_SESSION:
	case STORE_END_SESSION:
		text(c, &r->session.coordinator);
		break;
	case STORE_LOCK:
		copy_lock(c, &r->lock);
		break;
	case STORE_GET_META:
	case STORE_FIND_KEY:
	case STORE_LIST_AGENTS:
	case STORE_LIST_OPERATORS:
	case STORE_LIST_KEYS:
	case STORE_LIST_BINDINGS:
	case STORE_LIST_TOKENS:
	case STORE_LIST_GROUPS:
	case STORE_LIST_COMMANDS:
	case STORE_LIST_OUTCOMES:
	case STORE_LIST_ROLLOUTS:
	case STORE_LIST_STEPS:
	case STORE_LIST_ENDED:
	case STORE_RENEW:
	case STORE_LIST_LOCKS:
	case STORE_AUDIT:
	case STORE_DROP_AGENT:
	case STORE_SET_OPERATOR:
	case STORE_ADD_KEY:
	case STORE_SET_KEY:
	case STORE_NEXT_KEY:
	case STORE_USE_KEY:
	case STORE_DROP_BINDING:
	case STORE_DROP_TOKEN:
	case STORE_UNLOCK:
	case STORE_RAISE_COUNTER:
	case STORE_PRUNE:
	case STORE_OPS:
		break; /* no pointers */
	}
}

int store_copy(struct store_call *call, struct pm_error *err)
{
	struct copier c = { .call = call };

	copy_member(&c, &call->req);
	if (call->req.audit != NULL) {
		call->audit = *call->req.audit;
		for (size_t i = 0; i < AUDIT_FIELDS; i++)
			text(&c, &call->audit.field[i]);
		call->req.audit = &call->audit;
	}
	if (c.too_many)
		return pm_fail(err, PM_LIMIT, "more than %d rows for the store", PM_STORE_ROWS_MAX);
	return c.failed ? pm_fail(err, PM_NO_MEMORY, "ask the store") : 0;
}
