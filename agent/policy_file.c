#include "agent/policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(int fd, unsigned trusted_uid, struct stat *st, struct pm_error *err)
{
	if (fstat(fd, st) < 0)
		return pm_fail_errno(err, errno, "stat");
	if (!S_ISREG(st->st_mode))
		return pm_fail(err, PM_DENIED, "not a regular file");
	if (st->st_uid != trusted_uid) {
		(void)pm_fail(err, PM_DENIED, "it belongs to user %u, not to root", st->st_uid);
		pm_hint(err, "chown it to root, after reading what it allows");
		return -1;
	}
	if ((st->st_mode & 0022) != 0)
		return pm_fail(err, PM_DENIED, "others than its owner may write it");
	if (st->st_size > (off_t)PM_POLICY_MAX)
		return pm_fail(err, PM_LIMIT, "it is over %u KiB", PM_POLICY_MAX >> 10);
	return 0;
}

static int read_policy(int fd, size_t size, struct policy **out, struct pm_error *err)
{
	PM_FREE char *text = pm_calloc(size + 1, 1);
	size_t len = 0;
	ssize_t n = 1;

	if (text == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read");
	while (n > 0 && len < size) {
		n = read(fd, text + len, size - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	if (n < 0)
		return pm_fail_errno(err, errno, "read");
	return policy_parse(text, len, out, err);
}

int policy_load(const char *path, unsigned trusted_uid, struct policy **out, struct pm_error *err)
{
	/* NONBLOCK: a FIFO put here must not hang the start. */
	PM_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st = { 0 };

	if (fd < 0 && errno == ENOENT)
		return policy_parse(policy_default_text(), strlen(policy_default_text()), out, err);
	if (fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "%s: a symbolic link", path);
	if (fd < 0)
		return pm_fail_errno(err, errno, "open %s", path);
	if (check(fd, trusted_uid, &st, err) < 0 ||
	    read_policy(fd, (size_t)st.st_size, out, err) < 0)
		return pm_wrap(err, "%s", path);
	return 0;
}
