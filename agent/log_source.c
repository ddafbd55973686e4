#include "agent/log_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/rotate.h"
#include "proto/limits.h"

/* Rotated files of one log that are listed: the newest. */
#define FILES_MAX 4096

/* ---- opening ---- */

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

/* Open the present file; false: there is none. */
static bool open_present(struct log_source *src)
{
	struct stat st;

	if (log_input_open(src->s.path, &src->in) != 0) {
		src->in = NULL;
		src->ino = 0;
		return false;
	}
	if (log_input_is_packed(src->in) || log_input_stat(src->in, &st) < 0) {
		log_input_close(src->in);
		src->in = NULL;
		return false;
	}
	src->ino = st.st_ino;
	src->mtime_ms = mtime_of(&st);
	src->seam = (uint64_t)st.st_size;
	return true;
}

static int copy_strings(struct log_source *src, const struct log_reader_source *s,
                        struct pm_error *err)
{
	src->s = *s;
	src->s.name = pm_strdup(s->name == NULL ? "" : s->name);
	src->s.namespace_ = pm_strdup(s->namespace_ == NULL ? "" : s->namespace_);
	src->s.path = pm_strdup(s->path == NULL ? "" : s->path);
	if (src->s.name == NULL || src->s.namespace_ == NULL || src->s.path == NULL)
		return pm_fail(err, PM_NO_MEMORY, "log source");
	return 0;
}

int log_source_open(struct logs *l, struct log_source *src, const struct log_reader_source *s,
                    struct pm_error *err)
{
	if (copy_strings(src, s, err) < 0)
		return -1;
	if (strcmp(src->s.path, "/dev/null") == 0)
		return 0;
	src->watch.file = logfile_ref(l, src->s.path);
	if (src->watch.file == NULL)
		return pm_fail(err, PM_NO_MEMORY, "log source");
	logfile_watch(&src->watch);
	src->generation = logfile_generation(src->watch.file);
	src->truncations = logfile_truncations(src->watch.file);
	if (open_present(src))
		src->offset = src->seam;
	return 0;
}

static void forget_input(struct log_source *src)
{
	log_input_close(src->in);
	src->in = NULL;
	logindex_finish(&src->index);
	src->index_loaded = false;
	src->file_id = 0;
}

void log_source_finish(struct log_source *src)
{
	forget_input(src);
	log_input_close(src->present);
	for (size_t i = 0; i < src->n_files; i++)
		free(src->files[i]);
	free(src->files);
	free((char *)(uintptr_t)src->s.name); /* our copies */
	free((char *)(uintptr_t)src->s.namespace_);
	free((char *)(uintptr_t)src->s.path);
}

/* ---- the files of the history ---- */

struct found {
	char *path;
	size_t stamp; /* where in it that is */
	struct timespec mtime;
};

static int older_first(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	size_t x_len, y_len;
	int order;

	if (x->mtime.tv_sec != y->mtime.tv_sec)
		return x->mtime.tv_sec < y->mtime.tv_sec ? -1 : 1;
	if (x->mtime.tv_nsec != y->mtime.tv_nsec)
		return x->mtime.tv_nsec < y->mtime.tv_nsec ? -1 : 1;
	/* Rotated in one tick of the clock: by stamp, and within that "-9" is before "-10". */
	order = strncmp(x->path + x->stamp, y->path + y->stamp, ROTATE_STAMP_LEN);
	if (order != 0)
		return order;
	x_len = strlen(x->path);
	y_len = strlen(y->path);
	return x_len != y_len ? (x_len < y_len ? -1 : 1) : strcmp(x->path, y->path);
}

/* It was the present file when we came, or came after that: not of the history. */
static bool is_later(const struct log_source *src, const char *path)
{
	uint64_t bytes;
	const char *past;

	for (uint64_t g = src->generation; g < logfile_generation(src->watch.file); g++)
		if (logfile_rotated(src->watch.file, g, &past, &bytes) && strcmp(past, path) == 0)
			return true;
	return false;
}

static void strip_suffix(char *name)
{
	char *dot = strrchr(name, '.');

	if (dot != NULL && (strcmp(dot, ".gz") == 0 || strcmp(dot, ".zst") == 0))
		*dot = '\0';
}

