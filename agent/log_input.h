/* log_input.h - the bytes of one log file at any offset, plain, gzip or zstd. */
#ifndef PM_AGENT_LOG_INPUT_H
#define PM_AGENT_LOG_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "proto/base.h"

/* The most that one log_input_at() returns, and the size of its scratch. */
#define LOG_READ_MAX (128u * 1024)
/* Unpacked in one call; then others have their turn. */
#define LOG_UNPACK_MAX (1u << 20)

struct log_input;

/*
 * Open path, or its packed form path.gz or path.zst.
 *
 * returns    0 or an errno; *out is the caller's until log_input_close()
 */
PM_MUST_CHECK int log_input_open(const char *path, struct log_input **out);
void log_input_close(struct log_input *in); /* NULL is fine */

bool log_input_is_packed(const struct log_input *in);
/* Of the file as it lies on disk. */
int log_input_stat(const struct log_input *in, struct stat *st);
/* Tells it from every other file as long as the file system knows when it was made; else from those
 * that are there at the same time: an inode is used again as soon as it is free. */
uint64_t log_input_identity(const struct log_input *in);

/*
 * Bytes from offset on: LOG_READ_MAX of them unless the file's present end comes first.
 *
 * scratch    LOG_READ_MAX bytes, where they may be put
 * *bytes     valid until the next call for this input, or the scratch's next use
 * returns    their number, 0: the end; -1: errno, EAGAIN: call again, unpacking takes long
 *
 * A packed file is unpacked from its start; going back does so again.
 */
ssize_t log_input_at(struct log_input *in, uint64_t offset, char *scratch, const char **bytes);

#endif
