#include "agent/session_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_event(uv_poll_t *poll, int status, int events);

/* ---- life ---- */

struct session *session_ref(struct session *s)
{
	s->refs++;
	return s;
}

void session_unref(struct session *s)
{
	if (s != NULL && --s->refs == 0)
		free(s);
}

bool session_is_open(const struct session *s)
{
	return s->open && !s->doomed;
}

static void link_session(struct session *s)
{
	struct session_host *host = s->host;

	s->next = host->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	host->sessions = s;
	host->n_sessions++;
}

static void unlink_session(struct session *s)
{
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		s->host->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	s->prev = s->next = NULL;
	s->host->n_sessions--;
}

int session_create(struct session_host *host, int fd, uid_t uid, pid_t pid,
                   const struct session_guard *guard, struct session **out, struct pm_error *err)
{
	struct session *s = pm_calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	rc = uv_poll_init(host->loop, &s->poll, fd);
	if (rc < 0) {
		free(s);
		return pm_fail_errno(err, -rc, "watch a connection");
	}
	s->host = host;
	s->fd = fd;
	s->uid = uid;
	s->pid = pid;
	s->guard = guard;
	s->refs = 1; /* the handle's */
	s->open = true;
	s->poll.data = s;
	host->n_handles++;
	pm_session_init(&s->core, false);
	link_session(s);
	s->events = UV_READABLE;
	if (uv_poll_start(&s->poll, s->events, on_event) < 0)
		session_doom(s);
	*out = s;
	return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct session *s = handle->data;
	struct session_host *host = s->host;

	s->host = NULL;
	session_unref(s);
	host->n_handles--;
	host->handle_closed(host);
}

void session_close_now(struct session *s)
{
	if (!s->open)
		return;
	s->open = false;
	unlink_session(s);
	session_streams_finish(s);
	session_pages_finish(s);
	s->host->handlers->session_closed(s->host->arg, s);
	if (s->guard != NULL)
		s->guard->closed(s->guard->arg, s);
	pm_session_finish(&s->core);
	pm_record_finish(&s->reader);
	pm_buf_finish(&s->request);
	pm_buf_finish(&s->behind);
	pm_buf_finish(&s->out);
	uv_close((uv_handle_t *)&s->poll, on_handle_closed);
	pm_closep(&s->fd);
	s->fd = -1;
}

/* Whoever calls us may be in the middle of using the session, so that the loop closes it later. */
static void on_reap(uv_idle_t *idle)
{
	struct session_host *host = idle->data;
	struct session *s = host->sessions;

	uv_idle_stop(idle);
	while (s != NULL) {
		if (!s->doomed) {
			s = s->next;
			continue;
		}
		session_close_now(s);
		s = host->sessions; /* handlers may have closed others */
	}
}

void session_doom(struct session *s)
{
	if (!s->open || s->doomed)
		return;
	s->doomed = true;
	(void)uv_idle_start(&s->host->reaper, on_reap); /* fails only without a callback */
}

/* ---- sending ---- */

size_t session_queued(const struct session *s)
{
	return s->out.len - s->out_at;
}

static void watch(struct session *s, int events)
{
	if (s->events == events)
		return;
	s->events = events;
	if (uv_poll_start(&s->poll, events, on_event) < 0)
		session_doom(s);
}

void session_flush(struct session *s)
{
	while (session_queued(s) > 0 && session_is_open(s)) {
		ssize_t n = send(s->fd, s->out.bytes + s->out_at, session_queued(s),
		                 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN))
			break;
		if (n < 0) { /* gone: what it asked for is no use to anybody */
			session_doom(s);
			return;
		}
		s->out_at += (size_t)n;
	}
	if (session_queued(s) == 0) {
		s->out_at = 0;
		if (s->out.cap > PM_SEND_ROOM)
			pm_buf_finish(&s->out);
		else
			pm_buf_reset(&s->out);
		if (s->draining)
			session_doom(s);
	} else if (s->out_at > PM_SEND_ROOM) {
		pm_buf_drop(&s->out, s->out_at);
		s->out_at = 0;
	}
	if (session_is_open(s))
		watch(s, (s->held ? 0 : UV_READABLE) |
		                 (session_queued(s) > 0 || s->wants_room ? UV_WRITABLE : 0));
}

static void settle(struct session *s, uint64_t id)
{
	for (unsigned i = 0; i < s->n_waiting; i++) {
		if (s->waiting[i] != id)
			continue;
		s->waiting[i] = s->waiting[--s->n_waiting];
		return;
	}
}

bool session_send(struct session *s, const Pm__Envelope *env)
{
	struct pm_error err;

	if (s->guard != NULL && env->re != 0)
		s->guard->answer(s->guard->arg, s, env);
	if (!session_is_open(s) || s->draining)
		return true;
	if (pm_encode(env, &s->out, &err) < 0) {
		if (err.code == PM_LIMIT)
			return false;
		session_doom(s); /* out of memory: an answer is lost, so must be the session */
		return true;
	}
	if (pm_session_is_final(env))
		settle(s, env->re);
	if (!s->corked || session_queued(s) > PM_SEND_ROOM)
		session_flush(s);
	if (s->unlimited == 0 && session_queued(s) > PM_SEND_QUEUE_MAX)
		session_doom(s);
	return true;
}

