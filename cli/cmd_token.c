/* cmd_token.c - one-time tokens that let machines join and operators log in. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "cli/fleet_show.h"
#include "cli/subverb.h"
#include "proto/sanitize.h"
#include "proto/units.h"

#include <sodium.h>

static void token_json(struct json_out *j, const Pm__Token *t)
{
	json_begin_object(j);
	json_kstr(j, "id", t->id);
	if (t->text[0] != '\0')
		json_kstr(j, "text", t->text);
	json_kstr(j, "for", t->operator_ ? "operator" : "agent");
	json_kstr(j, "name", t->name);
	json_kstr(j, "role", t->role);
	fleet_show_labels_json(j, "labels", t->labels, t->n_labels);
	json_kint(j, "expires_ms", t->expires_wall_ms);
	json_kuint(j, "uses_left", t->uses_left);
	json_kstr(j, "created_by", t->created_by);
	json_kint(j, "created_ms", t->created_wall_ms);
	json_kstr(j, "used_by", t->used_by);
	json_end_object(j);
}

/* ---- create ---- */

static int on_token(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct ctx *ctx = arg;
	PM_BUF out = { 0 };
	PM_BUF when = { 0 };
	struct json_out j;
	int rc;

	if (reply->what_case != PM__FLEET_REPLY__WHAT_TOKEN)
		return 0;
	if (ctx->json) {
		json_init(&j, &out);
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
		json_key(&j, "token");
		token_json(&j, reply->token);
		json_end_object(&j);
	} else {
		pm_sanitize(reply->token->text, strlen(reply->token->text), PM_SANITIZE_ONE_LINE,
		            &out); /* which leaves a token as it is */
		fleet_show_when(reply->token->expires_wall_ms, &when);
		say_plain_error(ctx, "token %s for %s; it expires %s", reply->token->id,
		                reply->token->operator_ ? "an operator" : "an agent",
		                when.bytes == NULL ? "" : when.bytes);
	}
	pm_buf_char(&out, '\n');
	rc = say_buf(&out, err);
	if (out.bytes != NULL)
		sodium_memzero(out.bytes, out.len);
	return rc;
}

static int settle_life(const struct ctx *ctx, Pm__TokenCreate *create, struct pm_error *err)
{
	const char *ttl = args_get(ctx->args, "ttl");
	uint64_t ms = 0;
	int64_t uses;

	if (ttl != NULL &&
	    (!pm_parse_duration(ttl, 1000, &ms) || ms < 1000 || ms / 1000 > UINT32_MAX))
		return pm_fail(err, PM_USAGE, "--ttl: expected a time such as 1h, found '%s'", ttl);
	if (args_number(ctx->args, "uses", 1, 1000000, 0, &uses, err) < 0)
		return -1;
	create->ttl_s = (uint32_t)(ms / 1000);
	create->uses = (uint32_t)uses;
	return 0;
}

/* What only one of the two kinds has. */
static int check_kind(const struct ctx *ctx, struct pm_error *err)
{
	bool operator= args_has(ctx->args, "operator");

	if (!operator&& args_has(ctx->args, "role"))
		return pm_fail(err, PM_USAGE, "--role goes with --operator");
	if (operator&& args_has(ctx->args, "label"))
		return pm_fail(err, PM_USAGE, "--label is for agents; an operator has a --role");
	return 0;
}

