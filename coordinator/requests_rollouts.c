/* requests_rollouts.c - what operators ask of rollouts: those under way, and those in the store. */
#include "coordinator/requests_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollouts.h"
#include "proto/codec.h"
#include "proto/ops.h"

#define ENDED_SHOWN 100 /* of the newest that are over */
#define LATE_SHOWN  20

/* ---- may he ---- */

static bool may(const struct coord *c, const struct access *a, uint64_t ops, const struct run *run,
                bool everywhere)
{
	size_t n_seen = 0, n_may = 0;

	for (size_t i = 0; i < c->members.n_nodes; i++) {
		const struct node *node = c->members.nodes[i];

		for (size_t k = 0; k < run->n; k++) {
			if (memcmp(&run->steps[k].agent, &node->id, sizeof(node->id)) != 0)
				continue;
			n_seen++;
			n_may += access_allows(a, ops, i, run->rec->status->apps,
			                       run->rec->status->n_apps);
			break;
		}
	}
	if (n_seen == 0) /* all of its hosts were forgotten since */
		return access_allows_fleet(a, ops);
	return everywhere ? n_may == n_seen : n_may > 0;
}

/* ---- those that joined since, and are not in it (F-03) ---- */

static bool is_in(const struct run *run, const struct node *node)
{
	for (size_t i = 0; i < run->n; i++)
		if (memcmp(&run->steps[i].agent, &node->id, sizeof(node->id)) == 0)
			return true;
	return false;
}

static void find_late(struct coord *c, const struct fleet_view *v, struct run *run)
{
	Pm__RolloutStatus *st = run->rec->status;
	struct targets found = { 0 };
	struct pm_error err;

	for (size_t i = 0; i < st->n_late; i++)
		free(st->late[i]);
	free(st->late);
	st->late = NULL;
	st->n_late = 0;
	if (run->rec->selector == NULL || run_is_over(run) ||
	    members_select(v, run->rec->selector, &found, &err) < 0)
		return; /* nobody is selected any more */
	st->late = pm_calloc(LATE_SHOWN, sizeof(*st->late));
	for (size_t i = 0; st->late != NULL && i < found.n && st->n_late < LATE_SHOWN; i++) {
		const struct node *node = c->members.nodes[found.hosts[i]];

		if (is_in(run, node) || node->enrolled_ms < st->created_wall_ms)
			continue;
		st->late[st->n_late] = pm_strdup(node->name);
		if (st->late[st->n_late] == NULL)
			break;
		st->n_late++;
	}
	targets_finish(&found);
}

/* ---- lists ---- */

static void add_row(struct run *run, Pm__RolloutStatus *row, uint32_t counts[8])
{
	struct rollout_count count;

	*row = *run->rec->status;
	row->n_story = row->n_options = row->n_steps = 0;
	row->n_hosts = (uint32_t)run->n;
	row->batch = rollout_batch_now(&run->m);
	rollout_count(&run->m, &count);
	for (size_t i = 0; i < 8; i++)
		counts[i] = (uint32_t)count.by_state[i];
	row->counts = counts;
	row->n_counts = run->n > 0 ? 8 : 0;
}

static void reply_rows(struct pm_link *link, uint64_t re, Pm__RolloutStatus *rows, size_t n)
{
	size_t at = 0;

	do {
		Pm__RolloutStatus *list[ROWS_PER_REPLY];
		Pm__RolloutList rollouts = PM__ROLLOUT_LIST__INIT;
		Pm__FleetReply reply = PM__FLEET_REPLY__INIT;

		rollouts.rollouts = list;
		for (; at < n && rollouts.n_rollouts < 50; at++)
			list[rollouts.n_rollouts++] = &rows[at];
		reply.what_case = PM__FLEET_REPLY__WHAT_ROLLOUTS;
		reply.rollouts = &rollouts;
		reply.more = at < n;
		requests_reply(link, re, &reply);
	} while (at < n);
}

struct listing {
	struct coord *c;
	struct pm_link *link; /* borrowed; NULL: gone */
	struct listing *next;
	uint64_t re;
	char id[64]; /* "": all */
	bool steps;
	Pm__RolloutChange *change; /* owned; what is to become of it; NULL: it is only shown */
	struct run *run;           /* owned; whose steps are read */
};

static struct listing *listings;

static void listing_free(struct listing *l)
{
	struct listing **at = &listings;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	run_free(l->run);
	if (l->change != NULL)
		pm__rollout_change__free_unpacked(l->change, NULL);
	free(l);
}

