/* dump_file.h - the files of a PM2 home that pmctl writes and reads itself. */
#ifndef PM_CLI_DUMP_FILE_H
#define PM_CLI_DUMP_FILE_H

#include "proto/buf.h"
#include "proto/doc.h"
#include "proto/error.h"
#include "proto/limits.h"

struct dump_paths {
	char dump[PM_PATH_MAX]; /* $PM2_DUMP_FILE_PATH, else dump.pm2 */
	char bak[PM_PATH_MAX];  /* $PM2_DUMP_BACKUP_FILE_PATH, else dump.pm2.bak */
};

/* Where they are. errors: PM_LIMIT */
PM_MUST_CHECK int dump_paths(const char *home, struct dump_paths *out, struct pm_error *err);

/*
 * Replace the dump: a crash leaves the old one or the new one, whole. The one before is kept as the
 * backup. Both have mode 0600, as they hold environments.
 *
 * errors     what the system says; the dump is untouched then
 */
PM_MUST_CHECK int dump_save(const struct dump_paths *paths, const struct pm_buf *text,
                            struct pm_error *err);

/*
 * Read and parse a dump.
 *
 * errors     PM_NOT_FOUND: there is none; PM_NO_MEMORY; PM_CONFIG, PM_UNSUPPORTED, PM_LIMIT: it
 *            cannot be parsed; else what the system says
 */
PM_MUST_CHECK int dump_read(const char *path, struct doc *doc, const struct doc_node **root,
                            struct pm_error *err);

/* Rename a dump that is of no use to PATH.corrupt-DATE; aside holds the new name, "" on failure. */
void dump_put_aside(const char *path, char *aside, size_t size);

/* Make module_conf.json, which programs around PM2 read, where it is not there yet. */
void dump_make_module_conf(const char *home);

#define DUMP_BYTES_MAX (64u << 20)
#define DUMP_DOC_MAX   (4u * DUMP_BYTES_MAX)

#endif
