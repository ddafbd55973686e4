/*
 * load.c - constant HTTP/1.1 load on one address, and an exact account of what became of it.
 *
 *   load [-c CONNECTIONS] [-k] [-r RATE [-j]] [-n COUNT] [-t TIMEOUT_MS] [-p PATH] [-w MS] ADDRESS
 *
 * ADDRESS  127.0.0.1:PORT, [::1]:PORT, or the path of a unix socket
 * -c       connections at a time (8)
 * -k       keep-alive: connections are used again; else there is one for each request
 * -r       requests a second, all connections together (0: as fast as they are answered)
 * -j       they come at random times, not evenly spaced; the same ones in each run
 * -n       end after so many requests (0: at SIGTERM or SIGINT)
 * -t       a request without a whole answer for so long has failed (10000)
 * -p       the path to ask for (/)
 * -w       begin only once a connection is accepted, and wait for that so long (0)
 *
 * Prints its account as one line of JSON at the end, and at each SIGUSR1 up to then. Latencies are
 * counted from when a request was begun; with a rate those named due_ are there too, counted from
 * when it was to begin by the rate: what waits because nobody has answered the one before is late
 * for a user, and no part of the others.
 *
 * It does what a correct client does, and repeats nothing. A kept connection that was closed before
 * a request was sent on it is no failure; one that is closed behind the request is, since a client
 * cannot know whether the request was carried out. A new connection that is closed without an
 * answer is one in any case.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/helpers/response.h"

enum {
	CONNECTIONS_MAX = 4096,
	WORKERS_MAX = 1024,
	EVENTS_MAX = 256,
	FAILURES_SHOWN = 20,
	PAUSE_US = 10000, /* after a failure to connect */
	TURN_US = 500, /* turns come together: waking for each would cost more than the requests */
	STEPS = 64,    /* of the histogram, in each power of two */
	BUCKETS = STEPS * 40
};

enum failure {
	REFUSED,
	RESET_BEFORE, /* behind the request, before a byte of the response */
	RESET_WITHIN, /* the response had begun */
	SHORT,        /* ended in good order, but too early */
	TIMEOUT,
	STATUS,
	NOT_HTTP,
	N_FAILURES
};
static const char *const failure_names[N_FAILURES] = {
	[REFUSED] = "refused",   [RESET_BEFORE] = "reset_before", [RESET_WITHIN] = "reset_within",
	[SHORT] = "short",       [TIMEOUT] = "timeout",           [STATUS] = "status",
	[NOT_HTTP] = "not_http",
};

enum state {
	CLOSED,  /* waits for its turn */
	OPENING, /* connect() is under way */
	ASKED,   /* the response is awaited */
	RESTING, /* kept, waits for its turn */
	ENDED
};

struct connection {
	enum state state;
	int fd;
	uint64_t turn_us;  /* when the next request is to be sent */
	uint64_t due_us;   /* the same by the rate alone: what was late is caught up with */
	uint64_t since_us; /* when the one under way was begun */
	uint64_t n_asked;  /* on this connection */
	char worker[RESPONSE_NAME_MAX];
	struct response response;
};

struct worker {
	char name[RESPONSE_NAME_MAX];
	uint64_t n_requests, n_connections;
};

struct shown {
	uint64_t at_us;
	enum failure kind;
	int error;
	uint64_t n_asked;
	char worker[RESPONSE_NAME_MAX];
};

static struct {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} addr;
	socklen_t addr_len;
	bool keep, at_random;
	double rate;
	unsigned n_connections;
	uint64_t count, timeout_us, wait_us;
	const char *path;
} options = { .n_connections = 8, .timeout_us = 10000000, .path = "/" };

static struct connection connections[CONNECTIONS_MAX];
static struct worker workers[WORKERS_MAX];
static size_t n_workers;
static struct latency {
	uint64_t histogram[BUCKETS], max_us;
} since_begun, since_due;
static struct shown shown[FAILURES_SHOWN];
static uint64_t n_begun, n_ok, n_failed[N_FAILURES], n_failures, n_opened, n_closed_idle;
static uint64_t n_no_port; /* the machine had no port left for us: not the server's fault */
static uint64_t started_us, wake_us;
static bool ending;
static int epoll_fd;
static char request[512];
static size_t request_len;

