/* fmt.h - numbers as people read them: durations, instants, ways to end. Pure. */
#ifndef PM_CLI_FMT_H
#define PM_CLI_FMT_H

#include <stdbool.h>

#include "proto/base.h"

#define FMT_MAX 64 /* what every out here holds */

/* Two units: "3m 20s", "2d 4h"; under a second in ms: "340ms". */
void fmt_duration(uint64_t ms, char *out);

/* "0:42", "1:02:03" */
void fmt_clock(uint64_t ms, char *out);

/* "2026-11-23T01:32:56.899Z" */
void fmt_iso(int64_t wall_ms, char *out);

/* "SIGKILL", or "signal 77" where it has no name. */
void fmt_signal(int signal, char *out);

/* The number of "SIGUSR2", "usr2" or "12"; 0 for anything else. */
int fmt_parse_signal(const char *text);

#endif
