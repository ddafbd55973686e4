/* state_file.c - the files of state.h: written so that at any instant a whole generation is there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/state.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/paths.h"

#define NAME_SIZE 96 /* our names with their suffixes */

static void closedirp(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir); /* read only: nothing to lose */
}

/*
 * Open home/state, made when it is missing (X-17: somebody may have removed it while we run).
 * Every file is then named relative to it, so that no link on the way can lead elsewhere.
 */
int state_dir_open(const char *home, int *fd, struct pm_error *err)
{
	PM_CLOSE int home_fd = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (home_fd < 0)
		return pm_fail_errno(err, errno, "open %s", home);
	if (mkdirat(home_fd, PM_HOME_STATE_DIR, 0700) < 0 && errno != EEXIST)
		return pm_fail_errno(err, errno, "make %s/" PM_HOME_STATE_DIR, home);
	*fd = openat(home_fd, PM_HOME_STATE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	if (errno == ELOOP || errno == ENOTDIR)
		return pm_fail(err, PM_DENIED, "%s/" PM_HOME_STATE_DIR ": not a directory of ours",
		               home);
	return pm_fail_errno(err, errno, "open %s/" PM_HOME_STATE_DIR, home);
}

/* ---- writing ---- */

/* An errno that a fail point asks for becomes the result of the call it stands before. */
static int injected(int errnum)
{
	if (errnum == 0)
		return 0;
	errno = errnum;
	return -1;
}
#define STEP(name, call) (injected(PM_FAIL_POINT(name)) < 0 ? -1 : (call))
/* Between two steps: a place to die in, or to fail. */
#define BETWEEN(name) injected(PM_FAIL_POINT(name))

/* A new file with the bytes, on the disk. After a failed fsync its pages are no longer to be
 * trusted, so the file is thrown away and never flushed again. */
static int write_tmp(int dir, const char *tmp, const uint8_t *bytes, size_t len,
                     struct pm_error *err)
{
	PM_CLOSE int fd = -1;
	int raw;

	if (unlinkat(dir, tmp, 0) < 0 && errno != ENOENT)
		return pm_fail_errno(err, errno, "remove %s", tmp);
	fd = STEP("state.open",
	          openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (fd < 0 || BETWEEN("state.after_open") < 0)
		return pm_fail_errno(err, errno, "make %s", tmp);
	if (STEP("state.write", pm_write_all(fd, bytes, len)) < 0 ||
	    BETWEEN("state.after_write") < 0)
		return pm_fail_errno(err, errno, "write %s", tmp);
	if (STEP("state.fsync", fsync(fd)) < 0 || BETWEEN("state.after_fsync") < 0)
		return pm_fail_errno(err, errno, "flush %s", tmp);
	raw = PM_STEAL_FD(fd);
	if (STEP("state.close", close(raw)) < 0)
		return pm_fail_errno(err, errno, "close %s", tmp);
	return 0;
}

/*
 * The generation of now becomes .prev: by a second link, so that it never loses its own name.
 * Renaming one link of a file over another of the same file does nothing and leaves both
 * (rename(2)), as after a death between our steps; hence the unlink before and after.
 */
static int keep_current(int dir, const char *name, const char *prev, const char *link)
{
	if (unlinkat(dir, link, 0) < 0 && errno != ENOENT)
		return -1;
	if (linkat(dir, name, dir, link, 0) < 0) {
		if (errno == ENOENT)
			return 0; /* the first generation */
		if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
			return -1;
		/* No hard links on this file system: .prev alone is valid for a moment. */
		return renameat(dir, name, dir, prev);
	}
	if (BETWEEN("state.after_link") < 0 || renameat(dir, link, dir, prev) < 0)
		return -1;
	return unlinkat(dir, link, 0) < 0 && errno != ENOENT ? -1 : 0;
}

static int replace(int dir, const char *name, const char *tmp, struct pm_error *err)
{
	char prev[NAME_SIZE], link[NAME_SIZE];

	(void)snprintf(prev, sizeof(prev), "%s.prev", name);
	(void)snprintf(link, sizeof(link), "%s.link", name);
	if (STEP("state.keep", keep_current(dir, name, prev, link)) < 0 ||
	    BETWEEN("state.after_keep") < 0)
		return pm_fail_errno(err, errno, "keep %s as %s", name, prev);
	if (STEP("state.rename", renameat(dir, tmp, dir, name)) < 0)
		return pm_fail_errno(err, errno, "rename %s to %s", tmp, name);
	if (BETWEEN("state.after_rename") < 0 || STEP("state.fsync_dir", fsync(dir)) < 0 ||
	    BETWEEN("state.after_fsync_dir") < 0)
		return pm_fail_errno(err, errno, "flush the directory of %s", name);
	return 0;
}

int state_write(const char *home, const char *name, const uint8_t *bytes, size_t len,
                struct pm_error *err)
{
	PM_CLOSE int dir = -1;
	char tmp[NAME_SIZE];

	if (state_dir_open(home, &dir, err) < 0)
		return pm_wrap(err, "state file %s", name);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	if (write_tmp(dir, tmp, bytes, len, err) < 0 || replace(dir, name, tmp, err) < 0) {
		(void)unlinkat(dir, tmp,
		               0); /* may be gone or never made; the next save tries too */
		return pm_wrap(err, "state file %s", name);
	}
	return 0;
}

int state_remove(const char *home, const char *name, struct pm_error *err)
{
	static const char *const suffixes[] = { "", ".prev", ".tmp", ".link" };
	PM_CLOSE int dir = -1;
	char file[NAME_SIZE];

	if (state_dir_open(home, &dir, err) < 0)
		return pm_wrap(err, "remove %s", name);
	for (size_t i = 0; i < PM_COUNT(suffixes); i++) {
		(void)snprintf(file, sizeof(file), "%s%s", name, suffixes[i]);
		if (unlinkat(dir, file, 0) < 0 && errno != ENOENT)
			return pm_fail_errno(err, errno, "remove %s", file);
	}
	if (fsync(dir) < 0)
		return pm_fail_errno(err, errno, "flush the directory of %s", name);
	return 0;
}

/* ---- damaged files ---- */

static int newest_first(const void *a, const void *b)
{
	return -strcmp(a, b);
}

/* Remove all but the newest STATE_ASIDE_MAX; their dates sort as text. Best effort. */
static void thin_out(int dir_fd, const char *name)
{
	PM_CLEANUP(closedirp) DIR *dir = NULL;
	char prefix[NAME_SIZE], found[64][NAME_SIZE];
	size_t n = 0, prefix_len;
	struct dirent *entry;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return;
	}
	prefix_len = (size_t)snprintf(prefix, sizeof(prefix), "%s.corrupt-", name);
	while (n < PM_COUNT(found) && (entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, prefix, prefix_len) == 0 &&
		    strlen(entry->d_name) < NAME_SIZE)
			memcpy(found[n++], entry->d_name, strlen(entry->d_name) + 1);
	qsort(found, n, sizeof(found[0]), newest_first);
	for (size_t i = STATE_ASIDE_MAX; i < n; i++)
		(void)unlinkat(dir_fd, found[i], 0); /* the next damaged file tries again */
}

/* Where a damaged file goes: NAME.corrupt-DATE, with .prev after it for that generation. */
static void aside_name(const char *name, const char *suffix, char *out, size_t size)
{
	time_t now = (time_t)(pm_wall_ms() / 1000);
	char date[32];
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(out, size, "%s.corrupt-%s%s", name, date, suffix);
}

static int put_aside(int dir, const char *name, const char *suffix, char *aside, size_t size)
{
	char file[NAME_SIZE];

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	aside_name(name, suffix, aside, size);
	if (renameat(dir, file, dir, aside) < 0)
		return -1;
	thin_out(dir, name);
	return 0;
}

static void add_words(char *words, size_t size, const char *fmt, ...) PM_PRINTF(3, 4);
static void add_words(char *words, size_t size, const char *fmt, ...)
{
	size_t len = strlen(words);
	va_list ap;

	if (len > 0 && len + 2 < size) {
		memcpy(words + len, "; ", 3);
		len += 2;
	}
	va_start(ap, fmt);
	(void)vsnprintf(words + len, size - len, fmt, ap);
	va_end(ap);
}

int state_put_aside(const char *home, const char *name, char *words, size_t size,
                    struct pm_error *err)
{
	static const char *const suffixes[] = { "", ".prev" };
	char aside[NAME_SIZE];
	PM_CLOSE int dir = -1;

	words[0] = '\0';
	if (state_dir_open(home, &dir, err) < 0)
		return pm_wrap(err, "put %s aside", name);
	for (size_t i = 0; i < PM_COUNT(suffixes); i++) {
		if (put_aside(dir, name, suffixes[i], aside, sizeof(aside)) == 0)
			add_words(words, size, "%s%s is now %s", name, suffixes[i], aside);
		else if (errno != ENOENT)
			return pm_fail_errno(err, errno, "put %s%s aside", name, suffixes[i]);
	}
	return 0;
}

/* ---- loading ---- */

enum found {
	FOUND_NONE,
	FOUND_VALID,
	FOUND_DAMAGED
};

struct generation {
	const char *suffix;
	enum found found;
	struct state_set set;
	char why[192]; /* FOUND_DAMAGED: what is wrong with it */
};

/* Bytes of a regular file of at most PM_STATE_MAX, plus one that tells a growing file. */
static int read_fd(int fd, uint8_t **out, size_t *len, struct generation *g, struct pm_error *err)
{
	PM_FREE uint8_t *bytes = NULL;
	ssize_t n = 1; /* ends at 0 with the file, or with the room for it */
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "stat");
	if (!S_ISREG(st.st_mode))
		return pm_fail(err, PM_DENIED, "not a regular file");
	if (st.st_size > (off_t)PM_STATE_MAX) {
		g->found = FOUND_DAMAGED;
		(void)snprintf(g->why, sizeof(g->why), "over %u MiB", PM_STATE_MAX >> 20);
		return 0;
	}
	bytes = pm_calloc((size_t)st.st_size + 1, 1);
	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %lld bytes", (long long)st.st_size);
	*len = 0;
	while (n > 0) {
		n = read(fd, bytes + *len, (size_t)st.st_size + 1 - *len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			*len += (size_t)n;
	}
	if (n < 0) {
		g->found = FOUND_DAMAGED;
		(void)snprintf(g->why, sizeof(g->why), "read: %s", strerror(errno));
		return 0;
	}
	*out = PM_STEAL(bytes);
	return 0;
}

static int read_generation(int dir, const char *name, struct generation *g, struct pm_error *err)
{
	PM_FREE uint8_t *bytes = NULL;
	char file[NAME_SIZE];
	PM_CLOSE int fd = -1;
	size_t len = 0;

	(void)snprintf(file, sizeof(file), "%s%s", name, g->suffix);
	/* NONBLOCK: a FIFO put here must not hang the start. */
	fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "%s: a symbolic link", file);
	if (fd < 0)
		return pm_fail_errno(err, errno, "open %s", file);
	if (read_fd(fd, &bytes, &len, g, err) < 0)
		return pm_wrap(err, "%s", file);
	if (g->found == FOUND_DAMAGED)
		return 0;
	if (state_decode(bytes, len, &g->set, err) == 0) {
		g->found = FOUND_VALID;
		return 0;
	}
	if (err->code != PM_CORRUPT)
		return pm_wrap(err, "%s", file);
	g->found = FOUND_DAMAGED;
	(void)snprintf(g->why, sizeof(g->why), "%.180s", err->what);
	return 0;
}

