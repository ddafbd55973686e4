#include "agent/procenv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/env_files.h"
#include "agent/node_inspect.h"
#include "agent/preload.h"
#include "agent/shim_proto.h"
#include "proto/buf.h"
#include "proto/limits.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---- growing, NULL-terminated lists of strings ---- */

static int list_add_take(char ***list, size_t *n, size_t *cap, char *text, struct pm_error *err)
{
	if (text == NULL)
		return pm_fail(err, PM_NO_MEMORY, "arguments and environment");
	if (*n + 2 > *cap) {
		size_t want = *cap == 0 ? 32 : *cap * 2;
		char **bigger = pm_realloc(*list, want * sizeof(char *));

		if (bigger == NULL) {
			free(text);
			return pm_fail(err, PM_NO_MEMORY, "arguments and environment");
		}
		*list = bigger;
		*cap = want;
	}
	(*list)[(*n)++] = text;
	(*list)[*n] = NULL;
	return 0;
}

static int add_arg(struct procenv *p, const char *text, struct pm_error *err)
{
	return list_add_take(&p->argv, &p->n_argv, &p->cap_argv, pm_strdup(text), err);
}

static void wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

static char *join(const char *name, const char *value)
{
	size_t a = strlen(name), b = strlen(value);
	char *text = pm_calloc(a + b + 2, 1);

	if (text == NULL)
		return NULL;
	memcpy(text, name, a);
	text[a] = '=';
	memcpy(text + a + 1, value, b);
	return text;
}

static ssize_t find_env(const struct procenv *p, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < p->n_envp; i++)
		if (strncmp(p->envp[i], name, len) == 0 && p->envp[i][len] == '=')
			return (ssize_t)i;
	return -1;
}

static int put_env(struct procenv *p, const char *name, const char *value, struct pm_error *err)
{
	ssize_t at = find_env(p, name);
	char *text;

	if (at < 0 && p->n_envp >= PM_ENV_VARS_MAX)
		return pm_fail(err, PM_CONFIG, "more than %d environment variables",
		               PM_ENV_VARS_MAX);
	text = join(name, value);
	if (at < 0)
		return list_add_take(&p->envp, &p->n_envp, &p->cap_envp, text, err);
	if (text == NULL)
		return pm_fail(err, PM_NO_MEMORY, "environment");
	wipe(p->envp[at]);
	p->envp[at] = text;
	return 0;
}

static const char *get_env(const struct procenv *p, const char *name)
{
	ssize_t at = find_env(p, name);

	return at < 0 ? NULL : p->envp[at] + strlen(name) + 1;
}

void procenv_finish(struct procenv *p)
{
	for (size_t i = 0; i < p->n_argv; i++)
		free(p->argv[i]);
	for (size_t i = 0; i < p->n_envp; i++)
		wipe(p->envp[i]);
	free(p->argv);
	free(p->envp);
	memset(p, 0, sizeof(*p));
}

/* ---- environment ---- */

static int put_number(struct procenv *p, const char *name, int64_t value, struct pm_error *err)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	return put_env(p, name, text, err);
}

static int put_spec_env(struct procenv *p, const Pm__AppSpec *spec, struct pm_error *err)
{
	for (size_t i = 0; i < spec->n_env; i++)
		if (put_env(p, spec->env[i]->name, spec->env[i]->value, err) < 0)
			return -1;
	return 0;
}

static int put_file_var(void *arg, const char *name, const char *value, struct pm_error *err)
{
	return put_env(arg, name, value, err);
}

static int put_env_files(struct procenv *p, const Pm__AppSpec *spec, struct pm_error *err)
{
	for (size_t i = 0; i < spec->n_env_files; i++)
		if (env_file_read(spec->env_files[i], put_file_var, p, err) < 0)
			return -1;
	return 0;
}

