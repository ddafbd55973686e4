#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config_parse.h"
#include "proto/limits.h"
#include "proto/utf8.h"

#define NUMBER_MAX 64

struct parser {
	const char *p, *end;
	const char *line_start;
	unsigned line;
	struct doc *doc;
	struct config_place *place;
	struct pm_error *err;
};

static unsigned column(const struct parser *s)
{
	return (unsigned)(s->p - s->line_start) + 1;
}

static int fail(struct parser *s, enum pm_code code, const char *what)
{
	s->place->line = s->line;
	s->place->column = column(s);
	return pm_fail(s->err, code, "%s", what);
}

static int fail_room(struct parser *s)
{
	return fail(s, doc_is_full(s->doc) ? PM_LIMIT : PM_NO_MEMORY, "too much for one file");
}

static char peek(const struct parser *s)
{
	return s->p < s->end ? *s->p : '\0';
}

static void newline(struct parser *s)
{
	s->line++;
	s->line_start = s->p;
}

static int skip_comment(struct parser *s)
{
	if (s->p[1] == '/') {
		while (s->p < s->end && *s->p != '\n')
			s->p++;
		return 0;
	}
	for (s->p += 2; s->end - s->p >= 2; s->p++) {
		if (s->p[0] == '*' && s->p[1] == '/') {
			s->p += 2;
			return 0;
		}
		if (*s->p == '\n') {
			s->p++;
			newline(s);
			s->p--;
		}
	}
	return fail(s, PM_CONFIG, "the comment has no end");
}

static int skip_space(struct parser *s)
{
	while (s->p < s->end) {
		if (*s->p == '\n') {
			s->p++;
			newline(s);
		} else if (strchr(" \t\r\v\f", *s->p) != NULL && *s->p != '\0') {
			s->p++;
		} else if (s->end - s->p >= 3 && memcmp(s->p, "\xef\xbb\xbf", 3) == 0) {
			s->p += 3;
		} else if (s->end - s->p >= 2 && s->p[0] == '/' &&
		           (s->p[1] == '/' || s->p[1] == '*')) {
			if (skip_comment(s) < 0)
				return -1;
		} else {
			break;
		}
	}
	return 0;
}

