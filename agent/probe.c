#include "agent/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/cluster.h"
#include "proto/buf.h"
#include "proto/http_reply.h"

struct probe {
	struct instance *inst;        /* borrowed until it is over */
	const Pm__HealthCheck *check; /* borrowed, as well */
	struct check_target target;
	probe_done_fn *done; /* borrowed, with arg */
	void *arg;
	int fd; /* owned, -1 */
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned open; /* handles the loop still holds */
	int refused;   /* errno of connect(); 0: it goes on */
	bool connected, aimed, was_aimed;
	struct sockaddr_storage from;
	struct pm_buf request;
	size_t sent;
	struct http_reply reply;
};

/* ---- the end ---- */

static void free_probe(struct probe *p)
{
	pm_closep(&p->fd);
	pm_buf_finish(&p->request);
	free(p);
}

static void on_closed(uv_handle_t *handle)
{
	struct probe *p = handle->data;

	if (--p->open == 0)
		free_probe(p);
}

static void unaim(struct probe *p)
{
	if (p->aimed)
		cluster_unaim(p->inst, (struct sockaddr *)&p->from);
	p->aimed = false;
}

static void stop(struct probe *p)
{
	unaim(p);
	if (p->open > 0)
		uv_close((uv_handle_t *)&p->poll, on_closed);
	if (p->open > 1)
		uv_close((uv_handle_t *)&p->timer, on_closed);
	if (p->open == 0)
		free_probe(p);
}

void probe_cancel(struct probe *p)
{
	if (p != NULL)
		stop(p);
}

/* What is looked at, for people. */
static void label(const struct probe *p, char *out, size_t size)
{
	const struct check_target *t = &p->target;

	if (t->kind == CHECK_HTTP)
		(void)snprintf(out, size, "%.80s", t->path);
	else if (t->family == CHECK_UNIX)
		(void)snprintf(out, size, "%.80s", t->address);
	else
		(void)snprintf(out, size, t->family == CHECK_INET6 ? "[%s]:%u" : "%s:%u",
		               t->address, (unsigned)t->port);
}

static void finish(struct probe *p, bool ok, const char *fmt, ...) PM_PRINTF(3, 4);

static void finish(struct probe *p, bool ok, const char *fmt, ...)
{
	struct probe_result result = { .ok = ok, .aimed = p->was_aimed };
	probe_done_fn *done = p->done;
	void *arg = p->arg;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(result.words, sizeof(result.words), fmt, ap);
	va_end(ap);
	stop(p);
	done(arg, &result);
}

static const char *kind_word(const struct probe *p)
{
	return p->target.kind == CHECK_HTTP     ? "http"
	       : p->target.family == CHECK_UNIX ? "unix"
	                                        : "tcp";
}

static void finish_errno(struct probe *p, int error)
{
	char at[96];

	label(p, at, sizeof(at));
	finish(p, false, "%s %s: %s", kind_word(p), at, strerror(error));
}

static void on_timeout(uv_timer_t *timer)
{
	struct probe *p = timer->data;
	char at[96];

	label(p, at, sizeof(at));
	finish(p, false, "%s %s: no answer within %u ms", kind_word(p), at, p->check->timeout_ms);
}

/* ---- GET ---- */

static bool has_header(const Pm__HealthCheck *c, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < c->n_headers; i++)
		if (strncasecmp(c->headers[i], name, len) == 0 && c->headers[i][len] == ':')
			return true;
	return false;
}

static int make_request(struct probe *p, struct pm_error *err)
{
	const struct check_target *t = &p->target;
	struct pm_buf *b = &p->request;

	if (t->kind != CHECK_HTTP)
		return 0;
	pm_buf_printf(b, "GET %s HTTP/1.1\r\n", t->path);
	if (!has_header(p->check, "Host") && t->family == CHECK_UNIX)
		pm_buf_str(b, "Host: localhost\r\n");
	else if (!has_header(p->check, "Host"))
		pm_buf_printf(b, t->family == CHECK_INET6 ? "Host: [%s]:%u\r\n" : "Host: %s:%u\r\n",
		              t->address, (unsigned)t->port);
	if (!has_header(p->check, "User-Agent"))
		pm_buf_str(b, "User-Agent: pmd/" PM_VERSION "\r\n");
	for (size_t i = 0; i < p->check->n_headers; i++)
		pm_buf_printf(b, "%s\r\n", p->check->headers[i]);
	pm_buf_str(b, "Connection: close\r\n\r\n");
	if (b->failed)
		return pm_fail(err, PM_NO_MEMORY, "check");
	http_reply_init(&p->reply, p->check->body);
	return 0;
}

static void finish_reply(struct probe *p, enum http_verdict verdict)
{
	char at[96];

	label(p, at, sizeof(at));
	if (verdict == HTTP_BAD)
		finish(p, false, "http %s: the answer is not HTTP, or was cut off", at);
	else if (http_reply_passes(&p->reply))
		finish(p, true, "%s", "");
	else if (p->reply.status >= 200 && p->reply.status < 400)
		finish(p, false, "http %d from %s: the answer does not hold \"%.40s\"",
		       p->reply.status, at, p->check->body);
	else
		finish(p, false, "http %d from %s", p->reply.status, at);
}

