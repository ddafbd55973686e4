/* peers.c - sessions of agents and operators: who may come in, what they say, the end. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/budgets.h"
#include "coordinator/peers_priv.h"
#include "coordinator/relay.h"
#include "coordinator/rollouts.h"
#include "coordinator/rotation.h"
#include "proto/log.h"

void peers_address_text(const struct pm_link *l, char *out, size_t size)
{
	struct sockaddr_storage at;
	char host[INET6_ADDRSTRLEN] = "?";

	(void)snprintf(out, size, "?");
	if (!pm_hub_peer(l, &at))
		return;
	if (at.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&at;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(out, size, "%s:%u", host, ntohs(in->sin_port));
	} else if (at.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&at;

		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		(void)snprintf(out, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
}

struct peer *peers_of(const struct pm_link *l)
{
	return pm_link_user(l);
}

static struct node *node_of(const struct pm_link *l)
{
	const struct peer *p = peers_of(l);

	return p == NULL ? NULL : p->node;
}

const char *peer_name(const struct peer *p)
{
	const struct oper *o;

	if (p->local)
		return "local";
	o = members_oper(&p->c->members, &p->id);
	return o != NULL ? o->name : "?";
}

void peer_actor(const struct peer *p, const char *role, Pm__Actor *out)
{
	pm__actor__init(out);
	out->operator_ = (char *)(uintptr_t)peer_name(p);
	out->role = (char *)(uintptr_t)role;
	out->key.data = (uint8_t *)(uintptr_t)pm_link_peer_key(p->link);
	out->key.len = out->key.data != NULL ? PM_KEY_BYTES : 0;
}

int peer_access(const struct peer *p, const struct fleet_view *v, struct access **out,
                struct pm_error *err)
{
	static char admin[] = "admin", none[] = ""; /* the rights borrow them */
	struct binding all = { .role = admin, .targets = none, .apps = none };
	struct oper local = { .state = OPERATOR_ACTIVE, .bindings = &all, .n_bindings = 1 };
	const struct oper *o = p->local ? &local : members_oper(&p->c->members, &p->id);

	if (o == NULL)
		return pm_fail(err, PM_DENIED, "this key is no operator's any more");
	return access_make(v, o, out, err);
}

/* ---- at the door ---- */

static struct peer *attach(struct coord *c, struct pm_link *l, bool is_agent)
{
	struct peer *p = pm_calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->c = c;
	p->is_agent = is_agent;
	p->link = l;
	pm_link_set_user(l, p);
	return p;
}

static bool is_welcome(struct coord *c, const struct member_key *k)
{
	const struct node *node;
	const struct oper *oper;

	if (!member_key_is_good(k, pm_wall_ms()))
		return false;
	if (k->kind == MEMBER_OPERATOR) {
		oper = members_oper(&c->members, &k->owner);
		return oper != NULL && oper->state == OPERATOR_ACTIVE;
	}
	node = members_node(&c->members, &k->owner);
	return node != NULL && node->state != AGENT_REJECTED;
}

static enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role, const uint8_t *key)
{
	struct coord *c = arg;
	const struct member_key *k = members_key(&c->members, key);
	bool local = role == PM_ROLE_OPERATOR && rotation_is_own(c->rotation, key);
	struct peer *p;

	if (role != PM_ROLE_AGENT && role != PM_ROLE_OPERATOR)
		return PM_PEER_REFUSED;
	if (k != NULL &&
	    ((k->kind == MEMBER_AGENT) != (role == PM_ROLE_AGENT) || !is_welcome(c, k)))
		return PM_PEER_REFUSED;
	p = attach(c, l, role == PM_ROLE_AGENT);
	if (p == NULL)
		return PM_PEER_REFUSED;
	p->local = local;
	if (k != NULL)
		p->id = k->owner;
	return k != NULL || local ? PM_PEER_KNOWN : PM_PEER_NEW;
}

/* ---- messages ---- */

/* A later session of the same key replaces the one that is there. */
static void replace_session(struct coord *c, struct node *node, struct pm_link *l)
{
	struct pm_error err;

	if (node->link == NULL || node->link == l)
		return;
	(void)pm_fail(&err, PM_EXISTS, "a newer session of this key has begun");
	forward_agent_gone(&node->forwards);
	pm_link_close(node->link, &err);
	node->link = NULL;
	rollouts_agent_gone(c->rollouts, node);
	budgets_agent_gone(c->budgets, node);
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	struct coord *c = arg;
	struct node *node = node_of(l);

	(void)welcome;
	rotation_came(c->rotation, peers_of(l));
	if (node == NULL)
		return;
	replace_session(c, node, l);
	node->link = l;
	node->suspect = false;
	node->connected_ms = node->last_seen_ms = pm_wall_ms();
	node->seen_dirty = true;
	peers_address_text(l, node->address, sizeof(node->address));
	pm_log(PM_LOG_INFO, "fleet.up", "node=%s address=%s", node->name, node->address);
	rollouts_agent_up(c->rollouts, node);
}

static void on_heartbeat(struct node *node, const Pm__Heartbeat *beat)
{
	node->last_seen_ms = pm_wall_ms();
	node->seen_dirty = true;
	if (node->beat_ms != 0 && beat->monotonic_ms != 0) /* only of one that said so at once */
		node_take_clock(node, beat->monotonic_ms);
	node->running = beat->running;
	node->failed = beat->failed;
	node->load_permille = beat->load_permille;
	node->revision = beat->state_revision;
	if (beat->generation <= node->epoch)
		admit_confirm(&node->history, beat->generation);
	if (beat->wall_ms != 0)
		node->clock_offset_ms = beat->wall_ms - node->last_seen_ms;
}