/* Where in the name of a rotated file of `base` its stamp is: agent/rotate.h. */
static size_t stamp_at(const char *base)
{
	size_t len = strlen(base);
	bool cut = len > 4 && strcmp(base + len - 4, ".log") == 0;

	return len - (cut ? 4 : 0) + 2;
}

/* The rotated file an entry stands for; false: none, or no memory. */
static bool found_one(const struct log_source *src, DIR *d, const char *entry, struct found *out)
{
	const char *path = src->s.path, *base = strrchr(path, '/') + 1;
	char name[PM_PATH_MAX];
	struct stat st;
	int n;

	if (!rotate_is_of(base, entry) || fstatat(dirfd(d), entry, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_ino == src->ino || (src->since_ms != 0 && mtime_of(&st) < src->since_ms))
		return false;
	n = snprintf(name, sizeof(name), "%.*s%s", (int)(base - path), path, entry);
	if (n < 0 || (size_t)n >= sizeof(name))
		return false;
	strip_suffix(name);
	if (is_later(src, name))
		return false;
	out->mtime = st.st_mtim;
	out->stamp = (size_t)(base - path) + stamp_at(base);
	out->path = pm_strdup(name);
	return out->path != NULL;
}

/* Twice as many as are kept: let the older half go. */
static void drop_older(struct log_source *src, struct found *found, size_t *n)
{
	size_t half = *n / 2;

	qsort(found, *n, sizeof(*found), older_first);
	for (size_t i = 0; i < half; i++)
		free(found[i].path);
	memmove(found, found + half, (*n - half) * sizeof(*found));
	*n -= half;
	src->overfull = true;
}

/* Sorted, one entry a file; a file being packed is there twice. */
static void keep_found(struct log_source *src, struct found *found, size_t n)
{
	qsort(found, n, sizeof(*found), older_first);
	src->files = pm_calloc(PM_MAX(n, 1), sizeof(*src->files));
	for (size_t i = 0; i < n; i++) {
		bool twice = src->n_files > 0 &&
		             strcmp(src->files[src->n_files - 1], found[i].path) == 0;

		if (src->files == NULL || twice)
			free(found[i].path);
		else
			src->files[src->n_files++] = found[i].path;
	}
	src->file += src->n_files;
}

static void list_files(struct log_source *src)
{
	const char *slash = strrchr(src->s.path, '/');
	PM_FREE struct found *found = NULL;
	char dir[PM_PATH_MAX];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	src->listed = true;
	if (src->s.agent || slash == NULL || (size_t)(slash - src->s.path) >= sizeof(dir))
		return;
	(void)snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - src->s.path), src->s.path);
	found = pm_calloc((size_t)2 * FILES_MAX, sizeof(*found));
	d = found == NULL ? NULL : opendir(dir);
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		n += found_one(src, d, e->d_name, &found[n]);
		if (n == (size_t)2 * FILES_MAX)
			drop_older(src, found, &n);
	}
	(void)closedir(d);
	keep_found(src, found, n);
}

struct log_input *log_source_input(struct log_source *src)
{
	struct stat st;

	if (src->in != NULL)
		return src->in;
	if (src->in_history && src->file < src->n_files) {
		if (log_input_open(src->files[src->file], &src->in) != 0)
			return src->in = NULL;
		if (log_input_stat(src->in, &st) == 0)
			src->mtime_ms = mtime_of(&st);
	}
	return src->in;
}

static void need_index(struct log_source *src)
{
	const bool present = src->file == src->n_files;
	const char *path = present ? src->s.path : src->files[src->file];
	struct log_input *in = log_source_input(src);
	struct stat st;

	if (src->index_loaded || src->watch.file == NULL)
		return;
	src->index_loaded = true;
	if (in == NULL || log_input_stat(in, &st) < 0)
		return;
	logindex_load(logfile_home(src->watch.file), path, log_input_is_packed(in) ? 0 : st.st_ino,
	              &src->index);
}

/* ---- looking for the beginning ---- */

void log_source_want(struct log_source *src, uint64_t lines, int64_t since_ms, int64_t until_ms)
{
	src->in_history = true;
	src->since_ms = since_ms;
	src->until_ms = until_ms;
	src->need = lines == 0 ? UINT64_MAX : lines;
	src->high = UINT64_MAX;
}

