/* api_stream.c - streams that a client opened: logs and process events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api_internal.h"
#include "agent/app.h"
#include "agent/events.h"
#include "agent/targets.h"
#include "proto/glob.h"
#include "proto/log.h"
#include "proto/paths.h"

/* One stream; the session's layer owns it until stream_closed(). */
struct stream {
	struct stream *next; /* in su->streams */
	struct super *su;
	struct session_stream *st;
	struct log_reader *reader; /* owned; NULL: none */
	bool follow, no_out, no_err, all;
	bool events;
	Pm__Target **targets; /* borrowed from `query` */
	size_t n_targets;
	Pm__LogQuery *query; /* owned copy */
	uint32_t next_source;
};

/* ---- sources ---- */

struct sources {
	struct log_reader_source *list; /* owned */
	struct log_names *names;        /* owned, one an instance */
	size_t n;
};

static void sources_finish(struct sources *s)
{
	free(s->list);
	free(s->names);
}

/* Whether a query without targets is about an app: of a remote viewer's they may be some. */
static bool is_of_query(const Pm__LogQuery *query, const struct instance *inst)
{
	return query->n_targets > 0 || query->apps[0] == '\0' ||
	       glob_match_any(query->apps, instance_app(inst)->spec->name);
}

/* Streams that share a file are one source. */
static bool has_path(const struct sources *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->list[i].path, path) == 0) {
			s->list[i].merged = true;
			return true;
		}
	return false;
}

static void add_source(struct stream *st, struct sources *s, const struct instance *inst, bool err,
                       const char *path)
{
	const Pm__AppSpec *spec = instance_spec(inst);

	if (has_path(s, path))
		return;
	s->list[s->n++] = (struct log_reader_source){
		.source = st->next_source++,
		.pm_id = instance_core(inst)->pm_id,
		.name = spec->name,
		.namespace_ = spec->namespace_,
		.path = path,
		.err = err,
		.json = spec->log_type == PM__LOG_TYPE__LOG_TYPE_JSON,
	};
}

static int make_sources(struct stream *st, struct instance *const *list, size_t n,
                        struct sources *out, struct pm_error *err)
{
	*out = (struct sources){
		.list = pm_calloc(2 * n + 1, sizeof(struct log_reader_source)),
		.names = pm_calloc(n + 1, sizeof(struct log_names)),
	};
	if (out->list == NULL || out->names == NULL) {
		sources_finish(out);
		return pm_fail(err, PM_NO_MEMORY, "read the logs");
	}
	for (size_t i = 0; i < n; i++) {
		if (instance_log_names(list[i], &out->names[i], err) < 0) {
			sources_finish(out);
			return -1;
		}
		if (!st->no_out)
			add_source(st, out, list[i], false, out->names[i].out);
		if (!st->no_err)
			add_source(st, out, list[i], true, out->names[i].err);
	}
	return 0;
}

static void add_agent_log(struct stream *st, struct sources *s, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/%s", st->su->home, pm_home_log_name(st->su->pm2_home));
	s->list[s->n++] = (struct log_reader_source){
		.source = st->next_source++,
		.name = "pmd",
		.namespace_ = "",
		.path = path,
		.agent = true,
	};
}

/* ---- the reader's hooks ---- */

static void stream_free(struct stream *st)
{
	struct stream **at = (struct stream **)(void *)&st->su->streams;

	while (*at != NULL && *at != st)
		at = &(*at)->next;
	if (*at != NULL)
		*at = st->next;
	if (st->reader != NULL)
		log_reader_close(st->reader);
	if (st->query != NULL)
		pm__log_query__free_unpacked(st->query, NULL);
	free(st);
}

static bool on_send(void *arg, const Pm__StreamData *data)
{
	struct stream *st = arg;

	return stream_send(st->st, data) != STREAM_BLOCKED;
}

static void on_end(void *arg, const struct pm_error *err)
{
	struct stream *st = arg;

	stream_close(st->st, err == NULL ? PM_OK : err->code, err == NULL ? "" : err->what);
	stream_free(st);
}

