#include "cli/fleet_logs.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/fleet_act.h"
#include "cli/interrupt.h"
#include "cli/log_fold.h"
#include "cli/log_merge.h"
#include "cli/log_places.h"
#include "cli/text.h"
#include "proto/limits.h"

#define WINDOW_MS      500
#define NAME_WIDTH_MAX 24
#define PLACES_MAX     1024  /* files of one host that are told apart in the merge */
#define RESUME_LINES   20000 /* asked for again after a cut; what is known is left out */
#define HISTORY_TOTAL  20000 /* lines before the live ones, of all hosts together */
#define RETRY_LEAST_MS 500
#define RETRY_MOST_MS  5000

struct viewer;

struct host_log {
	struct viewer *v; /* borrowed */
	const Pm__Node *node;
	unsigned number;
	struct fleet_stream *stream; /* NULL: none is open */
	struct log_places places;
	bool over;    /* nothing more will come */
	bool lost;    /* and the user was told */
	bool resumed; /* the stream is not the first one */
	uint64_t retry_at_ms;
	uint32_t pause_ms;
};

struct viewer {
	struct ctx *ctx;
	struct fleet *f;
	struct logs_request *request;
	struct host_log *hosts; /* owned */
	size_t n;
	struct log_merge *merge; /* owned */
	struct log_fold *fold;   /* owned; NULL: each line is shown */
	unsigned host_width, app_width;
	uint32_t lines; /* of history, of each file */
	uint64_t n_lost_lines, n_lost_bytes;
	struct pm_buf out, err_out;
	struct pm_error err;
	bool failed;
};

/* ---- what comes ---- */

static void fail(struct viewer *v, const struct pm_error *err)
{
	if (!v->failed)
		v->err = *err;
	v->failed = true;
	fleet_client_stop_waiting(v->f->client);
}

static void show_gap(struct viewer *v, struct host_log *h, const struct log_place *place,
                     uint64_t lines, uint64_t bytes, const char *why)
{
	v->n_lost_lines += lines;
	v->n_lost_bytes += bytes;
	log_view_gap(&v->request->style, h->node->name, place == NULL ? NULL : &place->view, lines,
	             bytes, why, &v->out);
}

static void take_gap(struct viewer *v, struct host_log *h, const Pm__Gap *gap)
{
	const struct log_place *place = log_places_get(&h->places, gap->source);

	if (!gap->bound) {
		show_gap(v, h, place, gap->lines, gap->bytes, gap->why);
		return;
	}
	logs_say_bound(v->ctx, h->node->name, place == NULL ? NULL : &place->view, gap);
	/* A program reads of it among the lines; nothing that was to be shown is missing. */
	if (v->request->style.form == LOG_JSON)
		log_view_bound(h->node->name, place == NULL ? NULL : &place->view, gap->why,
		               &v->out);
}

static void take_line(struct viewer *v, struct host_log *h, const Pm__LogLine *line)
{
	struct log_place *place = log_places_get(&h->places, line->source);
	struct log_merge_line put = { .wall_ms = line->wall_ms,
		                      .file = line->file,
		                      .offset = line->offset,
		                      .monotonic_ms = line->monotonic_ms,
		                      .partial = line->partial,
		                      .live = line->live,
		                      .text = (const char *)line->text.data,
		                      .len = line->text.len };
	struct pm_error err;
	uint64_t missed;

	if (place == NULL || log_place_repeats(place, line, &missed))
		return;
	/* With a filter there are bytes between lines that nobody wants. */
	if (missed > 0 && v->request->query.grep[0] == '\0')
		show_gap(v, h, place, 0, missed, "written while the connection was lost");
	put.source = h->number * PLACES_MAX + (unsigned)((place - h->places.list) % PLACES_MAX);
	if (line->wall_ms != 0)
		put.at_ms = line->wall_ms - h->node->clock_offset_ms;
	if (log_merge_put(v->merge, &put, pm_now_ms(), &err) < 0)
		fail(v, &err);
}

