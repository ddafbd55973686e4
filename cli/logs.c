#include "cli/logs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/log_places.h"
#include "cli/target.h"
#include "proto/sanitize.h"

#define NAME_WIDTH_MAX     32
#define RECONNECT_MS       30000
#define RECONNECT_SLICE_MS 500
#define RESUME_LINES       20000 /* asked for again after a reconnect; what is known is left out */

struct viewer {
	struct ctx *ctx;
	struct logs_request *request;
	struct log_places places; /* their tails: with headings, lines until all history is there */
	bool history_done;
	unsigned width;
	uint32_t resume_lines; /* 0: the first stream */
	struct pm_buf out, err_out;
};

int logs_watch_fd(struct pm_error *err)
{
	struct epoll_event ev = { .events = EPOLLIN };
	PM_CLOSE int fd = epoll_create1(EPOLL_CLOEXEC);
	int interrupt_fd;

	if (fd < 0)
		return pm_fail_errno(err, errno, "follow the logs");
	if (interrupt_begin(&interrupt_fd, err) < 0)
		return -1;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, interrupt_fd, &ev) < 0)
		return pm_fail_errno(err, errno, "follow the logs");
	ev.events = 0; /* EPOLLERR always comes: the other end of a pipe is closed */
	if (epoll_ctl(fd, EPOLL_CTL_ADD, STDOUT_FILENO, &ev) < 0 && errno != EPERM)
		return pm_fail_errno(err, errno, "follow the logs"); /* EPERM: a file */
	return PM_STEAL_FD(fd);
}

static int on_source(struct viewer *v, const Pm__LogSource *s, struct pm_error *err)
{
	struct log_place *place;

	if (log_places_announce(&v->places, s, v->resume_lines > 0, &place, err) < 0)
		return -1;
	v->width = PM_MAX(v->width, log_view_width(&place->view, v->ctx->as_pm2));
	v->width = PM_MIN(v->width, NAME_WIDTH_MAX);
	return 0;
}

/* ---- lines ---- */

/* PM2 shows the history file by file, each under its path; a file without lines, too. */
static void show_history(struct viewer *v)
{
	if (v->history_done)
		return;
	v->history_done = true;
	for (size_t i = 0; v->request->headings && i < v->places.n; i++) {
		struct log_place *source = &v->places.list[i];
		PM_BUF text = { 0 };

		pm_sanitize(source->view.path, strlen(source->view.path), PM_SANITIZE_ONE_LINE,
		            &text);
		pm_buf_printf(&text, " last %u lines:", v->request->query.lines);
		if (!text.failed)
			color_add(&v->out, v->request->style.color, COLOR_GREY, text.bytes);
		pm_buf_char(&v->out, '\n');
		pm_buf_add(&v->out, source->tail.bytes, source->tail.len);
		if (source->tail.len > 0)
			pm_buf_char(&v->out, '\n');
		pm_buf_finish(&source->tail);
	}
}

static void on_line(struct viewer *v, const Pm__LogLine *line)
{
	struct log_place *source = log_places_get(&v->places, line->source);
	struct pm_buf *to = &v->out;
	uint64_t missed;

	if (source == NULL || log_place_repeats(source, line, &missed))
		return;
	if (missed > 0)
		say_warn(v->ctx, "%s: %llu bytes were written meanwhile and are not shown",
		         source->view.path, (unsigned long long)missed);
	if (v->request->raw_stderr && source->view.err)
		to = &v->err_out;
	if (v->request->headings && !v->history_done && to == &v->out)
		to = &source->tail;
	log_view_line(&v->request->style, &source->view, line, v->width, to);
}

static void on_batch(struct viewer *v, const Pm__LogBatch *batch)
{
	for (size_t i = 0; i < batch->n_lines; i++)
		on_line(v, batch->lines[i]);
	if (batch->history_end)
		show_history(v);
}

