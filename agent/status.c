#include "agent/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/liaison.h"
#include "agent/own_facts.h"
#include "agent/process.h"
#include "agent/sample.h"
#include "agent/spec_redact.h"
#include "agent/targets.h"
#include "proto/buf.h"
#include "proto/glob.h"
#include "proto/log.h"

/* A page is closed at this many bytes, well under a record, when the next instance may not fit. */
#define PAGE_BYTES 24576
/* And at so many instances. */
#define PER_PAGE 64

Pm__LifeState status_life(enum life_state state)
{
	switch (state) {
	case LIFE_DOWN:
		return PM__LIFE_STATE__LIFE_STOPPED;
	case LIFE_SPAWNING:
	case LIFE_UP_WAIT:
		return PM__LIFE_STATE__LIFE_LAUNCHING;
	case LIFE_UP:
		return PM__LIFE_STATE__LIFE_ONLINE;
	case LIFE_ABORTING:
	case LIFE_ENDING:
	case LIFE_KILLING:
		return PM__LIFE_STATE__LIFE_STOPPING;
	case LIFE_BACKOFF:
	case LIFE_HELD:
		return PM__LIFE_STATE__LIFE_WAITING;
	case LIFE_FAILED:
		return PM__LIFE_STATE__LIFE_ERRORED;
	}
	return PM__LIFE_STATE__LIFE_UNSPECIFIED;
}

/* One instance as a message, with what it borrows. */
struct view {
	Pm__InstanceStatus msg;
	char *names; /* owned: the paths of its files, one after another */
	char order[96], note[INSTANCE_NOTE_MAX];
	Pm__ExitRecord exits[PM_EXIT_HISTORY], *exit_list[PM_EXIT_HISTORY];
	Pm__EnvVar *env, **env_list; /* owned */
	struct procenv procenv;      /* owned */
	struct redacted_spec redacted;
	struct spec_hash hash;
};

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c has no const; packing does not write */
}

static void view_finish(struct view *v)
{
	free(v->names);
	free(v->env);
	free(v->env_list);
	procenv_finish(&v->procenv);
	redacted_spec_finish(&v->redacted);
}

static void view_exits(struct view *v, const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);
	uint32_t n = PM_MIN(core->n_exits, PM_EXIT_HISTORY);

	for (uint32_t i = 0; i < n; i++) {
		const struct inst_exit *e =
			&instance_record(inst)->exits[(core->n_exits - 1 - i) % PM_EXIT_HISTORY];
		Pm__ExitRecord *out = &v->exits[i];

		pm__exit_record__init(out);
		out->wall_ms = e->wall_ms;
		out->run_ms = e->run_ms;
		out->known = e->known;
		out->code = e->code;
		out->signal = e->signal;
		out->core = e->core;
		out->cause = text(cause_word((enum cause)e->cause));
		out->pid = (uint32_t)e->pid;
		v->exit_list[i] = out;
	}
	v->msg.exits = v->exit_list;
	v->msg.n_exits = n;
}

/* The environment that its process has, but for what env_files put there. */
static void view_env(struct view *v, const struct instance *inst)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	struct pm_error err;
	struct user user;

	if (user_lookup(spec->uid, spec->gid, &user, &err) < 0 ||
	    instance_shown_env(inst, &user, &v->procenv, &err) < 0)
		return;
	v->env = pm_calloc(v->procenv.n_envp + 1, sizeof(Pm__EnvVar));
	v->env_list = pm_calloc(v->procenv.n_envp + 1, sizeof(Pm__EnvVar *));
	if (v->env == NULL || v->env_list == NULL)
		return;
	for (size_t i = 0; i < v->procenv.n_envp; i++) {
		char *equals = strchr(v->procenv.envp[i], '=');

		*equals = '\0';
		pm__env_var__init(&v->env[i]);
		v->env[i].name = v->procenv.envp[i];
		v->env[i].value = equals + 1;
		v->env_list[i] = &v->env[i];
	}
	v->msg.process_env = v->env_list;
	v->msg.n_process_env = v->procenv.n_envp;
}

/* Names are up to 16 KiB while they are made, and short as a rule: kept in one block as long as
 * they are. */
