#include "agent/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/session_priv.h"
#include "proto/paths.h"

#define LISTEN_BACKLOG  512
#define ACCEPT_TURN_MAX 32  /* connections taken in one turn of the loop */
#define ACCEPT_PAUSE_MS 100 /* when there is not even a descriptor to refuse with */

struct control {
	struct session_host host; /* first member: sessions know only it */
	uv_poll_t listener;
	uv_timer_t pause;
	int listen_fd;  /* owned */
	int reserve_fd; /* owned; given up to refuse somebody when descriptors have run out
	                 */
	bool closing;
};

/* ---- the socket file ---- */

/* What a name in the home is replaced by must be a socket: somebody's file is not ours to remove.
 */
static int remove_stale(const char *path, struct pm_error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : pm_fail_errno(err, errno, "look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return pm_fail(err, PM_EXISTS, "%s is not a socket", path);
	return 0;
}

int control_listen(const char *home, struct pm_error *err)
{
	static const char fresh[] = PM_HOME_SOCKET ".new";
	PM_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	PM_CLOSE int fresh_via = -1;
	PM_CLOSE int via = -1;
	struct sockaddr_un from, to;
	socklen_t from_len, to_len;

	if (fd < 0)
		return pm_fail_errno(err, errno, "make the control socket");
	if (pm_home_address(home, fresh, &from, &from_len, &fresh_via, err) < 0 ||
	    pm_home_address(home, PM_HOME_SOCKET, &to, &to_len, &via, err) < 0 ||
	    remove_stale(to.sun_path, err) < 0)
		return -1;
	(void)unlink(from.sun_path); /* of a start that was cut short; bind() says if it stays */
	/* The mode of a socket's file is the socket's own less the umask: see unix(7), bind. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&from, from_len) < 0)
		return pm_fail_errno(err, errno, "bind %s", from.sun_path);
	/* Renamed once it listens, so that the name never stands for a socket that refuses. */
	if (listen(fd, LISTEN_BACKLOG) < 0 || rename(from.sun_path, to.sun_path) < 0) {
		int saved = errno;

		(void)unlink(from.sun_path);
		return pm_fail_errno(err, saved, "listen on %s", to.sun_path);
	}
	return PM_STEAL_FD(fd);
}

/* ---- accepting ---- */

/* Say why in one record and close: whoever is refused here gets no session. */
static void refuse(int fd, const struct pm_error *why)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Error error = PM__ERROR__INIT;
	struct pm_error copy = *why, err;
	PM_BUF out = { 0 };

	error.code = why->code;
	error.what = copy.what;
	error.hint = copy.hint;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	/* Best effort: an empty socket buffer takes it, and without memory there are no words. */
	if (pm_encode(&env, &out, &err) == 0)
		(void)send(fd, out.bytes, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static int admit(struct control *c, int fd, struct pm_error *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct session *s;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return pm_fail_errno(err, errno, "find out who connects");
	if (peer.uid != c->host.euid && peer.uid != 0) {
		(void)pm_fail(err, PM_DENIED, "uid %u may not use the agent of uid %u",
		              (unsigned)peer.uid, (unsigned)c->host.euid);
		pm_hint(err, "use an agent of your own, or become its user");
		return -1;
	}
	if (c->host.n_sessions >= PM_SESSIONS_MAX) {
		(void)pm_fail(err, PM_LIMIT, "%u programs are connected to the agent",
		              c->host.n_sessions);
		pm_hint(err, "end some, like 'pmctl logs', and try again");
		return -1;
	}
	return session_create(&c->host, fd, peer.uid, peer.pid, NULL, &s, err);
}

int control_adopt(struct control *c, int fd, struct pm_error *err)
{
	if (admit(c, fd, err) == 0)
		return 0;
	refuse(fd, err);
	return -1;
}

int control_adopt_remote(struct control *c, int fd, const struct session_guard *guard,
                         struct session **out, struct pm_error *err)
{
	if (session_create(&c->host, fd, c->host.euid, 0, guard, out, err) == 0)
		return 0;
	(void)close(fd);
	return -1;
}

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Give the reserve up for a moment to answer one connection.  false: not even that was possible. */
static bool refuse_with_reserve(struct control *c)
{
	struct pm_error err;
	int fd;

	if (c->reserve_fd < 0)
		c->reserve_fd = open_reserve();
	if (c->reserve_fd < 0)
		return false;
	(void)close(c->reserve_fd);
	fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		(void)pm_fail(&err, PM_LIMIT, "the agent is out of descriptors");
		pm_hint(&err, "raise its limit (LimitNOFILE=, ulimit -n) or stop some apps");
		refuse(fd, &err);
	}
	c->reserve_fd = open_reserve();
	return fd >= 0;
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct control *c = timer->data;

	if (uv_poll_start(&c->listener, UV_READABLE, on_connection) < 0)
		(void)uv_timer_start(timer, on_pause_over, ACCEPT_PAUSE_MS, 0); /* cannot fail */
}

static void pause_accepting(struct control *c)
{
	uv_poll_stop(&c->listener);
	(void)uv_timer_start(&c->pause, on_pause_over, ACCEPT_PAUSE_MS, 0); /* cannot fail */
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct control *c = poll->data;
	struct pm_error err;

	(void)events; /* only ever UV_READABLE */
	if (status < 0) {
		pause_accepting(c);
		return;
	}
	for (int i = 0; i < ACCEPT_TURN_MAX && !c->closing; i++) {
		int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			if (control_adopt(c, fd, &err) < 0)
				continue; /* told the peer; no state is kept */
		} else if (errno == EMFILE || errno == ENFILE) {
			if (!refuse_with_reserve(c)) {
				pause_accepting(c);
				return;
			}
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			pause_accepting(c);
			return;
		}
	}
}

