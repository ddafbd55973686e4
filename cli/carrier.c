#include "cli/carrier.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nng/nng.h>

#include "proto/clamp.h"
#include "proto/limits.h"

#define DIAL_MS  5000 /* for one numeric address */
#define READ_MAX (64u * 1024)
#define URL_MAX  128

/* One operation of nng's.  Its callback runs on a thread of nng's and touches nothing but this. */
struct op {
	nng_aio *aio; /* owned */
	atomic_bool done;
	bool busy;
	int event_fd; /* borrowed */
};

struct carrier {
	struct op in, out; /* `in` is also the dial's */
	nng_stream_dialer *dialer;
	nng_stream *stream; /* owned; NULL: not connected */
	int event_fd;       /* owned */
	bool over;          /* nng never ends an operation that begins after its end */
	uint8_t *buf;       /* owned; READ_MAX */
	size_t n_read;      /* with the caller */
	const uint8_t *left;
	size_t n_left;
	char peer[URL_MAX];
};

/* ---- operations ---- */

static void on_done(void *arg)
{
	struct op *op = arg;
	uint64_t one = 1;
	ssize_t rc;

	atomic_store_explicit(&op->done, true, memory_order_release);
	rc = write(op->event_fd, &one, sizeof(one)); /* only a full counter refuses */
	(void)rc;
}

static int op_init(struct op *op, int event_fd)
{
	op->event_fd = event_fd;
	return nng_aio_alloc(&op->aio, on_done, op);
}

static void op_begin(struct op *op)
{
	atomic_store_explicit(&op->done, false, memory_order_relaxed);
	op->busy = true;
}

static bool op_ended(struct op *op)
{
	if (!op->busy || !atomic_load_explicit(&op->done, memory_order_acquire))
		return false;
	op->busy = false;
	return true;
}

static void op_finish(struct op *op)
{
	if (op->aio == NULL)
		return;
	nng_aio_stop(op->aio); /* waits for the callback */
	nng_aio_free(op->aio);
}

static int fail_nng(struct pm_error *err, int result)
{
	switch (result) {
	case NNG_ENOMEM:
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	case NNG_ECONNSHUT:
	case NNG_ECLOSED:
	case NNG_ECONNRESET:
		return pm_fail(err, PM_UNREACHABLE, "the other side closed the connection");
	case NNG_ETIMEDOUT:
		return pm_fail(err, PM_UNREACHABLE, "no answer");
	default:
		return pm_fail(err, PM_UNREACHABLE, "%s", nng_strerror(result));
	}
}

/* ---- life ---- */

/* The order is nng's: stop each operation, which waits for its callback; then close; then free. */
void carrier_close(struct carrier *c)
{
	nng_stream *late = NULL;

	if (c == NULL)
		return;
	if (c->dialer != NULL && c->in.aio != NULL) {
		nng_aio_stop(c->in.aio);
		if (c->in.busy && nng_aio_result(c->in.aio) == 0)
			late = nng_aio_get_output(c->in.aio, 0); /* it came about in this moment */
	}
	op_finish(&c->in);
	op_finish(&c->out);
	if (late != NULL)
		c->stream = late;
	if (c->stream != NULL) {
		nng_stream_close(c->stream);
		nng_stream_free(c->stream);
	}
	if (c->dialer != NULL) {
		nng_stream_dialer_close(c->dialer);
		nng_stream_dialer_free(c->dialer);
	}
	pm_closep(&c->event_fd);
	free(c->buf);
	free(c);
}

static void carrier_closep(struct carrier **c)
{
	carrier_close(*c);
}

