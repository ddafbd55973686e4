#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/cluster.h"
#include "agent/process.h"
#include "agent/restore_priv.h"
#include "agent/sweep.h"
#include "proto/log.h"

/* The oldest process of each tag is the main one: descendants come later. */
void restore_note_orphan(void *arg, const struct tree_process *p)
{
	struct orphans *o = arg;

	for (size_t i = 0; i < o->n; i++)
		if (o->list[i].tag == p->tag) {
			if (p->start_ticks < o->list[i].start_ticks) {
				o->list[i].pid = p->pid;
				o->list[i].start_ticks = p->start_ticks;
			}
			return;
		}
	if (o->n == o->cap) {
		size_t cap = o->cap == 0 ? 16 : o->cap * 2;
		struct orphan *more = pm_realloc(o->list, cap * sizeof(*more));

		if (more == NULL)
			return; /* killed below as unknown would be worse than to be left: P1 is
			           kept by the walk at the instance's start */
		o->list = more;
		o->cap = cap;
	}
	o->list[o->n++] = (struct orphan){ p->tag, p->pid, p->start_ticks };
}

/* With which flags a process has a descriptor open; -1: it has none. */
static int open_flags(pid_t pid, int fd)
{
	char text[256], path[48];
	PM_CLOSE int info = -1;
	const char *at;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strstr(text, "flags:");
	return at == NULL ? -1 : (int)strtol(at + 6, NULL, 8);
}

/*
 * Open the process's own end of a pipe again, as a reader or a writer. -1: not a pipe, or not ours:
 * output pipes of ours are open for both directions (process.c), those that a shell makes are not,
 * and from them we would take what is another's.
 */
static int reopen(pid_t pid, int fd, int flags)
{
	char path[48];
	struct stat st;
	int ours, has = open_flags(pid, fd);

	if (has < 0 || (has & O_ACCMODE) != (flags == O_RDONLY ? O_RDWR : O_RDONLY))
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	ours = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	if (ours >= 0 && (fstat(ours, &st) < 0 || !S_ISFIFO(st.st_mode)))
		pm_closep(&ours);
	return ours >= 0 ? ours : -1;
}

static void kill_orphan(const struct orphan *o)
{
	struct pm_error err;
	int n = 1;

	pm_log(PM_LOG_WARN, "restore.kill", "pid=%d of a former agent is no app's: killed", o->pid);
	for (int i = 0; i < 100 && n > 0; i++)
		if (tree_signal(o->tag, 0, SIGKILL, &n, &err) < 0)
			return;
}

static int adopt_orphan(struct super *su, const struct orphan *o, struct instance *inst,
                        struct pm_error *err)
{
	struct keeper_record r = { .slot = super_free_slot(su),
		                   .pid = o->pid,
		                   .tag = o->tag,
		                   .start_ticks = o->start_ticks,
		                   .state = KEEPER_SLOT_ALIVE };
	const uint64_t user[4] = { instance_index(inst), instance_core(inst)->pm_id, o->tag,
		                   instance_core(inst)->app_serial };
	struct process *p = NULL;
	int fds[KEEPER_FD_COUNT];

	memcpy(r.user, user, sizeof(r.user));
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		fds[i] = -1;
	if (r.slot == SLOT_NONE)
		return pm_fail(err, PM_LIMIT, "more than %d processes", PM_SLOTS_MAX);
	fds[KEEPER_FD_STDIN] = reopen(o->pid, 0, O_WRONLY);
	fds[KEEPER_FD_OUT] = reopen(o->pid, 1, O_RDONLY);
	fds[KEEPER_FD_ERR] = reopen(o->pid, 2, O_RDONLY);
	if (keeper_client_adopt_foreign(su->keeper, r.slot, o->pid, o->start_ticks, o->tag, fds,
	                                user, err) < 0) {
		for (size_t i = 0; i < PM_COUNT(fds); i++)
			pm_closep(&fds[i]);
		return -1;
	}
	fds[KEEPER_FD_PIDFD] = (int)syscall(SYS_pidfd_open, o->pid, 0);
	memset(arena_slot(su->arena, r.slot), 0, sizeof(struct slot_record));
	if (process_adopt(su, inst, &r, fds, &p, err) < 0)
		super_degraded(su, "adoption", err->what);
	if (p == NULL)
		return -1;
	instance_set_process(inst, p);
	pm_log(PM_LOG_INFO, "restore.adopt", "app=%s pm_id=%u pid=%d", instance_spec(inst)->name,
	       instance_core(inst)->pm_id, o->pid);
	return 0;
}

