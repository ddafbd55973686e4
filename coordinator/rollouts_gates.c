/* rollouts_gates.c - the gates before a rollout's next batch: who is asked, and what is made of it.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/rollouts_priv.h"

static void on_gates(void *arg, bool over, bool passed, const char *words)
{
	struct run *run = arg;

	run_tell(run, "coordinator", "%s", words);
	if (!over)
		return;
	run->gates = NULL;
	run->m.gate = passed ? ROLLOUT_GATE_NONE : ROLLOUT_GATE_FAILED;
	if (passed)
		run->m.gate_passed = run->gate_batch;
	(void)snprintf(run->gate_why, sizeof(run->gate_why), "%s", words);
	run->m.gate_why = run->gate_why;
	rollouts_poke(run);
}

void rollouts_ask_gates(struct run *run)
{
	struct coord *c = run->all->c;
	const Pm__RolloutStatus *st = run->rec->status;
	const struct gates_facts facts = { .rollout = run->id_text,
		                           .apps = st->apps,
		                           .n_apps = st->n_apps,
		                           .batch = rollout_batch_now(&run->m),
		                           .n_batches = run->m.n_batches };
	struct pm_error err;

	run->gate_batch = facts.batch;
	run->m.gate = ROLLOUT_GATE_ASKED;
	if (gates_ask(c->loop, &c->gates, &run->m.params, &facts, on_gates, run, &run->gates,
	              &err) < 0)
		on_gates(run, true, false, err.what);
}

void rollouts_drop_gates(struct run *run)
{
	gates_cancel(PM_STEAL(run->gates));
	run->m.gate = ROLLOUT_GATE_NONE;
	run->m.gate_passed = 0;
}