static int put_user(struct procenv *p, const struct user *u, struct pm_error *err)
{
	if (u->uid == (uid_t)-1 || u->home[0] == '\0')
		return 0;
	if (put_env(p, "HOME", u->home, err) < 0 || put_env(p, "USER", u->name, err) < 0 ||
	    put_env(p, "LOGNAME", u->name, err) < 0)
		return -1;
	return u->shell[0] == '\0' ? 0 : put_env(p, "SHELL", u->shell, err);
}

/* What PM2 tells an app about itself. */
static int put_identity(struct procenv *p, const Pm__AppSpec *spec, const struct procenv_facts *f,
                        struct pm_error *err)
{
	const struct {
		const char *name, *value;
	} texts[] = {
		{ "name", spec->name },
		{ "namespace", spec->namespace_ },
		{ "exec_mode", spec->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER ? "cluster_mode"
		                                                                   : "fork_mode" },
		{ "status", "launching" },
		{ "unique_id", f->unique_id },
		{ "pm_exec_path", spec->script },
		{ "pm_cwd", spec->cwd },
		{ "pm_out_log_path", f->names->out },
		{ "pm_err_log_path", f->names->err },
		{ "pm_pid_path", f->names->pid },
		{ "exec_interpreter", spec->interpreter },
		{ "username", spec->username },
		{ f->pm2_home ? "PM2_HOME" : "PMD_HOME", f->home },
		{ "PWD", spec->cwd },
	};
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = {
		{ "pm_id", f->pm_id },
		{ "restart_time", f->restarts },
		{ "pm_uptime", f->started_wall_ms },
		{ "created_at", f->created_wall_ms },
		{ "instances", spec->instances },
	};

	for (size_t i = 0; i < PM_COUNT(texts); i++)
		if (put_env(p, texts[i].name, texts[i].value, err) < 0)
			return -1;
	for (size_t i = 0; i < PM_COUNT(numbers); i++)
		if (put_number(p, numbers[i].name, numbers[i].value, err) < 0)
			return -1;
	return 0;
}

/* instance_var and increment_var: which of the app's instances this is. */
static int put_instance(struct procenv *p, const Pm__AppSpec *spec, const struct procenv_facts *f,
                        struct pm_error *err)
{
	const char *var = *spec->instance_var != '\0' ? spec->instance_var : "NODE_APP_INSTANCE";
	const char *base;

	if (put_number(p, var, f->instance, err) < 0)
		return -1;
	if (*spec->increment_var == '\0')
		return 0;
	base = get_env(p, spec->increment_var);
	return put_number(p, spec->increment_var,
	                  (base == NULL ? 0 : strtoll(base, NULL, 10)) + f->instance, err);
}

/* Ours before the app's own options, which the file puts back: unless it is to get to what is
 * started by what we start. */
static int put_node_preload(struct procenv *p, const char *path, bool inherited,
                            struct pm_error *err)
{
	const char *theirs = get_env(p, "NODE_OPTIONS");
	PM_BUF text = { 0 };

	if (!preload_node_options(path, theirs, &text))
		return text.failed ? pm_fail(err, PM_NO_MEMORY, "environment") : 0;
	if (inherited ? put_env(p, PRELOAD_ENV_SIGNAL, PRELOAD_SIGNAL_NAME, err) < 0
	              : put_env(p, PRELOAD_ENV_OPTIONS, theirs != NULL ? theirs : "", err) < 0)
		return -1;
	return put_env(p, "NODE_OPTIONS", text.bytes, err);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static bool is_node(const char *interpreter)
{
	const char *base = base_name(interpreter);

	return strcmp(base, "node") == 0 || strcmp(base, "nodejs") == 0 || strcmp(base, "bun") == 0;
}

/* A debugger listens before the program does, in npm before that is even started: shared, it would
 * pass for a worker that is ready, and who asks would debug any of them. */
static int exclude_debugger(struct procenv *p, const Pm__AppSpec *spec, struct pm_error *err)
{
	bool node = is_node(spec->interpreter);
	unsigned port =
		node_inspect_port(spec->interpreter_args, node ? spec->n_interpreter_args : 0,
	                          get_env(p, "NODE_OPTIONS"), 0, 0);
	const char *before = get_env(p, SHIM_ENV_EXCLUDE);
	PM_BUF text = { 0 };

	if (port == 0 && node)
		port = NODE_INSPECT_PORT; /* of an option in package.json we know nothing */
	if (port == 0)
		return 0;
	if (before != NULL && *before != '\0')
		pm_buf_printf(&text, "%s,", before);
	pm_buf_printf(&text, "%u", port);
	if (text.failed)
		return pm_fail(err, PM_NO_MEMORY, "environment");
	return put_env(p, SHIM_ENV_EXCLUDE, text.bytes, err);
}

static int put_shim(struct procenv *p, const Pm__AppSpec *spec, const struct procenv_worker *w,
                    struct pm_error *err)
{
	const char *before = get_env(p, "LD_PRELOAD");
	PM_BUF text = { 0 };

