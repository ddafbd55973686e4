/* fuzz_dump.c - dump.pm2: no bytes of it may do worse than an error. */
#include <stdlib.h>

#include "cli/config_parse.h"
#include "cli/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(const struct dump_app *app)
{
	struct spec_builder b;
	struct pm_error err;

	if (app->n == 0 || app->n_stopped > app->n)
		abort();
	if (spec_builder_init(&b, &err) < 0)
		return;
	if (dump_fill(app, "/home/pm2", &b, &err) < 0 && err.what[0] == '\0')
		abort(); /* an error says what it is */
	spec_builder_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PM_DOC *doc = doc_create(1u << 20);
	PM_FREE struct dump_app *apps = NULL;
	const struct doc_node *root = NULL;
	struct config_place place = { 0 };
	struct pm_error err;
	size_t n = 0;

	if (doc == NULL ||
	    config_parse_json((const char *)data, size, doc, &root, &place, &err) < 0 ||
	    dump_apps(root, &apps, &n, &err) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		fill(&apps[i]);
	return 0;
}
