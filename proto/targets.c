#include "proto/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/glob.h"
#include "proto/hostlist.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "proto/regex.h"

/* One bit of knowledge for each host, while they are chosen. */
enum mark {
	MARK_IN = 1,  /* included by the present step */
	MARK_OUT = 2, /* excluded, for good */
};

/* What a text may make us do, in all of its groups together. */
struct budget {
	uint64_t matches; /* of one pattern with one host */
	unsigned groups;
};

struct choice {
	const struct targets_fleet *fleet;
	struct budget *budget;
	uint8_t *marks; /* owned, of the present step */
	uint8_t *kept;  /* owned: not narrowed away by an earlier step */
	unsigned depth; /* groups inside groups */
	bool lenient;
};

void targets_finish(struct targets *t)
{
	free(t->hosts);
	*t = (struct targets){ 0 };
}

int targets_host_compare(const void *a, const void *b)
{
	const struct targets_host *left = a, *right = b;

	return hostlist_compare(left->name, right->name);
}

/* ---- one item of a SET ---- */

struct item {
	struct choice *c;
	const char *text; /* without the "!" */
	size_t len;
	enum mark mark;
	size_t matched, missing;
	char first_missing[PM_NAME_MAX + 1];
};

static const struct targets_host *find_host(const struct targets_fleet *fleet, const char *name)
{
	struct targets_host key = { .name = name };

	if (fleet->n == 0)
		return NULL; /* there need be no list either */
	return bsearch(&key, fleet->hosts, fleet->n, sizeof(key), targets_host_compare);
}

static void mark(struct item *it, size_t host)
{
	it->c->marks[host] |= (uint8_t)it->mark;
	it->matched++;
}

/* A pattern is about to be compared with every host. */
static int spend(const struct choice *c, struct pm_error *err)
{
	c->budget->matches += c->fleet->n;
	if (c->budget->matches > PM_TARGETS_WORK_MAX)
		return pm_fail(err, PM_LIMIT, "too many patterns for %zu hosts", c->fleet->n);
	return 0;
}

/* A name that a range came to, which may still be a glob: web[01-20]*. */
static int match_name(void *arg, const char *name, struct pm_error *err)
{
	const struct targets_fleet *fleet;
	const struct targets_host *host;
	struct item *it = arg;
	size_t before = it->matched, len = strlen(name);

	fleet = it->c->fleet;
	if (glob_is_pattern(name, len)) {
		if (spend(it->c, err) < 0)
			return -1;
		for (size_t i = 0; i < fleet->n; i++)
			if (glob_match(name, len, fleet->hosts[i].name))
				mark(it, i);
	} else {
		host = find_host(fleet, name);
		if (host != NULL)
			mark(it, (size_t)(host - fleet->hosts));
	}
	if (it->matched == before && it->missing++ == 0)
		(void)snprintf(it->first_missing, sizeof(it->first_missing), "%s", name);
	return 0;
}

static int match_regex(struct item *it, struct pm_error *err)
{
	const struct targets_fleet *fleet = it->c->fleet;
	regex_t regex;

	if (spend(it->c, err) < 0)
		return -1;
	if (pm_regex_compile(it->text + 1, it->len - 1, &regex, err) < 0)
		return -1;
	for (size_t i = 0; i < fleet->n; i++)
		if (regexec(&regex, fleet->hosts[i].name, 0, NULL, 0) == 0)
			mark(it, i);
	regfree(&regex);
	return 0;
}

static int expand_step(struct choice *c, const struct targets_query *q, struct pm_error *err);

