#include "cli/spec_build.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/interpreter.h"
#include "cli/path.h"
#include "cli/version.h"
#include "proto/limits.h"

/* Time to get ready in cluster mode, where nothing is lost while it runs. */
#define CLUSTER_LISTEN_TIMEOUT_MS 30000
#define CHECK_LISTEN_TIMEOUT_MS   60000

/* One build: the builder, its spec, and the places it looks at again and again. */
struct build {
	struct spec_builder *b;
	Pm__AppSpec *spec; /* the builder's */
	const struct build_context *ctx;
	const char *home, *path; /* HOME and PATH of the caller; may be NULL */
	struct pm_error *err;
};

/* Replaces a string of the spec by one that is the build's to give. */
static void give(char **field, char *text)
{
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = text;
}

static int make_absolute(struct build *u, char **field)
{
	char *path = NULL;

	if ((*field)[0] == '\0')
		return 0;
	if (path_resolve(u->spec->cwd, u->home, *field, &path, u->err) < 0)
		return -1;
	give(field, path);
	return 0;
}

static int build_cwd(struct build *u)
{
	struct stat st;
	char *path = NULL;

	if (path_resolve(u->ctx->cwd, u->home, u->spec->cwd, &path, u->err) < 0)
		return -1;
	give(&u->spec->cwd, path);
	if (stat(path, &st) < 0)
		return pm_fail(u->err, PM_CONFIG, "cwd: %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return pm_fail(u->err, PM_CONFIG, "cwd: %s: not a directory", path);
	return 0;
}

/* The script is a line for the shell. */
static int build_command(struct build *u)
{
	char *shell = path_which(u->path, "bash");

	if (shell == NULL)
		shell = pm_strdup("/bin/sh");
	if (shell == NULL)
		return pm_fail(u->err, PM_NO_MEMORY, "find a shell");
	give(&u->spec->interpreter, shell);
	u->spec->command = true;
	return 0;
}

static int script_not_found(struct build *u, const char *path)
{
	if (strcmp(u->spec->script, "serve") == 0)
		return pm_fail(u->err, PM_UNSUPPORTED, "serve: there is no static server here");
	return pm_fail(u->err, PM_NOT_FOUND, "Script not found: %.200s", path);
}

/* Makes the script absolute; *binary: it came from PATH, or it is a command line. */
static int build_script(struct build *u, bool *binary)
{
	PM_FREE char *path = NULL;
	struct stat st;
	char *found;

	if (u->spec->script[0] == '\0')
		return pm_fail(u->err, PM_CONFIG, "script: none is given");
	if (path_resolve(u->spec->cwd, u->home, u->spec->script, &path, u->err) < 0)
		return -1;
	*binary = true;
	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return pm_fail(u->err, PM_CONFIG, "script: %.200s is not a file", path);
		*binary = false;
		give(&u->spec->script, PM_STEAL(path));
		return 0;
	}
	if (strpbrk(u->spec->script, " \t\n") != NULL)
		return build_command(u);
	errno = ENOENT;
	found = strchr(u->spec->script, '/') == NULL ? path_which(u->path, u->spec->script) : NULL;
	if (found == NULL && errno == ENOMEM)
		return pm_fail(u->err, PM_NO_MEMORY, "find a script");
	if (found == NULL)
		return script_not_found(u, path);
	give(&u->spec->script, found);
	return 0;
}

/* The file name without its last extension; of a command line, what is behind its last slash. */
static int default_name(struct build *u, const char *written)
{
	char name[PM_NAME_MAX + 1];
	const char *base = path_base(written);
	size_t len = strlen(base) - strlen(u->spec->command ? "" : path_extension(base));

	/* A slash at the very end leaves nothing to call it by. */
	if (len == 0) {
		base = "app";
		len = 3;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)PM_MIN(len, sizeof(name) - 1), base);
	return spec_put_str(&u->spec->name, name, u->err);
}

