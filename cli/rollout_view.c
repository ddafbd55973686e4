#include "cli/rollout_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/color.h"
#include "cli/fmt.h"
#include "cli/fold.h"
#include "cli/text.h"
#include "proto/hostlist.h"

#define NAME_WIDTH_MAX 32
#define BATCHES_SHOWN  8 /* of a header */
#define IN_FULL_FEW    3 /* hosts whose failure is shown in full, where lines are for the odd ones */
#define GROUPS_MAX     20 /* of equal failures; the others by their number */

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- the beginning ---- */

/* "1,50,250": of many the first ones, and the last. */
static void add_batches(const struct rollout_view *v, const Pm__RolloutStatus *st,
                        struct pm_buf *out)
{
	size_t n = st->n_batches;

	for (size_t i = 0; i < n; i++) {
		if (n > BATCHES_SHOWN && i == BATCHES_SHOWN - 2) {
			pm_buf_str(out, v->utf8 ? ",…" : ",...");
			i = n - 2;
			continue;
		}
		pm_buf_printf(out, "%s%u", i == 0 ? "" : ",", st->batches[i]);
	}
}

static void add_option(const struct rollout_copy *c, const char *name, const char *shown,
                       struct pm_buf *out)
{
	const char *value = rollout_copy_option(c, name);

	if (value[0] == '\0')
		return;
	pm_buf_printf(out, "  %s ", shown);
	text_add_clean(out, value);
}

void rollout_view_header(const struct rollout_view *v, const struct rollout_copy *c,
                         struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;

	pm_buf_printf(out, "%s ",
	              st->state == PM__ROLLOUT_STATE__ROLLOUT_PLANNED ? "plan" : "rollout");
	text_add_clean(out, st->id);
	pm_buf_str(out, "  ");
	text_add_clean(out, st->what);
	pm_buf_printf(out, "  %u host%s", st->n_hosts, plural(st->n_hosts));
	if (st->n_batches > 0) {
		pm_buf_printf(out, " in %zu batch%s (", st->n_batches,
		              st->n_batches == 1 ? "" : "es");
		add_batches(v, st, out);
		pm_buf_char(out, ')');
	}
	add_option(c, "max_fail", "max-fail", out);
	add_option(c, "on_failure", "on-failure", out);
	pm_buf_char(out, '\n');
}

/* ---- one host ---- */

unsigned rollout_view_name_width(const struct rollout_copy *c)
{
	unsigned width = 0;

	for (size_t i = 0; i < c->n_steps; i++)
		width = PM_MAX(width, text_width(c->steps[i].msg->name));
	return PM_MIN(width, (unsigned)NAME_WIDTH_MAX);
}

static const char *step_word(Pm__StepState state)
{
	switch (state) {
	case PM__STEP_STATE__STEP_PENDING:
		return "waits its turn";
	case PM__STEP_STATE__STEP_SENT:
		return "under way";
	case PM__STEP_STATE__STEP_ACCEPTED:
		return "up, watched";
	case PM__STEP_STATE__STEP_FAILED:
		return "FAILED";
	case PM__STEP_STATE__STEP_UNSPECIFIED:
	case PM__STEP_STATE__STEP_HEALTHY:
	case PM__STEP_STATE__STEP_SKIPPED:
	case PM__STEP_STATE__STEP_UNKNOWN:
	case _PM__STEP_STATE_IS_INT_SIZE:
		break;
	}
	return rollout_step_word(state);
}

static enum color step_color(Pm__StepState state)
{
	switch (state) {
	case PM__STEP_STATE__STEP_HEALTHY:
		return COLOR_GREEN;
	case PM__STEP_STATE__STEP_FAILED:
		return COLOR_RED;
	case PM__STEP_STATE__STEP_PENDING:
		return COLOR_GREY;
	case PM__STEP_STATE__STEP_SENT:
	case PM__STEP_STATE__STEP_ACCEPTED:
		return COLOR_CYAN;
	case PM__STEP_STATE__STEP_UNSPECIFIED:
	case PM__STEP_STATE__STEP_SKIPPED:
	case PM__STEP_STATE__STEP_UNKNOWN:
	case _PM__STEP_STATE_IS_INT_SIZE:
		break;
	}
	return COLOR_YELLOW;
}

static bool did_fail(const Pm__RolloutStep *s)
{
	return s->state == PM__STEP_STATE__STEP_FAILED || s->state == PM__STEP_STATE__STEP_UNKNOWN;
}

bool rollout_view_is_odd(const Pm__RolloutStep *s)
{
	/* One that has no part in it, drained or with nothing to undo, is counted and no more. */
	return did_fail(s) || (s->state == PM__STEP_STATE__STEP_SKIPPED && s->code != PM_OK);
}

