#include "cli/jlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/apps.h"
#include "cli/dump_own.h"
#include "cli/redact.h"
#include "cli/spec_name.h"
#include "proto/limits.h"

/* Keys of pm2_env that are ours or PM2's: a variable of that name stays out of the flat part. */
static const char *const reserved[] = {
	"_km_monitored",
	"args",
	"automation",
	"autorestart",
	"autostart",
	"axm_actions",
	"axm_dynamic",
	"axm_monitor",
	"axm_options",
	"created_at",
	"cron_restart",
	"env",
	"error_file",
	"exec_interpreter",
	"exec_mode",
	"exit_code",
	"exit_signal",
	"exp_backoff_restart_delay",
	"filter_env",
	"gid",
	"ignore_watch",
	"increment_var",
	"instance_var",
	"instances",
	"interpreter",
	"kill_retry_time",
	"kill_timeout",
	"km_link",
	"listen_timeout",
	"log_date_format",
	"log_type",
	"max_memory_restart",
	"max_restarts",
	"merge_logs",
	"min_uptime",
	"name",
	"namespace",
	"node_args",
	"node_version",
	"pm_cwd",
	"pm_err_log_path",
	"pm_exec_path",
	"pm_id",
	"pm_log_path",
	"pm_out_log_path",
	"pm_pid_path",
	"pm_uptime",
	"pmd_spec",
	"pmx",
	"pmx_module",
	"prev_restart_delay",
	"restart_delay",
	"restart_time",
	"shutdown_with_message",
	"status",
	"stop_exit_codes",
	"treekill",
	"uid",
	"unique_id",
	"unstable_restarts",
	"username",
	"version",
	"versioning",
	"vizion",
	"vizion_running",
	"wait_ready",
	"watch",
	"watch_delay",
	"watch_options",
	"windowsHide",
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

static bool is_reserved(const char *name)
{
	return bsearch(name, reserved, PM_COUNT(reserved), sizeof(reserved[0]), compare_names) !=
	       NULL;
}

static void variable(struct json_out *j, const Pm__EnvVar *var, const struct jlist_style *style)
{
	bool hide = !style->as_pm2 && !style->reveal && redact_is_secret(var->name);

	json_kstr(j, var->name, hide ? REDACTED : var->value);
}

static void strings(struct json_out *j, const char *key, char *const *list, size_t n)
{
	json_key(j, key);
	json_begin_array(j);
	for (size_t i = 0; i < n; i++)
		json_str(j, list[i]);
	json_end_array(j);
}

static void env(struct json_out *j, const Pm__InstanceStatus *s, const struct jlist_style *style)
{
	const Pm__AppSpec *spec = s->spec;

	json_key(j, "env");
	json_begin_object(j);
	for (size_t i = 0; i < spec->n_env; i++)
		variable(j, spec->env[i], style);
	if (s->unique_id[0] != '\0')
		json_kstr(j, "unique_id", s->unique_id);
	json_end_object(j);
	for (size_t i = 0; i < spec->n_env_profiles; i++) {
		const Pm__EnvProfile *profile = spec->env_profiles[i];
		char key[PM_NAME_MAX + 5];

		(void)snprintf(key, sizeof(key), "env_%s", profile->name);
		json_key(j, key);
		json_begin_object(j);
		for (size_t k = 0; k < profile->n_vars; k++)
			variable(j, profile->vars[k], style);
		json_end_object(j);
	}
}

static void flat_env(struct json_out *j, const Pm__InstanceStatus *s,
                     const struct jlist_style *style)
{
	const Pm__AppSpec *spec = s->spec;

	json_kuint(j, spec->instance_var[0] == '\0' ? "NODE_APP_INSTANCE" : spec->instance_var,
	           s->instance);
	for (size_t i = 0; style->as_pm2 && i < spec->n_env; i++)
		if (!is_reserved(spec->env[i]->name) &&
		    strcmp(spec->env[i]->name, spec->instance_var) != 0)
			variable(j, spec->env[i], style);
}

static void watch(struct json_out *j, const Pm__InstanceStatus *s)
{
	const Pm__AppSpec *spec = s->spec;

	if (spec->watch && spec->n_watch_paths > 0 && s->watching)
		strings(j, "watch", spec->watch_paths, spec->n_watch_paths);
	else
		json_kbool(j, "watch", s->watching);
	if (spec->ignore_watch_set)
		strings(j, "ignore_watch", spec->ignore_watch, spec->n_ignore_watch);
	if (spec->watch_delay_ms != 0)
		json_kuint(j, "watch_delay", spec->watch_delay_ms);
}

/* In a dump a command line is what PM2 makes of it, a shell's -c: PM2 can read it back. */
static bool as_shell(const Pm__AppSpec *spec, const struct jlist_style *style)
{
	return style->dump && spec->command;
}

static void arguments(struct json_out *j, const Pm__AppSpec *spec, const struct jlist_style *style)
{
	if (spec->n_args == 0 && !as_shell(spec, style))
		return;
	json_key(j, "args");
	json_begin_array(j);
	if (as_shell(spec, style)) {
		json_str(j, "-c");
		json_str(j, spec->script);
	}
	for (size_t i = 0; i < spec->n_args; i++)
		json_str(j, spec->args[i]);
	json_end_array(j);
}

/* What was declared. */
static void declared(struct json_out *j, const Pm__InstanceStatus *s,
                     const struct jlist_style *style)
{
	const Pm__AppSpec *spec = s->spec;

	json_kbool(j, "merge_logs", spec->merge_logs);
	json_kbool(j, "autostart", spec->autostart);
	json_kbool(j, "autorestart", spec->autorestart);
	json_kstr(j, "instance_var", spec->instance_var);
	if (spec->increment_var[0] != '\0')
		json_kstr(j, "increment_var", spec->increment_var);
	json_kbool(j, "treekill", spec->treekill);
	json_kstr(j, "username", spec->username);
	if (spec->uid[0] != '\0')
		json_kstr(j, "uid", spec->uid);
	if (spec->gid[0] != '\0')
		json_kstr(j, "gid", spec->gid);
	json_kbool(j, "windowsHide", true);
	json_kuint(j, "kill_retry_time", spec->kill_retry_ms);
	json_kuint(j, "kill_timeout", spec->kill_timeout_ms);
	json_kuint(j, "listen_timeout", spec->listen_timeout_ms);
	json_kbool(j, "wait_ready", spec->wait_ready);
	json_kbool(j, "shutdown_with_message", spec->shutdown_with_message);
	json_kuint(j, "min_uptime", spec->min_uptime_ms);
	json_kuint(j, "max_restarts", spec->max_restarts);
	json_kuint(j, "restart_delay", spec->restart_delay_ms);
	json_kuint(j, "exp_backoff_restart_delay", spec->exp_backoff_ms);
	if (spec->max_memory != 0)
		json_kuint(j, "max_memory_restart", spec->max_memory);
	if (spec->cron[0] != '\0')
		json_kstr(j, "cron_restart", spec->cron);
	if (spec->log_date_format[0] != '\0')
		json_kstr(j, "log_date_format", spec->log_date_format);
	if (spec->log_type == PM__LOG_TYPE__LOG_TYPE_JSON)
		json_kstr(j, "log_type", "json");
	if (spec->n_stop_exit_codes > 0) {
		json_key(j, "stop_exit_codes");
		json_begin_array(j);
		for (size_t i = 0; i < spec->n_stop_exit_codes; i++)
			json_int(j, spec->stop_exit_codes[i]);
		json_end_array(j);
	}
	if (spec->filter_env_all)
		json_kbool(j, "filter_env", true);
	else if (spec->n_filter_env > 0)
		strings(j, "filter_env", spec->filter_env, spec->n_filter_env);
	watch(j, s);
	for (size_t i = 0; i < spec->n_extra; i++)
		if (spec->extra[i]->value[0] != '\0') {
			json_key(j, spec->extra[i]->key);
			json_raw(j, spec->extra[i]->value);
		}
	json_kstr(j, "namespace", s->namespace_);
	strings(j, "node_args", spec->interpreter_args, spec->n_interpreter_args);
	arguments(j, spec, style);
}

static void paths(struct json_out *j, const Pm__InstanceStatus *s, const struct jlist_style *style)
{
	const Pm__AppSpec *spec = s->spec;
	bool cluster = s->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER;

	json_kstr(j, "pm_exec_path", as_shell(spec, style) ? spec->interpreter : spec->script);
	json_kstr(j, "pm_cwd", spec->cwd);
	json_kstr(j, "exec_interpreter", as_shell(spec, style) ? "none" : spec->interpreter);
	json_kstr(j, "exec_mode", cluster ? "cluster_mode" : "fork_mode");
	if (!style->dump)
		json_kuint(j, "instances", spec->instances);
	json_kstr(j, "pm_out_log_path", s->out_file);
	json_kstr(j, "pm_err_log_path", s->error_file);
	if (s->log_file[0] != '\0')
		json_kstr(j, "pm_log_path", s->log_file);
	json_kstr(j, "pm_pid_path", s->pid_file);
}

/* What is so now. */
static void present(struct json_out *j, const Pm__InstanceStatus *s,
                    const struct jlist_style *style)
{
	char settings[SPEC_NAME_TEXT];

	json_kstr(j, "unique_id", s->unique_id);
	json_kstr(j, "status", apps_state_name(s->state));
	if (!style->as_pm2 && !style->dump && s->note[0] != '\0')
		json_kstr(j, "note", s->note);
	spec_name_text(&s->spec_hash, 2 * SPEC_NAME_BYTES, settings);
	if (!style->as_pm2 && !style->dump && *settings != '\0')
		json_kstr(j, "spec_hash", settings);
	json_kint(j, "pm_uptime", s->started_wall_ms);
	json_kint(j, "created_at", s->created_wall_ms);
	if (!style->dump)
		json_kuint(j, "pm_id", s->pm_id);
	json_kuint(j, "restart_time", s->restarts);
	json_kuint(j, "unstable_restarts", s->unstable_restarts);
	if (s->restart_delay_now_ms != 0 && !style->dump)
		json_kuint(j, "prev_restart_delay", s->restart_delay_now_ms);
	if (s->exit_known) {
		json_kint(j, "exit_code", s->exit_code);
		if (s->exit_signal != 0)
			json_kint(j, "exit_signal", s->exit_signal);
	}
	if (s->spec->node_version[0] != '\0')
		json_kstr(j, "node_version", s->spec->node_version);
	if (s->version[0] != '\0')
		json_kstr(j, "version", s->version);
	json_kbool(j, "km_link", false);
	json_kbool(j, "vizion_running", false);
	json_key(j, "axm_actions");
	json_raw(j, "[]");
	json_key(j, "axm_monitor");
	json_raw(j, "{}");
	json_key(j, "axm_options");
	json_raw(j, "{}");
	json_key(j, "axm_dynamic");
	json_raw(j, "{}");
}

static void own_keys(struct json_out *j, const Pm__AppSpec *spec)
{
	PM_BUF text = { 0 };

	dump_own_write(spec, &text);
	if (text.failed)
		j->buf->failed = true;
	else if (text.len > 0)
		json_kstr(j, DUMP_OWN_KEY, text.bytes);
}

void jlist_write_env(struct json_out *j, const Pm__InstanceStatus *s,
                     const struct jlist_style *style)
{
	json_begin_object(j);
	json_kstr(j, "name", s->name);
	if (s->spec != NULL) {
		env(j, s, style);
		declared(j, s, style);
		paths(j, s, style);
		flat_env(j, s, style);
		present(j, s, style);
		if (style->dump)
			own_keys(j, s->spec);
	}
	json_end_object(j);
}

void jlist_write_one(struct json_out *j, const Pm__InstanceStatus *s,
                     const struct jlist_style *style)
{
	json_begin_object(j);
	json_kuint(j, "pid", s->pid);
	json_kstr(j, "name", s->name);
	json_key(j, "pm2_env");
	jlist_write_env(j, s, style);
	json_kuint(j, "pm_id", s->pm_id);
	json_key(j, "monit");
	json_begin_object(j);
	json_kuint(j, "memory", s->memory);
	json_key(j, "cpu");
	json_tenths(j, s->cpu_permille);
	json_end_object(j);
	json_end_object(j);
}

void jlist_write(struct json_out *j, Pm__InstanceStatus *const *instances, size_t n,
                 const struct jlist_style *style)
{
	json_begin_array(j);
	for (size_t i = 0; i < n; i++)
		jlist_write_one(j, instances[i], style);
	json_end_array(j);
}
