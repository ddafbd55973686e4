#include "cli/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/config_parse.h"
#include "proto/limits.h"

/* Directories remembered; apps of one file share a few. Then the oldest is forgotten. */
#define DIRS_KEPT       64
#define PACKAGE_MAX     (1u << 20)
#define NODE_VERSION_MS 2000

struct dir_version {
	char *dir; /* owned */
	char version[VERSION_TEXT];
};

struct build_cache {
	struct dir_version dirs[DIRS_KEPT];
	size_t next;
	char *node; /* owned: the program that node_version is of */
	char node_version[VERSION_TEXT];
};

struct build_cache *build_cache_create(void)
{
	return pm_calloc(1, sizeof(struct build_cache));
}

void build_cache_destroy(struct build_cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i < DIRS_KEPT; i++)
		free(cache->dirs[i].dir);
	free(cache->node);
	free(cache);
}

/* Versions are shown in tables: anything odd is left out. */
static bool is_plain(const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return strlen(s) < VERSION_TEXT;
}

static void version_in(const char *bytes, size_t len, char *out)
{
	PM_DOC *doc = doc_create(4 * PACKAGE_MAX);
	const struct doc_node *root = NULL, *version;
	struct config_place place;
	struct pm_error err;

	if (doc == NULL || config_parse_json(bytes, len, doc, &root, &place, &err) < 0 ||
	    root->type != DOC_MAP)
		return;
	version = doc_get(root, "version");
	if (version != NULL && version->type == DOC_TEXT && is_plain(version->text))
		(void)snprintf(out, VERSION_TEXT, "%s", version->text);
}

/* Whether dir holds a package.json; then out is its version, or "". */
static bool read_package(const char *dir, char *out)
{
	PM_FREE char *bytes = NULL;
	PM_CLOSE int fd = -1;
	char path[PM_PATH_MAX];
	size_t len = 0;
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/package.json", dir) >= (int)sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	out[0] = '\0';
	bytes = pm_calloc(1, PACKAGE_MAX);
	while (bytes != NULL && (n = read(fd, bytes + len, PACKAGE_MAX - len)) > 0)
		len += (size_t)n;
	if (bytes != NULL && len < PACKAGE_MAX)
		version_in(bytes, len, out);
	return true;
}

static void remember(struct build_cache *cache, const char *dir, const char *version)
{
	struct dir_version *slot;

	if (cache == NULL)
		return;
	slot = &cache->dirs[cache->next++ % DIRS_KEPT];
	free(slot->dir);
	slot->dir = pm_strdup(dir); /* NULL only means that nothing is remembered */
	(void)snprintf(slot->version, sizeof(slot->version), "%s", version);
}

void version_of_package(struct build_cache *cache, const char *script, char *out)
{
	char dir[PM_PATH_MAX], start[PM_PATH_MAX];
	char *slash;

	out[0] = '\0';
	(void)snprintf(dir, sizeof(dir), "%s", script);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	(void)snprintf(start, sizeof(start), "%s", dir);
	for (size_t i = 0; cache != NULL && i < DIRS_KEPT; i++)
		if (cache->dirs[i].dir != NULL && strcmp(cache->dirs[i].dir, start) == 0) {
			(void)snprintf(out, VERSION_TEXT, "%s", cache->dirs[i].version);
			return;
		}
	while (!read_package(dir, out) && (slash = strrchr(dir, '/')) != NULL)
		*slash = '\0';
	remember(cache, start, out);
}

static void ask_node(const char *node, char *out)
{
	const char *const argv[] = { node, "--version", NULL };
	struct child_order order = {
		.argv = argv, .out_fd = 1, .time_ms = NODE_VERSION_MS, .quiet = true
	};
	PM_BUF text = { .max = 256 };
	struct pm_error err;
	int status = 0;

	if (child_run(&order, &text, &status, &err) < 0 || status != 0 || text.len == 0)
		return;
	text.bytes[strcspn(text.bytes, "\r\n")] = '\0';
	if (is_plain(text.bytes))
		(void)snprintf(out, VERSION_TEXT, "%s", text.bytes);
}

void version_of_node(struct build_cache *cache, const char *node, char *out)
{
	if (cache != NULL && cache->node != NULL && strcmp(cache->node, node) == 0) {
		(void)snprintf(out, VERSION_TEXT, "%s", cache->node_version);
		return;
	}
	out[0] = '\0';
	ask_node(node, out);
	if (cache == NULL)
		return;
	free(cache->node);
	cache->node = pm_strdup(node);
	(void)snprintf(cache->node_version, sizeof(cache->node_version), "%s", out);
}
