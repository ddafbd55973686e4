/*
 * floor.c - the least a supervisor can do, as the reference of the benchmark: nothing here is for
 * use.
 *
 * floor [-t] [-p PIPE_BYTES] SOCKET LOGDIR APPS
 *   APPS has a line per app: NAME PROGRAM [ARG...].  All are started; one that ends is started
 * again at once. stdout and stderr go through pipes to LOGDIR/NAME-out.log and -error.log: by
 * splice, or with -t each line behind a time stamp.  Each connection to SOCKET sends "list" or
 * "jlist" and gets the answer. SIGTERM kills the apps and ends it.
 *
 * One thread, one epoll, pidfds, clone(CLONE_VM | CLONE_VFORK).  No policy, no limits, no state, no
 * checks that a supervisor would owe its users: what ours costs above this is what those cost.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX   32
#define READ_MAX   65536
#define SPLICE_MAX (1u << 20)
#define STAMP_LEN  21 /* "2026-11-23T01:39:06: " */

struct stream {
	int pipe[2]; /* both ends stay open here: the pipe outlives the app */
	int file;
	bool within_line;
};

struct app {
	char *argv[ARGS_MAX];
	const char *name;
	struct stream streams[2];
	pid_t pid;
	int pidfd;
	uint64_t restarts;
	uint64_t started_ms, cpu_ticks, sampled_ms;
};

enum source {
	SOURCE_EXIT,
	SOURCE_OUT,
	SOURCE_ERR,
	SOURCE_LISTEN,
	SOURCE_SIGNAL,
	SOURCE_CLIENT
};

static struct app *apps;
static size_t n_apps;
static int epoll, null, listener, signals;
static bool stamped;
static int pipe_bytes;
static const char *log_dir;
static sigset_t no_signals;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ms(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void watch(int fd, enum source source, size_t index)
{
	struct epoll_event event = { .events = EPOLLIN,
		                     .data.u64 = (uint64_t)source << 32 | index };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* --- processes -------------------------------------------------------------------------------- */

static int child_main(void *arg)
{
	struct app *app = arg;

	(void)sigprocmask(SIG_SETMASK, &no_signals, NULL);
	(void)setsid();
	(void)dup2(null, 0);
	(void)dup2(app->streams[0].pipe[1], 1);
	(void)dup2(app->streams[1].pipe[1], 2);
	(void)execv(app->argv[0], app->argv);
	_exit(127);
}

static void spawn(struct app *app)
{
	static char stack[65536] __attribute__((aligned(64)));

	app->pid = clone(child_main, stack + sizeof(stack),
	                 CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, app, &app->pidfd);
	if (app->pid < 0)
		die("clone");
	app->started_ms = now_ms(CLOCK_REALTIME);
	watch(app->pidfd, SOURCE_EXIT, (size_t)(app - apps));
}

static void respawn(struct app *app)
{
	siginfo_t info;

	(void)waitid(P_PIDFD, (id_t)app->pidfd, &info, WEXITED);
	(void)close(app->pidfd);
	app->restarts++;
	spawn(app);
}

static void open_stream(struct app *app, int which)
{
	struct stream *s = &app->streams[which];
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s-%s.log", log_dir, app->name,
	               which == 0 ? "out" : "error");
	s->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (s->file < 0 || pipe2(s->pipe, O_CLOEXEC) < 0)
		die(path);
	(void)fcntl(s->pipe[0], F_SETFL, O_NONBLOCK);
	if (pipe_bytes > 0)
		(void)fcntl(s->pipe[0], F_SETPIPE_SZ, pipe_bytes);
	watch(s->pipe[0], which == 0 ? SOURCE_OUT : SOURCE_ERR, (size_t)(app - apps));
}

/* --- logs ------------------------------------------------------------------------------------- */

static const char *stamp(void)
{
	static char text[STAMP_LEN + 1];
	static time_t at;
	time_t now = time(NULL);
	struct tm tm;

	if (now != at) {
		at = now;
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S: ", localtime_r(&now, &tm));
	}
	return text;
}

static void put(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0)
			return; /* a full disk loses lines here */
		bytes += n;
		len -= (size_t)n;
	}
}

static void copy_stamped(struct stream *s)
{
	static char in[READ_MAX], out[READ_MAX + STAMP_LEN + 1];
	const char *prefix = stamp();
	ssize_t n = read(s->pipe[0], in, sizeof(in));
	size_t len = 0;

	for (const char *at = in, *end = in + (n > 0 ? n : 0); at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t part = (size_t)((newline != NULL ? newline + 1 : end) - at);

		if (len + part + STAMP_LEN > sizeof(out)) {
			put(s->file, out, len);
			len = 0;
		}
		if (!s->within_line) {
			memcpy(out + len, prefix, STAMP_LEN);
			len += STAMP_LEN;
		}
		memcpy(out + len, at, part);
		len += part;
		s->within_line = newline == NULL;
		at += part;
	}
	put(s->file, out, len);
}

