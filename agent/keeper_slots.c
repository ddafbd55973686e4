#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/keeper_int.h"
#include "agent/spawn.h"
#include "proto/log.h"

/* ---- pid to slot: open addressing, linear, entries moved back on removal ---- */

static size_t bucket_of(pid_t pid)
{
	return ((uint32_t)pid * 2654435761u) >> 7 & (PID_BUCKETS - 1);
}

static void pid_put(struct keeper *k, const struct slot *s)
{
	size_t b = bucket_of(s->r.pid);

	while (k->pids[b] != 0)
		b = (b + 1) & (PID_BUCKETS - 1);
	k->pids[b] = (uint16_t)(slot_index(k, s) + 1);
}

static struct slot *pid_find(struct keeper *k, pid_t pid, size_t *bucket)
{
	for (size_t b = bucket_of(pid); k->pids[b] != 0; b = (b + 1) & (PID_BUCKETS - 1)) {
		struct slot *s = &k->slots[k->pids[b] - 1];

		if (s->r.pid != pid)
			continue;
		*bucket = b;
		return s;
	}
	return NULL;
}

static void pid_remove(struct keeper *k, size_t hole)
{
	size_t b = hole;

	for (;;) {
		size_t home;

		b = (b + 1) & (PID_BUCKETS - 1);
		if (k->pids[b] == 0)
			break;
		home = bucket_of(k->slots[k->pids[b] - 1].r.pid);
		/* It may move into the hole unless that lies before its own bucket. */
		if (((b - home) & (PID_BUCKETS - 1)) < ((b - hole) & (PID_BUCKETS - 1)))
			continue;
		k->pids[hole] = k->pids[b];
		hole = b;
	}
	k->pids[hole] = 0;
}

/* ---- slots ---- */

struct slot *slot_at(struct keeper *k, uint32_t index)
{
	if (index >= PM_SLOTS_MAX)
		return NULL;
	k->slots_top = PM_MAX(k->slots_top, index + 1);
	return &k->slots[index];
}

uint32_t slot_index(const struct keeper *k, const struct slot *s)
{
	return (uint32_t)(s - k->slots);
}

void slot_fill(struct keeper *k, struct slot *s, const struct keeper_record *r,
               const int fds[KEEPER_FD_COUNT])
{
	s->r = *r;
	s->r.op = KEEPER_SLOT;
	s->r.slot = slot_index(k, s);
	s->r.state = KEEPER_SLOT_ALIVE;
	memcpy(s->fds, fds, sizeof(s->fds));
	s->due = 0;
	k->n_alive++;
	if (!r->foreign)
		pid_put(k, s);
}

void slot_set_fd(struct slot *s, unsigned role, int fd)
{
	pm_closep(&s->fds[role]);
	s->fds[role] = fd;
}

void slot_release(struct keeper *k, struct slot *s)
{
	bool queued = s->queued;

	if (s->r.state == KEEPER_SLOT_ALIVE) {
		pm_log(PM_LOG_ERROR, "keeper.release", "slot=%u pid=%d is alive, kept",
		       slot_index(k, s), s->r.pid);
		return;
	}
	if (s->r.state == KEEPER_SLOT_FREE)
		return;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		pm_closep(&s->fds[role]);
	memset(s, 0, sizeof(*s));
	s->queued = queued; /* leaves the line when its turn comes, with nothing due */
}

static void slot_exited(struct keeper *k, struct slot *s)
{
	s->r.state = KEEPER_SLOT_EXITED;
	s->r.exit_boot_ms = (int64_t)pm_now_ms();
	k->n_alive--;
	keeper_out_due(k, s, DUE_EXITED);
}

void slot_lost(struct keeper *k, struct slot *s)
{
	if (s->r.state != KEEPER_SLOT_ALIVE)
		return;
	if (s->fds[KEEPER_FD_PIDFD] >= 0)
		keeper_unwatch(k, s->fds[KEEPER_FD_PIDFD]);
	s->r.status_known = 0;
	slot_exited(k, s);
}

void slot_watch_foreign(struct keeper *k, struct slot *s)
{
	int *pidfd = &s->fds[KEEPER_FD_PIDFD];

	if (*pidfd < 0) {
		/* The number may be somebody else's by now: the start time tells. Opened first,
		 * so that it is the process we then look at. */
		*pidfd = (int)syscall(SYS_pidfd_open, s->r.pid, 0);
		if (*pidfd >= 0 && spawn_start_ticks(s->r.pid) != s->r.start_ticks)
			slot_set_fd(s, KEEPER_FD_PIDFD, -1);
	}
	if (*pidfd < 0)
		slot_lost(k, s);
	else
		keeper_watch(k, *pidfd, WATCH_SLOT, slot_index(k, s), false);
}

/* ---- exits ---- */

static void record_status(struct keeper_record *r, const siginfo_t *info)
{
	r->status_known = 1;
	r->exit_code = info->si_code == CLD_EXITED ? info->si_status : 0;
	r->exit_signal = info->si_code == CLD_EXITED ? 0 : info->si_status;
	r->exit_core = info->si_code == CLD_DUMPED;
}

static void on_child(struct keeper *k, const siginfo_t *info)
{
	size_t bucket;
	struct slot *s;

	if (info->si_pid == k->super.pid) {
		keeper_super_on_exit(k, info);
		return;
	}
	s = pid_find(k, info->si_pid, &bucket);
	if (s == NULL)
		return; /* an orphan that came to us as the subreaper */
	pid_remove(k, bucket);
	record_status(&s->r, info);
	slot_exited(k, s);
}

void slots_reap(struct keeper *k)
{
	k->reap_more = true;
	for (unsigned n = 0; n < PM_TURN_MAX; n++) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0) {
			k->reap_more = false;
			return;
		}
		on_child(k, &info);
	}
}

void slots_kill_jobs(struct keeper *k)
{
	for (uint32_t i = 0, left = k->n_alive; i < k->slots_top && left > 0; i++) {
		struct slot *s = &k->slots[i];

		if (s->r.state != KEEPER_SLOT_ALIVE)
			continue;
		left--;
		if (s->r.is_job)
			(void)syscall(SYS_pidfd_send_signal, s->fds[KEEPER_FD_PIDFD], SIGKILL, NULL,
			              0);
	}
}

/* ---- descriptors held by name ---- */

static struct held *held_find(struct keeper *k, const char *name)
{
	for (uint32_t i = 0; i < k->n_held; i++)
		if (strcmp(k->held[i].name, name) == 0)
			return &k->held[i];
	return NULL;
}

int held_put(struct keeper *k, const char *name, int fd)
{
	struct held *h = held_find(k, name);

	if (h == NULL) {
		if (k->n_held == PM_HELD_MAX) {
			(void)close(fd);
			return ENOSPC;
		}
		h = &k->held[k->n_held++];
		memset(h, 0, sizeof(*h));
		memcpy(h->name, name, strnlen(name, sizeof(h->name) - 1));
		h->fd = -1;
	}
	pm_closep(&h->fd);
	h->fd = fd;
	return 0;
}

void held_drop(struct keeper *k, const char *name)
{
	struct held *h = held_find(k, name);

	if (h == NULL)
		return;
	pm_closep(&h->fd);
	/* Nobody drops while he is being told what there is, so the order is free to change. */
	*h = k->held[--k->n_held];
}
