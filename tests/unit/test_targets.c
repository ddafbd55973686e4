/* Which hosts an expression means: labels, conditions, sets, groups, limits. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/targets.h"

/* A fleet of web01..web20, db1..db3 and one odd one. */
#define N_HOSTS 24

static struct targets_host hosts[N_HOSTS];
static char names[N_HOSTS][16];

static void make_host(size_t i, const char *labels)
{
	struct pm_error err;

	hosts[i].name = names[i];
	assert_int_equal(pm_labels_parse(labels, &hosts[i].labels, &err), 0);
	assert_int_equal(pm_labels_parse("role=db", &hosts[i].claimed, &err), 0);
}

static int make_fleet(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "db%zu", i + 1);
		make_host(i, i == 0 ? "role=db,env=prod" : "role=db,env=test");
	}
	(void)snprintf(names[3], sizeof(names[3]), "odd");
	make_host(3, "");
	for (size_t i = 4; i < N_HOSTS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "web%02zu", i - 3);
		make_host(i, i % 2 == 0 ? "role=web,env=prod" : "role=web,env=test");
	}
	qsort(hosts, N_HOSTS, sizeof(hosts[0]), targets_host_compare);
	return 0;
}

static int free_fleet(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_HOSTS; i++) {
		pm_labels_finish(&hosts[i].labels);
		pm_labels_finish(&hosts[i].claimed);
	}
	return 0;
}

static const char *fact(void *arg, size_t host, const struct where_path *path)
{
	(void)arg;
	if (path->root == WHERE_APP && strcmp(path->name, "api") == 0 && host >= 4)
		return strcmp(path->field, "version") == 0 ? (host < 10 ? "1.10" : "1.9")
		                                           : "online";
	if (path->root == WHERE_HOST && strcmp(path->name, "cpus") == 0)
		return host < 4 ? "16" : "4";
	if (path->root == WHERE_HOST && strcmp(path->name, "memory") == 0)
		return "3221225472";
	return NULL;
}

static bool group(void *arg, const char *name, struct targets_query *out)
{
	(void)arg;
	if (strcmp(name, "web") == 0)
		out->label = "role=web";
	else if (strcmp(name, "front") == 0)
		out->hosts = "@web,!web[11-20]";
	else if (strcmp(name, "loop") == 0)
		out->hosts = "@loop";
	else if (strcmp(name, "many") == 0)
		out->hosts = "@web,@web,@web,@web,@web,@web,@web,@web,@web,@web,@web";
	else if (strcmp(name, "none") == 0)
		out->label = "role=nothing";
	else
		return false;
	return true;
}

static const struct targets_fleet fleet = {
	.hosts = hosts,
	.n = N_HOSTS,
	.fact = fact,
	.group = group,
};

/* The hosts of a query, folded; or "!" and the words of the error, its hint in brackets. */
static const char *expand(const struct targets_query *q)
{
	static char out[600];
	struct targets t = { 0 };
	struct pm_error err = { 0 };
	PM_BUF b = { 0 };

	if (targets_expand(q, &fleet, &t, &err) < 0) {
		(void)snprintf(out, sizeof(out), "!%d %s [%s]", (int)err.code, err.what, err.hint);
		return out;
	}
	assert_int_equal(targets_fold(&t, &fleet, &b, &err), 0);
	(void)snprintf(out, sizeof(out), "%s", b.bytes);
	targets_finish(&t);
	return out;
}

static const char *of_hosts(const char *set)
{
	return expand(&(struct targets_query){ .hosts = set });
}

static const char *of_where(const char *where)
{
	return expand(&(struct targets_query){ .where = where });
}

