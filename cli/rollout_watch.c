#include "cli/rollout_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/rollout_json.h"
#include "cli/rollout_live.h"

#define POLL_MS        15000 /* the coordinator answers at the latest then */
#define PATIENCE_MS    30000 /* and if it does not, it is not there */
#define TICK_MS        100
#define RETRY_LEAST_MS 500
#define RETRY_MOST_MS  5000

struct watch {
	struct ctx *ctx;
	struct fleet *f;
	struct rollout_copy *c; /* borrowed */
	struct rollout_view page,
		live; /* of what stays on stdout, and of what is drawn on stderr */
	bool draws;
	size_t n_drawn; /* lines that stand there */
	uint64_t drawn_ms;
	struct rollout_news news;
	struct rollout_json_news json_news;
	uint64_t after;                 /* what an answer told in full is behind us */
	uint64_t begin_ms, deadline_ms; /* 0: as long as it takes */
	uint64_t run_ms;                /* the rollout had been running when we came */
	bool shown;                     /* the first answer was complete */
};

enum step {
	STEP_GO_ON,
	STEP_END, /* with the status */
};

/* ---- the terminal ---- */

static void clear(struct watch *w)
{
	if (w->n_drawn > 0)
		(void)fprintf(stderr, "\033[%zuA\033[J", w->n_drawn);
	w->n_drawn = 0;
}

static void measure(struct watch *w)
{
	struct winsize size;
	uint64_t now = pm_now_ms();

	w->live.width = w->ctx->width != 0 ? w->ctx->width : 80;
	w->live.rows = 24;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
		w->live.width = size.ws_col;
		w->live.rows = size.ws_row;
	}
	w->live.watched_ms = now - w->begin_ms;
	w->live.run_ms = w->run_ms + w->live.watched_ms;
}

/* Line by line over what stands there, so that nothing flickers. */
static void draw(struct watch *w)
{
	PM_BUF lines = { 0 };
	PM_BUF out = { 0 };
	size_t n;

	if (!w->draws || !w->shown)
		return;
	measure(w);
	n = rollout_live_lines(&w->live, w->c, &lines);
	if (w->n_drawn > 0)
		pm_buf_printf(&out, "\033[%zuA", w->n_drawn);
	for (char *at = lines.bytes; at != NULL && *at != '\0';) {
		size_t len = strcspn(at, "\n");

		pm_buf_add(&out, at, len);
		pm_buf_str(&out, "\033[K\n");
		at += len + 1;
	}
	pm_buf_str(&out, "\033[J");
	if (lines.failed || out.failed)
		return;
	(void)fflush(stdout); /* main looks at errors */
	(void)fwrite(out.bytes, 1, out.len, stderr);
	(void)fflush(stderr);
	w->n_drawn = n;
	w->drawn_ms = pm_now_ms();
}

static void on_tick(void *arg)
{
	draw(arg);
}

static int print(struct watch *w, struct pm_buf *out, struct pm_error *err)
{
	if (out->len == 0 && !out->failed)
		return 0;
	clear(w);
	if (say_buf(out, err) < 0)
		return -1;
	(void)fflush(stdout); /* main looks at errors */
	return 0;
}

/* ---- what came ---- */

static int on_answer(void *arg, const Pm__Envelope *env, struct pm_error *err)
{
	struct watch *w = arg;
	const Pm__FleetReply *reply = env->fleet_reply;

	if (env->body_case != PM__ENVELOPE__BODY_FLEET_REPLY)
		return pm_fail(err, PM_PROTOCOL, "the coordinator's answer is of another kind");
	for (size_t i = 0;
	     reply->what_case == PM__FLEET_REPLY__WHAT_ROLLOUTS && i < reply->rollouts->n_rollouts;
	     i++)
		if (rollout_copy_take(w->c, reply->rollouts->rollouts[i], err) < 0)
			return -1;
	return !reply->more;
}

static void begin_view(struct watch *w)
{
	const Pm__RolloutStatus *st = w->c->status;
	int64_t now_ms = PM_MAX(pm_wall_ms(), st->changed_wall_ms); /* our clock may be behind */

	if (now_ms > st->created_wall_ms)
		w->run_ms = (uint64_t)(now_ms - st->created_wall_ms);
	w->live.ended_before = rollout_copy_account(w->c).ended;
	w->shown = true;
}

