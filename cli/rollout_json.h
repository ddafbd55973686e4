/* rollout_json.h - a rollout for programs: one document, or an event a line.  Pure. */
#ifndef PM_CLI_ROLLOUT_JSON_H
#define PM_CLI_ROLLOUT_JSON_H

#include "cli/json_out.h"
#include "cli/rollout_copy.h"

/* What a list has of one, as an object. */
void rollout_json_status(struct json_out *j, const struct rollout_copy *c);

/*
 * The whole document with its newline: the rollout, its hosts, its story, the account.
 *
 * status     the status that the program exits with; -1: nobody has watched it
 */
void rollout_json_document(const struct rollout_copy *c, int status, struct pm_buf *out);
/* The end of a stream: the same without hosts and story. */
void rollout_json_end(const struct rollout_copy *c, int status, struct pm_buf *out);

/* What of it the last event told.  Zeroed: nothing. */
struct rollout_json_news {
	bool begun, undoing;
	Pm__RolloutState state;
	uint32_t batch;
	int64_t hold_until_wall_ms;
};

/* A line for each change since: "event" is "rollout" or "host". */
void rollout_json_events(struct rollout_copy *c, struct rollout_json_news *news,
                         struct pm_buf *out);

#endif
