/* logs.h - reads log streams from the agent and shows them. */
#ifndef PM_CLI_LOGS_H
#define PM_CLI_LOGS_H

#include "cli/ctx.h"
#include "cli/log_view.h"

struct logs_request {
	Pm__LogQuery query; /* its targets are borrowed */
	struct log_style style;
	bool headings;   /* the history file by file, each under its path, as PM2 has it */
	bool raw_stderr; /* lines of stderr go to stderr */
};

/*
 * Show what the request asks for until the end, or Ctrl-C when it follows. A supervisor that is
 * replaced meanwhile is found again, and the lines go on where they stopped.
 *
 * returns    0, 130 after Ctrl-C, or -1
 */
int logs_show(struct ctx *ctx, struct logs_request *request, struct pm_error *err);

/*
 * Say that older lines of a log may exist that were not looked for (F-38).
 *
 * host       NULL: the local one
 */
void logs_say_bound(const struct ctx *ctx, const char *host, const struct log_source *source,
                    const Pm__Gap *gap);

/* A descriptor that gets readable on Ctrl-C, and when nobody reads our output any more; -1 */
int logs_watch_fd(struct pm_error *err);

/* Follow instances by their ids: --attach. */
int logs_follow(struct ctx *ctx, const uint32_t *ids, size_t n, struct pm_error *err);

/* The last lines of an instance, each set off by `indent`; none is no error. */
PM_MUST_CHECK int logs_tail(struct ctx *ctx, uint32_t pm_id, uint32_t lines, const char *indent,
                            struct pm_buf *out, struct pm_error *err);

#endif
