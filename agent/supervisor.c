#include "agent/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/api.h"
#include "agent/app.h"
#include "agent/app_deps.h"
#include "agent/history.h"
#include "agent/job.h"
#include "agent/keeper.h"
#include "agent/liaison.h"
#include "agent/notify.h"
#include "agent/notify_socket.h"
#include "agent/order.h"
#include "agent/own_log.h"
#include "agent/process.h"
#include "agent/restore.h"
#include "agent/sample.h"
#include "agent/store.h"
#include "agent/super.h"
#include "agent/sweep.h"
#include "agent/tree.h"
#include "agent/tree_scan.h"
#include "agent/triggers.h"
#include "agent/upgrade.h"
#include "proto/failpoint.h"
#include "proto/log.h"
#include "proto/paths.h"

/* Time for the last answers to reach their readers. */
#define GOODBYE_MS   20
#define JOB_ARGS_MAX 8
/* Longest wait for the keeper to take what must outlive us. */
#define HOLD_WAIT_MS 1000

static struct {
	struct super su;
	uv_signal_t signals[5];
	uv_timer_t watchdog, goodbye;
	int low_fd; /* keeps a low number for the control socket's use */
	uv_check_t turn;
} me; /* one a process */

/* ---- shared by the parts (super.h) ---- */

void super_degraded(struct super *su, const char *what, const char *words)
{
	size_t len = strlen(what), at = DEGRADED_MAX;
	char text[200];

	for (size_t i = 0; i < DEGRADED_MAX; i++)
		if (su->degraded[i] != NULL && strncmp(su->degraded[i], what, len) == 0 &&
		    su->degraded[i][len] == ':')
			at = i;
	if (words == NULL) {
		if (at < DEGRADED_MAX) {
			pm_log(PM_LOG_INFO, "agent.recovered", "%s", what);
			free(PM_STEAL(su->degraded[at]));
		}
		return;
	}
	for (size_t i = 0; i < DEGRADED_MAX && at == DEGRADED_MAX; i++)
		if (su->degraded[i] == NULL)
			at = i;
	(void)snprintf(text, sizeof(text), "%s: %.150s", what, words);
	if (at == DEGRADED_MAX || (su->degraded[at] != NULL && strcmp(su->degraded[at], text) == 0))
		return;
	pm_log(PM_LOG_ERROR, "agent.degraded", "%s", text);
	free(su->degraded[at]);
	su->degraded[at] = pm_strdup(text);
}

bool super_program(char out[PM_PATH_MAX])
{
	static const char deleted[] = " (deleted)"; /* replaced on disk since */
	ssize_t n = readlink("/proc/self/exe", out, PM_PATH_MAX - 1);

	if (n <= 0)
		return false;
	out[n] = '\0';
	if (n > (ssize_t)strlen(deleted) && strcmp(out + n - strlen(deleted), deleted) == 0)
		out[n - (ssize_t)strlen(deleted)] = '\0';
	return true;
}

uint32_t super_free_slot(struct super *su)
{
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++) {
		uint32_t slot = (su->next_slot + i) % PM_SLOTS_MAX;

		if (su->processes[slot] != NULL || su->strays[slot] || job_has_slot(su, slot))
			continue;
		su->next_slot = slot + 1;
		return slot;
	}
	return SLOT_NONE;
}

void super_on_message(struct super *su, struct instance *inst, const char *line, size_t len)
{
	(void)su;
	pm_log(PM_LOG_DEBUG, "instance.message", "app=%s pm_id=%u bytes=%zu %.80s",
	       instance_spec(inst)->name, instance_core(inst)->pm_id, len, line);
}

int super_start_wanted(struct super *su, struct order *o, struct pm_error *err)
{
	for (struct app *app = su->apps; app != NULL; app = app->next) {
		for (size_t i = 0; i < app->n; i++)
			if (instance_take_wanted(app->instances[i]) &&
			    order_add(o, app->instances[i], EV_START, CAUSE_RESURRECT, false, err) <
			            0)
				return -1;
		app_refresh_triggers(app);
	}
	sample_refresh(su->sampler);
	return 0;
}

/* ---- the end ---- */

