#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cmd_list.h"
#include "cli/fleet_show.h"
#include "cli/fmt.h"
#include "cli/lists.h"
#include "cli/log_view.h"
#include "proto/audit_file.h"
#include "proto/paths.h"

#define DEFAULT_LAST 50

struct audit_list {
	struct ctx *ctx;
	struct listing *rows;
	char verified[256];
	size_t n;
};

static void entry_row(struct listing *l, const Pm__AuditEntry *e)
{
	time_t s = (time_t)(e->wall_ms / 1000);
	char when[64] = "";
	struct tm tm;

	if (localtime_r(&s, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	listing_count(l, e->sequence, COLOR_NONE);
	listing_number(l, when, e->wall_ms, COLOR_NONE);
	listing_cell(l, e->actor, COLOR_NONE);
	listing_cell(l, e->action, COLOR_NONE);
	listing_cell(l, e->target, COLOR_NONE);
	listing_cell(l, e->outcome, COLOR_NONE);
	listing_cell(l, e->detail, COLOR_NONE);
}

static void entry_json(struct json_out *j, const Pm__AuditEntry *e)
{
	char when[FMT_MAX];

	fmt_iso(e->wall_ms, when);
	json_begin_object(j);
	json_kuint(j, "sequence", e->sequence);
	json_kstr(j, "at", when);
	json_kstr(j, "actor", e->actor);
	json_kstr(j, "action", e->action);
	json_kstr(j, "target", e->target);
	json_kstr(j, "detail", e->detail);
	json_kstr(j, "outcome", e->outcome);
	json_end_object(j);
}

static int on_entries(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct audit_list *l = arg;

	(void)err;
	if (reply->what_case != PM__FLEET_REPLY__WHAT_AUDIT)
		return 0;
	for (size_t i = 0; i < reply->audit->n_entries; i++) {
		entry_row(l->rows, reply->audit->entries[i]);
		entry_json(listing_json(l->rows), reply->audit->entries[i]);
	}
	if (reply->audit->verified[0] != '\0')
		(void)snprintf(l->verified, sizeof(l->verified), "%.255s", reply->audit->verified);
	return 0;
}

static int settle(const struct ctx *ctx, Pm__AuditQuery *query, struct pm_error *err)
{
	const char *since = args_get(ctx->args, "since"), *word = args_at(ctx->args, 0);
	int64_t last;

	if (word != NULL && strcmp(word, "verify") != 0) {
		pm_fail(err, PM_USAGE, "audit: it has no '%.60s'", word);
		pm_hint(err, "usage: pmctl audit [verify]");
		return -1;
	}
	if (since != NULL && !log_view_instant(since, pm_wall_ms(), &query->since_wall_ms))
		return pm_fail(err, PM_USAGE,
		               "--since: expected a time such as 10m or 2026-11-23, found '%s'",
		               since);
	if (args_number(ctx->args, "last", 1, 1000000, since != NULL ? 0 : DEFAULT_LAST, &last,
	                err) < 0)
		return -1;
	query->last = (uint32_t)last;
	query->verify = word != NULL;
	return 0;
}

/* ---- this machine's own ---- */

struct own_walk {
	struct audit_list *l;
	int64_t since_wall_ms;
	uint64_t after; /* entries up to this number are left out */
};

static int on_own_entry(void *arg, const struct audit_entry *e, struct pm_error *err)
{
	struct own_walk *w = arg;
	Pm__AuditEntry entry = PM__AUDIT_ENTRY__INIT;
	char *text[AUDIT_FIELDS];

	(void)err;
	if (e->seq <= w->after || e->wall_ms < w->since_wall_ms)
		return 0;
	for (int i = 0; i < AUDIT_FIELDS; i++)
		text[i] = (char *)(uintptr_t)(e->field[i] != NULL ? e->field[i] : "");
	entry.sequence = e->seq;
	entry.wall_ms = e->wall_ms;
	entry.actor = text[AUDIT_ACTOR];
	entry.action = text[AUDIT_ACTION];
	entry.target = text[AUDIT_TARGET];
	entry.detail = text[AUDIT_DETAIL];
	entry.outcome = text[AUDIT_OUTCOME];
	w->l->n++;
	entry_row(w->l->rows, &entry);
	entry_json(listing_json(w->l->rows), &entry);
	return 0;
}

/* From the files, whoever runs or not: once to check and count, once to show. */
static int read_own(struct audit_list *l, const Pm__AuditQuery *query, struct pm_error *err)
{
	struct own_walk w = { .l = l, .since_wall_ms = query->since_wall_ms };
	struct audit_report report = { 0 };
	char dir[PM_PATH_MAX];

	if (pm_home_file(l->ctx->home, "state/audit", dir, sizeof(dir), err) < 0)
		return -1;
	if (access(dir, F_OK) < 0 && errno == ENOENT) {
		(void)snprintf(l->verified, sizeof(l->verified),
		               "this machine has no audit: nobody but its owner commanded it");
		return 0;
	}
	if (audit_file_verify(dir, NULL, NULL, NULL, &report, err) < 0)
		return -1;
	(void)snprintf(l->verified, sizeof(l->verified), "%llu entries, none changed or missing",
	               (unsigned long long)(report.last == 0 ? 0 : report.last - report.first + 1));
	if (query->verify)
		return 0;
	if (query->last != 0 && report.last > query->last)
		w.after = report.last - query->last;
	return audit_file_verify(dir, NULL, on_own_entry, &w, &report, err);
}

/* What was found when the chain was checked, as a member of the document. */
static int print_verified(const struct audit_list *l, const struct listing_options *options,
                          struct pm_error *err)
{
	PM_BUF more = { 0 };
	struct json_out j;

	if (!l->ctx->json) {
		say(l->ctx, "%s", l->verified);
		return 0;
	}
	json_init(&j, &more);
	json_kstr(&j, "verified", l->verified);
	if (more.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	return lists_print(l->ctx, l->rows, options, "entries", more.bytes, err);
}

static int audit_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "no", .title = "no.", .right = true, .rank = 3, .name = true },
		{ .key = "time", .title = "time" },
		{ .key = "who", .title = "who", .least = 6 },
		{ .key = "what", .title = "what", .least = 6 },
		{ .key = "to", .title = "to", .least = 6 },
		{ .key = "outcome", .title = "outcome", .least = 6 },
		{ .key = "detail", .title = "detail", .least = 8, .rank = 2 },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__AuditQuery query = PM__AUDIT_QUERY__INIT;
	struct listing_options options;
	PM_LISTING *rows = NULL;
	struct audit_list l = { .ctx = ctx };
	const char *option;

	request.what_case = PM__FLEET_REQUEST__WHAT_AUDIT_QUERY;
	request.audit_query = &query;
	if (settle(ctx, &query, err) < 0 || lists_read(ctx, &columns, &options, err) < 0 ||
	    listing_create(&columns, &rows, err) < 0)
		return -1;
	if (query.verify && options.form != LISTING_JSON && lists_is_asked(ctx, &option))
		return pm_fail(err, PM_USAGE, "audit verify --%s: this is not a list", option);
	l.rows = rows;
	if (args_has(ctx->args, "here")) {
		if (read_own(&l, &query, err) < 0)
			return pm_wrap(err, "audit");
	} else if (fleet_show_open(ctx, err) < 0 ||
	           fleet_request(ctx, ctx->fleet, &request, on_entries, &l, err) < 0) {
		return -1;
	}
	if (query.verify)
		return print_verified(&l, &options, err);
	if (args_has(ctx->args, "here") && l.n == 0 && options.form == LISTING_TABLE) {
		say(ctx, "%s", l.verified);
		return 0;
	}
	return lists_print(ctx, rows, &options, "entries", NULL, err);
}

static const struct cmd_option options[] = {
	{ "since", 0, CMD_VALUE, "TIME", "from then on: 10m, 10:30, 2026-11-23" },
	{ "last", 0, CMD_VALUE, "N", "the last N entries; 50" },
	{ "here", 0, CMD_NO_VALUE, NULL,
	  "what the fleet wanted of this machine, as its agent wrote it down" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_audit = {
	.name = "audit",
	.args = "[verify]",
	.summary = "who did what to which hosts, as the coordinator wrote it down",
	.help = "Each entry holds a hash of the one before; 'verify' checks the whole chain.",
	.options = options,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_COORDINATOR | CMD_LISTS | CMD_PAGED,
	.run = audit_run,
};
