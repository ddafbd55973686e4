/* access.c - which nodes are meant, and who may do what on them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/members.h"
#include "proto/buf.h"
#include "proto/glob.h"
#include "proto/node_state.h"
#include "proto/ops.h"

/* ---- the fleet as target expressions see it ---- */

static const char *number(uint64_t value)
{
	static char text[24]; /* the caller looks at it before it asks again */

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return text;
}

/* host.NAME; of apps a coordinator knows nothing that it would vouch for. */
static const char *fact(void *arg, size_t host, const struct where_path *path)
{
	const struct fleet_view *v = arg;
	const struct node *n = v->members->nodes[host];

	if (path->root != WHERE_HOST)
		return NULL;
	if (strcmp(path->name, "state") == 0)
		return pm_node_state_name(node_state(n));
	if (strcmp(path->name, "id") == 0)
		return n->id_text;
	if (strcmp(path->name, "drained") == 0)
		return n->drained ? "true" : "false";
	if (strcmp(path->name, "running") == 0)
		return n->link == NULL ? NULL : number(n->running);
	if (strcmp(path->name, "failed") == 0)
		return n->link == NULL ? NULL : number(n->failed);
	if (strcmp(path->name, "load") == 0)
		return n->link == NULL ? NULL : number(n->load_permille);
	return pm_labels_get(&n->facts, path->name);
}

static bool find_group(void *arg, const char *name, struct targets_query *out)
{
	const struct fleet_view *v = arg;

	for (size_t i = 0; i < v->members->n_groups; i++) {
		const struct fleet_group *g = &v->members->groups[i];

		if (strcmp(g->name, name) != 0)
			continue;
		*out = (struct targets_query){ 0 };
		if (strcmp(g->form, "label") == 0)
			out->label = g->text;
		else if (strcmp(g->form, "where") == 0)
			out->where = g->text;
		else
			out->hosts = g->text;
		return true;
	}
	return false;
}

int fleet_view_make(const struct members *m, struct fleet_view *out, struct pm_error *err)
{
	*out = (struct fleet_view){ .members = m };
	out->hosts = pm_calloc(m->n_nodes + 1, sizeof(*out->hosts));
	if (out->hosts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "find the hosts");
	for (size_t i = 0; i < m->n_nodes; i++)
		out->hosts[i] = (struct targets_host){ m->nodes[i]->name, m->nodes[i]->labels,
			                               m->nodes[i]->claimed };
	out->fleet = (struct targets_fleet){
		.hosts = out->hosts,
		.n = m->n_nodes,
		.fact = fact,
		.group = find_group,
		.arg = out,
	};
	return 0;
}

void fleet_view_finish(struct fleet_view *v)
{
	free(v->hosts); /* the labels are the members' */
	v->hosts = NULL;
}

static const char *given(const char *text)
{
	return text[0] == '\0' ? NULL : text;
}

int members_select(const struct fleet_view *v, const Pm__Selector *s, struct targets *out,
                   struct pm_error *err)
{
	struct targets_query q = {
		.all = s->all,
		.hosts = given(s->hosts),
		.label = given(s->label),
		.group = given(s->group),
		.where = given(s->where),
		.exclude = given(s->exclude),
		.random = s->seed != 0 || s->pick != 0,
		.seed = s->seed,
		.limit = s->pick,
	};
	PM_BUF names = { 0 };

	if (s->limit[0] != '\0' && targets_parse_limit(s->limit, &q, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n_names; i++)
		pm_buf_printf(&names, "%s%s", i > 0 ? "," : "", s->names[i]);
	if (names.failed)
		return pm_fail(err, PM_NO_MEMORY, "find the hosts");
	if (names.len > 0)
		q.hosts = names.bytes;
	return targets_expand(&q, &v->fleet, out, err);
}

/* ---- who may ---- */

struct right {
	enum pm_rank rank;
	const char *apps; /* borrowed from the binding; "": all */
	bool everywhere;
	uint8_t *nodes; /* owned: a bit a node */
};

struct access {
	struct right *list; /* owned */
	size_t n;
};

static bool is_selector(const char *text)
{
	return strchr(text, '=') != NULL || strstr(text, " in ") != NULL ||
	       strstr(text, " notin ") != NULL;
}

static struct targets_query query_of(const char *targets)
{
	struct targets_query q = { .lenient = true };

	if (is_selector(targets))
		q.label = targets;
	else
		q.hosts = targets;
	return q;
}

static int expand(const struct fleet_view *v, const struct binding *b, struct right *r,
                  struct pm_error *err)
{
	/*
	 * Neither groups nor conditions count here: they may rest on what hosts say of themselves,
	 * and a host may not put itself within somebody's reach (F-07). A name that nobody has yet
	 * is fine.
	 */
	struct targets_fleet confirmed = { .hosts = v->fleet.hosts, .n = v->fleet.n };
	struct targets_query q = query_of(b->targets);
	struct targets found = { 0 };

