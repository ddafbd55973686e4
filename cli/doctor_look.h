/*
 * doctor_look.h - looks at this machine for the doctor: files, file systems, clock, units.
 *
 * As its caller and no one else: nothing is run as another user, nothing is asked of systemd, and
 * no file is written. What only the agent knows it is asked for (Pm__AgentFacts).
 */
#ifndef PM_CLI_DOCTOR_LOOK_H
#define PM_CLI_DOCTOR_LOOK_H

#include "cli/ctx.h"
#include "cli/doctor.h"

/* Everything; an agent that does not answer is a finding, too, and none is started. */
void doctor_look(struct ctx *ctx, struct doctor *d);

/* The version of the pmd beside this pmctl; "": it did not say. */
#define DOCTOR_VERSION_MAX 32
void doctor_version_on_disk(char out[DOCTOR_VERSION_MAX]);

#endif