void logs_say_bound(const struct ctx *ctx, const char *host, const struct log_source *source,
                    const Pm__Gap *gap)
{
	const char *name = source == NULL ? "logs" : source->agent ? "agent" : source->name;
	PM_BUF what = { 0 };

	if (host != NULL)
		pm_buf_printf(&what, "%s/", host);
	pm_sanitize(name, strlen(name), PM_SANITIZE_ONE_LINE, &what);
	pm_buf_printf(&what, "%s: there may be older lines, which were not looked for: ",
	              source != NULL && source->err ? " (stderr)" : "");
	pm_sanitize(gap->why, strlen(gap->why), PM_SANITIZE_ONE_LINE, &what);
	if (!what.failed)
		say_warn(ctx, "%s; --until, or fewer apps, reach further back", what.bytes);
}

static void on_gap(struct viewer *v, const Pm__Gap *gap)
{
	const struct log_place *source = log_places_get(&v->places, gap->source);
	PM_BUF why = { 0 };

	if (gap->bound) {
		logs_say_bound(v->ctx, NULL, source == NULL ? NULL : &source->view, gap);
		return;
	}
	pm_sanitize(gap->why, strlen(gap->why), PM_SANITIZE_ONE_LINE, &why);
	if (why.failed || v->request->style.form == LOG_JSON)
		return;
	say_warn(v->ctx, "%s: %llu lines (%llu bytes) are missing here: %s",
	         source == NULL ? "logs" : source->view.name, (unsigned long long)gap->lines,
	         (unsigned long long)gap->bytes, why.bytes == NULL ? "" : why.bytes);
}

static bool drain(struct pm_buf *buf, FILE *to)
{
	bool ok = fwrite(buf->bytes, 1, buf->len, to) == buf->len && fflush(to) == 0;

	pm_buf_reset(buf);
	return ok;
}

/* What was gathered goes out at once. False: nobody reads it. */
static bool flush(struct viewer *v)
{
	if (v->err_out.len > 0 && !drain(&v->err_out, stderr))
		return false;
	return v->out.len == 0 || drain(&v->out, stdout);
}

static int on_data(struct viewer *v, const Pm__StreamData *data, struct pm_error *err)
{
	switch (data->what_case) {
	case PM__STREAM_DATA__WHAT_SOURCE:
		return on_source(v, data->source, err);
	case PM__STREAM_DATA__WHAT_LINES:
		on_batch(v, data->lines);
		break;
	case PM__STREAM_DATA__WHAT_GAP:
		on_gap(v, data->gap);
		break;
	case PM__STREAM_DATA__WHAT_EVENT:
		if (v->request->style.form == LOG_JSON)
			log_view_event(data->event, &v->out);
		break;
	case PM__STREAM_DATA__WHAT__NOT_SET:
	case _PM__STREAM_DATA__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	return v->out.failed || v->err_out.failed ? pm_fail(err, PM_NO_MEMORY, "show the logs") : 0;
}

/* ---- the stream ---- */

enum ended {
	ENDED,
	ENDED_BY_USER,
	ENDED_LOST, /* the supervisor went away */
	ENDED_FAILED,
};

static enum ended read_stream(struct viewer *v, struct client_stream *stream, int fd,
                              struct pm_error *err)
{
	for (;;) {
		const Pm__StreamData *data;
		enum client_next what;

		if (client_stream_next(stream, fd, -1, &what, &data, err) < 0)
			return err->code == PM_UNREACHABLE && v->request->query.follow
			               ? ENDED_LOST
			               : ENDED_FAILED;
		switch (what) {
		case CLIENT_NEXT_DATA:
			if (on_data(v, data, err) < 0)
				return ENDED_FAILED;
			if (!flush(v))
				return ENDED_BY_USER;
			break;
		case CLIENT_NEXT_END:
			show_history(v);
			return flush(v) ? ENDED : ENDED_BY_USER;
		case CLIENT_NEXT_FD:
			return ENDED_BY_USER;
		case CLIENT_NEXT_TIMEOUT:
			break;
		}
	}
}

/* A stream for the part of the lines that is missing yet. */
static int open_stream(struct viewer *v, struct client_stream **stream, struct pm_error *err)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery query = v->request->query;

	if (v->resume_lines > 0)
		query.lines = v->resume_lines;
	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &query;
	return client_stream_open(v->ctx->client, &open, stream, err);
}

