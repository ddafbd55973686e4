#include "agent/spec_redact.h"

#include <stdlib.h>

#include "proto/base.h"

static char redacted[] = "[redacted]";

static size_t count_vars(const Pm__AppSpec *spec)
{
	size_t n = spec->n_env;

	for (size_t i = 0; i < spec->n_env_profiles; i++)
		n += spec->env_profiles[i]->n_vars;
	return n;
}

static void copy_vars(struct redacted_spec *r, size_t *at, Pm__EnvVar *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		r->vars[*at] = *from[i];
		r->vars[*at].value = redacted;
		r->lists[*at] = &r->vars[*at];
		(*at)++;
	}
}

bool redacted_spec_make(struct redacted_spec *r, const Pm__AppSpec *spec)
{
	size_t n = count_vars(spec), at = 0;

	*r = (struct redacted_spec){
		.spec = *spec,
		.vars = pm_calloc(n + 1, sizeof(*r->vars)),
		.lists = pm_calloc(n + 1, sizeof(Pm__EnvVar *)),
		.profiles = pm_calloc(spec->n_env_profiles + 1, sizeof(*r->profiles)),
		.list = pm_calloc(spec->n_env_profiles + 1, sizeof(Pm__EnvProfile *)),
	};
	if (r->vars == NULL || r->lists == NULL || r->profiles == NULL || r->list == NULL) {
		redacted_spec_finish(r);
		return false;
	}
	r->spec.env = r->lists;
	copy_vars(r, &at, spec->env, spec->n_env);
	for (size_t i = 0; i < spec->n_env_profiles; i++) {
		r->profiles[i] = *spec->env_profiles[i];
		r->profiles[i].vars = r->lists + at;
		copy_vars(r, &at, spec->env_profiles[i]->vars, spec->env_profiles[i]->n_vars);
		r->list[i] = &r->profiles[i];
	}
	r->spec.env_profiles = r->list;
	return true;
}

void redacted_spec_finish(struct redacted_spec *r)
{
	free(r->vars);
	free(r->lists);
	free(r->profiles);
	free(r->list);
	*r = (struct redacted_spec){ .vars = NULL };
}