/* The hosts of a group, marked in this step as the item wants them. */
static int match_group(struct item *it, const char *name, struct pm_error *err)
{
	const struct targets_fleet *fleet = it->c->fleet;
	struct choice inner = {
		.fleet = fleet,
		.budget = it->c->budget,
		.depth = it->c->depth + 1,
	};
	struct targets_query q = { 0 };
	int rc;

	if (fleet->group == NULL || !fleet->group(fleet->arg, name, &q)) {
		(void)pm_fail(err, PM_NOT_FOUND, "no group %s", name);
		pm_hint(err, "run 'pmctl targets --groups' to see them");
		return -1;
	}
	if (inner.depth > PM_GROUP_DEPTH_MAX)
		return pm_fail(err, PM_USAGE, "group %s: groups inside groups, over %d deep", name,
		               PM_GROUP_DEPTH_MAX);
	if (++inner.budget->groups > PM_GROUPS_USED_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d groups", PM_GROUPS_USED_MAX);
	inner.marks = pm_calloc(fleet->n + 1, 1);
	inner.kept = pm_calloc(fleet->n + 1, 1);
	if (inner.marks == NULL || inner.kept == NULL)
		rc = pm_fail(err, PM_NO_MEMORY, "group %s", name);
	else
		rc = expand_step(&inner, &q, err);
	for (size_t i = 0; rc == 0 && i < fleet->n; i++)
		if (inner.kept[i])
			mark(it, i);
	free(inner.marks);
	free(inner.kept);
	/* The outermost is the one that was typed; eight names of a circle say no more. */
	return rc < 0 && it->c->depth == 0 ? pm_wrap(err, "group %s", name) : rc;
}

/* What stands before the first number, wildcard or dot: what a typing error is looked for in. */
static size_t stem_len(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && strchr("0123456789*?[\\.", s[n]) == NULL)
		n++;
	return n;
}

static void hint_nearest(const struct targets_fleet *fleet, const char *text, struct pm_error *err)
{
	size_t stem = stem_len(text, strlen(text));
	char typed[PM_NAME_MAX + 1];
	struct nearest near;

	nearest_init(&near, text);
	for (size_t i = 0; i < fleet->n; i++)
		nearest_offer(&near, fleet->hosts[i].name);
	if (nearest_found(&near) && !glob_is_pattern(text, strlen(text))) {
		pm_hint(err, "did you mean %s?", near.best);
		return;
	}
	(void)snprintf(typed, sizeof(typed), "%.*s", (int)stem, text);
	nearest_init(&near, typed);
	for (size_t i = 0; i < fleet->n; i++)
		nearest_offer_n(&near, fleet->hosts[i].name,
		                stem_len(fleet->hosts[i].name, strlen(fleet->hosts[i].name)));
	if (stem > 0 && nearest_found(&near) && strcmp(near.best, typed) != 0)
		pm_hint(err, "did you mean %s%.40s?", near.best, text + stem);
	else
		pm_hint(err, "run 'pmctl node list' to see the hosts");
}

static int fail_missing(const struct item *it, struct pm_error *err)
{
	if (it->missing > 1)
		(void)pm_fail(err, PM_NOT_FOUND, "no host %.100s, nor %zu more of %.*s",
		              it->first_missing, it->missing - 1, (int)PM_MIN(it->len, 80u),
		              it->text);
	else
		(void)pm_fail(err, PM_NOT_FOUND, "no host %.*s", (int)PM_MIN(it->len, 120u),
		              it->missing > 0 ? it->first_missing : it->text);
	if (it->text[0] != '~')
		hint_nearest(it->c->fleet, it->missing > 0 ? it->first_missing : it->text, err);
	return -1;
}

static int match_item(struct item *it, struct pm_error *err)
{
	int rc;

	if (it->len == 0)
		return pm_fail(err, PM_USAGE, "an empty name");
	if (it->text[0] == '~') {
		rc = match_regex(it, err);
	} else if (it->text[0] == '@') {
		char name[PM_NAME_MAX + 1];

		if (it->len > PM_NAME_MAX)
			return pm_fail(err, PM_USAGE, "the name of a group is too long");
		(void)snprintf(name, sizeof(name), "%.*s", (int)it->len - 1, it->text + 1);
		return match_group(it, name, err); /* may be empty: it says what it is */
	} else {
		rc = hostlist_expand(it->text, it->len, match_name, it, err);
	}
	if (rc < 0)
		return -1;
	/* To exclude what is not there is done already; to include it is a mistake. */
	if (it->mark == MARK_IN && !it->c->lenient && (it->matched == 0 || it->missing > 0))
		return fail_missing(it, err);
	return 0;
}

/* ---- a SET ---- */

