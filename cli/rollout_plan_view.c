#include "cli/rollout_plan_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fold.h"
#include "cli/text.h"
#include "proto/hostlist.h"
#include "proto/rollout_params.h"

#define DIGEST_SHOWN  4  /* bytes of a digest */
#define BATCHES_SHOWN 12 /* batches that are told by their hosts */

/* ---- versions ---- */

static bool same(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void add_version(const char *version, const ProtobufCBinaryData *digest, struct pm_buf *out)
{
	if (digest->len == 0 && version[0] == '\0') {
		pm_buf_str(out, "nothing");
		return;
	}
	if (version[0] != '\0') {
		if (version[0] >= '0' && version[0] <= '9')
			pm_buf_char(out, 'v');
		text_add_clean(out, version);
	}
	if (digest->len == 0)
		return;
	pm_buf_str(out, version[0] != '\0' ? " (" : "(");
	for (size_t i = 0; i < PM_MIN(digest->len, (size_t)DIGEST_SHOWN); i++)
		pm_buf_printf(out, "%02x", digest->data[i]);
	pm_buf_char(out, ')');
}

void rollout_plan_versions(const struct rollout_view *v, const Pm__StepApp *app, struct pm_buf *out)
{
	add_version(app->version_from, &app->spec_from, out);
	if (same(&app->spec_from, &app->spec_to) && strcmp(app->version_from, app->version_to) == 0)
		return;
	pm_buf_str(out, v->utf8 ? " → " : " -> ");
	add_version(app->version_to, &app->spec_to, out);
}

/* ---- hosts ---- */

/* "api  v1.4.1 (3f2a0c11) → v1.4.2 (9c1d44e0)  4 running; reload" */
static void add_app(const struct rollout_view *v, const Pm__StepApp *app, struct pm_buf *out)
{
	text_add_clean(out, app->name);
	pm_buf_str(out, "  ");
	rollout_plan_versions(v, app, out);
	pm_buf_printf(out, "  %u running", app->n_running);
	if (app->text[0] != '\0') {
		pm_buf_str(out, "; ");
		text_add_clean(out, app->text);
	} else if (!app->changes) {
		pm_buf_str(out, "; nothing changes");
	}
}

static void each_host(const struct rollout_view *v, const struct rollout_copy *c,
                      struct pm_buf *out)
{
	unsigned width = rollout_view_name_width(c);

	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		if (s->batch == 0)
			continue;
		for (size_t k = 0; k < s->n_apps; k++) {
			text_add_padded(out, s->name, width);
			pm_buf_str(out, "  ");
			add_app(v, s->apps[k], out);
			pm_buf_char(out, '\n');
		}
	}
}

static int print_groups(struct fold *f, struct pm_buf *out, struct pm_error *err)
{
	const struct fold_group *groups;
	size_t n;

	if (fold_groups(f, &groups, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		pm_buf_printf(out, "%4zu host%s  %s  ", groups[i].n, groups[i].n == 1 ? " " : "s",
		              groups[i].text); /* made harmless when it was made */
		if (hostlist_fold(groups[i].hosts, groups[i].n, out, err) < 0)
			return -1;
		pm_buf_char(out, '\n');
	}
	return 0;
}

/* A host has one answer in a fold: one fold for each app. */
static int fold_app(const struct rollout_view *v, const struct rollout_copy *c, const char *name,
                    struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		for (size_t k = 0; s->batch > 0 && k < s->n_apps; k++) {
			PM_BUF text = { 0 };

			if (strcmp(s->apps[k]->name, name) != 0)
				continue;
			add_app(v, s->apps[k], &text);
			if (text.failed)
				return pm_fail(err, PM_NO_MEMORY, "out of memory");
			if (fold_add(f, s->name, FOLD_OK, PM_OK, text.bytes, err) < 0)
				return -1;
		}
	}
	return print_groups(f, out, err);
}

static int left_out(const struct rollout_copy *c, struct pm_buf *out, struct pm_error *err)
{
	PM_CLEANUP(fold_destroyp) struct fold *f = NULL;

	if (fold_create(&f, err) < 0)
		return -1;
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;
		PM_BUF text = { 0 };

		if (s->batch > 0)
			continue;
		pm_buf_str(&text, "left out: ");
		text_add_clean(&text, s->text);
		if (text.failed)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		if (fold_add(f, s->name, FOLD_SKIPPED, PM_OK, text.bytes, err) < 0)
			return -1;
	}
	return print_groups(f, out, err);
}

