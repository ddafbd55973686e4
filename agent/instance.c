#include "agent/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/events.h"
#include "agent/ipc.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/store.h"
#include "agent/tree.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* Polls of a tree that is ending start short and grow to the app's kill_retry_time. */
#define POLL_MIN_MS 5
/* Heirs of a main process that ended by itself are looked at this often at most. */
#define HEIRS_POLL_MAX_MS 1000
/* No room to fork: the next try. */
#define SPAWN_RETRY_MS 1000
/* An order to start is answered when the app has stayed up so long, or for min_uptime if that is
 * less. */
#define SETTLE_MS 500
/* Log text that goes with a failed start. */
#define TAIL_MAX 4096

struct waiter {
	struct waiter *next;
	struct order *order; /* borrowed */
	uint32_t at;
	bool settle;
};

struct instance {
	struct super *su;
	struct app *app;            /* borrowed; owns us */
	struct inst_record *record; /* borrowed from the arena */
	uint32_t index;
	struct inst_core core;   /* committed to the record after each step */
	struct process *process; /* borrowed; NULL: none */
	uv_timer_t timer;        /* owned: readiness, delay, kill and heirs; the state says which */
	bool closing;
	bool wanted; /* restored, and not started yet */
	uint32_t poll_ms;
	struct waiter *waiters; /* owned */
	struct instance_usage usage;
	char note[128];
	char why[256]; /* of the last failure, for the orders that wait */
	char hint[128];
	enum pm_code why_code;
	off_t log_start[2]; /* sizes of the log files at the spawn */
};

static void step(struct instance *inst, enum life_event event);
static uint32_t advance(struct instance *inst, enum life_event event);
static void act(struct instance *inst, uint32_t actions);

/* ---- looking ---- */

const struct inst_core *instance_core(const struct instance *inst)
{
	return &inst->core;
}

const struct inst_record *instance_record(const struct instance *inst)
{
	return inst->record;
}

const Pm__AppSpec *instance_spec(const struct instance *inst)
{
	return inst->app->spec;
}

struct app *instance_app(const struct instance *inst)
{
	return inst->app;
}

struct super *instance_super(const struct instance *inst)
{
	return inst->su;
}

struct process *instance_process(const struct instance *inst)
{
	return inst->process;
}

uint32_t instance_index(const struct instance *inst)
{
	return inst->index;
}

uint32_t instance_log_id(const struct instance *inst)
{
	return inst->core.pm_id;
}

const char *instance_note(const struct instance *inst)
{
	return inst->note;
}

bool instance_is_online(const struct instance *inst)
{
	return inst->core.life.state == LIFE_UP;
}

struct instance_usage *instance_usage(struct instance *inst)
{
	return &inst->usage;
}

int instance_log_names(const struct instance *inst, struct log_names *out, struct pm_error *err)
{
	return log_names_make(inst->su->home, inst->app->spec, inst->core.pm_id, out, err);
}

static int build_procenv(const struct instance *inst, const struct user *user, int ipc_fd,
                         bool secrets, struct procenv *out, struct pm_error *err)
{
	struct log_names names;
	const struct procenv_facts facts = {
		.home = inst->su->home,
		.pm2_home = inst->su->pm2_home,
		.pm_id = inst->core.pm_id,
		.instance = inst->core.instance,
		.restarts = inst->core.restarts,
		.created_wall_ms = inst->core.created_wall_ms,
		.started_wall_ms = inst->core.started_wall_ms,
		.unique_id = inst->core.unique_id,
		.names = &names,
		.user = user,
		.ipc_fd = ipc_fd,
		.secrets = secrets,
	};

	if (instance_log_names(inst, &names, err) < 0)
		return -1;
	return procenv_build(inst->app->spec, &facts, out, err);
}

int instance_procenv(const struct instance *inst, const struct user *user, int ipc_fd,
                     struct procenv *out, struct pm_error *err)
{
	return build_procenv(inst, user, ipc_fd, true, out, err);
}

int instance_shown_env(const struct instance *inst, const struct user *user, struct procenv *out,
                       struct pm_error *err)
{
	return build_procenv(inst, user, -1, false, out, err);
}

