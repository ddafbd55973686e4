#include "agent/tz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/tzrule.h"

#define HEADER_LEN 44
/* RFC 8536 3.2: what a sane offset is. */
#define OFFSET_MAX_S (26 * 3600)

struct tz {
	size_t n; /* changes */
	bool has_rule;
	struct tzrule rule; /* after the last change */
	int32_t first_offset_s;
	struct change {
		int64_t at_s;
		int32_t offset_s; /* from then on */
	} changes[];              /* strictly increasing */
};

/* The counts of one header, in its order. */
struct counts {
	uint32_t utc, std, leap, time, type, chars;
};

static uint64_t get(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		v = v << 8 | p[i];
	return v;
}

static int corrupt(struct pm_error *err, const char *what)
{
	return pm_fail(err, PM_CORRUPT, "time zone file: %s", what);
}

/* Reads a header at *at and moves past it. */
static int read_header(const uint8_t *bytes, size_t len, size_t *at, struct counts *c,
                       struct pm_error *err)
{
	const uint8_t *p = bytes + *at;

	if (len - *at < HEADER_LEN || memcmp(p, "TZif", 4) != 0)
		return corrupt(err, "no TZif header");
	if (p[4] < '2')
		return corrupt(err, "version 1 is not supported");
	p += 20;
	*c = (struct counts){ (uint32_t)get(p, 4),      (uint32_t)get(p + 4, 4),
		              (uint32_t)get(p + 8, 4),  (uint32_t)get(p + 12, 4),
		              (uint32_t)get(p + 16, 4), (uint32_t)get(p + 20, 4) };
	if (c->utc > 256 || c->std > 256 || c->leap > 1000 || c->time > 8192 || c->type > 256 ||
	    c->chars > 4096)
		return corrupt(err, "a count is too large");
	*at += HEADER_LEN;
	return 0;
}

static size_t body_len(const struct counts *c, size_t time_size)
{
	return c->time * (time_size + 1) + c->type * 6u + c->chars + c->leap * (time_size + 4) +
	       c->std + c->utc;
}

static int read_footer(struct tz *tz, const uint8_t *p, size_t len, struct pm_error *err)
{
	char text[128];
	const uint8_t *end;

	if (len < 2 || p[0] != '\n')
		return corrupt(err, "no footer");
	end = memchr(p + 1, '\n', len - 1);
	if (end == NULL || (size_t)(end - p) > sizeof(text) || memchr(p, '\0', len) != NULL)
		return corrupt(err, "bad footer");
	memcpy(text, p + 1, (size_t)(end - p) - 1);
	text[end - p - 1] = '\0';
	if (text[0] == '\0')
		return 0;
	if (tzrule_parse(text, &tz->rule) < 0)
		return corrupt(err, "bad rule in the footer");
	tz->has_rule = true;
	return 0;
}

static int read_offset(const uint8_t *types, uint32_t n_types, uint8_t type, int32_t *out)
{
	int32_t offset_s;

	if (type >= n_types)
		return -1;
	offset_s = (int32_t)(uint32_t)get(types + (size_t)type * 6, 4);
	if (offset_s > OFFSET_MAX_S || offset_s < -OFFSET_MAX_S)
		return -1;
	*out = offset_s;
	return 0;
}

static int read_changes(struct tz *tz, const uint8_t *p, const struct counts *c,
                        struct pm_error *err)
{
	const uint8_t *indices = p + (size_t)c->time * 8;
	const uint8_t *types = indices + c->time;

	if (read_offset(types, c->type, 0, &tz->first_offset_s) < 0)
		return corrupt(err, "bad offset");
	for (size_t i = 0; i < c->time; i++) {
		tz->changes[i].at_s = (int64_t)get(p + i * 8, 8);
		if (i > 0 && tz->changes[i].at_s <= tz->changes[i - 1].at_s)
			return corrupt(err, "times are not in order");
		if (read_offset(types, c->type, indices[i], &tz->changes[i].offset_s) < 0)
			return corrupt(err, "bad offset");
	}
	tz->n = c->time;
	return 0;
}

