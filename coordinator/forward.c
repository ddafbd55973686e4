#include "coordinator/forward.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/record.h"

struct forward;

enum item_state {
	ITEM_WAITING, /* its turn has not come */
	ITEM_ASKED,
	ITEM_OVER,
};

struct forward_item {
	struct forward *forward;     /* borrowed */
	struct forward_item *next;   /* in its agent's list */
	struct forward_agent *agent; /* borrowed; NULL: not connected, or over */
	struct pm_link *link;        /* borrowed, with it */
	uint64_t id;                 /* of the request, on that link */
	enum item_state state;
	Pm__ForwardState end;
	char *agent_id, *name, *text; /* owned */
	int64_t last_seen_wall_ms;
	const char *role; /* static; NULL: the actor's */
	char *apps;       /* owned; NULL: the actor's */
};

struct forward {
	struct forwards *all; /* borrowed */
	struct forward *next;
	struct pm_link *operator; /* borrowed; NULL: gone */
	uint64_t id;
	Pm__Forward *what;          /* owned, unpacked by protobuf-c */
	Pm__Actor *actor;           /* owned */
	struct forward_item *items; /* owned */
	size_t n, n_over, n_asked, parallel, first_waiting;
	uint64_t ticket;
	bool held;           /* nothing is sent yet */
	bool ended;          /* the end is queued */
	struct pm_buf queue; /* packed records that the operator has not taken, from queue_at on */
	size_t queue_at;
	uv_timer_t *deadline; /* owned */
	void (*on_end)(void *arg, size_t n_done, size_t n_other);
	void *arg;
};

struct forwards {
	uv_loop_t *loop;
	struct forward *list;
	size_t n;
	uint64_t tickets; /* given out */
};

static char none[] = "";

int forwards_create(uv_loop_t *loop, struct forwards **out, struct pm_error *err)
{
	struct forwards *f = pm_calloc(1, sizeof(*f));

	if (f == NULL)
		return pm_fail(err, PM_NO_MEMORY, "forward requests");
	f->loop = loop;
	*out = f;
	return 0;
}

/* ---- the end of one ---- */

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

static void unlist_item(struct forward_item *it)
{
	struct forward_item **at = it->agent == NULL ? NULL : &it->agent->waiting;

	while (at != NULL && *at != NULL && *at != it)
		at = &(*at)->next;
	if (at != NULL && *at != NULL)
		*at = it->next;
	it->agent = NULL;
	it->link = NULL;
}

static void forward_free(struct forward *fw)
{
	struct forward **at = &fw->all->list;

	while (*at != fw)
		at = &(*at)->next;
	*at = fw->next;
	fw->all->n--;
	for (size_t i = 0; i < fw->n; i++) {
		unlist_item(&fw->items[i]);
		free(fw->items[i].agent_id);
		free(fw->items[i].name);
		free(fw->items[i].text);
		free(fw->items[i].apps);
	}
	free(fw->items);
	pm_buf_finish(&fw->queue);
	if (fw->what != NULL)
		pm__forward__free_unpacked(fw->what, NULL);
	if (fw->actor != NULL)
		pm__actor__free_unpacked(fw->actor, NULL);
	uv_close((uv_handle_t *)fw->deadline, on_timer_closed);
	free(fw);
}

void forwards_close(struct forwards *f)
{
	if (f == NULL)
		return;
	while (f->list != NULL)
		forward_free(f->list);
	free(f);
}

/* ---- what the operator gets ---- */

static void queue_envelope(struct forward *fw, Pm__Envelope *env)
{
	struct pm_error err;

	env->re = fw->id;
	if (fw->operator== NULL)
		return;
	if (fw->queue.len - fw->queue_at > PM_FORWARD_QUEUE_MAX ||
	    pm_encode(env, &fw->queue, &err) < 0) {
		/* He cannot be told the whole truth: better none than half. */
		(void)pm_fail(&err, PM_LIMIT, "answers that were not taken are over %u bytes",
		              PM_FORWARD_QUEUE_MAX);
		pm_link_close(fw->operator, & err);
	}
}

