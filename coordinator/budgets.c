#include "coordinator/budgets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/budget.h"
#include "coordinator/rollouts.h"
#include "proto/log.h"

#define TICK_MS 1000
#define COUNT_MOST_MS \
	10000 /* whoever has not said by then whether it runs the app is left as it is */
#define REASON_SHOWN 40

/* One app is counted. */
struct count {
	struct count *next;
	struct budgets *b; /* borrowed */
	char *app;         /* owned */
	uint64_t began_ms;
	struct counted {
		struct count *count; /* borrowed */
		const struct node *node;
		struct ask *ask; /* NULL: it was answered */
		bool runs;
	} * list; /* owned */
	size_t n, n_open;
};

struct budgets {
	struct coord *c; /* borrowed */
	struct budget core;
	struct count *counts; /* owned */
	size_t n_counts;
	uv_timer_t tick;
};

static void settle(struct budgets *b, struct budget_app *app, uint64_t now_ms);
static void count(struct budgets *b, struct budget_app *app, uint64_t now_ms);

/* ---- who runs it ---- */

static void count_free(struct count *k)
{
	struct count **at = &k->b->counts;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	k->b->n_counts--;
	for (size_t i = 0; i < k->n; i++)
		ask_forget(k->list[i].ask);
	free(k->list);
	free(k->app);
	free(k);
}

/* Places are free again: whoever wanted to be counted meanwhile is. */
static void count_others(struct budgets *b, uint64_t now_ms)
{
	for (struct budget_app *app = b->core.apps; app != NULL; app = app->next)
		if (!budget_is_idle(app))
			count(b, app, now_ms);
}

static bool runs_there(const Pm__StatusList *list, const char *app)
{
	for (size_t i = 0; i < list->n_instances; i++) {
		const Pm__InstanceStatus *is = list->instances[i];

		if (strcmp(is->name, app) == 0 && is->state != PM__LIFE_STATE__LIFE_STOPPED &&
		    is->state != PM__LIFE_STATE__LIFE_ERRORED)
			return true;
	}
	return false;
}

static void on_answer(void *arg, enum ask_event event, const Pm__Envelope *env)
{
	struct counted *h = arg;
	struct count *k = h->count;
	struct budgets *b = k->b;
	struct budget_app *app = budget_find(&b->core, k->app);
	uint64_t now_ms = pm_now_ms();
	struct pm_error err;

	if (event != ASK_GONE && env->body_case == PM__ENVELOPE__BODY_STATUS_LIST)
		h->runs |= runs_there(env->status_list, k->app);
	if (event == ASK_PAGE)
		return;
	h->ask = NULL;
	if (event == ASK_LAST && app != NULL && budget_set_runs(app, h->node, h->runs, &err) < 0)
		pm_log(PM_LOG_WARN, "budget.count", "app=%s %s", k->app, err.what);
	if (--k->n_open > 0)
		return;
	count_free(k);
	if (app != NULL)
		settle(b, app, now_ms);
	count_others(b, now_ms);
}

static struct ask *ask_node(struct node *node, const char *app, struct counted *h)
{
	static char us[] = "coordinator", role[] = "viewer";
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;
	Pm__Target target = PM__TARGET__INIT, *targets[] = { &target };
	Pm__Actor actor = PM__ACTOR__INIT;

	target.text = (char *)(uintptr_t)app; /* packing does not write */
	req.detail = PM__DETAIL__DETAIL_LIST;
	req.targets = targets;
	req.n_targets = 1;
	actor.operator_ = us;
	actor.role = role;
	env.actor = &actor;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	return ask_send(&node->asks, node->link, NULL, 0, &env, on_answer, h);
}

static bool is_counted(const struct budgets *b, const char *app)
{
	for (const struct count *k = b->counts; k != NULL; k = k->next)
		if (strcmp(k->app, app) == 0)
			return true;
	return false;
}

