#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/color.h"
#include "cli/fmt.h"
#include "cli/redact.h"
#include "cli/text.h"
#include "proto/error.h"
#include "proto/units.h"

#define MIB (1024ULL * 1024)

/* A start writes some files; an app's logs are ten times 10 MiB for each stream. */
#define DISK_BAD_BYTES  (16 * MIB)
#define DISK_WARN_BYTES (256 * MIB)
#define DISK_WARN_PCT   5
/* An instance takes about eight descriptors: two pipes, two files, a channel, and their copies. */
#define NOFILE_LITTLE   4096
#define NOFILE_FULL_PCT 80
#define NPROC_LITTLE    256
#define CLOCK_SLACK_S   60

#define TEXT_COLUMN     18 /* "warn  coordinator " */

void doctor_add(struct doctor *d, const char *check, enum doctor_level level, const char *fix,
                const char *fmt, ...)
{
	struct doctor_finding *f;
	char text[sizeof(f->text)];
	PM_BUF clean = { 0 };
	va_list ap;

	d->counts[level]++;
	if (d->n == PM_COUNT(d->list)) {
		d->n_more++;
		return;
	}
	f = &d->list[d->n++];
	*f = (struct doctor_finding){ .check = check, .level = level };
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut: a path of a yard says little more */
	va_end(ap);
	redact_text(text, &clean);
	(void)snprintf(f->text, sizeof(f->text), "%s",
	               clean.failed || clean.bytes == NULL ? "" : clean.bytes);
	(void)snprintf(f->fix, sizeof(f->fix), "%s", fix == NULL ? "" : fix);
}

/* ---- judges ---- */

static unsigned percent(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (unsigned)((double)part * 100 / (double)whole);
}

void doctor_disk(struct doctor *d, const struct doctor_disk *disk)
{
	unsigned pct = percent(disk->bytes_free, disk->bytes);
	char free_text[PM_BYTES_TEXT];
	char fix[200];

	pm_bytes_text(disk->bytes_free, free_text);
	(void)snprintf(fix, sizeof(fix), "free some space: du -xh %.120s | sort -h | tail",
	               disk->path);
	if (disk->read_only) {
		doctor_add(d, "disk", DOCTOR_BAD, "mount it read-write, or choose another PMD_HOME",
		           "%s: %.200s is on a file system that is read-only", disk->what,
		           disk->path);
		return;
	}
	if (disk->bytes_free < DISK_BAD_BYTES)
		doctor_add(d, "disk", DOCTOR_BAD, fix, "%s: only %s are free (%u%%) at %.200s",
		           disk->what, free_text, pct, disk->path);
	else if (disk->bytes_free < DISK_WARN_BYTES || pct < DISK_WARN_PCT)
		doctor_add(d, "disk", DOCTOR_WARN, fix, "%s: %s are free (%u%%) at %.200s",
		           disk->what, free_text, pct, disk->path);
	else
		doctor_add(d, "disk", DOCTOR_OK, NULL, "%s: %s are free (%u%%) at %.200s",
		           disk->what, free_text, pct, disk->path);
	if (disk->inodes == 0)
		return;
	pct = percent(disk->inodes_free, disk->inodes);
	if (disk->inodes_free == 0 || pct < DISK_WARN_PCT)
		doctor_add(d, "disk", disk->inodes_free == 0 ? DOCTOR_BAD : DOCTOR_WARN,
		           "remove files: the file system has room for no more of them",
		           "%s: %llu inodes are free (%u%%) at %.200s", disk->what,
		           (unsigned long long)disk->inodes_free, pct, disk->path);
}

static void limit_text(uint64_t limit, char out[32])
{
	if (limit == UINT64_MAX)
		(void)snprintf(out, 32, "unlimited");
	else
		(void)snprintf(out, 32, "%llu", (unsigned long long)limit);
}

