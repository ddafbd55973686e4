#include "cli/fleet_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fmt.h"
#include "cli/lists.h"
#include "proto/labels.h"

int fleet_show_open(struct ctx *ctx, struct pm_error *err)
{
	return ctx->fleet != NULL ? 0 : fleet_open(ctx, &ctx->fleet, err);
}

int fleet_show_list(struct ctx *ctx, const struct listing_columns *columns, const char *key,
                    const Pm__FleetRequest *request, fleet_reply_fn *fn, struct pm_error *err)
{
	struct listing_options options;
	PM_LISTING *l = NULL;

	if (lists_read(ctx, columns, &options, err) < 0 || listing_create(columns, &l, err) < 0 ||
	    fleet_show_open(ctx, err) < 0 ||
	    fleet_request(ctx, ctx->fleet, request, fn, l, err) < 0)
		return -1;
	return lists_print(ctx, l, &options, key, NULL, err);
}

void fleet_show_labels(Pm__Label *const *labels, size_t n, struct pm_buf *out)
{
	for (size_t i = 0; i < n; i++)
		pm_buf_printf(out, "%s%s=%s", i == 0 ? "" : ",", labels[i]->name, labels[i]->value);
}

void fleet_show_labels_json(struct json_out *j, const char *key, Pm__Label *const *labels, size_t n)
{
	json_key(j, key);
	json_begin_object(j);
	for (size_t i = 0; i < n; i++)
		json_kstr(j, labels[i]->name, labels[i]->value);
	json_end_object(j);
}

void fleet_show_when(int64_t wall_ms, struct pm_buf *out)
{
	int64_t now = pm_wall_ms(), away = wall_ms > now ? wall_ms - now : now - wall_ms;
	char text[FMT_MAX];

	if (wall_ms <= 0) {
		pm_buf_char(out, '-');
		return;
	}
	fmt_duration((uint64_t)away, text);
	pm_buf_printf(out, wall_ms > now ? "in %s" : "%s ago", text);
}

void fleet_show_when_cell(struct listing *l, int64_t wall_ms)
{
	PM_BUF text = { 0 };

	fleet_show_when(wall_ms, &text);
	listing_number(l, text.bytes == NULL ? "" : text.bytes, wall_ms, COLOR_NONE);
}

void fleet_show_labels_cell(struct listing *l, Pm__Label *const *labels, size_t n)
{
	PM_BUF text = { 0 };

	fleet_show_labels(labels, n, &text);
	listing_cell(l, text.bytes == NULL ? "" : text.bytes, COLOR_NONE);
}

/* ---- changes ---- */

struct change {
	char text[256];
	uint32_t n;
};

static int on_reply(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct change *c = arg;

	(void)err;
	if (reply->what_case != PM__FLEET_REPLY__WHAT_DONE)
		return 0;
	(void)snprintf(c->text, sizeof(c->text), "%.255s", reply->done->text);
	c->n = reply->done->n_changed;
	return 0;
}

int fleet_show_change(struct ctx *ctx, const Pm__FleetRequest *request, const char *done,
                      struct pm_error *err)
{
	struct change c = { 0 };
	PM_BUF out = { 0 };
	struct json_out j;

	if (fleet_request(ctx, ctx->fleet, request, on_reply, &c, err) < 0)
		return -1;
	if (!ctx->json) {
		if (c.text[0] != '\0')
			say(ctx, "%s", c.text);
		else
			say(ctx, "%u %s", c.n, done);
		return 0;
	}
	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kuint(&j, "changed", c.n);
	json_kstr(&j, "text", c.text);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

/* ---- labels from the command line ---- */

void label_list_finish(struct label_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		pm__label__free_unpacked(l->list[i], NULL);
	free(l->list);
	*l = (struct label_list){ 0 };
}

static int add_label(struct label_list *l, const char *key, size_t n_key, const char *value,
                     size_t n_value, struct pm_error *err)
{
	Pm__Label **grown = pm_realloc(l->list, (l->n + 1) * sizeof(*grown));
	Pm__Label *one = pm_calloc(1, sizeof(*one));

	if (grown != NULL)
		l->list = grown;
	if (one != NULL) {
		pm__label__init(one);
		one->name = pm_strndup(key, n_key);
		one->value = pm_strndup(value, n_value);
	}
	if (grown == NULL || one == NULL || one->name == NULL || one->value == NULL) {
		if (one != NULL) {
			free(one->name);
			free(one->value);
		}
		free(one);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	l->list[l->n++] = one;
	return 0;
}

int label_list_add(struct label_list *l, const char *text, bool remove, struct pm_error *err)
{
	for (const char *at = text; *at != '\0';) {
		size_t len = strcspn(at, ","), n_key = strcspn(at, "=,");
		const char *value = at + n_key + (at[n_key] == '=');
		size_t n_value = (size_t)(at + len - value);
		bool gone = remove && n_key == len && len > 1 && at[len - 1] == '-';

		n_key -= gone;
		if (gone)
			n_value = 0;
		if ((n_key == len && !gone) || (n_value == 0 && !gone) ||
		    !pm_label_key_ok(at, n_key) || !pm_label_value_ok(value, n_value)) {
			pm_fail(err, PM_USAGE, "'%.*s' is no label", (int)PM_MIN(len, 100u), at);
			pm_hint(err, remove ? "KEY=VALUE sets one, KEY- removes it" : "KEY=VALUE");
			return -1;
		}
		if (add_label(l, at, n_key, value, n_value, err) < 0)
			return -1;
		at += len + (at[len] == ',');
	}
	return 0;
}
