#include "proto/enrol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "proto/facts.h"
#include "proto/keyfile.h"
#include "proto/limits.h"
#include "proto/paths.h"
#include "proto/uplink.h"

#define TIMEOUT_MS 30000

struct enrolment {
	const struct pm_enrol_request *req;
	struct pm_enrolled *out;
	struct pm_facts facts;
	Pm__HostFacts message;
	uv_loop_t loop;
	uv_timer_t deadline;
	bool done;
	unsigned n_failed; /* addresses that did not do */
	struct pm_error why;
};

static void stop(struct enrolment *e)
{
	uv_stop(&e->loop);
}

static void take(char out[PM_MEMBER_TEXT_MAX + 1], const char *text)
{
	(void)snprintf(out, PM_MEMBER_TEXT_MAX + 1, "%.*s", PM_MEMBER_TEXT_MAX, text);
}

/* ---- the session ---- */

static void on_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	struct enrolment *e = arg;
	const struct pm_token *token = e->req->token;

	(void)l;
	enrol->token_id =
		(ProtobufCBinaryData){ PM_TOKEN_ID_BYTES, (uint8_t *)(uintptr_t)token->id };
	enrol->secret = (ProtobufCBinaryData){ PM_TOKEN_SECRET_BYTES, token->secret };
	enrol->name = (char *)(uintptr_t)e->req->name;
	enrol->facts = &e->message;
}

static void on_enrolled(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled)
{
	struct enrolment *e = arg;

	(void)l;
	take(e->out->id, enrolled->id);
	take(e->out->name, enrolled->name);
	take(e->out->cluster, enrolled->cluster_id);
}

static void on_greet(void *arg, struct pm_link *l, Pm__Hello *hello)
{
	struct enrolment *e = arg;
	static Pm__AgentHello agent; /* one enrolment at a time */

	(void)l;
	if (e->req->role != PM_ROLE_AGENT)
		return;
	pm__agent_hello__init(&agent);
	agent.boot_id = (ProtobufCBinaryData){ sizeof(e->facts.boot_id), e->facts.boot_id };
	agent.facts = &e->message;
	hello->agent = &agent;
}

/* The session is there, so the key is known. */
static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	struct enrolment *e = arg;

	if (e->out->id[0] == '\0' && welcome->fleet != NULL) {
		take(e->out->id, welcome->fleet->agent_id);
		take(e->out->cluster, welcome->fleet->cluster_id);
	}
	e->done = true;
	pm_link_goodbye(l, "enrolled", 0);
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	(void)arg; /* whatever it asks: this session is over */
	(void)l;
	(void)env;
	(void)kind;
}

static void on_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	(void)arg;
	(void)st;
	(void)data;
}

static void on_stream_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	(void)arg;
	(void)st;
	(void)why;
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	struct enrolment *e = arg;

	(void)l;
	(void)why;
	(void)retry_after_ms;
	if (e->done)
		stop(e);
}

/* An address did not do.  What was said in words is the coordinator's last word. */
static void on_trouble(void *arg, const struct pm_error *why, uint64_t wait_ms)
{
	struct enrolment *e = arg;

	(void)wait_ms;
	if (e->done) {
		stop(e);
		return;
	}
	e->n_failed++;
	if (e->why.code != PM_DENIED)
		e->why = *why;
	if (why->code == PM_DENIED || e->n_failed >= e->req->token->n_addresses)
		stop(e);
}

static void on_deadline(uv_timer_t *timer)
{
	struct enrolment *e = timer->data;

	if (e->why.code == PM_OK)
		(void)pm_fail(&e->why, PM_DEADLINE, "no answer from the coordinator in time");
	stop(e);
}

/* ---- the loop ---- */

static int run(struct enrolment *e, bool enrol, struct pm_error *err)
{
	static const struct pm_link_handlers handlers = {
		.ask = on_ask,
		.enrolled = on_enrolled,
		.greet = on_greet,
		.up = on_up,
		.message = on_message,
		.stream_data = on_stream_data,
		.stream_closed = on_stream_closed,
		.closed = on_closed,
	};
	const struct pm_token *token = e->req->token;
	struct pm_uplink_config config = {
		.link = { .key = e->req->key,
		          .role = e->req->role,
		          .program = e->req->role == PM_ROLE_AGENT ? "agent" : "pmctl" },
		.n_addresses = token->n_addresses,
		.enrol = enrol,
		.trouble = on_trouble,
	};
	struct pm_uplink *uplink = NULL;
	struct pm_net *net = NULL;
	int rc;

	memcpy(config.addresses, token->addresses, sizeof(config.addresses));
	memcpy(config.coordinator, token->coordinator, sizeof(config.coordinator));
	e->n_failed = 0;
	e->done = false;
	(void)pm_fail(&e->why, PM_OK, "%s", "");
	rc = pm_net_create(&e->loop, &net, err);
	if (rc == 0)
		rc = pm_uplink_create(net, &e->loop, &config, &handlers, e, &uplink, err);
	if (rc == 0) {
		pm_uplink_start(uplink);
		(void)uv_run(&e->loop, UV_RUN_DEFAULT);
	}
	pm_uplink_close(uplink);
	pm_net_close(net);
	if (rc < 0 || e->done)
		return rc;
	*err = e->why;
	return -1;
}

static int run_twice(struct enrolment *e, struct pm_error *err)
{
	if (run(e, true, err) == 0)
		return 0;
	/* A key that is known already may not enrol again, and need not. */
	if (!e->req->maybe_known || err->code == PM_UNREACHABLE || err->code == PM_DEADLINE)
		return -1;
	return run(e, false, &e->why);
}

