#include "agent/supervisor.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <uv.h>

#include "agent/agent.h"
#include "agent/keeper.h"
#include "agent/keeper_client.h"
#include "agent/own_log.h"
#include "proto/log.h"

struct supervisor {
	const char *home;
	int lock_fd;
	struct keeper_client *keeper;
	uv_loop_t loop;
	uv_signal_t sigterm;
};

static void on_slot(void *arg, const struct keeper_record *r, const int fds[KEEPER_FD_COUNT])
{
	(void)arg;
	(void)r;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++)
		pm_closep(&(int){ fds[role] });
}

static void on_held(void *arg, const char *name, int fd)
{
	(void)arg;
	(void)name;
	pm_closep(&fd);
}

static void on_spawned(void *arg, const struct keeper_record *r, int pidfd)
{
	(void)arg;
	(void)r;
	pm_closep(&pidfd);
}

static void on_exited(void *arg, const struct keeper_record *r)
{
	struct supervisor *s = arg;
	struct pm_error err;

	if (keeper_client_release(s->keeper, r->slot, &err) < 0)
		pm_log(PM_LOG_ERROR, "supervisor.release", "%s", err.what);
}

static void on_note(void *arg, const char *text)
{
	(void)arg;
	pm_log(PM_LOG_INFO, "supervisor.note", "%s", text);
}

static void on_quit(void *arg)
{
	struct supervisor *s = arg;

	uv_stop(&s->loop);
}

static void on_lost(void *arg)
{
	struct supervisor *s = arg;
	struct pm_error err;

	if (keeper_promote(s->home, s->lock_fd, NULL, 0, NULL, 0, &err) < 0)
		pm_log(PM_LOG_ERROR, "supervisor.promote", "%s", err.what);
	uv_stop(&s->loop);
}

static void on_sigterm(uv_signal_t *handle, int signum)
{
	struct supervisor *s = handle->data;
	struct pm_error err;

	(void)signum;
	if (keeper_client_stop(s->keeper, &err) < 0)
		pm_log(PM_LOG_ERROR, "supervisor.stop", "%s", err.what);
	uv_stop(&s->loop);
}

static const struct keeper_client_events events = {
	on_slot, on_held, on_spawned, on_exited, on_note, on_quit, on_lost,
};

int supervisor_run(const char *home, bool foreground, int keeper_fd, int lock_fd)
{
	static struct supervisor s;
	struct keeper_record welcome;
	struct pm_error err;

	s.home = home;
	s.lock_fd = lock_fd;
	if (own_log_open(home, agent_is_pm2(), "supervisor", foreground, &err) < 0 ||
	    uv_loop_init(&s.loop) != 0 || uv_signal_init(&s.loop, &s.sigterm) != 0 ||
	    keeper_client_create(&s.loop, keeper_fd, &events, &s, &s.keeper, &err) < 0)
		return 1;
	s.sigterm.data = &s;
	(void)uv_signal_start(&s.sigterm, on_sigterm, SIGTERM);
	if (keeper_client_adopt(s.keeper, &welcome, &err) < 0 ||
	    keeper_client_ready(s.keeper, &err) < 0) {
		pm_log(PM_LOG_ERROR, "supervisor.start", "%s", err.what);
		return 1;
	}
	return uv_run(&s.loop, UV_RUN_DEFAULT) < 0;
}
