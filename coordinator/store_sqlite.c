/*
 * store_sqlite.c - the store in files: a thread that writes, with its connection, and one that
 * reads, with its own.
 *
 * The writer takes all that waits, up to PM_STORE_BATCH_MAX, into one transaction with a savepoint
 * each: one flush of the disk for many.  No answer leaves before the commit.  Commands are so safe
 * against a power cut as the disk is (synchronous = FULL).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/store_ops.h"
#include "coordinator/store_schema.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/log.h"

/* So often an idle writer tries whether a full disk has room again. */
#define PROBE_MS 1000

/* A thread with its connection and the calls that wait for it. */
struct lane {
	struct sqlite_store *store;
	struct sql q; /* the thread's */
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t more;
	struct store_call *first, **end;
	bool stop;
};

struct sqlite_store {
	struct fleet_store *front;
	struct lane writer, reader;
	struct audit_head audit; /* the writer's: as committed, or in the open transaction */
	enum store_mode mode;    /* the writer's */
	_Atomic bool damaged;    /* found by either */
	int lock;                /* owned: store.lock */
};

/* ---- common to all operations ---- */

enum store_status store_failed(struct sql *q, struct store_call *call)
{
	if (sql_is_conflict(q))
		return store_say(call, STORE_CONFLICT, "it exists: %s", q->what);
	if (sql_is_foreign(q))
		return store_say(call, STORE_NOT_FOUND, "what it refers to does not exist");
	return store_say(call, STORE_UNAVAILABLE, "the store: %s", q->what);
}

void *store_rows_add(struct sql *q, struct store_call *call, struct store_rows *rows)
{
	if (rows->n == rows->cap) {
		size_t cap = rows->cap == 0 ? 8 : rows->cap * 2;
		uint8_t *list =
			rows->n >= PM_STORE_ROWS_MAX ? NULL : store_alloc(call, cap * rows->size);

		if (list == NULL) {
			q->rc = SQLITE_NOMEM;
			(void)snprintf(q->what, sizeof(q->what), "too much for one answer");
			return NULL;
		}
		if (rows->n > 0)
			memcpy(list, rows->list, rows->n * rows->size);
		rows->list = list;
		rows->cap = cap;
	}
	return rows->list + rows->n++ * rows->size;
}

enum store_status store_rows_end(struct sql *q, struct store_call *call,
                                 const struct store_rows *rows)
{
	if (q->rc != SQLITE_OK)
		return store_failed(q, call);
	call->result.rows = rows->list;
	call->result.n = rows->n;
	return STORE_OK;
}

static enum store_status perform(struct sql *q, struct store_call *call)
{
	store_op_fn *fn = store_members_ops[call->req.op];

	if (fn == NULL)
		fn = store_work_ops[call->req.op];
	q->rc = SQLITE_OK;
	if (fn == NULL)
		return call->req.op == STORE_AUDIT && call->req.audit != NULL
		               ? STORE_OK
		               : store_say(call, STORE_NOT_FOUND, "no such operation");
	return fn(q, call);
}

/* ---- reading ---- */

static enum store_status copy_all(struct sql *q, struct store_call *call)
{
	struct pm_error err;

	q->rc = SQLITE_OK;
	if (schema_backup(q, call->req.page.name, &err) == 0)
		return STORE_OK;
	return store_say(call, err.code == PM_EXISTS ? STORE_CONFLICT : STORE_UNAVAILABLE, "%s",
	                 err.what);
}

static void look_for_damage(struct sqlite_store *s, const struct sql *q)
{
	if (sql_is_damage(q) && !atomic_exchange(&s->damaged, true))
		store_front_mode(s->front, STORE_MODE_DAMAGED, q->what);
}

static void read_one(struct lane *lane, struct store_call *call)
{
	call->result.status =
		call->req.op == STORE_BACKUP ? copy_all(&lane->q, call) : perform(&lane->q, call);
	look_for_damage(lane->store, &lane->q);
	store_done(call);
}

/* ---- writing ---- */

static bool exec(struct sql *q, const char *text)
{
	q->rc = SQLITE_OK;
	return sql_run(q, text, "") >= 0;
}

/* One call inside the transaction; what it did is undone unless it is STORE_OK. */
static void write_one(struct sqlite_store *s, struct store_call *call)
{
	struct sql *q = &s->writer.q;
	struct audit_head before = s->audit;
	enum store_status status;

	if (!exec(q, "SAVEPOINT one")) {
		call->result.status = store_failed(q, call);
		return;
	}
	status = perform(q, call);
	if (status == STORE_OK && call->req.audit != NULL)
		status = store_audit_append(q, call, &s->audit);
	call->result.status = status;
	if (status == STORE_OK && exec(q, "RELEASE one"))
		return;
	if (status == STORE_OK)
		call->result.status = store_failed(q, call);
	s->audit = before;
	/* After a failure of the disk SQLite may have undone all of the transaction already. */
	if (sqlite3_get_autocommit(q->db) == 0) {
		int rc = q->rc; /* what the failure was stays known */

		(void)(exec(q, "ROLLBACK TO one") && exec(q, "RELEASE one"));
		q->rc = rc;
	}
}

