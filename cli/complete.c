#include "cli/complete.h"

#include <stdio.h>
#include <string.h>

/* ---- which word it is ---- */

struct walk {
	const struct cmd *cmd;
	size_t n_args;
	bool script;                  /* after --, and it is the script's */
	const struct cmd_option *own; /* whose value comes next */
	const struct spec_key *key;
	const char *home;
};

/* Before the verb is typed it may be one that does. */
static bool takes_hosts(const struct cmd *cmd)
{
	return cmd == NULL || (cmd->flags & (CMD_FLEET | CMD_FLEET_ONLY)) != 0;
}

static bool may_roll(const struct cmd *cmd)
{
	return cmd == NULL || (cmd->flags & CMD_ROLLOUT) != 0;
}

static bool may_list(const struct cmd *cmd)
{
	return cmd == NULL || (cmd->flags & CMD_LISTS) != 0;
}

static const struct cmd_option *find_own(const struct cmd *cmd, const char *name, char letter)
{
	const struct cmd_option *own = cmd_option_find(cmd_global_options, name, letter);

	if (own == NULL && cmd != NULL)
		own = cmd_option_find(cmd->options, name, letter);
	if (own == NULL && may_roll(cmd))
		own = cmd_option_find(cmd_rollout_options(), name, letter);
	if (own == NULL && may_list(cmd))
		own = cmd_option_find(cmd_list_options, name, letter);
	if (own == NULL && takes_hosts(cmd))
		own = cmd_option_find(cmd_fleet_options, name, letter);
	return own;
}

/* The option of that name, and whether a value has to follow it. */
static bool wants_value(struct walk *w, const char *name, char letter)
{
	bool off = false;

	w->own = find_own(w->cmd, name, letter);
	w->key = NULL;
	if (w->own != NULL)
		return w->own->value == CMD_VALUE;
	if (w->cmd == NULL || (w->cmd->flags & CMD_APP_OPTIONS) != 0)
		w->key = spec_key_by_option(name, letter, &off);
	return w->key != NULL && !off && w->key->arg == SPEC_ARG_REQUIRED;
}

static void forget_option(struct walk *w)
{
	w->own = NULL;
	w->key = NULL;
}

/* An option that has its value within the word, or needs none, leaves nothing behind. */
static void walk_option(struct walk *w, const char *word)
{
	char name[64];
	size_t len = strcspn(word, "=");
	bool open = false;

	if (word[1] == '-') {
		if (len - 2 < sizeof(name)) {
			memcpy(name, word + 2, len - 2);
			name[len - 2] = '\0';
			open = wants_value(w, name, 0) && word[len] == '\0';
			if (word[len] == '=' && strcmp(name, "home") == 0)
				w->home = word + len + 1;
		}
	} else {
		/* Of bundled letters the first one with a value takes the rest. */
		for (const char *c = word + 1; *c != '\0' && !open; c++)
			if (wants_value(w, NULL, *c)) {
				open = c[1] == '\0';
				break;
			}
	}
	if (!open)
		forget_option(w);
}

static void walk_word(struct walk *w, const char *word)
{
	if (w->own != NULL || w->key != NULL) {
		if (w->own != NULL && strcmp(w->own->name, "home") == 0)
			w->home = word;
		forget_option(w);
	} else if (w->script) {
		w->n_args++;
	} else if (strcmp(word, "--") == 0) {
		w->script = true;
	} else if (word[0] == '-' && word[1] != '\0') {
		walk_option(w, word);
	} else if (w->cmd == NULL) {
		w->cmd = cmd_find(word, false);
		w->script = w->cmd == NULL; /* nothing is known of what follows */
	} else {
		w->n_args++;
	}
}

