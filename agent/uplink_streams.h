/*
 * uplink_streams.h - streams that a coordinator opened, carried on to the supervisor.
 *
 * Credit goes from end to end: what the coordinator grants is granted to the supervisor, but for
 * more than one window, so that what the link cannot take at once is bounded here too.
 */
#ifndef PM_AGENT_UPLINK_STREAMS_H
#define PM_AGENT_UPLINK_STREAMS_H

#include "agent/uplink_local.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/link.h"

struct relayed;

/* Public because its owner embeds it; a zeroed one with `local` is ready to use. */
struct carried_streams {
	struct local *local;   /* borrowed */
	struct relayed *first; /* owned */
	uint32_t last_id;      /* of the streams to the supervisor */
	struct pm_arena arena; /* of a message that waited */
};

/* From the link. */
PM_MUST_CHECK int carry_open(struct carried_streams *r, struct pm_link_stream *st,
                             const Pm__StreamOpen *open, struct pm_error *err);
void carry_credit(struct pm_link_stream *st, uint32_t bytes);
void carry_ready(struct pm_link_stream *st);
void carry_closed(struct carried_streams *r, struct pm_link_stream *st);
/* From the supervisor: anything with a stream number. */
void carry_received(struct carried_streams *r, const Pm__Envelope *env);

void carry_finish(struct carried_streams *r); /* once its link is gone */

#endif
