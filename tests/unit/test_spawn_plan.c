#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/spawn.h"

static const char *const no_env[] = { NULL };
static char dir[] = "/tmp/pmd-spawn-XXXXXX";

static struct spawn_plan plan_of(const char *const *argv)
{
	return (struct spawn_plan){ .path = argv[0],
		                    .argv = argv,
		                    .envp = no_env,
		                    .uid = (uid_t)-1,
		                    .gid = (gid_t)-1,
		                    .umask = -1 };
}

/* ---- the plan as a block ---- */

static void a_plan_comes_back_as_it_went(void **state)
{
	const char *argv[] = { "/bin/x", "", "two words", NULL }, *envp[] = { "A=1", "B=", NULL };
	const gid_t groups[] = { 3, 1000 };
	const struct spawn_limit limits[] = { { RLIMIT_NOFILE, 10, 20 }, { RLIMIT_CORE, 0, 0 } };
	struct spawn_plan p = plan_of(argv);
	struct spawn_mapped m;
	struct pm_error err;
	int fd = -1;

	(void)state;
	p.envp = envp;
	p.cwd = "/tmp";
	p.uid = 7;
	p.gid = 8;
	p.groups = groups;
	p.n_groups = 2;
	p.umask = 077;
	p.limits = limits;
	p.n_limits = 2;
	p.nice = -5;
	p.nice_set = true;
	p.oom_score_adj = 300;
	p.oom_score_adj_set = true;
	p.no_new_privs = true;
	p.tag = UINT64_C(0x8000000000000001);
	p.child_fds[0] = 2;
	p.child_fds[1] = 0;
	p.n_child_fds = 2;
	p.cgroup = "/sys/fs/cgroup/x";
	assert_int_equal(spawn_plan_write(&p, &fd, &err), 0);
	assert_int_equal(spawn_plan_map(fd, &m), 0);
	assert_string_equal(m.plan.path, "/bin/x");
	assert_string_equal(m.plan.argv[1], "");
	assert_string_equal(m.plan.argv[2], "two words");
	assert_null(m.plan.argv[3]);
	assert_string_equal(m.plan.envp[1], "B=");
	assert_null(m.plan.envp[2]);
	assert_string_equal(m.plan.cwd, "/tmp");
	assert_string_equal(m.plan.cgroup, "/sys/fs/cgroup/x");
	assert_int_equal(m.plan.uid, 7);
	assert_int_equal(m.plan.gid, 8);
	assert_int_equal(m.plan.groups[1], 1000);
	assert_int_equal(m.plan.limits[0].hard, 20);
	assert_int_equal(m.plan.umask, 077);
	assert_int_equal(m.plan.nice, -5);
	assert_int_equal(m.plan.oom_score_adj, 300);
	assert_true(m.plan.nice_set && m.plan.oom_score_adj_set && m.plan.no_new_privs);
	assert_true(m.plan.tag == p.tag);
	assert_int_equal(m.plan.child_fds[0], 2);
	assert_int_equal(m.plan.n_child_fds, 2);
	spawn_plan_unmap(&m);
	(void)close(fd);
}

