/* clamp.h - how little of nng we take: its streams over TCP, with one CPU in sight.
 *
 * nng 1.5.2 starts 2 task threads and 1 timer thread for each CPU, 88 in all on 64 CPUs, and has no
 * setting for it (1.7 has).  It asks sysconf(_SC_NPROCESSORS_ONLN), which this thread answers with
 * 1 while the clamp is on.
 *
 * It also registers all its transports when it starts, and so would bring TLS (mbedTLS), HTTP and
 * WebSocket into each program, 1 MB of code and 26 KB of relocated tables that every process pays
 * for.  In a static link their entries are ours and empty.  No transport of a Scalability Protocol
 * is registered either: one connection that ends with FIN and RST stops such a listener.
 */
#ifndef PM_PROTO_CLAMP_H
#define PM_PROTO_CLAMP_H

#include <stdbool.h>

void pm_clamp_cpus(bool on);

#endif
