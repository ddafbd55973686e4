#include "agent/instance_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/liaison.h"
#include "agent/notify_socket.h"

/* ---- looking ---- */

const struct inst_core *instance_core(const struct instance *inst)
{
	return &inst->core;
}

const struct inst_record *instance_record(const struct instance *inst)
{
	return inst->record;
}

const Pm__AppSpec *instance_spec(const struct instance *inst)
{
	return app_spec_of(inst->app, inst->core.spec_no);
}

const struct spec_hash *instance_hash(const struct instance *inst)
{
	return spec_hash_is_known(&inst->core.spec_hash)
	               ? &inst->core.spec_hash
	               : app_hash_of(inst->app, inst->core.spec_no);
}

void instance_set_hash(struct instance *inst, const struct spec_hash *hash)
{
	inst->core.spec_hash = *hash;
	inst_commit(inst);
}

void instance_keep_spec(struct instance *inst)
{
	inst->core.spec_no = inst->app->spec_no;
	inst_commit(inst);
}

struct app *instance_app(const struct instance *inst)
{
	return inst->app;
}

struct super *instance_super(const struct instance *inst)
{
	return inst->su;
}

struct process *instance_process(const struct instance *inst)
{
	return inst->process;
}

uint32_t instance_index(const struct instance *inst)
{
	return inst->index;
}

uint32_t instance_log_id(const struct instance *inst)
{
	return inst->core.pm_id;
}

bool instance_is_online(const struct instance *inst)
{
	return inst->core.life.state == LIFE_UP;
}

void instance_set_awaits(struct instance *inst, enum cause cause)
{
	inst->core.awaits = cause;
	inst_commit(inst);
}

void instance_set_out(struct instance *inst)
{
	inst->out = true;
}

bool instance_is_out(struct instance *inst)
{
	const struct life *life = &inst->core.life;

	inst->out = inst->out && inst->core.role == ROLE_NORMAL &&
	            (inst->reload != NULL || (life_is_wanted(life) && life->state != LIFE_UP &&
	                                      life->state != LIFE_BACKOFF));
	return inst->out;
}

bool instance_is_replaced(const struct instance *inst)
{
	return inst->reload != NULL;
}

struct instance_usage *instance_usage(struct instance *inst)
{
	return &inst->usage;
}

int instance_log_names(const struct instance *inst, struct log_names *out, struct pm_error *err)
{
	return log_names_make(inst->su->home, instance_spec(inst), inst->core.pm_id, out, err);
}

static int build_procenv(const struct instance *inst, const struct user *user, int ipc_fd,
                         const struct procenv_worker *worker, bool secrets, struct procenv *out,
                         struct pm_error *err)
{
	struct log_names names;
	const struct procenv_facts facts = {
		.home = inst->su->home,
		.pm2_home = inst->su->pm2_home,
		.pm_id = inst->core.pm_id,
		.instance = inst->core.instance,
		.restarts = inst->core.restarts,
		.created_wall_ms = inst->core.created_wall_ms,
		.started_wall_ms = inst->core.started_wall_ms,
		.unique_id = inst->core.unique_id,
		.names = &names,
		.user = user,
		.ipc_fd = ipc_fd,
		.secrets = secrets,
		.worker = worker,
		.notify_socket = check_wants_notify(instance_spec(inst))
		                         ? notify_socket_name(inst->su)
		                         : NULL,
	};

	if (instance_log_names(inst, &names, err) < 0)
		return -1;
	return procenv_build(instance_spec(inst), &facts, out, err);
}

int instance_procenv(const struct instance *inst, const struct user *user, int ipc_fd,
                     const struct procenv_worker *worker, struct procenv *out, struct pm_error *err)
{
	return build_procenv(inst, user, ipc_fd, worker, true, out, err);
}

int instance_shown_env(const struct instance *inst, const struct user *user, struct procenv *out,
                       struct pm_error *err)
{
	return build_procenv(inst, user, -1, NULL, false, out, err);
}

static const struct {
	const char *name;
	int resource;
} resources[] = {
	{ "as", RLIMIT_AS },
	{ "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },
	{ "memlock", RLIMIT_MEMLOCK },
	{ "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC },
	{ "stack", RLIMIT_STACK },
	{ "msgqueue", RLIMIT_MSGQUEUE },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "rss", RLIMIT_RSS },
	{ "locks", RLIMIT_LOCKS },
	{ "nice", RLIMIT_NICE },
	{ "rtprio", RLIMIT_RTPRIO },
};

size_t instance_limits(const struct instance *inst, struct spawn_limit out[SPAWN_LIMITS_MAX])
{
	const Pm__AppSpec *spec = instance_spec(inst);
	size_t n = 0;

	for (size_t i = 0; i < spec->n_limits; i++)
		for (size_t k = 0; k < PM_COUNT(resources); k++)
			if (n < SPAWN_LIMITS_MAX &&
			    strcmp(spec->limits[i]->name, resources[k].name) == 0)
				out[n++] = (struct spawn_limit){ resources[k].resource,
					                         spec->limits[i]->soft,
					                         spec->limits[i]->hard };
	return n;
}

/* ---- the record ---- */

void inst_commit(struct instance *inst)
{
	inst_core_commit(inst->record, &inst->core);
	liaison_touch(inst->su);
}

/* Without memory there are no words; the code still says what kind of failure it was. */
static void set_words(char **words, const char *text)
{
	free(*words);
	*words = *text == '\0' ? NULL : pm_strdup(text);
}

void inst_note(struct instance *inst, const char *text)
{
	set_words(&inst->note, text);
}

void instance_remark(struct instance *inst, const char *words)
{
	inst_note(inst, words);
}

const char *instance_remarked(const struct instance *inst)
{
	return inst->note != NULL ? inst->note : "";
}

void inst_fail_words(struct instance *inst, enum pm_code code, const char *what, const char *hint)
{
	inst->why_code = code;
	set_words(&inst->why, what);
	set_words(&inst->hint, hint);
}

void inst_add_exit(struct instance *inst, const struct keeper_record *r, uint64_t run_ms)
{
	struct inst_exit *e = &inst->record->exits[inst->core.n_exits % PM_EXIT_HISTORY];

	*e = (struct inst_exit){
		.wall_ms = pm_wall_ms(),
		.run_ms = run_ms,
		.pid = inst->core.pid,
		.code = r->exit_code,
		.signal = r->exit_signal,
		.known = r->status_known != 0,
		.core = r->exit_core != 0,
		.cause = (uint8_t)(life_is_ending(&inst->core.life) ? inst->core.cause
		                                                    : CAUSE_CRASH),
	};
	inst->core.n_exits++;
}

void inst_make_unique_id(char out[40])
{
	uint8_t b[16] = { 0 };

	if (getrandom(b, sizeof(b), GRND_NONBLOCK) < 0)
		b[0] = 0; /* not a secret: a name for one run of one process */
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, 40,
	               "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
	               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	               b[13], b[14], b[15]);
}
