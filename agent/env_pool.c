#include "agent/env_pool.h"

#include <stdlib.h>
#include <string.h>

#include "proto/spec.h"

/* One block: the list of variables, they themselves, and their texts. */
struct shared_env {
	struct shared_env *next; /* in its bucket */
	struct env_pool *pool;
	uint32_t bucket;
	uint32_t refs;
	size_t n;
	Pm__EnvVar *list[]; /* what a spec's `env` points to */
};

static uint32_t add_text(uint32_t h, const char *text)
{
	do
		h = (h ^ (uint8_t)*text) * 16777619u; /* FNV-1a */
	while (*text++ != '\0');
	return h;
}

static uint32_t bucket_of(Pm__EnvVar *const *vars, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = add_text(add_text(h, vars[i]->name), vars[i]->value);
	return h % ENV_POOL_BUCKETS;
}

static bool same(const struct shared_env *e, Pm__EnvVar *const *vars, size_t n)
{
	if (e->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (e->list[i]->origin != vars[i]->origin ||
		    strcmp(e->list[i]->name, vars[i]->name) != 0 ||
		    strcmp(e->list[i]->value, vars[i]->value) != 0)
			return false;
	return true;
}

static char *put_text(char **at, const char *text)
{
	size_t len = strlen(text) + 1;
	char *out = memcpy(*at, text, len);

	*at += len;
	return out;
}

static struct shared_env *make(Pm__EnvVar *const *vars, size_t n)
{
	size_t size = sizeof(struct shared_env) + n * (sizeof(Pm__EnvVar *) + sizeof(Pm__EnvVar));
	struct shared_env *e;
	Pm__EnvVar *var;
	char *text;

	for (size_t i = 0; i < n; i++)
		size += strlen(vars[i]->name) + strlen(vars[i]->value) + 2;
	e = pm_calloc(1, size);
	if (e == NULL)
		return NULL;
	e->n = n;
	var = (Pm__EnvVar *)(void *)(e->list + n);
	text = (char *)(var + n);
	for (size_t i = 0; i < n; i++, var++) {
		pm__env_var__init(var);
		var->name = put_text(&text, vars[i]->name);
		var->value = put_text(&text, vars[i]->value);
		var->origin = vars[i]->origin;
		e->list[i] = var;
	}
	return e;
}

/* A share in the environment of these variables; NULL: no memory. */
static struct shared_env *take(struct env_pool *pool, Pm__EnvVar *const *vars, size_t n)
{
	uint32_t bucket = bucket_of(vars, n);
	struct shared_env *e = pool->buckets[bucket];

	while (e != NULL && !same(e, vars, n))
		e = e->next;
	if (e == NULL) {
		e = make(vars, n);
		if (e == NULL)
			return NULL;
		e->pool = pool;
		e->bucket = bucket;
		e->next = pool->buckets[bucket];
		pool->buckets[bucket] = e;
		pool->n++;
	}
	e->refs++;
	return e;
}

static void give_back(struct shared_env *e)
{
	struct shared_env **at = &e->pool->buckets[e->bucket];

	if (--e->refs > 0)
		return;
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->pool->n--;
	free(e);
}

int env_pool_freeze(struct env_pool *pool, const Pm__AppSpec *spec, Pm__AppSpec **out,
                    struct pm_error *err)
{
	Pm__AppSpec bare = *spec;
	struct shared_env *e;

	for (size_t i = 0; i < spec->n_env; i++)
		if (spec->env[i]->base.n_unknown_fields > 0)
			return pm_fail(err, PM_UNSUPPORTED, "share an environment");
	bare.n_env = 0;
	bare.env = NULL;
	if (spec_freeze(&bare, out, err) < 0)
		return -1;
	if (spec->n_env == 0)
		return 0;
	e = take(pool, spec->env, spec->n_env);
	if (e == NULL) {
		free(PM_STEAL(*out));
		return pm_fail(err, PM_NO_MEMORY, "keep an environment");
	}
	(*out)->env = e->list;
	(*out)->n_env = e->n;
	return 0;
}

void env_pool_free(Pm__AppSpec *frozen)
{
	if (frozen == NULL)
		return;
	if (frozen->n_env > 0)
		give_back((struct shared_env *)(void *)((char *)frozen->env -
		                                        offsetof(struct shared_env, list)));
	free(frozen);
}
