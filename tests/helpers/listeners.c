/*
 * listeners.c - listens in the ways that C programs do, for tests of the preload library.
 *
 *   listeners serve PORT          answer each connection with a minimal response that holds the pid
 *   listeners prefork PORT N      bind and listen, then fork N who accept
 *   listeners reuseport PORT N    fork N, each with a SO_REUSEPORT socket of its own
 *   listeners udp PORT            answer each datagram with the pid
 *   listeners unix PATH           remove the path, bind, chmod, listen, serve; on SIGTERM remove it
 *   listeners client PORT TO      bind PORT, connect to TO, say which port that came from
 *   listeners details PORT        check what a program may see of its socket; "ok" or what is wrong
 *   listeners given N             serve on the N-th socket of sd_listen_fds(3)
 *   listeners stop PORT           serve one connection, then shutdown() the listening socket
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *unix_path;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	(void)printf("%s: %s\n", what, strerror(errno));
	(void)fflush(stdout);
	_exit(1);
}

static struct sockaddr_in at_port(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		                     .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int open_at(const char *port, int type, int reuse)
{
	struct sockaddr_in addr = at_port(port);
	int fd = socket(AF_INET, type, 0), on = 1;

	check(fd >= 0, "socket");
	check(setsockopt(fd, SOL_SOCKET, reuse, &on, sizeof(on)) == 0, "setsockopt");
	check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
	return fd;
}

static void serve_one(int fd)
{
	char text[128], request[4096];
	int c = accept(fd, NULL, NULL), n;

	check(c >= 0, "accept");
	(void)!read(c, request, sizeof(request));
	n = snprintf(text, sizeof(text), "HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n%8d",
	             (int)getpid());
	(void)!write(c, text, (size_t)n);
	(void)close(c);
}

static void serve(int fd)
{
	for (;;)
		serve_one(fd);
}

static void fork_out(int fd, const char *port, int n)
{
	for (int i = 0; i < n; i++) {
		if (fork() != 0)
			continue;
		if (fd < 0) {
			fd = open_at(port, SOCK_STREAM, SO_REUSEPORT);
			check(listen(fd, 64) == 0, "listen");
		}
		serve(fd);
	}
	for (;;)
		(void)pause();
}

static void udp(const char *port)
{
	int fd = open_at(port, SOCK_DGRAM, SO_REUSEADDR), n;
	struct sockaddr_storage from;
	char text[64];

	for (;;) {
		socklen_t len = sizeof(from);

		check(recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len) >= 0,
		      "recvfrom");
		n = snprintf(text, sizeof(text), "%d", (int)getpid());
		(void)sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
}

static void on_term(int number)
{
	(void)number;
	(void)unlink(unix_path);
	_exit(0);
}

static void serve_unix(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(strlen(path) < sizeof(addr.sun_path), "path");
	memcpy(addr.sun_path, path, strlen(path) + 1);
	unix_path = path;
	check(unlink(path) == 0 || errno == ENOENT, "unlink");
	check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
	check(chmod(path, 0600) == 0, "chmod");
	check(listen(fd, 64) == 0, "listen");
	(void)signal(SIGTERM, on_term);
	serve(fd);
}

static void client(const char *port, const char *to)
{
	int fd = open_at(port, SOCK_STREAM, SO_REUSEADDR);
	struct sockaddr_in addr = at_port(to);
	socklen_t len = sizeof(addr);

	check(connect(fd, (struct sockaddr *)&addr, len) == 0, "connect");
	check(getsockname(fd, (struct sockaddr *)&addr, &len) == 0, "getsockname");
	(void)printf("from %u\n", (unsigned)ntohs(addr.sin_port));
	(void)fflush(stdout);
}

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	check(getsockopt(fd, level, name, &value, &len) == 0, "getsockopt");
	return value;
}

static void details(const char *port)
{
	struct sockaddr_in addr = at_port(port), seen;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, idle = 77;
	int small = 32768, twin;
	struct linger linger = { 1, 5 };
	socklen_t len = sizeof(seen);

	check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "TCP_NODELAY");
	check(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0, "SO_RCVBUF");
	check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
	check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno == EINVAL,
	      "bind twice");
	check(getsockname(fd, (struct sockaddr *)&seen, &len) == 0 && len == sizeof(seen) &&
	              seen.sin_port == addr.sin_port,
	      "getsockname before listen");
	check(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) == 0, "TCP_KEEPIDLE");
	check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0, "SO_LINGER");
	twin = dup(fd); /* what was noted for the one holds for the other */
	(void)close(fd);
	errno = 12345;
	check(listen(twin, 99) == 0 && errno == 12345, "listen");
	check((fcntl(twin, F_GETFD) & FD_CLOEXEC) == 0, "close-on-exec, which dup() takes off");
	check((fcntl(twin, F_GETFL) & O_NONBLOCK) != 0, "O_NONBLOCK");
	check(get(twin, IPPROTO_TCP, TCP_NODELAY) == 1, "TCP_NODELAY after");
	check(get(twin, IPPROTO_TCP, TCP_KEEPIDLE) == 77, "TCP_KEEPIDLE after");
	check(get(twin, SOL_SOCKET, SO_RCVBUF) == 2 * small, "SO_RCVBUF after");
	check(get(twin, SOL_SOCKET, SO_ACCEPTCONN) == 1, "SO_ACCEPTCONN");
	check(getsockname(twin, (struct sockaddr *)&seen, &len) == 0 &&
	              seen.sin_port == addr.sin_port &&
	              seen.sin_addr.s_addr == addr.sin_addr.s_addr,
	      "getsockname after listen");
	check(accept(twin, NULL, NULL) < 0 && errno == EAGAIN, "accept");
	/* A listener on port 0 is the program's own. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = 0;
	check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 1) == 0 &&
	              get(fd, SOL_SOCKET, SO_REUSEPORT) == 0,
	      "port 0");
	(void)printf("ok\n");
	(void)fflush(stdout);
}

static void stop(const char *port)
{
	int fd = open_at(port, SOCK_STREAM, SO_REUSEADDR);

	check(listen(fd, 8) == 0, "listen");
	serve_one(fd);
	check(shutdown(fd, SHUT_RDWR) == 0, "shutdown");
	check(accept(fd, NULL, NULL) < 0 && errno == EINVAL, "accept after shutdown");
	(void)printf("stopped\n");
	(void)fflush(stdout);
}

static void given(const char *n)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	long number = strtol(n, NULL, 10);

	errno = ENOENT;
	check(pid != NULL && strtol(pid, NULL, 10) == getpid(), "LISTEN_PID");
	check(fds != NULL && number < strtol(fds, NULL, 10), "LISTEN_FDS");
	check(get(3 + (int)number, SOL_SOCKET, SO_ACCEPTCONN) == 1, "not listening");
	/* As from systemd it blocks, or not: that is the program's to say. */
	check(fcntl(3 + (int)number, F_SETFL, 0) == 0, "fcntl");
	serve(3 + (int)number);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	int n = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0, fd;

	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(mode, "serve") == 0 || strcmp(mode, "prefork") == 0) {
		fd = open_at(argv[2], SOCK_STREAM, SO_REUSEADDR);
		check(listen(fd, 64) == 0, "listen");
		if (mode[0] == 'p')
			fork_out(fd, argv[2], n);
		serve(fd);
	} else if (strcmp(mode, "reuseport") == 0) {
		fork_out(-1, argv[2], n);
	} else if (strcmp(mode, "udp") == 0) {
		udp(argv[2]);
	} else if (strcmp(mode, "unix") == 0) {
		serve_unix(argv[2]);
	} else if (strcmp(mode, "client") == 0 && argc > 3) {
		client(argv[2], argv[3]);
	} else if (strcmp(mode, "details") == 0) {
		details(argv[2]);
	} else if (strcmp(mode, "given") == 0) {
		given(argv[2]);
	} else if (strcmp(mode, "stop") == 0) {
		stop(argv[2]);
	} else {
		check(0, "usage: listeners MODE PORT ...");
	}
	return 0;
}
