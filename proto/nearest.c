#include "proto/nearest.h"

#include <stdio.h>
#include <string.h>

#include "proto/base.h"

#define NONE 100

/* Letters inserted, left out, exchanged, or swapped with their neighbour. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned rows[3][64];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	if (n >= PM_COUNT(rows[0]) || m >= PM_COUNT(rows[0]))
		return NONE;
	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	memset(before, 0, sizeof(rows[0]));
	for (size_t i = 1; i <= n; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned d = last[j - 1] + (a[i - 1] != b[j - 1]);

			d = PM_MIN(d, last[j] + 1);
			d = PM_MIN(d, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = PM_MIN(d, before[j - 2] + 1);
			row[j] = d;
		}
		before = last;
		last = row;
		row = spare;
	}
	return last[m];
}

void nearest_init(struct nearest *n, const char *typed)
{
	*n = (struct nearest){ .typed = typed, .slips = NONE };
}

void nearest_offer_n(struct nearest *n, const char *word, size_t len)
{
	unsigned d = distance(n->typed, strlen(n->typed), word, len);

	if (d >= n->slips || len >= sizeof(n->best))
		return;
	n->slips = d;
	(void)snprintf(n->best, sizeof(n->best), "%.*s", (int)len, word);
}

void nearest_offer(struct nearest *n, const char *word)
{
	nearest_offer_n(n, word, strlen(word));
}

bool nearest_found(const struct nearest *n)
{
	return n->slips <= (strlen(n->typed) <= 4 ? 1u : 2u);
}
