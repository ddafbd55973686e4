#include "agent/op_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/op_record.h"
#include "proto/buf.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/log.h"

#define TMP_NAME OP_FILE ".tmp"
/* A file this small is not worth writing anew. */
#define COMPACT_LEAST (64u << 10)

struct entry {
	struct op_record rec;
	uint8_t *bytes; /* owned: those of rec.result; NULL: not kept */
	enum op_known known;
	bool unwritten; /* its end is not in the file yet */
	bool missed;    /* it changed since the file that is being written was begun */
};

struct op_journal {
	int dir; /* borrowed */
	int fd;  /* owned */
	size_t max;
	struct entry *entries; /* owned: a ring, the oldest at `first` */
	size_t first, n;
	size_t result_bytes; /* of all entries */
	uint64_t counter;
	size_t size;     /* of the file */
	bool torn;       /* a write ended in the middle of a record, and could not be taken back */
	bool deferred;   /* some entry is unwritten */
	bool rewriting;  /* from begin() to end(): copy and copy_fd are the worker's */
	bool distrusted; /* a flush failed: what was written before it may be lost */
	bool dir_dirty;  /* the file's name is not on the disk for sure */
	struct pm_buf copy;
	int copy_fd; /* owned; -1: none */
};

static struct entry *at(const struct op_journal *j, size_t i)
{
	return &j->entries[(j->first + i) % j->max];
}

/* returns    where it is, counted from the oldest; j->n: nowhere */
static size_t index_of(const struct op_journal *j, const uint8_t id[OP_ID_BYTES])
{
	for (size_t i = j->n; i-- > 0;) /* a repeat is of a late one, mostly */
		if (memcmp(at(j, i)->rec.id, id, OP_ID_BYTES) == 0)
			return i;
	return j->n;
}

static struct entry *find(const struct op_journal *j, const uint8_t id[OP_ID_BYTES])
{
	size_t i = index_of(j, id);

	return i == j->n ? NULL : at(j, i);
}

/* ---- writing ---- */

/* At the end of a file; what could not be written whole is taken back, or `torn` is set. */
static int append_to(int fd, const struct pm_buf *b, size_t *size, bool *torn, struct pm_error *err)
{
	ssize_t n;
	int saved;

	if (b->failed)
		return pm_fail(err, PM_NO_MEMORY, "write the journal");
	if (*torn && ftruncate(fd, (off_t)*size) < 0)
		return pm_fail_errno(err, errno, "mend the journal");
	*torn = false;
	errno = PM_FAIL_POINT("ops.write");
	if (errno != 0)
		return pm_fail_errno(err, errno, "write the journal");
	do {
		n = write(fd, b->bytes, b->len);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)b->len) {
		*size += b->len;
		return 0;
	}
	saved = n < 0 ? errno : ENOSPC;
	*torn = n > 0 && ftruncate(fd, (off_t)*size) < 0;
	return pm_fail_errno(err, saved, "write the journal");
}

static int append(struct op_journal *j, const struct pm_buf *b, struct pm_error *err)
{
	return append_to(j->fd, b, &j->size, &j->torn, err);
}

/* Ends that could not be written when they came. */
static int write_deferred(struct op_journal *j, struct pm_error *err)
{
	if (!j->deferred)
		return 0;
	for (size_t i = 0; i < j->n; i++) {
		struct entry *e = at(j, i);
		PM_BUF b = { 0 };

		if (!e->unwritten)
			continue;
		op_record_put(&e->rec, &b);
		if (append(j, &b, err) < 0)
			return -1;
		e->unwritten = false;
	}
	j->deferred = false;
	return 0;
}

static int write_record(struct op_journal *j, const struct op_record *rec, struct pm_error *err)
{
	PM_BUF b = { 0 };

	if (write_deferred(j, err) < 0)
		return -1;
	op_record_put(rec, &b);
	return append(j, &b, err);
}

/* ---- what is remembered ---- */

static void forget_bytes(struct op_journal *j, struct entry *e)
{
	j->result_bytes -= e->rec.result.len;
	free(e->bytes);
	e->bytes = NULL;
	e->rec.result.bytes = NULL;
	e->rec.result.len = 0;
}