static void on_goodbye(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void leave(struct super *su)
{
	if (uv_is_active((uv_handle_t *)&me.goodbye))
		return;
	control_goodbye(su->control,
	                su->quitting ? "the agent is being upgraded" : "the agent stops", 0);
	(void)uv_timer_start(&me.goodbye, on_goodbye, GOODBYE_MS, 0);
}

/* Something of this wave, or one above it, is still there. */
static bool wave_is_left(const struct super *su)
{
	for (const struct app *app = su->apps; app != NULL; app = app->next)
		for (size_t i = 0; i < app_n_all(app) && app->wave >= su->stop_wave; i++)
			if (su->killing || life_has_process(&instance_core(app_any(app, i))->life))
				return true;
	return false;
}

/* Those that finish what they have while their app is scaled down: they have had their time. */
static void order_hidden(struct super *su)
{
	static const struct instance_order end = { .event = EV_DELETE,
		                                   .cause = CAUSE_SHUTDOWN,
		                                   .who = "agent" };

	for (struct app *app = su->apps, *next; app != NULL; app = next) {
		next = app->next;
		for (size_t i = app->n_hidden; i > 0 && app->wave == su->stop_wave; i--)
			if (i <= app->n_hidden)
				instance_give_order(app->hidden[i - 1], &end);
	}
}

static void order_wave(struct super *su)
{
	PM_FREE struct instance **list = NULL;
	const struct instance_order order = {
		.event = su->killing ? EV_DELETE : EV_STOP,
		.cause = su->killing ? CAUSE_DELETE : CAUSE_SHUTDOWN,
		.uid = 0,
		.who = "agent",
	};
	struct pm_error err;
	size_t n;

	if (super_instances(su, &list, &n, &err) < 0) {
		pm_log(PM_LOG_ERROR, "agent.stop", "%s", err.what);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (instance_app(list[i])->wave == su->stop_wave)
			instance_give_order(list[i], &order);
	order_hidden(su);
}

static void on_empty_saved(void *arg)
{
	Pm__Result result = PM__RESULT__INIT;
	static char words[] = "stopped";
	struct super *su = arg;

	if (su->kill_session != NULL) {
		result.text = words;
		session_reply_result(su->kill_session, su->kill_id, &result);
		session_unref(PM_STEAL(su->kill_session));
	}
	leave(su);
}

void super_stop_check(struct super *su)
{
	if (!su->stopping || su->ended || su->stop_checking)
		return;
	su->stop_checking = true;
	while (!wave_is_left(su) && su->stop_wave > 0) {
		su->stop_wave--;
		order_wave(su);
	}
	su->stop_checking = false;
	if (wave_is_left(su))
		return;
	su->ended = true;
	store_when_saved(su->store, on_empty_saved, su);
}

/* Those that nobody depends on end first. */
static void begin_stop(struct super *su)
{
	su->stop_wave = app_deps_waves(su);
	su->stop_checking = true;
	order_wave(su);
	su->stop_checking = false;
	super_stop_check(su);
}

/* Who comes after us, if we or the keeper die now, goes on with it. Which
 * descriptor it is means nothing. */
static void tell_successor(struct super *su, const char *name)
{
	struct pm_error err;

	if (keeper_client_hold(su->keeper, name, arena_fd(su->arena), &err) < 0)
		pm_log(PM_LOG_WARN, "agent.stop", "%s", err.what);
}

void super_stop(struct super *su)
{
	if (su->stopping)
		return;
	pm_log(PM_LOG_INFO, "agent.stop", "stopping all apps");
	(void)notify_send("STOPPING=1"); /* nobody asked: fine */
	store_freeze(su->store);         /* what runs now is what the next start brings back */
	su->stopping = true;
	tell_successor(su, SUPER_HELD_STOP);
	for (struct app *app = su->apps; app != NULL; app = app->next)
		triggers_stop(app);
	begin_stop(su);
}

void super_kill_on(struct super *su)
{
	(void)notify_send("STOPPING=1"); /* nobody asked: fine */
	su->stopping = su->killing = true;
	tell_successor(su, SUPER_HELD_KILL);
	begin_stop(su);
}

void super_kill_all(struct super *su, struct session *s, uint64_t id)
{
	if (su->stopping) {
		struct pm_error err;

		(void)(pm_fail(&err, PM_LOCKED, "the agent is stopping already") <
		       0); /* the reply */
		session_reply_error(s, id, &err);
		return;
	}
	pm_log(PM_LOG_INFO, "agent.kill", "by uid %u", (unsigned)session_uid(s));
	su->kill_session = session_ref(s);
	su->kill_id = id;
	super_kill_on(su);
}

/* ---- the keeper's words ---- */

static void on_slot(void *arg, const struct keeper_record *r, const int fds[KEEPER_FD_COUNT])
{
	restore_slot(arg, r, fds);
}

static void on_held(void *arg, const char *name, int fd)
{
	restore_held(arg, name, fd);
}

static void on_spawned(void *arg, const struct keeper_record *r, int pidfd)
{
	struct super *su = arg;
	struct process *p = r->slot < PM_SLOTS_MAX ? su->processes[r->slot] : NULL;
	struct instance *inst;

	if (job_on_spawned(su, r, pidfd))
		return;
	if (p == NULL) {
		pm_closep(&pidfd);
		return;
	}
	inst = p->inst;
	process_on_spawned(p, r, pidfd);
	if (inst != NULL)
		instance_on_spawned(inst, r);
}

static void on_exited(void *arg, const struct keeper_record *r)
{
	struct super *su = arg;
	struct process *p = r->slot < PM_SLOTS_MAX ? su->processes[r->slot] : NULL;

	if (job_on_exited(su, r) || r->slot >= PM_SLOTS_MAX)
		return;
	if (p == NULL) {
		restore_stray_exited(su, r->slot);
		return;
	}
	if (p->inst != NULL) {
		instance_on_exited(p->inst, r);
		return;
	}
	process_on_exited(p);
	process_let_go(p);
}

static void on_note(void *arg, const char *text)
{
	struct super *su = arg;

	pm_log(PM_LOG_INFO, "agent.upgrade", "%s", text);
	keeper_promote_note(""); /* the keeper that was asked lives */
	(void)snprintf(su->upgrade_note, sizeof(su->upgrade_note), "%s", text);
}

static void on_quit(void *arg)
{
	struct super *su = arg;

	su->quitting = true;
	leave(su);
}

static void on_lost(void *arg)
{
	struct super *su = arg;

	restore_promote(
		su); /* returns only when it fails: then systemd or the next command starts anew */
	pm_log(PM_LOG_ERROR, "agent.keeper", "the keeper is gone and could not be replaced");
	uv_stop(su->loop);
}

/* ---- log hooks ---- */

static void hook_hold(void *arg, uint32_t slot, enum keeper_fd role, int fd)
{
	struct super *su = arg;
	struct pm_error err;

	if (su->processes[slot] != NULL)
		su->processes[slot]->fds[role] = fd;
	if (keeper_client_slot_hold(su->keeper, slot, role, fd, &err) < 0)
		pm_log(PM_LOG_ERROR, "logs.hold", "slot=%u %s", slot, err.what);
	/* Before any output goes into it. During a mass start many spawns stand before it. */
	keeper_client_flush(su->keeper, HOLD_WAIT_MS);
}

static int hook_run_job(void *arg, const char *const argv[], void (*done)(void *, int),
                        void *done_arg)
{
	const char *whole[JOB_ARGS_MAX + 1] = { "pmd" };
	char path[PM_PATH_MAX];
	struct pm_error err;

	for (size_t i = 0; argv[i] != NULL && i + 1 < JOB_ARGS_MAX; i++)
		whole[i + 1] = argv[i];
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)getpid());
	if (job_run(arg, path, whole, 0, done, done_arg, &err) == 0)
		return 0;
	pm_log(PM_LOG_WARN, "logs.job", "%s", err.what);
	return -1;
}

