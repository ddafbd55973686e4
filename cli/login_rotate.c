#include "cli/login_rotate.h"

#include <string.h>
#include <unistd.h>

#include "cli/context_file.h"
#include "cli/fleet_keys.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "proto/failpoint.h"
#include "proto/keyfile.h"
#include "proto/rotation.h"

#define ANSWER_MS 20000

struct turn {
	struct context one;
	struct fleet_keys keys; /* owned */
	char path[PM_PATH_MAX];
	int stop_fd; /* borrowed */
};

static void turn_finish(struct turn *t)
{
	fleet_keys_finish(&t->keys);
}

static int make_next(struct turn *t, struct pm_error *err)
{
	char next[PM_PATH_MAX];

	if (t->keys.next != NULL)
		return 0; /* of a time that did not get to its end */
	if (pm_keyfile_next_path(t->path, next, sizeof(next), err) < 0 ||
	    pm_key_create(&t->keys.next, err) < 0)
		return -1;
	return pm_keyfile_create(next, t->keys.next, err);
}

static int connect_with(const struct ctx *ctx, struct turn *t, struct fleet_client **out,
                        const struct pm_key **used, struct pm_error *err)
{
	struct fleet_client_options options = {
		.role = PM_ROLE_OPERATOR,
		.program = ctx->program,
		.timeout_ms = ctx->timeout_ms,
		.stop_fd = t->stop_fd,
	};

	return fleet_keys_connect(&t->one, &t->keys, &options, true, out, used, err);
}

static int on_taken(void *arg, const Pm__Envelope *env, struct pm_error *err)
{
	(void)arg;
	if (env->body_case != PM__ENVELOPE__BODY_KEY_TAKEN)
		return pm_fail(err, PM_PROTOCOL, "the coordinator's answer is of another kind");
	return 1;
}

static int offer(struct turn *t, struct fleet_client *client, struct pm_error *err)
{
	const struct fleet_wait wait = { .timeout_ms = ANSWER_MS, .stop_fd = t->stop_fd };
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__KeyOffer message = PM__KEY_OFFER__INIT;
	uint8_t proof[PM_ROTATION_PROOF_BYTES];
	enum fleet_waited waited;

	if (pm_rotation_prove(t->keys.next, pm_key_public(t->keys.key),
	                      fleet_client_peer_key(client), proof, err) < 0)
		return -1;
	message.key.data = (uint8_t *)(uintptr_t)pm_key_public(t->keys.next); /* only read */
	message.key.len = PM_KEY_BYTES;
	message.proof = (ProtobufCBinaryData){ sizeof(proof), proof };
	env.body_case = PM__ENVELOPE__BODY_KEY_OFFER;
	env.key_offer = &message;
	if (fleet_client_ask(client, &env, &wait, on_taken, NULL, &waited, err) < 0)
		return -1;
	return waited == FLEET_DONE
	               ? 0
	               : pm_fail(err, PM_DEADLINE, "the coordinator did not answer in time");
}

/* The first session of the next key makes it the only one. */
static int use_next(const struct ctx *ctx, struct turn *t, struct pm_error *err)
{
	PM_CLEANUP(fleet_client_closep) struct fleet_client *client = NULL;
	const struct pm_key *used;
	struct pm_key *present = t->keys.key;
	int rc;

	t->keys.key = t->keys.next; /* this one alone */
	t->keys.next = NULL;
	rc = connect_with(ctx, t, &client, &used, err);
	pm_key_destroy(present);
	if (rc < 0)
		return -1;
	(void)PM_FAIL_POINT("login.used");
	return pm_keyfile_promote(t->path, err);
}

static int tell(const struct ctx *ctx, const struct turn *t, struct pm_error *err)
{
	char words[PM_FINGERPRINT_TEXT];
	PM_BUF out = { 0 };
	struct json_out j;

	pm_key_fingerprint(pm_key_public(t->keys.key), words);
	if (!ctx->json) {
		say(ctx, "the key of context %s was replaced", t->one.name);
		say(ctx, "the new one: %s", words);
		return 0;
	}
	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "context", t->one.name);
	json_kstr(&j, "fingerprint", words);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int rotate(const struct ctx *ctx, struct turn *t, struct pm_error *err)
{
	PM_CLEANUP(fleet_client_closep) struct fleet_client *client = NULL;
	const struct pm_key *used;

	if (make_next(t, err) < 0)
		return -1;
	(void)PM_FAIL_POINT("login.made");
	if (connect_with(ctx, t, &client, &used, err) < 0)
		return -1;
	if (used == t->keys.next) { /* an earlier time got as far as that; it is in its place now */
		pm_key_destroy(t->keys.key);
		t->keys.key = PM_STEAL(t->keys.next);
		return 0;
	}
	if (offer(t, client, err) < 0)
		return -1;
	(void)PM_FAIL_POINT("login.taken");
	return use_next(ctx, t, err);
}

int login_rotate(struct ctx *ctx, struct pm_error *err)
{
	static const char *const others[] = { "token-file", "as" };
	PM_CLEANUP(turn_finish) struct turn t = { .stop_fd = -1 };
	PM_CLOSE int lock = -1;

	for (size_t i = 0; i < PM_COUNT(others); i++)
		if (args_has(ctx->args, others[i]))
			return pm_fail(err, PM_USAGE, "--rotate and --%s cannot be used together",
			               others[i]);
	if (context_file_lock(&lock, err) < 0 ||
	    context_choose(args_get(ctx->args, "name"), &t.one, err) < 0 ||
	    context_file_key_path(&t.one, t.path, err) < 0 ||
	    fleet_keys_load(&t.one, &t.keys, err) < 0 || interrupt_begin(&t.stop_fd, err) < 0 ||
	    rotate(ctx, &t, err) < 0)
		return pm_wrap(err, "login --rotate");
	return tell(ctx, &t, err);
}
