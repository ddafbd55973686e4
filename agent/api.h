/* api.h - what each request on the control socket does. */
#ifndef PM_AGENT_API_H
#define PM_AGENT_API_H

#include "agent/control.h"

/* The handlers for control_create(); their arg is the struct super. */
extern const struct control_handlers api_handlers;

#endif
