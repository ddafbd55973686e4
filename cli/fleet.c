#include "cli/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/context_file.h"
#include "cli/fleet_route.h"
#include "cli/interrupt.h"
#include "proto/hostlist.h"
#include "proto/targets.h"

#define REQUEST_MS 20000

static const char *const selecting[] = { "all", "hosts", "label", "group", "where" };
static const char *const narrowing[] = { "exclude", "limit", "pick", "seed", "context" /* last */ };

static bool any_of(const struct args *args, const char *const *names, size_t n)
{
	/* `logs --exclude REGEX` is the verb's own. */
	for (size_t i = 0; i < n; i++)
		if (args_has(args, names[i]) && !args_is_own(args, names[i]))
			return true;
	return false;
}

bool fleet_is_meant(const struct args *args)
{
	return any_of(args, selecting, PM_COUNT(selecting)) ||
	       any_of(args, narrowing, PM_COUNT(narrowing));
}

bool fleet_names_hosts(const struct args *args)
{
	return any_of(args, selecting, PM_COUNT(selecting)) ||
	       any_of(args, narrowing, PM_COUNT(narrowing) - 1); /* the last is --context */
}

bool fleet_is_wide(const struct ctx *ctx)
{
	return ctx->fleet != NULL && !ctx->fleet->single;
}

/* ---- the selector ---- */

static int no_memory(struct pm_error *err)
{
	return pm_fail(err, PM_NO_MEMORY, "out of memory");
}

static int add_name(struct fleet *f, const char *name, size_t len, struct pm_error *err)
{
	char **grown;

	if (f->n_names == PM_HOSTS_MAX)
		return pm_fail(err, PM_LIMIT, "--hosts -: more than %u names", PM_HOSTS_MAX);
	grown = pm_realloc(f->names, (f->n_names + 1) * sizeof(*grown));
	if (grown == NULL)
		return no_memory(err);
	f->names = grown;
	grown[f->n_names] = pm_strndup(name, len);
	if (grown[f->n_names] == NULL)
		return no_memory(err);
	if (!hostlist_is_name(grown[f->n_names++]))
		return pm_fail(err, PM_USAGE, "--hosts -: '%.*s' is no host's name",
		               (int)PM_MIN(len, 100u), name);
	return 0;
}

/* Names on standard input, separated by blanks, commas or new lines. */
static int read_names(struct fleet *f, struct pm_error *err)
{
	PM_BUF text = { .max = 16u << 20 };
	char block[4096];
	size_t n;

	while ((n = fread(block, 1, sizeof(block), stdin)) > 0)
		pm_buf_add(&text, block, n);
	if (text.failed)
		return pm_fail(err, PM_LIMIT, "--hosts -: too much on standard input");
	for (const char *at = text.len == 0 ? "" : text.bytes; *at != '\0';) {
		size_t gap = strspn(at, " \t\r\n,"), len = strcspn(at + gap, " \t\r\n,");

		if (len > 0 && add_name(f, at + gap, len, err) < 0)
			return -1;
		at += gap + len;
	}
	if (f->n_names == 0)
		return pm_fail(err, PM_USAGE, "--hosts -: no name on standard input");
	f->selector.names = f->names;
	f->selector.n_names = f->n_names;
	return 0;
}

/* What was given several times adds up, as one text with commas. */
static int join(struct ctx *ctx, struct fleet *f, const char *option, struct pm_buf *buf,
                char **out, struct pm_error *err)
{
	if (args_is_own(ctx->args, option))
		return 0;
	for (size_t i = 0; i < args_n_values(ctx->args, option); i++) {
		const char *value = args_value(ctx->args, option, i);

		if (strcmp(option, "hosts") == 0 && strcmp(value, "-") == 0) {
			if (f->n_names == 0 && read_names(f, err) < 0)
				return -1;
			continue;
		}
		if (buf->len > 0)
			pm_buf_char(buf, ',');
		pm_buf_str(buf, value);
	}
	if (buf->failed)
		return no_memory(err);
	if (buf->len > 0)
		*out = buf->bytes;
	return 0;
}

