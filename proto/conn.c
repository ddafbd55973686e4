#include "proto/conn.h"

#include <assert.h>
#include <dirent.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/bridge.h"
#include "proto/limits.h"

#define READ_LEAST      512u /* an idle connection holds so much */
#define READ_MOST       (64u * 1024)
#define ACCEPTS         4 /* under way at once, so that a storm does not wait for the loop each time */
#define ACCEPT_PAUSE_MS 50

struct pm_net {
	struct pm_bridge *bridge; /* owned */
	unsigned n_conns, max_conns;
	unsigned n_held; /* connections and listeners whose memory is still there */
	bool closing;
};

struct pm_conn {
	struct pm_net *net;                      /* borrowed; lives longer */
	struct pm_slot in, out;                  /* owned; `in` is also the dial's */
	unsigned n_slots;                        /* that have not gone */
	nng_stream_dialer *dialer;               /* owned; NULL: connected, or accepted */
	nng_stream *stream;                      /* owned; NULL: not connected */
	const struct pm_conn_handlers *handlers; /* borrowed, with arg */
	void *arg;
	uint8_t *buf; /* owned; what the next read goes to */
	size_t buf_size;
	const uint8_t *left; /* borrowed: what is still to be written */
	size_t n_left;
	bool reading; /* wanted */
	bool reads;   /* buf is with the handler */
	bool ended;   /* no further operation may begin: see TRANSPORT, nng never ends it */
	bool closed;
};

struct pm_listener {
	struct pm_net *net;            /* borrowed; lives longer */
	struct pm_slot slots[ACCEPTS]; /* owned */
	nng_stream_listener *listener; /* owned */
	uv_timer_t pause;
	unsigned n_held;      /* slots that have not gone, and the timer */
	pm_accept_fn *accept; /* borrowed, with arg */
	void *arg;
	uint64_t n_refused;
	uint16_t port;
	bool closed;
};

/* ---- the net ---- */

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		(void)closedir(dir);
	return n;
}

void pm_net_set_max(struct pm_net *net, unsigned max)
{
	unsigned used = count_fds() + PM_FDS_SPARE - net->n_conns;
	struct rlimit limit;

	if (max == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		max = limit.rlim_cur > used ? (unsigned)PM_MIN(limit.rlim_cur, INT_MAX) - used : 1;
	net->max_conns = max;
}

int pm_net_create(uv_loop_t *loop, struct pm_net **out, struct pm_error *err)
{
	struct pm_net *net = pm_calloc(1, sizeof(*net));

	if (net == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (pm_bridge_create(loop, &net->bridge, err) < 0) {
		free(net);
		return -1;
	}
	pm_net_set_max(net, 0);
	*out = net;
	return 0;
}

static void one_less(struct pm_net *net)
{
	if (net->n_held > 0 || !net->closing)
		return;
	pm_bridge_close(net->bridge);
	free(net);
}

void pm_net_close(struct pm_net *net)
{
	if (net == NULL || net->closing)
		return;
	assert(net->n_conns == 0);
	net->closing = true;
	one_less(net);
}

/* "tcp://ADDRESS:PORT" for nng, without names, of which it would try one address only. */
static int make_url(const struct sockaddr *at, char out[80], struct pm_error *err)
{
	char text[INET6_ADDRSTRLEN];
	int rc;

	if (at->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, at, sizeof(in));
		rc = uv_ip4_name(&in, text, sizeof(text));
		(void)snprintf(out, 80, "tcp://%s:%u", text, ntohs(in.sin_port));
	} else if (at->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, at, sizeof(in6));
		rc = uv_ip6_name(&in6, text, sizeof(text));
		(void)snprintf(out, 80, "tcp://[%s]:%u", text, ntohs(in6.sin6_port));
	} else {
		rc = -1;
	}
	return rc < 0 ? pm_fail(err, PM_INTERNAL, "an address of another kind") : 0;
}

/* ---- a connection's life ---- */

static void on_slot_gone(struct pm_slot *slot)
{
	struct pm_conn *c = slot->owner;
	struct pm_net *net = c->net;

	if (--c->n_slots > 0 || !c->closed)
		return;
	free(c->buf);
	free(c);
	net->n_held--;
	one_less(net);
}

static void on_read(struct pm_slot *slot);
static void on_written(struct pm_slot *slot);
static void on_dialled(struct pm_slot *slot);

