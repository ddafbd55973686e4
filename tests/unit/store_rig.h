/* store_rig.h - a store in a directory of its own, asked one thing at a time. */
#ifndef PM_TESTS_UNIT_STORE_RIG_H
#define PM_TESTS_UNIT_STORE_RIG_H

#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "coordinator/store.h"

struct rig {
	uv_loop_t loop;
	struct fleet_store *store;
	char dir[64];
	enum store_mode mode;
	unsigned n_modes; /* times that it was told */
	char why[256];
};

struct answer {
	enum store_status status;
	uint64_t revision, number;
	size_t n;
	char why[256];
	void (*check)(const struct store_result *r);
	bool done;
};

static inline void rig_on_mode(void *arg, enum store_mode mode, const char *why)
{
	struct rig *rig = arg;

	rig->mode = mode;
	rig->n_modes++;
	(void)snprintf(rig->why, sizeof(rig->why), "%s", why);
}

static inline int rig_open(struct rig *rig, struct pm_error *err)
{
	struct store_options options = { .dir = rig->dir, .on_mode = rig_on_mode, .arg = rig };

	rig->store = NULL;
	return fleet_store_open_sqlite(&rig->loop, &options, &rig->store, err);
}

static inline void rig_close(struct rig *rig)
{
	fleet_store_close(rig->store);
	rig->store = NULL;
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
}

static inline void rig_must_open(struct rig *rig)
{
	struct pm_error err = { 0 };

	if (rig_open(rig, &err) < 0)
		fail_msg("open: %s", err.what);
}

static inline int rig_make(void **state)
{
	static struct rig rig;
	const char *tmp = getenv("TMPDIR");

	rig = (struct rig){ 0 };
	(void)snprintf(rig.dir, sizeof(rig.dir), "%.40s/pmd-store.XXXXXX",
	               tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(rig.dir) == NULL || uv_loop_init(&rig.loop) < 0)
		return -1;
	rig_must_open(&rig);
	*state = &rig;
	return 0;
}

static inline int rig_remove(void **state)
{
	struct rig *rig = *state;
	struct dirent *entry;
	char path[400];
	DIR *d;

	rig_close(rig);
	(void)uv_loop_close(&rig->loop);
	d = opendir(rig->dir);
	while (d != NULL && (entry = readdir(d)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", rig->dir, entry->d_name);
		(void)remove(path);
	}
	if (d != NULL)
		(void)closedir(d);
	return rmdir(rig->dir);
}

static inline void rig_on_answer(void *arg, const struct store_result *r)
{
	struct answer *a = arg;

	a->status = r->status;
	a->revision = r->revision;
	a->number = r->number;
	a->n = r->n;
	(void)snprintf(a->why, sizeof(a->why), "%s", r->why == NULL ? "" : r->why);
	if (a->check != NULL)
		a->check(r);
	a->done = true;
}

/* Submit and wait; check (or NULL) sees the answer while it is valid. */
static inline struct answer rig_ask(struct rig *rig, const struct store_request *request,
                                    void (*check)(const struct store_result *r))
{
	struct answer a = { .check = check };
	struct pm_error err = { 0 };

	if (fleet_store_submit(rig->store, request, rig_on_answer, &a, &err) < 0)
		fail_msg("submit %d: %s", (int)request->op, err.what);
	assert_false(a.done); /* never from within the call */
	while (!a.done)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	return a;
}

/* The request written in place: ASK(rig, STORE_X, .member = ...) */
#define ASK(rig, ...) \
	rig_ask(rig, &(struct store_request){ .now_ms = 1000, .op = __VA_ARGS__ }, NULL)
#define LOOK(rig, check, ...) \
	rig_ask(rig, &(struct store_request){ .now_ms = 1000, .op = __VA_ARGS__ }, check)

#define OK(call)                                                               \
	do {                                                                   \
		struct answer ok_a = (call);                                   \
		if (ok_a.status != STORE_OK)                                   \
			fail_msg("status %d: %s", (int)ok_a.status, ok_a.why); \
	} while (0)

static inline struct store_id id_of(unsigned n)
{
	struct store_id id = { { 0 } };

	id.bytes[0] = 1;
	id.bytes[14] = (uint8_t)(n >> 8);
	id.bytes[15] = (uint8_t)n;
	return id;
}

static inline struct store_key key_of(unsigned n)
{
	struct store_key key = { { 0 } };

	key.bytes[0] = 2;
	key.bytes[30] = (uint8_t)(n >> 8);
	key.bytes[31] = (uint8_t)n;
	return key;
}

/* A token for agents, good for `uses`, and one for operators of a role. */
static inline struct store_token agent_token(uint8_t n, uint32_t uses)
{
	return (struct store_token){ .id = { { n } },
		                     .secret_hash = { { n, n } },
		                     .kind = MEMBER_AGENT,
		                     .labels = "role=web",
		                     .uses_left = uses,
		                     .expires_ms = 5000,
		                     .created_by = "anna" };
}

static inline struct store_enrol enrolment(uint8_t token, unsigned member, const char *name)
{
	return (struct store_enrol){ .token = { { token } },
		                     .secret_hash = { { token, token } },
		                     .kind = MEMBER_AGENT,
		                     .id = id_of(member),
		                     .key = key_of(member),
		                     .name = name,
		                     .claimed = "zone=a",
		                     .facts = "os=linux" };
}

/* What a store says that holds the one agent of enrolment(7, 1, "web01"). */
static inline void one_agent(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_string_equal(r->agents[0].name, "web01");
	assert_int_equal(r->agents[0].state, AGENT_ACCEPTED);
	assert_string_equal(r->agents[0].labels, "role=web");
	assert_string_equal(r->agents[0].claimed, "zone=a");
	assert_string_equal(r->agents[0].facts, "os=linux");
	assert_string_equal(r->agents[0].enrolled_by, "anna");
	assert_int_equal(r->agents[0].enrolled_ms, 1000);
	assert_int_equal(r->agents[0].epoch, 0);
	assert_false(r->agents[0].drained);
}

/* A test of its own store. */
#define CONTRACT(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)

#endif
