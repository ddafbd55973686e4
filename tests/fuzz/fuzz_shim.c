/* fuzz_shim.c - what a worker writes to the socket of the preload library: records, cut where a
 * length byte before each says, the first as they are and as a key. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "agent/shim_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int hold(void *arg, const char *name, int fd, struct pm_error *err)
{
	(void)arg;
	(void)name;
	(void)fd;
	/* Nothing is held, so nothing is made: no input opens a port or a path of this machine. */
	return fd < 0 ? 0 : pm_fail(err, PM_LIMIT, "hold");
}

static void on_listening(void *arg, const struct socket_key *key)
{
	(void)arg;
	assert(memchr(key->address, '\0', sizeof(key->address)) != NULL);
	assert(key->family == AF_UNIX || key->port != 0);
	assert(!key->declared);
}

static void send_all(int worker, const uint8_t *data, size_t size)
{
	while (size > 0) {
		size_t len = PM_MIN((size_t)data[0], size - 1);

		if (send(worker, data + 1, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		data += 1 + len;
		size -= 1 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sockets_hooks hooks = { NULL, hold };
	struct shim_server_config config = { .on_listening = on_listening };
	struct shim_server *server = NULL;
	struct sockets *sockets = NULL;
	struct pm_error err;
	uv_loop_t loop;
	char env[48];
	int ours = -1, worker = -1;

	if (uv_loop_init(&loop) < 0 || sockets_create(1, NULL, &hooks, &sockets, &err) < 0)
		return 0;
	config.sockets = sockets;
	if (shim_server_pair(3, &ours, &worker, env, sizeof(env), &err) == 0 &&
	    shim_server_create(&loop, ours, &config, &server, &err) == 0) {
		send_all(worker, data, size);
		for (int i = 0; i < 8; i++)
			(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	shim_server_close(server);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert(uv_loop_close(&loop) == 0);
	sockets_destroy(sockets, true);
	if (worker >= 0)
		(void)close(worker);
	return 0;
}
