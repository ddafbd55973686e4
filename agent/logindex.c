#include "agent/logindex.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/limits.h"

#define DIR_NAME "state/logindex"

static const char magic[8] = "PMLIDX1\n";

struct head {
	char magic[8];
	uint64_t ino;
};

static bool name_of(const char *home, const char *path, char *out, size_t size)
{
	unsigned char hash[crypto_generichash_BYTES_MIN];
	char hex[sizeof(hash) * 2 + 1];
	int n;

	(void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)path, strlen(path),
	                         NULL, 0); /* cannot fail with a length in range */
	(void)sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	n = snprintf(out, size, "%s/" DIR_NAME "/%s.idx", home, hex);
	return n > 0 && (size_t)n < size;
}

static int open_rw(const char *home, const char *file)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	char dir[PM_PATH_MAX];
	int fd = open(file, flags, 0600);

	if (fd >= 0)
		return fd;
	(void)snprintf(dir, sizeof(dir), "%s/state", home); /* shorter than file */
	(void)mkdir(dir, 0700);
	(void)snprintf(dir, sizeof(dir), "%s/" DIR_NAME, home);
	(void)mkdir(dir, 0700);
	return open(file, flags, 0600);
}

/* A full index loses every second entry: it gets coarser, it does not end. */
static bool thin_out(int fd)
{
	PM_FREE struct logindex_entry *all = pm_calloc(LOGINDEX_ENTRIES_MAX, sizeof(*all));
	const size_t half = LOGINDEX_ENTRIES_MAX / 2;

	if (all == NULL ||
	    pread(fd, all, LOGINDEX_ENTRIES_MAX * sizeof(*all), sizeof(struct head)) !=
	            (ssize_t)(LOGINDEX_ENTRIES_MAX * sizeof(*all)))
		return false;
	for (size_t i = 0; i < half; i++)
		all[i] = all[2 * i];
	if (pwrite(fd, all, half * sizeof(*all), sizeof(struct head)) !=
	    (ssize_t)(half * sizeof(*all)))
		return false;
	return ftruncate(fd, (off_t)(sizeof(struct head) + half * sizeof(*all))) == 0;
}

static bool head_matches(int fd, ino_t ino)
{
	struct head head;

	return pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	       memcmp(head.magic, magic, sizeof(magic)) == 0 && (ino == 0 || head.ino == ino);
}

void logindex_append(const char *home, const char *path, ino_t ino, int64_t wall_ms,
                     uint64_t offset)
{
	const struct logindex_entry entry = { .wall_ms = wall_ms, .offset = offset };
	struct head head = { .ino = ino };
	char file[PM_PATH_MAX];
	PM_CLOSE int fd = -1;
	off_t end;

	if (!name_of(home, path, file, sizeof(file)))
		return;
	fd = open_rw(home, file);
	if (fd < 0)
		return;
	end = lseek(fd, 0, SEEK_END);
	if (end < (off_t)sizeof(head) || !head_matches(fd, ino)) {
		memcpy(head.magic, magic, sizeof(magic));
		if (ftruncate(fd, 0) < 0 ||
		    pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
			return;
		end = sizeof(head);
	}
	end -= (end - (off_t)sizeof(head)) % (off_t)sizeof(entry); /* a torn entry goes */
	if ((size_t)end >= sizeof(head) + LOGINDEX_ENTRIES_MAX * sizeof(entry)) {
		if (!thin_out(fd))
			return;
		end = sizeof(head) + LOGINDEX_ENTRIES_MAX / 2 * sizeof(entry);
	}
	if (pwrite(fd, &entry, sizeof(entry), end) != (ssize_t)sizeof(entry))
		return; /* a hint is missing */
}

uint64_t logindex_file(const char *home, const char *path, ino_t ino)
{
	unsigned char hash[crypto_generichash_BYTES_MIN];
	struct {
		struct head head;
		struct logindex_entry first;
	} begin;
	char file[PM_PATH_MAX];
	PM_CLOSE int fd = -1;
	uint64_t id;

	if (!name_of(home, path, file, sizeof(file)))
		return 0;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || !head_matches(fd, ino) ||
	    pread(fd, &begin, sizeof(begin), 0) != (ssize_t)sizeof(begin))
		return 0;
	(void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)&begin, sizeof(begin),
	                         NULL, 0); /* cannot fail with a length in range */
	memcpy(&id, hash, sizeof(id));
	return id;
}

void logindex_rename(const char *home, const char *from, const char *to)
{
	char a[PM_PATH_MAX], b[PM_PATH_MAX];

	if (name_of(home, from, a, sizeof(a)) && name_of(home, to, b, sizeof(b)))
		(void)rename(a, b); /* there may be none */
}

void logindex_remove(const char *home, const char *path)
{
	char file[PM_PATH_MAX];

	if (name_of(home, path, file, sizeof(file)))
		(void)unlink(file); /* there may be none */
}

void logindex_finish(struct logindex *x)
{
	free(x->entries);
	*x = (struct logindex){ 0 };
}

/* Offsets ascend, or somebody else wrote it: keep what does. */
static size_t ascending(const struct logindex_entry *entries, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (entries[i].offset < entries[i - 1].offset)
			return i;
	return n;
}

void logindex_load(const char *home, const char *path, ino_t ino, struct logindex *out)
{
	char file[PM_PATH_MAX];
	PM_CLOSE int fd = -1;
	struct stat st;
	size_t n;
	ssize_t got;

	*out = (struct logindex){ 0 };
	if (!name_of(home, path, file, sizeof(file)))
		return;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= (off_t)sizeof(struct head) ||
	    !head_matches(fd, ino))
		return;
	n = PM_MIN(((size_t)st.st_size - sizeof(struct head)) / sizeof(*out->entries),
	           LOGINDEX_ENTRIES_MAX);
	out->entries = pm_calloc(PM_MAX(n, 1), sizeof(*out->entries));
	if (out->entries == NULL)
		return;
	got = pread(fd, out->entries, n * sizeof(*out->entries), sizeof(struct head));
	if (got > 0)
		out->n_entries = ascending(out->entries, (size_t)got / sizeof(*out->entries));
}

void logindex_trim(struct logindex *x, uint64_t offset)
{
	ssize_t first = logindex_find(x, offset);
	void *less;

	if (first <= 0)
		return;
	x->n_entries -= (size_t)first;
	memmove(x->entries, x->entries + first, x->n_entries * sizeof(*x->entries));
	less = pm_realloc(x->entries, x->n_entries * sizeof(*x->entries));
	if (less != NULL)
		x->entries = less;
}

ssize_t logindex_find(const struct logindex *x, uint64_t offset)
{
	size_t low = 0, high = x->n_entries; /* entries before low are <= offset */

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (x->entries[mid].offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return (ssize_t)low - 1;
}

uint64_t logindex_since(const struct logindex *x, int64_t wall_ms)
{
	/* Times may step back with the clock: the first that fits is taken, so nothing is missed.
	 */
	for (size_t i = 0; i < x->n_entries; i++)
		if (x->entries[i].wall_ms >= wall_ms)
			return x->entries[i].offset;
	return UINT64_MAX;
}
