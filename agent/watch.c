#include "agent/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/triggers.h"
#include "proto/log.h"

/* Directories of one app under watch; beyond it the rest is not watched, and that is said. */
#define WATCH_DIRS_MAX  8192
#define WATCH_DEPTH_MAX 64
/* Editors write in several steps: one restart for what comes within this time at least. */
#define DEBOUNCE_MIN_MS 50

#define EVENTS          (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

struct watched_dir {
	int wd;
	char *path; /* owned */
	char *only; /* owned; the one file in it that counts; NULL: all of it, and what is below */
};

struct watch {
	struct app *app;          /* borrowed */
	int fd;                   /* owned */
	uv_poll_t poll;           /* owned */
	uv_timer_t timer;         /* owned */
	unsigned open;            /* handles the loop still holds */
	struct watched_dir *dirs; /* owned */
	size_t n, cap;
	bool full;
	regex_t default_ignore; /* dot files and node_modules */
};

/* ---- what to ignore ---- */

/* PM2's patterns are paths, globs or regular expressions, relative to the app's cwd. */
static bool pattern_matches(const char *pattern, const char *relative, const char *path)
{
	const char *base = strrchr(relative, '/');
	size_t len = strlen(pattern);
	regex_t re;
	bool hit;

	while (strncmp(pattern, "./", 2) == 0)
		pattern += 2;
	len = strlen(pattern);
	while (len > 1 && pattern[len - 1] == '/')
		len--;
	if (strncmp(relative, pattern, len) == 0 && (relative[len] == '\0' || relative[len] == '/'))
		return true;
	if (*pattern == '/' && strncmp(path, pattern, len) == 0 &&
	    (path[len] == '\0' || path[len] == '/'))
		return true;
	if (fnmatch(pattern, relative, 0) == 0 || fnmatch(pattern, path, 0) == 0 ||
	    (strchr(pattern, '/') == NULL &&
	     fnmatch(pattern, base == NULL ? relative : base + 1, 0) == 0))
		return true;
	if (strpbrk(pattern, "\\^$+(|") == NULL ||
	    regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	hit = regexec(&re, relative, 0, NULL, 0) == 0;
	regfree(&re);
	return hit;
}

static bool ignored(const struct watch *w, const char *path)
{
	const Pm__AppSpec *spec = w->app->spec;
	size_t cwd = strlen(spec->cwd);
	const char *relative = path;

	if (strncmp(path, spec->cwd, cwd) == 0 && path[cwd] == '/')
		relative = path + cwd + 1;
	if (!spec->ignore_watch_set)
		return regexec(&w->default_ignore, relative, 0, NULL, 0) == 0;
	for (size_t i = 0; i < spec->n_ignore_watch; i++)
		if (pattern_matches(spec->ignore_watch[i], relative, path))
			return true;
	return false;
}

static bool wrong_extension(const Pm__AppSpec *spec, const char *name)
{
	const char *dot = strrchr(name, '.');

	if (spec->n_watch_exts == 0)
		return false;
	for (size_t i = 0; i < spec->n_watch_exts && dot != NULL; i++)
		if (strcmp(dot + 1, spec->watch_exts[i] + (spec->watch_exts[i][0] == '.')) == 0)
			return false;
	return true;
}

/* The log file itself, or what rotation made of it. */
static bool is_log(const char *path, const char *log)
{
	size_t len = strlen(log);

	if (len == 0)
		return false;
	if (strncmp(path, log, len) == 0 && (path[len] == '\0' || path[len] == '.'))
		return true;
	if (len > 4 && strcmp(log + len - 4, ".log") == 0)
		len -= 4;
	return strncmp(path, log, len) == 0 && strncmp(path + len, "__", 2) == 0;
}

/* Our own files change because the app runs: they never restart it. */
static bool is_ours(const struct watch *w, const char *path)
{
	size_t len = strlen(w->app->su->home);
	struct log_names names;
	struct pm_error err;

	if (strncmp(path, w->app->su->home, len) == 0 && (path[len] == '/' || path[len] == '\0'))
		return true;
	for (size_t i = 0; i < w->app->n; i++)
		if (instance_log_names(w->app->instances[i], &names, &err) == 0 &&
		    (is_log(path, names.out) || is_log(path, names.err) ||
		     is_log(path, names.combined) || strcmp(path, names.pid) == 0))
			return true;
	return false;
}

/* ---- directories ---- */

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void drop_dir(struct watch *w, size_t i)
{
	free(w->dirs[i].path);
	free(w->dirs[i].only);
	w->dirs[i] = w->dirs[--w->n];
}

static int remember(struct watch *w, int wd, const char *path, const char *only,
                    struct pm_error *err)
{
	struct watched_dir *d;

	for (size_t i = 0; i < w->n; i++)
		if (w->dirs[i].wd == wd && same(w->dirs[i].only, only))
			return 0; /* the same directory by another name */
	if (w->n == w->cap) {
		size_t cap = w->cap == 0 ? 16 : w->cap * 2;
		struct watched_dir *more = pm_realloc(w->dirs, cap * sizeof(*more));

		if (more == NULL)
			return pm_fail(err, PM_NO_MEMORY, "watch %s", path);
		w->dirs = more;
		w->cap = cap;
	}
	d = &w->dirs[w->n];
	*d = (struct watched_dir){ wd, pm_strdup(path), pm_strdup(only) };
	if (d->path == NULL || (only != NULL && d->only == NULL)) {
		free(d->path);
		free(d->only);
		return pm_fail(err, PM_NO_MEMORY, "watch %s", path);
	}
	w->n++;
	return 0;
}

static int add_one(struct watch *w, const char *path, const char *only, struct pm_error *err)
{
	int wd;

	if (w->n == WATCH_DIRS_MAX) {
		if (!w->full)
			pm_log(PM_LOG_WARN, "app.watch",
			       "app=%s more than %d directories: the rest is not watched",
			       w->app->spec->name, WATCH_DIRS_MAX);
		w->full = true;
		return 0;
	}
	wd = inotify_add_watch(w->fd, path, EVENTS);
	if (wd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return 0; /* gone meanwhile, or not ours to see */
	if (wd < 0) {
		pm_fail_errno(err, errno, "watch %s", path);
		pm_hint(err, "raise fs.inotify.max_user_watches, or use ignore_watch");
		return -1;
	}
	return remember(w, wd, path, only, err);
}

/* A file is watched through its directory: an editor puts a new file in the old one's place. */
static int add_file(struct watch *w, const char *path, struct pm_error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	if (slash == NULL || slash[1] == '\0' ||
	    (size_t)snprintf(dir, sizeof(dir), "%.*s", (int)PM_MAX(slash - path, 1), path) >=
	            sizeof(dir))
		return 0;
	return add_one(w, dir, slash + 1, err);
}

/* A directory and what is below it, without recursion: the list of directories is the work list. */
static int add_tree(struct watch *w, const char *top, struct pm_error *err)
{
	size_t next = w->n;
	struct stat st;

	if (stat(top, &st) < 0 || !S_ISDIR(st.st_mode))
		return add_file(w, top, err);
	if (add_one(w, top, NULL, err) < 0)
		return -1;
	for (; next < w->n && !w->full; next++) {
		DIR *dir = opendir(w->dirs[next].path);
		struct dirent *entry;
		char path[PATH_MAX];

		while (dir != NULL && (entry = readdir(dir)) != NULL) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			    (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
			    (size_t)snprintf(path, sizeof(path), "%s/%s", w->dirs[next].path,
			                     entry->d_name) >= sizeof(path) ||
			    ignored(w, path) || is_ours(w, path))
				continue;
			if (add_one(w, path, NULL, err) < 0) {
				(void)closedir(dir);
				return -1;
			}
		}
		if (dir != NULL)
			(void)closedir(dir);
	}
	return 0;
}

/* ---- events ---- */

/* The directory of an event, if what it is about counts. */
static const char *dir_of(const struct watch *w, const struct inotify_event *e)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->dirs[i].wd == e->wd &&
		    (w->dirs[i].only == NULL ||
		     (e->len > 0 && strcmp(w->dirs[i].only, e->name) == 0)))
			return w->dirs[i].path;
	return NULL;
}

