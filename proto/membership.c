#include "proto/membership.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/paths.h"
#include "proto/rotation.h"
#include "proto/utf8.h"

#define HEADER  "pmd-fleet"
#define VERSION 1

/* ---- text ---- */

/* A line's worth: no control characters, or a name could write lines of its own. */
static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return len <= PM_MEMBER_TEXT_MAX && pm_utf8_ok((const uint8_t *)text, len);
}

int pm_membership_format(const struct pm_membership *m, struct pm_buf *out, struct pm_error *err)
{
	const char *const texts[] = { m->id, m->name, m->cluster };
	char text[PM_ADDRESS_TEXT], key[PM_KEY_TEXT];

	for (size_t i = 0; i < PM_COUNT(texts); i++)
		if (!is_plain(texts[i], strlen(texts[i])))
			return pm_fail(err, PM_CONFIG, "the coordinator gave a name that is none");
	if (*m->id == '\0' || m->n_addresses == 0 || m->n_addresses > PM_ADDRESSES_MAX)
		return pm_fail(err, PM_CONFIG, "no id, or no address of the coordinator");
	pm_key_format(m->coordinator, key);
	pm_buf_printf(out, HEADER " %d\nid %s\nname %s\ncluster %s\ncoordinator %s\n", VERSION,
	              m->id, m->name, m->cluster, key);
	if (m->has_next) {
		pm_key_format(m->next, key);
		pm_buf_printf(out, "next %s\n", key);
	}
	for (unsigned i = 0; i < m->n_addresses; i++) {
		pm_address_format(&m->addresses[i], text);
		pm_buf_printf(out, "address %s\n", text);
	}
	pm_buf_printf(out, "joined %" PRId64 "\nend\n", m->joined_wall_ms);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}

static int take_text(char out[PM_MEMBER_TEXT_MAX + 1], const char *value, struct pm_error *err)
{
	size_t len = strlen(value);

	if (!is_plain(value, len))
		return pm_fail(err, PM_CORRUPT, "a name that is none");
	memcpy(out, value, len + 1);
	return 0;
}

static int take_line(struct pm_membership *m, const char *word, const char *value,
                     struct pm_error *err)
{
	char *end;

	if (strcmp(word, "id") == 0)
		return take_text(m->id, value, err);
	if (strcmp(word, "name") == 0)
		return take_text(m->name, value, err);
	if (strcmp(word, "cluster") == 0)
		return take_text(m->cluster, value, err);
	if (strcmp(word, "coordinator") == 0)
		return pm_key_parse(value, m->coordinator, err);
	if (strcmp(word, "next") == 0) {
		m->has_next = true;
		return pm_key_parse(value, m->next, err);
	}
	if (strcmp(word, "address") == 0) {
		if (m->n_addresses == PM_ADDRESSES_MAX)
			return pm_fail(err, PM_CORRUPT, "more than %d addresses", PM_ADDRESSES_MAX);
		return pm_address_parse(value, &m->addresses[m->n_addresses++], err);
	}
	if (strcmp(word, "joined") == 0) {
		errno = 0;
		m->joined_wall_ms = strtoll(value, &end, 10);
		if (*value == '\0' || *end != '\0' || errno != 0)
			return pm_fail(err, PM_CORRUPT, "no time");
	}
	return 0; /* a word of a later version's */
}

bool pm_membership_take_keys(struct pm_membership *m, const uint8_t *used, const uint8_t *next)
{
	return pm_rotation_take_pins(m->coordinator, m->next, &m->has_next, used, next);
}

/* Cut the next line off: NULL, there is none that is whole. */
static char *next_line(char **at)
{
	char *line = *at, *end = strchr(line, '\n');

	if (end == NULL)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return line;
}

