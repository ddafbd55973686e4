#include "cli/args.h"

#include <stdlib.h>
#include <string.h>

#include "cli/pm2_words.h"
#include "proto/nearest.h"
#include "proto/units.h"

struct option {
	const char *name; /* as in its table, or as typed */
	char letter;
	const char *value; /* borrowed from argv; NULL: none */
	const struct cmd_option *own;
	const struct spec_key *key;
	bool off;
};

struct args {
	bool as_pm2;
	const struct cmd *cmd;
	const char *verb;
	struct option *options; /* owned; as many as argv has letters */
	size_t n_options;
	const char **words; /* owned */
	size_t n_words;
	struct args_app_option *app; /* owned */
	size_t n_app;
	bool dashes;
	char *const *script; /* borrowed from argv */
	size_t n_script;
	char text[64]; /* of a short option, for messages */
};

struct reader {
	struct args *a;
	int argc, at;
	char **argv;
};

void args_destroy(struct args *a)
{
	if (a == NULL)
		return;
	free(a->options);
	free(a->words);
	free(a->app);
	free(a);
}

void args_destroyp(struct args **a)
{
	args_destroy(*a);
}

/* What an option means to a verb, or to any verb while none is known yet. */
static bool resolve(const struct args *a, const struct cmd *cmd, struct option *o)
{
	const char *name = o->letter == 0 ? o->name : NULL;

	o->key = NULL;
	o->own = cmd_option_find(cmd_global_options, name, o->letter);
	if (o->own != NULL && a->as_pm2 && cmd_option_is_own(o->own))
		o->own = NULL;
	if (o->own == NULL && cmd != NULL)
		o->own = cmd_option_find(cmd->options, name, o->letter);
	for (size_t i = 0; cmd == NULL && o->own == NULL && cmd_all[i] != NULL; i++)
		o->own = cmd_option_find(cmd_all[i]->options, name, o->letter);
	if (o->own == NULL && !a->as_pm2 && (cmd == NULL || (cmd->flags & CMD_ROLLOUT) != 0))
		o->own = cmd_option_find(cmd_rollout_options(), name, o->letter);
	if (o->own == NULL && !a->as_pm2 && (cmd == NULL || (cmd->flags & CMD_LISTS) != 0))
		o->own = cmd_option_find(cmd_list_options, name, o->letter);
	if (o->own == NULL && (cmd == NULL || (cmd->flags & CMD_APP_OPTIONS) != 0))
		o->key = spec_key_by_option(name, o->letter, &o->off);
	if (o->own == NULL && o->key == NULL)
		o->own = cmd_option_find(cmd_fleet_options, name, o->letter);
	/* PM2's options are global: at a verb that has no use for one it has no effect. */
	if (o->own == NULL && o->key == NULL && a->as_pm2)
		o->own = cmd_option_find(cmd_pm2_options, name, o->letter);
	if (o->own == NULL && o->key == NULL && a->as_pm2)
		o->key = spec_key_by_option(name, o->letter, &o->off);
	return o->own != NULL || o->key != NULL;
}

static enum cmd_value value_of(const struct option *o)
{
	if (o->own != NULL)
		return o->own->value;
	if (o->off || o->key->arg == SPEC_ARG_NONE)
		return CMD_NO_VALUE;
	return o->key->arg == SPEC_ARG_REQUIRED ? CMD_VALUE : CMD_OPTIONAL;
}

/* "--name" or "-n", for messages. */
static const char *shown(struct args *a, const struct option *o)
{
	if (o->letter != 0) {
		a->text[0] = '-';
		a->text[1] = o->letter;
		a->text[2] = '\0';
		return a->text;
	}
	a->text[0] = a->text[1] = '-';
	(void)strncpy(a->text + 2, o->name, sizeof(a->text) - 3);
	return a->text;
}

static void offer_options(struct nearest *near, const struct cmd_option *list)
{
	for (size_t i = 0; list != NULL && list[i].name != NULL; i++)
		nearest_offer(near, list[i].name);
}

static bool offer_word(void *arg, const char *word, size_t len)
{
	nearest_offer_n(arg, word, len);
	return true;
}

