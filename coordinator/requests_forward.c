/* requests_forward.c - requests and streams that are passed on to agents. */
#include "coordinator/requests_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/relay.h"
#include "coordinator/rollouts.h"
#include "proto/buf.h"
#include "proto/log.h"
#include "proto/ops.h"

static void on_forward_end(void *arg, size_t n_done, size_t n_other)
{
	(void)arg;
	pm_log(PM_LOG_INFO, "forward.end", "done=%zu other=%zu", n_done, n_other);
}

/* One that waits until it is counted. */
struct counting {
	struct coord *c;
	uint64_t ticket;
	size_t n;
	struct store_id agents[];
};

static void on_counted(void *arg, const struct store_result *r)
{
	struct counting *w = arg;
	char why[128];

	for (size_t i = 0; r->status == STORE_OK && i < w->n; i++) {
		struct node *n = members_node(&w->c->members, &w->agents[i]);

		if (n != NULL)
			n->command = PM_MAX(n->command, r->number);
	}
	(void)snprintf(why, sizeof(why), "the coordinator cannot write it down: %.80s",
	               r->status == STORE_OK ? "" : r->why);
	forward_go(w->c->forwards, w->ticket, r->number, r->status == STORE_OK ? NULL : why);
	free(w);
}

/* A command goes when the store has its number and the audit who gave it (X-50, S-14). */
static void count_first(struct coord *c, uint64_t ticket, const struct forward_target *list,
                        const struct targets *found, const struct audit_entry *audit)
{
	struct store_request request = { .op = STORE_COUNT, .now_ms = pm_wall_ms() };
	struct counting *w = pm_calloc(1, sizeof(*w) + found->n * sizeof(w->agents[0]));
	struct pm_error err;

	if (w == NULL) {
		forward_go(c->forwards, ticket, 0, "the coordinator has no memory");
		return;
	}
	w->c = c;
	w->ticket = ticket;
	for (size_t i = 0; i < found->n; i++)
		if (list[i].state == PM__FORWARD_STATE__FORWARD_UNSPECIFIED)
			w->agents[w->n++] = c->members.nodes[found->hosts[i]]->id;
	request.count = (struct store_count){ w->agents, w->n };
	request.audit = audit;
	if (fleet_store_submit(c->store, &request, on_counted, w, &err) == 0)
		return;
	forward_go(c->forwards, ticket, 0, err.what);
	free(w);
}

