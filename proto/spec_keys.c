#include "proto/spec_keys.h"

#include <stdio.h>
#include <string.h>

#include "proto/limits.h"

bool spec_each_word(const char *list, bool (*fn)(void *arg, const char *word, size_t len),
                    void *arg)
{
	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, " ");

		if (len > 0 && !fn(arg, list, len))
			return false;
		list += len;
		list += strspn(list, " ");
	}
	return true;
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Whether name is the word itself, or the word in camelCase. */
static bool is_word(const char *name, const char *word, size_t len)
{
	size_t i = 0, k = 0;

	if (strlen(name) == len && memcmp(name, word, len) == 0)
		return true;
	while (i < len && name[k] != '\0') {
		char want = word[i];

		if (want == '_' && i + 1 < len)
			want = upper(word[++i]);
		if (name[k] != want)
			return false;
		i++;
		k++;
	}
	return i == len && name[k] == '\0';
}

struct lookup {
	const char *name;
	bool exact, hit, off;
};

static bool not_this_word(void *arg, const char *word, size_t len)
{
	struct lookup *l = arg;

	if (l->exact)
		l->hit = strlen(l->name) == len && memcmp(l->name, word, len) == 0;
	else
		l->hit = is_word(l->name, word, len);
	if (l->hit)
		l->off = len > 3 && memcmp(word, "no-", 3) == 0;
	return !l->hit;
}

const struct spec_key *spec_key_find(const char *name)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		struct lookup l = { .name = name };

		if (is_word(name, spec_keys[i].name, strlen(spec_keys[i].name)) ||
		    !spec_each_word(spec_keys[i].aliases, not_this_word, &l))
			return &spec_keys[i];
	}
	return NULL;
}

const struct spec_key *spec_key_by_option(const char *name, char letter, bool *off)
{
	for (size_t i = 0; i < spec_n_keys; i++) {
		struct lookup l = { .name = name, .exact = true };

		if (name != NULL)
			(void)spec_each_word(spec_keys[i].opts, not_this_word, &l);
		else
			l.hit = letter != '\0' && spec_keys[i].opt == letter;
		if (l.hit) {
			*off = l.off;
			return &spec_keys[i];
		}
	}
	return NULL;
}

size_t spec_key_index(const struct spec_key *key)
{
	return (size_t)(key - spec_keys);
}

static void expects_words(const struct spec_key *key, char *out, size_t size)
{
	size_t len = 0;

	for (const struct spec_word *w = key->words; w->word != NULL && len < size; w++) {
		/* The _mode forms are PM2's other spelling of the same. */
		if (strstr(w->word, "_mode") != NULL)
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? " or " : "",
		                        w->word);
	}
}

void spec_key_expects(const struct spec_key *key, char *out, size_t size)
{
	static const char *const words[] = {
		[SPEC_TEXT] = "text",
		[SPEC_NAME] = "a name without '/' and control characters, of at most 128 bytes",
		[SPEC_VAR] = "the name of an environment variable",
		[SPEC_PATH] = "a path",
		[SPEC_LOG_PATH] = "a path, or true",
		[SPEC_DURATION] = "a duration such as 1500 (ms), 30s or 2m",
		[SPEC_SIZE] = "a size such as 300M or 1.5G",
		[SPEC_BOOL] = "true or false",
		[SPEC_WORDS] = "a list of texts, or one text that is split at blanks",
		[SPEC_PATHS] = "a path, or a list of paths",
		[SPEC_CODES] = "an exit code from 0 to 255, or a list of them",
		[SPEC_ENV] = "an object of names and values",
		[SPEC_CRON] = "a cron expression of five or six fields, or 0",
		[SPEC_SIGNAL] = "a signal's name or number, such as SIGTERM",
		[SPEC_LIMITS] = "an object such as {nofile: 65536, core: \"0:unlimited\"}",
		[SPEC_UMASK] = "octal digits as text, such as \"022\"",
		[SPEC_OWNER] = "a name or a number",
		[SPEC_INSTANCES] = "max, or a whole number", /* and its limit, below */
		[SPEC_WATCH] = "true, false, a path or a list of paths",
		[SPEC_FILTER] = "true, false, a text or a list of texts",
		[SPEC_CHECK] = "http://:PORT/PATH, tcp://:PORT, unix:///PATH, "
			       "exec PROGRAM ARGS, an object with `check`, or none",
		[SPEC_ROLLOUT] = "an object such as {batch: \"1,10%\", max_down: \"25%\"}",
		[SPEC_KEPT] = "any value",
	};

	if (key->type == SPEC_ENUM)
		expects_words(key, out, size);
	else if (key->type == SPEC_INT)
		(void)snprintf(out, size, "a whole number from %lld to %lld", (long long)key->min,
		               (long long)key->max);
	else if (key->type == SPEC_INSTANCES)
		(void)snprintf(out, size, "%s of at most %d", words[key->type], PM_SLOTS_MAX);
	else
		(void)snprintf(out, size, "%s", words[key->type]);
}
