/* control.h - the control socket: who may connect, and what is done with what they ask. */
#ifndef PM_AGENT_CONTROL_H
#define PM_AGENT_CONTROL_H

#include <uv.h>

#include "agent/session.h"

/*
 * What the supervisor does.  Messages are valid during the call only.  Each request is answered,
 * now or later, through `id`; at most PM_REQUESTS_MAX of a session wait for their answer.
 */
struct control_handlers {
	/* Fill in the answer to a Hello; protocol is set already.  Strings are borrowed. */
	void (*welcome)(void *arg, struct session *s, Pm__Welcome *welcome);
	void (*command)(void *arg, struct session *s, uint64_t id, const Pm__Command *cmd);
	void (*status)(void *arg, struct session *s, uint64_t id, const Pm__StatusRequest *req);
	/* Answered only when refused. */
	void (*spec_push)(void *arg, struct session *s, uint64_t id, const Pm__SpecPush *push);
	/* -1 with err: refused, and the stream is gone.  May send at once, and may close it. */
	int (*stream_open)(void *arg, struct session_stream *st, const Pm__StreamOpen *open,
	                   struct pm_error *err);
	/* A stream that was blocked has credit and room again. */
	void (*stream_ready)(void *arg, struct session_stream *st);
	/* The peer closed the stream, or the session ended; it is gone after this call. */
	void (*stream_closed)(void *arg, struct session_stream *st);
	/* After the last stream_closed(); free what session_user() holds. */
	void (*session_closed)(void *arg, struct session *s);
};

struct control;

/*
 * Make the listening socket agent.sock in the home, in place of a stale one.  The caller holds the
 * home's lock, so whoever bound the old one is gone.  Mode 0600 from the start.
 *
 * returns    a descriptor, CLOEXEC and non-blocking, the caller's; -1: error
 */
PM_MUST_CHECK int control_listen(const char *home, struct pm_error *err);

/*
 * Serve a listening socket: the one of control_listen(), perhaps kept over a restart.
 *
 * listen_fd  taken, also on failure
 * handlers   borrowed, with arg, until control_close() returns
 */
PM_MUST_CHECK int control_create(uv_loop_t *loop, int listen_fd,
                                 const struct control_handlers *handlers, void *arg,
                                 struct control **out, struct pm_error *err);

/* Serve a connected socket (fd is taken), as if it had been accepted: tests. */
PM_MUST_CHECK int control_adopt(struct control *c, int fd, struct pm_error *err);
/*
 * Serve our uplink's end (fd is taken): whoever asks is remote and guarded.
 *
 * out        the session, borrowed until guard->closed()
 */
PM_MUST_CHECK int control_adopt_remote(struct control *c, int fd, const struct session_guard *guard,
                                       struct session **out, struct pm_error *err);

unsigned control_n_sessions(const struct control *c);
int control_fd(const struct control *c); /* the listening socket, borrowed; to hand to the keeper */

/* Say Goodbye to every session and take no more; what is queued is sent while the loop runs. */
void control_goodbye(struct control *c, const char *reason, uint32_t retry_after_ms);

/* Close all at once; stream_closed() and session_closed() are called before it returns. */
void control_close(struct control *c);

#endif
