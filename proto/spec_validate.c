#include <string.h>

#include "proto/check.h"
#include "proto/limits.h"
#include "proto/listen_addr.h"
#include "proto/rollout_params.h"
#include "proto/spec.h"
#include "proto/spec_keys.h"
#include "proto/utf8.h"

#define OWNER_MAX   256
#define VAR_MAX     256
#define CRON_MAX    256
#define FORMAT_MAX  128
#define LIMITS_MAX  32
#define SIGNAL_MAX  64
#define VERSION_MAX 256

static bool is_utf8(const char *s)
{
	return pm_utf8_ok((const uint8_t *)s, strlen(s));
}

/* C0, DEL, and C1 in UTF-8: they would act on a terminal. */
static bool has_control(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	for (; *s != '\0'; s++)
		if (*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0))
			return true;
	return false;
}

bool spec_is_name(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= PM_NAME_MAX && strchr(s, '/') == NULL && strcmp(s, ".") != 0 &&
	       strcmp(s, "..") != 0 && !has_control(s) && is_utf8(s);
}

bool spec_is_var(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= VAR_MAX && strchr(s, '=') == NULL && !has_control(s);
}

bool spec_is_owner(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= OWNER_MAX && strpbrk(s, ":/ ") == NULL && s[0] != '-' &&
	       !has_control(s);
}

bool spec_is_cron(const char *s)
{
	static const char allowed[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"*/,-?#@ \t";
	size_t fields = 0;

	if (strlen(s) > CRON_MAX || s[strspn(s, allowed)] != '\0')
		return false;
	for (const char *p = s + strspn(s, " \t"); *p != '\0'; p += strspn(p, " \t")) {
		fields++;
		p += strcspn(p, " \t");
	}
	return fields == 5 || fields == 6 || (fields == 1 && s[0] == '@');
}

bool spec_is_limit(const char *s)
{
	static const char *const names[] = { "as",     "core",   "cpu",        "data",
		                             "fsize",  "locks",  "memlock",    "msgqueue",
		                             "nice",   "nofile", "nproc",      "rss",
		                             "rtprio", "rttime", "sigpending", "stack" };

	for (size_t i = 0; i < PM_COUNT(names); i++)
		if (strcmp(s, names[i]) == 0)
			return true;
	return false;
}

static int bad(struct pm_error *err, const Pm__AppSpec *spec, const char *key)
{
	return pm_fail(err, PM_CONFIG, "app %.128s: %s is not valid",
	               spec_is_name(spec->name) ? spec->name : "?", key);
}

/* Numbers of the table stand for themselves in the spec; their ranges are the table's. */
static int check_ranges(const Pm__AppSpec *spec, struct pm_error *err)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		const struct spec_key *k = &spec_keys[i];
		const char *at = (const char *)spec + k->offset;
		uint64_t wide;
		uint32_t narrow;
		int64_t value;

		if (k->width == 0 ||
		    (k->type != SPEC_INT && k->type != SPEC_DURATION && k->type != SPEC_SIZE))
			continue;
		if (k->width == sizeof(wide)) {
			memcpy(&wide, at, sizeof(wide));
			value = wide > INT64_MAX ? INT64_MAX : (int64_t)wide;
		} else {
			memcpy(&narrow, at, sizeof(narrow));
			value = k->min < 0 ? (int32_t)narrow : (int64_t)narrow;
		}
		if (value < k->min || value > k->max)
			return bad(err, spec, k->name);
	}
	return 0;
}

static int check_enums(const Pm__AppSpec *spec, struct pm_error *err)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		const struct spec_key *k = &spec_keys[i];
		const struct spec_word *w = k->words;
		int value;

		if (k->type != SPEC_ENUM)
			continue;
		memcpy(&value, (const char *)spec + k->offset, sizeof(value));
		while (w->word != NULL && w->value != value)
			w++;
		if (w->word == NULL)
			return bad(err, spec, k->name);
	}
	return 0;
}

static bool is_path(const char *s)
{
	return s[0] == '/' && strlen(s) < PM_PATH_MAX;
}

static bool are_paths(char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_path(list[i]))
			return false;
	return true;
}

static int check_paths(const Pm__AppSpec *s, struct pm_error *err)
{
	bool named = strchr(s->interpreter, '/') == NULL;

	if (!is_path(s->cwd))
		return bad(err, s, "cwd");
	if (s->script[0] == '\0' || (!s->command && !is_path(s->script)))
		return bad(err, s, "script");
	if (s->interpreter[0] == '\0' || (!named && !is_path(s->interpreter)))
		return bad(err, s, "interpreter");
	if (s->out_file[0] != '\0' && !is_path(s->out_file))
		return bad(err, s, "out_file");
	if (s->error_file[0] != '\0' && !is_path(s->error_file))
		return bad(err, s, "error_file");
	if (s->log_file[0] != '\0' && strcmp(s->log_file, "*") != 0 && !is_path(s->log_file))
		return bad(err, s, "log_file");
	if (s->pid_file[0] != '\0' && !is_path(s->pid_file))
		return bad(err, s, "pid_file");
	if (!are_paths(s->watch_paths, s->n_watch_paths))
		return bad(err, s, "watch");
	if (!are_paths(s->env_files, s->n_env_files))
		return bad(err, s, "env_file");
	return 0;
}

static bool are_vars(Pm__EnvVar *const *vars, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!spec_is_var(vars[i]->name))
			return false;
	return true;
}

