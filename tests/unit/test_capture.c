#include "tests/unit/logs_test.h"

#include "agent/capture.h"
#include "proto/limits.h"

static void x31_raw_output_is_the_stream_byte_by_byte(void **state)
{
	struct capture_state words = { 0 };
	unsigned done = 0;
	struct place p;
	int fds[2];
	char bytes[4096], *text;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256); /* every byte value, NUL and newline too */
	place_init(&p);
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_bytes(fds[1], bytes, sizeof(bytes));
	settle(&p);
	assert_int_equal(log_stream_counts(s).bytes_in, sizeof(bytes));
	text = slurp(p.path, &len);
	assert_int_equal(len, sizeof(bytes));
	assert_memory_equal(text, bytes, len);
	free(text);
	put_text(fds[1], "last words");
	(void)close(fds[1]);
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 1);
	text = slurp(p.path, &len);
	assert_int_equal(len, sizeof(bytes) + 10);
	assert_int_equal(p.held_fd, -1); /* no stage was needed */
	free(text);
	place_close_logs(&p);
	place_finish(&p);
}

static void the_file_is_ours_alone(void **state)
{
	struct capture_state words = { 0 };
	struct place p;
	struct stat st;
	int fds[2];
	char dir[128];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	assert_int_equal(stat(p.path, &st), 0); /* it exists before there is output */
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(dir, sizeof(dir), "%s/logs", p.home);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void two_streams_of_one_file_write_whole_lines(void **state)
{
	struct capture_state words[2] = { { { 0 } } };
	unsigned done = 0;
	struct place p;
	struct log_stream *s[2];
	int a[2], b[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	make_pipe(a);
	make_pipe(b);
	s[0] = attach(&p, a[0], &words[0]);
	put_text(a[1], "alone and unfin");
	settle(&p);
	expect_file(p.path, "alone and unfin");
	s[1] = attach(&p, b[0], &words[1]);
	put_text(b[1], "b1\nb");
	settle(&p);
	put_text(a[1], "ished\na");
	settle(&p);
	put_text(b[1], "2\n");
	settle(&p);
	(void)close(a[1]);
	(void)close(b[1]);
	log_stream_detach(s[0], count_done, &done);
	log_stream_detach(s[1], count_done, &done);
	assert_int_equal(done, 2);
	expect_file(p.path, "alone and unfin\nb1\n[line continues] ished\nb2\na\n");
	place_close_logs(&p);
	place_finish(&p);
}

static void the_combined_file_gets_the_same_lines(void **state)
{
	struct capture_state words[2] = { { { 0 } } };
	struct place p;
	struct log_stream *s[2];
	char err_path[128];
	unsigned done = 0;
	int a[2], b[2];

	(void)state;
	place_init(&p);
	(void)snprintf(err_path, sizeof(err_path), "%s/logs/app-error.log", p.home);
	place_open_logs(&p);
	p.config.combined_path = p.combined;
	make_pipe(a);
	make_pipe(b);
	s[0] = attach(&p, a[0], &words[0]);
	p.config.err = true;
	p.config.path = err_path;
	s[1] = attach(&p, b[0], &words[1]);
	put_text(a[1], "out 1\nout");
	settle(&p);
	put_text(b[1], "err 1\n");
	settle(&p);
	put_text(a[1], " 2\n");
	settle(&p);
	(void)close(a[1]);
	(void)close(b[1]);
	log_stream_detach(s[0], count_done, &done);
	log_stream_detach(s[1], count_done, &done);
	assert_int_equal(done, 2);
	expect_file(p.path, "out 1\nout 2\n");
	expect_file(err_path, "err 1\n");
	expect_file(p.combined, "out 1\nerr 1\nout 2\n");
	place_close_logs(&p);
	place_finish(&p);
}

static void prefixes_stand_at_each_lines_start(void **state)
{
	struct capture_state words[2] = { { { 0 } } };
	unsigned done = 0;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	p.spec.log_date_format = (char *)(uintptr_t) "[T]";
	place_open_logs(&p);
	for (int run = 0; run < 2; run++) {
		make_pipe(fds);
		struct log_stream *s = attach(&p, fds[0], &words[run]);
		put_text(fds[1], "one\ntw");
		settle(&p);
		put_text(fds[1], "o\n\nthree");
		(void)close(fds[1]);
		log_stream_detach(s, count_done, &done);
		assert_int_equal(done, run + 1);
		settle(&p);
	}
	expect_file(p.path, "T: one\nT: two\nT: \nT: three\n"
	                    "T: one\nT: two\nT: \nT: three\n");
	place_close_logs(&p);
	place_finish(&p);
}

static void json_has_one_record_a_line(void **state)
{
	struct capture_state words = { 0 };
	unsigned done = 0;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	p.spec.log_type = PM__LOG_TYPE__LOG_TYPE_JSON;
	p.spec.log_date_format = (char *)(uintptr_t) "[T]";
	p.config.pm_id = 7;
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "a \"b\"\nc");
	settle(&p);
	(void)close(fds[1]);
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 1);
	expect_file(p.path, "{\"message\":\"a \\\"b\\\"\",\"timestamp\":\"T\",\"type\":\"out\","
	                    "\"process_id\":7,\"app_name\":\"app\"}\n"
	                    "{\"message\":\"c\",\"timestamp\":\"T\",\"type\":\"out\","
	                    "\"process_id\":7,\"app_name\":\"app\"}\n");
	place_close_logs(&p);
	place_finish(&p);
}

