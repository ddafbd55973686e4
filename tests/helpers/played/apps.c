#include "tests/helpers/played/apps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ops.h"

#define ROWS_MAX 256

static Pm__LifeState state_of(const char *word)
{
	if (strcmp(word, "online") == 0)
		return PM__LIFE_STATE__LIFE_ONLINE;
	if (strcmp(word, "errored") == 0)
		return PM__LIFE_STATE__LIFE_ERRORED;
	return PM__LIFE_STATE__LIFE_STOPPED;
}

void played_take_apps(struct played_apps *p, char *text)
{
	char *at, *save = NULL;
	uint32_t first = 0;

	p->n = 0;
	for (at = strtok_r(text, ",", &save); at != NULL && p->n < PLAYED_APPS_MAX;
	     at = strtok_r(NULL, ",", &save)) {
		struct played_app *app = &p->list[p->n++];
		char state[32] = "online";

		(void)sscanf(at, "%63[^:]:%u:%31[^:]:%31s", app->name, &app->n, app->version,
		             state);
		app->state = state_of(state);
		app->pid = 1000 + first;
		first += app->n;
	}
}

void played_push(struct played_apps *p, const Pm__SpecPush *push)
{
	if (p->n_staged == PLAYED_APPS_MAX || push->spec == NULL)
		return;
	(void)snprintf(p->staged[p->n_staged][0], 64, "%s", push->spec->name);
	(void)snprintf(p->staged[p->n_staged][1], 64, "%s", push->spec->version);
	p->n_staged++;
}

void played_turn(struct played_apps *p, uint64_t now_ms)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->list[i].crash_ms != 0 && p->list[i].crash_ms <= now_ms) {
			p->list[i].crash_ms = 0;
			p->list[i].pid += 100;
			p->revision++;
		}
}

uint32_t played_running(const struct played_apps *p)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < p->n; i++)
		n += p->list[i].state == PM__LIFE_STATE__LIFE_ONLINE ? p->list[i].n : 0;
	return n;
}

static bool is_meant(Pm__Target *const *targets, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(targets[i]->text, name) == 0 || strcmp(targets[i]->text, "all") == 0)
			return true;
	return n == 0;
}

/* ---- status ---- */

void played_status(struct played_apps *p, const Pm__StatusRequest *req, Pm__Envelope *env)
{
	static Pm__InstanceStatus list[ROWS_MAX], *pointers[ROWS_MAX];
	static Pm__AppSpec spec[PLAYED_APPS_MAX];
	static Pm__StatusList body;
	uint32_t id = 0;

	pm__status_list__init(&body);
	for (unsigned i = 0; i < p->n; i++) {
		struct played_app *app = &p->list[i];

		pm__app_spec__init(&spec[i]);
		spec[i].name = app->name;
		for (unsigned k = 0; k < app->n && body.n_instances < ROWS_MAX; k++, id++) {
			Pm__InstanceStatus *s = &list[body.n_instances];

			if (app->absent || !is_meant(req->targets, req->n_targets, app->name))
				continue;
			pm__instance_status__init(s);
			s->pm_id = id;
			s->name = app->name;
			s->version = app->version;
			s->state = app->state;
			s->pid = s->state == PM__LIFE_STATE__LIFE_ONLINE ? app->pid + k : 0;
			s->uptime_ms = 3600000;
			s->memory = 50u << 20;
			s->instance = k;
			s->spec = &spec[i];
			pointers[body.n_instances++] = s;
		}
	}
	body.instances = pointers;
	env->body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env->status_list = &body;
}

/* ---- commands ---- */

static char empty[] = "", no_such[] = "no such app", not_so[] = "it was changed meanwhile";

static struct played_app *find(struct played_apps *p, const char *name)
{
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->list[i].name, name) == 0)
			return &p->list[i];
	return NULL;
}

