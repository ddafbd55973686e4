/* log_reader_rig.h - a receiver that writes down what a reader sends it, and an app that writes. */
#ifndef PM_TESTS_LOG_READER_RIG_H
#define PM_TESTS_LOG_READER_RIG_H

#include "tests/unit/logs_test.h"

struct receiver {
	struct log_reader *reader;
	struct pm_buf text; /* lines, each as "<source>:<text>\n"; a part without the newline */
	unsigned n_lines, n_live, n_sources, n_gaps, n_bounds, n_ends, history_ends;
	char why[256]; /* of the last gap */
	uint64_t gap_bytes, gap_lines;
	int64_t last_wall_ms;
	Pm__LogPosition at; /* behind the last line */
	bool plain;         /* text without the source */
	unsigned credit;    /* messages still taken; refused then */
	unsigned n_refused;
};

static inline void take_line(struct receiver *v, const Pm__LogLine *line)
{
	if (!v->plain)
		pm_buf_printf(&v->text, "%u:", line->source);
	pm_buf_add(&v->text, line->text.data, line->text.len);
	if (!line->partial)
		pm_buf_char(&v->text, '\n');
	v->n_lines++;
	v->n_live += line->live;
	v->last_wall_ms = line->wall_ms;
	v->at.file = line->file;
	v->at.offset = line->offset + line->text.len + (line->partial ? 0 : 1);
	v->at.wall_ms = line->wall_ms;
}

static inline bool on_send(void *arg, const Pm__StreamData *data)
{
	struct receiver *v = arg;

	if (v->credit == 0) {
		v->n_refused++;
		return false;
	}
	v->credit--;
	assert_in_range(pm__stream_data__get_packed_size(data), 1, 65400);
	if (data->what_case == PM__STREAM_DATA__WHAT_SOURCE) {
		v->n_sources++;
	} else if (data->what_case == PM__STREAM_DATA__WHAT_GAP) {
		v->n_gaps++;
		v->n_bounds += data->gap->bound;
		(void)snprintf(v->why, sizeof(v->why), "%s", data->gap->why);
		v->gap_bytes += data->gap->bytes;
		v->gap_lines += data->gap->lines;
	} else {
		for (size_t i = 0; i < data->lines->n_lines; i++)
			take_line(v, data->lines->lines[i]);
		v->history_ends += data->lines->history_end;
	}
	return true;
}

static inline void on_end(void *arg, const struct pm_error *err)
{
	struct receiver *v = arg;

	assert_null(err);
	v->n_ends++;
}

static inline void open_reader(struct place *p, struct receiver *v, const Pm__LogQuery *q,
                               const struct log_reader_source *sources, size_t n)
{
	const struct log_reader_hooks hooks = { .arg = v, .send = on_send, .end = on_end };
	struct pm_error err;

	if (v->credit == 0)
		v->credit = UINT32_MAX;
	assert_int_equal(log_reader_open(p->logs, q, sources, n, &hooks, &v->reader, &err), 0);
}

static inline void close_reader(struct place *p, struct receiver *v)
{
	log_reader_close(v->reader);
	settle(p);
	pm_buf_finish(&v->text);
}

static inline Pm__LogQuery query(uint32_t lines, bool follow)
{
	Pm__LogQuery q = PM__LOG_QUERY__INIT;

	q.lines = lines;
	q.follow = follow;
	return q;
}

static inline struct log_reader_source source_of(const struct place *p, uint32_t n)
{
	return (struct log_reader_source){ .source = n, .name = "app", .path = p->path };
}

/* An app that writes numbered lines in odd chunks, so many bytes at a time. */
struct writer {
	struct log_stream *s;
	struct capture_state words;
	int fd;
	unsigned n;     /* the next line's number */
	char line[256]; /* what is not written of it */
	size_t len, pos;
	uint32_t rng;
};

static inline uint32_t random_of(uint32_t *rng, uint32_t below)
{
	*rng = *rng * 1664525u + 1013904223u;
	return (*rng >> 8) % below;
}

static inline void writer_start(struct place *p, struct writer *w, uint32_t seed)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	w->rng = seed;
	make_pipe(fds);
	w->fd = fds[1];
	w->s = attach(p, fds[0], &w->words);
}

static inline void writer_go(struct writer *w, size_t bytes)
{
	while (bytes > 0) {
		size_t n;

		if (w->pos == w->len) {
			w->len =
				(size_t)snprintf(w->line, sizeof(w->line), "%u:%.*s\n", w->n,
			                         (int)random_of(&w->rng, 60),
			                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvw"
			                         "xyzabcdefghij");
			w->pos = 0;
			w->n++;
		}
		n = PM_MIN(bytes, w->len - w->pos);
		put_bytes(w->fd, w->line + w->pos, n);
		w->pos += n;
		bytes -= n;
	}
}

static inline void writer_end_line(struct writer *w)
{
	put_bytes(w->fd, w->line + w->pos, w->len - w->pos);
	w->pos = w->len;
}

static inline void writer_stop(struct writer *w)
{
	unsigned done = 0;

	(void)close(w->fd);
	log_stream_detach(w->s, count_done, &done);
	assert_int_equal(done, 1);
}

/* Lines numbered from `first`, without one missing, twice or damaged. */
static inline unsigned check_numbers(const char *text, unsigned first)
{
	unsigned n = first;

	while (*text != '\0') {
		char *end;
		unsigned got = (unsigned)strtoul(text, &end, 10);

		assert_int_equal(got, n);
		assert_int_equal(*end, ':');
		text = strchr(end, '\n');
		assert_non_null(text);
		text++;
		n++;
	}
	return n;
}

#endif
