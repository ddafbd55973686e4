#include "coordinator/rollouts_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/requests_priv.h"
#include "proto/failpoint.h"
#include "proto/log.h"

#define TICK_MS  250
#define HURRY_MS 5 /* what comes within it is looked at together */
#define SLOW_MS  1000
#define RETRY_MS 1000
#define PLAN_MS  3600000
#define KEPT_MS  60000 /* in memory, after its end: whoever watches learns of it */

static void on_tick(uv_timer_t *timer);
static void commit(struct run *run);

/* ---- life ---- */

int rollouts_create(struct coord *c, struct rollouts **out, struct pm_error *err)
{
	struct rollouts *r = pm_calloc(1, sizeof(*r));

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "rollouts");
	r->c = c;
	(void)uv_timer_init(c->loop, &r->tick); /* never fails */
	r->tick.data = r;
	*out = r;
	return 0;
}

static void on_tick_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void rollouts_close(struct rollouts *r)
{
	if (r == NULL)
		return;
	r->closing = true;
	while (r->watchers != NULL) {
		struct watcher *w = r->watchers;

		r->watchers = w->next;
		free(w);
	}
	while (r->runs != NULL) {
		struct run *run = r->runs;

		r->runs = run->next;
		run_free(run);
	}
	uv_close((uv_handle_t *)&r->tick, on_tick_closed);
}

struct coord *rollouts_coord(const struct rollouts *r)
{
	return r->c;
}

bool rollouts_is_loaded(const struct rollouts *r)
{
	return r->loaded;
}

struct run *rollouts_first(const struct rollouts *r)
{
	return r->runs;
}

void rollouts_wake(struct rollouts *r)
{
	if (r->closing || r->hurried)
		return;
	r->hurried = true;
	(void)uv_timer_start(&r->tick, on_tick, HURRY_MS, TICK_MS); /* fails only while closing */
}

void rollouts_poke(struct run *run)
{
	rollouts_wake(run->all);
}

void rollouts_enlist(struct rollouts *r, struct run *run)
{
	struct run **at = &r->runs;

	run->all = r;
	while (*at != NULL)
		at = &(*at)->next;
	*at = run;
	run->next = NULL;
	rollouts_wake(r);
}

void rollouts_drop(struct rollouts *r, struct run *run)
{
	struct run **at = &r->runs;

	while (*at != run)
		at = &(*at)->next;
	*at = run->next;
	for (struct watcher *w = r->watchers, **from = &r->watchers; w != NULL; w = *from) {
		if (w->run != run) {
			from = &w->next;
			continue;
		}
		*from = w->next;
		free(w);
	}
	run_free(run);
}

/* It did not begin: whoever waits hears why, and it is gone. */
void rollouts_drop_with(struct run *run, const struct pm_error *why)
{
	struct rollouts *r = run->all;

	for (const struct watcher *w = r->watchers; w != NULL; w = w->next)
		if (w->run == run && w->link != NULL)
			pm_link_reply_error(w->link, w->re, why);
	rollouts_drop(r, run);
}

/* ---- who waits ---- */

int rollouts_add_watcher(struct rollouts *r, struct run *run, struct pm_link *link, uint64_t re,
                         struct watcher **out)
{
	struct watcher *w = pm_calloc(1, sizeof(*w));

	if (w == NULL)
		return -1;
	*w = (struct watcher){ .next = r->watchers, .run = run, .link = link, .re = re };
	r->watchers = w;
	if (out != NULL)
		*out = w;
	rollouts_wake(r);
	return 0;
}

int rollouts_watch(struct rollouts *r, struct run *run, const Pm__RolloutQuery *q,
                   struct pm_link *link, uint64_t re, struct pm_error *err)
{
	struct watcher *w;

	if (rollouts_add_watcher(r, run, link, re, &w) < 0)
		return pm_fail(err, PM_NO_MEMORY, "watch a rollout");
	w->after = q->after;
	w->steps = q->steps;
	w->deadline_ms = pm_wall_ms() + (int64_t)PM_MIN(q->wait_ms, 60000u) + 1;
	return 0;
}

