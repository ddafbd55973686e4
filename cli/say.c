/* say.c - messages of both styles: pmctl's own and PM2's. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/color.h"
#include "cli/ctx.h"
#include "proto/sanitize.h"

const char *say_cleaned(struct pm_buf *scratch, const char *text)
{
	pm_buf_reset(scratch);
	pm_sanitize(text, strlen(text), PM_SANITIZE_ONE_LINE, scratch);
	return scratch->bytes == NULL || scratch->failed ? "" : scratch->bytes;
}

static void vprint(FILE *to, bool color, enum color prefix_color, const char *prefix,
                   const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));

static void vprint(FILE *to, bool color, enum color prefix_color, const char *prefix,
                   const char *fmt, va_list ap)
{
	PM_BUF out = { 0 };
	PM_FREE char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		return;
	}
	color_add(&out, color, prefix_color, prefix);
	pm_sanitize(text, strlen(text), 0, &out);
	pm_buf_char(&out, '\n');
	if (out.failed)
		return;
	if (to == stderr)
		(void)fflush(stdout); /* what came first is seen first; main looks at errors */
	(void)fwrite(out.bytes, 1, out.len, to);
}

void say(const struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	if (ctx->silent || ctx->json)
		return;
	va_start(ap, fmt);
	vprint(stdout, ctx->color_out && ctx->as_pm2, COLOR_GREEN, ctx->as_pm2 ? "[PM2] " : "", fmt,
	       ap);
	va_end(ap);
}

void say_plain(const struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	if (ctx->silent || ctx->json)
		return;
	va_start(ap, fmt);
	vprint(stdout, false, COLOR_NONE, "", fmt, ap);
	va_end(ap);
}

void say_colored(const struct ctx *ctx, enum color color, const char *fmt, ...)
{
	PM_FREE char *text = NULL;
	PM_BUF out = { 0 };
	va_list ap;
	int n;

	if (ctx->silent || ctx->json)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return;
	}
	if (ctx->color_out)
		pm_buf_str(&out, color_on(color));
	pm_sanitize(text, strlen(text), 0, &out);
	if (ctx->color_out)
		pm_buf_str(&out, color_off(color));
	pm_buf_char(&out, '\n');
	if (!out.failed)
		(void)fwrite(out.bytes, 1, out.len, stdout);
}

void say_warn_out(const struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	if (ctx->silent)
		return;
	va_start(ap, fmt);
	vprint(stdout, ctx->color_out, COLOR_YELLOW, "[PM2][WARN] ", fmt, ap);
	va_end(ap);
}

void say_plain_error(const struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	if (ctx->silent)
		return;
	va_start(ap, fmt);
	vprint(stderr, false, COLOR_NONE, "", fmt, ap);
	va_end(ap);
}

void say_warn(const struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	if (ctx->silent)
		return;
	va_start(ap, fmt);
	vprint(stderr, ctx->color_err, COLOR_YELLOW,
	       ctx->as_pm2 ? "[PM2][WARN] " : "pmctl: warning: ", fmt, ap);
	va_end(ap);
}

static void print_error(const struct ctx *ctx, const char *fmt, ...) PM_PRINTF(2, 3);

static void print_error(const struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(stderr, ctx->color_err, COLOR_RED, ctx->as_pm2 ? "[PM2][ERROR] " : "pmctl: ", fmt,
	       ap);
	va_end(ap);
}

void say_error(const struct ctx *ctx, const struct pm_error *err)
{
	/* Under the name pm2 what was said already leaves no text for the end. */
	if (ctx->as_pm2 && (ctx->silent || err->what[0] == '\0'))
		return;
	if (ctx->as_pm2 || err->hint[0] == '\0')
		print_error(ctx, "%s", err->what);
	else
		print_error(ctx, "%s; %s", err->what, err->hint);
}

int say_buf(const struct pm_buf *buf, struct pm_error *err)
{
	if (buf->failed)
		return pm_fail(err, PM_NO_MEMORY, "print the answer");
	if (buf->len > 0)
		(void)fwrite(buf->bytes, 1, buf->len, stdout); /* main looks at ferror() */
	return 0;
}
