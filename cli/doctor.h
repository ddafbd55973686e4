/*
 * doctor.h - what is well and what is not, and what to do about it: findings, how they are judged
 * from facts, and how they are shown. Pure.
 *
 * Who looks (doctor_look.h) has no opinion; what is good enough is decided here alone.
 */
#ifndef PM_CLI_DOCTOR_H
#define PM_CLI_DOCTOR_H

#include <stdbool.h>

#include "cli/json_out.h"
#include "proto/buf.h"
#include "proto/pm.pb-c.h"

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_WARN, /* it works, but less well than it could, or not after the next boot */
	DOCTOR_BAD,  /* something does not work, or is about to */
};

struct doctor_finding {
	const char *check; /* "disk": static */
	enum doctor_level level;
	char text[384];
	char fix[256]; /* "": nothing is to be done */
};

#define DOCTOR_FINDINGS_MAX 48 /* more are counted, and said */

struct doctor {
	struct doctor_finding list[DOCTOR_FINDINGS_MAX];
	size_t n, n_more;
	size_t counts[DOCTOR_BAD + 1];
};

/* Add a finding; secrets in the text are hidden. fix: NULL or "" for none. */
void doctor_add(struct doctor *d, const char *check, enum doctor_level level, const char *fix,
                const char *fmt, ...) PM_PRINTF(5, 6);

/* ---- facts, and the judges of each ---- */

struct doctor_disk {
	const char *what; /* "home" */
	const char *path;
	uint64_t bytes, bytes_free;   /* free: for us, who may not be root */
	uint64_t inodes, inodes_free; /* inodes 0: the file system does not count them */
	bool read_only;
};
void doctor_disk(struct doctor *d, const struct doctor_disk *disk);

struct doctor_limits {
	uint64_t nofile_soft, nofile_hard, nproc; /* UINT64_MAX: none */
	uint64_t open_files;
	bool is_root;  /* whom RLIMIT_NPROC does not bind */
	bool of_agent; /* else of this command, and so of an agent that it would start */
};
void doctor_limits(struct doctor *d, const struct doctor_limits *l);

struct doctor_clock {
	bool known, synchronised; /* what adjtimex(2) says */
	int64_t now_s;
	int64_t newest_s; /* the last write of a state file; 0: there is none */
};
void doctor_clock(struct doctor *d, const struct doctor_clock *c);

struct doctor_cgroup {
	const char *mode; /* struct Pm__AgentFacts */
	const char *path;
	bool systemd; /* it runs here */
};
void doctor_cgroup(struct doctor *d, const struct doctor_cgroup *c);

struct doctor_versions {
	const char *cli, *agent, *disk; /* agent, disk NULL: not known */
	const char *program;            /* the agent's; NULL: not known */
	bool gone, replaced;
};
void doctor_versions(struct doctor *d, const struct doctor_versions *v);

/* What starts the agent of a home at boot. */
struct doctor_boot {
	bool systemd;
	const char *user;  /* whose home it is */
	const char *unit;  /* file name of a unit for it; NULL: none was found */
	bool enabled;      /* it is wanted at boot */
	bool user_unit;    /* of the user's own systemd: needs lingering */
	bool lingers;      /* with user_unit */
	bool other_home;   /* the unit is for another home */
	bool program_gone; /* what it starts is not there, or cannot be executed */
	const char *program;
};
void doctor_boot(struct doctor *d, const struct doctor_boot *b);

/* The link to the coordinator. */
void doctor_uplink(struct doctor *d, const Pm__UplinkState *u, int64_t now_ms);

/* Each thing that the agent says is degraded ("what: words"). */
void doctor_degraded(struct doctor *d, char *const *words, size_t n);

/* ---- what is made of it ---- */

const char *doctor_level_name(enum doctor_level level);

/* 0, or 10 when something is bad. */
int doctor_status(const struct doctor *d);

/* The findings with their account; width 0: no limit. */
void doctor_text(const struct doctor *d, unsigned width, bool color, struct pm_buf *out);

/* Members "findings" and "account" of an object that is begun. */
void doctor_json(const struct doctor *d, struct json_out *j);

#endif
