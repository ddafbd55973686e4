/* log_reader.c - one viewer of logs: the last lines of many, merged, and then what comes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture.h"
#include "agent/log_source.h"
#include "agent/log_tap.h"
#include "proto/facts.h"
#include "proto/limits.h"
#include "proto/units.h"

/* Bytes around a line's text in a message. */
#define LINE_OVERHEAD 48

enum phase {
	PHASE_LOCATE, /* looking backwards for where to begin, source by source */
	PHASE_HISTORY,
	PHASE_HISTORY_END,
	PHASE_FOLLOW,
	PHASE_DONE,
};

enum emit {
	EMIT_SENT,    /* progress, with or without a message */
	EMIT_AGAIN,   /* progress elsewhere: unpacking */
	EMIT_END,     /* nothing more within the limit */
	EMIT_BLOCKED, /* the receiver has no room */
};

/* A message in the making; one for all readers, used within one call. */
struct log_scratch {
	char bytes[LOG_READ_MAX];
	Pm__LogLine lines[LOG_BATCH_LINES];
	Pm__LogLine *line_at[LOG_BATCH_LINES];
};

struct log_reader {
	struct logs *logs;
	struct log_reader *next;
	struct log_reader_hooks hooks;
	struct log_filter filter;
	uint64_t n_lines;
	int64_t since_ms, until_ms;
	bool follow;
	Pm__LogPosition *const *resume; /* borrowed while it is opened */
	size_t n_resume;
	enum phase phase;
	struct log_source *sources; /* owned */
	struct log_search left; /* what may be looked through for those that have no share yet */
	unsigned n_unlocated;
	uv_idle_t idle;          /* runs while there is something to do */
	uv_fs_event_t agent_log; /* of the agent's own log, which others write */
	struct log_source *agent_src;
	unsigned open; /* handles the loop still holds */
	bool blocked, closed;
};

static void on_idle(uv_idle_t *idle);

void log_reader_wake(struct log_reader *r)
{
	if (!r->blocked && !r->closed && r->phase != PHASE_DONE)
		(void)uv_idle_start(&r->idle, on_idle); /* fails without a callback only */
}

/* ---- messages ---- */

static bool send_what(struct log_reader *r, Pm__StreamData *data)
{
	if (r->closed)
		return false;
	if (r->hooks.send(r->hooks.arg, data))
		return !r->closed;
	r->blocked = true;
	return false;
}

static bool announce(struct log_reader *r, struct log_source *src)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogSource source = PM__LOG_SOURCE__INIT;

	if (src->announced)
		return true;
	source.source = src->s.source;
	source.pm_id = src->s.pm_id;
	source.name = (char *)(uintptr_t)src->s.name; /* protobuf-c has no const */
	source.namespace_ = (char *)(uintptr_t)src->s.namespace_;
	source.path = (char *)(uintptr_t)src->s.path;
	source.err = src->s.err;
	source.agent = src->s.agent;
	source.merged = src->s.merged;
	source.resumed = src->resumed;
	source.boot_id.data = (uint8_t *)(uintptr_t)pm_facts_boot();
	source.boot_id.len = 16;
	data.what_case = PM__STREAM_DATA__WHAT_SOURCE;
	data.source = &source;
	src->announced = send_what(r, &data);
	return src->announced;
}

static bool send_lines(struct log_reader *r, struct log_scratch *x, size_t n, bool history_end)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;

	for (size_t i = 0; i < n; i++)
		x->line_at[i] = &x->lines[i];
	batch.n_lines = n;
	batch.lines = x->line_at;
	batch.history_end = history_end;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	return send_what(r, &data);
}

static bool send_gap(struct log_reader *r, struct log_source *src)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__Gap gap = PM__GAP__INIT;

	if (!announce(r, src))
		return false;
	gap.source = src->s.source;
	gap.bytes = src->gap;
	gap.lines = src->tap == NULL ? 0 : src->tap->lost_lines;
	gap.why = (char *)(uintptr_t)(src->tap != NULL ? "client too slow"
	                              : src->resumed && src->gap == 0
	                                      ? "rotated away while nobody read"
	                                      : "client too slow, and rotated away");
	data.what_case = PM__STREAM_DATA__WHAT_GAP;
	data.gap = &gap;
	if (!send_what(r, &data))
		return false;
	src->gap = 0;
	src->lost = false;
	if (src->tap != NULL)
		src->tap->lost_lines = 0;
	return true;
}

