#include "cli/json_out.h"

#include <string.h>

#include "cli/text.h"

void json_init(struct json_out *j, struct pm_buf *buf)
{
	*j = (struct json_out){ .buf = buf };
}

static void before_value(struct json_out *j)
{
	if (j->comma)
		pm_buf_char(j->buf, ',');
	j->comma = true;
}

static void begin(struct json_out *j, char bracket)
{
	before_value(j);
	pm_buf_char(j->buf, bracket);
	j->comma = false;
}

static void end(struct json_out *j, char bracket)
{
	pm_buf_char(j->buf, bracket);
	j->comma = true;
}

void json_begin_object(struct json_out *j)
{
	begin(j, '{');
}

void json_end_object(struct json_out *j)
{
	end(j, '}');
}

void json_begin_array(struct json_out *j)
{
	begin(j, '[');
}

void json_end_array(struct json_out *j)
{
	end(j, ']');
}

static void escape(struct pm_buf *b, unsigned char c)
{
	static const char letters[] = { [8] = 'b', [9] = 't', [10] = 'n', [12] = 'f', [13] = 'r' };

	pm_buf_char(b, '\\');
	if (c == '"' || c == '\\')
		pm_buf_char(b, (char)c);
	else if (c < sizeof(letters) && letters[c] != '\0')
		pm_buf_char(b, letters[c]);
	else
		pm_buf_printf(b, "u%04x", c);
}

/* Of eight bytes: is any a control character, a quote, a backslash, DEL, or beyond ASCII? */
static bool any_special(uint64_t x)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	uint64_t quote = x ^ ones * '"', back = x ^ ones * '\\', del = x ^ ones * 0x7f;

	/* A byte below n shows at its top bit in (x - n) & ~x; false alarms only cost time. */
	return ((x | (x - ones * 0x20) | (quote - ones) | (back - ones) | (del - ones)) & tops) !=
	       0;
}

/* How many bytes stay as they are, or a few less. */
static size_t plain_run(const char *s, size_t len)
{
	size_t i = 0;

	for (uint64_t x; i + sizeof(x) <= len; i += sizeof(x)) {
		memcpy(&x, s + i, sizeof(x));
		if (any_special(x))
			break;
	}
	for (; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			break;
	}
	return i;
}

/* Text between quotes, with a comma before and a colon behind it where they belong. */
static bool quoted_plain(struct pm_buf *b, bool comma, const char *bytes, size_t len, bool colon)
{
	char *at;

	if (plain_run(bytes, len) != len)
		return false;
	at = (char *)pm_buf_extend(b, len + 2 + comma + colon);
	if (at == NULL)
		return true; /* the buffer says so */
	if (comma)
		*at++ = ',';
	*at++ = '"';
	memcpy(at, bytes, len);
	at[len] = '"';
	if (colon)
		at[len + 1] = ':';
	return true;
}

/* Whole runs are copied at once: a list of a thousand apps is a few megabytes of text. */
static void quoted(struct pm_buf *b, const char *bytes, size_t len)
{
	const unsigned char *s = (const unsigned char *)bytes;
	size_t from = 0, i = 0;

	pm_buf_char(b, '"');
	while (i < len) {
		size_t n = 1;

		if (s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\') {
			i++;
			continue;
		}
		if (s[i] >= 0x80) {
			uint32_t code;

			n = text_decode(bytes + i, len - i, &code);
			if (code != TEXT_BAD) {
				i += n;
				continue;
			}
		}
		pm_buf_add(b, bytes + from, i - from);
		if (s[i] >= 0x80)
			pm_buf_str(b, "\xef\xbf\xbd");
		else if (s[i] == 0x7f)
			pm_buf_char(b, 0x7f);
		else
			escape(b, s[i]);
		i += n;
		from = i;
	}
	pm_buf_add(b, bytes + from, len - from);
	pm_buf_char(b, '"');
}

void json_key(struct json_out *j, const char *key)
{
	size_t len = strlen(key);

	if (!quoted_plain(j->buf, j->comma, key, len, true)) {
		before_value(j);
		quoted(j->buf, key, len);
		pm_buf_char(j->buf, ':');
	}
	j->comma = false;
}

void json_strn(struct json_out *j, const char *bytes, size_t len)
{
	if (!quoted_plain(j->buf, j->comma, bytes, len, false)) {
		before_value(j);
		quoted(j->buf, bytes, len);
	}
	j->comma = true;
}

void json_str(struct json_out *j, const char *s)
{
	if (s == NULL)
		json_nil(j);
	else
		json_strn(j, s, strlen(s));
}

void json_uint(struct json_out *j, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	before_value(j);
	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	pm_buf_add(j->buf, digits + at, sizeof(digits) - at);
}

void json_int(struct json_out *j, int64_t n)
{
	if (n >= 0) {
		json_uint(j, (uint64_t)n);
		return;
	}
	before_value(j);
	pm_buf_char(j->buf, '-');
	j->comma = false;
	json_uint(j, -(uint64_t)n);
}

void json_bool(struct json_out *j, bool on)
{
	json_raw(j, on ? "true" : "false");
}

void json_nil(struct json_out *j)
{
	json_raw(j, "null");
}

void json_tenths(struct json_out *j, uint64_t tenths)
{
	json_uint(j, tenths / 10);
	if (tenths % 10 != 0)
		pm_buf_printf(j->buf, ".%u", (unsigned)(tenths % 10));
}

void json_raw(struct json_out *j, const char *json)
{
	before_value(j);
	pm_buf_str(j->buf, json);
}

void json_kstr(struct json_out *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_kint(struct json_out *j, const char *key, int64_t n)
{
	json_key(j, key);
	json_int(j, n);
}

void json_kuint(struct json_out *j, const char *key, uint64_t n)
{
	json_key(j, key);
	json_uint(j, n);
}

void json_kbool(struct json_out *j, const char *key, bool on)
{
	json_key(j, key);
	json_bool(j, on);
}

void json_knull(struct json_out *j, const char *key)
{
	json_key(j, key);
	json_nil(j);
}

static void new_line(struct pm_buf *out, size_t depth)
{
	pm_buf_char(out, '\n');
	while (depth-- > 0)
		pm_buf_str(out, "  ");
}

void json_indent(const char *json, size_t len, struct pm_buf *out)
{
	size_t depth = 0;
	bool text = false;

	for (size_t i = 0; i < len; i++) {
		char c = json[i];

		if (text) {
			pm_buf_char(out, c);
			if (c == '\\' && i + 1 < len)
				pm_buf_char(out, json[++i]);
			text = c != '"';
		} else if ((c == '{' || c == '[') && i + 1 < len && json[i + 1] == c + 2) {
			pm_buf_char(out, c); /* an empty one stays on its line */
			pm_buf_char(out, json[++i]);
		} else {
			if ((c == '}' || c == ']') && depth > 0)
				new_line(out, --depth);
			pm_buf_char(out, c);
			if (c == '{' || c == '[')
				new_line(out, ++depth);
			else if (c == ',')
				new_line(out, depth);
			else if (c == ':')
				pm_buf_char(out, ' ');
			text = c == '"';
		}
	}
}
