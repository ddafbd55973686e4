#include "agent/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/glob.h"

#define KEY_PREFIX "pmd-key:"
#define HOUR_MS    3600000u
#define WORDS_MAX  6

struct rule {
	enum pm_rank rank; /* PM_RANK_NONE: `key` counts */
	const char *key;   /* borrowed from the text */
	pm_ops ops;
	const char *apps; /* borrowed: globs; "": every app */
	bool only_local;
	uint32_t per_hour; /* 0: no limit */
	uint64_t what;     /* names the rule in struct policy_usage, also after an edit elsewhere */
};

struct min_up {
	const char *apps; /* borrowed */
	uint32_t n;
	bool pct;
};

struct policy {
	char *text; /* owned; words are cut out of it */
	struct rule *rules;
	size_t n_rules;
	struct min_up *floors;
	size_t n_floors;
};

const char *policy_default_text(void)
{
	return "allow viewer status\n"
	       "allow logs logs\n"
	       "allow operator run @local\n";
}

void policy_destroy(struct policy *p)
{
	if (p == NULL)
		return;
	free(p->text);
	free(p->rules);
	free(p->floors);
	free(p);
}

void policy_destroyp(struct policy **p)
{
	policy_destroy(*p);
}

/* ---- reading ---- */

struct line {
	unsigned number;
	char *start;
	char *words[WORDS_MAX];
	size_t n;
	struct pm_error *err;
};

static int bad(const struct line *l, size_t word, const char *want)
{
	const char *at = word < l->n ? l->words[word] : l->start;

	return pm_fail(l->err, PM_CONFIG, "line %u, column %zu: %s expected", l->number,
	               (size_t)(at - l->start) + 1, want);
}

/* Cut a line into words; what stands behind a # is a comment. */
static int cut(struct line *l)
{
	char *s = l->start;

	s[strcspn(s, "#")] = '\0';
	for (s += strspn(s, " \t\r"); *s != '\0'; s += strspn(s, " \t\r")) {
		if (l->n == WORDS_MAX)
			return pm_fail(l->err, PM_CONFIG, "line %u, column %zu: too many words",
			               l->number, (size_t)(s - l->start) + 1);
		l->words[l->n++] = s;
		s += strcspn(s, " \t\r");
		if (*s != '\0')
			*s++ = '\0';
	}
	return 0;
}

/* What an agent can be asked for: all that stands before what it never does from afar. */
#define AGENT_OPS (PM_OP_BIT(PM_OP_LOCAL) - 1)

static pm_ops ops_of_word(const char *word, size_t len)
{
	static const struct {
		const char *name;
		pm_ops ops;
	} sets[] = {
		{ "read", PM_OP_BIT(PM_OP_STATUS) | PM_OP_BIT(PM_OP_LOGS) },
		{ "run", PM_OP_BIT(PM_OP_START) | PM_OP_BIT(PM_OP_RESTART) |
		                 PM_OP_BIT(PM_OP_RELOAD) | PM_OP_BIT(PM_OP_SCALE) |
		                 PM_OP_BIT(PM_OP_STOP) },
		{ "all", AGENT_OPS },
	};
	enum pm_op op;

	for (size_t i = 0; i < PM_COUNT(sets); i++)
		if (strlen(sets[i].name) == len && memcmp(sets[i].name, word, len) == 0)
			return sets[i].ops;
	return pm_op_by_name(word, len, &op) ? PM_OP_BIT(op) & AGENT_OPS : 0;
}

static int read_ops(const struct line *l, const char *list, pm_ops *out)
{
	*out = 0;
	for (;;) {
		size_t len = strcspn(list, ",");
		pm_ops ops = ops_of_word(list, len);

		if (ops == 0)
			return pm_fail(l->err, PM_CONFIG, "line %u, column %zu: no operation %.*s",
			               l->number, (size_t)(list - l->start) + 1,
			               (int)PM_MIN(len, 40u), list);
		*out |= ops;
		if (list[len] == '\0')
			return 0;
		list += len + 1;
	}
}

/* "30/h" */
static bool read_rate(const char *word, uint32_t *out)
{
	size_t digits = strspn(word, "0123456789");

	if (digits == 0 || digits > 6 || strcmp(word + digits, "/h") != 0)
		return false;
	*out = (uint32_t)strtoul(word, NULL, 10);
	return *out > 0;
}