static int open_logs(struct stream *st, const Pm__LogQuery *query, struct pm_error *err)
{
	const struct log_reader_hooks hooks = { .arg = st, .send = on_send, .end = on_end };
	PM_FREE struct instance **list = NULL;
	struct sources sources;
	char agent_path[PM_PATH_MAX + 16];
	size_t n, kept = 0;
	int rc;

	st->follow = query->follow;
	st->no_out = query->no_out;
	st->no_err = query->no_err;
	if (targets_resolve(st->su, query->targets, query->n_targets, &list, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (is_of_query(query, list[i]))
			list[kept++] = list[i];
	if (make_sources(st, list, kept, &sources, err) < 0)
		return -1;
	if (query->agent_log)
		add_agent_log(st, &sources, agent_path, sizeof(agent_path));
	rc = log_reader_open(st->su->logs, query, sources.list, sources.n, &hooks, &st->reader,
	                     err);
	sources_finish(&sources);
	return rc;
}

/* Keep what the query said: later instances are compared with it. */
static Pm__LogQuery *copy_query(const Pm__LogQuery *query)
{
	size_t len = pm__log_query__get_packed_size(query);
	PM_FREE uint8_t *bytes = pm_calloc(len + 1, 1);

	if (bytes == NULL)
		return NULL;
	(void)pm__log_query__pack(query, bytes); /* the size was asked for */
	return pm__log_query__unpack(NULL, len, bytes);
}

int api_stream_open(void *arg, struct session_stream *handle, const Pm__StreamOpen *open,
                    struct pm_error *err)
{
	struct super *su = arg;
	struct stream *st = pm_calloc(1, sizeof(*st));

	if (st == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open a stream");
	st->su = su;
	st->st = handle;
	st->next_source = 1;
	st->next = su->streams;
	su->streams = st;
	stream_set_user(handle, st);
	if (open->what_case == PM__STREAM_OPEN__WHAT_EVENTS) {
		st->events = true;
		return 0;
	}
	if (open->what_case != PM__STREAM_OPEN__WHAT_LOGS) {
		stream_free(st);
		return pm_fail(err, PM_UNSUPPORTED, "no such stream");
	}
	st->query = copy_query(open->logs);
	if (st->query == NULL) {
		stream_free(st);
		return pm_fail(err, PM_NO_MEMORY, "open a stream");
	}
	st->targets = st->query->targets;
	st->n_targets = st->query->n_targets;
	if (open_logs(st, st->query, err) < 0) {
		stream_free(st);
		return -1;
	}
	return 0;
}

void api_stream_ready(void *arg, struct session_stream *handle)
{
	struct stream *st = stream_user(handle);

	(void)arg;
	if (st != NULL && st->reader != NULL)
		log_reader_go(st->reader);
}

void api_stream_closed(void *arg, struct session_stream *handle)
{
	struct stream *st = stream_user(handle);

	(void)arg;
	if (st != NULL)
		stream_free(st);
}

/* ---- events ---- */

static bool wants(struct stream *st, const struct instance *inst)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (st->query != NULL && !is_of_query(st->query, inst))
		return false;
	if (st->n_targets == 0)
		return true;
	if (targets_resolve(st->su, st->targets, st->n_targets, &list, &n, &err) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (list[i] == inst)
			return true;
	return false;
}

void events_started(struct super *su, const struct instance *inst)
{
	for (struct stream *st = su->streams; st != NULL; st = st->next) {
		struct instance *one = (struct instance *)(uintptr_t)inst;
		struct sources sources;
		struct pm_error err;

		if (st->reader == NULL || !st->follow || !wants(st, inst) ||
		    make_sources(st, &one, 1, &sources, &err) < 0)
			continue;
		for (size_t i = 0; i < sources.n; i++)
			if (log_reader_add(st->reader, &sources.list[i], &err) < 0)
				pm_log(PM_LOG_WARN, "logs.follow", "%s", err.what);
		sources_finish(&sources);
	}
}

void events_tell(struct super *su, const struct instance *inst, const char *event, bool manually)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__ProcessEvent msg = PM__PROCESS_EVENT__INIT;

	if (su->streams == NULL)
		return;
	msg.event = (char *)(uintptr_t)event;
	msg.pm_id = instance_core(inst)->pm_id;
	msg.name = instance_spec(inst)->name;
	msg.namespace_ = instance_spec(inst)->namespace_;
	msg.wall_ms = pm_wall_ms();
	msg.manually = manually;
	data.what_case = PM__STREAM_DATA__WHAT_EVENT;
	data.event = &msg;
	for (struct stream *st = su->streams; st != NULL; st = st->next)
		if ((st->events || (st->query != NULL && st->query->events && wants(st, inst))) &&
		    stream_send(st->st, &data) == STREAM_BLOCKED)
			continue; /* a slow viewer misses events; the status it asks for is whole */
}
