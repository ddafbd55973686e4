#include "agent/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/keeper.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/sample.h"
#include "agent/store.h"
#include "agent/tree.h"
#include "proto/log.h"
#include "proto/spec.h"

/* What the keeper told, until the apps are made from it. */
struct told {
	struct keeper_record r;
	int fds[KEEPER_FD_COUNT]; /* owned */
};

static struct {
	struct told *slots; /* owned */
	size_t n, cap;
	int arena, specs, listen; /* owned, -1 */
	bool failed;              /* out of memory while listening */
} told = { .arena = -1, .specs = -1, .listen = -1 };

void restore_slot(struct super *su, const struct keeper_record *r, const int fds[KEEPER_FD_COUNT])
{
	(void)su;
	if (told.n == told.cap) {
		size_t cap = told.cap == 0 ? 64 : told.cap * 2;
		struct told *more = pm_realloc(told.slots, cap * sizeof(*more));

		if (more == NULL) {
			told.failed = true;
			return;
		}
		told.slots = more;
		told.cap = cap;
	}
	told.slots[told.n].r = *r;
	memcpy(told.slots[told.n].fds, fds, sizeof(told.slots[0].fds));
	told.n++;
}

void restore_held(struct super *su, const char *name, int fd)
{
	int *place = strcmp(name, "arena") == 0    ? &told.arena
	             : strcmp(name, "specs") == 0  ? &told.specs
	             : strcmp(name, "listen") == 0 ? &told.listen
	                                           : NULL;

	(void)su;
	if (place == NULL) {
		pm_closep(&fd);
		return;
	}
	pm_closep(place);
	*place = fd;
}

int restore_take_listener(struct super *su)
{
	(void)su;
	return PM_STEAL_FD(told.listen);
}

/* ---- a former supervisor's apps ---- */

static int read_specs(int fd, struct state_set *set, struct pm_error *err)
{
	PM_FREE uint8_t *bytes = NULL;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > PM_STATE_MAX)
		return pm_fail(err, PM_CORRUPT, "the apps in memory");
	bytes = pm_calloc((size_t)st.st_size, 1);
	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "the apps in memory");
	n = pread(fd, bytes, (size_t)st.st_size, 0);
	if (n != st.st_size)
		return pm_fail(err, PM_CORRUPT, "the apps in memory");
	return state_decode(bytes, (size_t)n, set, err);
}

static int make_apps(struct super *su, const struct state_set *set, struct pm_error *err)
{
	struct app *app;

	for (size_t i = 0; i < set->n_apps; i++) {
		PM_SPEC *spec = NULL;

		if (spec_clone(set->apps[i]->spec, &spec, err) < 0 ||
		    app_create_empty(su, spec, set->apps[i]->serial, &app, err) < 0)
			return -1;
		spec = NULL; /* the app's */
	}
	su->next_pm_id = set->next_id;
	return 0;
}

static int make_instances(struct super *su, struct pm_error *err)
{
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++) {
		struct inst_record *record = arena_inst(su->arena, i);
		struct instance *inst;
		struct app *app;

		if (atomic_load_explicit(&record->used, memory_order_acquire) == 0)
			continue;
		app = app_find_serial(su, inst_core_get(record)->app_serial);
		if (app ==
		    NULL) { /* declared, but killed before the keeper had it: never started */
			arena_inst_free(su->arena, i);
			continue;
		}
		if (instance_adopt(app, i, &inst, err) < 0 ||
		    app_attach_instance(app, inst, err) < 0)
			return -1;
	}
	for (struct app *app = su->apps, *next; app != NULL; app = next) {
		next = app->next;
		if (app->n == 0)
			app_close(app, true);
	}
	return 0;
}

static struct instance *find_index(struct super *su, uint64_t index)
{
	for (struct app *app = su->apps; app != NULL; app = app->next)
		for (size_t i = 0; i < app->n; i++)
			if (instance_index(app->instances[i]) == index)
				return app->instances[i];
	return NULL;
}

static void close_fds(struct told *t)
{
	for (size_t i = 0; i < KEEPER_FD_COUNT; i++)
		pm_closep(&t->fds[i]);
}