void session_goodbye(struct session *s, const char *reason, uint32_t retry_after_ms)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Goodbye bye = PM__GOODBYE__INIT;
	char text[128];

	(void)snprintf(text, sizeof(text), "%s", reason); /* cut if longer */
	bye.reason = text;
	bye.retry_after_ms = retry_after_ms;
	env.body_case = PM__ENVELOPE__BODY_GOODBYE;
	env.goodbye = &bye;
	(void)session_send(s, &env); /* fits a record */
	s->draining = true;
	session_flush(s);
}

/* ---- receiving ---- */

static void handle_hello(struct session *s, const Pm__Envelope *env)
{
	Pm__Envelope out = PM__ENVELOPE__INIT;
	Pm__Welcome welcome = PM__WELCOME__INIT;
	char version[] = PM_VERSION;
	struct pm_error err;

	if (pm_session_agree(&s->core, env->hello, &err) < 0) {
		session_reply_error(s, env->id, &err);
		s->draining = true;
		return;
	}
	(void)snprintf(s->program, sizeof(s->program), "%s", env->hello->program);
	welcome.protocol = s->core.protocol;
	welcome.version = version;
	s->host->handlers->welcome(s->host->arg, s, &welcome);
	out.re = env->id;
	out.body_case = PM__ENVELOPE__BODY_WELCOME;
	out.welcome = &welcome;
	if (!session_send(s, &out))
		session_doom(s);
}

static enum session_permit ask_guard(struct session *s, const Pm__Envelope *env,
                                     struct pm_error *err)
{
	if (s->guard != NULL)
		return s->guard->permit(s->guard->arg, s, env, err);
	if (env->actor == NULL)
		return SESSION_PERMIT;
	/* Somebody means to be asking for another; here the kernel says who it is. */
	(void)pm_fail(err, PM_DENIED, "nobody speaks for others on this socket");
	return SESSION_REFUSE;
}

bool session_permits(struct session *s, const Pm__Envelope *env)
{
	struct pm_error err;

	switch (ask_guard(s, env, &err)) {
	case SESSION_PERMIT:
		return true;
	case SESSION_REFUSE:
		if (env->stream != 0)
			session_stream_refuse(s, env, &err);
		else
			session_reply_error(s, env->id, &err);
		break;
	case SESSION_ANSWERED:
		break;
	case SESSION_HOLD:
		s->held = true;
		break;
	}
	return false;
}

static void handle_permitted(struct session *s, const Pm__Envelope *env)
{
	const struct control_handlers *h = s->host->handlers;
	struct pm_error err;

	if (env->body_case == PM__ENVELOPE__BODY_SPEC_PUSH) {
		h->spec_push(s->host->arg, s, env->id, env->spec_push);
		return;
	}
	if (env->body_case != PM__ENVELOPE__BODY_COMMAND &&
	    env->body_case != PM__ENVELOPE__BODY_STATUS_REQUEST) {
		(void)pm_fail(&err, PM_UNSUPPORTED, "this agent is no coordinator");
		session_reply_error(s, env->id, &err);
		return;
	}
	if (env->id == 0 || s->n_waiting == PM_REQUESTS_MAX) {
		(void)(env->id == 0 ? pm_fail(&err, PM_PROTOCOL, "a request without a number")
		                    : pm_fail(&err, PM_LIMIT, "%d requests are being worked on",
		                              PM_REQUESTS_MAX));
		session_reply_error(s, env->id, &err);
		return;
	}
	s->waiting[s->n_waiting++] = env->id;
	if (env->body_case == PM__ENVELOPE__BODY_STATUS_REQUEST) {
		h->status(s->host->arg, s, env->id, env->status_request);
		return;
	}
	/* A peer that got no Welcome may rely on it that its command was not carried out. */
	session_flush(s);
	h->command(s->host->arg, s, env->id, env->command);
}

static void handle_event(struct session *s, const Pm__Envelope *env, const struct pm_event *ev)
{
	struct pm_error err;

	switch (ev->kind) {
	case PM_EVENT_HELLO:
		handle_hello(s, env);
		break;
	case PM_EVENT_REQUEST:
		if (session_permits(s, env))
			handle_permitted(s, env);
		break;
	case PM_EVENT_UNKNOWN:
		(void)pm_fail(&err, PM_UNSUPPORTED, "this agent (%s) does not know that request",
		              PM_VERSION);
		pm_hint(&err, "upgrade the agent: 'pmctl agent upgrade'");
		session_reply_error(s, env->id, &err);
		break;
	case PM_EVENT_STREAM_OPEN:
		if (ev->stream == NULL || session_permits(s, env))
			session_stream_opened(s, env, ev->stream);
		else
			pm_session_close_stream(&s->core, env->stream);
		break;
	case PM_EVENT_STREAM_CREDIT:
		session_streams_wake(s, env->stream);
		break;
	case PM_EVENT_STREAM_CLOSE:
		session_stream_ended(s, env->stream);
		break;
	case PM_EVENT_NOTICE:
		if (env->body_case == PM__ENVELOPE__BODY_GOODBYE)
			session_doom(s);
		else if (s->guard != NULL)
			s->guard->notice(s->guard->arg, s, env);
		break;
	case PM_EVENT_IGNORE:
	case PM_EVENT_WELCOME:
	case PM_EVENT_ENROL: /* these two never on this socket */
	case PM_EVENT_ENROLLED:
	case PM_EVENT_ANSWER:
	case PM_EVENT_STREAM_DATA: /* none of the streams so far takes any */
		break;
	}
}

