#include "proto/uplink.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/redial.h"
#include "proto/wire.h"

#define DIAL_MS        5000
#define RENEW_MS       86400000
#define RENEW_AGAIN_MS 600000 /* after one that did not come about */
#define RENEW_BUSY_MS  60000  /* after one that would have lost something */
#define RENEW_SOON_MS  1000   /* the same, when it was asked for */
#define CANDIDATES_MAX 8      /* numeric addresses of one name; further ones are not tried */

/* Place for one session; there are two while it is made anew. */
struct leg {
	struct pm_wire wire;      /* first member; its link is NULL while there is none */
	struct pm_uplink *uplink; /* borrowed */
	uv_timer_t due;           /* what the link is due for */
	bool poked;               /* the link's owner left work */
	bool up;                  /* it was noticed that the session is */
};

struct pm_uplink {
	struct leg legs[2];
	unsigned current;   /* the leg whose session is the owner's */
	bool renewing;      /* what is dialled goes to the other leg */
	uint32_t busy_ms;   /* for so long it was put off: renew_ms is the end of that */
	struct pm_net *net; /* borrowed */
	uv_loop_t *loop;    /* borrowed */
	struct pm_uplink_config config;
	struct pm_link_host *host;   /* owned */
	void *arg;                   /* borrowed; for trouble() */
	const struct pm_key *own[2]; /* borrowed; the second NULL: there is one */
	uint8_t coordinators[2][PM_KEY_BYTES];
	unsigned n_coordinators;
	unsigned pair;    /* of keys that is dialled: bit 0 is our own's place, bit 1 the other's */
	unsigned n_tried; /* pairs that came to nothing, one after another */
	bool soon;        /* a renewal was asked for */
	struct pm_redial redial;
	unsigned address; /* in use */
	uv_timer_t dial;  /* until the next one */
	uv_timer_t renew;
	uv_getaddrinfo_t lookup;
	bool looking;            /* the pool has the lookup */
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
	(void)uv_timer_start(&u->dial, on_dial_time, step.wait_ms, 0); /* cannot fail */
	if (u->config.trouble != NULL)
		u->config.trouble(u->arg, why, step.wait_ms);
}

static void on_renew_time(uv_timer_t *timer);

static void renew_in(struct pm_uplink *u, uint32_t ms)
{
	uint64_t wait_ms = ms - ms / 5 + randombytes_uniform(PM_MAX(ms / 5 * 2, 1u));

	(void)uv_timer_start(&u->renew, on_renew_time, wait_ms, 0); /* cannot fail */
}

static uint32_t renew_ms(const struct pm_uplink *u)
{
	return u->config.renew_ms != 0 ? u->config.renew_ms : RENEW_MS;
}

static bool is_pair(const struct pm_uplink *u, unsigned pair)
{
	return u->own[pair & 1] != NULL && (pair >> 1) < u->n_coordinators;
}

/* Somebody answered, and it came to no session: with other keys it may.  false: all were tried. */
static bool try_next_pair(struct pm_uplink *u)
{
	do {
		u->pair = (u->pair + 1) % 4;
		u->n_tried++;
	} while (u->n_tried < 4 && !is_pair(u, u->pair));
	if (u->n_tried < 4) {
		(void)uv_timer_start(&u->dial, on_dial_time, 0, 0); /* cannot fail */
		return true;
	}
	u->n_tried = 0;
	u->pair = 0;
	return false;
}

/* A session that did not come about. */
static void failed(struct pm_uplink *u, const struct pm_error *why)
{
	char text[PM_ADDRESS_TEXT];
	struct pm_error err = *why;

	if (u->renewing) { /* the one that is there goes on */
		u->renewing = false;
		renew_in(u, PM_MIN(renew_ms(u), (uint32_t)RENEW_AGAIN_MS));
		return;
	}
	pm_address_format(&u->config.addresses[u->address], text);
	(void)pm_wrap(&err, "%.100s", text);
	wait_for(u, pm_redial_failed(&u->redial, randombytes_random()), &err);
}