static const struct {
	const char *name;
	int resource;
} resources[] = {
	{ "as", RLIMIT_AS },
	{ "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },
	{ "memlock", RLIMIT_MEMLOCK },
	{ "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC },
	{ "stack", RLIMIT_STACK },
	{ "msgqueue", RLIMIT_MSGQUEUE },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "rss", RLIMIT_RSS },
	{ "locks", RLIMIT_LOCKS },
	{ "nice", RLIMIT_NICE },
	{ "rtprio", RLIMIT_RTPRIO },
};

size_t instance_limits(const struct instance *inst, struct spawn_limit out[SPAWN_LIMITS_MAX])
{
	const Pm__AppSpec *spec = inst->app->spec;
	size_t n = 0;

	for (size_t i = 0; i < spec->n_limits; i++)
		for (size_t k = 0; k < PM_COUNT(resources); k++)
			if (n < SPAWN_LIMITS_MAX &&
			    strcmp(spec->limits[i]->name, resources[k].name) == 0)
				out[n++] = (struct spawn_limit){ resources[k].resource,
					                         spec->limits[i]->soft,
					                         spec->limits[i]->hard };
	return n;
}

/* ---- the record ---- */

static void commit(struct instance *inst)
{
	inst_core_commit(inst->record, &inst->core);
}

static void note(struct instance *inst, const char *text)
{
	(void)snprintf(inst->note, sizeof(inst->note), "%s", text);
}

static void fail_words(struct instance *inst, enum pm_code code, const char *what, const char *hint)
{
	inst->why_code = code;
	(void)snprintf(inst->why, sizeof(inst->why), "%s", what);
	(void)snprintf(inst->hint, sizeof(inst->hint), "%s", hint);
}

static void add_exit(struct instance *inst, const struct keeper_record *r, uint64_t run_ms)
{
	struct inst_exit *e = &inst->record->exits[inst->core.n_exits % PM_EXIT_HISTORY];

	*e = (struct inst_exit){
		.wall_ms = pm_wall_ms(),
		.run_ms = run_ms,
		.pid = inst->core.pid,
		.code = r->exit_code,
		.signal = r->exit_signal,
		.known = r->status_known != 0,
		.core = r->exit_core != 0,
		.cause = (uint8_t)(life_is_ending(&inst->core.life) ? inst->core.cause
		                                                    : CAUSE_CRASH),
	};
	inst->core.n_exits++;
}

static void make_unique_id(char out[40])
{
	uint8_t b[16] = { 0 };
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, b, sizeof(b)) < 0)
			b[0] = 0; /* not a secret: a name for one run of one process */
		(void)close(fd);
	}
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, 40,
	               "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
	               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	               b[13], b[14], b[15]);
}

/* ---- orders that wait ---- */

static char *read_tail(const char *path, off_t from, size_t *len)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	PM_FREE char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return NULL;
	if (from > st.st_size)
		from = 0; /* rotated meanwhile */
	if (st.st_size - from > TAIL_MAX)
		from = st.st_size - TAIL_MAX;
	text = pm_calloc(TAIL_MAX, 1);
	if (text == NULL)
		return NULL;
	n = pread(fd, text, TAIL_MAX, from);
	if (n <= 0)
		return NULL;
	*len = (size_t)n;
	return PM_STEAL(text);
}

/* What the last run wrote: stderr, or stdout when there was none. */
static char *log_tail(struct instance *inst, size_t *len)
{
	struct log_names names;
	struct pm_error err;
	char *tail;

	if (instance_log_names(inst, &names, &err) < 0)
		return NULL;
	tail = read_tail(names.err, inst->log_start[1], len);
	return tail != NULL ? tail : read_tail(names.out, inst->log_start[0], len);
}

static void remember_log_sizes(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;
	struct stat st;

	if (instance_log_names(inst, &names, &err) < 0)
		return;
	inst->log_start[0] = stat(names.out, &st) == 0 ? st.st_size : 0;
	inst->log_start[1] = stat(names.err, &st) == 0 ? st.st_size : 0;
}