void requests_rollouts_link_gone(const struct pm_link *link)
{
	for (struct listing *l = listings; l != NULL; l = l->next)
		if (l->link == link)
			l->link = NULL;
}

static void fail_listing(struct listing *l, enum pm_code code, const char *words)
{
	struct pm_error err;

	(void)pm_fail(&err, code, "%s", words); /* the reply */
	if (l->link != NULL)
		pm_link_reply_error(l->link, l->re, &err);
	listing_free(l);
}

static void answer_list(struct listing *l, const struct store_result *res)
{
	size_t most = (res != NULL ? res->n : 0), n = 0;
	PM_FREE Pm__RolloutStatus *rows = NULL;
	PM_FREE uint32_t(*counts)[8] = NULL;
	PM_FREE struct run **ended = NULL;
	size_t n_ended = 0, at = 0;

	for (struct run *run = rollouts_first(l->c->rollouts); run != NULL; run = run->next)
		most++;
	rows = pm_calloc(most + 1, sizeof(*rows));
	counts = pm_calloc(most + 1, sizeof(*counts));
	ended = pm_calloc(most + 1, sizeof(*ended));
	if (rows == NULL || counts == NULL || ended == NULL) {
		fail_listing(l, PM_NO_MEMORY, "list the rollouts");
		return;
	}
	/* The newest first, as those in the store are. */
	for (struct run *run = rollouts_first(l->c->rollouts); run != NULL; run = run->next)
		n++;
	for (struct run *run = rollouts_first(l->c->rollouts); run != NULL; run = run->next, at++)
		add_row(run, &rows[n - 1 - at], counts[n - 1 - at]);
	for (size_t i = 0; res != NULL && i < res->n; i++) {
		struct run *run = run_new(), *known = rollouts_first(l->c->rollouts);
		struct pm_error err;

		while (known != NULL &&
		       memcmp(&known->id, &res->rollouts[i].id, sizeof(known->id)) != 0)
			known = known->next;
		if (run == NULL || known != NULL || run_load(run, &res->rollouts[i], &err) < 0) {
			run_free(run);
			continue;
		}
		rows[n] = *run->rec->status;
		rows[n].n_story = rows[n].n_options = 0;
		n++;
		ended[n_ended++] = run;
	}
	if (l->link != NULL)
		reply_rows(l->link, l->re, rows, n);
	for (size_t i = 0; i < n_ended; i++)
		run_free(ended[i]);
	listing_free(l);
}

/* ---- one that is over ---- */

/* It is among those of the engine once more, and changed as any other. */
static void revive(struct listing *l)
{
	struct peer *p = l->link == NULL ? NULL : pm_link_user(l->link);
	const uint64_t ops = PM_OP_BIT(PM_OP_ROLLOUT);
	struct fleet_view v = { 0 };
	struct access *a = NULL;
	struct run *other;
	struct pm_error err;

	if (p == NULL)
		return;
	if (rollouts_find(l->c->rollouts, l->run->id_text, &other, &err) < 0)
		rollouts_adopt(l->c->rollouts, PM_STEAL(l->run));
	if (fleet_view_make(&l->c->members, &v, &err) < 0 || peer_access(p, &v, &a, &err) < 0 ||
	    requests_change_rollout(l->c, p, l->re, l->change, a, ops, &err) < 0)
		pm_link_reply_error(p->link, l->re, &err);
	access_destroy(a);
	fleet_view_finish(&v);
}

static void on_ended_steps(void *arg, const struct store_result *res)
{
	struct listing *l = arg;
	struct pm_error err;

	if (res->status != STORE_OK) {
		fail_listing(l, PM_NO_SPACE, res->why);
	} else if (run_load_steps(l->run, res->steps, res->n, &err) < 0) {
		fail_listing(l, err.code, err.what);
	} else {
		if (l->change != NULL)
			revive(l);
		else if (l->link != NULL)
			run_reply(l->run, l->link, l->re, l->steps, 0);
		listing_free(l);
	}
}

