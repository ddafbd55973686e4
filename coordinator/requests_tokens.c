/* requests_tokens.c - the tokens that new members join with: made, listed, revoked. */
#include "coordinator/requests_priv.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rotation.h"
#include "proto/buf.h"
#include "proto/ops.h"

#define TOKEN_TTL_S     3600
#define TOKEN_TTL_MAX_S (30u * 24 * 3600)
#define TOKEN_USES_MAX  10000

static void labels_join(Pm__Label *const *list, size_t n, struct pm_buf *out)
{
	for (size_t i = 0; i < n; i++)
		pm_buf_printf(out, "%s%s=%s", i > 0 ? "," : "", list[i]->name, list[i]->value);
	pm_buf_str(out, "");
}

static void on_token(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__Token token = PM__TOKEN__INIT;
	struct pm_buf words = { 0 };
	char id[2 * PM_TOKEN_ID_BYTES + 1];
	struct pm_error err;

	if (r->status != STORE_OK) {
		requests_reply_store(w, r);
		requests_pending_free(w);
		return;
	}
	if (pm_token_format(&w->token, &words, &err) < 0) {
		if (w->link != NULL)
			pm_link_reply_error(w->link, w->id, &err);
		requests_pending_free(w);
		return;
	}
	(void)sodium_bin2hex(id, sizeof(id), w->token.id, sizeof(w->token.id));
	token.id = id;
	token.text = words.bytes;
	token.operator_ = w->token.kind == PM_TOKEN_OPERATOR;
	token.expires_wall_ms = (int64_t)w->token.expires_wall_s * 1000;
	out.what_case = PM__FLEET_REPLY__WHAT_TOKEN;
	out.token = &token;
	requests_reply(w->link, w->id, &out);
	pm_token_wipe(&words);
	requests_pending_free(w);
}

/* Where the new member finds us. */
static int token_addresses(struct coord *c, const Pm__TokenCreate *q, struct pm_token *t,
                           struct pm_error *err)
{
	if (q->n_addresses > PM_ADDRESSES_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d addresses", PM_ADDRESSES_MAX);
	for (size_t i = 0; i < q->n_addresses; i++)
		if (pm_address_parse(q->addresses[i], &t->addresses[t->n_addresses++], err) < 0)
			return -1;
	for (size_t i = 0; q->n_addresses == 0 && i < c->n_addresses; i++)
		t->addresses[t->n_addresses++] = c->addresses[i];
	if (t->n_addresses > 0)
		return 0;
	pm_fail(err, PM_CONFIG, "the coordinator does not know the address that agents find it at");
	pm_hint(err, "start it with --advertise HOST:PORT, or give --address");
	return -1;
}

static int check_token(const Pm__TokenCreate *q, struct pm_error *err)
{
	if (q->operator_ && pm_rank_by_name(q->role) == PM_RANK_NONE)
		return pm_fail(err, PM_USAGE,
		               "%.40s is no role: viewer, logs, operator, deployer, admin",
		               q->role);
	if (!q->operator_ && q->role[0] != '\0')
		return pm_fail(err, PM_USAGE, "a role is for operators: add --operator");
	if (q->ttl_s > TOKEN_TTL_MAX_S)
		return pm_fail(err, PM_USAGE, "a token lives 30 days at most");
	if (q->uses > TOKEN_USES_MAX)
		return pm_fail(err, PM_USAGE, "a token is for %d uses at most", TOKEN_USES_MAX);
	for (size_t i = 0; i < q->n_labels; i++)
		if (!pm_label_key_ok(q->labels[i]->name, strlen(q->labels[i]->name)) ||
		    !pm_label_value_ok(q->labels[i]->value, strlen(q->labels[i]->value)))
			return pm_fail(err, PM_USAGE, "%.60s=%.60s is no label", q->labels[i]->name,
			               q->labels[i]->value);
	return 0;
}

int requests_create_token(struct coord *c, struct peer *p, uint64_t id, const Pm__TokenCreate *q,
                          struct pm_error *err)
{
	struct store_request request = { .op = STORE_ADD_TOKEN, .now_ms = pm_wall_ms() };
	uint32_t ttl_s = q->ttl_s == 0 ? TOKEN_TTL_S : q->ttl_s;
	PM_BUF labels = { 0 };
	struct audit_entry entry;
	struct pending *w;

