/* rollouts_orders.c - what operators order of rollouts: begin, pause, resume, promote, abort, undo.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollouts_priv.h"
#include "proto/limits.h"
#include "proto/log.h"

/* An agent knows a command by its token for a day; what is older might be done twice. */
#define REMEMBERED_MS (23ll * 3600000)

/* ---- which one ---- */

int rollouts_find(struct rollouts *r, const char *id, struct run **out, struct pm_error *err)
{
	const char *digits = strncmp(id, "r-", 2) == 0 ? id + 2 : id;
	size_t len = strlen(digits);
	struct run *found = NULL;

	for (struct run *run = r->runs; run != NULL && len > 0; run = run->next) {
		if (strncmp(run->id_text + 2, digits, len) != 0)
			continue;
		if (found != NULL) {
			(void)pm_fail(err, PM_USAGE, "%.40s: several rollouts begin so", id);
			pm_hint(err, "%s or %s?", found->id_text, run->id_text);
			return -1;
		}
		found = run;
	}
	if (found == NULL) {
		(void)pm_fail(err, PM_NOT_FOUND, "%.40s: no such rollout", id);
		pm_hint(err, "'pmctl rollout list --all' shows them");
		return -1;
	}
	*out = found;
	return 0;
}

static bool is_about(const struct run_step *s, char *const *apps, size_t n_apps)
{
	for (size_t i = 0; i < s->msg->n_apps; i++)
		for (size_t k = 0; k < n_apps; k++)
			if (strcmp(s->msg->apps[i]->name, apps[k]) == 0 ||
			    strcmp(apps[k], "all") == 0)
				return true;
	return n_apps == 0;
}

struct run *rollouts_holder(const struct rollouts *r, const struct store_id *agent,
                            char *const *apps, size_t n_apps)
{
	for (struct run *run = r->runs; run != NULL; run = run->next) {
		if (run->m.state != ROLLOUT_IS_RUNNING && run->m.state != ROLLOUT_IS_UNDOING)
			continue;
		for (size_t i = 0; i < run->n; i++)
			if (run->steps[i].msg->batch > 0 &&
			    memcmp(&run->steps[i].agent, agent, sizeof(*agent)) == 0 &&
			    is_about(&run->steps[i], apps, n_apps))
				return run;
	}
	return NULL;
}

/* ---- begin ---- */

static void note_audit(struct run *run, const char *who, const char *verb, const char *text)
{
	(void)snprintf(run->auditor, sizeof(run->auditor), "%s", who);
	(void)snprintf(run->audit, sizeof(run->audit), "%s: %.100s%s%.100s", verb,
	               run->rec->status->what, *text != '\0' ? ": " : "", text);
}

void rollouts_begin(struct rollouts *r, struct run *run, struct pm_link *link, uint64_t re)
{
	struct pm_error err;

	if (run->all == NULL)
		rollouts_enlist(r, run);
	run_state(run, ROLLOUT_IS_WAITING_LOCK, "", PM_OK);
	if (rollouts_add_watcher(r, run, link, re, NULL) < 0) {
		(void)pm_fail(&err, PM_NO_MEMORY, "begin a rollout"); /* the reply */
		pm_link_reply_error(link, re, &err);
		rollouts_drop(r, run);
		return;
	}
	note_audit(run, run->rec->status->by, "begin", run->rec->status->message);
	run->lock_asked_ms = pm_wall_ms();
	rollouts_take_locks(run, run->lock_asked_ms);
}

void rollouts_keep_plan(struct rollouts *r, struct run *run, struct pm_link *link, uint64_t re)
{
	struct watcher *w;
	struct pm_error err;

	rollouts_enlist(r, run);
	run_state(run, ROLLOUT_IS_PLANNED, "", PM_OK);
	if (rollouts_add_watcher(r, run, link, re, &w) < 0) {
		(void)pm_fail(&err, PM_NO_MEMORY, "keep a plan"); /* the reply */
		pm_link_reply_error(link, re, &err);
		rollouts_drop(r, run);
		return;
	}
	w->steps = true;
}

void rollouts_adopt(struct rollouts *r, struct run *run)
{
	/* It is let go again as others are, some time after its end. */
	run->rec->status->changed_wall_ms = pm_wall_ms();
	rollouts_enlist(r, run);
}

/* ---- change ---- */

static int not_so(const struct run *run, const char *verb, struct pm_error *err)
{
	return pm_fail(err, PM_USAGE, "%s %s: it is %s", verb, run->id_text,
	               run->rec->ending[0] != '\0' ? "about to end" : run_state_name(run->m.state));
}