/* Everything of a batch is undone: nobody gets an answer that is not on the disk. */
static void fail_batch(struct sqlite_store *s, struct store_call *batch)
{
	for (struct store_call *call = batch; call != NULL; call = call->next)
		if (call->result.status == STORE_OK)
			call->result.status = store_failed(&s->writer.q, call);
}

static void change_mode(struct sqlite_store *s, enum store_mode mode, const char *why)
{
	if (s->mode == mode)
		return;
	s->mode = mode;
	store_front_mode(s->front, mode, why);
}

/* Begin, do all, commit.  true: the disk took it, or there was nothing wrong with the disk. */
static bool write_batch(struct sqlite_store *s, struct store_call *batch)
{
	struct audit_head before = s->audit;
	struct sql *q = &s->writer.q;
	bool sound = exec(q, "BEGIN IMMEDIATE");

	for (struct store_call *call = batch; sound && call != NULL; call = call->next) {
		write_one(s, call);
		sound = sqlite3_get_autocommit(q->db) == 0 && !sql_is_disk(q) && !sql_is_damage(q);
	}
	(void)PM_FAIL_POINT("store.commit");
	if (sound && exec(q, "COMMIT")) {
		(void)PM_FAIL_POINT("store.committed");
		return true;
	}
	fail_batch(s, batch);
	s->audit = before;
	if (sqlite3_get_autocommit(q->db) == 0) {
		int rc = q->rc;

		(void)exec(q, "ROLLBACK"); /* nothing else can be done about it */
		q->rc = rc;
	}
	return false;
}

/* A write that changes nothing: does the disk take it? */
static void probe(struct sqlite_store *s)
{
	struct sql *q = &s->writer.q;
	bool sound = exec(q, "BEGIN IMMEDIATE") && exec(q, "UPDATE meta SET counter = counter") &&
	             exec(q, "COMMIT");

	if (sound)
		change_mode(s, STORE_MODE_OK, "");
	else if (sqlite3_get_autocommit(q->db) == 0)
		(void)exec(q, "ROLLBACK");
}

static void write_all(struct sqlite_store *s, struct store_call *batch)
{
	struct sql *q = &s->writer.q;

	if (atomic_load(&s->damaged)) {
		for (struct store_call *call = batch; call != NULL; call = call->next)
			call->result.status = store_say(call, STORE_UNAVAILABLE,
			                                "the store is damaged; it is read only");
	} else if (write_batch(s, batch)) {
		change_mode(s, STORE_MODE_OK, "");
	} else if (sql_is_disk(q)) {
		change_mode(s, STORE_MODE_READ_ONLY, q->what);
	} else {
		look_for_damage(s, q);
	}
	while (batch != NULL) {
		struct store_call *call = batch;

		batch = call->next;
		store_done(call);
	}
}

/* ---- threads ---- */

/* Up to n calls of the queue, waited for; NULL: to stop, or (*probing) nothing came in time. */
static struct store_call *take(struct lane *lane, size_t n, bool *probing)
{
	struct store_call *first, **at;
	struct timespec until;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* never fails */
	until.tv_sec += PROBE_MS / 1000;
	(void)pthread_mutex_lock(&lane->lock);
	while (lane->first == NULL && !lane->stop && rc == 0)
		rc = *probing ? pthread_cond_timedwait(&lane->more, &lane->lock, &until)
		              : pthread_cond_wait(&lane->more, &lane->lock);
	first = lane->first;
	for (at = &lane->first; n > 0 && *at != NULL; n--)
		at = &(*at)->next;
	lane->first = *at;
	if (lane->first == NULL)
		lane->end = &lane->first;
	*at = NULL;
	*probing = first == NULL && !lane->stop;
	(void)pthread_mutex_unlock(&lane->lock);
	return first;
}

static void *write_thread(void *arg)
{
	struct lane *lane = arg;
	struct sqlite_store *s = lane->store;

	for (;;) {
		bool probing = s->mode == STORE_MODE_READ_ONLY;
		struct store_call *batch = take(lane, PM_STORE_BATCH_MAX, &probing);

		if (batch != NULL)
			write_all(s, batch);
		else if (probing)
			probe(s);
		else
			return NULL;
	}
}

static void *read_thread(void *arg)
{
	struct lane *lane = arg;
	struct store_call *call;
	bool probing = false;

	while ((call = take(lane, 1, &probing)) != NULL)
		read_one(lane, call);
	return NULL;
}

static void submit(void *impl, struct store_call *call)
{
	struct sqlite_store *s = impl;
	struct lane *lane = store_op_writes(call->req.op) ? &s->writer : &s->reader;

	(void)pthread_mutex_lock(&lane->lock);
	*lane->end = call;
	lane->end = &call->next;
	(void)pthread_cond_signal(&lane->more);
	(void)pthread_mutex_unlock(&lane->lock);
}

