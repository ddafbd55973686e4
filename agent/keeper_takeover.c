/*
 * Handing everything to another process, which becomes the keeper: a `pmd agent` that systemd has
 * started while one started by hand runs.  The newcomer says HELLO on takeover.sock, as a
 * supervisor would; our supervisor leaves; then WELCOME, SLOT..., HELD..., END go out, the last
 * with the home's lock, so that there is no moment without one; and when READY says that all has
 * arrived, we exit. The processes are not the newcomer's children: it watches them through their
 * pidfds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/keeper_int.h"
#include "proto/log.h"
#include "proto/paths.h"

#define SOCKET_NAME "takeover.sock"
#define STEP_MS     5000
#define ASK_MS      15000 /* the supervisor's time to leave, and then some */

static void close_conn(struct keeper *k)
{
	if (k->takeover.conn_fd >= 0) {
		keeper_unwatch(k, k->takeover.conn_fd);
		pm_closep(&k->takeover.conn_fd);
	}
	k->takeover.conn_fd = -1;
	k->takeover.asked = false;
}

/* ---- who gives ---- */

static int listen_in_home(struct keeper *k, int fd, struct pm_error *err)
{
	PM_CLOSE int via = -1;
	struct sockaddr_un addr;
	socklen_t len;

	if (pm_home_address(k->opt.home, SOCKET_NAME, &addr, &len, &via, err) < 0)
		return -1;
	/* A name left by a dead one: the home is ours, we have its lock. */
	(void)unlinkat(k->home_fd, SOCKET_NAME, 0);
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 4) < 0)
		return pm_fail_errno(err, errno, "listen on %s/" SOCKET_NAME, k->opt.home);
	return 0;
}

void takeover_listen(struct keeper *k)
{
	PM_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pm_error err;

	if (fd < 0 || listen_in_home(k, fd, &err) < 0) {
		pm_log(PM_LOG_WARN, "keeper.takeover", "not possible here: %s",
		       fd < 0 ? strerror(errno) : err.what);
		return;
	}
	k->takeover.listen_fd = PM_STEAL_FD(fd);
	keeper_watch(k, k->takeover.listen_fd, WATCH_TAKEOVER_LISTEN, 0, false);
}

void takeover_close(struct keeper *k)
{
	close_conn(k);
	(void)unlinkat(k->home_fd, SOCKET_NAME, 0);
}

void takeover_offer(struct keeper *k, int sock)
{
	if (k->takeover.conn_fd >= 0 || k->upgrade.phase == UPGRADE_TRYING || k->stop_wanted) {
		(void)close(sock); /* it may ask again */
		return;
	}
	k->takeover.conn_fd = sock;
	keeper_watch(k, sock, WATCH_TAKEOVER, 0, false);
}

