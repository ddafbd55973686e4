/* tz.h - time zones from the system's TZif files, without touching the process's own TZ. */
#ifndef PM_AGENT_TZ_H
#define PM_AGENT_TZ_H

#include "proto/base.h"
#include "proto/cron.h"
#include "proto/error.h"

struct tz;

/* A zone file larger than this is refused; the largest of tzdata has 4 KiB. */
#define TZ_FILE_MAX (64u * 1024)

/*
 * Load a zone by its name ("Europe/Berlin"). "" is the machine's own: TZ in the environment when it
 * names a file, else /etc/localtime, else UTC.
 *
 * ownership  *out is the caller's until tz_destroy()
 * errors     PM_CONFIG (no such zone, not a name), PM_CORRUPT, PM_NO_MEMORY, PM_INTERNAL (read)
 */
PM_MUST_CHECK int tz_load(const char *name, struct tz **out, struct pm_error *err);

/*
 * The same from a file's bytes.
 *
 * source  RFC 8536; version 1 files (before 2005) and leap-second zones ("right/") are refused
 * errors  PM_CORRUPT, PM_NO_MEMORY
 */
PM_MUST_CHECK int tz_parse(const uint8_t *bytes, size_t len, struct tz **out, struct pm_error *err);

void tz_destroy(struct tz *tz); /* NULL is fine */

/* What cron_next() asks; borrows tz. */
struct cron_zone tz_zone(const struct tz *tz);

#endif
