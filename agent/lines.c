#include "agent/lines.h"

#include <inttypes.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/utf8.h"

static void put_prefix(const struct lines_style *style, struct pm_buf *out)
{
	if (style->prefix_len > 0)
		pm_buf_add(out, style->prefix, style->prefix_len);
}

/* Bytes of a JSON string that stand for themselves: 1; the rest is looked at one by one. */
static inline bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_escaped(char c, struct pm_buf *out)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";
	char text[6] = { '\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15] };
	size_t len = 6;

	for (size_t i = 0; i + 1 < sizeof(shorts); i += 2)
		if (shorts[i + 1] == c) {
			text[1] = shorts[i];
			len = 2;
		}
	pm_buf_add(out, text, len);
}

static void put_json_string(const char *s, size_t len, struct pm_buf *out)
{
	size_t i = 0, start;

	pm_buf_char(out, '"');
	while (i < len) {
		uint32_t cp;
		int n;

		for (start = i; i < len && is_plain((unsigned char)s[i]); i++)
			;
		pm_buf_add(out, s + start, i - start);
		if (i == len)
			break;
		n = pm_utf8_next(s + i, len - i, &cp);
		if (n < 0)
			pm_buf_add(out, "\xEF\xBF\xBD", 3);
		else if (n == 1)
			put_escaped(s[i], out);
		else
			pm_buf_add(out, s + i, (size_t)n);
		i += (size_t)(n < 0 ? -n : n);
	}
	pm_buf_char(out, '"');
}

/* What every record of one call ends with, but for "partial" and the brace. */
static void put_tail(const struct lines_style *style, struct pm_buf *tail)
{
	pm_buf_str(tail, ",\"timestamp\":");
	put_json_string(style->timestamp, strlen(style->timestamp), tail);
	pm_buf_str(tail, ",\"type\":");
	put_json_string(style->type, strlen(style->type), tail);
	pm_buf_printf(tail, ",\"process_id\":%" PRIu32 ",\"app_name\":", style->process_id);
	put_json_string(style->app_name, strlen(style->app_name), tail);
}

/* The way of one call. */
struct feed {
	struct lines *l;
	const struct lines_style *style;
	const struct pm_buf *tail; /* JSON */
	struct pm_buf *out;
};

static void put_piece(const struct feed *f, const char *s, size_t len, bool goes_on)
{
	if (f->style->format == LINES_JSON) {
		pm_buf_str(f->out, "{\"message\":");
		put_json_string(s, len, f->out);
		pm_buf_add(f->out, f->tail->bytes, f->tail->len);
		pm_buf_str(f->out, goes_on ? ",\"partial\":true}\n" : "}\n");
	} else {
		put_prefix(f->style, f->out);
		if (f->l->mid_line)
			pm_buf_str(f->out, LINES_MARK);
		pm_buf_add(f->out, s, len);
		pm_buf_char(f->out, '\n');
	}
	f->l->mid_line = goes_on;
}

/* One step of a file of whole lines; returns the bytes consumed, 0 when more have to come. */
static size_t step_whole(const struct feed *f, const char *in, size_t len, bool eof)
{
	const char *newline = memchr(in, '\n', PM_MIN(len, PM_LINE_MAX));
	size_t piece = len;

	if (newline != NULL) {
		piece = (size_t)(newline - in);
		put_piece(f, in, piece, false);
		return piece + 1;
	}
	if (len >= PM_LINE_MAX) {
		piece = f->style->format == LINES_JSON ? pm_utf8_whole(in, PM_LINE_MAX)
		                                       : PM_LINE_MAX;
		put_piece(f, in, piece, true);
		return piece;
	}
	if (!eof)
		return 0;
	put_piece(f, in, piece, false);
	return piece;
}

/* One step of a file of its own: up to and with the next newline, or all there is. */
static size_t step_stream(const struct feed *f, const char *in, size_t len)
{
	const char *newline;
	size_t piece = len;

	if (f->style->prefix_len == 0) { /* nothing to put anywhere: one copy */
		pm_buf_add(f->out, in, len);
		f->l->mid_line = in[len - 1] != '\n';
		return len;
	}
	newline = memchr(in, '\n', len);
	if (newline != NULL)
		piece = (size_t)(newline - in) + 1;
	if (!f->l->mid_line)
		put_prefix(f->style, f->out);
	pm_buf_add(f->out, in, piece);
	f->l->mid_line = newline == NULL;
	return piece;
}

static size_t feed(const struct feed *f, const char *in, size_t len, bool eof)
{
	const bool whole = f->style->shared || f->style->format == LINES_JSON;
	const size_t out_max = f->out->len + LINES_OUT_SOFT_MAX;
	size_t done = 0, n = 1;

	while (done < len && n > 0 && f->out->len < out_max && !f->out->failed) {
		n = whole ? step_whole(f, in + done, len - done, eof)
		          : step_stream(f, in + done, len - done);
		done += n;
	}
	/* A line that was cut right at its end: the last piece said that more follows. */
	if (done == len && eof && whole && f->l->mid_line)
		put_piece(f, "", 0, false);
	return done;
}

size_t lines_feed(struct lines *l, const struct lines_style *style, const char *in, size_t len,
                  bool eof, struct pm_buf *out)
{
	const struct lines before = *l;
	const size_t out_before = out->len;
	PM_BUF tail = { 0 };
	const struct feed f = { l, style, &tail, out };
	size_t done;

	if (style->format == LINES_JSON)
		put_tail(style, &tail);
	if (tail.failed)
		out->failed = true;
	done = feed(&f, in, len, eof);
	if (!out->failed)
		return done;
	*l = before;
	out->len = out_before;
	if (out->bytes != NULL)
		out->bytes[out->len] = '\0';
	return 0;
}
