/* F-38: the past is looked for in rotated and packed files, in bounds that are told. */
#include "tests/unit/log_reader_rig.h"

#include <zstd.h>

#include "agent/agent.h"
#include "agent/logindex.h"
#include "proto/limits.h"

#define BLOCK (1u << 20)

static void write_bytes(const char *path, const char *bytes, size_t len, unsigned times)
{
	int fd;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < times; i++)
		put_bytes(fd, bytes, len);
	(void)close(fd);
}

/* The name of a rotated file, the higher n the newer; and its time. */
static void rotated_name(const struct place *p, unsigned n, char path[256])
{
	(void)snprintf(path, 256, "%s/logs/app-out__2026-01-01_%02u-%02u-%02u.log", p->home,
	               n / 3600, n / 60 % 60, n % 60);
}

static void set_time(const char *path, unsigned n)
{
	const struct timespec times[2] = { { .tv_sec = 1000 + n }, { .tv_sec = 1000 + n } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void start(struct place *p)
{
	char dir[128];

	place_init(p);
	place_open_logs(p);
	(void)snprintf(dir, sizeof(dir), "%s/logs", p->home);
	(void)mkdir(dir, 0700); /* it may be there */
}

static void finish(struct place *p)
{
	place_close_logs(p);
	place_finish(p);
}

/* ---- what is asked for is found ---- */

/* Ten lines of a time each, packed; what was written later is not counted among the last. */
static void the_last_lines_before_a_time_are_found_in_a_packed_file(void **state)
{
	static const struct {
		uint32_t lines;
		int64_t until_ms;
		const char *want;
	} cases[] = {
		{ 2, 5000, "line 4\nline 5\n" },
		{ 100, 2000, "line 1\nline 2\n" },
		{ 1, 99000, "line 10\n" },
		{ 5, 999, "" },
	};
	char verb[] = "compress", zstd[] = "--zstd", path[256];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__LogQuery q = query(cases[i].lines, false);
		struct receiver v = { .plain = true };
		char *argv[] = { verb, zstd, path, NULL };
		struct pm_buf text = { 0 };
		struct stat st;
		struct place p;

		start(&p);
		rotated_name(&p, 1, path);
		for (unsigned n = 1; n <= 10; n++)
			pm_buf_printf(&text, "line %u\n", n);
		write_bytes(path, text.bytes, text.len, 1);
		assert_int_equal(stat(path, &st), 0);
		for (unsigned n = 1; n <= 10; n++)
			logindex_append(p.home, path, st.st_ino, n * 1000, (n - 1) * 7);
		pm_buf_finish(&text);
		assert_int_equal(compress_main(3, argv), 0);
		struct log_reader_source s = source_of(&p, 1);
		q.until_wall_ms = cases[i].until_ms;
		open_reader(&p, &v, &q, &s, 1);
		settle(&p);
		assert_int_equal(v.n_ends, 1);
		assert_string_equal(v.text.bytes == NULL ? "" : v.text.bytes, cases[i].want);
		assert_int_equal(v.n_gaps, 0);
		close_reader(&p, &v);
		finish(&p);
	}
}

/* ---- the bounds ---- */

static void more_files_than_the_bound_are_not_opened_and_that_is_told(void **state)
{
	static const unsigned n_files[] = { PM_LOG_SEARCH_FILES, PM_LOG_SEARCH_FILES + 1 };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(n_files); i++) {
		Pm__LogQuery q = query(5, false);
		struct receiver v = { .plain = true };
		char grep[] = "needle", path[256];
		bool more = n_files[i] > PM_LOG_SEARCH_FILES;
		struct place p;

		start(&p);
		write_bytes(p.path, "needle now\n", 11, 1);
		for (unsigned n = 0; n < n_files[i]; n++) {
			rotated_name(&p, n, path);
			write_bytes(path, n < 2 ? "needle old\n" : "something\n", n < 2 ? 11 : 10,
			            1);
			set_time(path, n);
		}
		struct log_reader_source s = source_of(&p, 1);
		q.grep = grep;
		open_reader(&p, &v, &q, &s, 1);
		settle(&p);
		assert_int_equal(v.n_ends, 1);
		assert_string_equal(v.text.bytes, more ? "needle old\nneedle now\n"
		                                       : "needle old\nneedle old\nneedle now\n");
		assert_int_equal(v.n_bounds, more);
		assert_int_equal(v.n_gaps, v.n_bounds); /* nothing was lost */
		if (more)
			assert_non_null(strstr(v.why, "1000 rotated files were looked through"));
		close_reader(&p, &v);
		finish(&p);
	}
}

