/* cmd_explain.c - pmctl explain [KEY]: what a key of an app means. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/json_out.h"
#include "cli/key_nearest.h"
#include "cli/text.h"
#include "proto/spec_keys.h"

#define EXPECTS_MAX  128
#define HELP_COLUMNS 76

static const char profile_help[] =
	"Environment variables that are merged over env when the file is started with --env NAME.";

/* max_memory_restart is maxMemoryRestart too. */
static void add_camel(struct pm_buf *out, const char *name)
{
	for (const char *s = name; *s != '\0'; s++) {
		if (*s == '_' && s[1] >= 'a' && s[1] <= 'z')
			pm_buf_char(out, (char)(*++s - 'a' + 'A'));
		else
			pm_buf_char(out, *s);
	}
}

static void other_names(const struct spec_key *key, struct pm_buf *out)
{
	if (strchr(key->name, '_') != NULL)
		add_camel(out, key->name);
	if (key->aliases != NULL)
		pm_buf_printf(out, "%s%s", out->len > 0 ? " " : "", key->aliases);
}

static bool add_long(void *arg, const char *word, size_t len)
{
	struct pm_buf *out = arg;

	pm_buf_printf(out, "%s--%.*s", out->len > 0 ? ", " : "", (int)len, word);
	return !out->failed;
}

static void options_of(const struct spec_key *key, struct pm_buf *out)
{
	static const char *const values[] = {
		[SPEC_ARG_NONE] = "",
		[SPEC_ARG_REQUIRED] = " VALUE",
		[SPEC_ARG_OPTIONAL] = " [VALUE]",
	};

	if (key->opt != '\0')
		pm_buf_printf(out, "-%c", key->opt);
	(void)spec_each_word(key->opts, add_long, out);
	if (out->len > 0)
		pm_buf_str(out, values[key->arg]);
}

static void wrapped(struct pm_buf *out, const char *text)
{
	while (*text != '\0') {
		size_t len = strlen(text);

		if (len > HELP_COLUMNS) {
			len = HELP_COLUMNS;
			while (len > 1 && text[len] != ' ')
				len--;
		}
		pm_buf_printf(out, "  %.*s\n", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
}

static void text_key(const struct spec_key *key, struct pm_buf *out)
{
	char expects[EXPECTS_MAX];
	PM_BUF names = { 0 };
	PM_BUF options = { 0 };

	spec_key_expects(key, expects, sizeof(expects));
	other_names(key, &names);
	options_of(key, &options);
	pm_buf_printf(out, "%s\n", key->name);
	wrapped(out, key->help);
	pm_buf_printf(out, "\n  value:    %s\n", expects);
	pm_buf_printf(out, "  default:  %s\n", key->def != NULL ? key->def : "none");
	if (names.len > 0)
		pm_buf_printf(out, "  also:     %s\n", names.bytes);
	if (options.len > 0)
		pm_buf_printf(out, "  option:   %s\n", options.bytes);
	if (key->arg == SPEC_ARG_NONE && key->type != SPEC_KEPT && options.len == 0)
		pm_buf_str(out, "  option:   none, only in files\n");
	pm_buf_printf(out, "  PM2:      %s\n",
	              (key->flags & SPEC_OURS) != 0 ? "does not have it" : "has it too");
}

static void json_key_of(const struct spec_key *key, struct json_out *j)
{
	char expects[EXPECTS_MAX];
	PM_BUF names = { 0 };
	PM_BUF options = { 0 };

	spec_key_expects(key, expects, sizeof(expects));
	other_names(key, &names);
	options_of(key, &options);
	json_begin_object(j);
	json_kstr(j, "key", key->name);
	json_kstr(j, "value", expects);
	json_kstr(j, "default", key->def);
	json_kstr(j, "also", names.len > 0 ? names.bytes : NULL);
	json_kstr(j, "option", options.len > 0 ? options.bytes : NULL);
	json_kbool(j, "pm2", (key->flags & SPEC_OURS) == 0);
	json_kbool(j, "effect", (key->flags & SPEC_NO_EFFECT) == 0);
	json_kstr(j, "help", key->help);
	json_end_object(j);
}

/* Up to the first full stop or semicolon: what fits a line of the list. */
static void text_line(const struct spec_key *key, struct pm_buf *out)
{
	pm_buf_printf(out, "%-27s %.*s\n", key->name, (int)strcspn(key->help, ".;:"), key->help);
}

static void all_keys(struct ctx *ctx, struct pm_buf *out)
{
	struct json_out j;

	json_init(&j, out);
	if (ctx->json)
		json_begin_array(&j);
	for (size_t i = 0; i < spec_n_keys; i++) {
		if (ctx->json)
			json_key_of(&spec_keys[i], &j);
		else
			text_line(&spec_keys[i], out);
	}
	if (ctx->json)
		json_end_array(&j);
	else
		pm_buf_printf(out, "%-27s %s\n", "env_<name>", "Variables for --env <name>");
}

static int unknown(const char *name, struct pm_error *err)
{
	const char *nearest = key_nearest(name);

	(void)pm_fail(err, PM_NOT_FOUND, "explain %.60s: no such key", name);
	if (nearest != NULL)
		pm_hint(err, "did you mean %s?", nearest);
	else
		pm_hint(err, "run 'pmctl explain' to see all keys");
	return -1;
}

static int explain_run(struct ctx *ctx, struct pm_error *err)
{
	const char *name = args_count(ctx->args) > 0 ? args_at(ctx->args, 0) : NULL;
	const struct spec_key *key = name != NULL ? spec_key_find(name) : NULL;
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	if (name == NULL) {
		all_keys(ctx, &out);
	} else if (key != NULL && ctx->json) {
		json_key_of(key, &j);
	} else if (key != NULL) {
		text_key(key, &out);
	} else if (strncmp(name, "env_", 4) == 0 && !ctx->json) {
		pm_buf_str(&out, "env_<name>\n");
		wrapped(&out, profile_help);
	} else {
		return unknown(name, err);
	}
	if (ctx->json)
		pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

const struct cmd cmd_explain = {
	.name = "explain",
	.args = "[KEY]",
	.summary = "what a key of an application file means; without KEY, all keys",
	.help = "Keys are found by all their names: as in files, in camelCase, by PM2's other names.",
	.min_args = 0,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_PAGED,
	.run = explain_run,
};