static int die(const char *what)
{
	(void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

/* ---- the account ---- */

static unsigned bucket_of(uint64_t us)
{
	unsigned power = us < STEPS ? 0 : 63 - (unsigned)__builtin_clzll(us) - 6 + 1;
	unsigned step = power == 0 ? (unsigned)us : (unsigned)(us >> (power - 1)) - STEPS;
	unsigned at = power * STEPS + step;

	return at < BUCKETS ? at : BUCKETS - 1;
}

/* The least latency that the bucket stands for. */
static uint64_t bucket_us(unsigned at)
{
	unsigned power = at / STEPS, step = at % STEPS;

	return power == 0 ? step : (uint64_t)(STEPS + step) << (power - 1);
}

static void add_latency(struct latency *l, uint64_t us)
{
	l->histogram[bucket_of(us)]++;
	l->max_us = us > l->max_us ? us : l->max_us;
}

static uint64_t percentile_us(const struct latency *l, double share)
{
	uint64_t want = (uint64_t)((double)n_ok * share), seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += l->histogram[i];
		if (seen > want)
			return bucket_us(i);
	}
	return l->max_us;
}

static void count_worker(const char *name, bool first)
{
	struct worker *w = workers;

	while (w < workers + n_workers && strcmp(w->name, name) != 0)
		w++;
	if (w == workers + WORKERS_MAX)
		return;
	if (w == workers + n_workers) {
		n_workers++;
		memcpy(w->name, name, sizeof(w->name));
	}
	w->n_requests++;
	w->n_connections += first;
}

static void print_workers(void)
{
	(void)printf("\"workers\": {");
	for (size_t i = 0; i < n_workers; i++)
		(void)printf("%s\"%s\": {\"requests\": %llu, \"connections\": %llu}",
		             i == 0 ? "" : ", ", workers[i].name,
		             (unsigned long long)workers[i].n_requests,
		             (unsigned long long)workers[i].n_connections);
	(void)printf("}, ");
}

static void print_failures(void)
{
	uint64_t n = n_failures < FAILURES_SHOWN ? n_failures : FAILURES_SHOWN;

	(void)printf("\"failed\": {");
	for (int i = 0; i < N_FAILURES; i++)
		(void)printf("%s\"%s\": %llu", i == 0 ? "" : ", ", failure_names[i],
		             (unsigned long long)n_failed[i]);
	(void)printf("}, \"first_failures\": [");
	for (uint64_t i = 0; i < n; i++)
		(void)printf("%s{\"at_ms\": %.1f, \"kind\": \"%s\", \"error\": \"%s\", "
		             "\"asked\": %llu, \"worker\": \"%s\"}",
		             i == 0 ? "" : ", ", (double)shown[i].at_us / 1000,
		             failure_names[shown[i].kind],
		             shown[i].error == 0 ? "" : strerrorname_np(shown[i].error),
		             (unsigned long long)shown[i].n_asked, shown[i].worker);
	(void)printf("], ");
}

static void print_latency(const char *prefix, const struct latency *l)
{
	(void)printf("\"%sp50_ms\": %.3f, \"%sp90_ms\": %.3f, \"%sp99_ms\": %.3f, "
	             "\"%smax_ms\": %.3f, ",
	             prefix, (double)percentile_us(l, 0.5) / 1000, prefix,
	             (double)percentile_us(l, 0.9) / 1000, prefix,
	             (double)percentile_us(l, 0.99) / 1000, prefix, (double)l->max_us / 1000);
}

static void print_account(void)
{
	double seconds = (double)(now_us() - started_us) / 1e6;

	(void)printf("{\"requests\": %llu, \"ok\": %llu, \"failures\": %llu, ",
	             (unsigned long long)(n_ok + n_failures), (unsigned long long)n_ok,
	             (unsigned long long)n_failures);
	print_failures();
	print_workers();
	(void)printf("\"connections\": %llu, \"closed_idle\": %llu, \"seconds\": %.3f, "
	             "\"per_second\": %.1f, ",
	             (unsigned long long)n_opened, (unsigned long long)n_closed_idle, seconds,
	             (double)n_ok / seconds);
	print_latency("", &since_begun);
	if (options.rate > 0)
		print_latency("due_", &since_due);
	(void)printf("\"no_port\": %llu}\n", (unsigned long long)n_no_port);
	(void)fflush(stdout);
}

/* ---- one connection ---- */

static void wake_by(uint64_t turn_us)
{
	wake_us = turn_us < wake_us ? turn_us : wake_us;
}

static void drop(struct connection *c, uint64_t turn_us)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->state = CLOSED;
	c->turn_us = turn_us;
}

static void fail(struct connection *c, enum failure kind, int error)
{
	uint64_t now = now_us();

	if (n_failures < FAILURES_SHOWN) {
		struct shown *s = &shown[n_failures];

		*s = (struct shown){ now - started_us, kind, error, c->n_asked, "" };
		memcpy(s->worker, c->worker, sizeof(s->worker));
	}
	n_failures++;
	n_failed[kind]++;
	drop(c, now + PAUSE_US);
	wake_by(c->turn_us);
}

