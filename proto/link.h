/* link.h - a session with a peer that is known by its key, as bytes in and bytes out.  Pure.
 *
 * The carrier (proto/wire.h over TCP, a blocking client, a test) moves the bytes and tells the
 * time; all else is here: handshake, sealed records, Hello and Welcome, heartbeats, requests and
 * answers, streams.  Either side may be the owner's: an agent or pmctl dials, a coordinator
 * listens.
 *
 * Control messages wait in a bounded queue and always go first; stream data is pulled from its
 * producer when the carrier takes more, and only as far as the peer gave credit.  Sealing happens
 * as a batch is made, so that nothing that was sealed is ever dropped.
 *
 * Owners' calls (send, close, open a stream...) never call a handler; only the carrier's calls do.
 */
#ifndef PM_PROTO_LINK_H
#define PM_PROTO_LINK_H

#include "proto/handshake.h"
#include "proto/session.h"

struct pm_link;
struct pm_link_stream;
struct pm_link_host; /* what all links of one owner share */

/* What the listening side makes of a key, before it answers. */
enum pm_verdict {
	PM_PEER_REFUSED, /* closed without a word, so that a revoked key looks like an unknown one
	                  */
	PM_PEER_KNOWN,
	PM_PEER_NEW, /* may enrol, and nothing else */
};

/*
 * What the owner does.  Messages are valid during the call only.  NULL where it says so.  A handler
 * may close the link, which takes effect after it.
 */
struct pm_link_handlers {
	/* Listening: the peer claims this key; that it holds it is proved by its first record. */
	enum pm_verdict (*peer)(void *arg, struct pm_link *l, enum pm_role role,
	                        const uint8_t *key);
	/* Listening: fill in the answer to a Hello, protocol and version are set.  -1 with err:
	 * refuse in words.  1: the answer comes with pm_link_welcome(). */
	int (*hello)(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
	             struct pm_error *err);
	/* Listening: answer now or later, pm_link_enrolled() or pm_link_refuse().  NULL: no
	 * PEER_NEW
	 */
	void (*enrol)(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol);
	/* Dialling: fill in Hello (agent facts); protocol, program and version are set.  NULL: as
	 * it is. */
	void (*greet)(void *arg, struct pm_link *l, Pm__Hello *hello);
	/* Dialling: Hello is queued, and requests may go right behind it.  NULL: nobody hurries. */
	void (*greeted)(void *arg, struct pm_link *l);
	/* Dialling: fill in Enrol.  NULL: this owner never enrols. */
	void (*ask)(void *arg, struct pm_link *l, Pm__Enrol *enrol);
	void (*enrolled)(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled); /* dialling */
	/* The session is there.  welcome: what the peer said; NULL on the listening side. */
	void (*up)(void *arg, struct pm_link *l, const Pm__Welcome *welcome);
	/* PM_EVENT_REQUEST, ANSWER or NOTICE (Heartbeat and Event, not Goodbye). */
	void (*message)(void *arg, struct pm_link *l, const Pm__Envelope *env,
	                enum pm_event_kind kind);
	/* Fill in a heartbeat that is about to go out.  NULL: as it is. */
	void (*beat)(void *arg, struct pm_link *l, Pm__Heartbeat *beat);
	/* Nothing came for a while, or something came again.  NULL: nobody cares. */
	void (*suspect)(void *arg, struct pm_link *l, bool suspected);
	/* pm_link_queued() has become short again after pm_link_want_room().  NULL: never wanted.
	 */
	void (*room)(void *arg, struct pm_link *l);
	/* -1 with err: refused in words, and the stream is gone.  NULL: all are refused. */
	int (*stream_open)(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
	                   struct pm_error *err);
	void (*stream_data)(void *arg, struct pm_link_stream *st, const Pm__StreamData *data);
	/* A send was refused before, and may do now. */
	void (*stream_ready)(void *arg, struct pm_link_stream *st);
	/* The peer gave credit: a relay passes it on.  NULL: nobody cares. */
	void (*stream_credit)(void *arg, struct pm_link_stream *st, uint32_t bytes);
	/* By the peer, or with the session; why->code PM_OK: the end was reached.  It is gone then.
	 */
	void (*stream_closed)(void *arg, struct pm_link_stream *st, const struct pm_error *why);
	/* Exactly once, after the last stream_closed(), unless the carrier destroys the link first.
	 * retry_after_ms: from a Goodbye, else 0. */
	void (*closed)(void *arg, struct pm_link *l, const struct pm_error *why,
	               uint32_t retry_after_ms);
};

