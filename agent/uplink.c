#include "agent/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "agent/agent.h"
#include "agent/uplink_streams.h"
#include "proto/enrol.h"
#include "proto/facts.h"
#include "proto/keyfile.h"
#include "proto/paths.h"
#include "proto/rotation.h"
#include "proto/uplink.h"

#define JOIN_MS       30000
#define BEAT_LEAST_MS 1000u  /* whatever the coordinator wants */
#define LEAVE_MS      500    /* for a Goodbye to reach the coordinator */
#define OFFER_MS      600000 /* between offers of a next key, where one was not taken */
#define NOBODY        65534  /* uid and gid of Debian and of the kernel's overflow */
#define ID_BITS       48     /* of a request's number, the rest is the session's */
#define ID_MASK       ((UINT64_C(1) << ID_BITS) - 1)

static struct {
	uv_loop_t loop;
	uv_timer_t leave, beat;
	struct local *local;      /* owned */
	struct pm_net *net;       /* owned */
	struct pm_uplink *uplink; /* owned */
	struct pm_key *key;       /* owned */
	struct pm_key *next;      /* owned; takes its place; NULL: there is one key */
	uint64_t offer;           /* the number of its KeyOffer */
	uint64_t offered_ms;      /* 0: not yet */
	struct pm_membership membership;
	struct carried_streams streams;
	struct pm_facts facts;
	Pm__HostFacts facts_message;
	Pm__AgentHello hello;
	uint64_t epoch;
	uint64_t session;     /* of the link, counted: answers of an earlier one go nowhere */
	struct pm_link *link; /* borrowed; NULL: no session */
	uint64_t revision;    /* as the supervisor told last, with the next two */
	uint32_t running, failed;
	uint64_t generation; /* of the last session that the supervisor has kept */
	uint64_t number;     /* the highest of a command that came */
	bool welcome;        /* the supervisor's came */
	bool told;           /* and how things stand */
	bool leaving;
	int status;
} me; /* one a process */

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c has no const; packing does not write */
}

static void stop(int status)
{
	me.status = status;
	uv_stop(&me.loop);
}

static void set_bytes(ProtobufCBinaryData *out, const uint8_t *key)
{
	out->data = (uint8_t *)(uintptr_t)key;
	out->len = key == NULL ? 0 : PM_KEY_BYTES;
}

/* ---- what the supervisor is told ---- */

static void send_local(Pm__Envelope *env)
{
	(void)local_send(me.local, env); /* fits a record */
}

static void report(bool connected, const Pm__FleetWelcome *fleet, const char *why,
                   int64_t next_wall_ms)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__UplinkState state = PM__UPLINK_STATE__INIT;
	char address[PM_ADDRESS_TEXT] = "";

	if (me.uplink != NULL)
		pm_address_format(&me.membership.addresses[pm_uplink_address(me.uplink)], address);
	else if (me.membership.n_addresses != 0)
		pm_address_format(&me.membership.addresses[0], address);
	state.connected = connected;
	state.address = address;
	state.why = text(why);
	state.next_wall_ms = next_wall_ms;
	state.agent_id =
		fleet != NULL && *fleet->agent_id != '\0' ? fleet->agent_id : me.membership.id;
	state.cluster_id = fleet != NULL && *fleet->cluster_id != '\0' ? fleet->cluster_id
	                                                               : me.membership.cluster;
	state.name = me.membership.name;
	env.body_case = PM__ENVELOPE__BODY_UPLINK_STATE;
	env.uplink_state = &state;
	state.generation = fleet != NULL ? fleet->generation : 0;
	if (connected && me.link != NULL) {
		set_bytes(&state.own_key, pm_link_own_key(me.link));
		set_bytes(&state.coordinator_key, pm_link_peer_key(me.link));
		set_bytes(&state.coordinator_next,
		          me.membership.has_next ? me.membership.next : NULL);
	}
	send_local(&env);
}

static int report_failure(const struct pm_error *err)
{
	char why[sizeof(err->what) + sizeof(err->hint) + 2];

	(void)snprintf(why, sizeof(why), "%s%s%s", err->what, *err->hint == '\0' ? "" : "; ",
	               err->hint);
	report(false, NULL, why, 0);
	switch ((int)err->code) { /* most of them are worth another try */
	case PM_DENIED:
	case PM_CONFIG:
	case PM_CORRUPT:
	case PM_NOT_FOUND:
	case PM_UNSUPPORTED:
		return UPLINK_EXIT_NEVER;
	default:
		return UPLINK_EXIT_FAILED;
	}
}

/* ---- keys ---- */