static void a_plan_that_nobody_could_start_is_refused(void **state)
{
	const char *argv[] = { "/bin/x", NULL, NULL };
	struct spawn_plan p = plan_of(argv);
	struct pm_error err;
	char *big;
	int fd = -1;

	(void)state;
	p.n_child_fds = 2; /* number 0 twice */
	assert_int_equal(spawn_plan_write(&p, &fd, &err), -1);
	p.child_fds[1] = SPAWN_FD_NUMBER_MAX;
	assert_int_equal(spawn_plan_write(&p, &fd, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	p.n_child_fds = SPAWN_FDS_MAX + 1;
	assert_int_equal(spawn_plan_write(&p, &fd, &err), -1);
	p.n_child_fds = 0;
	big = pm_calloc(1, (2u << 20) + 1);
	assert_non_null(big);
	memset(big, 'a', 2u << 20);
	argv[1] = big;
	assert_int_equal(spawn_plan_write(&p, &fd, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	free(big);
	argv[1] = NULL;
	pm_alloc_fail_at(1);
	assert_int_equal(spawn_plan_write(&p, &fd, &err), -1);
	assert_int_equal(err.code, PM_NO_MEMORY);
	pm_alloc_fail_at(0);
	assert_int_equal(fd, -1);
}

static int sealed_copy(const unsigned char *bytes, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL),
		0);
	return fd;
}

static void a_damaged_plan_is_refused_or_stays_in_its_bounds(void **state)
{
	const char *argv[] = { "/bin/x", "y", NULL };
	struct spawn_plan p = plan_of(argv);
	struct spawn_mapped m;
	struct pm_error err;
	unsigned char bytes[1024];
	ssize_t len;
	int fd = -1;

	(void)state;
	assert_int_equal(spawn_plan_write(&p, &fd, &err), 0);
	len = pread(fd, bytes, sizeof(bytes), 0);
	assert_true(len > 0 && len < (ssize_t)sizeof(bytes));
	(void)close(fd);
	for (ssize_t i = 0; i < len; i++) {
		unsigned char saved = bytes[i];

		bytes[i] ^= 0xff;
		fd = sealed_copy(bytes, (size_t)len);
		bytes[i] = saved;
		if (spawn_plan_map(fd, &m) == 0) {
			for (size_t a = 0; m.plan.argv[a] != NULL; a++)
				assert_true(strlen(m.plan.argv[a]) < m.size);
			assert_true(strlen(m.plan.path) < m.size);
			spawn_plan_unmap(&m);
		}
		(void)close(fd);
	}
	for (ssize_t cut = 0; cut < len; cut++) {
		fd = sealed_copy(bytes, (size_t)cut);
		assert_int_equal(spawn_plan_map(fd, &m), EINVAL);
		(void)close(fd);
	}
	/* One that could shrink under the mapping is none. */
	fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(write(fd, bytes, (size_t)len), len);
	assert_int_equal(spawn_plan_map(fd, &m), EINVAL);
	(void)close(fd);
}

/* ---- spawning ---- */

struct run {
	char out[8192];
	int status; /* of waitpid */
	struct spawn_result result;
};

/* Run the plan with its stdout in a pipe, to the end. */
static void run_plan(struct spawn_plan *p, const struct origin *origin, struct run *r)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), out[2];
	int fds[3];
	struct spawn_request request = { p, fds, -1, origin };
	size_t len = 0;
	ssize_t n;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fds[0] = out[1];
	fds[1] = null;
	fds[2] = out[1];
	p->child_fds[0] = 1;
	p->child_fds[1] = 0;
	p->child_fds[2] = 2;
	p->n_child_fds = 3;
	memset(r, 0, sizeof(*r));
	spawn_child(&request, &r->result);
	(void)close(null);
	(void)close(out[1]);
	/* Ends only when nobody has the write end: the spawning process neither. */
	while ((n = read(out[0], r->out + len, sizeof(r->out) - 1 - len)) > 0)
		len += (size_t)n;
	(void)close(out[0]);
	if (r->result.error == 0) {
		assert_true(r->result.pidfd >= 0);
		assert_int_equal(waitpid(r->result.pid, &r->status, 0), r->result.pid);
		(void)close(r->result.pidfd);
	} else {
		assert_int_equal(r->result.pidfd, -1);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
	}
}

static void run_shell(const char *script, struct spawn_plan *p, const struct origin *origin,
                      struct run *r)
{
	const char *argv[] = { "/bin/sh", "-c", script, NULL };

	p->path = argv[0];
	p->argv = argv;
	run_plan(p, origin, r);
	p->argv = NULL;
}

