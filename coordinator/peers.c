/* peers.c - sessions of agents and operators: who may come in, enrolment, heartbeats, the end. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "coordinator/relay.h"
#include "proto/hostlist.h"
#include "proto/log.h"
#include "proto/token.h"

#define FACTS_TEXT 1024

static void address_text(const struct pm_link *l, char *out, size_t size)
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

static struct peer *peer_of(const struct pm_link *l)
{
	return pm_link_user(l);
}

static struct node *node_of(const struct pm_link *l)
{
	const struct peer *p = peer_of(l);

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

	if (k->state != KEY_ACTIVE && k->state != KEY_NEXT)
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
	bool local = role == PM_ROLE_OPERATOR && pm_key_same(key, pm_key_public(c->key));
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

/* ---- enrolment ---- */

struct enrolment {
	struct coord *c;
	struct pm_link *link; /* NULL: it has gone meanwhile */
	struct enrolment *next;
	uint64_t id;
	struct store_id member;
	struct store_key key;
	bool is_agent;
	char name[PM_NAME_MAX + 1];
	char facts[FACTS_TEXT];
};

static struct enrolment *enrolments;

static void forget_enrolments(const struct pm_link *l)
{
	for (struct enrolment *e = enrolments; e != NULL; e = e->next)
		if (e->link == l)
			e->link = NULL;
}

/* Facts as labels; what does not fit the form of one is left out. */
static void facts_text(const Pm__HostFacts *f, char out[FACTS_TEXT])
{
	size_t at = 0;

	out[0] = '\0';
	if (f == NULL)
		return;
	{
		const struct {
			const char *key, *value;
		} texts[] = { { "hostname", f->hostname },
			      { "os", f->os },
			      { "arch", f->arch },
			      { "version", f->version } };

		for (size_t i = 0; i < PM_COUNT(texts); i++) {
			char value[128];
			size_t len = 0;

			for (const char *p = texts[i].value; *p != '\0' && len < sizeof(value) - 1;
			     p++)
				value[len++] = pm_label_value_ok(p, 1) ? *p : '-';
			value[len] = '\0';
			at += (size_t)snprintf(out + at, FACTS_TEXT - at, "%s%s=%s",
			                       at > 0 ? "," : "", texts[i].key, value);
		}
	}
	(void)snprintf(out + at, FACTS_TEXT - at, ",cpus=%u,memory=%llu", f->n_cpus,
	               (unsigned long long)f->memory);
}

static const char *enrol_words(enum store_status status)
{
	switch (status) {
	case STORE_NOT_FOUND:
		return "this token is not known: it was used, has expired, or is not for that name";
	case STORE_CONFLICT:
		return "that name is in use: choose another with --name";
	case STORE_UNAVAILABLE:
		return "the coordinator cannot write at the moment";
	case STORE_OK:
		break;
	}
	return "";
}

/* What the token gave it is in the store, and read from there. */
static int remember(struct enrolment *e, struct pm_error *err)
{
	struct coord *c = e->c;
	const struct store_key_row key = { .key = e->key,
		                           .kind = e->is_agent ? MEMBER_AGENT : MEMBER_OPERATOR,
		                           .owner = e->member,
		                           .state = KEY_ACTIVE };

	return members_put_key(&c->members, &key, err);
}

static void answer_enrolled(struct enrolment *e)
{
	Pm__Enrolled enrolled = PM__ENROLLED__INIT;
	Pm__Label labels[PM_LABELS_MAX], *list[PM_LABELS_MAX];
	const struct node *node = e->is_agent ? members_node(&e->c->members, &e->member) : NULL;
	char id[MEMBER_ID_TEXT];

	member_id_text(&e->member, id);
	enrolled.id = id;
	enrolled.name = e->name;
	enrolled.cluster_id = e->c->cluster_text;
	if (node != NULL)
		enrolled.n_labels = coord_labels(&node->labels, labels, list, PM_LABELS_MAX);
	enrolled.labels = list;
	if (e->link == NULL)
		return;
	peer_of(e->link)->id = e->member;
	pm_link_enrolled(e->link, e->id, &enrolled);
}