/* The kernel watches it no more: it is gone. */
static void forget_dir(struct watch *w, int wd)
{
	for (size_t i = w->n; i-- > 0;)
		if (w->dirs[i].wd == wd)
			drop_dir(w, i);
	w->full = w->n == WATCH_DIRS_MAX;
}

static int add_paths(struct watch *w, struct pm_error *err);

static void on_timer(uv_timer_t *timer)
{
	struct watch *w = timer->data;

	triggers_fire(w->app, CAUSE_WATCH); /* may close w */
}

static void fire_soon(struct watch *w)
{
	/* Further events within the delay belong to this restart. */
	if (!uv_is_active((uv_handle_t *)&w->timer))
		(void)uv_timer_start(&w->timer, on_timer,
		                     PM_MAX(w->app->spec->watch_delay_ms, DEBOUNCE_MIN_MS), 0);
}

static void on_event(struct watch *w, const struct inotify_event *e)
{
	const char *dir = dir_of(w, e);
	struct pm_error err;
	char path[PATH_MAX];

	if ((e->mask & IN_Q_OVERFLOW) != 0) { /* much has changed, nobody knows what */
		if (add_paths(w, &err) < 0)
			super_degraded(w->app->su, "watch", err.what);
		fire_soon(w);
		return;
	}
	if ((e->mask & IN_IGNORED) != 0)
		forget_dir(w, e->wd);
	if (dir == NULL || (e->mask & IN_IGNORED) != 0)
		return;
	if (e->len == 0)
		(void)snprintf(path, sizeof(path), "%s", dir);
	else if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, e->name) >= sizeof(path))
		return;
	if (ignored(w, path) || is_ours(w, path))
		return;
	if ((e->mask & IN_ISDIR) != 0) {
		if ((e->mask & (IN_CREATE | IN_MOVED_TO)) != 0 && add_tree(w, path, &err) < 0)
			super_degraded(w->app->su, "watch", err.what);
	} else if (wrong_extension(w->app->spec, path) || e->mask == IN_CREATE) {
		return; /* a new file is news when it has been written */
	}
	fire_soon(w);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	_Alignas(struct inotify_event) char bytes[8192];
	ssize_t n;

	(void)events;
	if (status < 0)
		return;
	n = read(w->fd, bytes, sizeof(bytes));
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e =
			(const struct inotify_event *)(const void *)(bytes + at);

		on_event(w, e);
		at += (ssize_t)sizeof(*e) + (ssize_t)e->len;
	}
}

