/* gate_http.c - one GET for a gate: bounded in time and size, no redirect is followed, and it goes
 * only to an address that was allowed, whatever the name says the next time. */
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/gates.h"
#include "proto/http_reply.h"

struct gate_http {
	uv_loop_t *loop; /* borrowed, as config */
	const struct gates_config *c;
	struct rollout_gate gate;
	const struct pm_address *at; /* the gate's, or the Prometheus' */
	gate_done_fn *done;          /* NULL: it is over */
	void *arg;
	uint32_t timeout_ms;
	uv_timer_t timer;
	uv_getaddrinfo_t resolve;
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	bool has_tcp;
	unsigned refs; /* what the loop still holds */
	struct pm_buf request, body;
	struct http_reply reply;
	char bytes[4096];
};

static void unref(struct gate_http *h)
{
	if (--h->refs > 0)
		return;
	pm_buf_finish(&h->request);
	pm_buf_finish(&h->body);
	free(h);
}

static void on_closed(uv_handle_t *handle)
{
	unref(handle->data);
}

static void stop(struct gate_http *h)
{
	h->done = NULL;
	(void)uv_cancel((uv_req_t *)&h->resolve); /* or it is told, and nobody listens */
	uv_close((uv_handle_t *)&h->timer, on_closed);
	if (h->has_tcp)
		uv_close((uv_handle_t *)&h->tcp, on_closed);
}

void gate_http_cancel(struct gate_http *h)
{
	if (h != NULL)
		stop(h);
}

static void finish(struct gate_http *h, bool passed, const char *fmt, ...) PM_PRINTF(3, 4);
static void finish(struct gate_http *h, bool passed, const char *fmt, ...)
{
	gate_done_fn *done = h->done;
	void *arg = h->arg;
	char words[GATE_WORDS_MAX];
	va_list ap;

	if (done == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap); /* cut if longer */
	va_end(ap);
	stop(h);
	done(arg, passed, words);
}

static void on_timeout(uv_timer_t *timer)
{
	struct gate_http *h = timer->data;

	finish(h, false, "no answer within %u ms", h->timeout_ms);
}

/* ---- the answer ---- */

static void finish_reply(struct gate_http *h, enum http_verdict verdict)
{
	char words[GATE_WORDS_MAX] = "";
	bool ok;

	if (verdict == HTTP_BAD) {
		finish(h, false, "the answer is not HTTP, or was cut off");
		return;
	}
	ok = h->reply.status >= 200 && h->reply.status < 300;
	/* A Prometheus tells in the body what is wrong with a query. */
	if (h->gate.kind == ROLLOUT_GATE_PROM && (ok || h->reply.status == 400)) {
		ok = !h->body.failed &&
		     gate_prom_passes(&h->gate, h->body.len > 0 ? h->body.bytes : "", h->body.len,
		                      words, sizeof(words)) &&
		     ok;
		finish(h, ok, "%s", words);
		return;
	}
	finish(h, ok, "it answers %d%s", h->reply.status,
	       h->reply.status >= 300 && h->reply.status < 400 ? ": no redirect is followed" : "");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct gate_http *h = handle->data;

	(void)suggested;
	*out = uv_buf_init(h->bytes, sizeof(h->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct gate_http *h = stream->data;
	enum http_verdict verdict;

	if (n == 0 || h->done == NULL)
		return;
	if (n < 0 && n != UV_EOF && h->reply.status == 0) {
		finish(h, false, "%s", uv_strerror((int)n));
		return;
	}
	verdict = n > 0 ? http_reply_feed(&h->reply, buf->base, (size_t)n)
	                : http_reply_end(&h->reply);
	if (verdict != HTTP_MORE)
		finish_reply(h, verdict);
}

/* ---- the question ---- */

static void on_written(uv_write_t *req, int status)
{
	struct gate_http *h = req->data;

	if (status < 0)
		finish(h, false, "%s", uv_strerror(status));
}

static void on_connected(uv_connect_t *req, int status)
{
	struct gate_http *h = req->data;
	uv_buf_t buf;
	int rc = status;

	if (h->done == NULL)
		return;
	h->write.data = h;
	buf = uv_buf_init((char *)h->request.bytes, (unsigned)h->request.len);
	if (rc == 0)
		rc = uv_read_start((uv_stream_t *)&h->tcp, on_alloc, on_read);
	if (rc == 0)
		rc = uv_write(&h->write, (uv_stream_t *)&h->tcp, &buf, 1, on_written);
	if (rc < 0)
		finish(h, false, "%s", uv_strerror(rc));
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct gate_http *h = req->data;
	const struct addrinfo *at = found;
	int rc;

	if (h->done != NULL && status < 0)
		finish(h, false, "%.80s: %s", h->at->host, uv_strerror(status));
	while (at != NULL && h->gate.kind == ROLLOUT_GATE_HTTP && !gates_may_ask(h->c, at->ai_addr))
		at = at->ai_next;
	if (h->done != NULL && at == NULL)
		finish(h, false,
		       "no address of %.80s is allowed; see --gate-allow of the coordinator",
		       h->at->host);
	if (h->done != NULL) {
		rc = uv_tcp_init(h->loop, &h->tcp);
		h->tcp.data = h->connect.data = h;
		h->has_tcp = rc == 0;
		h->refs += h->has_tcp;
		if (rc == 0)
			rc = uv_tcp_connect(&h->connect, &h->tcp, at->ai_addr, on_connected);
		if (rc < 0)
			finish(h, false, "%s", uv_strerror(rc));
	}
	uv_freeaddrinfo(found);
	unref(h);
}

static void add_query(struct pm_buf *out, const char *expr)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_.~";

	for (; *expr != '\0'; expr++) {
		if (strchr(plain, *expr) != NULL)
			pm_buf_char(out, *expr);
		else
			pm_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*expr);
	}
}

