/* shell_env.c - which variables of the caller's shell an app gets (S-16). */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "cli/path.h"
#include "cli/spec_build.h"

/* What a program needs to find its files, its language and its peers; pmd-apps(5) lists them. */
static const char *const taken[] = {
	"PATH",
	"HOME",
	"USER",
	"LOGNAME",
	"SHELL",
	"LANG",
	"LANGUAGE",
	"LC_*",
	"TZ",
	"TMPDIR",
	"NODE_ENV",
	"NODE_PATH",
	"NODE_OPTIONS",
	"PORT",
	"HOST",
	"XDG_RUNTIME_DIR",
	"VIRTUAL_ENV",
	"PYTHONPATH",
	"GEM_HOME",
	"GEM_PATH",
	"BUNDLE_*",
	"RUBYLIB",
	"PHPRC",
	"JAVA_HOME",
	"GOPATH",
	"LD_LIBRARY_PATH",
	"SSL_CERT_FILE",
	"SSL_CERT_DIR",
	"HTTP_PROXY",
	"HTTPS_PROXY",
	"NO_PROXY",
	"ALL_PROXY",
	"http_proxy",
	"https_proxy",
	"no_proxy",
	"all_proxy",
};

/* Ours, PM2's, a service manager's, or true of one process only: never passed on. */
static const char *const never[] = {
	"PMD_*",
	"PM2_*",
	"pm_id",
	"NODE_CHANNEL_*",
	"NODE_UNIQUE_ID",
	"NODE_APP_INSTANCE",
	"LISTEN_*",
	"NOTIFY_SOCKET",
	"WATCHDOG_*",
	"INVOCATION_ID",
	"JOURNAL_STREAM",
	"MAINPID",
	"MANAGERPID",
	"SYSTEMD_EXEC_PID",
	"_",
	"OLDPWD",
	"SHLVL",
	"PWD",
	"BASH_FUNC_*",
};

static bool matches(const char *name, const char *const *patterns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	return false;
}

size_t spec_taken_env(const char *const **out)
{
	*out = taken;
	return PM_COUNT(taken);
}

bool spec_takes_env(const char *name, char *const *patterns, size_t n_patterns, bool all)
{
	if (!spec_is_var(name) || matches(name, never, PM_COUNT(never)))
		return false;
	if (all || matches(name, taken, PM_COUNT(taken)))
		return true;
	for (size_t i = 0; i < n_patterns; i++)
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	return false;
}

static bool is_filtered(const Pm__AppSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_filter_env; i++)
		if (strstr(name, spec->filter_env[i]) != NULL)
			return true;
	return spec->filter_env_all;
}

static int take_one(const Pm__AppSpec *spec, const char *pair, char *const *patterns,
                    size_t n_patterns, bool all, Pm__EnvVar ***list, size_t *n,
                    struct pm_error *err)
{
	const char *equals = strchr(pair, '=');
	PM_FREE char *name = NULL;

	if (equals == NULL || equals == pair)
		return 0;
	name = pm_strndup(pair, (size_t)(equals - pair));
	if (name == NULL)
		return pm_fail(err, PM_NO_MEMORY, "take the environment");
	if (!spec_takes_env(name, patterns, n_patterns, all) || is_filtered(spec, name))
		return 0;
	return spec_put_env(list, n, name, equals + 1, PM__ENV_ORIGIN__ENV_SHELL, err);
}

int spec_shell_env(const Pm__AppSpec *spec, char *const *patterns, size_t n_patterns,
                   const struct build_context *ctx, Pm__EnvVar ***list, size_t *n,
                   struct pm_error *err)
{
	for (char *const *e = ctx->environment; e != NULL && *e != NULL; e++)
		if (take_one(spec, *e, patterns, n_patterns, ctx->as_pm2, list, n, err) < 0)
			return -1;
	return 0;
}
