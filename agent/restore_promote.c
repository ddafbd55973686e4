#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/keeper.h"
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
	if (p->inst != NULL) {
		r->user[0] = instance_index(p->inst);
		r->user[1] = instance_core(p->inst)->pm_id;
		r->user[2] = p->tag;
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

void restore_promote(struct super *su)
{
	struct keeper_saved_slot *slots = pm_calloc(PM_SLOTS_MAX, sizeof(*slots));
	struct keeper_saved_held held[3] = { { .name = "arena", .fd = arena_fd(su->arena) } };
	size_t n = 0, n_held = 1;
	struct pm_error err;

	if (slots == NULL) {
		pm_log(PM_LOG_ERROR, "agent.promote", "out of memory");
		return;
	}
	hear_of_spawned(su);
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++)
		if (su->processes[i] != NULL && su->processes[i]->pid != 0)
			save_process(su->processes[i], &slots[n++]);
	if (store_specs_fd(su->store) >= 0) {
		(void)snprintf(held[n_held].name, KEEPER_NAME_MAX, "specs");
		held[n_held++].fd = store_specs_fd(su->store);
	}
	if (su->control != NULL) {
		(void)snprintf(held[n_held].name, KEEPER_NAME_MAX, "listen");
		held[n_held++].fd = control_fd(su->control);
	}
	pm_log(PM_LOG_WARN, "agent.promote",
	       "the keeper is gone: taking its place with %zu processes", n);
	if (keeper_promote(su->home, su->lock_fd, slots, n, held, n_held, &err) < 0)
		pm_log(PM_LOG_ERROR, "agent.promote", "%s", err.what);
	free(slots);
}