static bool is_going(const struct run *run)
{
	return run->m.state == ROLLOUT_IS_RUNNING || run->m.state == ROLLOUT_IS_UNDOING;
}

static int pause_run(struct run *run, const char *who, const char *text, struct pm_error *err)
{
	char why[200];

	if (!is_going(run) || run->rec->ending[0] != '\0')
		return not_so(run, "pause", err);
	(void)snprintf(why, sizeof(why), "by %.40s%s%.120s", who, *text != '\0' ? ": " : "", text);
	rollouts_pause_with(run, who, why, PM_PAUSED);
	return 0;
}

/* What was never answered is asked once more, by its token: whoever did it says so, and whoever
 * never heard of it does it now. */
static void ask_unknown_again(struct run *run, int64_t now_ms)
{
	for (size_t i = 0; i < run->n; i++)
		if (run->machine_steps[i].state == STEP_IS_UNKNOWN &&
		    run->machine_steps[i].reachable &&
		    now_ms - run->machine_steps[i].sent_ms < REMEMBERED_MS)
			run_step_state(&run->steps[i], STEP_IS_SENT, "asked again", PM_OK, now_ms);
}

static int resume_run(struct run *run, const char *who, const char *text, struct pm_error *err)
{
	int64_t now_ms = pm_wall_ms();

	if (run->m.state != ROLLOUT_IS_PAUSED || run->rec->ending[0] != '\0')
		return not_so(run, "resume", err);
	run_tell(run, who, "resumed%s%.150s", *text != '\0' ? ": " : "", text);
	cut_off_accept(&run->all->cut_off); /* he has looked */
	ask_unknown_again(run, now_ms);
	run_forgive(run);
	rollouts_set_running(run, now_ms);
	if (!run->locked)
		rollouts_take_locks(run, now_ms); /* another has them: it is paused again */
	return 0;
}

static int promote_run(struct run *run, const char *who, const char *text, struct pm_error *err)
{
	uint32_t batch = rollout_batch_now(&run->m);

	if (!is_going(run) || run->rec->ending[0] != '\0')
		return not_so(run, "promote", err);
	if (run->m.gate == ROLLOUT_GATE_ASKED) {
		(void)pm_fail(err, PM_USAGE,
		              "promote %s: a gate is asked, and nothing goes past it",
		              run->id_text);
		pm_hint(err, "abort it, and roll out to the others without that gate");
		return -1;
	}
	if (run->rec->status->hold[0] == '\0' || batch == 0 || batch <= run->m.promoted)
		return pm_fail(err, PM_USAGE, "promote %s: nothing waits for it", run->id_text);
	run->m.promoted = batch;
	run->m.progress_ms = pm_wall_ms();
	run_tell(run, who, "promoted batch %u%s%.150s", batch, *text != '\0' ? ": " : "", text);
	return 0;
}

static int abort_run(struct run *run, const char *who, const char *text, struct pm_error *err)
{
	char why[200];

	if (run->rec->ending[0] == '\0' && rollouts_stop_catch_up(run, who, "aborted"))
		return 0;
	if (run_is_over(run) || run->rec->ending[0] != '\0')
		return not_so(run, "abort", err);
	(void)snprintf(why, sizeof(why), "by %.40s%s%.120s", who, *text != '\0' ? ": " : "", text);
	run_tell(run, who, "abort%s%.150s", *text != '\0' ? ": " : "", text);
	run_text(&run->rec->status->why, why);
	if (run->m.state == ROLLOUT_IS_PLANNED || run->m.state == ROLLOUT_IS_WAITING_LOCK)
		run_state(run, ROLLOUT_IS_ABORTED, why, PM_PAUSED);
	else
		run_text(&run->rec->ending, "abort");
	return 0;
}

static int undo_run(struct run *run, const char *who, const char *text, struct pm_error *err)
{
	char why[200];

	if (run->m.undoing || run->rec->ending[0] != '\0' || run->m.state == ROLLOUT_IS_PLANNED ||
	    run->m.state == ROLLOUT_IS_WAITING_LOCK)
		return not_so(run, "undo", err);
	if (!run->m.can_undo) {
		(void)pm_fail(err, PM_USAGE, "undo %s: it changed no spec that could be put back",
		              run->id_text);
		pm_hint(err, "put the former release in place on the hosts, and reload");
		return -1;
	}
	(void)rollouts_stop_catch_up(run, who, "undone"); /* false: none would have */
	run_tell(run, who, "undo%s%.150s", *text != '\0' ? ": " : "", text);
	run_text(&run->rec->ending, "undo");
	(void)snprintf(why, sizeof(why), "by %.40s%s%.120s", who, *text != '\0' ? ": " : "", text);
	if (run_is_over(run))
		run_state(run, ROLLOUT_IS_PAUSED, why, PM_PAUSED);
	run_text(&run->rec->status->why, why);
	if (!run->locked)
		rollouts_take_locks(run, pm_wall_ms());
	return 0;
}

