#include "proto/hub.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chain.h"
#include "proto/limits.h"
#include "proto/wire.h"

#define TURN_MS     10   /* how often those who wait for their handshake are looked at */
#define SWEEP_MOST  1000 /* how often all links are, at the least */
#define SWEEP_SHARE 8    /* of the shortest of a link's times */
#define SWEEP_LEAST 10

struct peer {
	struct pm_wire wire; /* first member: the link's carrier is it */
	struct pm_hub *hub;  /* borrowed */
	struct pm_chain all, dirty, waiting;
	uint64_t due_ms; /* the link's; here, where the sweep comes by, it costs one cache line */
	bool at_door;
	bool enrolling;
};

struct pm_hub {
	struct pm_net *net;                              /* borrowed */
	uv_loop_t *loop;                                 /* borrowed */
	struct pm_link_host *host;                       /* owned */
	struct pm_gate *gate;                            /* owned */
	struct pm_listener *listeners[PM_ADDRESSES_MAX]; /* owned */
	unsigned n_listeners;
	struct pm_chain all, dirty, waiting; /* peers */
	uv_timer_t sweep, turn;
	uv_idle_t flush; /* runs while a peer is dirty */
	unsigned n_handles;
	unsigned sweep_ms;
	struct pm_hub_stats stats;
	bool closing;
};

/* ---- a peer ---- */

static void leave_door(struct peer *p)
{
	if (p->at_door)
		pm_gate_leave(p->hub->gate, p);
	p->at_door = false;
	pm_chain_remove(&p->waiting);
}

static void leave_enrolment(struct peer *p)
{
	if (p->enrolling)
		pm_gate_enrolled(p->hub->gate);
	p->enrolling = false;
}

static void free_peer(struct peer *p)
{
	struct pm_hub *h = p->hub;

	leave_door(p);
	leave_enrolment(p);
	pm_chain_remove(&p->all);
	pm_chain_remove(&p->dirty);
	h->stats.n_links--;
	pm_wire_finish(&p->wire);
	free(p);
	if (pm_chain_first(&h->all) == NULL)
		uv_timer_stop(&h->sweep);
}

static void on_gone(void *arg, struct pm_wire *w)
{
	(void)arg;
	free_peer((struct peer *)w);
}

static void on_flush(uv_idle_t *idle);

static void on_poked(void *arg, struct pm_wire *w)
{
	struct pm_hub *h = arg;
	struct peer *p = (struct peer *)w;

	if (!pm_chain_is_in(&p->dirty))
		pm_chain_append(&h->dirty, &p->dirty);
	(void)uv_idle_start(&h->flush, on_flush); /* fails only without a callback */
}

/* Those that were poked before this turn of the loop; others are the next turn's. */
static void on_flush(uv_idle_t *idle)
{
	struct pm_hub *h = idle->data;
	struct pm_chain now, *place;

	pm_chain_init(&now);
	pm_chain_move(&now, &h->dirty);
	uv_idle_stop(idle);
	while ((place = pm_chain_first(&now)) != NULL) {
		struct peer *p = PM_CHAIN_OF(place, struct peer, dirty);

		pm_chain_remove(place);
		pm_wire_go_on(&p->wire);
	}
}

static void on_turn(uv_timer_t *timer);

static void ask_for_turn(struct peer *p)
{
	struct pm_hub *h = p->hub;

	if (pm_chain_first(&h->waiting) == NULL && pm_gate_take_turn(h->gate, uv_now(h->loop))) {
		h->stats.n_handshakes++;
		pm_wire_take_turn(&p->wire);
		return;
	}
	h->stats.n_delayed++;
	pm_gate_spoke(h->gate, p);
	pm_chain_append(&h->waiting, &p->waiting);
	if (!uv_is_active((uv_handle_t *)&h->turn))
		(void)uv_timer_start(&h->turn, on_turn, TURN_MS, TURN_MS); /* cannot fail */
}

/* Those who wait, first come, first served, as far as there are turns. */
static void on_turn(uv_timer_t *timer)
{
	struct pm_hub *h = timer->data;
	struct pm_chain *place;

	while ((place = pm_chain_first(&h->waiting)) != NULL &&
	       pm_gate_take_turn(h->gate, uv_now(h->loop))) {
		pm_chain_remove(place);
		h->stats.n_handshakes++;
		pm_wire_take_turn(&PM_CHAIN_OF(place, struct peer, waiting)->wire);
	}
	if (pm_chain_first(&h->waiting) == NULL)
		uv_timer_stop(timer);
}

