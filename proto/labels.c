#include "proto/labels.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/scan.h"

static bool word_ok(const char *s, size_t len, size_t max)
{
	if (len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z') &&
		    !(s[i] >= '0' && s[i] <= '9') && memchr("._-/", s[i], 4) == NULL)
			return false;
	return true;
}

bool pm_label_key_ok(const char *key, size_t len)
{
	return len > 0 && word_ok(key, len, PM_LABEL_KEY_MAX);
}

bool pm_label_value_ok(const char *value, size_t len)
{
	return word_ok(value, len, PM_LABEL_VALUE_MAX);
}

/* ---- labels ---- */

void pm_labels_finish(struct pm_labels *labels)
{
	free(labels->list);
	free(labels->text);
	*labels = (struct pm_labels){ 0 };
}

const char *pm_labels_get(const struct pm_labels *labels, const char *key)
{
	size_t low = 0, high = labels->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int rc = strcmp(labels->list[mid].key, key);

		if (rc == 0)
			return labels->list[mid].value;
		if (rc < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* In its place among the sorted ones; at most PM_LABELS_MAX, so that moving them costs nothing. */
static void put_label(struct pm_labels *l, const char *key, const char *value)
{
	size_t at = 0;

	while (at < l->n && strcmp(l->list[at].key, key) < 0)
		at++;
	if (at == l->n || strcmp(l->list[at].key, key) != 0) {
		memmove(&l->list[at + 1], &l->list[at], (l->n - at) * sizeof(l->list[0]));
		l->n++;
	}
	l->list[at] = (struct pm_label){ key, value };
}

/* Cut the copy of the text into labels. */
static int cut(struct pm_labels *l, struct pm_error *err)
{
	for (char *s = l->text; *s != '\0';) {
		size_t len = strcspn(s, ","), key_len = strcspn(s, "=,");
		char *next = s + len + (s[len] == ',');

		if (key_len == len || !pm_label_key_ok(s, key_len) ||
		    !pm_label_value_ok(s + key_len + 1, len - key_len - 1))
			return pm_fail(err, PM_USAGE,
			               "labels, at %zu: KEY=VALUE of letters, digits and ._-/",
			               (size_t)(s - l->text) + 1);
		if (l->n == PM_LABELS_MAX)
			return pm_fail(err, PM_LIMIT, "more than %d labels", PM_LABELS_MAX);
		s[key_len] = s[len] = '\0';
		put_label(l, s, s + key_len + 1);
		s = next;
	}
	return 0;
}

int pm_labels_parse(const char *text, struct pm_labels *out, struct pm_error *err)
{
	struct pm_labels l = { 0 };
	int rc;

	if (strlen(text) > PM_TARGETS_TEXT_MAX)
		return pm_fail(err, PM_LIMIT, "labels of over %d bytes", PM_TARGETS_TEXT_MAX);
	l.text = pm_strdup(text);
	l.list = pm_calloc(PM_LABELS_MAX, sizeof(*l.list));
	if (l.text == NULL || l.list == NULL)
		rc = pm_fail(err, PM_NO_MEMORY, "read the labels");
	else
		rc = cut(&l, err);
	if (rc < 0)
		pm_labels_finish(&l);
	else
		*out = l;
	return rc;
}

/* ---- selectors ---- */

enum verb {
	IS,
	IS_NOT,
	EXISTS,
	EXISTS_NOT,
	IN,
	NOT_IN
};

struct term {
	enum verb verb;
	const char *key;    /* borrowed from the text */
	const char *values; /* borrowed: NUL after each, and one more after the last */
};

struct pm_selector {
	struct term terms[PM_LABELS_MAX];
	size_t n;
	char *text; /* owned: spelled by the parser for the terms */
};

void pm_selector_destroy(struct pm_selector *s)
{
	if (s == NULL)
		return;
	free(s->text);
	free(s);
}

void pm_selector_destroyp(struct pm_selector **s)
{
	pm_selector_destroy(*s);
}

/* A key or value, spelled out in the selector's text with a NUL behind. */
static const char *word(struct pm_scan *r, bool (*ok)(const char *, size_t), const char *want)
{
	size_t len = strcspn(r->at, " \t\n,()=!");
	const char *start;

	if (!ok(r->at, len)) {
		(void)pm_scan_bad(r, want);
		return NULL;
	}
	start = pm_scan_keep(r, r->at, len);
	r->at += len;
	return start;
}

/* "(a,b)" */
static int read_values(struct pm_scan *r, struct term *t)
{
	t->values = r->to;
	pm_scan_blanks(r);
	if (*r->at != '(')
		return pm_scan_bad(r, "'('");
	do {
		r->at++;
		pm_scan_blanks(r);
		if (word(r, pm_label_key_ok, "a value") == NULL)
			return -1;
		pm_scan_blanks(r);
	} while (*r->at == ',');
	if (*r->at != ')')
		return pm_scan_bad(r, "',' or ')'");
	r->at++;
	*r->to++ = '\0';
	return 0;
}

static bool take_word(struct pm_scan *r, const char *expected)
{
	size_t len = strlen(expected);

	if (strncmp(r->at, expected, len) != 0 || strchr(" \t(", r->at[len]) == NULL ||
	    r->at[len] == '\0')
		return false;
	r->at += len;
	return true;
}

static int read_term(struct pm_scan *r, struct term *t)
{
	pm_scan_blanks(r);
	t->verb = EXISTS;
	if (*r->at == '!') {
		t->verb = EXISTS_NOT;
		r->at++;
		pm_scan_blanks(r);
	}
	t->key = word(r, pm_label_key_ok, "a label's key");
	if (t->key == NULL)
		return -1;
	pm_scan_blanks(r);
	if (t->verb == EXISTS_NOT || *r->at == '\0' || *r->at == ',')
		return 0;
	t->verb = take_word(r, "in") ? IN : take_word(r, "notin") ? NOT_IN : IS;
	if (t->verb != IS)
		return read_values(r, t);
	t->verb = *r->at == '!' ? IS_NOT : IS;
	r->at += *r->at == '!';
	if (*r->at != '=')
		return pm_scan_bad(r, "=, !=, in or notin");
	r->at++;
	r->at += t->verb == IS && *r->at == '='; /* == is = */
	pm_scan_blanks(r);
	t->values = word(r, pm_label_value_ok, "a value");
	return t->values == NULL ? -1 : 0;
}

static int read_terms(struct pm_selector *s, const char *text, struct pm_error *err)
{
	struct pm_scan r = {
		.what = "--label", .text = text, .at = text, .to = s->text, .err = err
	};

	do {
		r.at += s->n > 0; /* the comma */
		if (s->n == PM_LABELS_MAX)
			return pm_fail(err, PM_LIMIT, "--label: more than %d terms", PM_LABELS_MAX);
		if (read_term(&r, &s->terms[s->n++]) < 0)
			return -1;
		pm_scan_blanks(&r);
	} while (*r.at == ',');
	return *r.at == '\0' ? 0 : pm_scan_bad(&r, "','");
}

int pm_selector_parse(const char *text, struct pm_selector **out, struct pm_error *err)
{
	PM_CLEANUP(pm_selector_destroyp) struct pm_selector *s = NULL;
	size_t len = strlen(text);

	if (len > PM_TARGETS_TEXT_MAX)
		return pm_fail(err, PM_LIMIT, "--label: over %d bytes", PM_TARGETS_TEXT_MAX);
	s = pm_calloc(1, sizeof(*s));
	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "--label");
	s->text = pm_calloc(2 * len + 2, 1); /* each word has its NUL, and each list one more */
	if (s->text == NULL)
		return pm_fail(err, PM_NO_MEMORY, "--label");
	if (read_terms(s, text, err) < 0)
		return -1;
	*out = PM_STEAL(s);
	return 0;
}

static bool is_in(const char *values, const char *value)
{
	for (; *values != '\0'; values += strlen(values) + 1)
		if (strcmp(values, value) == 0)
			return true;
	return false;
}

static bool term_matches(const struct term *t, const char *value)
{
	switch (t->verb) {
	case IS:
		return value != NULL && strcmp(value, t->values) == 0;
	case IS_NOT:
		return value == NULL || strcmp(value, t->values) != 0;
	case EXISTS:
		return value != NULL;
	case EXISTS_NOT:
		return value == NULL;
	case IN:
		return value != NULL && is_in(t->values, value);
	case NOT_IN:
		return value == NULL || !is_in(t->values, value);
	}
	return false;
}

bool pm_selector_matches(const struct pm_selector *s, const struct pm_labels *labels)
{
	for (size_t i = 0; i < s->n; i++)
		if (!term_matches(&s->terms[i], pm_labels_get(labels, s->terms[i].key)))
			return false;
	return true;
}
