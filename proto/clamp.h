/* clamp.h - lets nng see one CPU while it starts.
 *
 * nng 1.5.2 starts 2 task threads and 1 timer thread for each CPU, 88 in all on 64 CPUs, and has no
 * setting for it (1.7 has).  It asks sysconf(_SC_NPROCESSORS_ONLN), which this thread answers with
 * 1 while the clamp is on.
 */
#ifndef PM_PROTO_CLAMP_H
#define PM_PROTO_CLAMP_H

#include <stdbool.h>

void pm_clamp_cpus(bool on);

#endif
