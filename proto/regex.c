#include "proto/regex.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

/* The larger number of a repetition "{2,5}" or "{3}" or "{2,}"; 1: it is none. */
static unsigned long repeats(const char *s)
{
	unsigned long most = 0;

	if (*s < '0' || *s > '9')
		return 1;
	for (; (*s >= '0' && *s <= '9') || *s == ','; s++) {
		char *end;
		unsigned long n;

		if (*s == ',')
			continue;
		n = strtoul(s, &end, 10);
		most = PM_MAX(most, n);
		s = end - 1;
	}
	return PM_MAX(most, 1ul);
}

static int check(const char *text, struct pm_error *err)
{
	unsigned long states = 1;
	bool in_bracket = false;

	for (const char *s = text; *s != '\0'; s++) {
		if (in_bracket) {
			in_bracket = *s != ']';
		} else if (*s == '\\' && s[1] != '\0') {
			s++;
			if (*s >= '1' && *s <= '9')
				return pm_fail(err, PM_USAGE, "~%s: no back-references here", text);
		} else if (*s == '[') {
			in_bracket = true;
			s += s[1] == '^';
			s += s[1] == ']'; /* the first one stands for itself */
		} else if (*s == '{' || *s == '+') {
			/* a+ becomes aa*, so that each + around another doubles what is inside. */
			states *= *s == '+' ? 2 : PM_MIN(repeats(s + 1), PM_REGEX_REPEAT_MAX + 1ul);
			if (states > PM_REGEX_REPEAT_MAX)
				return pm_fail(err, PM_USAGE, "~%.100s: it repeats too often",
				               text);
		}
	}
	return 0;
}

int pm_regex_compile(const char *text, size_t len, regex_t *out, struct pm_error *err)
{
	char copy[PM_REGEX_MAX + 1], why[128];
	int rc;

	if (len > PM_REGEX_MAX)
		return pm_fail(err, PM_LIMIT, "a regular expression over %d bytes", PM_REGEX_MAX);
	if (len == 0 || memchr(text, '\0', len) != NULL)
		return pm_fail(err, PM_USAGE, "an empty regular expression");
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (check(copy, err) < 0)
		return -1;
	rc = regcomp(out, copy, REG_EXTENDED | REG_NOSUB);
	if (rc == REG_ESPACE)
		return pm_fail(err, PM_NO_MEMORY, "~%s", copy);
	if (rc != 0) {
		(void)regerror(rc, out, why, sizeof(why));
		return pm_fail(err, PM_USAGE, "~%s: %s", copy, why);
	}
	return 0;
}
