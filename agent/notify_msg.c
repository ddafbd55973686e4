#include "agent/notify_msg.h"

#include <string.h>

#include "proto/utf8.h"

/* What is no character, or would act on a terminal, becomes a question mark. */
static void take_status(const char *text, size_t len, struct notify_msg *out)
{
	char *to = out->status;
	int n;

	len = pm_utf8_whole(text, PM_MIN(len, sizeof(out->status) - 1));
	for (size_t i = 0; i < len; i += (size_t)(n < 0 ? -n : n)) {
		uint32_t cp = 0;

		n = pm_utf8_next(text + i, len - i, &cp);
		if (n < 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
			*to++ = '?';
			continue;
		}
		memcpy(to, text + i, (size_t)n);
		to += n;
	}
	*to = '\0';
	out->has_status = true;
}

static bool is(const char *line, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(line, text, len) == 0;
}

static void take_line(const char *line, size_t len, struct notify_msg *out)
{
	static const char status[] = "STATUS=";

	if (is(line, len, "READY=1"))
		out->ready = true;
	else if (is(line, len, "STOPPING=1"))
		out->stopping = true;
	else if (is(line, len, "WATCHDOG=1"))
		out->watchdog = true;
	else if (is(line, len, "WATCHDOG=trigger"))
		out->trigger = true;
	else if (len >= sizeof(status) - 1 && memcmp(line, status, sizeof(status) - 1) == 0)
		take_status(line + sizeof(status) - 1, len - (sizeof(status) - 1), out);
}

void notify_msg_parse(const char *bytes, size_t len, struct notify_msg *out)
{
	memset(out, 0, sizeof(*out));
	while (len > 0) {
		const char *end = memchr(bytes, '\n', len);
		size_t n = end != NULL ? (size_t)(end - bytes) : len;

		take_line(bytes, n, out);
		n += end != NULL;
		bytes += n;
		len -= n;
	}
}
