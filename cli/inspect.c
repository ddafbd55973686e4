#include "cli/inspect.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

/* util.inspect()'s defaults. */
#define BREAK_LENGTH   80
#define COMPACT        3
#define ARRAY_MAX      100
#define STRING_MAX     10000
#define STRING_MIN_CUT 16

struct entry {
	char *text;  /* owned */
	size_t len;  /* in UTF-16 units, as JavaScript counts */
	size_t cols; /* on a terminal */
	bool number; /* a bare number */
};

struct entries {
	struct entry *at; /* owned */
	size_t n, cap;
};

struct inspect {
	const char *s, *end;
	unsigned indent;
	unsigned depth;         /* of the value being printed */
	unsigned current_depth; /* of the object printed last */
	bool failed, no_memory;
};

static char *value_text(struct inspect *in, bool *number);

static void entries_finish(struct entries *es)
{
	for (size_t i = 0; i < es->n; i++)
		free(es->at[i].text);
	free(es->at);
}

/* Takes the text over, also when it fails. */
static void entries_take(struct inspect *in, struct entries *es, char *text, bool number)
{
	if (text == NULL || in->failed) {
		free(text);
		in->failed = true;
		return;
	}
	if (es->n == es->cap) {
		size_t cap = es->cap == 0 ? 16 : es->cap * 2;
		struct entry *at = pm_realloc(es->at, cap * sizeof(*at));

		if (at == NULL) {
			free(text);
			in->failed = in->no_memory = true;
			return;
		}
		es->at = at;
		es->cap = cap;
	}
	es->at[es->n++] = (struct entry){
		.text = text,
		.len = text_utf16_len(text, strlen(text)),
		.cols = text_width(text),
		.number = number,
	};
}

static char *take(struct inspect *in, struct pm_buf *b)
{
	char *text;

	if (b->bytes == NULL)
		pm_buf_str(b, "");
	text = pm_buf_take(b);
	if (text == NULL)
		in->failed = in->no_memory = true;
	return text;
}

static void skip_blanks(struct inspect *in)
{
	while (in->s < in->end && strchr(" \t\r\n", *in->s) != NULL && *in->s != '\0')
		in->s++;
}

static bool eat(struct inspect *in, char c)
{
	skip_blanks(in);
	if (in->s == in->end || *in->s != c)
		return false;
	in->s++;
	return true;
}