static int unknown_option(struct args *a, const struct option *o, struct pm_error *err)
{
	const char *name = shown(a, o);
	struct option elsewhere = *o;
	struct nearest near;

	if (a->as_pm2) {
		pm_fail(err, PM_USAGE, "unknown option `%s'", name);
		if (o->letter == 0 && pm2_words_of_option(o->name) != NULL)
			pm_hint(err, "%s", pm2_words_of_option(o->name));
		return -1;
	}
	pm_fail(err, PM_USAGE, "%s%s%s: no such option", a->cmd == NULL ? "" : a->cmd->name,
	        a->cmd == NULL ? "" : " ", name);
	nearest_init(&near, o->letter == 0 ? o->name : "");
	offer_options(&near, cmd_global_options);
	if (a->cmd != NULL) {
		offer_options(&near, a->cmd->options);
		if ((a->cmd->flags & CMD_ROLLOUT) != 0)
			offer_options(&near, cmd_rollout_options());
		if ((a->cmd->flags & CMD_LISTS) != 0)
			offer_options(&near, cmd_list_options);
		for (size_t i = 0; (a->cmd->flags & CMD_APP_OPTIONS) != 0 && i < spec_n_keys; i++)
			if (spec_keys[i].opts != NULL)
				(void)spec_each_word(spec_keys[i].opts, offer_word, &near);
	}
	if (o->letter == 0 && pm2_words_of_option(o->name) != NULL)
		pm_hint(err, "%s", pm2_words_of_option(o->name));
	else if (a->cmd != NULL && resolve(a, NULL, &elsewhere))
		pm_hint(err, "other commands have it; 'pmctl help %s' shows what this one takes",
		        a->cmd->name);
	else if (nearest_found(&near))
		pm_hint(err, "did you mean --%s?", near.best);
	else if (a->cmd != NULL && (a->cmd->flags & CMD_SCRIPT_ARGS) != 0)
		pm_hint(err,
		        "what belongs to the app stands behind --; 'pmctl help %s' has the rest",
		        a->cmd->name);
	else
		pm_hint(err, "run 'pmctl help%s%s' to see the options", a->cmd == NULL ? "" : " ",
		        a->cmd == NULL ? "" : a->cmd->name);
	return -1;
}

static bool is_fleet_option(const struct option *o)
{
	return o->own != NULL && cmd_option_find(cmd_fleet_options, o->own->name, 0) == o->own;
}

/* What a verb takes that asks the coordinator, and no hosts. */
static bool is_coordinator_option(const struct option *o)
{
	return strcmp(o->own->name, "context") == 0 || strcmp(o->own->name, "jsonl") == 0;
}

/* Hosts are for verbs that know what to do with them; PM2 knows of none. */
static int check_fleet(struct args *a, struct pm_error *err)
{
	const unsigned takes = CMD_FLEET | CMD_FLEET_ONLY;

	for (size_t i = 0; i < a->n_options; i++) {
		const struct option *o = &a->options[i];

		if (!is_fleet_option(o))
			continue;
		if (a->as_pm2)
			return pm_fail(err, PM_USAGE, "unknown option `%s'", shown(a, o));
		if (a->cmd == NULL || (a->cmd->flags & takes) != 0)
			continue;
		if ((a->cmd->flags & CMD_COORDINATOR) != 0 && is_coordinator_option(o))
			continue;
		pm_fail(err, PM_USAGE, "%s %s: this command takes no hosts", a->cmd->name,
		        shown(a, o));
		pm_hint(err, "'pmctl help %s' shows what it takes", a->cmd->name);
		return -1;
	}
	return 0;
}

/* Whether the next word may be the value of an option whose value is optional. */
static bool next_is_value(const struct reader *r)
{
	const struct args *a = r->a;
	const char *next = r->at < r->argc ? r->argv[r->at] : NULL;

	if (next == NULL || next[0] == '-')
		return false;
	if (a->cmd == NULL)
		return cmd_find(next, a->as_pm2) == NULL;
	/* `start --watch app.js`: a verb's own arguments come first. */
	if ((a->cmd->flags & CMD_APP_OPTIONS) != 0)
		return a->n_words > 0;
	return a->n_words >= (size_t)a->cmd->min_args;
}

static int take_value(struct reader *r, struct option *o, struct pm_error *err)
{
	struct args *a = r->a;

	switch (value_of(o)) {
	case CMD_NO_VALUE:
		if (o->value != NULL)
			return pm_fail(err, PM_USAGE, "%s takes no value", shown(a, o));
		return 0;
	case CMD_OPTIONAL:
		if (o->value == NULL && next_is_value(r))
			o->value = r->argv[r->at++];
		return 0;
	case CMD_OPTIONAL_EQ:
		return 0;
	case CMD_VALUE:
		if (o->value == NULL && r->at < r->argc)
			o->value = r->argv[r->at++];
		if (o->value == NULL && a->as_pm2)
			return pm_fail(err, PM_USAGE, "option `%s' argument missing", shown(a, o));
		if (o->value == NULL)
			return pm_fail(err, PM_USAGE, "%s: its value is missing", shown(a, o));
		return 0;
	}
	return 0;
}

