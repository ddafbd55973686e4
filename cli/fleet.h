/* fleet.h - a verb's view of the fleet: the coordinator of the chosen context, the hosts meant. */
#ifndef PM_CLI_FLEET_H
#define PM_CLI_FLEET_H

#include "cli/context.h"
#include "cli/ctx.h"
#include "cli/fleet_client.h"
#include "cli/fleet_keys.h"
#include "cli/hosts.h"

struct fleet {
	struct context context;
	struct fleet_keys keys;      /* owned */
	struct fleet_client *client; /* owned */
	int stop_fd;                 /* Ctrl-C; borrowed */
	Pm__Selector selector;
	struct pm_buf texts[6]; /* owned: what the selector's texts borrow, by option */
	char **names;           /* owned: of --hosts - */
	size_t n_names;
	bool asks_for_all; /* --all and nothing that narrows it */
	/* The hosts meant, frozen when they were looked up. */
	Pm__Node **nodes; /* the list is owned, the nodes live in `arena` */
	size_t n_nodes;
	struct pm_arena arena; /* owned */
	bool single;           /* one host, and its answers look as on its own terminal */
	struct hosts hosts;    /* owned: what became of each */
	bool time_is_up, stopped, sent;
	bool rolled;     /* the command was a rollout */
	int roll_status; /* and this is the status to exit with */
};

/* Whether the command line names hosts. */
bool fleet_is_meant(const struct args *args);
bool fleet_names_hosts(const struct args *args); /* not only the coordinator, with --context */

/*
 * Load the context and its key, read the selector, connect.  The caller's until fleet_close().
 *
 * errors     PM_UNREACHABLE (no context; no coordinator there), PM_USAGE (selector), PM_DENIED
 */
PM_MUST_CHECK int fleet_open(struct ctx *ctx, struct fleet **out, struct pm_error *err);
void fleet_close(struct fleet *f); /* NULL is fine */
void fleet_closep(struct fleet **f);
#define PM_FLEET PM_CLEANUP(fleet_closep) struct fleet

/* Connect again after the session has ended; what went by it is gone.  errors as fleet_open()'s */
PM_MUST_CHECK int fleet_reconnect(struct ctx *ctx, struct fleet *f, struct pm_error *err);

/* Each part of an answer; valid during the call. */
typedef int fleet_reply_fn(void *arg, const Pm__FleetReply *reply, struct pm_error *err);

/* Ask the coordinator itself; fn NULL: nobody wants the answer.  errors those of the coordinator */
PM_MUST_CHECK int fleet_request(struct ctx *ctx, struct fleet *f, const Pm__FleetRequest *request,
                                fleet_reply_fn *fn, void *arg, struct pm_error *err);

/* The same with so long to wait for the answer, whatever --timeout says. */
PM_MUST_CHECK int fleet_request_within(struct fleet *f, const Pm__FleetRequest *request,
                                       uint32_t timeout_ms, fleet_reply_fn *fn, void *arg,
                                       struct pm_error *err);

/*
 * Find the nodes that the selector means; f->nodes is set.
 *
 * details    all that is known of them, not only names and states
 * errors     PM_NOT_FOUND with the nearest names
 */
PM_MUST_CHECK int fleet_find(struct ctx *ctx, struct fleet *f, bool details, struct pm_error *err);

/* Add hosts to those that are meant, a SET as --hosts has it.  errors PM_USAGE, PM_NO_MEMORY */
PM_MUST_CHECK int fleet_select(struct fleet *f, const char *set, struct pm_error *err);
bool fleet_has_selector(const struct fleet *f); /* whether any are named */

/* Append the names of the nodes, as ranges. */
void fleet_fold_nodes(const struct fleet *f, struct pm_buf *out);

/*
 * Find the hosts and make ctx->client and ctx->fleet ready for the verb.
 *
 * errors     those of fleet_open() and fleet_find()
 */
PM_MUST_CHECK int fleet_begin(struct ctx *ctx, struct pm_error *err);

/* Whether the verb acts on several hosts, or says what it does as if on several. */
bool fleet_is_wide(const struct ctx *ctx);

/*
 * Ask before something that is hard to undo is done to every host (F-05).
 *
 * what       "delete api"
 * word       what is to be typed when many hosts are meant: the app's name
 * errors     PM_USAGE (no terminal and no --yes), PM_DENIED (the answer was no)
 */
PM_MUST_CHECK int fleet_confirm(struct ctx *ctx, const char *what, const char *word,
                                struct pm_error *err);

/* A line of the terminal; the session is kept alive meanwhile.  false: Ctrl-C, end of file */
bool fleet_read_line(struct fleet *f, char *line, size_t size);

#endif
