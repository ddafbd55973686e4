/* The store in files when the disk, the memory or the machine fails, and its versions.
 */
#include "tests/unit/store_rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "coordinator/store_schema.h"
#include "faulty_vfs.h"
#include "proto/limits.h"

static void path_of(const struct rig *rig, const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", rig->dir, name);
}

/* Wait until the store says that it is in that mode; it tells by itself. */
static void wait_for_mode(struct rig *rig, enum store_mode mode)
{
	uint64_t until = pm_now_ms() + 20000;

	while (rig->mode != mode) {
		if (pm_now_ms() > until)
			fail_msg("mode is %d, not %d", (int)rig->mode, (int)mode);
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	}
}

static void a_full_disk_makes_it_read_only_until_there_is_room(void **state)
{
	struct rig *rig = *state;
	struct audit_entry e = { .field = { "anna", "x", "", "", "ok" } };
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(1, 1), .audit = &e));
	faulty_vfs_set(FAULT_FULL, 0);
	a = ASK(rig, STORE_ADD_TOKEN, .token = agent_token(2, 1), .audit = &e);
	assert_int_equal(a.status, STORE_UNAVAILABLE);
	wait_for_mode(rig, STORE_MODE_READ_ONLY);
	assert_string_not_equal(rig->why, "");
	/* It still reads, and what could not be written is not there. */
	assert_int_equal(ASK(rig, STORE_LIST_TOKENS).n, 1);
	assert_int_equal(ASK(rig, STORE_LIST_AUDIT).n, 1);
	a = ASK(rig, STORE_ADD_TOKEN, .token = agent_token(2, 1), .audit = &e);
	assert_int_equal(a.status, STORE_UNAVAILABLE);
	faulty_vfs_set(FAULT_NONE, 0);
	wait_for_mode(rig, STORE_MODE_OK); /* without anybody writing */
	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(2, 1), .audit = &e));
	assert_int_equal(ASK(rig, STORE_LIST_AUDIT).n, 2);
	assert_int_equal(rig->n_modes, 2);
}

static void a_disk_that_does_not_sync_is_not_believed(void **state)
{
	struct rig *rig = *state;
	struct answer a;

	faulty_vfs_set(FAULT_SYNC, 0);
	a = ASK(rig, STORE_ADD_TOKEN, .token = agent_token(1, 1));
	assert_int_equal(a.status, STORE_UNAVAILABLE);
	faulty_vfs_set(FAULT_NONE, 0);
	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(2, 1)));
	rig_close(rig);
	rig_must_open(rig);
	assert_int_equal(ASK(rig, STORE_LIST_TOKENS).n, 1);
}

/* ---- death at each write (X-29) ---- */

/*
 * What a child does until it dies: commands, each with its targets, outcome and audit entry.  After
 * each answer it says so in a pipe: from then on it counts as promised.
 */
static void work(struct rig *rig, int promised)
{
	struct audit_entry e = { .field = { "anna", "app.reload", "web*", "", "ok" } };
	struct store_id targets[] = { id_of(1), id_of(2) };

	for (unsigned i = 0; i < 3; i++) {
		struct store_open_command open = { .command = { .id = id_of(100 + i),
			                                        .kind = "app.reload" },
			                           .targets = targets,
			                           .n_targets = 2 };
		struct store_outcome row = { .agent = id_of(1), .state = "done" };

		if (ASK(rig, STORE_OPEN_COMMAND, .open_command = open, .audit = &e).status !=
		    STORE_OK)
			_exit(1);
		if (write(promised, "o", 1) != 1)
			_exit(1);
		if (ASK(rig, STORE_PUT_OUTCOMES, .outcomes = { id_of(100 + i), &row, 1, "done" },
		        .audit = &e)
		            .status != STORE_OK)
			_exit(1);
		if (write(promised, "d", 1) != 1)
			_exit(1);
	}
}

static struct {
	uint64_t counter, audit;
} found;

static void read_meta(const struct store_result *r)
{
	found.counter = r->meta->counter;
	found.audit = r->meta->audit.seq;
}

static size_t n_done;

static void count_done(const struct store_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		n_done += strcmp(r->outcomes[i].state, "done") == 0;
}

static struct audit_head chain;

static void check_chain(const struct store_result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct audit_entry e = r->audit[i].entry;

		audit_link(&chain, &e);
		assert_memory_equal(&chain, &r->audit[i].head, sizeof(chain));
	}
}

