#include "agent/shim/shim_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXCLUDES_MAX 32

static struct {
	unsigned low, high; /* ports; 0: a path */
	const char *path;   /* in the environment's text, len bytes */
	size_t len;
} excludes[EXCLUDES_MAX];
static size_t n_excludes;
static bool no_tcp, no_udp, no_unix;

static bool is_word(const char *at, size_t len, const char *word)
{
	return len == strlen(word) && strncmp(at, word, len) == 0;
}

static void exclude(const char *at, size_t len)
{
	char *end;

	if (is_word(at, len, "tcp"))
		no_tcp = true;
	else if (is_word(at, len, "udp"))
		no_udp = true;
	else if (is_word(at, len, "unix"))
		no_unix = true;
	else if (n_excludes < EXCLUDES_MAX && (at[0] == '/' || at[0] == '@')) {
		excludes[n_excludes].path = at;
		excludes[n_excludes++].len = len;
	} else if (n_excludes < EXCLUDES_MAX && at[0] >= '1' && at[0] <= '9') {
		excludes[n_excludes].low = (unsigned)strtoul(at, &end, 10);
		excludes[n_excludes].high = *end == '-' ? (unsigned)strtoul(end + 1, NULL, 10)
		                                        : excludes[n_excludes].low;
		n_excludes++;
	}
}

void shim_policy_init(const char *list)
{
	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ",");

		if (len > 0)
			exclude(list, len);
		list += len + (list[len] == ',');
	}
}

static bool port_is_excluded(unsigned port)
{
	for (size_t i = 0; i < n_excludes; i++)
		if (excludes[i].path == NULL && port >= excludes[i].low && port <= excludes[i].high)
			return true;
	return false;
}

static bool path_is_excluded(const char *path)
{
	for (size_t i = 0; i < n_excludes; i++)
		if (excludes[i].path != NULL && is_word(excludes[i].path, excludes[i].len, path))
			return true;
	return false;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

static bool has_device(int fd)
{
	char name[IF_NAMESIZE];
	socklen_t len = sizeof(name);

	return getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) == 0 && len > 0 &&
	       name[0] != '\0';
}

static bool inet_is_shared(int fd, const union shim_addr *a, struct shim_request *out)
{
	out->family = SHIM_INET;
	out->port = ntohs(a->in.sin_port);
	memcpy(out->inet, &a->in.sin_addr, 4);
	return !IN_MULTICAST(ntohl(a->in.sin_addr.s_addr)) && !has_device(fd) && out->port != 0 &&
	       !port_is_excluded(out->port);
}

static bool inet6_is_shared(int fd, const union shim_addr *a, struct shim_request *out)
{
	out->family = SHIM_INET6;
	out->port = ntohs(a->in6.sin6_port);
	out->scope = a->in6.sin6_scope_id;
	out->v6_only = option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
	memcpy(out->inet, &a->in6.sin6_addr, 16);
	return !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr) && !has_device(fd) && out->port != 0 &&
	       !port_is_excluded(out->port);
}

bool shim_absolute(const char *path, size_t len, char out[108])
{
	size_t at = 0;

	if (len == 0 || path[0] != '/') {
		if (getcwd(out, 108) == NULL)
			return false;
		at = strlen(out);
		if (at + 1 >= 108)
			return false;
		out[at++] = '/';
	}
	if (at + len >= 108)
		return false;
	memcpy(out + at, path, len);
	memset(out + at + len, 0, 108 - at - len);
	return true;
}

static bool unix_is_shared(const struct note *note, struct shim_request *out)
{
	size_t head = offsetof(struct sockaddr_un, sun_path), len;

	out->family = SHIM_UNIX;
	if (no_unix || out->dgram != 0 || note->len <= head)
		return false; /* also: no address, which the kernel chooses */
	len = (size_t)note->len - head;
	if (note->addr.un.sun_path[0] == '\0') {
		if (len < 2 || len >= sizeof(out->path) ||
		    memchr(note->addr.un.sun_path + 1, '\0', len - 1) != NULL)
			return false;
		memcpy(out->path, note->addr.un.sun_path, len);
		out->path[0] = '@';
	} else {
		len = strnlen(note->addr.un.sun_path, len);
		if (!shim_absolute(note->addr.un.sun_path, len, out->path))
			return false;
	}
	return !path_is_excluded(out->path);
}

bool shim_is_shared(int fd, const struct note *note, struct shim_request *out)
{
	int type = option(fd, SOL_SOCKET, SO_TYPE), domain = option(fd, SOL_SOCKET, SO_DOMAIN);
	int protocol = option(fd, SOL_SOCKET, SO_PROTOCOL);

	memset(out, 0, sizeof(*out));
	out->magic = SHIM_MAGIC;
	out->version = SHIM_VERSION;
	if ((type != SOCK_STREAM && type != SOCK_DGRAM) || note->addr.any.sa_family != domain)
		return false;
	out->dgram = type == SOCK_DGRAM;
	if (domain == AF_UNIX)
		return unix_is_shared(note, out);
	/* SCTP, MPTCP, ping sockets and the like are the program's own. */
	if (out->dgram != 0 ? no_udp || protocol != IPPROTO_UDP : no_tcp || protocol != IPPROTO_TCP)
		return false;
	if (domain == AF_INET && note->len >= sizeof(struct sockaddr_in))
		return inet_is_shared(fd, &note->addr, out);
	if (domain == AF_INET6 && note->len >= sizeof(struct sockaddr_in6))
		return inet6_is_shared(fd, &note->addr, out);
	return false;
}
