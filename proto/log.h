/* log.h - our own log: one line an event, on a descriptor that the program chose. */
#ifndef PM_PROTO_LOG_H
#define PM_PROTO_LOG_H

#include "proto/base.h"

enum pm_log_level {
	PM_LOG_ERROR, /* someone must act */
	PM_LOG_WARN,  /* we went on, and the line says how */
	PM_LOG_INFO,  /* state changed */
	PM_LOG_DEBUG,
};

/* Where lines go (2 at first) and what is written (PM_LOG_INFO at first). who is borrowed:
 * "keeper". */
void pm_log_to(int fd, const char *who);
/* A second place for every line, as stderr in the foreground; -1 (as at first): none. */
void pm_log_tee(int fd);
void pm_log_level_set(enum pm_log_level level);

/*
 * Write "2026-11-23T10:00:00.000Z info who event facts". One write(2) a line, at most 1 KiB;
 * control characters are escaped. Never fails, never blocks longer than the write.
 */
void pm_log(enum pm_log_level level, const char *event, const char *fmt, ...) PM_PRINTF(3, 4);

#endif
