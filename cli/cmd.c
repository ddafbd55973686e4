#include "cli/cmd.h"

#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "proto/nearest.h"
#include "proto/rollout_params.h"

#define ROLLOUT_OPTIONS_MAX 40
#define OPTION_NAME_MAX     32
#define OPTION_HELP_MAX     128

const struct cmd *const cmd_all[] = {
#define CMD_ENTRY(name) &cmd_##name,
	CMD_LIST(CMD_ENTRY)
#undef CMD_ENTRY
		NULL,
};

const struct cmd_option cmd_global_options[] = {
	{ "help", 'h', CMD_NO_VALUE, NULL, "how to use the command" },
	{ "version", 'v', CMD_NO_VALUE, NULL, "print the version" },
	{ "home", 0, CMD_VALUE, "DIR", "where the agent lives; else $PMD_HOME, else ~/.pmd" },
	{ "timeout", 0, CMD_VALUE, "TIME", "give up after this long, such as 30s" },
	{ "json", 0, CMD_NO_VALUE, NULL, "one JSON document on stdout, nothing else" },
	{ "color", 0, CMD_VALUE, "WHEN", "auto, always or never" },
	{ "no-color", 0, CMD_NO_VALUE, NULL, "the same as --color never" },
	{ "no-pager", 0, CMD_NO_VALUE, NULL, "long output straight to the terminal" },
	{ "silent", 's', CMD_NO_VALUE, NULL, "no messages but errors" },
	{ "plan", 0, CMD_NO_VALUE, NULL,
	  "of commands that change apps: tell what they would do, and do nothing; exit status 20 if "
	  "there is something to do, 0 if not" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd_option cmd_fleet_options[] = {
	{ "all", 0, CMD_NO_VALUE, NULL, "every host" },
	{ "hosts", 0, CMD_VALUE, "SET",
	  "these hosts: web[01-20],db*,!web07,@group,~regex; - reads names from standard input" },
	{ "label", 0, CMD_VALUE, "SELECTOR",
	  "hosts with these labels: role=web,zone in (a,b),!old" },
	{ "group", 0, CMD_VALUE, "NAME", "hosts of a saved group" },
	{ "where", 0, CMD_VALUE, "EXPR",
	  "hosts for which this holds, such as 'app.api.version < \"1.4\"'" },
	{ "exclude", 0, CMD_VALUE, "SET", "not these, whatever else says" },
	{ "limit", 0, CMD_VALUE, "N|N%", "at most so many of them, in order" },
	{ "pick", 0, CMD_VALUE, "N", "so many of them at random" },
	{ "seed", 0, CMD_VALUE, "S",
	  "choose those of --pick or --limit, and shuffle, by this number" },
	{ "context", 0, CMD_VALUE, "NAME", "the coordinator to ask; see 'pmctl context'" },
	{ "include-drained", 0, CMD_NO_VALUE, NULL, "hosts that somebody drained, too" },
	{ "yes", 'y', CMD_NO_VALUE, NULL, "do not ask" },
	{ "jsonl", 0, CMD_NO_VALUE, NULL, "a JSON document a line, as each host answers" },
	{ "verbose", 0, CMD_NO_VALUE, NULL, "every host, however many there are" },
	{ "diff", 0, CMD_NO_VALUE, NULL, "only what differs from what most hosts say" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd_option cmd_list_options[] = {
	{ "output", 'o', CMD_VALUE, "FORM",
	  "wide: every column, nothing cut; json; jsonl: a JSON document for each row; name: the "
	  "names alone, each once; custom=KEY,KEY: these columns" },
	{ "no-header", 0, CMD_NO_VALUE, NULL, "no line of titles" },
	{ "sort", 0, CMD_VALUE, "KEY[:desc]", "in the order of this column" },
	{ "filter", 0, CMD_VALUE, "KEY=VALUE",
	  "only rows whose column is VALUE, in which * and ? stand for anything; KEY!=VALUE: whose "
	  "is not; given again, all must hold" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd_option cmd_pm2_options[] = {
	{ "mini-list", 'm', CMD_NO_VALUE, NULL, "" },
	{ "sort", 0, CMD_VALUE, "", "" },
	{ "env", 0, CMD_VALUE, "", "" },
	{ "only", 0, CMD_VALUE, "", "" },
	{ "update-env", 'a', CMD_NO_VALUE, NULL, "" },
	{ "force", 'f', CMD_NO_VALUE, NULL, "" },
	{ "parallel", 0, CMD_VALUE, "", "" },
	{ "attach", 0, CMD_NO_VALUE, NULL, "" },
	{ "user", 'u', CMD_VALUE, "", "" },
	{ "hp", 0, CMD_VALUE, "", "" },
	{ "wait-ip", 0, CMD_NO_VALUE, NULL, "" },
	{ "service-name", 0, CMD_VALUE, "", "" },
	{ "trace", 0, CMD_NO_VALUE, NULL, "" },
	{ "disable-trace", 0, CMD_NO_VALUE, NULL, "" },
	{ "v8", 0, CMD_NO_VALUE, NULL, "" },
	{ "event-loop-inspector", 0, CMD_NO_VALUE, NULL, "" },
	{ "deep-monitoring", 0, CMD_NO_VALUE, NULL, "" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

/* Those of the way a rollout is begun and looked at; its own come from their table. */
static const struct cmd_option watching[] = {
	{ "rolling", 0, CMD_NO_VALUE, NULL,
	  "some hosts at a time, as a rollout, where it would be all at once" },
	{ "apply", 0, CMD_VALUE, "PLAN", "begin what was planned, if nothing has changed since" },
	{ "message", 'm', CMD_VALUE, "TEXT", "why: in the story of the rollout, and in the audit" },
	{ "no-wait", 0, CMD_NO_VALUE, NULL, "begin, print its id, and do not watch" },
};

/* What hosts are chosen by has these already. */
static bool is_of_hosts(const char *name)
{
	return strcmp(name, "include_drained") == 0 || strcmp(name, "seed") == 0;
}

const struct cmd_option *cmd_rollout_options(void)
{
	static struct cmd_option list[ROLLOUT_OPTIONS_MAX];
	static char names[ROLLOUT_OPTIONS_MAX][OPTION_NAME_MAX];
	static char helps[ROLLOUT_OPTIONS_MAX][OPTION_HELP_MAX];
	size_t n_known, n = 0;
	const struct rollout_option *known = rollout_options(&n_known);

	if (list[0].name != NULL)
		return list;
	for (size_t i = 0; i < n_known && n + PM_COUNT(watching) + 1 < PM_COUNT(list); i++) {
		if (is_of_hosts(known[i].name))
			continue;
		for (size_t k = 0; k + 1 < OPTION_NAME_MAX && known[i].name[k] != '\0'; k++)
			names[n][k] = known[i].name[k] == '_' ? '-' : known[i].name[k];
		(void)snprintf(helps[n], sizeof(helps[n]), "%s%s%s", known[i].words,
		               known[i].normal[0] != '\0' ? "; " : "", known[i].normal);
		list[n] = (struct cmd_option){ names[n], 0, CMD_VALUE, known[i].value, helps[n] };
		n++;
	}
	memcpy(list + n, watching, sizeof(watching));
	return list;
}

bool cmd_word_in(const char *words, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = words; at != NULL && *at != '\0';) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, name, len) == 0)
			return true;
		at += n + strspn(at + n, " ");
	}
	return false;
}

static bool is_offered(const struct cmd *cmd, bool as_pm2)
{
	return (cmd->flags & (as_pm2 ? CMD_PMCTL_ONLY : CMD_PM2_ONLY)) == 0;
}

bool cmd_is_listed(const struct cmd *cmd, bool as_pm2)
{
	return is_offered(cmd, as_pm2) && (cmd->flags & CMD_HIDDEN) == 0;
}

const struct cmd *cmd_find(const char *name, bool as_pm2)
{
	for (size_t i = 0; cmd_all[i] != NULL; i++)
		if (is_offered(cmd_all[i], as_pm2) &&
		    (strcmp(cmd_all[i]->name, name) == 0 || cmd_word_in(cmd_all[i]->aliases, name)))
			return cmd_all[i];
	return NULL;
}

const char *cmd_nearest(const char *name, bool as_pm2)
{
	struct nearest near;
	const struct cmd *best;

	nearest_init(&near, name);
	for (size_t i = 0; cmd_all[i] != NULL; i++)
		if (cmd_is_listed(cmd_all[i], as_pm2))
			nearest_offer(&near, cmd_all[i]->name);
	if (!nearest_found(&near))
		return NULL;
	best = cmd_find(near.best, as_pm2);
	return best == NULL ? NULL : best->name;
}

bool cmd_option_is_own(const struct cmd_option *option)
{
	return strcmp(option->name, "no-pager") == 0;
}

const struct cmd_option *cmd_option_find(const struct cmd_option *list, const char *name,
                                         char letter)
{
	for (; list != NULL && list->name != NULL; list++)
		if (name != NULL ? strcmp(list->name, name) == 0 : list->letter == letter)
			return list;
	return NULL;
}
