/* Which version an undo goes to. */
#include "tests/unit/unit.h"

#include "cli/versions_ask.h"

#define N 3

static uint8_t hashes[N][16];
static Pm__SpecVersion versions[N], *list[N];

/* present: which of them the app has; N: it is deleted */
static void make(size_t present)
{
	for (size_t i = 0; i < N; i++) {
		pm__spec_version__init(&versions[i]);
		memset(hashes[i], 0xa0, sizeof(hashes[i]));
		hashes[i][2] = (uint8_t)i;
		versions[i].hash.data = hashes[i];
		versions[i].hash.len = sizeof(hashes[i]);
		versions[i].present = i == present;
		list[i] = &versions[i];
	}
}

/* -1: refused with that code */
static void expect(size_t present, size_t n, const char *to, int want, enum pm_code code)
{
	const Pm__SpecVersion *got = NULL;
	struct pm_error err;
	int rc;

	make(present);
	rc = versions_choose("api", list, n, to, &got, &err);
	assert_int_equal(rc, want < 0 ? -1 : 0);
	if (want < 0)
		assert_int_equal(err.code, code);
	else
		assert_ptr_equal(got, list[want]);
}

static void the_one_before_the_present_one(void **state)
{
	(void)state;
	expect(0, N, NULL, 1, PM_OK);
	expect(1, N, NULL, 2, PM_OK);
	expect(2, N, NULL, -1, PM_NOT_FOUND);
	expect(0, 1, NULL, -1, PM_NOT_FOUND);
	expect(N, N, NULL, 0, PM_OK); /* deleted: as it was last */
	expect(N, 0, NULL, -1, PM_NOT_FOUND);
}

static void one_by_the_beginning_of_its_name(void **state)
{
	(void)state;
	expect(0, N, "a0a002", 2, PM_OK);
	expect(0, N, "A0A001A0", 1, PM_OK);
	expect(0, N, "a0a0", -1, PM_USAGE); /* all of them */
	expect(0, N, "a0a", -1, PM_NOT_FOUND);
	expect(0, N, "", -1, PM_NOT_FOUND);
	expect(0, N, "a0a003", -1, PM_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_before_the_present_one),
		cmocka_unit_test(one_by_the_beginning_of_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