static int settle_choice(struct ctx *ctx, Pm__Selector *s, struct targets_query *q,
                         struct pm_error *err)
{
	int64_t pick, seed;

	if (args_number(ctx->args, "pick", 1, PM_HOSTS_MAX, 0, &pick, err) < 0 ||
	    args_number(ctx->args, "seed", 1, INT64_MAX, 0, &seed, err) < 0)
		return -1;
	if (s->limit[0] != '\0' && targets_parse_limit(s->limit, q, err) < 0)
		return pm_wrap(err, "--limit");
	if (pick != 0 && s->limit[0] != '\0')
		return pm_fail(err, PM_USAGE, "--pick and --limit cannot be used together");
	if (seed != 0 && pick == 0 && s->limit[0] == '\0' && !args_has(ctx->args, "order"))
		return pm_fail(err, PM_USAGE, "--seed goes with --pick, --limit or --order");
	if (pick != 0 && seed == 0) {
		uint32_t random;

		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return pm_fail(err, PM_INTERNAL, "no random numbers");
		seed = (int64_t)random + 1;
		say_plain_error(ctx, "--pick %u --seed %lld chooses the same ones again",
		                (unsigned)pick, (long long)seed);
	}
	s->pick = (uint32_t)pick;
	s->seed = (uint64_t)seed;
	return 0;
}

/* What is not in the grammar is told here, with its place, before anybody is asked. */
static int check_grammar(const struct targets_query *q, struct pm_error *err)
{
	struct targets_fleet nobody = { 0 };
	struct targets none = { 0 };
	struct pm_error found;

	if (targets_expand(q, &nobody, &none, &found) == 0 || found.code != PM_USAGE) {
		targets_finish(&none);
		return 0;
	}
	*err = found;
	return -1;
}

static int settle_selector(struct ctx *ctx, struct fleet *f, struct pm_error *err)
{
	Pm__Selector *s = &f->selector;
	struct targets_query q = { .all = args_has(ctx->args, "all") };

	pm__selector__init(s);
	s->all = q.all;
	if (join(ctx, f, "hosts", &f->texts[0], &s->hosts, err) < 0 ||
	    join(ctx, f, "label", &f->texts[1], &s->label, err) < 0 ||
	    join(ctx, f, "exclude", &f->texts[2], &s->exclude, err) < 0)
		return -1;
	for (unsigned i = 0; i < 3; i++) {
		static const char *const once[] = { "group", "where", "limit" };
		char **to[] = { &s->group, &s->where, &s->limit };
		const char *value = args_get(ctx->args, once[i]);

		if (value == NULL)
			continue;
		if (args_n_values(ctx->args, once[i]) > 1)
			return pm_fail(err, PM_USAGE, "--%s can be given once", once[i]);
		pm_buf_str(&f->texts[3 + i], value);
		if (f->texts[3 + i].failed)
			return no_memory(err);
		*to[i] = f->texts[3 + i].bytes;
	}
	q.hosts = s->hosts[0] != '\0' ? s->hosts : NULL;
	q.label = s->label[0] != '\0' ? s->label : NULL;
	q.where = s->where[0] != '\0' ? s->where : NULL;
	q.exclude = s->exclude[0] != '\0' ? s->exclude : NULL;
	q.group = s->group[0] != '\0' ? s->group : NULL;
	f->asks_for_all = s->all && q.hosts == NULL && q.label == NULL && q.where == NULL &&
	                  q.exclude == NULL && q.group == NULL && f->n_names == 0;
	if (settle_choice(ctx, s, &q, err) < 0)
		return -1;
	f->asks_for_all = f->asks_for_all && s->pick == 0 && s->limit[0] == '\0';
	if (f->n_names > 0 && q.hosts == NULL && q.label == NULL && q.where == NULL &&
	    q.group == NULL && !q.all)
		return 0; /* the names are all there is to read */
	if (!fleet_is_meant(ctx->args) || !any_of(ctx->args, selecting, PM_COUNT(selecting)))
		return 0;
	return check_grammar(&q, err);
}

