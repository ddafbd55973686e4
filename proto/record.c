#include "proto/record.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define HELD_FIRST 1024 /* a short one takes no more */

static int check_length(const struct pm_record_reader *r, size_t n, struct pm_error *err)
{
	size_t max = r->max != 0 ? r->max : PM_RECORD_MAX;

	if (n < PM_MAX(r->min, 1u) || n > max)
		return pm_fail(err, PM_PROTOCOL, "a record of %zu bytes", n);
	return 0;
}

/* Forget a record that was handed out in the last call. */
static void drop_held(struct pm_record_reader *r)
{
	free(r->held);
	r->held = NULL;
	r->want = r->have = r->cap = 0;
}

/* The length, perhaps from bytes of two reads.  1: known (r->want); 0: more is needed. */
static int take_head(struct pm_record_reader *r, const uint8_t **bytes, size_t *len,
                     struct pm_error *err)
{
	while (r->n_head<PM_RECORD_HEAD && * len> 0) {
		r->head = (uint16_t)(r->head << 8 | **bytes);
		r->n_head++;
		(*bytes)++;
		(*len)--;
	}
	if (r->n_head < PM_RECORD_HEAD)
		return 0;
	if (check_length(r, r->head, err) < 0)
		return -1;
	r->want = r->head;
	r->head = 0;
	r->n_head = 0;
	return 1;
}

/* Copy towards a record that did not come in one read.  1: it is whole. */
static int fill_held(struct pm_record_reader *r, const uint8_t **bytes, size_t *len,
                     struct pm_error *err)
{
	size_t n = PM_MIN(*len, r->want - r->have);
	size_t cap = PM_MIN(PM_MAX(2 * (r->have + n), HELD_FIRST), r->want);

	if (r->have + n > r->cap) {
		uint8_t *held = pm_realloc(r->held, cap);

		if (held == NULL)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		r->held = held;
		r->cap = cap;
	}
	memcpy(r->held + r->have, *bytes, n);
	r->have += n;
	*bytes += n;
	*len -= n;
	return r->have == r->want;
}

int pm_record_next(struct pm_record_reader *r, const uint8_t **bytes, size_t *len,
                   const uint8_t **record, size_t *n, struct pm_error *err)
{
	int rc;

	if (r->want != 0 && r->have == r->want)
		drop_held(r);
	if (r->want == 0) {
		rc = take_head(r, bytes, len, err);
		if (rc <= 0)
			return rc;
	}
	if (r->held == NULL && *len >= r->want) { /* the usual case: no copy */
		*record = *bytes;
		*n = r->want;
		*bytes += r->want;
		*len -= r->want;
		r->want = 0;
		return 1;
	}
	if (*len == 0)
		return 0;
	rc = fill_held(r, bytes, len, err);
	if (rc == 1) {
		*record = r->held;
		*n = r->want;
	}
	return rc;
}

void pm_record_finish(struct pm_record_reader *r)
{
	drop_held(r);
	*r = (struct pm_record_reader){ 0 };
}
