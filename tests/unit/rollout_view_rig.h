/* rollout_view_rig.h - a coordinator's answers about one rollout, made up: for tests of what is
 * shown.
 */
#ifndef PM_TESTS_ROLLOUT_VIEW_RIG_H
#define PM_TESTS_ROLLOUT_VIEW_RIG_H

#include <stdio.h>

#include "cli/rollout_copy.h"
#include "proto/buf.h"

#define NOW 1795824467000

static struct rollout_copy copy;
static Pm__RolloutStatus status;
static Pm__RolloutStep *steps[1000];
static uint32_t batches[16];
static uint64_t progress, taken; /* of the last change, and of what the copy has */

static inline int setup(void **state)
{
	(void)state;
	copy = (struct rollout_copy){ 0 };
	progress = taken = 0;
	return 0;
}

static inline void set(char **field, const char *text)
{
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = pm_strdup(text);
	assert_non_null(*field);
}

static inline int teardown(void **state)
{
	(void)state;
	rollout_copy_finish(&copy);
	for (size_t i = 0; i < PM_COUNT(steps) && steps[i] != NULL; i++) {
		pm__rollout_step__free_unpacked(steps[i], NULL);
		steps[i] = NULL;
	}
	status.n_batches = 0;
	status.batches = NULL;
	for (size_t i = 0; i < status.n_options; i++)
		pm__rollout_option__free_unpacked(status.options[i], NULL);
	free(status.options);
	for (char **text = (char *[]){ status.id, status.what, status.why, status.hold, NULL };
	     *text != NULL; text++)
		if (*text != protobuf_c_empty_string)
			free(*text);
	return 0;
}

static inline void option(const char *name, const char *value)
{
	status.options = pm_realloc(status.options, (status.n_options + 1) * sizeof(void *));
	assert_non_null(status.options);
	status.options[status.n_options] = pm_calloc(1, sizeof(Pm__RolloutOption));
	assert_non_null(status.options[status.n_options]);
	pm__rollout_option__init(status.options[status.n_options]);
	set(&status.options[status.n_options]->name, name);
	set(&status.options[status.n_options++]->value, value);
}

/* n hosts in batches of these sizes; what is left over is in none. */
static inline void make(unsigned n, int digits, const uint32_t *sizes, size_t n_sizes)
{
	unsigned batch = 0, room = 0;
	char name[32];

	pm__rollout_status__init(&status);
	set(&status.id, "r-7f3a");
	set(&status.what, "reload api");
	status.state = PM__ROLLOUT_STATE__ROLLOUT_RUNNING;
	status.created_wall_ms = NOW;
	status.n_hosts = n;
	memcpy(batches, sizes, n_sizes * sizeof(*sizes));
	status.batches = batches;
	status.n_batches = n_sizes;
	option("max_fail", "0");
	option("on_failure", "pause");
	for (unsigned i = 0; i < n; i++) {
		while (room == 0 && batch < n_sizes)
			room = sizes[batch++];
		steps[i] = pm_calloc(1, sizeof(Pm__RolloutStep));
		assert_non_null(steps[i]);
		pm__rollout_step__init(steps[i]);
		(void)snprintf(name, sizeof(name), "web%0*u", digits, i + 1);
		set(&steps[i]->name, name);
		(void)snprintf(name, sizeof(name), "%08x", (i + 1) * 2654435761u);
		set(&steps[i]->agent, name);
		steps[i]->batch = room > 0 ? batch : 0;
		steps[i]->state = PM__STEP_STATE__STEP_PENDING;
		steps[i]->progress = ++progress;
		room -= room > 0;
	}
	status.batch = 1;
}

/* Hosts first to last, counted from 1. */
static inline void become(unsigned first, unsigned last, Pm__StepState state, const char *text)
{
	for (unsigned i = first; i <= last; i++) {
		steps[i - 1]->state = state;
		steps[i - 1]->code = state == PM__STEP_STATE__STEP_FAILED    ? PM_FAILED
		                     : state == PM__STEP_STATE__STEP_SKIPPED ? PM_UNREACHABLE
		                                                             : PM_OK;
		set(&steps[i - 1]->text, text);
		steps[i - 1]->progress = ++progress;
	}
}

static inline void tail(unsigned nth, const char *text)
{
	steps[nth - 1]->log_tail.data = (uint8_t *)pm_strdup(text);
	steps[nth - 1]->log_tail.len = strlen(text);
}

/* The coordinator's answer, in pages of 300, as for what is behind the last one. */
static inline void answer(void)
{
	Pm__RolloutStep *page[300];
	struct pm_error err;
	size_t at = 0;

	status.progress = ++progress;
	do {
		Pm__RolloutStatus one = status;

		one.steps = page;
		for (; at < status.n_hosts && one.n_steps < PM_COUNT(page); at++)
			if (steps[at]->progress > taken)
				page[one.n_steps++] = steps[at];
		assert_int_equal(rollout_copy_take(&copy, &one, &err), 0);
	} while (at < status.n_hosts);
	taken = progress;
}

static inline void is_text(struct pm_buf *out, const char *want)
{
	assert_false(out->failed);
	assert_string_equal(out->bytes == NULL ? "" : out->bytes, want);
	pm_buf_reset(out);
}

static inline void end_in(Pm__RolloutState state, const char *why)
{
	status.state = state;
	set(&status.why, why);
	answer();
}

/* One more app that the step is about; digests are the letter, all over. */
static inline void app(unsigned nth, const char *name, const char *from, const char *to,
                       char digest, uint32_t n_running)
{
	Pm__RolloutStep *s = steps[nth - 1];
	Pm__StepApp *one = pm_calloc(1, sizeof(*one));

	s->apps = pm_realloc(s->apps, (s->n_apps + 1) * sizeof(void *));
	assert_non_null(s->apps);
	assert_non_null(one);
	pm__step_app__init(one);
	set(&one->name, name);
	set(&one->version_from, from);
	set(&one->version_to, to);
	one->spec_from.data = pm_calloc(16, 1);
	one->spec_to.data = pm_calloc(16, 1);
	assert_non_null(one->spec_from.data);
	assert_non_null(one->spec_to.data);
	memset(one->spec_from.data, 'a', 16);
	memset(one->spec_to.data, digest, 16);
	one->spec_from.len = one->spec_to.len = 16;
	one->n_running = n_running;
	one->changes = digest != 'a';
	s->apps[s->n_apps++] = one;
}

#endif
