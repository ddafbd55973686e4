/* capture.c - the life of a stream: from attach to the last writer's going, one turn at a time. */
#include "agent/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/log.h"

_Static_assert(sizeof(struct capture_words) <= sizeof(struct capture_state),
               "the words fit the shared state");

/* After a splice of at least this much it is worth asking for more at once. */
#define BUSY_BYTES 32768
/* What a pipe that was found full is enlarged to: fewer wake-ups. */
#define BIG_PIPE (1 << 20)
/* A stream that waits for memory looks again after this long. */
#define MEMORY_RETRY_MS 1000

enum turn {
	TURN_EMPTY, /* the pipe has nothing more at the moment */
	TURN_OVER,  /* more next turn */
	TURN_EOF,
	TURN_WAIT,
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void set_polling(struct log_stream *s, bool on)
{
	if (s->polling == on || s->finished)
		return;
	s->polling = on;
	if (on)
		(void)uv_poll_start(&s->poll, UV_READABLE, on_poll); /* cannot fail once made */
	else
		(void)uv_poll_stop(&s->poll);
}

static void account(struct log_stream *s, ssize_t n)
{
	s->counts.bytes_in += (uint64_t)n;
	if (n < 65536 || s->big_pipe)
		return;
	/* It was full.  The kernel may refuse a user at his limit: as it was, then. */
	(void)fcntl(s->pipe_fd, F_SETPIPE_SZ, BIG_PIPE);
	s->big_pipe = true;
}

/* ---- direct ---- */

static bool may_go_direct(struct log_stream *s)
{
	struct logfile *f = s->dests[0].file;

	if (s->n_dests != 1 || s->json || s->date_format != NULL || s->tapped ||
	    logfile_is_shared(f) || (s->words->line & LINE_SKIP) || !stage_is_empty(s))
		return false;
	if (logfile_ready(f) != 0 || !logfile_can_splice(f))
		return false;
	if (!logfile_is_over(f, 0))
		return true;
	if (!logfile_at_line_start(f))
		return false; /* staged until the line ends */
	logfile_rotate(f);
	return logfile_ready(f) == 0;
}

/* As stage_fill(); -1 with EINVAL: the stage has to be used. */
static ssize_t take_direct(struct log_stream *s, size_t max)
{
	struct logfile *f = s->dests[0].file;
	uint64_t from = logfile_end(f);
	ssize_t n;

	n = logfile_splice(f, s->pipe_fd, (size_t)PM_MIN(max, logfile_room(f)));
	if (n > 0) {
		s->direct = true;
		logfile_committed(f, from);
	}
	if (n >= 0 || errno == EAGAIN || errno == EINVAL)
		return n;
	if (logfile_must_wait(f)) {
		errno = ENOSPC;
		return -1;
	}
	stage_cut_line(s, f);
	errno = EINVAL;
	return -1;
}

/* ---- staged ---- */

/* What went around the stage may have ended within a line. */
static void leave_direct(struct log_stream *s)
{
	if (!s->direct)
		return;
	s->direct = false;
	if (!(s->words->line & LINE_SKIP))
		s->words->line = logfile_at_line_start(s->dests[0].file) ? 0 : LINE_MID;
}

static ssize_t take_staged(struct log_stream *s, size_t max, bool *wait)
{
	ssize_t n;

	if (stage_open(s) < 0) {
		errno = ENOSPC;
		return -1;
	}
	leave_direct(s);
	n = stage_fill(s, max);
	if (n > 0)
		*wait = stage_drain(s, false) == STEP_WAIT;
	return n;
}

/* One turn: at most PM_CAPTURE_TURN_MAX bytes. */
static enum turn take_turn(struct log_stream *s)
{
	size_t left = PM_CAPTURE_TURN_MAX;
	bool wait = false;
	ssize_t n;

