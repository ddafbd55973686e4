#include "cli/rollout_ask.h"

/* Hosts are asked what they would do, which takes a slow one some time. */
#define START_MS 60000

static int on_one(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct rollout_copy *c = arg;

	if (reply->what_case != PM__FLEET_REPLY__WHAT_ROLLOUTS)
		return 0;
	for (size_t i = 0; i < reply->rollouts->n_rollouts; i++)
		if (rollout_copy_take(c, reply->rollouts->rollouts[i], err) < 0)
			return -1;
	return 0;
}

/* An answer without a rollout in it is none. */
static int check(const struct rollout_copy *c, struct pm_error *err)
{
	if (c->status != NULL)
		return 0;
	return pm_fail(err, PM_PROTOCOL, "the coordinator's answer tells of no rollout");
}

int rollout_ask_start(struct ctx *ctx, struct fleet *f, Pm__RolloutStart *start,
                      uint32_t patience_ms, struct rollout_copy *out, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	uint32_t timeout_ms = ctx->timeout_ms != 0 ? ctx->timeout_ms : START_MS + patience_ms;

	request.what_case = PM__FLEET_REQUEST__WHAT_ROLLOUT_START;
	request.rollout_start = start;
	if (fleet_request_within(f, &request, timeout_ms, on_one, out, err) == 0)
		return check(out, err);
	if (!start->plan && (err->code == PM_DEADLINE || !fleet_client_is_up(f->client))) {
		err->code = PM_UNKNOWN;
		pm_hint(err, "it may have begun: 'pmctl rollout list' tells");
	}
	return -1;
}

int rollout_ask_show(struct ctx *ctx, struct fleet *f, const char *id, struct rollout_copy *out,
                     struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__RolloutQuery query = PM__ROLLOUT_QUERY__INIT;

	query.id = (char *)(uintptr_t)id; /* only read */
	query.steps = true;
	request.what_case = PM__FLEET_REQUEST__WHAT_ROLLOUT_QUERY;
	request.rollout_query = &query;
	if (fleet_request(ctx, f, &request, on_one, out, err) < 0)
		return -1;
	return check(out, err);
}

int rollout_ask_change(struct ctx *ctx, struct fleet *f, Pm__RolloutVerb verb, const char *id,
                       const char *text, struct rollout_copy *out, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__RolloutChange change = PM__ROLLOUT_CHANGE__INIT;

	change.verb = verb;
	change.id = (char *)(uintptr_t)id; /* only read, as text is */
	if (text != NULL)
		change.text = (char *)(uintptr_t)text;
	request.what_case = PM__FLEET_REQUEST__WHAT_ROLLOUT_CHANGE;
	request.rollout_change = &change;
	if (fleet_request(ctx, f, &request, on_one, out, err) < 0)
		return -1;
	return check(out, err);
}

/* ---- lists ---- */

struct listing {
	rollout_ask_fn *fn;
	void *arg;
};

static int on_list(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	const struct listing *l = arg;

	if (reply->what_case != PM__FLEET_REPLY__WHAT_ROLLOUTS)
		return 0;
	for (size_t i = 0; i < reply->rollouts->n_rollouts; i++) {
		PM_ROLLOUT c = { 0 };

		if (rollout_copy_take(&c, reply->rollouts->rollouts[i], err) < 0 ||
		    l->fn(l->arg, &c, err) < 0)
			return -1;
	}
	return 0;
}

int rollout_ask_list(struct ctx *ctx, struct fleet *f, bool ended, rollout_ask_fn *fn, void *arg,
                     struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__RolloutQuery query = PM__ROLLOUT_QUERY__INIT;
	struct listing listing = { fn, arg };

	query.ended = ended;
	request.what_case = PM__FLEET_REQUEST__WHAT_ROLLOUT_QUERY;
	request.rollout_query = &query;
	return fleet_request(ctx, f, &request, on_list, &listing, err);
}