static void take_source(struct viewer *v, struct host_log *h, const Pm__LogSource *s)
{
	struct log_place *place;
	struct pm_error err;

	if (log_places_announce(&h->places, s, h->resumed, &place, &err) < 0) {
		fail(v, &err);
		return;
	}
	v->app_width = PM_MAX(v->app_width, text_width(place->view.name));
	v->app_width = PM_MIN(v->app_width, (unsigned)NAME_WIDTH_MAX);
}

static void on_data(void *arg, struct fleet_stream *st, const Pm__StreamData *data)
{
	struct host_log *h = arg;
	struct viewer *v = h->v;

	(void)st;
	h->lost = false;
	h->pause_ms = RETRY_LEAST_MS;
	switch (data->what_case) {
	case PM__STREAM_DATA__WHAT_SOURCE:
		take_source(v, h, data->source);
		break;
	case PM__STREAM_DATA__WHAT_LINES:
		for (size_t i = 0; i < data->lines->n_lines; i++)
			take_line(v, h, data->lines->lines[i]);
		break;
	case PM__STREAM_DATA__WHAT_GAP:
		take_gap(v, h, data->gap);
		break;
	case PM__STREAM_DATA__WHAT_EVENT:
	case PM__STREAM_DATA__WHAT__NOT_SET:
	case _PM__STREAM_DATA__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	fleet_client_stop_waiting(v->f->client);
}

/* What became of the host, for the exit status. */
static void settle(struct host_log *h, const struct pm_error *why)
{
	struct host *host = &h->v->f->hosts.list[h->number];

	host->code = why->code;
	host->state = why->code == PM_OK            ? HOST_DONE
	              : why->code == PM_DENIED      ? HOST_DENIED
	              : why->code == PM_UNREACHABLE ? HOST_OFFLINE
	                                            : HOST_FAILED;
}

static void on_closed(void *arg, struct fleet_stream *st, const struct pm_error *why)
{
	struct host_log *h = arg;
	struct viewer *v = h->v;

	(void)st;
	h->stream = NULL;
	settle(h, why);
	fleet_client_stop_waiting(v->f->client);
	if (why->code == PM_UNREACHABLE && v->request->query.follow) {
		if (!h->lost)
			say_warn(v->ctx, "%s: %s; its lines go on when it is back", h->node->name,
			         why->what);
		h->lost = true;
		h->retry_at_ms = pm_now_ms() + h->pause_ms;
		h->pause_ms = PM_MIN(h->pause_ms * 2, (uint32_t)RETRY_MOST_MS);
		return;
	}
	h->over = true;
	if (why->code != PM_OK)
		say_warn(v->ctx, "%s: %s", h->node->name, why->what);
}

static const struct fleet_stream_handlers handlers = { on_data, on_closed };

/* ---- streams ---- */

/* How far each file of a host was shown; the list borrows from its places. */
static size_t positions(const struct host_log *h, Pm__LogPosition *out, Pm__LogPosition **list)
{
	size_t n = 0;

	for (size_t i = 0; i < h->places.n; i++) {
		const struct log_place *place = &h->places.list[i];

		if (!place->seen || place->file == 0)
			continue;
		pm__log_position__init(&out[n]);
		out[n].path = place->view.path;
		out[n].file = place->file;
		out[n].offset = place->next;
		out[n].wall_ms = place->wall_ms;
		list[n] = &out[n];
		n++;
	}
	return n;
}

static void open_stream(struct host_log *h)
{
	PM_FREE Pm__LogPosition *from = pm_calloc(h->places.n + 1, sizeof(*from));
	PM_FREE Pm__LogPosition **list = pm_calloc(h->places.n + 1, sizeof(Pm__LogPosition *));
	struct viewer *v = h->v;
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery query = v->request->query;
	struct pm_error err;

	query.lines = v->lines;
	h->resumed = false;
	for (size_t i = 0; i < h->places.n; i++)
		h->resumed = h->resumed || h->places.list[i].seen;
	if (h->resumed) { /* an agent of an earlier version repeats what the places then leave out
		           */
		query.lines = RESUME_LINES;
		query.since_wall_ms = 0;
	}
	if (from != NULL && list != NULL) {
		query.resume = list;
		query.n_resume = positions(h, from, list);
	}
	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &query;
	open.agent = h->node->id;
	if (fleet_stream_open(v->f->client, &open, &handlers, h, &h->stream, &err) < 0)
		on_closed(h, NULL, &err);
}

/* Open what is due.  Returns when the next one is. */
static uint64_t open_streams(struct viewer *v)
{
	uint64_t now = pm_now_ms(), next = UINT64_MAX;

	for (size_t i = 0; i < v->n; i++) {
		struct host_log *h = &v->hosts[i];

		if (h->stream != NULL || h->over)
			continue;
		if (h->retry_at_ms <= now)
			open_stream(h);
		if (h->stream == NULL && !h->over)
			next = PM_MIN(next, h->retry_at_ms);
	}
	return next;
}

static bool all_over(const struct viewer *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (!v->hosts[i].over)
			return false;
	return true;
}

/* ---- showing ---- */

static void show_line(struct viewer *v, const struct log_merge_line *m)
{
	struct host_log *h = &v->hosts[m->source / PLACES_MAX];
	const struct log_place *place = &h->places.list[m->source % PLACES_MAX];
	struct log_host host = { .name = h->node->name,
		                 .width = v->host_width,
		                 .utf8 = v->ctx->utf8,
		                 .late = m->late,
		                 .boot = place->boot };
	Pm__LogLine line = PM__LOG_LINE__INIT;

	line.text.data = (uint8_t *)(uintptr_t)m->text; /* only read */
	line.text.len = m->len;
	line.partial = m->partial;
	line.live = m->live;
	line.file = m->file;
	line.offset = m->offset;
	line.monotonic_ms = m->monotonic_ms;
	if (m->wall_ms != 0)
		line.wall_ms = m->wall_ms - h->node->clock_offset_ms;
	log_view_host_line(&v->request->style, &host, &place->view, &line, v->app_width,
	                   v->request->raw_stderr && place->view.err ? &v->err_out : &v->out);
}

static void show_many(struct viewer *v, const struct log_fold_group *g)
{
	const struct log_merge_line *m = &g->first.line;
	const struct host_log *h = &v->hosts[m->source / PLACES_MAX];
	const struct log_place *place = &h->places.list[m->source % PLACES_MAX];
	const char *word = args_at(v->ctx->args, 0);
	PM_FREE const char **names = pm_calloc(g->n_hosts + 1, sizeof(*names));
	struct log_many many = { .n = g->n_lines,
		                 .hosts = names,
		                 .utf8 = v->ctx->utf8,
		                 .late = m->late,
		                 .show_app = word == NULL || strcmp(word, g->first.app) != 0 };
	Pm__LogLine line = PM__LOG_LINE__INIT;

	if (names == NULL) {
		v->out.failed = true;
		return;
	}
	for (size_t i = 0; i < v->n; i++) /* the nodes are sorted by name */
		if (g->hosts[i] != 0)
			names[many.n_hosts++] = v->hosts[i].node->name;
	line.text.data = (uint8_t *)(uintptr_t)m->text; /* only read */
	line.text.len = m->len;
	line.partial = m->partial;
	line.live = m->live;
	if (m->wall_ms != 0)
		line.wall_ms = m->wall_ms - h->node->clock_offset_ms;
	log_view_many(&v->request->style, &many, &place->view, &line, &v->out);
}

/* Show a line now, or have it wait for others like it. */
static void pass_line(struct viewer *v, const struct log_merge_line *m, uint64_t now_ms)
{
	const struct host_log *h = &v->hosts[m->source / PLACES_MAX];
	const struct log_place *place = &h->places.list[m->source % PLACES_MAX];
	struct log_fold_line line = { .host = h->number,
		                      .app = place->view.name,
		                      .err = place->view.err,
		                      .agent = place->view.agent,
		                      .line = *m };
	struct pm_error err;

	if (v->fold == NULL)
		show_line(v, m);
	else if (log_fold_put(v->fold, &line, now_ms, &err) < 0)
		fail(v, &err);
}

/* Lines that were not written by several hosts look as without --fold, but for JSON. */
static void show_groups(struct viewer *v, uint64_t now_ms, bool flush)
{
	struct log_fold_group g;

	while (v->fold != NULL && log_fold_next(v->fold, now_ms, flush, &g)) {
		if (g.n_lines > 1 || v->request->style.form == LOG_JSON)
			show_many(v, &g);
		else
			show_line(v, &g.first.line);
	}
}

static bool write_out(struct pm_buf *buf, FILE *to)
{
	bool ok = buf->len == 0 ||
	          (fwrite(buf->bytes, 1, buf->len, to) == buf->len && fflush(to) == 0);

	pm_buf_reset(buf);
	return ok;
}

/* Show what is due.  False: nobody reads it any more. */
static bool show(struct viewer *v, bool flush)
{
	struct log_merge_line line;
	uint64_t now = pm_now_ms();

	while (log_merge_next(v->merge, now, flush, &line)) {
		pass_line(v, &line, now);
		show_groups(v, now, false);
		if (v->out.len > 65536 && !write_out(&v->out, stdout))
			return false;
	}
	show_groups(v, now, flush);
	if (v->out.failed || v->err_out.failed) {
		(void)pm_fail(&v->err, PM_NO_MEMORY, "show the logs");
		v->failed = true;
	}
	return write_out(&v->err_out, stderr) && write_out(&v->out, stdout);
}

/* ---- the whole ---- */

/* The coordinator went away: until it is back.  1: it is; 0: the user does not wait; -1 */
static int reach_again(struct viewer *v, int fd, struct pm_error *err)
{
	uint32_t pause_ms = RETRY_LEAST_MS;

	if (!v->request->query.follow)
		return -1;
	say_warn(v->ctx, "%s; trying to reach the coordinator again", err->what);
	for (;;) {
		struct pollfd stop = { .fd = fd, .events = POLLIN };

		if (!show(v, true) || poll(&stop, 1, (int)pause_ms) > 0)
			return 0;
		if (fleet_reconnect(v->ctx, v->f, err) == 0)
			return 1;
		if (err->code != PM_UNREACHABLE && err->code != PM_DEADLINE)
			return -1;
		pause_ms = PM_MIN(pause_ms * 2, (uint32_t)RETRY_MOST_MS);
	}
}

/* 1: go on; 0: the end; -1 */
static int wait_for_more(struct viewer *v, int fd, uint64_t next_ms, struct pm_error *err)
{
	uint64_t now = pm_now_ms(), due = PM_MIN(next_ms, log_merge_due_ms(v->merge));
	struct fleet_wait wait = { .stop_fd = fd };
	enum fleet_waited waited = FLEET_DONE;
	int rc;

	if (v->fold != NULL)
		due = PM_MIN(due, log_fold_due_ms(v->fold));
	if (due <= now)
		due = now + 1;
	wait.timeout_ms = due - now > 60000 ? 60000 : (uint32_t)(due - now);
	rc = fleet_client_wait(v->f->client, &wait, &waited, err);
	if (rc < 0) {
		rc = reach_again(v, fd, err);
		if (rc <= 0)
			return rc;
		for (size_t i = 0; i < v->n; i++)
			v->hosts[i].retry_at_ms = 0;
	}
	return waited != FLEET_STOPPED;
}

static int run(struct viewer *v, int fd, struct pm_error *err)
{
	for (;;) {
		uint64_t next_ms = open_streams(v);
		int rc;

		if (v->failed) {
			*err = v->err;
			return -1;
		}
		if (all_over(v))
			return show(v, true) ? fleet_exit_status(v->f) : 0;
		rc = wait_for_more(v, fd, next_ms, err);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			(void)show(v, true); /* main looks at errors */
			return interrupt_came() ? 130 : 0;
		}
		if (!show(v, false))
			return 0;
	}
}

