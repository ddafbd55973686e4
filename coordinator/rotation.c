#include "coordinator/rotation.h"

#include <string.h>

static bool is_over(const struct store_key_row *row, int64_t now_ms)
{
	return row->ended_ms != 0 && row->ended_ms <= now_ms;
}

bool rotation_opens(const struct store_key_row *row, int64_t now_ms)
{
	return (row->state == KEY_ACTIVE || row->state == KEY_NEXT) && !is_over(row, now_ms);
}

size_t rotation_promote(const struct store_key_row *keys, size_t n, const struct store_key *key,
                        int64_t now_ms, int64_t overlap_ms, struct store_key_row *out, size_t max)
{
	const struct store_key_row *row = NULL;
	size_t used = 0;

	for (size_t i = 0; i < n && row == NULL; i++)
		if (memcmp(&keys[i].key, key, sizeof(*key)) == 0)
			row = &keys[i];
	if (row == NULL || row->state != KEY_NEXT || max == 0)
		return 0;
	out[used] = *row;
	out[used].ended_ms = 0;
	out[used++].state = KEY_ACTIVE;
	for (size_t i = 0; i < n && used < max; i++) {
		if (memcmp(&keys[i].owner, &row->owner, sizeof(row->owner)) != 0 ||
		    keys[i].kind != row->kind || keys[i].state != KEY_ACTIVE ||
		    keys[i].ended_ms != 0)
			continue;
		out[used] = keys[i];
		out[used++].ended_ms = now_ms + overlap_ms;
	}
	return used;
}

size_t rotation_due(const struct store_key_row *keys, size_t n, int64_t now_ms,
                    struct store_key_row *out, size_t max)
{
	size_t used = 0;

	for (size_t i = 0; i < n && used < max; i++)
		if ((keys[i].state == KEY_ACTIVE || keys[i].state == KEY_NEXT) &&
		    is_over(&keys[i], now_ms)) {
			out[used] = keys[i];
			out[used++].state = KEY_RETIRED;
		}
	return used;
}
