/*
 * rekey.h - the key files of an agent in a fleet, while a key takes the place of another (S-06).
 *
 * The next key is on the disk before anybody hears of it, and takes the place of the present one
 * once the coordinator has let it in; what the coordinator will be known by is written down as soon
 * as it says so.  Whoever is killed in between has, after the next start, a pair that is good.
 */
#ifndef PM_AGENT_REKEY_H
#define PM_AGENT_REKEY_H

#include <uv.h>

#include "proto/error.h"
#include "proto/keys.h"

struct rekey;

/* A next key is there, and was made now unless `found`: the link is to begin anew with it. */
typedef void rekey_fn(void *arg, const char *fingerprint, bool found);

/*
 * loop, fn, arg  borrowed until rekey_close()
 * errors         PM_NO_MEMORY
 */
PM_MUST_CHECK int rekey_create(uv_loop_t *loop, const char *home, rekey_fn *fn, void *arg,
                               struct rekey **out, struct pm_error *err);
/* Calls nobody back; what is being written is finished.  NULL is fine. */
void rekey_close(struct rekey *r);

/* Make the next key, on a worker; not more often than once a minute, whoever asks.
 * returns  false: not now */
bool rekey_make(struct rekey *r);

/*
 * What a session that is up was begun with: own key, the coordinator's, and what that will be known
 * by (NULL: nothing else).  Kept on the disk, by a worker, where it is other than before.
 */
void rekey_keep(struct rekey *r, const uint8_t own[PM_KEY_BYTES],
                const uint8_t coordinator[PM_KEY_BYTES], const uint8_t *next);

#endif
