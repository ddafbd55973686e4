#include "proto/link_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define HANDSHAKE_MS 3000
#define DIALLING_MS  10000 /* the listener may have many to answer first */
#define GREETING_MS  5000
#define HEARTBEAT_MS 10000
#define SUSPECT_MS   15000
#define DEAD_MS      30000
#define FAREWELL_MS  2000 /* for what is queued behind a Goodbye */

/* ---- what links share ---- */

int pm_link_host_create(const struct pm_link_config *config,
                        const struct pm_link_handlers *handlers, void *arg,
                        struct pm_link_host **out, struct pm_error *err)
{
	struct pm_link_host *h = pm_calloc(1, sizeof(*h));

	if (h != NULL)
		h->plain = pm_calloc(1, PM_RECORD_MAX);
	if (h == NULL || h->plain == NULL) {
		free(h);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	h->config = *config;
	h->config.greeting_ms = link_or(config->greeting_ms, GREETING_MS);
	h->config.heartbeat_ms = link_or(config->heartbeat_ms, HEARTBEAT_MS);
	h->config.suspect_ms = link_or(config->suspect_ms, SUSPECT_MS);
	h->config.dead_ms = link_or(config->dead_ms, DEAD_MS);
	h->handlers = handlers;
	h->arg = arg;
	*out = h;
	return 0;
}

void pm_link_host_destroy(struct pm_link_host *h)
{
	if (h == NULL)
		return;
	pm_arena_finish(&h->arena);
	pm_buf_finish(&h->packed);
	sodium_memzero(h->plain, PM_RECORD_MAX); /* it may have held a token's secret */
	free(h->plain);
	free(h);
}

void pm_link_host_set_keys(struct pm_link_host *h, const struct pm_key *key,
                           const struct pm_key *other)
{
	h->config.key = key;
	h->other = other;
}

void pm_link_host_set_open(struct pm_link_host *h)
{
	h->open_door = true;
}

uint32_t link_or(uint32_t value, uint32_t standard)
{
	return value != 0 ? value : standard;
}

/* ---- life ---- */

static void set_role(struct pm_link *l, enum pm_role role)
{
	l->role = role;
	if (role == PM_ROLE_OPERATOR)
		l->core.streams_max = PM_OPERATOR_STREAMS_MAX;
}

static int begin_dialling(struct pm_link *l, const uint8_t *listener, struct pm_error *err)
{
	const struct pm_link_config *c = &l->host->config;
	uint8_t *frame = pm_buf_extend(&l->batch, PM_FRAME_FIRST);

	if (frame == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	memcpy(l->peer, listener, PM_KEY_BYTES);
	memcpy(l->own, pm_key_public(c->key), PM_KEY_BYTES);
	l->has_peer = true;
	set_role(l, c->role);
	return pm_handshake_first(c->key, listener, c->role, frame, &l->noise, err);
}

static uint32_t handshake_ms(const struct pm_link *l)
{
	return link_or(l->host->config.handshake_ms, l->dialling ? DIALLING_MS : HANDSHAKE_MS);
}

int pm_link_create(struct pm_link_host *host, const uint8_t *listener, bool enrol, uint64_t now_ms,
                   struct pm_link **out, struct pm_error *err)
{
	struct pm_link *l = pm_calloc(1, sizeof(*l));

	if (l == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	l->host = host;
	pm_chain_init(&l->streams);
	l->dialling = listener != NULL;
	l->turn = host->open_door;
	l->fresh = enrol;
	l->reader.min = PM_NOISE_TAG + 1;
	l->reader.max = l->dialling ? LINK_SEALED_MAX : PM_FIRST_RECORD_MAX + PM_NOISE_TAG;
	pm_session_init(&l->core, l->dialling);
	l->core.credit_max = link_or(host->config.credit_max, PM_LINK_CREDIT_MAX);
	l->core.enrol = enrol ? PM_ENROL_FIRST : PM_ENROL_NONE;
	l->heard_ms = l->progress_ms = now_ms;
	link_set_deadline(l, now_ms, handshake_ms(l));
	if (l->dialling && begin_dialling(l, listener, err) < 0) {
		pm_link_destroy(l);
		return -1;
	}
	*out = l;
	return 0;
}

void pm_link_destroy(struct pm_link *l)
{
	struct pm_error why;

	if (l == NULL)
		return;
	l->state = LINK_OVER;
	if (pm_chain_first(&l->streams) != NULL) {
		(void)pm_fail(&why, PM_UNREACHABLE, "the session ended");
		link_streams_finish(l, &why);
	}
	pm_noise_destroy(l->noise);
	pm_cipher_destroy(l->seal);
	pm_cipher_destroy(l->open);
	pm_session_finish(&l->core);
	pm_record_finish(&l->reader);
	pm_buf_finish(&l->control);
	pm_buf_finish(&l->batch);
	free(l);
}

void pm_link_set_carrier(struct pm_link *l, pm_link_poke_fn *poke, void *carrier)
{
	l->poke = poke;
	l->carrier = carrier;
}

void *pm_link_carrier(const struct pm_link *l)
{
	return l->carrier;
}

void link_poke(struct pm_link *l)
{
	if (l->poke != NULL)
		l->poke(l->carrier, l);
}

void link_set_deadline(struct pm_link *l, uint64_t now_ms, uint32_t in_ms)
{
	l->deadline_ms = now_ms + in_ms;
}

void link_doom(struct pm_link *l, const struct pm_error *why)
{
	if (l->doomed || l->state == LINK_OVER)
		return;
	l->doomed = true;
	if (l->state != LINK_LEAVING) /* which has its reason */
		l->why = *why;
	link_poke(l);
}

/* The end of each of the carrier's calls.  false: the link is over. */
static bool settle(struct pm_link *l)
{
	if (l->state != LINK_OVER && !l->doomed)
		return true;
	if (l->state == LINK_OVER)
		return false;
	l->state = LINK_OVER;
	link_streams_finish(l, &l->why);
	l->host->handlers->closed(l->host->arg, l, &l->why, l->retry_after_ms);
	return false;
}

bool pm_link_lost(struct pm_link *l, const struct pm_error *why)
{
	link_doom(l, why);
	return settle(l);
}

/* ---- the handshake ---- */

struct claim {
	struct pm_link *link;
	enum pm_role role;
	enum pm_verdict verdict;
};

static bool check_claim(void *arg, const uint8_t *key)
{
	struct claim *c = arg;
	struct pm_link *l = c->link;

	memcpy(l->peer, key, PM_KEY_BYTES);
	l->has_peer = true;
	set_role(l, c->role);
	c->verdict = l->host->handlers->peer(l->host->arg, l, c->role, key);
	return c->verdict != PM_PEER_REFUSED;
}

static int take_ciphers(struct pm_link *l, struct pm_error *err)
{
	int rc = pm_noise_split(l->noise, &l->seal, &l->open, err);

	pm_noise_destroy(l->noise);
	l->noise = NULL;
	return rc;
}

/* The key that the peer dialled; one that went away meanwhile is none, and its frame opens nothing.
 */
static const struct pm_key *known_by(const struct pm_link *l)
{
	const struct pm_link_host *h = l->host;

	return l->with_other && h->other != NULL ? h->other : h->config.key;
}

static int answer_frame(struct pm_link *l, struct pm_error *err)
{
	struct claim claim = { l, pm_handshake_role(l->frame), PM_PEER_REFUSED };
	const struct pm_key *key = known_by(l);
	uint8_t *out = pm_buf_extend(&l->batch, PM_FRAME_SECOND);

	if (out == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	memcpy(l->own, pm_key_public(key), PM_KEY_BYTES);
	if (pm_handshake_second(key, l->frame, check_claim, &claim, out, &l->noise, err) < 0) {
		pm_buf_reset(&l->batch); /* it gets no answer */
		return -1;
	}
	l->fresh = claim.verdict == PM_PEER_NEW;
	l->core.enrol = l->fresh ? PM_ENROL_FIRST : PM_ENROL_NONE;
	l->has_frame = false;
	l->n_frame = 0;
	l->state = LINK_UNPROVED;
	return take_ciphers(l, err);
}

/* Someone of another version is told ours, once, and learns no more. */
static int look_at_first(struct pm_link *l, struct pm_error *err)
{
	static const uint8_t version = PM_HANDSHAKE_VERSION;
	const struct pm_key *other = l->host->other;
	int rc = pm_handshake_look(pm_key_public(l->host->config.key), l->frame, l->n_frame, err);

	if (rc < 0 && err->code == PM_PROTOCOL && other != NULL) {
		rc = pm_handshake_look(pm_key_public(other), l->frame, l->n_frame, err);
		l->with_other = rc == 1;
	}
	if (rc < 0 && err->code == PM_UNSUPPORTED) {
		pm_buf_add(&l->batch, &version, 1);
		l->why = *err;
		l->state = LINK_LEAVING;
		return 0;
	}
	l->has_frame = rc == 1;
	return rc < 0 ? -1 : 0;
}

static int look_at_second(struct pm_link *l, uint64_t now_ms, struct pm_error *err)
{
	int rc = pm_handshake_end(l->noise, l->frame, l->n_frame, err);

	if (rc <= 0)
		return rc;
	l->state = LINK_GREETING;
	l->heard_ms = now_ms;
	link_set_deadline(l, now_ms, l->host->config.greeting_ms);
	if (take_ciphers(l, err) < 0)
		return -1;
	link_greet(l);
	return 0;
}

/* Bytes of the frame that is awaited, and no more than those. */
static void take_frame(struct pm_link *l, const uint8_t **bytes, size_t *len, uint64_t now_ms)
{
	size_t whole = l->dialling ? PM_FRAME_SECOND : PM_FRAME_FIRST;
	size_t n = PM_MIN(*len, whole - l->n_frame);
	struct pm_error err;
	int rc = 0;

	if (n > 0) {
		memcpy(l->frame + l->n_frame, *bytes, n);
		l->n_frame = (uint8_t)(l->n_frame + n);
		*bytes += n;
		*len -= n;
		rc = l->dialling ? look_at_second(l, now_ms, &err) : look_at_first(l, &err);
	}
	if (rc == 0 && l->has_frame && l->turn) {
		link_set_deadline(l, now_ms, handshake_ms(l));
		rc = answer_frame(l, &err);
	} else if (rc == 0 && l->has_frame) {
		l->deadline_ms = 0; /* the wait is ours; the door bounds it */
	}
	if (rc < 0)
		link_doom(l, &err);
}

bool pm_link_wants_turn(const struct pm_link *l)
{
	return l->state == LINK_FRAME && l->has_frame && !l->turn && !l->doomed;
}

void pm_link_give_turn(struct pm_link *l)
{
	l->turn = true;
}

/* ---- input ---- */

static bool wants_input(const struct pm_link *l)
{
	return !l->doomed && l->state != LINK_OVER && l->state != LINK_LEAVING;
}

static void take_records(struct pm_link *l, const uint8_t *bytes, size_t len, uint64_t now_ms)
{
	const uint8_t *record;
	struct pm_error err;
	size_t n;
	int rc = 0;

	while (wants_input(l) &&
	       (rc = pm_record_next(&l->reader, &bytes, &len, &record, &n, &err)) == 1)
		link_take_record(l, record, n, now_ms);
	if (rc < 0)
		link_doom(l, &err);
}

bool pm_link_input(struct pm_link *l, const uint8_t *bytes, size_t len, uint64_t now_ms)
{
	struct pm_error err;

	if (l->state == LINK_FRAME)
		take_frame(l, &bytes, &len, now_ms);
	if (l->state == LINK_FRAME && len > 0 && !l->doomed) {
		/* Nothing may follow a frame before its answer. */
		(void)pm_fail(&err, PM_PROTOCOL, "a peer that does not wait for the handshake");
		link_doom(l, &err);
	}
	if (l->state != LINK_FRAME && len > 0)
		take_records(l, bytes, len, now_ms);
	return settle(l);
}

/* ---- time ---- */

/* Heartbeats of a fleet must not come in step: give or take a tenth. */
static uint64_t next_beat(const struct pm_link *l, uint64_t now_ms)
{
	uint32_t ms = l->host->config.heartbeat_ms;

	return now_ms + ms - ms / 10 + randombytes_uniform(PM_MAX(ms / 5, 1u));
}

static void beat(struct pm_link *l, uint64_t now_ms)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Heartbeat body = PM__HEARTBEAT__INIT;

	l->beat_ms = next_beat(l, now_ms);
	if (l->n_control > 0 || l->writing)
		return; /* something is on its way anyway */
	body.monotonic_ms = now_ms;
	if (l->host->handlers->beat != NULL)
		l->host->handlers->beat(l->host->arg, l, &body);
	env.body_case = PM__ENVELOPE__BODY_HEARTBEAT;
	env.heartbeat = &body;
	(void)link_queue(l, &env); /* fits a record */
}

static void check_peer(struct pm_link *l, uint64_t now_ms)
{
	const struct pm_link_config *c = &l->host->config;
	uint64_t silent_ms = now_ms - l->heard_ms;
	struct pm_error err;
	bool suspected;

	if (silent_ms >= c->dead_ms) {
		(void)pm_fail(&err, PM_UNREACHABLE, "nothing was heard for %llu ms",
		              (unsigned long long)silent_ms);
		link_doom(l, &err);
		return;
	}
	suspected = silent_ms >= c->suspect_ms;
	if (suspected == l->suspected)
		return;
	l->suspected = suspected;
	if (l->host->handlers->suspect != NULL)
		l->host->handlers->suspect(l->host->arg, l, suspected);
}

/* We ourselves were stopped or asleep: what the peer sent meanwhile is still to be read. */
static void forgive_own_absence(struct pm_link *l, uint64_t now_ms)
{
	const struct pm_link_config *c = &l->host->config;
	uint64_t due_ms = pm_link_due_ms(l);

	if (now_ms <= due_ms || now_ms - due_ms < c->dead_ms / 4)
		return;
	l->heard_ms = PM_MAX(l->heard_ms, now_ms - c->suspect_ms);
	l->progress_ms = PM_MAX(l->progress_ms, now_ms - c->suspect_ms);
}

static void give_room(struct pm_link *l)
{
	if (!l->wants_room || l->state != LINK_UP || l->doomed ||
	    pm_link_queued(l) >= PM_SEND_ROOM / 2)
		return;
	l->wants_room = false;
	if (l->host->handlers->room != NULL)
		l->host->handlers->room(l->host->arg, l);
}

bool pm_link_work(struct pm_link *l, uint64_t now_ms)
{
	struct pm_error err;

	forgive_own_absence(l, now_ms);
	if (l->state == LINK_LEAVING && l->deadline_ms == 0)
		link_set_deadline(l, now_ms, FAREWELL_MS);
	if (l->welcomed && l->state == LINK_GREETING && !l->doomed)
		link_go_up(l, now_ms, NULL);
	if (l->state == LINK_UP && !l->doomed)
		check_peer(l, now_ms);
	if (l->writing && now_ms - l->progress_ms >= l->host->config.dead_ms) {
		(void)pm_fail(&err, PM_UNREACHABLE, "the other side takes no data");
		link_doom(l, &err);
	}
	if (l->deadline_ms != 0 && now_ms >= l->deadline_ms) {
		(void)pm_fail(&err, PM_DEADLINE, "the other side did not finish its %s",
		              l->state == LINK_GREETING ? "greeting" : "handshake");
		link_doom(l, &err);
	}
	if (l->state == LINK_UP && !l->doomed && now_ms >= l->beat_ms)
		beat(l, now_ms);
	give_room(l);
	return settle(l);
}

uint64_t pm_link_due_ms(const struct pm_link *l)
{
	const struct pm_link_config *c = &l->host->config;
	uint64_t due = UINT64_MAX;

	if (l->doomed)
		return 0;
	if (l->deadline_ms != 0)
		due = l->deadline_ms;
	if (l->writing)
		due = PM_MIN(due, l->progress_ms + c->dead_ms);
	if (l->state != LINK_UP)
		return due;
	due = PM_MIN(due, l->beat_ms);
	return PM_MIN(due, l->heard_ms + (l->suspected ? c->dead_ms : c->suspect_ms));
}

/* ---- output ---- */

static void note_sent(struct pm_link *l, uint64_t now_ms)
{
	l->progress_ms = now_ms;
	l->beat_ms = next_beat(l, now_ms);
}

static void seal_control(struct pm_link *l)
{
	struct pm_error err;

	while (l->n_control > 0 && l->batch.len < PM_LINK_BATCH && !l->doomed) {
		const uint8_t *record = (const uint8_t *)l->control.bytes + l->control_at;
		size_t len = (size_t)record[0] << 8 | record[1];

		if (link_seal(l, record + PM_RECORD_HEAD, len, &err) < 0) {
			link_doom(l, &err);
			return;
		}
		l->control_at += PM_RECORD_HEAD + len;
		l->n_control--;
	}
	if (l->n_control == 0) {
		l->control_at = 0;
		pm_buf_finish(&l->control); /* an idle session holds no memory for it */
	} else if (l->control_at > PM_LINK_BATCH) {
		pm_buf_drop(&l->control, l->control_at);
		l->control_at = 0;
	}
}

bool pm_link_output(struct pm_link *l, const uint8_t **bytes, size_t *len, uint64_t now_ms)
{
	if (l->writing || l->doomed || l->state == LINK_OVER)
		return false;
	if (l->seal != NULL) {
		seal_control(l);
		if (l->n_control == 0 && l->state == LINK_UP)
			link_streams_pull(l);
	}
	if (l->batch.len == 0 || l->doomed)
		return false;
	l->writing = true;
	note_sent(l, now_ms);
	*bytes = (const uint8_t *)l->batch.bytes;
	*len = l->batch.len;
	return true;
}

void pm_link_progress(struct pm_link *l, uint64_t now_ms)
{
	l->progress_ms = now_ms;
}

bool pm_link_written(struct pm_link *l, uint64_t now_ms)
{
	assert(l->writing);
	l->writing = false;
	l->progress_ms = now_ms;
	pm_buf_finish(&l->batch);
	if (l->state == LINK_LEAVING && l->n_control == 0)
		link_doom(l, &l->why);
	give_room(l);
	return settle(l);
}

/* ---- facts ---- */

const struct pm_error *pm_link_why(const struct pm_link *l)
{
	return &l->why;
}

uint32_t pm_link_retry_after_ms(const struct pm_link *l)
{
	return l->retry_after_ms;
}

bool link_may_send(const struct pm_link *l)
{
	return l->state == LINK_UP || (l->state == LINK_GREETING && l->dialling && l->greeted);
}

bool pm_link_is_proved(const struct pm_link *l)
{
	return l->state == LINK_GREETING || l->state == LINK_UP;
}

bool pm_link_is_new(const struct pm_link *l)
{
	return l->fresh;
}

bool pm_link_is_up(const struct pm_link *l)
{
	return l->state == LINK_UP && !l->doomed;
}

bool pm_link_is_open(const struct pm_link *l)
{
	return l->state != LINK_OVER && l->state != LINK_LEAVING && !l->doomed;
}

uint64_t pm_link_heard_ms(const struct pm_link *l)
{
	return l->heard_ms;
}

bool pm_link_is_idle(const struct pm_link *l)
{
	return pm_chain_first(&l->streams) == NULL && l->n_control == 0 && !l->writing &&
	       l->n_asked == 0;
}

enum pm_role pm_link_role(const struct pm_link *l)
{
	return l->role;
}

const uint8_t *pm_link_peer_key(const struct pm_link *l)
{
	return l->has_peer ? l->peer : NULL;
}

const uint8_t *pm_link_own_key(const struct pm_link *l)
{
	return l->own;
}

uint64_t pm_link_features(const struct pm_link *l)
{
	return l->features & l->host->config.features;
}

void pm_link_set_user(struct pm_link *l, void *user)
{
	l->user = user;
}

void *pm_link_user(const struct pm_link *l)
{
	return l->user;
}
