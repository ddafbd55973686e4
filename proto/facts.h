/* facts.h - what this machine says of itself to a coordinator. */
#ifndef PM_PROTO_FACTS_H
#define PM_PROTO_FACTS_H

#include "proto/pm.pb-c.h"

/* Short, because they travel in a session's first record.  Public because its user embeds it. */
struct pm_facts {
	char hostname[65], os[97], arch[33];
	uint8_t boot_id[16]; /* of the kernel; zeros: not known */
	uint32_t n_cpus;
	uint64_t memory_bytes;
};

void pm_facts_gather(struct pm_facts *out); /* what cannot be found out stays empty */
/* The kernel's boot id alone: 16 bytes, borrowed for good; zeros: not known. */
const uint8_t *pm_facts_boot(void);
/* As a message that borrows from them. */
void pm_facts_message(struct pm_facts *f, Pm__HostFacts *out);

#endif
