/* X-01, P3: a supervisor killed at any point loses no line, doubles none and damages none. */
#include "tests/unit/logs_test.h"

#include <signal.h>
#include <sys/socket.h>

#include "agent/capture.h"
#include "proto/failpoint.h"

#define N_LINES   10000u
#define N_STREAMS 2u

/* What the keeper holds. */
struct held {
	int pipe[N_STREAMS], stage[N_STREAMS], link;
	struct capture_state *words; /* N_STREAMS, shared */
};

struct mode {
	const char *name;
	bool json, prefix, merged, combined;
	uint64_t max_size;
};

static const struct mode modes[] = {
	{ .name = "raw" },
	{ .name = "raw, rotated", .max_size = 20000 },
	{ .name = "prefix", .prefix = true },
	{ .name = "prefix, rotated", .prefix = true, .max_size = 20000 },
	{ .name = "json", .json = true },
	{ .name = "merged, rotated", .merged = true, .max_size = 30000 },
	{ .name = "combined", .combined = true },
	{ .name = "combined, prefix, rotated",
	  .combined = true,
	  .prefix = true,
	  .max_size = 20000 },
};

/* ---- apps ---- */

static void app(int fd, unsigned stream, unsigned seed)
{
	char line[96], chunk[4096];
	size_t len = 0;

	for (unsigned n = 0; n < N_LINES; n++) {
		int k = snprintf(line, sizeof(line), "%u:%u:%.*s\n", stream, n, (int)(n * 7 % 40),
		                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop");

		for (int i = 0; i < k; i++) {
			chunk[len++] = line[i];
			seed = seed * 1664525u + 1013904223u;
			if (len == sizeof(chunk) || (seed >> 20) % 600 == 0) {
				put_bytes(fd, chunk, len);
				len = 0;
			}
		}
	}
	put_bytes(fd, chunk, len);
}

static pid_t start_app(struct held *h, unsigned stream, unsigned seed)
{
	int fds[2];
	pid_t pid;

	make_pipe(fds);
	h->pipe[stream] = fds[0];
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		app(fds[1], stream, seed);
		_exit(0);
	}
	(void)close(fds[1]);
	return pid;
}

/* ---- the supervisor ---- */

static int link_fd;

static void hold(void *arg, uint32_t slot, enum keeper_fd role, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &slot, .iov_len = sizeof(slot) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	(void)arg;
	(void)role;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(link_fd, &msg, 0) < 0)
		_exit(3);
}

