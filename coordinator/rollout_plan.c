#include "coordinator/rollout_plan.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/ops.h"

static bool is_known_app(char **names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Nobody has it, or nobody could be asked. */
static int fail_without_apps(const struct plan *p, struct pm_error *err)
{
	size_t n_silent = 0, n_answered = 0;

	for (size_t i = 0; i < p->n; i++) {
		n_answered += p->hosts[i].answered;
		n_silent += !p->hosts[i].answered && !p->hosts[i].drained;
	}
	if (n_answered > 0 || n_silent == 0)
		return pm_fail(err, PM_NOT_FOUND, "no host has such an app");
	(void)pm_fail(err, PM_UNREACHABLE, "none of %zu hosts is reachable", n_silent);
	pm_hint(err, "nothing was begun; 'pmctl node list' shows when they come back");
	return -1;
}

/* Every app that some host has said something of. */
static int name_apps(struct plan *p, struct pm_error *err)
{
	Pm__RolloutStatus *st = p->run->rec->status;
	char **names = pm_calloc(PLAN_APPS_MAX, sizeof(*names));

	if (names == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	st->apps = names;
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->hosts[i].n_apps; k++) {
			const char *name = p->hosts[i].step_apps[k]->name;

			if (is_known_app(names, st->n_apps, name))
				continue;
			if (st->n_apps == PLAN_APPS_MAX)
				return pm_fail(err, PM_LIMIT, "more than %d apps in one rollout",
				               PLAN_APPS_MAX);
			names[st->n_apps] = pm_strdup(name);
			if (names[st->n_apps] == NULL)
				return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
			st->n_apps++;
		}
	return st->n_apps > 0 ? 0 : fail_without_apps(p, err);
}

static void say_what(struct plan *p)
{
	Pm__RolloutStatus *st = p->run->rec->status;
	char text[160];
	size_t at = 0;

	at += (size_t)snprintf(text, sizeof(text), "%s",
	                       p->req->command->use_staged ? "apply"
	                                                   : pm_verb_name(p->req->command->verb));
	for (size_t i = 0; i < st->n_apps && i < 3; i++) /* 40 bytes each do fit */
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %.40s", st->apps[i]);
	if (st->n_apps > 3)
		(void)snprintf(text + at, sizeof(text) - at, " ...");
	run_text(&st->what, text);
}

/* A refusal of one host ends the plan: half a rollout is nobody's wish. */
static int check_answers(const struct plan *p, struct pm_error *err)
{
	size_t n_with = 0, n_none = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct plan_host *h = &p->hosts[i];

		n_none += h->none;
		n_with += h->answered && !h->none && h->code == PM_OK;
		if (!h->answered || h->none || h->code == PM_OK)
			continue;
		(void)pm_fail(err, h->code, "%.60s: %.180s", h->name, h->text);
		pm_hint(err, "nothing was begun; leave it out with --exclude %.60s, or see to it",
		        h->name);
		return -1;
	}
	if (n_with == 0 && n_none > 0)
		return pm_fail(err, PM_NOT_FOUND, "none of %zu hosts has such an app", n_none);
	return 0;
}

static int make_batches(struct plan *p, struct rollout_batches *b, struct pm_error *err)
{
	PM_FREE struct rollout_host *hosts = pm_calloc(p->n + 1, sizeof(*hosts));
	size_t n = 0;

	b->batch = pm_calloc(p->n + 1, sizeof(*b->batch));
	b->order = pm_calloc(p->n + 1, sizeof(*b->order));
	b->wave_ends = pm_calloc(p->n + 1, sizeof(*b->wave_ends));
	if (hosts == NULL || b->batch == NULL || b->order == NULL || b->wave_ends == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	for (size_t i = 0; i < p->n; i++) /* those without the app were moved behind the others */
		if (!p->hosts[i].none)
			hosts[n++] = (struct rollout_host){ .name = p->hosts[i].name,
				                            .wave = p->hosts[i].wave,
				                            .down = !p->hosts[i].answered,
				                            .drained = p->hosts[i].drained };
	return rollout_batches(&p->params, hosts, n, b, err);
}

/* So that indices are the same for the machine and for us. */
static size_t move_those_without(struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct plan_host one = p->hosts[i];

		if (one.none)
			continue;
		p->hosts[i] = p->hosts[n];
		p->hosts[n++] = one;
	}
	return n;
}

/* A host that is waited for is to have all of them. */
static bool name_step_apps(struct run_step *s)
{
	const Pm__RolloutStatus *st = s->run->rec->status;
	Pm__StepApp **list = pm_calloc(st->n_apps + 1, sizeof(*list));

	free(s->msg->apps);
	s->msg->apps = list;
	for (size_t i = 0; list != NULL && i < st->n_apps; i++) {
		list[i] = pm_calloc(1, sizeof(**list));
		if (list[i] == NULL)
			return false;
		pm__step_app__init(list[i]);
		run_text(&list[i]->name, st->apps[i]);
		s->msg->n_apps++;
	}
	return list != NULL;
}

