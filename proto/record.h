/* record.h - cuts a byte stream into records: 2-byte big-endian length, then that many bytes. Pure.
 */
#ifndef PM_PROTO_RECORD_H
#define PM_PROTO_RECORD_H

#include "proto/error.h"

#define PM_RECORD_HEAD 2 /* bytes before each record */

/* Holds the part of a record that has come so far, never more.  A zeroed one is ready to use. */
struct pm_record_reader {
	uint8_t *held; /* owned; NULL between records */
	size_t want;   /* the held record's length, 0: not known yet */
	size_t have;
	size_t cap;      /* bytes of memory at held: grows with what has come, not with `want` */
	size_t min, max; /* lengths to take; 0: 1 and PM_RECORD_MAX */
	uint16_t head;   /* what came of the length */
	unsigned n_head;
};

/*
 * Take the next record from the input.
 *
 * bytes, len     the cursor over what was read; moved past what was taken
 * record, n      the record: in the input itself or in the reader; valid until the next call or
 * until the input goes returns        1: a record; 0: the input is used up; -1: error, and the
 * stream is useless errors         PM_PROTOCOL (length 0 or over PM_RECORD_MAX: seen before
 * anything is allocated), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_record_next(struct pm_record_reader *r, const uint8_t **bytes, size_t *len,
                                 const uint8_t **record, size_t *n, struct pm_error *err);

void pm_record_finish(struct pm_record_reader *r);

#endif
