#include "agent/restore_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/cluster.h"
#include "agent/notify_socket.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/reload.h"
#include "agent/sample.h"
#include "agent/store.h"
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
	bool stop, kill;          /* of the whole agent: was under way */
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

	told.stop |= strcmp(name, SUPER_HELD_STOP) == 0;
	told.kill |= strcmp(name, SUPER_HELD_KILL) == 0;
	if (strcmp(name, NOTIFY_SOCKET_HELD) == 0) {
		notify_socket_restore(su, fd);
		return;
	}
	if (place == NULL) {
		if (!cluster_restore_held(name, fd))
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

/* A reload that came with other settings had not been settled. */
static int take_former(struct app *app, const Pm__SavedApp *saved, struct pm_error *err)
{
	app->spec_no = saved->spec_no;
	if (saved->former == NULL)
		return 0;
	return spec_clone(saved->former, &app->former, err) < 0 ||
	                       spec_hash_make(app->former, &app->former_hash, err) < 0
	               ? -1
	               : 0;
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
		app_freeze_spec(app);
		if (take_former(app, set->apps[i], err) < 0)
			return -1;
	}
	su->next_pm_id = set->next_id;
	return 0;
}

static const Pm__SavedInstance *find_saved(const struct state_set *set,
                                           const struct inst_core *core)
{
	for (size_t i = 0; i < set->n_apps; i++) {
		const Pm__SavedApp *app = set->apps[i];

		for (size_t k = 0; app->serial == core->app_serial && k < app->n_instances; k++)
			if (app->instances[k]->pm_id == core->pm_id)
				return app->instances[k];
	}
	return NULL;
}

/*
 * What was declared and never started: its start goes on if the keeper had been told of the order,
 * and it is forgotten if not, because then nobody has done anything yet. Returns whether it stays.
 */
static bool keep_new(struct instance *inst, const struct state_set *set)
{
	const Pm__SavedInstance *saved;

	if (!instance_never_ran(inst))
		return true;
	saved = find_saved(set, instance_core(inst));
	if (saved != NULL && saved->wanted)
		instance_intend(inst);
	return saved != NULL;
}

/* A supervisor that died between the two halves of a swap left two that commands would see: the
 * later one is it. */
static int hide_replaced(struct app *app, struct pm_error *err)
{
	for (size_t i = 0; i + 1 < app->n;) {
		struct instance *a = app->instances[i], *b = app->instances[i + 1];
		bool first;

		if (instance_core(a)->pm_id != instance_core(b)->pm_id) {
			i++;
			continue;
		}
		first = instance_core(a)->spawns < instance_core(b)->spawns;
		instance_set_replaced(first ? a : b);
		if (app_hide(app, first ? a : b, err) < 0)
			return -1;
	}
	return 0;
}

static int make_instances(struct super *su, const struct state_set *set, struct pm_error *err)
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
		if (instance_adopt(app, i, &inst, err) < 0)
			return -1;
		if (instance_core(inst)->role != ROLE_NORMAL) {
			/* A successor that was never started is not missed. */
			if (instance_never_ran(inst))
				instance_close(inst, true);
			else if (app_add_hidden(app, inst, err) < 0)
				return -1;
		} else if (!keep_new(inst, set)) {
			instance_close(inst, true);
		} else if (app_attach_instance(app, inst, err) < 0) {
			return -1;
		}
	}
	for (struct app *app = su->apps; app != NULL; app = app->next)
		if (hide_replaced(app, err) < 0)
			return -1;
	for (struct app *app = su->apps, *next; app != NULL; app = next) {
		next = app->next;
		if (app_n_all(app) == 0)
			app_close(app, true);
	}
	return 0;
}

static struct instance *find_index(struct super *su, uint64_t index)
{
	return index < PM_SLOTS_MAX ? su->lookup.by_index[index] : NULL;
}

static void close_fds(struct told *t)
{
	for (size_t i = 0; i < KEEPER_FD_COUNT; i++)
		pm_closep(&t->fds[i]);
}

static void release_slot(struct super *su, uint32_t slot)
{
	struct pm_error err;

	if (keeper_client_release(su->keeper, slot, &err) < 0)
		pm_log(PM_LOG_WARN, "restore.drop", "%s", err.what);
}

/* A slot that no instance claims: kill what lives in it, let the keeper forget it, now or when it
 * is gone. */
