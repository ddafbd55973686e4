/* rollout_params.h - how a rollout is to be carried out: the names, defaults and limits of its
 * options, the same on the command line, in an app file's `rollout:` block and on the wire. Pure.
 */
#ifndef PM_PROTO_ROLLOUT_PARAMS_H
#define PM_PROTO_ROLLOUT_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/rollout_gate.h"

#define ROLLOUT_BATCHES_MAX 32
#define ROLLOUT_WAVE_MAX    256
#define ROLLOUT_TEXT_MAX    1024 /* of any option, with its NUL */

/* A number of hosts, or a part of all of them. */
struct rollout_share {
	uint32_t value;
	bool percent;
};

enum rollout_failure {
	ROLLOUT_ON_FAILURE_PAUSE,
	ROLLOUT_ON_FAILURE_ROLLBACK,
	ROLLOUT_ON_FAILURE_CONTINUE,
};

enum rollout_unreachable {
	ROLLOUT_UNREACHABLE_SKIP,
	ROLLOUT_UNREACHABLE_FAIL,
	ROLLOUT_UNREACHABLE_WAIT,
};

enum rollout_order {
	ROLLOUT_ORDER_SORTED, /* by name, as people count */
	ROLLOUT_ORDER_SHUFFLE,
};

/* FLEET 1.1, 1.6, 1.7.  Names of the options are those in rollout_params.c's table. */
struct rollout_params {
	struct rollout_share batch[ROLLOUT_BATCHES_MAX]; /* a ramp; the last holds for the rest */
	unsigned n_batch;
	struct rollout_share max_down; /* percent rounds down, at least 1 */
	struct rollout_share max_fail; /* more than this is failure; over the whole rollout */
	uint32_t wait_ms;              /* between batches */
	bool wait_ask;                 /* an operator promotes each batch */
	uint32_t canary_hold_ms;       /* behind the first batch */
	bool canary_ask;
	uint32_t min_healthy_ms, healthy_deadline_ms, progress_deadline_ms, monitor_ms;
	enum rollout_failure on_failure;
	enum rollout_unreachable unreachable;
	uint32_t unreachable_wait_ms;
	struct rollout_share max_unreachable;
	bool lost_continue; /* class C does not pause */
	bool include_drained;
	enum rollout_order order;
	uint64_t seed;
	char wave[ROLLOUT_WAVE_MAX];  /* label: all hosts of one value before the next; "": none */
	uint32_t bake_ms;             /* between waves */
	uint32_t wait_lock_ms;        /* 0: a lock that another has is a refusal */
	uint32_t catch_up_ms;         /* 0: hosts that were not reached stay as they are (F-28) */
	char gates[ROLLOUT_TEXT_MAX]; /* between batches (rollout_gate.h), a line each; "": none */
	uint32_t gate_timeout_ms, gate_wait_ms; /* of one try, and before the next */
	uint32_t gate_retries;
};

/* One option, for help, man pages and completion. */
struct rollout_option {
	const char *name;   /* "max_fail"; on the command line --max-fail */
	const char *value;  /* "N|N%" */
	const char *normal; /* the default, as text; "" for none */
	const char *words;  /* what it does, one line */
};
const struct rollout_option *rollout_options(size_t *n);

void rollout_params_default(struct rollout_params *p);
/*
 * Set one by its name ('-' is as good as '_') from text.
 *
 * errors     PM_USAGE: no such option (with the nearest as hint), or not a value of it
 */
PM_MUST_CHECK int rollout_params_set(struct rollout_params *p, const char *name, const char *value,
                                     struct pm_error *err);
/*
 * Whether they go together (F-15): min_healthy < healthy_deadline < progress_deadline, a number of
 * hosts in a batch that is above the number that may be out, unreachable=wait without a time, and
 * so on.  A batch in percent may be above max_down: it is worked through max_down at a time.
 *
 * n_hosts    0: not known yet
 * errors     PM_USAGE
 */
PM_MUST_CHECK int rollout_params_check(const struct rollout_params *p, size_t n_hosts,
                                       struct pm_error *err);
/* The value of an option as it holds, as text that rollout_params_set() takes; i is its index in
 * rollout_options(), and out has room for ROLLOUT_TEXT_MAX.  false: it has none. */
bool rollout_params_text(const struct rollout_params *p, size_t i, char *out, size_t size);

/* The i-th gate; false: there are no more. */
bool rollout_params_gate(const struct rollout_params *p, size_t i, struct rollout_gate *out);

/* So many of n: up or down, at least `least`, at most n. */
size_t rollout_share_up(struct rollout_share s, size_t n, size_t least);
size_t rollout_share_down(struct rollout_share s, size_t n, size_t least);

#endif
