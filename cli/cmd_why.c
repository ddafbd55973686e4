#include <stdio.h>
#include <string.h>

#include "cli/apps.h"
#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/fleet_list.h"
#include "cli/fmt.h"
#include "cli/json_out.h"
#include "cli/logs.h"
#include "cli/text.h"
#include "cli/why.h"
#include "proto/sanitize.h"
#include "proto/width.h"

#define TAIL_LINES 20

#define NAME_WIDTH 14 /* columns of a fact's name, with the blanks around it */

/* Bytes of the text's beginning that fit the columns, cut at a blank if there is one. */
static size_t fitting(const char *text, size_t len, unsigned columns)
{
	unsigned used = 0;
	size_t i = 0, blank = 0;

	while (i < len) {
		uint32_t code;
		size_t n = text_decode(text + i, len - i, &code);

		used += code == TEXT_BAD ? 1 : (unsigned)pm_char_width(code);
		if (used > columns)
			return blank > 0 ? blank : i;
		if (text[i] == ' ')
			blank = i;
		i += n;
	}
	return len;
}

/* A line with its name in front; longer text, and text of several lines, is continued below. */
static void fact(const struct ctx *ctx, struct pm_buf *out, const char *name, const char *text)
{
	unsigned columns = ctx->width > 3 * NAME_WIDTH ? ctx->width - NAME_WIDTH : 100000;
	PM_BUF clean = { 0 };
	const char *at;

	pm_sanitize(text, strlen(text), 0, &clean);
	at = clean.failed || clean.bytes == NULL ? "" : clean.bytes;
	while (*at != '\0') {
		size_t n = fitting(at, strcspn(at, "\n"), columns);
		char padded[NAME_WIDTH + 1];

		(void)snprintf(padded, sizeof(padded), "  %-12s", name);
		color_add(out, ctx->color_out, COLOR_BOLD, padded);
		pm_buf_add(out, at, n);
		pm_buf_char(out, '\n');
		at += n;
		at += strspn(at, *at == '\n' ? "\n" : " ");
		name = "";
	}
}

static void exits(const struct ctx *ctx, const Pm__InstanceStatus *s, struct pm_buf *out)
{
	int64_t now = pm_wall_ms();
	const char *name = "last exits";

	for (size_t i = s->n_exits; i-- > 0;) {
		const Pm__ExitRecord *e = s->exits[i];
		char ago[FMT_MAX], run[FMT_MAX];
		PM_BUF text = { 0 };

		fmt_duration(now > e->wall_ms ? (uint64_t)(now - e->wall_ms) : 0, ago);
		fmt_duration(e->run_ms, run);
		pm_buf_printf(&text, "%s ago, pid %u ", ago, e->pid);
		why_exit(e, &text);
		pm_buf_printf(&text, " after %s: %s", run, why_cause(e->cause));
		if (!text.failed)
			fact(ctx, out, name, text.bytes);
		name = "";
	}
}

static int one(struct ctx *ctx, const Pm__InstanceStatus *s, struct pm_buf *out,
               struct pm_error *err)
{
	PM_BUF text = { 0 };
	PM_BUF tail = { 0 };
	PM_BUF advice = { 0 };
	char counts[FMT_MAX];

	why_headline(s, &text);
	if (text.failed)
		return pm_fail(err, PM_NO_MEMORY, "why");
	color_add(out, ctx->color_out, apps_state_color(s->state),
	          say_cleaned(&advice, text.bytes));
	pm_buf_char(out, '\n');
	pm_buf_reset(&advice);
	pm_buf_reset(&text);
	if (s->note[0] != '\0')
		fact(ctx, out, "note", s->note);
	if (s->last_order[0] != '\0')
		fact(ctx, out, "last order", s->last_order);
	(void)snprintf(counts, sizeof(counts), "%u; unstable runs in a row: %u", s->restarts,
	               s->unstable_restarts);
	fact(ctx, out, "restarts", counts);
	if (s->spec != NULL)
		why_policy(s->spec, &text);
	if (text.len > 0)
		fact(ctx, out, "policy", text.bytes);
	exits(ctx, s, out);
	/* The rest is worth telling without it. */
	if (logs_tail(ctx, s->pm_id, TAIL_LINES, "    | ", &tail, err) < 0) {
		fact(ctx, out, "last output", err->what);
	} else if (tail.len > 0) {
		color_add(out, ctx->color_out, COLOR_BOLD, "  last output\n");
		pm_buf_add(out, tail.bytes, tail.len);
	}
	why_advice(s, tail.bytes, &advice);
	if (advice.len > 0)
		fact(ctx, out, "what to do", advice.bytes);
	return 0;
}

