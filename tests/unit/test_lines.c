#include "tests/unit/unit.h"

#include "agent/lines.h"
#include "proto/buf.h"
#include "proto/limits.h"

static const struct lines_style plain = { .format = LINES_TEXT };
static const struct lines_style dated = { .format = LINES_TEXT, .prefix = "D: ", .prefix_len = 3 };
static const struct lines_style shared = { .format = LINES_TEXT, .shared = true };
static const struct lines_style shared_dated = {
	.format = LINES_TEXT, .shared = true, .prefix = "D: ", .prefix_len = 3
};
static const struct lines_style json = {
	.format = LINES_JSON, .timestamp = "T", .type = "out", .app_name = "a\"b", .process_id = 7
};
static const struct lines_style *const styles[] = { &plain, &dated, &shared, &shared_dated, &json };

#define TAIL ",\"timestamp\":\"T\",\"type\":\"out\",\"process_id\":7,\"app_name\":\"a\\\"b\""

/* Feed all of in, at most chunk bytes more each time; *out is the caller's to finish. */
static void feed_all(const struct lines_style *style, const char *in, size_t len, size_t chunk,
                     struct pm_buf *out)
{
	struct lines l = { 0 };
	size_t done = 0, seen = 0, n;

	while (seen < len) {
		const size_t more = chunk == 0 ? 1 + (size_t)rand() % 3000 : chunk;

		seen += PM_MIN(more, len - seen);
		do {
			n = lines_feed(&l, style, in + done, seen - done, false, out);
			done += n;
		} while (n > 0 && done < seen);
		assert_true(seen - done < PM_LINE_MAX);
	}
	do {
		n = lines_feed(&l, style, in + done, len - done, true, out);
		done += n;
	} while (done < len);
	assert_false(out->failed);
}

