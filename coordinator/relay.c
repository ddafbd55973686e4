#include "coordinator/relay.h"

#include <stdlib.h>

#include "proto/log.h"

struct relay {
	struct pm_link_stream *operator, * agent; /* NULL: closed */
};

static struct pm_link_stream *other(const struct relay *r, const struct pm_link_stream *st)
{
	return st == r->operator? r->agent : r->operator;
}

int relay_open(struct pm_link_stream *operator, struct pm_link * agent, const Pm__StreamOpen *open,
               Pm__Actor *actor, struct pm_error *err)
{
	struct relay *r = pm_calloc(1, sizeof(*r));
	Pm__StreamOpen out = *open;
	static char none[] = "";

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "relay a stream");
	out.agent = none;
	out.actor = actor;
	if (pm_link_stream_open(agent, &out, r, &r->agent, err) < 0) {
		free(r);
		return -1;
	}
	/* From here on the agent may send what the operator lets it, and no more: the window that
	 * comes with the opening is as large as his. */
	pm_link_stream_by_hand(r->agent);
	r->operator= operator;
	pm_link_stream_set_user(operator, r);
	return 0;
}

void relay_data(struct pm_link_stream *st, const Pm__StreamData *data)
{
	struct relay *r = pm_link_stream_user(st);
	struct pm_link_stream *to = other(r, st);

	if (st != r->agent || to == NULL)
		return; /* operators have nothing to say on a stream of logs */
	if (pm_link_stream_send(to, data) == PM_LINK_SENT)
		return;
	/* Credit is passed on as it comes, so this is an agent that sends more than it may. */
	pm_log(PM_LOG_WARN, "relay.overrun", "an agent sent more than the operator takes");
	pm_link_stream_close(to, PM_PROTOCOL, "the agent sent more than it may");
	r->operator= NULL;
	pm_link_stream_close(st, PM_PROTOCOL, "more was sent than there was credit for");
	free(r);
}

void relay_ready(struct pm_link_stream *st)
{
	(void)st; /* nothing waits here */
}

void relay_credit(struct pm_link_stream *st, uint32_t bytes)
{
	struct relay *r = pm_link_stream_user(st);

	if (st == r->operator&& r->agent != NULL)
		(void)pm_link_stream_grant(r->agent, bytes);
}

void relay_closed(struct pm_link_stream *st, const struct pm_error *why)
{
	struct relay *r = pm_link_stream_user(st);
	struct pm_link_stream *to;

	if (r == NULL)
		return; /* it never had another end */
	to = other(r, st);
	if (to != NULL)
		pm_link_stream_close(to, why->code, why->what);
	free(r);
}