static void view_names(struct view *v, const struct instance *inst)
{
	static struct log_names names; /* one thread, and used up before it is made anew */
	char *const from[] = { names.out, names.err, names.combined, names.pid };
	char **const to[] = { &v->msg.out_file, &v->msg.error_file, &v->msg.log_file,
		              &v->msg.pid_file };
	size_t len = 0, at = 0;
	struct pm_error err;

	if (instance_log_names(inst, &names, &err) < 0)
		return;
	for (size_t i = 0; i < PM_COUNT(from); i++)
		len += strlen(from[i]) + 1;
	v->names = pm_calloc(len, 1);
	for (size_t i = 0; i < PM_COUNT(from) && v->names != NULL; i++) {
		size_t one = strlen(from[i]) + 1;

		memcpy(v->names + at, from[i], one);
		*to[i] = v->names + at;
		at += one;
	}
}

static void view_full(struct view *v, struct instance *inst, bool environment)
{
	const struct process *p = instance_process(inst);

	view_names(v, inst);
	v->msg.unique_id = text(instance_core(inst)->unique_id);
	v->msg.spec = instance_app(inst)->spec;
	for (int i = 0; p != NULL && i < 2; i++)
		if (p->streams[i] != NULL) {
			struct log_counts counts = log_stream_counts(p->streams[i]);

			v->msg.dropped_lines += counts.dropped_lines;
			v->msg.dropped_bytes += counts.dropped_bytes;
		}
	v->msg.restart_delay_now_ms = instance_core(inst)->restart.prev_delay_ms;
	v->msg.n_processes = instance_usage(inst)->n_processes;
	view_exits(v, inst);
	if (environment)
		view_env(v, inst);
	if (instance_core(inst)->order[0] != '\0') {
		char by[64];

		user_name(instance_core(inst)->order_uid, by, sizeof(by));
		(void)snprintf(v->order, sizeof(v->order), "%s by %.40s",
		               instance_core(inst)->order, by);
		v->msg.last_order = v->order;
	}
}

static void view_last_exit(struct view *v, const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);
	const struct inst_exit *e;

	if (core->n_exits == 0)
		return;
	e = &instance_record(inst)->exits[(core->n_exits - 1) % PM_EXIT_HISTORY];
	v->msg.exit_known = e->known;
	v->msg.exit_code = e->code;
	v->msg.exit_signal = e->signal;
}

static Pm__Health health_of(const struct instance *inst, enum check_role role)
{
	static const Pm__Health words[] = { [HEALTH_UNKNOWN] = PM__HEALTH__HEALTH_UNKNOWN,
		                            [HEALTH_OK] = PM__HEALTH__HEALTH_OK,
		                            [HEALTH_FAILING] = PM__HEALTH__HEALTH_FAILING };
	enum health_state state;

	return instance_health(inst, role, &state) ? words[state] : PM__HEALTH__HEALTH_UNSPECIFIED;
}

static void view_make(struct view *v, struct instance *inst, bool full, bool environment)
{
	const struct inst_core *core = instance_core(inst);
	const Pm__AppSpec *spec = instance_spec(inst);
	Pm__InstanceStatus *m = &v->msg;
	uint64_t now = pm_now_ms();

	memset(v, 0, sizeof(*v));
	v->hash = *instance_hash(inst);
	pm__instance_status__init(m);
	m->pm_id = core->pm_id;
	m->name = spec->name;
	m->namespace_ = spec->namespace_;
	m->state = status_life(core->life.state);
	m->pid = core->heirs != 0 ? 0 : (uint32_t)core->pid; /* the main process has gone */
	m->exec_mode = spec->exec_mode;
	m->started_wall_ms = core->started_wall_ms;
	m->created_wall_ms = core->created_wall_ms;
	m->restarts = core->restarts;
	m->unstable_restarts = core->restart.short_runs;
	m->watching = core->watching;
	m->version = spec->version;
	m->instance = core->instance;
	m->spec_hash.len = SPEC_HASH_BYTES;
	m->spec_hash.data = v->hash.bytes;
	m->note = text(instance_note(inst, v->note));
	m->ready = health_of(inst, CHECK_READY);
	m->live = health_of(inst, CHECK_LIVE);
	if (m->state == PM__LIFE_STATE__LIFE_ONLINE || m->state == PM__LIFE_STATE__LIFE_LAUNCHING)
		m->uptime_ms = now - PM_MIN(now, core->started_ms);
	if (m->state == PM__LIFE_STATE__LIFE_ONLINE) {
		m->memory = instance_usage(inst)->memory_bytes;
		m->cpu_permille = instance_usage(inst)->cpu_permille;
	}
	if (m->state == PM__LIFE_STATE__LIFE_WAITING && core->deadline_ms > now)
		m->next_start_ms = core->deadline_ms - now;
	if (*spec->uid != '\0')
		m->user = spec->uid;
	else if (*spec->username != '\0')
		m->user = spec->username;
	view_last_exit(v, inst);
	if (full)
		view_full(v, inst, environment);
}

