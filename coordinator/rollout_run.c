#include "coordinator/rollout_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/requests_priv.h"
#include "proto/codec.h"
#include "proto/log.h"

#define STORY_MAX   400   /* entries; of a longer one the middle is left out */
#define PAGE_BYTES  40000 /* of a reply, with room for what a status has beside its steps */
#define STORY_BYTES 200   /* of an entry */

/* ---- memory ---- */

struct run *run_new(void)
{
	struct run *run = pm_calloc(1, sizeof(*run));

	if (run == NULL)
		return NULL;
	run->rec = pm_calloc(1, sizeof(*run->rec));
	if (run->rec != NULL) {
		pm__rollout_record__init(run->rec);
		run->rec->status = pm_calloc(1, sizeof(*run->rec->status));
	}
	if (run->rec == NULL || run->rec->status == NULL) {
		run_free(run);
		return NULL;
	}
	pm__rollout_status__init(run->rec->status);
	return run;
}

static void free_steps(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		ask_forget(run->steps[i].ask);
		ask_forget(run->steps[i].check);
		if (run->steps[i].msg != NULL)
			pm__rollout_step__free_unpacked(run->steps[i].msg, NULL);
	}
	free(run->steps);
	free(run->machine_steps);
	run->steps = NULL;
	run->machine_steps = NULL;
	run->n = 0;
}

void run_free(struct run *run)
{
	if (run == NULL)
		return;
	free_steps(run);
	gates_cancel(run->gates);
	free(run->m.wave_ends);
	if (run->rec != NULL)
		pm__rollout_record__free_unpacked(run->rec, NULL);
	free(run);
}

void run_set_id(struct run *run, const struct store_id *id)
{
	run->id = *id;
	(void)snprintf(run->id_text, sizeof(run->id_text), "r-%02x%02x%02x%02x", id->bytes[0],
	               id->bytes[1], id->bytes[2], id->bytes[3]);
	run_text(&run->rec->status->id, run->id_text);
}

int run_set_steps(struct run *run, size_t n, struct pm_error *err)
{
	free_steps(run);
	run->steps = pm_calloc(n + 1, sizeof(*run->steps));
	run->machine_steps = pm_calloc(n + 1, sizeof(*run->machine_steps));
	if (run->steps == NULL || run->machine_steps == NULL)
		return pm_fail(err, PM_NO_MEMORY, "a rollout of %zu hosts", n);
	for (; run->n < n; run->n++) {
		struct run_step *s = &run->steps[run->n];

		s->run = run;
		s->msg = pm_calloc(1, sizeof(*s->msg));
		if (s->msg == NULL)
			return pm_fail(err, PM_NO_MEMORY, "a rollout of %zu hosts", n);
		pm__rollout_step__init(s->msg);
	}
	run->m.steps = run->machine_steps;
	run->m.n = n;
	return 0;
}

void run_text(char **field, const char *text)
{
	char *copy = *text == '\0' ? NULL : pm_strdup(text);

	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = copy != NULL ? copy : (char *)(uintptr_t)protobuf_c_empty_string;
}

void run_bytes(ProtobufCBinaryData *field, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = len == 0 ? NULL : pm_calloc(len, 1);

	if (copy != NULL)
		memcpy(copy, bytes, len);
	free(field->data);
	field->data = copy;
	field->len = copy != NULL ? len : 0;
}

/* ---- names ---- */

const char *run_state_name(enum rollout_state state)
{
	switch (state) {
	case ROLLOUT_IS_PLANNED:
		return "planned";
	case ROLLOUT_IS_WAITING_LOCK:
		return "waiting-lock";
	case ROLLOUT_IS_RUNNING:
		return "running";
	case ROLLOUT_IS_PAUSED:
		return "paused";
	case ROLLOUT_IS_SUCCEEDED:
		return "succeeded";
	case ROLLOUT_IS_FAILED:
		return "failed";
	case ROLLOUT_IS_UNDOING:
		return "undoing";
	case ROLLOUT_IS_UNDONE:
		return "undone";
	case ROLLOUT_IS_ABORTED:
		return "aborted";
	}
	return "?";
}

