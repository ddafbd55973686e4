#include "agent/sweep.h"

#include <signal.h>
#include <stdlib.h>

#include "agent/super.h"
#include "agent/tree_scan.h"
#include "proto/log.h"

/* What does not end of SIGKILL at once (state D) is looked at so often. */
#define AGAIN_MS 1000
#define SOON_MS  5

struct left {
	uint64_t tag;
	pid_t main_pid;
};

struct sweep {
	struct super *su;
	uv_timer_t timer;  /* owned */
	struct left *list; /* owned */
	size_t n, cap;
	uint64_t pause_ms;
};

/* Returns whether anything is left. */
static bool kill_one(struct sweep *s, const struct left *l)
{
	struct pm_error err;
	int n;

	if (tree_scan_signal(s->su->scan, l->tag, l->main_pid, false, SIGKILL, &n, &err) == 0)
		return n > 0;
	pm_log(PM_LOG_WARN, "sweep", "%s", err.what);
	return false;
}

static void on_timer(uv_timer_t *timer);

static void plan(struct sweep *s)
{
	uint64_t wait = tree_scan_wait_ms(s->su->scan);

	if (s->n > 0)
		(void)uv_timer_start(&s->timer, on_timer, PM_MAX(wait, s->pause_ms), 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct sweep *s = timer->data;
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (kill_one(s, &s->list[i]))
			s->list[kept++] = s->list[i];
	s->n = kept;
	s->pause_ms = PM_MIN(PM_MAX(s->pause_ms * 2, SOON_MS), AGAIN_MS);
	plan(s);
}

static void add(struct sweep *s, const struct left *l, uint64_t pause_ms)
{
	bool known = false;

	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 16 : s->cap * 2;
		struct left *more = pm_realloc(s->list, cap * sizeof(*more));

		if (more == NULL) {
			(void)kill_one(s, l); /* out of memory: once has to do */
			return;
		}
		s->list = more;
		s->cap = cap;
	}
	for (size_t i = 0; i < s->n && !known; i++)
		known = s->list[i].tag == l->tag;
	/* Sooner than a look that was planned for others, and never later. */
	s->pause_ms = s->n == 0 ? pause_ms : PM_MIN(s->pause_ms, pause_ms);
	if (!known)
		s->list[s->n++] = *l;
	plan(s);
}

void sweep_tag(struct sweep *s, uint64_t tag, pid_t main_pid, enum sweep_when when)
{
	const struct left l = { tag, main_pid };

	if (when != SWEEP_NOW || tree_scan_wait_ms(s->su->scan) > 0 || kill_one(s, &l))
		add(s, &l, when == SWEEP_AFTER_START ? SOON_MS : 0);
}

int sweep_create(struct super *su, struct sweep **out, struct pm_error *err)
{
	struct sweep *s = pm_calloc(1, sizeof(*s));

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "sweep");
	s->su = su;
	(void)uv_timer_init(su->loop, &s->timer); /* never fails */
	s->timer.data = s;
	*out = s;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct sweep *s = handle->data;

	free(s->list);
	free(s);
}

void sweep_close(struct sweep *s)
{
	if (s != NULL)
		uv_close((uv_handle_t *)&s->timer, on_closed);
}
