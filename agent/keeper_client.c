#include "agent/keeper_client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent/keeper_io.h"
#include "proto/limits.h"
#include "proto/log.h"

#define ADOPT_MS     5000
#define RETRY_MS     10                 /* while too many descriptors are in flight */
#define QUEUE_MAX    (4 * PM_SLOTS_MAX) /* requests waiting for a keeper that does not read */
#define REPLIES_TURN PM_TURN_MAX

struct request {
	struct request *next;
	struct keeper_record r;
	size_t n_fds;
	int fds[]; /* owned */
};

struct keeper_client {
	uv_poll_t poll;   /* owned */
	uv_timer_t retry; /* owned */
	unsigned open;    /* handles the loop still holds */
	int fd;           /* owned; -1 when the keeper is lost or this was closed */
	const struct keeper_client_events *events; /* borrowed, with arg, until close */
	void *arg;
	struct request *first, **last; /* owned */
	size_t n_queued;
	bool closing;
};

/* ---- sending ---- */

static void request_free(struct request *q)
{
	for (size_t i = 0; i < q->n_fds; i++)
		pm_closep(&q->fds[i]);
	free(q);
}

static void queue_clear(struct keeper_client *k)
{
	while (k->first != NULL) {
		struct request *q = k->first;

		k->first = q->next;
		request_free(q);
	}
	k->last = &k->first;
	k->n_queued = 0;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct keeper_client *k, bool write_too)
{
	if (k->fd >= 0)
		(void)uv_poll_start(&k->poll, UV_READABLE | (write_too ? UV_WRITABLE : 0), on_poll);
}

static void flush(struct keeper_client *k);

static void on_retry(uv_timer_t *handle)
{
	flush(handle->data);
}

/* Send what is queued, or arrange that it is tried again. */
static void flush(struct keeper_client *k)
{
	while (k->first != NULL && k->fd >= 0) {
		struct request *q = k->first;
		int error = keeper_send(k->fd, &q->r, q->fds, q->n_fds);

		if (error == EAGAIN) {
			watch(k, true);
			return;
		}
		if (error == ETOOMANYREFS) {
			watch(k, false); /* it is writable all the time */
			(void)uv_timer_start(&k->retry, on_retry, RETRY_MS, 0);
			return;
		}
		if (error != 0)
			pm_log(PM_LOG_ERROR, "keeper.send", "op=%u %s", q->r.op, strerror(error));
		k->first = q->next;
		if (k->first == NULL)
			k->last = &k->first;
		k->n_queued--;
		request_free(q);
	}
	watch(k, false);
}

void keeper_client_flush(struct keeper_client *k, uint32_t ms)
{
	uint64_t deadline = pm_now_ms() + ms;

	while (k->first != NULL && k->fd >= 0 && pm_now_ms() < deadline) {
		struct request *q = k->first;

		if (keeper_send_until(k->fd, &q->r, q->fds, q->n_fds, deadline) != 0)
			return; /* the loop goes on with it */
		k->first = q->next;
		if (k->first == NULL)
			k->last = &k->first;
		k->n_queued--;
		request_free(q);
	}
}

void keeper_client_settle(struct keeper_client *k, uint32_t ms)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t deadline = pm_now_ms() + ms;
	int unread;

	keeper_client_flush(k, ms);
	/* What it has not read counts as ours (unix_outq_len() of the kernel).  It reads one word
	 * and does it before it reads the next. */
	while (k->fd >= 0 && ioctl(k->fd, SIOCOUTQ, &unread) == 0 && unread > 0 &&
	       pm_now_ms() < deadline)
		(void)nanosleep(&pause, NULL);
}

