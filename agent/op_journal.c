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

#define FILE_NAME "ops"
#define TMP_NAME  "ops.tmp"
/* A file this small is not worth writing anew. */
#define COMPACT_LEAST (64u << 10)

struct entry {
	struct op_record rec;
	enum op_known known; /* OP_NEW: a free slot */
	bool unwritten;      /* its end is not in the file yet */
};

struct op_journal {
	int dir; /* borrowed */
	int fd;  /* owned */
	size_t max;
	struct entry *entries; /* owned: a ring, the oldest at `first` */
	size_t first, n;
	uint64_t counter;
	size_t size;   /* of the file */
	size_t live;   /* bytes of it that still say something */
	bool torn;     /* a write ended in the middle of a record, and could not be taken back */
	bool deferred; /* some entry is unwritten */
};

static struct entry *at(const struct op_journal *j, size_t i)
{
	return &j->entries[(j->first + i) % j->max];
}

static struct entry *find(const struct op_journal *j, const uint8_t id[OP_ID_BYTES])
{
	for (size_t i = j->n; i-- > 0;) /* a repeat is of a late one, mostly */
		if (memcmp(at(j, i)->rec.id, id, OP_ID_BYTES) == 0)
			return at(j, i);
	return NULL;
}

/* ---- writing ---- */

static int append(struct op_journal *j, const struct pm_buf *b, struct pm_error *err)
{
	ssize_t n;
	int saved;

	if (b->failed)
		return pm_fail(err, PM_NO_MEMORY, "write the journal");
	if (j->torn && ftruncate(j->fd, (off_t)j->size) < 0)
		return pm_fail_errno(err, errno, "mend the journal");
	j->torn = false;
	errno = PM_FAIL_POINT("ops.write");
	if (errno != 0)
		return pm_fail_errno(err, errno, "write the journal");
	n = write(j->fd, b->bytes, b->len);
	if (n == (ssize_t)b->len) {
		j->size += b->len;
		return 0;
	}
	saved = n < 0 ? errno : ENOSPC;
	j->torn = n > 0 && ftruncate(j->fd, (off_t)j->size) < 0;
	return pm_fail_errno(err, saved, "write the journal");
}

/* Everything that is remembered, in a new file that then takes the place of the old one. */
static int write_tmp(const struct op_journal *j, const struct pm_buf *b, int *out,
                     struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	(void)unlinkat(j->dir, TMP_NAME, 0); /* of an earlier death */
	fd = openat(j->dir, TMP_NAME, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
	            0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "make " TMP_NAME);
	errno = PM_FAIL_POINT("ops.compact");
	if (errno != 0 || write(fd, b->bytes, b->len) != (ssize_t)b->len)
		return pm_fail_errno(err, errno == 0 ? ENOSPC : errno, "write " TMP_NAME);
	errno = PM_FAIL_POINT("ops.fsync");
	if (errno != 0 || fsync(fd) < 0)
		return pm_fail_errno(err, errno, "flush " TMP_NAME);
	*out = PM_STEAL_FD(fd);
	return 0;
}

static int compact(struct op_journal *j, struct pm_error *err)
{
	PM_BUF b = { 0 };
	int fd = -1;

	op_record_header(j->counter, &b);
	for (size_t i = 0; i < j->n; i++)
		op_record_put(&at(j, i)->rec, &b);
	if (b.failed)
		return pm_fail(err, PM_NO_MEMORY, "write the journal anew");
	if (write_tmp(j, &b, &fd, err) < 0)
		return -1;
	errno = PM_FAIL_POINT("ops.rename");
	if (errno != 0 || renameat(j->dir, TMP_NAME, j->dir, FILE_NAME) < 0) {
		(void)pm_fail_errno(err, errno, "rename " TMP_NAME);
		pm_closep(&fd);
		return -1;
	}
	(void)PM_FAIL_POINT("ops.renamed");
	pm_closep(&j->fd);
	j->fd = fd;
	j->size = j->live = b.len;
	j->torn = j->deferred = false;
	for (size_t i = 0; i < j->n; i++)
		at(j, i)->unwritten = false;
	return fsync(j->dir) < 0 ? pm_fail_errno(err, errno, "flush the directory of the journal")
	                         : 0;
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
		j->live += b.len;
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
	if (append(j, &b, err) < 0)
		return -1;
	j->live += b.len;
	return 0;
}

