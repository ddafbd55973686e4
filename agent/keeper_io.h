/* keeper_io.h - one record with its descriptors, over a SOCK_SEQPACKET socket. */
#ifndef PM_AGENT_KEEPER_IO_H
#define PM_AGENT_KEEPER_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/keeper_proto.h"
#include "agent/spawn_plan.h"
#include "proto/base.h"

/* The most descriptors one record carries: a spawn's plan, its child's, and those held. */
#define KEEPER_MSG_FDS (1 + SPAWN_FDS_MAX + KEEPER_FD_COUNT)

struct keeper_msg {
	struct keeper_record r;
	int fds[KEEPER_MSG_FDS];
	size_t n_fds;
	bool fds_lost; /* the kernel could not give us all of them: our descriptor limit */
};

/* Take descriptor number `index` out of the message; -1 when there is none. */
int keeper_msg_take(struct keeper_msg *m, size_t index);
/* Close what is left in fds (entries taken out are set to -1). errno is kept. */
void keeper_msg_close(struct keeper_msg *m);

/*
 * Send without blocking on a non-blocking socket.
 *
 * returns  0, or an errno: EAGAIN (full), ETOOMANYREFS (too many descriptors in flight: the peer
 *          must read first), anything else is final
 */
int keeper_send(int sock, const struct keeper_record *r, const int *fds, size_t n_fds);

/* Receive one. Returns 1, 0 at the end of the stream, or a negative errno (-EAGAIN: nothing there;
 * -EBADMSG: not a record of ours). */
int keeper_recv(int sock, struct keeper_msg *m);

/* The same within deadline_ms, an instant of pm_now_ms(), on any socket; -ETIMEDOUT. */
int keeper_recv_until(int sock, struct keeper_msg *m, uint64_t deadline_ms);
int keeper_send_until(int sock, const struct keeper_record *r, const int *fds, size_t n_fds,
                      uint64_t deadline_ms);

/*
 * Descriptors by role to the order of the wire and back.  Pure.
 * keeper_fds_pack returns how many of fds[mask] were put to out (-1 entries drop out of the mask).
 */
size_t keeper_fds_pack(const int fds[KEEPER_FD_COUNT], uint32_t *mask, int *out);
size_t keeper_mask_count(uint32_t mask);

#endif
