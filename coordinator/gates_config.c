/* gates_config.c - what the administrator of a coordinator lets gates do. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/gates.h"
#include "proto/limits.h"
#include "proto/units.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool take_address(const char *text, struct gates_prefix *out, unsigned *width)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		memcpy(out->bytes, mapped, sizeof(mapped));
		memcpy(out->bytes + sizeof(mapped), &v4, sizeof(v4));
		*width = 32;
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	memcpy(out->bytes, &v6, sizeof(v6));
	*width = 128;
	return true;
}

int gates_allow(struct gates_config *c, const char *prefix, struct pm_error *err)
{
	struct gates_prefix p;
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(prefix, "/");
	unsigned width;
	int64_t bits;

	if (c->n_allow == GATES_ALLOW_MAX)
		return pm_fail(err, PM_USAGE, "--gate-allow: at most %d", GATES_ALLOW_MAX);
	if (len >= sizeof(address))
		len = 0;
	memcpy(address, prefix, len);
	address[len] = '\0';
	if (!take_address(address, &p, &width))
		return pm_fail(err, PM_USAGE,
		               "--gate-allow %.60s: an address or a prefix, such as 10.1.0.0/16",
		               prefix);
	bits = width;
	if (prefix[len] == '/' &&
	    (!pm_parse_int(prefix + len + 1, &bits) || bits < 0 || bits > width))
		return pm_fail(err, PM_USAGE, "--gate-allow %.60s: 0 to %u bits", prefix, width);
	p.bits = (unsigned)bits + 128 - width;
	c->allow[c->n_allow++] = p;
	return 0;
}

int gates_set_prometheus(struct gates_config *c, const char *url, struct pm_error *err)
{
	size_t len;

	if (rollout_gate_parse_url(url, &c->prometheus, c->prometheus_path, err) < 0)
		return pm_wrap(err, "--prometheus");
	if (strchr(c->prometheus_path, '?') != NULL)
		return pm_fail(err, PM_USAGE, "--prometheus %.80s: without a query", url);
	len = strlen(c->prometheus_path);
	while (len > 0 && c->prometheus_path[len - 1] == '/')
		c->prometheus_path[--len] = '\0';
	c->has_prometheus = true;
	return 0;
}

static bool is_in(const struct gates_prefix *p, const uint8_t bytes[16])
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (memcmp(p->bytes, bytes, whole) != 0)
		return false;
	return rest == 0 || ((p->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

bool gates_may_ask(const struct gates_config *c, const struct sockaddr *to)
{
	uint8_t bytes[16];

	if (to->sa_family == AF_INET) {
		memcpy(bytes, mapped, sizeof(mapped));
		memcpy(bytes + sizeof(mapped),
		       &((const struct sockaddr_in *)(const void *)to)->sin_addr, 4);
	} else if (to->sa_family == AF_INET6) {
		memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)to)->sin6_addr, 16);
	} else {
		return false;
	}
	for (unsigned i = 0; i < c->n_allow; i++)
		if (is_in(&c->allow[i], bytes))
			return true;
	return false;
}

static int check(const struct gates_config *c, const struct rollout_gate *g, struct pm_error *err)
{
	char path[PM_PATH_MAX];

	switch (g->kind) {
	case ROLLOUT_GATE_EXEC:
		return gate_exec_find(c, g->value, path, sizeof(path), err);
	case ROLLOUT_GATE_HTTP:
		if (c->n_allow > 0)
			return 0;
		(void)pm_fail(err, PM_DENIED, "gate: this coordinator asks no addresses");
		pm_hint(err, "its administrator allows some: pmd coordinator --gate-allow PREFIX");
		return -1;
	case ROLLOUT_GATE_PROM:
		if (c->has_prometheus)
			return 0;
		(void)pm_fail(err, PM_DENIED, "gate: this coordinator knows of no Prometheus");
		pm_hint(err, "its administrator names one: pmd coordinator --prometheus URL");
		return -1;
	}
	return 0;
}

int gates_check(const struct gates_config *c, const struct rollout_params *p, struct pm_error *err)
{
	struct rollout_gate g;

	for (size_t i = 0; rollout_params_gate(p, i, &g); i++)
		if (check(c, &g, err) < 0)
			return -1;
	return 0;
}