static void add_utf8(struct pm_buf *b, uint32_t c)
{
	if (c < 0x80) {
		pm_buf_char(b, (char)c);
	} else if (c < 0x800) {
		pm_buf_char(b, (char)(0xc0 | c >> 6));
		pm_buf_char(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		pm_buf_char(b, (char)(0xe0 | c >> 12));
		pm_buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
		pm_buf_char(b, (char)(0x80 | (c & 0x3f)));
	} else {
		pm_buf_char(b, (char)(0xf0 | c >> 18));
		pm_buf_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
		pm_buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
		pm_buf_char(b, (char)(0x80 | (c & 0x3f)));
	}
}

static bool hex4(struct inspect *in, uint32_t *out)
{
	uint32_t code = 0;

	if (in->end - in->s < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		char c = in->s[i] >= 'A' && in->s[i] <= 'F' ? (char)(in->s[i] + 32) : in->s[i];
		const char *at = c == '\0' ? NULL : strchr(digits, c);

		if (at == NULL)
			return false;
		code = code << 4 | (uint32_t)(at - digits);
	}
	in->s += 4;
	*out = code;
	return true;
}

/* After "\u". A pair of surrogates is one character; a lone one becomes U+FFFD. */
static bool unescape_u(struct inspect *in, struct pm_buf *out)
{
	uint32_t high, low;

	if (!hex4(in, &high))
		return false;
	if (high >= 0xd800 && high < 0xdc00 && in->end - in->s >= 6 && in->s[0] == '\\' &&
	    in->s[1] == 'u') {
		const char *back = in->s;

		in->s += 2;
		if (!hex4(in, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000)
			high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
		else
			in->s = back;
	}
	add_utf8(out, high >= 0xd800 && high < 0xe000 ? 0xfffd : high);
	return true;
}

/* The content of a JSON string; in->s stands behind its opening quote. May hold NUL. */
static bool string_bytes(struct inspect *in, struct pm_buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	pm_buf_str(out, "");
	while (in->s < in->end) {
		const char *at;
		char c = *in->s++;

		if (c == '"')
			return !out->failed;
		if (c != '\\') {
			if ((unsigned char)c < 0x20)
				return false;
			pm_buf_char(out, c);
			continue;
		}
		if (in->s == in->end)
			return false;
		c = *in->s++;
		if (c == 'u') {
			if (!unescape_u(in, out))
				return false;
			continue;
		}
		at = c == '\0' ? NULL : strchr(from, c);
		if (at == NULL)
			return false;
		pm_buf_char(out, to[at - from]);
	}
	return false;
}

/* One piece of text in quotes, as node chooses and escapes them. */
static void quote(const char *bytes, size_t len, struct pm_buf *out)
{
	char q = '\'';

	if (memchr(bytes, '\'', len) != NULL) {
		if (memchr(bytes, '"', len) == NULL)
			q = '"';
		else if (memchr(bytes, '`', len) == NULL && memmem(bytes, len, "${", 2) == NULL)
			q = '`';
	}
	pm_buf_char(out, q);
	for (size_t i = 0; i < len;) {
		static const char letters[] = {
			['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
		};
		uint32_t c;
		size_t n = text_decode(bytes + i, len - i, &c);

		if (c == (unsigned char)q && q == '\'')
			pm_buf_str(out, "\\'");
		else if (c == '\\')
			pm_buf_str(out, "\\\\");
		else if (c < sizeof(letters) && letters[c] != '\0')
			pm_buf_printf(out, "\\%c", letters[c]);
		else if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
			pm_buf_printf(out, "\\x%02X", c);
		else if (c == TEXT_BAD)
			pm_buf_str(out, "\xef\xbf\xbd");
		else
			pm_buf_add(out, bytes + i, n);
		i += n;
	}
	pm_buf_char(out, q);
}

/* Bytes of the first n UTF-16 units. */
static size_t units_to_bytes(const char *bytes, size_t len, size_t n)
{
	size_t i = 0;

	while (i < len && n > 0) {
		uint32_t c;
		size_t step = text_decode(bytes + i, len - i, &c);
		size_t units = c != TEXT_BAD && c > 0xffff ? 2 : 1;

		if (units > n)
			break;
		n -= units;
		i += step;
	}
	return i;
}

/* Long text is written line by line, joined by " +". */
static void lines(const struct inspect *in, const char *bytes, size_t len, struct pm_buf *out)
{
	while (len > 0) {
		const char *nl = memchr(bytes, '\n', len);
		size_t n = nl == NULL ? len : (size_t)(nl - bytes) + 1;

		quote(bytes, n, out);
		bytes += n;
		len -= n;
		if (len > 0) {
			pm_buf_str(out, " +\n");
			text_pad(out, in->indent + 2);
		}
	}
}

static char *string_text(struct inspect *in)
{
	PM_BUF bytes = { 0 };
	PM_BUF out = { 0 };
	size_t units, len, more = 0;

	if (!string_bytes(in, &bytes)) {
		in->failed = true;
		in->no_memory = bytes.failed;
		return NULL;
	}
	len = bytes.len;
	units = text_utf16_len(bytes.bytes, len);
	if (units > STRING_MAX) {
		len = units_to_bytes(bytes.bytes, len, STRING_MAX);
		more = units - text_utf16_len(bytes.bytes, len);
		units = STRING_MAX;
	}
	if (units > STRING_MIN_CUT && (int)units > BREAK_LENGTH - (int)in->indent - 4)
		lines(in, bytes.bytes, len, &out);
	else
		quote(bytes.bytes, len, &out);
	if (more > 0)
		pm_buf_printf(&out, "... %zu more character%s", more, more > 1 ? "s" : "");
	return take(in, &out);
}

/* A number, true, false or null: node prints them as we wrote them. */
static char *word_text(struct inspect *in, bool *number)
{
	static const char allowed[] = "+-.0123456789eE", *const words[] = { "true", "false",
		                                                            "null" };
	const char *from = in->s;
	char *text;

	while (in->s < in->end && *in->s != '\0' && strchr(allowed, *in->s) != NULL)
		in->s++;
	*number = in->s > from;
	for (size_t i = 0; !*number && i < PM_COUNT(words); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(in->end - from) >= len && memcmp(from, words[i], len) == 0)
			in->s = from + len;
	}
	if (in->s == from) {
		in->failed = true;
		return NULL;
	}
	text = pm_strndup(from, (size_t)(in->s - from));
	if (text == NULL)
		in->failed = in->no_memory = true;
	return text;
}

static bool is_bare_key(const char *key, size_t len)
{
	if (len == 0 || (key[0] >= '0' && key[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = key[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		      (c >= '0' && c <= '9')))
			return false;
	}
	return true;
}

static void add_key(const struct pm_buf *key, struct pm_buf *out)
{
	if (strcmp(key->bytes, "__proto__") == 0 && key->len == 9)
		pm_buf_str(out, "['__proto__']");
	else if (is_bare_key(key->bytes, key->len))
		pm_buf_add(out, key->bytes, key->len);
	else
		quote(key->bytes, key->len, out);
	pm_buf_str(out, ": ");
}

/* Whether all entries fit one line, in node's reckoning. */
static bool fits_one_line(const struct inspect *in, const struct entries *es)
{
	size_t start = es->n + in->indent + 1 + 0 + 10; /* one brace, no base, ten to spare */
	size_t total = es->n + start;

	if (total + es->n > BREAK_LENGTH)
		return false;
	for (size_t i = 0; i < es->n; i++) {
		total += es->at[i].len;
		if (total > BREAK_LENGTH || strchr(es->at[i].text, '\n') != NULL)
			return false;
	}
	return true;
}

static size_t group_columns(const struct inspect *in, const struct entries *es, size_t n)
{
	size_t total = 0, most = 0, actual, columns;
	double bias, biased;

	for (size_t i = 0; i < n; i++) {
		total += es->at[i].cols + 2;
		most = PM_MAX(most, es->at[i].cols);
	}
	actual = most + 2;
	if (actual * 3 + in->indent >= BREAK_LENGTH ||
	    ((double)total / (double)actual <= 5 && most > 6))
		return 0;
	bias = sqrt((double)actual - (double)total / (double)es->n);
	biased = PM_MAX((double)actual - 3 - bias, 1.0); /* 1 for a NaN, too */
	columns = (size_t)floor(sqrt(2.5 * biased * (double)n) / biased + 0.5);
	columns = PM_MIN(columns, (BREAK_LENGTH - in->indent) / actual);
	columns = PM_MIN(columns, (size_t)COMPACT * 4);
	return PM_MIN(columns, 15u);
}

/* Node writes more than six short elements of an array in aligned columns. */
static void group(struct inspect *in, struct entries *es, bool cut)
{
	size_t n = cut ? es->n - 1 : es->n, columns = group_columns(in, es, n);
	struct entries grouped = { 0 };
	bool numbers = true;

	if (columns <= 1)
		return;
	for (size_t i = 0; i < es->n; i++)
		numbers = numbers && es->at[i].number;
	for (size_t row = 0; row < n; row += columns) {
		PM_BUF out = { 0 };
		size_t last = PM_MIN(row + columns, n) - 1;

		for (size_t i = row; i <= last; i++) {
			size_t width = 0, len = es->at[i].cols + (i < last ? 2 : 0);

			for (size_t k = i - row; k < n; k += columns)
				width = PM_MAX(width, es->at[k].cols);
			width += i < last ? 2 : 0;
			if (numbers)
				text_pad(&out, (unsigned)(width - len));
			pm_buf_str(&out, es->at[i].text);
			if (i < last)
				pm_buf_str(&out, ", ");
			if (!numbers && i < last)
				text_pad(&out, (unsigned)(width - len));
		}
		entries_take(in, &grouped, take(in, &out), false);
	}
	if (cut) {
		entries_take(in, &grouped, es->at[n].text, false);
		es->n--;
	}
	entries_finish(es);
	*es = grouped;
}

static char *join(struct inspect *in, struct entries *es, const char *braces, bool is_array,
                  bool cut)
{
	PM_BUF out = { 0 };
	size_t n = es->n;
	bool one_line;

	if (n == 0) {
		pm_buf_add(&out, braces, 2);
		return take(in, &out);
	}
	if (is_array && n > 6)
		group(in, es, cut);
	one_line = in->current_depth - in->depth < COMPACT && es->n == n && fits_one_line(in, es);
	pm_buf_char(&out, braces[0]);
	for (size_t i = 0; i < es->n; i++) {
		pm_buf_str(&out, i == 0 ? "" : ",");
		if (one_line) {
			pm_buf_char(&out, ' ');
		} else {
			pm_buf_char(&out, '\n');
			text_pad(&out, in->indent + 2);
		}
		pm_buf_str(&out, es->at[i].text);
	}
	pm_buf_char(&out, one_line ? ' ' : '\n');
	text_pad(&out, one_line ? 0 : in->indent);
	pm_buf_char(&out, braces[1]);
	return take(in, &out);
}

static void array_entries(struct inspect *in, struct entries *es, bool *cut)
{
	bool more_numbers = false;
	size_t more = 0;

	if (eat(in, ']'))
		return;
	do {
		bool number = false;
		char *text;

		in->indent += 2;
		text = value_text(in, &number);
		in->indent -= 2;
		if (es->n < ARRAY_MAX) {
			entries_take(in, es, text, number);
		} else {
			in->failed = in->failed || text == NULL;
			free(text);
			more_numbers = more++ == 0 ? number : more_numbers;
		}
	} while (!in->failed && eat(in, ','));
	if (!eat(in, ']'))
		in->failed = true;
	if (more > 0) {
		PM_BUF out = { 0 };

		pm_buf_printf(&out, "... %zu more item%s", more, more > 1 ? "s" : "");
		entries_take(in, es, take(in, &out), more_numbers);
		*cut = true;
	}
}

static void object_entries(struct inspect *in, struct entries *es)
{
	if (eat(in, '}'))
		return;
	do {
		PM_BUF key = { 0 };
		PM_BUF out = { 0 };
		PM_FREE char *text = NULL;
		bool number = false;

		if (!eat(in, '"') || !string_bytes(in, &key) || !eat(in, ':')) {
			in->failed = true;
			in->no_memory = in->no_memory || key.failed;
			return;
		}
		add_key(&key, &out);
		in->indent += 2;
		text = value_text(in, &number);
		in->indent -= 2;
		if (text != NULL)
			pm_buf_str(&out, text);
		else
			in->failed = true;
		entries_take(in, es, take(in, &out), false);
	} while (!in->failed && eat(in, ','));
	if (!eat(in, '}'))
		in->failed = true;
}

static char *container_text(struct inspect *in, bool is_array)
{
	struct entries es = { 0 };
	bool cut = false;
	char *text = NULL;

	skip_blanks(in);
	if (in->s < in->end && *in->s != (is_array ? ']' : '}'))
		in->current_depth = in->depth; /* an empty one does not count */
	if (in->depth++ >= INSPECT_DEPTH_MAX)
		in->failed = true;
	else if (is_array)
		array_entries(in, &es, &cut);
	else
		object_entries(in, &es);
	in->depth--;
	if (!in->failed)
		text = join(in, &es, is_array ? "[]" : "{}", is_array, cut);
	entries_finish(&es);
	return text;
}

static char *value_text(struct inspect *in, bool *number)
{
	*number = false;
	if (eat(in, '{'))
		return container_text(in, false);
	if (eat(in, '['))
		return container_text(in, true);
	if (eat(in, '"'))
		return string_text(in);
	return word_text(in, number);
}

int inspect_json(const char *json, size_t len, struct pm_buf *out, struct pm_error *err)
{
	struct inspect in = { .s = json, .end = json + len };
	bool number = false;
	PM_FREE char *text = value_text(&in, &number);

	skip_blanks(&in);
	if (in.no_memory || (text == NULL && !in.failed))
		return pm_fail(err, PM_NO_MEMORY, "print a value");
	if (in.failed || text == NULL || in.s != in.end)
		return pm_fail(err, PM_CORRUPT, "print a value: it is not JSON");
	pm_buf_str(out, text);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "print a value") : 0;
}
