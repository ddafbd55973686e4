/* gates.h - the gates of a rollout (F-25): each is asked until it passes or has failed often
 * enough, one after another; and what the coordinator's administrator lets them do.
 *
 * Whoever may begin a rollout names gates, and is nobody to the machine that the coordinator runs
 * on: so programs are only those that root has put into one directory, without arguments, and
 * requests go only to addresses that were allowed on the command line.
 */
#ifndef PM_COORDINATOR_GATES_H
#define PM_COORDINATOR_GATES_H

#include <sys/socket.h>
#include <uv.h>

#include "proto/rollout_params.h"

#define GATES_DIR       "/etc/pmd/gates"
#define GATES_ALLOW_MAX 32
#define GATE_WORDS_MAX  192

/* An address prefix; IPv4 ones are as IPv6 has them. */
struct gates_prefix {
	uint8_t bytes[16];
	unsigned bits;
};

/* Texts are borrowed. */
struct gates_config {
	const char *dir; /* NULL: GATES_DIR */
	struct gates_prefix allow[GATES_ALLOW_MAX];
	unsigned n_allow;
	bool has_prometheus;
	struct pm_address prometheus;
	char prometheus_path[ROLLOUT_GATE_BYTES];
};

/* "10.0.0.0/8", "::1", "fd00::/8".  errors: PM_USAGE */
PM_MUST_CHECK int gates_allow(struct gates_config *c, const char *prefix, struct pm_error *err);
/* errors: PM_USAGE, PM_UNSUPPORTED */
PM_MUST_CHECK int gates_set_prometheus(struct gates_config *c, const char *url,
                                       struct pm_error *err);
bool gates_may_ask(const struct gates_config *c, const struct sockaddr *to);

/*
 * Whether all of them can be asked here, as far as is known before.
 *
 * errors     PM_DENIED: not allowed, with what to add as hint; PM_NOT_FOUND: no such program
 */
PM_MUST_CHECK int gates_check(const struct gates_config *c, const struct rollout_params *p,
                              struct pm_error *err);

/* What programs are told, by their environment; borrowed for the call. */
struct gates_facts {
	const char *rollout;
	char *const *apps;
	size_t n_apps;
	uint32_t batch, n_batches;
};

/* One has passed or failed for good, in words; the last call says so by `over`. */
typedef void gates_fn(void *arg, bool over, bool passed, const char *words);

struct gates;

/*
 * Ask them all; fn is told from the loop, and not after gates_cancel().
 *
 * c          borrowed until the end
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int gates_ask(uv_loop_t *loop, const struct gates_config *c,
                            const struct rollout_params *p, const struct gates_facts *facts,
                            gates_fn *fn, void *arg, struct gates **out, struct pm_error *err);
/* NULL is fine. A program that runs is killed. */
void gates_cancel(struct gates *g);

/* ---- between gates.c and those that ask one ---- */

typedef void gate_done_fn(void *arg, bool passed, const char *words);

struct gate_http;
/* GET of a HTTP or PROM gate.  errors: PM_NO_MEMORY, PM_DENIED */
PM_MUST_CHECK int gate_http_start(uv_loop_t *loop, const struct gates_config *c,
                                  const struct rollout_gate *gate, uint32_t timeout_ms,
                                  gate_done_fn *done, void *arg, struct gate_http **out,
                                  struct pm_error *err);
void gate_http_cancel(struct gate_http *h);

struct gate_exec;
/* Where it is, if it may be run.  errors: PM_NOT_FOUND, PM_DENIED */
PM_MUST_CHECK int gate_exec_find(const struct gates_config *c, const char *name, char *path,
                                 size_t size, struct pm_error *err);
/* env: NULL at its end, borrowed for the call.  errors: those of gate_exec_find(), the system's */
PM_MUST_CHECK int gate_exec_start(uv_loop_t *loop, const struct gates_config *c, const char *name,
                                  char **env, uint32_t timeout_ms, gate_done_fn *done, void *arg,
                                  struct gate_exec **out, struct pm_error *err);
void gate_exec_cancel(struct gate_exec *e);

/* What a Prometheus has answered to the query (HTTP API, /api/v1/query); words are for people. */
bool gate_prom_passes(const struct rollout_gate *gate, const char *json, size_t len, char *words,
                      size_t size);

#endif
