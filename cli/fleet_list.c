#include "cli/fleet_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/apps.h"
#include "cli/fleet_act.h"
#include "cli/fleet_route.h"
#include "cli/fleet_send.h"
#include "cli/host_view.h"
#include "cli/jlist.h"
#include "cli/json_out.h"
#include "cli/list_view.h"
#include "cli/lists.h"
#include "cli/target.h"
#include "proto/hostlist.h"

#define STATUS_MS 10000
#define FIRST_MS  600 /* then what has come is shown, and nobody waits for the slow ones */

/* ---- asking ---- */

static int ask(struct ctx *ctx, bool details, bool environment,
               const struct fleet_send_handlers *handlers, void *arg, struct pm_error *err)
{
	Pm__Forward forward = PM__FORWARD__INIT;
	Pm__StatusRequest request = PM__STATUS_REQUEST__INIT;
	struct target_list list = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < args_count(ctx->args); i++)
		rc = target_list_add(&list, args_at(ctx->args, i), err);
	request.detail = details ? PM__DETAIL__DETAIL_FULL : PM__DETAIL__DETAIL_LIST;
	request.environment = environment;
	request.sample = true;
	request.targets = list.targets;
	request.n_targets = list.n;
	forward.what_case = PM__FORWARD__WHAT_STATUS_REQUEST;
	forward.status_request = &request;
	forward.deadline_ms = ctx->timeout_ms != 0 ? ctx->timeout_ms : STATUS_MS;
	if (rc == 0)
		rc = fleet_send(ctx, &forward, handlers, arg, err);
	target_list_finish(&list);
	return rc;
}

/* The hosts in the order of their names, for as long as none is added. */
static const struct host **sorted(const struct fleet *f)
{
	const struct host **list = pm_calloc(f->hosts.n + 1, sizeof(*list));

	for (size_t i = 0; list != NULL && i < f->hosts.n; i++)
		list[i] = &f->hosts.list[i]; /* added in the order of the nodes, which are sorted */
	return list;
}

/* ---- list ---- */

struct fleet_listing {
	struct ctx *ctx;
	struct fleet *f;
	const struct listing_options *options; /* borrowed */
	struct list_view view;
	uint64_t begin_ms;
	bool *shown; /* owned: of each host; one that comes late is added at the end */
	size_t n_shown;
	bool began;
	bool note_shown; /* a line on stderr says who is waited for */
	struct pm_error err;
	bool failed;
};

static void clear_note(struct fleet_listing *l)
{
	if (l->note_shown)
		(void)fputs("\r\033[K", stderr);
	l->note_shown = false;
}

/* Show those that have answered and were not shown yet; at the end the others too. */
static void show(struct fleet_listing *l, bool all)
{
	size_t n_hosts = l->f->hosts.n, n = 0;
	PM_FREE const struct host **hosts = sorted(l->f);
	PM_BUF out = { 0 };
	int rc = 0;

	if (hosts == NULL) {
		l->failed = true;
		return;
	}
	for (size_t i = 0; i < n_hosts; i++) {
		const struct host *h = hosts[i];

		if (i < l->n_shown && l->shown[i])
			continue;
		if (h->state == HOST_WAITING && !all)
			continue;
		if (i < l->n_shown)
			l->shown[i] = true;
		hosts[n++] = h;
	}
	if (n == 0)
		return;
	l->began = true;
	if (n_hosts <= LIST_VIEW_EACH || l->view.verbose)
		list_view_rows(&l->view, hosts, n, &out);
	else
		rc = list_view_groups(&l->view, hosts, n, n_hosts, &out, &l->err);
	clear_note(l);
	if (rc < 0 || say_buf(&out, &l->err) < 0)
		l->failed = true;
	(void)fflush(stdout); /* main looks at errors */
}

