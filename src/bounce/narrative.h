/* narrative.h - error mail in free text: who failed, and which words belong to whom (private to bounce/)
 *
 * Forty years of home-made formats have few shapes. A recipient stands at the beginning of a line ("<a@b>: host x said
 * ...", "a@b" over indented lines, "550 5.1.1 <a@b>... User unknown"), behind a key ("Recipient: <a@b>"), in a
 * session's transcript (">>> RCPT To:<a@b>" then "<<< 550 ..."), or inside a sentence ("Could not be delivered to:
 * <a@b>"). What follows until the next recipient belongs to it. The original mail, quoted behind, is cut off first: it
 * begins at a line that says so, or where header fields of a received mail begin. */
#ifndef TODOKE_BOUNCE_NARRATIVE_H
#define TODOKE_BOUNCE_NARRATIVE_H

#include "base/arena.h"
#include "base/slice.h"
#include "mail/verdict.h"

struct narrative_entry {
    struct slice recipient;
    struct slice text;  /* raw lines that belong to it, from behind its address */
    struct slice reply; /* what the transcript says of it, one line; empty: nothing */
    enum stage stage;   /* from the transcript */
    int strength;       /* 3: at a line's beginning or behind a telling key; 2: behind "To:"; 1: in a sentence */
    uint64_t hash;
};

struct narrative {
    struct slice text;     /* all of it, without the original mail */
    struct slice preamble; /* what stands before the first recipient */
    struct slice original; /* header lines of the original mail, if they follow; else empty */
    struct slice fields;   /* delivery-status fields in the middle of the text (dsn.h), else empty */
    struct slice reply;    /* a transcript's reply that belongs to no recipient */
    enum stage stage;      /* and its command */
    struct narrative_entry *entries;
    unsigned count;
    bool is_cut;
};

enum { NARRATIVE_BYTES_MAX = 256 * 1024, NARRATIVE_ENTRIES_MAX = 2000 };

/* An address that one is told to write to for help: postmaster@, support@ ... */
bool narrative_is_role(struct slice address);

/* `own` and `to`: the addresses that the error mail comes from and goes to; they are no recipients where others are.
 * Linear; looks at the first NARRATIVE_BYTES_MAX bytes. */
void narrative_read(struct slice text, struct slice own, struct slice to, struct arena *arena,
                    struct narrative *narrative);

/* A line that says that the original mail follows; the first line of one: a header field that only a mail that has
 * travelled carries. */
bool narrative_announces_original(struct slice line);
bool narrative_begins_original(struct slice line);
/* What rules and frames are drawn with. */
bool narrative_is_rule(char c);

#endif
