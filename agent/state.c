#include "agent/state.h"

#include <stdlib.h>
#include <string.h>

#include "agent/state_frame.h"
#include "proto/limits.h"

static const char magic[STATE_MAGIC_LEN + 1] = "PMSTATE\n";

/* What one SavedApp may unpack into: its spec, and instances up to the keeper's slots. */
#define APP_ARENA_MAX (2 * PM_ARENA_MAX)

void state_set_finish(struct state_set *set)
{
	for (size_t i = 0; i < set->n_apps; i++)
		pm__saved_app__free_unpacked(set->apps[i], NULL);
	free(set->apps);
	*set = (struct state_set){ 0 };
}

/* ---- to bytes ---- */

int state_encode(const Pm__SavedApp *const *apps, size_t n_apps, uint32_t next_id,
                 uint64_t generation, int64_t wall_ms, struct pm_buf *out, struct pm_error *err)
{
	Pm__SavedHeader header = PM__SAVED_HEADER__INIT;

	header.wall_ms = wall_ms;
	header.generation = generation;
	header.n_apps = (uint32_t)n_apps;
	header.next_id = next_id;
	if (!state_frame_begin(out, &header))
		return pm_fail(err, PM_LIMIT, "state header");
	for (size_t i = 0; i < n_apps && !out->failed; i++)
		if (!state_frame_add(out, &apps[i]->base))
			return pm_fail(err, PM_LIMIT, "state of %zu apps: over %u MiB", n_apps,
			               PM_STATE_MAX >> 20);
	if (out->failed)
		return pm_fail(err, PM_NO_MEMORY, "state of %zu apps", n_apps);
	state_frame_end(out, magic);
	return 0;
}

/* ---- from bytes ---- */

static bool spec_fits(const Pm__AppSpec *spec)
{
	return spec != NULL && spec->name[0] != '\0' && strlen(spec->name) <= PM_NAME_MAX &&
	       protobuf_c_message_get_packed_size(&spec->base) <= PM_SPEC_MAX;
}

/*
 * One app, on the heap. It is unpacked in the arena first, which bounds its memory and checks its
 * strings; only then again where each app can be freed by itself.
 * returns  1: *out is set; 0: not an app that this version can take; -1: err
 */
static int decode_app(struct pm_arena *arena, const uint8_t *bytes, size_t len, Pm__SavedApp **out,
                      struct pm_error *err)
{
	ProtobufCMessage *msg;
	const Pm__SavedApp *app;

	pm_arena_reset(arena);
	if (pm_decode_message(arena, &pm__saved_app__descriptor, bytes, len, APP_ARENA_MAX, &msg,
	                      err) < 0)
		return err->code == PM_NO_MEMORY ? -1 : 0;
	app = (const Pm__SavedApp *)msg;
	if (!spec_fits(app->spec) || (app->former != NULL && !spec_fits(app->former)) ||
	    app->n_instances > PM_SLOTS_MAX)
		return 0;
	*out = pm__saved_app__unpack(&state_heap, len, bytes);
	if (*out == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read an app of %zu bytes", len);
	return 1;
}

static int decode_body(struct pm_arena *arena, struct state_reader *r, struct state_set *set,
                       struct pm_error *err)
{
	const Pm__SavedHeader *header;
	const uint8_t *rec;
	uint32_t n_apps;
	size_t len;
	int rc;

	if (state_frame_header(r, arena, &header, err) < 0)
		return -1;
	set->generation = header->generation;
	set->next_id = header->next_id;
	n_apps = header->n_apps;
	set->apps = pm_calloc((size_t)n_apps + 1, sizeof(*set->apps));
	if (set->apps == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %u apps", n_apps);
	for (uint32_t i = 0; i < n_apps; i++) {
		if (!state_frame_next(r, &rec, &len))
			return pm_fail(err, PM_CORRUPT, "it ends in app %u of %u", i + 1, n_apps);
		rc = decode_app(arena, rec, len, &set->apps[set->n_apps], err);
		if (rc < 0)
			return -1;
		if (rc > 0)
			set->n_apps++;
		else
			set->n_bad++;
	}
	return 0;
}

int state_decode(const uint8_t *bytes, size_t len, struct state_set *out, struct pm_error *err)
{
	PM_CLEANUP(pm_arena_finish) struct pm_arena arena = { 0 };
	struct state_set set = { 0 };
	struct state_reader r;

	if (state_frame_open(bytes, len, magic, &r, err) < 0)
		return -1;
	if (decode_body(&arena, &r, &set, err) < 0) {
		state_set_finish(&set);
		return -1;
	}
	*out = set;
	return 0;
}