const char *run_step_name(enum step_state state)
{
	switch (state) {
	case STEP_IS_PENDING:
		return "pending";
	case STEP_IS_SENT:
		return "sent";
	case STEP_IS_ACCEPTED:
		return "accepted";
	case STEP_IS_HEALTHY:
		return "healthy";
	case STEP_IS_FAILED:
		return "failed";
	case STEP_IS_SKIPPED:
		return "skipped";
	case STEP_IS_UNKNOWN:
		return "unknown";
	}
	return "?";
}

/* ---- changes ---- */

bool run_is_over(const struct run *run)
{
	return rollout_is_over(run->m.state);
}

static uint64_t progress(struct run *run)
{
	run->rec->status->changed_wall_ms = pm_wall_ms();
	return ++run->rec->status->progress;
}

void run_tell(struct run *run, const char *who, const char *fmt, ...)
{
	Pm__RolloutStatus *st = run->rec->status;
	Pm__RolloutEvent *event = pm_calloc(1, sizeof(*event)), **list;
	char text[STORY_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut if longer */
	va_end(ap);
	pm_log(PM_LOG_INFO, "rollout", "%s who=\"%s\" %s", run->id_text, who, text);
	run->record_dirty = true;
	if (event == NULL)
		return;
	pm__rollout_event__init(event);
	event->progress = progress(run);
	event->wall_ms = pm_wall_ms();
	run_text(&event->who, who);
	run_text(&event->text, text);
	if (st->n_story >= STORY_MAX) { /* how it began and what is new stays */
		size_t at = STORY_MAX / 4;

		pm__rollout_event__free_unpacked(st->story[at], NULL);
		memmove(&st->story[at], &st->story[at + 1],
		        (st->n_story - at - 1) * sizeof(*st->story));
		st->story[st->n_story - 1] = event;
		run_text(&st->story[at]->text, "(what was here is left out)");
		return;
	}
	list = pm_calloc(st->n_story + 1, sizeof(*list));
	if (list == NULL) {
		pm__rollout_event__free_unpacked(event, NULL);
		return;
	}
	if (st->n_story > 0)
		memcpy(list, st->story, st->n_story * sizeof(*list));
	free(st->story);
	st->story = list;
	st->story[st->n_story++] = event;
}

/* For lists of those that are over, which are read without their steps. */
static void keep_counts(struct run *run)
{
	Pm__RolloutStatus *st = run->rec->status;
	struct rollout_count c;

	rollout_count(&run->m, &c);
	free(st->counts);
	st->n_counts = 0;
	st->n_hosts = (uint32_t)run->n;
	st->counts = pm_calloc(PM_COUNT(c.by_state), sizeof(*st->counts));
	for (size_t i = 0; st->counts != NULL && i < PM_COUNT(c.by_state); i++)
		st->counts[st->n_counts++] = (uint32_t)c.by_state[i];
}

void run_state(struct run *run, enum rollout_state state, const char *why, enum pm_code code)
{
	Pm__RolloutStatus *st = run->rec->status;

	run->m.state = state;
	st->state = (Pm__RolloutState)state;
	st->code = (uint32_t)code;
	run_text(&st->why, why);
	run_text(&st->hold, "");
	st->hold_until_wall_ms = 0;
	if (rollout_is_over(state))
		keep_counts(run);
	run->record_dirty = true;
	(void)progress(run);
}

void run_step_state(struct run_step *s, enum step_state state, const char *text, enum pm_code code,
                    int64_t now_ms)
{
	struct run *run = s->run;
	struct rollout_step *m = &run->machine_steps[s - run->steps];

	m->state = state;
	switch (state) {
	case STEP_IS_SENT:
		m->sent_ms = now_ms;
		m->asked_ms = m->done_ms = m->ended_ms = 0;
		break;
	case STEP_IS_ACCEPTED:
		m->done_ms = now_ms;
		m->ended_ms = 0;
		break;
	case STEP_IS_PENDING:
		m->ended_ms = 0;
		break;
	case STEP_IS_HEALTHY:
	case STEP_IS_FAILED:
	case STEP_IS_SKIPPED:
	case STEP_IS_UNKNOWN:
		if (m->done_ms == 0)
			m->done_ms = now_ms;
		if (m->ended_ms == 0)
			m->ended_ms = now_ms;
		break;
	}
	m->forgiven = false;
	s->msg->sent_wall_ms = m->sent_ms;
	s->msg->done_wall_ms = m->done_ms;
	s->msg->ended_wall_ms = m->ended_ms;
	s->msg->forgiven = false;
	s->msg->state = (Pm__StepState)state;
	s->msg->code = (uint32_t)code;
	run_text(&s->msg->text, text);
	s->msg->progress = progress(run);
	s->dirty = run->steps_dirty = true;
}

void run_forgive(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		struct rollout_step *m = &run->machine_steps[i];

		if ((m->state != STEP_IS_FAILED && m->state != STEP_IS_UNKNOWN) || m->forgiven)
			continue;
		run->steps[i].msg->forgiven = m->forgiven = true;
		run->steps[i].dirty = run->steps_dirty = true;
	}
}