void rollouts_link_gone(struct rollouts *r, const struct pm_link *link)
{
	for (struct watcher *w = r->watchers; w != NULL; w = w->next)
		if (w->link == link)
			w->link = NULL;
}

static bool is_on_disk(const struct run *run)
{
	return run->revision > 0 && !run->committing && !run->record_dirty && !run->steps_dirty;
}

static bool is_due(const struct watcher *w, int64_t now_ms)
{
	bool news = w->run->rec->status->progress > w->after;

	if (w->link == NULL)
		return true;
	if (w->deadline_ms == 0)
		return is_on_disk(w->run);
	return now_ms >= w->deadline_ms || (news && is_on_disk(w->run));
}

static void answer_watchers(struct rollouts *r, int64_t now_ms)
{
	for (struct watcher *w = r->watchers, **at = &r->watchers; w != NULL; w = *at) {
		if (!is_due(w, now_ms)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		if (w->link != NULL)
			run_reply(w->run, w->link, w->re, w->steps, w->after);
		free(w);
	}
}

static bool is_watched(const struct run *run)
{
	const struct watcher *w = run->all->watchers;

	while (w != NULL && w->run != run)
		w = w->next;
	return w != NULL;
}

void rollouts_pause_with(struct run *run, const char *who, const char *why, enum pm_code code)
{
	run_tell(run, who, "paused: %.170s", why);
	run_state(run, ROLLOUT_IS_PAUSED, why, code);
}

void rollouts_set_running(struct run *run, int64_t now_ms)
{
	rollouts_drop_gates(run);
	run->m.running_ms = run->m.progress_ms = now_ms;
	run_state(run, run->m.undoing ? ROLLOUT_IS_UNDOING : ROLLOUT_IS_RUNNING, "", PM_OK);
}

/* ---- the journal ---- */

/* What was not written down was not sent: it is still to be done. */
static void take_back_intents(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		struct run_step *s = &run->steps[i];

		if (run->machine_steps[i].state != STEP_IS_SENT || s->committed == STEP_IS_SENT)
			continue;
		run_step_state(s, s->committed != 0 ? s->committed : STEP_IS_PENDING, "", PM_OK, 0);
		s->msg->sent_wall_ms = run->machine_steps[i].sent_ms = 0;
	}
}

static void mark_again(struct run *run)
{
	run->record_dirty = true;
	for (size_t i = 0; i < run->n; i++)
		if (run->steps[i].packed != run->steps[i].committed || run->revision == 0)
			run->steps[i].dirty = run->steps_dirty = true;
}

static void take_committed(struct run_step *s, uint64_t number)
{
	struct node *node;

	if (s->packed == STEP_IS_SENT && s->committed != STEP_IS_SENT) {
		node = rollout_steps_node(s);
		if (node != NULL)
			node->command = PM_MAX(node->command, number);
	}
	if (s->packed != 0)
		s->committed = s->packed;
}

static void on_committed(void *arg, const struct store_result *res)
{
	struct run *run = arg;
	struct rollouts *r = run->all;

	run->committing = false;
	rollouts_wake(r);
	(void)PM_FAIL_POINT("rollout.committed");
	switch (res->status) {
	case STORE_OK:
		run->revision = res->revision;
		for (size_t i = 0; i < run->n; i++)
			take_committed(&run->steps[i], res->number);
		if (run->store_why[0] != '\0') /* nobody could look after it meanwhile */
			run->m.running_ms = pm_wall_ms();
		run->store_why[0] = '\0';
		if ((run_is_over(run) || run->unlock) && is_on_disk(run))
			rollouts_release_locks(run);
		return;
	case STORE_NOT_FOUND:
	case STORE_CONFLICT:
		pm_log(PM_LOG_ERROR, "rollout.conflict", "%s %s", run->id_text, res->why);
		mark_again(run);
		take_back_intents(run);
		run->locked = false;
		rollouts_pause_with(run, "coordinator", res->why, PM_LOCKED);
		run->retry_ms = pm_wall_ms() + RETRY_MS;
		return;
	case STORE_UNAVAILABLE:
		(void)snprintf(run->store_why, sizeof(run->store_why), "%s", res->why);
		mark_again(run);
		run->retry_ms = pm_wall_ms() + RETRY_MS;
		return;
	}
}

