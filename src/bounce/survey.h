/* survey.h - a first look at a mail: what it is made of, and how much it behaves like an error mail (private to
 * bounce/)
 *
 * Parts inside an attached or returned message do not count: they belong to somebody else's mail. */
#ifndef TODOKE_BOUNCE_SURVEY_H
#define TODOKE_BOUNCE_SURVEY_H

#include "mime/read.h"

enum { PART_NONE = -1 };

struct survey {
    const struct mime_mail *mail;
    struct arena *arena;
    int status_part;   /* message/delivery-status and kin */
    int feedback_part; /* message/feedback-report */
    int text_part, html_part;
    int message_part; /* the message inside the first message/rfc822 */
    int headers_part; /* text/rfc822-headers, or a text attachment that is one */
    struct slice from_name, from_address, to_address, subject; /* subject decoded */
    bool has_null_path;                                        /* Return-Path: <> or MAILER-DAEMON */
    bool is_daemon;                                            /* From: is a mail program */
    bool is_bounce_title;                                      /* the subject is one that programs give to error mail */
    bool is_auto_title;                                        /* ... to automatic answers */
    bool is_auto_title_sure;                                   /* ... and nobody else does */
    bool is_answer;                                            /* "Re:", "Fwd:" in front of the subject */
    bool is_auto;                                              /* Auto-Submitted and kin */
    bool has_failed_recipients;
    struct slice report_type; /* of a multipart/report */
};

void survey_take(const struct mime_mail *mail, struct arena *arena, struct survey *survey);

/* The text that a person would read first, as UTF-8, at most `limit` bytes: plain, else HTML with its tags gone. */
struct slice survey_text(const struct survey *survey, size_t limit);

/* Opening words of error mail in a text, in any of the languages that we know. */
bool survey_tells_failure(struct slice text);
/* Words of a notice that a mail is late but still being tried. */
bool survey_tells_delay(struct slice text);
/* Words of automatic answers: absent, on holiday, no longer here. */
bool survey_tells_absence(struct slice text);
/* Words that want the reader to click, sign in, or confirm something. */
bool survey_tells_lure(struct slice text);

#endif
