/* spec_build.h - finishes a spec with what only the caller's machine knows: files, PATH,
 * environment. */
#ifndef PM_CLI_SPEC_BUILD_H
#define PM_CLI_SPEC_BUILD_H

#include "proto/spec_builder.h"

struct build_cache;

/* What the specs of one command have in common. All borrowed. */
struct build_context {
	const char *cwd;           /* the caller's directory, absolute */
	char *const *environment;  /* the caller's, as environ(7) */
	unsigned n_cpus;           /* as the agent sees them: what `-i max` means; 0 counts as 1 */
	bool as_pm2;               /* the whole environment is taken, node_version is found out */
	const char *profile;       /* --env NAME; NULL: none */
	struct build_cache *cache; /* versions found so far; NULL: none is kept */
};

/* Remembers what many apps ask for: package versions by directory, the version of node. */
struct build_cache *build_cache_create(void) PM_MUST_CHECK;
void build_cache_destroy(struct build_cache *cache);

/*
 * Make the spec that the agent takes: paths absolute, interpreter found, name and mode decided,
 * variables of the shell taken (S-16), everything checked by spec_validate().
 *
 * ownership  *out is the caller's; the builder has lost its spec and only awaits its finish
 * errors     PM_CONFIG, PM_NOT_FOUND (script or interpreter), PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int spec_build(struct spec_builder *b, const struct build_context *ctx,
                             Pm__AppSpec **out, struct pm_error *err);

/*
 * Whether text names an environment variable that is taken from the caller's shell for an app that
 * asks for these patterns; `all` as under the name pm2. What belongs to one process only (PWD,
 * NODE_CHANNEL_FD, ...) or to a manager of services (LISTEN_FDS, ...) never is.
 */
bool spec_takes_env(const char *name, char *const *patterns, size_t n_patterns, bool all);

/* The patterns of what every app is given of the shell's; *out is static. Returns how many. */
size_t spec_taken_env(const char *const **out);

/*
 * The variables that --update-env takes anew.
 *
 * spec       for its filter_env; pm2_env tells that all were taken
 * ownership  the list is the caller's
 */
PM_MUST_CHECK int spec_shell_env(const Pm__AppSpec *spec, char *const *patterns, size_t n_patterns,
                                 const struct build_context *ctx, Pm__EnvVar ***list, size_t *n,
                                 struct pm_error *err);

#endif
