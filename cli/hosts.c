#include "cli/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"
#include "proto/limits.h"

static void host_finish(struct host *h)
{
	free(h->id);
	free(h->name);
	free(h->text);
	free(h->outcomes);
	free(h->instances);
	pm_arena_finish(&h->arena);
}

void hosts_finish(struct hosts *h)
{
	for (size_t i = 0; i < h->n; i++)
		host_finish(&h->list[i]);
	free(h->list);
	free(h->by_id);
	*h = (struct hosts){ 0 };
}

static int grow(struct hosts *h, struct pm_error *err)
{
	size_t cap = h->cap == 0 ? 64 : h->cap * 2;
	struct host *list = pm_realloc(h->list, cap * sizeof(*list));
	uint32_t *by_id;

	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	h->list = list;
	by_id = pm_realloc(h->by_id, cap * sizeof(*by_id));
	if (by_id == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	h->by_id = by_id;
	h->cap = cap;
	return 0;
}

/* Where the id is in by_id, or belongs. */
static size_t place_of(const struct hosts *h, const char *id, bool *found)
{
	size_t low = 0, high = h->n_sorted;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int cmp = strcmp(h->list[h->by_id[middle]].id, id);

		if (cmp == 0) {
			*found = true;
			return middle;
		}
		if (cmp < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

int hosts_add(struct hosts *h, const char *id, const char *name, struct pm_error *err)
{
	struct host *new;
	bool found;
	size_t at = place_of(h, id, &found);

	if (found)
		return 0;
	if (!hostlist_is_name(name))
		return pm_fail(err, PM_PROTOCOL, "the coordinator told of a host without a name");
	if (h->n == h->cap && grow(h, err) < 0)
		return -1;
	new = &h->list[h->n];
	*new = (struct host){ .id = pm_strdup(id), .name = pm_strdup(name) };
	if (new->id == NULL || new->name == NULL) {
		host_finish(new);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	memmove(&h->by_id[at + 1], &h->by_id[at], (h->n_sorted - at) * sizeof(*h->by_id));
	h->by_id[at] = (uint32_t)h->n;
	h->n++;
	h->n_sorted++;
	return 0;
}

struct host *hosts_find(struct hosts *h, const char *id)
{
	bool found;
	size_t at = place_of(h, id, &found);

	return found ? &h->list[h->by_id[at]] : NULL;
}

/* ---- answers ---- */

/* A copy in the host's arena of what lives only as long as the answer. */
static int keep(struct host *h, const ProtobufCMessage *message, ProtobufCMessage **out,
                struct pm_error *err)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	PM_FREE uint8_t *bytes = pm_calloc(1, len + 1);

	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	(void)protobuf_c_message_pack(message, bytes);
	return pm_decode_message(&h->arena, message->descriptor, bytes, len, PM_ARENA_MAX, out,
	                         err);
}

static int append(void *array, size_t *n, void *one, struct pm_error *err)
{
	void **grown, **old;

	memcpy(&old, array, sizeof(old));
	grown = pm_realloc(old, (*n + 1) * sizeof(*grown));
	if (grown == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	grown[(*n)++] = one;
	memcpy(array, &grown, sizeof(grown));
	return 0;
}

static int set_text(struct host *h, const char *text, struct pm_error *err)
{
	char *copy = pm_strdup(text);

	if (copy == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	free(h->text);
	h->text = copy;
	return 0;
}

static bool was_told(const struct host *h, const Pm__Outcome *o)
{
	for (size_t i = 0; i < h->n_outcomes; i++)
		if (o->has_id && h->outcomes[i]->has_id && h->outcomes[i]->pm_id == o->pm_id)
			return true;
	return false;
}

static int take_outcome(struct host *h, const Pm__Outcome *o, struct pm_error *err)
{
	ProtobufCMessage *copy;

	if (was_told(h, o))
		return 0; /* as progress, before */
	if (keep(h, &o->base, &copy, err) < 0 ||
	    append(&h->outcomes, &h->n_outcomes, copy, err) < 0)
		return -1;
	if (o->code == PM_OK)
		h->n_ok++;
	else
		h->n_failed++;
	return 0;
}

/* What failed first is what the host is said to have failed with. */
static int settle_failure(struct host *h, struct pm_error *err)
{
	for (size_t i = 0; i < h->n_outcomes; i++) {
		const Pm__Outcome *o = h->outcomes[i];
		PM_BUF text = { 0 };

		if (o->code == PM_OK)
			continue;
		h->code = pm_code_from_wire(o->code);
		pm_buf_printf(&text, "%s: %s", o->name,
		              o->text[0] != '\0' ? o->text : pm_code_name(h->code));
		return text.failed ? pm_fail(err, PM_NO_MEMORY, "out of memory")
		                   : set_text(h, text.bytes, err);
	}
	return 0;
}

static int take_result(struct host *h, const Pm__Result *r, struct pm_error *err)
{
	for (size_t i = 0; i < r->n_outcomes; i++)
		if (take_outcome(h, r->outcomes[i], err) < 0)
			return -1;
	if (r->more)
		return 0;
	h->state = HOST_DONE;
	h->code = pm_code_from_wire(r->code);
	if (r->text[0] != '\0' && set_text(h, r->text, err) < 0)
		return -1;
	if (h->code == PM_OK && h->n_failed == 0)
		return 0;
	h->state = h->code == PM_DENIED ? HOST_DENIED : HOST_FAILED;
	if (h->code == PM_UNKNOWN)
		h->state = HOST_UNKNOWN;
	return settle_failure(h, err);
}

static int take_status(struct host *h, const Pm__StatusList *s, struct pm_error *err)
{
	ProtobufCMessage *copy;
	const Pm__StatusList *list;

	if (keep(h, &s->base, &copy, err) < 0)
		return -1;
	list = (const Pm__StatusList *)copy;
	for (size_t i = 0; i < list->n_instances; i++)
		if (append(&h->instances, &h->n_instances, list->instances[i], err) < 0)
			return -1;
	if (list->agent != NULL)
		h->agent = list->agent;
	if (!s->more)
		h->state = HOST_DONE;
	return 0;
}

static int take_error(struct host *h, const Pm__Error *e, struct pm_error *err)
{
	h->code = pm_code_from_wire(e->code);
	switch (h->code) {
	case PM_DENIED:
		h->state = HOST_DENIED;
		break;
	case PM_UNREACHABLE:
		h->state = HOST_OFFLINE;
		break;
	case PM_UNKNOWN:
	case PM_DEADLINE:
		h->state = HOST_UNKNOWN;
		break;
	case PM_OK:
	case PM_INTERNAL:
	case PM_USAGE:
	case PM_NOT_RUNNING:
	case PM_NOT_FOUND:
	case PM_LOCKED:
	case PM_CONFIG:
	case PM_FAILED:
	case PM_PAUSED:
	case PM_UNDONE:
	case PM_SKIPPED:
	case PM_PARTLY:
	case PM_NO_MEMORY:
	case PM_LIMIT:
	case PM_NO_SPACE:
	case PM_PROTOCOL:
	case PM_UNSUPPORTED:
	case PM_CORRUPT:
	case PM_EXISTS:
		h->state = HOST_FAILED;
		break;
	}
	return set_text(h, e->what, err);
}

int hosts_take(struct hosts *hosts, const Pm__Forwarded *f, struct host **which, bool *last,
               struct pm_error *err)
{
	struct host *h = hosts_find(hosts, f->agent);
	int rc = 0;

	if (h == NULL) {
		if (hosts_add(hosts, f->agent, f->name, err) < 0)
			return -1;
		h = hosts_find(hosts, f->agent);
	}
	*which = h;
	*last = false;
	if (h->state != HOST_WAITING)
		return 0; /* it has said its last word */
	h->answered = true;
	switch (f->what_case) {
	case PM__FORWARDED__WHAT_RESULT:
		rc = take_result(h, f->result, err);
		break;
	case PM__FORWARDED__WHAT_PROGRESS:
		if (f->progress->outcome != NULL)
			rc = take_outcome(h, f->progress->outcome, err);
		break;
	case PM__FORWARDED__WHAT_STATUS_LIST:
		rc = take_status(h, f->status_list, err);
		break;
	case PM__FORWARDED__WHAT_ERROR:
		rc = take_error(h, f->error, err);
		break;
	case PM__FORWARDED__WHAT__NOT_SET:
	case _PM__FORWARDED__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	*last = rc == 0 && h->state != HOST_WAITING;
	return rc;
}

static enum host_state from_forward(Pm__ForwardState state)
{
	switch (state) {
	case PM__FORWARD_STATE__FORWARD_OFFLINE:
		return HOST_OFFLINE;
	case PM__FORWARD_STATE__FORWARD_DENIED:
		return HOST_DENIED;
	case PM__FORWARD_STATE__FORWARD_UNSPECIFIED:
	case PM__FORWARD_STATE__FORWARD_DONE: /* and yet its answer did not come */
	case PM__FORWARD_STATE__FORWARD_UNKNOWN:
	case _PM__FORWARD_STATE_IS_INT_SIZE:
		break;
	}
	return HOST_UNKNOWN;
}

int hosts_take_end(struct hosts *hosts, const Pm__ForwardEnd *end, struct pm_error *err)
{
	for (size_t i = 0; i < end->n_targets; i++) {
		const Pm__ForwardTarget *t = end->targets[i];
		struct host *h;

		if (hosts_add(hosts, t->agent, t->name, err) < 0)
			return -1;
		h = hosts_find(hosts, t->agent);
		h->last_seen_wall_ms = t->last_seen_wall_ms;
		if (h->state != HOST_WAITING)
			continue;
		h->state = from_forward(t->state);
		h->code = h->state == HOST_DENIED    ? PM_DENIED
		          : h->state == HOST_UNKNOWN ? PM_UNKNOWN
		                                     : PM_UNREACHABLE;
		if (t->text[0] != '\0' && set_text(h, t->text, err) < 0)
			return -1;
	}
	return 0;
}

void hosts_give_up(struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (hosts->list[i].state == HOST_WAITING) {
			hosts->list[i].state = HOST_UNKNOWN;
			hosts->list[i].code = PM_UNKNOWN;
		}
}

/* ---- the account ---- */

struct hosts_account hosts_account(const struct hosts *hosts)
{
	struct hosts_account a = { .total = hosts->n };

	for (size_t i = 0; i < hosts->n; i++)
		a.n[hosts->list[i].state]++;
	return a;
}

/* Whether this is what every host said. */
static bool all_said(const struct hosts *hosts, enum pm_code code)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (hosts->list[i].state == HOST_DONE || hosts->list[i].code != code)
			return false;
	return hosts->n > 0;
}

int hosts_exit_status(const struct hosts *hosts, bool time_is_up)
{
	struct hosts_account a = hosts_account(hosts);
	size_t failed = a.n[HOST_FAILED] + a.n[HOST_DENIED];
	size_t missed = a.n[HOST_OFFLINE] + a.n[HOST_SKIPPED];

	if (a.n[HOST_UNKNOWN] + a.n[HOST_WAITING] > 0)
		return time_is_up ? 15 : 16;
	if (all_said(hosts, PM_NOT_FOUND))
		return 4;
	if (all_said(hosts, PM_DENIED))
		return 5;
	if (failed > 0)
		return missed > 0 ? 12 : 10;
	return missed > 0 ? 11 : 0;
}

const char *hosts_state_name(enum host_state state)
{
	static const char *const names[] = {
		[HOST_WAITING] = "waiting", [HOST_DONE] = "done",
		[HOST_FAILED] = "failed",   [HOST_OFFLINE] = "unreachable",
		[HOST_DENIED] = "denied",   [HOST_UNKNOWN] = "unknown",
		[HOST_SKIPPED] = "drained",
	};

	return names[state];
}

int hosts_fold_add(struct fold *f, const struct host *h, const char *text, struct pm_error *err)
{
	static const enum fold_result results[] = {
		[HOST_WAITING] = FOLD_UNKNOWN, [HOST_DONE] = FOLD_OK,
		[HOST_FAILED] = FOLD_FAILED,   [HOST_OFFLINE] = FOLD_UNREACHABLE,
		[HOST_DENIED] = FOLD_FAILED,   [HOST_UNKNOWN] = FOLD_UNKNOWN,
		[HOST_SKIPPED] = FOLD_SKIPPED,
	};

	return fold_add(f, h->name, results[h->state], h->code, text, err);
}

enum host_state hosts_group_state(const struct fold_group *g)
{
	switch (g->result) {
	case FOLD_OK:
		return HOST_DONE;
	case FOLD_FAILED:
		return g->code == PM_DENIED ? HOST_DENIED : HOST_FAILED;
	case FOLD_UNREACHABLE:
		return HOST_OFFLINE;
	case FOLD_SKIPPED:
		return HOST_SKIPPED;
	case FOLD_UNKNOWN:
	case FOLD_RESULTS:
		break;
	}
	return g->code == PM_OK ? HOST_WAITING : HOST_UNKNOWN; /* nobody gave it a code yet */
}

static void add_number(size_t n, const char *word, const char **comma, struct pm_buf *out)
{
	if (n == 0)
		return;
	pm_buf_printf(out, "%s%zu %s", *comma, n, word);
	*comma = ", ";
}

void hosts_account_split(const struct hosts_account *a, size_t n, const char *first,
                         const char *other, struct pm_buf *out)
{
	const char *comma = " ";

	pm_buf_printf(out, "%zu host%s:", a->total, a->total == 1 ? "" : "s");
	add_number(n, first, &comma, out);
	add_number(a->n[HOST_DONE] - n, other, &comma, out);
	for (unsigned state = HOST_DONE + 1; state < HOST_N_STATES; state++)
		add_number(a->n[state], hosts_state_name(state), &comma, out);
	add_number(a->n[HOST_WAITING], hosts_state_name(HOST_WAITING), &comma, out);
	if (a->total == 0)
		pm_buf_str(out, " none");
	pm_buf_char(out, '\n');
}

void hosts_account_line(const struct hosts_account *a, const char *done, struct pm_buf *out)
{
	hosts_account_split(a, a->n[HOST_DONE], done, "", out);
}
