#include "agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cluster.h"
#include "agent/elf.h"
#include "agent/ipc.h"
#include "agent/notify_socket.h"
#include "agent/preload.h"
#include "agent/procenv.h"
#include "agent/tree.h"
#include "agent/user.h"
#include "agent/worker.h"
#include "proto/log.h"

/* Descriptors of a process about to start: ours to keep, the child's to lose. */
struct pipes {
	int held[KEEPER_FD_COUNT];
	int child[SPAWN_FDS_MAX];  /* the first n_owned are closed with this, the others borrowed */
	int number[SPAWN_FDS_MAX]; /* what each will be in the child */
	size_t n_child, n_owned;
	int ipc_number; /* -1: it has no channel */
	char shim_env[48];
};

static void pipes_close(struct pipes *p)
{
	for (size_t i = 0; i < PM_COUNT(p->held); i++)
		pm_closep(&p->held[i]);
	for (size_t i = 0; i < p->n_owned; i++)
		pm_closep(&p->child[i]);
}

static void pipes_add(struct pipes *p, int fd, int number)
{
	p->child[p->n_child] = fd;
	p->number[p->n_child++] = number;
}

/*
 * A pipe for output. The child's end is opened for reading too: then a write never fails for want
 * of a reader, not even while keeper and supervisor are both dead (P2), and the end of the stream
 * still comes with its last holder.
 */
static int output_pipe(int *ours, int *childs)
{
	char path[40];
	int ends[2], both;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
	both = open(path, O_RDWR | O_CLOEXEC);
	if (both >= 0) {
		(void)close(ends[1]);
		ends[1] = both;
	}
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK); /* a pipe always takes it */
	*ours = ends[0];
	*childs = ends[1];
	return 0;
}

static int input_pipe(int *ours, int *childs)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
	*ours = ends[1];
	*childs = ends[0];
	return 0;
}

static int ipc_pair(int *ours, int *childs)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	*ours = ends[0];
	*childs = ends[1];
	return 0;
}

/* libuv's programs, npm and yarn among them, keep the lowest sixteen and what follows without a gap
 * from their children (uv_disable_stdio_inheritance). */
#define SHIM_NUMBER (SPAWN_FD_NUMBER_MAX - 1)

/* Stdin, stdout, stderr, the message channel, the library's pair, the sockets that were declared.
 */
static int pipes_fill(struct pipes *p, bool ipc, const struct cluster_seat *seat,
                      struct pm_error *err)
{
	int number = LISTEN_FDS_FIRST + (seat == NULL ? 0 : (int)seat->listen.n), fd = -1;
	struct worker_pair pair = { -1, -1, "" };

	if (input_pipe(&p->held[KEEPER_FD_STDIN], &p->child[0]) < 0 ||
	    output_pipe(&p->held[KEEPER_FD_OUT], &p->child[1]) < 0 ||
	    output_pipe(&p->held[KEEPER_FD_ERR], &p->child[2]) < 0 ||
	    (ipc && ipc_pair(&p->held[KEEPER_FD_IPC], &fd) < 0))
		return pm_fail_errno(err, errno, "make pipes");
	if (ipc) {
		p->ipc_number = number;
		pipes_add(p, fd, number);
		p->n_owned = p->n_child;
	}
	if (seat != NULL && worker_pair_open(seat->way, SHIM_NUMBER, &pair, err) < 0)
		return -1;
	if (pair.childs >= 0) {
		p->held[KEEPER_FD_EXTRA] = pair.ours;
		memcpy(p->shim_env, pair.env, sizeof(p->shim_env));
		pipes_add(p, pair.childs, SHIM_NUMBER);
		p->n_owned = p->n_child;
	}
	for (size_t i = 0; seat != NULL && i < seat->listen.n; i++)
		pipes_add(p, seat->listen_fds[i], LISTEN_FDS_FIRST + (int)i);
	return 0;
}

static int pipes_open(struct pipes *p, bool ipc, const struct cluster_seat *seat,
                      struct pm_error *err)
{
	for (size_t i = 0; i < PM_COUNT(p->held); i++)
		p->held[i] = -1;
	for (size_t i = 0; i < PM_COUNT(p->child); i++)
		p->child[i] = -1;
	for (int i = 0; i < 3; i++)
		p->number[i] = i;
	p->n_child = p->n_owned = 3;
	p->ipc_number = -1;
	p->shim_env[0] = '\0';
	if (pipes_fill(p, ipc, seat, err) == 0)
		return 0;
	pipes_close(p);
	return -1;
}