/* FNV-1a over the words: the same rule has the same name wherever it stands in the file. */
static uint64_t name_of(const struct line *l)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < l->n; i++)
		for (const char *s = l->words[i];; s++) {
			hash = (hash ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
			if (*s == '\0')
				break;
		}
	return hash;
}

/* allow WHO OPS [APPS] [RATE] */
static int read_allow(struct policy *p, struct line *l)
{
	struct rule r = { .apps = "", .per_hour = 0, .what = name_of(l) };
	size_t next = 3;

	if (l->n < 3)
		return bad(l, l->n, "allow WHO OPERATIONS");
	r.rank = pm_rank_by_name(l->words[1]);
	if (strncmp(l->words[1], KEY_PREFIX, strlen(KEY_PREFIX)) == 0 &&
	    strlen(l->words[1]) > strlen(KEY_PREFIX))
		r.key = l->words[1];
	if (r.rank == PM_RANK_NONE && r.key == NULL)
		return bad(l, 1, "a role or a key");
	if (read_ops(l, l->words[2], &r.ops) < 0)
		return -1;
	if (next < l->n && !read_rate(l->words[next], &r.per_hour)) {
		r.only_local = strcmp(l->words[next], "@local") == 0;
		r.apps = r.only_local || strcmp(l->words[next], "*") == 0 ? "" : l->words[next];
		next++;
	}
	if (next < l->n && r.per_hour == 0 && read_rate(l->words[next], &r.per_hour))
		next++;
	else if (next == 3 && r.per_hour != 0)
		next++;
	if (next < l->n)
		return bad(l, next, "a rate such as 30/h, or the end of the line,");
	p->rules[p->n_rules++] = r;
	return 0;
}

/* min_up APPS N|N% */
static int read_min_up(struct policy *p, struct line *l)
{
	struct min_up m = { 0 };
	size_t digits;

	if (l->n != 3)
		return bad(l, l->n, "min_up APPS NUMBER");
	digits = strspn(l->words[2], "0123456789");
	m.pct = digits > 0 && strcmp(l->words[2] + digits, "%") == 0;
	if (digits == 0 || digits > 5 || (l->words[2][digits] != '\0' && !m.pct))
		return bad(l, 2, "a number of instances, or 1% to 100%");
	m.n = (uint32_t)strtoul(l->words[2], NULL, 10);
	if (m.pct && m.n > 100)
		return bad(l, 2, "a number of instances, or 1% to 100%");
	m.apps = l->words[1];
	p->floors[p->n_floors++] = m;
	return 0;
}

static int read_line(struct policy *p, struct line *l)
{
	if (cut(l) < 0)
		return -1;
	if (l->n == 0)
		return 0;
	if (p->n_rules + p->n_floors == PM_POLICY_RULES_MAX)
		return pm_fail(l->err, PM_LIMIT, "line %u: more than %d rules", l->number,
		               PM_POLICY_RULES_MAX);
	if (strcmp(l->words[0], "allow") == 0)
		return read_allow(p, l);
	if (strcmp(l->words[0], "min_up") == 0)
		return read_min_up(p, l);
	return bad(l, 0, "allow or min_up");
}

