/* secret.h - small pieces of memory for keys: locked, kept out of core dumps, wiped when freed.
 *
 * A piece from sodium_malloc() costs four pages of address space and two of memory, too much for
 * each of thousands of sessions.  So pages of it are cut into pieces here; what an overrun may hit
 * is another piece, and the guard pages stand around them all.  One thread only.
 */
#ifndef PM_PROTO_SECRET_H
#define PM_PROTO_SECRET_H

#include "proto/base.h"

#define PM_SECRET_MAX 512 /* bytes of the largest piece */

/* Zeroed memory of at most PM_SECRET_MAX bytes, 16-aligned.  NULL: none left. */
void *pm_secret_alloc(size_t size) PM_MUST_CHECK;
void pm_secret_free(void *secret); /* NULL is fine */
void pm_secret_freep(void *p);     /* p points at a pointer */

#define PM_SECRET PM_CLEANUP(pm_secret_freep)

/* Pages held at the moment: tests. */
unsigned pm_secret_pages(void);

#endif
