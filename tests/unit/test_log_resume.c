/* A reader of logs that goes on where an earlier one was, when its connection was cut. */
#include "tests/unit/log_reader_rig.h"

/* What is left of a reader whose connection was cut goes on with the next one. */
static void cut_and_resume(struct place *p, struct receiver *v, Pm__LogQuery *q,
                           const struct log_reader_source *s)
{
	Pm__LogPosition *list = &v->at;
	const Pm__LogPosition fresh = PM__LOG_POSITION__INIT;

	log_reader_close(v->reader);
	v->reader = NULL;
	settle(p);
	if (v->at.file != 0) {
		v->at.base = fresh.base;
		v->at.path = p->path;
		q->resume = &list;
		q->n_resume = 1;
	}
	open_reader(p, v, q, s, 1);
}

static void f34_a_later_reader_goes_on_where_an_earlier_one_was_over_rotation(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 12; seed++) {
		struct receiver v = { .plain = true };
		Pm__LogQuery q = query(1000000, true);
		uint32_t rng = seed;
		unsigned n_cuts = 0;
		struct writer w;
		struct place p;

		place_init(&p);
		if (seed % 3 == 1)
			p.config.combined_path = p.combined; /* staged */
		p.spec.log_max_size = 3000;
		p.spec.log_compress = seed % 2 == 1 ? PM__COMPRESSION__COMPRESSION_GZIP
		                                    : PM__COMPRESSION__COMPRESSION_NONE;
		place_open_logs(&p);
		writer_start(&p, &w, seed);
		struct log_reader_source s = source_of(&p, 1);
		v.credit = 1;
		open_reader(&p, &v, &q, &s, 1);
		for (unsigned turn = 0; turn < 400; turn++) {
			writer_go(&w, random_of(&rng, 700));
			for (unsigned i = random_of(&rng, 4); i > 0; i--)
				(void)uv_run(&p.loop, UV_RUN_NOWAIT);
			if (random_of(&rng, 3) == 0) {
				v.credit += 1 + random_of(&rng, 3);
				log_reader_go(v.reader);
			}
			if (random_of(&rng, 18) == 0) {
				cut_and_resume(&p, &v, &q, &s);
				n_cuts++;
			}
		}
		writer_end_line(&w);
		cut_and_resume(&p, &v, &q, &s);
		v.credit = UINT32_MAX;
		log_reader_go(v.reader);
		settle(&p);
		assert_true(n_cuts > 5);
		assert_int_equal(v.n_gaps, 0);
		assert_int_equal(check_numbers(v.text.bytes, 0), w.n);
		close_reader(&p, &v);
		writer_stop(&w);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void f34_a_file_that_is_gone_meanwhile_is_told(void **state)
{
	struct receiver v = { .plain = true };
	Pm__LogQuery q = query(0, true);
	unsigned last;
	struct writer w;
	struct place p;

	(void)state;
	place_init(&p);
	p.spec.log_max_size = 1000;
	p.spec.log_keep = 1;
	place_open_logs(&p);
	writer_start(&p, &w, 1);
	struct log_reader_source s = source_of(&p, 1);
	open_reader(&p, &v, &q, &s, 1);
	writer_go(&w, 300);
	writer_end_line(&w);
	settle(&p);
	assert_int_equal(check_numbers(v.text.bytes, 0), w.n);
	last = w.n;
	log_reader_close(v.reader);
	settle(&p);
	for (unsigned i = 0; i < 30; i++) {
		writer_go(&w, 300);
		settle(&p);
	}
	writer_end_line(&w);
	settle(&p);
	pm_buf_reset(&v.text);
	v.at.wall_ms = pm_wall_ms() - 60000;
	Pm__LogPosition *list = &v.at;
	const Pm__LogPosition fresh = PM__LOG_POSITION__INIT;
	v.at.base = fresh.base;
	v.at.path = p.path;
	q.resume = &list;
	q.n_resume = 1;
	open_reader(&p, &v, &q, &s, 1);
	settle(&p);
	assert_int_equal(v.n_gaps, 1);
	assert_true(strtoul(v.text.bytes, NULL, 10) > last);
	assert_int_equal(check_numbers(v.text.bytes, (unsigned)strtoul(v.text.bytes, NULL, 10)),
	                 w.n);
	close_reader(&p, &v);
	writer_stop(&w);
	place_close_logs(&p);
	place_finish(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(f34_a_later_reader_goes_on_where_an_earlier_one_was_over_rotation),
		cmocka_unit_test(f34_a_file_that_is_gone_meanwhile_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
