/*
 * The keeper over an exec of itself.
 *
 * Upgrade: the state (below) goes to a memfd, close-on-exec goes from every descriptor named in it,
 * and the new program is executed in our place: same pid, children stay children.  The new keeper
 * makes the old supervisor leave and starts its own.  What can go wrong, and what then happens:
 *
 *   the exec fails                      nothing has changed; a NOTE says why
 *   it cannot read the state            it executes the old program with the same state
 *   its supervisor does not get ready   it writes the state and executes the old program
 *   it dies at once                     the old supervisor, still there, promotes itself
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/keeper_int.h"
#include "agent/notify.h"
#include "agent/spawn.h"
#include "proto/failpoint.h"
#include "proto/log.h"
#include "proto/paths.h"

#define STATE_MAGIC "PMDKEEP1"

struct state_head {
	char magic[8];
	uint32_t proto, head_size, slot_size, held_size;
	uint32_t phase; /* enum upgrade_phase */
	uint32_t n_slots, n_held;
	int32_t lock_fd, exe_fd, old_exe_fd;
	int32_t super_pid, super_pidfd, super_sock;
	uint32_t super_restarts;
	uint32_t stop_wanted, notified_ready;
	struct origin origin;
	char from[32]; /* the version that wrote it */
	char note[KEEPER_NAME_MAX];
};

static struct {
	int origin_fd;
	bool foreground, as_pm2;
	char note[KEEPER_NAME_MAX];
} prepared = { .origin_fd = -1 };

#ifdef PM_FAILPOINTS
static char fail_spec[512];
#endif

/* ---- writing ---- */

static void keep_open(int fd, bool keep)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static void set_head(struct state_head *h, enum upgrade_phase phase)
{
	*h = (struct state_head){ .proto = KEEPER_PROTO,
		                  .head_size = sizeof(*h),
		                  .slot_size = sizeof(struct keeper_saved_slot),
		                  .held_size = sizeof(struct keeper_saved_held),
		                  .phase = phase,
		                  .lock_fd = -1,
		                  .exe_fd = -1,
		                  .old_exe_fd = -1,
		                  .super_pidfd = -1,
		                  .super_sock = -1,
		                  .from = PM_VERSION };
	memcpy(h->magic, STATE_MAGIC, sizeof(h->magic));
}

static void keep_head(const struct state_head *h, bool keep)
{
	keep_open(h->lock_fd, keep);
	keep_open(h->exe_fd, keep);
	keep_open(h->old_exe_fd, keep);
	keep_open(h->super_pidfd, keep);
	keep_open(h->super_sock, keep);
}

static void keep_tables(const struct keeper *k, bool keep)
{
	for (uint32_t i = 0; i < k->slots_top; i++)
		for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
			if (k->slots[i].r.state != KEEPER_SLOT_FREE)
				keep_open(k->slots[i].fds[role], keep);
	for (uint32_t i = 0; i < k->n_held; i++)
		keep_open(k->held[i].fd, keep);
}

static bool write_tables(const struct keeper *k, int fd)
{
	for (uint32_t i = 0; i < k->slots_top; i++) {
		struct keeper_saved_slot saved;

		if (k->slots[i].r.state == KEEPER_SLOT_FREE)
			continue;
		saved.record = k->slots[i].r;
		memcpy(saved.fds, k->slots[i].fds, sizeof(saved.fds));
		if (pm_write_all(fd, &saved, sizeof(saved)) < 0)
			return false;
	}
	for (uint32_t i = 0; i < k->n_held; i++) {
		struct keeper_saved_held saved;

		memcpy(saved.name, k->held[i].name, sizeof(saved.name));
		saved.fd = k->held[i].fd;
		if (pm_write_all(fd, &saved, sizeof(saved)) < 0)
			return false;
	}
	return true;
}

static void fill_head(const struct keeper *k, struct state_head *h)
{
	for (uint32_t i = 0; i < k->slots_top; i++)
		h->n_slots += k->slots[i].r.state != KEEPER_SLOT_FREE;
	h->n_held = k->n_held;
	h->lock_fd = k->lock_fd;
	h->super_pid = k->super.pid;
	h->super_pidfd = k->super.pidfd;
	h->super_sock = k->super.sock;
	h->super_restarts = k->super.restarts;
	h->stop_wanted = k->stop_wanted;
	h->notified_ready = k->notified_ready;
	h->origin = k->origin;
}

