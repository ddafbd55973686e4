/* units.h - numbers, sizes and durations as people write them. Pure. */
#ifndef PM_PROTO_UNITS_H
#define PM_PROTO_UNITS_H

#include <stdbool.h>

#include "proto/base.h"

/* All return false, with *out untouched, for anything but the whole text in the form given. */

/* A decimal integer with an optional sign; blanks around it are fine. */
PM_MUST_CHECK bool pm_parse_int(const char *text, int64_t *out);

/* Bytes: "300M", "1.5G", "64KiB", "1000"; the units are powers of 1024, in either case. */
PM_MUST_CHECK bool pm_parse_size(const char *text, uint64_t *out);

/* Milliseconds: "1500", "250ms", "30s", "1.5m", "2h", "1d"; a bare number counts unit_ms each. */
PM_MUST_CHECK bool pm_parse_duration(const char *text, uint64_t unit_ms, uint64_t *out);

/*
 * Time up as PM2 shows it: "70s", "11m", "2h", "3D", "5M" (30 days), "2Y" (365 days); the next
 * unit from two of it on. out holds PM_UPTIME_TEXT bytes.
 */
#define PM_UPTIME_TEXT 24
void pm_uptime_text(uint64_t ms, char *out);

/* Bytes as PM2 shows them: "0b", "51.4mb", units of 1024. out holds PM_BYTES_TEXT bytes. */
#define PM_BYTES_TEXT 24
void pm_bytes_text(uint64_t bytes, char *out);

/* A number as JavaScript's String() writes it; out holds PM_NUMBER_TEXT bytes. */
#define PM_NUMBER_TEXT 32
void pm_number_text(double number, char *out);

#endif