/* Move what fits into the link's own queue. Returns whether nothing is left. */
static bool drain(struct forward *fw)
{
	while (fw->operator!= NULL && fw->queue_at<fw->queue.len) {
		const uint8_t *record = (const uint8_t *)fw->queue.bytes + fw->queue_at;
		size_t len = PM_RECORD_HEAD + ((size_t)record[0] << 8 | record[1]);

		if (pm_link_queued(fw->operator) > PM_SEND_ROOM) {
			pm_link_want_room(fw->operator);
			return false;
		}
		(void)pm_link_send_packed(fw->operator, record, len); /* a link that is over takes
		                                                         all */
		fw->queue_at += len;
	}
	pm_buf_reset(&fw->queue);
	fw->queue_at = 0;
	return true;
}

static void queue_end(struct forward *fw)
{
	Pm__ForwardTarget *targets = pm_calloc(fw->n + 1, sizeof(*targets));
	Pm__ForwardTarget **list = pm_calloc(PM_FORWARD_END_MOST + 1, sizeof(*list));
	Pm__ForwardEnd end = PM__FORWARD_END__INIT;
	Pm__FleetReply reply = PM__FLEET_REPLY__INIT;
	Pm__Envelope env = PM__ENVELOPE__INIT;

	env.body_case = PM__ENVELOPE__BODY_FLEET_REPLY;
	env.fleet_reply = &reply;
	reply.what_case = PM__FLEET_REPLY__WHAT_FORWARD_END;
	reply.forward_end = &end;
	end.targets = list;
	for (size_t i = 0; targets != NULL && list != NULL && i < fw->n; i++) {
		const struct forward_item *it = &fw->items[i];

		pm__forward_target__init(&targets[i]);
		targets[i].agent = it->agent_id;
		targets[i].name = it->name;
		targets[i].state = it->end;
		targets[i].text = it->text != NULL ? it->text : none;
		targets[i].last_seen_wall_ms = it->last_seen_wall_ms;
		list[end.n_targets++] = &targets[i];
		if (end.n_targets == PM_FORWARD_END_MOST && i + 1 < fw->n) {
			reply.more = true;
			queue_envelope(fw, &env);
			reply.more = false;
			end.n_targets = 0;
		}
	}
	queue_envelope(fw, &env);
	free(targets);
	free(list);
}

static void finish_if_done(struct forward *fw)
{
	size_t n_done = 0;

	if (fw->n_over < fw->n)
		return;
	if (!fw->ended) {
		fw->ended = true;
		(void)uv_timer_stop(fw->deadline); /* never fails */
		queue_end(fw);
		for (size_t i = 0; i < fw->n; i++)
			n_done += fw->items[i].end == PM__FORWARD_STATE__FORWARD_DONE;
		fw->on_end(fw->arg, n_done, fw->n - n_done);
	}
	if (drain(fw))
		forward_free(fw);
}

/* ---- asking ---- */

static void item_over(struct forward_item *it, Pm__ForwardState end, const char *text)
{
	struct forward *fw = it->forward;

	if (it->state == ITEM_OVER)
		return;
	fw->n_asked -= it->state == ITEM_ASKED;
	it->state = ITEM_OVER;
	it->end = end;
	free(it->text);
	it->text = *text == '\0' ? NULL : pm_strdup(text);
	unlist_item(it);
	fw->n_over++;
}

/* What he is and may touch is one host's: each is told as it is there. */
static Pm__Actor actor_for(const struct forward_item *it)
{
	Pm__Actor actor = *it->forward->actor;

	if (it->role != NULL)
		actor.role = (char *)(uintptr_t)it->role;
	if (it->apps != NULL)
		actor.apps = it->apps;
	return actor;
}

static bool send_specs(const struct forward *fw, Pm__Actor *actor, struct pm_link *link)
{
	for (size_t i = 0; i < fw->what->n_specs; i++) {
		Pm__Envelope env = PM__ENVELOPE__INIT;

		env.id = pm_link_next_id(link);
		env.actor = actor;
		env.body_case = PM__ENVELOPE__BODY_SPEC_PUSH;
		env.spec_push = fw->what->specs[i];
		if (!pm_link_send(link, &env))
			return false;
	}
	return true;
}