static void on_moved(void *arg, struct pm_wire *w)
{
	struct pm_hub *h = arg;
	struct peer *p = (struct peer *)w;
	struct pm_error why;

	p->due_ms = pm_link_due_ms(w->link);
	if (pm_link_wants_turn(w->link)) {
		if (!pm_chain_is_in(&p->waiting))
			ask_for_turn(p);
		return; /* it may be gone */
	}
	if (!p->at_door && !p->enrolling)
		return;
	if (pm_link_is_new(w->link) && !p->enrolling) {
		p->enrolling = pm_gate_take_enrolment(h->gate);
		if (!p->enrolling) {
			(void)pm_fail(&why, PM_LIMIT, "too many enrol at once");
			pm_link_close(w->link, &why);
		}
	}
	if (!pm_link_is_new(w->link))
		leave_enrolment(p);
	if (pm_link_is_proved(w->link))
		leave_door(p);
}

static const struct pm_wire_owner owner = { on_moved, on_gone, on_poked };

/* ---- the door ---- */

/* As IPv6, with IPv4 mapped into it; an address that is not known any more counts as one. */
static void door_address(const struct pm_conn *conn, uint8_t out[PM_GATE_ADDRESS])
{
	struct sockaddr_storage at;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(out, 0, PM_GATE_ADDRESS);
	if (!pm_conn_peer(conn, &at))
		return;
	if (at.ss_family == AF_INET) {
		memcpy(&in, &at, sizeof(in));
		out[10] = out[11] = 0xff;
		memcpy(out + 12, &in.sin_addr, 4);
	} else {
		memcpy(&in6, &at, sizeof(in6));
		memcpy(out, &in6.sin6_addr, PM_GATE_ADDRESS);
	}
}

static void evict(struct peer *p)
{
	struct pm_error why;

	p->at_door = false; /* the gate has let it go */
	p->hub->stats.n_evicted++;
	(void)pm_fail(&why, PM_LIMIT, "made room for others before it had shown who it is");
	pm_wire_end(&p->wire, &why);
}

static void on_sweep(uv_timer_t *timer);

static int admit(struct pm_hub *h, struct pm_conn *conn, struct pm_error *err)
{
	struct peer *p = pm_calloc(1, sizeof(*p)), *out;
	uint8_t address[PM_GATE_ADDRESS];
	struct pm_link *link;

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (pm_link_create(h->host, NULL, false, uv_now(h->loop), &link, err) < 0) {
		free(p);
		return -1;
	}
	p->hub = h;
	door_address(conn, address);
	out = pm_gate_enter(h->gate, address, p);
	if (out == p) {
		pm_link_destroy(link);
		free(p);
		return pm_fail(err, PM_LIMIT, "too many wait at the door");
	}
	if (out != NULL)
		evict(out);
	p->at_door = true;
	if (pm_chain_first(&h->all) == NULL)
		(void)uv_timer_start(&h->sweep, on_sweep, h->sweep_ms, h->sweep_ms);
	pm_chain_append(&h->all, &p->all);
	h->stats.n_links++;
	pm_wire_start(&p->wire, h->loop, conn, link, &owner, h);
	return 0;
}

static void on_accept(void *arg, struct pm_conn *conn)
{
	struct pm_hub *h = arg;
	struct pm_error err;

	if (admit(h, conn, &err) < 0) {
		h->stats.n_refused++;
		pm_conn_close(conn);
		return;
	}
	h->stats.n_accepted++;
}

/* ---- time ---- */

static void on_sweep(uv_timer_t *timer)
{
	struct pm_hub *h = timer->data;
	uint64_t now_ms = uv_now(h->loop);
	struct pm_chain *next;

	/* A handler may close any link, but only this loop destroys one here, and only its own. */
	for (struct pm_chain *at = h->all.next; at != &h->all; at = next) {
		struct peer *p = PM_CHAIN_OF(at, struct peer, all);

		next = at->next;
		if (p->due_ms <= now_ms)
			pm_wire_go_on(&p->wire);
	}
}

static unsigned sweep_interval(const struct pm_link_config *c)
{
	/* Zero is a default, and those are longer than all that matters here. */
	const uint32_t times[] = { c->handshake_ms, c->greeting_ms, c->heartbeat_ms, c->suspect_ms,
		                   c->dead_ms };
	uint32_t least = c->handshake_ms != 0 ? UINT32_MAX : 3000;

	for (size_t i = 0; i < PM_COUNT(times); i++)
		if (times[i] != 0)
			least = PM_MIN(least, times[i]);
	return PM_MIN(PM_MAX(least / SWEEP_SHARE, SWEEP_LEAST), SWEEP_MOST);
}

/* ---- life ---- */

static unsigned limit_or(unsigned value, unsigned standard)
{
	return value != 0 ? value : standard;
}

