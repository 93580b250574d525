/* read.h - read an error mail, complaint or auto-reply: what it claims, recipient by recipient
 *
 * Structure first (RFC 3464 and 6533 reports, RFC 5965 complaints, RFC 3834 auto-replies), then the texts that mail
 * programs have been writing by themselves for forty years. Ordinary mail that quotes or attaches an error mail is
 * KIND_NONE. It knows no store and no tokens: whether a claim is genuine is joined elsewhere (receive/); here a claim
 * is AUTHENTICITY_UNVERIFIED, or AUTHENTICITY_FORGED when it is a phish dressed as an error mail.
 *
 * Linear in the mail, whatever it contains; at most BOUNCE_ROWS_MAX recipients are kept. The same bytes always give the
 * same rows. */
#ifndef TODOKE_BOUNCE_READ_H
#define TODOKE_BOUNCE_READ_H

#include "bounce/facts.h"
#include "bounce/rules.h"
#include "mime/read.h"

enum { BOUNCE_ROWS_MAX = 10000, BOUNCE_DIAGNOSTIC_MAX = 2048 };

/* One recipient's fate, as claimed. Slices are in the mail, the arena or the rules; absent ones are empty. */
struct bounce_row {
    enum kind kind;          /* this recipient's: one report may say failed of one and delivered of another */
    struct slice recipient;  /* local@domain as written, without brackets */
    struct slice original;   /* Original-Recipient, when it differs (alias, forward) */
    int code;                /* 0: none */
    uint16_t status[3];      /* 0.0.0: none */
    struct slice diagnostic; /* UTF-8, one line, at most BOUNCE_DIAGNOSTIC_MAX bytes; with code and status as it came */
    struct slice reporting_mta, remote_mta;
    struct slice action;        /* the DSN's action field as written: failed, delayed, delivered, relayed, expanded */
    struct slice feedback_type; /* of a complaint: abuse, opt-out ... */
    struct slice mark;          /* the words of the diagnostic that decided */
    enum stage stage;
    struct verdict verdict;
    struct facts facts;
};

struct bounce {
    enum kind kind; /* the mail's: NONE has no rows; otherwise at least one row */
    enum authenticity authenticity;
    struct slice message_id;                      /* of the original mail, without brackets */
    struct slice original_from, original_subject; /* of the original mail, raw header values */
    struct slice original_token; /* of the original mail: X-Todoke-Token or Feedback-ID, for receive/ */
    struct bounce_row *rows;
    unsigned row_count;
    bool is_cut; /* there were more recipients than BOUNCE_ROWS_MAX, or the mail went over a cap of mime/ */
};

/* Read one mail. `mail` was read by mime_read and stays; rows are in the arena. */
void bounce_read(const struct mime_mail *mail, const struct rules *rules, struct rules_scratch *scratch,
                 struct arena *arena, struct bounce *bounce);

#endif
