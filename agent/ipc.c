#include "agent/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/buf.h"
#include "proto/limits.h"

#define PEEK_BYTES 65536
#define TURN_BYTES                                                                    \
	(256u * 1024) /* taken in one turn of the loop, so that a flood delays nobody \
	               */
#define TURN_MESSAGES 1024

/* One text to send, and perhaps a descriptor that goes with its first byte. */
struct outgoing {
	struct outgoing *next;
	int fd; /* owned, -1 */
	size_t len, sent;
	char bytes[];
};

struct ipc {
	uv_poll_t poll; /* owned */
	int fd;         /* owned */
	ipc_fn *fn;     /* borrowed, with end and arg */
	ipc_end_fn *end;
	void *arg;
	struct pm_buf line;              /* the beginning of a message longer than one look */
	struct outgoing *out, **out_end; /* owned */
	size_t out_bytes;
	bool fd_waits; /* one of them still has its descriptor */
	bool skipping; /* the rest of one that was too long */
	bool closed, ended;
	bool *gone; /* set when closed during a callback */
	uint64_t dropped;
};

static void on_event(uv_poll_t *handle, int status, int events);

static void on_closed(uv_handle_t *handle)
{
	struct ipc *c = handle->data;

	(void)close(c->fd);
	pm_buf_finish(&c->line);
	while (c->out != NULL) {
		struct outgoing *o = c->out;

		c->out = o->next;
		pm_closep(&o->fd);
		free(o);
	}
	free(c);
}

static void watch(struct ipc *c)
{
	int events = (c->ended ? 0 : UV_READABLE) | (c->out != NULL ? UV_WRITABLE : 0);

	if (c->closed)
		return;
	if (events == 0)
		(void)uv_poll_stop(&c->poll);
	else
		(void)uv_poll_start(&c->poll, events, on_event); /* cannot fail once made */
}

static void on_end(struct ipc *c)
{
	if (c->ended)
		return;
	c->ended = true;
	watch(c);
	if (c->end != NULL)
		c->end(c->arg);
}

/* ---- in ---- */

/* Take from the socket what was dealt with. Descriptors that came along are closed by not being
 * asked for. */
static void take(const struct ipc *c, size_t len)
{
	char bytes[4096];

	while (len > 0) {
		ssize_t n = recv(c->fd, bytes, PM_MIN(len, sizeof(bytes)), MSG_DONTWAIT);

		if (n <= 0)
			return; /* cannot be: it was there a moment ago */
		len -= (size_t)n;
	}
}

/* One piece of a message; `whole` when its newline has come. Returns false when the channel was
 * closed meanwhile. */
static bool piece(struct ipc *c, const char *bytes, size_t len, bool whole)
{
	bool gone = false;

	if (!c->skipping)
		pm_buf_add(&c->line, bytes, len);
	if (c->line.failed) {
		c->skipping = true;
		c->dropped++;
		pm_buf_reset(&c->line);
	}
	if (!whole)
		return true;
	if (!c->skipping && c->line.len > 0) {
		c->gone = &gone;
		c->fn(c->arg, c->line.bytes, c->line.len);
		if (gone)
			return false;
		c->gone = NULL;
	}
	pm_buf_reset(&c->line);
	c->skipping = false;
	return true;
}

/* What one look showed, message by message. Returns what was used of it; 0: the channel was closed.
 */
static size_t deliver(struct ipc *c, const char *bytes, size_t len, unsigned *n)
{
	size_t used = 0;

	while (used < len && *n < TURN_MESSAGES) {
		const char *end = memchr(bytes + used, '\n', len - used);
		size_t part = end == NULL ? len - used : (size_t)(end - bytes) - used;

		if (!piece(c, bytes + used, part, end != NULL))
			return 0;
		part += end != NULL;
		take(c, part);
		used += part;
		(*n)++;
	}
	return used;
}

