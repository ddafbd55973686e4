/* spec_redact.h - an app's declaration without the values of its environment (S-17). Pure. */
#ifndef PM_AGENT_SPEC_REDACT_H
#define PM_AGENT_SPEC_REDACT_H

#include <stdbool.h>

#include "proto/pm.pb-c.h"

/* Borrows all but the variables from the spec that it was made of. */
struct redacted_spec {
	Pm__AppSpec spec;
	Pm__EnvVar *vars;                 /* owned: all of them */
	Pm__EnvVar **lists;               /* owned: of env, then of each profile */
	Pm__EnvProfile *profiles, **list; /* owned */
};

/* Names stay, each value becomes "[redacted]".  false: out of memory, and nothing was made. */
bool redacted_spec_make(struct redacted_spec *r, const Pm__AppSpec *spec);
void redacted_spec_finish(struct redacted_spec *r); /* a zeroed one is fine */

#endif
