/* token_file.h - a token from a file or from standard input; never from an argument. */
#ifndef PM_CLI_TOKEN_FILE_H
#define PM_CLI_TOKEN_FILE_H

#include "proto/error.h"
#include "proto/token.h"

/*
 * Read a token of the kind.
 *
 * path       "-": standard input
 * out        for pm_token_finish()
 * errors     PM_CONFIG (no token, or of the other kind), what the system says
 */
PM_MUST_CHECK int token_file_read(const char *path, enum pm_token_kind kind, struct pm_token *out,
                                  struct pm_error *err);

#endif
