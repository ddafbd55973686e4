/* lines.h - turns the bytes of one output stream into what its log file gets. Pure. */
#ifndef PM_AGENT_LINES_H
#define PM_AGENT_LINES_H

#include <stdbool.h>

#include "proto/base.h"

struct pm_buf;

/* Begins what continues a line that was cut at PM_LINE_MAX in a shared file. */
#define LINES_MARK "[line continues] "
/* lines_feed() returns early when one call has emitted this much: a byte of input may become a
 * hundred. */
#define LINES_OUT_SOFT_MAX (1u << 20)

enum lines_format {
	LINES_TEXT, /* bytes as they are, the prefix before each line */
	LINES_JSON, /* one record a line, with PM2's keys */
};

struct lines_style {
	enum lines_format format;
	/* TEXT: several streams write this file, so only whole lines go out. JSON always does so.
	 */
	bool shared;
	const char *prefix; /* borrowed; TEXT: may be NULL */
	size_t prefix_len;
	/* JSON; borrowed, escaped here */
	const char *timestamp;
	const char *type; /* "out", "err" */
	const char *app_name;
	uint32_t process_id;
};

/* Plain data without pointers: it lives in memory that our own restart does not touch. All zeroes
 * is the beginning of a stream. */
struct lines {
	bool mid_line; /* what was emitted last is the beginning of a line that goes on */
};

/*
 * Append to out what the file gets for the next bytes of the stream.
 *
 * in, len  what arrived and has not been consumed yet, oldest first
 * eof      nothing follows: an unfinished line goes out too
 * returns  how many bytes were consumed: exactly those whose output is in out. Offer the rest
 *          again, with what has arrived since; less than len was consumed when the rest is an
 *          unfinished line, or after LINES_OUT_SOFT_MAX of output (call again at once).
 * errors   out->failed: out, the state and the input are as before, and 0 is returned
 *
 * How the input is cut into calls never changes the output but for the prefix of each line, which
 * is the one given when its first byte was emitted.
 *
 * TEXT, own file  all is consumed at once. No line is ever cut and no newline invented: without the
 *                 prefixes the file is the stream, byte by byte. A stream that ends within a line
 *                 leaves mid_line set; keep the struct, and the next run goes on there.
 * TEXT, shared    an unfinished line waits for its newline, eof or PM_LINE_MAX bytes. A longer one
 *                 is cut in pieces, a line each, and those after the first begin with LINES_MARK:
 *                 without the prefixes and each "\n" LINES_MARK pair the lines are the stream's. At
 *                 eof a missing newline is added.
 * JSON            as shared; a piece that goes on in the next record has "partial":true, and pieces
 *                 are not cut within a UTF-8 sequence, so joined messages are the line. Invalid
 *                 UTF-8 becomes U+FFFD. Each record ends with a newline.
 */
size_t lines_feed(struct lines *l, const struct lines_style *style, const char *in, size_t len,
                  bool eof, struct pm_buf *out);

#endif
