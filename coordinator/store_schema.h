/* store_schema.h - the tables, and how files of older versions come to have them. */
#ifndef PM_COORDINATOR_STORE_SCHEMA_H
#define PM_COORDINATOR_STORE_SCHEMA_H

#include "coordinator/store_sql.h"

/* Step i makes version i + 1 of version i: statements, ended by NULL.  A step that was released is
 * never changed. */
extern const char *const *const schema_steps[];
extern const size_t schema_n_steps;

/*
 * Bring an open file to the version of the last step, in one transaction, after a copy of it to
 * PATH.before-VERSION; a new file is filled.
 *
 * errors     PM_UNSUPPORTED (written by a newer version), PM_CORRUPT (not a store), PM_NO_SPACE ...
 */
PM_MUST_CHECK int schema_migrate(struct sql *q, const char *path, const char *const *const *steps,
                                 size_t n_steps, struct pm_error *err);

/*
 * Copy the whole of an open store as it is at one moment into a new file.
 *
 * errors     PM_EXISTS, PM_NO_SPACE, the system's
 */
PM_MUST_CHECK int schema_backup(struct sql *q, const char *to, struct pm_error *err);

#endif
