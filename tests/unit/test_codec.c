#include "tests/unit/unit.h"

#include <errno.h>

#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "proto/utf8.h"

static Pm__Envelope envelope(uint64_t id)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	env.id = id;
	return env;
}

/* Pack, cut the length off, unpack again. */
static Pm__Envelope *round_trip(struct pm_arena *a, const Pm__Envelope *env)
{
	struct pm_buf buf = { 0 };
	struct pm_error err;
	Pm__Envelope *out = NULL;

	assert_int_equal(pm_encode(env, &buf, &err), 0);
	assert_int_equal((uint8_t)buf.bytes[0] << 8 | (uint8_t)buf.bytes[1], buf.len - 2);
	assert_int_equal(pm_decode(a, (uint8_t *)buf.bytes + 2, buf.len - 2, &out, &err), 0);
	pm_buf_finish(&buf);
	return out;
}

static void what_was_packed_comes_back(void **state)
{
	struct pm_arena a = { 0 };
	Pm__Envelope env = envelope(7), *got;
	Pm__Command cmd = PM__COMMAND__INIT;
	Pm__Target target = PM__TARGET__INIT, *targets[] = { &target };
	char name[] = "api \xc3\xa9";
	uint8_t op_id[16] = { 1, 2, 3 };

	(void)state;
	target.text = name;
	cmd.verb = PM__VERB__VERB_RESTART;
	cmd.targets = targets;
	cmd.n_targets = 1;
	cmd.op_id.data = op_id;
	cmd.op_id.len = sizeof(op_id);
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &cmd;
	got = round_trip(&a, &env);
	assert_int_equal(got->id, 7);
	assert_int_equal(got->body_case, PM__ENVELOPE__BODY_COMMAND);
	assert_int_equal(got->command->verb, PM__VERB__VERB_RESTART);
	assert_string_equal(got->command->targets[0]->text, name);
	assert_memory_equal(got->command->op_id.data, op_id, 16);
	pm_arena_finish(&a);
}

/* A field with a length, as on the wire. */
static void put_bytes(struct pm_buf *b, unsigned field, const void *bytes, size_t n)
{
	size_t len = n;

	if (field >= 16)
		pm_buf_char(b, (char)((field << 3 | 2) | 0x80));
	pm_buf_char(b, (char)(field >= 16 ? field >> 4 : field << 3 | 2));
	for (; len >= 0x80; len >>= 7)
		pm_buf_char(b, (char)(len | 0x80));
	pm_buf_char(b, (char)len);
	pm_buf_add(b, bytes, n);
}

static int decode(const struct pm_buf *b, struct pm_error *err)
{
	struct pm_arena a = { 0 };
	Pm__Envelope *out;
	int rc = pm_decode(&a, (const uint8_t *)b->bytes, b->len, &out, err);

	pm_arena_finish(&a);
	return rc;
}

static void strings_are_text_without_nul(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool ok;
	} cases[] = {
		{ "plain", 5, true },
		{ "", 0, true },
		{ "a\0b", 3, false },
		{ "0123456789abcde\0f0123456", 24, false },
		{ "0123456\xc3\xa9 89\xe2\x82\xac\xf0\x9f\x98\x80", 19, true },
		{ "\xc3", 1, false },
		{ "\xc0\x80", 2, false },         /* NUL in a longer form */
		{ "\xe0\x80\xaf", 3, false },     /* not the shortest form */
		{ "\xed\xa0\x80", 3, false },     /* a surrogate */
		{ "\xf4\x90\x80\x80", 4, false }, /* beyond U+10FFFF */
		{ "\xf4\x8f\xbf\xbf", 4, true },
		{ "\xff", 1, false },
		{ "\x80", 1, false },
	};
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF hello = { 0 };
		PM_BUF env = { 0 };

		put_bytes(&hello, 3, cases[i].bytes, cases[i].len);
		put_bytes(&env, 10, hello.bytes, hello.len);
		if (decode(&env, &err) != (cases[i].ok ? 0 : -1))
			fail_msg("case %zu", i);
		if (!cases[i].ok) {
			assert_int_equal(err.code, PM_PROTOCOL);
			assert_string_equal(err.what, "malformed Envelope: program is not text");
		}
	}
}

static void values_nobody_defined_become_unspecified(void **state)
{
	struct pm_arena a = { 0 };
	Pm__Envelope env = envelope(1), *got;
	Pm__Result result = PM__RESULT__INIT;
	Pm__Outcome one = PM__OUTCOME__INIT, two = PM__OUTCOME__INIT, *both[] = { &one, &two };

	(void)state;
	one.state = (Pm__LifeState)99;
	two.state = PM__LIFE_STATE__LIFE_ONLINE;
	result.outcomes = both;
	result.n_outcomes = 2;
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = &result;
	got = round_trip(&a, &env);
	assert_int_equal(got->result->outcomes[0]->state, PM__LIFE_STATE__LIFE_UNSPECIFIED);
	assert_int_equal(got->result->outcomes[1]->state, PM__LIFE_STATE__LIFE_ONLINE);
	pm_arena_finish(&a);
}

