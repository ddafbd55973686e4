#include "proto/glob.h"

#include <string.h>

/* The length of the bracket at p; 0: nothing closes it. */
static size_t bracket_len(const char *p, size_t len)
{
	size_t at = 1;

	if (at < len && (p[at] == '!' || p[at] == '^'))
		at++;
	if (at < len && p[at] == ']')
		at++; /* as the first it stands for itself */
	while (at < len && p[at] != ']')
		at += p[at] == '\\' && at + 1 < len ? 2 : 1;
	return at < len ? at + 1 : 0;
}

static unsigned char bracket_next(const char *p, size_t *at)
{
	if (p[*at] == '\\')
		(*at)++;
	return (unsigned char)p[(*at)++];
}

static bool in_bracket(const char *p, size_t len, char name)
{
	unsigned char c = (unsigned char)name;
	bool turned = p[1] == '!' || p[1] == '^', found = false;
	size_t at = turned ? 2 : 1;

	while (at < len - 1) {
		unsigned char low = bracket_next(p, &at), high = low;

		if (at + 1 < len - 1 && p[at] == '-') {
			at++;
			high = bracket_next(p, &at);
		}
		found = found || (c >= low && c <= high);
	}
	return found != turned;
}

/* How many bytes of the pattern take one byte of the name; 0: it does not match. */
static size_t match_one(const char *p, size_t len, char name)
{
	size_t bracket = *p == '[' ? bracket_len(p, len) : 0;

	if (bracket > 0)
		return in_bracket(p, bracket, name) ? bracket : 0;
	if (*p == '?')
		return 1;
	if (*p == '\\' && len > 1)
		return p[1] == name ? 2 : 0;
	return *p == name ? 1 : 0;
}

bool glob_match(const char *pattern, size_t len, const char *name)
{
	const char *p = pattern, *end = pattern + len;
	const char *star = NULL, *from = NULL; /* the last *, and what it begins behind */

	while (*name != '\0') {
		size_t taken;

		if (p < end && *p == '*') {
			star = ++p;
			from = name;
			continue;
		}
		taken = p < end ? match_one(p, (size_t)(end - p), *name) : 0;
		if (taken > 0) {
			p += taken;
			name++;
		} else if (star != NULL) { /* only the last * ever has to give way */
			p = star;
			name = ++from;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}

bool glob_is_pattern(const char *pattern, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr("*?[\\", pattern[i]) != NULL)
			return true;
	return false;
}

bool glob_match_any(const char *list, const char *name)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		if (len > 0 && glob_match(list, len, name))
			return true;
		list += len;
		list += *list == ',';
	}
	return false;
}
