#include "agent/remote_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/api_internal.h"
#include "agent/app.h"
#include "agent/policy_file.h"
#include "agent/reload.h"
#include "agent/targets.h"
#include "proto/facts.h"
#include "proto/glob.h"
#include "proto/keys.h"
#include "proto/log.h"
#include "proto/paths.h"

#define USAGE_FILE "state/fleet.usage"

struct remote_policy {
	struct super *su;      /* borrowed */
	struct policy *policy; /* owned; NULL: it cannot be read, and nothing is allowed */
	char why[256];         /* why not */
	struct stat seen;      /* the file that was read; zeros: there was none */
	bool read;
	struct policy_usage usage;
	int usage_fd; /* owned */
};

/* ---- the file ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_uid == b->st_uid && a->st_mode == b->st_mode &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void read_if_changed(struct remote_policy *p)
{
	struct stat now = { 0 };
	struct pm_error err;

	if (lstat(POLICY_FILE, &now) < 0)
		now = (struct stat){ 0 };
	if (p->read && is_same(&now, &p->seen))
		return;
	p->read = true;
	p->seen = now;
	policy_destroy(PM_STEAL(p->policy));
	if (policy_load(POLICY_FILE, 0, &p->policy, &err) == 0) {
		super_degraded(p->su, "policy", NULL);
		pm_log(PM_LOG_INFO, "policy.read", "%s",
		       now.st_ino == 0 ? "the default" : POLICY_FILE);
		return;
	}
	p->policy = NULL;
	(void)snprintf(p->why, sizeof(p->why), "%s", err.what); /* cut if longer */
	super_degraded(p->su, "policy", err.what);
}

/* ---- what was used ---- */

static void open_usage(struct remote_policy *p)
{
	char path[PM_PATH_MAX];
	struct pm_facts facts;
	struct pm_error err;

	pm_facts_gather(&facts);
	if (pm_home_file(p->su->home, USAGE_FILE, path, sizeof(path), &err) == 0)
		p->usage_fd =
			open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (p->usage_fd < 0)
		super_degraded(p->su, "policy", "its counts do not outlive this agent");
	else if (pread(p->usage_fd, &p->usage, sizeof(p->usage), 0) != sizeof(p->usage))
		memset(&p->usage, 0, sizeof(p->usage));
	policy_usage_resume(&p->usage, facts.boot_id, pm_now_ms());
}

static void save_usage(const struct remote_policy *p)
{
	if (p->usage_fd >= 0 &&
	    pwrite(p->usage_fd, &p->usage, sizeof(p->usage), 0) != sizeof(p->usage))
		super_degraded(p->su, "policy", "its counts cannot be written");
}

/* ---- what it is about ---- */

/* One app and what of it is meant. */
struct about {
	const char *name;
	bool is_local;
	uint32_t instances, up_now, n_meant, n_meant_up;
	bool gated; /* a reload replaces each without a gap */
};

struct question {
	struct remote_policy *p;
	const Pm__Envelope *env;
	enum pm_rank rank;
	const char *key;  /* NULL: not known */
	const char *apps; /* globs of the apps that he may touch; "": all */
};

static bool is_local(const Pm__AppSpec *spec)
{
	return strncmp(spec->username, REMOTE_DECLARER, strlen(REMOTE_DECLARER)) != 0;
}

/* How many of n are restarted at the same time. */
static uint32_t at_a_time(const Pm__Command *cmd, uint32_t n)
{
	if (cmd->no_wait) /* nobody waits for one before the next */
		return n;
	return PM_MIN(cmd->parallel != 0 ? cmd->parallel : n <= 2 ? 1u : 2u, n);
}

/* The fewest that are up while it is done. */
static uint32_t up_least(const struct question *q, enum pm_op op, const struct about *a)
{
	const Pm__Command *cmd =
		q->env->body_case == PM__ENVELOPE__BODY_COMMAND ? q->env->command : NULL;
	int64_t want;

	if (cmd == NULL)
		return a->up_now;
	if (op == PM_OP_STOP || op == PM_OP_DELETE)
		return a->up_now - a->n_meant_up;
	if (op == PM_OP_RESTART || (op == PM_OP_RELOAD && !a->gated))
		return a->up_now - at_a_time(cmd, a->n_meant_up);
	if (op == PM_OP_SCALE) {
		want = cmd->relative ? (int64_t)a->instances + cmd->count : cmd->count;
		return want < 0 ? 0 : (uint32_t)PM_MIN((int64_t)a->up_now, want);
	}
	return a->up_now;
}

static int ask(const struct question *q, enum pm_op op, const struct about *a,
               struct policy_usage *usage, struct pm_error *err)
{
	const struct policy_request r = {
		.rank = q->rank,
		.key = q->key,
		.op = op,
		.app = a == NULL ? NULL : a->name,
		.app_is_local = a != NULL && a->is_local,
		.instances = a == NULL ? 0 : a->instances,
		.up_now = a == NULL ? 0 : a->up_now,
		.up_least = a == NULL ? 0 : up_least(q, op, a),
	};
	struct policy_verdict verdict;