/* ---- pages ---- */

struct listing {
	struct super *su;
	uint32_t *ids; /* owned; looked up again for each page: an instance may have gone */
	size_t n, at;
	bool full, environment, first;
	bool redact; /* no value of an environment goes out */
};

static void agent_message(struct super *su, Pm__AgentStatus *a)
{
	size_t n = 0;

	pm__agent_status__init(a);
	a->version = text(PM_VERSION);
	a->keeper_pid = (uint32_t)su->welcome.pid;
	a->supervisor_pid = (uint32_t)getpid();
	a->started_wall_ms = pm_wall_ms() - ((int64_t)pm_now_ms() - su->welcome.spawn_boot_ms);
	a->supervisor_restarts = su->welcome.restarts;
	a->upgrade = su->upgrade_note;
	a->uplink = liaison_state(su);
	for (size_t i = 0; i < DEGRADED_MAX; i++)
		n += su->degraded[i] != NULL;
	a->degraded = pm_calloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < DEGRADED_MAX && a->degraded != NULL; i++)
		if (su->degraded[i] != NULL)
			a->degraded[a->n_degraded++] = su->degraded[i];
}

static struct instance *next_instance(struct listing *l)
{
	while (l->at < l->n) {
		struct instance *inst = super_find_id(l->su, l->ids[l->at++]);

		if (inst != NULL)
			return inst;
	}
	return NULL;
}

/* How much of an instance is left out, when it alone is over a record. */
enum leave_out {
	LEAVE_NOTHING,
	LEAVE_ENVIRONMENT,
	LEAVE_SPEC
};

/* Append one instance as a field of a message holds it: its length, then its bytes. */
static bool pack_instance(struct pm_buf *out, const struct listing *l, struct instance *inst,
                          enum leave_out leave)
{
	uint8_t head[10], *at;
	struct view v;
	size_t len, n = 0;

	view_make(&v, inst, l->full, l->environment && leave == LEAVE_NOTHING);
	if (leave == LEAVE_SPEC)
		v.msg.spec = NULL;
	if (l->redact && v.msg.spec != NULL)
		v.msg.spec = redacted_spec_make(&v.redacted, v.msg.spec) ? &v.redacted.spec : NULL;
	len = pm__instance_status__get_packed_size(&v.msg);
	for (size_t rest = len; n == 0 || rest != 0; rest >>= 7)
		head[n++] = (uint8_t)(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0);
	pm_buf_add(out, head, n);
	at = pm_buf_extend(out, len);
	if (at != NULL)
		(void)pm__instance_status__pack(&v.msg, at); /* returns len again */
	view_finish(&v);
	return at != NULL;
}

/*
 * One page: as many instances as fit. Each is packed once, as what protobuf-c takes for a field
 * that it does not know and copies as it is: packing a message within a message within a message
 * asks each for its size again at every level, and a thousand instances are a list.
 */
struct page {
	struct pm_buf bytes;
	size_t starts[PER_PAGE + 1];
	struct instance *instances[PER_PAGE];
	size_t n;
};

static bool fill_page(struct page *p, struct listing *l)
{
	while (p->n < PER_PAGE && p->bytes.len < PAGE_BYTES) {
		struct instance *inst = next_instance(l);

		if (inst == NULL)
			break;
		if (!pack_instance(&p->bytes, l, inst, LEAVE_NOTHING))
			return false;
		if (p->bytes.len > PM_RECORD_MAX - 2048 && p->n > 0) {
			p->bytes.len = p->starts[p->n];
			l->at--; /* the next page's */
			break;
		}
		p->instances[p->n++] = inst;
		p->starts[p->n] = p->bytes.len;
	}
	return true;
}

