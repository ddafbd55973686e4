#include "proto/spec.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/limits.h"

static int no_memory(struct pm_error *err)
{
	return pm_fail(err, PM_NO_MEMORY, "hold an app's configuration");
}

void spec_free(Pm__AppSpec *spec)
{
	if (spec != NULL)
		pm__app_spec__free_unpacked(spec, NULL);
}

void spec_freep(Pm__AppSpec **spec)
{
	spec_free(*spec);
}

int spec_put_str(char **field, const char *text, struct pm_error *err)
{
	char *copy = pm_strdup(text != NULL ? text : "");

	if (copy == NULL)
		return no_memory(err);
	/* An unset string is protobuf-c's own constant. */
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = copy;
	return 0;
}

int spec_add_str(char ***list, size_t *n, const char *text, struct pm_error *err)
{
	char *copy = pm_strdup(text != NULL ? text : "");
	char **grown;

	if (copy == NULL)
		return no_memory(err);
	grown = pm_realloc(*list, (*n + 1) * sizeof(**list));
	if (grown == NULL) {
		free(copy);
		return no_memory(err);
	}
	grown[(*n)++] = copy;
	*list = grown;
	return 0;
}

void spec_clear_list(char ***list, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*n = 0;
}

Pm__EnvVar *spec_find_env(Pm__EnvVar *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i]->name, name) == 0)
			return list[i];
	return NULL;
}

static void env_var_freep(Pm__EnvVar **var)
{
	if (*var != NULL)
		pm__env_var__free_unpacked(*var, NULL);
}

int spec_put_env(Pm__EnvVar ***list, size_t *n, const char *name, const char *value,
                 Pm__EnvOrigin origin, struct pm_error *err)
{
	PM_CLEANUP(env_var_freep) Pm__EnvVar *var = NULL;
	Pm__EnvVar *old = spec_find_env(*list, *n, name);
	Pm__EnvVar **grown;

	if (old != NULL) {
		if (spec_put_str(&old->value, value, err) < 0)
			return -1;
		old->origin = origin;
		return 0;
	}
	var = pm_calloc(1, sizeof(*var));
	if (var == NULL)
		return no_memory(err);
	pm__env_var__init(var);
	var->origin = origin;
	if (spec_put_str(&var->name, name, err) < 0 || spec_put_str(&var->value, value, err) < 0)
		return -1;
	grown = pm_realloc(*list, (*n + 1) * sizeof(Pm__EnvVar *));
	if (grown == NULL)
		return no_memory(err);
	grown[(*n)++] = PM_STEAL(var);
	*list = grown;
	return 0;
}

static void set_numbers(Pm__AppSpec *s)
{
	s->exec_mode = PM__EXEC_MODE__EXEC_MODE_FORK;
	s->instances = 1;
	s->umask = -1;
	s->log_type = PM__LOG_TYPE__LOG_TYPE_RAW;
	s->log_max_size = 10u << 20;
	s->log_keep = 10;
	s->log_compress = PM__COMPRESSION__COMPRESSION_GZIP;
	s->log_on_full = PM__ON_FULL__ON_FULL_DROP;
	s->autorestart = true;
	s->autostart = true;
	s->min_uptime_ms = 1000;
	s->max_restarts = 16;
	s->kill_signal = SIGINT;
	s->kill_timeout_ms = 1600;
	s->treekill = true;
	s->kill_retry_ms = 100;
	s->listen_timeout_ms = 3000;
	s->source_map_support = true;
	s->start_timeout_ms = 60000;
	s->drain = true;
	s->drain_timeout_ms = 30000;
	s->start_grace_ms = 60000;
}

int spec_create(Pm__AppSpec **out, struct pm_error *err)
{
	PM_SPEC *spec = pm_calloc(1, sizeof(*spec));

	if (spec == NULL)
		return no_memory(err);
	pm__app_spec__init(spec);
	set_numbers(spec);
	if (spec_put_str(&spec->namespace_, "default", err) < 0 ||
	    spec_put_str(&spec->interpreter, "none", err) < 0 ||
	    spec_put_str(&spec->instance_var, "NODE_APP_INSTANCE", err) < 0)
		return -1;
	*out = PM_STEAL(spec);
	return 0;
}

