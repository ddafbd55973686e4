/* fuzz_http_reply.c - however an answer is cut into reads, the verdict is the same. */
#include <stdlib.h>
#include <string.h>

#include "proto/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_verdict feed(struct http_reply *r, const char *needle, const char *in, size_t len,
                              size_t chunk)
{
	http_reply_init(r, needle);
	for (size_t at = 0; at < len; at += chunk)
		if (http_reply_feed(r, in + at, PM_MIN(chunk, len - at)) != HTTP_MORE)
			break;
	return http_reply_end(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *in = (const char *)data;
	const char *const needles[] = { "", "fine" };
	struct http_reply one, many;

	for (size_t i = 0; i < PM_COUNT(needles); i++) {
		enum http_verdict v = feed(&one, needles[i], in, size, size + 1);

		if (v == HTTP_MORE || v != feed(&many, needles[i], in, size, 1) ||
		    one.status != many.status ||
		    http_reply_passes(&one) != http_reply_passes(&many))
			abort();
		if (http_reply_passes(&one) && (v != HTTP_DONE || one.status < 200))
			abort();
	}
	return 0;
}
