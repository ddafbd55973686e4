#include "proto/base.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* 0: never; tests only. Atomic because workers allocate, too. */
static _Atomic unsigned fail_at;

void pm_freep(void *p)
{
	void *victim;

	memcpy(&victim, p, sizeof(victim));
	free(victim);
}

void pm_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* nothing to do about a failing close of what we give up */
	*fd = -1;
	errno = saved;
}

int pm_write_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0) { /* of no file that we know: it would go on for ever */
			errno = ENOSPC;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void pm_alloc_fail_at(unsigned n)
{
	atomic_store_explicit(&fail_at, n, memory_order_relaxed);
}

static int alloc_fails(void)
{
	unsigned n = atomic_load_explicit(&fail_at, memory_order_relaxed);

	while (n > 1)
		if (atomic_compare_exchange_weak_explicit(&fail_at, &n, n - 1, memory_order_relaxed,
		                                          memory_order_relaxed))
			return 0;
	if (n == 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *pm_calloc(size_t n, size_t size)
{
	return alloc_fails() ? NULL : calloc(n, size);
}

void *pm_realloc(void *p, size_t size)
{
	return alloc_fails() ? NULL : realloc(p, size);
}

char *pm_strdup(const char *s)
{
	return s == NULL ? NULL : pm_strndup(s, strlen(s));
}

char *pm_strndup(const char *s, size_t len)
{
	char *copy = pm_calloc(len + 1, 1);

	if (copy != NULL)
		memcpy(copy, s, len);
	return copy;
}

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(id, &ts); /* fails only for a clock that does not exist */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t pm_now_ms(void)
{
	return (uint64_t)clock_ms(CLOCK_BOOTTIME);
}

int64_t pm_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}
