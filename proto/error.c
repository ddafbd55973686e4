#include "proto/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum pm_code code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOMEM:
		return PM_NO_MEMORY;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return PM_NO_SPACE;
	case EACCES:
	case EPERM:
		return PM_DENIED;
	case EMFILE:
	case ENFILE:
		return PM_LIMIT;
	default:
		return PM_INTERNAL;
	}
}

int pm_fail(struct pm_error *err, enum pm_code code, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	(void)vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	return -1;
}

int pm_fail_errno(struct pm_error *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	int len;

	err->code = code_of_errno(errnum);
	err->hint[0] = '\0';
	va_start(ap, fmt);
	len = vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len < sizeof(err->what))
		(void)snprintf(err->what + len, sizeof(err->what) - (size_t)len, ": %s",
		               strerror(errnum));
	return -1;
}

int pm_wrap(struct pm_error *err, const char *fmt, ...)
{
	char inner[sizeof(err->what)];
	va_list ap;
	int len;

	memcpy(inner, err->what, sizeof(inner));
	va_start(ap, fmt);
	len = vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len < sizeof(err->what))
		(void)snprintf(err->what + len, sizeof(err->what) - (size_t)len, ": %.250s", inner);
	return -1;
}

void pm_hint(struct pm_error *err, const char *fmt, ...)
{
	va_list ap;

	if (err->hint[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}

static const struct {
	enum pm_code code;
	int status;
	const char *name;
} codes[] = {
#define PM_CODE_ROW(c, wire, status, name) { c, status, name },
	PM_CODES(PM_CODE_ROW)
#undef PM_CODE_ROW
};

const char *pm_code_name(enum pm_code code)
{
	for (size_t i = 0; i < PM_COUNT(codes); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "internal";
}

int pm_code_exit_status(enum pm_code code)
{
	for (size_t i = 0; i < PM_COUNT(codes); i++)
		if (codes[i].code == code)
			return codes[i].status;
	return 1;
}

enum pm_code pm_code_from_wire(uint32_t wire)
{
	for (size_t i = 0; i < PM_COUNT(codes); i++)
		if ((uint32_t)codes[i].code == wire)
			return codes[i].code;
	return PM_INTERNAL;
}
