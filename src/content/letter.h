/* letter.h - a mail that a program wrote, as it is kept until its recipients are rendered
 *
 * What POST /messages accepts becomes a letter: one for all recipients of the call, kept as the stored message's body
 * (submit/message.h, MESSAGE_LETTER). Merge data is kept with each delivery. The composer reads the letter and compiles
 * it as it compiles a campaign's content; the same letter gives the same mail. The written form is JSON of our own. */
#ifndef TODOKE_CONTENT_LETTER_H
#define TODOKE_CONTENT_LETTER_H

#include "content/compose.h"

struct letter {
    uint64_t version_id; /* its subject, preheader, html and text are this content version's; 0: they are here */
    struct content_source source;
    bool wants_unsubscribe; /* List-Unsubscribe of each recipient's own */
};

void letter_write(const struct letter *letter, struct buf *out);
/* Slices live in the arena. INPUT: it is none. */
NODISCARD bool letter_read(struct slice text, struct arena *arena, struct letter *letter, struct fault *why);

#endif