int policy_parse(const char *text, size_t len, struct policy **out, struct pm_error *err)
{
	PM_CLEANUP(policy_destroyp) struct policy *p = NULL;
	unsigned number = 0;

	if (len > PM_POLICY_MAX)
		return pm_fail(err, PM_LIMIT, "the policy is over %u KiB", PM_POLICY_MAX >> 10);
	if (memchr(text, '\0', len) != NULL)
		return pm_fail(err, PM_CONFIG, "the policy is no text");
	p = pm_calloc(1, sizeof(*p));
	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the policy");
	p->text = pm_strndup(text, len);
	p->rules = pm_calloc(PM_POLICY_RULES_MAX, sizeof(*p->rules));
	p->floors = pm_calloc(PM_POLICY_RULES_MAX, sizeof(*p->floors));
	if (p->text == NULL || p->rules == NULL || p->floors == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the policy");
	for (char *rest = p->text; rest != NULL;) {
		struct line l = { .number = ++number, .err = err };

		l.start = strsep(&rest, "\n");
		if (read_line(p, &l) < 0)
			return -1;
	}
	*out = PM_STEAL(p);
	return 0;
}

/* ---- rates ---- */

void policy_usage_resume(struct policy_usage *u, const uint8_t boot[16], uint64_t now_ms)
{
	if (memcmp(u->boot, boot, sizeof(u->boot)) == 0)
		return;
	memcpy(u->boot, boot, sizeof(u->boot));
	for (size_t i = 0; i < PM_COUNT(u->counts); i++)
		u->counts[i].hour_ms = now_ms;
}

/* The counter of a rule and operation, a free one if it has none; NULL: all are in use. */
static uint32_t *counter(struct policy_usage *u, uint64_t what, uint64_t now_ms)
{
	size_t room = PM_COUNT(u->counts);

	for (size_t i = 0; i < PM_COUNT(u->counts); i++) {
		bool over;

		if (u->counts[i].hour_ms > now_ms) /* a clock that went back frees nothing */
			u->counts[i].hour_ms = now_ms;
		over = now_ms - u->counts[i].hour_ms >= HOUR_MS;
		if (u->counts[i].what == what && !over)
			return &u->counts[i].used;
		if (over || u->counts[i].what == 0) {
			room = i;
			u->counts[i].what = 0;
		}
	}
	if (room == PM_COUNT(u->counts))
		return NULL;
	u->counts[room].what = what;
	u->counts[room].hour_ms = now_ms;
	u->counts[room].used = 0;
	return &u->counts[room].used;
}

/* Take one use of the rule; false: the hour has no more. */
static bool spend(const struct rule *rule, enum pm_op op, struct policy_usage *u, uint64_t now_ms)
{
	uint32_t most = rule->per_hour;
	uint32_t *used;

	if (most == 0 && !pm_op_info(op)->changes)
		return true;
	if (most == 0)
		most = PM_POLICY_RATE;
	used = counter(u, (rule->what ^ (uint64_t)op) | 1u << 31, now_ms);
	if (used == NULL || *used >= most)
		return false;
	(*used)++;
	return true;
}

/* ---- deciding ---- */

static bool is_for(const struct rule *rule, const struct policy_request *r)
{
	if (rule->key != NULL)
		return r->key != NULL && strcmp(rule->key, r->key) == 0;
	return r->rank >= rule->rank;
}

static bool covers(const struct rule *rule, const struct policy_request *r)
{
	bool changes;

	if ((rule->ops & PM_OP_BIT(r->op)) == 0 || !is_for(rule, r))
		return false;
	changes = pm_op_info(r->op)->changes;
	if (pm_op_info(r->op)->of_machine) /* it concerns all apps: a rule for some is not enough */
		return *rule->apps == '\0' && (!rule->only_local || !changes);
	if (rule->only_local && !r->app_is_local && changes)
		return false;
	return *rule->apps == '\0' || (r->app != NULL && glob_match_any(rule->apps, r->app));
}

uint32_t policy_min_up(const struct policy *p, const char *app, uint32_t instances)
{
	uint32_t most = 0;

	for (size_t i = 0; i < p->n_floors; i++) {
		const struct min_up *m = &p->floors[i];
		uint64_t n = m->pct ? ((uint64_t)m->n * instances + 99) / 100 : m->n;

		if (glob_match_any(m->apps, app) && n > most)
			most = (uint32_t)n;
	}
	return most;
}

static void refuse(struct policy_verdict *out, const char *why)
{
	*out = (struct policy_verdict){ 0 };
	(void)snprintf(out->why, sizeof(out->why), "%s", why);
}

/* Whether it would take the app below its floor, and lower than it is. */
static bool below_floor(const struct policy *p, const struct policy_request *r,
                        struct policy_verdict *out)
{
	uint32_t floor;

	if (r->app == NULL || !pm_op_info(r->op)->changes)
		return false;
	floor = policy_min_up(p, r->app, r->instances);
	if (r->up_least >= floor || r->up_least >= r->up_now)
		return false;
	*out = (struct policy_verdict){ 0 };
	(void)snprintf(out->why, sizeof(out->why),
	               "it would leave %u of %.60s up, and this machine's policy keeps %u",
	               r->up_least, r->app, floor);
	return true;
}

void policy_decide(const struct policy *p, const struct policy_request *r, struct policy_usage *u,
                   uint64_t now_ms, struct policy_verdict *out)
{
	bool spent = false;

	if (below_floor(p, r, out))
		return;
	for (size_t i = 0; i < p->n_rules; i++) {
		if (!covers(&p->rules[i], r))
			continue;
		if (spend(&p->rules[i], r->op, u, now_ms)) {
			*out = (struct policy_verdict){ .allowed = true };
			return;
		}
		spent = true;
	}
	refuse(out, spent ? "this machine's policy allows no more of it in this hour"
	                  : "this machine's policy does not allow it");
	out->rate = spent;
}
