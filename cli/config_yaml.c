#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cli/config_parse.h"
#include "proto/limits.h"
#include "proto/utf8.h"

#define ANCHORS_MAX 1024
#define TAG_PREFIX  "tag:yaml.org,2002:"

struct anchor {
	const char *name;            /* in the doc */
	const struct doc_node *node; /* NULL while it is still being read */
};

struct loader {
	yaml_parser_t parser;
	struct doc *doc;
	struct config_place *place;
	struct pm_error *err;
	struct anchor *anchors; /* owned; ANCHORS_MAX of them */
	size_t n_anchors;
};

static int fail_at(struct loader *l, const yaml_mark_t *mark, enum pm_code code, const char *what)
{
	l->place->line = (unsigned)mark->line + 1;
	l->place->column = (unsigned)mark->column + 1;
	return pm_fail(l->err, code, "%s", what);
}

static int fail_room(struct loader *l, const yaml_mark_t *mark)
{
	return fail_at(l, mark, doc_is_full(l->doc) ? PM_LIMIT : PM_NO_MEMORY,
	               "too much for one file");
}

static int next_event(struct loader *l, yaml_event_t *event)
{
	if (yaml_parser_parse(&l->parser, event))
		return 0;
	return fail_at(l, &l->parser.problem_mark,
	               l->parser.error == YAML_MEMORY_ERROR ? PM_NO_MEMORY : PM_CONFIG,
	               l->parser.problem != NULL ? l->parser.problem : "not YAML");
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* Integers of the core schema, with js-yaml's binary ones. */
static bool read_integer(const char *text, double *out)
{
	const char *digits = text + (*text == '-' || *text == '+' ? 1 : 0);
	int base = 10;
	char *end;

	if (digits[0] == '0' && digits[1] != '\0' && strchr("xob", digits[1]) != NULL) {
		base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : 2;
		digits += 2;
	}
	if (!isxdigit((unsigned char)digits[0]))
		return false;
	for (const char *p = digits; base == 10 && *p != '\0'; p++)
		if (!isdigit((unsigned char)*p))
			return false;
	*out = base == 10 ? strtod(digits, &end) : (double)strtoull(digits, &end, base);
	if (*end != '\0')
		return false;
	*out = *text == '-' ? -*out : *out;
	return true;
}

static bool read_float(const char *text, double *out)
{
	static const char *const infinities[] = { ".inf", ".Inf", ".INF", NULL };
	static const char *const nans[] = { ".nan", ".NaN", ".NAN", NULL };
	const char *digits = text + (*text == '-' || *text == '+' ? 1 : 0);
	char *end;

	if (is_one_of(text, nans)) {
		*out = __builtin_nan("");
		return true;
	}
	if (is_one_of(digits, infinities)) {
		*out = *text == '-' ? -__builtin_inf() : __builtin_inf();
		return true;
	}
	if (digits[strspn(digits, "0123456789.eE+-")] != '\0' ||
	    (!isdigit((unsigned char)digits[0]) &&
	     (digits[0] != '.' || !isdigit((unsigned char)digits[1]))))
		return false;
	*out = strtod(text, &end);
	return *end == '\0';
}

/* Gives a plain scalar its type, as js-yaml does. */
static void resolve(struct doc_node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };

	if (is_one_of(node->text, nulls)) {
		node->type = DOC_NULL;
	} else if (is_one_of(node->text, trues) || is_one_of(node->text, falses)) {
		node->type = DOC_BOOL;
		node->truth = is_one_of(node->text, trues);
	} else if (read_integer(node->text, &node->number) ||
	           read_float(node->text, &node->number)) {
		node->type = DOC_NUMBER;
	}
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
	const char *t = (const char *)tag;

	return strncmp(t, TAG_PREFIX, strlen(TAG_PREFIX)) == 0 &&
	       strcmp(t + strlen(TAG_PREFIX), name) == 0;
}

static int scalar_text(struct loader *l, const yaml_event_t *e, const char **text)
{
	const char *bytes = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;

	if (!pm_utf8_ok((const uint8_t *)bytes, len))
		return fail_at(l, &e->start_mark, PM_CONFIG, "a text cannot hold a zero byte");
	*text = doc_text(l->doc, bytes, len);
	return *text == NULL ? fail_room(l, &e->start_mark) : 0;
}

static int load_scalar(struct loader *l, const yaml_event_t *e, struct doc_node *node)
{
	static const char *const plain[] = { "int", "float", "bool", "null", NULL };
	const yaml_char_t *tag = e->data.scalar.tag;
	bool typed = false;

	node->type = DOC_TEXT;
	if (scalar_text(l, e, &node->text) < 0)
		return -1;
	for (size_t i = 0; tag != NULL && plain[i] != NULL; i++)
		typed = typed || tag_is(tag, plain[i]);
	if (tag != NULL && !typed && !tag_is(tag, "str") && strcmp((const char *)tag, "!") != 0)
		return fail_at(l, &e->start_mark, PM_CONFIG, "an unknown tag");
	if (typed || (tag == NULL && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE))
		resolve(node);
	return 0;
}