/* Without memory the bytes are forgotten, but not that there was a result. */
static void keep_result(struct op_journal *j, struct entry *e, const struct op_result *r)
{
	forget_bytes(j, e);
	e->rec.ended = true;
	e->rec.result = (struct op_result){ .code = r->code, .wall_ms = r->wall_ms };
	if (r->len == 0 || r->len > PM_OP_RESULT_MAX)
		return;
	e->bytes = pm_calloc(r->len, 1);
	if (e->bytes == NULL)
		return;
	memcpy(e->bytes, r->bytes, r->len);
	e->rec.result.bytes = e->bytes;
	e->rec.result.len = r->len;
	j->result_bytes += r->len;
	for (size_t i = 0; j->result_bytes > PM_OP_RESULTS_MAX && at(j, i) != e; i++)
		forget_bytes(j, at(j, i));
}

/* The ring stays in order. */
static void forget(struct op_journal *j, size_t i)
{
	forget_bytes(j, at(j, i));
	for (; i > 0; i--)
		*at(j, i) = *at(j, i - 1);
	*at(j, 0) = (struct entry){ .known = OP_NEW };
	j->first = (j->first + 1) % j->max;
	j->n--;
}

/* Forget the oldest that is not under way. */
static bool make_room(struct op_journal *j)
{
	size_t i = 0;

	if (j->n < j->max)
		return true;
	while (i < j->n && at(j, i)->known == OP_BEGUN)
		i++;
	if (i == j->n)
		return false;
	forget(j, i);
	return true;
}

/* There is room. */
static struct entry *remember(struct op_journal *j, const struct op_record *rec,
                              enum op_known known)
{
	struct entry *e = at(j, j->n++);

	*e = (struct entry){ .rec = *rec, .known = known, .missed = j->rewriting };
	e->rec.result = (struct op_result){ 0 };
	if (rec->ended)
		keep_result(j, e, &rec->result);
	j->counter = PM_MAX(j->counter, rec->number);
	return e;
}

enum op_known op_journal_find(const struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                              struct op_result *out)
{
	const struct entry *e = find(j, id);

	if (e == NULL)
		return OP_NEW;
	if (e->known == OP_ENDED)
		*out = e->rec.result;
	return e->known;
}

int op_journal_begin(struct op_journal *j, const uint8_t id[OP_ID_BYTES], uint64_t number,
                     struct pm_error *err)
{
	struct op_record rec = { .number = number };

	if (find(j, id) != NULL)
		return pm_fail(err, PM_EXISTS, "this command is known");
	if (j->size > PM_OPS_FILE_MAX)
		return pm_fail(err, PM_LIMIT,
		               "the journal is too large and cannot be written anew");
	if (!make_room(j))
		return pm_fail(err, PM_LIMIT, "%zu commands are under way", j->max);
	memcpy(rec.id, id, OP_ID_BYTES);
	if (write_record(j, &rec, err) < 0)
		return -1;
	(void)remember(j, &rec, OP_BEGUN);
	return 0;
}

int op_journal_end(struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                   const struct op_result *result, struct pm_error *err)
{
	struct entry *e = find(j, id);

	if (e == NULL || e->known == OP_ENDED)
		return pm_fail(err, PM_NOT_FOUND, "no such command is under way");
	keep_result(j, e, result);
	e->known = OP_ENDED;
	e->missed = j->rewriting;
	if (write_record(j, &e->rec, err) == 0)
		return 0;
	e->unwritten = j->deferred = true;
	return -1;
}

void op_journal_withdraw(struct op_journal *j, const uint8_t id[OP_ID_BYTES])
{
	size_t i = index_of(j, id);

	if (i < j->n && at(j, i)->known == OP_BEGUN)
		forget(j, i);
}

uint64_t op_journal_counter(const struct op_journal *j)
{
	return j->counter;
}

/* ---- waiting for the disk ---- */

int op_journal_sync(struct op_journal *j, struct pm_error *err)
{
	if (j->distrusted)
		return pm_fail(err, PM_FAILED, "the journal could not be flushed before");
	errno = PM_FAIL_POINT("ops.sync");
	if (errno != 0 || fdatasync(j->fd) < 0) {
		j->distrusted = true;
		return pm_fail_errno(err, errno, "flush the journal");
	}
	if (j->dir_dirty && fsync(j->dir) < 0)
		return pm_fail_errno(err, errno, "flush the directory of the journal");
	j->dir_dirty = false;
	return 0;
}

