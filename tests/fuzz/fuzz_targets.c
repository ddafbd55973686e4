/* fuzz_targets.c - target expressions of every form; what was folded expands to what was folded. */
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/glob.h"
#include "proto/hostlist.h"
#include "proto/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct targets_host hosts[] = { { .name = "db1" },
	                               { .name = "r1n02" },
	                               { .name = "web01" } };

static const char *fact(void *arg, size_t host, const struct where_path *path)
{
	(void)arg;
	if (path->root == WHERE_APP && path->field == NULL)
		abort();
	return host == 0 ? NULL : "1.4";
}

static const char *groups_are; /* every group is the same one */

static bool group(void *arg, const char *name, struct targets_query *out)
{
	(void)arg;
	(void)name;
	out->hosts = groups_are;
	return true;
}

static int count(void *arg, const char *name, struct pm_error *err)
{
	size_t *n = arg;

	if (strlen(name) == 0 && *n > 0)
		abort();
	(*n)++;
	return *n > 1000 ? pm_fail(err, PM_LIMIT, "enough") : 0;
}

/* Cut at newlines into names, fold them, and spell the ranges out again. */
static void fold(char *text)
{
	const char *names[64];
	struct pm_error err;
	PM_BUF b = { 0 };
	size_t n = 0, back = 0;

	for (char *s = text; s != NULL && n < PM_COUNT(names);) {
		char *name = strsep(&s, "\n");

		if (hostlist_is_name(name))
			names[n++] = name;
	}
	if (n == 0 || hostlist_fold(names, n, &b, &err) < 0)
		return;
	for (const char *s = b.bytes; *s != '\0';) {
		size_t len = 0;
		bool inside = false;

		for (; s[len] != '\0' && (inside || s[len] != ','); len++)
			inside = s[len] == '[' || (inside && s[len] != ']');
		if (hostlist_expand(s, len, count, &back, &err) < 0)
			abort();
		s += len + (s[len] == ',');
	}
	if (back > n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct targets_fleet fleet = {
		.hosts = hosts, .n = PM_COUNT(hosts), .fact = fact, .group = group
	};
	struct targets_query q = { 0 };
	struct targets t;
	struct pm_labels labels;
	struct pm_error err;
	char text[2048];

	if (size == 0 || size >= sizeof(text))
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	groups_are = text;
	q.hosts = (data[0] & 1) != 0 ? text : NULL;
	q.label = (data[0] & 2) != 0 ? text : NULL;
	q.where = (data[0] & 4) != 0 ? text : NULL;
	q.exclude = (data[0] & 8) != 0 ? text : NULL;
	if (targets_expand(&q, &fleet, &t, &err) == 0) {
		if (t.n == 0 || t.n > fleet.n)
			abort();
		targets_finish(&t);
	}
	if (pm_labels_parse(text, &labels, &err) == 0)
		pm_labels_finish(&labels);
	if (targets_parse_limit(text, &q, &err) == 0 && q.limit == 0)
		abort();
	(void)glob_match_any(text, "web01");
	fold(text);
	return 0;
}
