/*
 * coordinator.c - plays a coordinator of any character: `coordinator DIR PORT`.
 *
 * Reads orders from its input and writes what it sees to its output, a JSON object a line.  Its key
 * is in DIR, so is what it knows, so that it can be killed and come back.
 *
 *   {"do": "token", "port": N}               -> {"saw": "token", "text": "pmd-join:..."}
 *   {"do": "send", "envelope": {...}}        -> {"saw": "sent", "id": N}; a number is given if none
 * is
 *   {"do": "every", "actor": {...}}          one of each message there is -> {"saw": "sent", ...}
 * each
 *   {"do": "open", "open": {...}}            -> {"saw": "opened", "stream": N}
 *   {"do": "hold", "stream": N}              give no credit from now on
 *   {"do": "grant", "stream": N, "bytes": N}
 *   {"do": "close", "stream": N}
 *   {"do": "cut"}, {"do": "goodbye", "retry_ms": N}, {"do": "refuse", "on": true}
 *
 * What it sees: listening, enrolled, hello, up, envelope, data, closed (a stream), down (the link).
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/hub.h"
#include "proto/keyfile.h"
#include "proto/limits.h"
#include "proto/token.h"
#include "tests/helpers/message_json.h"

#define STREAMS_MAX 64

static struct {
	uv_loop_t loop;
	uv_pipe_t in;
	char line[1 << 20];
	size_t n_line;
	struct pm_net *net;
	struct pm_hub *hub;
	struct pm_key *key;
	const char *dir;
	struct pm_link *link; /* the last that came up */
	struct pm_link_stream *streams[STREAMS_MAX];
	unsigned n_streams;
	bool refuse;
} me;

static void say(json_t *what)
{
	char *words = json_dumps(what, JSON_COMPACT);

	(void)puts(words);
	(void)fflush(stdout);
	free(words);
	json_decref(what);
}

static void path(const char *name, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/%s", me.dir, name);
}

/* ---- what it knows: a file a fact ---- */

static void hex(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static bool fact(const char *kind, const uint8_t *bytes, bool make)
{
	char name[128], file[512], text[65];
	FILE *f;

	hex(bytes, 32, text);
	(void)snprintf(name, sizeof(name), "%s-%s", kind, text);
	path(name, file, sizeof(file));
	f = fopen(file, make ? "wx" : "r");
	if (f == NULL)
		return false;
	(void)fclose(f);
	return true;
}

/* ---- the link ---- */

static enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role, const uint8_t *key)
{
	(void)arg;
	(void)l;
	if (me.refuse || role != PM_ROLE_AGENT)
		return PM_PEER_REFUSED;
	return fact("agent", key, false) ? PM_PEER_KNOWN : PM_PEER_NEW;
}

static int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                    struct pm_error *err)
{
	static Pm__FleetWelcome fleet;
	static char id[] = "a-1", cluster[] = "c-test";

	(void)arg;
	(void)l;
	(void)err;
	say(json_pack("{s:s, s:o}", "saw", "hello", "hello", message_to_json(&hello->base)));
	pm__fleet_welcome__init(&fleet);
	fleet.agent_id = id;
	fleet.cluster_id = cluster;
	fleet.heartbeat_ms = 1000;
	welcome->fleet = &fleet;
	return 0;
}

static void on_enrol(void *arg, struct pm_link *l, uint64_t id, const Pm__Enrol *enrol)
{
	Pm__Enrolled out = PM__ENROLLED__INIT;
	uint8_t hash[PM_TOKEN_HASH_BYTES];
	static char agent[] = "a-1", cluster[] = "c-test";
	struct pm_error err;

	(void)arg;
	pm_token_hash(enrol->token_id.data, enrol->secret.data, hash);
	if (!fact("token", hash, false) || !fact("used", hash, true)) {
		(void)pm_fail(&err, PM_DENIED, "this token was used, or never given out");
		pm_link_refuse(l, id, &err);
		return;
	}
	(void)fact("agent", pm_link_peer_key(l), true);
	out.id = agent;
	out.name = *enrol->name != '\0' ? enrol->name : enrol->facts->hostname;
	out.cluster_id = cluster;
	say(json_pack("{s:s, s:o}", "saw", "enrolled", "enrol", message_to_json(&enrol->base)));
	pm_link_enrolled(l, id, &out);
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)welcome;
	me.link = l;
	say(json_pack("{s:s}", "saw", "up"));
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	(void)arg;
	(void)l;
	(void)kind;
	say(json_pack("{s:s, s:o}", "saw", "envelope", "envelope", message_to_json(&env->base)));
}