static void find_ended(struct listing *l, const struct store_result *res)
{
	struct store_request request = { .op = STORE_LIST_STEPS, .now_ms = pm_wall_ms() };
	const char *digits = strncmp(l->id, "r-", 2) == 0 ? l->id + 2 : l->id;
	struct pm_error err;

	for (size_t i = 0; i < res->n && l->run == NULL; i++) {
		struct run *run = run_new();

		if (run == NULL || run_load(run, &res->rollouts[i], &err) < 0 ||
		    strncmp(run->id_text + 2, digits, strlen(digits)) != 0)
			run_free(run);
		else
			l->run = run;
	}
	if (l->run == NULL) {
		fail_listing(l, PM_NOT_FOUND, "no such rollout");
		return;
	}
	request.id = l->run->id;
	if (fleet_store_submit(l->c->store, &request, on_ended_steps, l, &err) < 0)
		fail_listing(l, err.code, err.what);
}

static void on_ended(void *arg, const struct store_result *res)
{
	struct listing *l = arg;

	if (res->status != STORE_OK)
		fail_listing(l, PM_NO_SPACE, res->why);
	else if (l->id[0] == '\0')
		answer_list(l, res);
	else
		find_ended(l, res);
}

static struct listing *listing_new(struct coord *c, const struct peer *p, uint64_t id,
                                   const Pm__RolloutQuery *q)
{
	struct listing *l = pm_calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	*l = (struct listing){ .c = c, .link = p->link, .re = id, .steps = q->steps };
	(void)snprintf(l->id, sizeof(l->id), "%s", q->id);
	l->next = listings;
	listings = l;
	return l;
}

int requests_answer_rollouts(struct coord *c, struct peer *p, uint64_t id,
                             const Pm__RolloutQuery *q, const struct fleet_view *v,
                             const struct access *a, uint64_t ops, struct pm_error *err)
{
	const struct store_request request = { .op = STORE_LIST_ENDED,
		                               .now_ms = pm_wall_ms(),
		                               .page = { .most = ENDED_SHOWN } };
	struct run *run;
	struct listing *l;

	if (q->id[0] != '\0' && rollouts_find(c->rollouts, q->id, &run, err) == 0) {
		if (!may(c, a, ops, run, false))
			return pm_fail(err, PM_DENIED, "your role does not allow that");
		find_late(c, v, run);
		if (q->wait_ms > 0)
			return rollouts_watch(c->rollouts, run, q, p->link, id, err);
		run_reply(run, p->link, id, q->steps, q->after);
		return 0;
	}
	if (q->id[0] != '\0' && err->code != PM_NOT_FOUND)
		return -1;
	if (!access_allows_fleet(a, ops))
		return pm_fail(err, PM_DENIED, "your role does not allow that");
	l = listing_new(c, p, id, q);
	if (l == NULL)
		return pm_fail(err, PM_NO_MEMORY, "list the rollouts");
	if (q->id[0] == '\0' && !q->ended) {
		answer_list(l, NULL);
		return 0;
	}
	if (fleet_store_submit(c->store, &request, on_ended, l, err) == 0)
		return 0;
	listing_free(l);
	return -1;
}

/* ---- changes ---- */

/* One that is over may still be undone. */
static int change_ended(struct coord *c, struct peer *p, uint64_t id, const Pm__RolloutChange *q,
                        struct pm_error *err)
{
	const struct store_request request = { .op = STORE_LIST_ENDED,
		                               .now_ms = pm_wall_ms(),
		                               .page = { .most = ENDED_SHOWN } };
	Pm__RolloutQuery query = PM__ROLLOUT_QUERY__INIT;
	struct listing *l;

	query.id = q->id;
	l = listing_new(c, p, id, &query);
	if (l != NULL)
		l->change = pm_message_copy(&q->base);
	if (l == NULL || l->change == NULL) {
		if (l != NULL)
			listing_free(l);
		return pm_fail(err, PM_NO_MEMORY, "undo a rollout");
	}
	if (fleet_store_submit(c->store, &request, on_ended, l, err) == 0)
		return 0;
	listing_free(l);
	return -1;
}

int requests_change_rollout(struct coord *c, struct peer *p, uint64_t id,
                            const Pm__RolloutChange *q, const struct access *a, uint64_t ops,
                            struct pm_error *err)
{
	struct run *run;

	if (rollouts_find(c->rollouts, q->id, &run, err) < 0)
		return err->code == PM_NOT_FOUND && q->verb == PM__ROLLOUT_VERB__ROLLOUT_UNDO
		               ? change_ended(c, p, id, q, err)
		               : -1;
	if (!may(c, a, ops, run, true))
		return pm_fail(err, PM_DENIED, "your role does not allow that on all of its hosts");
	return rollouts_change(c->rollouts, run, q, peer_name(p), p->link, id, err);
}
