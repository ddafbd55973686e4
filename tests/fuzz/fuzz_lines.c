/* fuzz_lines.c - however a stream is cut into reads, the log gets the same. */
#include <stdlib.h>
#include <string.h>

#include "agent/lines.h"
#include "proto/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const struct lines_style *style, const char *in, size_t len, size_t chunk,
                 struct pm_buf *out)
{
	struct lines l = { 0 };
	size_t done = 0, seen = 0;

	do {
		seen += PM_MIN(chunk, len - seen);
		for (size_t n = 1; n > 0 && done < seen; done += n)
			n = lines_feed(&l, style, in + done, seen - done, false, out);
	} while (seen < len);
	while (done < len || l.mid_line) {
		size_t n = lines_feed(&l, style, in + done, len - done, true, out);

		done += n;
		if (n == 0)
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lines_style style = { .timestamp = "t", .type = "out", .app_name = "app" };
	struct pm_buf one = { 0 };
	struct pm_buf many = { 0 };
	const char *in;
	size_t chunk;

	if (size < 2)
		return 0;
	style.format = data[0] & 1 ? LINES_JSON : LINES_TEXT;
	style.shared = (data[0] & 2) != 0;
	if (data[0] & 4) {
		style.prefix = "P ";
		style.prefix_len = 2;
	}
	chunk = 1 + data[1];
	in = (const char *)data + 2;
	feed(&style, in, size - 2, size, &one);
	feed(&style, in, size - 2, chunk, &many);
	if (one.len != many.len || (one.len > 0 && memcmp(one.bytes, many.bytes, one.len) != 0))
		abort();
	pm_buf_finish(&one);
	pm_buf_finish(&many);
	return 0;
}
