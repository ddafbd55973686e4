/*
 * env_pool.h - environments that several apps have in common, each kept once: a thousand apps of
 * one file have one PATH.
 *
 * Settings that do not change any more are kept as one block of memory (proto/spec.h) and a share
 * in an environment.
 */
#ifndef PM_AGENT_ENV_POOL_H
#define PM_AGENT_ENV_POOL_H

#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define ENV_POOL_BUCKETS 256u

struct env_pool {
	struct shared_env *buckets[ENV_POOL_BUCKETS]; /* zeroed: empty */
	size_t n;                                     /* environments that differ */
};

/*
 * A copy of a spec, whose environment is shared; it must not be changed but in place, and its
 * environment not at all.
 *
 * ownership  *out is the caller's, for env_pool_free() before the pool goes
 * errors     PM_NO_MEMORY, PM_LIMIT, PM_UNSUPPORTED (variables say more than this pmd knows)
 */
PM_MUST_CHECK int env_pool_freeze(struct env_pool *pool, const Pm__AppSpec *spec, Pm__AppSpec **out,
                                  struct pm_error *err);
void env_pool_free(Pm__AppSpec *frozen); /* NULL: nothing */

#endif
