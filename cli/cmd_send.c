#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/target.h"

static const struct action action = {
	.verb = PM__VERB__VERB_SEND,
	.name = "send",
	.done = "sent",
	.pm2_table = true,
};

static int send_run(struct ctx *ctx, struct pm_error *err)
{
	const char *id = args_at(ctx->args, 0);
	PM_FREE char *line = NULL;
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	PM_BUF text = { 0 };

	for (size_t i = 1; i < args_count(ctx->args); i++)
		pm_buf_printf(&text, "%s%s", i == 1 ? "" : " ", args_at(ctx->args, i));
	pm_buf_str(&text, "");
	line = pm_buf_take(&text);
	if (line == NULL)
		return pm_fail(err, PM_NO_MEMORY, "send");
	cmd.text = line;
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (act_on_words(ctx, &action, &cmd, &id, 1, &account, err) < 0) {
		if (ctx->as_pm2 && err->code == PM_NOT_FOUND)
			return pm_fail(err, PM_NOT_FOUND, "Error: Process with ID <%s> unknown.",
			               id);
		return -1;
	}
	return act_finish(ctx, &action, &account, err);
}

const struct cmd cmd_send = {
	.name = "send",
	.args = "APP TEXT",
	.pm2_needs = "proc_id",
	.summary = "write TEXT and a newline to the standard input of APP",
	.min_args = 2,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_FLEET,
	.run = send_run,
};
