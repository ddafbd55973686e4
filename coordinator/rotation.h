/* rotation.h - one key takes the place of another, and both are good for a while (S-06): those of
 * agents and operators, and the coordinator's own.
 *
 * A member's next key is in the store before it is told that it was taken, and becomes the only one
 * with its first session, or when the overlap is over.  Of the coordinator's own keys the files
 * tell, keys/coordinator.key and .next beside it: whoever is killed in between finds both again.
 * The overlap of that one begins with the time of the second file.
 */
#ifndef PM_COORDINATOR_ROTATION_H
#define PM_COORDINATOR_ROTATION_H

#include "coordinator/coord.h"

struct rotation;

/*
 * Load the coordinator's next key, if there is one, and begin to watch the overlaps; once members
 * are loaded and before anybody is let in.
 *
 * overlap_s  0: a week
 * errors     PM_NO_MEMORY, those of pm_keyfile_load()
 */
PM_MUST_CHECK int rotation_create(struct coord *c, uint32_t overlap_s, struct rotation **out,
                                  struct pm_error *err);
void rotation_close(struct rotation *r);  /* NULL is fine */
void rotation_listen(struct rotation *r); /* the hub is there: it is known by both keys */

/* A member offers its next key; answered now or later. */
void rotation_offer(struct rotation *r, struct peer *p, uint64_t id, const Pm__KeyOffer *offer);
/* A session is up: if it is the first of a next key, that is the only one from now on. */
void rotation_came(struct rotation *r, const struct peer *p);

/* The files have changed: tell everybody; or the next key is to be the only one now.  Answers with
 * a word. */
PM_MUST_CHECK int rotation_reload(struct rotation *r, struct peer *p, uint64_t id,
                                  const Pm__KeysReload *q, struct pm_error *err);
/* For Welcome: what else we are known by; NULL: nothing.  Borrowed until the loop turns. */
Pm__CoordinatorKeys *rotation_keys(struct rotation *r);
/* The key that lasts longest: for tokens.  Borrowed likewise. */
const struct pm_key *rotation_newest(const struct rotation *r);
/* Whether this is one of our own keys. */
bool rotation_is_own(const struct rotation *r, const uint8_t *key);

#endif
