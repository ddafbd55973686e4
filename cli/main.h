/* main.h - pmctl, apart from its main(). */
#ifndef PM_CLI_MAIN_H
#define PM_CLI_MAIN_H

/* Run one pmctl command line; returns the exit status (the table in pmctl(1)). */
int pmctl_main(int argc, char **argv);

#endif
