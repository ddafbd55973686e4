/* log_reader_none.c - in place of log_reader.c until that lands: whoever brings it deletes this
 * file. */
#include "agent/logs.h"

int log_reader_open(struct logs *l, const Pm__LogQuery *query,
                    const struct log_reader_source *sources, size_t n_sources,
                    const struct log_reader_hooks *hooks, struct log_reader **out,
                    struct pm_error *err)
{
	(void)l;
	(void)query;
	(void)sources;
	(void)n_sources;
	(void)hooks;
	(void)out;
	return pm_fail(err, PM_UNSUPPORTED, "this build cannot read logs");
}

void log_reader_go(struct log_reader *r)
{
	(void)r;
}

void log_reader_close(struct log_reader *r)
{
	(void)r;
}

int log_reader_add(struct log_reader *r, const struct log_reader_source *source,
                   struct pm_error *err)
{
	(void)r;
	(void)source;
	return pm_fail(err, PM_UNSUPPORTED, "this build cannot read logs");
}
