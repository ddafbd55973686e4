#include "cli/color.h"

#include <string.h>

static const struct {
	const char *on, *off;
} sequences[COLOR_COUNT] = {
	[COLOR_NONE] = { "", "" },
	[COLOR_GREEN] = { "\033[32m", "\033[39m" },
	[COLOR_RED] = { "\033[31m", "\033[39m" },
	[COLOR_YELLOW] = { "\033[33m", "\033[39m" },
	[COLOR_BLUE] = { "\033[34m", "\033[39m" },
	[COLOR_CYAN] = { "\033[36m", "\033[39m" },
	[COLOR_GREY] = { "\033[90m", "\033[39m" },
	[COLOR_BOLD] = { "\033[1m", "\033[22m" },
	[COLOR_BOLD_GREY] = { "\033[1m\033[90m", "\033[39m\033[22m" },
	[COLOR_BOLD_CYAN] = { "\033[1m\033[36m", "\033[39m\033[22m" },
	[COLOR_BOLD_GREEN] = { "\033[32m\033[1m", "\033[22m\033[39m" },
	[COLOR_BOLD_RED] = { "\033[31m\033[1m", "\033[22m\033[39m" },
	[COLOR_BOLD_BLUE] = { "\033[34m\033[1m", "\033[22m\033[39m" },
	[COLOR_BOLD_INVERSE] = { "\033[7m\033[1m", "\033[22m\033[27m" },
	[COLOR_INVERSE] = { "\033[7m", "\033[27m" },
};

const char *color_on(enum color color)
{
	return sequences[color].on;
}

const char *color_off(enum color color)
{
	return sequences[color].off;
}

void color_add(struct pm_buf *out, bool on, enum color color, const char *text)
{
	if (on)
		pm_buf_str(out, sequences[color].on);
	pm_buf_str(out, text);
	if (on)
		pm_buf_str(out, sequences[color].off);
}

bool color_parse_when(const char *text, enum color_when *out)
{
	static const char *const words[] = {
		[COLOR_AUTO] = "auto",
		[COLOR_ALWAYS] = "always",
		[COLOR_NEVER] = "never",
	};

	for (size_t i = 0; i < PM_COUNT(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*out = (enum color_when)i;
			return true;
		}
	return false;
}

bool color_wanted(enum color_when asked, bool is_terminal, const char *no_color, const char *force,
                  const char *term)
{
	if (asked != COLOR_AUTO)
		return asked == COLOR_ALWAYS;
	if (no_color != NULL && no_color[0] != '\0')
		return false;
	if (force != NULL && force[0] != '\0' && strcmp(force, "0") != 0)
		return true;
	return is_terminal && (term == NULL || strcmp(term, "dumb") != 0);
}
