#include "coordinator/local.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/coord.h"
#include "proto/keyfile.h"
#include "proto/log.h"
#include "proto/paths.h"
#include "proto/token.h"
#include "proto/uplink.h"

#define ANSWER_MS   5000
#define TOKEN_TTL_S 3600

struct ask {
	uv_loop_t *loop;
	const Pm__FleetRequest *request;
	struct pm_error err;
	bool done, ok;
	uint64_t id;
	uv_timer_t timer;
};

/* The one thing that goes to stdout. */
static int print(const char *text, struct pm_error *err)
{
	return printf("%s\n", text) < 0 || fflush(stdout) != 0
	               ? pm_fail(err, PM_INTERNAL, "the answer could not be written")
	               : 0;
}

/* ---- by the coordinator that runs ---- */

static void end(struct ask *a, bool ok)
{
	a->done = true;
	a->ok = ok;
	uv_stop(a->loop);
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	struct ask *a = arg;
	Pm__Envelope env = PM__ENVELOPE__INIT;

	(void)welcome;
	env.id = a->id = pm_link_next_id(l);
	env.body_case = PM__ENVELOPE__BODY_FLEET_REQUEST;
	env.fleet_request = (Pm__FleetRequest *)(uintptr_t)a->request;
	if (!pm_link_send(l, &env)) {
		(void)pm_fail(&a->err, PM_LIMIT, "the request does not fit a record"); /* told */
		end(a, false);
	}
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	struct ask *a = arg;

	(void)l;
	if (kind != PM_EVENT_ANSWER || env->re != a->id)
		return;
	if (env->body_case == PM__ENVELOPE__BODY_ERROR) {
		(void)pm_fail(&a->err, pm_code_from_wire(env->error->code), "%s",
		              env->error->what); /* told by the caller */
		if (env->error->hint[0] != '\0')
			pm_hint(&a->err, "%s", env->error->hint);
		end(a, false);
	} else if (env->body_case == PM__ENVELOPE__BODY_FLEET_REPLY &&
	           env->fleet_reply->what_case == PM__FLEET_REPLY__WHAT_TOKEN) {
		end(a, print(env->fleet_reply->token->text, &a->err) == 0);
	} else if (env->body_case == PM__ENVELOPE__BODY_FLEET_REPLY &&
	           env->fleet_reply->what_case == PM__FLEET_REPLY__WHAT_DONE) {
		end(a, print(env->fleet_reply->done->text, &a->err) == 0);
	}
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why, uint32_t retry)
{
	struct ask *a = arg;

	(void)l;
	(void)retry;
	if (a->done)
		return;
	a->err = *why;
	end(a, false);
}

static void on_time(uv_timer_t *timer)
{
	struct ask *a = timer->data;

	(void)pm_fail(&a->err, PM_UNREACHABLE, "the coordinator does not answer"); /* told */
	end(a, false);
}

static int read_address(const char *home, struct pm_address *out, struct pm_error *err)
{
	char path[PM_PATH_MAX], text[PM_ADDRESS_TEXT] = "";
	FILE *file;

	if (pm_home_file(home, COORDINATOR_ADDRESS_FILE, path, sizeof(path), err) < 0)
		return -1;
	file = fopen(path, "re");
	if (file == NULL || fgets(text, sizeof(text), file) == NULL) {
		if (file != NULL)
			(void)fclose(file);
		return pm_fail(err, PM_UNREACHABLE, "%s does not say where the coordinator listens",
		               path);
	}
	(void)fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return pm_address_parse(text, out, err);
}

