#include "cli/target.h"

#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/limits.h"

static void target_free(Pm__Target *t)
{
	if (t == NULL)
		return;
	if (t->text != protobuf_c_empty_string)
		free(t->text);
	if (t->script_path != protobuf_c_empty_string)
		free(t->script_path);
	free(t);
}

void target_list_finish(struct target_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		target_free(list->targets[i]);
	free(list->targets);
	*list = (struct target_list){ 0 };
}

static Pm__Target *target_new(const char *text)
{
	Pm__Target *t = pm_calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	pm__target__init(t);
	t->text = pm_strdup(text);
	if (t->text == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

/* The text as an absolute path, without . and .. ; NULL: no memory or too long. */
static char *absolute(const char *text)
{
	char path[2 * PATH_MAX], *to;
	size_t at = 0;

	if (text[0] != '/') {
		if (getcwd(path, PATH_MAX) == NULL)
			return NULL;
		at = strlen(path);
	}
	to = path + at;
	for (const char *from = text; *from != '\0';) {
		size_t n = strcspn(from, "/");

		if (n == 2 && memcmp(from, "..", 2) == 0) {
			while (to > path && *--to != '/')
				;
		} else if (n != 0 && !(n == 1 && *from == '.')) {
			if ((size_t)(to - path) + n + 2 > sizeof(path))
				return NULL;
			*to++ = '/';
			memcpy(to, from, n);
			to += n;
		}
		from += n;
		from += *from == '/';
	}
	*to = '\0';
	return pm_strdup(path);
}

static int add(struct target_list *list, Pm__Target *t, struct pm_error *err)
{
	Pm__Target **targets;

	if (t == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the targets");
	targets = pm_realloc(list->targets, (list->n + 1) * sizeof(*targets));
	if (targets == NULL) {
		target_free(t);
		return pm_fail(err, PM_NO_MEMORY, "read the targets");
	}
	targets[list->n++] = t;
	list->targets = targets;
	return 0;
}

int target_list_add(struct target_list *list, const char *text, struct pm_error *err)
{
	Pm__Target *t = target_new(text);
	char *path;

	if (t != NULL && !target_is_number(text) && strcmp(text, "all") != 0) {
		path = absolute(text);
		if (path != NULL)
			t->script_path = path;
	}
	return add(list, t, err);
}

int target_list_add_id(struct target_list *list, uint32_t pm_id, struct pm_error *err)
{
	char text[16];
	Pm__Target *t;

	(void)snprintf(text, sizeof(text), "%u", pm_id);
	t = target_new(text);
	if (t != NULL)
		t->exact_id = true;
	return add(list, t, err);
}

bool target_is_regex(const char *text)
{
	size_t len = strlen(text);

	return len > 2 && text[0] == '/' && text[len - 1] == '/';
}

bool target_is_config(const char *text)
{
	static const char *const marks[] = { ".json",      ".yml",        ".yaml",
		                             ".config.js", ".config.cjs", ".config.mjs" };

	for (size_t i = 0; i < PM_COUNT(marks); i++)
		if (strstr(text, marks[i]) != NULL)
			return true;
	return false;
}

bool target_is_number(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* What a letter behind a backslash stands for, outside and inside brackets. */
static const char *class_of(char letter, bool in_brackets)
{
	switch (letter) {
	case 'd':
		return in_brackets ? "0-9" : "[0-9]";
	case 'D':
		return in_brackets ? NULL : "[^0-9]";
	case 'w':
		return in_brackets ? "A-Za-z0-9_" : "[A-Za-z0-9_]";
	case 'W':
		return in_brackets ? NULL : "[^A-Za-z0-9_]";
	case 's':
		return in_brackets ? "[:space:]" : "[[:space:]]";
	case 'S':
		return in_brackets ? NULL : "[^[:space:]]";
	default:
		return NULL;
	}
}

int target_translate_regex(const char *js, char *out, size_t size, struct pm_error *err)
{
	bool in_brackets = false;
	size_t at = 0;

	for (const char *c = js; *c != '\0'; c++) {
		char piece[3] = { *c, '\0', '\0' };
		const char *put = piece;

		if (*c == '\\') {
			if (c[1] == '\0')
				return pm_fail(err, PM_USAGE, "/%s/: it ends in a backslash", js);
			c++;
			put = class_of(*c, in_brackets);
			if (put == NULL && strchr("DWSbB0123456789kpPux", *c) != NULL)
				return pm_fail(err, PM_USAGE, "/%s/: \\%c cannot be used here", js,
				               *c);
			if (put == NULL) {
				piece[0] = in_brackets ? *c : '\\';
				piece[1] = in_brackets ? '\0' : *c;
				put = piece;
			}
		} else if (*c == '(' && c[1] == '?') {
			if (c[2] != ':')
				return pm_fail(err, PM_USAGE, "/%s/: (?%c cannot be used here", js,
				               c[2]);
			c += 2;
		} else if (*c == '[') {
			in_brackets = true;
		} else if (*c == ']') {
			in_brackets = false;
		}
		if (at + strlen(put) + 1 > size)
			return pm_fail(err, PM_USAGE, "/%s/: it is too long", js);
		(void)memcpy(out + at, put, strlen(put));
		at += strlen(put);
	}
	out[at] = '\0';
	return 0;
}

int target_list_add_regex(struct target_list *list, const char *text,
                          Pm__InstanceStatus *const *instances, size_t n, struct pm_error *err)
{
	char js[1024], ere[4096];
	regex_t regex;
	size_t before = list->n;
	int rc = 0;

	if (strlen(text) >= sizeof(js))
		return pm_fail(err, PM_USAGE, "the expression is too long");
	(void)snprintf(js, sizeof(js), "%.*s", (int)strlen(text) - 2, text + 1);
	if (target_translate_regex(js, ere, sizeof(ere), err) < 0)
		return -1;
	rc = regcomp(&regex, ere, REG_EXTENDED | REG_NOSUB);
	if (rc != 0) {
		char why[128];

		(void)regerror(rc, &regex, why, sizeof(why));
		return pm_fail(err, PM_USAGE, "%s: %s", text, why);
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		if (regexec(&regex, instances[i]->name, 0, NULL, 0) == 0)
			rc = target_list_add_id(list, instances[i]->pm_id, err);
	regfree(&regex);
	if (rc == 0 && list->n == before)
		return pm_fail(err, PM_NOT_FOUND, "%s: no app's name matches", text);
	return rc;
}