/* A complete answer: tell what is new. */
static int show(struct watch *w, struct pm_error *err)
{
	PM_BUF out = { 0 };
	bool first = !w->shown;

	w->after = w->c->status->progress;
	if (first)
		begin_view(w);
	w->page.run_ms = w->run_ms + (pm_now_ms() - w->begin_ms);
	if (w->ctx->jsonl) {
		rollout_json_events(w->c, &w->json_news, &out);
	} else if (!w->ctx->json && !w->ctx->silent) {
		if (first)
			rollout_view_header(&w->page, w->c, &out);
		rollout_live_news(&w->page, w->c, &w->news, &out);
	}
	if (print(w, &out, err) < 0)
		return -1;
	if (pm_now_ms() - w->drawn_ms >= TICK_MS)
		draw(w);
	return 0;
}

/* ---- the end ---- */

int rollout_print_json(const struct ctx *ctx, const struct rollout_copy *c, int status,
                       struct pm_error *err)
{
	PM_BUF out = { 0 };

	if (ctx->jsonl)
		rollout_json_end(c, status, &out);
	else
		rollout_json_document(c, status, &out);
	return say_buf(&out, err);
}

static int finish(struct watch *w, int status, struct pm_error *err)
{
	PM_BUF out = { 0 };

	clear(w);
	if (w->ctx->json)
		return rollout_print_json(w->ctx, w->c, status, err) < 0 ? -1 : status;
	if (w->ctx->silent)
		return status;
	if (rollout_view_end(&w->page, w->c, &out, err) < 0 || print(w, &out, err) < 0)
		return -1;
	return status;
}

static int detach(struct watch *w, struct pm_error *err)
{
	int status = finish(w, 130, err);

	if (status == 130)
		say_plain_error(w->ctx, "detached: the rollout goes on");
	return status;
}

static int time_is_up(struct watch *w, struct pm_error *err)
{
	int status = finish(w, 15, err);

	if (status == 15)
		say_warn(w->ctx, "not watched any longer, as --timeout says: the rollout goes on");
	return status;
}

/* ---- Ctrl-C ---- */

/* A refusal changes nothing: it goes on, and so does the look at it. */
static void order(struct watch *w, Pm__RolloutVerb verb)
{
	PM_ROLLOUT now = { 0 };
	struct pm_error err;

	if (rollout_ask_change(w->ctx, w->f, verb, w->c->status->id, NULL, &now, &err) < 0)
		say_error(w->ctx, &err);
}

/* Returns STEP_END: he goes away. */
static enum step ask_user(struct watch *w)
{
	char line[64];

	if (interrupt_is_final() || isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
		return STEP_END;
	clear(w);
	interrupt_forget();   /* the next one means it */
	(void)fflush(stdout); /* main looks at errors */
	(void)fprintf(stderr,
	              "\nThe rollout goes on by itself. [d]etach, [p]ause or [a]bort it? [d] ");
	(void)fflush(stderr);
	if (!fleet_read_line(w->f, line, sizeof(line)))
		return STEP_END;
	if (line[0] == 'p' || line[0] == 'P')
		order(w, PM__ROLLOUT_VERB__ROLLOUT_PAUSE);
	else if (line[0] == 'a' || line[0] == 'A')
		order(w, PM__ROLLOUT_VERB__ROLLOUT_ABORT);
	else
		return STEP_END;
	return interrupt_came() ? STEP_END : STEP_GO_ON;
}

/* ---- asking ---- */

static uint32_t left_ms(const struct watch *w, uint32_t most)
{
	uint64_t now = pm_now_ms();

	if (w->deadline_ms == 0)
		return most;
	return now >= w->deadline_ms ? 0 : (uint32_t)PM_MIN((uint64_t)most, w->deadline_ms - now);
}

static int ask(struct watch *w, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__RolloutQuery query = PM__ROLLOUT_QUERY__INIT;

	query.id = w->c->status->id;
	query.steps = true;
	query.after = w->after;
	query.wait_ms = w->shown ? POLL_MS : 0;
	request.what_case = PM__FLEET_REQUEST__WHAT_ROLLOUT_QUERY;
	request.rollout_query = &query;
	env.body_case = PM__ENVELOPE__BODY_FLEET_REQUEST;
	env.fleet_request = &request;
	return fleet_client_begin(w->f->client, &env, on_answer, w, err);
}

/* One answer, complete, or what came between.  *lost: the session is over, or as good as that. */
static int await(struct watch *w, enum fleet_waited *waited, bool *lost, struct pm_error *err)
{
	struct fleet_wait wait = { .stop_fd = w->f->stop_fd,
		                   .tick_ms = w->draws ? TICK_MS : 0,
		                   .tick = on_tick,
		                   .arg = w };
	uint64_t until = pm_now_ms() + PATIENCE_MS;
	bool done;

	*lost = true;
	if (ask(w, err) < 0)
		return -1;
	for (;;) {
		uint64_t now = pm_now_ms();

		wait.timeout_ms = now >= until ? 1 : left_ms(w, (uint32_t)(until - now));
		if (wait.timeout_ms == 0) {
			*waited = FLEET_TIME_OUT;
			return 0;
		}
		if (fleet_client_wait(w->f->client, &wait, waited, err) < 0)
			return -1;
		if (fleet_client_end(w->f->client, &done, err) < 0) {
			*lost = !fleet_client_is_up(w->f->client);
			return -1;
		}
		if (done || *waited == FLEET_STOPPED)
			return 0;
		if (*waited == FLEET_TIME_OUT && left_ms(w, 1) > 0)
			return pm_fail(err, PM_UNREACHABLE, "it does not answer");
	}
}

/* Until it is there again (F-23).  Returns STEP_END: the user goes away, or time is up. */
static int reconnect(struct watch *w, const struct pm_error *why, enum step *out,
                     struct pm_error *err)
{
	uint32_t pause_ms = RETRY_LEAST_MS;

