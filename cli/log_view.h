/* log_view.h - how captured lines look: prefixes, colours, JSON, formats. Pure. */
#ifndef PM_CLI_LOG_VIEW_H
#define PM_CLI_LOG_VIEW_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/pm.pb-c.h"

enum log_form {
	LOG_PREFIX, /* "0|api  | text" */
	LOG_RAW,    /* the bytes alone */
	LOG_JSON,   /* one object a line */
	LOG_FORMAT, /* "timestamp=... app=... id=... type=... message=..." */
};

struct log_style {
	enum log_form form;
	bool as_pm2;
	bool color;
	bool clean;              /* the text goes to a terminal: nothing in it may act there */
	const char *time_format; /* day.js tokens; NULL: no time before the line */
	const char *highlight;   /* its first occurrence in a line is inverted; NULL: none */
	bool utc;                /* times in UTC (tests), else in the zone of the machine */
};

/* A source of lines, as announced. */
struct log_source {
	uint32_t number, pm_id;
	bool err, agent;
	char *name, *path; /* owned by whoever keeps the table */
};

/* Append one line in the style, with its newline. width: columns that "id|name" is padded to. */
void log_view_line(const struct log_style *style, const struct log_source *source,
                   const Pm__LogLine *line, unsigned width, struct pm_buf *out);

/* Where a line of a fleet comes from. */
struct log_host {
	const char *name;
	unsigned width; /* columns that names of hosts are padded to */
	bool utf8;
	bool late;           /* the line is older than one before it */
	const uint8_t *boot; /* 16 bytes, of its kernel; NULL: not known */
};

/* The same for lines of several hosts: "web1│api│0  text", and "host" in JSON. */
void log_view_host_line(const struct log_style *style, const struct log_host *host,
                        const struct log_source *source, const Pm__LogLine *line, unsigned width,
                        struct pm_buf *out);

/* One line that several hosts wrote, or one of them several times. */
struct log_many {
	uint64_t n;               /* lines */
	const char *const *hosts; /* their names, in order */
	size_t n_hosts;
	bool utf8, late;
	bool show_app; /* lines of several apps are shown */
};

/* Append "×37 web[01-37] text" (F-37), or an object of it; not for LOG_RAW and LOG_FORMAT. */
void log_view_many(const struct log_style *style, const struct log_many *many,
                   const struct log_source *source, const Pm__LogLine *line, struct pm_buf *out);

/* Append "-- web1/api: 1,204 lines not delivered (why) --", or an object of it. */
void log_view_gap(const struct log_style *style, const char *host, const struct log_source *source,
                  uint64_t lines, uint64_t bytes, const char *why, struct pm_buf *out);

/* Append the object of a search that was bounded: older lines may exist; LOG_JSON only (F-38). */
void log_view_bound(const char *host, const struct log_source *source, const char *why,
                    struct pm_buf *out);

/* Append PM2's object of an event, with its newline; only LOG_JSON shows events. */
void log_view_event(const Pm__ProcessEvent *event, struct pm_buf *out);

/* "0|api", or "PM2" for the agent's own log: its columns. */
unsigned log_view_width(const struct log_source *source, bool as_pm2);

/*
 * Read --since and --until: a duration back from now ("10m"), or an instant ("2026-11-23",
 * "2026-11-23 10:30", "2026-11-23T10:30:00Z", "10:30" of today), in the zone of the machine.
 *
 * returns    false: neither
 */
PM_MUST_CHECK bool log_view_instant(const char *text, int64_t now_ms, int64_t *out);

#endif
