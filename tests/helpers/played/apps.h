/* apps.h - the apps of a played agent: what they are, and what becomes of them by commands.
 *
 * A version of a spec is a word; its digest is the word itself, padded with zeros.  What was
 * carried out is told on standard output, "did NAME VERB VERSION TOKEN", each token once.
 */
#ifndef PM_TESTS_PLAYED_APPS_H
#define PM_TESTS_PLAYED_APPS_H

#include "proto/link.h"

#define PLAYED_APPS_MAX 8
#define PLAYED_DID_MAX  64

struct played_app {
	char name[64], version[32];
	unsigned n;
	Pm__LifeState state;
	uint32_t pid;      /* of the first instance */
	uint64_t crash_ms; /* it gets another pid then; 0: it stays up */
	bool absent;
};

struct played_apps {
	char host[64];
	struct played_app list[PLAYED_APPS_MAX];
	unsigned n;
	char fail[128]; /* "": commands succeed */
	char bad[32];   /* a version that never gets ready */
	char frail[32]; /* one that crashes frail_ms after it was ready */
	uint32_t frail_ms;
	char staged[PLAYED_APPS_MAX][2][64]; /* name and version of what was pushed */
	unsigned n_staged;
	struct {
		uint8_t token[16];
		bool failed;
	} did[PLAYED_DID_MAX];
	unsigned n_did;
	uint64_t revision;
};

/* "api:4:1.4.2:online[,...]": name, instances, version, state. */
void played_take_apps(struct played_apps *p, char *text);
void played_push(struct played_apps *p, const Pm__SpecPush *push);
void played_turn(struct played_apps *p, uint64_t now_ms); /* crashes that are due */
uint32_t played_running(const struct played_apps *p);

/* Fill in an answer; what it borrows is good until the next call. */
void played_status(struct played_apps *p, const Pm__StatusRequest *req, Pm__Envelope *env);
void played_command(struct played_apps *p, const Pm__Command *cmd, uint64_t now_ms,
                    Pm__Envelope *env);

#endif
