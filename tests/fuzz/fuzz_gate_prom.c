/* fuzz_gate_prom.c - what a Prometheus answers to a gate: whatever it is, there are words for it,
 * and a gate that nothing can pass is not passed. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/gates.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rollout_gate g = { .kind = ROLLOUT_GATE_PROM, .op = ROLLOUT_GATE_MORE };
	char words[GATE_WORDS_MAX];

	words[0] = '\0';
	(void)gate_prom_passes(&g, (const char *)data, size, words, sizeof(words));
	if (words[0] == '\0' && memchr(data, '"', size) == NULL)
		abort();
	g.number = (double)(1.0f / 0.0f); /* more than that is nothing */
	if (gate_prom_passes(&g, (const char *)data, size, words, sizeof(words)))
		abort();
	return 0;
}