static int build_name(struct build *u, const char *written)
{
	PM_BUF name = { 0 };

	if (u->spec->name[0] == '\0' && default_name(u, written) < 0)
		return -1;
	if (u->b->name_prefix != NULL)
		pm_buf_printf(&name, "%s:", u->b->name_prefix);
	pm_buf_str(&name, u->spec->name);
	if (u->b->append_env_to_name && u->ctx->profile != NULL)
		pm_buf_printf(&name, "-%s", u->ctx->profile);
	if (name.failed)
		return pm_fail(u->err, PM_NO_MEMORY, "name an app");
	return spec_put_str(&u->spec->name, name.bytes, u->err);
}

static void build_mode(struct build *u)
{
	const char *base = path_base(u->spec->interpreter);
	bool js = strcmp(base, "node") == 0 || strcmp(base, "bun") == 0;
	int64_t cpus = u->ctx->n_cpus > 0 ? u->ctx->n_cpus : 1;
	int64_t n = u->b->instances > 0 ? u->b->instances : cpus + u->b->instances;

	/* PM2's rule: giving a number at all means cluster mode for what can do it. There that is
	 * node; here it is every program. */
	if (u->spec->instances_given && (js || !u->ctx->as_pm2) &&
	    !spec_is_given(u->b, "exec_mode"))
		u->spec->exec_mode = PM__EXEC_MODE__EXEC_MODE_CLUSTER;
	u->spec->instances = (uint32_t)(n < 1 ? 1 : n);
	/* For PM2 the end of this time means to go on; here it means that the new version failed.
	 */
	if (u->spec->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER && !u->ctx->as_pm2 &&
	    !spec_is_given(u->b, "listen_timeout"))
		u->spec->listen_timeout_ms = CLUSTER_LISTEN_TIMEOUT_MS;
	if ((u->spec->ready != NULL || u->spec->startup != NULL) && !u->ctx->as_pm2 &&
	    !spec_is_given(u->b, "listen_timeout"))
		u->spec->listen_timeout_ms = CHECK_LISTEN_TIMEOUT_MS;
	if (!spec_is_given(u->b, "merge_logs"))
		u->spec->merge_logs = u->spec->exec_mode == PM__EXEC_MODE__EXEC_MODE_FORK &&
		                      !u->spec->instances_given;
}

static int build_log_path(struct build *u, char **field)
{
	if (strcmp(*field, "NULL") == 0 || strcmp(*field, "null") == 0)
		return spec_put_str(field, "/dev/null", u->err);
	return strcmp(*field, "*") == 0 ? 0 : make_absolute(u, field);
}

static int build_paths(struct build *u)
{
	Pm__AppSpec *s = u->spec;

	if (build_log_path(u, &s->out_file) < 0 || build_log_path(u, &s->error_file) < 0 ||
	    build_log_path(u, &s->log_file) < 0 || make_absolute(u, &s->pid_file) < 0)
		return -1;
	for (size_t i = 0; i < s->n_watch_paths; i++)
		if (make_absolute(u, &s->watch_paths[i]) < 0)
			return -1;
	for (size_t i = 0; i < s->n_env_files; i++)
		if (make_absolute(u, &s->env_files[i]) < 0)
			return -1;
	return 0;
}

static void free_env(Pm__EnvVar **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pm__env_var__free_unpacked(list[i], NULL);
	free(list);
}

static int add_all(struct build *u, Pm__EnvVar *const *from, size_t n_from, Pm__EnvVar ***to,
                   size_t *n_to)
{
	for (size_t i = 0; i < n_from; i++)
		if (spec_put_env(to, n_to, from[i]->name, from[i]->value,
		                 PM__ENV_ORIGIN__ENV_CONFIG, u->err) < 0)
			return -1;
	return 0;
}