/* ---- life ---- */

/* The loop has let go of one of our handles, or of a session's. */
static void one_handle_less(struct session_host *host)
{
	struct control *c = (struct control *)host;

	if (!c->closing || host->n_handles > 0)
		return;
	pm_arena_finish(&host->arena);
	free(host->read_buf);
	free(c);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
	struct control *c = handle->data;

	c->host.n_handles--;
	one_handle_less(&c->host);
}

static void close_handle(uv_handle_t *handle)
{
	uv_close(handle, on_own_handle_closed);
}

static int init_handles(struct control *c)
{
	int rc;

	c->listener.data = c->pause.data = c->host.reaper.data = c;
	(void)uv_idle_init(c->host.loop, &c->host.reaper); /* these two cannot fail */
	(void)uv_timer_init(c->host.loop, &c->pause);
	c->host.n_handles = 2;
	rc = uv_poll_init(c->host.loop, &c->listener, c->listen_fd);
	if (rc < 0)
		return rc;
	c->host.n_handles++;
	return uv_poll_start(&c->listener, UV_READABLE, on_connection);
}

int control_create(uv_loop_t *loop, int listen_fd, const struct control_handlers *handlers,
                   void *arg, struct control **out, struct pm_error *err)
{
	struct control *c = pm_calloc(1, sizeof(*c));
	int rc;

	if (c == NULL) {
		(void)close(listen_fd);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	c->listen_fd = listen_fd;
	c->reserve_fd = open_reserve();
	c->host.loop = loop;
	c->host.handlers = handlers;
	c->host.arg = arg;
	c->host.euid = geteuid();
	c->host.handle_closed = one_handle_less;
	c->host.read_buf = pm_calloc(1, SESSION_READ_MAX);
	if (c->host.read_buf == NULL) {
		control_close(c);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	rc = init_handles(c);
	if (rc < 0) {
		control_close(c);
		return pm_fail_errno(err, -rc, "watch the control socket");
	}
	*out = c;
	return 0;
}

void control_close(struct control *c)
{
	bool watched;

	if (c == NULL || c->closing)
		return;
	while (c->host.sessions != NULL)
		session_close_now(c->host.sessions);
	c->closing = true;
	watched = c->host.n_handles > 0; /* else the loop knows nothing of it yet */
	if (c->listener.type == UV_POLL)
		close_handle((uv_handle_t *)&c->listener);
	if (watched) {
		close_handle((uv_handle_t *)&c->pause);
		close_handle((uv_handle_t *)&c->host.reaper);
	}
	pm_closep(&c->listen_fd);
	pm_closep(&c->reserve_fd);
	c->listen_fd = c->reserve_fd = -1;
	if (!watched)
		one_handle_less(&c->host);
}

unsigned control_n_sessions(const struct control *c)
{
	return c->host.n_sessions;
}

int control_fd(const struct control *c)
{
	return c->listen_fd;
}

void control_goodbye(struct control *c, const char *reason, uint32_t retry_after_ms)
{
	struct session *next;

	uv_poll_stop(&c->listener);
	uv_timer_stop(&c->pause);
	for (struct session *s = c->host.sessions; s != NULL; s = next) {
		next = s->next; /* it is closed from the loop, not by this call */
		session_goodbye(s, reason, retry_after_ms);
	}
}
