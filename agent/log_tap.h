/* log_tap.h - what a reader sees of a stream that has no file: its lines as they come. */
#ifndef PM_AGENT_LOG_TAP_H
#define PM_AGENT_LOG_TAP_H

#include "agent/log_source.h"
#include "proto/buf.h"

struct log_tap {
	struct log_tap *next;
	struct log_source *src; /* borrowed: it owns the tap */
	struct pm_buf buf;      /* whole lines that the reader has not taken yet */
	uint64_t lost_lines;
};

/* Have the lines of the source's stream handed over from now on.  errors PM_NO_MEMORY */
PM_MUST_CHECK int log_tap_open(struct logs *l, struct log_source *src, struct pm_error *err);
/* A source that has none is fine. */
void log_tap_close(struct logs *l, struct log_source *src);

/* log_reader.c: there is something for it to do. */
void log_reader_wake(struct log_reader *r);

#endif
