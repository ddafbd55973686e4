/* fuzz_op_record.c - the journal of commands from foreign bytes, also with sums that are right. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/op_record.h"
#include "proto/buf.h"
#include "proto/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_one(const uint8_t *bytes, size_t len)
{
	struct op_record rec;
	size_t used;
	PM_BUF b = { 0 };

	if (op_record_read(bytes, len, &rec, &used) != OP_READ_OK)
		return;
	if (used > len || rec.result.len > PM_OP_RESULT_MAX ||
	    (rec.result.len > 0 && rec.result.bytes + rec.result.len > bytes + used))
		abort();
	if (!rec.ended)
		return; /* what it says of a result is left out */
	op_record_put(&rec, &b);
	if (b.len != used)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t sealed[400], hash[16];
	uint64_t counter;
	size_t used;

	(void)op_record_read_header(data, size, &used, &counter);
	read_one(data, size);
	if (size < 47 || size > sizeof(sealed))
		return 0;
	/* No fuzzer guesses a check sum. */
	memcpy(sealed, data, size);
	sealed[0] = (uint8_t)((size - 47) >> 8);
	sealed[1] = (uint8_t)(size - 47);
	(void)crypto_generichash(hash, sizeof(hash), sealed, size - 8, NULL, 0);
	memcpy(sealed + size - 8, hash, 8);
	read_one(sealed, size);
	return 0;
}
