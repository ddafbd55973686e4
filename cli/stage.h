/* stage.h - specs on their way to the agent: from files and scripts to staged commands. */
#ifndef PM_CLI_STAGE_H
#define PM_CLI_STAGE_H

#include "cli/act.h"

/*
 * Read a configuration file (the options of the command line override it), push its specs, send the
 * action: what exists is started again, restarted or reloaded, the rest is started.
 *
 * errors     PM_CONFIG (all problems have been printed then), those of act_send()
 */
PM_MUST_CHECK int stage_config(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                               const char *path, struct account *account, struct pm_error *err);

/*
 * The spec of one script with the options of the command line and what follows --.
 *
 * ownership  *out is the caller's: spec_free()
 */
PM_MUST_CHECK int stage_script(struct ctx *ctx, const char *script, Pm__AppSpec **out,
                               struct pm_error *err);

/* PM2's line about an app with a cron; nothing for others. */
void stage_pm2_cron(const struct ctx *ctx, const Pm__AppSpec *spec);

#endif