/* Leave those of a host that were asked for, in the order that was. */
static int choose(struct host *h, const struct listing_options *o, struct pm_error *err)
{
	PM_FREE Pm__InstanceStatus **chosen = pm_calloc(h->n_instances + 1, sizeof(*chosen));
	PM_FREE size_t *rows = NULL;
	PM_LISTING *l = NULL;
	size_t n;

	if (h->n_instances == 0 || (o->sort == NULL && o->n_filters == 0))
		return 0;
	if (chosen == NULL)
		return pm_fail(err, PM_NO_MEMORY, "list");
	if (listing_create(&apps_host_columns, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < h->n_instances; i++)
		apps_listing_add(l, h->name, h->instances[i]);
	if (listing_choose(l, o, &rows, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		chosen[i] = h->instances[rows[i]];
	memcpy(h->instances, chosen, n * sizeof(struct Pm__InstanceStatus *));
	h->n_instances = n;
	return 0;
}

static void on_list_host(void *arg, struct host *h)
{
	struct fleet_listing *l = arg;

	if (choose(h, l->options, &l->err) < 0)
		l->failed = true;
	/* Once the first lines are out, each late one follows as it comes. */
	if (l->began && l->f->hosts.n <= LIST_VIEW_EACH)
		show(l, false);
}

static void on_list_tick(void *arg)
{
	struct fleet_listing *l = arg;
	struct hosts_account a = hosts_account(&l->f->hosts);

	if (pm_now_ms() - l->begin_ms < FIRST_MS)
		return;
	if (!l->began)
		show(l, false);
	if (isatty(STDERR_FILENO) != 1 || l->ctx->silent)
		return;
	(void)fprintf(stderr, "\r\033[Kwaiting for %zu of %zu hosts", a.n[HOST_WAITING], a.total);
	(void)fflush(stderr);
	l->note_shown = true;
}

static void list_host_json(struct ctx *ctx, const struct host *h, struct json_out *j)
{
	struct jlist_style style = { .reveal = args_has(ctx->args, "reveal") };

	json_kstr(j, "host", h->name);
	json_kstr(j, "id", h->id);
	json_kstr(j, "state", hosts_state_name(h->state));
	if (h->state != HOST_DONE) {
		json_kstr(j, "code", pm_code_name(h->code));
		json_kstr(j, "text", h->text == NULL ? "" : h->text);
	}
	if (h->last_seen_wall_ms > 0)
		json_kint(j, "last_seen_ms", h->last_seen_wall_ms);
	json_key(j, "apps");
	jlist_write(j, h->instances, h->n_instances, &style);
	if (h->agent != NULL) {
		json_key(j, "degraded");
		json_begin_array(j);
		for (size_t i = 0; i < h->agent->n_degraded; i++)
			json_str(j, h->agent->degraded[i]);
		json_end_array(j);
	}
}

static int json_line(struct ctx *ctx, const struct host *h, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	list_host_json(ctx, h, &j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	if (say_buf(&out, err) < 0)
		return -1;
	(void)fflush(stdout); /* main looks at errors */
	return 0;
}

static void on_json_host(void *arg, struct host *h)
{
	struct fleet_listing *l = arg;

	if (choose(h, l->options, &l->err) < 0 ||
	    (l->ctx->jsonl && json_line(l->ctx, h, &l->err) < 0))
		l->failed = true;
}

static int list_json(struct ctx *ctx, const struct listing_options *o, struct pm_error *err)
{
	static const struct fleet_send_handlers handlers = { on_json_host, NULL };
	struct fleet *f = ctx->fleet;
	struct fleet_listing l = { .ctx = ctx, .f = f, .options = o };
	PM_BUF out = { 0 };
	struct json_out j;

	if (ask(ctx, true, false, &handlers, &l, err) < 0)
		return -1;
	if (l.failed) {
		*err = l.err;
		return -1;
	}
	json_init(&j, &out);
	if (ctx->jsonl) {
		for (size_t i = 0; i < f->hosts.n; i++)
			if ((!f->hosts.list[i].answered || f->hosts.list[i].state != HOST_DONE) &&
			    json_line(ctx, &f->hosts.list[i], err) < 0)
				return -1;
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
	} else {
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
		json_key(&j, "hosts");
		json_begin_array(&j);
		for (size_t i = 0; i < f->hosts.n; i++) {
			json_begin_object(&j);
			list_host_json(ctx, &f->hosts.list[i], &j);
			json_end_object(&j);
		}
		json_end_array(&j);
	}
	fleet_account_json(f, &j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err) < 0 ? -1 : fleet_exit_status(f);
}

/* The hosts without an answer, beside the list: what reads it wants rows only. */
static void say_absent(const struct fleet_listing *l)
{
	for (size_t i = 0; i < l->f->hosts.n; i++) {
		const struct host *h = &l->f->hosts.list[i];
		PM_BUF text = { 0 };

		if (h->state == HOST_DONE)
			continue;
		say_warn(l->ctx, "%s: %s%s%s", h->name, hosts_state_name(h->state),
		         h->text == NULL ? "" : ": ",
		         h->text == NULL ? "" : say_cleaned(&text, h->text));
	}
}

/* A row for each instance of each host: forms with columns, and an order over all hosts. */
static int list_rows(struct fleet_listing *l, struct pm_error *err)
{
	static const struct fleet_send_handlers handlers = { NULL, NULL }; /* all, then rows */
	PM_LISTING *rows = NULL;

	if (ask(l->ctx, false, false, &handlers, l, err) < 0 ||
	    listing_create(&apps_host_columns, &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < l->f->hosts.n; i++) {
		const struct host *h = &l->f->hosts.list[i];

		for (size_t k = 0; k < h->n_instances; k++)
			apps_listing_add(rows, h->name, h->instances[k]);
	}
	if (lists_print(l->ctx, rows, l->options, "apps", NULL, err) < 0)
		return -1;
	(void)fflush(stdout); /* main looks at errors */
	say_absent(l);
	if (l->f->stopped)
		fleet_say_missing(l->ctx);
	return fleet_exit_status(l->f);
}

int fleet_list(struct ctx *ctx, const struct listing_options *o, struct pm_error *err)
{
	static const struct fleet_send_handlers handlers = { on_list_host, on_list_tick };
	struct fleet *f = ctx->fleet;
	PM_FREE bool *shown = pm_calloc(f->hosts.n + 1, sizeof(bool));
	struct fleet_listing l = {
		.ctx = ctx,
		.f = f,
		.options = o,
		.view = { .color = ctx->color_out,
		          .verbose = args_has(ctx->args, "verbose"),
		          .diff = args_has(ctx->args, "diff"),
		          .named = args_count(ctx->args) > 0,
		          .width = host_view_width(&f->hosts),
		          .chosen = o->n_filters > 0,
		          .titled = o->no_header,
		          .now_wall_ms = pm_wall_ms() },
		.begin_ms = pm_now_ms(),
		.shown = shown,
		.n_shown = f->hosts.n,
	};
	PM_BUF out = { 0 };

	if (shown == NULL)
		return pm_fail(err, PM_NO_MEMORY, "list");
	if (ctx->json)
		return list_json(ctx, o, err);
	if (o->form != LISTING_TABLE || o->sort != NULL)
		return list_rows(&l, err);
	if (ask(ctx, false, false, &handlers, &l, err) < 0)
		return -1;
	show(&l, true);
	clear_note(&l);
	if (l.failed) {
		*err = l.err;
		return -1;
	}
	if (list_view_account(&f->hosts, &out, err) < 0 || say_buf(&out, err) < 0)
		return -1;
	if (f->stopped)
		fleet_say_missing(ctx);
	return fleet_exit_status(f);
}

/* ---- each host for itself ---- */

struct showing {
	struct ctx *ctx;
	struct fleet *f;
	int (*run)(struct ctx *ctx, struct pm_error *err);
	char **texts; /* owned: what was printed of each host, when many are to be folded */
	size_t n_texts;
	bool failed;
};

/* What `run` prints of one host; the caller's, NULL without memory. */
static char *capture(struct showing *s, struct host *h)
{
	FILE *real = stdout, *memory;
	char *text = NULL;
	size_t len = 0;
	struct client *all = s->ctx->client, *one = NULL;
	struct pm_error err;
	int rc;

	if (fleet_route_create(s->f->client, h->id, 1, &one, &err) < 0)
		return NULL;
	fleet_route_preload(one, h->instances, h->n_instances, h->agent);
	(void)fflush(stdout); /* main looks at errors */
	memory = open_memstream(&text, &len);
	if (memory == NULL) {
		client_destroy(one);
		return NULL;
	}
	s->ctx->client = one;
	stdout = memory;
	rc = s->run(s->ctx, &err);
	stdout = real;
	s->ctx->client = all;
	if (fclose(memory) != 0) {
		free(text);
		text = NULL;
	}
	client_destroy(one);
	if (rc < 0) {
		h->state = HOST_FAILED;
		h->code = err.code;
		free(h->text);
		h->text = pm_strdup(err.what); /* NULL: no text */
	}
	return text;
}

static void print_block(struct showing *s, const char *hosts, size_t n, const char *text)
{
	PM_BUF head = { 0 };
	PM_BUF out = { 0 };
	struct pm_error err;

	pm_buf_printf(&head, n > 1 ? "== %s (%zu hosts)" : "== %s", hosts, n);
	color_add(&out, s->ctx->color_out, COLOR_BOLD, head.failed ? "==" : head.bytes);
	pm_buf_char(&out, '\n');
	pm_buf_str(&out, text);
	if (say_buf(&out, &err) < 0)
		s->failed = true;
	(void)fflush(stdout); /* main looks at errors */
}

/* Equal answers of many stand together; of few each is shown as it comes. */
static bool is_folded(const struct showing *s)
{
	return s->f->hosts.n > HOST_VIEW_EACH || args_has(s->ctx->args, "diff");
}

/* What one host says, inside of an object. */
static void each_host_json(const struct showing *s, size_t i, struct json_out *j)
{
	const struct host *h = &s->f->hosts.list[i];

	json_kstr(j, "host", h->name);
	json_kstr(j, "id", h->id);
	json_kstr(j, "state", hosts_state_name(h->state));
	if (h->text != NULL)
		json_kstr(j, "text", h->text);
	if (i < s->n_texts && s->texts[i] != NULL && s->texts[i][0] != '\0') {
		s->texts[i][strcspn(s->texts[i], "\n")] = '\0'; /* a document is one line */
		json_key(j, "answer");
		json_raw(j, s->texts[i]);
	}
}

/* With --jsonl a document of its own, as soon as the host has answered. */
static void each_line(struct showing *s, size_t i)
{
	PM_BUF out = { 0 };
	struct pm_error err;
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	each_host_json(s, i, &j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	s->failed |= say_buf(&out, &err) < 0;
	(void)fflush(stdout); /* main looks at errors */
}

static void on_each_host(void *arg, struct host *h)
{
	struct showing *s = arg;
	size_t at = (size_t)(h - s->f->hosts.list);
	char *text;

	if (h->state != HOST_DONE)
		return;
	if (h->n_instances == 0) {
		h->state = HOST_FAILED;
		h->code = PM_NOT_FOUND;
		h->text = pm_strdup("no such app"); /* NULL: no text */
		return;
	}
	text = capture(s, h);
	if (text == NULL)
		s->failed = true;
	else if (!is_folded(s) && !s->ctx->json)
		print_block(s, h->name, 1, text);
	if (at >= s->n_texts) {
		free(text);
		return;
	}
	s->texts[at] = text;
	if (s->ctx->jsonl && text != NULL)
		each_line(s, at);
}

/* With --diff what most say is left out, and of the others there is what they say otherwise. */
static int print_group(struct showing *s, const struct fold_group *g, const char *most,
                       struct pm_error *err)
{
	PM_BUF names = { 0 };
	PM_BUF diff = { 0 };

	if (hostlist_fold(g->hosts, g->n, &names, err) < 0 ||
	    (most != NULL && fold_diff(most, g->text, &diff, err) < 0))
		return -1;
	print_block(s, names.bytes, g->n,
	            most == NULL         ? g->text
	            : diff.bytes == NULL ? ""
	                                 : diff.bytes);
	return 0;
}

static int print_folded(struct showing *s, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;
	const struct fold_group *groups;
	bool diff = args_has(s->ctx->args, "diff");
	size_t n;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n_texts; i++)
		if (s->texts[i] != NULL &&
		    hosts_fold_add(f, &s->f->hosts.list[i], s->texts[i], err) < 0)
			return -1;
	if (fold_groups(f, &groups, &n, err) < 0)
		return -1;
	for (size_t i = diff; i < n; i++)
		if (print_group(s, &groups[i], diff ? groups[0].text : NULL, err) < 0)
			return -1;
	return 0;
}

static void each_json(const struct showing *s, struct json_out *j)
{
	json_begin_object(j);
	json_kint(j, "schema", 1);
	json_key(j, "hosts");
	json_begin_array(j);
	for (size_t i = 0; i < s->f->hosts.n; i++) {
		json_begin_object(j);
		each_host_json(s, i, j);
		json_end_object(j);
	}
	json_end_array(j);
	fleet_account_json(s->f, j);
	json_end_object(j);
}

/* The hosts that are not done, and the account. */
static void each_rest(struct showing *s, struct json_out *j)
{
	for (size_t i = 0; i < s->f->hosts.n; i++)
		if (s->f->hosts.list[i].state != HOST_DONE)
			each_line(s, i);
	json_begin_object(j);
	json_kint(j, "schema", 1);
	fleet_account_json(s->f, j);
	json_end_object(j);
}

static int each_end(struct showing *s, struct pm_error *err)
{
	struct host_view view = { .done = "answered",
		                  .width = host_view_width(&s->f->hosts),
		                  .color = s->ctx->color_out,
		                  .now_wall_ms = pm_wall_ms() };
	struct hosts_account a = hosts_account(&s->f->hosts);
	PM_BUF out = { 0 };
	struct json_out j;

	if (s->ctx->json) {
		json_init(&j, &out);
		if (s->ctx->jsonl)
			each_rest(s, &j);
		else
			each_json(s, &j);
		pm_buf_char(&out, '\n');
		return say_buf(&out, err);
	}
	if (is_folded(s) && print_folded(s, err) < 0)
		return -1;
	for (size_t i = 0; i < s->f->hosts.n; i++)
		if (s->f->hosts.list[i].state != HOST_DONE)
			host_view_line(&view, &s->f->hosts.list[i], &out);
	hosts_account_line(&a, "answered", &out);
	return say_buf(&out, err);
}

/* asks: run has a question of its own, and a session passes on one at a time. */
static int each(struct ctx *ctx, bool environment, bool asks,
                int (*run)(struct ctx *ctx, struct pm_error *err), struct pm_error *err)
{
	static const struct fleet_send_handlers at_once = { on_each_host, NULL }, later = { 0 };
	struct fleet *f = ctx->fleet;
	struct showing s = { .ctx = ctx, .f = f, .run = run, .n_texts = f->hosts.n };
	int rc;

	s.texts = pm_calloc(f->hosts.n + 1, sizeof(*s.texts));
	if (s.texts == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	rc = ask(ctx, true, environment, asks ? &later : &at_once, &s, err);
	for (size_t i = 0; rc == 0 && asks && i < f->hosts.n; i++)
		on_each_host(&s, &f->hosts.list[i]);
	if (rc == 0 && s.failed)
		rc = pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (rc == 0)
		rc = each_end(&s, err);
	for (size_t i = 0; i < s.n_texts; i++)
		free(s.texts[i]);
	free(s.texts);
	if (rc == 0 && f->stopped)
		fleet_say_missing(ctx);
	return rc < 0 ? -1 : fleet_exit_status(f);
}

int fleet_each(struct ctx *ctx, bool environment, int (*run)(struct ctx *ctx, struct pm_error *err),
               struct pm_error *err)
{
	return each(ctx, environment, false, run, err);
}

int fleet_each_asked(struct ctx *ctx, int (*run)(struct ctx *ctx, struct pm_error *err),
                     struct pm_error *err)
{
	return each(ctx, false, true, run, err);
}
