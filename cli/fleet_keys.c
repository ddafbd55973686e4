#include "cli/fleet_keys.h"

#include <string.h>

#include "cli/context_file.h"
#include "proto/keyfile.h"
#include "proto/rotation.h"

int fleet_keys_load(const struct context *one, struct fleet_keys *out, struct pm_error *err)
{
	char path[PM_PATH_MAX];

	if (context_file_key_path(one, path, err) < 0)
		return -1;
	if (pm_keyfile_load(path, &out->key, err) == 0 &&
	    pm_keyfile_load_next(path, &out->next, err) == 0)
		return 0;
	pm_hint(err, "'pmctl login' makes a new one");
	return pm_wrap(err, "the key of context %.100s", one->name);
}

void fleet_keys_finish(struct fleet_keys *k)
{
	pm_key_destroy(PM_STEAL(k->key));
	pm_key_destroy(PM_STEAL(k->next));
}

/* What the context says of the coordinator's keys is brought up to date, where it is still of it.
 */
static int keep_pins(const struct context *one, bool locked, const uint8_t *used,
                     const uint8_t *said, struct pm_error *err)
{
	PM_CONTEXTS c = { 0 };
	PM_CLOSE int lock = -1;
	const struct context *found;
	struct context now = *one;

	/* Nothing to write is what is usual: the lock is for what is. */
	if (!pm_rotation_take_pins(now.coordinator, now.next, &now.has_next, used, said))
		return 0;
	if ((!locked && context_file_lock(&lock, err) < 0) || context_file_load(&c, err) < 0)
		return -1;
	found = contexts_find(&c, one->name);
	if (found == NULL || !pm_key_same(found->coordinator, one->coordinator))
		return 0; /* somebody was faster, or logged in elsewhere under its name */
	now = *found;
	if (!pm_rotation_take_pins(now.coordinator, now.next, &now.has_next, used, said))
		return 0;
	return contexts_put(&c, &now, err) < 0 ? -1 : context_file_save(&c, err);
}

/* The present key ended: the next one takes its place on the disk, too.  Of two that find it out at
 * once one is first, and what is there then may be the next one of another time. */
static int keep_own(const struct context *one, const struct pm_key *used, bool locked,
                    struct pm_error *err)
{
	PM_CLEANUP(pm_key_destroyp) struct pm_key *next = NULL;
	PM_CLOSE int lock = -1;
	char path[PM_PATH_MAX];

	if (context_file_key_path(one, path, err) < 0 ||
	    (!locked && context_file_lock(&lock, err) < 0) ||
	    pm_keyfile_load_next(path, &next, err) < 0)
		return -1;
	if (next == NULL || !pm_key_same(pm_key_public(next), pm_key_public(used)))
		return 0;
	return pm_keyfile_promote(path, err);
}

int fleet_keys_connect(const struct context *one, struct fleet_keys *k,
                       struct fleet_client_options *options, bool locked, struct fleet_client **out,
                       const struct pm_key **used, struct pm_error *err)
{
	PM_CLEANUP(fleet_client_closep) struct fleet_client *client = NULL;
	const struct pm_key *own[] = { k->key, k->next };
	const uint8_t *pins[] = { one->coordinator, one->has_next ? one->next : NULL };
	bool failed = false;
	unsigned i;

	options->addresses = one->addresses;
	options->n_addresses = one->n_addresses;
	for (i = 0; i < 4; i++) {
		struct pm_error why = { 0 };

		if (own[i & 1] == NULL || pins[i >> 1] == NULL)
			continue;
		options->key = own[i & 1];
		options->coordinator = pins[i >> 1];
		if (fleet_client_connect(options, &client, &why) == 0)
			break;
		/* What was said in words is so with any key; else what the usual ones met counts.
		 */
		if (!failed || why.code != PM_UNREACHABLE)
			*err = why;
		failed = true;
		if (why.code != PM_UNREACHABLE)
			return -1;
	}
	if (client == NULL)
		return -1;
	if ((options->key == k->next && keep_own(one, k->next, locked, err) < 0) ||
	    keep_pins(one, locked, options->coordinator, fleet_client_next_key(client), err) < 0)
		return pm_wrap(err, "keep the keys of context %.100s", one->name);
	*used = options->key;
	*out = PM_STEAL(client);
	return 0;
}
