#include "agent/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/keeper.h"
#include "agent/store.h"
#include "proto/log.h"

/* How long the new program may take to say that it is well. */
#define SELF_CHECK_MS 5000

struct upgrade {
	struct super *su;        /* borrowed */
	struct session *session; /* a reference, or NULL */
	uint64_t id;
	char path[PM_PATH_MAX];
};

void upgrade_own_path(char *out, size_t size)
{
	static const char deleted[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", out, size - 1);

	if (n < 0)
		n = 0;
	out[n] = '\0';
	if ((size_t)n > sizeof(deleted) && strcmp(out + n - (sizeof(deleted) - 1), deleted) == 0)
		out[(size_t)n - (sizeof(deleted) - 1)] = '\0';
}

static void tell(struct upgrade *up, const struct pm_error *err)
{
	Pm__Result result = PM__RESULT__INIT;
	static char words[] = "upgrade under way";

	if (err != NULL) {
		pm_log(PM_LOG_ERROR, "agent.upgrade", "%s", err->what);
		(void)snprintf(up->su->upgrade_note, sizeof(up->su->upgrade_note),
		               "refused: %.120s", err->what);
	}
	if (up->session == NULL)
		return;
	result.text = words;
	if (err != NULL)
		session_reply_error(up->session, up->id, err);
	else
		session_reply_result(up->session, up->id, &result);
}

static int ask_keeper(struct upgrade *up, int status, struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	if (status != 0) {
		if (status < 0)
			pm_fail(err, PM_FAILED, "upgrade: %.150s cannot be executed: %s", up->path,
			        strerror(-status));
		else
			pm_fail(err, PM_FAILED,
			        "upgrade: %.150s does not pass its self-check (status %d)",
			        up->path, status);
		pm_hint(err, "the running version goes on; install a program that works");
		return -1;
	}
	fd = open(up->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return pm_fail_errno(err, errno, "upgrade: open %s", up->path);
	store_publish(up->su->store);
	keeper_promote_note("upgrade failed: the new keeper died");
	return keeper_client_upgrade(up->su->keeper, fd, err);
}

static void on_checked(void *arg, int status)
{
	struct upgrade *up = arg;
	struct pm_error err;
	int rc = ask_keeper(up, status, &err);

	tell(up, rc < 0 ? &err : NULL);
	session_unref(up->session);
	free(up);
}

int upgrade_start(struct super *su, struct session *s, uint64_t id, const char *path,
                  struct pm_error *err)
{
	const char *argv[] = { "pmd", "agent", "--self-check", NULL };
	struct upgrade *up = pm_calloc(1, sizeof(*up));

	if (up == NULL)
		return pm_fail(err, PM_NO_MEMORY, "upgrade");
	up->su = su;
	up->id = id;
	if (*path != '\0')
		(void)snprintf(up->path, sizeof(up->path), "%s", path);
	else
		upgrade_own_path(up->path, sizeof(up->path));
	if (job_run(su, up->path, argv, SELF_CHECK_MS, on_checked, up, err) < 0) {
		free(up);
		return -1;
	}
	up->session = s == NULL ? NULL : session_ref(s);
	return 0;
}
