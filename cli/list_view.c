#include "cli/list_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/apps.h"
#include "cli/color.h"
#include "cli/fmt.h"
#include "cli/host_view.h"
#include "cli/text.h"
#include "proto/hostlist.h"
#include "proto/sanitize.h"
#include "proto/units.h"

#define APP_WIDTH     16
#define VERSION_WIDTH 10
#define STATE_WIDTH   22
#define GROUPS_MAX    20 /* of one app; the others by their number */
#define NAMES_WIDTH   60 /* columns of the names of nearly all of very many */

/* One app on one host. */
struct row {
	const struct host *host;
	const char *app, *version;
	size_t n, by_state[PM__LIFE_STATE__LIFE_ERRORED + 1];
	uint32_t restarts, cpu_permille;
	uint64_t memory, uptime_ms; /* of the youngest */
};

/* ---- apps of a host ---- */

static void count(struct row *row, const Pm__InstanceStatus *s)
{
	row->n++;
	if ((size_t)s->state < PM_COUNT(row->by_state))
		row->by_state[s->state]++;
	row->restarts += s->restarts;
	row->cpu_permille += s->cpu_permille;
	row->memory += s->memory;
	if (s->pid != 0 && (row->uptime_ms == 0 || s->uptime_ms < row->uptime_ms))
		row->uptime_ms = s->uptime_ms;
}

/* The rows of a host, by app in the order of ids.  errors PM_NO_MEMORY */
static int make_rows(const struct host *h, struct row **out, size_t *n, struct pm_error *err)
{
	struct row *rows = pm_calloc(h->n_instances + 1, sizeof(*rows));

	*n = 0;
	if (rows == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < h->n_instances; i++) {
		const Pm__InstanceStatus *s = h->instances[i];
		size_t at = 0;

		while (at < *n && strcmp(rows[at].app, s->name) != 0)
			at++;
		if (at == *n)
			rows[(*n)++] =
				(struct row){ .host = h, .app = s->name, .version = s->version };
		count(&rows[at], s);
	}
	*out = rows;
	return 0;
}

/* "online 4/4", or "online 3/4, errored 1". */
static void add_state(const struct row *row, struct pm_buf *out)
{
	static const Pm__LifeState order[] = {
		PM__LIFE_STATE__LIFE_ONLINE,   PM__LIFE_STATE__LIFE_LAUNCHING,
		PM__LIFE_STATE__LIFE_STOPPING, PM__LIFE_STATE__LIFE_WAITING,
		PM__LIFE_STATE__LIFE_ERRORED,  PM__LIFE_STATE__LIFE_STOPPED,
	};
	bool first = true;

	for (size_t i = 0; i < PM_COUNT(order); i++) {
		size_t n = row->by_state[order[i]];

		if (n == 0)
			continue;
		if (first)
			pm_buf_printf(out, "%s %zu/%zu", apps_state_name(order[i]), n, row->n);
		else
			pm_buf_printf(out, ", %s %zu", apps_state_name(order[i]), n);
		first = false;
	}
}

static enum color row_color(const struct row *row)
{
	if (row->by_state[PM__LIFE_STATE__LIFE_ONLINE] == row->n)
		return COLOR_GREEN;
	if (row->by_state[PM__LIFE_STATE__LIFE_ERRORED] > 0)
		return COLOR_RED;
	return COLOR_YELLOW;
}

static void add_version(const char *version, struct pm_buf *out)
{
	char text[64];

	if (version[0] == '\0')
		(void)snprintf(text, sizeof(text), "-");
	else
		(void)snprintf(text, sizeof(text), "%s%.60s",
		               version[0] >= '0' && version[0] <= '9' ? "v" : "", version);
	text_add_padded(out, text, VERSION_WIDTH);
}

static void add_colored(bool on, enum color color, const struct pm_buf *text, struct pm_buf *out)
{
	color_add(out, on, color, text->bytes == NULL ? "" : text->bytes);
}

/* ---- a line for each ---- */

