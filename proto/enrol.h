/* enrol.h - lets a new key in with a one-time token: how an agent joins and an operator logs in.
 *
 * Blocking, for pmctl and for a process of its own: runs a loop, and nng, until it is done.
 */
#ifndef PM_PROTO_ENROL_H
#define PM_PROTO_ENROL_H

#include "proto/handshake.h"
#include "proto/membership.h"
#include "proto/token.h"

struct pm_enrol_request {
	const struct pm_token *token;
	const struct pm_key *key;
	enum pm_role role; /* PM_ROLE_AGENT or PM_ROLE_OPERATOR */
	const char *name;  /* asked for; "": as the token or the machine says */
	bool maybe_known;  /* the key may have been let in before: an answer that did not arrive */
	uint32_t timeout_ms; /* for all; 0: 30 s */
};

struct pm_enrolled {
	char id[PM_MEMBER_TEXT_MAX + 1], name[PM_MEMBER_TEXT_MAX + 1];
	char cluster[PM_MEMBER_TEXT_MAX + 1];
};

/*
 * Enrol, and see the session come up.  Each address is tried once.
 *
 * errors     PM_DENIED (used, expired, or not for this name), PM_UNREACHABLE, PM_DEADLINE,
 *            PM_UNSUPPORTED, PM_PROTOCOL (who answers is not the token's coordinator), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_enrol(const struct pm_enrol_request *req, struct pm_enrolled *out,
                           struct pm_error *err);

/* A token's text from a file, "-": from standard input.  Wipe it with pm_token_wipe().
 * errors PM_CONFIG, the system's */
PM_MUST_CHECK int pm_token_read(const char *path, struct pm_buf *out, struct pm_error *err);

/*
 * Let the machine of this home join a fleet: makes its key if there is none, enrols it, and writes
 * down where it belongs.  When this fails nothing but the key stays, and a second try with it goes
 * on where the first one ended.
 *
 * token      its text
 * name       asked for; "": the host's
 * errors     PM_EXISTS (it is in a fleet), PM_CONFIG (no token for agents), those of pm_enrol(),
 *            the system's
 */
PM_MUST_CHECK int pm_join(const char *home, const char *token, const char *name,
                          uint32_t timeout_ms, struct pm_membership *out, struct pm_error *err);

#endif