/* A slot that no instance claims: kill what lives in it, let the keeper forget it. */
static void drop_slot(struct super *su, struct told *t)
{
	struct pm_error err;
	int n;

	if (t->r.state == KEEPER_SLOT_ALIVE && t->r.tag != 0 &&
	    tree_signal(t->r.tag, t->r.pid, SIGKILL, &n, &err) < 0)
		pm_log(PM_LOG_WARN, "restore.drop", "%s", err.what);
	pm_log(PM_LOG_WARN, "restore.drop", "slot=%u pid=%d belongs to nothing", t->r.slot,
	       t->r.pid);
	close_fds(t);
	if (t->r.state == KEEPER_SLOT_EXITED &&
	    keeper_client_release(su->keeper, t->r.slot, &err) < 0)
		pm_log(PM_LOG_WARN, "restore.drop", "%s", err.what);
}

static void give_slot(struct super *su, struct told *t)
{
	struct instance *inst = t->r.is_job != 0 ? NULL : find_index(su, t->r.user[0]);
	struct process *p = NULL;
	struct pm_error err;
	bool current;

	if (inst == NULL || instance_core(inst)->pm_id != t->r.user[1]) {
		drop_slot(su, t);
		return;
	}
	current = instance_process(inst) == NULL && t->r.tag == instance_core(inst)->tag &&
	          (instance_core(inst)->slot == t->r.slot ||
	           instance_core(inst)->life.state == LIFE_SPAWNING ||
	           instance_core(inst)->life.state == LIFE_ABORTING);
	if (process_adopt(su, inst, &t->r, t->fds, &p, &err) < 0)
		pm_log(PM_LOG_ERROR, "restore.adopt", "%s", err.what);
	if (p == NULL)
		return;
	if (current) {
		instance_set_process(inst, p);
		return;
	}
	/* Its end was dealt with, but not all of its output. */
	if (t->r.state == KEEPER_SLOT_EXITED)
		process_on_exited(p);
	process_let_go(p);
}

static int adopt_all(struct super *su, struct pm_error *err)
{
	struct state_set set = { 0 };
	int rc;

	if (arena_open(PM_STEAL_FD(told.arena), &su->arena, err) < 0)
		return -1;
	rc = read_specs(told.specs, &set, err);
	if (rc == 0)
		rc = make_apps(su, &set, err);
	state_set_finish(&set);
	if (rc < 0 || make_instances(su, err) < 0)
		return -1;
	for (size_t i = 0; i < told.n; i++)
		give_slot(su, &told.slots[i]);
	return 0;
}

/* ---- a first start: the state file, and processes that outlived keeper and supervisor both ----
 */

struct orphan {
	uint64_t tag;
	pid_t pid;
	uint64_t start_ticks;
};

struct orphans {
	struct orphan *list; /* owned */
	size_t n, cap;
};

/* The oldest process of each tag is the main one: descendants come later. */
static void note_orphan(void *arg, const struct tree_process *p)
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

/* Open the process's own end of a pipe again, as a reader or a writer. -1: not a pipe, or not ours.
 */
static int reopen(pid_t pid, int fd, int flags)
{
	char path[48];
	struct stat st;
	int ours;

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
	const uint64_t user[4] = { instance_index(inst), instance_core(inst)->pm_id, 0, 0 };
	struct process *p = NULL;
	int fds[KEEPER_FD_COUNT];

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
	if (process_adopt(su, inst, &r, fds, &p, err) < 0)
		pm_log(PM_LOG_ERROR, "restore.adopt", "%s", err->what);
	if (p == NULL)
		return -1;
	instance_set_process(inst, p);
	instance_set_up(inst);
	pm_log(PM_LOG_INFO, "restore.adopt", "app=%s pm_id=%u pid=%d", instance_spec(inst)->name,
	       instance_core(inst)->pm_id, o->pid);
	return 0;
}

