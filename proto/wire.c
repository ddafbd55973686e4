#include "proto/wire.h"

static void over(struct pm_wire *w)
{
	if (w->gone)
		return;
	w->gone = true;
	w->owner->gone(w->arg, w);
}

/* The end of each event: write what there is, and tell the owner. */
static void settle(struct pm_wire *w, bool alive)
{
	const uint8_t *bytes;
	size_t len;

	if (!alive) {
		over(w);
		return;
	}
	if (pm_link_output(w->link, &bytes, &len, uv_now(w->loop)))
		pm_conn_write(w->conn, bytes, len);
	w->owner->moved(w->arg, w);
}

static void on_read(void *arg, struct pm_conn *conn, const uint8_t *bytes, size_t len)
{
	struct pm_wire *w = arg;

	(void)conn;
	settle(w, pm_link_input(w->link, bytes, len, uv_now(w->loop)));
}

static void on_progress(void *arg, struct pm_conn *conn)
{
	struct pm_wire *w = arg;

	(void)conn;
	pm_link_progress(w->link, uv_now(w->loop));
}

static void on_written(void *arg, struct pm_conn *conn)
{
	struct pm_wire *w = arg;

	(void)conn;
	settle(w, pm_link_written(w->link, uv_now(w->loop)));
}

static void on_ended(void *arg, struct pm_conn *conn, const struct pm_error *why)
{
	(void)conn;
	pm_wire_end(arg, why);
}

static const struct pm_conn_handlers handlers = {
	.read = on_read,
	.progress = on_progress,
	.written = on_written,
	.ended = on_ended,
};

static void on_poke(void *carrier, struct pm_link *l)
{
	struct pm_wire *w = carrier;

	(void)l;
	w->owner->poked(w->arg, w);
}

void pm_wire_start(struct pm_wire *w, uv_loop_t *loop, struct pm_conn *conn, struct pm_link *link,
                   const struct pm_wire_owner *owner, void *arg)
{
	*w = (struct pm_wire){ conn, link, owner, arg, loop, false };
	pm_link_set_carrier(link, on_poke, w);
	pm_conn_set_handlers(conn, &handlers, w);
	pm_conn_read(conn, true);
	owner->poked(arg, w); /* a dialling side has something to say */
}

void pm_wire_finish(struct pm_wire *w)
{
	w->gone = true;
	pm_conn_close(w->conn); /* first: what it writes is the link's */
	pm_link_destroy(w->link);
	w->conn = NULL;
	w->link = NULL;
}

void pm_wire_go_on(struct pm_wire *w)
{
	settle(w, pm_link_work(w->link, uv_now(w->loop)));
}

void pm_wire_take_turn(struct pm_wire *w)
{
	pm_link_give_turn(w->link);
	settle(w, pm_link_input(w->link, NULL, 0, uv_now(w->loop)));
}

void pm_wire_end(struct pm_wire *w, const struct pm_error *why)
{
	settle(w, pm_link_lost(w->link, why));
}
