#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/spec_set.h"
#include "proto/units.h"

/* A repeated field's counter; the pointer is the member itself. */
static size_t *counter(const struct spec_target *t)
{
	const char *fields = t->key->fields;

	for (unsigned i = 0; i < pm__app_spec__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &pm__app_spec__descriptor.fields[i];
		size_t len = strlen(f->name);

		if (f->offset == t->key->offset && strncmp(fields, f->name, len) == 0)
			return (size_t *)(void *)((char *)t->b->spec + f->quantifier_offset);
	}
	return NULL;
}

/* Scalars as text; anything else is no word. */
static int add_word(const struct spec_target *t, const struct doc_node *v, char ***list, size_t *n,
                    struct pm_error *err)
{
	PM_BUF text = { 0 };

	if (v->type != DOC_TEXT && v->type != DOC_NUMBER && v->type != DOC_BOOL)
		return spec_mismatch(t, v, err);
	pm_buf_str(&text, "");
	doc_to_text(v, &text);
	if (text.failed)
		return pm_fail(err, PM_NO_MEMORY, "%s", t->key->name);
	return spec_add_str(list, n, text.len > 0 ? text.bytes : "", err);
}

/* Options that take several names take them with commas too. */
static bool has_commas(const struct spec_key *key)
{
	static const char *const names[] = { "watch_exts", "depends_on", "take_env", "limits",
		                             "listen" };

	for (size_t i = 0; i < PM_COUNT(names); i++)
		if (strcmp(key->name, names[i]) == 0)
			return true;
	return false;
}

static int split_words(const struct spec_target *t, const char *text, char ***list, size_t *n,
                       struct pm_error *err)
{
	PM_FREE char *copy = pm_strdup(text);

	if (copy == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", t->key->name);
	if (has_commas(t->key))
		for (char *s = copy; *s != '\0'; s++)
			if (*s == ',')
				*s = ' ';
	return spec_split(copy, list, n, err);
}

/* The words of a value. *list is the caller's, and is untouched on failure. */
static int words_of(const struct spec_target *t, const struct doc_node *v, char ***list, size_t *n,
                    struct pm_error *err)
{
	char **words = NULL;
	size_t n_words = 0;
	int rc = 0;