static int adopt_orphans(struct super *su, struct pm_error *err)
{
	struct orphans orphans = { 0 };
	int rc = tree_walk(su->home_nonce, true, note_orphan, &orphans, err);

	for (size_t i = 0; rc >= 0 && i < orphans.n; i++) {
		struct instance *inst = super_find_id(su, tree_tag_pm_id(orphans.list[i].tag));
		struct pm_error why;

		if (inst == NULL || instance_process(inst) != NULL ||
		    adopt_orphan(su, &orphans.list[i], inst, &why) < 0)
			kill_orphan(&orphans.list[i]);
		else
			(void)instance_take_wanted(inst); /* it runs */
	}
	free(orphans.list);
	return rc < 0 ? -1 : 0;
}

static int start_fresh(struct super *su, struct pm_error *err)
{
	struct state_load_report report = { 0 };
	struct state_set set = { 0 };
	struct pm_error damage;

	if (arena_create(&su->arena, err) < 0 ||
	    keeper_client_hold(su->keeper, "arena", arena_fd(su->arena), err) < 0)
		return -1;
	if (state_load(su->home, STATE_AUTOSAVE, &set, &report, &damage) < 0)
		super_degraded(su, "state", damage.what);
	else if (report.words[0] != '\0')
		super_degraded(su, "state", report.words);
	if (store_restore(su, &set, err) < 0) {
		state_set_finish(&set);
		return -1;
	}
	state_set_finish(&set);
	if (adopt_orphans(su, &damage) < 0)
		super_degraded(su, "adoption", damage.what);
	return 0;
}

int restore_apps(struct super *su, struct pm_error *err)
{
	if (told.failed)
		return pm_fail(err, PM_NO_MEMORY, "adopt the processes");
	if (told.arena >= 0 && told.specs >= 0)
		return adopt_all(su, err);
	if (told.arena >= 0 && told.n == 0)
		pm_closep(&told.arena); /* a supervisor that died before its first app */
	return start_fresh(su, err);
}

/* ---- going on ---- */

static void resume_all(struct super *su)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (super_instances(su, &list, &n, &err) < 0) {
		super_degraded(su, "adoption", err.what);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct inst_core *core = instance_core(list[i]);

		if (instance_process(list[i]) == NULL && core->slot != SLOT_NONE &&
		    life_has_process(&core->life) && core->life.state != LIFE_SPAWNING)
			instance_on_lost(list[i]);
		else
			instance_resume(list[i]);
	}
	/* Exits that a former supervisor did not get to. */
	for (size_t i = 0; i < told.n; i++) {
		struct process *p = su->processes[told.slots[i].r.slot];

		if (told.slots[i].r.state == KEEPER_SLOT_EXITED && p != NULL && p->inst != NULL &&
		    !p->exited)
			instance_on_exited(p->inst, &told.slots[i].r);
	}
}

static void start_wanted(struct super *su)
{
	const struct order_config config = { .su = su };
	struct pm_error err;
	struct order *o;

	if (order_create(&config, &o, &err) < 0 || super_start_wanted(su, o, &err) < 0) {
		super_degraded(su, "restore", err.what);
		return;
	}
	order_run(o);
}

void restore_resume(struct super *su)
{
	resume_all(su);
	start_wanted(su);
	pm_closep(&told.arena);
	pm_closep(&told.specs);
	free(PM_STEAL(told.slots));
	told.n = told.cap = 0;
}

/* ---- the keeper has died ---- */

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
	r->tag = p->tag;
	r->spawn_boot_ms = (int64_t)pm_now_ms();
	r->exit_boot_ms = r->spawn_boot_ms;
	if (p->inst != NULL) {
		r->user[0] = instance_index(p->inst);
		r->user[1] = instance_core(p->inst)->pm_id;
		r->spawn_boot_ms = (int64_t)instance_core(p->inst)->started_ms;
	}
	memcpy(out->fds, p->fds, sizeof(out->fds));
	out->fds[KEEPER_FD_PIDFD] = p->pidfd;
	out->fds[KEEPER_FD_STDIN] = p->stdin_fd;
	for (size_t i = 0; i < KEEPER_FD_COUNT; i++)
		if (out->fds[i] >= 0)
			r->fd_mask |= 1u << i;
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