/* Every damaged one is put aside and told, now that a valid one is known. */
static void report_damage(int dir, const char *name, struct generation *gens, size_t n,
                          struct state_load_report *report)
{
	char aside[NAME_SIZE];

	for (size_t i = 0; i < n; i++) {
		if (gens[i].found != FOUND_DAMAGED)
			continue;
		if (put_aside(dir, name, gens[i].suffix, aside, sizeof(aside)) == 0)
			add_words(report->words, sizeof(report->words), "%s%s: %.80s; kept as %s",
			          name, gens[i].suffix, gens[i].why, aside);
		else
			add_words(report->words, sizeof(report->words), "%s%s: %.80s", name,
			          gens[i].suffix, gens[i].why);
	}
}

/* Records left out would be lost at the next save: the file stays as it is under another name. */
static void report_bad_records(int dir, const char *name, const struct generation *g,
                               struct state_load_report *report)
{
	char file[NAME_SIZE], aside[NAME_SIZE];

	if (g->set.n_bad == 0)
		return;
	(void)snprintf(file, sizeof(file), "%s%s", name, g->suffix);
	aside_name(name, g->suffix, aside, sizeof(aside));
	add_words(report->words, sizeof(report->words), "%s: %zu of %zu apps cannot be read", file,
	          g->set.n_bad, g->set.n_bad + g->set.n_apps);
	if (linkat(dir, file, dir, aside, 0) == 0) {
		add_words(report->words, sizeof(report->words), "kept as %s", aside);
		thin_out(dir, name);
	}
}

