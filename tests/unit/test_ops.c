#include "tests/unit/unit.h"

#include <string.h>

#include "proto/ops.h"

/* The matrix of SECURITY 3.4, by hand: what each role may do at most. */
static const struct {
	const char *op;
	enum pm_rank least;
} matrix[] = {
	{ "status", PM_RANK_VIEWER },       { "node-view", PM_RANK_VIEWER },
	{ "group-view", PM_RANK_VIEWER },   { "who", PM_RANK_VIEWER },
	{ "logs", PM_RANK_LOGS },           { "restart", PM_RANK_OPERATOR },
	{ "reload", PM_RANK_OPERATOR },     { "scale", PM_RANK_OPERATOR },
	{ "start", PM_RANK_OPERATOR },      { "stop", PM_RANK_OPERATOR },
	{ "reset", PM_RANK_OPERATOR },      { "signal", PM_RANK_OPERATOR },
	{ "node-drain", PM_RANK_OPERATOR }, { "reopen-logs", PM_RANK_OPERATOR },
	{ "define", PM_RANK_DEPLOYER },     { "env", PM_RANK_DEPLOYER },
	{ "delete", PM_RANK_DEPLOYER },     { "save", PM_RANK_DEPLOYER },
	{ "resurrect", PM_RANK_DEPLOYER },  { "flush", PM_RANK_DEPLOYER },
	{ "send", PM_RANK_DEPLOYER },       { "env-reveal", PM_RANK_ADMIN },
	{ "kill", PM_RANK_ADMIN },          { "upgrade", PM_RANK_ADMIN },
	{ "tokens", PM_RANK_ADMIN },        { "operators", PM_RANK_ADMIN },
	{ "node-change", PM_RANK_ADMIN },   { "group-change", PM_RANK_ADMIN },
	{ "audit", PM_RANK_ADMIN },         { "local", PM_RANK_COUNT },
	{ "rollout", PM_RANK_OPERATOR },    { "rollout-view", PM_RANK_VIEWER },
	{ "rollout-steal", PM_RANK_ADMIN },
};

static void s03_every_op_has_a_name_and_a_role(void **state)
{
	enum pm_op op;

	(void)state;
	assert_int_equal(PM_COUNT(matrix), PM_OP_COUNT);
	for (size_t i = 0; i < PM_COUNT(matrix); i++) {
		assert_true(pm_op_by_name(matrix[i].op, strlen(matrix[i].op), &op));
		assert_int_equal(pm_op_info(op)->least, matrix[i].least);
		for (unsigned rank = 0; rank < PM_RANK_COUNT; rank++)
			assert_int_equal(pm_rank_may((enum pm_rank)rank, PM_OP_BIT(op)),
			                 rank >= matrix[i].least);
	}
	assert_false(pm_op_by_name("", 0, &op));
	assert_false(pm_op_by_name("sudo", 4, &op));
	assert_int_equal(pm_rank_by_name("none"), PM_RANK_NONE);
	assert_int_equal(pm_rank_by_name("root"), PM_RANK_NONE);
	assert_int_equal(pm_rank_by_name("deployer"), PM_RANK_DEPLOYER);
	assert_string_equal(pm_rank_name(PM_RANK_ADMIN), "admin");
}

static void s09_what_goes_without_a_policy(void **state)
{
	static const char *const names[] = { "status",  "logs",   "start", "stop",
		                             "restart", "reload", "scale" };
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < PM_OP_COUNT; i++)
		n += pm_op_info((enum pm_op)i)->by_default;
	assert_int_equal(n, PM_COUNT(names));
	for (size_t i = 0; i < PM_COUNT(names); i++) {
		enum pm_op op;

		assert_true(pm_op_by_name(names[i], strlen(names[i]), &op));
		assert_true(pm_op_info(op)->by_default);
	}
}

