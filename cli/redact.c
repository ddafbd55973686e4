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

/* Whether the word is "NAME=..." with the name of a secret; *value is where its value begins. */
static bool has_secret_value(const char *word, size_t len, size_t *value)
{
	const char *eq = memchr(word, '=', len);
	char name[64];
	size_t n;

	if (eq == NULL)
		return false;
	n = PM_MIN((size_t)(eq - word), sizeof(name) - 1);
	memcpy(name, eq - n, n); /* the end of it, which has what it is about */
	name[n] = '\0';
	*value = (size_t)(eq - word) + 1;
	return redact_is_secret(name);
}

/* "--db-password", whose value is the next word. */
static bool is_secret_option(const char *word, size_t len)
{
	char name[64];

	if (len < 3 || len >= sizeof(name) || word[0] != '-' || word[1] != '-' ||
	    memchr(word, '=', len) != NULL)
		return false;
	memcpy(name, word, len);
	name[len] = '\0';
	return redact_is_secret(name);
}

/* The part of a URL between "://" and "@", if that comes before its path. */
static bool has_userinfo(const char *word, size_t len, size_t *from, size_t *to)
{
	const char *scheme = memmem(word, len, "://", 3);
	size_t at;

	if (scheme == NULL)
		return false;
	*from = (size_t)(scheme - word) + 3;
	for (at = *from; at < len && word[at] != '/' && word[at] != '?'; at++)
		if (word[at] == '@') {
			*to = at;
			return true;
		}
	return false;
}

void redact_text(const char *text, struct pm_buf *out)
{
	bool next = false;

	while (*text != '\0') {
		size_t blanks = strspn(text, " \t\n"), len, from, to;

		pm_buf_add(out, text, blanks);
		text += blanks;
		len = strcspn(text, " \t\n");
		if (next && len > 0) {
			pm_buf_str(out, REDACTED);
		} else if (has_secret_value(text, len, &from)) {
			pm_buf_add(out, text, from);
			pm_buf_str(out, REDACTED);
		} else if (has_userinfo(text, len, &from, &to)) {
			pm_buf_add(out, text, from);
			pm_buf_str(out, REDACTED);
			pm_buf_add(out, text + to, len - to);
		} else {
			pm_buf_add(out, text, len);
		}
		next = is_secret_option(text, len);
		text += len;
	}
}
