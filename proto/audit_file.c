#include "proto/audit_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/audit_walk.h"
#include "proto/buf.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/log.h"

struct audit_file {
	int dir;             /* owned */
	int log;             /* owned: audit.log, appended to */
	int heads;           /* owned: audit.head; its lock says that the log is ours */
	unsigned slot;       /* of audit.head that is written next */
	uint64_t size, most; /* of audit.log */
	unsigned files;
	bool broken; /* a write ended in the middle of a line, and could not be taken back */
	struct audit_head head, synced;
};

/* ---- the two heads ---- */

#define HEAD_BYTES 64 /* seq 8, hash 32, checksum 16, zeros */

static void head_checksum(const uint8_t bytes[HEAD_BYTES], uint8_t out[16])
{
	(void)crypto_generichash(out, 16, bytes, 40, NULL, 0); /* the sizes are right */
}

static void head_pack(const struct audit_head *head, uint8_t bytes[HEAD_BYTES])
{
	memset(bytes, 0, HEAD_BYTES);
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(head->seq >> (56 - 8 * i));
	memcpy(bytes + 8, head->hash, AUDIT_HASH_BYTES);
	head_checksum(bytes, bytes + 40);
}

static bool head_unpack(const uint8_t bytes[HEAD_BYTES], struct audit_head *out)
{
	uint8_t want[16];

	head_checksum(bytes, want);
	if (sodium_memcmp(want, bytes + 40, sizeof(want)) != 0)
		return false;
	out->seq = 0;
	for (int i = 0; i < 8; i++)
		out->seq = out->seq << 8 | bytes[i];
	memcpy(out->hash, bytes + 8, AUDIT_HASH_BYTES);
	return true;
}

/*
 * The newer of the two that are whole: a power cut damages the one that was being written only.
 * Returns which of the two is to be written next.
 */
static unsigned heads_read(int fd, struct audit_head *out)
{
	unsigned other = 0;
	uint8_t bytes[2 * HEAD_BYTES] = { 0 };
	struct audit_head found;

	*out = (struct audit_head){ 0 };
	if (pread(fd, bytes, sizeof(bytes), 0) < HEAD_BYTES)
		return 0;
	for (unsigned i = 0; i < 2; i++)
		if (head_unpack(bytes + i * HEAD_BYTES, &found) && found.seq > out->seq) {
			*out = found;
			other = 1 - i;
		}
	return other;
}

