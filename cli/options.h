/* options.h - options of apps on a command line: from arguments to specs and patches. */
#ifndef PM_CLI_OPTIONS_H
#define PM_CLI_OPTIONS_H

#include "cli/ctx.h"
#include "cli/spec_build.h"

/* Set every app option of the command line. errors: PM_CONFIG with the option's name */
PM_MUST_CHECK int options_apply(const struct ctx *ctx, struct spec_builder *b,
                                struct pm_error *err);

/*
 * What building a spec needs to know of this machine and the agent.
 *
 * cwd        PM_PATH_MAX bytes, the caller's; lives as long as *out
 */
PM_MUST_CHECK int options_context(struct ctx *ctx, char *cwd, struct build_context *out,
                                  struct pm_error *err);

/* The options of restart and reload as a command has them; owns what it points to. */
struct options_patch {
	struct spec_builder builder;
	Pm__SpecPatch patch;
	Pm__EnvVar **env;
	size_t n_env;
	bool has_builder;
};

/* Fill in parallel, force and no_wait. */
PM_MUST_CHECK int options_flags(const struct ctx *ctx, Pm__Command *cmd, struct pm_error *err);

/*
 * Fill in cmd->patch from the app options, cmd->update_env and cmd->shell_env from --update-env;
 * done already, nothing happens.
 *
 * ownership  the patch must live as long as the command: options_patch_finish()
 */
PM_MUST_CHECK int options_patch(struct ctx *ctx, struct options_patch *p, Pm__Command *cmd,
                                struct pm_error *err);
void options_patch_finish(struct options_patch *p);

#define PM_PATCH PM_CLEANUP(options_patch_finish) struct options_patch

#endif
