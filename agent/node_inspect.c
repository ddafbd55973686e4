#include "agent/node_inspect.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535
#define WORD_MAX 320 /* a host's name has at most 253 */

/* [HOST:]PORT, HOST, or [ADDRESS] with or without a port. */
static unsigned port_of(const char *value, size_t len)
{
	size_t digits = 0;

	while (digits < len && isdigit((unsigned char)value[len - digits - 1]))
		digits++;
	if (digits == 0 || digits > 5 || (digits < len && value[len - digits - 1] != ':'))
		return NODE_INSPECT_PORT;
	return (unsigned)strtoul(value + len - digits, NULL, 10);
}

/* What node is told about its debugger, option after option. */
struct told {
	unsigned port;
	bool found;
	bool value_follows; /* the next one is a port */
};

/* Node takes `_` for `-`. */
static bool is_named(const char *option, size_t len, const char *name)
{
	if (len != strlen(name))
		return false;
	for (size_t i = 0; i < len; i++)
		if (option[i] != name[i] && (option[i] != '_' || name[i] != '-' || i < 2))
			return false;
	return true;
}

static void hear(struct told *t, const char *option, size_t len)
{
	static const struct {
		const char *name;
		bool needs_value;
	} options[] = { { "--inspect", false },
		        { "--inspect-brk", false },
		        { "--inspect-wait", false },
		        { "--inspect-port", true },
		        { "--debug-port", true } };
	const char *equals = memchr(option, '=', len);
	size_t name_len = equals == NULL ? len : (size_t)(equals - option);

	if (t->value_follows) {
		t->value_follows = false;
		t->port = port_of(option, len);
		return;
	}
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (!is_named(option, name_len, options[i].name))
			continue;
		t->found = true;
		/* An option without a value leaves what another has said. */
		if (equals != NULL)
			t->port = port_of(equals + 1, len - name_len - 1);
		else
			t->value_follows = options[i].needs_value;
	}
}

/* Between spaces, with double quotes and, within them, backslashes. A longer word than fits is none
 * of those that matter. Returns what follows it. */
static const char *next_word(const char *at, char *word, size_t size, size_t *len)
{
	bool quoted = false;

	*len = 0;
	for (at += strspn(at, " "); *at != '\0' && (quoted || *at != ' '); at++) {
		if (*at == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && *at == '\\' && at[1] != '\0')
			at++;
		if (*len < size)
			word[(*len)++] = *at;
	}
	return at;
}

static void hear_environment(struct told *t, const char *at)
{
	char word[WORD_MAX];
	size_t len;

	while (at != NULL && *at != '\0') {
		at = next_word(at, word, sizeof(word), &len);
		if (len > 0 && len < sizeof(word))
			hear(t, word, len);
	}
	t->value_follows = false;
}

unsigned node_inspect_port(char *const *args, size_t n_args, const char *node_options,
                           unsigned worker, unsigned generation)
{
	struct told t = { .port = NODE_INSPECT_PORT };

	hear_environment(&t, node_options); /* the command line's go before */
	for (size_t i = 0; i < n_args; i++)
		hear(&t, args[i], strlen(args[i]));
	if (!t.found || t.port == 0 || worker > PORT_MAX ||
	    t.port + 2 * worker + generation > PORT_MAX)
		return 0;
	return t.port + 2 * worker + generation;
}