/* A copy of an anchored value at the alias' place; doc's room bounds what aliases of aliases make.
 */
static struct doc_node *copy_node(struct loader *l, const struct doc_node *from)
{
	struct doc_node *to = doc_node(l->doc, from->type, from->line, from->column);

	if (to == NULL)
		return NULL;
	to->truth = from->truth;
	to->number = from->number;
	to->text = from->text;
	to->name = from->name;
	to->name_line = from->name_line;
	to->name_column = from->name_column;
	for (const struct doc_node *v = from->first; v != NULL; v = v->next) {
		struct doc_node *child = copy_node(l, v);

		if (child == NULL)
			return NULL;
		doc_append(to, child);
	}
	return to;
}

static unsigned depth_of(const struct doc_node *node)
{
	unsigned deepest = 0;

	for (const struct doc_node *v = node->first; v != NULL; v = v->next) {
		unsigned d = depth_of(v);

		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

static int load_alias(struct loader *l, const yaml_event_t *e, unsigned depth,
                      struct doc_node **out)
{
	const char *name = (const char *)e->data.alias.anchor;

	for (size_t i = l->n_anchors; i > 0; i--) {
		const struct anchor *a = &l->anchors[i - 1];

		if (strcmp(a->name, name) != 0)
			continue;
		if (a->node == NULL)
			return fail_at(l, &e->start_mark, PM_CONFIG, "the value contains itself");
		if (depth + depth_of(a->node) > PM_CONFIG_DEPTH_MAX)
			return fail_at(l, &e->start_mark, PM_LIMIT, "nested too deeply");
		*out = copy_node(l, a->node);
		if (*out == NULL)
			return fail_room(l, &e->start_mark);
		(*out)->name = NULL;
		return 0;
	}
	return fail_at(l, &e->start_mark, PM_CONFIG, "no such anchor");
}

static int remember(struct loader *l, const yaml_event_t *e, const yaml_char_t *name, size_t *slot)
{
	struct anchor *a = &l->anchors[l->n_anchors];

	if (l->n_anchors >= ANCHORS_MAX)
		return fail_at(l, &e->start_mark, PM_LIMIT, "too many anchors");
	a->node = NULL;
	a->name = doc_text(l->doc, (const char *)name, strlen((const char *)name));
	if (a->name == NULL)
		return fail_room(l, &e->start_mark);
	*slot = l->n_anchors++;
	return 0;
}

/* Puts the pairs of a merged map before those that stand in the map itself, which win. */
static int merge_map(struct loader *l, struct doc_node *map, const struct doc_node *from,
                     const yaml_mark_t *mark)
{
	struct doc_node head = { .type = DOC_MAP };

	if (from->type != DOC_MAP)
		return fail_at(l, mark, PM_CONFIG, "'<<' takes an object or a list of objects");
	for (const struct doc_node *v = from->first; v != NULL; v = v->next) {
		struct doc_node *copy;

		if (doc_get(map, v->name) != NULL)
			continue;
		copy = copy_node(l, v);
		if (copy == NULL)
			return fail_room(l, mark);
		doc_append(&head, copy);
	}
	if (head.last == NULL)
		return 0;
	head.last->next = map->first;
	if (map->last == NULL)
		map->last = head.last;
	map->first = head.first;
	map->n += head.n;
	return 0;
}

static int merge_all(struct loader *l, struct doc_node *map, const struct doc_node *merges,
                     const yaml_mark_t *mark)
{
	for (const struct doc_node *m = merges->first; m != NULL; m = m->next) {
		if (m->type != DOC_LIST) {
			if (merge_map(l, map, m, mark) < 0)
				return -1;
			continue;
		}
		for (const struct doc_node *v = m->first; v != NULL; v = v->next)
			if (merge_map(l, map, v, mark) < 0)
				return -1;
	}
	return 0;
}

static int load_node(struct loader *l, const yaml_event_t *e, unsigned depth,
                     struct doc_node **out);

/* One pair of a map; a merge key goes to *merges, for the end. */
static int load_pair(struct loader *l, const yaml_event_t *key, unsigned depth,
                     struct doc_node *map, struct doc_node *merges)
{
	struct doc_node *value = NULL;
	const char *name = NULL;
	yaml_event_t event;
	bool merge;
	int rc;

	if (key->type != YAML_SCALAR_EVENT)
		return fail_at(l, &key->start_mark, PM_CONFIG, "a key must be a text");
	if (map->n >= PM_CONFIG_KEYS_MAX)
		return fail_at(l, &key->start_mark, PM_LIMIT, "too many keys in one object");
	if (scalar_text(l, key, &name) < 0 || next_event(l, &event) < 0)
		return -1;
	merge = strcmp(name, "<<") == 0 && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	rc = load_node(l, &event, depth, &value);
	yaml_event_delete(&event);
	if (rc < 0)
		return -1;
	if (!merge && doc_get(map, name) != NULL)
		return fail_at(l, &key->start_mark, PM_CONFIG, "the key is there twice");
	value->name = name;
	value->name_line = (unsigned)key->start_mark.line + 1;
	value->name_column = (unsigned)key->start_mark.column + 1;
	doc_append(merge ? merges : map, value);
	return 0;
}

static int load_items(struct loader *l, unsigned depth, struct doc_node *parent)
{
	struct doc_node merges = { .type = DOC_LIST };
	yaml_event_t event;
	int rc = 0;

	while (rc == 0) {
		yaml_mark_t mark;
		bool end;

		if (next_event(l, &event) < 0)
			return -1;
		mark = event.start_mark;
		end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
		if (end) {
			rc = merge_all(l, parent, &merges, &mark);
		} else if (parent->type == DOC_MAP) {
			rc = load_pair(l, &event, depth, parent, &merges);
		} else {
			struct doc_node *child = NULL;

			rc = load_node(l, &event, depth, &child);
			if (rc == 0)
				doc_append(parent, child);
		}
		yaml_event_delete(&event);
		if (end)
			break;
	}
	return rc;
}

static const yaml_char_t *anchor_of(const yaml_event_t *e)
{
	if (e->type == YAML_SCALAR_EVENT)
		return e->data.scalar.anchor;
	return e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
	                                            : e->data.mapping_start.anchor;
}

static int load_node(struct loader *l, const yaml_event_t *e, unsigned depth, struct doc_node **out)
{
	const yaml_char_t *anchor;
	struct doc_node *node;
	size_t slot = 0;
	int rc;

	if (depth > PM_CONFIG_DEPTH_MAX)
		return fail_at(l, &e->start_mark, PM_LIMIT, "nested too deeply");
	if (e->type == YAML_ALIAS_EVENT)
		return load_alias(l, e, depth, out);
	if (e->type != YAML_SCALAR_EVENT && e->type != YAML_SEQUENCE_START_EVENT &&
	    e->type != YAML_MAPPING_START_EVENT)
		return fail_at(l, &e->start_mark, PM_CONFIG, "a value is missing");
	node = doc_node(l->doc, DOC_NULL, (unsigned)e->start_mark.line + 1,
	                (unsigned)e->start_mark.column + 1);
	if (node == NULL)
		return fail_room(l, &e->start_mark);
	anchor = anchor_of(e);
	if (anchor != NULL && remember(l, e, anchor, &slot) < 0)
		return -1;
	if (e->type == YAML_SCALAR_EVENT) {
		rc = load_scalar(l, e, node);
	} else {
		node->type = e->type == YAML_MAPPING_START_EVENT ? DOC_MAP : DOC_LIST;
		rc = load_items(l, depth + 1, node);
	}
	if (rc < 0)
		return -1;
	if (anchor != NULL)
		l->anchors[slot].node = node;
	*out = node;
	return 0;
}

/* Reads on to the event that begins the content; *got is false when the stream ends first. */
static int first_event(struct loader *l, yaml_event_t *event, bool *got)
{
	for (;;) {
		yaml_event_type_t type;

		if (next_event(l, event) < 0)
			return -1;
		type = event->type;
		*got = type != YAML_STREAM_END_EVENT;
		if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
		    type != YAML_DOCUMENT_END_EVENT)
			return 0;
		yaml_event_delete(event);
	}
}

static int load_document(struct loader *l, struct doc_node **out)
{
	yaml_event_t event;
	bool got = false;
	int rc;

	if (first_event(l, &event, &got) < 0)
		return -1;
	rc = got ? load_node(l, &event, 0, out)
	         : fail_at(l, &event.start_mark, PM_CONFIG, "the file is empty");
	yaml_event_delete(&event);
	if (rc < 0 || first_event(l, &event, &got) < 0)
		return -1;
	if (got)
		rc = fail_at(l, &event.start_mark, PM_CONFIG, "a second document in the file");
	yaml_event_delete(&event);
	return rc;
}

int config_parse_yaml(const char *bytes, size_t len, struct doc *doc, const struct doc_node **root,
                      struct config_place *place, struct pm_error *err)
{
	struct loader l = { .doc = doc, .place = place, .err = err };
	struct doc_node *node = NULL;
	int rc = -1;

	l.anchors = pm_calloc(ANCHORS_MAX, sizeof(*l.anchors));
	if (l.anchors == NULL || !yaml_parser_initialize(&l.parser)) {
		free(l.anchors);
		return pm_fail(err, PM_NO_MEMORY, "read YAML");
	}
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)bytes, len);
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	rc = load_document(&l, &node);
	yaml_parser_delete(&l.parser);
	free(l.anchors);
	if (rc == 0)
		*root = node;
	return rc;
}