static int long_option(struct reader *r, char *arg, struct pm_error *err)
{
	char *eq = strchr(arg, '=');
	struct option o = { .name = arg + 2 };

	if (eq != NULL) {
		*eq = '\0';
		o.value = eq + 1;
	}
	if (!resolve(r->a, r->a->cmd, &o))
		return unknown_option(r->a, &o, err);
	if (take_value(r, &o, err) < 0)
		return -1;
	r->a->options[r->a->n_options++] = o;
	return 0;
}

static int short_options(struct reader *r, char *arg, struct pm_error *err)
{
	for (char *c = arg + 1; *c != '\0'; c++) {
		struct option o = { .letter = *c };

		if (!resolve(r->a, r->a->cmd, &o))
			return unknown_option(r->a, &o, err);
		o.name = o.own != NULL ? o.own->name : o.key->name;
		if (c[1] != '\0' && value_of(&o) != CMD_NO_VALUE)
			o.value = c[1] == '=' ? c + 2 : c + 1;
		if (take_value(r, &o, err) < 0)
			return -1;
		r->a->options[r->a->n_options++] = o;
		if (o.value != NULL)
			break;
	}
	return 0;
}

static bool is_number(const char *arg)
{
	int64_t number;

	return pm_parse_int(arg, &number);
}

static int verb(struct args *a, const char *word, struct pm_error *err)
{
	const char *near;

	a->verb = word;
	a->cmd = cmd_find(word, a->as_pm2);
	if (a->cmd == NULL) {
		pm_fail(err, PM_USAGE, "%s: no such command", word);
		near = cmd_nearest(word, a->as_pm2);
		if (pm2_words_of_verb(word) != NULL)
			pm_hint(err, "%s", pm2_words_of_verb(word));
		else if (a->as_pm2)
			return -1; /* the usage follows */
		else if (near != NULL)
			pm_hint(err, "did you mean '%s'?", near);
		else
			pm_hint(err, "run 'pmctl help' to see the commands");
		return -1;
	}
	/* Options that stood before the verb get the verb's meaning now. */
	for (size_t i = 0; i < a->n_options; i++) {
		struct option *o = &a->options[i];
		enum cmd_value before = value_of(o);

		if (!resolve(a, a->cmd, o))
			return unknown_option(a, o, err);
		if ((value_of(o) == CMD_NO_VALUE) != (before == CMD_NO_VALUE) && o->value != NULL)
			return pm_fail(err, PM_USAGE, "%s takes no value", shown(a, o));
	}
	return 0;
}

