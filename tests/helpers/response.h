/*
 * response.h - reads one HTTP/1.x response from bytes as they come, for load.c.  Pure.
 *
 * Understands Content-Length, chunked, and a body that ends with the connection; keeps nothing of
 * it but who served it: the header X-Worker, or else the first number in the body.
 */
#ifndef PM_TESTS_HELPERS_RESPONSE_H
#define PM_TESTS_HELPERS_RESPONSE_H

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RESPONSE_HEAD_MAX 16384
#define RESPONSE_NAME_MAX 32

enum response_state {
	RESPONSE_HEAD,
	RESPONSE_LENGTH,     /* `left` bytes of the body */
	RESPONSE_CHUNK_SIZE, /* a line in hex */
	RESPONSE_CHUNK,      /* `left` bytes and their CRLF */
	RESPONSE_TRAILER,    /* lines up to an empty one */
	RESPONSE_TO_EOF,
	RESPONSE_DONE,
	RESPONSE_BAD, /* no HTTP */
};

struct response {
	enum response_state state;
	char head[RESPONSE_HEAD_MAX + 1]; /* then the line that a chunk begins with */
	size_t len;
	uint64_t left;
	int status;
	bool keep;                      /* the connection may be used again */
	char worker[RESPONSE_NAME_MAX]; /* "" when it does not say */
};

static inline void response_init(struct response *r)
{
	r->state = RESPONSE_HEAD;
	r->len = 0;
	r->worker[0] = '\0';
}

/* Has a byte of it come? */
static inline bool response_began(const struct response *r)
{
	return r->state != RESPONSE_HEAD || r->len > 0;
}

static inline void response_name(struct response *r, const char *from, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < sizeof(r->worker) - 1; i++)
		if (isalnum((unsigned char)from[i]) || strchr("-._:", from[i]) != NULL)
			r->worker[n++] = from[i];
	r->worker[n] = '\0';
}

/* The value of a header in a line, or NULL. */
static inline const char *response_value(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static inline void response_header(struct response *r, const char *line, bool *chunked, bool *sized)
{
	const char *value = response_value(line, "content-length");

	if (value != NULL) {
		*sized = true;
		r->left = strtoull(value, NULL, 10);
	}
	value = response_value(line, "transfer-encoding");
	*chunked |= value != NULL && strncasecmp(value, "chunked", 7) == 0;
	value = response_value(line, "connection");
	if (value != NULL)
		r->keep = strncasecmp(value, "close", 5) != 0 &&
		          (r->keep || strncasecmp(value, "keep-alive", 10) == 0);
	value = response_value(line, "x-worker");
	if (value != NULL)
		response_name(r, value, strlen(value));
}

/* The whole head is there. */
static inline void response_parse_head(struct response *r)
{
	bool chunked = false, sized = false;
	int minor = 0;

	r->left = 0;
	if (sscanf(r->head, "HTTP/1.%d %d", &minor, &r->status) != 2 || r->status < 100) {
		r->state = RESPONSE_BAD;
		return;
	}
	r->keep = minor >= 1;
	for (char *line = strstr(r->head, "\r\n"); line != NULL && line[2] != '\0';) {
		char *end = strstr(line + 2, "\r\n");

		if (end != NULL)
			*end = '\0';
		response_header(r, line + 2, &chunked, &sized);
		if (end != NULL)
			*end = '\r';
		line = end;
	}
	r->len = 0;
	if (r->status < 200)
		r->state = RESPONSE_HEAD; /* the real one follows */
	else if (r->status == 204 || r->status == 304)
		r->state = RESPONSE_DONE;
	else if (chunked)
		r->state = RESPONSE_CHUNK_SIZE;
	else if (sized)
		r->state = r->left > 0 ? RESPONSE_LENGTH : RESPONSE_DONE;
	else
		r->state = RESPONSE_TO_EOF;
	r->keep = r->keep && r->state != RESPONSE_TO_EOF;
}

static inline void response_body(struct response *r, const char *bytes, size_t len)
{
	size_t at = 0, n = 0;

	while (r->worker[0] == '\0' && at < len && !isdigit((unsigned char)bytes[at]))
		at++;
	while (at + n < len && isdigit((unsigned char)bytes[at + n]))
		n++;
	if (r->worker[0] == '\0')
		response_name(r, bytes + at, n);
}

/* A line of the chunked form has come. */
static inline void response_line(struct response *r)
{
	if (r->state == RESPONSE_TRAILER) {
		if (r->len == 0)
			r->state = RESPONSE_DONE;
	} else if (!isxdigit((unsigned char)r->head[0])) {
		r->state = RESPONSE_BAD;
	} else {
		r->left = strtoull(r->head, NULL, 16);
		r->state = r->left == 0 ? RESPONSE_TRAILER : RESPONSE_CHUNK;
		r->left += 2; /* their CRLF */
	}
	r->len = 0;
}

static inline size_t response_take_line(struct response *r, const char *bytes, size_t len)
{
	const char *end = memchr(bytes, '\n', len);
	size_t part = end == NULL ? len : (size_t)(end - bytes);

	if (r->len + part > 1024) {
		r->state = RESPONSE_BAD;
		return len;
	}
	memcpy(r->head + r->len, bytes, part);
	r->len += part;
	if (end == NULL)
		return len;
	if (r->len > 0 && r->head[r->len - 1] == '\r')
		r->len--;
	r->head[r->len] = '\0';
	response_line(r);
	return part + 1;
}

static inline size_t response_take_head(struct response *r, const char *bytes, size_t len)
{
	size_t old = r->len, part = len < RESPONSE_HEAD_MAX - old ? len : RESPONSE_HEAD_MAX - old;
	char *end;

	memcpy(r->head + old, bytes, part);
	r->len += part;
	r->head[r->len] = '\0';
	end = strstr(r->head, "\r\n\r\n");
	if (end == NULL) {
		if (r->len == RESPONSE_HEAD_MAX || strlen(r->head) < r->len)
			r->state = RESPONSE_BAD;
		return part;
	}
	end[2] = '\0';
	part = (size_t)(end + 4 - r->head) - old;
	response_parse_head(r);
	return part;
}

/* Take bytes; what comes behind the response is not looked at. */
static inline void response_feed(struct response *r, const char *bytes, size_t len)
{
	while (len > 0 && r->state < RESPONSE_DONE) {
		size_t used = len;

		if (r->state == RESPONSE_HEAD) {
			used = response_take_head(r, bytes, len);
		} else if (r->state == RESPONSE_CHUNK_SIZE || r->state == RESPONSE_TRAILER) {
			used = response_take_line(r, bytes, len);
		} else {
			response_body(r, bytes, len);
			if (r->state != RESPONSE_TO_EOF) {
				used = len < r->left ? len : (size_t)r->left;
				r->left -= used;
				if (r->left == 0)
					r->state = r->state == RESPONSE_CHUNK ? RESPONSE_CHUNK_SIZE
					                                      : RESPONSE_DONE;
			}
		}
		bytes += used;
		len -= used;
	}
}

/* The connection was closed: is the response whole? */
static inline bool response_end(struct response *r)
{
	if (r->state == RESPONSE_TO_EOF)
		r->state = RESPONSE_DONE;
	return r->state == RESPONSE_DONE;
}

#endif
