#include "agent/spec_hash.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/base.h"

/* ---- the owner's part ---- */

static int by_var(const void *a, const void *b)
{
	return strcmp((*(Pm__EnvVar *const *)a)->name, (*(Pm__EnvVar *const *)b)->name);
}

static int by_profile(const void *a, const void *b)
{
	return strcmp((*(Pm__EnvProfile *const *)a)->name, (*(Pm__EnvProfile *const *)b)->name);
}

static int by_limit(const void *a, const void *b)
{
	return strcmp((*(Pm__Limit *const *)a)->name, (*(Pm__Limit *const *)b)->name);
}

static int by_extra(const void *a, const void *b)
{
	return strcmp((*(Pm__AppSpec__ExtraEntry *const *)a)->key,
	              (*(Pm__AppSpec__ExtraEntry *const *)b)->key);
}

/* Room for all lists in one block: pointers first, then the profiles that hold sorted variables. */
static size_t block_size(const Pm__AppSpec *spec)
{
	size_t n = spec->n_env + spec->n_env_profiles + spec->n_limits + spec->n_extra;

	for (size_t i = 0; i < spec->n_env_profiles; i++)
		n += spec->env_profiles[i]->n_vars;
	return (n + 1) * sizeof(void *) + spec->n_env_profiles * sizeof(Pm__EnvProfile);
}

/* Take a list over into the block, sorted. */
static void *take(void ***at, const void *list, size_t n,
                  int (*compare)(const void *, const void *))
{
	void **to = *at;

	if (n == 0)
		return NULL;
	memcpy(to, list, n * sizeof(void *));
	qsort(to, n, sizeof(void *), compare);
	*at += n;
	return to;
}

static void take_env(Pm__AppSpec *spec, void ***at)
{
	Pm__EnvVar **kept = (Pm__EnvVar **)*at;
	size_t n = 0;

	for (size_t i = 0; i < spec->n_env; i++)
		if (spec->env[i]->origin != PM__ENV_ORIGIN__ENV_SHELL)
			kept[n++] = spec->env[i];
	if (n > 0)
		qsort(kept, n, sizeof(Pm__EnvVar *), by_var);
	spec->env = kept;
	spec->n_env = n;
	*at += n;
}

static void take_profiles(Pm__AppSpec *spec, void ***at, Pm__EnvProfile *profiles)
{
	Pm__EnvProfile **list = take(at, spec->env_profiles, spec->n_env_profiles, by_profile);

	for (size_t i = 0; i < spec->n_env_profiles; i++) {
		profiles[i] = *list[i];
		profiles[i].vars = take(at, list[i]->vars, list[i]->n_vars, by_var);
		list[i] = &profiles[i];
	}
	spec->env_profiles = list;
}

bool owner_spec_make(struct owner_spec *o, const Pm__AppSpec *spec)
{
	/* Where the pointers end: all sizes are sums of what was unpacked from a record. */
	size_t structs = spec->n_env_profiles * sizeof(Pm__EnvProfile);
	size_t size = block_size(spec);
	static char none[] = "";
	void **at;

	o->spec = *spec;
	o->lists = pm_calloc(1, size);
	if (o->lists == NULL)
		return false;
	at = (void **)(void *)((char *)o->lists + structs);
	o->spec.username = o->spec.version = o->spec.node_version = none;
	take_env(&o->spec, &at);
	take_profiles(&o->spec, &at, o->lists);
	o->spec.limits = take(&at, spec->limits, spec->n_limits, by_limit);
	o->spec.extra = take(&at, spec->extra, spec->n_extra, by_extra);
	return true;
}

void owner_spec_finish(struct owner_spec *o)
{
	free(o->lists);
	o->lists = NULL;
}

/* ---- the digest ---- */

/* A digest as protobuf-c's buffer: messages are packed straight into it. */
struct sink {
	ProtobufCBuffer base; /* first: protobuf-c hands it back to append() */
	crypto_generichash_state hash;
};

static void append(ProtobufCBuffer *base, size_t len, const uint8_t *bytes)
{
	(void)crypto_generichash_update(&((struct sink *)(void *)base)->hash, bytes,
	                                len); /* never fails */
}

int spec_hash_make(const Pm__AppSpec *spec, struct spec_hash *out, struct pm_error *err)
{
	struct owner_spec owner;
	struct sink sink = { .base = { append } };

	if (!owner_spec_make(&owner, spec))
		return pm_fail(err, PM_NO_MEMORY, "tell versions of %.100s apart", spec->name);
	/* These return errors only for lengths out of range, and ours are constants. */
	(void)crypto_generichash_init(&sink.hash, NULL, 0, SPEC_HASH_BYTES);
	(void)pm__app_spec__pack_to_buffer(&owner.spec, &sink.base);
	(void)crypto_generichash_final(&sink.hash, out->bytes, SPEC_HASH_BYTES);
	owner_spec_finish(&owner);
	return 0;
}

bool spec_hash_is_known(const struct spec_hash *hash)
{
	return sodium_is_zero(hash->bytes, SPEC_HASH_BYTES) == 0;
}

bool spec_hash_equal(const struct spec_hash *a, const struct spec_hash *b)
{
	return memcmp(a->bytes, b->bytes, SPEC_HASH_BYTES) == 0;
}
