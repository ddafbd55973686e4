/* requests_priv.h - what the files of requests share; nobody else includes it. */
#ifndef PM_COORDINATOR_REQUESTS_PRIV_H
#define PM_COORDINATOR_REQUESTS_PRIV_H

#include "coordinator/coord.h"
#include "proto/token.h"

#define ROWS_PER_REPLY 100

/* A request whose answer waits for the store. */
struct pending {
	struct coord *c;
	struct store_id peer; /* whose; the link is looked up again */
	struct pm_link *link;
	uint64_t id;
	struct pending *next;
	char what[PM_PATH_MAX];
	Pm__FleetRequest *req;  /* owned copy */
	struct store_id member; /* what it is about */
	struct pm_token token;
	bool has_token;
	unsigned n_changed, n_waiting;
	bool failed;
};

/* ---- requests.c: what waits, and answers ---- */
/* One more that waits, until requests_pending_free(); NULL: no memory. */
struct pending *requests_pending_new(struct coord *c, struct peer *p, uint64_t id);
void requests_pending_free(struct pending *w);
/* Say which member the newest one is about. */
void requests_pending_about(const struct store_id *member);
/* A text as a message has it; NULL is the empty one. */
char *requests_text(const char *s);
/* Answer request `re`; a link that is gone (NULL) hears nothing. */
void requests_reply(struct pm_link *l, uint64_t re, Pm__FleetReply *r);
void requests_reply_done(struct pm_link *l, uint64_t re, const char *words, uint32_t n);
/* Answer with why the store did not do it. */
void requests_reply_store(struct pending *w, const struct store_result *r);
/* A store_fn: the answer is that it is done, or why not; arg is the pending, which ends here. */
void requests_on_word(void *arg, const struct store_result *r);
/* Ask the store; fn gets a pending with the words, and with a copy of req unless that is NULL. */
PM_MUST_CHECK int requests_submit_word(struct coord *c, struct peer *p, uint64_t id,
                                       const struct store_request *request, const char *words,
                                       store_fn *fn, const Pm__FleetRequest *req,
                                       struct pm_error *err);

/* ---- requests_nodes.c ---- */
/* For members_each_key(): the active key becomes that of the Pm__Node in arg, which borrows it. */
void requests_key_of(void *arg, const struct member_key *key);
bool requests_has_active_key(const struct coord *c, const struct node *n);
/* Whether a selector selects nothing at all, not even by "all". */
bool requests_is_empty(const Pm__Selector *s);
/* Answer with the nodes that the operator may see. */
void requests_answer_nodes(struct coord *c, struct peer *p, uint64_t id, const Pm__NodeQuery *q,
                           const struct fleet_view *v, const struct access *a);

/* ---- requests_node_change.c ---- */
/* For members_each_key(): take a key as revoked. */
void requests_revoke_local(void *arg, const struct member_key *key);
/* Change the nodes selected, if the operator may do `ops` on each. */
PM_MUST_CHECK int requests_change_nodes(struct coord *c, struct peer *p, uint64_t id,
                                        const Pm__NodeChange *q, const struct fleet_view *v,
                                        const struct access *a, uint64_t ops, struct pm_error *err);

/* ---- requests_tokens.c ---- */
/* Make a token; the answer is its text. */
PM_MUST_CHECK int requests_create_token(struct coord *c, struct peer *p, uint64_t id,
                                        const Pm__TokenCreate *q, struct pm_error *err);
/* A store_fn: answer with the tokens that the store listed; arg is the pending, which ends here. */
void requests_on_tokens(void *arg, const struct store_result *r);
/* Let nobody join with a token any more. */
PM_MUST_CHECK int requests_revoke_token(struct coord *c, struct peer *p, uint64_t id,
                                        const Pm__TokenRevoke *q, struct pm_error *err);

/* ---- requests_operators.c ---- */
/* Answer with the operators and their roles. */
void requests_answer_operators(struct coord *c, struct peer *p, uint64_t id,
                               const Pm__OperatorQuery *q);
/* Answer with who is asking, and what he may do. */
void requests_answer_who(struct coord *c, struct peer *p, uint64_t id);
/* Give a role, take one away, or revoke the operator. */
PM_MUST_CHECK int requests_change_operator(struct coord *c, struct peer *p, uint64_t id,
                                           const Pm__FleetRequest *req, struct pm_error *err);

/* ---- requests_groups.c ---- */
/* Answer with the groups. */
void requests_answer_groups(struct coord *c, struct peer *p, uint64_t id, const Pm__GroupQuery *q);
/* Set or delete a group. */
PM_MUST_CHECK int requests_change_group(struct coord *c, struct peer *p, uint64_t id,
                                        const Pm__GroupChange *q, const struct fleet_view *v,
                                        struct pm_error *err);

/* ---- requests_rollouts.c ---- */
/* Answer with rollouts, or with one when something has changed about it. */
PM_MUST_CHECK int requests_answer_rollouts(struct coord *c, struct peer *p, uint64_t id,
                                           const Pm__RolloutQuery *q, const struct fleet_view *v,
                                           const struct access *a, uint64_t ops,
                                           struct pm_error *err);
/* Pause, resume, promote, abort, undo one, or take its locks away. */
PM_MUST_CHECK int requests_change_rollout(struct coord *c, struct peer *p, uint64_t id,
                                          const Pm__RolloutChange *q, const struct access *a,
                                          uint64_t ops, struct pm_error *err);
void requests_rollouts_link_gone(const struct pm_link *link);

/* ---- rollout_start.c ---- */
/* Plan a rollout, and begin it unless only the plan is wanted; answered later. */
PM_MUST_CHECK int rollout_start(struct coord *c, struct peer *p, uint64_t id,
                                const Pm__RolloutStart *req, const struct fleet_view *v,
                                const struct access *a, struct pm_error *err);
void rollout_start_link_gone(const struct pm_link *link);

/* ---- requests_audit.c ---- */
/* A store_fn: answer with the entries that the store listed; arg is the pending, which ends here.
 */
void requests_on_audit(void *arg, const struct store_result *r);

/* ---- requests_backup.c ---- */
/* Copy the store; the answer is the copy's path. */
PM_MUST_CHECK int requests_backup(struct coord *c, struct peer *p, uint64_t id,
                                  const Pm__BackupRequest *q, struct pm_error *err);

#endif
