#include "proto/rollout_params.h"

#include <stdio.h>
#include <string.h>

#include "proto/nearest.h"
#include "proto/units.h"

#define TIME_MAX_MS (7ull * 86400000)
#define COUNT_MAX   1000

enum option {
	OPT_BATCH,
	OPT_MAX_DOWN,
	OPT_MAX_FAIL,
	OPT_WAIT,
	OPT_CANARY_HOLD,
	OPT_MIN_HEALTHY,
	OPT_HEALTHY_DEADLINE,
	OPT_PROGRESS_DEADLINE,
	OPT_MONITOR,
	OPT_ON_FAILURE,
	OPT_UNREACHABLE,
	OPT_MAX_UNREACHABLE,
	OPT_LOST,
	OPT_INCLUDE_DRAINED,
	OPT_ORDER,
	OPT_SEED,
	OPT_WAVE,
	OPT_BAKE,
	OPT_WAIT_LOCK,
	OPT_CATCH_UP,
	OPT_GATE,
	OPT_GATE_TIMEOUT,
	OPT_GATE_RETRIES,
	OPT_GATE_WAIT,
	OPT_COUNT
};

/* Defaults: FLEET 1.1, 1.7. */
static const struct rollout_option options[OPT_COUNT] = {
	[OPT_BATCH] = { "batch", "N|N%,...", "1,10%,25%",
	                "hosts in each batch: a ramp, whose last holds for the rest" },
	[OPT_MAX_DOWN] = { "max_down", "N|N%", "25%", "hosts that may be out at once" },
	[OPT_MAX_FAIL] = { "max_fail", "N|N%", "0",
	                   "more hosts than this that fail are a failure of the whole" },
	[OPT_WAIT] = { "wait", "TIME|ask", "0s", "between batches" },
	[OPT_CANARY_HOLD] = { "canary_hold", "TIME|ask", "0s",
	                      "behind the first batch; ask: until 'rollout promote'" },
	[OPT_MIN_HEALTHY] = { "min_healthy", "TIME", "10s",
	                      "how long a host must do well to count as done" },
	[OPT_HEALTHY_DEADLINE] = { "healthy_deadline", "TIME", "60s",
	                           "how long a host may take to get there" },
	[OPT_PROGRESS_DEADLINE] = { "progress_deadline", "TIME", "10m",
	                            "how long no host may get done, pauses left out" },
	[OPT_MONITOR] = { "monitor", "TIME", "10s",
	                  "how long failures still count after the last host" },
	[OPT_ON_FAILURE] = { "on_failure", "pause|rollback|continue", "pause",
	                     "what follows from more failures than max-fail" },
	[OPT_UNREACHABLE] = { "unreachable", "skip|fail|wait=TIME", "skip",
	                      "what becomes of a host that is not reachable at its turn" },
	[OPT_MAX_UNREACHABLE] = { "max_unreachable", "N|N%", "10%",
	                          "more of them when it is planned, and nothing is begun" },
	[OPT_LOST] = { "lost", "pause|continue", "pause",
	               "what follows when a host was lost in the middle of its step" },
	[OPT_INCLUDE_DRAINED] = { "include_drained", "true|false", "false",
	                          "change drained hosts, too" },
	[OPT_ORDER] = { "order", "sorted|shuffle", "sorted", "of the hosts" },
	[OPT_SEED] = { "seed", "N", "0", "of the shuffle" },
	[OPT_WAVE] = { "wave", "LABEL", "", "all hosts of one value before those of the next" },
	[OPT_BAKE] = { "bake", "TIME", "0s", "between waves" },
	[OPT_WAIT_LOCK] = { "wait_lock", "TIME", "0s", "for an app that somebody else changes" },
	[OPT_CATCH_UP] = { "catch_up", "TIME", "0s",
	                   "for so long after its end, hosts that were not reached do it when they "
	                   "come back" },
	[OPT_GATE] = { "gate", "exec NAME|http URL|prom EXPR OP NUMBER", "",
	               "asked between batches, and nothing goes on before it passes; repeatable" },
	[OPT_GATE_TIMEOUT] = { "gate_timeout", "TIME", "10s",
	                       "how long one try of a gate may take" },
	[OPT_GATE_RETRIES] = { "gate_retries", "N", "2",
	                       "how often a gate is asked again before it has failed" },
	[OPT_GATE_WAIT] = { "gate_wait", "TIME", "5s", "before a gate is asked again" },
};

