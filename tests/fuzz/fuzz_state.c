/* fuzz_state.c - state_decode() on foreign bytes. */
#include "agent/state.h"
#include "tests/fuzz/sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *bytes, size_t len)
{
	struct state_set set;
	struct pm_error err;

	if (state_decode(bytes, len, &set, &err) == 0)
		state_set_finish(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return decode_both_ways(data, size, "PMSTATE\n", decode);
}