static void not_for_us(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_error err;

	(void)pm_fail(&err, PM_UNSUPPORTED, "a coordinator does not answer that"); /* the reply */
	if (env->id != 0)
		pm_link_reply_error(l, env->id, &err);
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	struct coord *c = arg;
	struct peer *p = peers_of(l);
	struct node *node = node_of(l);

	if (env->body_case == PM__ENVELOPE__BODY_KEY_OFFER) {
		rotation_offer(c->rotation, p, env->id, env->key_offer);
		return;
	}
	if (p->is_agent) {
		if (node == NULL)
			return;
		if (kind == PM_EVENT_ANSWER)
			(void)(forward_on_answer(&node->forwards, env) ||
			       ask_on_answer(&node->asks, env)); /* late ones are nobody's */
		else if (env->body_case == PM__ENVELOPE__BODY_HEARTBEAT)
			on_heartbeat(node, env->heartbeat);
		else if (!budgets_on_message(c->budgets, node, env) && kind == PM_EVENT_REQUEST)
			not_for_us(l, env);
		return;
	}
	if (env->body_case == PM__ENVELOPE__BODY_FORWARD)
		request_forward(c, p, env->id, env->forward);
	else if (env->body_case == PM__ENVELOPE__BODY_FLEET_REQUEST)
		request_fleet(c, p, env->id, env->fleet_request);
	else if (kind == PM_EVENT_REQUEST)
		not_for_us(l, env);
}

static void on_suspect(void *arg, struct pm_link *l, bool suspected)
{
	struct node *node = node_of(l);

	(void)arg;
	if (node == NULL || node->link != l)
		return;
	node->suspect = suspected;
	pm_log(PM_LOG_WARN, "fleet.suspect", "node=%s %s", node->name,
	       suspected ? "is silent" : "is heard again");
}

static void on_room(void *arg, struct pm_link *l)
{
	struct coord *c = arg;

	forward_operator_room(c->forwards, l);
}

static int on_stream_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                          struct pm_error *err)
{
	struct coord *c = arg;
	struct peer *p = peers_of(pm_link_stream_link(st));

	if (p->is_agent)
		return pm_fail(err, PM_DENIED, "agents open no streams here");
	return request_stream(c, p, st, open, err);
}

static void on_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	(void)arg;
	relay_data(st, data);
}

static void on_stream_ready(void *arg, struct pm_link_stream *st)
{
	(void)arg;
	relay_ready(st);
}

static void on_stream_credit(void *arg, struct pm_link_stream *st, uint32_t bytes)
{
	(void)arg;
	relay_credit(st, bytes);
}

static void on_stream_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	(void)arg;
	relay_closed(st, why);
}

/* ---- the end ---- */

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	struct coord *c = arg;
	struct peer *p = peers_of(l);
	struct node *node = node_of(l);

	(void)retry_after_ms;
	peers_enrol_gone(l);
	peers_hello_gone(l);
	if (p == NULL)
		return;
	if (node != NULL && node->link == l) {
		node->link = NULL;
		node->suspect = false;
		pm_log(PM_LOG_INFO, "fleet.down", "node=%s %s", node->name, why->what);
		forward_agent_gone(&node->forwards);
		rollouts_agent_gone(c->rollouts, node);
		budgets_agent_gone(c->budgets, node);
	}
	if (!p->is_agent)
		forward_operator_gone(c->forwards, l);
	requests_link_gone(c, l);
	pm_link_set_user(l, NULL);
	free(p);
}

static void cut_link(struct pm_link *l, const char *why)
{
	struct pm_error err;

	(void)pm_fail(&err, PM_DENIED, "%s", why); /* what the log says; the peer hears nothing */
	pm_link_close(l, &err);
}

struct cut {
	const struct store_id *id;
	const char *why;
};

static void cut_one(void *arg, struct pm_link *l)
{
	const struct cut *cut = arg;
	const struct peer *p = peers_of(l);

	if (p != NULL && !p->local && memcmp(&p->id, cut->id, sizeof(p->id)) == 0)
		cut_link(l, cut->why);
}

/* One whose session has not begun, too. */
static void forget_one(void *arg, struct pm_link *l)
{
	struct peer *p = peers_of(l);

	if (p != NULL && p->node == arg)
		p->node = NULL;
}

void peers_forget_node(struct coord *c, struct node *node)
{
	pm_hub_each(c->hub, forget_one, node);
	if (node->link == NULL)
		return;
	forward_agent_gone(&node->forwards);
	node->link = NULL;
	rollouts_agent_gone(c->rollouts, node);
}

void peers_cut(struct coord *c, const struct store_id *id, const char *why)
{
	struct cut cut = { id, why };

	pm_hub_each(c->hub, cut_one, &cut);
}

const struct pm_link_handlers peer_handlers = {
	.peer = on_peer,
	.hello = peers_on_hello,
	.enrol = peers_on_enrol,
	.up = on_up,
	.message = on_message,
	.suspect = on_suspect,
	.room = on_room,
	.stream_open = on_stream_open,
	.stream_data = on_stream_data,
	.stream_ready = on_stream_ready,
	.stream_credit = on_stream_credit,
	.stream_closed = on_stream_closed,
	.closed = on_closed,
};
