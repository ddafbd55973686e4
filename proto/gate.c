#include "proto/gate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

struct entry {
	void *who;
	uint64_t address; /* a keyed hash of it: nobody can choose to share it */
	uint64_t number;  /* of entering; the lowest is the oldest */
	bool spoke;
};

struct pm_gate {
	struct pm_gate_limits limits;
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct entry *entries; /* owned; limits.max, in no order */
	unsigned n, n_enrolling;
	uint64_t next_number;
	uint64_t turns_milli; /* thousandths of a turn that are left */
	uint64_t filled_ms;
	bool started;
};

int pm_gate_create(const struct pm_gate_limits *limits, struct pm_gate **out, struct pm_error *err)
{
	struct pm_gate *g = pm_calloc(1, sizeof(*g));

	if (g != NULL)
		g->entries = pm_calloc(limits->max, sizeof(*g->entries));
	if (g == NULL || g->entries == NULL || sodium_init() < 0) {
		pm_gate_destroy(g);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	g->limits = *limits;
	randombytes_buf(g->key, sizeof(g->key));
	*out = g;
	return 0;
}

void pm_gate_destroy(struct pm_gate *g)
{
	if (g == NULL)
		return;
	free(g->entries);
	free(g);
}

unsigned pm_gate_count(const struct pm_gate *g)
{
	return g->n;
}

/* One host has a whole /64 of IPv6 to itself. */
static uint64_t hash_address(const struct pm_gate *g, const uint8_t address[PM_GATE_ADDRESS])
{
	static const uint8_t v4[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	bool is_v4 = memcmp(address, v4, sizeof(v4)) == 0;
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t hash;

	(void)crypto_shorthash(out, address, is_v4 ? PM_GATE_ADDRESS : 8, g->key); /* always 0 */
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

static void *remove_entry(struct pm_gate *g, unsigned i)
{
	void *who = g->entries[i].who;

	g->entries[i] = g->entries[--g->n];
	return who;
}

/* The oldest that has not spoken, of one address or of all.  -1: all have. */
static int oldest_silent(const struct pm_gate *g, const uint64_t *address)
{
	int oldest = -1;

	for (unsigned i = 0; i < g->n; i++) {
		const struct entry *e = &g->entries[i];

		if (!e->spoke && (address == NULL || e->address == *address) &&
		    (oldest < 0 || e->number < g->entries[oldest].number))
			oldest = (int)i;
	}
	return oldest;
}

void *pm_gate_enter(struct pm_gate *g, const uint8_t address[PM_GATE_ADDRESS], void *who)
{
	struct entry fresh = { who, hash_address(g, address), g->next_number++, false };
	unsigned n_same = 0;
	void *out = NULL;
	bool crowd;
	int i;

	for (unsigned k = 0; k < g->n; k++)
		n_same += g->entries[k].address == fresh.address;
	crowd = n_same >= g->limits.per_address;
	if (crowd || g->n == g->limits.max) {
		i = oldest_silent(g, crowd ? &fresh.address : NULL);
		if (i < 0)
			return who;
		out = remove_entry(g, (unsigned)i);
	}
	g->entries[g->n++] = fresh;
	return out;
}

static int find(const struct pm_gate *g, const void *who)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->entries[i].who == who)
			return (int)i;
	return -1;
}

void pm_gate_leave(struct pm_gate *g, const void *who)
{
	int i = find(g, who);

	if (i >= 0)
		(void)remove_entry(g, (unsigned)i); /* it is `who` */
}

void pm_gate_spoke(struct pm_gate *g, const void *who)
{
	int i = find(g, who);

	if (i >= 0)
		g->entries[i].spoke = true;
}

bool pm_gate_take_turn(struct pm_gate *g, uint64_t now_ms)
{
	uint64_t full = (uint64_t)g->limits.per_second * 1000, since;

	since = g->started && now_ms > g->filled_ms ? now_ms - g->filled_ms : 0;
	if (!g->started)
		g->turns_milli = full;
	g->started = true;
	g->filled_ms = PM_MAX(g->filled_ms, now_ms);
	/* per_second turns a second are as many thousandths a millisecond. */
	g->turns_milli = PM_MIN(full, g->turns_milli + PM_MIN(since, 1000u) * g->limits.per_second);
	if (g->turns_milli < 1000)
		return false;
	g->turns_milli -= 1000;
	return true;
}

bool pm_gate_take_enrolment(struct pm_gate *g)
{
	if (g->n_enrolling == g->limits.enrolling)
		return false;
	g->n_enrolling++;
	return true;
}

void pm_gate_enrolled(struct pm_gate *g)
{
	assert(g->n_enrolling > 0);
	g->n_enrolling--;
}
