#include "proto/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/limits.h"

static int check_file(int fd, struct pm_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "look at it");
	if (!S_ISREG(st.st_mode))
		return pm_fail(err, PM_DENIED, "it is not a regular file");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return pm_fail(err, PM_DENIED, "it belongs to uid %u", (unsigned)st.st_uid);
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		(void)pm_fail(err, PM_DENIED, "its mode %04o lets others at it",
		              (unsigned)(st.st_mode & 07777));
		pm_hint(err, "chmod 600 it; if others may have read it, make a new key");
		return -1;
	}
	return 0;
}

/* Read what a key takes and one byte more. */
static int read_text(int fd, char text[PM_KEY_TEXT + 1], struct pm_error *err)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, text + len, PM_KEY_TEXT - len);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len < PM_KEY_TEXT) || (n < 0 && errno == EINTR));
	if (n < 0)
		return pm_fail_errno(err, errno, "read it");
	text[len] = '\0';
	return 0;
}

int pm_keyfile_load(const char *path, struct pm_key **out, struct pm_error *err)
{
	/* Not blocking: a FIFO must not make us wait. */
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char text[PM_KEY_TEXT + 1];
	int rc;

	if (fd < 0 && errno == ENOENT)
		return pm_fail(err, PM_NOT_FOUND, "key %s: there is none", path);
	if (fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "key %s: it is a link", path);
	if (fd < 0)
		return pm_fail_errno(err, errno, "key %s", path);
	rc = check_file(fd, err);
	if (rc == 0)
		rc = read_text(fd, text, err);
	if (rc == 0 && pm_key_parse_secret(text, out, err) < 0) {
		rc = -1;
		if (err->code == PM_CONFIG)
			err->code = PM_CORRUPT;
	}
	sodium_memzero(text, sizeof(text));
	return rc < 0 ? pm_wrap(err, "key %s", path) : 0;
}

static int write_text(int fd, const struct pm_key *key, struct pm_error *err)
{
	char text[PM_KEY_TEXT];
	size_t len, at = 0;
	int rc = 0;

	pm_key_format_secret(key, text);
	len = strlen(text);
	text[len++] = '\n'; /* in place of the NUL */
	while (rc == 0 && at < len) {
		ssize_t n = write(fd, text + at, len - at);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EINTR)
			rc = pm_fail_errno(err, errno, "write it");
	}
	sodium_memzero(text, sizeof(text));
	if (rc == 0 && fsync(fd) < 0)
		rc = pm_fail_errno(err, errno, "write it to the disk");
	return rc;
}

/* The name itself is on the disk only when the folder is. */
static int sync_folder(const char *path, struct pm_error *err)
{
	const char *slash = strrchr(path, '/');
	char folder[PM_PATH_MAX];
	PM_CLOSE int fd = -1;

	(void)snprintf(folder, sizeof(folder), "%.*s",
	               slash == NULL ? 1 : PM_MAX((int)(slash - path), 1),
	               slash == NULL ? "." : path);
	fd = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	if (fd < 0 || fsync(fd) < 0)
		return pm_fail_errno(err, errno, "write %s to the disk", folder);
	return 0;
}

/* A second name for the finished file, and not a rename, which would replace a key that is there.
 */
static int place(int fd, const char *temp, const char *path, const struct pm_key *key,
                 struct pm_error *err)
{
	if (write_text(fd, key, err) < 0)
		return -1;
	if (link(temp, path) < 0)
		return errno == EEXIST ? pm_fail(err, PM_EXISTS, "there is one")
		                       : pm_fail_errno(err, errno, "name it");
	return sync_folder(path, err);
}

int pm_keyfile_create(const char *path, const struct pm_key *key, struct pm_error *err)
{
	PM_CLOSE int fd = -1;
	char temp[PM_PATH_MAX];
	int rc, len = snprintf(temp, sizeof(temp), "%s.%08x", path, randombytes_random());

	if (len < 0 || (size_t)len >= sizeof(temp))
		return pm_fail(err, PM_LIMIT, "key: its path is too long");
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "key %s", temp);
	rc = place(fd, temp, path, key, err);
	(void)unlink(temp); /* a leftover is a whole key file that nobody looks for */
	return rc < 0 ? pm_wrap(err, "key %s", path) : 0;
}

int pm_keyfile_load_or_create(const char *path, struct pm_key **out, bool *made,
                              struct pm_error *err)
{
	PM_CLEANUP(pm_key_destroyp) struct pm_key *key = NULL;

	*made = false;
	if (pm_keyfile_load(path, out, err) == 0)
		return 0;
	if (err->code != PM_NOT_FOUND || pm_key_create(&key, err) < 0)
		return -1;
	if (pm_keyfile_create(path, key, err) == 0) {
		*made = true;
		*out = PM_STEAL(key);
		return 0;
	}
	return err->code == PM_EXISTS ? pm_keyfile_load(path, out, err) : -1;
}

int pm_keyfile_next_path(const char *path, char *out, size_t size, struct pm_error *err)
{
	int len = snprintf(out, size, "%s.next", path);

	return len < 0 || (size_t)len >= size ? pm_fail(err, PM_LIMIT, "key: its path is too long")
	                                      : 0;
}

int pm_keyfile_promote(const char *path, struct pm_error *err)
{
	char next[PM_PATH_MAX];

	if (pm_keyfile_next_path(path, next, sizeof(next), err) < 0)
		return -1;
	if (rename(next, path) < 0)
		return errno == ENOENT ? pm_fail(err, PM_NOT_FOUND, "key %s: there is none", next)
		                       : pm_fail_errno(err, errno, "key %s", next);
	return sync_folder(path, err);
}

int pm_keyfile_load_next(const char *path, struct pm_key **out, struct pm_error *err)
{
	char next[PM_PATH_MAX];

	*out = NULL;
	if (pm_keyfile_next_path(path, next, sizeof(next), err) < 0)
		return -1;
	if (pm_keyfile_load(next, out, err) == 0 || err->code == PM_NOT_FOUND)
		return 0;
	return -1;
}
