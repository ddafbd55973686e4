#include "agent/liaison.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/job.h"
#include "agent/mark.h"
#include "agent/rekey.h"
#include "agent/remote.h"
#include "agent/turns.h"
#include "agent/uplink.h"
#include "proto/log.h"
#include "proto/membership.h"

#define FIRST_WAIT_MS 500 /* before a process that ended is started again; doubled each time */
#define MOST_WAIT_MS  30000
#define GOOD_RUN_MS   60000 /* then it begins with the first wait again */
#define TELL_MS       250   /* changes are gathered for so long */
#define LEAVE_MS      2000  /* a process that was told to leave is killed after that */

struct liaison {
	struct super *su;
	struct remote *remote; /* owned */
	struct mark *mark;     /* owned */
	struct rekey *rekey;   /* owned */
	struct session_guard guard;
	struct session *session; /* borrowed; NULL: no process has it */
	struct job *job;         /* borrowed; NULL: no process */
	uv_timer_t restart, tell, leave;
	unsigned n_handles; /* that the loop still holds */
	bool wanted;        /* it is to run */
	bool ended;         /* the process has, with this status, and its session has not yet */
	int status;
	bool again;              /* as soon as the one that leaves has gone */
	bool left;               /* somebody stopped it: there is nothing to tell of */
	char token[PM_PATH_MAX]; /* to join with; "": joined */
	uint32_t wait_ms;
	uint64_t started_ms;
	uint64_t revision;
	uint64_t since_ms; /* state.since_wall_ms, on the monotonic clock */
	bool no_slots;     /* so the coordinator said */
	/* How it is; its texts are those below. */
	Pm__UplinkState state;
	char why[256], address[PM_ADDRESS_TEXT], id[PM_MEMBER_TEXT_MAX + 1];
	char cluster[PM_MEMBER_TEXT_MAX + 1], name[PM_MEMBER_TEXT_MAX + 1];
};

static void run(struct liaison *f);
static void on_leave(uv_timer_t *timer);

/* ---- how it is ---- */

static void take(char *out, size_t size, const char *from)
{
	if (out != from)
		(void)snprintf(out, size, "%s", from); /* cut if longer */
}

static void turned(struct liaison *f)
{
	f->state.since_wall_ms = pm_wall_ms();
	f->since_ms = pm_now_ms();
}

static void set_down(struct liaison *f, const char *why, uint64_t next_ms)
{
	if (f->state.connected || f->state.since_wall_ms == 0)
		turned(f);
	f->state.connected = false;
	f->state.next_wall_ms = next_ms == 0 ? 0 : pm_wall_ms() + (int64_t)next_ms;
	take(f->why, sizeof(f->why), why);
}

/* As which member the agent is there, and in which session. */
static void take_mark(struct liaison *f, uint64_t generation)
{
	mark_take(f->mark, f->id, generation, remote_number(f->remote));
	remote_set_base(f->remote, mark_base(f->mark));
}

/* Keys that hold from now on are kept. */
static void take_keys(struct liaison *f, const Pm__UplinkState *said)
{
	if (said->own_key.len == PM_KEY_BYTES && said->coordinator_key.len == PM_KEY_BYTES)
		rekey_keep(f->rekey, said->own_key.data, said->coordinator_key.data,
		           said->coordinator_next.len == PM_KEY_BYTES ? said->coordinator_next.data
		                                                      : NULL);
}

static void on_state(struct liaison *f, const Pm__UplinkState *said)
{
	bool was = f->state.connected;

	if (said->connected != was || f->state.since_wall_ms == 0)
		turned(f);
	if (said->connected)
		f->no_slots = false; /* another may know of them */
	f->state.connected = said->connected;
	f->state.next_wall_ms = said->next_wall_ms;
	take(f->address, sizeof(f->address), said->address);
	if (said->connected) {
		take(f->id, sizeof(f->id), said->agent_id);
		take(f->cluster, sizeof(f->cluster), said->cluster_id);
		if (*said->name != '\0')
			take(f->name, sizeof(f->name), said->name);
		f->token[0] = '\0'; /* it has joined */
		take_mark(f, said->generation);
		take_keys(f, said);
	}
	if (said->connected && !was) {
		pm_log(PM_LOG_INFO, "fleet.up", "coordinator=%s id=%s", f->address, f->id);
		remote_note(f->remote, "fleet.up", f->address, "ok");
	} else if (said->connected && *said->why != '\0') {
		pm_log(PM_LOG_WARN, "fleet.key", "%s", said->why);
	} else if (!said->connected && (was || strcmp(f->why, said->why) != 0)) {
		pm_log(PM_LOG_WARN, "fleet.down", "coordinator=%s %s", f->address, said->why);
	}
	take(f->why, sizeof(f->why), said->connected ? "" : said->why);
}

