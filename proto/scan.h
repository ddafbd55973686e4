/* scan.h - the common part of readers of short expressions: where we are, and what we kept. Pure.
 */
#ifndef PM_PROTO_SCAN_H
#define PM_PROTO_SCAN_H

#include "proto/error.h"

struct pm_scan {
	const char *what;      /* begins each error: "--where" */
	const char *text, *at; /* borrowed: all of it, and the next byte to read */
	char *to;              /* where words are kept; the reader made room for all of them */
	struct pm_error *err;
};

/* "WHAT, at N: WANT expected" with PM_USAGE; -1. */
int pm_scan_bad(struct pm_scan *s, const char *want);

void pm_scan_blanks(struct pm_scan *s);

/* Keep a copy of len bytes with a NUL behind; what they were read from is not passed. */
const char *pm_scan_keep(struct pm_scan *s, const char *from, size_t len);

#endif
