#include "cli/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"
#include "proto/nearest.h"

void contexts_finish(struct contexts *c)
{
	free(c->list);
	*c = (struct contexts){ 0 };
}

static size_t place_of(const struct contexts *c, const char *name, bool *found)
{
	size_t i = 0;

	while (i < c->n && strcmp(c->list[i].name, name) < 0)
		i++;
	*found = i < c->n && strcmp(c->list[i].name, name) == 0;
	return i;
}

const struct context *contexts_find(const struct contexts *c, const char *name)
{
	bool found;
	size_t i = place_of(c, name, &found);

	return found ? &c->list[i] : NULL;
}

const char *contexts_nearest(const struct contexts *c, const char *name)
{
	struct nearest near;

	nearest_init(&near, name);
	for (size_t i = 0; i < c->n; i++)
		nearest_offer(&near, c->list[i].name);
	if (!nearest_found(&near))
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->list[i].name, near.best) == 0)
			return c->list[i].name;
	return NULL;
}

int contexts_put(struct contexts *c, const struct context *one, struct pm_error *err)
{
	struct context *grown;
	bool found;
	size_t i = place_of(c, one->name, &found);

	if (found) {
		c->list[i] = *one;
		return 0;
	}
	if (c->n == PM_CONTEXTS_MAX)
		return pm_fail(err, PM_LIMIT, "there are %u contexts", PM_CONTEXTS_MAX);
	grown = pm_realloc(c->list, (c->n + 1) * sizeof(*grown));
	if (grown == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	c->list = grown;
	memmove(&grown[i + 1], &grown[i], (c->n - i) * sizeof(*grown));
	grown[i] = *one;
	c->n++;
	return 0;
}

bool contexts_remove(struct contexts *c, const char *name)
{
	bool found;
	size_t i = place_of(c, name, &found);

	if (!found)
		return false;
	c->n--;
	memmove(&c->list[i], &c->list[i + 1], (c->n - i) * sizeof(*c->list));
	if (strcmp(c->current, name) == 0)
		c->current[0] = '\0';
	return true;
}

/* ---- reading ---- */

static int take_name(const char *value, char *out, const char *what, struct pm_error *err)
{
	if (!hostlist_is_name(value))
		return pm_fail(err, PM_CONFIG, "'%.100s' is no name of %s", value, what);
	(void)snprintf(out, PM_NAME_MAX + 1, "%s", value);
	return 0;
}

static int take_word(struct context *one, const char *word, const char *value, struct pm_error *err)
{
	if (strcmp(word, "address") == 0) {
		if (one->n_addresses == PM_ADDRESSES_MAX)
			return pm_fail(err, PM_LIMIT, "more than %u addresses", PM_ADDRESSES_MAX);
		if (pm_address_parse(value, &one->addresses[one->n_addresses], err) < 0)
			return -1;
		one->n_addresses++;
		return 0;
	}
	if (strcmp(word, "coordinator") == 0) {
		if (pm_key_parse(value, one->coordinator, err) < 0)
			return -1;
		one->has_coordinator = true;
		return 0;
	}
	if (strcmp(word, "next") == 0) {
		if (pm_key_parse(value, one->next, err) < 0)
			return -1;
		one->has_next = true;
		return 0;
	}
	if (strcmp(word, "operator") == 0)
		return take_name(value, one->operator, "an operator", err);
	if (strcmp(word, "key") != 0)
		return pm_fail(err, PM_CONFIG, "'%.100s' means nothing here", word);
	if (strlen(value) >= sizeof(one->key))
		return pm_fail(err, PM_LIMIT, "the key's path is too long");
	(void)snprintf(one->key, sizeof(one->key), "%s", value);
	return 0;
}

static int check(const struct context *one, struct pm_error *err)
{
	const char *missing = !one->has_coordinator   ? "coordinator"
	                      : one->n_addresses == 0 ? "address"
	                      : one->key[0] == '\0'   ? "key"
	                                              : NULL;

	if (missing == NULL)
		return 0;
	return pm_fail(err, PM_CONFIG, "context %.100s has no %s", one->name, missing);
}

struct reading {
	struct contexts *c;
	struct context one; /* name "": none was begun */
};

static int end_one(struct reading *r, struct pm_error *err)
{
	if (r->one.name[0] == '\0')
		return 0;
	if (check(&r->one, err) < 0)
		return -1;
	return contexts_put(r->c, &r->one, err);
}

static int take_line(struct reading *r, char *line, struct pm_error *err)
{
	char *word = line + strspn(line, " \t"), *value, *end;

	word[strcspn(word, "#\r")] = '\0';
	if (word[0] == '\0')
		return 0;
	value = word + strcspn(word, " \t");
	if (*value != '\0')
		*value++ = '\0';
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	if (value[0] == '\0')
		return pm_fail(err, PM_CONFIG, "'%.100s' without a value", word);
	if (strcmp(word, "current") == 0)
		return take_name(value, r->c->current, "a context", err);
	if (strcmp(word, "context") == 0) {
		if (end_one(r, err) < 0)
			return -1;
		r->one = (struct context){ 0 };
		return take_name(value, r->one.name, "a context", err);
	}
	if (r->one.name[0] == '\0')
		return pm_fail(err, PM_CONFIG, "'%.100s' outside of a context", word);
	return take_word(&r->one, word, value, err);
}

int contexts_parse(const char *text, size_t len, struct contexts *out, struct pm_error *err)
{
	PM_CONTEXTS c = { 0 };
	PM_FREE struct reading *r = pm_calloc(1, sizeof(*r));
	PM_FREE char *copy = pm_strndup(text, len);
	unsigned n = 0;

	if (r == NULL || copy == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (strlen(copy) != len)
		return pm_fail(err, PM_CONFIG, "it holds a zero byte");
	r->c = &c;
	for (char *line = copy, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		n++;
		if (take_line(r, line, err) < 0)
			return pm_wrap(err, "line %u", n);
	}
	if (end_one(r, err) < 0)
		return -1;
	*out = c;
	c = (struct contexts){ 0 };
	return 0;
}

/* ---- writing ---- */

static void format_one(const struct context *one, struct pm_buf *out)
{
	char text[PM_ADDRESS_TEXT], key[PM_KEY_TEXT];

	pm_buf_printf(out, "context %s\n", one->name);
	for (unsigned i = 0; i < one->n_addresses; i++) {
		pm_address_format(&one->addresses[i], text);
		pm_buf_printf(out, "  address %s\n", text);
	}
	pm_key_format(one->coordinator, key);
	pm_buf_printf(out, "  coordinator %s\n", key);
	if (one->has_next) {
		pm_key_format(one->next, key);
		pm_buf_printf(out, "  next %s\n", key);
	}
	pm_buf_printf(out, "  key %s\n", one->key);
	if (one->operator[0] != '\0')
		pm_buf_printf(out, "  operator %s\n", one->operator);
}

int contexts_format(const struct contexts *c, struct pm_buf *out, struct pm_error *err)
{
	pm_buf_str(out, "# Coordinators that pmctl knows; written by pmctl.\n");
	if (c->current[0] != '\0')
		pm_buf_printf(out, "current %s\n", c->current);
	for (size_t i = 0; i < c->n; i++)
		format_one(&c->list[i], out);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}
