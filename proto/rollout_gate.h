/* rollout_gate.h - what is asked between the batches of a rollout (F-25), as people write it. Pure.
 *
 *   exec NAME               a program that the coordinator's administrator has put there
 *   http http://HOST/PATH   answers 2xx
 *   prom EXPR OP NUMBER     every sample that the expression has compares so, and there is one
 */
#ifndef PM_PROTO_ROLLOUT_GATE_H
#define PM_PROTO_ROLLOUT_GATE_H

#include "proto/address.h"

#define ROLLOUT_GATES_MAX  8
#define ROLLOUT_GATE_BYTES 256 /* of one, with its NUL */

enum rollout_gate_kind {
	ROLLOUT_GATE_EXEC,
	ROLLOUT_GATE_HTTP,
	ROLLOUT_GATE_PROM,
};

enum rollout_gate_op {
	ROLLOUT_GATE_LESS,
	ROLLOUT_GATE_LESS_OR_EQUAL,
	ROLLOUT_GATE_MORE,
	ROLLOUT_GATE_MORE_OR_EQUAL,
	ROLLOUT_GATE_EQUAL,
	ROLLOUT_GATE_NOT_EQUAL,
};

struct rollout_gate {
	enum rollout_gate_kind kind;
	char text[ROLLOUT_GATE_BYTES];  /* all of it, as it was written */
	char value[ROLLOUT_GATE_BYTES]; /* EXEC: the name; HTTP: the path; PROM: the expression */
	struct pm_address at;           /* HTTP */
	enum rollout_gate_op op;        /* PROM, with number */
	double number;
};

/*
 * Read one; blanks around it are left out.
 *
 * errors     PM_USAGE
 */
PM_MUST_CHECK int rollout_gate_parse(const char *text, size_t len, struct rollout_gate *out,
                                     struct pm_error *err);

/* An http:// URL, also of a Prometheus: where, and the path with its query ("/" if it has none).
 * errors: PM_USAGE */
PM_MUST_CHECK int rollout_gate_parse_url(const char *url, struct pm_address *at,
                                         char path[ROLLOUT_GATE_BYTES], struct pm_error *err);

/* Whether a sample compares so; what is no number (NaN) never does. */
bool rollout_gate_holds(const struct rollout_gate *g, double sample);

#endif
