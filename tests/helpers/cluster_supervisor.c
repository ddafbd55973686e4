/*
 * cluster_supervisor.c - plays the supervisor of one app of two seats, for tests of what workers
 * are preloaded with.
 *
 *   cluster_supervisor PRELOAD COMMAND...
 *
 * PRELOAD is the preload library (.so), or for node the file that drains it (.cjs), or "-": node
 * without. Reads commands from stdin, a line each, and says on stdout what happens:
 *
 *   start SEAT GENERATION       "started SEAT GENERATION PID"; the command, with the preload
 *   steer SEAT GENERATION 0|1   "steered"
 *   waiting SEAT GENERATION     "waiting N"
 *   key ADDRESS                 "key 0|1": is there a socket for it
 *   mute                        "muted": requests are read by nobody any more
 *   say SEAT GENERATION TEXT    a line on node's message channel
 *
 * and unasked "listening SEAT GENERATION ADDRESS", "message SEAT GENERATION TEXT" and "closed SEAT
 * GENERATION" (node's channel), "exited PID STATUS" (a signal's number below 0). Ends with its
 * stdin, and everything with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/node_primary.h"
#include "agent/preload.h"
#include "agent/shim_server.h"

enum {
	SEATS = 2,
	NUMBER = 27
};

struct seat {
	struct shim_server *server;
	struct ipc *ipc;
	struct node_primary *primary;
	unsigned seat, generation;
};

static struct sockets *sockets;
static struct seat seats[SEATS][2];
static struct node_shared shared;
static uv_loop_t *loop;
static const char *preload;
static bool is_node;
static char **command;

static int die(const char *what)
{
	(void)fprintf(stderr, "cluster_supervisor: %s\n", what);
	exit(1);
}

static int hold(void *arg, const char *name, int fd, struct pm_error *err)
{
	(void)arg;
	(void)name;
	(void)fd;
	(void)err;
	return 0;
}

/* ---- a worker with the library ---- */

static void on_listening(void *arg, const struct socket_key *key)
{
	const struct seat *s = arg;
	char text[128];
	uint16_t port;

	if (!sockets_address(sockets, key, text, sizeof(text), &port))
		(void)snprintf(text, sizeof(text), "nowhere");
	(void)printf("listening %u %u %s\n", s->seat, s->generation, text);
}

static int serve_shim(struct seat *s, char *env, size_t size)
{
	const struct shim_server_config config = { .sockets = sockets,
		                                   .seat = s->seat,
		                                   .generation = s->generation,
		                                   .on_listening = on_listening,
		                                   .arg = s };
	struct pm_error err;
	int ours, childs;

	shim_server_close(s->server);
	s->server = NULL;
	if (shim_server_pair(NUMBER, &ours, &childs, env, size, &err) < 0 ||
	    shim_server_create(loop, ours, &config, &s->server, &err) < 0)
		(void)die(err.what);
	return childs;
}

/* ---- a worker of node ---- */

static void on_node_online(void *arg)
{
	(void)arg;
}

static void on_node_listening(void *arg, const char *address)
{
	const struct seat *s = arg;

	(void)printf("listening %u %u %s\n", s->seat, s->generation, address);
}

static void on_node_closed(void *arg)
{
	(void)arg; /* its line is printed */
}

static void on_node_refused(void *arg, const char *address, const char *why)
{
	const struct seat *s = arg;

	(void)printf("refused %u %u %s: %s\n", s->seat, s->generation, address, why);
}

static void on_node_message(void *arg, const char *line, size_t len)
{
	const struct seat *s = arg;

	(void)printf("message %u %u %.*s\n", s->seat, s->generation, (int)len, line);
}

static void on_ipc_line(void *arg, const char *line, size_t len)
{
	const struct seat *s = arg;

	if (memmem(line, len, "NODE_PMD", 8) != NULL || memmem(line, len, "\"close\"", 7) != NULL)
		on_node_message(arg, line, len);
	if (memmem(line, len, "NODE_PMD", 8) == NULL)
		node_primary_on_line(s->primary, line, len);
}

static void forget_node(struct seat *s)
{
	node_primary_destroy(s->primary);
	ipc_close(s->ipc);
	s->primary = NULL;
	s->ipc = NULL;
}

static void on_ipc_end(void *arg)
{
	struct seat *s = arg;

	(void)printf("closed %u %u\n", s->seat, s->generation);
	forget_node(s);
}

static int serve_node(struct seat *s)
{
	const struct node_primary_hooks hooks = { .arg = s,
		                                  .online = on_node_online,
		                                  .listening = on_node_listening,
		                                  .closed = on_node_closed,
		                                  .refused = on_node_refused,
		                                  .message = on_node_message };
	struct pm_error err;
	int ends[2];

	forget_node(s);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		(void)die("socketpair");
	if (ipc_create(loop, ends[0], on_ipc_line, on_ipc_end, s, &s->ipc, &err) < 0 ||
	    node_primary_create(s->ipc, sockets, &shared, s->seat, s->generation, &hooks,
	                        &s->primary, &err) < 0)
		(void)die(err.what);
	return ends[1];
}

