#include "agent/history.h"

#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/spec_diff.h"
#include "agent/version_files.h"
#include "proto/log.h"

#define DEGRADED "versions of settings" /* in the words of 'agent status' */

struct history {
	struct super *su;
	struct version_job *waiting; /* owned, oldest first */
	size_t n_waiting;
	/* The batch under way: a worker's until history_end(), but for what the jobs hold. */
	struct version_job *writing;
	char (*live)[VERSION_FILE_NAME]; /* owned */
	size_t n_live;
	struct version_report report;
};

static void destroy_jobs(struct version_job *jobs)
{
	while (jobs != NULL) {
		struct version_job *job = jobs;

		jobs = job->next;
		version_job_destroy(job);
	}
}

/* ---- what happens ---- */

static int words_of(const struct declared *before, const struct declared *after,
                    struct pm_buf *words, struct pm_error *err)
{
	if (before->spec == NULL)
		pm_buf_str(words, "declared");
	else if (spec_diff(before->spec, after->spec, words, err) < 0)
		return -1;
	pm_buf_char(words, '\0');
	return words->failed ? pm_fail(err, PM_NO_MEMORY, "keep a version") : 0;
}

static int fill(struct version_job *job, const char *name, const struct declared *before,
                const struct declared *after, const char *by, struct pm_error *err)
{
	PM_BUF words = { 0 };

	memcpy(job->app, name, PM_MIN(strlen(name), sizeof(job->app) - 1));
	if (before->spec != NULL &&
	    version_make(before->spec, &before->hash, "", "", 0, &job->before, err) < 0)
		return -1;
	if (after->spec == NULL)
		return 0;
	return words_of(before, after, &words, err) < 0
	               ? -1
	               : version_make(after->spec, &after->hash, by == NULL ? "" : by, words.bytes,
	                              pm_wall_ms(), &job->after, err);
}

static void put(struct history *h, struct version_job *job)
{
	struct version_job **end = &h->waiting;

	while (*end != NULL)
		end = &(*end)->next;
	*end = job;
	if (++h->n_waiting <= PM_VERSIONS_WAITING_MAX)
		return;
	job = h->waiting; /* nothing can be written: then the past is what is given up */
	h->waiting = job->next;
	h->n_waiting--;
	version_job_destroy(job);
}

void history_add(struct history *h, const char *name, const struct declared *before,
                 const struct declared *after, const char *by)
{
	struct version_job *job;
	struct pm_error err;

	if (h == NULL)
		return;
	if (before->spec != NULL && after->spec != NULL &&
	    spec_hash_equal(&before->hash, &after->hash))
		return; /* what came from a shell is no version of its own */
	job = pm_calloc(1, sizeof(*job));
	if (job == NULL || fill(job, name, before, after, by, &err) < 0) {
		if (job != NULL)
			version_job_destroy(job);
		pm_log(PM_LOG_WARN, "history.add", "app=%s %s", name,
		       job == NULL ? "out of memory" : err.what);
		return;
	}
	put(h, job);
}

static int apply_jobs(const struct version_job *jobs, const char *name, struct versions *v,
                      struct pm_error *err)
{
	for (; jobs != NULL; jobs = jobs->next)
		if (strcmp(jobs->app, name) == 0 && version_job_apply(jobs, v, err) < 0)
			return -1;
	return 0;
}

int history_read(struct history *h, const char *name, struct versions *out, struct pm_error *err)
{
	char damaged[VERSION_DAMAGE_MAX];
	struct versions v = { .n = 0 };

	if (version_files_read(h->su->home, name, &v, damaged, err) < 0)
		return -1;
	if (damaged[0] != '\0')
		super_degraded(h->su, DEGRADED, damaged);
	/* In their order; what the worker has written by now makes no difference. */
	if (apply_jobs(h->writing, name, &v, err) < 0 ||
	    apply_jobs(h->waiting, name, &v, err) < 0) {
		versions_finish(&v);
		return -1;
	}
	*out = v;
	return 0;
}

/* ---- to the disk ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void list_live(struct history *h)
{
	size_t n = 0;

	for (const struct app *app = h->su->apps; app != NULL; app = app->next)
		n++;
	h->n_live = 0;
	h->live = pm_calloc(n + 1, sizeof(*h->live));
	if (h->live == NULL)
		return; /* then the oldest go first, whoever's they are */
	for (const struct app *app = h->su->apps; app != NULL; app = app->next)
		version_file_name(app->spec->name, h->live[h->n_live++]);
	qsort(h->live, h->n_live, sizeof(*h->live), by_name);
}

bool history_begin(struct history *h)
{
	if (h == NULL || h->waiting == NULL)
		return false;
	h->writing = PM_STEAL(h->waiting);
	h->n_waiting = 0;
	list_live(h);
	return true;
}

void history_write(struct history *h)
{
	version_files_write(h->su->home, h->writing, h->live, h->n_live, &h->report);
}

bool history_end(struct history *h)
{
	struct version_job **end = &h->writing, *since = PM_STEAL(h->waiting);

	free(PM_STEAL(h->live));
	while (*end != NULL) {
		struct version_job *job = *end;

		if (!job->done) {
			h->n_waiting++;
			end = &job->next;
			continue;
		}
		*end = job->next;
		version_job_destroy(job);
	}
	*end = since; /* what could not be written comes before it */
	h->waiting = PM_STEAL(h->writing);
	super_degraded(h->su, DEGRADED, h->report.words[0] == '\0' ? NULL : h->report.words);
	return h->report.n_failed == 0;
}

/* ---- life ---- */

int history_create(struct super *su, struct history **out, struct pm_error *err)
{
	struct history *h = pm_calloc(1, sizeof(*h));

	if (h == NULL)
		return pm_fail(err, PM_NO_MEMORY, "versions of settings");
	h->su = su;
	*out = h;
	return 0;
}

void history_close(struct history *h)
{
	if (h == NULL)
		return;
	if (h->writing == NULL && history_begin(h)) {
		history_write(h);
		(void)history_end(h); /* it was said, and there is no next time */
	}
	destroy_jobs(h->writing);
	destroy_jobs(h->waiting);
	free(h);
}
