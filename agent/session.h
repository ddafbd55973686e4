/* session.h - one connection to the control socket, and its streams. */
#ifndef PM_AGENT_SESSION_H
#define PM_AGENT_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

struct session;
struct session_stream;

/*
 * An operation that outlives its request holds a reference.  What is sent to a session that has
 * closed meanwhile goes nowhere.
 */
struct session *session_ref(struct session *s);
void session_unref(struct session *s); /* NULL is fine */
bool session_is_open(const struct session *s);

uid_t session_uid(const struct session *s);
pid_t session_pid(const struct session *s);
const char *
session_program(const struct session *s); /* from Hello: "pmctl", "pm2"; lives as long */
bool session_is_pm2(const struct session *s);

/*
 * A session with the agent's uplink: who asks is somewhere else, named by each request, and gets
 * what `permit` lets through.  Borrowed, with arg, by everybody who holds a reference to the
 * session.
 */
enum session_permit {
	SESSION_PERMIT,   /* go on */
	SESSION_REFUSE,   /* in the words of err */
	SESSION_ANSWERED, /* it was answered, or will be: nothing more is done */
	SESSION_HOLD      /* a command: go on when session_go_on() or session_go_back() says so */
};
struct session_guard {
	/* Each request, and each stream that is to be opened. */
	enum session_permit (*permit)(void *arg, struct session *s, const Pm__Envelope *env,
	                              struct pm_error *err);
	/* Each answer on its way out, whether or not there is still somebody to take it. */
	void (*answer)(void *arg, struct session *s, const Pm__Envelope *env);
	/* What asks nothing: Heartbeat, UplinkState. */
	void (*notice)(void *arg, struct session *s, const Pm__Envelope *env);
	/* The connection is over. */
	void (*closed)(void *arg, struct session *s);
	void *arg;
};
bool session_is_remote(const struct session *s);

/*
 * End a hold.  Until then the session, which is open (or nothing of it is done), takes nothing more
 * from its peer, so that the order of what was asked for stays as it is; what it has to say goes
 * out.  Not to be called from within permit().
 *
 * errors     PM_NO_MEMORY: the session ends, and nothing was carried out
 */
PM_MUST_CHECK int session_go_on(struct session *s, struct pm_error *err);
void session_go_back(struct session *s, const struct pm_error *why); /* it is refused after all */

/* Who is behind the request that is being handled: an operator's name, else session_program(). */
const char *session_who(const struct session *s);

/* The handlers' own pointer, as for staged specs; free it in session_closed(). */
void session_set_user(struct session *s, void *user);
void *session_user(const struct session *s);

/*
 * Send an envelope: at once if the socket takes it, else queued (PM_SEND_QUEUE_MAX; over it the
 * session is closed, from the loop and not from within this call). returns    false: it does not
 * fit one record; nothing was sent, the caller sends something smaller
 */
bool session_send(struct session *s, const Pm__Envelope *env);

void session_reply_error(struct session *s, uint64_t re, const struct pm_error *err);
/* As many Result records as the outcomes need.  result->more is set here. */
void session_reply_result(struct session *s, uint64_t re, const Pm__Result *result);
void session_reply_progress(struct session *s, uint64_t re, const Pm__Outcome *outcome);

/*
 * A long answer in pages: `page` sends one and returns whether more follow; it is called at once
 * and again whenever there is room, so that the queue stays short.  `done` (may be NULL) is called
 * exactly once: after the last page, or when the session closed before it.  Out of memory: done is
 * called, the session is closed.
 */
typedef bool session_page_fn(void *arg, struct session *s, uint64_t re);
typedef void session_done_fn(void *arg);
void session_reply_pages(struct session *s, uint64_t re, session_page_fn *page,
                         session_done_fn *done, void *arg);

/* Say Goodbye, send what is queued, close.  No callback but session_closed() follows. */
void session_goodbye(struct session *s, const char *reason, uint32_t retry_after_ms);

/* ---- streams: valid from stream_open() until stream_close() or the stream_closed() handler ----
 */

enum stream_sent {
	STREAM_SENT,
	STREAM_BLOCKED, /* nothing was sent: no credit or no room; stream_ready() is called later */
	STREAM_TOO_LARGE, /* does not fit one record */
};

enum stream_sent stream_send(struct session_stream *st, const Pm__StreamData *data);
/* End it from this side: code PM_OK at the end of data.  The stream is gone; no handler is called.
 */
void stream_close(struct session_stream *st, enum pm_code code, const char *what);
struct session *stream_session(const struct session_stream *st); /* borrowed */
void stream_set_user(struct session_stream *st, void *user);
void *stream_user(const struct session_stream *st);

#endif
