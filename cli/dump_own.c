#include "cli/dump_own.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base.h"
#include "proto/limits.h"
#include "proto/spec_builder.h"

#define VARIANT    sodium_base64_VARIANT_ORIGINAL

#define FIELDS_MAX 128 /* of an AppSpec: more than there are */

/* Which fields of an AppSpec, by their place in its descriptor. */
struct fields {
	bool has[FIELDS_MAX];
};

/* What PM2 has no key for, and the pid file's name, which it keeps with the instance's number. */
static bool is_own(const char *field)
{
	size_t len = strlen(field);

	for (size_t i = 0; i < spec_n_keys; i++) {
		const char *at = spec_keys[i].fields;

		if ((spec_keys[i].flags & SPEC_OURS) == 0)
			continue;
		while (at != NULL && *at != '\0') {
			size_t word = strcspn(at, " ");

			if (word == len && memcmp(at, field, len) == 0)
				return true;
			at += word + strspn(at + word, " ");
		}
	}
	return strcmp(field, "pid_file") == 0;
}

bool dump_own_has(const char *member)
{
	return is_own(member);
}

static void all_own(struct fields *out)
{
	const ProtobufCMessageDescriptor *d = &pm__app_spec__descriptor;

	*out = (struct fields){ 0 };
	for (unsigned i = 0; i < d->n_fields && i < FIELDS_MAX; i++)
		out->has[i] = is_own(d->fields[i].name);
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

/* Exchange some fields of two specs; each stays the owner of what it has then. */
static void exchange(Pm__AppSpec *a, Pm__AppSpec *b, const struct fields *which)
{
	const ProtobufCMessageDescriptor *d = &pm__app_spec__descriptor;

	for (unsigned i = 0; i < d->n_fields && i < FIELDS_MAX; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (!which->has[i])
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
	struct fields own;
	uint8_t *bytes;

	all_own(&own);
	exchange(&only, spec, &own);
	bytes = pm_buf_extend(out, pm__app_spec__get_packed_size(&only));
	if (bytes != NULL)
		(void)pm__app_spec__pack(&only, bytes); /* the size was asked for */
	exchange(&only, spec, &own);
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

static void write_numbers(struct pm_buf *out)
{
	const ProtobufCMessageDescriptor *d = &pm__app_spec__descriptor;
	const char *comma = "";
	struct fields own;

	all_own(&own);
	for (unsigned i = 0; i < d->n_fields && i < FIELDS_MAX; i++)
		if (own.has[i]) {
			pm_buf_printf(out, "%s%u", comma, d->fields[i].id);
			comma = ",";
		}
}

/* The fields that a text is about, as far as they are ours; NULL: it is none, else its colon. */
static const char *read_numbers(const char *text, struct fields *out)
{
	const ProtobufCMessageDescriptor *d = &pm__app_spec__descriptor;

	*out = (struct fields){ 0 };
	for (;; text++) {
		unsigned long id;
		char *end;

		if (*text < '0' || *text > '9')
			return NULL;
		id = strtoul(text, &end, 10);
		for (unsigned i = 0; i < d->n_fields && i < FIELDS_MAX; i++)
			if (d->fields[i].id == id)
				out->has[i] = is_own(d->fields[i].name);
		text = end;
		if (*text != ',')
			return *text == ':' ? text : NULL;
	}
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
	write_numbers(out);
	pm_buf_printf(out, ":%s", text);
}

int dump_own_read(const char *text, Pm__AppSpec *spec, struct pm_error *err)
{
	size_t size = strlen(text), len;
	PM_FREE unsigned char *bytes = pm_calloc(1, size + 1);
	struct fields which;
	const char *colon = read_numbers(text, &which);
	Pm__AppSpec *from;

	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a dump");
	if (colon == NULL || size > 2 * PM_SPEC_MAX ||
	    sodium_base642bin(bytes, size + 1, colon + 1, strlen(colon + 1), NULL, &len, NULL,
	                      VARIANT) != 0)
		return pm_fail(err, PM_CONFIG, "its '" DUMP_OWN_KEY "' is not what pmd writes");
	from = pm__app_spec__unpack(NULL, len, bytes);
	if (from == NULL)
		return pm_fail(err, PM_CONFIG, "its '" DUMP_OWN_KEY "' is not what pmd writes");
	exchange(spec, from, &which);
	if (spec_validate(spec, err) < 0) {
		exchange(spec, from, &which);
		pm__app_spec__free_unpacked(from, NULL);
		return -1;
	}
	pm__app_spec__free_unpacked(from, NULL);
	return 0;
}
