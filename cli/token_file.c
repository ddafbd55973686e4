#include "cli/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

/* All of it, into memory that the caller wipes; room for one byte more shows that it is too long.
 */
static int read_text(int fd, char *text, size_t size, struct pm_error *err)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, text + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pm_fail_errno(err, errno, "read the token");
		if (n == 0)
			break;
		len += (size_t)n;
		if (len == size)
			return pm_fail(err, PM_CONFIG, "it is too long for a token");
	}
	text[len] = '\0';
	if (strlen(text) != len)
		return pm_fail(err, PM_CONFIG, "it is no token");
	return 0;
}

static int check_kind(const struct pm_token *token, enum pm_token_kind kind, struct pm_error *err)
{
	if (token->kind == kind)
		return 0;
	if (kind == PM_TOKEN_OPERATOR) {
		pm_fail(err, PM_CONFIG, "this token lets a machine join, not an operator log in");
		pm_hint(err,
		        "'pmctl join' takes it; 'pmctl token create --operator' makes the other");
	} else {
		pm_fail(err, PM_CONFIG, "this token lets an operator log in, not a machine join");
		pm_hint(err, "'pmctl login' takes it; 'pmctl token create' makes the other");
	}
	return -1;
}

int token_file_read(const char *path, enum pm_token_kind kind, struct pm_token *out,
                    struct pm_error *err)
{
	char text[PM_TOKEN_TEXT_MAX + 2];
	struct pm_token token = { 0 };
	PM_CLOSE int fd = -1;
	int rc;

	fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return pm_fail_errno(err, errno, "open %.150s", path);
	rc = read_text(fd, text, sizeof(text) - 1, err);
	if (rc == 0)
		rc = pm_token_parse(text, &token, err);
	sodium_memzero(text, sizeof(text));
	if (rc == 0)
		rc = check_kind(&token, kind, err);
	if (rc < 0) {
		pm_token_finish(&token);
		return pm_wrap(err, "%.100s", strcmp(path, "-") == 0 ? "standard input" : path);
	}
	*out = token;
	return 0;
}