static void hook_degraded(void *arg, const char *what, const char *words)
{
	super_degraded(arg, what, words);
}

/* ---- start ---- */

static void on_signal(uv_signal_t *handle, int signum)
{
	struct super *su = handle->data;
	struct pm_error err;

	switch (signum) {
	case SIGUSR2:
		logs_reopen(su->logs);
		break;
	case SIGHUP:
		if (upgrade_start(su, NULL, 0, "", &err) < 0)
			pm_log(PM_LOG_ERROR, "agent.upgrade", "%s", err.what);
		break;
	default:
		super_stop(su);
	}
}

static void on_watchdog(uv_timer_t *timer)
{
	struct super *su = timer->data;
	struct pm_error err;

	/* From the loop, so that a stuck one is noticed. */
	if (keeper_client_alive(su->keeper, &err) < 0)
		pm_log(PM_LOG_WARN, "agent.watchdog", "%s", err.what);
}

/* Before timers and events of the next turn: what /proc said in this one is old. */
static void on_turn(uv_check_t *check)
{
	struct super *su = check->data;

	tree_scan_stale(su->scan);
}

static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE,
	                &limit); /* a lower one only means fewer apps, said when it is met */
}

static void start_signals(struct super *su)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR2 };
	uint64_t watchdog_ms = notify_watchdog_ms();

	for (size_t i = 0; i < PM_COUNT(signals); i++) {
		(void)uv_signal_init(su->loop, &me.signals[i]); /* fails only without descriptors */
		me.signals[i].data = su;
		(void)uv_signal_start(&me.signals[i], on_signal, signals[i]);
	}
	(void)uv_timer_init(su->loop, &me.goodbye); /* never fails, as the next ones */
	(void)uv_check_init(su->loop, &me.turn);
	me.turn.data = su;
	(void)uv_check_start(&me.turn, on_turn);
	(void)uv_timer_init(su->loop, &me.watchdog);
	me.watchdog.data = su;
	if (watchdog_ms != 0)
		(void)uv_timer_start(&me.watchdog, on_watchdog, watchdog_ms, watchdog_ms);
}

