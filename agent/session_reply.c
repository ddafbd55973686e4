/* Answers of a session: errors, results of any size, pages. */
#include "agent/session_priv.h"

#include <stdlib.h>
#include <string.h>

/* Pages sent in one turn of the loop, so that a long answer delays nobody. */
#define PAGES_TURN_MAX 8
/* Bytes of outcomes in one Result: leaves room for its own fields. */
#define RESULT_PAGE_MAX (PM_RECORD_MAX - 2048)

void session_reply_error(struct session *s, uint64_t re, const struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Error error = PM__ERROR__INIT;
	struct pm_error copy = *err;

	error.code = err->code;
	error.what = copy.what;
	error.hint = copy.hint;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	(void)session_send(s, &env); /* fits a record */
}

void session_reply_progress(struct session *s, uint64_t re, const Pm__Outcome *outcome)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Progress progress = PM__PROGRESS__INIT;
	Pm__Outcome copy = *outcome;

	progress.outcome = &copy;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_PROGRESS;
	env.progress = &progress;
	if (session_send(s, &env))
		return;
	copy.log_tail.len = 0; /* the only part without a limit of its own */
	(void)session_send(s, &env);
}

static void send_result(struct session *s, uint64_t re, Pm__Result *result)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = result;
	if (session_send(s, &env))
		return;
	for (size_t i = 0; i < result->n_outcomes; i++)
		result->outcomes[i]->log_tail.len = 0; /* as above */
	if (!session_send(s, &env))
		session_doom(s);
}

/* How many of the outcomes from `from` on go into one record; at least one. */
static size_t page_length(const Pm__Result *result, size_t from)
{
	size_t bytes = 0, n = 0;

	for (; from + n < result->n_outcomes; n++) {
		bytes += protobuf_c_message_get_packed_size(&result->outcomes[from + n]->base) + 4;
		if (n > 0 && bytes > RESULT_PAGE_MAX)
			break;
	}
	return n;
}

void session_reply_result(struct session *s, uint64_t re, const Pm__Result *result)
{
	size_t from = 0;

	/* It is the answer to one request and comes whole, whatever its size. */
	s->unlimited++;
	do {
		Pm__Result page = *result;

		page.n_outcomes = page_length(result, from);
		page.outcomes = result->n_outcomes == 0 ? NULL : result->outcomes + from;
		from += page.n_outcomes;
		page.more = from < result->n_outcomes;
		send_result(s, re, &page);
	} while (from < result->n_outcomes && (session_is_open(s) || s->guard != NULL));
	s->unlimited--;
}

/* ---- pages ---- */

static void end_pages(struct session_pages *p)
{
	session_done_fn *done = p->done;
	void *arg = p->arg;

	free(p);
	if (done != NULL)
		done(arg);
}

/* Pages until there is no room, or a turn's worth is sent.  false: no more follow. */
static bool send_pages(struct session *s, const struct session_pages *p)
{
	bool more = true, corked = s->corked;
	unsigned n = 0;

	s->corked = true;
	while (more && session_is_open(s) && session_queued(s) < PM_SEND_ROOM &&
	       n++ < PAGES_TURN_MAX)
		more = p->page(p->arg, s, p->re);
	s->corked = corked;
	return more;
}

void session_reply_pages(struct session *s, uint64_t re, session_page_fn *page,
                         session_done_fn *done, void *arg)
{
	struct session_pages *p = pm_calloc(1, sizeof(*p)), **end = &s->pages;

	if (p == NULL || !session_is_open(s)) {
		if (p == NULL)
			session_doom(s);
		free(p);
		if (done != NULL)
			done(arg);
		return;
	}
	*p = (struct session_pages){ .page = page, .done = done, .arg = arg, .re = re };
	if (send_pages(s, p)) {
		while (*end != NULL)
			end = &(*end)->next;
		*end = p;
		s->wants_room = true;
	} else {
		end_pages(p);
	}
	if (!s->corked)
		session_flush(s);
}

void session_pages_go_on(struct session *s)
{
	struct session_pages *p = s->pages;

	if (p == NULL || !session_is_open(s))
		return;
	if (!send_pages(s, p)) {
		s->pages = p->next;
		end_pages(p);
	}
	if (s->pages != NULL)
		s->wants_room = true;
}

void session_pages_finish(struct session *s)
{
	while (s->pages != NULL) {
		struct session_pages *p = s->pages;

		s->pages = p->next;
		end_pages(p);
	}
}
