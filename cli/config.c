#include "cli/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config_file.h"
#include "cli/key_nearest.h"
#include "cli/path.h"
#include "proto/limits.h"
#include "proto/nearest.h"

/* What the tree of one file may take: room for the largest file and its copies of anchors. */
#define DOC_BYTES_MAX (4u * PM_CONFIG_MAX)

struct load {
	const struct config_request *request;
	const struct build_context *build;
	struct config_result *result;
	const struct doc_node *root;
	const struct doc_node *deploy; /* NULL: none */
	struct pm_error *err;
};

/* Adds a problem, unless the report is full; the last places are kept for errors. */
static void report(struct load *l, enum config_severity severity, unsigned line, unsigned column,
                   const struct pm_error *e)
{
	struct config_report *r = &l->result->report;
	struct config_problem *p;

	if (severity == CONFIG_ERROR
	            ? r->n_errors >= PM_CONFIG_PROBLEMS_MAX
	            : r->n - r->n_errors >= PM_COUNT(r->items) - PM_CONFIG_PROBLEMS_MAX) {
		r->n_more++;
		return;
	}
	p = &r->items[r->n++];
	*p = (struct config_problem){ .severity = severity, .line = line, .column = column };
	(void)snprintf(p->text, sizeof(p->text), "%s", e->what);
	(void)snprintf(p->hint, sizeof(p->hint), "%s", e->hint);
	if (severity == CONFIG_ERROR)
		r->n_errors++;
}

static bool is_fatal(const struct pm_error *err)
{
	return err->code == PM_NO_MEMORY;
}

/* "app api", or "app 3" for one without a usable name. */
static void app_label(const struct doc_node *app, size_t index, char *out, size_t size)
{
	const struct doc_node *name = doc_get(app, "name");

	if (name != NULL && name->type == DOC_TEXT && spec_is_name(name->text))
		(void)snprintf(out, size, "app %.60s", name->text);
	else
		(void)snprintf(out, size, "app %zu", index + 1);
}

static void unknown_key(struct load *l, const char *label, const struct doc_node *v)
{
	const char *nearest = key_nearest(v->name);
	struct pm_error e;

	(void)pm_fail(&e, PM_CONFIG, "%s: unknown key \"%.60s\"", label, v->name);
	if (nearest != NULL)
		pm_hint(&e, "did you mean %s?", nearest);
	else
		pm_hint(&e, "run 'pmctl explain' to see all keys");
	report(l, CONFIG_ERROR, v->name_line, v->name_column, &e);
}

/* env_<name> is a profile, unless it is a key of its own with a value that is no object. */
static bool is_profile(const struct doc_node *v, const struct spec_key *key)
{
	if (strncmp(v->name, "env_", 4) != 0 || v->name[4] == '\0')
		return false;
	return key == NULL || v->type == DOC_MAP;
}

static int read_key(struct load *l, const char *label, const struct doc_node *v,
                    struct spec_builder *b)
{
	const struct spec_key *key = spec_key_find(v->name);
	struct pm_error e;
	int rc;

	/* A file that is one app may hold its deploy section beside the app's keys. */
	if (l->deploy == v)
		return 0;
	if (is_profile(v, key)) {
		rc = spec_set_profile(b, v->name + 4, v, &e);
	} else if (key == NULL) {
		if (!l->build->as_pm2)
			unknown_key(l, label, v);
		return 0;
	} else {
		rc = spec_set(b, key, v, &e);
		if (rc == 0 && (key->flags & SPEC_NO_EFFECT) != 0) {
			(void)pm_fail(&e, PM_CONFIG, "%s: %s has no effect here", label, v->name);
			report(l, CONFIG_NOTE, v->name_line, v->name_column, &e);
		}
	}
	if (rc == 0)
		return 0;
	if (is_fatal(&e)) {
		*l->err = e;
		return -1;
	}
	(void)pm_wrap(&e, "%s", label);
	report(l, CONFIG_ERROR, v->line != 0 ? v->line : v->name_line,
	       v->line != 0 ? v->column : v->name_column, &e);
	return 0;
}

