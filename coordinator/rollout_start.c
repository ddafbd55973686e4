/*
 * rollout_start.c - a rollout before it begins: whom it is about, what each host says would become
 * of its apps, and the batches that come of that (F-03, F-15, F-26).
 *
 * Every host that is there is asked what it would do (dry_run); nothing is done anywhere until all
 * have said so.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollout_plan.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/ops.h"

#define ASK_MS 20000 /* a host that has not said what it would do is taken as not reachable */

static struct plan *plans;

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

static void plan_free(struct plan *p)
{
	struct plan **at = &plans;

	while (*at != NULL && *at != p)
		at = &(*at)->next;
	if (*at != NULL)
		*at = p->next;
	for (size_t i = 0; i < p->n; i++) {
		struct plan_host *h = &p->hosts[i];

		ask_forget(h->ask);
		free(h->name);
		free(h->wave);
		free(h->role);
		free(h->apps);
		for (size_t k = 0; k < h->n_apps; k++)
			pm__step_app__free_unpacked(h->step_apps[k], NULL);
		free(h->step_apps);
	}
	free(p->hosts);
	run_free(p->run);
	if (p->req != NULL)
		pm__rollout_start__free_unpacked(p->req, NULL);
	if (p->timer != NULL)
		uv_close((uv_handle_t *)p->timer, on_timer_closed);
	free(p);
}

void rollout_start_close(void)
{
	while (plans != NULL)
		plan_free(plans);
}

void rollout_start_link_gone(const struct pm_link *link)
{
	for (struct plan *p = plans, *next; p != NULL; p = next) {
		next = p->next;
		if (p->link == link)
			plan_free(p); /* nothing was begun */
	}
}

static void refuse(struct plan *p, const struct pm_error *why)
{
	pm_link_reply_error(p->link, p->re, why);
	plan_free(p);
}

/* ---- what comes of it ---- */

/* --apply: every host is as it was when that was planned, or nothing is begun (F-26). */
static void apply(struct plan *p)
{
	struct run *run = NULL;
	struct pm_error err;
	struct pm_link *link = p->link;
	struct rollouts *r = p->r;
	uint64_t re = p->re;

	for (size_t i = 0; i < p->n; i++) {
		const struct plan_host *h = &p->hosts[i];

		if (h->answered && h->code == PM_OK && !h->none)
			continue;
		(void)pm_fail(&err, h->answered ? PM_LOCKED : PM_UNREACHABLE, "%.60s: %.150s",
		              h->name,
		              !h->answered ? "it does not answer any more"
		              : h->none    ? "the app is not there any more"
		                           : h->text);
		pm_hint(&err, "nothing was begun: plan anew");
		refuse(p, &err);
		return;
	}
	if (rollouts_find(r, p->applied_id, &run, &err) < 0 || run->m.state != ROLLOUT_IS_PLANNED) {
		if (run != NULL)
			(void)pm_fail(&err, PM_USAGE, "plan %s was begun meanwhile", run->id_text);
		refuse(p, &err);
		return;
	}
	plan_free(p);
	rollouts_begin(r, run, link, re);
}

static void finish(struct plan *p)
{
	struct rollouts *r = p->r;
	struct pm_link *link = p->link;
	uint64_t re = p->re;
	bool plan_only = p->req->plan;
	struct run *run;
	struct pm_error err;

	if (p->applied_id[0] != '\0') {
		apply(p);
		return;
	}
	if (plan_finish(p, &err) < 0) {
		refuse(p, &err);
		return;
	}
	run = PM_STEAL(p->run);
	plan_free(p);
	if (plan_only)
		rollouts_keep_plan(r, run, link, re);
	else
		rollouts_begin(r, run, link, re);
}

/* ---- what the hosts say ---- */

