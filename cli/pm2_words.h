/* pm2_words.h - what to do instead of a command or an option of PM2's that is not here. Pure. */
#ifndef PM_CLI_PM2_WORDS_H
#define PM_CLI_PM2_WORDS_H

/* A hint that names commands of ours; NULL: PM2 has no such command, or we have it, too. */
const char *pm2_words_of_verb(const char *name);

/* Likewise for an option, without its dashes. */
const char *pm2_words_of_option(const char *name);

#endif
