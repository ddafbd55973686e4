/*
 * notify.h - tell systemd how we are: sd_notify(3) without its library.
 *
 * source  sd_notify(3), "Notes" on the protocol; systemd.service(5) Type=notify, WatchdogSec=
 */
#ifndef PM_AGENT_NOTIFY_H
#define PM_AGENT_NOTIFY_H

#include <stdbool.h>

#include "proto/base.h"

/*
 * Send "READY=1", "STATUS=...", ... to $NOTIFY_SOCKET; lines are parted by \n.
 *
 * returns  false when nobody asked for it or the message did not go out; never blocks
 */
bool notify_send(const char *fmt, ...) PM_PRINTF(1, 2);

/* "RELOADING=1" with the time stamp that systemd 253 wants beside it. */
void notify_reloading(void);

/* How often WATCHDOG=1 is due, in ms: half of $WATCHDOG_USEC; 0: never. */
uint64_t notify_watchdog_ms(void);

#endif
