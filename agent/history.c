#include "agent/history.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/app.h"
#include "agent/spec_diff.h"
#include "agent/version_files.h"
#include "proto/log.h"

#define DEGRADED "versions of settings" /* in the words of 'agent status' */

/*
 * Jobs wait in pages of their own: a thousand apps that are started at once would leave a thousand
 * holes in the heap, between what stays.
 */
#define PAGE_BYTES 65536u

struct page {
	size_t size, used; /* bytes; with this head */
	size_t n_jobs;
};

struct kept_job {
	struct version_job job; /* first: the list is of these */
	struct page *page;
};

struct history {
	struct super *su;
	struct page *page;           /* where the next job goes, if it fits; NULL: none */
	struct version_job *waiting; /* owned, oldest first */
	size_t n_waiting;
	/* The batch under way: a worker's until history_end(), but for what the jobs hold. */
	struct version_job *writing;
	char (*live)[VERSION_FILE_NAME]; /* owned */
	size_t n_live;
	struct version_report report;
};

/* ---- where jobs wait ---- */

static void leave_page(struct history *h, struct page *page)
{
	if (--page->n_jobs > 0)
		return;
	if (h->page == page)
		h->page = NULL;
	(void)munmap(page, page->size);
}

static struct page *page_for(struct history *h, size_t len)
{
	size_t size = PM_MAX(PAGE_BYTES, len + sizeof(struct page));
	struct page *page = h->page;

	if (page != NULL && page->size - page->used >= len)
		return page;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	page->size = size;
	page->used = sizeof(*page);
	h->page = page; /* the former one goes with the last of its jobs */
	return page;
}

static struct version move_bytes(struct version *from, uint8_t **at)
{
	struct version to = *from;

	if (from->len > 0)
		to.bytes = memcpy(*at, from->bytes, from->len);
	*at += from->len;
	version_finish(from);
	return to;
}

/* The draft, whose bytes leave the heap. */
static struct version_job *keep_job(struct history *h, struct version_job *draft,
                                    struct pm_error *err)
{
	size_t len = sizeof(struct kept_job) + draft->before.len + draft->after.len;
	struct page *page;
	struct kept_job *kept;
	uint8_t *bytes;

	len = (len + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	page = page_for(h, len);
	if (page == NULL) {
		(void)pm_fail(err, PM_NO_MEMORY, "keep a version");
		return NULL;
	}
	kept = (struct kept_job *)(void *)((char *)page + page->used);
	bytes = (uint8_t *)(kept + 1);
	page->used += len;
	page->n_jobs++;
	kept->job = *draft;
	kept->job.before = move_bytes(&draft->before, &bytes);
	kept->job.after = move_bytes(&draft->after, &bytes);
	kept->page = page;
	return &kept->job;
}

static void drop_job(struct history *h, struct version_job *job)
{
	leave_page(h, ((struct kept_job *)(void *)job)->page);
}

static void drop_jobs(struct history *h, struct version_job *jobs)
{
	while (jobs != NULL) {
		struct version_job *job = jobs;

		jobs = job->next;
		drop_job(h, job);
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
	drop_job(h, job);
}

void history_add(struct history *h, const char *name, const struct declared *before,
                 const struct declared *after, const char *by)
{
	struct version_job draft = { 0 }, *job;
	struct pm_error err;

	if (h == NULL)
		return;
	if (before->spec != NULL && after->spec != NULL &&
	    spec_hash_equal(&before->hash, &after->hash))
		return; /* what came from a shell is no version of its own */
	job = fill(&draft, name, before, after, by, &err) < 0 ? NULL : keep_job(h, &draft, &err);
	if (job != NULL) {
		put(h, job);
		return;
	}
	pm_log(PM_LOG_WARN, "history.add", "app=%s %s", name, err.what);
	version_finish(&draft.before);
	version_finish(&draft.after);
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
		drop_job(h, job);
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
	drop_jobs(h, h->writing);
	drop_jobs(h, h->waiting);
	free(h);
}
