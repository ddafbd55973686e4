/* gate_exec.c - runs a program as a gate.  It has no arguments: what an operator names is a file
 * that root has put there, and that nobody but root can change. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/gates.h"
#include "proto/limits.h"

#define OUTPUT_KEPT 160 /* of what it said last */

struct gate_exec {
	gate_done_fn *done; /* NULL: cancelled */
	void *arg;
	uint32_t timeout_ms;
	bool timed_out;
	uv_process_t process;
	uv_timer_t timer;
	uv_pipe_t output;
	unsigned refs; /* what the loop still holds */
	char said[OUTPUT_KEPT + 1];
	size_t n_said;
	char bytes[2048];
};

/* ---- may it be run ---- */

static bool is_roots(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

int gate_exec_find(const struct gates_config *c, const char *name, char *path, size_t size,
                   struct pm_error *err)
{
	const char *dir = c->dir != NULL ? c->dir : GATES_DIR;
	struct stat st;

	if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
		(void)pm_fail(err, PM_NOT_FOUND, "gate: exec %.60s: there is no %.100s here", name,
		              dir);
		pm_hint(err, "the coordinator's administrator makes it and puts the program there");
		return -1;
	}
	if (!is_roots(&st))
		return pm_fail(err, PM_DENIED,
		               "gate: exec %.60s: %.100s is not root's, or others may write there",
		               name, dir);
	if ((size_t)snprintf(path, size, "%s/%s", dir, name) >= size)
		return pm_fail(err, PM_LIMIT, "gate: exec %.60s: the path is too long", name);
	if (lstat(path, &st) < 0) {
		(void)pm_fail(err, PM_NOT_FOUND, "gate: exec %.60s: there is no such gate", name);
		pm_hint(err, "the coordinator's administrator puts programs into %.60s", dir);
		return -1;
	}
	if (!S_ISREG(st.st_mode) || !is_roots(&st))
		return pm_fail(err, PM_DENIED,
		               "gate: exec %.60s: not a file of root's that only root may write",
		               name);
	if (access(path, X_OK) < 0)
		return pm_fail_errno(err, errno, "gate: exec %.60s", name);
	return 0;
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct gate_exec *e = handle->data;

	if (--e->refs == 0)
		free(e);
}

/* The last line of what it said: why it failed, most often. */
static const char *last_words(struct gate_exec *e)
{
	char *line;

	while (e->n_said > 0 && (e->said[e->n_said - 1] == '\n' || e->said[e->n_said - 1] == ' '))
		e->n_said--;
	e->said[e->n_said] = '\0';
	line = memrchr(e->said, '\n', e->n_said);
	line = line != NULL ? line + 1 : e->said;
	for (char *at = line; *at != '\0'; at++) /* of a program: for a terminal, and the audit */
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = '?';
	return line;
}

static void keep(struct gate_exec *e, const char *bytes, size_t n)
{
	size_t over;

	if (n > OUTPUT_KEPT) {
		bytes += n - OUTPUT_KEPT;
		n = OUTPUT_KEPT;
	}
	over = e->n_said + n > OUTPUT_KEPT ? e->n_said + n - OUTPUT_KEPT : 0;
	memmove(e->said, e->said + over, e->n_said - over);
	memcpy(e->said + e->n_said - over, bytes, n);
	e->n_said = e->n_said - over + n;
}

/* What is there, though the loop has not told of it yet; others may hold the pipe open. */
static void drain(struct gate_exec *e)
{
	uv_os_fd_t fd;
	ssize_t n;

	if (uv_fileno((uv_handle_t *)&e->output, &fd) < 0)
		return;
	for (unsigned most = 64; most > 0; most--) {
		n = read(fd, e->bytes, sizeof(e->bytes));
		if (n <= 0)
			return;
		keep(e, e->bytes, (size_t)n);
	}
}

