#include "coordinator/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"
#include "proto/limits.h"

struct registry {
	struct member **by_name; /* owned, with the members */
	struct member **by_id;   /* owned: the same members */
	size_t n, cap;
	struct detector detector;
	/* Made anew when a member changed. */
	struct targets_host *hosts;   /* owned; the texts are the members' */
	struct member **host_members; /* owned */
	size_t n_hosts;
	bool stale;
};

int registry_create(struct registry **out, struct pm_error *err)
{
	struct registry *r = pm_calloc(1, sizeof(*r));

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "make the registry");
	r->stale = true;
	*out = r;
	return 0;
}

static void member_free(struct member *m)
{
	if (m == NULL)
		return;
	free(m->name);
	free(m->note);
	pm_labels_finish(&m->labels);
	pm_labels_finish(&m->claimed);
	pm_labels_finish(&m->facts);
	free(m);
}

void registry_destroy(struct registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		member_free(r->by_name[i]);
	free(r->by_name);
	free(r->by_id);
	free(r->hosts);
	free(r->host_members);
	free(r);
}

/* ---- finding ---- */

size_t registry_count(const struct registry *r)
{
	return r->n;
}

struct member *registry_at(const struct registry *r, size_t i)
{
	return i < r->n ? r->by_name[i] : NULL;
}

/* Where a key stands, or would: the first member that is not before it. */
static size_t place(struct member *const *list, size_t n, const void *key,
                    int (*compare)(const struct member *m, const void *key))
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(list[mid], key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int compare_id(const struct member *m, const void *key)
{
	return memcmp(&m->id, key, sizeof(m->id));
}

static int compare_name(const struct member *m, const void *key)
{
	return hostlist_compare(m->name, key);
}

struct member *registry_find(const struct registry *r, const struct store_id *id)
{
	size_t i = place(r->by_id, r->n, id, compare_id);

	return i < r->n && compare_id(r->by_id[i], id) == 0 ? r->by_id[i] : NULL;
}

struct member *registry_named(const struct registry *r, const char *name)
{
	size_t i = place(r->by_name, r->n, name, compare_name);

	return i < r->n && compare_name(r->by_name[i], name) == 0 ? r->by_name[i] : NULL;
}

/* ---- rows ---- */

static int reserve(struct registry *r, struct pm_error *err)
{
	size_t cap = r->cap == 0 ? 64 : r->cap * 2;
	struct member **list;

	if (r->n == PM_HOSTS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d agents", PM_HOSTS_MAX);
	if (r->n < r->cap)
		return 0;
	list = pm_realloc(r->by_name, cap * sizeof(struct member *));
	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "add an agent");
	r->by_name = list;
	list = pm_realloc(r->by_id, cap * sizeof(struct member *));
	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "add an agent");
	r->by_id = list;
	r->cap = cap;
	return 0;
}

static void insert(struct member **list, size_t n, size_t at, struct member *m)
{
	memmove(&list[at + 1], &list[at], (n - at) * sizeof(struct member *));
	list[at] = m;
}

static void take_out(struct member **list, size_t n, const struct member *m)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == m) {
			memmove(&list[i], &list[i + 1], (n - i - 1) * sizeof(struct member *));
			return;
		}
}

/* What a row says, in a member that is not in the lists yet. */
static int read_row(struct member *m, const struct store_agent *row, struct pm_error *err)
{
	m->id = row->id;
	m->state = row->state;
	m->drained = row->drained;
	m->epoch = row->epoch;
	m->last_seen_ms = row->last_seen_ms;
	m->name = pm_strdup(row->name);
	m->note = pm_strdup(row->note);
	if (m->name == NULL || m->note == NULL)
		return pm_fail(err, PM_NO_MEMORY, "add agent %s", row->name);
	if (pm_labels_parse(row->labels, &m->labels, err) < 0 ||
	    pm_labels_parse(row->claimed, &m->claimed, err) < 0 ||
	    pm_labels_parse(row->facts, &m->facts, err) < 0) {
		if (err->code == PM_USAGE)
			err->code = PM_CORRUPT; /* they were checked before they were stored */
		return pm_wrap(err, "agent %s", row->name);
	}
	return 0;
}

/* The texts of the one and the live part of the other. */
static void exchange(struct member *known, struct member *fresh)
{
	struct member texts = *fresh;

	*fresh = *known; /* what is freed now */
	texts.peer = known->peer;
	texts.history = known->history;
	texts.session = known->session;
	texts.unflushed = known->unflushed;
	texts.epoch = PM_MAX(texts.epoch, known->epoch);
	texts.last_seen_ms = PM_MAX(texts.last_seen_ms, known->last_seen_ms);
	if (texts.state == AGENT_ACCEPTED && known->state == AGENT_QUARANTINED)
		admit_release(&texts.history);
	*known = texts;
}

int registry_put(struct registry *r, const struct store_agent *row, struct pm_error *err)
{
	struct member *known = registry_find(r, &row->id);
	struct member *m = pm_calloc(1, sizeof(*m));

	if (m == NULL)
		return pm_fail(err, PM_NO_MEMORY, "add agent %s", row->name);
	if (read_row(m, row, err) < 0 || (known == NULL && reserve(r, err) < 0)) {
		member_free(m);
		return -1;
	}
	r->stale = true;
	if (known != NULL) {
		take_out(r->by_name, r->n, known);
		exchange(known, m);
		insert(r->by_name, r->n - 1, place(r->by_name, r->n - 1, known->name, compare_name),
		       known);
		member_free(m);
		return 0;
	}
	insert(r->by_name, r->n, place(r->by_name, r->n, m->name, compare_name), m);
	insert(r->by_id, r->n, place(r->by_id, r->n, &m->id, compare_id), m);
	r->n++;
	return 0;
}