static void exit_json(struct json_out *j, const Pm__ExitRecord *e)
{
	json_begin_object(j);
	json_kint(j, "at_ms", e->wall_ms);
	json_kuint(j, "run_ms", e->run_ms);
	json_kuint(j, "pid", e->pid);
	json_kbool(j, "known", e->known);
	if (e->known) {
		json_kint(j, "code", e->code);
		json_kint(j, "signal", e->signal);
		json_kbool(j, "core", e->core);
	}
	json_kstr(j, "cause", e->cause);
	json_end_object(j);
}

static void text_json(struct json_out *j, const char *key, const struct pm_buf *text)
{
	json_key(j, key);
	json_strn(j, text->bytes == NULL ? "" : text->bytes, text->len);
}

static void one_json(struct ctx *ctx, const Pm__InstanceStatus *s, struct json_out *j,
                     struct pm_error *err)
{
	PM_BUF headline = { 0 };
	PM_BUF policy = { 0 };
	PM_BUF tail = { 0 };
	PM_BUF advice = { 0 };

	why_headline(s, &headline);
	if (s->spec != NULL)
		why_policy(s->spec, &policy);
	if (logs_tail(ctx, s->pm_id, TAIL_LINES, "", &tail, err) < 0)
		say_warn(ctx, "its last output: %s", err->what);
	why_advice(s, tail.bytes, &advice);
	json_begin_object(j);
	json_kuint(j, "id", s->pm_id);
	json_kstr(j, "name", s->name);
	json_kstr(j, "status", apps_state_name(s->state));
	text_json(j, "why", &headline);
	json_kstr(j, "note", s->note);
	json_kstr(j, "last_order", s->last_order);
	json_kuint(j, "restarts", s->restarts);
	json_kuint(j, "unstable_restarts", s->unstable_restarts);
	json_kuint(j, "next_start_ms", s->next_start_ms);
	text_json(j, "policy", &policy);
	json_key(j, "exits");
	json_begin_array(j);
	for (size_t i = s->n_exits; i-- > 0;)
		exit_json(j, s->exits[i]);
	json_end_array(j);
	text_json(j, "last_output", &tail);
	text_json(j, "advice", &advice);
	json_end_object(j);
}

static int why_run(struct ctx *ctx, struct pm_error *err)
{
	PM_STATUS *status = NULL;
	PM_BUF out = { 0 };
	struct json_out j;

	if (ctx_connect(ctx, false, err) < 0 ||
	    ctx_status(ctx, args_at(ctx->args, 0), CTX_FULL, &status, err) < 0)
		return pm_wrap(err, "why");
	json_init(&j, &out);
	if (ctx->json) {
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
		json_key(&j, "apps");
		json_begin_array(&j);
	}
	for (size_t i = 0; i < status->n_instances; i++) {
		if (ctx->json)
			one_json(ctx, status->instances[i], &j, err);
		else if (one(ctx, status->instances[i], &out, err) < 0)
			return -1;
	}
	if (ctx->json) {
		json_end_array(&j);
		json_end_object(&j);
		pm_buf_char(&out, '\n');
	}
	return say_buf(&out, err);
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	return fleet_is_wide(ctx) ? fleet_each(ctx, false, why_run, err) : why_run(ctx, err);
}

const struct cmd cmd_why = {
	.name = "why",
	.args = "APP",
	.summary = "why APP is in its state: last exits, orders, restart policy, output, advice",
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET | CMD_PAGED,
	.run = run,
};