/* The coordinator is known by the next one, too: what it says of it. */
static void take_coordinator(const struct pm_link *l, const Pm__CoordinatorKeys *keys)
{
	const uint8_t *next =
		keys != NULL && keys->next.len == PM_KEY_BYTES ? keys->next.data : NULL;

	if (!pm_membership_take_keys(&me.membership, pm_link_peer_key(l), next))
		return;
	if (me.membership.has_next)
		pm_uplink_set_coordinator(me.uplink, me.membership.next, me.membership.coordinator);
	else
		pm_uplink_set_coordinator(me.uplink, me.membership.coordinator, NULL);
	if (me.membership.has_next)
		pm_uplink_renew(me.uplink);
}

/* Say the next key in a session of the present one, once in a while until that one is over. */
static void offer_key(struct pm_link *l)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__KeyOffer offer = PM__KEY_OFFER__INIT;
	uint8_t proof[PM_ROTATION_PROOF_BYTES];
	uint64_t now_ms = pm_now_ms();
	struct pm_error err;

	if (me.next == NULL || (pm_link_features(l) & PM_FEATURE_ROTATION) == 0 ||
	    pm_key_same(pm_link_own_key(l), pm_key_public(me.next)) ||
	    (me.offered_ms != 0 && now_ms - me.offered_ms < OFFER_MS) ||
	    pm_rotation_prove(me.next, pm_link_own_key(l), pm_link_peer_key(l), proof, &err) < 0)
		return;
	me.offered_ms = now_ms;
	set_bytes(&offer.key, pm_key_public(me.next));
	offer.proof = (ProtobufCBinaryData){ sizeof(proof), proof };
	env.id = me.offer = pm_link_next_id(l);
	env.body_case = PM__ENVELOPE__BODY_KEY_OFFER;
	env.key_offer = &offer;
	(void)pm_link_send(l, &env); /* fits a record */
}

/* Both are good now: the session goes on with the next one. */
static void on_key_taken(void)
{
	if (me.next == NULL)
		return;
	pm_uplink_set_own(me.uplink, me.next, me.key);
	pm_uplink_renew(me.uplink);
}

/* What is about keys, or not: false. */
static bool on_key_message(struct pm_link *l, const Pm__Envelope *env, enum pm_event_kind kind)
{
	Pm__Envelope out = PM__ENVELOPE__INIT;
	struct pm_error err;

	if (env->body_case == PM__ENVELOPE__BODY_KEY_OFFER) {
		(void)pm_fail(&err, PM_UNSUPPORTED, "an agent takes no keys"); /* the reply */
		pm_link_reply_error(l, env->id, &err);
	} else if (env->body_case == PM__ENVELOPE__BODY_KEY_WANTED) {
		out.body_case = PM__ENVELOPE__BODY_KEY_WANTED;
		out.key_wanted = env->key_wanted;
		send_local(&out);
	} else if (env->body_case == PM__ENVELOPE__BODY_COORDINATOR_KEYS) {
		take_coordinator(l, env->coordinator_keys);
		if (l == me.link)
			report(true, NULL, "", 0); /* it is to be kept */
	} else if (kind == PM_EVENT_ANSWER && env->re != 0 && env->re == me.offer) {
		me.offer = 0;
		if (env->body_case == PM__ENVELOPE__BODY_KEY_TAKEN)
			on_key_taken();
		else if (env->body_case == PM__ENVELOPE__BODY_ERROR && l == me.link)
			report(true, NULL, env->error->what, 0); /* it is logged there */
	} else {
		return env->body_case == PM__ENVELOPE__BODY_KEY_TAKEN;
	}
	return true;
}

/* ---- from the coordinator ---- */

static void on_greet(void *arg, struct pm_link *l, Pm__Hello *hello)
{
	(void)arg;
	(void)l;
	pm__agent_hello__init(&me.hello);
	me.hello.boot_id = (ProtobufCBinaryData){ sizeof(me.facts.boot_id), me.facts.boot_id };
	me.hello.epoch = me.epoch;
	me.hello.facts = &me.facts_message;
	me.hello.generation = me.generation;
	me.hello.command_number = me.number;
	me.hello.monotonic_ms = pm_now_ms();
	hello->agent = &me.hello;
}

static void beat_every(uint32_t ms);

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	me.link = l;
	me.session++;
	take_coordinator(l, welcome->fleet != NULL ? welcome->fleet->keys : NULL);
	offer_key(l);
	report(true, welcome->fleet, "", 0);
	beat_every(welcome->fleet != NULL ? welcome->fleet->heartbeat_ms : 0);
}

