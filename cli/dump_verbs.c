#include "cli/dump_verbs.h"

#include <stdlib.h>
#include <string.h>

#include "cli/act.h"
#include "cli/dump.h"
#include "cli/dump_file.h"

/* ---- save ---- */

static int save(struct ctx *ctx, const struct client_status *status, char *path,
                struct pm_error *err)
{
	struct dump_paths paths;
	PM_BUF text = { 0 };

	if (dump_paths(ctx->home, &paths, err) < 0)
		return -1;
	dump_write(status == NULL ? NULL : status->instances,
	           status == NULL ? 0 : status->n_instances, &text);
	(void)memcpy(path, paths.dump, PM_PATH_MAX);
	return dump_save(&paths, &text, err);
}

int dump_save_now(struct ctx *ctx, char *path, struct pm_error *err)
{
	PM_STATUS *status = NULL;

	return ctx_status(ctx, NULL, CTX_FULL, &status, err) < 0 ? -1
	                                                         : save(ctx, status, path, err);
}

int dump_save_empty(struct ctx *ctx, char *path, struct pm_error *err)
{
	return save(ctx, NULL, path, err);
}

/* ---- resurrect ---- */

static void complain(const struct ctx *ctx, const struct pm_error *why)
{
	struct pm_error e = *why;

	e.hint[0] = '\0';
	say_error(ctx, &e);
}

/* A dump that cannot be read is kept: somebody may mend it by hand. */
static void put_aside(const struct ctx *ctx, const char *path, const struct pm_error *why)
{
	bool parsed =
		why->code == PM_CONFIG || why->code == PM_UNSUPPORTED || why->code == PM_LIMIT;
	char aside[PM_PATH_MAX + 64];
	struct pm_error e;

	(void)pm_fail(&e, why->code, "Failed to %s dump file in %.200s", parsed ? "parse" : "read",
	              path);
	complain(ctx, &e);
	if (why->code == PM_NOT_FOUND)
		return;
	complain(ctx, why);
	dump_put_aside(path, aside, sizeof(aside));
	if (aside[0] != '\0')
		say_warn(ctx, "It is kept as %s", aside);
}

/* The apps of the dump, or of the backup. 0 apps and *found false: neither is of use. */
static int find_apps(struct ctx *ctx, struct doc *doc, struct dump_app **apps, size_t *n,
                     bool *found, struct pm_error *err)
{
	struct dump_paths paths;
	const char *tried[] = { paths.dump, paths.bak };
	const struct doc_node *root;

	*found = false;
	if (dump_paths(ctx->home, &paths, err) < 0)
		return -1;
	for (size_t i = 0; i < PM_COUNT(tried) && !*found; i++) {
		say(ctx, "Restoring processes located in %s", tried[i]);
		*found = dump_read(tried[i], doc, &root, err) == 0 &&
		         dump_apps(root, apps, n, err) == 0;
		if (!*found && err->code == PM_NO_MEMORY)
			return -1;
		if (!*found)
			put_aside(ctx, tried[i], err);
	}
	return 0;
}

static bool is_there(const struct client_status *status, const char *name)
{
	for (size_t i = 0; name != NULL && i < status->n_instances; i++)
		if (strcmp(status->instances[i]->name, name) == 0)
			return true;
	return false;
}

/* One command for each: what the agent refuses (cluster mode) keeps no other from starting. */
static int start_one(struct ctx *ctx, const struct dump_app *app, struct build_cache *cache,
                     struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_START,
		.name = "resurrect",
		.done = "restored",
	};
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	PM_SPEC *spec = NULL;

	if (dump_spec(app, ctx->home, cache, &spec, err) < 0 ||
	    client_push_spec(ctx->client, spec, err) < 0)
		return -1;
	cmd.use_staged = true;
	cmd.force = true; /* names were looked at: these are new */
	cmd.no_wait = true;
	cmd.n_held = (uint32_t)app->n_stopped;
	if (act_send(ctx, &action, &cmd, &account, err) < 0)
		return -1;
	if (account.n_failed > 0)
		return pm_fail(err, account.code, "%s", ""); /* told already */
	for (size_t i = 0; i < app->n; i++)
		say(ctx, "Process %s restored", app->script);
	return 0;
}

static bool is_lost(const struct pm_error *err)
{
	return err->code == PM_UNREACHABLE || err->code == PM_UNKNOWN || err->code == PM_NO_MEMORY;
}

static int start_missing(struct ctx *ctx, const struct dump_app *apps, size_t n, size_t *n_failed,
                         struct pm_error *err)
{
	struct build_cache *cache = build_cache_create();
	PM_STATUS *status = NULL;
	int rc = ctx_status(ctx, NULL, CTX_LIST, &status, err);

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (is_there(status, apps[i].name) || start_one(ctx, &apps[i], cache, err) == 0)
			continue;
		(*n_failed)++;
		if (is_lost(err))
			rc = -1;
		else if (err->what[0] != '\0') {
			if (apps[i].name != NULL &&
			    strncmp(err->what, apps[i].name, strlen(apps[i].name)) != 0)
				(void)pm_wrap(err, "%.60s", apps[i].name);
			complain(ctx, err);
		}
	}
	build_cache_destroy(cache);
	return rc;
}

int dump_resurrect(struct ctx *ctx, struct pm_error *err)
{
	PM_DOC *doc = doc_create(DUMP_DOC_MAX);
	PM_FREE struct dump_app *apps = NULL;
	size_t n = 0, n_failed = 0;
	bool found;

	if (doc == NULL)
		return pm_fail(err, PM_NO_MEMORY, "resurrect");
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	say(ctx, "Resurrecting");
	if (find_apps(ctx, doc, &apps, &n, &found, err) < 0)
		return -1;
	if (!found) {
		(void)pm_fail(err, PM_NOT_FOUND, "No processes saved; DUMP file doesn't exist");
		complain(ctx, err);
	} else if (start_missing(ctx, apps, n, &n_failed, err) < 0) {
		return -1;
	}
	if (act_print_table(ctx, err) < 0)
		return -1;
	return n_failed > 0 ? 1 : 0;
}
