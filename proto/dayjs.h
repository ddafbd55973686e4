/* dayjs.h - times in the format language of day.js, as log_date_format and --timestamp have it. */
#ifndef PM_PROTO_DAYJS_H
#define PM_PROTO_DAYJS_H

#include <time.h>

#include "proto/base.h"

/*
 * Format a broken-down time. Pure.
 *
 * format   YY YYYY M MM MMM MMMM D DD d dd ddd dddd H HH h hh a A m mm s ss SSS Z ZZ; [text] as it
 *          is; all else stands for itself
 * tm       with tm_gmtoff
 * returns  the length; 0: it does not fit (out is "")
 * source   https://day.js.org/docs/en/display/format
 */
size_t pm_dayjs_tm(const char *format, const struct tm *tm, unsigned ms, char *out, size_t size);

/* The same in this process's time zone. */
size_t pm_dayjs(const char *format, int64_t wall_ms, char *out, size_t size);

#endif
