/* fuzz_ipc.c - what an app writes to its message channel, in pieces, also while messages close the
 * channel. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/ipc.h"
#include "proto/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	struct ipc *ipc;
	size_t n, close_at;
};

static void on_message(void *arg, const char *line, size_t len)
{
	struct heard *h = arg;

	assert(len > 0 && len <= PM_IPC_LINE_MAX && line[len] == '\0' &&
	       memchr(line, '\n', len) == NULL);
	if (++h->n == h->close_at) {
		ipc_close(h->ipc);
		h->ipc = NULL;
	}
}

static void turn(uv_loop_t *loop)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heard heard = { 0 };
	struct pm_error err;
	uv_loop_t loop;
	int ends[2];

	if (size < 2 || uv_loop_init(&loop) < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return 0;
	heard.close_at = data[0] % 8;
	if (ipc_create(&loop, ends[0], on_message, NULL, &heard, &heard.ipc, &err) == 0) {
		size_t piece = 1 + data[1] * 16u;

		for (size_t at = 2; at < size && heard.ipc != NULL; at += piece) {
			size_t len = PM_MIN(piece, size - at);

			if (send(ends[1], data + at, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				break;
			turn(&loop);
		}
		if (heard.ipc != NULL)
			(void)ipc_send(heard.ipc,
			               "\"shutdown\""); /* whether it arrives is not the question */
		ipc_close(heard.ipc);
	}
	(void)close(ends[1]);
	turn(&loop);
	assert(uv_loop_close(&loop) == 0);
	return 0;
}
