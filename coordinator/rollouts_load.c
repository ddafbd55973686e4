/* rollouts_load.c - rollouts that have not ended, read from the store when the coordinator starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollouts_priv.h"
#include "proto/log.h"

#define AWAY_MS 600000 /* a coordinator that was away longer does not go on by itself (F-21) */

/* One whose steps are awaited. */
struct reading {
	struct rollouts *r;
	struct run *run; /* owned until it is among the others */
};

static void complain(const char *what, const char *why)
{
	pm_log(PM_LOG_ERROR, "rollout.load", "%s: %s", what, why);
}

static void ignore(void *arg, const struct store_result *res)
{
	(void)arg;
	(void)res;
}

/* How long nobody looked after it: its lease was renewed all the time, or it was changed. */
static int64_t away_ms(const struct run *run, int64_t now_ms)
{
	return now_ms - PM_MAX(run->alive_ms, run->rec->status->changed_wall_ms);
}

static void go_on(struct run *run)
{
	int64_t now_ms = pm_wall_ms(), away = away_ms(run, now_ms);
	bool going = run->m.state == ROLLOUT_IS_RUNNING || run->m.state == ROLLOUT_IS_UNDOING;
	char why[160];

	if (run->m.state == ROLLOUT_IS_PLANNED || run_is_over(run)) /* hosts may yet catch up */
		return;
	run->told_batch = rollout_batch_now(&run->m);
	for (size_t i = 0; i < run->n; i++) /* agents need a while to come back to us */
		run->machine_steps[i].lost_ms =
			run->machine_steps[i].state == STEP_IS_SENT ? now_ms + ROLLOUT_LOST_MS : 0;
	if (run->m.state == ROLLOUT_IS_WAITING_LOCK) {
		run->lock_asked_ms = now_ms;
		return;
	}
	if (going && away > AWAY_MS) {
		(void)snprintf(why, sizeof(why), "the coordinator was away for %lld minutes",
		               (long long)(away / 60000));
		rollouts_pause_with(run, "coordinator", why, PM_PAUSED);
	} else if (going) {
		run_tell(run, "coordinator", "goes on after the coordinator's restart");
		run->m.running_ms = run->m.progress_ms = now_ms;
	}
	rollouts_renew_locks(run, now_ms); /* a free one may have been another's meanwhile */
}

static void on_steps(void *arg, const struct store_result *res)
{
	struct reading *reading = arg;
	struct run *run = reading->run;
	struct rollouts *r = reading->r;
	struct pm_error err;

	if (res->status != STORE_OK) {
		complain(run->id_text, res->why);
		run_free(run);
	} else if (run_load_steps(run, res->steps, res->n, &err) < 0) {
		complain(run->id_text, err.what);
		run_free(run);
	} else {
		rollouts_enlist(r, run);
		go_on(run);
	}
	free(reading);
	r->loaded = --r->n_awaited == 0;
}

static void read_steps(struct rollouts *r, struct run *run)
{
	struct reading *reading = pm_calloc(1, sizeof(*reading));
	struct store_request request = { .op = STORE_LIST_STEPS, .now_ms = pm_wall_ms() };
	struct pm_error err;

	if (reading == NULL) {
		run_free(run);
		return;
	}
	*reading = (struct reading){ r, run };
	request.id = run->id;
	if (fleet_store_submit(r->c->store, &request, on_steps, reading, &err) == 0) {
		r->n_awaited++;
		return;
	}
	complain(run->id_text, err.what);
	run_free(run);
	free(reading);
}

static struct run *load_row(struct rollouts *r, const struct store_rollout *row)
{
	struct run *run = run_new();
	struct pm_error err;

	if (run == NULL)
		return NULL;
	if (run_load(run, row, &err) < 0) {
		complain(row->app, err.what);
		run_free(run);
		return NULL;
	}
	for (size_t i = 0; i < r->n_leases; i++)
		if (memcmp(&r->leases[i].holder, &run->id, sizeof(run->id)) == 0) {
			run->alive_ms = r->leases[i].renewed_ms;
			run->n_locks++;
		}
	return run;
}

/* Leases of what died before it was written down are nobody's. */
static void drop_orphans(struct rollouts *r, const struct store_result *res)
{
	struct store_request request = { .op = STORE_UNLOCK, .now_ms = pm_wall_ms() };
	struct pm_error err;

	for (size_t i = 0; i < r->n_leases; i++) {
		size_t k = 0;

		while (k < res->n && memcmp(&res->rollouts[k].id, &r->leases[i].holder,
		                            sizeof(res->rollouts[k].id)) != 0)
			k++;
		if (k < res->n || (i > 0 && memcmp(&r->leases[i].holder, &r->leases[i - 1].holder,
		                                   sizeof(r->leases[i].holder)) == 0))
			continue;
		request.id = r->leases[i].holder;
		if (fleet_store_submit(r->c->store, &request, ignore, NULL, &err) < 0)
			complain("locks", err.what); /* they run out by themselves */
	}
}

static void on_rollouts(void *arg, const struct store_result *res)
{
	struct rollouts *r = arg;

	if (res->status != STORE_OK)
		complain("rollouts", res->why);
	else
		drop_orphans(r, res);
	for (size_t i = 0; res->status == STORE_OK && i < res->n; i++) {
		struct run *run = load_row(r, &res->rollouts[i]);

		if (run != NULL)
			read_steps(r, run);
	}
	r->loaded = r->n_awaited == 0;
	free(r->leases);
	r->leases = NULL;
	r->n_leases = 0;
}

static void on_locks(void *arg, const struct store_result *res)
{
	struct rollouts *r = arg;
	const struct store_request request = { .op = STORE_LIST_ROLLOUTS, .now_ms = pm_wall_ms() };
	struct pm_error err;

	r->leases = pm_calloc(res->n + 1, sizeof(*r->leases));
	for (size_t i = 0; res->status == STORE_OK && r->leases != NULL && i < res->n; i++)
		r->leases[r->n_leases++] =
			(struct lease){ res->locks[i].holder,
			                res->locks[i].expires_ms - ROLLOUTS_LEASE_MS };
	if (fleet_store_submit(r->c->store, &request, on_rollouts, r, &err) < 0)
		complain("rollouts", err.what);
}

void rollouts_load(struct rollouts *r)
{
	const struct store_request request = { .op = STORE_LIST_LOCKS, .now_ms = pm_wall_ms() };
	struct pm_error err;

	if (fleet_store_submit(r->c->store, &request, on_locks, r, &err) < 0)
		complain("locks", err.what);
}