static int create(struct ctx *ctx, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__TokenCreate body = PM__TOKEN_CREATE__INIT;
	const char *name = args_get(ctx->args, "name"), *role = args_get(ctx->args, "role");
	size_t n_addresses = args_n_values(ctx->args, "address");
	PM_FREE char **addresses = pm_calloc(n_addresses + 1, sizeof(*addresses));
	PM_CLEANUP(label_list_finish) struct label_list labels = { 0 };
	struct pm_address checked;

	if (addresses == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (settle_life(ctx, &body, err) < 0 || check_kind(ctx, err) < 0)
		return -1;
	for (size_t i = 0; i < args_n_values(ctx->args, "label"); i++)
		if (label_list_add(&labels, args_value(ctx->args, "label", i), false, err) < 0)
			return pm_wrap(err, "--label");
	for (size_t i = 0; i < n_addresses; i++) {
		const char *text = args_value(ctx->args, "address", i);

		if (pm_address_parse(text, &checked, err) < 0)
			return pm_wrap(err, "--address");
		addresses[i] = (char *)(uintptr_t)text; /* only read */
	}
	body.operator_ = args_has(ctx->args, "operator");
	if (name != NULL)
		body.name = (char *)(uintptr_t)name; /* only read */
	if (role != NULL)
		body.role = (char *)(uintptr_t)role;
	body.labels = labels.list;
	body.n_labels = labels.n;
	body.addresses = addresses;
	body.n_addresses = n_addresses;
	request.what_case = PM__FLEET_REQUEST__WHAT_TOKEN_CREATE;
	request.token_create = &body;
	if (fleet_show_open(ctx, err) < 0)
		return -1;
	return fleet_request(ctx, ctx->fleet, &request, on_token, ctx, err);
}

/* ---- list ---- */

static void token_row(struct listing *l, const Pm__Token *token)
{
	PM_BUF labels = { 0 };

	fleet_show_labels(token->labels, token->n_labels, &labels);
	listing_cell(l, token->id, COLOR_NONE);
	listing_cell(l, token->operator_ ? "operator" : "agent", COLOR_NONE);
	listing_cell(l, token->name, COLOR_NONE);
	listing_cell(l, token->operator_ || labels.bytes == NULL ? token->role : labels.bytes,
	             COLOR_NONE);
	listing_count(l, token->uses_left, COLOR_NONE);
	fleet_show_when_cell(l, token->expires_wall_ms);
	listing_cell(l, token->created_by, COLOR_NONE);
	listing_cell(l, token->used_by, COLOR_NONE);
}

static int on_tokens(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct listing *l = arg;

	(void)err;
	for (size_t i = 0;
	     reply->what_case == PM__FLEET_REPLY__WHAT_TOKENS && i < reply->tokens->n_tokens; i++) {
		token_row(l, reply->tokens->tokens[i]);
		token_json(listing_json(l), reply->tokens->tokens[i]);
	}
	return 0;
}

static int list(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "id", .title = "id", .name = true },
		{ .key = "for", .title = "for" },
		{ .key = "name", .title = "name", .least = 6 },
		{ .key = "labels", .title = "labels or role", .least = 8 },
		{ .key = "uses", .title = "uses", .right = true },
		{ .key = "expires", .title = "expires" },
		{ .key = "made_by", .title = "made by", .least = 6, .rank = 1 },
		{ .key = "used_by", .title = "used by", .least = 6, .rank = 2 },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__TokenQuery query = PM__TOKEN_QUERY__INIT;

	query.spent = args_has(ctx->args, "spent");
	request.what_case = PM__FLEET_REQUEST__WHAT_TOKEN_QUERY;
	request.token_query = &query;
	return fleet_show_list(ctx, &columns, "tokens", &request, on_tokens, err);
}

static int revoke(struct ctx *ctx, struct pm_error *err)
{
	if (fleet_show_open(ctx, err) < 0)
		return -1;
	for (size_t i = 0; i < subverb_count(ctx); i++) {
		Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
		Pm__TokenRevoke body = PM__TOKEN_REVOKE__INIT;

		body.id = (char *)(uintptr_t)subverb_at(ctx, i); /* only read */
		request.what_case = PM__FLEET_REQUEST__WHAT_TOKEN_REVOKE;
		request.token_revoke = &body;
		if (fleet_show_change(ctx, &request, "token revoked", err) < 0)
			return pm_wrap(err, "token revoke %.60s", subverb_at(ctx, i));
	}
	return 0;
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	static const struct subverb table[] = {
		{ "create", "", 0, 0, create },
		{ "list", "", 0, 0, list },
		{ "revoke", "ID...", 1, CMD_ANY, revoke },
		{ .name = NULL },
	};

	return subverb_run(ctx, table, err);
}

static const struct cmd_option options[] = {
	{ "label", 0, CMD_VALUE, "K=V[,K=V]", "create: labels of the machines that join with it" },
	{ "name", 0, CMD_VALUE, "NAME",
	  "create: of the operator; of machines, what theirs must match" },
	{ "ttl", 0, CMD_VALUE, "TIME", "create: good for so long; an hour" },
	{ "uses", 0, CMD_VALUE, "N", "create: good for so many; one" },
	{ "operator", 0, CMD_NO_VALUE, NULL,
	  "create: lets an operator log in, not a machine join" },
	{ "role", 0, CMD_VALUE, "ROLE",
	  "create: of the operator: viewer, logs, operator, deployer or admin" },
	{ "address", 0, CMD_VALUE, "HOST:PORT",
	  "create: where the coordinator is to be dialled; as it was told itself" },
	{ "spent", 0, CMD_NO_VALUE, NULL, "list: used and expired ones, too" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_token = {
	.name = "token",
	.args = "create|list|revoke [ID]...",
	.summary = "one-time tokens, by which machines join and operators log in",
	.help = "'create' prints the token on standard output and nothing else there: send it into "
		"a file. It is shown once; the coordinator keeps its hash.",
	.options = options,
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_COORDINATOR | CMD_LISTS | CMD_PAGED,
	.run = run,
};