/* Without memory for it the session is over: whoever holds it learns that. */
static void keep(struct session *s, struct pm_buf *b, const uint8_t *bytes, size_t len)
{
	pm_buf_add(b, bytes, len);
	if (b->failed)
		session_doom(s);
}

static int handle_record(struct session *s, const uint8_t *record, size_t n, struct pm_error *err)
{
	struct pm_arena *arena = &s->host->arena;
	struct pm_event ev;
	Pm__Envelope *env;
	int rc = pm_decode(arena, record, n, &env, err);

	if (rc == 0)
		rc = pm_session_receive(&s->core, env, &ev, err);
	if (rc == 0) {
		s->actor = env->actor;
		handle_event(s, env, &ev);
		s->actor = NULL;
	}
	if (rc == 0 && s->held) {
		keep(s, &s->request, record, n);
		s->request_id = env->id;
	}
	pm_arena_reset(arena);
	return rc;
}

static void handle_bytes(struct session *s, const uint8_t *bytes, size_t len)
{
	const uint8_t *record;
	struct pm_error err;
	size_t n;
	int rc = 1;

	s->corked = true;
	while (rc > 0 && session_is_open(s) && !s->draining && !s->held) {
		rc = pm_record_next(&s->reader, &bytes, &len, &record, &n, &err);
		if (rc > 0 && handle_record(s, record, n, &err) < 0)
			rc = -1;
	}
	s->corked = false;
	if (s->held && session_is_open(s))
		keep(s, &s->behind, bytes, len);
	if (!session_is_open(s))
		return;
	if (rc < 0) {
		session_reply_error(s, 0, &err);
		s->draining = true;
	}
	session_flush(s);
}

/* Then what was read behind it, which may hold the session once more. */
static void take_what_is_behind(struct session *s)
{
	PM_BUF behind = s->behind;

	s->behind = (struct pm_buf){ 0 };
	pm_buf_finish(&s->request);
	if (session_is_open(s))
		handle_bytes(s, (const uint8_t *)behind.bytes, behind.len);
}

int session_go_on(struct session *s, struct pm_error *err)
{
	struct pm_arena *arena = &s->host->arena;
	Pm__Envelope *env;

	if (pm_decode(arena, (const uint8_t *)s->request.bytes, s->request.len, &env, err) < 0) {
		pm_arena_reset(arena);
		session_doom(s);
		return -1;
	}
	(void)session_ref(s);
	s->held = false;
	s->actor = env->actor;
	handle_permitted(s, env);
	s->actor = NULL;
	pm_arena_reset(arena);
	take_what_is_behind(s);
	session_unref(s);
	return 0;
}

void session_go_back(struct session *s, const struct pm_error *why)
{
	(void)session_ref(s);
	s->held = false;
	session_reply_error(s, s->request_id, why);
	take_what_is_behind(s);
	session_unref(s);
}

/* false: the session is over. */
static bool on_readable(struct session *s)
{
	ssize_t n = recv(s->fd, s->host->read_buf, SESSION_READ_MAX, MSG_DONTWAIT);

	if (n > 0 && s->draining)
		return true; /* whatever it says now is too late */
	if (n > 0)
		handle_bytes(s, s->host->read_buf, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_writable(struct session *s)
{
	session_flush(s);
	if (!s->wants_room || session_queued(s) >= PM_SEND_ROOM / 2)
		return;
	s->wants_room = false;
	session_pages_go_on(s);
	session_streams_wake(s, 0);
	session_flush(s);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct session *s = poll->data;

	session_ref(s);
	if (status < 0 || ((events & UV_READABLE) != 0 && !on_readable(s)))
		session_close_now(s);
	if ((events & UV_WRITABLE) != 0 && session_is_open(s))
		on_writable(s);
	if (s->doomed)
		session_close_now(s);
	session_unref(s);
}

/* ---- facts ---- */

uid_t session_uid(const struct session *s)
{
	return s->uid;
}

pid_t session_pid(const struct session *s)
{
	return s->pid;
}

const char *session_program(const struct session *s)
{
	return s->program;
}

bool session_is_pm2(const struct session *s)
{
	return strcmp(s->program, "pm2") == 0 && s->guard == NULL;
}

bool session_is_remote(const struct session *s)
{
	return s->guard != NULL;
}

const char *session_who(const struct session *s)
{
	return s->actor != NULL ? s->actor->operator_ : s->program;
}

void session_set_user(struct session *s, void *user)
{
	s->user = user;
}

void *session_user(const struct session *s)
{
	return s->user;
}
