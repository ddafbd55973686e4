#include "proto/spec_keys.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_HERE 64 /* longer than any key: no use to compare */

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

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Damerau-Levenshtein (optimal string alignment): a swap of neighbours is one slip. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][NAME_MAX_HERE + 1];

	for (size_t k = 0; k <= m; k++)
		rows[0][k] = k;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = rows[i % 3];
		const size_t *up = rows[(i + 2) % 3], *upper2 = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t k = 1; k <= m; k++) {
			size_t change = a[i - 1] == b[k - 1] ? 0 : 1;

			now[k] = least(least(up[k] + 1, now[k - 1] + 1), up[k - 1] + change);
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				now[k] = least(now[k], upper2[k - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

struct nearest {
	const char *name, *best;
	size_t len, best_distance;
	const struct spec_key *key;
};

static bool compare(void *arg, const char *word, size_t len)
{
	struct nearest *n = arg;
	size_t d = len <= NAME_MAX_HERE ? distance(n->name, n->len, word, len) : SIZE_MAX;

	/* Two slips in a word of three letters are another word. */
	if (d < n->best_distance && d < len && d < n->len) {
		n->best_distance = d;
		n->best = n->key->name;
	}
	return true;
}

const char *spec_key_nearest(const char *name)
{
	char plain[NAME_MAX_HERE + 1];
	struct nearest n = { .name = plain, .best_distance = 3 };

	/* camelCase and dashes count as what they stand for. */
	for (const char *s = name; *s != '\0'; s++) {
		bool capital = *s >= 'A' && *s <= 'Z';

		if (n.len + 2 > NAME_MAX_HERE)
			return NULL;
		if (capital && n.len > 0)
			plain[n.len++] = '_';
		plain[n.len++] = capital ? (char)(*s - 'A' + 'a') : (*s == '-' ? '_' : *s);
	}
	plain[n.len] = '\0';
	for (size_t i = 0; i < spec_n_keys; i++) {
		n.key = &spec_keys[i];
		(void)compare(&n, n.key->name, strlen(n.key->name));
		(void)spec_each_word(n.key->aliases, compare, &n);
	}
	return n.best;
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
		[SPEC_INSTANCES] = "a whole number or max",
		[SPEC_WATCH] = "true, false, a path or a list of paths",
		[SPEC_FILTER] = "true, false, a text or a list of texts",
		[SPEC_KEPT] = "any value",
	};

	if (key->type == SPEC_ENUM)
		expects_words(key, out, size);
	else if (key->type == SPEC_INT)
		(void)snprintf(out, size, "a whole number from %lld to %lld", (long long)key->min,
		               (long long)key->max);
	else
		(void)snprintf(out, size, "%s", words[key->type]);
}
