/* policy.h - what this machine lets a coordinator do, whatever the coordinator thinks. Pure.
 *
 * The rules are lines of a file that only root writes and nothing from the network changes (S-08).
 * What no line allows is refused.  pmd-policy(5) describes the form.
 */
#ifndef PM_AGENT_POLICY_H
#define PM_AGENT_POLICY_H

#include <stddef.h>

#include "proto/error.h"
#include "proto/limits.h"
#include "proto/ops.h"

struct policy;

/*
 * Read the text of a policy file.
 *
 * ownership  *out is the caller's, for policy_destroy()
 * errors     PM_CONFIG with line and column, PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int policy_parse(const char *text, size_t len, struct policy **out,
                               struct pm_error *err);

/* The text that counts where there is no file (S-09): to see, and to run what is defined here. */
const char *policy_default_text(void);

void policy_destroy(struct policy *p); /* NULL is fine */
void policy_destroyp(struct policy **p);

/* Uses counted so far: plain data, to be saved as it is and given back after a restart. */
struct policy_usage {
	uint8_t boot[16]; /* of the kernel: its clock began anew with another */
	struct {
		uint64_t what;    /* a rule and an operation; 0: a free slot */
		uint64_t hour_ms; /* since boot: when the first of these uses was */
		uint32_t used;
		uint32_t spare;
	} counts[PM_POLICY_COUNTS_MAX];
};

/*
 * Go on with usage that was saved, perhaps before a boot: no rate is freed by that, an hour that
 * was under way begins anew.
 */
void policy_usage_resume(struct policy_usage *u, const uint8_t boot[16], uint64_t now_ms);

struct policy_request {
	enum pm_rank rank; /* of who asks, as the coordinator says */
	const char *key;   /* of who asks, as text; NULL: not known */
	enum pm_op op;
	const char *app;   /* NULL where the operation has none */
	bool app_is_local; /* defined on this machine, not by a coordinator */
	/* Of the app: declared, up now, and the fewest that will be up while it is done. */
	uint32_t instances, up_now, up_least;
};

struct policy_verdict {
	bool allowed;
	bool rate; /* refused only because of the rate: later it may be allowed */
	char why[160];
};

/*
 * Decide, and count the use if it is allowed.
 *
 * now_ms     since boot (pm_now_ms())
 */
void policy_decide(const struct policy *p, const struct policy_request *r, struct policy_usage *u,
                   uint64_t now_ms, struct policy_verdict *out);

/* How many of an app's instances must stay up; 0: none. */
uint32_t policy_min_up(const struct policy *p, const char *app, uint32_t instances);

#endif