	if (v->type == DOC_TEXT) {
		if (t->option && t->key->type == SPEC_WORDS && strcmp(v->text, "null") == 0)
			rc = 0; /* as PM2: the text null takes the value away */
		else if (t->key->type == SPEC_WORDS)
			rc = split_words(t, v->text, &words, &n_words, err);
		else
			rc = add_word(t, v, &words, &n_words, err);
	} else if (v->type == DOC_LIST) {
		for (const struct doc_node *i = v->first; i != NULL && rc == 0; i = i->next)
			rc = add_word(t, i, &words, &n_words, err);
	} else {
		rc = spec_mismatch(t, v, err);
	}
	if (rc < 0) {
		spec_clear_list(&words, &n_words);
		return -1;
	}
	*list = words;
	*n = n_words;
	return 0;
}

/* Gives a list its new words: instead of the old ones, or behind them. */
static int put_words(const struct spec_target *t, char ***list, size_t *n, char **words,
                     size_t n_words, struct pm_error *err)
{
	int rc = 0;

	if (!t->again)
		spec_clear_list(list, n);
	for (size_t i = 0; i < n_words && rc == 0; i++)
		rc = spec_add_str(list, n, words[i], err);
	spec_clear_list(&words, &n_words);
	return rc;
}

int spec_set_words(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char **words = NULL;
	size_t n = 0;

	if (words_of(t, v, &words, &n, err) < 0)
		return -1;
	if (strcmp(t->key->name, "ignore_watch") == 0)
		t->b->spec->ignore_watch_set = true;
	return put_words(t, spec_member(t), counter(t), words, n, err);
}

int spec_set_codes(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__AppSpec *s = t->b->spec;
	const struct doc_node *first = v->type == DOC_LIST ? v->first : v;

	if (!t->again) {
		free(s->stop_exit_codes);
		s->stop_exit_codes = NULL;
		s->n_stop_exit_codes = 0;
	}
	for (const struct doc_node *i = first; i != NULL;
	     i = v->type == DOC_LIST ? i->next : NULL) {
		int32_t *grown;
		int64_t code;

		if (!spec_to_int(i, &code) || code < 0 || code > 255)
			return spec_mismatch(t, i, err);
		grown = pm_realloc(s->stop_exit_codes, (s->n_stop_exit_codes + 1) * sizeof(*grown));
		if (grown == NULL)
			return pm_fail(err, PM_NO_MEMORY, "%s", t->key->name);
		grown[s->n_stop_exit_codes++] = (int32_t)code;
		s->stop_exit_codes = grown;
	}
	return 0;
}

static void clear_env(Pm__EnvVar ***list, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		pm__env_var__free_unpacked((*list)[i], NULL);
	free(*list);
	*list = NULL;
	*n = 0;
}

int spec_env_from_doc(const char *key, const struct doc_node *map, Pm__EnvVar ***list, size_t *n,
                      struct pm_error *err)
{
	if (map->type != DOC_MAP)
		return pm_fail(err, PM_CONFIG, "%s: expected an object of names and values", key);
	for (const struct doc_node *v = map->first; v != NULL; v = v->next) {
		PM_BUF text = { 0 };

		if (!spec_is_var(v->name))
			return pm_fail(err, PM_CONFIG, "%s: \"%.40s\" is not a variable's name",
			               key, v->name);
		doc_to_text(v, &text);
		if (text.failed)
			return pm_fail(err, PM_NO_MEMORY, "%s", key);
		if (spec_put_env(list, n, v->name, text.len > 0 ? text.bytes : "",
		                 PM__ENV_ORIGIN__ENV_CONFIG, err) < 0)
			return -1;
	}
	return 0;
}

int spec_set_env(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__AppSpec *s = t->b->spec;

	if (v->type != DOC_MAP)
		return spec_mismatch(t, v, err);
	clear_env(&s->env, &s->n_env);
	return spec_env_from_doc(t->key->name, v, &s->env, &s->n_env, err);
}

/* One bound of a limit; "unlimited" is what the kernel calls RLIM_INFINITY. */
static bool bound_of(const char *text, uint64_t *out)
{
	if (strcmp(text, "unlimited") == 0 || strcmp(text, "infinity") == 0 ||
	    strcmp(text, "-1") == 0) {
		*out = UINT64_MAX;
		return true;
	}
	return pm_parse_size(text, out);
}

static int add_limit(const struct spec_target *t, const char *name, const char *value,
                     struct pm_error *err)
{
	Pm__AppSpec *s = t->b->spec;
	char soft[64];
	const char *colon = strchr(value, ':');
	Pm__Limit *limit, **grown;
	uint64_t low, high;

	(void)snprintf(soft, sizeof(soft), "%.*s",
	               colon != NULL ? (int)(colon - value) : (int)strlen(value), value);
	if (!spec_is_limit(name))
		return pm_fail(err, PM_CONFIG,
		               "limits: \"%.40s\" is not a resource of setrlimit(2)", name);
	if (!bound_of(soft, &low) || !bound_of(colon != NULL ? colon + 1 : value, &high) ||
	    low > high)
		return pm_fail(err, PM_CONFIG,
		               "limits: %s: expected a number, unlimited or \"soft:hard\", found "
		               "\"%.40s\"",
		               name, value);
	grown = pm_realloc(s->limits, (s->n_limits + 1) * sizeof(Pm__Limit *));
	if (grown == NULL)
		return pm_fail(err, PM_NO_MEMORY, "limits");
	s->limits = grown;
	limit = pm_calloc(1, sizeof(*limit));
	if (limit == NULL)
		return pm_fail(err, PM_NO_MEMORY, "limits");
	pm__limit__init(limit);
	limit->soft = low;
	limit->hard = high;
	grown[s->n_limits++] = limit;
	return spec_put_str(&limit->name, name, err);
}

static int limits_from_text(const struct spec_target *t, const struct doc_node *v,
                            struct pm_error *err)
{
	char **words = NULL;
	size_t n = 0;
	int rc = 0;

