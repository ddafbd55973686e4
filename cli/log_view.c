#include "cli/log_view.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/color.h"
#include "cli/fmt.h"
#include "cli/json_out.h"
#include "cli/text.h"
#include "proto/dayjs.h"
#include "proto/hostlist.h"
#include "proto/sanitize.h"
#include "proto/units.h"

#define HOSTS_WIDTH    60 /* columns of the names of hosts that wrote the same line */
#define PM2_TAIL_WIDTH 10 /* PM2 cuts and pads the names of the part before the live one */

static void add_time(const char *format, int64_t wall_ms, bool utc, struct pm_buf *out)
{
	time_t s = (time_t)(wall_ms / 1000);
	char text[256];
	struct tm tm;

	if ((utc ? gmtime_r(&s, &tm) : localtime_r(&s, &tm)) != NULL &&
	    pm_dayjs_tm(format, &tm, (unsigned)(wall_ms % 1000), text, sizeof(text)) > 0)
		pm_buf_str(out, text);
}

static bool parse_clock(const char *text, struct tm *tm, const char **end)
{
	const char *at = strptime(text, "%H:%M", tm);

	tm->tm_sec = 0;
	if (at != NULL && *at == ':')
		at = strptime(at, ":%S", tm);
	*end = at;
	return at != NULL;
}

bool log_view_instant(const char *text, int64_t now_ms, int64_t *out)
{
	time_t now_s = (time_t)(now_ms / 1000), at_s;
	const char *end;
	uint64_t back_ms;
	struct tm tm;

	if (text[strspn(text, "0123456789")] != '\0' && pm_parse_duration(text, 1000, &back_ms)) {
		*out = back_ms > (uint64_t)now_ms ? 1 : now_ms - (int64_t)back_ms;
		return true;
	}
	if (localtime_r(&now_s, &tm) == NULL)
		return false;
	tm.tm_isdst = -1;
	if (!parse_clock(text, &tm, &end)) {
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		end = strptime(text, "%Y-%m-%d", &tm);
		if (end == NULL)
			return false;
		if ((*end == 'T' || *end == ' ') && !parse_clock(end + 1, &tm, &end))
			return false;
	}
	if (end == NULL)
		return false;
	if (strcmp(end, "Z") == 0)
		at_s = timegm(&tm);
	else if (*end == '\0')
		at_s = mktime(&tm);
	else
		return false;
	*out = (int64_t)at_s * 1000;
	return at_s > 0;
}

static void add_name(const struct log_source *source, bool as_pm2, struct pm_buf *out)
{
	if (source->agent) {
		pm_buf_str(out, as_pm2 ? "PM2" : "agent");
		return;
	}
	pm_buf_printf(out, "%u|", source->pm_id);
	pm_sanitize(source->name, strlen(source->name), PM_SANITIZE_ONE_LINE, out);
}

unsigned log_view_width(const struct log_source *source, bool as_pm2)
{
	PM_BUF name = { 0 };

	add_name(source, as_pm2, &name);
	return name.failed ? 0 : text_width(name.bytes);
}

static enum color source_color(const struct log_source *source)
{
	if (source->agent)
		return COLOR_BLUE;
	return source->err ? COLOR_RED : COLOR_GREEN;
}

static void add_prefix(const struct log_style *style, const struct log_source *source, bool live,
                       unsigned width, struct pm_buf *out)
{
	PM_BUF name = { 0 };
	unsigned used;

	add_name(source, style->as_pm2, &name);
	if (name.failed)
		return;
	if (style->color)
		pm_buf_str(out, color_on(source_color(source)));
	if (style->as_pm2 && !live) {
		used = text_cut(out, name.bytes, PM2_TAIL_WIDTH, TEXT_CUT_END, "");
		text_pad(out, PM2_TAIL_WIDTH - used);
		pm_buf_str(out, " | ");
	} else {
		used = text_cut(out, name.bytes, width, TEXT_CUT_MIDDLE, "…");
		text_pad(out, width - used);
		pm_buf_str(out, "  | ");
	}
	if (style->color)
		pm_buf_str(out, color_off(source_color(source)));
}

static void add_clean(const struct log_style *style, const char *bytes, size_t len,
                      struct pm_buf *out)
{
	if (style->clean)
		pm_sanitize(bytes, len, style->color ? PM_SANITIZE_COLOURS : 0, out);
	else
		pm_buf_add(out, bytes, len);
}

static void add_text(const struct log_style *style, const Pm__LogLine *line, struct pm_buf *out)
{
	const char *bytes = (const char *)line->text.data;
	size_t len = line->text.len, n;
	const char *at = NULL;

	if (style->highlight != NULL && style->highlight[0] != '\0' && style->color && len > 0)
		at = memmem(bytes, len, style->highlight, strlen(style->highlight));
	if (at == NULL) {
		add_clean(style, bytes, len, out);
		return;
	}
	n = strlen(style->highlight);
	add_clean(style, bytes, (size_t)(at - bytes), out);
	pm_buf_str(out, color_on(COLOR_INVERSE));
	add_clean(style, at, n, out);
	pm_buf_str(out, color_off(COLOR_INVERSE));
	add_clean(style, at + n, len - n - (size_t)(at - bytes), out);
}

