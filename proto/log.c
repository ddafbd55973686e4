#include "proto/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_fd = 2;
static int log_tee_fd = -1;
static const char *log_who = "pmd";
static enum pm_log_level log_level = PM_LOG_INFO;

void pm_log_to(int fd, const char *who)
{
	log_fd = fd;
	log_who = who;
}

void pm_log_tee(int fd)
{
	log_tee_fd = fd;
}

void pm_log_level_set(enum pm_log_level level)
{
	log_level = level;
}

static size_t stamp(char *out, size_t size, const char *level, const char *event)
{
	int64_t now = pm_wall_ms();
	time_t seconds = (time_t)(now / 1000);
	struct tm tm;
	size_t len;

	(void)gmtime_r(&seconds, &tm);
	len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return len + (size_t)snprintf(out + len, size - len, ".%03dZ %s %s %s ", (int)(now % 1000),
	                              level, log_who, event);
}

void pm_log(enum pm_log_level level, const char *event, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	char line[1024], facts[768];
	size_t len;
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(facts, sizeof(facts), fmt, ap);
	va_end(ap);
	len = stamp(line, 200, names[level], event);
	for (const char *p = facts; *p != '\0' && len < sizeof(line) - 8; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			len += (size_t)snprintf(line + len, sizeof(line) - len, "\\x%02x", c);
		else
			line[len++] = *p;
	}
	line[len++] = '\n';
	if (log_tee_fd >= 0 && write(log_tee_fd, line, len) < 0)
		log_tee_fd = -1; /* the terminal is gone */
	if (write(log_fd, line, len) < 0)
		return; /* a full disk must not stop us, and there is nowhere else to say it */
}
