/* fuzz_config_json.c - application files in JSON: no input may do worse than an error. */
#include <stdlib.h>

#include "cli/config_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PM_DOC *doc = doc_create(1u << 20);
	const struct doc_node *root = NULL;
	struct config_place place = { 0 };
	struct pm_error err;
	PM_BUF json = { 0 };

	if (doc == NULL)
		return 0;
	if (config_parse_json((const char *)data, size, doc, &root, &place, &err) == 0)
		doc_to_json(root, &json);
	else if (place.line == 0)
		abort(); /* every error has a place */
	return 0;
}
