/* config.h - application files: from a path to the specs of its apps, or to all its problems. */
#ifndef PM_CLI_CONFIG_H
#define PM_CLI_CONFIG_H

#include "cli/spec_build.h"
#include "proto/limits.h"

enum config_severity {
	CONFIG_ERROR,   /* nothing of the file is started */
	CONFIG_WARNING, /* worth a line on stderr at every start */
	CONFIG_NOTE,    /* only `check` says it: a key without effect */
};

struct config_problem {
	enum config_severity severity;
	unsigned line, column; /* from 1; 0: unknown */
	char text[320];        /* "app api: kill_timeout: expected ..., found ..." */
	char hint[128];
};

struct config_report {
	struct config_problem items[2 * PM_CONFIG_PROBLEMS_MAX];
	size_t n, n_errors;
	size_t n_more; /* warnings and notes there was no room for */
};

/* What the command line says about a file. All borrowed. */
struct config_request {
	const char *path;                /* as the user wrote it; "-": JSON from stdin */
	const char *only;                /* --only: names with commas between; NULL: all apps */
	const struct spec_builder *over; /* options that override the file's keys; NULL: none */
	const struct build_context *build;
};

struct config_result {
	Pm__AppSpec **specs; /* owned; config_result_finish() */
	size_t n;
	struct config_report report;
};

/* Whether PM2's name rule makes the text a configuration file, or it is "-". */
bool config_is_file(const char *text);

/*
 * Read a file. Either every app of it (of --only) becomes a spec, or none does and the report holds
 * all errors. The result may hold warnings either way.
 *
 * errors  PM_CONFIG: see the report; PM_NOT_FOUND: no such file, or a name of --only is not in it;
 *         PM_DEADLINE, PM_LIMIT, PM_NO_MEMORY. The first error of the report is also in *err, as
 *         "FILE:LINE:COLUMN: what".
 */
PM_MUST_CHECK int config_load(const struct config_request *request, struct config_result *result,
                              struct pm_error *err);

void config_result_finish(struct config_result *result);

/* "ecosystem.yaml:3:5: app api: ...", without the hint; out holds size bytes. */
void config_problem_text(const char *path, const struct config_problem *problem, char *out,
                         size_t size);

#endif
