#include "cli/subverb.h"

#include <string.h>

#include "cli/lists.h"
#include "proto/nearest.h"

static int unknown(const struct ctx *ctx, const struct subverb *table, const char *word,
                   struct pm_error *err)
{
	const char *verb = args_cmd(ctx->args)->name;
	struct nearest near;

	nearest_init(&near, word);
	for (; table->name != NULL; table++)
		nearest_offer(&near, table->name);
	pm_fail(err, PM_USAGE, "%s: it has no '%.60s'", verb, word);
	if (nearest_found(&near))
		pm_hint(err, "did you mean '%s %s'?", verb, near.best);
	else
		pm_hint(err, "run 'pmctl help %s'", verb);
	return -1;
}

int subverb_run(struct ctx *ctx, const struct subverb *table, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0), *verb = args_cmd(ctx->args)->name;
	const char *option;
	size_t n = subverb_count(ctx);

	for (const struct subverb *s = table; s->name != NULL; s++) {
		if (strcmp(s->name, word) != 0)
			continue;
		if (strcmp(word, "list") != 0 && lists_is_asked(ctx, &option)) {
			pm_fail(err, PM_USAGE, "%s %s --%s: this is not a list", verb, word,
			        option);
			pm_hint(err, "it goes with '%s list'", verb);
			return -1;
		}
		if (n >= s->min_args && n <= s->max_args)
			return s->run(ctx, err);
		pm_fail(err, PM_USAGE, "%s %s: %s", verb, word,
		        n < s->min_args ? "an argument is missing" : "too many arguments");
		pm_hint(err, "usage: pmctl %s %s %s", verb, word, s->args);
		return -1;
	}
	return unknown(ctx, table, word, err);
}

size_t subverb_count(const struct ctx *ctx)
{
	return args_count(ctx->args) - 1;
}

const char *subverb_at(const struct ctx *ctx, size_t i)
{
	return args_at(ctx->args, i + 1);
}