void process_cgroup(const struct process *p, char *out, size_t size)
{
	cgroup_path(&p->su->cgroup, tree_tag_pm_id(p->tag), p->slot, out, size);
}

/* ---- output ---- */

static void try_free(struct process *p)
{
	char cgroup[PATH_MAX];
	struct pm_error err;

	if (p->inst != NULL || (p->pid != 0 && !p->exited) || p->streams[0] != NULL ||
	    p->streams[1] != NULL)
		return;
	if (keeper_client_release(p->su->keeper, p->slot, &err) < 0)
		pm_log(PM_LOG_WARN, "process.release", "slot=%u %s", p->slot, err.what);
	process_cgroup(p, cgroup, sizeof(cgroup));
	cgroup_remove(cgroup);
	/* The slot's record stays until the next process: while the keeper has not yet heard of the
	 * release, a successor of ours must find there that all output was dealt with. */
	p->su->processes[p->slot] = NULL;
	p->su->next_slot =
		PM_MIN(p->su->next_slot, p->slot); /* low ones first: less memory is touched */
	pm_closep(&p->pidfd);
	pm_closep(&p->stdin_fd);
	worker_close(p->worker);
	ipc_close(p->ipc);
	free(p);
}

static void on_out_done(void *arg)
{
	struct process *p = arg;

	p->streams[0] = NULL;
	p->fds[KEEPER_FD_OUT] = p->fds[KEEPER_FD_OUT_STAGE] = -1;
	try_free(p);
}

static void on_err_done(void *arg)
{
	struct process *p = arg;

	p->streams[1] = NULL;
	p->fds[KEEPER_FD_ERR] = p->fds[KEEPER_FD_ERR_STAGE] = -1;
	try_free(p);
}

static void on_message(void *arg, const char *line, size_t len)
{
	struct process *p = arg;

	if (p->worker != NULL)
		worker_on_line(p->worker, line, len);
	else if (p->inst != NULL)
		instance_on_message(p->inst, line, len);
}

static void close_streams(const int pipes[2], const int stages[2], int from)
{
	for (int i = from; i < 2; i++) {
		int fds[2] = { pipes[i], stages[i] };

		pm_closep(&fds[0]);
		pm_closep(&fds[1]);
	}
}

/* pipes and stages are taken; a stream that cannot be captured is drained by nobody but does
 * not stop the app. */
static int attach_streams(struct process *p, struct instance *inst, const int pipes[2],
                          const int stages[2], struct pm_error *err)
{
	struct slot_record *r = arena_slot(p->su->arena, p->slot);
	struct log_names names;
	struct user user;

	/* A user that is gone by now must not cost the output: the files become ours. */
	if (user_lookup(instance_spec(inst)->uid, instance_spec(inst)->gid, &user, err) < 0) {
		user.uid = (uid_t)-1;
		user.gid = (gid_t)-1;
	}
	if (log_names_make(p->su->home, instance_spec(inst), instance_log_id(inst), &names, err) <
	    0) {
		close_streams(pipes, stages, 0);
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		enum keeper_fd role = i == 1 ? KEEPER_FD_ERR : KEEPER_FD_OUT;
		const struct log_stream_config config = {
			.slot = p->slot,
			.pm_id = instance_core(inst)->pm_id,
			.err = i == 1,
			.path = i == 1 ? names.err : names.out,
			.combined_path = names.combined[0] != '\0' ? names.combined : NULL,
			.spec = instance_spec(inst),
			.uid = user.uid,
			.gid = user.gid,
		};

		if (pipes[i] < 0)
			continue; /* an adopted process that sends its output elsewhere */
		if (log_stream_attach(p->su->logs, &config, pipes[i], stages[i],
		                      i == 1 ? &r->err : &r->out, &p->streams[i], err) < 0) {
			close_streams(pipes, stages, i + 1);
			return -1;
		}
		p->fds[role] = pipes[i];
		if (stages[i] >= 0)
			p->fds[i == 1 ? KEEPER_FD_ERR_STAGE : KEEPER_FD_OUT_STAGE] = stages[i];
	}
	return 0;
}

/* ---- life time ---- */