static void a_body_nobody_defined_is_no_body(void **state)
{
	struct pm_arena a = { 0 };
	struct pm_error err;
	PM_BUF bytes = { 0 };
	Pm__Envelope *got;

	(void)state;
	pm_buf_add(&bytes, "\x08\x05", 2); /* id 5 */
	put_bytes(&bytes, 59, "future", 6);
	assert_int_equal(pm_decode(&a, (uint8_t *)bytes.bytes, bytes.len, &got, &err), 0);
	assert_int_equal(got->id, 5);
	assert_int_equal(got->body_case, PM__ENVELOPE__BODY__NOT_SET);
	pm_arena_finish(&a);
}

static void op_ids_have_sixteen_bytes_or_none(void **state)
{
	struct pm_error err;

	(void)state;
	for (size_t len = 0; len <= 17; len++) {
		PM_BUF cmd = { 0 };
		PM_BUF env = { 0 };

		put_bytes(&cmd, 1, "0123456789abcdefg", len);
		put_bytes(&env, 20, cmd.bytes, cmd.len);
		assert_int_equal(decode(&env, &err), len == 0 || len == 16 ? 0 : -1);
	}
	for (size_t len = 15; len <= 16; len++) { /* inside of a Forward too */
		PM_BUF cmd = { 0 };
		PM_BUF forward = { 0 };
		PM_BUF env = { 0 };

		put_bytes(&cmd, 1, "0123456789abcdefg", len);
		put_bytes(&forward, 2, cmd.bytes, cmd.len);
		put_bytes(&env, 42, forward.bytes, forward.len);
		assert_int_equal(decode(&env, &err), len == 16 ? 0 : -1);
	}
}

static void an_enrolments_token_has_its_lengths(void **state)
{
	static const char bytes[40] = "";
	static const struct {
		size_t id, secret;
		bool ok;
	} cases[] = { { 8, 32, true },  { 0, 0, false },  { 7, 32, false },
		      { 9, 32, false }, { 8, 31, false }, { 8, 33, false } };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF enrol = { 0 };
		PM_BUF env = { 0 };

		put_bytes(&enrol, 1, bytes, cases[i].id);
		put_bytes(&enrol, 2, bytes, cases[i].secret);
		put_bytes(&env, 40, enrol.bytes, enrol.len);
		assert_int_equal(decode(&env, &err), cases[i].ok ? 0 : -1);
	}
}

static void hostile_messages_meet_the_cap_and_not_the_heap(void **state)
{
	/* One tag and length, repeated inside a body until the record is full. */
	static const struct {
		unsigned body; /* field of Envelope, 0: at the top */
		const char *item;
		size_t len;
	} cases[] = {
		{ 21, "\x22\x00", 2 },             /* Result.outcomes: empty sub-messages */
		{ 23, "\x0a\x02\x22\x00", 4 },     /* AppSpec.args: empty strings, merged specs */
		{ 0, "\xf8\x07\x01", 3 },          /* unknown fields */
		{ 0, "\x52\x00\xa2\x01\x00", 5 },  /* alternating members of the oneof */
		{ 25, "\x0a\x03\xaa\x02\x00", 5 }, /* instances with one spec each */
	};
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF body = { 0 };
		PM_BUF env = { 0 };

		while (body.len + cases[i].len + 8 < PM_RECORD_MAX)
			pm_buf_add(&body, cases[i].item, cases[i].len);
		if (cases[i].body != 0)
			put_bytes(&env, cases[i].body, body.bytes, body.len);
		else
			pm_buf_add(&env, body.bytes, body.len);
		if (decode(&env, &err) != -1)
			fail_msg("case %zu was served", i);
		assert_int_equal(err.code, PM_PROTOCOL);
	}
}

static void cut_and_bent_records_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\x08", 1 },                                              /* no value */
		{ "\x00\x01", 2 },                                          /* field 0 */
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 }, /* 11 bytes of number */
		{ "\x52\x05\x08", 3 }, /* Hello of 5 bytes, 1 there */
		{ "\x52\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* a length near 2^64 */
		{ "\x53", 1 },                                          /* a group */
		{ "\x0d\x01", 2 },                                      /* 4 bytes, 1 there */
		{ "\x50\x01", 2 },                                      /* Hello as a number */
	};
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF b = { 0 };

		pm_buf_add(&b, cases[i].bytes, cases[i].len);
		if (decode(&b, &err) != -1)
			fail_msg("case %zu was served", i);
		assert_int_equal(err.code, PM_PROTOCOL);
	}
}

