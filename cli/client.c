#include "cli/client_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define CONNECT_DEFAULT_MS 30000
#define STATUS_DEFAULT_MS  10000
#define COMMAND_GRACE_MS   2000 /* the agent's own deadline comes first and says more */

/* ---- life ---- */

void client_destroy(struct client *c)
{
	if (c == NULL)
		return;
	client_drop(c);
	if (c->route != NULL)
		c->route->destroy(c->route_arg);
	pm_buf_finish(&c->out);
	pm_arena_finish(&c->arena);
	pm_arena_finish(&c->welcome_arena);
	free(c->in);
	free(c);
}

void client_destroyp(struct client **c)
{
	client_destroy(*c);
}

bool client_is_connected(const struct client *c)
{
	return c->fd >= 0 || c->route != NULL;
}

int client_on_route(const struct client_route *route, void *arg, const Pm__Welcome *welcome,
                    struct client **out, struct pm_error *err)
{
	struct client *c = pm_calloc(1, sizeof(*c));

	if (c == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	c->fd = -1;
	c->route = route;
	c->route_arg = arg;
	c->welcome = welcome;
	pm_session_init(&c->core, true);
	*out = c;
	return 0;
}

/* A connection, by starting an agent if that is wanted. */
static int reach(struct client *c, uint64_t deadline, struct pm_error *err)
{
	int fd;

	if (client_dial(c->home, deadline, &fd, err) < 0) {
		if (err->code != PM_NOT_RUNNING || !c->options.start_agent)
			return -1;
		if (client_start_agent(c->home, c->options.as_pm2, deadline, &fd, err) < 0)
			return -1;
		c->started = true;
	}
	return client_begin(c, fd, err);
}

int client_connect(const char *home, const struct client_options *options, struct client **out,
                   struct pm_error *err)
{
	struct client *c = pm_calloc(1, sizeof(*c));
	uint32_t timeout_ms = options->timeout_ms;