static void heirs_keep_the_pipe_until_the_last_lets_go(void **state)
{
	struct capture_state words = { 0 };
	unsigned done = 0;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	p.spec.log_date_format = (char *)(uintptr_t) "[T]";
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "from the app");
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 0);
	expect_file(p.path, "T: from the app\n");
	put_text(fds[1], "from an heir\n");
	settle(&p);
	assert_int_equal(done, 0);
	(void)close(fds[1]);
	settle(&p);
	assert_int_equal(done, 1);
	expect_file(p.path, "T: from the app\nT: from an heir\n");
	place_close_logs(&p);
	place_finish(&p);
}

static void an_early_end_of_one_stream_is_not_the_end(void **state)
{
	struct capture_state words = { 0 };
	unsigned done = 0;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "x\n");
	(void)close(fds[1]);
	settle(&p);
	assert_int_equal(log_stream_counts(s).bytes_in, 2);
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 1);
	expect_file(p.path, "x\n");
	place_close_logs(&p);
	place_finish(&p);
}

static void a_flush_and_a_truncation_restart_the_file(void **state)
{
	struct capture_state words = { 0 };
	struct place p;
	struct pm_error err;
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "one\n");
	settle(&p);
	assert_int_equal(logs_flush(p.logs, p.path, &err), 0);
	expect_file(p.path, "");
	put_text(fds[1], "two\n");
	settle(&p);
	expect_file(p.path, "two\n");
	assert_int_equal(truncate(p.path, 0), 0);
	put_text(fds[1], "three\n");
	settle(&p);
	expect_file(p.path, "three\n");
	assert_int_equal(unlink(p.path), 0); /* nobody could read what went there */
	put_text(fds[1], "four\n");
	settle(&p);
	expect_file(p.path, "four\n");
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void reopening_follows_the_name(void **state)
{
	struct capture_state words = { 0 };
	struct place p;
	char moved[160];
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	(void)snprintf(moved, sizeof(moved), "%s.1", p.path);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "one\n");
	settle(&p);
	assert_int_equal(rename(p.path, moved), 0);
	put_text(fds[1], "two\n");
	settle(&p);
	logs_reopen(p.logs);
	put_text(fds[1], "three\n");
	settle(&p);
	expect_file(moved, "one\ntwo\n");
	expect_file(p.path, "three\n");
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void the_tail_is_of_this_run(void **state)
{
	struct capture_state words[2] = { { { 0 } } };
	unsigned done = 0;
	struct place p;
	char *tail;
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words[0]);
	put_text(fds[1], "former\n");
	(void)close(fds[1]);
	log_stream_detach(s, count_done, &done);
	make_pipe(fds);
	s = attach(&p, fds[0], &words[1]);
	tail = log_stream_tail(s, 100);
	assert_string_equal(tail, "");
	free(tail);
	put_text(fds[1], "0123456789\n");
	settle(&p);
	tail = log_stream_tail(s, 100);
	assert_string_equal(tail, "0123456789\n");
	free(tail);
	tail = log_stream_tail(s, 4);
	assert_string_equal(tail, "789\n");
	free(tail);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

