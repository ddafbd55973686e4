#include "cli/pm2_words.h"

#include <stddef.h>

#include "cli/cmd.h"

/* Blank-separated names, and one hint for all of them: at most 127 bytes (struct pm_error). */
struct words {
	const char *names, *hint;
};

static const struct words verbs[] = {
	{ "monit dash dashboard imonit top",
	  "'list --watch' shows what runs as it goes on, 'logs' what it writes" },
	{ "attach", "'logs APP' follows its output, 'send APP TEXT' writes to its standard input" },
	{ "trigger",
	  "actions of PM2's library are not taken; 'send' and 'sendSignal' reach an app" },
	{ "inspect",
	  "'sendSignal SIGUSR1 APP' opens node's inspector, as does --node-args=--inspect" },
	{ "deploy", "bring the files there as you like, then 'apply FILE', or 'reload APP'" },
	{ "install uninstall module:install module:update module:uninstall module:generate package "
	  "publish",
	  "there are no modules: rotation is built in, and other programs are started as apps" },
	{ "serve expose", "start a web server as an app: start 'python3 -m http.server 8080'" },
	{ "slist sysinfos", "'list' has the apps' use, 'doctor' looks at the machine" },
	{ "logrotate pm2-logrotate",
	  "log files are rotated anyway; 'explain log_max_size' and log_keep say how" },
	{ "deepUpdate", "install the new package, then 'update'" },
	{ "get set unset multiset conf config",
	  "there are no settings of modules; those of an app are keys of its file: 'explain'" },
	{ "monitor unmonitor link unlink plus open interact logout",
	  "there is no service to link to; 'join' and 'login' are for a coordinator of yours" },
	{ "pull forward backward",
	  "fetch the version yourself, then 'reload APP'; 'undo APP' takes back settings" },
	{ "profile:cpu profile:mem", "'agent status' has the agent's pid: perf(1) profiles it" },
	{ "create examples", "'init' writes a configuration file to start from" },
	{ "autoinstall", "install the interpreter; it is looked up in PATH" },
	{ "completion", "the package installs them, for bash, zsh and fish" },
	{ "install-otel uninstall-otel",
	  "add OpenTelemetry to the app itself; --node-args='-r FILE' loads it first" },
	{ "gracefulReload softReload", "'reload' is that" },
	{ "startOrGracefulRestart", "'startOrReload' is that" },
	{ "web", "'jlist' has the same as JSON" },
	{ "version", "--version prints it" },
};

static const struct words options[] = {
	{ "no-daemon",
	  "'pmd agent --foreground' stays in the foreground; --attach follows the logs" },
	{ "trace disable-trace v8 event-loop-inspector deep-monitoring",
	  "it is of PM2's monitoring service, which is not here: leave it out" },
	{ "write", "no file is written; 'init' writes one to start from" },
	{ "port", "what belongs to the app stands behind --: start app.js -- --port 3000" },
	{ "wait-ip", "write 'After=network-online.target' into the unit: systemctl edit UNIT" },
};

static const char *find(const struct words *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (cmd_word_in(list[i].names, name))
			return list[i].hint;
	return NULL;
}

const char *pm2_words_of_verb(const char *name)
{
	return find(verbs, PM_COUNT(verbs), name);
}

const char *pm2_words_of_option(const char *name)
{
	return find(options, PM_COUNT(options), name);
}
