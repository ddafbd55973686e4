#include "proto/spec_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cron.h"
#include "proto/limits.h"
#include "proto/units.h"

#define EXPECTS_MAX 128

/* What was found instead, on one line, short and without control characters. */
static void describe(const struct doc_node *v, char *out, size_t size)
{
	char number[PM_NUMBER_TEXT];

	if (v->type == DOC_TEXT) {
		(void)snprintf(out, size, "\"%.40s%s\"", v->text,
		               strlen(v->text) > 40 ? "..." : "");
	} else if (v->type == DOC_NUMBER) {
		pm_number_text(v->number, number);
		(void)snprintf(out, size, "%s", number);
	} else if (v->type == DOC_BOOL) {
		(void)snprintf(out, size, "%s", v->truth ? "true" : "false");
	} else {
		(void)snprintf(out, size, "%s %s", v->type == DOC_MAP ? "an" : "a",
		               doc_type_name(v->type));
	}
	for (; *out != '\0'; out++)
		if ((unsigned char)*out < 0x20 || *out == 0x7f)
			*out = '?';
}

int spec_mismatch(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char expects[EXPECTS_MAX], found[64];

	spec_key_expects(t->key, expects, sizeof(expects));
	describe(v, found, sizeof(found));
	return pm_fail(err, PM_CONFIG, "%s: expected %s, found %s", t->key->name, expects, found);
}

static int out_of_range(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char found[64];

	describe(v, found, sizeof(found));
	return pm_fail(err, PM_CONFIG, "%s: expected %lld to %lld, found %s", t->key->name,
	               (long long)t->key->min, (long long)t->key->max, found);
}

void *spec_member(const struct spec_target *t)
{
	return (char *)t->b->spec + t->key->offset;
}

bool spec_to_int(const struct doc_node *v, int64_t *out)
{
	if (v->type == DOC_TEXT)
		return pm_parse_int(v->text, out);
	if (v->type != DOC_NUMBER || v->number < -9e15 || v->number > 9e15 ||
	    !(v->number >= (double)(int64_t)v->number && v->number <= (double)(int64_t)v->number))
		return false;
	*out = (int64_t)v->number;
	return true;
}

bool spec_to_bool(const struct doc_node *v, bool *out)
{
	if (v->type == DOC_TEXT && strcmp(v->text, "true") == 0)
		*out = true;
	else if (v->type == DOC_TEXT && strcmp(v->text, "false") == 0)
		*out = false;
	else if (v->type == DOC_BOOL)
		*out = v->truth;
	else
		return false;
	return true;
}

static int set_text(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	if (v->type != DOC_TEXT)
		return spec_mismatch(t, v, err);
	return spec_put_str(spec_member(t), v->text, err);
}

static int set_name(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	if (v->type != DOC_TEXT || !spec_is_name(v->text))
		return spec_mismatch(t, v, err);
	return spec_put_str(spec_member(t), v->text, err);
}

static int set_var(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	if (v->type != DOC_TEXT || !spec_is_var(v->text))
		return spec_mismatch(t, v, err);
	return spec_put_str(spec_member(t), v->text, err);
}

static int set_path(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	if (v->type != DOC_TEXT || v->text[0] == '\0' || strlen(v->text) >= PM_PATH_MAX)
		return spec_mismatch(t, v, err);
	return spec_put_str(spec_member(t), v->text, err);
}

static int set_log_path(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	bool on;

	if (spec_to_bool(v, &on))
		return spec_put_str(spec_member(t), on ? "*" : "", err);
	return set_path(t, v, err);
}

static void store(const struct spec_target *t, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	if (t->key->width == sizeof(value))
		memcpy(spec_member(t), &value, sizeof(value));
	else
		memcpy(spec_member(t), &narrow, sizeof(narrow));
}

static int set_int(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	int64_t value;

	if (!spec_to_int(v, &value) || value < t->key->min || value > t->key->max)
		return spec_mismatch(t, v, err);
	store(t, (uint64_t)value);
	if (strcmp(t->key->name, "nice") == 0)
		t->b->spec->nice_set = true;
	if (strcmp(t->key->name, "oom_score_adj") == 0)
		t->b->spec->oom_score_adj_set = true;
	return 0;
}

