/* carrier.h - one connection over TCP for a program without a loop: its events come by poll(2).
 *
 * nng's byte streams are the back end, and nothing of nng shows here.  Their callbacks, on nng's
 * threads, mark what is done and write to an eventfd; all else happens on the caller's thread.
 */
#ifndef PM_CLI_CARRIER_H
#define PM_CLI_CARRIER_H

#include <stdbool.h>

#include "proto/address.h"
#include "proto/error.h"

struct carrier;

/*
 * Connect; each of a name's numeric addresses is tried in turn, with at most 5 s for each.
 *
 * timeout_ms   for all of it
 * stop_fd      readable: give up; -1: none
 * errors       PM_UNREACHABLE (with why the last one did not do), PM_NO_MEMORY
 */
PM_MUST_CHECK int carrier_dial(const struct pm_address *address, uint32_t timeout_ms, int stop_fd,
                               struct carrier **out, struct pm_error *err);
void carrier_close(struct carrier *c); /* NULL is fine */

/* Readable when one of the calls below has news.  It is the carrier's. */
int carrier_fd(const struct carrier *c);
/* Take notice of it; before the calls below. */
void carrier_look(struct carrier *c);

/*
 * What has come, valid until carrier_taken().
 *
 * returns    1, 0: nothing yet, -1: the connection is over
 */
PM_MUST_CHECK int carrier_read(struct carrier *c, const uint8_t **bytes, size_t *len,
                               struct pm_error *err);
void carrier_taken(struct carrier *c);

/* Write; one at a time, and the bytes are borrowed until carrier_written() says that they went. */
void carrier_write(struct carrier *c, const uint8_t *bytes, size_t len);
/* 1: all of it was taken; 0: not yet; -1: the connection is over.  progress: a part of it was */
PM_MUST_CHECK int carrier_written(struct carrier *c, bool *progress, struct pm_error *err);

const char *carrier_peer(const struct carrier *c); /* the numeric address, for messages */

#endif