/* ---- life time ---- */

static void on_closed(uv_handle_t *handle)
{
	struct watch *w = handle->data;

	if (--w->open > 0)
		return;
	(void)close(w->fd);
	while (w->n > 0)
		drop_dir(w, w->n - 1);
	free(w->dirs);
	regfree(&w->default_ignore);
	free(w);
}

void watch_stop(struct watch *w)
{
	uv_close((uv_handle_t *)&w->poll, on_closed);
	uv_close((uv_handle_t *)&w->timer, on_closed);
}

static int add_paths(struct watch *w, struct pm_error *err)
{
	const Pm__AppSpec *spec = w->app->spec;

	if (spec->n_watch_paths == 0)
		return add_tree(w, spec->cwd, err);
	for (size_t i = 0; i < spec->n_watch_paths; i++)
		if (add_tree(w, spec->watch_paths[i], err) < 0)
			return -1;
	return 0;
}

int watch_start(struct app *app, struct watch **out, struct pm_error *err)
{
	struct watch *w = pm_calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "watch");
	w->app = app;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0) {
		free(w);
		return pm_fail_errno(err, errno, "watch: inotify");
	}
	if (regcomp(&w->default_ignore, "(^|/)(\\.|node_modules(/|$))", REG_EXTENDED | REG_NOSUB) !=
	            0 ||
	    uv_poll_init(app->su->loop, &w->poll, w->fd) < 0) {
		(void)close(w->fd);
		free(w);
		return pm_fail(err, PM_INTERNAL, "watch");
	}
	(void)uv_timer_init(app->su->loop, &w->timer); /* never fails */
	w->poll.data = w->timer.data = w;
	w->open = 2;
	rc = add_paths(w, err);
	if (rc < 0) {
		watch_stop(w);
		return -1;
	}
	(void)uv_poll_start(&w->poll, UV_READABLE,
	                    on_readable); /* an inotify descriptor can be polled */
	*out = w;
	return 0;
}
