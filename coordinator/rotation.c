#include "coordinator/rotation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "coordinator/local.h"
#include "coordinator/requests_priv.h"
#include "proto/failpoint.h"
#include "proto/keyfile.h"
#include "proto/log.h"
#include "proto/paths.h"
#include "proto/rotation.h"

#define OVERLAP_S    (7u * 86400)
#define LOOK_MOST_MS 3600000 /* the calendar may be set meanwhile */
#define LOOK_MIN_MS  1000

struct rotation {
	struct coord *c; /* borrowed */
	uv_timer_t timer;
	int64_t overlap_ms;
	char path[PM_PATH_MAX]; /* of the coordinator's key */
	struct pm_key *next;    /* owned; NULL: there is one key */
	int64_t until_ms;       /* of the present one, while there is a next */
	Pm__CoordinatorKeys keys;
};

static void look(struct rotation *r);

static void fingerprint(const uint8_t *key, char out[PM_FINGERPRINT_TEXT])
{
	pm_key_fingerprint(key, out);
}

static void time_text(int64_t wall_ms, char *out, size_t size)
{
	time_t at = (time_t)(wall_ms / 1000);
	struct tm tm;

	(void)gmtime_r(&at, &tm);
	if (strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		*out = '\0';
}

/* ---- who is cut off ---- */

static void cut(struct pm_link *l, const char *why)
{
	struct pm_error err;

	(void)pm_fail(&err, PM_DENIED, "%s", why); /* for the log; the peer hears nothing */
	pm_link_close(l, &err);
}

static void cut_replaced(void *arg, struct pm_link *l)
{
	const struct rotation *r = arg;
	const uint8_t *key = pm_link_peer_key(l);
	const struct member_key *k = key == NULL ? NULL : members_key(&r->c->members, key);

	if (k != NULL && !member_key_is_good(k, pm_wall_ms()))
		cut(l, "its key was replaced");
}

static void cut_dialled(void *arg, struct pm_link *l)
{
	if (pm_link_peer_key(l) != NULL && pm_key_same(pm_link_own_key(l), arg))
		cut(l, "it was begun with a key of ours that is replaced");
}

/* ---- members' keys ---- */

struct offer {
	struct rotation *r;
	struct pending *w;
	struct store_next_key key;
};

static void answer_taken(struct pm_link *l, uint64_t re, int64_t until_ms)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__KeyTaken taken = PM__KEY_TAKEN__INIT;

	taken.until_wall_ms = until_ms;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_KEY_TAKEN;
	env.key_taken = &taken;
	(void)pm_link_send(l, &env); /* fits a record */
}

static void on_announced(void *arg, const struct store_result *result)
{
	struct offer *o = arg;
	struct coord *c = o->r->c;
	struct pm_error err;

	if (o->w->link != NULL)
		((struct peer *)pm_link_user(o->w->link))->offering = false;
	o->key.until_ms = (int64_t)result->revision;
	if (result->status != STORE_OK) {
		requests_reply_store(o->w, result);
	} else if (members_next_key(&c->members, &o->key, &err) < 0) {
		/* The store has it, and knows it again after the next start. */
		pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
		if (o->w->link != NULL)
			pm_link_reply_error(o->w->link, o->w->id, &err);
	} else {
		if (o->w->link != NULL)
			answer_taken(o->w->link, o->w->id, o->key.until_ms);
		look(o->r);
	}
	requests_pending_free(o->w);
	free(o);
}

static const char *name_of(const struct coord *c, const struct member_key *k)
{
	const struct node *node = members_node(&c->members, &k->owner);
	const struct oper *oper = members_oper(&c->members, &k->owner);

	return node != NULL ? node->name : oper != NULL ? oper->name : "?";
}

/* The listener's key that the session was begun with: the proof is for that one. */
static const struct pm_key *own_key(const struct rotation *r, const struct pm_link *l)
{
	return r->next != NULL && pm_key_same(pm_link_own_key(l), pm_key_public(r->next))
	               ? r->next
	               : r->c->key;
}

static int check_offer(const struct rotation *r, const struct peer *p, const Pm__KeyOffer *offer,
                       struct pm_error *err)
{
	const uint8_t *present = pm_link_peer_key(p->link);
	const struct member_key *k = members_key(&r->c->members, present);