/* A verb that is added and forgotten here is nobody's, and has no name. */
static void s03_every_verb_has_an_op(void **state)
{
	Pm__Command cmd = PM__COMMAND__INIT;

	(void)state;
	for (unsigned i = 0; i < pm__verb__descriptor.n_values; i++) {
		cmd.verb = (Pm__Verb)pm__verb__descriptor.values[i].value;
		assert_true(pm_ops_of_command(&cmd) != 0);
		if (cmd.verb == PM__VERB__VERB_UNSPECIFIED || cmd.verb == PM__VERB__VERB_FLEET ||
		    cmd.verb == PM__VERB__VERB_FAIL_POINT) {
			assert_int_equal(pm_ops_of_command(&cmd), PM_OP_BIT(PM_OP_LOCAL));
			continue;
		}
		if (pm_ops_of_command(&cmd) == PM_OP_BIT(PM_OP_LOCAL))
			fail_msg("%s has no op", pm__verb__descriptor.values[i].name);
		assert_string_not_equal(pm_verb_name(cmd.verb), "?");
	}
	cmd.verb = (Pm__Verb)1000;
	assert_int_equal(pm_ops_of_command(&cmd), PM_OP_BIT(PM_OP_LOCAL));
}

static void options_make_it_another_op(void **state)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	Pm__SpecPatch patch = PM__SPEC_PATCH__INIT;

	(void)state;
	cmd.verb = PM__VERB__VERB_RESTART;
	assert_int_equal(pm_ops_of_command(&cmd), PM_OP_BIT(PM_OP_RESTART));
	cmd.use_staged = true;
	assert_true((pm_ops_of_command(&cmd) & PM_OP_BIT(PM_OP_DEFINE)) != 0);
	cmd.use_staged = false;
	cmd.patch = &patch;
	assert_true((pm_ops_of_command(&cmd) & PM_OP_BIT(PM_OP_DEFINE)) != 0);
	cmd.patch = NULL;
	cmd.update_env = true;
	assert_true((pm_ops_of_command(&cmd) & PM_OP_BIT(PM_OP_ENV)) != 0);
	cmd.update_env = false;
	cmd.n_shell_env = 1;
	assert_true((pm_ops_of_command(&cmd) & PM_OP_BIT(PM_OP_ENV)) != 0);
}

/* Those that ask nothing; any other message has to ask for something that somebody may. */
static const char *const silent[] = {
	"hello",
	"welcome",
	"goodbye",
	"heartbeat",
	"error",
	"result",
	"progress",
	"status_list",
	"uplink_state",
	"stream_data",
	"enrol",
	"enrolled",
	"stream_close",
	"forwarded",
	"stream_credit",
	"fleet_reply",
	"slot_request",
	"slot",
	"slot_release",
	"key_offer",
	"key_taken",
	"key_wanted",
	"coordinator_keys",
};

static bool is_silent(const char *name)
{
	for (size_t i = 0; i < PM_COUNT(silent); i++)
		if (strcmp(silent[i], name) == 0)
			return true;
	return false;
}

/* Every kind of `what` inside of a message asks for something, too. */
static void check_whats(const ProtobufCMessageDescriptor *type, Pm__Envelope *env,
                        ProtobufCMessage *body)
{
	static union {
		Pm__NodeChange change;
		Pm__RolloutChange rollout; /* the largest that is looked into */
		Pm__Command command;
		Pm__StatusRequest status;
		Pm__LogQuery logs;
		uint8_t room[1024];
	} inner;
	unsigned n = 0;

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const ProtobufCMessageDescriptor *sub = field->descriptor;
		int which = (int)field->id;
		void *at = &inner;

		if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
			continue;
		n++;
		assert_true(sub->sizeof_message <= sizeof(inner));
		sub->message_init((ProtobufCMessage *)(void *)&inner);
		if (sub == &pm__command__descriptor)
			inner.command.verb = PM__VERB__VERB_PING;
		if (sub == &pm__node_change__descriptor)
			inner.change.verb = PM__NODE_VERB__NODE_LABEL;
		if (sub == &pm__rollout_change__descriptor)
			inner.rollout.verb = PM__ROLLOUT_VERB__ROLLOUT_PAUSE;
		memcpy((char *)body + field->quantifier_offset, &which, sizeof(which));
		memcpy((char *)body + field->offset, &at, sizeof(at));
		if ((pm_ops_of(env) & PM_OP_BIT(PM_OP_LOCAL)) != 0)
			fail_msg("%s of %s has no op", field->name, type->short_name);
	}
	assert_true(n > 0);
}