static void take_stages(struct held *h)
{
	for (;;) {
		char control[CMSG_SPACE(sizeof(int))];
		uint32_t slot;
		struct iovec iov = { .iov_base = &slot, .iov_len = sizeof(slot) };
		struct msghdr msg = { .msg_iov = &iov,
			              .msg_iovlen = 1,
			              .msg_control = control,
			              .msg_controllen = sizeof(control) };

		if (recvmsg(h->link, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		assert_true(h->stage[slot] < 0);
		memcpy(&h->stage[slot], CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	}
}

static void run_supervisor(struct place *p, const struct mode *mode, struct held *h)
{
	const struct logs_hooks hooks = { .arg = p, .hold = hold };
	struct log_stream *s[N_STREAMS];
	struct pm_error err;
	unsigned done = 0;
	char paths[N_STREAMS][160];

	p->spec.log_max_size = mode->max_size;
	p->spec.log_type = mode->json ? PM__LOG_TYPE__LOG_TYPE_JSON : PM__LOG_TYPE__LOG_TYPE_RAW;
	p->spec.log_date_format = (char *)(uintptr_t)(mode->prefix ? "[T]" : "");
	p->config.combined_path = mode->combined ? p->combined : NULL;
	if (uv_loop_init(&p->loop) != 0 || logs_create(&p->loop, p->home, &hooks, &p->logs, &err))
		_exit(4);
	for (unsigned i = 0; i < N_STREAMS; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/logs/app-%u.log", p->home,
		               mode->merged ? 0 : i);
		p->config.path = paths[i];
		p->config.slot = i;
		if (log_stream_attach(p->logs, &p->config, h->pipe[i], h->stage[i], &h->words[i],
		                      &s[i], &err) < 0)
			_exit(5);
	}
	while (!s[0]->eof || !s[1]->eof)
		(void)uv_run(&p->loop, UV_RUN_ONCE);
	for (unsigned i = 0; i < N_STREAMS; i++)
		log_stream_detach(s[i], count_done, &done);
	_exit(done == N_STREAMS ? 0 : 6);
}

/* ---- what is in the files ---- */

static const char *payload_of(const struct mode *mode, const char *line)
{
	if (mode->json) {
		static const char begin[] = "{\"message\":\"";

		assert_memory_equal(line, begin, sizeof(begin) - 1);
		return line + sizeof(begin) - 1;
	}
	if (mode->prefix) {
		assert_memory_equal(line, "T: ", 3);
		return line + 3;
	}
	return line;
}

/* Every line of `want` streams (bits) once, each stream's in order. */
static void check_family(const struct mode *mode, const char *path, unsigned want)
{
	unsigned next[N_STREAMS] = { 0 }, n_files;
	size_t len;
	char *text = slurp_family(path, &len, &n_files), *line = text;

	while (line < text + len) {
		char *newline = strchr(line, '\n'), *end;
		const char *payload;
		unsigned stream, n;

		assert_non_null(newline);
		*newline = '\0';
		payload = payload_of(mode, line);
		stream = (unsigned)strtoul(payload, &end, 10);
		assert_true(stream < N_STREAMS && *end == ':');
		n = (unsigned)strtoul(end + 1, &end, 10);
		assert_int_equal(n, next[stream]);
		assert_int_equal(strspn(end + 1, "abcdefghijklmnopqrstuvwxyz"), n * 7 % 40);
		next[stream]++;
		line = newline + 1;
	}
	for (unsigned i = 0; i < N_STREAMS; i++)
		assert_int_equal(next[i], want & 1u << i ? N_LINES : 0);
	if (mode->max_size != 0)
		assert_true(n_files >= 1);
	free(text);
}

static void check(const struct mode *mode, const struct place *p)
{
	char path[160];

	for (unsigned i = 0; i < (mode->merged ? 1 : N_STREAMS); i++) {
		(void)snprintf(path, sizeof(path), "%s/logs/app-%u.log", p->home, i);
		check_family(mode, path, mode->merged ? 3 : 1u << i);
	}
	if (mode->combined)
		check_family(mode, p->combined, 3);
}

/* ---- one story ---- */

/* Wait for the supervisor, or kill it after a while; returns whether it was killed. */
static bool supervise(pid_t pid, unsigned kill_after_us)
{
	int status;

	if (kill_after_us > 0) {
		(void)usleep(kill_after_us); /* a random moment, not a wait for something */
		(void)kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

/*
 * Apps write; the supervisor is killed up to `kills` times: at fail point `arm`, or, when that is
 * NULL, at random moments.  Returns how often it was.
 */
static unsigned story(const struct mode *mode, const char *arm, unsigned kills, unsigned seed)
{
	struct held h = { .stage = { -1, -1 } };
	unsigned killed = 0;
	struct place p;
	pid_t apps[N_STREAMS];
	int pair[2];

	place_init(&p);
	h.words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(h.words != MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	h.link = pair[0];
	link_fd = pair[1];
	for (unsigned i = 0; i < N_STREAMS; i++)
		apps[i] = start_app(&h, i, seed + i);
	for (;;) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct pm_error err;

			if (arm != NULL && killed < kills && pm_failpoint_arm(arm, &err) < 0)
				_exit(7);
			run_supervisor(&p, mode, &h);
		}
		if (!supervise(pid, arm == NULL && killed < kills ? 1 + seed * 7919 % 3000 : 0))
			break;
		seed = seed * 1664525u + 1013904223u;
		take_stages(&h);
		killed++;
		assert_true(killed <= kills);
	}
	for (unsigned i = 0; i < N_STREAMS; i++) {
		int status;

		assert_int_equal(waitpid(apps[i], &status, 0), apps[i]);
		assert_int_equal(status, 0);
		(void)close(h.pipe[i]);
		if (h.stage[i] >= 0)
			(void)close(h.stage[i]);
	}
	check(mode, &p);
	(void)close(pair[0]);
	(void)close(pair[1]);
	(void)munmap(h.words, 4096);
	place_finish(&p);
	return killed;
}

static void x01_kills_at_named_points_cost_no_line(void **state)
{
	static const struct {
		const char *point;
		bool staged, rotated; /* reached only in such modes */
	} points[] = {
		{ "capture.after_splice", .staged = true },
		{ "capture.after_intent", .staged = true },
		{ "capture.mid_write", .staged = true },
		{ "capture.after_write", .staged = true },
		{ "capture.mid_commit", .staged = true },
		{ "capture.after_commit", .staged = true },
		{ "capture.before_compact", .staged = true },
		{ "capture.mid_compact", .staged = true },
		{ "rotate.after_rename", .rotated = true },
		{ "rotate.after_open", .rotated = true },
	};
	static const unsigned skips[] = { 0, 2 };

	(void)state;
#ifndef PM_FAILPOINTS
	skip();
#endif
	for (size_t m = 0; m < PM_COUNT(modes); m++) {
		const struct mode *mode = &modes[m];
		bool staged = mode->prefix || mode->json || mode->merged || mode->combined;

		for (size_t i = 0; i < PM_COUNT(points); i++) {
			if ((points[i].staged && !staged) ||
			    (points[i].rotated && mode->max_size == 0))
				continue;
			unsigned killed = 0;

			for (size_t k = 0; k < PM_COUNT(skips); k++) {
				char arm[96];

				(void)snprintf(arm, sizeof(arm),
				               "%s=%u+kill,capture.mid_recover=kill",
				               points[i].point, skips[k]);
				killed += story(mode, arm, 4, (unsigned)(m * 100 + i * 10 + k));
			}
			if (killed == 0)
				fail_msg("%s: %s was not reached", mode->name, points[i].point);
		}
	}
}

static void x01_kills_at_random_moments_cost_no_line(void **state)
{
	unsigned killed = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 5; seed++)
		for (size_t m = 0; m < PM_COUNT(modes); m++)
			killed += story(&modes[m], NULL, 6, seed * 31 + (unsigned)m);
	assert_true(killed > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x01_kills_at_named_points_cost_no_line),
		cmocka_unit_test(x01_kills_at_random_moments_cost_no_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