/* ---- options ---- */

int run_take_options(struct rollout_params *p, Pm__RolloutOption *const *options, size_t n,
                     struct pm_error *err)
{
	for (size_t i = 0; i < n; i++)
		if (rollout_params_set(p, options[i]->name, options[i]->value, err) < 0)
			return -1;
	return 0;
}

static bool add_option(Pm__RolloutStatus *st, const char *name, const char *value)
{
	Pm__RolloutOption *o = pm_calloc(1, sizeof(*o));

	if (o == NULL)
		return false;
	pm__rollout_option__init(o);
	run_text(&o->name, name);
	run_text(&o->value, value);
	st->options[st->n_options++] = o;
	return true;
}

int run_put_options(struct run *run, const struct rollout_params *p, struct pm_error *err)
{
	Pm__RolloutStatus *st = run->rec->status;
	size_t n;
	const struct rollout_option *list = rollout_options(&n);
	char value[ROLLOUT_TEXT_MAX * 2];

	st->options = pm_calloc(n + 1, sizeof(Pm__RolloutOption *));
	if (st->options == NULL)
		return pm_fail(err, PM_NO_MEMORY, "a rollout's options");
	for (size_t i = 0; i < n; i++)
		if (rollout_params_text(p, i, value, sizeof(value)) &&
		    !add_option(st, list[i].name, value))
			return pm_fail(err, PM_NO_MEMORY, "a rollout's options");
	run->m.params = *p;
	return 0;
}

/* ---- the machine's view, and the record's ---- */

bool run_changes_spec(const Pm__StepApp *app)
{
	return app->spec_from.len != app->spec_to.len ||
	       (app->spec_to.len > 0 &&
	        memcmp(app->spec_from.data, app->spec_to.data, app->spec_to.len) != 0);
}

void run_to_machine(struct run *run)
{
	const Pm__RolloutRecord *rec = run->rec;
	struct rollout *m = &run->m;

	m->state = (enum rollout_state)rec->status->state;
	m->undoing = rec->status->undoing;
	m->n_batches = (uint32_t)rec->status->n_batches;
	m->promoted = rec->promoted;
	m->running_ms = rec->running_wall_ms;
	m->progress_ms = rec->progress_wall_ms;
	free(m->wave_ends);
	m->n_waves = 0;
	m->wave_ends = pm_calloc(rec->n_wave_ends + 1, sizeof(*m->wave_ends));
	for (size_t i = 0; m->wave_ends != NULL && i < rec->n_wave_ends; i++)
		m->wave_ends[m->n_waves++] = rec->wave_ends[i];
	m->can_undo = false;
	for (size_t i = 0; i < run->n; i++) {
		const Pm__RolloutStep *msg = run->steps[i].msg;
		struct rollout_step *step = &run->machine_steps[i];

		step->state = (enum step_state)msg->state;
		step->batch = msg->batch;
		step->sent_ms = msg->sent_wall_ms;
		step->done_ms = msg->done_wall_ms;
		step->ended_ms = msg->ended_wall_ms;
		step->forgiven = msg->forgiven;
		for (size_t k = 0; k < msg->n_apps; k++)
			m->can_undo |= msg->batch > 0 && run_changes_spec(msg->apps[k]);
	}
	m->can_undo = m->can_undo && !m->undoing;
}

