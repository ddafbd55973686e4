#include "agent/op_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "proto/paths.h"

/* A record: id, kind (1), length (2, big-endian), result, sum over all before. */
#define HEAD_BYTES (OP_ID_BYTES + 3)
#define SUM_BYTES  crypto_generichash_BYTES_MIN

enum kind {
	KIND_BEGUN = 'b',
	KIND_DONE = 'd'
};

struct op {
	uint8_t id[OP_ID_BYTES];
	enum op_found found;
	uint8_t *result; /* owned; NULL: none */
	size_t len;
};

struct op_memory {
	char path[PM_PATH_MAX];
	int fd;      /* owned */
	size_t size; /* of the file */
	struct op ops[PM_OPS_KEPT];
	size_t n, next; /* next: the oldest, once all places are taken */
};

/* ---- in memory ---- */

static struct op *find(const struct op_memory *m, const uint8_t *id)
{
	for (size_t i = 0; i < m->n; i++)
		if (memcmp(m->ops[i].id, id, OP_ID_BYTES) == 0)
			return (struct op *)(uintptr_t)&m->ops[i];
	return NULL;
}

static struct op *place(struct op_memory *m, const uint8_t *id)
{
	struct op *op = find(m, id);

	if (op != NULL)
		return op;
	if (m->n < PM_OPS_KEPT) {
		op = &m->ops[m->n++];
	} else {
		op = &m->ops[m->next];
		m->next = (m->next + 1) % PM_OPS_KEPT;
		free(op->result);
	}
	*op = (struct op){ .found = OP_UNHEARD };
	memcpy(op->id, id, OP_ID_BYTES);
	return op;
}

/* Without memory the result is forgotten, but not that there was one. */
static void keep(struct op *op, enum op_found found, const uint8_t *result, size_t len)
{
	free(op->result);
	op->result = len == 0 ? NULL : pm_calloc(len, 1);
	op->len = op->result == NULL ? 0 : len;
	if (op->result != NULL)
		memcpy(op->result, result, len);
	op->found = found;
}

enum op_found op_memory_find(const struct op_memory *m, const uint8_t id[OP_ID_BYTES],
                             const uint8_t **result, size_t *len)
{
	const struct op *op = find(m, id);

	if (op == NULL)
		return OP_UNHEARD;
	*result = op->result;
	*len = op->len;
	return op->found;
}

/* ---- in the file ---- */

static void put_record(struct pm_buf *out, const uint8_t *id, enum kind kind, const uint8_t *result,
                       size_t len)
{
	const uint8_t head[3] = { (uint8_t)kind, (uint8_t)(len >> 8), (uint8_t)len };
	uint8_t sum[SUM_BYTES] = { 0 };
	size_t from = out->len;

	pm_buf_add(out, id, OP_ID_BYTES);
	pm_buf_add(out, head, sizeof(head));
	pm_buf_add(out, result, len);
	if (out->failed)
		return;
	(void)crypto_generichash(sum, sizeof(sum), (const uint8_t *)out->bytes + from,
	                         out->len - from, NULL, 0); /* cannot fail with such lengths */
	pm_buf_add(out, sum, sizeof(sum));
}

/* returns    its length; 0: this is none, or not all of one */
static size_t take_record(struct op_memory *m, const uint8_t *at, size_t left)
{
	uint8_t sum[SUM_BYTES];
	size_t len;
	struct op *op;

	if (left < HEAD_BYTES + SUM_BYTES)
		return 0;
	len = (size_t)at[OP_ID_BYTES + 1] << 8 | at[OP_ID_BYTES + 2];
	if (len > PM_OP_RESULT_MAX || left < HEAD_BYTES + len + SUM_BYTES)
		return 0;
	(void)crypto_generichash(sum, sizeof(sum), at, HEAD_BYTES + len, NULL, 0);
	if (memcmp(sum, at + HEAD_BYTES + len, sizeof(sum)) != 0)
		return 0;
	op = place(m, at);
	if (at[OP_ID_BYTES] == KIND_DONE)
		keep(op, OP_DONE, at + HEAD_BYTES, len);
	else if (op->found == OP_UNHEARD)
		op->found = OP_CUT;
	return HEAD_BYTES + len + SUM_BYTES;
}

