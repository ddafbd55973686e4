#include "cli/rollout_start.h"

#include <stdlib.h>
#include <string.h>

#include "cli/fleet_route.h"
#include "cli/fleet_show.h"
#include "cli/rollout_json.h"
#include "cli/rollout_plan_view.h"
#include "cli/rollout_watch.h"
#include "proto/rollout_params.h"

/* ---- which ---- */

bool rollout_is_meant(const struct ctx *ctx)
{
	unsigned flags = args_cmd(ctx->args)->flags;

	if (ctx->fleet == NULL || (flags & CMD_ROLLOUT) == 0)
		return false;
	if ((flags & CMD_ROLLS) != 0 || args_has(ctx->args, "plan"))
		return true;
	for (const struct cmd_option *o = cmd_rollout_options(); o->name != NULL; o++)
		if (args_has(ctx->args, o->name) && !args_is_own(ctx->args, o->name))
			return true;
	return false;
}

int rollout_check_local(const struct ctx *ctx, struct pm_error *err)
{
	for (const struct cmd_option *o = cmd_rollout_options(); o->name != NULL; o++)
		if (args_has(ctx->args, o->name) && !args_is_own(ctx->args, o->name))
			return pm_fail(err, PM_USAGE,
			               "--%s goes with --all, --hosts, --label, "
			               "--group or --where",
			               o->name);
	return 0;
}

/* ---- its options ---- */

struct options {
	Pm__RolloutOption *list;  /* owned; what they point at is borrowed */
	Pm__RolloutOption **refs; /* owned */
	size_t n;
	struct rollout_params params;
	struct pm_buf gates; /* owned; all that were given, a line each */
};

static void options_finish(struct options *o)
{
	free(o->list);
	free(o->refs);
	pm_buf_finish(&o->gates);
}

static int add_option(struct options *o, const char *name, const char *value, struct pm_error *err)
{
	Pm__RolloutOption *option = &o->list[o->n];

	if (rollout_params_set(&o->params, name, value, err) < 0)
		return -1;
	pm__rollout_option__init(option);
	option->name = (char *)(uintptr_t)name; /* only read, as the value is */
	option->value = (char *)(uintptr_t)value;
	o->refs[o->n++] = option;
	return 0;
}

/* "max_fail" as it is typed. */
static void option_name(const char *name, char *out, size_t size)
{
	size_t i = 0;

	for (; i + 1 < size && name[i] != '\0'; i++)
		out[i] = name[i] == '_' ? '-' : name[i];
	out[i] = '\0';
}

static int add_gates(const struct ctx *ctx, struct options *o, struct pm_error *err)
{
	size_t n = args_n_values(ctx->args, "gate");

	for (size_t k = 0; k < n; k++)
		pm_buf_printf(&o->gates, "%s%s", k > 0 ? "\n" : "",
		              args_value(ctx->args, "gate", k));
	if (o->gates.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	return n == 0 ? 0 : add_option(o, "gate", o->gates.bytes, err);
}

/* Those that were given, and checked as far as that is possible here. */
static int read_options(const struct ctx *ctx, struct options *o, struct pm_error *err)
{
	size_t n, most = 1;
	const struct rollout_option *known = rollout_options(&n);
	char name[64];

	for (size_t i = 0; i < n; i++) {
		option_name(known[i].name, name, sizeof(name));
		most += args_n_values(ctx->args, name);
	}
	o->list = pm_calloc(most, sizeof(*o->list));
	o->refs = pm_calloc(most, sizeof(Pm__RolloutOption *));
	if (o->list == NULL || o->refs == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	rollout_params_default(&o->params);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(known[i].name, "gate") == 0) {
			if (add_gates(ctx, o, err) < 0)
				return -1;
			continue;
		}
		option_name(known[i].name, name, sizeof(name));
		for (size_t k = 0; k < args_n_values(ctx->args, name); k++) {
			const char *value = args_value(ctx->args, name, k);

			/* The one that all verbs over hosts have is given without a value. */
			if (add_option(o, known[i].name, value == NULL ? "true" : value, err) < 0)
				return -1;
		}
	}
	return rollout_params_check(&o->params, 0, err);
}

/* ---- what comes of it ---- */

static int print_plan(const struct ctx *ctx, const struct rollout_copy *c, struct pm_error *err)
{
	struct rollout_view v = { .color = ctx->color_out, .utf8 = ctx->utf8 };
	int status = rollout_copy_exit_status(c);
	PM_BUF out = { 0 };

	if (ctx->json)
		return rollout_print_json(ctx, c, status, err) < 0 ? -1 : status;
	if (rollout_plan_view(&v, c, args_has(ctx->args, "verbose"), &out, err) < 0 ||
	    say_buf(&out, err) < 0)
		return -1;
	return status;
}

static int print_begun(struct ctx *ctx, const struct rollout_copy *c, struct pm_error *err)
{
	if (ctx->json)
		return rollout_print_json(ctx, c, 0, err);
	say(ctx, "%s", c->status->id);
	return 0;
}

/* Returns the exit status or -1. */
static int begin(struct ctx *ctx, Pm__RolloutStart *start, uint32_t patience_ms,
                 struct pm_error *err)
{
	PM_ROLLOUT c = { 0 };

	if (rollout_ask_start(ctx, ctx->fleet, start, patience_ms, &c, err) < 0)
		return -1;
	if (start->plan)
		return print_plan(ctx, &c, err);
	if (args_has(ctx->args, "no-wait"))
		return print_begun(ctx, &c, err);
	return rollout_watch(ctx, ctx->fleet, &c, err);
}

int rollout_send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                 struct pm_error *err)
{
	struct fleet *f = ctx->fleet;
	PM_CLEANUP(options_finish) struct options options = { 0 };
	Pm__RolloutStart start = PM__ROLLOUT_START__INIT;
	const char *message = args_get(ctx->args, "message");

	if (f->rolled)
		return pm_fail(err, PM_UNSUPPORTED,
		               "%s: one configuration file at a time for a rollout", action->name);
	if (args_has(ctx->args, "attach"))
		return pm_fail(err, PM_USAGE,
		               "--attach does not go with a rollout; 'logs' shows those of all");
	if (read_options(ctx, &options, err) < 0)
		return -1;
	cmd->no_wait = false; /* each host's step waits; whether we do is another matter */
	start.selector = &f->selector;
	start.command = cmd;
	start.specs = fleet_route_specs(ctx->client, &start.n_specs);
	start.options = options.refs;
	start.n_options = options.n;
	start.plan = args_has(ctx->args, "plan");
	if (message != NULL)
		start.message = (char *)(uintptr_t)message; /* only read */
	f->rolled = true;
	f->roll_status = begin(ctx, &start, options.params.wait_lock_ms, err);
	return f->roll_status < 0 ? -1 : 0;
}

int rollout_apply(struct ctx *ctx, struct pm_error *err)
{
	Pm__RolloutStart start = PM__ROLLOUT_START__INIT;

	if (args_count(ctx->args) > 0 || fleet_names_hosts(ctx->args)) {
		pm_fail(err, PM_USAGE,
		        "--apply: the plan says what is to be done, and to which hosts");
		pm_hint(err, "pmctl --apply PLAN");
		return -1;
	}
	if (fleet_show_open(ctx, err) < 0)
		return -1;
	start.apply = (char *)(uintptr_t)args_get(ctx->args, "apply"); /* only read */
	return begin(ctx, &start, 0, err);
}
