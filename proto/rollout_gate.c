#include "proto/rollout_gate.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- exec ---- */

static int take_name(struct rollout_gate *g, struct pm_error *err)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "._-";

	if (g->value[0] != '\0' && g->value[0] != '.' && g->value[0] != '-' &&
	    g->value[strspn(g->value, fine)] == '\0')
		return 0;
	(void)pm_fail(err, PM_USAGE, "gate: exec '%.60s' is not the name of a gate", g->value);
	pm_hint(err, "a program of that name in /etc/pmd/gates on the coordinator's machine, "
	             "put there by its administrator");
	return -1;
}

/* ---- http ---- */

int rollout_gate_parse_url(const char *url, struct pm_address *at, char path[ROLLOUT_GATE_BYTES],
                           struct pm_error *err)
{
	static const char scheme[] = "http://";
	char where[PM_ADDRESS_TEXT + 8];
	const char *rest = url + strlen(scheme), *port;
	size_t len;

	if (strncmp(url, "https://", 8) == 0) {
		(void)pm_fail(err, PM_UNSUPPORTED, "%.80s: a gate speaks no TLS", url);
		pm_hint(err, "ask with a program of its own: 'exec NAME', in /etc/pmd/gates");
		return -1;
	}
	if (strncmp(url, scheme, strlen(scheme)) != 0)
		return pm_fail(err, PM_USAGE, "gate: '%.80s' is not an http:// URL", url);
	len = strcspn(rest, "/?#");
	if (len == 0 || len >= PM_ADDRESS_TEXT || memchr(rest, '@', len) != NULL)
		return pm_fail(err, PM_USAGE, "gate: '%.80s' has no host, or more than a host",
		               url);
	port = rest[0] == '[' ? memchr(rest, ']', len) : rest;
	port = port == NULL ? NULL : memchr(port, ':', len - (size_t)(port - rest));
	(void)snprintf(where, sizeof(where), "%.*s%s", (int)len, rest, port == NULL ? ":80" : "");
	if (pm_address_parse(where, at, err) < 0) {
		err->code = PM_USAGE;
		return pm_wrap(err, "gate");
	}
	rest += len;
	for (const char *c = rest; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || *c == '#')
			return pm_fail(err, PM_USAGE, "gate: a byte in the URL that must be %%XX");
	if ((size_t)snprintf(path, ROLLOUT_GATE_BYTES, "%s%s", rest[0] == '/' ? "" : "/", rest) >=
	    ROLLOUT_GATE_BYTES)
		return pm_fail(err, PM_USAGE, "gate: a URL of at most %d bytes",
		               ROLLOUT_GATE_BYTES - 1);
	return 0;
}

static int take_url(struct rollout_gate *g, struct pm_error *err)
{
	char url[ROLLOUT_GATE_BYTES];

	memcpy(url, g->value, sizeof(url));
	return rollout_gate_parse_url(url, &g->at, g->value, err);
}

/* ---- prom ---- */

static const char *const ops[] = {
	[ROLLOUT_GATE_LESS] = "<",   [ROLLOUT_GATE_LESS_OR_EQUAL] = "<=",
	[ROLLOUT_GATE_MORE] = ">",   [ROLLOUT_GATE_MORE_OR_EQUAL] = ">=",
	[ROLLOUT_GATE_EQUAL] = "==", [ROLLOUT_GATE_NOT_EQUAL] = "!=",
};

/* Cut the last word off; NULL: there is only one. */
static const char *last_word(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] != ' ')
		len--;
	if (len == 0)
		return NULL;
	for (size_t end = len; end > 0 && text[end - 1] == ' '; end--)
		text[end - 1] = '\0';
	return text + len;
}

static int take_query(struct rollout_gate *g, struct pm_error *err)
{
	const char *number = last_word(g->value), *op = number == NULL ? NULL : last_word(g->value);
	char *end = NULL;
	size_t i = 0;

	while (op != NULL && i < PM_COUNT(ops) && strcmp(op, ops[i]) != 0)
		i++;
	if (op != NULL && i < PM_COUNT(ops) && g->value[0] != '\0') {
		g->op = (enum rollout_gate_op)i;
		g->number = strtod(number, &end);
		if (end != number && *end == '\0' && isfinite(g->number))
			return 0;
	}
	(void)pm_fail(err, PM_USAGE,
	              "gate: prom '%.100s' is not an expression, an operator and a "
	              "number, with blanks between",
	              g->text + 5);
	pm_hint(err, "such as: prom up{job=\"api\"} > 0.99");
	return -1;
}

bool rollout_gate_holds(const struct rollout_gate *g, double sample)
{
	if (isnan(sample))
		return false;
	switch (g->op) {
	case ROLLOUT_GATE_LESS:
		return sample < g->number;
	case ROLLOUT_GATE_LESS_OR_EQUAL:
		return sample <= g->number;
	case ROLLOUT_GATE_MORE:
		return sample > g->number;
	case ROLLOUT_GATE_MORE_OR_EQUAL:
		return sample >= g->number;
	case ROLLOUT_GATE_EQUAL:
		return sample >= g->number && sample <= g->number;
	case ROLLOUT_GATE_NOT_EQUAL:
		return sample < g->number || sample > g->number;
	}
	return false;
}

/* ---- all of them ---- */

static bool take_kind(struct rollout_gate *g, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(g->text, word, len) != 0 || g->text[len] != ' ')
		return false;
	while (g->text[len] == ' ')
		len++;
	(void)snprintf(g->value, sizeof(g->value), "%s", g->text + len);
	return true;
}

int rollout_gate_parse(const char *text, size_t len, struct rollout_gate *out, struct pm_error *err)
{
	*out = (struct rollout_gate){ .kind = ROLLOUT_GATE_EXEC };
	while (len > 0 && *text == ' ') {
		text++;
		len--;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	if (len >= sizeof(out->text))
		return pm_fail(err, PM_USAGE, "gate: at most %d bytes each",
		               ROLLOUT_GATE_BYTES - 1);
	memcpy(out->text, text, len);
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)text[i]))
			return pm_fail(err, PM_USAGE, "gate: a control character");
	if (take_kind(out, "exec"))
		return take_name(out, err);
	if (take_kind(out, "http")) {
		out->kind = ROLLOUT_GATE_HTTP;
		return take_url(out, err);
	}
	if (take_kind(out, "prom")) {
		out->kind = ROLLOUT_GATE_PROM;
		return take_query(out, err);
	}
	(void)pm_fail(err, PM_USAGE, "gate: '%.60s' is not exec, http or prom", out->text);
	pm_hint(err, "'exec NAME', 'http http://HOST/PATH' or 'prom EXPR > NUMBER'");
	return -1;
}
