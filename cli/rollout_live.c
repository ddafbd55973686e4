#include "cli/rollout_live.h"

#include <stdio.h>
#include <string.h>

#include "cli/fmt.h"
#include "cli/text.h"

#define GROUPS_LIVE 5
#define RATE_LEAST  2000 /* ms of looking before a rate is worth telling */

static const char *ellipsis(const struct rollout_view *v)
{
	return v->utf8 ? "…" : "...";
}

/* A line that was put together, without colour, cut to the terminal. */
static void put_line(const struct rollout_view *v, const struct pm_buf *line, struct pm_buf *out)
{
	const char *text = line->bytes == NULL ? "" : line->bytes;

	if (line->failed)
		out->failed = true;
	else if (v->width == 0)
		pm_buf_str(out, text);
	else
		(void)text_cut(out, text, v->width - 1, TEXT_CUT_END, ellipsis(v));
	pm_buf_char(out, '\n');
}

/* ---- how far it is ---- */

/* What ended since somebody looks is the pace of now. */
static void add_pace(const struct rollout_view *v, const struct rollout_account *a,
                     struct pm_buf *out)
{
	uint64_t ended = a->ended > v->ended_before ? a->ended - v->ended_before : 0, left;
	char text[FMT_MAX];

	if (v->watched_ms < RATE_LEAST || ended == 0)
		return;
	if (a->total > ROLLOUT_VIEW_ODD) {
		uint64_t an_hour = ended * 3600000 / v->watched_ms;

		if (an_hour >= 3600)
			pm_buf_printf(out, "  %llu/s", (unsigned long long)(an_hour / 3600));
		else
			pm_buf_printf(out, "  %llu/min", (unsigned long long)(an_hour / 60));
	}
	left = a->total - a->ended;
	if (left == 0)
		return;
	fmt_duration(v->watched_ms * left / ended, text);
	pm_buf_printf(out, "  eta %s", text);
}

/* The numbers say more than the bar: on a narrow terminal it makes room. */
static unsigned bar_width(const struct rollout_view *v)
{
	if (v->width == 0 || v->width >= 100)
		return 20;
	return v->width >= 70 ? 10 : 0;
}

static void add_bar(const struct rollout_view *v, const struct rollout_copy *c, struct pm_buf *out)
{
	struct rollout_account a = rollout_copy_account(c);
	const Pm__RolloutStatus *st = c->status;
	size_t failed =
		a.by_state[PM__STEP_STATE__STEP_FAILED] + a.by_state[PM__STEP_STATE__STEP_UNKNOWN];
	size_t waiting =
		a.by_state[PM__STEP_STATE__STEP_SENT] + a.by_state[PM__STEP_STATE__STEP_ACCEPTED];
	PM_BUF line = { 0 };
	char clock[FMT_MAX];

	pm_buf_printf(&line, "[%s%u/%zu] ", st->undoing ? "undo " : "", rollout_copy_batch(c),
	              st->n_batches);
	text_add_bar(&line, a.ended, a.total, bar_width(v), v->utf8);
	pm_buf_printf(&line, "%s%zu/%zu done  %zu healthy", bar_width(v) > 0 ? "  " : "", a.ended,
	              a.total, a.by_state[PM__STEP_STATE__STEP_HEALTHY]);
	if (waiting > 0)
		pm_buf_printf(&line, "  %zu waiting", waiting);
	if (failed > 0)
		pm_buf_printf(&line, "  %zu FAILED", failed);
	if (a.skipped > 0)
		pm_buf_printf(&line, "  %zu skipped", a.skipped);
	fmt_clock(v->run_ms, clock);
	pm_buf_printf(&line, "  %s", clock);
	add_pace(v, &a, &line);
	put_line(v, &line, out);
}

static bool add_wait(const struct rollout_view *v, const struct rollout_copy *c, struct pm_buf *out)
{
	PM_BUF line = { 0 };
	PM_BUF hold = { 0 };

	rollout_view_hold(v, c, &hold);
	if (c->status->state == PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK) {
		pm_buf_str(&line, "waits for a lock");
		if (c->status->why[0] != '\0') {
			pm_buf_str(&line, ": ");
			text_add_clean(&line, c->status->why);
		}
	} else if (hold.len > 0) {
		pm_buf_printf(&line, "holds: %s", hold.bytes);
	} else {
		return false;
	}
	put_line(v, &line, out);
	return true;
}

/* ---- the hosts ---- */

/* Coloured texts are cut before they are coloured: the state's word stands where no cut reaches. */
static void add_host(const struct rollout_view *v, const Pm__RolloutStep *s, unsigned name_width,
                     struct pm_buf *out)
{
	struct rollout_view plain = *v;
	PM_BUF line = { 0 };

	plain.color = false;
	rollout_view_host(&plain, s, name_width, &line);
	if (v->color && !line.failed && v->width != 0 && text_width(line.bytes) < v->width) {
		rollout_view_host(v, s, name_width, out);
		pm_buf_char(out, '\n');
		return;
	}
	put_line(v, &line, out);
}

static size_t add_hosts(const struct rollout_view *v, const struct rollout_copy *c, size_t room,
                        struct pm_buf *out)
{
	unsigned width = rollout_view_name_width(c);
	size_t n = 0, left;

	for (size_t i = 0; i < c->n_steps && n < room; i++, n++)
		add_host(v, c->steps[i].msg, width, out);
	left = c->n_steps - n;
	if (left == 0)
		return n;
	pm_buf_printf(out, "%s and %zu more\n", ellipsis(v), left);
	return n + 1;
}

