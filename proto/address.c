#include "proto/address.h"

#include <stdio.h>
#include <string.h>

/* A name as in RFC 1123, with the underscores that people use; or digits and dots. */
static bool is_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		bool inner = c == '-' || c == '.' || c == '_';

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (inner && i > 0)))
			return false;
	}
	return len > 0;
}

/* Whether it may be a numeric IPv6 address; who dials finds out if it is one. */
static bool is_v6(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr("0123456789abcdefABCDEF:.", s[i]) == NULL)
			return false;
	return len >= 2 && memchr(s, ':', len) != NULL;
}

static int parse_port(const char *s, uint16_t *out)
{
	uint32_t port = 0;

	if (*s == '\0')
		return -1;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || port > UINT16_MAX)
			return -1;
		port = port * 10 + (uint32_t)(*s - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return -1;
	*out = (uint16_t)port;
	return 0;
}

int pm_address_parse(const char *text, struct pm_address *out, struct pm_error *err)
{
	struct pm_address a = { .port = PM_DEFAULT_PORT };
	const char *host = text, *end;
	bool bracket;

	if (strncmp(host, "tcp://", 6) == 0)
		host += 6;
	bracket = *host == '[';
	if (bracket) {
		host++;
		end = strchr(host, ']');
	} else {
		end = host + strcspn(host, ":");
	}
	if (end == NULL || end - host > PM_HOST_MAX ||
	    !(bracket ? is_v6(host, (size_t)(end - host)) : is_name(host, (size_t)(end - host))))
		return pm_fail(err, PM_CONFIG, "'%.64s' is no HOST[:PORT]", text);
	memcpy(a.host, host, (size_t)(end - host));
	end += bracket ? 1 : 0;
	if (*end != '\0' && (*end != ':' || parse_port(end + 1, &a.port) < 0)) {
		(void)pm_fail(err, PM_CONFIG, "'%.64s' has no port from 1 to 65535", text);
		if (strchr(end + 1, ':') != NULL)
			pm_hint(err, "write an IPv6 address in brackets: [2001:db8::1]:7443");
		return -1;
	}
	*out = a;
	return 0;
}

void pm_address_format(const struct pm_address *a, char out[PM_ADDRESS_TEXT])
{
	bool v6 = strchr(a->host, ':') != NULL;

	(void)snprintf(out, PM_ADDRESS_TEXT, "%s%s%s:%u", v6 ? "[" : "", a->host, v6 ? "]" : "",
	               a->port);
}