static int set_duration(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	uint64_t unit = t->option && (t->key->flags & SPEC_DELAY_S) != 0 ? 1000 : 1;
	uint64_t ms = 0;

	if (v->type == DOC_NUMBER && v->number >= 0 && v->number < 9e15)
		ms = (uint64_t)v->number;
	else if (v->type != DOC_TEXT || !pm_parse_duration(v->text, unit, &ms))
		return spec_mismatch(t, v, err);
	if (ms < (uint64_t)t->key->min || ms > (uint64_t)t->key->max)
		return out_of_range(t, v, err);
	store(t, ms);
	return 0;
}

static int set_size(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	uint64_t bytes = 0;

	if (v->type == DOC_NUMBER && v->number >= 0 && v->number < 9e15)
		bytes = (uint64_t)v->number;
	else if (v->type != DOC_TEXT || !pm_parse_size(v->text, &bytes))
		return spec_mismatch(t, v, err);
	if (bytes < (uint64_t)t->key->min || bytes > (uint64_t)t->key->max)
		return out_of_range(t, v, err);
	store(t, bytes);
	return 0;
}

static int set_bool(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	protobuf_c_boolean value;
	bool on;

	if (!spec_to_bool(v, &on))
		return spec_mismatch(t, v, err);
	value = (t->key->flags & SPEC_INVERT) != 0 ? !on : on;
	memcpy(spec_member(t), &value, sizeof(value));
	return 0;
}

static int set_enum(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	for (const struct spec_word *w = t->key->words; v->type == DOC_TEXT && w->word != NULL; w++)
		if (strcmp(w->word, v->text) == 0) {
			memcpy(spec_member(t), &w->value, sizeof(w->value));
			return 0;
		}
	return spec_mismatch(t, v, err);
}

static int set_cron(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	bool none = (v->type == DOC_BOOL && !v->truth) ||
	            (v->type == DOC_NUMBER && !(v->number > 0)) ||
	            (v->type == DOC_TEXT && (v->text[0] == '\0' || strcmp(v->text, "0") == 0));
	struct cron cron;

	if (none)
		return spec_put_str(spec_member(t), "", err);
	if (v->type != DOC_TEXT || !spec_is_cron(v->text))
		return spec_mismatch(t, v, err);
	if (cron_parse(v->text, &cron, err) < 0)
		return pm_wrap(err, "%s: \"%.60s\"", t->key->name, v->text);
	return spec_put_str(spec_member(t), v->text, err);
}

static int set_signal(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	int64_t number = 0;

	if (v->type == DOC_TEXT)
		number = spec_signal_number(v->text);
	else if (!spec_to_int(v, &number) || number < 1 || number > 64)
		number = 0;
	if (number == 0)
		return spec_mismatch(t, v, err);
	t->b->spec->kill_signal = (int32_t)number;
	return 0;
}

/* A bare number is refused in files: 22 in one language is 022 in another. */
static int set_umask(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char *end = NULL;
	long mask = v->type == DOC_TEXT ? strtol(v->text, &end, 8) : -1;

	if (end == NULL || end == v->text || *end != '\0' || mask < 0 || mask > 0777)
		return spec_mismatch(t, v, err);
	t->b->spec->umask = (int32_t)mask;
	return 0;
}

static int set_owner(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char number[PM_NUMBER_TEXT];
	int64_t id;

	if (v->type == DOC_NUMBER && spec_to_int(v, &id) && id >= 0 && id < UINT32_MAX) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)id);
		return spec_put_str(spec_member(t), number, err);
	}
	if (v->type != DOC_TEXT || !spec_is_owner(v->text))
		return spec_mismatch(t, v, err);
	return spec_put_str(spec_member(t), v->text, err);
}

static int set_instances(const struct spec_target *t, const struct doc_node *v,
                         struct pm_error *err)
{
	int64_t n = 0;

	if (v->type != DOC_TEXT || strcmp(v->text, "max") != 0)
		if (!spec_to_int(v, &n) || n < -PM_SLOTS_MAX || n > PM_SLOTS_MAX)
			return spec_mismatch(t, v, err);
	t->b->instances = n;
	t->b->spec->instances = n > 0 ? (uint32_t)n : 1;
	t->b->spec->instances_given = true;
	return 0;
}

