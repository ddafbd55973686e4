/* json_out.h - writes one JSON document piece by piece into a buffer. Pure. */
#ifndef PM_CLI_JSON_OUT_H
#define PM_CLI_JSON_OUT_H

#include <stdbool.h>

#include "proto/buf.h"

/*
 * The writer puts the commas; the caller pairs begin and end, and names every value of an object.
 * Text that is not UTF-8 comes out with U+FFFD, as node reads it. Running out of memory shows in
 * buf->failed, once at the end.
 */
struct json_out {
	struct pm_buf *buf; /* borrowed */
	bool comma;         /* a value stands before the next one */
};

void json_init(struct json_out *j, struct pm_buf *buf);

void json_begin_object(struct json_out *j);
void json_end_object(struct json_out *j);
void json_begin_array(struct json_out *j);
void json_end_array(struct json_out *j);
void json_key(struct json_out *j, const char *key);

void json_str(struct json_out *j, const char *s); /* NULL is written as null */
void json_strn(struct json_out *j, const char *bytes, size_t len);
void json_int(struct json_out *j, int64_t n);
void json_uint(struct json_out *j, uint64_t n);
void json_bool(struct json_out *j, bool on);
void json_nil(struct json_out *j);
void json_tenths(struct json_out *j, uint64_t tenths); /* 25 is written as 2.5, 20 as 2 */
void json_raw(struct json_out *j, const char *json);   /* a value that is JSON already */

/* A member of an object: name and value. */
void json_kstr(struct json_out *j, const char *key, const char *s);
void json_kint(struct json_out *j, const char *key, int64_t n);
void json_kuint(struct json_out *j, const char *key, uint64_t n);
void json_kbool(struct json_out *j, const char *key, bool on);
void json_knull(struct json_out *j, const char *key);

/* Append JSON that was written without blanks, laid out as JSON.stringify(value, null, 2) does. */
void json_indent(const char *json, size_t len, struct pm_buf *out);

#endif