/* The nth word of a verb's usage, without brackets and dots; the last one may be repeated. */
static bool usage_word(const char *usage, size_t nth, const char **out, size_t *len, bool *many)
{
	while (*usage != '\0') {
		size_t whole = strcspn(usage, " "), n = whole;
		bool repeated = n >= 3 && memcmp(usage + n - 3, "...", 3) == 0;
		size_t open = usage[0] == '[';

		if (whole >= 3 && memcmp(usage, "[--", 3) == 0)
			return false;
		n -= repeated ? 3 : 0;
		n -= n > 0 && usage[n - 1] == ']';
		if (nth == 0 || repeated) {
			*out = usage + open;
			*len = n - open;
			*many = repeated;
			return true;
		}
		nth--;
		usage += whole;
		usage += strspn(usage, " ");
	}
	return false;
}

static bool is_choice(const struct complete *c, const char *word)
{
	size_t want = strlen(word);

	for (const char *at = c->args, *end = at + c->args_len; at < end;) {
		size_t n = 0;

		while (at + n < end && at[n] != '|')
			n++;
		if (n == want && memcmp(at, word, n) == 0)
			return true;
		at += n + 1;
	}
	return false;
}

static enum complete_files files_of_key(const struct spec_key *key)
{
	if (strcmp(key->name, "cwd") == 0)
		return COMPLETE_DIRECTORIES;
	if (key->type == SPEC_PATH || key->type == SPEC_PATHS || key->type == SPEC_LOG_PATH ||
	    key->type == SPEC_WATCH)
		return COMPLETE_FILES;
	return COMPLETE_NO_FILES;
}

/* "web01,we": what is typed is the last name, and the others stand before each candidate. */
static void last_of_set(struct complete *c)
{
	const char *comma = strrchr(c->prefix, ',');

	if (comma == NULL)
		return;
	if (c->lead_len == 0)
		c->lead = c->prefix;
	c->lead_len += (size_t)(comma + 1 - c->prefix);
	c->prefix = comma + 1;
}

static void plan_value(struct complete *c, const struct cmd_option *own, const struct spec_key *key)
{
	c->own = own;
	c->key = key;
	if (own != NULL && own->value_name != NULL && strcmp(own->value_name, "DIR") == 0)
		c->files = COMPLETE_DIRECTORIES;
	else if (own != NULL && own->value_name != NULL && strcmp(own->value_name, "FILE") == 0)
		c->files = COMPLETE_FILES;
	c->contexts = own != NULL && strcmp(own->name, "context") == 0;
	c->hosts = own != NULL && own->value_name != NULL && strcmp(own->value_name, "SET") == 0;
	c->rollouts =
		own != NULL && own->value_name != NULL && strcmp(own->value_name, "PLAN") == 0;
	if (c->hosts)
		last_of_set(c);
	if (key != NULL) {
		c->files = files_of_key(key);
		c->apps = strcmp(key->name, "depends_on") == 0;
	}
}

/* "--option=value": the value is the word. */
static void plan_joined_value(struct complete *c, struct walk *w, const char *word)
{
	size_t len = strcspn(word, "=");
	char name[64];

	if (len - 2 >= sizeof(name))
		return;
	memcpy(name, word + 2, len - 2);
	name[len - 2] = '\0';
	(void)wants_value(w, name, 0);
	c->lead = word;
	c->lead_len = len + 1;
	c->prefix = word + len + 1;
	plan_value(c, w->own, w->key);
}

static void plan_argument(struct complete *c, const struct walk *w)
{
	if (w->script || !usage_word(w->cmd->args, w->n_args, &c->args, &c->args_len, &c->many)) {
		c->args = NULL;
		if (w->script)
			c->files = COMPLETE_FILES;
		return;
	}
	c->apps = is_choice(c, "APP");
	c->contexts = is_choice(c, "NAME") && strcmp(w->cmd->name, "context") == 0;
	c->hosts = is_choice(c, "NODE");
	c->ids = is_choice(c, "ID");
	c->rollouts = is_choice(c, "ROLLOUT");
	if (is_choice(c, "FILE"))
		c->files =
			(w->cmd->flags & CMD_SCRIPT_ARGS) != 0 ? COMPLETE_FILES : COMPLETE_CONFIGS;
	else if (c->apps && c->many && strpbrk(c->prefix, "./") != NULL)
		c->files = COMPLETE_CONFIGS; /* `stop ecosystem.config.js` */
}

