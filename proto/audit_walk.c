#include "proto/audit_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"

/* Rotation keeps PM_AUDIT_FILES_MAX; a directory with far more of them is not one of ours. */
#define FILES_MOST 4096

void audit_file_name(uint64_t seq, char out[AUDIT_FILE_NAME])
{
	(void)snprintf(out, AUDIT_FILE_NAME, "audit.%020llu.log", (unsigned long long)seq);
}

static bool is_file_name(const char *name)
{
	return strlen(name) == 30 && strncmp(name, "audit.", 6) == 0 &&
	       strspn(name + 6, "0123456789") == 20 && strcmp(name + 26, ".log") == 0;
}

void audit_files_finish(struct audit_files *files)
{
	free(files->names);
	*files = (struct audit_files){ 0 };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int find_in(DIR *d, struct audit_files *list, struct pm_error *err)
{
	struct dirent *entry;

	while ((entry = readdir(d)) != NULL) {
		void *more;

		if (!is_file_name(entry->d_name))
			continue;
		if (list->n == FILES_MOST)
			return pm_fail(err, PM_LIMIT, "more than %d audit logs", FILES_MOST);
		more = pm_realloc(list->names, (list->n + 1) * sizeof(list->names[0]));
		if (more == NULL)
			return pm_fail(err, PM_NO_MEMORY, "find the audit logs");
		list->names = more;
		memcpy(list->names[list->n++], entry->d_name, strlen(entry->d_name) + 1);
	}
	if (list->n > 0)
		qsort(list->names, list->n, sizeof(list->names[0]), by_name);
	return 0;
}

int audit_files_find(int dir, struct audit_files *out, struct pm_error *err)
{
	struct audit_files list = { 0 };
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL) {
		rc = pm_fail_errno(err, errno, "read the directory of the audit log");
		pm_closep(&fd);
		return rc;
	}
	rc = find_in(d, &list, err);
	(void)closedir(d); /* was only read */
	if (rc < 0)
		audit_files_finish(&list);
	else
		*out = list;
	return rc;
}

/* ---- the walk ---- */

struct walk {
	struct audit_head head;
	struct audit_head disk;        /* audit.head */
	const struct audit_head *seen; /* NULL: none */
	bool found_disk, found_seen;
	bool begun;
	audit_entry_fn *fn;
	void *arg;
	struct audit_report *report;
	char *text; /* owned: of one entry */
};

static bool same_head(const struct audit_head *a, const struct audit_head *b)
{
	return a->seq == b->seq && memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static void note_head(struct walk *w)
{
	w->found_disk = w->found_disk || same_head(&w->head, &w->disk);
	w->found_seen = w->found_seen || w->seen == NULL || same_head(&w->head, w->seen);
	w->report->head = w->head;
}

static int walk_header(struct walk *w, const char *line, size_t len, struct pm_error *err)
{
	struct audit_head from;

	if (audit_read_header(line, len, &from, err) < 0)
		return -1;
	if (w->begun && !same_head(&from, &w->head))
		return pm_fail(
			err, PM_CORRUPT,
			"it goes on behind entry %llu, but the file before it ends with %llu",
			(unsigned long long)from.seq, (unsigned long long)w->head.seq);
	w->begun = true;
	w->head = from;
	note_head(w);
	return 0;
}

static int walk_entry(struct walk *w, const char *line, size_t len, struct pm_error *err)
{
	struct audit_entry e = { 0 };

	if (audit_check_line(&w->head, line, len, &e, w->text, err) < 0)
		return -1;
	if (w->report->first == 0)
		w->report->first = e.seq;
	w->report->last = e.seq;
	note_head(w);
	return w->fn == NULL ? 0 : w->fn(w->arg, &e, err);
}

static int open_file(int dir, const char *name, FILE **out, struct pm_error *err)
{
	/* NONBLOCK: a FIFO put here must not hang us. */
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "a symbolic link");
	if (fd < 0)
		return pm_fail_errno(err, errno, "open");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		pm_closep(&fd);
		return pm_fail(err, PM_DENIED, "not a regular file");
	}
	*out = fdopen(fd, "r");
	if (*out == NULL) {
		pm_closep(&fd);
		return pm_fail(err, PM_NO_MEMORY, "read");
	}
	return 0;
}

