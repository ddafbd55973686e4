/* peers_enrol.c - a key that is not known, and its token: it becomes a member, or hears why not. */
#include "coordinator/peers_priv.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"
#include "proto/log.h"
#include "proto/token.h"

struct enrolment {
	struct coord *c;
	struct pm_link *link; /* NULL: it has gone meanwhile */
	struct enrolment *next;
	uint64_t id;
	struct store_id member;
	struct store_key key;
	bool is_agent;
	char name[PM_NAME_MAX + 1];
	char facts[PEERS_FACTS_TEXT];
};

static struct enrolment *enrolments;

void peers_enrol_gone(const struct pm_link *l)
{
	for (struct enrolment *e = enrolments; e != NULL; e = e->next)
		if (e->link == l)
			e->link = NULL;
}

void peers_facts_text(const Pm__HostFacts *f, char out[PEERS_FACTS_TEXT])
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
			at += (size_t)snprintf(out + at, PEERS_FACTS_TEXT - at, "%s%s=%s",
			                       at > 0 ? "," : "", texts[i].key, value);
		}
	}
	(void)snprintf(out + at, PEERS_FACTS_TEXT - at, ",cpus=%u,memory=%llu", f->n_cpus,
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
	peers_of(e->link)->id = e->member;
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

void peers_on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	struct coord *c = arg;
	const struct peer *p = peers_of(l);
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
	peers_facts_text(enrol->facts, e->facts);
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