/* In slices, so that a Ctrl-C ends the wait for an agent that does not come back. */
static int reconnect(struct viewer *v, struct pm_error *err)
{
	uint64_t deadline = pm_now_ms() + RECONNECT_MS;

	while (!interrupt_came() && client_reconnect(v->ctx->client, RECONNECT_SLICE_MS, err) < 0)
		if (pm_now_ms() >= deadline ||
		    (err->code != PM_NOT_RUNNING && err->code != PM_UNREACHABLE &&
		     err->code != PM_DEADLINE))
			return -1;
	return 0;
}

static int follow(struct viewer *v, int fd, struct pm_error *err)
{
	for (;;) {
		struct client_stream *stream = NULL;
		enum ended ended;

		if (open_stream(v, &stream, err) < 0)
			return -1;
		ended = read_stream(v, stream, fd, err);
		client_stream_close(stream);
		if (ended == ENDED_FAILED)
			return -1;
		if (ended == ENDED)
			return 0;
		if (ended == ENDED_BY_USER)
			return interrupt_came() ? 130 : 0;
		v->resume_lines = RESUME_LINES;
		if (reconnect(v, err) < 0)
			return pm_wrap(err, "logs");
		if (interrupt_came())
			return 130;
		if (v->ctx->tty_out && v->request->style.form != LOG_JSON)
			say_warn(v->ctx, "the agent's supervisor was replaced; going on");
	}
}

static void viewer_finish(struct viewer *v)
{
	log_places_finish(&v->places);
	pm_buf_finish(&v->out);
	pm_buf_finish(&v->err_out);
}

int logs_show(struct ctx *ctx, struct logs_request *request, struct pm_error *err)
{
	PM_CLEANUP(viewer_finish) struct viewer v = { .ctx = ctx, .request = request };
	PM_CLOSE int fd = -1;

	if (request->query.follow) {
		fd = logs_watch_fd(err);
		if (fd < 0)
			return -1;
	}
	return follow(&v, fd, err);
}

int logs_follow(struct ctx *ctx, const uint32_t *ids, size_t n, struct pm_error *err)
{
	struct logs_request request = {
		.query = PM__LOG_QUERY__INIT,
		.style = { .color = ctx->color_out, .as_pm2 = ctx->as_pm2, .clean = ctx->tty_out },
	};
	struct target_list list = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = target_list_add_id(&list, ids[i], err);
	request.query.targets = list.targets;
	request.query.n_targets = list.n;
	request.query.follow = true;
	if (rc == 0 && list.n > 0)
		rc = logs_show(ctx, &request, err);
	target_list_finish(&list);
	return rc;
}

int logs_tail(struct ctx *ctx, uint32_t pm_id, uint32_t lines, const char *indent,
              struct pm_buf *out, struct pm_error *err)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery query = PM__LOG_QUERY__INIT;
	struct target_list list = { 0 };
	struct client_stream *stream = NULL;
	enum client_next what = CLIENT_NEXT_DATA;
	const Pm__StreamData *data;
	int rc = target_list_add_id(&list, pm_id, err);

	query.targets = list.targets;
	query.n_targets = list.n;
	query.lines = lines;
	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &query;
	if (rc == 0)
		rc = client_stream_open(ctx->client, &open, &stream, err);
	while (rc == 0 && what == CLIENT_NEXT_DATA) {
		rc = client_stream_next(stream, -1, 10000, &what, &data, err);
		if (rc < 0 || what != CLIENT_NEXT_DATA ||
		    data->what_case != PM__STREAM_DATA__WHAT_LINES)
			continue;
		for (size_t i = 0; i < data->lines->n_lines; i++) {
			const Pm__LogLine *line = data->lines->lines[i];

			pm_buf_str(out, indent);
			pm_sanitize((const char *)line->text.data, line->text.len,
			            ctx->color_out ? PM_SANITIZE_COLOURS : 0, out);
			pm_buf_char(out, '\n');
		}
	}
	client_stream_close(stream);
	target_list_finish(&list);
	return rc;
}