/* deploy.<name>.env: weaker than env of the app itself. */
static int add_deploy_env(struct load *l, struct spec_builder *b)
{
	const char *profile = l->build->profile;
	const struct doc_node *target, *env;
	Pm__AppSpec *s = b->spec;
	Pm__EnvVar **vars = NULL;
	size_t n = 0;
	int rc;

	target = profile != NULL && l->deploy != NULL && l->deploy->type == DOC_MAP
	                 ? doc_get(l->deploy, profile)
	                 : NULL;
	env = target != NULL && target->type == DOC_MAP ? doc_get(target, "env") : NULL;
	if (env == NULL || env->type != DOC_MAP)
		return 0;
	rc = spec_env_from_doc("deploy", env, &vars, &n, l->err);
	for (size_t i = 0; i < n && rc == 0; i++)
		if (spec_find_env(s->env, s->n_env, vars[i]->name) == NULL)
			rc = spec_put_env(&s->env, &s->n_env, vars[i]->name, vars[i]->value,
			                  PM__ENV_ORIGIN__ENV_CONFIG, l->err);
	for (size_t i = 0; i < n; i++)
		pm__env_var__free_unpacked(vars[i], NULL);
	free(vars);
	return rc;
}

static void warn_missing_profile(struct load *l, const char *label, const struct spec_builder *b,
                                 const struct doc_node *app)
{
	const char *profile = l->build->profile;
	struct pm_error e;

	if (profile == NULL)
		return;
	for (size_t i = 0; i < b->spec->n_env_profiles; i++)
		if (strcmp(b->spec->env_profiles[i]->name, profile) == 0)
			return;
	(void)pm_fail(&e, PM_CONFIG, "%s: Environment [%.40s] is not defined in process file",
	              label, profile);
	report(l, CONFIG_WARNING, app->line, app->column, &e);
}

static int keep(struct load *l, Pm__AppSpec *spec)
{
	struct config_result *r = l->result;
	Pm__AppSpec **grown = pm_realloc(r->specs, (r->n + 1) * sizeof(Pm__AppSpec *));

	if (grown == NULL) {
		spec_free(spec);
		return pm_fail(l->err, PM_NO_MEMORY, "keep the apps of a file");
	}
	grown[r->n++] = spec;
	r->specs = grown;
	return 0;
}

/* Whether the comma-separated names of --only hold this one. */
static bool is_in(const char *only, const char *name)
{
	size_t len = strlen(name);

	while (only != NULL && *only != '\0') {
		size_t n;

		only += strspn(only, ", ");
		n = strcspn(only, ",");
		while (n > 0 && only[n - 1] == ' ')
			n--;
		if (n == len && strncmp(only, name, len) == 0)
			return true;
		only += strcspn(only, ",");
	}
	return false;
}

/* Options over the file; only the namespace fills in, under the name pm2, where the file has none.
 */
static int merge_options(struct load *l, struct spec_builder *b)
{
	bool keeps = l->build->as_pm2 && spec_is_given(b, "namespace");
	PM_FREE char *space = keeps ? pm_strdup(b->spec->namespace_) : NULL;

	if (l->request->over == NULL)
		return 0;
	if (keeps && space == NULL)
		return pm_fail(l->err, PM_NO_MEMORY, "merge options");
	if (spec_builder_merge(b, l->request->over, l->err) < 0)
		return -1;
	return keeps ? spec_put_str(&b->spec->namespace_, space, l->err) : 0;
}

/* Options first, then what only the machine knows; problems there belong to the app's script. */
static int finish_app(struct load *l, const char *label, const struct doc_node *app,
                      struct spec_builder *b)
{
	const struct doc_node *script = NULL;
	Pm__AppSpec *spec = NULL;
	struct pm_error e;

	for (const struct doc_node *v = app->first; v != NULL; v = v->next) {
		const struct spec_key *key = spec_key_find(v->name);

		if (key != NULL && strcmp(key->name, "script") == 0)
			script = v;
	}
	warn_missing_profile(l, label, b, app);
	if (add_deploy_env(l, b) < 0 || merge_options(l, b) < 0)
		return -1;
	if (spec_build(b, l->build, &spec, &e) == 0)
		return keep(l, spec);
	if (is_fatal(&e)) {
		*l->err = e;
		return -1;
	}
	/* spec_validate() has already said which app. */
	if (strncmp(e.what, "app ", 4) != 0)
		(void)pm_wrap(&e, "%s", label);
	report(l, CONFIG_ERROR, script != NULL ? script->line : app->line,
	       script != NULL ? script->column : app->column, &e);
	return 0;
}

