/* cmd_operator.c - who may do what: operator, whoami. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "cli/fleet_show.h"
#include "cli/subverb.h"
#include "proto/keys.h"

/* "operate on role=web, apps api*" */
static void add_binding(const Pm__Binding *b, struct pm_buf *out)
{
	pm_buf_str(out, b->role);
	if (b->targets[0] != '\0')
		pm_buf_printf(out, " on %s", b->targets);
	if (b->apps[0] != '\0')
		pm_buf_printf(out, ", apps %s", b->apps);
}

static void bindings_json(struct json_out *j, Pm__Binding *const *list, size_t n)
{
	json_key(j, "bindings");
	json_begin_array(j);
	for (size_t i = 0; i < n; i++) {
		json_begin_object(j);
		json_kstr(j, "role", list[i]->role);
		json_kstr(j, "targets", list[i]->targets);
		json_kstr(j, "apps", list[i]->apps);
		json_end_object(j);
	}
	json_end_array(j);
}

static void operator_row(struct listing *l, const Pm__Operator *o)
{
	char words[PM_FINGERPRINT_TEXT] = "";
	PM_BUF roles = { 0 };

	for (size_t i = 0; i < o->n_bindings; i++) {
		pm_buf_str(&roles, i == 0 ? "" : "; ");
		add_binding(o->bindings[i], &roles);
	}
	if (o->key.len == PM_KEY_BYTES)
		pm_key_fingerprint(o->key.data, words);
	listing_cell(l, o->name, COLOR_NONE);
	listing_cell(l, roles.bytes == NULL ? "" : roles.bytes, COLOR_NONE);
	listing_cell(l, o->revoked ? "revoked" : "", COLOR_RED);
	fleet_show_when_cell(l, o->last_seen_wall_ms);
	listing_cell(l, words, COLOR_NONE);
	fleet_show_when_cell(l, o->created_wall_ms);
	listing_cell(l, o->id, COLOR_NONE);
}

static void operator_json(struct json_out *j, const Pm__Operator *o)
{
	char key[PM_KEY_TEXT] = "";

	if (o->key.len == PM_KEY_BYTES)
		pm_key_format(o->key.data, key);
	json_begin_object(j);
	json_kstr(j, "id", o->id);
	json_kstr(j, "name", o->name);
	json_kstr(j, "key", key);
	bindings_json(j, o->bindings, o->n_bindings);
	json_kbool(j, "revoked", o->revoked);
	json_kint(j, "created_ms", o->created_wall_ms);
	json_kint(j, "last_seen_ms", o->last_seen_wall_ms);
	json_end_object(j);
}

static int on_operators(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct listing *l = arg;

	(void)err;
	for (size_t i = 0; reply->what_case == PM__FLEET_REPLY__WHAT_OPERATORS &&
	                   i < reply->operators->n_operators;
	     i++) {
		operator_row(l, reply->operators->operators[i]);
		operator_json(listing_json(l), reply->operators->operators[i]);
	}
	return 0;
}

static int list(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "name", .title = "name", .least = 8, .name = true },
		{ .key = "may", .title = "may", .least = 12 },
		{ .key = "revoked", .title = "" },
		{ .key = "seen", .title = "last seen", .rank = 1 },
		{ .key = "key", .title = "key", .rank = 2 },
		{ .key = "created", .title = "created", .wide = true },
		{ .key = "id", .title = "id", .wide = true },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__OperatorQuery query = PM__OPERATOR_QUERY__INIT;

	if (subverb_at(ctx, 0) != NULL)
		query.name = (char *)(uintptr_t)subverb_at(ctx, 0); /* only read */
	request.what_case = PM__FLEET_REQUEST__WHAT_OPERATOR_QUERY;
	request.operator_query = &query;
	return fleet_show_list(ctx, &columns, "operators", &request, on_operators, err);
}

static int change(struct ctx *ctx, Pm__OperatorVerb verb, const char *done, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__OperatorChange body = PM__OPERATOR_CHANGE__INIT;
	Pm__Binding binding = PM__BINDING__INIT;
	const char *targets = args_get(ctx->args, "targets"), *apps = args_get(ctx->args, "apps");

	body.verb = verb;
	body.name = (char *)(uintptr_t)subverb_at(ctx, 0); /* only read, as what follows */
	if (subverb_at(ctx, 1) != NULL) {
		binding.role = (char *)(uintptr_t)subverb_at(ctx, 1);
		if (targets != NULL)
			binding.targets = (char *)(uintptr_t)targets;
		if (apps != NULL)
			binding.apps = (char *)(uintptr_t)apps;
		body.binding = &binding;
	} else if (targets != NULL || apps != NULL) {
		return pm_fail(err, PM_USAGE, "--targets and --apps go with a role");
	}
	request.what_case = PM__FLEET_REQUEST__WHAT_OPERATOR_CHANGE;
	request.operator_change = &body;
	return fleet_show_open(ctx, err) < 0 ? -1 : fleet_show_change(ctx, &request, done, err);
}

