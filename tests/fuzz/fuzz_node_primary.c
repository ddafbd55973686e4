/* fuzz_node_primary.c - a hostile worker's messages in node's cluster protocol. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/node_primary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In place of the real sockets: nothing is bound because a fuzzer says so. */
int sockets_get(struct sockets *s, const struct socket_key *key, uint32_t seat, unsigned generation,
                int *fd, int *errnum, struct pm_error *err)
{
	(void)s;
	(void)seat;
	(void)generation;
	*fd = STDERR_FILENO;
	*errnum = EADDRINUSE;
	return key->port % 2 == 0 ? 0 : pm_fail(err, PM_FAILED, "taken: %s", key->address);
}

const struct socket_key *sockets_key(const struct sockets *s, size_t i)
{
	static const struct socket_key key = { .type = SOCK_STREAM, .family = AF_INET, .port = 80 };

	(void)s;
	return i == 0 ? &key : NULL;
}

void sockets_close_tried(struct sockets *s, const struct socket_key *key, uint32_t seat,
                         unsigned generation)
{
	(void)s;
	(void)key;
	(void)seat;
	(void)generation;
}

void sockets_unask(struct sockets *s, const struct socket_key *key, uint32_t seat,
                   unsigned generation)
{
	(void)s;
	(void)key;
	(void)seat;
	(void)generation;
}

static bool has_joined;

int sockets_do_not_wait(int fd)
{
	(void)fd;
	return 0;
}

uint64_t sockets_bit(const struct sockets *s, const struct socket_key *key)
{
	(void)s;
	return key->port == 80;
}

bool sockets_has_asked_for(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                           unsigned generation)
{
	(void)s;
	(void)seat;
	(void)generation;
	return key->port == 80;
}

bool sockets_has_joined(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                        unsigned generation)
{
	return sockets_has_asked_for(s, key, seat, generation) && has_joined;
}

int sockets_get_common(struct sockets *s, const struct socket_key *key, int *fd,
                       struct pm_error *err)
{
	(void)s;
	*fd = STDERR_FILENO;
	return key->port == 80 ? 0 : pm_fail(err, PM_NOT_FOUND, "no common socket");
}

void sockets_join(struct sockets *s, const struct socket_key *key, uint32_t seat,
                  unsigned generation)
{
	has_joined = sockets_has_asked_for(s, key, seat, generation);
}

void sockets_unjoin(struct sockets *s, const struct socket_key *key, uint32_t seat,
                    unsigned generation)
{
	(void)s;
	(void)key;
	(void)seat;
	(void)generation;
	has_joined = false;
}

void sockets_leave(struct sockets *s, uint32_t seat, unsigned generation)
{
	(void)s;
	(void)seat;
	(void)generation;
	has_joined = false;
}

void sockets_set_brief(struct sockets *s, uint32_t seat, unsigned generation, bool brief)
{
	(void)s;
	(void)seat;
	(void)generation;
	(void)brief;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void one_text(void *arg, const char *address)
{
	*(size_t *)arg += strlen(address);
}

static void two_texts(void *arg, const char *address, const char *why)
{
	*(size_t *)arg += strlen(address) + strlen(why);
}

static void message(void *arg, const char *line, size_t len)
{
	*(size_t *)arg += len + (size_t)line[0];
}

static void ignore(void *arg, const char *line, size_t len)
{
	(void)arg;
	(void)line;
	(void)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t sum = 0;
	const struct node_primary_hooks hooks = {
		.arg = &sum,
		.online = nothing,
		.listening = one_text,
		.closed = nothing,
		.left = nothing,
		.refused = two_texts,
		.message = message,
	};
	struct node_shared shared = { 0 };
	struct node_primary *primary;
	struct pm_error err;
	struct ipc *ipc;
	uv_loop_t loop;
	char line[65536];
	int ends[2];

	if (uv_loop_init(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return 0;
	if (ipc_create(&loop, ends[0], ignore, NULL, NULL, &ipc, &err) == 0) {
		if (node_primary_create(ipc, NULL, &shared, 0, 0, &hooks, &primary, &err) == 0) {
			has_joined = false;
			node_primary_join(primary);
			while (size > 0) {
				const uint8_t *end = memchr(data, '\n', size);
				size_t len = end == NULL ? size : (size_t)(end - data);

				if (len > 0 && len < sizeof(line)) {
					memcpy(line, data, len);
					line[len] = '\0';
					node_primary_on_line(primary, line, len);
				}
				len += end != NULL;
				data += len;
				size -= len;
			}
			node_primary_leave(primary);
			node_primary_destroy(primary);
		}
		ipc_close(ipc);
	}
	node_shared_finish(&shared);
	(void)close(ends[1]);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) == 0 ? 0 : -1;
}