int fleet_select(struct fleet *f, const char *set, struct pm_error *err)
{
	struct targets_query q = { .hosts = set };
	struct pm_buf *text = &f->texts[0];

	if (check_grammar(&q, err) < 0)
		return -1;
	if (text->len > 0)
		pm_buf_char(text, ',');
	pm_buf_str(text, set);
	if (text->failed)
		return no_memory(err);
	f->selector.hosts = text->bytes;
	return 0;
}

bool fleet_has_selector(const struct fleet *f)
{
	const Pm__Selector *s = &f->selector;

	return s->all || s->hosts[0] != '\0' || s->label[0] != '\0' || s->group[0] != '\0' ||
	       s->where[0] != '\0' || s->n_names > 0;
}

/* ---- life ---- */

void fleet_close(struct fleet *f)
{
	if (f == NULL)
		return;
	fleet_client_close(f->client);
	fleet_keys_finish(&f->keys);
	for (size_t i = 0; i < PM_COUNT(f->texts); i++)
		pm_buf_finish(&f->texts[i]);
	for (size_t i = 0; i < f->n_names; i++)
		free(f->names[i]);
	free(f->names);
	free(f->nodes);
	pm_arena_finish(&f->arena);
	hosts_finish(&f->hosts);
	free(f);
}

void fleet_closep(struct fleet **f)
{
	fleet_close(*f);
}

static int connect_to(struct ctx *ctx, struct fleet *f, struct pm_error *err)
{
	struct fleet_client_options options = {
		.role = PM_ROLE_OPERATOR,
		.program = ctx->program,
		.timeout_ms = ctx->timeout_ms,
	};

	const struct pm_key *used;

	if (interrupt_begin(&f->stop_fd, err) < 0)
		return -1;
	options.stop_fd = f->stop_fd;
	if (fleet_keys_connect(&f->context, &f->keys, &options, false, &f->client, &used, err) < 0)
		return pm_wrap(err, "coordinator %.100s", f->context.name);
	return 0;
}

int fleet_reconnect(struct ctx *ctx, struct fleet *f, struct pm_error *err)
{
	fleet_client_close(f->client);
	f->client = NULL;
	/* Another pmctl may have replaced our key meanwhile, or learned the coordinator's. */
	fleet_keys_finish(&f->keys);
	if (context_choose(f->context.name, &f->context, err) < 0 ||
	    fleet_keys_load(&f->context, &f->keys, err) < 0)
		return -1;
	return connect_to(ctx, f, err);
}

int fleet_open(struct ctx *ctx, struct fleet **out, struct pm_error *err)
{
	PM_FLEET *f = pm_calloc(1, sizeof(*f));

	if (f == NULL)
		return no_memory(err);
	if (context_choose(args_get(ctx->args, "context"), &f->context, err) < 0 ||
	    settle_selector(ctx, f, err) < 0 || fleet_keys_load(&f->context, &f->keys, err) < 0 ||
	    connect_to(ctx, f, err) < 0)
		return -1;
	*out = PM_STEAL(f);
	return 0;
}

/* ---- asking the coordinator ---- */

struct asking {
	fleet_reply_fn *fn;
	void *arg;
};

static int on_reply(void *arg, const Pm__Envelope *env, struct pm_error *err)
{
	const struct asking *a = arg;

	if (env->body_case != PM__ENVELOPE__BODY_FLEET_REPLY)
		return pm_fail(err, PM_PROTOCOL, "the coordinator's answer is of another kind");
	if (a->fn != NULL && a->fn(a->arg, env->fleet_reply, err) < 0)
		return -1;
	return !env->fleet_reply->more;
}

int fleet_request_within(struct fleet *f, const Pm__FleetRequest *request, uint32_t timeout_ms,
                         fleet_reply_fn *fn, void *arg, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__FleetRequest copy = *request;
	struct fleet_wait wait = { .timeout_ms = timeout_ms, .stop_fd = f->stop_fd };
	struct asking asking = { fn, arg };
	enum fleet_waited waited;

	env.body_case = PM__ENVELOPE__BODY_FLEET_REQUEST;
	env.fleet_request = &copy;
	if (fleet_client_ask(f->client, &env, &wait, on_reply, &asking, &waited, err) < 0)
		return -1;
	if (waited == FLEET_DONE)
		return 0;
	return pm_fail(err, PM_DEADLINE, "the coordinator did not answer in time");
}