static void add_row(const struct list_view *v, const struct row *row, struct pm_buf *out)
{
	PM_BUF state = { 0 };
	char uptime[FMT_MAX] = "-", memory[PM_BYTES_TEXT];

	add_state(row, &state);
	text_add_padded(out, row->host->name, v->width);
	pm_buf_str(out, "  ");
	text_add_padded(out, row->app, APP_WIDTH);
	pm_buf_str(out, "  ");
	add_version(row->version, out);
	pm_buf_str(out, "  ");
	add_colored(v->color, row_color(row), &state, out);
	text_pad(out, state.len < STATE_WIDTH ? (unsigned)(STATE_WIDTH - state.len) : 0);
	if (row->uptime_ms > 0)
		fmt_duration(row->uptime_ms, uptime);
	pm_bytes_text(row->memory, memory);
	pm_buf_printf(out, "  %8u  %10s  %5u.%u%%  %s\n", row->restarts, uptime,
	              row->cpu_permille / 10, row->cpu_permille % 10, memory);
}

/* What a host is said to be when it gave no list. */
static void add_absent(const struct list_view *v, const struct host *h, struct pm_buf *out)
{
	color_add(out, v->color, COLOR_YELLOW, hosts_state_name(h->state));
	if (h->text != NULL) {
		pm_buf_str(out, "  ");
		text_add_clean(out, h->text);
	}
	if (h->state == HOST_OFFLINE && h->last_seen_wall_ms > 0) {
		pm_buf_str(out, "  last seen ");
		host_view_seen(h->last_seen_wall_ms, v->now_wall_ms, out);
	}
}

static void add_titles(struct list_view *v, struct pm_buf *out)
{
	PM_BUF line = { 0 };

	if (v->titled)
		return;
	v->titled = true;
	v->width = PM_MAX(v->width, 4u);
	text_add_padded(&line, "host", v->width);
	pm_buf_printf(&line, "  %-*s  %-*s  %-*s  %8s  %10s  %7s  %s", APP_WIDTH, "app",
	              VERSION_WIDTH, "version", STATE_WIDTH, "status", "restarts", "uptime", "cpu",
	              "memory");
	add_colored(v->color, COLOR_BOLD, &line, out);
	pm_buf_char(out, '\n');
}

void list_view_rows(struct list_view *v, const struct host *const *hosts, size_t n,
                    struct pm_buf *out)
{
	add_titles(v, out);
	for (size_t i = 0; i < n; i++) {
		PM_FREE struct row *rows = NULL;
		struct pm_error err;
		size_t n_rows;

		if (make_rows(hosts[i], &rows, &n_rows, &err) < 0) {
			out->failed = true;
			return;
		}
		for (size_t k = 0; k < n_rows; k++)
			add_row(v, &rows[k], out);
		if (n_rows > 0 || (v->chosen && hosts[i]->state == HOST_DONE))
			continue;
		text_add_padded(out, hosts[i]->name, v->width);
		pm_buf_str(out, "  ");
		if (hosts[i]->state != HOST_DONE)
			add_absent(v, hosts[i], out);
		else
			pm_buf_str(out, v->named ? "no such app" : "nothing is running");
		pm_buf_char(out, '\n');
	}
}

/* ---- equal ones together ---- */

struct sorting {
	struct row *rows; /* owned */
	size_t n, cap;
	struct pm_buf *texts; /* owned: for each row, version and state */
};

static void sorting_finish(struct sorting *s)
{
	for (size_t i = 0; s->texts != NULL && i < s->n; i++)
		pm_buf_finish(&s->texts[i]);
	free(s->texts);
	free(s->rows);
}

static int by_app(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return strcmp(x->app, y->app);
}

static int gather(struct sorting *s, const struct host *const *hosts, size_t n,
                  struct pm_error *err)
{
	for (size_t i = 0; i < n; i++) {
		PM_FREE struct row *rows = NULL;
		struct row *grown;
		size_t n_rows;

		if (make_rows(hosts[i], &rows, &n_rows, err) < 0)
			return -1;
		if (s->n + n_rows > s->cap) {
			s->cap = (s->n + n_rows) * 2;
			grown = pm_realloc(s->rows, s->cap * sizeof(*grown));
			if (grown == NULL)
				return pm_fail(err, PM_NO_MEMORY, "out of memory");
			s->rows = grown;
		}
		if (n_rows > 0)
			memcpy(s->rows + s->n, rows, n_rows * sizeof(*rows));
		s->n += n_rows;
	}
	if (s->n == 0)
		return 0;
	qsort(s->rows, s->n, sizeof(*s->rows), by_app);
	s->texts = pm_calloc(s->n, sizeof(*s->texts));
	if (s->texts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < s->n; i++) {
		pm_buf_printf(&s->texts[i], "%s\n", s->rows[i].version);
		add_state(&s->rows[i], &s->texts[i]);
		if (s->texts[i].failed)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	return 0;
}

/* The answers of one app: "version\nstate". */
static const char *state_of(const char *text)
{
	return strchr(text, '\n') + 1;
}

static bool same_version(const char *a, const char *b)
{
	size_t n = strcspn(a, "\n");

	return strcspn(b, "\n") == n && memcmp(a, b, n) == 0;
}

static const char *difference(const char *text, const char *most)
{
	bool version = !same_version(text, most);
	bool state = strcmp(state_of(text), state_of(most)) != 0;

	return version && state ? "version, status" : version ? "version" : "status";
}

/* Names, unless they are those of nearly all of very many. */
static void add_names(const struct list_view *v, const struct fold_group *g, size_t n_all,
                      struct pm_buf *out)
{
	PM_BUF names = { 0 };
	struct pm_error err;

