/* inert.h - strangers' words on somebody's terminal: a receiver's reply, a mail's subject, a host's name may hold what
 * steers it (U+009B is ESC [) or turns the order of the letters around
 *
 * For commands that tell such words to people: stdout writes each of these characters (utf8_is_inert) as \u009b. That
 * is how JSON writes them, too, and there they stand in strings only: what reads it gets them as they were. Commands
 * that hand out data (exports, mails) do not ask for it. */
#ifndef TODOKE_APP_INERT_H
#define TODOKE_APP_INERT_H

#include "base/buf.h"

/* From now on, before anything was printed. */
void inert_stdout(void);

/* One piece of it: how much of s was taken; what is left begins a code point whose end is still to come. */
size_t inert_take(struct buf *out, struct slice s);

#endif
