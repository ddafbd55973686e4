/* fuzz_spec.c - specs as a client may push them: decoded, checked, and packed again. */
#include <stdlib.h>

#include "proto/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PM_SPEC *spec = NULL;
	PM_SPEC *copy = NULL;
	struct pm_error err;

	if (spec_unpack(data, size, &spec, &err) < 0)
		return 0;
	if (spec_validate(spec, &err) == 0 && spec_clone(spec, &copy, &err) == 0 &&
	    spec_validate(copy, &err) < 0)
		abort(); /* a copy says the same */
	return 0;
}
