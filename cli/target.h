/* target.h - lists of targets as the agent takes them. */
#ifndef PM_CLI_TARGET_H
#define PM_CLI_TARGET_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

struct target_list {
	Pm__Target **targets; /* owned, with their texts */
	size_t n;
};

void target_list_finish(struct target_list *list);

/*
 * Add a target: "all", a name, a namespace, a pm_id, or a script as a path against the cwd.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int target_list_add(struct target_list *list, const char *text, struct pm_error *err);

/* Add one instance by its id. */
PM_MUST_CHECK int target_list_add_id(struct target_list *list, uint32_t pm_id,
                                     struct pm_error *err);

/* Whether text is written /like this/. */
bool target_is_regex(const char *text);

/*
 * Add the instances whose name matches /regex/.
 *
 * errors     PM_USAGE (not a regular expression), PM_NOT_FOUND (no name matches)
 */
PM_MUST_CHECK int target_list_add_regex(struct target_list *list, const char *text,
                                        Pm__InstanceStatus *const *instances, size_t n,
                                        struct pm_error *err);

/* Whether PM2 takes the text for a configuration file: it holds .json, .yml, .config.js ... */
bool target_is_config(const char *text);

/* Whether the text is a number, which may be a pm_id. */
bool target_is_number(const char *text);

/*
 * A JavaScript regular expression as a POSIX extended one: \d \w \s and their opposites, (?:.
 *
 * errors     PM_USAGE: a construct that has no translation
 */
PM_MUST_CHECK int target_translate_regex(const char *js, char *out, size_t size,
                                         struct pm_error *err);

#endif
