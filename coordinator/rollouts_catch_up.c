/*
 * rollouts_catch_up.c - hosts that a rollout did not reach, and that come back in time (F-28).
 *
 * Each does its step in a small rollout of its own, begun in the name of whoever began the first:
 * with its own locks, its journal and its end, by the same rules.  It has the token of the step
 * that was skipped, so that it is done once, however often it is begun: what is begun twice,
 * because we died before the first rollout knew of the second, is answered from the agent's
 * journal.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/requests_priv.h"
#include "coordinator/rollouts_priv.h"
#include "proto/codec.h"
#include "proto/log.h"

#define RETRY_MS 2000 /* when its app is another's */

static bool is_open(const struct run_step *s)
{
	return s->msg->state == PM__STEP_STATE__STEP_SKIPPED && s->msg->caught_by[0] == '\0' &&
	       pm_code_from_wire(s->msg->code) == PM_UNREACHABLE;
}

static size_t n_open(const struct run *run)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n; i++)
		n += is_open(&run->steps[i]);
	return n;
}

bool rollouts_is_catching_up(const struct run *run)
{
	return run->m.state == ROLLOUT_IS_SUCCEEDED && run->rec->status->catch_until_wall_ms != 0;
}

void rollouts_plan_catch_up(struct run *run, int64_t now_ms)
{
	size_t n = n_open(run);

	if (run->m.state != ROLLOUT_IS_SUCCEEDED || run->m.params.catch_up_ms == 0 || n == 0 ||
	    run->m.undoing)
		return;
	run->rec->status->catch_until_wall_ms = now_ms + (int64_t)run->m.params.catch_up_ms;
	run_tell(run, "coordinator", "%zu host%s may catch up for %u s", n, n == 1 ? "" : "s",
	         run->m.params.catch_up_ms / 1000);
}

/* Of a step that stays skipped; its words go on. */
static void say(struct run_step *s, const char *more)
{
	char words[256];

	(void)snprintf(words, sizeof(words), "%.120s; %.120s", s->msg->text, more);
	run_text(&s->msg->text, words);
	s->msg->progress = ++s->run->rec->status->progress;
	s->dirty = s->run->steps_dirty = true;
	s->run->record_dirty = true;
}

static void close_step(struct run_step *s, const char *by, const char *words)
{
	run_text(&s->msg->caught_by, by);
	say(s, words);
	run_tell(s->run, s->msg->name, "%s", words);
}

static void finish(struct run *run)
{
	run->rec->status->catch_until_wall_ms = 0;
	run->record_dirty = true;
	run->rec->status->progress++;
}

bool rollouts_stop_catch_up(struct run *run, const char *who, const char *why)
{
	char words[160];

	if (!rollouts_is_catching_up(run))
		return false;
	(void)snprintf(words, sizeof(words), "it does not catch up: %.100s", why);
	for (size_t i = 0; i < run->n; i++)
		if (is_open(&run->steps[i]))
			close_step(&run->steps[i], "none", words);
	run_tell(run, who, "no host catches up any more: %.100s", why);
	finish(run);
	return true;
}

/* ---- what else is done to the host's apps ---- */

static bool is_about_same(const struct run *run, const struct run *other, const struct run_step *s)
{
	bool same_app = false;

	for (size_t i = 0; i < run->rec->status->n_apps; i++)
		for (size_t k = 0; k < other->rec->status->n_apps; k++)
			same_app |=
				strcmp(run->rec->status->apps[i], other->rec->status->apps[k]) == 0;
	for (size_t i = 0; same_app && i < other->n; i++)
		if (memcmp(&other->steps[i].agent, &s->agent, sizeof(s->agent)) == 0)
			return true;
	return false;
}

/* What was wanted last holds, also where it did not reach the host either. */
static const struct run *find_newer(const struct run *run, const struct run_step *s)
{
	for (const struct run *other = run->all->runs; other != NULL; other = other->next) {
		if (other == run || other->m.state == ROLLOUT_IS_PLANNED ||
		    other->m.state == ROLLOUT_IS_WAITING_LOCK ||
		    strcmp(other->rec->status->catches, run->id_text) == 0 ||
		    other->rec->status->created_wall_ms < run->rec->status->created_wall_ms)
			continue;
		if (is_about_same(run, other, s))
			return other;
	}
	return NULL;
}

