/* spec_rollout.c - the value of `rollout`: an object of rollout_params.h's options. */
#include <stdlib.h>
#include <string.h>

#include "proto/rollout_params.h"
#include "proto/spec_set.h"

struct options {
	Pm__RolloutOption **list; /* owned */
	size_t n;
};

static void options_finish(struct options *o)
{
	for (size_t i = 0; i < o->n; i++)
		pm__rollout_option__free_unpacked(o->list[i], NULL);
	free(o->list);
}

static int add(struct options *o, const char *name, const char *value, struct pm_error *err)
{
	Pm__RolloutOption *one = pm_calloc(1, sizeof(*one));

	if (one == NULL)
		return pm_fail(err, PM_NO_MEMORY, "rollout");
	pm__rollout_option__init(one);
	o->list[o->n++] = one;
	return spec_put_str(&one->name, name, err) < 0 ? -1 : spec_put_str(&one->value, value, err);
}

static bool is_gates(const struct doc_node *v)
{
	return strcmp(v->name, "gate") == 0 || strcmp(v->name, "gates") == 0;
}

/* A line each, as rollout_params_set() takes them; what is no text is none of a gate either. */
static void join(const struct doc_node *v, struct pm_buf *out)
{
	for (const struct doc_node *i = v->first; i != NULL; i = i->next) {
		if (i != v->first)
			pm_buf_char(out, '\n');
		doc_to_text(i, out);
	}
	pm_buf_str(out, "");
}

static int set_option(struct options *o, struct rollout_params *p, const struct doc_node *v,
                      struct pm_error *err)
{
	PM_BUF text = { 0 };

	if (v->type == DOC_NULL)
		return 0;
	if (v->type == DOC_LIST && is_gates(v))
		join(v, &text);
	else if (v->type == DOC_MAP || v->type == DOC_LIST)
		return pm_fail(err, PM_CONFIG, "rollout.%.40s: expected text", v->name);
	else
		doc_to_text(v, &text);
	if (text.failed)
		return pm_fail(err, PM_NO_MEMORY, "rollout");
	if (rollout_params_set(p, v->name, text.bytes, err) < 0) {
		err->code = PM_CONFIG;
		return pm_wrap(err, "rollout");
	}
	return add(o, v->name, text.bytes, err);
}

int spec_set_rollout(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__AppSpec *spec = t->b->spec;
	struct options all = { 0 };
	struct rollout_params p;
	int rc = 0;

	if (v->type != DOC_MAP)
		return spec_mismatch(t, v, err);
	rollout_params_default(&p);
	all.list = pm_calloc(v->n + 1, sizeof(*all.list));
	if (all.list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "rollout");
	for (const struct doc_node *i = v->first; i != NULL && rc == 0; i = i->next)
		rc = set_option(&all, &p, i, err);
	if (rc == 0 && rollout_params_check(&p, 0, err) < 0) {
		err->code = PM_CONFIG;
		rc = pm_wrap(err, "rollout");
	}
	if (rc < 0) {
		options_finish(&all);
		return -1;
	}
	options_finish(&(struct options){ spec->rollout, spec->n_rollout });
	spec->rollout = all.list;
	spec->n_rollout = all.n;
	return 0;
}