static int enqueue(struct keeper_client *k, const struct keeper_record *r, const int *fds,
                   size_t n_fds, struct pm_error *err)
{
	struct request *q;

	if (k->n_queued >= QUEUE_MAX)
		return pm_fail(err, PM_LIMIT, "%zu requests wait for the keeper", k->n_queued);
	q = pm_calloc(1, sizeof(*q) + n_fds * sizeof(q->fds[0]));
	if (q == NULL)
		return pm_fail(err, PM_NO_MEMORY, "ask the keeper");
	q->r = *r;
	for (; q->n_fds < n_fds; q->n_fds++) {
		int copy = fcntl(fds[q->n_fds], F_DUPFD_CLOEXEC, 0);

		if (copy < 0) {
			int error = errno;

			request_free(q);
			return pm_fail_errno(err, error, "ask the keeper");
		}
		q->fds[q->n_fds] = copy;
	}
	*k->last = q;
	k->last = &q->next;
	k->n_queued++;
	return 0;
}

static int request(struct keeper_client *k, const struct keeper_record *r, const int *fds,
                   size_t n_fds, struct pm_error *err)
{
	int error;

	if (k->fd < 0)
		return pm_fail(err, PM_NOT_RUNNING, "the keeper is gone");
	error = k->first != NULL ? EAGAIN : keeper_send(k->fd, r, fds, n_fds);
	if (error == 0)
		return 0;
	if (error == EPIPE || error == ECONNRESET) /* the loop is about to see that, too */
		return pm_fail(err, PM_NOT_RUNNING, "the keeper is gone");
	if (error != EAGAIN && error != ETOOMANYREFS)
		return pm_fail_errno(err, error, "ask the keeper");
	if (enqueue(k, r, fds, n_fds, err) < 0)
		return -1;
	flush(k);
	return 0;
}

/* ---- receiving ---- */

static void lost(struct keeper_client *k)
{
	if (k->fd < 0)
		return;
	(void)uv_poll_stop(&k->poll);
	(void)uv_timer_stop(&k->retry);
	pm_closep(&k->fd);
	k->fd = -1;
	queue_clear(k);
	k->events->on_lost(k->arg);
}

static void on_slot(struct keeper_client *k, struct keeper_msg *m)
{
	int fds[KEEPER_FD_COUNT];
	size_t at = 0;

	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		fds[role] = (m->r.fd_mask & 1u << role) != 0 && at < m->n_fds
		                    ? keeper_msg_take(m, at++)
		                    : -1;
	k->events->on_slot(k->arg, &m->r, fds);
}

/* Hand one record on. May close k as its last act. */
static void dispatch(struct keeper_client *k, struct keeper_msg *m)
{
	switch ((enum keeper_op)m->r.op) {
	case KEEPER_SLOT:
		on_slot(k, m);
		break;
	case KEEPER_HELD:
		if (m->n_fds > 0)
			k->events->on_held(k->arg, m->r.name, keeper_msg_take(m, 0));
		break;
	case KEEPER_SPAWNED:
		k->events->on_spawned(k->arg, &m->r, keeper_msg_take(m, 0));
		break;
	case KEEPER_EXITED:
		k->events->on_exited(k->arg, &m->r);
		break;
	case KEEPER_NOTE:
		k->events->on_note(k->arg, m->r.name);
		break;
	case KEEPER_QUIT:
		k->events->on_quit(k->arg);
		break;
	case KEEPER_WELCOME:
	case KEEPER_END:
		break;
	case KEEPER_NONE:
	case KEEPER_HELLO:
	case KEEPER_SPAWN:
	case KEEPER_RELEASE:
	case KEEPER_SLOT_HOLD:
	case KEEPER_HOLD:
	case KEEPER_DROP:
	case KEEPER_READY:
	case KEEPER_UPGRADE:
	case KEEPER_STOP:
	case KEEPER_ADOPT:
	case KEEPER_HANDOVER:
	case KEEPER_ALIVE:
		pm_log(PM_LOG_ERROR, "keeper.reply", "op=%u is not an answer", m->r.op);
		break;
	}
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct keeper_client *k = handle->data;
	struct keeper_msg m;

	if (status < 0) {
		lost(k);
		return;
	}
	if ((events & UV_WRITABLE) != 0)
		flush(k);
	for (unsigned n = 0; n < REPLIES_TURN && !k->closing && k->fd >= 0; n++) {
		int rc = keeper_recv(k->fd, &m);

		if (rc == -EAGAIN)
			return;
		if (rc == -EBADMSG) {
			pm_log(PM_LOG_ERROR, "keeper.reply", "a record that is none of ours");
			continue;
		}
		if (rc <= 0) {
			lost(k);
			return;
		}
		if (m.fds_lost)
			pm_log(PM_LOG_ERROR, "keeper.reply",
			       "op=%u slot=%u: out of descriptors, some are lost", m.r.op,
			       m.r.slot);
		dispatch(k, &m);
		keeper_msg_close(&m);
	}
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
	struct keeper_client *k = handle->data;

	if (--k->open == 0)
		free(k);
}