/* That the beginning was looked for only so far (F-38). */
static bool send_bound(struct log_reader *r, struct log_source *src)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__Gap gap = PM__GAP__INIT;
	char size[PM_BYTES_TEXT], why[160];

	if (!announce(r, src))
		return false;
	pm_bytes_text(src->done.bytes, size);
	(void)snprintf(why, sizeof(why),
	               "%s of text and %u rotated files were looked through, which is the limit "
	               "of one request",
	               size, src->done.files);
	gap.source = src->s.source;
	gap.why = why;
	gap.bound = true;
	data.what_case = PM__STREAM_DATA__WHAT_GAP;
	data.gap = &gap;
	if (!send_what(r, &data))
		return false;
	src->bounded = false;
	return true;
}

/* ---- lines ---- */

/* What is at hand, and the state while it is cut into lines; taken over once it was sent. */
struct cut {
	const char *bytes;
	size_t len, pos;
	bool at_end, final; /* the bytes end there; what is unfinished goes out too */
	bool final_goes_on; /* ... as the beginning of a line */
	uint64_t stop;      /* no line that begins here or later; relative to bytes */
	uint64_t skip;
	bool mid_line, mid_taken;
	size_t n_lines, n_text;
};

/* The next line or part of one: its length, and in *used with its newline; false: none yet. */
static bool next_piece(const struct cut *c, size_t *len, size_t *used, bool *partial)
{
	const char *start = c->bytes + c->pos;
	size_t rest = c->len - c->pos;
	const char *newline = memchr(start, '\n', rest);

	*len = newline == NULL ? rest : (size_t)(newline - start);
	*used = *len + (newline != NULL);
	*partial = false;
	if (*len > LOG_PIECE_MAX) {
		*len = *used = LOG_PIECE_MAX;
		*partial = true;
		return true;
	}
	if (newline != NULL)
		return true;
	*partial = c->final_goes_on;
	return c->at_end && c->final;
}

static void put_line(struct log_source *src, struct log_scratch *x, struct cut *c, size_t len,
                     bool partial)
{
	Pm__LogLine *line = &x->lines[c->n_lines++];
	uint64_t offset = src->offset + c->pos;
	bool live = !src->in_history;

	pm__log_line__init(line);
	line->source = src->s.source;
	line->text.data = (uint8_t *)(uintptr_t)(c->bytes + c->pos);
	line->text.len = len;
	line->wall_ms = live ? pm_wall_ms() : log_source_time_of(src, offset);
	line->live = live;
	line->partial = partial;
	line->offset = offset;
	line->file = log_source_file(src);
	line->monotonic_ms = live ? pm_now_ms() : 0;
	c->n_text += len + LINE_OVERHEAD;
}

static void cut_lines(struct log_reader *r, struct log_source *src, struct log_scratch *x,
                      struct cut *c)
{
	size_t len, used;
	bool partial, taken;

	while (c->pos < c->len && c->pos < c->stop && c->n_lines < LOG_BATCH_LINES &&
	       next_piece(c, &len, &used, &partial)) {
		if (c->n_lines > 0 && c->n_text + len + LINE_OVERHEAD > LOG_PIECE_MAX)
			break;
		taken = c->mid_line ? c->mid_taken
		                    : log_filter_takes(&r->filter, c->bytes + c->pos, len);
		if (taken && !c->mid_line && c->skip > 0) {
			c->skip--;
			taken = false;
		}
		if (taken)
			put_line(src, x, c, len, partial);
		c->pos += used;
		c->mid_line = partial;
		c->mid_taken = taken;
	}
}

/* Send what cut_lines() made and take its state over. */
static enum emit hand_on(struct log_reader *r, struct log_source *src, struct log_scratch *x,
                         const struct cut *c)
{
	if (c->pos == 0)
		return EMIT_END;
	if (c->n_lines > 0 && (!announce(r, src) || !send_lines(r, x, c->n_lines, false)))
		return EMIT_BLOCKED;
	src->offset += c->pos;
	src->skip = c->skip;
	src->mid_line = c->mid_line;
	src->mid_taken = c->mid_taken;
	return EMIT_SENT;
}

