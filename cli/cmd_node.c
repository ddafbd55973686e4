/* cmd_node.c - the machines of a fleet: node, drain, undrain. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "cli/fleet_show.h"
#include "cli/lists.h"
#include "cli/subverb.h"
#include "proto/keys.h"
#include "proto/node_state.h"

static enum color state_color(const Pm__Node *node)
{
	if (node->state == PM__NODE_STATE__NODE_ONLINE)
		return node->drained ? COLOR_YELLOW : COLOR_GREEN;
	return node->state == PM__NODE_STATE__NODE_DENIED ||
	                       node->state == PM__NODE_STATE__NODE_STORE_OLD ||
	                       node->state == PM__NODE_STATE__NODE_DOWN
	               ? COLOR_RED
	               : COLOR_YELLOW;
}

/* ---- looking ---- */

/* `node show web01 web02` and `node show --hosts 'web*'` are the same; without either, all. */
static int choose(struct ctx *ctx, size_t first, size_t end, bool all_if_none, struct pm_error *err)
{
	struct fleet *f;

	if (fleet_show_open(ctx, err) < 0)
		return -1;
	f = ctx->fleet;
	for (size_t i = first; i < end; i++)
		if (fleet_select(f, subverb_at(ctx, i), err) < 0)
			return -1;
	if (fleet_has_selector(f))
		return 0;
	if (all_if_none) {
		f->selector.all = f->asks_for_all = true;
		return 0;
	}
	pm_fail(err, PM_USAGE, "%s: no node is named", args_cmd(ctx->args)->name);
	pm_hint(err, "give its name, or --hosts, --label, --group, --where or --all");
	return -1;
}

static void node_json(struct json_out *j, const Pm__Node *n)
{
	char key[PM_KEY_TEXT] = "", words[PM_FINGERPRINT_TEXT] = "";

	if (n->key.len == PM_KEY_BYTES) {
		pm_key_format(n->key.data, key);
		pm_key_fingerprint(n->key.data, words);
	}
	json_begin_object(j);
	json_kstr(j, "id", n->id);
	json_kstr(j, "name", n->name);
	json_kstr(j, "state", pm_node_state_name(n->state));
	json_kstr(j, "key", key);
	json_kstr(j, "fingerprint", words);
	fleet_show_labels_json(j, "labels", n->labels, n->n_labels);
	fleet_show_labels_json(j, "claimed", n->claimed, n->n_claimed);
	if (n->facts != NULL) {
		json_kstr(j, "hostname", n->facts->hostname);
		json_kstr(j, "os", n->facts->os);
		json_kstr(j, "arch", n->facts->arch);
		json_kuint(j, "cpus", n->facts->n_cpus);
		json_kuint(j, "memory", n->facts->memory);
		json_kstr(j, "version", n->facts->version);
	}
	json_kstr(j, "address", n->address);
	json_kint(j, "last_seen_ms", n->last_seen_wall_ms);
	json_kint(j, "enrolled_ms", n->enrolled_wall_ms);
	json_kstr(j, "enrolled_by", n->enrolled_by);
	json_kuint(j, "running", n->running);
	json_kuint(j, "failed", n->failed);
	json_kbool(j, "drained", n->drained);
	json_kstr(j, "drain_text", n->drain_text);
	json_kstr(j, "note", n->note);
	json_kint(j, "clock_offset_ms", n->clock_offset_ms);
	json_end_object(j);
}