static void drop_slot(struct super *su, struct told *t)
{
	struct pm_error err;
	int n;

	if (t->r.is_job == 0)
		pm_log(PM_LOG_WARN, "restore.drop", "slot=%u pid=%d belongs to nothing", t->r.slot,
		       t->r.pid);
	if (t->r.state == KEEPER_SLOT_ALIVE) {
		su->strays[t->r.slot] = true;
		if (t->r.tag != 0 && tree_signal(t->r.tag, t->r.pid, SIGKILL, &n, &err) < 0)
			pm_log(PM_LOG_WARN, "restore.drop", "%s", err.what);
		if (t->fds[KEEPER_FD_PIDFD] >= 0)
			(void)syscall(SYS_pidfd_send_signal, t->fds[KEEPER_FD_PIDFD], SIGKILL, NULL,
			              0); /* gone: its exit comes */
	}
	close_fds(t);
	if (t->r.state == KEEPER_SLOT_EXITED)
		release_slot(su, t->r.slot);
}

void restore_stray_exited(struct super *su, uint32_t slot)
{
	su->strays[slot] = false;
	release_slot(su, slot);
}

/* Which run of its instance it is. The tag itself may be missing: see struct process. */
static uint64_t run_of(const struct keeper_record *r)
{
	return r->user[2] != 0 ? r->user[2] : r->tag;
}

/* One that was replaced or let go is forgotten when it has ended, and what it wrote at the end
 * still goes where it would have. user[3] is 0 in records of older versions. */
static struct instance *find_owner(struct super *su, const struct keeper_record *r)
{
	struct instance *inst = find_index(su, r->user[0]);
	struct app *app;

	if (inst != NULL && instance_core(inst)->pm_id == r->user[1] &&
	    (r->user[3] == 0 || instance_core(inst)->app_serial == r->user[3]))
		return inst;
	app = r->user[3] == 0 || r->state != KEEPER_SLOT_EXITED
	              ? NULL
	              : app_find_serial(su, (uint32_t)r->user[3]);
	if (app == NULL || app->n == 0)
		return NULL;
	inst = app_find_shown(app, (uint32_t)r->user[1]);
	return inst != NULL ? inst : app->instances[0];
}

static void give_slot(struct super *su, struct told *t)
{
	struct instance *inst = t->r.is_job != 0 ? NULL : find_owner(su, &t->r);
	struct process *p = NULL;
	struct pm_error err;
	bool current;

	if (inst == NULL) {
		drop_slot(su, t);
		return;
	}
	current = instance_process(inst) == NULL && run_of(&t->r) == instance_core(inst)->tag &&
	          (instance_core(inst)->slot == t->r.slot ||
	           instance_core(inst)->life.state == LIFE_SPAWNING ||
	           instance_core(inst)->life.state == LIFE_ABORTING);
	if (process_adopt(su, inst, &t->r, t->fds, &p, &err) < 0)
		super_degraded(su, "adoption", err.what);
	if (p == NULL) {
		close_fds(t);
		return;
	}
	if (current) {
		instance_set_process(inst, p);
		return;
	}
	/* Its end was dealt with, but not all of its output. */
	if (t->r.state == KEEPER_SLOT_EXITED)
		process_on_exited(p);
	process_let_go(p);
}

/* ---- a successor ---- */

static int adopt_all(struct super *su, struct pm_error *err)
{
	struct state_set set = { 0 };
	int rc;

	if (arena_open(PM_STEAL_FD(told.arena), &su->arena, err) < 0)
		return -1;
	rc = read_specs(told.specs, &set, err);
	if (rc == 0)
		rc = make_apps(su, &set, err);
	if (rc == 0)
		rc = make_instances(su, &set, err);
	state_set_finish(&set);
	if (rc < 0)
		return -1;
	cluster_restored(su);
	for (size_t i = 0; i < told.n; i++)
		give_slot(su, &told.slots[i]);
	if (restore_adopt_unheard(su, err) < 0)
		return -1;
	restore_sweep(su);
	return 0;
}

/* ---- a first start ---- */

/* The last commanded state, or why it cannot be had: then nothing overwrites what is there. */
static bool load_state(struct super *su, struct state_set *set)
{
	struct state_load_report report = { 0 };
	char words[PM_PATH_MAX + 64];
	struct pm_error why, err;

	if (state_load(su->home, STATE_AUTOSAVE, set, &report, &why) == 0) {
		if (report.words[0] != '\0')
			super_degraded(su, "restore", report.words);
		return true;
	}
	if (why.code == PM_CORRUPT &&
	    state_put_aside(su->home, STATE_AUTOSAVE, words, sizeof(words), &err) == 0) {
		super_degraded(su, "restore", words);
		return false;
	}
	super_degraded(su, "restore", why.what);
	super_degraded(su, "state",
	               "not saved: what is on disk could not be read and is left alone");
	store_hands_off(su->store);
	return false;
}

/* The keeper has a process, and the memory that went with it is lost: the saved state tells what it
 * is. */
