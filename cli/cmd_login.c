/* cmd_login.c - make a key of this user known to a coordinator, by a one-time token. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cmd_list.h"
#include "cli/context_file.h"
#include "cli/ctx.h"
#include "cli/fleet_client.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/login_rotate.h"
#include "proto/enrol.h"
#include "proto/hostlist.h"
#include "proto/keyfile.h"

static int read_token(const char *file, struct pm_token *out, struct pm_error *err)
{
	PM_CLEANUP(pm_token_wipe) struct pm_buf text = { 0 };

	if (pm_token_read(file, &text, err) < 0 || pm_token_parse(text.bytes, out, err) < 0)
		return -1;
	if (out->kind == PM_TOKEN_OPERATOR)
		return 0;
	pm_fail(err, PM_CONFIG, "this token lets a machine join, not an operator log in");
	pm_hint(err, "'pmctl join' takes it; 'pmctl token create --operator' makes the other");
	return -1;
}

/* The name of the context: asked for, or the coordinator's host. */
static int choose_name(const struct ctx *ctx, const struct pm_token *token, struct context *one,
                       struct pm_error *err)
{
	const char *name = args_get(ctx->args, "name");

	if (name == NULL)
		name = token->n_addresses > 0 && hostlist_is_name(token->addresses[0].host)
		               ? token->addresses[0].host
		               : "coordinator";
	if (!hostlist_is_name(name))
		return pm_fail(err, PM_USAGE, "--name: '%.100s' is no name of a context", name);
	(void)snprintf(one->name, sizeof(one->name), "%.*s", PM_NAME_MAX, name);
	return 0;
}

/* Another coordinator of that name is not replaced: its key would be lost. */
static int check_name(const struct contexts *c, const struct context *one, struct pm_error *err)
{
	const struct context *old = contexts_find(c, one->name);

	if (old == NULL || pm_key_same(old->coordinator, one->coordinator))
		return 0;
	pm_fail(err, PM_EXISTS, "the context %.100s is another coordinator", one->name);
	pm_hint(err, "give this one another name with --name");
	return -1;
}

static int make_key(struct context *one, char *path, struct pm_key **key, struct pm_error *err)
{
	char *slash;
	int n = snprintf(one->key, sizeof(one->key), "keys/%s.key", one->name);

	if (n < 0 || (size_t)n >= sizeof(one->key))
		return pm_fail(err, PM_LIMIT, "the name is too long");
	if (context_file_key_path(one, path, err) < 0 || pm_key_create(key, err) < 0)
		return -1;
	slash = strrchr(path, '/');
	*slash = '\0';
	(void)mkdir(path, 0700); /* it may be there, and if not the next step says so */
	*slash = '/';
	n = snprintf(one->key, sizeof(one->key), "keys/%s.key.new", one->name);
	if (context_file_key_path(one, path, err) < 0)
		return -1;
	(void)unlink(path); /* of a login that did not get to its end */
	return pm_keyfile_create(path, *key, err);
}

static void on_enrolled(void *arg, const Pm__Enrolled *enrolled)
{
	struct context *one = arg;

	if (hostlist_is_name(enrolled->name))
		(void)snprintf(one->operator, sizeof(one->operator), "%s", enrolled->name);
}

/* Who it is and where, as one may log in from several machines; "": the token may have a name. */
static const char *default_operator(const char *host, char *out, size_t size)
{
	const struct passwd *pw = getpwuid(geteuid());

	if (pw == NULL || !hostlist_is_name(pw->pw_name))
		return "";
	(void)snprintf(out, size, "%.60s-%.*s", pw->pw_name, (int)strcspn(host, "."), host);
	return hostlist_is_name(out) ? out : pw->pw_name;
}

static int enrol(const struct ctx *ctx, struct context *one, const struct pm_token *token,
                 const struct pm_key *key, struct pm_error *err)
{
	struct fleet_client_options options = {
		.addresses = token->addresses,
		.n_addresses = token->n_addresses,
		.coordinator = token->coordinator,
		.key = key,
		.role = PM_ROLE_OPERATOR,
		.program = ctx->program,
		.timeout_ms = ctx->timeout_ms,
		.token = token,
		.enrolled = on_enrolled,
		.arg = one,
	};
	const char *name = args_get(ctx->args, "as");
	Pm__Enrol message = PM__ENROL__INIT;
	Pm__HostFacts facts = PM__HOST_FACTS__INIT;
	struct fleet_client *client = NULL;
	char host[65] = "", version[] = PM_VERSION, ours[PM_NAME_MAX + 1];

	(void)gethostname(host, sizeof(host) - 1); /* information only */
	facts.hostname = host;
	facts.version = version;
	message.facts = &facts;
	if (name == NULL)
		name = default_operator(host, ours, sizeof(ours));
	message.name = (char *)(uintptr_t)name; /* only read */
	options.enrol = &message;
	if (interrupt_begin(&options.stop_fd, err) < 0 ||
	    fleet_client_connect(&options, &client, err) < 0)
		return -1;
	fleet_client_close(client);
	return 0;
}

