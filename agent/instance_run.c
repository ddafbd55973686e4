#include "agent/instance_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/cluster.h"
#include "agent/events.h"
#include "agent/ipc.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/reload.h"
#include "agent/store.h"
#include "agent/sweep.h"
#include "agent/tree.h"
#include "agent/tree_scan.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* Heirs of a main process that ended by itself are looked at this often at most. */
#define HEIRS_POLL_MAX_MS 1000
/* Of a path in words about it. */
#define PATH_SHOWN 120

/* ---- signals and what is left of the tree ---- */

static bool main_is_alive(const struct instance *inst)
{
	return inst->process != NULL && !inst->process->exited && inst->process->pid != 0;
}

/* One write for all of it, where it has a group; the tags come after and find nothing. */
static void kill_cgroup(const struct process *p)
{
	char path[PATH_MAX];

	process_cgroup(p, path, sizeof(path));
	if (path[0] != '\0')
		(void)cgroup_kill(path); /* an older kernel: the tags do it */
}

/* Without tags (inside another agent's app, without privileges) its session's first group is what
 * can be found. The main process is not reaped yet, so the number is its. */
static int signal_group(struct instance *inst, int signal)
{
	if (signal != 0)
		(void)kill(-inst->core.pid, signal); /* gone: its exit comes */
	return 1;
}

/* Signal the tree, or the main process alone without treekill. Returns how many are left, about. */
static int signal_tree(struct instance *inst, int signal)
{
	bool alive = main_is_alive(inst);
	struct pm_error err;
	int n = 0;

	if (!instance_spec(inst)->treekill) {
		/* A stopped process must get to see it. */
		if (alive && signal != 0 &&
		    (process_signal(inst->process, signal, &err) < 0 ||
		     process_signal(inst->process, SIGCONT, &err) < 0))
			pm_log(PM_LOG_WARN, "instance.signal", "pm_id=%u %s", inst->core.pm_id,
			       err.what);
		return alive ? 1 : 0;
	}
	if (inst->core.tag == 0)
		return 0;
	if (signal == SIGKILL && inst->process != NULL)
		kill_cgroup(inst->process);
	if (alive && inst->process->untagged)
		return signal_group(inst, signal);
	if (tree_scan_signal(inst->su->scan, inst->core.tag,
	                     inst->core.pid != 0 ? inst->core.pid : inst->last_pid, alive, signal,
	                     &n, &err) < 0) {
		pm_log(PM_LOG_WARN, "instance.signal", "pm_id=%u %s", inst->core.pm_id, err.what);
		/* Out of descriptors: nobody knows, so it is not gone; it is looked at again. */
		return alive || err.code == PM_LIMIT || err.code == PM_NO_MEMORY;
	}
	return n;
}

static void finish_exit(struct instance *inst, const struct keeper_record *r);

/* The last heir of a main process that ended well has gone. */
static void finish_heirs(struct instance *inst, uint64_t at_ms)
{
	const struct keeper_record r = { .status_known = 1, .exit_boot_ms = (int64_t)at_ms };

	finish_exit(inst, &r);
}

/*
 * While ending: is anything left? Looks again after a while, sooner when the kill time-out is near.
 * The end of the main process is told by the keeper; only what it leaves is looked for.
 */
void inst_check_tree(struct instance *inst)
{
	uint64_t now = pm_now_ms(), wait = tree_scan_wait_ms(inst->su->scan);
	bool killing = inst->core.life.state == LIFE_KILLING;

	if (main_is_alive(inst) && !killing) {
		inst_arm(inst, inst->core.deadline_ms > now ? inst->core.deadline_ms - now : 1);
		return;
	}
	if (wait > 0 && inst->core.deadline_ms > now + wait) {
		inst_arm(inst, wait);
		return;
	}
	/* What forked while it was killed is killed now. */
	if (signal_tree(inst, killing ? SIGKILL : 0) == 0 && !main_is_alive(inst)) {
		if (inst->core.heirs != 0)
			finish_heirs(inst, now);
		inst->last_pid = 0;
		inst_step(inst, EV_TREE_GONE);
		return;
	}
	wait = inst->poll_ms;
	inst->poll_ms =
		PM_MIN(inst->poll_ms * 2, PM_MAX(instance_spec(inst)->kill_retry_ms, POLL_MIN_MS));
	if (inst->core.deadline_ms > now)
		wait = PM_MIN(wait, inst->core.deadline_ms - now);
	inst_arm(inst, wait);
}