	if (hostlist_fold(g->hosts, g->n, &names, &err) < 0) {
		out->failed = true;
		return;
	}
	if (g->n > n_all / 2 && n_all > LIST_VIEW_SETS && !v->verbose &&
	    text_width(names.bytes) > NAMES_WIDTH)
		(void)text_cut(out, names.bytes, NAMES_WIDTH, TEXT_CUT_MIDDLE, "…");
	else
		pm_buf_str(out, names.bytes);
}

static void add_count(size_t n, struct pm_buf *out)
{
	pm_buf_printf(out, "%6zu host%s  ", n, n == 1 ? " " : "s");
}

/* By the words of add_state(). */
static enum color text_color(const char *state)
{
	if (strncmp(state, "online", 6) == 0 && strchr(state, ',') == NULL)
		return COLOR_GREEN;
	return strstr(state, "errored") != NULL ? COLOR_RED : COLOR_YELLOW;
}

static void add_answer(const struct list_view *v, const struct fold_group *g, size_t n_all,
                       struct pm_buf *out)
{
	const char *state = state_of(g->text);
	char version[64];

	(void)snprintf(version, sizeof(version), "%.*s", (int)PM_MIN(strcspn(g->text, "\n"), 63u),
	               g->text);
	add_count(g->n, out);
	add_version(version, out);
	pm_buf_str(out, "  ");
	color_add(out, v->color, text_color(state), state);
	text_pad(out, text_width(state) < STATE_WIDTH ? STATE_WIDTH - text_width(state) : 0);
	pm_buf_str(out, "  ");
	add_names(v, g, n_all, out);
}

static int fold_app(const struct sorting *s, size_t from, size_t to, struct fold *f,
                    struct pm_error *err)
{
	for (size_t i = from; i < to; i++)
		if (hosts_fold_add(f, s->rows[i].host, s->texts[i].bytes, err) < 0)
			return -1;
	return 0;
}

/* The groups of one app: rows [from, to). */
static int add_app(const struct list_view *v, const struct sorting *s, size_t from, size_t to,
                   size_t n_all, struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;
	const struct fold_group *groups;
	size_t n, left = 0;

	if (fold_create(&f, err) < 0 || fold_app(s, from, to, f, err) < 0 ||
	    fold_groups(f, &groups, &n, err) < 0)
		return -1;
	for (size_t i = v->diff; i < n; i++) {
		if (i >= GROUPS_MAX && !v->verbose) {
			left += groups[i].n;
			continue;
		}
		text_add_padded(out, i == v->diff ? s->rows[from].app : "", APP_WIDTH);
		add_answer(v, &groups[i], n_all, out);
		if (i > 0)
			pm_buf_printf(out, "  <- differs: %s",
			              difference(groups[i].text, groups[0].text));
		pm_buf_char(out, '\n');
	}
	if (left > 0) {
		text_pad(out, APP_WIDTH);
		add_count(left, out);
		pm_buf_printf(out, "in %zu more kinds; --verbose shows them\n", n - GROUPS_MAX);
	}
	return 0;
}

static void add_seen(const struct list_view *v, const struct host *const *hosts, size_t n,
                     const struct fold_group *g, struct pm_buf *out)
{
	for (size_t i = 0; i < n && g->n == 1; i++)
		if (strcmp(hosts[i]->name, g->hosts[0]) == 0 && hosts[i]->last_seen_wall_ms > 0 &&
		    hosts[i]->state == HOST_OFFLINE) {
			pm_buf_str(out, "  last seen ");
			host_view_seen(hosts[i]->last_seen_wall_ms, v->now_wall_ms, out);
		}
}

/* Hosts that gave no list, or an empty one. */
static int add_others(const struct list_view *v, const struct host *const *hosts, size_t n,
                      struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;
	const struct fold_group *groups;
	size_t n_groups;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if ((hosts[i]->state != HOST_DONE || (hosts[i]->n_instances == 0 && !v->chosen)) &&
		    hosts_fold_add(f, hosts[i], hosts[i]->text == NULL ? "" : hosts[i]->text, err) <
		            0)
			return -1;
	if (fold_groups(f, &groups, &n_groups, err) < 0)
		return -1;
	for (size_t i = 0; i < n_groups; i++) {
		const struct fold_group *g = &groups[i];

		text_pad(out, APP_WIDTH);
		add_count(g->n, out);
		if (g->result == FOLD_OK)
			pm_buf_str(out, v->named ? "no such app" : "nothing is running");
		else
			color_add(out, v->color, COLOR_YELLOW,
			          hosts_state_name(hosts_group_state(g)));
		if (g->text[0] != '\0') {
			pm_buf_str(out, "  ");
			text_add_clean(out, g->text);
		}
		pm_buf_str(out, "  ");
		if (hostlist_fold(g->hosts, g->n, out, err) < 0)
			return -1;
		add_seen(v, hosts, n, g, out);
		pm_buf_char(out, '\n');
	}
	return 0;
}

int list_view_groups(const struct list_view *v, const struct host *const *hosts, size_t n,
                     size_t n_all, struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(sorting_finish) struct sorting s = { 0 };

	if (gather(&s, hosts, n, err) < 0)
		return -1;
	for (size_t from = 0, to; from < s.n; from = to) {
		for (to = from + 1; to < s.n; to++)
			if (strcmp(s.rows[to].app, s.rows[from].app) != 0)
				break;
		if (add_app(v, &s, from, to, n_all, out, err) < 0)
			return -1;
	}
	return add_others(v, hosts, n, out, err);
}

/* ---- the account ---- */

/* Everything that is compared of a host, as one text. */
static int whole_text(const struct host *h, struct pm_buf *out, struct pm_error *err)
{
	PM_FREE struct row *rows = NULL;
	size_t n;

	if (make_rows(h, &rows, &n, err) < 0)
		return -1;
	if (n > 0)
		qsort(rows, n, sizeof(*rows), by_app);
	pm_buf_str(out, "");
	for (size_t i = 0; i < n; i++) {
		pm_buf_printf(out, "%s\n%s\n", rows[i].app, rows[i].version);
		add_state(&rows[i], out);
		pm_buf_char(out, '\n');
	}
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}

static int by_text(const void *a, const void *b)
{
	const struct pm_buf *x = a, *y = b;

	return strcmp(x->bytes == NULL ? "" : x->bytes, y->bytes == NULL ? "" : y->bytes);
}

/* How many hosts give the answer that most give. */
static int count_same(const struct hosts *all, size_t *same, struct pm_error *err)
{
	struct pm_buf *texts = pm_calloc(all->n + 1, sizeof(*texts));
	size_t n = 0, run = 0;
	int rc = texts == NULL ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;

	*same = 0;
	for (size_t i = 0; rc == 0 && i < all->n; i++)
		if (all->list[i].state == HOST_DONE)
			rc = whole_text(&all->list[i], &texts[n++], err);
	if (rc == 0 && n > 0)
		qsort(texts, n, sizeof(*texts), by_text);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		run = i > 0 && by_text(&texts[i - 1], &texts[i]) == 0 ? run + 1 : 1;
		*same = PM_MAX(*same, run);
	}
	for (size_t i = 0; i < n; i++)
		pm_buf_finish(&texts[i]);
	free(texts);
	return rc;
}

int list_view_account(const struct hosts *all, struct pm_buf *out, struct pm_error *err)
{
	struct hosts_account a = hosts_account(all);
	size_t same;

	if (all->n <= LIST_VIEW_EACH) {
		hosts_account_line(&a, "answered", out);
		return 0;
	}
	if (count_same(all, &same, err) < 0)
		return -1;
	hosts_account_split(&a, same, "same", "different", out);
	return 0;
}