static int write_all(int fd, const struct pm_buf *b, struct pm_error *err)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = write(fd, b->bytes + at, b->len - at);

		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "write");
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* What is remembered, in order, in a file that takes the place of the old one. */
static int write_anew(struct op_memory *m, struct pm_error *err)
{
	char temp[PM_PATH_MAX + 8];
	PM_CLOSE int fd = -1;
	PM_BUF all = { 0 };

	for (size_t i = 0; i < m->n; i++) {
		const struct op *op = &m->ops[(m->next + i) % PM_OPS_KEPT];

		put_record(&all, op->id, op->found == OP_DONE ? KIND_DONE : KIND_BEGUN, op->result,
		           op->len);
	}
	if (all.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	(void)snprintf(temp, sizeof(temp), "%s.new", m->path);
	(void)unlink(temp); /* of an attempt that was cut short */
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "%.200s", temp);
	if (write_all(fd, &all, err) < 0 || rename(temp, m->path) < 0) {
		(void)unlink(temp);
		return pm_fail(err, PM_FAILED, "%.200s could not be written", temp);
	}
	pm_closep(&m->fd);
	m->fd = PM_STEAL_FD(fd);
	m->size = all.len;
	return 0;
}

static int append(struct op_memory *m, const uint8_t *id, enum kind kind, const uint8_t *result,
                  size_t len, struct pm_error *err)
{
	PM_BUF record = { 0 };
	ssize_t n;

	if (m->size > PM_OPS_FILE_MAX && write_anew(m, err) < 0)
		return pm_wrap(err, "remember a command");
	put_record(&record, id, kind, result, len);
	if (record.failed)
		return pm_fail(err, PM_NO_MEMORY, "remember a command");
	do {
		n = write(m->fd, record.bytes, record.len);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)record.len) {
		m->size += record.len;
		return 0;
	}
	(void)pm_fail_errno(err, n < 0 ? errno : ENOSPC, "remember a command");
	if (n > 0 && ftruncate(m->fd, (off_t)m->size) < 0)
		m->size =
			PM_OPS_FILE_MAX + 1; /* half of a record hides what follows: written anew */
	return -1;
}

int op_memory_begin(struct op_memory *m, const uint8_t id[OP_ID_BYTES], struct pm_error *err)
{
	if (append(m, id, KIND_BEGUN, NULL, 0, err) < 0)
		return -1;
	keep(place(m, id), OP_BEGUN, NULL, 0);
	return 0;
}

int op_memory_done(struct op_memory *m, const uint8_t id[OP_ID_BYTES], const uint8_t *result,
                   size_t len, struct pm_error *err)
{
	keep(place(m, id), OP_DONE, result, len);
	return append(m, id, KIND_DONE, result, len, err);
}

/* ---- life ---- */

static int read_file(struct op_memory *m, struct pm_error *err)
{
	PM_FREE uint8_t *bytes = NULL;
	struct stat st;
	size_t len = 0, at = 0, one;
	ssize_t n = 1;

	if (fstat(m->fd, &st) < 0)
		return pm_fail_errno(err, errno, "look at it");
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return pm_fail(err, PM_DENIED, "it is not a file of ours");
	if (st.st_size > 2 * (off_t)PM_OPS_FILE_MAX)
		st.st_size = 2 * (off_t)PM_OPS_FILE_MAX; /* nothing of ours gets that large */
	bytes = pm_calloc((size_t)st.st_size + 1, 1);
	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	while (n > 0 && len < (size_t)st.st_size) {
		n = pread(m->fd, bytes + len, (size_t)st.st_size - len, (off_t)len);
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "read it");
		len += n > 0 ? (size_t)n : 0;
		n = n < 0 ? 1 : n;
	}
	while ((one = take_record(m, bytes + at, len - at)) != 0)
		at += one;
	m->size = at;
	if (at < (size_t)st.st_size) {
		pm_log(PM_LOG_WARN, "fleet.ops", "%zu bytes at the end are cut off",
		       (size_t)st.st_size - at);
		return write_anew(m, err);
	}
	return 0;
}

int op_memory_open(const char *home, struct op_memory **out, struct pm_error *err)
{
	struct op_memory *m = pm_calloc(1, sizeof(*m));

	if (m == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	m->fd = -1;
	if (pm_home_file(home, PM_HOME_OPS, m->path, sizeof(m->path), err) < 0)
		goto fail;
	/* Not blocking: a FIFO must not make us wait. */
	m->fd = open(m->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
	             0600);
	if (m->fd < 0) {
		(void)pm_fail_errno(err, errno, "open it");
		goto fail;
	}
	if (read_file(m, err) < 0)
		goto fail;
	*out = m;
	return 0;
fail:
	(void)pm_wrap(err, "%.180s", m->path);
	op_memory_close(m);
	return -1;
}

void op_memory_close(struct op_memory *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++)
		free(m->ops[i].result);
	pm_closep(&m->fd);
	free(m);
}