/* Lowest first: the shell, what the interpreter wants, env, env_<name>, port. */
static int collect_env(struct build *u, Pm__EnvVar ***list, size_t *n)
{
	Pm__AppSpec *s = u->spec;
	char port[8];

	if (spec_shell_env(s, u->b->take_env, u->b->n_take_env, u->ctx, list, n, u->err) < 0)
		return -1;
	if (strncmp(path_base(s->interpreter), "python", 6) == 0 &&
	    spec_put_env(list, n, "PYTHONUNBUFFERED", "1", PM__ENV_ORIGIN__ENV_CONFIG, u->err) < 0)
		return -1;
	if (add_all(u, s->env, s->n_env, list, n) < 0)
		return -1;
	for (size_t i = 0; u->ctx->profile != NULL && i < s->n_env_profiles; i++)
		if (strcmp(s->env_profiles[i]->name, u->ctx->profile) == 0 &&
		    add_all(u, s->env_profiles[i]->vars, s->env_profiles[i]->n_vars, list, n) < 0)
			return -1;
	if (u->b->port < 0)
		return 0;
	(void)snprintf(port, sizeof(port), "%d", (int)u->b->port);
	return spec_put_env(list, n, "PORT", port, PM__ENV_ORIGIN__ENV_CONFIG, u->err);
}

static int build_env(struct build *u)
{
	Pm__EnvVar **list = NULL;
	size_t n = 0;

	if (collect_env(u, &list, &n) < 0) {
		free_env(list, n);
		return -1;
	}
	free_env(u->spec->env, u->spec->n_env);
	u->spec->env = list;
	u->spec->n_env = n;
	if (u->ctx->profile != NULL)
		return spec_put_str(&u->spec->env_profile, u->ctx->profile, u->err);
	return 0;
}

static int build_notes(struct build *u)
{
	const struct passwd *user = getpwuid(geteuid());
	Pm__AppSpec *s = u->spec;
	char version[VERSION_TEXT] = "";

	s->pm2_env = u->ctx->as_pm2;
	if (!s->command)
		version_of_package(u->ctx->cache, s->script, version);
	if (spec_put_str(&s->version, version, u->err) < 0 ||
	    spec_put_str(&s->username, user != NULL ? user->pw_name : "", u->err) < 0)
		return -1;
	/* 40 ms of node each time: only where scripts read it in jlist. */
	version[0] = '\0';
	if (u->ctx->as_pm2 && strcmp(path_base(s->interpreter), "node") == 0)
		version_of_node(u->ctx->cache, s->interpreter, version);
	return spec_put_str(&s->node_version, version[0] == 'v' ? version + 1 : version, u->err);
}

static int build_all(struct build *u)
{
	PM_FREE char *written = pm_strdup(u->spec->script);
	struct interpreter_choice choice = { .ctx = u->ctx, .path = u->path, .home = u->home };
	bool binary = false;

	if (written == NULL)
		return pm_fail(u->err, PM_NO_MEMORY, "build a spec");
	if (build_cwd(u) < 0 || build_script(u, &binary) < 0)
		return -1;
	choice.given = spec_is_given(u->b, "interpreter");
	choice.binary = binary;
	if ((!u->spec->command || choice.given) && interpreter_choose(u->spec, &choice, u->err) < 0)
		return -1;
	if (build_name(u, written) < 0)
		return -1;
	build_mode(u);
	return build_paths(u) < 0 || build_env(u) < 0 || build_notes(u) < 0 ? -1 : 0;
}

int spec_build(struct spec_builder *b, const struct build_context *ctx, Pm__AppSpec **out,
               struct pm_error *err)
{
	struct build u = { .b = b, .spec = b->spec, .ctx = ctx, .err = err };

	u.home = path_getenv(ctx->environment, "HOME");
	u.path = path_getenv(ctx->environment, "PATH");
	if (build_all(&u) < 0 || spec_validate(b->spec, err) < 0)
		return -1;
	*out = PM_STEAL(b->spec);
	return 0;
}