static void enrolment_free(struct enrolment *e)
{
	struct enrolment **at = &enrolments;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	free(e);
}

/* The member is in memory: it may say Hello. */
static void on_refreshed(void *arg)
{
	struct enrolment *e = arg;

	answer_enrolled(e);
	enrolment_free(e);
}

static void on_enrolled(void *arg, const struct store_result *r)
{
	struct enrolment *e = arg;
	struct pm_error err;

	if (r->status != STORE_OK) {
		(void)pm_fail(&err, r->status == STORE_UNAVAILABLE ? PM_NO_SPACE : PM_DENIED, "%s",
		              enrol_words(r->status)); /* for the peer */
		coord_audit(e->c, e->is_agent ? "an agent" : "an operator", "enrol", e->name, "",
		            enrol_words(r->status));
		if (e->link != NULL)
			pm_link_refuse(e->link, e->id, &err);
		enrolment_free(e);
		return;
	}
	if (r->n > 0) /* a token for one operator says whose it is */
		(void)snprintf(e->name, sizeof(e->name), "%s", r->identity[0].name);
	pm_log(PM_LOG_INFO, "fleet.enrolled", "name=%s kind=%s", e->name,
	       e->is_agent ? "agent" : "operator");
	if (remember(e, &err) < 0) {
		if (e->link != NULL)
			pm_link_refuse(e->link, e->id, &err);
		enrolment_free(e);
		return;
	}
	coord_when_fresh(e->c, on_refreshed, e);
}

/* The name that it asks for, its host's, or one made of its key. */
static void choose_name(const struct coord *c, const Pm__Enrol *enrol, struct enrolment *e)
{
	const char *host = enrol->facts != NULL ? enrol->facts->hostname : "";

	if (enrol->name[0] != '\0') {
		(void)snprintf(e->name, sizeof(e->name), "%s", enrol->name);
	} else if (hostlist_is_name(host) && members_node_named(&c->members, host) == NULL) {
		(void)snprintf(e->name, sizeof(e->name), "%s", host);
	} else {
		char id[MEMBER_ID_TEXT];

		member_id_text(&e->member, id);
		(void)snprintf(e->name, sizeof(e->name), "%.80s-%.6s",
		               hostlist_is_name(host) ? host : "node", id);
	}
}

static void on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	struct coord *c = arg;
	const struct peer *p = peer_of(l);
	struct enrolment *e = pm_calloc(1, sizeof(*e));
	struct store_request request = { .op = STORE_ENROL, .now_ms = pm_wall_ms() };
	struct audit_entry entry;
	struct pm_error err;

	if (e == NULL) {
		(void)pm_fail(&err, PM_NO_MEMORY, "enrol"); /* for the peer */
		pm_link_refuse(l, id, &err);
		return;
	}
	*e = (struct enrolment){ .c = c, .link = l, .id = id, .is_agent = p->is_agent };
	randombytes_buf(e->member.bytes, sizeof(e->member.bytes));
	memcpy(e->key.bytes, pm_link_peer_key(l), sizeof(e->key.bytes));
	choose_name(c, enrol, e);
	e->next = enrolments;
	enrolments = e;
	facts_text(enrol->facts, e->facts);
	if (!hostlist_is_name(e->name)) {
		(void)pm_fail(&err, PM_USAGE,
		              "the name is none: letters, digits, '.', '_' and '-'");
		pm_link_refuse(l, id, &err);
		enrolment_free(e);
		return;
	}
	request.enrol = (struct store_enrol){
		.kind = e->is_agent ? MEMBER_AGENT : MEMBER_OPERATOR,
		.id = e->member,
		.key = e->key,
		.name = e->name,
		.claimed = "",
		.facts = e->facts,
	};
	memcpy(request.enrol.token.bytes, enrol->token_id.data, sizeof(request.enrol.token.bytes));
	pm_token_hash(enrol->token_id.data, enrol->secret.data, request.enrol.secret_hash.bytes);
	entry = coord_entry(e->name, "enrol", e->is_agent ? "agent" : "operator", "", "ok");
	request.audit = &entry;
	if (fleet_store_submit(c->store, &request, on_enrolled, e, &err) < 0) {
		pm_link_refuse(l, id, &err);
		enrolment_free(e);
	}
}