/* n hexadecimal digits at p; -1 if they are not all there. */
static int32_t hex(const char *p, const char *end, int n)
{
	int32_t value = 0;

	if (end - p < n)
		return -1;
	for (int i = 0; i < n; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return -1;
		value = value * 16 +
		        (isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	}
	return value;
}

/* \uXXXX, with its other half when it is a surrogate; s->p is behind the u. */
static int escape_unicode(struct parser *s, struct pm_buf *out)
{
	int32_t cp = hex(s->p, s->end, 4);
	char utf8[4];

	if (cp >= 0xd800 && cp < 0xdc00 && s->end - s->p >= 10 && s->p[4] == '\\' &&
	    s->p[5] == 'u') {
		int32_t low = hex(s->p + 6, s->end, 4);

		if (low >= 0xdc00 && low < 0xe000) {
			cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
			s->p += 6;
		}
	}
	if (cp <= 0 || (cp >= 0xd800 && cp < 0xe000))
		return fail(s, PM_CONFIG, "not a character of Unicode, or a zero byte");
	s->p += 4;
	pm_buf_add(out, utf8, (size_t)pm_utf8_put(utf8, (uint32_t)cp));
	return 0;
}

static int escape(struct parser *s, struct pm_buf *out)
{
	static const char from[] = "bfnrtv", to[] = "\b\f\n\r\t\v";
	const char *known;
	int32_t byte;
	char utf8[4];
	char c = peek(s);

	if (s->p >= s->end)
		return fail(s, PM_CONFIG, "the text has no end");
	s->p++;
	known = c != '\0' ? strchr(from, c) : NULL;
	if (known != NULL) {
		pm_buf_char(out, to[known - from]);
	} else if (c == 'u') {
		return escape_unicode(s, out);
	} else if (c == 'x') {
		byte = hex(s->p, s->end, 2);
		if (byte <= 0)
			return fail(s, PM_CONFIG, "expected two hexadecimal digits, not 00");
		s->p += 2;
		pm_buf_add(out, utf8, (size_t)pm_utf8_put(utf8, (uint32_t)byte));
	} else if (c == '\r' || c == '\n') {
		/* An escaped line end joins the lines. */
		if (c == '\r' && peek(s) == '\n')
			s->p++;
		newline(s);
	} else if (c == '0') {
		return fail(s, PM_CONFIG, "a text cannot hold a zero byte");
	} else {
		pm_buf_char(out, c);
	}
	return 0;
}

static int parse_string(struct parser *s, const char **text)
{
	PM_BUF out = { 0 };
	char quote = *s->p++;

	while (peek(s) != quote || s->p >= s->end) {
		if (s->p >= s->end || *s->p == '\n')
			return fail(s, PM_CONFIG, "the text has no end");
		if (*s->p == '\0')
			return fail(s, PM_CONFIG, "a text cannot hold a zero byte");
		if (*s->p == '\\') {
			s->p++;
			if (escape(s, &out) < 0)
				return -1;
		} else {
			pm_buf_char(&out, *s->p++);
		}
	}
	s->p++;
	*text = out.failed ? NULL : doc_text(s->doc, out.bytes, out.len);
	return *text == NULL ? fail_room(s) : 0;
}

static bool is_identifier(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* The identifier at p: its length, 0 if there is none. */
static size_t identifier(const struct parser *s)
{
	const char *p = s->p;

	if (p < s->end && isdigit((unsigned char)*p))
		return 0;
	while (p < s->end && is_identifier(*p))
		p++;
	return (size_t)(p - s->p);
}

static int parse_number(struct parser *s, struct doc_node *node)
{
	char text[NUMBER_MAX];
	size_t len = 0;
	bool minus = *s->p == '-';
	char *end;

	if (*s->p == '-' || *s->p == '+')
		s->p++;
	if ((size_t)(s->end - s->p) >= 8 && memcmp(s->p, "Infinity", 8) == 0) {
		s->p += 8;
		node->number = minus ? -__builtin_inf() : __builtin_inf();
		return 0;
	}
	while (s->p + len < s->end && len < sizeof(text) - 1 &&
	       (isalnum((unsigned char)s->p[len]) || s->p[len] == '.' || s->p[len] == '_' ||
	        ((s->p[len] == '-' || s->p[len] == '+') && len > 0 && (s->p[len - 1] | 32) == 'e' &&
	         (s->p[1] | 32) != 'x')))
		len++;
	memcpy(text, s->p, len);
	text[len] = '\0';
	if (len > 2 && text[0] == '0' && ((text[1] | 32) == 'o' || (text[1] | 32) == 'b'))
		node->number = (double)strtoull(text + 2, &end, (text[1] | 32) == 'o' ? 8 : 2);
	else if (len > 2 && text[0] == '0' && (text[1] | 32) == 'x')
		node->number = (double)strtoull(text + 2, &end, 16);
	else if (isdigit((unsigned char)text[0]) || (text[0] == '.' && len > 1))
		node->number = strtod(text, &end);
	else
		return fail(s, PM_CONFIG, "expected a number");
	/* 1_000 is JavaScript of ES2021, and so is node's to read. */
	if (*end != '\0')
		return fail(s, *end == '_' || *end == 'n' ? PM_UNSUPPORTED : PM_CONFIG,
		            "expected a number");
	if (minus)
		node->number = -node->number;
	s->p += len;
	return 0;
}

static bool is_word(const struct parser *s, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(s->p, word, len) == 0;
}

static int parse_word(struct parser *s, struct doc_node *node)
{
	size_t len = identifier(s);

	if (is_word(s, len, "true") || is_word(s, len, "false")) {
		node->type = DOC_BOOL;
		node->truth = len == 4;
	} else if (is_word(s, len, "NaN") || is_word(s, len, "Infinity")) {
		node->type = DOC_NUMBER;
		node->number = len == 3 ? __builtin_nan("") : __builtin_inf();
	} else if (!is_word(s, len, "null") && !is_word(s, len, "undefined")) {
		/* A name, a call, `new`, a function: only JavaScript knows. */
		return fail(s, PM_UNSUPPORTED, "a value that only JavaScript can evaluate");
	}
	s->p += len;
	return 0;
}

static int parse_value(struct parser *s, unsigned depth, struct doc_node **out);

/* What may follow a value: a separator, the end, or else JavaScript goes on. */
static int after_value(struct parser *s, char close, bool *more)
{
	if (skip_space(s) < 0)
		return -1;
	*more = peek(s) == ',';
	if (*more) {
		s->p++;
		return skip_space(s);
	}
	if (peek(s) == close && s->p < s->end)
		return 0;
	if (s->p >= s->end)
		return fail(s, PM_CONFIG, close == '}' ? "'}' is missing" : "']' is missing");
	if (strchr("+-*/.(?|&<>=%!^", *s->p) != NULL && *s->p != '\0')
		return fail(s, PM_UNSUPPORTED, "an expression that only JavaScript can evaluate");
	return fail(s, PM_CONFIG, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
}

static int parse_key(struct parser *s, const char **name, struct config_place *at)
{
	size_t len;

	at->line = s->line;
	at->column = column(s);
	if (peek(s) == '"' || peek(s) == '\'') {
		if (parse_string(s, name) < 0)
			return -1;
	} else {
		/* Numbers are keys too. */
		for (len = 0; s->p + len < s->end && is_identifier(s->p[len]);)
			len++;
		if (len == 0 && (peek(s) == '[' || peek(s) == '.'))
			return fail(s, PM_UNSUPPORTED, "a key that only JavaScript can evaluate");
		if (len == 0)
			return fail(s, PM_CONFIG, "expected a key");
		*name = doc_text(s->doc, s->p, len);
		if (*name == NULL)
			return fail_room(s);
		s->p += len;
	}
	if (skip_space(s) < 0)
		return -1;
	if (s->p < s->end && (*s->p == '(' || *s->p == ',' || *s->p == '}'))
		return fail(s, PM_UNSUPPORTED, "a key that only JavaScript can evaluate");
	if (peek(s) != ':')
		return fail(s, PM_CONFIG, "expected ':' after the key");
	s->p++;
	return skip_space(s);
}

static int parse_items(struct parser *s, unsigned depth, struct doc_node *parent)
{
	char close = parent->type == DOC_MAP ? '}' : ']';
	bool more = true;

	s->p++;
	if (skip_space(s) < 0)
		return -1;
	while (more && (s->p >= s->end || *s->p != close)) {
		struct config_place at = { 0 };
		struct doc_node *child = NULL;
		const char *name = NULL;

		if (s->p >= s->end)
			return fail(s, PM_CONFIG,
			            close == '}' ? "'}' is missing" : "']' is missing");
		if (parent->type == DOC_MAP && parent->n >= PM_CONFIG_KEYS_MAX)
			return fail(s, PM_LIMIT, "too many keys in one object");
		if (parent->type == DOC_MAP && parse_key(s, &name, &at) < 0)
			return -1;
		if (parse_value(s, depth + 1, &child) < 0)
			return -1;
		child->name = name;
		child->name_line = at.line;
		child->name_column = at.column;
		doc_append(parent, child);
		if (after_value(s, close, &more) < 0)
			return -1;
	}
	s->p++;
	return 0;
}

static int parse_value(struct parser *s, unsigned depth, struct doc_node **out)
{
	struct doc_node *node = doc_node(s->doc, DOC_NULL, s->line, column(s));
	char c = peek(s);

	if (node == NULL)
		return fail_room(s);
	*out = node;
	if (depth > PM_CONFIG_DEPTH_MAX)
		return fail(s, PM_LIMIT, "nested too deeply");
	if (s->p >= s->end)
		return fail(s, PM_CONFIG, "a value is missing");
	if (c == '{' || c == '[') {
		node->type = c == '{' ? DOC_MAP : DOC_LIST;
		return parse_items(s, depth, node);
	}
	if (c == '"' || c == '\'') {
		node->type = DOC_TEXT;
		return parse_string(s, &node->text);
	}
	if (isdigit((unsigned char)c) || c == '-' || c == '+' || c == '.') {
		if (s->end - s->p >= 3 && memcmp(s->p, "...", 3) == 0)
			return fail(s, PM_UNSUPPORTED, "a list that only JavaScript can evaluate");
		node->type = DOC_NUMBER;
		return parse_number(s, node);
	}
	if (identifier(s) > 0)
		return parse_word(s, node);
	if (c != '\0' && strchr("`(!/~", c) != NULL)
		return fail(s, PM_UNSUPPORTED, "a value that only JavaScript can evaluate");
	return fail(s, PM_CONFIG, "expected a value");
}

int config_parse_json(const char *bytes, size_t len, struct doc *doc, const struct doc_node **root,
                      struct config_place *place, struct pm_error *err)
{
	struct parser s = { .p = bytes,
		            .end = bytes + len,
		            .line_start = bytes,
		            .line = 1,
		            .doc = doc,
		            .place = place,
		            .err = err };
	struct doc_node *node = NULL;

	if (skip_space(&s) < 0 || parse_value(&s, 0, &node) < 0 || skip_space(&s) < 0)
		return -1;
	if (s.p < s.end)
		return fail(&s, PM_CONFIG, "text after the end of the value");
	*root = node;
	return 0;
}
