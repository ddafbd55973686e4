#include "cli/rollout_json.h"

#include <stdio.h>
#include <string.h>

#include "cli/fmt.h"

static void instant(struct json_out *j, const char *key, int64_t wall_ms)
{
	char text[FMT_MAX];

	if (wall_ms <= 0) {
		json_knull(j, key);
		return;
	}
	fmt_iso(wall_ms, text);
	json_kstr(j, key, text);
}

static void digest(struct json_out *j, const char *key, const ProtobufCBinaryData *hash)
{
	char text[2 * 16 + 1] = "";

	for (size_t i = 0; i < PM_MIN(hash->len, (size_t)16); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", hash->data[i]);
	if (hash->len == 0)
		json_knull(j, key);
	else
		json_kstr(j, key, text);
}

/* ---- the rollout itself ---- */

static void options(struct json_out *j, const Pm__RolloutStatus *st)
{
	json_key(j, "options");
	json_begin_object(j);
	for (size_t i = 0; i < st->n_options; i++)
		json_kstr(j, st->options[i]->name, st->options[i]->value);
	json_end_object(j);
}

static void strings(struct json_out *j, const char *key, char *const *list, size_t n)
{
	json_key(j, key);
	json_begin_array(j);
	for (size_t i = 0; i < n; i++)
		json_str(j, list[i]);
	json_end_array(j);
}

static void hold(struct json_out *j, const Pm__RolloutStatus *st)
{
	if (st->hold[0] == '\0')
		return;
	json_kstr(j, "hold", st->hold);
	if (st->hold_until_wall_ms > 0)
		instant(j, "hold_until", st->hold_until_wall_ms);
	json_kbool(j, "hold_for_operator", st->hold_until_wall_ms < 0);
}

static void counts(struct json_out *j, const Pm__RolloutStatus *st)
{
	json_key(j, "counts");
	json_begin_object(j);
	for (size_t i = 1; i < PM_MIN(st->n_counts, (size_t)ROLLOUT_STEP_STATES); i++)
		json_kuint(j, rollout_step_word((Pm__StepState)i), st->counts[i]);
	json_end_object(j);
}

static void members(struct json_out *j, const Pm__RolloutStatus *st)
{
	json_kstr(j, "id", st->id);
	json_kstr(j, "what", st->what);
	strings(j, "apps", st->apps, st->n_apps);
	json_kstr(j, "state", rollout_state_word(st->state));
	json_kbool(j, "undoing", st->undoing);
	json_kstr(j, "why", st->why);
	json_kstr(j, "by", st->by);
	json_kstr(j, "message", st->message);
	instant(j, "created", st->created_wall_ms);
	instant(j, "changed", st->changed_wall_ms);
	json_kuint(j, "batch", st->batch);
	json_key(j, "batches");
	json_begin_array(j);
	for (size_t i = 0; i < st->n_batches; i++)
		json_uint(j, st->batches[i]);
	json_end_array(j);
	json_kuint(j, "n_hosts", st->n_hosts);
	counts(j, st);
	hold(j, st);
	options(j, st);
	strings(j, "late", st->late, st->n_late);
	json_kstr(j, "catches", st->catches);
	instant(j, "catch_until", st->catch_until_wall_ms);
}

void rollout_json_status(struct json_out *j, const struct rollout_copy *c)
{
	json_begin_object(j);
	members(j, c->status);
	json_end_object(j);
}

/* ---- its parts ---- */

static void app_json(struct json_out *j, const Pm__StepApp *app)
{
	json_begin_object(j);
	json_kstr(j, "name", app->name);
	json_kstr(j, "version_from", app->version_from);
	json_kstr(j, "version_to", app->version_to);
	digest(j, "spec_from", &app->spec_from);
	digest(j, "spec_to", &app->spec_to);
	json_kuint(j, "running", app->n_running);
	json_kstr(j, "text", app->text);
	json_end_object(j);
}

static void step_head(struct json_out *j, const Pm__RolloutStep *s)
{
	json_kstr(j, "host", s->name);
	json_kstr(j, "id", s->agent);
	json_kuint(j, "batch", s->batch);
	json_kstr(j, "state", rollout_step_word(s->state));
	json_kstr(j, "code", pm_code_name(pm_code_from_wire(s->code)));
	json_kstr(j, "text", s->text);
	json_kstr(j, "caught_by", s->caught_by);
	json_kbool(j, "down", s->down);
}

static void step_json(struct json_out *j, const Pm__RolloutStep *s)
{
	json_begin_object(j);
	step_head(j, s);
	json_kbool(j, "waiting", s->waiting);
	instant(j, "sent", s->sent_wall_ms);
	instant(j, "done", s->done_wall_ms);
	if (s->group[0] != '\0')
		json_kstr(j, "wave", s->group);
	json_key(j, "apps");
	json_begin_array(j);
	for (size_t i = 0; i < s->n_apps; i++)
		app_json(j, s->apps[i]);
	json_end_array(j);
	if (s->log_tail.len > 0) {
		json_key(j, "log_tail");
		json_strn(j, (const char *)s->log_tail.data, s->log_tail.len);
	}
	json_end_object(j);
}

static void account(struct json_out *j, const struct rollout_copy *c, int status)
{
	struct rollout_account a = rollout_copy_account(c);

	json_key(j, "account");
	json_begin_object(j);
	json_kuint(j, "total", a.total);
	json_kuint(j, "new", a.fresh);
	json_kuint(j, "old", a.old);
	json_kuint(j, "down", a.down);
	json_kuint(j, "under_way", a.under_way);
	json_kuint(j, "skipped", a.skipped);
	json_end_object(j);
	if (status >= 0)
		json_kint(j, "exit", status);
}

void rollout_json_document(const struct rollout_copy *c, int status, struct pm_buf *out)
{
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "rollout");
	rollout_json_status(&j, c);
	json_key(&j, "hosts");
	json_begin_array(&j);
	for (size_t i = 0; i < c->n_steps; i++)
		step_json(&j, c->steps[i].msg);
	json_end_array(&j);
	json_key(&j, "story");
	json_begin_array(&j);
	for (size_t i = 0; i < c->n_story; i++) {
		json_begin_object(&j);
		instant(&j, "at", c->story[i]->wall_ms);
		json_kstr(&j, "who", c->story[i]->who);
		json_kstr(&j, "text", c->story[i]->text);
		json_end_object(&j);
	}
	json_end_array(&j);
	account(&j, c, status);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

/* ---- a line each ---- */

static void begin_line(struct json_out *j, const char *event, struct pm_buf *out)
{
	json_init(j, out);
	json_begin_object(j);
	json_kint(j, "schema", 1);
	json_kstr(j, "event", event);
}

static void end_line(struct json_out *j)
{
	json_end_object(j);
	pm_buf_char(j->buf, '\n');
}

void rollout_json_end(const struct rollout_copy *c, int status, struct pm_buf *out)
{
	struct json_out j;

	begin_line(&j, "end", out);
	json_key(&j, "rollout");
	rollout_json_status(&j, c);
	account(&j, c, status);
	end_line(&j);
}

void rollout_json_events(struct rollout_copy *c, struct rollout_json_news *news, struct pm_buf *out)
{
	const Pm__RolloutStatus *st = c->status;
	struct json_out j;

	for (size_t i = 0; i < c->n_steps; i++) {
		struct copy_step *s = &c->steps[i];

		if (s->told == s->msg->state)
			continue;
		s->told = s->msg->state;
		begin_line(&j, "host", out);
		json_kstr(&j, "rollout", st->id);
		step_head(&j, s->msg);
		end_line(&j);
	}
	if (news->begun && news->state == st->state && news->batch == st->batch &&
	    news->undoing == (bool)st->undoing &&
	    news->hold_until_wall_ms == st->hold_until_wall_ms)
		return;
	*news = (struct rollout_json_news){ true, st->undoing, st->state, st->batch,
		                            st->hold_until_wall_ms };
	begin_line(&j, "rollout", out);
	json_key(&j, "rollout");
	rollout_json_status(&j, c);
	end_line(&j);
}