static void on_exit_status(uv_process_t *process, int64_t status, int sig)
{
	struct gate_exec *e = process->data;
	gate_done_fn *done = e->done;
	char words[GATE_WORDS_MAX];
	const char *said;

	drain(e);
	uv_close((uv_handle_t *)&e->process, on_closed);
	uv_close((uv_handle_t *)&e->timer, on_closed);
	uv_close((uv_handle_t *)&e->output, on_closed);
	if (done == NULL)
		return;
	e->done = NULL;
	said = last_words(e);
	if (e->timed_out)
		(void)snprintf(words, sizeof(words), "no end within %u ms", e->timeout_ms);
	else if (sig != 0)
		(void)snprintf(words, sizeof(words), "killed by signal %d", sig);
	else
		(void)snprintf(words, sizeof(words), "exit code %d%s%.140s", (int)status,
		               *said != '\0' ? ": " : "", said);
	done(e->arg, !e->timed_out && sig == 0 && status == 0, words);
}

static void kill_all(struct gate_exec *e)
{
	/* It is the leader of a session, and was not waited for yet. */
	(void)kill(-e->process.pid, SIGKILL);
}

static void on_timeout(uv_timer_t *timer)
{
	struct gate_exec *e = timer->data;

	e->timed_out = true;
	kill_all(e);
}

void gate_exec_cancel(struct gate_exec *e)
{
	if (e == NULL)
		return;
	e->done = NULL;
	kill_all(e);
}

/* ---- the beginning ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct gate_exec *e = handle->data;

	(void)suggested;
	*out = uv_buf_init(e->bytes, sizeof(e->bytes));
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct gate_exec *e = stream->data;

	if (n > 0)
		keep(e, buf->base, (size_t)n);
	else if (n < 0)
		(void)uv_read_stop(stream);
}

int gate_exec_start(uv_loop_t *loop, const struct gates_config *c, const char *name, char **env,
                    uint32_t timeout_ms, gate_done_fn *done, void *arg, struct gate_exec **out,
                    struct pm_error *err)
{
	char path[PM_PATH_MAX], *argv[2];
	uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE } };
	uv_process_options_t options = { .exit_cb = on_exit_status,
		                         .file = path,
		                         .args = argv,
		                         .env = env,
		                         .cwd = "/",
		                         .flags = UV_PROCESS_DETACHED, /* setsid() */
		                         .stdio_count = 3,
		                         .stdio = stdio };
	struct gate_exec *e;
	uv_file ends[2];
	int rc;

	if (gate_exec_find(c, name, path, sizeof(path), err) < 0)
		return -1;
	rc = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);
	if (rc < 0)
		return pm_fail_errno(err, -rc, "run a gate");
	e = pm_calloc(1, sizeof(*e));
	if (e == NULL) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		return pm_fail(err, PM_NO_MEMORY, "run a gate");
	}
	*e = (struct gate_exec){ .done = done, .arg = arg, .timeout_ms = timeout_ms, .refs = 2 };
	argv[0] = path;
	argv[1] = NULL;
	stdio[1] = stdio[2] = (uv_stdio_container_t){ .flags = UV_INHERIT_FD, .data.fd = ends[1] };
	(void)uv_timer_init(loop, &e->timer); /* never fails, as the next */
	(void)uv_pipe_init(loop, &e->output, 0);
	e->process.data = e->timer.data = e->output.data = e;
	rc = uv_pipe_open(&e->output, ends[0]);
	if (rc < 0)
		(void)close(ends[0]);
	if (rc == 0) {
		rc = uv_spawn(loop, &e->process, &options);
		e->refs++; /* also where it failed */
	}
	(void)close(ends[1]);
	if (rc < 0) {
		if (e->refs == 3)
			uv_close((uv_handle_t *)&e->process, on_closed);
		uv_close((uv_handle_t *)&e->timer, on_closed);
		uv_close((uv_handle_t *)&e->output, on_closed);
		return pm_fail_errno(err, -rc, "run %s", path);
	}
	(void)uv_read_start((uv_stream_t *)&e->output, on_alloc, on_output);
	(void)uv_timer_start(&e->timer, on_timeout, timeout_ms, 0);
	*out = e;
	return 0;
}
