#include "agent/log_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>
#include <zlib.h>
#include <zstd.h>

#include "proto/limits.h"

#define IN_BLOCK (32u * 1024)
/* Frames that want more memory than this are not of our making. */
#define ZSTD_WINDOW_LOG_MAX 23

enum packing {
	PACKED_NOT,
	PACKED_GZIP,
	PACKED_ZSTD,
};

/* State of unpacking: `window` holds the plain bytes [at, at + len). */
struct unpacker {
	z_stream z;
	bool z_open;
	ZSTD_DCtx *zstd;
	char in[IN_BLOCK];
	size_t in_len, in_pos;
	bool ended; /* no more bytes in the file */
	uint64_t at;
	size_t len;
	char window[LOG_READ_MAX];
	/* Stays 0. Patterns stop at the end that they are given; AddressSanitizer's regexec() looks
	 * for a NUL all the same. */
	char end;
};

struct log_input {
	int fd;
	enum packing packing;
	struct unpacker *u; /* owned; NULL for plain files */
};

static int open_one(const char *path, int *fd)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return errno;
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	(void)close(*fd);
	return EINVAL;
}

int log_input_open(const char *path, struct log_input **out)
{
	static const char *const suffixes[] = { "", ".gz", ".zst" };
	struct log_input *in = pm_calloc(1, sizeof(*in));
	char name[PM_PATH_MAX];
	int rc = ENOMEM;

	if (in == NULL)
		return ENOMEM;
	for (unsigned i = 0; i < PM_COUNT(suffixes); i++) {
		int n = snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);

		rc = n > 0 && (size_t)n < sizeof(name) ? open_one(name, &in->fd) : ENAMETOOLONG;
		if (rc == ENOENT)
			continue;
		in->packing = (enum packing)i;
		break;
	}
	if (rc == 0 && in->packing != PACKED_NOT) {
		in->u = pm_calloc(1, sizeof(*in->u));
		if (in->u == NULL) {
			(void)close(in->fd);
			rc = ENOMEM;
		}
	}
	if (rc != 0) {
		free(in);
		return rc;
	}
	*out = in;
	return 0;
}

static void unpacker_stop(struct unpacker *u)
{
	if (u->z_open)
		(void)inflateEnd(&u->z); /* fails for a broken state only */
	u->z_open = false;
	(void)ZSTD_freeDCtx(u->zstd); /* NULL is fine; always 0 */
	u->zstd = NULL;
}

void log_input_close(struct log_input *in)
{
	if (in == NULL)
		return;
	if (in->u != NULL)
		unpacker_stop(in->u);
	free(in->u);
	(void)close(in->fd);
	free(in);
}

bool log_input_is_packed(const struct log_input *in)
{
	return in->packing != PACKED_NOT;
}

int log_input_stat(const struct log_input *in, struct stat *st)
{
	return fstat(in->fd, st);
}

uint64_t log_input_identity(const struct log_input *in)
{
	struct {
		uint64_t ino, made_s, made_ns;
	} what = { 0 };
	unsigned char hash[crypto_generichash_BYTES_MIN];
	struct statx st;
	uint64_t id;

	if (statx(in->fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) == 0) {
		what.ino = st.stx_ino;
		if ((st.stx_mask & STATX_BTIME) != 0) {
			what.made_s = (uint64_t)st.stx_btime.tv_sec;
			what.made_ns = st.stx_btime.tv_nsec;
		}
	}
	(void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)&what, sizeof(what),
	                         NULL, 0); /* cannot fail with a length in range */
	memcpy(&id, hash, sizeof(id));
	return id;
}

/* From the file's start. */
static int unpacker_start(struct log_input *in)
{
	struct unpacker *u = in->u;

	unpacker_stop(u);
	u->in_len = u->in_pos = u->len = 0;
	u->at = 0;
	u->ended = false;
	if (lseek(in->fd, 0, SEEK_SET) < 0)
		return errno;
	if (in->packing == PACKED_GZIP) {
		u->z = (z_stream){ 0 };
		if (inflateInit2(&u->z, 15 + 16) != Z_OK)
			return ENOMEM;
		u->z_open = true;
		return 0;
	}
	u->zstd = ZSTD_createDCtx();
	if (u->zstd == NULL)
		return ENOMEM;
	(void)ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax,
	                             ZSTD_WINDOW_LOG_MAX); /* in range */
	return 0;
}

