/* peers_priv.h - what the parts of peers.c share; nobody else includes it. */
#ifndef PM_COORDINATOR_PEERS_PRIV_H
#define PM_COORDINATOR_PEERS_PRIV_H

#include "coordinator/coord.h"

#define PEERS_FACTS_TEXT 1024

/* ---- peers.c ---- */
struct peer *peers_of(const struct pm_link *l);
/* Where a link's peer is; "?": not known any more. */
void peers_address_text(const struct pm_link *l, char *out, size_t size);

/* ---- peers_enrol.c ---- */
void peers_on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol);
/* Facts as labels; what does not fit the form of one is left out. */
void peers_facts_text(const Pm__HostFacts *f, char out[PEERS_FACTS_TEXT]);
void peers_enrol_gone(const struct pm_link *l); /* whoever wanted to enrol there has left */

/* ---- peers_hello.c ---- */
int peers_on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                   struct pm_error *err);
void peers_hello_gone(const struct pm_link *l);

#endif