/* The new key takes the place of an old one, and the context is there. */
static int keep(struct contexts *c, struct context *one, const char *new_path, struct pm_error *err)
{
	char path[PM_PATH_MAX], next[PM_PATH_MAX];

	(void)snprintf(one->key, sizeof(one->key), "keys/%s.key", one->name); /* it was longer */
	if (context_file_key_path(one, path, err) < 0 ||
	    pm_keyfile_next_path(path, next, sizeof(next), err) < 0)
		return -1;
	if (rename(new_path, path) < 0)
		return pm_fail(err, PM_INTERNAL, "rename %.150s failed", new_path);
	(void)unlink(next); /* of a key that is no more */
	if (contexts_put(c, one, err) < 0)
		return -1;
	(void)snprintf(c->current, sizeof(c->current), "%s", one->name);
	return context_file_save(c, err);
}

static int tell(const struct ctx *ctx, const struct context *one, struct pm_error *err)
{
	char words[PM_FINGERPRINT_TEXT];
	PM_BUF out = { 0 };
	struct json_out j;

	pm_key_fingerprint(one->coordinator, words);
	if (!ctx->json) {
		say(ctx, "logged in%s%s; the context is %s", one->operator[0] == '\0' ? "" : " as ",
		    one->operator, one->name);
		say(ctx, "the coordinator's key: %s", words);
		return 0;
	}
	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "context", one->name);
	json_kstr(&j, "operator", one->operator);
	json_kstr(&j, "fingerprint", words);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int login_run(struct ctx *ctx, struct pm_error *err)
{
	const char *file = args_get(ctx->args, "token-file");
	PM_CLEANUP(pm_token_finish) struct pm_token token = { 0 };
	PM_CLEANUP(pm_key_destroyp) struct pm_key *key = NULL;
	PM_CONTEXTS c = { 0 };
	PM_CLOSE int lock = -1;
	struct context one = { 0 };
	char path[PM_PATH_MAX];

	if (args_has(ctx->args, "rotate"))
		return login_rotate(ctx, err);
	if (args_has(ctx->args, "as") && !hostlist_is_name(args_get(ctx->args, "as")))
		return pm_fail(err, PM_USAGE, "--as: '%.100s' is no operator's name",
		               args_get(ctx->args, "as"));
	if (file == NULL) {
		pm_fail(err, PM_USAGE, "login: --token-file is missing");
		pm_hint(err, "a token comes by a file, or by standard input with --token-file -");
		return -1;
	}
	if (read_token(file, &token, err) < 0 || choose_name(ctx, &token, &one, err) < 0)
		return pm_wrap(err, "login");
	memcpy(one.addresses, token.addresses, sizeof(one.addresses));
	one.n_addresses = token.n_addresses;
	memcpy(one.coordinator, token.coordinator, PM_KEY_BYTES);
	one.has_coordinator = true;
	/* The key is on the disk before anybody knows it: a token is good for one. */
	if (context_file_lock(&lock, err) < 0 || context_file_load(&c, err) < 0 ||
	    check_name(&c, &one, err) < 0 || make_key(&one, path, &key, err) < 0)
		return pm_wrap(err, "login");
	if (enrol(ctx, &one, &token, key, err) < 0) {
		(void)unlink(path); /* nobody knows it */
		return pm_wrap(err, "login");
	}
	if (keep(&c, &one, path, err) < 0)
		return pm_wrap(err, "login");
	return tell(ctx, &one, err);
}

static const struct cmd_option options[] = {
	{ "token-file", 0, CMD_VALUE, "FILE",
	  "the one-time token; - reads it from standard input" },
	{ "name", 0, CMD_VALUE, "CONTEXT", "what to call the coordinator here; its host's name" },
	{ "as", 0, CMD_VALUE, "NAME",
	  "what it is to call you, where the token does not say; USER-HOST" },
	{ "rotate", 0, CMD_NO_VALUE, NULL,
	  "replace the key of a context, the current one or --name, by a new one" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_login = {
	.name = "login",
	.args = "",
	.summary = "make a key of yours known to a coordinator, by a one-time token",
	.help = "A new key is made for it, readable by you alone. The token names the coordinator "
		"and its key, so that nobody can stand in for it; compare the words with those "
		"that it shows. The first token is made on the coordinator's machine with 'pmd "
		"coordinator token', later ones with 'pmctl token create --operator'. --rotate needs no token: the "
		"coordinator learns the new key by the present one, which is good until the new "
		"one was used; stopped at any moment it can be given again.",
	.options = options,
	.max_args = 0,
	.flags = CMD_JSON | CMD_PMCTL_ONLY,
	.run = login_run,
};
