/* bounce_print.h - rows of bounce/read.h for machines and for people (CLI.md) */
#ifndef TODOKE_APP_BOUNCE_PRINT_H
#define TODOKE_APP_BOUNCE_PRINT_H

#include "base/buf.h"
#include "base/map.h"
#include "bounce/read.h"
#include "bounce/words.h"

/* The words of verdicts as ready JSON, made once for each. */
struct bounce_printer {
    const struct rules *rules;
    struct map words; /* key -> struct buf */
};

void bounce_printer_release(struct bounce_printer *printer);

/* Where a row comes from. `id` is ready JSON to be echoed, or empty. */
struct bounce_place {
    struct slice id;
    struct slice file;
    size_t mail;
    size_t index;
    bool is_reply; /* said in a conversation of ours: what can be tried again is tried again */
};

/* One line of JSON with its newline. `row` NULL: the mail is no error mail. */
void bounce_print_json(struct bounce_printer *printer, struct buf *out, const struct bounce_place *place,
                       const struct bounce *bounce, const struct bounce_row *row);

/* A few lines that a colleague could have written, and an empty one. */
void bounce_print_text(const struct rules *rules, struct buf *out, const struct bounce_place *place,
                       const struct bounce *bounce, const struct bounce_row *row, enum lang lang, bool has_colour);

#endif