/* Its number is made the session's, so that no answer goes to a later one. */
static void pass_request(struct pm_link *l, const Pm__Envelope *env)
{
	Pm__Envelope out = *env;
	struct pm_error err;

	/* A push is answered only when it is refused, and may go without. */
	if (env->id > ID_MASK || (env->id == 0 && env->body_case != PM__ENVELOPE__BODY_SPEC_PUSH)) {
		(void)pm_fail(&err, PM_PROTOCOL, "a request without a number, or one over 48 bits");
		pm_link_close(l, &err);
		return;
	}
	if (local_queued(me.local) > PM_RELAY_QUEUE_MAX) {
		(void)pm_fail(&err, PM_LIMIT, "the supervisor does not keep up");
		pm_link_close(l, &err);
		return;
	}
	if (env->body_case == PM__ENVELOPE__BODY_COMMAND && env->command->number <= PM_COUNT_MAX)
		me.number = PM_MAX(me.number, env->command->number);
	out.id = me.session << ID_BITS | env->id;
	out.re = 0;
	out.stream = 0;
	if (local_send(me.local, &out))
		return;
	(void)pm_fail(&err, PM_LIMIT, "the request does not fit");
	pm_link_reply_error(l, env->id, &err);
}

static void pass_slot(const Pm__Slot *slot, bool unknown)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Slot out = *slot;

	out.unknown = unknown;
	env.body_case = PM__ENVELOPE__BODY_SLOT;
	env.slot = &out;
	(void)local_send(me.local, &env); /* it came in a record */
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	(void)arg;
	if (on_key_message(l, env, kind))
		return;
	if (kind == PM_EVENT_REQUEST)
		pass_request(l, env);
	else if (env->body_case == PM__ENVELOPE__BODY_SLOT)
		pass_slot(env->slot, false);
	else if (kind == PM_EVENT_ANSWER && env->body_case == PM__ENVELOPE__BODY_ERROR)
		pass_slot(&(const Pm__Slot)PM__SLOT__INIT, true); /* nothing else asks there */
}

static void on_beat(void *arg, struct pm_link *l, Pm__Heartbeat *beat)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double load;

	(void)arg;
	(void)l;
	beat->monotonic_ms = pm_now_ms();
	beat->wall_ms = pm_wall_ms();
	beat->state_revision = me.revision;
	beat->running = me.running;
	beat->failed = me.failed;
	beat->generation = me.generation;
	if (getloadavg(&load, 1) == 1)
		beat->load_permille = (uint32_t)(load * 1000 / (double)PM_MAX(n_cpus, 1));
}

static void send_beat(void)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Heartbeat beat = PM__HEARTBEAT__INIT;

	if (me.link == NULL)
		return;
	on_beat(NULL, me.link, &beat);
	env.body_case = PM__ENVELOPE__BODY_HEARTBEAT;
	env.heartbeat = &beat;
	(void)pm_link_send(me.link, &env); /* fits a record */
}

static void on_beat_time(uv_timer_t *timer)
{
	(void)timer;
	send_beat();
}

/* More often than the link does by itself, if the coordinator wants that; not all in step. */
static void beat_every(uint32_t ms)
{
	if (ms == 0)
		return;
	ms = PM_MAX(ms, BEAT_LEAST_MS);
	(void)uv_timer_start(&me.beat, on_beat_time, randombytes_uniform(ms), ms); /* cannot fail */
}

static void on_room(void *arg, struct pm_link *l)
{
	(void)arg;
	(void)l;
	local_read(me.local, true);
}

static int on_stream_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                          struct pm_error *err)
{
	(void)arg;
	return carry_open(&me.streams, st, open, err);
}

static void on_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	(void)arg; /* it got no credit for any */
	(void)st;
	(void)data;
}

static void on_stream_ready(void *arg, struct pm_link_stream *st)
{
	(void)arg;
	carry_ready(st);
}

static void on_stream_credit(void *arg, struct pm_link_stream *st, uint32_t bytes)
{
	(void)arg;
	carry_credit(st, bytes);
}

static void on_stream_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	(void)arg;
	(void)why;
	carry_closed(&me.streams, st);
}

static void on_link_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                           uint32_t retry_after_ms)
{
	(void)arg;
	(void)why;
	(void)retry_after_ms;
	if (me.link == l) {
		me.link = NULL;
		(void)uv_timer_stop(&me.beat);
	}
	local_read(me.local, true); /* whatever it waited for */
	if (me.leaving)
		stop(UPLINK_EXIT_LEFT);
}

