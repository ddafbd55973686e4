/* base.h - the macros and helpers that every file here may use. */
#ifndef PM_PROTO_BASE_H
#define PM_PROTO_BASE_H

#include <stddef.h>
#include <stdint.h>

#define PM_COUNT(a)     (sizeof(a) / sizeof((a)[0]))
#define PM_MUST_CHECK   __attribute__((warn_unused_result))
#define PM_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define PM_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define PM_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Cleanup by attribute: initialise before the first return. */
#define PM_CLEANUP(fn) __attribute__((cleanup(fn)))
#define PM_FREE        PM_CLEANUP(pm_freep)
#define PM_CLOSE       PM_CLEANUP(pm_closep)

/* Hand a value on: the variable is NULL afterwards and its cleanup does nothing. */
#define PM_STEAL(p)                                 \
	__extension__({                             \
		__typeof__(p) *pm_from = &(p);      \
		__typeof__(p) pm_stolen = *pm_from; \
		*pm_from = NULL;                    \
		pm_stolen;                          \
	})

/* The same for a descriptor. */
#define PM_STEAL_FD(fd)                   \
	__extension__({                   \
		int *pm_from = &(fd);     \
		int pm_stolen = *pm_from; \
		*pm_from = -1;            \
		pm_stolen;                \
	})

void pm_freep(void *p);  /* p points at a pointer */
void pm_closep(int *fd); /* closes when >= 0 and sets it to -1; errno is kept */

/* Write all of it; 0, or -1 with errno, and a part may be written. */
int pm_write_all(int fd, const void *bytes, size_t len);

/*
 * Allocation. Zeroed memory, or NULL with errno ENOMEM; every result is checked.
 * pm_alloc_fail_at(n) makes the n-th allocation from now fail, and those after it; 0 turns that off
 * (tests).
 */
void *pm_calloc(size_t n, size_t size) PM_MUST_CHECK;
void *pm_realloc(void *p, size_t size) PM_MUST_CHECK;
char *pm_strdup(const char *s) PM_MUST_CHECK; /* NULL in, NULL out without error */
char *pm_strndup(const char *s, size_t len) PM_MUST_CHECK;
void pm_alloc_fail_at(unsigned n);

/* Monotonic milliseconds that also count suspend (CLOCK_BOOTTIME); calendar time in ms since the
 * epoch. */
uint64_t pm_now_ms(void);
int64_t pm_wall_ms(void);

#endif
