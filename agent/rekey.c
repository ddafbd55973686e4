#include "agent/rekey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/failpoint.h"
#include "proto/keyfile.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "proto/membership.h"
#include "proto/paths.h"

#define AGAIN_MS 60000 /* a coordinator that asks all the time gets no more than this */

struct seen { /* of a session */
	uint8_t own[PM_KEY_BYTES], coordinator[PM_KEY_BYTES], next[PM_KEY_BYTES];
	bool has_next;
};

struct rekey {
	uv_loop_t *loop; /* borrowed */
	char home[PM_PATH_MAX];
	rekey_fn *fn; /* borrowed, with arg */
	void *arg;
	bool make, keep; /* to be done */
	uint64_t made_ms;
	struct seen want, kept;
	/* The worker's while it is busy. */
	uv_work_t work;
	bool busy, making, found, closing;
	struct seen now;
	char fingerprint[PM_FINGERPRINT_TEXT];
	int rc;
	struct pm_error err;
};

/* ---- on a worker ---- */

static int make(struct rekey *r, const char *path)
{
	PM_CLEANUP(pm_key_destroyp) struct pm_key *key = NULL;
	char next[PM_PATH_MAX];

	if (pm_keyfile_load_next(path, &key, &r->err) < 0 ||
	    pm_keyfile_next_path(path, next, sizeof(next), &r->err) < 0)
		return -1;
	r->found = key != NULL; /* one that was never taken over is offered again */
	if (!r->found &&
	    (pm_key_create(&key, &r->err) < 0 || pm_keyfile_create(next, key, &r->err) < 0))
		return -1;
	pm_key_fingerprint(pm_key_public(key), r->fingerprint);
	(void)PM_FAIL_POINT("rekey.made");
	return 0;
}

static int keep_own(struct rekey *r, const char *path)
{
	PM_CLEANUP(pm_key_destroyp) struct pm_key *next = NULL;

	if (pm_keyfile_load_next(path, &next, &r->err) < 0)
		return -1;
	if (next == NULL || !pm_key_same(pm_key_public(next), r->now.own))
		return 0;
	(void)PM_FAIL_POINT("rekey.promote");
	return pm_keyfile_promote(path, &r->err);
}

static int keep_coordinator(struct rekey *r)
{
	struct pm_membership m;

	if (pm_membership_load(r->home, &m, &r->err) < 0)
		return r->err.code == PM_NOT_FOUND ? 0 : -1; /* it has left meanwhile */
	/* A session of an earlier membership says nothing of this one. */
	if (!pm_key_same(r->now.coordinator, m.coordinator) &&
	    !(m.has_next && pm_key_same(r->now.coordinator, m.next)))
		return 0;
	if (!pm_membership_take_keys(&m, r->now.coordinator, r->now.has_next ? r->now.next : NULL))
		return 0;
	return pm_membership_save(r->home, &m, &r->err);
}

static void run(uv_work_t *work)
{
	struct rekey *r = work->data;
	char path[PM_PATH_MAX];

	r->rc = pm_home_file(r->home, PM_HOME_AGENT_KEY, path, sizeof(path), &r->err);
	if (r->rc == 0 && r->making)
		r->rc = make(r, path);
	else if (r->rc == 0 && (keep_own(r, path) < 0 || keep_coordinator(r) < 0))
		r->rc = -1;
}

/* ---- on the loop ---- */

static void kick(struct rekey *r);

static void on_done(uv_work_t *work, int status)
{
	struct rekey *r = work->data;

	(void)status; /* nobody cancels it */
	r->busy = false;
	if (r->closing) {
		free(r);
		return;
	}
	if (r->rc < 0) /* the keys that are there stay good; the next session tries again */
		pm_log(PM_LOG_ERROR, "fleet.key", "%s", r->err.what);
	else if (!r->making)
		r->kept = r->now;
	else
		r->fn(r->arg, r->fingerprint, r->found);
	kick(r);
}

static void kick(struct rekey *r)
{
	if (r->busy || (!r->make && !r->keep))
		return;
	r->busy = true;
	r->making = r->make;
	if (r->making)
		r->make = false;
	else
		r->keep = false;
	r->now = r->want;
	r->work.data = r;
	(void)uv_queue_work(r->loop, &r->work, run, on_done); /* fails only without work */
}

bool rekey_make(struct rekey *r)
{
	uint64_t now_ms = pm_now_ms();

	if (r->made_ms != 0 && now_ms - r->made_ms < AGAIN_MS)
		return false;
	r->made_ms = now_ms;
	r->make = true;
	kick(r);
	return true;
}

void rekey_keep(struct rekey *r, const uint8_t own[PM_KEY_BYTES],
                const uint8_t coordinator[PM_KEY_BYTES], const uint8_t *next)
{
	struct seen seen = { .has_next = next != NULL };

	memcpy(seen.own, own, PM_KEY_BYTES);
	memcpy(seen.coordinator, coordinator, PM_KEY_BYTES);
	if (next != NULL)
		memcpy(seen.next, next, PM_KEY_BYTES);
	if (memcmp(&seen, &r->kept, sizeof(seen)) == 0)
		return;
	r->want = seen;
	r->keep = true;
	kick(r);
}

int rekey_create(uv_loop_t *loop, const char *home, rekey_fn *fn, void *arg, struct rekey **out,
                 struct pm_error *err)
{
	struct rekey *r = pm_calloc(1, sizeof(*r));

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	r->loop = loop;
	r->fn = fn;
	r->arg = arg;
	(void)snprintf(r->home, sizeof(r->home), "%s", home); /* a home's path fits */
	*out = r;
	return 0;
}

void rekey_close(struct rekey *r)
{
	if (r == NULL)
		return;
	r->closing = true;
	if (!r->busy)
		free(r);
}