/* Everything that was promised is there, whole, and nothing is there in part. */
static void check_work(struct rig *rig, unsigned promised)
{
	unsigned opened = 0;

	n_done = 0;
	chain = (struct audit_head){ 0 };
	OK(LOOK(rig, read_meta, STORE_GET_META));
	OK(LOOK(rig, check_chain, STORE_LIST_AUDIT));
	for (unsigned i = 0; i < 3; i++) {
		struct answer a = LOOK(rig, count_done, STORE_LIST_OUTCOMES, .id = id_of(100 + i));

		assert_true(a.n == 0 || a.n == 2);
		opened += a.n == 2;
	}
	assert_int_equal(found.counter, opened);
	assert_int_equal(found.audit, opened + n_done);
	assert_int_equal(chain.seq, found.audit);
	assert_true(opened + n_done == promised || opened + n_done == promised + 1);
}

/* One run in a child that dies at the n-th write or sync; false: it came to the end. */
static bool dies_at(struct rig *rig, int n)
{
	unsigned promised = 0;
	int pipe_fds[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		struct rig child = { 0 };
		struct pm_error err;

		(void)memcpy(child.dir, rig->dir, sizeof(child.dir));
		if (uv_loop_init(&child.loop) < 0)
			_exit(1);
		faulty_vfs_set(FAULT_DIE, n);
		if (rig_open(&child, &err) < 0)
			_exit(1);
		work(&child, pipe_fds[1]);
		rig_close(&child);
		_exit(0);
	}
	assert_true(pid > 0);
	(void)close(pipe_fds[1]);
	while (read(pipe_fds[0], &byte, 1) == 1)
		promised++;
	(void)close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
	rig_must_open(rig);
	check_work(rig, promised);
	rig_close(rig);
	return WEXITSTATUS(status) == 77;
}

static void remove_files(struct rig *rig)
{
	static const char *const names[] = { "store.db", "store.db-wal", "store.db-shm",
		                             "store.db-journal" };
	char path[128];

	for (size_t i = 0; i < PM_COUNT(names); i++) {
		path_of(rig, names[i], path);
		(void)unlink(path);
	}
}

static void a_death_at_any_write_breaks_no_promise(void **state)
{
	struct rig *rig = *state;
	/* Each of some 200, or every eighth, from another one on each time. */
	int step = getenv("PMD_SOAK") != NULL ? 1 : 8, n = 1 + getpid() % step, deaths = 0;

	rig_close(rig);
	remove_files(rig);
	for (; dies_at(rig, n); n += step) {
		deaths++;
		remove_files(rig);
	}
	print_message("%d deaths\n", deaths);
	assert_true(n > 20); /* it did write that often */
}

/* ---- memory ---- */

static sqlite3_mem_methods real_memory;
static _Atomic int memory_left = -1; /* allocations of SQLite until one fails; -1: none does */

static bool memory_fails(void)
{
	int left = atomic_load(&memory_left);

	if (left < 0)
		return false;
	if (left == 0)
		return true;
	atomic_store(&memory_left, left - 1);
	return false;
}

static void *faulty_malloc(int n)
{
	return memory_fails() ? NULL : real_memory.xMalloc(n);
}

static void *faulty_realloc(void *p, int n)
{
	return memory_fails() ? NULL : real_memory.xRealloc(p, n);
}

static void memory_may_run_out_in_sqlite(void **state)
{
	struct rig *rig = *state;
	struct audit_entry e = { .field = { "anna", "token.create", "", "", "ok" } };
	unsigned failures = 0;
	uint8_t token = 1;

	for (int nth = 0; token < 4; nth += 5) {
		struct answer a;

		assert_true(nth < 5000);
		rig_close(rig); /* no statement is prepared yet: that is where memory is needed */
		rig_must_open(rig);
		atomic_store(&memory_left, nth);
		a = ASK(rig, STORE_ADD_TOKEN, .token = agent_token(token, 1), .audit = &e);
		atomic_store(&memory_left, -1);
		assert_true(a.status == STORE_OK || a.status == STORE_UNAVAILABLE);
		failures += a.status != STORE_OK;
		token = (uint8_t)(token + (a.status == STORE_OK));
		assert_int_equal(ASK(rig, STORE_LIST_TOKENS).n, token - 1u);
		assert_int_equal(ASK(rig, STORE_LIST_AUDIT).n, token - 1u);
		assert_int_equal(rig->n_modes, 0); /* the disk is fine */
	}
	assert_true(failures > 5);
}