static int read_app(struct load *l, const struct doc_node *app, size_t index)
{
	size_t errors_before = l->result->report.n_errors;
	struct spec_builder b;
	char label[80];
	struct pm_error e;
	int rc = 0;

	if (app->type != DOC_MAP) {
		(void)pm_fail(&e, PM_CONFIG, "app %zu: expected an object, found %s", index + 1,
		              doc_type_name(app->type));
		report(l, CONFIG_ERROR, app->line, app->column, &e);
		return 0;
	}
	if (spec_builder_init(&b, l->err) < 0)
		return -1;
	app_label(app, index, label, sizeof(label));
	for (const struct doc_node *v = app->first; v != NULL && rc == 0; v = v->next)
		rc = read_key(l, label, v, &b);
	if (rc == 0 && l->result->report.n_errors == errors_before)
		rc = finish_app(l, label, app, &b);
	spec_builder_finish(&b);
	return rc;
}

/* --only goes by the names in the file; one without a name by its script's. */
static bool is_wanted(const struct load *l, const struct doc_node *app)
{
	const struct doc_node *name;
	char base[PM_NAME_MAX + 1];

	if (l->request->only == NULL || app->type != DOC_MAP)
		return true;
	name = doc_get(app, "name");
	if (name != NULL && name->type == DOC_TEXT)
		return is_in(l->request->only, name->text);
	name = doc_get(app, "script");
	if (name == NULL || name->type != DOC_TEXT)
		return true;
	(void)snprintf(base, sizeof(base), "%s", path_base(name->text));
	base[strlen(base) - strlen(path_extension(base))] = '\0';
	return is_in(l->request->only, base);
}

static int read_apps(struct load *l, const struct doc_node *apps)
{
	const struct doc_node *app = apps->type == DOC_LIST ? apps->first : apps;
	size_t index = 0, wanted = 0;
	struct nearest near;

	nearest_init(&near, l->request->only == NULL ? "" : l->request->only);
	if (apps->type == DOC_LIST && apps->n > PM_STAGED_SPECS_MAX)
		return pm_fail(l->err, PM_LIMIT, "%zu apps, of %d allowed in one file", apps->n,
		               PM_STAGED_SPECS_MAX);
	for (; app != NULL; app = apps->type == DOC_LIST ? app->next : NULL, index++) {
		const struct doc_node *name = app->type == DOC_MAP ? doc_get(app, "name") : NULL;

		if (name != NULL && name->type == DOC_TEXT)
			nearest_offer(&near, name->text);
		if (!is_wanted(l, app))
			continue;
		wanted++;
		if (read_app(l, app, index) < 0)
			return -1;
	}
	if (wanted == 0 && l->request->only != NULL && !l->build->as_pm2) {
		pm_fail(l->err, PM_NOT_FOUND, "--only %.100s: the file has no such app",
		        l->request->only);
		if (nearest_found(&near))
			pm_hint(l->err, "did you mean '%s'?", near.best);
		return -1;
	}
	return 0;
}

static void refuse_key(struct load *l, const struct doc_node *v)
{
	struct pm_error e;

	if (strcmp(v->name, "static") == 0) {
		(void)pm_fail(&e, PM_CONFIG, "static: there is no static file server here");
		pm_hint(&e, "run one as an app of its own");
		report(l, l->build->as_pm2 ? CONFIG_WARNING : CONFIG_ERROR, v->name_line,
		       v->name_column, &e);
	} else if (!l->build->as_pm2) {
		(void)pm_fail(&e, PM_CONFIG, "unknown key \"%.60s\" beside apps", v->name);
		pm_hint(&e, "beside apps there is only deploy");
		report(l, CONFIG_ERROR, v->name_line, v->name_column, &e);
	}
}

