#include "proto/failpoint.h"

#ifdef PM_FAILPOINTS

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 16

static struct {
	char name[64];
	char action[16];
	unsigned skip;
} points[POINTS_MAX];
static size_t n_points;

static const struct {
	const char *name;
	int errnum;
} errnos[] = {
	{ "ENOSPC", ENOSPC }, { "EIO", EIO },       { "EAGAIN", EAGAIN }, { "ENOMEM", ENOMEM },
	{ "EMFILE", EMFILE }, { "EACCES", EACCES }, { "EROFS", EROFS },   { "ENOENT", ENOENT },
};

static int act(const char *action)
{
	if (strcmp(action, "kill") == 0)
		(void)raise(SIGKILL);
	else if (strcmp(action, "stop") == 0)
		(void)raise(SIGSTOP);
	else if (strcmp(action, "abort") == 0)
		abort();
	else if (strcmp(action, "exit") == 0)
		_exit(70);
	for (size_t i = 0; i < PM_COUNT(errnos); i++)
		if (strcmp(action, errnos[i].name) == 0)
			return errnos[i].errnum;
	return 0;
}

int pm_failpoint(const char *name)
{
	char action[sizeof(points[0].action)];

	for (size_t i = 0; i < n_points; i++) {
		if (strcmp(points[i].name, name) != 0)
			continue;
		if (points[i].skip > 0) {
			points[i].skip--;
			return 0;
		}
		memcpy(action, points[i].action, sizeof(action));
		points[i] = points[--n_points];
		return act(action);
	}
	return 0;
}

static bool action_known(const char *action)
{
	static const char *const words[] = { "kill", "stop", "abort", "exit" };

	for (size_t i = 0; i < PM_COUNT(words); i++)
		if (strcmp(action, words[i]) == 0)
			return true;
	for (size_t i = 0; i < PM_COUNT(errnos); i++)
		if (strcmp(action, errnos[i].name) == 0)
			return true;
	return false;
}

static int arm_one(const char *word, size_t len, struct pm_error *err)
{
	char text[128], *action;
	unsigned skip = 0;
	int eaten = 0;

	if (len >= sizeof(text) || n_points == POINTS_MAX)
		return pm_fail(err, PM_LIMIT, "fail point: too long or too many");
	memcpy(text, word, len);
	text[len] = '\0';
	action = strchr(text, '=');
	if (action == NULL)
		return pm_fail(err, PM_USAGE, "fail point %s: expected NAME=[SKIP+]ACTION", text);
	*action++ = '\0';
	if (sscanf(action, "%u+%n", &skip, &eaten) == 1 && eaten > 0)
		action += eaten;
	else
		skip = 0;
	if (strlen(text) >= sizeof(points[0].name) || !action_known(action))
		return pm_fail(err, PM_USAGE, "fail point %s: no such action: %s", text, action);
	memcpy(points[n_points].name, text, strlen(text) + 1);
	memcpy(points[n_points].action, action, strlen(action) + 1);
	points[n_points++].skip = skip;
	return 0;
}

int pm_failpoint_arm(const char *spec, struct pm_error *err)
{
	while (*spec != '\0') {
		size_t len = strcspn(spec, ",");

		if (len > 0 && arm_one(spec, len, err) < 0)
			return -1;
		spec += len + (spec[len] == ',');
	}
	return 0;
}

void pm_failpoint_arm_from_env(void)
{
	const char *spec = getenv("PMD_FAIL");
	struct pm_error err;

	if (spec != NULL && pm_failpoint_arm(spec, &err) < 0)
		return; /* a test that arms nothing fails by itself */
}

#else

int pm_failpoint_arm(const char *spec, struct pm_error *err)
{
	(void)spec;
	return pm_fail(err, PM_UNSUPPORTED, "this build has no fail points");
}

void pm_failpoint_arm_from_env(void)
{
}

#endif