static int nodes_json(const struct fleet *f, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "nodes");
	json_begin_array(&j);
	for (size_t i = 0; i < f->n_nodes; i++)
		node_json(&j, f->nodes[i]);
	json_end_array(&j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static void node_row(struct listing *l, const Pm__Node *n)
{
	char state[64], offset[32];

	(void)snprintf(state, sizeof(state), "%s%s", pm_node_state_name(n->state),
	               n->drained ? ", drained" : "");
	(void)snprintf(offset, sizeof(offset), "%lldms", (long long)n->clock_offset_ms);
	listing_cell(l, n->name, COLOR_NONE);
	listing_cell(l, state, state_color(n));
	fleet_show_labels_cell(l, n->labels, n->n_labels);
	listing_count(l, n->running, COLOR_NONE);
	listing_count(l, n->failed, n->failed > 0 ? COLOR_RED : COLOR_NONE);
	fleet_show_when_cell(l, n->last_seen_wall_ms);
	listing_cell(l, n->facts == NULL ? "" : n->facts->version, COLOR_NONE);
	listing_cell(l, n->address, COLOR_NONE);
	listing_cell(l, n->note[0] != '\0' ? n->note : n->drain_text, COLOR_NONE);
	listing_cell(l, n->facts == NULL ? "" : n->facts->os, COLOR_NONE);
	listing_cell(l, n->facts == NULL ? "" : n->facts->arch, COLOR_NONE);
	listing_count(l, n->facts == NULL ? 0 : n->facts->n_cpus, COLOR_NONE);
	listing_number(l, offset, n->clock_offset_ms, COLOR_NONE);
	fleet_show_when_cell(l, n->enrolled_wall_ms);
	listing_cell(l, n->enrolled_by, COLOR_NONE);
	listing_cell(l, n->id, COLOR_NONE);
	node_json(listing_json(l), n);
}

static int list(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "name", .title = "name", .least = 8, .name = true },
		{ .key = "state", .title = "state" },
		{ .key = "labels", .title = "labels", .least = 10, .rank = 2 },
		{ .key = "running", .title = "running", .right = true },
		{ .key = "failed", .title = "failed", .right = true },
		{ .key = "seen", .title = "last seen", .rank = 1 },
		{ .key = "version", .title = "version", .rank = 3 },
		{ .key = "address", .title = "address", .rank = 4 },
		{ .key = "note", .title = "note", .least = 6, .rank = 5 },
		{ .key = "os", .title = "system", .wide = true },
		{ .key = "arch", .title = "arch", .wide = true },
		{ .key = "cpus", .title = "cpus", .right = true, .wide = true },
		{ .key = "offset", .title = "clock", .right = true, .wide = true },
		{ .key = "joined", .title = "joined", .wide = true },
		{ .key = "let_in_by", .title = "let in by", .wide = true },
		{ .key = "id", .title = "id", .wide = true },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	struct listing_options options;
	PM_LISTING *l = NULL;

	if (lists_read(ctx, &columns, &options, err) < 0 || listing_create(&columns, &l, err) < 0 ||
	    choose(ctx, 0, subverb_count(ctx), true, err) < 0)
		return -1;
	if (fleet_find(ctx, ctx->fleet, true, err) < 0) {
		if (err->code != PM_NOT_FOUND || !ctx->fleet->asks_for_all)
			return -1;
		ctx->fleet->n_nodes = 0; /* a fleet without members is no mistake */
	}
	if (ctx->fleet->n_nodes == 0 && options.form == LISTING_TABLE) {
		say(ctx, "no machine has joined; 'pmctl token create' makes a token for one");
		return 0;
	}
	for (size_t i = 0; i < ctx->fleet->n_nodes; i++)
		node_row(l, ctx->fleet->nodes[i]);
	return lists_print(ctx, l, &options, "nodes", NULL, err);
}

static void fact(struct ctx *ctx, const char *name, const char *value)
{
	PM_BUF clean = { 0 };

	if (value != NULL && value[0] != '\0')
		say(ctx, "  %-12s %s", name, say_cleaned(&clean, value));
}

static void show_one(struct ctx *ctx, const Pm__Node *n)
{
	char key[PM_KEY_TEXT] = "", words[PM_FINGERPRINT_TEXT] = "", counts[64];
	PM_BUF labels = { 0 };
	PM_BUF claimed = { 0 };
	PM_BUF seen = { 0 };
	PM_BUF since = { 0 };
	PM_BUF clean = { 0 };

	if (n->key.len == PM_KEY_BYTES) {
		pm_key_format(n->key.data, key);
		pm_key_fingerprint(n->key.data, words);
	}
	fleet_show_labels(n->labels, n->n_labels, &labels);
	fleet_show_labels(n->claimed, n->n_claimed, &claimed);
	fleet_show_when(n->last_seen_wall_ms, &seen);
	fleet_show_when(n->enrolled_wall_ms, &since);
	(void)snprintf(counts, sizeof(counts), "%u running, %u failed", n->running, n->failed);
	say(ctx, "%s", say_cleaned(&clean, n->name));
	fact(ctx, "state", pm_node_state_name(n->state));
	fact(ctx, "note", n->note);
	if (n->drained)
		fact(ctx, "drained", n->drain_text[0] == '\0' ? "yes" : n->drain_text);
	fact(ctx, "instances", counts);
	fact(ctx, "labels", labels.bytes);
	fact(ctx, "claimed", claimed.bytes);
	if (n->facts != NULL) {
		fact(ctx, "hostname", n->facts->hostname);
		fact(ctx, "system", n->facts->os);
		fact(ctx, "version", n->facts->version);
	}
	fact(ctx, "address", n->address);
	fact(ctx, "last seen", seen.bytes);
	fact(ctx, "joined", since.bytes);
	fact(ctx, "let in by", n->enrolled_by);
	fact(ctx, "id", n->id);
	fact(ctx, "key", key);
	fact(ctx, "fingerprint", words);
}