static int start_parts(struct super *su, int keeper_fd, struct pm_error *err)
{
	static const struct keeper_client_events events = {
		.on_slot = on_slot,
		.on_held = on_held,
		.on_spawned = on_spawned,
		.on_exited = on_exited,
		.on_note = on_note,
		.on_quit = on_quit,
		.on_lost = on_lost,
	};
	const struct logs_hooks hooks = {
		.arg = su,
		.hold = hook_hold,
		.run_job = hook_run_job,
		.degraded = hook_degraded,
	};

	if (keeper_client_create(su->loop, keeper_fd, &events, su, &su->keeper, err) < 0)
		return -1;
	if (tree_home_nonce(su->home, &su->home_nonce, err) < 0 ||
	    logs_create(su->loop, su->home, &hooks, &su->logs, err) < 0 ||
	    history_create(su, &su->history, err) < 0 || store_create(su, &su->store, err) < 0 ||
	    tree_scan_create(&su->scan, err) < 0 || sweep_create(su, &su->sweep, err) < 0 ||
	    sample_create(su, &su->sampler, err) < 0)
		return -1;
	if (keeper_client_adopt(su->keeper, &su->welcome, err) < 0)
		return pm_wrap(err, "adopt");
	return restore_apps(su, err);
}

static int start_control(struct super *su, struct pm_error *err)
{
	int fd = restore_take_listener(su);

	if (fd < 0) {
		fd = control_listen(su->home, err);
		if (fd < 0 || keeper_client_hold(su->keeper, "listen", fd, err) < 0)
			return -1;
	}
	/* So that the descriptor kept for refusals has a low number, which a limit lowered while we
	 * run leaves usable. */
	pm_closep(&me.low_fd);
	return control_create(su->loop, fd, &api_handlers, su, &su->control, err);
}

static void finish(struct super *su)
{
	struct pm_error err;

	liaison_close(su);
	job_abandon_all(su);
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++)
		if (su->processes[i] != NULL)
			process_abandon(su->processes[i]);
	notify_socket_close(su);
	store_close(su->store);
	history_close(su->history);
	logs_close(su->logs);
	if (su->ended && !su->quitting) {
		char path[PM_PATH_MAX + 16];

		if (pm_home_file(su->home, PM_HOME_SOCKET, path, sizeof(path), &err) == 0)
			(void)unlink(path); /* the next agent replaces a stale one anyway */
		if (keeper_client_stop(su->keeper, &err) < 0)
			pm_log(PM_LOG_ERROR, "agent.stop", "%s", err.what);
	}
	keeper_client_close(su->keeper);
}

int supervisor_run(const char *home, bool foreground, int keeper_fd, int lock_fd)
{
	struct super *su = &me.su;
	struct pm_error err;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ,
	             SIG_IGN); /* a file-size limit is an error of a write, not our death */
	(void)umask(0077);
	/* Large buffers go back to the system when they are freed, and workers share the one arena.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
	(void)mallopt(M_ARENA_MAX, 1);
	raise_nofile();
	me.low_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	su->loop = uv_default_loop();
	cgroup_find(&su->cgroup);
	su->foreground = foreground;
	su->lock_fd = lock_fd;
	su->check_serial = (uint32_t)pm_now_ms(); /* what a former one left has other tags */
	su->next_app_serial = 1; /* 0 is a record of the arena that was taken and not filled */
	su->pm2_home = agent_is_pm2();
	(void)snprintf(su->home, sizeof(su->home), "%s", home);
	if (own_log_open(home, su->pm2_home, "supervisor", foreground, &err) < 0)
		pm_log(PM_LOG_WARN, "agent.log", "%s", err.what);
	if (start_parts(su, keeper_fd, &err) < 0 || start_control(su, &err) < 0) {
		pm_log(PM_LOG_ERROR, "agent.start", "%s", err.what);
		return 1;
	}
	start_signals(su);
	if (keeper_client_ready(su->keeper, &err) < 0) {
		pm_log(PM_LOG_ERROR, "agent.start", "%s", err.what);
		return 1;
	}
	restore_resume(su);
	liaison_begin(su);
	(void)uv_run(su->loop, UV_RUN_DEFAULT);
	finish(su);
	return 0;
}
