/*
 * state_frame.h - what a state file is made of: a magic, version, length and BLAKE2b checksum over
 * a body of length-prefixed records. Pure.
 *
 * It is the same in every version, so that a damaged file and one of a newer pmd are never taken
 * for each other.
 */
#ifndef PM_AGENT_STATE_FRAME_H
#define PM_AGENT_STATE_FRAME_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define STATE_MAJOR     1u /* a reader refuses a file of a higher one */
#define STATE_MINOR     0u
#define STATE_MAGIC_LEN 8

/* ---- to bytes ---- */

/* Begin a file: a SavedHeader, of which version and writer are filled in here. false: too large */
bool state_frame_begin(struct pm_buf *out, Pm__SavedHeader *header);
/* false: the file would be over PM_STATE_MAX */
bool state_frame_add(struct pm_buf *out, const ProtobufCMessage *msg);
/* The same of one that is packed already. */
bool state_frame_add_packed(struct pm_buf *out, const uint8_t *bytes, size_t len);
/* Complete it; out->failed is the caller's to look at before. */
void state_frame_end(struct pm_buf *out, const char magic[STATE_MAGIC_LEN]);

/* ---- from bytes ---- */

struct state_reader {
	const uint8_t *at;
	size_t left;
};
/*
 * Check all of it but what the records say.
 *
 * errors     PM_CORRUPT (damaged), PM_UNSUPPORTED (a newer major version)
 */
PM_MUST_CHECK int state_frame_open(const uint8_t *bytes, size_t len,
                                   const char magic[STATE_MAGIC_LEN], struct state_reader *out,
                                   struct pm_error *err);
/* Take the next record; false when what is left holds none. */
bool state_frame_next(struct state_reader *r, const uint8_t **rec, size_t *len);
/*
 * The header, which is the first record.
 *
 * arena      holds *out
 * errors     PM_CORRUPT (none, or more records than there is room for), PM_NO_MEMORY
 */
PM_MUST_CHECK int state_frame_header(struct state_reader *r, struct pm_arena *arena,
                                     const Pm__SavedHeader **out, struct pm_error *err);

/* Makes of memory from the heap what pm__*__free_unpacked(msg, NULL) frees. */
extern ProtobufCAllocator state_heap;

#endif
