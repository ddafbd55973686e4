#include "agent/spec_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/spec_hash.h"
#include "proto/spec.h"
#include "proto/spec_keys.h"
#include "proto/utf8.h"

#define ONE_MAX    200 /* of one key's words */
#define NAME_SHOWN 100

struct diff {
	const Pm__AppSpec *from, *to;
	struct pm_buf *out;
	size_t began; /* what was in `out` before */
	unsigned n_left_out;
	bool told[SPEC_KEYS_MAX];
};

static void add(struct diff *d, const char *words)
{
	size_t len = d->out->len - d->began;

	if (len + strlen(words) + 2 > SPEC_DIFF_MAX - 20) { /* room for how many there are more */
		d->n_left_out++;
		return;
	}
	pm_buf_printf(d->out, "%s%s", len == 0 ? "" : "; ", words);
}

/* ---- keys with one value ---- */

struct key_of {
	const char *field;
	const struct spec_key *key;
	bool first; /* the field is the one that holds the value */
	size_t n;
};

static bool take_word(void *arg, const char *word, size_t len)
{
	struct key_of *k = arg;
	bool hit = strlen(k->field) == len && memcmp(k->field, word, len) == 0;

	k->first = hit && k->n == 0;
	k->n++;
	return !hit;
}

/* The key in files that sets a field of the message; NULL: none does. */
static const struct spec_key *key_of(const char *field, bool *first)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		struct key_of k = { .field = field };

		if (spec_keys[i].fields == NULL || spec_keys[i].type == SPEC_KEPT ||
		    spec_each_word(spec_keys[i].fields, take_word, &k))
			continue;
		*first = k.first;
		return &spec_keys[i];
	}
	return NULL;
}

static int64_t number_at(const Pm__AppSpec *spec, const struct spec_key *key, bool is_signed)
{
	const char *at = (const char *)spec + key->offset;
	uint64_t wide;
	uint32_t narrow;

	if (key->width == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return (int64_t)wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return is_signed ? (int64_t)(int32_t)narrow : (int64_t)narrow;
}

static bool value_text(const Pm__AppSpec *spec, const struct spec_key *key, char *out, size_t size)
{
	int64_t n;

	if (key->width != sizeof(uint64_t) && key->width != sizeof(uint32_t))
		return false;
	n = number_at(spec, key, key->min < 0 || key->type == SPEC_ENUM);
	if (key->type == SPEC_BOOL) {
		(void)snprintf(out, size, "%s", n != 0 ? "true" : "false");
		return true;
	}
	for (size_t i = 0; key->type == SPEC_ENUM && key->words[i].word != NULL; i++)
		if (key->words[i].value == n) {
			(void)snprintf(out, size, "%s", key->words[i].word);
			return true;
		}
	if (key->type != SPEC_INT && key->type != SPEC_DURATION && key->type != SPEC_SIZE &&
	    key->type != SPEC_INSTANCES)
		return false;
	(void)snprintf(out, size, "%" PRId64 "%s", n, key->type == SPEC_DURATION ? " ms" : "");
	return true;
}

static void tell_key(struct diff *d, const struct spec_key *key, bool first)
{
	char from[64], to[64], words[ONE_MAX];

	if (d->told[spec_key_index(key)])
		return;
	d->told[spec_key_index(key)] = true;
	if (first && value_text(d->from, key, from, sizeof(from)) &&
	    value_text(d->to, key, to, sizeof(to)) && strcmp(from, to) != 0)
		(void)snprintf(words, sizeof(words), "%s %s -> %s", key->name, from, to);
	else
		(void)snprintf(words, sizeof(words), "%s", key->name);
	add(d, words);
}

/* ---- variables, profiles, keys that are kept for others: by their names ---- */

struct named {
	const char *what; /* "env" */
	size_t n;
	char words[ONE_MAX];
	bool cut;
};

static void add_name(struct named *n, const char *sign, const char *name)
{
	size_t len = strlen(n->words), most = PM_MIN(strlen(name), (size_t)NAME_SHOWN);
	int more = snprintf(n->words + len, sizeof(n->words) - len, "%s%s%.*s",
	                    n->n == 0 ? "" : ", ", sign, (int)pm_utf8_whole(name, most), name);

	if (more < 0 || (size_t)more >= sizeof(n->words) - len - 4 || n->cut) {
		n->words[len] = '\0';
		n->cut = true;
	}
	n->n++;
}

static void tell_names(struct diff *d, const struct named *n, const char *note)
{
	char words[ONE_MAX + 64];

	if (n->n == 0)
		return;
	(void)snprintf(words, sizeof(words), "%s: %s%s%s", n->what, n->words, n->cut ? ", ..." : "",
	               note);
	add(d, words);
}

/* Both lists are sorted by name. */
typedef const char *name_fn(const Pm__AppSpec *spec, size_t i); /* NULL: that many there are not */
typedef bool same_fn(const Pm__AppSpec *a, size_t i, const Pm__AppSpec *b, size_t k);

static void compare_names(struct diff *d, struct named *n, name_fn *name, same_fn *same)
{
	const char *a = name(d->from, 0), *b = name(d->to, 0);

	for (size_t i = 0, k = 0; a != NULL || b != NULL;) {
		int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a, b);

		if (order < 0)
			add_name(n, "-", a);
		else if (order > 0)
			add_name(n, "+", b);
		else if (!same(d->from, i, d->to, k))
			add_name(n, "", a);
		if (order <= 0)
			a = name(d->from, ++i);
		if (order >= 0)
			b = name(d->to, ++k);
	}
}

