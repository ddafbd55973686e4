/* config_parse.h - text to document tree: JSON as PM2 accepts it, and YAML. Pure. */
#ifndef PM_CLI_CONFIG_PARSE_H
#define PM_CLI_CONFIG_PARSE_H

#include "proto/doc.h"
#include "proto/error.h"

/* Where an error is; from 1, 0: unknown. */
struct config_place {
	unsigned line, column;
};

/*
 * JSON with comments, unquoted keys, single quotes, trailing commas, hexadecimal numbers.
 *
 * errors  PM_CONFIG, with *place; PM_UNSUPPORTED: something that only JavaScript can evaluate
 * stands at *place; PM_LIMIT, PM_NO_MEMORY source  JSON5 1.0.0
 */
PM_MUST_CHECK int config_parse_json(const char *bytes, size_t len, struct doc *doc,
                                    const struct doc_node **root, struct config_place *place,
                                    struct pm_error *err);

/*
 * One YAML document. Plain scalars are read as js-yaml does (core schema of YAML 1.2): yes and no
 * are text. Anchors, aliases and merge keys are followed as far as doc has room.
 *
 * errors  PM_CONFIG, with *place; PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int config_parse_yaml(const char *bytes, size_t len, struct doc *doc,
                                    const struct doc_node **root, struct config_place *place,
                                    struct pm_error *err);

#endif