static void commit(struct run *run)
{
	struct run_packed packed;
	struct audit_entry entry;
	struct pm_error err;

	if (run->committing || (!run->record_dirty && !run->steps_dirty) ||
	    pm_wall_ms() < run->retry_ms ||
	    (run->revision == 0 && run->m.state == ROLLOUT_IS_WAITING_LOCK &&
	     run->rec->status->why[0] == '\0'))
		return;
	(void)PM_FAIL_POINT("rollout.commit");
	if (run_pack(run, &packed, &err) < 0) {
		run->retry_ms = pm_wall_ms() + RETRY_MS;
		return;
	}
	if (run->audit[0] != '\0') {
		entry = coord_entry(run->auditor, "rollout", run->id_text, run->audit, "ok");
		packed.request.audit = &entry;
	}
	if (fleet_store_submit(run->all->c->store, &packed.request, on_committed, run, &err) < 0) {
		run->retry_ms = pm_wall_ms() + RETRY_MS;
		run_packed_finish(&packed);
		return;
	}
	run_packed_finish(&packed);
	run->committing = true;
	run->audit[0] = '\0';
	run->record_dirty = run->steps_dirty = false;
	for (size_t i = 0; i < run->n; i++) {
		run->steps[i].packed = (enum step_state)run->steps[i].msg->state;
		run->steps[i].dirty = false;
	}
}

/* ---- what follows ---- */

static bool is_operator_well(const struct run *run)
{
	const struct oper *o;

	if (run->rec->local)
		return true;
	o = members_oper_named(&run->all->c->members, run->rec->actor->operator_);
	return o != NULL && o->state == OPERATOR_ACTIVE;
}

static void send_list(struct run *run, const struct rollout_verdict *v, int64_t now_ms)
{
	uint32_t batch = v->n > 0 ? run->steps[v->list[0]].msg->batch : 0;

	if (!is_operator_well(run)) {
		rollouts_pause_with(run, "coordinator",
		                    "the operator who began it is none any more", PM_DENIED);
		return;
	}
	if (batch != run->told_batch) {
		run->told_batch = batch;
		run_tell(run, "coordinator", "%sbatch %u of %u begins",
		         run->m.undoing ? "undo: " : "", batch, run->m.n_batches);
	}
	if (run->rec->status->hold[0] != '\0') /* the time of a hold does not count */
		run->m.progress_ms = now_ms;
	for (size_t i = 0; i < v->n; i++)
		run_step_state(&run->steps[v->list[i]], STEP_IS_SENT, "", PM_OK, now_ms);
}

static void settle_list(struct run *run, const struct rollout_verdict *v, int64_t now_ms)
{
	for (size_t i = 0; i < v->n; i++) {
		struct run_step *s = &run->steps[v->list[i]];

		if (!rollout_steps_is_well(s, now_ms))
			continue;
		run_step_state(s, STEP_IS_HEALTHY, "", PM_OK, now_ms);
		run->m.progress_ms = now_ms;
	}
}

static void set_list(struct run *run, const struct rollout_verdict *v, enum step_state state,
                     enum pm_code code, int64_t now_ms)
{
	for (size_t i = 0; i < v->n; i++) {
		struct run_step *s = &run->steps[v->list[i]];
		char words[256];

		(void)snprintf(words, sizeof(words), "%.120s%s%.120s", v->why,
		               s->msg->text[0] != '\0' ? ": " : "", s->msg->text);
		run_step_state(s, state, words, code, now_ms);
		run_tell(run, s->msg->name, "%s: %.150s", run_step_name(state), words);
	}
}

static void stay(struct run *run, const struct rollout_verdict *v)
{
	Pm__RolloutStatus *st = run->rec->status;
	const char *hold = run->store_why[0] != '\0' ? "store" : v->hold != NULL ? v->hold : "";
	int64_t until_ms = *hold == '\0' ? 0 : strcmp(hold, "promote") == 0 ? -1 : v->hold_until_ms;

	if (strcmp(st->hold, hold) == 0 && st->hold_until_wall_ms == until_ms)
		return;
	if (*hold != '\0' && strcmp(st->hold, hold) != 0)
		run_tell(run, "coordinator", "waits: %s", hold);
	run_text(&st->hold, hold);
	st->hold_until_wall_ms = until_ms;
	run->record_dirty = true;
	st->progress++;
}