static int show(struct ctx *ctx, struct pm_error *err)
{
	if (choose(ctx, 0, subverb_count(ctx), false, err) < 0 ||
	    fleet_find(ctx, ctx->fleet, true, err) < 0)
		return -1;
	if (ctx->json)
		return nodes_json(ctx->fleet, err);
	for (size_t i = 0; i < ctx->fleet->n_nodes; i++)
		show_one(ctx, ctx->fleet->nodes[i]);
	return 0;
}

/* ---- changing ---- */

struct change {
	const char *name, *done;
	Pm__NodeVerb verb;
	bool destructive;
};

static int send_change(struct ctx *ctx, const struct change *change, Pm__NodeChange *body,
                       struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;

	if (change->destructive && ctx->fleet->asks_for_all &&
	    (fleet_find(ctx, ctx->fleet, true, err) < 0 ||
	     fleet_confirm(ctx, change->name, "all", err) < 0))
		return -1;
	body->verb = change->verb;
	body->selector = &ctx->fleet->selector;
	request.what_case = PM__FLEET_REQUEST__WHAT_NODE_CHANGE;
	request.node_change = body;
	return fleet_show_change(ctx, &request, change->done, err);
}

static int run_change(struct ctx *ctx, const struct change *change, size_t n_names,
                      struct pm_error *err)
{
	Pm__NodeChange body = PM__NODE_CHANGE__INIT;
	const char *text = args_get(ctx->args, "message");

	if (choose(ctx, 0, n_names, false, err) < 0)
		return -1;
	if (text != NULL)
		body.text = (char *)(uintptr_t)text; /* only read */
	return send_change(ctx, change, &body, err);
}

static const struct change drain_change = { "drain", "drained", PM__NODE_VERB__NODE_DRAIN, false };
static const struct change undrain_change = { "undrain", "back in service",
	                                      PM__NODE_VERB__NODE_UNDRAIN, false };