void inst_begin_stop(struct instance *inst)
{
	const Pm__AppSpec *spec = instance_spec(inst);

	inst->poll_ms = POLL_MIN_MS;
	if (spec->shutdown_with_message && inst->process != NULL && inst->process->ipc != NULL &&
	    ipc_send(inst->process->ipc, "\"shutdown\"")) {
		inst_arm(inst, inst->poll_ms);
		return;
	}
	(void)signal_tree(inst, spec->kill_signal != 0 ? spec->kill_signal : SIGINT);
	inst_arm(inst, inst->poll_ms);
}

/*
 * Whether the process that has ended left some of its own group, as a shell does that started the
 * real program: a hint, since the number may be another's by now.
 */
static bool left_a_group(pid_t pid)
{
	return pid > 0 && (kill(-pid, 0) == 0 || errno == EPERM);
}

/*
 * What shares the group of the main process often holds what its next run needs, such as a port,
 * and goes before that is started. For the rest, mostly nothing, the walk of /proc is made once it
 * starts: it takes as long as an exec.
 */
void inst_kill_tree(struct instance *inst)
{
	inst->poll_ms = POLL_MIN_MS;
	if (life_is_ending(&inst->core.life))
		inst_check_tree(inst);
	else if (instance_spec(inst)->treekill && inst->core.tag != 0)
		sweep_tag(inst->su->sweep, inst->core.tag, inst->last_pid,
		          inst->core.life.state == LIFE_BACKOFF && !left_a_group(inst->last_pid)
		                  ? SWEEP_AFTER_START
		                  : SWEEP_NOW);
}

/* ---- spawn ---- */

/* No room for it now: it is tried again, and whoever ordered it hears so. */
static void hold(struct instance *inst, const char *why)
{
	char words[160];

	(void)snprintf(words, sizeof(words), "waiting: %.110s", why);
	inst_note(inst, words);
	inst_fail_words(inst, PM_FAILED, words, "it is tried again every second");
	inst_step(inst, EV_SPAWN_RETRY);
	if (inst->core.life.state == LIFE_HELD)
		inst_settle(inst, PM_FAILED, false);
}

void inst_prepare_spawn(struct instance *inst)
{
	inst->core.spawns = PM_MAX(inst->core.spawns, reload_spawns(inst)) + 1;
	inst->core.said = 0;
	free(PM_STEAL(inst->status));
	inst->core.slot = SLOT_NONE;
	inst->core.pid = 0;
	inst->core.heirs = 0;
	inst->core.started_ms = pm_now_ms();
	inst->core.started_wall_ms = pm_wall_ms();
	inst->again = inst->core.cause != CAUSE_NONE && inst->core.cause != CAUSE_START;
	inst->core.cause = CAUSE_NONE;
	inst->core.tag = tree_tag(inst->su->home_nonce, inst->core.pm_id, inst->core.spawns);
	inst_make_unique_id(inst->core.unique_id);
}

/* As PM2 tells it: each process that runs, and then whose doing that is; a crash is nobody's. */
static void tell_start(const struct instance *inst)
{
	if (inst->core.role != ROLE_NORMAL)
		return; /* told when it takes over */
	events_tell(inst->su, inst, "online", false);
	if (inst->again)
		events_tell(inst->su, inst, "restart", true);
	else if (inst->core.restarts == 0)
		events_tell(inst->su, inst, "start", true);
}