/* The length of an item: up to a comma that no bracket holds. */
static size_t item_len(const char *s)
{
	size_t n = 0;
	int depth = 0;

	for (; s[n] != '\0' && (s[n] != ',' || depth > 0); n++) {
		if (strchr("[{(", s[n]) != NULL)
			depth++;
		else if (strchr("]})", s[n]) != NULL && depth > 0)
			depth--;
		else if (s[n] == '\\' && s[n + 1] != '\0')
			n++;
	}
	return n;
}

/* excluded: every item is one to leave out. */
static int match_set(struct choice *c, const char *option, const char *set, bool excluded,
                     struct pm_error *err)
{
	const char *s = set;
	size_t includes = 0;

	if (strlen(set) > PM_TARGETS_TEXT_MAX)
		return pm_fail(err, PM_LIMIT, "%s: over %d bytes", option, PM_TARGETS_TEXT_MAX);
	for (;;) {
		size_t len = item_len(s);
		bool out = *s == '!';
		struct item it = { .c = c, .text = s + out, .len = len - out };

		it.mark = out || excluded ? MARK_OUT : MARK_IN;
		includes += it.mark == MARK_IN;
		if (match_item(&it, err) < 0)
			return pm_wrap(err, "%s, at %zu", option, (size_t)(s - set) + 1);
		if (s[len] == '\0')
			break;
		s += len + 1;
	}
	/* Only exclusions: all but those. */
	for (size_t i = 0; i < c->fleet->n && includes == 0 && !excluded; i++)
		c->marks[i] |= MARK_IN;
	return 0;
}

/* ---- the steps ---- */

/* What this step has not included is out. */
static void narrow(struct choice *c)
{
	for (size_t i = 0; i < c->fleet->n; i++) {
		if ((c->marks[i] & MARK_IN) == 0)
			c->kept[i] = 0;
		c->marks[i] &= (uint8_t)~MARK_IN;
	}
}

static int step_label(struct choice *c, const char *text, struct pm_error *err)
{
	PM_CLEANUP(pm_selector_destroyp) struct pm_selector *s = NULL;

	if (pm_selector_parse(text, &s, err) < 0)
		return -1;
	for (size_t i = 0; i < c->fleet->n; i++)
		if (pm_selector_matches(s, &c->fleet->hosts[i].labels))
			c->marks[i] |= MARK_IN;
	return 0;
}

struct asked {
	const struct targets_fleet *fleet;
	size_t host;
};

static const char *fact_of(void *arg, const struct where_path *path)
{
	const struct asked *a = arg;
	const struct targets_host *host = &a->fleet->hosts[a->host];

	switch (path->root) {
	case WHERE_LABEL:
		return pm_labels_get(&host->labels, path->name);
	case WHERE_CLAIMED:
		return pm_labels_get(&host->claimed, path->name);
	case WHERE_HOST:
		if (strcmp(path->name, "name") == 0)
			return host->name;
		break;
	case WHERE_APP:
		break;
	}
	return a->fleet->fact == NULL ? NULL : a->fleet->fact(a->fleet->arg, a->host, path);
}

static int step_where(struct choice *c, const char *text, struct pm_error *err)
{
	PM_CLEANUP(where_destroyp) struct where *w = NULL;

	if (where_parse(text, &w, err) < 0)
		return -1;
	for (size_t i = 0; i < c->fleet->n; i++)
		if (where_matches(w, fact_of, &(struct asked){ c->fleet, i }))
			c->marks[i] |= MARK_IN;
	return 0;
}

static int step_group(struct choice *c, const char *name, struct pm_error *err)
{
	struct item it = { .c = c, .text = name, .len = strlen(name), .mark = MARK_IN };

	return match_group(&it, name, err);
}

