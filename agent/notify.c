#include "agent/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static bool address(struct sockaddr_un *addr, socklen_t *len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path == NULL ? 0 : strlen(path);

	if (n < 2 || n >= sizeof(addr->sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(addr->sun_path, path, n);
	if (path[0] == '@')
		addr->sun_path[0] = '\0'; /* the abstract name space */
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
	return true;
}

bool notify_send(const char *fmt, ...)
{
	struct sockaddr_un addr;
	socklen_t len;
	char text[512];
	va_list ap;
	PM_CLOSE int fd = -1;
	int n;

	if (!address(&addr, &len))
		return false;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || n < 0)
		return false;
	n = PM_MIN(n, (int)sizeof(text) - 1);
	return sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&addr, len) == n;
}

void notify_reloading(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	(void)notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	                  (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
}

uint64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	char *end;
	uint64_t value;

	if (usec == NULL)
		return 0;
	value = strtoull(usec, &end, 10);
	return *end != '\0' ? 0 : value / 2000;
}
