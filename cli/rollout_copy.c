#include "cli/rollout_copy.h"

#include <stdlib.h>
#include <string.h>

#include "proto/codec.h"
#include "proto/hostlist.h"
#include "proto/limits.h"

#define ID_MAX    40
#define STORY_MAX 10000 /* entries; further ones are not taken */

void rollout_copy_finish(struct rollout_copy *c)
{
	if (c->status != NULL)
		pm__rollout_status__free_unpacked(c->status, NULL);
	for (size_t i = 0; i < c->n_steps; i++)
		pm__rollout_step__free_unpacked(c->steps[i].msg, NULL);
	for (size_t i = 0; i < c->n_story; i++)
		pm__rollout_event__free_unpacked(c->story[i], NULL);
	free(c->steps);
	free(c->by_agent);
	free(c->story);
	*c = (struct rollout_copy){ 0 };
}

/* ---- taking ---- */

static int no_memory(struct pm_error *err)
{
	return pm_fail(err, PM_NO_MEMORY, "out of memory");
}

/* Ids are printed as parts of commands to copy. */
static bool is_id(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= ID_MAX &&
	       strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz-") == len;
}

static int take_status(struct rollout_copy *c, const Pm__RolloutStatus *page, struct pm_error *err)
{
	Pm__RolloutStatus bare = *page, *copy;

	bare.n_steps = bare.n_story = 0;
	copy = pm_message_copy(&bare.base);
	if (copy == NULL)
		return no_memory(err);
	if (c->status != NULL)
		pm__rollout_status__free_unpacked(c->status, NULL);
	c->status = copy;
	return 0;
}

