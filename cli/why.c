#include "cli/why.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/apps.h"
#include "cli/fmt.h"
#include "proto/check.h"
#include "proto/units.h"

static const Pm__ExitRecord *last_exit(const Pm__InstanceStatus *s)
{
	const Pm__ExitRecord *last = NULL;

	for (size_t i = 0; i < s->n_exits; i++)
		if (last == NULL || s->exits[i]->wall_ms >= last->wall_ms)
			last = s->exits[i];
	return last;
}

void why_exit(const Pm__ExitRecord *e, struct pm_buf *out)
{
	char name[FMT_MAX];

	if (!e->known) {
		pm_buf_str(out, "ended while nobody watched: its status is unknown");
	} else if (e->signal != 0) {
		fmt_signal(e->signal, name);
		pm_buf_printf(out, "was killed by %s%s", name, e->core ? " (core dumped)" : "");
	} else if (e->code == 0) {
		pm_buf_str(out, "ended by itself, with code 0");
	} else {
		pm_buf_printf(out, "exited with code %d", e->code);
	}
}

const char *why_cause(const char *cause)
{
	static const struct {
		const char *cause, *words;
	} table[] = {
		{ "exit", "on its own" },
		{ "stop", "it was ordered to stop" },
		{ "restart", "a restart was ordered" },
		{ "reload", "a reload was ordered" },
		{ "delete", "it was ordered away" },
		{ "scale", "the app was scaled down" },
		{ "memory limit", "it took more than its memory limit" },
		{ "cron", "its cron_restart was due" },
		{ "watch", "a watched file changed" },
		{ "agent stop", "the agent was stopped" },
		{ "liveness check", "it failed its live check" },
		{ "watchdog", "it did not say WATCHDOG=1 in time" },
		{ "resurrect", "what was saved was restored" },
	};

	for (size_t i = 0; i < PM_COUNT(table); i++)
		if (strcmp(cause, table[i].cause) == 0)
			return table[i].words;
	return cause;
}

static void because_of_exit(const Pm__ExitRecord *e, struct pm_buf *out)
{
	char run[FMT_MAX];

	fmt_duration(e->run_ms, run);
	pm_buf_str(out, "its process ");
	why_exit(e, out);
	pm_buf_printf(out, " after %s", run);
}

static void headline_reason(const Pm__InstanceStatus *s, const Pm__ExitRecord *last,
                            struct pm_buf *out)
{
	char text[FMT_MAX];
	bool ordered = last != NULL && strcmp(last->cause, "exit") != 0;

	switch (s->state) {
	case PM__LIFE_STATE__LIFE_ONLINE:
		fmt_duration(s->uptime_ms, text);
		pm_buf_printf(out, ", for %s now", text);
		return;
	case PM__LIFE_STATE__LIFE_LAUNCHING:
		if (s->spec != NULL && check_gates(s->spec))
			pm_buf_str(out, ": it runs, and has not passed its checks yet");
		else if (s->spec != NULL && check_wants_ready(s->spec))
			pm_buf_str(out, ": it runs, and has not said yet that it is ready");
		else
			pm_buf_str(out, ": its process is being started");
		return;
	case PM__LIFE_STATE__LIFE_STOPPING:
		pm_buf_str(out, ": it was told to stop, and its processes are not all gone yet");
		return;
	case PM__LIFE_STATE__LIFE_WAITING:
		fmt_duration(s->next_start_ms, text);
		pm_buf_printf(out, ": the next start is in %s", text);
		break;
	case PM__LIFE_STATE__LIFE_ERRORED:
		pm_buf_str(out, ": pmd has given up on it");
		break;
	case PM__LIFE_STATE__LIFE_STOPPED:
		if (last == NULL) {
			pm_buf_str(out, ": it was never started");
			return;
		}
		if (ordered) {
			pm_buf_printf(out, ": %s", why_cause(last->cause));
			return;
		}
		pm_buf_str(out, ": ");
		because_of_exit(last, out);
		pm_buf_str(out, ", and the restart policy lets it be");
		return;
	case PM__LIFE_STATE__LIFE_UNSPECIFIED:
	case _PM__LIFE_STATE_IS_INT_SIZE:
		return;
	}
	if (last != NULL) {
		pm_buf_str(out, "; ");
		because_of_exit(last, out);
	}
}

void why_headline(const Pm__InstanceStatus *s, struct pm_buf *out)
{
	pm_buf_printf(out, "%s (%u) is %s", s->name, s->pm_id, apps_state_name(s->state));
	headline_reason(s, last_exit(s), out);
}

