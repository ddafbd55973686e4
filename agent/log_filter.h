/* log_filter.h - which lines of a log are wanted: a pattern, or what does not match it. Pure. */
#ifndef PM_AGENT_LOG_FILTER_H
#define PM_AGENT_LOG_FILTER_H

#include <regex.h>
#include <stdbool.h>

#include "proto/error.h"

/* Longer patterns are refused. */
#define LOG_FILTER_MAX 512
/* Bytes of a line that are looked at. */
#define LOG_FILTER_LINE_MAX (60u * 1024)

/* A zeroed one takes every line. */
struct log_filter {
	bool on, invert;
	regex_t re; /* valid when on */
};

/*
 * pattern    POSIX extended; NULL or "": every line
 * errors     PM_USAGE (not a pattern), PM_LIMIT (it could take all memory or for ever)
 */
PM_MUST_CHECK int log_filter_init(struct log_filter *f, const char *pattern, bool invert,
                                  struct pm_error *err);
void log_filter_finish(struct log_filter *f);

bool log_filter_takes(const struct log_filter *f, const char *line, size_t len);

#endif
