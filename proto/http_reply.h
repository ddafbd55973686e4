/*
 * http_reply.h - reads the answer to one GET, as its bytes arrive.  Pure; the bytes are hostile.
 *
 * As much as a check needs: the status of the final answer, and whether its body holds a text. A
 * body is read only when there is one.
 *
 * source  RFC 9110 (15.2: 1xx), RFC 9112 (4, 6, 7.1)
 */
#ifndef PM_PROTO_HTTP_REPLY_H
#define PM_PROTO_HTTP_REPLY_H

#include <stdbool.h>

#include "proto/buf.h"

/* Status line and header fields together, over all interim answers: more is no answer. */
#define HTTP_HEAD_MAX 16384
/* Of a body, only so much is looked at. */
#define HTTP_BODY_MAX 65536
/* The text that is looked for. */
#define HTTP_NEEDLE_MAX 256
#define HTTP_LINE_MAX   256

enum http_verdict {
	HTTP_MORE, /* go on reading */
	HTTP_DONE, /* all that counts is known */
	HTTP_BAD,  /* this is no answer */
};

struct http_reply {
	enum http_part {
		HTTP_STATUS_LINE,
		HTTP_FIELDS,
		HTTP_BODY_LENGTH, /* left more bytes */
		HTTP_BODY_CLOSE,  /* up to the end of the connection */
		HTTP_CHUNK_SIZE,
		HTTP_CHUNK_DATA,
		HTTP_CHUNK_END,
		HTTP_ALL,
		HTTP_NONE,
	} part;
	int status; /* 0: not known yet */
	bool chunked, has_length, found;
	uint64_t left;
	size_t head, body;        /* bytes so far */
	char line[HTTP_LINE_MAX]; /* the start of the line that is being read */
	size_t line_len;
	const char *needle; /* borrowed; NULL: none */
	size_t needle_len;
	char tail[2 * HTTP_NEEDLE_MAX]; /* the last bytes of the body */
	size_t tail_len;
	struct pm_buf *keep; /* borrowed; where the body goes; NULL: nowhere */
};

/* needle: what the body must hold, under HTTP_NEEDLE_MAX bytes, borrowed; "": anything. */
void http_reply_init(struct http_reply *r, const char *needle);
/* Before any bytes: append the body to this, up to HTTP_BODY_MAX; borrowed until the verdict. */
void http_reply_keep(struct http_reply *r, struct pm_buf *body);
/* More bytes; what follows a verdict is ignored. */
enum http_verdict http_reply_feed(struct http_reply *r, const char *bytes, size_t len);
/* The connection has ended. */
enum http_verdict http_reply_end(struct http_reply *r);

/* Does the answer that is DONE pass: 2xx or 3xx, and the text was found? */
bool http_reply_passes(const struct http_reply *r);

#endif
