/* fleet_show.h - pieces that the verbs of the fleet show alike. */
#ifndef PM_CLI_FLEET_SHOW_H
#define PM_CLI_FLEET_SHOW_H

#include "cli/ctx.h"
#include "cli/fleet.h"
#include "cli/json_out.h"
#include "cli/listing.h"

/* Open the fleet for a verb that asks the coordinator; ctx->fleet owns it. */
PM_MUST_CHECK int fleet_show_open(struct ctx *ctx, struct pm_error *err);

/*
 * Ask for a list that comes in parts, and print it as the command line says.
 *
 * key        of the rows in the JSON document
 * fn         called with the struct listing that it adds rows to
 * returns    0 or -1
 */
int fleet_show_list(struct ctx *ctx, const struct listing_columns *columns, const char *key,
                    const Pm__FleetRequest *request, fleet_reply_fn *fn, struct pm_error *err);

/* "role=web,zone=a" */
void fleet_show_labels(Pm__Label *const *labels, size_t n, struct pm_buf *out);
void fleet_show_labels_json(struct json_out *j, const char *key, Pm__Label *const *labels,
                            size_t n);

/* "12m ago", "in 30m", "-" */
void fleet_show_when(int64_t wall_ms, struct pm_buf *out);
/* The same as a cell that is put in order by the time. */
void fleet_show_when_cell(struct listing *l, int64_t wall_ms);
/* A cell of labels. */
void fleet_show_labels_cell(struct listing *l, Pm__Label *const *labels, size_t n);

/*
 * Ask for a change and tell what was done.
 *
 * done       the words when the coordinator has none: "drained"
 * returns    0 or -1
 */
int fleet_show_change(struct ctx *ctx, const Pm__FleetRequest *request, const char *done,
                      struct pm_error *err);

/* "k=v" of the verb's words or options into labels; free_labels() is for the caller. */
struct label_list {
	Pm__Label **list; /* owned */
	size_t n;
};
void label_list_finish(struct label_list *l);
/* remove: "k-" is taken too, as a label without a value.  errors PM_USAGE */
PM_MUST_CHECK int label_list_add(struct label_list *l, const char *text, bool remove,
                                 struct pm_error *err);

#endif