static void make_file(const char *name, const char *text, mode_t mode, char *path)
{
	int fd;

	(void)snprintf(path, 256, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

/* */
static void each_failure_names_its_stage_and_errno(void **state)
{
	char plain[256], no_bang[256], busy[256];
	const char *huge_argv[] = { "/bin/true", NULL, NULL };
	const struct {
		const char *path, *cwd, *cgroup;
		struct spawn_limit limit;
		enum spawn_stage stage;
		int error;
	} rows[] = {
		{ "/no/such/file", NULL, NULL, { 0 }, SPAWN_STAGE_EXEC, ENOENT },
		{ "/etc", NULL, NULL, { 0 }, SPAWN_STAGE_EXEC, EACCES },
		{ plain, NULL, NULL, { 0 }, SPAWN_STAGE_EXEC, EACCES },
		{ no_bang, NULL, NULL, { 0 }, SPAWN_STAGE_EXEC, ENOEXEC },
		{ busy, NULL, NULL, { 0 }, SPAWN_STAGE_EXEC, ETXTBSY },
		{ "/bin/true", "/no/such/dir", NULL, { 0 }, SPAWN_STAGE_CWD, ENOENT },
		{ "/bin/true", "/etc/passwd", NULL, { 0 }, SPAWN_STAGE_CWD, ENOTDIR },
		{ "/bin/true", NULL, "/no/cgroup", { 0 }, SPAWN_STAGE_CGROUP, ENOENT },
		{ "/bin/true", NULL, NULL, { RLIMIT_CPU, 9, 1 }, SPAWN_STAGE_LIMITS, EINVAL },
	};
	struct run r;
	int writer;
	char *huge;

	(void)state;
	make_file("plain", "x", 0600, plain);
	make_file("no-bang", "echo hello\n", 0700, no_bang);
	make_file("busy", "#!/bin/sh\n", 0700, busy);
	writer = open(busy, O_WRONLY | O_CLOEXEC);
	assert_true(writer >= 0);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const char *argv[] = { rows[i].path, NULL };
		struct spawn_plan p = plan_of(argv);

		p.cwd = rows[i].cwd;
		p.cgroup = rows[i].cgroup;
		p.limits = &rows[i].limit;
		p.n_limits = rows[i].limit.soft != 0;
		run_plan(&p, NULL, &r);
		assert_int_equal(r.result.error, rows[i].error);
		assert_int_equal(r.result.stage, rows[i].stage);
	}
	(void)close(writer);

	huge = pm_calloc(1, 200u << 10); /* over the kernel's limit for one string */
	assert_non_null(huge);
	memset(huge, 'x', (200u << 10) - 1);
	huge_argv[1] = huge;
	{
		struct spawn_plan p = plan_of(huge_argv);

		run_plan(&p, NULL, &r);
	}
	assert_int_equal(r.result.error, E2BIG);
	assert_int_equal(r.result.stage, SPAWN_STAGE_EXEC);
	free(huge);
}

static void the_child_has_exactly_the_given_descriptors(void **state)
{
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	int extra[40];
	struct run r;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(extra); i++)
		extra[i] = open("/dev/null", O_RDONLY); /* not even close-on-exec */
	run_shell(
		"i=0; while [ $i -lt 100 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done; exit 0",
		&p, NULL, &r);
	for (size_t i = 0; i < PM_COUNT(extra); i++)
		(void)close(extra[i]);
	assert_string_equal(r.out, "0\n1\n2\n");
	assert_int_equal(r.status, 0);
}