static const char *env_name(const Pm__AppSpec *spec, size_t i)
{
	return i < spec->n_env ? spec->env[i]->name : NULL;
}

static bool same_env(const Pm__AppSpec *a, size_t i, const Pm__AppSpec *b, size_t k)
{
	return a->env[i]->origin == b->env[k]->origin &&
	       strcmp(a->env[i]->value, b->env[k]->value) == 0;
}

static const char *profile_name(const Pm__AppSpec *spec, size_t i)
{
	return i < spec->n_env_profiles ? spec->env_profiles[i]->name : NULL;
}

static bool same_profile(const Pm__AppSpec *a, size_t i, const Pm__AppSpec *b, size_t k)
{
	const Pm__EnvProfile *x = a->env_profiles[i], *y = b->env_profiles[k];
	bool same = x->n_vars == y->n_vars;

	for (size_t v = 0; same && v < x->n_vars; v++)
		same = strcmp(x->vars[v]->name, y->vars[v]->name) == 0 &&
		       strcmp(x->vars[v]->value, y->vars[v]->value) == 0;
	return same;
}

static const char *extra_name(const Pm__AppSpec *spec, size_t i)
{
	return i < spec->n_extra ? spec->extra[i]->key : NULL;
}

static bool same_extra(const Pm__AppSpec *a, size_t i, const Pm__AppSpec *b, size_t k)
{
	return strcmp(a->extra[i]->value, b->extra[k]->value) == 0;
}

/* ---- all of it ---- */

static void tell_field(struct diff *d, const char *field)
{
	struct named names = { .what = field };
	const struct spec_key *key;
	bool first = false;

	if (strcmp(field, "env") == 0) {
		compare_names(d, &names, env_name, same_env);
		tell_names(d, &names, " (values not shown)");
		return;
	}
	if (strcmp(field, "env_profiles") == 0) {
		names.what = "env_NAME";
		compare_names(d, &names, profile_name, same_profile);
		tell_names(d, &names, "");
		return;
	}
	if (strcmp(field, "extra") == 0) {
		names.what = "without effect";
		compare_names(d, &names, extra_name, same_extra);
		tell_names(d, &names, "");
		return;
	}
	key = key_of(field, &first);
	if (key != NULL)
		tell_key(d, key, first);
	else
		add(d, field);
}

int spec_diff(const Pm__AppSpec *from, const Pm__AppSpec *to, struct pm_buf *out,
              struct pm_error *err)
{
	struct owner_spec a = { 0 }, b = { 0 };
	struct diff d = { .from = &a.spec, .to = &b.spec, .out = out, .began = out->len };
	int rc = owner_spec_make(&a, from) && owner_spec_make(&b, to) ? 0 : -1;

	for (unsigned i = 0; rc == 0 && i < pm__app_spec__descriptor.n_fields; i++) {
		bool same;

		rc = spec_same_field(&a.spec, &b.spec, i, &same, err);
		if (rc == 0 && !same)
			tell_field(&d, pm__app_spec__descriptor.fields[i].name);
	}
	owner_spec_finish(&a);
	owner_spec_finish(&b);
	if (d.n_left_out > 0)
		pm_buf_printf(out, "; %u more", d.n_left_out);
	return rc < 0 || out->failed
	               ? pm_fail(err, PM_NO_MEMORY, "compare versions of %.100s", to->name)
	               : 0;
}
