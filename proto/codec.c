#include "proto/codec.h"

#include <errno.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/record.h"
#include "proto/token.h"
#include "proto/utf8.h"

/* What a look at the wire found out before anything is unpacked. */
struct scan {
	bool odd_enum; /* a value that nobody defined */
	const char *bad;
	const char *where; /* the field's name */
};

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t byte = *(*p)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*out = value;
			return true;
		}
	}
	return false;
}

static bool enum_is_known(const ProtobufCFieldDescriptor *field, uint64_t value)
{
	return protobuf_c_enum_descriptor_get_value(field->descriptor, (int)value) != NULL;
}

static int scan_message(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                        struct scan *s);

static int scan_bad(struct scan *s, const char *what, const ProtobufCFieldDescriptor *field)
{
	s->bad = what;
	s->where = field == NULL ? "message" : field->name;
	return -1;
}

/* Recursion is as deep as the message types nest, which is a constant: none contains itself. */
static int scan_bytes(const ProtobufCFieldDescriptor *field, const uint8_t *bytes, size_t len,
                      struct scan *s)
{
	const uint8_t *p = bytes, *end = bytes + len;
	uint64_t value;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return scan_message(field->descriptor, bytes, len, s);
	if (field->type == PROTOBUF_C_TYPE_STRING && !pm_utf8_ok(bytes, len))
		return scan_bad(s, "is not text", field);
	if (field->type == PROTOBUF_C_TYPE_ENUM)
		while (p < end && take_varint(&p, end, &value))
			s->odd_enum |= !enum_is_known(field, value);
	return 0;
}

/*
 * protobuf-c makes C strings of strings and checks neither UTF-8 nor NUL ("a\0b" reads as "a"), so
 * they are looked at where their length is still known.
 */
static int scan_message(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                        struct scan *s)
{
	const uint8_t *p = bytes, *end = bytes + len;

	while (p < end) {
		const ProtobufCFieldDescriptor *field;
		uint64_t key, value;

		if (!take_varint(&p, end, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff)
			return scan_bad(s, "has a bad tag", NULL);
		field = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
		switch (key & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			if (!take_varint(&p, end, &value))
				return scan_bad(s, "has a bad number", field);
			if (field != NULL && field->type == PROTOBUF_C_TYPE_ENUM)
				s->odd_enum |= !enum_is_known(field, value);
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			value = (key & 7) == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4;
			if ((size_t)(end - p) < value)
				return scan_bad(s, "is cut off", field);
			p += value;
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			if (!take_varint(&p, end, &value) || value > (size_t)(end - p))
				return scan_bad(s, "is cut off", field);
			if (field != NULL && scan_bytes(field, p, (size_t)value, s) < 0)
				return -1;
			p += value;
			break;
		default:
			return scan_bad(s, "has a bad wire type", field);
		}
	}
	return 0;
}

static void clear_odd_enums(ProtobufCMessage *msg);

static void clear_in_field(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	uint8_t *base = (uint8_t *)msg;
	void *member = base + field->offset;
	ProtobufCMessage **items = member; /* a single sub-message is an array of one */
	int *values = member;
	size_t n = 1;

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		memcpy(&n, base + field->quantifier_offset, sizeof(n));
		memcpy(&items, member, sizeof(items));
		memcpy(&values, member, sizeof(values));
	} else if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
		uint32_t chosen;

		memcpy(&chosen, base + field->quantifier_offset, sizeof(chosen));
		if (chosen != field->id)
			return;
	}
	for (size_t i = 0; i < n; i++) {
		if (field->type == PROTOBUF_C_TYPE_MESSAGE && items[i] != NULL)
			clear_odd_enums(items[i]);
		if (field->type == PROTOBUF_C_TYPE_ENUM &&
		    protobuf_c_enum_descriptor_get_value(field->descriptor, values[i]) == NULL)
			values[i] = 0;
	}
}

static void clear_odd_enums(ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *type = msg->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE ||
		    type->fields[i].type == PROTOBUF_C_TYPE_ENUM)
			clear_in_field(msg, &type->fields[i]);
}

static void *arena_alloc(void *arena, size_t size)
{
	return pm_arena_alloc(arena, size);
}

static void arena_free(void *arena, void *p) /* all at once, by pm_arena_reset() */
{
	(void)arena;
	(void)p;
}

