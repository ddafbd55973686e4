/* roles.h - what may be asked of a fleet, and by whom: operations, roles, bindings. Pure.
 *
 * A binding gives an operator a role on some hosts and some apps.  What it gives is worked out on
 * hosts by their index, never on patterns (F-01): first a command's targets are spelled out, then
 * each host is allowed or not.
 */
#ifndef PM_PROTO_ROLES_H
#define PM_PROTO_ROLES_H

#include "proto/targets.h"

enum pm_role {
	PM_ROLE_NONE,
	PM_ROLE_VIEWER,
	PM_ROLE_LOGS,
	PM_ROLE_OPERATOR,
	PM_ROLE_DEPLOYER,
	PM_ROLE_ADMIN,
};

/*
 * Operations: constant, name in files and on the command line, least role, whether it is of an app
 * (then a binding's apps count), whether it changes something.  Never by a role: exec.
 */
#define PM_FLEET_OPS(X)                                                       \
	X(FLEET_STATUS, "status", PM_ROLE_VIEWER, true, false)                \
	X(FLEET_METRICS, "metrics", PM_ROLE_VIEWER, false, false)             \
	X(FLEET_ROLLOUT_SHOW, "rollout-show", PM_ROLE_VIEWER, true, false)    \
	X(FLEET_LOGS, "logs", PM_ROLE_LOGS, true, false)                      \
	X(FLEET_START, "start", PM_ROLE_OPERATOR, true, true)                 \
	X(FLEET_RESTART, "restart", PM_ROLE_OPERATOR, true, true)             \
	X(FLEET_RELOAD, "reload", PM_ROLE_OPERATOR, true, true)               \
	X(FLEET_SCALE, "scale", PM_ROLE_OPERATOR, true, true)                 \
	X(FLEET_STOP, "stop", PM_ROLE_OPERATOR, true, true)                   \
	X(FLEET_DRAIN, "drain", PM_ROLE_OPERATOR, false, true)                \
	X(FLEET_ROLLOUT_PAUSE, "rollout-pause", PM_ROLE_OPERATOR, true, true) \
	X(FLEET_ROLLOUT, "rollout", PM_ROLE_DEPLOYER, true, true)             \
	X(FLEET_DEFINE, "define", PM_ROLE_DEPLOYER, true, true)               \
	X(FLEET_DELETE, "delete", PM_ROLE_DEPLOYER, true, true)               \
	X(FLEET_REVEAL, "reveal", PM_ROLE_ADMIN, true, false)                 \
	X(FLEET_NODES, "nodes", PM_ROLE_ADMIN, false, true)                   \
	X(FLEET_UPGRADE, "upgrade", PM_ROLE_ADMIN, false, true)               \
	X(FLEET_MEMBERS, "members", PM_ROLE_ADMIN, false, true)               \
	X(FLEET_STEAL, "steal", PM_ROLE_ADMIN, true, true)                    \
	X(FLEET_AUDIT, "audit", PM_ROLE_ADMIN, false, false)                  \
	X(FLEET_EXEC, "exec", PM_ROLE_NONE, false, true)

enum fleet_op {
#define PM_FLEET_OP_ENUM(c, name, role, of_app, changes) c,
	PM_FLEET_OPS(PM_FLEET_OP_ENUM)
#undef PM_FLEET_OP_ENUM
	FLEET_OPS
};

const char *pm_role_name(enum pm_role role);
/* PM_ROLE_NONE: no such role. */
enum pm_role pm_role_find(const char *name, size_t len);

const char *fleet_op_name(enum fleet_op op);
/* FLEET_OPS: no such operation. */
enum fleet_op fleet_op_find(const char *name, size_t len);
bool fleet_op_of_app(enum fleet_op op);
bool fleet_op_changes(enum fleet_op op);
/* Whether the role alone, without regard to hosts and apps, has the operation. */
bool pm_role_may(enum pm_role role, enum fleet_op op);

/* What one operator has, for the fleet as it is now. */
struct authority;

struct pm_binding {
	enum pm_role role;
	/* "hosts:SET", "label:SELECTOR", or "": every host.  Groups and conditions are not for
	 * this: they may depend on what hosts say of themselves (F-07). */
	const char *targets;
	const char *apps; /* globs separated by commas; "": every app */
};

/* Whether the text of a binding's targets is one. errors: PM_USAGE, PM_LIMIT, PM_NO_MEMORY */
PM_MUST_CHECK int pm_binding_check(const char *targets, struct pm_error *err);

/*
 * ownership  *out is the caller's, for authority_destroy(); the bindings and the fleet are used
 *            during the call only.  It is to be made anew when either changes
 * errors     PM_NO_MEMORY, PM_LIMIT; a binding whose text cannot be read gives nothing
 */
PM_MUST_CHECK int authority_create(const struct pm_binding *bindings, size_t n,
                                   const struct targets_fleet *fleet, struct authority **out,
                                   struct pm_error *err);
void authority_destroy(struct authority *a); /* NULL is fine */

/* Whether the operation is allowed on a host. app: its name; NULL where the operation has none. */
bool authority_may(const struct authority *a, enum fleet_op op, const char *app, uint32_t host);

/* Whether it is allowed everywhere and for every app, now and later: for what has no host. */
bool authority_may_all(const struct authority *a, enum fleet_op op);

/* Leave in t only the hosts where the operation is allowed; returns how many were taken out. */
size_t authority_filter(const struct authority *a, enum fleet_op op, const char *app,
                        struct targets *t);

#endif
