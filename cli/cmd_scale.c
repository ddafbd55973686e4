#include <stdlib.h>
#include <string.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/fleet.h"
#include "cli/target.h"
#include "proto/units.h"

static const struct action action = {
	.verb = PM__VERB__VERB_SCALE,
	.name = "scale",
	.done = "scaled",
	.pm2_table = true,
};

/* PM2's words depend on the direction. */
static int pm2_say(struct ctx *ctx, const char *name, int64_t count, bool relative,
                   const struct client_status *status, struct pm_error *err)
{
	int64_t now = (int64_t)status->n_instances, want = relative ? now + count : count;

	if (want == now)
		return pm_fail(err, PM_USAGE, "Nothing to do");
	if (want > now)
		say(ctx, "Scaling up application");
	for (int64_t i = 0; i < now - want; i++) {
		uint32_t id = status->instances[i]->pm_id;

		say(ctx, "Applying action deleteProcessId on app [%u](ids: [ %u ])", id, id);
		say(ctx, "[%s](%u) ✓", name, id);
	}
	return 0;
}

static int scale_run(struct ctx *ctx, struct pm_error *err)
{
	const char *name = args_at(ctx->args, 0), *count = args_at(ctx->args, 1);
	bool relative = count[0] == '+' || count[0] == '-';
	Pm__Command cmd = PM__COMMAND__INIT;
	struct target_list list = { 0 };
	PM_STATUS *status = NULL;
	PM_ACCOUNT account = { 0 };
	int64_t n;
	int rc;

	if (!pm_parse_int(count, &n) || n < -PM_SLOTS_MAX || n > PM_SLOTS_MAX) {
		pm_fail(err, PM_USAGE, "scale %s: expected a number, +N or -N, found '%s'", name,
		        count);
		return -1;
	}
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (!fleet_is_wide(ctx) && ctx_status(ctx, name, CTX_LIST, &status, err) < 0) {
		if (err->code == PM_NOT_FOUND && ctx->as_pm2)
			return pm_fail(err, PM_NOT_FOUND, "Application %s not found", name);
		return pm_wrap(err, "scale");
	}
	cmd.count = (int32_t)n;
	cmd.relative = relative;
	rc = ctx->as_pm2 ? pm2_say(ctx, name, n, relative, status, err) : 0;
	if (rc == 0)
		rc = target_list_add(&list, name, err);
	cmd.targets = list.targets;
	cmd.n_targets = list.n;
	if (rc == 0)
		rc = act_send(ctx, &action, &cmd, &account, err);
	target_list_finish(&list);
	return rc < 0 ? -1 : act_finish(ctx, &action, &account, err);
}

const struct cmd cmd_scale = {
	.name = "scale",
	.args = "APP N|+N|-N",
	.pm2_needs = "app_name",
	.summary = "run N instances of APP, or N more or fewer",
	.min_args = 2,
	.max_args = 2,
	.flags = CMD_JSON | CMD_NUMBERS | CMD_FLEET | CMD_PLANS | CMD_ROLLOUT,
	.run = scale_run,
};
