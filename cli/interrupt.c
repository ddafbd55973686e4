#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static int pipes[2] = { -1, -1 };

static void on_signal(int signum)
{
	int saved = errno;
	ssize_t rc;

	came = signum;
	rc = write(pipes[1], "", 1); /* what is full is readable, too */
	(void)rc;
	errno = saved;
}

int interrupt_begin(int *fd, struct pm_error *err)
{
	struct sigaction action = { .sa_handler = on_signal };

	if (pipes[0] < 0 && pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return pm_fail_errno(err, errno, "wait for Ctrl-C");
	if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
		return pm_fail_errno(err, errno, "wait for Ctrl-C");
	*fd = pipes[0];
	return 0;
}

bool interrupt_came(void)
{
	return came != 0;
}

bool interrupt_is_final(void)
{
	return came == SIGTERM;
}

void interrupt_forget(void)
{
	char bytes[64];

	came = 0;
	while (read(pipes[0], bytes, sizeof(bytes)) > 0)
		;
}
