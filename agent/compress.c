/*
 * compress.c - `pmd compress --gzip|--zstd FILE`: the helper that packs one rotated log file.
 *
 * FILE.gz appears whole or not at all, and FILE goes only after that. A process of its own, because
 * the supervisor's loop has better things to do; killed at any point, the next rotation begins
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "agent/agent.h"
#include "proto/error.h"
#include "proto/failpoint.h"
#include "proto/limits.h"

#define BLOCK (64u * 1024)

struct packer {
	int in, out;
	char in_bytes[BLOCK], out_bytes[BLOCK];
};

static int write_all(int fd, const char *bytes, size_t len, struct pm_error *err)
{
	return pm_write_all(fd, bytes, len) < 0 ? pm_fail_errno(err, errno, "write") : 0;
}

static ssize_t read_some(struct packer *p, struct pm_error *err)
{
	ssize_t n;

	do
		n = read(p->in, p->in_bytes, sizeof(p->in_bytes));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		(void)pm_fail_errno(err, errno, "read");
	return n;
}

static int pack_gzip(struct packer *p, struct pm_error *err)
{
	z_stream z = { 0 };
	ssize_t n;
	int rc = 0;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return pm_fail(err, PM_NO_MEMORY, "zlib");
	do {
		n = read_some(p, err);
		if (n < 0) {
			rc = -1;
			break;
		}
		z.next_in = (Bytef *)p->in_bytes;
		z.avail_in = (uInt)n;
		do {
			z.next_out = (Bytef *)p->out_bytes;
			z.avail_out = sizeof(p->out_bytes);
			(void)deflate(&z, n == 0 ? Z_FINISH : Z_NO_FLUSH); /* no state to err in */
			rc = write_all(p->out, p->out_bytes, sizeof(p->out_bytes) - z.avail_out,
			               err);
		} while (rc == 0 && z.avail_out == 0);
	} while (n > 0 && rc == 0);
	(void)deflateEnd(&z); /* complains of what was not flushed after a failure */
	return rc;
}

static int pack_zstd(struct packer *p, struct pm_error *err)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ssize_t n;
	size_t rest;
	int rc = 0;

	if (z == NULL)
		return pm_fail(err, PM_NO_MEMORY, "zstd");
	(void)ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1); /* known to every version */
	do {
		ZSTD_inBuffer in = { .src = p->in_bytes };

		n = read_some(p, err);
		if (n < 0) {
			rc = -1;
			break;
		}
		in.size = (size_t)n;
		do {
			ZSTD_outBuffer out = { .dst = p->out_bytes, .size = sizeof(p->out_bytes) };

			rest = ZSTD_compressStream2(z, &out, &in,
			                            n == 0 ? ZSTD_e_end : ZSTD_e_continue);
			if (ZSTD_isError(rest))
				rc = pm_fail(err, PM_INTERNAL, "zstd: %s", ZSTD_getErrorName(rest));
			else
				rc = write_all(p->out, p->out_bytes, out.pos, err);
		} while (rc == 0 && (n == 0 ? rest > 0 : in.pos < in.size));
	} while (n > 0 && rc == 0);
	(void)ZSTD_freeCCtx(z); /* always 0 */
	return rc;
}

/* The packed file belongs to whom the plain one did and sorts where that did. */
static int finish_file(const struct packer *p, const struct stat *st, struct pm_error *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (geteuid() == 0 && fchown(p->out, st->st_uid, st->st_gid) < 0)
		return pm_fail_errno(err, errno, "set the owner");
	if (futimens(p->out, times) < 0)
		return pm_fail_errno(err, errno, "set the time");
	if (fsync(p->out) < 0)
		return pm_fail_errno(err, errno, "flush");
	return 0;
}

static int pack(struct packer *p, const char *path, bool zstd, struct pm_error *err)
{
	char to[PM_PATH_MAX], tmp[PM_PATH_MAX];
	struct stat st;
	int n;

	(void)snprintf(to, sizeof(to), "%s.%s", path, zstd ? "zst" : "gz");
	n = snprintf(tmp, sizeof(tmp), "%s.tmp", to);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return pm_fail(err, PM_LIMIT, "path too long");
	p->in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (p->in < 0 || fstat(p->in, &st) < 0)
		return pm_fail_errno(err, errno, "open");
	if (!S_ISREG(st.st_mode))
		return pm_fail(err, PM_USAGE, "not a regular file");
	if (unlink(tmp) < 0 && errno != ENOENT)
		return pm_fail_errno(err, errno, "remove %s", tmp);
	p->out = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (p->out < 0)
		return pm_fail_errno(err, errno, "create %s", tmp);
	if ((zstd ? pack_zstd(p, err) : pack_gzip(p, err)) < 0 || finish_file(p, &st, err) < 0)
		goto fail;
	(void)PM_FAIL_POINT("compress.before_rename");
	if (rename(tmp, to) < 0) {
		(void)pm_fail_errno(err, errno, "rename %s", tmp);
		goto fail;
	}
	(void)PM_FAIL_POINT("compress.before_unlink");
	if (unlink(path) < 0 && errno != ENOENT)
		return pm_fail_errno(err, errno, "remove");
	return 0;
fail:
	(void)unlink(tmp); /* or the next rotation does */
	return -1;
}

int compress_main(int argc, char **argv)
{
	struct packer *p = NULL;
	struct pm_error err;
	bool zstd;
	int rc;

	zstd = argc == 3 && strcmp(argv[1], "--zstd") == 0;
	if (argc != 3 || (!zstd && strcmp(argv[1], "--gzip") != 0)) {
		(void)fputs("usage: pmd compress --gzip|--zstd FILE\n", stderr);
		return 2;
	}
	p = pm_calloc(1, sizeof(*p));
	if (p == NULL)
		return 1;
	p->in = p->out = -1;
	rc = pack(p, argv[2], zstd, &err);
	if (rc < 0)
		(void)fprintf(stderr, "pmd: compress %s: %s\n", argv[2], err.what);
	pm_closep(&p->in);
	pm_closep(&p->out);
	free(p);
	return rc < 0 ? 1 : 0;
}