#define CHANGE(function, verb, words, destructive)                                           \
	static int function(struct ctx *ctx, struct pm_error *err)                           \
	{                                                                                    \
		static const struct change change = { #function, words, verb, destructive }; \
                                                                                             \
		return run_change(ctx, &change, subverb_count(ctx), err);                    \
	}

CHANGE(drain, PM__NODE_VERB__NODE_DRAIN, "drained", false)
CHANGE(undrain, PM__NODE_VERB__NODE_UNDRAIN, "back in service", false)
CHANGE(revoke, PM__NODE_VERB__NODE_REVOKE, "revoked", true)
CHANGE(rekey, PM__NODE_VERB__NODE_REKEY, "asked for a new key", false)
CHANGE(rotate, PM__NODE_VERB__NODE_ROTATE, "asked to replace its key", false)
CHANGE(accept, PM__NODE_VERB__NODE_ACCEPT, "accepted", false)
CHANGE(reject, PM__NODE_VERB__NODE_REJECT, "rejected", false)
CHANGE(forget, PM__NODE_VERB__NODE_FORGET, "forgotten", true)

/* A word of `node label` that is a label, and no node: KEY=VALUE, or KEY- to remove it. */
static bool is_label(const char *word)
{
	size_t len = strlen(word);

	return strchr(word, '=') != NULL || (len > 1 && word[len - 1] == '-');
}

static int label(struct ctx *ctx, struct pm_error *err)
{
	static const struct change change = { "label", "labelled", PM__NODE_VERB__NODE_LABEL,
		                              false };
	PM_CLEANUP(label_list_finish) struct label_list labels = { 0 };
	Pm__NodeChange body = PM__NODE_CHANGE__INIT;
	size_t first = 0;

	while (first < subverb_count(ctx) && !is_label(subverb_at(ctx, first)))
		first++;
	for (size_t i = first; i < subverb_count(ctx); i++)
		if (label_list_add(&labels, subverb_at(ctx, i), true, err) < 0)
			return pm_wrap(err, "node label");
	if (labels.n == 0) {
		pm_fail(err, PM_USAGE, "node label: no label is given");
		pm_hint(err, "usage: pmctl node label NODE... KEY=VALUE... or KEY-");
		return -1;
	}
	if (choose(ctx, 0, first, false, err) < 0)
		return -1;
	body.set = labels.list;
	body.n_set = labels.n;
	return send_change(ctx, &change, &body, err);
}

static int rename_node(struct ctx *ctx, struct pm_error *err)
{
	static const struct change change = { "rename", "renamed", PM__NODE_VERB__NODE_RENAME,
		                              false };
	Pm__NodeChange body = PM__NODE_CHANGE__INIT;

	if (choose(ctx, 0, 1, false, err) < 0)
		return -1;
	body.text = (char *)(uintptr_t)subverb_at(ctx, 1); /* only read */
	return send_change(ctx, &change, &body, err);
}

static int node_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct subverb table[] = {
		{ "list", "[NODE...]", 0, CMD_ANY, list },
		{ "show", "[NODE...]", 0, CMD_ANY, show },
		{ "label", "[NODE...] KEY=VALUE... or KEY-", 1, CMD_ANY, label },
		{ "drain", "[NODE...]", 0, CMD_ANY, drain },
		{ "undrain", "[NODE...]", 0, CMD_ANY, undrain },
		{ "revoke", "[NODE...]", 0, CMD_ANY, revoke },
		{ "rekey", "[NODE...]", 0, CMD_ANY, rekey },
		{ "rotate", "[NODE...]", 0, CMD_ANY, rotate },
		{ "accept", "[NODE...]", 0, CMD_ANY, accept },
		{ "reject", "[NODE...]", 0, CMD_ANY, reject },
		{ "rename", "NODE NAME", 2, 2, rename_node },
		{ "forget", "[NODE...]", 0, CMD_ANY, forget },
		{ .name = NULL },
	};

	return subverb_run(ctx, table, err);
}

/* `pmctl drain web3` as `pmctl node drain web3`. */
static int short_run(struct ctx *ctx, const struct change *change, struct pm_error *err)
{
	Pm__NodeChange body = PM__NODE_CHANGE__INIT;
	const char *text = args_get(ctx->args, "message");

	if (fleet_show_open(ctx, err) < 0)
		return -1;
	for (size_t i = 0; i < args_count(ctx->args); i++)
		if (fleet_select(ctx->fleet, args_at(ctx->args, i), err) < 0)
			return -1;
	if (!fleet_has_selector(ctx->fleet))
		return pm_fail(err, PM_USAGE, "%s: no node is named", change->name);
	if (text != NULL)
		body.text = (char *)(uintptr_t)text; /* only read */
	return send_change(ctx, change, &body, err);
}

static int drain_run(struct ctx *ctx, struct pm_error *err)
{
	return short_run(ctx, &drain_change, err);
}

static int undrain_run(struct ctx *ctx, struct pm_error *err)
{
	return short_run(ctx, &undrain_change, err);
}

static const struct cmd_option options[] = {
	{ "message", 'm', CMD_VALUE, "TEXT", "why: shown to whoever looks, and in the audit" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_node = {
	.name = "node",
	.args = "list|show|label|drain|undrain|revoke|rekey|rotate|accept|reject|rename|forget [NODE]...",
	.summary = "the machines of the fleet: who they are, and whether they belong to it",
	.help = "NODE is a name or a SET as --hosts takes it. 'label NODE KEY=VALUE' sets a label "
		"and 'label NODE KEY-' removes it; 'revoke' lets a key in no more; 'rotate' has "
		"the node make a new one, without cutting it off; 'rekey' lets it join again with "
		"a token of its name; 'forget' takes the node off the list.",
	.options = options,
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET_ONLY | CMD_LISTS | CMD_PAGED,
	.run = node_run,
};

const struct cmd cmd_drain = {
	.name = "drain",
	.args = "[NODE]...",
	.summary = "take machines out of service: commands to many hosts leave them out",
	.options = options,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET_ONLY,
	.run = drain_run,
};

const struct cmd cmd_undrain = {
	.name = "undrain",
	.args = "[NODE]...",
	.summary = "put drained machines back into service",
	.options = options,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET_ONLY,
	.run = undrain_run,
};