void complete_plan(char *const *words, size_t n, struct complete *out)
{
	struct walk w = { 0 };
	const char *last = n == 0 ? "" : words[n - 1];

	for (size_t i = 0; i + 1 < n; i++)
		walk_word(&w, words[i]);
	*out = (struct complete){ .lead = "", .prefix = last, .cmd = w.cmd, .home = w.home };
	if (w.own != NULL || w.key != NULL)
		plan_value(out, w.own, w.key);
	else if (!w.script && strncmp(last, "--", 2) == 0 && strchr(last, '=') != NULL)
		plan_joined_value(out, &w, last);
	else if (!w.script && last[0] == '-')
		out->options = true;
	else if (w.cmd != NULL)
		plan_argument(out, &w);
	else
		out->verbs = !w.script;
}

/* ---- candidates ---- */

static void offer_n(const struct complete *c, struct pm_buf *out, const char *word, size_t len,
                    const char *help, size_t help_len)
{
	size_t typed = strlen(c->prefix);

	if (typed > len || memcmp(word, c->prefix, typed) != 0)
		return;
	pm_buf_add(out, c->lead, c->lead_len);
	pm_buf_add(out, word, len);
	pm_buf_char(out, '\t');
	pm_buf_add(out, help, help_len);
	pm_buf_char(out, '\n');
}

/* The first sentence is what a line has room for. */
static size_t sentence(const char *help)
{
	const char *stop = strstr(help, ". ");
	size_t len = stop == NULL ? strlen(help) : (size_t)(stop - help);

	return len - (stop == NULL && len > 0 && help[len - 1] == '.');
}

static void offer(const struct complete *c, struct pm_buf *out, const char *word, const char *help)
{
	offer_n(c, out, word, strlen(word), help, sentence(help));
}

struct offered {
	const struct complete *c;
	struct pm_buf *out;
	const char *help, *before; /* before: goes before the word, "--" or "" */
};

static bool offer_each(void *arg, const char *word, size_t len)
{
	const struct offered *o = arg;
	char whole[80];
	int n = snprintf(whole, sizeof(whole), "%s%.*s", o->before, (int)len, word);

	if (n > 0 && (size_t)n < sizeof(whole))
		offer(o->c, o->out, whole, o->help);
	return true;
}

static void offer_list(const struct complete *c, struct pm_buf *out, const char *before,
                       const char *words, const char *help)
{
	struct offered o = { c, out, help, before };

	if (words != NULL)
		(void)spec_each_word(words, offer_each, &o);
}

static void offer_verbs(const struct complete *c, struct pm_buf *out)
{
	for (size_t i = 0; cmd_all[i] != NULL; i++) {
		if (!cmd_is_listed(cmd_all[i], false))
			continue;
		offer(c, out, cmd_all[i]->name, cmd_all[i]->summary);
		/* Other names would double the list: they come once somebody types one. */
		if (c->prefix[0] != '\0')
			offer_list(c, out, "", cmd_all[i]->aliases, cmd_all[i]->summary);
	}
}

static void offer_options(const struct complete *c, const struct cmd_option *list,
                          struct pm_buf *out)
{
	const struct cmd_option *own = c->cmd == NULL ? NULL : c->cmd->options;

	for (; list != NULL && list->name != NULL; list++)
		if (cmd_option_find(own, list->name, 0) == NULL ||
		    cmd_option_find(own, list->name, 0) == list)
			offer_list(c, out, "--", list->name, list->help);
}

static void offer_all_options(const struct complete *c, struct pm_buf *out)
{
	if (c->cmd != NULL)
		offer_options(c, c->cmd->options, out);
	for (size_t i = 0;
	     c->cmd != NULL && (c->cmd->flags & CMD_APP_OPTIONS) != 0 && i < spec_n_keys; i++)
		if ((spec_keys[i].flags & SPEC_NO_EFFECT) == 0)
			offer_list(c, out, "--", spec_keys[i].opts, spec_keys[i].help);
	if (c->cmd != NULL && may_roll(c->cmd))
		offer_options(c, cmd_rollout_options(), out);
	if (c->cmd != NULL && may_list(c->cmd))
		offer_options(c, cmd_list_options, out);
	offer_options(c, cmd_global_options, out);
	if (takes_hosts(c->cmd))
		offer_options(c, cmd_fleet_options, out);
}