static int choose(int dir, const char *name, struct generation gens[2], struct state_set *out,
                  struct state_load_report *report, struct pm_error *err)
{
	struct generation *best = NULL;

	/*
	 * The file under the plain name was written last, always; its number may still be the lower
	 * one, as after the clock was set back.
	 */
	for (size_t i = 0; i < 2 && best == NULL; i++)
		if (gens[i].found == FOUND_VALID)
			best = &gens[i];
	if (best == NULL && gens[0].found == FOUND_NONE && gens[1].found == FOUND_NONE)
		return 0;
	if (best == NULL) {
		const struct generation *bad = &gens[gens[0].found == FOUND_DAMAGED ? 0 : 1];

		(void)pm_fail(err, PM_CORRUPT, "no generation is whole; %s%s: %s", name,
		              bad->suffix, bad->why);
		pm_hint(err, "restore a copy of it, or remove it with 'pmctl cleardump'");
		return -1;
	}
	report->found = true;
	report->fell_back = best != &gens[0] && gens[0].found == FOUND_DAMAGED;
	report_bad_records(dir, name, best, report);
	report_damage(dir, name, gens, 2, report);
	*out = best->set;
	best->set = (struct state_set){ 0 };
	return 0;
}

int state_load(const char *home, const char *name, struct state_set *out,
               struct state_load_report *report, struct pm_error *err)
{
	struct generation gens[2] = { { .suffix = "" }, { .suffix = ".prev" } };
	struct state_load_report said = { 0 };
	struct state_set set = { 0 };
	PM_CLOSE int dir = -1;
	int rc;

	if (state_dir_open(home, &dir, err) < 0)
		return pm_wrap(err, "load %s", name);
	rc = read_generation(dir, name, &gens[0], err);
	if (rc == 0)
		rc = read_generation(dir, name, &gens[1], err);
	if (rc == 0)
		rc = choose(dir, name, gens, &set, &said, err);
	state_set_finish(&gens[0].set);
	state_set_finish(&gens[1].set);
	if (rc < 0)
		return pm_wrap(err, "load %s", name);
	*out = set;
	*report = said;
	return 0;
}
