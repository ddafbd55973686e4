/* requests_audit.c - the audit, listed and verified. */
#include "coordinator/requests_priv.h"

#include <stdio.h>
#include <string.h>

void requests_on_audit(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	const Pm__AuditQuery *q = w->req->audit_query;
	Pm__AuditEntry entries[ROWS_PER_REPLY], *list[ROWS_PER_REPLY];
	Pm__AuditList all = PM__AUDIT_LIST__INIT;
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	char words[160] = "";
	struct audit_head head = { 0 };
	bool sound = true;

	if (r->status != STORE_OK) {
		requests_reply_store(w, r);
		requests_pending_free(w);
		return;
	}
	out.what_case = PM__FLEET_REPLY__WHAT_AUDIT;
	out.audit = &all;
	all.entries = list;
	for (size_t i = 0; i < r->n; i++) {
		struct audit_entry e = r->audit[i].entry;

		if (q->verify && sound) {
			if (i == 0 && e.seq > 1)
				head = r->audit[i].head; /* earlier ones were pruned */
			else
				audit_link(&head, &e);
			sound = head.seq == r->audit[i].entry.seq &&
			        memcmp(head.hash, r->audit[i].head.hash, sizeof(head.hash)) == 0;
			if (!sound)
				(void)snprintf(
					words, sizeof(words),
					"entry %llu does not fit the chain: it, or one before it, "
					"was changed",
					(unsigned long long)r->audit[i].entry.seq);
		}
		if (r->audit[i].entry.wall_ms < q->since_wall_ms ||
		    (q->last != 0 && i + q->last < r->n))
			continue;
		pm__audit_entry__init(&entries[all.n_entries]);
		entries[all.n_entries].sequence = r->audit[i].entry.seq;
		entries[all.n_entries].wall_ms = r->audit[i].entry.wall_ms;
		entries[all.n_entries].actor = requests_text(r->audit[i].entry.field[AUDIT_ACTOR]);
		entries[all.n_entries].action =
			requests_text(r->audit[i].entry.field[AUDIT_ACTION]);
		entries[all.n_entries].target =
			requests_text(r->audit[i].entry.field[AUDIT_TARGET]);
		entries[all.n_entries].detail =
			requests_text(r->audit[i].entry.field[AUDIT_DETAIL]);
		entries[all.n_entries].outcome =
			requests_text(r->audit[i].entry.field[AUDIT_OUTCOME]);
		list[all.n_entries] = &entries[all.n_entries];
		if (++all.n_entries < 20)
			continue;
		out.more = true;
		requests_reply(w->link, w->id, &out);
		all.n_entries = 0;
	}
	if (q->verify && sound)
		(void)snprintf(words, sizeof(words), "%zu entries, none changed or missing", r->n);
	all.verified = words;
	out.more = false;
	requests_reply(w->link, w->id, &out);
	requests_pending_free(w);
}
