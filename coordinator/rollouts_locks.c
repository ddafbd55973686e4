/* rollouts_locks.c - a rollout's leases: one for each app on each host, all of them or none (F-19).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/rollouts_priv.h"
#include "proto/log.h"

#define RENEW_MS 10000
#define RETRY_MS 1000

/* "ID/app" of a lock, as people know the host. */
static void lock_words(const struct rollouts *r, const struct store_lock *l, char *out, size_t size)
{
	char id[MEMBER_ID_TEXT], when[32];
	const char *app = strchr(l->name, '/');
	const struct node *node;
	time_t since = (time_t)(l->since_ms / 1000);
	struct tm tm;

	(void)snprintf(id, sizeof(id), "%.*s", MEMBER_ID_TEXT - 1, l->name);
	node = members_node_named(&r->c->members, id);
	if (gmtime_r(&since, &tm) == NULL || strftime(when, sizeof(when), "%H:%M:%S UTC", &tm) == 0)
		when[0] = '\0';
	(void)snprintf(out, size, "%.60s on %.60s is locked by %.40s since %s: %.60s",
	               app != NULL ? app + 1 : "it", node != NULL ? node->name : id, l->who, when,
	               l->what);
}

static void on_lock(void *arg, const struct store_result *res)
{
	struct run *run = arg;
	struct rollouts *r = run->all;
	int64_t now_ms = pm_wall_ms();
	char words[256] = "its locks cannot be written down";
	struct pm_error err;

	run->locking = false;
	run->renewed_ms = now_ms;
	rollouts_wake(r);
	if (res->status == STORE_OK) {
		run->locked = true;
		run->granted_ms = now_ms;
		if (run->m.state == ROLLOUT_IS_WAITING_LOCK) {
			run_tell(run, run->rec->status->by, "begins on %zu hosts", run->n);
			rollouts_set_running(run, now_ms);
		}
		return;
	}
	if (res->status == STORE_CONFLICT && res->n > 0)
		lock_words(r, res->locks, words, sizeof(words));
	if (run->m.state != ROLLOUT_IS_WAITING_LOCK) { /* it was to go on, or to be undone */
		run_text(&run->rec->ending, "");
		rollouts_pause_with(run, "coordinator", words, PM_LOCKED);
		return;
	}
	if (now_ms - run->lock_asked_ms < (int64_t)run->m.params.wait_lock_ms) {
		run_text(&run->rec->status->why, words);
		run->record_dirty = true; /* and it is seen to wait */
		return;
	}
	if (run->revision == 0 && !run->committing) {
		(void)pm_fail(&err, res->status == STORE_CONFLICT ? PM_LOCKED : PM_NO_SPACE, "%s",
		              words);
		pm_hint(&err, "wait for it with --wait-lock, or see 'pmctl rollout list'");
		rollouts_drop_with(run, &err);
		return;
	}
	run_tell(run, "coordinator", "gave up waiting: %.150s", words);
	run_state(run, ROLLOUT_IS_FAILED, words, PM_LOCKED);
}

/* One name for each app on each host that takes part. */
static int lock_names(const struct run *run, char ***out, size_t *n)
{
	size_t most = 0;
	char **names;

	for (size_t i = 0; i < run->n; i++)
		most += run->steps[i].msg->n_apps;
	names = pm_calloc(most + 1, sizeof(*names));
	*n = 0;
	for (size_t i = 0; names != NULL && i < run->n; i++)
		for (size_t k = 0; run->steps[i].msg->batch > 0 && k < run->steps[i].msg->n_apps;
		     k++) {
			char name[512];

			(void)snprintf(name, sizeof(name), "%s/%.400s", run->steps[i].msg->agent,
			               run->steps[i].msg->apps[k]->name);
			names[*n] = pm_strdup(name);
			if (names[(*n)++] == NULL)
				most = 0; /* no memory */
		}
	*out = names;
	return names == NULL || most == 0 ? -1 : 0;
}

void rollouts_take_locks(struct run *run, int64_t now_ms)
{
	struct store_request request = { .op = STORE_LOCK, .now_ms = now_ms };
	char **names = NULL, what[128];
	size_t n = 0;
	struct pm_error err;

	if (run->locking)
		return;
	run->renewed_ms = now_ms;
	(void)snprintf(what, sizeof(what), "rollout %s: %.100s", run->id_text,
	               run->rec->status->what);
	if (lock_names(run, &names, &n) == 0) {
		request.lock = (struct store_take_lock){ .names = (const char *const *)names,
			                                 .n_names = n,
			                                 .holder = run->id,
			                                 .who = run->rec->status->by,
			                                 .what = what,
			                                 .ttl_ms = ROLLOUTS_LEASE_MS };
		run->n_locks = n;
		run->locking =
			fleet_store_submit(run->all->c->store, &request, on_lock, run, &err) == 0;
	}
	for (size_t i = 0; names != NULL && i < n; i++)
		free(names[i]);
	free(names);
}

bool rollouts_has_locks(const struct run *run, int64_t now_ms)
{
	return run->locked && now_ms - run->granted_ms < ROLLOUTS_LEASE_MS;
}

static void on_renewed(void *arg, const struct store_result *res)
{
	struct run *run = arg;

	run->locking = false;
	rollouts_wake(run->all);
	if (res->status != STORE_OK)
		return; /* tried again; what is to be sent waits for it */
	if (res->revision >= run->n_locks) {
		run->locked = true;
		run->granted_ms = run->renewed_ms;
		return;
	}
	run->locked = false;
	if (run->m.state == ROLLOUT_IS_RUNNING || run->m.state == ROLLOUT_IS_UNDOING)
		rollouts_pause_with(run, "coordinator", "its locks were taken away", PM_LOCKED);
}

void rollouts_renew_locks(struct run *run, int64_t now_ms)
{
	const struct store_request request = { .op = STORE_RENEW,
		                               .now_ms = now_ms,
		                               .renew = { run->id, ROLLOUTS_LEASE_MS } };
	struct pm_error err;

	run->n_locks = 0;
	for (size_t i = 0; i < run->n; i++)
		if (run->steps[i].msg->batch > 0)
			run->n_locks += run->steps[i].msg->n_apps;
	run->renewed_ms = now_ms;
	run->locking = fleet_store_submit(run->all->c->store, &request, on_renewed, run, &err) == 0;
}

void rollouts_keep_locks(struct run *run, int64_t now_ms)
{
	if (run->locking || now_ms - run->renewed_ms < (run->locked ? RENEW_MS : RETRY_MS))
		return;
	if (run->m.state == ROLLOUT_IS_WAITING_LOCK ||
	    (!run->locked && run->rec->ending[0] != '\0')) {
		rollouts_take_locks(run, now_ms);
		return;
	}
	if (run->locked)
		rollouts_renew_locks(run, now_ms);
}

static void ignore(void *arg, const struct store_result *res)
{
	(void)arg;
	(void)res; /* a lease that stays runs out by itself */
}

void rollouts_release_locks(struct run *run)
{
	const struct store_request request = { .op = STORE_UNLOCK,
		                               .now_ms = pm_wall_ms(),
		                               .id = run->id };
	struct pm_error err;

	run->unlock = false;
	if (!run->locked)
		return;
	run->locked = false;
	if (fleet_store_submit(run->all->c->store, &request, ignore, NULL, &err) < 0)
		pm_log(PM_LOG_WARN, "store.busy", "%s", err.what);
}
