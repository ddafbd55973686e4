/* probe_exec.c - programs that are run as checks, a few at a time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job.h"
#include "agent/probe.h"
#include "agent/tree.h"
#include "agent/user.h"

struct probe_exec {
	struct probe_exec *next;      /* in su->execs, in order of asking */
	struct super *su;             /* borrowed */
	struct instance *inst;        /* borrowed while it is waited for */
	const Pm__HealthCheck *check; /* borrowed, as well */
	struct job *job;              /* borrowed; NULL: not yet its turn */
	probe_done_fn *done;          /* NULL: cancelled */
	void *arg;
};

static void run_next(struct super *su);

static void unlink_probe(struct probe_exec *p)
{
	struct probe_exec **at = &p->su->execs;

	while (*at != NULL && *at != p)
		at = &(*at)->next;
	if (*at != NULL)
		*at = p->next;
}

static void finish(struct probe_exec *p, bool ok, const char *words)
{
	struct probe_result result = { .ok = ok };
	probe_done_fn *done = p->done;
	void *arg = p->arg;

	(void)snprintf(result.words, sizeof(result.words), "%s", words);
	unlink_probe(p);
	free(p);
	if (done != NULL)
		done(arg, &result);
}

static void on_job(void *arg, int status)
{
	struct probe_exec *p = arg;
	struct super *su = p->su;
	char words[PROBE_WORDS_MAX] = "";

	if (p->done != NULL && status == JOB_TIMED_OUT)
		(void)snprintf(words, sizeof(words), "exec %.80s: no end within %u ms",
		               p->check->argv[0], p->check->timeout_ms);
	else if (p->done != NULL && status < 0)
		(void)snprintf(words, sizeof(words), "exec %.80s: %s", p->check->argv[0],
		               strerror(-status));
	else if (p->done != NULL && status > 128)
		(void)snprintf(words, sizeof(words), "exec %.80s: killed by signal %d",
		               p->check->argv[0], status - 128);
	else if (p->done != NULL && status != 0)
		(void)snprintf(words, sizeof(words), "exec %.80s: exit code %d", p->check->argv[0],
		               status);
	finish(p, status == 0, words);
	run_next(su);
}

/* A name is looked for in the app's PATH, a path from its directory on. */
static int find_program(const struct procenv *env, const Pm__AppSpec *spec, const char *name,
                        char out[PM_PATH_MAX], struct pm_error *err)
{
	if (strchr(name, '/') == NULL)
		return procenv_find_program(env, name, out, PM_PATH_MAX, err);
	if ((size_t)snprintf(out, PM_PATH_MAX, "%s%s%s", name[0] == '/' ? "" : spec->cwd,
	                     name[0] == '/' ? "" : "/", name) >= PM_PATH_MAX)
		return pm_fail(err, PM_CONFIG, "path too long: %.100s", name);
	return 0;
}

static int run_with(struct probe_exec *p, const struct user *user, const struct procenv *env,
                    struct pm_error *err)
{
	const Pm__AppSpec *spec = instance_spec(p->inst);
	char path[PM_PATH_MAX];
	struct spawn_plan plan = {
		.path = path,
		.argv = NULL,
		.envp = (const char *const *)env->envp,
		.cwd = spec->cwd,
		.uid = user->uid,
		.gid = user->gid,
		.groups = user->groups,
		.n_groups = user->n_groups,
		.umask = spec->umask,
		.no_new_privs = spec->no_new_privs,
		/* Of no instance: it is no part of the app, and what is left of it is no heir. */
		.tag = tree_tag(p->su->home_nonce, TREE_ID_CHECK, ++p->su->check_serial),
	};
	PM_FREE const char **argv = pm_calloc(p->check->n_argv + 1, sizeof(*argv));

	if (argv == NULL)
		return pm_fail(err, PM_NO_MEMORY, "check");
	for (size_t i = 0; i < p->check->n_argv; i++)
		argv[i] = p->check->argv[i];
	plan.argv = argv;
	if (find_program(env, spec, argv[0], path, err) < 0)
		return -1;
	return job_start(p->su, &plan, p->check->timeout_ms, on_job, p, &p->job, err);
}

static int run(struct probe_exec *p, struct pm_error *err)
{
	const Pm__AppSpec *spec = instance_spec(p->inst);
	struct procenv env = { 0 };
	struct user user;
	int rc;

	if (user_lookup(spec->uid, spec->gid, &user, err) < 0 ||
	    instance_procenv(p->inst, &user, -1, NULL, &env, err) < 0)
		return -1;
	rc = run_with(p, &user, &env, err);
	procenv_finish(&env);
	return rc;
}

static unsigned n_running(const struct super *su)
{
	unsigned n = 0;

	for (const struct probe_exec *p = su->execs; p != NULL; p = p->next)
		n += p->job != NULL;
	return n;
}

/* Whoever waits longest. */
static void run_next(struct super *su)
{
	struct probe_exec *p = su->execs;
	struct pm_error err;

	while (p != NULL && p->job != NULL)
		p = p->next;
	if (p != NULL && n_running(su) < PM_CHECK_EXECS_MAX && run(p, &err) < 0)
		finish(p, false, err.what);
}

int probe_exec_start(struct instance *inst, const Pm__HealthCheck *check, probe_done_fn *done,
                     void *arg, struct probe_exec **out, struct pm_error *err)
{
	struct super *su = instance_super(inst);
	struct probe_exec *p = pm_calloc(1, sizeof(*p)), **at = &su->execs;

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "check");
	*p = (struct probe_exec){
		.su = su, .inst = inst, .check = check, .done = done, .arg = arg
	};
	if (n_running(su) < PM_CHECK_EXECS_MAX && run(p, err) < 0) {
		free(p);
		return -1;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = p;
	*out = p;
	return 0;
}

void probe_exec_cancel(struct probe_exec *p)
{
	if (p == NULL)
		return;
	p->done = NULL;
	if (p->job != NULL) {
		job_kill(p->job); /* and freed when it has gone */
		return;
	}
	unlink_probe(p);
	free(p);
}