/* What was undone says why it was. */
static void end(struct run *run, const struct rollout_verdict *v)
{
	bool says = v->why[0] != '\0' || !run->m.undoing;

	run_tell(run, "coordinator", "%s%s%.150s", run_state_name(v->state),
	         v->why[0] != '\0' ? ": " : "", v->why);
	run_state(run, v->state, says ? v->why : run->rec->status->why, v->code);
	rollouts_plan_catch_up(run, pm_wall_ms());
}

/* "1 of 5 hosts failed; web3: ...": who looks later finds the hosts put back, and no failure. */
static void roll_back(struct run *run, const char *why)
{
	char words[400];
	size_t i = 0;

	while (i < run->n &&
	       (run->machine_steps[i].state != STEP_IS_FAILED || run->machine_steps[i].forgiven))
		i++;
	(void)snprintf(words, sizeof(words), "%s", why);
	if (i < run->n)
		(void)snprintf(words, sizeof(words), "%.150s; %.60s: %.180s", why,
		               run->steps[i].msg->name, run->steps[i].msg->text);
	run_tell(run, "coordinator", "rolls back: %.150s", why);
	run_text(&run->rec->status->why, words);
	run_text(&run->rec->ending, "undo");
}

/* Carry out one move; false: nothing more follows now. */
static bool move(struct run *run, const struct rollout_verdict *v, int64_t now_ms)
{
	switch (v->move) {
	case ROLLOUT_STAY:
		stay(run, v);
		return false;
	case ROLLOUT_SEND:
		send_list(run, v, now_ms);
		return false; /* to the disk first */
	case ROLLOUT_SKIP:
		set_list(run, v, STEP_IS_SKIPPED,
		         strcmp(v->why, "drained") == 0 ? PM_OK : PM_UNREACHABLE, now_ms);
		return true;
	case ROLLOUT_SETTLE:
		settle_list(run, v, now_ms); /* those that are not well are passed over now */
		return true;
	case ROLLOUT_LOSE:
		set_list(run, v, STEP_IS_UNKNOWN, PM_UNKNOWN, now_ms);
		return true;
	case ROLLOUT_EXPIRE:
		set_list(run, v, STEP_IS_FAILED, PM_DEADLINE, now_ms);
		return true;
	case ROLLOUT_GATE:
		rollouts_ask_gates(run);
		return true;
	case ROLLOUT_PAUSE:
		rollouts_pause_with(run, "coordinator", v->why, v->code);
		return false;
	case ROLLOUT_UNDO:
		roll_back(run, v->why);
		return false;
	case ROLLOUT_END:
		end(run, v);
		return false;
	}
	return false;
}

static void decide(struct run *run, int64_t now_ms)
{
	PM_FREE uint32_t *list = pm_calloc(run->n + 1, sizeof(*list));
	struct rollout_verdict v = { .list = list };
	size_t most = 4 * run->n + 16; /* each move but STAY ends something */

	if (list == NULL)
		return;                                       /* with the next tick */
	if (run->m.frozen && !cut_off_is(&run->all->cut_off)) /* deadlines begin anew */
		run->m.running_ms = now_ms;
	run->m.frozen = cut_off_is(&run->all->cut_off);
	do {
		v = (struct rollout_verdict){ .list = list };
		rollout_next(&run->m, now_ms, &v);
	} while (move(run, &v, now_ms) && most-- > 0);
}

