#include "proto/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pm_buf_finish(struct pm_buf *b)
{
	free(b->bytes);
	*b = (struct pm_buf){ .max = b->max };
}

void pm_buf_reset(struct pm_buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->bytes != NULL)
		b->bytes[0] = '\0';
}

/* Room for len more bytes and the NUL. */
static bool reserve(struct pm_buf *b, size_t len)
{
	size_t cap = b->cap == 0 ? 64 : b->cap;
	char *bytes;

	if (b->failed)
		return false;
	if (b->len + len < b->cap && b->max == 0) /* what mostly is so */
		return true;
	if (len > SIZE_MAX / 4 - b->len || (b->max != 0 && b->len + len > b->max)) {
		b->failed = true;
		return false;
	}
	while (cap < b->len + len + 1)
		cap *= 2;
	if (cap == b->cap)
		return true;
	bytes = pm_realloc(b->bytes, cap);
	if (bytes == NULL) {
		b->failed = true;
		return false;
	}
	b->bytes = bytes;
	b->cap = cap;
	return true;
}

void pm_buf_add(struct pm_buf *b, const void *bytes, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len > 0)
		memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	b->bytes[b->len] = '\0';
}

void pm_buf_str(struct pm_buf *b, const char *s)
{
	pm_buf_add(b, s, strlen(s));
}

void pm_buf_char(struct pm_buf *b, char c)
{
	pm_buf_add(b, &c, 1);
}

void pm_buf_printf(struct pm_buf *b, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0 || !reserve(b, (size_t)len)) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(b->bytes + b->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)len;
}

uint8_t *pm_buf_extend(struct pm_buf *b, size_t len)
{
	uint8_t *bytes;

	if (!reserve(b, len))
		return NULL;
	bytes = (uint8_t *)b->bytes + b->len;
	b->len += len;
	b->bytes[b->len] = '\0';
	return bytes;
}

void pm_buf_drop(struct pm_buf *b, size_t len)
{
	if (len > b->len)
		len = b->len;
	if (len == 0)
		return;
	memmove(b->bytes, b->bytes + len, b->len - len + 1);
	b->len -= len;
}

char *pm_buf_take(struct pm_buf *b)
{
	char *bytes = b->bytes;

	if (b->failed)
		return NULL;
	if (bytes == NULL)
		return pm_strdup("");
	b->bytes = NULL;
	b->len = b->cap = 0;
	return bytes;
}
