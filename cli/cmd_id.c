/* cmd_id.c - id, pid, is-online: one fact about an app, for scripts. */
#include <stdio.h>
#include <string.h>

#include "cli/apps.h"
#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/inspect.h"
#include "cli/json_out.h"

/* Status of what a word names; under the name pm2 an unknown one is an empty list. */
static int status_of(struct ctx *ctx, const char *word, struct client_status **status,
                     struct pm_error *err)
{
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (ctx_status(ctx, word, CTX_LIST, status, err) == 0)
		return 0;
	if (!ctx->as_pm2 || err->code != PM_NOT_FOUND)
		return -1;
	*status = NULL;
	return 0;
}

static void begin(struct json_out *j, struct pm_buf *out, const char *key)
{
	json_init(j, out);
	json_begin_object(j);
	json_kint(j, "schema", 1);
	json_key(j, key);
}

static int end(struct json_out *j, struct pm_error *err)
{
	json_end_object(j);
	pm_buf_char(j->buf, '\n');
	return say_buf(j->buf, err);
}

static int id_run(struct ctx *ctx, struct pm_error *err)
{
	PM_STATUS *status = NULL;
	PM_BUF out = { 0 };
	PM_BUF text = { 0 };
	struct json_out j;

	if (status_of(ctx, args_at(ctx->args, 0), &status, err) < 0)
		return -1;
	if (ctx->json)
		begin(&j, &out, "ids");
	else
		json_init(&j, &out);
	json_begin_array(&j);
	for (size_t i = 0; status != NULL && i < status->n_instances; i++)
		json_uint(&j, status->instances[i]->pm_id);
	json_end_array(&j);
	if (ctx->json)
		return end(&j, err);
	if (out.failed)
		return pm_fail(err, PM_NO_MEMORY, "print the ids");
	if (inspect_json(out.bytes, out.len, &text, err) < 0)
		return -1;
	pm_buf_char(&text, '\n');
	return say_buf(&text, err);
}

static int pid_run(struct ctx *ctx, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0);
	PM_STATUS *status = NULL;
	PM_BUF out = { 0 };
	struct json_out j;

	if (status_of(ctx, word, &status, err) < 0)
		return -1;
	if (ctx->json) {
		begin(&j, &out, "pids");
		json_begin_array(&j);
	}
	for (size_t i = 0; status != NULL && i < status->n_instances; i++) {
		if (ctx->json)
			json_uint(&j, status->instances[i]->pid);
		else
			pm_buf_printf(&out, "%u\n", status->instances[i]->pid);
	}
	if (ctx->json) {
		json_end_array(&j);
		return end(&j, err);
	}
	if (out.len == 0 && ctx->as_pm2)
		pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

/* 0: every instance is online; 3: one is not; 4: no such app (as systemctl is-active). */
static int is_online_run(struct ctx *ctx, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0);
	PM_STATUS *status = NULL;
	const Pm__InstanceStatus *off = NULL;
	PM_BUF out = { 0 };
	struct json_out j;

	if (ctx_connect(ctx, false, err) < 0)
		return -1;
	if (ctx_status(ctx, word, CTX_LIST, &status, err) < 0)
		return -1;
	for (size_t i = 0; off == NULL && i < status->n_instances; i++)
		if (status->instances[i]->state != PM__LIFE_STATE__LIFE_ONLINE)
			off = status->instances[i];
	if (ctx->json) {
		begin(&j, &out, "online");
		json_bool(&j, off == NULL);
		json_kstr(&j, "status",
		          apps_state_name(off == NULL ? PM__LIFE_STATE__LIFE_ONLINE : off->state));
		return end(&j, err) < 0 ? -1 : off == NULL ? 0 : 3;
	}
	say(ctx, "%s", off == NULL ? "online" : apps_state_name(off->state));
	return off == NULL ? 0 : 3;
}

const struct cmd cmd_id = {
	.name = "id",
	.args = "APP",
	.pm2_needs = "name",
	.summary = "the ids of APP's instances",
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON,
	.run = id_run,
};

const struct cmd cmd_pid = {
	.name = "pid",
	.args = "[APP]",
	.summary = "the process ids of APP, or of all apps, one a line; 0 where none runs",
	.max_args = 1,
	.flags = CMD_JSON,
	.run = pid_run,
};

const struct cmd cmd_is_online = {
	.name = "is-online",
	.args = "APP",
	.summary = "whether every instance of APP is online: exit 0, or 3, or 4 if there is none",
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY,
	.run = is_online_run,
};