static void s03_every_message_has_an_op(void **state)
{
	const ProtobufCMessageDescriptor *type = &pm__envelope__descriptor;

	(void)state;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		Pm__Envelope env = PM__ENVELOPE__INIT;
		Pm__Command cmd = PM__COMMAND__INIT;
		Pm__StatusRequest status = PM__STATUS_REQUEST__INIT;
		Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
		Pm__Forward forward = PM__FORWARD__INIT;
		Pm__FleetRequest fleet = PM__FLEET_REQUEST__INIT;

		if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
			continue;
		env.body_case = (Pm__Envelope__BodyCase)field->id;
		assert_string_equal(pm_body_name(&env), field->name);
		cmd.verb = PM__VERB__VERB_PING;
		if (field->descriptor == &pm__command__descriptor)
			env.command = &cmd;
		else if (field->descriptor == &pm__status_request__descriptor)
			env.status_request = &status;
		if (field->descriptor == &pm__stream_open__descriptor) {
			env.stream_open = &open;
			check_whats(field->descriptor, &env, &open.base);
		} else if (field->descriptor == &pm__forward__descriptor) {
			env.forward = &forward;
			check_whats(field->descriptor, &env, &forward.base);
		} else if (field->descriptor == &pm__fleet_request__descriptor) {
			env.fleet_request = &fleet;
			check_whats(field->descriptor, &env, &fleet.base);
		} else if ((pm_ops_of(&env) == 0) != is_silent(field->name) ||
		           (pm_ops_of(&env) & PM_OP_BIT(PM_OP_LOCAL)) != 0) {
			fail_msg("%s has no op", field->name);
		}
	}
}

static void s03_every_node_verb_has_an_op(void **state)
{
	Pm__FleetRequest req = PM__FLEET_REQUEST__INIT;
	Pm__NodeChange change = PM__NODE_CHANGE__INIT;

	(void)state;
	req.what_case = PM__FLEET_REQUEST__WHAT_NODE_CHANGE;
	req.node_change = &change;
	for (unsigned i = 0; i < pm__node_verb__descriptor.n_values; i++) {
		change.verb = (Pm__NodeVerb)pm__node_verb__descriptor.values[i].value;
		assert_int_equal(pm_ops_of_fleet(&req) == PM_OP_BIT(PM_OP_LOCAL),
		                 change.verb == PM__NODE_VERB__NODE_VERB_UNSPECIFIED);
	}
}

static void what_nobody_has_defined_is_nobodys(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__Forward forward = PM__FORWARD__INIT;
	Pm__FleetRequest fleet = PM__FLEET_REQUEST__INIT;

	(void)state;
	assert_int_equal(pm_ops_of(&env), PM_OP_BIT(PM_OP_LOCAL));
	assert_string_equal(pm_body_name(&env), "?");
	env.body_case = PM__ENVELOPE__BODY_STREAM_OPEN;
	env.stream_open = &open;
	assert_int_equal(pm_ops_of(&env), PM_OP_BIT(PM_OP_LOCAL));
	env.body_case = PM__ENVELOPE__BODY_FORWARD;
	env.forward = &forward;
	assert_int_equal(pm_ops_of(&env), PM_OP_BIT(PM_OP_LOCAL));
	env.body_case = PM__ENVELOPE__BODY_FLEET_REQUEST;
	env.fleet_request = &fleet;
	assert_int_equal(pm_ops_of(&env), PM_OP_BIT(PM_OP_LOCAL));
	env.body_case = (Pm__Envelope__BodyCase)1000;
	assert_int_equal(pm_ops_of(&env), PM_OP_BIT(PM_OP_LOCAL));
	assert_false(pm_rank_may(PM_RANK_ADMIN, PM_OP_BIT(PM_OP_LOCAL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s03_every_op_has_a_name_and_a_role),
		cmocka_unit_test(s09_what_goes_without_a_policy),
		cmocka_unit_test(s03_every_verb_has_an_op),
		cmocka_unit_test(options_make_it_another_op),
		cmocka_unit_test(s03_every_message_has_an_op),
		cmocka_unit_test(s03_every_node_verb_has_an_op),
		cmocka_unit_test(what_nobody_has_defined_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
