#include "agent/log_tap.h"

#include <stdlib.h>
#include <string.h>

#include "agent/capture.h"

/* Kept for a viewer that reads slowly. */
#define TAP_MAX (64u * 1024)

/* Whole lines as far as there is room; the rest is a gap, which ends with the next call. */
static void tap_feed(struct log_tap *t, const char *bytes, size_t len)
{
	size_t room = TAP_MAX - t->buf.len, n = len;

	if (t->src->lost) /* told before anything that comes later */
		n = 0;
	else if (len > room) {
		const char *last = memrchr(bytes, '\n', room);

		n = last == NULL ? 0 : (size_t)(last - bytes) + 1;
	}
	pm_buf_add(&t->buf, bytes, n);
	if (t->buf.failed) {
		pm_buf_finish(&t->buf);
		n = 0;
	}
	t->src->lost |= n < len;
	t->src->gap += len - n;
	for (size_t i = n; i < len; i++)
		t->lost_lines += bytes[i] == '\n';
}

void log_taps_feed(struct logs *l, uint32_t pm_id, bool err, const char *bytes, size_t len)
{
	for (struct log_tap *t = l->taps; t != NULL; t = t->next)
		if (t->src->s.pm_id == pm_id && t->src->s.err == err) {
			tap_feed(t, bytes, len);
			t->src->dirty = true;
			log_reader_wake(t->src->reader);
		}
}

bool log_taps_want(const struct logs *l, uint32_t pm_id, bool err)
{
	for (const struct log_tap *t = l->taps; t != NULL; t = t->next)
		if (t->src->s.pm_id == pm_id && t->src->s.err == err)
			return true;
	return false;
}

int log_tap_open(struct logs *l, struct log_source *src, struct pm_error *err)
{
	struct log_tap *t = pm_calloc(1, sizeof(*t));

	if (t == NULL)
		return pm_fail(err, PM_NO_MEMORY, "log source");
	t->src = src;
	t->next = l->taps;
	l->taps = t;
	src->tap = t;
	streams_look_for_taps(l);
	return 0;
}

void log_tap_close(struct logs *l, struct log_source *src)
{
	struct log_tap **at;

	if (src->tap == NULL)
		return;
	for (at = &l->taps; *at != src->tap; at = &(*at)->next)
		;
	*at = src->tap->next;
	pm_buf_finish(&src->tap->buf);
	free(src->tap);
	src->tap = NULL;
	streams_look_for_taps(l);
}