uint64_t log_source_limit(struct log_source *src)
{
	uint64_t end = src->file == src->n_files ? src->seam : UINT64_MAX;

	if (!src->in_history)
		return UINT64_MAX;
	if (src->until_ms != 0) {
		need_index(src);
		end = PM_MIN(end, logindex_since(&src->index, src->until_ms + 1));
	}
	return end;
}

/* Where in this file the first line in bounds is. */
static uint64_t low_of(struct log_source *src)
{
	uint64_t at;

	if (src->since_ms == 0)
		return 0;
	need_index(src);
	if (src->index.n_entries == 0)
		return src->mtime_ms >= src->since_ms ? 0 : UINT64_MAX;
	at = logindex_since(&src->index, src->since_ms - LOGINDEX_EVERY_MS);
	return at;
}

static void start_at(struct log_source *src, uint64_t offset, uint64_t skip)
{
	src->offset = offset;
	src->skip = skip;
	src->located = true;
	logindex_trim(&src->index, offset); /* of thousands of sources */
}

static bool go_to_file(struct log_source *src, size_t file)
{
	if (file != src->file && (src->file < src->n_files || src->in != NULL)) {
		if (src->file == src->n_files) { /* kept: it may be renamed meanwhile */
			src->present = src->in;
			src->in = NULL;
		}
		forget_input(src);
	}
	src->file = file;
	src->file_id = 0;
	if (file == src->n_files && src->present != NULL) {
		src->in = src->present;
		src->present = NULL;
	}
	src->high = UINT64_MAX;
	return log_source_input(src) != NULL;
}

static void start_at_low(struct log_source *src, uint64_t low)
{
	start_at(src, low == UINT64_MAX ? log_source_limit(src) : low, 0);
}

/* This file has not enough; look in the one before.  LOCATE_DONE: there is none. */
static enum log_locate older(struct log_source *src)
{
	if (!src->listed)
		list_files(src);
	if (src->file == 0) {
		src->bounded = src->overfull;
		start_at_low(src, src->low);
		return LOCATE_DONE;
	}
	(void)go_to_file(src, src->file - 1); /* one that is gone has no lines */
	return LOCATE_AGAIN;
}

/* What was looked through of a file, or was unpacked for that. */
static void charge(struct log_source *src, uint64_t bytes)
{
	src->left.bytes -= PM_MIN(bytes, src->left.bytes);
	src->done.bytes += bytes;
}

/*
 * No more is looked through: it begins at the line that was come to.  What was counted of a packed
 * file are its older lines, so that one is left out, as is one that was not begun.
 */
static enum log_locate stop_here(struct log_source *src)
{
	src->bounded = true;
	if (src->in != NULL && src->high != UINT64_MAX && !log_input_is_packed(src->in)) {
		start_at(src, src->high, 0);
		return LOCATE_DONE;
	}
	if (src->file == src->n_files) {
		start_at(src, log_source_limit(src), 0);
		return LOCATE_DONE;
	}
	(void)go_to_file(src, src->file + 1); /* it was there before, and it may be gone */
	start_at_low(src, low_of(src));
	return LOCATE_DONE;
}

static size_t count_taken(const struct log_filter *filter, const char *bytes, size_t len)
{
	size_t n = 0;

	while (len > 0) {
		const char *newline = memchr(bytes, '\n', len);
		size_t line = newline == NULL ? len : (size_t)(newline - bytes);

		n += log_filter_takes(filter, bytes, line);
		line += newline != NULL;
		bytes += line;
		len -= line;
	}
	return n;
}