bool op_journal_wants_rewrite(const struct op_journal *j)
{
	size_t live = 0;

	if (j->distrusted || j->size > PM_OPS_REWRITE_BYTES)
		return true;
	if (j->size <= COMPACT_LEAST)
		return false;
	for (size_t i = 0; i < j->n; i++)
		live += op_record_size(&at(j, i)->rec);
	return j->size > 4 * live;
}

int op_journal_rewrite_begin(struct op_journal *j, struct pm_error *err)
{
	op_record_header(j->counter, &j->copy);
	for (size_t i = 0; i < j->n; i++)
		op_record_put(&at(j, i)->rec, &j->copy);
	if (j->copy.failed) {
		pm_buf_finish(&j->copy);
		return pm_fail(err, PM_NO_MEMORY, "write the journal anew");
	}
	for (size_t i = 0; i < j->n; i++)
		at(j, i)->missed = false;
	j->rewriting = true;
	return 0;
}

int op_journal_rewrite_work(struct op_journal *j, struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	(void)unlinkat(j->dir, TMP_NAME, 0); /* of an earlier death */
	fd = openat(j->dir, TMP_NAME, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
	            0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "make " TMP_NAME);
	errno = PM_FAIL_POINT("ops.compact");
	if (errno != 0 || write(fd, j->copy.bytes, j->copy.len) != (ssize_t)j->copy.len)
		return pm_fail_errno(err, errno == 0 ? ENOSPC : errno, "write " TMP_NAME);
	errno = PM_FAIL_POINT("ops.fsync");
	if (errno != 0 || fsync(fd) < 0)
		return pm_fail_errno(err, errno, "flush " TMP_NAME);
	j->copy_fd = PM_STEAL_FD(fd);
	return 0;
}

static int add_missed(struct op_journal *j, size_t *size, struct pm_error *err)
{
	PM_BUF b = { 0 };
	bool torn = false;

	for (size_t i = 0; i < j->n; i++)
		if (at(j, i)->missed)
			op_record_put(&at(j, i)->rec, &b);
	return b.len == 0 && !b.failed ? 0 : append_to(j->copy_fd, &b, size, &torn, err);
}

static int put_in_place(struct op_journal *j, struct pm_error *err)
{
	size_t size = j->copy.len;

	if (add_missed(j, &size, err) < 0)
		return -1;
	errno = PM_FAIL_POINT("ops.rename");
	if (errno != 0 || renameat(j->dir, TMP_NAME, j->dir, OP_FILE) < 0)
		return pm_fail_errno(err, errno, "rename " TMP_NAME);
	(void)PM_FAIL_POINT("ops.renamed");
	pm_closep(&j->fd);
	j->fd = PM_STEAL_FD(j->copy_fd);
	j->size = size;
	j->torn = j->deferred = j->distrusted = false;
	j->dir_dirty = true;
	for (size_t i = 0; i < j->n; i++)
		at(j, i)->unwritten = false;
	return 0;
}

int op_journal_rewrite_end(struct op_journal *j, int rc, struct pm_error *err)
{
	if (rc == 0)
		rc = put_in_place(j, err);
	pm_closep(&j->copy_fd);
	j->copy_fd = -1;
	pm_buf_finish(&j->copy);
	j->rewriting = false;
	return rc;
}

/* All of it at once. */
static int rewrite(struct op_journal *j, struct pm_error *err)
{
	if (op_journal_rewrite_begin(j, err) < 0 ||
	    op_journal_rewrite_end(j, op_journal_rewrite_work(j, err), err) < 0)
		return -1;
	return op_journal_sync(j, err);
}

/* ---- reading ---- */

static void take_record(struct op_journal *j, const struct op_record *rec)
{
	struct entry *known = find(j, rec->id);

	if (known != NULL) {
		known->known = rec->ended ? OP_ENDED : OP_INTERRUPTED;
		keep_result(j, known, &rec->result); /* of one that began, none */
		known->rec.ended = rec->ended;
		known->rec.number = rec->number;
		j->counter = PM_MAX(j->counter, rec->number);
	} else if (make_room(j)) { /* always: none is under way while we read */
		(void)remember(j, rec, rec->ended ? OP_ENDED : OP_INTERRUPTED);
	}
}