static int grant(struct ctx *ctx, struct pm_error *err)
{
	return change(ctx, PM__OPERATOR_VERB__OPERATOR_GRANT, "granted", err);
}

static int ungrant(struct ctx *ctx, struct pm_error *err)
{
	return change(ctx, PM__OPERATOR_VERB__OPERATOR_UNGRANT, "taken back", err);
}

static int revoke(struct ctx *ctx, struct pm_error *err)
{
	return change(ctx, PM__OPERATOR_VERB__OPERATOR_REVOKE, "revoked", err);
}

static int operator_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct subverb table[] = {
		{ "list", "[NAME]", 0, 1, list },
		{ "grant", "NAME ROLE", 2, 2, grant },
		{ "ungrant", "NAME ROLE", 2, 2, ungrant },
		{ "revoke", "NAME", 1, 1, revoke },
		{ .name = NULL },
	};

	return subverb_run(ctx, table, err);
}

/* ---- whoami ---- */

static int on_who(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct ctx *ctx = arg;
	const Pm__WhoAmI *who = reply->who;
	char words[PM_FINGERPRINT_TEXT] = "";
	PM_BUF out = { 0 };
	PM_BUF clean = { 0 };
	struct json_out j;

	if (reply->what_case != PM__FLEET_REPLY__WHAT_WHO)
		return 0;
	if (who->coordinator_key.len == PM_KEY_BYTES)
		pm_key_fingerprint(who->coordinator_key.data, words);
	if (ctx->json) {
		json_init(&j, &out);
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
		json_kstr(&j, "context", ctx->fleet->context.name);
		json_kstr(&j, "operator", who->operator_);
		bindings_json(&j, who->bindings, who->n_bindings);
		json_kstr(&j, "cluster", who->cluster_id);
		json_kstr(&j, "version", who->version);
		json_kstr(&j, "fingerprint", words);
		json_end_object(&j);
		pm_buf_char(&out, '\n');
		return say_buf(&out, err);
	}
	say(ctx, "operator     %s", say_cleaned(&clean, who->operator_));
	for (size_t i = 0; i < who->n_bindings; i++) {
		pm_buf_reset(&out);
		add_binding(who->bindings[i], &out);
		say(ctx, "%-12s %s", i == 0 ? "may" : "",
		    out.bytes == NULL ? "" : say_cleaned(&clean, out.bytes));
	}
	if (who->n_bindings == 0)
		say(ctx, "may          nothing; an admin can grant a role");
	say(ctx, "context      %s", ctx->fleet->context.name);
	say(ctx, "coordinator  %s, version %s", words, say_cleaned(&clean, who->version));
	return 0;
}

static int whoami_run(struct ctx *ctx, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__WhoAmIQuery query = PM__WHO_AM_IQUERY__INIT;

	request.what_case = PM__FLEET_REQUEST__WHAT_WHO_AM_I;
	request.who_am_i = &query;
	if (fleet_show_open(ctx, err) < 0)
		return -1;
	return fleet_request(ctx, ctx->fleet, &request, on_who, ctx, err);
}

static const struct cmd_option options[] = {
	{ "targets", 0, CMD_VALUE, "SET", "grant: only on these hosts, a SET or labels" },
	{ "apps", 0, CMD_VALUE, "GLOB", "grant: only for these apps" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_operator = {
	.name = "operator",
	.args = "list|grant|ungrant|revoke [NAME] [ROLE]",
	.summary = "who may do what in the fleet",
	.help = "A role is viewer, logs, operator, deployer or admin. 'revoke' lets the operator's key in no more.",
	.options = options,
	.min_args = 1,
	.max_args = 3,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_COORDINATOR | CMD_LISTS | CMD_PAGED,
	.run = operator_run,
};

const struct cmd cmd_whoami = {
	.name = "whoami",
	.args = "",
	.summary = "who you are to the coordinator, and what you may do there",
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_COORDINATOR,
	.run = whoami_run,
};