static void sets_name_hosts(void **state)
{
	(void)state;
	assert_string_equal(of_hosts("web01"), "web01");
	assert_string_equal(of_hosts("web01,db*"), "db[1-3],web01");
	assert_string_equal(of_hosts("web[01-20,3]"),
	                    "!4 --hosts, at 1: no host web3 [did you mean web03?]");
	assert_string_equal(of_hosts("web[05-07]"), "web[05-07]");
	assert_string_equal(of_hosts("web?[1-2]"), "web[01,02,11,12]");
	assert_string_equal(of_hosts("~^(db[12]|odd)$"), "db[1,2],odd");
	assert_string_equal(of_hosts("~^web0{1,1}[1-2]$"), "web[01,02]");
	assert_string_equal(of_hosts("@front"), "web[01-10]");
	assert_string_equal(of_hosts("@front,!@web,odd"), "odd");
	assert_string_equal(of_hosts("!web*"), "db[1-3],odd");
	assert_string_equal(of_hosts("!web*,db*"), "db[1-3]");
	assert_string_equal(of_hosts("db*,!db9,!nowhere*"), "db[1-3]");
	assert_string_equal(of_hosts("odd,@none"), "odd");
}

static void exclusion_wins_wherever_it_stands(void **state)
{
	(void)state;
	assert_string_equal(of_hosts("!db1,db*"), "db[2,3]");
	assert_string_equal(of_hosts("db*,!db1"), "db[2,3]");
	assert_string_equal(of_hosts("db*,!db1,db1"), "db[2,3]");
	assert_string_equal(expand(&(struct targets_query){ .hosts = "db*", .exclude = "db[2-3]" }),
	                    "db1");
	assert_string_equal(expand(&(struct targets_query){ .all = true, .exclude = "web*,odd" }),
	                    "db[1-3]");
}

static void no_match_is_an_error_with_the_nearest_name(void **state)
{
	(void)state;
	assert_string_equal(of_hosts("wbe*"),
	                    "!4 --hosts, at 1: no host wbe* [did you mean web*?]");
	assert_string_equal(of_hosts("web1"),
	                    "!4 --hosts, at 1: no host web1 [did you mean web01?]");
	assert_string_equal(
		of_hosts("odd,wbe[01-03]"),
		"!4 --hosts, at 5: no host wbe01, nor 2 more of wbe[01-03] [did you mean "
		"web01?]");
	assert_string_equal(of_hosts("frontend-7"), "!4 --hosts, at 1: no host frontend-7 [run "
	                                            "'pmctl node list' to see the hosts]");
	assert_string_equal(of_hosts("~^x"), "!4 --hosts, at 1: no host ~^x []");
	assert_string_equal(expand(&(struct targets_query){ .label = "role=cache" }),
	                    "!4 no host matches []");
	assert_string_equal(expand(&(struct targets_query){ .all = true, .exclude = "*" }),
	                    "!4 no host matches []");
	assert_string_equal(of_hosts("@nix"), "!4 --hosts, at 1: no group nix [run 'pmctl targets "
	                                      "--groups' to see them]");
}