static void fill_step(struct run_step *s, struct plan_host *h, uint32_t batch)
{
	char id[MEMBER_ID_TEXT];

	s->agent = h->agent;
	randombytes_buf(s->token.bytes, sizeof(s->token.bytes));
	member_id_text(&h->agent, id);
	run_text(&s->msg->agent, id);
	run_text(&s->msg->name, h->name);
	run_text(&s->msg->group, h->wave);
	s->msg->batch = batch;
	s->msg->apps = PM_STEAL(h->step_apps);
	s->msg->n_apps = h->n_apps;
	h->n_apps = 0;
	if (batch > 0 && s->msg->n_apps == 0 && !name_step_apps(s))
		batch = 0; /* no memory: better not at all */
	run_step_state(s, batch > 0 ? STEP_IS_PENDING : STEP_IS_SKIPPED,
	               batch > 0    ? h->text
	               : h->drained ? "drained"
	                            : "not reachable when it was planned",
	               batch > 0 || h->drained ? PM_OK : PM_UNREACHABLE, pm_wall_ms());
}

/* Roles are the same for most hosts: one entry for all that have the same. */
static int fill_actors(struct plan *p, size_t n, struct pm_error *err)
{
	Pm__RolloutRecord *rec = p->run->rec;

	rec->actors = pm_calloc(n + 1, sizeof(*rec->actors));
	if (rec->actors == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	for (size_t i = 0; i < n; i++) {
		const struct plan_host *h = &p->hosts[i];
		Pm__RolloutActor *a;
		size_t k = 0;
		char id[MEMBER_ID_TEXT];

		while (k < rec->n_actors && (strcmp(rec->actors[k]->role, h->role) != 0 ||
		                             strcmp(rec->actors[k]->apps, h->apps) != 0))
			k++;
		if (k == rec->n_actors) {
			a = pm_calloc(1, sizeof(*a));
			if (a == NULL)
				return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
			pm__rollout_actor__init(a);
			rec->actors[rec->n_actors++] = a;
			run_text(&a->role, h->role);
			run_text(&a->apps, h->apps);
			a->agents = pm_calloc(n, sizeof(*a->agents));
			if (a->agents == NULL)
				return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
		}
		a = rec->actors[k];
		member_id_text(&h->agent, id);
		a->agents[a->n_agents] = pm_strdup(id);
		if (a->agents[a->n_agents] == NULL)
			return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
		a->n_agents++;
	}
	return 0;
}

static int fill_run(struct plan *p, size_t n, const struct rollout_batches *b, struct pm_error *err)
{
	struct run *run = p->run;
	Pm__RolloutStatus *st = run->rec->status;

	if (run_set_steps(run, n, err) < 0 || run_put_options(run, &p->params, err) < 0 ||
	    fill_actors(p, n, err) < 0)
		return -1;
	st->batches = pm_calloc(b->n_batches + 1, sizeof(*st->batches));
	run->rec->wave_ends = pm_calloc(b->n_waves + 1, sizeof(*run->rec->wave_ends));
	if (st->batches == NULL || run->rec->wave_ends == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	st->n_batches = b->n_batches;
	for (size_t i = 0; i < b->n_waves; i++)
		run->rec->wave_ends[run->rec->n_wave_ends++] = b->wave_ends[i];
	for (size_t i = 0; i < n; i++) {
		uint32_t batch = b->batch[b->order[i]];

		if (batch > 0)
			st->batches[batch - 1]++;
		fill_step(&run->steps[i], &p->hosts[b->order[i]], batch);
	}
	st->state = PM__ROLLOUT_STATE__ROLLOUT_PLANNED;
	run_to_machine(run);
	run_tell(run, st->by, "planned%s%.150s", st->message[0] != '\0' ? ": " : "", st->message);
	return 0;
}

int plan_finish(struct plan *p, struct pm_error *err)
{
	struct rollout_batches b = { 0 };
	size_t n;
	int rc = -1;

	if (check_answers(p, err) < 0 || name_apps(p, err) < 0)
		return -1;
	say_what(p);
	n = move_those_without(p);
	if (gates_check(&p->c->gates, &p->params, err) == 0 && make_batches(p, &b, err) == 0 &&
	    rollout_params_check(&p->params, n, err) == 0)
		rc = fill_run(p, n, &b, err);
	free(b.batch);
	free(b.order);
	free(b.wave_ends);
	return rc;
}
