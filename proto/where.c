#include "proto/where.h"

#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"
#include "proto/labels.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "proto/regex.h"
#include "proto/scan.h"

const char *const where_host_fields[] = { "name", "state",  "version", "os",      "kernel",
	                                  "arch", "cpus",   "memory",  "load",    "apps",
	                                  "up",   "uptime", "address", "drained", NULL };
const char *const where_app_fields[] = { "state",     "version", "instances", "up",
	                                 "restarts",  "cpu",     "memory",    "uptime",
	                                 "namespace", "mode",    NULL };

enum kind {
	NODE_OR,
	NODE_AND,
	NODE_NOT,
	NODE_HAS,
	NODE_EQ,
	NODE_NE,
	NODE_LT,
	NODE_LE,
	NODE_GT,
	NODE_GE,
	NODE_REGEX,
	NODE_IN,
};

struct node {
	enum kind kind;
	uint16_t left, right;   /* NODE_OR, NODE_AND, NODE_NOT (left) */
	struct where_path path; /* the rest; borrowed from the words */
	const char *value;      /* borrowed; NODE_IN: NUL after each, one more after the last */
	regex_t regex;          /* NODE_REGEX: owned */
	bool compiled;
};

struct where {
	struct node *nodes; /* owned */
	size_t n;
	uint16_t root;
	char *words; /* owned: the texts of the nodes */
};

struct reader {
	struct pm_scan scan;
	struct where *w;
	unsigned depth;
};

void where_destroy(struct where *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; w->nodes != NULL && i < w->n; i++)
		if (w->nodes[i].compiled)
			regfree(&w->nodes[i].regex);
	free(w->nodes);
	free(w->words);
	free(w);
}

void where_destroyp(struct where **w)
{
	where_destroy(*w);
}

/* ---- words ---- */

static size_t word_len(const char *s)
{
	return strcspn(s, " \t\n()=!<>~,\"'");
}

static bool take_word(struct reader *r, const char *expected)
{
	size_t len = strlen(expected);

	pm_scan_blanks(&r->scan);
	if (word_len(r->scan.at) != len || memcmp(r->scan.at, expected, len) != 0)
		return false;
	r->scan.at += len;
	return true;
}

/* "text" or 'text'; a backslash makes the next byte mean itself. NULL: it does not end. */
static const char *quoted(struct reader *r)
{
	char *start = r->scan.to, quote = *r->scan.at;
	const char *s = r->scan.at + 1;

	for (; *s != quote; s++) {
		if (*s == '\\' && s[1] != '\0')
			s++;
		if (*s == '\0') {
			(void)pm_scan_bad(&r->scan, "a closing quote after this one");
			return NULL;
		}
		*r->scan.to++ = *s;
	}
	*r->scan.to++ = '\0';
	r->scan.at = s + 1;
	return start;
}

static const char *read_value(struct reader *r)
{
	const char *value;
	size_t len;

	pm_scan_blanks(&r->scan);
	if (*r->scan.at == '"' || *r->scan.at == '\'')
		return quoted(r);
	len = word_len(r->scan.at);
	if (len == 0) {
		(void)pm_scan_bad(&r->scan, "a value");
		return NULL;
	}
	value = pm_scan_keep(&r->scan, r->scan.at, len);
	r->scan.at += len;
	return value;
}

/* ---- paths ---- */

static int known_field(struct reader *r, const char *const *fields, const char *field)
{
	struct nearest near;

	nearest_init(&near, field);
	for (size_t i = 0; fields[i] != NULL; i++) {
		if (strcmp(fields[i], field) == 0)
			return 0;
		nearest_offer(&near, fields[i]);
	}
	(void)pm_fail(r->scan.err, PM_USAGE, "--where, at %zu: no field %.40s",
	              (size_t)(r->scan.at - r->scan.text) + 1, field);
	if (nearest_found(&near))
		pm_hint(r->scan.err, "did you mean %s?", near.best);
	return -1;
}

