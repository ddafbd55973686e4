#include "coordinator/coordinator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/budgets.h"
#include "coordinator/coord.h"
#include "coordinator/local.h"
#include "coordinator/options.h"
#include "coordinator/rollouts.h"
#include "coordinator/rotation.h"
#include "proto/address.h"
#include "proto/failpoint.h"
#include "proto/keyfile.h"
#include "proto/log.h"
#include "proto/ops.h"
#include "proto/paths.h"
#include "proto/units.h"

#define SEEN_MS    60000 /* how often it is written when agents were last heard of */
#define PRUNE_MS   86400000
#define KEPT_MS    (30ll * 86400000) /* spent tokens and what else is over, to be looked at */
#define GOODBYE_MS 200

struct fresh_waiter {
	struct fresh_waiter *next;
	void (*fn)(void *arg);
	void *arg;
};

static struct {
	struct coord c;
	uv_signal_t term, intr;
	uv_timer_t goodbye;
	unsigned n_lists;                 /* of the refresh under way that are awaited */
	struct fresh_waiter *now, *later; /* owned: those of this refresh, and of the next */
	bool keys_too;
} me; /* one a process */

/* ---- audit ---- */

struct audit_entry coord_entry(const char *actor, const char *action, const char *target,
                               const char *detail, const char *outcome)
{
	struct audit_entry e = { .wall_ms = pm_wall_ms() };

	e.field[AUDIT_ACTOR] = actor;
	e.field[AUDIT_ACTION] = action;
	e.field[AUDIT_TARGET] = target;
	e.field[AUDIT_DETAIL] = detail;
	e.field[AUDIT_OUTCOME] = outcome;
	return e;
}

static void on_audited(void *arg, const struct store_result *r)
{
	(void)arg;
	if (r->status != STORE_OK)
		pm_log(PM_LOG_ERROR, "audit.lost", "%s", r->why);
}

void coord_audit(struct coord *c, const char *actor, const char *action, const char *target,
                 const char *detail, const char *outcome)
{
	const struct audit_entry entry = coord_entry(actor, action, target, detail, outcome);
	const struct store_request request = { .op = STORE_AUDIT,
		                               .now_ms = pm_wall_ms(),
		                               .audit = &entry };
	struct pm_error err;

	if (fleet_store_submit(c->store, &request, on_audited, NULL, &err) < 0)
		pm_log(PM_LOG_ERROR, "audit.lost", "%s", err.what);
}

/* ---- members, as the store has them ---- */

static void refresh(struct coord *c);

static void list_done(struct coord *c)
{
	if (--me.n_lists > 0)
		return;
	while (me.now != NULL) {
		struct fresh_waiter *w = me.now;

		me.now = w->next;
		w->fn(w->arg);
		free(w);
	}
	if (me.later != NULL)
		refresh(c);
}

static bool is_good(const struct store_result *r)
{
	if (r->status != STORE_OK)
		pm_log(PM_LOG_ERROR, "store.read", "%s", r->why);
	return r->status == STORE_OK;
}

static void on_agents(void *arg, const struct store_result *r)
{
	struct coord *c = arg;
	struct pm_error err;

	for (size_t i = 0; is_good(r) && i < r->n; i++)
		if (members_put_node(&c->members, &r->agents[i], NULL, &err) < 0) {
			pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
			break;
		}
	list_done(c);
}

static void on_operators(void *arg, const struct store_result *r)
{
	struct coord *c = arg;
	struct pm_error err;

	for (size_t i = 0; is_good(r) && i < r->n; i++)
		if (members_put_oper(&c->members, &r->operators[i], NULL, &err) < 0) {
			pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
			break;
		}
	list_done(c);
}

static void on_bindings(void *arg, const struct store_result *r)
{
	struct coord *c = arg;
	struct pm_error err;

	for (size_t i = 0; is_good(r) && i < r->n; i++)
		if (members_put_binding(&c->members, &r->bindings[i], &err) < 0) {
			pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
			break;
		}
	list_done(c);
}

static void on_keys(void *arg, const struct store_result *r)
{
	struct coord *c = arg;
	struct pm_error err;

	for (size_t i = 0; is_good(r) && i < r->n; i++)
		if (members_put_key(&c->members, &r->keys[i], &err) < 0) {
			pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
			break;
		}
	list_done(c);
}