int fleet_request(struct ctx *ctx, struct fleet *f, const Pm__FleetRequest *request,
                  fleet_reply_fn *fn, void *arg, struct pm_error *err)
{
	uint32_t timeout_ms = ctx->timeout_ms != 0 ? ctx->timeout_ms : REQUEST_MS;

	return fleet_request_within(f, request, timeout_ms, fn, arg, err);
}

struct finding {
	struct fleet *f;
	char nearest[256];
};

static int on_nodes(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct finding *finding = arg;
	struct fleet *f = finding->f;
	const Pm__NodeList *list = reply->nodes;

	if (reply->what_case != PM__FLEET_REPLY__WHAT_NODES)
		return 0;
	if (list->nearest[0] != '\0')
		(void)snprintf(finding->nearest, sizeof(finding->nearest), "%.255s", list->nearest);
	for (size_t i = 0; i < list->n_nodes; i++) {
		size_t len = pm__node__get_packed_size(list->nodes[i]);
		PM_FREE uint8_t *bytes = pm_calloc(1, len + 1);
		Pm__Node **grown = pm_realloc(f->nodes, (f->n_nodes + 1) * sizeof(*grown));
		ProtobufCMessage *copy;

		/* Names go to the terminal in many ways: what is none goes no further than here. */
		if (!hostlist_is_name(list->nodes[i]->name))
			return pm_fail(err, PM_PROTOCOL,
			               "the coordinator told of a host without a name");
		if (grown != NULL)
			f->nodes = grown;
		if (grown == NULL || bytes == NULL)
			return no_memory(err);
		(void)pm__node__pack(list->nodes[i], bytes);
		if (pm_decode_message(&f->arena, &pm__node__descriptor, bytes, len, PM_ARENA_MAX,
		                      &copy, err) < 0)
			return -1;
		grown[f->n_nodes++] = (Pm__Node *)copy;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const Pm__Node *const *x = a, *const *y = b;

	return hostlist_compare((*x)->name, (*y)->name);
}

int fleet_find(struct ctx *ctx, struct fleet *f, bool details, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__NodeQuery query = PM__NODE_QUERY__INIT;
	struct finding finding = { .f = f };

	f->n_nodes = 0;
	query.selector = &f->selector;
	query.only_names = !details;
	request.what_case = PM__FLEET_REQUEST__WHAT_NODE_QUERY;
	request.node_query = &query;
	if (fleet_request(ctx, f, &request, on_nodes, &finding, err) < 0)
		return -1;
	if (f->n_nodes == 0) {
		pm_fail(err, PM_NOT_FOUND, "no host matches");
		if (finding.nearest[0] != '\0')
			pm_hint(err, "did you mean %.100s?", finding.nearest);
		else
			pm_hint(err, "'pmctl node list --all' shows the hosts");
		return -1;
	}
	qsort(f->nodes, f->n_nodes, sizeof(Pm__Node *), by_name);
	return 0;
}

void fleet_fold_nodes(const struct fleet *f, struct pm_buf *out)
{
	PM_FREE const char **names = pm_calloc(f->n_nodes + 1, sizeof(*names));
	struct pm_error err;

	if (names == NULL) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < f->n_nodes; i++)
		names[i] = f->nodes[i]->name;
	if (hostlist_fold(names, f->n_nodes, out, &err) < 0)
		out->failed = true;
}

/* ---- a verb on hosts ---- */

/* Those that are members; who waits at the door takes no orders. */
static void keep_members(struct fleet *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_nodes; i++) {
		Pm__NodeState state = f->nodes[i]->state;

		if (state != PM__NODE_STATE__NODE_PENDING &&
		    state != PM__NODE_STATE__NODE_REJECTED && state != PM__NODE_STATE__NODE_REVOKED)
			f->nodes[n++] = f->nodes[i];
	}
	f->n_nodes = n;
}