static int set_prefix(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char *copy;

	if (v->type != DOC_TEXT || !spec_is_name(v->text))
		return spec_mismatch(t, v, err);
	copy = pm_strdup(v->text);
	if (copy == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", t->key->name);
	free(t->b->name_prefix);
	t->b->name_prefix = copy;
	return 0;
}

static int set_port(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	int64_t port;

	if (!spec_to_int(v, &port) || port < t->key->min || port > t->key->max)
		return spec_mismatch(t, v, err);
	t->b->port = port;
	return 0;
}

static void mark_given(struct spec_builder *b, const struct spec_key *key)
{
	size_t i = spec_key_index(key);

	b->given[i / 64] |= 1ull << (i % 64);
}

/* Keys that stand for another key, or that the builder keeps for itself. */
static int set_switch(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	bool on;

	if (!spec_to_bool(v, &on))
		return spec_mismatch(t, v, err);
	if (strcmp(t->key->name, "append_env_to_name") == 0) {
		t->b->append_env_to_name = on;
	} else if (on && strcmp(t->key->name, "execute_command") == 0) {
		t->b->spec->exec_mode = PM__EXEC_MODE__EXEC_MODE_FORK;
		mark_given(t->b, spec_key_find("exec_mode"));
	} else if (on && strcmp(t->key->name, "time") == 0 &&
	           !spec_is_given(t->b, "log_date_format")) {
		return spec_put_str(&t->b->spec->log_date_format, "YYYY-MM-DDTHH:mm:ss", err);
	}
	return 0;
}

static spec_set_fn *own_setter(const struct spec_key *key)
{
	if (key->type == SPEC_BOOL)
		return set_switch;
	if (key->type == SPEC_INT)
		return set_port;
	return key->type == SPEC_WORDS ? spec_set_take_env : set_prefix;
}

static spec_set_fn *setter(const struct spec_key *key)
{
	static spec_set_fn *const setters[] = {
		[SPEC_TEXT] = set_text,
		[SPEC_NAME] = set_name,
		[SPEC_VAR] = set_var,
		[SPEC_PATH] = set_path,
		[SPEC_LOG_PATH] = set_log_path,
		[SPEC_INT] = set_int,
		[SPEC_DURATION] = set_duration,
		[SPEC_SIZE] = set_size,
		[SPEC_BOOL] = set_bool,
		[SPEC_WORDS] = spec_set_words,
		[SPEC_PATHS] = spec_set_words,
		[SPEC_CODES] = spec_set_codes,
		[SPEC_ENV] = spec_set_env,
		[SPEC_ENUM] = set_enum,
		[SPEC_CRON] = set_cron,
		[SPEC_SIGNAL] = set_signal,
		[SPEC_LIMITS] = spec_set_limits,
		[SPEC_UMASK] = set_umask,
		[SPEC_OWNER] = set_owner,
		[SPEC_INSTANCES] = set_instances,
		[SPEC_WATCH] = spec_set_watch,
		[SPEC_FILTER] = spec_set_filter,
		[SPEC_CHECK] = spec_set_check,
		[SPEC_ROLLOUT] = spec_set_rollout,
		[SPEC_KEPT] = spec_set_kept,
	};

	return key->width == 0 && key->type != SPEC_KEPT ? own_setter(key) : setters[key->type];
}

int spec_set(struct spec_builder *b, const struct spec_key *key, const struct doc_node *value,
             struct pm_error *err)
{
	struct spec_target t = { .b = b, .key = key };

	if (value->type == DOC_NULL)
		return 0; /* as if it were not there */
	if (setter(key)(&t, value, err) < 0)
		return -1;
	mark_given(b, key);
	return 0;
}

int spec_set_option(struct spec_builder *b, const struct spec_key *key, const char *text, bool off,
                    struct pm_error *err)
{
	struct spec_target t = {
		.b = b, .key = key, .option = true, .again = spec_is_given(b, key->name)
	};
	struct doc_node value = { .type = DOC_TEXT, .text = text };

	if (text == NULL) {
		value.type = DOC_BOOL;
		value.truth = !off;
	}
	if (setter(key)(&t, &value, err) < 0)
		return -1;
	mark_given(b, key);
	return 0;
}
