#include "proto/sanitize.h"

#include "proto/buf.h"
#include "proto/utf8.h"

/* Longest colour sequence let through, without ESC [ and m. */
#define SGR_MAX 48

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7F;
}

/* Characters that show nothing but change how, or in which order, others are shown. */
static bool is_invisible(uint32_t cp)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x80, 0x9F },       /* C1 */
		{ 0x61C, 0x61C },     /* Arabic letter mark */
		{ 0x200E, 0x200F },   /* left-to-right and right-to-left mark */
		{ 0x2028, 0x202E },   /* separators, embeddings, overrides */
		{ 0x2066, 0x206F },   /* isolates, deprecated formatting */
		{ 0xFEFF, 0xFEFF },   /* byte order mark */
		{ 0xFFF9, 0xFFFB },   /* interlinear annotation */
		{ 0xE0000, 0xE007F }, /* tags */
	};

	for (size_t i = 0; i < PM_COUNT(ranges); i++)
		if (cp >= ranges[i].first && cp <= ranges[i].last)
			return true;
	return false;
}

/* 38, 48 and 58 take 5;n or 2;r;g;b, whose numbers are no attributes: how many parameters follow
 * that are to be skipped. */
static unsigned skip_after(unsigned attribute, unsigned kind)
{
	if (attribute != 38 && attribute != 48 && attribute != 58)
		return 0;
	return kind == 5 ? 2 : kind == 2 ? 4 : 0;
}

/* Whether the n parameters hide text (SGR 8). */
static bool hides(const unsigned *params, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (params[i] == 8)
			return true;
		if (i + 1 < n)
			i += skip_after(params[i], params[i + 1]);
	}
	return false;
}

/* Length of a colour sequence at s that may pass, else 0. *reset: it leaves no colour set. */
static size_t sgr_len(const char *s, size_t len, bool *reset)
{
	unsigned params[SGR_MAX + 1] = { 0 };
	size_t n = 0, i = 2;

	if (len < 3 || s[0] != '\x1b' || s[1] != '[')
		return 0;
	for (; i < len && i < SGR_MAX + 2; i++) {
		if (s[i] == ';')
			n++;
		else if (s[i] >= '0' && s[i] <= '9' && params[n] < 1000)
			params[n] = params[n] * 10 + (unsigned)(s[i] - '0');
		else
			break;
	}
	if (i == len || s[i] != 'm' || hides(params, n + 1))
		return 0;
	*reset = n == 0 && params[0] == 0;
	return i + 1;
}

static void put_hex(const char *lead, uint32_t value, int digits, struct pm_buf *out)
{
	pm_buf_printf(out, "%s%0*x", lead, digits, value);
}

/* One character that is not plain; returns its length. */
static size_t put_special(const char *s, size_t len, unsigned flags, bool *coloured,
                          struct pm_buf *out)
{
	uint32_t cp = 0;
	bool reset;
	int n;

	if ((flags & PM_SANITIZE_COLOURS) != 0) {
		const size_t sgr = sgr_len(s, len, &reset);

		if (sgr > 0) {
			pm_buf_add(out, s, sgr);
			*coloured = !reset;
			return sgr;
		}
	}
	n = pm_utf8_next(s, len, &cp);
	if (n < 0)
		for (int i = 0; i < -n; i++)
			put_hex("\\x", (unsigned char)s[i], 2, out);
	else if (n == 1)
		put_hex("\\x", cp, 2, out);
	else if (is_invisible(cp))
		put_hex(cp > 0xFFFF ? "\\U" : "\\u", cp, cp > 0xFFFF ? 8 : 4, out);
	else
		pm_buf_add(out, s, (size_t)n);
	return (size_t)(n < 0 ? -n : n);
}

static void reset_colours(bool *coloured, struct pm_buf *out)
{
	if (*coloured)
		pm_buf_str(out, "\x1b[0m");
	*coloured = false;
}

void pm_sanitize(const char *s, size_t len, unsigned flags, struct pm_buf *out)
{
	const bool lines = (flags & PM_SANITIZE_ONE_LINE) == 0;
	bool coloured = false;
	size_t i = 0;

	while (i < len && !out->failed) {
		const size_t start = i;

		while (i < len && (is_plain((unsigned char)s[i]) || (lines && s[i] == '\t')))
			i++;
		pm_buf_add(out, s + start, i - start);
		if (i == len)
			break;
		if (lines && s[i] == '\r' && i + 1 < len && s[i + 1] == '\n')
			i++;
		if (lines && s[i] == '\n') {
			reset_colours(&coloured, out);
			pm_buf_char(out, '\n');
			i++;
		} else
			i += put_special(s + i, len - i, flags, &coloured, out);
	}
	reset_colours(&coloured, out);
}