static void read_some(struct ipc *c)
{
	static char bytes[PEEK_BYTES]; /* one thread, and nothing here calls back into it */
	size_t left = TURN_BYTES;
	unsigned n_messages = 0;

	while (left > 0 && n_messages < TURN_MESSAGES) {
		ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK);
		size_t used;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			on_end(c); /* may close the channel */
			return;
		}
		used = deliver(c, bytes, (size_t)n, &n_messages);
		if (used == 0)
			return;
		left -= PM_MIN(left, used);
	}
}

/* ---- out ---- */

static ssize_t send_one(const struct ipc *c, struct outgoing *o)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { o->bytes + o->sent, o->len - o->sent };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };

	if (o->fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &o->fd, sizeof(int));
	}
	return sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void close_fd(struct ipc *c, struct outgoing *o)
{
	if (o->fd < 0)
		return;
	pm_closep(&o->fd);
	o->fd = -1;
	c->fd_waits = false;
}

static void write_some(struct ipc *c)
{
	while (c->out != NULL) {
		struct outgoing *o = c->out;
		ssize_t n = send_one(c, o);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) { /* the app has closed its end: nothing will ever go out */
			o->sent = o->len;
		} else {
			close_fd(c, o);
			o->sent += (size_t)n;
		}
		if (o->sent < o->len)
			continue;
		c->out = o->next;
		if (c->out == NULL)
			c->out_end = &c->out;
		c->out_bytes -= o->len;
		close_fd(c, o);
		free(o);
	}
}

static void on_event(uv_poll_t *handle, int status, int events)
{
	struct ipc *c = handle->data;

	if (status < 0) {
		on_end(c);
		return;
	}
	if ((events & UV_WRITABLE) != 0) {
		write_some(c);
		watch(c);
	}
	if ((events & UV_READABLE) != 0)
		read_some(c); /* may close the channel */
}

bool ipc_send_fd(struct ipc *c, const char *json, int fd)
{
	size_t len = strlen(json);
	struct outgoing *o;

	if (c->closed || c->ended || c->out_bytes + len > PM_SEND_QUEUE_MAX ||
	    (fd >= 0 && c->fd_waits))
		return false;
	o = pm_calloc(1, sizeof(*o) + len + 1);
	if (o == NULL)
		return false;
	o->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && o->fd < 0) {
		free(o);
		return false;
	}
	c->fd_waits |= fd >= 0;
	memcpy(o->bytes, json, len);
	o->bytes[len] = '\n';
	o->len = len + 1;
	*c->out_end = o;
	c->out_end = &o->next;
	c->out_bytes += o->len;
	write_some(c);
	watch(c);
	return true;
}

bool ipc_send(struct ipc *c, const char *json)
{
	return ipc_send_fd(c, json, -1);
}

/* ---- life time ---- */

int ipc_create(uv_loop_t *loop, int fd, ipc_fn *fn, ipc_end_fn *end, void *arg, struct ipc **out,
               struct pm_error *err)
{
	struct ipc *c = pm_calloc(1, sizeof(*c));
	int rc;

	if (c == NULL) {
		(void)close(fd);
		return pm_fail(err, PM_NO_MEMORY, "message channel");
	}
	c->fd = fd;
	c->fn = fn;
	c->end = end;
	c->arg = arg;
	c->line.max = PM_IPC_LINE_MAX;
	c->out_end = &c->out;
	rc = uv_poll_init(loop, &c->poll, fd);
	if (rc < 0) {
		(void)close(fd);
		free(c);
		return pm_fail(err, PM_INTERNAL, "message channel: %s", uv_strerror(rc));
	}
	c->poll.data = c;
	watch(c);
	*out = c;
	return 0;
}

void ipc_close(struct ipc *c)
{
	if (c == NULL || c->closed)
		return;
	c->closed = true;
	if (c->gone != NULL)
		*c->gone = true;
	uv_close((uv_handle_t *)&c->poll, on_closed);
}

bool ipc_has_ended(const struct ipc *c)
{
	return c->ended;
}

uint64_t ipc_dropped(const struct ipc *c)
{
	return c->dropped;
}