/* ---- greetings ---- */

static void ignore(void *arg, const struct store_result *r)
{
	(void)arg;
	if (r->status == STORE_UNAVAILABLE)
		pm_log(PM_LOG_WARN, "store.unavailable", "%s", r->why);
}

static void submit(struct coord *c, const struct store_request *request)
{
	struct pm_error err;

	if (fleet_store_submit(c->store, request, ignore, NULL, &err) < 0)
		pm_log(PM_LOG_WARN, "store.busy", "%s", err.what);
}

static void quarantine(struct coord *c, struct node *node, const char *a, const char *b)
{
	char note[160];
	struct store_request request = { .op = STORE_SET_AGENT, .now_ms = pm_wall_ms() };
	struct audit_entry entry;

	(void)snprintf(note, sizeof(note), "its key is used by two machines: %.60s and %.60s", a,
	               b);
	node->state = AGENT_QUARANTINED;
	free(node->note);
	node->note = pm_strdup(note);
	request.set_agent = (struct store_set_agent){
		.id = node->id, .state = AGENT_QUARANTINED, .note = note, .drained = -1
	};
	entry = coord_entry("coordinator", "node.quarantine", node->name, note, "ok");
	request.audit = &entry;
	submit(c, &request);
	pm_log(PM_LOG_ERROR, "fleet.clone", "node=%s %s", node->name, note);
}

/* Whether another machine has this key, too: then neither is commanded until somebody looked. */
static void look_for_clone(struct coord *c, struct node *node, struct pm_link *l,
                           const Pm__AgentHello *hello)
{
	struct admit_hello h = { .epoch = node->epoch };
	struct admit_verdict v;

	if (node->state != AGENT_ACCEPTED || hello->boot_id.len != sizeof(h.run))
		return;
	if (node->history.clone[0] != '\0')
		admit_release(&node->history); /* accepted again by an operator */
	admit_run(hello->boot_id.data, hello->epoch, h.run);
	address_text(l, h.address, sizeof(h.address));
	admit_decide(&node->history, node->state, node->epoch, 0, node->link != NULL, &h, &v);
	if (v.admit == ADMIT_CLONE)
		quarantine(c, node, node->history.clone, h.address);
}

/* A later session of the same key replaces the one that is there. */
static void replace_session(struct node *node, struct pm_link *l)
{
	struct pm_error err;

	if (node->link == NULL || node->link == l)
		return;
	(void)pm_fail(&err, PM_EXISTS, "a newer session of this key has begun");
	forward_agent_gone(&node->forwards);
	pm_link_close(node->link, &err);
	node->link = NULL;
}

