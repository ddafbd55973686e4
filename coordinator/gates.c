#include "coordinator/gates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/log.h"

#define ENV_MAX 6

struct gates {
	uv_loop_t *loop; /* borrowed, as the next */
	const struct gates_config *c;
	struct rollout_params params;
	gates_fn *fn; /* NULL: it is over */
	void *arg;
	size_t at; /* which one is asked */
	struct rollout_gate gate;
	uint32_t n_tries;       /* of it, before this one */
	struct gate_http *http; /* owned; NULL: none */
	struct gate_exec *exec;
	uv_timer_t timer;
	char *env[ENV_MAX]; /* owned */
};

static void on_timer(uv_timer_t *timer);

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct gates *g = handle->data;

	for (size_t i = 0; i < ENV_MAX; i++)
		free(g->env[i]);
	free(g);
}

void gates_cancel(struct gates *g)
{
	if (g == NULL)
		return;
	g->fn = NULL;
	gate_http_cancel(PM_STEAL(g->http));
	gate_exec_cancel(PM_STEAL(g->exec));
	uv_close((uv_handle_t *)&g->timer, on_closed);
}

static void finish(struct gates *g, bool passed, const char *words)
{
	gates_fn *fn = g->fn;
	void *arg = g->arg;

	gates_cancel(g);
	fn(arg, true, passed, words);
}

/* ---- one after another ---- */

static void on_done(void *arg, bool passed, const char *words)
{
	struct gates *g = arg;
	struct rollout_gate next;
	char all[GATE_WORDS_MAX];

	g->http = NULL;
	g->exec = NULL;
	if (!passed && g->n_tries < g->params.gate_retries) {
		pm_log(PM_LOG_INFO, "gate.again", "gate=\"%s\" try=%u %s", g->gate.text,
		       g->n_tries + 1, words);
		g->n_tries++;
		/* the handle is open */
		(void)uv_timer_start(&g->timer, on_timer, g->params.gate_wait_ms, 0);
		return;
	}
	(void)snprintf(all, sizeof(all), "gate '%.80s' %s: %.90s", g->gate.text,
	               passed ? "passed" : "failed", words);
	if (passed && rollout_params_gate(&g->params, g->at + 1, &next)) {
		g->fn(g->arg, false, true, all);
		g->at++;
		g->n_tries = 0;
		g->gate = next;
		(void)uv_timer_start(&g->timer, on_timer, 0, 0); /* as above */
		return;
	}
	finish(g, passed, all);
}

static void start(struct gates *g)
{
	struct pm_error err;
	int rc;

	if (g->gate.kind == ROLLOUT_GATE_EXEC)
		rc = gate_exec_start(g->loop, g->c, g->gate.value, g->env,
		                     g->params.gate_timeout_ms, on_done, g, &g->exec, &err);
	else
		rc = gate_http_start(g->loop, g->c, &g->gate, g->params.gate_timeout_ms, on_done, g,
		                     &g->http, &err);
	if (rc < 0)
		on_done(g, false, err.what);
}

/* From the loop each time, so that nobody is told before gates_ask() has returned. */
static void on_timer(uv_timer_t *timer)
{
	start(timer->data);
}

/* ---- the beginning ---- */

static bool fill_env(struct gates *g, const struct gates_facts *facts)
{
	PM_BUF apps = { 0 };
	char text[128];
	size_t n = 0;

	pm_buf_str(&apps, "PMD_APPS=");
	for (size_t i = 0; i < facts->n_apps; i++)
		pm_buf_printf(&apps, "%s%s", i > 0 ? " " : "", facts->apps[i]);
	g->env[n++] =
		pm_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	(void)snprintf(text, sizeof(text), "PMD_ROLLOUT=%s", facts->rollout);
	g->env[n++] = pm_strdup(text);
	(void)snprintf(text, sizeof(text), "PMD_BATCH=%u", facts->batch);
	g->env[n++] = pm_strdup(text);
	(void)snprintf(text, sizeof(text), "PMD_BATCHES=%u", facts->n_batches);
	g->env[n++] = pm_strdup(text);
	g->env[n++] = pm_buf_take(&apps);
	for (size_t i = 0; i < n; i++)
		if (g->env[i] == NULL)
			return false;
	return true;
}

int gates_ask(uv_loop_t *loop, const struct gates_config *c, const struct rollout_params *p,
              const struct gates_facts *facts, gates_fn *fn, void *arg, struct gates **out,
              struct pm_error *err)
{
	struct gates *g = pm_calloc(1, sizeof(*g));

	if (g == NULL)
		return pm_fail(err, PM_NO_MEMORY, "ask the gates");
	*g = (struct gates){ .loop = loop, .c = c, .params = *p, .fn = fn, .arg = arg };
	(void)uv_timer_init(loop, &g->timer); /* never fails */
	g->timer.data = g;
	if (!fill_env(g, facts) || !rollout_params_gate(p, 0, &g->gate)) {
		gates_cancel(g);
		return pm_fail(err, PM_NO_MEMORY, "ask the gates");
	}
	(void)uv_timer_start(&g->timer, on_timer, 0, 0); /* as above */
	*out = g;
	return 0;
}
