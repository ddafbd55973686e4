#include "cli/rollout_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/fmt.h"
#include "cli/fold.h"
#include "cli/rollout_plan_view.h"
#include "cli/table.h"
#include "cli/text.h"
#include "proto/hostlist.h"

#define LABEL_WIDTH 9
#define IN_FULL     3 /* as many as a coordinator keeps the output of */

/* ---- the head ---- */

static void label(struct pm_buf *out, const char *name)
{
	pm_buf_printf(out, "  %-*s ", LABEL_WIDTH, name);
}

static void fact(struct pm_buf *out, const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	label(out, name);
	text_add_clean(out, value);
	pm_buf_char(out, '\n');
}

static void add_state(const struct rollout_view *v, const struct rollout_copy *c,
                      struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;
	PM_BUF hold = { 0 };

	label(out, "state");
	pm_buf_str(out, rollout_state_word(st->state));
	if (st->undoing && st->state != PM__ROLLOUT_STATE__ROLLOUT_UNDOING &&
	    st->state != PM__ROLLOUT_STATE__ROLLOUT_UNDONE)
		pm_buf_str(out, " on the way back");
	if (st->why[0] != '\0') {
		pm_buf_str(out, ": ");
		text_add_clean(out, st->why);
	}
	pm_buf_char(out, '\n');
	rollout_view_hold(v, c, &hold);
	if (hold.len > 0) {
		label(out, "holds");
		pm_buf_add(out, hold.bytes, hold.len);
		pm_buf_char(out, '\n');
	}
}

static void add_age(const char *name, int64_t wall_ms, int64_t now_wall_ms, struct pm_buf *out)
{
	char text[FMT_MAX];

	if (wall_ms <= 0)
		return;
	fmt_duration((uint64_t)(now_wall_ms > wall_ms ? now_wall_ms - wall_ms : 0), text);
	label(out, name);
	pm_buf_printf(out, "%s ago\n", text);
}

/* A line each. */
static void add_gates(const char *gates, struct pm_buf *out)
{
	while (*gates != '\0') {
		size_t len = strcspn(gates, "\n");
		char one[256];

		(void)snprintf(one, sizeof(one), "%.*s", (int)PM_MIN(len, sizeof(one) - 1), gates);
		fact(out, "gate", one);
		gates += len + (gates[len] != '\0');
	}
}

/* Wrapped behind the label: there are some twenty. */
static void add_options(const struct rollout_copy *c, struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;
	unsigned column = LABEL_WIDTH + 3;

	if (st->n_options == 0)
		return;
	label(out, "options");
	for (size_t i = 0; i < st->n_options; i++) {
		PM_BUF one = { 0 };
		unsigned width;

		if (strcmp(st->options[i]->name, "gate") == 0)
			continue; /* may be long: below */
		text_add_clean(&one, st->options[i]->name);
		pm_buf_char(&one, ' ');
		text_add_clean(&one, st->options[i]->value);
		width = one.failed ? 0 : text_width(one.bytes);
		if (i > 0 && column + 2 + width > 78) {
			pm_buf_printf(out, ",\n%*s", LABEL_WIDTH + 3, "");
			column = LABEL_WIDTH + 3;
		} else if (i > 0) {
			pm_buf_str(out, ", ");
			column += 2;
		}
		pm_buf_add(out, one.bytes, one.len);
		column += width;
	}
	pm_buf_char(out, '\n');
	for (size_t i = 0; i < st->n_options; i++)
		if (strcmp(st->options[i]->name, "gate") == 0)
			add_gates(st->options[i]->value, out);
}

static void add_hosts_line(const struct rollout_copy *c, struct pm_buf *out)
{
	struct rollout_account a = rollout_copy_account(c);

	label(out, "hosts");
	pm_buf_printf(out, "%zu: ", a.total);
	rollout_view_account(&a, out);
	pm_buf_char(out, '\n');
}