static void memory_may_run_out_for_an_answer(void **state)
{
	struct rig *rig = *state;
	bool failed = true;

	for (uint8_t i = 0; i < 40; i++)
		OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(i, 1)));
	for (unsigned nth = 2; failed; nth++) { /* the first is the call's own */
		struct answer a;

		assert_true(nth < 20);
		pm_alloc_fail_at(nth);
		a = ASK(rig, STORE_LIST_TOKENS);
		pm_alloc_fail_at(0);
		failed = a.status != STORE_OK;
		assert_true(failed ? a.status == STORE_UNAVAILABLE : a.n == 40);
	}
}

static void memory_may_run_out_while_opening(void **state)
{
	struct rig *rig = *state;
	int rc = -1;

	rig_close(rig);
	for (unsigned nth = 1; rc < 0; nth++) {
		struct pm_error err = { 0 };

		assert_true(nth < 20);
		pm_alloc_fail_at(nth);
		rc = rig_open(rig, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
	}
}

/* ---- files ---- */

static void one_coordinator_at_a_time(void **state)
{
	struct rig *rig = *state;
	struct rig second = { 0 };
	struct pm_error err;

	memcpy(second.dir, rig->dir, sizeof(second.dir));
	assert_int_equal(uv_loop_init(&second.loop), 0);
	assert_int_equal(rig_open(&second, &err), -1);
	assert_int_equal(err.code, PM_LOCKED);
	(void)uv_run(&second.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&second.loop), 0);
}

static void nobody_else_may_read_the_files(void **state)
{
	static const char *const names[] = { "store.db", "store.db-wal", "store.lock" };
	struct rig *rig = *state;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(1, 1)));
	for (size_t i = 0; i < PM_COUNT(names); i++) {
		struct stat st;
		char path[128];

		path_of(rig, names[i], path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static void spoil(struct rig *rig, off_t from, off_t to)
{
	char path[128], junk[4096];
	int fd;

	memset(junk, 0x5a, sizeof(junk));
	path_of(rig, "store.db", path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (off_t at = from; at < to; at += (off_t)sizeof(junk))
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), (ssize_t)sizeof(junk));
	(void)close(fd);
}

static void a_damaged_file_is_read_as_far_as_it_goes_and_not_written(void **state)
{
	struct rig *rig = *state;
	struct stat st;
	char path[128];
	struct answer a;

	for (uint8_t i = 0; i < 200; i++)
		OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(i, 1)));
	rig_close(rig); /* with the last connection the log goes into the file */
	path_of(rig, "store.db", path);
	assert_int_equal(stat(path, &st), 0);
	spoil(rig, st.st_size - 8192, st.st_size);
	rig_must_open(rig);
	wait_for_mode(rig, STORE_MODE_DAMAGED);
	a = ASK(rig, STORE_ADD_TOKEN, .token = agent_token(201, 1));
	assert_int_equal(a.status, STORE_UNAVAILABLE);
	OK(ASK(rig, STORE_LIST_OPERATORS));
}

