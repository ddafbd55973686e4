/* membership.h - what an agent keeps of the fleet it is in: who its coordinator is and where, and
 * who it is itself there.  In HOME/state/fleet; the key is in HOME/keys/agent.key.
 */
#ifndef PM_PROTO_MEMBERSHIP_H
#define PM_PROTO_MEMBERSHIP_H

#include <stdbool.h>

#include "proto/address.h"
#include "proto/buf.h"
#include "proto/keys.h"

#define PM_HOME_FLEET      "state/fleet"
#define PM_HOME_EPOCH      "state/fleet.epoch"
#define PM_HOME_SESSION    "state/fleet.session"
#define PM_HOME_AGENT_KEY  "keys/agent.key"
#define PM_HOME_AGENT_NEXT PM_HOME_AGENT_KEY ".next"

#define PM_MEMBER_TEXT_MAX 128  /* bytes of an id and of a name; longer ones are refused */
#define PM_MEMBERSHIP_MAX  8192 /* bytes of the file */

struct pm_membership {
	char id[PM_MEMBER_TEXT_MAX + 1];   /* for good */
	char name[PM_MEMBER_TEXT_MAX + 1]; /* when it joined; the coordinator may have renamed it */
	char cluster[PM_MEMBER_TEXT_MAX + 1];
	uint8_t coordinator[PM_KEY_BYTES]; /* its public key */
	bool has_next;
	uint8_t next[PM_KEY_BYTES]; /* which it will be known by: good beside the other until then
	                             */
	struct pm_address addresses[PM_ADDRESSES_MAX];
	unsigned n_addresses; /* at least one */
	int64_t joined_wall_ms;
};

/* As the file has it.  errors PM_CONFIG (a text with what is not printable, too long, or no
 * address), PM_NO_MEMORY */
PM_MUST_CHECK int pm_membership_format(const struct pm_membership *m, struct pm_buf *out,
                                       struct pm_error *err);
/* errors PM_CORRUPT, PM_UNSUPPORTED (of a later version) */
PM_MUST_CHECK int pm_membership_parse(const char *text, size_t len, struct pm_membership *out,
                                      struct pm_error *err);

/* errors PM_NOT_FOUND (it is in no fleet), PM_DENIED (a link), PM_CORRUPT, PM_UNSUPPORTED */
PM_MUST_CHECK int pm_membership_load(const char *home, struct pm_membership *out,
                                     struct pm_error *err);
/* Whole and on the disk, or not at all; mode 0600. */
PM_MUST_CHECK int pm_membership_save(const char *home, const struct pm_membership *m,
                                     struct pm_error *err);
/*
 * What a session with the coordinator says of its keys, taken over: `used` is the one that it was
 * begun with, `next` what it will be known by, NULL: nothing else.
 *
 * returns    whether anything is other than before
 */
bool pm_membership_take_keys(struct pm_membership *m, const uint8_t *used, const uint8_t *next);
/* Forget the fleet and the key.  errors PM_NOT_FOUND (it is in none) */
PM_MUST_CHECK int pm_membership_forget(const char *home, struct pm_error *err);

/* Count a start of the link, on the disk: two machines with one key show by it. */
PM_MUST_CHECK int pm_membership_next_epoch(const char *home, uint64_t *out, struct pm_error *err);

/*
 * What an agent keeps of its sessions, and as which member of a fleet: what another coordinator
 * counted says nothing of this one's.
 */
struct pm_session_mark {
	char id[PM_MEMBER_TEXT_MAX + 1]; /* "": there is none */
	uint64_t generation;             /* of the last session; 0: none had one */
	uint64_t base;                   /* what earlier memberships had counted of commands */
};
/* One that cannot be read is as none: the coordinator then takes this for an older copy of us. */
void pm_session_mark_load(const char *home, struct pm_session_mark *out);
/* Whole and on the disk, or not at all.  Blocks; may run on a worker.  errors the system's */
PM_MUST_CHECK int pm_session_mark_save(const char *home, const struct pm_session_mark *mark,
                                       struct pm_error *err);

#endif