static void on_trouble(void *arg, const struct pm_error *why, uint64_t wait_ms)
{
	(void)arg;
	if (!me.leaving)
		report(false, NULL, why->what, pm_wall_ms() + (int64_t)wait_ms);
}

/* ---- from the supervisor ---- */

static void pass_answer(const Pm__Envelope *env)
{
	Pm__Envelope out = *env;
	struct pm_error err;

	if (me.link == NULL || env->re >> ID_BITS != me.session || (env->re & ID_MASK) == 0)
		return; /* whoever asked has gone, or did not want to know */
	out.re = env->re & ID_MASK;
	out.id = 0;
	if (!pm_link_send(me.link, &out)) {
		(void)pm_fail(&err, PM_LIMIT, "the answer does not fit a message of the link");
		pm_link_reply_error(me.link, out.re, &err);
	}
	if (pm_link_queued(me.link) > PM_SEND_ROOM) {
		pm_link_want_room(me.link);
		local_read(me.local, false);
	}
}

static void pass_beat(const Pm__Heartbeat *beat)
{
	bool news = beat->state_revision != me.revision || beat->generation != me.generation;

	me.revision = beat->state_revision;
	me.running = beat->running;
	me.failed = beat->failed;
	me.generation = beat->generation;
	me.number = PM_MAX(me.number, beat->command_number);
	if (!me.told)
		pm_uplink_start(me.uplink);
	me.told = true;
	if (news)
		send_beat();
}

/* What this agent has seen of its coordinator goes into the first word to it. */
static void ask_supervisor(void)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Heartbeat beat = PM__HEARTBEAT__INIT;

	env.body_case = PM__ENVELOPE__BODY_HEARTBEAT;
	env.heartbeat = &beat;
	send_local(&env);
}

/* What asks nothing.  An id all the same: who does not know it says so. */
static void pass_word(const Pm__Envelope *env)
{
	Pm__Envelope out = *env;

	if (me.link == NULL)
		return; /* said again in the next session */
	out.id = env->body_case == PM__ENVELOPE__BODY_SLOT_REQUEST ? pm_link_next_id(me.link) : 0;
	(void)pm_link_send(me.link, &out); /* it came in a record */
}

static void on_leave_time(uv_timer_t *timer)
{
	(void)timer;
	stop(UPLINK_EXIT_LEFT);
}

static void leave(const char *why, uint32_t retry_after_ms)
{
	if (me.leaving)
		return;
	me.leaving = true;
	if (me.link == NULL) {
		stop(UPLINK_EXIT_LEFT);
		return;
	}
	pm_link_goodbye(me.link, why, retry_after_ms);
	(void)uv_timer_start(&me.leave, on_leave_time, LEAVE_MS, 0); /* cannot fail */
}

static void on_received(void *arg, const Pm__Envelope *env)
{
	(void)arg;
	if (env->body_case == PM__ENVELOPE__BODY_WELCOME && !me.welcome) {
		me.welcome = true;
		ask_supervisor();
	} else if (env->body_case == PM__ENVELOPE__BODY_GOODBYE) {
		leave(env->goodbye->reason, env->goodbye->retry_after_ms);
	} else if (env->body_case == PM__ENVELOPE__BODY_HEARTBEAT) {
		pass_beat(env->heartbeat);
	} else if (env->body_case == PM__ENVELOPE__BODY_SLOT_REQUEST ||
	           env->body_case == PM__ENVELOPE__BODY_SLOT_RELEASE) {
		pass_word(env);
	} else if (env->stream != 0) {
		carry_received(&me.streams, env);
	} else if (env->re != 0) {
		pass_answer(env);
	} else if (env->body_case == PM__ENVELOPE__BODY_ERROR) {
		stop(UPLINK_EXIT_FAILED); /* about the session itself: it is over */
	}
}

static void on_ended(void *arg, const struct pm_error *why)
{
	(void)arg;
	(void)why;
	leave("the agent's supervisor has gone", 0);
}

/* ---- start ---- */

/* Nothing of what this process may still do is needed once its files are read. */
static int drop_privileges(struct pm_error *err)
{
	const struct rlimit none = { 0, 0 };

	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none); /* lowering is always allowed */
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0) {
		/* Root of a user namespace with nobody else in it is nobody outside. */
		if (errno == EINVAL || errno == EPERM)
			return 0;
		return pm_fail_errno(err, errno, "become another user");
	}
	(void)prctl(PR_SET_DUMPABLE, 0); /* a change of user may have set it anew */
	return 0;
}

