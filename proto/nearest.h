/* nearest.h - the word among many that was most likely meant. Pure. */
#ifndef PM_PROTO_NEAREST_H
#define PM_PROTO_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/* Offer candidates, then read `best`. */
struct nearest {
	const char *typed; /* borrowed */
	char best[64];
	unsigned slips;
};

void nearest_init(struct nearest *n, const char *typed);
void nearest_offer(struct nearest *n, const char *word);
void nearest_offer_n(struct nearest *n, const char *word, size_t len);

/* Whether a word was at most two slips away (one for words of four letters and less). */
bool nearest_found(const struct nearest *n);

#endif