/* ---- what is remembered ---- */

/* Forget the oldest that is not under way.  The ring stays in order. */
static bool make_room(struct op_journal *j)
{
	size_t i = 0;

	if (j->n < j->max)
		return true;
	while (i < j->n && at(j, i)->known == OP_BEGUN)
		i++;
	if (i == j->n)
		return false;
	j->live -= PM_MIN(j->live, op_record_size(&at(j, i)->rec));
	for (; i > 0; i--)
		*at(j, i) = *at(j, i - 1);
	at(j, 0)->known = OP_NEW;
	j->first = (j->first + 1) % j->max;
	j->n--;
	return true;
}

static void remember(struct op_journal *j, const struct op_record *rec, enum op_known known)
{
	*at(j, j->n) = (struct entry){ .rec = *rec, .known = known };
	j->n++;
	j->counter = PM_MAX(j->counter, rec->number);
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
	struct pm_error ignored;

	if (find(j, id) != NULL)
		return pm_fail(err, PM_EXISTS, "this command is known");
	if (j->n == j->max && !make_room(j))
		return pm_fail(err, PM_LIMIT, "%zu commands are under way", j->max);
	memcpy(rec.id, id, OP_ID_BYTES);
	if (write_record(j, &rec, err) < 0)
		return -1;
	remember(j, &rec, OP_BEGUN);
	/* What fails here is tried again with the next; the old file is whole and goes on. */
	if (j->size > COMPACT_LEAST && j->size > 4 * j->live && compact(j, &ignored) < 0)
		pm_log(PM_LOG_WARN, "ops.compact", "%s", ignored.what);
	return 0;
}

int op_journal_end(struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                   const struct op_result *result, struct pm_error *err)
{
	struct entry *e = find(j, id);
	size_t begun;

	if (e == NULL || e->known == OP_ENDED)
		return pm_fail(err, PM_NOT_FOUND, "no such command is under way");
	begun = op_record_size(&e->rec);
	e->known = OP_ENDED;
	e->rec.ended = true;
	e->rec.result = *result;
	e->rec.result.text[OP_TEXT_MAX] = '\0';
	if (write_record(j, &e->rec, err) < 0) {
		e->unwritten = j->deferred = true;
		return -1;
	}
	j->live -= PM_MIN(j->live, begun);
	return 0;
}

int op_journal_sync(const struct op_journal *j, struct pm_error *err)
{
	errno = PM_FAIL_POINT("ops.sync");
	return errno != 0 || fdatasync(j->fd) < 0 ? pm_fail_errno(err, errno, "flush the journal")
	                                          : 0;
}

uint64_t op_journal_counter(const struct op_journal *j)
{
	return j->counter;
}

/* ---- reading ---- */

static void take_record(struct op_journal *j, const struct op_record *rec)
{
	struct entry *known = find(j, rec->id);

	if (known != NULL) {
		known->rec = *rec;
		known->known = rec->ended ? OP_ENDED : OP_INTERRUPTED;
		return;
	}
	/* None is under way while we read, so that there is always room to make. */
	if (make_room(j))
		remember(j, rec, rec->ended ? OP_ENDED : OP_INTERRUPTED);
}

static int read_all(int fd, struct pm_buf *out, struct pm_error *err)
{
	struct stat st;
	ssize_t n = 1;

	if (fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "stat the journal");
	if (!S_ISREG(st.st_mode))
		return pm_fail(err, PM_DENIED, "the journal is no regular file");
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
	(void)snprintf(name, sizeof(name), FILE_NAME ".corrupt-%s", date);
	if (renameat(j->dir, FILE_NAME, j->dir, name) < 0)
		return pm_fail_errno(err, errno, "put the journal aside");
	return compact(j, err);
}

static int load(struct op_journal *j, struct op_journal_report *report, struct pm_error *err)
{
	PM_BUF b = { .max = PM_STATE_MAX };
	size_t good = 0;

	j->fd = openat(j->dir, FILE_NAME,
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
		return compact(j, err);
	j->size = j->live = good;
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
	j->fd = -1;
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
	pm_closep(&j->fd);
	free(j->entries);
	free(j);
}
