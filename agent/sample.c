#include "agent/sample.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/tree.h"
#include "agent/turns.h"
#include "proto/log.h"

/* A sample younger than this is good enough for a list. */
#define FRESH_MS 200
/* How often limits are looked at. */
#define PERIOD_MS 1000

struct sum {
	uint64_t rss, ticks;
	uint32_t n;
	uint64_t tag;
};

struct sampler {
	struct super *su;
	uv_timer_t timer; /* owned */
	uint64_t last_ms;
	/* By pm_id modulo the size while a walk runs; owned, NULL between walks. */
	struct sum *sums;
	size_t n_sums; /* a power of two */
	bool limits;   /* some app has one */
};

static struct sum *find_sum(struct sampler *s, uint64_t tag)
{
	size_t mask = s->n_sums - 1;

	for (size_t i = 0, at = (size_t)(tag * 0x9E3779B97F4A7C15ull >> 20); i < s->n_sums;
	     i++, at++) {
		struct sum *sum = &s->sums[at & mask];

		if (sum->tag == tag || sum->tag == 0)
			return sum;
	}
	return NULL;
}

static void add_process(void *arg, const struct tree_process *p)
{
	struct sampler *s = arg;
	struct sum *sum = find_sum(s, p->tag);

	if (sum == NULL || sum->tag == 0)
		return; /* an instance's former process: not what is running */
	sum->rss += p->rss_bytes;
	sum->ticks += p->cpu_ticks;
	sum->n++;
}

static void use_sum(struct instance *inst, const struct sum *sum, uint64_t now)
{
	struct instance_usage *u = instance_usage(inst);
	uint64_t elapsed = now - u->at_ms;
	long hz = sysconf(_SC_CLK_TCK);

	u->memory_bytes = sum->rss;
	u->n_processes = sum->n;
	if (u->tag != sum->tag) {
		u->cpu_permille = 0; /* a new process: no sample before this one */
	} else if (elapsed > 0) {
		/* A child that has gone takes its ticks along: never below 0. */
		uint64_t ticks = sum->ticks > u->cpu_ticks ? sum->ticks - u->cpu_ticks : 0;

		u->cpu_permille = (uint32_t)(ticks * 1000u * 1000u / (uint64_t)hz / elapsed);
	}
	u->tag = sum->tag;
	u->cpu_ticks = sum->ticks;
	u->at_ms = now;
}

static void over_limit(struct instance *inst)
{
	if (instance_is_replaced(inst) || instance_core(inst)->awaits != CAUSE_NONE)
		return; /* that is being done */
	pm_log(PM_LOG_WARN, "instance.memory", "app=%s pm_id=%u memory=%llu limit=%llu",
	       instance_spec(inst)->name, instance_core(inst)->pm_id,
	       (unsigned long long)instance_usage(inst)->memory_bytes,
	       (unsigned long long)instance_spec(inst)->max_memory);
	turns_restart(inst, CAUSE_MEMORY);
}

static void take_sample(struct sampler *s)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	uint64_t now = pm_now_ms();
	size_t n, size = 16;

	if (super_instances(s->su, &list, &n, &err) < 0)
		return;
	while (size < n * 2)
		size *= 2;
	s->sums = pm_calloc(size, sizeof(struct sum));
	s->n_sums = size;
	if (s->sums == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		if (instance_core(list[i])->pid != 0) {
			struct sum *sum = find_sum(s, instance_core(list[i])->tag);

			if (sum != NULL)
				sum->tag = instance_core(list[i])->tag;
		}
	if (tree_walk(s->su->home_nonce, true, add_process, s, &err) < 0)
		super_degraded(s->su, "sampler", err.what);
	for (size_t i = 0; i < n; i++) {
		struct sum *sum = find_sum(s, instance_core(list[i])->tag);

		if (instance_core(list[i])->pid != 0 && sum != NULL && sum->tag != 0)
			use_sum(list[i], sum, now);
		else
			memset(instance_usage(list[i]), 0, sizeof(struct instance_usage));
	}
	free(PM_STEAL(s->sums));
	s->last_ms = now;
}

static void check_limits(struct sampler *s)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (super_instances(s->su, &list, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		uint64_t limit = instance_spec(list[i])->max_memory;

		if (limit != 0 && instance_is_online(list[i]) &&
		    instance_usage(list[i])->memory_bytes > limit)
			over_limit(list[i]);
		else
			turns_forgive(list[i], CAUSE_MEMORY);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct sampler *s = timer->data;

	take_sample(s);
	check_limits(s);
}

void sample_now(struct sampler *s)
{
	if (s->last_ms == 0 || pm_now_ms() - s->last_ms >= FRESH_MS)
		take_sample(s);
}

void sample_refresh(struct sampler *s)
{
	bool limits = false;

	for (struct app *app = s->su->apps; app != NULL && !limits; app = app->next)
		limits = app->spec->max_memory != 0 && app->n > 0;
	if (limits == s->limits)
		return;
	s->limits = limits;
	if (limits)
		(void)uv_timer_start(&s->timer, on_timer, PERIOD_MS, PERIOD_MS);
	else
		(void)uv_timer_stop(&s->timer);
}

int sample_create(struct super *su, struct sampler **out, struct pm_error *err)
{
	struct sampler *s = pm_calloc(1, sizeof(*s));

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "sampler");
	s->su = su;
	(void)uv_timer_init(su->loop, &s->timer); /* never fails */
	s->timer.data = s;
	*out = s;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void sample_close(struct sampler *s)
{
	if (s != NULL)
		uv_close((uv_handle_t *)&s->timer, on_closed);
}
