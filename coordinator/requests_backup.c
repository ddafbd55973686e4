/* requests_backup.c - a copy of the store. */
#include "coordinator/requests_priv.h"

#include <stdio.h>

/* Only in a directory of ours: the name comes from a session. */
int requests_backup(struct coord *c, struct peer *p, uint64_t id, const Pm__BackupRequest *q,
                    struct pm_error *err)
{
	struct store_request request = { .op = STORE_BACKUP, .now_ms = pm_wall_ms() };
	char path[PM_PATH_MAX];
	struct pending *w;

	if (coord_backup_path(c->home, q->name, path, sizeof(path), err) < 0)
		return -1;
	coord_audit(c, peer_name(p), "backup", path, "", "begun");
	request.page.name = path;
	w = requests_pending_new(c, p, id);
	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "copy the store");
	(void)snprintf(w->what, sizeof(w->what), "%s", path);
	if (fleet_store_submit(c->store, &request, requests_on_word, w, err) == 0)
		return 0;
	requests_pending_free(w);
	return -1;
}
