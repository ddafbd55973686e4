/* fuzz_codec.c - whatever a record holds: decoded or refused, within the cap, and packable again.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Both ends' accounts take any message, too. */
static void account(const Pm__Envelope *env)
{
	for (int dialling = 0; dialling < 2; dialling++) {
		struct pm_session s;
		struct pm_event ev;
		struct pm_error err;

		pm_session_init(&s, dialling != 0);
		for (int greeted = 0; greeted < 2; greeted++) {
			s.greeted = greeted != 0;
			if (pm_session_receive(&s, env, &ev, &err) < 0 && err.what[0] == '\0')
				abort(); /* refused without a word */
		}
		pm_session_finish(&s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pm_arena arena;
	struct pm_buf out = { 0 };
	struct pm_error err;
	Pm__Envelope *env, *again;

	if (size > PM_RECORD_MAX)
		return 0;
	if (pm_decode(&arena, data, size, &env, &err) == 0) {
		if (arena.used > PM_ARENA_MAX)
			abort();
		account(env);
		if (pm_encode(env, &out, &err) == 0 &&
		    pm_decode(&arena, (uint8_t *)out.bytes + 2, out.len - 2, &again, &err) < 0)
			abort();
	}
	pm_buf_finish(&out);
	pm_arena_reset(&arena);
	return 0;
}