void coord_take_groups(struct coord *c, const struct store_result *r)
{
	struct pm_error err;

	if (is_good(r) && members_set_groups(&c->members, r->groups, r->n, &err) < 0)
		pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
}

static void on_groups(void *arg, const struct store_result *r)
{
	coord_take_groups(arg, r);
	list_done(arg);
}

static void on_meta(void *arg, const struct store_result *r)
{
	struct coord *c = arg;

	if (is_good(r) && r->n > 0) {
		c->cluster = r->meta->cluster;
		member_id_text(&c->cluster, c->cluster_text);
	} else {
		c->load_failed = true;
	}
	list_done(c);
}

static void list(struct coord *c, enum store_op op, store_fn *fn)
{
	const struct store_request request = { .op = op, .now_ms = pm_wall_ms() };
	struct pm_error err;

	me.n_lists++;
	if (fleet_store_submit(c->store, &request, fn, c, &err) == 0)
		return;
	me.n_lists--;
	c->load_failed = true;
	pm_log(PM_LOG_ERROR, "store.read", "%s", err.what);
}

static void refresh(struct coord *c)
{
	me.now = me.later;
	me.later = NULL;
	me.n_lists = 1; /* ours, until all are submitted */
	list(c, STORE_LIST_AGENTS, on_agents);
	list(c, STORE_LIST_OPERATORS, on_operators);
	list(c, STORE_LIST_BINDINGS, on_bindings);
	if (me.keys_too) {
		list(c, STORE_LIST_KEYS, on_keys);
		list(c, STORE_LIST_GROUPS, on_groups);
		list(c, STORE_GET_META, on_meta);
	}
	me.keys_too = false;
	list_done(c);
}

void coord_when_fresh(struct coord *c, void (*fn)(void *arg), void *arg)
{
	struct fresh_waiter *w = pm_calloc(1, sizeof(*w)), **at = &me.later;

	if (w == NULL) {
		fn(arg); /* it knows less than it might */
		return;
	}
	*w = (struct fresh_waiter){ NULL, fn, arg };
	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
	if (me.n_lists == 0)
		refresh(c);
}

int coord_backup_path(const char *home, const char *name, char *out, size_t size,
                      struct pm_error *err)
{
	char dir[PM_PATH_MAX], by_time[48];
	time_t now = time(NULL);
	struct tm tm;

	if (strchr(name, '/') != NULL || name[0] == '.')
		return pm_fail(err, PM_USAGE, "%.60s: a file name, in backups/ of the home", name);
	if (name[0] == '\0') {
		(void)gmtime_r(&now, &tm);
		(void)strftime(by_time, sizeof(by_time), "store-%Y%m%dT%H%M%SZ.db", &tm);
		name = by_time;
	}
	if (pm_home_file(home, "backups", dir, sizeof(dir), err) < 0)
		return -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return pm_fail_errno(err, errno, "make %s", dir);
	return pm_home_file(dir, name, out, size, err);
}

static void nothing(void *arg, const struct store_result *r)
{
	(void)arg;
	if (r->status == STORE_UNAVAILABLE)
		pm_log(PM_LOG_WARN, "store.unavailable", "%s", r->why);
}

static void write_seen(struct coord *c)
{
	struct store_request request = { .op = STORE_SEEN, .now_ms = pm_wall_ms() };
	PM_FREE struct store_seen *seen = pm_calloc(c->members.n_nodes + 1, sizeof(*seen));
	struct pm_error err;
	size_t n = 0;

	for (size_t i = 0; seen != NULL && i < c->members.n_nodes; i++) {
		struct node *node = c->members.nodes[i];

		if (node->seen_dirty)
			seen[n++] = (struct store_seen){ node->id, node->last_seen_ms };
		node->seen_dirty = false;
	}
	if (n == 0)
		return;
	request.seen = (struct store_seen_list){ seen, n };
	if (fleet_store_submit(c->store, &request, nothing, NULL, &err) < 0)
		pm_log(PM_LOG_WARN, "store.busy", "%s", err.what);
}

static void on_pruned(void *arg, const struct store_result *r)
{
	(void)arg;
	if (r->status != STORE_OK)
		pm_log(PM_LOG_WARN, "store.unavailable", "%s", r->why);
	else if (r->revision > 0)
		pm_log(PM_LOG_INFO, "store.prune", "rows=%llu", (unsigned long long)r->revision);
}