/*
 * One message from a source's file.
 *
 * stop    no line that begins at that offset or later
 * final   an unfinished line at the end goes out too
 */
static enum emit emit(struct log_reader *r, struct log_source *src, uint64_t stop, bool final,
                      bool goes_on)
{
	struct log_scratch *x = r->logs->scratch;
	struct log_input *in = log_source_input(src);
	uint64_t limit = log_source_limit(src);
	struct cut c = { .final = final,
		         .final_goes_on = goes_on,
		         .skip = src->skip,
		         .mid_line = src->mid_line,
		         .mid_taken = src->mid_taken };
	ssize_t n;

	if (in == NULL || src->offset >= limit)
		return EMIT_END;
	n = log_input_at(in, src->offset, x->bytes, &c.bytes);
	if (n < 0)
		return errno == EAGAIN ? EMIT_AGAIN : EMIT_END;
	c.len = (size_t)PM_MIN((uint64_t)n, limit - src->offset);
	c.at_end = c.len < LOG_READ_MAX;
	c.stop = stop > src->offset ? stop - src->offset : 1;
	cut_lines(r, src, x, &c);
	return hand_on(r, src, x, &c);
}

static enum emit emit_tap(struct log_reader *r, struct log_source *src)
{
	struct pm_buf *buf = &src->tap->buf;
	struct cut c = { .bytes = buf->bytes,
		         .len = buf->len,
		         .stop = UINT64_MAX,
		         .mid_line = src->mid_line,
		         .mid_taken = src->mid_taken };
	enum emit e;

	cut_lines(r, src, r->logs->scratch, &c);
	e = hand_on(r, src, r->logs->scratch, &c);
	if (e == EMIT_SENT)
		pm_buf_drop(buf, c.pos);
	if (e != EMIT_END)
		return e;
	pm_buf_finish(buf); /* whole lines come: it is empty */
	return src->lost && !send_gap(r, src) ? EMIT_BLOCKED : EMIT_END;
}

/* ---- the turns of a reader ---- */

/* Each source has the same share of what may be looked through; what one leaves is for the rest. */
static void take_share(struct log_reader *r, struct log_source *src)
{
	src->left.bytes = PM_MAX(r->left.bytes / r->n_unlocated, (uint64_t)LOG_READ_MAX);
	src->left.files = PM_MAX(r->left.files / r->n_unlocated, 1u);
	src->has_share = true;
}

static void give_back(struct log_reader *r, const struct log_source *src)
{
	r->left.bytes -= PM_MIN(r->left.bytes, src->done.bytes);
	r->left.files -= PM_MIN(r->left.files, src->done.files);
	r->n_unlocated--;
}

static enum emit locate(struct log_reader *r)
{
	for (struct log_source *src = r->sources; src != NULL; src = src->next) {
		if (!src->in_history || src->located)
			continue;
		if (!src->has_share)
			take_share(r, src);
		if (log_source_locate(src, &r->filter, r->logs->scratch->bytes) == LOCATE_DONE)
			give_back(r, src);
		return EMIT_AGAIN;
	}
	r->phase = PHASE_HISTORY;
	return EMIT_AGAIN;
}

/* Tell, before any line, which logs were looked through only in part. */
static bool tell_bounds(struct log_reader *r)
{
	for (struct log_source *src = r->sources; src != NULL; src = src->next)
		if (src->bounded && !send_bound(r, src))
			return false;
	return true;
}

/* The source whose next line is the oldest, and the time of the one after it. */
static struct log_source *oldest(struct log_reader *r, int64_t *second)
{
	struct log_source *best = NULL;
	int64_t best_time = INT64_MAX;

	*second = INT64_MAX;
	for (struct log_source *src = r->sources; src != NULL; src = src->next) {
		int64_t t;

		if (!src->in_history)
			continue;
		t = log_source_time(src);
		if (best == NULL || t < best_time) {
			*second = best_time;
			best = src;
			best_time = t;
		} else {
			*second = PM_MIN(*second, t);
		}
	}
	return best;
}

static enum emit history(struct log_reader *r)
{
	int64_t second;
	struct log_source *src = oldest(r, &second);
	uint64_t stop = UINT64_MAX;
	enum emit e;

