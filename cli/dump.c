#include "cli/dump.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dump_own.h"
#include "cli/jlist.h"
#include "proto/limits.h"

void dump_write(Pm__InstanceStatus *const *instances, size_t n, struct pm_buf *out)
{
	struct jlist_style style = { .as_pm2 = true, .dump = true };
	PM_BUF flat = { 0 };
	struct json_out j;

	json_init(&j, &flat);
	json_begin_array(&j);
	for (size_t i = 0; i < n; i++)
		jlist_write_env(&j, instances[i], &style);
	json_end_array(&j);
	if (flat.failed)
		out->failed = true;
	else
		json_indent(flat.bytes, flat.len, out);
}

/* ---- which apps there are ---- */

static const char *text_of(const struct doc_node *entry, const char *key)
{
	const struct doc_node *v = doc_get(entry, key);

	return v != NULL && v->type == DOC_TEXT && v->text[0] != '\0' ? v->text : NULL;
}

static bool is_same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

int dump_apps(const struct doc_node *root, struct dump_app **out, size_t *n, struct pm_error *err)
{
	PM_FREE struct dump_app *apps = NULL;
	size_t count = 0;

	if (root->type != DOC_LIST)
		return pm_fail(err, PM_CONFIG, "expected a list of apps, found %s",
		               doc_type_name(root->type));
	if (root->n > PM_STAGED_SPECS_MAX)
		return pm_fail(err, PM_LIMIT, "%zu entries, of %d allowed", root->n,
		               PM_STAGED_SPECS_MAX);
	apps = pm_calloc(root->n + 1, sizeof(*apps));
	if (apps == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a dump");
	for (const struct doc_node *e = root->first; e != NULL; e = e->next) {
		struct dump_app *app = apps;

		if (e->type != DOC_MAP)
			return pm_fail(err, PM_CONFIG, "expected an app, found %s",
			               doc_type_name(e->type));
		while (app < apps + count && !(is_same(app->name, text_of(e, "name")) &&
		                               is_same(app->script, text_of(e, "pm_exec_path"))))
			app++;
		if (app == apps + count)
			apps[count++] = (struct dump_app){ .entry = e,
				                           .name = text_of(e, "name"),
				                           .script = text_of(e, "pm_exec_path") };
		app->n++;
		app->n_stopped += is_same(text_of(e, "status"), "stopped");
	}
	*out = PM_STEAL(apps);
	*n = count;
	return 0;
}

/* ---- one app's spec ---- */

/*
 * What is read of an entry, and as which key. Only these: the variables of the environment stand
 * beside them, and one may have the name of a key.
 */
static const char *const read_keys[][2] = {
	{ "name", "name" },
	{ "namespace", "namespace" },
	{ "pm_exec_path", "script" },
	{ "pm_cwd", "cwd" },
	{ "exec_interpreter", "interpreter" },
	{ "exec_mode", "exec_mode" },
	{ "args", "args" },
	{ "node_args", "node_args" },
	{ "autostart", "autostart" },
	{ "autorestart", "autorestart" },
	{ "automation", "automation" },
	{ "cron_restart", "cron_restart" },
	{ "disable_logs", "disable_logs" },
	{ "exp_backoff_restart_delay", "exp_backoff_restart_delay" },
	{ "filter_env", "filter_env" },
	{ "gid", "gid" },
	{ "ignore_watch", "ignore_watch" },
	{ "increment_var", "increment_var" },
	{ "instance_var", "instance_var" },
	{ "kill_retry_time", "kill_retry_time" },
	{ "kill_timeout", "kill_timeout" },
	{ "listen_timeout", "listen_timeout" },
	{ "log_date_format", "log_date_format" },
	{ "log_type", "log_type" },
	{ "max_memory_restart", "max_memory_restart" },
	{ "max_restarts", "max_restarts" },
	{ "merge_logs", "merge_logs" },
	{ "min_uptime", "min_uptime" },
	{ "pmx", "pmx" },
	{ "restart_delay", "restart_delay" },
	{ "shutdown_with_message", "shutdown_with_message" },
	{ "source_map_support", "source_map_support" },
	{ "stop_exit_codes", "stop_exit_codes" },
	{ "treekill", "treekill" },
	{ "uid", "uid" },
	{ "vizion", "vizion" },
	{ "wait_ready", "wait_ready" },
	{ "watch", "watch" },
	{ "watch_delay", "watch_delay" },
};

static int set(struct spec_builder *b, const char *name, const struct doc_node *value,
               struct pm_error *err)
{
	const struct spec_key *key = spec_key_find(name);

	if (key == NULL)
		return pm_fail(err, PM_INTERNAL, "no such key: %s", name);
	return spec_set(b, key, value, err);
}

static int set_known(const struct doc_node *entry, struct spec_builder *b, struct pm_error *err)
{
	for (size_t i = 0; i < PM_COUNT(read_keys); i++) {
		const struct doc_node *v = doc_get(entry, read_keys[i][0]);

		/* Empty is how PM2 and we write what was not given. */
		if (v == NULL || v->type == DOC_NULL ||
		    (v->type == DOC_TEXT && v->text[0] == '\0') ||
		    (v->type == DOC_LIST && v->n == 0))
			continue;
		if (set(b, read_keys[i][1], v, err) < 0)
			return -1;
	}
	for (const struct doc_node *v = entry->first; v != NULL; v = v->next)
		if (strncmp(v->name, "env_", 4) == 0 && v->name[4] != '\0' && v->type == DOC_MAP &&
		    spec_set_profile(b, v->name + 4, v, err) < 0)
			return -1;
	return 0;
}

/* What PM2 puts there itself, or is true of one process only, is left out. */
static bool is_variable(const struct doc_node *v)
{
	return v->type != DOC_NULL && !(v->type == DOC_MAP && v->n == 0) &&
	       strcmp(v->name, "unique_id") != 0 && spec_takes_env(v->name, NULL, 0, true);
}

static int set_env(const struct doc_node *entry, struct spec_builder *b, struct pm_error *err)
{
	const struct doc_node *env = doc_get(entry, "env");
	struct doc_node kept = { .type = DOC_MAP };
	PM_FREE struct doc_node *nodes = NULL;

	if (env == NULL || env->type != DOC_MAP || env->n == 0)
		return 0;
	nodes = pm_calloc(env->n, sizeof(*nodes));
	if (nodes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a dump");
	for (const struct doc_node *v = env->first; v != NULL; v = v->next) {
		if (!is_variable(v))
			continue;
		nodes[kept.n] = *v;
		nodes[kept.n].next = NULL;
		if (kept.n > 0)
			nodes[kept.n - 1].next = &nodes[kept.n];
		kept.n++;
	}
	kept.first = kept.n == 0 ? NULL : nodes;
	kept.last = kept.n == 0 ? NULL : &nodes[kept.n - 1];
	return kept.n == 0 ? 0 : set(b, "env", &kept, err);
}

/* The number of the instance, which names of files may end in: that of its pid file. "" if none. */
static void id_of(const struct doc_node *entry, char out[16])
{
	const char *path = text_of(entry, "pm_pid_path");
	const char *dash = path == NULL ? NULL : strrchr(path, '-');
	size_t len = dash == NULL ? 0 : strspn(dash + 1, "0123456789");

	out[0] = '\0';
	if (len > 0 && len < 12 && strcmp(dash + 1 + len, ".pid") == 0)
		(void)snprintf(out, 16, "-%.*s", (int)len, dash + 1);
}

/*
 * A log's path without the number of the instance: /logs/app-out-3.log to /logs/app-out.log. Names
 * that end otherwise never have one.
 */
static char *without_id(const char *path, const char *id)
{
	static const char suffix[] = ".log";
	size_t len = strlen(path), n = strlen(id), cut = n + sizeof(suffix) - 1;
	char *out = pm_strdup(path);

	if (out != NULL && n > 0 && len > cut && strncmp(path + len - cut, id, n) == 0 &&
	    strcmp(path + len - cut + n, suffix) == 0)
		memcpy(out + len - cut, suffix, sizeof(suffix));
	return out;
}

/* Whether it is the name that a log has when none is given. */
static bool is_default_log(const char *path, const char *home, const char *name, const char *what)
{
	char file[PM_PATH_MAX];
	size_t dir = strlen(home) + strlen("/logs/"), end = dir + strlen(name);
	int n = snprintf(file, sizeof(file), "%s/logs/%s%s.log", home, name, what);

	if (n < 0 || (size_t)n >= sizeof(file))
		return false;
	for (size_t i = dir; i < end; i++)
		if (!isalnum((unsigned char)file[i]) && file[i] != '.')
			file[i] = '-'; /* as names of apps stand in names of files */
	return strcmp(path, file) == 0;
}

static int set_log(const struct dump_app *app, const char *home, const char *from, const char *key,
                   const char *what, struct spec_builder *b, struct pm_error *err)
{
	const struct doc_node *merged = doc_get(app->entry, "merge_logs");
	bool is_merged = merged != NULL && merged->type == DOC_BOOL && merged->truth;
	const char *path = text_of(app->entry, from);
	struct doc_node node = { .type = DOC_TEXT };
	PM_FREE char *plain = NULL;
	char id[16] = "";

	if (path == NULL)
		return 0;
	if (!is_merged)
		id_of(app->entry, id);
	plain = without_id(path, id);
	if (plain == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a dump");
	if (what != NULL && is_default_log(plain, home, app->name, what))
		return 0;
	node.text = plain;
	return set(b, key, &node, err);
}

static int set_rest(const struct dump_app *app, const char *home, struct spec_builder *b,
                    struct pm_error *err)
{
	struct doc_node separate = { .type = DOC_BOOL };
	struct doc_node instances = { .type = DOC_NUMBER, .number = (double)app->n };

	if (doc_get(app->entry, "merge_logs") == NULL && set(b, "merge_logs", &separate, err) < 0)
		return -1;
	if (app->n > 1 && set(b, "instances", &instances, err) < 0)
		return -1;
	if (set_log(app, home, "pm_out_log_path", "out_file", "-out", b, err) < 0 ||
	    set_log(app, home, "pm_err_log_path", "error_file", "-error", b, err) < 0)
		return -1;
	return set_log(app, home, "pm_log_path", "log_file", NULL, b, err);
}

int dump_fill(const struct dump_app *app, const char *home, struct spec_builder *b,
              struct pm_error *err)
{
	if (app->name == NULL || app->script == NULL)
		return pm_fail(err, PM_CONFIG, "an entry has no %s",
		               app->name == NULL ? "name" : "pm_exec_path");
	if (set_known(app->entry, b, err) < 0 || set_env(app->entry, b, err) < 0)
		return -1;
	return set_rest(app, home, b, err);
}

/* "NAME=value" of the saved environment, else of ours if `ours`; NULL: neither has it. */
static char *pair(const struct doc_node *entry, const char *name, bool ours)
{
	const struct doc_node *env = doc_get(entry, "env");
	const char *value = env != NULL && env->type == DOC_MAP ? text_of(env, name) : NULL;
	PM_BUF out = { 0 };

	if (value == NULL && ours)
		value = getenv(name);
	if (value == NULL)
		return NULL;
	pm_buf_printf(&out, "%s=%s", name, value);
	return pm_buf_take(&out);
}

int dump_spec(const struct dump_app *app, const char *home, struct build_cache *cache,
              Pm__AppSpec **out, struct pm_error *err)
{
	PM_FREE char *path = pair(app->entry, "PATH", true);
	PM_FREE char *user_home = pair(app->entry, "HOME", false);
	char *environment[] = { path != NULL ? path : user_home, path != NULL ? user_home : NULL,
		                NULL };
	struct build_context build = {
		.cwd = "/", .environment = environment, .n_cpus = 1, .as_pm2 = true, .cache = cache
	};
	const char *own = text_of(app->entry, DUMP_OWN_KEY);
	struct spec_builder b;
	int rc;

	if (spec_builder_init(&b, err) < 0)
		return -1;
	rc = dump_fill(app, home, &b, err);
	if (rc == 0)
		rc = spec_build(&b, &build, out, err);
	spec_builder_finish(&b);
	if (rc == 0 && own != NULL && dump_own_read(own, *out, err) < 0) {
		spec_free(*out);
		*out = NULL;
		rc = pm_wrap(err, "%s", app->name);
	}
	return rc;
}
