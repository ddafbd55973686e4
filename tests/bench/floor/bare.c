/*
 * bare.c - a program twice on one port, and nothing else: what any manager of two workers is
 * measured against. Usage: bare PORT PROGRAM ARG...
 *
 * Each gets its own SO_REUSEPORT socket as descriptor 3; the kernel picks at random.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKERS = 2,
	BACKLOG = 511
};

static int listen_there(unsigned port)
{
	const struct sockaddr_in where = { .sin_family = AF_INET,
		                           .sin_port = htons((uint16_t)port),
		                           .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&where, sizeof(where)) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		perror("bare: listen");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM) },
		{ BPF_ALU | BPF_MOD | BPF_K, 0, 0, WORKERS },
		{ BPF_RET | BPF_A, 0, 0, 0 },
	};
	const struct sock_fprog pick = { sizeof(code) / sizeof(code[0]), code };
	int fds[WORKERS];

	if (argc < 3)
		return 2;
	for (int i = 0; i < WORKERS; i++)
		fds[i] = listen_there((unsigned)atoi(argv[1]));
	if (setsockopt(fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &pick, sizeof(pick)) < 0) {
		perror("bare: pick");
		return 1;
	}
	for (int i = 0; i < WORKERS; i++) {
		if (fork() != 0)
			continue;
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setsid() < 0 || dup2(fds[i], 3) < 0)
			_exit(126);
		if (fds[i] == 3) /* it would be closed */
			(void)fcntl(3, F_SETFD, 0);
		(void)execvp(argv[2], argv + 2);
		perror("bare: exec");
		_exit(127);
	}
	while (wait(NULL) > 0)
		continue;
	return 0;
}
