/* status.h - instances made by hand, for tests of what prints them. */
#ifndef PM_TESTS_STATUS_H
#define PM_TESTS_STATUS_H

#include "proto/pm.pb-c.h"

/* An online instance with the details of a small app; change what a test needs. */
struct status_sample {
	Pm__InstanceStatus status;
	Pm__AppSpec spec;
	Pm__EnvVar vars[4];
	Pm__EnvVar *env[4];
	Pm__ExitRecord exit;
	Pm__ExitRecord *exits[1];
};

static inline void status_sample(struct status_sample *s, const char *name, uint32_t pm_id)
{
	static const char *const pairs[][2] = { { "PORT", "3000" },
		                                { "API_TOKEN", "hunter2" },
		                                { "status", "mine" },
		                                { "text", "it's \"so\"" } };

	*s = (struct status_sample){ .status = PM__INSTANCE_STATUS__INIT,
		                     .spec = PM__APP_SPEC__INIT,
		                     .exit = PM__EXIT_RECORD__INIT };
	for (unsigned i = 0; i < 4; i++) {
		pm__env_var__init(&s->vars[i]);
		s->vars[i].name = (char *)(uintptr_t)pairs[i][0];
		s->vars[i].value = (char *)(uintptr_t)pairs[i][1];
		s->env[i] = &s->vars[i];
	}
	s->spec.env = s->env;
	s->spec.n_env = 4;
	s->spec.name = s->status.name = (char *)(uintptr_t)name;
	s->spec.namespace_ = s->status.namespace_ = (char *)(uintptr_t) "default";
	s->spec.script = (char *)(uintptr_t) "/srv/app.js";
	s->spec.cwd = (char *)(uintptr_t) "/srv";
	s->spec.interpreter = (char *)(uintptr_t) "node";
	s->spec.instance_var = (char *)(uintptr_t) "NODE_APP_INSTANCE";
	s->spec.instances = 1;
	s->spec.autorestart = s->spec.autostart = s->spec.treekill = true;
	s->spec.min_uptime_ms = 1000;
	s->spec.max_restarts = 16;
	s->spec.kill_timeout_ms = 1600;
	s->status.spec = &s->spec;
	s->status.pm_id = pm_id;
	s->status.pid = 4242;
	s->status.state = PM__LIFE_STATE__LIFE_ONLINE;
	s->status.exec_mode = PM__EXEC_MODE__EXEC_MODE_FORK;
	s->status.uptime_ms = 70000;
	s->status.memory = 53896806;
	s->status.cpu_permille = 25;
	s->status.user = (char *)(uintptr_t) "root";
	s->status.started_wall_ms = s->status.created_wall_ms = 1795397576899;
	s->exits[0] = &s->exit;
	s->exit.cause = (char *)(uintptr_t) "exit";
	s->exit.known = true;
	s->exit.run_ms = 340;
	s->exit.wall_ms = 1795397576000;
}

#endif
