#include "agent/ipc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/buf.h"
#include "proto/limits.h"

#define READS_PER_TURN 16 /* so that a flood of messages delays nobody */

struct ipc {
	uv_poll_t poll; /* owned */
	int fd;         /* owned */
	ipc_fn *fn;     /* borrowed, with arg */
	void *arg;
	struct pm_buf line; /* an unfinished message */
	bool skipping;      /* the rest of one that was too long */
	bool closed;
	bool *gone; /* set when closed during a callback */
	uint64_t dropped;
};

static void on_closed(uv_handle_t *handle)
{
	struct ipc *c = handle->data;

	(void)close(c->fd);
	pm_buf_finish(&c->line);
	free(c);
}

/* Hand on whole messages. False when the channel was closed meanwhile. */
static bool deliver(struct ipc *c, const char *bytes, size_t len)
{
	bool gone = false;

	while (len > 0) {
		const char *end = memchr(bytes, '\n', len);
		size_t part = end == NULL ? len : (size_t)(end - bytes);

		if (!c->skipping)
			pm_buf_add(&c->line, bytes, part);
		if (c->line.failed) {
			c->skipping = true;
			c->dropped++;
			pm_buf_reset(&c->line);
		}
		if (end == NULL)
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
		bytes += part + 1;
		len -= part + 1;
	}
	return true;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	struct ipc *c = handle->data;
	char bytes[16384];

	(void)events;
	for (int i = 0; i < READS_PER_TURN && status == 0; i++) {
		ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			status = UV_EOF;
			break;
		}
		if (!deliver(c, bytes, (size_t)n))
			return;
		if ((size_t)n < sizeof(bytes))
			return;
	}
	if (status != 0)
		(void)uv_poll_stop(&c->poll); /* the app closed its end; sends fail from now on */
}

int ipc_create(uv_loop_t *loop, int fd, ipc_fn *fn, void *arg, struct ipc **out,
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
	c->arg = arg;
	c->line.max = PM_IPC_LINE_MAX;
	rc = uv_poll_init(loop, &c->poll, fd);
	if (rc < 0) {
		(void)close(fd);
		free(c);
		return pm_fail(err, PM_INTERNAL, "message channel: %s", uv_strerror(rc));
	}
	c->poll.data = c;
	rc = uv_poll_start(&c->poll, UV_READABLE, on_readable);
	if (rc < 0) {
		uv_close((uv_handle_t *)&c->poll, on_closed);
		return pm_fail(err, PM_INTERNAL, "message channel: %s", uv_strerror(rc));
	}
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

bool ipc_send(struct ipc *c, const char *json)
{
	struct iovec parts[2] = { { .iov_base = NULL, .iov_len = strlen(json) },
		                  { .iov_base = NULL, .iov_len = 1 } };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };
	char newline = '\n', *text = pm_strdup(json);
	ssize_t n;

	if (text == NULL || c->closed) {
		free(text);
		return false;
	}
	parts[0].iov_base = text;
	parts[1].iov_base = &newline;
	n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
	return n == (ssize_t)(parts[0].iov_len + 1);
}

uint64_t ipc_dropped(const struct ipc *c)
{
	return c->dropped;
}