Pm__UplinkState *liaison_state(struct super *su)
{
	struct liaison *f = su->liaison;

	if (f == NULL || f->left)
		return NULL;
	f->state.pid = f->job == NULL ? 0 : (uint32_t)job_pid(f->job);
	return &f->state;
}

/* ---- what the coordinator is to know ---- */

static void count(const struct super *su, Pm__Heartbeat *beat)
{
	for (const struct app *app = su->apps; app != NULL; app = app->next)
		for (size_t i = 0; i < app->n; i++) {
			beat->running += instance_is_online(app->instances[i]);
			beat->failed += instance_core(app->instances[i])->life.state == LIFE_FAILED;
		}
}

static void on_tell(uv_timer_t *timer)
{
	struct liaison *f = timer->data;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Heartbeat beat = PM__HEARTBEAT__INIT;

	if (f->session == NULL)
		return;
	count(f->su, &beat);
	beat.generation = mark_generation(f->mark);
	beat.command_number = remote_number(f->remote) - mark_base(f->mark);
	beat.state_revision = f->revision;
	beat.monotonic_ms = pm_now_ms();
	env.body_case = PM__ENVELOPE__BODY_HEARTBEAT;
	env.heartbeat = &beat;
	(void)session_send(f->session, &env); /* fits a record */
}

void liaison_touch(struct super *su)
{
	struct liaison *f = su->liaison;

	if (f == NULL || f->session == NULL)
		return;
	f->revision++;
	if (!uv_is_active((uv_handle_t *)&f->tell))
		(void)uv_timer_start(&f->tell, on_tell, TELL_MS, 0); /* cannot fail */
}

bool liaison_gives_slots(struct super *su, bool *connected, uint64_t *down_ms)
{
	const struct liaison *f = su->liaison;

	*connected = false;
	*down_ms = 0;
	if (f == NULL || !f->wanted || f->no_slots)
		return false;
	*connected = f->session != NULL && f->state.connected;
	if (!*connected)
		*down_ms = pm_now_ms() - f->since_ms;
	return true;
}

void liaison_send(struct super *su, const Pm__Envelope *env)
{
	if (su->liaison != NULL && su->liaison->session != NULL)
		(void)session_send(su->liaison->session, env); /* fits a record */
}

/* ---- the session ---- */

static enum session_permit on_permit(void *arg, struct session *s, const Pm__Envelope *env,
                                     struct pm_error *err)
{
	struct liaison *f = arg;

	return remote_permit(f->remote, s, env, err);
}

static void on_answer(void *arg, struct session *s, const Pm__Envelope *env)
{
	struct liaison *f = arg;

	remote_answer(f->remote, s, env);
}

static void on_slot(struct liaison *f, const Pm__Slot *slot)
{
	if (!slot->unknown) {
		turns_on_slot(f->su, slot);
		return;
	}
	f->no_slots = true;
	turns_on_session(f->su);
}

static void on_notice(void *arg, struct session *s, const Pm__Envelope *env)
{
	struct liaison *f = arg;

	if (s != f->session)
		return;
	if (env->body_case == PM__ENVELOPE__BODY_SLOT) {
		on_slot(f, env->slot);
		return;
	}
	if (env->body_case == PM__ENVELOPE__BODY_KEY_WANTED) {
		remote_note(f->remote, "key.wanted", f->address,
		            rekey_make(f->rekey) ? "ok" : "refused: too soon");
		return;
	}
	if (env->body_case == PM__ENVELOPE__BODY_UPLINK_STATE) {
		on_state(f, env->uplink_state);
		turns_on_session(f->su);
	}
	(void)uv_timer_start(&f->tell, on_tell, 0, 0); /* it may have missed something */
}

/* ---- the process ---- */

static void on_restart(uv_timer_t *timer)
{
	run(timer->data);
}

static void run_later(struct liaison *f, const char *why)
{
	f->wait_ms = f->wait_ms == 0 ? FIRST_WAIT_MS : PM_MIN(2 * f->wait_ms, MOST_WAIT_MS);
	set_down(f, why, f->wait_ms);
	(void)uv_timer_start(&f->restart, on_restart, f->wait_ms, 0); /* cannot fail */
}

