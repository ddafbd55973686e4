/* fuzz_inspect.c - any bytes as the JSON that prettylist prints. */
#include <stdint.h>
#include <stdlib.h>

#include "cli/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	PM_BUF out = { 0 };
	struct pm_error err = { 0 };

	if (inspect_json((const char *)bytes, len, &out, &err) < 0 && err.what[0] == '\0')
		abort(); /* a failure that says nothing */
	return 0;
}