static void on_renew_time(uv_timer_t *timer)
{
	struct pm_uplink *u = timer->data;

	if (u->renewing || !u->legs[u->current].up)
		return;
	if (u->legs[1 - u->current].wire.link != NULL || /* the last one is still leaving */
	    (!pm_link_is_idle(u->legs[u->current].wire.link) && u->busy_ms < renew_ms(u))) {
		uint32_t ms =
			PM_MIN(renew_ms(u), (uint32_t)(u->soon ? RENEW_SOON_MS : RENEW_BUSY_MS));

		u->busy_ms += ms;
		renew_in(u, ms);
		return;
	}
	u->busy_ms = 0;
	u->soon = false;
	u->renewing = true;
	dial_address(u);
}

/* ---- the session ---- */

static void on_due(uv_timer_t *timer)
{
	struct leg *leg = timer->data;

	leg->poked = false;
	pm_wire_go_on(&leg->wire);
}

/* The session of this leg is up, for the first time or in the place of the other's. */
static void come_up(struct pm_uplink *u, struct leg *leg)
{
	struct pm_link *old = u->legs[u->current].wire.link;

	leg->up = true;
	u->n_tried = 0;
	pm_redial_up(&u->redial, uv_now(u->loop));
	renew_in(u, u->soon ? PM_MIN(renew_ms(u), (uint32_t)RENEW_SOON_MS) : renew_ms(u));
	if (leg == &u->legs[u->current])
		return;
	u->current = 1 - u->current;
	u->renewing = false;
	pm_link_goodbye(old, "it goes on in a fresh session", 0);
}

static void on_moved(void *arg, struct pm_wire *w)
{
	struct leg *leg = (struct leg *)w;
	struct pm_uplink *u = arg;
	uint64_t now_ms = uv_now(u->loop), due_ms = pm_link_due_ms(w->link);

	if (!pm_link_is_new(w->link))
		u->config.enrol = false;
	if (pm_link_is_up(w->link) && !leg->up)
		come_up(u, leg);
	if (leg->poked || due_ms < now_ms)
		due_ms = now_ms;
	(void)uv_timer_start(&leg->due, on_due, due_ms - now_ms, 0); /* cannot fail */
}

static void on_poked(void *arg, struct pm_wire *w)
{
	struct leg *leg = (struct leg *)w;

	(void)arg;
	leg->poked = true;
	(void)uv_timer_start(&leg->due, on_due, 0, 0); /* cannot fail */
}

static void finish_leg(struct leg *leg)
{
	pm_wire_finish(&leg->wire);
	uv_timer_stop(&leg->due);
	leg->up = leg->poked = false;
}

/* The owner's session ended: what renews it takes its place, or it is dialled again. */
static void lose_current(struct pm_uplink *u, bool was_up, const struct pm_error *why,
                         uint32_t retry_after_ms)
{
	struct pm_redial_step step;

	uv_timer_stop(&u->renew);
	if (u->renewing) {
		if (u->legs[1 - u->current].wire.link != NULL)
			u->current = 1 - u->current;
		u->renewing = false;
		return;
	}
	if (!was_up && retry_after_ms == 0) {
		if (!try_next_pair(u))
			failed(u, why);
		return;
	}
	step = pm_redial_down(&u->redial, uv_now(u->loop), retry_after_ms, randombytes_random());
	wait_for(u, step, why);
}

static void on_gone(void *arg, struct pm_wire *w)
{
	struct leg *leg = (struct leg *)w;
	struct pm_uplink *u = arg;
	struct pm_error why = *pm_link_why(w->link);
	uint32_t retry_after_ms = pm_link_retry_after_ms(w->link);
	bool was_up = leg->up;

	finish_leg(leg);
	if (leg == &u->legs[u->current])
		lose_current(u, was_up, &why, retry_after_ms);
	else if (u->renewing && !try_next_pair(u))
		failed(u, &why);
}