	if (p->local || k == NULL)
		return pm_fail(err, PM_DENIED, "this key is no member's");
	if (p->offering)
		return pm_fail(err, PM_EXISTS, "a key is being taken already");
	if (offer->key.len != PM_KEY_BYTES || offer->proof.len != PM_ROTATION_PROOF_BYTES)
		return pm_fail(err, PM_PROTOCOL, "that is no key with its proof");
	if (pm_key_same(offer->key.data, present) || rotation_is_own(r, offer->key.data))
		return pm_fail(err, PM_DENIED, "that is no new key");
	if (!pm_rotation_is_proved(own_key(r, p->link), present, offer->key.data,
	                           offer->proof.data))
		return pm_fail(err, PM_DENIED, "it is not shown that you hold that key");
	return 0;
}

static int announce(struct rotation *r, struct peer *p, uint64_t id, const Pm__KeyOffer *offer,
                    struct pm_error *err)
{
	const uint8_t *present = pm_link_peer_key(p->link);
	struct store_request request = { .op = STORE_NEXT_KEY, .now_ms = pm_wall_ms() };
	char words[PM_FINGERPRINT_TEXT];
	struct audit_entry entry;
	struct offer *o;
	const char *name;

	if (check_offer(r, p, offer, err) < 0)
		return -1;
	o = pm_calloc(1, sizeof(*o));
	if (o == NULL)
		return pm_fail(err, PM_NO_MEMORY, "take a key");
	o->r = r;
	o->key.until_ms = request.now_ms + r->overlap_ms;
	memcpy(o->key.present.bytes, present, PM_KEY_BYTES);
	memcpy(o->key.next.bytes, offer->key.data, PM_KEY_BYTES);
	o->w = requests_pending_new(r->c, p, id);
	if (o->w == NULL) {
		free(o);
		return pm_fail(err, PM_NO_MEMORY, "take a key");
	}
	(void)snprintf(o->w->what, sizeof(o->w->what), "take the next key");
	name = name_of(r->c, members_key(&r->c->members, present));
	fingerprint(offer->key.data, words);
	entry = coord_entry(name, "key.announce", name, words, "ok");
	request.audit = &entry;
	request.next_key = o->key;
	p->offering = true;
	if (fleet_store_submit(r->c->store, &request, on_announced, o, err) == 0)
		return 0;
	p->offering = false;
	requests_pending_free(o->w);
	free(o);
	return -1;
}

void rotation_offer(struct rotation *r, struct peer *p, uint64_t id, const Pm__KeyOffer *offer)
{
	struct pm_error err;

	if (id != 0 && announce(r, p, id, offer, &err) < 0)
		pm_link_reply_error(p->link, id, &err);
}

struct use {
	struct rotation *r;
	struct store_key key;
};

static void on_used(void *arg, const struct store_result *result)
{
	struct use *u = arg;
	struct rotation *r = u->r;

	if (result->status == STORE_OK) {
		(void)PM_FAIL_POINT("rotation.used");
		members_use_key(&r->c->members, &u->key);
		pm_hub_each(r->c->hub, cut_replaced, r);
	} else if (result->status == STORE_UNAVAILABLE) {
		pm_log(PM_LOG_WARN, "store.unavailable", "%s", result->why);
	}
	free(u);
	look(r);
}

static void use(struct rotation *r, const struct member_key *k, const char *action)
{
	struct store_request request = { .op = STORE_USE_KEY, .now_ms = pm_wall_ms() };
	const char *name = name_of(r->c, k);
	char words[PM_FINGERPRINT_TEXT];
	struct use *u = pm_calloc(1, sizeof(*u));
	struct audit_entry entry;
	struct pm_error err;

	if (u == NULL)
		return; /* the next look tries again */
	*u = (struct use){ r, k->key };
	fingerprint(k->key.bytes, words);
	entry = coord_entry(name, action, name, words, "ok");
	request.audit = &entry;
	request.key = k->key;
	if (fleet_store_submit(r->c->store, &request, on_used, u, &err) == 0)
		return;
	pm_log(PM_LOG_WARN, "store.busy", "%s", err.what);
	free(u);
}

void rotation_came(struct rotation *r, const struct peer *p)
{
	const struct member_key *k = members_key(&r->c->members, pm_link_peer_key(p->link));

	if (k != NULL && k->state == KEY_NEXT)
		use(r, k, "key.rotate");
}

/* ---- our own key ---- */

static void set_next(struct rotation *r, struct pm_key *next)
{
	struct stat st;
	char path[PM_PATH_MAX];
	struct pm_error err;

	pm_key_destroy(r->next);
	r->next = next;
	if (next == NULL)
		return;
	r->until_ms = pm_wall_ms() + r->overlap_ms;
	if (pm_keyfile_next_path(r->path, path, sizeof(path), &err) == 0 && stat(path, &st) == 0)
		r->until_ms = (int64_t)st.st_mtim.tv_sec * 1000 + r->overlap_ms;
	pm__coordinator_keys__init(&r->keys);
	r->keys.next.data = (uint8_t *)(uintptr_t)pm_key_public(next);
	r->keys.next.len = PM_KEY_BYTES;
	r->keys.until_wall_ms = r->until_ms;
}