static Pm__StepApp *app_of(struct plan_host *h, const Pm__Outcome *o)
{
	Pm__StepApp *app, **list;

	for (size_t i = 0; i < h->n_apps; i++)
		if (strcmp(h->step_apps[i]->name, o->name) == 0)
			return h->step_apps[i];
	app = pm_calloc(1, sizeof(*app));
	list = pm_calloc(h->n_apps + 1, sizeof(*list));
	if (app == NULL || list == NULL || h->n_apps == PLAN_APPS_MAX) {
		free(app);
		free(list);
		return NULL;
	}
	pm__step_app__init(app);
	run_text(&app->name, o->name);
	if (h->n_apps > 0)
		memcpy(list, h->step_apps, h->n_apps * sizeof(*list));
	free(h->step_apps);
	h->step_apps = list;
	list[h->n_apps++] = app;
	return app;
}

static void take_outcome(struct plan_host *h, const Pm__Outcome *o)
{
	Pm__StepApp *app;

	if (o->code != PM_OK) {
		if (h->code == PM_OK) {
			h->code = pm_code_from_wire(o->code);
			(void)snprintf(h->text, sizeof(h->text), "%.60s: %.170s", o->name, o->text);
		}
		return;
	}
	app = app_of(h, o);
	if (app == NULL) {
		h->code = PM_LIMIT;
		(void)snprintf(h->text, sizeof(h->text), "too many apps");
		return;
	}
	run_bytes(&app->spec_from, o->spec_from.data, o->spec_from.len);
	run_bytes(&app->spec_to, o->spec_to.data, o->spec_to.len);
	run_text(&app->version_from, o->version_from);
	run_text(&app->version_to, o->version_to);
	run_text(&app->text, o->text);
	app->n_running = o->n_running;
	app->changes = o->changes;
}

/* The options that the app's own spec has for its rollouts, unless the caller gave them (F-14). */
static void take_params(struct plan *p, const Pm__Outcome *o)
{
	struct pm_error err;
	struct rollout_params params;

	if (p->params_known || o->n_rollout == 0)
		return;
	rollout_params_default(&params);
	if (run_take_options(&params, o->rollout, o->n_rollout, &err) < 0 ||
	    run_take_options(&params, p->req->options, p->req->n_options, &err) < 0)
		return; /* written for another version: the defaults hold */
	p->params = params;
	p->params_known = true;
}

static void on_answer(void *arg, enum ask_event event, const Pm__Envelope *env)
{
	struct plan_host *h = arg;
	struct plan *p = h->plan;

	if (event != ASK_GONE && env->body_case == PM__ENVELOPE__BODY_RESULT) {
		const Pm__Result *res = env->result;

		for (size_t i = 0; i < res->n_outcomes; i++) {
			take_outcome(h, res->outcomes[i]);
			take_params(p, res->outcomes[i]);
		}
		if (res->code != PM_OK && h->code == PM_OK && !res->more) {
			h->code = pm_code_from_wire(res->code);
			(void)snprintf(h->text, sizeof(h->text), "%s", res->text);
		}
	} else if (event != ASK_GONE && env->body_case == PM__ENVELOPE__BODY_ERROR) {
		h->code = pm_code_from_wire(env->error->code);
		(void)snprintf(h->text, sizeof(h->text), "%s", env->error->what);
	}
	if (event == ASK_PAGE)
		return;
	h->ask = NULL;
	h->answered = event == ASK_LAST;
	h->none = h->answered && h->code == PM_NOT_FOUND && h->n_apps == 0;
	if (h->n_apps > 0 && h->code == PM_NOT_FOUND)
		h->code = PM_OK; /* it has some of them */
	if (--p->n_awaited == 0 && !p->sending)
		finish(p);
}

static void on_timeout(uv_timer_t *timer)
{
	struct plan *p = timer->data;

	for (size_t i = 0; i < p->n; i++) {
		ask_forget(p->hosts[i].ask);
		p->hosts[i].ask = NULL;
	}
	finish(p);
}

/* ---- asking them ---- */

