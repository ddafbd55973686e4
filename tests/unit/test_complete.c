#include "tests/unit/unit.h"

#include <stdio.h>

#include "cli/complete.h"

#define WORDS_MAX 8

struct row {
	const char *words[WORDS_MAX]; /* the last one is being typed */
	const char *has[6];           /* lines, without what they say of it */
	const char *lacks[4];
	enum complete_files files;
};

#define WORDS(...) .words = { __VA_ARGS__ }
#define HAS(...)   .has = { __VA_ARGS__ }
#define LACKS(...) .lacks = { __VA_ARGS__ }

static const struct row rows[] = {
	/* verbs */
	{ WORDS(""), HAS("start", "stop", "restart", "help"), LACKS("__complete", "ls", "--json") },
	{ WORDS("sto"), HAS("stop"), LACKS("start") },
	{ WORDS("l"), HAS("list", "logs", "ls", "l"), LACKS("stop") },
	{ WORDS("--no-color", "sta"), HAS("start", "startOrRestart") },
	{ WORDS("--timeout", "5s", "pi"), HAS("ping", "pid") },
	{ WORDS("help", "res"), HAS("restart", "reset", "resurrect") },
	{ WORDS("nonsense", ""), LACKS("start", "all") },
	/* options */
	{ WORDS("list", "--"), HAS("--sort", "--json", "--home", "--all"),
	  LACKS("--name", "list") },
	{ WORDS("start", "--na"), HAS("--name", "--namespace"), LACKS("--no-wait") },
	{ WORDS("start", "--out"), HAS("--output", "--out-file") },
	{ WORDS("start", "-"), HAS("--watch", "--no-autorestart", "--force"),
	  LACKS("--no-vizion") },
	{ WORDS("stop", "--"), HAS("--only", "--hosts", "--context"), LACKS("--watch") },
	{ WORDS("check", "--"), LACKS("--hosts", "--all") },
	{ WORDS("--hosts", "web1", "st"), HAS("stop") },
	{ WORDS("-"), HAS("--version", "--silent"), LACKS("--sort") },
	/* their values */
	{ WORDS("--color", ""), HAS("auto", "always", "never"), LACKS("start") },
	{ WORDS("--color=al"), HAS("--color=always"), LACKS("always", "--color=auto") },
	{ WORDS("list", "--sort", "m"), HAS("memory"), LACKS("name") },
	{ WORDS("start", "--log-type", ""), HAS("raw", "json") },
	{ WORDS("start", "--log-compress="), HAS("--log-compress=gzip"), LACKS("gzip") },
	{ WORDS("start", "-i", ""), HAS("max"), LACKS("all") },
	{ WORDS("start", "--cwd", ""), LACKS("all"), .files = COMPLETE_DIRECTORIES },
	{ WORDS("start", "--out-file=lo"), .files = COMPLETE_FILES },
	{ WORDS("--home", ""), LACKS("start"), .files = COMPLETE_DIRECTORIES },
	{ WORDS("start", "-fo", ""), .files = COMPLETE_FILES },
	{ WORDS("start", "-oout", ""), HAS("web"), .files = COMPLETE_FILES },
	{ WORDS("start", "--name", ""), LACKS("web", "max") },
	{ WORDS("start", "--name=x", ""), HAS("web"), .files = COMPLETE_FILES },
	{ WORDS("start", "--depends-on", ""), HAS("web", "job"), LACKS("all") },
	/* arguments */
	{ WORDS("stop", ""), HAS("all", "web", "job", "ns"), LACKS("1", "api web") },
	{ WORDS("stop", "web", "j"), HAS("job"), LACKS("web") },
	{ WORDS("stop", "eco."), .files = COMPLETE_CONFIGS },
	{ WORDS("describe", ""), HAS("web", "job"), LACKS("all", "ns") },
	{ WORDS("describe", "web", ""), LACKS("web") },
	{ WORDS("env", ""), HAS("0", "1", "2"), LACKS("web") },
	{ WORDS("scale", "w"), HAS("web"), LACKS("all") },
	{ WORDS("scale", "web", ""), LACKS("web") },
	{ WORDS("sendSignal", "TERM", ""), HAS("web") },
	{ WORDS("agent", ""), HAS("status", "upgrade"), LACKS("web") },
	{ WORDS("start", ""), HAS("all", "web"), .files = COMPLETE_FILES },
	{ WORDS("startOrReload", ""), LACKS("web"), .files = COMPLETE_CONFIGS },
	{ WORDS("start", "a.js", "--", ""), LACKS("web"), .files = COMPLETE_FILES },
	{ WORDS("start", "a.js", "--", "--na"), LACKS("--name"), .files = COMPLETE_FILES },
	{ WORDS("prettylist", ""), LACKS("web") },
};