Pm__CoordinatorKeys *rotation_keys(struct rotation *r)
{
	return r->next == NULL ? NULL : &r->keys;
}

const struct pm_key *rotation_newest(const struct rotation *r)
{
	return r->next == NULL ? r->c->key : r->next;
}

bool rotation_is_own(const struct rotation *r, const uint8_t *key)
{
	return pm_key_same(key, pm_key_public(r->c->key)) ||
	       (r->next != NULL && pm_key_same(key, pm_key_public(r->next)));
}

static void tell_one(void *arg, struct pm_link *l)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__CoordinatorKeys none = PM__COORDINATOR_KEYS__INIT; /* the present one is all there is */

	env.body_case = PM__ENVELOPE__BODY_COORDINATOR_KEYS;
	env.coordinator_keys = arg != NULL ? arg : &none;
	if (pm_link_is_up(l) && (pm_link_features(l) & PM_FEATURE_ROTATION) != 0)
		(void)pm_link_send(l, &env); /* fits a record */
}

static void audit_own(const struct rotation *r, const char *action, const struct pm_key *key)
{
	char words[PM_FINGERPRINT_TEXT];

	fingerprint(pm_key_public(key), words);
	coord_audit(r->c, "local", action, "coordinator", words, "ok");
	pm_log(PM_LOG_INFO, action, "key=%s", words);
}

/* What the files say now, taken over. */
static int take_files(struct rotation *r, struct pm_error *err)
{
	PM_CLEANUP(pm_key_destroyp) struct pm_key *key = NULL, *next = NULL;
	uint8_t old[PM_KEY_BYTES];

	if (pm_keyfile_load(r->path, &key, err) < 0 ||
	    pm_keyfile_load_next(r->path, &next, err) < 0)
		return -1;
	if (!rotation_is_own(r, pm_key_public(key))) {
		(void)pm_fail(err, PM_CONFIG, "key %.200s: a key that nobody was told of", r->path);
		pm_hint(err, "put the old one back; 'pmd coordinator rotate' replaces it");
		return -1;
	}
	memcpy(old, pm_key_public(r->c->key), sizeof(old));
	if (!pm_key_same(old, pm_key_public(key))) {
		pm_key_destroy(r->c->key);
		r->c->key = PM_STEAL(key);
		set_next(r, PM_STEAL(next));
		pm_hub_set_keys(r->c->hub, r->c->key, r->next);
		audit_own(r, "coordinator.rotate", r->c->key);
		pm_hub_each(r->c->hub, tell_one, rotation_keys(r));
		pm_hub_each(r->c->hub, cut_dialled, old);
	} else if ((next == NULL) != (r->next == NULL)) {
		set_next(r, PM_STEAL(next));
		pm_hub_set_keys(r->c->hub, r->c->key, r->next);
		if (r->next != NULL) {
			audit_own(r, "coordinator.announce", r->next);
			pm_hub_each(r->c->hub, tell_one, &r->keys);
		}
	}
	look(r);
	return 0;
}

/* How far it has got, for whoever asks. */
static void reply_progress(const struct rotation *r, struct peer *p, uint64_t id)
{
	const struct members *m = &r->c->members;
	char text[256], until[32], words[PM_FINGERPRINT_TEXT];
	uint32_t n = 0;

	for (size_t i = 0; r->next != NULL && i < m->n_nodes; i++)
		n += m->nodes[i]->link != NULL &&
		     pm_key_same(pm_link_own_key(m->nodes[i]->link), pm_key_public(r->next));
	fingerprint(pm_key_public(rotation_newest(r)), words);
	time_text(r->until_ms, until, sizeof(until));
	if (r->next == NULL)
		(void)snprintf(text, sizeof(text), "the coordinator's key is %s", words);
	else
		(void)snprintf(text, sizeof(text),
		               "the coordinator's next key is %s: %u of %zu nodes are connected "
		               "with it; the present one ends %s",
		               words, n, m->n_nodes, until);
	requests_reply_done(p->link, id, text, n);
}

