#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/membership.h"

static void fill(struct pm_membership *m)
{
	struct pm_key *key;
	struct pm_error err;

	*m = (struct pm_membership){ .id = "a-0123",
		                     .name = "web 01",
		                     .cluster = "c-7",
		                     .n_addresses = 2,
		                     .joined_wall_ms = 1800000000123 };
	assert_int_equal(pm_key_create(&key, &err), 0);
	memcpy(m->coordinator, pm_key_public(key), PM_KEY_BYTES);
	pm_key_destroy(key);
	assert_int_equal(pm_address_parse("fleet.example:7443", &m->addresses[0], &err), 0);
	assert_int_equal(pm_address_parse("[2001:db8::1]:7000", &m->addresses[1], &err), 0);
}

static void same(const struct pm_membership *a, const struct pm_membership *b)
{
	assert_string_equal(a->id, b->id);
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->cluster, b->cluster);
	assert_memory_equal(a->coordinator, b->coordinator, PM_KEY_BYTES);
	assert_int_equal(a->n_addresses, b->n_addresses);
	for (unsigned i = 0; i < a->n_addresses; i++) {
		assert_string_equal(a->addresses[i].host, b->addresses[i].host);
		assert_int_equal(a->addresses[i].port, b->addresses[i].port);
	}
	assert_int_equal(a->joined_wall_ms, b->joined_wall_ms);
}

static void what_is_written_is_read(void **state)
{
	struct pm_membership m, got;
	PM_BUF text = { 0 };
	struct pm_error err;

	(void)state;
	fill(&m);
	assert_int_equal(pm_membership_format(&m, &text, &err), 0);
	assert_int_equal(pm_membership_parse(text.bytes, text.len, &got, &err), 0);
	same(&m, &got);
}

static void a_name_writes_no_line_of_its_own(void **state)
{
	static const char *const bad[] = { "a\naddress evil:1", "a\tb", "\x1b[31m", "\xff" };
	struct pm_membership m;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		PM_BUF text = { 0 };

		fill(&m);
		(void)snprintf(m.name, sizeof(m.name), "%s", bad[i]);
		assert_int_equal(pm_membership_format(&m, &text, &err), -1);
		assert_int_equal(err.code, PM_CONFIG);
	}
}

static void a_cut_or_changed_file_is_no_membership(void **state)
{
	struct pm_membership m, got;
	PM_BUF text = { 0 };
	struct pm_error err;

	(void)state;
	fill(&m);
	assert_int_equal(pm_membership_format(&m, &text, &err), 0);
	for (size_t len = 0; len < text.len; len++) {
		assert_int_equal(pm_membership_parse(text.bytes, len, &got, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
	}
	for (size_t at = 0; at < text.len; at++) {
		char kept = text.bytes[at];

		text.bytes[at] = '\0';
		assert_int_equal(pm_membership_parse(text.bytes, text.len, &got, &err), -1);
		text.bytes[at] = kept;
	}
	pm_buf_str(&text, "more");
	assert_int_equal(pm_membership_parse(text.bytes, text.len, &got, &err), -1);
	pm_buf_reset(&text);
	pm_buf_str(&text, "pmd-fleet 2\nend\n");
	assert_int_equal(pm_membership_parse(text.bytes, text.len, &got, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
}

static void words_of_a_later_version_are_passed_over(void **state)
{
	struct pm_membership m, got;
	PM_BUF text = { 0 };
	struct pm_error err;

	(void)state;
	fill(&m);
	assert_int_equal(pm_membership_format(&m, &text, &err), 0);
	text.len -= strlen("end\n");
	pm_buf_str(&text, "quorum of three\nend\n");
	assert_int_equal(pm_membership_parse(text.bytes, text.len, &got, &err), 0);
	same(&m, &got);
}

static void in_files(void **state)
{
	char dir[] = "/tmp/pm-membership-XXXXXX", path[128];
	struct pm_membership m, got;
	struct pm_error err;
	struct stat st;
	uint64_t epoch;
	struct pm_session_mark mark;

	(void)state;
	fill(&m);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/state", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/keys", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pm_membership_load(dir, &got, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_int_equal(pm_membership_forget(dir, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_int_equal(pm_membership_save(dir, &m, &err), 0);
	assert_int_equal(pm_membership_save(dir, &m, &err), 0);
	assert_int_equal(pm_membership_load(dir, &got, &err), 0);
	same(&m, &got);
	(void)snprintf(path, sizeof(path), "%s/" PM_HOME_FLEET, dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(pm_membership_next_epoch(dir, &epoch, &err), 0);
		assert_int_equal(epoch, i);
	}
	pm_session_mark_load(dir, &mark);
	assert_string_equal(mark.id, "");
	assert_int_equal(mark.generation, 0);
	mark = (struct pm_session_mark){ .id = "0123 of it", .generation = 7, .base = 9 };
	assert_int_equal(pm_session_mark_save(dir, &mark, &err), 0);
	mark = (struct pm_session_mark){ 0 };
	pm_session_mark_load(dir, &mark);
	assert_string_equal(mark.id, "0123 of it");
	assert_int_equal(mark.generation, 7);
	assert_int_equal(mark.base, 9);
	assert_int_equal(pm_membership_forget(dir, &err), 0);
	assert_int_equal(pm_membership_load(dir, &got, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	pm_session_mark_load(dir, &mark); /* stays: it says what an earlier membership counted */
	assert_int_equal(mark.base, 9);
	(void)snprintf(path, sizeof(path), "%s/" PM_HOME_SESSION, dir);
	assert_int_equal(truncate(path, 3), 0);
	pm_session_mark_load(dir, &mark);
	assert_string_equal(mark.id, "");
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/" PM_HOME_FLEET, dir);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(pm_membership_load(dir, &got, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/state", dir);
	assert_int_equal(rmdir(path), 0); /* nothing else was left there */
	(void)snprintf(path, sizeof(path), "%s/keys", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_name_writes_no_line_of_its_own),
		cmocka_unit_test(a_cut_or_changed_file_is_no_membership),
		cmocka_unit_test(words_of_a_later_version_are_passed_over),
		cmocka_unit_test(in_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
