/* api_agent.c - commands on single processes, logs, state and the agent itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/api_internal.h"
#include "agent/app.h"
#include "agent/liaison.h"
#include "agent/process.h"
#include "agent/state.h"
#include "agent/status.h"
#include "agent/store.h"
#include "agent/targets.h"
#include "agent/upgrade.h"
#include "proto/failpoint.h"

/* Do something to each target at once and answer with an outcome each. */
typedef int each_fn(const struct request *r, struct instance *inst, struct pm_error *err);

static int for_each(const struct request *r, each_fn *fn, struct pm_error *err)
{
	PM_FREE struct instance **list = NULL;
	struct order *o;
	size_t n;

	if (targets_resolve(r->su, r->cmd->targets, r->cmd->n_targets, &list, &n, err) < 0 ||
	    api_new_order(r, 0, false, &o, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct pm_error outcome = { .code = PM_OK };

		(void)(fn(r, list[i], &outcome) < 0); /* the outcome says it */
		if (order_add_done(o, instance_spec(list[i])->name, instance_core(list[i])->pm_id,
		                   true, &outcome, err) < 0)
			break; /* out of memory: answer with what could be added */
	}
	order_run(o);
	return 0;
}

static int signal_one(const struct request *r, struct instance *inst, struct pm_error *err)
{
	if (instance_process(inst) == NULL)
		return pm_fail(err, PM_NOT_RUNNING, "not running");
	return process_signal(instance_process(inst), r->cmd->signal, err);
}

int api_signal(const struct request *r, struct pm_error *err)
{
	if (r->cmd->signal < 1 || r->cmd->signal > 64)
		return pm_fail(err, PM_USAGE, "no such signal: %d", r->cmd->signal);
	return for_each(r, signal_one, err);
}

static int send_one(const struct request *r, struct instance *inst, struct pm_error *err)
{
	if (instance_process(inst) == NULL)
		return pm_fail(err, PM_NOT_RUNNING, "not running");
	return process_write_stdin(instance_process(inst), r->cmd->text, err);
}

int api_send(const struct request *r, struct pm_error *err)
{
	return for_each(r, send_one, err);
}

static int reset_one(const struct request *r, struct instance *inst, struct pm_error *err)
{
	(void)r;
	(void)err;
	instance_reset(inst);
	return 0;
}

int api_reset(const struct request *r, struct pm_error *err)
{
	return for_each(r, reset_one, err);
}

static int flush_one(const struct request *r, struct instance *inst, struct pm_error *err)
{
	struct log_names names;

	if (instance_log_names(inst, &names, err) < 0 ||
	    logs_flush(r->su->logs, names.out, err) < 0 ||
	    logs_flush(r->su->logs, names.err, err) < 0)
		return -1;
	return names.combined[0] == '\0' ? 0 : logs_flush(r->su->logs, names.combined, err);
}

int api_flush(const struct request *r, struct pm_error *err)
{
	return for_each(r, flush_one, err);
}

int api_reopen(const struct request *r, struct pm_error *err)
{
	(void)err;
	logs_reopen(r->su->logs);
	api_reply_text(r, "log files reopened");
	return 0;
}

/* ---- state ---- */

int api_save(const struct request *r, struct pm_error *err)
{
	char words[64];
	size_t n = 0;

	for (struct app *app = r->su->apps; app != NULL; app = app->next)
		n += app->n;
	if (n == 0 && !r->cmd->force) {
		pm_fail(err, PM_FAILED, "there is nothing to save");
		pm_hint(err, "use --force to save an empty list");
		return -1;
	}
	if (store_save(r->su->store, false, err) < 0)
		return -1; /* pmctl says that it was a save */
	(void)snprintf(words, sizeof(words), "%zu instance%s saved", n, n == 1 ? "" : "s");
	api_reply_text(r, words);
	return 0;
}

int api_cleardump(const struct request *r, struct pm_error *err)
{
	if (store_save(r->su->store, true, err) < 0)
		return pm_wrap(err, "cleardump");
	api_reply_text(r, "the saved list is empty now");
	return 0;
}

/* Drop from the set what has a name in the table already, and give the rest new ids. */
static void keep_missing(struct super *su, struct state_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n_apps; i++) {
		Pm__SavedApp *app = set->apps[i];

		if (app->spec == NULL || app_find_name(su, app->spec->name) != NULL) {
			pm__saved_app__free_unpacked(app, NULL);
			continue;
		}
		app->serial = 0;
		for (size_t k = 0; k < app->n_instances; k++) {
			app->instances[k]->pm_id = super_take_pm_id(su);
			app->instances[k]->restarts = 0;
		}
		set->apps[kept++] = app;
	}
	set->n_apps = kept;
	set->next_id = su->next_pm_id;
}

int api_resurrect(const struct request *r, struct pm_error *err)
{
	struct state_load_report report;
	struct state_set set = { 0 };
	struct order *o;
	int rc;

	if (state_load(r->su->home, STATE_SAVED, &set, &report, err) < 0)
		return -1; /* pmctl says of what */
	if (report.words[0] != '\0')
		super_degraded(r->su, "saved state", report.words);
	if (!report.found) {
		pm_fail(err, PM_NOT_FOUND, "nothing was saved");
		pm_hint(err, "run 'pmctl save' while the apps run");
		return -1;
	}
	keep_missing(r->su, &set);
	rc = store_restore(r->su, &set, err);
	state_set_finish(&set);
	if (rc < 0 || api_new_order(r, 0, true, &o, err) < 0)
		return -1;
	if (super_start_wanted(r->su, o, err) < 0)
		return -1;
	order_run(o);
	return 0;
}

/* ---- the agent ---- */

int api_kill(const struct request *r, struct pm_error *err)
{
	(void)err;
	super_kill_all(r->su, r->session, r->id);
	return 0;
}

int api_upgrade(const struct request *r, struct pm_error *err)
{
	return upgrade_start(r->su, r->session, r->id, r->cmd->text, err);
}

int api_ping(const struct request *r, struct pm_error *err)
{
	(void)err;
	api_reply_text(r, "pong");
	return 0;
}

int api_agent_status(const struct request *r, struct pm_error *err)
{
	(void)err;
	status_answer_agent(r->su, r->session, r->id);
	return 0;
}

int api_fleet(const struct request *r, struct pm_error *err)
{
	const char *word = r->cmd->text;

	if (strcmp(word, "start") == 0) {
		if (liaison_start(r->su, err) < 0)
			return -1;
	} else if (strcmp(word, "stop") == 0) {
		liaison_stop(r->su);
	} else if (*word != '\0') {
		return pm_fail(err, PM_USAGE, "fleet: start or stop, not %.40s", word);
	}
	status_answer_agent(r->su, r->session, r->id);
	return 0;
}

int api_fail_point(const struct request *r, struct pm_error *err)
{
	if (pm_failpoint_arm(r->cmd->text, err) < 0)
		return -1;
	api_reply_text(r, "armed");
	return 0;
}