	if (split_words(t, v->text, &words, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n && rc == 0; i++) {
		char *equals = strchr(words[i], '=');

		if (equals == NULL) {
			rc = spec_mismatch(t, v, err);
		} else {
			*equals = '\0';
			rc = add_limit(t, words[i], equals + 1, err);
		}
	}
	spec_clear_list(&words, &n);
	return rc;
}

int spec_set_limits(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__AppSpec *s = t->b->spec;

	if (v->type != DOC_MAP && v->type != DOC_TEXT)
		return spec_mismatch(t, v, err);
	for (size_t i = 0; !t->again && i < s->n_limits; i++)
		pm__limit__free_unpacked(s->limits[i], NULL);
	if (!t->again)
		s->n_limits = 0;
	if (v->type == DOC_TEXT)
		return limits_from_text(t, v, err);
	for (const struct doc_node *i = v->first; i != NULL; i = i->next) {
		PM_BUF text = { 0 };

		doc_to_text(i, &text);
		if (text.failed)
			return pm_fail(err, PM_NO_MEMORY, "limits");
		if (add_limit(t, i->name, text.len > 0 ? text.bytes : "", err) < 0)
			return -1;
	}
	return 0;
}

int spec_set_watch(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__AppSpec *s = t->b->spec;
	char **words = NULL;
	size_t n = 0;
	bool on = true;

	if (!spec_to_bool(v, &on) && words_of(t, v, &words, &n, err) < 0)
		return -1;
	s->watch = on;
	return put_words(t, &s->watch_paths, &s->n_watch_paths, words, n, err);
}

int spec_set_filter(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__AppSpec *s = t->b->spec;
	char **words = NULL;
	size_t n = 0;
	bool all = false;

	if (!spec_to_bool(v, &all) && words_of(t, v, &words, &n, err) < 0)
		return -1;
	s->filter_env_all = all;
	return put_words(t, &s->filter_env, &s->n_filter_env, words, n, err);
}

static int put_extra(Pm__AppSpec *s, const char *key, const char *json, struct pm_error *err)
{
	Pm__AppSpec__ExtraEntry *entry, **grown;

	for (size_t i = 0; i < s->n_extra; i++)
		if (strcmp(s->extra[i]->key, key) == 0)
			return spec_put_str(&s->extra[i]->value, json, err);
	grown = pm_realloc(s->extra, (s->n_extra + 1) * sizeof(*grown));
	if (grown == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", key);
	s->extra = grown;
	entry = pm_calloc(1, sizeof(*entry));
	if (entry == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", key);
	pm__app_spec__extra_entry__init(entry);
	grown[s->n_extra++] = entry;
	if (spec_put_str(&entry->key, key, err) < 0)
		return -1;
	return spec_put_str(&entry->value, json, err);
}

int spec_set_kept(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	PM_BUF json = { 0 };

	doc_to_json(v, &json);
	if (json.failed)
		return pm_fail(err, PM_NO_MEMORY, "%s", t->key->name);
	return put_extra(t->b->spec, t->key->name, json.bytes, err);
}

int spec_set_take_env(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	char **words = NULL;
	size_t n = 0;

	if (words_of(t, v, &words, &n, err) < 0)
		return -1;
	return put_words(t, &t->b->take_env, &t->b->n_take_env, words, n, err);
}

static Pm__EnvProfile *profile_of(Pm__AppSpec *s, const char *name, struct pm_error *err)
{
	Pm__EnvProfile *profile, **grown;

	for (size_t i = 0; i < s->n_env_profiles; i++)
		if (strcmp(s->env_profiles[i]->name, name) == 0)
			return s->env_profiles[i];
	grown = pm_realloc(s->env_profiles, (s->n_env_profiles + 1) * sizeof(*grown));
	profile = grown != NULL ? pm_calloc(1, sizeof(*profile)) : NULL;
	if (grown != NULL)
		s->env_profiles = grown;
	if (profile == NULL) {
		(void)pm_fail(err, PM_NO_MEMORY, "env_%.40s", name);
		return NULL;
	}
	pm__env_profile__init(profile);
	grown[s->n_env_profiles++] = profile;
	return spec_put_str(&profile->name, name, err) < 0 ? NULL : profile;
}

int spec_set_profile(struct spec_builder *b, const char *name, const struct doc_node *vars,
                     struct pm_error *err)
{
	Pm__EnvProfile *profile;
	char key[64];

	(void)snprintf(key, sizeof(key), "env_%.40s", name);
	if (!spec_is_name(name))
		return pm_fail(err, PM_CONFIG, "%s: not a name", key);
	if (vars->type != DOC_MAP)
		return pm_fail(err, PM_CONFIG, "%s: expected an object of names and values", key);
	profile = profile_of(b->spec, name, err);
	if (profile == NULL)
		return -1;
	clear_env(&profile->vars, &profile->n_vars);
	return spec_env_from_doc(key, vars, &profile->vars, &profile->n_vars, err);
}
