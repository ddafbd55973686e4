/* check.h - what a health check of an app looks at: http://..., tcp://..., a program.  Pure. */
#ifndef PM_PROTO_CHECK_H
#define PM_PROTO_CHECK_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

enum check_kind {
	CHECK_NOTIFY,  /* the app says it itself, over NOTIFY_SOCKET */
	CHECK_HTTP,    /* GET, answered with 2xx or 3xx */
	CHECK_CONNECT, /* a connection comes about */
	CHECK_EXEC,    /* a program ends with 0 */
};

enum check_family {
	CHECK_NOWHERE, /* notify, exec */
	CHECK_INET,
	CHECK_INET6,
	CHECK_UNIX,
};

#define CHECK_PATH_MAX 512

struct check_target {
	enum check_kind kind;
	enum check_family family;
	char address[108];         /* numeric, never "any"; or a path, or @ABSTRACT */
	uint16_t port;             /* host order */
	char path[CHECK_PATH_MAX]; /* of CHECK_HTTP, with its query: printable, without blanks */
};

/*
 * Read what a check looks at:
 *
 *   notify
 *   http://127.0.0.1:3000/healthz  http://[::1]:3000/  http://:3000/healthz   numeric, or localhost
 *   http://unix:/run/app.sock:/healthz
 *   tcp://127.0.0.1:5432  tcp://:5432  unix:///run/app.sock
 *   exec                                                   the program is beside it
 *
 * errors  PM_CONFIG; what starts with the text
 */
PM_MUST_CHECK int check_parse(const char *text, struct check_target *out, struct pm_error *err);

/* Which of an app's checks one is: notify is for readiness alone. */
enum check_role {
	CHECK_STARTUP,
	CHECK_READY,
	CHECK_LIVE,
	CHECK_ROLES
};
extern const char *const check_role_names[CHECK_ROLES]; /* the names of their keys */

/* That of an app; NULL: none. */
const Pm__HealthCheck *check_of(const Pm__AppSpec *spec, enum check_role role);

/* Fill in what was not said: period, time-out, thresholds. */
void check_defaults(Pm__HealthCheck *check);

/* Sizes, ranges, what goes with what. errors: PM_CONFIG, "ready.period: ..." */
PM_MUST_CHECK int check_validate(const Pm__HealthCheck *check, enum check_role role,
                                 struct pm_error *err);

/* Is the app to say itself that it is ready? */
bool check_wants_ready(const Pm__AppSpec *spec);
/* Is the app to get NOTIFY_SOCKET? */
bool check_wants_notify(const Pm__AppSpec *spec);
/* Is something looked at from outside before it counts as ready? */
bool check_gates(const Pm__AppSpec *spec);

/* The check as text: "http://127.0.0.1:3000/healthz", "exec ./check.sh -f". */
void check_text(const Pm__HealthCheck *check, char *out, size_t size);

#endif
