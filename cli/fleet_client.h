/* fleet_client.h - pmctl's session with a coordinator: blocking calls, each with a deadline. */
#ifndef PM_CLI_FLEET_CLIENT_H
#define PM_CLI_FLEET_CLIENT_H

#include <stdbool.h>

#include "proto/address.h"
#include "proto/error.h"
#include "proto/handshake.h"
#include "proto/pm.pb-c.h"
#include "proto/token.h"

struct fleet_client;
struct fleet_stream;

struct fleet_client_options {
	const struct pm_address *addresses; /* tried in this order; borrowed during the call */
	unsigned n_addresses;
	const uint8_t *coordinator; /* its public key; borrowed during the call */
	const struct pm_key *key;   /* ours; borrowed while the client lives */
	enum pm_role role;
	const char *program; /* borrowed while the client lives */
	uint32_t timeout_ms; /* until the session is up; 0: 20 s */
	int stop_fd;         /* readable: give up; -1: none */
	/* To make our key known first; both borrowed during the call.  NULL: it is known. */
	const struct pm_token *token;
	const Pm__Enrol *enrol; /* name and facts; id and secret come from the token */
	/* What it became: valid during the call. */
	void (*enrolled)(void *arg, const Pm__Enrolled *enrolled);
	void *arg;
};

/*
 * Connect and wait until the session is up.
 *
 * errors     PM_UNREACHABLE, PM_DEADLINE (stop_fd as well), PM_PROTOCOL, what the coordinator says
 */
PM_MUST_CHECK int fleet_client_connect(const struct fleet_client_options *options,
                                       struct fleet_client **out, struct pm_error *err);
void fleet_client_close(struct fleet_client *c); /* with its streams; NULL is fine */
void fleet_client_closep(struct fleet_client **c);
/* What the coordinator says it will be known by (S-06); borrowed; NULL: nothing else. */
const uint8_t *fleet_client_next_key(const struct fleet_client *c);
const uint8_t *fleet_client_peer_key(const struct fleet_client *c); /* that it was begun with */
bool fleet_client_is_up(const struct fleet_client *c);              /* NULL: no */

/* How long to wait, and what for besides the answer. */
struct fleet_wait {
	uint32_t timeout_ms; /* 0: as long as the session lives */
	int stop_fd;         /* readable: stop waiting; -1: none */
	uint32_t tick_ms;    /* call tick() so often; 0: never */
	void (*tick)(void *arg);
	void *arg;
};

enum fleet_waited {
	FLEET_DONE,
	FLEET_STOPPED,  /* stop_fd */
	FLEET_TIME_OUT, /* of ours; the coordinator's own deadline comes first */
};

/* One answer, valid during the call.  1: it was the last; 0: more follow; -1 */
typedef int fleet_answer_fn(void *arg, const Pm__Envelope *env, struct pm_error *err);

/*
 * Ask and take the answers.
 *
 * env        with its body; the id is filled in here
 * errors     PM_UNREACHABLE (the session ended), PM_LIMIT (does not fit one record), an Error's,
 *            what fn says
 */
PM_MUST_CHECK int fleet_client_ask(struct fleet_client *c, const Pm__Envelope *env,
                                   const struct fleet_wait *wait, fleet_answer_fn *fn, void *arg,
                                   enum fleet_waited *out, struct pm_error *err);

/*
 * The same in steps: ask; fleet_client_wait(), which ends early when the last answer came or fn
 * says so with fleet_client_stop_waiting(); and look whether that was all.  One question at a time.
 */
PM_MUST_CHECK int fleet_client_begin(struct fleet_client *c, const Pm__Envelope *env,
                                     fleet_answer_fn *fn, void *arg, struct pm_error *err);
PM_MUST_CHECK int fleet_client_end(struct fleet_client *c, bool *done, struct pm_error *err);

/* Keep the session alive and take what comes until `wait` says so; for streams, and for prompts. */
PM_MUST_CHECK int fleet_client_wait(struct fleet_client *c, const struct fleet_wait *wait,
                                    enum fleet_waited *out, struct pm_error *err);
/* End the wait that is under way, as if all had been done; for handlers. */
void fleet_client_stop_waiting(struct fleet_client *c);

/* ---- streams ---- */

struct fleet_stream_handlers {
	void (*data)(void *arg, struct fleet_stream *st, const Pm__StreamData *data);
	/* By the other side, or with the session; it is gone after this.  PM_OK: the end. */
	void (*closed)(void *arg, struct fleet_stream *st, const struct pm_error *why);
};

/* errors     PM_UNREACHABLE, PM_LIMIT, PM_NO_MEMORY; a refusal comes as closed() */
PM_MUST_CHECK int fleet_stream_open(struct fleet_client *c, const Pm__StreamOpen *open,
                                    const struct fleet_stream_handlers *handlers, void *arg,
                                    struct fleet_stream **out, struct pm_error *err);
void fleet_stream_close(struct fleet_stream *st); /* calls nobody back; NULL is fine */

#endif
