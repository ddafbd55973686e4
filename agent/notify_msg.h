/*
 * notify_msg.h - what an app says over NOTIFY_SOCKET.  Pure; the bytes are hostile.
 *
 * source  sd_notify(3), "Well-known assignments"
 */
#ifndef PM_AGENT_NOTIFY_MSG_H
#define PM_AGENT_NOTIFY_MSG_H

#include <stdbool.h>

#include "proto/base.h"

/* One datagram; a longer one is dropped. systemd's own limit is a page. */
#define NOTIFY_MSG_MAX 4096
/* Of a status that much is kept, cut between characters. */
#define NOTIFY_STATUS_MAX 160

struct notify_msg {
	bool ready, stopping;
	bool watchdog; /* it lives */
	bool trigger;  /* it asks to be treated as if it did not */
	bool has_status;
	char status[NOTIFY_STATUS_MAX]; /* UTF-8 without control characters */
};

/* Read all assignments; unknown ones, as those for systemd alone, are passed over. */
void notify_msg_parse(const char *bytes, size_t len, struct notify_msg *out);

#endif