static int new_state(const struct state_head *h)
{
	PM_CLOSE int fd = memfd_create("pmd-keeper", MFD_CLOEXEC);

	if (fd < 0 || pm_write_all(fd, h, sizeof(*h)) < 0)
		return -1;
	return PM_STEAL_FD(fd);
}

/* Execute exe_fd with the state.  Returns only on failure, with errno. */
static void exec_keeper(int exe_fd, int state_fd, int fallback_fd, bool fell_back,
                        const struct keeper_options *o)
{
	char state[12], fallback[12], path[32];
	const char *argv[16] = { "pmd", "agent", "--home", o->home, "--restore", state };
	char *arguments[PM_COUNT(argv)];
	size_t n = 6;
	int error;

	(void)snprintf(state, sizeof(state), "%d", state_fd);
	(void)snprintf(fallback, sizeof(fallback), "%d", fallback_fd);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", exe_fd);
	if (fallback_fd >= 0) {
		argv[n++] = "--fallback";
		argv[n++] = fallback;
	}
	if (fell_back)
		argv[n++] = "--fell-back";
	if (o->foreground)
		argv[n++] = "--foreground";
	if (o->as_pm2)
		argv[n++] = "--pm2";
	/* execveat(2) takes strings it does not change, as execve(2). */
	memcpy(arguments, argv, sizeof(argv));
	keep_open(state_fd, true);
	(void)syscall(SYS_execveat, exe_fd, "", arguments, environ, AT_EMPTY_PATH);
	error = errno;
	keep_open(state_fd, false);
	errno = error;
}

/* Save and execute.  Returns only on failure, an errno; then nothing has changed. */
static int exec_with_state(struct keeper *k, struct state_head *h)
{
	PM_CLOSE int state = -1;
	int error;

	fill_head(k, h);
	state = new_state(h);
	if (state < 0 || !write_tables(k, state))
		return errno;
	error = PM_FAIL_POINT("keeper.upgrade.before_exec");
	if (error != 0)
		return error;
	keep_head(h, true);
	keep_tables(k, true);
	exec_keeper(h->exe_fd, state, h->old_exe_fd, false, &k->opt);
	error = errno;
	keep_head(h, false);
	keep_tables(k, false);
	return error;
}

/* The fail points that we were started with are for the next program too, where a test wants it to
 * break; not for its supervisor, and not for the way back. */
static void arm_next(bool armed)
{
#ifdef PM_FAILPOINTS
	if (armed && fail_spec[0] != '\0')
		(void)setenv("PMD_FAIL", fail_spec, 1);
	else
		(void)unsetenv("PMD_FAIL");
#else
	(void)armed;
#endif
}

void keeper_upgrade_remember_failpoints(void)
{
#ifdef PM_FAILPOINTS
	const char *spec = getenv("PMD_FAIL");

	if (spec != NULL && strlen(spec) < sizeof(fail_spec))
		memcpy(fail_spec, spec, strlen(spec) + 1);
#endif
}

/* ---- upgrade ---- */

void keeper_upgrade_begin(struct keeper *k, int exe_fd)
{
	struct state_head h;
	int error;

	if (k->upgrade.phase != UPGRADE_NONE || k->stop_wanted || k->takeover.asked) {
		keeper_out_note(k, "upgrade refused: another change is under way");
		(void)close(exe_fd);
		return;
	}
	pm_log(PM_LOG_INFO, "keeper.upgrade", "from=" PM_VERSION);
	notify_reloading();
	set_head(&h, UPGRADE_TRYING);
	h.exe_fd = exe_fd;
	h.old_exe_fd = k->exe_fd;
	arm_next(true);
	error = exec_with_state(k, &h);
	arm_next(false);
	pm_log(PM_LOG_ERROR, "keeper.upgrade", "exec: %s", strerror(error));
	keeper_out_note(k, "upgrade failed: %s", strerror(error));
	(void)notify_send("READY=1");
	(void)close(exe_fd);
}

void keeper_upgrade_go_back(struct keeper *k, const char *why)
{
	k->upgrade.deadline_ms = 0;
	k->upgrade.going_back = true;
	pm_log(PM_LOG_ERROR, "keeper.upgrade", "back to %s: %s", k->upgrade.from, why);
	keeper_out_note(k, "upgrade failed: %s", why);
	if (k->super.pid != 0)
		keeper_super_kill(k); /* its exit leads to keeper_upgrade_exec_old() */
}