static int read_all(struct reader *r, struct pm_error *err)
{
	struct args *a = r->a;

	while (r->at < r->argc) {
		char *arg = r->argv[r->at++];
		int rc = 0;

		if (strcmp(arg, "--") == 0) {
			a->dashes = true;
			a->script = r->argv + r->at;
			a->n_script = (size_t)(r->argc - r->at);
			break;
		}
		if (arg[0] == '-' && arg[1] == '-')
			rc = long_option(r, arg, err);
		else if (arg[0] == '-' && arg[1] != '\0' &&
		         !(a->cmd != NULL && (a->cmd->flags & CMD_NUMBERS) != 0 && is_number(arg)))
			rc = short_options(r, arg, err);
		else if (a->verb == NULL)
			rc = verb(a, arg, err);
		else
			a->words[a->n_words++] = arg;
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* Words after -- are a verb's own arguments, unless they belong to a script. */
static void settle_dashes(struct args *a)
{
	if (!a->dashes || a->cmd == NULL || (a->cmd->flags & CMD_SCRIPT_ARGS) != 0 || a->as_pm2)
		return;
	for (size_t i = 0; i < a->n_script; i++)
		a->words[a->n_words++] = a->script[i];
	a->n_script = 0;
}

static void collect_app_options(struct args *a)
{
	for (size_t i = 0; i < a->n_options; i++) {
		const struct option *o = &a->options[i];

		if (o->key != NULL)
			a->app[a->n_app++] = (struct args_app_option){
				.key = o->key, .value = o->value, .off = o->off, .name = o->name
			};
	}
}

static int check_count(struct args *a, struct pm_error *err)
{
	const struct cmd *cmd = a->cmd;

	if (cmd == NULL || args_has(a, "help"))
		return 0;
	/* What was planned says to what. */
	if (a->n_words < (size_t)cmd->min_args && !args_has(a, "apply")) {
		if (a->as_pm2)
			return pm_fail(err, PM_USAGE, "missing required argument `%s'",
			               cmd->pm2_needs == NULL ? cmd->args : cmd->pm2_needs);
		pm_fail(err, PM_USAGE, "%s: an argument is missing", cmd->name);
		pm_hint(err, "usage: pmctl %s %s", cmd->name, cmd->args);
		return -1;
	}
	if (!a->as_pm2 && a->n_words > (size_t)cmd->max_args) {
		pm_fail(err, PM_USAGE, "%s: '%s' is one argument too many", cmd->name,
		        a->words[cmd->max_args]);
		pm_hint(err, "usage: pmctl %s %s", cmd->name, cmd->args);
		return -1;
	}
	return 0;
}

int args_parse(int argc, char **argv, bool as_pm2, struct args **out, struct pm_error *err)
{
	PM_CLEANUP(args_destroyp) struct args *a = pm_calloc(1, sizeof(*a));
	struct reader r = { .a = a, .argc = argc, .at = 1, .argv = argv };
	size_t letters = 1;

	if (a == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the command line");
	for (int i = 1; i < argc; i++)
		letters += strlen(argv[i]);
	letters = PM_MAX(letters, (size_t)argc + 1);
	a->as_pm2 = as_pm2;
	a->options = pm_calloc(letters, sizeof(*a->options));
	a->words = pm_calloc((size_t)argc + 1, sizeof(*a->words));
	a->app = pm_calloc(letters, sizeof(*a->app));
	if (a->options == NULL || a->words == NULL || a->app == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the command line");
	if (read_all(&r, err) < 0)
		return -1;
	settle_dashes(a);
	collect_app_options(a);
	if (check_fleet(a, err) < 0 || check_count(a, err) < 0)
		return -1;
	*out = PM_STEAL(a);
	return 0;
}

const struct cmd *args_cmd(const struct args *a)
{
	return a->cmd;
}

const char *args_verb(const struct args *a)
{
	return a->verb;
}

static bool is_option(const struct option *o, const char *name)
{
	return o->own != NULL && strcmp(o->own->name, name) == 0;
}

bool args_has(const struct args *a, const char *option)
{
	return args_n_values(a, option) > 0;
}

bool args_is_own(const struct args *a, const char *option)
{
	const struct cmd_option *own =
		a->cmd == NULL ? NULL : cmd_option_find(a->cmd->options, option, 0);

	for (size_t i = 0; own != NULL && i < a->n_options; i++)
		if (a->options[i].own == own)
			return true;
	return false;
}

const char *args_get(const struct args *a, const char *option)
{
	for (size_t i = a->n_options; i-- > 0;)
		if (is_option(&a->options[i], option))
			return a->options[i].value;
	return NULL;
}

size_t args_n_values(const struct args *a, const char *option)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_options; i++)
		n += is_option(&a->options[i], option);
	return n;
}

const char *args_value(const struct args *a, const char *option, size_t nth)
{
	for (size_t i = 0; i < a->n_options; i++)
		if (is_option(&a->options[i], option) && nth-- == 0)
			return a->options[i].value;
	return NULL;
}

size_t args_count(const struct args *a)
{
	return a->n_words;
}

const char *args_at(const struct args *a, size_t i)
{
	return i < a->n_words ? a->words[i] : NULL;
}

bool args_has_dashes(const struct args *a)
{
	return a->dashes;
}

char *const *args_script(const struct args *a, size_t *n)
{
	*n = a->n_script;
	return a->script;
}

size_t args_n_app_options(const struct args *a)
{
	return a->n_app;
}

const struct args_app_option *args_app_option(const struct args *a, size_t i)
{
	return i < a->n_app ? &a->app[i] : NULL;
}

int args_number(const struct args *a, const char *option, int64_t min, int64_t max, int64_t def,
                int64_t *out, struct pm_error *err)
{
	const char *text = args_get(a, option);
	int64_t number;

	if (text == NULL) {
		*out = def;
		return 0;
	}
	if (!pm_parse_int(text, &number) || number < min || number > max)
		return pm_fail(err, PM_USAGE,
		               "--%s: expected a number from %lld to %lld, found '%s'", option,
		               (long long)min, (long long)max, text);
	*out = number;
	return 0;
}