/* Where the agent is in by_agent, or belongs. */
static size_t place_of(const struct rollout_copy *c, const char *agent, bool *found)
{
	size_t low = 0, high = c->n_steps;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int cmp = strcmp(c->steps[c->by_agent[middle]].msg->agent, agent);

		if (cmp == 0) {
			*found = true;
			return middle;
		}
		if (cmp < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

static int grow_steps(struct rollout_copy *c, struct pm_error *err)
{
	size_t cap = c->cap_steps == 0 ? 64 : c->cap_steps * 2;
	struct copy_step *steps = pm_realloc(c->steps, cap * sizeof(*steps));
	uint32_t *by_agent;

	if (steps == NULL)
		return no_memory(err);
	c->steps = steps;
	by_agent = pm_realloc(c->by_agent, cap * sizeof(*by_agent));
	if (by_agent == NULL)
		return no_memory(err);
	c->by_agent = by_agent;
	c->cap_steps = cap;
	return 0;
}

static int add_step(struct rollout_copy *c, size_t at, Pm__RolloutStep *msg, struct pm_error *err)
{
	if (c->n_steps >= PM_HOSTS_MAX)
		return pm_fail(err, PM_LIMIT, "a rollout of more than %u hosts", PM_HOSTS_MAX);
	if (c->n_steps == c->cap_steps && grow_steps(c, err) < 0)
		return -1;
	memmove(&c->by_agent[at + 1], &c->by_agent[at], (c->n_steps - at) * sizeof(*c->by_agent));
	c->by_agent[at] = (uint32_t)c->n_steps;
	c->steps[c->n_steps++] = (struct copy_step){ msg, PM__STEP_STATE__STEP_PENDING };
	return 0;
}

static int take_step(struct rollout_copy *c, const Pm__RolloutStep *step, struct pm_error *err)
{
	Pm__RolloutStep *copy;
	bool found;
	size_t at = place_of(c, step->agent, &found);

	/* Names go to the terminal in many ways: what is none goes no further than here. */
	if (!hostlist_is_name(step->name))
		return pm_fail(err, PM_PROTOCOL, "the coordinator told of a host without a name");
	copy = pm_message_copy(&step->base);
	if (copy == NULL)
		return no_memory(err);
	if ((unsigned)copy->state >= ROLLOUT_STEP_STATES ||
	    copy->state == PM__STEP_STATE__STEP_UNSPECIFIED)
		copy->state = PM__STEP_STATE__STEP_UNKNOWN; /* a word of a later version */
	if (found) {
		struct copy_step *old = &c->steps[c->by_agent[at]];

		pm__rollout_step__free_unpacked(old->msg, NULL);
		old->msg = copy;
		return 0;
	}
	if (add_step(c, at, copy, err) == 0)
		return 0;
	pm__rollout_step__free_unpacked(copy, NULL);
	return -1;
}

static void forget_steps(struct rollout_copy *c)
{
	for (size_t i = 0; i < c->n_steps; i++)
		pm__rollout_step__free_unpacked(c->steps[i].msg, NULL);
	c->n_steps = 0;
}

static int take_event(struct rollout_copy *c, const Pm__RolloutEvent *event, struct pm_error *err)
{
	Pm__RolloutEvent *copy;

	/* What was asked for twice, around a cut of the connection, is there already. */
	if (c->n_story >= STORY_MAX ||
	    (c->n_story > 0 && event->progress <= c->story[c->n_story - 1]->progress))
		return 0;
	if (c->n_story == c->cap_story) {
		size_t cap = c->cap_story == 0 ? 32 : c->cap_story * 2;
		Pm__RolloutEvent **story = pm_realloc(c->story, cap * sizeof(*story));

		if (story == NULL)
			return no_memory(err);
		c->story = story;
		c->cap_story = cap;
	}
	copy = pm_message_copy(&event->base);
	if (copy == NULL)
		return no_memory(err);
	c->story[c->n_story++] = copy;
	return 0;
}

int rollout_copy_take(struct rollout_copy *c, const Pm__RolloutStatus *page, struct pm_error *err)
{
	bool turned = c->status != NULL && page->undoing && !c->status->undoing;

	if (!is_id(page->id))
		return pm_fail(err, PM_PROTOCOL, "the coordinator told of a rollout without an id");
	if (turned)
		forget_steps(c);
	if (take_status(c, page, err) < 0)
		return -1;
	for (size_t i = 0; i < page->n_steps; i++)
		if (take_step(c, page->steps[i], err) < 0)
			return -1;
	for (size_t i = 0; i < page->n_story; i++)
		if (take_event(c, page->story[i], err) < 0)
			return -1;
	return 0;
}

/* ---- what it comes to ---- */

bool rollout_copy_rests(const struct rollout_copy *c)
{
	switch (c->status->state) {
	case PM__ROLLOUT_STATE__ROLLOUT_PLANNED:
	case PM__ROLLOUT_STATE__ROLLOUT_PAUSED:
	case PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED:
	case PM__ROLLOUT_STATE__ROLLOUT_FAILED:
	case PM__ROLLOUT_STATE__ROLLOUT_UNDONE:
	case PM__ROLLOUT_STATE__ROLLOUT_ABORTED:
		return true;
	case PM__ROLLOUT_STATE__ROLLOUT_UNSPECIFIED:
	case PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK:
	case PM__ROLLOUT_STATE__ROLLOUT_RUNNING:
	case PM__ROLLOUT_STATE__ROLLOUT_UNDOING:
	case _PM__ROLLOUT_STATE_IS_INT_SIZE:
		break;
	}
	return false;
}

uint32_t rollout_copy_batch(const struct rollout_copy *c)
{
	uint32_t batch = 0;

	/* The coordinator's own is the next one as soon as the last host of a batch is done. */
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		if (s->state != PM__STEP_STATE__STEP_PENDING &&
		    s->state != PM__STEP_STATE__STEP_SKIPPED)
			batch = PM_MAX(batch, s->batch);
	}
	return batch;
}

/* On the way back the sides are changed: who has done it has the old version again. */
static void count_step(struct rollout_account *a, const Pm__RolloutStep *s, bool undoing)
{
	size_t *done = undoing ? &a->old : &a->fresh, *not_done = undoing ? &a->fresh : &a->old;

	a->by_state[s->state]++;
	switch (s->state) {
	case PM__STEP_STATE__STEP_PENDING:
		++*not_done;
		break;
	case PM__STEP_STATE__STEP_SENT:
		a->under_way++;
		break;
	case PM__STEP_STATE__STEP_ACCEPTED:
	case PM__STEP_STATE__STEP_HEALTHY:
		++*done;
		break;
	case PM__STEP_STATE__STEP_FAILED:
		++*(s->down ? &a->down : not_done);
		break;
	case PM__STEP_STATE__STEP_SKIPPED:
		/* On the way back: it was never changed. */
		++*(undoing && s->batch == 0 ? &a->old : &a->skipped);
		break;
	case PM__STEP_STATE__STEP_UNKNOWN:
		a->down++;
		break;
	case PM__STEP_STATE__STEP_UNSPECIFIED:
	case _PM__STEP_STATE_IS_INT_SIZE:
		break;
	}
}

struct rollout_account rollout_copy_account(const struct rollout_copy *c)
{
	struct rollout_account a = { .total = PM_MAX(c->n_steps, (size_t)c->status->n_hosts) };
	size_t pending;

	for (size_t i = 0; i < c->n_steps; i++)
		count_step(&a, c->steps[i].msg, c->status->undoing);
	/* Those that were not told of, as in a list: nothing is known to have happened there. */
	a.old += a.total - c->n_steps;
	pending = a.by_state[PM__STEP_STATE__STEP_PENDING] + a.total - c->n_steps;
	a.begun = a.total - pending - a.by_state[PM__STEP_STATE__STEP_SKIPPED];
	a.ended = a.total - pending - a.by_state[PM__STEP_STATE__STEP_SENT] -
	          a.by_state[PM__STEP_STATE__STEP_ACCEPTED];
	return a;
}

/* Left out because it could not be reached, and not because somebody had said so. */
static bool some_missed(const struct rollout_copy *c)
{
	for (size_t i = 0; i < c->n_steps; i++)
		if (c->steps[i].msg->state == PM__STEP_STATE__STEP_SKIPPED &&
		    c->steps[i].msg->code != PM_OK)
			return true;
	return false;
}

/* A plan has something to do. */
static bool some_change(const struct rollout_copy *c)
{
	for (size_t i = 0; i < c->n_steps; i++) {
		const Pm__RolloutStep *s = c->steps[i].msg;

		if (s->batch > 0 && s->n_apps == 0)
			return true; /* not reachable, and waited for: nobody knows */
		for (size_t k = 0; s->batch > 0 && k < s->n_apps; k++)
			if (s->apps[k]->changes)
				return true;
	}
	return false;
}

int rollout_copy_exit_status(const struct rollout_copy *c)
{
	int status = pm_code_exit_status(pm_code_from_wire(c->status->code));
	bool missed = some_missed(c);

	switch (c->status->state) {
	case PM__ROLLOUT_STATE__ROLLOUT_PLANNED:
		return some_change(c) ? 20 : 0;
	case PM__ROLLOUT_STATE__ROLLOUT_PAUSED:
	case PM__ROLLOUT_STATE__ROLLOUT_ABORTED:
		return status == 6 || status == 15 || status == 16 ? status : 13;
	case PM__ROLLOUT_STATE__ROLLOUT_UNDONE:
		return 14;
	case PM__ROLLOUT_STATE__ROLLOUT_FAILED:
		return status > 10 ? status : missed ? 12 : 10;
	case PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED:
		return status != 0 ? status : missed ? 11 : 0;
	case PM__ROLLOUT_STATE__ROLLOUT_UNSPECIFIED:
	case PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK:
	case PM__ROLLOUT_STATE__ROLLOUT_RUNNING:
	case PM__ROLLOUT_STATE__ROLLOUT_UNDOING:
	case _PM__ROLLOUT_STATE_IS_INT_SIZE:
		break;
	}
	return 0;
}

const char *rollout_copy_option(const struct rollout_copy *c, const char *name)
{
	for (size_t i = 0; i < c->status->n_options; i++)
		if (strcmp(c->status->options[i]->name, name) == 0)
			return c->status->options[i]->value;
	return "";
}

const char *rollout_state_word(Pm__RolloutState state)
{
	static const char *const words[] = {
		[PM__ROLLOUT_STATE__ROLLOUT_PLANNED] = "planned",
		[PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK] = "waiting-lock",
		[PM__ROLLOUT_STATE__ROLLOUT_RUNNING] = "running",
		[PM__ROLLOUT_STATE__ROLLOUT_PAUSED] = "paused",
		[PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED] = "succeeded",
		[PM__ROLLOUT_STATE__ROLLOUT_FAILED] = "failed",
		[PM__ROLLOUT_STATE__ROLLOUT_UNDOING] = "undoing",
		[PM__ROLLOUT_STATE__ROLLOUT_UNDONE] = "undone",
		[PM__ROLLOUT_STATE__ROLLOUT_ABORTED] = "aborted",
	};

	return (unsigned)state < PM_COUNT(words) && words[state] != NULL ? words[state] : "unknown";
}

const char *rollout_step_word(Pm__StepState state)
{
	static const char *const words[] = {
		[PM__STEP_STATE__STEP_PENDING] = "pending",
		[PM__STEP_STATE__STEP_SENT] = "sent",
		[PM__STEP_STATE__STEP_ACCEPTED] = "accepted",
		[PM__STEP_STATE__STEP_HEALTHY] = "healthy",
		[PM__STEP_STATE__STEP_FAILED] = "failed",
		[PM__STEP_STATE__STEP_SKIPPED] = "skipped",
		[PM__STEP_STATE__STEP_UNKNOWN] = "unknown",
	};

	return (unsigned)state < PM_COUNT(words) && words[state] != NULL ? words[state] : "unknown";
}