static int read_all(int fd, struct pm_buf *out, struct pm_error *err)
{
	struct stat st;
	ssize_t n = 1;

	if (fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "stat the journal");
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return pm_fail(err, PM_DENIED, "the journal is not a file of ours");
	while (n > 0) {
		uint8_t bytes[16384];

		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "read the journal");
		if (n > 0)
			pm_buf_add(out, bytes, (size_t)n);
		else if (n < 0)
			n = 1;
	}
	return out->failed ? pm_fail(err,
	                             out->max != 0 && out->len + 16384 > out->max ? PM_LIMIT
	                                                                          : PM_NO_MEMORY,
	                             "read the journal")
	                   : 0;
}

/* The records up to the first that is not whole; *good is where it begins. */
static int read_records(struct op_journal *j, const struct pm_buf *b, size_t *good,
                        struct op_journal_report *report, struct pm_error *err)
{
	const uint8_t *bytes = (const uint8_t *)b->bytes;
	enum op_read rc = op_record_read_header(bytes, b->len, good, &j->counter);

	if (rc == OP_READ_NEWER)
		return pm_fail(err, PM_UNSUPPORTED, "the journal is of a later version of pmd");
	while (rc == OP_READ_OK && *good < b->len) {
		struct op_record rec;
		size_t len;

		rc = op_record_read(bytes + *good, b->len - *good, &rec, &len);
		if (rc != OP_READ_OK)
			break;
		take_record(j, &rec);
		*good += len;
	}
	report->torn_bytes = rc == OP_READ_TORN ? b->len - *good : 0;
	report->damaged = rc == OP_READ_DAMAGED;
	return 0;
}

/* A file that is damaged in the middle is kept for people to look at; a new one is written. */
static int put_aside(struct op_journal *j, struct pm_error *err)
{
	time_t now = (time_t)(pm_wall_ms() / 1000);
	char name[64], date[32];
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(name, sizeof(name), OP_FILE ".corrupt-%s", date);
	if (renameat(j->dir, OP_FILE, j->dir, name) < 0)
		return pm_fail_errno(err, errno, "put the journal aside");
	return rewrite(j, err);
}

static int load(struct op_journal *j, struct op_journal_report *report, struct pm_error *err)
{
	PM_BUF b = { .max = 2 * PM_OPS_FILE_MAX }; /* nothing of ours gets that large */
	size_t good = 0;

	j->fd = openat(j->dir, OP_FILE,
	               O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (j->fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "the journal is a symbolic link");
	if (j->fd < 0)
		return pm_fail_errno(err, errno, "open the journal");
	if (read_all(j->fd, &b, err) < 0 || read_records(j, &b, &good, report, err) < 0)
		return -1;
	if (report->damaged)
		return put_aside(j, err);
	if (good == 0) /* new, or torn within its header */
		return rewrite(j, err);
	j->size = good;
	j->dir_dirty = true; /* who put it there may have died before that was flushed */
	if (report->torn_bytes > 0 && ftruncate(j->fd, (off_t)good) < 0)
		return pm_fail_errno(err, errno, "mend the journal");
	return 0;
}

int op_journal_open(int dir, size_t max, struct op_journal **out, struct op_journal_report *report,
                    struct pm_error *err)
{
	struct op_journal *j = pm_calloc(1, sizeof(*j));

	*report = (struct op_journal_report){ 0 };
	if (j == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open the journal");
	j->dir = dir;
	j->fd = j->copy_fd = -1;
	j->max = max == 0 ? PM_OP_JOURNAL_MAX : max;
	j->entries = pm_calloc(j->max, sizeof(*j->entries));
	if (j->entries == NULL) {
		op_journal_close(j);
		return pm_fail(err, PM_NO_MEMORY, "open the journal");
	}
	if (load(j, report, err) < 0) {
		op_journal_close(j);
		return pm_wrap(err, "commands done so far");
	}
	*out = j;
	return 0;
}

void op_journal_close(struct op_journal *j)
{
	if (j == NULL)
		return;
	for (size_t i = 0; j->entries != NULL && i < j->n; i++)
		free(at(j, i)->bytes);
	pm_closep(&j->copy_fd);
	pm_closep(&j->fd);
	pm_buf_finish(&j->copy);
	free(j->entries);
	free(j);
}