	pm_buf_str(&text, w->preload);
	if (before != NULL && *before != '\0')
		pm_buf_printf(&text, ":%s", before);
	if (text.failed)
		return pm_fail(err, PM_NO_MEMORY, "environment");
	if (put_env(p, "LD_PRELOAD", text.bytes, err) < 0)
		return -1;
	if (exclude_debugger(p, spec, err) < 0)
		return -1;
	return put_env(p, SHIM_ENV_FD, w->preload_env, err);
}

static int put_listen_fds(struct procenv *p, const struct listen_fds *l, struct pm_error *err)
{
	const char *pid;
	char fds[16];

	listen_fds_env(l, fds, sizeof(fds), &pid);
	if (put_env(p, "LISTEN_FDS", fds, err) < 0 || put_env(p, "LISTEN_PID", pid, err) < 0)
		return -1;
	return put_env(p, "LISTEN_FDNAMES", l->names, err);
}

static int put_worker(struct procenv *p, const Pm__AppSpec *spec, const struct procenv_worker *w,
                      struct pm_error *err)
{
	if (w->node_id != 0 && put_number(p, "NODE_UNIQUE_ID", w->node_id, err) < 0)
		return -1;
	if (w->preload != NULL && (w->node_id != 0 ? put_node_preload(p, w->preload, false, err)
	                                           : put_shim(p, spec, w, err)) < 0)
		return -1;
	if (w->node_preload != NULL && put_node_preload(p, w->node_preload, true, err) < 0)
		return -1;
	return w->listen->n == 0 ? 0 : put_listen_fds(p, w->listen, err);
}

/* sd_notify(3), sd_watchdog_enabled(3). Without WATCHDOG_PID: who speaks may be any of its
 * processes. */
static int put_notify(struct procenv *p, const Pm__AppSpec *spec, const char *socket,
                      struct pm_error *err)
{
	if (put_env(p, "NOTIFY_SOCKET", socket, err) < 0)
		return -1;
	return spec->watchdog_ms == 0
	               ? 0
	               : put_number(p, "WATCHDOG_USEC", (int64_t)spec->watchdog_ms * 1000, err);
}

static int build_env(struct procenv *p, const Pm__AppSpec *spec, const struct procenv_facts *f,
                     struct pm_error *err)
{
	if (put_env(p, "PATH", default_path, err) < 0 || put_spec_env(p, spec, err) < 0 ||
	    (f->secrets && put_env_files(p, spec, err) < 0) || put_user(p, f->user, err) < 0 ||
	    put_identity(p, spec, f, err) < 0 || put_instance(p, spec, f, err) < 0 ||
	    (f->worker != NULL && put_worker(p, spec, f->worker, err) < 0) ||
	    (f->notify_socket != NULL && put_notify(p, spec, f->notify_socket, err) < 0))
		return -1;
	if (f->ipc_fd < 0)
		return 0;
	if (put_number(p, "NODE_CHANNEL_FD", f->ipc_fd, err) < 0)
		return -1;
	return put_env(p, "NODE_CHANNEL_SERIALIZATION_MODE", "json", err);
}

/* ---- arguments ---- */

bool procenv_wants_ipc(const Pm__AppSpec *spec)
{
	return is_node(spec->interpreter) || spec->wait_ready || spec->shutdown_with_message;
}

/* A name without a slash is looked up in the app's own PATH at each start: a new node is picked up.
 */
int procenv_find_program(const struct procenv *p, const char *name, char *out, size_t size,
                         struct pm_error *err)
{
	const char *path = get_env(p, "PATH");