struct pm_link_config {
	const struct pm_key *key; /* borrowed while the host lives */
	enum pm_role role;        /* of the dialling side: our own */
	const char *program;      /* of the dialling side; borrowed while the host lives */
	uint64_t features;        /* bits of Hello and Welcome */
	/* Zero stands for the default. */
	/* Listening 3 s, dialling 10 s: until the first record that only this peer can have sent.
	 * A listener's begins anew with the handshake's turn: waiting for that is not its fault. */
	uint32_t handshake_ms;
	uint32_t greeting_ms;  /* 5 s: from there until the session is up, enrolling included */
	uint32_t heartbeat_ms; /* 10 s: something is sent at least so often, give or take a tenth */
	uint32_t suspect_ms;   /* 15 s */
	uint32_t dead_ms;      /* 30 s without a record, or without a byte of ours taken */
	uint32_t credit_max;   /* given out in all streams of a session; PM_LINK_CREDIT_MAX */
};

/*
 * errors     PM_NO_MEMORY
 * handlers   borrowed, with arg, while the host lives
 */
PM_MUST_CHECK int pm_link_host_create(const struct pm_link_config *config,
                                      const struct pm_link_handlers *handlers, void *arg,
                                      struct pm_link_host **out, struct pm_error *err);
void pm_link_host_destroy(struct pm_link_host *h); /* after its links; NULL is fine */
/*
 * The keys of links that begin from now on: `key` is dialled with, a listener is known by either.
 * Both are borrowed until the next call or the host's end; links that are there need them no more.
 *
 * other      NULL: there is one key
 */
void pm_link_host_set_keys(struct pm_link_host *h, const struct pm_key *key,
                           const struct pm_key *other);

/* ---- the carrier's calls; now_ms is monotonic, of any beginning ---- */

/*
 * listener   the key to dial, as told by a token or pinned before; NULL: we listen
 * enrol      dialling: our key is new there
 * errors     PM_NO_MEMORY, PM_PROTOCOL (the key to dial is none)
 */
PM_MUST_CHECK int pm_link_create(struct pm_link_host *host, const uint8_t *listener, bool enrol,
                                 uint64_t now_ms, struct pm_link **out, struct pm_error *err);
/* At any time but inside of a handler; stream_closed() is called, closed() is not.  NULL is fine.
 */
void pm_link_destroy(struct pm_link *l);

/*
 * The owner's calls leave work for the carrier: call `poke`, which makes no call into the link but
 * sees to it that pm_link_work() is called soon.
 */
typedef void pm_link_poke_fn(void *arg, struct pm_link *l);
void pm_link_set_carrier(struct pm_link *l, pm_link_poke_fn *poke, void *carrier);
void *pm_link_carrier(const struct pm_link *l);

/* All of these may call closed(), and return false when the link is over: destroy it. */
bool pm_link_input(struct pm_link *l, const uint8_t *bytes, size_t len, uint64_t now_ms);
bool pm_link_work(struct pm_link *l, uint64_t now_ms); /* timers, and what owners' calls left */
bool pm_link_lost(struct pm_link *l, const struct pm_error *why); /* the carrier ended; false */

/* A first frame is there and costs a handshake: pm_link_input() with no bytes goes on with it. */
bool pm_link_wants_turn(const struct pm_link *l);
void pm_link_give_turn(struct pm_link *l);
/* Owners that have no door let everybody in at once: tests. */
void pm_link_host_set_open(struct pm_link_host *h);

/* Bytes to write, the same until pm_link_written().  false: nothing to write now. */
bool pm_link_output(struct pm_link *l, const uint8_t **bytes, size_t *len, uint64_t now_ms);
bool pm_link_written(struct pm_link *l, uint64_t now_ms);
void pm_link_progress(struct pm_link *l, uint64_t now_ms); /* some of it was taken */

/* Of a link that is over. */
const struct pm_error *pm_link_why(const struct pm_link *l); /* borrowed */
uint32_t pm_link_retry_after_ms(const struct pm_link *l);

/* When pm_link_work() is due at the latest. */
uint64_t pm_link_due_ms(const struct pm_link *l);