static int create(struct carrier **out, struct pm_error *err)
{
	struct carrier *c = pm_calloc(1, sizeof(*c));

	if (c == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->buf = pm_calloc(1, READ_MAX);
	pm_clamp_cpus(true); /* the first operation starts nng's threads */
	if (c->event_fd < 0 || c->buf == NULL || op_init(&c->in, c->event_fd) != 0 ||
	    op_init(&c->out, c->event_fd) != 0) {
		pm_clamp_cpus(false);
		carrier_close(c);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	pm_clamp_cpus(false);
	*out = c;
	return 0;
}

int carrier_fd(const struct carrier *c)
{
	return c->event_fd;
}

void carrier_look(struct carrier *c)
{
	uint64_t n;
	ssize_t rc = read(c->event_fd, &n, sizeof(n)); /* EAGAIN: nothing is new */

	(void)rc;
}

const char *carrier_peer(const struct carrier *c)
{
	return c->peer;
}

/* ---- dialling ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* 1: the operation ended; 0: time is up, or stop_fd says so; -1 */
static int wait_for(struct carrier *c, uint64_t deadline, int stop_fd, struct pm_error *err)
{
	for (;;) {
		struct pollfd pfds[2] = { { .fd = c->event_fd, .events = POLLIN },
			                  { .fd = stop_fd, .events = POLLIN } };
		uint64_t now = pm_now_ms();
		int n;

		if (op_ended(&c->in))
			return 1;
		if (now >= deadline)
			return 0;
		n = poll(pfds, 2, (int)least(deadline - now, 60000));
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "wait for the connection");
		if (n > 0 && pfds[1].revents != 0)
			return 0;
		if (n > 0)
			carrier_look(c);
	}
}

static int dial_url(const char *url, uint64_t deadline, int stop_fd, struct carrier **out,
                    struct pm_error *err)
{
	PM_CLEANUP(carrier_closep) struct carrier *c = NULL;
	uint64_t until = least(deadline, pm_now_ms() + DIAL_MS);
	int rc;

	if (create(&c, err) < 0)
		return -1;
	(void)snprintf(c->peer, sizeof(c->peer), "%s", url + sizeof("tcp://") - 1);
	rc = nng_stream_dialer_alloc(&c->dialer, url);
	if (rc == 0)
		rc = nng_stream_dialer_set_bool(c->dialer, NNG_OPT_TCP_NODELAY, true);
	if (rc != 0)
		return fail_nng(err, rc);
	op_begin(&c->in);
	nng_stream_dialer_dial(c->dialer, c->in.aio);
	rc = wait_for(c, until, stop_fd, err);
	if (rc == 0)
		return pm_fail(err, PM_UNREACHABLE, "no answer");
	if (rc < 0)
		return -1;
	rc = nng_aio_result(c->in.aio);
	if (rc != 0)
		return fail_nng(err, rc);
	c->stream = nng_aio_get_output(c->in.aio, 0);
	nng_stream_dialer_free(c->dialer);
	c->dialer = NULL;
	carrier_taken(c);
	*out = PM_STEAL(c);
	return 0;
}

/* Names are looked up on a thread of the C library's, as the call itself knows no deadline. */
static int resolve(const struct pm_address *at, uint64_t deadline, struct addrinfo **out,
                   struct pm_error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct gaicb *req;
	struct timespec wait;
	char port[8];
	uint64_t now = pm_now_ms(), ms;
	int rc;

	(void)snprintf(port, sizeof(port), "%u", at->port);
	if (getaddrinfo(at->host, port, &hints, out) == 0)
		return 0;
	/* It may outlive this call, when the lookup does: then it is lost on purpose. */
	req = pm_calloc(1, sizeof(*req) + sizeof(*at) + sizeof(port) + sizeof(hints));
	if (req == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	hints.ai_flags = AI_ADDRCONFIG;
	req->ar_name = memcpy((char *)(req + 1), at->host, sizeof(at->host));
	req->ar_service = memcpy((char *)(req + 1) + sizeof(*at), port, sizeof(port));
	req->ar_request =
		memcpy((char *)(req + 1) + sizeof(*at) + sizeof(port), &hints, sizeof(hints));
	ms = deadline > now ? least(deadline - now, DIAL_MS) : 0;
	wait = (struct timespec){ .tv_sec = (time_t)(ms / 1000),
		                  .tv_nsec = (long)(ms % 1000) * 1000000 };
	rc = getaddrinfo_a(GAI_NOWAIT, &req, 1, NULL);
	if (rc == 0) {
		while (gai_suspend((const struct gaicb *const *)&req, 1, &wait) == EAI_INTR)
			; /* a signal; the wait begins anew, which is no more than twice as long */
		rc = gai_error(req);
	}
	if (rc == EAI_INPROGRESS && gai_cancel(req) != EAI_CANCELED && gai_error(req) != 0)
		return pm_fail(err, PM_UNREACHABLE, "no answer from the name service");
	if (rc == 0)
		*out = req->ar_result;
	free(req);
	if (rc == EAI_INPROGRESS)
		return pm_fail(err, PM_UNREACHABLE, "no answer from the name service");
	return rc == 0 ? 0
	               : pm_fail(err, PM_UNREACHABLE, "the name is not known: %s",
	                         gai_strerror(rc));
}

static int dial_address(const struct pm_address *at, uint64_t deadline, int stop_fd,
                        struct carrier **out, struct pm_error *err)
{
	struct addrinfo *found = NULL;
	int rc = -1;

	if (resolve(at, deadline, &found, err) < 0)
		return -1;
	(void)pm_fail(err, PM_UNREACHABLE, "it has no address");
	for (const struct addrinfo *a = found; a != NULL && rc < 0; a = a->ai_next) {
		char host[64], url[URL_MAX];

		if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), NULL, 0,
		                NI_NUMERICHOST) != 0)
			continue;
		(void)snprintf(url, sizeof(url),
		               a->ai_family == AF_INET6 ? "tcp://[%s]:%u" : "tcp://%s:%u", host,
		               at->port);
		rc = dial_url(url, deadline, stop_fd, out, err);
	}
	freeaddrinfo(found);
	return rc;
}