static int steal_run(struct run *run, const char *who, const char *text, struct pm_error *err)
{
	char why[200];

	if (run_is_over(run) || run->m.state == ROLLOUT_IS_PLANNED || !run->locked)
		return not_so(run, "steal the locks of", err);
	(void)snprintf(why, sizeof(why), "its locks were taken away by %.40s%s%.100s", who,
	               *text != '\0' ? ": " : "", text);
	rollouts_pause_with(run, who, why, PM_LOCKED);
	run_text(&run->rec->ending, "");
	run->unlock = true; /* when the pause is on the disk: nothing of it is sent after that */
	return 0;
}

int rollouts_change(struct rollouts *r, struct run *run, const Pm__RolloutChange *what,
                    const char *who, struct pm_link *link, uint64_t re, struct pm_error *err)
{
	static const struct {
		int (*fn)(struct run *, const char *, const char *, struct pm_error *);
		const char *name;
	} verbs[] = {
		[PM__ROLLOUT_VERB__ROLLOUT_PAUSE] = { pause_run, "pause" },
		[PM__ROLLOUT_VERB__ROLLOUT_RESUME] = { resume_run, "resume" },
		[PM__ROLLOUT_VERB__ROLLOUT_PROMOTE] = { promote_run, "promote" },
		[PM__ROLLOUT_VERB__ROLLOUT_ABORT] = { abort_run, "abort" },
		[PM__ROLLOUT_VERB__ROLLOUT_UNDO] = { undo_run, "undo" },
		[PM__ROLLOUT_VERB__ROLLOUT_STEAL] = { steal_run, "steal" },
	};
	size_t verb = (size_t)what->verb;

	if (verb >= PM_COUNT(verbs) || verbs[verb].fn == NULL)
		return pm_fail(err, PM_UNSUPPORTED, "this coordinator does not know that order");
	if (verbs[verb].fn(run, who, what->text, err) < 0)
		return -1;
	note_audit(run, who, verbs[verb].name, what->text);
	run->record_dirty = true; /* with the audit's entry */
	if (rollouts_add_watcher(r, run, link, re, NULL) < 0)
		return pm_fail(err, PM_NO_MEMORY, "wait for it to be written down");
	return 0;
}

/* ---- what the sessions of agents tell ---- */

static size_t n_connected(const struct rollouts *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->c->members.n_nodes; i++)
		n += r->c->members.nodes[i]->link != NULL;
	return n;
}

static size_t n_gone(const struct rollouts *r, int64_t now_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < r->c->members.n_nodes; i++)
		n += r->c->members.nodes[i]->link == NULL &&
		     now_ms - r->c->members.nodes[i]->gone_ms < CUT_OFF_WINDOW_MS;
	return n;
}

static void poke_all(struct rollouts *r)
{
	if (r->runs != NULL)
		rollouts_poke(r->runs);
}

static void tell_frozen(struct rollouts *r, const char *words)
{
	coord_audit(r->c, "coordinator", "fleet.cut-off", "", words, "ok");
	for (struct run *run = r->runs; run != NULL; run = run->next)
		if (is_going(run))
			run_tell(run, "coordinator", "%s", words);
}

void rollouts_agent_up(struct rollouts *r, struct node *node)
{
	(void)node;
	if (cut_off_came(&r->cut_off, n_connected(r)))
		tell_frozen(r, "more than half of the agents are back: rollouts go on");
	poke_all(r);
}

void rollouts_agent_gone(struct rollouts *r, struct node *node)
{
	int64_t now_ms = pm_wall_ms();

	ask_agent_gone(&node->asks);
	node->gone_ms = now_ms;
	if (cut_off_lost(&r->cut_off, n_connected(r), n_gone(r, now_ms))) {
		pm_log(PM_LOG_ERROR, "fleet.cut-off",
		       "more than half of the agents went at once: it is us, not them; rollouts "
		       "are frozen");
		tell_frozen(r, "cut off from more than half of the agents at once: frozen");
	}
	poke_all(r);
}
