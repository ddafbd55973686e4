/* spec_check.c - the value of a health check: text, a list of arguments, or an object. */
#include <string.h>

#include "proto/check.h"
#include "proto/spec_set.h"
#include "proto/units.h"

static void check_freep(Pm__HealthCheck **check)
{
	if (*check != NULL)
		pm__health_check__free_unpacked(*check, NULL);
}

#define PM_CHECK PM_CLEANUP(check_freep) Pm__HealthCheck

static int bad(const struct spec_target *t, const char *name, const char *expects,
               struct pm_error *err)
{
	return pm_fail(err, PM_CONFIG, "%s.%.40s: expected %s", t->key->name, name, expects);
}

static int add_args(const struct spec_target *t, const struct doc_node *list, Pm__HealthCheck *c,
                    struct pm_error *err)
{
	for (const struct doc_node *i = list->first; i != NULL; i = i->next) {
		if (i->type != DOC_TEXT)
			return bad(t, "check", "a list of texts", err);
		if (spec_add_str(&c->argv, &c->n_argv, i->text, err) < 0)
			return -1;
	}
	return spec_put_str(&c->what, "exec", err);
}

/* "exec ./check.sh 'a b'", or an address. */
static int set_text(Pm__HealthCheck *c, const char *text, struct pm_error *err)
{
	bool exec = strncmp(text, "exec", 4) == 0 && strchr(" \t", text[4]) != NULL;

	spec_clear_list(&c->argv, &c->n_argv);
	if (exec && spec_split(text + 4, &c->argv, &c->n_argv, err) < 0)
		return -1;
	return spec_put_str(&c->what, exec ? "exec" : text, err);
}

static int set_what(const struct spec_target *t, const struct doc_node *v, Pm__HealthCheck *c,
                    struct pm_error *err)
{
	if (v->type == DOC_LIST)
		return add_args(t, v, c, err);
	if (v->type != DOC_TEXT)
		return bad(t, "check", "text, or a list of texts", err);
	return set_text(c, v->text, err);
}

static int add_header(const char *name, const char *value, Pm__HealthCheck *c, struct pm_error *err)
{
	PM_BUF line = { 0 };

	pm_buf_printf(&line, "%s: %s", name, value);
	if (line.failed)
		return pm_fail(err, PM_NO_MEMORY, "headers");
	return spec_add_str(&c->headers, &c->n_headers, line.bytes, err);
}

static int set_headers(const struct spec_target *t, const struct doc_node *v, Pm__HealthCheck *c,
                       struct pm_error *err)
{
	if (v->type != DOC_MAP && v->type != DOC_LIST)
		return bad(t, "headers", "an object of names and texts, or a list of lines", err);
	for (const struct doc_node *i = v->first; i != NULL; i = i->next) {
		if (i->type != DOC_TEXT)
			return bad(t, "headers", "text for each", err);
		if ((v->type == DOC_MAP
		             ? add_header(i->name, i->text, c, err)
		             : spec_add_str(&c->headers, &c->n_headers, i->text, err)) < 0)
			return -1;
	}
	return 0;
}

static int set_duration(const struct spec_target *t, const struct doc_node *v, uint32_t *out,
                        struct pm_error *err)
{
	uint64_t ms = 0;

	if (v->type == DOC_NUMBER && v->number >= 1 && v->number <= UINT32_MAX)
		ms = (uint64_t)v->number;
	else if (v->type != DOC_TEXT || !pm_parse_duration(v->text, 1, &ms))
		ms = 0;
	if (ms == 0 || ms > UINT32_MAX)
		return bad(t, v->name, "a duration such as 1500 (ms), 30s or 2m", err);
	*out = (uint32_t)ms;
	return 0;
}

static int set_count(const struct spec_target *t, const struct doc_node *v, uint32_t *out,
                     struct pm_error *err)
{
	int64_t n;

	if (!spec_to_int(v, &n) || n < 1 || n > UINT32_MAX)
		return bad(t, v->name, "a whole number from 1", err);
	*out = (uint32_t)n;
	return 0;
}

static int set_part(const struct spec_target *t, const struct doc_node *v, Pm__HealthCheck *c,
                    struct pm_error *err)
{
	if (v->type == DOC_NULL)
		return 0;
	if (strcmp(v->name, "check") == 0)
		return set_what(t, v, c, err);
	if (strcmp(v->name, "period") == 0)
		return set_duration(t, v, &c->period_ms, err);
	if (strcmp(v->name, "timeout") == 0)
		return set_duration(t, v, &c->timeout_ms, err);
	if (strcmp(v->name, "fail") == 0)
		return set_count(t, v, &c->fail, err);
	if (strcmp(v->name, "ok") == 0)
		return set_count(t, v, &c->ok, err);
	if (strcmp(v->name, "headers") == 0)
		return set_headers(t, v, c, err);
	if (strcmp(v->name, "body") != 0)
		return bad(t, v->name, "one of check, period, timeout, fail, ok, body, headers",
		           err);
	if (v->type != DOC_TEXT)
		return bad(t, "body", "text", err);
	return spec_put_str(&c->body, v->text, err);
}

static bool is_none(const struct doc_node *v)
{
	return (v->type == DOC_BOOL && !v->truth) ||
	       (v->type == DOC_TEXT && (strcmp(v->text, "none") == 0 || v->text[0] == '\0'));
}

static enum check_role role_of(const struct spec_target *t)
{
	enum check_role role = CHECK_STARTUP;

	while (strcmp(check_role_names[role], t->key->name) != 0)
		role++;
	return role;
}

int spec_set_check(const struct spec_target *t, const struct doc_node *v, struct pm_error *err)
{
	Pm__HealthCheck **place = spec_member(t);
	PM_CHECK *c = NULL;
	int rc = 0;

	if (!is_none(v)) {
		if (v->type != DOC_TEXT && v->type != DOC_LIST && v->type != DOC_MAP)
			return spec_mismatch(t, v, err);
		c = pm_calloc(1, sizeof(*c));
		if (c == NULL)
			return pm_fail(err, PM_NO_MEMORY, "%s", t->key->name);
		pm__health_check__init(c);
		if (v->type != DOC_MAP)
			rc = set_what(t, v, c, err);
		for (const struct doc_node *i = v->first;
		     v->type == DOC_MAP && i != NULL && rc == 0; i = i->next)
			rc = set_part(t, i, c, err);
		check_defaults(c);
		if (rc < 0 || check_validate(c, role_of(t), err) < 0)
			return -1;
	}
	check_freep(place);
	*place = PM_STEAL(c);
	return 0;
}
