/*
 * version_files.h - the versions of each app's settings on the disk: a file for each app in
 * home/state/specs, 0600, written beside the old one, flushed and renamed.
 *
 * Everything here blocks. While the loop runs, what writes is a worker's, and one at a time.
 */
#ifndef PM_AGENT_VERSION_FILES_H
#define PM_AGENT_VERSION_FILES_H

#include "agent/versions.h"

/* An app got other settings, or is about to go. */
struct version_job {
	struct version_job *next;
	char app[PM_NAME_MAX + 1];
	struct version before, after; /* owned; zeroed: there was none, or nothing follows */
	bool done;                    /* it is on the disk */
};
/* What the file says once the job has been done. errors: PM_NO_MEMORY */
PM_MUST_CHECK int version_job_apply(const struct version_job *job, struct versions *v,
                                    struct pm_error *err);

#define VERSION_DAMAGE_MAX 200
/* A file's name: of any app, whatever it is called. */
#define VERSION_FILE_NAME 33
void version_file_name(const char *app, char out[VERSION_FILE_NAME]);

/*
 * Read the versions of an app; none: an empty list. A damaged file is put aside.
 *
 * damaged    set when it was: in words; "" otherwise
 * errors     PM_UNSUPPORTED (a newer pmd's file, which stays), PM_DENIED, PM_NO_MEMORY, the
 * system's
 */
PM_MUST_CHECK int version_files_read(const char *home, const char *app, struct versions *out,
                                     char damaged[VERSION_DAMAGE_MAX], struct pm_error *err);

struct version_report {
	size_t n_failed;
	char words[VERSION_DAMAGE_MAX]; /* of the first failure, or of what was damaged; "" when all
	                                   is well */
};
/*
 * Do the jobs, in their order; those that are done are marked. Then keep what all files take below
 * its limits.
 *
 * live       sorted names of files of apps that are there, of `n_live`: they go last
 */
void version_files_write(const char *home, struct version_job *jobs,
                         char (*live)[VERSION_FILE_NAME], size_t n_live,
                         struct version_report *report);

#endif
