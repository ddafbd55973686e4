#include "cli/text.h"

#include <string.h>

#include "proto/sanitize.h"
#include "proto/width.h"

size_t text_decode(const char *bytes, size_t len, uint32_t *code)
{
	const unsigned char *s = (const unsigned char *)bytes;
	size_t need = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s[0];

	*code = TEXT_BAD;
	if (need > 1) {
		if (s[0] < 0xc2 || s[0] > 0xf4 || need > len)
			return 1;
		c = s[0] & (0x7fu >> need);
		for (size_t i = 1; i < need; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 1;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < least[need] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return 1;
	}
	*code = c;
	return need;
}

static unsigned width_of(uint32_t code)
{
	return code == TEXT_BAD ? 1 : (unsigned)pm_char_width(code);
}

unsigned text_width(const char *text)
{
	size_t len = strlen(text);
	unsigned width = 0;
	uint32_t code;

	for (size_t i = 0; i < len;) {
		i += text_decode(text + i, len - i, &code);
		width += width_of(code);
	}
	return width;
}

size_t text_utf16_len(const char *bytes, size_t len)
{
	size_t n = 0;
	uint32_t code;

	for (size_t i = 0; i < len; n++) {
		i += text_decode(bytes + i, len - i, &code);
		if (code != TEXT_BAD && code > 0xffff)
			n++;
	}
	return n;
}

/* Bytes of the longest beginning that takes at most width columns. */
static size_t head_bytes(const char *text, size_t len, unsigned width, unsigned *used)
{
	size_t i = 0;

	*used = 0;
	while (i < len) {
		uint32_t code;
		size_t n = text_decode(text + i, len - i, &code);

		if (*used + width_of(code) > width)
			break;
		*used += width_of(code);
		i += n;
	}
	return i;
}

/* Where the longest end begins that takes at most width columns. */
static size_t tail_start(const char *text, size_t len, unsigned width, unsigned *used)
{
	unsigned total = text_width(text);
	size_t i = 0;

	while (i < len && total > width) {
		uint32_t code;
		size_t n = text_decode(text + i, len - i, &code);

		total -= width_of(code);
		i += n;
	}
	/* Marks without a column of their own belong to what was cut. */
	while (i < len) {
		uint32_t code;
		size_t n = text_decode(text + i, len - i, &code);

		if (width_of(code) != 0)
			break;
		i += n;
	}
	*used = total;
	return i;
}

unsigned text_cut(struct pm_buf *out, const char *text, unsigned width, enum text_cut how,
                  const char *mark)
{
	size_t len = strlen(text), head;
	unsigned total = text_width(text), mark_width = text_width(mark), used, tail_used = 0;

	if (total <= width) {
		pm_buf_add(out, text, len);
		return total;
	}
	if (mark_width > width) {
		head = head_bytes(text, len, width, &used);
		pm_buf_add(out, text, head);
		return used;
	}
	width -= mark_width;
	head = head_bytes(text, len, how == TEXT_CUT_END ? width : (width + 1) / 2, &used);
	pm_buf_add(out, text, head);
	pm_buf_str(out, mark);
	if (how == TEXT_CUT_MIDDLE) {
		size_t from = tail_start(text, len, width - used, &tail_used);

		pm_buf_str(out, text + from);
	}
	return used + mark_width + tail_used;
}

void text_pad(struct pm_buf *out, unsigned columns)
{
	while (columns-- > 0)
		pm_buf_char(out, ' ');
}

void text_add_clean(struct pm_buf *out, const char *text)
{
	pm_sanitize(text, strlen(text), PM_SANITIZE_ONE_LINE, out);
}

void text_add_padded(struct pm_buf *out, const char *text, unsigned width)
{
	PM_BUF clean = { 0 };
	unsigned used;

	text_add_clean(&clean, text);
	if (clean.failed) {
		out->failed = true;
		return;
	}
	used = clean.bytes == NULL ? 0 : text_cut(out, clean.bytes, width, TEXT_CUT_MIDDLE, "…");
	text_pad(out, width > used ? width - used : 0);
}

void text_add_bar(struct pm_buf *out, size_t done, size_t total, unsigned width, bool utf8)
{
	size_t full = total == 0 ? width : done * width / total;

	for (size_t i = 0; i < width; i++)
		pm_buf_str(out, i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "-"));
}

void text_add_tail(struct pm_buf *out, const char *bytes, size_t len, bool color)
{
	while (len > 0) {
		const char *nl = memchr(bytes, '\n', len);
		size_t n = nl == NULL ? len : (size_t)(nl - bytes);

		pm_buf_str(out, "  | ");
		pm_sanitize(bytes, n, color ? PM_SANITIZE_COLOURS : 0, out);
		pm_buf_char(out, '\n');
		n += nl != NULL;
		bytes += n;
		len -= n;
	}
}
