#include "cli/key_nearest.h"

#include <string.h>

#include "proto/nearest.h"
#include "proto/spec_keys.h"

#define TYPED_MAX 64 /* longer than any key by far */

static bool offer(void *arg, const char *word, size_t len)
{
	nearest_offer_n(arg, word, len);
	return true;
}

/* max-memory, maxMemory: both as the table writes it. */
static bool as_in_the_table(const char *typed, char *out)
{
	size_t n = 0;

	for (const char *s = typed; *s != '\0'; s++) {
		bool capital = *s >= 'A' && *s <= 'Z';

		if (n + 2 >= TYPED_MAX)
			return false;
		if (capital && n > 0)
			out[n++] = '_';
		out[n++] = capital ? (char)(*s - 'A' + 'a') : *s == '-' ? '_' : *s;
	}
	out[n] = '\0';
	return n > 0;
}

const char *key_nearest(const char *typed)
{
	const char *best = NULL;
	char plain[TYPED_MAX];
	struct nearest near;
	unsigned slips;

	if (!as_in_the_table(typed, plain))
		return NULL;
	nearest_init(&near, plain);
	slips = near.slips;
	for (size_t i = 0; i < spec_n_keys; i++) {
		nearest_offer(&near, spec_keys[i].name);
		(void)spec_each_word(spec_keys[i].aliases, offer, &near);
		/* An alias stands for its key. */
		if (near.slips < slips)
			best = spec_keys[i].name;
		slips = near.slips;
	}
	return nearest_found(&near) ? best : NULL;
}