	clear(w);
	say_warn(w->ctx,
	         "the connection to the coordinator is lost: %s; the rollout goes on there, and is "
	         "watched again as soon as it can be",
	         why->what);
	for (;;) {
		struct pollfd stop = { .fd = w->f->stop_fd, .events = POLLIN };
		uint32_t patience = left_ms(w, pause_ms);

		*out = STEP_END;
		if (patience == 0 || poll(&stop, 1, (int)patience) > 0)
			return 0;
		if (fleet_reconnect(w->ctx, w->f, err) == 0)
			break;
		if (err->code == PM_DENIED)
			return -1;
		pause_ms = PM_MIN(pause_ms * 2, (uint32_t)RETRY_MOST_MS);
	}
	say_warn(w->ctx, "connected again");
	*out = STEP_GO_ON;
	return 0;
}

/* ---- all of it ---- */

static void settle(struct watch *w)
{
	const struct ctx *ctx = w->ctx;
	const char *term = getenv("TERM");

	w->draws = isatty(STDERR_FILENO) == 1 && !ctx->json && !ctx->silent && term != NULL &&
	           strcmp(term, "dumb") != 0;
	w->page = (struct rollout_view){ .color = ctx->color_out,
		                         .utf8 = ctx->utf8,
		                         .live = w->draws && ctx->tty_out };
	w->live = (struct rollout_view){ .color = ctx->color_err, .utf8 = ctx->utf8, .live = true };
	w->begin_ms = pm_now_ms();
	if (ctx->timeout_ms != 0)
		w->deadline_ms = w->begin_ms + ctx->timeout_ms;
}

int rollout_watch(struct ctx *ctx, struct fleet *f, struct rollout_copy *c, struct pm_error *err)
{
	struct watch w = { .ctx = ctx, .f = f, .c = c };

	settle(&w);
	for (;;) {
		enum fleet_waited waited = FLEET_DONE;
		enum step next = STEP_GO_ON;
		struct pm_error why;
		bool lost;

		if (await(&w, &waited, &lost, &why) < 0) {
			clear(&w);
			if (!lost) {
				*err = why;
				return -1;
			}
			if (reconnect(&w, &why, &next, err) < 0)
				return -1;
			if (next == STEP_GO_ON)
				continue;
			return left_ms(&w, 1) == 0 ? time_is_up(&w, err) : detach(&w, err);
		}
		if (waited == FLEET_TIME_OUT)
			return time_is_up(&w, err);
		if (waited == FLEET_STOPPED) {
			if (ask_user(&w) == STEP_END)
				return detach(&w, err);
			continue;
		}
		if (show(&w, err) < 0)
			return -1;
		if (rollout_copy_rests(c))
			return finish(&w, rollout_copy_exit_status(c), err);
	}
}