static void formats_of_short_input(void **state)
{
	static const struct {
		const struct lines_style *style;
		const char *in, *want;
	} rows[] = {
		{ &plain, "a\nb", "a\nb" },
		{ &plain, "", "" },
		{ &dated, "a\n\nb\n", "D: a\nD: \nD: b\n" },
		{ &dated, "a\nb", "D: a\nD: b" },
		{ &dated, "\n", "D: \n" },
		{ &shared, "a\nb", "a\nb\n" },
		{ &shared_dated, "a\n\nb", "D: a\nD: \nD: b\n" },
		{ &json, "hi\n\n", "{\"message\":\"hi\"" TAIL "}\n{\"message\":\"\"" TAIL "}\n" },
		{ &json, "q\"\\\x01\t\r\x1b[0m\x7f",
		  "{\"message\":\"q\\\"\\\\\\u0001\\t\\r\\u001b[0m\x7f\"" TAIL "}\n" },
		{ &json, "\xC3\xA9\xF0\x9F\x98\x80\xFF\xE2\x82",
		  "{\"message\":\"\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBD\"" TAIL "}\n" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		PM_BUF out = { 0 };

		feed_all(rows[i].style, rows[i].in, strlen(rows[i].in), 1, &out);
		assert_string_equal(out.bytes == NULL ? "" : out.bytes, rows[i].want);
	}
}

static void an_unfinished_line_stays_unconsumed_where_lines_are_whole(void **state)
{
	struct lines l = { 0 };
	PM_BUF out = { 0 };

	(void)state;
	assert_int_equal(lines_feed(&l, &shared, "one\ntw", 6, false, &out), 4);
	assert_string_equal(out.bytes, "one\n");
	assert_int_equal(lines_feed(&l, &shared, "tw", 2, false, &out), 0);
	assert_int_equal(lines_feed(&l, &shared, "two\n", 4, false, &out), 4);
	assert_string_equal(out.bytes, "one\ntwo\n");
}

static void the_next_run_goes_on_where_a_stream_ended_within_a_line(void **state)
{
	struct lines l = { 0 };
	PM_BUF out = { 0 };

	(void)state;
	assert_int_equal(lines_feed(&l, &dated, "par", 3, true, &out), 3);
	assert_true(l.mid_line);
	assert_int_equal(lines_feed(&l, &dated, "tial\n", 5, false, &out), 5);
	assert_string_equal(out.bytes, "D: partial\n");
}

static void a_prefix_that_is_switched_on_waits_for_the_next_line(void **state)
{
	struct lines l = { 0 };
	PM_BUF out = { 0 };

	(void)state;
	assert_int_equal(lines_feed(&l, &plain, "\na", 2, false, &out), 2);
	assert_int_equal(lines_feed(&l, &dated, "b\nc\n", 4, false, &out), 4);
	assert_int_equal(lines_feed(&l, &plain, "d\n", 2, false, &out), 2);
	assert_int_equal(lines_feed(&l, &dated, "e\n", 2, false, &out), 2);
	assert_string_equal(out.bytes, "\nab\nD: c\nd\nD: e\n");
}

static void nul_bytes_are_bytes(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	feed_all(&dated, "a\0b\n", 4, 2, &out);
	assert_int_equal(out.len, 7);
	assert_memory_equal(out.bytes, "D: a\0b\n", 7);
	pm_buf_reset(&out);
	feed_all(&json, "a\0b\n", 4, 2, &out);
	assert_non_null(strstr(out.bytes, "a\\u0000b"));
}

static void x30_a_line_without_end_is_cut_and_joins_again(void **state)
{
	static char in[3 * PM_LINE_MAX + 10];
	const size_t mark = strlen(LINES_MARK);
	PM_BUF out = { 0 };
	const char *at;

	(void)state;
	memset(in, 'x', sizeof(in));
	feed_all(&dated, in, sizeof(in), 5000, &out);
	assert_int_equal(out.len, 3 + sizeof(in)); /* own file: never cut */
	pm_buf_reset(&out);
	feed_all(&shared_dated, in, sizeof(in), 5000, &out);
	assert_int_equal(out.len, sizeof(in) + 4 * (3 + 1) + 3 * mark);
	at = out.bytes + 3 + PM_LINE_MAX;
	assert_memory_equal(at, "\nD: " LINES_MARK "x", 4 + mark + 1);
	pm_buf_reset(&out);
	feed_all(&json, in, sizeof(in), 5000, &out);
	at = out.bytes;
	for (int i = 0; i < 4; i++) {
		const char *end = strchr(at, '\n');

		assert_non_null(end);
		assert_int_equal(memmem(at, (size_t)(end - at), "\"partial\":true}", 15) != NULL,
		                 i < 3);
		at = end + 1;
	}
	assert_int_equal(*at, '\0');
}

static void a_line_cut_right_at_its_end_is_ended(void **state)
{
	static char in[PM_LINE_MAX + 1];
	PM_BUF a = { 0 };
	PM_BUF b = { 0 };

	(void)state;
	memset(in, 'x', PM_LINE_MAX);
	in[PM_LINE_MAX] = '\n';
	feed_all(&json, in, PM_LINE_MAX, PM_LINE_MAX, &a);
	feed_all(&json, in, PM_LINE_MAX + 1, 999, &b);
	assert_string_equal(a.bytes, b.bytes);
	assert_non_null(strstr(a.bytes, "{\"message\":\"\"" TAIL "}\n"));
	in[PM_LINE_MAX - 1] = '\n';
	pm_buf_reset(&a);
	feed_all(&json, in, PM_LINE_MAX, 999, &a);
	assert_null(strstr(a.bytes, "partial"));
}

static void a_cut_does_not_break_a_character(void **state)
{
	static char in[2 * PM_LINE_MAX];
	PM_BUF out = { 0 };

	(void)state;
	in[0] = 'x'; /* so that the cap falls within a 4-byte character */
	for (size_t i = 1; i + 4 <= sizeof(in); i += 4)
		memcpy(in + i, "\xF0\x9F\x98\x80", 4);
	feed_all(&json, in, sizeof(in) - 3, 777, &out);
	assert_null(strstr(out.bytes, "\xEF\xBF\xBD"));
	assert_non_null(strstr(out.bytes, "partial"));
}

static void random_bytes(char *in, size_t len, int newline_every)
{
	for (size_t i = 0; i < len; i++)
		in[i] = rand() % newline_every == 0 ? '\n' : (char)rand();
}

static void chunks_never_change_the_output(void **state)
{
	static char in[300000];
	static const int every[] = { 2, 60, 1000, 100000, 1 << 30 };

	(void)state;
	srand(1);
	for (size_t e = 0; e < PM_COUNT(every); e++) {
		random_bytes(in, sizeof(in), every[e]);
		for (size_t s = 0; s < PM_COUNT(styles); s++) {
			PM_BUF one = { 0 };
			PM_BUF many = { 0 };

			feed_all(styles[s], in, sizeof(in), sizeof(in), &one);
			for (int round = 0; round < 3; round++) {
				pm_buf_reset(&many);
				feed_all(styles[s], in, sizeof(in), 0, &many);
				assert_int_equal(one.len, many.len);
				assert_memory_equal(one.bytes, many.bytes, one.len);
			}
		}
	}
}

/* What a reader does to get the stream back. */
static size_t strip(const struct lines_style *style, const char *text, size_t len, char *out)
{
	size_t n = 0, i = 0;

	while (i < len) {
		const char *newline;
		size_t piece;

		if (len - i >= style->prefix_len)
			i += style->prefix_len;
		if (style->shared && len - i >= strlen(LINES_MARK) &&
		    memcmp(text + i, LINES_MARK, strlen(LINES_MARK)) == 0) {
			i += strlen(LINES_MARK);
			n--;
		}
		newline = memchr(text + i, '\n', len - i);
		piece = newline == NULL ? len - i : (size_t)(newline - text) - i + 1;
		memcpy(out + n, text + i, piece);
		n += piece;
		i += piece;
	}
	return n;
}

static void bytes_in_are_bytes_out_without_the_prefixes(void **state)
{
	static char in[300000], back[400000];
	static const int every[] = { 2, 60, 1000, 1 << 30 };

	(void)state;
	srand(2);
	for (size_t e = 0; e < PM_COUNT(every); e++) {
		random_bytes(in, sizeof(in), every[e]);
		in[sizeof(in) - 1] = '\n';
		for (size_t s = 0; s < 4; s++) {
			PM_BUF out = { 0 };

			feed_all(styles[s], in, sizeof(in), 0, &out);
			assert_int_equal(strip(styles[s], out.bytes, out.len, back), sizeof(in));
			assert_memory_equal(back, in, sizeof(in));
		}
	}
}

static void much_output_is_bounded_per_call(void **state)
{
	static char in[1 << 20];
	struct lines l = { 0 };
	PM_BUF out = { 0 };
	size_t n;

	(void)state;
	memset(in, '\n', sizeof(in));
	n = lines_feed(&l, &json, in, sizeof(in), true, &out);
	assert_true(n > 0 && n < sizeof(in));
	assert_true(out.len < LINES_OUT_SOFT_MAX + 200);
}

static void without_memory_nothing_has_happened(void **state)
{
	static const char in[] =
		"first line\nsecond line that makes the buffer grow over and over: "
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";

	(void)state;
	for (size_t s = 0; s < PM_COUNT(styles); s++)
		for (unsigned nth = 1; nth < 10; nth++) {
			struct lines l = { .mid_line = true };
			PM_BUF out = { 0 };
			size_t n;

			pm_alloc_fail_at(nth);
			n = lines_feed(&l, styles[s], in, sizeof(in) - 1, true, &out);
			pm_alloc_fail_at(0);
			if (out.failed) {
				assert_int_equal(n, 0);
				assert_int_equal(out.len, 0);
				assert_true(l.mid_line);
			} else {
				assert_int_equal(n, sizeof(in) - 1);
				assert_true(nth > 1);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_of_short_input),
		cmocka_unit_test(an_unfinished_line_stays_unconsumed_where_lines_are_whole),
		cmocka_unit_test(the_next_run_goes_on_where_a_stream_ended_within_a_line),
		cmocka_unit_test(a_prefix_that_is_switched_on_waits_for_the_next_line),
		cmocka_unit_test(nul_bytes_are_bytes),
		cmocka_unit_test(x30_a_line_without_end_is_cut_and_joins_again),
		cmocka_unit_test(a_line_cut_right_at_its_end_is_ended),
		cmocka_unit_test(a_cut_does_not_break_a_character),
		cmocka_unit_test(chunks_never_change_the_output),
		cmocka_unit_test(bytes_in_are_bytes_out_without_the_prefixes),
		cmocka_unit_test(much_output_is_bounded_per_call),
		cmocka_unit_test(without_memory_nothing_has_happened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
