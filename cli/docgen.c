/*
 * docgen.c - fills in the parts of the man pages that tables know better; runs at build time only.
 *
 *   docgen PAGE.in PAGE   the page: a line that is @keys@ or the like becomes what it names
 *   docgen --table        the tables as JSON, for the test of the pages
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/json_out.h"
#include "cli/spec_build.h"
#include "proto/spec_keys.h"

/* ---- mdoc ---- */

/* One character, as mdoc(7) wants it; the accents in our texts stand for quotes. */
static void put_char(char c, bool *quoted)
{
	if (c == '`') {
		(void)fputs(*quoted ? "\\(cq" : "\\(oq", stdout);
		*quoted = !*quoted;
	} else if (c == '\\') {
		(void)fputs("\\e", stdout);
	} else if (c == '-') {
		(void)fputs("\\-", stdout); /* copied and pasted it must stay a minus */
	} else {
		(void)fputc(c, stdout);
	}
}

/* The first of a line must not be taken for a macro. */
static int put_word(const char *word, size_t len, bool first)
{
	bool quoted = false;

	if (first && (*word == '.' || *word == '\''))
		(void)fputs("\\&", stdout);
	for (size_t i = 0; i < len; i++)
		put_char(word[i], &quoted);
	return (int)len;
}

/* Text in lines, each sentence begins one: mandoc spaces sentences by that. */
static void text(const char *s)
{
	int column = 0;

	while (*s != '\0') {
		size_t len = strcspn(s, " ");
		const char *next = s + len + strspn(s + len, " ");

		if (column > 0 && column + (int)len > 70) {
			(void)fputc('\n', stdout);
			column = 0;
		} else if (column > 0) {
			(void)fputc(' ', stdout);
			column++;
		}
		column += put_word(s, len, column == 0);
		if (len > 1 && s[len - 1] == '.' && *next >= 'A' && *next <= 'Z') {
			(void)fputc('\n', stdout);
			column = 0;
		}
		s = next;
	}
}

/* An argument of a macro: what a blank or a quote would end. */
static void argument(const char *s, size_t len)
{
	bool quoted = false;

	(void)fputc('"', stdout);
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '"')
			(void)fputs("\\(dq", stdout);
		else
			put_char(s[i], &quoted);
	}
	(void)fputc('"', stdout);
}

static bool put_long(void *arg, const char *word, size_t len)
{
	const char **before = arg;

	(void)printf("%sFl Fl ", *before);
	argument(word, len);
	*before = " , ";
	return true;
}

/* start: what begins the line, "." or ".It " */
static void put_options(const char *start, const struct spec_key *key)
{
	static const char *const values[] = {
		[SPEC_ARG_NONE] = "",
		[SPEC_ARG_REQUIRED] = " Ar value",
		[SPEC_ARG_OPTIONAL] = " Op Ar value",
	};
	const char *before = "";

	(void)fputs(start, stdout);
	if (key->opt != 0) {
		(void)printf("Fl %c", key->opt);
		before = " , ";
	}
	(void)spec_each_word(key->opts, put_long, &before);
	(void)puts(values[key->arg]);
}

static bool put_alias(void *arg, const char *word, size_t len)
{
	bool *first = arg;

	if (!*first)
		(void)fputs(" ,\n", stdout);
	(void)fputs(".Cm ", stdout);
	argument(word, len);
	*first = false;
	return true;
}

static void put_key(const struct spec_key *key)
{
	char expects[128];
	bool first = true;

	spec_key_expects(key, expects, sizeof(expects));
	(void)printf(".It Cm %s\n", key->name);
	text(key->help);
	(void)fputs("\n.Bl -tag -width \"Default:\" -compact\n", stdout);
	(void)fputs(".It Value:\n", stdout);
	text(expects);
	(void)fputc('\n', stdout);
	if (key->def != NULL) {
		(void)fputs(".It Default:\n", stdout);
		text(key->def);
		(void)fputc('\n', stdout);
	}
	if (key->opts != NULL) {
		(void)fputs(".It Option:\n", stdout);
		put_options(".", key);
	}
	if (key->aliases != NULL) {
		(void)fputs(".It Also:\n", stdout);
		(void)spec_each_word(key->aliases, put_alias, &first);
		(void)fputc('\n', stdout);
	}
	(void)fputs(".El\n", stdout);
}

static void keys(void)
{
	for (size_t i = 0; i < spec_n_keys; i++)
		if ((spec_keys[i].flags & SPEC_NO_EFFECT) == 0)
			put_key(&spec_keys[i]);
}

/* What files written for PM2 may hold. */
static void keys_without_effect(void)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		if ((spec_keys[i].flags & SPEC_NO_EFFECT) == 0)
			continue;
		(void)printf(".It Cm %s\n", spec_keys[i].name);
		text(spec_keys[i].help);
		(void)fputc('\n', stdout);
	}
}

static void keys_of_ours(void)
{
	const char *before = "";

	for (size_t i = 0; i < spec_n_keys; i++) {
		if ((spec_keys[i].flags & SPEC_OURS) == 0)
			continue;
		(void)printf("%s.Cm %s", before, spec_keys[i].name);
		before = " ,\n";
	}
	(void)fputs(" .\n", stdout);
}

