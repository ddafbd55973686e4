/* args.h - one command line: options, the verb, its arguments. Pure. */
#ifndef PM_CLI_ARGS_H
#define PM_CLI_ARGS_H

#include "cli/cmd.h"
#include "proto/spec_keys.h"

struct args;

/* An option that sets a key of an app, for spec_set_option(). */
struct args_app_option {
	const struct spec_key *key;
	const char *value; /* NULL: given without one */
	bool off;          /* the "no-" form */
	const char *name;  /* as typed, without the dashes */
};

/*
 * Read a command line. Options may stand before and after the verb, as --opt VALUE, --opt=VALUE, -o
 * VALUE, -oVALUE or bundled (-fx); what follows -- is passed on.
 *
 * argv       borrowed while *out lives; the = of --opt=value is overwritten
 * as_pm2     options that PM2 knows are taken at every verb
 * ownership  *out is the caller's: args_destroy()
 * errors     PM_USAGE: an unknown option (with the nearest one), a missing or superfluous value or
 *            argument, an unknown verb; PM_UNREACHABLE: an option of the fleet
 */
PM_MUST_CHECK int args_parse(int argc, char **argv, bool as_pm2, struct args **out,
                             struct pm_error *err);
void args_destroy(struct args *a); /* NULL is fine */
void args_destroyp(struct args **a);

const struct cmd *args_cmd(const struct args *a); /* NULL: no verb was given */
const char *args_verb(const struct args *a);      /* as typed; NULL likewise */

bool args_has(const struct args *a, const char *option);
/* Whether it was given and is the verb's own, where another option of all verbs has its name. */
bool args_is_own(const struct args *a, const char *option);
const char *args_get(const struct args *a, const char *option); /* the last; NULL: none, no value */
size_t args_n_values(const struct args *a, const char *option); /* times it was given */
const char *args_value(const struct args *a, const char *option, size_t nth);

size_t args_count(const struct args *a); /* arguments of the verb, without those after -- */
const char *args_at(const struct args *a, size_t i);
bool args_has_dashes(const struct args *a);                /* -- was given */
char *const *args_script(const struct args *a, size_t *n); /* what follows -- */

size_t args_n_app_options(const struct args *a);
const struct args_app_option *args_app_option(const struct args *a, size_t i);

/* The value of an option as a whole number of [min, max], or def when it was not given. */
PM_MUST_CHECK int args_number(const struct args *a, const char *option, int64_t min, int64_t max,
                              int64_t def, int64_t *out, struct pm_error *err);

#endif