void rollout_view_host(const struct rollout_view *v, const Pm__RolloutStep *s, unsigned name_width,
                       struct pm_buf *out)
{
	text_add_padded(out, s->name, name_width);
	pm_buf_str(out, "  ");
	color_add(out, v->color, step_color(s->state), step_word(s->state));
	if (s->text[0] != '\0') {
		pm_buf_str(out, "  ");
		text_add_clean(out, s->text);
	}
	if (s->waiting &&
	    (s->state == PM__STEP_STATE__STEP_PENDING || s->state == PM__STEP_STATE__STEP_SENT))
		pm_buf_str(out, "  (not reachable, and waited for)");
	if (s->state == PM__STEP_STATE__STEP_FAILED && s->down)
		pm_buf_str(out, "; it is down");
}

/* ---- many ---- */

static enum fold_result result_of(Pm__StepState state)
{
	if (state == PM__STEP_STATE__STEP_FAILED)
		return FOLD_FAILED;
	return state == PM__STEP_STATE__STEP_SKIPPED ? FOLD_SKIPPED : FOLD_UNKNOWN;
}

static Pm__StepState state_of(enum fold_result result)
{
	if (result == FOLD_FAILED)
		return PM__STEP_STATE__STEP_FAILED;
	return result == FOLD_SKIPPED ? PM__STEP_STATE__STEP_SKIPPED : PM__STEP_STATE__STEP_UNKNOWN;
}

static void add_group(const struct rollout_view *v, const struct fold_group *g, struct pm_buf *out,
                      struct pm_error *err)
{
	Pm__StepState state = state_of(g->result);

	pm_buf_printf(out, "%4zu host%s  ", g->n, g->n == 1 ? " " : "s");
	color_add(out, v->color, step_color(state), step_word(state));
	pm_buf_str(out, "  ");
	if (hostlist_fold(g->hosts, g->n, out, err) < 0)
		out->failed = true;
	if (g->text[0] != '\0') {
		pm_buf_str(out, "  ");
		text_add_clean(out, g->text);
	}
	pm_buf_char(out, '\n');
}

int rollout_view_groups(const struct rollout_view *v, const struct rollout_copy *c, size_t most,
                        struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;
	const struct fold_group *groups;
	size_t n, left = 0;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		if (rollout_view_is_odd(s) &&
		    fold_add(f, s->name, result_of(s->state), pm_code_from_wire(s->code), s->text,
		             err) < 0)
			return -1;
	}
	if (fold_groups(f, &groups, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (most == 0 || i < most)
			add_group(v, &groups[i], out, err);
		else
			left += groups[i].n;
	}
	if (left > 0)
		pm_buf_printf(out, "%4zu hosts  of %zu more kinds\n", left, n - most);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}

void rollout_view_failures(const struct rollout_view *v, const struct rollout_copy *c, size_t most,
                           struct pm_buf *out)
{
	size_t shown = 0, left = 0;

	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		if (!did_fail(s))
			continue;
		/* Of the others nothing but the text is known. */
		if (shown == most || (shown > 0 && s->log_tail.len == 0)) {
			left++;
			continue;
		}
		shown++;
		pm_buf_str(out, "  ");
		text_add_clean(out, s->name);
		pm_buf_str(out, ": ");
		text_add_clean(out, s->text[0] != '\0' ? s->text : step_word(s->state));
		pm_buf_char(out, '\n');
		text_add_tail(out, (const char *)s->log_tail.data, s->log_tail.len, v->color);
	}
	if (left > 0)
		pm_buf_printf(out, "  %zu more host%s failed\n", left, plural(left));
}

void rollout_view_account(const struct rollout_account *a, struct pm_buf *out)
{
	pm_buf_printf(out, "%zu new, %zu old, %zu down", a->fresh, a->old, a->down);
	if (a->under_way > 0)
		pm_buf_printf(out, ", %zu under way", a->under_way);
	if (a->skipped > 0)
		pm_buf_printf(out, ", %zu skipped", a->skipped);
}

/* What a coordinator calls it, in more words. */
static const char *hold_words(const char *hold)
{
	static const struct {
		const char *name, *words;
	} known[] = {
		{ "canary", "the first batch is looked at" },
		{ "wait", "between batches" },
		{ "bake", "between waves" },
		{ "monitor", "all are looked at once more" },
		{ "gate", "a gate is asked before the next batch" },
		{ "promote", "behind a batch" },
		{ "reconnect", "hosts that are not reachable are waited for" },
		{ "frozen", "the coordinator is cut off from most agents" },
		{ "budget", "hosts that restart by themselves take up what may be down" },
		{ "store", "the coordinator cannot write to its disk" },
	};

	for (size_t i = 0; i < PM_COUNT(known); i++)
		if (strcmp(known[i].name, hold) == 0)
			return known[i].words;
	return hold;
}

void rollout_view_hold(const struct rollout_view *v, const struct rollout_copy *c,
                       struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;
	int64_t now_ms = st->created_wall_ms + (int64_t)v->run_ms; /* by the coordinator's clock */
	char left[FMT_MAX];

	if (st->hold[0] == '\0')
		return;
	text_add_clean(out, hold_words(st->hold));
	if (st->hold_until_wall_ms < 0) {
		pm_buf_str(out, ", until somebody says 'pmctl rollout promote ");
		text_add_clean(out, st->id);
		pm_buf_char(out, '\'');
	} else if (v->run_ms > 0 && st->hold_until_wall_ms > now_ms) {
		fmt_duration((uint64_t)(st->hold_until_wall_ms - now_ms) / 1000 * 1000 + 1000,
		             left);
		pm_buf_printf(out, ", for %s", left);
	}
}