static bool take_root(struct reader *r, enum where_root *out)
{
	static const struct {
		const char *word;
		enum where_root root;
	} roots[] = { { "host.", WHERE_HOST },
		      { "label.", WHERE_LABEL },
		      { "claimed.", WHERE_CLAIMED },
		      { "app.", WHERE_APP } };

	for (size_t i = 0; i < PM_COUNT(roots); i++) {
		size_t len = strlen(roots[i].word);

		if (strncmp(r->scan.at, roots[i].word, len) == 0) {
			*out = roots[i].root;
			r->scan.at += len;
			return true;
		}
	}
	return false;
}

/* NAME.FIELD of an app; its name may hold dots, so that the last one counts, or be quoted. */
static int read_app(struct reader *r, struct where_path *path)
{
	const char *dot = NULL;
	size_t len;

	if (*r->scan.at == '"' || *r->scan.at == '\'') {
		path->name = quoted(r);
		if (path->name == NULL)
			return -1;
		if (*r->scan.at != '.')
			return pm_scan_bad(&r->scan, "'.' and a field");
	} else {
		for (const char *s = r->scan.at; s < r->scan.at + word_len(r->scan.at); s++)
			if (*s == '.')
				dot = s;
		if (dot == NULL || dot == r->scan.at)
			return pm_scan_bad(&r->scan, "NAME.FIELD of an app");
		path->name = pm_scan_keep(&r->scan, r->scan.at, (size_t)(dot - r->scan.at));
		r->scan.at = dot;
	}
	r->scan.at++;
	len = word_len(r->scan.at);
	path->field = pm_scan_keep(&r->scan, r->scan.at, len);
	if (known_field(r, where_app_fields, path->field) < 0)
		return -1;
	r->scan.at += len;
	return 0;
}

static int read_path(struct reader *r, struct where_path *path)
{
	size_t len;

	if (!take_root(r, &path->root))
		return pm_scan_bad(&r->scan, "host., label., claimed. or app.");
	if (path->root == WHERE_APP)
		return read_app(r, path);
	len = word_len(r->scan.at);
	path->name = pm_scan_keep(&r->scan, r->scan.at, len);
	if (path->root == WHERE_HOST && known_field(r, where_host_fields, path->name) < 0)
		return -1;
	if (path->root != WHERE_HOST && !pm_label_key_ok(path->name, len))
		return pm_scan_bad(&r->scan, "a label's key");
	r->scan.at += len;
	return 0;
}

/* ---- the tree ---- */

static int add(struct reader *r, struct node node, uint16_t *out)
{
	if (r->w->n == PM_WHERE_TERMS_MAX)
		return pm_fail(r->scan.err, PM_LIMIT, "--where: more than %d terms",
		               PM_WHERE_TERMS_MAX);
	r->w->nodes[r->w->n] = node;
	*out = (uint16_t)r->w->n++;
	return 0;
}

static bool take_operator(struct reader *r, enum kind *out)
{
	static const struct {
		const char *word;
		enum kind kind;
	} operators[] = { /* a longer one before its beginning */
		          { "==", NODE_EQ }, { "!=", NODE_NE },  { "<=", NODE_LE },
		          { ">=", NODE_GE }, { "=", NODE_EQ },   { "<", NODE_LT },
		          { ">", NODE_GT },  { "~", NODE_REGEX }
	};

	pm_scan_blanks(&r->scan);
	for (size_t i = 0; i < PM_COUNT(operators); i++) {
		size_t len = strlen(operators[i].word);

		if (strncmp(r->scan.at, operators[i].word, len) == 0) {
			*out = operators[i].kind;
			r->scan.at += len;
			return true;
		}
	}
	if (!take_word(r, "in"))
		return false;
	*out = NODE_IN;
	return true;
}

