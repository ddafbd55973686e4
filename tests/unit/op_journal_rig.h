/* op_journal_rig.h - a journal in a directory of its own. */
#ifndef PM_TESTS_UNIT_OP_JOURNAL_RIG_H
#define PM_TESTS_UNIT_OP_JOURNAL_RIG_H

#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/op_record.h"
#include "proto/buf.h"
#include "proto/failpoint.h"
#include "proto/limits.h"

static char path[64];
static int dir = -1;

static inline int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(path, sizeof(path), "%.40s/pmd-ops.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(path) == NULL)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static inline int remove_dir(void **state)
{
	struct dirent *entry;
	DIR *d = fdopendir(dir);

	(void)state;
	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	return rmdir(path);
}

static struct op_journal_report report;

static inline struct op_journal *open_journal(size_t max)
{
	struct op_journal *j = NULL;
	struct pm_error err = { 0 };

	if (op_journal_open(dir, max, &j, &report, &err) < 0)
		fail_msg("open: %s", err.what);
	return j;
}

static inline const uint8_t *id_of(unsigned n)
{
	static uint8_t ids[4][OP_ID_BYTES];
	static unsigned at;
	uint8_t *id = ids[at++ % 4];

	memset(id, 0, OP_ID_BYTES);
	id[0] = 7;
	id[13] = (uint8_t)(n >> 16);
	id[14] = (uint8_t)(n >> 8);
	id[15] = (uint8_t)n;
	return id;
}

static inline int rewrite(struct op_journal *j, struct pm_error *err)
{
	if (op_journal_rewrite_begin(j, err) < 0)
		return -1;
	return op_journal_rewrite_end(j, op_journal_rewrite_work(j, err), err);
}

static inline void rewrite_if_wanted(struct op_journal *j)
{
	struct pm_error err = { 0 };

	if (op_journal_wants_rewrite(j) && rewrite(j, &err) < 0)
		fail_msg("rewrite: %s", err.what);
}

static inline void begin(struct op_journal *j, unsigned n)
{
	struct pm_error err = { 0 };

	if (op_journal_begin(j, id_of(n), n, &err) < 0)
		fail_msg("begin %u: %s", n, err.what);
	rewrite_if_wanted(j);
}

static inline struct op_result a_result(unsigned n)
{
	static char texts[4][32];
	static unsigned next;
	char *text = texts[next++ % 4];

	(void)snprintf(text, sizeof(texts[0]), "reloaded %u", n);
	return (struct op_result){ .code = n % 2 == 0 ? PM_OK : PM_FAILED,
		                   .wall_ms = 1700000000000,
		                   .bytes = (const uint8_t *)text,
		                   .len = strlen(text) };
}

static inline void end(struct op_journal *j, unsigned n)
{
	struct op_result r = a_result(n);
	struct pm_error err = { 0 };

	if (op_journal_end(j, id_of(n), &r, &err) < 0)
		fail_msg("end %u: %s", n, err.what);
}

/* What is known of a command; an ended one has its own result. */
static inline enum op_known known(const struct op_journal *j, unsigned n)
{
	struct op_result r, want = a_result(n);
	enum op_known k = op_journal_find(j, id_of(n), &r);

	if (k == OP_ENDED) {
		assert_int_equal(r.code, want.code);
		assert_int_equal(r.wall_ms, want.wall_ms);
		assert_int_equal(r.len, want.len);
		assert_memory_equal(r.bytes, want.bytes, want.len);
	}
	return k;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

#endif
