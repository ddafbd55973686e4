#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cluster.h"
#include "agent/keeper.h"
#include "agent/notify_socket.h"
#include "agent/process.h"
#include "agent/restore_priv.h"
#include "agent/store.h"
#include "proto/log.h"

static void save_process(const struct process *p, struct keeper_saved_slot *out)
{
	struct keeper_record *r = &out->record;

	memset(out, 0, sizeof(*out));
	r->op = KEEPER_SLOT;
	r->proto = KEEPER_PROTO;
	r->slot = p->slot;
	r->pid = p->pid;
	r->state = p->exited ? KEEPER_SLOT_EXITED : KEEPER_SLOT_ALIVE;
	r->start_ticks = p->start_ticks;
	r->tag = p->untagged ? 0 : p->tag;
	r->spawn_boot_ms = (int64_t)pm_now_ms();
	r->exit_boot_ms = r->spawn_boot_ms;
	r->user[0] = p->index;
	r->user[1] = p->pm_id;
	r->user[2] = p->tag;
	r->user[3] = p->app_serial;
	if (p->inst != NULL) {
		r->spawn_boot_ms = (int64_t)instance_core(p->inst)->started_ms;
	}
	memcpy(out->fds, p->fds, sizeof(out->fds));
	out->fds[KEEPER_FD_PIDFD] = p->pidfd;
	out->fds[KEEPER_FD_STDIN] = p->stdin_fd;
	for (size_t i = 0; i < KEEPER_FD_COUNT; i++)
		if (out->fds[i] >= 0)
			r->fd_mask |= 1u << i;
}

static struct process *find_unheard_process(struct super *su, uint64_t tag)
{
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++) {
		struct process *p = su->processes[i];

		if (p != NULL && p->pid == 0 && p->inst != NULL && (tag == 0 || p->tag == tag))
			return p;
	}
	return NULL;
}

/* What the keeper had spawned and did not live to tell. */
static void hear_of_spawned(struct super *su)
{
	struct orphans orphans = { 0 };
	struct pm_error err;

	if (find_unheard_process(su, 0) == NULL)
		return;
	if (tree_walk(su->home_nonce, true, restore_note_orphan, &orphans, &err) < 0)
		orphans.n = 0;
	for (size_t i = 0; i < orphans.n; i++) {
		struct process *p = find_unheard_process(su, orphans.list[i].tag);

		if (p == NULL)
			continue;
		p->pid = orphans.list[i].pid;
		p->start_ticks = orphans.list[i].start_ticks;
	}
	free(orphans.list);
}

/* What the new keeper holds by name. */
struct held_list {
	struct keeper_saved_held *list; /* owned, PM_HELD_MAX */
	size_t n;
};

static void add_held(void *arg, const char *name, int fd)
{
	struct held_list *h = arg;

	if (fd < 0 || h->n == PM_HELD_MAX)
		return;
	(void)snprintf(h->list[h->n].name, KEEPER_NAME_MAX, "%s", name);
	h->list[h->n++].fd = fd;
}

void restore_promote(struct super *su)
{
	struct keeper_saved_slot *slots = pm_calloc(PM_SLOTS_MAX, sizeof(*slots));
	struct held_list held = { .list = pm_calloc(PM_HELD_MAX, sizeof(*held.list)) };
	struct pm_error err;
	size_t n = 0;

	if (slots == NULL || held.list == NULL) {
		pm_log(PM_LOG_ERROR, "agent.promote", "out of memory");
		free(slots);
		free(held.list);
		return;
	}
	hear_of_spawned(su);
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++)
		if (su->processes[i] != NULL && su->processes[i]->pid != 0)
			save_process(su->processes[i], &slots[n++]);
	add_held(&held, "arena", arena_fd(su->arena));
	add_held(&held, "specs", store_specs_fd(su->store));
	add_held(&held, "listen", su->control != NULL ? control_fd(su->control) : -1);
	if (su->stopping)
		add_held(&held, su->killing ? SUPER_HELD_KILL : SUPER_HELD_STOP,
		         fcntl(arena_fd(su->arena), F_DUPFD_CLOEXEC, 0));
	add_held(&held, NOTIFY_SOCKET_HELD, notify_socket_fd(su));
	cluster_each_held(su, add_held, &held);
	pm_log(PM_LOG_WARN, "agent.promote",
	       "the keeper is gone: taking its place with %zu processes", n);
	if (keeper_promote(su->home, su->lock_fd, slots, n, held.list, held.n, &err) < 0)
		pm_log(PM_LOG_ERROR, "agent.promote", "%s", err.what);
	free(held.list);
	free(slots);
}