int tz_parse(const uint8_t *bytes, size_t len, struct tz **out, struct pm_error *err)
{
	struct counts c;
	struct tz *tz;
	size_t at = 0;

	if (read_header(bytes, len, &at, &c, err) < 0)
		return -1;
	if (len - at < body_len(&c, 4))
		return corrupt(err, "cut off");
	at += body_len(&c, 4); /* the 32-bit data of version 1 */
	if (read_header(bytes, len, &at, &c, err) < 0)
		return -1;
	if (c.leap != 0)
		return corrupt(err, "zones with leap seconds are not supported");
	if (c.type == 0 || len - at < body_len(&c, 8))
		return corrupt(err, "cut off");
	tz = pm_calloc(1, sizeof(*tz) + c.time * sizeof(tz->changes[0]));
	if (tz == NULL)
		return pm_fail(err, PM_NO_MEMORY, "load time zone");
	if (read_changes(tz, bytes + at, &c, err) < 0)
		goto fail;
	at += body_len(&c, 8);
	if (read_footer(tz, bytes + at, len - at, err) < 0)
		goto fail;
	*out = tz;
	return 0;
fail:
	tz_destroy(tz);
	return -1;
}

void tz_destroy(struct tz *tz)
{
	free(tz);
}

static void tz_span(const void *arg, int64_t utc_s, struct cron_span *out)
{
	const struct tz *tz = arg;
	size_t low = 0, high = tz->n; /* the number of changes <= utc_s is in [low, high] */

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (tz->changes[mid].at_s <= utc_s)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == tz->n && tz->has_rule) {
		tzrule_span(&tz->rule, utc_s, out);
		if (tz->n > 0)
			out->from_s = PM_MAX(out->from_s, tz->changes[tz->n - 1].at_s);
		return;
	}
	out->from_s = low == 0 ? INT64_MIN : tz->changes[low - 1].at_s;
	out->until_s = low == tz->n ? INT64_MAX : tz->changes[low].at_s;
	out->offset_s = low == 0 ? tz->first_offset_s : tz->changes[low - 1].offset_s;
}

struct cron_zone tz_zone(const struct tz *tz)
{
	return (struct cron_zone){ tz_span, tz };
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A name cannot lead out of the zone directory. */
static bool is_zone_name(const char *name)
{
	const size_t len = strlen(name);

	return len > 0 && len < 128 && name[0] != '/' && strstr(name, "..") == NULL &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                    "0123456789_+-/") == len;
}

static int load_file(const char *dir, const char *name, struct tz **out, struct pm_error *err)
{
	uint8_t bytes[TZ_FILE_MAX];
	PM_CLOSE int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	PM_CLOSE int fd = -1;
	size_t len = 0;
	ssize_t n = 1;

	if (dir_fd >= 0)
		fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return pm_fail_errno(err, errno, "open %s/%s", dir, name);
	while (n > 0 && len < sizeof(bytes)) {
		n = read(fd, bytes + len, sizeof(bytes) - len);
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "read %s/%s", dir, name);
		len += n > 0 ? (size_t)n : 0;
		n = n < 0 ? 1 : n; /* interrupted: once more */
	}
	if (tz_parse(bytes, len, out, err) < 0)
		return pm_wrap(err, "%s/%s", dir, name);
	return 0;
}

static int load_own(struct tz **out, struct pm_error *err)
{
	const char *name = getenv("TZ");
	struct pm_error ignored; /* there is always one more to try */

	if (name != NULL && name[0] == ':')
		name++;
	if (name != NULL && is_zone_name(name) &&
	    load_file("/usr/share/zoneinfo", name, out, &ignored) == 0)
		return 0;
	if (load_file("/etc", "localtime", out, &ignored) == 0)
		return 0;
	*out = pm_calloc(1, sizeof(**out)); /* all zeroes is UTC */
	return *out == NULL ? pm_fail(err, PM_NO_MEMORY, "load time zone") : 0;
}

int tz_load(const char *name, struct tz **out, struct pm_error *err)
{
	if (name[0] == '\0')
		return load_own(out, err);
	if (!is_zone_name(name))
		return pm_fail(err, PM_CONFIG, "'%.64s' is not the name of a time zone", name);
	if (load_file("/usr/share/zoneinfo", name, out, err) == 0)
		return 0;
	pm_hint(err, "run 'timedatectl list-timezones' to see the names");
	if (err->code == PM_INTERNAL)
		err->code = PM_CONFIG;
	return pm_wrap(err, "time zone %.64s", name);
}
