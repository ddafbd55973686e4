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
#include <nng/nng.h>

/* What nng calls for sysconf() in the copy that the build makes of it: see CMakeLists.txt. */
long pm_clamped_sysconf(int name);

long pm_clamped_sysconf(int name)
{
	return name == _SC_NPROCESSORS_ONLN && clamped ? 1 : sysconf(name);
}

/*
 * nng's own names.  The linker takes these before it looks into the archive, so that the parts that
 * they stand for stay out: none of them is ever asked for.
 */
#define NOT_HERE(name)                            \
	int name(void **out, const nng_url *url); \
	int name(void **out, const nng_url *url)  \
	{                                         \
		(void)out;                        \
		(void)url;                        \
		return NNG_ENOTSUP;               \
	}
#define NOTHING(name)    \
	void name(void); \
	void name(void)  \
	{                \
	}

int nni_tls_sys_init(void);

int nni_tls_sys_init(void)
{
	return 0;
}

NOT_HERE(nni_ipc_dialer_alloc)
NOT_HERE(nni_ipc_listener_alloc)
NOT_HERE(nni_tls_dialer_alloc)
NOT_HERE(nni_tls_listener_alloc)
NOT_HERE(nni_ws_dialer_alloc)
NOT_HERE(nni_ws_listener_alloc)
NOTHING(nni_tls_sys_fini)
NOTHING(nni_sp_inproc_register)
NOTHING(nni_sp_ipc_register)
NOTHING(nni_sp_tcp_register)
NOTHING(nni_sp_tls_register)
NOTHING(nni_sp_ws_register)
NOTHING(nni_sp_wss_register)
#endif
