#include "agent/op_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "proto/log.h"
#include "proto/paths.h"

struct op_sync {
	uv_loop_t *loop;        /* borrowed */
	struct op_journal *ops; /* owned */
	int dir;                /* owned: of the journal */
	op_sync_fn *called;     /* borrowed, with arg */
	void *arg;
	uv_work_t work;
	bool busy;      /* the worker has a step to do, or its end is being told */
	bool again;     /* something was written since that step began */
	bool rewriting; /* the step is a rewrite, else a flush */
	bool closing;
	uint64_t tickets; /* given out */
	uint64_t covered; /* of them, by the step */
	int rc;           /* the step's, with err */
	struct pm_error err;
};

static void destroy(struct op_sync *o)
{
	op_journal_close(o->ops);
	pm_closep(&o->dir);
	free(o);
}

/* ---- on a worker ---- */

static void step_work(uv_work_t *work)
{
	struct op_sync *o = work->data;

	o->rc = o->rewriting ? op_journal_rewrite_work(o->ops, &o->err)
	                     : op_journal_sync(o->ops, &o->err);
}

/* ---- on the loop ---- */

static void on_step(uv_work_t *work, int status);

static void queue(struct op_sync *o)
{
	o->busy = true;
	o->again = false;
	o->covered = o->tickets;
	o->work.data = o;
	(void)uv_queue_work(o->loop, &o->work, step_work, on_step); /* fails only without work */
}

static void warn(const struct pm_error *err)
{
	pm_log(PM_LOG_WARN, "fleet.ops", "%s; tried again with the next command", err->what);
}

static void kick(struct op_sync *o)
{
	struct pm_error err;

	o->again = true;
	if (o->busy)
		return;
	o->rewriting = op_journal_wants_rewrite(o->ops);
	if (o->rewriting && op_journal_rewrite_begin(o->ops, &err) < 0) {
		o->rewriting = false;
		warn(&err);
	}
	queue(o);
}

static void on_step(uv_work_t *work, int status)
{
	struct op_sync *o = work->data;

	(void)status;       /* nobody cancels it */
	if (o->rewriting) { /* what it says is on the disk when a flush says so */
		o->rewriting = false;
		if (op_journal_rewrite_end(o->ops, o->rc, &o->err) < 0)
			warn(&o->err);
		queue(o);
		return;
	}
	if (!o->closing)
		o->called(o->arg, o->covered, o->rc < 0 ? &o->err : NULL);
	o->busy = false;
	if (o->again)
		kick(o);
	else if (o->closing)
		destroy(o);
}

enum op_known op_sync_find(const struct op_sync *o, const uint8_t id[OP_ID_BYTES],
                           struct op_result *out)
{
	return op_journal_find(o->ops, id, out);
}

int op_sync_begin(struct op_sync *o, const uint8_t id[OP_ID_BYTES], uint64_t number,
                  uint64_t *ticket, struct pm_error *err)
{
	if (op_journal_begin(o->ops, id, number, err) < 0) {
		kick(o); /* it may be the size that a rewrite would mend */
		return -1;
	}
	*ticket = ++o->tickets;
	kick(o);
	return 0;
}

int op_sync_end(struct op_sync *o, const uint8_t id[OP_ID_BYTES], const struct op_result *result,
                struct pm_error *err)
{
	int rc = op_journal_end(o->ops, id, result, err);

	kick(o);
	return rc;
}

uint64_t op_sync_counter(const struct op_sync *o)
{
	return op_journal_counter(o->ops);
}

void op_sync_withdraw(struct op_sync *o, const uint8_t id[OP_ID_BYTES])
{
	op_journal_withdraw(o->ops, id);
}

/* ---- life ---- */

static int open_journal(struct op_sync *o, const char *home, struct pm_error *err)
{
	struct op_journal_report report;
	char path[PM_PATH_MAX];

	if (pm_home_file(home, PM_HOME_STATE_DIR, path, sizeof(path), err) < 0)
		return -1;
	o->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->dir < 0)
		return pm_fail_errno(err, errno, "open %.200s", path);
	if (op_journal_open(o->dir, 0, &o->ops, &report, err) < 0)
		return pm_wrap(err, "%.180s/" OP_FILE, path);
	if (report.damaged)
		pm_log(PM_LOG_WARN, "fleet.ops",
		       "it was damaged and is kept as " OP_FILE
		       ".corrupt-DATE; what came after the "
		       "damage is forgotten, and done again if it is repeated");
	else if (report.torn_bytes > 0)
		pm_log(PM_LOG_INFO, "fleet.ops", "%zu bytes at the end are cut off",
		       report.torn_bytes);
	return 0;
}

int op_sync_create(uv_loop_t *loop, const char *home, op_sync_fn *called, void *arg,
                   struct op_sync **out, struct pm_error *err)
{
	struct op_sync *o = pm_calloc(1, sizeof(*o));

	if (o == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open the journal of commands");
	o->loop = loop;
	o->dir = -1;
	o->called = called;
	o->arg = arg;
	if (open_journal(o, home, err) < 0) {
		destroy(o);
		return -1;
	}
	*out = o;
	return 0;
}

void op_sync_close(struct op_sync *o)
{
	if (o == NULL)
		return;
	o->closing = true;
	if (!o->busy)
		destroy(o);
}
