#include "proto/rotation.h"

#include <string.h>

#include <sodium.h>

static bool make(const uint8_t *secret, const uint8_t *public, const uint8_t *present,
                 const uint8_t *next, const uint8_t *listener, uint8_t out[PM_ROTATION_PROOF_BYTES])
{
	static const uint8_t label[] = "pmd key rotation 1";
	crypto_generichash_state state;
	uint8_t shared[crypto_scalarmult_BYTES];
	bool ok = crypto_scalarmult(shared, secret, public) == 0;

	if (ok) { /* none of these can fail with these lengths */
		(void)crypto_generichash_init(&state, shared, sizeof(shared),
		                              PM_ROTATION_PROOF_BYTES);
		(void)crypto_generichash_update(&state, label, sizeof(label));
		(void)crypto_generichash_update(&state, present, PM_KEY_BYTES);
		(void)crypto_generichash_update(&state, next, PM_KEY_BYTES);
		(void)crypto_generichash_update(&state, listener, PM_KEY_BYTES);
		(void)crypto_generichash_final(&state, out, PM_ROTATION_PROOF_BYTES);
	}
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

int pm_rotation_prove(const struct pm_key *next, const uint8_t present[PM_KEY_BYTES],
                      const uint8_t listener[PM_KEY_BYTES], uint8_t out[PM_ROTATION_PROOF_BYTES],
                      struct pm_error *err)
{
	if (!make(pm_key_secret(next), listener, present, pm_key_public(next), listener, out))
		return pm_fail(err, PM_CONFIG, "the coordinator's key is none");
	return 0;
}

bool pm_rotation_is_proved(const struct pm_key *listener, const uint8_t present[PM_KEY_BYTES],
                           const uint8_t next[PM_KEY_BYTES],
                           const uint8_t proof[PM_ROTATION_PROOF_BYTES])
{
	uint8_t want[PM_ROTATION_PROOF_BYTES];

	return make(pm_key_secret(listener), next, present, next, pm_key_public(listener), want) &&
	       sodium_memcmp(want, proof, sizeof(want)) == 0;
}

bool pm_rotation_take_pins(uint8_t present[PM_KEY_BYTES], uint8_t next[PM_KEY_BYTES],
                           bool *has_next, const uint8_t *used, const uint8_t *said)
{
	/* Begun with the next one, and that is all it is known by: the other one has ended. */
	if (said == NULL && *has_next && pm_key_same(used, next)) {
		memcpy(present, next, PM_KEY_BYTES);
		*has_next = false;
		return true;
	}
	if (said != NULL && !pm_key_same(said, present)) {
		if (*has_next && pm_key_same(said, next))
			return false;
		memcpy(next, said, PM_KEY_BYTES);
		*has_next = true;
		return true;
	}
	/* Nothing will come, or what it will be known by is what we know. */
	if (!*has_next || !pm_key_same(used, present))
		return false;
	*has_next = false;
	return true;
}