/* Hosts that are skipped may not stay so. */
static void add_catch_up(const Pm__RolloutStatus *st, int64_t now_wall_ms, struct pm_buf *out)
{
	char left[FMT_MAX];

	if (st->catch_until_wall_ms == 0)
		return;
	fmt_duration((uint64_t)PM_MAX(st->catch_until_wall_ms - now_wall_ms, 0), left);
	label(out, "catch-up");
	pm_buf_printf(out, "hosts that were not reached do it when they come back, for %s\n", left);
}

static int add_late(const Pm__RolloutStatus *st, struct pm_buf *out, struct pm_error *err)
{
	PM_FREE const char **names = pm_calloc(st->n_late + 1, sizeof(*names));
	size_t n = 0;

	if (names == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < st->n_late; i++)
		if (hostlist_is_name(st->late[i]))
			names[n++] = st->late[i];
	if (n == 0)
		return 0;
	label(out, "late");
	if (hostlist_fold(names, n, out, err) < 0)
		return -1;
	pm_buf_str(out, ": came since, and not in it\n");
	return 0;
}

/* ---- the hosts ---- */

static void add_took(const Pm__RolloutStep *s, char *out)
{
	out[0] = '\0';
	if (s->sent_wall_ms > 0 && s->done_wall_ms >= s->sent_wall_ms)
		fmt_duration((uint64_t)(s->done_wall_ms - s->sent_wall_ms), out);
}

static enum color state_color(Pm__StepState state)
{
	if (state == PM__STEP_STATE__STEP_HEALTHY)
		return COLOR_GREEN;
	return state == PM__STEP_STATE__STEP_FAILED ? COLOR_RED : COLOR_NONE;
}

static void cell(struct table *t, const struct pm_buf *text)
{
	table_cell(t, text->bytes == NULL || text->failed ? "" : text->bytes, COLOR_NONE);
}

static void add_row(const struct rollout_view *v, struct table *t, const Pm__RolloutStep *s)
{
	PM_BUF apps = { 0 };
	PM_BUF text = { 0 };
	char took[FMT_MAX];

	for (size_t i = 0; i < s->n_apps; i++) {
		pm_buf_str(&apps, i == 0 ? "" : ", ");
		text_add_clean(&apps, s->apps[i]->name);
		pm_buf_char(&apps, ' ');
		rollout_plan_versions(v, s->apps[i], &apps);
	}
	text_add_clean(&text, s->text);
	add_took(s, took);
	table_cell(t, s->name, COLOR_NONE); /* it is a host's name */
	table_cellf(t, COLOR_NONE, "%u", s->batch);
	table_cell(t, rollout_step_word(s->state), state_color(s->state));
	cell(t, &apps);
	table_cell(t, took, COLOR_NONE);
	cell(t, &text);
}

static int each_host(const struct rollout_view *v, const struct rollout_copy *c, struct pm_buf *out,
                     struct pm_error *err)
{
	static const struct table_column columns[] = {
		{ .title = "host", .least = 8 },
		{ .title = "batch", .right = true },
		{ .title = "state" },
		{ .title = "app", .least = 12, .rank = 1 },
		{ .title = "took", .rank = 2, .right = true },
		{ .title = "what came of it", .least = 12 },
	};
	struct table_style style = { .width = v->width, .color = v->color, .titles = COLOR_BOLD };
	PM_TABLE *table = table_create(columns, PM_COUNT(columns));

	if (table == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < c->n_steps; i++)
		add_row(v, table, c->steps[i].msg);
	return table_render(table, &style, out, err);
}

static enum fold_result result_of(Pm__StepState state)
{
	if (state == PM__STEP_STATE__STEP_HEALTHY)
		return FOLD_OK;
	if (state == PM__STEP_STATE__STEP_FAILED)
		return FOLD_FAILED;
	return state == PM__STEP_STATE__STEP_SKIPPED ? FOLD_SKIPPED : FOLD_UNKNOWN;
}