static void a_link_in_place_of_the_file_is_not_followed(void **state)
{
	struct capture_state words = { 0 };
	struct place p;
	char dir[128], target[128];
	int fds[2];

	(void)state;
	place_init(&p);
	place_open_logs(&p);
	(void)snprintf(dir, sizeof(dir), "%s/logs", p.home);
	(void)snprintf(target, sizeof(target), "%s/victim", p.home);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(symlink(target, p.path), 0);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "one\ntwo\nthr");
	settle(&p);
	assert_int_equal(access(target, F_OK), -1);
	assert_non_null(strstr(p.words, p.path));
	assert_int_equal(log_stream_counts(s).dropped_lines, 2); /* drained, so nobody waits */
	assert_int_equal(log_stream_counts(s).dropped_bytes, 8);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	assert_string_equal(p.words, ""); /* no file, no trouble */
	place_finish(&p);
}

static void no_file_means_drained_and_forgotten(void **state)
{
	struct capture_state words = { 0 };
	unsigned done = 0;
	struct place p;
	int fds[2];

	(void)state;
	place_init(&p);
	p.config.path = "/dev/null";
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	put_text(fds[1], "one\n");
	settle(&p);
	assert_int_equal(log_stream_counts(s).bytes_in, 4);
	assert_int_equal(log_stream_counts(s).dropped_bytes, 0);
	assert_string_equal(p.words, "");
	(void)close(fds[1]);
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 1);
	place_close_logs(&p);
	place_finish(&p);
}

/* ---- much output ---- */

#define LONG_LINE (100u << 20)

static char long_byte(uint64_t i)
{
	return (char)('a' + (i * 2654435761u >> 16) % 26);
}

static void write_long_line(int fd)
{
	static char chunk[65536];

	for (uint64_t done = 0; done < LONG_LINE; done += sizeof(chunk)) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = long_byte(done + i);
		put_bytes(fd, chunk, sizeof(chunk));
	}
}

static void write_many_lines(int fd)
{
	char line[128], chunk[700];
	size_t len = 0;

	for (unsigned n = 0; n < 200000; n++) {
		int k = snprintf(line, sizeof(line), "%u %.*s\n", n, (int)(n % 50),
		                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");

		for (int i = 0; i < k; i++) {
			chunk[len++] = line[i];
			if (len >= sizeof(chunk) - n % 300) {
				put_bytes(fd, chunk, len);
				len = 0;
			}
		}
	}
	put_bytes(fd, chunk, len);
}

/* An app in a process of its own; returns the read end of its output. */
static int app_that(void (*writes)(int fd), pid_t *pid)
{
	int fds[2];

	make_pipe(fds);
	*pid = fork();
	assert_true(*pid >= 0);
	if (*pid == 0) {
		writes(fds[1]);
		_exit(0);
	}
	(void)close(fds[1]);
	return fds[0];
}

static long rss_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long size, pages;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &size, &pages), 2);
	(void)fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Run until the app's output has ended; returns by how much our memory grew meanwhile, at most. */
static long run_to_end(struct place *p, struct log_stream *s, pid_t pid)
{
	unsigned done = 0, turns = 0;
	long before = 0, most = 0;
	int status;

	while (!s->eof) {
		(void)uv_run(&p->loop, UV_RUN_ONCE);
		if (++turns == 3)
			before = most = rss_kib();
		else if (turns > 3 && turns % 64 == 0)
			most = PM_MAX(most, rss_kib());
	}
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return most - before;
}

