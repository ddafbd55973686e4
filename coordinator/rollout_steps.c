/* rollout_steps.c - a rollout and its hosts: what is sent, what they answer, and how they do after.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/budgets.h"
#include "coordinator/requests_priv.h"
#include "coordinator/rollouts.h"
#include "proto/failpoint.h"
#include "proto/log.h"

#define AGAIN_MS   1000
#define LEAST_MS   2500 /* below the machine's patience with an answer that was asked for */
#define TAILS_MAX  3    /* failing hosts whose last output is kept */
#define TAIL_BYTES 4096
#define APPS_MAX   64 /* of one rollout */

static void start_check(struct run_step *s, int64_t now_ms);

static struct rollout_step *machine(const struct run_step *s)
{
	return &s->run->machine_steps[s - s->run->steps];
}

struct node *rollout_steps_node(const struct run_step *s)
{
	return members_node(&rollouts_coord(s->run->all)->members, &s->agent);
}

/* May it be sent anything, and is it there?  A session ends when its key is revoked. */
static bool is_reachable(const struct node *node)
{
	return node != NULL && node->link != NULL && !node->suspect && node_takes_commands(node);
}

/* Whether what fails keeps the old instances. */
static bool is_gated(const Pm__Command *cmd)
{
	return cmd->verb == PM__VERB__VERB_RELOAD || cmd->verb == PM__VERB__VERB_START_OR_RELOAD ||
	       cmd->verb == PM__VERB__VERB_SCALE;
}

/* Of one that failed: the old instances are there, since what failed did so before it took over. */
static bool has_what_it_had(const struct run_step *s)
{
	const struct rollout_step *m = machine(s);

	return (s->run->m.undoing || is_gated(s->run->rec->command)) && m->done_ms == m->ended_ms;
}

/* Done in a former life of ours, and not looked at in this one. */
static bool is_unseen(const struct run_step *s)
{
	return machine(s)->state == STEP_IS_HEALTHY && machine(s)->batch > 0 &&
	       s->msg->n_instances > 0 && s->checked_ms == 0;
}

/* The most of its apps that restart by themselves, of those of its first host. */
static size_t n_restarting(const struct run *run)
{
	const struct budgets *b = rollouts_coord(run->all)->budgets;
	size_t most = 0;

	for (size_t i = 0; run->n > 0 && i < run->steps[0].msg->n_apps; i++)
		most = PM_MAX(most, budgets_n_held(b, run->steps[0].msg->apps[i]->name));
	return most;
}

void rollout_steps_look(struct run *run, int64_t now_ms)
{
	run->m.n_else = n_restarting(run);
	for (size_t i = 0; i < run->n; i++) {
		struct run_step *s = &run->steps[i];
		struct rollout_step *m = machine(s);
		const struct node *node = rollout_steps_node(s);
		bool waiting;

		m->unwell = false; /* it is asked once a turn */
		m->unseen = is_unseen(s);
		m->serves = has_what_it_had(s);
		m->excused = s->msg->code == PM_OK;
		m->reachable = is_reachable(node);
		if (node != NULL && node->link != NULL) /* by the calendar, as all times here */
			m->heard_ms = now_ms - (int64_t)(uv_now(rollouts_coord(run->all)->loop) -
			                                 pm_link_heard_ms(node->link));
		if (m->reachable)
			m->gone_ms = 0;
		else if (m->gone_ms == 0)
			m->gone_ms = now_ms;
		m->drained = node != NULL && node->drained;
		m->lost =
			m->state == STEP_IS_SENT && s->committed == STEP_IS_SENT && s->ask == NULL;
		if (!m->lost)
			m->lost_ms = 0;
		else if (m->lost_ms == 0)
			m->lost_ms = now_ms;
		if (m->state != STEP_IS_PENDING || m->reachable)
			m->away_ms = 0;
		else if (m->away_ms == 0 && m->batch == rollout_batch_now(&run->m))
			m->away_ms = now_ms;
		waiting = m->lost || m->away_ms != 0;
		if (waiting != (bool)s->msg->waiting) { /* for people only: not written down */
			s->msg->waiting = waiting;
			s->msg->progress = ++run->rec->status->progress;
		}
	}
}