static struct process *process_new(struct super *su, struct instance *inst, uint32_t slot)
{
	struct process *p = pm_calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->su = su;
	p->inst = inst;
	p->slot = slot;
	p->index = instance_index(inst);
	p->pm_id = instance_core(inst)->pm_id;
	p->app_serial = instance_core(inst)->app_serial;
	p->pidfd = p->stdin_fd = -1;
	for (size_t i = 0; i < PM_COUNT(p->fds); i++)
		p->fds[i] = -1;
	su->processes[slot] = p;
	return p;
}

static void process_drop(struct process *p)
{
	p->su->processes[p->slot] = NULL;
	for (int i = 0; i < 2; i++)
		if (p->streams[i] != NULL)
			log_stream_abandon(p->streams[i]);
	pm_closep(&p->pidfd);
	pm_closep(&p->stdin_fd);
	worker_close(p->worker);
	ipc_close(p->ipc);
	free(p);
}

static int take_ipc(struct process *p, int fd, struct pm_error *err)
{
	if (fd < 0)
		return 0;
	p->fds[KEEPER_FD_IPC] = fd;
	if (ipc_create(p->su->loop, fd, on_message, NULL, p, &p->ipc, err) == 0)
		return 0;
	p->fds[KEEPER_FD_IPC] = -1;
	return -1;
}

/* shim_fd is taken. */
static int take_worker(struct process *p, const struct cluster_seat *seat, int shim_fd,
                       struct pm_error *err)
{
	p->fds[KEEPER_FD_EXTRA] = shim_fd;
	if (worker_create(p, seat, p->ipc, shim_fd, &p->worker, err) == 0)
		return 0;
	p->fds[KEEPER_FD_EXTRA] = -1;
	return -1;
}

/* A file that is preloaded into workers; NULL: it cannot be. */
static const char *find_preload(struct process *p, const char *name, bool for_others,
                                char path[PM_PATH_MAX])
{
	char program[PM_PATH_MAX];

	if (!super_program(program) ||
	    !preload_find(program, name, for_others, path, PM_PATH_MAX)) {
		super_degraded(
			p->su, name,
			strcmp(name, PRELOAD_DRAIN) == 0
				? "not beside pmd, or not readable for the app's user: a "
				  "reload may cut connections that are kept open"
				: "not beside pmd, or not readable for the app's user: programs "
				  "other than node cannot share a port");
		return NULL;
	}
	return path;
}

static const char static_words[] =
	"statically linked: nothing can be preloaded into it, so it shares a "
	"port by LISTEN_FDS (listen) or SO_REUSEPORT of its own";

/* What the keeper shall do, from the spec and the instance's place in it. */
static int request(struct process *p, struct instance *inst, const struct pipes *pipes,
                   const struct cluster_seat *seat, struct pm_error *err)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	struct spawn_limit limits[SPAWN_LIMITS_MAX];
	struct procenv env = { 0 };
	struct procenv_worker worker = { 0 };
	char cgroup[PATH_MAX], drain[PM_PATH_MAX], shim[PM_PATH_MAX];
	struct spawn_plan plan;
	struct user user;
	uint64_t user_words[4] = { p->index, p->pm_id, p->tag, p->app_serial };
	int rc;

	if (cgroup_make(&p->su->cgroup, tree_tag_pm_id(p->tag), p->slot, cgroup, sizeof(cgroup),
	                err) < 0)
		super_degraded(p->su, "cgroup", err->what); /* the tags do without */
	if (user_lookup(spec->uid, spec->gid, &user, err) < 0)
		return -1;
	if (seat != NULL) {
		bool for_others = user.uid != (uid_t)-1;

		worker = (struct procenv_worker){
			.listen = &seat->listen,
			/* The same over restarts: which worker is the first stays so. */
			.node_id = seat->way == CLUSTER_NODE ? seat->number + 1 : 0,
			.generation = seat->generation,
			.preload_env = pipes->shim_env,
		};
		if (seat->way == CLUSTER_SHIM)
			worker.preload = find_preload(p, PRELOAD_SHIM, for_others, shim);
		if (seat->way == CLUSTER_NODE && spec->drain)
			worker.preload = find_preload(p, PRELOAD_DRAIN, for_others, drain);
		if (spec->drain && cluster_launches_node(spec))
			worker.node_preload = find_preload(p, PRELOAD_DRAIN, for_others, drain);
	}
	if (instance_procenv(inst, &user, pipes->ipc_number, seat == NULL ? NULL : &worker, &env,
	                     err) < 0)
		return -1;
	if (seat != NULL && seat->way == CLUSTER_SHIM && spec->n_listen == 0 &&
	    elf_is_static(env.path))
		instance_remark(inst, static_words);
	plan = (struct spawn_plan){
		.path = env.path,
		.argv = (const char *const *)env.argv,
		.envp = (const char *const *)env.envp,
		.cwd = spec->cwd,
		.uid = user.uid,
		.gid = user.gid,
		.groups = user.groups,
		.n_groups = user.n_groups,
		.umask = spec->umask,
		.limits = limits,
		.n_limits = instance_limits(inst, limits),
		.nice = spec->nice,
		.nice_set = spec->nice_set,
		.oom_score_adj = spec->oom_score_adj,
		.oom_score_adj_set = spec->oom_score_adj_set,
		.no_new_privs = spec->no_new_privs,
		.tag = p->tag,
		.n_child_fds = pipes->n_child,
		.cgroup = cgroup[0] != '\0' ? cgroup : NULL,
	};
	memcpy(plan.child_fds, pipes->number, sizeof(plan.child_fds));
	rc = keeper_client_spawn(p->su->keeper, p->slot, &plan, pipes->child, pipes->held,
	                         user_words, false, err);
	procenv_finish(&env);
	return rc;
}

