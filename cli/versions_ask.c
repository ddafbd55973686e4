#include "cli/versions_ask.h"

#include "cli/spec_name.h"
#include "cli/target.h"

int versions_ask(struct ctx *ctx, const char *app, struct client_result **out, struct pm_error *err)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	struct target_list list = { 0 };
	int rc = target_list_add(&list, app, err);

	cmd.verb = PM__VERB__VERB_HISTORY;
	cmd.targets = list.targets;
	cmd.n_targets = list.n;
	cmd.timeout_ms = ctx->timeout_ms;
	if (rc == 0)
		rc = client_command(ctx->client, &cmd, NULL, NULL, out, err);
	target_list_finish(&list);
	return rc;
}

static int none_of(const char *app, struct pm_error *err, const char *what)
{
	pm_fail(err, PM_NOT_FOUND, "%.100s: %s", app, what);
	pm_hint(err, "'pmctl history %.60s' lists those that are kept", app);
	return -1;
}

static int by_name(const char *app, Pm__SpecVersion *const *list, size_t n, const char *to,
                   const Pm__SpecVersion **out, struct pm_error *err)
{
	const Pm__SpecVersion *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!spec_name_begins(&list[i]->hash, to))
			continue;
		if (found != NULL)
			return pm_fail(err, PM_USAGE,
			               "--to %.40s: several versions begin like that", to);
		found = list[i];
	}
	if (found == NULL)
		return none_of(app, err, "no version of that name, which has four digits at least");
	*out = found;
	return 0;
}

int versions_choose(const char *app, Pm__SpecVersion *const *list, size_t n, const char *to,
                    const Pm__SpecVersion **out, struct pm_error *err)
{
	size_t at = 0;

	if (to != NULL)
		return by_name(app, list, n, to, out, err);
	while (at < n && !list[at]->present)
		at++;
	at = at == n ? 0 : at + 1; /* it is gone: as it was last */
	if (at >= n)
		return none_of(app, err, "there is no version before the present one");
	*out = list[at];
	return 0;
}