/* What is over and old goes, and the audit keeps its bound: else the store grows for ever. */
static void prune(struct coord *c)
{
	struct store_request request = { .op = STORE_PRUNE, .now_ms = pm_wall_ms() };
	struct pm_error err;

	c->pruned_ms = pm_now_ms();
	request.number = (uint64_t)PM_MAX(request.now_ms - KEPT_MS, 0);
	if (fleet_store_submit(c->store, &request, on_pruned, NULL, &err) < 0)
		pm_log(PM_LOG_WARN, "store.busy", "%s", err.what);
}

static void on_minute(uv_timer_t *timer)
{
	struct coord *c = timer->data;

	write_seen(c);
	if (pm_now_ms() - c->pruned_ms >= PRUNE_MS)
		prune(c);
}

static void on_mode(void *arg, enum store_mode mode, const char *why)
{
	struct coord *c = arg;

	c->degraded = mode != STORE_MODE_OK;
	pm_log(mode == STORE_MODE_OK ? PM_LOG_INFO : PM_LOG_ERROR, "store.mode", "%s",
	       mode == STORE_MODE_OK ? "it writes again" : why);
}

/* ---- start ---- */

static int complain(const struct pm_error *err)
{
	(void)fprintf(stderr, "pmd coordinator: %s%s%s\n", err->what,
	              err->hint[0] != '\0' ? "; " : "", err->hint);
	return pm_code_exit_status(err->code);
}

/* Not with root's rights (S-24): what reads from a network should own little. */
static int drop_root(const char *user, struct pm_error *err)
{
	const struct passwd *pw;

	if (geteuid() != 0) {
		if (user != NULL)
			return pm_fail(err, PM_DENIED, "--user is for root");
		return 0;
	}
	if (user == NULL) {
		pm_fail(err, PM_DENIED, "a coordinator does not run as root");
		pm_hint(err, "give it a user of its own: --user NAME, who owns the home");
		return -1;
	}
	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL)
		return pm_fail(err, PM_NOT_FOUND, "--user %.60s: no such user", user);
	if (pw->pw_uid == 0)
		return pm_fail(err, PM_DENIED, "--user %.60s: that is root, too", user);
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return pm_fail_errno(err, errno, "become %.60s", user);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* less is only more careful */
	return 0;
}

static int open_home(struct coord *c, const char *home, struct pm_error *err)
{
	char path[PM_PATH_MAX];
	PM_CLOSE int fd = -1;
	bool made;

	if (home == NULL) {
		pm_fail(err, PM_USAGE, "where is the coordinator's home?");
		pm_hint(err, "give --home DIR, a directory of its own");
		return -1;
	}
	if (pm_home_resolve(home, false, c->home, sizeof(c->home), err) < 0 ||
	    pm_home_open(c->home, &fd, err) < 0 ||
	    pm_home_file(c->home, COORDINATOR_KEY_FILE, path, sizeof(path), err) < 0 ||
	    pm_keyfile_load_or_create(path, &c->key, &made, err) < 0)
		return -1;
	if (made)
		pm_log(PM_LOG_INFO, "coordinator.key", "made %s", path);
	return 0;
}

static int open_store(struct coord *c, struct pm_error *err)
{
	char dir[PM_PATH_MAX];
	const struct store_options options = { .dir = dir, .on_mode = on_mode, .arg = c };

	if (pm_home_file(c->home, COORDINATOR_STORE_DIR, dir, sizeof(dir), err) < 0)
		return -1;
	if (fleet_store_open_sqlite(c->loop, &options, &c->store, err) < 0)
		return -1;
	me.keys_too = true;
	refresh(c);
	while (me.n_lists > 0)
		(void)uv_run(c->loop, UV_RUN_ONCE);
	return c->load_failed ? pm_fail(err, PM_CORRUPT, "the store in %s cannot be read", dir) : 0;
}