static int check_env(const Pm__AppSpec *s, struct pm_error *err)
{
	if (!are_vars(s->env, s->n_env))
		return bad(err, s, "env");
	for (size_t i = 0; i < s->n_env_profiles; i++)
		if (!are_vars(s->env_profiles[i]->vars, s->env_profiles[i]->n_vars))
			return bad(err, s, "env_<name>");
	if (!spec_is_var(s->instance_var))
		return bad(err, s, "instance_var");
	if (s->increment_var[0] != '\0' && !spec_is_var(s->increment_var))
		return bad(err, s, "increment_var");
	return 0;
}

static int check_limits(const Pm__AppSpec *s, struct pm_error *err)
{
	if (s->n_limits > LIMITS_MAX)
		return bad(err, s, "limits");
	for (size_t i = 0; i < s->n_limits; i++)
		if (!spec_is_limit(s->limits[i]->name) || s->limits[i]->soft > s->limits[i]->hard)
			return bad(err, s, "limits");
	for (size_t i = 0; i < s->n_stop_exit_codes; i++)
		if (s->stop_exit_codes[i] < 0 || s->stop_exit_codes[i] > 255)
			return bad(err, s, "stop_exit_codes");
	if (s->umask < -1 || s->umask > 0777)
		return bad(err, s, "umask");
	if (s->kill_signal < 1 || s->kill_signal > SIGNAL_MAX)
		return bad(err, s, "kill_signal");
	if (s->instances < 1 || s->instances > PM_SLOTS_MAX)
		return bad(err, s, "instances");
	return 0;
}

static int check_names(const Pm__AppSpec *s, struct pm_error *err)
{
	if (!spec_is_name(s->name))
		return bad(err, s, "name");
	if (!spec_is_name(s->namespace_))
		return bad(err, s, "namespace");
	if (s->uid[0] != '\0' && !spec_is_owner(s->uid))
		return bad(err, s, "uid");
	if (s->gid[0] != '\0' && !spec_is_owner(s->gid))
		return bad(err, s, "gid");
	if (s->cron[0] != '\0' && !spec_is_cron(s->cron))
		return bad(err, s, "cron_restart");
	if (strlen(s->cron_tz) > VERSION_MAX || has_control(s->cron_tz) ||
	    strstr(s->cron_tz, "..") != NULL || s->cron_tz[0] == '/')
		return bad(err, s, "cron_tz");
	if (strlen(s->log_date_format) > FORMAT_MAX || has_control(s->log_date_format) ||
	    !is_utf8(s->log_date_format))
		return bad(err, s, "log_date_format");
	for (size_t i = 0; i < s->n_depends_on; i++)
		if (!spec_is_name(s->depends_on[i]) || strcmp(s->depends_on[i], s->name) == 0)
			return bad(err, s, "depends_on");
	return 0;
}

static int check_listen(const Pm__AppSpec *s, struct pm_error *err)
{
	struct listen_addr seen[PM_LISTEN_MAX];

	if (s->n_listen > PM_COUNT(seen))
		return bad(err, s, "listen");
	for (size_t i = 0; i < s->n_listen; i++) {
		if (listen_addr_parse(s->listen[i], &seen[i], err) < 0)
			return pm_wrap(err, "app %.128s", s->name);
		for (size_t k = 0; k < i; k++)
			if (listen_addr_same(&seen[i], &seen[k]))
				return bad(err, s, "listen");
	}
	return 0;
}

static int check_health(const Pm__AppSpec *s, struct pm_error *err)
{
	for (enum check_role role = CHECK_STARTUP; role < CHECK_ROLES; role++) {
		const Pm__HealthCheck *c = check_of(s, role);

		if (c != NULL && check_validate(c, role, err) < 0)
			return pm_wrap(err, "app %.128s", s->name);
	}
	return 0;
}

static int check_rollout(const Pm__AppSpec *s, struct pm_error *err)
{
	struct rollout_params p;

	rollout_params_default(&p);
	for (size_t i = 0; i < s->n_rollout; i++)
		if (rollout_params_set(&p, s->rollout[i]->name, s->rollout[i]->value, err) < 0)
			return pm_wrap(err, "app %.128s: rollout", s->name);
	if (rollout_params_check(&p, 0, err) < 0)
		return pm_wrap(err, "app %.128s: rollout", s->name);
	return 0;
}

/* What only shows up in tables: cut to size and clean, whoever sent it. */
static int check_notes(const Pm__AppSpec *s, struct pm_error *err)
{
	const char *const notes[] = { s->version, s->node_version, s->username, s->env_profile };

	for (size_t i = 0; i < PM_COUNT(notes); i++)
		if (strlen(notes[i]) > VERSION_MAX || has_control(notes[i]) || !is_utf8(notes[i]))
			return bad(err, s, "version, user name or profile");
	for (size_t i = 0; i < s->n_extra; i++)
		if (!spec_is_name(s->extra[i]->key) || !is_utf8(s->extra[i]->value))
			return bad(err, s, "a kept key");
	return 0;
}

int spec_validate(const Pm__AppSpec *spec, struct pm_error *err)
{
	if (check_names(spec, err) < 0 || check_paths(spec, err) < 0 || check_env(spec, err) < 0 ||
	    check_limits(spec, err) < 0 || check_ranges(spec, err) < 0 ||
	    check_enums(spec, err) < 0 || check_listen(spec, err) < 0 ||
	    check_health(spec, err) < 0 || check_rollout(spec, err) < 0 ||
	    check_notes(spec, err) < 0)
		return -1;
	if (pm__app_spec__get_packed_size(spec) > PM_SPEC_MAX)
		return pm_fail(err, PM_LIMIT,
		               "app %.128s: arguments and environment are over %d bytes",
		               spec->name, PM_SPEC_MAX);
	return 0;
}
