#include "proto/audit.h"

#include <string.h>

#include <sodium.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/utf8.h"

#define HEADER   "pmd-audit"
#define VERSION  1
#define CUT_MARK "[cut]"

static const size_t field_max[AUDIT_FIELDS] = {
	[AUDIT_ACTOR] = 256,   [AUDIT_ACTION] = 64,   [AUDIT_TARGET] = 1024,
	[AUDIT_DETAIL] = 2048, [AUDIT_OUTCOME] = 256,
};

size_t audit_field_max(enum audit_field field)
{
	return field_max[field];
}

bool audit_cut(enum audit_field field, const char *text, char *out)
{
	size_t len = strlen(text), most = field_max[field];

	if (len <= most) {
		memcpy(out, text, len + 1);
		return false;
	}
	len = pm_utf8_whole(text, most - strlen(CUT_MARK));
	memcpy(out, text, len);
	memcpy(out + len, CUT_MARK, sizeof(CUT_MARK));
	return true;
}

void audit_hash_text(const uint8_t hash[AUDIT_HASH_BYTES], char out[AUDIT_HASH_TEXT])
{
	(void)sodium_bin2hex(out, AUDIT_HASH_TEXT, hash, AUDIT_HASH_BYTES);
}

/* ---- the chain ---- */

static void hash_u64(crypto_generichash_state *state, uint64_t n)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(n >> (56 - 8 * i));
	(void)crypto_generichash_update(state, bytes, sizeof(bytes)); /* cannot fail */
}

static void hash_entry(const struct audit_head *head, const struct audit_entry *e,
                       uint8_t out[AUDIT_HASH_BYTES])
{
	char text[4096];
	crypto_generichash_state state;

	/* None of these can fail: the sizes are right. */
	(void)crypto_generichash_init(&state, NULL, 0, AUDIT_HASH_BYTES);
	(void)crypto_generichash_update(&state, head->hash, sizeof(head->hash));
	hash_u64(&state, e->seq);
	hash_u64(&state, (uint64_t)e->wall_ms);
	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		(void)audit_cut((enum audit_field)i, e->field[i] == NULL ? "" : e->field[i], text);
		hash_u64(&state, strlen(text));
		(void)crypto_generichash_update(&state, (const uint8_t *)text, strlen(text));
	}
	(void)crypto_generichash_final(&state, out, AUDIT_HASH_BYTES);
}

void audit_link(struct audit_head *head, struct audit_entry *e)
{
	e->seq = head->seq + 1;
	hash_entry(head, e, head->hash);
	head->seq = e->seq;
}

/* ---- lines ---- */

static void put_escaped(const char *s, struct pm_buf *out)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '\\')
			pm_buf_str(out, "\\\\");
		else if (c < 0x20 || c == 0x7f)
			pm_buf_printf(out, "\\x%02x", c);
		else
			pm_buf_char(out, *s);
	}
}

int audit_put_line(struct audit_head *head, struct audit_entry *e, struct pm_buf *out,
                   struct pm_error *err)
{
	struct audit_head next = *head;
	char text[4096];
	size_t before = out->len;

	audit_link(&next, e);
	pm_buf_printf(out, "%llu\t%lld", (unsigned long long)e->seq, (long long)e->wall_ms);
	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		(void)audit_cut((enum audit_field)i, e->field[i] == NULL ? "" : e->field[i], text);
		pm_buf_char(out, '\t');
		put_escaped(text, out);
	}
	audit_hash_text(next.hash, text);
	pm_buf_printf(out, "\t%s\n", text);
	if (out->failed) {
		out->len = before;
		return pm_fail(err, PM_NO_MEMORY, "write the audit log");
	}
	*head = next;
	return 0;
}

struct line {
	const char *at, *end;
	char *text;
};

static bool hex_digit(char c, unsigned *out)
{
	if (c >= '0' && c <= '9')
		*out = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*out = (unsigned)(c - 'a') + 10;
	else
		return false;
	return true;
}

/* A part up to a tab or the end, with its escapes resolved; NULL: it is none of ours. */
static const char *part(struct line *l)
{
	char *start = l->text;

	for (; l->at < l->end && *l->at != '\t'; l->at++) {
		unsigned char c = (unsigned char)*l->at;
		unsigned high, low;

		if (c < 0x20 || c == 0x7f)
			return NULL;
		if (c == '\\' && l->end - l->at >= 2 && l->at[1] == '\\') {
			l->at++;
		} else if (c == '\\') {
			/* Only what put_escaped() escapes: one text has one line. */
			if (l->end - l->at < 4 || l->at[1] != 'x' || !hex_digit(l->at[2], &high) ||
			    !hex_digit(l->at[3], &low))
				return NULL;
			c = (unsigned char)(high * 16 + low);
			if (c == 0 || (c >= 0x20 && c != 0x7f))
				return NULL;
			l->at += 3;
		}
		*l->text++ = (char)c;
	}
	*l->text++ = '\0';
	l->at += l->at < l->end;
	return start;
}