	if (!stage_is_empty(s) && stage_drain(s, false) == STEP_WAIT)
		return TURN_WAIT;
	while (left > 0) {
		n = -1;
		errno = EINVAL;
		if (may_go_direct(s))
			n = take_direct(s, left);
		if (n < 0 && errno == EINVAL)
			n = take_staged(s, left, &wait);
		if (n == 0)
			return TURN_EOF;
		if (n < 0)
			return errno == EAGAIN ? TURN_EMPTY : TURN_WAIT;
		account(s, n);
		if (wait)
			return TURN_WAIT;
		left -= PM_MIN(left, (size_t)n);
		if (n < BUSY_BYTES && stage_is_empty(s) && !s->detached)
			return TURN_EMPTY; /* most likely: saves asking */
	}
	return TURN_OVER;
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
	struct log_stream *s = handle->data;

	(void)close(s->pipe_fd);
	free(s->app_name);
	free(s->date_format);
	free(s);
}

/* Let go of everything; the memory goes with the handle. */
static void release(struct log_stream *s)
{
	struct log_stream **at;

	set_polling(s, false);
	s->finished = true;
	for (at = &s->logs->streams; *at != s; at = &(*at)->next)
		;
	*at = s->next;
	for (unsigned i = 0; i < s->n_dests; i++)
		if (s->dests[i].file != NULL)
			logfile_leave(&s->dests[i]);
	stage_close(s);
	s->words = NULL;
	uv_close((uv_handle_t *)&s->poll, on_closed);
}

static void finish(struct log_stream *s)
{
	void (*done)(void *arg) = s->done;
	void *arg = s->done_arg;

	release(s);
	if (done != NULL)
		done(arg);
}

/* Take what there is and see what that means for the stream; may free it. */
static void go_on(struct log_stream *s)
{
	enum turn turn = s->eof ? TURN_EOF : take_turn(s);

	s->eof = turn == TURN_EOF;
	if (turn == TURN_EOF || (turn == TURN_EMPTY && s->detached))
		if (stage_drain(s, true) == STEP_WAIT)
			turn = TURN_WAIT;
	s->blocked = turn == TURN_WAIT;
	if (s->blocked)
		logs_wake_at(s->logs, uv_now(s->logs->loop) + MEMORY_RETRY_MS);
	set_polling(s, !s->eof && !s->blocked);
	if (s->eof && s->detached && !s->blocked)
		finish(s);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	(void)events;
	(void)status; /* an error shows in the splice */
	go_on(handle->data);
}

void streams_look_for_taps(struct logs *l)
{
	for (struct log_stream *s = l->streams; s != NULL; s = s->next)
		s->tapped = logfile_is_null(s->dests[0].file) && log_taps_want(l, s->pm_id, s->err);
}

static bool must_wait(const struct log_stream *s)
{
	for (unsigned i = 0; i < s->n_dests; i++)
		if (logfile_must_wait(s->dests[i].file))
			return true;
	return false;
}

void streams_tick(struct logs *l, uint64_t now_ms)
{
	struct log_stream *s, *next;

	for (s = l->streams; s != NULL; s = next) {
		next = s->next;
		if (s->stage != NULL)
			stage_tick(s, now_ms);
		if (s->kick || (s->blocked && !must_wait(s))) {
			s->kick = false;
			go_on(s);
		} else if (s->blocked) {
			logs_wake_at(l, now_ms + MEMORY_RETRY_MS);
		}
	}
}

static struct logfile_policy policy_of(const struct log_stream_config *c)
{
	const Pm__AppSpec *spec = c->spec;

