#include "agent/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/keeper_int.h"
#include "agent/notify.h"
#include "agent/own_log.h"
#include "agent/spawn.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* Requests served in one turn of the loop: a spawn takes about a millisecond, and exits wait
 * meanwhile. */
#define REQUESTS_TURN 16
#define EVENTS_TURN   64

static struct keeper the_keeper; /* its tables are large and mostly untouched */

/* ---- epoll ---- */

void keeper_watch(struct keeper *k, int fd, enum watched what, uint32_t slot, bool write_too)
{
	struct epoll_event ev = { .events = EPOLLIN | (write_too ? EPOLLOUT : 0u),
		                  .data.u64 = (uint64_t)what << 32 | slot };

	if (epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return;
	if (errno != EEXIST || epoll_ctl(k->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0)
		pm_log(PM_LOG_ERROR, "keeper.epoll", "fd=%d %s", fd, strerror(errno));
}

void keeper_unwatch(struct keeper *k, int fd)
{
	(void)epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* fails only if it is not in */
}

/* ---- requests ---- */

/* Take the message's descriptors from `at` on into fds by the record's mask. Returns 0 or EPROTO.
 */
static int take_roles(struct keeper_msg *m, size_t at, int fds[KEEPER_FD_COUNT])
{
	uint32_t mask = m->r.fd_mask & ~(1u << KEEPER_FD_PIDFD);

	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		fds[role] = -1;
	if (m->n_fds != at + keeper_mask_count(mask))
		return EPROTO;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		if ((mask & 1u << role) != 0)
			fds[role] = keeper_msg_take(m, at++);
	return 0;
}

static void close_roles(int fds[KEEPER_FD_COUNT])
{
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		pm_closep(&fds[role]);
}

/* The record that a slot begins with: what the supervisor said, nothing of an earlier life. */
static struct keeper_record begin_record(const struct keeper_msg *m)
{
	struct keeper_record r = { .op = KEEPER_SLOT,
		                   .slot = m->r.slot,
		                   .tag = m->r.tag,
		                   .is_job = m->r.is_job,
		                   .spawn_boot_ms = (int64_t)pm_now_ms() };

	memcpy(r.user, m->r.user, sizeof(r.user));
	memcpy(r.name, m->r.name, sizeof(r.name));
	return r;
}

/* A slot that cannot be used answers for itself: no slot remembers this. */
static bool slot_is_free(struct keeper *k, const struct keeper_msg *m)
{
	const struct slot *s = slot_at(k, m->r.slot);

	if (s != NULL && s->r.state == KEEPER_SLOT_FREE && s->due == 0)
		return true;
	pm_log(PM_LOG_ERROR, "keeper.slot", "op=%u slot=%u is not free or does not exist", m->r.op,
	       m->r.slot);
	return false;
}

static void spawn_failed(struct keeper *k, struct slot *s, const struct keeper_record *r)
{
	s->r = *r;
	s->r.state = KEEPER_SLOT_FREE;
	keeper_out_due(k, s, DUE_SPAWNED);
}

static void spawn_mapped(struct keeper *k, struct keeper_msg *m, const struct spawn_plan *plan)
{
	struct slot *s = slot_at(k, m->r.slot);
	struct spawn_request request = { plan, m->fds + 1, -1, &k->origin };
	struct keeper_record r = begin_record(m);
	struct spawn_result result;
	int fds[KEEPER_FD_COUNT];

	if (m->n_fds < 1 + plan->n_child_fds || take_roles(m, 1 + plan->n_child_fds, fds) != 0) {
		r.error = EPROTO;
		r.stage = SPAWN_STAGE_PLAN;
		spawn_failed(k, s, &r);
		return;
	}
	spawn_child(&request, &result);
	(void)PM_FAIL_POINT("keeper.after_fork");
	r.error = result.error;
	r.stage = result.stage;
	r.pid = result.pid;
	r.start_ticks = result.start_ticks;
	r.tag = result.tagged ? plan->tag : 0;
	if (result.error != 0) {
		close_roles(fds);
		r.pid = 0;
		spawn_failed(k, s, &r);
		return;
	}
	fds[KEEPER_FD_PIDFD] = result.pidfd;
	slot_fill(k, s, &r, fds);
	keeper_out_due(k, s, DUE_SPAWNED);
	(void)PM_FAIL_POINT("keeper.before_spawned");
}

static void on_spawn(struct keeper *k, struct keeper_msg *m)
{
	struct spawn_mapped plan = { .map = NULL };
	struct keeper_record r = begin_record(m);

	if (!slot_is_free(k, m))
		return;
	r.stage = SPAWN_STAGE_PLAN;
	r.error = m->fds_lost ? EMFILE : m->n_fds < 1 ? EPROTO : spawn_plan_map(m->fds[0], &plan);
	if (r.error != 0)
		spawn_failed(k, slot_at(k, m->r.slot), &r);
	else
		spawn_mapped(k, m, &plan.plan);
	spawn_plan_unmap(&plan);
}

static void on_adopt(struct keeper *k, struct keeper_msg *m)
{
	struct slot *s = slot_at(k, m->r.slot);
	struct keeper_record r = begin_record(m);
	int fds[KEEPER_FD_COUNT];

	if (!slot_is_free(k, m))
		return;
	r.pid = m->r.pid;
	r.start_ticks = m->r.start_ticks;
	r.foreign = 1;
	r.error = m->fds_lost ? EMFILE : take_roles(m, 0, fds);
	if (r.error != 0) {
		spawn_failed(k, s, &r);
		return;
	}
	slot_fill(k, s, &r, fds);
	slot_watch_foreign(k, s);
	if (s->r.state == KEEPER_SLOT_EXITED) {
		slot_release(k, s);
		s->due = 0;
		r.error = ESRCH;
		spawn_failed(k, s, &r);
		return;
	}
	keeper_out_due(k, s, DUE_SPAWNED);
}

static void on_slot_hold(struct keeper *k, struct keeper_msg *m)
{
	struct slot *s = slot_at(k, m->r.slot);
	uint32_t mask = m->r.fd_mask & ~(1u << KEEPER_FD_PIDFD);
	size_t at = 0;

	if (s == NULL || s->r.state == KEEPER_SLOT_FREE || m->fds_lost ||
	    (m->n_fds != 0 && m->n_fds != keeper_mask_count(mask))) {
		pm_log(PM_LOG_ERROR, "keeper.hold", "slot=%u: not used, or descriptors missing",
		       m->r.slot);
		return;
	}
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		if ((mask & 1u << role) != 0)
			slot_set_fd(s, role, m->n_fds == 0 ? -1 : keeper_msg_take(m, at++));
}

static void on_hold(struct keeper *k, struct keeper_msg *m)
{
	int error = m->n_fds != 1 ? EMFILE : held_put(k, m->r.name, keeper_msg_take(m, 0));

	if (error == 0)
		return;
	pm_log(PM_LOG_ERROR, "keeper.hold", "name=%s %s", m->r.name, strerror(error));
	keeper_out_note(k, "not held: %s", m->r.name);
}

static void on_stop(struct keeper *k)
{
	if (k->n_alive > 0)
		pm_log(PM_LOG_WARN, "keeper.stop", "%u processes are left alive", k->n_alive);
	(void)notify_send("STOPPING=1");
	k->stopping = true;
	k->super.leaving = true;
	keeper_super_patience(k, 5000);
}

static void on_request(struct keeper *k, struct keeper_msg *m)
{
	switch ((enum keeper_op)m->r.op) {
	case KEEPER_HELLO:
		keeper_out_hello(k);
		break;
	case KEEPER_SPAWN:
		on_spawn(k, m);
		break;
	case KEEPER_RELEASE:
		if (m->r.slot < PM_SLOTS_MAX)
			slot_release(k, slot_at(k, m->r.slot));
		break;
	case KEEPER_SLOT_HOLD:
		on_slot_hold(k, m);
		break;
	case KEEPER_HOLD:
		on_hold(k, m);
		break;
	case KEEPER_DROP:
		held_drop(k, m->r.name);
		break;
	case KEEPER_READY:
		keeper_super_ready(k);
		break;
	case KEEPER_UPGRADE:
		if (m->n_fds == 1 && k->super.pid != 0)
			keeper_upgrade_begin(k, keeper_msg_take(m, 0));
		break;
	case KEEPER_STOP:
		on_stop(k);
		break;
	case KEEPER_ADOPT:
		on_adopt(k, m);
		break;
	case KEEPER_HANDOVER:
		if (m->n_fds == 1 && k->super.pid != 0)
			takeover_offer(k, keeper_msg_take(m, 0));
		break;
	case KEEPER_ALIVE:
		keeper_super_alive(k);
		break;
	case KEEPER_NONE:
	case KEEPER_WELCOME:
	case KEEPER_SLOT:
	case KEEPER_HELD:
	case KEEPER_END:
	case KEEPER_SPAWNED:
	case KEEPER_EXITED:
	case KEEPER_NOTE:
	case KEEPER_QUIT:
		pm_log(PM_LOG_ERROR, "keeper.request", "op=%u is not a request", m->r.op);
		break;
	}
}

/* Returns whether there may be more. */
static bool serve_one(struct keeper *k)
{
	struct keeper_msg m;
	int rc = keeper_recv(k->super.sock, &m);

	if (rc == -EBADMSG) {
		pm_log(PM_LOG_ERROR, "keeper.request", "a record that is none of ours");
		return true;
	}
	if (rc == -EAGAIN)
		return false;
	if (rc <= 0) {
		/* It is exiting, and then SIGCHLD comes; or it is sick. */
		keeper_unwatch(k, k->super.sock);
		keeper_super_patience(k, 1000);
		return false;
	}
	on_request(k, &m);
	keeper_msg_close(&m);
	return true;
}

static void on_supervisor(struct keeper *k)
{
	for (unsigned n = 0; n < REQUESTS_TURN && k->super.sock >= 0; n++)
		if (!serve_one(k))
			return;
}

void keeper_drain(struct keeper *k)
{
	while (k->super.sock >= 0 && serve_one(k))
		continue;
}

/* ---- signals ---- */

static void on_stop_signal(struct keeper *k, int signal)
{
	pm_log(PM_LOG_INFO, "keeper.signal", "%s: stopping every app",
	       signal == SIGTERM  ? "SIGTERM"
	       : signal == SIGINT ? "SIGINT"
	                          : "SIGQUIT");
	k->stop_wanted = true;
	if (k->super.ready)
		keeper_super_forward(k, SIGTERM);
}

static void on_signals(struct keeper *k)
{
	struct signalfd_siginfo info;

	while (read(k->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			k->reap_more = true;
			break;
		case SIGTERM:
		case SIGINT:
		case SIGQUIT:
			on_stop_signal(k, (int)info.ssi_signo);
			break;
		default:
			keeper_super_forward(k, (int)info.ssi_signo);
			break;
		}
	}
}

static int open_signals(struct keeper *k)
{
	static const int handled[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGQUIT };
	struct sigaction dfl = { .sa_handler = SIG_DFL }, ign = { .sa_handler = SIG_IGN };
	const unsigned long kernel_dfl[8] = { 0 }; /* the kernel's struct sigaction */
	sigset_t set;

	/* Children inherit what is ignored, so nothing is, but SIGPIPE, which spawning puts right.
	 */
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGSEGV && sig != SIGBUS &&
		    sig != SIGFPE && sig != SIGILL && sig != SIGABRT)
			(void)sigaction(sig, &dfl, NULL);
	/* libc's own two, which sigaction(3) refuses: its posix_spawn(3) leaves them ignored. */
	for (int sig = 32; sig < SIGRTMIN; sig++)
		(void)syscall(SYS_rt_sigaction, sig, kernel_dfl, NULL, _NSIG / 8);
	(void)sigaction(SIGPIPE, &ign, NULL);
	(void)sigemptyset(&set);
	for (size_t i = 0; i < PM_COUNT(handled); i++)
		(void)sigaddset(&set, handled[i]);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k->signal_fd < 0)
		return -1;
	keeper_watch(k, k->signal_fd, WATCH_SIGNALS, 0, false);
	return 0;
}

