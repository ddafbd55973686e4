/*
 * keeper_client.h - the supervisor's end of the keeper's socket.
 *
 * Requests are queued and never block; answers come as callbacks from the loop, except during
 * adoption, which is synchronous and before the loop runs.
 */
#ifndef PM_AGENT_KEEPER_CLIENT_H
#define PM_AGENT_KEEPER_CLIENT_H

#include <uv.h>

#include "agent/keeper_proto.h"
#include "agent/spawn_plan.h"
#include "proto/error.h"

struct keeper_client;

struct keeper_client_events {
	/* fds[role] is the callback's to keep or close when the bit is set, -1 otherwise */
	void (*on_slot)(void *arg, const struct keeper_record *r, const int fds[KEEPER_FD_COUNT]);
	void (*on_held)(void *arg, const char *name, int fd);
	/* r->error 0: pidfd is the callback's; else -1 */
	void (*on_spawned)(void *arg, const struct keeper_record *r, int pidfd);
	void (*on_exited)(void *arg, const struct keeper_record *r);
	void (*on_note)(void *arg, const char *text);
	void (*on_quit)(
		void *arg); /* an upgrade replaces this supervisor: finish writes and leave */
	void (*on_lost)(void *arg); /* the keeper is dead: see keeper_promote() */
};

/* fd: the supervisor's end, taken. */
PM_MUST_CHECK int keeper_client_create(uv_loop_t *loop, int fd,
                                       const struct keeper_client_events *events, void *arg,
                                       struct keeper_client **out, struct pm_error *err);
void keeper_client_close(struct keeper_client *k);

/*
 * Say HELLO and deliver on_slot and on_held for everything the keeper has. Blocks, at most 5 s.
 * *welcome is the WELCOME record.
 */
PM_MUST_CHECK int keeper_client_adopt(struct keeper_client *k, struct keeper_record *welcome,
                                      struct pm_error *err);

/*
 * Spawn into a free slot; on_spawned answers. `held` descriptors (by role, -1: none) are duplicated
 * to the keeper, and stay the caller's, as do child_fds. user is told back at adoption.
 */
PM_MUST_CHECK int keeper_client_spawn(struct keeper_client *k, uint32_t slot,
                                      const struct spawn_plan *plan, const int *child_fds,
                                      const int held[KEEPER_FD_COUNT], const uint64_t user[4],
                                      bool is_job, struct pm_error *err);
PM_MUST_CHECK int keeper_client_release(struct keeper_client *k, uint32_t slot,
                                        struct pm_error *err);
PM_MUST_CHECK int keeper_client_slot_hold(struct keeper_client *k, uint32_t slot,
                                          enum keeper_fd role, int fd, struct pm_error *err);
/* Wait until the keeper has been sent all that was asked of it so far, at most so long: what it is
 * to hold outlives us only from then on. */
void keeper_client_flush(struct keeper_client *k, uint32_t ms);
/* The same, and until it has taken all of that up: it has done what was asked before the last of
 * it. Blocks for less than a millisecond, unless the keeper hangs. */
void keeper_client_settle(struct keeper_client *k, uint32_t ms);
PM_MUST_CHECK int keeper_client_hold(struct keeper_client *k, const char *name, int fd,
                                     struct pm_error *err);
PM_MUST_CHECK int keeper_client_drop(struct keeper_client *k, const char *name,
                                     struct pm_error *err);
PM_MUST_CHECK int keeper_client_adopt_foreign(struct keeper_client *k, uint32_t slot, pid_t pid,
                                              uint64_t start_ticks, uint64_t tag,
                                              const int held[KEEPER_FD_COUNT],
                                              const uint64_t user[4], struct pm_error *err);
PM_MUST_CHECK int keeper_client_ready(struct keeper_client *k, struct pm_error *err);
PM_MUST_CHECK int keeper_client_alive(struct keeper_client *k, struct pm_error *err);
PM_MUST_CHECK int keeper_client_upgrade(struct keeper_client *k, int exe_fd, struct pm_error *err);
PM_MUST_CHECK int keeper_client_handover(struct keeper_client *k, int sock, struct pm_error *err);
PM_MUST_CHECK int keeper_client_stop(struct keeper_client *k, struct pm_error *err);

#endif