void run_from_machine(struct run *run)
{
	Pm__RolloutRecord *rec = run->rec;
	const struct rollout *m = &run->m;

	if (rec->promoted == m->promoted && rec->running_wall_ms == m->running_ms &&
	    rec->progress_wall_ms == m->progress_ms)
		return;
	rec->promoted = m->promoted;
	rec->running_wall_ms = m->running_ms;
	rec->progress_wall_ms = m->progress_ms;
	run->record_dirty = true;
}

/* ---- the store ---- */

int run_load(struct run *run, const struct store_rollout *row, struct pm_error *err)
{
	Pm__RolloutRecord *rec = pm__rollout_record__unpack(NULL, row->plan_len, row->plan);

	if (rec == NULL || rec->status == NULL || rec->command == NULL || rec->actor == NULL ||
	    rec->status->n_apps == 0) {
		if (rec != NULL)
			pm__rollout_record__free_unpacked(rec, NULL);
		return pm_fail(err, PM_CORRUPT, "the record of a rollout cannot be read");
	}
	pm__rollout_record__free_unpacked(run->rec, NULL);
	run->rec = rec;
	run_set_id(run, &row->id);
	run->revision = row->revision;
	rollout_params_default(&run->m.params);
	return run_take_options(&run->m.params, rec->status->options, rec->status->n_options, err);
}

static int load_step(struct run *run, size_t at, const struct store_step *row, struct pm_error *err)
{
	struct run_step *s = &run->steps[at];
	Pm__RolloutStep *msg = pm__rollout_step__unpack(NULL, row->info_len, row->info);

	if (msg == NULL)
		return pm_fail(err, PM_CORRUPT, "a step of rollout %s cannot be read",
		               run->id_text);
	pm__rollout_step__free_unpacked(s->msg, NULL);
	s->msg = msg;
	s->agent = row->agent;
	s->token = row->token;
	s->committed = (enum step_state)msg->state;
	run->rec->status->progress = PM_MAX(run->rec->status->progress, msg->progress);
	return 0;
}

