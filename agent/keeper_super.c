#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/keeper_int.h"
#include "agent/notify.h"
#include "agent/own_log.h"
#include "agent/spawn.h"
#include "proto/log.h"

#define BACKOFF_MIN_MS     100
#define BACKOFF_MAX_MS     1000
#define STORM_MS           10000 /* ten deaths within this: once a second from then on */
#define UPGRADE_READY_MS   5000
#define UPGRADE_DEATHS_MAX 3
#define LEAVE_MS           5000 /* from QUIT or STOP to SIGKILL */
#define HANGUP_MS          1000 /* from the end of its socket to SIGKILL */

/* Numbers in the supervisor. */
enum {
	SUPER_SOCK = 3,
	SUPER_LOCK = 4,
	SUPER_ORIGIN = 5
};

/* ---- whether it hangs ---- */

/* Unlike pm_now_ms() this stands still while the machine is suspended, as the supervisor does. */
static uint64_t awake_ms(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* fails only for a clock that does not exist */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A sign of life is due twice in systemd's time; it hangs when three quarters of it went without.
 */
static uint64_t hang_ms(void)
{
	return notify_watchdog_ms() * 3 / 2;
}

static void expect_life(struct keeper *k)
{
	k->super.alive_ms = awake_ms();
	k->super.check_at_ms = hang_ms() == 0 ? 0 : pm_now_ms() + hang_ms();
}

void keeper_super_alive(struct keeper *k)
{
	expect_life(k);
	(void)notify_send("WATCHDOG=1"); /* only while both of us are well */
}

/*
 * systemd would end the keeper, whose death leaves a supervisor that hangs: nobody could take its
 * place then. So the keeper ends it first.
 */
static void check_life(struct keeper *k, uint64_t now_ms)
{
	struct supervisor *s = &k->super;
	uint64_t silent = awake_ms() - s->alive_ms;

	s->check_at_ms = 0;
	if (s->pid == 0 || s->leaving)
		return;
	if (silent < hang_ms()) {
		s->check_at_ms = now_ms + (hang_ms() - silent);
		return;
	}
	pm_log(PM_LOG_ERROR, "supervisor.hang",
	       "pid=%d silent_ms=%llu: killed, apps go on, it is started again", (int)s->pid,
	       (unsigned long long)silent);
	(void)notify_send("WATCHDOG=1");
	keeper_super_kill(k);
}

/* ---- its process ---- */

static const char *super_path(void)
{
#ifdef PM_FAILPOINTS
	/* A test puts itself in the supervisor's place. */
	return getenv("PMD_SUPERVISOR");
#else
	return NULL;
#endif
}

static int spawn_supervisor(struct keeper *k, int sock, struct spawn_result *result)
{
	const char *argv[16] = { "pmd",  "agent", "--supervisor", "--home", k->opt.home,
		                 "--fd", "3",     "--lock-fd",    "4",      "--origin-fd",
		                 "5" };
	int fds[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, sock, k->lock_fd, k->origin_fd };
	struct spawn_plan plan = {
		.path = super_path(),
		.argv = argv,
		.envp = (const char *const *)environ,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.umask = -1,
		.child_fds = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, SUPER_SOCK, SUPER_LOCK,
		               SUPER_ORIGIN },
		.n_child_fds = PM_COUNT(fds),
	};
	struct spawn_request request = { .plan = &plan, .fds = fds, .exec_fd = k->exe_fd };
	size_t n = 11;

	if (k->opt.foreground)
		argv[n++] = "--foreground";
	if (k->opt.as_pm2)
		argv[n++] = "--pm2";
	if (plan.path != NULL)
		request.exec_fd = -1;
	spawn_child(&request, result);
	return result->error;
}

static void start_later(struct keeper *k)
{
	struct supervisor *s = &k->super;
	uint64_t now = pm_now_ms(), delay = 0;

	if (s->in_a_row > 1)
		delay = PM_MIN((uint64_t)BACKOFF_MIN_MS << PM_MIN(s->in_a_row - 2, 4u),
		               (uint64_t)BACKOFF_MAX_MS);
	if (s->n_deaths >= PM_COUNT(s->deaths_ms) &&
	    now - s->deaths_ms[s->n_deaths % PM_COUNT(s->deaths_ms)] < STORM_MS) {
		delay = BACKOFF_MAX_MS;
		pm_log(PM_LOG_ERROR, "supervisor.storm",
		       "deaths=%u: it died %zu times within %d s; trying again every second",
		       s->n_deaths, PM_COUNT(s->deaths_ms), STORM_MS / 1000);
	}
	if (k->upgrade.phase == UPGRADE_TRYING)
		delay = 0; /* soon either it is ready or the old one is back */
	s->start_at_ms = now + delay;
}