static int conn_create(struct pm_net *net, pm_slot_fn *in, struct pm_conn **out,
                       struct pm_error *err)
{
	struct pm_conn *c = pm_calloc(1, sizeof(*c));

	if (c == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	c->net = net;
	net->n_held++;
	net->n_conns++;
	if (pm_slot_init(net->bridge, &c->in, in, on_slot_gone, c, err) == 0)
		c->n_slots++;
	if (c->n_slots == 1 &&
	    pm_slot_init(net->bridge, &c->out, on_written, on_slot_gone, c, err) == 0)
		c->n_slots++;
	if (c->n_slots < 2) {
		pm_conn_close(c);
		return -1;
	}
	*out = c;
	return 0;
}

/* The order is nng's: stop each operation, which waits for its callback; then close; then free. */
void pm_conn_close(struct pm_conn *c)
{
	struct pm_net *net;
	nng_stream *late;

	if (c == NULL || c->closed)
		return;
	net = c->net;
	c->ended = true;
	net->n_conns--;
	c->n_slots++; /* ours: the memory stays until the end of this function */
	late = c->dialer != NULL && c->in.aio != NULL ? pm_slot_finish(&c->in) : NULL;
	(void)pm_slot_finish(&c->in);
	(void)pm_slot_finish(&c->out);
	if (late != NULL)
		c->stream = late; /* it came about in this moment */
	if (c->stream != NULL) {
		nng_stream_close(c->stream);
		nng_stream_free(c->stream);
	}
	if (c->dialer != NULL) {
		nng_stream_dialer_close(c->dialer);
		nng_stream_dialer_free(c->dialer);
	}
	c->closed = true;
	on_slot_gone(&(struct pm_slot){ .owner = c });
}

void pm_conn_set_handlers(struct pm_conn *c, const struct pm_conn_handlers *handlers, void *arg)
{
	c->handlers = handlers;
	c->arg = arg;
}

static void end(struct pm_conn *c, const struct pm_error *why)
{
	if (c->ended)
		return;
	c->ended = true;
	c->handlers->ended(c->arg, c, why);
}

static void end_nng(struct pm_conn *c, int result, const char *what)
{
	struct pm_error err;

	if (result == NNG_ECONNSHUT || result == NNG_ECLOSED || result == NNG_ECONNRESET)
		(void)pm_fail(&err, PM_UNREACHABLE, "the other side closed the connection");
	else
		(void)pm_fail_nng(&err, result, "%s", what);
	end(c, &err);
}

/* ---- dialling ---- */

int pm_conn_dial(struct pm_net *net, const struct sockaddr *to, unsigned timeout_ms,
                 const struct pm_conn_handlers *handlers, void *arg, struct pm_conn **out,
                 struct pm_error *err)
{
	struct pm_conn *c;
	char url[80];
	int rc;

