/* order_words.h - what an order says where the command's own word would mislead. */
#ifndef PM_AGENT_ORDER_WORDS_H
#define PM_AGENT_ORDER_WORDS_H

#include "agent/app.h"

#define ORDER_WORDS_MAX 300

/*
 * Of an instance that did as it was told.
 *
 * gated      restarts are reloads
 * was_up     it is a start, and found the instance running
 * returns    false: there is nothing special about it
 */
bool order_done_words(const struct instance *inst, enum life_event event, enum cause cause,
                      bool gated, bool was_up, char out[ORDER_WORDS_MAX]);

/* Of one whose turn never came: "not stopped". existed: the entry was there before. */
const char *order_undone_word(enum life_event event, bool existed);

/* What became of the settings that came with a reload: APP_MIXED or APP_RESTORED. */
void order_settled_words(const struct app *app, enum app_settled settled, struct pm_error *out);

#endif