int audit_heads_load(int dir, struct audit_head *out)
{
	PM_CLOSE int fd = openat(dir, "audit.head", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	*out = (struct audit_head){ 0 };
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	(void)heads_read(fd, out);
	return 0;
}

int audit_file_sync(struct audit_file *f, struct pm_error *err)
{
	uint8_t bytes[HEAD_BYTES];

	if (f->synced.seq == f->head.seq)
		return 0;
	if (PM_FAIL_POINT("audit.sync") != 0 || fdatasync(f->log) < 0)
		return pm_fail_errno(err, errno, "flush the audit log");
	/* Only now: a head must never be newer than the log on the disk. */
	head_pack(&f->head, bytes);
	if (PM_FAIL_POINT("audit.head") != 0 ||
	    pwrite(f->heads, bytes, sizeof(bytes), f->slot * HEAD_BYTES) != HEAD_BYTES ||
	    fdatasync(f->heads) < 0)
		return pm_fail_errno(err, errno, "write audit.head");
	f->slot = 1 - f->slot;
	f->synced = f->head;
	return 0;
}

/* ---- appending ---- */

/* All of it or nothing: what a full disk took of a line is cut off again. */
static int append_bytes(struct audit_file *f, const struct pm_buf *b, struct pm_error *err)
{
	ssize_t n;
	int saved;

	if (f->broken && ftruncate(f->log, (off_t)f->size) < 0)
		return pm_fail_errno(err, errno, "mend the audit log");
	f->broken = false;
	errno = PM_FAIL_POINT("audit.append");
	if (errno != 0)
		return pm_fail_errno(err, errno, "write the audit log");
	n = write(f->log, b->bytes, b->len);
	if (n == (ssize_t)b->len) {
		f->size += b->len;
		return 0;
	}
	saved = n < 0 ? errno : ENOSPC;
	f->broken = n > 0 && ftruncate(f->log, (off_t)f->size) < 0;
	return pm_fail_errno(err, saved, "write the audit log");
}

static int open_log(struct audit_file *f, struct pm_error *err)
{
	f->log = openat(f->dir, "audit.log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
	                0600);
	return f->log < 0 ? pm_fail_errno(err, errno, "open audit.log") : 0;
}

static int put_header(struct audit_file *f, const struct audit_head *from, struct pm_error *err)
{
	PM_BUF b = { 0 };

	audit_put_header(from, &b);
	if (b.failed)
		return pm_fail(err, PM_NO_MEMORY, "begin the audit log");
	return append_bytes(f, &b, err);
}

static void remove_oldest(struct audit_file *f)
{
	struct audit_files list;
	struct pm_error err;

	if (audit_files_find(f->dir, &list, &err) < 0)
		return; /* the next new file tries again */
	for (size_t i = 0; list.n > f->files && i < list.n - f->files; i++)
		(void)unlinkat(f->dir, list.names[i], 0);
	audit_files_finish(&list);
}

/*
 * Go on in a new file. The old one is synced first, so that only the last file can ever end early.
 * A death between the steps leaves no audit.log, or one without its header: open_chain() knows.
 */
static int rotate(struct audit_file *f, struct pm_error *err)
{
	char name[AUDIT_FILE_NAME];

	if (audit_file_sync(f, err) < 0)
		return -1;
	audit_file_name(f->head.seq, name);
	if (PM_FAIL_POINT("audit.rotate") != 0 || renameat(f->dir, "audit.log", f->dir, name) < 0)
		return pm_fail_errno(err, errno, "rename audit.log");
	pm_closep(&f->log);
	f->size = 0;
	if (open_log(f, err) < 0 || put_header(f, &f->head, err) < 0)
		return -1;
	if (fsync(f->dir) < 0)
		return pm_fail_errno(err, errno, "flush the directory of the audit log");
	remove_oldest(f);
	return 0;
}

/* A new file whose header could not be written, or whose opening failed: once more. */
static int mend(struct audit_file *f, struct pm_error *err)
{
	if (f->log < 0 && open_log(f, err) < 0)
		return -1;
	return f->size == 0 ? put_header(f, &f->head, err) : 0;
}

int audit_file_append(struct audit_file *f, struct audit_entry *e, struct pm_error *err)
{
	struct audit_head next;
	PM_BUF line = { 0 };

	if (mend(f, err) < 0 || (f->size >= f->most && rotate(f, err) < 0))
		return -1;
	next = f->head;
	if (audit_put_line(&next, e, &line, err) < 0 || append_bytes(f, &line, err) < 0)
		return -1;
	f->head = next;
	return 0;
}

void audit_file_head(const struct audit_file *f, struct audit_head *out)
{
	*out = f->head;
}

/* ---- opening ---- */

static int open_dir(const char *path, int *out, struct pm_error *err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return pm_fail_errno(err, errno, "make %s", path);
	*out = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*out < 0 && (errno == ELOOP || errno == ENOTDIR))
		return pm_fail(err, PM_DENIED, "%s: not a directory of ours", path);
	if (*out < 0 || fstat(*out, &st) < 0)
		return pm_fail_errno(err, errno, "open %s", path);
	if (st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
		return pm_fail(err, PM_DENIED, "%s: others may write there", path);
	return 0;
}

static int open_files(struct audit_file *f, const char *dir, struct pm_error *err)
{
	if (open_dir(dir, &f->dir, err) < 0)
		return -1;
	f->heads = openat(f->dir, "audit.head", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->heads < 0)
		return pm_fail_errno(err, errno, "open audit.head");
	if (flock(f->heads, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
		               ? pm_fail(err, PM_LOCKED, "another program has the audit log open")
		               : pm_fail_errno(err, errno, "lock audit.head");
	return open_log(f, err);
}

/* Where the chain ends; what a power cut left behind the last whole line is cut off. */
static int find_end(struct audit_file *f, struct pm_error *err)
{
	struct audit_report report = { 0 };
	struct stat st;

	if (audit_walk(f->dir, NULL, NULL, NULL, &report, err) < 0)
		return -1;
	if (fstat(f->log, &st) < 0)
		return pm_fail_errno(err, errno, "stat audit.log");
	f->head = report.head;
	f->size = (uint64_t)st.st_size - report.torn_bytes;
	if (report.torn_bytes > 0 && ftruncate(f->log, (off_t)f->size) < 0)
		return pm_fail_errno(err, errno, "cut audit.log");
	f->slot = heads_read(f->heads, &f->synced);
	if (f->size == 0 && put_header(f, &f->head, err) < 0)
		return -1;
	if (report.torn_bytes > 0 && f->head.seq > 0) {
		char detail[64];
		struct audit_entry e = {
			.wall_ms = pm_wall_ms(),
			.field = { [AUDIT_ACTOR] = "pmd",
			           [AUDIT_ACTION] = "audit.recover",
			           [AUDIT_DETAIL] = detail,
			           [AUDIT_OUTCOME] = "ok" },
		};

		(void)snprintf(detail, sizeof(detail), "%llu bytes of an unfinished entry removed",
		               (unsigned long long)report.torn_bytes);
		return audit_file_append(f, &e, err);
	}
	return 0;
}

int audit_file_open(const char *dir, const struct audit_limits *limits, struct audit_file **out,
                    struct pm_error *err)
{
	struct audit_file *f = pm_calloc(1, sizeof(*f));

	if (f == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open the audit log");
	f->dir = f->log = f->heads = -1;
	f->most = limits->file_bytes == 0 ? PM_AUDIT_FILE_MAX : limits->file_bytes;
	f->files = limits->files == 0 ? PM_AUDIT_FILES_MAX : limits->files;
	if (open_files(f, dir, err) < 0 || find_end(f, err) < 0) {
		f->synced = f->head; /* nothing of ours to sync */
		audit_file_close(f);
		return pm_wrap(err, "audit log in %s", dir);
	}
	*out = f;
	return 0;
}

void audit_file_close(struct audit_file *f)
{
	struct pm_error err;

	if (f == NULL)
		return;
	if (f->log >= 0 && audit_file_sync(f, &err) < 0)
		pm_log(PM_LOG_WARN, "audit.sync", "%s", err.what); /* a power cut may lose it */
	pm_closep(&f->log);
	pm_closep(&f->heads);
	pm_closep(&f->dir);
	free(f);
}

int audit_file_verify(const char *dir, const struct audit_head *seen, audit_entry_fn *fn, void *arg,
                      struct audit_report *report, struct pm_error *err)
{
	PM_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*report = (struct audit_report){ 0 };
	if (fd < 0)
		return pm_fail_errno(err, errno, "open %s", dir);
	return audit_walk(fd, seen, fn, arg, report, err);
}
