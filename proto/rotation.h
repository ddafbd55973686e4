/* rotation.h - the proof that comes with a member's next key: its secret half is held by whoever
 * offers it.  Pure.
 *
 * The session that carries it shows who offers: only the holder of the member's present key.  The
 * proof is a keyed hash over that key, the next one and the coordinator's, under what the next one
 * and the coordinator's have in common; so it is good for this coordinator and this change alone,
 * and can be made by the two of them only.
 */
#ifndef PM_PROTO_ROTATION_H
#define PM_PROTO_ROTATION_H

#include <stdbool.h>

#include "proto/keys.h"

#define PM_ROTATION_PROOF_BYTES 32

/*
 * present, listener   public keys of the session: ours, and the one that was dialled
 * errors              PM_CONFIG (the listener's key is none)
 */
PM_MUST_CHECK int pm_rotation_prove(const struct pm_key *next, const uint8_t present[PM_KEY_BYTES],
                                    const uint8_t listener[PM_KEY_BYTES],
                                    uint8_t out[PM_ROTATION_PROOF_BYTES], struct pm_error *err);

/* The same from the listener's side, in constant time.  A key of low order proves nothing. */
bool pm_rotation_is_proved(const struct pm_key *listener, const uint8_t present[PM_KEY_BYTES],
                           const uint8_t next[PM_KEY_BYTES],
                           const uint8_t proof[PM_ROTATION_PROOF_BYTES]);

/*
 * What a session with a coordinator says of its keys, taken over into what its member knows.
 *
 * present, next  what it is known by, and what it will be known by, which is one only if *has_next
 * used           the one that the session was begun with
 * said           what the coordinator says it will be known by; NULL: nothing else
 * returns        whether anything is other than before
 */
bool pm_rotation_take_pins(uint8_t present[PM_KEY_BYTES], uint8_t next[PM_KEY_BYTES],
                           bool *has_next, const uint8_t *used, const uint8_t *said);

#endif