static void ask_host(struct plan *p, struct plan_host *h, struct node *node)
{
	const Pm__RolloutStart *req = p->req;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command cmd = *req->command;
	Pm__Actor actor = *p->run->rec->actor;
	PM_FREE Pm__Envelope *pushes = pm_calloc(req->n_specs + 1, sizeof(*pushes));

	if (pushes == NULL)
		return;
	actor.role = h->role;
	actor.apps = h->apps;
	for (size_t i = 0; i < req->n_specs; i++) {
		pm__envelope__init(&pushes[i]);
		pushes[i].actor = &actor;
		pushes[i].body_case = PM__ENVELOPE__BODY_SPEC_PUSH;
		pushes[i].spec_push = req->specs[i];
	}
	cmd.dry_run = true;
	cmd.timeout_ms = ASK_MS;
	if (p->applied != NULL) {
		const struct run *run = p->applied;
		Pm__SpecRef refs[PLAN_APPS_MAX], *list[PLAN_APPS_MAX];
		size_t at = 0;

		while (at < run->n &&
		       memcmp(&run->steps[at].agent, &h->agent, sizeof(h->agent)) != 0)
			at++;
		for (size_t i = 0;
		     at < run->n && i < run->steps[at].msg->n_apps && i < PLAN_APPS_MAX; i++) {
			pm__spec_ref__init(&refs[i]);
			refs[i].name = run->steps[at].msg->apps[i]->name;
			refs[i].hash = run->steps[at].msg->apps[i]->spec_from;
			list[i] = &refs[i];
			cmd.n_expect = i + 1;
		}
		cmd.expect = list;
		env.command = &cmd;
		env.actor = &actor;
		env.body_case = PM__ENVELOPE__BODY_COMMAND;
		h->ask =
			ask_send(&node->asks, node->link, pushes, req->n_specs, &env, on_answer, h);
	} else {
		env.command = &cmd;
		env.actor = &actor;
		env.body_case = PM__ENVELOPE__BODY_COMMAND;
		h->ask =
			ask_send(&node->asks, node->link, pushes, req->n_specs, &env, on_answer, h);
	}
	p->n_awaited += h->ask != NULL;
}

static void ask_all(struct plan *p)
{
	p->sending = true; /* an answer cannot come meanwhile, but a session may end */
	for (size_t i = 0; i < p->n; i++) {
		struct node *node = members_node(&p->c->members, &p->hosts[i].agent);

		if (node != NULL && !p->hosts[i].down &&
		    (!p->hosts[i].drained || p->params.include_drained))
			ask_host(p, &p->hosts[i], node);
		else if (p->hosts[i].drained && !p->params.include_drained)
			p->hosts[i].answered = false;
	}
	p->sending = false;
	if (p->n_awaited == 0) {
		finish(p);
		return;
	}
	(void)uv_timer_start(p->timer, on_timeout, ASK_MS, 0); /* fails only while closing */
}

/* ---- the request ---- */

static const char *label_of(const struct node *node, const char *key)
{
	for (size_t i = 0; i < node->labels.n; i++)
		if (strcmp(node->labels.list[i].key, key) == 0)
			return node->labels.list[i].value;
	return "";
}

static bool add_host(struct plan *p, struct node *node, const char *role, char *apps)
{
	struct plan_host *h = &p->hosts[p->n];

	*h = (struct plan_host){
		.plan = p,
		.agent = node->id,
		.name = pm_strdup(node->name),
		.wave = pm_strdup(p->params.wave[0] != '\0' ? label_of(node, p->params.wave) : ""),
		.role = pm_strdup(role),
		.apps = apps,
		.down = node->link == NULL || node->suspect || !node_takes_commands(node) ||
		        !requests_has_active_key(p->c, node),
		.drained = node->drained,
	};
	p->n++;
	return h->name != NULL && h->wave != NULL && h->role != NULL && h->apps != NULL;
}

static size_t apps_of(const Pm__RolloutStart *req, char **out, size_t most)
{
	size_t n = 0;

	if (req->command->n_targets + req->n_specs > most)
		return 0; /* as if all were meant: more rights are needed, not fewer */
	for (size_t i = 0; i < req->command->n_targets; i++)
		out[n++] = req->command->targets[i]->text;
	for (size_t i = 0; i < req->n_specs; i++)
		out[n++] =
			req->specs[i]->spec != NULL ? req->specs[i]->spec->name : requests_text("");
	return n;
}