static size_t add_groups(const struct rollout_view *v, const struct rollout_copy *c,
                         struct pm_buf *out)
{
	struct rollout_view plain = *v;
	PM_BUF all = { 0 };
	struct pm_error err;
	size_t n = 0;

	plain.color = false;
	if (rollout_view_groups(&plain, c, GROUPS_LIVE, &all, &err) < 0) {
		out->failed = true;
		return 0;
	}
	for (char *at = all.bytes; at != NULL && *at != '\0'; n++) {
		PM_BUF line = { 0 };
		size_t len = strcspn(at, "\n");

		pm_buf_add(&line, at, len);
		put_line(v, &line, out);
		at += len + 1;
	}
	return n;
}

size_t rollout_live_lines(const struct rollout_view *v, const struct rollout_copy *c,
                          struct pm_buf *out)
{
	size_t room = v->rows > 5 ? v->rows - 4 : ROLLOUT_VIEW_EACH, n = 1;

	add_bar(v, c, out);
	n += add_wait(v, c, out);
	if (c->n_steps <= ROLLOUT_VIEW_EACH)
		n += add_hosts(v, c, room, out);
	else if (c->n_steps > ROLLOUT_VIEW_ODD)
		n += add_groups(v, c, out);
	return n;
}

/* ---- what stays ---- */

static bool is_told(const struct rollout_view *v, const struct rollout_copy *c,
                    const Pm__RolloutStep *s)
{
	bool odd = rollout_view_is_odd(s);

	if (!odd && s->state != PM__STEP_STATE__STEP_HEALTHY)
		return false;
	if (!v->live)
		return true;
	return odd && c->n_steps > ROLLOUT_VIEW_EACH && c->n_steps <= ROLLOUT_VIEW_ODD;
}

/* Those of the batches from `low` to `high`. */
static void tell_hosts(const struct rollout_view *v, struct rollout_copy *c, bool quiet,
                       uint32_t low, uint32_t high, struct pm_buf *out)
{
	unsigned width = rollout_view_name_width(c);

	for (size_t i = 0; i < c->n_steps; i++) {
		struct copy_step *s = &c->steps[i];
		bool same = s->told == s->msg->state;

		if (s->msg->batch < low || s->msg->batch > high || same)
			continue;
		s->told = s->msg->state;
		if (!is_told(v, c, s->msg) || (quiet && !rollout_view_is_odd(s->msg)))
			continue;
		rollout_view_host(v, s->msg, width, out);
		pm_buf_char(out, '\n');
	}
}

static void tell_batch(const struct rollout_view *v, const struct rollout_copy *c, uint32_t batch,
                       struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;
	uint32_t n = batch <= st->n_batches ? st->batches[batch - 1] : 0;

	if (!v->live)
		pm_buf_printf(out, "%sbatch %u of %zu: %u host%s\n", st->undoing ? "undo: " : "",
		              batch, st->n_batches, n, n == 1 ? "" : "s");
}

static void tell_waits(const struct rollout_view *v, const struct rollout_copy *c,
                       struct rollout_news *news, struct pm_buf *out)
{
	char waits[sizeof(news->waits)] = "", hold[sizeof(news->hold)] = "";
	PM_BUF text = { 0 };

	if (v->live)
		return;
	if (c->status->state == PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK)
		(void)snprintf(waits, sizeof(waits), "%.190s",
		               c->status->why[0] != '\0' ? c->status->why
		                                         : "another rollout has it");
	if (strcmp(waits, news->waits) != 0 && waits[0] != '\0') {
		pm_buf_str(out, "waits for a lock: ");
		text_add_clean(out, waits);
		pm_buf_char(out, '\n');
	}
	memcpy(news->waits, waits, sizeof(waits));
	rollout_view_hold(v, c, &text);
	/* By what it is, and not by the time that is left of it. */
	if (text.len > 0)
		(void)snprintf(hold, sizeof(hold), "%.40s %u", c->status->hold,
		               rollout_copy_batch(c));
	if (strcmp(hold, news->hold) != 0 && hold[0] != '\0')
		pm_buf_printf(out, "holds: %s\n", text.bytes);
	memcpy(news->hold, hold, sizeof(hold));
}

void rollout_live_news(const struct rollout_view *v, struct rollout_copy *c,
                       struct rollout_news *news, struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;
	uint32_t now = rollout_copy_batch(c);
	bool first = !news->begun;

	if (st->undoing != (protobuf_c_boolean)news->undoing && !first) {
		pm_buf_str(out, "undoing: every host goes back to what it had");
		if (st->why[0] != '\0') {
			pm_buf_str(out, "; ");
			text_add_clean(out, st->why);
		}
		pm_buf_char(out, '\n');
		news->batch = 0;
	}
	news->undoing = st->undoing;
	news->begun = true;
	if (first && now > 1) {
		tell_hosts(v, c, true, 0, UINT32_MAX, out);
		news->batch = now - 1;
	}
	tell_hosts(v, c, false, 0, news->batch, out); /* an early one may fail late */
	for (uint32_t batch = news->batch + 1; batch <= now && batch <= st->n_batches; batch++) {
		tell_batch(v, c, batch, out);
		tell_hosts(v, c, false, batch, batch, out);
		news->batch = batch;
	}
	tell_hosts(v, c, false, 0, UINT32_MAX, out);
	tell_waits(v, c, news, out);
}
