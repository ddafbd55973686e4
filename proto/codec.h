/* codec.h - envelopes to bytes and back: capped memory, checked contents.  Pure. */
#ifndef PM_PROTO_CODEC_H
#define PM_PROTO_CODEC_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define PM_OP_ID_BYTES 16

struct pm_arena_block;

/*
 * Memory that unpacked messages live in: given out in order, given back all at once.
 * A zeroed one is ready to use.  Public because its user embeds it.
 */
struct pm_arena {
	struct pm_arena_block *blocks; /* owned; the newest first */
	size_t used;                   /* bytes given out since the last reset */
	size_t limit;                  /* `used` may not pass this during a decode */
	bool refused;                  /* the limit was met, not the end of memory */
};

void *pm_arena_alloc(struct pm_arena *a, size_t size) PM_MUST_CHECK; /* 16-aligned; NULL: refused */
void pm_arena_reset(struct pm_arena *a);  /* everything given out is gone; keeps one small block */
void pm_arena_finish(struct pm_arena *a); /* the same, and keeps nothing */

/*
 * Append one envelope to `out` as a record: 2-byte length, then the packed bytes.
 *
 * errors     PM_LIMIT (over PM_RECORD_MAX; nothing was appended), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_encode(const Pm__Envelope *env, struct pm_buf *out, struct pm_error *err);

/*
 * Unpack one record's bytes (without the length) and check them.
 *
 * ownership  *out lives in the arena until its reset; several messages may live there at once, each
 *            taking PM_ARENA_MAX at most
 * checks     strings are UTF-8 without NUL, Command.op_id has 0 or 16 bytes, Enrol's token_id 8 and
 *            secret 32; enum values that
 * nobody defined become 0 (unspecified); a body that nobody defined is PM__ENVELOPE__BODY__NOT_SET
 * errors     PM_PROTOCOL (malformed, or would not fit PM_ARENA_MAX), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_decode(struct pm_arena *a, const uint8_t *bytes, size_t len,
                            Pm__Envelope **out, struct pm_error *err);

/* The same for a peer that is worth less memory than PM_ARENA_MAX. */
PM_MUST_CHECK int pm_decode_within(struct pm_arena *a, const uint8_t *bytes, size_t len,
                                   size_t max_bytes, Pm__Envelope **out, struct pm_error *err);

/*
 * The same for any message type, as for state files: *out is a message of `type`.
 * max_bytes is the most that it may take in the arena.
 */
PM_MUST_CHECK int pm_decode_message(struct pm_arena *a, const ProtobufCMessageDescriptor *type,
                                    const uint8_t *bytes, size_t len, size_t max_bytes,
                                    ProtobufCMessage **out, struct pm_error *err);

/* A deep copy, for protobuf_c_message_free_unpacked(); NULL: no memory. */
void *pm_message_copy(const ProtobufCMessage *m);

#endif
