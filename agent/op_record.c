#include "agent/op_record.h"

#include <string.h>

#include <sodium.h>

#include "proto/buf.h"
#include "proto/limits.h"

/* Header: "PMOPS\n", version (2), counter (8), check sum (8). */
#define MAGIC      "PMOPS\n"
#define VERSION    1
#define HEADER_LEN 24
/* Record: result's length (2), flags (1), id (16), number (8), code (4), time (8), result, sum (8).
 */
#define FIXED_LEN 39
#define SUM_LEN   8
#define ENDED     1

static void put_number(uint8_t *to, uint64_t n, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(n >> (8 * (len - 1 - i)));
}

static uint64_t get_number(const uint8_t *from, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n = n << 8 | from[i];
	return n;
}

static void sum_of(const uint8_t *bytes, size_t len, uint8_t out[SUM_LEN])
{
	uint8_t hash[16]; /* the least that BLAKE2b of libsodium gives */

	(void)crypto_generichash(hash, sizeof(hash), bytes, len, NULL, 0); /* the sizes are right */
	memcpy(out, hash, SUM_LEN);
}

static bool sum_is_right(const uint8_t *bytes, size_t len)
{
	uint8_t want[SUM_LEN];

	sum_of(bytes, len - SUM_LEN, want);
	return memcmp(want, bytes + len - SUM_LEN, SUM_LEN) == 0;
}

void op_record_header(uint64_t counter, struct pm_buf *out)
{
	uint8_t bytes[HEADER_LEN];

	memcpy(bytes, MAGIC, 6);
	put_number(bytes + 6, VERSION, 2);
	put_number(bytes + 8, counter, 8);
	sum_of(bytes, 16, bytes + 16);
	pm_buf_add(out, bytes, sizeof(bytes));
}

enum op_read op_record_read_header(const uint8_t *bytes, size_t len, size_t *used,
                                   uint64_t *counter)
{
	*used = 0;
	if (len < HEADER_LEN)
		return OP_READ_TORN; /* or new: it says nothing yet */
	if (memcmp(bytes, MAGIC, 6) != 0)
		return OP_READ_DAMAGED;
	if (get_number(bytes + 6, 2) > VERSION)
		return OP_READ_NEWER;
	if (!sum_is_right(bytes, HEADER_LEN))
		return OP_READ_DAMAGED;
	*counter = get_number(bytes + 8, 8);
	*used = HEADER_LEN;
	return OP_READ_OK;
}

size_t op_record_size(const struct op_record *rec)
{
	return FIXED_LEN + (rec->ended ? rec->result.len : 0) + SUM_LEN;
}

void op_record_put(const struct op_record *rec, struct pm_buf *out)
{
	size_t len = op_record_size(rec), result = len - FIXED_LEN - SUM_LEN;
	uint8_t *to = pm_buf_extend(out, len);

	if (to == NULL)
		return;
	put_number(to, result, 2);
	to[2] = rec->ended ? ENDED : 0;
	memcpy(to + 3, rec->id, OP_ID_BYTES);
	put_number(to + 19, rec->number, 8);
	put_number(to + 27, rec->ended ? (uint64_t)rec->result.code : 0, 4);
	put_number(to + 31, rec->ended ? (uint64_t)rec->result.wall_ms : 0, 8);
	if (result > 0)
		memcpy(to + FIXED_LEN, rec->result.bytes, result);
	sum_of(to, len - SUM_LEN, to + len - SUM_LEN);
}

enum op_read op_record_read(const uint8_t *bytes, size_t len, struct op_record *out, size_t *used)
{
	size_t result, all;

	if (len < FIXED_LEN + SUM_LEN)
		return OP_READ_TORN;
	result = get_number(bytes, 2);
	all = FIXED_LEN + result + SUM_LEN;
	/* A length that cannot be ours is damage, unless it is what a torn write left. */
	if (result > PM_OP_RESULT_MAX)
		return OP_READ_DAMAGED;
	if (len < all)
		return OP_READ_TORN;
	if (!sum_is_right(bytes, all) || bytes[2] > ENDED || (bytes[2] != ENDED && result > 0))
		return len == all ? OP_READ_TORN : OP_READ_DAMAGED;
	*out = (struct op_record){ .ended = bytes[2] == ENDED,
		                   .number = get_number(bytes + 19, 8) };
	memcpy(out->id, bytes + 3, OP_ID_BYTES);
	out->result.code = pm_code_from_wire((uint32_t)get_number(bytes + 27, 4));
	out->result.wall_ms = (int64_t)get_number(bytes + 31, 8);
	out->result.bytes = bytes + FIXED_LEN;
	out->result.len = result;
	*used = all;
	return OP_READ_OK;
}