int carrier_dial(const struct pm_address *address, uint32_t timeout_ms, int stop_fd,
                 struct carrier **out, struct pm_error *err)
{
	char text[PM_ADDRESS_TEXT];

	if (dial_address(address, pm_now_ms() + timeout_ms, stop_fd, out, err) == 0)
		return 0;
	pm_address_format(address, text);
	return pm_wrap(err, "%.150s", text);
}

/* ---- bytes ---- */

void carrier_taken(struct carrier *c)
{
	nng_iov iov = { .iov_buf = c->buf, .iov_len = READ_MAX };

	c->n_read = 0;
	if (c->over || c->in.busy)
		return;
	(void)nng_aio_set_iov(c->in.aio, 1, &iov); /* fails with more than eight only */
	op_begin(&c->in);
	nng_stream_recv(c->stream, c->in.aio);
}

int carrier_read(struct carrier *c, const uint8_t **bytes, size_t *len, struct pm_error *err)
{
	int rc;

	if (op_ended(&c->in)) {
		rc = nng_aio_result(c->in.aio);
		if (rc != 0) {
			c->over = true;
			return fail_nng(err, rc);
		}
		c->n_read = nng_aio_count(c->in.aio);
	}
	*bytes = c->buf;
	*len = c->n_read;
	return c->n_read > 0;
}

static void write_left(struct carrier *c)
{
	nng_iov iov = { .iov_len = c->n_left };

	memcpy(&iov.iov_buf, &c->left, sizeof(iov.iov_buf)); /* nng only reads it */
	(void)nng_aio_set_iov(c->out.aio, 1, &iov);
	op_begin(&c->out);
	nng_stream_send(c->stream, c->out.aio);
}

void carrier_write(struct carrier *c, const uint8_t *bytes, size_t len)
{
	c->left = bytes;
	c->n_left = len;
	if (!c->over)
		write_left(c);
}

int carrier_written(struct carrier *c, bool *progress, struct pm_error *err)
{
	size_t n;
	int rc;

	*progress = false;
	if (!op_ended(&c->out))
		return 0;
	rc = nng_aio_result(c->out.aio);
	if (rc != 0) {
		c->over = true;
		return fail_nng(err, rc);
	}
	n = nng_aio_count(c->out.aio);
	c->left += n;
	c->n_left -= PM_MIN(n, c->n_left);
	if (c->n_left == 0)
		return 1;
	*progress = true;
	write_left(c);
	return 0;
}