static struct run *find_child(const struct run *run, const struct run_step *s)
{
	for (struct run *other = run->all->runs; other != NULL; other = other->next)
		if (strcmp(other->rec->status->catches, run->id_text) == 0 && other->n > 0 &&
		    memcmp(&other->steps[0].agent, &s->agent, sizeof(s->agent)) == 0)
			return other;
	return NULL;
}

/* ---- the rollout of one host ---- */

static bool copy_request(struct run *child, const struct run *run)
{
	Pm__RolloutRecord *to = child->rec, *from = run->rec;

	to->command = pm_message_copy(&from->command->base);
	to->actor = pm_message_copy(&from->actor->base);
	to->specs = pm_calloc(from->n_specs + 1, sizeof(*to->specs));
	to->actors = pm_calloc(from->n_actors + 1, sizeof(*to->actors));
	to->local = from->local;
	for (size_t i = 0; to->specs != NULL && i < from->n_specs; i++, to->n_specs++) {
		to->specs[i] = pm_message_copy(&from->specs[i]->base);
		if (to->specs[i] == NULL)
			return false;
	}
	return to->command != NULL && to->actor != NULL && to->specs != NULL && to->actors != NULL;
}

/* His rights on this host alone. */
static bool copy_actor(struct run *child, const struct run *run, const struct run_step *s)
{
	const Pm__RolloutRecord *from = run->rec;
	Pm__RolloutRecord *to = child->rec;

	for (size_t i = 0; i < from->n_actors; i++)
		for (size_t k = 0; k < from->actors[i]->n_agents; k++) {
			if (strcmp(from->actors[i]->agents[k], s->msg->agent) != 0)
				continue;
			to->actors[0] = pm_calloc(1, sizeof(**to->actors));
			if (to->actors[0] == NULL)
				return false;
			pm__rollout_actor__init(to->actors[0]);
			to->n_actors = 1;
			run_text(&to->actors[0]->role, from->actors[i]->role);
			run_text(&to->actors[0]->apps, from->actors[i]->apps);
			to->actors[0]->agents = pm_calloc(1, sizeof(*to->actors[0]->agents));
			if (to->actors[0]->agents == NULL)
				return false;
			to->actors[0]->agents[0] = pm_strdup(s->msg->agent);
			to->actors[0]->n_agents = to->actors[0]->agents[0] != NULL;
			return to->actors[0]->n_agents == 1;
		}
	return false; /* he had none there */
}

static bool copy_apps(struct run *child, const struct run *run)
{
	Pm__RolloutStatus *to = child->rec->status;
	const Pm__RolloutStatus *from = run->rec->status;
	Pm__RolloutStep *msg = child->steps[0].msg;

	to->apps = pm_calloc(from->n_apps + 1, sizeof(*to->apps));
	to->batches = pm_calloc(1, sizeof(*to->batches));
	msg->apps = pm_calloc(from->n_apps + 1, sizeof(*msg->apps));
	if (to->apps == NULL || to->batches == NULL || msg->apps == NULL)
		return false;
	to->batches[0] = 1;
	to->n_batches = 1;
	for (size_t i = 0; i < from->n_apps; i++, msg->n_apps++) {
		to->apps[i] = pm_strdup(from->apps[i]);
		if (to->apps[i] == NULL)
			return false;
		to->n_apps++;
		msg->apps[i] = pm_calloc(1, sizeof(**msg->apps));
		if (msg->apps[i] == NULL)
			return false;
		pm__step_app__init(msg->apps[i]);
		run_text(&msg->apps[i]->name, from->apps[i]);
	}
	return true;
}

/* As the first one was, for one host: there is nothing to hold for, and nobody to ask. */
static struct rollout_params params_of(const struct run *run, int64_t now_ms)
{
	struct rollout_params p = run->m.params;

