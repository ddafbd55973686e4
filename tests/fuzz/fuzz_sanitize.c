/* fuzz_sanitize.c - no sanitised text can act on a terminal, nor its parts grow too wide. */
#include <stdlib.h>

#include "proto/buf.h"
#include "proto/sanitize.h"
#include "proto/utf8.h"
#include "proto/width.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
	if (!good)
		abort();
}

/* ESC [ digits and semicolons m; returns its length. */
static size_t colour_len(const char *s, size_t len)
{
	size_t i = 2;

	must(len >= 3 && s[1] == '[');
	while (i < len && ((s[i] >= '0' && s[i] <= '9') || s[i] == ';'))
		i++;
	must(i < len && s[i] == 'm');
	return i + 1;
}

static void check(const struct pm_buf *out, unsigned flags)
{
	for (size_t i = 0; i < out->len;) {
		const char *s = out->bytes + i;
		uint32_t cp = 0;
		int n;

		if (*s == '\x1b') {
			must((flags & PM_SANITIZE_COLOURS) != 0);
			i += colour_len(s, out->len - i);
			continue;
		}
		n = pm_utf8_next(s, out->len - i, &cp);
		must(n > 0);
		must(cp >= 0x20 ||
		     ((flags & PM_SANITIZE_ONE_LINE) == 0 && (cp == '\n' || cp == '\t')));
		must(cp < 0x7F || cp > 0x9F);
		must((cp < 0x2028 || cp > 0x202E) && (cp < 0x2066 || cp > 0x2069) && cp != 0x61C);
		must(cp != 0x200E && cp != 0x200F);
		i += (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_buf out = { 0 };
	struct pm_buf fit = { 0 };
	const char *text = (const char *)data + 1;

	if (size < 2)
		return 0;
	size--;
	pm_sanitize(text, size, data[0] & 3, &out);
	check(&out, data[0] & 3);
	pm_text_fit(text, size, data[0] >> 2, (data[0] & 1) != 0, &fit);
	must(pm_text_width(fit.bytes == NULL ? "" : fit.bytes, fit.len) <= data[0] >> 2);
	pm_buf_finish(&out);
	pm_buf_finish(&fit);
	return 0;
}
