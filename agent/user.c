#include "agent/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the name of a user is taken for what it was. */
#define NAME_FRESH_MS 1000

/* The whole text as a number that an id may have. */
static bool parse_id(const char *text, unsigned long *id)
{
	char *end;

	errno = 0;
	*id = strtoul(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *id < UINT32_MAX;
}

static int find_passwd(const char *text, struct passwd *pw, char *buf, size_t size,
                       struct passwd **found, struct pm_error *err)
{
	unsigned long id;
	int rc;

	if (parse_id(text, &id))
		rc = getpwuid_r((uid_t)id, pw, buf, size, found);
	else
		rc = getpwnam_r(text, pw, buf, size, found);
	if (rc != 0)
		return pm_fail_errno(err, rc, "look up user %.60s", text);
	return 0;
}

static void take_passwd(struct user *u, const struct passwd *pw)
{
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	(void)snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	(void)snprintf(u->home, sizeof(u->home), "%s", pw->pw_dir);
	(void)snprintf(u->shell, sizeof(u->shell), "%s", pw->pw_shell);
}

static int lookup_user(const char *text, struct user *u, struct pm_error *err)
{
	char buf[4096];
	struct passwd pw, *found = NULL;
	unsigned long id;

	if (find_passwd(text, &pw, buf, sizeof(buf), &found, err) < 0)
		return -1;
	if (found != NULL) {
		take_passwd(u, found);
		return 0;
	}
	if (!parse_id(text, &id)) {
		pm_fail(err, PM_CONFIG, "uid: no such user: %.60s", text);
		pm_hint(err, "give a name from /etc/passwd or a number");
		return -1;
	}
	u->uid = (uid_t)id; /* a number without an entry is fine, as for chown(1) */
	u->gid = (gid_t)id;
	(void)snprintf(u->name, sizeof(u->name), "%lu", id);
	(void)snprintf(u->home, sizeof(u->home), "/");
	return 0;
}

static int lookup_group(const char *text, struct user *u, struct pm_error *err)
{
	char buf[16384];
	struct group gr, *found = NULL;
	unsigned long id;
	int rc;

	if (parse_id(text, &id)) {
		u->gid = (gid_t)id;
		return 0;
	}
	rc = getgrnam_r(text, &gr, buf, sizeof(buf), &found);
	if (rc != 0)
		return pm_fail_errno(err, rc, "look up group %.60s", text);
	if (found == NULL) {
		pm_fail(err, PM_CONFIG, "gid: no such group: %.60s", text);
		pm_hint(err, "give a name from /etc/group or a number");
		return -1;
	}
	u->gid = found->gr_gid;
	return 0;
}

int user_lookup(const char *uid, const char *gid, struct user *out, struct pm_error *err)
{
	int n = SPAWN_GROUPS_MAX;

	memset(out, 0, sizeof(*out));
	out->uid = (uid_t)-1;
	out->gid = (gid_t)-1;
	if (*uid == '\0' && *gid == '\0')
		return 0;
	if (lookup_user(*uid != '\0' ? uid : "0", out, err) < 0)
		return -1;
	if (*uid == '\0') {
		out->uid = geteuid(); /* only the group changes */
		user_name(out->uid, out->name, sizeof(out->name));
		out->home[0] = '\0';
	}
	if (*gid != '\0' && lookup_group(gid, out, err) < 0)
		return -1;
	if (geteuid() != 0) {
		if (out->uid == geteuid() && out->gid == getegid()) {
			out->uid = (uid_t)-1;
			out->gid = (gid_t)-1;
			return 0;
		}
		pm_fail(err, PM_DENIED, "uid/gid: only an agent that runs as root can change them");
		pm_hint(err, "start the agent as root, or leave uid and gid out");
		return -1;
	}
	if (getgrouplist(out->name, out->gid, out->groups, &n) < 0)
		return pm_fail(err, PM_CONFIG, "user %s is in more than %d groups", out->name,
		               SPAWN_GROUPS_MAX);
	out->n_groups = (size_t)n;
	return 0;
}

void user_name(uid_t uid, char *out, size_t size)
{
	/* A list of a thousand apps asks a thousand times for the same one or two. One thread. */
	static struct {
		uint64_t until_ms; /* 0: nothing is known */
		uid_t uid;
		char name[64];
	} last;
	uint64_t now = pm_now_ms();
	char buf[4096];
	struct passwd pw, *found = NULL;

	if (now >= last.until_ms || last.uid != uid) {
		if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 && found != NULL)
			(void)snprintf(last.name, sizeof(last.name), "%s", found->pw_name);
		else
			(void)snprintf(last.name, sizeof(last.name), "%u", (unsigned)uid);
		last.uid = uid;
		last.until_ms = now + NAME_FRESH_MS;
	}
	(void)snprintf(out, size, "%s", last.name);
}
