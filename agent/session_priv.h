/* session_priv.h - what session.c and control.c share; nobody else includes it. */
#ifndef PM_AGENT_SESSION_PRIV_H
#define PM_AGENT_SESSION_PRIV_H

#include <uv.h>

#include "agent/control.h"
#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "proto/session.h"

#define SESSION_READ_MAX (64u * 1024) /* taken from one session in one turn of the loop */

/* What all sessions use; part of struct control, which outlives their handles. */
struct session_host {
	uv_loop_t *loop;                         /* borrowed */
	const struct control_handlers *handlers; /* borrowed, with arg */
	void *arg;
	struct session *sessions; /* open ones; each unlinks itself */
	unsigned n_sessions;
	unsigned n_handles;    /* that the loop still holds, of control and sessions */
	uv_idle_t reaper;      /* runs while a session is doomed */
	struct pm_arena arena; /* of the message being handled */
	uint8_t *read_buf;     /* owned; SESSION_READ_MAX */
	uid_t euid;
	void (*handle_closed)(struct session_host *host);
};

struct session_stream {
	struct session *session; /* borrowed */
	uint32_t id;
	bool blocked; /* a send was refused; stream_ready() is owed */
	bool wake;    /* stream_ready() is due now */
	void *user;
	struct session_stream *prev, *next;
};

/* A long answer that waits for room. */
struct session_pages {
	session_page_fn *page;
	session_done_fn *done;
	void *arg;
	uint64_t re;
	struct session_pages *next;
};

struct session {
	struct session_host *host; /* borrowed; good until the handle is closed */
	struct session *prev, *next;
	unsigned refs;
	uv_poll_t poll;
	int fd; /* owned; -1: closed */
	int events;
	bool open;
	bool doomed;        /* to be closed by the reaper */
	bool draining;      /* to be closed once the queue is sent */
	bool held;          /* a request waits for session_go_on() */
	bool corked;        /* answers are gathered until the input is dealt with */
	bool wants_room;    /* pages or a stream wait for the queue to get shorter */
	unsigned unlimited; /* an answer is being queued that must come whole */
	struct pm_session core;
	struct pm_record_reader reader;
	struct pm_buf request, behind; /* while held: its record, and what was read after it */
	uint64_t request_id;
	struct pm_buf out; /* the queue, from out_at on */
	size_t out_at;
	uid_t uid;
	pid_t pid;
	char program[32];
	const struct session_guard *guard; /* borrowed; NULL: a local session */
	const Pm__Actor *actor;            /* of the message being handled; NULL: none */
	void *user;
	uint64_t waiting[PM_REQUESTS_MAX]; /* requests without their answer */
	unsigned n_waiting;
	struct session_stream *first, *last; /* owned */
	struct session_pages *pages;         /* owned; in order of asking */
};

/* session.c */
PM_MUST_CHECK int session_create(struct session_host *host, int fd, uid_t uid, pid_t pid,
                                 const struct session_guard *guard, struct session **out,
                                 struct pm_error *err); /* takes fd on success */
/* true: it may be served; else it was answered. */
bool session_permits(struct session *s, const Pm__Envelope *env);
void session_close_now(struct session *s);
void session_doom(struct session *s);
void session_flush(struct session *s);
size_t session_queued(const struct session *s);
/* session_streams.c */
void session_stream_opened(struct session *s, const Pm__Envelope *env, struct pm_stream *core);
void session_stream_refuse(struct session *s, const Pm__Envelope *asked,
                           const struct pm_error *why);
void session_stream_ended(struct session *s, uint32_t id); /* by the peer */
void session_streams_wake(struct session *s, uint32_t id); /* 0: all */
void session_streams_finish(struct session *s);
/* session_reply.c */
void session_pages_go_on(struct session *s);
void session_pages_finish(struct session *s);

#endif
