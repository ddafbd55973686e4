#include "cli/fleet_send.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX (40u * 1024) /* bytes of names that are sent with the request */
#define GRACE_MS  3000         /* the coordinator's deadline comes first and says more */
#define TICK_MS   100

struct sending {
	struct fleet *f;
	uint32_t *ready; /* owned: hosts that are to be told of, by index */
	size_t n_ready, told;
};

static int on_answer(void *arg, const Pm__Envelope *env, struct pm_error *err)
{
	struct sending *s = arg;
	struct host *h;
	bool last;

	if (env->body_case == PM__ENVELOPE__BODY_FORWARDED) {
		if (hosts_take(&s->f->hosts, env->forwarded, &h, &last, err) < 0)
			return -1;
		if (last && s->n_ready < PM_HOSTS_MAX) {
			s->ready[s->n_ready++] = (uint32_t)(h - s->f->hosts.list);
			fleet_client_stop_waiting(s->f->client);
		}
		return 0;
	}
	if (env->body_case != PM__ENVELOPE__BODY_FLEET_REPLY)
		return pm_fail(err, PM_PROTOCOL, "the coordinator's answer is of another kind");
	if (env->fleet_reply->what_case == PM__FLEET_REPLY__WHAT_FORWARD_END &&
	    hosts_take_end(&s->f->hosts, env->fleet_reply->forward_end, err) < 0)
		return -1;
	return !env->fleet_reply->more;
}

/*
 * Until the last answer, or the end of patience.  Handlers are called between the waits, so that
 * they may use the session.
 */
static int wait_for_all(struct sending *s, const struct fleet_wait *patience,
                        const struct fleet_send_handlers *handlers, void *arg,
                        enum fleet_waited *waited, struct pm_error *err)
{
	struct fleet_client *client = s->f->client;
	uint64_t deadline = pm_now_ms() + patience->timeout_ms, now;
	bool done = false;

	for (;;) {
		struct fleet_wait wait = *patience;

		while (s->told < s->n_ready) {
			struct host *h = &s->f->hosts.list[s->ready[s->told++]];

			if (handlers->host != NULL)
				handlers->host(arg, h);
		}
		if (fleet_client_end(client, &done, err) < 0)
			return -1;
		now = pm_now_ms();
		*waited = done ? FLEET_DONE : FLEET_TIME_OUT;
		if (done || now >= deadline)
			return 0;
		wait.timeout_ms = (uint32_t)(deadline - now);
		if (fleet_client_wait(client, &wait, waited, err) < 0)
			return -1;
		if (*waited == FLEET_STOPPED)
			return 0;
	}
}

/* The hosts by their names, so that they are those that were looked up and told. */
struct naming {
	Pm__Selector selector;
	char **names;          /* owned; the names themselves are borrowed */
	struct pm_buf exclude; /* owned */
};

static void naming_finish(struct naming *n)
{
	free(n->names);
	pm_buf_finish(&n->exclude);
}

/* Too many to name: the selector once more, without those that are left out. */
static int select_again(struct fleet *f, struct naming *n, struct pm_error *err)
{
	n->selector = f->selector;
	pm_buf_str(&n->exclude, f->selector.exclude);
	for (size_t i = 0; i < f->n_nodes; i++)
		if (f->hosts.list[i].state != HOST_WAITING)
			pm_buf_printf(&n->exclude, "%s%s", n->exclude.len == 0 ? "" : ",",
			              f->nodes[i]->name);
	if (n->exclude.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (n->exclude.len > 0)
		n->selector.exclude = n->exclude.bytes;
	return 0;
}

static int name_hosts(struct fleet *f, struct naming *n, struct pm_error *err)
{
	size_t bytes = 0;

	for (size_t i = 0; i < f->n_nodes; i++)
		bytes += strlen(f->nodes[i]->name) + 3;
	if (bytes > NAMES_MAX)
		return select_again(f, n, err);
	n->names = pm_calloc(f->n_nodes + 1, sizeof(char *));
	if (n->names == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	pm__selector__init(&n->selector);
	n->selector.names = n->names;
	/* hosts.list begins with the nodes, in their order. */
	for (size_t i = 0; i < f->n_nodes; i++)
		if (f->hosts.list[i].state == HOST_WAITING)
			n->names[n->selector.n_names++] = f->nodes[i]->name;
	return 0;
}

int fleet_send(struct ctx *ctx, Pm__Forward *forward, const struct fleet_send_handlers *handlers,
               void *arg, struct pm_error *err)
{
	struct fleet *f = ctx->fleet;
	PM_FREE uint32_t *ready = pm_calloc(PM_HOSTS_MAX, sizeof(*ready));
	struct sending s = { .f = f, .ready = ready };
	struct fleet_wait wait = { .timeout_ms = forward->deadline_ms + GRACE_MS,
		                   .stop_fd = f->stop_fd,
		                   .tick_ms = handlers->tick != NULL ? TICK_MS : 0,
		                   .tick = handlers->tick,
		                   .arg = arg };
	Pm__Envelope env = PM__ENVELOPE__INIT;
	PM_CLEANUP(naming_finish) struct naming naming = { 0 };
	enum fleet_waited waited = FLEET_DONE;
	uint64_t begin = pm_now_ms();
	int rc;

	if (ready == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (hosts_account(&f->hosts).n[HOST_WAITING] == 0)
		return 0; /* every one is left out */
	if (name_hosts(f, &naming, err) < 0)
		return -1;
	forward->selector = &naming.selector;
	env.body_case = PM__ENVELOPE__BODY_FORWARD;
	env.forward = forward;
	rc = fleet_client_begin(f->client, &env, on_answer, &s, err);
	if (rc == 0)
		rc = wait_for_all(&s, &wait, handlers, arg, &waited, err);
	f->sent = true;
	f->stopped = rc == 0 && waited == FLEET_STOPPED;
	f->time_is_up = waited == FLEET_TIME_OUT || pm_now_ms() - begin >= forward->deadline_ms;
	if (!f->stopped)
		hosts_give_up(&f->hosts);
	/* Without a session what is known is still told, and the rest is unknown. */
	if (rc < 0 && !fleet_client_is_up(f->client)) {
		say_error(ctx, err);
		return 0;
	}
	return rc;
}
