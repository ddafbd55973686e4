#include "cli/host_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fmt.h"
#include "cli/text.h"
#include "proto/hostlist.h"

#define NAME_WIDTH_MAX 32
#define BAR_WIDTH      20
#define IN_FULL_FEW    3  /* hosts whose failure is shown in full, of 21 to HOST_VIEW_ODD */
#define GROUPS_MAX     20 /* groups of equal failures; the others by their number */

unsigned host_view_width(const struct hosts *h)
{
	unsigned width = 0;

	for (size_t i = 0; i < h->n; i++)
		width = PM_MAX(width, text_width(h->list[i].name));
	return PM_MIN(width, (unsigned)NAME_WIDTH_MAX);
}

void host_view_seen(int64_t seen_wall_ms, int64_t now_wall_ms, struct pm_buf *out)
{
	char text[FMT_MAX];

	if (seen_wall_ms <= 0 || seen_wall_ms > now_wall_ms)
		return;
	fmt_duration((uint64_t)(now_wall_ms - seen_wall_ms), text);
	pm_buf_printf(out, "%s ago", text);
}

/* ---- one host ---- */

static enum color state_color(enum host_state state)
{
	switch (state) {
	case HOST_DONE:
		return COLOR_GREEN;
	case HOST_FAILED:
	case HOST_DENIED:
		return COLOR_RED;
	case HOST_OFFLINE:
	case HOST_UNKNOWN:
	case HOST_SKIPPED:
	case HOST_WAITING:
	case HOST_N_STATES:
		break;
	}
	return COLOR_YELLOW;
}

static const char *state_word(const struct host_view *v, const struct host *h)
{
	switch (h->state) {
	case HOST_DONE:
		return v->done;
	case HOST_FAILED:
		return "FAILED";
	case HOST_WAITING:
		return "no answer yet";
	case HOST_OFFLINE:
	case HOST_DENIED:
	case HOST_UNKNOWN:
	case HOST_SKIPPED:
	case HOST_N_STATES:
		break;
	}
	return hosts_state_name(h->state);
}

/* "api 4/4, web 1/2": how many instances of each app did it, in the order of the answer. */
static void add_counts(const struct host *h, struct pm_buf *out)
{
	const char *comma = "";

	for (size_t i = 0; i < h->n_outcomes; i++) {
		const char *name = h->outcomes[i]->name;
		size_t n = 0, ok = 0;
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(h->outcomes[k]->name, name) == 0;
		if (seen)
			continue;
		for (size_t k = i; k < h->n_outcomes; k++)
			if (strcmp(h->outcomes[k]->name, name) == 0) {
				n++;
				ok += h->outcomes[k]->code == PM_OK;
			}
		pm_buf_str(out, comma);
		text_add_clean(out, name);
		pm_buf_printf(out, " %zu/%zu", ok, n);
		comma = ", ";
	}
}

static void add_reason(const struct host_view *v, const struct host *h, struct pm_buf *out)
{
	if (h->state == HOST_DONE) {
		if (h->n_outcomes > 0) {
			pm_buf_str(out, "  ");
			add_counts(h, out);
		} else if (h->text != NULL) {
			pm_buf_str(out, "  ");
			text_add_clean(out, h->text);
		}
		return;
	}
	if (h->text != NULL) {
		pm_buf_str(out, "  ");
		text_add_clean(out, h->text);
	}
	if (h->n_ok > 0) {
		pm_buf_str(out, "; ");
		add_counts(h, out);
		pm_buf_printf(out, " %s", v->done);
	}
	if (h->state == HOST_OFFLINE && h->last_seen_wall_ms > 0) {
		pm_buf_str(out, "  last seen ");
		host_view_seen(h->last_seen_wall_ms, v->now_wall_ms, out);
	}
}

void host_view_line(const struct host_view *v, const struct host *h, struct pm_buf *out)
{
	text_add_padded(out, h->name, v->width);
	pm_buf_str(out, "  ");
	color_add(out, v->color, state_color(h->state), state_word(v, h));
	add_reason(v, h, out);
	pm_buf_char(out, '\n');
}

static bool has_own_line(const struct host_view *v, size_t n_hosts, const struct host *h)
{
	if (v->verbose || n_hosts <= HOST_VIEW_EACH)
		return true;
	return n_hosts <= HOST_VIEW_ODD && h->state != HOST_DONE;
}

void host_view_progress(const struct host_view *v, const struct hosts *all, const struct host *h,
                        struct pm_buf *out)
{
	if (has_own_line(v, all->n, h))
		host_view_line(v, h, out);
}

/* ---- the end ---- */

