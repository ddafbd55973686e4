/* logs.c - the owner of streams, files and readers. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/capture.h"

static void on_timer(uv_timer_t *timer)
{
	struct logs *l = timer->data;
	uint64_t now_ms = uv_now(l->loop);

	l->wake_at_ms = 0;
	logfiles_tick(l, now_ms);
	streams_tick(l, now_ms);
}

void logs_wake_at(struct logs *l, uint64_t at_ms)
{
	uint64_t now_ms = uv_now(l->loop);

	at_ms = PM_MAX(at_ms, 1);
	if (l->closing || (l->wake_at_ms != 0 && l->wake_at_ms <= at_ms))
		return;
	l->wake_at_ms = at_ms;
	(void)uv_timer_start(&l->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0,
	                     0); /* fails for a closing timer or no callback only */
}

int logs_create(uv_loop_t *loop, const char *home, const struct logs_hooks *hooks,
                struct logs **out, struct pm_error *err)
{
	struct logs *l = pm_calloc(1, sizeof(*l));
	int rc;

	if (l == NULL)
		return pm_fail(err, PM_NO_MEMORY, "logs");
	l->loop = loop;
	l->refs = 1;
	l->hooks = *hooks;
	l->timer.data = l;
	l->home = pm_strdup(home);
	rc = l->home == NULL ? UV_ENOMEM : uv_timer_init(loop, &l->timer);
	if (rc < 0) {
		free(l->home);
		free(l);
		return pm_fail_errno(err, -rc, "logs");
	}
	/* A log file at the size limit of our process is an error to deal with, not our end. */
	(void)signal(SIGXFSZ, SIG_IGN);
	*out = l;
	return 0;
}

static void let_go(struct logs *l)
{
	if (--l->refs > 0)
		return;
	pm_buf_finish(&l->out);
	free(l->home);
	free(l);
}

struct logs *logs_ref(struct logs *l)
{
	l->refs++;
	l->n_readers++;
	return l;
}

void logs_unref(struct logs *l)
{
	if (--l->n_readers == 0) {
		free(l->scratch);
		l->scratch = NULL;
	}
	let_go(l);
}

static void on_closed(uv_handle_t *handle)
{
	let_go(handle->data);
}

void logs_close(struct logs *l)
{
	if (l == NULL)
		return;
	l->closing = true;
	logs_job_forget(l);
	uv_close((uv_handle_t *)&l->timer, on_closed);
}

void logs_reopen(struct logs *l)
{
	for (size_t i = 0; i < LOGS_BUCKETS; i++)
		for (struct logfile *f = l->files[i]; f != NULL; f = logfile_next(f))
			logfile_reopen(f);
}

int logs_flush(struct logs *l, const char *path, struct pm_error *err)
{
	struct logfile *f = logfile_ref(l, path);
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int rc = fd < 0 ? errno : 0;
	struct stat st = { 0 };

	if (rc == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0)
		rc = errno;
	if (fd >= 0)
		(void)close(fd);
	if (rc == 0 && f != NULL && logfile_ino(f) == st.st_ino)
		logfile_flush(f); /* otherwise the next write sees it */
	logfile_unref(f);
	if (rc == 0 || rc == ENOENT)
		return 0;
	return pm_fail_errno(err, rc, "flush %s", path);
}
