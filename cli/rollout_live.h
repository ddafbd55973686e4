/* rollout_live.h - a rollout that goes on: the lines drawn again and again on a terminal, and the
 * lines that stay, one an event.  Pure.
 */
#ifndef PM_CLI_ROLLOUT_LIVE_H
#define PM_CLI_ROLLOUT_LIVE_H

#include "cli/rollout_view.h"

/*
 * What stands there now, each line ended by a newline and cut to fit: how far it is, why it holds,
 * and the hosts where there are few, or the failures that most have where there are many.
 *
 * returns    the number of lines
 */
size_t rollout_live_lines(const struct rollout_view *v, const struct rollout_copy *c,
                          struct pm_buf *out);

/* What the user was told.  Zeroed: nothing. */
struct rollout_news {
	bool begun, undoing;
	uint32_t batch;
	char hold[96];
	char waits[200]; /* for a lock: why */
};

/*
 * Append what happened since, a line each, and remember that it was told: batches that began, hosts
 * that are done or failed, what it waits for.  With v->live only what the live lines do not show.
 *
 * The first time, hosts that are done already are not told one by one: somebody looks at a rollout
 * that goes on for a while.
 */
void rollout_live_news(const struct rollout_view *v, struct rollout_copy *c,
                       struct rollout_news *news, struct pm_buf *out);

#endif
