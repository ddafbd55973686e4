/* client_priv.h - what the parts of the client share; nobody else includes it. */
#ifndef PM_CLI_CLIENT_PRIV_H
#define PM_CLI_CLIENT_PRIV_H

#include "cli/client.h"
#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "proto/session.h"

#define CLIENT_READ_MAX (128u * 1024)

/* What stands for the socket of a client whose agent is elsewhere (fleet_route.h). */
struct client_route {
	int (*send)(void *arg, const Pm__Envelope *env, struct pm_error *err);
	int (*receive)(void *arg, struct pm_arena *arena, int extra_fd, uint64_t deadline,
	               Pm__Envelope **out, struct pm_error *err); /* as client_receive() */
	void (*destroy)(void *arg);
};

struct client {
	const struct client_route *route; /* NULL: the socket of an agent here */
	void *route_arg;                  /* owned */
	char home[PM_PATH_MAX];
	struct client_options options;
	bool started;
	int fd; /* owned; -1: not connected */
	struct pm_session core;
	struct pm_record_reader reader;
	/* What is to be sent from out_at on.  What was sent stays until Welcome came: if the
	 * connection ends before that, nothing of it was carried out and all of it is said again.
	 */
	struct pm_buf out;
	size_t out_at;
	bool deaf; /* the agent takes no more; it may have said why */
	unsigned redials;
	uint8_t *in;          /* owned; CLIENT_READ_MAX */
	const uint8_t *in_at; /* what was read and not looked at yet */
	size_t in_len;
	struct pm_arena arena; /* of the message being looked at */
	struct pm_arena welcome_arena;
	const Pm__Welcome *welcome;
	uint64_t first_push; /* request numbers of the pushes since the last command; 0: none */
	struct pm_error push_error;   /* the first refusal among them; PM_OK: none */
	struct client_stream *stream; /* the caller's; NULL: none is open */
};

/* A moment to give up at, in pm_now_ms(); 0: never. */
uint64_t client_deadline(uint32_t timeout_ms);
int client_left_ms(uint64_t deadline); /* for poll(2): -1: no deadline */

/* client.c */
/* A client on a route, which is taken when it returns 0. */
PM_MUST_CHECK int client_on_route(const struct client_route *route, void *arg,
                                  const Pm__Welcome *welcome, struct client **out,
                                  struct pm_error *err);
bool client_is_connected(const struct client *c);
PM_MUST_CHECK int client_welcome_within(struct client *c, uint32_t timeout_ms,
                                        const Pm__Welcome **out, struct pm_error *err);

/* client_io.c */
/* Say Hello over a fresh connection (fd is taken); in the queue only. */
PM_MUST_CHECK int client_begin(struct client *c, int fd, struct pm_error *err);
void client_drop(struct client *c); /* close, and forget what was queued and read */
PM_MUST_CHECK int client_queue(struct client *c, const Pm__Envelope *env, struct pm_error *err);
PM_MUST_CHECK int client_flush(struct client *c, uint64_t deadline, struct pm_error *err);
/*
 * Wait for the next envelope that is not about the session itself; it lives in `arena`.
 *
 * extra_fd   -1: none; if it is readable first, *out is NULL
 * errors     PM_DEADLINE, PM_UNREACHABLE (closed), PM_PROTOCOL, what an Error about the session
 * says
 */
PM_MUST_CHECK int client_receive(struct client *c, struct pm_arena *arena, int extra_fd,
                                 uint64_t deadline, Pm__Envelope **out, struct pm_error *err);
/* The agent's refusal as our error.  -1 */
int client_fail_remote(struct pm_error *err, const Pm__Error *error);

/* client_start.c */
/* errors PM_NOT_RUNNING (nobody listens), PM_DENIED, PM_DEADLINE */
PM_MUST_CHECK int client_dial(const char *home, uint64_t deadline, int *fd, struct pm_error *err);
/* Start an agent and dial it; or dial the one that somebody else has just started. */
PM_MUST_CHECK int client_start_agent(const char *home, bool as_pm2, uint64_t deadline, int *fd,
                                     struct pm_error *err);
void client_pause(unsigned ms);

#endif
