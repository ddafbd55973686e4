#include "cli/options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int options_apply(const struct ctx *ctx, struct spec_builder *b, struct pm_error *err)
{
	for (size_t i = 0; i < args_n_app_options(ctx->args); i++) {
		const struct args_app_option *o = args_app_option(ctx->args, i);

		if (spec_set_option(b, o->key, o->value, o->off, err) < 0) {
			if (err->code == PM_CONFIG)
				err->code = PM_USAGE;
			return -1;
		}
	}
	return 0;
}

int options_context(struct ctx *ctx, char *cwd, struct build_context *out, struct pm_error *err)
{
	const Pm__Welcome *welcome;

	if (getcwd(cwd, PM_PATH_MAX) == NULL)
		return pm_fail_errno(err, errno, "find the current directory");
	*out = (struct build_context){
		.cwd = cwd,
		.environment = environ,
		.n_cpus = 1,
		.as_pm2 = ctx->as_pm2,
		.profile = args_get(ctx->args, "env"),
	};
	if (client_welcome(ctx->client, &welcome, err) < 0)
		return -1;
	out->n_cpus = welcome->n_cpus;
	return 0;
}

static int shell_env(struct ctx *ctx, struct options_patch *p, Pm__Command *cmd,
                     struct pm_error *err)
{
	char cwd[PM_PATH_MAX];
	struct build_context build;

	if (options_context(ctx, cwd, &build, err) < 0 ||
	    spec_shell_env(p->builder.spec, p->builder.take_env, p->builder.n_take_env, &build,
	                   &p->env, &p->n_env, err) < 0)
		return -1;
	cmd->update_env = true;
	cmd->shell_env = p->env;
	cmd->n_shell_env = p->n_env;
	return 0;
}

int options_flags(const struct ctx *ctx, Pm__Command *cmd, struct pm_error *err)
{
	int64_t parallel;

	if (args_number(ctx->args, "parallel", 1, 1000, 0, &parallel, err) < 0)
		return -1;
	cmd->parallel = (uint32_t)parallel;
	cmd->no_wait = args_has(ctx->args, "no-wait");
	cmd->force = args_has(ctx->args, "force");
	return 0;
}

int options_patch(struct ctx *ctx, struct options_patch *p, Pm__Command *cmd, struct pm_error *err)
{
	if (p->has_builder)
		return 0;
	if (spec_builder_init(&p->builder, err) < 0)
		return -1;
	p->has_builder = true;
	pm__spec_patch__init(&p->patch);
	if (options_apply(ctx, &p->builder, err) < 0)
		return -1;
	if (args_n_app_options(ctx->args) > 0) {
		if (spec_patch_fields(&p->builder, &p->patch.set, &p->patch.n_set, err) < 0)
			return -1;
		p->patch.spec = p->builder.spec;
		cmd->patch = &p->patch;
	}
	return args_has(ctx->args, "update-env") ? shell_env(ctx, p, cmd, err) : 0;
}

static void env_free(Pm__EnvVar **env, size_t n)
{
	PM_SPEC *holder = NULL;
	struct pm_error err;

	/* A spec frees a list of variables; without one to hold it, it is lost at exit anyway. */
	if (n == 0 || spec_create(&holder, &err) < 0)
		return;
	holder->env = env;
	holder->n_env = n;
}

void options_patch_finish(struct options_patch *p)
{
	if (!p->has_builder)
		return;
	spec_clear_list(&p->patch.set, &p->patch.n_set);
	env_free(p->env, p->n_env);
	spec_builder_finish(&p->builder);
}