int run_load_steps(struct run *run, const struct store_step *rows, size_t n, struct pm_error *err)
{
	if (run_set_steps(run, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (load_step(run, i, &rows[i], err) < 0)
			return -1;
	run_to_machine(run);
	return 0;
}

static void *pack(const ProtobufCMessage *m, size_t *len)
{
	uint8_t *bytes;

	*len = protobuf_c_message_get_packed_size(m);
	bytes = pm_calloc(*len + 1, 1);
	if (bytes != NULL)
		(void)protobuf_c_message_pack(m, bytes);
	return bytes;
}

void run_packed_finish(struct run_packed *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->infos[i]);
	free(p->infos);
	free(p->steps);
	free(p->plan);
	*p = (struct run_packed){ .n = 0 };
}

/* Not while hosts may catch up: those that are closed are not read when we start. */
static bool rec_is_closed(const struct run *run)
{
	return run->rec->status->catch_until_wall_ms == 0;
}

int run_pack(struct run *run, struct run_packed *out, struct pm_error *err)
{
	struct store_put_rollout *put = &out->request.put_rollout;
	size_t len = 0;

	*out = (struct run_packed){ .request = { .op = STORE_PUT_ROLLOUT,
		                                 .now_ms = pm_wall_ms() } };
	out->steps = pm_calloc(run->n + 1, sizeof(*out->steps));
	out->infos = pm_calloc(run->n + 1, sizeof(*out->infos));
	if (run->record_dirty || run->revision == 0)
		out->plan = pack(&run->rec->base, &len);
	if (out->steps == NULL || out->infos == NULL ||
	    ((run->record_dirty || run->revision == 0) && out->plan == NULL))
		goto fail;
	put->rollout = (struct store_rollout){ .id = run->id,
		                               .app = run->rec->status->apps[0],
		                               .state = run_state_name(run->m.state),
		                               .ended = run_is_over(run) && rec_is_closed(run),
		                               .plan = out->plan,
		                               .plan_len = len,
		                               .revision = run->revision };
	for (size_t i = 0; i < run->n; i++) {
		struct run_step *s = &run->steps[i];
		struct store_step *row = &out->steps[out->n];

		if (!s->dirty)
			continue;
		*row = (struct store_step){ .agent = s->agent,
			                    .token = s->token,
			                    .batch = s->msg->batch,
			                    .state =
			                            run_step_name((enum step_state)s->msg->state) };
		out->infos[out->n] = pack(&s->msg->base, &row->info_len);
		row->info = out->infos[out->n];
		if (out->infos[out->n++] == NULL)
			goto fail;
		if (s->msg->state == PM__STEP_STATE__STEP_SENT && s->committed != STEP_IS_SENT) {
			put->n_locks = run->n_locks; /* intent: only with its locks */
			row->sent = true;
		}
	}
	put->steps = out->steps;
	put->n_steps = out->n;
	return 0;
fail:
	run_packed_finish(out);
	return pm_fail(err, PM_NO_MEMORY, "write down rollout %s", run->id_text);
}

/* ---- answers ---- */

static void count(const struct run *run, Pm__RolloutStatus *st, uint32_t *counts)
{
	struct rollout_count c;

	rollout_count(&run->m, &c);
	for (size_t i = 0; i < PM_COUNT(c.by_state); i++)
		counts[i] = (uint32_t)c.by_state[i];
	st->counts = counts;
	st->n_counts = PM_COUNT(c.by_state);
	st->n_out = (uint32_t)c.n_out;
	st->n_hosts = (uint32_t)run->n;
	st->batch = rollout_batch_now(&run->m);
}

/* The first app's facts are the step's own, for those who show one. */
static void show_step(const struct rollout_step *m, const Pm__RolloutStep *from,
                      Pm__RolloutStep *to)
{
	*to = *from;
	to->n_instances = 0;
	to->down = m->state == STEP_IS_UNKNOWN || (m->state == STEP_IS_FAILED && !m->serves);
	if (to->n_apps == 0)
		return;
	to->spec_from = to->apps[0]->spec_from;
	to->spec_to = to->apps[0]->spec_to;
	to->version_from = to->apps[0]->version_from;
	to->version_to = to->apps[0]->version_to;
	to->n_running = to->apps[0]->n_running;
}

void run_reply(struct run *run, struct pm_link *link, uint64_t re, bool steps, uint64_t after)
{
	const Pm__RolloutStatus *all = run->rec->status;
	Pm__RolloutStatus st = *all, *one = &st;
	Pm__RolloutList list = PM__ROLLOUT_LIST__INIT;
	Pm__FleetReply reply = PM__FLEET_REPLY__INIT;
	PM_FREE Pm__RolloutStep *shown = pm_calloc(run->n + 1, sizeof(*shown));
	PM_FREE Pm__RolloutStep **rows = pm_calloc(run->n + 1, sizeof(*rows));
	uint32_t counts[8];
	size_t at = 0, story_at = 0;

	if (shown == NULL || rows == NULL) {
		struct pm_error err;

		(void)pm_fail(&err, PM_NO_MEMORY, "show a rollout"); /* the reply */
		pm_link_reply_error(link, re, &err);
		return;
	}
	count(run, &st, counts);
	list.rollouts = &one;
	list.n_rollouts = 1;
	reply.what_case = PM__FLEET_REPLY__WHAT_ROLLOUTS;
	reply.rollouts = &list;
	do {
		size_t bytes = 0;

		st.steps = rows;
		st.n_steps = 0;
		while (story_at < all->n_story && all->story[story_at]->progress <= after)
			story_at++;
		st.story = all->story + story_at;
		st.n_story = 0;
		while (steps && story_at < all->n_story && bytes < PAGE_BYTES) {
			bytes += STORY_BYTES + 80;
			st.n_story++;
			story_at++;
		}
		for (; steps && at < run->n && bytes < PAGE_BYTES; at++) {
			if (run->steps[at].msg->progress <= after)
				continue;
			show_step(&run->machine_steps[at], run->steps[at].msg, &shown[at]);
			rows[st.n_steps++] = &shown[at];
			bytes += pm__rollout_step__get_packed_size(&shown[at]) + 4;
		}
		reply.more = steps && (at < run->n || story_at < all->n_story);
		requests_reply(link, re, &reply);
	} while (reply.more);
}
