#include "proto/clamp.h"

#include <unistd.h>

static _Thread_local bool clamped;

void pm_clamp_cpus(bool on)
{
	clamped = on;
}

#ifdef PM_NNG_SHARED
#include <dlfcn.h>
#include <string.h>

/* The program's symbol comes before the C library's for nng's shared object, too. */
long sysconf(int name)
{
	long (*real)(int);
	void *symbol;

	if (name == _SC_NPROCESSORS_ONLN && clamped)
		return 1;
	symbol = dlsym(RTLD_NEXT, "sysconf");
	memcpy(&real, &symbol, sizeof(real));
	return real(name);
}
#else
/* What nng calls for sysconf() in the copy that the build makes of it: see CMakeLists.txt. */
long pm_clamped_sysconf(int name);

long pm_clamped_sysconf(int name)
{
	return name == _SC_NPROCESSORS_ONLN && clamped ? 1 : sysconf(name);
}
#endif