static void count_death(struct supervisor *s)
{
	s->deaths_ms[s->n_deaths % PM_COUNT(s->deaths_ms)] = pm_now_ms();
	s->n_deaths++;
	s->in_a_row++;
	s->restarts++;
}

/* A supervisor that could not even be started; during an upgrade that speaks against the new
 * program. */
static void start_failed(struct keeper *k)
{
	count_death(&k->super);
	if (k->upgrade.phase == UPGRADE_TRYING && ++k->upgrade.deaths >= UPGRADE_DEATHS_MAX &&
	    !k->upgrade.going_back)
		keeper_upgrade_go_back(k, "its supervisor does not start");
	if (k->upgrade.going_back)
		keeper_upgrade_exec_old(k);
	start_later(k);
}

void keeper_super_attach(struct keeper *k)
{
	keeper_watch(k, k->super.sock, WATCH_SUPERVISOR, 0, false);
}

void keeper_super_start(struct keeper *k)
{
	struct supervisor *s = &k->super;
	struct spawn_result result;
	PM_CLOSE int theirs = -1;
	int pair[2], error;

	s->start_at_ms = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		pm_log(PM_LOG_ERROR, "supervisor.start", "socketpair: %s", strerror(errno));
		start_failed(k);
		return;
	}
	theirs = pair[1];
	error = spawn_supervisor(k, theirs, &result);
	/* Fail points are for one process: a restarted one would die of them for ever. */
	(void)unsetenv("PMD_FAIL");
	if (error != 0) {
		pm_log(PM_LOG_ERROR, "supervisor.start", "stage=%d %s", (int)result.stage,
		       strerror(error));
		(void)close(pair[0]);
		start_failed(k);
		return;
	}
	s->pid = result.pid;
	s->pidfd = result.pidfd;
	s->sock = pair[0];
	s->ready = s->leaving = false;
	s->kill_at_ms = 0;
	expect_life(k);
	if (k->upgrade.phase == UPGRADE_TRYING && k->upgrade.deadline_ms == 0)
		k->upgrade.deadline_ms = pm_now_ms() + UPGRADE_READY_MS;
	keeper_super_attach(k);
	pm_log(PM_LOG_INFO, "supervisor.start", "pid=%d restarts=%u", (int)s->pid, s->restarts);
}

static void detach(struct keeper *k)
{
	keeper_out_reset(k);
	if (k->super.sock < 0)
		return;
	keeper_unwatch(k, k->super.sock);
	pm_closep(&k->super.sock);
	k->super.sock = -1;
}

static void log_exit(const struct supervisor *s, const siginfo_t *info)
{
	bool by_code = info->si_code == CLD_EXITED;

	pm_log(s->leaving ? PM_LOG_INFO : PM_LOG_WARN, "supervisor.exit", "pid=%d %s=%d%s",
	       (int)s->pid, by_code ? "status" : "signal", info->si_status,
	       s->leaving ? "" : "; apps go on, it is started again");
}

void keeper_super_on_exit(struct keeper *k, const siginfo_t *info)
{
	struct supervisor *s = &k->super;
	bool expected = s->leaving;

	log_exit(s, info);
	pm_closep(&s->pidfd);
	s->pidfd = -1;
	s->pid = 0;
	keeper_drain(k); /* its last words */
	detach(k);
	s->ready = s->leaving = false;
	s->kill_at_ms = s->check_at_ms = 0;
	slots_kill_jobs(k);
	if (k->stopping) {
		takeover_close(k);
		keeper_home_remove_pid(k);
		k->exit_status = 0;
		return;
	}
	if (k->takeover.asked) {
		takeover_go(k);
		if (k->exit_status >= 0)
			return;
	}
	if (!expected)
		count_death(s);
	if (k->upgrade.phase == UPGRADE_TRYING && !expected &&
	    ++k->upgrade.deaths >= UPGRADE_DEATHS_MAX && !k->upgrade.going_back)
		keeper_upgrade_go_back(k, "the new supervisor died 3 times");
	if (k->upgrade.going_back)
		keeper_upgrade_exec_old(k);
	start_later(k);
}

void keeper_super_patience(struct keeper *k, uint64_t ms)
{
	uint64_t at = pm_now_ms() + ms;

	if (k->super.pid != 0 && (k->super.kill_at_ms == 0 || k->super.kill_at_ms > at))
		k->super.kill_at_ms = at;
}

