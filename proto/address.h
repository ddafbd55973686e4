/* address.h - where a coordinator is: HOST:PORT, as told by people and by tokens.  Pure. */
#ifndef PM_PROTO_ADDRESS_H
#define PM_PROTO_ADDRESS_H

#include <stdbool.h>

#include "proto/error.h"

#define PM_DEFAULT_PORT  7443
#define PM_HOST_MAX      253 /* bytes of a name in the DNS: RFC 1035 */
#define PM_ADDRESS_TEXT  (PM_HOST_MAX + sizeof("[]:65535"))
#define PM_ADDRESSES_MAX 8 /* of one coordinator; more are refused */

struct pm_address {
	char host[PM_HOST_MAX + 1]; /* a name, or a numeric address without brackets */
	uint16_t port;
};

/*
 * Read HOST, HOST:PORT, [IPV6] or [IPV6]:PORT, with or without tcp:// before it.
 *
 * errors     PM_CONFIG
 */
PM_MUST_CHECK int pm_address_parse(const char *text, struct pm_address *out, struct pm_error *err);

/* HOST:PORT, with brackets where they are needed. */
void pm_address_format(const struct pm_address *a, char out[PM_ADDRESS_TEXT]);

#endif
