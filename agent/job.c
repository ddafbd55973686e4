#include "agent/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sweep.h"
#include "proto/log.h"

struct job {
	struct job *next;
	struct super *su; /* borrowed */
	uint32_t slot;
	int pidfd;    /* owned, -1 */
	pid_t pid;    /* 0: the keeper has not answered */
	uint64_t tag; /* 0: none */
	bool killed, timed_out;
	uv_timer_t timer; /* owned */
	uint32_t timeout_ms;
	job_done_fn *done; /* borrowed, with arg */
	void *arg;
};

static struct job **find(const struct super *su, uint32_t slot)
{
	struct job **at = (struct job **)(uintptr_t)&su->jobs;

	while (*at != NULL && (*at)->slot != slot)
		at = &(*at)->next;
	return at;
}

bool job_has_slot(const struct super *su, uint32_t slot)
{
	return *find(su, slot) != NULL;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void finish(struct super *su, uint32_t slot, int status)
{
	struct job **at = find(su, slot), *job = *at;
	struct pm_error err;

	*at = job->next;
	su->next_slot = PM_MIN(su->next_slot, slot);
	if (keeper_client_release(su->keeper, slot, &err) < 0)
		pm_log(PM_LOG_WARN, "job.release", "%s", err.what);
	pm_closep(&job->pidfd);
	/* The number may be a stranger's by now: whatever is found there is known by its tag. */
	if (job->tag != 0 && job->pid > 0 && (kill(-job->pid, 0) == 0 || errno == EPERM))
		sweep_tag(su->sweep, job->tag, job->pid, SWEEP_NOW);
	job->done(job->arg, job->timed_out ? JOB_TIMED_OUT : status);
	uv_close((uv_handle_t *)&job->timer, on_closed);
}

void job_kill(struct job *job)
{
	job->killed = true;
	if (job->pidfd < 0)
		return; /* when the keeper has answered */
	(void)syscall(SYS_pidfd_send_signal, job->pidfd, SIGKILL, NULL, 0); /* gone: fine */
	if (job->tag != 0)
		sweep_tag(job->su->sweep, job->tag, job->pid, SWEEP_NOW);
}

static void on_timeout(uv_timer_t *timer)
{
	struct job *job = timer->data;

	job->timed_out = true;
	job_kill(job);
}

pid_t job_pid(const struct job *job)
{
	return job->pid;
}

/* fd: its descriptor 3; -1: it has none. */
static int request(struct job *job, const struct spawn_plan *plan, int fd, struct pm_error *err)
{
	PM_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[4] = { null, null, null, fd };
	int held[KEEPER_FD_COUNT];
	const uint64_t user[4] = { 0 };
	struct spawn_plan whole = *plan;

	if (null < 0)
		return pm_fail_errno(err, errno, "open /dev/null");
	for (size_t i = 0; i < PM_COUNT(held); i++)
		held[i] = -1;
	whole.n_child_fds = fd < 0 ? 3 : 4;
	for (int i = 0; i < (int)whole.n_child_fds; i++)
		whole.child_fds[i] = i;
	return keeper_client_spawn(job->su->keeper, job->slot, &whole, fds, held, user, true, err);
}

static int start(struct super *su, const struct spawn_plan *plan, int fd, uint32_t timeout_ms,
                 job_done_fn *done, void *arg, struct job **out, struct pm_error *err)
{
	struct job *job = pm_calloc(1, sizeof(*job));

	if (job == NULL)
		return pm_fail(err, PM_NO_MEMORY, "run %s", plan->path);
	*job = (struct job){ .su = su,
		             .slot = super_free_slot(su),
		             .pidfd = -1,
		             .tag = plan->tag,
		             .timeout_ms = timeout_ms,
		             .done = done,
		             .arg = arg };
	if (job->slot == SLOT_NONE || request(job, plan, fd, err) < 0) {
		if (job->slot == SLOT_NONE)
			pm_fail(err, PM_LIMIT, "more than %d processes", PM_SLOTS_MAX);
		free(job);
		return -1;
	}
	(void)uv_timer_init(su->loop, &job->timer); /* never fails */
	job->timer.data = job;
	job->next = su->jobs;
	su->jobs = job;
	*out = job;
	return 0;
}

int job_start(struct super *su, const struct spawn_plan *plan, uint32_t timeout_ms,
              job_done_fn *done, void *arg, struct job **out, struct pm_error *err)
{
	return start(su, plan, -1, timeout_ms, done, arg, out, err);
}

/* Nothing of ours but what says where a sanitizer is to write. */
static void make_environment(const char *envp[5])
{
	size_t n = 0;

	envp[n++] = "PATH=/usr/bin:/bin";
#ifdef PM_SANITIZED
	for (char **e = environ; *e != NULL && n < 4; e++)
		if (strstr(*e, "SAN_OPTIONS=") != NULL)
			envp[n++] = *e;
#endif
	envp[n] = NULL;
}

static struct spawn_plan plan_of(const char *path, const char *const *argv, const char *envp[5])
{
	make_environment(envp);
	return (struct spawn_plan){
		.path = path,
		.argv = argv,
		.envp = envp,
		.cwd = "/",
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.umask = 0077,
	};
}

int job_start_part(struct super *su, const char *path, const char *const *argv, int fd,
                   job_done_fn *done, void *arg, struct job **out, struct pm_error *err)
{
	const char *envp[5];
	const struct spawn_plan plan = plan_of(path, argv, envp);

	return start(su, &plan, fd, 0, done, arg, out, err);
}

int job_run(struct super *su, const char *path, const char *const *argv, uint32_t timeout_ms,
            job_done_fn *done, void *arg, struct pm_error *err)
{
	const char *envp[5];
	struct spawn_plan plan = plan_of(path, argv, envp);
	struct job *job;

	plan.nice = 19;
	plan.nice_set = true;
	return start(su, &plan, -1, timeout_ms, done, arg, &job, err);
}

bool job_on_spawned(struct super *su, const struct keeper_record *r, int pidfd)
{
	struct job *job = *find(su, r->slot);

	if (job == NULL)
		return false;
	if (r->error != 0) {
		finish(su, r->slot, -r->error);
		return true;
	}
	job->pidfd = pidfd;
	job->pid = r->pid;
	if (job->killed)
		job_kill(job);
	if (job->timeout_ms != 0)
		(void)uv_timer_start(&job->timer, on_timeout, job->timeout_ms, 0);
	return true;
}

bool job_on_exited(struct super *su, const struct keeper_record *r)
{
	if (!job_has_slot(su, r->slot))
		return false;
	finish(su, r->slot,
	       r->status_known == 0  ? -ECHILD
	       : r->exit_signal != 0 ? 128 + r->exit_signal
	                             : r->exit_code);
	return true;
}

void job_abandon_all(struct super *su)
{
	while (su->jobs != NULL) {
		struct job *job = su->jobs;

		su->jobs = job->next;
		pm_closep(&job->pidfd);
		uv_close((uv_handle_t *)&job->timer, on_closed);
	}
}