/* Process and session are both over; which of them was told first is chance. */
static void ended(struct liaison *f)
{
	bool said = *f->why != '\0' && f->status == UPLINK_EXIT_FAILED;
	char why[128];

	(void)uv_timer_stop(&f->leave);
	f->ended = false;
	if (pm_now_ms() - f->started_ms >= GOOD_RUN_MS)
		f->wait_ms = 0;
	if (f->again) {
		f->again = false;
		(void)uv_timer_start(&f->restart, on_restart, 0, 0); /* cannot fail */
		return;
	}
	if (!f->wanted) {
		set_down(f, "stopped", 0);
		return;
	}
	if (f->status == UPLINK_EXIT_NEVER) {
		pm_log(PM_LOG_ERROR, "fleet.end", "%s; it is not tried again", f->why);
		set_down(f, f->why, 0);
		f->wanted = false;
		return;
	}
	(void)snprintf(why, sizeof(why), "the uplink ended with status %d", f->status);
	pm_log(PM_LOG_WARN, "fleet.end", "%s", why);
	run_later(f, said ? f->why : why); /* its own words say more */
}

/* Whatever it said last holds no more. */
static void is_over(struct liaison *f)
{
	if (!f->state.connected)
		return;
	set_down(f, "", 0);
	turns_on_session(f->su);
}

static void on_job_ended(void *arg, int status)
{
	struct liaison *f = arg;

	is_over(f);
	f->job = NULL;
	f->status = status;
	f->ended = true;
	if (f->session == NULL)
		ended(f);
	else
		(void)uv_timer_start(&f->leave, on_leave, LEAVE_MS, 0); /* cannot fail */
}

static void on_session_closed(void *arg, struct session *s)
{
	struct liaison *f = arg;

	remote_closed(f->remote, s);
	if (s != f->session)
		return;
	is_over(f);
	f->session = NULL;
	if (f->ended)
		ended(f);
	else if (f->job !=
	         NULL) /* without its session it is of no use, and may not know that yet */
		(void)uv_timer_start(&f->leave, on_leave, LEAVE_MS, 0); /* cannot fail */
}

static int start_process(struct liaison *f, int fds[2], struct pm_error *err)
{
	char path[PM_PATH_MAX];
	const char *argv[] = { "pmd", "uplink", "--home", f->su->home, NULL, NULL, NULL };

	if (f->token[0] != '\0') {
		argv[4] = "--join";
		argv[5] = f->token;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)getpid());
	if (control_adopt_remote(f->su->control, PM_STEAL_FD(fds[0]), &f->guard, &f->session, err) <
	    0)
		return -1;
	return job_start_part(f->su, path, argv, fds[1], on_job_ended, f, &f->job, err);
}

static void run(struct liaison *f)
{
	int fds[2] = { -1, -1 };
	struct pm_error err;
	int rc;

	(void)uv_timer_stop(&f->restart);
	if (!f->wanted || f->job != NULL || f->ended)
		return;
	f->started_ms = pm_now_ms();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		rc = pm_fail_errno(&err, errno, "start the uplink");
	else
		rc = start_process(f, fds, &err);
	pm_closep(&fds[0]);
	pm_closep(&fds[1]);
	if (rc == 0) {
		if (*f->why == '\0')
			set_down(f, "connecting", 0);
		return;
	}
	pm_log(PM_LOG_ERROR, "fleet.start", "%s", err.what);
	if (f->session != NULL)
		session_goodbye(PM_STEAL(f->session), "", 0);
	run_later(f, err.what);
}

static void on_leave(uv_timer_t *timer)
{
	struct liaison *f = timer->data;

	if (f->job != NULL)
		job_kill(f->job);
	else if (f->session != NULL)
		session_goodbye(f->session, "", 0);
}

static void tell_to_leave(struct liaison *f, const char *why)
{
	if (f->session != NULL)
		session_goodbye(f->session, why, 0);
	if (f->job != NULL)
		(void)uv_timer_start(&f->leave, on_leave, LEAVE_MS, 0); /* cannot fail */
}

/* ---- life ---- */

/* The generation of the session is on the disk: it can be confirmed. */
static void on_marked(void *arg)
{
	struct liaison *f = arg;

	(void)uv_timer_start(&f->tell, on_tell, 0, 0); /* cannot fail */
}

static void start(struct liaison *f);

/* The process that holds the link reads its keys before it gives up its rights: another one does.
 */
