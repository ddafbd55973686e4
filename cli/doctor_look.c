#include "cli/doctor_look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/doctor_boot.h"
#include "cli/doctor_files.h"
#include "proto/membership.h"
#include "proto/paths.h"

#define AGENT_MS     5000
#define VERSION_MS   2000
#define VERSION_READ 256

/* ---- programs ---- */

/* Only root or we can have put it there: it is about to be run as us. */
static bool is_trusted(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 022) == 0 &&
	       (st.st_uid == 0 || st.st_uid == geteuid());
}

void doctor_version_on_disk(char out[DOCTOR_VERSION_MAX])
{
	char path[PM_PATH_MAX];
	const char *const argv[] = { path, "--version", NULL };
	const struct child_order order = {
		.argv = argv, .out_fd = 1, .time_ms = VERSION_MS, .quiet = true
	};
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	PM_BUF said = { .max = VERSION_READ };
	struct pm_error err;
	char *slash;
	int status;

	out[0] = '\0';
	if (n < 0)
		return;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL || (size_t)(slash - path) + sizeof("/pmd") > sizeof(path))
		return;
	memcpy(slash, "/pmd", sizeof("/pmd"));
	if (!is_trusted(path) || child_run(&order, &said, &status, &err) < 0 || status != 0 ||
	    said.len == 0)
		return;
	(void)snprintf(out, DOCTOR_VERSION_MAX, "%.*s",
	               (int)PM_MIN(strcspn(said.bytes, " \n"), (size_t)DOCTOR_VERSION_MAX - 1),
	               said.bytes);
}

static void look_at_versions(const Pm__AgentStatus *a, struct doctor *d)
{
	char disk[DOCTOR_VERSION_MAX];
	struct doctor_versions v = { .cli = PM_VERSION };

	doctor_version_on_disk(disk);
	v.disk = disk[0] == '\0' ? NULL : disk;
	if (a != NULL)
		v.agent = a->version;
	if (a != NULL && a->facts != NULL) {
		v.program = a->facts->program[0] == '\0' ? NULL : a->facts->program;
		v.gone = a->facts->program_gone && v.program != NULL;
		v.replaced = a->facts->program_replaced;
	}
	doctor_versions(d, &v);
}

/* ---- the machine ---- */

static void look_at_disk(const char *what, const char *path, struct doctor *d)
{
	struct doctor_disk disk = { .what = what, .path = path };
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return; /* it is not there yet: who looks at files says so */
	disk.bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	disk.bytes_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	disk.inodes = fs.f_files;
	disk.inodes_free = fs.f_favail;
	disk.read_only = (fs.f_flag & ST_RDONLY) != 0;
	doctor_disk(d, &disk);
}

/* The logs may be elsewhere; a home that is not there yet is made in the directory above it. */
static void look_at_disks(const char *home, struct doctor *d)
{
	char path[PM_PATH_MAX];
	struct stat at_home, at_logs;
	struct pm_error err;
	char *slash;

	(void)snprintf(path, sizeof(path), "%s", home); /* came from a buffer of this size */
	while (stat(path, &at_home) < 0 && errno == ENOENT) {
		slash = strrchr(path, '/');
		if (slash == NULL || slash == path) {
			(void)snprintf(path, sizeof(path), "/");
			break;
		}
		*slash = '\0';
	}
	look_at_disk("home", path, d);
	if (stat(home, &at_home) < 0 ||
	    pm_home_file(home, PM_HOME_LOGS_DIR, path, sizeof(path), &err) < 0 ||
	    stat(path, &at_logs) < 0 || at_logs.st_dev == at_home.st_dev)
		return;
	look_at_disk("logs", path, d);
}

static void look_at_clock(const char *home, struct doctor *d)
{
	static const char *const files[] = { "state/apps", "state/saved" };
	struct doctor_clock c = { .now_s = pm_wall_ms() / 1000 };
	struct timex tx = { .modes = 0 };
	char path[PM_PATH_MAX];
	struct pm_error err;
	struct stat st;
	int rc = adjtimex(&tx);

	c.known = rc >= 0;
	c.synchronised = rc != TIME_ERROR && (tx.status & STA_UNSYNC) == 0;
	for (size_t i = 0; i < PM_COUNT(files); i++)
		if (pm_home_file(home, files[i], path, sizeof(path), &err) == 0 &&
		    lstat(path, &st) == 0)
			c.newest_s = PM_MAX(c.newest_s, (int64_t)st.st_mtime);
	doctor_clock(d, &c);
}

