/*
 * arm.c - arms fail points in a running agent: arm HOME NAME=ACTION[,...], as in PMD_FAIL. Which
 * process they are in (the supervisor) is the one that answers.
 */
#include <stdio.h>

#include "cli/client.h"

static int arm(struct client *c, char *points, struct pm_error *err)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	struct client_result *result = NULL;
	int rc;

	cmd.verb = PM__VERB__VERB_FAIL_POINT;
	cmd.text = points;
	cmd.timeout_ms = 5000;
	if (client_command(c, &cmd, NULL, NULL, &result, err) < 0)
		return -1;
	rc = result->code == PM_OK ? 0 : pm_fail(err, result->code, "%s", result->text);
	client_result_destroy(result);
	return rc;
}

int main(int argc, char **argv)
{
	const struct client_options options = { .timeout_ms = 5000, .program = "arm" };
	struct client *c = NULL;
	struct pm_error err;
	int rc;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: arm HOME NAME=ACTION[,...]\n");
		return 2;
	}
	rc = client_connect(argv[1], &options, &c, &err);
	if (rc == 0)
		rc = arm(c, argv[2], &err);
	client_destroy(c);
	if (rc < 0)
		(void)fprintf(stderr, "arm: %s\n", err.what);
	return rc < 0;
}