int spec_pack(const Pm__AppSpec *spec, uint8_t **out, size_t *len, struct pm_error *err)
{
	size_t size = pm__app_spec__get_packed_size(spec);
	uint8_t *bytes;

	if (size > PM_SPEC_MAX) {
		(void)pm_fail(err, PM_LIMIT,
		              "app %.128s: arguments and environment take %zu bytes, of %d allowed",
		              spec->name, size, PM_SPEC_MAX);
		pm_hint(err, "put large values into an env_file");
		return -1;
	}
	bytes = pm_calloc(1, size + 1);
	if (bytes == NULL)
		return no_memory(err);
	*len = pm__app_spec__pack(spec, bytes);
	*out = bytes;
	return 0;
}

/* Memory for one unpacked spec: counted, so that many tiny parts cannot take a lot of it. */
struct budget {
	size_t left;
	bool hit;
};

static void *budget_alloc(void *arg, size_t size)
{
	struct budget *b = arg;
	size_t cost = size + 2 * sizeof(size_t); /* and what malloc adds */

	if (cost > b->left) {
		b->hit = true;
		return NULL;
	}
	b->left -= cost;
	return pm_calloc(1, size > 0 ? size : 1);
}

static void budget_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

int spec_unpack(const uint8_t *bytes, size_t len, Pm__AppSpec **out, struct pm_error *err)
{
	struct budget budget = { .left = PM_ARENA_MAX };
	ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };
	Pm__AppSpec *spec;

	if (len > PM_SPEC_MAX)
		return pm_fail(err, PM_LIMIT, "an app's configuration of %zu bytes, %d allowed",
		               len, PM_SPEC_MAX);
	spec = pm__app_spec__unpack(&allocator, len, bytes);
	if (spec == NULL && budget.hit)
		return pm_fail(err, PM_LIMIT, "an app's configuration unpacks into over %u bytes",
		               PM_ARENA_MAX);
	if (spec == NULL)
		return pm_fail(err, PM_CORRUPT, "an app's configuration does not decode");
	*out = spec;
	return 0;
}

int spec_clone(const Pm__AppSpec *spec, Pm__AppSpec **out, struct pm_error *err)
{
	PM_FREE uint8_t *bytes = NULL;
	size_t len;

	if (spec_pack(spec, &bytes, &len, err) < 0)
		return -1;
	return spec_unpack(bytes, len, out, err);
}

/*
 * Memory given out in order from one block. Decoding frees some pieces again: a first run into a
 * draft finds out which, and the second, the same step by step, takes those from the heap instead.
 */
#define PIECES_MAX 4096

struct block {
	uint8_t *bytes;
	size_t used, size;
	size_t n;       /* pieces given out so far */
	size_t *starts; /* the draft's: where each piece began */
	bool *passing;  /* freed again in the draft; PIECES_MAX */
	bool draft;
};

static void *block_alloc(void *arg, size_t size)
{
	struct block *b = arg;
	size_t at = b->used, piece = b->n++;

	if (piece >= PIECES_MAX)
		return NULL;
	if (!b->draft && b->passing[piece])
		return pm_calloc(1, size);
	size = (size + 7) & ~(size_t)7;
	if (size > b->size - b->used)
		return NULL;
	if (b->draft)
		b->starts[piece] = at;
	b->used += size;
	return b->bytes + at;
}

static void block_free(void *arg, void *memory)
{
	struct block *b = arg;
	size_t at = (size_t)((uint8_t *)memory - b->bytes);

	if (memory == NULL)
		return;
	if (!b->draft && ((uint8_t *)memory < b->bytes || at >= b->size)) {
		free(memory);
		return;
	}
	for (size_t i = b->n; b->draft && i-- > 0;)
		if (b->starts[i] == at) {
			b->passing[i] = true;
			return;
		}
}

static Pm__AppSpec *unpack_into(struct block *b, const uint8_t *bytes, size_t len)
{
	ProtobufCAllocator allocator = { block_alloc, block_free, b };

	return pm__app_spec__unpack(&allocator, len, bytes);
}

/* Bytes of the pieces that stay; 0: no memory. The draft is mapped, so that the heap keeps no trace
 * of it. */