void takeover_accept(struct keeper *k)
{
	PM_CLOSE int fd = accept4(k->takeover.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	if (peer.uid != geteuid() && peer.uid != 0) {
		pm_log(PM_LOG_WARN, "keeper.takeover", "refused: uid=%u", (unsigned)peer.uid);
		return;
	}
	takeover_offer(k, PM_STEAL_FD(fd));
}

void takeover_input(struct keeper *k)
{
	struct keeper_msg m;
	int rc = keeper_recv(k->takeover.conn_fd, &m);

	if (rc == -EAGAIN)
		return;
	if (rc <= 0 || m.r.op != KEEPER_HELLO || k->takeover.asked) {
		/* Gone, or no keeper.  If our supervisor was told to leave, a new one comes. */
		if (rc > 0)
			keeper_msg_close(&m);
		close_conn(k);
		return;
	}
	keeper_msg_close(&m);
	pm_log(PM_LOG_INFO, "keeper.takeover", "another agent takes over");
	k->takeover.asked = true;
	if (k->super.pid == 0)
		takeover_go(k);
	else
		keeper_super_quit(k);
}

static int give(const struct keeper *k, uint32_t op, const int *fds, size_t n_fds, uint64_t by)
{
	struct keeper_record r = { .op = op, .pid = (int32_t)getpid() };

	r.restarts = k->super.restarts;
	return keeper_send_until(k->takeover.conn_fd, &r, fds, n_fds, by);
}

static int give_all(const struct keeper *k, uint64_t by)
{
	int error = give(k, KEEPER_WELCOME, NULL, 0, by);

	for (uint32_t i = 0; error == 0 && i < k->slots_top; i++) {
		struct keeper_record r = k->slots[i].r;
		int fds[KEEPER_FD_COUNT];
		size_t n;

		if (r.state == KEEPER_SLOT_FREE)
			continue;
		n = keeper_fds_pack(k->slots[i].fds, &r.fd_mask, fds);
		error = keeper_send_until(k->takeover.conn_fd, &r, fds, n, by);
	}
	for (uint32_t i = 0; error == 0 && i < k->n_held; i++) {
		struct keeper_record r = { .op = KEEPER_HELD };

		memcpy(r.name, k->held[i].name, sizeof(r.name));
		error = keeper_send_until(k->takeover.conn_fd, &r, &k->held[i].fd, 1, by);
	}
	if (error == 0)
		error = give(k, KEEPER_END, &k->lock_fd, 1, by);
	return error;
}

void takeover_go(struct keeper *k)
{
	uint64_t by = pm_now_ms() + STEP_MS;
	struct keeper_msg m;
	int error = give_all(k, by);

	m.r.op = KEEPER_NONE;
	m.n_fds = 0;
	if (error == 0 && keeper_recv_until(k->takeover.conn_fd, &m, by) != 1)
		error = ETIMEDOUT;
	keeper_msg_close(&m);
	if (error == 0 && m.r.op == KEEPER_READY) {
		pm_log(PM_LOG_INFO, "keeper.takeover", "everything was handed over");
		k->exit_status = 0;
		return;
	}
	pm_log(PM_LOG_WARN, "keeper.takeover", "it did not take over, we go on: %s",
	       strerror(error));
	close_conn(k);
	k->super.start_at_ms = pm_now_ms();
}

/* ---- who takes ---- */

static int take_slot(struct keeper *k, struct keeper_msg *m)
{
	struct slot *s = slot_at(k, m->r.slot);
	int fds[KEEPER_FD_COUNT];
	size_t at = 0;

	if (s == NULL || m->fds_lost || m->n_fds != keeper_mask_count(m->r.fd_mask))
		return -1;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		fds[role] = (m->r.fd_mask & 1u << role) != 0 ? keeper_msg_take(m, at++) : -1;
	m->r.foreign = 1;
	if (m->r.state == KEEPER_SLOT_ALIVE) {
		slot_fill(k, s, &m->r, fds);
	} else {
		s->r = m->r;
		memcpy(s->fds, fds, sizeof(fds));
	}
	return 0;
}

/* Returns 1 when this was the last, 0, or -1. */
static int take(struct keeper *k, struct keeper_msg *m)
{
	switch (m->r.op) {
	case KEEPER_WELCOME:
		k->super.restarts = m->r.restarts;
		return 0;
	case KEEPER_SLOT:
		return take_slot(k, m);
	case KEEPER_HELD:
		return m->n_fds == 1 && held_put(k, m->r.name, keeper_msg_take(m, 0)) == 0 ? 0 : -1;
	case KEEPER_END:
		if (m->n_fds != 1)
			return -1;
		/* Our own open file of the lock never had it; this one has. */
		pm_closep(&k->lock_fd);
		k->lock_fd = keeper_msg_take(m, 0);
		return 1;
	default:
		return -1;
	}
}

static void forget_all(struct keeper *k)
{
	for (uint32_t i = 0; i < k->slots_top; i++) {
		if (k->slots[i].r.state == KEEPER_SLOT_ALIVE)
			k->n_alive--;
		if (k->slots[i].r.state != KEEPER_SLOT_FREE)
			k->slots[i].r.state = KEEPER_SLOT_EXITED;
		slot_release(k, &k->slots[i]);
	}
	while (k->n_held > 0)
		held_drop(k, k->held[0].name);
}

static int take_all(struct keeper *k, int sock, struct pm_error *err)
{
	uint64_t by = pm_now_ms() + ASK_MS;
	struct keeper_record r = { .op = KEEPER_HELLO };
	int done = 0, error = keeper_send_until(sock, &r, NULL, 0, by);
	struct keeper_msg m;

	while (error == 0 && done == 0) {
		int rc = keeper_recv_until(sock, &m, by);

		if (rc != 1)
			return pm_fail_errno(err, rc == 0 ? ECONNRESET : -rc, "ask for it");
		done = take(k, &m);
		keeper_msg_close(&m);
	}
	if (done < 0)
		return pm_fail(err, PM_PROTOCOL, "what it handed over is not complete");
	r.op = KEEPER_READY;
	error = error != 0 ? error : keeper_send_until(sock, &r, NULL, 0, by);
	if (error != 0)
		return pm_fail_errno(err, error, "ask for it");
	/* Until it is gone, its children are not ours to expect. */
	(void)keeper_recv_until(sock, &m, by);
	return 0;
}

int takeover_ask(struct keeper *k, struct pm_error *err)
{
	PM_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	PM_CLOSE int via = -1;
	struct sockaddr_un addr;
	socklen_t len;

	if (pm_home_address(k->opt.home, SOCKET_NAME, &addr, &len, &via, err) < 0)
		return -1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, len) < 0)
		return pm_fail_errno(err, errno, "connect to %s/" SOCKET_NAME, k->opt.home);
	if (take_all(k, fd, err) == 0)
		return 0;
	forget_all(k);
	return -1;
}