int pm_enrol(const struct pm_enrol_request *req, struct pm_enrolled *out, struct pm_error *err)
{
	struct pm_enrolled enrolled = { .id = "" };
	struct enrolment e = { .req = req, .out = &enrolled };
	int rc = uv_loop_init(&e.loop);

	if (rc < 0)
		return pm_fail_errno(err, -rc, "enrol");
	pm_facts_gather(&e.facts);
	pm_facts_message(&e.facts, &e.message);
	e.deadline.data = &e;
	(void)uv_timer_init(&e.loop, &e.deadline); /* cannot fail, as the start */
	(void)uv_timer_start(&e.deadline, on_deadline,
	                     req->timeout_ms != 0 ? req->timeout_ms : TIMEOUT_MS, 0);
	rc = run_twice(&e, err);
	uv_close((uv_handle_t *)&e.deadline, NULL);
	(void)uv_run(&e.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&e.loop); /* everything in it is closed */
	if (rc == 0 && enrolled.id[0] == '\0')
		return pm_fail(err, PM_PROTOCOL, "the coordinator did not say who we are");
	if (rc == 0)
		*out = enrolled;
	return rc;
}

/* ---- joining ---- */

int pm_token_read(const char *path, struct pm_buf *out, struct pm_error *err)
{
	PM_CLOSE int opened = -1;
	int fd = STDIN_FILENO;
	char text[PM_TOKEN_TEXT_MAX];
	ssize_t n = 1;

	if (strcmp(path, "-") != 0) {
		opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (opened < 0)
			return pm_fail_errno(err, errno, "token %.200s", path);
		fd = opened;
	}
	while (n > 0 && out->len <= PM_TOKEN_TEXT_MAX) {
		n = read(fd, text, sizeof(text));
		if (n > 0)
			pm_buf_add(out, text, (size_t)n);
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	explicit_bzero(text, sizeof(text));
	if (n < 0)
		return pm_fail_errno(err, errno, "read the token");
	if (out->failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	while (out->len > 0 && strchr(" \t\r\n", out->bytes[out->len - 1]) != NULL)
		out->bytes[--out->len] = '\0';
	if (out->len == 0 || out->len > PM_TOKEN_TEXT_MAX)
		return pm_fail(err, PM_CONFIG, "%.200s holds no token", path);
	return 0;
}

static int check_token(const struct pm_token *token, struct pm_error *err)
{
	if (token->kind != PM_TOKEN_JOIN) {
		(void)pm_fail(err, PM_CONFIG, "this token is for an operator");
		pm_hint(err, "'pmctl login' takes it; 'pmctl token create' makes one to join");
		return -1;
	}
	if (token->n_addresses == 0)
		return pm_fail(err, PM_CONFIG, "this token does not say where the coordinator is");
	return 0;
}

static void add_hint(struct pm_error *err)
{
	if (err->code == PM_DENIED)
		pm_hint(err, "ask for a new token: 'pmctl token create'");
	else if (err->code == PM_UNREACHABLE || err->code == PM_DEADLINE)
		pm_hint(err, "does the coordinator run, and is its port open from here?");
}

static int enrol_agent(const struct pm_token *token, const struct pm_key *key, bool made,
                       const char *name, uint32_t timeout_ms, struct pm_membership *m,
                       struct pm_error *err)
{
	const struct pm_enrol_request req = {
		.token = token,
		.key = key,
		.role = PM_ROLE_AGENT,
		.name = name,
		.maybe_known = !made,
		.timeout_ms = timeout_ms,
	};
	struct pm_enrolled enrolled;

	if (pm_enrol(&req, &enrolled, err) < 0) {
		add_hint(err);
		return -1;
	}
	take(m->id, enrolled.id);
	take(m->name, enrolled.name);
	take(m->cluster, enrolled.cluster);
	memcpy(m->coordinator, token->coordinator, PM_KEY_BYTES);
	memcpy(m->addresses, token->addresses, sizeof(m->addresses));
	m->n_addresses = token->n_addresses;
	m->joined_wall_ms = pm_wall_ms();
	return 0;
}

static int join_with(const char *home, const struct pm_token *token, const char *name,
                     uint32_t timeout_ms, struct pm_membership *out, struct pm_error *err)
{
	PM_CLEANUP(pm_key_destroyp) struct pm_key *key = NULL;
	struct pm_membership m = { .n_addresses = 0 };
	char path[PM_PATH_MAX];
	PM_CLOSE int fd = -1;
	bool made;

	if (check_token(token, err) < 0 || pm_home_open(home, &fd, err) < 0)
		return -1;
	if (pm_membership_load(home, &m, err) == 0) {
		(void)pm_fail(err, PM_EXISTS, "this machine is in a fleet already, as %.100s",
		              m.name);
		pm_hint(err, "'pmctl leave' first");
		return -1;
	}
	if (err->code != PM_NOT_FOUND ||
	    pm_home_file(home, PM_HOME_AGENT_KEY, path, sizeof(path), err) < 0 ||
	    pm_keyfile_load_or_create(path, &key, &made, err) < 0 ||
	    enrol_agent(token, key, made, name, timeout_ms, &m, err) < 0 ||
	    pm_membership_save(home, &m, err) < 0)
		return -1;
	*out = m;
	return 0;
}

int pm_join(const char *home, const char *text, const char *name, uint32_t timeout_ms,
            struct pm_membership *out, struct pm_error *err)
{
	struct pm_token token = { .secret = NULL };
	int rc = pm_token_parse(text, &token, err);

	if (rc == 0)
		rc = join_with(home, &token, name, timeout_ms, out, err);
	pm_token_finish(&token);
	return rc < 0 ? pm_wrap(err, "join") : 0;
}