int restore_adopt_orphans(struct super *su, struct pm_error *err)
{
	static const struct instance_order stop = { .event = EV_STOP,
		                                    .cause = CAUSE_STOP,
		                                    .who = "agent" };
	struct orphans orphans = { 0 };
	int rc = tree_walk(su->home_nonce, true, restore_note_orphan, &orphans, err);

	for (size_t i = 0; rc >= 0 && i < orphans.n; i++) {
		struct instance *inst = super_find_id(su, tree_tag_pm_id(orphans.list[i].tag));
		struct pm_error why;

		if (inst != NULL && instance_process(inst) != NULL &&
		    instance_core(inst)->tag == orphans.list[i].tag)
			continue; /* the keeper has it */
		/* Nobody has the other ends of a worker's sockets and channel any more: it could
		   not be replaced, and would be in the way of one that can. */
		if (inst == NULL || instance_process(inst) != NULL ||
		    cluster_can_share(instance_spec(inst)) ||
		    adopt_orphan(su, &orphans.list[i], inst, &why) < 0) {
			kill_orphan(&orphans.list[i]);
			continue;
		}
		instance_set_up(inst);
		if (!instance_take_wanted(inst))
			instance_give_order(inst, &stop); /* its stop had been ordered */
	}
	free(orphans.list);
	return rc < 0 ? -1 : 0;
}

void restore_leave_orphans(struct super *su)
{
	struct orphans orphans = { 0 };
	struct pm_error err;
	char words[120];

	if (tree_walk(su->home_nonce, true, restore_note_orphan, &orphans, &err) >= 0 &&
	    orphans.n > 0) {
		(void)snprintf(words, sizeof(words),
		               "%zu processes of a former agent run on unsupervised, such as pid "
		               "%d",
		               orphans.n, (int)orphans.list[0].pid);
		super_degraded(su, "adoption", words);
	}
	free(orphans.list);
}

/* A main process that has ended may still have its slot, for its output. */
static bool is_a_run(const struct super *su, uint64_t tag)
{
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++)
		if (su->processes[i] != NULL && su->processes[i]->tag == tag &&
		    !su->processes[i]->exited)
			return true;
	return false;
}

/* Of an app without treekill it may stay, and whose it is cannot be told without one. */
static void sweep_one(void *arg, const struct tree_process *p)
{
	struct super *su = arg;
	const struct instance *inst = super_find_id(su, tree_tag_pm_id(p->tag));
	const struct inst_core *core = inst == NULL ? NULL : instance_core(inst);

	if (tree_tag_pm_id(p->tag) == TREE_ID_CHECK) { /* nobody waits for its answer any more */
		sweep_tag(su->sweep, p->tag, 0, SWEEP_LATER);
		return;
	}
	if (core == NULL || !instance_spec(inst)->treekill || is_a_run(su, p->tag))
		return;
	if (core->tag != p->tag || !life_has_process(&core->life))
		sweep_tag(su->sweep, p->tag, 0, SWEEP_LATER);
}

void restore_sweep(struct super *su)
{
	struct pm_error err;

	if (tree_walk(su->home_nonce, false, sweep_one, su, &err) < 0)
		super_degraded(su, "adoption", err.what);
}

bool restore_is_unheard(const struct instance *inst)
{
	enum life_state state = instance_core(inst)->life.state;

	return instance_process(inst) == NULL && (state == LIFE_SPAWNING || state == LIFE_ABORTING);
}

static struct instance *find_unheard(struct super *su, uint64_t tag)
{
	for (struct app *app = su->apps; app != NULL; app = app->next)
		for (size_t i = 0; i < app_n_all(app); i++)
			if (restore_is_unheard(app_any(app, i)) &&
			    (tag == 0 || instance_core(app_any(app, i))->tag == tag))
				return app_any(app, i);
	return NULL;
}

int restore_adopt_unheard(struct super *su, struct pm_error *err)
{
	struct orphans orphans = { 0 };
	int rc = 0;

	if (find_unheard(su, 0) == NULL)
		return 0;
	rc = tree_walk(su->home_nonce, true, restore_note_orphan, &orphans, err);
	for (size_t i = 0; rc >= 0 && i < orphans.n; i++) {
		struct instance *inst = find_unheard(su, orphans.list[i].tag);
		struct pm_error why;

		if (inst != NULL && adopt_orphan(su, &orphans.list[i], inst, &why) < 0)
			kill_orphan(&orphans.list[i]); /* it is started again */
	}
	free(orphans.list);
	return rc < 0 ? -1 : 0;
}