static bool number(const char *s, bool sign, uint64_t *out)
{
	bool minus = sign && *s == '-';
	uint64_t n = 0;

	s += minus;
	if (*s == '\0' || strlen(s) > 19 || (*s == '0' && s[1] != '\0') || (minus && *s == '0'))
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*out = minus ? 0 - n : n;
	return n <= INT64_MAX;
}

static bool hash_of(const char *hex, uint8_t out[AUDIT_HASH_BYTES])
{
	if (hex == NULL || strlen(hex) != 2 * AUDIT_HASH_BYTES)
		return false;
	for (size_t i = 0; i < AUDIT_HASH_BYTES; i++) {
		unsigned high, low;

		if (!hex_digit(hex[2 * i], &high) || !hex_digit(hex[2 * i + 1], &low))
			return false;
		out[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

static bool read_parts(struct line *l, struct audit_entry *e, uint8_t hash[AUDIT_HASH_BYTES])
{
	const char *seq = part(l), *wall;
	uint64_t wall_ms;

	if (seq == NULL || !number(seq, false, &e->seq))
		return false;
	wall = part(l);
	if (wall == NULL || !number(wall, true, &wall_ms))
		return false;
	e->wall_ms = (int64_t)wall_ms;
	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		e->field[i] = part(l);
		if (e->field[i] == NULL || strlen(e->field[i]) > field_max[i])
			return false;
	}
	return hash_of(part(l), hash) && l->at == l->end && l->at[-1] != '\t';
}

int audit_check_line(struct audit_head *head, const char *line, size_t len, struct audit_entry *e,
                     char *text, struct pm_error *err)
{
	struct line l = { .at = line, .end = line + len, .text = text };
	uint8_t hash[AUDIT_HASH_BYTES], want[AUDIT_HASH_BYTES];

	if (len == 0 || len > PM_AUDIT_LINE_MAX || !read_parts(&l, e, hash))
		return pm_fail(err, PM_CORRUPT, "not an entry, behind entry %llu",
		               (unsigned long long)head->seq);
	if (e->seq != head->seq + 1)
		return pm_fail(err, PM_CORRUPT, "entry %llu stands where %llu should",
		               (unsigned long long)e->seq, (unsigned long long)head->seq + 1);
	hash_entry(head, e, want);
	if (sodium_memcmp(hash, want, sizeof(want)) != 0)
		return pm_fail(err, PM_CORRUPT, "entry %llu is not what was written",
		               (unsigned long long)e->seq);
	memcpy(head->hash, hash, sizeof(hash));
	head->seq = e->seq;
	return 0;
}

void audit_put_header(const struct audit_head *head, struct pm_buf *out)
{
	char hash[AUDIT_HASH_TEXT];

	audit_hash_text(head->hash, hash);
	pm_buf_printf(out, HEADER "\t%d\t%llu\t%s\n", VERSION, (unsigned long long)head->seq, hash);
}

int audit_read_header(const char *line, size_t len, struct audit_head *head, struct pm_error *err)
{
	char text[160];
	struct line l = { .at = line, .end = line + len, .text = text };
	const char *words[3];
	struct audit_head found;
	uint64_t version;

	if (len + 4 > sizeof(text))
		return pm_fail(err, PM_CORRUPT, "not an audit log");
	for (size_t i = 0; i < PM_COUNT(words); i++)
		words[i] = part(&l);
	if (words[0] == NULL || words[1] == NULL || words[2] == NULL ||
	    strcmp(words[0], HEADER) != 0 || !number(words[1], false, &version))
		return pm_fail(err, PM_CORRUPT, "not an audit log");
	if (version > VERSION)
		return pm_fail(err, PM_UNSUPPORTED,
		               "an audit log of version %llu, this is pmd " PM_VERSION,
		               (unsigned long long)version);
	if (!number(words[2], false, &found.seq) || !hash_of(part(&l), found.hash) ||
	    l.at != l.end || l.at[-1] == '\t')
		return pm_fail(err, PM_CORRUPT, "not an audit log");
	*head = found;
	return 0;
}
