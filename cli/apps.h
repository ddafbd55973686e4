/* apps.h - instances as a table, as blocks, and as words. Pure. */
#ifndef PM_CLI_APPS_H
#define PM_CLI_APPS_H

#include "cli/color.h"
#include "cli/listing.h"
#include "proto/buf.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

/* "online", "waiting restart" ...: PM2's words. */
const char *apps_state_name(Pm__LifeState state);
enum color apps_state_color(Pm__LifeState state);

/*
 * Sort by "FIELD[:asc|desc]": name, namespace, pid, id, cpu, memory, uptime, status; NULL: by name.
 * Equal ones stay in the order of their ids.
 *
 * errors     PM_USAGE: no such field
 */
PM_MUST_CHECK int apps_sort(Pm__InstanceStatus **instances, size_t n, const char *by,
                            struct pm_error *err);

struct apps_style {
	unsigned width; /* of the terminal; 0: no limit */
	bool color, utf8;
	bool box;    /* lines around the cells */
	bool as_pm2; /* PM2's columns and widths */
};

/* Append the table of the instances. */
PM_MUST_CHECK int apps_table(Pm__InstanceStatus *const *instances, size_t n,
                             const struct apps_style *style, struct pm_buf *out,
                             struct pm_error *err);

/* The columns of instances in a list that can be chosen from, and those of several hosts. */
extern const struct listing_columns apps_columns, apps_host_columns;

/* Add the cells of an instance; host: its name, with apps_host_columns, else NULL. */
void apps_listing_add(struct listing *l, const char *host, const Pm__InstanceStatus *s);

/* Append PM2's compact form (-m): a block of lines for each. Needs the details. */
void apps_mini(Pm__InstanceStatus *const *instances, size_t n, struct pm_buf *out);

#endif
