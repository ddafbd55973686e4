/* cmd_doctor.c - doctor and report: what is well here and what is not, for oneself and for others.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "cli/apps.h"
#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/doctor_look.h"
#include "cli/file.h"
#include "cli/fmt.h"
#include "cli/redact.h"

#define OS_RELEASE_MAX 16384

static int doctor_run(struct ctx *ctx, struct pm_error *err)
{
	struct doctor d = { .n = 0 };
	PM_BUF out = { 0 };

	doctor_look(ctx, &d);
	if (ctx->json) {
		struct json_out j;

		json_init(&j, &out);
		json_begin_object(&j);
		json_kint(&j, "schema", 1);
		json_kstr(&j, "home", ctx->home);
		doctor_json(&d, &j);
		json_end_object(&j);
		pm_buf_char(&out, '\n');
	} else {
		doctor_text(&d, ctx->width, ctx->color_out, &out);
	}
	return say_buf(&out, err) < 0 ? -1 : doctor_status(&d);
}

/* ---- report ---- */

/* What a report says of the machine, beyond the findings. */
struct machine {
	char date[FMT_MAX], disk[DOCTOR_VERSION_MAX], system[128];
	struct utsname kernel;
};

/* PRETTY_NAME of os-release(5); "": it has none. */
static void read_system(char *out, size_t size)
{
	PM_BUF text = { .max = OS_RELEASE_MAX };
	struct pm_error err;
	const char *at;
	size_t n;

	out[0] = '\0';
	if (file_read("/etc/os-release", OS_RELEASE_MAX, &text, &err) < 0 || text.len == 0)
		return;
	at = strstr(text.bytes, "PRETTY_NAME=");
	if (at == NULL)
		return;
	at += strlen("PRETTY_NAME=");
	at += *at == '"';
	n = strcspn(at, "\"\n");
	(void)snprintf(out, size, "%.*s", (int)PM_MIN(n, size - 1), at);
}

static void machine_look(struct machine *m)
{
	fmt_iso(pm_wall_ms(), m->date);
	doctor_version_on_disk(m->disk);
	read_system(m->system, sizeof(m->system));
	if (uname(&m->kernel) < 0)
		memset(&m->kernel, 0, sizeof(m->kernel)); /* then it says nothing of it */
}

static const char *agent_version(const struct client_status *apps)
{
	return apps == NULL || apps->agent == NULL ? "not running" : apps->agent->version;
}

static void app_json(struct json_out *j, const Pm__InstanceStatus *s)
{
	PM_BUF note = { 0 };

	redact_text(s->note, &note);
	json_begin_object(j);
	json_kuint(j, "id", s->pm_id);
	json_kstr(j, "name", s->name);
	json_kstr(j, "namespace", s->namespace_);
	json_kstr(j, "status", apps_state_name(s->state));
	json_kuint(j, "pid", s->pid);
	json_kuint(j, "restarts", s->restarts);
	json_kuint(j, "unstable_restarts", s->unstable_restarts);
	json_kuint(j, "memory", s->memory);
	json_kstr(j, "note", note.bytes == NULL ? "" : note.bytes);
	json_end_object(j);
}

static void report_json(const struct ctx *ctx, const struct machine *m, const struct doctor *d,
                        const struct client_status *apps, struct pm_buf *out)
{
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "date", m->date);
	json_kstr(&j, "home", ctx->home);
	json_key(&j, "versions");
	json_begin_object(&j);
	json_kstr(&j, "pmctl", PM_VERSION);
	json_kstr(&j, "agent", apps == NULL || apps->agent == NULL ? NULL : apps->agent->version);
	json_kstr(&j, "disk", m->disk[0] == '\0' ? NULL : m->disk);
	json_kstr(&j, "system", m->system);
	json_kstr(&j, "kernel", m->kernel.release);
	json_kstr(&j, "machine", m->kernel.machine);
	json_end_object(&j);
	doctor_json(d, &j);
	json_key(&j, "apps");
	json_begin_array(&j);
	for (size_t i = 0; apps != NULL && i < apps->n_instances; i++)
		app_json(&j, apps->instances[i]);
	json_end_array(&j);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