static void settle_one(struct instance *inst, struct waiter *w, enum pm_code code)
{
	struct order_outcome out = { .code = code, .text = "", .hint = "" };

	if (code != PM_OK) {
		out.text = inst->why;
		out.hint = inst->hint;
		out.log_tail = log_tail(inst, &out.log_tail_len);
	}
	order_settled(w->order, w->at, inst, &out);
	free(w);
}

/* Answer all that wait; only_settle: leave those that want to see it stay up. */
static void settle(struct instance *inst, enum pm_code code, bool leave_settlers)
{
	struct waiter *list = PM_STEAL(inst->waiters), *kept = NULL;

	while (list != NULL) {
		struct waiter *w = list;

		list = w->next;
		if (leave_settlers && w->settle) {
			w->next = kept;
			kept = w;
		} else {
			settle_one(inst, w, code);
		}
	}
	while (kept != NULL) { /* answers may have brought new ones */
		struct waiter *w = kept;

		kept = w->next;
		w->next = inst->waiters;
		inst->waiters = w;
	}
}

void instance_drop_order(struct instance *inst, const struct order *order)
{
	struct waiter **at = &inst->waiters;

	while (*at != NULL) {
		struct waiter *w = *at;

		if (w->order == order) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
}

static bool add_waiter(struct instance *inst, const struct instance_order *o)
{
	struct waiter *w = pm_calloc(1, sizeof(*w));

	if (w == NULL)
		return false;
	*w = (struct waiter){ inst->waiters, o->order, o->at, o->settle };
	inst->waiters = w;
	return true;
}

static void refuse(struct instance *inst, const struct instance_order *o, enum pm_code code,
                   const char *text)
{
	const struct order_outcome out = { .code = code, .text = text, .hint = "" };

	if (o->order != NULL)
		order_settled(o->order, o->at, inst, &out);
}

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

/* Signal the tree, or the main process alone without treekill. Returns how many are left, about. */
static int signal_tree(struct instance *inst, int signal)
{
	struct pm_error err;
	int n = 0;

	if (!inst->app->spec->treekill) {
		if (!main_is_alive(inst))
			return 0;
		if (signal != 0 && process_signal(inst->process, signal, &err) < 0)
			pm_log(PM_LOG_WARN, "instance.signal", "pm_id=%u %s", inst->core.pm_id,
			       err.what);
		return 1;
	}
	if (inst->core.tag == 0)
		return 0;
	if (signal == SIGKILL && inst->process != NULL)
		kill_cgroup(inst->process);
	if (tree_signal(inst->core.tag, main_is_alive(inst) ? inst->core.pid : 0, signal, &n,
	                &err) < 0) {
		pm_log(PM_LOG_WARN, "instance.signal", "pm_id=%u %s", inst->core.pm_id, err.what);
		return main_is_alive(inst) ? 1 : 0;
	}
	return n;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct instance *inst, uint64_t ms)
{
	if (!inst->closing)
		(void)uv_timer_start(&inst->timer, on_timer, ms, 0); /* fails only while closing */
}

static void disarm(struct instance *inst)
{
	(void)uv_timer_stop(&inst->timer); /* never fails */
}

/* While ending: is anything left? Looks again after a while, sooner when the kill time-out is near.
 */
static void check_tree(struct instance *inst)
{
	uint64_t now = pm_now_ms(), wait;

	if (!main_is_alive(inst) && signal_tree(inst, 0) == 0) {
		step(inst, EV_TREE_GONE);
		return;
	}
	wait = inst->poll_ms;
	inst->poll_ms =
		PM_MIN(inst->poll_ms * 2, PM_MAX(inst->app->spec->kill_retry_ms, POLL_MIN_MS));
	if (inst->core.deadline_ms > now)
		wait = PM_MIN(wait, inst->core.deadline_ms - now);
	arm(inst, wait);
}

static void begin_stop(struct instance *inst)
{
	const Pm__AppSpec *spec = inst->app->spec;

	inst->poll_ms = POLL_MIN_MS;
	if (spec->shutdown_with_message && inst->process != NULL && inst->process->ipc != NULL &&
	    ipc_send(inst->process->ipc, "\"shutdown\"")) {
		arm(inst, inst->poll_ms);
		return;
	}
	if (signal_tree(inst, spec->kill_signal != 0 ? spec->kill_signal : SIGINT) > 0)
		(void)signal_tree(inst, SIGCONT); /* a stopped process must get to see it */
	arm(inst, inst->poll_ms);
}

static void kill_tree(struct instance *inst)
{
	(void)signal_tree(inst, SIGKILL); /* counted again by check_tree() */
	if (!life_is_ending(&inst->core.life))
		return; /* an exit by itself: nothing waits for the heirs' end */
	inst->poll_ms = POLL_MIN_MS;
	check_tree(inst);
}

/* ---- spawn ---- */

static void spawn(struct instance *inst)
{
	struct pm_error err;

	inst->core.spawns++;
	inst->core.heirs = 0;
	inst->core.started_ms = pm_now_ms();
	inst->core.started_wall_ms = pm_wall_ms();
	inst->core.cause = CAUSE_NONE;
	inst->core.tag = tree_tag(inst->su->home_nonce, inst->core.pm_id, inst->core.spawns);
	make_unique_id(inst->core.unique_id);
	note(inst, "");
	commit(inst); /* the tag, before the keeper hears of it */
	remember_log_sizes(inst);
	events_started(inst->su, inst);
	if (process_spawn(inst, &inst->process, &err) < 0) {
		inst->process = NULL;
		fail_words(inst, err.code, err.what, err.hint);
		note(inst, err.what);
		commit(inst);
		pm_log(PM_LOG_ERROR, "instance.spawn", "app=%s pm_id=%u %s", inst->app->spec->name,
		       inst->core.pm_id, err.what);
		step(inst, err.code == PM_LIMIT || err.code == PM_NO_MEMORY ? EV_SPAWN_RETRY
		                                                            : EV_SPAWN_FAILED);
		return;
	}
	inst->core.slot = inst->process->slot;
	commit(inst);
	(void)PM_FAIL_POINT("instance.after_spawn");
}

static bool has_gate(const struct instance *inst)
{
	return inst->app->spec->wait_ready && inst->process != NULL && inst->process->ipc != NULL;
}

static void write_pid_file(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;
	char text[16];
	int fd, len;

	if (instance_log_names(inst, &names, &err) < 0)
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

static void remove_pid_file(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;

	if (instance_log_names(inst, &names, &err) == 0)
		(void)unlink(names.pid); /* it may never have been written */
}

void instance_on_spawned(struct instance *inst, const struct keeper_record *r)
{
	char words[200];

	if (r->error == 0) {
		inst->core.pid = r->pid;
		inst->core.start_ticks = r->start_ticks;
		inst->core.started_ms = (uint64_t)r->spawn_boot_ms;
		commit(inst);
		write_pid_file(inst);
		pm_log(PM_LOG_INFO, "instance.start", "app=%s pm_id=%u pid=%d",
		       inst->app->spec->name, inst->core.pm_id, r->pid);
		step(inst, EV_SPAWNED);
		return;
	}
	inst->core.slot = SLOT_NONE;
	process_let_go(PM_STEAL(inst->process));
	if (r->stage == SPAWN_STAGE_FORK) {
		(void)snprintf(words, sizeof(words), "waiting: %s",
		               r->error == EAGAIN ? "EAGAIN (no more processes allowed)"
		                                  : strerror(r->error));
		note(inst, words);
		commit(inst);
		step(inst, EV_SPAWN_RETRY);
		return;
	}
	(void)snprintf(words, sizeof(words), "%s: %s",
	               r->stage == SPAWN_STAGE_CWD      ? "cwd"
	               : r->stage == SPAWN_STAGE_USER   ? "uid"
	               : r->stage == SPAWN_STAGE_GROUPS ? "gid"
	               : r->stage == SPAWN_STAGE_LIMITS ? "limits"
	                                                : "exec",
	               strerror(r->error));
	fail_words(inst, PM_FAILED, words,
	           r->error == ENOEXEC ? "add a #! line, or set interpreter" : "");
	note(inst, words);
	commit(inst);
	pm_log(PM_LOG_ERROR, "instance.spawn", "app=%s pm_id=%u %s", inst->app->spec->name,
	       inst->core.pm_id, words);
	step(inst, EV_SPAWN_FAILED);
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
	fail_words(inst, PM_FAILED, words, "");
}

/* The run is over: record it, ask the policy, go on. */
static void finish_exit(struct instance *inst, const struct keeper_record *r)
{
	const Pm__AppSpec *spec = inst->app->spec;
	uint64_t run_ms =
		PM_MAX(r->exit_boot_ms, (int64_t)inst->core.started_ms) - inst->core.started_ms;
	const struct restart_policy policy = {
		.autorestart = spec->autorestart && !inst->su->stopping,
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

	exit_words(inst, r, run_ms);
	add_exit(inst, r, run_ms);
	if (!life_is_ending(&inst->core.life)) {
		verdict = restart_on_exit(&inst->core.restart, &policy, &e);
		event = verdict.verdict == RESTART_WAIT   ? EV_EXIT_RESTART
		        : verdict.verdict == RESTART_DOWN ? EV_EXIT_DOWN
		                                          : EV_EXIT_GIVE_UP;
		inst->core.deadline_ms = pm_now_ms() + verdict.delay_ms;
	}
	if (event == EV_EXIT_GIVE_UP) {
		char words[128];

		(void)snprintf(words, sizeof(words), "gave up: %u runs in a row shorter than %u ms",
		               verdict.short_runs, spec->min_uptime_ms);
		note(inst, words);
	}
	pm_log(event == EV_EXIT_GIVE_UP ? PM_LOG_ERROR : PM_LOG_INFO, "instance.exit",
	       "app=%s pm_id=%u pid=%d %s", spec->name, inst->core.pm_id, inst->core.pid,
	       inst->why);
	inst->core.slot = SLOT_NONE;
	inst->core.pid = 0;
	inst->core.heirs = 0;
	if (event == EV_EXIT_DOWN && e.known && e.signal == 0 && e.code == 0)
		inst->why_code =
			PM_OK; /* it ran and ended well, and nobody wants it to run again */
	remove_pid_file(inst);
	(void)PM_FAIL_POINT("instance.before_exit_commit");
	actions = advance(inst, event);
	(void)PM_FAIL_POINT("instance.after_exit_commit");
	if (gone != NULL)
		process_let_go(gone); /* after the commit: with it the keeper forgets the exit */
	act(inst, actions);
}

/*
 * A main process that ends well and leaves descendants has become a daemon: they are the app
 * now, until the last of them goes.
 */
static bool has_heirs(struct instance *inst, const struct keeper_record *r)
{
	return !life_is_ending(&inst->core.life) && r->status_known != 0 && r->exit_signal == 0 &&
	       r->exit_code == 0 && inst->app->spec->treekill && signal_tree(inst, 0) > 0;
}

void instance_on_exited(struct instance *inst, const struct keeper_record *r)
{
	if (inst->process == NULL)
		return;
	process_on_exited(inst->process);
	if (life_is_ending(&inst->core.life)) {
		finish_exit(inst, r);
		inst->poll_ms = POLL_MIN_MS;
		if (life_is_ending(&inst->core.life))
			check_tree(inst);
		return;
	}
	if (inst->core.heirs == 0 && has_heirs(inst, r)) {
		inst->core.heirs = 1;
		inst->core.deadline_ms = (uint64_t)r->exit_boot_ms;
		inst->poll_ms = POLL_MIN_MS;
		commit(inst);
		arm(inst, inst->poll_ms);
		return;
	}
	finish_exit(inst, r);
}

void instance_on_lost(struct instance *inst)
{
	const struct keeper_record r = { .exit_boot_ms = (int64_t)pm_now_ms() };

	finish_exit(inst, &r);
	if (life_is_ending(&inst->core.life))
		check_tree(inst);
}

static void check_heirs(struct instance *inst)
{
	struct keeper_record r = { .status_known = 1, .exit_boot_ms = (int64_t)pm_now_ms() };

	if (signal_tree(inst, 0) == 0) {
		finish_exit(inst, &r);
		return;
	}
	if (inst->poll_ms * 2 >= HEIRS_POLL_MAX_MS && inst->note[0] == '\0')
		note(inst, "daemonised: its main process has ended, descendants run on; "
		           "start it in the foreground instead");
	inst->poll_ms = PM_MIN(inst->poll_ms * 2, HEIRS_POLL_MAX_MS);
	arm(inst, inst->poll_ms);
}

void instance_on_message(struct instance *inst, const char *line, size_t len)
{
	static const char ready[] = "\"ready\"";

	if (len == sizeof(ready) - 1 && memcmp(line, ready, len) == 0) {
		step(inst, EV_READY);
		if (inst->core.life.state == LIFE_UP)
			settle(inst, PM_OK,
			       false); /* it said so itself: nothing more to wait for */
	} else {
		super_on_message(inst->su, inst, line, len);
	}
}

/* ---- the life cycle ---- */

static void on_timer(uv_timer_t *timer)
{
	struct instance *inst = timer->data;
	bool due = pm_now_ms() >= inst->core.deadline_ms;

	switch (inst->core.life.state) {
	case LIFE_BACKOFF:
	case LIFE_HELD:
		step(inst, EV_DELAY_OVER);
		break;
	case LIFE_UP_WAIT:
		fail_words(inst, PM_FAILED, "not ready in time: it runs, but did not say so",
		           "raise listen_timeout, or send 'ready' earlier");
		step(inst, EV_READY_TIMEOUT);
		break;
	case LIFE_ENDING:
	case LIFE_KILLING:
		if (due)
			step(inst, EV_KILL_TIMEOUT);
		else
			check_tree(inst);
		break;
	case LIFE_UP:
		if (inst->core.heirs != 0)
			check_heirs(inst);
		if (!inst->closing && inst->core.life.state == LIFE_UP)
			settle(inst, PM_OK, false);
		break;
	case LIFE_DOWN:
	case LIFE_SPAWNING:
	case LIFE_ABORTING:
	case LIFE_FAILED:
		break;
	}
}

static void arm_ready(struct instance *inst)
{
	uint32_t settle_ms = PM_MIN(SETTLE_MS, inst->app->spec->min_uptime_ms);

	if (has_gate(inst)) {
		inst->core.deadline_ms = pm_now_ms() + inst->app->spec->listen_timeout_ms;
		commit(inst);
		arm(inst, inst->app->spec->listen_timeout_ms);
		return;
	}
	step(inst, EV_READY);
	if (inst->core.life.state == LIFE_UP && inst->waiters != NULL)
		arm(inst, settle_ms);
}

static void arm_delay(struct instance *inst)
{
	uint64_t now = pm_now_ms();

	if (inst->core.life.state == LIFE_HELD) {
		inst->core.deadline_ms = now + SPAWN_RETRY_MS;
		commit(inst);
	}
	if (inst->core.deadline_ms <= now)
		step(inst, EV_DELAY_OVER);
	else
		arm(inst, inst->core.deadline_ms - now);
}

static void forget(struct instance *inst)
{
	struct super *su = inst->su;
	struct app *app = inst->app;

	pm_log(PM_LOG_INFO, "instance.delete", "app=%s pm_id=%u", app->spec->name,
	       inst->core.pm_id);
	app_remove_instance(app, inst);
	instance_close(inst, true);
	store_changed(su->store);
}

/* Carry out actions from the lowest bit up; see enum life_action for what may follow what. */
static void act(struct instance *inst, uint32_t actions)
{
	struct super *su = inst->su;

	if (actions & (ACT_CANCEL_DELAY | ACT_CANCEL_READY | ACT_CANCEL_KILL))
		disarm(inst);
	if (actions & ACT_REPLY_OK)
		settle(inst, PM_OK, inst->core.life.state == LIFE_UP);
	if (actions & (ACT_REPLY_FAIL | ACT_REPORT_NOT_READY))
		settle(inst, inst->why_code, false);
	if (actions & ACT_ARM_KILL) {
		inst->core.deadline_ms = pm_now_ms() + inst->app->spec->kill_timeout_ms;
		commit(inst);
	}
	if (actions & ACT_KILL)
		kill_tree(inst);
	if (actions & ACT_SIGNAL)
		begin_stop(inst);
	if (actions & ACT_ARM_READY)
		arm_ready(inst);
	if (actions & ACT_ARM_DELAY)
		arm_delay(inst);
	if (actions & ACT_SPAWN)
		spawn(inst);
	if (actions & ACT_FORGET)
		forget(inst);
	if (su->stopping)
		super_stop_check(su);
}

static uint32_t advance(struct instance *inst, enum life_event event)
{
	uint32_t actions = life_step(&inst->core.life, event);

	if (actions & ACT_CLEAR)
		restart_clear(&inst->core.restart);
	if (actions & ACT_COUNT_RESTART)
		inst->core.restarts++;
	/* An exit that stands for a run that was up and waited on by a start. */
	if (inst->waiters != NULL && inst->core.life.state != LIFE_UP &&
	    (event == EV_EXIT_RESTART || event == EV_EXIT_DOWN || event == EV_EXIT_GIVE_UP))
		actions |= ACT_REPLY_FAIL;
	commit(inst);
	return actions;
}

static void step(struct instance *inst, enum life_event event)
{
	act(inst, advance(inst, event));
}

static bool is_start_event(enum life_event event)
{
	return event == EV_START || event == EV_RESTART;
}

void instance_give_order(struct instance *inst, const struct instance_order *o)
{
	struct life before = inst->core.life;
	uint32_t actions;

	if (is_start_event(o->event) && inst->su->stopping) {
		refuse(inst, o, PM_LOCKED, "the agent is stopping");
		return;
	}
	inst->core.order_uid = o->uid;
	(void)snprintf(inst->core.order, sizeof(inst->core.order), "%s (%s)", cause_word(o->cause),
	               o->who);
	actions = life_step(&inst->core.life, o->event);
	if (actions & ACT_SUPERSEDED) {
		fail_words(inst, PM_FAILED, "a later order replaced this one", "");
		settle(inst, PM_FAILED, false);
	}
	if (actions & ACT_REFUSE) {
		refuse(inst, o, PM_NOT_FOUND, "it is being deleted");
		return;
	}
	if (o->order != NULL && !add_waiter(inst, o))
		refuse(inst, o, PM_NO_MEMORY, "out of memory");
	if (life_is_ending(&inst->core.life) &&
	    (!life_is_ending(&before) || before.after != inst->core.life.after))
		inst->core.cause = o->cause;
	if (actions & ACT_CLEAR)
		restart_clear(&inst->core.restart);
	if (actions & ACT_COUNT_RESTART)
		inst->core.restarts++;
	commit(inst);
	if (inst->core.life.state == LIFE_UP && o->event == EV_START && o->settle &&
	    inst->core.heirs == 0 && !uv_is_active((uv_handle_t *)&inst->timer))
		arm(inst, 1); /* it is up already: answer from the loop */
	act(inst, actions);
}

void instance_set_watching(struct instance *inst, bool on)
{
	if (inst->core.watching == on)
		return;
	inst->core.watching = on;
	commit(inst);
}

void instance_reset(struct instance *inst)
{
	restart_clear(&inst->core.restart);
	inst->core.restarts = 0;
	inst->core.created_wall_ms = pm_wall_ms();
	commit(inst);
}

/* ---- life time ---- */

static struct instance *instance_new(struct app *app, struct inst_record *record, uint32_t index)
{
	struct instance *inst = pm_calloc(1, sizeof(*inst));

	if (inst == NULL)
		return NULL;
	inst->su = app->su;
	inst->app = app;
	inst->record = record;
	inst->index = index;
	(void)uv_timer_init(app->su->loop, &inst->timer); /* never fails */
	inst->timer.data = inst;
	return inst;
}

int instance_create(struct app *app, uint32_t pm_id, uint32_t number, struct instance **out,
                    struct pm_error *err)
{
	uint32_t index;
	struct inst_record *record = arena_inst_take(app->su->arena, &index);
	struct instance *inst;

	if (record == NULL)
		return pm_fail(err, PM_LIMIT, "more than %d instances", PM_SLOTS_MAX);
	inst = instance_new(app, record, index);
	if (inst == NULL) {
		arena_inst_free(app->su->arena, index);
		return pm_fail(err, PM_NO_MEMORY, "a new instance");
	}
	inst->core = (struct inst_core){
		.pm_id = pm_id,
		.app_serial = app->serial,
		.instance = number,
		.slot = SLOT_NONE,
		.created_wall_ms = pm_wall_ms(),
		.watching = app->spec->watch,
		/* Grows with each start; tags of processes that outlived a former agent differ from
		   ours. */
		.spawns = (uint32_t)(pm_wall_ms() / 1000),
	};
	commit(inst);
	*out = inst;
	return 0;
}

int instance_adopt(struct app *app, uint32_t index, struct instance **out, struct pm_error *err)
{
	struct inst_record *record = arena_inst(app->su->arena, index);
	struct instance *inst = instance_new(app, record, index);

	if (inst == NULL)
		return pm_fail(err, PM_NO_MEMORY, "adopt an instance");
	inst->core = *inst_core_get(record);
	*out = inst;
	return 0;
}

void instance_set_process(struct instance *inst, struct process *p)
{
	inst->process = p;
	inst->core.slot = p->slot;
	inst->core.pid = p->pid;
	inst->core.start_ticks = p->start_ticks;
	if (p->tag != 0)
		inst->core.tag = p->tag;
	commit(inst);
}

void instance_restore(struct instance *inst, const Pm__SavedInstance *saved)
{
	inst->core.restarts = saved->restarts;
	inst->core.created_wall_ms = saved->created_wall_ms;
	inst->core.life.state = saved->errored ? LIFE_FAILED : LIFE_DOWN;
	inst->wanted = saved->wanted;
	commit(inst);
}

bool instance_take_wanted(struct instance *inst)
{
	bool wanted = inst->wanted;

	inst->wanted = false;
	return wanted;
}

void instance_set_up(struct instance *inst)
{
	inst->core.life.state = LIFE_UP;
	inst->core.started_ms = pm_now_ms();
	inst->core.started_wall_ms = pm_wall_ms();
	commit(inst);
}

static void resume_timer(struct instance *inst)
{
	uint64_t now = pm_now_ms(), at = inst->core.deadline_ms;

	arm(inst, at > now ? at - now : 1);
}

void instance_resume(struct instance *inst)
{
	bool alive = inst->process != NULL;

	switch (inst->core.life.state) {
	case LIFE_DOWN:
	case LIFE_FAILED:
		break;
	case LIFE_SPAWNING:
		if (alive)
			step(inst, EV_SPAWNED);
		else
			spawn(inst); /* the keeper never heard of it */
		break;
	case LIFE_ABORTING:
		step(inst, alive ? EV_SPAWNED : EV_SPAWN_FAILED);
		break;
	case LIFE_UP_WAIT:
	case LIFE_BACKOFF:
	case LIFE_HELD:
		resume_timer(inst);
		break;
	case LIFE_ENDING:
	case LIFE_KILLING:
		inst->poll_ms = POLL_MIN_MS;
		arm(inst, 1);
		break;
	case LIFE_UP:
		inst->poll_ms = POLL_MIN_MS;
		if (inst->core.heirs != 0)
			arm(inst, 1);
		break;
	}
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void instance_close(struct instance *inst, bool forget_it)
{
	if (inst->closing)
		return;
	inst->closing = true;
	while (inst->waiters != NULL) {
		struct waiter *w = inst->waiters;

		inst->waiters = w->next;
		free(w);
	}
	if (inst->process != NULL) {
		inst->process->inst = NULL;
		if (forget_it)
			process_let_go(PM_STEAL(inst->process));
	}
	if (forget_it)
		arena_inst_free(inst->su->arena, inst->index);
	uv_close((uv_handle_t *)&inst->timer, on_timer_closed);
}