	return (struct logfile_policy){
		.max_size = spec->log_max_size,
		.rotate_every_ms = spec->log_rotate_every_ms,
		.total_cap = spec->log_total_cap,
		.keep = spec->log_keep,
		.compress = spec->log_compress,
		.block = spec->log_on_full == PM__ON_FULL__ON_FULL_BLOCK,
		.json = spec->log_type == PM__LOG_TYPE__LOG_TYPE_JSON,
		.uid = c->uid,
		.gid = c->gid,
	};
}

static int join_files(struct log_stream *s, const struct log_stream_config *c, struct pm_error *err)
{
	const char *paths[LOG_DESTS_MAX] = { c->path, c->combined_path };
	const struct logfile_policy policy = policy_of(c);

	for (unsigned i = 0; i < LOG_DESTS_MAX; i++) {
		struct log_dest *d = &s->dests[s->n_dests];

		if (paths[i] == NULL || (i > 0 && strcmp(paths[i], c->path) == 0))
			continue;
		d->file = logfile_ref(s->logs, paths[i]);
		if (d->file == NULL)
			return pm_fail(err, PM_NO_MEMORY, "log file %s", paths[i]);
		d->drops = &s->words->drops[s->n_dests];
		d->owner = s;
		logfile_join(d, &policy);
		s->n_dests++;
		(void)logfile_ready(d->file); /* it exists from the start; trouble shows itself */
		for (struct log_dest *other = d->next; other != NULL; other = other->next)
			leave_direct(other->owner); /* before we write to it */
	}
	s->first_ino = logfile_ino(s->dests[0].file);
	s->first_offset = logfile_end(s->dests[0].file);
	return 0;
}

static int copy_style(struct log_stream *s, const struct log_stream_config *c, struct pm_error *err)
{
	const Pm__AppSpec *spec = c->spec;

	s->json = spec->log_type == PM__LOG_TYPE__LOG_TYPE_JSON;
	s->app_name = pm_strdup(spec->name);
	if (spec->log_date_format != NULL && spec->log_date_format[0] != '\0')
		s->date_format = pm_strdup(spec->log_date_format);
	if (s->app_name == NULL || (s->date_format == NULL && spec->log_date_format != NULL &&
	                            spec->log_date_format[0] != '\0'))
		return pm_fail(err, PM_NO_MEMORY, "log stream");
	return 0;
}

int log_stream_attach(struct logs *l, const struct log_stream_config *config, int pipe_fd,
                      int stage_fd, struct capture_state *state, struct log_stream **out,
                      struct pm_error *err)
{
	struct log_stream *s = pm_calloc(1, sizeof(*s));
	int rc = 0;

	if (s == NULL || (rc = uv_poll_init(l->loop, &s->poll, pipe_fd)) < 0) {
		free(s);
		(void)close(pipe_fd);
		if (stage_fd >= 0)
			(void)close(stage_fd);
		return rc < 0 ? pm_fail_errno(err, -rc, "watch the output pipe")
		              : pm_fail(err, PM_NO_MEMORY, "log stream");
	}
	s->logs = l;
	s->poll.data = s;
	s->words = (struct capture_words *)(void *)state->words;
	s->slot = config->slot;
	s->pm_id = config->pm_id;
	s->err = config->err;
	s->pipe_fd = pipe_fd;
	s->stage_fd = stage_fd;
	s->next = l->streams;
	l->streams = s;
	if (copy_style(s, config, err) < 0 || join_files(s, config, err) < 0) {
		release(s);
		return -1;
	}
	s->tapped = logfile_is_null(s->dests[0].file) && log_taps_want(l, s->pm_id, s->err);
	stage_recover(s);
	set_polling(s, true);
	if (!stage_is_empty(s)) { /* not now: others have to look at the files first */
		s->kick = true;
		logs_wake_at(l, uv_now(l->loop));
	}
	*out = s;
	return 0;
}

void log_stream_detach(struct log_stream *s, void (*done)(void *arg), void *arg)
{
	s->detached = true;
	s->done = done;
	s->done_arg = arg;
	go_on(s);
}

void log_stream_abandon(struct log_stream *s)
{
	release(s);
}

struct log_counts log_stream_counts(const struct log_stream *s)
{
	return s->counts;
}

char *log_stream_tail(const struct log_stream *s, size_t max)
{
	struct logfile *f = s->dests[0].file;
	uint64_t end, from;
	char *text;

	if (logfile_is_null(f) || logfile_ready(f) != 0 || logfile_ino(f) == 0)
		return pm_strdup("");
	end = logfile_end(f);
	from = logfile_ino(f) == s->first_ino && s->first_offset <= end ? s->first_offset : 0;
	if (end - from > max)
		from = end - max;
	text = pm_calloc(1, (size_t)(end - from) + 1);
	if (text != NULL && logfile_read(f, text, (size_t)(end - from), from) < 0)
		text[0] = '\0';
	return text;
}
