#include "agent/own_facts.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/super.h"

/* protobuf-c's strings are not const; it only reads these. */
static char *word(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* How the control groups are mounted: cgroups(7). */
static const char *cgroup_mode(void)
{
	struct statfs fs;

	if (statfs("/sys/fs/cgroup", &fs) < 0)
		return "none";
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return "v2";
	if (statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return "hybrid";
	return access("/sys/fs/cgroup/memory", F_OK) == 0 || access("/sys/fs/cgroup/cpu", F_OK) == 0
	               ? "v1"
	               : "none";
}

static uint32_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint32_t n = 0;

	if (dir == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	(void)closedir(dir);      /* nothing was written */
	return n > 0 ? n - 1 : 0; /* less the directory itself */
}

static void look_at_program(struct own_facts *f)
{
	struct stat runs, there;

	if (!super_program(f->program) || stat("/proc/self/exe", &runs) < 0)
		return;
	f->msg.program = f->program;
	if (stat(f->program, &there) < 0)
		f->msg.program_gone = errno == ENOENT || errno == ENOTDIR;
	else
		f->msg.program_replaced =
			runs.st_dev != there.st_dev || runs.st_ino != there.st_ino;
}

void own_facts_look(struct super *su, struct own_facts *out)
{
	struct rlimit limit;

	pm__agent_facts__init(&out->msg);
	out->program[0] = '\0';
	out->msg.uid = geteuid();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		out->msg.nofile_soft = limit.rlim_cur;
		out->msg.nofile_hard = limit.rlim_max;
	}
	if (getrlimit(RLIMIT_NPROC, &limit) == 0)
		out->msg.nproc_soft = limit.rlim_cur;
	out->msg.open_files = open_files();
	out->msg.cgroup_mode = word(cgroup_mode());
	out->msg.cgroup = su->cgroup.path;
	look_at_program(out);
}