static void make_request(struct gate_http *h)
{
	struct pm_buf *b = &h->request;
	bool v6 = strchr(h->at->host, ':') != NULL;

	pm_buf_str(b, "GET ");
	if (h->gate.kind == ROLLOUT_GATE_PROM) {
		pm_buf_printf(b, "%s/api/v1/query?query=", h->c->prometheus_path);
		add_query(b, h->gate.value);
	} else {
		pm_buf_str(b, h->gate.value);
	}
	pm_buf_printf(b, " HTTP/1.1\r\nHost: %s%s%s:%u\r\n", v6 ? "[" : "", h->at->host,
	              v6 ? "]" : "", (unsigned)h->at->port);
	pm_buf_str(b, "User-Agent: pmd/" PM_VERSION "\r\nConnection: close\r\n\r\n");
}

int gate_http_start(uv_loop_t *loop, const struct gates_config *c, const struct rollout_gate *gate,
                    uint32_t timeout_ms, gate_done_fn *done, void *arg, struct gate_http **out,
                    struct pm_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct gate_http *h = pm_calloc(1, sizeof(*h));
	char port[8];
	int rc;

	if (h == NULL)
		return pm_fail(err, PM_NO_MEMORY, "ask a gate");
	h->loop = loop;
	h->c = c;
	h->gate = *gate;
	h->at = gate->kind == ROLLOUT_GATE_PROM ? &c->prometheus : &h->gate.at;
	h->done = done;
	h->arg = arg;
	h->timeout_ms = timeout_ms;
	make_request(h);
	http_reply_init(&h->reply, NULL);
	if (gate->kind == ROLLOUT_GATE_PROM)
		http_reply_keep(&h->reply, &h->body);
	(void)uv_timer_init(loop, &h->timer); /* never fails */
	h->timer.data = h->resolve.data = h;
	h->refs = 1;
	(void)snprintf(port, sizeof(port), "%u", (unsigned)h->at->port);
	rc = h->request.failed
	             ? UV_ENOMEM
	             : uv_getaddrinfo(loop, &h->resolve, on_resolved, h->at->host, port, &hints);
	if (rc < 0) {
		h->done = NULL;
		uv_close((uv_handle_t *)&h->timer, on_closed);
		return pm_fail(err, PM_INTERNAL, "ask a gate: %s", uv_strerror(rc));
	}
	h->refs++;
	(void)uv_timer_start(&h->timer, on_timeout, timeout_ms, 0); /* the handle is open */
	*out = h;
	return 0;
}