/* For people and for local_token(): where we can be reached from this machine. */
static void write_address(const struct coord *c, const struct sockaddr_storage *at, uint16_t port)
{
	char path[PM_PATH_MAX], text[128], host[INET6_ADDRSTRLEN];
	struct pm_error err;
	int fd, len;

	if (at->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)at;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		if (in->sin_addr.s_addr == htonl(INADDR_ANY))
			(void)snprintf(host, sizeof(host), "127.0.0.1");
		len = snprintf(text, sizeof(text), "%s:%u\n", host, port);
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at;

		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		if (memcmp(&in6->sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0)
			(void)snprintf(host, sizeof(host), "::1");
		len = snprintf(text, sizeof(text), "[%s]:%u\n", host, port);
	}
	if (pm_home_file(c->home, COORDINATOR_ADDRESS_FILE, path, sizeof(path), &err) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		pm_log(PM_LOG_WARN, "coordinator.address", "%s: %s", path, strerror(errno));
	pm_closep(&fd);
}

static int listen_all(struct coord *c, struct options *o, struct pm_error *err)
{
	const struct pm_hub_config config = { .link = { .key = c->key,
		                                        .role = PM_ROLE_COORDINATOR,
		                                        .program = "coordinator",
		                                        .features = PM_FEATURE_ROTATION,
		                                        .heartbeat_ms = o->heartbeat_ms } };
	char any[32];

	if (pm_net_create(c->loop, &c->net, err) < 0 ||
	    pm_hub_create(c->net, c->loop, &config, &peer_handlers, c, &c->hub, err) < 0)
		return -1;
	rotation_listen(c->rotation);
	(void)snprintf(any, sizeof(any), "0.0.0.0:%d", PM_DEFAULT_PORT);
	if (o->n_listen == 0 && options_parse_listen(any, &o->listen[o->n_listen++], err) < 0)
		return -1;
	for (unsigned i = 0; i < o->n_listen; i++) {
		uint16_t port;

		if (pm_hub_listen(c->hub, (const struct sockaddr *)&o->listen[i], &port, err) < 0)
			return -1;
		if (i == 0)
			write_address(c, &o->listen[0], port);
		pm_log(PM_LOG_INFO, "coordinator.listen", "port=%u", port);
	}
	return 0;
}

/* Where agents find us, unless a token says otherwise: as told, or the first numeric address. */
static void set_addresses(struct coord *c, const struct options *o)
{
	char path[PM_PATH_MAX], text[PM_ADDRESS_TEXT] = "";
	struct pm_error err;
	FILE *file;

	memcpy(c->addresses, o->advertise, sizeof(c->addresses));
	c->n_addresses = o->n_advertise;
	if (c->n_addresses > 0 ||
	    pm_home_file(c->home, COORDINATOR_ADDRESS_FILE, path, sizeof(path), &err) < 0)
		return;
	file = fopen(path, "re");
	if (file != NULL && fgets(text, sizeof(text), file) != NULL) {
		text[strcspn(text, "\n")] = '\0';
		if (pm_address_parse(text, &c->addresses[0], &err) == 0)
			c->n_addresses = 1;
	}
	if (file != NULL)
		(void)fclose(file);
}

static void on_goodbye(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct coord *c = handle->data;

	if (uv_is_active((uv_handle_t *)&me.goodbye))
		return;
	pm_log(PM_LOG_INFO, "coordinator.stop", "signal %d", signum);
	pm_hub_goodbye(c->hub, "the coordinator stops", 0);
	(void)uv_timer_start(&me.goodbye, on_goodbye, GOODBYE_MS, 0);
}

static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* a lower one means fewer agents, said then */
}

static int serve(struct options *o, struct pm_error *err)
{
	struct coord *c = &me.c;

	if (drop_root(o->user, err) < 0)
		return -1;
	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	raise_nofile();
	pm_failpoint_arm_from_env();
	c->loop = uv_default_loop();
	c->heartbeat_ms = o->heartbeat_ms;
	c->gates = o->gates;
	if (open_home(c, o->home, err) < 0 || open_store(c, err) < 0 ||
	    forwards_create(c->loop, &c->forwards, err) < 0 ||
	    rollouts_create(c, &c->rollouts, err) < 0 || budgets_create(c, &c->budgets, err) < 0 ||
	    rotation_create(c, o->key_overlap_s, &c->rotation, err) < 0 ||
	    listen_all(c, o, err) < 0)
		return -1;
	set_addresses(c, o);
	(void)uv_timer_init(c->loop, &c->minute); /* never fails, as the next */
	c->minute.data = c;
	(void)uv_timer_start(&c->minute, on_minute, SEEN_MS, SEEN_MS);
	rollouts_load(c->rollouts);
	prune(c);
	(void)uv_timer_init(c->loop, &me.goodbye);
	(void)uv_signal_init(c->loop, &me.term); /* fails only without descriptors */
	(void)uv_signal_init(c->loop, &me.intr);
	me.term.data = me.intr.data = c;
	(void)uv_signal_start(&me.term, on_signal, SIGTERM);
	(void)uv_signal_start(&me.intr, on_signal, SIGINT);
	pm_log(PM_LOG_INFO, "coordinator.start", "version=%s cluster=%s nodes=%zu operators=%zu",
	       PM_VERSION, c->cluster_text, c->members.n_nodes, c->members.n_opers);
	(void)uv_run(c->loop, UV_RUN_DEFAULT);
	write_seen(c);
	pm_hub_close(c->hub);
	forwards_close(c->forwards);
	fleet_store_close(c->store);
	rollout_start_close();
	rollouts_close(c->rollouts);
	budgets_close(c->budgets);
	rotation_close(c->rotation);
	pm_net_close(c->net);
	uv_close((uv_handle_t *)&c->minute, NULL);
	uv_close((uv_handle_t *)&me.goodbye, NULL);
	uv_close((uv_handle_t *)&me.term, NULL);
	uv_close((uv_handle_t *)&me.intr, NULL);
	(void)uv_run(c->loop, UV_RUN_DEFAULT); /* the handles' last callbacks */
	members_finish(&c->members);
	pm_key_destroy(c->key);
	return 0;
}