/* ---- loop ---- */

static void on_event(struct keeper *k, const struct epoll_event *ev)
{
	switch ((enum watched)(ev->data.u64 >> 32)) {
	case WATCH_SIGNALS:
		on_signals(k);
		break;
	case WATCH_SUPERVISOR:
		on_supervisor(k);
		break;
	case WATCH_SLOT:
		slot_lost(k, &k->slots[(uint32_t)ev->data.u64]);
		break;
	case WATCH_TAKEOVER_LISTEN:
		takeover_accept(k);
		break;
	case WATCH_TAKEOVER:
		takeover_input(k);
		break;
	}
}

static void turn(struct keeper *k)
{
	struct epoll_event events[EVENTS_TURN];
	int timeout, n;

	timeout = keeper_super_tick(k, pm_now_ms());
	if (k->exit_status >= 0)
		return;
	n = epoll_wait(k->epoll_fd, events, EVENTS_TURN, k->reap_more ? 0 : timeout);
	for (int i = 0; i < n && k->exit_status < 0; i++)
		on_event(k, &events[i]);
	if (k->reap_more)
		slots_reap(k);
	keeper_out_flush(k);
	own_log_check();
}

/* ---- start ---- */

/* Our own stdin, stdout and stderr: nothing we were started with stays open, or a command in a pipe
 * would wait for us for ever. */