	if (c == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	c->fd = -1;
	c->options = *options;
	c->in = pm_calloc(1, CLIENT_READ_MAX);
	if (c->in == NULL) {
		client_destroy(c);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	(void)snprintf(c->home, sizeof(c->home), "%s",
	               home); /* pm_home_resolve() keeps to the size */
	if (reach(c, client_deadline(timeout_ms != 0 ? timeout_ms : CONNECT_DEFAULT_MS), err) < 0) {
		client_destroy(c);
		return -1;
	}
	*out = c;
	return 0;
}

bool client_started_agent(const struct client *c)
{
	return c->started;
}

int client_reconnect(struct client *c, uint32_t timeout_ms, struct pm_error *err)
{
	uint64_t deadline = client_deadline(timeout_ms != 0 ? timeout_ms : CONNECT_DEFAULT_MS);
	const Pm__Welcome *welcome;
	unsigned pause = 1;
	int fd;

	if (c->route != NULL)
		return pm_fail(err, PM_UNREACHABLE, "the connection with the agent ended");
	/* First use has passed: who stopped the agent does not want a viewer to start it again.
	 * Until its keeper has gone there is a socket to reach, but nobody who says Welcome. */
	c->options.start_agent = false;
	for (;;) {
		client_drop(c);
		c->redials = 0;
		if (client_dial(c->home, deadline, &fd, err) == 0) {
			int left = client_left_ms(deadline);

			if (client_begin(c, fd, err) < 0)
				return -1;
			/* Somebody listens; whether somebody is there, Welcome says. */
			if (client_welcome_within(c, left > 0 ? (uint32_t)left : 1, &welcome,
			                          err) == 0)
				return 0;
		}
		if ((err->code != PM_NOT_RUNNING && err->code != PM_UNREACHABLE) ||
		    client_left_ms(deadline) == 0)
			return -1;
		client_pause(pause);
		pause = PM_MIN(pause * 2, 50u);
	}
}

/* ---- requests ---- */

/* Nothing else may be asked while a stream's data comes in between. */
static int check_free(const struct client *c, struct pm_error *err)
{
	if (!client_is_connected(c))
		return pm_fail(err, PM_UNREACHABLE, "not connected to the agent");
	if (c->stream != NULL)
		return pm_fail(err, PM_INTERNAL, "a stream is open on this connection");
	return 0;
}

int client_welcome_within(struct client *c, uint32_t timeout_ms, const Pm__Welcome **out,
                          struct pm_error *err)
{
	uint64_t deadline = client_deadline(timeout_ms);
	Pm__Envelope *env;

	if (c->welcome == NULL && client_flush(c, deadline, err) < 0)
		return -1;
	while (c->welcome == NULL) {
		pm_arena_reset(&c->arena);
		if (client_receive(c, &c->arena, -1, deadline, &env, err) < 0)
			return -1;
	}
	*out = c->welcome;
	return 0;
}

int client_welcome(struct client *c, const Pm__Welcome **out, struct pm_error *err)
{
	return client_welcome_within(c, STATUS_DEFAULT_MS, out, err);
}

int client_push_spec(struct client *c, const Pm__AppSpec *spec, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__SpecPush push = PM__SPEC_PUSH__INIT;
	Pm__AppSpec copy = *spec;

	if (check_free(c, err) < 0)
		return -1;
	push.spec = &copy;
	env.id = pm_session_next_id(&c->core);
	env.body_case = PM__ENVELOPE__BODY_SPEC_PUSH;
	env.spec_push = &push;
	if (client_queue(c, &env, err) < 0)
		return pm_wrap(err, "app %.64s", spec->name);
	if (c->first_push == 0)
		c->first_push = env.id;
	return 0;
}

struct held_result {
	struct client_result result; /* first member: what the caller sees */
	struct pm_arena arena;
};

void client_result_destroy(struct client_result *r)
{
	struct held_result *held = (struct held_result *)r;

	if (r == NULL)
		return;
	free(r->outcomes);
	free(r->versions);
	pm_arena_finish(&held->arena);
	free(held);
}

void client_result_destroyp(struct client_result **r)
{
	client_result_destroy(*r);
}

/* Append n pointers to an array that grows. */
static int append(void *array, size_t *n, void *const *more, size_t n_more, struct pm_error *err)
{
	void **grown, **old;

	if (n_more == 0)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = pm_realloc(old, (*n + n_more) * sizeof(*grown));
	if (grown == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	memcpy(grown + *n, more, n_more * sizeof(*grown));
	memcpy(array, &grown, sizeof(grown));
	*n += n_more;
	return 0;
}

/* One more envelope for a command.  1: it was the last; 0: more follow. */
static int take_answer(struct client *c, const Pm__Envelope *env, uint64_t id,
                       client_progress_fn *progress, void *arg, struct client_result *r,
                       struct pm_error *err)
{
	if (env->body_case == PM__ENVELOPE__BODY_ERROR && env->re >= c->first_push &&
	    c->first_push != 0 && env->re < id) {
		if (c->push_error.code == PM_OK)
			(void)client_fail_remote(&c->push_error, env->error);
		return 0;
	}
	if (env->re != id)
		return 0; /* of a request that was given up before */
	if (env->body_case == PM__ENVELOPE__BODY_ERROR) {
		if (c->push_error.code == PM_OK)
			return client_fail_remote(err, env->error);
		*err = c->push_error; /* why the command was refused */
		return -1;
	}
	if (env->body_case == PM__ENVELOPE__BODY_PROGRESS && progress != NULL &&
	    env->progress->outcome != NULL)
		progress(arg, env->progress->outcome);
	if (env->body_case != PM__ENVELOPE__BODY_RESULT)
		return 0;
	if (append(&r->outcomes, &r->n_outcomes, (void *const *)env->result->outcomes,
	           env->result->n_outcomes, err) < 0 ||
	    append(&r->versions, &r->n_versions, (void *const *)env->result->versions,
	           env->result->n_versions, err) < 0)
		return -1;
	r->code = pm_code_from_wire(env->result->code);
	r->text = env->result->text;
	r->hint = env->result->hint;
	return env->result->more ? 0 : 1;
}

static int gather(struct client *c, uint64_t id, client_progress_fn *progress, void *arg,
                  struct held_result *held, uint64_t deadline, struct pm_error *err)
{
	Pm__Envelope *env;
	int rc = 0;

	while (rc == 0) {
		if (client_receive(c, &held->arena, -1, deadline, &env, err) < 0)
			return -1;
		rc = take_answer(c, env, id, progress, arg, &held->result, err);
	}
	return rc < 0 ? -1 : 0;
}

/* Whether nothing of it would be lost by not having been done. */
static bool only_asks(const Pm__Command *cmd)
{
	return cmd->dry_run || cmd->verb == PM__VERB__VERB_PING ||
	       cmd->verb == PM__VERB__VERB_AGENT_STATUS || cmd->verb == PM__VERB__VERB_HISTORY;
}

static int fail_unconfirmed(struct client *c, const Pm__Command *cmd, struct pm_error *err)
{
	bool may_be_done =
		err->code == PM_DEADLINE || (err->code == PM_UNREACHABLE && c->core.greeted);

	if (!may_be_done || only_asks(cmd))
		return -1;
	err->code = PM_UNKNOWN;
	pm_hint(err, "it may have been done: look with 'pmctl list'");
	return pm_wrap(err, "sent but not confirmed");
}

static int queue_command(struct client *c, const Pm__Command *cmd, uint64_t *id,
                         struct pm_error *err)
{
	uint8_t op_id[PM_OP_ID_BYTES];
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command copy = *cmd;

	if (copy.op_id.len == 0) {
		if (getrandom(op_id, sizeof(op_id), 0) != (ssize_t)sizeof(op_id))
			return pm_fail_errno(err, errno, "random bytes");
		copy.op_id.data = op_id;
		copy.op_id.len = sizeof(op_id);
	}
	*id = env.id = pm_session_next_id(&c->core);
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &copy;
	return client_queue(c, &env, err);
}

int client_command(struct client *c, const Pm__Command *cmd, client_progress_fn *progress,
                   void *arg, struct client_result **out, struct pm_error *err)
{
	uint64_t deadline =
		client_deadline(cmd->timeout_ms == 0 ? 0 : cmd->timeout_ms + COMMAND_GRACE_MS);
	struct held_result *held = pm_calloc(1, sizeof(*held));
	uint64_t id = 0;
	int rc;

	if (held == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	held->result.text = held->result.hint = "";
	c->push_error.code = PM_OK;
	rc = check_free(c, err);
	if (rc == 0)
		rc = queue_command(c, cmd, &id, err);
	if (rc == 0) {
		rc = client_flush(c, deadline, err);
		if (rc == 0)
			rc = gather(c, id, progress, arg, held, deadline, err);
		c->first_push = 0;
		if (rc < 0)
			rc = fail_unconfirmed(c, cmd, err);
	}
	if (rc < 0) {
		client_result_destroy(&held->result);
		return -1;
	}
	*out = &held->result;
	return 0;
}

/* ---- status ---- */

struct held_status {
	struct client_status status; /* first member: what the caller sees */
	struct pm_arena arena;
};

void client_status_destroy(struct client_status *s)
{
	struct held_status *held = (struct held_status *)s;

	if (s == NULL)
		return;
	free(s->instances);
	pm_arena_finish(&held->arena);
	free(held);
}

void client_status_destroyp(struct client_status **s)
{
	client_status_destroy(*s);
}

/* What an answer is for: all of it in *out, or page by page for fn. */
struct status_want {
	struct client_status **out;
	client_page_fn *fn; /* NULL: all of it */
	void *arg;
};

static int take_page(struct held_status *held, const Pm__StatusList *list,
                     const struct status_want *want, bool first, struct pm_error *err)
{
	struct client_status *s = &held->status;

	if (want->fn != NULL)
		return want->fn(want->arg, first, list->instances, list->n_instances, err);
	if (list->agent != NULL)
		s->agent = list->agent;
	return append(&s->instances, &s->n_instances, (void *const *)list->instances,
	              list->n_instances, err);
}

static int gather_status(struct client *c, uint64_t id, struct held_status *held,
                         const struct status_want *want, uint64_t deadline, struct pm_error *err)
{
	bool first = true, more;
	Pm__Envelope *env;

	for (;;) {
		if (client_receive(c, &held->arena, -1, deadline, &env, err) < 0)
			return -1;
		if (env->re != id)
			continue;
		if (env->body_case == PM__ENVELOPE__BODY_ERROR)
			return client_fail_remote(err, env->error);
		if (env->body_case != PM__ENVELOPE__BODY_STATUS_LIST)
			continue;
		if (take_page(held, env->status_list, want, first, err) < 0)
			return -1;
		first = false;
		more = env->status_list->more;
		if (want->fn != NULL)
			pm_arena_reset(&held->arena);
		if (!more)
			return 0;
	}
}

/* Ask once over the connection as it is. */
static int ask_status(struct client *c, Pm__Envelope *env, uint64_t deadline,
                      const struct status_want *want, struct pm_error *err)
{
	struct held_status *held;
	int rc;

	if (check_free(c, err) < 0)
		return -1;
	env->id = pm_session_next_id(&c->core);
	if (client_queue(c, env, err) < 0 || client_flush(c, deadline, err) < 0)
		return -1;
	held = pm_calloc(1, sizeof(*held));
	if (held == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	rc = gather_status(c, env->id, held, want, deadline, err);
	if (rc < 0 || want->fn != NULL)
		client_status_destroy(&held->status);
	else
		*want->out = &held->status;
	return rc;
}

static int status(struct client *c, Pm__Envelope *env, uint32_t timeout_ms,
                  const struct status_want *want, struct pm_error *err)
{
	uint64_t deadline = client_deadline(timeout_ms != 0 ? timeout_ms : STATUS_DEFAULT_MS);
	int left;

	if (ask_status(c, env, deadline, want, err) == 0)
		return 0;
	left = client_left_ms(deadline);
	if (err->code != PM_UNREACHABLE || c->stream != NULL || c->route != NULL || left == 0)
		return -1;
	/* Asking twice does no harm, and a supervisor that was replaced is back at once. */
	if (client_reconnect(c, (uint32_t)left, err) < 0)
		return -1;
	return ask_status(c, env, deadline, want, err);
}

static int status_of(struct client *c, const Pm__StatusRequest *req, uint32_t timeout_ms,
                     const struct status_want *want, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest list = PM__STATUS_REQUEST__INIT;

	list.detail = PM__DETAIL__DETAIL_LIST;
	if (req != NULL)
		list = *req;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &list;
	return status(c, &env, timeout_ms, want, err);
}

int client_status(struct client *c, const Pm__StatusRequest *req, uint32_t timeout_ms,
                  struct client_status **out, struct pm_error *err)
{
	const struct status_want want = { .out = out };

	return status_of(c, req, timeout_ms, &want, err);
}

int client_status_pages(struct client *c, const Pm__StatusRequest *req, uint32_t timeout_ms,
                        client_page_fn *fn, void *arg, struct pm_error *err)
{
	const struct status_want want = { .fn = fn, .arg = arg };

	return status_of(c, req, timeout_ms, &want, err);
}

static int status_by(struct client *c, Pm__Verb verb, const char *word, uint32_t timeout_ms,
                     struct client_status **out, struct pm_error *err)
{
	const struct status_want want = { .out = out };
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command cmd = PM__COMMAND__INIT;

	cmd.verb = verb;
	cmd.text = (char *)(uintptr_t)word; /* packing does not write */
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &cmd;
	return status(c, &env, timeout_ms, &want, err);
}

int client_agent_status(struct client *c, uint32_t timeout_ms, struct client_status **out,
                        struct pm_error *err)
{
	return status_by(c, PM__VERB__VERB_AGENT_STATUS, "", timeout_ms, out, err);
}

int client_uplink(struct client *c, const char *word, uint32_t timeout_ms,
                  struct client_status **out, struct pm_error *err)
{
	return status_by(c, PM__VERB__VERB_FLEET, word, timeout_ms, out, err);
}