	policy_decide(q->p->policy, &r, usage, pm_now_ms(), &verdict);
	if (verdict.allowed)
		return 0;
	(void)pm_fail(err, PM_DENIED, "%s%s%.80s: %s", pm_op_info(op)->name, a == NULL ? "" : " ",
	              a == NULL ? "" : a->name, verdict.why);
	pm_hint(err, verdict.rate ? "again later" : "its owner can do it there, with pmctl");
	return -1;
}

/*
 * An operator of some apps names each by its name: a namespace, an id or a path may mean others,
 * now or, for what follows logs, later.  What is of no app is not his.
 */
static int check_limit(const struct question *q, const struct about *about, size_t n,
                       Pm__Target *const *targets, size_t n_targets, struct pm_error *err)
{
	if (*q->apps == '\0')
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool named = targets == NULL; /* of specs: the names are in them */

		for (size_t k = 0; k < n_targets && !named; k++)
			named = strcmp(targets[k]->text, about[i].name) == 0;
		if (!named || !glob_match_any(q->apps, about[i].name))
			return pm_fail(err, PM_DENIED, "%.80s: the role is for other apps",
			               about[i].name);
	}
	return n > 0 ? 0 : pm_fail(err, PM_DENIED, "the role is for some apps only");
}

static bool is_plan(const struct question *q)
{
	return q->env->body_case == PM__ENVELOPE__BODY_COMMAND && q->env->command->dry_run;
}

/* Several apps are one use; a plan is none. */
static int ask_all(const struct question *q, pm_ops ops, const struct about *about, size_t n,
                   struct pm_error *err)
{
	struct policy_usage before = q->p->usage, after = before, scratch;
	size_t n_asked = PM_MAX(n, (size_t)1);

	for (size_t i = 0; i < n_asked; i++) {
		scratch = before;
		for (unsigned op = 0; op < PM_OP_COUNT; op++)
			if ((ops & PM_OP_BIT(op)) != 0 &&
			    ask(q, (enum pm_op)op, n == 0 ? NULL : &about[i],
			        i == 0 ? &after : &scratch, err) < 0)
				return -1;
	}
	if (memcmp(&before, &after, sizeof(after)) == 0 || is_plan(q))
		return 0;
	q->p->usage = after;
	save_usage(q->p);
	return 0;
}

static void count_app(const struct app *app, struct about *out)
{
	*out = (struct about){ .name = app->spec->name,
		               .is_local = is_local(app->spec),
		               .instances = (uint32_t)app->n,
		               .gated = true };
	for (size_t i = 0; i < app->n; i++)
		out->up_now += instance_is_online(app->instances[i]);
}

static int by_app(const void *a, const void *b)
{
	uint32_t x = instance_app(*(struct instance *const *)a)->serial;
	uint32_t y = instance_app(*(struct instance *const *)b)->serial;

	return x < y ? -1 : x > y;
}

/* He asks for all and is answered with what is his. */
static bool is_narrowed(const struct question *q)
{
	const Pm__Envelope *env = q->env;
	const char *apps = NULL; /* those that the request itself is limited to */

	if (env->body_case == PM__ENVELOPE__BODY_STATUS_REQUEST &&
	    env->status_request->n_targets == 0)
		apps = env->status_request->apps;
	else if (env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN &&
	         env->stream_open->what_case == PM__STREAM_OPEN__WHAT_LOGS &&
	         env->stream_open->logs->n_targets == 0)
		apps = env->stream_open->logs->apps;
	return apps != NULL && *q->apps != '\0' && strcmp(apps, q->apps) == 0;
}

