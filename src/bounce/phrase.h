/* phrase.h - look for known phrases in a text (private to bounce/) */
#ifndef TODOKE_BOUNCE_PHRASE_H
#define TODOKE_BOUNCE_PHRASE_H

#include "base/slice.h"
#include <stdint.h>

/* Phrases to look for, the more telling ones first: lower-case, of two letters or more, beginning where a word begins.
 * scan_phrase gives the value of the first row that stands anywhere in the text, else `none`. One pass; the first
 * SCAN_PHRASE_BYTES bytes only.
 *
 *     static const struct phrase rows[] = {{SLICE_INIT("unknown user"), 1}, ...};
 *     static struct phrases set = PHRASES(rows);
 *
 * What a set keeps beside its rows is made of them at the first look, and never changes again: threads may share it. */
enum { SCAN_PHRASE_BYTES = 4096, PHRASES_MAX = 255, PHRASE_BITS = 4096, PHRASE_HEADS = 128 };
struct phrase {
    struct slice text;
    int value;
};
struct phrase_heads { /* the rows by their first letters (private to phrase.c) */
    uint64_t begin[PHRASE_BITS / 64];
    bool is_short;
    uint32_t front[PHRASES_MAX], mask[2][PHRASES_MAX];
    uint8_t heads[PHRASE_HEADS], others[PHRASES_MAX]; /* rows numbered from 1, the first row first; 0: no more */
};
struct phrases {
    const struct phrase *rows;
    size_t count;
    _Atomic int state;
    struct phrase_heads heads;
};
#define PHRASES(table)                                                                                                 \
    {                                                                                                                  \
        .rows = (table), .count = COUNT_OF(table)                                                                      \
    }
int scan_phrase(struct slice text, struct phrases *set, int none);
/* Is any of them there? Stops at the first; the values do not matter. */
bool scan_any(struct slice text, struct phrases *set);
/* Which row, the first of them, stands at the very beginning; set->count when none does. */
size_t scan_front(struct slice text, struct phrases *set);
/* As scan_phrase, and where it stands. */
int scan_phrase_at(struct slice text, struct phrases *set, int none, size_t *at);

#endif
