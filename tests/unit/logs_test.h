/* logs_test.h - what the tests of captured output share: a home, a loop, streams, their files. */
#ifndef PM_TESTS_LOGS_TEST_H
#define PM_TESTS_LOGS_TEST_H

#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/logs.h"
#include "proto/buf.h"

struct place {
	char home[64], path[128], combined[128];
	uv_loop_t loop;
	struct logs *logs;
	Pm__AppSpec spec;
	struct log_stream_config config;
	char words[256]; /* of the last degradation; "" when all is well */
	unsigned n_degraded;
	int held_fd; /* the last stage handed to the keeper; not ours */
};

static inline void place_hold(void *arg, uint32_t slot, enum keeper_fd role, int fd)
{
	struct place *p = arg;

	(void)slot;
	(void)role;
	p->held_fd = fd;
}

static inline void place_degraded(void *arg, const char *what, const char *words)
{
	struct place *p = arg;

	assert_string_equal(what, "disk");
	p->n_degraded += words != NULL;
	(void)snprintf(p->words, sizeof(p->words), "%s", words == NULL ? "" : words);
}

static inline void place_open_logs(struct place *p)
{
	const struct logs_hooks hooks = { .arg = p,
		                          .hold = place_hold,
		                          .degraded = place_degraded };
	struct pm_error err;

	assert_int_equal(uv_loop_init(&p->loop), 0);
	assert_int_equal(logs_create(&p->loop, p->home, &hooks, &p->logs, &err), 0);
}

static inline void place_init(struct place *p)
{
	memset(p, 0, sizeof(*p));
	p->held_fd = -1;
	(void)snprintf(p->home, sizeof(p->home), "/tmp/pmd-test-XXXXXX");
	assert_non_null(mkdtemp(p->home));
	(void)snprintf(p->path, sizeof(p->path), "%s/logs/app-out.log", p->home);
	(void)snprintf(p->combined, sizeof(p->combined), "%s/logs/app.log", p->home);
	pm__app_spec__init(&p->spec);
	p->spec.name = (char *)(uintptr_t) "app";
	p->spec.log_keep = 1000;
	p->config = (struct log_stream_config){
		.path = p->path, .spec = &p->spec, .uid = (uid_t)-1, .gid = (gid_t)-1
	};
}

static inline void place_close_logs(struct place *p)
{
	logs_close(p->logs);
	(void)uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
}

static inline int place_unlink(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void place_finish(struct place *p)
{
	(void)nftw(p->home, place_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* A pipe whose read end is as the supervisor gets it. */
static inline void make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
}

static inline struct log_stream *attach(struct place *p, int fd, struct capture_state *state)
{
	struct log_stream *s = NULL;
	struct pm_error err;

	assert_int_equal(log_stream_attach(p->logs, &p->config, fd, -1, state, &s, &err), 0);
	return s;
}

static inline void count_done(void *arg)
{
	++*(unsigned *)arg;
}

static inline void put_bytes(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		assert_true(n > 0);
		bytes += n;
		len -= (size_t)n;
	}
}

static inline void put_text(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

/* Run the loop until nothing is ready any more: four rounds in a row have nothing left to do. */
static inline void settle(struct place *p)
{
	for (int quiet = 0; quiet < 4;) {
		(void)uv_run(&p->loop, UV_RUN_NOWAIT);
		quiet = uv_loop_alive(&p->loop) && uv_backend_timeout(&p->loop) == 0 ? 0
		                                                                     : quiet + 1;
	}
}

/* The whole file; *len may be NULL.  "" when there is none. */
static inline char *slurp(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st = { 0 };
	char *text;
	size_t done = 0;

	if (fd >= 0)
		assert_int_equal(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	while (done < (size_t)st.st_size) {
		ssize_t n = read(fd, text + done, (size_t)st.st_size - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	if (fd >= 0)
		(void)close(fd);
	if (len != NULL)
		*len = done;
	return text;
}

static inline void expect_file(const char *path, const char *want)
{
	char *text = slurp(path, NULL);

	assert_string_equal(text, want);
	free(text);
}

/* All rotated files of a log, oldest first, and then the log itself, as one text. */
static inline int by_name(const struct dirent **a, const struct dirent **b)
{
	const char *x = strstr((*a)->d_name, "__"), *y = strstr((*b)->d_name, "__");
	size_t x_len = strlen((*a)->d_name), y_len = strlen((*b)->d_name);
	int order;

	if (x == NULL || y == NULL)
		return (x != NULL) - (y != NULL);
	order = strncmp(x, y, 21);
	if (order == 0 && x_len != y_len)
		order = x_len < y_len ? -1 : 1;
	return order != 0 ? order : strcmp(x, y);
}

static inline char *slurp_family(const char *path, size_t *len, unsigned *n_files)
{
	struct pm_buf all = { 0 };
	struct dirent **list = NULL;
	char dir[256], stem[128], file[512];
	const char *base = strrchr(path, '/') + 1;
	size_t stem_len = strlen(base) - strlen(".log"), n;
	char *text;
	int count;

	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(base - path), path);
	(void)snprintf(stem, sizeof(stem), "%.*s__", (int)stem_len, base);
	count = scandir(dir, &list, NULL, by_name);
	*n_files = 0;
	for (int i = 0; i < count; i++) {
		if (strncmp(list[i]->d_name, stem, strlen(stem)) == 0) {
			(void)snprintf(file, sizeof(file), "%s%s", dir, list[i]->d_name);
			text = slurp(file, &n);
			pm_buf_add(&all, text, n);
			free(text);
			++*n_files;
		}
		free(list[i]);
	}
	free(list);
	text = slurp(path, &n);
	pm_buf_add(&all, text, n);
	free(text);
	*len = all.len;
	pm_buf_add(&all, "", 1);
	return pm_buf_take(&all);
}

#endif