static uint32_t cpus_of(const Pm__Node *node)
{
	return node->facts != NULL && node->facts->n_cpus > 0 ? node->facts->n_cpus : 1;
}

/* What `-i max` means where machines differ: as many as the smallest has. */
static uint32_t least_cpus(const struct fleet *f)
{
	uint32_t least = cpus_of(f->nodes[0]);

	for (size_t i = 1; i < f->n_nodes; i++)
		least = PM_MIN(least, cpus_of(f->nodes[i]));
	return least;
}

int fleet_begin(struct ctx *ctx, struct pm_error *err)
{
	struct fleet *f;

	if (!any_of(ctx->args, selecting, PM_COUNT(selecting))) {
		pm_fail(err, PM_USAGE, "no hosts are named");
		pm_hint(err, "add --all, --hosts, --label, --group or --where");
		return -1;
	}
	if (fleet_open(ctx, &f, err) < 0)
		return -1;
	ctx->fleet = f;
	if (fleet_find(ctx, f, true, err) < 0)
		return -1;
	keep_members(f);
	if (f->n_nodes == 0)
		return pm_fail(err, PM_NOT_FOUND, "no host that is a member matches");
	for (size_t i = 0; i < f->n_nodes; i++)
		if (hosts_add(&f->hosts, f->nodes[i]->id, f->nodes[i]->name, err) < 0)
			return -1;
	f->single = f->n_nodes == 1 && !ctx->json;
	if (!f->single && args_has(ctx->args, "attach"))
		return pm_fail(err, PM_USAGE,
		               "--attach is for one host; 'logs' shows those of all");
	return fleet_route_create(f->client, f->single ? f->nodes[0]->id : NULL, least_cpus(f),
	                          &ctx->client, err);
}

/* ---- asking the user ---- */

static void on_prompt_tick(void *arg)
{
	struct fleet *f = arg;

	if (interrupt_came())
		fleet_client_stop_waiting(f->client);
}

bool fleet_read_line(struct fleet *f, char *line, size_t size)
{
	struct fleet_wait wait = {
		.stop_fd = STDIN_FILENO, .tick_ms = 100, .tick = on_prompt_tick, .arg = f
	};
	enum fleet_waited waited;
	struct pm_error err;
	ssize_t n;

	while (fleet_client_wait(f->client, &wait, &waited, &err) == 0 && waited != FLEET_STOPPED)
		if (interrupt_came())
			return false;
	n = interrupt_came() ? -1 : read(STDIN_FILENO, line, size - 1);
	if (n <= 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

int fleet_confirm(struct ctx *ctx, const char *what, const char *word, struct pm_error *err)
{
	struct fleet *f = ctx->fleet;
	bool many = f->n_nodes > 20;
	char line[256];
	PM_BUF names = { 0 };
	PM_BUF clean = { 0 };

	if (!f->asks_for_all || args_has(ctx->args, "yes"))
		return 0;
	if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
		pm_fail(err, PM_USAGE, "%s on all %zu hosts needs --yes; nobody can be asked here",
		        what, f->n_nodes);
		return -1;
	}
	fleet_fold_nodes(f, &names);
	(void)fflush(stdout); /* main looks at errors */
	(void)fprintf(stderr, "%s on all %zu hosts (%s)?\n", say_cleaned(&clean, what), f->n_nodes,
	              names.failed || names.bytes == NULL ? "" : names.bytes);
	if (many)
		(void)fprintf(stderr, "Type %s to go on: ", say_cleaned(&clean, word));
	else
		(void)fprintf(stderr, "[y/N] ");
	(void)fflush(stderr);
	if (fleet_read_line(f, line, sizeof(line)) &&
	    (many ? strcmp(line, word) == 0 : strcmp(line, "y") == 0 || strcmp(line, "yes") == 0))
		return 0;
	return pm_fail(err, PM_DENIED, "%s: nothing was done", what);
}