static void a_message_over_a_record_is_not_sent(void **state)
{
	PM_BUF out = { 0 };
	Pm__Envelope env = envelope(1);
	Pm__Error error = PM__ERROR__INIT;
	PM_FREE char *text = pm_calloc(1, PM_RECORD_MAX + 1);
	struct pm_error err;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', PM_RECORD_MAX);
	error.what = text;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	assert_int_equal(pm_encode(&env, &out, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(out.len, 0);
	text[PM_RECORD_MAX - 10] = '\0';
	assert_int_equal(pm_encode(&env, &out, &err), 0);
	assert_int_equal(out.len, PM_RECORD_MAX + PM_RECORD_HEAD);
}

static void running_out_of_memory_fails_the_message_only(void **state)
{
	PM_BUF out = { 0 };
	Pm__Envelope env = envelope(1), *got;
	Pm__SpecPush push = PM__SPEC_PUSH__INIT;
	Pm__AppSpec spec = PM__APP_SPEC__INIT;
	PM_FREE char *text = pm_calloc(1, 40001);
	struct pm_arena a = { 0 };
	struct pm_error err;
	unsigned n;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 40000);
	spec.script = text;
	push.spec = &spec;
	env.body_case = PM__ENVELOPE__BODY_SPEC_PUSH;
	env.spec_push = &push;
	pm_alloc_fail_at(1);
	assert_int_equal(pm_encode(&env, &out, &err), -1);
	assert_int_equal(err.code, PM_NO_MEMORY);
	pm_alloc_fail_at(0);
	pm_buf_reset(&out);
	assert_int_equal(pm_encode(&env, &out, &err), 0);
	for (n = 1; n < 100; n++) {
		int rc;

		pm_alloc_fail_at(n);
		rc = pm_decode(&a, (uint8_t *)out.bytes + 2, out.len - 2, &got, &err);
		pm_alloc_fail_at(0);
		pm_arena_finish(&a);
		if (rc == 0)
			break;
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_in_range(n, 2, 99);
}

static void an_arena_keeps_one_small_block(void **state)
{
	struct pm_arena a = { 0 };
	void *first, *again;

	(void)state;
	first = pm_arena_alloc(&a, 100);
	assert_non_null(first);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal((uintptr_t)pm_arena_alloc(&a, 10001) % 16, 0);
	assert_true(a.used >= 100 * 10001);
	pm_arena_reset(&a);
	assert_int_equal(a.used, 0);
	again = pm_arena_alloc(&a, 100);
	assert_non_null(again);
	pm_arena_reset(&a);
	assert_ptr_equal(pm_arena_alloc(&a, 100), again);
	pm_arena_finish(&a);
	assert_null(a.blocks);
}

/* The decoder has no other guard against deep nesting than that no message contains itself. */
static void walk(const ProtobufCMessageDescriptor *type, const ProtobufCMessageDescriptor **above,
                 unsigned depth, unsigned *seen)
{
	if (depth == 32)
		fail_msg("%s nests too deep", type->name);
	for (unsigned i = 0; i < depth; i++)
		if (above[i] == type)
			fail_msg("%s contains itself", type->name);
	above[depth] = type;
	(*seen)++;
	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			walk(type->fields[i].descriptor, above, depth + 1, seen);
}

static void no_message_contains_itself(void **state)
{
	const ProtobufCMessageDescriptor *above[32];
	unsigned seen = 0;

	(void)state;
	walk(&pm__envelope__descriptor, above, 0, &seen);
	walk(&pm__saved_app__descriptor, above, 0, &seen);
	walk(&pm__saved_header__descriptor, above, 0, &seen);
	assert_true(seen > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_back),
		cmocka_unit_test(strings_are_text_without_nul),
		cmocka_unit_test(values_nobody_defined_become_unspecified),
		cmocka_unit_test(a_body_nobody_defined_is_no_body),
		cmocka_unit_test(op_ids_have_sixteen_bytes_or_none),
		cmocka_unit_test(an_enrolments_token_has_its_lengths),
		cmocka_unit_test(hostile_messages_meet_the_cap_and_not_the_heap),
		cmocka_unit_test(cut_and_bent_records_are_refused),
		cmocka_unit_test(a_message_over_a_record_is_not_sent),
		cmocka_unit_test(running_out_of_memory_fails_the_message_only),
		cmocka_unit_test(an_arena_keeps_one_small_block),
		cmocka_unit_test(no_message_contains_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
