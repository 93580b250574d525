/* scan.h - find addresses, hosts and stages in a line of free text (private to bounce/) */
#ifndef TODOKE_BOUNCE_SCAN_H
#define TODOKE_BOUNCE_SCAN_H

#include "base/arena.h"
#include "base/slice.h"
#include "mail/verdict.h"

/* The next "local@domain" in text from *at on; moves *at behind it. False when there is none. Linear over all calls. */
bool scan_address(struct slice text, size_t *at, struct slice *address);

/* Only "rfc822; <a@b>" and kin: the address, or the text after the type where there is none (an X.400 name, a user). */
struct slice scan_typed_address(struct slice value);

/* "dns; mx.example.com (192.0.2.1)", "mx.example.com[192.0.2.1]:25": the name, or the IP address when that is all. */
struct slice scan_host(struct slice value);

/* The host that said something: "host mx.example.com[192.0.2.1] said", "while talking to mx.example.com.:",
 * "Remote host said" has none. Empty when the text names none. */
struct slice scan_speaker(struct slice text);

/* The command that was refused, from words like "in reply to RCPT TO command", "after MAIL FROM:", ">>> DATA". */
enum stage scan_stage(struct slice text);

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
struct phrase_heads { /* the rows by their first letters (private to scan.c) */
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

/* Runs of white space become one space; the ends are trimmed. A slice of the text where nothing changes. */
struct slice scan_squeeze(struct slice text, struct arena *arena);

/* An HTML body as plain text, good enough to read an error in: tags gone, blocks on lines of their own, the common
 * entities decoded. At most as long as the HTML. */
struct slice scan_html(struct slice html, struct arena *arena);

#endif