	r->rank = pm_rank_by_name(b->role);
	r->apps = b->apps;
	r->everywhere = b->targets[0] == '\0';
	r->nodes = pm_calloc(v->fleet.n / 8 + 1, 1);
	if (r->nodes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "look up the rights");
	if (r->everywhere)
		return 0;
	if (targets_expand(&q, &confirmed, &found, err) < 0)
		return err->code == PM_NO_MEMORY ? -1 : 0; /* nobody is meant: nothing is allowed */
	for (size_t i = 0; i < found.n; i++)
		r->nodes[found.hosts[i] / 8] |= (uint8_t)(1u << found.hosts[i] % 8);
	targets_finish(&found);
	return 0;
}

int access_check_binding(const char *targets, const char *apps, struct pm_error *err)
{
	static const struct targets_host host = { .name = "any" };
	const struct targets_fleet fleet = { .hosts = &host, .n = 1 };
	struct targets_query q = query_of(targets);
	struct targets found = { 0 };
	int rc;

	if (apps[0] == ',' || strstr(apps, ",,") != NULL ||
	    (apps[0] != '\0' && apps[strlen(apps) - 1] == ','))
		return pm_fail(err, PM_USAGE, "apps: a glob is missing beside a comma in %.80s",
		               apps);
	if (targets[0] == '\0')
		return 0;
	if (strchr(targets, '@') != NULL)
		return pm_fail(err, PM_USAGE,
		               "targets: a group may rest on what hosts say of themselves: name "
		               "hosts or labels");
	rc = targets_expand(&q, &fleet, &found, err);
	targets_finish(&found);
	return rc < 0 && err->code != PM_NOT_FOUND ? pm_wrap(err, "targets") : 0;
}

int access_make(const struct fleet_view *v, const struct oper *oper, struct access **out,
                struct pm_error *err)
{
	struct access *a = pm_calloc(1, sizeof(*a));

	if (a != NULL)
		a->list = pm_calloc(oper->n_bindings + 1, sizeof(*a->list));
	if (a == NULL || a->list == NULL) {
		access_destroy(a);
		return pm_fail(err, PM_NO_MEMORY, "look up the rights");
	}
	for (; oper->state == OPERATOR_ACTIVE && a->n < oper->n_bindings; a->n++)
		if (expand(v, &oper->bindings[a->n], &a->list[a->n], err) < 0) {
			a->n++;
			access_destroy(a);
			return -1;
		}
	*out = a;
	return 0;
}

void access_destroy(struct access *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->n; i++)
		free(a->list[i].nodes);
	free(a->list);
	free(a);
}

static bool covers(const struct right *r, size_t node)
{
	return r->everywhere || (r->nodes[node / 8] >> node % 8 & 1) != 0;
}

static bool app_allowed(const struct access *a, uint64_t ops, size_t node, const char *app)
{
	for (size_t i = 0; i < a->n; i++)
		if (pm_rank_may(a->list[i].rank, ops) && covers(&a->list[i], node) &&
		    (a->list[i].apps[0] == '\0' ||
		     (app != NULL && glob_match_any(a->list[i].apps, app))))
			return true;
	return false;
}

bool access_allows_some(const struct access *a, uint64_t ops, size_t node)
{
	for (size_t i = 0; i < a->n; i++)
		if (pm_rank_may(a->list[i].rank, ops) && covers(&a->list[i], node))
			return true;
	return false;
}

char *access_apps(const struct access *a, uint64_t ops, size_t node)
{
	PM_BUF apps = { 0 };

	for (size_t i = 0; i < a->n; i++) {
		if (!pm_rank_may(a->list[i].rank, ops) || !covers(&a->list[i], node))
			continue;
		if (a->list[i].apps[0] == '\0')
			return pm_strdup("");
		pm_buf_printf(&apps, "%s%s", apps.len > 0 ? "," : "", a->list[i].apps);
	}
	return apps.len == 0 ? pm_strdup("") : pm_buf_take(&apps);
}

bool access_allows(const struct access *a, uint64_t ops, size_t node, char *const *apps,
                   size_t n_apps)
{
	if (n_apps == 0)
		return app_allowed(a, ops, node, NULL);
	for (size_t i = 0; i < n_apps; i++) {
		/* "all" is any app. What else means other apps there, the agent sees:
		 * access_apps(). */
		bool any = strcmp(apps[i], "all") == 0;

		if (!app_allowed(a, ops, node, any ? NULL : apps[i]))
			return false;
	}
	return true;
}

bool access_allows_fleet(const struct access *a, uint64_t ops)
{
	for (size_t i = 0; i < a->n; i++)
		/* What is of the fleet is of all its apps: a right to some of them is not enough.
		 */
		if (a->list[i].everywhere && a->list[i].apps[0] == '\0' &&
		    pm_rank_may(a->list[i].rank, ops))
			return true;
	return false;
}

const char *access_role(const struct access *a, size_t node)
{
	enum pm_rank best = PM_RANK_NONE;

	for (size_t i = 0; i < a->n; i++)
		if (covers(&a->list[i], node))
			best = PM_MAX(best, a->list[i].rank);
	return pm_rank_name(best);
}