static int take_lines(char *text, struct pm_membership *m, struct pm_error *err)
{
	char *line = next_line(&text);
	bool ended = false;

	if (line == NULL || strncmp(line, HEADER " ", strlen(HEADER " ")) != 0)
		return pm_fail(err, PM_CORRUPT, "not a file of ours");
	if (strcmp(line + strlen(HEADER " "), "1") != 0)
		return pm_fail(err, PM_UNSUPPORTED, "it was written by a later version of pmd");
	while (!ended && (line = next_line(&text)) != NULL) {
		char *value = strchr(line, ' ');

		ended = strcmp(line, "end") == 0;
		if (value != NULL)
			*value++ = '\0';
		if (!ended && take_line(m, line, value == NULL ? "" : value, err) < 0) {
			err->code = PM_CORRUPT;
			return -1;
		}
	}
	if (!ended || *text != '\0')
		return pm_fail(err, PM_CORRUPT, "it does not end where it should");
	if (*m->id == '\0' || m->n_addresses == 0 ||
	    pm_key_same(m->coordinator, (const uint8_t[PM_KEY_BYTES]){ 0 }))
		return pm_fail(err, PM_CORRUPT, "id, coordinator or address is missing");
	return 0;
}

int pm_membership_parse(const char *text, size_t len, struct pm_membership *out,
                        struct pm_error *err)
{
	struct pm_membership m = { .n_addresses = 0 };
	PM_FREE char *copy = NULL;

	if (len > PM_MEMBERSHIP_MAX || memchr(text, '\0', len) != NULL)
		return pm_fail(err, PM_CORRUPT, "not a file of ours");
	copy = pm_strndup(text, len);
	if (copy == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (take_lines(copy, &m, err) < 0)
		return -1;
	*out = m;
	return 0;
}

/* ---- files ---- */

static int read_whole(const char *path, char *out, size_t size, size_t *len, struct pm_error *err)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 && errno == ENOENT)
		return pm_fail(err, PM_NOT_FOUND, "there is none");
	if (fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "it is a link");
	if (fd < 0 || fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "open");
	if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0))
		return pm_fail(err, PM_DENIED, "it is not a file of ours");
	for (*len = 0; n > 0 && *len<size; *len += n> 0 ? (size_t)n : 0) {
		n = read(fd, out + *len, size - *len);
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "read");
		n = n < 0 ? 1 : n;
	}
	return *len == size ? pm_fail(err, PM_CORRUPT, "it is too large") : 0;
}

static int write_fd(int fd, const char *bytes, size_t len, struct pm_error *err)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, bytes + at, len - at);

		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "write");
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? pm_fail_errno(err, errno, "write to the disk") : 0;
}

