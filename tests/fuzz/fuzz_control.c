/* fuzz_control.c - any bytes on the control socket: no crash, no handle or session left behind. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/control.h"
#include "proto/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct session *kept;
static unsigned n_open_streams, n_pages;

static void welcome(void *arg, struct session *s, Pm__Welcome *w)
{
	(void)arg;
	(void)s;
	w->n_cpus = 1;
}

/* Answer some at once; keep one session over its end. */
static void command(void *arg, struct session *s, uint64_t id, const Pm__Command *cmd)
{
	Pm__Result result = PM__RESULT__INIT;

	(void)arg;
	if (cmd->force && kept == NULL)
		kept = session_ref(s);
	if (cmd->no_wait)
		session_goodbye(s, "told to", 1);
	else if (!cmd->relative)
		session_reply_result(s, id, &result);
}

static bool page(void *arg, struct session *s, uint64_t re)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusList list = PM__STATUS_LIST__INIT;

	(void)arg;
	list.more = ++n_pages % 16 != 0;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env.status_list = &list;
	(void)session_send(s, &env); /* fits a record */
	return list.more;
}

static void status(void *arg, struct session *s, uint64_t id, const Pm__StatusRequest *req)
{
	(void)req;
	session_reply_pages(s, id, page, NULL, arg);
}

static void spec_push(void *arg, struct session *s, uint64_t id, const Pm__SpecPush *push)
{
	struct pm_error err;

	(void)arg;
	if (push->spec != NULL)
		return;
	(void)pm_fail(&err, PM_CONFIG, "no spec");
	session_reply_error(s, id, &err);
}

static void send_some(struct session_stream *st)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__Gap gap = PM__GAP__INIT;
	char why[3000];

	memset(why, 'w', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	gap.why = why;
	data.what_case = PM__STREAM_DATA__WHAT_GAP;
	data.gap = &gap;
	for (int i = 0; i < 64; i++)
		if (stream_send(st, &data) != STREAM_SENT)
			return;
	n_open_streams--;
	stream_close(st, PM_OK, "enough");
}

static int stream_open(void *arg, struct session_stream *st, const Pm__StreamOpen *open,
                       struct pm_error *err)
{
	(void)arg;
	if (open->what_case == PM__STREAM_OPEN__WHAT__NOT_SET)
		return pm_fail(err, PM_UNSUPPORTED, "a stream of nothing");
	n_open_streams++;
	if (open->what_case == PM__STREAM_OPEN__WHAT_LOGS)
		send_some(st);
	return 0;
}

static void stream_ready(void *arg, struct session_stream *st)
{
	(void)arg;
	send_some(st);
}

static void stream_closed(void *arg, struct session_stream *st)
{
	(void)arg;
	(void)st;
	n_open_streams--;
}

static void session_closed(void *arg, struct session *s)
{
	(void)arg;
	(void)s;
}

static const struct control_handlers handlers = {
	welcome,     command,      status,        spec_push,
	stream_open, stream_ready, stream_closed, session_closed,
};

static void start(uv_loop_t *loop, struct control **control)
{
	struct pm_error err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || uv_loop_init(loop) < 0 ||
	    control_create(loop, fd, &handlers, NULL, control, &err) < 0)
		abort();
}

/* The records' greeting is put before the input unless its first byte is odd. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t hello[] = { 0, 8, 8, 1, 0x52, 4, 8, 1, 16, 1 };
	static struct control *control;
	static uv_loop_t loop;
	struct pm_error err;
	int fds[2];

	if (size < 1 || size > 60000)
		return 0;
	if (control == NULL)
		start(&loop, &control);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
	    ((data[0] & 1) == 0 &&
	     send(fds[1], hello, sizeof(hello), 0) != (ssize_t)sizeof(hello)) ||
	    send(fds[1], data + 1, size - 1, 0) < 0 || control_adopt(control, fds[0], &err) < 0)
		abort();
	for (int i = 0; i < 3; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	(void)close(fds[1]);
	for (int i = 0; i < 100 && control_n_sessions(control) > 0; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	session_unref(kept);
	kept = NULL;
	if (control_n_sessions(control) != 0 || n_open_streams != 0)
		abort();
	return 0;
}
