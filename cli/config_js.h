/* config_js.h - configuration files that only JavaScript can evaluate, through the user's node. */
#ifndef PM_CLI_CONFIG_JS_H
#define PM_CLI_CONFIG_JS_H

#include "cli/config_parse.h"

struct config_js_order {
	const char *file;         /* absolute */
	const char *cwd;          /* what process.cwd() says in it */
	char *const *environment; /* for PATH: where node is looked up */
	bool expression;          /* the file is one expression (.json), not a module */
	int time_ms;              /* PM_CONFIG_JS_MS */
};

/*
 * Let node load the file and take its value as a tree, without places: functions and undefined are
 * left out, regular expressions become their source. What the file prints goes to stderr.
 *
 * errors  PM_CONFIG with *place when node names one: it threw, exited, or exports nothing;
 *         PM_NOT_FOUND: no node in PATH; PM_DEADLINE; PM_LIMIT (PM_CONFIG_MAX bytes)
 */
PM_MUST_CHECK int config_load_js(const struct config_js_order *order, struct doc *doc,
                                 const struct doc_node **root, struct config_place *place,
                                 struct pm_error *err);

#endif
