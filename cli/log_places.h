/* log_places.h - the files that lines come from, and how far each was shown, over reconnects. Pure.
 *
 * A stream numbers its sources anew each time; a file is known again by its path.
 */
#ifndef PM_CLI_LOG_PLACES_H
#define PM_CLI_LOG_PLACES_H

#include "cli/log_view.h"
#include "proto/error.h"

struct log_place {
	struct log_source view; /* its texts are owned */
	uint64_t next;          /* offset behind the last line shown */
	uint64_t file;          /* which it was in; 0: the agent does not say */
	int64_t wall_ms;        /* when it was written */
	uint8_t boot[16];       /* of the kernel there */
	bool seen;              /* a line was shown, next counts */
	bool resuming;          /* the history of a new stream may repeat what was shown */
	struct pm_buf tail;     /* the owner's */
};

/* Zeroed is empty.  Public because its owner embeds it. */
struct log_places {
	struct log_place *list; /* owned */
	size_t n;
	size_t *numbers; /* owned: of a stream's source number its index in list */
	size_t n_numbers;
};

void log_places_finish(struct log_places *p);

/*
 * Take the announcement of a source.
 *
 * resuming   the stream is not the first one
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int log_places_announce(struct log_places *p, const Pm__LogSource *s, bool resuming,
                                      struct log_place **out, struct pm_error *err);

/* NULL: not announced.  Borrowed until the next announcement. */
struct log_place *log_places_get(struct log_places *p, uint32_t number);

/*
 * Whether the line was shown before; if not, it counts as shown now.
 *
 * missed     bytes between the last line and this one that nobody has shown
 */
bool log_place_repeats(struct log_place *place, const Pm__LogLine *line, uint64_t *missed);

#endif