	if (!tell_bounds(r))
		return EMIT_BLOCKED;
	if (src == NULL) {
		r->phase = PHASE_HISTORY_END;
		return EMIT_AGAIN;
	}
	if (second != INT64_MAX)
		stop = logindex_since(&src->index, second + 1);
	e = emit(r, src, stop, true, r->follow && src->file == src->n_files);
	if (e != EMIT_END)
		return e;
	(void)log_source_next_file(src); /* the seam is seen by in_history */
	return EMIT_AGAIN;
}

static enum emit follow_one(struct log_reader *r, struct log_source *src)
{
	enum emit e;
	bool over;

	if (src->tap != NULL)
		return emit_tap(r, src);
	if (src->lost && !send_gap(r, src))
		return EMIT_BLOCKED;
	log_source_check_truncated(src);
	over = log_source_is_over(src);
	e = emit(r, src, UINT64_MAX, over, false);
	if (e != EMIT_END)
		return e;
	return over && log_source_follow(src) ? EMIT_AGAIN : EMIT_END;
}

/* Each source that has something gets one message, then the next. */
static enum emit follow(struct log_reader *r)
{
	enum emit best = EMIT_END, e;

	for (struct log_source *src = r->sources; src != NULL; src = src->next) {
		if (!src->dirty)
			continue;
		e = follow_one(r, src);
		if (e == EMIT_BLOCKED || r->closed)
			return EMIT_BLOCKED;
		if (e == EMIT_END)
			src->dirty = false;
		else
			best = e;
	}
	return best;
}

static void finish(struct log_reader *r)
{
	r->phase = PHASE_DONE;
	if (r->hooks.end != NULL)
		r->hooks.end(r->hooks.arg, NULL);
}

static enum emit take_turn(struct log_reader *r)
{
	switch (r->phase) {
	case PHASE_LOCATE:
		return locate(r);
	case PHASE_HISTORY:
		return history(r);
	case PHASE_HISTORY_END:
		if (!send_lines(r, r->logs->scratch, 0, true))
			return EMIT_BLOCKED;
		r->phase = PHASE_FOLLOW;
		return EMIT_AGAIN;
	case PHASE_FOLLOW:
		if (r->follow)
			return follow(r);
		finish(r);
		return EMIT_END;
	case PHASE_DONE:
		break;
	}
	return EMIT_END;
}

static void on_idle(uv_idle_t *idle)
{
	struct log_reader *r = idle->data;
	enum emit e = take_turn(r);

	if (!r->closed && (e == EMIT_END || e == EMIT_BLOCKED))
		(void)uv_idle_stop(&r->idle); /* always 0 */
}

void log_reader_go(struct log_reader *r)
{
	r->blocked = false;
	log_reader_wake(r);
}

/* ---- life ---- */

static void on_changed(struct log_watch *w)
{
	struct log_source *src =
		(struct log_source *)(void *)((char *)w - offsetof(struct log_source, watch));

	src->dirty = true;
	if (src->reader->phase == PHASE_FOLLOW)
		log_reader_wake(src->reader);
}

static void on_agent_log(uv_fs_event_t *handle, const char *name, int events, int status)
{
	struct log_reader *r = handle->data;

	(void)name;
	(void)status;
	if (events & UV_RENAME) { /* it watches the file, not the name */
		(void)uv_fs_event_stop(&r->agent_log);
		(void)uv_fs_event_start(&r->agent_log, on_agent_log, r->agent_src->s.path,
		                        0); /* else it is followed no further */
	}
	on_changed(&r->agent_src->watch);
}

static void free_reader(struct log_reader *r)
{
	struct log_source *src;

	while ((src = r->sources) != NULL) {
		r->sources = src->next;
		log_source_finish(src);
		free(src);
	}
	log_filter_finish(&r->filter);
	logs_unref(r->logs);
	free(r);
}

static void on_closed(uv_handle_t *handle)
{
	struct log_reader *r = handle->data;

	if (--r->open == 0)
		free_reader(r);
}

void log_reader_close(struct log_reader *r)
{
	struct logs *l = r->logs;
	struct log_reader **at;

	r->closed = true;
	for (at = &l->readers; *at != r; at = &(*at)->next)
		;
	*at = r->next;
	for (struct log_source *src = r->sources; src != NULL; src = src->next) {
		log_tap_close(l, src);
		if (src->watch.file != NULL)
			logfile_unwatch(&src->watch);
	}
	if (r->open > 1)
		uv_close((uv_handle_t *)&r->agent_log, on_closed);
	uv_close((uv_handle_t *)&r->idle, on_closed);
}

