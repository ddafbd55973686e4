/* coordinator.h - the coordinator of a fleet: members, requests to many, relayed logs. */
#ifndef PM_COORDINATOR_COORDINATOR_H
#define PM_COORDINATOR_COORDINATOR_H

/*
 * `pmd coordinator [--home DIR] [--listen tcp://ADDR:PORT]... [--advertise HOST:PORT]... [--user
 * NAME]` serves until SIGTERM; `pmd coordinator token --role ROLE [--name NAME] [--ttl TIME]`
 * prints a one-time token of an operator and `pmd coordinator backup FILE` writes a copy of the
 * store, both on its own machine. Returns the exit status.
 */
int coordinator_main(int argc, char **argv);

#endif