/* {apps: [...]}, {pm2: [...]}, [...], or one app. */
static int read_root(struct load *l)
{
	bool package = strcmp(path_base(l->request->path), "package.json") == 0;
	const struct doc_node *apps = NULL;

	if (l->root->type == DOC_LIST)
		return read_apps(l, l->root);
	if (l->root->type != DOC_MAP)
		return pm_fail(l->err, PM_CONFIG,
		               "expected an object with apps, or a list of apps");
	apps = doc_get(l->root, "apps");
	if (apps == NULL)
		apps = doc_get(l->root, "pm2");
	l->deploy = doc_get(l->root, "deploy");
	if (apps == NULL && doc_get(l->root, "static") == NULL)
		return read_apps(l, l->root);
	for (const struct doc_node *v = l->root->first; v != NULL; v = v->next)
		if (!package && strcmp(v->name, "apps") != 0 && strcmp(v->name, "pm2") != 0 &&
		    strcmp(v->name, "deploy") != 0)
			refuse_key(l, v);
	if (apps == NULL)
		return 0;
	/* {pm2: {apps: [...]}} is what a package.json may hold. */
	if (apps->type == DOC_MAP && doc_get(apps, "apps") != NULL)
		apps = doc_get(apps, "apps");
	if (apps->type != DOC_LIST && apps->type != DOC_MAP)
		return pm_fail(l->err, PM_CONFIG, "apps: expected a list of apps, found %s",
		               doc_type_name(apps->type));
	return read_apps(l, apps);
}

void config_problem_text(const char *path, const struct config_problem *problem, char *out,
                         size_t size)
{
	char place[32] = "";

	if (problem->line > 0 && problem->column > 0)
		(void)snprintf(place, sizeof(place), ":%u:%u", problem->line, problem->column);
	else if (problem->line > 0)
		(void)snprintf(place, sizeof(place), ":%u", problem->line);
	(void)snprintf(out, size, "%s%s: %s", strcmp(path, "-") == 0 ? "stdin" : path, place,
	               problem->text);
}

static bool stands_before(const struct config_problem *a, const struct config_problem *b)
{
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

/* In the order of the file, whatever was read first; those without a place come first. */
static void sort_problems(struct config_report *r)
{
	for (size_t i = 1; i < r->n; i++)
		for (size_t k = i; k > 0 && stands_before(&r->items[k], &r->items[k - 1]); k--) {
			struct config_problem p = r->items[k];

			r->items[k] = r->items[k - 1];
			r->items[k - 1] = p;
		}
}

/* The first error becomes the call's error. */
static int fail_with_first(struct load *l)
{
	const struct config_report *r = &l->result->report;
	const struct config_problem *first = r->items;
	char text[512];

	while (first->severity != CONFIG_ERROR)
		first++;
	config_problem_text(path_base(l->request->path), first, text, sizeof(text));
	(void)pm_fail(l->err, PM_CONFIG, "%s", text);
	if (first->hint[0] != '\0')
		pm_hint(l->err, "%s", first->hint);
	return -1;
}

int config_load(const struct config_request *request, struct config_result *result,
                struct pm_error *err)
{
	PM_DOC *doc = doc_create(DOC_BYTES_MAX);
	struct load l = {
		.request = request, .build = request->build, .result = result, .err = err
	};
	struct config_place place = { 0 };

	*result = (struct config_result){ 0 };
	if (doc == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %.100s", request->path);
	if (config_file_read(request->path, l.build->cwd, l.build->environment, doc, &l.root,
	                     &place, err) == 0 &&
	    read_root(&l) == 0) {
		sort_problems(&result->report);
		if (result->report.n_errors == 0)
			return 0;
	} else if (err->code == PM_CONFIG || err->code == PM_UNSUPPORTED || place.line != 0) {
		report(&l, CONFIG_ERROR, place.line, place.column, err);
	} else {
		config_result_finish(result);
		return pm_wrap(err, "%.100s", request->path);
	}
	for (size_t i = 0; i < result->n; i++)
		spec_free(result->specs[i]);
	result->n = 0;
	return fail_with_first(&l);
}

void config_result_finish(struct config_result *result)
{
	for (size_t i = 0; i < result->n; i++)
		spec_free(result->specs[i]);
	free(result->specs);
	*result = (struct config_result){ .report = result->report };
}