/* Returns whether it fitted a record. */
static bool try_page(const struct page *p, struct session *s, uint64_t re, Pm__StatusList *list)
{
	static const uint32_t instances = 1; /* StatusList.instances in pm.proto */
	ProtobufCMessageUnknownField fields[PER_PAGE];
	Pm__Envelope env = PM__ENVELOPE__INIT;

	for (size_t i = 0; i < p->n; i++)
		fields[i] = (ProtobufCMessageUnknownField){
			.tag = instances,
			.wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
			.len = p->starts[i + 1] - p->starts[i],
			.data = (uint8_t *)p->bytes.bytes + p->starts[i],
		};
	list->base.n_unknown_fields = (unsigned)p->n;
	list->base.unknown_fields = fields;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env.status_list = list;
	return session_send(s, &env);
}

static bool send_page(void *arg, struct session *s, uint64_t re)
{
	struct listing *l = arg;
	Pm__StatusList list = PM__STATUS_LIST__INIT;
	struct page page = { .n = 0 };
	enum leave_out leave = LEAVE_NOTHING;
	Pm__AgentStatus agent;
	struct pm_error err;
	bool fits;

	if (!fill_page(&page, l)) {
		pm_buf_finish(&page.bytes);
		(void)pm_fail(&err, PM_NO_MEMORY, "list the instances"); /* the reply says it */
		session_reply_error(s, re, &err);
		return false;
	}
	agent_message(l->su, &agent);
	if (l->first)
		list.agent = &agent;
	l->first = false;
	for (;;) {
		list.more = l->at < l->n;
		fits = try_page(&page, s, re, &list);
		if (fits || page.n == 0 || (page.n == 1 && leave == LEAVE_SPEC))
			break;
		if (page.n > 1) {
			page.n--;
			l->at--;
			continue;
		}
		leave++;
		page.bytes.len = 0;
		if (!pack_instance(&page.bytes, l, page.instances[0], leave))
			break;
		page.starts[1] = page.bytes.len;
	}
	pm_buf_finish(&page.bytes);
	free(agent.degraded);
	return list.more;
}

static void listing_free(void *arg)
{
	struct listing *l = arg;

	free(l->ids);
	free(l);
}

void status_answer(struct super *su, struct session *s, uint64_t id, const Pm__StatusRequest *req)
{
	const char *narrow = req->n_targets == 0 ? req->apps : "";
	struct listing *l = pm_calloc(1, sizeof(*l));
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (targets_resolve(su, req->targets, req->n_targets, &list, &n, &err) < 0) {
		free(l);
		session_reply_error(s, id, &err);
		return;
	}
	if (req->sample)
		sample_now(su->sampler);
	if (l != NULL)
		l->ids = pm_calloc(n + 1, sizeof(uint32_t));
	if (l == NULL || l->ids == NULL) {
		free(l);
		(void)pm_fail(&err, PM_NO_MEMORY, "list the instances"); /* the reply says it */
		session_reply_error(s, id, &err);
		return;
	}
	l->su = su;
	l->full = req->detail == PM__DETAIL__DETAIL_FULL;
	l->environment = req->environment;
	/* Who may see the values asks for the environment itself, and was let through. */
	l->redact = session_is_remote(s) && !req->environment;
	l->first = *narrow == '\0';
	for (size_t i = 0; i < n; i++)
		if (*narrow == '\0' || glob_match_any(narrow, instance_app(list[i])->spec->name))
			l->ids[l->n++] = instance_core(list[i])->pm_id;
	session_reply_pages(s, id, send_page, listing_free, l);
}

void status_answer_agent(struct super *su, struct session *s, uint64_t id)
{
	struct own_facts facts;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusList list = PM__STATUS_LIST__INIT;
	Pm__AgentStatus agent;

	agent_message(su, &agent);
	if (!session_is_remote(s)) { /* paths of this machine are nobody else's business */
		own_facts_look(su, &facts);
		agent.facts = &facts.msg;
	}
	list.agent = &agent;
	env.re = id;
	env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env.status_list = &list;
	if (!session_send(s, &env))
		pm_log(PM_LOG_ERROR, "status", "the agent's own status does not fit a record");
	free(agent.degraded);
}