static void watch(struct connection *c, int how, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (epoll_ctl(epoll_fd, how, c->fd, &event) < 0)
		(void)die("epoll_ctl");
}

static void ask(struct connection *c)
{
	ssize_t n;

	response_init(&c->response);
	c->state = ASKED;
	c->n_asked++;
	n = send(c->fd, request, request_len, MSG_NOSIGNAL);
	if (n != (ssize_t)request_len)
		fail(c, RESET_BEFORE, n < 0 ? errno : 0);
}

static void begin(struct connection *c)
{
	c->since_us = now_us();
	n_begun++;
}

static void open_one(struct connection *c)
{
	int on = 1;

	c->fd = socket(options.addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		(void)die("socket");
	if (options.addr.any.sa_family != AF_UNIX)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, &options.addr.any, options.addr_len) == 0 || errno == EINPROGRESS) {
		begin(c);
		n_opened++;
		c->n_asked = 0;
		c->worker[0] = '\0';
		c->state = OPENING;
		watch(c, EPOLL_CTL_ADD, EPOLLOUT);
	} else if (errno == EADDRNOTAVAIL || errno == EAGAIN) {
		n_no_port += errno == EADDRNOTAVAIL; /* else the queue of a unix socket is full */
		drop(c, now_us() + PAUSE_US / 10);
		wake_by(c->turn_us);
	} else {
		begin(c);
		fail(c, REFUSED, errno);
	}
}

static void on_open(struct connection *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0) {
		fail(c, error == ECONNREFUSED ? REFUSED : RESET_BEFORE, error);
		return;
	}
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
	ask(c);
}

static bool may_begin(void)
{
	return !ending && (options.count == 0 || n_begun < options.count);
}

/* It is its turn. */
static void take_turn(struct connection *c)
{
	char byte;

	if (!may_begin()) {
		drop(c, UINT64_MAX);
		c->state = ENDED;
		wake_by(0); /* it may have been the last */
		return;
	}
	if (c->state == RESTING && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    errno == EAGAIN) {
		begin(c);
		ask(c);
		return;
	}
	if (c->state == RESTING) { /* closed by the server meanwhile, as it may */
		n_closed_idle++;
		drop(c, c->turn_us);
	}
	open_one(c);
}

static uint64_t turn_of(uint64_t due_us)
{
	return (due_us + TURN_US - 1) / TURN_US * TURN_US;
}

static uint64_t next_turn_us(struct connection *c, uint64_t now)
{
	uint64_t turn;

	if (options.rate <= 0)
		return 0;
	/* Gaps between none and twice the mean, of many connections: as good as independent. */
	c->due_us += (uint64_t)((double)options.n_connections * 1e6 / options.rate *
	                        (options.at_random ? 2 * drand48() : 1));
	turn = turn_of(c->due_us);
	return turn > now ? turn : now;
}

static void on_done(struct connection *c)
{
	uint64_t now = now_us(), due = turn_of(c->due_us), turn = next_turn_us(c, now);

	if (c->response.worker[0] != '\0')
		memcpy(c->worker, c->response.worker, sizeof(c->worker));
	if (c->response.status < 200 || c->response.status > 299) {
		fail(c, STATUS, 0);
		return;
	}
	n_ok++;
	add_latency(&since_begun, now - c->since_us);
	add_latency(&since_due, now > due ? now - due : 0);
	count_worker(c->worker, c->n_asked == 1);
	if (!options.keep || !c->response.keep) {
		drop(c, turn);
	} else {
		c->state = RESTING;
		c->turn_us = turn;
	}
	if (turn <= now)
		take_turn(c);
	else
		wake_by(turn);
}

static void on_bytes(struct connection *c)
{
	static char bytes[65536];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (c->state == RESTING) {
		n_closed_idle++;
		drop(c, c->turn_us);
		wake_by(c->turn_us);
		return;
	}
	if (n > 0)
		response_feed(&c->response, bytes, (size_t)n);
	if (c->response.state == RESPONSE_DONE || (n == 0 && response_end(&c->response)))
		on_done(c);
	else if (c->response.state == RESPONSE_BAD)
		fail(c, NOT_HTTP, 0);
	else if (n <= 0 && !response_began(&c->response))
		fail(c, RESET_BEFORE, n < 0 ? errno : 0);
	else if (n <= 0)
		fail(c, n < 0 ? RESET_WITHIN : SHORT, n < 0 ? errno : 0);
}

/* ---- all of them ---- */

