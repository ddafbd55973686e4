#include "agent/notify_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/notify_msg.h"
#include "agent/process.h"
#include "agent/tree.h"
#include "agent/user.h"
#include "proto/log.h"

/* Descriptors that one datagram can bring: the kernel's SCM_MAX_FD. All are closed. */
#define FDS_MAX 253

struct notify_socket {
	struct super *su; /* borrowed */
	int fd;           /* owned */
	uv_poll_t poll;
	bool polling;
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1]; /* with '@' */
};

/* ---- who speaks ---- */

static struct instance *find_tagged(struct super *su, uint64_t tag)
{
	struct instance *shown = super_find_id(su, tree_tag_pm_id(tag));
	struct app *app = shown == NULL ? NULL : instance_app(shown);

	for (size_t i = 0; app != NULL && i < app_n_all(app); i++)
		if (instance_core(app_any(app, i))->tag == tag)
			return app_any(app, i);
	return NULL;
}

/* The kernel did not take its tag: its main process alone is known. */
static struct instance *find_untagged(const struct super *su, pid_t pid)
{
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++) {
		const struct process *p = su->processes[i];

		if (p != NULL && p->untagged && p->pid == pid && !p->exited)
			return p->inst;
	}
	return NULL;
}

static bool may_speak_for(const struct instance *inst, const struct ucred *from)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	struct pm_error err;
	struct user user;

	if (from->pid == instance_core(inst)->pid || from->uid == 0 || from->uid == geteuid())
		return true;
	return user_lookup(spec->uid, spec->gid, &user, &err) == 0 && from->uid == user.uid;
}

static struct instance *find_sender(struct super *su, const struct ucred *from)
{
	struct instance *inst = NULL;
	uint64_t tag;

	if (from->pid <= 0)
		return NULL;
	if (!tree_tag_of(from->pid, &tag))
		return find_untagged(su, from->pid);
	if (tree_tag_is_ours(tag, su->home_nonce))
		inst = find_tagged(su, tag);
	return inst != NULL && may_speak_for(inst, from) ? inst : NULL;
}

/* ---- what it says ---- */

static void close_fds(const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		(void)close(fd);
	}
}

/* false: nothing (more) is there. */
static bool read_one(struct notify_socket *n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	char bytes[NOTIFY_MSG_MAX];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(n->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct instance *inst = NULL;
	struct ucred from = { 0 };
	struct notify_msg said;

	if (len < 0)
		return errno == EINTR;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
		    c->cmsg_len >= CMSG_LEN(sizeof(from)))
			memcpy(&from, CMSG_DATA(c), sizeof(from));
	if ((msg.msg_flags & MSG_TRUNC) == 0)
		inst = find_sender(n->su, &from);
	/* Now it may go: see BARRIER=1. */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			close_fds(c);
	if (inst == NULL) {
		pm_log(PM_LOG_DEBUG, "notify.drop", "pid=%d uid=%u bytes=%zd", (int)from.pid,
		       (unsigned)from.uid, len);
		return true;
	}
	notify_msg_parse(bytes, (size_t)len, &said);
	instance_on_notify(inst, &said);
	return true;
}

void notify_socket_read(struct super *su)
{
	for (unsigned i = 0; su->notify != NULL && i < PM_NOTIFY_TURN_MAX; i++)
		if (!read_one(su->notify))
			return;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct notify_socket *n = poll->data;

	(void)events;
	if (status == 0)
		notify_socket_read(n->su);
}

/* ---- life time ---- */

static void on_closed(uv_handle_t *handle)
{
	struct notify_socket *n = handle->data;

	pm_closep(&n->fd);
	free(n);
}

static void destroy(struct notify_socket *n)
{
	if (n->polling)
		uv_close((uv_handle_t *)&n->poll, on_closed);
	else {
		pm_closep(&n->fd);
		free(n);
	}
}

/* fd is taken, and closed on failure. */
static int listen_to(struct super *su, int fd, struct notify_socket **out, struct pm_error *err)
{
	struct notify_socket *n = pm_calloc(1, sizeof(*n));
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr);
	int on = 1, rc;

	if (n == NULL) {
		(void)close(fd);
		return pm_fail(err, PM_NO_MEMORY, "notify socket");
	}
	n->su = su;
	n->fd = fd;
	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || addr.sun_family != AF_UNIX ||
	    len <= offsetof(struct sockaddr_un, sun_path) + 1 || addr.sun_path[0] != '\0' ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		destroy(n);
		return pm_fail(err, PM_INTERNAL, "notify socket: %s", strerror(errno));
	}
	(void)snprintf(n->name, sizeof(n->name), "@%.*s",
	               (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), addr.sun_path + 1);
	rc = uv_poll_init(su->loop, &n->poll, fd);
	if (rc < 0) {
		destroy(n);
		return pm_fail(err, PM_INTERNAL, "notify socket: %s", uv_strerror(rc));
	}
	n->polling = true;
	n->poll.data = n;
	(void)uv_poll_start(&n->poll, UV_READABLE, on_readable); /* the handle is open */
	*out = n;
	return 0;
}

/* The same name at each start, so that an app that outlived us is heard again; unless somebody has
 * taken it. */
static int bind_name(const struct super *su, int fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	uint64_t random = 0;

	for (unsigned i = 0; i < 8; i++) {
		int len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1,
		                   "pmd-notify-%u-%08x", (unsigned)geteuid(), su->home_nonce);

		if (i > 0 && getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random))
			len += snprintf(addr.sun_path + 1 + len,
			                sizeof(addr.sun_path) - 1 - (size_t)len, "-%016" PRIx64,
			                random);
		if (bind(fd, (struct sockaddr *)&addr,
		         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) ==
		    0)
			return 0;
		if (errno != EADDRINUSE)
			return -1;
	}
	return -1;
}

int notify_socket_open(struct super *su, struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	if (su->notify != NULL)
		return 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind_name(su, fd) < 0)
		return pm_fail_errno(err, errno, "notify socket");
	/* Without a keeper it is ours to hand to the one that we are about to become. */
	if (keeper_client_hold(su->keeper, NOTIFY_SOCKET_HELD, fd, err) < 0 &&
	    err->code != PM_NOT_RUNNING)
		return -1;
	return listen_to(su, PM_STEAL_FD(fd), &su->notify, err);
}

const char *notify_socket_name(const struct super *su)
{
	return su->notify == NULL ? NULL : su->notify->name;
}

void notify_socket_restore(struct super *su, int fd)
{
	struct pm_error err;

	if (su->notify != NULL) {
		(void)close(fd);
		return;
	}
	if (listen_to(su, fd, &su->notify, &err) < 0)
		super_degraded(su, "notify", err.what);
}

int notify_socket_fd(const struct super *su)
{
	return su->notify == NULL ? -1 : su->notify->fd;
}

void notify_socket_close(struct super *su)
{
	if (su->notify != NULL)
		destroy(PM_STEAL(su->notify));
}