static int report_apps(const struct ctx *ctx, const struct client_status *apps, struct pm_buf *out,
                       struct pm_error *err)
{
	/* For a mail or an issue: no lines around cells, no colours. */
	const struct apps_style style = { .width = ctx->width, .utf8 = ctx->utf8 };
	PM_BUF scratch = { 0 };

	if (apps == NULL)
		return 0;
	pm_buf_str(out, "\napps\n");
	if (apps_table(apps->instances, apps->n_instances, &style, out, err) < 0)
		return -1;
	for (size_t i = 0; i < apps->n_instances; i++) {
		const Pm__InstanceStatus *s = apps->instances[i];
		PM_BUF note = { 0 };

		if (s->note[0] == '\0')
			continue;
		redact_text(s->note, &note);
		pm_buf_printf(out, "%s (%u): ", say_cleaned(&scratch, s->name), s->pm_id);
		pm_buf_printf(out, "%s\n",
		              say_cleaned(&scratch, note.bytes == NULL ? "" : note.bytes));
	}
	return 0;
}

static int report_text(const struct ctx *ctx, const struct machine *m, const struct doctor *d,
                       const struct client_status *apps, struct pm_buf *out, struct pm_error *err)
{
	pm_buf_printf(out, "pmd report of %s\n\nversions\n", m->date);
	pm_buf_printf(out, "pmctl %s, agent %s, on disk %s\n", PM_VERSION, agent_version(apps),
	              m->disk[0] == '\0' ? "unknown" : m->disk);
	pm_buf_printf(out, "%s %s %s%s%s\n", m->kernel.sysname, m->kernel.release,
	              m->kernel.machine, m->system[0] == '\0' ? "" : ", ", m->system);
	pm_buf_printf(out, "home %s\n\nchecks\n", ctx->home);
	doctor_text(d, ctx->width, false, out);
	return report_apps(ctx, apps, out, err);
}

static int report_run(struct ctx *ctx, struct pm_error *err)
{
	struct doctor d = { .n = 0 };
	struct machine m;
	PM_STATUS *apps = NULL;
	PM_BUF out = { 0 };
	struct pm_error none;

	machine_look(&m);
	doctor_look(ctx, &d);
	/* Without one that answers there is no list, and the findings say why. */
	if (ctx->client != NULL && ctx_status(ctx, NULL, CTX_LIST, &apps, &none) < 0)
		apps = NULL;
	if (apps != NULL && apps_sort(apps->instances, apps->n_instances, NULL, err) < 0)
		return -1;
	if (ctx->json)
		report_json(ctx, &m, &d, apps, &out);
	else if (report_text(ctx, &m, &d, apps, &out, err) < 0)
		return -1;
	if (say_buf(&out, err) < 0)
		return -1;
	return ctx->as_pm2 ? 0 : doctor_status(&d);
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "what is well here and what is not, and what to do about it",
	.help = "Looks at the home and its files, disk space and inodes, the agent, versions, limits, "
		"control groups, the clock, what starts the agent at boot, and the link to the "
		"coordinator. Each finding is ok, warn or bad, with what to do. Starts no agent, "
		"changes nothing, and runs nothing as another user. Exits with 10 if something is "
		"bad, else with 0.",
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_PAGED,
	.run = doctor_run,
};

const struct cmd cmd_report = {
	.name = "report",
	.args = "",
	.summary = "what doctor finds, with versions and the list: to be shown to others",
	.help = "What looks like a secret is left out: environments and arguments of apps are not in "
		"it, and NAME=VALUE in a message is hidden where NAME has KEY, SECRET, TOKEN, PASS or "
		"CRED in it. Names and paths are in it.",
	.flags = CMD_JSON | CMD_PAGED,
	.run = report_run,
};
