/* read_private.h - what the readers of one kind of mail share (private to bounce/) */
#ifndef TODOKE_BOUNCE_READ_PRIVATE_H
#define TODOKE_BOUNCE_READ_PRIVATE_H

#include "bounce/read.h"
#include "bounce/survey.h"

/* So many recipients that what is said of nobody in particular, or of one of them, says nothing about each. */
enum { CROWD = 200 };

struct reading {
    const struct mime_mail *mail;
    const struct rules *rules;
    struct rules_scratch *scratch;
    struct arena *arena;
    struct bounce *bounce;
    struct survey survey;
    unsigned row_room;
    unsigned look_count; /* rows for which the whole text was asked */
    /* the headers of the original mail: a mime_mail and a part of it; part -1: there is none */
    const struct mime_mail *original;
    int original_part;
    bool is_nested; /* inside another error mail already */
};

/* A fresh row; NULL past BOUNCE_ROWS_MAX (then bounce->is_cut). */
struct bounce_row *row_add(struct reading *r, enum kind kind);

/* A field of the original mail; empty when there is none. */
struct slice original_header(const struct reading *r, struct slice name);
/* The first address of the original's To, or of the headers that receivers add. */
struct slice original_recipient(const struct reading *r);
/* Take the original's headers from a text that begins with them. */
void original_take(struct reading *r, struct slice text);

/* What is behind the @; empty where there is none. */
static inline struct slice domain_of(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    return at >= 0 ? slice_from(address, (size_t)at + 1) : SLICE("");
}

/* Code, status and words of the row's diagnostic; `status` is what a Status field said, 0.0.0 where there was none. */
struct slice diagnostic_read(struct reading *r, struct bounce_row *row, const uint16_t status[3]);
/* Pieces of the mail as they stand: the rules take white space as it comes. */
struct evidence {
    struct slice chunk;   /* what the text gives to this recipient */
    struct slice session; /* what a transcript says of nobody in particular */
    struct slice whole;   /* the narrative */
    struct slice comment; /* behind the Status field: "5.2.1 (mailbox disabled)" */
    bool is_own;          /* the host that reports speaks of a mailbox of its own domain, and quotes nobody */
};

/* `text`: the words of the diagnostic. */
void row_judge(struct reading *r, struct bounce_row *row, struct slice text, const struct evidence *evidence);

/* The part of an entry's lines that says why: from the reply on, or its first paragraph. Raw: its lines are still
 * apart. */
struct slice entry_words(struct slice text);

/* read_dsn.c: a row for each recipient of a delivery status. False: it has none. */
struct narrative;
bool dsn_rows(struct reading *r, struct slice fields, const struct narrative *n);

/* One kind each: false when the mail is not of that kind. */
bool complaint_read(struct reading *r);
bool notify_read(struct reading *r, struct slice text); /* Amazon SES notifications in JSON */
bool autoreply_read(struct reading *r, struct slice text);
bool report_read(struct reading *r);

#endif