/* What is under way ends; nothing begins. Then it is aborted, or turned round. */
static void drain(struct run *run, int64_t now_ms)
{
	bool undo = strcmp(run->rec->ending, "undo") == 0;
	struct pm_error err;
	size_t n_sent = 0;

	for (size_t i = 0; i < run->n; i++) {
		struct run_step *s = &run->steps[i];
		const struct rollout_step *m = &run->machine_steps[i];

		if (m->state == STEP_IS_PENDING)
			run_step_state(s, STEP_IS_SKIPPED, undo ? "undone first" : "aborted", PM_OK,
			               now_ms);
		else if (m->state == STEP_IS_ACCEPTED && !undo)
			run_step_state(s, STEP_IS_HEALTHY, "not watched to the end: aborted", PM_OK,
			               now_ms);
		if (m->state != STEP_IS_SENT)
			continue;
		if ((m->lost && now_ms - m->lost_ms > ROLLOUT_LOST_MS) ||
		    now_ms - m->sent_ms > 2 * (int64_t)run->m.params.healthy_deadline_ms)
			run_step_state(s, STEP_IS_UNKNOWN, "it did not answer in time", PM_UNKNOWN,
			               now_ms);
		else
			n_sent++;
	}
	if (n_sent > 0)
		return;
	if (!undo) {
		run_text(&run->rec->ending, "");
		run_tell(run, "coordinator", "aborted");
		run_state(run, ROLLOUT_IS_ABORTED, run->rec->status->why, PM_PAUSED);
		return;
	}
	if (!run->locked || run->committing) /* the locks first; and what is known, to the disk */
		return;
	run_text(&run->rec->ending, "");
	if (rollout_steps_turn(run, &err) < 0) {
		rollouts_pause_with(run, "coordinator", err.what, err.code);
		return;
	}
	run->told_batch = 0;
	run->m.running_ms = run->m.progress_ms = now_ms;
	run_state(run, ROLLOUT_IS_UNDOING, run->rec->status->why, PM_OK);
}

static bool is_going(const struct run *run)
{
	return run->m.state == ROLLOUT_IS_RUNNING || run->m.state == ROLLOUT_IS_UNDOING;
}

static void pump(struct run *run, int64_t now_ms)
{
	rollout_steps_look(run, now_ms);
	if (!is_going(run) || run->rec->ending[0] != '\0')
		rollouts_drop_gates(run);
	if (run->m.state != ROLLOUT_IS_PLANNED &&
	    (!run_is_over(run) || run->rec->ending[0] != '\0'))
		rollouts_keep_locks(run, now_ms);
	if (run->m.state == ROLLOUT_IS_PLANNED || run->m.state == ROLLOUT_IS_WAITING_LOCK ||
	    (run_is_over(run) && run->rec->ending[0] == '\0')) {
		rollouts_catch_up(run, now_ms);
		commit(run);
		return;
	}
	if (!run->committing) {
		rollout_steps_send(run, now_ms);
		if (run->rec->ending[0] != '\0')
			drain(run, now_ms);
		else if (is_going(run) && now_ms >= run->retry_ms)
			decide(run, now_ms);
	}
	rollout_steps_watch(run, now_ms);
	run_from_machine(run);
	commit(run);
}

/* Whether it is to stay in memory. */
static bool is_kept(struct run *run, int64_t now_ms)
{
	if (run->committing || run->locking || is_watched(run))
		return true;
	if (run->m.state == ROLLOUT_IS_PLANNED)
		return now_ms - run->rec->status->created_wall_ms < PLAN_MS;
	return !run_is_over(run) || !is_on_disk(run) || rollouts_is_catching_up(run) ||
	       run->rec->ending[0] != '\0' || now_ms - run->rec->status->changed_wall_ms < KEPT_MS;
}

static void on_tick(uv_timer_t *timer)
{
	struct rollouts *r = timer->data;
	int64_t now_ms = pm_wall_ms();
	bool hurry = r->watchers != NULL;

	r->hurried = false;
	for (struct run *run = r->runs, *next; run != NULL; run = next) {
		next = run->next;
		pump(run, now_ms);
		hurry |= is_going(run) || run->committing || run->rec->ending[0] != '\0' ||
		         run->m.state == ROLLOUT_IS_WAITING_LOCK;
	}
	answer_watchers(r, now_ms);
	for (struct run *run = r->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (!is_kept(run, now_ms))
			rollouts_drop(r, run);
	}
	if (r->runs == NULL && r->watchers == NULL)
		(void)uv_timer_stop(timer); /* never fails */
	else
		uv_timer_set_repeat(timer, hurry ? TICK_MS : SLOW_MS);
}