static size_t frozen_size(const uint8_t *bytes, size_t len, bool *passing)
{
	size_t extra = PIECES_MAX * sizeof(size_t), kept = 0;
	struct block b = { .size = PM_ARENA_MAX, .passing = passing, .draft = true };
	uint8_t *map = mmap(NULL, b.size + extra, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return 0;
	b.bytes = map;
	b.starts = (size_t *)(void *)(map + b.size);
	if (unpack_into(&b, bytes, len) != NULL)
		for (size_t i = 0; i < b.n; i++)
			kept += passing[i] ? 0
			                   : (i + 1 < b.n ? b.starts[i + 1] : b.used) - b.starts[i];
	(void)munmap(map, b.size + extra);
	return kept;
}

int spec_freeze(const Pm__AppSpec *spec, Pm__AppSpec **out, struct pm_error *err)
{
	PM_FREE uint8_t *bytes = NULL;
	bool passing[PIECES_MAX] = { false };
	struct block b = { .passing = passing };
	Pm__AppSpec *frozen;
	size_t len;

	if (spec_pack(spec, &bytes, &len, err) < 0)
		return -1;
	b.size = frozen_size(bytes, len, passing);
	b.bytes = b.size == 0 ? NULL : pm_calloc(1, b.size);
	if (b.bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "keep an app");
	frozen = unpack_into(&b, bytes, len);
	if ((uint8_t *)frozen !=
	    b.bytes) { /* no memory for a passing piece: nothing else differs */
		free(b.bytes);
		return pm_fail(err, PM_NO_MEMORY, "keep an app");
	}
	*out = frozen;
	return 0;
}

static void swap_bytes(void *a, void *b, size_t n)
{
	char *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		char c = x[i];

		x[i] = y[i];
		y[i] = c;
	}
}

/* The size of a member that is there once. */
static size_t member_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_ENUM:
		break;
	}
	return sizeof(uint32_t);
}

static void swap_field(Pm__AppSpec *a, Pm__AppSpec *b, const ProtobufCFieldDescriptor *f)
{
	char *x = (char *)a, *y = (char *)b;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		swap_bytes(x + f->quantifier_offset, y + f->quantifier_offset, sizeof(size_t));
		swap_bytes(x + f->offset, y + f->offset, sizeof(void *));
		return;
	}
	swap_bytes(x + f->offset, y + f->offset, member_size(f));
}

int spec_patch(Pm__AppSpec *base, const Pm__AppSpec *from, char *const *fields, size_t n_fields,
               struct pm_error *err)
{
	PM_SPEC *donor = NULL;

	for (size_t i = 0; i < n_fields; i++)
		if (protobuf_c_message_descriptor_get_field_by_name(&pm__app_spec__descriptor,
		                                                    fields[i]) == NULL)
			return pm_fail(err, PM_UNSUPPORTED,
			               "option %.64s: this agent does not know it", fields[i]);
	if (spec_clone(from, &donor, err) < 0)
		return -1;
	/* From here nothing can fail: the old values leave with the copy. A field named twice would
	 * be swapped back, so only the first mention counts. */
	for (size_t i = 0; i < n_fields; i++) {
		bool again = false;

		for (size_t k = 0; k < i && !again; k++)
			again = strcmp(fields[k], fields[i]) == 0;
		if (!again)
			swap_field(base, donor,
			           protobuf_c_message_descriptor_get_field_by_name(
					   &pm__app_spec__descriptor, fields[i]));
	}
	return 0;
}

/* A spec that borrows one field of another and says nothing else. */
static Pm__AppSpec only_field(const Pm__AppSpec *spec, const ProtobufCFieldDescriptor *f)
{
	Pm__AppSpec only = PM__APP_SPEC__INIT;
	bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;

	if (repeated)
		memcpy((char *)&only + f->quantifier_offset,
		       (const char *)spec + f->quantifier_offset, sizeof(size_t));
	memcpy((char *)&only + f->offset, (const char *)spec + f->offset,
	       repeated ? sizeof(void *) : member_size(f));
	return only;
}

int spec_same_field(const Pm__AppSpec *a, const Pm__AppSpec *b, unsigned field, bool *same,
                    struct pm_error *err)
{
	const ProtobufCFieldDescriptor *f = &pm__app_spec__descriptor.fields[field];
	Pm__AppSpec x = only_field(a, f), y = only_field(b, f);
	size_t len = pm__app_spec__get_packed_size(&x);
	PM_FREE uint8_t *bytes = NULL;

	if (len != pm__app_spec__get_packed_size(&y) || len == 0) {
		*same = len == 0 && pm__app_spec__get_packed_size(&y) == 0;
		return 0;
	}
	bytes = pm_calloc(2, len);
	if (bytes == NULL)
		return no_memory(err);
	(void)pm__app_spec__pack(&x, bytes); /* both return len again */
	(void)pm__app_spec__pack(&y, bytes + len);
	*same = memcmp(bytes, bytes + len, len) == 0;
	return 0;
}