void inst_spawn(struct instance *inst)
{
	struct pm_error err;

	(void)PM_FAIL_POINT("instance.before_spawn");
	inst_note(inst, "");
	inst_remember_log_sizes(inst);
	/* Before it runs: whoever looks after us shall not take it for what ran before. */
	instance_set_hash(inst, app_hash_of(inst->app, inst->core.spec_no));
	events_started(inst->su, inst);
	if (process_spawn(inst, &inst->process, &err) < 0) {
		inst->process = NULL;
		if (err.code == PM_NOT_RUNNING)
			return; /* no keeper: whoever has its place next finds us asking, and asks
			         */
		inst_fail_words(inst, err.code, err.what, err.hint);
		inst_note(inst, err.what);
		inst_commit(inst);
		pm_log(PM_LOG_ERROR, "instance.spawn", "app=%s pm_id=%u %s",
		       instance_spec(inst)->name, inst->core.pm_id, err.what);
		if (err.code == PM_LIMIT || err.code == PM_NO_MEMORY)
			hold(inst, err.what);
		else
			inst_step(inst, EV_SPAWN_FAILED);
		return;
	}
	inst->core.slot = inst->process->slot;
	inst_commit(inst);
	(void)PM_FAIL_POINT("instance.after_spawn");
}

void inst_write_pid_file(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;
	char text[16];
	int fd, len;

	if (inst->core.role != ROLE_NORMAL || instance_log_names(inst, &names, &err) < 0)
		return;
	fd = open(names.pid, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
	          0600);
	if (fd < 0)
		return; /* for people and scripts only: nothing here reads it */
	len = snprintf(text, sizeof(text), "%d", inst->core.pid);
	if (write(fd, text, (size_t)len) < 0)
		pm_log(PM_LOG_WARN, "instance.pid_file", "%s: %s", names.pid, strerror(errno));
	(void)close(fd);
}

void inst_mend_pid_file(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;
	struct stat st;

	if (inst->core.role != ROLE_NORMAL || inst->core.pid <= 0 ||
	    instance_log_names(inst, &names, &err) < 0)
		return;
	if (lstat(names.pid, &st) < 0 ? errno == ENOENT : S_ISREG(st.st_mode) && st.st_size == 0)
		inst_write_pid_file(inst);
}

static void remove_pid_file(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;

	if (inst->core.role == ROLE_NORMAL && instance_log_names(inst, &names, &err) == 0)
		(void)unlink(names.pid); /* it may never have been written */
}

/* What is executed, and how to help it. */
static const char *exec_hint(const char *program, int error)
{
	switch (error) {
	case ENOEXEC:
		return "add a #! line, or set interpreter";
	case ENOENT:
		return access(program, F_OK) == 0 ? "the program of its #! line is missing" : "";
	case EACCES:
		return "chmod +x it, or set interpreter";
	case ETXTBSY:
		return "somebody has it open for writing";
	case E2BIG:
		return "its arguments and environment are too long";
	default:
		return "";
	}
}

/* What the keeper could not do, and to what. The end of a long path says more than its start. */
static void spawn_words(struct instance *inst, const struct keeper_record *r)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	bool direct = *spec->interpreter == '\0' || strcmp(spec->interpreter, "none") == 0;
	const char *what = "limits, nice or oom_score_adj", *name = "", *hint = "";
	char words[PATH_SHOWN + 100];
	size_t len;

	if (r->stage == SPAWN_STAGE_CWD) {
		what = "cwd ";
		name = spec->cwd;
	} else if (r->stage == SPAWN_STAGE_USER) {
		what = "uid ";
		name = spec->uid;
	} else if (r->stage == SPAWN_STAGE_GROUPS) {
		what = "gid ";
		name = spec->gid;
	} else if (r->stage != SPAWN_STAGE_LIMITS) {
		what = "exec ";
		name = direct ? spec->script : spec->interpreter;
		hint = exec_hint(name, r->error);
	}
	len = strlen(name);
	(void)snprintf(words, sizeof(words), "%s%s: %s", what,
	               len > PATH_SHOWN ? name + len - PATH_SHOWN : name, strerror(r->error));
	inst_fail_words(inst, PM_FAILED, words, hint);
	inst_note(inst, words);
}

