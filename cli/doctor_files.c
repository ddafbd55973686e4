#include "cli/doctor_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/paths.h"

#define ENTRIES_MAX 10000 /* of one directory; a home may hold the logs of thousands of apps */

/* What is wrong in one directory: the first of each kind by name, and how many. */
struct wrong {
	char name[NAME_MAX + 1];
	size_t n;
};

struct look {
	const char *home;
	uid_t owner;
	struct doctor *d;
	size_t n_bad;
};

static void note(struct wrong *w, const char *name)
{
	if (w->n++ == 0)
		(void)snprintf(w->name, sizeof(w->name), "%s", name);
}

/* A name where there is one. */
static void user_text(uid_t uid, char out[64])
{
	const struct passwd *pw = getpwuid(uid);

	if (pw != NULL)
		(void)snprintf(out, 64, "%.60s", pw->pw_name);
	else
		(void)snprintf(out, 64, "%u", (unsigned)uid);
}

static void say_wrong(struct look *l, const char *dir, const struct wrong *w,
                      enum doctor_level level, const char *what, const char *fix)
{
	char more[48] = "";

	if (w->n == 0)
		return;
	l->n_bad++;
	if (w->n > 1)
		(void)snprintf(more, sizeof(more), ", and %zu more there", w->n - 1);
	doctor_add(l->d, "files", level, fix, "%.150s/%.100s %s%s", dir, w->name, what, more);
}

/*
 * One directory of the home; name NULL: itself.
 *
 * secret   nobody else may even read what is in it
 */
static void look_in(struct look *l, const char *name, bool secret)
{
	struct wrong foreign = { .n = 0 }, writable = { .n = 0 }, readable = { .n = 0 };
	char path[PM_PATH_MAX], fix[200], owner[64];
	struct pm_error err;
	struct stat st;
	DIR *dir;
	int fd;

	if (name == NULL)
		(void)snprintf(path, sizeof(path), "%s", l->home); /* came from one of this size */
	else if (pm_home_file(l->home, name, path, sizeof(path), &err) < 0)
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd); /* nothing was written */
		if (errno == ENOENT)
			return; /* it is made when it is needed */
		l->n_bad++;
		doctor_add(l->d, "files", DOCTOR_BAD, "run pmctl doctor as the owner of the home",
		           "%.200s cannot be looked into: %s", path, strerror(errno));
		return;
	}
	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		const struct dirent *e = readdir(dir);

		if (e == NULL)
			break;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile */
		if (st.st_uid != l->owner)
			note(&foreign, e->d_name);
		else if (S_ISREG(st.st_mode) && (st.st_mode & 022) != 0)
			note(&writable, e->d_name);
		else if (secret && S_ISREG(st.st_mode) && (st.st_mode & 044) != 0)
			note(&readable, e->d_name);
	}
	(void)closedir(dir); /* nothing was written */
	user_text(l->owner, owner);
	(void)snprintf(fix, sizeof(fix), "as root: chown -R %.60s %.120s", owner, path);
	say_wrong(l, path, &foreign, secret ? DOCTOR_BAD : DOCTOR_WARN,
	          "does not belong to the home's owner", fix);
	(void)snprintf(fix, sizeof(fix), "chmod -R go-w %.120s", path);
	say_wrong(l, path, &writable, DOCTOR_BAD, "may be written by others", fix);
	(void)snprintf(fix, sizeof(fix), "chmod -R go= %.120s", path);
	say_wrong(l, path, &readable, DOCTOR_BAD, "may be read by others", fix);
}

/* The home itself; false: there is nothing more to look at. */
static bool look_at_home(struct look *l)
{
	char fix[200], owner[64], me[64];
	struct stat st;

	if (lstat(l->home, &st) < 0) {
		if (errno == ENOENT)
			doctor_add(l->d, "home", DOCTOR_OK, NULL,
			           "%.200s is not there yet; the first command makes it", l->home);
		else
			doctor_add(l->d, "home", DOCTOR_BAD,
			           "run pmctl doctor as its owner, or choose another PMD_HOME",
			           "%.200s: %s", l->home, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		doctor_add(l->d, "home", DOCTOR_BAD, "give the real path as PMD_HOME",
		           "%.200s is %s", l->home,
		           S_ISLNK(st.st_mode) ? "a symbolic link" : "no directory");
		return false;
	}
	l->owner = st.st_uid;
	user_text(st.st_uid, owner);
	user_text(geteuid(), me);
	(void)snprintf(fix, sizeof(fix), "chmod 700 %.150s", l->home);
	if ((st.st_mode & 022) != 0) {
		doctor_add(l->d, "home", DOCTOR_BAD, fix, "%.200s may be written by others (%04o)",
		           l->home, (unsigned)st.st_mode & 07777);
	} else if ((st.st_mode & 055) != 0) {
		doctor_add(l->d, "home", DOCTOR_WARN, fix, "%.200s may be entered by others (%04o)",
		           l->home, (unsigned)st.st_mode & 07777);
	} else if (st.st_uid != geteuid()) {
		(void)snprintf(fix, sizeof(fix), "run pmctl as %.60s, or choose another PMD_HOME",
		               owner);
		doctor_add(l->d, "home", DOCTOR_WARN, fix, "%.200s belongs to %s, and you are %s",
		           l->home, owner, me);
	} else {
		doctor_add(l->d, "home", DOCTOR_OK, NULL, "%.200s is %s's alone", l->home, owner);
	}
	return true;
}

void doctor_files(const char *home, struct doctor *d)
{
	struct look l = { .home = home, .d = d };

	if (!look_at_home(&l))
		return;
	/* Where its list cannot be read nothing in it can. */
	if (access(home, R_OK | X_OK) < 0) {
		doctor_add(d, "files", DOCTOR_BAD, "run pmctl doctor as the owner of the home",
		           "what is in %.200s cannot be looked at: %s", home, strerror(errno));
		return;
	}
	look_in(&l, NULL, false);
	look_in(&l, PM_HOME_STATE_DIR, false);
	look_in(&l, PM_HOME_KEYS_DIR, true);
	look_in(&l, PM_HOME_LOGS_DIR, false);
	look_in(&l, PM_HOME_PIDS_DIR, false);
	if (l.n_bad == 0)
		doctor_add(d, "files", DOCTOR_OK, NULL, "what is in it, too");
}