void doctor_limits(struct doctor *d, const struct doctor_limits *l)
{
	const char *whose = l->of_agent ? "the agent" : "an agent started here";
	char soft[32], nproc[32];

	limit_text(l->nofile_hard, soft);
	limit_text(l->nproc, nproc);
	if (l->of_agent && l->nofile_soft != UINT64_MAX &&
	    percent(l->open_files, l->nofile_soft) >= NOFILE_FULL_PCT)
		doctor_add(d, "limits", DOCTOR_BAD,
		           "raise LimitNOFILE= in its unit, or ulimit -n before it is started",
		           "the agent has %llu files open, of %llu",
		           (unsigned long long)l->open_files, (unsigned long long)l->nofile_soft);
	else if (l->nofile_hard < NOFILE_LITTLE)
		doctor_add(d, "limits", DOCTOR_WARN,
		           "raise LimitNOFILE= in its unit, or ulimit -Hn before it is started",
		           "%s may open %s files: enough for some %llu instances", whose, soft,
		           (unsigned long long)l->nofile_hard / 8);
	else
		doctor_add(d, "limits", DOCTOR_OK, NULL, "%s may open %s files", whose, soft);
	if (!l->is_root && l->nproc < NPROC_LITTLE)
		doctor_add(d, "limits", DOCTOR_WARN,
		           "raise LimitNPROC= in its unit, or ulimit -u before it is started",
		           "its user may run %s processes and threads", nproc);
}

void doctor_clock(struct doctor *d, const struct doctor_clock *c)
{
	if (c->newest_s > c->now_s + CLOCK_SLACK_S) {
		char behind[FMT_MAX];

		fmt_duration((uint64_t)(c->newest_s - c->now_s) * 1000, behind);
		doctor_add(d, "clock", DOCTOR_BAD, "set it: timedatectl set-ntp true",
		           "the clock is behind the last saved state by %s", behind);
	} else if (!c->known) {
		doctor_add(d, "clock", DOCTOR_OK, NULL,
		           "the kernel does not say whether it is synchronised");
	} else if (!c->synchronised) {
		doctor_add(d, "clock", DOCTOR_WARN,
		           "timedatectl set-ntp true, or install chrony; in a container: its host",
		           "the kernel says that nothing keeps it synchronised");
	} else {
		doctor_add(d, "clock", DOCTOR_OK, NULL, "it is synchronised");
	}
}

void doctor_cgroup(struct doctor *d, const struct doctor_cgroup *c)
{
	if (c->path[0] != '\0')
		doctor_add(d, "cgroup", DOCTOR_OK, NULL,
		           "%s, each process has a group of its own in %.200s", c->mode, c->path);
	else if (!c->systemd)
		doctor_add(d, "cgroup", DOCTOR_OK, NULL,
		           "%s, and none is delegated to it: children are found by their tags",
		           c->mode);
	else if (strcmp(c->mode, "v2") != 0 && strcmp(c->mode, "hybrid") != 0)
		doctor_add(d, "cgroup", DOCTOR_WARN, "boot with systemd.unified_cgroup_hierarchy=1",
		           "%s: groups of its own need version 2; children are found by their tags",
		           c->mode);
	else
		doctor_add(d, "cgroup", DOCTOR_WARN,
		           "run it by its unit, which has Delegate=yes: pmctl startup",
		           "%s, and none is delegated to it: children are found by their tags",
		           c->mode);
}

void doctor_versions(struct doctor *d, const struct doctor_versions *v)
{
	const char *agent = v->agent == NULL ? v->cli : v->agent;
	const char *disk = v->disk == NULL ? agent : v->disk;

	if (v->gone)
		doctor_add(d, "versions", DOCTOR_BAD,
		           "install pmd there again: without it, the agent cannot be replaced",
		           "the agent runs %.200s, which is no more on disk", v->program);
	else if (strcmp(agent, v->cli) != 0)
		doctor_add(d, "versions", DOCTOR_WARN, "pmctl agent upgrade",
		           "pmctl is %s, and the agent that runs is %s", v->cli, agent);
	else if (v->replaced || strcmp(agent, disk) != 0)
		doctor_add(d, "versions", DOCTOR_WARN, "pmctl agent upgrade",
		           "the pmd on disk (%s) is another one than the agent that runs (%s)",
		           v->disk == NULL ? "version unknown" : v->disk, agent);
	else
		doctor_add(d, "versions", DOCTOR_OK, NULL, "%s %s",
		           v->agent != NULL && v->disk != NULL
		                   ? "pmctl, the agent and pmd on disk are"
		           : v->agent != NULL ? "pmctl and the agent are"
		           : v->disk != NULL  ? "pmctl and pmd on disk are"
		                              : "pmctl is",
		           v->cli);
}

