/* session.h - what one session's two ends keep account of: versions, request ids, streams.  Pure.
 *
 * The dialling side sends Hello first and may send requests right behind it; the other side answers
 * Welcome before it looks at any of them.  So a request on a session that ended without a Welcome
 * was not carried out.  Stream ids are odd from the dialling side, even from the other.  Credit is
 * in bytes of packed StreamData and is given back when half of the window was used.
 */
#ifndef PM_PROTO_SESSION_H
#define PM_PROTO_SESSION_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

/* The versions of the protocol that this build speaks. */
#define PM_PROTOCOL_MIN 1
#define PM_PROTOCOL_MAX 1

/* Bits of Hello and Welcome: what this side can do.  A bit that is not known is ignored; what the
 * other side cannot do without it requires by name, and is refused by name where that is not known
 * (X-51). */
#define PM_FEATURE_GENERATIONS (UINT64_C(1) << 0) /* an agent keeps the generations of sessions */
#define PM_FEATURE_ROTATION    (UINT64_C(1) << 1) /* knows KeyOffer, KeyWanted, CoordinatorKeys */

struct pm_stream {
	uint32_t id;      /* 0: a free slot */
	bool ours;        /* opened by this side */
	uint64_t credit;  /* bytes that we may send */
	uint32_t granted; /* bytes that the peer may still send */
	uint32_t used;    /* received since the last grant */
	bool by_hand;     /* credit is given by pm_stream_grant() only: a relay passes it on */
	void *user;       /* the layer above's */
};

/* Whether the dialling side's key is to be made known first; the unix socket knows no such thing.
 */
enum pm_enrolment {
	PM_ENROL_NONE,
	PM_ENROL_FIRST, /* Enrol comes before Hello */
	PM_ENROL_ASKED, /* the listening side: nothing more until it is answered */
};

/* One end of a session.  Public because its owner embeds it; only session.c touches it. */
struct pm_session {
	bool dialling;
	bool greeted;            /* Hello and Welcome went over */
	enum pm_enrolment enrol; /* the owner's to set before the first message */
	uint32_t credit_max;     /* given out in all streams together; 0: no limit */
	unsigned streams_max;    /* open at once; the owner's to raise before the first one */
	uint32_t protocol;       /* agreed; 0 before that */
	uint64_t last_id;
	uint32_t last_ours, last_theirs; /* highest stream id opened by each side */
	struct pm_stream *streams;       /* owned */
	unsigned n_slots, n_streams;
};

/* What a received envelope means for the layer above. */
enum pm_event_kind {
	PM_EVENT_IGNORE, /* late word on a closed stream, or a body nobody knows that asks nothing
	                  */
	PM_EVENT_HELLO,  /* answer Welcome, or refuse: pm_session_agree() */
	PM_EVENT_WELCOME,
	PM_EVENT_ENROL,    /* answer Enrolled and call pm_session_enrolled(), or refuse */
	PM_EVENT_ENROLLED, /* Hello may go out */
	PM_EVENT_REQUEST,  /* asks something (id is set, or it is a push) */
	PM_EVENT_ANSWER,   /* re is set */
	PM_EVENT_NOTICE,   /* Goodbye, Heartbeat, an Error about the session itself */
	PM_EVENT_UNKNOWN, /* a body that this build does not know, with an id: answer PM_UNSUPPORTED
	                   */
	PM_EVENT_STREAM_OPEN, /* stream NULL: over streams_max, to be refused */
	PM_EVENT_STREAM_DATA,
	PM_EVENT_STREAM_CREDIT,
	PM_EVENT_STREAM_CLOSE, /* the slot is freed by pm_session_close_stream() */
};

struct pm_event {
	enum pm_event_kind kind;
	struct pm_stream
		*stream; /* for the stream kinds; valid until a stream is opened or closed */
};

void pm_session_init(struct pm_session *s, bool dialling);
void pm_session_finish(struct pm_session *s);

/*
 * Account for a received envelope and say what it is.
 *
 * returns    -1: the peer broke the rules; say why and end the session
 * errors     PM_PROTOCOL (first message, stream ids, credit), PM_UNSUPPORTED, PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_session_receive(struct pm_session *s, const Pm__Envelope *env,
                                     struct pm_event *out, struct pm_error *err);

/* The listening side: choose the highest version both speak; PM_UNSUPPORTED with words for both. */
PM_MUST_CHECK int pm_session_agree(struct pm_session *s, const Pm__Hello *hello,
                                   struct pm_error *err);

/* The listening side: Enrolled went out, Hello may come. */
void pm_session_enrolled(struct pm_session *s);

/* An answer that ends its request. */
bool pm_session_is_final(const Pm__Envelope *env);

uint64_t pm_session_next_id(struct pm_session *s); /* never 0 */

/*
 * Open a stream from this side, granting `window` bytes, or what credit_max leaves of them.
 *
 * errors     PM_LIMIT (streams, their numbers, or less than PM_STREAM_WINDOW_MIN is left),
 *            PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_session_open_stream(struct pm_session *s, uint32_t window,
                                         struct pm_stream **out, struct pm_error *err);
struct pm_stream *pm_session_stream(const struct pm_session *s, uint32_t id); /* NULL: not open */
void pm_session_close_stream(struct pm_session *s, uint32_t id);

/* Take `bytes` of credit for data to send; false, and nothing taken, when there is not enough. */
bool pm_stream_spend(struct pm_stream *st, size_t bytes);
/* Credit to send to the peer now, 0: not yet.  Counts as sent. */
uint32_t pm_stream_refill(struct pm_stream *st);

/* Give credit on any stream, as to let the opener send: how much of `bytes` credit_max allows. */
uint32_t pm_stream_grant(const struct pm_session *s, struct pm_stream *st, uint32_t bytes);

/* Bytes that a StreamData costs. */
size_t pm_stream_cost(const Pm__StreamData *data);

#endif
