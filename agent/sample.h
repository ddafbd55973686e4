/* sample.h - memory and CPU of every instance, over its whole tree; and the memory limit. */
#ifndef PM_AGENT_SAMPLE_H
#define PM_AGENT_SAMPLE_H

#include "agent/super.h"

struct sampler;

PM_MUST_CHECK int sample_create(struct super *su, struct sampler **out, struct pm_error *err);
void sample_close(struct sampler *s);

/* Bring every instance's usage up to date, unless that was done a moment ago. */
void sample_now(struct sampler *s);

/* Sample by itself, each second, as long as some app that runs has a memory limit; else no timer
 * runs at all. */
void sample_refresh(struct sampler *s);

#endif
