#include "agent/mark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/log.h"

struct mark {
	uv_loop_t *loop; /* borrowed */
	mark_fn *fn;     /* borrowed, with arg */
	void *arg;
	struct pm_session_mark kept; /* on the disk */
	struct pm_session_mark want;
	/* The worker's while it is busy. */
	struct pm_session_mark now;
	char dir[PM_PATH_MAX];
	int rc;
	struct pm_error err;
	uv_work_t work;
	bool busy, closing;
};

static bool same(const struct pm_session_mark *a, const struct pm_session_mark *b)
{
	return strcmp(a->id, b->id) == 0 && a->generation == b->generation && a->base == b->base;
}

static void save(uv_work_t *work)
{
	struct mark *m = work->data;

	m->rc = pm_session_mark_save(m->dir, &m->now, &m->err);
}

static void kick(struct mark *m);

static void on_saved(uv_work_t *work, int status)
{
	struct mark *m = work->data;

	(void)status; /* nobody cancels it */
	m->busy = false;
	if (m->closing) {
		free(m);
		return;
	}
	if (m->rc < 0) { /* the session goes on unconfirmed; the next one tries again */
		pm_log(PM_LOG_WARN, "fleet.mark", "%s", m->err.what);
		return;
	}
	m->kept = m->now;
	m->fn(m->arg);
	kick(m);
}

static void kick(struct mark *m)
{
	if (m->busy || same(&m->kept, &m->want))
		return;
	m->busy = true;
	m->now = m->want;
	m->work.data = m;
	(void)uv_queue_work(m->loop, &m->work, save, on_saved); /* fails only without work */
}

int mark_create(uv_loop_t *loop, const char *home, mark_fn *fn, void *arg, struct mark **out,
                struct pm_error *err)
{
	struct mark *m = pm_calloc(1, sizeof(*m));

	if (m == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	m->loop = loop;
	m->fn = fn;
	m->arg = arg;
	(void)snprintf(m->dir, sizeof(m->dir), "%s", home); /* a home's path fits */
	pm_session_mark_load(home, &m->kept);
	m->want = m->kept;
	*out = m;
	return 0;
}

void mark_close(struct mark *m)
{
	if (m == NULL)
		return;
	m->closing = true;
	if (!m->busy)
		free(m);
}

void mark_take(struct mark *m, const char *id, uint64_t generation, uint64_t number)
{
	if (*id == '\0' || generation > PM_COUNT_MAX)
		return;
	if (strcmp(m->want.id, id) != 0) {
		m->want = (struct pm_session_mark){ .base = number };
		(void)snprintf(m->want.id, sizeof(m->want.id), "%s", id);
	}
	m->want.generation = PM_MAX(m->want.generation, generation);
	kick(m);
}

uint64_t mark_generation(const struct mark *m)
{
	return strcmp(m->kept.id, m->want.id) == 0 ? m->kept.generation : 0;
}

uint64_t mark_base(const struct mark *m)
{
	return m->want.base;
}
