/*
 * fleet_hub.c - a coordinator that knows everybody: the listening end of tests and figures.
 *
 * fleet_hub [--port N] [--handshake-ms N] [--heartbeat-ms N] [--suspect-ms N] [--dead-ms N] ...
 * says "port N" and "key K", then "up", "request" and "closed CODE WHY" as they come.  On stdin:
 *
 *   all      one request to each session; "all N MS" when all have answered
 *   flood N  N answers of 60 kB to each session
 *   close    all sessions
 *   bye MS   Goodbye to all, listening on
 *   stats    "stats {JSON}"
 *   quit
 */
#include "tests/helpers/fleet_end.h"

#include "proto/codec.h"
#include "proto/hub.h"

#define LINKS_MAX 65536

static uv_loop_t loop;
static uv_poll_t input;
static struct pm_net *net;
static struct pm_hub *hub;
static struct pm_link *links[LINKS_MAX];
static unsigned n_links, n_waited, n_wanted;
static uint64_t n_up, n_closed, n_requests, n_beats, asked_ns;

static enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role, const uint8_t *key)
{
	(void)arg;
	(void)l;
	(void)role;
	(void)key;
	return PM_PEER_KNOWN;
}

static int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                    struct pm_error *err)
{
	(void)arg;
	(void)l;
	(void)hello;
	(void)welcome;
	return n_links == LINKS_MAX ? pm_fail(err, PM_LIMIT, "too many") : 0;
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)welcome;
	pm_link_set_user(l, (void *)(uintptr_t)(n_links + 1));
	links[n_links++] = l;
	n_up++;
	(void)printf("up %u\n", n_links);
}

static void send_result(struct pm_link *l, uint64_t re, size_t len)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Result result = PM__RESULT__INIT;
	static char text[60001];

	memset(text, 't', len);
	text[len] = '\0';
	result.text = text;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = &result;
	(void)pm_link_send(l, &env); /* fits a record */
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	(void)arg;
	if (kind == PM_EVENT_REQUEST) {
		n_requests++;
		(void)printf("request\n");
		send_result(l, env->id, 10);
	} else if (kind == PM_EVENT_ANSWER && n_waited < n_wanted && ++n_waited == n_wanted) {
		(void)printf("all %u %.1f\n", n_wanted, (double)(uv_hrtime() - asked_ns) / 1e6);
	} else if (env->body_case == PM__ENVELOPE__BODY_HEARTBEAT) {
		n_beats++;
	}
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	size_t at = (size_t)(uintptr_t)pm_link_user(l);

	(void)arg;
	(void)retry_after_ms;
	n_closed++;
	if (at > 0) {
		links[at - 1] = links[--n_links];
		pm_link_set_user(links[at - 1], (void *)(uintptr_t)at);
	}
	(void)printf("closed %s %s\n", pm_code_name(why->code), why->what);
}

static const struct pm_link_handlers handlers = {
	.peer = on_peer,
	.hello = on_hello,
	.up = on_up,
	.message = on_message,
	.closed = on_closed,
};

/* Packed once for all. */
static void ask_all(void)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command cmd = PM__COMMAND__INIT;
	static uint8_t op_id[PM_OP_ID_BYTES];
	PM_BUF packed = { 0 };
	struct pm_error err;

	cmd.verb = PM__VERB__VERB_PING;
	cmd.op_id = (ProtobufCBinaryData){ sizeof(op_id), op_id };
	env.id = UINT64_C(1) << 40; /* of no session's own numbers */
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &cmd;
	if (pm_encode(&env, &packed, &err) < 0)
		die(&err);
	n_wanted = n_links;
	n_waited = 0;
	asked_ns = uv_hrtime();
	for (unsigned i = 0; i < n_links; i++)
		(void)pm_link_send_packed(links[i], (const uint8_t *)packed.bytes, packed.len);
}

static void print_stats(void)
{
	struct pm_hub_stats s;

	pm_hub_stats(hub, &s);
	(void)printf(
		"stats {\"links\": %u, \"up\": %u, \"at_door\": %u, \"accepted\": %llu, "
		"\"evicted\": %llu, \"refused\": %llu, \"handshakes\": %llu, \"delayed\": %llu, "
		"\"rss_kib\": %ld, \"cpu_ms\": %.1f, \"ups\": %llu, \"closed\": %llu, "
		"\"requests\": %llu, \"beats\": %llu}\n",
		s.n_links, n_links, s.n_at_door, (unsigned long long)s.n_accepted,
		(unsigned long long)s.n_evicted, (unsigned long long)s.n_refused,
		(unsigned long long)s.n_handshakes, (unsigned long long)s.n_delayed, rss_kib(),
		cpu_ms(), (unsigned long long)n_up, (unsigned long long)n_closed,
		(unsigned long long)n_requests, (unsigned long long)n_beats);
}

static void on_word(const char *word)
{
	struct pm_error why;
	unsigned long n;

	if (strcmp(word, "all") == 0)
		ask_all();
	if (strcmp(word, "stats") == 0)
		print_stats();
	if (strncmp(word, "flood ", 6) == 0)
		for (n = strtoul(word + 6, NULL, 10); n > 0; n--)
			for (unsigned i = 0; i < n_links; i++)
				send_result(links[i], 1, 60000);
	if (strncmp(word, "bye ", 4) == 0)
		for (unsigned i = 0; i < n_links; i++)
			pm_link_goodbye(links[i], "told to", (uint32_t)strtoul(word + 4, NULL, 10));
	if (strcmp(word, "close") == 0) {
		(void)pm_fail(&why, PM_OK, "told to");
		for (unsigned i = 0; i < n_links; i++)
			pm_link_close(links[i], &why);
	}
	if (strcmp(word, "quit") == 0) {
		pm_hub_close(hub);
		pm_net_close(net);
		uv_close((uv_handle_t *)&input, NULL);
	}
}

int main(int argc, char **argv)
{
	struct pm_hub_config c = { .gate = { 0 } };
	struct end_options o = { .link = { .features = 1 } };
	struct sockaddr_in at;
	struct pm_key *key;
	struct pm_error err;
	uint16_t port;
	char text[PM_KEY_TEXT];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	raise_nofile();
	read_options(argc, argv, &o);
	if (uv_loop_init(&loop) < 0)
		return 2;
	if (pm_key_create(&key, &err) < 0 || pm_net_create(&loop, &net, &err) < 0)
		die(&err);
	c.link = o.link;
	c.link.key = key;
	at = end_address(&o);
	if (pm_hub_create(net, &loop, &c, &handlers, NULL, &hub, &err) < 0 ||
	    pm_hub_listen(hub, (const struct sockaddr *)&at, &port, &err) < 0)
		die(&err);
	pm_key_format(pm_key_public(key), text);
	(void)printf("port %u\nkey %s\n", port, text);
	listen_to_stdin(&loop, &input, on_word);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	pm_key_destroy(key);
	return uv_loop_close(&loop) == 0 ? 0 : 1;
}