static void redirect(const struct keeper *k)
{
	PM_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		(void)dup2(null, STDIN_FILENO);
	if (k->opt.foreground)
		return;
	(void)dup2(own_log_fd(), STDOUT_FILENO);
	(void)dup2(own_log_fd(), STDERR_FILENO);
}

static int open_files(struct keeper *k)
{
	struct pm_error err;

	k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (k->epoll_fd < 0 || open_signals(k) < 0) {
		(void)fprintf(stderr, "pmd: epoll: %s\n", strerror(errno));
		return 1;
	}
	if (own_log_open(k->opt.home, k->opt.as_pm2, "keeper", k->opt.foreground, &err) < 0 ||
	    origin_write(&k->origin, &k->origin_fd, &err) < 0) {
		(void)fprintf(stderr, "pmd: %s\n", err.what);
		return 1;
	}
	return 0;
}

static int start_fresh(struct keeper *k)
{
	int status;

	/* 0, 1 and 2 must be something, or a file of ours would take their place; above them,
	 * whatever leaked into us ends here. */
	while ((status = open("/dev/null", O_RDWR)) >= 0 && status <= 2)
		continue;
	(void)close_range(3, ~0u, 0);
	origin_take(&k->origin);
	status = spawn_init();
	if (status != 0) {
		(void)fprintf(stderr, "pmd: /dev/null: %s\n", strerror(status));
		return 1;
	}
	k->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (k->exe_fd < 0) {
		(void)fprintf(stderr, "pmd: /proc/self/exe: %s\n", strerror(errno));
		return 1;
	}
	return keeper_home_take(k);
}