/* The output of what failed, set off from our own words. */
static void add_tails(const struct host_view *v, const struct host *h, struct pm_buf *out)
{
	for (size_t i = 0; i < h->n_outcomes; i++) {
		const Pm__Outcome *o = h->outcomes[i];

		if (o->code == PM_OK)
			continue;
		pm_buf_str(out, "  ");
		text_add_clean(out, h->name);
		pm_buf_str(out, ": ");
		text_add_clean(out, o->name);
		if (o->has_id)
			pm_buf_printf(out, " (%u)", o->pm_id);
		pm_buf_str(out, ": ");
		text_add_clean(out, o->text);
		if (o->hint[0] != '\0') {
			pm_buf_str(out, "; ");
			text_add_clean(out, o->hint);
		}
		pm_buf_char(out, '\n');
		text_add_tail(out, (const char *)o->log_tail.data, o->log_tail.len, v->color);
	}
}

static void add_failures(const struct host_view *v, const struct hosts *all, struct pm_buf *out)
{
	size_t most = all->n <= HOST_VIEW_EACH ? 1 : IN_FULL_FEW, shown = 0, left = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct host *h = &all->list[i];

		if (h->n_failed == 0)
			continue;
		if (shown == most) {
			left++;
			continue;
		}
		shown++;
		add_tails(v, h, out);
	}
	if (left > 0)
		pm_buf_printf(out, "  %zu more host%s failed\n", left, left == 1 ? "" : "s");
}

static void add_group(const struct host_view *v, const struct fold_group *g, struct pm_buf *out,
                      struct pm_error *err)
{
	struct host first = { .state = hosts_group_state(g) };

	pm_buf_printf(out, "%4zu host%s  ", g->n, g->n == 1 ? " " : "s");
	color_add(out, v->color, state_color(first.state), state_word(v, &first));
	pm_buf_str(out, "  ");
	if (hostlist_fold(g->hosts, g->n, out, err) < 0)
		out->failed = true;
	if (g->text[0] != '\0') {
		pm_buf_str(out, "  ");
		text_add_clean(out, g->text);
	}
	pm_buf_char(out, '\n');
}

/* Equal ones together: state, code and text; different codes never. */
static int add_groups(const struct host_view *v, const struct hosts *all, struct pm_buf *out,
                      struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;
	const struct fold_group *groups;
	size_t n, left = 0;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < all->n; i++) {
		const struct host *h = &all->list[i];

		if (!has_own_line(v, all->n, h) && h->state != HOST_DONE &&
		    hosts_fold_add(f, h, h->text == NULL ? "" : h->text, err) < 0)
			return -1;
	}
	if (fold_groups(f, &groups, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (i < GROUPS_MAX || v->verbose)
			add_group(v, &groups[i], out, err);
		else
			left += groups[i].n;
	}
	if (left > 0)
		pm_buf_printf(out, "%4zu hosts  of %zu more kinds; --verbose shows them\n", left,
		              n - GROUPS_MAX);
	return 0;
}

int host_view_end(const struct host_view *v, const struct hosts *all, struct pm_buf *out,
                  struct pm_error *err)
{
	struct hosts_account a = hosts_account(all);

	for (size_t i = 0; i < all->n; i++) {
		const struct host *h = &all->list[i];

		/* Of those that answered the line came with the answer. */
		if (!h->answered && has_own_line(v, all->n, h))
			host_view_line(v, h, out);
		else if (h->answered && has_own_line(v, all->n, h) &&
		         (h->state == HOST_UNKNOWN || h->state == HOST_WAITING))
			host_view_line(v, h, out);
	}
	if (all->n <= HOST_VIEW_ODD)
		add_failures(v, all, out);
	if (add_groups(v, all, out, err) < 0)
		return -1;
	hosts_account_line(&a, v->done, out);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}

void host_view_bar(const struct hosts_account *a, uint64_t run_ms, bool utf8, struct pm_buf *out)
{
	size_t done = a->total - a->n[HOST_WAITING];
	char clock[FMT_MAX];

	pm_buf_printf(out, "[%zu/%zu] ", done, a->total);
	text_add_bar(out, done, a->total, BAR_WIDTH, utf8);
	if (a->n[HOST_FAILED] > 0)
		pm_buf_printf(out, "  %zu FAILED", a->n[HOST_FAILED]);
	fmt_clock(run_ms, clock);
	pm_buf_printf(out, "  %s", clock);
	if (run_ms >= 1000)
		pm_buf_printf(out, "  %llu/s", (unsigned long long)(done * 1000 / run_ms));
	if (done > 0 && done < a->total && run_ms >= 1000) {
		fmt_clock(run_ms * (a->total - done) / done, clock);
		pm_buf_printf(out, "  eta %s", clock);
	}
}