int process_spawn(struct instance *inst, struct process **out, struct pm_error *err)
{
	struct super *su = instance_super(inst);
	const Pm__AppSpec *spec = instance_spec(inst);
	const int no_stages[2] = { -1, -1 };
	uint32_t slot = super_free_slot(su);
	struct cluster_seat place, *seat = NULL;
	struct process *p;
	struct pipes pipes;
	int outputs[2];

	if (slot == SLOT_NONE)
		return pm_fail(err, PM_LIMIT, "more than %d processes", PM_SLOTS_MAX);
	if (cluster_can_share(spec)) {
		seat = &place;
		if (cluster_take_seat(inst, seat, err) < 0)
			return -1;
	}
	if ((check_wants_notify(spec) && notify_socket_open(su, err) < 0) ||
	    pipes_open(&pipes, procenv_wants_ipc(spec), seat, err) < 0)
		return -1;
	p = process_new(su, inst, slot);
	if (p == NULL) {
		pipes_close(&pipes);
		return pm_fail(err, PM_NO_MEMORY, "start a process");
	}
	p->tag = tree_tag(su->home_nonce, instance_core(inst)->pm_id, instance_core(inst)->spawns);
	memset(arena_slot(su->arena, slot), 0, sizeof(struct slot_record));
	if (request(p, inst, &pipes, seat, err) < 0)
		goto fail;
	p->stdin_fd = PM_STEAL_FD(pipes.held[KEEPER_FD_STDIN]);
	outputs[0] = PM_STEAL_FD(pipes.held[KEEPER_FD_OUT]);
	outputs[1] = PM_STEAL_FD(pipes.held[KEEPER_FD_ERR]);
	/* From here on the process is coming: what fails now costs its output or messages, and is
	 * said. */
	if (attach_streams(p, inst, outputs, no_stages, err) < 0)
		pm_log(PM_LOG_ERROR, "process.capture", "pm_id=%u %s", instance_core(inst)->pm_id,
		       err->what);
	if (take_ipc(p, PM_STEAL_FD(pipes.held[KEEPER_FD_IPC]), err) < 0)
		pm_log(PM_LOG_ERROR, "process.ipc", "pm_id=%u %s", instance_core(inst)->pm_id,
		       err->what);
	if (seat != NULL && take_worker(p, seat, PM_STEAL_FD(pipes.held[KEEPER_FD_EXTRA]), err) < 0)
		pm_log(PM_LOG_ERROR, "process.worker", "pm_id=%u %s", instance_core(inst)->pm_id,
		       err->what);
	pipes_close(&pipes);
	*out = p;
	return 0;
fail:
	pipes_close(&pipes);
	process_drop(p);
	return -1;
}

