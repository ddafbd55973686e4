/* fuzz_envfile.c - files of variables: names are names, and no value holds more than the file. */
#include <stdlib.h>
#include <string.h>

#include "proto/envfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *arg, const char *name, const char *value, struct pm_error *err)
{
	const size_t *size = arg;

	(void)err;
	if (name[0] == '\0' || strchr(name, '=') != NULL || strlen(name) + strlen(value) > *size)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_error err;

	if (envfile_parse((const char *)data, size, check, &size, &err) < 0 && err.what[0] == '\0')
		abort();
	return 0;
}