/* Nobody is to be cut off: each node that may come has a session with the next key. */
static int check_finish(const struct rotation *r, struct pm_error *err)
{
	const struct members *m = &r->c->members;

	if (r->next == NULL) {
		(void)pm_fail(err, PM_NOT_FOUND, "the coordinator's key is not being replaced");
		pm_hint(err, "'pmd coordinator rotate' begins that");
		return -1;
	}
	for (size_t i = 0; i < m->n_nodes; i++) {
		const struct node *n = m->nodes[i];

		if (n->state == AGENT_REJECTED || !requests_has_active_key(r->c, n) ||
		    (n->link != NULL &&
		     pm_key_same(pm_link_own_key(n->link), pm_key_public(r->next))))
			continue;
		(void)pm_fail(err, PM_UNREACHABLE,
		              "%.60s is not connected with the next key and would be cut off",
		              n->name);
		pm_hint(err, "wait for it, forget it, or give --force: it then joins anew");
		return -1;
	}
	return 0;
}

int rotation_reload(struct rotation *r, struct peer *p, uint64_t id, const Pm__KeysReload *q,
                    struct pm_error *err)
{
	if (!p->local) {
		(void)pm_fail(err, PM_DENIED, "that is for the coordinator's own machine");
		pm_hint(err, "there: 'pmd coordinator rotate'");
		return -1;
	}
	if (take_files(r, err) < 0)
		return -1;
	/* Waits for the disk, once in a rotation. */
	if (q->finish && ((!q->force && check_finish(r, err) < 0) ||
	                  pm_keyfile_promote(r->path, err) < 0 || take_files(r, err) < 0))
		return -1;
	reply_progress(r, p, id);
	return 0;
}

/* ---- time ---- */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Overlaps that are over: the next key is the only one, used or not. */
static void end_overlaps(struct rotation *r, int64_t now_ms)
{
	const struct members *m = &r->c->members;
	struct pm_error err;
	bool cuts = false;

	for (size_t i = 0; i < m->n_keys; i++) {
		const struct member_key *k = &m->keys[i];

		if (k->state != KEY_ACTIVE || k->ended_ms == 0 || now_ms < k->ended_ms)
			continue;
		cuts = true;
		for (size_t at = 0; at < m->n_keys; at++)
			if (m->keys[at].state == KEY_NEXT &&
			    memcmp(&m->keys[at].owner, &k->owner, sizeof(k->owner)) == 0)
				use(r, &m->keys[at], "key.expire");
	}
	if (cuts)
		pm_hub_each(r->c->hub, cut_replaced, r);
	if (r->next == NULL || now_ms < r->until_ms)
		return;
	/* Waits for the disk, once in a rotation. */
	if (pm_keyfile_promote(r->path, &err) < 0 || take_files(r, &err) < 0)
		pm_log(PM_LOG_ERROR, "coordinator.rotate", "%s", err.what);
}

static void on_time(uv_timer_t *timer)
{
	struct rotation *r = timer->data;

	end_overlaps(r, pm_wall_ms());
	look(r);
}

/* When to look again whether an overlap is over. */
static void look(struct rotation *r)
{
	const struct members *m = &r->c->members;
	int64_t now_ms = pm_wall_ms(), due_ms = now_ms + LOOK_MOST_MS;

	for (size_t i = 0; i < m->n_keys; i++)
		if (m->keys[i].state == KEY_ACTIVE && m->keys[i].ended_ms != 0)
			due_ms = least(due_ms, PM_MAX(m->keys[i].ended_ms, now_ms + LOOK_MIN_MS));
	if (r->next != NULL)
		due_ms = least(due_ms, PM_MAX(r->until_ms, now_ms + LOOK_MIN_MS));
	(void)uv_timer_start(&r->timer, on_time, (uint64_t)(due_ms - now_ms), 0); /* cannot fail */
}

/* ---- life ---- */

int rotation_create(struct coord *c, uint32_t overlap_s, struct rotation **out,
                    struct pm_error *err)
{
	struct rotation *r = pm_calloc(1, sizeof(*r));
	struct pm_key *next = NULL;

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "watch the keys");
	r->c = c;
	r->overlap_ms = (int64_t)(overlap_s != 0 ? overlap_s : OVERLAP_S) * 1000;
	if (pm_home_file(c->home, COORDINATOR_KEY_FILE, r->path, sizeof(r->path), err) < 0 ||
	    pm_keyfile_load_next(r->path, &next, err) < 0) {
		free(r);
		return -1;
	}
	set_next(r, next);
	(void)uv_timer_init(c->loop, &r->timer); /* never fails */
	r->timer.data = r;
	*out = r;
	return 0;
}

void rotation_listen(struct rotation *r)
{
	pm_hub_set_keys(r->c->hub, r->c->key, r->next);
	end_overlaps(r, pm_wall_ms());
	look(r);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void rotation_close(struct rotation *r)
{
	if (r == NULL)
		return;
	pm_key_destroy(PM_STEAL(r->next));
	uv_close((uv_handle_t *)&r->timer, on_closed);
}