static void crossed_numbers_arrive_where_they_should(void **state)
{
	const char *argv[] = { "/bin/sh", "-c", "cat <&3; cat <&0; cat <&7", NULL };
	struct spawn_plan p = plan_of(argv);
	struct spawn_result result;
	int from[3][2], out[2], fds[4];
	struct spawn_request request = { &p, fds, -1, NULL };
	static const int numbers[] = { 7, 0, 3, 1 };
	char text[16] = "";

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	for (int i = 0; i < 3; i++) {
		char byte = (char)('a' + i);

		assert_int_equal(pipe2(from[i], O_CLOEXEC), 0);
		assert_int_equal(write(from[i][1], &byte, 1), 1);
		(void)close(from[i][1]);
		fds[i] = from[i][0];
	}
	fds[3] = out[1];
	for (size_t i = 0; i < 4; i++)
		p.child_fds[i] = numbers[i];
	p.n_child_fds = 4;
	spawn_child(&request, &result);
	assert_int_equal(result.error, 0);
	(void)close(out[1]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(read(out[0], text + i, 1), 1);
	assert_string_equal(text, "cba");
	assert_int_equal(waitpid(result.pid, NULL, 0), result.pid);
	for (int i = 0; i < 3; i++)
		(void)close(from[i][0]);
	(void)close(out[0]);
	(void)close(result.pidfd);
}

static void signals_session_and_mask_are_fresh(void **state)
{
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	sigset_t blocked, before;
	struct run r;
	char want[64];

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigfillset(&blocked);
	(void)sigprocmask(SIG_BLOCK, &blocked, &before);
	run_shell("exec grep -E '^Sig(Blk|Ign)' /proc/self/status", &p, NULL, &r);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	assert_string_equal(r.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	run_shell("cut -d' ' -f5,6 /proc/$$/stat", &p, NULL, &r);
	(void)snprintf(want, sizeof(want), "%d %d\n", r.result.pid, r.result.pid);
	assert_string_equal(r.out, want);
	assert_true(r.result.start_ticks > 0);
}

static void limits_umask_nice_cwd_and_tag_are_set(void **state)
{
	const struct spawn_limit limits[] = { { RLIMIT_NOFILE, 100, 200 } };
	const struct origin origin = { .limits = { [RLIMIT_CORE] = { 4096, 4096 } } };
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	struct origin now = origin;
	struct run r;
	char want[128];

	(void)state;
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit l;

		assert_int_equal(getrlimit((enum __rlimit_resource)i, &l), 0);
		now.limits[i] = (struct origin_limit){ l.rlim_cur, l.rlim_max };
	}
	/* Lower than ours, as the limits that the agent raised for itself. */
	now.limits[RLIMIT_MEMLOCK] = (struct origin_limit){ 4096, 4096 };
	p.limits = limits;
	p.n_limits = 1;
	p.umask = 027;
	p.nice = 7;
	p.nice_set = true;
	p.cwd = dir;
	p.tag = UINT64_C(0x8000000000001234);
	run_shell("ulimit -Sn; ulimit -Hn; ulimit -l; umask; cut -d' ' -f19 /proc/$$/stat; pwd; "
	          "grep -c 9223372036854780468 /proc/$$/limits",
	          &p, &now, &r);
	(void)snprintf(want, sizeof(want), "100\n200\n4\n0027\n7\n%s\n1\n", dir);
	assert_string_equal(r.out, want);
	assert_true(r.result.tagged);
}

static void the_user_and_the_groups_are_the_plans_alone(void **state)
{
	const gid_t groups[] = { 4242, 4243 };
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	struct run r;
	char closed[64];

	(void)state;
	if (geteuid() != 0) {
		struct spawn_plan refused = p;

		refused.uid = 12345;
		run_shell("id", &refused, NULL, &r);
		assert_int_equal(r.result.error, EPERM);
		assert_int_equal(r.result.stage, SPAWN_STAGE_GROUPS);
		return;
	}
	p.uid = 12345;
	p.gid = 12346;
	p.groups = groups;
	p.n_groups = 2;
	p.no_new_privs = true;
	run_shell("id -u; id -g; id -G; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status", &p, NULL,
	          &r);
	assert_string_equal(r.out, "12345\n12346\n12346 4242 4243\nCapEff:\t0000000000000000\n"
	                           "NoNewPrivs:\t1\n");
	/* As that user: a directory of root's is closed to it. */
	(void)snprintf(closed, sizeof(closed), "%s/closed", dir);
	assert_int_equal(mkdir(closed, 0700), 0);
	p.cwd = closed;
	run_shell("id", &p, NULL, &r);
	assert_int_equal(r.result.error, EACCES);
	assert_int_equal(r.result.stage, SPAWN_STAGE_CWD);
	assert_int_equal(rmdir(closed), 0);
}

static int read_own_oom(void)
{
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	return (int)strtol(text, NULL, 10);
}

static void oom_score_is_the_childs_and_ours_stays(void **state)
{
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	struct origin origin;
	struct run r;

	(void)state;
	memset(&origin, 0, sizeof(origin));
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit l;

		assert_int_equal(getrlimit((enum __rlimit_resource)i, &l), 0);
		origin.limits[i] = (struct origin_limit){ l.rlim_cur, l.rlim_max };
	}
	origin.oom_score_adj = origin.own_oom_score_adj = read_own_oom();
	p.oom_score_adj = 700;
	p.oom_score_adj_set = true;
	run_shell("cat /proc/self/oom_score_adj", &p, &origin, &r);
	assert_string_equal(r.out, "700\n");
	assert_int_equal(read_own_oom(), origin.own_oom_score_adj);
}

