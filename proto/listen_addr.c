#include "proto/listen_addr.h"

#include <arpa/inet.h>
#include <string.h>

static const struct {
	const char *prefix;
	enum listen_kind kind;
} kinds[] = {
	{ "tcp://", LISTEN_TCP },
	{ "udp://", LISTEN_UDP },
	{ "unix://", LISTEN_UNIX },
};

static int bad(struct pm_error *err, const char *text)
{
	pm_fail(err, PM_CONFIG, "listen: \"%.80s\" is not an address to listen on", text);
	pm_hint(err, "tcp://ADDRESS:PORT, udp://ADDRESS:PORT or unix:///PATH, numbers only");
	return -1;
}

/* NAME= before the scheme. Returns what follows it, NULL when the name is not one. */
static const char *take_name(const char *text, struct listen_addr *out)
{
	size_t len = strcspn(text, "=/:");

	if (text[len] != '=')
		return text;
	if (len == 0 || len >= sizeof(out->name))
		return NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return NULL;
	memcpy(out->name, text, len);
	return text + len + 1;
}

static bool take_port(const char *text, uint16_t *port)
{
	unsigned value = 0;
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 5 || text[len] != '\0')
		return false;
	for (; *text != '\0'; text++)
		value = value * 10 + (unsigned)(*text - '0');
	*port = (uint16_t)value;
	return value >= 1 && value <= 65535; /* nobody could know a port that we chose */
}

/* The address between the scheme and the port, brackets gone. */
static bool take_host(struct listen_addr *out)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(out->address, "*") == 0)
		out->address[0] = '\0';
	if (out->address[0] == '\0') {
		out->v6 = out->dual = true;
		return true;
	}
	if (inet_pton(AF_INET, out->address, &v4) == 1) {
		if (v4.s_addr == htonl(INADDR_ANY))
			out->address[0] = '\0';
		return true;
	}
	if (inet_pton(AF_INET6, out->address, &v6) != 1)
		return false;
	out->v6 = true;
	out->dual = IN6_IS_ADDR_UNSPECIFIED(&v6);
	if (out->dual)
		out->address[0] = '\0';
	return true;
}

static bool take_inet(const char *text, struct listen_addr *out)
{
	const char *colon = strrchr(text, ':');
	bool brackets = text[0] == '[';
	size_t len;

	if (colon == NULL || !take_port(colon + 1, &out->port))
		return false;
	len = (size_t)(colon - text);
	if (brackets) {
		if (len < 3 || text[len - 1] != ']')
			return false;
		text++;
		len -= 2;
	}
	if (len >= sizeof(out->address) || brackets != (memchr(text, ':', len) != NULL))
		return false;
	memcpy(out->address, text, len);
	return take_host(out);
}

static bool take_path(const char *text, struct listen_addr *out)
{
	size_t len = strlen(text);

	if (len < 2 || len >= sizeof(out->address) || (text[0] != '/' && text[0] != '@'))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	memcpy(out->address, text, len);
	return true;
}

int listen_addr_parse(const char *text, struct listen_addr *out, struct pm_error *err)
{
	struct listen_addr a = { .kind = LISTEN_TCP };
	const char *at = take_name(text, &a);

	for (size_t i = 0; at != NULL && i < PM_COUNT(kinds); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(at, kinds[i].prefix, len) != 0)
			continue;
		a.kind = kinds[i].kind;
		if (a.kind == LISTEN_UNIX ? !take_path(at + len, &a) : !take_inet(at + len, &a))
			break;
		*out = a;
		return 0;
	}
	return bad(err, text);
}

bool listen_addr_same(const struct listen_addr *a, const struct listen_addr *b)
{
	return a->kind == b->kind && a->v6 == b->v6 && a->port == b->port &&
	       strcmp(a->address, b->address) == 0;
}