static void what_is_no_store_is_refused_and_left_alone(void **state)
{
	struct rig *rig = *state;
	struct pm_error err;
	char path[128];
	sqlite3 *db;

	rig_close(rig);
	spoil(rig, 0, 4096);
	assert_int_equal(rig_open(rig, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
	remove_files(rig);
	path_of(rig, "store.db", path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(rig_open(rig, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
	assert_non_null(strstr(err.what, "not a store of pmd"));
	remove_files(rig);
	(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
}

/* ---- versions ---- */

static void set_version(struct rig *rig, int version)
{
	char path[128], text[64];
	sqlite3 *db;

	path_of(rig, "store.db", path);
	(void)snprintf(text, sizeof(text), "PRAGMA user_version = %d", version);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_store_of_a_newer_version_is_refused_in_words(void **state)
{
	struct rig *rig = *state;
	struct pm_error err = { 0 };

	rig_close(rig);
	set_version(rig, 999);
	assert_int_equal(rig_open(rig, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	assert_non_null(strstr(err.what, "newer pmd (schema 999, this one knows 2)"));
	assert_non_null(strstr(err.hint, "upgrade pmd"));
	(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
	set_version(rig, 2);
	rig_must_open(rig);
}

/* The steps of now and two more, of which the last may be broken. */
static int migrate(struct rig *rig, const char *const *second, struct pm_error *err)
{
	static const char *const add[] = { "ALTER TABLE agents ADD COLUMN region TEXT NOT NULL "
		                           "DEFAULT ''",
		                           NULL };
	const char *const *steps[] = { schema_steps[0], schema_steps[1], add, second };
	char path[128];
	struct sql q;
	int rc;

	path_of(rig, "store.db", path);
	assert_int_equal(sql_open(&q, path, false, err), 0);
	rc = schema_migrate(&q, path, steps, 4, err);
	sql_close(&q);
	return rc;
}

static void a_migration_copies_first_and_is_all_or_nothing(void **state)
{
	static const char *const broken[] = { "CREATE TABLE sites (x) STRICT", NULL };
	static const char *const good[] = { "CREATE TABLE sites (x TEXT) STRICT", NULL };
	struct rig *rig = *state;
	struct pm_error err = { 0 };
	char path[128];
	sqlite3 *db;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1)));
	rig_close(rig);
	assert_int_equal(migrate(rig, broken, &err), -1);
	rig_must_open(rig); /* still of version 2 */
	assert_int_equal(ASK(rig, STORE_LIST_TOKENS).n, 1);
	rig_close(rig);
	assert_int_equal(migrate(rig, good, &err), 0);
	assert_int_equal(rig_open(rig, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED); /* version 4 now */
	(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
	path_of(rig, "store.db.before-2", path);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT epoch FROM agents", NULL, NULL, NULL), SQLITE_OK);
	assert_int_not_equal(sqlite3_exec(db, "SELECT region FROM agents", NULL, NULL, NULL),
	                     SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	remove_files(rig);
}

/* ---- copies ---- */

static unsigned writes_left;

static void count_write(void *arg, const struct store_result *r)
{
	(void)arg;
	(void)r;
	writes_left--;
}

static void a_backup_is_whole_while_work_goes_on(void **state)
{
	struct rig *rig = *state;
	char path[128], old[128];
	struct answer a;

	path_of(rig, "copy.db", path);
	writes_left = 200;
	for (uint8_t i = 0; i < 200; i++) {
		struct store_request r = { .op = STORE_ADD_TOKEN, .token = agent_token(i, 1) };
		struct pm_error err;

		assert_int_equal(fleet_store_submit(rig->store, &r, count_write, NULL, &err), 0);
	}
	OK(ASK(rig, STORE_BACKUP, .page = { .name = path }));
	a = ASK(rig, STORE_BACKUP, .page = { .name = path });
	assert_int_equal(a.status, STORE_CONFLICT);
	assert_non_null(strstr(a.why, "exists"));
	assert_int_equal(ASK(rig, STORE_BACKUP, .page = { .name = "/nowhere/copy.db" }).status,
	                 STORE_UNAVAILABLE);
	while (writes_left > 0)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	/* The copy is a store; put in the place of the other it is an older one. */
	rig_close(rig);
	remove_files(rig);
	path_of(rig, "store.db", old);
	assert_int_equal(rename(path, old), 0);
	rig_must_open(rig);
	assert_int_equal(rig->mode, STORE_MODE_OK);
	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(255, 1)));
}

static int install(void **state)
{
	sqlite3_mem_methods faulty;

	(void)state;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory) != SQLITE_OK)
		return -1;
	faulty = real_memory;
	faulty.xMalloc = faulty_malloc;
	faulty.xRealloc = faulty_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &faulty) != SQLITE_OK)
		return -1;
	return faulty_vfs_install() == SQLITE_OK ? 0 : -1;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_full_disk_makes_it_read_only_until_there_is_room),
		TEST(a_disk_that_does_not_sync_is_not_believed),
		TEST(a_death_at_any_write_breaks_no_promise),
		TEST(memory_may_run_out_in_sqlite),
		TEST(memory_may_run_out_for_an_answer),
		TEST(memory_may_run_out_while_opening),
		TEST(one_coordinator_at_a_time),
		TEST(nobody_else_may_read_the_files),
		TEST(a_damaged_file_is_read_as_far_as_it_goes_and_not_written),
		TEST(what_is_no_store_is_refused_and_left_alone),
		TEST(a_store_of_a_newer_version_is_refused_in_words),
		TEST(a_migration_copies_first_and_is_all_or_nothing),
		TEST(a_backup_is_whole_while_work_goes_on),
	};

	return cmocka_run_group_tests(tests, install, NULL);
}