static int sync_dir(const char *home, const char *name, struct pm_error *err)
{
	char path[PM_PATH_MAX];
	PM_CLOSE int fd = -1;

	if (pm_home_file(home, name, path, sizeof(path), err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return pm_fail_errno(err, errno, "write %.200s to the disk", path);
	return 0;
}

/* In place of what is there: the old file or the new one, whatever happens in between. */
static int replace(const char *home, const char *name, const char *bytes, size_t len,
                   struct pm_error *err)
{
	char path[PM_PATH_MAX], temp[PM_PATH_MAX + 8];
	PM_CLOSE int fd = -1;
	int rc;

	if (pm_home_file(home, name, path, sizeof(path), err) < 0)
		return -1;
	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	(void)unlink(temp); /* of a write that was cut short */
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "%.200s", temp);
	rc = write_fd(fd, bytes, len, err);
	if (rc == 0 && rename(temp, path) < 0)
		rc = pm_fail_errno(err, errno, "name it");
	if (rc < 0) {
		(void)unlink(temp);
		return pm_wrap(err, "%.200s", path);
	}
	return sync_dir(home, PM_HOME_STATE_DIR, err);
}

int pm_membership_load(const char *home, struct pm_membership *out, struct pm_error *err)
{
	char path[PM_PATH_MAX], text[PM_MEMBERSHIP_MAX + 1];
	size_t len = 0;

	if (pm_home_file(home, PM_HOME_FLEET, path, sizeof(path), err) < 0)
		return -1;
	if (read_whole(path, text, sizeof(text), &len, err) < 0 ||
	    pm_membership_parse(text, len, out, err) < 0) {
		if (err->code == PM_NOT_FOUND)
			return pm_fail(err, PM_NOT_FOUND, "this machine is in no fleet");
		pm_hint(err, "'pmctl leave' removes it; then join anew");
		return pm_wrap(err, "%.180s", path);
	}
	return 0;
}

int pm_membership_save(const char *home, const struct pm_membership *m, struct pm_error *err)
{
	PM_BUF text = { 0 };

	if (pm_membership_format(m, &text, err) < 0)
		return -1;
	return replace(home, PM_HOME_FLEET, text.bytes, text.len, err);
}

static int forget_file(const char *home, const char *name, bool *found, struct pm_error *err)
{
	char path[PM_PATH_MAX];

	if (pm_home_file(home, name, path, sizeof(path), err) < 0)
		return -1;
	if (unlink(path) == 0)
		*found = true;
	else if (errno != ENOENT)
		return pm_fail_errno(err, errno, "remove %.200s", path);
	return 0;
}

/* The membership goes first: a key without one joins nothing by itself. */
int pm_membership_forget(const char *home, struct pm_error *err)
{
	bool found = false;

	if (forget_file(home, PM_HOME_FLEET, &found, err) < 0 ||
	    forget_file(home, PM_HOME_AGENT_KEY, &found, err) < 0 ||
	    forget_file(home, PM_HOME_AGENT_NEXT, &found, err) < 0 ||
	    forget_file(home, PM_HOME_EPOCH, &found, err) < 0)
		return -1;
	if (!found)
		return pm_fail(err, PM_NOT_FOUND, "this machine is in no fleet");
	if (sync_dir(home, PM_HOME_KEYS_DIR, err) < 0)
		return -1;
	return sync_dir(home, PM_HOME_STATE_DIR, err);
}

int pm_membership_next_epoch(const char *home, uint64_t *out, struct pm_error *err)
{
	char path[PM_PATH_MAX], text[32] = "";
	size_t len = 0;
	uint64_t epoch;
	int n;

	if (pm_home_file(home, PM_HOME_EPOCH, path, sizeof(path), err) < 0)
		return -1;
	if (read_whole(path, text, sizeof(text), &len, err) < 0 && err->code != PM_NOT_FOUND &&
	    err->code != PM_CORRUPT)
		return pm_wrap(err, "%.200s", path);
	text[PM_MIN(len, sizeof(text) - 1)] = '\0';
	epoch = strtoull(text, NULL, 10) + 1;
	n = snprintf(text, sizeof(text), "%" PRIu64 "\n", epoch);
	if (replace(home, PM_HOME_EPOCH, text, (size_t)n, err) < 0)
		return -1;
	*out = epoch;
	return 0;
}

void pm_session_mark_load(const char *home, struct pm_session_mark *out)
{
	char path[PM_PATH_MAX], text[PM_MEMBER_TEXT_MAX + 64] = "", *end;
	uint64_t generation, base;
	struct pm_error err;
	size_t len = 0;
	int n = 0;

	*out = (struct pm_session_mark){ 0 };
	if (pm_home_file(home, PM_HOME_SESSION, path, sizeof(path), &err) < 0 ||
	    read_whole(path, text, sizeof(text), &len, &err) < 0)
		return;
	text[PM_MIN(len, sizeof(text) - 1)] = '\0';
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %n", &generation, &base, &n) < 2 || n == 0)
		return;
	end = strchr(text + n, '\n');
	if (end == NULL || end - (text + n) > PM_MEMBER_TEXT_MAX)
		return;
	memcpy(out->id, text + n, (size_t)(end - (text + n)));
	out->generation = generation;
	out->base = base;
}

int pm_session_mark_save(const char *home, const struct pm_session_mark *mark, struct pm_error *err)
{
	char text[PM_MEMBER_TEXT_MAX + 64];
	int n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %s\n", mark->generation,
	                 mark->base, mark->id);

	return replace(home, PM_HOME_SESSION, text, (size_t)n, err);
}
