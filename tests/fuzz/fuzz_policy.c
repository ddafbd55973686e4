/* fuzz_policy.c - policies from anywhere: whatever they say, what is never done from afar is not.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy_usage usage;
	struct policy_request r = { .rank = PM_RANK_ADMIN, .app = "api", .app_is_local = true };
	struct policy_verdict v;
	struct policy *p;
	struct pm_error err;

	if (policy_parse((const char *)data, size, &p, &err) < 0)
		return 0;
	memset(&usage, 0, sizeof(usage));
	for (int op = 0; op < PM_OP_COUNT; op++) {
		r.op = (enum pm_op)op;
		policy_decide(p, &r, &usage, 5, &v);
		if (v.allowed && op >= PM_OP_LOCAL)
			abort();
	}
	if (policy_min_up(p, "api", 10) > 99999)
		abort();
	policy_destroy(p);
	return 0;
}
