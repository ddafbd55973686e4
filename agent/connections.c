#include "agent/connections.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/tree.h"

/* Connections of one instance that are looked at; more are as good as so many. */
#define INODES_MAX 65536
/* One test of a port in the filter: a condition with its address, and the jump behind it. */
#define TEST_BYTES (sizeof(struct inet_diag_bc_op) + sizeof(struct inet_diag_hostcond))
#define JUMP_BYTES sizeof(struct inet_diag_bc_op)

struct look {
	uint64_t tag;
	uint64_t *inodes; /* owned: sockets of its processes, sorted before they are searched */
	size_t n, cap;
	uint16_t ports[SOCKETS_KEYS_MAX];
	size_t n_ports;
	unsigned found;
};

/* ---- the sockets of its processes ---- */

static void add_inode(struct look *l, uint64_t inode)
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		uint64_t *more =
			cap > INODES_MAX ? NULL : pm_realloc(l->inodes, cap * sizeof(*more));

		if (more == NULL)
			return; /* those that are known are enough to wait for */
		l->inodes = more;
		l->cap = cap;
	}
	l->inodes[l->n++] = inode;
}

static void add_process(void *arg, const struct tree_process *p)
{
	struct look *l = arg;
	char path[64], target[64];
	const struct dirent *e;
	uint64_t inode;
	DIR *dir;

	if (p->tag != l->tag)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)p->pid);
	dir = opendir(path);
	if (dir == NULL)
		return; /* it has gone */
	while ((e = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1)
			add_inode(l, inode);
	}
	(void)closedir(dir);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_its(const struct look *l, uint64_t inode)
{
	return inode != 0 && l->n > 0 &&
	       bsearch(&inode, l->inodes, l->n, sizeof(*l->inodes), compare) != NULL;
}

/* ---- TCP ---- */

/* "its local port is one of these": condition or condition or ... Returns its length. */
static size_t write_filter(const struct look *l, unsigned char *out)
{
	size_t len = l->n_ports * (TEST_BYTES + JUMP_BYTES) - JUMP_BYTES, at = 0;

	for (size_t i = 0; i < l->n_ports; i++) {
		struct inet_diag_bc_op test = { .code = INET_DIAG_BC_S_COND,
			                        .yes = TEST_BYTES,
			                        .no = TEST_BYTES + JUMP_BYTES };
		const struct inet_diag_hostcond port = { .family = AF_UNSPEC, .port = l->ports[i] };

		memcpy(out + at, &test, sizeof(test));
		memcpy(out + at + sizeof(test), &port, sizeof(port));
		at += TEST_BYTES;
		if (at < len) { /* it holds: to the end, which means yes */
			test = (struct inet_diag_bc_op){ .code = INET_DIAG_BC_JMP,
				                         .yes = JUMP_BYTES,
				                         .no = (unsigned short)(len - at) };
			memcpy(out + at, &test, sizeof(test));
			at += JUMP_BYTES;
		}
	}
	return len;
}

static int ask(int fd, const struct look *l, int family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
		struct nlattr attr;
		unsigned char filter[SOCKETS_KEYS_MAX * (TEST_BYTES + JUMP_BYTES)];
	} m = {
		.head = { .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .sdiag_family = (uint8_t)family,
		             .sdiag_protocol = IPPROTO_TCP,
		             .idiag_states = ~(1u << TCP_LISTEN | 1u << TCP_TIME_WAIT) },
	};
	size_t len = write_filter(l, m.filter);

	m.attr = (struct nlattr){ .nla_len = (uint16_t)(sizeof(m.attr) + len),
		                  .nla_type = INET_DIAG_REQ_BYTECODE };
	m.head.nlmsg_len = (uint32_t)(sizeof(m.head) + sizeof(m.request) + m.attr.nla_len);
	return send(fd, &m, m.head.nlmsg_len, 0) < 0 ? -1 : 0;
}

/* Returns 1 at the end, 0 when more follow, -1 with errno. */
static int take_answer(struct look *l, const struct nlmsghdr *h, size_t len)
{
	for (size_t step; NLMSG_OK(h, len); len -= PM_MIN(step, len)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			errno = -e->error;
			return -1;
		}
		l->found += is_its(l, m->idiag_inode);
		/* NLMSG_NEXT() in words that do not lose the alignment. */
		step = NLMSG_ALIGN(h->nlmsg_len);
		h = (const struct nlmsghdr *)(const void *)((const char *)h + step);
	}
	return 0;
}