	if (strchr(name, '/') != NULL) {
		if ((size_t)snprintf(out, size, "%s", name) >= size)
			return pm_fail(err, PM_CONFIG, "path too long: %.100s", name);
		return 0;
	}
	while (path != NULL && *path != '\0') {
		size_t len = strcspn(path, ":");

		if (len > 0 &&
		    (size_t)snprintf(out, size, "%.*s/%s", (int)len, path, name) < size &&
		    access(out, X_OK) == 0)
			return 0;
		path += len + (path[len] == ':');
	}
	pm_fail(err, PM_NOT_FOUND, "%.100s is not in the app's PATH", name);
	pm_hint(err, "install it, or name it with its full path");
	return -1;
}

static int add_inspect_port(struct procenv *p, const Pm__AppSpec *spec,
                            const struct procenv_worker *w, struct pm_error *err)
{
	unsigned port =
		w == NULL || w->node_id == 0
			? 0
			: node_inspect_port(spec->interpreter_args, spec->n_interpreter_args,
	                                    get_env(p, "NODE_OPTIONS"), w->node_id - 1,
	                                    w->generation);
	char text[40];

	if (port == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "--inspect-port=%u", port);
	return add_arg(p, text, err);
}

static int add_interpreter(struct procenv *p, const Pm__AppSpec *spec,
                           const struct procenv_worker *worker, struct pm_error *err)
{
	bool has_c = false;

	if (procenv_find_program(p, spec->interpreter, p->path, sizeof(p->path), err) < 0 ||
	    add_arg(p, is_node(spec->interpreter) ? base_name(spec->interpreter) : p->path, err) <
	            0)
		return -1;
	for (size_t i = 0; i < spec->n_interpreter_args; i++) {
		has_c |= strcmp(spec->interpreter_args[i], "-c") == 0;
		if (add_arg(p, spec->interpreter_args[i], err) < 0)
			return -1;
	}
	if (add_inspect_port(p, spec, worker, err) < 0)
		return -1;
	if (spec->source_map_support && strcmp(base_name(spec->interpreter), "node") == 0 &&
	    add_arg(p, "--enable-source-maps", err) < 0)
		return -1;
	if (spec->command && !has_c && add_arg(p, "-c", err) < 0)
		return -1;
	return 0;
}

static int build_args(struct procenv *p, const Pm__AppSpec *spec,
                      const struct procenv_worker *worker, struct pm_error *err)
{
	if (*spec->interpreter == '\0' || strcmp(spec->interpreter, "none") == 0) {
		if ((size_t)snprintf(p->path, sizeof(p->path), "%s", spec->script) >=
		    sizeof(p->path))
			return pm_fail(err, PM_CONFIG, "path too long: %.100s", spec->script);
	} else if (add_interpreter(p, spec, worker, err) < 0) {
		return -1;
	}
	if (add_arg(p, spec->script, err) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_args; i++)
		if (add_arg(p, spec->args[i], err) < 0)
			return -1;
	return 0;
}

int procenv_build(const Pm__AppSpec *spec, const struct procenv_facts *facts, struct procenv *out,
                  struct pm_error *err)
{
	memset(out, 0, sizeof(*out));
	if (build_env(out, spec, facts, err) < 0 || build_args(out, spec, facts->worker, err) < 0) {
		procenv_finish(out);
		return -1;
	}
	return 0;
}