static struct count *count_new(struct budgets *b, const char *app, uint64_t now_ms)
{
	struct count *k = pm_calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->app = pm_strdup(app);
	k->list = pm_calloc(b->c->members.n_nodes + 1, sizeof(*k->list));
	if (k->app == NULL || k->list == NULL) {
		free(k->app);
		free(k->list);
		free(k);
		return NULL;
	}
	k->b = b;
	k->began_ms = now_ms;
	k->next = b->counts;
	b->counts = k;
	b->n_counts++;
	return k;
}

/* Ask who runs it, unless that is known well enough. */
static void count(struct budgets *b, struct budget_app *app, uint64_t now_ms)
{
	const struct members *m = &b->c->members;
	struct count *k;

	if ((app->counted_ms != 0 && now_ms - app->counted_ms < PM_BUDGET_COUNT_MS) ||
	    b->n_counts >= PM_BUDGET_COUNTS_MAX || is_counted(b, app->name))
		return;
	k = count_new(b, app->name, now_ms);
	if (k == NULL)
		return;
	app->counted_ms = now_ms;
	for (size_t i = 0; i < m->n_nodes; i++) {
		struct counted *h = &k->list[k->n];

		*h = (struct counted){ .count = k, .node = m->nodes[i] };
		h->ask = ask_node(m->nodes[i], app->name, h);
		k->n += h->ask != NULL;
	}
	k->n_open = k->n;
	if (k->n_open == 0)
		count_free(k);
}

/* ---- whose turn it is ---- */

/* Hosts where a rollout has it out: they are held against the same limit. */
static size_t n_rolled(const struct budgets *b, const char *app)
{
	size_t n = 0;

	for (const struct run *run = rollouts_first(b->c->rollouts); run != NULL; run = run->next) {
		if (run->m.state == ROLLOUT_IS_PLANNED || run_is_over(run))
			continue;
		for (size_t i = 0; i < run->n; i++) {
			const Pm__RolloutStep *msg = run->steps[i].msg;
			size_t k = 0;

			if (!rollout_step_is_out(&run->machine_steps[i]))
				continue;
			while (k < msg->n_apps && strcmp(msg->apps[k]->name, app) != 0)
				k++;
			n += k < msg->n_apps;
		}
	}
	return n;
}

static void send_slot(const struct node *node, const struct budget_app *app, bool granted,
                      size_t n_before)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Slot slot = PM__SLOT__INIT;

	if (node->link == NULL)
		return;
	slot.app = app->name;
	slot.granted = granted;
	slot.n_before = (uint32_t)n_before;
	env.body_case = PM__ENVELOPE__BODY_SLOT;
	env.slot = &slot;
	(void)pm_link_send(node->link, &env); /* fits a record */
}