void instance_on_spawned(struct instance *inst, const struct keeper_record *r)
{
	if (inst->core.life.state != LIFE_SPAWNING && inst->core.life.state != LIFE_ABORTING) {
		/* It was running when we adopted it, and the keeper has looked at it now. */
		if (r->error != 0)
			instance_on_lost(inst);
		return;
	}
	if (r->error == 0) {
		inst->core.pid = r->pid;
		inst->core.start_ticks = r->start_ticks;
		inst->core.started_ms = (uint64_t)r->spawn_boot_ms;
		inst_commit(inst);
		inst_write_pid_file(inst);
		pm_log(PM_LOG_INFO, "instance.start", "app=%s pm_id=%u pid=%d",
		       instance_spec(inst)->name, inst->core.pm_id, r->pid);
		tell_start(inst);
		inst_step(inst, EV_SPAWNED);
		return;
	}
	inst->core.slot = SLOT_NONE;
	process_let_go(PM_STEAL(inst->process));
	if (r->stage == SPAWN_STAGE_FORK) {
		hold(inst, r->error == EAGAIN ? "EAGAIN (no more processes allowed)"
		                              : strerror(r->error));
		return;
	}
	spawn_words(inst, r);
	inst_commit(inst);
	pm_log(PM_LOG_ERROR, "instance.spawn", "app=%s pm_id=%u %s", instance_spec(inst)->name,
	       inst->core.pm_id, inst->why);
	inst_step(inst, EV_SPAWN_FAILED);
}

/* ---- exit ---- */

static void exit_words(struct instance *inst, const struct keeper_record *r, uint64_t run_ms)
{
	char words[160];

	if (r->status_known == 0)
		(void)snprintf(words, sizeof(words), "ended after %" PRIu64 " ms, status unknown",
		               run_ms);
	else if (r->exit_signal != 0)
		(void)snprintf(words, sizeof(words),
		               "killed by signal %d (SIG%s)%s after %" PRIu64 " ms", r->exit_signal,
		               sigabbrev_np(r->exit_signal) != NULL ? sigabbrev_np(r->exit_signal)
		                                                    : "?",
		               r->exit_core != 0 ? ", core dumped" : "", run_ms);
	else
		(void)snprintf(words, sizeof(words), "exited with code %d after %" PRIu64 " ms",
		               r->exit_code, run_ms);
	/* What was remarked on may be why. */
	inst_fail_words(inst, PM_FAILED, words,
	                inst->reload == NULL || inst->core.role != ROLE_NORMAL
	                        ? instance_remarked(inst)
	                        : "");
}

/* The run is over: record it, ask the policy, go on. */
static void finish_exit(struct instance *inst, const struct keeper_record *r)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	uint64_t run_ms =
		PM_MAX(r->exit_boot_ms, (int64_t)inst->core.started_ms) - inst->core.started_ms;
	const struct restart_policy policy = {
		.autorestart =
			spec->autorestart && !inst->su->stopping && inst->core.role == ROLE_NORMAL,
		.restart_delay_ms = spec->restart_delay_ms,
		.exp_backoff_ms = spec->exp_backoff_ms,
		.min_uptime_ms = spec->min_uptime_ms,
		.max_restarts = spec->max_restarts,
		.stop_exit_codes = spec->stop_exit_codes,
		.n_stop_exit_codes = spec->n_stop_exit_codes,
	};
	const struct restart_exit e = { r->status_known != 0, r->exit_code, r->exit_signal,
		                        run_ms };
	struct process *gone = PM_STEAL(inst->process);
	struct restart_step verdict = { RESTART_DOWN, 0, 0 };
	enum life_event event = EV_EXIT;
	uint32_t actions;
	bool at_once;

	exit_words(inst, r, run_ms);
	inst_add_exit(inst, r, run_ms);
	if (!life_is_ending(&inst->core.life)) {
		verdict = restart_on_exit(&inst->core.restart, &policy, &e);
		event = verdict.verdict == RESTART_WAIT   ? EV_EXIT_RESTART
		        : verdict.verdict == RESTART_DOWN ? EV_EXIT_DOWN
		                                          : EV_EXIT_GIVE_UP;
		inst->core.deadline_ms = pm_now_ms() + verdict.delay_ms;
	}
	at_once = event == EV_EXIT_RESTART && verdict.delay_ms == 0;
	if (event == EV_EXIT_GIVE_UP) {
		char words[128];

		(void)snprintf(words, sizeof(words), "gave up: %u runs in a row shorter than %u ms",
		               verdict.short_runs, spec->min_uptime_ms);
		inst_note(inst, words);
	}
	pm_log(event == EV_EXIT_GIVE_UP ? PM_LOG_ERROR : PM_LOG_INFO, "instance.exit",
	       "app=%s pm_id=%u pid=%d %s", spec->name, inst->core.pm_id, inst->core.pid,
	       inst->why != NULL ? inst->why : "");
	inst->core.slot = SLOT_NONE;
	inst->last_pid = inst->core.pid;
	inst->core.pid = 0;
	inst->core.heirs = 0;
	if (event == EV_EXIT_DOWN && e.known && e.signal == 0 && e.code == 0)
		inst->why_code =
			PM_OK; /* it ran and ended well, and nobody wants it to run again */
	remove_pid_file(inst);
	events_tell(inst->su, inst, "exit", life_is_ending(&inst->core.life));
	if (life_is_ending(&inst->core.life) && inst->core.cause == CAUSE_STOP)
		events_tell(inst->su, inst, "stop", true);
	(void)PM_FAIL_POINT("instance.before_exit_commit");
	actions = inst_advance(inst, event);
	(void)PM_FAIL_POINT("instance.after_exit_commit");
	/* After the commit: with it the keeper forgets the exit.  After a restart, too, which must
	 * not wait for it. */
	if (gone != NULL && !at_once)
		process_let_go(gone);
	inst_act(inst, actions);
	if (gone != NULL && at_once)
		process_let_go(gone);
	if (inst->core.role == ROLE_NORMAL)
		cluster_sweep(inst->app, inst->core.instance, inst->core.generation);
	inst_after_step(inst);
}