/* The next byte of the file that is not what stands between parts of a line. */
static void check_long_line(const char *path, const char *begin, const char *mark)
{
	FILE *file = fopen(path, "re");
	char head[64];

	assert_non_null(file);
	assert_int_equal(fread(head, 1, strlen(begin), file), strlen(begin));
	assert_memory_equal(head, begin, strlen(begin));
	for (uint64_t i = 0; i < LONG_LINE; i++) {
		int c = getc_unlocked(file);

		if (mark != NULL && i > 0 && i % PM_LINE_MAX == 0) {
			assert_int_equal(c, '\n');
			assert_int_equal(fread(head, 1, strlen(mark), file), strlen(mark));
			assert_memory_equal(head, mark, strlen(mark));
			c = getc_unlocked(file);
		}
		if (c != long_byte(i))
			fail_msg("byte %llu differs", (unsigned long long)i);
	}
	(void)fclose(file);
}

static void x30_a_line_of_100_mb_costs_no_memory_and_is_whole(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct capture_state words = { 0 };
		struct place p;
		pid_t pid;

		place_init(&p);
		if (how > 0)
			p.spec.log_date_format = (char *)(uintptr_t) "[T]";
		p.config.combined_path = how == 2 ? p.combined : NULL;
		place_open_logs(&p);
		struct log_stream *s = attach(&p, app_that(write_long_line, &pid), &words);
		long grown = run_to_end(&p, s, pid);

#ifndef PM_SANITIZED /* whose shadow memory grows with what is touched */
		assert_true(grown <= 1024);
#else
		(void)grown;
#endif
		check_long_line(p.path, how > 0 ? "T: " : "",
		                how == 2 ? "T: [line continues] " : NULL);
		if (how == 2)
			check_long_line(p.combined, "T: ", "T: [line continues] ");
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void two_hundred_thousand_lines_keep_their_prefix(void **state)
{
	struct capture_state words = { 0 };
	struct place p;
	char *text, *line;
	unsigned n;
	pid_t pid;

	(void)state;
	place_init(&p);
	p.spec.log_date_format = (char *)(uintptr_t) "YYYY-MM-DDTHH:mm:ss";
	place_open_logs(&p);
	struct log_stream *s = attach(&p, app_that(write_many_lines, &pid), &words);
	(void)run_to_end(&p, s, pid);
	text = line = slurp(p.path, NULL);
	for (n = 0; *line != '\0'; n++) {
		unsigned year, month, day, hour, minute, second, got;
		char *newline = strchr(line, '\n');

		assert_non_null(newline);
		*newline = '\0'; /* sscanf measures all that follows */
		assert_int_equal(sscanf(line, "%4u-%2u-%2uT%2u:%2u:%2u: %u ", &year, &month, &day,
		                        &hour, &minute, &second, &got),
		                 7);
		assert_int_equal(got, n);
		assert_int_equal(strcspn(line, " "), 20);
		line = newline + 1;
	}
	assert_int_equal(n, 200000);
	free(text);
	place_close_logs(&p);
	place_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x31_raw_output_is_the_stream_byte_by_byte),
		cmocka_unit_test(the_file_is_ours_alone),
		cmocka_unit_test(two_streams_of_one_file_write_whole_lines),
		cmocka_unit_test(the_combined_file_gets_the_same_lines),
		cmocka_unit_test(prefixes_stand_at_each_lines_start),
		cmocka_unit_test(json_has_one_record_a_line),
		cmocka_unit_test(heirs_keep_the_pipe_until_the_last_lets_go),
		cmocka_unit_test(an_early_end_of_one_stream_is_not_the_end),
		cmocka_unit_test(a_flush_and_a_truncation_restart_the_file),
		cmocka_unit_test(reopening_follows_the_name),
		cmocka_unit_test(the_tail_is_of_this_run),
		cmocka_unit_test(a_link_in_place_of_the_file_is_not_followed),
		cmocka_unit_test(no_file_means_drained_and_forgotten),
		cmocka_unit_test(x30_a_line_of_100_mb_costs_no_memory_and_is_whole),
		cmocka_unit_test(two_hundred_thousand_lines_keep_their_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
