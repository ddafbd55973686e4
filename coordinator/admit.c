#include "coordinator/admit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void verdict(struct admit_verdict *out, enum admit admit, const char *fmt, ...)
	PM_PRINTF(3, 4);
static void verdict(struct admit_verdict *out, enum admit admit, const char *fmt, ...)
{
	va_list ap;

	out->admit = admit;
	va_start(ap, fmt);
	(void)vsnprintf(out->why, sizeof(out->why), fmt, ap);
	va_end(ap);
}

void admit_run(const uint8_t boot[16], uint64_t starts, uint8_t out[16])
{
	memcpy(out, boot, 16);
	for (unsigned i = 0; i < 8; i++)
		out[15 - i] ^= (uint8_t)(starts >> (8 * i));
}

static void remember(struct admit_history *h, const struct admit_hello *hello)
{
	h->last = *hello;
	if (h->n_runs > 0 && memcmp(h->runs[0], hello->run, sizeof(hello->run)) == 0)
		return;
	memmove(h->runs[1], h->runs[0], sizeof(h->runs[0]) * (ADMIT_RUNS - 1));
	memcpy(h->runs[0], hello->run, sizeof(hello->run));
	if (h->n_runs < ADMIT_RUNS)
		h->n_runs++;
}

/* Whether a process is back that another one has followed. */
static bool run_came_back(const struct admit_history *h, const struct admit_hello *hello)
{
	if (h->n_runs == 0 || memcmp(h->runs[0], hello->run, sizeof(hello->run)) == 0)
		return false;
	for (unsigned i = 1; i < h->n_runs; i++)
		if (memcmp(h->runs[i], hello->run, sizeof(hello->run)) == 0)
			return true;
	return false;
}

static const char *clone_sign(const struct admit_history *h, bool live,
                              const struct admit_hello *hello)
{
	if (run_came_back(h, hello))
		return "two agents in turn";
	if (h->n_runs > 0 && live &&
	    memcmp(h->last.machine, hello->machine, sizeof(hello->machine)) != 0)
		return "two machines at once";
	if (hello->epoch < h->confirmed)
		return "an agent and an older copy of it";
	return NULL;
}

void admit_decide(struct admit_history *h, enum agent_state state, uint64_t epoch, uint64_t counter,
                  bool live, const struct admit_hello *hello, struct admit_verdict *out)
{
	const char *sign;

	*out = (struct admit_verdict){ .admit = ADMIT };
	switch (state) {
	case AGENT_UNCHANGED: /* of no agent that is stored */
	case AGENT_PENDING:
		verdict(out, ADMIT_REFUSED, "it waits to be accepted");
		return;
	case AGENT_REJECTED:
		verdict(out, ADMIT_REFUSED, "it was rejected");
		return;
	case AGENT_DENIED:
		verdict(out, ADMIT_REFUSED, "its key is another agent's");
		return;
	case AGENT_QUARANTINED:
		verdict(out, ADMIT_QUARANTINED, "its key is used by two machines, %s and %s",
		        h->last.address, h->clone[0] != '\0' ? h->clone : hello->address);
		remember(h, hello);
		return;
	case AGENT_ACCEPTED:
		break;
	}
	sign = clone_sign(h, live, hello);
	if (sign != NULL) {
		(void)snprintf(h->clone, sizeof(h->clone), "%s",
		               h->last.address[0] != '\0' ? h->last.address : "an earlier one");
		verdict(out, ADMIT_CLONE, "%s use one key: %s and %s", sign, h->clone,
		        hello->address);
	} else if (hello->epoch > epoch || hello->counter > counter) {
		verdict(out, ADMIT_STORE_OLD,
		        "it has seen session %llu and command %llu, the store knows %llu and %llu",
		        (unsigned long long)hello->epoch, (unsigned long long)hello->counter,
		        (unsigned long long)epoch, (unsigned long long)counter);
	}
	remember(h, hello);
}

void admit_confirm(struct admit_history *h, uint64_t generation)
{
	h->confirmed = PM_MAX(h->confirmed, generation);
}

void admit_release(struct admit_history *h)
{
	*h = (struct admit_history){ 0 };
}
