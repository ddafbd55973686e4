#include "cli/ctx.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/dump_file.h"
#include "cli/target.h"

int ctx_connect(struct ctx *ctx, bool start, struct pm_error *err)
{
	struct client_options options = {
		/* Where none is running all is new, and a plan starts none. */
		.start_agent = start && !args_has(ctx->args, "plan"),
		.as_pm2 = ctx->as_pm2,
		.timeout_ms = ctx->timeout_ms,
		.program = ctx->program,
	};

	if (ctx->client != NULL)
		return 0;
	if (client_connect(ctx->home, &options, &ctx->client, err) < 0)
		return -1;
	if (ctx->as_pm2)
		dump_make_module_conf(ctx->home);
	if (client_started_agent(ctx->client) && ctx->as_pm2 && ctx->tty_out) {
		say(ctx, "Spawning PM2 daemon with pm2_home=%s", ctx->home);
		say(ctx, "PM2 Successfully daemonized");
	}
	return 0;
}

int ctx_status(struct ctx *ctx, const char *text, enum ctx_detail detail,
               struct client_status **out, struct pm_error *err)
{
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;
	struct target_list list = { 0 };
	int rc;

	req.detail = detail == CTX_LIST ? PM__DETAIL__DETAIL_LIST : PM__DETAIL__DETAIL_FULL;
	req.environment = detail == CTX_ENVIRONMENT;
	req.sample = true; /* memory and CPU as they are now */
	if (text != NULL) {
		if (target_list_add(&list, text, err) < 0) {
			target_list_finish(&list);
			return -1;
		}
		req.targets = list.targets;
		req.n_targets = list.n;
	}
	rc = client_status(ctx->client, &req, ctx->timeout_ms, out, err);
	target_list_finish(&list);
	if (rc < 0)
		return -1;
	if (text != NULL && (*out)->n_instances == 0) {
		client_status_destroy(*out);
		*out = NULL;
		return pm_fail(err, PM_NOT_FOUND, "%s: no such app", text);
	}
	return 0;
}