/* A packed file is counted forward; the lines before the wanted ones are skipped then. */
static enum log_locate locate_packed(struct log_source *src, const struct log_filter *filter,
                                     char *scratch)
{
	uint64_t limit = log_source_limit(src);
	const char *bytes = NULL, *last;
	ssize_t n = 0;

	if (src->high < limit)
		n = log_input_at(src->in, src->high, scratch, &bytes);
	if (n < 0 && errno == EAGAIN) {
		charge(src, LOG_UNPACK_MAX);
		return LOCATE_AGAIN;
	}
	if (n <= 0) {
		if (src->count >= src->need) {
			start_at(src, src->low, src->count - src->need);
			return LOCATE_DONE;
		}
		src->need -= src->count;
		return older(src);
	}
	n = (ssize_t)PM_MIN((uint64_t)n, limit - src->high);
	last = memrchr(bytes, '\n', (size_t)n);
	if (last != NULL) /* or a very long line */
		n = last - bytes + 1;
	src->count += count_taken(filter, bytes, (size_t)n);
	src->high += (uint64_t)n;
	charge(src, (uint64_t)n);
	return LOCATE_AGAIN;
}

/* One block backwards from `high`, which is where a line begins. */
static enum log_locate locate_block(struct log_source *src, const struct log_filter *filter,
                                    char *scratch)
{
	uint64_t end = src->probe != 0 ? src->probe : src->high;
	uint64_t from = end - src->low > LOG_READ_MAX ? end - LOG_READ_MAX : src->low;
	uint64_t start = from;
	const char *bytes, *newline;
	ssize_t n = log_input_at(src->in, from, scratch, &bytes);
	size_t len, count;

	if (n <= 0)
		return older(src);
	len = (size_t)PM_MIN((uint64_t)n, end - from);
	charge(src, len);
	if (from > src->low) {
		/* The newline right before `high` ends the line we look for the start of. */
		newline = memchr(bytes, '\n', src->probe != 0 || len == 0 ? len : len - 1);
		if (newline == NULL) {
			src->probe = from;
			return LOCATE_AGAIN;
		}
		start = from + (uint64_t)(newline - bytes) + 1;
	}
	src->probe = 0;
	count = count_taken(filter, bytes + (start - from), len - (size_t)(start - from));
	if (count >= src->need) {
		start_at(src, start, count - src->need);
		return LOCATE_DONE;
	}
	src->need -= count;
	src->high = start;
	return start > src->low ? LOCATE_AGAIN : older(src);
}

/* Of this file what is in bounds.  false: nothing is */
static bool begin_file(struct log_source *src)
{
	uint64_t end = log_source_limit(src);
	struct stat st;

	src->low = low_of(src);
	src->count = 0;
	src->probe = 0;
	if (log_input_is_packed(src->in)) {
		src->high = src->low;
		return src->low < end;
	}
	if (end == UINT64_MAX) {
		if (log_input_stat(src->in, &st) < 0)
			return false;
		end = (uint64_t)st.st_size;
	}
	src->high = end;
	return src->low < end;
}

enum log_locate log_source_locate(struct log_source *src, const struct log_filter *filter,
                                  char *scratch)
{
	if (src->left.bytes == 0)
		return stop_here(src);
	if (log_source_input(src) == NULL)
		return older(src);
	if (src->high == UINT64_MAX) {
		if (!begin_file(src))
			return older(src);
		if (src->file < src->n_files && src->left.files == 0) {
			src->high = UINT64_MAX;
			return stop_here(src);
		}
		if (src->file < src->n_files) {
			src->left.files--;
			src->done.files++;
		}
	}
	if (log_input_is_packed(src->in))
		return locate_packed(src, filter, scratch);
	return locate_block(src, filter, scratch);
}

/* ---- which file ---- */

static uint64_t find_file(const struct log_source *src)
{
	const char *home = logfile_home(src->watch.file), *path;
	uint64_t id, bytes;

	if (src->in_history && src->file < src->n_files)
		return logindex_file(home, src->files[src->file], 0);
	id = logindex_file(home, src->s.path, src->ino);
	/* It may have been renamed since we opened it. */
	if (id == 0 && logfile_rotated(src->watch.file, src->generation, &path, &bytes) &&
	    path != NULL)
		id = logindex_file(home, path, src->ino);
	return id;
}

uint64_t log_source_file(struct log_source *src)
{
	if (src->watch.file == NULL)
		return 0;
	if (src->file_id == 0)
		src->file_id = find_file(src);
	if (src->file_id != 0)
		return src->file_id;
	if (src->in == NULL)
		return (uint64_t)src->ino;
	/* Of the present file it may be known later, of one before that it never is. */
	if (src->generation == logfile_generation(src->watch.file))
		return log_input_identity(src->in);
	src->file_id = log_input_identity(src->in);
	return src->file_id;
}

