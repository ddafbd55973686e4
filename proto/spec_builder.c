#include "proto/spec_builder.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/units.h"

int spec_builder_init(struct spec_builder *b, struct pm_error *err)
{
	*b = (struct spec_builder){ .instances = 1, .port = -1 };
	return spec_create(&b->spec, err);
}

void spec_builder_finish(struct spec_builder *b)
{
	spec_free(b->spec);
	free(b->name_prefix);
	spec_clear_list(&b->take_env, &b->n_take_env);
	*b = (struct spec_builder){ .port = -1 };
}

bool spec_is_given(const struct spec_builder *b, const char *key)
{
	for (size_t i = 0; i < spec_n_keys; i++)
		if (strcmp(spec_keys[i].name, key) == 0)
			return (b->given[i / 64] >> (i % 64) & 1) != 0;
	return false;
}

int spec_signal_number(const char *text)
{
	int64_t number;

	if (pm_parse_int(text, &number))
		return number >= 1 && number <= SIGRTMAX ? (int)number : 0;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigabbrev_np(i) != NULL && strcasecmp(sigabbrev_np(i), text) == 0)
			return i;
	if (strncasecmp(text, "RTMIN+", 6) == 0 && pm_parse_int(text + 6, &number) && number >= 0 &&
	    number <= SIGRTMAX - SIGRTMIN)
		return SIGRTMIN + (int)number;
	return 0;
}

/* One word from text at *s into out, without its quotes; false at the end of the text. */
static bool next_word(const char **s, char *out)
{
	const char *p = *s + strspn(*s, " \t\r\n");
	char quote = '\0';

	if (*p == '\0')
		return false;
	for (; *p != '\0' && (quote != '\0' || strchr(" \t\r\n", *p) == NULL); p++) {
		if (quote == '\0' && (*p == '"' || *p == '\''))
			quote = *p;
		else if (quote != '\0' && *p == quote)
			quote = '\0';
		else
			*out++ = *p;
	}
	*out = '\0';
	*s = p;
	return true;
}

int spec_split(const char *text, char ***list, size_t *n, struct pm_error *err)
{
	PM_FREE char *word = pm_calloc(1, strlen(text) + 1);
	char **words = NULL;
	size_t n_words = 0;

	if (word == NULL)
		return pm_fail(err, PM_NO_MEMORY, "split a text");
	while (next_word(&text, word))
		if (spec_add_str(&words, &n_words, word, err) < 0) {
			spec_clear_list(&words, &n_words);
			return -1;
		}
	*list = words;
	*n = n_words;
	return 0;
}

struct fields {
	char **list;
	size_t n;
	struct pm_error *err;
	bool failed;
};

static bool add_field(void *arg, const char *word, size_t len)
{
	struct fields *f = arg;
	char name[64];

	(void)snprintf(name, sizeof(name), "%.*s", (int)len, word);
	f->failed = spec_add_str(&f->list, &f->n, name, f->err) < 0;
	return !f->failed;
}

static bool is_given_at(const struct spec_builder *b, size_t i)
{
	return (b->given[i / 64] >> (i % 64) & 1) != 0;
}

int spec_patch_fields(const struct spec_builder *b, char ***fields, size_t *n, struct pm_error *err)
{
	struct fields f = { .err = err };

	for (size_t i = 0; i < spec_n_keys && !f.failed; i++) {
		const struct spec_key *k = &spec_keys[i];

		if (!is_given_at(b, i))
			continue;
		if ((k->flags & SPEC_NO_PATCH) != 0) {
			spec_clear_list(&f.list, &f.n);
			(void)pm_fail(err, PM_USAGE, "%s: cannot change on restart or reload",
			              k->name);
			pm_hint(err, "delete the app and start it anew");
			return -1;
		}
		(void)spec_each_word(k->fields, add_field, &f);
	}
	if (f.failed) {
		spec_clear_list(&f.list, &f.n);
		return -1;
	}
	*fields = f.list;
	*n = f.n;
	return 0;
}

static int merge_own(struct spec_builder *b, const struct spec_builder *over, struct pm_error *err)
{
	if (spec_is_given(over, "instances"))
		b->instances = over->instances;
	if (spec_is_given(over, "port"))
		b->port = over->port;
	if (spec_is_given(over, "append_env_to_name"))
		b->append_env_to_name = over->append_env_to_name;
	if (over->name_prefix != NULL) {
		char *copy = pm_strdup(over->name_prefix);

		if (copy == NULL)
			return pm_fail(err, PM_NO_MEMORY, "merge options");
		free(b->name_prefix);
		b->name_prefix = copy;
	}
	for (size_t i = 0; i < over->n_take_env; i++)
		if (spec_add_str(&b->take_env, &b->n_take_env, over->take_env[i], err) < 0)
			return -1;
	return 0;
}

int spec_builder_merge(struct spec_builder *b, const struct spec_builder *over,
                       struct pm_error *err)
{
	struct fields f = { .err = err };
	int rc = -1;

	for (size_t i = 0; i < spec_n_keys && !f.failed; i++)
		if (is_given_at(over, i))
			(void)spec_each_word(spec_keys[i].fields, add_field, &f);
	if (!f.failed)
		rc = spec_patch(b->spec, over->spec, f.list, f.n, err);
	spec_clear_list(&f.list, &f.n);
	if (rc < 0 || merge_own(b, over, err) < 0)
		return -1;
	for (size_t i = 0; i < PM_COUNT(b->given); i++)
		b->given[i] |= over->given[i];
	return 0;
}
