#include "agent/instance_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/order.h"
#include "agent/reload.h"

/* Log text that goes with a failed start. */
#define TAIL_MAX 4096

static char *read_tail(const char *path, off_t from, size_t *len)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	PM_FREE char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return NULL;
	if (from > st.st_size)
		from = 0; /* rotated meanwhile */
	if (st.st_size - from > TAIL_MAX)
		from = st.st_size - TAIL_MAX;
	text = pm_calloc(TAIL_MAX, 1);
	if (text == NULL)
		return NULL;
	n = pread(fd, text, TAIL_MAX, from);
	if (n <= 0)
		return NULL;
	*len = (size_t)n;
	return PM_STEAL(text);
}

/* What the last run wrote: stderr, or stdout when there was none. */
char *inst_log_tail(struct instance *inst, size_t *len)
{
	struct log_names names;
	struct pm_error err;
	char *tail;

	if (instance_log_names(inst, &names, &err) < 0)
		return NULL;
	tail = read_tail(names.err, inst->log_start[1], len);
	return tail != NULL ? tail : read_tail(names.out, inst->log_start[0], len);
}

void inst_remember_log_sizes(struct instance *inst)
{
	struct log_names names;
	struct pm_error err;
	struct stat st;

	if (instance_log_names(inst, &names, &err) < 0)
		return;
	inst->log_start[0] = stat(names.out, &st) == 0 ? st.st_size : 0;
	inst->log_start[1] = stat(names.err, &st) == 0 ? st.st_size : 0;
}

static void settle_one(struct instance *inst, struct waiter *w, enum pm_code code)
{
	struct order_outcome out = { .code = code, .text = "", .hint = "" };

	if (code != PM_OK) {
		out.text = inst->why != NULL ? inst->why : "";
		out.hint = inst->hint != NULL ? inst->hint : "";
		out.log_tail = inst_log_tail(inst, &out.log_tail_len);
	}
	order_settled(w->order, w->at, inst, &out);
	free(w);
}

/* Answer all that wait; only_settle: leave those that want to see it stay up. */
void inst_settle(struct instance *inst, enum pm_code code, bool leave_settlers)
{
	struct waiter *list = PM_STEAL(inst->waiters), *kept = NULL;

	while (list != NULL) {
		struct waiter *w = list;

		list = w->next;
		if (leave_settlers && w->settle) {
			w->next = kept;
			kept = w;
		} else {
			settle_one(inst, w, code);
		}
	}
	while (kept != NULL) { /* answers may have brought new ones */
		struct waiter *w = kept;

		kept = w->next;
		w->next = inst->waiters;
		inst->waiters = w;
	}
}

void instance_drop_order(struct instance *inst, const struct order *order)
{
	struct waiter **at = &inst->waiters;

	reload_drop_order(inst, order);
	while (*at != NULL) {
		struct waiter *w = *at;

		if (w->order == order) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
}

bool inst_add_waiter(struct instance *inst, const struct instance_order *o)
{
	struct waiter *w = pm_calloc(1, sizeof(*w));

	if (w == NULL)
		return false;
	*w = (struct waiter){ inst->waiters, o->order, o->at, o->settle };
	inst->waiters = w;
	return true;
}

void inst_refuse(struct instance *inst, const struct instance_order *o, enum pm_code code,
                 const char *text)
{
	const struct order_outcome out = { .code = code, .text = text, .hint = "" };

	if (o->order != NULL)
		order_settled(o->order, o->at, inst, &out);
}
