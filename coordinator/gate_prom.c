/* gate_prom.c - what a Prometheus answers, and whether a gate passes by it.  Pure; the bytes are
 * foreign. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/gates.h"

/* [ time, "value" ] */
static bool take_sample(const json_t *pair, double *out, const char **text)
{
	const char *value = json_string_value(json_array_get(pair, 1));
	char *end;

	if (value == NULL || value[0] == '\0')
		return false;
	*out = strtod(value, &end);
	*text = value;
	return *end == '\0';
}

/* Every one of them, and at least one. */
static bool passes_vector(const struct rollout_gate *gate, const json_t *result, char *words,
                          size_t size)
{
	size_t n = json_array_size(result), n_bad = 0;
	char worst[40] = "";
	const char *text;
	double sample;

	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(result, i);

		if (!take_sample(json_object_get(one, "value"), &sample, &text)) {
			(void)snprintf(words, size, "a sample of the answer has no value");
			return false;
		}
		if (rollout_gate_holds(gate, sample) || n_bad++ > 0)
			continue;
		(void)snprintf(worst, sizeof(worst), "%.32s", text);
	}
	if (n == 0)
		(void)snprintf(words, size, "there is no such sample");
	else if (n_bad > 0)
		(void)snprintf(words, size, "%zu of %zu samples do not hold: %s", n_bad, n, worst);
	else
		(void)snprintf(words, size, "%zu sample%s", n, n == 1 ? "" : "s");
	return n > 0 && n_bad == 0;
}

static bool passes(const struct rollout_gate *gate, const json_t *all, char *words, size_t size)
{
	const char *status = json_string_value(json_object_get(all, "status"));
	const char *error = json_string_value(json_object_get(all, "error"));
	const json_t *data = json_object_get(all, "data");
	const char *type = json_string_value(json_object_get(data, "resultType"));
	const json_t *result = json_object_get(data, "result");
	const char *text;
	double sample;

	if (status == NULL || strcmp(status, "success") != 0) {
		(void)snprintf(words, size, "%.120s",
		               error != NULL ? error : "not an answer of it");
		return false;
	}
	if (type != NULL && strcmp(type, "vector") == 0)
		return passes_vector(gate, result, words, size);
	if (type == NULL || strcmp(type, "scalar") != 0 || !take_sample(result, &sample, &text)) {
		(void)snprintf(words, size, "the expression has no value at one time");
		return false;
	}
	(void)snprintf(words, size, "it is %.32s", text);
	return rollout_gate_holds(gate, sample);
}

bool gate_prom_passes(const struct rollout_gate *gate, const char *json, size_t len, char *words,
                      size_t size)
{
	json_t *all = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	bool ok;

	if (all == NULL) {
		(void)snprintf(words, size, "the answer is not JSON, or too long");
		return false;
	}
	ok = passes(gate, all, words, size);
	json_decref(all);
	return ok;
}
