#include "cli/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/config.h"
#include "cli/config_js.h"
#include "cli/path.h"
#include "proto/limits.h"

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* Modules: the names that PM2 loads with require. */
static bool is_module(const char *path)
{
	return ends_with(path, ".config.js") || ends_with(path, ".config.cjs") ||
	       ends_with(path, ".config.mjs") || strcmp(path_base(path), "ecosystem.js") == 0;
}

static bool is_yaml(const char *path)
{
	return ends_with(path, ".yml") || ends_with(path, ".yaml");
}

bool config_is_file(const char *text)
{
	return strcmp(text, "-") == 0 || ends_with(text, ".json") || ends_with(text, ".json5") ||
	       is_yaml(text) || is_module(text);
}

static int read_bytes(int fd, struct pm_buf *bytes, struct pm_error *err)
{
	char block[16384];

	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pm_fail_errno(err, errno, "read");
		if (n == 0)
			return 0;
		pm_buf_add(bytes, block, (size_t)n);
		if (bytes->failed)
			return pm_fail(err, PM_LIMIT, "larger than %zu bytes", bytes->max);
	}
}

static int read_file(const char *file, struct pm_buf *bytes, struct pm_error *err)
{
	PM_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return pm_fail(err, PM_NOT_FOUND, "no such file");
	if (fd < 0)
		return pm_fail_errno(err, errno, "open");
	return read_bytes(fd, bytes, err);
}

int config_file_read(const char *path, const char *cwd, char *const *environment, struct doc *doc,
                     const struct doc_node **root, struct config_place *place, struct pm_error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	PM_BUF bytes = { .max = PM_CONFIG_MAX };
	PM_FREE char *file = NULL;
	struct config_js_order js = { .cwd = cwd,
		                      .environment = environment,
		                      .time_ms = PM_CONFIG_JS_MS };

	if (!is_stdin && path_resolve(cwd, NULL, path, &file, err) < 0)
		return -1;
	js.file = file;
	/* Opened first, so that a file that is not there reads the same in all forms. */
	if ((is_stdin ? read_bytes(STDIN_FILENO, &bytes, err) : read_file(file, &bytes, err)) < 0)
		return -1;
	if (is_module(path))
		return config_load_js(&js, doc, root, place, err);
	if (bytes.len == 0)
		return pm_fail(err, PM_CONFIG, "the file is empty");
	if (is_yaml(path))
		return config_parse_yaml(bytes.bytes, bytes.len, doc, root, place, err);
	if (config_parse_json(bytes.bytes, bytes.len, doc, root, place, err) == 0)
		return 0;
	if (err->code != PM_UNSUPPORTED || is_stdin)
		return -1;
	*place = (struct config_place){ 0 };
	js.expression = true;
	return config_load_js(&js, doc, root, place, err);
}
