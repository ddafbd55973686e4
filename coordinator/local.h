/* local.h - what is done on the coordinator's own machine, whether it runs or not. */
#ifndef PM_COORDINATOR_LOCAL_H
#define PM_COORDINATOR_LOCAL_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

/* The file in the home that says where a running coordinator listens. */
#define COORDINATOR_ADDRESS_FILE "listen"
#define COORDINATOR_KEY_FILE     "keys/coordinator.key"
#define COORDINATOR_STORE_DIR    "store"

/*
 * Have an operator's token made: by the coordinator that runs, which knows this machine by its own
 * key, or in its store.
 *
 * errors  those of the store, PM_UNREACHABLE, PM_DENIED (the home is another user's)
 */
PM_MUST_CHECK int local_token(const char *home, const Pm__TokenCreate *what, struct pm_error *err);

/*
 * Copy the store into backups/NAME of the home ("": named by the time), while the coordinator runs
 * or not, and print where it is.
 *
 * errors  as local_token(), and PM_EXISTS
 */
PM_MUST_CHECK int local_backup(const char *home, const char *name, struct pm_error *err);

/*
 * Replace the coordinator's key (S-06): make the next one, unless there is one, and have everybody
 * told of it; or end the present one now.  Prints how far it has got.
 *
 * finish  end the present one, unless that would cut a node off
 * force   whoever is cut off
 * errors  as local_token(), and PM_NOT_FOUND (finish: there is no next one)
 */
PM_MUST_CHECK int local_rotate(const char *home, bool finish, bool force, struct pm_error *err);

#endif
