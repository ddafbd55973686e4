#include "agent/state_frame.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

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
#define CHECKED_LEN  24
#define CHECKSUM_LEN 32
#define FRAME_LEN    (CHECKED_LEN + CHECKSUM_LEN)

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

static bool add_prefix(struct pm_buf *out, size_t len)
{
	uint8_t prefix[4];

	if (len > PM_STATE_MAX - sizeof(prefix) || out->len > PM_STATE_MAX - sizeof(prefix) - len)
		return false;
	put_be(prefix, len, 4);
	pm_buf_add(out, prefix, sizeof(prefix));
	return true;
}

bool state_frame_add_packed(struct pm_buf *out, const uint8_t *bytes, size_t len)
{
	if (!add_prefix(out, len))
		return false;
	pm_buf_add(out, bytes, len);
	return true;
}

bool state_frame_add(struct pm_buf *out, const ProtobufCMessage *msg)
{
	struct sink sink = { { append }, out };

	if (!add_prefix(out, protobuf_c_message_get_packed_size(msg)))
		return false;
	(void)protobuf_c_message_pack_to_buffer(msg, &sink.base);
	return true;
}

bool state_frame_begin(struct pm_buf *out, Pm__SavedHeader *header)
{
	static const uint8_t blank[FRAME_LEN];
	static char writer[] = "pmd " PM_VERSION;

	header->major = STATE_MAJOR;
	header->minor = STATE_MINOR;
	header->writer = writer;
	pm_buf_reset(out);
	pm_buf_add(out, blank, sizeof(blank));
	return state_frame_add(out, &header->base);
}

void state_frame_end(struct pm_buf *out, const char magic[STATE_MAGIC_LEN])
{
	uint8_t *frame = (uint8_t *)out->bytes;

	memcpy(frame, magic, STATE_MAGIC_LEN);
	put_be(frame + 8, STATE_MAJOR, 4);
	put_be(frame + 12, STATE_MINOR, 4);
	put_be(frame + 16, out->len - FRAME_LEN, 8);
	checksum(frame, frame + FRAME_LEN, out->len - FRAME_LEN, frame + CHECKED_LEN);
}

/* ---- from bytes ---- */

static int check_frame(const uint8_t *bytes, size_t len, const char *magic, struct pm_error *err)
{
	uint8_t sum[CHECKSUM_LEN];

	if (len < FRAME_LEN)
		return pm_fail(err, PM_CORRUPT, "only %zu bytes long", len);
	if (len > PM_STATE_MAX)
		return pm_fail(err, PM_CORRUPT, "over %u MiB", PM_STATE_MAX >> 20);
	if (memcmp(bytes, magic, STATE_MAGIC_LEN) != 0)
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

int state_frame_open(const uint8_t *bytes, size_t len, const char magic[STATE_MAGIC_LEN],
                     struct state_reader *out, struct pm_error *err)
{
	if (check_frame(bytes, len, magic, err) < 0)
		return -1;
	*out = (struct state_reader){ bytes + FRAME_LEN, len - FRAME_LEN };
	return 0;
}

bool state_frame_next(struct state_reader *r, const uint8_t **rec, size_t *len)
{
	size_t n;

	if (r->left < 4)
		return false;
	n = get_be(r->at, 4);
	if (n > r->left - 4)
		return false;
	*rec = r->at + 4;
	*len = n;
	r->at += 4 + n;
	r->left -= 4 + n;
	return true;
}

int state_frame_header(struct state_reader *r, struct pm_arena *arena, const Pm__SavedHeader **out,
                       struct pm_error *err)
{
	ProtobufCMessage *msg;
	const Pm__SavedHeader *header;
	const uint8_t *rec;
	size_t len;

	if (!state_frame_next(r, &rec, &len))
		return pm_fail(err, PM_CORRUPT, "it has no header");
	if (pm_decode_message(arena, &pm__saved_header__descriptor, rec, len, PM_ARENA_MAX, &msg,
	                      err) < 0)
		return err->code == PM_NO_MEMORY
		               ? -1
		               : pm_fail(err, PM_CORRUPT, "its header cannot be read");
	header = (const Pm__SavedHeader *)msg;
	if (header->n_apps > r->left / 4)
		return pm_fail(err, PM_CORRUPT, "%u apps in %zu bytes", header->n_apps, r->left);
	*out = header;
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

ProtobufCAllocator state_heap = { heap_alloc, heap_free, NULL };