static int build(struct pm_hub *h, const struct pm_hub_config *config,
                 const struct pm_link_handlers *handlers, void *arg, struct pm_error *err)
{
	struct pm_gate_limits gate = {
		limit_or(config->gate.max, PM_PREAUTH_MAX),
		limit_or(config->gate.per_address, PM_PREAUTH_ADDRESS_MAX),
		limit_or(config->gate.per_second, PM_HANDSHAKES_PER_S),
		limit_or(config->gate.enrolling, PM_ENROLLING_MAX),
	};

	if (pm_gate_create(&gate, &h->gate, err) < 0)
		return -1;
	return pm_link_host_create(&config->link, handlers, arg, &h->host, err);
}

int pm_hub_create(struct pm_net *net, uv_loop_t *loop, const struct pm_hub_config *config,
                  const struct pm_link_handlers *handlers, void *arg, struct pm_hub **out,
                  struct pm_error *err)
{
	struct pm_hub *h = pm_calloc(1, sizeof(*h));

	if (h == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	h->net = net;
	h->loop = loop;
	h->sweep_ms = sweep_interval(&config->link);
	pm_chain_init(&h->all);
	pm_chain_init(&h->dirty);
	pm_chain_init(&h->waiting);
	h->sweep.data = h->turn.data = h->flush.data = h;
	(void)uv_timer_init(loop, &h->sweep); /* these three cannot fail */
	(void)uv_timer_init(loop, &h->turn);
	(void)uv_idle_init(loop, &h->flush);
	h->n_handles = 3;
	if (build(h, config, handlers, arg, err) < 0) {
		pm_hub_close(h);
		return -1;
	}
	*out = h;
	return 0;
}

int pm_hub_listen(struct pm_hub *h, const struct sockaddr *at, uint16_t *port, struct pm_error *err)
{
	struct pm_listener **l = &h->listeners[h->n_listeners];

	if (h->n_listeners == PM_ADDRESSES_MAX)
		return pm_fail(err, PM_LIMIT, "over %d addresses to listen at", PM_ADDRESSES_MAX);
	if (pm_listener_create(h->net, at, on_accept, h, l, err) < 0)
		return -1;
	if (port != NULL)
		*port = pm_listener_port(*l);
	h->n_listeners++;
	return 0;
}

static void close_listeners(struct pm_hub *h)
{
	while (h->n_listeners > 0) {
		h->stats.n_refused += pm_listener_n_refused(h->listeners[--h->n_listeners]);
		pm_listener_close(h->listeners[h->n_listeners]);
	}
}

void pm_hub_goodbye(struct pm_hub *h, const char *reason, uint32_t retry_after_ms)
{
	close_listeners(h);
	for (struct pm_chain *at = h->all.next; at != &h->all; at = at->next)
		pm_link_goodbye(PM_CHAIN_OF(at, struct peer, all)->wire.link, reason,
		                retry_after_ms);
}

void pm_hub_set_keys(struct pm_hub *h, const struct pm_key *key, const struct pm_key *other)
{
	pm_link_host_set_keys(h->host, key, other);
}

void pm_hub_each(struct pm_hub *h, void (*fn)(void *arg, struct pm_link *l), void *arg)
{
	struct pm_chain *next;

	for (struct pm_chain *at = h->all.next; at != &h->all; at = next) {
		next = at->next;
		fn(arg, PM_CHAIN_OF(at, struct peer, all)->wire.link);
	}
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct pm_hub *h = handle->data;

	if (--h->n_handles == 0)
		free(h);
}

void pm_hub_close(struct pm_hub *h)
{
	struct pm_chain *place;

	if (h == NULL || h->closing)
		return;
	h->closing = true;
	close_listeners(h);
	while ((place = pm_chain_first(&h->all)) != NULL)
		free_peer(PM_CHAIN_OF(place, struct peer, all));
	pm_link_host_destroy(h->host);
	pm_gate_destroy(h->gate);
	uv_close((uv_handle_t *)&h->sweep, on_handle_closed);
	uv_close((uv_handle_t *)&h->turn, on_handle_closed);
	uv_close((uv_handle_t *)&h->flush, on_handle_closed);
}

bool pm_hub_peer(const struct pm_link *l, struct sockaddr_storage *out)
{
	const struct pm_wire *w = pm_link_carrier(l);

	return w->conn != NULL && pm_conn_peer(w->conn, out);
}

void pm_hub_stats(const struct pm_hub *h, struct pm_hub_stats *out)
{
	*out = h->stats;
	out->n_at_door = pm_gate_count(h->gate);
	for (unsigned i = 0; i < h->n_listeners; i++)
		out->n_refused += pm_listener_n_refused(h->listeners[i]);
}