/* A packed file whose text is `times` a block of lines: small on disk, whatever it unpacks to. */
static void write_packed(const char *path, const char *line, unsigned times)
{
	size_t len = strlen(line), room = ZSTD_compressBound(BLOCK), n;
	PM_FREE char *block = pm_calloc(1, BLOCK), *packed = pm_calloc(1, room);
	char name[300];

	assert_non_null(block);
	assert_non_null(packed);
	for (size_t at = 0; at < BLOCK; at++)
		block[at] = at % 4096 == 4095 ? '\n' : at % 4096 < len ? line[at % 4096] : '.';
	n = ZSTD_compress(packed, room, block, BLOCK, 1);
	assert_false(ZSTD_isError(n));
	(void)snprintf(name, sizeof(name), "%s.zst", path);
	write_bytes(name, packed, n, times);
}

static void more_text_than_the_bound_is_not_unpacked_and_that_is_told(void **state)
{
	const unsigned most = (unsigned)(PM_LOG_SEARCH_BYTES / BLOCK);
	Pm__LogQuery q = query(3, false);
	struct receiver v = { .plain = true };
	char grep[] = "^needle", path[256], name[300];
	struct place p;

	(void)state;
	start(&p);
	write_bytes(p.path, "needle now\n", 11, 1);
	rotated_name(&p, 2, path);
	write_packed(path, "chaff", most - 1);
	(void)snprintf(name, sizeof(name), "%s.zst", path);
	set_time(name, 2);
	rotated_name(&p, 1, path); /* of this one a block or two are looked at, in vain */
	write_packed(path, "needle", 4);
	(void)snprintf(name, sizeof(name), "%s.zst", path);
	set_time(name, 1);
	struct log_reader_source s = source_of(&p, 1);
	q.grep = grep;
	open_reader(&p, &v, &q, &s, 1);
	settle(&p);
	assert_int_equal(v.n_ends, 1);
	assert_string_equal(v.text.bytes, "needle now\n");
	assert_int_equal(v.n_bounds, 1);
	assert_non_null(strstr(v.why, "1.0gb of text and 2 rotated files"));
	close_reader(&p, &v);
	finish(&p);
}

/* Of a plain file the part that was looked through is shown. */
static void the_bound_may_be_met_within_a_file(void **state)
{
	const unsigned most = (unsigned)(PM_LOG_SEARCH_BYTES / BLOCK);
	struct log_reader_source s[2];
	Pm__LogQuery q = query(UINT32_MAX, false);
	struct receiver v = { .plain = true };
	char grep[] = "^needle", other[160];
	struct place p;
	int fd;

	(void)state;
	start(&p);
	/* Half of the bound is a source's: a line at the start of the file is too far away. */
	fd = open(p.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(most / 2) * BLOCK), 0);
	assert_int_equal(pwrite(fd, "needle far\n", 11, 0), 11);
	assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)(most / 2) * BLOCK);
	put_text(fd, "\nneedle near\n");
	(void)close(fd);
	/* The other one has no share of it to spare, and needs none. */
	(void)snprintf(other, sizeof(other), "%s/logs/app-error.log", p.home);
	write_bytes(other, "needle too\n", 11, 1);
	s[0] = source_of(&p, 1);
	s[1] = source_of(&p, 2);
	s[1].path = other;
	q.grep = grep;
	open_reader(&p, &v, &q, s, 2);
	settle(&p);
	assert_int_equal(v.n_ends, 1);
	assert_int_equal(v.n_lines, 2);
	assert_non_null(strstr(v.text.bytes, "needle near\n"));
	assert_non_null(strstr(v.text.bytes, "needle too\n"));
	assert_int_equal(v.n_bounds, 1);
	close_reader(&p, &v);
	finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_lines_before_a_time_are_found_in_a_packed_file),
		cmocka_unit_test(more_files_than_the_bound_are_not_opened_and_that_is_told),
		cmocka_unit_test(more_text_than_the_bound_is_not_unpacked_and_that_is_told),
		cmocka_unit_test(the_bound_may_be_met_within_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
