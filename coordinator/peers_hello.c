/* peers_hello.c - the beginning of a session: which agent it is, and whether it is the one we know.
 */
#include "coordinator/peers_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollouts.h"
#include "coordinator/rotation.h"
#include "proto/log.h"

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

/* Another machine has this key, too: neither is commanded until somebody has looked. */
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

/* An older store was put back: what the agent did since then is not known here. */
static void take_old_store(struct coord *c, struct node *node, const char *why)
{
	(void)snprintf(node->store_why, sizeof(node->store_why),
	               "%.150s: an old copy of the store was put back? When that is in order: "
	               "pmctl node accept %.60s",
	               why, node->name);
	pm_log(PM_LOG_ERROR, "fleet.store_old", "node=%s %s", node->name, node->store_why);
	if (!node->store_old)
		coord_audit(c, "coordinator", "node.store_old", node->name, why, "ok");
	node->store_old = true;
}

/* Which agent it says to be, and what of it is known better here. */
static void judge(struct coord *c, struct node *node, struct pm_link *l, const Pm__Hello *hello)
{
	const Pm__AgentHello *agent = hello->agent;
	struct admit_hello h = { .epoch = agent->generation, .counter = agent->command_number };
	struct admit_verdict v;

	if (node->state != AGENT_ACCEPTED || agent->boot_id.len != sizeof(h.run))
		return;
	/* One of an earlier version counts nothing: as if it knew what we know. */
	if ((hello->features & PM_FEATURE_GENERATIONS) == 0)
		h.epoch = node->epoch;
	if (node->history.clone[0] != '\0')
		admit_release(&node->history); /* accepted again by an operator */
	admit_run(agent->boot_id.data, agent->epoch, h.run);
	peers_address_text(l, h.address, sizeof(h.address));
	admit_decide(&node->history, node->state, node->epoch, node->command, node->link != NULL,
	             &h, &v);
	switch (v.admit) {
	case ADMIT_CLONE:
		quarantine(c, node, node->history.clone, h.address);
		break;
	case ADMIT_STORE_OLD:
		take_old_store(c, node, v.why);
		break;
	case ADMIT:
		node->store_old = false;
		break;
	case ADMIT_QUARANTINED: /* of accepted ones neither is decided */
	case ADMIT_REFUSED:
		break;
	}
}

static int take_facts(struct coord *c, const Pm__HostFacts *said, struct node *node,
                      struct pm_error *err)
{
	char facts[PEERS_FACTS_TEXT];
	struct store_request set = { .op = STORE_SET_AGENT, .now_ms = pm_wall_ms() };
	struct store_agent row = {
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

	if (said == NULL)
		return 0;
	peers_facts_text(said, facts);
	if (strcmp(facts, node->facts_text) == 0)
		return 0;
	set.set_agent = (struct store_set_agent){ .id = node->id, .facts = facts, .drained = -1 };
	submit(c, &set);
	return members_put_node(&c->members, &row, NULL, err);
}

/* ---- a session's number ---- */

/* An agent that waits for its Welcome. */
struct greeting {
	struct greeting *next;
	struct coord *c;
	struct pm_link *link; /* NULL: it has gone meanwhile */
	struct store_id agent;
};

static struct greeting *greetings;

void peers_hello_gone(const struct pm_link *l)
{
	for (struct greeting *g = greetings; g != NULL; g = g->next)
		if (g->link == l)
			g->link = NULL;
}

static void fill(struct coord *c, struct node *node, uint64_t generation, Pm__FleetWelcome *out)
{
	pm__fleet_welcome__init(out);
	out->agent_id = node->id_text;
	out->cluster_id = c->cluster_text;
	out->heartbeat_ms = c->heartbeat_ms;
	out->generation = generation;
	out->keys = rotation_keys(c->rotation);
}

static void greet(struct greeting *g, const struct store_result *r)
{
	struct node *node = members_node(&g->c->members, &g->agent);
	Pm__Welcome welcome = PM__WELCOME__INIT;
	Pm__FleetWelcome fleet;
	struct pm_error err;

	if (node == NULL || r->status == STORE_NOT_FOUND) {
		(void)pm_fail(&err, PM_DENIED, "this key is no agent's any more");
		pm_link_welcome(g->link, NULL, &err);
		return;
	}
	if (r->status == STORE_OK)
		node->epoch = PM_MAX(node->epoch, r->revision);
	else /* it is seen, and commanded again when the store writes */
		pm_log(PM_LOG_WARN, "store.unavailable",
		       "node=%s has a session without a number: %s", node->name, r->why);
	peers_of(g->link)->node = node;
	fill(g->c, node, r->status == STORE_OK ? r->revision : 0, &fleet);
	welcome.fleet = &fleet;
	pm_link_welcome(g->link, &welcome, NULL);
}

static void on_begun(void *arg, const struct store_result *r)
{
	struct greeting *g = arg, **at = &greetings;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (g->link != NULL)
		greet(g, r);
	free(g);
}

/* The agent keeps the number of its session: it must be in the store for good before. */
static int begin_numbered(struct coord *c, struct node *node, struct pm_link *l,
                          struct pm_error *err)
{
	struct store_request request = { .op = STORE_BEGIN_SESSION, .now_ms = pm_wall_ms() };
	struct greeting *g = pm_calloc(1, sizeof(*g));

	if (g == NULL)
		return pm_fail(err, PM_NO_MEMORY, "begin a session");
	*g = (struct greeting){ greetings, c, l, node->id };
	request.session = (struct store_session){ .agent = node->id, .coordinator = "" };
	if (fleet_store_submit(c->store, &request, on_begun, g, err) < 0) {
		free(g);
		return -1;
	}
	greetings = g;
	return 1;
}

static int hello_agent(struct coord *c, struct pm_link *l, const Pm__Hello *hello,
                       Pm__FleetWelcome *fleet, struct pm_error *err)
{
	struct node *node = members_node(&c->members, &peers_of(l)->id);

	if (node == NULL)
		return pm_fail(err, PM_DENIED, "this key is no agent's any more");
	if (hello->agent == NULL)
		return pm_fail(err, PM_PROTOCOL, "an agent says what it is");
	if (hello->agent->generation > PM_COUNT_MAX || hello->agent->command_number > PM_COUNT_MAX)
		return pm_fail(err, PM_PROTOCOL, "nobody has counted that far");
	judge(c, node, l, hello);
	node_take_clock(node, hello->agent->monotonic_ms);
	if (take_facts(c, hello->agent->facts, node, err) < 0)
		return -1;
	/* Of an old store nothing is counted on: it would come to what the agent knows. */
	if (!node->store_old)
		return begin_numbered(c, node, l, err);
	peers_of(l)->node = node;
	fill(c, node, 0, fleet);
	return 0;
}

int peers_on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                   struct pm_error *err)
{
	static Pm__FleetWelcome fleet; /* packed right after this call */
	struct coord *c = arg;

	pm__fleet_welcome__init(&fleet);
	welcome->fleet = &fleet;
	if (peers_of(l)->is_agent)
		return hello_agent(c, l, hello, &fleet, err);
	fleet.cluster_id = c->cluster_text;
	fleet.keys = rotation_keys(c->rotation);
	return 0;
}