static void viewer_finish(struct viewer *v)
{
	for (size_t i = 0; i < v->n; i++) {
		fleet_stream_close(v->hosts[i].stream);
		log_places_finish(&v->hosts[i].places);
	}
	free(v->hosts);
	log_merge_destroy(v->merge);
	log_fold_destroy(v->fold);
	pm_buf_finish(&v->out);
	pm_buf_finish(&v->err_out);
}

/* Many hosts at once fill a screen for nobody: whoever wants that says so (F-36). */
static int check_sources(struct viewer *v, struct pm_error *err)
{
	char line[16];
	int64_t most;

	if (args_number(v->ctx->args, "max-sources", 1, PM_OPERATOR_STREAMS_MAX, PM_LOG_SOURCES_MAX,
	                &most, err) < 0)
		return -1;
	if (v->n <= (size_t)most)
		return 0;
	if (v->n <= PM_OPERATOR_STREAMS_MAX && !args_has(v->ctx->args, "max-sources") &&
	    isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1) {
		(void)fprintf(stderr, "logs of %zu hosts at once? [y/N] ", v->n);
		(void)fflush(stderr);
		if (fleet_read_line(v->f, line, sizeof(line)) &&
		    (strcmp(line, "y") == 0 || strcmp(line, "yes") == 0))
			return 0;
		return pm_fail(err, PM_DENIED, "logs: nothing was shown");
	}
	pm_fail(err, PM_USAGE, "logs: %zu hosts at once are more than %u", v->n, (unsigned)most);
	pm_hint(err, "choose fewer, with --limit or --pick, or raise --max-sources, up to %u",
	        PM_OPERATOR_STREAMS_MAX);
	return -1;
}