static void settle(struct budgets *b, struct budget_app *app, uint64_t now_ms)
{
	size_t n_else = n_rolled(b, app->name);
	struct budget_verdict v;

	for (;;) {
		const struct node *node;

		budget_next(app, n_else, now_ms, &v);
		node = v.host; /* gone ones are taken out at once */
		switch (v.move) {
		case BUDGET_STAY:
			return;
		case BUDGET_GRANT:
			pm_log(PM_LOG_INFO, "budget.grant",
			       "app=%s node=%s waited_ms=%" PRIu64
			       " out=%zu rollout=%zu most=%zu of=%zu",
			       app->name, node->name, v.waited_ms, v.n_out, n_else, v.n_most,
			       v.n_hosts);
			send_slot(node, app, true, 0);
			break;
		case BUDGET_TELL:
			send_slot(node, app, false, v.n_before);
			break;
		case BUDGET_EXPIRE:
			pm_log(PM_LOG_WARN, "budget.expire",
			       "app=%s node=%s its slot has ended, and it did not say that it is "
			       "up",
			       app->name, node->name);
			break;
		}
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct budgets *b = timer->data;
	uint64_t now_ms = pm_now_ms();
	bool idle = true;

	for (struct count *k = b->counts, *next; k != NULL; k = next) {
		next = k->next;
		if (now_ms - k->began_ms >= COUNT_MOST_MS)
			count_free(k);
	}
	count_others(b, now_ms);
	for (struct budget_app *app = b->core.apps; app != NULL; app = app->next) {
		settle(b, app, now_ms);
		idle &= budget_is_idle(app);
	}
	budget_prune(&b->core, now_ms, PM_BUDGET_COUNT_MS);
	if (idle && b->core.n_apps == 0)
		(void)uv_timer_stop(timer);
}

/* ---- what agents say ---- */

static bool is_name(const char *app)
{
	size_t len = strnlen(app, PM_NAME_MAX + 1);

	return len > 0 && len <= PM_NAME_MAX;
}

static int read_claim(const struct node *node, const Pm__SlotRequest *req, struct budget_claim *out,
                      struct pm_error *err)
{
	struct rollout_params p;

	rollout_params_default(&p);
	if (!is_name(req->app))
		return pm_fail(err, PM_PROTOCOL, "a slot for no app");
	if (*req->max_down != '\0' && rollout_params_set(&p, "max_down", req->max_down, err) < 0)
		return -1;
	*out = (struct budget_claim){ req->app, node, p.max_down, req->held };
	return 0;
}

static void on_request(struct budgets *b, struct node *node, const Pm__SlotRequest *req)
{
	uint64_t now_ms = pm_now_ms();
	struct budget_claim claim;
	struct budget_app *app;
	struct pm_error err;

	if (read_claim(node, req, &claim, &err) < 0 ||
	    budget_ask(&b->core, &claim, now_ms, &app, &err) < 0) {
		pm_log(PM_LOG_WARN, "budget.refuse", "node=%s %s", node->name, err.what);
		return; /* it goes alone in the end */
	}
	pm_log(PM_LOG_INFO, req->held ? "budget.alone" : "budget.ask",
	       "app=%s node=%s instances=%u reason=\"%.*s\"", app->name, node->name, req->instances,
	       REASON_SHOWN, req->reason);
	if (!uv_is_active((uv_handle_t *)&b->tick))
		(void)uv_timer_start(&b->tick, on_tick, TICK_MS, TICK_MS); /* cannot fail */
	count(b, app, now_ms);
	settle(b, app, now_ms);
}

bool budgets_on_message(struct budgets *b, struct node *node, const Pm__Envelope *env)
{
	struct budget_app *app;

	if (env->body_case == PM__ENVELOPE__BODY_SLOT_REQUEST) {
		on_request(b, node, env->slot_request);
		return true;
	}
	if (env->body_case != PM__ENVELOPE__BODY_SLOT_RELEASE)
		return false;
	budget_release(&b->core, env->slot_release->app, node);
	app = budget_find(&b->core, env->slot_release->app);
	if (app != NULL)
		settle(b, app, pm_now_ms());
	return true;
}

void budgets_agent_gone(struct budgets *b, const struct node *node)
{
	budget_gone(&b->core, node); /* who is next sees the tick to */
}

size_t budgets_n_held(const struct budgets *b, const char *app)
{
	const struct budget_app *a = budget_find(&b->core, app);

	return a == NULL ? 0 : budget_n_held(a);
}

/* ---- life ---- */

int budgets_create(struct coord *c, struct budgets **out, struct pm_error *err)
{
	struct budgets *b = pm_calloc(1, sizeof(*b));

	if (b == NULL)
		return pm_fail(err, PM_NO_MEMORY, "budgets");
	b->c = c;
	(void)uv_timer_init(c->loop, &b->tick); /* never fails */
	b->tick.data = b;
	*out = b;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void budgets_close(struct budgets *b)
{
	if (b == NULL)
		return;
	while (b->counts != NULL)
		count_free(b->counts);
	budget_finish(&b->core);
	uv_close((uv_handle_t *)&b->tick, on_closed);
}