static void look_at_limits(const Pm__AgentStatus *a, struct doctor *d)
{
	struct doctor_limits l = { .is_root = geteuid() == 0, .nproc = UINT64_MAX };
	struct rlimit limit;

	if (a != NULL && a->facts != NULL) {
		l.of_agent = true;
		l.is_root = a->facts->uid == 0;
		l.nofile_soft = a->facts->nofile_soft;
		l.nofile_hard = a->facts->nofile_hard;
		l.nproc = a->facts->nproc_soft;
		l.open_files = a->facts->open_files;
	} else {
		if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
			l.nofile_soft = limit.rlim_cur;
			l.nofile_hard = limit.rlim_max;
		}
		if (getrlimit(RLIMIT_NPROC, &limit) == 0)
			l.nproc = limit.rlim_cur;
	}
	doctor_limits(d, &l);
}

/* ---- the agent ---- */

/* One that is in a fleet keeps this file. */
static bool is_joined(const char *home)
{
	char path[PM_PATH_MAX];
	struct pm_error err;

	return pm_home_file(home, PM_HOME_FLEET, path, sizeof(path), &err) == 0 &&
	       access(path, F_OK) == 0;
}

static struct client_status *ask_agent(struct ctx *ctx, struct doctor *d)
{
	uint32_t given = ctx->timeout_ms;
	struct client_status *status = NULL;
	struct pm_error err;
	int rc;

	/* One that hangs is a finding, and not a reason to wait for long. */
	ctx->timeout_ms = given == 0 ? AGENT_MS : given;
	rc = ctx_connect(ctx, false, &err);
	if (rc == 0)
		rc = client_agent_status(ctx->client, ctx->timeout_ms, &status, &err);
	ctx->timeout_ms = given;
	if (rc == 0 && status->agent != NULL) {
		doctor_add(d, "agent", DOCTOR_OK, NULL, "it answers: keeper pid %u, supervisor %u",
		           status->agent->keeper_pid, status->agent->supervisor_pid);
		return status;
	}
	client_status_destroy(status);
	if (rc == 0)
		doctor_add(d, "agent", DOCTOR_BAD, "pmctl agent upgrade",
		           "it did not say how it is");
	else if (err.code == PM_NOT_RUNNING)
		doctor_add(d, "agent", DOCTOR_WARN, "the next command starts one; or: pmctl ping",
		           "%s", err.what);
	else if (access(ctx->home, X_OK) < 0)
		doctor_add(d, "agent", DOCTOR_BAD, "run pmctl as the owner of the home", "%s",
		           err.what);
	else
		doctor_add(d, "agent", DOCTOR_BAD,
		           err.hint[0] != '\0' ? err.hint : "the end of pmd.log may say why", "%s",
		           err.what);
	return NULL;
}

void doctor_look(struct ctx *ctx, struct doctor *d)
{
	PM_STATUS *status = NULL;
	const Pm__AgentStatus *a;

	doctor_files(ctx->home, d);
	look_at_disks(ctx->home, d);
	status = ask_agent(ctx, d);
	a = status == NULL ? NULL : status->agent;
	look_at_versions(a, d);
	look_at_limits(a, d);
	if (a != NULL && a->facts != NULL) {
		const struct doctor_cgroup c = { .mode = a->facts->cgroup_mode,
			                         .path = a->facts->cgroup,
			                         .systemd = doctor_boot_has_systemd() };

		doctor_cgroup(d, &c);
	}
	look_at_clock(ctx->home, d);
	doctor_boot_look(ctx->home, ctx->as_pm2, d);
	if (a != NULL && a->uplink != NULL)
		doctor_uplink(d, a->uplink, pm_wall_ms());
	else if (a == NULL && is_joined(ctx->home))
		doctor_add(d, "coordinator", DOCTOR_WARN, "pmctl ping",
		           "it is in a fleet, but no agent runs that could be connected");
	if (a != NULL)
		doctor_degraded(d, a->degraded, a->n_degraded);
}
