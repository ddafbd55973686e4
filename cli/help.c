#include "cli/help.h"

#include <string.h>

#include "proto/spec_keys.h"

void help_usage(const struct ctx *ctx, FILE *to)
{
	if (ctx->as_pm2)
		(void)fputs("usage: pm2 [options] <command>\n"
		            "\n"
		            "pm2 -h, --help             all available commands and options\n"
		            "pm2 <command> -h           help on a specific command\n"
		            "\n"
		            "Access pm2 files in ~/.pm2\n",
		            to);
	else
		(void)fputs("usage: pmctl COMMAND [OPTION...] [APP...]\n"
		            "\n"
		            "  pmctl start app.js         run a program, and keep it running\n"
		            "  pmctl list                 what runs\n"
		            "  pmctl logs APP             what it writes\n"
		            "  pmctl why APP              why it is in this state\n"
		            "  pmctl help [COMMAND]       all commands, or one of them\n",
		            to);
}

/* Text in lines of at most 78 columns, each indented; the first one begins at the indent already.
 */
static void wrapped(FILE *to, const char *text, int indent)
{
	int column = indent;

	while (*text != '\0') {
		int n = (int)strcspn(text, " \n");

		if (column > indent && column + 1 + n > 78) {
			(void)fprintf(to, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent && n > 0) {
			(void)fputc(' ', to);
			column++;
		}
		(void)fprintf(to, "%.*s", n, text);
		column += n;
		text += n;
		if (*text == '\n') {
			(void)fprintf(to, "\n%*s", indent, "");
			column = indent;
		}
		text += *text != '\0';
	}
	(void)fputc('\n', to);
}

static void one_option(FILE *to, const char *name, char letter, enum cmd_value value,
                       const char *value_name, const char *help)
{
	char left[80], with_value[48] = "";
	int n;

	if (value == CMD_VALUE)
		(void)snprintf(with_value, sizeof(with_value), " %s", value_name);
	else if (value != CMD_NO_VALUE)
		(void)snprintf(with_value, sizeof(with_value), "[=%s]", value_name);
	if (letter != 0)
		n = snprintf(left, sizeof(left), "  -%c, --%s%s", letter, name, with_value);
	else
		n = snprintf(left, sizeof(left), "      --%s%s", name, with_value);
	(void)fprintf(to, "%-32s", left);
	if (n >= 31)
		(void)fprintf(to, "\n%32s", "");
	wrapped(to, help, 32);
}

/* but: those that are told elsewhere; NULL: none */
static void options(const struct ctx *ctx, FILE *to, const char *title,
                    const struct cmd_option *list, const struct cmd_option *but)
{
	if (list == NULL)
		return;
	(void)fprintf(to, "\n%s\n", title);
	for (; list->name != NULL; list++)
		if (cmd_option_find(but, list->name, 0) == NULL &&
		    !(ctx->as_pm2 && cmd_option_is_own(list)))
			one_option(to, list->name, list->letter, list->value, list->value_name,
			           list->help);
}

static void app_options(FILE *to)
{
	(void)fputs("\nOptions of the app (each is a key of a configuration file, too)\n", to);
	for (size_t i = 0; i < spec_n_keys; i++) {
		const struct spec_key *key = &spec_keys[i];
		char name[64], help[1024];
		enum cmd_value value = key->arg == SPEC_ARG_NONE       ? CMD_NO_VALUE
		                       : key->arg == SPEC_ARG_REQUIRED ? CMD_VALUE
		                                                       : CMD_OPTIONAL;

		if (key->opts == NULL || (key->flags & SPEC_NO_EFFECT) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(key->opts, " "), key->opts);
		(void)snprintf(help, sizeof(help), "%s%s",
		               strncmp(name, "no-", 3) == 0 && strncmp(key->name, "no_", 3) != 0
		                       ? "Turns this off: "
		                       : "",
		               key->help);
		one_option(to, name, key->opt, value, "VALUE", help);
	}
}

void help_cmd(const struct ctx *ctx, const struct cmd *cmd, FILE *to)
{
	(void)fprintf(to, "usage: %s %s%s%s\n\n", ctx->program, cmd->name,
	              cmd->args[0] == '\0' ? "" : " ", cmd->args);
	wrapped(to, cmd->summary, 0);
	if (cmd->aliases != NULL)
		(void)fprintf(to, "Also called: %s\n", cmd->aliases);
	if (cmd->help != NULL) {
		(void)fputc('\n', to);
		wrapped(to, cmd->help, 0);
	}
	options(ctx, to, "Options", cmd->options, NULL);
	if (!ctx->as_pm2 && (cmd->flags & CMD_ROLLOUT) != 0)
		options(ctx, to,
		        (cmd->flags & CMD_ROLLS) != 0
		                ? "Over hosts of a fleet, it is a rollout, and takes"
		                : "Over hosts of a fleet, with one of these it is a rollout",
		        cmd_rollout_options(), NULL);
	if (!ctx->as_pm2 && (cmd->flags & CMD_LISTS) != 0)
		options(ctx, to, "Options of lists", cmd_list_options, cmd->options);
	if ((cmd->flags & CMD_APP_OPTIONS) != 0)
		app_options(to);
	if (!ctx->as_pm2 && (cmd->flags & (CMD_FLEET | CMD_FLEET_ONLY)) != 0)
		options(ctx, to, "Hosts of a fleet", cmd_fleet_options, NULL);
	options(ctx, to, "Options of every command", cmd_global_options, NULL);
}

void help_all(const struct ctx *ctx, FILE *to)
{
	(void)fprintf(to, "usage: %s COMMAND [OPTION...] [APP...]\n\nCommands\n", ctx->program);
	for (size_t i = 0; cmd_all[i] != NULL; i++) {
		const struct cmd *cmd = cmd_all[i];

		if (!cmd_is_listed(cmd, ctx->as_pm2))
			continue;
		(void)fprintf(to, "  %-20s  ", cmd->name);
		wrapped(to, cmd->summary, 24);
	}
	options(ctx, to, "Options of every command", cmd_global_options, NULL);
	(void)fprintf(to,
	              "\nAPP is a name, an id, a namespace, a script, /a regular expression/, a\n"
	              "configuration file, or all. '%s help COMMAND' tells more.\n",
	              ctx->program);
	if (!ctx->as_pm2)
		(void)fputs(
			"\nWith --all, --hosts, --label, --group or --where most commands go to hosts\n"
			"of a fleet; 'pmctl help targets' shows how they are chosen.\n",
			to);
}
