/* paths.h - the home: where it is, what is in it, and that it is safe to use. */
#ifndef PM_PROTO_PATHS_H
#define PM_PROTO_PATHS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/error.h"

/* Names in the home. */
#define PM_HOME_SOCKET    "agent.sock"
#define PM_HOME_LOCK      "agent.lock"
#define PM_HOME_STATE_DIR "state"
#define PM_HOME_LOGS_DIR  "logs"
#define PM_HOME_PIDS_DIR  "pids"
#define PM_HOME_KEYS_DIR  "keys"
#define PM_HOME_LOG       "pmd.log" /* the agent's own log */
#define PM_HOME_PID       "pmd.pid"
/* In a home of PM2's layout the same things have PM2's names. */
#define PM_HOME_PM2_LOG      "pm2.log"
#define PM_HOME_PM2_PID      "pm2.pid"
#define PM_HOME_PM2_DUMP     "dump.pm2"
#define PM_HOME_PM2_DUMP_BAK "dump.pm2.bak"
#define PM_HOME_PM2_MODULES  "module_conf.json"

const char *pm_home_log_name(bool as_pm2);
const char *pm_home_pid_name(bool as_pm2);

/*
 * Find the home: opt_home if given, else $PMD_HOME, else ~/.pmd; for PM2 $PM2_HOME, else ~/.pm2.
 *
 * out        absolute, without trailing slashes
 * errors     PM_CONFIG (no home directory known, or too long)
 */
PM_MUST_CHECK int pm_home_resolve(const char *opt_home, bool as_pm2, char *out, size_t size,
                                  struct pm_error *err);

/* home "/" name into out.  errors PM_LIMIT */
PM_MUST_CHECK int pm_home_file(const char *home, const char *name, char *out, size_t size,
                               struct pm_error *err);

/*
 * Open the home, made if need be (mode 0700, parents 0755) with its directories.
 *
 * fd         a directory descriptor, the caller's
 * errors     PM_DENIED (a symbolic link, not ours, or writable by others), else what the system
 * says
 */
PM_MUST_CHECK int pm_home_open(const char *home, int *fd, struct pm_error *err);

/*
 * The address of a socket in the home.  A path over the 107 bytes of sun_path is taken through a
 * descriptor: then *via_fd is open and the address is good while it stays so.
 *
 * via_fd     the caller's to close; -1 when the path fits
 */
PM_MUST_CHECK int pm_home_address(const char *home, const char *name, struct sockaddr_un *addr,
                                  socklen_t *len, int *via_fd, struct pm_error *err);

#endif