	if (make_url(to, url, err) < 0)
		return -1;
	if (net->n_conns >= net->max_conns)
		return pm_fail(err, PM_LIMIT, "%u connections are open", net->n_conns);
	if (conn_create(net, on_dialled, &c, err) < 0)
		return -1;
	pm_conn_set_handlers(c, handlers, arg);
	rc = nng_stream_dialer_alloc(&c->dialer, url);
	if (rc == 0)
		rc = nng_stream_dialer_set_bool(c->dialer, NNG_OPT_TCP_NODELAY, true);
	if (rc != 0) {
		pm_conn_close(c);
		return pm_fail_nng(err, rc, "dial %s", url);
	}
	nng_aio_set_timeout(c->in.aio, (nng_duration)timeout_ms);
	pm_slot_begin(&c->in);
	nng_stream_dialer_dial(c->dialer, c->in.aio);
	*out = c;
	return 0;
}

static void on_dialled(struct pm_slot *slot)
{
	struct pm_conn *c = slot->owner;
	int rc = nng_aio_result(slot->aio);

	if (rc != 0) {
		end_nng(c, rc, "connect");
		return;
	}
	c->stream = nng_aio_get_output(slot->aio, 0);
	nng_stream_dialer_free(c->dialer);
	c->dialer = NULL;
	slot->done = on_read;
	nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
	c->handlers->opened(c->arg, c);
}

/* ---- reading ---- */

static void arm_read(struct pm_conn *c)
{
	nng_iov iov;
	struct pm_error err;

	if (c->ended || c->in.busy || c->reads || !c->reading)
		return;
	if (c->buf == NULL) {
		c->buf_size = c->buf_size == 0 ? READ_LEAST : c->buf_size;
		c->buf = pm_calloc(1, c->buf_size);
	}
	if (c->buf == NULL) {
		(void)pm_fail(&err, PM_NO_MEMORY, "out of memory");
		end(c, &err);
		return;
	}
	iov = (nng_iov){ .iov_buf = c->buf, .iov_len = c->buf_size };
	(void)nng_aio_set_iov(c->in.aio, 1, &iov); /* fails with more than eight only */
	pm_slot_begin(&c->in);
	nng_stream_recv(c->stream, c->in.aio);
}

/* A connection that is busy reads much at a time; an idle one holds little. */
static void fit_buffer(struct pm_conn *c, size_t n)
{
	size_t size = c->buf_size;

	if (n == size)
		size = PM_MIN(size * 2, READ_MOST);
	else if (n < size / 4)
		size = READ_LEAST;
	if (size == c->buf_size)
		return;
	free(c->buf);
	c->buf = NULL; /* made anew by arm_read() */
	c->buf_size = size;
}

static void on_read(struct pm_slot *slot)
{
	struct pm_conn *c = slot->owner;
	int rc = nng_aio_result(slot->aio);
	size_t n = nng_aio_count(slot->aio);

	if (c->ended)
		return;
	if (rc != 0 || n == 0) {
		end_nng(c, rc != 0 ? rc : NNG_ECONNSHUT, "read");
		return;
	}
	c->n_slots++; /* the handler may close the connection; its memory stays till here */
	c->reads = true;
	c->handlers->read(c->arg, c, c->buf, n);
	c->reads = false;
	if (!c->closed) {
		c->n_slots--;
		fit_buffer(c, n);
		arm_read(c);
		return;
	}
	on_slot_gone(&(struct pm_slot){ .owner = c });
}

void pm_conn_read(struct pm_conn *c, bool on)
{
	c->reading = on;
	arm_read(c);
}

/* ---- writing ---- */

static void arm_write(struct pm_conn *c)
{
	/* nng does not write to it. */
	nng_iov iov = { .iov_buf = (void *)(uintptr_t)c->left, .iov_len = c->n_left };

	(void)nng_aio_set_iov(c->out.aio, 1, &iov); /* fails with more than eight only */
	pm_slot_begin(&c->out);
	nng_stream_send(c->stream, c->out.aio);
}

void pm_conn_write(struct pm_conn *c, const uint8_t *bytes, size_t len)
{
	assert(c->n_left == 0 && len > 0);
	if (c->ended)
		return;
	c->left = bytes;
	c->n_left = len;
	arm_write(c);
}

static void on_written(struct pm_slot *slot)
{
	struct pm_conn *c = slot->owner;
	int rc = nng_aio_result(slot->aio);
	size_t n = nng_aio_count(slot->aio);

	if (c->ended)
		return;
	if (rc != 0) {
		end_nng(c, rc, "write");
		return;
	}
	c->left += n;
	c->n_left -= n;
	if (c->n_left > 0) {
		c->handlers->progress(c->arg, c);
		if (!c->ended)
			arm_write(c);
		return;
	}
	c->handlers->written(c->arg, c);
}

bool pm_conn_peer(const struct pm_conn *c, struct sockaddr_storage *out)
{
	nng_sockaddr sa;

	if (c->stream == NULL || nng_stream_get_addr(c->stream, NNG_OPT_REMADDR, &sa) != 0)
		return false;
	memset(out, 0, sizeof(*out));
	if (sa.s_family == NNG_AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = sa.s_in.sa_port };

		in.sin_addr.s_addr = sa.s_in.sa_addr;
		memcpy(out, &in, sizeof(in));
		return true;
	}
	if (sa.s_family == NNG_AF_INET6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
			                    .sin6_port = sa.s_in6.sa_port };

		memcpy(&in6.sin6_addr, sa.s_in6.sa_addr, 16);
		memcpy(out, &in6, sizeof(in6));
		return true;
	}
	return false;
}

/* ---- listening ---- */

static void listener_gone(struct pm_listener *l)
{
	struct pm_net *net = l->net;

	if (--l->n_held > 0)
		return;
	free(l);
	net->n_held--;
	one_less(net);
}

static void on_accept_gone(struct pm_slot *slot)
{
	listener_gone(slot->owner);
}