static int refill(struct log_input *in)
{
	struct unpacker *u = in->u;
	ssize_t n;

	if (u->in_pos < u->in_len || u->ended)
		return 0;
	do
		n = read(in->fd, u->in, sizeof(u->in));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	u->in_len = (size_t)n;
	u->in_pos = 0;
	u->ended = n == 0;
	return 0;
}

/* Unpack into out; returns the bytes, 0: the end, -1: damaged. */
static ssize_t inflate_some(struct unpacker *u, char *out, size_t size)
{
	int rc;

	u->z.next_in = (Bytef *)u->in + u->in_pos;
	u->z.avail_in = (uInt)(u->in_len - u->in_pos);
	u->z.next_out = (Bytef *)out;
	u->z.avail_out = (uInt)size;
	rc = inflate(&u->z, Z_NO_FLUSH);
	u->in_pos = u->in_len - u->z.avail_in;
	if (rc == Z_STREAM_END)
		rc = inflateReset(&u->z); /* another member may follow */
	if (rc != Z_OK && rc != Z_BUF_ERROR)
		return -1;
	return (ssize_t)(size - u->z.avail_out);
}

static ssize_t zstd_some(struct unpacker *u, char *out, size_t size)
{
	ZSTD_inBuffer src = { .src = u->in, .size = u->in_len, .pos = u->in_pos };
	ZSTD_outBuffer dst = { .dst = out, .size = size };
	size_t rc = ZSTD_decompressStream(u->zstd, &dst, &src);

	u->in_pos = src.pos;
	return ZSTD_isError(rc) ? -1 : (ssize_t)dst.pos;
}

/* One block more at the window's end. 1: came; 0: the end; -1: errno. */
static int unpack_block(struct log_input *in)
{
	struct unpacker *u = in->u;
	char *out = u->window + u->len;
	size_t size = sizeof(u->window) - u->len;
	ssize_t n;
	int rc;

	do {
		rc = refill(in);
		if (rc != 0) {
			errno = rc;
			return -1;
		}
		n = in->packing == PACKED_GZIP ? inflate_some(u, out, size)
		                               : zstd_some(u, out, size);
		if (n < 0) { /* what came before the damage is good */
			u->in_pos = u->in_len;
			u->ended = true;
			return 0;
		}
	} while (n == 0 && !u->ended);
	u->len += (size_t)n;
	return n > 0;
}

static ssize_t unpack_at(struct log_input *in, uint64_t offset, const char **bytes)
{
	struct unpacker *u = in->u;
	size_t unpacked = 0;
	int rc;

	if ((!u->z_open && u->zstd == NULL) || offset < u->at) {
		rc = unpacker_start(in);
		if (rc != 0) {
			errno = rc;
			return -1;
		}
	}
	for (;;) {
		size_t gone = (size_t)PM_MIN(offset - u->at, u->len);

		memmove(u->window, u->window + gone, u->len - gone);
		u->len -= gone;
		u->at += gone;
		if (u->len == sizeof(u->window))
			break;
		if (unpacked >= LOG_UNPACK_MAX) {
			errno = EAGAIN;
			return -1;
		}
		unpacked += sizeof(u->window) - u->len;
		rc = unpack_block(in);
		if (rc < 0)
			return -1;
		if (rc == 0)
			break;
	}
	*bytes = u->window;
	return u->at == offset ? (ssize_t)u->len : 0;
}

ssize_t log_input_at(struct log_input *in, uint64_t offset, char *scratch, const char **bytes)
{
	size_t done = 0;
	ssize_t n;

	if (in->u != NULL)
		return unpack_at(in, offset, bytes);
	while (done < LOG_READ_MAX) {
		n = pread(in->fd, scratch + done, LOG_READ_MAX - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*bytes = scratch;
	return (ssize_t)done;
}