static const struct pm_wire_owner owner = { on_moved, on_gone, on_poked };

/* ---- dialling ---- */

static void on_opened(void *arg, struct pm_conn *conn)
{
	struct pm_uplink *u = arg;
	struct leg *leg = &u->legs[u->renewing ? 1 - u->current : u->current];
	struct pm_link *link;
	struct pm_error err;

	u->dialled = NULL;
	pm_link_host_set_keys(u->host, u->own[u->pair & 1], NULL);
	if (pm_link_create(u->host, u->coordinators[u->pair >> 1], u->config.enrol, uv_now(u->loop),
	                   &link, &err) < 0) {
		pm_conn_close(conn);
		failed(u, &err);
		return;
	}
	pm_wire_start(&leg->wire, u->loop, conn, link, &owner, u);
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
	pm_uplink_set_own(u, config->link.key, config->other_key);
	pm_uplink_set_coordinator(u, config->coordinator, config->other_coordinator);
	u->config.other_coordinator = NULL; /* copied */
	u->dial.data = u->renew.data = u->lookup.data = u;
	pm_redial_init(&u->redial, config->n_addresses);
	(void)uv_timer_init(loop, &u->dial); /* these cannot fail */
	(void)uv_timer_init(loop, &u->renew);
	for (unsigned i = 0; i < 2; i++) {
		u->legs[i].uplink = u;
		u->legs[i].due.data = &u->legs[i];
		(void)uv_timer_init(loop, &u->legs[i].due);
	}
	u->n_handles = 4;
	*out = u;
	return 0;
}

void pm_uplink_start(struct pm_uplink *u)
{
	if (u->legs[u->current].wire.link != NULL || u->dialled != NULL || u->looking)
		return;
	(void)uv_timer_start(&u->dial, on_dial_time, 0, 0); /* cannot fail */
}

void pm_uplink_set_own(struct pm_uplink *u, const struct pm_key *key, const struct pm_key *other)
{
	u->own[0] = key;
	u->own[1] = other;
	u->pair = u->n_tried = 0;
}

void pm_uplink_set_coordinator(struct pm_uplink *u, const uint8_t *key, const uint8_t *other)
{
	memmove(u->coordinators[0], key, PM_KEY_BYTES);
	u->n_coordinators = 1;
	if (other != NULL)
		memmove(u->coordinators[u->n_coordinators++], other, PM_KEY_BYTES);
	u->pair = u->n_tried = 0;
}

void pm_uplink_renew(struct pm_uplink *u)
{
	u->soon = true;
	if (u->legs[u->current].up && !u->renewing)
		(void)uv_timer_start(&u->renew, on_renew_time, 0, 0); /* cannot fail */
}

static void on_handle_closed(uv_handle_t *handle)
{
	one_handle_less(handle->data);
}

static void on_due_closed(uv_handle_t *handle)
{
	const struct leg *leg = handle->data;

	one_handle_less(leg->uplink);
}

void pm_uplink_close(struct pm_uplink *u)
{
	if (u == NULL || u->closing)
		return;
	u->closing = true;
	pm_conn_close(u->dialled);
	for (unsigned i = 0; i < 2; i++) {
		pm_wire_finish(&u->legs[i].wire);
		uv_close((uv_handle_t *)&u->legs[i].due, on_due_closed);
	}
	pm_link_host_destroy(u->host);
	if (u->looking) { /* its callback comes in any case */
		u->n_handles++;
		(void)uv_cancel((uv_req_t *)&u->lookup);
	}
	uv_close((uv_handle_t *)&u->dial, on_handle_closed);
	uv_close((uv_handle_t *)&u->renew, on_handle_closed);
}

unsigned pm_uplink_address(const struct pm_uplink *u)
{
	return u->address;
}

struct pm_link *pm_uplink_link(const struct pm_uplink *u)
{
	return u->legs[u->current].wire.link;
}
