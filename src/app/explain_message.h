/* explain_message.h - one delivery's story: where it is, what was said, how long in each state, what comes next and why
 */
#ifndef TODOKE_APP_EXPLAIN_MESSAGE_H
#define TODOKE_APP_EXPLAIN_MESSAGE_H

#include "app/desk.h"
#include "bounce/rules.h"
#include "bounce/words.h"

/* name: a delivery's id, or a Message-ID (of ours, or as a program gave it). INPUT: there is none. */
NODISCARD bool explain_message(struct desk *desk, const struct rules *rules, const char *name, enum lang lang,
                               bool is_json, struct fault *why);

#endif
