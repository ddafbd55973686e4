#include "proto/uplink.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/redial.h"
#include "proto/wire.h"

#define DIAL_MS        5000
#define CANDIDATES_MAX 8 /* numeric addresses of one name; further ones are not tried */

struct pm_uplink {
	struct pm_wire wire; /* first member; its link is NULL while there is no session */
	struct pm_net *net;  /* borrowed */
	uv_loop_t *loop;     /* borrowed */
	struct pm_uplink_config config;
	struct pm_link_host *host; /* owned */
	void *arg;                 /* borrowed; for trouble() */
	struct pm_redial redial;
	unsigned address; /* in use */
	bool up;          /* the session was told to redial */
	uv_timer_t timer; /* until the next dial, or what the link is due for */
	uv_getaddrinfo_t lookup;
	bool looking;            /* the pool has the lookup */
	bool poked;              /* the link's owner left work */
	struct pm_conn *dialled; /* owned; NULL: not dialling */
	struct sockaddr_storage candidates[CANDIDATES_MAX];
	unsigned n_candidates, at; /* at: the one that is dialled */
	struct pm_error why;       /* why the last candidate did not do */
	unsigned n_handles;
	bool closing;
};

static void dial_address(struct pm_uplink *u);
static void dial_candidate(struct pm_uplink *u);

/* ---- when ---- */

static void on_dial_time(uv_timer_t *timer)
{
	dial_address(timer->data);
}

static void wait_for(struct pm_uplink *u, struct pm_redial_step step, const struct pm_error *why)
{
	u->address = step.address;
	(void)uv_timer_start(&u->timer, on_dial_time, step.wait_ms, 0); /* cannot fail */
	if (u->config.trouble != NULL)
		u->config.trouble(u->arg, why, step.wait_ms);
}

static void failed(struct pm_uplink *u, const struct pm_error *why)
{
	char text[PM_ADDRESS_TEXT];
	struct pm_error err = *why;

	pm_address_format(&u->config.addresses[u->address], text);
	(void)pm_wrap(&err, "%.100s", text);
	wait_for(u, pm_redial_failed(&u->redial, randombytes_random()), &err);
}

/* ---- the session ---- */

static void on_due(uv_timer_t *timer)
{
	struct pm_uplink *u = timer->data;

	u->poked = false;
	pm_wire_go_on(&u->wire);
}

static void on_moved(void *arg, struct pm_wire *w)
{
	struct pm_uplink *u = arg;
	uint64_t now_ms = uv_now(u->loop), due_ms = pm_link_due_ms(w->link);

	if (!pm_link_is_new(w->link))
		u->config.enrol = false;
	if (pm_link_is_up(w->link) && !u->up) {
		u->up = true;
		pm_redial_up(&u->redial, now_ms);
	}
	if (u->poked || due_ms < now_ms)
		due_ms = now_ms;
	(void)uv_timer_start(&u->timer, on_due, due_ms - now_ms, 0); /* cannot fail */
}

static void on_poked(void *arg, struct pm_wire *w)
{
	struct pm_uplink *u = arg;

	(void)w;
	u->poked = true;
	(void)uv_timer_start(&u->timer, on_due, 0, 0); /* cannot fail */
}

static void on_gone(void *arg, struct pm_wire *w)
{
	struct pm_uplink *u = arg;
	struct pm_error why = *pm_link_why(w->link);
	uint32_t retry_after_ms = pm_link_retry_after_ms(w->link);
	bool up = u->up;

	pm_wire_finish(w);
	u->up = false;
	if (up || retry_after_ms != 0)
		wait_for(u,
		         pm_redial_down(&u->redial, uv_now(u->loop), retry_after_ms,
		                        randombytes_random()),
		         &why);
	else
		failed(u, &why);
}

static const struct pm_wire_owner owner = { on_moved, on_gone, on_poked };

/* ---- dialling ---- */

static void on_opened(void *arg, struct pm_conn *conn)
{
	struct pm_uplink *u = arg;
	struct pm_link *link;
	struct pm_error err;

	u->dialled = NULL;
	if (pm_link_create(u->host, u->config.coordinator, u->config.enrol, uv_now(u->loop), &link,
	                   &err) < 0) {
		pm_conn_close(conn);
		failed(u, &err);
		return;
	}
	pm_wire_start(&u->wire, u->loop, conn, link, &owner, u);
}