int pm_decode_message(struct pm_arena *a, const ProtobufCMessageDescriptor *type,
                      const uint8_t *bytes, size_t len, size_t max_bytes, ProtobufCMessage **out,
                      struct pm_error *err)
{
	ProtobufCAllocator allocator = { arena_alloc, arena_free, a };
	struct scan s = { false, NULL, NULL };
	ProtobufCMessage *msg;

	if (scan_message(type, bytes, len, &s) < 0)
		return pm_fail(err, PM_PROTOCOL, "malformed %s: %s %s", type->short_name, s.where,
		               s.bad);
	a->limit = a->used + max_bytes;
	a->refused = false;
	errno = 0;
	msg = protobuf_c_message_unpack(type, &allocator, len, bytes);
	a->limit = 0;
	if (msg == NULL && a->refused)
		return pm_fail(err, PM_PROTOCOL, "%s needs over %zu bytes to unpack",
		               type->short_name, max_bytes);
	if (msg == NULL && errno == ENOMEM)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (msg == NULL)
		return pm_fail(err, PM_PROTOCOL, "malformed %s", type->short_name);
	if (s.odd_enum)
		clear_odd_enums(msg);
	*out = msg;
	return 0;
}

/* Fields of bytes whose length is part of their meaning. */
static int check_lengths(const Pm__Envelope *env, struct pm_error *err)
{
	const Pm__Command *cmd = NULL;

	switch ((int)env->body_case) { /* an int: the generated enum has a constant that is none */
	case PM__ENVELOPE__BODY_COMMAND:
		cmd = env->command;
		break;
	case PM__ENVELOPE__BODY_FORWARD:
		if (env->forward->what_case == PM__FORWARD__WHAT_COMMAND)
			cmd = env->forward->command;
		break;
	case PM__ENVELOPE__BODY_ENROL:
		if (env->enrol->token_id.len != PM_TOKEN_ID_BYTES ||
		    env->enrol->secret.len != PM_TOKEN_SECRET_BYTES)
			return pm_fail(err, PM_PROTOCOL, "a token of %zu and %zu bytes",
			               env->enrol->token_id.len, env->enrol->secret.len);
		break;
	default:
		break;
	}
	if (cmd != NULL && cmd->op_id.len != 0 && cmd->op_id.len != PM_OP_ID_BYTES)
		return pm_fail(err, PM_PROTOCOL, "op_id has %zu bytes", cmd->op_id.len);
	return 0;
}

int pm_decode_within(struct pm_arena *a, const uint8_t *bytes, size_t len, size_t max_bytes,
                     Pm__Envelope **out, struct pm_error *err)
{
	ProtobufCMessage *msg;

	if (pm_decode_message(a, &pm__envelope__descriptor, bytes, len, max_bytes, &msg, err) < 0 ||
	    check_lengths((Pm__Envelope *)msg, err) < 0)
		return -1;
	*out = (Pm__Envelope *)msg;
	return 0;
}

int pm_decode(struct pm_arena *a, const uint8_t *bytes, size_t len, Pm__Envelope **out,
              struct pm_error *err)
{
	return pm_decode_within(a, bytes, len, PM_ARENA_MAX, out, err);
}

int pm_encode(const Pm__Envelope *env, struct pm_buf *out, struct pm_error *err)
{
	size_t len = protobuf_c_message_get_packed_size(&env->base);
	uint8_t *bytes;

	if (len == 0 || len > PM_RECORD_MAX)
		return pm_fail(err, PM_LIMIT, "a message of %zu bytes does not fit a record", len);
	bytes = pm_buf_extend(out, PM_RECORD_HEAD + len);
	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	bytes[0] = (uint8_t)(len >> 8);
	bytes[1] = (uint8_t)len;
	(void)protobuf_c_message_pack(&env->base, bytes + PM_RECORD_HEAD); /* returns len again */
	return 0;
}

/* By way of its bytes. */
void *pm_message_copy(const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	PM_FREE uint8_t *bytes = pm_calloc(len + 1, 1);

	if (bytes == NULL)
		return NULL;
	(void)protobuf_c_message_pack(m, bytes);
	return protobuf_c_message_unpack(m->descriptor, NULL, len, bytes);
}