static void lane_init(struct lane *lane, struct sqlite_store *s)
{
	pthread_condattr_t attr;

	lane->store = s;
	lane->end = &lane->first;
	/* None of these fail on Linux. */
	(void)pthread_mutex_init(&lane->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&lane->more, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static int lane_start(struct lane *lane, void *(*fn)(void *), struct pm_error *err)
{
	sigset_t all, before;
	int rc;

	/* Signals are the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&lane->thread, NULL, fn, lane);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return pm_fail_errno(err, rc, "start a thread for the store");
	lane->running = true;
	return 0;
}

static void lane_finish(struct lane *lane)
{
	if (lane->running) {
		(void)pthread_mutex_lock(&lane->lock);
		lane->stop = true;
		(void)pthread_cond_signal(&lane->more);
		(void)pthread_mutex_unlock(&lane->lock);
		(void)pthread_join(lane->thread, NULL); /* it is ours and was started */
	}
	sql_close(&lane->q);
	(void)pthread_cond_destroy(&lane->more);
	(void)pthread_mutex_destroy(&lane->lock);
}

static void close_store(void *impl)
{
	struct sqlite_store *s = impl;

	lane_finish(&s->writer);
	lane_finish(&s->reader);
	pm_closep(&s->lock);
	free(s);
}

static const struct store_backend backend = { .submit = submit, .close = close_store };

/* ---- opening ---- */

static int file_in(const struct store_options *options, const char *name, char *out,
                   struct pm_error *err)
{
	int n = snprintf(out, PM_PATH_MAX, "%s/%s", options->dir, name);

	return n < 0 || n >= PM_PATH_MAX
	               ? pm_fail(err, PM_LIMIT, "the path of the store is too long")
	               : 0;
}

/* The directory, the lock on it, and a file that nobody else may read before SQLite makes it. */
static int make_files(struct sqlite_store *s, const struct store_options *options, char *path,
                      struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	if (mkdir(options->dir, 0700) < 0 && errno != EEXIST)
		return pm_fail_errno(err, errno, "make %s", options->dir);
	if (file_in(options, "store.lock", path, err) < 0)
		return -1;
	s->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->lock < 0)
		return pm_fail_errno(err, errno, "open %s", path);
	if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
		               ? pm_fail(err, PM_LOCKED, "another coordinator has %s open",
		                         options->dir)
		               : pm_fail_errno(err, errno, "lock %s", path);
	if (file_in(options, "store.db", path, err) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? pm_fail_errno(err, errno, "open %s", path) : 0;
}

/* Damage that is there already: then it is read as far as it goes, and never written. */
static void check_file(struct sqlite_store *s)
{
	struct sql *q = &s->writer.q;
	sqlite3_stmt *st = sql_query(q, "PRAGMA quick_check(1)", "");
	char said[128] = "ok";

	while (sql_step(q, st))
		(void)snprintf(said, sizeof(said), "%s", (const char *)sqlite3_column_text(st, 0));
	if (q->rc == SQLITE_OK && strcmp(said, "ok") == 0)
		return;
	atomic_store(&s->damaged, true);
	store_front_mode(s->front, STORE_MODE_DAMAGED, q->rc == SQLITE_OK ? said : q->what);
}

static int open_all(struct sqlite_store *s, const struct store_options *options,
                    struct pm_error *err)
{
	char path[PM_PATH_MAX];

	if (make_files(s, options, path, err) < 0 || sql_open(&s->writer.q, path, false, err) < 0 ||
	    schema_migrate(&s->writer.q, path, schema_steps, schema_n_steps, err) < 0 ||
	    sql_open(&s->reader.q, path, true, err) < 0)
		return -1;
	s->writer.q.rc = SQLITE_OK;
	check_file(s);
	s->writer.q.rc = SQLITE_OK;
	store_read_audit_head(&s->writer.q, &s->audit);
	if (s->writer.q.rc != SQLITE_OK && !atomic_load(&s->damaged))
		return sql_fail(&s->writer.q, path, err);
	if (lane_start(&s->writer, write_thread, err) < 0)
		return -1;
	return lane_start(&s->reader, read_thread, err);
}

int fleet_store_open_sqlite(uv_loop_t *loop, const struct store_options *options,
                            struct fleet_store **out, struct pm_error *err)
{
	struct sqlite_store *s = pm_calloc(1, sizeof(*s));

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open the store");
	s->lock = -1;
	lane_init(&s->writer, s);
	lane_init(&s->reader, s);
	if (store_front_create(loop, options, &backend, &s->front, err) < 0) {
		close_store(s);
		return -1;
	}
	store_front_attach(s->front, s);
	if (open_all(s, options, err) < 0) {
		fleet_store_close(s->front);
		return pm_wrap(err, "open the store");
	}
	*out = s->front;
	return 0;
}