static int add_hosts(struct plan *p, const struct peer *peer, const struct fleet_view *v,
                     const struct access *a, const struct targets *found, struct pm_error *err)
{
	uint64_t ops = pm_ops_of_command(p->req->command);
	char *apps[PLAN_APPS_MAX];
	size_t n_apps = apps_of(p->req, apps, PM_COUNT(apps));

	(void)v;
	if (p->req->n_specs > 0)
		ops |= PM_OP_BIT(PM_OP_DEFINE);
	p->hosts = pm_calloc(found->n + 1, sizeof(*p->hosts));
	if (p->hosts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	for (size_t i = 0; i < found->n; i++) {
		struct node *node = p->c->members.nodes[found->hosts[i]];

		if (!access_allows(a, ops, found->hosts[i], apps, n_apps)) {
			(void)pm_fail(err, PM_DENIED, "your role does not allow it on %.60s",
			              node->name);
			pm_hint(err, "nothing was begun; select only hosts that are yours");
			return -1;
		}
		if (!add_host(p, node, peer->local ? "admin" : access_role(a, found->hosts[i]),
		              access_apps(a, ops, found->hosts[i])))
			return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	}
	return 0;
}

static bool is_a_step(const Pm__Command *cmd)
{
	static const Pm__Verb verbs[] = {
		PM__VERB__VERB_RELOAD,
		PM__VERB__VERB_RESTART,
		PM__VERB__VERB_SCALE,
		PM__VERB__VERB_STOP,
		PM__VERB__VERB_START,
		PM__VERB__VERB_START_OR_RELOAD,
		PM__VERB__VERB_START_OR_RESTART,
	};

	for (size_t i = 0; i < PM_COUNT(verbs); i++)
		if (verbs[i] == cmd->verb)
			return true;
	return false;
}

static int read_request(struct plan *p, const struct peer *peer, struct pm_error *err)
{
	Pm__RolloutRecord *rec = p->run->rec;
	const Pm__RolloutStart *req = p->req;
	struct store_id id;
	Pm__Actor actor;

	if (req->command == NULL || !is_a_step(req->command))
		return pm_fail(err, PM_USAGE, "that cannot be rolled out");
	if (req->command->op_id.len != 0 || req->command->n_expect != 0 || req->command->dry_run)
		return pm_fail(err, PM_PROTOCOL, "a rollout's command brings no token");
	rollout_params_default(&p->params);
	if (run_take_options(&p->params, req->options, req->n_options, err) < 0 ||
	    rollout_params_check(&p->params, 0, err) < 0)
		return -1;
	if (p->params.order == ROLLOUT_ORDER_SHUFFLE && p->params.seed == 0)
		p->params.seed = 1 + randombytes_uniform(1000000);
	peer_actor(peer, "none", &actor);
	rec->actor = pm_message_copy(&actor.base);
	rec->command = pm_message_copy(&req->command->base);
	rec->selector = req->selector == NULL ? NULL : pm_message_copy(&req->selector->base);
	rec->specs = pm_calloc(req->n_specs + 1, sizeof(*rec->specs));
	if (rec->actor == NULL || rec->command == NULL || rec->specs == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	for (size_t i = 0; i < req->n_specs; i++) {
		rec->specs[i] = pm_message_copy(&req->specs[i]->base);
		if (rec->specs[i] == NULL)
			return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
		rec->n_specs++;
		if (req->specs[i]->spec != NULL && req->specs[i]->spec->n_rollout > 0 &&
		    !p->params_known) {
			rollout_params_default(&p->params);
			if (run_take_options(&p->params, req->specs[i]->spec->rollout,
			                     req->specs[i]->spec->n_rollout, err) < 0 ||
			    run_take_options(&p->params, req->options, req->n_options, err) < 0)
				return -1;
			p->params_known = true;
		}
	}
	rec->local = peer->local;
	randombytes_buf(id.bytes, sizeof(id.bytes));
	run_set_id(p->run, &id);
	run_text(&rec->status->by, peer_name(peer));
	run_text(&rec->status->message, req->message);
	rec->status->created_wall_ms = pm_wall_ms();
	return 0;
}

static struct plan *plan_new(struct coord *c, struct peer *peer, uint64_t re,
                             const Pm__RolloutStart *req)
{
	struct plan *p = pm_calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	*p = (struct plan){ .c = c, .r = c->rollouts, .link = peer->link, .re = re };
	p->req = pm_message_copy(&req->base);
	p->run = run_new();
	p->timer = pm_calloc(1, sizeof(*p->timer));
	if (p->timer != NULL) {
		(void)uv_timer_init(c->loop, p->timer); /* never fails */
		p->timer->data = p;
	}
	if (p->req == NULL || p->run == NULL || p->timer == NULL) {
		plan_free(p);
		return NULL;
	}
	p->next = plans;
	plans = p;
	return p;
}

/* The same request once more, with the hosts as they were chosen then. */
static int read_applied(struct plan *p, struct pm_error *err)
{
	const Pm__RolloutRecord *rec;
	Pm__RolloutStart *req;
	struct run *run;

	if (rollouts_find(p->r, p->req->apply, &run, err) < 0)
		return -1;
	if (run->m.state != ROLLOUT_IS_PLANNED)
		return pm_fail(err, PM_USAGE, "%s is no plan: it is %s", run->id_text,
		               run_state_name(run->m.state));
	rec = run->rec;
	req = pm_calloc(1, sizeof(*req));
	if (req == NULL)
		return pm_fail(err, PM_NO_MEMORY, "apply a plan");
	pm__rollout_start__init(req);
	pm__rollout_start__free_unpacked(p->req, NULL);
	p->req = req;
	req->command = pm_message_copy(&rec->command->base);
	req->specs = pm_calloc(rec->n_specs + 1, sizeof(*req->specs));
	for (size_t i = 0; req->specs != NULL && i < rec->n_specs; i++) {
		req->specs[i] = pm_message_copy(&rec->specs[i]->base);
		if (req->specs[i] == NULL)
			break;
		req->n_specs++;
	}
	if (req->command == NULL || req->specs == NULL || req->n_specs < rec->n_specs)
		return pm_fail(err, PM_NO_MEMORY, "apply a plan");
	p->params = run->m.params;
	p->applied = run;
	(void)snprintf(p->applied_id, sizeof(p->applied_id), "%s", run->id_text);
	return 0;
}

static int add_applied_hosts(struct plan *p, const struct peer *peer, const struct fleet_view *v,
                             const struct access *a, struct pm_error *err)
{
	const struct run *run = p->applied;
	struct targets found = { 0 };
	Pm__Actor actor;
	int rc = -1;

	found.hosts = pm_calloc(run->n + 1, sizeof(*found.hosts));
	if (found.hosts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "apply a plan");
	for (size_t i = 0; i < run->n; i++)
		for (size_t k = 0; run->steps[i].msg->batch > 0 && k < p->c->members.n_nodes; k++)
			if (memcmp(&p->c->members.nodes[k]->id, &run->steps[i].agent,
			           sizeof(run->steps[i].agent)) == 0)
				found.hosts[found.n++] = (uint32_t)k;
	peer_actor(peer, "none", &actor);
	p->run->rec->actor = pm_message_copy(&actor.base);
	if (p->run->rec->actor == NULL)
		(void)pm_fail(err, PM_NO_MEMORY, "apply a plan");
	else
		rc = add_hosts(p, peer, v, a, &found, err);
	free(found.hosts);
	return rc;
}

int rollout_start(struct coord *c, struct peer *peer, uint64_t id, const Pm__RolloutStart *req,
                  const struct fleet_view *v, const struct access *a, struct pm_error *err)
{
	struct plan *p = plan_new(c, peer, id, req);
	struct targets found = { 0 };
	static const Pm__Selector nothing = PM__SELECTOR__INIT;
	int rc;

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan a rollout");
	if (!rollouts_is_loaded(c->rollouts)) {
		plan_free(p);
		return pm_fail(err, PM_UNREACHABLE, "the coordinator is only starting: try again");
	}
	if (req->apply[0] != '\0')
		rc = read_applied(p, err) < 0 ? -1 : add_applied_hosts(p, peer, v, a, err);
	else
		rc = read_request(p, peer, err) < 0 ||
		                     members_select(
					     v, req->selector != NULL ? req->selector : &nothing,
					     &found, err) < 0
		             ? -1
		             : add_hosts(p, peer, v, a, &found, err);
	targets_finish(&found);
	if (rc < 0) {
		plan_free(p);
		return -1;
	}
	ask_all(p);
	return 0;
}