void why_policy(const Pm__AppSpec *spec, struct pm_buf *out)
{
	char text[FMT_MAX], memory[PM_BYTES_TEXT];

	if (!spec->autorestart) {
		pm_buf_str(out, "never restarted by itself (autorestart is off)");
	} else {
		fmt_duration(spec->min_uptime_ms, text);
		pm_buf_printf(out,
		              "restarted whenever it ends; given up after %u runs in a row shorter "
		              "than %s",
		              spec->max_restarts, text);
	}
	for (size_t i = 0; spec->autorestart && i < spec->n_stop_exit_codes; i++)
		pm_buf_printf(out, "%s %d", i == 0 ? "; not after exit code" : ",",
		              spec->stop_exit_codes[i]);
	if (spec->restart_delay_ms != 0) {
		fmt_duration(spec->restart_delay_ms, text);
		pm_buf_printf(out, "; %s later each time", text);
	}
	if (spec->exp_backoff_ms != 0) {
		fmt_duration(spec->exp_backoff_ms, text);
		pm_buf_printf(out, "; with growing delays from %s on", text);
	}
	if (spec->max_memory != 0) {
		pm_bytes_text(spec->max_memory, memory);
		pm_buf_printf(out, "; replaced when it takes more than %s", memory);
	}
	if (spec->cron[0] != '\0')
		pm_buf_printf(out, "; restarted by cron: %s", spec->cron);
	if (spec->watch)
		pm_buf_str(out, "; restarted when its files change");
}

/* Messages that name their own remedy. */
static const char *advice_on_output(const char *tail)
{
	static const struct {
		const char *mark, *advice;
	} known[] = {
		{ "EADDRINUSE", "its port is in use: find the other program with 'ss -ltnp', or "
		                "give the app another PORT" },
		{ "Address already in use", "its port is in use: find the other program with "
		                            "'ss -ltnp', or give the app another one" },
		{ "Cannot find module", "a module is missing: run the package manager (npm ci) in "
		                        "its directory" },
		{ "ERR_MODULE_NOT_FOUND", "a module is missing: run the package manager (npm ci) "
		                          "in its directory" },
		{ "ModuleNotFoundError", "a Python module is missing: install it, or set "
		                         "interpreter to the virtual environment's python" },
		{ "heap out of memory", "node's heap is full: raise --max-old-space-size in "
		                        "node_args, or find the leak" },
		{ "EACCES", "it may not open something: look at the owner of its files, and at "
		            "uid and gid" },
		{ "Permission denied", "it may not open something: look at the owner of its "
		                       "files, and at uid and gid" },
		{ "ECONNREFUSED", "something it needs does not answer: start that first, or name "
		                  "it in depends_on" },
		{ "ENOSPC", "the disk is full, or inotify watches ran out: look at 'df' and "
		            "fs.inotify.max_user_watches" },
		{ "EMFILE", "it has too many files open: raise limits.nofile" },
		{ "SyntaxError", "its source does not parse: is this the right interpreter and "
		                 "version?" },
	};

	for (size_t i = 0; tail != NULL && i < PM_COUNT(known); i++)
		if (strstr(tail, known[i].mark) != NULL)
			return known[i].advice;
	return NULL;
}

static const char *advice_on_exit(const Pm__ExitRecord *e, const Pm__AppSpec *spec)
{
	if (strcmp(e->cause, "memory limit") == 0)
		return "raise max_memory_restart, or find the leak";
	if (strcmp(e->cause, "watch") == 0)
		return "if it changes files itself, name them in ignore_watch";
	if (!e->known)
		return NULL;
	switch (e->signal) {
	case 0:
		break;
	case SIGKILL:
		return "somebody sent SIGKILL: if nobody did, it was the kernel short of memory; "
		       "'dmesg' tells";
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
		return "it crashed in machine code: 'coredumpctl debug' shows where, if cores are "
		       "kept (limits.core)";
	case SIGABRT:
		return "it aborted itself: its last output says why";
	case SIGTERM:
	case SIGINT:
	case SIGHUP:
		return "the signal came from outside pmd: something else manages it, too";
	default:
		return NULL;
	}
	if (e->code == 127)
		return "code 127: a command was not found; look at PATH and the interpreter";
	if (e->code == 126)
		return "code 126: a command could not be run; is it executable?";
	if (e->code == 0 && spec != NULL && spec->autorestart)
		return "a program that ends with 0 is done: if it should not be run again, use "
		       "stop_exit_codes: [0] or --no-autorestart";
	return NULL;
}

void why_advice(const Pm__InstanceStatus *s, const char *tail, struct pm_buf *out)
{
	const Pm__ExitRecord *last = last_exit(s);
	bool ordered = last != NULL && strcmp(last->cause, "exit") != 0;
	const char *advice = NULL;

	if (s->state == PM__LIFE_STATE__LIFE_ONLINE && s->unstable_restarts == 0)
		return;
	if (s->state == PM__LIFE_STATE__LIFE_STOPPED && (last == NULL || ordered)) {
		pm_buf_printf(out, "'pmctl start %u' starts it\n", s->pm_id);
		return;
	}
	if (last != NULL)
		advice = advice_on_exit(last, s->spec);
	if (advice == NULL)
		advice = advice_on_output(tail);
	if (advice != NULL)
		pm_buf_printf(out, "%s\n", advice);
	if (s->state == PM__LIFE_STATE__LIFE_ERRORED)
		pm_buf_printf(out, "%s'pmctl restart %u' gives it a new start\n",
		              advice == NULL ? "" : "then ", s->pm_id);
	else if (s->state == PM__LIFE_STATE__LIFE_WAITING)
		pm_buf_printf(out, "'pmctl restart %u' starts it now, without the delay\n",
		              s->pm_id);
	else if (s->state == PM__LIFE_STATE__LIFE_STOPPED)
		pm_buf_printf(out, "'pmctl start %u' starts it again\n", s->pm_id);
}
