/* dump.h - PM2's dump.pm2: the saved list as a JSON array of pm2_env objects. */
#ifndef PM_CLI_DUMP_H
#define PM_CLI_DUMP_H

#include "cli/spec_build.h"
#include "proto/buf.h"

/*
 * The whole file, with two blanks of indent as PM2 writes it. The instances must carry their
 * details. Running out of memory shows in out->failed.
 */
void dump_write(Pm__InstanceStatus *const *instances, size_t n, struct pm_buf *out);

/* One app of a dump: the entries that have its name and script in common. */
struct dump_app {
	const struct doc_node *entry; /* the first of them; borrowed */
	const char *name, *script;    /* borrowed; NULL: the entry has none */
	size_t n, n_stopped;          /* instances, and those of them saved as stopped */
};

/*
 * The apps of a parsed dump, in its order.
 *
 * ownership  *out is the caller's, for free()
 * errors     PM_CONFIG: not a list of objects; PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int dump_apps(const struct doc_node *root, struct dump_app **out, size_t *n,
                            struct pm_error *err);

/*
 * Set the keys of a new builder from an app. Pure.
 *
 * home       where the dump was made: logs with default names below it keep to them
 * errors     PM_CONFIG, PM_NO_MEMORY
 */
PM_MUST_CHECK int dump_fill(const struct dump_app *app, const char *home, struct spec_builder *b,
                            struct pm_error *err);

/*
 * The spec of an app. Its environment is the saved one; nothing is taken from the caller's, but
 * PATH to find an interpreter when none was saved.
 *
 * cache      may be NULL
 * ownership  *out is the caller's: spec_free()
 * errors     those of spec_build(): the script or its interpreter may be gone
 */
PM_MUST_CHECK int dump_spec(const struct dump_app *app, const char *home, struct build_cache *cache,
                            Pm__AppSpec **out, struct pm_error *err);

#endif
