#include "agent/state.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/codec.h"
#include "proto/limits.h"

/*
 * The frame, numbers big-endian:
 *   0  magic         8
 *   8  major         4
 *  12  minor         4
 *  16  body length   8
 *  24  checksum     32   BLAKE2b-256 of bytes 0-23 and the body
 *  56  body              records: 4-byte length, packed message
 * The checksum covers the version, so that a flipped bit there is damage, not "a newer pmd".
 */
#define MAGIC        "PMSTATE\n"
#define MAGIC_LEN    8
#define CHECKED_LEN  24
#define CHECKSUM_LEN 32
#define FRAME_LEN    (CHECKED_LEN + CHECKSUM_LEN)

/* What one SavedApp may unpack into: its spec, and instances up to the keeper's slots. */
#define APP_ARENA_MAX (2 * PM_ARENA_MAX)

static void put_be(uint8_t *to, uint64_t value, int n)
{
	for (int i = n - 1; i >= 0; i--, value >>= 8)
		to[i] = (uint8_t)value;
}

static uint64_t get_be(const uint8_t *from, int n)
{
	uint64_t value = 0;

	for (int i = 0; i < n; i++)
		value = value << 8 | from[i];
	return value;
}

static void checksum(const uint8_t *frame, const uint8_t *body, size_t len, uint8_t *out)
{
	crypto_generichash_state hash;

	/* These return errors only for lengths out of range, and ours are constants. */
	(void)crypto_generichash_init(&hash, NULL, 0, CHECKSUM_LEN);
	(void)crypto_generichash_update(&hash, frame, CHECKED_LEN);
	(void)crypto_generichash_update(&hash, body, len);
	(void)crypto_generichash_final(&hash, out, CHECKSUM_LEN);
}

void state_set_finish(struct state_set *set)
{
	for (size_t i = 0; i < set->n_apps; i++)
		pm__saved_app__free_unpacked(set->apps[i], NULL);
	free(set->apps);
	*set = (struct state_set){ 0 };
}

/* ---- to bytes ---- */

/* A pm_buf as protobuf-c's buffer: messages are packed straight into it. */
struct sink {
	ProtobufCBuffer base; /* first: protobuf-c hands it back to append() */
	struct pm_buf *out;   /* borrowed */
};

static void append(ProtobufCBuffer *base, size_t len, const uint8_t *bytes)
{
	pm_buf_add(((struct sink *)base)->out, bytes, len);
}

/* false: the file would be too large. */
static bool add_record(struct pm_buf *out, const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	struct sink sink = { { append }, out };
	uint8_t prefix[4];

	if (len > PM_STATE_MAX - sizeof(prefix) || out->len > PM_STATE_MAX - sizeof(prefix) - len)
		return false;
	put_be(prefix, len, 4);
	pm_buf_add(out, prefix, sizeof(prefix));
	(void)protobuf_c_message_pack_to_buffer(msg, &sink.base);
	return true;
}

int state_encode(const Pm__SavedApp *const *apps, size_t n_apps, uint32_t next_id,
                 uint64_t generation, int64_t wall_ms, struct pm_buf *out, struct pm_error *err)
{
	static const uint8_t blank[FRAME_LEN];
	char writer[] = "pmd " PM_VERSION;
	Pm__SavedHeader header = PM__SAVED_HEADER__INIT;
	uint8_t *frame;

	header.major = STATE_MAJOR;
	header.minor = STATE_MINOR;
	header.writer = writer;
	header.wall_ms = wall_ms;
	header.generation = generation;
	header.n_apps = (uint32_t)n_apps;
	header.next_id = next_id;
	pm_buf_reset(out);
	pm_buf_add(out, blank, sizeof(blank));
	if (!add_record(out, &header.base))
		return pm_fail(err, PM_LIMIT, "state header");
	for (size_t i = 0; i < n_apps && !out->failed; i++)
		if (!add_record(out, &apps[i]->base))
			return pm_fail(err, PM_LIMIT, "state of %zu apps: over %u MiB", n_apps,
			               PM_STATE_MAX >> 20);
	if (out->failed)
		return pm_fail(err, PM_NO_MEMORY, "state of %zu apps", n_apps);
	frame = (uint8_t *)out->bytes;
	memcpy(frame, MAGIC, MAGIC_LEN);
	put_be(frame + 8, STATE_MAJOR, 4);
	put_be(frame + 12, STATE_MINOR, 4);
	put_be(frame + 16, out->len - FRAME_LEN, 8);
	checksum(frame, frame + FRAME_LEN, out->len - FRAME_LEN, frame + CHECKED_LEN);
	return 0;
}