void keeper_upgrade_exec_old(struct keeper *k)
{
	struct state_head h;
	int error;

	set_head(&h, UPGRADE_FELL_BACK);
	h.exe_fd = k->old_exe_fd;
	memcpy(h.note, k->out.note, sizeof(h.note));
	error = exec_with_state(k, &h);
	pm_log(PM_LOG_ERROR, "keeper.upgrade", "cannot go back: %s", strerror(error));
	k->upgrade = (struct upgrade){ .phase = UPGRADE_FELL_BACK };
}

void keeper_upgrade_confirmed(struct keeper *k)
{
	bool same = strcmp(k->upgrade.from, PM_VERSION) == 0;

	if (same)
		keeper_out_note(k, "re-executed, version %s", PM_VERSION);
	else
		keeper_out_note(k, "upgraded from %s to %s", k->upgrade.from, PM_VERSION);
	pm_log(PM_LOG_INFO, "keeper.upgrade", "%s", k->out.note);
	pm_closep(&k->old_exe_fd);
	k->old_exe_fd = -1;
	k->upgrade = (struct upgrade){ .phase = UPGRADE_NONE };
	(void)notify_send("READY=1\nMAINPID=%d", (int)getpid());
}

/* ---- restore ---- */

/* A descriptor that came over the exec: ours alone again, and out of the way of spawning. */
static int inherited(int fd)
{
	int moved;

	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	if (!spawn_fd_is_reserved(fd))
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FD_NUMBER_MAX * 2);
	(void)close(fd);
	return moved;
}