/*
 * A main process that ends well and leaves descendants has become a daemon: they are the app
 * now, until the last of them goes. While many end, whether there are any is found out later.
 */
static bool may_have_heirs(struct instance *inst, const struct keeper_record *r)
{
	if (r->status_known == 0 || r->exit_signal != 0 || r->exit_code != 0 ||
	    !instance_spec(inst)->treekill || inst->core.tag == 0)
		return false;
	return tree_scan_wait_ms(inst->su->scan) > 0 || signal_tree(inst, 0) > 0;
}

void instance_on_exited(struct instance *inst, const struct keeper_record *r)
{
	if (inst->process == NULL)
		return;
	process_on_exited(inst->process);
	tree_scan_stale(inst->su->scan);
	if (life_is_ending(&inst->core.life)) {
		finish_exit(inst, r);
		inst->poll_ms = POLL_MIN_MS;
		/* From the loop: with what else ends in this turn, one look is enough. */
		if (life_is_ending(&inst->core.life))
			inst_arm(inst, 0);
		return;
	}
	if (inst->core.heirs != 0) { /* told again after an adoption: they serve on */
		inst_arm(inst, 1);
		return;
	}
	if (may_have_heirs(inst, r)) {
		inst->core.heirs = 1;
		inst->core.deadline_ms = (uint64_t)r->exit_boot_ms;
		inst->poll_ms = POLL_MIN_MS;
		inst_commit(inst);
		inst_arm(inst, inst->poll_ms);
		return;
	}
	finish_exit(inst, r);
}

void instance_on_lost(struct instance *inst)
{
	const struct keeper_record r = { .exit_boot_ms = (int64_t)pm_now_ms() };

	finish_exit(inst, &r);
	if (life_is_ending(&inst->core.life))
		inst_check_tree(inst);
}

void inst_check_heirs(struct instance *inst)
{
	/* None at the first look: there never were any, it ended when the keeper said. */
	bool first = inst->poll_ms == POLL_MIN_MS;

	if (signal_tree(inst, 0) == 0) {
		finish_heirs(inst, first ? inst->core.deadline_ms : pm_now_ms());
		return;
	}
	if (inst->poll_ms * 2 >= HEIRS_POLL_MAX_MS && inst->note == NULL)
		inst_note(inst, "daemonised: its main process has ended, descendants run on; "
		                "start it in the foreground instead");
	inst->poll_ms = PM_MIN(inst->poll_ms * 2, HEIRS_POLL_MAX_MS);
	inst_arm(inst, inst->poll_ms);
}
