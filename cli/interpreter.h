/* interpreter.h - what runs a script: by the file's name and its first bytes. */
#ifndef PM_CLI_INTERPRETER_H
#define PM_CLI_INTERPRETER_H

#include "cli/spec_build.h"

struct interpreter_choice {
	const struct build_context *ctx;
	const char *path, *home; /* the caller's PATH and HOME; may be NULL */
	bool given;              /* spec->interpreter is what the user wrote */
	bool binary;             /* the script was found in PATH: it is a program */
};

/*
 * Set spec->interpreter to an absolute path or "none".
 *
 * errors  PM_NOT_FOUND: the interpreter is not there; PM_CONFIG
 */
PM_MUST_CHECK int interpreter_choose(Pm__AppSpec *spec, const struct interpreter_choice *choice,
                                     struct pm_error *err);

#endif