static void resume_at(struct log_source *src, const Pm__LogPosition *from)
{
	const char *home = logfile_home(src->watch.file);

	src->in_history = true;
	src->resumed = true;
	if (src->in != NULL && log_source_file(src) == from->file && from->offset <= src->seam) {
		start_at(src, from->offset, 0);
		return;
	}
	list_files(src);
	for (size_t i = src->n_files; i-- > 0;)
		if (logindex_file(home, src->files[i], 0) == from->file) {
			(void)go_to_file(src, i);
			start_at(src, from->offset, 0);
			return;
		}
	src->lost = true;
	log_source_want(src, 0, PM_MAX(from->wall_ms, (int64_t)1), src->until_ms);
}

bool log_source_resume(struct log_source *src, Pm__LogPosition *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i]->path, src->s.path) == 0) {
			resume_at(src, list[i]);
			return true;
		}
	return false;
}

/* ---- times ---- */

int64_t log_source_time_of(const struct log_source *src, uint64_t offset)
{
	ssize_t i = logindex_find(&src->index, offset);

	return i < 0 ? 0 : src->index.entries[i].wall_ms;
}

int64_t log_source_time(struct log_source *src)
{
	int64_t t;

	if (!src->index_loaded) {
		need_index(src);
		logindex_trim(&src->index, src->offset);
	}
	t = log_source_time_of(src, src->offset);
	return t != 0 ? t : src->mtime_ms;
}

/* ---- onward ---- */

bool log_source_next_file(struct log_source *src)
{
	if (src->file == src->n_files) {
		src->in_history = false;
		logindex_finish(&src->index); /* live lines have the time of their coming */
		src->offset = src->seam;
		return false;
	}
	(void)go_to_file(src, src->file + 1);
	src->offset = 0;
	src->mid_line = false;
	return true;
}

void log_source_check_truncated(struct log_source *src)
{
	struct logfile *f = src->watch.file;
	struct stat st;

	if (src->generation == logfile_generation(f) &&
	    src->truncations != logfile_truncations(f)) {
		src->truncations = logfile_truncations(f);
		src->offset = 0;
		src->file_id = 0;
		src->mid_line = false;
	} else if (src->in != NULL && !log_input_is_packed(src->in) &&
	           log_input_stat(src->in, &st) == 0 && (uint64_t)st.st_size < src->offset) {
		src->offset = 0;
		src->file_id = 0;
		src->mid_line = false;
	}
}

/* Into the file of the next generation. */
static bool follow_generation(struct log_source *src)
{
	struct logfile *f = src->watch.file;
	const char *path;
	uint64_t bytes = 0;

	src->generation++;
	src->truncations = logfile_truncations(f);
	src->offset = 0;
	forget_input(src);
	if (src->generation == logfile_generation(f))
		return open_present(src);
	if (logfile_rotated(f, src->generation, &path, &bytes) &&
	    log_input_open(path, &src->in) == 0) {
		struct stat st;

		/* Now, as its name may be gone before the first line of it is wanted. */
		src->file_id = logindex_file(logfile_home(f), path, 0);
		if (log_input_stat(src->in, &st) == 0)
			src->ino = st.st_ino;
		return true;
	}
	src->in = NULL;
	src->lost = true;
	src->gap += bytes;
	return true; /* nothing to read in it: the next one follows */
}

/* Another file has the name than the one we read: somebody else rotated. */
static bool was_replaced(const struct log_source *src)
{
	ino_t ino = (ino_t)logfile_ino(src->watch.file);
	struct stat st;

	if (ino == 0 && stat(src->s.path, &st) == 0)
		ino = st.st_ino;
	return ino != 0 && ino != src->ino;
}

bool log_source_is_over(const struct log_source *src)
{
	return src->generation != logfile_generation(src->watch.file) || src->in == NULL ||
	       was_replaced(src);
}

bool log_source_follow(struct log_source *src)
{
	src->mid_line = false;
	if (src->generation != logfile_generation(src->watch.file))
		return follow_generation(src);
	forget_input(src);
	src->offset = 0;
	return open_present(src);
}
