#include "agent/node_inspect.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DEFAULT 9229 /* node(1), --inspect */
#define PORT_MAX     65535

/* [HOST:]PORT, HOST, or [ADDRESS] with or without a port. */
static unsigned port_of(const char *value, size_t len)
{
	size_t digits = 0;

	while (digits < len && isdigit((unsigned char)value[len - digits - 1]))
		digits++;
	if (digits == 0 || digits > 5 || (digits < len && value[len - digits - 1] != ':'))
		return PORT_DEFAULT;
	return (unsigned)strtoul(value + len - digits, NULL, 10);
}

/* One option of node's; *port is where it wants a debugger, if it is about that. */
static bool is_inspect(const char *option, size_t len, unsigned *port)
{
	static const char *const names[] = { "--inspect", "--inspect-brk", "--inspect-wait",
		                             "--inspect-port", "--debug-port" };
	const char *equals = memchr(option, '=', len);
	size_t name_len = equals == NULL ? len : (size_t)(equals - option);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name_len == strlen(names[i]) && memcmp(option, names[i], name_len) == 0) {
			/* An option without a value leaves what another has said. */
			if (equals != NULL)
				*port = port_of(equals + 1, len - name_len - 1);
			return true;
		}
	return false;
}

static bool in_environment(const char *at, unsigned *port)
{
	bool found = false;

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, " \t");

		found |= is_inspect(at, len, port);
		at += len + strspn(at + len, " \t");
	}
	return found;
}

unsigned node_inspect_port(char *const *args, size_t n_args, const char *node_options,
                           unsigned worker, unsigned generation)
{
	unsigned port = PORT_DEFAULT;
	bool found = in_environment(node_options, &port); /* the command line's go before */

	for (size_t i = 0; i < n_args; i++)
		found |= is_inspect(args[i], strlen(args[i]), &port);
	if (!found || port == 0 || worker > PORT_MAX || port + 2 * worker + generation > PORT_MAX)
		return 0;
	return port + 2 * worker + generation;
}
