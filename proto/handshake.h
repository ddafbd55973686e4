/* handshake.h - the frames that begin a fleet session, of fixed size, and what they must hold.
 * Pure.
 *
 *   first    version (1), role (1), Noise message 1 (96), mac1 (16)
 *   second   version (1), Noise message 2 (48)
 *
 * The Noise prologue is "pmd", version and role, so that neither can be changed on the way; both
 * handshake payloads are empty.  mac1 is keyed with the listener's public key: whoever does not
 * know that costs no exchange of keys.  A listener of another version answers with its version
 * alone and closes, which is a hint to people and proves nothing.
 */
#ifndef PM_PROTO_HANDSHAKE_H
#define PM_PROTO_HANDSHAKE_H

#include "proto/keys.h"
#include "proto/noise.h"

#define PM_HANDSHAKE_VERSION 1
#define PM_FRAME_FIRST       114
#define PM_FRAME_SECOND      49

/* What the dialling side is; its key must be known as that. */
enum pm_role {
	PM_ROLE_NONE,
	PM_ROLE_AGENT,
	PM_ROLE_OPERATOR,
	PM_ROLE_COORDINATOR
};

/* Write the first frame.  *noise is the caller's.  errors PM_NO_MEMORY, PM_PROTOCOL (the key is
 * none) */
PM_MUST_CHECK int pm_handshake_first(const struct pm_key *own, const uint8_t *listener,
                                     enum pm_role role, uint8_t out[PM_FRAME_FIRST],
                                     struct pm_noise **noise, struct pm_error *err);

/*
 * Look at what came of a first frame, without any cryptography but mac1.
 *
 * returns    1: it is whole and worth a handshake; 0: more is needed; -1
 * errors     PM_UNSUPPORTED (another version), PM_PROTOCOL
 */
PM_MUST_CHECK int pm_handshake_look(const uint8_t *own_public, const uint8_t *frame, size_t len,
                                    struct pm_error *err);

/*
 * Answer a whole first frame.
 *
 * check      see struct pm_noise_config: called before the second exchange of keys
 * noise      done; the caller's
 * errors     PM_PROTOCOL, PM_DENIED (check said no), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_handshake_second(const struct pm_key *own, const uint8_t *frame,
                                      pm_noise_key_fn *check, void *arg,
                                      uint8_t out[PM_FRAME_SECOND], struct pm_noise **noise,
                                      struct pm_error *err);
enum pm_role pm_handshake_role(const uint8_t *frame); /* of a frame that was looked at */

/*
 * Take what came of the second frame.
 *
 * returns    1: the handshake is done; 0: more is needed; -1
 * errors     PM_UNSUPPORTED, PM_PROTOCOL
 */
PM_MUST_CHECK int pm_handshake_end(struct pm_noise *noise, const uint8_t *frame, size_t len,
                                   struct pm_error *err);

#endif