static unsigned number_of(const struct pm_link_stream *st)
{
	unsigned i = 0;

	while (i < me.n_streams && me.streams[i] != st)
		i++;
	return i;
}

static int on_stream_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                          struct pm_error *err)
{
	(void)arg;
	(void)st;
	(void)open;
	return pm_fail(err, PM_UNSUPPORTED, "no streams from agents");
}

static void on_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	(void)arg;
	say(json_pack("{s:s, s:i, s:o}", "saw", "data", "stream", (int)number_of(st), "data",
	              message_to_json(&data->base)));
}

static void on_stream_ready(void *arg, struct pm_link_stream *st)
{
	(void)arg;
	(void)st;
}

static void on_stream_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	unsigned i = number_of(st);

	(void)arg;
	say(json_pack("{s:s, s:i, s:i, s:s}", "saw", "closed", "stream", (int)i, "code",
	              (int)why->code, "what", why->what));
	if (i < me.n_streams)
		me.streams[i] = NULL;
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	(void)arg;
	(void)retry_after_ms;
	if (l != me.link)
		return;
	me.link = NULL;
	say(json_pack("{s:s, s:i, s:s}", "saw", "down", "code", (int)why->code, "what", why->what));
}

/* ---- orders ---- */

static void make_token(const json_t *order)
{
	struct pm_token token;
	struct pm_buf text = { 0 };
	struct pm_error err;
	uint8_t hash[PM_TOKEN_HASH_BYTES];
	char where[64];

	if (pm_token_create(PM_TOKEN_JOIN, &token, &err) < 0)
		exit(1);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%d",
	               (int)json_integer_value(json_object_get(order, "port")));
	if (pm_address_parse(where, &token.addresses[0], &err) < 0)
		exit(1);
	token.n_addresses = 1;
	memcpy(token.coordinator, pm_key_public(me.key), PM_KEY_BYTES);
	pm_token_hash(token.id, token.secret, hash);
	(void)fact("token", hash, true);
	if (pm_token_format(&token, &text, &err) < 0)
		exit(1);
	say(json_pack("{s:s, s:s}", "saw", "token", "text", text.bytes));
	pm_token_wipe(&text);
	pm_token_finish(&token);
}

static void send_envelope(Pm__Envelope *env)
{
	const ProtobufCFieldDescriptor *body = protobuf_c_message_descriptor_get_field(
		env->base.descriptor, (unsigned)env->body_case);

	if (me.link == NULL) {
		say(json_pack("{s:s}", "saw", "no link"));
		return;
	}
	if (env->id == 0)
		env->id = pm_link_next_id(me.link);
	say(json_pack("{s:s, s:I, s:s, s:b}", "saw", "sent", "id", (json_int_t)env->id, "what",
	              body == NULL ? "" : body->name, "taken", pm_link_send(me.link, env)));
}

static void send_order(const json_t *order)
{
	send_envelope((Pm__Envelope *)(void *)message_from_json(
		&pm__envelope__descriptor, json_object_get(order, "envelope")));
}