void keeper_super_kill(struct keeper *k)
{
	if (k->super.pid != 0)
		(void)syscall(SYS_pidfd_send_signal, k->super.pidfd, SIGKILL, NULL, 0);
	k->super.kill_at_ms = 0;
}

void keeper_super_quit(struct keeper *k)
{
	if (k->super.pid == 0)
		return;
	k->super.leaving = true;
	k->out.quit_due = true;
	keeper_super_patience(k, LEAVE_MS);
	keeper_out_flush(k);
}

void keeper_super_forward(struct keeper *k, int signal)
{
	if (k->super.pid != 0 && k->super.ready && !k->super.leaving)
		(void)syscall(SYS_pidfd_send_signal, k->super.pidfd, signal, NULL, 0);
	else
		(void)sigaddset(&k->forward,
		                signal); /* before its handlers are set, it would die */
}

void keeper_super_ready(struct keeper *k)
{
	static const int forwarded[] = { SIGHUP, SIGUSR2 };

	k->super.ready = true;
	k->super.in_a_row = 0;
	if (k->upgrade.phase == UPGRADE_TRYING)
		keeper_upgrade_confirmed(k);
	else if (k->upgrade.phase != UPGRADE_NONE)
		k->upgrade.phase = UPGRADE_NONE;
	if (!k->notified_ready)
		(void)notify_send("READY=1\nMAINPID=%d\nSTATUS=supervising", (int)getpid());
	k->notified_ready = true;
	for (size_t i = 0; i < PM_COUNT(forwarded); i++)
		if (sigismember(&k->forward, forwarded[i]) == 1)
			keeper_super_forward(k, forwarded[i]);
	(void)sigemptyset(&k->forward);
	if (k->stop_wanted)
		keeper_super_forward(k, SIGTERM);
}

static int until(uint64_t at_ms, uint64_t now_ms, int best)
{
	uint64_t ms;

	if (at_ms == 0)
		return best;
	ms = at_ms > now_ms ? PM_MIN(at_ms - now_ms, 60000u) : 0;
	return best < 0 || (int)ms < best ? (int)ms : best;
}

int keeper_super_tick(struct keeper *k, uint64_t now_ms)
{
	struct supervisor *s = &k->super;
	int ms = -1;

	if (s->start_at_ms != 0 && s->start_at_ms <= now_ms && k->exit_status < 0)
		keeper_super_start(k);
	if (s->kill_at_ms != 0 && s->kill_at_ms <= now_ms) {
		pm_log(PM_LOG_WARN, "supervisor.kill", "pid=%d does not leave", (int)s->pid);
		keeper_super_kill(k);
	}
	if (s->check_at_ms != 0 && s->check_at_ms <= now_ms)
		check_life(k, now_ms);
	if (k->upgrade.deadline_ms != 0 && k->upgrade.deadline_ms <= now_ms)
		keeper_upgrade_go_back(k, "the new supervisor is not ready in 5 s");
	if (k->out.retry_at_ms != 0 && k->out.retry_at_ms <= now_ms)
		keeper_out_flush(k);
	ms = until(s->start_at_ms, now_ms, ms);
	ms = until(s->kill_at_ms, now_ms, ms);
	ms = until(s->check_at_ms, now_ms, ms);
	ms = until(k->upgrade.deadline_ms, now_ms, ms);
	return until(k->out.retry_at_ms, now_ms, ms);
}

/* ---- what it is to be told ---- */

void keeper_out_reset(struct keeper *k)
{
	struct out *o = &k->out;

	for (; o->len > 0; o->len--, o->head = (o->head + 1) % PM_SLOTS_MAX) {
		struct slot *s = &k->slots[o->line[o->head]];

		s->queued = false;
		s->due = 0;
	}
	o->greeted = o->adopting = o->welcome_due = o->quit_due = o->want_write = false;
	o->retry_at_ms = 0;
}

void keeper_out_hello(struct keeper *k)
{
	/* Whatever was due is in the slots, which all go out now. */
	keeper_out_reset(k);
	k->out.greeted = k->out.adopting = k->out.welcome_due = true;
	k->out.next_slot = k->out.next_held = 0;
}

void keeper_out_due(struct keeper *k, struct slot *s, unsigned due)
{
	struct out *o = &k->out;
	uint32_t index = slot_index(k, s);

	if (!o->greeted || (o->adopting && index >= o->next_slot))
		return; /* the SLOT record will tell */
	s->due |= due;
	if (s->queued)
		return;
	s->queued = true;
	o->line[(o->head + o->len++) % PM_SLOTS_MAX] = (uint16_t)index;
}

void keeper_out_note(struct keeper *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(k->out.note, sizeof(k->out.note), fmt, ap);
	va_end(ap);
}