static void app_options(void)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		if (spec_keys[i].opts == NULL)
			continue;
		put_options(".It ", &spec_keys[i]);
		(void)printf(".Cm %s%s\n", spec_keys[i].name,
		             (spec_keys[i].flags & SPEC_NO_EFFECT) != 0 ? "\n(no effect)" : "");
	}
}

/* A value's name as an argument: what is in it is typed as it stands, or stands for something. */
static void option_items(const struct cmd_option *o)
{
	for (; o->name != NULL; o++) {
		char help[256];

		(void)fputs(".It ", stdout);
		if (o->letter != 0)
			(void)printf("Fl %c , ", o->letter);
		(void)fputs("Fl Fl ", stdout);
		argument(o->name, strlen(o->name));
		if (o->value != CMD_NO_VALUE) {
			(void)fputs(" Ar ", stdout);
			argument(o->value_name, strlen(o->value_name));
		}
		(void)snprintf(help, sizeof(help), "%s", o->help);
		help[0] = (char)toupper((unsigned char)help[0]);
		(void)fputc('\n', stdout);
		text(help);
		(void)fputs(".\n", stdout);
	}
}

static void rollout_options_part(void)
{
	option_items(cmd_rollout_options());
}

static void list_options_part(void)
{
	option_items(cmd_list_options);
}

static void taken_variables(void)
{
	const char *const *names;
	size_t n = spec_taken_env(&names);

	for (size_t i = 0; i < n; i++)
		(void)printf(".Ev %s%s\n", names[i], i + 1 < n ? " ," : " .");
}

static const struct {
	const char *line;
	void (*fill)(void);
} parts[] = {
	{ "@keys@\n", keys },
	{ "@keys-without-effect@\n", keys_without_effect },
	{ "@keys-of-ours@\n", keys_of_ours },
	{ "@app-options@\n", app_options },
	{ "@rollout-options@\n", rollout_options_part },
	{ "@list-options@\n", list_options_part },
	{ "@taken-variables@\n", taken_variables },
};

static int fill_page(const char *path)
{
	FILE *page = fopen(path, "re");
	char line[1024];

	if (page == NULL) {
		perror(path);
		return 1;
	}
	while (fgets(line, sizeof(line), page) != NULL) {
		size_t i = 0;

		while (i < PM_COUNT(parts) && strcmp(parts[i].line, line) != 0)
			i++;
		if (i < PM_COUNT(parts))
			parts[i].fill();
		else
			(void)fputs(line, stdout);
	}
	(void)fclose(page); /* was only read */
	return 0;
}

/* ---- the tables ---- */

static void json_options(struct json_out *j, const char *key, const struct cmd_option *list)
{
	json_key(j, key);
	json_begin_array(j);
	for (; list != NULL && list->name != NULL; list++) {
		char letter[2] = { list->letter, '\0' };

		json_begin_object(j);
		json_kstr(j, "name", list->name);
		json_kstr(j, "letter", letter);
		json_kbool(j, "value", list->value != CMD_NO_VALUE);
		json_end_object(j);
	}
	json_end_array(j);
}

static void json_verbs(struct json_out *j)
{
	json_key(j, "verbs");
	json_begin_array(j);
	for (size_t i = 0; cmd_all[i] != NULL; i++) {
		if (!cmd_is_listed(cmd_all[i], false))
			continue;
		json_begin_object(j);
		json_kstr(j, "name", cmd_all[i]->name);
		json_kstr(j, "aliases", cmd_all[i]->aliases == NULL ? "" : cmd_all[i]->aliases);
		json_kstr(j, "args", cmd_all[i]->args);
		json_kbool(j, "app_options", (cmd_all[i]->flags & CMD_APP_OPTIONS) != 0);
		json_options(j, "options", cmd_all[i]->options);
		json_end_object(j);
	}
	json_end_array(j);
}

static void json_statuses(struct json_out *j)
{
	static const int statuses[] = {
#define STATUS_OF(constant, wire, status, name) status,
		PM_CODES(STATUS_OF)
#undef STATUS_OF
	};

	json_key(j, "statuses");
	json_begin_array(j);
	for (size_t i = 0; i < PM_COUNT(statuses); i++)
		json_int(j, statuses[i]);
	json_end_array(j);
}

static int print_table(void)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_verbs(&j);
	json_options(&j, "global", cmd_global_options);
	json_options(&j, "fleet", cmd_fleet_options);
	json_options(&j, "rollout", cmd_rollout_options());
	json_options(&j, "lists", cmd_list_options);
	json_statuses(&j);
	json_end_object(&j);
	if (out.failed)
		return 1;
	(void)puts(out.bytes);
	return 0;
}

int main(int argc, char **argv)
{
	int status;

	if (argc == 2 && strcmp(argv[1], "--table") == 0) {
		status = print_table();
	} else if (argc == 3 && freopen(argv[2], "we", stdout) != NULL) {
		status = fill_page(argv[1]);
	} else {
		(void)fputs("usage: docgen PAGE.in PAGE | --table\n", stderr);
		return 2;
	}
	return fflush(stdout) == 0 && ferror(stdout) == 0 ? status : 1;
}
