/* requests_groups.c - the named groups of nodes. */
#include "coordinator/requests_priv.h"

#include <string.h>

#include "proto/hostlist.h"
#include "proto/log.h"

void requests_answer_groups(struct coord *c, struct peer *p, uint64_t id, const Pm__GroupQuery *q)
{
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__GroupList all = PM__GROUP_LIST__INIT;
	Pm__Selector s;
	Pm__Group msg, *one = &msg;

	out.what_case = PM__FLEET_REPLY__WHAT_GROUPS;
	out.groups = &all;
	all.groups = &one;
	for (size_t i = 0; i < c->members.n_groups; i++) {
		const struct fleet_group *g = &c->members.groups[i];

		if (q->name[0] != '\0' && strcmp(q->name, g->name) != 0)
			continue;
		pm__group__init(&msg);
		pm__selector__init(&s);
		msg.name = g->name;
		msg.selector = &s;
		if (strcmp(g->form, "label") == 0)
			s.label = g->text;
		else if (strcmp(g->form, "where") == 0)
			s.where = g->text;
		else
			s.hosts = g->text;
		all.n_groups = 1;
		out.more = true;
		requests_reply(p->link, id, &out);
	}
	all.n_groups = 0;
	out.more = false;
	requests_reply(p->link, id, &out);
}

static void on_listed(void *arg, const struct store_result *r)
{
	const struct store_result done = { .status = STORE_OK };
	struct pending *w = arg;

	coord_take_groups(w->c, r);
	requests_on_word(w, &done);
}

/* Answered once it holds: whoever hears it may ask for the group at once. */
static void on_group(void *arg, const struct store_result *r)
{
	struct store_request list = { .op = STORE_LIST_GROUPS };
	struct pending *w = arg;
	struct pm_error err;

	list.now_ms = pm_wall_ms();
	if (r->status != STORE_OK) {
		requests_on_word(w, r);
		return;
	}
	if (fleet_store_submit(w->c->store, &list, on_listed, w, &err) == 0)
		return;
	pm_log(PM_LOG_ERROR, "store.read", "%s", err.what);
	requests_on_word(w, r); /* it is in the store, and known after the next change */
}

int requests_change_group(struct coord *c, struct peer *p, uint64_t id, const Pm__GroupChange *q,
                          const struct fleet_view *v, struct pm_error *err)
{
	struct store_request request = { .now_ms = pm_wall_ms() };
	struct audit_entry entry;
	const Pm__Selector *s = q->selector;
	struct targets found = { 0 };

	if (!hostlist_is_name(q->name))
		return pm_fail(err, PM_USAGE, "%.60s is no name of a group", q->name);
	entry = coord_entry(peer_name(p), q->remove ? "group.delete" : "group.set", q->name, "",
	                    "ok");
	request.audit = &entry;
	if (q->remove) {
		request.op = STORE_DROP_GROUP;
		request.page.name = q->name;
		return requests_submit_word(c, p, id, &request, "deleted", on_group, NULL, err);
	}
	if (requests_is_empty(s) || s->all || s->n_names > 0 || s->group[0] != '\0' ||
	    s->exclude[0] != '\0' ||
	    (s->hosts[0] != '\0') + (s->label[0] != '\0') + (s->where[0] != '\0') != 1)
		return pm_fail(err, PM_USAGE, "a group is one of --hosts, --label and --where");
	/* That nothing matches now is fine; that it cannot be read is not. */
	if (members_select(v, s, &found, err) < 0 && err->code != PM_NOT_FOUND)
		return -1;
	targets_finish(&found);
	request.op = STORE_PUT_GROUP;
	request.group = (struct store_group){
		.name = q->name,
		.form = s->label[0] != '\0'   ? "label"
		        : s->where[0] != '\0' ? "where"
		                              : "hosts",
		.text = s->label[0] != '\0'   ? s->label
		        : s->where[0] != '\0' ? s->where
		                              : s->hosts,
	};
	return requests_submit_word(c, p, id, &request, "set", on_group, NULL, err);
}
