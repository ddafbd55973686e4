#include "agent/shim_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/log.h"

/* More than one request brings; what does not fit the kernel closes itself. */
#define FDS_MAX 2

struct shim_server {
	uv_poll_t poll;   /* owned */
	uv_timer_t pause; /* owned */
	unsigned open;    /* handles the loop still holds */
	int fd;           /* owned */
	struct shim_server_config config;
	uint64_t second_ms; /* when the current second of counting began */
	unsigned n_heard;   /* in it */
	bool closing, told;
};

/* ---- what comes in ---- */

static bool all_zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

static bool inet_key(const struct shim_request *r, struct socket_key *key)
{
	size_t len;

	key->family = r->family == SHIM_INET ? AF_INET : AF_INET6;
	if (r->port == 0 ||
	    inet_ntop(key->family, r->inet, key->address, sizeof(key->address)) == NULL)
		return false;
	len = strlen(key->address);
	if (r->scope != 0)
		(void)snprintf(key->address + len, sizeof(key->address) - len, "%%%" PRIu32,
		               r->scope);
	else if (all_zero(r->inet, r->family == SHIM_INET ? 4 : 16))
		key->address[0] = '\0';
	key->dual = r->family == SHIM_INET6 && r->v6_only == 0;
	key->port = r->port;
	return true;
}

static bool unix_key(const struct shim_request *r, struct socket_key *key)
{
	size_t len = strnlen(r->path, sizeof(r->path));

	if (len < 2 || len == sizeof(r->path) || (r->path[0] != '/' && r->path[0] != '@') ||
	    r->dgram != 0)
		return false;
	key->family = AF_UNIX;
	memcpy(key->address, r->path, len);
	return true;
}

bool shim_request_key(const void *bytes, size_t len, struct socket_key *key, enum shim_op *op)
{
	struct shim_request r;

	if (len != sizeof(r))
		return false;
	memcpy(&r, bytes, sizeof(r));
	if (r.magic != SHIM_MAGIC || r.version != SHIM_VERSION || r.op < SHIM_SOCKET ||
	    r.op > SHIM_RELEASE || r.dgram > 1 || r.v6_only > 1)
		return false;
	*key = (struct socket_key){ .type = r.dgram != 0 ? SOCK_DGRAM : SOCK_STREAM,
		                    .backlog = r.backlog };
	*op = (enum shim_op)r.op;
	switch (r.family) {
	case SHIM_INET:
	case SHIM_INET6:
		return r.op != SHIM_KEEP_PATH && inet_key(&r, key);
	case SHIM_UNIX:
		return unix_key(&r, key);
	default:
		return false;
	}
}

/* A descriptor of the worker's. One with SO_LINGER could make our close() wait for its peer. */
static void close_foreign(int fd)
{
	const struct linger off = { 0, 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	(void)close(fd);
}

struct incoming {
	ssize_t len;
	int reply_fd;                                   /* -1 */
	uint8_t bytes[sizeof(struct shim_request) + 1]; /* one more: a record that is too long */
};

static void take_fds(struct incoming *in, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (in->reply_fd < 0)
				in->reply_fd = fd;
			else
				close_foreign(fd);
		}
	}
}

/* Returns false when nothing is there; len 0: the worker and all that it forked are gone. */
static bool receive(int fd, struct incoming *in)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct iovec iov = { in->bytes, sizeof(in->bytes) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };

	in->reply_fd = -1;
	in->len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (in->len < 0)
		return errno != EAGAIN && errno != EINTR;
	take_fds(in, &msg);
	return true;
}

/* ---- what goes out ---- */