	if (check_token(q, err) < 0)
		return -1;
	w = requests_pending_new(c, p, id);
	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "make a token");
	(void)snprintf(w->what, sizeof(w->what), "make a token");
	if (pm_token_create(q->operator_ ? PM_TOKEN_OPERATOR : PM_TOKEN_JOIN, &w->token, err) < 0) {
		requests_pending_free(w);
		return -1;
	}
	w->has_token = true;
	memcpy(w->token.coordinator, pm_key_public(rotation_newest(c->rotation)), PM_KEY_BYTES);
	w->token.expires_wall_s = (uint64_t)request.now_ms / 1000 + ttl_s;
	labels_join(q->labels, q->n_labels, &labels);
	if (labels.failed || token_addresses(c, q, &w->token, err) < 0) {
		if (labels.failed)
			(void)pm_fail(err, PM_NO_MEMORY, "make a token");
		requests_pending_free(w);
		return -1;
	}
	request.token = (struct store_token){
		.kind = q->operator_ ? MEMBER_OPERATOR : MEMBER_AGENT,
		.name_pattern = q->name,
		.labels = labels.bytes,
		.role = q->operator_ ? q->role : "",
		.uses_left = q->uses == 0 ? 1 : q->uses,
		.expires_ms = request.now_ms + (int64_t)ttl_s * 1000,
		.created_by = peer_name(p),
		.created_ms = request.now_ms,
	};
	memcpy(request.token.id.bytes, w->token.id, sizeof(request.token.id.bytes));
	pm_token_hash(w->token.id, w->token.secret, request.token.secret_hash.bytes);
	entry = coord_entry(peer_name(p), "token.create", q->operator_ ? "operator" : "agent",
	                    q->operator_ ? q->role : labels.bytes, "ok");
	request.audit = &entry;
	if (fleet_store_submit(c->store, &request, on_token, w, err) == 0)
		return 0;
	requests_pending_free(w);
	return -1;
}

/* A token as a message, which borrows from the store's row. */
struct token_view {
	Pm__Token msg;
	char id[17];
	struct pm_labels parsed; /* owned */
	Pm__Label labels[PM_LABELS_MAX], *list[PM_LABELS_MAX];
};

static void fill_token(const struct store_token *row, struct token_view *v)
{
	Pm__Token *out = &v->msg;
	struct pm_error err;

	pm__token__init(out);
	(void)sodium_bin2hex(v->id, sizeof(v->id), row->id.bytes, sizeof(row->id.bytes));
	out->id = v->id;
	out->operator_ = row->kind == MEMBER_OPERATOR;
	out->role = requests_text(row->role);
	out->name = requests_text(row->name_pattern);
	out->expires_wall_ms = row->expires_ms;
	out->uses_left = row->uses_left;
	out->created_by = requests_text(row->created_by);
	out->created_wall_ms = row->created_ms;
	out->used_by = requests_text(row->used_by);
	if (pm_labels_parse(row->labels, &v->parsed, &err) < 0)
		return; /* they were checked when it was made */
	out->n_labels = coord_labels(&v->parsed, v->labels, v->list, PM_LABELS_MAX);
	out->labels = v->list;
}

static void tokens_free(struct token_view *views)
{
	for (size_t i = 0; views != NULL && i < ROWS_PER_REPLY; i++)
		pm_labels_finish(&views[i].parsed);
	free(views);
}

void requests_on_tokens(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	bool spent = w->req->token_query->spent;
	struct token_view *views = pm_calloc(ROWS_PER_REPLY, sizeof(*views));
	Pm__Token *list[ROWS_PER_REPLY];
	struct pm_error err;
	Pm__TokenList all = PM__TOKEN_LIST__INIT;
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;

	if (r->status != STORE_OK || views == NULL) {
		(void)pm_fail(&err, PM_NO_MEMORY, "tokens"); /* for the peer */
		if (views != NULL)
			requests_reply_store(w, r);
		else if (w->link != NULL)
			pm_link_reply_error(w->link, w->id, &err);
		free(views);
		requests_pending_free(w);
		return;
	}
	out.what_case = PM__FLEET_REPLY__WHAT_TOKENS;
	out.tokens = &all;
	all.tokens = list;
	for (size_t i = 0; i < r->n; i++) {
		const struct store_token *row = &r->tokens[i];

		if (!spent && (row->uses_left == 0 ||
		               (row->expires_ms != 0 && row->expires_ms <= pm_wall_ms())))
			continue;
		pm_labels_finish(&views[all.n_tokens].parsed);
		fill_token(row, &views[all.n_tokens]);
		list[all.n_tokens] = &views[all.n_tokens].msg;
		if (++all.n_tokens < ROWS_PER_REPLY)
			continue;
		out.more = true;
		requests_reply(w->link, w->id, &out);
		all.n_tokens = 0;
	}
	out.more = false;
	requests_reply(w->link, w->id, &out);
	tokens_free(views);
	requests_pending_free(w);
}

int requests_revoke_token(struct coord *c, struct peer *p, uint64_t id, const Pm__TokenRevoke *q,
                          struct pm_error *err)
{
	struct store_request request = { .op = STORE_DROP_TOKEN, .now_ms = pm_wall_ms() };
	struct audit_entry entry = coord_entry(peer_name(p), "token.revoke", q->id, "", "ok");
	size_t len;

	if (sodium_hex2bin(request.token_id.bytes, sizeof(request.token_id.bytes), q->id,
	                   strlen(q->id), NULL, &len, NULL) != 0 ||
	    len != sizeof(request.token_id.bytes))
		return pm_fail(err, PM_USAGE, "%.40s is no token's id; see 'pmctl token list'",
		               q->id);
	request.audit = &entry;
	return requests_submit_word(c, p, id, &request, "revoked", requests_on_word, NULL, err);
}