/* Returns whether it went out. */
static bool put(struct keeper *k, const struct keeper_record *r, const int *fds, size_t n_fds)
{
	int error = keeper_send(k->super.sock, r, fds, n_fds);

	k->out.retry_at_ms = 0;
	if (error == 0)
		return true;
	if (error == ETOOMANYREFS) {
		k->out.retry_at_ms = pm_now_ms() + 10; /* the socket is writable all the time */
	} else if (error == EAGAIN) {
		k->out.want_write = true;
		keeper_watch(k, k->super.sock, WATCH_SUPERVISOR, 0, true);
	} else {
		if (error != EPIPE) /* its end is closed, and it is leaving */
			pm_log(PM_LOG_ERROR, "supervisor.send", "op=%u slot=%u %s", r->op, r->slot,
			       strerror(error));
		keeper_super_patience(k, HANGUP_MS);
	}
	return false;
}

static bool put_welcome(struct keeper *k)
{
	struct keeper_record r = { .op = KEEPER_WELCOME,
		                   .pid = (int32_t)getpid(),
		                   .spawn_boot_ms = (int64_t)k->started_boot_ms,
		                   .restarts = k->super.restarts };

	return put(k, &r, NULL, 0);
}

static bool put_slot(struct keeper *k, const struct slot *s)
{
	struct keeper_record r = s->r;
	int fds[KEEPER_FD_COUNT];
	size_t n = keeper_fds_pack(s->fds, &r.fd_mask, fds);

	return put(k, &r, fds, n);
}

static bool put_held(struct keeper *k, const struct held *h)
{
	struct keeper_record r = { .op = KEEPER_HELD };

	memcpy(r.name, h->name, sizeof(r.name));
	return put(k, &r, &h->fd, 1);
}

static bool put_due(struct keeper *k, struct slot *s)
{
	struct keeper_record r = s->r;

	r.slot = slot_index(k, s);
	if ((s->due & DUE_SPAWNED) != 0) {
		bool ok = r.error == 0;

		r.op = KEEPER_SPAWNED;
		r.fd_mask = ok ? 1u << KEEPER_FD_PIDFD : 0;
		if (!put(k, &r, &s->fds[KEEPER_FD_PIDFD], ok ? 1 : 0))
			return false;
		s->due &= ~DUE_SPAWNED;
	}
	if ((s->due & DUE_EXITED) != 0) {
		r.op = KEEPER_EXITED;
		r.fd_mask = 0;
		if (!put(k, &r, NULL, 0))
			return false;
		s->due &= ~DUE_EXITED;
	}
	return true;
}

static bool put_text(struct keeper *k, uint32_t op, const char *text)
{
	struct keeper_record r = { .op = op };

	memcpy(r.name, text, strnlen(text, sizeof(r.name) - 1));
	return put(k, &r, NULL, 0);
}

static bool flush_adoption(struct keeper *k)
{
	struct out *o = &k->out;

	if (o->welcome_due && !put_welcome(k))
		return false;
	o->welcome_due = false;
	for (; o->next_slot < k->slots_top; o->next_slot++) {
		const struct slot *s = &k->slots[o->next_slot];

		if (s->r.state != KEEPER_SLOT_FREE && !put_slot(k, s))
			return false;
	}
	for (; o->next_held < k->n_held; o->next_held++)
		if (!put_held(k, &k->held[o->next_held]))
			return false;
	if (!put_text(k, KEEPER_END, ""))
		return false;
	o->adopting = false;
	return true;
}

static bool flush_line(struct keeper *k)
{
	struct out *o = &k->out;

	while (o->len > 0) {
		struct slot *s = &k->slots[o->line[o->head]];

		if (!put_due(k, s))
			return false;
		s->queued = false;
		o->head = (o->head + 1) % PM_SLOTS_MAX;
		o->len--;
	}
	return true;
}

void keeper_out_flush(struct keeper *k)
{
	struct out *o = &k->out;
	bool was_full = o->want_write;

	if (k->super.sock < 0)
		return;
	o->want_write = false;
	if ((o->adopting && !flush_adoption(k)) || !flush_line(k))
		return;
	/* Words go only to one that listens; QUIT goes to any. */
	if (o->note[0] != '\0' && k->super.ready) {
		if (!put_text(k, KEEPER_NOTE, o->note))
			return;
		o->note[0] = '\0';
	}
	if (o->quit_due) {
		if (!put_text(k, KEEPER_QUIT, ""))
			return;
		o->quit_due = false;
	}
	if (was_full)
		keeper_watch(k, k->super.sock, WATCH_SUPERVISOR, 0, false);
}