static int join(const char *home, const char *token_file, struct pm_error *err)
{
	struct pm_buf token = { 0 };
	int rc = pm_membership_load(home, &me.membership, err);

	if (rc == 0 || err->code != PM_NOT_FOUND)
		return rc;
	rc = pm_token_read(token_file, &token, err);
	if (rc == 0)
		rc = pm_join(home, token.bytes, "", JOIN_MS, &me.membership, err);
	pm_token_wipe(&token);
	return rc;
}

static int load(const char *home, const char *token_file, struct pm_error *err)
{
	char path[PM_PATH_MAX];

	if (token_file != NULL && join(home, token_file, err) < 0)
		return -1;
	if (pm_membership_load(home, &me.membership, err) < 0 ||
	    pm_home_file(home, PM_HOME_AGENT_KEY, path, sizeof(path), err) < 0 ||
	    pm_keyfile_load(path, &me.key, err) < 0 ||
	    pm_keyfile_load_next(path, &me.next, err) < 0 ||
	    pm_membership_next_epoch(home, &me.epoch, err) < 0)
		return -1;
	return drop_privileges(err);
}

static int make_link(struct pm_error *err)
{
	static const struct pm_link_handlers handlers = {
		.greet = on_greet,
		.up = on_up,
		.message = on_message,
		.beat = on_beat,
		.room = on_room,
		.stream_open = on_stream_open,
		.stream_data = on_stream_data,
		.stream_ready = on_stream_ready,
		.stream_credit = on_stream_credit,
		.stream_closed = on_stream_closed,
		.closed = on_link_closed,
	};
	struct pm_uplink_config config = {
		.link = { .key = me.key,
		          .role = PM_ROLE_AGENT,
		          .program = "agent",
		          .features = PM_FEATURE_GENERATIONS | PM_FEATURE_ROTATION },
		.n_addresses = me.membership.n_addresses,
		.other_key = me.next,
		.trouble = on_trouble,
	};

	memcpy(config.addresses, me.membership.addresses, sizeof(config.addresses));
	memcpy(config.coordinator, me.membership.coordinator, sizeof(config.coordinator));
	if (me.membership.has_next) { /* which lasts longer, and shows the coordinator how far it is
		                       */
		memcpy(config.coordinator, me.membership.next, sizeof(config.coordinator));
		config.other_coordinator = me.membership.coordinator;
	}
	if (pm_net_create(&me.loop, &me.net, err) < 0)
		return -1;
	return pm_uplink_create(me.net, &me.loop, &config, &handlers, NULL, &me.uplink, err);
}

static int run(const char *home, const char *token_file)
{
	static const struct local_handlers handlers = { on_received, on_ended };
	struct pm_error err;

	if (fcntl(UPLINK_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(UPLINK_FD, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
		(void)fprintf(stderr, "pmd: uplink is not for people\n");
		return UPLINK_EXIT_NEVER;
	}
	if (local_create(&me.loop, UPLINK_FD, &handlers, NULL, &me.local, &err) < 0)
		return UPLINK_EXIT_FAILED;
	me.streams.local = me.local;
	pm_facts_gather(&me.facts);
	pm_facts_message(&me.facts, &me.facts_message);
	if (load(home, token_file, &err) < 0 || make_link(&err) < 0)
		return report_failure(&err);
	(void)uv_run(&me.loop, UV_RUN_DEFAULT);
	return me.status;
}

static void finish(void)
{
	pm_uplink_close(me.uplink);
	pm_net_close(me.net);
	carry_finish(&me.streams);
	local_close(me.local);
	uv_close((uv_handle_t *)&me.leave, NULL);
	uv_close((uv_handle_t *)&me.beat, NULL);
	(void)uv_run(&me.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&me.loop); /* everything in it is closed */
	pm_key_destroy(me.key);
	pm_key_destroy(me.next);
}

int uplink_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "home", required_argument, NULL, 'h' },
		{ "join", required_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const char *home = NULL, *token_file = NULL;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == '?')
			return UPLINK_EXIT_NEVER; /* getopt has said what it does not know */
		*(opt == 'h' ? &home : &token_file) = optarg;
	}
	if (home == NULL || optind < argc) {
		(void)fprintf(stderr, "pmd: uplink is not for people\n");
		return UPLINK_EXIT_NEVER;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_NAME, "pmd uplink");
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (uv_loop_init(&me.loop) < 0)
		return UPLINK_EXIT_FAILED;
	(void)uv_timer_init(&me.loop, &me.leave); /* cannot fail, as the next */
	(void)uv_timer_init(&me.loop, &me.beat);
	status = run(home, token_file);
	finish();
	return status;
}
