/* key_nearest.h - the key of an app that a mistyped name was meant to be. Pure. */
#ifndef PM_CLI_KEY_NEAREST_H
#define PM_CLI_KEY_NEAREST_H

/* The key whose name or alias is at most two slips away, with dashes and camelCase read as
 * underscores; NULL if there is none. */
const char *key_nearest(const char *typed);

#endif
