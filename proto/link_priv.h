/* link_priv.h - what the parts of a link share; nobody else includes it. */
#ifndef PM_PROTO_LINK_PRIV_H
#define PM_PROTO_LINK_PRIV_H

#include "proto/buf.h"
#include "proto/chain.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/link.h"
#include "proto/record.h"

#define LINK_SEALED_MAX  (PM_RECORD_MAX + PM_NOISE_TAG)
#define LINK_REKEY_EVERY 1024 /* records of one direction */

struct pm_link_host {
	struct pm_link_config config;
	const struct pm_link_handlers *handlers; /* borrowed, with arg */
	void *arg;
	const struct pm_key *other; /* borrowed; NULL: config.key is all there is */
	bool open_door;             /* no turns are waited for */
	struct pm_arena arena;      /* of the message being handled */
	uint8_t *plain;             /* owned; PM_RECORD_MAX: the record being handled */
	struct pm_buf packed;       /* of the message being sent */
};

enum link_state {
	LINK_FRAME,    /* waits for the peer's frame */
	LINK_UNPROVED, /* listening: answered, and waits for the first record */
	LINK_GREETING, /* Enrol, Hello and Welcome */
	LINK_UP,
	LINK_LEAVING, /* said all, sends the rest */
	LINK_OVER,
};

struct pm_link_stream {
	struct pm_link *link; /* borrowed */
	uint32_t id;
	uint64_t asked; /* our StreamOpen's number, for a refusal; 0: the peer's stream */
	bool blocked;   /* a send was refused; stream_ready() is owed */
	bool wake;      /* it is due now */
	void *user;
	struct pm_chain chain; /* of the link's streams */
};

struct pm_link {
	struct pm_link_host *host; /* borrowed */
	enum link_state state;
	bool dialling;
	bool turn;      /* given: the first frame may be answered */
	bool has_frame; /* a whole first frame waits for its turn */
	bool greeted;   /* dialling: Hello is queued; control messages may follow */
	bool fresh;     /* the key is to enrol */
	bool suspected;
	bool wants_room;
	bool writing; /* the batch is with the carrier */
	bool doomed;  /* to be ended by the carrier's next call; why says how */
	enum pm_role role;

	/* Until the handshake is over. */
	uint8_t frame[PM_FRAME_FIRST];
	uint8_t n_frame;
	struct pm_noise *noise; /* owned */

	bool has_peer;
	bool with_other; /* listening: it was begun with the host's other key */
	uint8_t peer[PM_KEY_BYTES], own[PM_KEY_BYTES]; /* public keys */
	struct pm_cipher *seal, *open;                 /* owned; NULL before */
	uint64_t features;                             /* the peer's */
	struct pm_session core;
	struct pm_record_reader reader;

	struct pm_buf control; /* records to be sealed, from control_at on */
	size_t control_at;
	unsigned n_control;
	unsigned n_asked;    /* requests of the peer's without their answer */
	uint64_t hello;      /* listening: the peer's, which is not answered yet; 0: none */
	bool welcomed;       /* it was, outside of the carrier's calls: go up with the next one */
	struct pm_buf batch; /* sealed, for the carrier */

	uint64_t deadline_ms; /* of the handshake, the greeting, the farewell; 0: none */
	uint64_t heard_ms, beat_ms, progress_ms;

	struct pm_error why;
	uint32_t retry_after_ms;
	struct pm_chain streams; /* owned */

	pm_link_poke_fn *poke; /* borrowed, with carrier */
	void *carrier, *user;
};

/* link.c */
void link_doom(struct pm_link *l, const struct pm_error *why); /* the first reason stays */
void link_poke(struct pm_link *l);
bool link_may_send(const struct pm_link *l);
uint32_t link_or(uint32_t value, uint32_t standard); /* a setting, or its default */
void link_set_deadline(struct pm_link *l, uint64_t now_ms, uint32_t in_ms);

/* link_send.c */
PM_MUST_CHECK int link_seal(struct pm_link *l, const uint8_t *plain, size_t len,
                            struct pm_error *err);           /* into the batch */
bool link_queue(struct pm_link *l, const Pm__Envelope *env); /* whatever the state */
void link_queue_error(struct pm_link *l, uint64_t re, uint32_t stream, const struct pm_error *why);
void link_greet(struct pm_link *l); /* dialling: Enrol or Hello */

/* link_receive.c */
void link_go_up(struct pm_link *l, uint64_t now_ms, const Pm__Welcome *welcome);
void link_take_record(struct pm_link *l, const uint8_t *sealed, size_t n, uint64_t now_ms);

/* link_streams.c */
void link_stream_opened(struct pm_link *l, const Pm__Envelope *env, struct pm_stream *core);
void link_stream_data(struct pm_link *l, const Pm__Envelope *env);
void link_stream_credit(struct pm_link *l, const Pm__Envelope *env);
void link_stream_ended(struct pm_link *l, uint32_t id, uint32_t code, const char *what);
bool link_stream_refused(struct pm_link *l, const Pm__Envelope *env); /* was it about a stream? */
void link_streams_pull(struct pm_link *l); /* fill the batch from those that wait */
void link_streams_finish(struct pm_link *l, const struct pm_error *why);

#endif