static void what_is_not_the_grammar_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *set, *want;
	} cases[] = {
		{ "", "!2 --hosts, at 1: an empty name []" },
		{ "db1,,db2", "!2 --hosts, at 5: an empty name []" },
		{ "db1,", "!2 --hosts, at 5: an empty name []" },
		{ "!", "!2 --hosts, at 1: an empty name []" },
		{ "db1,~a(", "!2 --hosts, at 5: ~a(: Unmatched ( or \\( []" },
		{ "db1,web[3-1]", "!2 --hosts, at 5: [3-1]: it ends before it begins []" },
		{ "web[1-70000]", "!31 --hosts, at 1: more than 65536 names []" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_string_equal(of_hosts(cases[i].set), cases[i].want);
	assert_string_equal(expand(&(struct targets_query){ 0 }), "!2 no hosts are named []");
}

static void groups_do_not_go_round_and_round(void **state)
{
	(void)state;
	assert_non_null(strstr(of_hosts("@loop"), "over 8 deep"));
	assert_non_null(
		strstr(of_hosts("@many,@many,@many,@many,@many,@many"), "more than 64 groups"));
	assert_string_equal(expand(&(struct targets_query){ .group = "front" }), "web[01-10]");
}

static void patterns_have_a_budget(void **state)
{
	static struct targets_host many[PM_HOSTS_MAX];
	static char text[PM_HOSTS_MAX][8];
	struct targets_fleet big = { .hosts = many, .n = PM_HOSTS_MAX };
	struct targets_query q = { .hosts = "x[1-60000]*" };
	struct targets t;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_HOSTS_MAX; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "x%zu", i);
		many[i].name = text[i];
	}
	assert_int_equal(targets_expand(&q, &big, &t, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	q.hosts = "x*";
	assert_int_equal(targets_expand(&q, &big, &t, &err), 0);
	assert_int_equal(t.n, PM_HOSTS_MAX);
	targets_finish(&t);
	big.n++;
	assert_int_equal(targets_expand(&q, &big, &t, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
}

static void labels_select(void **state)
{
	static const struct {
		const char *label, *want;
	} cases[] = {
		{ "role=db", "db[1-3]" },
		{ "role==db, env=test", "db[2,3]" },
		{ "role!=web", "db[1-3],odd" },
		{ "!role", "odd" },
		{ "role,env=prod,role!=web", "db1" },
		{ "role in (db,cache), env in (prod)", "db1" },
		{ "role notin (web)", "db[1-3],odd" },
		{ "in=a", "!4 no host matches []" },
		{ "", "!2 --label, at 1: a label's key expected []" },
		{ "role=", "!4 no host matches []" },
		{ "role=db,", "!2 --label, at 9: a label's key expected []" },
		{ "role in db", "!2 --label, at 9: '(' expected []" },
		{ "role in (db", "!2 --label, at 12: ',' or ')' expected []" },
		{ "role in ()", "!2 --label, at 10: a value expected []" },
		{ "role>3", "!2 --label, at 1: a label's key expected []" },
		{ "role = db x", "!2 --label, at 11: ',' expected []" },
		{ "! role=db", "!2 --label, at 7: ',' expected []" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_string_equal(expand(&(struct targets_query){ .label = cases[i].label }),
		                    cases[i].want);
}

static void a_label_that_a_host_gives_itself_selects_nothing(void **state)
{
	(void)state;
	/* F-07: every host claims role=db. */
	assert_string_equal(expand(&(struct targets_query){ .label = "role=db" }), "db[1-3]");
	assert_string_equal(of_where("label.role == db"), "db[1-3]");
	assert_string_equal(of_where("claimed.role == db and host.name == web01"), "web01");
}

static void conditions_are_evaluated(void **state)
{
	static const struct {
		const char *where, *want;
	} cases[] = {
		{ "app.api.version < \"1.10\" and app.api.state == 'online'", "web[07-20]" },
		{ "app.api.version < 1.10", "web[07-20]" },
		{ "app.api.version >= 1.10", "web[01-06]" },
		{ "app.api.version", "web[01-20]" },
		{ "not app.api.version", "db[1-3],odd" },
		{ "not not app.api.version", "web[01-20]" },
		{ "host.cpus > 9", "db[1-3],odd" }, /* a number, not a text */
		{ "host.memory >= 3G and host.cpus=16", "db[1-3],odd" },
		{ "host.memory > 3G", "!4 no host matches []" },
		{ "label.env == prod and (label.role == db or host.name == 'web01')", "db1,web01" },
		{ "label.role != web", "db[1-3]" }, /* odd has none: false */
		{ "label.role in (db, cache) or host.name ~ ^odd", "db[1-3],odd" },
		{ "label.role in (\"db\")", "db[1-3]" },
		{ "host.name == odd or label.role == db and label.env == prod", "db1,odd" },
		{ "app.\"api\".state == online and host.name < web03", "web[01,02]" },
		{ "host.uptime", "!4 no host matches []" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_string_equal(of_where(cases[i].where), cases[i].want);
}

static void a_condition_that_is_none_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *where, *want;
	} cases[] = {
		{ "", "!2 --where, at 1: host., label., claimed. or app. expected []" },
		{ "hots.name", "!2 --where, at 1: host., label., claimed. or app. expected []" },
		{ "host.nmae == x", "!2 --where, at 6: no field nmae [did you mean name?]" },
		{ "app.api.versoin == 1",
		  "!2 --where, at 9: no field versoin [did you mean version?]" },
		{ "app.api == 1", "!2 --where, at 5: NAME.FIELD of an app expected []" },
		{ "app.'api == 1", "!2 --where, at 5: a closing quote after this one expected []" },
		{ "host.name ==", "!2 --where, at 13: a value expected []" },
		{ "host.name == 'x",
		  "!2 --where, at 14: a closing quote after this one expected []" },
		{ "host.name == x host.name", "!2 --where, at 16: and or or expected []" },
		{ "(host.name == x", "!2 --where, at 16: and, or or ')' expected []" },
		{ "host.name == x)", "!2 --where, at 15: and or or expected []" },
		{ "host.name in (x", "!2 --where, at 16: ',' or ')' expected []" },
		{ "host.name in ('')", "!2 --where, at 17: a value that is not empty expected []" },
		{ "host.name in x", "!2 --where, at 14: '(' expected []" },
		{ "host.name ~ 'a('", "!2 --where, at 17: ~a(: Unmatched ( or \\( []" },
		{ "label. == x", "!2 --where, at 7: a label's key expected []" },
		{ "not", "!2 --where, at 4: host., label., claimed. or app. expected []" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_string_equal(of_where(cases[i].where), cases[i].want);
}

static void conditions_have_limits(void **state)
{
	char deep[2 * PM_WHERE_DEPTH_MAX + 32] = "";
	PM_BUF wide = { 0 };
	char *at = deep;

	(void)state;
	for (unsigned i = 0; i < PM_WHERE_DEPTH_MAX; i++)
		*at++ = '(';
	memcpy(at, "host.name", 9);
	memset(at + 9, ')', PM_WHERE_DEPTH_MAX);
	assert_string_equal(of_where(deep), "db[1-3],odd,web[01-20]");
	memmove(deep + 1, deep, strlen(deep) + 1);
	assert_string_equal(of_where(deep), "!31 --where: more than 32 brackets deep []");
	for (unsigned i = 0; i < PM_WHERE_TERMS_MAX; i++)
		pm_buf_str(&wide, "host.name or ");
	pm_buf_str(&wide, "host.name");
	assert_string_equal(of_where(wide.bytes), "!31 --where: more than 256 terms []");
	while (wide.len <= PM_TARGETS_TEXT_MAX)
		pm_buf_char(&wide, ' ');
	assert_string_equal(of_where(wide.bytes), "!31 --where: over 16384 bytes []");
	assert_string_equal(of_hosts(wide.bytes), "!31 --hosts: over 16384 bytes []");
	assert_string_equal(expand(&(struct targets_query){ .label = wide.bytes }),
	                    "!31 --label: over 16384 bytes []");
}

static void different_options_narrow_each_other(void **state)
{
	(void)state;
	assert_string_equal(
		expand(&(struct targets_query){ .hosts = "web*,db1", .label = "env=prod" }),
		"db1,web[01,03,05,07,09,11,13,15,17,19]");
	assert_string_equal(expand(&(struct targets_query){ .hosts = "!db1",
	                                                    .group = "front",
	                                                    .where = "app.api.version == '1.9'",
	                                                    .exclude = "web07" }),
	                    "web[08-10]");
	/* What one excludes no other brings back. */
	assert_string_equal(
		expand(&(struct targets_query){ .hosts = "db*,!db1", .label = "role=db" }),
		"db[2,3]");
}

static void limits_take_the_first_or_those_of_the_seed(void **state)
{
	struct targets_query q = { .hosts = "web*" };
	struct pm_error err;
	char first[600];

	(void)state;
	assert_int_equal(targets_parse_limit("3", &q, &err), 0);
	assert_string_equal(expand(&q), "web[01-03]");
	assert_int_equal(targets_parse_limit("21", &q, &err), 0);
	assert_string_equal(expand(&q), "web[01-20]");
	assert_int_equal(targets_parse_limit("1%", &q, &err), 0); /* rounded up */
	assert_string_equal(expand(&q), "web01");
	assert_int_equal(targets_parse_limit("25%", &q, &err), 0);
	assert_string_equal(expand(&q), "web[01-05]");
	assert_int_equal(targets_parse_limit("100%", &q, &err), 0);
	assert_string_equal(expand(&q), "web[01-20]");
	q = (struct targets_query){ .all = true, .limit = 5, .random = true, .seed = 1 };
	(void)snprintf(first, sizeof(first), "%s", expand(&q));
	assert_string_equal(expand(&q), first);
	q.seed = 2;
	assert_string_not_equal(expand(&q), first);
	for (size_t i = 0; i < 6; i++) {
		static const char *const wrong[] = { "", "0", "x", "3x", "101%", "99999999" };

		assert_int_equal(targets_parse_limit(wrong[i], &q, &err), -1);
		assert_int_equal(err.code, PM_USAGE);
	}
}

static void a_limit_by_seed_is_of_distinct_hosts_and_fair(void **state)
{
	unsigned taken[N_HOSTS] = { 0 };

	(void)state;
	for (uint64_t seed = 0; seed < 2400; seed++) {
		struct targets_query q = { .all = true, .limit = 2, .random = true, .seed = seed };
		struct targets t;
		struct pm_error err;

		assert_int_equal(targets_expand(&q, &fleet, &t, &err), 0);
		assert_int_equal(t.n, 2);
		assert_true(t.hosts[0] < t.hosts[1]);
		taken[t.hosts[0]]++;
		taken[t.hosts[1]]++;
		targets_finish(&t);
	}
	for (size_t i = 0; i < N_HOSTS; i++) /* 200 expected; eight deviations */
		assert_in_range(taken[i], 90, 310);
}

static void labels_are_read_sorted_and_unique(void **state)
{
	struct pm_labels l;
	struct pm_error err;
	PM_BUF many = { 0 };

	(void)state;
	assert_int_equal(pm_labels_parse("z=1,a=2,z=3,m=", &l, &err), 0);
	assert_int_equal(l.n, 3);
	assert_string_equal(pm_labels_get(&l, "z"), "3");
	assert_string_equal(pm_labels_get(&l, "a"), "2");
	assert_string_equal(pm_labels_get(&l, "m"), "");
	assert_null(pm_labels_get(&l, "b"));
	pm_labels_finish(&l);
	for (size_t i = 0; i < 5; i++) {
		static const char *const wrong[] = { "a", "=b", "a=b,", "a=b c", "a=b,,c=d" };
		int rc = pm_labels_parse(wrong[i], &l, &err);

		if (i == 2) { /* a comma at the end ends nothing */
			assert_int_equal(rc, 0);
			pm_labels_finish(&l);
			continue;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, PM_USAGE);
	}
	for (unsigned i = 0; i <= PM_LABELS_MAX; i++)
		pm_buf_printf(&many, "k%u=v,", i);
	assert_int_equal(pm_labels_parse(many.bytes, &l, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
}

static void memory_may_run_out_anywhere(void **state)
{
	struct targets_query q = { .hosts = "@front,db[1-2],~odd",
		                   .label = "role in (web,db)",
		                   .where = "host.name ~ web and not label.x",
		                   .exclude = "db1" };
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct pm_error err = { 0 };
		struct pm_labels l = { 0 };
		struct targets t = { 0 };
		PM_BUF b = { 0 };

		assert_true(nth < 100);
		pm_alloc_fail_at(nth);
		rc = targets_expand(&q, &fleet, &t, &err);
		if (rc == 0)
			rc = targets_fold(&t, &fleet, &b, &err);
		if (rc == 0)
			rc = pm_labels_parse("a=b", &l, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		else
			assert_string_equal(b.bytes, "web[01-10]");
		targets_finish(&t);
		pm_labels_finish(&l);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_name_hosts),
		cmocka_unit_test(exclusion_wins_wherever_it_stands),
		cmocka_unit_test(no_match_is_an_error_with_the_nearest_name),
		cmocka_unit_test(what_is_not_the_grammar_is_refused_with_its_place),
		cmocka_unit_test(groups_do_not_go_round_and_round),
		cmocka_unit_test(patterns_have_a_budget),
		cmocka_unit_test(labels_select),
		cmocka_unit_test(a_label_that_a_host_gives_itself_selects_nothing),
		cmocka_unit_test(conditions_are_evaluated),
		cmocka_unit_test(a_condition_that_is_none_is_refused_with_its_place),
		cmocka_unit_test(conditions_have_limits),
		cmocka_unit_test(different_options_narrow_each_other),
		cmocka_unit_test(limits_take_the_first_or_those_of_the_seed),
		cmocka_unit_test(a_limit_by_seed_is_of_distinct_hosts_and_fair),
		cmocka_unit_test(labels_are_read_sorted_and_unique),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, make_fleet, free_fleet);
}