static void ask(struct forward_item *it)
{
	struct forward *fw = it->forward;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Actor actor = actor_for(it);
	Pm__StatusRequest status;

	if (it->link == NULL || !pm_link_is_up(it->link)) {
		item_over(it, PM__FORWARD_STATE__FORWARD_OFFLINE, "");
		return;
	}
	env.id = it->id = pm_link_next_id(it->link);
	env.actor = &actor;
	if (fw->what->what_case == PM__FORWARD__WHAT_COMMAND) {
		env.body_case = PM__ENVELOPE__BODY_COMMAND;
		env.command = fw->what->command;
	} else {
		status = *fw->what->status_request;
		if (status.n_targets == 0) /* of all that he may see there */
			status.apps = actor.apps;
		env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
		env.status_request = &status;
	}
	if (!send_specs(fw, &actor, it->link) || !pm_link_send(it->link, &env)) {
		item_over(it, PM__FORWARD_STATE__FORWARD_DENIED,
		          "the request does not fit a record");
		return;
	}
	it->state = ITEM_ASKED;
	fw->n_asked++;
}

static void pump(struct forward *fw)
{
	while (!fw->held && fw->first_waiting < fw->n && fw->n_asked < fw->parallel) {
		struct forward_item *it = &fw->items[fw->first_waiting++];

		if (it->state == ITEM_WAITING)
			ask(it);
	}
	finish_if_done(fw);
}

static void on_deadline(uv_timer_t *timer)
{
	struct forward *fw = timer->data;

	for (size_t i = 0; i < fw->n; i++)
		item_over(&fw->items[i],
		          fw->items[i].state == ITEM_WAITING ? PM__FORWARD_STATE__FORWARD_OFFLINE
		                                             : PM__FORWARD_STATE__FORWARD_UNKNOWN,
		          fw->items[i].state == ITEM_WAITING ? "its turn did not come in time"
		                                             : "no answer in time");
	finish_if_done(fw);
}

/* ---- answers ---- */

static struct forward_item *find(struct forward_agent *agent, uint64_t id)
{
	for (struct forward_item *it = agent->waiting; it != NULL; it = it->next)
		if (it->state == ITEM_ASKED && it->id == id)
			return it;
	return NULL;
}

/* Take over the body; returns whether it ends the agent's answer, or -1 for what is none. */
static int convert(const Pm__Envelope *env, Pm__Forwarded *out)
{
	if (env->body_case == PM__ENVELOPE__BODY_RESULT) {
		out->what_case = PM__FORWARDED__WHAT_RESULT;
		out->result = env->result;
		return !env->result->more;
	}
	if (env->body_case == PM__ENVELOPE__BODY_PROGRESS) {
		out->what_case = PM__FORWARDED__WHAT_PROGRESS;
		out->progress = env->progress;
		return 0;
	}
	if (env->body_case == PM__ENVELOPE__BODY_STATUS_LIST) {
		out->what_case = PM__FORWARDED__WHAT_STATUS_LIST;
		out->status_list = env->status_list;
		return !env->status_list->more;
	}
	if (env->body_case == PM__ENVELOPE__BODY_ERROR) {
		out->what_case = PM__FORWARDED__WHAT_ERROR;
		out->error = env->error;
		return 1;
	}
	return -1;
}

bool forward_on_answer(struct forward_agent *agent, const Pm__Envelope *env)
{
	struct forward_item *it = find(agent, env->re);
	Pm__Forwarded forwarded = PM__FORWARDED__INIT;
	Pm__Envelope out = PM__ENVELOPE__INIT;
	struct forward *fw;
	int last;

	if (it == NULL)
		return false;
	last = convert(env, &forwarded);
	if (last < 0)
		return false;
	fw = it->forward;
	forwarded.agent = it->agent_id;
	forwarded.name = it->name;
	out.body_case = PM__ENVELOPE__BODY_FORWARDED;
	out.forwarded = &forwarded;
	queue_envelope(fw, &out);
	if (last > 0)
		item_over(it, PM__FORWARD_STATE__FORWARD_DONE, "");
	(void)drain(fw);
	pump(fw); /* may free it */
	return true;
}

void forward_agent_gone(struct forward_agent *agent)
{
	while (agent->waiting != NULL) {
		struct forward_item *it = agent->waiting;
		struct forward *fw = it->forward;

		if (it->state == ITEM_WAITING)
			item_over(it, PM__FORWARD_STATE__FORWARD_OFFLINE,
			          "the connection was lost before its turn came");
		else
			item_over(it, PM__FORWARD_STATE__FORWARD_UNKNOWN,
			          "the connection was lost before it had answered");
		pump(fw);
	}
}

