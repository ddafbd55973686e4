#include "agent/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/api_internal.h"
#include "agent/remote_policy.h"
#include "agent/status.h"
#include "proto/log.h"
#include "proto/spec.h"
#include "proto/spec_keys.h"

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c has no const; packing does not write */
}

/* Least role and whether it changes state are columns of the fleet's, where several roles exist. */
static const struct {
	Pm__Verb verb;
	api_verb_fn *run;
	const char *name;
} verbs[] = {
	{ PM__VERB__VERB_START, api_start, "start" },
	{ PM__VERB__VERB_START_OR_RESTART, api_start, "start" },
	{ PM__VERB__VERB_START_OR_RELOAD, api_start, "start" },
	{ PM__VERB__VERB_STOP, api_stop, "stop" },
	{ PM__VERB__VERB_RESTART, api_restart, "restart" },
	{ PM__VERB__VERB_RELOAD, api_restart, "reload" },
	{ PM__VERB__VERB_DELETE, api_delete, "delete" },
	{ PM__VERB__VERB_SCALE, api_scale, "scale" },
	{ PM__VERB__VERB_SIGNAL, api_signal, "signal" },
	{ PM__VERB__VERB_SEND, api_send, "send" },
	{ PM__VERB__VERB_RESET, api_reset, "reset" },
	{ PM__VERB__VERB_FLUSH, api_flush, "flush" },
	{ PM__VERB__VERB_REOPEN_LOGS, api_reopen, "reloadLogs" },
	{ PM__VERB__VERB_SAVE, api_save, "save" },
	{ PM__VERB__VERB_RESURRECT, api_resurrect, "resurrect" },
	{ PM__VERB__VERB_CLEARDUMP, api_cleardump, "cleardump" },
	{ PM__VERB__VERB_KILL, api_kill, "kill" },
	{ PM__VERB__VERB_UPGRADE, api_upgrade, "upgrade" },
	{ PM__VERB__VERB_PING, api_ping, "ping" },
	{ PM__VERB__VERB_AGENT_STATUS, api_agent_status, "status" },
	{ PM__VERB__VERB_FAIL_POINT, api_fail_point, "fail point" },
	{ PM__VERB__VERB_FLEET, api_fleet, "fleet" },
	{ PM__VERB__VERB_HISTORY, api_history, "history" },
	{ PM__VERB__VERB_REVERT, api_revert, "revert" },
};

static void on_command(void *arg, struct session *s, uint64_t id, const Pm__Command *cmd)
{
	const struct request r = { .su = arg, .session = s, .id = id, .cmd = cmd };
	struct pm_error err;

	for (size_t i = 0; i < PM_COUNT(verbs); i++) {
		if (verbs[i].verb != cmd->verb)
			continue;
		if (api_check_expected(&r, &err) < 0 ||
		    (cmd->dry_run ? api_plan : verbs[i].run)(&r, &err) < 0) {
			session_reply_error(s, id, &err);
			if (cmd->use_staged)
				api_staged_clear(api_staged(s)); /* they were for this one */
		}
		return;
	}
	pm_fail(&err, PM_UNSUPPORTED, "this agent does not know that command");
	pm_hint(&err, "is the agent older than pmctl? run 'pmctl agent upgrade'");
	session_reply_error(s, id, &err);
}

static void on_welcome(void *arg, struct session *s, Pm__Welcome *w)
{
	struct super *su = arg;
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	(void)s;
	w->version = text(PM_VERSION);
	w->agent_pid = (uint32_t)su->welcome.pid;
	w->supervisor_pid = (uint32_t)getpid();
	w->home = su->home;
	w->n_cpus = n > 0 ? (uint32_t)n : 1;
}

static void on_status(void *arg, struct session *s, uint64_t id, const Pm__StatusRequest *req)
{
	status_answer(arg, s, id, req);
}

struct staged *api_staged(struct session *s)
{
	return session_user(s);
}

void api_staged_clear(struct staged *st)
{
	for (size_t i = 0; st != NULL && i < st->n; i++)
		spec_free(st->specs[i]);
	if (st != NULL)
		st->n = 0;
}

/* The policy knows an app of the fleet's by who declared it, and nobody else may look like that. */
static int mark_remote(const struct session *s, Pm__AppSpec *spec, struct pm_error *err)
{
	char name[128];

	if (!session_is_remote(s)) {
		if (strncmp(spec->username, REMOTE_DECLARER, strlen(REMOTE_DECLARER)) != 0)
			return 0;
		return pm_fail(err, PM_CONFIG, "no user is called %.80s", spec->username);
	}
	(void)snprintf(name, sizeof(name), REMOTE_DECLARER "%.100s", session_who(s));
	return spec_put_str(&spec->username, name, err);
}

static int stage(struct session *s, const Pm__SpecPush *push, struct pm_error *err)
{
	struct staged *st = api_staged(s);

	if (push->spec == NULL)
		return pm_fail(err, PM_PROTOCOL, "a push without an app");
	if (st == NULL) {
		st = pm_calloc(1, sizeof(*st));
		if (st == NULL)
			return pm_fail(err, PM_NO_MEMORY, "take the app");
		session_set_user(s, st);
	}
	if (st->n == PM_STAGED_SPECS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d apps in one command",
		               PM_STAGED_SPECS_MAX);
	if (spec_validate(push->spec, err) < 0 ||
	    spec_clone(push->spec, &st->specs[st->n], err) < 0)
		return -1;
	st->n++;
	return mark_remote(s, st->specs[st->n - 1], err);
}

static void on_spec_push(void *arg, struct session *s, uint64_t id, const Pm__SpecPush *push)
{
	struct pm_error err;

	(void)arg;
	if (stage(s, push, &err) == 0)
		return;
	api_staged_clear(api_staged(s)); /* all or nothing */
	session_reply_error(s, id, &err);
}

static void on_session_closed(void *arg, struct session *s)
{
	struct staged *st = api_staged(s);

	(void)arg;
	api_staged_clear(st);
	free(st);
	session_set_user(s, NULL);
}

/* As long as the command says, and no longer than whoever gave it waits. */
static uint32_t timeout_of(const Pm__Command *cmd)
{
	uint64_t now_ms = pm_now_ms(), left_ms;

	if (cmd->end_by_ms == 0 || cmd->timeout_ms == 0)
		return cmd->timeout_ms;
	left_ms = cmd->end_by_ms > now_ms ? cmd->end_by_ms - now_ms : 1;
	return (uint32_t)PM_MIN(left_ms, (uint64_t)cmd->timeout_ms);
}

int api_new_order(const struct request *r, uint32_t parallel, bool settle, struct order **out,
                  struct pm_error *err)
{
	const struct order_config config = {
		.su = r->su,
		.session = r->session,
		.id = r->id,
		.parallel = parallel,
		.no_wait = r->cmd->no_wait,
		.settle = settle && !session_is_pm2(r->session),
		.timeout_ms = timeout_of(r->cmd),
		.gated = api_is_gated(r),
		.force = r->cmd->force,
		.gives_up = r->cmd->give_up,
	};

	return order_create(&config, out, err);
}

void api_reply_text(const struct request *r, const char *words)
{
	Pm__Result result = PM__RESULT__INIT;

	result.text = text(words);
	session_reply_result(r->session, r->id, &result);
}

const struct control_handlers api_handlers = {
	.welcome = on_welcome,
	.command = on_command,
	.status = on_status,
	.spec_push = on_spec_push,
	.stream_open = api_stream_open,
	.stream_ready = api_stream_ready,
	.stream_closed = api_stream_closed,
	.session_closed = on_session_closed,
};
