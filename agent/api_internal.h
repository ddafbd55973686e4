/* api_internal.h - shared by the api_*.c files only. */
#ifndef PM_AGENT_API_INTERNAL_H
#define PM_AGENT_API_INTERNAL_H

#include "agent/order.h"
#include "agent/super.h"

/* Specs pushed in a session before the command that uses them. */
struct staged {
	Pm__AppSpec *specs[PM_STAGED_SPECS_MAX]; /* owned */
	size_t n;
};

struct request {
	struct super *su;
	struct session *session;
	uint64_t id;
	const Pm__Command *cmd;
};

/* Each answers the request, or returns -1 and leaves that to its caller. */
typedef int api_verb_fn(const struct request *r, struct pm_error *err);
api_verb_fn api_start, api_stop, api_restart, api_delete, api_scale, api_signal, api_send,
	api_reset, api_flush, api_reopen, api_save, api_resurrect, api_cleardump, api_kill,
	api_upgrade, api_ping, api_agent_status, api_fail_point, api_fleet;

/* Stream handlers (api_stream.c). */
int api_stream_open(void *arg, struct session_stream *st, const Pm__StreamOpen *open,
                    struct pm_error *err);
void api_stream_ready(void *arg, struct session_stream *st);
void api_stream_closed(void *arg, struct session_stream *st);

/* The staged specs of the session; NULL: none. */
struct staged *api_staged(struct session *s);
void api_staged_clear(struct staged *st);

PM_MUST_CHECK int api_new_order(const struct request *r, uint32_t parallel, bool settle,
                                struct order **out, struct pm_error *err);

/* An answer without outcomes. */
void api_reply_text(const struct request *r, const char *text);

#endif
