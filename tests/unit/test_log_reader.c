#include "tests/unit/log_reader_rig.h"

#include "agent/agent.h"
#include "agent/logindex.h"

static void expect_text(const struct receiver *v, const char *want)
{
	assert_string_equal(v->text.bytes == NULL ? "" : v->text.bytes, want);
}

static void write_file(const char *path, const char *text)
{
	char dir[256];
	int fd;

	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	(void)mkdir(dir, 0700);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	put_text(fd, text);
	(void)close(fd);
}

/* ---- history ---- */

static void the_last_lines_come_and_then_the_end(void **state)
{
	static const struct {
		const char *file;
		uint32_t lines;
		const char *want;
	} cases[] = {
		{ "a\nb\nc\n", 2, "1:b\n1:c\n" },
		{ "a\nb\nc\n", 3, "1:a\n1:b\n1:c\n" },
		{ "a\nb\nc\n", 9, "1:a\n1:b\n1:c\n" },
		{ "a\nb\nc", 2, "1:b\n1:c\n" },
		{ "a\nb\n", 0, "" },
		{ "", 3, "" },
		{ "\n\n", 1, "1:\n" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__LogQuery q = query(cases[i].lines, false);
		struct receiver v = { 0 };
		struct place p;

		place_init(&p);
		place_open_logs(&p);
		write_file(p.path, cases[i].file);
		struct log_reader_source s = source_of(&p, 1);
		open_reader(&p, &v, &q, &s, 1);
		settle(&p);
		assert_int_equal(v.n_ends, 1);
		assert_int_equal(v.history_ends, 1);
		assert_int_equal(v.n_live, 0);
		expect_text(&v, cases[i].want);
		close_reader(&p, &v);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void a_missing_file_has_no_lines(void **state)
{
	Pm__LogQuery q = query(10, false);
	struct receiver v = { 0 };
	struct place p;

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	struct log_reader_source s = source_of(&p, 1);
	open_reader(&p, &v, &q, &s, 1);
	settle(&p);
	assert_int_equal(v.n_ends, 1);
	assert_int_equal(v.n_lines, 0);
	close_reader(&p, &v);
	place_close_logs(&p);
	place_finish(&p);
}

/* Rotated files with `per` numbered lines each, the oldest packed one way, the next the other. */
static void write_rotated(struct place *p, unsigned n_files, unsigned per)
{
	unsigned n = 0;

	for (unsigned f = 0; f < n_files; f++) {
		struct pm_buf text = { 0 };
		char path[256], how[16] = "--gzip", verb[] = "compress";
		struct timespec times[2] = { { .tv_sec = 1000 + f }, { .tv_sec = 1000 + f } };

		for (unsigned i = 0; i < per; i++)
			pm_buf_printf(&text, "line %u\n", n++);
		(void)snprintf(path, sizeof(path), "%s/logs/app-out__2026-01-01_00-00-%02u.log",
		               p->home, f);
		if (f + 1 == n_files)
			(void)snprintf(path, sizeof(path), "%s", p->path);
		write_file(path, text.bytes);
		pm_buf_finish(&text);
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		if (f == 1)
			(void)snprintf(how, sizeof(how), "--zstd");
		if (f <= 1) {
			char *argv[] = { verb, how, path, NULL };

			assert_int_equal(compress_main(3, argv), 0);
			assert_int_equal(access(path, F_OK), -1);
		}
	}
}

static void history_goes_back_through_packed_files(void **state)
{
	static const uint32_t wanted[] = { 1, 10, 11, 25, 30, 35, 40, 1000 };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(wanted); i++) {
		Pm__LogQuery q = query(wanted[i], false);
		uint32_t want = PM_MIN(wanted[i], 40);
		struct receiver v = { .plain = true };
		struct pm_buf text = { 0 };
		struct place p;

		place_init(&p);
		place_open_logs(&p);
		write_rotated(&p, 4, 10);
		struct log_reader_source s = source_of(&p, 1);
		open_reader(&p, &v, &q, &s, 1);
		settle(&p);
		for (unsigned n = 40 - want; n < 40; n++)
			pm_buf_printf(&text, "line %u\n", n);
		expect_text(&v, text.bytes);
		pm_buf_finish(&text);
		close_reader(&p, &v);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void a_pattern_picks_lines_before_they_are_counted(void **state)
{
	static const struct {
		const char *grep;
		bool invert;
		uint32_t lines;
		const char *want;
	} cases[] = {
		{ "line [0-9]*7$", false, 2, "line 27\nline 37\n" },
		{ "[0-8]$", true, 1, "line 39\n" },
		{ "9$|0$", false, 100,
		  "line 0\nline 9\nline 10\nline 19\nline 20\nline 29\nline 30\nline 39\n" },
		{ "nothing", false, 3, "" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__LogQuery q = query(cases[i].lines, false);
		struct receiver v = { .plain = true };
		struct place p;

		q.grep = (char *)(uintptr_t)cases[i].grep;
		q.grep_invert = cases[i].invert;
		place_init(&p);
		place_open_logs(&p);
		write_rotated(&p, 4, 10);
		struct log_reader_source s = source_of(&p, 1);
		open_reader(&p, &v, &q, &s, 1);
		settle(&p);
		assert_int_equal(v.n_ends, 1);
		expect_text(&v, cases[i].want);
		close_reader(&p, &v);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void a_pattern_that_could_eat_the_machine_is_refused(void **state)
{
	static const struct {
		const char *grep;
		enum pm_code want;
	} cases[] = {
		{ "(", PM_USAGE },
		{ "((a{1,200}){1,200}){1,200}", PM_LIMIT },
		{ "(a*)*\\1", PM_LIMIT },
	};
	const struct log_reader_hooks hooks = { .send = on_send };
	struct place p;

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__LogQuery q = query(1, true);
		struct log_reader *r = NULL;
		struct pm_error err;

		q.grep = (char *)(uintptr_t)cases[i].grep;
		assert_int_equal(log_reader_open(p.logs, &q, NULL, 0, &hooks, &r, &err), -1);
		assert_int_equal(err.code, cases[i].want);
		assert_null(r);
	}
	settle(&p);
	place_close_logs(&p);
	place_finish(&p);
}

/* ---- live ---- */

static void followers_of_any_speed_see_each_line_once_over_rotation(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 12; seed++) {
		struct receiver v[3] = { { .plain = true }, { .plain = true }, { .plain = true } };
		Pm__LogQuery q = query(1000000, true);
		uint32_t rng = seed;
		struct writer w;
		struct place p;

		place_init(&p);
		if (seed % 3 == 1)
			p.config.combined_path = p.combined; /* staged */
		p.spec.log_max_size = 3000;
		place_open_logs(&p);
		writer_start(&p, &w, seed);
		struct log_reader_source s = source_of(&p, 1);
		for (unsigned turn = 0; turn < 300; turn++) {
			writer_go(&w, random_of(&rng, 700));
			for (unsigned i = random_of(&rng, 4); i > 0; i--)
				(void)uv_run(&p.loop, UV_RUN_NOWAIT);
			if (turn == 20 || turn == 100 || turn == 200) {
				v[turn / 100].credit = 1;
				open_reader(&p, &v[turn / 100], &q, &s, 1);
			}
			for (unsigned i = 0; i < 3; i++) /* the second is slow */
				if (v[i].reader != NULL && random_of(&rng, i == 1 ? 40 : 3) == 0) {
					v[i].credit += 1 + random_of(&rng, 3);
					log_reader_go(v[i].reader);
				}
		}
		writer_end_line(&w);
		for (unsigned i = 0; i < 3; i++) {
			v[i].credit = UINT32_MAX;
			log_reader_go(v[i].reader);
		}
		settle(&p);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(v[i].history_ends, 1);
			assert_int_equal(v[i].n_gaps, 0);
			assert_true(v[i].n_live > 0);
			assert_int_equal(check_numbers(v[i].text.bytes, 0), w.n);
		}
		assert_true(v[1].n_refused > 0);
		for (unsigned i = 0; i < 3; i++)
			close_reader(&p, &v[i]);
		writer_stop(&w);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void what_was_rotated_away_unread_is_a_gap(void **state)
{
	struct receiver v = { .plain = true, .credit = 1 };
	Pm__LogQuery q = query(0, true);
	struct writer w;
	struct place p;

	(void)state;
	place_init(&p);
	p.spec.log_max_size = 1000;
	p.spec.log_keep = 2;
	place_open_logs(&p);
	writer_start(&p, &w, 1);
	struct log_reader_source s = source_of(&p, 1);
	open_reader(&p, &v, &q, &s, 1);
	for (unsigned i = 0; i < 100; i++) {
		writer_go(&w, 200);
		settle(&p);
	}
	writer_end_line(&w);
	v.credit = UINT32_MAX;
	log_reader_go(v.reader);
	settle(&p);
	assert_true(v.n_gaps > 0);
	assert_true(v.gap_bytes > 1000);
	/* It held the file it had come with, and the last ones are there. */
	assert_int_equal(strtoul(v.text.bytes, NULL, 10), 0);
	char *last = memrchr(v.text.bytes, '\n', v.text.len - 1);
	assert_int_equal(strtoul(last + 1, NULL, 10), w.n - 1);
	assert_int_equal(w.n > v.n_lines, 1);
	close_reader(&p, &v);
	writer_stop(&w);
	place_close_logs(&p);
	place_finish(&p);
}

static void a_flush_begins_anew(void **state)
{
	struct receiver v = { 0 };
	Pm__LogQuery q = query(5, true);
	struct capture_state words = { 0 };
	struct pm_error err;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	struct log_reader_source src = source_of(&p, 1);
	put_text(fds[1], "one\nun");
	settle(&p);
	open_reader(&p, &v, &q, &src, 1);
	settle(&p);
	expect_text(&v, "1:one\n1:un");
	put_text(fds[1], "finished\n");
	settle(&p);
	expect_text(&v, "1:one\n1:un1:finished\n");
	assert_int_equal(logs_flush(p.logs, p.path, &err), 0);
	put_text(fds[1], "two\nthree, longer than all before\n");
	settle(&p);
	expect_text(&v, "1:one\n1:un1:finished\n1:two\n1:three, longer than all before\n");
	assert_int_equal(v.n_gaps, 0);
	close_reader(&p, &v);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void outside_rotation_with_reopening_is_followed(void **state)
{
	struct receiver v = { 0 };
	Pm__LogQuery q = query(0, true);
	struct capture_state words = { 0 };
	char moved[160];
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	(void)snprintf(moved, sizeof(moved), "%s.1", p.path);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	struct log_reader_source src = source_of(&p, 1);
	open_reader(&p, &v, &q, &src, 1);
	put_text(fds[1], "one\n");
	settle(&p);
	assert_int_equal(rename(p.path, moved), 0);
	put_text(fds[1], "two\n");
	settle(&p);
	put_text(fds[1], "three\n");
	logs_reopen(p.logs); /* before "three" was taken from the pipe */
	settle(&p);
	put_text(fds[1], "four\n");
	settle(&p);
	expect_text(&v, "1:one\n1:two\n1:three\n1:four\n");
	close_reader(&p, &v);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void a_source_may_come_later_and_files_too(void **state)
{
	struct receiver v = { 0 };
	Pm__LogQuery q = query(5, true);
	struct capture_state words = { 0 };
	struct pm_error err;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	open_reader(&p, &v, &q, NULL, 0);
	settle(&p);
	assert_int_equal(v.history_ends, 1);
	struct log_reader_source src = source_of(&p, 4);
	assert_int_equal(log_reader_add(v.reader, &src, &err), 0);
	assert_int_equal(log_reader_add(v.reader, &src, &err), 0); /* ignored */
	settle(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "one\n");
	settle(&p);
	expect_text(&v, "4:one\n");
	assert_int_equal(v.n_sources, 1);
	close_reader(&p, &v);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void a_stream_without_a_file_is_seen_live(void **state)
{
	struct receiver v = { 0 };
	Pm__LogQuery q = query(5, true);
	struct capture_state words = { 0 };
	struct place p;
	char big[3000];
	int fds[2];

	(void)state;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	place_init(&p);
	p.config.path = "/dev/null";
	p.config.pm_id = 9;
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "nobody looks\n");
	settle(&p);
	struct log_reader_source src = {
		.source = 2, .pm_id = 9, .name = "app", .path = "/dev/null"
	};
	open_reader(&p, &v, &q, &src, 1);
	put_text(fds[1], "one\ntw");
	settle(&p);
	put_text(fds[1], "o\n");
	settle(&p);
	expect_text(&v, "2:one\n2:two\n");
	v.credit = 0; /* a slow one: bounded, and told so */
	for (int i = 0; i < 50; i++) {
		put_bytes(fds[1], big, sizeof(big));
		settle(&p);
	}
	v.credit = UINT32_MAX;
	log_reader_go(v.reader);
	settle(&p);
	assert_int_equal(v.n_gaps, 1);
	assert_int_equal(v.n_lines + v.gap_lines, 52);
	put_text(fds[1], "after\n");
	settle(&p);
	assert_non_null(strstr(v.text.bytes, "2:after\n"));
	close_reader(&p, &v);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void the_agents_own_log_is_followed_though_others_write_it(void **state)
{
	struct receiver v = { 0 };
	Pm__LogQuery q = query(1, true);
	char path[160], old[170];
	struct place p;
	int fd;

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	(void)snprintf(path, sizeof(path), "%s/pmd.log", p.home);
	(void)snprintf(old, sizeof(old), "%s.1", path);
	write_file(path, "a\nb\n");
	struct log_reader_source src = { .source = 1, .name = "pmd", .path = path, .agent = true };
	open_reader(&p, &v, &q, &src, 1);
	settle(&p);
	expect_text(&v, "1:b\n");
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	put_text(fd, "c\n");
	(void)close(fd);
	while (v.n_lines < 2)
		(void)uv_run(&p.loop, UV_RUN_ONCE);
	assert_int_equal(rename(path, old), 0);
	write_file(path, "d\n");
	while (v.n_lines < 3)
		(void)uv_run(&p.loop, UV_RUN_ONCE);
	expect_text(&v, "1:b\n1:c\n1:d\n");
	close_reader(&p, &v);
	place_close_logs(&p);
	place_finish(&p);
}

/* ---- times ---- */

/* A file of lines with the times at which they were written. */
static void write_timed(struct place *p, const char *path, const char *text, const int64_t *wall_ms)
{
	struct stat st;
	uint64_t offset = 0;

	write_file(path, text);
	assert_int_equal(stat(path, &st), 0);
	for (; text[offset] != '\0'; wall_ms++) {
		logindex_append(p->home, path, st.st_ino, *wall_ms, offset);
		offset += strcspn(text + offset, "\n") + 1;
	}
}

static void sources_merge_in_the_order_of_their_times(void **state)
{
	static const int64_t a_ms[] = { 1000, 3000, 3500, 9000 }, b_ms[] = { 2000, 4000, 9500 };
	static const struct {
		uint32_t lines;
		int64_t since_ms, until_ms;
		const char *want;
	} cases[] = {
		{ 100, 0, 0, "1:a1\n2:b1\n1:a2\n1:a3\n2:b2\n1:a4\n2:b3\n" },
		{ 2, 0, 0, "1:a3\n2:b2\n1:a4\n2:b3\n" },
		{ 0, 3500, 0, "1:a3\n2:b2\n1:a4\n2:b3\n" },
		{ 0, 3200, 4000, "1:a3\n2:b2\n" },
		{ 1, 0, 4000, "1:a3\n2:b2\n" },
		{ 0, 9501, 0, "2:b3\n" }, /* 0.1 s early */
		{ 0, 9601, 0, "" },
		{ 0, 0, 999, "" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__LogQuery q = query(cases[i].lines, false);
		struct receiver v = { 0 };
		char err_path[160];
		struct place p;

		place_init(&p);
		place_open_logs(&p);
		(void)snprintf(err_path, sizeof(err_path), "%s/logs/app-error.log", p.home);
		write_timed(&p, p.path, "a1\na2\na3\na4\n", a_ms);
		write_timed(&p, err_path, "b1\nb2\nb3\n", b_ms);
		struct log_reader_source src[2] = { source_of(&p, 1), source_of(&p, 2) };
		src[1].path = err_path;
		q.since_wall_ms = cases[i].since_ms;
		q.until_wall_ms = cases[i].until_ms;
		open_reader(&p, &v, &q, src, 2);
		settle(&p);
		expect_text(&v, cases[i].want);
		assert_int_equal(v.n_ends, 1);
		close_reader(&p, &v);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void captured_lines_have_their_time(void **state)
{
	struct receiver v = { 0 };
	Pm__LogQuery q = query(100, false);
	struct writer w;
	struct place p;

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	writer_start(&p, &w, 1);
	writer_go(&w, 100);
	settle(&p);
	struct log_reader_source src = source_of(&p, 1);
	open_reader(&p, &v, &q, &src, 1);
	settle(&p);
	assert_in_range(pm_wall_ms() - v.last_wall_ms, 0, 60000);
	close_reader(&p, &v);
	writer_stop(&w);
	place_close_logs(&p);
	place_finish(&p);
}

static void a_line_longer_than_a_message_comes_in_parts(void **state)
{
	enum {
		LEN = 300000
	};
	struct receiver v = { .plain = true };
	Pm__LogQuery q = query(2, false);
	char *text = calloc(1, LEN + 16);
	struct place p;

	(void)state;
	assert_non_null(text);
	memcpy(text, "first\n", 6);
	for (size_t i = 0; i < LEN; i++)
		text[6 + i] = (char)('a' + i % 26);
	memcpy(text + 6 + LEN, "\nlast\n", 7);
	place_init(&p);
	place_open_logs(&p);
	write_file(p.path, text);
	struct log_reader_source s = source_of(&p, 1);
	open_reader(&p, &v, &q, &s, 1);
	settle(&p);
	expect_text(&v, text + 6);
	close_reader(&p, &v);
	place_close_logs(&p);
	place_finish(&p);
	free(text);
}

/* ---- no memory ---- */

static void any_allocation_may_fail_when_streams_and_readers_begin(void **state)
{
	const struct log_reader_hooks hooks = { .send = on_send };
	Pm__LogQuery q = query(5, true);
	bool made = false;

	(void)state;
	q.grep = (char *)(uintptr_t) "x";
	for (unsigned n = 1; !made; n++) {
		struct capture_state words = { 0 };
		struct log_stream *stream = NULL;
		struct log_reader *reader = NULL;
		struct pm_error err;
		struct place p;
		int fds[2];

		place_init(&p);
		p.config.combined_path = p.combined;
		p.spec.log_date_format = (char *)(uintptr_t) "YYYY";
		place_open_logs(&p);
		struct log_reader_source s[2] = { source_of(&p, 1), source_of(&p, 2) };
		s[1].path = "/dev/null";
		make_pipe(fds);
		pm_alloc_fail_at(n);
		if (log_stream_attach(p.logs, &p.config, fds[0], -1, &words, &stream, &err) < 0) {
			assert_int_equal(err.code, PM_NO_MEMORY);
			assert_null(stream);
		} else if (log_reader_open(p.logs, &q, s, 2, &hooks, &reader, &err) < 0) {
			assert_int_equal(err.code, PM_NO_MEMORY);
			assert_null(reader);
		}
		pm_alloc_fail_at(0);
		made = reader != NULL;
		if (reader != NULL)
			log_reader_close(reader);
		if (stream != NULL)
			log_stream_abandon(stream);
		(void)close(fds[1]);
		place_close_logs(&p);
		place_finish(&p);
		assert_true(n < 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_lines_come_and_then_the_end),
		cmocka_unit_test(a_missing_file_has_no_lines),
		cmocka_unit_test(history_goes_back_through_packed_files),
		cmocka_unit_test(a_pattern_picks_lines_before_they_are_counted),
		cmocka_unit_test(a_pattern_that_could_eat_the_machine_is_refused),
		cmocka_unit_test(followers_of_any_speed_see_each_line_once_over_rotation),
		cmocka_unit_test(what_was_rotated_away_unread_is_a_gap),
		cmocka_unit_test(a_flush_begins_anew),
		cmocka_unit_test(outside_rotation_with_reopening_is_followed),
		cmocka_unit_test(a_source_may_come_later_and_files_too),
		cmocka_unit_test(a_stream_without_a_file_is_seen_live),
		cmocka_unit_test(the_agents_own_log_is_followed_though_others_write_it),
		cmocka_unit_test(sources_merge_in_the_order_of_their_times),
		cmocka_unit_test(captured_lines_have_their_time),
		cmocka_unit_test(any_allocation_may_fail_when_streams_and_readers_begin),
		cmocka_unit_test(a_line_longer_than_a_message_comes_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
