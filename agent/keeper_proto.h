/*
 * keeper_proto.h - what keeper and supervisor say to each other.
 *
 * Fixed-size records over a SOCK_SEQPACKET pair, descriptors by SCM_RIGHTS in the order given here.
 * Both ends are this program, possibly of different versions during an upgrade: KEEPER_PROTO is in
 * HELLO and in the keeper's saved state, and fields are only added, inside `reserved`.
 *
 * The keeper keeps a table of slots. A slot is one process (not one app): who it is, the
 * descriptors that must outlive a supervisor, and its exit until that is released. A new supervisor
 * says HELLO and gets everything.
 */
#ifndef PM_AGENT_KEEPER_PROTO_H
#define PM_AGENT_KEEPER_PROTO_H

#include <stdint.h>

#define KEEPER_PROTO    1u
#define KEEPER_NAME_MAX 48

enum keeper_op {
	KEEPER_NONE = 0,

	/* supervisor -> keeper */
	KEEPER_HELLO = 1, /* answered by SLOT..., HELD..., END */
	KEEPER_SPAWN =
		2, /* fds: plan memfd, the child's (plan order), the held ones (fd_mask order) */
	KEEPER_RELEASE =
		3, /* forget the slot and close its descriptors; its process must be gone */
	KEEPER_SLOT_HOLD = 4, /* fds: replace the slot's descriptors named in fd_mask */
	KEEPER_HOLD = 5,      /* fd: hold under `name`, replacing what was held there */
	KEEPER_DROP = 6,      /* forget `name` */
	KEEPER_READY =
		7, /* this supervisor is up: resets the restart backoff, confirms an upgrade */
	KEEPER_UPGRADE =
		8,       /* fd: the new executable (O_PATH or read); answered by NOTE on failure */
	KEEPER_STOP = 9, /* no slot is alive: remove nothing, exit 0 */
	KEEPER_ADOPT = 10,    /* watch a process that is not our child: pid, start_ticks, tag, user;
	                         fds by fd_mask */
	KEEPER_HANDOVER = 11, /* fd: socket to a process that takes over as keeper; then exit */
	KEEPER_ALIVE = 12,    /* the loop turns; every notify_watchdog_ms(), when that is not 0 */

	/* keeper -> supervisor */
	KEEPER_WELCOME = 20, /* first answer to HELLO: pid of the keeper, its start, restarts of the
	                        supervisor */
	KEEPER_SLOT = 21,    /* one slot as it is; fds by fd_mask */
	KEEPER_HELD = 22,    /* one named descriptor */
	KEEPER_END = 23,     /* everything was told */
	KEEPER_SPAWNED =
		24, /* error 0: pid, start_ticks, fd: pidfd; else errno and the stage that failed */
	KEEPER_EXITED = 25, /* stays in the slot until RELEASE */
	KEEPER_NOTE = 26,   /* `name`: words on how an upgrade went */
	KEEPER_QUIT = 27,   /* leave now: an upgrade replaces this supervisor; apps stay */
};

/* Descriptors of a slot that outlive the supervisor; bit 1 << role in fd_mask, sent in ascending
 * order. */
enum keeper_fd {
	KEEPER_FD_PIDFD,     /* set by the keeper */
	KEEPER_FD_STDIN,     /* write end */
	KEEPER_FD_OUT,       /* read end */
	KEEPER_FD_ERR,       /* read end */
	KEEPER_FD_IPC,       /* our end of the node channel */
	KEEPER_FD_OUT_STAGE, /* memfd with bytes of stdout that are not in the log yet */
	KEEPER_FD_ERR_STAGE,
	KEEPER_FD_NOTIFY, /* sd_notify socket of the app */
	KEEPER_FD_LISTEN, /* its generation's listening socket */
	KEEPER_FD_EXTRA,
	KEEPER_FD_COUNT
};

enum keeper_slot_state {
	KEEPER_SLOT_FREE,
	KEEPER_SLOT_ALIVE,
	KEEPER_SLOT_EXITED,
};

/* Where in the child a spawn failed. */
enum spawn_stage {
	SPAWN_STAGE_NONE,
	SPAWN_STAGE_PLAN, /* the plan itself */
	SPAWN_STAGE_FORK, /* EAGAIN, ENOMEM: the machine's fault, not the app's */
	SPAWN_STAGE_FDS,
	SPAWN_STAGE_CGROUP,
	SPAWN_STAGE_LIMITS,
	SPAWN_STAGE_GROUPS,
	SPAWN_STAGE_USER,
	SPAWN_STAGE_CWD,
	SPAWN_STAGE_EXEC,
};

struct keeper_record {
	uint32_t op; /* enum keeper_op */
	uint32_t proto;
	uint32_t slot;
	uint32_t fd_mask; /* of enum keeper_fd */
	int32_t pid;
	uint32_t state;       /* enum keeper_slot_state */
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
	uint64_t tag;   /* RLIMIT_RTTIME of the process and all its descendants: agent/tree.h */
	int32_t error;  /* errno */
	uint32_t stage; /* enum spawn_stage */
	uint32_t status_known; /* EXITED: 0 when nobody saw the status */
	int32_t exit_code;
	int32_t exit_signal;
	uint32_t exit_core;
	int64_t exit_boot_ms;  /* pm_now_ms() when the exit was seen */
	int64_t spawn_boot_ms; /* pm_now_ms() when it was spawned */
	uint32_t restarts;     /* WELCOME: of the supervisor, without upgrades */
	uint32_t is_job;       /* a helper of ours, not an app: killed when the supervisor dies */
	uint64_t user[4];      /* the supervisor's, opaque to the keeper, told back in SLOT */
	char name[KEEPER_NAME_MAX];
	uint32_t foreign; /* not the keeper's child: nobody will see its exit status */
	uint8_t reserved[60];
};

#endif
