#include "proto/http_reply.h"

#include <string.h>
#include <strings.h>

void http_reply_init(struct http_reply *r, const char *needle)
{
	memset(r, 0, sizeof(*r));
	r->needle_len = needle == NULL ? 0 : strlen(needle);
	r->needle = r->needle_len > 0 && r->needle_len <= HTTP_NEEDLE_MAX ? needle : NULL;
}

void http_reply_keep(struct http_reply *r, struct pm_buf *body)
{
	r->keep = body;
}

/* ---- the head ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum http_part end_status_line(struct http_reply *r)
{
	const char *l = r->line;

	/* "HTTP/1.1 200 OK"; the phrase, and the blank before it, are often missing. */
	if (r->line_len < 12 || strncmp(l, "HTTP/1.", 7) != 0 || !is_digit(l[7]) || l[8] != ' ' ||
	    !is_digit(l[9]) || !is_digit(l[10]) || !is_digit(l[11]) ||
	    (r->line_len > 12 && l[12] != ' '))
		return HTTP_NONE;
	r->status = (l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0');
	r->chunked = r->has_length = false;
	return r->status < 100 ? HTTP_NONE : HTTP_FIELDS;
}

static bool parse_number(const char *s, unsigned base, uint64_t *out)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t value = 0;
	size_t n = 0;

	for (; *s != '\0'; s++, n++) {
		char c = *s >= 'A' && *s <= 'F' ? (char)(*s - 'A' + 'a') : *s;
		const char *at = strchr(digits, c);

		if (at == NULL || (unsigned)(at - digits) >= base)
			break;
		if (value > (UINT64_MAX >> 5))
			return false;
		value = value * base + (unsigned)(at - digits);
	}
	*out = value;
	return n > 0 && strchr(" \t;", *s) != NULL; /* strchr finds the end, too */
}

/* The value of a field, if the line is that field; NULL: another one. */
static const char *field(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static enum http_part body_part(struct http_reply *r)
{
	if ((r->needle == NULL && r->keep == NULL) || r->status == 204 || r->status == 304)
		return HTTP_ALL;
	if (r->chunked)
		return HTTP_CHUNK_SIZE;
	if (!r->has_length)
		return HTTP_BODY_CLOSE;
	return r->left > 0 ? HTTP_BODY_LENGTH : HTTP_ALL;
}

static enum http_part end_field(struct http_reply *r)
{
	const char *value;

	if (r->line_len == 0) {
		/* Others of 1xx announce the answer; 101 would be the last word of HTTP. */
		if (r->status < 200 && r->status != 101)
			return HTTP_STATUS_LINE;
		return body_part(r);
	}
	value = field(r->line, "Content-Length");
	if (value != NULL) {
		if (!parse_number(value, 10, &r->left))
			return HTTP_NONE;
		r->has_length = true;
	}
	value = field(r->line, "Transfer-Encoding");
	if (value != NULL && strcasestr(value, "chunked") != NULL)
		r->chunked = true;
	return HTTP_FIELDS;
}

static enum http_part end_chunk_size(struct http_reply *r)
{
	if (!parse_number(r->line, 16, &r->left))
		return HTTP_NONE;
	return r->left > 0 ? HTTP_CHUNK_DATA : HTTP_ALL; /* trailers tell nothing */
}

static enum http_part end_line(struct http_reply *r)
{
	enum http_part next = HTTP_NONE;

	while (r->line_len > 0 && r->line[r->line_len - 1] == '\r')
		r->line_len--;
	r->line[r->line_len] = '\0';
	if (strlen(r->line) != r->line_len)
		return HTTP_NONE; /* a NUL inside */
	if (r->part == HTTP_STATUS_LINE)
		next = end_status_line(r);
	else if (r->part == HTTP_FIELDS)
		next = end_field(r);
	else if (r->part == HTTP_CHUNK_SIZE)
		next = end_chunk_size(r);
	else if (r->line_len == 0) /* HTTP_CHUNK_END */
		next = HTTP_CHUNK_SIZE;
	r->line_len = 0;
	return next;
}

/* Of a long line the start is kept: all that is of interest is short. */
static void take_line_byte(struct http_reply *r, char c)
{
	if (++r->head > HTTP_HEAD_MAX)
		r->part = HTTP_NONE;
	else if (c == '\n')
		r->part = end_line(r);
	else if (r->line_len < sizeof(r->line) - 1)
		r->line[r->line_len++] = c;
	/* Before more is read in vain: this is some other protocol. */
	if (r->part == HTTP_STATUS_LINE && r->line_len > 0 && r->line_len <= 7 &&
	    strncmp(r->line, "HTTP/1.", r->line_len) != 0)
		r->part = HTTP_NONE;
}

/* ---- the body ---- */

static void take_body_byte(struct http_reply *r, char c)
{
	if (r->keep != NULL)
		pm_buf_char(r->keep, c);
	if (r->tail_len == sizeof(r->tail)) {
		r->tail_len = HTTP_NEEDLE_MAX - 1;
		memmove(r->tail, r->tail + sizeof(r->tail) - r->tail_len, r->tail_len);
	}
	r->tail[r->tail_len++] = c;
	if (r->needle != NULL && r->tail_len >= r->needle_len &&
	    memcmp(r->tail + r->tail_len - r->needle_len, r->needle, r->needle_len) == 0)
		r->found = true;
	if (r->found || ++r->body >= HTTP_BODY_MAX)
		r->part = HTTP_ALL;
}

static void take_byte(struct http_reply *r, char c)
{
	switch (r->part) {
	case HTTP_STATUS_LINE:
	case HTTP_FIELDS:
	case HTTP_CHUNK_SIZE:
	case HTTP_CHUNK_END:
		take_line_byte(r, c);
		break;
	case HTTP_BODY_CLOSE:
		take_body_byte(r, c);
		break;
	case HTTP_BODY_LENGTH:
	case HTTP_CHUNK_DATA:
		take_body_byte(r, c);
		if (--r->left == 0 && r->part != HTTP_ALL)
			r->part = r->part == HTTP_CHUNK_DATA ? HTTP_CHUNK_END : HTTP_ALL;
		break;
	case HTTP_ALL:
	case HTTP_NONE:
		break;
	}
}

static enum http_verdict verdict(const struct http_reply *r)
{
	return r->part == HTTP_ALL ? HTTP_DONE : r->part == HTTP_NONE ? HTTP_BAD : HTTP_MORE;
}

enum http_verdict http_reply_feed(struct http_reply *r, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && verdict(r) == HTTP_MORE; i++)
		take_byte(r, bytes[i]);
	return verdict(r);
}

enum http_verdict http_reply_end(struct http_reply *r)
{
	if (verdict(r) == HTTP_MORE)
		r->part = r->part == HTTP_BODY_CLOSE ? HTTP_ALL : HTTP_NONE;
	return verdict(r);
}

bool http_reply_passes(const struct http_reply *r)
{
	return r->part == HTTP_ALL && r->status >= 200 && r->status < 400 &&
	       (r->needle == NULL || r->found);
}
