/* fleet_keys.h - a context's keys, while one takes the place of another (S-06): ours, in its file
 * and .next beside it, and the coordinator's, which the context tells.
 */
#ifndef PM_CLI_FLEET_KEYS_H
#define PM_CLI_FLEET_KEYS_H

#include "cli/context.h"
#include "cli/fleet_client.h"

struct fleet_keys {
	struct pm_key *key;  /* owned */
	struct pm_key *next; /* owned; NULL: there is one key */
};

/* errors     those of pm_keyfile_load() */
PM_MUST_CHECK int fleet_keys_load(const struct context *one, struct fleet_keys *out,
                                  struct pm_error *err);
void fleet_keys_finish(struct fleet_keys *k); /* zeroed is fine */

/*
 * Connect with the keys that are good, and see to it that those are there the next time.
 *
 * options    addresses, coordinator and key are filled in here
 * used       which key of ours it was; borrowed from k
 * errors     those of fleet_client_connect()
 */
PM_MUST_CHECK int fleet_keys_connect(const struct context *one, struct fleet_keys *k,
                                     struct fleet_client_options *options, bool locked,
                                     struct fleet_client **out, const struct pm_key **used,
                                     struct pm_error *err);

#endif