static void take_slot(struct super *su, struct told *t, bool loaded)
{
	struct instance *inst = t->r.is_job != 0 ? NULL : super_find_id(su, (uint32_t)t->r.user[1]);
	struct process *p = NULL;
	struct pm_error err;

	if (t->r.state != KEEPER_SLOT_ALIVE || (loaded && inst == NULL) ||
	    (inst != NULL && cluster_can_share(instance_spec(inst))) || /* which sockets has it? */
	    (inst != NULL && instance_process(inst) != NULL)) {
		drop_slot(su, t);
		return;
	}
	if (inst == NULL) {
		su->strays[t->r.slot] = true; /* it runs on; see restore_leave_orphans() */
		close_fds(t);
		return;
	}
	/* Of what lies in the stages nobody knows how much is in the files. */
	pm_closep(&t->fds[KEEPER_FD_OUT_STAGE]);
	pm_closep(&t->fds[KEEPER_FD_ERR_STAGE]);
	if (process_adopt(su, inst, &t->r, t->fds, &p, &err) < 0)
		super_degraded(su, "adoption", err.what);
	if (p == NULL) {
		close_fds(t);
		return;
	}
	instance_set_process(inst, p);
	instance_set_up(inst);
	(void)instance_take_wanted(inst); /* it runs */
}

static int start_fresh(struct super *su, struct pm_error *err)
{
	struct state_set set = { 0 };
	struct pm_error damage;
	bool loaded;
	int rc;

	if (arena_create(&su->arena, err) < 0 ||
	    keeper_client_hold(su->keeper, "arena", arena_fd(su->arena), err) < 0)
		return -1;
	loaded = load_state(su, &set);
	rc = store_restore(su, &set, err);
	state_set_finish(&set);
	if (rc < 0)
		return -1;
	store_changed(su->store);
	store_publish(su->store); /* from here on a successor adopts from memory */
	cluster_restored(su);
	for (size_t i = 0; i < told.n; i++)
		take_slot(su, &told.slots[i], loaded);
	if (!loaded)
		restore_leave_orphans(su);
	else if (restore_adopt_orphans(su, &damage) < 0)
		super_degraded(su, "adoption", damage.what);
	return 0;
}

int restore_apps(struct super *su, struct pm_error *err)
{
	if (told.failed)
		return pm_fail(err, PM_NO_MEMORY, "adopt the processes");
	if (told.arena >= 0 && told.specs >= 0) {
		if (adopt_all(su, err) < 0)
			return -1;
		/* Until something changes it is ours to hand to a keeper that we would become. */
		store_take_specs(su->store, PM_STEAL_FD(told.specs));
		return 0;
	}
	pm_closep(&told.arena); /* of a supervisor that died before its first app */
	return start_fresh(su, err);
}

/* ---- going on ---- */

static void resume_instance(struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);

	if (instance_process(inst) == NULL && core->slot != SLOT_NONE &&
	    life_has_process(&core->life) && !restore_is_unheard(inst))
		instance_on_lost(inst);
	else
		instance_resume(inst);
}

static void resume_all(struct super *su)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (super_instances(su, &list, &n, &err) < 0) {
		super_degraded(su, "adoption", err.what);
		return;
	}
	/* First whose place they take, or took: what happens to either is then the reload's. */
	for (struct app *app = su->apps, *next; app != NULL; app = next) {
		next = app->next;
		reload_resume(app);
	}
	for (size_t i = 0; i < n; i++)
		resume_instance(list[i]);
	for (struct app *app = su->apps, *next; app != NULL; app = next) {
		next = app->next;
		for (size_t i = app->n_hidden; i > 0; i--)
			if (i <= app->n_hidden)
				resume_instance(app->hidden[i - 1]);
	}
	/* Exits that a former supervisor did not get to. */
	for (size_t i = 0; i < told.n; i++) {
		const struct keeper_record *r = &told.slots[i].r;
		struct process *p = su->processes[r->slot];

		if (r->state != KEEPER_SLOT_EXITED || p == NULL || p->inst == NULL || p->exited ||
		    p->pid != r->pid)
			continue;
		if (instance_core(p->inst)->heirs != 0)
			process_on_exited(p); /* that one was dealt with: its heirs are the app */
		else
			instance_on_exited(p->inst, r);
	}
}

static void start_wanted(struct super *su)
{
	const struct order_config config = { .su = su, .settle = true };
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
	if (told.kill)
		super_kill_on(su);
	else if (told.stop)
		super_stop(su);
	else
		start_wanted(su);
	for (struct app *app = su->apps; app != NULL; app = app->next)
		(void)app_settle_spec(app); /* or when its reload is over */
	pm_closep(&told.arena);
	pm_closep(&told.specs);
	free(PM_STEAL(told.slots));
	told.n = told.cap = 0;
}
