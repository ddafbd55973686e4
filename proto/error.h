/* error.h - one error type for all programs: a code, what failed and why, what to do. */
#ifndef PM_PROTO_ERROR_H
#define PM_PROTO_ERROR_H

#include "proto/base.h"

/*
 * Codes with their wire values (never reused) and exit statuses.
 * X(constant, wire value, exit status, name)
 */
#define PM_CODES(X)                                                                  \
	X(PM_OK, 0, 0, "ok")                                                         \
	X(PM_INTERNAL, 1, 1, "internal") /* ours, or the system's: no better word */ \
	X(PM_USAGE, 2, 2, "usage")                                                   \
	X(PM_NOT_RUNNING, 3, 3, "not-running")                                       \
	X(PM_NOT_FOUND, 4, 4, "not-found")                                           \
	X(PM_DENIED, 5, 5, "denied")                                                 \
	X(PM_LOCKED, 6, 6, "locked")                                                 \
	X(PM_UNREACHABLE, 7, 7, "unreachable")                                       \
	X(PM_CONFIG, 8, 8, "config")                                                 \
	X(PM_FAILED, 10, 10, "failed") /* the target did not do it */                \
	X(PM_DEADLINE, 15, 15, "deadline")                                           \
	X(PM_UNKNOWN, 16, 16, "unknown") /* sent, never confirmed */                 \
	X(PM_PAUSED, 17, 13, "paused")   /* a rollout: paused or aborted */          \
	X(PM_UNDONE, 18, 14, "undone")   /* a rollout: the old version is back */    \
	X(PM_SKIPPED, 19, 11, "skipped") /* none failed, some were not reached */    \
	X(PM_PARTLY, 20, 12, "partly")   /* some failed, some were not reached */    \
	X(PM_NO_MEMORY, 30, 1, "no-memory")                                          \
	X(PM_LIMIT, 31, 1, "limit") /* a written limit was hit */                    \
	X(PM_NO_SPACE, 32, 1, "no-space")                                            \
	X(PM_PROTOCOL, 33, 7, "protocol") /* the peer said what it may not say */    \
	X(PM_UNSUPPORTED, 34, 1, "unsupported")                                      \
	X(PM_CORRUPT, 35, 1, "corrupt") /* a file of ours is damaged */              \
	X(PM_EXISTS, 36, 1, "exists")

enum pm_code {
#define PM_CODE_ENUM(c, wire, status, name) c = (wire),
	PM_CODES(PM_CODE_ENUM)
#undef PM_CODE_ENUM
};

struct pm_error {
	enum pm_code code;
	char what[256]; /* "open /x: No such file or directory" */
	char hint[128]; /* "run 'pmctl list' to see the names"; may be empty */
};

/* Setters: return -1, so that failing is one line. Text from outside is the caller's to sanitise.
 */
int pm_fail(struct pm_error *err, enum pm_code code, const char *fmt, ...) PM_PRINTF(3, 4);
int pm_fail_errno(struct pm_error *err, int errnum, const char *fmt, ...) PM_PRINTF(3, 4);

/* Puts "context: " before err->what; returns -1. */
int pm_wrap(struct pm_error *err, const char *fmt, ...) PM_PRINTF(2, 3);

/* Sets the hint unless an inner layer has set one. */
void pm_hint(struct pm_error *err, const char *fmt, ...) PM_PRINTF(2, 3);

const char *pm_code_name(enum pm_code code);
int pm_code_exit_status(enum pm_code code);
enum pm_code pm_code_from_wire(uint32_t wire); /* PM_INTERNAL for what nobody defined */

#endif