/* X-20, as seen from here: the kernel refuses the exec because the new user has too many. */
static void too_many_processes_of_a_user_is_the_machines_fault(void **state)
{
	const struct spawn_limit none = { RLIMIT_NPROC, 0, 0 };
	const char *argv[] = { "/bin/cat", NULL };
	struct spawn_plan first = plan_of(argv), p = plan_of((const char *[]){ "/bin/sh", NULL });
	struct spawn_request request = { &first, NULL, -1, NULL };
	struct spawn_result result;
	struct run r;
	int in[2];

	(void)state;
	if (geteuid() != 0)
		return; /* the fail point keeper.fork covers it */
	first.uid = p.uid = 12345;
	first.gid = p.gid = 12346;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	request.fds = in;
	first.n_child_fds = 1;
	spawn_child(&request, &result);
	assert_int_equal(result.error, 0);
	(void)close(in[0]);
	p.limits = &none;
	p.n_limits = 1;
	{
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		struct spawn_request over = { &p, &null, -1, NULL };

		p.argv = (const char *[]){ "/bin/sh", NULL };
		p.n_child_fds = 1;
		spawn_child(&over, &r.result);
		(void)close(null);
	}
	assert_int_equal(r.result.error, EAGAIN);
	assert_int_equal(r.result.stage, SPAWN_STAGE_FORK);
	(void)close(in[1]);
	assert_int_equal(waitpid(result.pid, NULL, 0), result.pid);
	(void)close(result.pidfd);
}

/* */
static void a_lowered_descriptor_limit_is_said_not_hung_on(void **state)
{
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	struct rlimit before, low;
	struct run r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 24;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	run_shell("id", &p, NULL, &r);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(r.result.error, EMFILE);
	assert_int_equal(r.result.stage, SPAWN_STAGE_FDS);
	run_shell("echo again", &p, NULL, &r);
	assert_string_equal(r.out, "again\n");
}

/* The child hangs where only SIGKILL helps: opening a pipe that nobody reads.  On a dead network
 * file system, or stopped by its new user, it would be the same. */
static void a_child_that_hangs_before_its_exec_is_given_up(void **state)
{
	struct spawn_plan p = plan_of((const char *[]){ "/bin/sh", NULL });
	char fifo[64];
	struct run r;

	(void)state;
	(void)snprintf(fifo, sizeof(fifo), "%s/cgroup.procs", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	p.cgroup = dir;
	memset(&r, 0, sizeof(r));
	{
		const char *argv[] = { "/bin/sh", NULL };
		struct spawn_request request = { &p, NULL, -1, NULL };
		siginfo_t info;

		p.argv = argv;
		spawn_child(&request, &r.result);
		assert_int_equal(waitid(P_ALL, 0, &info, WEXITED), 0);
		assert_int_equal(info.si_status, SIGKILL);
	}
	assert_int_equal(r.result.error, ETIMEDOUT);
	assert_int_equal(r.result.stage, SPAWN_STAGE_CGROUP);
	assert_int_equal(unlink(fifo), 0);
	p.cgroup = NULL;
	run_shell("echo on", &p, NULL, &r);
	assert_string_equal(r.out, "on\n");
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL || spawn_init() != 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char path[256];
	static const char *const names[] = { "plain", "no-bang", "busy" };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_comes_back_as_it_went),
		cmocka_unit_test(a_plan_that_nobody_could_start_is_refused),
		cmocka_unit_test(a_damaged_plan_is_refused_or_stays_in_its_bounds),
		cmocka_unit_test(each_failure_names_its_stage_and_errno),
		cmocka_unit_test(the_child_has_exactly_the_given_descriptors),
		cmocka_unit_test(crossed_numbers_arrive_where_they_should),
		cmocka_unit_test(signals_session_and_mask_are_fresh),
		cmocka_unit_test(limits_umask_nice_cwd_and_tag_are_set),
		cmocka_unit_test(the_user_and_the_groups_are_the_plans_alone),
		cmocka_unit_test(oom_score_is_the_childs_and_ours_stays),
		cmocka_unit_test(too_many_processes_of_a_user_is_the_machines_fault),
		cmocka_unit_test(a_lowered_descriptor_limit_is_said_not_hung_on),
		cmocka_unit_test(a_child_that_hangs_before_its_exec_is_given_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