static bool is_known(const struct log_reader *r, const struct log_reader_source *s)
{
	const bool null = strcmp(s->path, "/dev/null") == 0;

	for (const struct log_source *src = r->sources; src != NULL; src = src->next)
		if (strcmp(src->s.path, s->path) == 0 &&
		    (!null || (src->s.pm_id == s->pm_id && src->s.err == s->err)))
			return true;
	return false;
}

/* The sources keep their order. */
static void append(struct log_reader *r, struct log_source *src)
{
	struct log_source **at;

	for (at = &r->sources; *at != NULL; at = &(*at)->next)
		;
	*at = src;
}

static int add_source(struct log_reader *r, const struct log_reader_source *s, bool history_too,
                      struct pm_error *err)
{
	struct log_source *src;

	if (is_known(r, s))
		return 0;
	src = pm_calloc(1, sizeof(*src));
	if (src == NULL)
		return pm_fail(err, PM_NO_MEMORY, "log source");
	src->reader = r;
	src->watch.changed = on_changed;
	src->dirty = true;
	append(r, src);
	if (log_source_open(r->logs, src, s, err) < 0)
		return -1; /* freed with the reader */
	if (src->watch.file == NULL)
		return r->follow ? log_tap_open(r->logs, src, err) : 0;
	if (history_too && log_source_resume(src, r->resume, r->n_resume)) {
		r->n_unlocated += !src->located;
		return 0;
	}
	if (history_too && (r->n_lines > 0 || r->since_ms != 0 || r->until_ms != 0))
		log_source_want(src, r->n_lines, r->since_ms, r->until_ms);
	r->n_unlocated += src->in_history && !src->located;
	if (s->agent && r->follow && r->agent_src == NULL &&
	    uv_fs_event_init(r->logs->loop, &r->agent_log) == 0) {
		r->agent_src = src;
		r->agent_log.data = r;
		r->open++;
		(void)uv_fs_event_start(&r->agent_log, on_agent_log, src->s.path,
		                        0); /* out of watches: it stands still */
	}
	return 0;
}

int log_reader_open(struct logs *l, const Pm__LogQuery *query,
                    const struct log_reader_source *sources, size_t n_sources,
                    const struct log_reader_hooks *hooks, struct log_reader **out,
                    struct pm_error *err)
{
	struct log_reader *r = pm_calloc(1, sizeof(*r));
	int rc;

	if (r != NULL && l->scratch == NULL)
		l->scratch = pm_calloc(1, sizeof(*l->scratch));
	if (r == NULL || l->scratch == NULL) {
		free(r);
		return pm_fail(err, PM_NO_MEMORY, "log reader");
	}
	r->logs = logs_ref(l);
	r->hooks = *hooks;
	r->left = (struct log_search){ PM_LOG_SEARCH_BYTES, PM_LOG_SEARCH_FILES };
	r->n_lines = query->lines;
	r->since_ms = query->since_wall_ms;
	r->until_ms = query->until_wall_ms;
	r->follow = query->follow && query->until_wall_ms == 0;
	r->resume = query->resume;
	r->n_resume = query->n_resume;
	r->idle.data = r;
	rc = log_filter_init(&r->filter, query->grep, query->grep_invert, err);
	if (rc < 0 || (rc = uv_idle_init(l->loop, &r->idle)) < 0) {
		free_reader(r);
		return rc == -1 ? -1 : pm_fail_errno(err, -rc, "log reader");
	}
	r->open = 1;
	r->next = l->readers;
	l->readers = r;
	for (size_t i = 0; i < n_sources; i++)
		if (add_source(r, &sources[i], true, err) < 0) {
			log_reader_close(r);
			return -1;
		}
	r->resume = NULL;
	r->n_resume = 0;
	log_reader_wake(r);
	*out = r;
	return 0;
}

int log_reader_add(struct log_reader *r, const struct log_reader_source *source,
                   struct pm_error *err)
{
	if (!r->follow)
		return 0;
	if (add_source(r, source, false, err) < 0)
		return -1;
	if (r->phase == PHASE_FOLLOW)
		log_reader_wake(r);
	return 0;
}