/* shim_fd is taken. */
static int adopt_worker(struct process *p, struct instance *inst, int shim_fd, struct pm_error *err)
{
	struct cluster_seat seat;
	char program[32];

	if (!cluster_can_share(instance_spec(inst)))
		return 0;
	(void)snprintf(program, sizeof(program), "/proc/%d/exe", (int)p->pid);
	if (cluster_way(instance_spec(inst)) == CLUSTER_SHIM && elf_is_static(program))
		instance_remark(inst, static_words);
	if (cluster_find_seat(inst, instance_core(inst)->generation, &seat, err) == 0)
		return take_worker(p, &seat, shim_fd, err);
	pm_closep(&shim_fd);
	return -1;
}

int process_adopt(struct super *su, struct instance *inst, const struct keeper_record *r,
                  const int fds[KEEPER_FD_COUNT], struct process **out, struct pm_error *err)
{
	const int outputs[2] = { fds[KEEPER_FD_OUT], fds[KEEPER_FD_ERR] };
	const int stages[2] = { fds[KEEPER_FD_OUT_STAGE], fds[KEEPER_FD_ERR_STAGE] };
	struct process *p = process_new(su, inst, r->slot);

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "adopt pid %d", r->pid);
	p->pid = r->pid;
	p->pidfd = fds[KEEPER_FD_PIDFD];
	p->start_ticks = r->start_ticks;
	p->tag = r->user[2] != 0 ? r->user[2] : r->tag;
	p->untagged = r->tag == 0;
	p->stdin_fd = fds[KEEPER_FD_STDIN];
	*out = p;
	if (attach_streams(p, inst, outputs, stages, err) < 0)
		return pm_wrap(err, "capture pid %d", r->pid);
	if (take_ipc(p, fds[KEEPER_FD_IPC], err) < 0)
		return -1;
	return adopt_worker(p, inst, fds[KEEPER_FD_EXTRA], err);
}

void process_on_spawned(struct process *p, const struct keeper_record *r, int pidfd)
{
	if (r->error != 0) {
		p->exited = true;
		return;
	}
	p->pid = r->pid;
	pm_closep(&p->pidfd); /* an adopted one has it already */
	p->pidfd = pidfd;
	p->start_ticks = r->start_ticks;
	p->untagged = r->tag == 0;
}

static void detach_streams(struct process *p)
{
	struct log_stream *streams[2] = { p->streams[0], p->streams[1] };

	/* done may come at once, and the second one may free p. */
	if (streams[0] != NULL)
		log_stream_detach(streams[0], on_out_done, p);
	if (streams[1] != NULL)
		log_stream_detach(streams[1], on_err_done, p);
}

void process_on_exited(struct process *p)
{
	struct worker *worker;

	p->exited = true;
	pm_closep(&p->stdin_fd);
	worker = PM_STEAL(p->worker); /* nothing is handed to it any more */
	if (worker != NULL && p->inst != NULL)
		worker_return_connections(worker, instance_app(p->inst));
	worker_close(worker);
	ipc_close(p->ipc);
	p->ipc = NULL;
	p->fds[KEEPER_FD_IPC] = p->fds[KEEPER_FD_EXTRA] = -1;
}

void process_let_go(struct process *p)
{
	p->inst = NULL;
	worker_close(PM_STEAL(p->worker)); /* its sockets may go with the app */
	if (p->streams[0] == NULL && p->streams[1] == NULL)
		try_free(p);
	else
		detach_streams(p);
}

void process_abandon(struct process *p)
{
	process_drop(p);
}

int process_write_stdin(struct process *p, const char *text, struct pm_error *err)
{
	PM_FREE char *line = pm_calloc(strlen(text) + 2, 1);
	ssize_t n;

	if (p->stdin_fd < 0)
		return pm_fail(err, PM_FAILED, "it has no stdin");
	if (line == NULL)
		return pm_fail(err, PM_NO_MEMORY, "send");
	memcpy(line, text, strlen(text));
	line[strlen(text)] = '\n';
	n = write(p->stdin_fd, line, strlen(text) + 1);
	if (n == (ssize_t)strlen(text) + 1)
		return 0;
	if (n >= 0 || errno == EAGAIN)
		return pm_fail(err, PM_FAILED, "it does not read its stdin (the pipe is full)");
	return pm_fail(err, PM_FAILED, "its stdin is closed: %s", strerror(errno));
}

int process_signal(struct process *p, int signal, struct pm_error *err)
{
	if (p->pidfd < 0 || p->exited)
		return pm_fail(err, PM_NOT_RUNNING, "no process");
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0)
		return pm_fail_errno(err, errno, "signal %d to pid %d", signal, p->pid);
	return 0;
}
