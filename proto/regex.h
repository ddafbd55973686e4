/* regex.h - regular expressions from outside, bounded so that none takes the program's time. Pure.
 */
#ifndef PM_PROTO_REGEX_H
#define PM_PROTO_REGEX_H

#include <regex.h>

#include "proto/error.h"

/*
 * Compile a POSIX extended expression, for regexec(3) without positions.
 *
 * refused    back-references, and repetitions with numbers or + that multiply to more than
 *            PM_REGEX_REPEAT_MAX: all make a short text a long computation (CVE-2010-4051)
 * ownership  *out is the caller's, for regfree()
 * errors     PM_USAGE, PM_LIMIT (over PM_REGEX_MAX bytes), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_regex_compile(const char *text, size_t len, regex_t *out,
                                   struct pm_error *err);

#endif