/* Each message that asks for something: an empty one of each kind, and each verb. */
static void send_every(const json_t *order)
{
	const ProtobufCMessageDescriptor *d = &pm__envelope__descriptor;
	json_t *actor = json_object_get(order, "actor");

	for (unsigned i = 0; i < d->n_fields; i++) {
		json_t *env = json_object();

		if ((d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
		    json_object_get(json_object_get(order, "but"), d->fields[i].name) != NULL)
			continue;
		(void)json_object_set_new(env, d->fields[i].name, json_object());
		(void)json_object_set(env, "actor", actor);
		send_envelope((Pm__Envelope *)(void *)message_from_json(d, env));
		json_decref(env);
	}
}

static struct pm_link_stream *stream_of(const json_t *order)
{
	size_t i = (size_t)json_integer_value(json_object_get(order, "stream"));

	return i < me.n_streams ? me.streams[i] : NULL;
}

static void open_stream(const json_t *order)
{
	Pm__StreamOpen *open = (Pm__StreamOpen *)(void *)message_from_json(
		&pm__stream_open__descriptor, json_object_get(order, "open"));
	struct pm_error err;

	if (me.link == NULL || me.n_streams == STREAMS_MAX)
		return;
	if (pm_link_stream_open(me.link, open, NULL, &me.streams[me.n_streams], &err) < 0) {
		say(json_pack("{s:s, s:s}", "saw", "not opened", "what", err.what));
		return;
	}
	say(json_pack("{s:s, s:i}", "saw", "opened", "stream", (int)me.n_streams++));
}

static void obey(const json_t *order)
{
	const char *what = json_string_value(json_object_get(order, "do"));
	struct pm_link_stream *st = stream_of(order);
	struct pm_error why;

	if (what == NULL) {
		say(json_pack("{s:s}", "saw", "no order"));
		return;
	}
	if (strcmp(what, "token") == 0)
		make_token(order);
	else if (strcmp(what, "send") == 0)
		send_order(order);
	else if (strcmp(what, "every") == 0)
		send_every(order);
	else if (strcmp(what, "open") == 0)
		open_stream(order);
	else if (strcmp(what, "hold") == 0 && st != NULL)
		pm_link_stream_by_hand(st);
	else if (strcmp(what, "grant") == 0 && st != NULL)
		(void)pm_link_stream_grant(
			st, (uint32_t)json_integer_value(json_object_get(order, "bytes")));
	else if (strcmp(what, "close") == 0 && st != NULL) {
		me.streams[number_of(st)] = NULL; /* its memory may be the next one's */
		pm_link_stream_close(st, PM_OK, "");
	} else if (strcmp(what, "refuse") == 0)
		me.refuse = json_is_true(json_object_get(order, "on"));
	else if (strcmp(what, "goodbye") == 0 && me.link != NULL)
		pm_link_goodbye(me.link, "told to",
		                (uint32_t)json_integer_value(json_object_get(order, "retry_ms")));
	else if (strcmp(what, "cut") == 0 && me.link != NULL) {
		(void)pm_fail(&why, PM_UNREACHABLE, "cut");
		pm_link_close(me.link, &why);
	}
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	(void)handle;
	(void)size;
	*buf = uv_buf_init(me.line + me.n_line, (unsigned)(sizeof(me.line) - 1 - me.n_line));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	char *end;

	(void)stream;
	(void)buf;
	if (n < 0)
		exit(0);
	me.n_line += (size_t)n;
	me.line[me.n_line] = '\0';
	while ((end = memchr(me.line, '\n', me.n_line)) != NULL) {
		json_t *order;

		*end = '\0';
		order = json_loads(me.line, 0, NULL);
		obey(order);
		json_decref(order);
		me.n_line -= (size_t)(end + 1 - me.line);
		memmove(me.line, end + 1, me.n_line + 1);
	}
}

int main(int argc, char **argv)
{
	static const struct pm_link_handlers handlers = {
		.peer = on_peer,
		.hello = on_hello,
		.enrol = on_enrol,
		.up = on_up,
		.message = on_message,
		.stream_open = on_stream_open,
		.stream_data = on_stream_data,
		.stream_ready = on_stream_ready,
		.stream_closed = on_stream_closed,
		.closed = on_closed,
	};
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pm_hub_config config = { .gate = { 0 } };
	struct pm_error err;
	char file[512];
	uint16_t port;
	bool made;

	if (argc != 3)
		return 2;
	me.dir = argv[1];
	at.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	path("key", file, sizeof(file));
	if (sodium_init() < 0 || uv_loop_init(&me.loop) < 0 ||
	    uv_pipe_init(&me.loop, &me.in, 0) < 0 || uv_pipe_open(&me.in, STDIN_FILENO) < 0 ||
	    pm_keyfile_load_or_create(file, &me.key, &made, &err) < 0)
		return 1;
	config.link.key = me.key;
	if (pm_net_create(&me.loop, &me.net, &err) < 0 ||
	    pm_hub_create(me.net, &me.loop, &config, &handlers, NULL, &me.hub, &err) < 0 ||
	    pm_hub_listen(me.hub, (const struct sockaddr *)&at, &port, &err) < 0) {
		(void)fprintf(stderr, "coordinator: %s\n", err.what);
		return 1;
	}
	say(json_pack("{s:s, s:i}", "saw", "listening", "port", (int)port));
	(void)uv_read_start((uv_stream_t *)&me.in, on_alloc, on_input);
	return uv_run(&me.loop, UV_RUN_DEFAULT);
}
