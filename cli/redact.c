#include "cli/redact.h"

#include <string.h>

#include "proto/base.h"

bool redact_is_secret(const char *name)
{
	static const char *const parts[] = { "KEY", "SECRET", "TOKEN", "PASS", "CRED" };

	for (size_t i = 0; i < PM_COUNT(parts); i++)
		if (strcasestr(name, parts[i]) != NULL)
			return true;
	return false;
}
