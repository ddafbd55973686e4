/*
 * probe.h - one look at an instance: a GET, a connection, or a program that is run.
 *
 * What is looked at over TCP sockets that the instances of an app share is this instance and no
 * other (sockets_aim()). A unix socket that they share is answered by whoever accepts, and a port
 * that pmd does not own by whoever listens there.
 */
#ifndef PM_AGENT_PROBE_H
#define PM_AGENT_PROBE_H

#include "agent/instance.h"
#include "proto/check.h"

struct probe;
struct probe_exec;

/* Words of a result, such as "http 503 from /healthz". */
#define PROBE_WORDS_MAX 160

struct probe_result {
	bool ok;
	bool aimed; /* the connection went to this instance's own queue, whether it accepts or not
	             */
	char words[PROBE_WORDS_MAX]; /* "" when ok */
};

/* Called once, from the loop, unless the probe is cancelled; as the probe's last act. */
typedef void probe_done_fn(void *arg, const struct probe_result *result);

/*
 * Begin one.
 *
 * check   borrowed until done
 * target  what check_parse() said of it; copied
 * errors  PM_LIMIT (too many at once: soon again), PM_NO_MEMORY, PM_INTERNAL
 */
PM_MUST_CHECK int probe_start(struct instance *inst, const Pm__HealthCheck *check,
                              const struct check_target *target, probe_done_fn *done, void *arg,
                              struct probe **out, struct pm_error *err);
/* It is not called back any more. NULL is fine. */
void probe_cancel(struct probe *p);

/* The same for a program: run as the app's user in its directory with its environment, without a
 * shell. PM_CHECK_EXECS_MAX run at a time, others wait for their turn. */
PM_MUST_CHECK int probe_exec_start(struct instance *inst, const Pm__HealthCheck *check,
                                   probe_done_fn *done, void *arg, struct probe_exec **out,
                                   struct pm_error *err);
void probe_exec_cancel(struct probe_exec *p);

#endif