static void drain(struct stream *s)
{
	if (stamped)
		copy_stamped(s);
	else
		(void)splice(s->pipe[0], NULL, s->file, NULL, SPLICE_MAX,
		             SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* --- answers ---------------------------------------------------------------------------------- */

static size_t sample(struct app *app, double *cpu)
{
	unsigned long long user = 0, system = 0, pages = 0;
	uint64_t now = now_ms(CLOCK_MONOTONIC), ticks;
	char path[32], text[1024];
	const char *tail;
	ssize_t n;
	int fd;

	*cpu = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)app->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	tail = strrchr(text, ')');
	if (tail == NULL ||
	    sscanf(tail,
	           ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s %*s "
	           "%*s %*s %llu",
	           &user, &system, &pages) != 3)
		return 0;
	ticks = user + system;
	if (app->sampled_ms != 0 && now > app->sampled_ms)
		*cpu = (double)(ticks - app->cpu_ticks) * 1000 / (double)(now - app->sampled_ms);
	app->cpu_ticks = ticks;
	app->sampled_ms = now;
	return pages * 4096;
}

static void put_app(FILE *to, struct app *app, bool json)
{
	size_t id = (size_t)(app - apps);
	double cpu;
	size_t memory = sample(app, &cpu);

	if (!json) {
		(void)fprintf(to, "%4zu  %-20s  %8d  online  %6llu  %5.1f%%  %8zuK\n", id,
		              app->name, (int)app->pid, (unsigned long long)app->restarts, cpu,
		              memory / 1024);
		return;
	}
	(void)fprintf(
		to,
		"%s{\"pid\":%d,\"name\":\"%s\",\"pm_id\":%zu,\"monit\":{\"memory\":%zu,\"cpu\":%.1f},\"pm2_env\":{"
		"\"name\":\"%s\",\"namespace\":\"default\",\"status\":\"online\",\"pm_id\":%zu,\"pm_uptime\":%llu,"
		"\"created_at\":%llu,\"restart_time\":%llu,\"unstable_restarts\":0,\"exec_mode\":\"fork_mode\","
		"\"exec_interpreter\":\"none\",\"pm_exec_path\":\"%s\",\"args\":[],\"pm_out_log_path\":"
		"\"%s/%s-out.log\",\"pm_err_log_path\":\"%s/%s-error.log\",\"instances\":1,\"autorestart\":true,"
		"\"watch\":false,\"merge_logs\":true,\"env\":{}}}",
		id > 0 ? "," : "", (int)app->pid, app->name, id, memory, cpu, app->name, id,
		(unsigned long long)app->started_ms, (unsigned long long)app->started_ms,
		(unsigned long long)app->restarts, app->argv[0], log_dir, app->name, log_dir,
		app->name);
}

static void answer(int client)
{
	char request[16] = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *to;
	bool json;

	if (recv(client, request, sizeof(request) - 1, 0) <= 0)
		return;
	to = open_memstream(&text, &len);
	if (to == NULL)
		die("open_memstream");
	json = strncmp(request, "jlist", 5) == 0;
	if (json)
		(void)fputc('[', to);
	for (size_t i = 0; i < n_apps; i++)
		put_app(to, &apps[i], json);
	if (json)
		(void)fputc(']', to);
	(void)fclose(to);
	put(client, text, len);
	free(text);
}

/* --- start, loop, end ------------------------------------------------------------------------- */

static void load(const char *path)
{
	char *line = NULL, *rest;
	size_t room = 0, cap = 0;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		die(path);
	while (getline(&line, &room, file) > 0) {
		struct app *app;
		size_t n = 0;

		if (n_apps == cap) {
			cap = cap == 0 ? 16 : cap * 2;
			apps = realloc(apps, cap * sizeof(*apps));
			if (apps == NULL)
				die("realloc");
		}
		app = &apps[n_apps];
		memset(app, 0, sizeof(*app));
		rest = strdup(line);
		app->name = strtok_r(rest, " \n", &rest);
		while (n < ARGS_MAX - 1 && (app->argv[n] = strtok_r(NULL, " \n", &rest)) != NULL)
			n++;
		if (n > 0)
			n_apps++;
	}
	free(line);
	(void)fclose(file);
}

static void listen_on(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 64) < 0)
		die(path);
	watch(listener, SOURCE_LISTEN, 0);
}

static void finish(void)
{
	for (size_t i = 0; i < n_apps; i++) {
		(void)syscall(SYS_pidfd_send_signal, apps[i].pidfd, SIGKILL, NULL, 0);
		(void)waitpid(apps[i].pid, NULL, 0);
	}
	exit(0);
}

static void dispatch(uint64_t key)
{
	size_t index = (uint32_t)key;
	int client;

	switch ((enum source)(key >> 32)) {
	case SOURCE_EXIT:
		respawn(&apps[index]);
		break;
	case SOURCE_OUT:
		drain(&apps[index].streams[0]);
		break;
	case SOURCE_ERR:
		drain(&apps[index].streams[1]);
		break;
	case SOURCE_LISTEN:
		client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0)
			watch(client, SOURCE_CLIENT, (size_t)client);
		break;
	case SOURCE_CLIENT:
		answer((int)index);
		(void)close((int)index);
		break;
	case SOURCE_SIGNAL:
		finish();
	}
}

static void set_up(const char *socket_path)
{
	struct rlimit files;
	sigset_t mask;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (epoll < 0 || null < 0 || signals < 0)
		die("floor");
	watch(signals, SOURCE_SIGNAL, 0);
	listen_on(socket_path);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int c;

	while ((c = getopt(argc, argv, "tp:")) != -1) {
		if (c == 't')
			stamped = true;
		else if (c == 'p')
			pipe_bytes = (int)strtol(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind != 3) {
		(void)fprintf(stderr, "usage: floor [-t] [-p PIPE_BYTES] SOCKET LOGDIR APPS\n");
		return 2;
	}
	log_dir = argv[optind + 1];
	load(argv[optind + 2]);
	set_up(argv[optind]);
	for (size_t i = 0; i < n_apps; i++) {
		open_stream(&apps[i], 0);
		open_stream(&apps[i], 1);
		spawn(&apps[i]);
	}
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++)
			dispatch(events[i].data.u64);
	}
}
