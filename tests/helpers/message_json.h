/* message_json.h - any message of ours as JSON and back, by its descriptor: bytes are hexadecimal.
 */
#ifndef PM_TESTS_MESSAGE_JSON_H
#define PM_TESTS_MESSAGE_JSON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

static inline void *member(const void *message, size_t offset)
{
	return (char *)(uintptr_t)message + offset;
}

/* Fields of a repeated or a oneof kind say by this what is there. */
static inline size_t quantity(const void *message, const ProtobufCFieldDescriptor *f)
{
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		return *(uint32_t *)member(message, f->quantifier_offset) == f->id;
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(size_t *)member(message, f->quantifier_offset);
	return 1;
}

static inline size_t size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return 8;
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

static inline json_t *message_to_json(const ProtobufCMessage *message);

static inline json_t *value_to_json(const ProtobufCFieldDescriptor *f, const void *at)
{
	const ProtobufCBinaryData *bytes;
	char *hex;
	json_t *out;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return json_integer((json_int_t) * (const int64_t *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_STRING:
		return json_string(*(char *const *)at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(void *const *)at == NULL ? json_null()
		                                  : message_to_json(*(ProtobufCMessage *const *)at);
	case PROTOBUF_C_TYPE_BYTES:
		bytes = at;
		hex = calloc(1, 2 * bytes->len + 1);
		for (size_t i = 0; i < bytes->len; i++)
			(void)snprintf(hex + 2 * i, 3, "%02x", bytes->data[i]);
		out = json_string(hex);
		free(hex);
		return out;
	default:
		return json_integer(*(const int32_t *)at);
	}
}

static inline json_t *message_to_json(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *d = message->descriptor;
	json_t *out = json_object();

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		size_t n = quantity(message, f);
		char *at = member(message, f->offset);

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			json_t *list = json_array();

			for (size_t j = 0; j < n; j++)
				(void)json_array_append_new(
					list,
					value_to_json(f, *(char **)(void *)at + j * size_of(f)));
			(void)json_object_set_new(out, f->name, list);
		} else if (n != 0) {
			(void)json_object_set_new(out, f->name, value_to_json(f, at));
		}
	}
	return out;
}

/* What is made here is never freed: the program is a test's and short-lived. */
static inline ProtobufCMessage *message_from_json(const ProtobufCMessageDescriptor *d,
                                                  const json_t *from);

static inline void value_from_json(const ProtobufCFieldDescriptor *f, const json_t *from, void *at)
{
	const char *hex;
	ProtobufCBinaryData *bytes;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		*(int64_t *)at = json_integer_value(from);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = json_is_true(from);
		break;
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at =
			strdup(json_string_value(from) != NULL ? json_string_value(from) : "");
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(void **)at = message_from_json(f->descriptor, from);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		hex = json_string_value(from);
		bytes = at;
		bytes->len = hex == NULL ? 0 : strlen(hex) / 2;
		bytes->data = calloc(1, bytes->len + 1);
		for (size_t i = 0; i < bytes->len; i++) {
			const char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

			bytes->data[i] = (uint8_t)strtoul(two, NULL, 16);
		}
		break;
	default:
		*(int32_t *)at = (int32_t)json_integer_value(from);
		break;
	}
}

static inline ProtobufCMessage *message_from_json(const ProtobufCMessageDescriptor *d,
                                                  const json_t *from)
{
	ProtobufCMessage *message = calloc(1, d->sizeof_message);

	d->message_init(message);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const json_t *value = json_object_get(from, f->name);
		char *at = member(message, f->offset);

		if (value == NULL || json_is_null(value))
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t n = json_array_size(value);
			char *list = calloc(n + 1, size_of(f));

			for (size_t j = 0; j < n; j++)
				value_from_json(f, json_array_get(value, j), list + j * size_of(f));
			*(char **)(void *)at = list;
			*(size_t *)member(message, f->quantifier_offset) = n;
			continue;
		}
		value_from_json(f, value, at);
		if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
			*(uint32_t *)member(message, f->quantifier_offset) = f->id;
	}
	return message;
}

#endif