/* ---- the end ---- */

static void add_why(const struct rollout_copy *c, struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;

	if (st->why[0] == '\0')
		return;
	pm_buf_printf(out, "%s: ", rollout_state_word(st->state));
	text_add_clean(out, st->why);
	pm_buf_char(out, '\n');
}

static void add_late(const Pm__RolloutStatus *st, struct pm_buf *out)
{
	PM_FREE const char **names = pm_calloc(st->n_late + 1, sizeof(*names));
	struct pm_error err;
	size_t n = 0;

	for (size_t i = 0; names != NULL && i < st->n_late; i++)
		if (hostlist_is_name(st->late[i]))
			names[n++] = st->late[i];
	if (n == 0)
		return;
	pm_buf_printf(out, "%zu host%s came since, and not in it: ", n, n == 1 ? " has" : "s have");
	if (hostlist_fold(names, n, out, &err) < 0)
		out->failed = true;
	pm_buf_char(out, '\n');
}

/* Where it stands: "paused after 51 of 1000: 50 new, 950 old, 0 down" */
static void add_account(const struct rollout_copy *c, struct pm_buf *out)
{
	struct rollout_account a = rollout_copy_account(c);

	pm_buf_printf(out, "%s after %zu of %zu: ", rollout_state_word(c->status->state), a.begun,
	              a.total);
	rollout_view_account(&a, out);
	pm_buf_char(out, '\n');
}

/* Some host has, or may have, a spec that it had not before. */
static bool has_changed(const struct rollout_copy *c)
{
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		for (size_t k = 0; s->batch > 0 && k < s->n_apps; k++) {
			const ProtobufCBinaryData *from = &s->apps[k]->spec_from;
			const ProtobufCBinaryData *to = &s->apps[k]->spec_to;

			if (from->len != to->len ||
			    (to->len > 0 && memcmp(from->data, to->data, to->len) != 0))
				return true;
		}
	}
	return false;
}

/* What may be said of it next, in words that can be copied. */
static void add_next(const struct rollout_view *v, const struct rollout_copy *c, struct pm_buf *out)
{
	static const char *const paused[] = { "show", "resume", "undo", NULL };
	static const char *const paused_for_good[] = { "show", "resume", "abort", NULL };
	static const char *const over[] = { "show", "undo", NULL };
	static const char *const over_for_good[] = { "show", NULL };
	static const char *const going[] = { "watch", "pause", "show", NULL };
	const char *const *next = going;
	bool undo = !c->status->undoing && has_changed(c);

	switch (c->status->state) {
	case PM__ROLLOUT_STATE__ROLLOUT_PAUSED:
		next = undo ? paused : paused_for_good;
		break;
	case PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED:
	case PM__ROLLOUT_STATE__ROLLOUT_FAILED:
	case PM__ROLLOUT_STATE__ROLLOUT_ABORTED:
		next = undo ? over : over_for_good;
		break;
	case PM__ROLLOUT_STATE__ROLLOUT_UNDONE:
		next = over_for_good;
		break;
	case PM__ROLLOUT_STATE__ROLLOUT_UNSPECIFIED:
	case PM__ROLLOUT_STATE__ROLLOUT_PLANNED:
	case PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK:
	case PM__ROLLOUT_STATE__ROLLOUT_RUNNING:
	case PM__ROLLOUT_STATE__ROLLOUT_UNDOING:
	case _PM__ROLLOUT_STATE_IS_INT_SIZE:
		break;
	}
	pm_buf_str(out, "  pmctl rollout");
	for (size_t i = 0; next[i] != NULL; i++) {
		pm_buf_printf(out, "%s %s ", i == 0 ? "" : (v->utf8 ? " ·" : " |"), next[i]);
		text_add_clean(out, c->status->id);
	}
	pm_buf_char(out, '\n');
}

int rollout_view_end(const struct rollout_view *v, const struct rollout_copy *c, struct pm_buf *out,
                     struct pm_error *err)
{
	unsigned width = rollout_view_name_width(c);
	bool few = c->n_steps > ROLLOUT_VIEW_EACH && c->n_steps <= ROLLOUT_VIEW_ODD;

	/* What stood there was drawn over. */
	for (size_t i = 0; v->live && c->n_steps <= ROLLOUT_VIEW_EACH && i < c->n_steps; i++) {
		rollout_view_host(v, c->steps[i].msg, width, out);
		pm_buf_char(out, '\n');
	}
	if (c->n_steps > ROLLOUT_VIEW_ODD && rollout_view_groups(v, c, GROUPS_MAX, out, err) < 0)
		return -1;
	rollout_view_failures(v, c, few ? IN_FULL_FEW : 1, out);
	add_late(c->status, out);
	add_why(c, out);
	add_account(c, out);
	add_next(v, c, out);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}