/* Equal state and text together; the code of a group is the state's number. */
static int folded_hosts(const struct rollout_copy *c, struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;
	const struct fold_group *groups;
	size_t n;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;
		PM_BUF text = { 0 };

		pm_buf_printf(&text, "%-8s  ", rollout_step_word(s->state));
		text_add_clean(&text, s->text);
		if (text.failed)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		if (fold_add(f, s->name, result_of(s->state), pm_code_from_wire(s->code),
		             text.bytes, err) < 0)
			return -1;
	}
	if (fold_groups(f, &groups, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(groups[i].text), word = strcspn(groups[i].text, " ");

		/* The state, its hosts, then the text. */
		pm_buf_printf(out, "%4zu host%s  %-8.*s  ", groups[i].n,
		              groups[i].n == 1 ? " " : "s", (int)word, groups[i].text);
		if (hostlist_fold(groups[i].hosts, groups[i].n, out, err) < 0)
			return -1;
		if (len > 10)
			pm_buf_printf(out, "  %s", groups[i].text + 10);
		pm_buf_char(out, '\n');
	}
	return 0;
}

/* ---- the story ---- */

static void add_event(const Pm__RolloutEvent *e, unsigned who_width, bool utc, struct pm_buf *out)
{
	time_t s = (time_t)(e->wall_ms / 1000);
	char when[32] = "";
	struct tm tm;

	if ((utc ? gmtime_r(&s, &tm) : localtime_r(&s, &tm)) != NULL)
		(void)strftime(when, sizeof(when), "%m-%d %H:%M:%S", &tm);
	pm_buf_printf(out, "  %s  ", when);
	text_add_padded(out, e->who, who_width);
	pm_buf_str(out, "  ");
	text_add_clean(out, e->text);
	pm_buf_char(out, '\n');
}

static void add_story(const struct rollout_copy *c, bool utc, struct pm_buf *out)
{
	unsigned width = 0;

	if (c->n_story == 0)
		return;
	for (size_t i = 0; i < c->n_story; i++) {
		PM_BUF who = { 0 };

		text_add_clean(&who, c->story[i]->who);
		if (who.len > 0)
			width = PM_MAX(width, text_width(who.bytes));
	}
	pm_buf_str(out, "\nstory\n");
	for (size_t i = 0; i < c->n_story; i++)
		add_event(c->story[i], PM_MIN(width, 24u), utc, out);
}

/* ---- all of it ---- */

static bool some_failed(const struct rollout_copy *c)
{
	for (size_t i = 0; i < c->n_steps; i++)
		if (c->steps[i].msg->state == PM__STEP_STATE__STEP_FAILED ||
		    c->steps[i].msg->state == PM__STEP_STATE__STEP_UNKNOWN)
			return true;
	return false;
}

int rollout_show(const struct rollout_view *v, const struct rollout_copy *c, int64_t now_wall_ms,
                 bool utc, bool verbose, struct pm_buf *out, struct pm_error *err)
{
	const Pm__RolloutStatus *st = c->status;

	rollout_view_header(v, c, out);
	add_state(v, c, out);
	fact(out, "by", st->by);
	fact(out, "message", st->message);
	add_age("begun", st->created_wall_ms, now_wall_ms, out);
	add_age("changed", st->changed_wall_ms, now_wall_ms, out);
	add_hosts_line(c, out);
	fact(out, "catches", st->catches);
	add_catch_up(st, now_wall_ms, out);
	if (add_late(st, out, err) < 0)
		return -1;
	add_options(c, out);
	if (c->n_steps > 0)
		pm_buf_char(out, '\n');
	if (c->n_steps > 0 && (verbose || c->n_steps <= ROLLOUT_VIEW_EACH)) {
		if (each_host(v, c, out, err) < 0)
			return -1;
	} else if (folded_hosts(c, out, err) < 0) {
		return -1;
	}
	if (some_failed(c)) {
		pm_buf_str(out, "\nfailures\n");
		rollout_view_failures(v, c, IN_FULL, out);
	}
	add_story(c, utc, out);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}
