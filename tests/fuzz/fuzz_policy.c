/* fuzz_policy.c - policies from anywhere: whatever they say, no role runs a command. */
#include <stdlib.h>
#include <string.h>

#include "agent/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy_usage usage;
	struct policy_request r = {
		.role = PM_ROLE_ADMIN, .command = "/bin/true", .app = "api", .app_is_local = true
	};
	struct policy_verdict v;
	struct policy *p;
	struct pm_error err;

	if (policy_parse((const char *)data, size, &p, &err) < 0)
		return 0;
	memset(&usage, 0, sizeof(usage));
	for (int op = 0; op <= FLEET_OPS; op++) {
		r.op = (enum fleet_op)op;
		policy_decide(p, &r, &usage, 5, &v);
		if (v.allowed && (op == FLEET_EXEC || op == FLEET_OPS))
			abort();
	}
	if (policy_min_up(p, "api", 10) > 99999)
		abort();
	policy_destroy(p);
	return 0;
}