/* ---- from bytes ---- */

static int check_frame(const uint8_t *bytes, size_t len, struct pm_error *err)
{
	uint8_t sum[CHECKSUM_LEN];

	if (len < FRAME_LEN)
		return pm_fail(err, PM_CORRUPT, "only %zu bytes long", len);
	if (len > PM_STATE_MAX)
		return pm_fail(err, PM_CORRUPT, "over %u MiB", PM_STATE_MAX >> 20);
	if (memcmp(bytes, MAGIC, MAGIC_LEN) != 0)
		return pm_fail(err, PM_CORRUPT, "not a state file");
	if (get_be(bytes + 16, 8) != len - FRAME_LEN)
		return pm_fail(err, PM_CORRUPT, "%zu bytes long, should be %llu", len,
		               (unsigned long long)get_be(bytes + 16, 8) + FRAME_LEN);
	checksum(bytes, bytes + FRAME_LEN, len - FRAME_LEN, sum);
	if (memcmp(sum, bytes + CHECKED_LEN, CHECKSUM_LEN) != 0)
		return pm_fail(err, PM_CORRUPT, "its checksum is wrong");
	if (get_be(bytes + 8, 4) > STATE_MAJOR) {
		(void)pm_fail(err, PM_UNSUPPORTED,
		              "written by a newer version (format %u, this one knows %u)",
		              (unsigned)get_be(bytes + 8, 4), STATE_MAJOR);
		pm_hint(err, "run the newer pmd, or move the file away");
		return -1;
	}
	return 0;
}

/* Take the next record off the body; false when what is left holds none. */
static bool next_record(const uint8_t **at, size_t *left, const uint8_t **rec, size_t *len)
{
	if (*left < 4)
		return false;
	*len = get_be(*at, 4);
	if (*len > *left - 4)
		return false;
	*rec = *at + 4;
	*at += 4 + *len;
	*left -= 4 + *len;
	return true;
}

static int decode_header(struct pm_arena *arena, const uint8_t *bytes, size_t len,
                         struct state_set *set, uint32_t *n_apps, struct pm_error *err)
{
	ProtobufCMessage *msg;
	const Pm__SavedHeader *header;

	if (pm_decode_message(arena, &pm__saved_header__descriptor, bytes, len, PM_ARENA_MAX, &msg,
	                      err) < 0)
		return -1;
	header = (const Pm__SavedHeader *)msg;
	set->generation = header->generation;
	set->next_id = header->next_id;
	*n_apps = header->n_apps;
	return 0;
}

static void *heap_alloc(void *data, size_t size)
{
	(void)data;
	return pm_calloc(1, size);
}

static void heap_free(void *data, void *p)
{
	(void)data;
	free(p);
}

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
	ProtobufCAllocator heap = { heap_alloc, heap_free, NULL };
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
	*out = pm__saved_app__unpack(&heap, len, bytes);
	if (*out == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read an app of %zu bytes", len);
	return 1;
}

static int decode_body(struct pm_arena *arena, const uint8_t *at, size_t left,
                       struct state_set *set, struct pm_error *err)
{
	const uint8_t *rec;
	uint32_t n_apps = 0;
	size_t len;
	int rc;

	if (!next_record(&at, &left, &rec, &len))
		return pm_fail(err, PM_CORRUPT, "it has no header");
	if (decode_header(arena, rec, len, set, &n_apps, err) < 0)
		return err->code == PM_NO_MEMORY
		               ? -1
		               : pm_fail(err, PM_CORRUPT, "its header cannot be read");
	if (n_apps > left / 4)
		return pm_fail(err, PM_CORRUPT, "%u apps in %zu bytes", n_apps, left);
	set->apps = pm_calloc((size_t)n_apps + 1, sizeof(*set->apps));
	if (set->apps == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %u apps", n_apps);
	for (uint32_t i = 0; i < n_apps; i++) {
		if (!next_record(&at, &left, &rec, &len))
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

	if (check_frame(bytes, len, err) < 0)
		return -1;
	if (decode_body(&arena, bytes + FRAME_LEN, len - FRAME_LEN, &set, err) < 0) {
		state_set_finish(&set);
		return -1;
	}
	*out = set;
	return 0;
}
