/* jlist.h - instances as PM2's jlist shows them. Pure. */
#ifndef PM_CLI_JLIST_H
#define PM_CLI_JLIST_H

#include "cli/json_out.h"
#include "proto/pm.pb-c.h"

struct jlist_style {
	bool as_pm2; /* every variable also stands flat in pm2_env, and nothing is redacted */
	bool reveal; /* show the values of secrets */
	bool dump;   /* as dump.pm2 holds it: without what a new start gives anew */
};

/*
 * Write an array of objects {pid, name, pm2_env, pm_id, monit}. The instances must carry their
 * details (spec, files, process_env).
 */
void jlist_write(struct json_out *j, Pm__InstanceStatus *const *instances, size_t n,
                 const struct jlist_style *style);

/* One of them. */
void jlist_write_one(struct json_out *j, const Pm__InstanceStatus *s,
                     const struct jlist_style *style);

/* The object pm2_env of one of them. */
void jlist_write_env(struct json_out *j, const Pm__InstanceStatus *s,
                     const struct jlist_style *style);

#endif