void keeper_client_close(struct keeper_client *k)
{
	if (k == NULL)
		return;
	k->closing = true;
	queue_clear(k);
	if (k->open > 1)
		uv_close((uv_handle_t *)&k->retry, on_closed);
	if (k->open > 0)
		uv_close((uv_handle_t *)&k->poll, on_closed);
	pm_closep(&k->fd);
	k->fd = -1;
	if (k->open == 0)
		free(k);
}

int keeper_client_create(uv_loop_t *loop, int fd, const struct keeper_client_events *events,
                         void *arg, struct keeper_client **out, struct pm_error *err)
{
	struct keeper_client *k = pm_calloc(1, sizeof(*k));
	int rc;

	if (k == NULL) {
		(void)close(fd);
		return pm_fail(err, PM_NO_MEMORY, "reach the keeper");
	}
	k->fd = fd;
	k->events = events;
	k->arg = arg;
	k->last = &k->first;
	k->poll.data = k->retry.data = k;
	rc = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : uv_poll_init(loop, &k->poll, fd);
	if (rc < 0)
		goto fail;
	k->open++;
	rc = uv_timer_init(loop, &k->retry);
	if (rc < 0)
		goto fail;
	k->open++;
	watch(k, false);
	*out = k;
	return 0;
fail:
	keeper_client_close(k);
	return pm_fail_errno(err, -rc, "reach the keeper");
}

/* Returns 1 at the end, 0, or -1. */
static int adopt_one(struct keeper_client *k, struct keeper_msg *m, struct keeper_record *welcome,
                     struct pm_error *err)
{
	if (m->fds_lost) {
		pm_fail(err, PM_LIMIT, "adopt: out of descriptors at slot %u", m->r.slot);
		pm_hint(err, "raise the limit of open files (ulimit -Hn)");
		return -1;
	}
	if (m->r.op == KEEPER_WELCOME)
		*welcome = m->r;
	if (m->r.op == KEEPER_END)
		return 1;
	dispatch(k, m);
	return 0;
}

int keeper_client_adopt(struct keeper_client *k, struct keeper_record *welcome,
                        struct pm_error *err)
{
	uint64_t deadline = pm_now_ms() + ADOPT_MS;
	const struct keeper_record hello = { .op = KEEPER_HELLO };
	int error = keeper_send_until(k->fd, &hello, NULL, 0, deadline);
	struct keeper_msg m;

