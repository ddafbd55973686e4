/* api_expect.c - a command that says how the apps are that it is meant for (Command.expect). */
#include <string.h>

#include "agent/api_internal.h"
#include "agent/app.h"

static int check_one(const struct request *r, const Pm__SpecRef *ref, struct pm_error *err)
{
	const struct app *app = app_find_name(r->su, ref->name);
	bool is_there = app != NULL && app->n > 0;

	if (ref->hash.len != 0 && ref->hash.len != SPEC_HASH_BYTES)
		return pm_fail(err, PM_PROTOCOL, "%.100s: a version's name has %d bytes", ref->name,
		               SPEC_HASH_BYTES);
	if (!is_there && ref->hash.len == 0)
		return 0;
	if (!is_there)
		return pm_fail(err, PM_LOCKED, "%.100s: it is gone meanwhile", ref->name);
	if (ref->hash.len == 0)
		return pm_fail(err, PM_LOCKED, "%.100s: it was declared meanwhile", ref->name);
	if (app->former != NULL)
		return pm_fail(err, PM_LOCKED, "%.100s: a reload with other settings is under way",
		               ref->name);
	if (memcmp(app->hash.bytes, ref->hash.data, SPEC_HASH_BYTES) != 0)
		return pm_fail(err, PM_LOCKED, "%.100s: its settings were changed meanwhile",
		               ref->name);
	return 0;
}

int api_check_expected(const struct request *r, struct pm_error *err)
{
	for (size_t i = 0; i < r->cmd->n_expect; i++)
		if (check_one(r, r->cmd->expect[i], err) < 0) {
			pm_hint(err, "nothing was done; look at it, and ask again");
			return -1;
		}
	return 0;
}