static bool node_environment(const struct seat *s)
{
	const char *theirs = getenv("NODE_OPTIONS");
	char number[16], id[16];
	PM_BUF options = { 0 };

	(void)snprintf(number, sizeof(number), "%d", NUMBER);
	(void)snprintf(id, sizeof(id), "%u", s->seat * 2 + s->generation + 1);
	if (setenv("NODE_CHANNEL_FD", number, 1) < 0 || setenv("NODE_UNIQUE_ID", id, 1) < 0 ||
	    setenv("NODE_CHANNEL_SERIALIZATION_MODE", "json", 1) < 0)
		return false;
	if (strcmp(preload, "-") == 0 || !preload_node_options(preload, theirs, &options))
		return true;
	return setenv(PRELOAD_ENV_OPTIONS, theirs == NULL ? "" : theirs, 1) == 0 &&
	       setenv("NODE_OPTIONS", options.bytes, 1) == 0;
}

/* ---- both ---- */

static void execute(const struct seat *s, int fd, const char *env)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, NUMBER) < 0 || dup2(2, 1) < 0)
		_exit(125);
	if (is_node ? !node_environment(s)
	            : setenv(SHIM_ENV_FD, env, 1) < 0 || setenv("LD_PRELOAD", preload, 1) < 0)
		_exit(125);
	(void)execvp(command[0], command);
	perror(command[0]);
	_exit(126);
}

static void start(struct seat *s)
{
	char env[48] = "";
	int childs = is_node ? serve_node(s) : serve_shim(s, env, sizeof(env));
	pid_t pid = fork();

	if (pid == 0)
		execute(s, childs, env);
	(void)close(childs);
	(void)printf("started %u %u %d\n", s->seat, s->generation, (int)pid);
}

static void mute(void)
{
	/* The servers stay open, and nobody runs the loop: as a supervisor that hangs. */
	(void)printf("muted\n");
	(void)fflush(stdout);
	(void)fcntl(0, F_SETFL, 0); /* the loop has made it non-blocking */
	for (char c; read(0, &c, 1) > 0;)
		continue;
	exit(0);
}

static void say(const struct seat *s, const char *line)
{
	for (int words = 0; words < 3; words++)
		line += strcspn(line, " ") + 1;
	if (s->ipc != NULL && !ipc_send(s->ipc, line))
		(void)printf("unheard %u %u\n", s->seat, s->generation);
}

static void obey(const char *line)
{
	unsigned seat = 0, generation = 0, ready;
	char address[128];

	if (sscanf(line, "key %127s", address) == 1) {
		char text[128];
		uint16_t port;
		bool found = false;

		for (size_t i = 0; sockets_key(sockets, i) != NULL; i++)
			found |= sockets_address(sockets, sockets_key(sockets, i), text,
			                         sizeof(text), &port) &&
			         strcmp(text, address) == 0;
		(void)printf("key %d\n", found);
	} else if (strcmp(line, "mute") == 0) {
		mute();
	} else if (sscanf(line, "%*s %u %u", &seat, &generation) != 2 || seat >= SEATS ||
	           generation > 1) {
		die(line);
	} else if (strncmp(line, "start", 5) == 0) {
		start(&seats[seat][generation]);
	} else if (strncmp(line, "say", 3) == 0) {
		say(&seats[seat][generation], line);
	} else if (sscanf(line, "steer %*u %*u %u", &ready) == 1) {
		sockets_steer(sockets, seat, generation, ready != 0);
		(void)printf("steered\n");
	} else if (strncmp(line, "waiting", 7) == 0) {
		(void)printf("waiting %u\n", sockets_waiting(sockets, seat, generation));
	} else {
		die(line);
	}
}

static void on_stdin(uv_poll_t *handle, int status, int events)
{
	static char text[4096];
	static size_t len;
	ssize_t n = status < 0 ? 0 : read(0, text + len, sizeof(text) - 1 - len);
	char *end;

	(void)handle;
	(void)events;
	if (n <= 0)
		exit(0);
	len += (size_t)n;
	text[len] = '\0';
	while ((end = strchr(text, '\n')) != NULL) {
		*end = '\0';
		obey(text);
		len -= (size_t)(end + 1 - text);
		memmove(text, end + 1, len + 1);
	}
}

static void on_child(uv_signal_t *handle, int number)
{
	int status;
	pid_t pid;

	(void)handle;
	(void)number;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		(void)printf("exited %d %d\n", (int)pid,
		             WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

int main(int argc, char **argv)
{
	const struct sockets_hooks hooks = { NULL, hold };
	struct pm_error err;
	uv_poll_t input;
	uv_signal_t child;

	if (argc < 3)
		return die("usage: cluster_supervisor PRELOAD COMMAND...");
	preload = argv[1];
	is_node = strstr(preload, ".so") == NULL;
	command = argv + 2;
	loop = uv_default_loop();
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < SEATS; i++)
		for (unsigned g = 0; g < 2; g++)
			seats[i][g] = (struct seat){ .seat = i, .generation = g };
	if (sockets_create(1, NULL, &hooks, &sockets, &err) < 0 ||
	    sockets_set_seats(sockets, SEATS, &err) < 0)
		return die(err.what);
	if (uv_signal_init(loop, &child) < 0 || uv_signal_start(&child, on_child, SIGCHLD) < 0)
		return die("SIGCHLD");
	if (uv_poll_init(loop, &input, 0) < 0 || uv_poll_start(&input, UV_READABLE, on_stdin) < 0)
		return die("stdin");
	return uv_run(loop, UV_RUN_DEFAULT);
}