/* ---- what they answer ---- */

static void keep_tail(struct run_step *s, const ProtobufCBinaryData *tail)
{
	size_t n = 0, len = PM_MIN(tail->len, (size_t)TAIL_BYTES);

	for (size_t i = 0; i < s->run->n; i++)
		n += s->run->steps[i].msg->log_tail.len > 0;
	if (len > 0 && s->msg->log_tail.len == 0 && n < TAILS_MAX)
		run_bytes(&s->msg->log_tail, tail->data + tail->len - len, len);
}

static void keep_instance(struct run_step *s, const Pm__Outcome *o)
{
	Pm__RolloutStep *msg = s->msg;
	Pm__StepInstance *one, **list;

	if (!o->has_id || o->pid == 0 || o->state != PM__LIFE_STATE__LIFE_ONLINE)
		return;
	one = pm_calloc(1, sizeof(*one));
	list = pm_calloc(msg->n_instances + 1, sizeof(*list));
	if (one == NULL || list == NULL) { /* it is watched less closely */
		free(one);
		free(list);
		return;
	}
	pm__step_instance__init(one);
	one->pm_id = o->pm_id;
	one->pid = o->pid;
	run_text(&one->name, o->name);
	if (msg->n_instances > 0)
		memcpy(list, msg->instances, msg->n_instances * sizeof(*list));
	free(msg->instances);
	msg->instances = list;
	list[msg->n_instances++] = one;
}

static void forget_instances(Pm__RolloutStep *msg)
{
	for (size_t i = 0; i < msg->n_instances; i++)
		pm__step_instance__free_unpacked(msg->instances[i], NULL);
	free(msg->instances);
	msg->instances = NULL;
	msg->n_instances = 0;
}

/* What became of an app whose host could not be asked beforehand. */
static void keep_specs(struct run_step *s, const Pm__Outcome *o)
{
	for (size_t i = 0; i < s->msg->n_apps; i++) {
		Pm__StepApp *app = s->msg->apps[i];

		if (strcmp(app->name, o->name) != 0 || app->spec_to.len > 0 || o->spec_to.len == 0)
			continue;
		run_bytes(&app->spec_from, o->spec_from.data, o->spec_from.len);
		run_bytes(&app->spec_to, o->spec_to.data, o->spec_to.len);
		run_text(&app->version_from, o->version_from);
		run_text(&app->version_to, o->version_to);
	}
}

static void take_result(struct run_step *s, const Pm__Result *result)
{
	enum pm_code code = pm_code_from_wire(result->code);

	for (size_t i = 0; i < result->n_outcomes; i++) {
		const Pm__Outcome *o = result->outcomes[i];
		char text[300];

		keep_instance(s, o);
		keep_specs(s, o);
		if (o->code == PM_OK || s->code != PM_OK)
			continue;
		s->code = pm_code_from_wire(o->code);
		(void)snprintf(text, sizeof(text), "%.60s: %.230s", o->name, o->text);
		run_text(&s->msg->text, text);
		keep_tail(s, &o->log_tail);
	}
	if (code != PM_OK && s->code == PM_OK) {
		s->code = code;
		run_text(&s->msg->text, result->text);
	}
}

static void settle_step(struct run_step *s)
{
	PM_FREE char *text = pm_strdup(s->msg->text);
	const char *words = text != NULL ? text : "";
	int64_t now_ms = pm_wall_ms();

	/* What was decided without its answer stays: the story has it. */
	if (machine(s)->state != STEP_IS_SENT && machine(s)->state != STEP_IS_UNKNOWN)
		return;
	if (s->code == PM_OK)
		run_step_state(s, STEP_IS_ACCEPTED, "", PM_OK, now_ms);
	else if (s->code == PM_UNKNOWN)
		run_step_state(s, STEP_IS_UNKNOWN, words, s->code, now_ms);
	else
		run_step_state(s, STEP_IS_FAILED, words, s->code, now_ms);
	if (s->code != PM_OK)
		run_tell(s->run, s->msg->name, "%s: %.150s",
		         s->code == PM_UNKNOWN ? "it is not known whether it did it" : "failed",
		         words);
}