static int read_list(struct reader *r, const char **out)
{
	*out = r->scan.to;
	pm_scan_blanks(&r->scan);
	if (*r->scan.at != '(')
		return pm_scan_bad(&r->scan, "'('");
	do {
		const char *value;

		r->scan.at++;
		value = read_value(r);
		if (value == NULL)
			return -1;
		if (*value == '\0')
			return pm_scan_bad(&r->scan, "a value that is not empty");
		pm_scan_blanks(&r->scan);
	} while (*r->scan.at == ',');
	if (*r->scan.at != ')')
		return pm_scan_bad(&r->scan, "',' or ')'");
	r->scan.at++;
	*r->scan.to++ = '\0';
	return 0;
}

static int read_comparison(struct reader *r, uint16_t *out)
{
	struct node node = { .kind = NODE_HAS };

	if (read_path(r, &node.path) < 0)
		return -1;
	if (!take_operator(r, &node.kind))
		return add(r, node, out);
	if (node.kind == NODE_IN) {
		if (read_list(r, &node.value) < 0)
			return -1;
		return add(r, node, out);
	}
	node.value = read_value(r);
	if (node.value == NULL || add(r, node, out) < 0)
		return -1;
	if (node.kind != NODE_REGEX)
		return 0;
	if (pm_regex_compile(node.value, strlen(node.value), &r->w->nodes[*out].regex,
	                     r->scan.err) < 0)
		return pm_wrap(r->scan.err, "--where, at %zu",
		               (size_t)(r->scan.at - r->scan.text) + 1);
	r->w->nodes[*out].compiled = true;
	return 0;
}

static int read_or(struct reader *r, uint16_t *out);

static int read_not(struct reader *r, uint16_t *out)
{
	bool turn = false;

	while (take_word(r, "not"))
		turn = !turn;
	pm_scan_blanks(&r->scan);
	if (*r->scan.at == '(') {
		if (++r->depth > PM_WHERE_DEPTH_MAX)
			return pm_fail(r->scan.err, PM_LIMIT, "--where: more than %d brackets deep",
			               PM_WHERE_DEPTH_MAX);
		r->scan.at++;
		if (read_or(r, out) < 0)
			return -1;
		pm_scan_blanks(&r->scan);
		if (*r->scan.at != ')')
			return pm_scan_bad(&r->scan, "and, or or ')'");
		r->scan.at++;
		r->depth--;
	} else if (read_comparison(r, out) < 0) {
		return -1;
	}
	return turn ? add(r, (struct node){ .kind = NODE_NOT, .left = *out }, out) : 0;
}

static int read_chain(struct reader *r, const char *word, enum kind kind,
                      int (*next)(struct reader *, uint16_t *), uint16_t *out)
{
	if (next(r, out) < 0)
		return -1;
	while (take_word(r, word)) {
		uint16_t right;

		if (next(r, &right) < 0 ||
		    add(r, (struct node){ .kind = kind, .left = *out, .right = right }, out) < 0)
			return -1;
	}
	return 0;
}

static int read_and(struct reader *r, uint16_t *out)
{
	return read_chain(r, "and", NODE_AND, read_not, out);
}

static int read_or(struct reader *r, uint16_t *out)
{
	return read_chain(r, "or", NODE_OR, read_and, out);
}

int where_parse(const char *text, struct where **out, struct pm_error *err)
{
	PM_CLEANUP(where_destroyp) struct where *w = NULL;
	struct reader r = { .scan = { .what = "--where", .text = text, .at = text, .err = err } };
	size_t len = strlen(text);

	if (len > PM_TARGETS_TEXT_MAX)
		return pm_fail(err, PM_LIMIT, "--where: over %d bytes", PM_TARGETS_TEXT_MAX);
	w = pm_calloc(1, sizeof(*w));
	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "--where");
	w->words = pm_calloc(2 * len + 2, 1); /* each word has its NUL, and each list one more */
	w->nodes = pm_calloc(PM_WHERE_TERMS_MAX, sizeof(*w->nodes));
	if (w->words == NULL || w->nodes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "--where");
	r.w = w;
	r.scan.to = w->words;
	if (read_or(&r, &w->root) < 0)
		return -1;
	pm_scan_blanks(&r.scan);
	if (*r.scan.at != '\0')
		return pm_scan_bad(&r.scan, r.depth > 0 ? "and, or or ')'" : "and or or");
	*out = PM_STEAL(w);
	return 0;
}