/* The version that an app is to have; NULL: it stays. */
static const char *wanted(const struct played_apps *p, const Pm__Command *cmd, const char *name)
{
	for (unsigned i = 0; cmd->use_staged && i < p->n_staged; i++)
		if (strcmp(p->staged[i][0], name) == 0)
			return p->staged[i][1];
	for (size_t i = 0; i < cmd->n_specs; i++)
		if (strcmp(cmd->specs[i]->name, name) == 0) {
			static char version[17];

			memset(version, 0, sizeof(version));
			memcpy(version, cmd->specs[i]->hash.data,
			       PM_MIN(cmd->specs[i]->hash.len, (size_t)16));
			return version;
		}
	return NULL;
}

static void digest(ProtobufCBinaryData *out, uint8_t buf[17], const char *version)
{
	memset(buf, 0, 17);
	(void)snprintf((char *)buf, 17, "%s", version);
	out->data = buf;
	out->len = 16;
}

static bool is_expected(struct played_apps *p, const Pm__SpecRef *ref)
{
	const struct played_app *app = find(p, ref->name);
	uint8_t buf[17];
	ProtobufCBinaryData is = { 0 };

	if (app == NULL || app->absent)
		return ref->hash.len == 0;
	digest(&is, buf, app->version);
	return ref->hash.len == is.len && memcmp(ref->hash.data, is.data, is.len) == 0;
}

struct rows {
	Pm__Outcome list[ROWS_MAX], *pointers[ROWS_MAX];
	uint8_t digests[ROWS_MAX][2][17];
	char versions[ROWS_MAX][2][32];
	size_t n;
};

static Pm__Outcome *add_row(struct rows *rows, const struct played_app *app, const char *from,
                            const char *to)
{
	Pm__Outcome *o = &rows->list[rows->n];

	pm__outcome__init(o);
	(void)snprintf(rows->versions[rows->n][0], 32, "%s", from);
	(void)snprintf(rows->versions[rows->n][1], 32, "%s", to);
	o->name = (char *)(uintptr_t)app->name;
	o->version_from = rows->versions[rows->n][0];
	o->version_to = rows->versions[rows->n][1];
	if (*from != '\0')
		digest(&o->spec_from, rows->digests[rows->n][0], from);
	if (*to != '\0')
		digest(&o->spec_to, rows->digests[rows->n][1], to);
	rows->pointers[rows->n++] = o;
	return o;
}

static void plan_app(struct rows *rows, struct played_app *app, const char *to)
{
	Pm__Outcome *o =
		add_row(rows, app, app->absent ? "" : app->version, to != NULL ? to : app->version);

	o->existed = !app->absent;
	o->n_running = app->state == PM__LIFE_STATE__LIFE_ONLINE ? app->n : 0;
	o->changes = true;
}

static void change_app(struct played_apps *p, struct rows *rows, struct played_app *app,
                       const char *to, bool failed, uint64_t now_ms)
{
	static char tail[] = "first line of its output\nand the last\n";
	static char never[] = "it did not get ready";
	char from[32], is[32];
	uint32_t first = 0;

	for (unsigned i = 0; &p->list[i] != app; i++)
		first += p->list[i].n;
	(void)snprintf(from, sizeof(from), "%s", app->version);
	if (to != NULL && !failed)
		(void)snprintf(app->version, sizeof(app->version), "%s", to);
	(void)snprintf(is, sizeof(is), "%s", app->version);
	if (!failed) {
		app->pid += 1000;
		app->state = PM__LIFE_STATE__LIFE_ONLINE;
		app->crash_ms = p->frail[0] != '\0' && strcmp(app->version, p->frail) == 0
		                        ? now_ms + p->frail_ms
		                        : 0;
	}
	for (unsigned k = 0; k < app->n && rows->n < ROWS_MAX; k++) {
		Pm__Outcome *o = add_row(rows, app, from, is);

		o->pm_id = first + k;
		o->has_id = true;
		o->pid = app->pid + k;
		o->state = app->state;
		if (failed && k == 0) {
			o->code = PM_FAILED;
			o->text = p->fail[0] != '\0' ? p->fail : never;
			o->log_tail.data = (uint8_t *)tail;
			o->log_tail.len = sizeof(tail) - 1;
		}
	}
}