/* A refusal that says nothing of what became of the step: it may even be under way. */
static bool is_not_taken(const Pm__Error *error)
{
	enum pm_code code = pm_code_from_wire(error->code);

	return code == PM_UNREACHABLE || code == PM_LIMIT || code == PM_NO_MEMORY ||
	       code == PM_NO_SPACE;
}

static void on_step_answer(void *arg, enum ask_event event, const Pm__Envelope *env)
{
	struct run_step *s = arg;

	if (event != ASK_PAGE)
		s->ask = NULL;
	if (event == ASK_GONE) {
		rollouts_poke(s->run);
		return;
	}
	if (env->body_case == PM__ENVELOPE__BODY_RESULT) {
		take_result(s, env->result);
	} else if (env->body_case == PM__ENVELOPE__BODY_ERROR && is_not_taken(env->error)) {
		s->again_ms = pm_wall_ms() + AGAIN_MS;
		return;
	} else if (env->body_case == PM__ENVELOPE__BODY_ERROR) {
		s->code = pm_code_from_wire(env->error->code);
		if (s->code == PM_OK)
			s->code = PM_PROTOCOL;
		run_text(&s->msg->text, env->error->what);
	}
	if (event != ASK_LAST)
		return;
	(void)PM_FAIL_POINT("rollout.answered");
	settle_step(s);
	rollouts_poke(s->run);
}

/* ---- what is sent ---- */

static void fill_actor(const struct run_step *s, Pm__Actor *out)
{
	const Pm__RolloutRecord *rec = s->run->rec;

	*out = *rec->actor;
	for (size_t i = 0; i < rec->n_actors; i++)
		for (size_t k = 0; k < rec->actors[i]->n_agents; k++)
			if (strcmp(rec->actors[i]->agents[k], s->msg->agent) == 0) {
				out->role = rec->actors[i]->role;
				out->apps = rec->actors[i]->apps;
				return;
			}
}

/*
 * Until when it is to be done, by the host's own clock; 0: that is not known.  What that clock said
 * is a little old when it comes: so the host gives up before we do, and not behind us.
 */
static uint64_t end_by_ms(const struct run_step *s, const struct node *node, int64_t now_ms)
{
	const struct rollout *m = &s->run->m;
	int64_t end_ms =
		PM_MAX(machine(s)->sent_ms, m->running_ms) + (int64_t)m->params.healthy_deadline_ms;
	int64_t left_ms = PM_MAX(end_ms - now_ms, LEAST_MS); /* it may know it, and is asked */

	if (node->beat_ms == 0)
		return 0;
	return node->beat_ms + (pm_now_ms() - node->beat_at_ms) + (uint64_t)left_ms;
}

