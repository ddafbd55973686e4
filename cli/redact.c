#include "cli/redact.h"

#include <string.h>
#include <strings.h>

#include "proto/base.h"

bool redact_is_secret(const char *name)
{
	static const char *const parts[] = { "KEY", "SECRET", "TOKEN", "PASS", "CRED" };

	/* By hand: strcasestr(3) prepares itself for long texts, and a list of a thousand apps has
	 * tens of thousands of short names. */
	for (const char *at = name; *at != '\0'; at++)
		for (size_t i = 0; i < PM_COUNT(parts); i++)
			if ((*at & ~0x20) == parts[i][0] &&
			    strncasecmp(at, parts[i], strlen(parts[i])) == 0)
				return true;
	return false;
}
