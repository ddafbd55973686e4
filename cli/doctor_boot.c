#include "cli/doctor_boot.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/file.h"
#include "proto/limits.h"
#include "proto/paths.h"

#define UNIT_MAX 65536 /* bytes of a unit file */

struct boot {
	const char *home;
	struct doctor_boot facts;
	char user[64], user_dir[PM_PATH_MAX]; /* whose home it is */
	char unit[128], program[PM_PATH_MAX];
};

bool doctor_boot_has_systemd(void)
{
	struct stat st;

	return lstat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode);
}

/* PRINTF-like into a path; false: it does not fit. */
static bool path_of(char out[PM_PATH_MAX], const char *dir, const char *between, const char *name)
{
	int n = snprintf(out, PM_PATH_MAX, "%s%s%s", dir, between, name);

	return n > 0 && n < PM_PATH_MAX;
}

static bool is_there(const char *dir, const char *between, const char *name)
{
	char path[PM_PATH_MAX];
	struct stat st;

	return path_of(path, dir, between, name) && lstat(path, &st) == 0;
}

/* The program of ExecStart=: systemd.service(5); quotes and prefixes are left out. */
static void read_program(struct boot *b, const char *text)
{
	const char *at = strstr(text, "\nExecStart=");
	const char *ends;
	size_t n;

	if (at == NULL)
		return;
	at += strlen("\nExecStart=");
	ends = *at == '"' ? "\"" : " \n";
	at += *at == '"';
	n = strcspn(at, ends);
	if (at[0] != '/' || n >= sizeof(b->program))
		return;
	memcpy(b->program, at, n);
	b->program[n] = '\0';
	b->facts.program = b->program;
	b->facts.program_gone = access(b->program, X_OK) < 0;
}

/*
 * Take the unit if its file is in the directory.
 *
 * home_in_text   it names its home, and that may be another one
 */
static bool take_unit(struct boot *b, const char *dir, const char *file, const char *name,
                      bool home_in_text)
{
	PM_BUF text = { .max = UNIT_MAX };
	char path[PM_PATH_MAX];
	struct pm_error err;

	if (!path_of(path, dir, "/", file) || access(path, F_OK) < 0)
		return false;
	(void)snprintf(b->unit, sizeof(b->unit), "%s", name);
	b->facts.unit = b->unit;
	if (file_read(path, UNIT_MAX, &text, &err) < 0 || text.len == 0)
		return true; /* there it is; what is in it is not for us to read */
	b->facts.other_home = home_in_text && strstr(text.bytes, b->home) == NULL;
	read_program(b, text.bytes);
	return true;
}

/* Units of the machine: those that startup writes, and those that the package brings. */
static bool look_for_system_unit(struct boot *b, bool as_pm2)
{
	static const char *const dirs[] = { "/etc/systemd/system", "/usr/local/lib/systemd/system",
		                            "/usr/lib/systemd/system", "/lib/systemd/system" };
	char own[128], instance[128], usual[PM_PATH_MAX];

	(void)snprintf(own, sizeof(own), "%s-%s.service", as_pm2 ? "pm2" : "pmd", b->user);
	(void)snprintf(instance, sizeof(instance), "pmd@%s.service", b->user);
	for (size_t i = 0; i < PM_COUNT(dirs); i++)
		if (take_unit(b, dirs[i], own, own, true))
			goto found;
	for (size_t i = 0; !as_pm2 && i < PM_COUNT(dirs); i++) {
		if (strcmp(b->home, "/var/lib/pmd") == 0 &&
		    take_unit(b, dirs[i], "pmd.service", "pmd.service", true))
			goto found;
		/* The template is there for everybody: it is theirs who enabled it. */
		if (path_of(usual, b->user_dir, "/", ".pmd") && strcmp(usual, b->home) == 0 &&
		    is_there("/etc/systemd/system", "/multi-user.target.wants/", instance) &&
		    take_unit(b, dirs[i], "pmd@.service", instance, false))
			goto found;
	}
	return false;
found:
	b->facts.enabled = is_there("/etc/systemd/system", "/multi-user.target.wants/", b->unit);
	return true;
}

static bool look_for_user_unit(struct boot *b, bool as_pm2)
{
	const char *name = as_pm2 ? "pm2.service" : "pmd.service";
	char dir[PM_PATH_MAX];

	if (!path_of(dir, b->user_dir, "/", ".config/systemd/user") ||
	    !take_unit(b, dir, name, name, true))
		return false;
	b->facts.user_unit = true;
	b->facts.enabled = is_there(dir, "/default.target.wants/", name);
	b->facts.lingers = is_there("/var/lib/systemd/linger", "/", b->user);
	return true;
}

/* Whose agent it is: the owner of the home, or of a home that is not there yet the caller. */
static bool find_user(struct boot *b)
{
	const struct passwd *pw;
	struct stat st;

	pw = getpwuid(lstat(b->home, &st) == 0 ? st.st_uid : geteuid());
	if (pw == NULL)
		return false;
	(void)snprintf(b->user, sizeof(b->user), "%s", pw->pw_name);
	(void)snprintf(b->user_dir, sizeof(b->user_dir), "%s", pw->pw_dir);
	b->facts.user = b->user;
	return true;
}

void doctor_boot_look(const char *home, bool as_pm2, struct doctor *d)
{
	struct boot b = { .home = home, .facts = { .user = "this user" } };

	b.facts.systemd = doctor_boot_has_systemd();
	if (b.facts.systemd && find_user(&b) && !look_for_system_unit(&b, as_pm2))
		(void)look_for_user_unit(&b, as_pm2); /* or there is none */
	doctor_boot(d, &b.facts);
}
