#include "proto/envfile.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

struct reader {
	const char *p, *end;
	unsigned line;
	char *name, *value; /* room for the whole file each */
	size_t n;           /* bytes of value so far */
	struct pm_error *err;
};

static int fail(struct reader *r, unsigned line, const char *what)
{
	return pm_fail(r->err, PM_CONFIG, "line %u: %s", line, what);
}

static bool at(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static void skip_blanks(struct reader *r)
{
	while (at(r, ' ') || at(r, '\t') || at(r, '\r'))
		r->p++;
}

static void skip_line(struct reader *r)
{
	while (r->p < r->end && *r->p != '\n')
		r->p++;
}

static bool is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

/* NAME with the equals sign behind it. */
static int read_name(struct reader *r)
{
	size_t n = 0;

	while (r->p < r->end && is_name_byte(*r->p))
		r->name[n++] = *r->p++;
	r->name[n] = '\0';
	/* The word export alone is the start of a line, not a name. */
	if (strcmp(r->name, "export") == 0 && (at(r, ' ') || at(r, '\t'))) {
		skip_blanks(r);
		if (!at(r, '='))
			return read_name(r);
	}
	skip_blanks(r);
	if (n == 0 || isdigit((unsigned char)r->name[0]))
		return fail(r, r->line, "expected NAME=value");
	if (!at(r, '='))
		return fail(r, r->line, "'=' is missing after the name");
	r->p++;
	skip_blanks(r);
	return 0;
}

static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'r':
		return '\r';
	default:
		return c;
	}
}

static int read_quoted(struct reader *r)
{
	unsigned start = r->line;
	char quote = *r->p++;

	while (!at(r, quote)) {
		char c;

		if (r->p >= r->end)
			return fail(r, start, "the quote has no end");
		c = *r->p++;
		if (c == '\n')
			r->line++;
		if (quote == '"' && c == '\\' && r->p < r->end &&
		    strchr("nrt\"\\$`", *r->p) != NULL)
			c = unescape(*r->p++);
		r->value[r->n++] = c;
	}
	r->p++;
	skip_blanks(r);
	if (at(r, '#'))
		skip_line(r);
	if (r->p < r->end && *r->p != '\n')
		return fail(r, r->line, "text after the closing quote");
	return 0;
}

static void read_plain(struct reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p != '\n') {
		if (*r->p == '#' && (r->p == start || r->p[-1] == ' ' || r->p[-1] == '\t'))
			break;
		r->value[r->n++] = *r->p++;
	}
	while (r->n > 0 && strchr(" \t\r", r->value[r->n - 1]) != NULL)
		r->n--;
	skip_line(r);
}

static int read_all(struct reader *r, envfile_fn *fn, void *arg)
{
	for (; r->p < r->end; r->p += at(r, '\n'), r->line++) {
		skip_blanks(r);
		if (r->p >= r->end || *r->p == '\n')
			continue;
		if (*r->p == '#') {
			skip_line(r);
			continue;
		}
		r->n = 0;
		if (read_name(r) < 0)
			return -1;
		if (!at(r, '"') && !at(r, '\''))
			read_plain(r);
		else if (read_quoted(r) < 0)
			return -1;
		r->value[r->n] = '\0';
		if (fn(arg, r->name, r->value, r->err) < 0)
			return -1;
	}
	return 0;
}

int envfile_parse(const char *bytes, size_t len, envfile_fn *fn, void *arg, struct pm_error *err)
{
	struct reader r = { .p = bytes, .end = bytes + len, .line = 1, .err = err };
	int rc;

	if (len > PM_ENVFILE_MAX)
		return pm_fail(err, PM_LIMIT, "larger than %u bytes", PM_ENVFILE_MAX);
	if (memchr(bytes, '\0', len) != NULL)
		return pm_fail(err, PM_CONFIG, "a zero byte: not a text file");
	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		r.p += 3;
	r.name = pm_calloc(1, len + 1);
	r.value = pm_calloc(1, len + 1);
	rc = r.name == NULL || r.value == NULL ? pm_fail(err, PM_NO_MEMORY, "read an env_file")
	                                       : read_all(&r, fn, arg);
	if (r.value != NULL)
		explicit_bzero(r.value, len + 1); /* these are often secrets */
	free(r.value);
	free(r.name);
	return rc;
}