/* ---- batches, and what serves meanwhile ---- */

static int add_batches(const struct rollout_copy *c, struct pm_buf *out, struct pm_error *err)
{
	PM_FREE const char **names = pm_calloc(c->n_steps + 1, sizeof(*names));

	if (names == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (c->status->n_batches > BATCHES_SHOWN)
		return 0;
	for (uint32_t batch = 1; batch <= c->status->n_batches; batch++) {
		size_t n = 0;

		for (size_t i = 0; i < c->n_steps; i++)
			if (c->steps[i].msg->batch == batch)
				names[n++] = c->steps[i].msg->name;
		pm_buf_printf(out, "batch %u: %zu host%s  ", batch, n, n == 1 ? "" : "s");
		if (hostlist_fold(names, n, out, err) < 0)
			return -1;
		pm_buf_char(out, '\n');
	}
	return 0;
}

static int descending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* As many hosts as may be out at once, and those with the most instances. */
static int add_floor(const struct rollout_copy *c, const char *name, size_t n_out,
                     struct pm_buf *out, struct pm_error *err)
{
	PM_FREE uint32_t *running = pm_calloc(c->n_steps + 1, sizeof(*running));
	size_t n = 0, total = 0, least;

	if (running == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < c->n_steps; i++)
		for (size_t k = 0; k < c->steps[i].msg->n_apps; k++) {
			const Pm__StepApp *app = c->steps[i].msg->apps[k];

			if (strcmp(app->name, name) != 0)
				continue;
			total += app->n_running;
			if (c->steps[i].msg->batch > 0)
				running[n++] = app->n_running;
		}
	if (n > 0)
		qsort(running, n, sizeof(*running), descending);
	least = total;
	for (size_t i = 0; i < PM_MIN(n, n_out); i++)
		least -= running[i];
	if (total == 0)
		return 0;
	text_add_clean(out, name);
	pm_buf_printf(out, ": at least %zu of %zu instances serve at any time\n", least, total);
	return 0;
}

static size_t most_out(const struct rollout_copy *c)
{
	struct rollout_params p;
	struct pm_error err;
	size_t n = 0, most = 0;

	for (size_t i = 0; i < c->status->n_batches; i++) {
		n += c->status->batches[i];
		most = PM_MAX(most, (size_t)c->status->batches[i]);
	}
	rollout_params_default(&p);
	if (rollout_params_set(&p, "max_down", rollout_copy_option(c, "max_down"), &err) < 0)
		return most; /* of a coordinator that counts otherwise: the batches still hold */
	return PM_MIN(most, rollout_share_down(p.max_down, n, 1));
}

/* ---- all of it ---- */

static int add_hosts(const struct rollout_view *v, const struct rollout_copy *c, bool verbose,
                     struct pm_buf *out, struct pm_error *err)
{
	if (verbose || c->n_steps <= ROLLOUT_VIEW_EACH) {
		each_host(v, c, out);
	} else {
		for (size_t i = 0; i < c->status->n_apps; i++)
			if (fold_app(v, c, c->status->apps[i], out, err) < 0)
				return -1;
	}
	return left_out(c, out, err);
}

int rollout_plan_view(const struct rollout_view *v, const struct rollout_copy *c, bool verbose,
                      struct pm_buf *out, struct pm_error *err)
{
	const Pm__RolloutStatus *st = c->status;
	size_t n_out = most_out(c);

	rollout_view_header(v, c, out);
	if (add_hosts(v, c, verbose, out, err) < 0 || add_batches(c, out, err) < 0)
		return -1;
	pm_buf_printf(out, "at most %zu host%s at a time\n", n_out, n_out == 1 ? "" : "s");
	for (size_t i = 0; i < st->n_apps; i++)
		if (add_floor(c, st->apps[i], n_out, out, err) < 0)
			return -1;
	if (st->why[0] != '\0') {
		text_add_clean(out, st->why);
		pm_buf_char(out, '\n');
	}
	if (rollout_copy_exit_status(c) == 0)
		pm_buf_str(out, "nothing changes anywhere\n");
	pm_buf_str(out, "plan ");
	text_add_clean(out, st->id);
	pm_buf_str(out, ": pmctl --apply ");
	text_add_clean(out, st->id);
	pm_buf_str(out, " within 1h\n");
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}