static int ask_of_targets(const struct question *q, pm_ops ops, Pm__Target *const *targets,
                          size_t n_targets, struct pm_error *err)
{
	PM_FREE struct instance **list = NULL;
	PM_FREE struct about *about = NULL;
	struct app *last = NULL;
	struct pm_error none;
	size_t n = 0, n_about = 0;

	if (targets_resolve(q->p->su, targets, n_targets, &list, &n, &none) < 0)
		n = 0;
	about = pm_calloc(n + 1, sizeof(*about));
	if (about == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (n >
	    1) /* those of one app side by side, or each part of it would be asked about alone */
		qsort(list, n, sizeof(struct instance *), by_app);
	for (size_t i = 0; i < n; i++) {
		struct about *a;

		if (is_narrowed(q) && !glob_match_any(q->apps, instance_app(list[i])->spec->name))
			continue;
		if (instance_app(list[i]) != last)
			count_app(instance_app(list[i]), &about[n_about++]);
		last = instance_app(list[i]);
		a = &about[n_about - 1];
		a->n_meant++;
		a->n_meant_up += instance_is_online(list[i]);
		a->gated = a->gated && reload_is_possible(list[i]);
	}
	if (n_about == 0) /* nothing of that name: whoever might touch it may hear so */
		about[n_about++] = (struct about){
			.name = n_targets == 0 ? "" : targets[0]->text,
			.is_local = true,
		};
	if (!is_narrowed(q) && check_limit(q, about, n_about, targets, n_targets, err) < 0)
		return -1;
	return ask_all(q, ops, about, n_about, err);
}

static int ask_of_specs(const struct question *q, pm_ops ops, Pm__AppSpec *const *specs, size_t n,
                        struct pm_error *err)
{
	PM_FREE struct about *about = pm_calloc(n + 1, sizeof(*about));

	if (about == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct app *app = lookup_name(&q->p->su->lookup, specs[i]->name);

		if (app != NULL)
			count_app(app, &about[i]);
		about[i].name = specs[i]->name;
		about[i].is_local = false; /* it will not be */
		about[i].n_meant = about[i].instances;
		about[i].n_meant_up = about[i].up_now;
		about[i].gated = false;
	}
	if (check_limit(q, about, n, NULL, 0, err) < 0)
		return -1;
	return ask_all(q, ops, about, n, err);
}

/* It is about the apps whose versions it names, whatever its targets say. */
static int ask_of_revert(const struct question *q, pm_ops ops, const Pm__Command *cmd,
                         struct pm_error *err)
{
	PM_FREE Pm__Target *targets = pm_calloc(cmd->n_specs + 1, sizeof(*targets));
	PM_FREE Pm__Target **list = pm_calloc(cmd->n_specs + 1, sizeof(*list));

	if (targets == NULL || list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < cmd->n_specs; i++) {
		const struct app *app = lookup_name(&q->p->su->lookup, cmd->specs[i]->name);

		pm__target__init(&targets[i]);
		targets[i].text = cmd->specs[i]->name;
		list[i] = &targets[i];
		/* What is not there is started. */
		if (app == NULL || app->n == 0)
			ops |= PM_OP_BIT(PM_OP_START);
	}
	if (cmd->n_specs == 0)
		return pm_fail(err, PM_DENIED, "no policy is about nothing");
	return ask_of_targets(q, ops, list, cmd->n_specs, err);
}

static int ask_of(const struct question *q, struct session *s, pm_ops ops, struct pm_error *err)
{
	const Pm__Envelope *env = q->env;
	const struct staged *staged;

	if (env->body_case == PM__ENVELOPE__BODY_SPEC_PUSH)
		return ask_of_specs(q, ops, &env->spec_push->spec, env->spec_push->spec != NULL,
		                    err);
	if (env->body_case == PM__ENVELOPE__BODY_STATUS_REQUEST)
		return ask_of_targets(q, ops, env->status_request->targets,
		                      env->status_request->n_targets, err);
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN) {
		const Pm__StreamOpen *open = env->stream_open;

		if (open->what_case == PM__STREAM_OPEN__WHAT_LOGS && open->logs->agent_log &&
		    *q->apps != '\0')
			return pm_fail(err, PM_DENIED,
			               "the agent's own log: the role is for some apps only");
		return open->what_case == PM__STREAM_OPEN__WHAT_LOGS
		               ? ask_of_targets(q, ops, open->logs->targets, open->logs->n_targets,
		                                err)
		               : ask_of_targets(q, ops, open->events->targets,
		                                open->events->n_targets, err);
	}
	if (env->body_case != PM__ENVELOPE__BODY_COMMAND)
		return pm_fail(err, PM_DENIED, "no policy is about that");
	if (env->command->use_staged) {
		staged = api_staged(s);
		return ask_of_specs(q, ops, staged == NULL ? NULL : staged->specs,
		                    staged == NULL ? 0 : staged->n, err);
	}
	if (env->command->verb == PM__VERB__VERB_PING ||
	    env->command->verb == PM__VERB__VERB_AGENT_STATUS)
		return check_limit(q, NULL, 0, NULL, 0, err) < 0 ? -1
		                                                 : ask_all(q, ops, NULL, 0, err);
	if (env->command->verb == PM__VERB__VERB_REVERT)
		return ask_of_revert(q, ops, env->command, err);
	return ask_of_targets(q, ops, env->command->targets, env->command->n_targets, err);
}

int remote_policy_check(struct remote_policy *p, struct session *s, const Pm__Envelope *env,
                        const Pm__Actor *actor, pm_ops ops, struct pm_error *err)
{
	char key[PM_KEY_TEXT];
	struct question q = {
		.p = p,
		.env = env,
		.rank = pm_rank_by_name(actor->role),
		.apps = actor->apps,
	};

	read_if_changed(p);
	if (p->policy == NULL)
		return pm_fail(err, PM_DENIED, "the policy of this machine cannot be read: %.180s",
		               p->why);
	if (actor->key.len == PM_KEY_BYTES) {
		pm_key_format(actor->key.data, key);
		q.key = key;
	}
	return ask_of(&q, s, ops, err);
}

/* ---- life ---- */

int remote_policy_create(struct super *su, struct remote_policy **out, struct pm_error *err)
{
	struct remote_policy *p = pm_calloc(1, sizeof(*p));

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	p->su = su;
	p->usage_fd = -1;
	open_usage(p);
	read_if_changed(p);
	*out = p;
	return 0;
}

void remote_policy_destroy(struct remote_policy *p)
{
	if (p == NULL)
		return;
	policy_destroy(p->policy);
	pm_closep(&p->usage_fd);
	free(p);
}