/* Why a node is not asked; UNSPECIFIED: it is. */
static Pm__ForwardState rule_out(const struct coord *c, const struct node *n, bool changes,
                                 bool allowed, const char **words)
{
	*words = "";
	if (!allowed) {
		*words = "your role does not allow it there";
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (changes && n->state == AGENT_QUARANTINED) {
		*words = n->note;
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (changes && n->store_old) {
		*words = n->store_why;
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (n->state != AGENT_ACCEPTED && n->state != AGENT_QUARANTINED) {
		*words = "it is not accepted";
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (!requests_has_active_key(c, n)) {
		*words = "its key is revoked";
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (n->link == NULL)
		return PM__FORWARD_STATE__FORWARD_OFFLINE;
	return PM__FORWARD_STATE__FORWARD_UNSPECIFIED;
}

/* The apps that a request is about; 0 of them: all. */
static size_t apps_of(const Pm__Forward *f, char **out, size_t most)
{
	Pm__Target *const *targets = f->what_case == PM__FORWARD__WHAT_COMMAND
	                                     ? f->command->targets
	                                     : f->status_request->targets;
	size_t n = f->what_case == PM__FORWARD__WHAT_COMMAND ? f->command->n_targets
	                                                     : f->status_request->n_targets;
	size_t kept = 0;

	if (n + f->n_specs > most)
		return 0; /* as if all were meant: more rights are needed, not fewer */
	for (size_t i = 0; i < n; i++)
		out[kept++] = targets[i]->text;
	for (size_t i = 0; i < f->n_specs; i++)
		out[kept++] =
			f->specs[i]->spec != NULL ? f->specs[i]->spec->name : requests_text("");
	return kept;
}

/* What a rollout changes at this moment is not changed behind its back (F-19). */
static int check_rollouts(const struct coord *c, const struct targets *found, char *const *apps,
                          size_t n_apps, struct pm_error *err)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct node *n = c->members.nodes[found->hosts[i]];
		const struct run *run = rollouts_holder(c->rollouts, &n->id, apps, n_apps);

		if (run == NULL)
			continue;
		(void)pm_fail(err, PM_LOCKED,
		              "%.60s is being changed by rollout %s (%.60s, by %.40s)", n->name,
		              run->id_text, run->rec->status->what, run->rec->status->by);
		pm_hint(err, "nothing was done; 'pmctl rollout pause %s' lets you", run->id_text);
		return -1;
	}
	return 0;
}

static int forward_to(struct coord *c, struct peer *p, uint64_t id, const Pm__Forward *f,
                      const struct fleet_view *v, const struct access *a, struct targets *found,
                      struct pm_error *err)
{
	PM_FREE struct forward_target *list = pm_calloc(found->n + 1, sizeof(*list));
	PM_FREE char **limits = pm_calloc(found->n + 1, sizeof(*limits));
	char *apps[64];
	size_t n_apps = apps_of(f, apps, PM_COUNT(apps));
	uint64_t ops = f->what_case == PM__FORWARD__WHAT_COMMAND
	                       ? pm_ops_of_command(f->command)
	                       : pm_ops_of_status(f->status_request);
	bool changes = f->what_case == PM__FORWARD__WHAT_COMMAND;
	/* Who may see some apps sees those: the agent leaves the others out. */
	bool looks_at_all = !changes && f->status_request->n_targets == 0;
	Pm__Actor actor;
	struct forward_request r;
	struct audit_entry entry;
	uint64_t ticket;
	PM_BUF names = { 0 };
	int rc = -1;

	if (list == NULL || limits == NULL)
		return pm_fail(err, PM_NO_MEMORY, "pass a request on");
	if (changes && pm_ops_change(ops) && check_rollouts(c, found, apps, n_apps, err) < 0)
		return -1;
	if (f->n_specs > 0)
		ops |= PM_OP_BIT(PM_OP_DEFINE);
	for (size_t i = 0; i < found->n; i++) {
		struct node *n = c->members.nodes[found->hosts[i]];
		bool allowed = access_allows(a, ops, found->hosts[i], apps, n_apps) ||
		               (looks_at_all && access_allows_some(a, ops, found->hosts[i]));

		list[i] = (struct forward_target){
			.id = n->id_text,
			.name = n->name,
			.link = n->link,
			.agent = &n->forwards,
			.last_seen_wall_ms = n->last_seen_ms,
			.role = p->local ? "admin" : access_role(a, found->hosts[i]),
			.apps = limits[i] = access_apps(a, ops, found->hosts[i]),
		};
		if (limits[i] == NULL) {
			(void)pm_fail(err, PM_NO_MEMORY, "pass a request on");
			goto out;
		}
		list[i].state = rule_out(c, n, changes, allowed, &list[i].text);
	}
	peer_actor(p, p->local ? "admin" : "none", &actor);
	if (changes) {
		if (targets_fold(found, &v->fleet, &names, err) < 0)
			goto out;
		entry = coord_entry(peer_name(p), pm_verb_name(f->command->verb), names.bytes,
		                    n_apps > 0 ? apps[0] : "", "sent");
	}
	r = (struct forward_request){
		.operator= p->link,
		.id = id,
		.what = f,
		.actor = &actor,
		.targets = list,
		.n_targets = found->n,
		.parallel = changes ? f->command->parallel : 0,
		.held = changes,
		.ended = on_forward_end,
	};
	rc = forward_begin(c->forwards, &r, &ticket, err);
	if (rc == 0 && changes)
		count_first(c, ticket, list, found, &entry);
out:
	for (size_t i = 0; i < found->n; i++)
		free(limits[i]);
	return rc;
}

void request_forward(struct coord *c, struct peer *p, uint64_t id, const Pm__Forward *f)
{
	struct fleet_view v = { 0 };
	struct access *a = NULL;
	struct targets found = { 0 };
	Pm__Selector one = PM__SELECTOR__INIT;
	struct pm_error err;
	bool ok;

	if (f->what_case == PM__FORWARD__WHAT__NOT_SET) {
		(void)pm_fail(&err, PM_PROTOCOL, "a request that asks nothing"); /* the reply */
		pm_link_reply_error(p->link, id, &err);
		return;
	}
	if (f->agent[0] != '\0') {
		struct node *n = members_node_named(&c->members, f->agent);

		one.hosts = n != NULL ? n->name : f->agent;
	}
	ok = fleet_view_make(&c->members, &v, &err) == 0 && peer_access(p, &v, &a, &err) == 0 &&
	     members_select(&v, f->selector != NULL && f->agent[0] == '\0' ? f->selector : &one,
	                    &found, &err) == 0 &&
	     forward_to(c, p, id, f, &v, a, &found, &err) == 0;
	if (!ok)
		pm_link_reply_error(p->link, id, &err);
	targets_finish(&found);
	access_destroy(a);
	fleet_view_finish(&v);
}

int request_stream(struct coord *c, struct peer *p, struct pm_link_stream *st,
                   const Pm__StreamOpen *open, struct pm_error *err)
{
	struct node *n = members_node_named(&c->members, open->agent);
	struct fleet_view v = { 0 };
	struct access *a = NULL;
	char *apps[64];
	size_t n_apps = 0, at = 0;
	PM_FREE char *limit = NULL;
	/* Who may see the logs of some apps and names none sees those, as of a list. */
	bool looks_at_all =
		open->what_case == PM__STREAM_OPEN__WHAT_LOGS && open->logs->n_targets == 0;
	Pm__StreamOpen passed = *open;
	Pm__LogQuery logs;
	Pm__Actor actor;
	int rc = -1;

	if (n == NULL)
		return pm_fail(err, PM_NOT_FOUND, "%.60s: no such node", open->agent);
	if (open->what_case == PM__STREAM_OPEN__WHAT_LOGS &&
	    open->logs->n_targets <= PM_COUNT(apps))
		for (; n_apps < open->logs->n_targets; n_apps++)
			apps[n_apps] = open->logs->targets[n_apps]->text;
	if (fleet_view_make(&c->members, &v, err) < 0 || peer_access(p, &v, &a, err) < 0)
		goto out;
	while (c->members.nodes[at] != n)
		at++;
	if (!access_allows(a, pm_ops_of_stream(open), at, apps, n_apps) &&
	    !(looks_at_all && access_allows_some(a, pm_ops_of_stream(open), at))) {
		(void)pm_fail(err, PM_DENIED, "your role does not allow that on %s", n->name);
		goto out;
	}
	if (n->link == NULL) {
		(void)pm_fail(err, PM_UNREACHABLE, "%s is not connected", n->name);
		goto out;
	}
	limit = access_apps(a, pm_ops_of_stream(open), at);
	if (limit == NULL) {
		(void)pm_fail(err, PM_NO_MEMORY, "open a stream");
		goto out;
	}
	peer_actor(p, p->local ? "admin" : access_role(a, at), &actor);
	actor.apps = limit;
	if (open->what_case == PM__STREAM_OPEN__WHAT_LOGS) {
		logs = *open->logs;
		logs.apps = looks_at_all ? limit : (char *)(uintptr_t) ""; /* whatever he says */
		passed.logs = &logs;
	}
	rc = relay_open(st, n->link, &passed, &actor, err);
out:
	access_destroy(a);
	fleet_view_finish(&v);
	return rc;
}
