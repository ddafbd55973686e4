/* What a membership file says is read, or refused; what was read is written and read the same. */
#include <stdlib.h>
#include <string.h>

#include "proto/membership.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_membership m, again;
	PM_BUF text = { 0 };
	struct pm_error err;

	if (pm_membership_parse((const char *)data, size, &m, &err) < 0)
		return 0;
	if (pm_membership_format(&m, &text, &err) < 0 ||
	    pm_membership_parse(text.bytes, text.len, &again, &err) < 0 ||
	    strcmp(m.id, again.id) != 0 || m.n_addresses != again.n_addresses)
		abort();
	return 0;
}