static void on_next_key(void *arg, const char *fingerprint, bool found)
{
	struct liaison *f = arg;

	remote_note(f->remote, found ? "key.offer" : "key.make", fingerprint, "ok");
	if (f->wanted)
		start(f);
}

static int liaison_create(struct super *su, struct liaison **out, struct pm_error *err)
{
	struct liaison *f = pm_calloc(1, sizeof(*f));
	uv_timer_t *timers[3];

	if (f == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	f->su = su;
	if (mark_create(su->loop, su->home, on_marked, f, &f->mark, err) < 0 ||
	    rekey_create(su->loop, su->home, on_next_key, f, &f->rekey, err) < 0 ||
	    remote_create(su, &f->remote, err) < 0) {
		mark_close(f->mark);
		rekey_close(f->rekey);
		free(f);
		return -1;
	}
	remote_set_base(f->remote, mark_base(f->mark));
	f->guard = (struct session_guard){ on_permit, on_answer, on_notice, on_session_closed, f };
	/* Of another supervisor's time there is none as large: the clock counts faster. */
	f->revision = (uint64_t)PM_MAX(pm_wall_ms(), 1);
	pm__uplink_state__init(&f->state);
	f->state.why = f->why;
	f->state.address = f->address;
	f->state.agent_id = f->id;
	f->state.name = f->name;
	f->state.cluster_id = f->cluster;
	timers[0] = &f->restart;
	timers[1] = &f->tell;
	timers[2] = &f->leave;
	for (size_t i = 0; i < PM_COUNT(timers); i++) {
		(void)uv_timer_init(su->loop, timers[i]); /* cannot fail */
		timers[i]->data = f;
		f->n_handles++;
	}
	*out = f;
	return 0;
}

static void take_membership(struct liaison *f, const struct pm_membership *m)
{
	f->token[0] = '\0';
	take(f->id, sizeof(f->id), m->id);
	take(f->name, sizeof(f->name), m->name);
	take(f->cluster, sizeof(f->cluster), m->cluster);
	pm_address_format(&m->addresses[0], f->address);
}

static void start(struct liaison *f)
{
	f->wanted = true;
	f->left = false;
	f->wait_ms = 0;
	f->why[0] = '\0';
	if (f->job == NULL && !f->ended) {
		run(f);
		return;
	}
	f->again = true;
	tell_to_leave(f, "the link starts anew");
}

int liaison_start(struct super *su, struct pm_error *err)
{
	struct pm_membership m;

	if (pm_membership_load(su->home, &m, err) < 0) {
		if (err->code == PM_NOT_FOUND)
			pm_hint(err, "'pmctl join --token-file FILE' joins one");
		return -1;
	}
	if (su->liaison == NULL && liaison_create(su, &su->liaison, err) < 0)
		return -1;
	take_membership(su->liaison, &m);
	take_mark(su->liaison, 0);
	start(su->liaison);
	return 0;
}

void liaison_stop(struct super *su)
{
	struct liaison *f = su->liaison;

	if (f == NULL)
		return;
	f->wanted = f->again = false;
	f->left = true;
	(void)uv_timer_stop(&f->restart);
	set_down(f, "stopped", 0);
	tell_to_leave(f, "the agent leaves the fleet");
}

static int begin_to_join(struct super *su, const char *token, struct pm_error *err)
{
	if (liaison_create(su, &su->liaison, err) < 0)
		return -1;
	take(su->liaison->token, sizeof(su->liaison->token), token);
	start(su->liaison);
	return 0;
}

void liaison_begin(struct super *su)
{
	const char *token = getenv("PMD_JOIN_TOKEN_FILE");
	struct pm_error err;
	int rc = liaison_start(su, &err);

	if (rc < 0 && err.code == PM_NOT_FOUND) {
		if (token == NULL || *token == '\0')
			return;
		rc = begin_to_join(su, token, &err);
	}
	if (rc < 0)
		super_degraded(su, "fleet", err.what);
}

static void on_closed(uv_handle_t *handle)
{
	struct liaison *f = handle->data;

	if (--f->n_handles == 0)
		free(f);
}

void liaison_close(struct super *su)
{
	struct liaison *f = PM_STEAL(su->liaison);

	if (f == NULL)
		return;
	if (f->job != NULL)
		job_kill(f->job);
	remote_close(f->remote);
	mark_close(f->mark);
	rekey_close(f->rekey);
	uv_close((uv_handle_t *)&f->restart, on_closed);
	uv_close((uv_handle_t *)&f->tell, on_closed);
	uv_close((uv_handle_t *)&f->leave, on_closed);
}
