#include "cli/config_js.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/child.h"
#include "cli/path.h"
#include "proto/limits.h"

/*
 * Runs in the user's node: argv[1] is the file, argv[2] its kind. The answer, {value} or
 * {error, line, column}, goes to descriptor 3, because the file may print what it likes.
 *
 * A CommonJS file is loaded by require, so that __dirname and relative requires work; what require
 * refuses as an ES module is imported. Every way to fail ends in one answer: thrown, rejected,
 * thrown later. process.exit() in the file ends without one, and the parent says so. What the file
 * printed is on its way before node ends.
 */
static const char loader[] =
	"'use strict';\n"
	"const fs = require('fs'), path = require('path'), url = require('url');\n"
	"const file = process.argv[1], kind = process.argv[2];\n"
	"let sent = false;\n"
	"function send(answer) {\n"
	"  if (sent) return;\n"
	"  sent = true;\n"
	"  const bytes = Buffer.from(answer);\n"
	"  for (let n = 0; n < bytes.length;) n += fs.writeSync(3, bytes, n);\n"
	"  process.stdout.write('', () => process.stderr.write('', () => process.reallyExit(0)));\n"
	"}\n"
	"function plain(key, value) {\n"
	"  if (value instanceof RegExp) return value.source;\n"
	"  if (typeof value === 'bigint') return String(value);\n"
	"  return value;\n"
	"}\n"
	"function fail(e) {\n"
	"  const text = String(e && e.stack || e), at = text.replace(/file:\\/\\//g, '');\n"
	"  const i = at.indexOf(file + ':');\n"
	"  const place = i < 0 ? null : /^(\\d+)(?::(\\d+))?/.exec(at.slice(i + file.length + 1));\n"
	"  const what = e && e.message !== undefined ? e.name + ': ' + e.message : String(e);\n"
	"  send(JSON.stringify({ error: what.split('\\n')[0].slice(0, 200), esm: /import statement "
	"outside|Unexpected token 'export'/.test(what),\n"
	"    line: place ? +place[1] : 0, column: place && place[2] ? +place[2] : 0 }));\n"
	"}\n"
	"process.on('uncaughtException', fail);\n"
	"process.on('unhandledRejection', fail);\n"
	"async function load() {\n"
	"  if (kind === 'expression')\n"
	"    return require('vm').runInThisContext('(' + fs.readFileSync(file, 'utf8') + '\\n)',\n"
	"      { filename: file, columnOffset: -1 });\n"
	"  if (path.extname(file) === '.mjs') return import(url.pathToFileURL(file).href);\n"
	"  try {\n"
	"    return require('module').createRequire(file)(file);\n"
	"  } catch (e) {\n"
	"    if (!e || e.code !== 'ERR_REQUIRE_ESM' && e.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw e;\n"
	"    return import(url.pathToFileURL(file).href);\n"
	"  }\n"
	"}\n"
	"load().then(async (m) => {\n"
	"  if (m && (m.__esModule || require('util').types.isModuleNamespaceObject(m)) && m.default !== "
	"undefined) m = m.default;\n"
	"  m = await m;\n"
	"  if (m === null || typeof m !== 'object')\n"
	"    throw new TypeError('it exports ' + (m === null ? 'null' : 'a ' + typeof m) + ', not an "
	"object');\n"
	"  send(JSON.stringify({ value: m }, plain));\n"
	"}).catch(fail);\n";

static int no_node(struct pm_error *err)
{
	(void)pm_fail(err, PM_NOT_FOUND,
	              "only JavaScript can evaluate it, and there is no node in PATH");
	pm_hint(err, "install Node.js, or write the file as .json or .yaml");
	return -1;
}

static const char *text_of(const struct doc_node *answer, const char *key, const char *otherwise)
{
	const struct doc_node *v = doc_get(answer, key);

	return v != NULL && v->type == DOC_TEXT ? v->text : otherwise;
}

static unsigned number_of(const struct doc_node *answer, const char *key)
{
	const struct doc_node *v = doc_get(answer, key);

	return v != NULL && v->type == DOC_NUMBER && v->number > 0 && v->number < 1e9
	               ? (unsigned)v->number
	               : 0;
}

static int read_answer(const struct pm_buf *text, struct doc *doc, const struct doc_node **root,
                       struct config_place *place, struct pm_error *err)
{
	const struct doc_node *answer = NULL, *value, *esm;
	struct config_place where;

	if (config_parse_json(text->bytes, text->len, doc, &answer, &where, err) < 0)
		return pm_wrap(err, "what node made of the file");
	value = answer->type == DOC_MAP ? doc_get(answer, "value") : NULL;
	if (value != NULL) {
		*root = value;
		return 0;
	}
	place->line = number_of(answer, "line");
	place->column = number_of(answer, "column");
	(void)pm_fail(err, PM_CONFIG, "%.220s", text_of(answer, "error", "no reason given"));
	esm = doc_get(answer, "esm");
	if (esm != NULL && esm->truth)
		pm_hint(err,
		        "an ES module needs the name .config.mjs, or \"type\": \"module\" in package.json");
	return -1;
}

/* The tree's lines are those of node's one-line answer, which nobody has seen. */
static void forget_places(const struct doc_node *root)
{
	struct doc_node *node = (struct doc_node *)(uintptr_t)root;

	node->line = node->column = node->name_line = node->name_column = 0;
	for (const struct doc_node *v = node->first; v != NULL; v = v->next)
		forget_places(v);
}

int config_load_js(const struct config_js_order *order, struct doc *doc,
                   const struct doc_node **root, struct config_place *place, struct pm_error *err)
{
	const char *path = path_getenv(order->environment, "PATH");
	PM_FREE char *node = path_which(path, "node");
	struct child_order child = { .cwd = order->cwd, .out_fd = 3, .time_ms = order->time_ms };
	PM_BUF text = { .max = PM_CONFIG_MAX };
	int status = 0;

	if (node == NULL)
		node = path_which(path, "nodejs");
	if (node == NULL)
		return no_node(err);
	const char *const argv[] = { node, "-e",        loader,
		                     "--", order->file, order->expression ? "expression" : "module",
		                     NULL };
	child.argv = argv;
	if (child_run(&child, &text, &status, err) < 0)
		return pm_wrap(err, "node");
	if (text.len == 0 && WIFSIGNALED(status))
		return pm_fail(err, PM_CONFIG, "node was ended by signal %d", WTERMSIG(status));
	if (text.len == 0)
		return pm_fail(err, PM_CONFIG,
		               "node ended with status %d before the file had a value",
		               WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	if (read_answer(&text, doc, root, place, err) < 0)
		return -1;
	forget_places(*root);
	return 0;
}