static void boot_by_unit(struct doctor *d, const struct doctor_boot *b)
{
	char fix[200];

	if (b->other_home) {
		doctor_add(d, "boot", DOCTOR_WARN, "pmctl startup, with the same PMD_HOME",
		           "%s starts an agent with another home", b->unit);
	} else if (b->program_gone) {
		doctor_add(d, "boot", DOCTOR_BAD, "install it there again, or: pmctl startup",
		           "%s starts %.200s, which cannot be executed", b->unit, b->program);
	} else if (!b->enabled) {
		(void)snprintf(fix, sizeof(fix), "systemctl %senable %.120s",
		               b->user_unit ? "--user " : "", b->unit);
		doctor_add(d, "boot", DOCTOR_WARN, fix, "%s is there, but not enabled", b->unit);
	} else if (b->user_unit && !b->lingers) {
		(void)snprintf(fix, sizeof(fix), "as root: loginctl enable-linger %.64s", b->user);
		doctor_add(d, "boot", DOCTOR_WARN, fix,
		           "%s starts at %s's first login, and not at boot", b->unit, b->user);
	} else {
		doctor_add(d, "boot", DOCTOR_OK, NULL, "%s starts it", b->unit);
	}
}

void doctor_boot(struct doctor *d, const struct doctor_boot *b)
{
	if (!b->systemd)
		doctor_add(d, "boot", DOCTOR_WARN,
		           "let the init system, or the container, run: pmd agent --foreground",
		           "systemd does not run here, so that no unit starts it");
	else if (b->unit == NULL)
		doctor_add(d, "boot", DOCTOR_WARN, "pmctl startup",
		           "nothing starts %s's agent at boot", b->user);
	else
		boot_by_unit(d, b);
}

void doctor_uplink(struct doctor *d, const Pm__UplinkState *u, int64_t now_ms)
{
	char since[FMT_MAX], fix[200];

	fmt_duration(now_ms > u->since_wall_ms ? (uint64_t)(now_ms - u->since_wall_ms) : 0, since);
	if (u->connected) {
		doctor_add(d, "coordinator", DOCTOR_OK, NULL, "connected to %.200s for %s",
		           u->address, since);
		return;
	}
	(void)snprintf(fix, sizeof(fix), "see that %.100s can be reached from here, and runs",
	               u->address[0] == '\0' ? "the coordinator" : u->address);
	doctor_add(d, "coordinator", DOCTOR_BAD, fix, "not connected for %s: %.200s", since,
	           u->why[0] == '\0' ? "still connecting" : u->why);
}

void doctor_degraded(struct doctor *d, char *const *words, size_t n)
{
	static const struct {
		const char *what;
		enum doctor_level level;
		const char *fix;
	} known[] = {
		{ "cgroup:", DOCTOR_WARN, "nothing: children are found by their tags instead" },
		{ "disk:", DOCTOR_BAD, "make room where the log files are" },
		{ "saved state:", DOCTOR_BAD, "pmctl save, once what runs is what should run" },
		{ "state:", DOCTOR_BAD, "make room in the home, and see that it can be written" },
		{ "", DOCTOR_BAD, "pmd.log says more; this goes when its cause does" },
	};

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (strncmp(words[i], known[k].what, strlen(known[k].what)) != 0)
			k++; /* the last one fits all */
		doctor_add(d, "degraded", known[k].level, known[k].fix, "%.300s", words[i]);
	}
}