static void keeper_init(struct keeper *k, const struct keeper_options *options)
{
	k->opt = *options;
	k->origin_fd = k->home_fd = k->lock_fd = k->epoll_fd = k->signal_fd = -1;
	k->exe_fd = k->old_exe_fd = -1;
	k->super.pidfd = k->super.sock = -1;
	k->takeover.listen_fd = k->takeover.conn_fd = -1;
	k->exit_status = -1;
	k->started_boot_ms = pm_now_ms();
	(void)sigemptyset(&k->forward);
}

int keeper_run(const struct keeper_options *options)
{
	struct keeper *k = &the_keeper;
	int status;

	keeper_init(k, options);
	(void)umask(0077);
	(void)prctl(PR_SET_NAME, "pmd");
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	keeper_upgrade_remember_failpoints();
	status = options->restore_fd >= 0 ? keeper_restore(k) : start_fresh(k);
	if (status == 0)
		status = open_files(k);
	if (status != 0)
		return status;
	for (uint32_t i = 0; i < k->slots_top; i++)
		if (k->slots[i].r.state == KEEPER_SLOT_ALIVE && k->slots[i].r.foreign)
			slot_watch_foreign(k, &k->slots[i]);
	redirect(k);
	keeper_home_write_pid(k);
	takeover_listen(k);
	pm_log(PM_LOG_INFO, "keeper.start", "pid=%d version=" PM_VERSION " processes=%u",
	       (int)getpid(), k->n_alive);
	if (k->super.sock >= 0) {
		keeper_super_attach(k); /* over an exec: it makes place for its successor */
		keeper_super_quit(k);
	} else {
		keeper_super_start(k);
	}
	k->reap_more = true; /* children that died while nobody looked */
	while (k->exit_status < 0)
		turn(k);
	pm_log(PM_LOG_INFO, "keeper.exit", "status=%d", k->exit_status);
	return k->exit_status;
}