/* Everything but limits; c->kept has the answer. */
static int expand_step(struct choice *c, const struct targets_query *q, struct pm_error *err)
{
	if (!q->all && q->hosts == NULL && q->label == NULL && q->group == NULL && q->where == NULL)
		return pm_fail(err, PM_USAGE, "no hosts are named");
	memset(c->kept, 1, c->fleet->n);
	if (q->hosts != NULL) {
		if (match_set(c, "--hosts", q->hosts, false, err) < 0)
			return -1;
		narrow(c);
	}
	if (q->label != NULL) {
		if (step_label(c, q->label, err) < 0)
			return -1;
		narrow(c);
	}
	if (q->group != NULL) {
		if (step_group(c, q->group, err) < 0)
			return -1;
		narrow(c);
	}
	if (q->where != NULL) {
		if (step_where(c, q->where, err) < 0)
			return -1;
		narrow(c);
	}
	if (q->exclude != NULL && match_set(c, "--exclude", q->exclude, true, err) < 0)
		return -1;
	for (size_t i = 0; i < c->fleet->n; i++)
		if ((c->marks[i] & MARK_OUT) != 0)
			c->kept[i] = 0;
	return 0;
}

/* splitmix64, of Steele, Lea and Flood; the same seed gives the same hosts on every machine. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static int by_index(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static void limit(struct targets *t, const struct targets_query *q)
{
	uint64_t state = q->seed;
	size_t most = q->limit;

	if (q->limit == 0)
		return;
	if (q->limit_pct)
		most = (t->n * q->limit + 99) / 100;
	if (most >= t->n)
		return;
	for (size_t i = 0; q->random && i < most; i++) {
		size_t other = i + next_random(&state) % (t->n - i);
		uint32_t host = t->hosts[i];

		t->hosts[i] = t->hosts[other];
		t->hosts[other] = host;
	}
	t->n = most;
	qsort(t->hosts, t->n, sizeof(t->hosts[0]), by_index);
}

static int collect(const struct choice *c, const struct targets_query *q, struct targets *out,
                   struct pm_error *err)
{
	struct targets t = { 0 };

	t.hosts = pm_calloc(c->fleet->n + 1, sizeof(*t.hosts));
	if (t.hosts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "choose the hosts");
	for (size_t i = 0; i < c->fleet->n; i++)
		if (c->kept[i])
			t.hosts[t.n++] = (uint32_t)i;
	limit(&t, q);
	if (t.n == 0) {
		targets_finish(&t);
		return pm_fail(err, PM_NOT_FOUND,
		               c->fleet->n == 0 ? "there are no hosts" : "no host matches");
	}
	*out = t;
	return 0;
}

int targets_expand(const struct targets_query *q, const struct targets_fleet *fleet,
                   struct targets *out, struct pm_error *err)
{
	struct budget budget = { 0 };
	struct choice c = { .fleet = fleet, .budget = &budget, .lenient = q->lenient };
	int rc;

	if (fleet->n > PM_HOSTS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d hosts", PM_HOSTS_MAX);
	c.marks = pm_calloc(fleet->n + 1, 1);
	c.kept = pm_calloc(fleet->n + 1, 1);
	if (c.marks == NULL || c.kept == NULL)
		rc = pm_fail(err, PM_NO_MEMORY, "choose the hosts");
	else
		rc = expand_step(&c, q, err);
	if (rc == 0)
		rc = collect(&c, q, out, err);
	free(c.marks);
	free(c.kept);
	return rc;
}

int targets_parse_limit(const char *text, struct targets_query *q, struct pm_error *err)
{
	size_t digits = strspn(text, "0123456789");
	bool pct = digits > 0 && strcmp(text + digits, "%") == 0;
	unsigned long n = digits > 0 && digits < 8 ? strtoul(text, NULL, 10) : 0;

	if (n == 0 || (text[digits] != '\0' && !pct) || (pct && n > 100))
		return pm_fail(err, PM_USAGE, "%.40s: a number of hosts, or 1%% to 100%%", text);
	q->limit = (uint32_t)n;
	q->limit_pct = pct;
	return 0;
}

int targets_fold(const struct targets *t, const struct targets_fleet *fleet, struct pm_buf *out,
                 struct pm_error *err)
{
	PM_FREE const char **names = pm_calloc(t->n + 1, sizeof(*names));

	if (names == NULL)
		return pm_fail(err, PM_NO_MEMORY, "fold the hosts");
	for (size_t i = 0; i < t->n; i++)
		names[i] = fleet->hosts[t->hosts[i]].name;
	return hostlist_fold(names, t->n, out, err);
}
