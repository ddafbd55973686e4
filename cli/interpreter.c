#include "cli/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/path.h"
#include "cli/version.h"
#include "proto/limits.h"

/* How much of a script tells text from a program. */
#define HEAD_BYTES 512

struct known {
	const char *extension;
	const char *programs[2]; /* the first that is in PATH */
};

static const struct known by_extension[] = {
	{ ".sh", { "bash", "sh" } },       { ".py", { "python3", "python" } },
	{ ".rb", { "ruby", NULL } },       { ".php", { "php", NULL } },
	{ ".pl", { "perl", NULL } },       { ".js", { "node", NULL } },
	{ ".cjs", { "node", NULL } },      { ".mjs", { "node", NULL } },
	{ ".coffee", { "coffee", NULL } }, { ".ls", { "lsc", NULL } },
	{ ".tsx", { "bun", NULL } },
};

static void give(char **field, char *text)
{
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = text;
}

/* After path_which() came back with nothing. */
static int not_in_path(const char *program, struct pm_error *err)
{
	if (errno == ENOMEM)
		return pm_fail(err, PM_NO_MEMORY, "find an interpreter");
	(void)pm_fail(err, PM_NOT_FOUND, "Interpreter %.64s is NOT AVAILABLE in PATH", program);
	pm_hint(err, "install it, or name another one with --interpreter");
	return -1;
}

/* node@20.11.1: the version that nvm has installed under the caller's home. */
static int from_nvm(Pm__AppSpec *spec, const struct interpreter_choice *c, struct pm_error *err)
{
	const char *dir = path_getenv(c->ctx->environment, "NVM_DIR");
	const char *version = strchr(spec->interpreter, '@') + 1;
	char path[PM_PATH_MAX];

	if (version[0] == '\0' || strpbrk(version, "/ ") != NULL)
		return pm_fail(err, PM_CONFIG, "interpreter: %.64s: not a version",
		               spec->interpreter);
	(void)snprintf(path, sizeof(path), "%s%s/versions/node/v%s/bin/node",
	               dir != NULL       ? dir
	               : c->home != NULL ? c->home
	                                 : "",
	               dir != NULL ? "" : "/.nvm", version + (version[0] == 'v' ? 1 : 0));
	if (access(path, X_OK) == 0)
		return spec_put_str(&spec->interpreter, path, err);
	(void)pm_fail(err, PM_NOT_FOUND, "interpreter %.64s: no %.180s", spec->interpreter, path);
	pm_hint(err, "run 'nvm install %.40s' first", version);
	return -1;
}

static int choose_given(Pm__AppSpec *spec, const struct interpreter_choice *c, struct pm_error *err)
{
	char *found = NULL;

	if (strcmp(spec->interpreter, "none") == 0)
		return 0;
	if (strncmp(spec->interpreter, "node@", 5) == 0)
		return from_nvm(spec, c, err);
	if (strchr(spec->interpreter, '/') == NULL) {
		found = path_which(c->path, spec->interpreter);
		if (found == NULL)
			return not_in_path(spec->interpreter, err);
	} else {
		if (path_resolve(spec->cwd, c->home, spec->interpreter, &found, err) < 0)
			return -1;
		if (access(found, X_OK) < 0) {
			(void)pm_fail_errno(err, errno, "interpreter %.200s", found);
			free(found);
			return -1;
		}
	}
	give(&spec->interpreter, found);
	return 0;
}

static int choose_program(Pm__AppSpec *spec, const struct interpreter_choice *c,
                          const char *const *programs, struct pm_error *err)
{
	for (size_t i = 0; i < 2 && programs[i] != NULL; i++) {
		char *found = path_which(c->path, programs[i]);

		if (found != NULL) {
			give(&spec->interpreter, found);
			return 0;
		}
	}
	return not_in_path(programs[0], err);
}

/* TypeScript: bun, or a node that strips types itself (22.6 and later). */
static int choose_typescript(Pm__AppSpec *spec, const struct interpreter_choice *c,
                             struct pm_error *err)
{
	static const char *const node[2] = { "node", NULL };
	char version[VERSION_TEXT] = "";
	char *found = path_which(c->path, "bun");
	unsigned major = 0, minor = 0;

	if (found != NULL) {
		give(&spec->interpreter, found);
		return 0;
	}
	if (choose_program(spec, c, node, err) < 0)
		return -1;
	version_of_node(c->ctx->cache, spec->interpreter, version);
	if (sscanf(version, "v%u.%u", &major, &minor) != 2 || major < 22 ||
	    (major == 22 && minor < 6)) {
		(void)pm_fail(err, PM_NOT_FOUND,
		              "script %.160s: bun is not in PATH, and node %.20s "
		              "is older than 22.6",
		              spec->script, version);
		pm_hint(err, "install bun or a newer node, or name another one with --interpreter");
		return -1;
	}
	return spec_add_str(&spec->interpreter_args, &spec->n_interpreter_args,
	                    "--experimental-strip-types", err);
}

/* No extension that says anything: the file itself has to. */
static int choose_by_content(Pm__AppSpec *spec, const struct interpreter_choice *c,
                             struct pm_error *err)
{
	static const char *const node[2] = { "node", NULL };
	PM_CLOSE int fd = open(spec->script, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char head[HEAD_BYTES];
	ssize_t n;

	if (fd < 0 && errno == EACCES && access(spec->script, X_OK) == 0)
		return spec_put_str(&spec->interpreter, "none",
		                    err); /* a program we may run, not read */
	if (fd < 0)
		return pm_fail_errno(err, errno, "script %.200s", spec->script);
	n = read(fd, head, sizeof(head));
	if (n < 0)
		return pm_fail_errno(err, errno, "read %.200s", spec->script);
	if ((n >= 2 && memcmp(head, "#!", 2) == 0) || memchr(head, '\0', (size_t)n) != NULL) {
		if (access(spec->script, X_OK) < 0) {
			(void)pm_fail_errno(err, errno, "script %.160s", spec->script);
			pm_hint(err, "make it executable with chmod +x");
			return -1;
		}
		return spec_put_str(&spec->interpreter, "none", err);
	}
	return choose_program(spec, c, node, err);
}

int interpreter_choose(Pm__AppSpec *spec, const struct interpreter_choice *choice,
                       struct pm_error *err)
{
	const char *extension = path_extension(spec->script);

	if (choice->given)
		return choose_given(spec, choice, err);
	if (choice->binary)
		return spec_put_str(&spec->interpreter, "none", err);
	if (strcmp(extension, ".ts") == 0)
		return choose_typescript(spec, choice, err);
	for (size_t i = 0; i < PM_COUNT(by_extension); i++)
		if (strcmp(extension, by_extension[i].extension) == 0)
			return choose_program(spec, choice, by_extension[i].programs, err);
	return choose_by_content(spec, choice, err);
}