	p.batch[0] = (struct rollout_share){ 1, false };
	p.n_batch = 1;
	p.max_down = p.batch[0];
	p.on_failure = ROLLOUT_ON_FAILURE_CONTINUE;
	p.lost_continue = true;
	p.unreachable = ROLLOUT_UNREACHABLE_SKIP;
	p.unreachable_wait_ms = 0;
	p.order = ROLLOUT_ORDER_SORTED;
	p.seed = 0;
	p.wave[0] = p.gates[0] = '\0';
	p.bake_ms = p.wait_lock_ms = 0;
	/* It may go once more before its step: then that one's skipped step is caught up in turn.
	 */
	p.catch_up_ms = (uint32_t)PM_MAX(run->rec->status->catch_until_wall_ms - now_ms, 1);
	return p;
}

static struct run *make_child(struct run *run, const struct run_step *s)
{
	const struct rollout_params params = params_of(run, pm_wall_ms());
	struct run *child = run_new();
	Pm__RolloutStatus *st;
	struct store_id id;
	struct pm_error err;
	char message[64];

	if (child == NULL || run_set_steps(child, 1, &err) < 0 || !copy_request(child, run) ||
	    !copy_actor(child, run, s) || !copy_apps(child, run) ||
	    run_put_options(child, &params, &err) < 0) {
		run_free(child);
		return NULL;
	}
	randombytes_buf(id.bytes, sizeof(id.bytes));
	run_set_id(child, &id);
	st = child->rec->status;
	(void)snprintf(message, sizeof(message), "catches up for %s", run->id_text);
	run_text(&st->what, run->rec->status->what);
	run_text(&st->by, run->rec->status->by);
	run_text(&st->message, message);
	run_text(&st->catches, run->id_text);
	st->created_wall_ms = pm_wall_ms();
	st->state = PM__ROLLOUT_STATE__ROLLOUT_PLANNED;
	child->steps[0].agent = s->agent;
	child->steps[0].token = s->token;
	run_text(&child->steps[0].msg->agent, s->msg->agent);
	run_text(&child->steps[0].msg->name, s->msg->name);
	child->steps[0].msg->batch = 1;
	run_step_state(&child->steps[0], STEP_IS_PENDING, "", PM_OK, 0);
	run_to_machine(child);
	run_tell(child, st->by, "%s", message);
	return child;
}

/* ---- each turn ---- */

static void catch_up(struct run *run, struct run_step *s, int64_t now_ms)
{
	const struct rollout_step *m = &run->machine_steps[s - run->steps];
	const struct run *newer = find_newer(run, s);
	struct run *child = find_child(run, s);
	char words[100];

	if (newer != NULL) {
		(void)snprintf(words, sizeof(words), "it does not catch up: %s is newer",
		               newer->id_text);
		close_step(s, newer->id_text, words);
		return;
	}
	if (child != NULL && child->revision > 0) { /* it is on the disk */
		(void)snprintf(words, sizeof(words), "it is back, and catches up by %s",
		               child->id_text);
		close_step(s, child->id_text, words);
		return;
	}
	if (child != NULL || !m->reachable || now_ms < run->catch_ms ||
	    (m->drained && !run->m.params.include_drained))
		return;
	run->catch_ms = now_ms + RETRY_MS;
	child = make_child(run, s);
	if (child == NULL)
		pm_log(PM_LOG_WARN, "rollout.catch-up", "%s %s: out of memory, or no rights there",
		       run->id_text, s->msg->name);
	else
		rollouts_begin(run->all, child, NULL, 0);
}

void rollouts_catch_up(struct run *run, int64_t now_ms)
{
	if (!rollouts_is_catching_up(run))
		return;
	if (now_ms >= run->rec->status->catch_until_wall_ms) {
		(void)rollouts_stop_catch_up(run, "coordinator", "it did not come back in time");
		return;
	}
	for (size_t i = 0; i < run->n; i++)
		if (is_open(&run->steps[i]))
			catch_up(run, &run->steps[i], now_ms);
	if (n_open(run) == 0)
		finish(run);
}
