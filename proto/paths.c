#include "proto/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"

const char *pm_home_log_name(bool as_pm2)
{
	return as_pm2 ? PM_HOME_PM2_LOG : PM_HOME_LOG;
}

const char *pm_home_pid_name(bool as_pm2)
{
	return as_pm2 ? PM_HOME_PM2_PID : PM_HOME_PID;
}

static const char *set_env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* $HOME, else what the user database says (rarely needed: it loads the name service). */
static const char *user_dir(void)
{
	const char *dir = set_env("HOME");
	struct passwd *pw;

	if (dir != NULL)
		return dir;
	pw = getpwuid(geteuid());
	return pw == NULL || pw->pw_dir[0] == '\0' ? NULL : pw->pw_dir;
}

int pm_home_resolve(const char *opt_home, bool as_pm2, char *out, size_t size, struct pm_error *err)
{
	const char *given = opt_home, *base = NULL, *tail = "";
	char cwd[PM_PATH_MAX];
	int len;

	if (given == NULL || given[0] == '\0')
		given = set_env(as_pm2 ? "PM2_HOME" : "PMD_HOME");
	if (given == NULL) {
		base = user_dir();
		if (base == NULL)
			return pm_fail(err, PM_CONFIG, "no home directory known: set HOME or %s",
			               as_pm2 ? "PM2_HOME" : "PMD_HOME");
		tail = as_pm2 ? "/.pm2" : "/.pmd";
		given = base;
	}
	if (given[0] != '/') {
		if (getcwd(cwd, sizeof(cwd)) == NULL)
			return pm_fail_errno(err, errno, "find the current directory");
		len = snprintf(out, size, "%s/%s%s", strcmp(cwd, "/") == 0 ? "" : cwd, given, tail);
	} else {
		len = snprintf(out, size, "%s%s", given, tail);
	}
	if (len < 0 || (size_t)len >= size)
		return pm_fail(err, PM_CONFIG, "the path of the home is over %zu bytes", size - 1);
	while (len > 1 && out[len - 1] == '/')
		out[--len] = '\0';
	return 0;
}

int pm_home_file(const char *home, const char *name, char *out, size_t size, struct pm_error *err)
{
	int len = snprintf(out, size, "%s/%s", home, name);

	if (len < 0 || (size_t)len >= size)
		return pm_fail(err, PM_LIMIT, "the path %.80s.../%s is over %zu bytes", home, name,
		               size - 1);
	return 0;
}

/* Nobody but us (and root, who may do everything anyway) can have put something into it. */
static int check_dir(int fd, const char *path, struct pm_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "look at %s", path);
	if (st.st_uid != geteuid()) {
		pm_fail(err, PM_DENIED, "%s belongs to uid %u, not to us (uid %u)", path,
		        (unsigned)st.st_uid, (unsigned)geteuid());
		pm_hint(err, "run as its owner, or choose another home");
		return -1;
	}
	if ((st.st_mode & 022) != 0) {
		pm_fail(err, PM_DENIED, "%s may be written by others (mode %04o)", path,
		        (unsigned)st.st_mode & 07777);
		pm_hint(err, "chmod 700 %s", path);
		return -1;
	}
	return 0;
}

static int open_dir(int at, const char *name, const char *path, int *out, struct pm_error *err)
{
	PM_CLOSE int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR)) {
		pm_fail(err, PM_DENIED, "%s is a symbolic link or no directory", path);
		pm_hint(err, "give the real path as home");
		return -1;
	}
	if (fd < 0)
		return pm_fail_errno(err, errno, "open %s", path);
	if (check_dir(fd, path, err) < 0)
		return -1;
	*out = PM_STEAL_FD(fd);
	return 0;
}

/* mkdir -p: the parents with mode 0755, the last one 0700. */
static int make_home(const char *home, struct pm_error *err)
{
	char path[PM_PATH_MAX];
	char *slash;

	if (mkdir(home, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return pm_fail_errno(err, errno, "make %s", home);
	if (pm_home_file(home, "", path, sizeof(path), err) < 0)
		return -1;
	for (slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (strcmp(path, home) != 0 && mkdir(path, 0755) < 0 && errno != EEXIST)
			return pm_fail_errno(err, errno, "make %s", path);
		*slash = '/';
	}
	if (mkdir(home, 0700) < 0 && errno != EEXIST)
		return pm_fail_errno(err, errno, "make %s", home);
	return 0;
}

int pm_home_open(const char *home, int *out, struct pm_error *err)
{
	static const char *const dirs[] = { PM_HOME_STATE_DIR, PM_HOME_LOGS_DIR, PM_HOME_PIDS_DIR,
		                            PM_HOME_KEYS_DIR };
	PM_CLOSE int fd = -1;
	char path[PM_PATH_MAX];

	if (make_home(home, err) < 0 || open_dir(AT_FDCWD, home, home, &fd, err) < 0)
		return -1;
	for (size_t i = 0; i < PM_COUNT(dirs); i++) {
		PM_CLOSE int sub = -1;

		if (pm_home_file(home, dirs[i], path, sizeof(path), err) < 0)
			return -1;
		if (mkdirat(fd, dirs[i], 0700) < 0 && errno != EEXIST)
			return pm_fail_errno(err, errno, "make %s", path);
		if (open_dir(fd, dirs[i], path, &sub, err) < 0)
			return -1;
	}
	*out = PM_STEAL_FD(fd);
	return 0;
}

int pm_home_address(const char *home, const char *name, struct sockaddr_un *addr, socklen_t *len,
                    int *via_fd, struct pm_error *err)
{
	PM_CLOSE int fd = -1;
	int n;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/%s", home, name);
	if (n < 0 || (size_t)n >= sizeof(addr->sun_path)) {
		fd = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return pm_fail_errno(err, errno, "open %.200s", home);
		n = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", fd,
		             name);
		if (n < 0 || (size_t)n >= sizeof(addr->sun_path))
			return pm_fail(err, PM_LIMIT, "%s is too long for a socket's name", name);
	}
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	*via_fd = PM_STEAL_FD(fd);
	return 0;
}
