/* config_file.h - reads an application file into a document tree, by its kind. */
#ifndef PM_CLI_CONFIG_FILE_H
#define PM_CLI_CONFIG_FILE_H

#include "cli/config_parse.h"

/*
 * Read and parse a file.
 *
 * path     as the user wrote it, relative to cwd; "-": JSON from stdin
 * errors   PM_NOT_FOUND, PM_DENIED, PM_CONFIG with *place, PM_DEADLINE, PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int config_file_read(const char *path, const char *cwd, char *const *environment,
                                   struct doc *doc, const struct doc_node **root,
                                   struct config_place *place, struct pm_error *err);

#endif
