/* envfile.h - reads files of KEY=VALUE lines, as env_file names them. Pure. */
#ifndef PM_PROTO_ENVFILE_H
#define PM_PROTO_ENVFILE_H

#include "proto/base.h"
#include "proto/error.h"

/*
 * One variable; name and value are valid during the call only. Returning -1, with err set, ends the
 * reading with that error.
 */
typedef int envfile_fn(void *arg, const char *name, const char *value, struct pm_error *err);

/*
 * Call fn for each variable, in the order of the file; of one name the last counts.
 *
 *   # a comment                    export NAME=value      is NAME=value
 *   NAME=plain text # a comment    blanks around it are dropped; '#' needs a blank before it
 *   NAME='as it is'                may go over several lines
 *   NAME="with \n \t \" \\ \$"     the same, with these escapes
 *
 * Nothing is expanded: $HOME is five characters. A value is never part of an error's text.
 *
 * errors  PM_CONFIG "line N: ...", PM_LIMIT, PM_NO_MEMORY, and what fn returns
 */
PM_MUST_CHECK int envfile_parse(const char *bytes, size_t len, envfile_fn *fn, void *arg,
                                struct pm_error *err);

#endif
