/* versions_ask.h - the versions of an app's settings that its agent keeps, and one among them. */
#ifndef PM_CLI_VERSIONS_ASK_H
#define PM_CLI_VERSIONS_ASK_H

#include "cli/client.h"
#include "cli/ctx.h"

/*
 * Ask for the versions of an app, also of one that was deleted.
 *
 * ownership  *out is the caller's: client_result_destroy(); its text is the app's name
 * errors     PM_NOT_FOUND, those of client_command()
 */
PM_MUST_CHECK int versions_ask(struct ctx *ctx, const char *app, struct client_result **out,
                               struct pm_error *err);

/*
 * Which one to go back to. Pure.
 *
 * list       newest first
 * to         the beginning of a name; NULL: the one before the present one, or the newest of an
 *            app that is there no more
 * errors     PM_NOT_FOUND, PM_USAGE (several begin like that)
 */
PM_MUST_CHECK int versions_choose(const char *app, Pm__SpecVersion *const *list, size_t n,
                                  const char *to, const Pm__SpecVersion **out,
                                  struct pm_error *err);

#endif
