/* cmd_context.c - the coordinators that pmctl knows. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd_list.h"
#include "cli/context_file.h"
#include "cli/json_out.h"
#include "cli/lists.h"
#include "cli/subverb.h"
#include "proto/keyfile.h"

static void one_json(const struct contexts *c, const struct context *one, struct json_out *j)
{
	char text[PM_ADDRESS_TEXT], key[PM_KEY_TEXT], words[PM_FINGERPRINT_TEXT];

	pm_key_format(one->coordinator, key);
	pm_key_fingerprint(one->coordinator, words);
	json_begin_object(j);
	json_kstr(j, "name", one->name);
	json_kbool(j, "current", strcmp(c->current, one->name) == 0);
	json_key(j, "addresses");
	json_begin_array(j);
	for (unsigned i = 0; i < one->n_addresses; i++) {
		pm_address_format(&one->addresses[i], text);
		json_str(j, text);
	}
	json_end_array(j);
	json_kstr(j, "coordinator", key);
	json_kstr(j, "fingerprint", words);
	json_kstr(j, "operator", one->operator);
	json_kstr(j, "key", one->key);
	json_end_object(j);
}

static int print_json(const struct contexts *c, const struct context *only, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "contexts");
	json_begin_array(&j);
	one_json(c, only, &j);
	json_end_array(&j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int list(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "current", .title = "current" },
		{ .key = "name", .title = "name", .least = 8, .name = true },
		{ .key = "address", .title = "address", .least = 12 },
		{ .key = "operator", .title = "operator", .least = 8, .rank = 1 },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	struct listing_options options;
	PM_LISTING *l = NULL;
	PM_CONTEXTS c = { 0 };

	if (lists_read(ctx, &columns, &options, err) < 0 || listing_create(&columns, &l, err) < 0 ||
	    context_file_load(&c, err) < 0)
		return -1;
	if (c.n == 0 && options.form == LISTING_TABLE) {
		say(ctx,
		    "no coordinator is known; 'pmctl login --token-file FILE' makes one known");
		return 0;
	}
	for (size_t i = 0; i < c.n; i++) {
		char text[PM_ADDRESS_TEXT];

		pm_address_format(&c.list[i].addresses[0], text);
		listing_cell(l, strcmp(c.current, c.list[i].name) == 0 ? "*" : "", COLOR_NONE);
		listing_cell(l, c.list[i].name, COLOR_NONE);
		listing_cell(l, text, COLOR_NONE);
		listing_cell(l, c.list[i].operator, COLOR_NONE);
		one_json(&c, &c.list[i], listing_json(l));
	}
	return lists_print(ctx, l, &options, "contexts", NULL, err);
}

static int no_such(const struct contexts *c, const char *name, struct pm_error *err)
{
	const char *near = contexts_nearest(c, name);

	pm_fail(err, PM_NOT_FOUND, "%.100s: no such context", name);
	if (near != NULL)
		pm_hint(err, "did you mean '%s'?", near);
	return -1;
}

static int show(struct ctx *ctx, struct pm_error *err)
{
	const char *name = subverb_at(ctx, 0);
	PM_CONTEXTS c = { 0 };
	const struct context *one;
	char text[PM_ADDRESS_TEXT], key[PM_KEY_TEXT], words[PM_FINGERPRINT_TEXT];

	if (context_file_load(&c, err) < 0)
		return -1;
	if (name == NULL)
		name = c.current;
	if (name[0] == '\0')
		return pm_fail(err, PM_NOT_FOUND, "no context is chosen");
	one = contexts_find(&c, name);
	if (one == NULL)
		return no_such(&c, name, err);
	if (ctx->json)
		return print_json(&c, one, err);
	pm_key_format(one->coordinator, key);
	pm_key_fingerprint(one->coordinator, words);
	say(ctx, "name         %s%s", one->name,
	    strcmp(c.current, one->name) == 0 ? " (current)" : "");
	for (unsigned i = 0; i < one->n_addresses; i++) {
		pm_address_format(&one->addresses[i], text);
		say(ctx, "address      %s", text);
	}
	say(ctx, "coordinator  %s", key);
	say(ctx, "             %s", words);
	say(ctx, "operator     %s", one->operator[0] == '\0' ? "-" : one->operator);
	say(ctx, "key          %s", one->key);
	return 0;
}

static int use(struct ctx *ctx, struct pm_error *err)
{
	const char *name = subverb_at(ctx, 0);
	PM_CONTEXTS c = { 0 };
	PM_CLOSE int lock = -1;

	if (context_file_lock(&lock, err) < 0 || context_file_load(&c, err) < 0)
		return -1;
	if (contexts_find(&c, name) == NULL)
		return no_such(&c, name, err);
	(void)snprintf(c.current, sizeof(c.current), "%s", name); /* it is one's name: it fits */
	if (context_file_save(&c, err) < 0)
		return -1;
	say(ctx, "%s is the current context", name);
	return 0;
}

/* Whether another context uses the key, too. */
static bool key_is_shared(const struct contexts *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->list[i].key, key) == 0)
			return true;
	return false;
}

static int delete (struct ctx *ctx, struct pm_error *err)
{
	const char *name = subverb_at(ctx, 0);
	PM_CONTEXTS c = { 0 };
	PM_CLOSE int lock = -1;
	const struct context *one;
	char path[PM_PATH_MAX], next[PM_PATH_MAX], key[PM_PATH_MAX];
	bool ours;

	if (context_file_lock(&lock, err) < 0 || context_file_load(&c, err) < 0)
		return -1;
	one = contexts_find(&c, name);
	if (one == NULL)
		return no_such(&c, name, err);
	ours = one->key[0] != '/'; /* a key that login made, and not one of the user's own */
	if (context_file_key_path(one, path, err) < 0 ||
	    pm_keyfile_next_path(path, next, sizeof(next), err) < 0)
		return -1;
	(void)snprintf(key, sizeof(key), "%s", one->key);
	(void)contexts_remove(&c, name);
	ours = ours && !key_is_shared(&c, key);
	if (context_file_save(&c, err) < 0)
		return -1;
	if (ours) { /* without a context they are of no use to anybody */
		(void)unlink(path);
		(void)unlink(next);
	}
	say(ctx,
	    "%s is forgotten, and its key with it; an admin can revoke the key at the "
	    "coordinator, too",
	    name);
	return 0;
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	static const struct subverb table[] = {
		{ "list", "", 0, 0, list },
		{ "show", "[NAME]", 0, 1, show },
		{ "use", "NAME", 1, 1, use },
		{ "delete", "NAME", 1, 1, delete },
		{ .name = NULL },
	};

	return subverb_run(ctx, table, err);
}

const struct cmd cmd_context = {
	.name = "context",
	.args = "list|show|use|delete [NAME]",
	.summary = "the coordinators that are known on this machine, by name",
	.help = "'use' chooses the one that commands with hosts ask; --context and $PMCTL_CONTEXT "
		"choose for one command. They are kept in $PMCTL_CONFIG, else in "
		"~/.config/pmctl/contexts; 'login' adds one.",
	.min_args = 1,
	.max_args = 2,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_LISTS | CMD_PAGED,
	.run = run,
};
