#include "proto/roles.h"

#include <stdlib.h>
#include <string.h>

#include "proto/glob.h"
#include "proto/limits.h"

static const char *const role_names[] = {
	[PM_ROLE_NONE] = "none",         [PM_ROLE_VIEWER] = "viewer",     [PM_ROLE_LOGS] = "logs",
	[PM_ROLE_OPERATOR] = "operator", [PM_ROLE_DEPLOYER] = "deployer", [PM_ROLE_ADMIN] = "admin",
};

static const struct {
	const char *name;
	enum pm_role role;
	bool of_app, changes;
} ops[FLEET_OPS] = {
#define OP_ROW(c, op_name, least, app, change) [c] = { op_name, least, app, change },
	PM_FLEET_OPS(OP_ROW)
#undef OP_ROW
};

const char *pm_role_name(enum pm_role role)
{
	return role_names[role];
}

enum pm_role pm_role_find(const char *name, size_t len)
{
	for (size_t i = PM_ROLE_VIEWER; i < PM_COUNT(role_names); i++)
		if (strlen(role_names[i]) == len && memcmp(role_names[i], name, len) == 0)
			return (enum pm_role)i;
	return PM_ROLE_NONE;
}

const char *fleet_op_name(enum fleet_op op)
{
	return op < FLEET_OPS ? ops[op].name : "unknown";
}

enum fleet_op fleet_op_find(const char *name, size_t len)
{
	for (size_t i = 0; i < FLEET_OPS; i++)
		if (strlen(ops[i].name) == len && memcmp(ops[i].name, name, len) == 0)
			return (enum fleet_op)i;
	return FLEET_OPS;
}

bool fleet_op_of_app(enum fleet_op op)
{
	return op < FLEET_OPS && ops[op].of_app;
}

bool fleet_op_changes(enum fleet_op op)
{
	return op < FLEET_OPS && ops[op].changes;
}

bool pm_role_may(enum pm_role role, enum fleet_op op)
{
	return op < FLEET_OPS && ops[op].role != PM_ROLE_NONE && role >= ops[op].role;
}

/* ---- bindings ---- */

struct grant {
	enum pm_role role;
	bool everywhere; /* every host, also one that joins later */
	char *apps;      /* owned; "": every app */
	uint8_t *hosts;  /* owned: one byte each */
};

struct authority {
	struct grant *grants; /* owned */
	size_t n, n_hosts;
};

static bool query_of(const char *targets, struct targets_query *q)
{
	*q = (struct targets_query){ .lenient = true };
	if (*targets == '\0')
		q->all = true;
	else if (strncmp(targets, "hosts:", 6) == 0)
		q->hosts = targets + 6;
	else if (strncmp(targets, "label:", 6) == 0)
		q->label = targets + 6;
	else
		return false;
	return true;
}

int pm_binding_check(const char *targets, struct pm_error *err)
{
	static const struct targets_host host = { .name = "any" };
	struct targets_fleet fleet = { .hosts = &host, .n = 1 };
	struct targets_query q;
	struct targets t = { 0 };
	int rc;

	if (!query_of(targets, &q))
		return pm_fail(err, PM_USAGE, "%.80s: hosts:SET or label:SELECTOR expected",
		               targets);
	rc = targets_expand(&q, &fleet, &t, err);
	targets_finish(&t);
	if (rc < 0 && err->code == PM_NOT_FOUND && strstr(err->what, "no group") == NULL)
		return 0; /* nobody matches yet */
	if (rc < 0 && err->code == PM_NOT_FOUND)
		return pm_fail(err, PM_USAGE, "a binding may not name a group");
	return rc;
}

void authority_destroy(struct authority *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; a->grants != NULL && i < a->n; i++) {
		free(a->grants[i].apps);
		free(a->grants[i].hosts);
	}
	free(a->grants);
	free(a);
}

static int make_grant(struct grant *g, const struct pm_binding *b,
                      const struct targets_fleet *fleet, struct pm_error *err)
{
	/* Neither groups nor facts: see struct pm_binding. */
	struct targets_fleet confirmed = { .hosts = fleet->hosts, .n = fleet->n };
	struct targets_query q;
	struct targets t = { 0 };

	g->apps = pm_strdup(b->apps);
	g->hosts = pm_calloc(fleet->n + 1, 1);
	if (g->apps == NULL || g->hosts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "work out what is allowed");
	if (!query_of(b->targets, &q))
		return 0;
	g->everywhere = q.all;
	if (targets_expand(&q, &confirmed, &t, err) < 0) {
		if (err->code == PM_NO_MEMORY)
			return -1;
		g->role = q.all ? b->role : PM_ROLE_NONE; /* of no host: nobody has joined yet */
		return 0;
	}
	for (size_t i = 0; i < t.n; i++)
		g->hosts[t.hosts[i]] = 1;
	g->role = b->role;
	targets_finish(&t);
	return 0;
}

int authority_create(const struct pm_binding *bindings, size_t n, const struct targets_fleet *fleet,
                     struct authority **out, struct pm_error *err)
{
	struct authority *a = pm_calloc(1, sizeof(*a));
	int rc = 0;

	if (a != NULL)
		a->grants = pm_calloc(n + 1, sizeof(*a->grants));
	if (a == NULL || a->grants == NULL)
		rc = pm_fail(err, PM_NO_MEMORY, "work out what is allowed");
	for (size_t i = 0; rc == 0 && i < n; i++) {
		a->n = i + 1;
		rc = make_grant(&a->grants[i], &bindings[i], fleet, err);
	}
	if (rc < 0) {
		authority_destroy(a);
		return -1;
	}
	a->n_hosts = fleet->n;
	*out = a;
	return 0;
}

static bool grants_app(const struct grant *g, enum fleet_op op, const char *app)
{
	if (!pm_role_may(g->role, op))
		return false;
	if (*g->apps == '\0')
		return true;
	if (!fleet_op_of_app(op)) /* it concerns all apps; to look at the host is no harm */
		return ops[op].role <= PM_ROLE_VIEWER;
	return app != NULL && glob_match_any(g->apps, app);
}

bool authority_may(const struct authority *a, enum fleet_op op, const char *app, uint32_t host)
{
	for (size_t i = 0; i < a->n; i++)
		if (host < a->n_hosts && a->grants[i].hosts[host] != 0 &&
		    grants_app(&a->grants[i], op, app))
			return true;
	return false;
}

bool authority_may_all(const struct authority *a, enum fleet_op op)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->grants[i].everywhere && *a->grants[i].apps == '\0' &&
		    pm_role_may(a->grants[i].role, op))
			return true;
	return false;
}

size_t authority_filter(const struct authority *a, enum fleet_op op, const char *app,
                        struct targets *t)
{
	size_t kept = 0, before = t->n;

	for (size_t i = 0; i < before; i++)
		if (authority_may(a, op, app, t->hosts[i]))
			t->hosts[kept++] = t->hosts[i];
	t->n = kept;
	return before - kept;
}
