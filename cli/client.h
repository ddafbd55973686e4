/* client.h - pmctl's side of the control socket: blocking calls, each with a deadline. */
#ifndef PM_CLI_CLIENT_H
#define PM_CLI_CLIENT_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

struct client;
struct client_stream;

struct client_options {
	bool start_agent;    /* nobody answers: start one */
	bool as_pm2;         /* the home has PM2's layout; the agent is started with --pm2 */
	uint32_t timeout_ms; /* for connecting, starting included; 0: 30 s */
	const char *program; /* "pmctl" or "pm2"; borrowed while the client lives */
};

/*
 * Connect to the agent of a home.  Hello goes out with the first request, so that what the agent
 * says to it (its version, a refusal) comes with the first answer.
 *
 * errors     PM_NOT_RUNNING (nobody there, start_agent off), PM_FAILED (it was started and ended;
 * the last line of its log is the reason), PM_DEADLINE, PM_DENIED
 */
PM_MUST_CHECK int client_connect(const char *home, const struct client_options *options,
                                 struct client **out, struct pm_error *err);
void client_destroy(struct client *c); /* NULL is fine */
void client_destroyp(struct client **c);

bool client_started_agent(const struct client *c); /* an agent was started for this client */

/* What the agent said to our Hello; asks now if no request was made yet.  Valid while c lives. */
PM_MUST_CHECK int client_welcome(struct client *c, const Pm__Welcome **out, struct pm_error *err);

/*
 * Connect again to the same home after the agent went away (an upgrade, a crash of the supervisor);
 * waits until somebody answers.  Starts no agent.  Streams of the old connection are gone.
 */
PM_MUST_CHECK int client_reconnect(struct client *c, uint32_t timeout_ms, struct pm_error *err);

/* Outcomes of a command; the whole lives until client_result_destroy(). */
struct client_result {
	enum pm_code code;
	const char *text, *hint; /* never NULL */
	Pm__Outcome **outcomes;
	size_t n_outcomes;
	Pm__SpecVersion **versions;
	size_t n_versions;
};
void client_result_destroy(struct client_result *r); /* NULL is fine */
void client_result_destroyp(struct client_result **r);

/* Called as each instance is done; the outcome is valid during the call. */
typedef void client_progress_fn(void *arg, const Pm__Outcome *outcome);

/*
 * Push a spec for the next command with use_staged.  It is only buffered here; a refusal comes with
 * the command.  errors PM_LIMIT (does not fit one record), PM_NO_MEMORY
 */
PM_MUST_CHECK int client_push_spec(struct client *c, const Pm__AppSpec *spec, struct pm_error *err);

/*
 * Carry out a command and wait for its result.
 *
 * cmd        op_id is filled in when empty (random); timeout_ms is told to the agent and is the
 *            deadline here with two seconds' grace; 0: wait as long as the agent lives
 * progress   may be NULL
 * returns    0: there is a result, which may itself report failure in `code`
 * errors     the agent's own refusal; PM_UNKNOWN (sent, but the agent went away or the deadline
 * passed before the result: it may have been done), PM_UNREACHABLE (it was surely not done)
 */
PM_MUST_CHECK int client_command(struct client *c, const Pm__Command *cmd,
                                 client_progress_fn *progress, void *arg,
                                 struct client_result **out, struct pm_error *err);

struct client_status {
	Pm__InstanceStatus **instances; /* in the agent's order: by pm_id */
	size_t n_instances;
	const Pm__AgentStatus *agent; /* NULL: not sent */
};
void client_status_destroy(struct client_status *s); /* NULL is fine */
void client_status_destroyp(struct client_status **s);

/*
 * Ask for status.  req NULL: the list, all.
 *
 * timeout_ms   0: 10 s
 * errors       PM_DEADLINE, PM_UNREACHABLE, the agent's own
 */
PM_MUST_CHECK int client_status(struct client *c, const Pm__StatusRequest *req, uint32_t timeout_ms,
                                struct client_status **out, struct pm_error *err);

/* Instances as they come, valid during the call only; first: forget earlier calls, it was asked
 * anew. */
typedef int client_page_fn(void *arg, bool first, Pm__InstanceStatus *const *instances, size_t n,
                           struct pm_error *err);

/* client_status() without keeping it all: a thousand instances are many megabytes. */
PM_MUST_CHECK int client_status_pages(struct client *c, const Pm__StatusRequest *req,
                                      uint32_t timeout_ms, client_page_fn *fn, void *arg,
                                      struct pm_error *err);

/* The same with VERB_AGENT_STATUS: `agent` is set, there are no instances. */
PM_MUST_CHECK int client_agent_status(struct client *c, uint32_t timeout_ms,
                                      struct client_status **out, struct pm_error *err);

/* The same with VERB_FLEET: word "start" or "stop" the link to the coordinator, "": how it is. */
PM_MUST_CHECK int client_uplink(struct client *c, const char *word, uint32_t timeout_ms,
                                struct client_status **out, struct pm_error *err);

/* ---- streams ---- */

/*
 * Open a stream; open->credit is filled in here.  A refusal comes with the first next().  While it
 * is open nothing else can be asked on this connection.
 */
PM_MUST_CHECK int client_stream_open(struct client *c, const Pm__StreamOpen *open,
                                     struct client_stream **out, struct pm_error *err);
void client_stream_close(struct client_stream *st); /* NULL is fine; tells the agent if it can */

enum client_next {
	CLIENT_NEXT_DATA,
	CLIENT_NEXT_END, /* closed in order by the agent */
	CLIENT_NEXT_FD,  /* the extra descriptor is readable, or hung up */
	CLIENT_NEXT_TIMEOUT,
};

/*
 * Wait for the stream's next data.  Credit is given back here.
 *
 * extra_fd     also waited for (stdin of a viewer, a signal's pipe); -1: none
 * timeout_ms   -1: for ever
 * data         set with CLIENT_NEXT_DATA; valid until the next call on the client
 * errors       the agent's refusal; PM_UNREACHABLE (it went away: client_reconnect() and open
 * again)
 */
PM_MUST_CHECK int client_stream_next(struct client_stream *st, int extra_fd, int timeout_ms,
                                     enum client_next *what, const Pm__StreamData **data,
                                     struct pm_error *err);

#endif