/* ---- the owner's calls ---- */

bool pm_link_is_proved(const struct pm_link *l); /* the peer holds its key: no longer at the door */
bool pm_link_is_new(const struct pm_link *l);    /* of a key that is to enrol first */
bool pm_link_is_up(const struct pm_link *l);
bool pm_link_is_open(const struct pm_link *l);
uint64_t pm_link_heard_ms(const struct pm_link *l); /* the last record, by the carrier's clock */
/* No stream is open, nothing waits to be sent, and the peer has asked nothing that is not answered:
 * ending the session now would lose nothing. */
bool pm_link_is_idle(const struct pm_link *l);
enum pm_role pm_link_role(const struct pm_link *l);       /* of the dialling side */
const uint8_t *pm_link_peer_key(const struct pm_link *l); /* borrowed; NULL: not known yet */
const uint8_t *pm_link_own_key(const struct pm_link *l);  /* ours, which it was begun with; borrowed
                                                           */
uint64_t pm_link_features(const struct pm_link *l);       /* those that both sides have */
void pm_link_set_user(struct pm_link *l, void *user);
void *pm_link_user(const struct pm_link *l);

/*
 * Queue a control message.  A listening side may once the session is up, a dialling side once it
 * has greeted.  What is sent to a link that is over goes nowhere.
 *
 * returns    false: it does not fit a record, or comes too early
 */
bool pm_link_send(struct pm_link *l, const Pm__Envelope *env);
/* The same for what pm_encode() has written, for many peers: head and message. */
bool pm_link_send_packed(struct pm_link *l, const uint8_t *record, size_t len);
uint64_t pm_link_next_id(struct pm_link *l);
size_t pm_link_queued(const struct pm_link *l); /* bytes of control messages that wait */
void pm_link_want_room(struct pm_link *l);      /* room() is to be called when it is short */

void pm_link_reply_error(struct pm_link *l, uint64_t re, const struct pm_error *why);

/* Answer an Enrol; the session goes on with Hello, or ends in words. */
void pm_link_enrolled(struct pm_link *l, uint64_t re, const Pm__Enrolled *enrolled);
void pm_link_refuse(struct pm_link *l, uint64_t re, const struct pm_error *why);

/*
 * Answer a Hello later; protocol, version and features are set here.
 *
 * welcome    NULL: refuse in words, which are why's; else why is not read
 */
void pm_link_welcome(struct pm_link *l, const Pm__Welcome *welcome, const struct pm_error *why);

/* Say Goodbye, send what is queued, close. */
void pm_link_goodbye(struct pm_link *l, const char *reason, uint32_t retry_after_ms);
/* Close without a word, as for a key that was revoked just now. */
void pm_link_close(struct pm_link *l, const struct pm_error *why);

/* ---- streams: valid until pm_link_stream_close() or stream_closed() ---- */

/*
 * Open a stream, with a window of open->credit, or the default for 0: what is given is filled in
 * here.  A refusal comes as stream_closed().
 *
 * errors     PM_LIMIT, PM_NO_MEMORY, PM_UNREACHABLE (the session is not up)
 */
PM_MUST_CHECK int pm_link_stream_open(struct pm_link *l, const Pm__StreamOpen *open, void *user,
                                      struct pm_link_stream **out, struct pm_error *err);
enum pm_link_sent {
	PM_LINK_SENT,
	PM_LINK_BLOCKED,   /* nothing was sent; stream_ready() is called later */
	PM_LINK_TOO_LARGE, /* does not fit one record */
};
enum pm_link_sent pm_link_stream_send(struct pm_link_stream *st, const Pm__StreamData *data);
/* End it from this side; no handler is called. */
void pm_link_stream_close(struct pm_link_stream *st, enum pm_code code, const char *what);

/* From now on credit is given by pm_link_stream_grant() only, and not as data is taken. */
void pm_link_stream_by_hand(struct pm_link_stream *st);
/* Let the peer send so much more; how much of it the session's sum allows.  Also lets the opener
 * of a stream send. */
uint32_t pm_link_stream_grant(struct pm_link_stream *st, uint32_t bytes);

struct pm_link *pm_link_stream_link(const struct pm_link_stream *st); /* borrowed */
void pm_link_stream_set_user(struct pm_link_stream *st, void *user);
void *pm_link_stream_user(const struct pm_link_stream *st);

#endif