/* ---- on its own machine ---- */

static int make_token(const struct options *o, struct pm_error *err)
{
	Pm__TokenCreate what = PM__TOKEN_CREATE__INIT;
	char addresses[PM_ADDRESSES_MAX][PM_ADDRESS_TEXT], *list[PM_ADDRESSES_MAX];
	char home[PM_PATH_MAX], empty[] = "";

	if (o->role == NULL || pm_rank_by_name(o->role) == PM_RANK_NONE)
		return pm_fail(err, PM_USAGE,
		               "--role: one of viewer, logs, operator, deployer, admin");
	if (o->home == NULL)
		return pm_fail(err, PM_USAGE, "--home: the coordinator's");
	if (pm_home_resolve(o->home, false, home, sizeof(home), err) < 0)
		return -1;
	what.operator_ = true;
	what.role = (char *)(uintptr_t)o->role;
	what.name = o->name != NULL ? (char *)(uintptr_t)o->name : empty;
	what.ttl_s = o->ttl_s;
	for (unsigned i = 0; i < o->n_advertise; i++) {
		pm_address_format(&o->advertise[i], addresses[i]);
		list[i] = addresses[i];
	}
	what.addresses = list;
	what.n_addresses = o->n_advertise;
	return local_token(home, &what, err);
}

static int make_backup(const struct options *o, struct pm_error *err)
{
	char home[PM_PATH_MAX];

	if (o->home == NULL)
		return pm_fail(err, PM_USAGE, "--home: the coordinator's");
	if (pm_home_resolve(o->home, false, home, sizeof(home), err) < 0)
		return -1;
	return local_backup(home, o->name != NULL ? o->name : "", err);
}

static int rotate(const struct options *o, struct pm_error *err)
{
	char home[PM_PATH_MAX];

	if (o->home == NULL)
		return pm_fail(err, PM_USAGE, "--home: the coordinator's");
	if (pm_home_resolve(o->home, false, home, sizeof(home), err) < 0)
		return -1;
	return local_rotate(home, o->finish, o->force, err);
}

int coordinator_main(int argc, char **argv)
{
	struct options o = { 0 };
	struct pm_error err;
	bool token = argc > 1 && strcmp(argv[1], "token") == 0;
	bool backup = argc > 1 && strcmp(argv[1], "backup") == 0;
	bool turn = argc > 1 && strcmp(argv[1], "rotate") == 0;
	bool verb = token || backup || turn;

	pm_log_to(STDERR_FILENO, "coordinator");
	if (sodium_init() < 0) {
		(void)pm_fail(&err, PM_INTERNAL, "libsodium does not start"); /* complained of */
		return complain(&err);
	}
	if (options_parse(argc - verb, argv + verb, &o, &err) < 0)
		return complain(&err);
	if (o.help)
		return options_usage(stdout);
	if ((o.finish && !turn) || (o.force && !o.finish)) {
		(void)pm_fail(&err, PM_USAGE, "%s", /* complained of */
		              turn ? "--force goes with --finish"
		                   : "--finish and --force go with 'rotate'");
		return complain(&err);
	}
	if ((token    ? make_token(&o, &err)
	     : backup ? make_backup(&o, &err)
	     : turn   ? rotate(&o, &err)
	              : serve(&o, &err)) < 0)
		return complain(&err);
	return 0;
}