void forward_operator_room(struct forwards *f, struct pm_link *operator)
{
	for (struct forward *fw = f->list, *next; fw != NULL; fw = next) {
		next = fw->next;
		if (fw->operator== operator&& drain(fw) && fw->ended)
			forward_free(fw);
	}
}

void forward_operator_gone(struct forwards *f, struct pm_link *operator)
{
	for (struct forward *fw = f->list, *next; fw != NULL; fw = next) {
		next = fw->next;
		if (fw->operator!= operator)
			continue;
		fw->operator= NULL;
		pm_buf_finish(&fw->queue);
		fw->queue_at = 0;
		if (fw->ended)
			forward_free(fw);
	}
}

/* ---- the beginning ---- */

static bool fill(struct forward *fw, const struct forward_request *r)
{
	fw->what = pm_message_copy(&r->what->base);
	fw->actor = pm_message_copy(&r->actor->base);
	fw->items = pm_calloc(r->n_targets + 1, sizeof(*fw->items));
	if (fw->what == NULL || fw->actor == NULL || fw->items == NULL)
		return false;
	for (size_t i = 0; i < r->n_targets; i++) {
		const struct forward_target *t = &r->targets[i];
		struct forward_item *it = &fw->items[fw->n++];

		it->forward = fw;
		it->agent_id = pm_strdup(t->id);
		it->name = pm_strdup(t->name);
		it->last_seen_wall_ms = t->last_seen_wall_ms;
		it->role = t->role;
		it->apps = t->apps == NULL ? NULL : pm_strdup(t->apps);
		if (it->agent_id == NULL || it->name == NULL ||
		    (t->apps != NULL && it->apps == NULL))
			return false;
	}
	return true;
}

static void settle_known(struct forward *fw, const struct forward_request *r)
{
	for (size_t i = 0; i < fw->n; i++) {
		const struct forward_target *t = &r->targets[i];

		if (t->state != PM__FORWARD_STATE__FORWARD_UNSPECIFIED) {
			item_over(&fw->items[i], t->state, t->text);
			continue;
		}
		fw->items[i].link = t->link;
		fw->items[i].agent = t->agent;
		fw->items[i].next = t->agent->waiting;
		t->agent->waiting = &fw->items[i];
	}
}

int forward_begin(struct forwards *f, const struct forward_request *r, uint64_t *ticket,
                  struct pm_error *err)
{
	struct forward *fw;

	if (f->n == PM_FORWARDS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %u requests are under way",
		               PM_FORWARDS_MAX);
	fw = pm_calloc(1, sizeof(*fw));
	if (fw != NULL)
		fw->deadline = pm_calloc(1, sizeof(*fw->deadline));
	if (fw == NULL || fw->deadline == NULL) {
		free(fw);
		return pm_fail(err, PM_NO_MEMORY, "forward a request");
	}
	(void)uv_timer_init(f->loop, fw->deadline); /* never fails */
	fw->deadline->data = fw;
	fw->all = f;
	fw->operator= r->operator;
	fw->id = r->id;
	fw->parallel = r->parallel == 0 ? SIZE_MAX : r->parallel;
	fw->on_end = r->ended;
	fw->arg = r->arg;
	fw->held = r->held;
	fw->ticket = ++f->tickets;
	fw->next = f->list;
	f->list = fw;
	f->n++;
	if (!fill(fw, r)) {
		forward_free(fw);
		return pm_fail(err, PM_NO_MEMORY, "forward a request");
	}
	settle_known(fw, r);
	uv_update_time(f->loop);
	(void)uv_timer_start(
		fw->deadline, on_deadline,
		r->what->deadline_ms == 0 ? PM_FORWARD_DEADLINE_MS : r->what->deadline_ms, 0);
	if (ticket != NULL)
		*ticket = fw->ticket;
	pump(fw);
	return 0;
}

void forward_go(struct forwards *f, uint64_t ticket, uint64_t number, const char *why)
{
	struct forward *fw = f->list;

	while (fw != NULL && fw->ticket != ticket)
		fw = fw->next;
	if (fw == NULL || !fw->held)
		return;
	fw->held = false;
	if (fw->what->what_case == PM__FORWARD__WHAT_COMMAND)
		fw->what->command->number = number;
	for (size_t i = 0; why != NULL && i < fw->n; i++)
		if (fw->items[i].state == ITEM_WAITING)
			item_over(&fw->items[i], PM__FORWARD_STATE__FORWARD_DENIED, why);
	pump(fw);
}