static int count_tcp(struct look *l, int family, struct pm_error *err)
{
	PM_CLOSE int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	_Alignas(struct nlmsghdr) char bytes[32768];
	int rc = 0;

	if (fd < 0 || ask(fd, l, family) < 0)
		return pm_fail_errno(err, errno, "ask for connections");
	while (rc == 0) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n <= 0)
			return pm_fail_errno(err, errno, "ask for connections");
		rc = take_answer(l, (const struct nlmsghdr *)(const void *)bytes, (size_t)n);
	}
	return rc < 0 ? pm_fail_errno(err, errno, "ask for connections") : 0;
}

/* ---- unix sockets ---- */

/* The accepted end has the listener's path; its columns: num refs protocol flags type state inode
 * path, and state 3 is connected. */
static bool is_connected_to(const struct sockets *s, char *line, uint64_t *inode)
{
	unsigned state;
	int path = 0;

	line[strcspn(line, "\n")] = '\0';
	/* The path is the rest of the line, and may hold spaces. */
	return sscanf(line, "%*s %*x %*x %*x %*x %x %" SCNu64 " %n", &state, inode, &path) == 2 &&
	       path > 0 && state == 3 && sockets_has_path(s, line + path);
}

/* The socket at the other end of a unix socket; 0: none any more, or the kernel does not say. */
static uint64_t unix_peer(int fd, uint64_t inode)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req request;
	} m = {
		.head = { .nlmsg_len = sizeof(m),
		          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		          .nlmsg_flags = NLM_F_REQUEST },
		.request = { .sdiag_family = AF_UNIX,
		             .udiag_states = UINT32_MAX,
		             .udiag_ino = (uint32_t)inode,
		             .udiag_show = UDIAG_SHOW_PEER,
		             .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
	};
	_Alignas(struct nlmsghdr) char bytes[512];
	const struct nlmsghdr *h = (const void *)bytes;
	const size_t head = NLMSG_LENGTH(sizeof(struct unix_diag_msg));
	const struct rtattr *a;
	uint32_t peer = 0;
	ssize_t n;

	if (fd < 0 || send(fd, &m, sizeof(m), 0) < 0)
		return 0;
	n = recv(fd, bytes, sizeof(bytes), 0);
	if (n < (ssize_t)(NLMSG_ALIGN(head) + RTA_LENGTH(sizeof(peer))) ||
	    h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	/* The one attribute that was asked for. */
	a = (const void *)(bytes + NLMSG_ALIGN(head));
	if (a->rta_type == UNIX_DIAG_PEER && a->rta_len == RTA_LENGTH(sizeof(peer)))
		memcpy(&peer, RTA_DATA(a), sizeof(peer));
	return peer;
}

/* What its own processes have between them ends with them: nobody waits for an answer there. */
static void count_unix(struct look *l, const struct sockets *s)
{
	PM_CLOSE int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	FILE *file = fopen("/proc/net/unix", "re");
	char line[512];
	uint64_t inode;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (is_connected_to(s, line, &inode) && is_its(l, inode))
			l->found += !is_its(l, unix_peer(fd, inode));
	if (file != NULL)
		(void)fclose(file);
}

static bool has_family(const struct sockets *s, int type, int family)
{
	const struct socket_key *key;

	for (size_t i = 0; (key = sockets_key(s, i)) != NULL; i++)
		if (key->type == type && key->family == family)
			return true;
	return false;
}

static void find_ports(struct look *l, const struct sockets *s)
{
	const struct socket_key *key;
	char text[128];
	uint16_t port;

	for (size_t i = 0; (key = sockets_key(s, i)) != NULL; i++)
		if (key->type == SOCK_STREAM && key->family != AF_UNIX &&
		    sockets_address(s, key, text, sizeof(text), &port) &&
		    l->n_ports < SOCKETS_KEYS_MAX)
			l->ports[l->n_ports++] = port;
}

static int count(struct look *l, const struct sockets *s, uint32_t home_nonce, struct pm_error *err)
{
	if (tree_walk(home_nonce, false, add_process, l, err) < 0)
		return -1;
	if (l->n > 0)
		qsort(l->inodes, l->n, sizeof(*l->inodes), compare);
	find_ports(l, s);
	/* An IPv4 connection to a socket of both kinds is one of AF_INET6. */
	if (l->n > 0 && l->n_ports > 0 &&
	    ((has_family(s, SOCK_STREAM, AF_INET) && count_tcp(l, AF_INET, err) < 0) ||
	     (has_family(s, SOCK_STREAM, AF_INET6) && count_tcp(l, AF_INET6, err) < 0)))
		return -1;
	if (l->n > 0 && has_family(s, SOCK_STREAM, AF_UNIX))
		count_unix(l, s);
	return 0;
}

int connections_count(const struct sockets *s, uint32_t home_nonce, uint64_t tag, unsigned *n,
                      struct pm_error *err)
{
	struct look l = { .tag = tag };
	int rc = count(&l, s, home_nonce, err);

	free(l.inodes);
	if (rc == 0)
		*n = l.found;
	return rc;
}