static bool read_all(int fd, void *bytes, size_t len)
{
	char *p = bytes;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool read_head(int fd, struct state_head *h)
{
	return lseek(fd, 0, SEEK_SET) == 0 && read_all(fd, h, sizeof(*h)) &&
	       memcmp(h->magic, STATE_MAGIC, sizeof(h->magic)) == 0 && h->proto == KEEPER_PROTO &&
	       h->head_size == sizeof(*h) && h->slot_size == sizeof(struct keeper_saved_slot) &&
	       h->held_size == sizeof(struct keeper_saved_held) && h->n_slots <= PM_SLOTS_MAX &&
	       h->n_held <= PM_HELD_MAX;
}

static void restore_slot(struct keeper *k, struct keeper_saved_slot *saved, bool promoted)
{
	struct slot *s = slot_at(k, saved->record.slot);

	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		saved->fds[role] = inherited(saved->fds[role]);
	if (s == NULL || saved->record.state == KEEPER_SLOT_FREE)
		return;
	if (promoted)
		saved->record.foreign = 1;
	if (saved->record.state == KEEPER_SLOT_EXITED) {
		s->r = saved->record;
		s->r.op = KEEPER_SLOT;
		memcpy(s->fds, saved->fds, sizeof(s->fds));
	} else {
		slot_fill(k, s, &saved->record, saved->fds);
	}
}

static bool restore_tables(struct keeper *k, int fd, const struct state_head *h)
{
	for (uint32_t i = 0; i < h->n_slots; i++) {
		struct keeper_saved_slot saved;

		if (!read_all(fd, &saved, sizeof(saved)))
			return false;
		restore_slot(k, &saved, h->phase == UPGRADE_PROMOTED);
	}
	for (uint32_t i = 0; i < h->n_held; i++) {
		struct keeper_saved_held saved;

		if (!read_all(fd, &saved, sizeof(saved)))
			return false;
		saved.name[sizeof(saved.name) - 1] = '\0';
		(void)held_put(k, saved.name, inherited(saved.fd)); /* n_held was checked */
	}
	return true;
}

static void restore_phase(struct keeper *k, const struct state_head *h)
{
	k->upgrade.phase = (enum upgrade_phase)h->phase;
	memcpy(k->upgrade.from, h->from, sizeof(k->upgrade.from) - 1);
	memcpy(k->out.note, h->note, sizeof(k->out.note) - 1);
	if (!k->opt.fell_back)
		return;
	/* We are the program before, and the new one has not done anything yet. */
	k->upgrade.phase = UPGRADE_FELL_BACK;
	pm_closep(&k->exe_fd);
	k->exe_fd = k->old_exe_fd;
	k->old_exe_fd = -1;
	keeper_out_note(k, "upgrade failed: it cannot read our state");
}

static void restore_head(struct keeper *k, const struct state_head *h)
{
	k->lock_fd = inherited(h->lock_fd);
	k->exe_fd = inherited(h->exe_fd);
	k->old_exe_fd = inherited(h->old_exe_fd);
	k->super.pid = h->super_pid;
	k->super.pidfd = inherited(h->super_pidfd);
	k->super.sock = inherited(h->super_sock);
	k->super.restarts = h->super_restarts;
	k->stop_wanted = h->stop_wanted != 0;
	k->notified_ready = h->notified_ready != 0;
	k->origin = h->origin;
	restore_phase(k, h);
}

/* Returns KEEPER_EXIT_STATE, unless the program before us goes on in our place. */
static int cannot_restore(struct keeper *k)
{
	int fallback = k->opt.fallback_fd;

	pm_log(PM_LOG_ERROR, "keeper.restore", "state of another format%s",
	       fallback >= 0 ? ", back to the old program" : "");
	if (fallback >= 0)
		exec_keeper(fallback, k->opt.restore_fd, -1, true, &k->opt);
	return KEEPER_EXIT_STATE;
}

int keeper_restore(struct keeper *k)
{
	struct pm_error err;
	struct state_head h;
	int fd = k->opt.restore_fd;

	(void)unsetenv("PMD_FAIL");
	if (PM_FAIL_POINT("keeper.restore") != 0 || !read_head(fd, &h))
		return cannot_restore(k);
	fd = inherited(fd);
	restore_head(k, &h);
	if (!restore_tables(k, fd, &h) || spawn_init() != 0 ||
	    pm_home_open(k->opt.home, &k->home_fd, &err) < 0) {
		(void)fprintf(stderr, "pmd: the saved state is damaged\n");
		return KEEPER_EXIT_STATE;
	}
	(void)close(fd);
	if (k->exe_fd < 0)
		k->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	origin_apply_own(&k->origin);
	return 0;
}

/* ---- promotion ---- */

void keeper_promote_prepare(int origin_fd, bool foreground, bool as_pm2)
{
	prepared.origin_fd = origin_fd;
	prepared.foreground = foreground;
	prepared.as_pm2 = as_pm2;
}

void keeper_promote_note(const char *text)
{
	(void)snprintf(prepared.note, sizeof(prepared.note), "%s", text);
}

static bool write_promoted(int fd, const struct keeper_saved_slot *slots, size_t n_slots,
                           const struct keeper_saved_held *held, size_t n_held)
{
	for (size_t i = 0; i < n_slots; i++)
		for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
			keep_open(slots[i].fds[role], true);
	for (size_t i = 0; i < n_held; i++)
		keep_open(held[i].fd, true);
	return pm_write_all(fd, slots, n_slots * sizeof(*slots)) == 0 &&
	       pm_write_all(fd, held, n_held * sizeof(*held)) == 0;
}

int keeper_promote(const char *home, int lock_fd, const struct keeper_saved_slot *slots,
                   size_t n_slots, const struct keeper_saved_held *held, size_t n_held,
                   struct pm_error *err)
{
	const struct keeper_options o = { .home = home,
		                          .foreground = prepared.foreground,
		                          .as_pm2 = prepared.as_pm2 };
	PM_CLOSE int state = -1, exe = -1;
	struct state_head h;

	set_head(&h, UPGRADE_PROMOTED);
	h.lock_fd = lock_fd;
	memcpy(h.note, prepared.note, sizeof(h.note));
	h.n_slots = (uint32_t)n_slots;
	h.n_held = (uint32_t)n_held;
	if (origin_read(prepared.origin_fd, &h.origin, err) < 0)
		return pm_wrap(err, "become the keeper");
	state = new_state(&h);
	exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (state < 0 || exe < 0 || !write_promoted(state, slots, n_slots, held, n_held))
		return pm_fail_errno(err, errno, "become the keeper: write the state");
	keep_head(&h, true);
	(void)unsetenv("PMD_FAIL");
	exec_keeper(exe, state, -1, false, &o);
	return pm_fail_errno(err, errno, "become the keeper");
}
