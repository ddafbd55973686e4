/* fuzz_rollout_params.c - options of a rollout, a line each; what was taken is told in words that
 * are taken again, and what goes together never asks for less than one host or for more than there
 * are. */
#include <stdlib.h>
#include <string.h>

#include "proto/rollout_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told_again(const struct rollout_params *p)
{
	char first[ROLLOUT_TEXT_MAX], second[ROLLOUT_TEXT_MAX];
	struct rollout_params back;
	struct pm_error err;
	size_t n;
	const struct rollout_option *options = rollout_options(&n);

	rollout_params_default(&back);
	for (size_t i = 0; i < n; i++)
		if (rollout_params_text(p, i, first, sizeof(first)) &&
		    rollout_params_set(&back, options[i].name, first, &err) < 0)
			abort();
	for (size_t i = 0; i < n; i++) {
		bool has = rollout_params_text(p, i, first, sizeof(first));

		if (has && (!rollout_params_text(&back, i, second, sizeof(second)) ||
		            strcmp(first, second) != 0))
			abort();
	}
}

static void shares(struct rollout_share s, size_t n)
{
	size_t up = rollout_share_up(s, n, 1), down = rollout_share_down(s, n, 1);

	if (up < 1 || up > n || down < 1 || down > n || down > up)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rollout_params p;
	struct pm_error err;
	char text[4096];
	size_t n_hosts;

	if (size == 0 || size >= sizeof(text))
		return 0;
	n_hosts = data[0];
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	rollout_params_default(&p);
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
		char *value = strchr(line, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		if (rollout_params_set(&p, line, value, &err) < 0)
			continue; /* as it was */
	}
	if (p.n_batch > ROLLOUT_BATCHES_MAX)
		abort();
	told_again(&p);
	if (rollout_params_check(&p, n_hosts, &err) < 0 || n_hosts == 0)
		return 0;
	for (unsigned i = 0; i < p.n_batch; i++)
		shares(p.batch[i], n_hosts);
	shares(p.max_down, n_hosts);
	return 0;
}
