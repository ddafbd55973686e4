/*
 * cluster_supervisor.c - plays the supervisor of one app of two seats for tests of the preload
 * library.
 *
 *   cluster_supervisor LIBRARY COMMAND...
 *
 * Reads commands from stdin, a line each, and says on stdout what happens:
 *
 *   start SEAT GENERATION       "started SEAT GENERATION PID"; the command, with the library
 *   steer SEAT GENERATION 0|1   "steered"
 *   waiting SEAT GENERATION     "waiting N"
 *   key ADDRESS                 "key 0|1": is there a socket for it
 *   mute                        "muted": requests are read by nobody any more
 *
 * and unasked "listening SEAT GENERATION ADDRESS". Ends with its stdin, and everything with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/shim_server.h"

enum {
	SEATS = 2,
	NUMBER = 27
};

struct seat {
	struct shim_server *server;
	unsigned seat, generation;
};

static struct sockets *sockets;
static struct seat seats[SEATS][2];
static uv_loop_t *loop;
static const char *library;
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

static void on_listening(void *arg, const struct socket_key *key)
{
	const struct seat *s = arg;
	char text[128];
	uint16_t port;

	if (!sockets_address(sockets, key, text, sizeof(text), &port))
		(void)snprintf(text, sizeof(text), "nowhere");
	(void)printf("listening %u %u %s\n", s->seat, s->generation, text);
}

static void execute(int fd, const char *env)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, NUMBER) < 0 || setenv(SHIM_ENV_FD, env, 1) < 0 ||
	    setenv("LD_PRELOAD", library, 1) < 0 || dup2(2, 1) < 0)
		_exit(125);
	(void)execvp(command[0], command);
	perror(command[0]);
	_exit(126);
}

static void start(struct seat *s)
{
	const struct shim_server_config config = { .sockets = sockets,
		                                   .seat = s->seat,
		                                   .generation = s->generation,
		                                   .on_listening = on_listening,
		                                   .arg = s };
	struct pm_error err;
	int ours, childs;
	char env[48];
	pid_t pid;

	shim_server_close(s->server);
	s->server = NULL;
	if (shim_server_pair(NUMBER, &ours, &childs, env, sizeof(env), &err) < 0 ||
	    shim_server_create(loop, ours, &config, &s->server, &err) < 0)
		die(err.what);
	pid = fork();
	if (pid == 0)
		execute(childs, env);
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

int main(int argc, char **argv)
{
	const struct sockets_hooks hooks = { NULL, hold };
	struct pm_error err;
	uv_poll_t input;

	if (argc < 3)
		return die("usage: cluster_supervisor LIBRARY COMMAND...");
	library = argv[1];
	command = argv + 2;
	loop = uv_default_loop();
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGCHLD, SIG_IGN);
	for (unsigned i = 0; i < SEATS; i++)
		for (unsigned g = 0; g < 2; g++)
			seats[i][g] = (struct seat){ NULL, i, g };
	if (sockets_create(1, NULL, &hooks, &sockets, &err) < 0 ||
	    sockets_set_seats(sockets, SEATS, &err) < 0)
		return die(err.what);
	if (uv_poll_init(loop, &input, 0) < 0 || uv_poll_start(&input, UV_READABLE, on_stdin) < 0)
		return die("stdin");
	return uv_run(loop, UV_RUN_DEFAULT);
}