static void send_step(struct run_step *s, struct node *node)
{
	struct run *run = s->run;
	const Pm__RolloutRecord *rec = run->rec;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command cmd = *rec->command;
	Pm__SpecRef refs[APPS_MAX], *list[APPS_MAX];
	Pm__Target targets[APPS_MAX], *target_list[APPS_MAX];
	size_t n_pushes = run->m.undoing ? 0 : rec->n_specs;
	PM_FREE Pm__Envelope *pushes = pm_calloc(n_pushes + 1, sizeof(*pushes));
	Pm__Actor actor;
	size_t n = 0;

	if (pushes == NULL)
		return;
	fill_actor(s, &actor);
	for (size_t i = 0; i < s->msg->n_apps && n < APPS_MAX; i++) {
		const Pm__StepApp *app = s->msg->apps[i];

		/* Of a host that could not be asked beforehand, nothing is expected. */
		if (app->spec_to.len == 0 && app->spec_from.len == 0)
			continue;
		pm__spec_ref__init(&refs[n]);
		refs[n].name = app->name;
		refs[n].hash = run->m.undoing ? app->spec_to : app->spec_from;
		list[n] = &refs[n];
		pm__target__init(&targets[n]);
		targets[n].text = app->name;
		target_list[n] = &targets[n];
		n++;
	}
	cmd.op_id.data = s->token.bytes;
	cmd.op_id.len = sizeof(s->token.bytes);
	cmd.timeout_ms = run->m.params.healthy_deadline_ms;
	if (run->m.undoing) {
		pm__command__init(&cmd);
		cmd.op_id.data = s->token.bytes;
		cmd.op_id.len = sizeof(s->token.bytes);
		cmd.timeout_ms = run->m.params.healthy_deadline_ms;
		cmd.verb = PM__VERB__VERB_REVERT;
		cmd.targets = target_list;
		cmd.n_targets = n;
		cmd.specs = list;
		cmd.n_specs = n;
	} else {
		cmd.expect = list;
		cmd.n_expect = n;
	}
	cmd.end_by_ms = end_by_ms(s, node, pm_wall_ms());
	cmd.number = node->command; /* counted when the step was written down as sent */
	cmd.give_up = true;         /* a step that failed is over, and the host has what it had */
	for (size_t i = 0; i < n_pushes; i++) {
		pm__envelope__init(&pushes[i]);
		pushes[i].actor = &actor;
		pushes[i].body_case = PM__ENVELOPE__BODY_SPEC_PUSH;
		pushes[i].spec_push = rec->specs[i];
	}
	env.actor = &actor;
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &cmd;
	s->code = PM_OK;
	forget_instances(s->msg);
	(void)PM_FAIL_POINT("rollout.send");
	machine(s)->asked_ms = pm_wall_ms();
	s->ask = ask_send(&node->asks, node->link, pushes, n_pushes, &env, on_step_answer, s);
}

void rollout_steps_send(struct run *run, int64_t now_ms)
{
	/* Also what was sent before: an agent that never heard of it would do it now, and the app
	 * may be another's meanwhile. */
	if (!rollouts_has_locks(run, now_ms))
		return;
	for (size_t i = 0; i < run->n; i++) {
		struct run_step *s = &run->steps[i];
		struct node *node;

		if (s->ask != NULL || s->committed != STEP_IS_SENT ||
		    machine(s)->state != STEP_IS_SENT || !machine(s)->reachable ||
		    now_ms < s->again_ms)
			continue;
		node = rollout_steps_node(s);
		if (node != NULL)
			send_step(s, node);
	}
}

/* ---- how they do ---- */

static const Pm__InstanceStatus *find_instance(const Pm__StatusList *list, uint32_t pm_id)
{
	for (size_t i = 0; i < list->n_instances; i++)
		if (list->instances[i]->pm_id == pm_id)
			return list->instances[i];
	return NULL;
}

/* How the one before it ended. */
static void end_words(const Pm__InstanceStatus *is, char *out, size_t size)
{
	*out = '\0';
	if (is->note[0] != '\0')
		(void)snprintf(out, size, ": %.120s", is->note);
	else if (is->exit_known && is->exit_signal != 0)
		(void)snprintf(out, size, ": ended by signal %d", is->exit_signal);
	else if (is->exit_known)
		(void)snprintf(out, size, ": exited with code %d", is->exit_code);
}

/* What is wrong with it, in words; "": nothing. *late: it may come right by itself. */
static void look_at_instance(const Pm__StepInstance *was, const Pm__InstanceStatus *is, char *out,
                             size_t size, bool *late)
{
	char end[130];

	*out = '\0';
	*late = false;
	if (is->state != PM__LIFE_STATE__LIFE_ONLINE || is->pid != was->pid) {
		end_words(is, end, sizeof(end));
		(void)snprintf(out, size, "%.60s (id %u) did not stay up%s", is->name, is->pm_id,
		               end);
	} else if (is->ready == PM__HEALTH__HEALTH_FAILING) {
		(void)snprintf(out, size, "%.60s (id %u) is up and not ready", is->name, is->pm_id);
		*late = true;
	}
}

static void fail_step(struct run_step *s, const char *why)
{
	run_step_state(s, STEP_IS_FAILED, why, PM_FAILED, pm_wall_ms());
	run_tell(s->run, s->msg->name, "failed: %.150s", why);
}

