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
api_verb_fn api_history, api_revert, api_start, api_stop, api_restart, api_delete, api_scale,
	api_signal, api_send, api_reset, api_flush, api_reopen, api_save, api_resurrect,
	api_cleardump, api_kill, api_upgrade, api_ping, api_agent_status, api_fail_point, api_fleet;

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

/*
 * Refuse the command, all of it, unless every app is as it says that it is (F-26).
 *
 * errors     PM_LOCKED
 */
PM_MUST_CHECK int api_check_expected(const struct request *r, struct pm_error *err);
/* Answer what the command would do, app by app, and do nothing. errors: as the command itself */
api_verb_fn api_plan;

/* ---- what a command and its plan go by alike ---- */

/* What this agent cannot run is refused before anything is changed. */
PM_MUST_CHECK int api_check_spec(const Pm__AppSpec *spec, struct pm_error *err);
/* Whether instances are replaced by successors where that can be. */
bool api_is_gated(const struct request *r);
/* Another reload with other settings may have to be settled first. errors: PM_LOCKED */
PM_MUST_CHECK int api_may_take_spec(const struct request *r, const struct app *app,
                                    struct pm_error *err);
bool api_any_up(const struct app *app);
/* The app's spec with the options and variables of the command. *out is the caller's. */
PM_MUST_CHECK int api_patched_spec(const struct request *r, const struct app *app,
                                   Pm__AppSpec **out, struct pm_error *err);
/* Take a spec for an app that is there (spec is taken). A reload that fails shall have changed
 * nothing. */
void api_take_spec(const struct request *r, struct app *app, Pm__AppSpec *spec);
/* More or fewer instances; the surplus is added to the order as deletions. */
PM_MUST_CHECK int api_fit_instances(struct order *o, struct app *app, uint32_t want,
                                    struct pm_error *err);
/* A new app, and its instances in the order. *spec is taken, and NULL then. */
PM_MUST_CHECK int api_declare(const struct request *r, struct order *o, Pm__AppSpec **spec,
                              struct pm_error *err);

/* What a revert does to one app. */
struct reversion {
	const Pm__SpecRef *ref; /* borrowed */
	struct app *app;        /* borrowed; NULL: there is none now */
	Pm__AppSpec *spec;      /* owned; what it gets, NULL: what it has, or nothing */
	bool gone;              /* it was not there */
};
void reversion_finish(struct reversion *v);
/*
 * Look for what an app is to become again.
 *
 * errors     PM_NOT_FOUND (that version is not kept), PM_LOCKED, PM_CONFIG, PM_LIMIT
 */
PM_MUST_CHECK int api_find_reversion(const struct request *r, const Pm__SpecRef *ref,
                                     struct reversion *out, struct pm_error *err);
enum revert_deed {
	REVERT_HAS,   /* it runs with that version already */
	REVERT_LATER, /* it was stopped, and has it when it is started */
	REVERT_REPLACE,
};
enum revert_deed api_revert_deed(const struct instance *inst, const struct reversion *v);
bool api_is_stopped(const struct app *app); /* all of it: what is added is as well */

/* Which app is to have how many instances. */
PM_MUST_CHECK int api_scale_target(const struct request *r, struct app **app, uint32_t *want,
                                   struct pm_error *err);

/* Who ordered it, for the history of an app: "root (pmctl)", "fleet:anna". */
#define API_BY_MAX 128
const char *api_by(const struct request *r, char out[API_BY_MAX]);

/* An answer without outcomes. */
void api_reply_text(const struct request *r, const char *text);

/*
 * Take the shell's variables anew: those that came from a shell are replaced by vars, the user's
 * own stay.
 *
 * marked     of vars, only those that came from a shell
 */
PM_MUST_CHECK int api_replace_shell(Pm__AppSpec *spec, Pm__EnvVar *const *vars, size_t n,
                                    bool marked, struct pm_error *err);

#endif