void registry_drop(struct registry *r, const struct store_id *id)
{
	struct member *m = registry_find(r, id);

	if (m == NULL)
		return;
	take_out(r->by_name, r->n, m);
	take_out(r->by_id, r->n, m);
	r->n--;
	r->stale = true;
	member_free(m);
}

/* ---- sessions ---- */

bool registry_may_command(const struct member *m, const char **why)
{
	*why = "";
	if (m->state != AGENT_ACCEPTED)
		*why = m->state == AGENT_QUARANTINED
		               ? "in quarantine: its key is used by two machines"
		               : "not accepted";
	else if (m->session == NULL)
		*why = "unreachable";
	else if (m->drained)
		*why = "drained";
	return **why == '\0';
}

void registry_admit(struct registry *r, struct member *m, uint64_t counter, uint64_t now_ms,
                    const struct admit_hello *hello, struct admit_verdict *out)
{
	uint64_t fresh_ms = 3ull * detector_interval_ms(r->n);
	bool live = m->session != NULL && now_ms - m->peer.heard_ms < fresh_ms;

	admit_decide(&m->history, m->state, m->epoch, counter, live, hello, out);
	if (out->admit != ADMIT_CLONE)
		return;
	m->state = AGENT_QUARANTINED;
	r->stale = true;
}

void *registry_begin(struct member *m, void *session, uint64_t generation, uint64_t now_ms)
{
	void *before = m->session;

	m->session = session;
	m->epoch = generation;
	(void)detector_heard(&m->peer, now_ms);
	return before == session ? NULL : before;
}

bool registry_heard(struct member *m, uint64_t generation, uint64_t now_ms, int64_t wall_ms)
{
	if (generation != m->epoch || m->session == NULL)
		return false;
	admit_confirm(&m->history, generation);
	m->last_seen_ms = wall_ms;
	m->unflushed = true;
	return detector_heard(&m->peer, now_ms);
}

void registry_ended(struct member *m, const void *session, uint64_t now_ms)
{
	if (m->session != session)
		return;
	m->session = NULL;
	(void)detector_ended(&m->peer, now_ms);
}

struct sweep {
	struct registry *r;
	void (*fn)(void *arg, struct member *m, enum peer_class before);
	void *arg;
};

static struct liveness *peer_at(void *arg, size_t i)
{
	const struct sweep *s = arg;
	struct member *m = s->r->by_name[i];

	return m->state == AGENT_ACCEPTED || m->state == AGENT_QUARANTINED ? &m->peer : NULL;
}

static void on_class(void *arg, size_t i, enum peer_class before, enum peer_class now)
{
	const struct sweep *s = arg;

	(void)now;
	s->fn(s->arg, s->r->by_name[i], before);
}

struct detector_sum registry_sweep(struct registry *r, uint64_t now_ms,
                                   void (*fn)(void *arg, struct member *m, enum peer_class before),
                                   void *arg)
{
	struct sweep s = { .r = r, .fn = fn, .arg = arg };

	return detector_sweep(&r->detector, peer_at, r->n, now_ms, on_class, &s);
}

size_t registry_take_seen(struct registry *r, struct store_seen *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n && n < max; i++) {
		struct member *m = r->by_name[i];

		if (!m->unflushed)
			continue;
		m->unflushed = false;
		out[n++] = (struct store_seen){ m->id, m->last_seen_ms };
	}
	return n;
}

/* ---- targets ---- */

static const char *class_name(const struct member *m)
{
	if (m->state == AGENT_QUARANTINED)
		return "quarantined";
	switch (m->peer.class) {
	case PEER_UP:
		return "up";
	case PEER_SUSPECT:
		return "suspect";
	case PEER_DOWN:
		break;
	}
	return "down";
}

static const char *fact_of(void *arg, size_t host, const struct where_path *path)
{
	const struct registry *r = arg;
	const struct member *m = r->host_members[host];

	if (path->root != WHERE_HOST)
		return NULL;
	if (strcmp(path->name, "state") == 0)
		return class_name(m);
	if (strcmp(path->name, "drained") == 0)
		return m->drained ? "true" : "false";
	if (strcmp(path->name, "address") == 0)
		return m->history.last.address;
	return pm_labels_get(&m->facts, path->name);
}

static int build_hosts(struct registry *r, struct pm_error *err)
{
	struct targets_host *hosts = pm_calloc(r->n + 1, sizeof(*hosts));
	struct member **members = pm_calloc(r->n + 1, sizeof(struct member *));
	size_t n = 0;

	if (hosts == NULL || members == NULL) {
		free(hosts);
		free(members);
		return pm_fail(err, PM_NO_MEMORY, "list the agents");
	}
	for (size_t i = 0; i < r->n; i++) {
		struct member *m = r->by_name[i];

		if (m->state != AGENT_ACCEPTED && m->state != AGENT_QUARANTINED)
			continue;
		hosts[n] = (struct targets_host){ m->name, m->labels, m->claimed };
		members[n++] = m;
	}
	free(r->hosts);
	free(r->host_members);
	r->hosts = hosts;
	r->host_members = members;
	r->n_hosts = n;
	r->stale = false;
	return 0;
}

int registry_fleet(struct registry *r, struct targets_fleet *out, struct pm_error *err)
{
	if (r->stale && build_hosts(r, err) < 0)
		return -1;
	*out = (struct targets_fleet){
		.hosts = r->hosts,
		.n = r->n_hosts,
		.fact = fact_of,
		.arg = r,
	};
	return 0;
}

struct member *registry_target(const struct registry *r, size_t i)
{
	return i < r->n_hosts && !r->stale ? r->host_members[i] : NULL;
}