/* How much of the past there will be (F-36). */
static void announce(struct viewer *v)
{
	const Pm__LogQuery *q = &v->request->query;
	PM_BUF names = { 0 };

	v->lines = q->lines;
	if (q->since_wall_ms == 0)
		v->lines = PM_MIN(q->lines, PM_MAX(HISTORY_TOTAL / (uint32_t)v->n, 1u));
	fleet_fold_nodes(v->f, &names);
	if (v->request->style.form == LOG_JSON || names.failed)
		return;
	if (q->since_wall_ms != 0)
		say_plain_error(v->ctx, "logs of %zu hosts: %s", v->n, names.bytes);
	else
		say_plain_error(v->ctx,
		                "logs of %zu hosts: %s; the last %u lines of each file, some %u in "
		                "all at most",
		                v->n, names.bytes, v->lines, HISTORY_TOTAL);
}

static int create(struct viewer *v, struct pm_error *err)
{
	const char *order = args_get(v->ctx->args, "order");
	uint32_t window_ms = WINDOW_MS;

	if (order != NULL && strcmp(order, "arrival") == 0)
		window_ms = 0;
	else if (order != NULL && strcmp(order, "time") != 0)
		return pm_fail(err, PM_USAGE, "--order: expected time or arrival, found '%s'",
		               order);
	v->hosts = pm_calloc(v->f->n_nodes + 1, sizeof(*v->hosts));
	if (v->hosts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "show the logs");
	v->n = v->f->n_nodes;
	for (size_t i = 0; i < v->n; i++) {
		v->hosts[i] = (struct host_log){ .v = v,
			                         .node = v->f->nodes[i],
			                         .number = (unsigned)i,
			                         .pause_ms = RETRY_LEAST_MS };
		v->host_width = PM_MAX(v->host_width, text_width(v->f->nodes[i]->name));
	}
	v->host_width = PM_MIN(v->host_width, (unsigned)NAME_WIDTH_MAX);
	/* The past comes as fast as it is found: there the times of the lines decide, and the end.
	 */
	if (args_has(v->ctx->args, "fold") &&
	    log_fold_create(WINDOW_MS, v->request->query.follow, PM_LOG_FOLD_MAX, v->n, &v->fold,
	                    err) < 0)
		return -1;
	return log_merge_create(window_ms, PM_LOG_MERGE_MAX, &v->merge, err);
}

int fleet_logs(struct ctx *ctx, struct logs_request *request, struct pm_error *err)
{
	PM_CLEANUP(viewer_finish)
	struct viewer v = { .ctx = ctx, .f = ctx->fleet, .request = request };
	PM_CLOSE int fd = -1;
	int status;

	if (create(&v, err) < 0 || check_sources(&v, err) < 0)
		return -1;
	fd = logs_watch_fd(err);
	if (fd < 0)
		return -1;
	announce(&v);
	status = run(&v, fd, err);
	if (v.n_lost_lines + v.n_lost_bytes > 0)
		say_warn(ctx, "%llu lines and %llu bytes were not delivered",
		         (unsigned long long)v.n_lost_lines, (unsigned long long)v.n_lost_bytes);
	return status;
}