static void on_pause_closed(uv_handle_t *handle)
{
	listener_gone(handle->data);
}

static void arm_accept(struct pm_listener *l, struct pm_slot *slot)
{
	pm_slot_begin(slot);
	nng_stream_listener_accept(l->listener, slot->aio);
}

static void on_pause_over(uv_timer_t *timer)
{
	struct pm_listener *l = timer->data;

	for (size_t i = 0; i < ACCEPTS; i++)
		if (!l->slots[i].busy)
			arm_accept(l, &l->slots[i]);
}

/* Somebody is there; whether there is a descriptor to spare for him, the limit says. */
static void admit(struct pm_listener *l, nng_stream *stream)
{
	struct pm_conn *c;
	struct pm_error err;

	if (l->net->n_conns >= l->net->max_conns || conn_create(l->net, on_read, &c, &err) < 0) {
		l->n_refused++;
		nng_stream_close(stream);
		nng_stream_free(stream);
		return;
	}
	c->stream = stream;
	l->accept(l->arg, c);
}

static void on_accepted(struct pm_slot *slot)
{
	struct pm_listener *l = slot->owner;
	int rc = nng_aio_result(slot->aio);

	if (rc == 0) {
		l->n_held++; /* the handler may close the listener; its memory stays till here */
		admit(l, nng_aio_get_output(slot->aio, 0));
		if (!l->closed)
			arm_accept(l, slot);
		listener_gone(l);
		return;
	}
	/* Out of descriptors or memory: at once it would only fail again. */
	if (rc != NNG_ECLOSED && rc != NNG_ECANCELED && !uv_is_active((uv_handle_t *)&l->pause))
		(void)uv_timer_start(&l->pause, on_pause_over, ACCEPT_PAUSE_MS,
		                     0); /* cannot fail */
}

static int listen_at(struct pm_listener *l, const char *url)
{
	int port = 0, rc = nng_stream_listener_alloc(&l->listener, url);

	if (rc == 0)
		rc = nng_stream_listener_set_bool(l->listener, NNG_OPT_TCP_NODELAY, true);
	if (rc == 0)
		rc = nng_stream_listener_listen(l->listener);
	if (rc == 0)
		rc = nng_stream_listener_get_int(l->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	if (rc == 0)
		l->port = (uint16_t)port;
	return rc;
}

int pm_listener_create(struct pm_net *net, const struct sockaddr *at, pm_accept_fn *accept,
                       void *arg, struct pm_listener **out, struct pm_error *err)
{
	struct pm_listener *l = pm_calloc(1, sizeof(*l));
	char url[80];
	int rc;

	if (l == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	l->net = net;
	l->accept = accept;
	l->arg = arg;
	l->pause.data = l;
	(void)uv_timer_init(pm_bridge_loop(net->bridge), &l->pause); /* cannot fail */
	l->n_held = 1;
	net->n_held++;
	if (make_url(at, url, err) < 0)
		goto fail;
	rc = listen_at(l, url);
	if (rc != 0) {
		(void)pm_fail_nng(err, rc, "listen on %s", url);
		goto fail;
	}
	for (size_t i = 0; i < ACCEPTS; i++) {
		if (pm_slot_init(net->bridge, &l->slots[i], on_accepted, on_accept_gone, l, err) <
		    0)
			goto fail;
		l->n_held++;
	}
	for (size_t i = 0; i < ACCEPTS; i++)
		arm_accept(l, &l->slots[i]);
	*out = l;
	return 0;
fail:
	pm_listener_close(l);
	return -1;
}

void pm_listener_close(struct pm_listener *l)
{
	if (l == NULL || l->closed)
		return;
	l->closed = true;
	for (size_t i = 0; i < ACCEPTS; i++) {
		nng_stream *late = pm_slot_finish(&l->slots[i]);

		if (late != NULL) { /* accepted in this moment */
			nng_stream_close(late);
			nng_stream_free(late);
		}
	}
	if (l->listener != NULL) {
		nng_stream_listener_close(l->listener);
		nng_stream_listener_free(l->listener);
	}
	uv_close((uv_handle_t *)&l->pause, on_pause_closed);
}

uint16_t pm_listener_port(const struct pm_listener *l)
{
	return l->port;
}

uint64_t pm_listener_n_refused(const struct pm_listener *l)
{
	return l->n_refused;
}
