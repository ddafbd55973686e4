#include "cli/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/units.h"

#define HELD_BYTES (64 * 1024) /* then it is decided, flushed or not: it fills any terminal */
#define WORDS_MAX  16          /* of the pager's command */
#define NORMAL     "less -FRX"

static struct {
	FILE *real, *held; /* NULL: nothing is held back */
	unsigned width, height;
	bool decided;
	int pipe;     /* to the pager; -1: there is none */
	int error_fd; /* what standard error was; -1: it was left alone */
	pid_t pid;    /* of the pager; 0: there is none */
	bool reader_left;
	int failed; /* errno of the terminal; 0: none */
	char buffer[HELD_BYTES];
} pager = { .pipe = -1, .error_fd = -1 };

/* ---- the command ---- */

/*
 * Who came to be root by sudo may be meant to run pmctl and nothing else, and a pager runs what it
 * is told to: then it is less, without its commands (less(1), LESSSECURE).
 */
static bool is_guarded(void)
{
	return getuid() != geteuid() || (geteuid() == 0 && getenv("SUDO_UID") != NULL);
}

/* NULL: none is wanted. */
static const char *command(void)
{
	const char *text = getenv("PMCTL_PAGER");

	if (text == NULL)
		text = getenv("PAGER");
	if (text != NULL && (text[strspn(text, " ")] == '\0' || strcmp(text, "cat") == 0))
		return NULL;
	return text == NULL || is_guarded() ? NORMAL : text;
}

/* The words of a command, cut apart in place; blanks separate them, and nothing quotes them. */
static bool split(char *text, char **words)
{
	size_t n = 0;
	char *rest = NULL;

	for (char *w = strtok_r(text, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
		if (n == WORDS_MAX)
			return false;
		words[n++] = w;
	}
	words[n] = NULL;
	return n > 0;
}

static int spawn(char *const *words, int in)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t signals;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		(void)sigemptyset(&signals); /* these cannot fail for constants */
		(void)sigaddset(&signals, SIGPIPE);
		(void)sigaddset(&signals, SIGINT);
		(void)sigaddset(&signals, SIGQUIT);
		(void)posix_spawnattr_setsigdefault(&attr, &signals);
		(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
		rc = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
		if (rc == 0)
			rc = posix_spawnp(&pager.pid, words[0], &actions, &attr, words, environ);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Ctrl-C is for the pager; who catches it already goes on doing so. */
static void ignore(int signum)
{
	struct sigaction now;

	if (sigaction(signum, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		(void)signal(signum, SIG_IGN); /* cannot fail for these */
}

/* False: there is none, and output goes on as without one. */
static bool start(void)
{
	const char *text = command();
	char *words[WORDS_MAX + 1];
	PM_FREE char *copy = text == NULL ? NULL : pm_strdup(text);
	int ends[2];

	if (copy == NULL)
		return false;
	if (!split(copy, words) || pipe2(ends, O_CLOEXEC) < 0)
		return false;
	/* As git does: less then needs no options of the user's to show colours. */
	(void)setenv("LESS", "FRX", 0); /* without memory it is the user's own way */
	if (is_guarded() && setenv("LESSSECURE", "1", 1) < 0)
		words[0] = NULL;
	if (words[0] == NULL || spawn(words, ends[0]) != 0) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		pager.pid = 0;
		return false;
	}
	(void)close(ends[0]);
	pager.pipe = ends[1];
	ignore(SIGINT);
	ignore(SIGQUIT);
	/* Two writers on one screen: what is said meanwhile belongs into the pager, too. */
	if (isatty(STDERR_FILENO) == 1) {
		pager.error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		if (pager.error_fd >= 0 && dup2(pager.pipe, STDERR_FILENO) < 0) {
			(void)close(pager.error_fd);
			pager.error_fd = -1;
		}
	}
	return true;
}

/* ---- what is held ---- */

/* Whether the text leaves a line for the prompt. Sequences of colours take no place. */
static bool fits(const char *text, size_t len)
{
	unsigned lines = 0, column = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n') {
			lines++;
			column = 0;
		} else if (c == 0x1b) {
			while (i + 1 < len && text[i] != 'm')
				i++;
		} else if ((c & 0xc0) != 0x80 && ++column > pager.width) {
			lines++;
			column = 1;
		}
	}
	return lines < pager.height;
}

static ssize_t on_write(void *cookie, const char *bytes, size_t len)
{
	size_t done = 0;
	int fd;

	(void)cookie;
	if (!pager.decided) {
		pager.decided = true;
		if (!fits(bytes, len))
			(void)start(); /* without one it goes to the terminal */
	}
	fd = pager.pipe >= 0 ? pager.pipe : STDOUT_FILENO;
	while (done < len && !pager.reader_left) {
		ssize_t n = write(fd, bytes + done, len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EPIPE && fd == pager.pipe)
			pager.reader_left = true; /* it was enough: not an error */
		else if (errno != EINTR) {
			pager.failed = errno;
			return 0; /* for stdio, too */
		}
	}
	return (ssize_t)len;
}

/* ---- for whom ---- */

/* A verb with verbs of its own is for reading when it lists or shows. */
static bool is_for_reading(const struct ctx *ctx)
{
	const struct cmd *cmd = args_cmd(ctx->args);
	const char *word = args_at(ctx->args, 0);

	if (args_has(ctx->args, "help"))
		return true;
	if (cmd == NULL || (cmd->flags & CMD_PAGED) == 0 || args_has(ctx->args, "watch") ||
	    args_has(ctx->args, "apply"))
		return false;
	if (strncmp(cmd->args, "list|", 5) != 0)
		return true;
	return word != NULL && (strcmp(word, "list") == 0 || strcmp(word, "show") == 0);
}

static unsigned terminal_height(void)
{
	const char *lines = getenv("LINES");
	struct winsize size;
	int64_t n;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		return size.ws_row;
	if (lines != NULL && pm_parse_int(lines, &n) && n > 0 && n < 10000)
		return (unsigned)n;
	return 24;
}

void pager_begin(const struct ctx *ctx)
{
	static const cookie_io_functions_t functions = { .write = on_write };
	const char *term = getenv("TERM");
	FILE *held;

	if (ctx->as_pm2 || !ctx->tty_out || ctx->json || args_has(ctx->args, "no-pager") ||
	    term == NULL || strcmp(term, "dumb") == 0 || command() == NULL || !is_for_reading(ctx))
		return;
	held = fopencookie(NULL, "w", functions);
	if (held == NULL)
		return; /* then it goes straight to the terminal */
	(void)setvbuf(held, pager.buffer, _IOFBF, sizeof(pager.buffer)); /* cannot fail so */
	pager.held = held;
	pager.real = stdout;
	pager.width = PM_MAX(ctx->width, 1u);
	pager.height = terminal_height();
	stdout = held;
}

int pager_end(struct pm_error *err)
{
	if (pager.held == NULL)
		return 0;
	stdout = pager.real;
	(void)fclose(pager.held); /* on_write() has noted what went wrong */
	pager.held = NULL;
	if (pager.error_fd >= 0) {
		(void)dup2(pager.error_fd, STDERR_FILENO); /* it was open before */
		(void)close(pager.error_fd);
		pager.error_fd = -1;
	}
	if (pager.pipe >= 0)
		(void)close(pager.pipe);
	pager.pipe = -1;
	while (pager.pid > 0 && waitpid(pager.pid, NULL, 0) < 0 && errno == EINTR)
		;
	pager.pid = 0;
	return pager.failed != 0 ? pm_fail_errno(err, pager.failed, "write to stdout") : 0;
}