static int hello_agent(struct coord *c, struct pm_link *l, const Pm__Hello *hello,
                       Pm__FleetWelcome *fleet, struct pm_error *err)
{
	struct node *node = members_node(&c->members, &peer_of(l)->id);
	struct store_request request = { .op = STORE_BEGIN_SESSION, .now_ms = pm_wall_ms() };

	if (node == NULL)
		return pm_fail(err, PM_DENIED, "this key is no agent's any more");
	if (hello->agent == NULL)
		return pm_fail(err, PM_PROTOCOL, "an agent says what it is");
	look_for_clone(c, node, l, hello->agent);
	replace_session(node, l);
	peer_of(l)->node = node;
	node->epoch++;
	request.session = (struct store_session){ .agent = node->id, .coordinator = "" };
	submit(c, &request);
	if (hello->agent->facts != NULL) {
		char facts[FACTS_TEXT];

		facts_text(hello->agent->facts, facts);
		if (strcmp(facts, node->facts_text) != 0) {
			const struct store_agent row = {
				.id = node->id,
				.name = node->name,
				.state = node->state,
				.labels = node->labels_text,
				.claimed = node->claimed_text,
				.facts = facts,
				.note = node->note,
				.drained = node->drained,
				.enrolled_ms = node->enrolled_ms,
				.enrolled_by = node->enrolled_by,
			};
			struct store_request set = { .op = STORE_SET_AGENT,
				                     .now_ms = pm_wall_ms() };

			set.set_agent = (struct store_set_agent){ .id = node->id,
				                                  .facts = facts,
				                                  .drained = -1 };
			submit(c, &set);
			if (members_put_node(&c->members, &row, &node, err) < 0)
				return -1;
		}
	}
	fleet->agent_id = node->id_text;
	fleet->cluster_id = c->cluster_text;
	fleet->heartbeat_ms = c->heartbeat_ms;
	return 0;
}

static int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                    struct pm_error *err)
{
	static Pm__FleetWelcome fleet; /* packed right after this call */
	struct coord *c = arg;

	pm__fleet_welcome__init(&fleet);
	welcome->fleet = &fleet;
	if (peer_of(l)->is_agent)
		return hello_agent(c, l, hello, &fleet, err);
	fleet.cluster_id = c->cluster_text;
	return 0;
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	struct node *node = node_of(l);

	(void)arg;
	(void)welcome;
	if (node == NULL)
		return;
	node->link = l;
	node->suspect = false;
	node->connected_ms = node->last_seen_ms = pm_wall_ms();
	node->seen_dirty = true;
	address_text(l, node->address, sizeof(node->address));
	pm_log(PM_LOG_INFO, "fleet.up", "node=%s address=%s", node->name, node->address);
}

/* ---- messages ---- */

static void on_heartbeat(struct node *node, const Pm__Heartbeat *beat)
{
	node->last_seen_ms = pm_wall_ms();
	node->seen_dirty = true;
	node->running = beat->running;
	node->failed = beat->failed;
	node->load_permille = beat->load_permille;
	node->revision = beat->state_revision;
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
	struct peer *p = peer_of(l);
	struct node *node = node_of(l);

	if (p->is_agent) {
		if (node == NULL)
			return;
		if (kind == PM_EVENT_ANSWER)
			(void)forward_on_answer(&node->forwards, env); /* late ones are nobody's */
		else if (env->body_case == PM__ENVELOPE__BODY_HEARTBEAT)
			on_heartbeat(node, env->heartbeat);
		else if (kind == PM_EVENT_REQUEST)
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
	struct peer *p = peer_of(pm_link_stream_link(st));

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
	struct peer *p = peer_of(l);
	struct node *node = node_of(l);

	(void)retry_after_ms;
	forget_enrolments(l);
	if (p == NULL)
		return;
	if (node != NULL && node->link == l) {
		node->link = NULL;
		node->suspect = false;
		pm_log(PM_LOG_INFO, "fleet.down", "node=%s %s", node->name, why->what);
		forward_agent_gone(&node->forwards);
	}
	if (!p->is_agent)
		forward_operator_gone(c->forwards, l);
	requests_link_gone(l);
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
	const struct peer *p = peer_of(l);

	if (p != NULL && !p->local && memcmp(&p->id, cut->id, sizeof(p->id)) == 0)
		cut_link(l, cut->why);
}

void peers_forget_node(struct node *node)
{
	if (node->link == NULL)
		return;
	forward_agent_gone(&node->forwards);
	peer_of(node->link)->node = NULL;
	node->link = NULL;
}

void peers_cut(struct coord *c, const struct store_id *id, const char *why)
{
	struct cut cut = { id, why };

	pm_hub_each(c->hub, cut_one, &cut);
}

const struct pm_link_handlers peer_handlers = {
	.peer = on_peer,
	.hello = on_hello,
	.enrol = on_enrol,
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
