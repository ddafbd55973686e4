/* fuzz_notify_msg.c - whatever an app says, its status is short, whole and plain text. */
#include <stdlib.h>
#include <string.h>

#include "agent/notify_msg.h"
#include "proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct notify_msg m;
	size_t len;

	notify_msg_parse((const char *)data, size, &m);
	len = strnlen(m.status, sizeof(m.status));
	if (len == sizeof(m.status) || !pm_utf8_ok((const uint8_t *)m.status, len))
		abort();
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)m.status[i] < ' ' || m.status[i] == 0x7f)
			abort();
	return 0;
}
