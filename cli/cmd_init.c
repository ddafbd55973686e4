/* cmd_init.c - pmctl init: an application file to start from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cmd_list.h"
#include "cli/config_parse.h"
#include "cli/ctx.h"

#define FILE_NAME    "ecosystem.config.js"
#define PACKAGE_MAX  (1u << 20)
#define MODULE_BEGIN "export default {\n"
#define COMMON_BEGIN "module.exports = {\n"

static const char simple_apps[] = "  apps: [{\n"
				  "    name: 'app1',\n"
				  "    script: './app.js',\n"
				  "  }],\n"
				  "};\n";

static const char full_apps[] = "  apps: [{\n"
				"    name: 'app1',\n"
				"    script: './app.js',\n"
				"    watch: false,\n"
				"    env: { NODE_ENV: 'development' },\n"
				"    env_production: { NODE_ENV: 'production' },\n"
				"  }, {\n"
				"    name: 'service-worker',\n"
				"    script: './service-worker.js',\n"
				"    max_memory_restart: '300M',\n"
				"  }],\n"
				"};\n";

/* Whether node reads .js files of this directory as ES modules. */
static bool is_module_package(void)
{
	PM_DOC *doc = doc_create(4 * PACKAGE_MAX);
	PM_CLOSE int fd = open("package.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	PM_FREE char *bytes = pm_calloc(1, PACKAGE_MAX);
	const struct doc_node *root = NULL, *type;
	struct config_place place;
	struct pm_error ignored;
	ssize_t n = fd >= 0 && bytes != NULL ? read(fd, bytes, PACKAGE_MAX) : -1;

	if (doc == NULL || n <= 0 ||
	    config_parse_json(bytes, (size_t)n, doc, &root, &place, &ignored) < 0 ||
	    root->type != DOC_MAP)
		return false;
	type = doc_get(root, "type");
	return type != NULL && type->type == DOC_TEXT && strcmp(type->text, "module") == 0;
}

static int write_file(const char *text, bool overwrite, struct pm_error *err)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (overwrite ? O_TRUNC : O_EXCL);
	PM_CLOSE int fd = open(FILE_NAME, flags, 0644);
	size_t len = strlen(text), done = 0;

	if (fd < 0 && errno == EEXIST) {
		(void)pm_fail(err, PM_EXISTS, "init: " FILE_NAME " is there already");
		pm_hint(err, "give --force to overwrite it");
		return -1;
	}
	if (fd < 0)
		return pm_fail_errno(err, errno, "create " FILE_NAME);
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "write " FILE_NAME);
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int init_run(struct ctx *ctx, struct pm_error *err)
{
	const char *kind = args_count(ctx->args) > 0 ? args_at(ctx->args, 0) : "full";
	bool simple = strcmp(kind, "simple") == 0;
	PM_BUF text = { 0 };
	char cwd[PM_PATH_MAX];

	if (!simple && !ctx->as_pm2 && strcmp(kind, "full") != 0)
		return pm_fail(err, PM_USAGE, "init %.40s: expected simple, or nothing", kind);
	pm_buf_str(&text, is_module_package() ? MODULE_BEGIN : COMMON_BEGIN);
	pm_buf_str(&text, simple ? simple_apps : full_apps);
	if (text.failed)
		return pm_fail(err, PM_NO_MEMORY, "init");
	if (write_file(text.bytes, ctx->as_pm2 || args_has(ctx->args, "force"), err) < 0)
		return -1;
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		cwd[0] = '\0';
	say_plain(ctx, "File %s/" FILE_NAME " generated", cwd);
	return 0;
}

static const struct cmd_option init_options[] = {
	{ "force", 'f', CMD_NO_VALUE, NULL, "overwrite the file when it is there" },
	{ 0 },
};

const struct cmd cmd_init = {
	.name = "init",
	.aliases = "ecosystem",
	.args = "[simple]",
	.summary = "write " FILE_NAME " to start from, into the current directory",
	.options = init_options,
	.min_args = 0,
	.max_args = 1,
	.run = init_run,
};
