#include "agent/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWN_OOM_SCORE_ADJ (-900)

_Static_assert(RLIM_NLIMITS <= ORIGIN_LIMITS, "a new limit needs a new KEEPER_PROTO");

static int read_oom(void)
{
	PM_CLOSE int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	char text[16];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return 0; /* no /proc: then nobody can set it either */
	text[n] = '\0';
	return (int)strtol(text, NULL, 10);
}

bool origin_set_oom(int value)
{
	PM_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", value);

	return fd >= 0 && write(fd, text, (size_t)len) == len;
}

void origin_apply_own(struct origin *o)
{
	struct rlimit core = { 0, 0 }, files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files); /* stays lower; starts then say so */
	}
	/* The soft limit only: without privileges the hard one could not be given back to apps. */
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = 0;
		(void)setrlimit(RLIMIT_CORE, &core);
	}
	o->own_oom_score_adj = read_oom();
	if (o->own_oom_score_adj > OWN_OOM_SCORE_ADJ && origin_set_oom(OWN_OOM_SCORE_ADJ))
		o->own_oom_score_adj = OWN_OOM_SCORE_ADJ;
}

void origin_take(struct origin *o)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	memset(o, 0, sizeof(*o));
	/* Started from an app of some agent, we would carry that app's tag (agent/tree.h) and die
	 * with it.  Only root can shed it. */
	(void)setrlimit(RLIMIT_RTTIME, &none);
	for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
		struct rlimit l = none;

		(void)prlimit(0, (enum __rlimit_resource)i, NULL, &l);
		o->limits[i] = (struct origin_limit){ l.rlim_cur, l.rlim_max };
	}
	o->oom_score_adj = read_oom();
	origin_apply_own(o);
}

int origin_write(const struct origin *o, int *fd, struct pm_error *err)
{
	PM_CLOSE int mem = memfd_create("pmd-origin", MFD_CLOEXEC);

	if (mem < 0 || pwrite(mem, o, sizeof(*o), 0) != (ssize_t)sizeof(*o))
		return pm_fail_errno(err, errno, "keep the limits the agent was started with");
	*fd = PM_STEAL_FD(mem);
	return 0;
}

int origin_read(int fd, struct origin *o, struct pm_error *err)
{
	struct origin got;

	if (pread(fd, &got, sizeof(got), 0) != (ssize_t)sizeof(got))
		return pm_fail(err, PM_CORRUPT, "read the limits the agent was started with");
	*o = got;
	return 0;
}