static void reply(int to, enum shim_op op, int error, int fd)
{
	struct shim_reply r = { SHIM_MAGIC, SHIM_VERSION, (uint16_t)op, error, 0 };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &r, sizeof(r) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int domain = -1;
	socklen_t len = sizeof(domain);

	if (getsockopt(to, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
		return;
	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* Not delivered: the one who asked is gone, or does not want to hear. */
	(void)sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer_socket(struct shim_server *s, const struct socket_key *key, int to)
{
	struct pm_error err;
	int fd = -1, errnum = 0;

	if (sockets_get(s->config.sockets, key, s->config.seat, s->config.generation, &fd, &errnum,
	                &err) < 0) {
		if (s->config.on_refused != NULL)
			s->config.on_refused(s->config.arg, err.what);
		fd = -1;
	}
	reply(to, SHIM_SOCKET, fd < 0 ? errnum : 0, fd);
	if (fd >= 0 && s->config.on_given != NULL)
		s->config.on_given(s->config.arg);
}

static void serve(struct shim_server *s, const struct incoming *in)
{
	struct socket_key key;
	enum shim_op op;

	if (!shim_request_key(in->bytes, (size_t)in->len, &key, &op)) {
		if (in->reply_fd >= 0)
			reply(in->reply_fd, SHIM_SOCKET, SHIM_OWN, -1);
		return;
	}
	switch (op) {
	case SHIM_SOCKET:
		if (in->reply_fd >= 0)
			answer_socket(s, &key, in->reply_fd);
		break;
	case SHIM_KEEP_PATH:
		if (in->reply_fd >= 0)
			reply(in->reply_fd, op,
			      sockets_has_path(s->config.sockets, key.address) ? 0 : ENOENT, -1);
		break;
	case SHIM_RELEASE:
		if (in->reply_fd >= 0)
			reply(in->reply_fd, op,
			      sockets_release(s->config.sockets, &key) ? 0 : EBUSY, -1);
		break;
	case SHIM_LISTENING:
		sockets_set_in_use(s->config.sockets, &key);
		s->config.on_listening(s->config.arg, &key);
		break;
	}
}

/* ---- the loop ---- */

static void on_readable(uv_poll_t *handle, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct shim_server *s = timer->data;

	s->n_heard = 0;
	if (uv_poll_start(&s->poll, UV_READABLE, on_readable) < 0)
		pm_log(PM_LOG_ERROR, "shim.deaf", "seat=%" PRIu32, s->config.seat);
}

/* Whether this worker may be heard once more in this second. */
static bool may_hear(struct shim_server *s)
{
	uint64_t now = uv_now(s->poll.loop);

	if (now - s->second_ms >= 1000) {
		s->second_ms = now;
		s->n_heard = 0;
	}
	if (s->n_heard++ < SHIM_SERVER_RATE)
		return true;
	if (!s->told)
		pm_log(PM_LOG_WARN, "shim.flood",
		       "seat=%" PRIu32 ": over %d requests a second, the rest wait", s->config.seat,
		       SHIM_SERVER_RATE);
	s->told = true;
	(void)uv_poll_stop(&s->poll);
	if (uv_timer_start(&s->pause, on_pause_over, 1000 - (now - s->second_ms), 0) < 0)
		pm_log(PM_LOG_ERROR, "shim.deaf", "seat=%" PRIu32, s->config.seat);
	return false;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	struct shim_server *s = handle->data;

	(void)events;
	for (unsigned i = 0; i < SHIM_SERVER_TURN && !s->closing; i++) {
		struct incoming in = { 0 };

		if (status < 0) {
			(void)uv_poll_stop(handle);
			return;
		}
		if (!may_hear(s) || !receive(s->fd, &in))
			return;
		if (in.len <= 0) {
			(void)uv_poll_stop(handle);
			return;
		}
		serve(s, &in);
		if (in.reply_fd >= 0)
			close_foreign(in.reply_fd);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct shim_server *s = handle->data;

	if (--s->open > 0)
		return;
	pm_closep(&s->fd);
	free(s);
}

void shim_server_close(struct shim_server *s)
{
	if (s == NULL)
		return;
	s->closing = true;
	if (s->open > 1)
		uv_close((uv_handle_t *)&s->pause, on_closed);
	if (s->open > 0) {
		uv_close((uv_handle_t *)&s->poll, on_closed);
	} else {
		pm_closep(&s->fd);
		free(s);
	}
}

int shim_server_create(uv_loop_t *loop, int fd, const struct shim_server_config *config,
                       struct shim_server **out, struct pm_error *err)
{
	struct shim_server *s = pm_calloc(1, sizeof(*s));
	int rc;

	if (s == NULL) {
		(void)close(fd);
		return pm_fail(err, PM_NO_MEMORY, "listen for a worker's sockets");
	}
	s->fd = fd;
	s->config = *config;
	s->poll.data = s->pause.data = s;
	s->second_ms = uv_now(loop);
	rc = uv_poll_init(loop, &s->poll, fd);
	if (rc == 0) {
		s->open++;
		rc = uv_timer_init(loop, &s->pause);
	}
	if (rc == 0) {
		s->open++;
		rc = uv_poll_start(&s->poll, UV_READABLE, on_readable);
	}
	if (rc < 0) {
		shim_server_close(s);
		return pm_fail(err, PM_INTERNAL, "listen for a worker's sockets: %s",
		               uv_strerror(rc));
	}
	*out = s;
	return 0;
}

int shim_server_pair(int number, int *ours, int *childs, char *env, size_t env_size,
                     struct pm_error *err)
{
	const struct timeval wait = { SHIM_WAIT_MS / 1000, SHIM_WAIT_MS % 1000 * 1000 };
	struct stat st;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return pm_fail_errno(err, errno, "pair of sockets for a worker");
	/* For as long as a program waits for the answer it also waits to ask. */
	if (setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
	    fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 || fstat(ends[1], &st) < 0) {
		pm_fail_errno(err, errno, "pair of sockets for a worker");
		(void)close(ends[0]);
		(void)close(ends[1]);
		return -1;
	}
	(void)snprintf(env, env_size, "%d:%" PRIu64, number, (uint64_t)st.st_ino);
	*ours = ends[0];
	*childs = ends[1];
	return 0;
}
