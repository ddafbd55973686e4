#include "proto/doc.h"

#include <stdlib.h>
#include <string.h>

#include "proto/units.h"

#define BLOCK_BYTES 16384

struct block {
	struct block *next; /* owned */
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

struct doc {
	struct block *blocks; /* owned; the first is the one in use */
	size_t left;          /* bytes that may still be taken */
	bool full;
};

struct doc *doc_create(size_t max_bytes)
{
	struct doc *doc = pm_calloc(1, sizeof(*doc));

	if (doc != NULL)
		doc->left = max_bytes;
	return doc;
}

void doc_destroy(struct doc *doc)
{
	struct block *next;

	if (doc == NULL)
		return;
	for (struct block *b = doc->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(doc);
}

void doc_destroyp(struct doc **doc)
{
	doc_destroy(*doc);
}

bool doc_is_full(const struct doc *doc)
{
	return doc->full;
}

static void *take(struct doc *doc, size_t size)
{
	size_t need = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	struct block *b = doc->blocks;
	void *p;

	if (need < size || need > doc->left) {
		doc->full = true;
		return NULL;
	}
	if (b == NULL || b->size - b->used < need) {
		size_t room = need > BLOCK_BYTES ? need : BLOCK_BYTES;

		b = pm_calloc(1, sizeof(*b) + room);
		if (b == NULL)
			return NULL;
		b->size = room;
		b->next = doc->blocks;
		doc->blocks = b;
	}
	p = b->bytes + b->used;
	b->used += need;
	doc->left -= need;
	return p;
}

struct doc_node *doc_node(struct doc *doc, enum doc_type type, unsigned line, unsigned column)
{
	struct doc_node *node = take(doc, sizeof(*node));

	if (node == NULL)
		return NULL;
	node->type = type;
	node->line = line;
	node->column = column;
	return node;
}

const char *doc_text(struct doc *doc, const char *bytes, size_t len)
{
	char *text = len < SIZE_MAX ? take(doc, len + 1) : NULL;

	if (text != NULL && len > 0)
		memcpy(text, bytes, len);
	return text;
}

void doc_append(struct doc_node *parent, struct doc_node *child)
{
	if (parent->last != NULL)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n++;
}

const struct doc_node *doc_get(const struct doc_node *map, const char *name)
{
	const struct doc_node *found = NULL;

	for (const struct doc_node *v = map->first; v != NULL; v = v->next)
		if (v->name != NULL && strcmp(v->name, name) == 0)
			found = v;
	return found;
}

const char *doc_type_name(enum doc_type type)
{
	static const char *const names[] = {
		[DOC_NULL] = "null", [DOC_BOOL] = "true or false", [DOC_NUMBER] = "number",
		[DOC_TEXT] = "text", [DOC_LIST] = "list",          [DOC_MAP] = "object",
	};

	return names[type];
}

static void json_text(const char *s, struct pm_buf *out)
{
	pm_buf_char(out, '"');
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			pm_buf_char(out, '\\');
			pm_buf_char(out, *s);
		} else if (c == '\n') {
			pm_buf_str(out, "\\n");
		} else if (c == '\t') {
			pm_buf_str(out, "\\t");
		} else if (c == '\r') {
			pm_buf_str(out, "\\r");
		} else if (c < 0x20) {
			pm_buf_printf(out, "\\u%04x", c);
		} else {
			pm_buf_char(out, *s);
		}
	}
	pm_buf_char(out, '"');
}

/* The parsers bound the depth of a tree, and so that of this recursion. */
static void json_items(const struct doc_node *node, struct pm_buf *out)
{
	for (const struct doc_node *v = node->first; v != NULL; v = v->next) {
		if (v != node->first)
			pm_buf_char(out, ',');
		if (node->type == DOC_MAP) {
			json_text(v->name, out);
			pm_buf_char(out, ':');
		}
		doc_to_json(v, out);
	}
}

void doc_to_json(const struct doc_node *node, struct pm_buf *out)
{
	char number[PM_NUMBER_TEXT];

	switch (node->type) {
	case DOC_NULL:
		pm_buf_str(out, "null");
		break;
	case DOC_BOOL:
		pm_buf_str(out, node->truth ? "true" : "false");
		break;
	case DOC_NUMBER:
		pm_number_text(node->number, number);
		pm_buf_str(out, __builtin_isfinite(node->number) ? number : "null");
		break;
	case DOC_TEXT:
		json_text(node->text, out);
		break;
	case DOC_LIST:
		pm_buf_char(out, '[');
		json_items(node, out);
		pm_buf_char(out, ']');
		break;
	case DOC_MAP:
		pm_buf_char(out, '{');
		json_items(node, out);
		pm_buf_char(out, '}');
		break;
	}
}

void doc_to_text(const struct doc_node *node, struct pm_buf *out)
{
	char number[PM_NUMBER_TEXT];

	if (node->type == DOC_TEXT) {
		pm_buf_str(out, node->text);
	} else if (node->type == DOC_NUMBER) {
		pm_number_text(node->number, number);
		pm_buf_str(out, number);
	} else {
		doc_to_json(node, out);
	}
}