	if (error != 0)
		return pm_fail_errno(err, error, "say hello to the keeper");
	for (;;) {
		int rc = keeper_recv_until(k->fd, &m, deadline);

		if (rc != 1)
			return pm_fail_errno(err, rc == 0 ? ECONNRESET : -rc,
			                     "hear from the keeper what runs");
		rc = adopt_one(k, &m, welcome, err);
		keeper_msg_close(&m);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
}

/* ---- requests ---- */

static struct keeper_record record(enum keeper_op op, uint32_t slot)
{
	return (struct keeper_record){ .op = op, .slot = slot };
}

/* The descriptors by role, without the pidfd, which is the keeper's own. */
static size_t pack_held(const int held[KEEPER_FD_COUNT], uint32_t *mask, int *out)
{
	int copy[KEEPER_FD_COUNT];

	memcpy(copy, held, sizeof(copy));
	copy[KEEPER_FD_PIDFD] = -1;
	return keeper_fds_pack(copy, mask, out);
}

int keeper_client_spawn(struct keeper_client *k, uint32_t slot, const struct spawn_plan *plan,
                        const int *child_fds, const int held[KEEPER_FD_COUNT],
                        const uint64_t user[4], bool is_job, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_SPAWN, slot);
	PM_CLOSE int memfd = -1;
	int fds[KEEPER_MSG_FDS];
	size_t n = 0;

	if (spawn_plan_write(plan, &memfd, err) < 0)
		return -1;
	fds[n++] = memfd;
	for (size_t i = 0; i < plan->n_child_fds; i++)
		fds[n++] = child_fds[i];
	n += pack_held(held, &r.fd_mask, fds + n);
	memcpy(r.user, user, sizeof(r.user));
	r.tag = plan->tag;
	r.is_job = is_job;
	return request(k, &r, fds, n, err);
}

int keeper_client_release(struct keeper_client *k, uint32_t slot, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_RELEASE, slot);

	return request(k, &r, NULL, 0, err);
}

int keeper_client_slot_hold(struct keeper_client *k, uint32_t slot, enum keeper_fd role, int fd,
                            struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_SLOT_HOLD, slot);

	r.fd_mask = 1u << role;
	return request(k, &r, &fd, fd >= 0 ? 1 : 0, err);
}

static int named(struct keeper_client *k, enum keeper_op op, const char *name, const int *fd,
                 struct pm_error *err)
{
	struct keeper_record r = record(op, 0);
	size_t len = strlen(name);

	if (len >= sizeof(r.name))
		return pm_fail(err, PM_LIMIT, "hold %s: the name is over %zu bytes", name,
		               sizeof(r.name) - 1);
	memcpy(r.name, name, len);
	return request(k, &r, fd, fd != NULL ? 1 : 0, err);
}

int keeper_client_hold(struct keeper_client *k, const char *name, int fd, struct pm_error *err)
{
	return named(k, KEEPER_HOLD, name, &fd, err);
}

int keeper_client_drop(struct keeper_client *k, const char *name, struct pm_error *err)
{
	return named(k, KEEPER_DROP, name, NULL, err);
}

int keeper_client_adopt_foreign(struct keeper_client *k, uint32_t slot, pid_t pid,
                                uint64_t start_ticks, uint64_t tag, const int held[KEEPER_FD_COUNT],
                                const uint64_t user[4], struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_ADOPT, slot);
	int fds[KEEPER_FD_COUNT];
	size_t n = pack_held(held, &r.fd_mask, fds);

	r.pid = pid;
	r.start_ticks = start_ticks;
	r.tag = tag;
	memcpy(r.user, user, sizeof(r.user));
	return request(k, &r, fds, n, err);
}

int keeper_client_ready(struct keeper_client *k, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_READY, 0);

	return request(k, &r, NULL, 0, err);
}

int keeper_client_alive(struct keeper_client *k, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_ALIVE, 0);

	return request(k, &r, NULL, 0, err);
}

int keeper_client_upgrade(struct keeper_client *k, int exe_fd, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_UPGRADE, 0);

	return request(k, &r, &exe_fd, 1, err);
}

int keeper_client_handover(struct keeper_client *k, int sock, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_HANDOVER, 0);

	return request(k, &r, &sock, 1, err);
}

int keeper_client_stop(struct keeper_client *k, struct pm_error *err)
{
	struct keeper_record r = record(KEEPER_STOP, 0);

	return request(k, &r, NULL, 0, err);
}