static bool has_line(const struct pm_buf *out, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = out->bytes; at != NULL && *at != '\0'; at = strchr(at, '\n') + 1)
		if (strncmp(at, word, len) == 0 && at[len] == '\t')
			return true;
	return false;
}

static void instances(Pm__InstanceStatus *made, Pm__InstanceStatus **list)
{
	static char names[][8] = { "web", "web", "job", "a\nb" };
	static char ns[] = "ns", other[] = "other";

	for (uint32_t i = 0; i < PM_COUNT(names); i++) {
		pm__instance_status__init(&made[i]);
		made[i].pm_id = i;
		made[i].name = names[i];
		made[i].namespace_ = i == 2 ? other : ns;
		list[i] = &made[i];
	}
}

static void offer(const struct row *row, struct complete *plan, struct pm_buf *out)
{
	Pm__InstanceStatus made[4], *list[4];
	char copy[WORDS_MAX][32];
	char *words[WORDS_MAX];
	size_t n = 0;

	for (; n < WORDS_MAX && row->words[n] != NULL; n++) {
		(void)snprintf(copy[n], sizeof(copy[n]), "%s", row->words[n]);
		words[n] = copy[n];
	}
	complete_plan(words, n, plan);
	complete_words(plan, out);
	instances(made, list);
	complete_instances(plan, list, PM_COUNT(list), out);
	pm_buf_char(out, '\0'); /* the plan points into the words, which end here */
}

static void each_word_gets_what_may_stand_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct complete plan;
		PM_BUF out = { 0 };

		offer(&rows[i], &plan, &out);
		assert_false(out.failed);
		for (size_t k = 0; k < PM_COUNT(rows[i].has) && rows[i].has[k] != NULL; k++)
			if (!has_line(&out, rows[i].has[k]))
				fail_msg("row %zu: no '%s' in\n%s", i, rows[i].has[k], out.bytes);
		for (size_t k = 0; k < PM_COUNT(rows[i].lacks) && rows[i].lacks[k] != NULL; k++)
			if (has_line(&out, rows[i].lacks[k]))
				fail_msg("row %zu: '%s' in\n%s", i, rows[i].lacks[k], out.bytes);
		if (plan.files != rows[i].files)
			fail_msg("row %zu: files %d", i, (int)plan.files);
	}
}

/* A name is offered once, and one that would break the list is not offered. */
static void names_come_once_and_whole(void **state)
{
	static const struct row row = { .words = { "stop", "" } };
	struct complete plan;
	PM_BUF out = { 0 };
	size_t n = 0;

	(void)state;
	offer(&row, &plan, &out);
	for (const char *at = out.bytes; (at = strstr(at, "web\t")) != NULL; at++)
		n++;
	assert_int_equal(n, 1);
	assert_null(strstr(out.bytes, "a\nb"));
}

static void the_home_is_found_wherever_it_stands(void **state)
{
	static const struct row rows_of_home[] = {
		{ .words = { "--home", "/h", "stop", "" } },
		{ .words = { "--home=/h", "stop", "" } },
		{ .words = { "stop", "--home", "/h", "" } },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows_of_home); i++) {
		char *words[] = { NULL, NULL, NULL, NULL };
		struct complete plan;
		size_t n = 0;

		for (; n < 4 && rows_of_home[i].words[n] != NULL; n++)
			memcpy(&words[n], &rows_of_home[i].words[n], sizeof(words[n]));
		complete_plan(words, n, &plan);
		assert_non_null(plan.home);
		assert_string_equal(plan.home, "/h");
	}
}

static void a_verb_offers_all_its_options(void **state)
{
	(void)state;
	for (size_t i = 0; cmd_all[i] != NULL; i++) {
		struct row row = { .words = { cmd_all[i]->name, "--" } };
		struct complete plan;
		PM_BUF out = { 0 };
		char word[80];

		if ((cmd_all[i]->flags & CMD_PM2_ONLY) != 0)
			continue;
		offer(&row, &plan, &out);
		for (const struct cmd_option *o = cmd_all[i]->options; o != NULL && o->name != NULL;
		     o++) {
			(void)snprintf(word, sizeof(word), "--%s", o->name);
			if (!has_line(&out, word))
				fail_msg("%s: no %s", cmd_all[i]->name, word);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_gets_what_may_stand_there),
		cmocka_unit_test(names_come_once_and_whole),
		cmocka_unit_test(the_home_is_found_wherever_it_stands),
		cmocka_unit_test(a_verb_offers_all_its_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