/* ---- showing ---- */

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_WARN] = "warn",
		[DOCTOR_BAD] = "bad",
	};

	return names[level];
}

int doctor_status(const struct doctor *d)
{
	return d->counts[DOCTOR_BAD] > 0 ? pm_code_exit_status(PM_FAILED) : 0;
}

/* From the text's column on, further lines indented likewise. */
static void add_wrapped(struct pm_buf *out, const char *text, unsigned width)
{
	unsigned column = TEXT_COLUMN;

	for (bool first = true; *text != '\0'; first = false) {
		size_t n = strcspn(text, " ");
		PM_BUF word = { 0 };
		unsigned columns;

		pm_buf_add(&word, text, n);
		pm_buf_char(&word, '\0');
		columns = word.failed ? 0 : text_width(word.bytes);
		if (!first && width > 2 * TEXT_COLUMN && column + 1 + columns > width) {
			pm_buf_char(out, '\n');
			text_pad(out, TEXT_COLUMN);
			column = TEXT_COLUMN;
		} else if (!first) {
			pm_buf_char(out, ' ');
			column++;
		}
		pm_buf_add(out, text, n);
		column += columns;
		text += n;
		text += strspn(text, " ");
	}
	pm_buf_char(out, '\n');
}

static void add_clean_wrapped(struct pm_buf *out, const char *text, unsigned width)
{
	PM_BUF clean = { 0 };

	text_add_clean(&clean, text);
	add_wrapped(out, clean.failed || clean.bytes == NULL ? "" : clean.bytes, width);
}

static void add_finding(const struct doctor_finding *f, unsigned width, bool color,
                        struct pm_buf *out)
{
	static const enum color colors[] = {
		[DOCTOR_OK] = COLOR_GREEN,
		[DOCTOR_WARN] = COLOR_YELLOW,
		[DOCTOR_BAD] = COLOR_RED,
	};
	char level[8], fix[sizeof(f->fix) + 8];

	(void)snprintf(level, sizeof(level), "%-4s", doctor_level_name(f->level));
	color_add(out, color, colors[f->level], level);
	pm_buf_printf(out, "  %-*s", TEXT_COLUMN - 6, f->check);
	add_clean_wrapped(out, f->text, width);
	if (f->fix[0] == '\0')
		return;
	(void)snprintf(fix, sizeof(fix), "to do: %s", f->fix);
	text_pad(out, TEXT_COLUMN);
	add_clean_wrapped(out, fix, width);
}

void doctor_text(const struct doctor *d, unsigned width, bool color, struct pm_buf *out)
{
	for (size_t i = 0; i < d->n; i++)
		add_finding(&d->list[i], width, color, out);
	if (d->n_more > 0)
		pm_buf_printf(out, "and %zu more\n", d->n_more);
	pm_buf_printf(out, "%zu checks: %zu ok, %zu to look at, %zu bad\n", d->n + d->n_more,
	              d->counts[DOCTOR_OK], d->counts[DOCTOR_WARN], d->counts[DOCTOR_BAD]);
}

void doctor_json(const struct doctor *d, struct json_out *j)
{
	json_key(j, "findings");
	json_begin_array(j);
	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->list[i];

		json_begin_object(j);
		json_kstr(j, "check", f->check);
		json_kstr(j, "level", doctor_level_name(f->level));
		json_kstr(j, "text", f->text);
		if (f->fix[0] != '\0')
			json_kstr(j, "fix", f->fix);
		json_end_object(j);
	}
	json_end_array(j);
	json_key(j, "account");
	json_begin_object(j);
	json_kuint(j, "total", d->n + d->n_more);
	json_kuint(j, "ok", d->counts[DOCTOR_OK]);
	json_kuint(j, "warn", d->counts[DOCTOR_WARN]);
	json_kuint(j, "bad", d->counts[DOCTOR_BAD]);
	json_end_object(j);
}