static void take_status(struct run_step *s, const Pm__StatusList *list)
{
	for (size_t i = 0; i < s->msg->n_instances; i++) {
		const Pm__StepInstance *was = s->msg->instances[i];
		const Pm__InstanceStatus *is = find_instance(list, was->pm_id);
		char why[256];
		bool late;

		if (is == NULL)
			continue;
		s->n_seen++;
		look_at_instance(was, is, why, sizeof(why), &late);
		if (why[0] == '\0')
			continue;
		s->unfit = true;
		if (!late || machine(s)->state == STEP_IS_HEALTHY) {
			fail_step(s, why);
			return;
		}
	}
}

static bool is_watched(const struct run_step *s)
{
	return machine(s)->state == STEP_IS_ACCEPTED || machine(s)->state == STEP_IS_HEALTHY;
}

static void on_check_answer(void *arg, enum ask_event event, const Pm__Envelope *env)
{
	struct run_step *s = arg;

	if (event != ASK_PAGE)
		s->check = NULL;
	if (event == ASK_GONE) {
		s->check_began_ms = 0; /* asked anew when it is back */
		return;
	}
	if (!is_watched(s))
		return;
	if (env->body_case == PM__ENVELOPE__BODY_STATUS_LIST)
		take_status(s, env->status_list);
	else
		s->unfit = true; /* it does not say: asked again, until the deadline */
	if (event != ASK_LAST || !is_watched(s)) {
		rollouts_poke(s->run);
		return;
	}
	if (!s->unfit && s->n_seen < s->msg->n_instances)
		fail_step(s, "an instance has gone");
	else if (!s->unfit)
		s->checked_ms = s->check_began_ms;
	if (s->check_again && is_watched(s))
		start_check(s, pm_wall_ms());
	rollouts_poke(s->run);
}

static void start_check(struct run_step *s, int64_t now_ms)
{
	struct node *node = rollout_steps_node(s);
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;
	Pm__Target targets[APPS_MAX], *list[APPS_MAX];
	size_t n = PM_MIN(s->msg->n_apps, (size_t)APPS_MAX);
	Pm__Actor actor;

	if (s->check != NULL || node == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		pm__target__init(&targets[i]);
		targets[i].text = s->msg->apps[i]->name;
		list[i] = &targets[i];
	}
	req.detail = PM__DETAIL__DETAIL_LIST;
	req.targets = list;
	req.n_targets = n;
	fill_actor(s, &actor);
	env.actor = &actor;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	s->unfit = s->check_again = false;
	s->n_seen = 0;
	s->check_began_ms = now_ms;
	s->revision = node->revision;
	s->check = ask_send(&node->asks, node->link, NULL, 0, &env, on_check_answer, s);
}

void rollout_steps_watch(struct run *run, int64_t now_ms)
{
	for (size_t i = 0; i < run->n; i++) {
		struct run_step *s = &run->steps[i];
		const struct node *node;

		if (!is_watched(s) || !machine(s)->reachable || s->msg->n_instances == 0)
			continue;
		node = rollout_steps_node(s);
		if (node == NULL || (s->revision == node->revision && s->check_began_ms != 0 &&
		                     (!is_unseen(s) || now_ms - s->check_began_ms < AGAIN_MS)))
			continue;
		if (s->check != NULL)
			s->check_again = true;
		else
			start_check(s, now_ms);
	}
}

bool rollout_steps_is_well(struct run_step *s, int64_t now_ms)
{
	const struct rollout *m = &s->run->m;

	if (s->msg->n_instances == 0 ||
	    s->checked_ms >= machine(s)->done_ms + (int64_t)m->params.min_healthy_ms)
		return true;
	start_check(s, now_ms);
	machine(s)->unwell = true;
	return false;
}

/* ---- the way back ---- */

static bool did_change(const struct run_step *s)
{
	const struct rollout_step *m = machine(s);

	if (m->batch == 0 || m->state == STEP_IS_PENDING || m->state == STEP_IS_SKIPPED)
		return false;
	for (size_t i = 0; i < s->msg->n_apps; i++)
		if (run_changes_spec(s->msg->apps[i]))
			return true;
	return false;
}

