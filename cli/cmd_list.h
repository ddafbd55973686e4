/* cmd_list.h - every verb, one line each, in the order of the help. */
#ifndef PM_CLI_CMD_LIST_H
#define PM_CLI_CMD_LIST_H

#define CMD_LIST(X)         \
	X(start)            \
	X(stop)             \
	X(restart)          \
	X(reload)           \
	X(delete)           \
	X(scale)            \
	X(start_or_restart) \
	X(start_or_reload)  \
	X(apply)            \
	X(history)          \
	X(undo)             \
	X(reset)            \
	X(list)             \
	X(jlist)            \
	X(prettylist)       \
	X(describe)         \
	X(why)              \
	X(is_online)        \
	X(id)               \
	X(pid)              \
	X(env)              \
	X(logs)             \
	X(flush)            \
	X(reload_logs)      \
	X(signal)           \
	X(send)             \
	X(save)             \
	X(resurrect)        \
	X(cleardump)        \
	X(kill)             \
	X(ping)             \
	X(doctor)           \
	X(report)           \
	X(agent)            \
	X(update)           \
	X(startup)          \
	X(startup_pm2)      \
	X(unstartup)        \
	X(unstartup_pm2)    \
	X(join)             \
	X(leave)            \
	X(context)          \
	X(login)            \
	X(whoami)           \
	X(token)            \
	X(node)             \
	X(drain)            \
	X(undrain)          \
	X(operator)         \
	X(group)            \
	X(targets)          \
	X(rollout)          \
	X(audit)            \
	X(check)            \
	X(explain)          \
	X(init)             \
	X(help)             \
	X(complete)

struct cmd;
#define CMD_DECLARE(name) extern const struct cmd cmd_##name;
CMD_LIST(CMD_DECLARE)
#undef CMD_DECLARE

#endif
