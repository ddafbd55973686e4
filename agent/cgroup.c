#include "agent/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Small kernel files; returns the length, or -1. */
static ssize_t read_small(const char *path, char *out, size_t size)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, out, size - 1);
	if (n >= 0)
		out[n] = '\0';
	return n;
}

/* Our group in the v2 hierarchy: the line "0::/path" of /proc/self/cgroup. */
static bool own_group(char *out, size_t size)
{
	char text[8192], *line, *end;

	if (read_small("/proc/self/cgroup", text, sizeof(text)) < 0)
		return false;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (line == NULL)
		return false;
	line += *line == '\n' ? 4 : 3;
	end = strchr(line, '\n');
	if (end != NULL)
		*end = '\0';
	return strcmp(line, "/") != 0 && (size_t)snprintf(out, size, "%s", line) < size;
}

/* Where cgroup2 is mounted; systemd has it in one of two places. */
static bool try_mount(struct cgroup_base *base, const char *mount, const char *group)
{
	char procs[PATH_MAX + 16], mark[8];

	if ((size_t)snprintf(base->path, sizeof(base->path), "%s%s", mount, group) >=
	    sizeof(base->path))
		return false;
	if ((size_t)snprintf(procs, sizeof(procs), "%s/cgroup.procs", base->path) >=
	            sizeof(procs) ||
	    access(procs, W_OK) < 0 || access(base->path, W_OK) < 0)
		return false;
	return getxattr(base->path, "user.delegate", mark, sizeof(mark)) > 0 ||
	       getxattr(base->path, "trusted.delegate", mark, sizeof(mark)) > 0;
}

void cgroup_find(struct cgroup_base *base)
{
	char group[PATH_MAX];

	if (own_group(group, sizeof(group)) && (try_mount(base, "/sys/fs/cgroup", group) ||
	                                        try_mount(base, "/sys/fs/cgroup/unified", group)))
		return;
	base->path[0] = '\0';
}

void cgroup_path(const struct cgroup_base *base, uint32_t pm_id, uint32_t slot, char *out,
                 size_t size)
{
	if (base->path[0] == '\0' ||
	    (size_t)snprintf(out, size, "%s/app-%u-%u", base->path, pm_id, slot) >= size)
		out[0] = '\0';
}

int cgroup_make(const struct cgroup_base *base, uint32_t pm_id, uint32_t slot, char *out,
                size_t size, struct pm_error *err)
{
	cgroup_path(base, pm_id, slot, out, size);
	if (out[0] == '\0' || mkdir(out, 0755) == 0 || errno == EEXIST)
		return 0;
	pm_fail_errno(err, errno, "make %s", out);
	out[0] = '\0';
	return -1;
}

bool cgroup_kill(const char *path)
{
	char file[PATH_MAX + 16];
	int fd;
	bool done;

	if ((size_t)snprintf(file, sizeof(file), "%s/cgroup.kill", path) >= sizeof(file))
		return false;
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, "1", 1) == 1;
	(void)close(fd);
	return done;
}

bool cgroup_is_populated(const char *path)
{
	char file[PATH_MAX + 16], text[256];

	if ((size_t)snprintf(file, sizeof(file), "%s/cgroup.events", path) >= sizeof(file) ||
	    read_small(file, text, sizeof(text)) < 0)
		return false;
	return strstr(text, "populated 1") != NULL;
}

void cgroup_remove(const char *path)
{
	if (path[0] != '\0')
		(void)rmdir(path); /* not empty: the next one of its name takes it over */
}