static void turn_step(struct run_step *s, uint32_t batch, bool changed)
{
	Pm__RolloutStep *msg = s->msg;
	struct rollout_step *m = machine(s);

	run_bytes(&msg->undone_from, s->token.bytes, sizeof(s->token.bytes));
	randombytes_buf(s->token.bytes, sizeof(s->token.bytes));
	for (size_t i = 0; i < msg->n_apps; i++) {
		Pm__StepApp *app = msg->apps[i];
		ProtobufCBinaryData from = app->spec_from;
		char *version = app->version_from;

		app->spec_from = app->spec_to;
		app->spec_to = from;
		app->version_from = app->version_to;
		app->version_to = version;
	}
	forget_instances(msg);
	run_bytes(&msg->log_tail, NULL, 0);
	msg->batch = m->batch = batch;
	m->sent_ms = 0;
	m->done_ms = m->ended_ms = 0; /* and in the message by what follows */
	s->checked_ms = s->check_began_ms = 0;
	s->committed = STEP_IS_PENDING;
	run_step_state(s, changed ? STEP_IS_PENDING : STEP_IS_SKIPPED,
	               changed ? "" : "it was not changed", PM_OK, 0);
}

/* In the order in which they are done. */
static int reorder(struct run *run, const uint32_t *order, struct pm_error *err)
{
	struct run_step *steps = pm_calloc(run->n + 1, sizeof(*steps));
	struct rollout_step *machine_steps = pm_calloc(run->n + 1, sizeof(*machine_steps));

	if (steps == NULL || machine_steps == NULL) {
		free(steps);
		free(machine_steps);
		return pm_fail(err, PM_NO_MEMORY, "undo a rollout");
	}
	for (size_t i = 0; i < run->n; i++) {
		steps[i] = run->steps[order[i]];
		machine_steps[i] = run->machine_steps[order[i]];
	}
	free(run->steps);
	free(run->machine_steps);
	run->steps = steps;
	run->machine_steps = run->m.steps = machine_steps;
	return 0;
}

int rollout_steps_turn(struct run *run, struct pm_error *err)
{
	PM_FREE bool *changed = pm_calloc(run->n + 1, sizeof(*changed));
	PM_FREE uint32_t *batch = pm_calloc(run->n + 1, sizeof(*batch));
	PM_FREE uint32_t *order = pm_calloc(run->n + 1, sizeof(*order));
	PM_FREE uint32_t *ends = pm_calloc(run->n + 1, sizeof(*ends));
	PM_FREE uint32_t *batches = NULL;
	struct rollout_batches back = { .batch = batch, .order = order, .wave_ends = ends };
	Pm__RolloutStatus *st = run->rec->status;

	if (changed == NULL || batch == NULL || order == NULL || ends == NULL)
		return pm_fail(err, PM_NO_MEMORY, "undo a rollout");
	for (size_t i = 0; i < run->n; i++)
		changed[i] = did_change(&run->steps[i]);
	if (rollout_batches_back(&run->m, changed, &back, err) < 0)
		return -1;
	batches = pm_calloc(back.n_batches + 1, sizeof(*batches));
	if (batches == NULL)
		return pm_fail(err, PM_NO_MEMORY, "undo a rollout");
	for (size_t i = 0; i < run->n; i++) { /* whoever asked holds a step's address */
		ask_forget(run->steps[i].ask);
		ask_forget(run->steps[i].check);
		run->steps[i].ask = run->steps[i].check = NULL;
	}
	for (size_t i = 0; i < run->n; i++) {
		if (batch[i] > 0)
			batches[batch[i] - 1]++;
		turn_step(&run->steps[i], batch[i], batch[i] > 0);
	}
	if (reorder(run, order, err) < 0)
		return -1;
	free(st->batches);
	st->batches = PM_STEAL(batches);
	st->n_batches = back.n_batches;
	st->undoing = true;
	run->m.n_batches = back.n_batches;
	run->m.n_waves = 0;
	run->rec->n_wave_ends = 0;
	run->m.undoing = true;
	run->m.can_undo = false;
	run->m.promoted = 0;
	run->record_dirty = true;
	return 0;
}