/* Whose turn it is, and who waits for too long; sets wake_us. Returns whether any goes on. */
static bool look_around(void)
{
	uint64_t now = now_us();
	bool some = false;

	wake_us = now + 1000000;
	for (struct connection *c = connections; c < connections + options.n_connections; c++) {
		if ((c->state == OPENING || c->state == ASKED) &&
		    now - c->since_us > options.timeout_us)
			fail(c, TIMEOUT, 0);
		if ((c->state == CLOSED || c->state == RESTING) && (c->turn_us <= now || ending))
			take_turn(c);
		if ((c->state == CLOSED || c->state == RESTING) && c->turn_us < wake_us)
			wake_us = c->turn_us;
		some |= c->state != ENDED;
	}
	return some;
}

static void on_signal(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		print_account();
	else
		ending = true;
	wake_us = 0;
}

static void run(int signal_fd)
{
	static struct epoll_event events[EVENTS_MAX];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	double gap_us = options.rate > 0 ? 1e6 / options.rate : 0;

	started_us = now_us();
	for (unsigned i = 0; i < options.n_connections; i++) {
		connections[i].fd = -1;
		connections[i].turn_us = connections[i].due_us =
			started_us + (uint64_t)(gap_us * i);
	}
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &event) < 0)
		(void)die("epoll_ctl");
	for (;;) {
		uint64_t now = now_us();
		struct timespec wait;
		int n;

		if (wake_us <= now) {
			if (!look_around())
				return;
			now = now_us();
		}
		wait.tv_sec = wake_us <= now ? 0 : (time_t)((wake_us - now) / 1000000);
		wait.tv_nsec = wake_us <= now ? 0 : (long)((wake_us - now) % 1000000 * 1000);
		n = epoll_pwait2(epoll_fd, events, EVENTS_MAX, &wait, NULL);
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (c == NULL)
				on_signal(signal_fd);
			else if (c->state == OPENING)
				on_open(c);
			else if (c->state == ASKED || c->state == RESTING)
				on_bytes(c);
		}
	}
}

/* ---- the beginning ---- */

static bool parse_address(const char *text)
{
	char host[64];
	unsigned port;

	if (text[0] == '/' && strlen(text) < sizeof(options.addr.un.sun_path)) {
		options.addr.un.sun_family = AF_UNIX;
		memcpy(options.addr.un.sun_path, text, strlen(text) + 1);
		options.addr_len = sizeof(options.addr.un);
		return true;
	}
	if (sscanf(text, "[%63[^]]]:%u", host, &port) == 2 && port <= 65535) {
		options.addr.in6.sin6_family = AF_INET6;
		options.addr.in6.sin6_port = htons((uint16_t)port);
		options.addr_len = sizeof(options.addr.in6);
		return inet_pton(AF_INET6, host, &options.addr.in6.sin6_addr) == 1;
	}
	options.addr.in.sin_family = AF_INET;
	options.addr_len = sizeof(options.addr.in);
	if (sscanf(text, "%63[^:]:%u", host, &port) != 2 || port > 65535)
		return false;
	options.addr.in.sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &options.addr.in.sin_addr) == 1;
}

static bool parse_options(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "c:kr:jn:t:p:w:")) >= 0;) {
		uint64_t number = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);

		if (option == 'c' && number > 0 && number <= CONNECTIONS_MAX)
			options.n_connections = (unsigned)number;
		else if (option == 'k')
			options.keep = true;
		else if (option == 'r')
			options.rate = strtod(optarg, NULL);
		else if (option == 'j')
			options.at_random = true;
		else if (option == 'n')
			options.count = number;
		else if (option == 't')
			options.timeout_us = number * 1000;
		else if (option == 'p')
			options.path = optarg;
		else if (option == 'w')
			options.wait_us = number * 1000;
		else
			return false;
	}
	return optind + 1 == argc && parse_address(argv[optind]);
}

static void wait_until_accepted(void)
{
	const struct timespec pause = { 0, 10000000 };
	uint64_t end = now_us() + options.wait_us;

	while (options.wait_us > 0) {
		int fd = socket(options.addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool done = fd >= 0 && connect(fd, &options.addr.any, options.addr_len) == 0;

		(void)close(fd);
		if (done)
			return;
		if (now_us() > end)
			(void)die("nobody listens");
		(void)nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	sigset_t set;
	int signal_fd;

	if (!parse_options(argc, argv)) {
		(void)fprintf(stderr, "usage: load [-c CONNECTIONS] [-k] [-r RATE [-j]] [-n COUNT] "
		                      "[-t TIMEOUT_MS] [-p PATH] [-w MS] ADDRESS\n");
		return 2;
	}
	request_len = (size_t)snprintf(request, sizeof(request),
	                               "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", options.path,
	                               options.keep ? "" : "Connection: close\r\n");
	if (request_len >= sizeof(request))
		return 2;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (signal_fd < 0 || epoll_fd < 0)
		return die("start");
	wait_until_accepted();
	run(signal_fd);
	print_account();
	return n_failures == 0 ? 0 : 1;
}
