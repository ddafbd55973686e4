#include "cli/dump_own.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base.h"
#include "proto/limits.h"
#include "proto/spec_builder.h"

#define VARIANT sodium_base64_VARIANT_ORIGINAL

/* Members of AppSpec.  New ones go to the end: a text says how many its writer knew. */
static const char *const own[] = {
	"env_files",
	"umask",
	"limits",
	"nice",
	"nice_set",
	"oom_score_adj",
	"oom_score_adj_set",
	"no_new_privs",
	"log_max_size",
	"log_keep",
	"log_total_cap",
	"log_compress",
	"log_rotate_every_ms",
	"log_on_full",
	"cron_tz",
	"watch_exts",
	"kill_signal",
	"depends_on",
	"start_timeout_ms",
	"listen",
	"drain",
	"drain_timeout_ms",
	"startup",
	"ready",
	"live",
	"start_grace_ms",
	"watchdog_ms",
};

bool dump_own_has(const char *member)
{
	for (size_t i = 0; i < PM_COUNT(own); i++)
		if (strcmp(own[i], member) == 0)
			return true;
	return false;
}

static size_t member_size(const ProtobufCFieldDescriptor *f)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return sizeof(void *);
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_UINT64:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_BYTES:
		break;
	}
	return 0; /* an AppSpec has none of these: the test of all members would fail */
}

static void swap_bytes(void *a, void *b, size_t n)
{
	unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		unsigned char keep = x[i];

		x[i] = y[i];
		y[i] = keep;
	}
}

/* Exchange the first n of our members of two specs; each stays the owner of what it has then. */
static void exchange(Pm__AppSpec *a, Pm__AppSpec *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
			&pm__app_spec__descriptor, own[i]);

		if (f == NULL)
			continue;
		swap_bytes((char *)a + f->offset, (char *)b + f->offset, member_size(f));
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			swap_bytes((char *)a + f->quantifier_offset,
			           (char *)b + f->quantifier_offset, sizeof(size_t));
	}
}

/* Our members of a spec, packed; spec is as before. */
static void pack(Pm__AppSpec *spec, struct pm_buf *out)
{
	Pm__AppSpec only = PM__APP_SPEC__INIT;
	uint8_t *bytes;

	exchange(&only, spec, PM_COUNT(own));
	bytes = pm_buf_extend(out, pm__app_spec__get_packed_size(&only));
	if (bytes != NULL)
		(void)pm__app_spec__pack(&only, bytes); /* the size was asked for */
	exchange(&only, spec, PM_COUNT(own));
}

static bool is_default(const struct pm_buf *packed, struct pm_buf *scratch)
{
	struct spec_builder b;
	struct pm_error err;
	bool same;

	if (spec_builder_init(&b, &err) < 0)
		return false;
	pack(b.spec, scratch);
	spec_builder_finish(&b);
	same = !scratch->failed && scratch->len == packed->len &&
	       (packed->len == 0 || memcmp(scratch->bytes, packed->bytes, packed->len) == 0);
	return same;
}

void dump_own_write(const Pm__AppSpec *spec, struct pm_buf *out)
{
	PM_BUF packed = { 0 }, scratch = { 0 };
	PM_FREE char *text = NULL;
	size_t size;

	pack((Pm__AppSpec *)(uintptr_t)spec, &packed); /* it is as before afterwards */
	if (packed.failed) {
		out->failed = true;
		return;
	}
	if (is_default(&packed, &scratch))
		return;
	size = sodium_base64_encoded_len(packed.len, VARIANT);
	text = pm_calloc(1, size);
	if (text == NULL) {
		out->failed = true;
		return;
	}
	(void)sodium_bin2base64(text, size, (const unsigned char *)packed.bytes, packed.len,
	                        VARIANT);
	pm_buf_printf(out, "%zu:%s", PM_COUNT(own), text);
}

int dump_own_read(const char *text, Pm__AppSpec *spec, struct pm_error *err)
{
	size_t size = strlen(text), len;
	PM_FREE unsigned char *bytes = pm_calloc(1, size + 1);
	Pm__AppSpec *from;
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a dump");
	if (text[0] < '0' || text[0] > '9' || *end != ':' || size > 2 * PM_SPEC_MAX ||
	    sodium_base642bin(bytes, size + 1, end + 1, strlen(end + 1), NULL, &len, NULL,
	                      VARIANT) != 0)
		return pm_fail(err, PM_CONFIG, "its '" DUMP_OWN_KEY "' is not what pmd writes");
	from = pm__app_spec__unpack(NULL, len, bytes);
	if (from == NULL)
		return pm_fail(err, PM_CONFIG, "its '" DUMP_OWN_KEY "' is not what pmd writes");
	n = PM_MIN(n, PM_COUNT(own));
	exchange(spec, from, n);
	if (spec_validate(spec, err) < 0) {
		exchange(spec, from, n);
		pm__app_spec__free_unpacked(from, NULL);
		return -1;
	}
	pm__app_spec__free_unpacked(from, NULL);
	return 0;
}