const struct rollout_option *rollout_options(size_t *n)
{
	*n = OPT_COUNT;
	return options;
}

/* ---- from text ---- */

static bool take_share(const char *text, size_t len, bool zero, struct rollout_share *out)
{
	char digits[12];
	int64_t value;
	bool percent = len > 0 && text[len - 1] == '%';

	len -= percent;
	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (strspn(digits, "0123456789") != len || !pm_parse_int(digits, &value) ||
	    value < (zero ? 0 : 1) || value > (percent ? 100 : 1000000))
		return false;
	*out = (struct rollout_share){ (uint32_t)value, percent };
	return true;
}

static bool take_batches(const char *text, struct rollout_params *p)
{
	struct rollout_params to = *p;

	to.n_batch = 0;
	for (;;) {
		size_t len = strcspn(text, ",");

		if (to.n_batch == ROLLOUT_BATCHES_MAX ||
		    !take_share(text, len, false, &to.batch[to.n_batch]))
			return false;
		to.n_batch++;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	*p = to;
	return true;
}

static bool take_time(const char *text, uint32_t *out)
{
	uint64_t ms;

	if (!pm_parse_duration(text, 1000, &ms) || ms > TIME_MAX_MS)
		return false;
	*out = (uint32_t)ms;
	return true;
}

static bool take_hold(const char *text, uint32_t *ms, bool *ask)
{
	if (strcmp(text, "ask") != 0 && !take_time(text, ms))
		return false;
	*ask = strcmp(text, "ask") == 0;
	if (*ask)
		*ms = 0;
	return true;
}

/* One of several words, by its place; -1: none of them. */
static int take_word(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	return -1;
}

static const char *const failure_words[] = { "pause", "rollback", "continue" };
static const char *const lost_words[] = { "pause", "continue" };
static const char *const truth_words[] = { "false", "true" };
static const char *const order_words[] = { "sorted", "shuffle" };

static bool take_unreachable(const char *text, struct rollout_params *p)
{
	if (strncmp(text, "wait=", 5) == 0) {
		if (!take_time(text + 5, &p->unreachable_wait_ms))
			return false;
		p->unreachable = ROLLOUT_UNREACHABLE_WAIT;
		return true;
	}
	if (strcmp(text, "skip") != 0 && strcmp(text, "fail") != 0)
		return false;
	p->unreachable = *text == 's' ? ROLLOUT_UNREACHABLE_SKIP : ROLLOUT_UNREACHABLE_FAIL;
	p->unreachable_wait_ms = 0;
	return true;
}

static bool take_seed(const char *text, struct rollout_params *p)
{
	int64_t value;

	if (!pm_parse_int(text, &value) || value < 0)
		return false;
	p->seed = (uint64_t)value;
	return true;
}

static bool take_wave(const char *text, char out[ROLLOUT_WAVE_MAX])
{
	size_t len = strlen(text);

	if (len >= ROLLOUT_WAVE_MAX)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

static bool take_count(const char *text, uint32_t *out)
{
	int64_t value;

	if (!pm_parse_int(text, &value) || value < 0 || value > COUNT_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool take_enum(const char *text, const char *const *words, size_t n, int *out)
{
	*out = take_word(text, words, n);
	return *out >= 0;
}

static bool set(struct rollout_params *p, enum option option, const char *text)
{
	int word = 0;
	bool ok = true;

	switch (option) {
	case OPT_BATCH:
		return take_batches(text, p);
	case OPT_MAX_DOWN:
		return take_share(text, strlen(text), false, &p->max_down);
	case OPT_MAX_FAIL:
		return take_share(text, strlen(text), true, &p->max_fail);
	case OPT_WAIT:
		return take_hold(text, &p->wait_ms, &p->wait_ask);
	case OPT_CANARY_HOLD:
		return take_hold(text, &p->canary_hold_ms, &p->canary_ask);
	case OPT_MIN_HEALTHY:
		return take_time(text, &p->min_healthy_ms);
	case OPT_HEALTHY_DEADLINE:
		return take_time(text, &p->healthy_deadline_ms);
	case OPT_PROGRESS_DEADLINE:
		return take_time(text, &p->progress_deadline_ms);
	case OPT_MONITOR:
		return take_time(text, &p->monitor_ms);
	case OPT_ON_FAILURE:
		ok = take_enum(text, failure_words, PM_COUNT(failure_words), &word);
		if (ok)
			p->on_failure = (enum rollout_failure)word;
		return ok;
	case OPT_UNREACHABLE:
		return take_unreachable(text, p);
	case OPT_MAX_UNREACHABLE:
		return take_share(text, strlen(text), true, &p->max_unreachable);
	case OPT_LOST:
		ok = take_enum(text, lost_words, PM_COUNT(lost_words), &word);
		if (ok)
			p->lost_continue = word == 1;
		return ok;
	case OPT_INCLUDE_DRAINED:
		ok = take_enum(text, truth_words, PM_COUNT(truth_words), &word);
		if (ok)
			p->include_drained = word == 1;
		return ok;
	case OPT_ORDER:
		ok = take_enum(text, order_words, PM_COUNT(order_words), &word);
		if (ok)
			p->order = (enum rollout_order)word;
		return ok;
	case OPT_SEED:
		return take_seed(text, p);
	case OPT_WAVE:
		return take_wave(text, p->wave);
	case OPT_BAKE:
		return take_time(text, &p->bake_ms);
	case OPT_WAIT_LOCK:
		return take_time(text, &p->wait_lock_ms);
	case OPT_CATCH_UP:
		return take_time(text, &p->catch_up_ms);
	case OPT_GATE:
		return false; /* set_gates() says why not */
	case OPT_GATE_TIMEOUT:
		return take_time(text, &p->gate_timeout_ms) && p->gate_timeout_ms > 0;
	case OPT_GATE_RETRIES:
		return take_count(text, &p->gate_retries);
	case OPT_GATE_WAIT:
		return take_time(text, &p->gate_wait_ms);
	case OPT_COUNT:
		break;
	}
	return false;
}

/* A line each; all of them take the place of those before. */
static int set_gates(struct rollout_params *p, const char *text, struct pm_error *err)
{
	char all[ROLLOUT_TEXT_MAX] = "";
	struct rollout_gate g;
	size_t n = 0, at = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (n++ == ROLLOUT_GATES_MAX)
			return pm_fail(err, PM_USAGE, "gate: at most %d", ROLLOUT_GATES_MAX);
		if (rollout_gate_parse(text, len, &g, err) < 0)
			return -1;
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", n > 1 ? "\n" : "",
		                       g.text);
		if (at >= sizeof(all))
			return pm_fail(err, PM_USAGE, "gate: at most %d bytes together",
			               ROLLOUT_TEXT_MAX - 1);
		text += len + (text[len] != '\0');
	}
	memcpy(p->gates, all, sizeof(all));
	return 0;
}

bool rollout_params_gate(const struct rollout_params *p, size_t i, struct rollout_gate *out)
{
	const char *at = p->gates;
	struct pm_error err;

	for (; i > 0 && *at != '\0'; i--)
		at += strcspn(at, "\n") + (strchr(at, '\n') != NULL);
	return *at != '\0' && rollout_gate_parse(at, strcspn(at, "\n"), out, &err) == 0;
}

static bool same_name(const char *option, const char *given)
{
	if (strcmp(option, "gate") == 0 && strcmp(given, "gates") == 0) /* as a file has it */
		return true;
	for (; *option != '\0' && *given != '\0'; option++, given++)
		if (*option != (*given == '-' ? '_' : *given))
			return false;
	return *option == *given;
}

int rollout_params_set(struct rollout_params *p, const char *name, const char *value,
                       struct pm_error *err)
{
	struct nearest near;

	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (!same_name(options[i].name, name))
			continue;
		if (i == OPT_GATE)
			return set_gates(p, value, err);
		if (set(p, (enum option)i, value))
			return 0;
		(void)pm_fail(err, PM_USAGE, "%s: '%.60s' is not %s", options[i].name, value,
		              options[i].value);
		if (strstr(options[i].value, "TIME") != NULL)
			pm_hint(err, "a time is for example 250ms, 30s, 5m or 2h, and at most 7d");
		return -1;
	}
	(void)pm_fail(err, PM_USAGE, "%.40s: no such option of a rollout", name);
	nearest_init(&near, name);
	for (size_t i = 0; i < OPT_COUNT; i++)
		nearest_offer(&near, options[i].name);
	if (nearest_found(&near))
		pm_hint(err, "did you mean %s?", near.best);
	return -1;
}

void rollout_params_default(struct rollout_params *p)
{
	*p = (struct rollout_params){ .n_batch = 0 };
	for (size_t i = 0; i < OPT_COUNT; i++)
		if (options[i].normal[0] != '\0')
			(void)set(p, (enum option)i, options[i].normal); /* a test sets them all */
}

/* ---- together ---- */

size_t rollout_share_up(struct rollout_share s, size_t n, size_t least)
{
	size_t value = s.percent ? (n * s.value + 99) / 100 : s.value;

	return PM_MIN(PM_MAX(value, least), n);
}

size_t rollout_share_down(struct rollout_share s, size_t n, size_t least)
{
	size_t value = s.percent ? n * s.value / 100 : s.value;

	return PM_MIN(PM_MAX(value, least), n);
}

/* Both plain numbers: a batch that is never out as a whole was not meant so.  A percentage is a
 * limit, and is worked through max_down at a time. */
static int check_batches(const struct rollout_params *p, size_t n_hosts, struct pm_error *err)
{
	for (unsigned i = 0; i < p->n_batch && n_hosts > 0 && !p->max_down.percent; i++) {
		size_t n = rollout_share_up(p->batch[i], n_hosts, 1);

		if (p->batch[i].percent || n <= rollout_share_down(p->max_down, n_hosts, 1))
			continue;
		(void)pm_fail(err, PM_USAGE, "batch: %zu hosts at once are more than max_down (%u)",
		              n, p->max_down.value);
		pm_hint(err, "raise max_down, or lower batch");
		return -1;
	}
	return 0;
}

int rollout_params_check(const struct rollout_params *p, size_t n_hosts, struct pm_error *err)
{
	if (p->n_batch == 0)
		return pm_fail(err, PM_USAGE, "batch: at least one");
	if (p->healthy_deadline_ms == 0)
		return pm_fail(err, PM_USAGE, "healthy_deadline: it must not be 0");
	if (p->min_healthy_ms >= p->healthy_deadline_ms) {
		pm_fail(err, PM_USAGE, "min_healthy must be less than healthy_deadline");
		pm_hint(err, "a host that must do well for so long could never be in time");
		return -1;
	}
	if (p->progress_deadline_ms != 0 && p->healthy_deadline_ms >= p->progress_deadline_ms) {
		pm_fail(err, PM_USAGE, "healthy_deadline must be less than progress_deadline");
		pm_hint(err, "else one slow host ends it; 0 is no progress deadline");
		return -1;
	}
	if (p->unreachable == ROLLOUT_UNREACHABLE_WAIT && p->unreachable_wait_ms == 0)
		return pm_fail(err, PM_USAGE, "unreachable: wait=TIME needs a time");
	if (p->order != ROLLOUT_ORDER_SHUFFLE && p->seed != 0)
		return pm_fail(err, PM_USAGE, "seed: only order=shuffle has one");
	if (p->wave[0] == '\0' && p->bake_ms != 0)
		return pm_fail(err, PM_USAGE, "bake: it is between waves, and there is no wave");
	return check_batches(p, n_hosts, err);
}

/* ---- to text ---- */

static void put_time(uint32_t ms, char *out, size_t size)
{
	if (ms % 60000 == 0 && ms > 60000) /* a minute is 60s, as the defaults have it */
		(void)snprintf(out, size, "%um", ms / 60000);
	else if (ms % 1000 == 0)
		(void)snprintf(out, size, "%us", ms / 1000);
	else
		(void)snprintf(out, size, "%ums", ms);
}

static void put_share(struct rollout_share s, char *out, size_t size)
{
	(void)snprintf(out, size, "%u%s", s.value, s.percent ? "%" : "");
}

static void put_batches(const struct rollout_params *p, char *out, size_t size)
{
	size_t at = 0;

	for (unsigned i = 0; i < p->n_batch && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%u%s", i > 0 ? "," : "",
		                       p->batch[i].value, p->batch[i].percent ? "%" : "");
}

static void put_hold(uint32_t ms, bool ask, char *out, size_t size)
{
	if (ask)
		(void)snprintf(out, size, "ask");
	else
		put_time(ms, out, size);
}

static void put_unreachable(const struct rollout_params *p, char *out, size_t size)
{
	char time[24];

	if (p->unreachable != ROLLOUT_UNREACHABLE_WAIT) {
		(void)snprintf(out, size, "%s",
		               p->unreachable == ROLLOUT_UNREACHABLE_SKIP ? "skip" : "fail");
		return;
	}
	put_time(p->unreachable_wait_ms, time, sizeof(time));
	(void)snprintf(out, size, "wait=%s", time);
}

bool rollout_params_text(const struct rollout_params *p, size_t i, char *out, size_t size)
{
	switch ((enum option)i) {
	case OPT_BATCH:
		put_batches(p, out, size);
		break;
	case OPT_MAX_DOWN:
		put_share(p->max_down, out, size);
		break;
	case OPT_MAX_FAIL:
		put_share(p->max_fail, out, size);
		break;
	case OPT_WAIT:
		put_hold(p->wait_ms, p->wait_ask, out, size);
		break;
	case OPT_CANARY_HOLD:
		put_hold(p->canary_hold_ms, p->canary_ask, out, size);
		break;
	case OPT_MIN_HEALTHY:
		put_time(p->min_healthy_ms, out, size);
		break;
	case OPT_HEALTHY_DEADLINE:
		put_time(p->healthy_deadline_ms, out, size);
		break;
	case OPT_PROGRESS_DEADLINE:
		put_time(p->progress_deadline_ms, out, size);
		break;
	case OPT_MONITOR:
		put_time(p->monitor_ms, out, size);
		break;
	case OPT_ON_FAILURE:
		(void)snprintf(out, size, "%s", failure_words[p->on_failure]);
		break;
	case OPT_UNREACHABLE:
		put_unreachable(p, out, size);
		break;
	case OPT_MAX_UNREACHABLE:
		put_share(p->max_unreachable, out, size);
		break;
	case OPT_LOST:
		(void)snprintf(out, size, "%s", lost_words[p->lost_continue]);
		break;
	case OPT_INCLUDE_DRAINED:
		(void)snprintf(out, size, "%s", truth_words[p->include_drained]);
		break;
	case OPT_ORDER:
		(void)snprintf(out, size, "%s", order_words[p->order]);
		break;
	case OPT_SEED:
		(void)snprintf(out, size, "%llu", (unsigned long long)p->seed);
		break;
	case OPT_WAVE:
		(void)snprintf(out, size, "%s", p->wave);
		return p->wave[0] != '\0';
	case OPT_BAKE:
		put_time(p->bake_ms, out, size);
		break;
	case OPT_WAIT_LOCK:
		put_time(p->wait_lock_ms, out, size);
		break;
	case OPT_CATCH_UP:
		put_time(p->catch_up_ms, out, size);
		break;
	case OPT_GATE:
		(void)snprintf(out, size, "%s", p->gates);
		return p->gates[0] != '\0';
	case OPT_GATE_TIMEOUT:
		put_time(p->gate_timeout_ms, out, size);
		break;
	case OPT_GATE_RETRIES:
		(void)snprintf(out, size, "%u", p->gate_retries);
		break;
	case OPT_GATE_WAIT:
		put_time(p->gate_wait_ms, out, size);
		break;
	case OPT_COUNT:
		return false;
	}
	return true;
}