static void offer_value(const struct complete *c, struct pm_buf *out)
{
	static const struct {
		const char *value_name, *words;
	} values[] = {
		{ "WHEN", "auto always never" },
		{ "FIELD[:desc]", "name namespace pid id cpu memory uptime status" },
		{ "force", "force" },
		{ "FORM", "wide json jsonl name custom=" },
	};

	for (size_t i = 0; i < PM_COUNT(values); i++)
		if (c->own != NULL && c->own->value_name != NULL &&
		    strcmp(c->own->value_name, values[i].value_name) == 0)
			offer_list(c, out, "", values[i].words, "");
	if (c->key == NULL)
		return;
	for (const struct spec_word *w = c->key->words; w != NULL && w->word != NULL; w++)
		offer(c, out, w->word, "");
	if (c->key->type == SPEC_INSTANCES)
		offer(c, out, "max", "one for each CPU");
}

static void offer_argument(const struct complete *c, struct pm_buf *out)
{
	if (is_choice(c, "COMMAND"))
		offer_verbs(c, out);
	if (is_choice(c, "KEY"))
		for (size_t i = 0; i < spec_n_keys; i++)
			offer(c, out, spec_keys[i].name, spec_keys[i].help);
	if (c->apps && c->many)
		offer(c, out, "all", "every app");
	for (const char *at = c->args, *end = at + c->args_len; at < end;) {
		size_t n = 0;

		while (at + n < end && at[n] != '|')
			n++;
		if (*at >= 'a' && *at <= 'z')
			offer_n(c, out, at, n, "", 0);
		at += n + 1;
	}
}

void complete_words(const struct complete *c, struct pm_buf *out)
{
	if (c->verbs)
		offer_verbs(c, out);
	if (c->options)
		offer_all_options(c, out);
	if (c->own != NULL || c->key != NULL)
		offer_value(c, out);
	if (c->args != NULL)
		offer_argument(c, out);
}

/* A candidate is a line of its own, and the shell prints it as it is. */
static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static const char *name_of(const Pm__InstanceStatus *s, bool namespaces)
{
	return namespaces ? s->namespace_ : s->name;
}

static void offer_names(const struct complete *c, Pm__InstanceStatus *const *instances, size_t n,
                        bool namespaces, struct pm_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = name_of(instances[i], namespaces);
		bool seen = name[0] == '\0' || !is_printable(name);

		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(name_of(instances[k], namespaces), name) == 0;
		if (!seen)
			offer(c, out, name, namespaces ? "namespace" : "app");
	}
}

void complete_instances(const struct complete *c, Pm__InstanceStatus *const *instances, size_t n,
                        struct pm_buf *out)
{
	char id[16];

	if (c->apps) {
		offer_names(c, instances, n, false, out);
		if (c->many)
			offer_names(c, instances, n, true, out);
	}
	for (size_t i = 0; c->ids && i < n; i++) {
		(void)snprintf(id, sizeof(id), "%u", instances[i]->pm_id);
		offer(c, out, id, is_printable(instances[i]->name) ? instances[i]->name : "");
	}
}

void complete_name(const struct complete *c, const char *name, const char *help, struct pm_buf *out)
{
	if (is_printable(name))
		offer(c, out, name, is_printable(help) ? help : "");
}

const char *complete_files_word(enum complete_files files)
{
	switch (files) {
	case COMPLETE_NO_FILES:
		return NULL;
	case COMPLETE_FILES:
		return ":files";
	case COMPLETE_CONFIGS:
		return ":configs";
	case COMPLETE_DIRECTORIES:
		return ":directories";
	}
	return NULL;
}
