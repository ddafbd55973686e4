#include "cli/startup_unit.h"

#include <string.h>

#include "deploy/service_inc.h"

/* NAME_MAX less ".service" and room for a temporary's suffix. */
#define UNIT_NAME_MAX 200

bool startup_name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:-_.";
	size_t len = strlen(name);

	return len > 0 && len <= UNIT_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

/* Within double quotes: '"' and '\' by a backslash, '%' doubled (a specifier); in arguments '$'
 * too. */
static void quoted(struct pm_buf *out, const char *value, bool argument)
{
	pm_buf_char(out, '"');
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			pm_buf_char(out, '\\');
		else if (*p == '%' || (*p == '$' && argument))
			pm_buf_char(out, *p);
		pm_buf_char(out, *p);
	}
	pm_buf_char(out, '"');
}

static void environment(struct pm_buf *out, const char *name, const char *value)
{
	PM_BUF word = { 0 };

	pm_buf_printf(&word, "%s=%s", name, value);
	pm_buf_str(out, "Environment=");
	if (word.failed)
		out->failed = true;
	else
		quoted(out, word.bytes, false);
	pm_buf_char(out, '\n');
}

static void home_word(struct pm_buf *out, const char *home)
{
	PM_BUF word = { 0 };

	pm_buf_printf(&word, "PMD_HOME=%s", home);
	if (word.failed)
		out->failed = true;
	else
		quoted(out, word.bytes, true);
	pm_buf_char(out, ' ');
}

static int check(const char *what, const char *value, bool path, struct pm_error *err)
{
	for (const char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return pm_fail(err, PM_CONFIG, "unit: a control character in %s", what);
	if (path && value[0] != '/')
		return pm_fail(err, PM_CONFIG, "unit: %s is not absolute: %s", what, value);
	return 0;
}

static int check_all(const struct startup_unit *u, struct pm_error *err)
{
	if (check("the user", u->user, false, err) < 0 ||
	    check("the home", u->home, true, err) < 0 ||
	    check("the path of pmd", u->pmd, true, err) < 0 ||
	    check("the path of pmctl", u->pmctl, true, err) < 0 ||
	    (u->path != NULL && check("PATH", u->path, false, err) < 0))
		return -1;
	/* The program's own path is not subject to '$', and cannot hold what only arguments quote.
	 */
	if (strpbrk(u->pmd, "\"\\$") != NULL || strpbrk(u->pmctl, "\"\\$") != NULL)
		return pm_fail(err, PM_CONFIG, "unit: the path of pmd has a quote, '\\' or '$': %s",
		               u->pmd);
	return 0;
}

int startup_unit_text(const struct startup_unit *u, struct pm_buf *out, struct pm_error *err)
{
	if (check_all(u, err) < 0)
		return -1;
	pm_buf_reset(out);
	pm_buf_printf(out, "# Written by '%s startup'; '%s unstartup' removes it.\n[Unit]\n",
	              u->as_pm2 ? "pm2" : "pmctl", u->as_pm2 ? "pm2" : "pmctl");
	pm_buf_printf(out, "Description=pmd process manager of %s\n", u->user);
	pm_buf_str(out, "Documentation=man:pmd(8) man:pmctl(1)\n");
	if (!u->user_unit)
		pm_buf_str(out, "After=network.target\n");
	/* A crash loop of ours must never leave the apps without a manager for good. */
	pm_buf_str(out, "StartLimitIntervalSec=0\n\n[Service]\n");
	if (!u->user_unit)
		pm_buf_printf(out, "User=%s\n", u->user);
	environment(out, u->as_pm2 ? "PM2_HOME" : "PMD_HOME", u->home);
	if (u->path != NULL)
		environment(out, "PATH", u->path);
	pm_buf_str(out, "ExecStart=");
	quoted(out, u->pmd, false);
	pm_buf_str(out, " agent --foreground --home ");
	quoted(out, u->home, true);
	pm_buf_str(out, u->as_pm2 ? " --pm2\nExecReload=" : "\nExecReload=");
	if (u->as_pm2) { /* under its own name pmctl does not look at PM2_HOME */
		pm_buf_str(out, "/usr/bin/env ");
		home_word(out, u->home);
	}
	quoted(out, u->pmctl, u->as_pm2);
	pm_buf_str(out, " agent upgrade\n");
	pm_buf_str(out, PM_UNIT_SERVICE); /* deploy/systemd/service.inc, as in packaged units */
	pm_buf_printf(out, "\n[Install]\nWantedBy=%s\n",
	              u->user_unit ? "default.target" : "multi-user.target");
	if (out->failed)
		return pm_fail(err, PM_NO_MEMORY, "unit");
	return 0;
}
