#include "agent/versions.h"

#include <stdlib.h>
#include <string.h>

#include "agent/state_frame.h"
#include "proto/utf8.h"

static const char magic[STATE_MAGIC_LEN + 1] = "PMSPECS\n";

/* ---- one ---- */

/* A character that does not fit whole is left out. */
static void cut(const char *text, char *out, size_t size)
{
	size_t len = pm_utf8_whole(text, PM_MIN(strlen(text), size - 1));

	memcpy(out, text, len);
	out[len] = '\0';
}

int version_make(const Pm__AppSpec *spec, const struct spec_hash *hash, const char *by,
                 const char *what, int64_t wall_ms, struct version *out, struct pm_error *err)
{
	Pm__SavedVersion v = PM__SAVED_VERSION__INIT;
	char who[PM_VERSION_BY_MAX], words[PM_VERSION_WHAT_MAX];
	struct spec_hash name = *hash;
	uint8_t *bytes;
	size_t len;

	cut(by, who, sizeof(who));
	cut(what, words, sizeof(words));
	v.hash.data = name.bytes;
	v.hash.len = SPEC_HASH_BYTES;
	v.wall_ms = wall_ms;
	v.by = who;
	v.what = words;
	v.spec = (Pm__AppSpec *)(uintptr_t)spec; /* packing does not write */
	len = pm__saved_version__get_packed_size(&v);
	if (len > PM_VERSION_MAX)
		return pm_fail(err, PM_LIMIT, "a version of %.100s: %zu bytes", spec->name, len);
	bytes = pm_calloc(1, len);
	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "keep a version of %.100s", spec->name);
	*out = (struct version){ *hash, bytes, pm__saved_version__pack(&v, bytes) };
	return 0;
}

void version_finish(struct version *v)
{
	free(v->bytes);
	*v = (struct version){ 0 };
}

static int copy(const struct version *from, struct version *to, struct pm_error *err)
{
	uint8_t *bytes = pm_calloc(1, from->len);

	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "keep a version");
	memcpy(bytes, from->bytes, from->len);
	*to = (struct version){ from->hash, bytes, from->len };
	return 0;
}

int version_unpack(const struct version *v, Pm__SavedVersion **out, struct pm_error *err)
{
	/* It was decoded before, within bounds. */
	Pm__SavedVersion *msg = pm__saved_version__unpack(&state_heap, v->len, v->bytes);

	if (msg == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a version");
	*out = msg;
	return 0;
}

/* ---- all of them ---- */

void versions_finish(struct versions *v)
{
	for (size_t i = 0; i < v->n; i++)
		version_finish(&v->list[i]);
	v->n = 0;
}

static size_t find(const struct versions *v, const struct spec_hash *hash)
{
	size_t at = 0;

	while (at < v->n && !spec_hash_equal(&v->list[at].hash, hash))
		at++;
	return at;
}

const struct version *versions_find(const struct versions *v, const struct spec_hash *hash)
{
	size_t at = find(v, hash);

	return at < v->n ? &v->list[at] : NULL;
}

int versions_add(struct versions *v, const struct version *one, bool keep, struct pm_error *err)
{
	size_t at = find(v, &one->hash);
	struct version added;

	if (at < v->n && (at == 0 || keep))
		return 0;
	if (copy(one, &added, err) < 0)
		return -1;
	if (at == PM_STORE_SPECS_KEPT)
		at--;
	if (at < v->n)
		version_finish(&v->list[at]);
	else
		v->n++;
	memmove(&v->list[1], &v->list[0], at * sizeof(v->list[0]));
	v->list[0] = added;
	return 0;
}

int versions_encode(const struct versions *v, struct pm_buf *out, struct pm_error *err)
{
	Pm__SavedHeader header = PM__SAVED_HEADER__INIT;
	bool fits;

	header.n_apps = (uint32_t)v->n;
	fits = state_frame_begin(out, &header);
	for (size_t i = 0; i < v->n && fits; i++)
		fits = state_frame_add_packed(out, v->list[i].bytes, v->list[i].len);
	if (out->failed)
		return pm_fail(err, PM_NO_MEMORY, "keep versions");
	if (!fits || out->len > PM_VERSIONS_FILE_MAX)
		return pm_fail(err, PM_LIMIT, "versions: over %u KiB", PM_VERSIONS_FILE_MAX >> 10);
	state_frame_end(out, magic);
	return 0;
}

/* returns  1: added behind the others; 0: not a version that this pmd can take; -1: err */
static int decode_one(struct versions *v, struct pm_arena *arena, const uint8_t *rec, size_t len,
                      struct pm_error *err)
{
	const Pm__SavedVersion *msg;
	ProtobufCMessage *decoded;
	struct version one = { .bytes = (uint8_t *)(uintptr_t)rec, .len = len };

	pm_arena_reset(arena);
	if (len > PM_VERSION_MAX || pm_decode_message(arena, &pm__saved_version__descriptor, rec,
	                                              len, 2 * PM_ARENA_MAX, &decoded, err) < 0)
		return len <= PM_VERSION_MAX && err->code == PM_NO_MEMORY ? -1 : 0;
	msg = (const Pm__SavedVersion *)decoded;
	if (msg->spec == NULL || msg->hash.len != SPEC_HASH_BYTES)
		return 0;
	memcpy(one.hash.bytes, msg->hash.data, SPEC_HASH_BYTES);
	if (versions_find(v, &one.hash) != NULL)
		return 0;
	if (copy(&one, &v->list[v->n], err) < 0)
		return -1;
	v->n++;
	return 1;
}

static int decode_all(struct versions *v, struct state_reader *r, struct pm_error *err)
{
	PM_CLEANUP(pm_arena_finish) struct pm_arena arena = { 0 };
	const Pm__SavedHeader *header;
	uint32_t n;

	if (state_frame_header(r, &arena, &header, err) < 0)
		return -1;
	n = header->n_apps;
	for (uint32_t i = 0; i < n && v->n < PM_STORE_SPECS_KEPT; i++) {
		const uint8_t *rec;
		size_t len;
		int rc;

		if (!state_frame_next(r, &rec, &len))
			return pm_fail(err, PM_CORRUPT, "it ends in version %u of %u", i + 1, n);
		rc = decode_one(v, &arena, rec, len, err);
		if (rc < 0)
			return -1;
		v->n_bad += rc == 0;
	}
	return 0;
}

int versions_decode(const uint8_t *bytes, size_t len, struct versions *out, struct pm_error *err)
{
	struct versions v = { .n = 0 };
	struct state_reader r;

	if (len > PM_VERSIONS_FILE_MAX)
		return pm_fail(err, PM_CORRUPT, "over %u KiB", PM_VERSIONS_FILE_MAX >> 10);
	if (state_frame_open(bytes, len, magic, &r, err) < 0)
		return -1;
	if (decode_all(&v, &r, err) < 0) {
		versions_finish(&v);
		return -1;
	}
	*out = v;
	return 0;
}