static void read_reply(struct probe *p)
{
	char bytes[4096];
	enum http_verdict verdict;
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Some servers reset the connection after all was said. */
	if (n < 0 && p->reply.status == 0) {
		finish_errno(p, errno);
		return;
	}
	verdict = n > 0 ? http_reply_feed(&p->reply, bytes, (size_t)n) : http_reply_end(&p->reply);
	if (verdict != HTTP_MORE)
		finish_reply(p, verdict);
}

static void on_io(uv_poll_t *poll, int status, int events);

static void write_request(struct probe *p)
{
	ssize_t n = send(p->fd, p->request.bytes + p->sent, p->request.len - p->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		finish_errno(p, errno);
		return;
	}
	p->sent += n > 0 ? (size_t)n : 0;
	if (p->sent == p->request.len)
		(void)uv_poll_start(&p->poll, UV_READABLE, on_io); /* the handle is open */
}

/* ---- connect ---- */

static void on_connected(struct probe *p, bool failed)
{
	int error = p->refused;
	socklen_t len = sizeof(error);

	if (error == 0 && getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && failed)
		error = EIO;
	unaim(p);
	p->connected = true;
	if (error != 0)
		finish_errno(p, error);
	else if (p->target.kind == CHECK_CONNECT)
		finish(p, true, "%s", "");
	else
		write_request(p);
}

static void on_io(uv_poll_t *poll, int status, int events)
{
	struct probe *p = poll->data;

	/* libuv stops at an error of the socket, which the next call tells. */
	if (status < 0)
		(void)uv_poll_start(poll, UV_READABLE, on_io); /* the handle is open */
	if (!p->connected)
		on_connected(p, status < 0);
	else if (status < 0)
		read_reply(p);
	else if ((events & UV_READABLE) != 0)
		read_reply(p);
	else
		write_request(p);
}

static socklen_t make_address(const struct check_target *t, uint16_t port,
                              struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;
	struct sockaddr_un *un = (void *)out;
	size_t len = strlen(t->address);

	static const sa_family_t families[] = {
		[CHECK_INET] = AF_INET, [CHECK_INET6] = AF_INET6, [CHECK_UNIX] = AF_UNIX
	};

	memset(out, 0, sizeof(*out));
	out->ss_family = families[t->family];
	if (t->family == CHECK_INET) {
		v4->sin_port = htons(port);
		return inet_pton(AF_INET, t->address, &v4->sin_addr) == 1 ? sizeof(*v4) : 0;
	}
	if (t->family == CHECK_INET6) {
		v6->sin6_port = htons(port);
		return inet_pton(AF_INET6, t->address, &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
	}
	memcpy(un->sun_path, t->address, PM_MIN(len, sizeof(un->sun_path)));
	if (t->address[0] != '@')
		return sizeof(*un);
	un->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* From the very address it goes to: only that can be told apart from everybody else's. Of another
 * machine's we cannot bind it, and need not. */
static int aim(struct probe *p, const struct sockaddr_storage *to, struct pm_error *err)
{
	socklen_t len = sizeof(p->from);

	if (p->target.family == CHECK_UNIX || !cluster_can_share(instance_spec(p->inst)) ||
	    bind(p->fd, (struct sockaddr *)&p->from, make_address(&p->target, 0, &p->from)) < 0 ||
	    getsockname(p->fd, (struct sockaddr *)&p->from, &len) < 0)
		return 0;
	switch (cluster_aim(p->inst, (const struct sockaddr *)to, (struct sockaddr *)&p->from)) {
	case SOCKETS_AIMED:
		p->aimed = p->was_aimed = true;
		break;
	case SOCKETS_NOT_OURS:
		break;
	case SOCKETS_BUSY:
		return pm_fail(err, PM_LIMIT, "too many checks at once");
	}
	return 0;
}

static int open_and_connect(struct probe *p, struct pm_error *err)
{
	struct super *su = instance_super(p->inst);
	struct sockaddr_storage to;
	socklen_t len = make_address(&p->target, p->target.port, &to);
	int rc;

	p->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0 || len == 0)
		return pm_fail_errno(err, p->fd < 0 ? errno : EINVAL, "check");
	if (aim(p, &to, err) < 0)
		return -1;
	rc = uv_poll_init(su->loop, &p->poll, p->fd);
	if (rc < 0)
		return pm_fail(err, PM_INTERNAL, "check: %s", uv_strerror(rc));
	p->open++;
	(void)uv_timer_init(su->loop, &p->timer); /* never fails */
	p->open++;
	p->poll.data = p->timer.data = p;
	/* Told from the loop, as every other result: what was refused at once is writable. */
	if (connect(p->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		p->refused = errno;
	(void)uv_poll_start(&p->poll, UV_WRITABLE, on_io); /* the handle is open */
	(void)uv_timer_start(&p->timer, on_timeout, p->check->timeout_ms, 0);
	return 0;
}

int probe_start(struct instance *inst, const Pm__HealthCheck *check,
                const struct check_target *target, probe_done_fn *done, void *arg,
                struct probe **out, struct pm_error *err)
{
	struct probe *p = pm_calloc(1, sizeof(*p));

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "check");
	p->inst = inst;
	p->check = check;
	p->target = *target;
	p->done = done;
	p->arg = arg;
	p->fd = -1;
	if (make_request(p, err) < 0 || open_and_connect(p, err) < 0) {
		stop(p);
		return -1;
	}
	*out = p;
	return 0;
}