/* The next line without its newline; *whole is false for what the end of the file cuts off. */
static ssize_t next_line(FILE *f, char *line, size_t size, bool *whole)
{
	size_t n = 0;
	int c;

	while (n < size && (c = getc(f)) != EOF && c != '\n')
		line[n++] = (char)c;
	*whole = n < size && !feof(f);
	return n == 0 && feof(f) ? -1 : (ssize_t)n;
}

/* last: the file that is being written, whose end a power cut may have torn. */
static int walk_stream(struct walk *w, FILE *f, char *line, bool last, struct pm_error *err)
{
	bool header = true, whole;
	ssize_t n;

	while ((n = next_line(f, line, PM_AUDIT_LINE_MAX + 1, &whole)) >= 0) {
		int rc;

		if (!whole && last && n <= PM_AUDIT_LINE_MAX) {
			w->report->torn_bytes = (uint64_t)n;
			return 0;
		}
		if (!whole)
			return pm_fail(err, PM_CORRUPT, "it ends in the middle of a line");
		rc = header ? walk_header(w, line, (size_t)n, err)
		            : walk_entry(w, line, (size_t)n, err);
		if (rc < 0)
			return -1;
		header = false;
	}
	if (header && !last)
		return pm_fail(err, PM_CORRUPT, "it is empty");
	return 0;
}

static int walk_file(struct walk *w, int dir, const char *name, bool last, struct pm_error *err)
{
	PM_FREE char *line = pm_calloc(PM_AUDIT_LINE_MAX + 1, 1);
	FILE *f = NULL;
	int rc;

	if (line == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %s", name);
	if (open_file(dir, name, &f, err) < 0)
		return pm_wrap(err, "%s", name);
	w->report->files++;
	rc = walk_stream(w, f, line, last, err);
	(void)fclose(f); /* was only read */
	return rc < 0 ? pm_wrap(err, "%s", name) : 0;
}

static int walk_all(struct walk *w, int dir, const struct audit_files *files, struct pm_error *err)
{
	note_head(w); /* the empty chain */
	for (size_t i = 0; i < files->n; i++)
		if (walk_file(w, dir, files->names[i], false, err) < 0)
			return -1;
	if (faccessat(dir, "audit.log", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    walk_file(w, dir, "audit.log", true, err) < 0)
		return -1;
	if (!w->found_disk)
		return pm_fail(err, PM_CORRUPT, "entry %llu was written, but is not there any more",
		               (unsigned long long)w->disk.seq);
	if (!w->found_seen)
		return pm_fail(err, PM_CORRUPT, "entry %llu is not the one that was seen",
		               (unsigned long long)w->seen->seq);
	return 0;
}

int audit_walk(int dir, const struct audit_head *seen, audit_entry_fn *fn, void *arg,
               struct audit_report *report, struct pm_error *err)
{
	PM_FREE char *text = pm_calloc(PM_AUDIT_LINE_MAX + AUDIT_FIELDS + 8, 1);
	struct walk w = { .seen = seen, .fn = fn, .arg = arg, .report = report, .text = text };
	struct audit_files files = { 0 };
	int rc;

	*report = (struct audit_report){ 0 };
	if (text == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the audit log");
	if (audit_heads_load(dir, &w.disk) < 0)
		return pm_fail_errno(err, errno, "read audit.head");
	if (audit_files_find(dir, &files, err) < 0)
		return -1;
	rc = walk_all(&w, dir, &files, err);
	audit_files_finish(&files);
	return rc;
}
