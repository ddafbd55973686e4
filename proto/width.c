#include "proto/width.h"

#include "proto/buf.h"
#include "proto/utf8.h"

struct range {
	uint32_t first, last;
};

#include "proto/width_table.h"

static bool is_in(const struct range *ranges, size_t n, uint32_t cp)
{
	size_t low = 0, high = n;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (cp > ranges[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && cp >= ranges[low].first;
}

int pm_char_width(uint32_t cp)
{
	if (cp < 0x300)
		return 1;
	if (is_in(zero_wide, PM_COUNT(zero_wide), cp))
		return 0;
	return is_in(double_wide, PM_COUNT(double_wide), cp) ? 2 : 1;
}

/* Columns of the character at s, whose length goes to *used. */
static size_t step(const char *s, size_t len, size_t *used)
{
	uint32_t cp = 0xFFFD;
	const int n = pm_utf8_next(s, len, &cp);

	*used = (size_t)(n < 0 ? -n : n);
	return (size_t)pm_char_width(n < 0 ? 0xFFFD : cp);
}

size_t pm_text_width(const char *s, size_t len)
{
	size_t width = 0, used;

	for (size_t i = 0; i < len; i += used)
		width += step(s + i, len - i, &used);
	return width;
}

/* The longest beginning of at most width columns. */
static size_t head_len(const char *s, size_t len, size_t width)
{
	size_t i = 0, columns = 0, used;

	while (i < len) {
		columns += step(s + i, len - i, &used);
		if (columns > width)
			break;
		i += used;
	}
	return i;
}

/* Where the longest end of at most width columns begins; total is the width of all. */
static size_t tail_start(const char *s, size_t len, size_t total, size_t width)
{
	size_t i = 0, used;

	while (i < len && total > width) {
		total -= step(s + i, len - i, &used);
		i += used;
	}
	/* What combines with the last character that is left out goes with it. */
	while (i > 0 && i < len && step(s + i, len - i, &used) == 0)
		i += used;
	return i;
}

void pm_text_fit(const char *s, size_t len, size_t width, bool ascii, struct pm_buf *out)
{
	const size_t total = pm_text_width(s, len);
	const size_t dots = PM_MIN(ascii ? 2u : 1u, width);
	size_t head, start;

	if (total <= width) {
		pm_buf_add(out, s, len);
		return;
	}
	head = head_len(s, len, (width - dots + 1) / 2);
	pm_buf_add(out, s, head);
	if (dots > 0)
		pm_buf_add(out, ascii ? ".." : "\xE2\x80\xA6", ascii ? dots : 3);
	start = tail_start(s, len, total, (width - dots) / 2);
	pm_buf_add(out, s + start, len - start);
}
