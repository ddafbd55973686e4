/* doctor_boot.h - which unit of systemd starts the agent of a home, by the files that say so. */
#ifndef PM_CLI_DOCTOR_BOOT_H
#define PM_CLI_DOCTOR_BOOT_H

#include <stdbool.h>

#include "cli/doctor.h"

/* sd_booted(3) */
bool doctor_boot_has_systemd(void);

void doctor_boot_look(const char *home, bool as_pm2, struct doctor *d);

#endif
