/* hosts.h - what became of each host that a command went to, and the account of them all.  Pure. */
#ifndef PM_CLI_HOSTS_H
#define PM_CLI_HOSTS_H

#include <stdbool.h>

#include "cli/fold.h"
#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

enum host_state {
	HOST_WAITING, /* no word of it yet; at the end: nobody waited for it any longer */
	HOST_DONE,
	HOST_FAILED,
	HOST_OFFLINE, /* not connected: nothing was sent */
	HOST_DENIED,
	HOST_UNKNOWN, /* sent; no answer came */
	HOST_SKIPPED, /* drained */
	HOST_N_STATES,
};

struct host {
	char *id, *name; /* owned */
	enum host_state state;
	enum pm_code code; /* of a failure */
	char *text;        /* owned; why it is not done, or what is to be said; NULL: nothing */
	int64_t last_seen_wall_ms;
	bool answered;          /* something came from it */
	size_t n_ok, n_failed;  /* instances acted on */
	Pm__Outcome **outcomes; /* the list is owned, what it points at lives in `arena` */
	size_t n_outcomes;
	Pm__InstanceStatus **instances; /* likewise */
	size_t n_instances;
	const Pm__AgentStatus *agent; /* NULL: not told */
	struct pm_arena arena;        /* owned */
};

/* Zeroed is empty.  Public because its owner embeds it. */
struct hosts {
	struct host *list; /* owned; in the order they were added */
	size_t n, cap;
	uint32_t *by_id; /* owned; indices sorted by id, as far as n_sorted */
	size_t n_sorted;
};

void hosts_finish(struct hosts *h);
#define PM_HOSTS PM_CLEANUP(hosts_finish) struct hosts

/* Add one that is waited for.  errors PM_PROTOCOL (no host's name, as a terminal would not like
 * it), PM_NO_MEMORY */
PM_MUST_CHECK int hosts_add(struct hosts *h, const char *id, const char *name,
                            struct pm_error *err);
/* By id; NULL: none.  Borrowed until the next hosts_add(). */
struct host *hosts_find(struct hosts *h, const char *id);

/*
 * Take one answer; one of a host that is not in the list adds it.
 *
 * which      the host; *last: it was its last answer
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int hosts_take(struct hosts *h, const Pm__Forwarded *f, struct host **which,
                             bool *last, struct pm_error *err);
/* Take the end of all: what became of those of which no last answer came. */
PM_MUST_CHECK int hosts_take_end(struct hosts *h, const Pm__ForwardEnd *end, struct pm_error *err);
/* What is still waited for will not come: it is unknown from here on. */
void hosts_give_up(struct hosts *h);

struct hosts_account {
	size_t total, n[HOST_N_STATES];
};
struct hosts_account hosts_account(const struct hosts *h);

/*
 * The status to exit with: 0, 10 some failed, 11 some were not reached or skipped, 12 both; 16
 * something was sent and not confirmed, 15 because time was up; 4 or 5 when that is what every host
 * said.
 */
int hosts_exit_status(const struct hosts *h, bool time_is_up);

const char *hosts_state_name(enum host_state state); /* "done", "unreachable" ... */

/* Add the host's answer to a fold: its state and code, and this text.  errors as fold_add() */
PM_MUST_CHECK int hosts_fold_add(struct fold *f, const struct host *h, const char *text,
                                 struct pm_error *err);
/* The state that the hosts of a group have. */
enum host_state hosts_group_state(const struct fold_group *g);

/*
 * Append "20 hosts: 18 restarted, 1 failed, 1 unreachable"; the numbers sum up to the first one.
 *
 * done       the word for those that did it
 */
void hosts_account_line(const struct hosts_account *a, const char *done, struct pm_buf *out);
/* The same with those that did it told in two: the first `n` of them by the first word. */
void hosts_account_split(const struct hosts_account *a, size_t n, const char *first,
                         const char *other, struct pm_buf *out);

#endif