/* ---- evaluation ---- */

static bool as_number(const char *text, double *out)
{
	static const struct {
		char unit;
		double factor;
	} units[] = { { 'K', 1024.0 },
		      { 'M', 1024.0 * 1024 },
		      { 'G', 1024.0 * 1024 * 1024 },
		      { 'T', 1024.0 * 1024 * 1024 * 1024 },
		      { '%', 1 } };
	bool dot = false;
	double scale = 1;
	size_t i = *text == '-';

	if (text[i] < '0' || text[i] > '9')
		return false;
	*out = 0;
	for (; (text[i] >= '0' && text[i] <= '9') || (text[i] == '.' && !dot); i++) {
		if (text[i] == '.') {
			dot = true;
			continue;
		}
		*out = *out * 10 + (text[i] - '0');
		scale *= dot ? 10 : 1;
	}
	*out = (*text == '-' ? -*out : *out) / scale;
	for (size_t u = 0; u < PM_COUNT(units); u++)
		if (text[i] == units[u].unit && text[i + 1] == '\0') {
			*out *= units[u].factor;
			return true;
		}
	return text[i] == '\0';
}

static int compare(const char *a, const char *b, bool *numbers)
{
	double x = 0, y = 0;

	/* 1.10 of a version is no number: two texts that both have a dot compare by their parts. */
	*numbers = as_number(a, &x) && as_number(b, &y) &&
	           (strchr(a, '.') == NULL || strchr(b, '.') == NULL);
	if (!*numbers)
		return hostlist_compare(a, b);
	return (x > y) - (x < y);
}

static bool equal(const char *a, const char *b)
{
	bool numbers;
	int rc = compare(a, b, &numbers);

	return numbers ? rc == 0 : strcmp(a, b) == 0;
}

static bool is_in(const char *values, const char *value)
{
	for (; *values != '\0'; values += strlen(values) + 1)
		if (equal(value, values))
			return true;
	return false;
}

static bool is_true(const char *value)
{
	return *value != '\0' && strcmp(value, "0") != 0 && strcmp(value, "false") != 0;
}

static bool term_matches(const struct node *n, const char *value)
{
	bool numbers;

	if (value == NULL)
		return false;
	switch (n->kind) {
	case NODE_HAS:
		return is_true(value);
	case NODE_EQ:
		return equal(value, n->value);
	case NODE_NE:
		return !equal(value, n->value);
	case NODE_LT:
		return compare(value, n->value, &numbers) < 0;
	case NODE_LE:
		return compare(value, n->value, &numbers) <= 0;
	case NODE_GT:
		return compare(value, n->value, &numbers) > 0;
	case NODE_GE:
		return compare(value, n->value, &numbers) >= 0;
	case NODE_REGEX:
		return regexec(&n->regex, value, 0, NULL, 0) == 0;
	case NODE_IN:
		return is_in(n->value, value);
	case NODE_OR:
	case NODE_AND:
	case NODE_NOT:
		break;
	}
	return false;
}

bool where_matches(const struct where *w, where_fn *fn, void *arg)
{
	bool is[PM_WHERE_TERMS_MAX];

	/* Both sides of a node stand before it, so that one pass is enough and nothing recurses. */
	for (size_t i = 0; i < w->n; i++) {
		const struct node *n = &w->nodes[i];

		if (n->kind == NODE_OR)
			is[i] = is[n->left] || is[n->right];
		else if (n->kind == NODE_AND)
			is[i] = is[n->left] && is[n->right];
		else if (n->kind == NODE_NOT)
			is[i] = !is[n->left];
		else
			is[i] = term_matches(n, fn(arg, &n->path));
	}
	return is[w->root];
}