/* One that was started a moment ago does not listen yet, and has not written down where. */
static int wait_for_address(const char *home, struct pm_address *out, struct pm_error *err)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	const uint64_t until_ms = pm_now_ms() + ANSWER_MS;

	while (read_address(home, out, err) < 0) {
		if (err->code != PM_UNREACHABLE || pm_now_ms() >= until_ms)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int ask_running(uv_loop_t *loop, const char *home, const struct pm_key *key,
                       const Pm__FleetRequest *request, struct pm_error *err)
{
	static const struct pm_link_handlers handlers = { .up = on_up,
		                                          .message = on_message,
		                                          .closed = on_closed };
	struct ask a = { .loop = loop, .request = request };
	struct pm_uplink_config config = {
		.link = { .key = key, .role = PM_ROLE_OPERATOR, .program = "pmd" }, .n_addresses = 1
	};
	struct pm_uplink *up = NULL;
	struct pm_net *net = NULL;

	if (wait_for_address(home, &config.addresses[0], err) < 0)
		return -1;
	memcpy(config.coordinator, pm_key_public(key), PM_KEY_BYTES);
	if (pm_net_create(loop, &net, err) < 0)
		return -1;
	if (pm_uplink_create(net, loop, &config, &handlers, &a, &up, err) < 0) {
		pm_net_close(net);
		return -1;
	}
	(void)uv_timer_init(loop, &a.timer); /* never fails */
	a.timer.data = &a;
	(void)uv_timer_start(&a.timer, on_time, ANSWER_MS, 0);
	pm_uplink_start(up);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	pm_uplink_close(up);
	pm_net_close(net);
	uv_close((uv_handle_t *)&a.timer, NULL);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	if (!a.ok)
		*err = a.err;
	return a.ok ? 0 : -1;
}

/* ---- in the store of one that does not run ---- */

struct put {
	uv_loop_t *loop;
	enum store_status status;
	char why[160];
};

static void on_put(void *arg, const struct store_result *r)
{
	struct put *p = arg;

	p->status = r->status;
	(void)snprintf(p->why, sizeof(p->why), "%s", r->why != NULL ? r->why : "");
	uv_stop(p->loop);
}

static int put_token(uv_loop_t *loop, struct fleet_store *store, const struct pm_key *key,
                     const Pm__TokenCreate *what, struct pm_error *err)
{
	struct store_request request = { .op = STORE_ADD_TOKEN, .now_ms = pm_wall_ms() };
	uint32_t ttl_s = what->ttl_s == 0 ? TOKEN_TTL_S : what->ttl_s;
	struct pm_token token = { 0 };
	struct audit_entry entry = { .wall_ms = request.now_ms };
	struct put put = { .loop = loop };
	struct pm_buf text = { 0 };
	int rc;

	if (what->n_addresses == 0) {
		pm_fail(err, PM_USAGE, "the coordinator does not run, so nobody knows its address");
		pm_hint(err, "start it first, or give --advertise HOST:PORT");
		return -1;
	}
	if (pm_token_create(PM_TOKEN_OPERATOR, &token, err) < 0)
		return -1;
	memcpy(token.coordinator, pm_key_public(key), PM_KEY_BYTES);
	token.expires_wall_s = (uint64_t)request.now_ms / 1000 + ttl_s;
	for (size_t i = 0; i < what->n_addresses && i < PM_ADDRESSES_MAX; i++)
		if (pm_address_parse(what->addresses[i], &token.addresses[token.n_addresses++],
		                     err) < 0) {
			pm_token_finish(&token);
			return -1;
		}
	request.token = (struct store_token){
		.kind = MEMBER_OPERATOR,
		.name_pattern = what->name,
		.labels = "",
		.role = what->role,
		.uses_left = 1,
		.expires_ms = request.now_ms + (int64_t)ttl_s * 1000,
		.created_by = "local",
		.created_ms = request.now_ms,
	};
	memcpy(request.token.id.bytes, token.id, sizeof(request.token.id.bytes));
	pm_token_hash(token.id, token.secret, request.token.secret_hash.bytes);
	entry.field[AUDIT_ACTOR] = "local";
	entry.field[AUDIT_ACTION] = "token.create";
	entry.field[AUDIT_TARGET] = "operator";
	entry.field[AUDIT_DETAIL] = what->role;
	entry.field[AUDIT_OUTCOME] = "ok";
	request.audit = &entry;
	rc = fleet_store_submit(store, &request, on_put, &put, err);
	if (rc == 0) {
		(void)uv_run(loop, UV_RUN_DEFAULT);
		if (put.status != STORE_OK)
			rc = pm_fail(err, PM_NO_SPACE, "%s", put.why);
	}
	if (rc == 0)
		rc = pm_token_format(&token, &text, err);
	if (rc == 0)
		rc = print(text.bytes, err);
	pm_token_wipe(&text);
	pm_token_finish(&token);
	return rc;
}

/* What is done on this machine: the key, the loop, and the store unless the coordinator has it. */
struct local {
	struct pm_key *key;        /* owned */
	struct pm_key *next;       /* owned; what it will be known by; NULL: there is one key */
	struct fleet_store *store; /* owned; NULL: the coordinator runs */
	uv_loop_t *loop;
};

static int local_open(const char *home, struct local *l, struct pm_error *err)
{
	char dir[PM_PATH_MAX], path[PM_PATH_MAX];
	const struct store_options options = { .dir = dir };
	struct stat st;

	*l = (struct local){ .loop = uv_default_loop() };
	if (pm_home_file(home, COORDINATOR_STORE_DIR, dir, sizeof(dir), err) < 0 ||
	    pm_home_file(home, COORDINATOR_KEY_FILE, path, sizeof(path), err) < 0)
		return -1;
	/* As its user, so that root leaves no files in it that the coordinator cannot write. */
	if (stat(home, &st) == 0 && geteuid() == 0 && st.st_uid != 0 &&
	    (setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
	     setresuid(st.st_uid, st.st_uid, st.st_uid) < 0))
		return pm_fail(err, PM_DENIED, "become the user of %s", home);
	if (pm_keyfile_load(path, &l->key, err) < 0) {
		pm_hint(err, "'pmd coordinator --home %.60s' makes it at its first start", home);
		return -1;
	}
	if (pm_keyfile_load_next(path, &l->next, err) < 0) {
		pm_key_destroy(l->key);
		return -1;
	}
	if (fleet_store_open_sqlite(l->loop, &options, &l->store, err) < 0 &&
	    err->code != PM_LOCKED) {
		pm_key_destroy(l->key);
		pm_key_destroy(l->next);
		return -1;
	}
	return 0;
}

static void local_close(struct local *l)
{
	fleet_store_close(l->store);
	(void)uv_run(l->loop, UV_RUN_DEFAULT);
	pm_key_destroy(l->key);
	pm_key_destroy(l->next);
}

int local_token(const char *home, const Pm__TokenCreate *what, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	struct local l;
	int rc;

	if (local_open(home, &l, err) < 0)
		return -1;
	request.what_case = PM__FLEET_REQUEST__WHAT_TOKEN_CREATE;
	request.token_create = (Pm__TokenCreate *)(uintptr_t)what;
	rc = l.store == NULL
	             ? ask_running(l.loop, home, l.key, &request, err)
	             : put_token(l.loop, l.store, l.next != NULL ? l.next : l.key, what, err);
	local_close(&l);
	return rc;
}

static int copy_store(struct local *l, const char *home, const char *name, struct pm_error *err)
{
	struct store_request request = { .op = STORE_BACKUP, .now_ms = pm_wall_ms() };
	struct put put = { .loop = l->loop };
	char path[PM_PATH_MAX];

	if (coord_backup_path(home, name, path, sizeof(path), err) < 0)
		return -1;
	request.page.name = path;
	if (fleet_store_submit(l->store, &request, on_put, &put, err) < 0)
		return -1;
	(void)uv_run(l->loop, UV_RUN_DEFAULT);
	if (put.status != STORE_OK)
		return pm_fail(err, put.status == STORE_CONFLICT ? PM_EXISTS : PM_NO_SPACE,
		               "copy the store to %s: %s", path, put.why);
	return print(path, err);
}

int local_backup(const char *home, const char *name, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__BackupRequest backup = PM__BACKUP_REQUEST__INIT;
	struct local l;
	int rc;

	if (local_open(home, &l, err) < 0)
		return -1;
	backup.name = (char *)(uintptr_t)name;
	request.what_case = PM__FLEET_REQUEST__WHAT_BACKUP;
	request.backup = &backup;
	rc = l.store == NULL ? ask_running(l.loop, home, l.key, &request, err)
	                     : copy_store(&l, home, name, err);
	local_close(&l);
	return rc;
}

/* ---- another key ---- */

static int begin_rotation(struct local *l, const char *path, struct pm_error *err)
{
	char next[PM_PATH_MAX];

	if (l->next != NULL)
		return 0; /* it is under way */
	if (pm_keyfile_next_path(path, next, sizeof(next), err) < 0 ||
	    pm_key_create(&l->next, err) < 0)
		return -1;
	return pm_keyfile_create(next, l->next, err);
}

/* Of one that does not run: nobody is there to say whom that cuts off. */
static int finish_offline(struct local *l, const char *path, bool force, struct pm_error *err)
{
	if (l->next == NULL) {
		(void)pm_fail(err, PM_NOT_FOUND, "the coordinator's key is not being replaced");
		pm_hint(err, "'pmd coordinator rotate' begins that");
		return -1;
	}
	if (!force) {
		(void)pm_fail(err, PM_UNREACHABLE,
		              "the coordinator does not run, so nobody knows who would be cut off");
		pm_hint(err, "start it first, or give --force");
		return -1;
	}
	if (pm_keyfile_promote(path, err) < 0)
		return -1;
	pm_key_destroy(l->key);
	l->key = PM_STEAL(l->next);
	return 0;
}

static int print_offline(const struct local *l, struct pm_error *err)
{
	char words[PM_FINGERPRINT_TEXT], text[160];

	pm_key_fingerprint(pm_key_public(l->next != NULL ? l->next : l->key), words);
	(void)snprintf(text, sizeof(text), "the coordinator's %s is %s; it does not run",
	               l->next != NULL ? "next key" : "key", words);
	return print(text, err);
}

int local_rotate(const char *home, bool finish, bool force, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__KeysReload reload = PM__KEYS_RELOAD__INIT;
	char path[PM_PATH_MAX];
	struct local l;
	int rc;

	if (pm_home_file(home, COORDINATOR_KEY_FILE, path, sizeof(path), err) < 0 ||
	    local_open(home, &l, err) < 0)
		return -1;
	request.what_case = PM__FLEET_REQUEST__WHAT_KEYS_RELOAD;
	request.keys_reload = &reload;
	reload.finish = finish;
	reload.force = force;
	rc = !finish           ? begin_rotation(&l, path, err)
	     : l.store != NULL ? finish_offline(&l, path, force, err)
	                       : 0;
	/* A session of the present key does not outlive it, and would not hear the answer. */
	if (rc == 0)
		rc = l.store == NULL
		             ? ask_running(l.loop, home, finish && l.next != NULL ? l.next : l.key,
		                           &request, err)
		             : print_offline(&l, err);
	local_close(&l);
	return rc;
}
