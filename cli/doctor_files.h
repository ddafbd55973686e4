/* doctor_files.h - whether a home and its files belong to whom they should, and to nobody else. */
#ifndef PM_CLI_DOCTOR_FILES_H
#define PM_CLI_DOCTOR_FILES_H

#include "cli/doctor.h"

void doctor_files(const char *home, struct doctor *d);

#endif
