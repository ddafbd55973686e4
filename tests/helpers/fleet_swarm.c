/*
 * fleet_swarm.c - agents without apps, many in one process: the dialling end of tests and figures.
 *
 * fleet_swarm --port N --key K [--n N] [--heartbeat-ms N] ...
 * says "up N MS" as sessions come up (only the last one of many, when n > 1), "closed CODE WHY",
 * "trouble CODE WHY", "asked" and "answer".  Requests are answered.  On stdin:
 *
 *   ask      one request of the first session
 *   stats    "stats {JSON}"
 *   quit
 */
#include "tests/helpers/fleet_end.h"

#include "proto/uplink.h"

static uv_loop_t loop;
static uv_poll_t input;
static struct pm_net *net;
static struct pm_uplink **uplinks;
static struct pm_key **keys;
static unsigned n_uplinks, n_up;
static uint64_t started_ns, n_asked;

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)welcome;
	pm_link_set_user(l, &n_up); /* this one counts */
	if (++n_up == n_uplinks)
		(void)printf("up %u %.1f\n", n_up, (double)(uv_hrtime() - started_ns) / 1e6);
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	Pm__Envelope out = PM__ENVELOPE__INIT;
	Pm__Result result = PM__RESULT__INIT;

	(void)arg;
	if (kind == PM_EVENT_ANSWER && n_uplinks == 1)
		(void)printf("answer\n");
	if (kind != PM_EVENT_REQUEST)
		return;
	n_asked++;
	if (n_uplinks == 1)
		(void)printf("asked\n");
	out.re = env->id;
	out.body_case = PM__ENVELOPE__BODY_RESULT;
	out.result = &result;
	(void)pm_link_send(l, &out); /* fits a record */
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	(void)arg;
	(void)retry_after_ms;
	if (pm_link_user(l) != NULL)
		n_up--;
	(void)printf("closed %s %s\n", pm_code_name(why->code), why->what);
}

static void on_trouble(void *arg, const struct pm_error *why, uint64_t wait_ms)
{
	(void)arg;
	(void)wait_ms;
	(void)printf("trouble %s %s\n", pm_code_name(why->code), why->what);
}

static const struct pm_link_handlers handlers = {
	.up = on_up,
	.message = on_message,
	.closed = on_closed,
};

static void start(const struct end_options *o)
{
	struct pm_uplink_config c = { .n_addresses = 1, .dial_ms = o->dial_ms };
	struct pm_error err;

	c.trouble = on_trouble;
	c.addresses[0].port = o->port;
	(void)snprintf(c.addresses[0].host, sizeof(c.addresses[0].host), "%s", o->host);
	if (pm_key_parse(o->key, c.coordinator, &err) < 0)
		die(&err);
	c.link = o->link;
	c.link.role = PM_ROLE_AGENT;
	c.link.program = "agent";
	started_ns = uv_hrtime();
	for (n_uplinks = 0; n_uplinks < o->n; n_uplinks++) {
		if (pm_key_create(&keys[n_uplinks], &err) < 0)
			die(&err);
		c.link.key = keys[n_uplinks];
		if (pm_uplink_create(net, &loop, &c, &handlers, NULL, &uplinks[n_uplinks], &err) <
		    0)
			die(&err);
		pm_uplink_start(uplinks[n_uplinks]);
	}
}

static void ask(void)
{
	struct pm_link *l = pm_uplink_link(uplinks[0]);
	Pm__Envelope env = PM__ENVELOPE__INIT;

	if (l == NULL)
		return;
	env.id = pm_link_next_id(l);
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &(Pm__StatusRequest)PM__STATUS_REQUEST__INIT;
	(void)pm_link_send(l, &env);
}

static void on_word(const char *word)
{
	if (strcmp(word, "ask") == 0)
		ask();
	if (strcmp(word, "stats") == 0)
		(void)printf(
			"stats {\"up\": %u, \"asked\": %llu, \"rss_kib\": %ld, \"cpu_ms\": %.1f}\n",
			n_up, (unsigned long long)n_asked, rss_kib(), cpu_ms());
	if (strcmp(word, "quit") == 0) {
		for (unsigned i = 0; i < n_uplinks; i++)
			pm_uplink_close(uplinks[i]);
		pm_net_close(net);
		uv_close((uv_handle_t *)&input, NULL);
	}
}

int main(int argc, char **argv)
{
	struct end_options o = { .link = { .features = 1 } };
	struct pm_error err;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	raise_nofile();
	read_options(argc, argv, &o);
	uplinks = calloc(o.n, sizeof(struct pm_uplink *));
	keys = calloc(o.n, sizeof(struct pm_key *));
	if (uplinks == NULL || keys == NULL || o.key == NULL || uv_loop_init(&loop) < 0)
		return 2;
	if (pm_net_create(&loop, &net, &err) < 0)
		die(&err);
	start(&o);
	listen_to_stdin(&loop, &input, on_word);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < n_uplinks; i++)
		pm_key_destroy(keys[i]);
	free(keys);
	free(uplinks);
	return uv_loop_close(&loop) == 0 ? 0 : 1;
}
