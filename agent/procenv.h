/* procenv.h - the argument list and the environment of one process, from its app's spec. */
#ifndef PM_AGENT_PROCENV_H
#define PM_AGENT_PROCENV_H

#include "agent/listen_fds.h"
#include "agent/logs.h"
#include "agent/user.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

struct procenv {
	char **argv, **envp; /* owned, NULL-terminated */
	size_t n_argv, n_envp, cap_argv, cap_envp;
	char path[PATH_MAX]; /* the executable, absolute */
};

/* What a worker in cluster mode is told besides. */
struct procenv_worker {
	uint32_t node_id; /* cluster.worker.id; 0: it does not speak node's protocol */
	unsigned generation;
	const char *preload;     /* the file of ours for its kind (preload.h); NULL: none */
	const char *preload_env; /* the value of SHIM_ENV_FD, with the library */
	const char
		*node_preload; /* the file for node, where something else starts it; NULL: none */
	const struct listen_fds *listen;
};

struct procenv_facts {
	const char *home;
	bool pm2_home;
	uint32_t pm_id, instance, restarts;
	uint32_t first_instance; /* increment_var grows from this one */
	int64_t created_wall_ms, started_wall_ms;
	const char *unique_id;
	const struct log_names *names;
	const struct user *user;
	int ipc_fd;                          /* the channel's number in the child; -1: none */
	bool secrets;                        /* read env_files; false for display */
	const struct procenv_worker *worker; /* NULL: it shares no sockets */
	const char *notify_socket;           /* NULL: it is not to say how it does */
};

/*
 * Build both. Later ones win: the shell's and the spec's variables, env_files, then ours.
 *
 * errors  PM_CONFIG (env_file unreadable or malformed, too many variables), PM_NOT_FOUND (no
 * interpreter in PATH), PM_NO_MEMORY
 */
PM_MUST_CHECK int procenv_build(const Pm__AppSpec *spec, const struct procenv_facts *facts,
                                struct procenv *out, struct pm_error *err);
void procenv_finish(struct procenv *p); /* wipes the values before it frees them */

/* Where a name without a slash is in the app's PATH; a path stays as it is. errors: PM_NOT_FOUND,
 * PM_CONFIG (too long) */
PM_MUST_CHECK int procenv_find_program(const struct procenv *p, const char *name, char *out,
                                       size_t size, struct pm_error *err);

/* Whether the app gets a node channel: a node program, or one that was told to use it. */
bool procenv_wants_ipc(const Pm__AppSpec *spec);

#endif