/* Whether a token has been seen; if so, how that went. */
static bool was_done(const struct played_apps *p, const Pm__Command *cmd, bool *failed)
{
	for (unsigned i = 0; cmd->op_id.len == 16 && i < p->n_did; i++)
		if (memcmp(p->did[i].token, cmd->op_id.data, 16) == 0) {
			*failed = p->did[i].failed;
			return true;
		}
	return false;
}

static void tell(struct played_apps *p, const Pm__Command *cmd, const char *to, bool failed)
{
	if (cmd->op_id.len != 16)
		return;
	if (p->n_did < PLAYED_DID_MAX) {
		memcpy(p->did[p->n_did].token, cmd->op_id.data, 16);
		p->did[p->n_did++].failed = failed;
	}
	(void)printf("did %s %s %s ", p->host, pm_verb_name(cmd->verb), to == NULL ? "-" : to);
	for (size_t i = 0; i < 16; i++)
		(void)printf("%02x", cmd->op_id.data[i]);
	(void)printf("\n");
	(void)fflush(stdout);
}

/* What was staged and is not there yet. */
static void make_room(struct played_apps *p, const Pm__Command *cmd)
{
	for (unsigned i = 0; cmd->use_staged && i < p->n_staged && p->n < PLAYED_APPS_MAX; i++) {
		struct played_app *app = &p->list[p->n];

		if (find(p, p->staged[i][0]) != NULL)
			continue;
		*app = (struct played_app){ .n = 1, .pid = 1000 * (p->n + 1), .absent = true };
		(void)snprintf(app->name, sizeof(app->name), "%s", p->staged[i][0]);
		p->n++;
	}
}

static void apply(struct played_apps *p, const Pm__Command *cmd, uint64_t now_ms, struct rows *rows,
                  Pm__Result *body)
{
	bool failed = false, again = was_done(p, cmd, &failed);
	const char *first = NULL;

	for (unsigned i = 0; i < p->n; i++) {
		struct played_app *app = &p->list[i];
		const char *to = wanted(p, cmd, app->name);

		if (cmd->use_staged ? to == NULL
		                    : !is_meant(cmd->targets, cmd->n_targets, app->name))
			continue;
		if (app->absent && !cmd->use_staged)
			continue;
		if (cmd->dry_run) {
			plan_app(rows, app, to);
			continue;
		}
		if (!again)
			failed |= p->fail[0] != '\0' ||
			          (to != NULL && p->bad[0] != '\0' && strcmp(to, p->bad) == 0);
		if (first == NULL)
			first = to;
		if (again) /* as it is: what it came to is known */
			change_app(p, rows, app, NULL, true, now_ms);
		else
			change_app(p, rows, app, to, failed, now_ms);
		if (again && !failed)
			for (size_t k = 0; k < rows->n; k++)
				rows->list[k].code = PM_OK;
		app->absent = app->absent && failed;
		p->revision++;
	}
	if (rows->n == 0) {
		body->code = PM_NOT_FOUND;
		body->text = no_such;
	} else if (!cmd->dry_run) {
		body->code = failed ? PM_FAILED : PM_OK;
		if (!again)
			tell(p, cmd, first, failed);
	}
}

void played_command(struct played_apps *p, const Pm__Command *cmd, uint64_t now_ms,
                    Pm__Envelope *env)
{
	static struct rows rows;
	static Pm__Result body;
	bool failed;

	rows.n = 0;
	pm__result__init(&body);
	body.text = empty;
	for (size_t i = 0; !was_done(p, cmd, &failed) && i < cmd->n_expect; i++)
		if (!is_expected(p, cmd->expect[i])) {
			body.code = PM_LOCKED;
			body.text = not_so;
		}
	if (body.code == PM_OK) {
		make_room(p, cmd);
		apply(p, cmd, now_ms, &rows, &body);
	}
	p->n_staged = 0;
	body.outcomes = rows.pointers;
	body.n_outcomes = rows.n;
	env->body_case = PM__ENVELOPE__BODY_RESULT;
	env->result = &body;
}