static void on_dial_ended(void *arg, struct pm_conn *conn, const struct pm_error *why)
{
	struct pm_uplink *u = arg;

	u->why = *why;
	u->dialled = NULL;
	pm_conn_close(conn);
	u->at++;
	dial_candidate(u);
}

static const struct pm_conn_handlers dial_handlers = {
	.opened = on_opened,
	.ended = on_dial_ended,
};

static void dial_candidate(struct pm_uplink *u)
{
	unsigned dial_ms = u->config.dial_ms != 0 ? u->config.dial_ms : DIAL_MS;

	for (; u->at < u->n_candidates; u->at++)
		if (pm_conn_dial(u->net, (const struct sockaddr *)&u->candidates[u->at], dial_ms,
		                 &dial_handlers, u, &u->dialled, &u->why) == 0)
			return;
	failed(u, &u->why);
}

static void take_candidate(struct pm_uplink *u, const void *at, size_t len)
{
	if (u->n_candidates < CANDIDATES_MAX && len <= sizeof(u->candidates[0]))
		memcpy(&u->candidates[u->n_candidates++], at, len);
}

static void one_handle_less(struct pm_uplink *u)
{
	if (--u->n_handles == 0)
		free(u);
}

static void on_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct pm_uplink *u = req->data;
	struct pm_error err;

	u->looking = false;
	for (const struct addrinfo *at = found; !u->closing && at != NULL; at = at->ai_next)
		if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
			take_candidate(u, at->ai_addr, at->ai_addrlen);
	uv_freeaddrinfo(found);
	if (u->closing) {
		one_handle_less(u);
	} else if (u->n_candidates > 0) {
		dial_candidate(u);
	} else {
		(void)pm_fail(&err, PM_UNREACHABLE, "the name is not known: %s",
		              status < 0 ? uv_strerror(status) : "no address");
		failed(u, &err);
	}
}

static void dial_address(struct pm_uplink *u)
{
	const struct pm_address *a = &u->config.addresses[u->address];
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct pm_error err;
	char port[8];
	int rc;

	u->n_candidates = u->at = 0;
	(void)pm_fail(&u->why, PM_UNREACHABLE, "no address");
	if (uv_ip4_addr(a->host, a->port, &in) == 0)
		take_candidate(u, &in, sizeof(in));
	else if (uv_ip6_addr(a->host, a->port, &in6) == 0)
		take_candidate(u, &in6, sizeof(in6));
	if (u->n_candidates > 0) {
		dial_candidate(u);
		return;
	}
	(void)snprintf(port, sizeof(port), "%u", a->port);
	rc = uv_getaddrinfo(u->loop, &u->lookup, on_found, a->host, port, &hints);
	if (rc == 0) {
		u->looking = true;
		return;
	}
	(void)pm_fail_errno(&err, -rc, "look up the name");
	failed(u, &err);
}

/* ---- life ---- */

int pm_uplink_create(struct pm_net *net, uv_loop_t *loop, const struct pm_uplink_config *config,
                     const struct pm_link_handlers *handlers, void *arg, struct pm_uplink **out,
                     struct pm_error *err)
{
	struct pm_uplink *u = pm_calloc(1, sizeof(*u));

	if (u == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (pm_link_host_create(&config->link, handlers, arg, &u->host, err) < 0) {
		free(u);
		return -1;
	}
	u->net = net;
	u->loop = loop;
	u->config = *config;
	u->arg = arg;
	u->timer.data = u->lookup.data = u;
	pm_redial_init(&u->redial, config->n_addresses);
	(void)uv_timer_init(loop, &u->timer); /* cannot fail */
	u->n_handles = 1;
	*out = u;
	return 0;
}

void pm_uplink_start(struct pm_uplink *u)
{
	if (u->wire.link != NULL || u->dialled != NULL || u->looking)
		return;
	(void)uv_timer_start(&u->timer, on_dial_time, 0, 0); /* cannot fail */
}

static void on_handle_closed(uv_handle_t *handle)
{
	one_handle_less(handle->data);
}

void pm_uplink_close(struct pm_uplink *u)
{
	if (u == NULL || u->closing)
		return;
	u->closing = true;
	pm_conn_close(u->dialled);
	pm_wire_finish(&u->wire);
	pm_link_host_destroy(u->host);
	if (u->looking) { /* its callback comes in any case */
		u->n_handles++;
		(void)uv_cancel((uv_req_t *)&u->lookup);
	}
	uv_close((uv_handle_t *)&u->timer, on_handle_closed);
}

struct pm_link *pm_uplink_link(const struct pm_uplink *u)
{
	return u->wire.link;
}
