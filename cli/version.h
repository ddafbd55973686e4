/* version.h - versions of what runs: of the nearest package.json, of node. */
#ifndef PM_CLI_VERSION_H
#define PM_CLI_VERSION_H

#include "cli/spec_build.h"

#define VERSION_TEXT 64

/*
 * The "version" of the nearest package.json in the directory of script or above; out holds
 * VERSION_TEXT bytes and is "" if there is none. A damaged file counts as none: it is only shown.
 */
void version_of_package(struct build_cache *cache, const char *script, char *out);

/* What `node --version` prints ("v20.11.1"); "" if it does not answer within two seconds. */
void version_of_node(struct build_cache *cache, const char *node, char *out);

#endif