/* Which line it is, wherever it is met (F-31): sequences grow within a stream. */
static void add_identity(struct json_out *j, const uint8_t boot[16], const Pm__LogLine *line)
{
	char hex[33];

	for (unsigned i = 0; i < 16; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", boot[i]);
	json_kstr(j, "boot", hex);
	(void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)line->file);
	json_kstr(j, "stream", hex);
	json_kuint(j, "sequence", line->offset);
	if (line->monotonic_ms != 0)
		json_kuint(j, "monotonic_ms", line->monotonic_ms);
	else
		json_knull(j, "monotonic_ms");
}

/* What was said, when, and where: the same in every object of a line. */
static void json_said(struct json_out *j, const struct log_source *source, const Pm__LogLine *line)
{
	char when[FMT_MAX];

	json_key(j, "message");
	json_strn(j, (const char *)line->text.data, line->text.len);
	if (line->wall_ms != 0) {
		fmt_iso(line->wall_ms, when);
		json_kstr(j, "timestamp", when);
	} else {
		json_knull(j, "timestamp");
	}
	json_kstr(j, "type", source->err ? "err" : "out");
}

static void add_json(const struct log_host *host, const struct log_source *source,
                     const Pm__LogLine *line, struct pm_buf *out)
{
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	if (host != NULL) {
		json_kint(&j, "schema", 1);
		json_kstr(&j, "host", host->name);
	}
	json_said(&j, source, line);
	if (source->agent)
		json_knull(&j, "process_id");
	else
		json_kuint(&j, "process_id", source->pm_id);
	json_kstr(&j, "app_name", source->agent ? "agent" : source->name);
	if (line->partial)
		json_kbool(&j, "partial", true);
	if (host != NULL && host->late)
		json_kbool(&j, "late", true);
	if (host != NULL && host->boot != NULL)
		add_identity(&j, host->boot, line);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

void log_view_event(const Pm__ProcessEvent *event, struct pm_buf *out)
{
	struct json_out j;
	char when[FMT_MAX];

	fmt_iso(event->wall_ms, when);
	json_init(&j, out);
	json_begin_object(&j);
	json_kstr(&j, "timestamp", when);
	json_kstr(&j, "type", "process_event");
	json_kstr(&j, "status", event->event);
	json_kstr(&j, "app_name", event->name);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

static void add_line_time(const struct log_style *style, const Pm__LogLine *line,
                          struct pm_buf *out)
{
	const char *format = style->time_format;

	/* PM2 puts times before live lines only; ours know when a line was written. */
	if (format != NULL && line->wall_ms != 0 && (line->live || !style->as_pm2)) {
		if (style->color)
			pm_buf_str(out, color_on(COLOR_GREY));
		add_time(format, line->wall_ms, style->utc, out);
		pm_buf_char(out, ' ');
		if (style->color)
			pm_buf_str(out, color_off(COLOR_GREY));
	}
}

void log_view_line(const struct log_style *style, const struct log_source *source,
                   const Pm__LogLine *line, unsigned width, struct pm_buf *out)
{
	if (style->form == LOG_JSON) {
		add_json(NULL, source, line, out);
		return;
	}
	if (style->form == LOG_FORMAT) {
		pm_buf_str(out, "timestamp=");
		add_time("YYYY-MM-DD-HH:mm:ssZZ", line->wall_ms, style->utc, out);
		pm_buf_printf(out, " app=%s id=%u type=%s message=", source->name, source->pm_id,
		              source->err ? "error" : "out");
		add_text(style, line, out);
		pm_buf_char(out, '\n');
		return;
	}
	add_line_time(style, line, out);
	if (style->form == LOG_PREFIX)
		add_prefix(style, source, line->live, width, out);
	add_text(style, line, out);
	pm_buf_char(out, '\n');
}

/* ---- lines of several hosts ---- */

/* The same host has the same colour whenever it is looked at, and on every machine. */
static enum color host_color(const char *name)
{
	static const enum color colors[] = { COLOR_GREEN,     COLOR_CYAN,       COLOR_BLUE,
		                             COLOR_YELLOW,    COLOR_BOLD_GREEN, COLOR_BOLD_CYAN,
		                             COLOR_BOLD_BLUE, COLOR_BOLD_GREY };
	uint32_t hash = 2166136261u;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return colors[hash % PM_COUNT(colors)];
}

/* A name in a field of its own. */
static void add_field(const char *name, unsigned width, bool utf8, struct pm_buf *out)
{
	PM_BUF clean = { 0 };
	unsigned used = 0;

	pm_sanitize(name, strlen(name), PM_SANITIZE_ONE_LINE, &clean);
	if (clean.bytes != NULL)
		used = text_cut(out, clean.bytes, width, TEXT_CUT_MIDDLE, utf8 ? "…" : "~");
	text_pad(out, width - used);
}

static void add_host_prefix(const struct log_style *style, const struct log_host *host,
                            const struct log_source *source, unsigned width, struct pm_buf *out)
{
	const char *bar = host->utf8 ? "│" : "|";
	PM_BUF text = { 0 };

	add_field(host->name, host->width, host->utf8, &text);
	pm_buf_str(&text, bar);
	add_field(source->agent ? "agent" : source->name, width, host->utf8, &text);
	if (!source->agent)
		pm_buf_printf(&text, "%s%u", bar, source->pm_id);
	if (text.failed)
		return;
	color_add(out, style->color, host_color(host->name), text.bytes);
	pm_buf_str(out, source->err ? " ! " : "   ");
	pm_buf_str(out, host->late ? "~ " : "");
}

void log_view_host_line(const struct log_style *style, const struct log_host *host,
                        const struct log_source *source, const Pm__LogLine *line, unsigned width,
                        struct pm_buf *out)
{
	if (style->form == LOG_JSON) {
		add_json(host, source, line, out);
		return;
	}
	if (style->form == LOG_FORMAT)
		pm_buf_printf(out, "host=%s ", host->name);
	if (style->form != LOG_PREFIX) {
		log_view_line(style, source, line, width, out);
		return;
	}
	add_line_time(style, line, out);
	add_host_prefix(style, host, source, width, out);
	add_text(style, line, out);
	pm_buf_char(out, '\n');
}

static void many_json(const struct log_many *many, const struct log_source *source,
                      const Pm__LogLine *line, struct pm_buf *out)
{
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kuint(&j, "count", many->n);
	json_key(&j, "hosts");
	json_begin_array(&j);
	for (size_t i = 0; i < many->n_hosts; i++)
		json_str(&j, many->hosts[i]);
	json_end_array(&j);
	json_said(&j, source, line);
	json_kstr(&j, "app_name", source->agent ? "agent" : source->name);
	if (line->partial)
		json_kbool(&j, "partial", true);
	if (many->late)
		json_kbool(&j, "late", true);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

void log_view_many(const struct log_style *style, const struct log_many *many,
                   const struct log_source *source, const Pm__LogLine *line, struct pm_buf *out)
{
	PM_BUF head = { 0 };
	PM_BUF names = { 0 };
	struct pm_error err;

	if (style->form == LOG_JSON) {
		many_json(many, source, line, out);
		return;
	}
	pm_buf_printf(&head, "%s%llu ", many->utf8 ? "×" : "x", (unsigned long long)many->n);
	if (hostlist_fold(many->hosts, many->n_hosts, &names, &err) < 0 || names.failed) {
		out->failed = true;
		return;
	}
	(void)text_cut(&head, names.bytes, HOSTS_WIDTH, TEXT_CUT_MIDDLE, many->utf8 ? "…" : "~");
	if (many->show_app) {
		pm_buf_str(&head, many->utf8 ? "│" : "|");
		text_add_clean(&head, source->agent ? "agent" : source->name);
	}
	if (head.failed) {
		out->failed = true;
		return;
	}
	add_line_time(style, line, out);
	color_add(out, style->color, COLOR_BOLD, head.bytes);
	pm_buf_str(out, source->err ? " ! " : " ");
	pm_buf_str(out, many->late ? "~ " : "");
	add_text(style, line, out);
	pm_buf_char(out, '\n');
}

static void add_grouped(uint64_t n, struct pm_buf *out)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			pm_buf_char(out, ',');
		pm_buf_char(out, digits[i]);
	}
}

void log_view_bound(const char *host, const struct log_source *source, const char *why,
                    struct pm_buf *out)
{
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "host", host);
	json_kstr(&j, "type", "bound");
	json_kstr(&j, "app_name", source == NULL ? "" : source->agent ? "agent" : source->name);
	json_kstr(&j, "why", why);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

void log_view_gap(const struct log_style *style, const char *host, const struct log_source *source,
                  uint64_t lines, uint64_t bytes, const char *why, struct pm_buf *out)
{
	const char *app = source == NULL ? "" : source->agent ? "agent" : source->name;
	struct json_out j;

	if (style->form == LOG_JSON) {
		json_init(&j, out);
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
		json_kstr(&j, "host", host);
		json_kstr(&j, "type", "gap");
		json_kstr(&j, "app_name", app);
		json_kuint(&j, "lines", lines);
		json_kuint(&j, "bytes", bytes);
		json_kstr(&j, "why", why);
		json_end_object(&j);
		pm_buf_char(out, '\n');
		return;
	}
	pm_buf_printf(out, "-- %s/", host);
	pm_sanitize(app, strlen(app), PM_SANITIZE_ONE_LINE, out);
	pm_buf_str(out, ": ");
	if (lines > 0 || bytes > 0)
		add_grouped(lines > 0 ? lines : bytes, out);
	pm_buf_printf(out, "%s not delivered (",
	              lines > 0   ? " lines"
	              : bytes > 0 ? " bytes"
	                          : "lines");
	pm_sanitize(why, strlen(why), PM_SANITIZE_ONE_LINE, out);
	pm_buf_str(out, ") --\n");
}
